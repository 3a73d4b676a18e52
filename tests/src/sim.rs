//! A simulated target as a process, and its control API (`/_sim`).

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http_client::{self, Answer};
use crate::process::Process;

/// A running simulator.
#[derive(Debug)]
pub struct Sim {
    process: Process,
    folder: TempDir,
    target: String,
    limits: String,
    client: reqwest::Client,
    origin: String,
    /// Where the target's API is.
    pub base_url: String,
}

impl Sim {
    /// Starts one without limits.
    pub async fn start(target: &str) -> Self {
        Self::start_with(target, "none").await
    }

    /// Starts one with limits: `none`, `real` or `N/s`.
    pub async fn start_with(target: &str, limits: &str) -> Self {
        Self::launch(target, limits, "127.0.0.1:0").await
    }

    /// Starts one without limits on an address of its own: `[::1]:0`.
    pub async fn start_at(target: &str, listen: &str) -> Self {
        Self::launch(target, "none", listen).await
    }

    async fn launch(target: &str, limits: &str, listen: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let process = launch(target, limits, listen, &folder).await;
        let base_url = process.said("base_url");
        let origin = url::Url::parse(&base_url)
            .unwrap_or_else(|error| panic!("the base URL {base_url} is none: {error}"))
            .origin()
            .ascii_serialization();
        Self {
            process,
            folder,
            target: target.to_owned(),
            limits: limits.to_owned(),
            client: http_client::client(),
            origin,
            base_url,
        }
    }

    /// Starts a new one in its place, after [`Self::kill`]: on the same port, with the same
    /// credential, and as empty as any new one.
    ///
    /// # Panics
    /// If an instance of the old one could not go on with it.
    pub async fn replace(&mut self) {
        let listen = self.origin.strip_prefix("http://").unwrap_or(&self.origin).to_owned();
        let process = launch(&self.target, &self.limits, &listen, &self.folder).await;
        assert_eq!(process.ready, self.process.ready, "the new simulator offers something else");
        self.process = process;
    }

    /// The body that makes an instance for this target: the ready line's connector, settings and
    /// secrets, under this name, enabled.
    pub fn instance(&self, name: &str) -> Value {
        let part =
            |part: &str| self.process.ready.get(part).cloned().unwrap_or_else(|| panic!("no {part} in the ready line"));
        json!({
            "name": name,
            "connector": part("connector"),
            "settings": part("settings"),
            "secrets": part("secrets"),
            "mode": "enabled",
        })
    }

    async fn control(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let url = format!("{}/_sim/{path}", self.origin);
        let headers = [("content-type", "application/json")];
        http_client::send(&self.client, method, &url, &headers, body.map(|body| body.to_string()))
            .await
            .unwrap_or_else(|error| panic!("the simulator does not answer: {error}"))
    }

    /// What the target holds: accounts, invitations, groups.
    pub async fn state(&self) -> Value {
        self.control(Method::GET, "state", None).await.expect(200)
    }

    /// Every call of the target's API, oldest first.
    pub async fn calls(&self) -> Vec<Value> {
        match self.control(Method::GET, "calls", None).await.expect(200) {
            Value::Array(calls) => calls,
            other => panic!("/_sim/calls answered {other}"),
        }
    }

    /// Every write, as `METHOD path -> status`, oldest first. A GraphQL call is a POST whether it
    /// reads or writes: queries are left out, and a mutation's name stands behind the path.
    pub async fn writes(&self) -> Vec<String> {
        let text = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
        self.calls()
            .await
            .iter()
            .filter(|call| !matches!(text(call, "method").as_str(), "GET" | "HEAD"))
            .filter(|call| !text(call, "graphql").starts_with("query"))
            .map(|call| {
                let (method, path) = (text(call, "method"), text(call, "path"));
                let asked = text(call, "graphql");
                let blank = if asked.is_empty() { "" } else { " " };
                format!("{method} {path}{blank}{asked} -> {}", call["status"])
            })
            .collect()
    }

    /// Adds faults, in the form of `POST /_sim/faults`.
    pub async fn fault(&self, faults: Value) {
        let answer = self.control(Method::POST, "faults", Some(faults)).await;
        assert!(answer.status < 300, "faults: {} {}", answer.status, answer.text);
    }

    /// Takes all faults away.
    pub async fn heal(&self) {
        let answer = self.control(Method::DELETE, "faults", None).await;
        assert!(answer.status < 300, "faults: {} {}", answer.status, answer.text);
    }

    /// The people accept their invitations: all, or those that `which` names.
    pub async fn accept(&self, which: Value) {
        let answer = self.control(Method::POST, "accept", Some(which)).await;
        assert!(answer.status < 300, "accept: {} {}", answer.status, answer.text);
    }

    /// Turns the target's own knobs (`POST /_sim/set`): `{"token": "revoked"}`.
    pub async fn set(&self, what: Value) {
        let answer = self.control(Method::POST, "set", Some(what)).await;
        assert!(answer.status < 300, "set: {} {}", answer.status, answer.text);
    }

    /// Fills the target with accounts and groups.
    pub async fn load(&self, accounts: u32, groups: u32) {
        let body = json!({"accounts": accounts, "groups": groups});
        let answer = self.control(Method::POST, "load", Some(body)).await;
        assert!(answer.status < 300, "load: {} {}", answer.status, answer.text);
    }

    /// Ends it (SIGKILL): nothing listens there any more.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }
}

async fn launch(target: &str, limits: &str, listen: &str, folder: &TempDir) -> Process {
    let args = ["simulate", target, "--listen", listen, "--limits", limits];
    Process::start(&args, &[], &folder.path().join("simulate.log")).await
}
