//! Identity providers' recorded sequences through the real binary, against every simulated target of the catalogue: what
//! the target holds in the end is what the client asked for, so far as the connector declares that it can.
//!
//! GitHub and Buildkite have a test of their own, call by call (`replay`); directories and databases are real ones
//! (`ldap`, the SQL connector's tests).

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::collections::BTreeSet;
use std::path::Path;

use connector_sdk::spelling;
use serde_json::{Value, json};
use tests::replay::Sequence;
use tests::{Db, Gateway, Sim, facts};

const CLIENTS: [&str; 7] =
    ["okta_oin", "okta_aiw", "entra_optscim", "entra_legacy", "onelogin", "jumpcloud", "sailpoint_isc"];

/// What a connector declares that it does not do.
#[derive(Clone, Copy, Default)]
struct Without {
    /// Creates nobody: people are matched to accounts that are there.
    people: bool,
    /// Has no groups.
    groups: bool,
    /// What a group without members is there is the target's affair: disabled, or as it was made.
    empty_groups: bool,
    /// Takes groups' names in letters, digits, `-` and `_` alone.
    names: bool,
}

const NOTHING: Without = Without { people: false, groups: false, empty_groups: false, names: false };

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    value[name].as_array().into_iter().flatten().collect()
}

/// Whether an entry of the target's state is this user's.
fn is(entry: &Value, user: &Value) -> bool {
    let mut names: BTreeSet<String> = list(user, "emails").iter().map(|email| text(&email["value"])).collect();
    names.insert(text(&user["userName"]));
    ["login", "email"].iter().any(|field| entry[*field].is_string() && names.contains(&text(&entry[*field])))
}

/// What a group of the target is called: by its name, or where names are kept in a comment by that.
fn name_of(group: &Value, without: Without) -> String {
    let note = group["comment"].as_str().and_then(|note| note.strip_prefix("scimgate: "));
    let noted = note.and_then(|name| serde_json::from_str::<String>(name).ok()).map(|name| name.to_lowercase());
    let name = text(&group["name"]);
    noted.unwrap_or_else(|| if without.names { spelling::plain(&name) } else { name })
}

async fn check(facts: &Path, target: &str, without: Without, client: &str) {
    let what = format!("{client} against {target}");
    let (gateway, sim) = (Gateway::start(Db::Sqlite).await, Sim::start(target).await);
    let admin = gateway.admin();
    let own: BTreeSet<String> =
        list(&sim.state().await, "accounts").iter().map(|account| account["id"].to_string()).collect();
    let instance = admin.connect(&sim, json!({ "brake": false })).await;
    admin.imported(&instance.id).await;
    let played = Sequence::read(facts, client).play(&instance.scim).await;
    assert!(played.ok, "{what}: {}\n{}", played.text, gateway.log());
    admin.settled(&instance.id).await;
    sim.accept(json!({})).await;
    admin.run(&instance.id, "reconcile").await;
    admin.settled(&instance.id).await;

    let state = sim.state().await;
    let users = instance.scim.get("/Users?count=100").await;
    let users = list(&users, "Resources");
    let accounts: Vec<&Value> =
        list(&state, "accounts").into_iter().filter(|one| !own.contains(&one["id"].to_string())).collect();
    if !without.people {
        for user in &users {
            let theirs: Vec<_> = accounts.iter().filter(|account| is(account, user)).collect();
            let may: Vec<_> = theirs.iter().filter(|account| account["active"] != false).collect();
            let wanted = usize::from(user["active"] != false);
            assert_eq!(may.len(), wanted, "{what}: access of {user:#}\n{state:#}");
        }
        for account in accounts.iter().filter(|account| account["active"] != false) {
            assert!(users.iter().any(|user| is(account, user)), "{what}: nobody asked for {account:#}");
        }
        assert!(list(&state, "invitations").is_empty(), "{what}: {state:#}");
    }
    if without.groups {
        return;
    }
    let groups = instance.scim.get("/Groups?count=100").await;
    let mut wanted: Vec<(String, BTreeSet<String>)> = Vec::new();
    for group in list(&groups, "Resources") {
        let whole = instance.scim.get(&format!("/Groups/{}", group["id"].as_str().unwrap_or_default())).await;
        let ids: BTreeSet<String> = list(&whole, "members").iter().map(|member| text(&member["value"])).collect();
        let members = users.iter().filter(|user| user["active"] != false && ids.contains(&text(&user["id"])));
        let there = members.filter(|user| accounts.iter().any(|account| is(account, user)));
        wanted.push((text(&whole["displayName"]), there.map(|user| text(&user["userName"])).collect()));
    }
    if without.empty_groups {
        wanted.retain(|(_, members)| !members.is_empty());
    }
    wanted.sort();
    let mut held: Vec<(String, BTreeSet<String>)> = list(&state, "groups")
        .iter()
        .filter(|group| !without.empty_groups || !list(group, "members").is_empty())
        .map(|group| {
            let members = list(group, "members").into_iter().map(|member| {
                let user = users.iter().find(|user| is(member, user));
                user.map_or_else(|| panic!("{what}: nobody asked for {member}"), |user| text(&user["userName"]))
            });
            (name_of(group, without), members.collect())
        })
        .collect();
    held.sort();
    assert_eq!(held, wanted, "{what}: groups\n{state:#}");
}

async fn everyone(target: &str, without: Without) {
    let Some(facts) = facts("what_every_client_asks_for_is_at_the_target") else { return };
    for client in CLIENTS {
        check(&facts, target, without, client).await;
    }
}

macro_rules! targets {
    ($($name:ident, $target:literal, $without:expr;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                everyone($target, $without).await;
            }
        )*
    };
}

targets! {
    what_every_client_asks_for_is_at_linear, "linear", NOTHING;
    what_every_client_asks_for_is_at_datadog, "datadog", NOTHING;
    what_every_client_asks_for_is_at_pagerduty, "pagerduty", NOTHING;
    what_every_client_asks_for_is_at_gitlab, "gitlab", NOTHING;
    what_every_client_asks_for_is_at_a_gitlab_server, "gitlab_server", NOTHING;
    what_every_client_asks_for_is_at_sentry, "sentry", NOTHING;
    what_every_client_asks_for_is_at_grafana, "grafana", NOTHING;
    what_every_client_asks_for_is_at_terraform, "terraform", Without { names: true, ..NOTHING };
    what_every_client_asks_for_is_at_tailscale, "tailscale", NOTHING;
    what_every_client_asks_for_is_at_cloudflare, "cloudflare", Without { groups: true, ..NOTHING };
    what_every_client_asks_for_is_at_jupyterhub, "jupyterhub", NOTHING;
    what_every_client_asks_for_is_at_a_scim_server, "scim", NOTHING;
    what_every_client_asks_for_is_at_githubs_managed_users, "github_emu", NOTHING;
    what_every_client_asks_for_is_at_githubs_organisation, "github_scim", Without { groups: true, ..NOTHING };
    what_every_client_asks_for_is_at_slack, "slack", Without { people: true, empty_groups: true, ..NOTHING };
}
