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
    #[expect(dead_code, reason = "holds the log until the process is gone")]
    folder: TempDir,
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
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let args = [
            "simulate",
            target,
            "--listen",
            "127.0.0.1:0",
            "--limits",
            limits,
        ];
        let process = Process::start(&args, &[], &folder.path().join("simulate.log")).await;
        let base_url = process.said("base_url");
        let origin = url::Url::parse(&base_url)
            .unwrap_or_else(|error| panic!("the base URL {base_url} is none: {error}"))
            .origin()
            .ascii_serialization();
        Self {
            process,
            folder,
            client: http_client::client(),
            origin,
            base_url,
        }
    }

    /// The body that makes an instance for this target: the ready line's connector, settings and
    /// secrets, under this name, enabled.
    pub fn instance(&self, name: &str) -> Value {
        let part = |part: &str| {
            self.process
                .ready
                .get(part)
                .cloned()
                .unwrap_or_else(|| panic!("no {part} in the ready line"))
        };
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
        http_client::send(
            &self.client,
            method,
            &url,
            &headers,
            body.map(|body| body.to_string()),
        )
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
    /// reads or writes, and stands here too.
    pub async fn writes(&self) -> Vec<String> {
        let text = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
        self.calls()
            .await
            .iter()
            .filter(|call| !matches!(text(call, "method").as_str(), "GET" | "HEAD"))
            .map(|call| {
                format!(
                    "{} {} -> {}",
                    text(call, "method"),
                    text(call, "path"),
                    call["status"]
                )
            })
            .collect()
    }

    /// Adds faults, in the form of `POST /_sim/faults`.
    pub async fn fault(&self, faults: Value) {
        let answer = self.control(Method::POST, "faults", Some(faults)).await;
        assert!(
            answer.status < 300,
            "faults: {} {}",
            answer.status,
            answer.text
        );
    }

    /// Takes all faults away.
    pub async fn heal(&self) {
        let answer = self.control(Method::DELETE, "faults", None).await;
        assert!(
            answer.status < 300,
            "faults: {} {}",
            answer.status,
            answer.text
        );
    }

    /// The people accept their invitations: all, or those that `which` names.
    pub async fn accept(&self, which: Value) {
        let answer = self.control(Method::POST, "accept", Some(which)).await;
        assert!(
            answer.status < 300,
            "accept: {} {}",
            answer.status,
            answer.text
        );
    }

    /// Fills the target with accounts and groups.
    pub async fn load(&self, accounts: u32, groups: u32) {
        let body = json!({"accounts": accounts, "groups": groups});
        let answer = self.control(Method::POST, "load", Some(body)).await;
        assert!(
            answer.status < 300,
            "load: {} {}",
            answer.status,
            answer.text
        );
    }

    /// Ends it (SIGKILL): nothing listens there any more.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }
}
