#![doc = include_str!("README.md")]

mod about;
mod settings;

use std::sync::Arc;

use connector_sdk::rates::{Headers, Reset};
use connector_sdk::{
    About, Bucket, Connector, ConnectorKind, Kind, Pace, Reading, Removal, Reply, RoleTrait, Rule, Secrets,
    SettingsError, StepCost, Tariff, Traits,
};
use http::{HeaderName, HeaderValue, header};
use url::Url;

use crate::github::answers as github;
use crate::scim::auth::Auth;
use crate::scim::client::Client;
use crate::scim::dialect::{Content, Deprovision, Dialect, Passed, Tri};
use crate::scim::discovery::{Attribute, Attributes, attributes_of};
use crate::scim::{Server, driver_key, traits};
use crate::shared;
pub use settings::{EmuSettings, OrgSettings};

/// GitHub's organisation SCIM: the kind.
pub struct GitHubScim;

/// GitHub's Enterprise Managed Users: the kind.
pub struct GitHubEmu;

/// Members that one PATCH of a group may hold.
const MOST_MEMBERS: usize = 1_000;

/// What GitHub documents of a person's name and addresses, for both APIs.
fn person(with: impl IntoIterator<Item = Attribute>) -> Attributes {
    let text = |name: &str| Attribute::of(name, []);
    let all = [text("userName").required(), text("active")];
    attributes_of(all.into_iter().chain(with))
}

/// docs.github.com/en/enterprise-cloud@latest/rest/scim/scim
fn organisation() -> (Attributes, Attributes) {
    let text = |name: &str| Attribute::of(name, []);
    let name = Attribute::of("name", [text("givenName").required(), text("familyName").required(), text("formatted")]);
    let emails = Attribute::of("emails", [text("value").required(), text("primary"), text("type")]).multi();
    let people = person([text("externalId"), text("displayName"), name.required(), emails.required()]);
    (people, Attributes::new())
}

/// docs.github.com/en/enterprise-cloud@latest/rest/enterprise-admin/scim
fn enterprise() -> (Attributes, Attributes) {
    let text = |name: &str| Attribute::of(name, []);
    let parts = [text("givenName").required(), text("familyName").required(), text("formatted"), text("middleName")];
    let emails = [text("value").required(), text("type").required(), text("primary").required()];
    let people = person([
        text("externalId").required(),
        text("displayName").required(),
        Attribute::of("name", parts),
        Attribute::of("emails", emails).multi().required(),
    ]);
    let members = Attribute::of("members", [text("value").required()]).multi();
    (people, attributes_of([text("externalId").required(), text("displayName").required(), members]))
}

/// The dialect that both have in common: nothing is discovered, filters are one `eq`, and paths hold none.
fn dialect() -> Dialect {
    let mut dialect = Dialect::plain();
    dialect.server = "GitHub";
    dialect.discovery = false;
    dialect.passed = Passed::Declared;
    dialect.path_filters = false;
    dialect.asks_members = false;
    dialect.bare_put = true;
    dialect.content = Content::Json;
    dialect
}

fn headers() -> Vec<(HeaderName, HeaderValue)> {
    vec![
        (header::ACCEPT, HeaderValue::from_static("application/scim+json")),
        (header::USER_AGENT, HeaderValue::from_static("scimgate")),
        (HeaderName::from_static("x-github-api-version"), HeaderValue::from_static("2022-11-28")),
    ]
}

fn server(
    api: Url,
    path: [&str; 4],
    dialect: Dialect,
    pace: Pace,
    secrets: &Secrets,
    change: impl FnOnce(&mut Traits),
) -> Result<Arc<dyn Connector>, SettingsError> {
    let token = shared::credential(secrets, "token")?.clone();
    let fingerprint = secrets.fingerprint("token").unwrap_or_default();
    let mut base = api;
    if let Ok(mut segments) = base.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    let mut traits = traits(&dialect, driver_key("github", &base, &fingerprint));
    traits.buckets = buckets(pace);
    traits.tariff = tariff(pace);
    traits.costs = costs(pace);
    change(&mut traits);
    let client = Client { base, auth: Auth::Bearer(token), headers: headers(), dialect, throttled: github::throttled };
    Ok(Arc::new(Server::new(client, traits, readings)))
}

/// GitHub's limits count SCIM calls like any others; those of creating content are not in the way: no mail is counted.
fn buckets(pace: Pace) -> Vec<Bucket> {
    let kept = |bucket: &Bucket| matches!(bucket.name, "primary" | "reads" | "writes");
    github::buckets(pace).into_iter().filter(kept).collect()
}

fn tariff(pace: Pace) -> Tariff {
    match pace {
        Pace::Headers => Tariff::new([Rule::any().charge("primary", 1)]),
        Pace::Documented => Tariff::new([
            Rule::any().method(&["GET"]).charge("primary", 1).charge("reads", 1),
            Rule::any().charge("primary", 1).charge("writes", 1),
        ]),
    }
}

