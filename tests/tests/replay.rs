//! Whole clients against whole targets: the recorded sequence of an identity provider is played, and
//! what the target holds afterwards is asserted together with every write it was asked for. The
//! same with a target that is away all the while.
//!
//! What is right follows from the sequence. A person who is created is invited; one who is
//! deactivated or deleted while invited loses the invitation; one who returns is invited anew; an
//! invitation to an address that the person no longer has is taken back (DECISIONS 3). A
//! membership of somebody who has not accepted is parked, so it is no call (DECISIONS 20). A
//! target that was away gets what is wanted in the end, and nothing of what was wanted in between.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::Instance;
use tests::replay::replay;
use tests::{Admin, Db, Gateway, Sim, databases, facts, wait_until};

/// A breaker that opened lets a call through once a minute.
const SETTLED: Duration = Duration::from_secs(90);

/// A client with what it brings about.
struct Case {
    client: &'static str,
    /// The optional steps that are not answered as the client would like; no other may miss.
    misses: &'static [&'static str],
    /// The writes, in order; [`lines`] has them in a target's own terms.
    writes: &'static [Write],
    /// The addresses that are invited in the end.
    invited: &'static [&'static str],
    /// The groups that are there in the end, all without members.
    groups: &'static [&'static str],
    /// The writes once a target comes up that was away all the while, in no order: resources do
    /// not wait for each other.
    late: &'static [Write],
}

/// A write, whatever the target.
#[derive(Clone, Copy)]
enum Write {
    Invite,
    /// Takes the n-th invitation back that is taken back.
    Revoke(u8),
    MakeGroup,
    Rename,
    DropGroup,
}
use Write::{DropGroup, Invite, MakeGroup, Rename, Revoke};

const OKTA: &[Write] = &[
    Invite,    // Olivia
    Invite,    // Oscar
    Revoke(1), // Olivia is deactivated
    Invite,    // and reactivated
    MakeGroup,
    Rename,
    DropGroup,
    Revoke(2), // Olivia is unassigned
];

const CASES: [Case; 5] = [
    Case {
        client: "okta_oin",
        misses: &[],
        writes: OKTA,
        invited: &["oscar.okta@example.com"],
        groups: &[],
        late: &[Invite],
    },
    Case {
        client: "okta_aiw",
        misses: &[],
        writes: OKTA,
        invited: &["oscar.okta@example.com"],
        groups: &[],
        late: &[Invite],
    },
    Case {
        client: "entra_optscim",
        // A schema that the instance does not have holds nothing.
        misses: &["custom extension attribute path (URN of a schema never listed in 'schemas')"],
        writes: &[
            Invite,    // Mona
            Invite,    // Alice
            Revoke(1), // Alice has another address
            Invite,
            Revoke(2), // Alice is disabled
            Invite,    // and enabled
            MakeGroup,
            Rename,
            DropGroup,
            Revoke(3), // Alice is deleted
            Revoke(4), // Mona is deleted
        ],
        invited: &[],
        groups: &[],
        late: &[],
    },
    Case {
        client: "onelogin",
        misses: &[],
        writes: &[
            Invite, // Otto
            Invite, // Olga
            MakeGroup,
            Revoke(1), // Otto is suspended
            Invite,    // and reactivated
            Revoke(2), // Otto is deleted
            Revoke(3), // Olga is deleted
        ],
        invited: &[],
        groups: &["OneLogin Group"],
        late: &[MakeGroup],
    },
    Case {
        client: "sailpoint_isc",
        misses: &[],
        writes: &[
            Invite,    // Sam
            Revoke(1), // Sam is disabled
            Invite,    // and enabled
            MakeGroup,
            DropGroup,
            Revoke(2), // Sam is deleted
        ],
        invited: &[],
        groups: &[],
        late: &[],
    },
];

