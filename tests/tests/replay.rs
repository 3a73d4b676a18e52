//! Whole clients against whole targets: the recorded sequence of an identity provider is played, and
//! what the target holds afterwards is asserted together with every write it was asked for. The
//! same with a target that is away all the while.
//!
//! What is right follows from the sequence. A person who is created is invited; one who is
//! deactivated or deleted while invited loses the invitation; one who returns is invited anew; an
//! invitation to an address that the person no longer has is taken back (DECISIONS 3). A
//! membership of somebody who has not accepted is parked, so it is no call (DECISIONS 20). A
//! target that was away gets what is wanted in the end, and nothing of what was wanted in between.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::Instance;
use tests::replay::Sequence;
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
    /// The account of that login becomes a member of the group.
    Join(&'static str),
    /// It leaves the group.
    Leave(&'static str),
    /// It leaves the organisation.
    Remove(&'static str),
}
use Write::{DropGroup, Invite, Join, Leave, MakeGroup, Remove, Rename, Revoke};

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

/// Entra sends the same changes in both of its dialects.
const ENTRA: &[Write] = &[
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
];

const CASES: [Case; 7] = [
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
        writes: ENTRA,
        invited: &[],
        groups: &[],
        late: &[],
    },
    Case {
        client: "entra_legacy",
        // A schema that the instance does not have holds nothing.
        misses: &["custom extension attribute path (URN of a schema never listed in 'schemas')"],
        writes: ENTRA,
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
        client: "jumpcloud",
        misses: &[],
        writes: &[
            Invite, // the person that JumpCloud tries the connection with
            MakeGroup,
            Rename,
            Revoke(1), // deactivated
            Invite,    // and reactivated
            DropGroup,
            Revoke(2), // deleted
        ],
        invited: &[],
        groups: &[],
        late: &[],
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
        ("github", Join(login)) => vec![format!("PUT /organizations/4242/team/{{team1}}/memberships/{login} -> 200")],
        ("github", Leave(login)) => {
            vec![format!("DELETE /organizations/4242/team/{{team1}}/memberships/{login} -> 204")]
        }
        ("github", Remove(login)) => vec![format!("DELETE /orgs/acme/memberships/{login} -> 204")],
        // Whom, stands in the body.
        ("buildkite", Join(_)) => vec!["POST /v2/organizations/acme/teams/{team1}/members/ -> 201".to_owned()],
        ("buildkite", Leave(login)) => {
            vec![format!("DELETE /v2/organizations/acme/teams/{{team1}}/members/{{{login}}} -> 204")]
        }
        ("buildkite", Remove(login)) => vec![format!("DELETE /v2/organizations/acme/members/{{{login}}} -> 204")],
        (other, _) => unreachable!("no target {other}"),
    }
}

fn all_lines(target: &str, writes: &[Write]) -> Vec<String> {
    writes.iter().flat_map(|write| lines(target, *write)).collect()
}

/// Writes with the target's ids replaced by words: accounts are named by their logins, all else is
/// numbered as it first appears.
fn with_words(writes: &[String], accounts: &[(String, String)]) -> Vec<String> {
    let mut known: Vec<(String, String)> =
        accounts.iter().map(|(id, login)| (id.clone(), format!("{{{login}}}"))).collect();
    let mut word = |collection: &str, id: &str| -> Option<String> {
        let kind = match collection {
            "invitations" => "invite",
            "team" | "teams" => "team",
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
            Value::Object(map) => {
                map.into_iter().filter(|(name, _)| name != "id").map(|(name, value)| (name, plain(value))).collect()
            }
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

/// Plays a sequence. Every step but the ones named has to be answered as the client needs.
async fn play(sequence: &Sequence, misses: &[&str], stage: &Stage) {
    let passes = sequence.steps().len() - misses.len();
    let count = format!("{passes} passed, 0 failed, {} optional misses", misses.len());
    let played = sequence.play(&stage.instance.scim).await;
    let named = |step: &&str| played.text.contains(&format!("(opt) {step}: "));
    assert!(
        played.ok && played.text.trim_end().ends_with(&count) && misses.iter().all(named),
        "{}: wanted \"{count}\", got\n{}\n{}",
        stage.title,
        played.text,
        stage.gateway.log()
    );
}

/// A gateway with an instance for a target that it knows.
struct Stage {
    /// For failures.
    title: String,
    gateway: Gateway,
    admin: Admin,
    sim: Sim,
    instance: Instance,
}

/// A write that is answered before the target has it may be overtaken by the next one, which saves
/// calls: on a slow machine the list of writes would be shorter. So answers wait as long as they may.
fn patient() -> Value {
    json!({"answer_within_ms": 10_000})
}

impl Stage {
    async fn begin(db: Db, target: &str, client: &str, policy: Value) -> Self {
        let gateway = Gateway::start(db).await;
        let sim = Sim::start(target).await;
        let admin = gateway.admin();
        let instance = admin.connect(&sim, policy).await;
        admin.imported(&instance.id).await;
        let title = format!("{client} at {target} on {db:?}");
        assert_eq!(sim.writes().await, Vec::<String>::new(), "{title}: an import writes nothing");
        Self { title, gateway, admin, sim, instance }
    }

    /// Waits until nothing is left to do. Nothing needs a person in these tests, so no work may be
    /// left at all.
    async fn settled(&self) {
        let (admin, id) = (&self.admin, &self.instance.id);
        let waited = tokio::time::timeout(
            SETTLED,
            wait_until("no work is left", SETTLED * 2, async || admin.work(id, "").await.is_empty().then_some(())),
        )
        .await;
        if waited.is_err() {
            let left = admin.work(id, "").await;
            panic!("{}: after {} s work is left: {left:#?}", self.title, SETTLED.as_secs());
        }
        let open = admin.operations(id, "state=open").await;
        assert!(open.is_empty(), "{}: operations are open without work: {open:#?}", self.title);
    }

    async fn writes(&self, accounts: &[(String, String)]) -> Vec<String> {
        with_words(&self.sim.writes().await, accounts)
    }

    /// The id of what a look-up finds, as a client would have kept it.
    async fn id(&self, path: &str, filter: &str) -> String {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let found = self.instance.scim.get(&format!("{path}?filter={filter}")).await;
        found["Resources"][0]["id"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: nothing found: {found}", self.title))
            .to_owned()
    }
}

async fn check(facts: &Path, db: Db, target: &str, case: &Case) {
    let stage = Stage::begin(db, target, case.client, patient()).await;
    play(&Sequence::read(facts, case.client), case.misses, &stage).await;
    stage.settled().await;
    let title = &stage.title;
    assert_eq!(stage.writes(&[]).await, all_lines(target, case.writes), "{title}: the writes");
    assert_eq!(holdings(&stage.sim).await, expected(case), "{title}: what the target holds");
}

async fn check_late(facts: &Path, db: Db, target: &str, case: &Case) {
    let mut stage = Stage::begin(db, target, case.client, Value::Null).await;
    stage.sim.kill().await;
    play(&Sequence::read(facts, case.client), case.misses, &stage).await;
    let waiting = stage.admin.work(&stage.instance.id, "").await;
    let title = format!("{}, which was away", stage.title);
    let as_expected = case.late.is_empty() || !waiting.is_empty();
    assert!(as_expected, "{title}: nothing waits for it");

    stage.sim.replace().await;
    stage.settled().await;
    let mut writes = stage.writes(&[]).await;
    let mut wanted = all_lines(target, case.late);
    writes.sort();
    wanted.sort();
    assert_eq!(writes, wanted, "{title}: the writes");
    assert_eq!(holdings(&stage.sim).await, expected(case), "{title}: what the target holds");
}

/// Okta, with both people accepting their invitations before the step named.
async fn check_accepted(facts: &Path, target: &str, before: &str, writes: &[Write]) {
    const OLIVIA: &str = "olivia.okta@example.com";
    const OSCAR: &str = "oscar.okta@example.com";
    const EMPTIED: &str = "push now for an empty group";
    let stage = Stage::begin(Db::Sqlite, target, "okta_oin", patient()).await;
    let whole = Sequence::read(facts, "okta_oin");
    play(&whole.part(None, Some(before), &[]), &[], &stage).await;
    let mut saved = vec![
        ("userId1", stage.id("/Users", &format!("userName eq \"{OLIVIA}\"")).await),
        ("userId2", stage.id("/Users", &format!("userName eq \"{OSCAR}\"")).await),
    ];
    let title = format!("{}, accepted before \"{before}\"", stage.title);
    let mut logins = Vec::new();
    for (login, email) in [("olivia", OLIVIA), ("oscar", OSCAR)] {
        stage.sim.accept(json!({"email": email, "login": login})).await;
        let run = stage.admin.run(&stage.instance.id, "reconcile").await;
        assert_eq!(run["state"], "done", "{title}: {run}");
        stage.settled().await;
        logins.push(login);
        let held = holdings(&stage.sim).await;
        assert_eq!(names(&held["accounts"]), logins, "{title}: {held}");
    }
    if before != GROUP_CREATED {
        saved.push(("groupId1", stage.id("/Groups", "displayName eq \"Okta Group\"").await));
    }
    play(&whole.part(Some(before), Some(EMPTIED), &saved), &[], &stage).await;
    stage.settled().await;
    let accounts = stage.sim.state().await["accounts"].take();
    let accounts: Vec<_> = accounts
        .as_array()
        .expect("accounts are a list")
        .iter()
        .map(|account| [&account["id"], &account["login"]].map(|text| text.as_str().unwrap_or_default().to_owned()))
        .map(|[id, login]| (id, login))
        .collect();
    let held = holdings(&stage.sim).await;
    assert_eq!(held["groups"].as_array().map(Vec::len), Some(1), "{title}: {held}");
    assert_eq!(held["groups"][0]["name"], "Okta Group", "{title}: {held}");
    assert_eq!(names(&held["groups"][0]["members"]), ["olivia"], "{title}: {held}");

    if before == GROUP_CREATED {
        saved.push(("groupId1", stage.id("/Groups", "displayName eq \"Okta Group\"").await));
    }
    play(&whole.part(Some(EMPTIED), None, &saved), &[], &stage).await;
    stage.settled().await;
    let held = holdings(&stage.sim).await;
    assert_eq!(stage.writes(&accounts).await, all_lines(target, writes), "{title}: the writes");
    assert_eq!(names(&held["accounts"]), ["oscar"], "{title}: {held}");
    assert_eq!((&held["invitations"], &held["groups"]), (&json!([]), &json!([])), "{title}: {held}");
}

/// The logins of accounts or members.
fn names(people: &Value) -> Vec<&str> {
    let people = people.as_array().expect("people are a list");
    people.iter().filter_map(|person| person["login"].as_str()).collect()
}

/// Where Okta begins to push the group.
const GROUP_CREATED: &str = "push group: lookup";

async fn all_accepted_at(target: &str) {
    let Some(facts) = facts("replays with accepted invitations") else { return };
    let invited = [Invite, Invite, Revoke(1), Invite];
    let ended = [Leave("olivia"), Rename, DropGroup, Remove("olivia")];
    // Each change of the membership reaches the group, removals before additions.
    let middle = [MakeGroup, Join("olivia"), Leave("olivia"), Join("oscar"), Join("olivia"), Leave("oscar")];
    let writes = [&invited[..], &middle, &ended].concat();
    check_accepted(&facts, target, GROUP_CREATED, &writes).await;
    // Memberships wait for the acceptance; what was wanted in between is never sent.
    let middle = [MakeGroup, Join("olivia"), Join("oscar"), Leave("oscar")];
    let writes = [&invited[..], &middle, &ended].concat();
    check_accepted(&facts, target, "push now, no-path variant with members + id + displayName", &writes).await;
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
async fn okta_groups_reach_the_teams_of_github_once_invitations_are_accepted() {
    all_accepted_at("github").await;
}

#[tokio::test]
async fn okta_groups_reach_the_teams_of_buildkite_once_invitations_are_accepted() {
    all_accepted_at("buildkite").await;
}

#[tokio::test]
async fn github_follows_on_other_databases() {
    on_other_databases("github").await;
}

#[tokio::test]
async fn buildkite_follows_on_other_databases() {
    on_other_databases("buildkite").await;
}