fn costs(pace: Pace) -> Vec<StepCost> {
    let step = |name, reads: u32, writes: u32| {
        let cost = StepCost::new(name, reads + writes).charge("primary", reads + writes);
        if pace == Pace::Documented { cost.charge("reads", reads).charge("writes", writes) } else { cost }
    };
    vec![
        step("create", 0, 1),
        step("look", 1, 0),
        step("update", 1, 1),
        step("suspend", 0, 1),
        step("restore", 0, 1),
        step("remove", 1, 1),
        step("add_member", 0, 1),
        step("remove_member", 0, 1),
        step("create_group", 1, 1),
        step("update_group", 2, 1),
        step("remove_group", 0, 1),
    ]
}

/// GitHub counts SCIM calls as a resource of their own, or with all others; the headers of an answer tell of the one
/// that the call was counted by.
fn readings(reply: &Reply) -> Vec<Reading> {
    const HEADERS: Headers = Headers {
        limit: "x-ratelimit-limit",
        remaining: "x-ratelimit-remaining",
        reset: "x-ratelimit-reset",
        dialect: Reset::EpochSeconds,
    };
    HEADERS.read("primary", reply).into_iter().collect()
}

impl ConnectorKind for GitHubScim {
    const NAME: &'static str = "github_scim";
    const TITLE: &'static str = "GitHub organisation (SCIM)";
    const KIND: Kind = Kind::User;
    type Settings = OrgSettings;

    fn build(settings: OrgSettings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let api = shared::address("api_url", &settings.api_url)?;
        let org = settings::slug("org", &settings.org)?;
        let mut dialect = dialect();
        dialect.declared = Some(organisation);
        dialect.groups = false;
        // `active` false removes the person and the id for good, so it is no suspension.
        dialect.deprovision = Deprovision::Delete;
        // A whole is what GitHub documents best; a PATCH knows no names with parts.
        dialect.patch = Tri::No;
        server(api, ["scim", "v2", "organizations", &org], dialect, settings.pace, secrets, |_| {})
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            ("userName", "The NameID of the person's SAML identity."),
            ("name", "Given and family name, which GitHub requires: from the display name where they are missing."),
            ("emails", "Where GitHub sends the invitation."),
            ("externalId, displayName", "As they are."),
            (
                "active",
                "false removes the person from the organisation and deletes the SCIM identity; true invites again.",
            ),
        ]
    }

    fn limits() -> Vec<&'static str> {
        limits_in_words()
    }

    fn about() -> About {
        about::organisation()
    }
}

impl ConnectorKind for GitHubEmu {
    const NAME: &'static str = "github_emu";
    const TITLE: &'static str = "GitHub Enterprise Managed Users";
    const KIND: Kind = Kind::UserAndGroup;
    type Settings = EmuSettings;

    fn build(settings: EmuSettings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let api = shared::address("api_url", &settings.api_url)?;
        let enterprise_slug = settings::slug("enterprise", &settings.enterprise)?;
        let mut dialect = dialect();
        dialect.declared = Some(enterprise);
        dialect.role = true;
        dialect.members_per_patch = MOST_MEMBERS;
        if !settings.delete {
            dialect.removal = Removal::Suspended;
        }
        server(api, ["scim", "v2", "enterprises", &enterprise_slug], dialect, settings.pace, secrets, |traits| {
            traits.writable.push("roles");
            traits.roles = vec![
                RoleTrait { value: "user", privileged: false },
                RoleTrait { value: "guest_collaborator", privileged: false },
                RoleTrait { value: "billing_manager", privileged: true },
                RoleTrait { value: "enterprise_owner", privileged: true },
            ];
            traits.default_role = Some("user");
        })
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        vec![
            ("userName", "GitHub makes the login of it, with the enterprise's short code."),
            ("externalId", "GitHub requires one; the user name where it is missing."),
            ("displayName, name, emails", "As they are; GitHub requires a display name and an address."),
            (
                "roles",
                "user, guest_collaborator, billing_manager or enterprise_owner; the last two only where the policy allows privileged roles.",
            ),
            ("active", "false suspends the account; GitHub hides its login and address then. true restores it."),
            ("members", "The members of a group, which enterprises connect to teams."),
        ]
    }

    fn limits() -> Vec<&'static str> {
        let mut limits = limits_in_words();
        limits.push("1,000 members a PATCH of a group");
        limits
    }

    fn about() -> About {
        about::enterprise()
    }
}

fn limits_in_words() -> Vec<&'static str> {
    vec![
        "5,000 REST requests an hour; 15,000 for GitHub Enterprise Cloud, as the headers say (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api)",
        "900 points a minute: a read costs 1, a write 5 (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api)",
        "Writes one after the other, a second apart (docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api)",
    ]
}
