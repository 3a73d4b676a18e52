//! What the connectors' pages say.

use connector_sdk::{About, CallAbout};

use crate::scim::about::{GROUPS, USERS};

/// The calls that are made, of all that the SCIM connector has.
fn calls(all: &[CallAbout], left_out: &[&str]) -> Vec<CallAbout> {
    all.iter().filter(|call| !left_out.contains(&call.name)).copied().collect()
}

pub(super) fn organisation() -> About {
    About {
        summary: "People of one GitHub organisation with SAML single sign-on, by the organisation's SCIM API: GitHub invites them, and ties their account to the SAML identity when they accept and sign in. Teams are not part of this API.",
        needs: vec![
            "GitHub Enterprise Cloud, with SAML single sign-on enabled for the organisation, and no Enterprise Managed Users.",
            "A token of an owner: classic with the scope admin:org, authorised for single sign-on, or fine-grained with the organisation permission Members: read and write.",
        ],
        cannot: vec![
            "No groups: use the connector github for teams, or GitHub's team synchronisation.",
            "No suspension: deactivating removes the person from the organisation and deletes the SCIM identity. Restoring makes a new one, and GitHub sends another invitation.",
            "Whether the person has accepted the invitation is not shown by this API: a SCIM identity counts as an account.",
            "An attribute that the identity provider no longer sends stays as it last was.",
        ],
        calls: calls(&USERS, &["update user", "suspend user", "restore user"]),
        unverified: vec![
            "How GitHub answers a user name that is taken: 409 is documented without an example of its body.",
            "Whether a call under a wrong organisation can be told from one without the right to it: both are 404 or 403.",
        ],
        sources: vec![
            "https://docs.github.com/en/enterprise-cloud@latest/rest/scim/scim",
            "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api",
        ],
    }
}

pub(super) fn enterprise() -> About {
    About {
        summary: "Accounts and groups of a GitHub enterprise with Enterprise Managed Users, by the enterprise's SCIM API: accounts are made at once, suspended and restored, and groups are what the enterprise connects to teams.",
        needs: vec![
            "GitHub Enterprise Cloud with Enterprise Managed Users and single sign-on.",
            "A classic token of the enterprise's setup user with the scope scim:enterprise.",
        ],
        cannot: vec![
            "A removal suspends: GitHub's DELETE erases the account's data for good. The setting `delete` allows it.",
            "Groups are not teams: an organisation's owner connects a team to a group, after which the group's members are the team's.",
            "Logins are GitHub's to make, of the user name and the enterprise's short code.",
            "An attribute that the identity provider no longer sends stays as it last was.",
        ],
        calls: calls(&USERS, &["replace user"]).into_iter().chain(calls(&GROUPS, &["replace group"])).collect(),
        unverified: vec![
            "That members of a group are removed by a value (`path` members, `value` a list), as Entra sends it: GitHub documents adding only.",
            "That one PATCH of a group may hold 1,000 members: it is not in the API's description.",
            "GitHub's description calls the value of a PATCH a text, while its own examples have lists and objects; the examples are followed.",
            "That a role is changed by a PATCH of `roles`.",
        ],
        sources: vec![
            "https://docs.github.com/en/enterprise-cloud@latest/rest/enterprise-admin/scim",
            "https://docs.github.com/en/enterprise-cloud@latest/admin/managing-iam/provisioning-user-accounts-with-scim/provisioning-users-and-groups-with-scim-using-the-rest-api",
            "https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api",
        ],
    }
}
