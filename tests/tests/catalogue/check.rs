//! A client's sequence, played with halts, and what a target has to hold at each of them.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use async_trait::async_trait;
use connector_sdk::spelling;
use serde_json::{Value, json};
use tests::Gateway;
use tests::admin::{Admin, Instance};
use tests::replay::Sequence;

/// The clients, each with the steps before which the target is looked at: when it holds most, and before all is taken
/// away again. The end comes besides.
pub(crate) const CLIENTS: [(&str, &[&str]); 7] = [
    ("okta_oin", &["remove one, add one, in one request", "push now for an empty group", "unlink + delete group"]),
    ("okta_aiw", &["remove a member by PUT", "delete group"]),
    ("entra_optscim", &["disable", "remove one member", "delete group"]),
    ("entra_legacy", &["disable", "remove one member", "delete group"]),
    ("onelogin", &["remove member", "reactivate: PUT active true", "delete user"]),
    ("jumpcloud", &["remove member: path members + value list", "reactivate by PUT", "delete user"]),
    ("sailpoint_isc", &["remove entitlement through group", "delete account"]),
];

/// What a connector declares that it does not do.
#[derive(Clone, Copy, Default)]
pub(crate) struct Without {
    /// Creates nobody: people are matched to accounts that are there.
    pub(crate) people: bool,
    /// Has no groups.
    pub(crate) groups: bool,
    /// What a group without members is there is the target's affair: disabled, or as it was made.
    pub(crate) empty_groups: bool,
    /// Takes groups' names in letters, digits, `-` and `_` alone.
    pub(crate) names: bool,
    /// Renames no group: the client is refused that, with these words, and the group keeps its name on both sides.
    pub(crate) renaming: Option<&'static str>,
    /// Does not see who accepted an invitation where their address changed meanwhile: an admin links the account.
    pub(crate) acceptance: bool,
}

pub(crate) const NOTHING: Without =
    Without { people: false, groups: false, empty_groups: false, names: false, renaming: None, acceptance: false };

/// A target, in the words of its own.
#[async_trait(?Send)]
pub(crate) trait Target {
    /// Connector, settings and secrets of an instance for it.
    fn instance(&self) -> Value;

    /// What it holds, in the form of simulators' state, read by means that are not the gateway's. An account may also say
    /// what it is called (`name`), by which attributes it is known (`shown`: pointers and values) and all its addresses.
    async fn state(&self) -> Value;

    /// What goes on at the target until a client is through.
    async fn meanwhile(&self, _: &Admin, _: &Instance, _through: &Cell<bool>) {}

    /// Comes back once the target has everything that was asked so far.
    async fn caught_up(&self, admin: &Admin, instance: &Instance) {
        admin.settled(&instance.id).await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_lowercase()
}

pub(crate) fn list<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    value[name].as_array().into_iter().flatten().collect()
}

/// Whether an entry of the target's state is this user's.
pub(crate) fn is(entry: &Value, user: &Value) -> bool {
    let mut names = addresses(user);
    names.insert(text(&user["userName"]));
    ["login", "email"].iter().any(|field| entry[*field].is_string() && names.contains(&text(&entry[*field])))
}

fn addresses(user: &Value) -> BTreeSet<String> {
    list(user, "emails").iter().map(|email| text(&email["value"])).collect()
}

/// What a group of the target is called: by its name, or where names are kept in a comment by that.
fn name_of(group: &Value, without: Without) -> String {
    let note = group["comment"].as_str().and_then(|note| note.strip_prefix("scimgate: "));
    let noted = note.and_then(|name| serde_json::from_str::<String>(name).ok()).map(|name| name.to_lowercase());
    let name = text(&group["name"]);
    noted.unwrap_or_else(|| if without.names { spelling::plain(&name) } else { name })
}

/// Plays one client's sequence against a target that holds nothing but its own, and looks at it at every halt.
pub(crate) async fn check(
    facts: &Path,
    gateway: &Gateway,
    (title, target): (&str, &dyn Target),
    without: Without,
    (client, halts): (&str, &[&str]),
) {
    let admin = gateway.admin();
    let own = list(&target.state().await, "accounts").iter().map(|account| account["id"].to_string()).collect();
    let mut body = target.instance();
    body["name"] = json!(format!("{title}, {client}"));
    body["mode"] = json!("enabled");
    body["policy"] = json!({ "brake": false, "answer_within_ms": 10_000 });
    let instance = admin.create(body).await;
    admin.imported(&instance.id).await;
    let sequence = Sequence::read(facts, client);
    let mut saved = Vec::new();
    let mut from = None;
    for halt in halts.iter().copied().map(Some).chain([None]) {
        let what = format!(
            "{client} against {title}, {}",
            halt.map_or("in the end".into(), |step| format!("before \"{step}\""))
        );
        let part = sequence.part(from, halt, &saved);
        let through = Cell::new(false);
        let play = async {
            let played = part.play(&instance.scim).await;
            through.set(true);
            played
        };
        let (played, ()) = tokio::join!(play, target.meanwhile(&admin, &instance, &through));
        assert!(played.ok || excused(&played.text, without), "{what}: {}\n{}", played.text, gateway.log());
        target.caught_up(&admin, &instance).await;
        let run = admin.run(&instance.id, "reconcile").await;
        assert_eq!(run["state"], "done", "{what}: {run}");
        admin.settled(&instance.id).await;
        Look { what, state: target.state().await, own: &own, without }.at(&instance).await;
        if let Some(halt) = halt {
            saved = sequence.saved(halt, &instance.scim).await;
        }
        from = halt;
    }
}

