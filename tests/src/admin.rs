//! A client of the admin API.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::http_client::{self, Answer};
use crate::scim::Scim;
use crate::sim::Sim;
use crate::wait::wait_until;

/// How long an import or reconcile may take.
const RUN: Duration = Duration::from_secs(600);

/// The admin of one gateway.
#[derive(Clone, Debug)]
pub struct Admin {
    client: reqwest::Client,
    base: String,
    token: String,
}

/// An instance with a key to it.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Its id.
    pub id: String,
    /// Its SCIM API, with a key.
    pub scim: Scim,
}

impl Admin {
    /// The admin API of the gateway at `url`.
    pub fn new(url: &str, token: &str) -> Self {
        Self { client: http_client::client(), base: format!("{url}/admin/v1"), token: token.to_owned() }
    }

    /// One call; `path` begins with a slash.
    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/json"));
        }
        let url = format!("{}{path}", self.base);
        http_client::send(&self.client, method, &url, &headers, body.map(|body| body.to_string()))
            .await
            .unwrap_or_else(|error| panic!("the admin API does not answer {path}: {error}"))
    }

    /// A GET that succeeds.
    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.expect(200)
    }

    /// Every item of a list, page by page.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let glue = if path.contains('?') { '&' } else { '?' };
            let page = match &cursor {
                Some(cursor) => {
                    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
                    self.get(&format!("{path}{glue}cursor={cursor}")).await
                }
                None => self.get(path).await,
            };
            match &page["items"] {
                Value::Array(more) => items.extend(more.iter().cloned()),
                other => panic!("{path}: items is {other}"),
            }
            let next = page["next"].as_str().map(str::to_owned);
            assert!(next.is_none() || next != cursor, "{path}: the cursor stays at {next:?}");
            if next.is_none() {
                return items;
            }
            cursor = next;
        }
    }

    /// Creates an instance from a whole body, with a key.
    pub async fn create(&self, body: Value) -> Instance {
        let made = self.call(Method::POST, "/instances", Some(body)).await.expect(201);
        let text = |name: &str| made[name].as_str().unwrap_or_else(|| panic!("no {name} in {made}")).to_owned();
        let id = text("id");
        let key = self.key(&id).await;
        Instance { scim: Scim::new(&text("scim_base_url"), &key), id }
    }

    /// Creates an enabled instance for a simulated target, with this policy (null: none given).
    pub async fn connect(&self, sim: &Sim, policy: Value) -> Instance {
        let mut body = sim.instance("test");
        if !policy.is_null() {
            body["policy"] = policy;
        }
        self.create(body).await
    }

    /// A new key of an instance.
    pub async fn key(&self, instance: &str) -> String {
        let path = format!("/instances/{instance}/keys");
        let made = self.call(Method::POST, &path, Some(json!({}))).await.expect(201);
        made["key"].as_str().unwrap_or_else(|| panic!("no key in {made}")).to_owned()
    }

    /// Changes an instance: `{"mode": …}`, `{"policy": …}`.
    pub async fn change(&self, instance: &str, change: Value) -> Value {
        self.call(Method::PATCH, &format!("/instances/{instance}"), Some(change)).await.expect(200)
    }

    /// Starts `import` or `reconcile` and waits for its end; answers the run. One that runs already (on enabling, or
    /// taken up again after a death) is waited for first: it may have read the target before what the test is about.
    pub async fn run(&self, instance: &str, kind: &str) -> Value {
        let path = format!("/instances/{instance}/{kind}");
        let started = wait_until("a run can be started", RUN, async || {
            let answer = self.call(Method::POST, &path, Some(json!({}))).await;
            (answer.status != 409).then_some(answer)
        })
        .await
        .expect(202);
        self.ended(instance, &started).await
    }

    async fn ended(&self, instance: &str, started: &Value) -> Value {
        let run = started["run_id"].as_str().unwrap_or_else(|| panic!("no run_id in {started}"));
        let path = format!("/instances/{instance}/runs/{run}");
        wait_until("the run has ended", RUN, async || {
            let run = self.get(&path).await;
            (run["state"] != "running").then_some(run)
        })
        .await
    }

    /// Waits until the first import, which begins by itself, is over; then nothing but what a test
    /// asks for is under way.
    ///
    /// # Panics
    /// If the target could not be listed.
    pub async fn imported(&self, instance: &str) {
        let run = self.run(instance, "import").await;
        assert_eq!(run["state"], "done", "the import: {run}");
    }

    /// The operations of an instance, with an optional filter (`state=open`).
    pub async fn operations(&self, instance: &str, filter: &str) -> Vec<Value> {
        self.list(&format!("/instances/{instance}/operations?{filter}")).await
    }

    /// The unsettled work of an instance, with an optional filter (`state=needs`).
    pub async fn work(&self, instance: &str, filter: &str) -> Vec<Value> {
        self.list(&format!("/instances/{instance}/work?{filter}")).await
    }

    /// Waits until no operation is open and no work is left, so long; what is left after that.
    pub async fn left_over(&self, instance: &str, bound: Duration) -> Option<Value> {
        let start = Instant::now();
        wait_until("all is settled", bound * 2, async || {
            let open = self.get(&format!("/instances/{instance}/operations?state=open&limit=3")).await;
            let work = self.get(&format!("/instances/{instance}/work?limit=3")).await;
            let empty = |page: &Value| page["items"].as_array().is_some_and(Vec::is_empty);
            match empty(&open) && empty(&work) {
                true => Some(None),
                false if start.elapsed() > bound => Some(Some(json!([open, work]))),
                false => None,
            }
        })
        .await
    }

    /// Waits until no operation is open and no work is left, so long.
    ///
    /// # Panics
    /// If that takes longer: says what is left.
    pub async fn quiet(&self, instance: &str, bound: Duration, context: &str) {
        if let Some(left) = self.left_over(instance, bound).await {
            panic!("{context}: left to do after {} s: {left:#}", bound.as_secs());
        }
    }

    /// Waits until nothing is left to do at once: no operation open.
    ///
    /// # Panics
    /// If that takes longer than two minutes: says what is open, and why.
    pub async fn settled(&self, instance: &str) {
        let (bound, start) = (Duration::from_secs(120), Instant::now());
        let path = format!("/instances/{instance}/operations?state=open&limit=3");
        let left = wait_until("no operation is open", bound * 2, async || {
            let open = self.get(&path).await;
            match open["items"].as_array().is_some_and(Vec::is_empty) {
                true => Some(None),
                false if start.elapsed() > bound => Some(Some(open)),
                false => None,
            }
        })
        .await;
        if let Some(open) = left {
            let work = self.get(&format!("/instances/{instance}/work?limit=3")).await;
            panic!("still open after {} s: {open:#}\nwork: {work:#}", bound.as_secs());
        }
    }
}
