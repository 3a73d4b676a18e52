//! The way of a change from acceptance to the target, in process: service functions, the driver,
//! real HTTP to a simulator.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::clock::Clock;
use gateway::config::{Config, Overrides};
use gateway::reconcile::RunKind;
use gateway::service::App;
use gateway::service::instances::NewInstance;
use gateway::service::types::{Caller, Failure, Instance, Mode, Precondition, Written};
use scim::{Quirks, ScimType};
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tokio_util::sync::CancellationToken;

struct Rig {
    app: Arc<App>,
    instance: Arc<Instance>,
    sim: Simulator,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Both targets on every database.
fn everywhere() -> Vec<(Db, &'static str)> {
    databases().into_iter().flat_map(|db| [(db.clone(), "github"), (db, "buildkite")]).collect()
}

/// The databases to test on: SQLite always, PostgreSQL where the test run offers a server.
#[derive(Clone)]
enum Db {
    Sqlite,
    Postgres(String),
}

#[allow(clippy::disallowed_methods, reason = "the test run says by environment where its database server is")]
fn databases() -> Vec<Db> {
    let mut all = vec![Db::Sqlite];
    match std::env::var("SCIMGATE_TEST_POSTGRES") {
        Ok(url) => all.push(Db::Postgres(url)),
        Err(_) => eprintln!("skipped: PostgreSQL (SCIMGATE_TEST_POSTGRES is not set)"),
    }
    all
}

impl Db {
    async fn app(&self, folder: &std::path::Path) -> Arc<App> {
        let mut overrides = Overrides {
            data_dir: Some(folder.to_owned()),
            admin_token: Some("admin-token-for-tests".to_owned().into()),
            allow_private_targets: Some(true),
            ..Overrides::default()
        };
        if let Self::Postgres(url) = self {
            let name = format!("engine_{}", uuid::Uuid::new_v4().simple());
            let server = sea_orm::Database::connect(url.as_str()).await.unwrap();
            sea_orm::ConnectionTrait::execute_unprepared(&server, &format!("CREATE DATABASE {name}")).await.unwrap();
            let mut url = url::Url::parse(url).unwrap();
            url.set_path(&name);
            overrides.database_url = Some(url.to_string().into());
            overrides.master_key = Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned().into());
        }
        App::build(Config::load(overrides).unwrap(), Clock::system()).await.unwrap()
    }
}

async fn rig(db: &Db, target: &str, policy: Value) -> Rig {
    let sim =
        Simulator::new(simulators::target(target, Limits::None).unwrap(), Limits::None, simulators::Clock::system());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(simulators::serve(sim.clone(), listener, stop.clone().cancelled_owned()));
    let folder = tempfile::tempdir().unwrap();
    let app = db.app(folder.path()).await;
    let driver = app.driver.clone();
    let token = stop.clone();
    tokio::spawn(async move { driver.start(token).await });
    let offer = sim.offer(&base);
    let secrets = offer["secrets"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned().into()))
        .collect();
    let new = NewInstance {
        name: format!("{target} for a test"),
        connector: offer["connector"].as_str().unwrap().to_owned(),
        settings: offer["settings"].clone(),
        secrets,
        mode: Mode::Enabled,
        policy,
    };
    let instance = app.create_instance("admin", new).await.map_err(|error| format!("{error:?}")).unwrap();
    let rig = Rig { app, instance, sim, stop, _folder: folder };
    rig.wait("the import's end", async || rig.runs_open().await == 0).await;
    rig
}

impl Rig {
    async fn wait(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        for _ in 0..400 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited in vain for {what}; state: {}; calls: {}", self.state().await, self.calls().await);
    }

    async fn runs_open(&self) -> usize {
        // A run is over when another can be started; asking the store is enough here.
        match self.app.start_run(&self.instance, RunKind::Reconcile, "test").await.unwrap() {
            None => 1,
            Some(id) => {
                while self.app.run(&self.instance, &id).await.unwrap().unwrap()["state"] == "running" {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                0
            }
        }
    }

    async fn reconcile(&self) {
        self.wait("a reconcile", async || self.runs_open().await == 0).await;
    }

    async fn control(&self, method: &str, path: &str, body: Value) -> Value {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(body)
            .unwrap();
        let reply = self.sim.handle(request).await.unwrap();
        assert!(reply.status().is_success(), "{path}: {:?}", reply.body());
        serde_json::from_slice(reply.body()).unwrap_or_default()
    }

    async fn state(&self) -> Value {
        self.control("GET", "/_sim/state", Value::Null).await
    }

    async fn calls(&self) -> Value {
        self.control("GET", "/_sim/calls", Value::Null).await
    }

    async fn writes(&self) -> Vec<String> {
        let calls = self.calls().await;
        calls
            .as_array()
            .unwrap()
            .iter()
            .filter(|call| call["method"] != "GET" && !call["path"].as_str().unwrap().ends_with("graphql"))
            .map(|call| {
                format!("{} {} {}", call["method"].as_str().unwrap(), call["path"].as_str().unwrap(), call["status"])
            })
            .collect()
    }

    fn caller(&self) -> Caller {
        Caller { actor: "key:test".to_owned(), request_id: None }
    }

    async fn post(&self, kind: &str, body: Value) -> Result<Written, Failure> {
        let registry = self.instance.registry.clone();
        let rt = registry.resource_type(kind).unwrap();
        self.app.create(&self.instance, &self.caller(), rt, body, &mut Quirks::lenient()).await
    }

    async fn user(&self, name: &str) -> String {
        self.post("User", json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "emails": [{"value": name, "primary": true}]})).await.unwrap().stored.id
    }

    async fn patch(&self, kind: &str, id: &str, operations: Value) -> Result<Written, Failure> {
        let registry = self.instance.registry.clone();
        let rt = registry.resource_type(kind).unwrap();
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        self.app.patch(&self.instance, &self.caller(), rt, id, body, Precondition::None, &mut Quirks::lenient()).await
    }

    async fn delete(&self, kind: &str, id: &str) {
        let registry = self.instance.registry.clone();
        self.app
            .delete(&self.instance, &self.caller(), registry.resource_type(kind).unwrap(), id, Precondition::None)
            .await
            .unwrap();
    }
}

