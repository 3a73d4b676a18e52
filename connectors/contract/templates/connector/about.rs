//! What the page of @Title@ says (docs/connectors/@name@.md is generated from it).

use connector_sdk::{About, CallAbout};

/// What it is, needs, cannot do and calls. The contract kit holds the calls that are made against these.
pub(super) fn about() -> About {
    let call = CallAbout::new;
    About {
        summary: "Creates, suspends and removes people at @Title@, and keeps its teams and their members.",
        needs: vec!["An API token of an admin, made under Settings, API tokens."],
        cannot: vec!["Change the name or address of an account that exists: they stay in the directory."],
        calls: vec![
            call("get own account", "GET", "/v1/me", "Whose the token is: that account is protected."),
            call("list people", "GET", "/v1/people", "Import and comparison."),
            call("find person", "GET", "/v1/people", "Who has an address."),
            call("get person", "GET", "/v1/people/{person}", "Whether an account is there."),
            call("create person", "POST", "/v1/people", "Creates an account."),
            call("change person", "PATCH", "/v1/people/{person}", "Sets the role; suspends and restores."),
            call("delete person", "DELETE", "/v1/people/{person}", "Removes an account."),
            call("list teams", "GET", "/v1/teams", "Import and comparison."),
            call("find team", "GET", "/v1/teams", "The team of a name."),
            call("get team", "GET", "/v1/teams/{team}", "Whether a team is there."),
            call("create team", "POST", "/v1/teams", "Creates a team."),
            call("rename team", "PATCH", "/v1/teams/{team}", "Renames a team."),
            call("delete team", "DELETE", "/v1/teams/{team}", "Deletes a team."),
            call("list members", "GET", "/v1/teams/{team}/members", "Who is in a team."),
            call("add member", "PUT", "/v1/teams/{team}/members/{person}", "Puts a person into a team."),
            call("remove member", "DELETE", "/v1/teams/{team}/members/{person}", "Takes a person out of a team."),
        ],
        unverified: vec![],
        sources: vec!["The address of the vendor's API reference"],
    }
}