/// A write in the terms of a target's API.
fn lines(target: &str, write: Write) -> Vec<String> {
    match (target, write) {
        ("github", Invite) => vec!["POST /orgs/acme/invitations -> 201".to_owned()],
        ("github", Revoke(n)) => vec![format!("DELETE /orgs/acme/invitations/{{invite{n}}} -> 204")],
        // GitHub makes the token's own account a maintainer of a team it creates: it leaves again.
        ("github", MakeGroup) => vec![
            "POST /orgs/acme/teams -> 201".to_owned(),
            "DELETE /organizations/4242/team/{team1}/memberships/acme-scim-bot -> 204".to_owned(),
        ],
        ("github", Rename) => vec!["PATCH /organizations/4242/team/{team1} -> 200".to_owned()],
        ("github", DropGroup) => vec!["DELETE /organizations/4242/team/{team1} -> 204".to_owned()],
        ("buildkite", Invite) => vec!["POST /v2/organizations/acme/invitations -> 201".to_owned()],
        ("buildkite", Revoke(n)) => {
            vec![format!("DELETE /v2/organizations/acme/invitations/{{invite{n}}} -> 204")]
        }
        ("buildkite", MakeGroup) => vec!["POST /graphql mutation teamCreate -> 200".to_owned()],
        ("buildkite", Rename) => vec!["PATCH /v2/organizations/acme/teams/{team1} -> 200".to_owned()],
        ("buildkite", DropGroup) => vec!["DELETE /v2/organizations/acme/teams/{team1} -> 204".to_owned()],
        (other, _) => unreachable!("no target {other}"),
    }
}

fn all_lines(target: &str, writes: &[Write]) -> Vec<String> {
    writes.iter().flat_map(|write| lines(target, *write)).collect()
}

/// Writes with the target's ids replaced by words, numbered as they first appear.
fn with_words(writes: &[String]) -> Vec<String> {
    let mut known: Vec<(String, String)> = Vec::new();
    let mut word = |collection: &str, id: &str| -> Option<String> {
        let kind = match collection {
            "invitations" => "invite",
            "team" | "teams" => "team",
            // Logins, GitHub's way, are stable words already.
            "members" => "member",
            _ => return None,
        };
        if let Some((_, word)) = known.iter().find(|(known, _)| known == id) {
            return Some(word.clone());
        }
        let start = format!("{{{kind}");
        let n = known.iter().filter(|(_, word)| word.starts_with(&start)).count() + 1;
        let made = format!("{start}{n}}}");
        known.push((id.to_owned(), made.clone()));
        Some(made)
    };
    let mut replaced = |line: &String| {
        let mut collection = String::new();
        let segments = line.split('/').map(|segment| {
            let (id, rest) = segment.split_once(' ').map_or((segment, None), |(id, rest)| (id, Some(rest)));
            let id = Some(id)
                .filter(|id| !id.is_empty())
                .and_then(|id| word(&collection, id))
                .unwrap_or_else(|| id.to_owned());
            collection = segment.to_owned();
            rest.map_or(id.clone(), |rest| format!("{id} {rest}"))
        });
        segments.collect::<Vec<_>>().join("/")
    };
    writes.iter().map(&mut replaced).collect()
}

/// What a target holds, without its ids and in an order of its own.
async fn holdings(sim: &Sim) -> Value {
    fn plain(value: Value) -> Value {
        match value {
            Value::Object(map) => map.into_iter().filter(|(name, _)| name != "id").map(|(name, value)| (name, plain(value))).collect(),
            Value::Array(items) => {
                let mut items: Vec<_> = items.into_iter().map(plain).collect();
                items.sort_by_key(Value::to_string);
                items.into()
            }
            other => other,
        }
    }
    plain(sim.state().await)
}

fn expected(case: &Case) -> Value {
    let invited: Vec<_> = case.invited.iter().map(|email| json!({"email": email, "login": null})).collect();
    let groups: Vec<_> = case.groups.iter().map(|name| json!({"name": name, "members": []})).collect();
    json!({"accounts": [], "invitations": invited, "groups": groups})
}

/// Waits until an instance has nothing left to do. Nothing needs a person in these tests, so no work
/// may be left at all.
async fn settled(admin: &Admin, instance: &Instance) {
    let mut last = Vec::new();
    let path = instance.id.clone();
    let done = tokio::time::timeout(
        SETTLED,
        wait_until("no work is left", SETTLED * 2, async || {
            last = admin.work(&path, "").await;
            last.is_empty().then_some(())
        }),
    )
    .await;
    assert!(done.is_ok(), "work is left after {} s: {last:#?}", SETTLED.as_secs());
    let open = admin.operations(&instance.id, "state=open").await;
    assert!(open.is_empty(), "operations are open without work: {open:#?}");
}

