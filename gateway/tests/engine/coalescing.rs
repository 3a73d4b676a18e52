//! Changes that are queued while an instance is paused, against the same changes brought to a target one by
//! one: both targets end alike, and the queued ones cost no more writes than the way takes.

use std::collections::{BTreeMap, BTreeSet};

use gateway::service::types::Mode;
use serde_json::{Value, json};

use crate::rig::{Rig, databases, rig};

/// People and groups that are there from the beginning.
const PEOPLE: [&str; 4] = ["a@example.com", "b@example.com", "c@example.com", "d@example.com"];
const GROUPS: [&str; 2] = ["North", "South"];

/// A splitmix64: the same seed, the same changes.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % sides as u64).unwrap()
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Active(usize, bool),
    Member(usize, usize, bool),
}

/// What the directory wants: who is active, and who is in which group.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wish {
    inactive: BTreeSet<usize>,
    members: BTreeSet<(usize, usize)>,
}

impl Wish {
    fn take(&mut self, change: Change) {
        match change {
            Change::Active(person, true) => drop(self.inactive.remove(&person)),
            Change::Active(person, false) => drop(self.inactive.insert(person)),
            Change::Member(group, person, true) => drop(self.members.insert((group, person))),
            Change::Member(group, person, false) => drop(self.members.remove(&(group, person))),
        }
    }

    fn effective(&self) -> BTreeSet<(usize, usize)> {
        self.members.iter().copied().filter(|(_, person)| !self.inactive.contains(person)).collect()
    }

    /// The fewest writes from a wish that is met to this one, at a target that forgets the memberships of
    /// whom it removes, and takes who was invited into groups once they accept.
    fn fewest(&self, from: &Self) -> usize {
        let leaves = self.inactive.difference(&from.inactive).count();
        let comes = from.inactive.difference(&self.inactive).count();
        let (had, has) = (from.effective(), self.effective());
        let there = |(_, person): &&(usize, usize)| !self.inactive.contains(person) && !from.inactive.contains(person);
        let out = had.difference(&has).filter(there).count();
        let into = has.difference(&had).filter(there).count();
        leaves + comes + out + into
    }
}

struct Play {
    rig: Rig,
    people: Vec<String>,
    groups: Vec<String>,
}

impl Play {
    async fn begin(db: &crate::rig::Db) -> Self {
        let rig = rig(db, "github", json!({"brake": false, "answer_within_ms": 0})).await;
        let mut people = Vec::new();
        for name in PEOPLE {
            people.push(rig.user(name).await);
        }
        rig.quiet().await;
        rig.control("POST", "/_sim/accept", json!({})).await;
        rig.reconcile().await;
        let mut groups = Vec::new();
        for name in GROUPS {
            groups.push(rig.post("Group", json!({"displayName": name})).await.unwrap().stored.id);
        }
        rig.quiet().await;
        Self { rig, people, groups }
    }

    async fn send(&self, change: Change) {
        match change {
            Change::Active(person, active) => {
                let off = json!([{"op": "replace", "path": "active", "value": active}]);
                self.rig.patch("User", &self.people[person], off).await.unwrap();
            }
            Change::Member(group, person, add) => {
                let id = &self.people[person];
                let edit = match add {
                    true => json!([{"op": "add", "path": "members", "value": [{"value": id}]}]),
                    false => json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}]),
                };
                self.rig.patch("Group", &self.groups[group], edit).await.unwrap();
            }
        }
    }

    /// Everybody who is invited accepts, and what waits for that is done.
    async fn accepted(&self) -> Value {
        self.rig.quiet().await;
        self.rig.control("POST", "/_sim/accept", json!({})).await;
        self.rig.reconcile().await;
        self.rig.quiet().await;
        self.rig.state().await
    }
}

/// Who is there, and who is in which group, by address: ids differ from target to target.
fn shape(state: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let emails = |list: &Value| -> BTreeSet<String> {
        list.as_array().unwrap().iter().filter_map(|one| one["email"].as_str()).map(str::to_owned).collect()
    };
    let groups = state["groups"].as_array().unwrap().iter();
    let mut shape: BTreeMap<String, BTreeSet<String>> =
        groups.map(|group| (group["name"].as_str().unwrap().to_owned(), emails(&group["members"]))).collect();
    shape.insert("accounts".to_owned(), emails(&state["accounts"]));
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_queued_while_paused_ends_as_one_by_one_and_costs_the_way() {
    for (db, seed) in databases().into_iter().zip([3_u64, 11]) {
        let mut queued = Play::begin(&db).await;
        let each = Play::begin(&db).await;
        let mut dice = Dice(seed);
        let mut wish = Wish::default();
        for round in 0..4 {
            let changes: Vec<Change> = (0..6)
                .map(|_| match dice.below(3) {
                    0 => Change::Active(dice.below(PEOPLE.len()), dice.below(2) == 0),
                    _ => Change::Member(dice.below(GROUPS.len()), dice.below(PEOPLE.len()), dice.below(3) > 0),
                })
                .collect();
            let context = format!("seed {seed}, round {round}: {changes:?}");
            let before = wish.clone();
            queued.rig.set_mode(Mode::Paused).await;
            for change in &changes {
                wish.take(*change);
                queued.send(*change).await;
                each.send(*change).await;
                each.accepted().await;
            }
            let writes = queued.rig.writes().await.len();
            queued.rig.set_mode(Mode::Enabled).await;
            queued.rig.quiet().await;
            let sent = queued.rig.writes().await.len() - writes;
            let all = queued.rig.writes().await;
            assert!(sent <= wish.fewest(&before), "{context}: {sent} writes, {} needed: {all:?}", wish.fewest(&before));
            assert_eq!(shape(&queued.accepted().await), shape(&each.accepted().await), "{context}");
        }
    }
}
