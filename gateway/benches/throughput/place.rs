//! A gateway with one instance of a simulated target, filled with people and groups.

use std::net::SocketAddr;
use std::path::Path;
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
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
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
/// The admin token of the gateway.
pub(crate) const TOKEN: &str = "bench-admin-token";
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

/// Numbers of users that are created while it is measured begin here: beyond those that are there already.
pub(crate) const BEYOND: usize = 100_000_000;

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
    /// A group of [`Options::large`] users.
    pub(crate) large: String,
    /// A group of [`Options::huge`] users; only where they were seeded.
    pub(crate) huge: Option<String>,
}

/// The gateway and the target.
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    pub(crate) instance: String,
    scim: String,
    key: String,
    mode: Mode,
    simulator: String,
    offer: Value,
    http: reqwest::Client,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    folder: TempDir,
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
        let gateway = {
            let stop = stop.clone();
            tokio::spawn(async move { drop(app::run(app, listener, stop).await) })
        };

        let mut place = Self {
            address,
            instance: String::new(),
            scim: String::new(),
            key: String::new(),
            mode,
            simulator: simulated,
            offer: json!({"connector": offer["connector"], "settings": offer["settings"], "secrets": offer["secrets"]}),
            http: reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?,
            stop,
            tasks: vec![gateway, serving],
            folder,
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

    /// More instances of the same target, without anybody; the id of the first.
    pub(crate) async fn others(&self, count: usize) -> Result<String> {
        let mut first = None;
        for n in 0..count {
            let mut body = self.offer.clone();
            body["name"] = json!(format!("Other {n}"));
            body["mode"] = json!("paused");
            let made = self.admin(Method::POST, "/instances", Some(&body)).await?;
            first.get_or_insert(text(&made, "id")?);
        }
        first.context("no other instance")
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

    /// Fills the directory of a paused instance: users by statements of the database itself, groups by requests.
    pub(crate) async fn seed(&self, options: &Options) -> Result<People> {
        let count = options.users + options.extra();
        let begun = Instant::now();
        seed_users(&self.folder.path().join("scimgate.db"), &self.instance, count).await?;
        eprintln!("seeded {count} users in {:.1} s", begun.elapsed().as_secs_f64());
        let users: Vec<String> = (0..count).map(seeded_id).collect();
        let (small, large) = self.groups(options, &users).await?;
        let wanted = users[..options.huge()].to_vec();
        let huge = self
            .make(1, 1, move |_| Shot::write(Method::POST, "/Groups".to_owned(), &group("Huge", &wanted), &[201]))
            .await
            .context("filling in the huge group")?;
        Ok(People { users, small, large, huge: huge.into_iter().next() })
    }

    async fn groups(&self, options: &Options, users: &[String]) -> Result<(Vec<String>, String)> {
        eprintln!("creating groups");
        let wanted = users.to_vec();
        let small = self
            .make(options.connections, options.small_groups(), move |n| {
                let members: Vec<String> = (0..10).map(|m| wanted[(n * 10 + m) % wanted.len()].clone()).collect();
                Shot::write(Method::POST, "/Groups".to_owned(), &group(&format!("Small {n}"), &members), &[201])
            })
            .await
            .context("filling in groups")?;
        let wanted = users[..options.large()].to_vec();
        let large = self
            .make(1, 1, move |_| Shot::write(Method::POST, "/Groups".to_owned(), &group("Large", &wanted), &[201]))
            .await
            .context("filling in the large group")?;
        Ok((small, large.into_iter().next().context("no large group")?))
    }

    /// The cursor in the middle of a list.
    pub(crate) async fn cursor_within(&self, path: &str, depth: usize) -> Result<String> {
        let mut cursor = String::new();
        for _ in 0..depth.div_ceil(1_000).max(1) {
            let url = format!("http://{}{}{path}&count=1000&cursor={cursor}", self.address, self.scim);
            let page = answer(self.http.get(url).bearer_auth(&self.key), path, None).await?;
            match page["nextCursor"].as_str() {
                Some(next) => cursor = next.to_owned(),
                // A small list ends before; its beginning is as deep as it gets.
                None => break,
            }
        }
        Ok(cursor)
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
        let (small, large) = self.groups(options, &users).await?;
        self.drained().await?;
        Ok(People { users, small, large, huge: None })
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

    /// The gateway's database.
    pub(crate) fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("scimgate.db")
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

/// A group, as identity providers send it.
pub(crate) fn group(name: &str, members: &[String]) -> Value {
    let members: Vec<Value> = members.iter().map(|id| json!({"value": id})).collect();
    json!({"schemas": [GROUP], "displayName": name, "members": members})
}

/// The id of a user by number, where users are seeded.
fn seeded_id(n: usize) -> String {
    format!("{n:08x}-0000-4000-8000-{n:012x}")
}

/// Puts users into the database of a gateway, as its acceptance of them would, without the history.
async fn seed_users(database: &Path, instance: &str, count: usize) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(PATIENCE).pragma("cache_size", "-400000");
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let count = i64::try_from(count)?;
    let mut tx = connection.begin().await?;
    let (instance,): (i64,) =
        sqlx::query_as("SELECT seq FROM instance WHERE id = $1").bind(instance).fetch_one(&mut *tx).await?;
    let (next,): (i64,) = sqlx::query_as("UPDATE counter SET next = next + $1 WHERE name = 'seq' RETURNING next")
        .bind(count)
        .fetch_one(&mut *tx)
        .await?;
    let numbers = "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $3) SELECT i FROM n)";
    let name = "printf('user%07d@example.com', i)";
    let document = format!(
        "printf('{{\"userName\":\"%s\",\"externalId\":\"00u%017d\",\"active\":true,\"displayName\":\"Person %d\",\"name\":{{\"givenName\":\"Person\",\"familyName\":\"Number %d\"}},\
         \"title\":\"Engineer\",\"emails\":[{{\"value\":\"%s\",\"type\":\"work\",\"primary\":true}}]}}', {name}, i, i, i, {name})"
    );
    let statements = [
        format!(
            "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, external_id, active, doc, managed, listed, version, rev, settled_rev, \
             created_at, modified_at) SELECT $2 + i, $1, 'User', printf('%08x-0000-4000-8000-%012x', i, i), {name}, {name}, 0, printf('00u%017d', i), 1, {document}, \
             1, 1, 1, 1, 0, 1767225600000000 + i * 1000, 1767225600000000 + i * 1000 FROM {numbers} s"
        ),
        format!("INSERT INTO attr SELECT $1, 'displayName', printf('person %d', i), $2 + i FROM {numbers} s"),
        format!("INSERT INTO attr SELECT $1, 'emails.value', {name}, $2 + i FROM {numbers} s"),
        "INSERT INTO tally (instance_seq, kind, shard, n) VALUES ($1, 'User', 0, $3 + 0 * $2) \
         ON CONFLICT (instance_seq, kind, shard) DO UPDATE SET n = n + excluded.n"
            .to_owned(),
    ];
    for text in statements {
        sqlx::query(sqlx::AssertSqlSafe(text)).bind(instance).bind(next - count).bind(count).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    connection.close().await?;
    Ok(())
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
