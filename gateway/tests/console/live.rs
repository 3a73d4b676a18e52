//! A gateway that drives a simulated target, with its console and its clients, all in process.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::browser::{Browser, Gateway};
use crate::common::{Db, PATCH, Reply, config, send};

pub(crate) struct Live {
    pub(crate) gateway: Gateway,
    pub(crate) instance: String,
    key: String,
    sim: Simulator,
    stop: CancellationToken,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Live {
    /// A gateway with one enabled instance at a simulated Buildkite.
    pub(crate) async fn start(policy: Value) -> Self {
        Self::start_on(&Db::Sqlite, policy).await
    }

    /// The same on one of the databases.
    pub(crate) async fn start_on(db: &Db, policy: Value) -> Self {
        let target = simulators::target("buildkite", Limits::None).unwrap();
        let sim = Simulator::new(target, Limits::None, simulators::Clock::system());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn(simulators::serve(sim.clone(), listener, stop.clone().cancelled_owned()));
        let folder = TempDir::new().unwrap();
        let clock = Clock::system();
        let app = App::build(config(folder.path(), db.make().await.as_deref(), Overrides::default()), clock.clone())
            .await
            .unwrap();
        app.ensure_admin_token().await.unwrap();
        let (driver, token) = (app.driver.clone(), stop.clone());
        tokio::spawn(async move { driver.start(token).await });
        let gateway = Gateway { router: gateway::app::router(&app), clock, folder };
        let offer = sim.offer(&base);
        let new = json!({
            "name": "Buildkite acme", "connector": "buildkite", "settings": offer["settings"], "secrets": offer["secrets"],
            "mode": "enabled", "policy": policy,
        });
        let made = gateway.admin("POST", "/instances", Some(new)).await.expect(201).json();
        let instance = made["id"].as_str().unwrap().to_owned();
        let named = Some(json!({"name": "Entra prod"}));
        let key = gateway.admin("POST", &format!("/instances/{instance}/keys"), named).await.expect(201).json();
        let key = format!("Bearer {}", key["key"].as_str().unwrap());
        let live = Self { gateway, instance, key, sim, stop };
        live.reconcile().await;
        live
    }

    pub(crate) async fn owner(&self) -> Browser {
        self.gateway.owner().await
    }

    /// A path of the console below the instance.
    pub(crate) fn page(&self, path: &str) -> String {
        format!("/console/instances/{}{path}", self.instance)
    }

    pub(crate) async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let reply = self.gateway.admin(method, &format!("/instances/{}{path}", self.instance), body).await;
        assert!(reply.status.is_success(), "{path}: {}", reply.text());
        reply.json()
    }

    /// What the identity provider sends.
    pub(crate) async fn scim(&self, method: &str, path: &str, body: Value) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("/i/{}/scim/v2{path}", self.instance))
            .header("authorization", &self.key)
            .header("x-request-id", "request-of-the-test")
            .body(if body.is_null() { Body::empty() } else { Body::from(body.to_string()) });
        send(&self.gateway.router, request.unwrap()).await
    }

    pub(crate) async fn user(&self, name: &str, shown: &str) -> String {
        let body = json!({
            "schemas": [crate::common::USER], "userName": name, "displayName": shown, "title": "Dr",
            "emails": [{"value": name, "primary": true}],
        });
        self.scim("POST", "/Users", body).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
        let body = json!({"schemas": [crate::common::GROUP], "displayName": name, "members": members});
        self.scim("POST", "/Groups", body).await.expect(201).json()["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn active(&self, id: &str, active: bool) {
        let operations = json!([{"op": "replace", "path": "active", "value": active}]);
        let body = json!({"schemas": [PATCH], "Operations": operations});
        let reply = self.scim("PATCH", &format!("/Users/{id}"), body).await;
        assert!(reply.status.is_success(), "{}", reply.text());
    }

    /// The simulator's own controls.
    pub(crate) async fn control(&self, path: &str, body: Value) {
        let request = http::Request::builder()
            .method("POST")
            .uri(path)
            .header("content-type", "application/json")
            .body(Bytes::from(body.to_string()))
            .unwrap();
        let reply = self.sim.handle(request).await.unwrap();
        assert!(reply.status().is_success(), "{path}: {:?}", reply.body());
    }

    pub(crate) async fn wait(&self, what: &str, mut so: impl AsyncFnMut() -> bool) {
        for _ in 0..2_400 {
            if so().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited in vain for {what}: {}", self.admin("GET", "/work", None).await);
    }

    /// Waits until nothing is left to do by itself.
    pub(crate) async fn quiet(&self) {
        self.wait("the work to settle", async || self.work().await.is_empty()).await;
    }

    /// The states of the open work.
    pub(crate) async fn work(&self) -> Vec<String> {
        let page = self.admin("GET", "/work?limit=500", None).await;
        page["items"].as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap().to_owned()).collect()
    }

    /// Compares with the target, to the end.
    pub(crate) async fn reconcile(&self) {
        let path = format!("/instances/{}/reconcile", self.instance);
        self.wait("a comparison to begin", async || self.gateway.admin("POST", &path, None).await.status.is_success())
            .await;
        self.wait("a comparison to end", async || {
            let runs = self.admin("GET", "/runs?limit=1", None).await;
            runs["items"][0]["state"] != "running"
        })
        .await;
    }

    /// Somebody who is at the target and managed.
    pub(crate) async fn member(&self, name: &str, shown: &str) -> String {
        let id = self.user(name, shown).await;
        self.quiet().await;
        self.control("/_sim/accept", json!({"email": name})).await;
        self.reconcile().await;
        self.quiet().await;
        id
    }
}
