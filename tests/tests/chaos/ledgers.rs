//! Three ledgers, compared: what was acknowledged, what the directory holds, what the target did.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tests::{Scim, Sim};

use crate::client::Person;

/// What the comparison came to.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) lost: Vec<String>,
    pub(crate) doubled: Vec<String>,
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().map_or(&[], Vec::as_slice)
}

fn emails(all: &[Value]) -> Vec<&str> {
    all.iter().filter_map(|one| one["email"].as_str()).filter(|email| email.ends_with("@example.com")).collect()
}

fn succeeded(call: &Value) -> bool {
    call["status"].as_u64().is_some_and(|status| (200..300).contains(&status))
}

/// Compares them once everything is quiet and every invitation is accepted.
pub(crate) async fn compare(people: &BTreeMap<String, Person>, groups: &[String], scim: &Scim, sim: &Sim) -> Verdict {
    let mut verdict = Verdict::default();
    let state = sim.state().await;
    let (accounts, invitations) = (emails(list(&state, "accounts")), emails(list(&state, "invitations")));
    let mut there: BTreeMap<&str, usize> = BTreeMap::new();
    for email in accounts.iter().chain(&invitations) {
        *there.entry(email).or_default() += 1;
    }
    for (email, times) in there.iter().filter(|(_, times)| **times > 1) {
        verdict.doubled.push(format!("{email} is at the target {times} times"));
    }
    for (email, person) in people {
        let answer = scim.call(http::Method::GET, &format!("/Users/{}", person.id), None).await;
        let held = match answer.status {
            404 => person.deleted,
            200 => !person.deleted && answer.json()["active"] == person.active,
            _ => false,
        };
        if !held {
            verdict.lost.push(format!("the directory holds {email} as {} {}", answer.status, answer.text));
        }
        let wanted = person.active && !person.deleted;
        if wanted != accounts.contains(&email.as_str()) || invitations.contains(&email.as_str()) {
            verdict
                .lost
                .push(format!("{email} is wanted: {wanted}, and the target has {:?}", there.get(email.as_str())));
        }
    }
    for email in there.keys().filter(|email| !people.contains_key(**email)) {
        verdict.lost.push(format!("{email} is at the target, and nobody was told so"));
    }
    for (n, id) in groups.iter().enumerate() {
        let wanted: BTreeSet<&str> = people
            .iter()
            .filter(|(_, person)| person.groups.contains(&n) && person.active && !person.deleted)
            .map(|(email, _)| email.as_str())
            .collect();
        let teams: Vec<&Value> =
            list(&state, "groups").iter().filter(|one| one["name"] == format!("Team {n}")).collect();
        if teams.len() != 1 {
            verdict.doubled.push(format!("{} teams are named Team {n}", teams.len()));
        }
        let members: BTreeSet<&str> = teams.iter().flat_map(|team| emails(list(team, "members"))).collect();
        for email in wanted.symmetric_difference(&members) {
            verdict.lost.push(format!("{email} in Team {n}: wanted {}", wanted.contains(email)));
        }
        let told = scim.get(&format!("/Groups/{id}")).await;
        let ids: BTreeSet<&str> = list(&told, "members").iter().filter_map(|one| one["value"].as_str()).collect();
        let all = people.values().filter(|person| person.groups.contains(&n) && !person.deleted);
        if all.map(|person| person.id.as_str()).collect::<BTreeSet<_>>() != ids {
            verdict.lost.push(format!("the directory's members of Team {n} are others"));
        }
    }
    let calls = sim.calls().await;
    let invited = calls.iter().filter(|call| call["method"] == "POST" && succeeded(call));
    let invited =
        invited.filter(|call| call["path"].as_str().is_some_and(|path| path.ends_with("/invitations"))).count();
    let grants: usize = people.values().map(|person| person.grants).sum();
    if invited > grants {
        verdict.doubled.push(format!("{invited} invitations were sent where access was asked for {grants} times"));
    }
    verdict
}

/// The most calls that the target took within one second.
pub(crate) fn most_in_a_second(calls: &[Value]) -> usize {
    let taken = calls.iter().filter(|call| !matches!(call["status"].as_u64(), Some(403 | 429)));
    let mut at: Vec<jiff::Timestamp> =
        taken.filter_map(|call| call["at"].as_str()).filter_map(|at| at.parse().ok()).collect();
    at.sort_unstable();
    let mut most = 0;
    let mut first = 0;
    for (last, now) in at.iter().enumerate() {
        while now.duration_since(at[first]) >= jiff::SignedDuration::from_secs(1) {
            first += 1;
        }
        most = most.max(last + 1 - first);
    }
    most
}
