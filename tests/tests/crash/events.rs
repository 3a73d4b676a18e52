//! Deaths while changes are made and told: each committed change is told, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use serde_json::{Value, json};
use tests::{Db, Gateway, Scim, Sim, databases, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::stage::{BOUND, patch, together, user};

const CLIENTS: usize = 3;

/// Tokens by their ids, as claims; one that came again must be the same.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<BTreeMap<String, Value>>>);

impl Heard {
    fn hear(&self, token: &str) {
        let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let claims: Value = claims
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_else(|| panic!("{token} is no token"));
        let id = claims["jti"].as_str().unwrap_or_else(|| panic!("no jti in {claims}")).to_owned();
        let mut all = self.0.lock().expect("no listener panics with the tokens in hand");
        if let Some(before) = all.insert(id, claims.clone()) {
            assert_eq!(before, claims, "a token changed from one delivery to the next");
        }
    }

    /// By resource: the versions that were told. No version may be told by two tokens.
    fn versions(&self) -> BTreeMap<String, BTreeSet<String>> {
        let all = self.0.lock().expect("no listener panics with the tokens in hand");
        let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for claims in all.values() {
            let uri = claims["sub_id"]["uri"].as_str().unwrap_or_default().to_owned();
            for payload in claims["events"].as_object().into_iter().flat_map(|events| events.values()) {
                if let Some(version) = payload["version"].as_str() {
                    let new = versions.entry(uri.clone()).or_default().insert(version.to_owned());
                    assert!(new, "{uri} {version} was told by two tokens");
                }
            }
        }
        versions
    }
}

/// A receiver of pushes: hears what is posted, and answers 202.
async fn receive(mut stream: TcpStream, heard: Heard) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
        })?;
        if body.len() < length {
            continue;
        }
        heard.hear(body);
        stream.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.ok()?;
        return Some(());
    }
}

/// Sends until it is answered.
async fn insist(scim: &Scim, method: Method, path: &str, body: &Value) -> (u16, Value) {
    wait_until(&format!("{method} {path} is answered"), BOUND, async || {
        let answer = scim.try_call(method.clone(), path, Some(body)).await.ok()?;
        (answer.status < 500).then(|| (answer.status, answer.json()))
    })
    .await
}

/// Creates people and changes each twice.
async fn client(n: usize, scim: Scim, answers: Arc<AtomicUsize>, stop: Arc<AtomicBool>) {
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let email = format!("c{n}t{turn}@example.com");
        let (status, made) = insist(&scim, Method::POST, "/Users", &user(&email)).await;
        answers.fetch_add(1, Ordering::Relaxed);
        // The answer was lost with the process: the person is there, and told.
        if status == 409 {
            continue;
        }
        let path = format!("/Users/{}", made["id"].as_str().unwrap_or_else(|| panic!("{status}: {made}")));
        for title in ["Dr", "Prof"] {
            let change = patch(&json!([{"op": "replace", "path": "title", "value": title}]));
            let (status, body) = insist(&scim, Method::PATCH, &path, &change).await;
            assert_eq!(status, 200, "{body}");
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Polls, and acknowledges what came with the next poll, until told to stop and nothing is left.
async fn listen(scim: Scim, path: String, heard: Heard, stop: Arc<AtomicBool>) {
    let mut ack: Vec<String> = Vec::new();
    loop {
        let last = stop.load(Ordering::Relaxed);
        let (status, answer) =
            insist(&scim, Method::POST, &path, &json!({"ack": ack, "maxEvents": 7, "returnImmediately": true})).await;
        assert_eq!(status, 200, "{answer}");
        ack.clear();
        for (jti, token) in answer["sets"].as_object().into_iter().flatten() {
            heard.hear(token.as_str().unwrap_or_default());
            ack.push(jti.clone());
        }
        if last && ack.is_empty() {
            return;
        }
    }
}

async fn play(db: Db, rounds: usize) {
    let sim = Sim::start("buildkite").await;
    let mut gateway = Gateway::start(db).await;
    let admin = gateway.admin();
    let mut body = sim.instance("test");
    // Nothing goes to the target: this is about what is told.
    body["mode"] = "paused".into();
    let instance = admin.create(body).await;
    let streams = format!("/instances/{}/event-streams", instance.id);
    let (pushed, polled) = (Heard::default(), Heard::default());
    let receiver = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/", receiver.local_addr().expect("it is bound"));
    let hears = pushed.clone();
    let receiving = tokio::spawn(async move {
        while let Ok((stream, _)) = receiver.accept().await {
            tokio::spawn(receive(stream, hears.clone()));
        }
    });
    let push = json!({"name": "push", "delivery": "push", "endpoint_url": url});
    let push = admin.call(Method::POST, &streams, Some(push)).await.expect(201);
    let poll = admin.call(Method::POST, &streams, Some(json!({"name": "poll", "delivery": "poll"}))).await.expect(201);
    let key = json!({"scopes": ["scim:events"]});
    let key = admin.call(Method::POST, &format!("/instances/{}/keys", instance.id), Some(key)).await.expect(201);
    let text =
        |value: &Value, name: &str| value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned();

    let (answers, stop, quiet) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        clients.spawn_local(client(n, instance.scim.clone(), answers.clone(), stop.clone()));
    }
    let listener = Scim::new(&instance.scim.base, &text(&key, "key"));
    let path = format!("/Events/{}", text(&poll, "id"));
    let mut listeners = JoinSet::new();
    listeners.spawn_local(listen(listener, path, polled.clone(), quiet.clone()));
    for round in 0..rounds {
        let (asked, heard) = (answers.load(Ordering::Relaxed), pushed.0.lock().expect("it is held for a moment").len());
        wait_until("a round has passed", BOUND, async || {
            // Every other death hits the delivery rather than the changes.
            let passed = match round % 2 {
                0 => answers.load(Ordering::Relaxed) >= asked + 7,
                _ => pushed.0.lock().expect("it is held for a moment").len() > heard,
            };
            passed.then_some(())
        })
        .await;
        gateway.kill().await;
        gateway.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    quiet.store(true, Ordering::Relaxed);
    while let Some(ended) = listeners.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    let shown = format!("{streams}/{}", text(&push, "id"));
    wait_until("everything was pushed", BOUND, async || (admin.get(&shown).await["pending"] == 0).then_some(())).await;
    receiving.abort();

    let mut people = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = instance.scim.get(&format!("/Users?count=1000&cursor={cursor}")).await;
        people.extend(page["Resources"].as_array().cloned().unwrap_or_default());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in &people {
        let version = text(&one["meta"], "version");
        let number: u32 = version.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a version is a number");
        let all = (1..=number).map(|n| version.replace(&number.to_string(), &n.to_string())).collect();
        versions.insert(format!("/Users/{}", text(one, "id")), all);
    }
    eprintln!(
        "{rounds} deaths, {} people, {} events pushed",
        people.len(),
        pushed.versions().values().map(BTreeSet::len).sum::<usize>()
    );
    assert_eq!(polled.versions(), versions, "polled\n{}", gateway.log());
    assert_eq!(pushed.versions(), versions, "pushed\n{}", gateway.log());
}

#[tokio::test]
async fn killed_while_changes_are_told_each_is_told_and_nothing_else() {
    together(databases().into_iter().map(|db| {
        // With a shared database a new holder waits 15 s for the old one's lease before it pushes.
        let rounds = if db == Db::Sqlite { 10 } else { 4 };
        play(db, rounds)
    }))
    .await;
}
