//! The JSON shapes of GitHub's REST API, with every field that the vendor's OpenAPI requires.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::invitations::Invitation;
use super::people::Person;
use super::teams::Team;
use super::{GitHub, ORG, ORG_ID, Role, TeamRole};

/// When the organisation was made.
const FOUNDED: &str = "2020-01-01T00:00:00Z";

/// GitHub's opaque id of a thing.
pub(super) fn node_id(kind: &str, id: u64) -> String {
    let id = u32::try_from(id).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![0x92, 0x00, 0xce];
    bytes.extend(id);
    format!("{kind}_{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A `simple-user`: no e-mail, no name.
pub(super) fn simple_user(base: &str, person: &Person) -> Value {
    let login = &person.login;
    let url = format!("{base}/users/{login}");
    json!({
        "login": login,
        "id": person.id,
        "node_id": node_id("U", person.id),
        "avatar_url": format!("{base}/avatars/u/{}", person.id),
        "gravatar_id": "",
        "url": url,
        "html_url": format!("{base}/{login}"),
        "followers_url": format!("{url}/followers"),
        "following_url": format!("{url}/following{{/other_user}}"),
        "gists_url": format!("{url}/gists{{/gist_id}}"),
        "starred_url": format!("{url}/starred{{/owner}}{{/repo}}"),
        "subscriptions_url": format!("{url}/subscriptions"),
        "organizations_url": format!("{url}/orgs"),
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events{{/privacy}}"),
        "received_events_url": format!("{url}/received_events"),
        "type": "User",
        "user_view_type": "public",
        "site_admin": false,
    })
}

/// A `public-user`: the profile e-mail is hidden, as most are.
pub(super) fn public_user(base: &str, person: &Person) -> Value {
    extend(
        simple_user(base, person),
        json!({
            "name": null,
            "company": null,
            "blog": "",
            "location": null,
            "email": null,
            "hireable": null,
            "bio": null,
            "twitter_username": null,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": person.created_at,
            "updated_at": person.created_at,
        }),
    )
}

/// A `private-user`: the caller itself.
pub(super) fn private_user(base: &str, person: &Person) -> Value {
    extend(
        public_user(base, person),
        json!({
            "private_gists": 0,
            "total_private_repos": 0,
            "owned_private_repos": 0,
            "disk_usage": 0,
            "collaborators": 0,
            "two_factor_authentication": true,
        }),
    )
}

/// `{"role","inherited"}` on top of a `simple-user`.
pub(super) fn team_member(base: &str, person: &Person, role: TeamRole, inherited: bool) -> Value {
    extend(simple_user(base, person), json!({ "role": role.name(), "inherited": inherited }))
}

/// An `organization-simple`.
pub(super) fn organization_simple(base: &str) -> Value {
    let url = format!("{base}/orgs/{ORG}");
    json!({
        "login": ORG,
        "id": ORG_ID,
        "node_id": node_id("O", ORG_ID),
        "url": url,
        "repos_url": format!("{url}/repos"),
        "events_url": format!("{url}/events"),
        "hooks_url": format!("{url}/hooks"),
        "issues_url": format!("{url}/issues"),
        "members_url": format!("{url}/members{{/member}}"),
        "public_members_url": format!("{url}/public_members{{/member}}"),
        "avatar_url": format!("{base}/avatars/o/{ORG_ID}"),
        "description": "A simulated organisation",
    })
}

/// An `organization-full`, which is a `team-organization` as well.
pub(super) fn organization_full(base: &str) -> Value {
    extend(
        organization_simple(base),
        json!({
            "name": ORG,
            "html_url": format!("{base}/{ORG}"),
            "is_verified": true,
            "has_organization_projects": true,
            "has_repository_projects": true,
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "type": "Organization",
            "two_factor_requirement_enabled": false,
            "created_at": FOUNDED,
            "updated_at": FOUNDED,
            "archived_at": null,
        }),
    )
}

fn team_simple(base: &str, team: &Team) -> Value {
    let url = format!("{base}/organizations/{ORG_ID}/team/{}", team.id);
    json!({
        "id": team.id,
        "node_id": node_id("T", team.id),
        "name": team.name,
        "slug": team.slug,
        "description": team.description,
        "privacy": team.privacy,
        "notification_setting": team.notification_setting,
        "permission": team.permission,
        "url": url,
        "html_url": format!("{base}/orgs/{ORG}/teams/{}", team.slug),
        "members_url": format!("{url}/members{{/member}}"),
        "repositories_url": format!("{url}/repos"),
        "type": "organization",
        "organization_id": ORG_ID,
    })
}

/// `GET /app`, an `integration`.
pub(super) fn app(base: &str, app_id: u64, client_id: &str, permissions: &Value) -> Value {
    json!({
        "id": app_id,
        "slug": super::app_auth::SLUG,
        "node_id": node_id("A", app_id),
        "client_id": client_id,
        "owner": owner(base),
        "name": "Acme SCIM",
        "description": null,
        "external_url": format!("{base}/apps/{}", super::app_auth::SLUG),
        "html_url": format!("{base}/apps/{}", super::app_auth::SLUG),
        "created_at": FOUNDED,
        "updated_at": FOUNDED,
        "permissions": permissions,
        "events": [],
        "installations_count": 1,
    })
}

/// An `installation` of the app in the organisation.
pub(super) fn installation(base: &str, id: u64, app_id: u64, permissions: &Value, suspended: bool) -> Value {
    json!({
        "id": id,
        "account": owner(base),
        "repository_selection": "all",
        "access_tokens_url": format!("{base}/app/installations/{id}/access_tokens"),
        "repositories_url": format!("{base}/installation/repositories"),
        "html_url": format!("{base}/organizations/{ORG}/settings/installations/{id}"),
        "app_id": app_id,
        "app_slug": super::app_auth::SLUG,
        "target_id": ORG_ID,
        "target_type": "Organization",
        "permissions": permissions,
        "events": [],
        "created_at": FOUNDED,
        "updated_at": FOUNDED,
        "single_file_name": null,
        "suspended_by": null,
        "suspended_at": suspended.then_some(FOUNDED),
    })
}

/// The organisation as a `simple-user`, as the owner of an app is shown.
fn owner(base: &str) -> Value {
    let person =
        Person { id: ORG_ID, login: ORG.to_owned(), emails: Vec::new(), created_at: jiff::Timestamp::UNIX_EPOCH };
    extend(simple_user(base, &person), json!({ "type": "Organization", "node_id": node_id("O", ORG_ID) }))
}

impl GitHub {
    /// A `team`.
    pub(super) fn team(&self, base: &str, team: &Team) -> Value {
        extend(team_simple(base, team), json!({ "parent": self.parent(base, team) }))
    }

    /// A `team-full`.
    pub(super) fn team_full(&self, base: &str, team: &Team) -> Value {
        extend(
            self.team(base, team),
            json!({
                "members_count": self.team_people(team).len(),
                "repos_count": 0,
                "created_at": team.created_at,
                "updated_at": team.updated_at,
                "organization": organization_full(base),
            }),
        )
    }

    fn parent(&self, base: &str, team: &Team) -> Value {
        team.parent.and_then(|id| self.teams.get(id)).map_or(Value::Null, |parent| team_simple(base, parent))
    }

    /// An `organization-invitation`.
    pub(super) fn invitation(&self, base: &str, invitation: &Invitation) -> Value {
        let login = invitation.user.and_then(|id| self.people.get(id)).map(|person| &person.login);
        json!({
            "id": invitation.id,
            "node_id": node_id("OI", invitation.id),
            "login": login,
            "email": invitation.email,
            "role": invitation.role.name(),
            "created_at": invitation.created_at,
            "failed_at": invitation.failed.as_ref().map(|f| f.0),
            "failed_reason": invitation.failed.as_ref().map(|f| f.1),
            "inviter": self.people.get(self.me).map(|me| simple_user(base, me)),
            "team_count": invitation.teams.len(),
            "invitation_teams_url":
                format!("{base}/organizations/{ORG_ID}/invitations/{}/teams", invitation.id),
            "invitation_source": "member",
        })
    }

    /// An `org-membership`.
    pub(super) fn membership(&self, base: &str, person: &Person, role: Role, state: &str) -> Value {
        let org = format!("{base}/orgs/{ORG}");
        json!({
            "url": format!("{org}/memberships/{}", person.login),
            "state": state,
            "role": role.name(),
            "direct_membership": true,
            "organization_url": org,
            "organization": organization_simple(base),
            "user": simple_user(base, person),
        })
    }
}

/// The fields of `more` after those of `base`; the same name is replaced.
fn extend(mut base: Value, more: Value) -> Value {
    if let (Value::Object(base), Value::Object(more)) = (&mut base, more) {
        base.extend(more);
    }
    base
}
