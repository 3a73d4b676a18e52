//! A gateway with one instance of a simulated target, filled with people and groups.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gateway::app;
use gateway::clock::Clock;
use gateway::config::{Config, Overrides};
use gateway::service::App;
use http::Method;
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Options;
use crate::load::{Load, Outcome, Shot, shoot};

/// The schema of a PATCH.
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
const TOKEN: &str = "bench-admin-token";
/// How long the target may take to agree with the directory.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(20);

/// A folder on the disk that the build is on: a temporary folder may be memory, where a commit costs
/// nothing.
pub(crate) fn folder() -> Result<TempDir> {
    Ok(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?)
}

/// What the instance does with what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Accepts and applies.
    Enabled,
    /// Accepts and queues.
    Paused,
}

/// A user's name by number.
pub(crate) fn user_name(n: usize) -> String {
    format!("user{n:07}@example.com")
}

/// A user by number, as identity providers send them.
pub(crate) fn user(n: usize) -> Value {
    let email = user_name(n);
    json!({
        "schemas": [USER], "userName": email, "externalId": format!("00u{n:017}"), "active": true, "displayName": format!("Person {n}"),
        "name": {"givenName": "Person", "familyName": format!("Number {n}")}, "title": "Engineer",
        "emails": [{"value": email, "type": "work", "primary": true}],
    })
}

/// The SCIM ids of what was filled in.
pub(crate) struct People {
    /// Users; the ones beyond [`Options::users`] are in no group.
    pub(crate) users: Vec<String>,
    /// Groups of ten.
    pub(crate) small: Vec<String>,
    /// The group of all but the extra users.
    pub(crate) large: String,
}

/// The gateway and the target.
pub(crate) struct Place {
    address: SocketAddr,
    instance: String,
    scim: String,
    key: String,
    mode: Mode,
    simulator: String,
    http: reqwest::Client,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    _folder: TempDir,
}

impl Place {
    /// Starts both, with an empty directory.
    pub(crate) async fn open(mode: Mode) -> Result<Self> {
        let stop = CancellationToken::new();
        let target = simulators::target("github", Limits::None).context("no simulated GitHub")?;
        let simulator = Simulator::new(target, Limits::None, simulators::Clock::system());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let simulated = format!("http://{}", listener.local_addr()?);
        let offer = simulator.offer(&simulated);
        let until = stop.clone();
        let serving = tokio::spawn(async move {
            let _ = simulators::serve(simulator, listener, until.cancelled_owned()).await;
        });

        let folder = folder()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let overrides = Overrides {
            data_dir: Some(folder.path().to_owned()),
            public_url: Some(format!("http://{address}")),
            admin_token: Some(TOKEN.to_owned().into()),
            allow_private_targets: Some(true),
            ..Overrides::default()
        };
        let app: Arc<App> = App::build(Config::load(overrides)?, Clock::system()).await?;
        app.ensure_admin_token().await?;
        let gateway = tokio::spawn(app::run(app, listener, stop.clone()));

        let mut place = Self {
            address,
            instance: String::new(),
            scim: String::new(),
            key: String::new(),
            mode,
            simulator: simulated,
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?,
            stop,
            tasks: vec![gateway, serving],
            _folder: folder,
        };
        let body = json!({
            "name": "bench", "connector": offer["connector"], "settings": offer["settings"], "secrets": offer["secrets"],
            "mode": if mode == Mode::Paused { "paused" } else { "enabled" },
        });
        let made = place.admin(Method::POST, "/instances", Some(&body)).await?;
        place.instance = text(&made, "id")?;
        place.scim = format!("/i/{}/scim/v2", place.instance);
        let key = place.admin(Method::POST, &format!("/instances/{}/keys", place.instance), Some(&json!({}))).await?;
        place.key = text(&key, "key")?;
        Ok(place)
    }

    async fn admin(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.http.request(method, format!("http://{}/admin/v1{path}", self.address)).bearer_auth(TOKEN);
        answer(request, path, body).await
    }

    /// Load on the SCIM side.
    pub(crate) async fn shoot(
        &self,
        load: &Load,
        shot: impl Fn(usize) -> Shot + Send + Sync + 'static,
    ) -> Result<Outcome> {
        shoot(self.address, &self.scim, &self.key, load, false, shot).await
    }

