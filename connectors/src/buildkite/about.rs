//! What Buildkite's page says.

use connector_sdk::{About, CallAbout};

/// What it is, needs, cannot do and calls.
pub(super) fn about() -> About {
    About {
        summary: "Invites people into one Buildkite organisation, sets their role, removes them, and keeps its teams and their members. It uses the REST API, whose scopes can be narrowed, and GraphQL where REST has no answer.",
        needs: vec![
            "Any plan. Teams must be enabled in the organisation (Settings, Teams), else groups cannot be provisioned.",
            "An API access token of a machine user who is an admin of the organisation, made at buildkite.com/user/api-access-tokens for this organisation, with GraphQL API access and the scopes read_user, read_organizations, write_organizations, read_organization_invitations, write_organization_invitations, read_teams and write_teams.",
            "Where the organisation has SSO enabled: the setting `sso_mode`, for Buildkite refuses an invitation without it.",
        ],
        cannot: vec![
            "Suspend: `active = false` removes the member or revokes the invitation, and return is a new invitation. The person's Buildkite account stays, with its name and history.",
            "Write names and addresses: people own their accounts. What the identity provider sends stays in the directory.",
            "Change a pending invitation: its role and teams follow when it was accepted.",
            "Have more than 20 invitations pending (Buildkite's default): the rest waits and goes out as others are accepted or revoked.",
            "Invite beyond the plan's user limit: the work stands at `needs` until somebody adds seats.",
            "Touch the token's own account, or the organisation's last admin.",
        ],
        calls: vec![
            CallAbout::new("get own user", "GET", "/user", "Whose the token is: that account is protected."),
            CallAbout::new("get access token", "GET", "/access-token", "Which scopes the token has, for the probe."),
            CallAbout::new(
                "get organization",
                "GET",
                "/organizations/{org}",
                "The organisation's id; also that a 404 speaks of the object and not of the organisation.",
            ),
            CallAbout::new("list members", "GET", "/organizations/{org}/members", "Import and comparison."),
            CallAbout::new("get member", "GET", "/organizations/{org}/members/{user}", "Whether a member is there."),
            CallAbout::new("update member", "PATCH", "/organizations/{org}/members/{user}", "Sets the role."),
            CallAbout::new("remove member", "DELETE", "/organizations/{org}/members/{user}", "Removes a member."),
            CallAbout::new("list invitations", "GET", "/organizations/{org}/invitations", "The pending invitations."),
            CallAbout::new(
                "get invitation",
                "GET",
                "/organizations/{org}/invitations/{invitation}",
                "What became of an invitation, and who accepted it.",
            ),
            CallAbout::new(
                "invite",
                "POST",
                "/organizations/{org}/invitations",
                "Invites an address, with role and teams.",
            ),
            CallAbout::new(
                "revoke invitation",
                "DELETE",
                "/organizations/{org}/invitations/{invitation}",
                "Takes an invitation back.",
            ),
            CallAbout::new(
                "find member by e-mail",
                "POST",
                "GraphQL organization.members(email:)",
                "Who has an address: REST cannot tell.",
            ),
            CallAbout::new(
                "list teams",
                "GET",
                "/organizations/{org}/teams",
                "Import, comparison, and the team of a name.",
            ),
            CallAbout::new("get team", "GET", "/organizations/{org}/teams/{team}", "Whether a team is there."),
            CallAbout::new(
                "create team",
                "POST",
                "GraphQL teamCreate",
                "Creates a team: REST's documented answer does not name the new team's id.",
            ),
            CallAbout::new("rename team", "PATCH", "/organizations/{org}/teams/{team}", "Renames a team."),
            CallAbout::new("delete team", "DELETE", "/organizations/{org}/teams/{team}", "Deletes a team."),
            CallAbout::new(
                "list team members",
                "GET",
                "/organizations/{org}/teams/{team}/members",
                "Who is in a team.",
            ),
            CallAbout::new(
                "get team member",
                "GET",
                "/organizations/{org}/teams/{team}/members/{user}",
                "Whether one person is in a team, where a refusal leaves doubt.",
            ),
            CallAbout::new(
                "add team member",
                "POST",
                "/organizations/{org}/teams/{team}/members/",
                "Puts a person into a team.",
            ),
            CallAbout::new(
                "remove team member",
                "DELETE",
                "/organizations/{org}/teams/{team}/members/{user}",
                "Takes a person out of a team.",
            ),
            CallAbout::new("probe", "GET", "/organizations/{org}/invitations", "Whether invitations can be listed."),
            CallAbout::new("probe", "GET", "/organizations/{org}/teams", "Whether teams can be listed."),
            CallAbout::new(
                "probe GraphQL",
                "POST",
                "GraphQL organization.isTeamsEnabled",
                "Whether GraphQL answers, and teams are enabled.",
            ),
        ],
        unverified: vec![
            "Whether lists of members are paged: the page says \"returns a list\", so both a paged and a whole list are understood.",
            "What an invitation to an address that is invited already does: an old invitation that comes back is taken as already there, and so is a refusal that a look confirms.",
            "What adding a member of a team twice, or removing one who is not in it, answers: refusals are told by their words and confirmed by reading again.",
        ],
        sources: vec![
            "https://buildkite.com/docs/apis/rest-api/organizations/members",
            "https://buildkite.com/docs/apis/rest-api/organizations/invitations",
            "https://buildkite.com/docs/apis/rest-api/teams",
            "https://buildkite.com/docs/apis/rest-api/limits",
            "https://buildkite.com/docs/apis/graphql/graphql-resource-limits",
            "https://buildkite.com/docs/apis/managing-api-tokens",
            "https://buildkite.com/docs/platform/limits",
        ],
    }
}
