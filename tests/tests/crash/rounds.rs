//! Many deaths at no particular moment, under clients that go on as identity providers do: what was
//! not answered is sent again, and a name that is taken is looked up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::Method;
use serde_json::{Value, json};
use tests::env::setting;
use tests::{Db, Dice, Gateway, Scim, Sim, databases, wait_until};
use tokio::task::JoinSet;

use crate::stage::{BOUND, TARGETS, list, patch, settled, succeeded, together, user};

/// Clients at once.
const CLIENTS: usize = 3;

/// What the clients were told: people by address, and whether they are active.
#[derive(Default)]
struct Book {
    people: Mutex<BTreeMap<String, bool>>,
    answers: AtomicUsize,
    stop: AtomicBool,
}

impl Book {
    fn write(&self, email: &str, active: bool) {
        let mut people = self.people.lock().expect("no client panics with the book in hand");
        people.insert(email.to_owned(), active);
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> BTreeMap<String, bool> {
        self.people.lock().expect("no client panics with the book in hand").clone()
    }
}

/// Sends until it is answered.
async fn insist(scim: &Scim, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
    wait_until(&format!("{method} {path} is answered"), BOUND, async || {
        let answer = scim.try_call(method.clone(), path, body).await.ok()?;
        // What a proxy would do: 5xx is no answer either.
        (answer.status < 500).then(|| (answer.status, answer.json()))
    })
    .await
}

async fn create(scim: &Scim, email: &str) -> String {
    let (status, body) = insist(scim, Method::POST, "/Users", Some(&user(email))).await;
    let found = match status {
        201 => body,
        409 => {
            let path = format!("/Users?filter=userName%20eq%20%22{email}%22");
            let (_, page) = insist(scim, Method::GET, &path, None).await;
            page["Resources"][0].clone()
        }
        other => panic!("POST of {email}: {other} {body}"),
    };
    found["id"].as_str().unwrap_or_else(|| panic!("no id of {email} in {found}")).to_owned()
}

async fn client(n: usize, scim: Scim, book: Arc<Book>, mut dice: Dice) {
    let mut mine: Vec<(String, String)> = Vec::new();
    for turn in 0.. {
        if book.stop.load(Ordering::Relaxed) {
            return;
        }
        if !mine.is_empty() && dice.roll(3) == 0 {
            let place = usize::try_from(dice.roll(mine.len() as u64)).expect("a place of a list");
            let (email, id) = mine.swap_remove(place);
            let off = patch(&json!([{"op": "replace", "path": "active", "value": false}]));
            let path = format!("/Users/{id}");
            let (status, body) = insist(&scim, Method::PATCH, &path, Some(&off)).await;
            assert_eq!(status, 200, "deactivation of {email}: {body}");
            book.write(&email, false);
        } else {
            let email = format!("c{n}t{turn}@example.com");
            let id = create(&scim, &email).await;
            book.write(&email, true);
            mine.push((email, id));
        }
    }
}

async fn play(target: &'static str, db: Db, rounds: u32, seed: u64) {
    let context = format!("{target} on {db:?}, SCIMGATE_TEST_SEED={seed}");
    let sim = Sim::start(target).await;
    let mut gateway = Gateway::start(db).await;
    let admin = gateway.admin();
    let instance = admin.connect(&sim, json!({"answer_within_ms": 300})).await;
    // Calls that take a while are calls that a death can hit.
    sim.fault(json!([{"times": 1_000_000, "do": {"delay_ms": 60}}])).await;
    let book = Arc::new(Book::default());
    let mut dice = Dice::new(seed);
    let mut clients = JoinSet::new();
    for n in 0..CLIENTS {
        let dice = Dice::new(dice.roll(u64::MAX));
        clients.spawn_local(client(n, instance.scim.clone(), book.clone(), dice));
    }
    for _ in 0..rounds {
        // So many more answers or calls, whichever the dice say; a new holder of the lease waits
        // for the old one's end first, so calls take longer to come than answers.
        let of_calls = dice.roll(2) == 0;
        let more = usize::try_from(1 + dice.roll(25)).expect("a small number");
        let (answers, calls) = (book.answers.load(Ordering::Relaxed), sim.calls().await.len());
        wait_until(&format!("a round has passed ({context})"), BOUND, async || {
            let passed =
                if of_calls { sim.calls().await.len() - calls } else { book.answers.load(Ordering::Relaxed) - answers };
            (passed >= more).then_some(())
        })
        .await;
        gateway.kill().await;
        gateway.restart().await;
    }
    book.stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        if let Err(error) = ended {
            std::panic::resume_unwind(error.into_panic());
        }
    }
    sim.heal().await;
    settled(&admin, &instance.id, &context).await;

    let state = sim.state().await;
    let mut invited: Vec<String> =
        list(&state, "invitations").iter().map(|one| one["email"].as_str().unwrap_or_default().to_owned()).collect();
    invited.sort();
    let people = book.read();
    let wanted: Vec<String> = people.iter().filter(|(_, active)| **active).map(|(email, _)| email.clone()).collect();
    let calls = sim.calls().await;
    let invitations = calls
        .iter()
        .filter(|call| call["method"] == "POST" && succeeded(call))
        .filter(|call| call["path"].as_str().is_some_and(|path| path.ends_with("/invitations")))
        .count();
    let removals = calls.iter().filter(|call| call["method"] == "DELETE" && succeeded(call)).count();
    eprintln!(
        "{context}: {rounds} deaths, {} people, {} invited, {invitations} invitations, {removals} taken back",
        people.len(),
        invited.len()
    );
    assert_eq!(invited, wanted, "{context}\n{}", gateway.log());
    // Every invitation that was ever sent is there or was taken back: none was sent twice.
    assert_eq!(invitations - removals, wanted.len(), "{context}");
    assert!(invitations <= people.len(), "{invitations} invitations for {} people, {context}", people.len());
}

#[tokio::test]
async fn killed_again_and_again_under_load() {
    let seed = setting("SCIMGATE_TEST_SEED").and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0);
    eprintln!("SCIMGATE_TEST_SEED={seed}");
    let places = databases().into_iter().flat_map(|db| {
        // With a shared database a new holder waits 15 s for the old one's lease.
        let rounds = if db == Db::Sqlite { 20 } else { 4 };
        TARGETS.map(|target| (target, db, rounds))
    });
    let plays = (0_u64..).zip(places);
    together(plays.map(|(n, (target, db, rounds))| play(target, db, rounds, seed.wrapping_add(n)))).await;
}
