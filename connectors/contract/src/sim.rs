//! A simulated target as a transport and a world, with the connector built for it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connector_sdk::kit::{RateLimit, World};
use connector_sdk::spelling;
use connector_sdk::{Call, CallAbout, Connector, Effect, Fault, FaultKind, Person, Reply, Secrets, Transport};
use http::Request;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use simulators::{Clock, Limits, Simulator};

/// Where the simulated targets seem to be; nothing is sent there.
pub const BASE: &str = "http://127.0.0.1:9";

/// Where a target keeps a group's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// In its name.
    Plain,
    /// In its name, spelled in letters, digits, `-` and `_`.
    Spelled,
    /// In a comment, where it has one.
    Noted,
}

impl Names {
    fn of(target: &str) -> Self {
        match target {
            "terraform" => Self::Spelled,
            "tailscale" => Self::Noted,
            _ => Self::Plain,
        }
    }
}

/// When the simulated worlds begin: 2026-01-02T03:04:05Z.
const START: i64 = 1_767_323_045;

/// A simulator as a transport and as a world.
pub struct Sim {
    /// The simulated target.
    pub simulator: Simulator,
    /// Its time, which stands still until it is moved.
    pub clock: Clock,
    /// Whether people are known by their login.
    pub handles: bool,
    /// Where a group's name is.
    names: Names,
    /// How the vendor says "too many calls".
    pub rate_limits: fn(Timestamp) -> Vec<RateLimit>,
}

#[async_trait]
impl Transport for Sim {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let request = Request::builder().method(call.method).uri(call.url.as_str()).body(call.body);
        let mut request = request.map_err(|error| {
            Fault::new(FaultKind::NotSent, "The call is no HTTP request.").context(error.to_string())
        })?;
        *request.headers_mut() = call.headers;
        match self.simulator.handle(request).await {
            Ok(response) => {
                let (parts, body) = response.into_parts();
                Ok(Reply::new(parts.status, parts.headers, body, self.clock.now()))
            }
            Err(dropped) => Err(Fault::new(FaultKind::Unavailable, dropped.to_string()).effect(Effect::Unknown)),
        }
    }
}

#[async_trait]
impl World for Sim {
    async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        let body = match body {
            Value::Null => Bytes::new(),
            other => Bytes::from(other.to_string()),
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{BASE}{path}"))
            .body(body)
            .map_err(|error| error.to_string())?;
        let response = self.simulator.handle(request).await.map_err(|dropped| dropped.to_string())?;
        if !response.status().is_success() {
            return Err(String::from_utf8_lossy(response.body()).into_owned());
        }
        serde_json::from_slice(response.body()).map_err(|error| error.to_string())
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn person(&self, name: &str) -> Result<Person, String> {
        let address = format!("{name}@kit.example");
        let mut person = Person::named(if self.handles { name } else { &address });
        person.email = Some(address);
        Ok(person)
    }

    async fn accept(&self, who: &Person, login: Option<&str>) -> Result<bool, String> {
        let body = match (self.handles, login) {
            // An invitation to a login is for that account alone.
            (true, Some(_)) => return Ok(false),
            (true, None) => json!({ "login": who.user_name }),
            (false, None) => json!({ "email": who.email }),
            (false, Some(login)) => json!({ "email": who.email, "login": login }),
        };
        self.control("POST", "/_sim/accept", body).await?;
        Ok(true)
    }

    fn rate_limits(&self) -> Vec<RateLimit> {
        (self.rate_limits)(self.clock.now())
    }

    fn is_group(&self, name: &str, entry: &Value) -> bool {
        told(self.names, entry).is_some_and(|known| known.eq_ignore_ascii_case(name))
    }
}

/// The name of a group in the target's state.
fn told(names: Names, entry: &Value) -> Option<String> {
    let plain = entry["name"].as_str();
    match names {
        Names::Plain => plain.map(str::to_owned),
        Names::Spelled => plain.map(spelling::plain),
        Names::Noted => {
            let note = entry["comment"].as_str().and_then(|note| note.strip_prefix("scimgate: "));
            note.and_then(|name| serde_json::from_str(name).ok()).or_else(|| plain.map(str::to_owned))
        }
    }
}

/// A connector, its simulated target, and the plain texts of its secrets.
pub struct Built {
    /// The connector.
    pub connector: Arc<dyn Connector>,
    /// Its target.
    pub sim: Arc<Sim>,
    /// The plain texts of its secrets, to look for where they must not be.
    pub secrets: Vec<String>,
    /// The calls that it declares.
    pub calls: Vec<CallAbout>,
}

/// A connector could not be built for a simulated target.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BuildError(String);

/// Builds a connector from the simulator's offer, with these settings on top.
///
/// # Errors
/// No such simulated target, an offer of a connector that is not built in, or settings that it refuses.
pub fn build(
    target: &str,
    limits: Limits,
    settings: &Value,
    handles: bool,
    rate_limits: fn(Timestamp) -> Vec<RateLimit>,
) -> Result<Built, BuildError> {
    build_with(target, limits, settings, handles, rate_limits, &json!({}))
}

/// The same with knobs of the simulated target turned before (`POST /_sim/set`).
///
/// # Errors
/// As [`build`], and knobs that the target does not have.
pub fn build_with(
    target: &str,
    limits: Limits,
    settings: &Value,
    handles: bool,
    rate_limits: fn(Timestamp) -> Vec<RateLimit>,
    knobs: &Value,
) -> Result<Built, BuildError> {
    let clock = Clock::manual(Timestamp::from_second(START).unwrap_or_default());
    let mut made = simulators::target(target, limits)
        .ok_or_else(|| BuildError(format!("There is no simulated target {target:?}.")))?;
    if knobs.as_object().is_some_and(|knobs| !knobs.is_empty()) {
        made.set(knobs).map_err(BuildError)?;
    }
    let simulator = Simulator::new(made, limits, clock.clone());
    let offer = simulator.offer(BASE);
    let mut given = offer["settings"].clone();
    for (name, value) in settings.as_object().into_iter().flatten() {
        given[name] = value.clone();
    }
    let plain: Vec<(String, String)> = offer["secrets"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect();
    let secrets = Secrets::new(plain.iter().map(|(name, text)| (name.clone(), SecretString::from(text.clone()))));
    let entry = connectors::builtin().into_iter().find(|entry| offer["connector"] == entry.name).ok_or_else(|| {
        BuildError(format!("The connector {} that {target} offers is not built in.", offer["connector"]))
    })?;
    let connector = entry
        .build(&given, &secrets)
        .map_err(|error| BuildError(format!("The settings that the simulated {target} offers are refused: {error}")))?;
    Ok(Built {
        connector,
        sim: Arc::new(Sim { simulator, clock, handles, names: Names::of(target), rate_limits }),
        secrets: plain.into_iter().map(|(_, text)| text).collect(),
        calls: entry.about.calls,
    })
}
