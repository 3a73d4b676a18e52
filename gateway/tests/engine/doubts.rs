//! Writes whose outcome nobody heard, links that a person decides, runs that break, and work that would
//! stay open for ever.

use engine::doubt::Answer;
use engine::needs;
use gateway::service::records::{AdminError, OperationFilter};
use serde_json::{Value, json};
use simulators::Limits;

use crate::rig::{Db, Rig, databases, emails, rig, rig_of};

async fn faults(rig: &Rig, faults: Value) {
    rig.control("POST", "/_sim/faults", faults).await;
}

/// GitHub by a connector that declares this of every write.
async fn worse(db: &Db, how: &str) -> Rig {
    rig_of(db, "github", &format!("github-{how}"), json!({"answer_within_ms": 0}), json!({}), Limits::None).await
}

async fn operations(rig: &Rig) -> Vec<Value> {
    rig.app.list_operations(&rig.instance, &OperationFilter::default(), i64::MAX, 100).await.unwrap().items
}

async fn newest(rig: &Rig) -> String {
    operations(rig).await[0]["id"].as_str().unwrap().to_owned()
}

async fn needs(rig: &Rig, code: &str) {
    rig.wait(code, async || rig.open_work().await.contains(&("needs".to_owned(), code.to_owned()))).await;
}

async fn answer(rig: &Rig, answer: Answer) -> Result<Value, AdminError> {
    rig.app.answer_outcome("admin", &newest(rig).await, answer).await
}

/// The writes of one kind that reached the simulator, whatever became of them.
async fn sent(rig: &Rig, method: &str, end: &str) -> usize {
    let calls = rig.calls().await;
    let is = |call: &&Value| call["method"] == method && call["path"].as_str().unwrap().ends_with(end);
    calls.as_array().unwrap().iter().filter(is).count()
}

fn lost(method: &str, path: &str, when: &str) -> Value {
    json!([{"match": {"method": method, "path": path}, "times": 1, "do": {"drop": when}}])
}

fn add(ids: &[&String]) -> Value {
    let members: Vec<Value> = ids.iter().map(|id| json!({"value": id})).collect();
    json!([{"op": "add", "path": "members", "value": members}])
}

