//! What the record tells once something reached a target: every call, why there is access at any time, and erasure.

use serde_json::{Value, json};

use crate::rig::{Rig, databases, rig};

fn now() -> i64 {
    gateway::clock::Clock::system().micros()
}

async fn why(rig: &Rig, word: &str, at: Option<i64>, member: Option<&str>) -> Value {
    // The database's clock tells milliseconds where the gateway's tells microseconds.
    let told = rig.app.why_at(&rig.instance, word, at.map(|at| at + 2_000), member).await.unwrap();
    told.unwrap_or_else(|| panic!("nobody knows {word}"))
}

/// An instant that is not that of anything recorded: the clock has moved on before it and after it.
async fn tick(rig: &Rig) -> i64 {
    let before = now();
    rig.wait("time", async || now() > before + 10_000).await;
    let at = now();
    rig.wait("time", async || now() > at + 10_000).await;
    at
}

fn says(told: &Value, words: &str) {
    assert!(told["answer"].as_str().unwrap().contains(words), "{words}: {told:#}");
}

async fn set_active(rig: &Rig, id: &str, active: bool) {
    rig.patch("User", id, json!([{"op": "replace", "path": "active", "value": active}])).await.unwrap();
    rig.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn why_tells_of_any_time_whether_there_was_access_and_why() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({})).await;
        let before = tick(&rig).await;
        let ada = rig.user("ada@example.com").await;
        rig.quiet().await;
        let invited = tick(&rig).await;
        rig.control("POST", "/_sim/accept", Value::Null).await;
        rig.reconcile().await;
        rig.quiet().await;
        let member = tick(&rig).await;
        let group =
            rig.post("Group", json!({"displayName": "Ops", "members": [{"value": ada}]})).await.unwrap().stored.id;
        rig.quiet().await;
        let joined = tick(&rig).await;
        set_active(&rig, &ada, false).await;
        let left = tick(&rig).await;
        rig.delete("User", &ada).await;
        rig.quiet().await;

        says(&why(&rig, &ada, Some(before), None).await, "the directory did not know this person");
        let told = why(&rig, "ada@example.com", Some(invited), None).await;
        says(&told, "has no access yet");
        assert_eq!(
            (&told["then"]["at_target"], &told["then"]["active"]),
            (&json!("invited"), &json!(true)),
            "{told:#}"
        );
        assert_eq!(told["operations"].as_array().unwrap().len(), 1);
        let told = why(&rig, &ada, Some(member), None).await;
        says(&told, "has access since");
        says(&told, "key:test");
        assert_eq!(told["then"]["memberships"], json!([]));
        assert_eq!(told["then"]["attributes"]["userName"], "ada@example.com");
        let told = why(&rig, &ada, Some(joined), None).await;
        let membership = &told["then"]["memberships"][0];
        assert_eq!(
            (&membership["wanted"], &membership["at_target"], &membership["group"]["id"]),
            (&json!(true), &json!("yes"), &json!(group)),
            "{told:#}"
        );
        let told = why(&rig, &ada, Some(left), None).await;
        says(&told, "has no access: its end was asked for by key:test");
        let told = why(&rig, &ada, None, None).await;
        says(&told, "has no access");
        assert_eq!(told["at"], Value::Null);

        // In order, each with what it came from.
        let chain = told["chain"].as_array().unwrap();
        let times: Vec<&str> = chain.iter().map(|event| event["at"].as_str().unwrap()).collect();
        assert!(times.is_sorted(), "{chain:#?}");
        for (kind, words) in [
            ("operation", "asked for create"),
            ("attempt", "POST "),
            ("account", "invited"),
            ("account", "active"),
            ("account", "gone"),
            ("link", "Tied to"),
            ("membership", "Group Ops: wanted, and at the target"),
            ("operation", "asked for delete"),
        ] {
            let found =
                chain.iter().any(|event| event["kind"] == kind && event["text"].as_str().unwrap().contains(words));
            assert!(found, "{kind} {words}: {chain:#?}");
        }

        // One membership, and the group itself.
        says(&why(&rig, &group, Some(joined), Some(&ada)).await, "ada@example.com was in Ops");
        says(
            &why(&rig, "Ops", Some(left), Some(&ada)).await,
            "not in it yet: it waits until the person has an account",
        );
        let told = why(&rig, &group, Some(joined), None).await;
        says(&told, "The group Ops is at the target");
        assert_eq!(told["then"]["members"], json!({"wanted": 1, "at_target": 1}));
        assert!(rig.app.why_at(&rig.instance, &group, None, Some("nobody")).await.unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_shows_every_call_with_its_answer_and_what_stood_in_the_way() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({})).await;
        let fault = json!([{"match": {"method": "POST"}, "times": 1, "do": {"status": 503}}]);
        rig.control("POST", "/_sim/faults", fault).await;
        let ada = rig.user("ada@example.com").await;
        rig.quiet().await;
        let filter = gateway::service::records::OperationFilter { resource: Some(ada.clone()), ..Default::default() };
        let listed = rig.app.list_operations(&rig.instance, &filter, i64::MAX, 10).await.unwrap().items;
        let id = listed[0]["id"].as_str().unwrap();
        let whole = rig.app.operation(id).await.unwrap().unwrap();
        assert_eq!(whole["state"], "applied", "{whole:#}");
        assert!(whole["took_ms"].as_i64().is_some());
        let attempts = whole["attempts"].as_array().unwrap();
        let tried: Vec<&Value> = attempts.iter().chain(whole["verification"].as_array().unwrap()).collect();
        let calls: Vec<(String, u64)> = tried
            .iter()
            .flat_map(|attempt| attempt["calls"]["calls"].as_array().unwrap())
            .filter(|call| call["method"] == "POST")
            .map(|call| (call["name"].as_str().unwrap().to_owned(), call["status"].as_u64().unwrap()))
            .collect();
        assert_eq!(calls.iter().map(|call| call.1).filter(|status| *status == 503).count(), 1, "{calls:?}");
        assert!(
            !attempts.is_empty() && tried.len() > 1 && tried.iter().all(|attempt| attempt["started_at"].is_string()),
            "{whole:#}"
        );
        assert!(!whole["decision"]["steps"].as_array().unwrap().is_empty());
        let chunk = rig
            .app
            .export_operations(
                &rig.instance,
                &gateway::service::records::Exported { filter, after: gateway::service::records::Place::default() },
            )
            .await
            .unwrap();
        assert_eq!(chunk.lines[0].1["attempts"].as_array().unwrap().len(), attempts.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_is_nowhere_and_what_happened_stays() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({})).await;
        let name = "canary.person@example.com";
        let ada = rig.user(name).await;
        let group =
            rig.post("Group", json!({"displayName": "Ops", "members": [{"value": ada}]})).await.unwrap().stored.id;
        rig.quiet().await;
        rig.control("POST", "/_sim/accept", Value::Null).await;
        rig.reconcile().await;
        rig.quiet().await;
        rig.patch("User", &ada, json!([{"op": "replace", "path": "displayName", "value": "Canary Person"}]))
            .await
            .unwrap();
        rig.quiet().await;
        let erase = async |id: &str| rig.app.erase(&rig.instance, "admin", id).await;
        assert!(erase(&ada).await.is_err(), "who has access is not erased");
        assert!(erase(&group).await.is_err() && erase("nobody").await.is_err() && erase(name).await.is_err());
        rig.delete("User", &ada).await;
        rig.quiet().await;
        let erased = erase(&ada).await.unwrap();
        let pseudonym = erased["pseudonym"].as_str().unwrap().to_owned();
        assert_eq!(erase(&ada).await.unwrap()["pseudonym"], pseudonym.as_str(), "asked again it is the same");

        let told = why(&rig, &ada, None, None).await;
        assert!(!told.to_string().to_lowercase().contains("canary"), "{told:#}");
        assert_eq!(told["resource"]["userName"], pseudonym.as_str());
        assert_eq!(told["operations"].as_array().unwrap().len(), 3, "{told:#}");
        says(&told, "has no access: its end was asked for");
        let group = why(&rig, &group, None, None).await;
        assert!(!group.to_string().to_lowercase().contains("canary"), "{group:#}");
        let all = rig.app.export_operations(&rig.instance, &Default::default()).await.unwrap();
        assert!(!format!("{all:?}").to_lowercase().contains("canary"), "{all:?}");
        assert!(rig.app.search("canary", 10).await.unwrap().0.is_empty());
        let acts = rig.app.list_audit(i64::MAX, 100, None).await.unwrap().items;
        assert_eq!(acts.iter().filter(|act| act["act"] == "resource.erase").count(), 1);
        assert!(!format!("{acts:?}").contains("canary"), "{acts:?}");
        // The name is free for somebody else, who is another person with another id.
        let next = rig.user(name).await;
        assert_ne!(next, ada);
    }
}