/// Whether all that a client misses is what the connector declares that it cannot do: each refusal says so to the client,
/// and what else misses is the name that a group was not given.
fn excused(played: &str, without: Without) -> bool {
    let Some(words) = without.renaming else { return false };
    let misses: Vec<&str> = played.lines().filter(|line| line.trim_start().starts_with("MISS ")).collect();
    let refused = |line: &&&str| line.contains(words);
    misses.iter().any(|line| refused(&line))
        && misses.iter().all(|line| refused(&line) || line.contains("/displayName is \""))
}

/// The target at one halt.
struct Look<'a> {
    what: String,
    state: Value,
    /// The accounts that are the target's own, by id.
    own: &'a BTreeSet<String>,
    without: Without,
}

impl Look<'_> {
    async fn at(&self, instance: &Instance) {
        let users = instance.scim.get("/Users?count=100").await;
        let users = list(&users, "Resources");
        let accounts: Vec<&Value> = list(&self.state, "accounts")
            .into_iter()
            .filter(|one| !self.own.contains(&one["id"].to_string()))
            .collect();
        if !self.without.people {
            self.people(&users, &accounts);
        }
        if !self.without.groups {
            self.groups(instance, &users, &accounts).await;
        }
    }

    fn people(&self, users: &[&Value], accounts: &[&Value]) {
        let Self { what, state, .. } = self;
        for user in users {
            let theirs: Vec<_> = accounts.iter().filter(|account| is(account, user)).collect();
            let may: Vec<_> = theirs.iter().filter(|account| account["active"] != false).collect();
            let wanted = usize::from(user["active"] != false);
            assert_eq!(may.len(), wanted, "{what}: access of {user:#}\n{state:#}");
            for account in may {
                self.profile(user, account);
            }
        }
        for account in accounts.iter().filter(|account| account["active"] != false) {
            assert!(users.iter().any(|user| is(account, user)), "{what}: nobody asked for {account:#}");
        }
        assert!(list(state, "invitations").is_empty(), "{what}: {state:#}");
    }

    /// What an account shows of its person, where the target says so.
    fn profile(&self, user: &Value, account: &Value) {
        let what = &self.what;
        for (pointer, shown) in account["shown"].as_object().into_iter().flatten() {
            if let Some(wanted) = user.pointer(pointer) {
                assert_eq!(shown, wanted, "{what}: {pointer} of {user:#}\n{account:#}");
            }
        }
        if account["addresses"].is_array() {
            let shown: BTreeSet<String> = list(account, "addresses").into_iter().map(text).collect();
            assert!(addresses(user).is_subset(&shown), "{what}: addresses of {user:#}\n{account:#}");
        }
    }

    async fn groups(&self, instance: &Instance, users: &[&Value], accounts: &[&Value]) {
        let Self { what, state, without, .. } = self;
        let groups = instance.scim.get("/Groups?count=100").await;
        let mut wanted: Vec<(String, BTreeSet<String>)> = Vec::new();
        for group in list(&groups, "Resources") {
            let whole = instance.scim.get(&format!("/Groups/{}", group["id"].as_str().unwrap_or_default())).await;
            let ids: BTreeSet<String> = list(&whole, "members").iter().map(|member| text(&member["value"])).collect();
            let members = users.iter().filter(|user| user["active"] != false && ids.contains(&text(&user["id"])));
            let there = members.filter(|user| accounts.iter().any(|account| is(account, user)));
            wanted.push((text(&whole["displayName"]), there.map(|user| text(&user["userName"])).collect()));
        }
        let mut held: Vec<(String, BTreeSet<String>)> = list(state, "groups")
            .iter()
            .map(|group| {
                let members = list(group, "members").into_iter().map(|member| {
                    let user = users.iter().find(|user| is(member, user));
                    user.map_or_else(
                        || panic!("{what}: nobody asked for {member} in {group}\n{state:#}"),
                        |user| text(&user["userName"]),
                    )
                });
                (name_of(group, *without), members.collect())
            })
            .collect();
        if without.empty_groups {
            wanted.retain(|(_, members)| !members.is_empty());
            held.retain(|(_, members)| !members.is_empty());
        }
        wanted.sort();
        held.sort();
        assert_eq!(held, wanted, "{what}: groups\n{state:#}");
    }
}

/// One entry's attributes, the last value of each.
pub(crate) fn single(entry: &[(String, String)]) -> BTreeMap<String, &str> {
    entry.iter().map(|(name, value)| (name.to_lowercase(), value.as_str())).collect()
}
