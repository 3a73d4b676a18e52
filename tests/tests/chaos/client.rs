//! An identity provider under load: it goes on whatever happens, sends again what was not answered, and keeps
//! a book of what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::scim::{GROUP, PATCH, USER};
use tests::{Dice, Scim, wait_until};

use crate::BOUND;

/// Changes a second of all clients together.
const RATE: u32 = 50;
/// Clients at once.
pub(crate) const CLIENTS: usize = 10;
/// People one client has at most: it changes those it has then.
const MOST: usize = 12;

/// A person, as the clients were told.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) active: bool,
    pub(crate) deleted: bool,
    /// How often access was asked for: so many invitations there may be at most.
    pub(crate) grants: usize,
    /// In which of the groups.
    pub(crate) groups: BTreeSet<usize>,
}

/// What was acknowledged.
#[derive(Default)]
pub(crate) struct Book {
    people: Mutex<BTreeMap<String, Person>>,
    pub(crate) acknowledged: AtomicUsize,
    pub(crate) repeated: AtomicUsize,
    pub(crate) stop: AtomicBool,
}

impl Book {
    fn write(&self, email: &str, person: &Person) {
        self.people.lock().expect("no client panics with the book in hand").insert(email.to_owned(), person.clone());
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> BTreeMap<String, Person> {
        self.people.lock().expect("no client panics with the book in hand").clone()
    }
}

/// The SCIM APIs of all replicas; a client asks one after the other, as behind a load balancer.
#[derive(Clone)]
pub(crate) struct Doors {
    pub(crate) doors: Vec<Scim>,
    pub(crate) groups: Vec<String>,
}

impl Doors {
    /// Sends until it is answered; 5xx and 429 are no answers, as a client takes them.
    async fn insist(
        &self,
        dice: &mut Dice,
        book: &Book,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> (u16, Value) {
        let mut tries = 0;
        wait_until(&format!("{method} {path} is answered"), BOUND, async || {
            let door = dice.pick(&self.doors).expect("there is a replica");
            book.repeated.fetch_add(usize::from(tries > 0), Ordering::Relaxed);
            tries += 1;
            let call = door.try_call(method.clone(), path, body);
            let answer = tokio::time::timeout(Duration::from_secs(5), call).await.ok()?.ok()?;
            (answer.status < 500 && answer.status != 429).then(|| (answer.status, answer.json()))
        })
        .await
    }

    async fn create(&self, dice: &mut Dice, book: &Book, email: &str) -> String {
        let body = json!({"schemas": [USER], "userName": email, "active": true, "emails": [{"value": email, "primary": true}]});
        let (status, made) = self.insist(dice, book, Method::POST, "/Users", Some(&body)).await;
        let found = match status {
            201 => made,
            409 => {
                let path = format!("/Users?filter=userName%20eq%20%22{email}%22");
                self.insist(dice, book, Method::GET, &path, None).await.1["Resources"][0].clone()
            }
            other => panic!("POST of {email}: {other} {made}"),
        };
        found["id"].as_str().unwrap_or_else(|| panic!("no id of {email} in {found}")).to_owned()
    }

    async fn patch(&self, dice: &mut Dice, book: &Book, path: &str, operation: Value) {
        let body = json!({"schemas": [PATCH], "Operations": [operation]});
        let (status, answer) = self.insist(dice, book, Method::PATCH, path, Some(&body)).await;
        assert!((200..300).contains(&status), "PATCH {path}: {status} {answer}");
    }

    /// The groups of the play.
    pub(crate) async fn found(&mut self, dice: &mut Dice, book: &Book, groups: usize) {
        for n in 0..groups {
            let name = format!("Team {n}");
            let body = json!({"schemas": [GROUP], "displayName": name});
            let (status, made) = self.insist(dice, book, Method::POST, "/Groups", Some(&body)).await;
            assert_eq!(status, 201, "{made}");
            self.groups.push(made["id"].as_str().expect("a group has an id").to_owned());
        }
    }
}

/// One client: it alone changes its people, so that what it was told last is so.
pub(crate) async fn client(n: usize, doors: Doors, book: Arc<Book>, mut dice: Dice) {
    let mut pace = tokio::time::interval(Duration::from_secs(1) * u32::try_from(CLIENTS).unwrap_or(1) / RATE);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut mine: Vec<(String, Person)> = Vec::new();
    let mut made = 0;
    while !book.stop.load(Ordering::Relaxed) {
        pace.tick().await;
        let what = dice.roll(100);
        if mine.is_empty() || (what < 25 && mine.len() < MOST) {
            let email = format!("c{n}p{made}@example.com");
            made += 1;
            let id = doors.create(&mut dice, &book, &email).await;
            let person = Person { id, active: true, deleted: false, grants: 1, groups: BTreeSet::new() };
            book.write(&email, &person);
            mine.push((email, person));
            continue;
        }
        let place = usize::try_from(dice.roll(mine.len() as u64)).expect("a place of a list");
        let (email, mut person) = mine.swap_remove(place);
        let user = format!("/Users/{}", person.id);
        match what {
            25..35 => {
                let (status, answer) = doors.insist(&mut dice, &book, Method::DELETE, &user, None).await;
                // It was deleted already where the first answer was lost.
                assert!(matches!(status, 204 | 404), "DELETE {user}: {status} {answer}");
                person.deleted = true;
                person.groups.clear();
            }
            35..60 => {
                person.active = !person.active;
                person.grants += usize::from(person.active);
                let operation = json!({"op": "replace", "path": "active", "value": person.active});
                doors.patch(&mut dice, &book, &user, operation).await;
            }
            _ => {
                let group = usize::try_from(dice.roll(doors.groups.len() as u64)).expect("a place of a list");
                let path = format!("/Groups/{}", doors.groups[group]);
                let operation = match person.groups.remove(&group) {
                    true => json!({"op": "remove", "path": format!("members[value eq \"{}\"]", person.id)}),
                    false => {
                        person.groups.insert(group);
                        json!({"op": "add", "path": "members", "value": [{"value": person.id}]})
                    }
                };
                doors.patch(&mut dice, &book, &path, operation).await;
            }
        }
        book.write(&email, &person);
        if !person.deleted {
            mine.push((email, person));
        }
    }
}