/// People who accepted their invitations.
async fn people(rig: &Rig, names: &[&str]) -> Vec<String> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(rig.user(name).await);
    }
    rig.quiet().await;
    rig.control("POST", "/_sim/accept", json!({})).await;
    rig.reconcile().await;
    rig.quiet().await;
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_no_look_can_tell_is_a_persons_and_is_never_repeated() {
    for db in databases() {
        for when in ["after", "before"] {
            let rig = worse(&db, "neither").await;
            faults(&rig, lost("POST", "invitations$", when)).await;
            rig.user("ada@example.com").await;
            needs(&rig, "outcome_unknown").await;
            rig.app.retry_operation("admin", &newest(&rig).await).await.map(drop).unwrap();
            needs(&rig, "outcome_unknown").await;
            assert_eq!(sent(&rig, "POST", "invitations").await, 1, "{when}: repeated blindly");
            let useless = answer(&rig, Answer::LookAgain).await;
            assert!(matches!(useless, Err(AdminError::Conflict(_))), "{useless:?}");
            if when == "after" {
                answer(&rig, Answer::Happened).await.unwrap();
                rig.quiet().await;
                assert_eq!(sent(&rig, "POST", "invitations").await, 1);
            } else {
                // Said to have happened, and nothing is there: somebody has to name the account.
                answer(&rig, Answer::Happened).await.unwrap();
                needs(&rig, "link").await;
                answer(&rig, Answer::DidNot).await.unwrap();
                rig.quiet().await;
                assert_eq!(sent(&rig, "POST", "invitations").await, 2);
            }
            assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"], "{when}");
            let over = answer(&rig, Answer::DidNot).await;
            assert!(matches!(over, Err(AdminError::Conflict(_))), "nothing is in doubt any more: {over:?}");
            let audit = rig.app.list_audit(i64::MAX, 10, None).await.unwrap().items;
            assert_eq!(audit[0]["act"], "operation.outcome", "{audit:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_whose_creation_is_in_doubt_is_neither_forgotten_nor_created() {
    for db in databases() {
        let rig = worse(&db, "neither").await;
        faults(&rig, lost("POST", "invitations$", "after")).await;
        let ada = rig.user("ada@example.com").await;
        needs(&rig, "outcome_unknown").await;
        rig.delete("User", &ada).await;
        needs(&rig, "outcome_unknown").await;
        answer(&rig, Answer::Happened).await.unwrap();
        rig.quiet().await;
        assert_eq!(rig.state().await["invitations"], json!([]), "found, and taken back");
        assert_eq!(sent(&rig, "POST", "invitations").await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_may_not_be_repeated_are_looked_at_first() {
    for db in databases() {
        for when in ["after", "before"] {
            let rig = worse(&db, "verifiable").await;
            let ids = people(&rig, &["ada@example.com", "eve@example.com"]).await;
            let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
            rig.quiet().await;
            let again = usize::from(when == "before");

            faults(&rig, lost("PUT", "memberships/ada$", when)).await;
            rig.patch("Group", &group, add(&[&ids[0], &ids[1]])).await.unwrap();
            rig.quiet().await;
            assert_eq!(rig.state().await["groups"][0]["members"].as_array().unwrap().len(), 2, "{when}");
            assert_eq!(sent(&rig, "PUT", "memberships/ada").await, 1 + again, "{when}: a membership");

            faults(&rig, lost("PATCH", "team", when)).await;
            let rename = json!([{"op": "replace", "path": "displayName", "value": "Engineering"}]);
            rig.patch("Group", &group, rename).await.unwrap();
            rig.quiet().await;
            assert_eq!(rig.state().await["groups"][0]["name"], "Engineering", "{when}");
            let renames = rig.writes().await.iter().filter(|call| call.starts_with("PATCH")).count();
            assert_eq!(renames, 1 + again, "{when}: a name");

            faults(&rig, lost("DELETE", "orgs/acme/memberships/eve$", when)).await;
            rig.delete("User", &ids[1]).await;
            rig.quiet().await;
            assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 1, "{when}");
            assert_eq!(sent(&rig, "DELETE", "orgs/acme/memberships/eve").await, 1 + again, "{when}: an account");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_membership_that_no_look_can_tell_keeps_nobody_else_waiting() {
    for db in databases() {
        for when in ["after", "before"] {
            let rig = worse(&db, "neither").await;
            let ids = people(&rig, &["ada@example.com", "eve@example.com"]).await;
            let group = rig.post("Group", json!({"displayName": "Eng"})).await.unwrap().stored.id;
            rig.quiet().await;
            faults(&rig, lost("PUT", "memberships/ada$", when)).await;
            rig.patch("Group", &group, add(&[&ids[0], &ids[1]])).await.unwrap();
            needs(&rig, "outcome_unknown").await;
            let members = rig.state().await["groups"][0]["members"].as_array().unwrap().clone();
            assert!(members.iter().any(|member| member["login"] == "eve"), "{members:?}");
            answer(&rig, if when == "after" { Answer::Happened } else { Answer::DidNot }).await.unwrap();
            rig.quiet().await;
            assert_eq!(rig.state().await["groups"][0]["members"].as_array().unwrap().len(), 2, "{when}");
            assert_eq!(sent(&rig, "PUT", "memberships/ada").await, 1 + usize::from(when == "before"), "{when}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_panics_costs_nobody_else_anything() {
    for db in databases() {
        let rig = worse(&db, "verifiable").await;
        let poison = rig.user("poison@example.com").await;
        rig.user("ada@example.com").await;
        rig.wait("the other one", async || emails(&rig.state().await, "invitations") == ["ada@example.com"]).await;
        rig.wait("its rest", async || rig.open_work().await == [("waiting".to_owned(), "panic".to_owned())]).await;
        let status = rig.app.status(&rig.instance).await.unwrap();
        assert_eq!(status["reasons"][0]["code"], "panic", "{status}");
        assert_eq!(status["work"]["waiting"]["count"], 1);
        // It was sent nothing, so a deletion ends it. What was being sent counts as in doubt, and is looked for.
        rig.delete("User", &poison).await;
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "invitations"), ["ada@example.com"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guess_that_the_policy_does_not_take_is_proposed_and_a_person_decides() {
    for db in databases() {
        let rig = rig(&db, "buildkite", json!({"adopt": "never", "answer_within_ms": 0})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 2, "groups": 0})).await;
        let [one, two] = ["load0000@example.com", "load0001@example.com"];
        let first = rig.user(one).await;
        let second = rig.user(two).await;
        rig.wait("both needs", async || rig.open_work().await == vec![("needs".to_owned(), "adopt".to_owned()); 2])
            .await;
        let proposed = rig.app.list_links(&rig.instance, Some("proposed"), None, 0, 10).await.unwrap().items;
        assert_eq!(proposed.len(), 2, "{proposed:?}");
        assert_eq!(rig.app.status(&rig.instance).await.unwrap()["proposed_links"], 2);
        let of = |name: &str| proposed.iter().find(|link| link["resource"]["name"] == name).unwrap().clone();
        let remote = of(one)["account"]["remote_id"].as_str().unwrap().to_owned();
        let link = rig.app.set_link("admin", &rig.instance, &first, &remote).await.unwrap();
        assert_eq!((link["state"].as_str(), link["evidence"].as_str()), (Some("live"), Some("admin")), "{link}");
        // Of somebody else it is not to be had.
        let taken = rig.app.set_link("admin", &rig.instance, &second, &remote).await;
        assert!(matches!(&taken, Err(AdminError::Conflict(why)) if why.contains(one)), "{taken:?}");
        let strange = rig.app.set_link("admin", &rig.instance, &second, "nobody").await;
        assert!(matches!(strange, Err(AdminError::NotFound(_))), "{strange:?}");
        // What was rejected is not taken for theirs again, and not proposed again.
        let id = of(two)["id"].as_str().unwrap().to_owned();
        rig.app.reject_link("admin", &rig.instance, &id).await.unwrap();
        needs(&rig, "link").await;
        let proposed = rig.app.list_links(&rig.instance, Some("proposed"), None, 0, 10).await.unwrap().items;
        assert!(proposed.is_empty(), "{proposed:?}");
        // Somebody who never came to be is gone at once, and their account is not touched.
        rig.delete("User", &second).await;
        rig.quiet().await;
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 2);
        // Who was linked by hand is managed: their leaving removes the account.
        rig.delete("User", &first).await;
        rig.quiet().await;
        assert_eq!(emails(&rig.state().await, "accounts"), [two]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_ends_what_was_asked_before_it_as_overwritten() {
    for db in databases() {
        let rig = rig(&db, "github", json!({"answer_within_ms": 0})).await;
        let refuse = json!([{"match": {"method": "POST", "path": "invitations$"}, "times": 9, "do": {"status": 422, "body": {"message": "no"}}}]);
        faults(&rig, refuse).await;
        let ada = rig.user("ada@example.com").await;
        rig.post("Group", json!({"displayName": "Eng", "members": [{"value": ada}]})).await.unwrap();
        needs(&rig, "refused").await;
        rig.delete("User", &ada).await;
        rig.quiet().await;
        let ended =
            |item: &Value| (item["verb"].as_str().unwrap().to_owned(), item["state"].as_str().unwrap().to_owned());
        let of_ada: Vec<_> =
            operations(&rig).await.iter().filter(|item| item["resource"]["kind"] == "User").map(ended).collect();
        let want = [("delete", "applied"), ("create", "superseded")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(of_ada, want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_somebody_deleted_at_the_target_is_made_anew_when_it_is_asked_for() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        let ids = people(&rig, &["ada@example.com", "eve@example.com"]).await;
        let body = json!({"displayName": "Eng", "members": [{"value": ids[0]}]});
        let group = rig.post("Group", body).await.unwrap().stored.id;
        rig.quiet().await;
        rig.as_somebody_else("DELETE", "/orgs/acme/teams/eng").await;
        assert_eq!(rig.state().await["groups"], json!([]));
        rig.patch("Group", &group, add(&[&ids[1]])).await.unwrap();
        // What it does not show a moment after it was made is not believed to be gone.
        rig.wait("the target to be believed", async || rig.state().await["groups"] != json!([])).await;
        rig.quiet().await;
        let state = rig.state().await;
        assert_eq!(state["groups"].as_array().unwrap().len(), 1, "{state}");
        assert_eq!(state["groups"][0]["members"].as_array().unwrap().len(), 2, "{state}");
    }
}

/// The words between quotes that follow a piece of source, as far as they are written out.
fn words_after<'s>(source: &'s str, piece: &str) -> Vec<&'s str> {
    source.split(piece).skip(1).filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next()).collect()
}

#[test]
fn every_word_that_work_may_stand_at_is_in_the_table_and_on_its_page() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = std::collections::BTreeSet::new();
    let mut folders = vec![
        root.join("src/driver"),
        root.join("engine/src"),
        root.join("../connectors/src"),
        root.join("src/reconcile"),
    ];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                let source = std::fs::read_to_string(&path).unwrap();
                for piece in ["Need::new(", "code: ", "need = ", "need("] {
                    let words = words_after(&source, piece).into_iter().map(|word| word.trim_matches('\'').to_owned());
                    found.extend(words.map(|word| (word, path.display().to_string())));
                }
            }
        }
    }
    assert!(found.len() > 15, "the words were not found: {found:?}");
    for (word, place) in &found {
        assert!(needs::find(word).is_some(), "{word} of {place} is not in engine::needs");
    }
    let page = std::fs::read_to_string(root.join("../docs/needs.md")).unwrap();
    for word in needs::ALL {
        let row = format!("| `{}` | {} | {} |", word.code, word.meaning, word.exit);
        assert!(page.contains(&row), "docs/needs.md lacks the row: {row}");
    }
}
