//! GitHub: the members, invitations and teams of one organisation (github.com or GitHub
//! Enterprise Server). What it needs and every call it makes stands in README.md beside this file.
//!
//! Mode `organization` invites people, gives them roles and removes them, and manages teams. Mode
//! `teams_only` is a connector of kind [`Kind::Group`] that still has accounts, for look-ups:
//! `list`, `find` and `get` match people to members; `create` answers with the member it found or
//! says that a person has to act (`not_a_member`); `update` and `remove` are refused.
//!
//! Invariants: every write that goes by login comes after a look that the login is still the id
//! (seats.rs); nobody is invited by team membership, because that look also says that the person
//! is in the organisation or invited.

mod about;
mod accounts;
pub(crate) mod answers;
mod auth;
mod client;
mod groups;
mod identity;
mod invite;
mod seats;
mod settings;
mod team_members;
mod wire;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Connector, ConnectorKind, Cx, Extension, Fault, FaultKind, Groups, Kind, Probe, ProbeCheck,
    Reading, Repeatable, Repeats, Reply, RoleTrait, Secrets, SettingsError, Suspend, Traits,
};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;

use answers::buckets;
use auth::Auth;
use client::Client;
use seats::Own;
pub use settings::{Identity, Mode, Settings, TeamPrivacy};
use wire::{Membership, User};

/// The GitHub connector.
pub struct GitHub;

/// One organisation.
struct Org {
    client: Client,
    settings: Settings,
    identity: Identity,
    traits: Traits,
    // Caches; each can be lost at any time.
    own: Mutex<Option<Own>>,
    org_id: Mutex<Option<u64>>,
    owners: Mutex<Option<(Timestamp, Arc<BTreeSet<u64>>)>>,
    seen: Mutex<HashMap<u64, (Timestamp, Membership)>>,
}

/// Memberships of the organisation and of teams are set by PUT and DELETE, teams are changed by PATCH:
/// twice is once. An invitation by POST mails a person each time, and a second team of a name is
/// refused; lists show both (docs.github.com/en/rest/orgs/members, /rest/teams/teams). The invitation
/// of a login is a PUT as well, but whose it is only a look tells.
fn repeats() -> Repeats {
    let mut repeats = Repeats::default();
    repeats.create = Repeatable::Verifiable;
    repeats.update = Repeatable::Idempotent;
    repeats.remove = Repeatable::Idempotent;
    repeats.create_group = Repeatable::Verifiable;
    repeats.update_group = Repeatable::Idempotent;
    repeats.remove_group = Repeatable::Idempotent;
    repeats.tidy_group = Repeatable::Idempotent;
    repeats.change_members = Repeatable::Idempotent;
    repeats
}

impl ConnectorKind for GitHub {
    const NAME: &'static str = "github";
    const TITLE: &'static str = "GitHub";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let checked = settings::check(&settings, secrets)?;
        let organization = settings.mode == Mode::Organization;
        let kind = if organization { Kind::UserAndGroup } else { Kind::Group };
        let mut traits = Traits::new(kind, checked.driver_key);
        traits.buckets = buckets(settings.pace);
        traits.tariff = answers::tariff(settings.pace);
        traits.costs = answers::costs(settings.pace);
        traits.suspend = Suspend::Removes;
        traits.invites = organization;
        traits.members_per_call = 1;
        traits.tidy_created_groups = matches!(checked.auth, Auth::Token(_));
        traits.verified_emails = checked.identity == Identity::VerifiedDomain;
        traits.repeats = repeats();
        if organization {
            traits.writable = vec!["roles"];
            traits.roles =
                vec![RoleTrait { value: "member", privileged: false }, RoleTrait { value: "admin", privileged: true }];
            traits.default_role = Some("member");
            // Only an invitation by login can be put into a team before it is accepted.
            if checked.identity == Identity::Handle {
                traits.pending_members = connector_sdk::PendingMembers::ByLogin;
            }
        }
        Ok(Arc::new(Org {
            client: Client {
                org: checked.org,
                api: checked.api,
                graphql: checked.graphql,
                pace: settings.pace,
                auth: checked.auth,
            },
            settings,
            identity: checked.identity,
            traits,
            own: Mutex::default(),
            org_id: Mutex::default(),
            owners: Mutex::default(),
            seen: Mutex::default(),
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "userName",
                "With identity handle (and no other handle_attribute): the GitHub login. With saml: looked up in the SAML identities.",
            ),
            ("emails", "The primary address is where the invitation goes. GitHub does not let it be changed later."),
            ("roles", "member or admin (an owner; only where the policy allows privileged roles)."),
            (
                "active",
                "false removes the person from the organisation or takes the invitation back; true invites again.",
            ),
            (
                "groups",
                "Teams. Teams a person is in when an e-mail invitation is sent are part of it; later ones wait for the acceptance.",
            ),
            ("displayName", "Of a group: the team's name. Of a person: stays in the directory."),
        ]
    }

