//! A gateway and a simulated target in process.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::reconcile::RunKind;
use gateway::service::App;
use gateway::service::instances::NewInstance;
use gateway::service::types::{Caller, Failure, Instance, Mode, Precondition, Written};
use scim::Quirks;
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tokio_util::sync::CancellationToken;

use crate::common::config;
pub(crate) use crate::common::{Db, databases};

pub(crate) struct Rig {
    pub(crate) app: Arc<App>,
    pub(crate) instance: Arc<Instance>,
    pub(crate) sim: Simulator,
    /// The URL of its database, unless it is a file of its own.
    pub(crate) database: Option<String>,
    stop: CancellationToken,
    _folder: tempfile::TempDir,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Both targets on every database.
pub(crate) fn everywhere() -> Vec<(Db, &'static str)> {
    databases().into_iter().flat_map(|db| [(db.clone(), "github"), (db, "buildkite")]).collect()
}

impl Db {
    /// A gateway on a database of its own, with connectors of a test's own where it has some.
    pub(crate) async fn app_with(&self, folder: &std::path::Path, catalogue: Vec<connector_sdk::Entry>) -> Arc<App> {
        Self::app_on(self.make().await.as_deref(), folder, catalogue).await
    }

    async fn app_on(
        database: Option<&str>,
        folder: &std::path::Path,
        catalogue: Vec<connector_sdk::Entry>,
    ) -> Arc<App> {
        let config = config(folder, database, Overrides::default());
        App::with_connectors(config, Clock::system(), catalogue).await.unwrap()
    }
}

pub(crate) async fn rig(db: &Db, target: &str, policy: Value) -> Rig {
    rig_with(db, target, policy, json!({})).await
}

/// A rig whose instance has other settings than the simulator offers.
pub(crate) async fn rig_with(db: &Db, target: &str, policy: Value, settings: Value) -> Rig {
    rig_of(db, target, target, policy, settings, Limits::None).await
}

/// The same, with a target that lets only so much through.
pub(crate) async fn rig_under(db: &Db, target: &str, policy: Value, settings: Value, limits: Limits) -> Rig {
    rig_of(db, target, target, policy, settings, limits).await
}

/// A rig whose target is spoken to by another connector than the simulator offers.
pub(crate) async fn rig_of(
    db: &Db,
    target: &str,
    connector: &str,
    policy: Value,
    settings: Value,
    limits: Limits,
) -> Rig {
    let sim = Simulator::new(simulators::target(target, limits).unwrap(), limits, simulators::Clock::system());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(simulators::serve(sim.clone(), listener, stop.clone().cancelled_owned()));
    let folder = tempfile::tempdir().unwrap();
    let database = db.make().await;
    let app = Db::app_on(database.as_deref(), folder.path(), crate::worse::catalogue()).await;
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
    let mut offered = offer["settings"].clone();
    for (name, value) in settings.as_object().unwrap() {
        offered[name] = value.clone();
    }
    let new = NewInstance {
        name: format!("{target} for a test"),
        connector: connector.to_owned(),
        connector_version: None,
        settings: offered,
        secrets,
        mode: Mode::Enabled,
        policy,
        schema: Value::Null,
    };
    let instance = app.create_instance("admin", new).await.map_err(|error| format!("{error:?}")).unwrap();
    let rig = Rig { app, instance, sim, database, stop, _folder: folder };
    rig.wait("the import's end", async || rig.runs_open().await == 0).await;
    rig
}

impl Rig {
    pub(crate) async fn wait(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        for _ in 0..2_400 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let work = self.app.list_work(&self.instance, None, 0, 10).await.map(|page| page.items);
        panic!(
            "waited in vain for {what}; work: {work:?}; state: {}; calls: {}",
            self.state().await,
            self.calls().await
        );
    }

