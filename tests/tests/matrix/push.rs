//! What identity providers do in bulk: whole resynchronisations, parallel edits of one group, a leaver behind a
//! backlog.

use std::sync::Arc;
use std::time::Instant;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use tests::scim::PATCH;
use tests::{Db, Gateway, Scim, Sim, databases, wait_until};
use tokio::task::JoinSet;

use crate::stage::{BOUND, called, each, emails, members, settled, succeeded, user};

/// The people of a large organisation.
const PEOPLE: usize = 10_000;

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}")).to_owned()
}

/// Every user that the directory lists, by pages of a thousand.
async fn everybody(scim: &Scim) -> Vec<Value> {
    let mut people = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = scim.get(&format!("/Users?count=1000&cursor={cursor}")).await;
        people.extend(page["Resources"].as_array().cloned().unwrap_or_default());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => return people,
        }
    }
}

/// What a client that keeps its people in step sends, changed or not: it reads each and writes it whole.
async fn resync(scim: &Scim, people: Arc<Vec<(String, Value)>>) -> usize {
    let count = people.len();
    let answers = each(scim, count, move |scim, n| {
        let people = people.clone();
        async move {
            let (id, body) = &people[n];
            let path = format!("/Users/{id}");
            let shown = scim.get(&path).await;
            assert_eq!(shown["userName"], body["userName"]);
            scim.call(Method::PUT, &path, Some(body)).await.status
        }
    })
    .await;
    answers.into_iter().filter(|status| *status == 200).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_of_ten_thousand_unchanged_people_writes_nothing_and_a_member_taken_out_by_hand_is_reported() {
    let sim = Sim::start("buildkite").await;
    sim.load(u32::try_from(PEOPLE).expect("it is a small number"), 0).await;
    let gateway = Gateway::start(Db::Sqlite).await;
    let admin = gateway.admin();
    // The client sees the accounts that are there, and its first write to each adopts it.
    let policy = json!({"list_unmanaged": true, "answer_within_ms": 0, "brake": false});
    let instance = admin.connect(&sim, policy).await;
    admin.imported(&instance.id).await;
    let scim = &instance.scim;
    let started = Instant::now();
    let listed = everybody(scim).await;
    assert_eq!(listed.len(), PEOPLE, "everybody was imported");
    let people: Vec<(String, Value)> =
        listed.iter().map(|one| (text(one, "id"), user(&text(one, "userName")))).collect();
    let people = Arc::new(people);
    assert_eq!(resync(scim, people.clone()).await, PEOPLE, "everybody was adopted");
    let ids: Vec<&str> = people.iter().take(20).map(|(id, _)| id.as_str()).collect();
    scim.group("Crew", &ids).await;
    settled(&admin, &instance.id).await;
    let adopted = started.elapsed();
    assert_eq!(members(&sim.state().await, "Crew"), 20);

    let before = sim.writes().await.len();
    let started = Instant::now();
    assert_eq!(resync(scim, people.clone()).await, PEOPLE, "everybody was repeated");
    settled(&admin, &instance.id).await;
    let run = admin.run(&instance.id, "reconcile").await;
    assert_eq!(run["state"], "done", "{run}");
    settled(&admin, &instance.id).await;
    let writes = sim.writes().await;
    assert_eq!(writes.len(), before, "{:?}", &writes[before..]);
    eprintln!("{PEOPLE} people adopted in {adopted:.1?}, resynchronised and compared in {:.1?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_patches_of_one_group_as_entra_sends_them_lose_nobody() {
    const MEMBERS: usize = 50;
    for db in databases() {
        let sim = Sim::start("github").await;
        let gateway = Gateway::start(db).await;
        let admin = gateway.admin();
        let instance = admin.connect(&sim, json!({"answer_within_ms": 0, "dialect": "entra"})).await;
        let scim = &instance.scim;
        let ids = each(scim, MEMBERS, |scim, n| async move {
            let email = format!("p{n:02}@example.com");
            scim.user(&email, &email).await
        })
        .await;
        settled(&admin, &instance.id).await;
        sim.accept(json!({})).await;
        admin.run(&instance.id, "reconcile").await;
        settled(&admin, &instance.id).await;
        let group = scim.group("Everybody", &[]).await;
        settled(&admin, &instance.id).await;

        let mut patches = JoinSet::new();
        for id in &ids {
            // A connection each, all at once.
            let scim = Scim::new(&scim.base, &scim.key);
            let path = format!("/Groups/{group}");
            let body = json!({"schemas": [PATCH], "Operations": [
                {"op": "Add", "path": "members", "value": [{"$ref": null, "value": id}]}
            ]});
            patches.spawn(async move { scim.call(Method::PATCH, &path, Some(&body)).await.status });
        }
        let answers = patches.join_all().await;
        assert!(answers.iter().all(|status| matches!(status, 200 | 204)), "{db:?}: {answers:?}");

        let shown = scim.get(&format!("/Groups/{group}")).await;
        let mut shown: Vec<String> =
            shown["members"].as_array().expect("a group has members").iter().map(|one| text(one, "value")).collect();
        let mut wanted = ids.clone();
        shown.sort();
        wanted.sort();
        assert_eq!(shown, wanted, "{db:?}: the directory");
        settled(&admin, &instance.id).await;
        assert_eq!(members(&sim.state().await, "Everybody"), MEMBERS, "{db:?}: the target");
        let calls = sim.calls().await;
        let added = calls.iter().filter(|call| {
            call["method"] == "PUT" && call["path"].as_str().is_some_and(|path| path.contains("/memberships/"))
        });
        assert_eq!(added.count(), MEMBERS, "{db:?}: a call for each and no more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_behind_a_backlog_of_ten_thousand_joiners_is_gone_within_five_seconds() {
    /// Calls a second that the target lets through, and the seconds that a leaver may stay.
    const PACE: usize = 20;
    const SECONDS: usize = 5;
    let sim = Sim::start_with("github", &format!("{PACE}/s")).await;
    let gateway = Gateway::start(Db::Sqlite).await;
    let admin = gateway.admin();
    let instance = admin.connect(&sim, json!({"brake": false})).await;
    let scim = &instance.scim;
    let eve = scim.user("eve@example.com", "eve@example.com").await;
    settled(&admin, &instance.id).await;
    sim.accept(json!({"email": "eve@example.com", "login": "eve"})).await;
    admin.run(&instance.id, "reconcile").await;
    settled(&admin, &instance.id).await;
    assert_eq!(emails(&sim.state().await, "accounts"), ["eve@example.com"]);

    sim.fault(json!([{"times": 1_000_000, "do": {"delay_ms": 50}}])).await;
    let started = Instant::now();
    let made = each(scim, PEOPLE, |scim, n| async move {
        scim.call(Method::POST, "/Users", Some(&user(&format!("p{n:05}@example.com")))).await.status
    })
    .await;
    assert!(made.iter().all(|status| *status == 201), "every joiner was acknowledged");
    let pushed = started.elapsed();
    let there = emails(&sim.state().await, "invitations").len();
    assert!(there < PEOPLE / 2, "{there} of {PEOPLE} are invited already: no backlog, no test");

    scim.set_active(&eve, false).await;
    // The target's own record tells the time, by its clock and by what else it did.
    let calls = sim.calls().await.len();
    let removes = |call: &Value| call["method"] == "DELETE" && succeeded(call);
    called(&sim, "the leaver is removed", 1, removes).await;
    let all = sim.calls().await;
    let at = all.iter().position(removes).expect("it was waited for");
    assert!(emails(&sim.state().await, "accounts").is_empty(), "the leaver is gone");
    let when = |at: usize| -> Timestamp { text(&all[at], "at").parse().expect("the record has times") };
    let seconds = when(at).duration_since(when((calls - 1).min(at))).as_secs_f64();
    let between = at.saturating_sub(calls);
    eprintln!(
        "{PEOPLE} joiners acknowledged in {pushed:.1?}, {there} of them invited by then; the leaver was gone {seconds:.2} s \
         after the answer, {between} calls later"
    );
    assert!(between <= PACE * SECONDS, "{between} calls went before the leaver's");
    // What is left of the backlog is no matter of this test: everything ends with it.
    wait_until("joiners go on", BOUND, async || {
        (emails(&sim.state().await, "invitations").len() > there).then_some(())
    })
    .await;
}
