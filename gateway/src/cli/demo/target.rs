//! A simulated target with its instance: the SCIM side as an identity provider calls it, and the
//! target's own side as a person who looks at it.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::super::client::{Client, http_client, read};
use super::super::exit::Stop;
use super::{PATIENCE, needed};

/// How long the target may take to show what is expected.
const BOUND: Duration = Duration::from_secs(20);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// One target.
pub(super) struct Target {
    /// How people call it.
    pub(super) title: &'static str,
    /// Its instance.
    pub(super) instance: String,
    /// The instance's SCIM base URL.
    pub(super) base_url: String,
    /// A key to it.
    pub(super) key: String,
    /// Where the simulator is.
    pub(super) origin: String,
    /// The SCIM id of the person who is still active at the end.
    pub(super) grace: String,
    http: reqwest::Client,
}

impl Target {
    /// Makes an instance for what a simulator offers, and a key, through the admin API.
    pub(super) async fn connect(admin: &Client, title: &'static str, offer: &Value) -> Result<Self, Stop> {
        let body = json!({
            "name": title, "connector": offer["connector"], "settings": offer["settings"], "secrets": offer["secrets"], "mode": "enabled",
        });
        let made = admin.call(Method::POST, "/instances", Some(&body)).await?;
        let instance = needed(&made, "id")?;
        let key =
            admin.call(Method::POST, &format!("/instances/{instance}/keys"), Some(&json!({"name": "demo"}))).await?;
        let origin = needed(offer, "base_url")?;
        let url = Url::parse(&origin).map_err(|error| Stop::failed(format!("{origin}: {error}")))?;
        Ok(Self {
            title,
            instance,
            base_url: needed(&made, "scim_base_url")?,
            key: needed(&key, "key")?,
            http: http_client(&url, PATIENCE)?,
            origin: url.origin().ascii_serialization(),
            grace: String::new(),
        })
    }

    /// One SCIM request; the answer's JSON if its status is a success.
    pub(super) async fn scim(&self, method: Method, path: &str, body: &Value) -> Result<Value, Stop> {
        let url = format!("{}{path}", self.base_url);
        let request =
            self.http.request(method, url).bearer_auth(&self.key).header("content-type", "application/scim+json");
        self.send(request, body).await
    }

    /// One call of the simulator's control API.
    pub(super) async fn control(&self, method: Method, path: &str, body: &Value) -> Result<Value, Stop> {
        let request = self
            .http
            .request(method, format!("{}/_sim/{path}", self.origin))
            .header("content-type", "application/json");
        self.send(request, body).await
    }

    async fn send(&self, request: reqwest::RequestBuilder, body: &Value) -> Result<Value, Stop> {
        let request = if body.is_null() { request } else { request.body(body.to_string()) };
        let answer = request.send().await.map_err(|error| Stop::failed(format!("No answer: {error}")))?;
        let (status, url) = (answer.status(), answer.url().clone());
        let text = read(answer).await.map_err(Stop::failed)?;
        if !status.is_success() {
            return Err(Stop::failed(format!("Expected a success of {url}, found {status}: {text}")));
        }
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Looks at the target until it is as expected.
    pub(super) async fn until(&self, expected: &str, test: impl Fn(&Value) -> bool) -> Result<(), Stop> {
        let started = Instant::now();
        loop {
            let state = self.control(Method::GET, "state", &Value::Null).await?;
            if test(&state) {
                return Ok(());
            }
            if started.elapsed() > BOUND {
                return Err(Stop::failed(format!(
                    "Expected at {}: {expected}. Found after {} s: {state}",
                    self.title,
                    BOUND.as_secs()
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