    pub(crate) async fn runs_open(&self) -> usize {
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

    pub(crate) async fn reconcile(&self) {
        self.wait("a reconcile", async || self.runs_open().await == 0).await;
    }

    pub(crate) async fn control(&self, method: &str, path: &str, body: Value) -> Value {
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

    /// A call of the target's own API that is not the gateway's.
    pub(crate) async fn as_somebody_else(&self, method: &str, path: &str) {
        let token = self.sim.offer("")["secrets"]["token"].as_str().unwrap().to_owned();
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("user-agent", "somebody")
            .body(Bytes::new())
            .unwrap();
        let reply = self.sim.handle(request).await.unwrap();
        assert!(reply.status().is_success(), "{path}: {:?}", reply.body());
    }

    pub(crate) async fn state(&self) -> Value {
        self.control("GET", "/_sim/state", Value::Null).await
    }

    pub(crate) async fn calls(&self) -> Value {
        self.control("GET", "/_sim/calls", Value::Null).await
    }

    pub(crate) async fn writes(&self) -> Vec<String> {
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

    pub(crate) fn caller(&self) -> Caller {
        Caller {
            actor: "key:test".to_owned(),
            request_id: None,
            spoken: gateway::service::clients::Spoken::named(&self.instance.policy),
            wait_until: None,
            later: None,
            own: false,
        }
    }

    pub(crate) async fn post(&self, kind: &str, body: Value) -> Result<Written, Failure> {
        let mut body = body;
        if body.get("schemas").is_none() {
            body["schemas"] = json!([format!("urn:ietf:params:scim:schemas:core:2.0:{kind}")]);
        }
        let registry = self.instance.registry.clone();
        let rt = registry.resource_type(kind).unwrap();
        self.app.create(&self.instance, &self.caller(), rt, body, &mut Quirks::lenient()).await
    }

    pub(crate) async fn user(&self, name: &str) -> String {
        self.post("User", json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "emails": [{"value": name, "primary": true}]})).await.unwrap().stored.id
    }

    pub(crate) async fn patch(&self, kind: &str, id: &str, operations: Value) -> Result<Written, Failure> {
        let registry = self.instance.registry.clone();
        let rt = registry.resource_type(kind).unwrap();
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations});
        self.app.patch(&self.instance, &self.caller(), rt, id, body, Precondition::None, &mut Quirks::lenient()).await
    }

    pub(crate) async fn delete(&self, kind: &str, id: &str) {
        let registry = self.instance.registry.clone();
        self.app
            .delete(&self.instance, &self.caller(), registry.resource_type(kind).unwrap(), id, Precondition::None)
            .await
            .unwrap();
    }
}

pub(crate) fn emails(state: &Value, list: &str) -> Vec<String> {
    let mut found: Vec<String> =
        state[list].as_array().unwrap().iter().map(|one| one["email"].as_str().unwrap_or("-").to_owned()).collect();
    found.sort();
    found
}

impl Rig {
    /// Changes the instance's mode; the rig then holds the instance as it is now.
    pub(crate) async fn set_mode(&mut self, mode: Mode) {
        let change = gateway::service::instances::InstanceChange { mode: Some(mode), ..Default::default() };
        self.instance = self
            .app
            .update_instance("admin", &self.instance, change)
            .await
            .map_err(|error| format!("{error:?}"))
            .unwrap();
        self.app.driver.wake();
    }

    /// The rows of work that are not settled: (state, need).
    pub(crate) async fn open_work(&self) -> Vec<(String, String)> {
        let page = self.app.list_work(&self.instance, None, 0, 1000).await.unwrap();
        page.items
            .into_iter()
            .map(|row| {
                (
                    row["state"].as_str().unwrap_or_default().to_owned(),
                    row["need"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect()
    }

    /// Waits until nothing is left to do, and has what waits for its time looked at at once.
    pub(crate) async fn quiet_at_once(&self) {
        let open = gateway::service::records::OperationFilter { state: Some("open".to_owned()), ..Default::default() };
        self.wait("the work to settle", async || {
            for operation in self.app.list_operations(&self.instance, &open, i64::MAX, 200).await.unwrap().items {
                // What settled meanwhile needs no other try.
                drop(self.app.retry_operation("admin", operation["id"].as_str().unwrap()).await);
            }
            self.open_work().await.is_empty()
        })
        .await;
        self.quiet().await;
    }

    /// Waits until nothing is left to do by itself.
    pub(crate) async fn quiet(&self) {
        self.wait("the work to settle", async || self.open_work().await.is_empty()).await;
        let filter =
            gateway::service::records::OperationFilter { state: Some("open".to_owned()), ..Default::default() };
        let open = self.app.list_operations(&self.instance, &filter, i64::MAX, 10).await.unwrap();
        assert!(open.items.is_empty(), "operations without work stay open: {:?}", open.items);
    }
}
