//! What GitHub's page says.

use connector_sdk::{About, CallAbout};

/// What it is, needs, cannot do and calls.
pub(super) fn about() -> About {
    About {
        summary: "Invites people into one GitHub organisation, sets their role, removes them, and keeps its teams and their members, on github.com or GitHub Enterprise Server. It works in every plan: it uses the REST API and not GitHub's own SCIM API, which only Enterprise Cloud has.",
        needs: vec![
            "Any plan. Not an organisation with Enterprise Managed Users: those have no invitations.",
            "One credential: a classic personal access token of an owner with the scope admin:org (in an organisation with SAML, authorised for its single sign-on); or a fine-grained token of an owner with the organisation permission Members: read and write; or a GitHub App (`app_id`, `private_key`) with that permission, installed in the organisation.",
            "An identity source (`identity`), for GitHub does not say who accepted an e-mail invitation: the organisation's SAML identities, its verified domains, logins that the identity provider sends, or none.",
            "In the mode `teams_only`: the credential of an owner, or of a member who maintains the teams.",
        ],
        cannot: vec![
            "Suspend: `active = false` removes the person from the organisation or takes the invitation back, and `active = true` invites again.",
            "Write the name, login or address of an account: they are its owner's and stay in the directory.",
            "Change an e-mail invitation: later teams and the role wait for its acceptance. One by login can be put into teams at once.",
            "Tell who accepted an e-mail invitation without an identity source (`identity: manual`): the person stays at the invitation.",
            "Remove or demote the credential's own account or the last owner; change a team that an external group fills; delete a team with child teams, because GitHub would delete those too.",
            "Take a person out of a team whose membership comes from a child team: it is marked as inherited and stays.",
            "See secret teams with a credential that is no owner's: its list of teams is incomplete, and no team is reported as gone.",
        ],
        calls: calls(),
        unverified: vec![
            "The address of GraphQL and REST at GitHub Enterprise Server and with data residency is taken from the pattern of the documents (https://HOST/api/v3, https://HOST/api/graphql).",
            "That a list may leave something out without an error where a token is not authorised for single sign-on (X-GitHub-SSO: partial-results): such a list counts as incomplete.",
            "The words of a refusal for want of a seat or a spent quota of invitations: they are told apart by their words, and what is not recognised stays a refusal.",
        ],
        sources: vec![
            "https://docs.github.com/rest/orgs/members",
            "https://docs.github.com/rest/teams/teams",
            "https://docs.github.com/rest/teams/members",
            "https://docs.github.com/rest/apps/apps",
            "https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api",
            "https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api",
            "https://docs.github.com/graphql/reference/objects",
            "https://docs.github.com/graphql/overview/rate-limits-and-node-limits-for-the-graphql-api",
        ],
    }
}

fn calls() -> Vec<CallAbout> {
    const TEAM: &str = "/organizations/{org_id}/team/{team}";
    let call = CallAbout::new;
    vec![
        // Credential.
        call("find installation", "GET", "/orgs/{org}/installation", "The App's installation, unless it is set."),
        call(
            "make installation token",
            "POST",
            "/app/installations/{installation}/access_tokens",
            "A token of the App for an hour; kept until a minute before it ends.",
        ),
        call("get own account", "GET", "/user", "Whose the token is: that account is protected."),
        call("get own membership", "GET", "/user/memberships/orgs/{org}", "Whether the token's user is an owner."),
        call("organisation", "GET", "/orgs/{org}", "Probe: whether the organisation is there."),
        call("teams: read", "GET", "/orgs/{org}/teams", "Probe: whether teams can be listed."),
        call(
            "members: write",
            "GET",
            "/orgs/{org}/invitations",
            "Probe: whether invitations, which only owners see, can be.",
        ),
        call("identity source", "POST", "GraphQL organization", "Probe: whether the identity source answers."),
        // People.
        call("list members", "GET", "/orgs/{org}/members", "Import and comparison."),
        call("list owners", "GET", "/orgs/{org}/members", "Who is an owner; at most once a minute."),
        call(
            "list members with addresses",
            "POST",
            "GraphQL organization.membersWithRole",
            "With verified_domain: members with their addresses in the organisation's domains.",
        ),
        call("list invitations", "GET", "/orgs/{org}/invitations", "The pending invitations."),
        call("list failed invitations", "GET", "/orgs/{org}/failed_invitations", "Whether an invitation expired."),
        call(
            "find SAML identity",
            "POST",
            "GraphQL organization.samlIdentityProvider.externalIdentities(userName:)",
            "With saml: whose SAML identity has this name.",
        ),
        call(
            "read SAML identities",
            "POST",
            "GraphQL organization.samlIdentityProvider.externalIdentities(login:)",
            "With saml: the addresses of listed members.",
        ),
        call(
            "get membership",
            "GET",
            "/orgs/{org}/memberships/{login}",
            "A member's role; the look before each write by login.",
        ),
        call("get user by id", "GET", "/user/{id}", "The present login of an account whose login changed."),
        call("get user", "GET", "/users/{login}", "Whether a login exists, where an invitation by login was refused."),
        call("invite by e-mail", "POST", "/orgs/{org}/invitations", "Invites an address, with role and teams."),
        call("invite by login", "PUT", "/orgs/{org}/memberships/{login}", "With handle: invites an account."),
        call("set role", "PUT", "/orgs/{org}/memberships/{login}", "Member or owner."),
        call(
            "remove membership",
            "DELETE",
            "/orgs/{org}/memberships/{login}",
            "Removes a person from the organisation.",
        ),
        call("cancel invitation", "DELETE", "/orgs/{org}/invitations/{invitation}", "Takes an invitation back."),
        // Teams.
        call("get organisation", "GET", "/orgs/{org}", "The organisation's number, by which teams are addressed."),
        call("list teams", "GET", "/orgs/{org}/teams", "Import, comparison, and the team of a name."),
        call("get team by slug", "GET", "/orgs/{org}/teams/{slug}", "The team of a name, by the slug it would have."),
        call("get team", "GET", TEAM, "Whether a team is there."),
        call("create team", "POST", "/orgs/{org}/teams", "Creates a team."),
        call(
            "leave team",
            "DELETE",
            "/organizations/{org_id}/team/{team}/memberships/{login}",
            "The token's user leaves a team that it made.",
        ),
        call("rename team", "PATCH", TEAM, "Renames a team."),
        call(
            "list child teams",
            "GET",
            "/organizations/{org_id}/team/{team}/teams",
            "Before a deletion, which would take them along.",
        ),
        call("delete team", "DELETE", TEAM, "Deletes a team."),
        call("list team members", "GET", "/organizations/{org_id}/team/{team}/members", "Who is in a team."),
        call("list team invitations", "GET", "/organizations/{org_id}/team/{team}/invitations", "Who will be."),
        call(
            "get team membership",
            "GET",
            "/organizations/{org_id}/team/{team}/memberships/{login}",
            "Whether one person is in a team, where an answer leaves doubt.",
        ),
        call(
            "add team member",
            "PUT",
            "/organizations/{org_id}/team/{team}/memberships/{login}",
            "Puts a person into a team.",
        ),
        call(
            "remove team member",
            "DELETE",
            "/organizations/{org_id}/team/{team}/memberships/{login}",
            "Takes a person out of a team.",
        ),
    ]
}
