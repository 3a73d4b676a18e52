//! Several replicas on one PostgreSQL database: who drives what, and what they tell each other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::driver::HOUSEKEEPING;
use gateway::service::App;
use gateway::service::clients::Spoken;
use gateway::service::events::NewStream;
use gateway::service::instances::NewInstance;
use gateway::service::types::{Caller, Instance, Mode, Written};
use http::StatusCode;
use jiff::SignedDuration;
use scim::Quirks;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use simulators::{Limits, Simulator};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::{config, databases};

/// Bounds are for defects; what is measured says so.
const BOUND: Duration = Duration::from_secs(40);
/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(15);

/// One database and what is before the gateway: simulated targets.
struct Site {
    url: String,
    db: DatabaseConnection,
    stop: CancellationToken,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Replica {
    app: Arc<App>,
    stop: CancellationToken,
    driving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// A site, where the test run offers a PostgreSQL server.
async fn site() -> Option<Site> {
    let url = databases().pop()?.make().await?;
    let db = Database::connect(url.as_str()).await.unwrap();
    Some(Site { url, db, stop: CancellationToken::new() })
}

impl Site {
    async fn replica(&self, clock: Clock) -> Replica {
        let folder = tempfile::tempdir().unwrap();
        let config = config(folder.path(), Some(&self.url), Overrides::default());
        let app = App::build(config, clock).await.unwrap();
        let stop = self.stop.child_token();
        let driver = app.driver.clone();
        let token = stop.clone();
        let driving = tokio::spawn(async move { driver.start(token).await });
        Replica { app, stop, driving, _folder: folder }
    }

    /// A target of its own, so a driver key of its own.
    async fn target(&self) -> (Simulator, Value) {
        let target = simulators::target("github", Limits::None).unwrap();
        let sim = Simulator::new(target, Limits::None, simulators::Clock::system());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(simulators::serve(sim.clone(), listener, self.stop.clone().cancelled_owned()));
        let offer = sim.offer(&base);
        (sim, offer)
    }

    async fn number(&self, sql: &str) -> i64 {
        let row = self.db.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        row.and_then(|row| row.try_get_by_index::<Option<i64>>(0).unwrap()).unwrap_or(0)
    }

    /// The leases that are held: by name, epoch and end.
    async fn leases(&self) -> BTreeMap<String, (i64, i64)> {
        let sql = "SELECT name, epoch, until_at FROM lease WHERE owner <> '' ORDER BY name";
        let rows = self.db.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
        let lease = |row: &sea_orm::QueryResult| {
            (row.try_get_by_index(0).unwrap(), (row.try_get_by_index(1).unwrap(), row.try_get_by_index(2).unwrap()))
        };
        rows.iter().map(lease).collect()
    }

    /// The database's time, in microseconds.
    async fn now(&self) -> i64 {
        self.number("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)").await
    }
}

impl Replica {
    async fn instance(&self, offer: &Value) -> Arc<Instance> {
        let secrets = offer["secrets"].as_object().unwrap().iter();
        let new = NewInstance {
            name: "a target".to_owned(),
            connector: offer["connector"].as_str().unwrap().to_owned(),
            connector_version: None,
            settings: offer["settings"].clone(),
            secrets: secrets.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned().into())).collect(),
            mode: Mode::Enabled,
            policy: json!({}),
            schema: Value::Null,
        };
        self.app.create_instance("admin", new).await.map_err(|error| format!("{error:?}")).unwrap()
    }

    async fn user(&self, instance: &Instance, name: &str) -> Written {
        let instance = self.app.instances.get(&instance.id).await.unwrap().unwrap();
        let caller = Caller {
            actor: "key:test".to_owned(),
            request_id: None,
            spoken: Spoken::named(&instance.policy),
            wait_until: None,
            later: None,
            own: false,
        };
        let rt = instance.registry.resource_type("User").unwrap();
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name, "emails": [{"value": name, "primary": true}]});
        self.app.create(&instance, &caller, rt, body, &mut Quirks::lenient()).await.unwrap()
    }

    fn holds(&self, instance: &Instance) -> bool {
        self.app.driver.holds(&format!("key:{}", instance.driver_key))
    }

    /// Ends it in good order.
    async fn end(self) {
        self.stop.cancel();
        self.driving.await.unwrap();
        assert!(!self.app.driver.drives());
    }

    /// Cuts it off: it renews nothing any more, and what it was at goes on for itself.
    fn cut_off(&self) {
        self.driving.abort();
    }
}