/// Plays the client. Every step but the ones named has to be answered as the client needs.
async fn play(facts: &Path, case: &Case, instance: &Instance, target: &str, gateway: &Gateway) {
    let file = facts.join(format!("clients/{}.json", case.client));
    let text = std::fs::read_to_string(&file).expect("the sequence can be read");
    let sequence: Value = serde_json::from_str(&text).expect("the sequence is JSON");
    let misses = case.misses.len();
    let passes = sequence["steps"].as_array().expect("it has steps").len() - misses;
    let count = format!("{passes} passed, 0 failed, {misses} optional misses");
    let played = replay(facts, case.client, &instance.scim).await;
    let named = |step: &&str| played.text.contains(&format!("(opt) {step}: "));
    assert!(
        played.ok && played.text.trim_end().ends_with(&count) && case.misses.iter().all(named),
        "{} at {target}: wanted \"{count}\", got\n{}\n{}",
        case.client,
        played.text,
        gateway.log()
    );
}

async fn begin(db: Db, target: &str) -> (Gateway, Admin, Sim, Instance) {
    let gateway = Gateway::start(db).await;
    let sim = Sim::start(target).await;
    let admin = gateway.admin();
    let instance = admin.connect(&sim, Value::Null).await;
    admin.imported(&instance.id).await;
    assert_eq!(sim.writes().await, Vec::<String>::new(), "an import writes nothing");
    (gateway, admin, sim, instance)
}

async fn check(facts: &Path, db: Db, target: &str, case: &Case) {
    let (gateway, admin, sim, instance) = begin(db, target).await;
    play(facts, case, &instance, target, &gateway).await;
    settled(&admin, &instance).await;
    let at = format!("{} at {target} on {db:?}", case.client);
    assert_eq!(with_words(&sim.writes().await), all_lines(target, case.writes), "{at}: the writes");
    assert_eq!(holdings(&sim).await, expected(case), "{at}: what the target holds");
}

async fn check_late(facts: &Path, db: Db, target: &str, case: &Case) {
    let (gateway, admin, mut sim, instance) = begin(db, target).await;
    sim.kill().await;
    play(facts, case, &instance, target, &gateway).await;
    let at = format!("{} at {target} on {db:?}, which was away", case.client);
    let waiting = admin.work(&instance.id, "").await;
    assert!(waiting.len() >= usize::from(!case.late.is_empty()), "{at}: nothing waits for the target");

    sim.replace().await;
    settled(&admin, &instance).await;
    let mut writes = with_words(&sim.writes().await);
    let mut wanted = all_lines(target, case.late);
    writes.sort();
    wanted.sort();
    assert_eq!(writes, wanted, "{at}: the writes");
    assert_eq!(holdings(&sim).await, expected(case), "{at}: what the target holds");
}

async fn all_at(target: &str) {
    let Some(facts) = facts("replays") else { return };
    for case in &CASES {
        check(&facts, Db::Sqlite, target, case).await;
    }
}

async fn all_late_at(target: &str) {
    let Some(facts) = facts("replays at a target that is away") else { return };
    for case in &CASES {
        check_late(&facts, Db::Sqlite, target, case).await;
    }
}

/// The first client on every database but SQLite, which has them all.
async fn on_other_databases(target: &str) {
    let Some(facts) = facts("replays on other databases") else { return };
    for db in databases().into_iter().filter(|db| *db != Db::Sqlite) {
        check(&facts, db, target, &CASES[0]).await;
        check_late(&facts, db, target, &CASES[0]).await;
    }
}

#[tokio::test]
async fn every_client_is_answered_and_github_follows() {
    all_at("github").await;
}

#[tokio::test]
async fn every_client_is_answered_and_buildkite_follows() {
    all_at("buildkite").await;
}

#[tokio::test]
async fn every_client_is_answered_while_github_is_away_and_it_follows_later() {
    all_late_at("github").await;
}

#[tokio::test]
async fn every_client_is_answered_while_buildkite_is_away_and_it_follows_later() {
    all_late_at("buildkite").await;
}

#[tokio::test]
async fn github_follows_on_other_databases() {
    on_other_databases("github").await;
}

#[tokio::test]
async fn buildkite_follows_on_other_databases() {
    on_other_databases("buildkite").await;
}