fn emails(state: &Value, list: &str) -> Vec<String> {
    let mut found: Vec<String> =
        state[list].as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap_or("-").to_owned()).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_becomes_invitation_member_team_member_and_is_gone() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        let ada = rig.user("ada@example.com").await;
        let state = rig.state().await;
        assert_eq!(emails(&state, "invitations"), ["ada@example.com"], "{target}: {}", rig.calls().await);

        let group = rig
            .post("Group", json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Platform", "members": [{"value": ada}]}))
            .await
            .unwrap();
        assert!(group.settled, "{target}: a parked membership leaves nothing open");
        let state = rig.state().await;
        assert_eq!(state["groups"][0]["name"], "Platform", "{target}");
        assert_eq!(state["groups"][0]["members"], json!([]), "{target}: not before she accepts");

        rig.control("POST", "/_sim/accept", json!({"email": "ada@example.com", "login": "countess"})).await;
        rig.reconcile().await;
        rig.wait("team membership", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;

        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        rig.wait("her removal", async || rig.state().await["accounts"].as_array().unwrap().is_empty()).await;

        // Reactivation invites again and restores the membership.
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": true}])).await.unwrap();
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"], "{target}");
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        rig.wait("restored membership", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;

        rig.delete("Group", &group.stored.id).await;
        rig.delete("User", &ada).await;
        rig.wait("an empty target", async || {
            let state = rig.state().await;
            ["accounts", "invitations", "groups"].iter().all(|list| state[*list].as_array().unwrap().is_empty())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_and_removing_costs_what_it_changes() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let mut people = Vec::new();
        for name in ["a@example.com", "b@example.com"] {
            people.push(rig.user(name).await);
        }
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let group = rig
            .post("Group", json!({"displayName": "Eng", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"]}))
            .await
            .unwrap()
            .stored
            .id;
        let before = rig.writes().await.len();
        let added = rig
            .patch(
                "Group",
                &group,
                json!([{"op": "add", "path": "members", "value": [{"value": people[0]}, {"value": people[1]}]}]),
            )
            .await
            .unwrap();
        assert!(added.settled && added.changed);
        assert_eq!(rig.writes().await.len(), before + 2, "{:?}", rig.writes().await);
        let again = rig
            .patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": people[0]}]}]))
            .await
            .unwrap();
        assert!(!again.changed);
        let removed = rig
            .patch("Group", &group, json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", people[0])}]))
            .await
            .unwrap();
        assert!(removed.settled);
        let writes = rig.writes().await;
        assert_eq!(writes.len(), before + 3, "{writes:?}");
        assert_eq!(rig.state().await["groups"][0]["members"].as_array().unwrap().len(), 1);
        let unknown =
            rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": "nobody"}]}])).await;
        assert!(matches!(unknown, Err(Failure::Scim(error)) if error.status == 400 && error.detail.contains("nobody")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_create_leaves_nothing_behind() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let refused = rig
            .post("User", json!({"userName": "no address", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"]}))
            .await;
        let Err(Failure::Scim(error)) = refused else { panic!("{refused:?}") };
        assert_eq!((error.status, error.scim_type), (400, Some(ScimType::InvalidValue)), "{error:?}");
        // The name is free again.
        let again = rig.post("User", json!({"userName": "no address", "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "emails": [{"value": "n@example.com"}]})).await;
        assert!(again.is_ok(), "{again:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_makes_no_second_invitation() {
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({})).await;
        rig.control(
            "POST",
            "/_sim/faults",
            json!([{"match": {"method": "POST", "path": "invitations$"}, "times": 1, "do": {"drop": "after"}}]),
        )
        .await;
        rig.user("ada@example.com").await;
        rig.wait("one invitation", async || rig.state().await["invitations"].as_array().unwrap().len() == 1).await;
        rig.reconcile().await;
        let sent =
            rig.writes().await.iter().filter(|call| call.starts_with("POST") && call.contains("invitations")).count();
        assert_eq!(sent, 1, "{target}: {:?}", rig.writes().await);
    }
}
