//! Every client whose requests are known, played from `tests/clients` against the real binary and a simulated target.
//!
//! Each has an empty instance of its own. Its answers, what the directory holds in the end and what the target holds in
//! the end are asserted; then the same with a target that is away, which may change no answer, and once more with one
//! that is slow where the client is impatient.

#![expect(clippy::panic, reason = "a test reports by failing")]

use std::time::Duration;

use serde_json::{Value, json};
use tests::admin::Instance;
use tests::player::{Client, Play};
use tests::{Admin, Db, Gateway, Sim, databases, wait_until};

/// A breaker that opened lets a call through once a minute.
const SETTLED: Duration = Duration::from_secs(90);
/// Where time is not what is tested.
const CALM: Duration = Duration::from_secs(50);

/// How many clients are played at once: enough that their waits overlap.
const AT_ONCE: usize = 6;

struct Stage {
    admin: Admin,
    sim: Sim,
    instance: Instance,
    title: String,
    /// The longest that an answer may take.
    patience: Duration,
}

/// What the target goes through.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    /// Up all the while.
    Up,
    /// Down until the client is done.
    Away,
    /// Answers after three seconds.
    Slow,
}

impl Stage {
    async fn begin(admin: Admin, target: &str, client: &Client, how: Target) -> Self {
        let sim = Sim::start(target).await;
        let instance = admin.connect(&sim, client.file["policy"].clone()).await;
        admin.imported(&instance.id).await;
        let (words, patience) = match how {
            Target::Up => ("", CALM),
            Target::Away => (", which is away", CALM),
            Target::Slow => (", which is slow", client.patience()),
        };
        Self { admin, sim, instance, title: format!("{} at {target}{words}", client.name), patience }
    }

    /// Every miss.
    async fn play(&self, client: &Client) -> Vec<String> {
        let mut play = Play::new(&self.instance.scim);
        for step in client.steps() {
            if step["accept"].is_object() {
                self.settled().await;
                self.sim.accept(step["accept"].clone()).await;
                assert_eq!(self.admin.run(&self.instance.id, "reconcile").await["state"], "done", "{}", self.title);
                self.settled().await;
                continue;
            }
            play.step(step, self.patience).await;
        }
        play.fails.into_iter().map(|fail| format!("{}: {fail}", self.title)).collect()
    }

    /// Waits until nothing is left to do; nothing needs a person here.
    async fn settled(&self) {
        let (admin, id) = (&self.admin, &self.instance.id);
        let waited = tokio::time::timeout(
            SETTLED,
            wait_until("no work is left", SETTLED * 2, async || admin.work(id, "").await.is_empty().then_some(())),
        )
        .await;
        if waited.is_err() {
            panic!("{}: work is left: {:#?}", self.title, admin.work(id, "").await);
        }
    }

    /// Where the directory and the target do not hold in the end what the file says.
    async fn end(&self, client: &Client) -> Vec<String> {
        let end = &client.file["end"];
        let mut misses = Vec::new();
        for endpoint in ["Users", "Groups"] {
            let listed = self.instance.scim.get(&format!("/{endpoint}?count=0")).await;
            if listed["totalResults"] != end[endpoint] {
                misses.push(format!("{}: {endpoint} in the end: {listed}", self.title));
            }
        }
        let state = self.sim.state().await;
        if brief(&state) != end["target"] {
            misses.push(format!("{}: the target in the end, wanted {}: {state}", self.title, end["target"]));
        }
        misses
    }
}

/// A target's state in short: `{"accounts": [login], "invitations": [address], "groups": {name: [login]}}`.
fn brief(state: &Value) -> Value {
    let texts = |list: &Value, name: &str| {
        let mut texts: Vec<String> =
            list.as_array().into_iter().flatten().map(|item| item[name].as_str().unwrap_or_default().into()).collect();
        texts.sort();
        texts
    };
    let groups: serde_json::Map<String, Value> = state["groups"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|group| (group["name"].as_str().unwrap_or_default().to_owned(), texts(&group["members"], "login").into()))
        .collect();
    json!({
        "accounts": texts(&state["accounts"], "login"),
        "invitations": texts(&state["invitations"], "email"),
        "groups": groups,
    })
}