    /// Creates resources, however long it takes; their ids in the order of their numbers.
    async fn make(
        &self,
        connections: usize,
        count: usize,
        shot: impl Fn(usize) -> Shot + Send + Sync + 'static,
    ) -> Result<Vec<String>> {
        let load = Load { connections, requests: count, bound: None };
        let made = shoot(self.address, &self.scim, &self.key, &load, true, shot).await?;
        made.bodies.values().map(|body| text(&serde_json::from_slice(body)?, "id")).collect()
    }

    /// Fills the directory; an enabled instance's target agrees with it at the end.
    pub(crate) async fn fill(&self, options: &Options) -> Result<People> {
        eprintln!("creating {} users", options.users + options.extra());
        let users = self
            .make(options.connections, options.users + options.extra(), |n| {
                Shot::write(Method::POST, "/Users".to_owned(), &user(n), &[201])
            })
            .await
            .context("filling in users")?;
        self.drained().await?;
        if self.mode == Mode::Enabled {
            eprintln!("accepting their invitations");
            answer(self.http.post(format!("{}/_sim/accept", self.simulator)), "accept", Some(&json!({}))).await?;
            self.reconcile().await?;
        }
        eprintln!("creating groups");
        let wanted = users.clone();
        let small = self
            .make(options.connections, options.small_groups(), move |n| {
                let members: Vec<&str> = (0..10).map(|m| wanted[(n * 10 + m) % wanted.len()].as_str()).collect();
                Shot::write(Method::POST, "/Groups".to_owned(), &group(&format!("Small {n}"), &members), &[201])
            })
            .await
            .context("filling in groups")?;
        let wanted = users[..options.users].to_vec();
        let large = self
            .make(1, 1, move |_| {
                let members: Vec<&str> = wanted.iter().map(String::as_str).collect();
                Shot::write(Method::POST, "/Groups".to_owned(), &group("Large", &members), &[201])
            })
            .await
            .context("filling in the large group")?;
        self.drained().await?;
        let large = large.into_iter().next().context("no large group")?;
        Ok(People { users, small, large })
    }

    async fn reconcile(&self) -> Result<()> {
        let base = format!("/instances/{}", self.instance);
        let begun = Instant::now();
        let run = loop {
            match self.admin(Method::POST, &format!("{base}/reconcile"), None).await {
                Ok(started) => break text(&started, "run_id")?,
                // The first import may still be at it.
                Err(error) if begun.elapsed() > PATIENCE => return Err(error),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        };
        loop {
            let now = self.admin(Method::GET, &format!("{base}/runs/{run}"), None).await?;
            match now["state"].as_str() {
                Some("done") => break,
                Some("running") if begun.elapsed() < PATIENCE => tokio::time::sleep(LOOK).await,
                _ => bail!("the reconciliation ended badly: {now}"),
            }
        }
        self.drained().await.map(|_| ())
    }

    /// Waits until the target agrees; how long that took. A paused instance never does.
    pub(crate) async fn drained(&self) -> Result<Option<Duration>> {
        if self.mode == Mode::Paused {
            return Ok(None);
        }
        let begun = Instant::now();
        loop {
            let mut open = 0;
            for state in ["todo", "running"] {
                let work = self
                    .admin(Method::GET, &format!("/instances/{}/work?state={state}&limit=1", self.instance), None)
                    .await?;
                open += work["items"].as_array().map_or(0, Vec::len);
            }
            if open == 0 {
                return Ok(Some(begun.elapsed()));
            }
            if begun.elapsed() > PATIENCE {
                bail!("the target does not agree with the directory after {} s", PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends both.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        for task in self.tasks {
            // What was measured is printed already.
            let _ = task.await;
        }
    }
}

fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    json!({"schemas": [GROUP], "displayName": name, "members": members})
}

async fn answer(request: reqwest::RequestBuilder, what: &str, body: Option<&Value>) -> Result<Value> {
    let request = match body {
        Some(body) => request.header("content-type", "application/json").body(body.to_string()),
        None => request,
    };
    let answer = request.send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if !status.is_success() {
        bail!("{what}: {status}: {text}");
    }
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn text(item: &Value, field: &str) -> Result<String> {
    item[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {item}"))
}
