//! Races on one user: whatever is sent at the same moment, the answers and the end are those of some order, one by one.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::service::keys::NewKey;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::rig::{Rig, databases, emails, rig};

/// Races per database.
const SEEDS: u64 = 150;
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A splitmix64: the same seed, the same numbers.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
enum Op {
    Title(String),
    Active(bool),
    Put(String),
    Delete,
}

/// A user as far as these requests change it; `None` once deleted.
#[derive(Clone, Debug, PartialEq)]
struct Person {
    title: Option<String>,
    display: Option<String>,
    active: bool,
    version: u64,
}

/// What a request was answered: its status, and the user that it showed.
#[derive(Clone, Debug)]
struct Answer {
    status: u16,
    shown: Option<Person>,
}

impl Op {
    fn any(dice: &mut Dice, n: usize) -> Self {
        match dice.roll(5) {
            0 | 1 => Self::Title(format!("t{n}")),
            2 => Self::Active(dice.roll(2) == 0),
            3 => Self::Put(format!("d{n}")),
            _ => Self::Delete,
        }
    }

    fn request(&self, path: &str, name: &str) -> (&'static str, String, Option<Value>) {
        let patch = |path: &str, value: Value| json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": path, "value": value}]});
        let path = path.to_owned();
        match self {
            Self::Title(title) => ("PATCH", path, Some(patch("title", title.as_str().into()))),
            Self::Active(active) => ("PATCH", path, Some(patch("active", (*active).into()))),
            Self::Put(display) => {
                let body = json!({"schemas": [USER], "userName": name, "active": true, "displayName": display,
                    "emails": [{"value": name, "primary": true}]});
                ("PUT", path, Some(body))
            }
            Self::Delete => ("DELETE", path, None),
        }
    }

    /// What it does to a user, alone.
    fn on(&self, before: &Person) -> Option<Person> {
        let mut after = before.clone();
        match self {
            Self::Title(title) => after.title = Some(title.clone()),
            Self::Active(active) => after.active = *active,
            Self::Put(display) => {
                after = Person { title: None, display: Some(display.clone()), active: true, version: before.version };
            }
            Self::Delete => return None,
        }
        after.version += u64::from(after != *before);
        Some(after)
    }
}

fn person(shown: &Value) -> Option<Person> {
    shown.get("userName")?;
    let text = |name: &str| shown[name].as_str().map(str::to_owned);
    let version = shown["meta"]["version"].as_str().unwrap_or_default();
    let version: String = version.chars().filter(char::is_ascii_digit).collect();
    Some(Person {
        title: text("title"),
        display: text("displayName"),
        active: shown["active"].as_bool().unwrap_or(true),
        version: version.parse().unwrap(),
    })
}

struct Door {
    router: Router,
    base: String,
    key: String,
}

impl Door {
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/scim+json")
            .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))
            .unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }
}

/// Whether some order of the requests, one by one, gives these answers and this end.
fn serial(now: Option<&Person>, left: &[(Op, Answer)], end: Option<&Person>) -> bool {
    if left.is_empty() {
        return now == end;
    }
    (0..left.len()).any(|first| {
        let (op, answer) = &left[first];
        let fits = |after: Option<&Person>| match (now, after) {
            (None, _) => answer.status == 404,
            (Some(_), None) => answer.status == 204,
            (Some(_), Some(after)) => answer.status == 200 && answer.shown.as_ref() == Some(after),
        };
        let after = now.and_then(|now| op.on(now));
        if !fits(after.as_ref()) {
            return false;
        }
        let rest: Vec<_> = left.iter().enumerate().filter(|(n, _)| *n != first).map(|(_, one)| one.clone()).collect();
        serial(after.as_ref(), &rest, end)
    })
}

async fn race(door: Arc<Door>, seed: u64) -> (String, bool) {
    let mut dice = Dice(seed);
    let name = format!("s{seed}@example.com");
    let body =
        json!({"schemas": [USER], "userName": name, "active": true, "emails": [{"value": name, "primary": true}]});
    let (status, made) = door.ask("POST", "/Users", Some(body)).await;
    assert_eq!(status, 201, "seed {seed}: {made}");
    let path = format!("/Users/{}", made["id"].as_str().unwrap());
    let before = person(&made).unwrap();
    let count = usize::try_from(2 + dice.roll(4)).unwrap();
    let ops: Vec<Op> = (0..count).map(|n| Op::any(&mut dice, n)).collect();
    let mut asked = Vec::new();
    for op in &ops {
        let (method, path, body) = op.request(&path, &name);
        let door = door.clone();
        asked.push(tokio::spawn(async move { door.ask(method, &path, body).await }));
    }
    let mut all = Vec::new();
    for (op, asked) in ops.into_iter().zip(asked) {
        let (status, shown) = asked.await.unwrap();
        all.push((op, Answer { status, shown: person(&shown) }));
    }
    let (status, shown) = door.ask("GET", &path, None).await;
    let end = person(&shown);
    assert_eq!(status == 200, end.is_some(), "seed {seed}: {shown}");
    assert!(
        serial(Some(&before), &all, end.as_ref()),
        "seed {seed}: no order gives this: {all:#?}, at the end {end:?}"
    );
    (name, end.is_some_and(|person| person.active))
}

async fn door(rig: &Rig) -> Arc<Door> {
    let key = rig
        .app
        .create_key("admin", &rig.instance, NewKey::default())
        .await
        .map_err(|error| format!("{error:?}"))
        .unwrap();
    Arc::new(Door {
        router: gateway::scim_api::router(rig.app.clone()),
        base: format!("/i/{}/scim/v2", rig.instance.id),
        key: key["key"].as_str().unwrap().to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn patch_put_and_delete_at_once_end_as_some_order_of_them() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({"answer_within_ms": 0})).await;
        let door = door(&rig).await;
        let mut wanted = Vec::new();
        let mut seeds = 0..SEEDS;
        loop {
            let some: Vec<u64> = seeds.by_ref().take(4).collect();
            if some.is_empty() {
                break;
            }
            let races: Vec<_> = some.iter().map(|seed| tokio::spawn(race(door.clone(), *seed))).collect();
            for race in races {
                let (name, there) = race.await.unwrap();
                wanted.extend(there.then_some(name));
            }
        }
        wanted.sort();
        for _ in 0..20 {
            if rig.open_work().await.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), wanted, "what the target holds");
    }
}

#[test]
fn a_lost_update_is_seen() {
    let start = Person { title: None, display: None, active: true, version: 1 };
    let titled = |title: &str, version| Person { title: Some(title.to_owned()), version, ..start.clone() };
    let op = |title: &str, shown: Person| (Op::Title(title.to_owned()), Answer { status: 200, shown: Some(shown) });
    let gone = (Op::Delete, Answer { status: 204, shown: None });
    let (a, b) = (op("a", titled("a", 2)), op("b", titled("b", 3)));
    assert!(serial(Some(&start), &[b.clone(), a.clone()], Some(&titled("b", 3))));
    assert!(serial(Some(&start), &[gone.clone(), a.clone()], None));
    // Both saw the state before; the end shows one of them; a change came back after the deletion.
    assert!(!serial(Some(&start), &[a.clone(), op("b", titled("b", 2))], Some(&titled("b", 2))));
    assert!(!serial(Some(&start), &[a.clone(), b], Some(&titled("a", 2))));
    assert!(!serial(Some(&start), &[gone, a], Some(&titled("a", 2))));
}
