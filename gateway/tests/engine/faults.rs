//! Faults of targets that pass or stay: outages, answers that lag behind, accounts that change behind our back, and
//! work that fails whatever is done.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::rig::{Db, Rig, databases, emails, everywhere, rig};

async fn faults(rig: &Rig, faults: Value) {
    rig.control("POST", "/_sim/faults", faults).await;
}

async fn heal(rig: &Rig) {
    rig.control("DELETE", "/_sim/faults", Value::Null).await;
}

/// People who accepted their invitations, by the logins before the `@`.
async fn people(rig: &Rig, names: &[String]) -> Vec<String> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(rig.user(name).await);
    }
    rig.quiet().await;
    for name in names {
        let login = name.split('@').next().unwrap();
        rig.control("POST", "/_sim/accept", json!({"email": name, "login": login})).await;
    }
    rig.reconcile().await;
    rig.quiet().await;
    ids
}

fn off() -> Value {
    json!([{"op": "replace", "path": "active", "value": false}])
}

fn add(id: &str) -> Value {
    json!([{"op": "add", "path": "members", "value": [{"value": id}]}])
}

/// Everything a target that is down is asked is in vain, so it is asked little, and all is done once it is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_costs_few_calls_and_loses_nothing() {
    let places = everywhere().into_iter().zip([500, 502, 503, 504]);
    join_all(places.map(async |((db, target), status)| outage(&db, target, status).await)).await;
}

async fn outage(db: &Db, target: &str, status: u16) {
    const PEOPLE: usize = 40;
    let context = format!("{target}, {status}");
    let rig = rig(db, target, json!({"answer_within_ms": 0})).await;
    faults(&rig, json!([{"times": 1_000_000, "do": {"status": status}}])).await;
    let before = rig.calls().await.as_array().unwrap().len();
    for n in 0..PEOPLE {
        rig.user(&format!("p{n:02}@example.com")).await;
    }
    // Five outages in a row open the breaker; calls under way then are the last ones.
    rig.wait("the breaker", async || rig.app.driver.budgets().to_string().contains("\"open\"")).await;
    let during = rig.calls().await.as_array().unwrap().len() - before;
    assert!(during <= PEOPLE / 2, "{context}: {during} calls in vain for {PEOPLE} people");
    heal(&rig).await;
    rig.quiet_at_once().await;
    assert_eq!(emails(&rig.state().await, "invitations").len(), PEOPLE, "{context}");
    let calls = rig.calls().await;
    let made = calls.as_array().unwrap().iter().filter(|call| {
        call["status"] == 201 && call["path"].as_str().is_some_and(|path| path.ends_with("/invitations"))
    });
    assert_eq!(made.count(), PEOPLE, "{context}: each was invited once");
}

/// What was made a moment ago is not seen yet: it is neither made again nor given up.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_does_not_show_yet_is_not_made_twice() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let ada = people(&rig, &["ada@example.com".to_owned()]).await.remove(0);
        // A team is not found by its number for two seconds after it was made.
        rig.control("POST", "/_sim/set", json!({"lag_seconds": 2})).await;
        let group = rig.post("Group", json!({"displayName": "Eng", "members": [{"value": ada}]})).await.unwrap();
        rig.wait("her membership", async || {
            rig.state().await["groups"][0]["members"].as_array().is_some_and(|members| members.len() == 1)
        })
        .await;
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"].as_array().unwrap().len(), 1, "{}", rig.calls().await);
        assert_eq!(rig.app.members_of(group.stored.seq).await.unwrap().len(), 1);
    }
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"answer_within_ms": 0})).await;
        // The answer to an invitation is lost, and the list of invitations does not show it yet.
        let nobody = if target == "github" { json!([]) } else { json!({"items": []}) };
        faults(
            &rig,
            json!([
                {"match": {"method": "POST", "path": "invitations$"}, "do": {"drop": "after"}},
                {"match": {"method": "GET", "path": "invitations"}, "do": {"status": 200, "body": nobody}},
            ]),
        )
        .await;
        rig.user("eve@example.com").await;
        rig.wait("the invitation", async || emails(&rig.state().await, "invitations") == ["eve@example.com"]).await;
        rig.quiet_at_once().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["eve@example.com"], "{target}: {}", rig.calls().await);
        let calls = rig.calls().await;
        let made = calls.as_array().unwrap().iter().filter(|call| {
            call["method"] == "POST"
                && call["path"].as_str().is_some_and(|path| path.ends_with("/invitations"))
                && call["status"] == 201
        });
        assert_eq!(made.count(), 1, "{target}: {calls}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_renamed_behind_our_back_is_found_by_its_number_and_who_took_its_name_keeps_access() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let ada = people(&rig, &["ada@example.com".to_owned()]).await.remove(0);
        rig.control("POST", "/_sim/set", json!({"rename": {"from": "ada", "to": "countess"}})).await;
        rig.control("POST", "/_sim/set", json!({"members": [{"login": "ada", "email": "other@example.com"}]})).await;
        rig.patch("User", &ada, off()).await.unwrap();
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "accounts"), ["other@example.com"], "{}", rig.calls().await);
    }
}

