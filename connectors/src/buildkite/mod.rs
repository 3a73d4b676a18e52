#![doc = include_str!("README.md")]

mod about;
mod accounts;
mod client;
mod groups;
mod ids;
mod limits;
mod people;
mod probe;
mod settings;

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    About, Accounts, Connector, ConnectorKind, Cx, DriverKey, Fault, Groups, Kind, Probe, Reading, Repeatable, Repeats,
    Reply, RoleTrait, Secrets, SettingsError, Suspend, Traits,
};
use jiff::Timestamp;

use crate::shared::{address, authority, credential};
use client::Client;
use groups::Teams;
use people::People;
pub use settings::{OrgRole, Settings, SsoMode, TeamPrivacy, TeamRole};

/// The roles of members, as REST names them.
const ROLES: [RoleTrait; 2] =
    [RoleTrait { value: "member", privileged: false }, RoleTrait { value: "admin", privileged: true }];

/// The kind: what the catalogue lists.
pub struct Buildkite;

/// Members and teams are changed by PATCH and DELETE with ids: twice is once. Each POST of an invitation
/// is another one, and a team is created by a mutation: lists show both
/// (buildkite.com/docs/apis/rest-api/organizations/invitations, /docs/apis/graphql). A second membership
/// of a team is refused, and the connector looks then, so that twice is once here as well.
fn repeats() -> Repeats {
    let mut repeats = Repeats::default();
    repeats.create = Repeatable::Verifiable;
    repeats.update = Repeatable::Idempotent;
    repeats.remove = Repeatable::Idempotent;
    repeats.create_group = Repeatable::Verifiable;
    repeats.update_group = Repeatable::Idempotent;
    repeats.remove_group = Repeatable::Idempotent;
    repeats.change_members = Repeatable::Idempotent;
    repeats
}

impl ConnectorKind for Buildkite {
    const NAME: &'static str = "buildkite";
    const TITLE: &'static str = "Buildkite";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = Settings;

    fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let slug = settings.org.as_str();
        let sound = !slug.is_empty()
            && slug.len() <= 100
            && slug.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if !sound {
            return Err(SettingsError::new(
                "org",
                "must be the organisation's slug: letters, digits and dashes, as in buildkite.com/SLUG",
            ));
        }
        let api = address("api_url", &settings.api_url)?;
        let graphql = address("graphql_url", &settings.graphql_url)?;
        let token = credential(secrets, "token")?;
        let key = format!("buildkite:{}:{}", authority(&api), slug.to_ascii_lowercase());
        let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new(key));
        traits.buckets = limits::buckets(settings.pace);
        traits.tariff = limits::tariff();
        traits.costs = limits::costs(settings.pace);
        traits.suspend = Suspend::Removes;
        traits.invites = true;
        traits.repeats = repeats();
        traits.writable = vec!["roles"];
        traits.roles = ROLES.to_vec();
        traits.default_role = Some(settings.default_role.word());
        let client = Arc::new(Client::new(token.clone(), api, graphql, settings.org.clone()));
        let settings = Arc::new(settings);
        Ok(Arc::new(Organization {
            traits,
            people: People { client: Arc::clone(&client), settings: Arc::clone(&settings) },
            teams: Teams { client: Arc::clone(&client), settings },
            client,
        }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            (
                "emails",
                "The primary address (else a userName that is one) is invited, and members are found by it. Buildkite's people own their address: a change is not written.",
            ),
            ("roles", "The organisation role: `member` or `admin` (privileged)."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        vec![
            "REST: 200 calls a minute per organisation, shared by all its tokens (buildkite.com/docs/apis/rest-api/limits)",
            "REST: 50 calls a minute per user (buildkite.com/docs/apis/rest-api/limits)",
            "GraphQL: 5,000 points in five minutes per user, 20,000 per organisation (buildkite.com/docs/apis/graphql/graphql-resource-limits)",
            "20 pending invitations per organisation by default: the rest waits (buildkite.com/docs/platform/limits)",
            "250 teams per organisation by default (buildkite.com/docs/platform/limits)",
        ]
    }

    fn about() -> About {
        about::about()
    }
}

/// One organisation, built.
struct Organization {
    traits: Traits,
    client: Arc<Client>,
    people: People,
    teams: Teams,
}

#[async_trait]
impl Connector for Organization {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        probe::probe(&self.client, cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.people)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        Some(&self.teams)
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        limits::readings(reply)
    }

    fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        (reply.status == http::StatusCode::TOO_MANY_REQUESTS).then(|| limits::not_before(reply))
    }
}