/// Whoever began it may be gone after any step; asked again it is as if it had gone through at once.
#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_was_cut_off_left_names_behind() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({})).await;
        for looks in 0_usize.. {
            let name = format!("canary{looks}@example.com");
            let person = rig.user(&name).await;
            rig.quiet().await;
            rig.patch("User", &person, json!([{"op": "replace", "path": "displayName", "value": name}])).await.unwrap();
            rig.delete("User", &person).await;
            rig.quiet().await;
            let mut left = looks;
            let whole = {
                let mut cut = std::pin::pin!(rig.app.erase(&rig.instance, "admin", &person));
                std::future::poll_fn(|cx| {
                    if let std::task::Poll::Ready(done) = cut.as_mut().poll(cx) {
                        return std::task::Poll::Ready(Some(done));
                    }
                    left = left.saturating_sub(1);
                    if left == 0 { std::task::Poll::Ready(None) } else { std::task::Poll::Pending }
                })
                .await
            };
            rig.app.erase(&rig.instance, "admin", &person).await.unwrap();
            let all = rig.app.export_operations(&rig.instance, &Default::default()).await.unwrap();
            assert!(!format!("{all:?}").contains(&name), "cut off at {looks}: {all:?}");
            assert!(!why(&rig, &person, None, None).await.to_string().contains(&name), "cut off at {looks}");
            if whole.is_some() {
                break;
            }
        }
    }
}