    fn extensions() -> Vec<Extension> {
        vec![Extension {
            resource_type: "User",
            description: "What GitHub knows a person by",
            attributes: r#"[{"name": "login", "type": "string", "description": "The person's GitHub login. It is read where the instance's handle_attribute names it."}]"#,
        }]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "5,000 REST requests an hour; more for GitHub Enterprise Cloud and Apps, as the headers say (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api)",
            "5,000 GraphQL points an hour (docs.github.com/graphql/overview/rate-limits-and-node-limits-for-the-graphql-api)",
            "900 points a minute: a read costs 1, a write 5 (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api)",
            "Writes one after the other, a second apart (docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api)",
            "80 content-creating requests a minute and 500 an hour (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api)",
            "500 invitations a day; 50 for free organisations in their first month (docs.github.com/rest/orgs/members)",
        ]
    }

    fn about() -> About {
        about::about()
    }
}

#[async_trait]
impl Connector for Org {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        let mut probe = Probe { identity: None, checks: Vec::new() };
        if !self.probe_credential(cx, &mut probe).await? {
            return Ok(probe);
        }
        let org = &self.client.org;
        self.probe_path(cx, &mut probe, "organisation", &["orgs", org], "is there").await?;
        self.probe_path(cx, &mut probe, "teams: read", &["orgs", org, "teams"], "can be listed").await?;
        if self.settings.mode == Mode::Organization {
            self.probe_path(
                cx,
                &mut probe,
                "members: write",
                &["orgs", org, "invitations"],
                "invitations, which only owners see, can be listed",
            )
            .await?;
        }
        self.probe_identity(cx, &mut probe).await?;
        Ok(probe)
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(self)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        Some(self)
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        answers::limits(self.client.pace, reply)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        answers::throttled(reply)
    }
}

impl Org {
    /// Whether the credential lives, and whom it speaks for.
    async fn probe_credential(&self, cx: &Cx<'_>, probe: &mut Probe) -> Result<bool, Fault> {
        let name = "credential";
        if let Auth::App(app) = &self.client.auth {
            let id = app.id().to_owned();
            return match self.client.bearer(cx, None).await {
                Ok(_) => {
                    probe.identity = Some(format!("app:{id}"));
                    probe.note(name, true, format!("The GitHub App {id} is installed and made a token."));
                    Ok(true)
                }
                Err(fault) => probe.take(name, fault).map(|()| false),
            };
        }
        let call = self.client.call("get own account", Method::GET, &["user"]);
        let reply = match self.client.send(cx, call).await {
            Ok(reply) => reply,
            Err(fault) => return probe.take(name, fault).map(|()| false),
        };
        if reply.status != 200 {
            let fault = self.client.refusal("get own account", &reply);
            return probe.take(name, fault).map(|()| false);
        }
        let user: User = self.client.read("get own account", &reply)?;
        // The login can change, the id cannot: identities are compared when a token is replaced.
        probe.identity = Some(format!("user:{}", user.id));
        probe.note(name, true, format!("The token is {}'s.", user.login));
        // Only classic tokens have scopes; others show their rights when they are used.
        if let Some(scopes) = reply.header("x-oauth-scopes") {
            let has = |scope: &str| scopes.split(',').any(|one| one.trim() == scope);
            let ok = has("admin:org");
            let detail = if ok {
                "The token has the scope admin:org.".to_owned()
            } else {
                "The token lacks the scope admin:org. Make a classic token with it, or a fine-grained one with the organisation permission Members: read and write.".to_owned()
            };
            probe.note("scopes", ok, detail);
        }
        let org = self.client.org.as_str();
        let found: Option<Membership> =
            match self.client.object(cx, "get own membership", &["user", "memberships", "orgs", org]).await {
                Ok(found) => found,
                // A fine-grained token cannot always read this; the lists below tell.
                Err(fault) if fault.kind == FaultKind::Permission => return Ok(true),
                Err(fault) => return probe.take("owner", fault).map(|()| false),
            };
        let role = found.filter(|membership| !membership.pending()).and_then(|membership| membership.role);
        match role.as_deref() {
            Some("admin") => probe.note("owner", true, format!("The token's user is an owner of {org}.")),
            Some(_) if self.settings.mode == Mode::TeamsOnly => probe.note("owner", true, format!("The token's user is a member of {org}; teams that it does not maintain cannot be changed.")),
            Some(_) => probe.note("owner", false, format!("The token's user is a member of {org}, but only owners can invite and remove. Use an owner's token.")),
            None => probe.note("owner", false, format!("The token's user is not a member of {org}. Check the setting org, or use an owner's token.")),
        }
        Ok(true)
    }