/// Who left the target without us is no trouble for the client, whatever is asked next.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_deleted_behind_our_back_is_nobodys_error() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let ids = people(&rig, &["ada@example.com".to_owned(), "eve@example.com".to_owned()]).await;
        let eng = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
        rig.quiet().await;
        for login in ["ada", "eve"] {
            rig.control("POST", "/_sim/set", json!({"leave": login})).await;
        }
        // Her removal is done already; a membership of his has to wait for an account, and says so.
        rig.patch("User", &ids[0], off()).await.unwrap();
        rig.delete("User", &ids[0]).await;
        rig.patch("Group", &eng, add(&ids[1])).await.unwrap();
        rig.reconcile().await;
        rig.wait("the work to come to rest", async || rig.open_work().await.iter().all(|(state, _)| state == "needs"))
            .await;
        let state = rig.state().await;
        assert!(emails(&state, "accounts").is_empty() && emails(&state, "invitations").is_empty(), "{state}");
    }
}

/// One removal fails whatever is done. Everybody else is served, it stays visible, and it is done once it can be.
#[tokio::test(flavor = "multi_thread")]
async fn work_that_always_fails_holds_up_nobody_else() {
    const OTHERS: usize = 20;
    for (db, target) in everywhere() {
        let rig = rig(&db, target, json!({"answer_within_ms": 0})).await;
        let ids = people(&rig, &["eve@example.com".to_owned(), "ada@example.com".to_owned()]).await;
        let state = rig.state().await;
        let account = |email: &str, field: &str| {
            let accounts = state["accounts"].as_array().unwrap();
            accounts.iter().find(|one| one["email"] == email).unwrap()[field].as_str().unwrap().to_owned()
        };
        let (path, other) = match target {
            "github" => (format!("memberships/{}$", account("eve@example.com", "login")), "ada"),
            _ => (format!("members/{}$", account("eve@example.com", "id")), "ada"),
        };
        // Not an outage of the target, and not a refusal: an answer that says nothing.
        faults(
            &rig,
            json!([{"match": {"method": "DELETE", "path": path}, "times": 1_000_000, "do": {"status": 200, "body": "<html>"}}]),
        )
        .await;
        rig.patch("User", &ids[0], off()).await.unwrap();
        let mut wanted = Vec::new();
        for n in 0..OTHERS {
            let name = format!("p{n:02}@example.com");
            rig.user(&name).await;
            wanted.push(name);
            // A ring too many, or one out of order, starts nothing twice.
            rig.app.driver.wake();
        }
        rig.patch("User", &ids[1], off()).await.unwrap();
        rig.wait("the others", async || {
            let state = rig.state().await;
            emails(&state, "invitations") == wanted && emails(&state, "accounts") == ["eve@example.com"]
        })
        .await;
        let calls = rig.calls().await;
        let made = calls.as_array().unwrap().iter().filter(|call| {
            call["method"] == "POST" && call["path"].as_str().is_some_and(|path| path.ends_with("/invitations"))
        });
        assert_eq!(made.count(), OTHERS + 2, "{target}: each was invited once, {other} and eve before");
        rig.wait("her work at rest", async || rig.open_work().await.iter().all(|(state, _)| state != "running")).await;
        let work = rig.app.list_work(&rig.instance, None, 0, 10).await.unwrap().items;
        assert_eq!(work.len(), 1, "{target}: {work:?}");
        assert!(work[0]["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{target}: {work:?}");
        heal(&rig).await;
        let newest = rig
            .app
            .list_operations(
                &rig.instance,
                &gateway::service::records::OperationFilter { state: Some("open".to_owned()), ..Default::default() },
                i64::MAX,
                1,
            )
            .await
            .unwrap();
        let id = newest.items[0]["id"].as_str().unwrap().to_owned();
        rig.app.retry_operation("admin", &id).await.map_err(|error| format!("{error:?}")).unwrap();
        rig.wait("her removal", async || emails(&rig.state().await, "accounts").is_empty()).await;
        rig.quiet().await;
    }
}