async fn wait(what: &str, mut so: impl AsyncFnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !so().await {
        assert!(start.elapsed() < BOUND, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start.elapsed()
}

/// How many leases each holds; every one is held once.
fn shares(replicas: &[&Replica]) -> Vec<usize> {
    let all: Vec<Vec<String>> = replicas.iter().map(|replica| replica.app.driver.leases()).collect();
    all.iter().map(Vec::len).collect()
}

async fn invited(sim: &Simulator, email: &str) -> bool {
    let request = http::Request::builder().uri("/_sim/state").body(bytes::Bytes::new()).unwrap();
    let reply = sim.handle(request).await.unwrap();
    String::from_utf8_lossy(reply.body()).contains(email)
}

#[tokio::test(flavor = "multi_thread")]
async fn driver_keys_spread_over_the_replicas_that_live() {
    let Some(site) = site().await else { return };
    let first = site.replica(Clock::system()).await;
    let mut targets = Vec::new();
    for _ in 0..4 {
        let (sim, offer) = site.target().await;
        targets.push((sim, first.instance(&offer).await));
    }
    wait("one replica to hold all", async || shares(&[&first]) == [5]).await;
    let second = site.replica(Clock::system()).await;
    wait("two to share", async || shares(&[&first, &second]) == [3, 2]).await;
    let third = site.replica(Clock::system()).await;
    wait("three to share", async || shares(&[&first, &second, &third]) == [2, 2, 1]).await;
    let names: std::collections::BTreeSet<String> =
        [&first, &second, &third].iter().flat_map(|replica| replica.app.driver.leases()).collect();
    assert_eq!(names.len(), 5, "each is held once: {names:?}");
    assert_eq!(names.iter().filter(|name| *name == HOUSEKEEPING).count(), 1);

    // One that ends in good order hands over without the others waiting for its leases to end.
    let start = Instant::now();
    second.end().await;
    wait("the share of the one that ended", async || shares(&[&first, &third]) == [3, 2]).await;
    let took = start.elapsed();
    assert!(took < LEASE / 2, "the hand-over took {took:?}");

    // One that is cut off is followed when its leases end.
    let start = Instant::now();
    third.cut_off();
    wait("the share of the one that was cut off", async || shares(&[&first]) == [5]).await;
    let took = start.elapsed();
    assert!(took < LEASE + Duration::from_secs(1), "the take-over took {took:?}");
    for (n, (sim, instance)) in targets.iter().enumerate() {
        let email = format!("p{n}@example.com");
        first.user(instance, &email).await;
        wait("everybody to be invited", async || invited(sim, &email).await).await;
    }
}

/// The connections on which replicas listen.
const LISTENING: &str = "FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'";

/// Some requests through a replica that does not drive; each is told what came of it.
async fn are_told(replica: &Replica, instance: &Instance, round: &str) {
    for n in 0..5 {
        assert!(!replica.holds(instance), "this replica drives, so it shows nothing");
        // It says that it lives when it is woken, as its clock stands still.
        replica.app.driver.wake();
        let email = format!("{round}{n}@example.com");
        let written = tokio::time::timeout(BOUND, replica.user(instance, &email)).await;
        let written = written.unwrap_or_else(|_| panic!("request {n} of round {round} was told nothing"));
        assert!(written.settled, "request {n} of round {round} was not told what came of it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_when_another_replica_settles_it() {
    let Some(site) = site().await else { return };
    let first = site.replica(Clock::system()).await;
    let mut instances = Vec::new();
    for _ in 0..2 {
        let (_, offer) = site.target().await;
        instances.push(first.instance(&offer).await);
    }
    wait("one to hold all", async || shares(&[&first]) == [3]).await;
    wait("the imports' end", async || site.number("SELECT COUNT(*) FROM run WHERE state = 'running'").await == 0).await;
    // On this replica no time passes: it never looks by itself, and never gives up.
    let clock = Clock::manual(first.app.clock.now());
    let second = site.replica(clock.clone()).await;
    wait("two to share", async || shares(&[&first, &second]) == [2, 1]).await;
    let instance = instances.iter().find(|instance| first.holds(instance)).unwrap();
    let listening = format!("SELECT COUNT(*) {LISTENING}");
    wait("both to listen", async || site.number(&listening).await == 2).await;
    are_told(&second, instance, "a").await;

    // Connections for hints that are lost are made again.
    assert_eq!(site.number(&format!("SELECT COUNT(pg_terminate_backend(pid)) {LISTENING}")).await, 2);
    wait("both to listen again", async || {
        clock.advance(Duration::from_millis(100));
        site.number(&listening).await == 2
    })
    .await;
    are_told(&second, instance, "b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_wrong_clock_neither_steals_a_lease_nor_holds_it_longer() {
    let Some(site) = site().await else { return };
    let hour = SignedDuration::from_hours(1);
    let right = site.replica(Clock::system()).await;
    let mut targets = Vec::new();
    for _ in 0..2 {
        let (sim, offer) = site.target().await;
        targets.push((sim, right.instance(&offer).await));
    }
    let ahead = site.replica(Clock::skewed(hour)).await;
    let behind = site.replica(Clock::skewed(-hour)).await;
    let all = [&right, &ahead, &behind];
    wait("three to share", async || shares(&all) == [1, 1, 1]).await;
    for replica in [&ahead, &behind] {
        let off = replica.app.clock.now().duration_since(right.app.clock.now());
        assert!(off.abs() < SignedDuration::from_secs(2), "a replica goes by its own clock: {off}");
    }

    // Nobody takes anything while all are renewed.
    let before = site.leases().await;
    wait("every lease to be renewed twice", async || {
        let now = site.leases().await;
        before.iter().all(|(name, (_, until))| now[name].1 - until > 5_000_000)
    })
    .await;
    let after = site.leases().await;
    for (name, (epoch, _)) in &before {
        assert_eq!(after[name].0, *epoch, "{name} changed hands");
    }

    // What is accepted by one clock is due by the others'.
    for (n, replica) in all.iter().enumerate() {
        for (sim, instance) in &targets {
            let email = format!("p{n}@example.com");
            replica.user(instance, &email).await;
            let took = wait("an invitation", async || invited(sim, &email).await).await;
            assert!(took < Duration::from_secs(10), "what one replica accepts is late at another: {took:?}");
        }
    }

    // The lease of a replica that is cut off is taken when it ends, by the database's clock.
    for dead in [&right, &ahead] {
        let lease = dead.app.driver.leases().remove(0);
        dead.cut_off();
        let mut last = site.leases().await[&lease];
        wait("the take-over", async || {
            let now = site.leases().await[&lease];
            if now.0 == last.0 {
                last = now;
            }
            now.0 != last.0
        })
        .await;
        let late = site.now().await - last.1;
        assert!((0..5_000_000).contains(&late), "{lease} was taken {late} microseconds after its end");
    }
    wait("the last one to hold all", async || shares(&[&behind]) == [3]).await;
}

/// A receiver of pushed events that takes everything; the tokens.
async fn receiver() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/events", listener.local_addr().unwrap());
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = got.clone();
    let route = post(move |token: String| async move {
        kept.lock().unwrap().push(token);
        StatusCode::ACCEPTED
    });
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/events", route)).await });
    (url, got)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_changes_through_every_replica_are_pushed_by_one() {
    let Some(site) = site().await else { return };
    let first = site.replica(Clock::system()).await;
    let (_, offer) = site.target().await;
    let instance = first.instance(&offer).await;
    let second = site.replica(Clock::system()).await;
    wait("two to share", async || shares(&[&first, &second]) == [1, 1]).await;
    wait("both to listen", async || site.number(&format!("SELECT COUNT(*) {LISTENING}")).await == 2).await;
    // The other replica knows the instance from before anybody listened to its events.
    second.user(&instance, "before@example.com").await;
    let (url, got) = receiver().await;
    let new = NewStream {
        name: "push".to_owned(),
        delivery: "push".to_owned(),
        endpoint_url: Some(url),
        events: Some(vec!["prov:create".to_owned()]),
        ..NewStream::default()
    };
    first.app.create_event_stream("admin", &instance, new).await.map_err(|error| format!("{error:?}")).unwrap();
    let took = wait("the other replica to know of the stream", async || {
        second.app.instances.get(&instance.id).await.unwrap().unwrap().has_streams
    })
    .await;
    assert!(took < Duration::from_secs(3), "it was not told but looked again: {took:?}");
    for n in 0..6 {
        let through = if n % 2 == 0 { &first } else { &second };
        through.user(&instance, &format!("p{n}@example.com")).await;
    }
    wait("six events", async || got.lock().unwrap().len() >= 6).await;

    // The one that pushes ends; the other one goes on.
    let (pushing, other) = if first.app.driver.holds(HOUSEKEEPING) { (first, second) } else { (second, first) };
    pushing.end().await;
    wait("the other one to keep house", async || other.app.driver.holds(HOUSEKEEPING)).await;
    other.user(&instance, "after@example.com").await;
    wait("one event more", async || got.lock().unwrap().len() >= 7).await;
    wait("nothing to be left", async || site.number("SELECT COUNT(*) FROM event").await == 0).await;
    // One that was on its way when its sender ended comes again, signed anew, under its identifier (RFC 8935 section 2).
    let all = got.lock().unwrap().clone();
    let id_of = |token: &String| {
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&payload).unwrap()["jti"].as_str().unwrap().to_owned()
    };
    let events: std::collections::BTreeSet<String> = all.iter().map(id_of).collect();
    assert_eq!(events.len(), 7, "each event arrives: {}", all.len());
    assert!(all.len() <= 8, "{} messages of seven events", all.len());
}