fn needs_a_living_target(client: &Client) -> bool {
    client.steps().iter().any(|step| step["accept"].is_object())
}

/// Plays one client; answers every miss.
async fn play(admin: Admin, target: &str, client: Client, how: Target) -> Vec<String> {
    let mut stage = Stage::begin(admin, target, &client, how).await;
    match how {
        Target::Up => {}
        Target::Away => stage.sim.kill().await,
        Target::Slow => stage.sim.fault(json!([{"match": {}, "times": 1_000_000, "do": {"delay_ms": 3_000}}])).await,
    }
    let mut misses = stage.play(&client).await;
    match how {
        Target::Up => {}
        Target::Away => stage.sim.replace().await,
        Target::Slow => stage.sim.heal().await,
    }
    stage.settled().await;
    misses.extend(stage.end(&client).await);
    misses
}

/// Plays these clients through one gateway, an instance each.
async fn all(db: Db, target: &'static str, clients: Vec<Client>, how: Target) {
    let gateway = Gateway::start(db).await;
    let admin = gateway.admin();
    let misses = tokio::task::LocalSet::new()
        .run_until(async move {
            let (mut playing, mut misses) = (tokio::task::JoinSet::new(), Vec::new());
            for client in clients {
                if playing.len() >= AT_ONCE {
                    misses.extend(ended(playing.join_next().await));
                }
                playing.spawn_local(play(admin.clone(), target, client, how));
            }
            while !playing.is_empty() {
                misses.extend(ended(playing.join_next().await));
            }
            misses
        })
        .await;
    assert!(misses.is_empty(), "{} misses\n{}", misses.len(), misses.join("\n"));
}

fn ended(play: Option<Result<Vec<String>, tokio::task::JoinError>>) -> Vec<String> {
    match play {
        Some(Ok(misses)) => misses,
        Some(Err(error)) => vec![format!("a play ended early: {error}")],
        None => Vec::new(),
    }
}

#[tokio::test]
async fn every_client_speaks_with_github_behind() {
    all(Db::Sqlite, "github", Client::all(), Target::Up).await;
}

#[tokio::test]
async fn every_client_speaks_with_buildkite_behind() {
    all(Db::Sqlite, "buildkite", Client::all(), Target::Up).await;
}

/// The strangest client on every database but SQLite, which has them all.
#[tokio::test]
async fn odd_requests_are_answered_alike_on_other_databases() {
    for db in databases().into_iter().filter(|db| *db != Db::Sqlite) {
        let clients = Client::all().into_iter().filter(|client| client.name.starts_with("generic")).collect();
        all(db, "github", clients, Target::Up).await;
    }
}

#[tokio::test]
async fn a_target_that_is_away_changes_no_answer_and_follows_later() {
    let clients = Client::all().into_iter().filter(|client| !needs_a_living_target(client)).collect();
    all(Db::Sqlite, "github", clients, Target::Away).await;
}

#[tokio::test]
async fn impatient_clients_are_answered_in_time_before_a_slow_target() {
    let clients: Vec<_> = Client::all().into_iter().filter(|client| client.file["within_ms"].is_u64()).collect();
    assert!(clients.len() >= 2, "Auth0 waits 1.5 s, Keycloak 5 s");
    all(Db::Sqlite, "github", clients, Target::Slow).await;
}

/// The clients that are known to exist; a file for each, so that none is forgotten.
#[test]
fn every_known_client_has_a_file() {
    let names: Vec<String> = Client::all().into_iter().map(|client| client.name).collect();
    for wanted in [
        "auth0",
        "authentik",
        "authentik_nopatch",
        "aws_idpscim",
        "aws_ssosync",
        "conductorone",
        "cyberark",
        "entra_more",
        "entra_validator",
        "generic",
        "google_workspace",
        "jumpcloud_more",
        "keycloak_mitodl",
        "keycloak_suvera",
        "lumos",
        "okta_more",
        "onelogin_more",
        "pingfederate",
        "pingone",
        "pocket_id",
        "sailpoint_iiq",
        "sailpoint_more",
        "saviynt",
    ] {
        assert!(names.iter().any(|name| name == wanted), "no file for {wanted} in tests/clients: {names:?}");
    }
}