    async fn probe_path(
        &self,
        cx: &Cx<'_>,
        probe: &mut Probe,
        name: &'static str,
        path: &[&str],
        good: &str,
    ) -> Result<(), Fault> {
        let mut call = self.client.call(name, Method::GET, path);
        // Lists are asked for one item; reading the organisation itself knows no pages.
        if path.len() > 2 {
            call.url.query_pairs_mut().append_pair("per_page", "1");
        }
        match self.client.send(cx, call).await {
            Ok(reply) if reply.status == 200 => {
                probe.note(name, true, format!("{}: {good}.", self.client.org));
                Ok(())
            }
            Ok(reply) => probe.take(name, self.client.refusal(name, &reply)),
            Err(fault) => probe.take(name, fault),
        }
    }

    async fn probe_identity(&self, cx: &Cx<'_>, probe: &mut Probe) -> Result<(), Fault> {
        let name = "identity source";
        let query = match self.identity {
            Identity::Handle => {
                probe.note(name, true, format!("GitHub logins come from {}.", self.settings.handle_attribute));
                return Ok(());
            }
            Identity::Manual => {
                probe.note(
                    name,
                    true,
                    "With `identity: manual` nothing tells which account accepted an e-mail invitation: people stay at their invitation. Use another identity source if one is available.".to_owned(),
                );
                return Ok(());
            }
            Identity::Saml => {
                "query($org:String!){organization(login:$org){samlIdentityProvider{externalIdentities(first:1){edges{node{guid}}}}}}"
            }
            Identity::VerifiedDomain => {
                "query($org:String!){organization(login:$org){membersWithRole(first:1){edges{node{login databaseId organizationVerifiedDomainEmails(login:$org)}}}}}"
            }
        };
        let answer: Result<(Value, bool), Fault> =
            self.client.query(cx, name, query, serde_json::json!({ "org": self.client.org })).await;
        match answer {
            Err(fault) => probe.take(name, fault),
            Ok((data, _))
                if self.identity == Identity::Saml && data["organization"]["samlIdentityProvider"].is_null() =>
            {
                probe.take(name, self.no_saml())
            }
            Ok((data, _)) if data["organization"].is_null() => probe.take(name, self.client.hidden(name)),
            Ok(_) => {
                probe.note(name, true, "It answers.".to_owned());
                Ok(())
            }
        }
    }
}

/// Adding to a probe.
trait Notes {
    fn note(&mut self, name: &str, ok: bool, detail: String);

    /// Takes a fault that says something of the credential as a check; any other is given back.
    fn take(&mut self, name: &str, fault: Fault) -> Result<(), Fault>;
}

impl Notes for Probe {
    fn note(&mut self, name: &str, ok: bool, detail: String) {
        self.checks.push(ProbeCheck { name: name.to_owned(), ok, detail });
    }

    fn take(&mut self, name: &str, fault: Fault) -> Result<(), Fault> {
        match fault.kind {
            FaultKind::Credential | FaultKind::Permission | FaultKind::NotFound | FaultKind::Refused => {
                self.note(name, false, fault.message);
                Ok(())
            }
            _ => Err(fault),
        }
    }
}
