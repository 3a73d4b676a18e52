//! What differs at the target is found, told and repaired as the policy has it; a plan tells what would
//! be sent; a rehearsal sends nothing (DECISIONS 7, 12, 15, 22, 23).

use engine::drift::Class;
use gateway::reconcile::RunKind;
use gateway::service::instances::InstanceChange;
use gateway::service::records::{Browse, OperationFilter};
use gateway::service::types::Mode;
use serde_json::{Value, json};

use crate::rig::{Db, Rig, databases, emails, everywhere, rig};

/// Two people of one group that we made, both at the target.
async fn two_in_a_team(db: &Db, target: &str, policy: Value) -> (Rig, [String; 2], String) {
    let rig = rig(db, target, policy).await;
    let (ada, bob) = (rig.user("ada@example.com").await, rig.user("bob@example.com").await);
    for name in ["ada", "bob"] {
        rig.control("POST", "/_sim/accept", json!({"email": format!("{name}@example.com"), "login": name})).await;
    }
    rig.reconcile().await;
    let group = rig
        .post("Group", json!({"displayName": "Eng", "members": [{"value": ada}, {"value": bob}]}))
        .await
        .unwrap()
        .stored
        .id;
    rig.wait("both in the team", async || members(&rig, 0).await.len() == 2).await;
    rig.quiet().await;
    (rig, [ada, bob], group)
}

async fn members(rig: &Rig, group: usize) -> Vec<String> {
    emails(&rig.state().await["groups"][group], "members")
}

async fn drift(rig: &Rig, class: Option<Class>) -> Vec<Value> {
    rig.app.list_drift(&rig.instance, class, 0, 500).await.unwrap().items
}

/// (class, action, who) of what differs, without what nobody pushed.
async fn told(rig: &Rig) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let shown = |one: &Value| {
        let who = if one["member"].is_null() { &one["resource"]["name"] } else { &one["member"]["userName"] };
        (text(&one["class"]), text(&one["action"]), text(who))
    };
    let all = drift(rig, None).await;
    all.iter().filter(|one| one["class"] != "unmanaged").map(shown).collect()
}

fn row(class: &str, action: &str, who: &str) -> (String, String, String) {
    (class.to_owned(), action.to_owned(), who.to_owned())
}

async fn take_out(rig: &Rig, target: &str, name: &str) {
    let what = match target {
        "github" => json!({"leave_team": {"login": name, "team": "eng"}}),
        _ => json!({"leave_team": {"email": format!("{name}@example.com"), "team": "Eng"}}),
    };
    rig.control("POST", "/_sim/set", what).await;
}

/// The operations of repairs, newest first.
async fn repairs(rig: &Rig) -> Vec<Value> {
    let all = rig.app.list_operations(&rig.instance, &OperationFilter::default(), i64::MAX, 200).await.unwrap();
    all.items.into_iter().filter(|one| one["verb"] == "repair").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resync_of_what_is_so_already_writes_nothing_and_a_member_taken_out_by_hand_is_told() {
    for (db, target) in everywhere() {
        let (rig, [ada, _], group) = two_in_a_team(&db, target, json!({})).await;
        assert_eq!(told(&rig).await, vec![], "{target}");
        let before = rig.writes().await;
        rig.patch("User", &ada, json!([{"op": "replace", "path": "active", "value": true}])).await.unwrap();
        rig.reconcile().await;
        rig.quiet().await;
        assert_eq!(rig.writes().await, before, "{target}: nothing differs, so nothing is written");

        take_out(&rig, target, "ada").await;
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![row("missing", "report", "ada@example.com")], "{target}");
        rig.reconcile().await;
        rig.quiet().await;
        assert_eq!(rig.writes().await, before, "{target}: giving access back is not for us to decide");

        let one = drift(&rig, Some(Class::Missing)).await.remove(0);
        let id = one["id"].as_str().unwrap().to_owned();
        assert_eq!(one["repair_gives"], "more", "{target}");
        rig.app.repair_drift("admin", &rig.instance, &id).await.map_err(|error| format!("{error:?}")).unwrap();
        rig.wait("her return", async || members(&rig, 0).await.len() == 2).await;
        rig.quiet().await;
        let repaired = repairs(&rig).await;
        assert_eq!((&repaired[0]["actor"], &repaired[0]["state"]), (&json!("admin"), &json!("applied")), "{target}");
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![], "{target}: what is mended is told no more");

        // Pushing again what is wanted is how an admin of the identity provider asks for the same.
        take_out(&rig, target, "ada").await;
        rig.patch("Group", &group, json!([{"op": "add", "path": "members", "value": [{"value": ada}]}])).await.unwrap();
        rig.reconcile().await;
        rig.wait("her second return", async || members(&rig, 0).await.len() == 2).await;
        rig.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_put_by_hand_into_a_group_that_we_made_is_taken_out_and_stays_in_an_adopted_one() {
    for db in databases() {
        let (rig, _, _) = two_in_a_team(&db, "github", json!({"adopt_groups": "by_name"})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 1, "groups": 1})).await;
        rig.reconcile().await;
        let stranger =
            json!({"members": [{"login": "mallory", "email": "mallory@example.com", "teams": ["eng", "load0000"]}]});
        let groups = rig.app.list_groups(&rig.instance, 0, 10).await.unwrap().items;
        let id = groups.iter().find(|one| one["displayName"] == "load0000").unwrap()["id"].as_str().unwrap().to_owned();
        rig.patch("Group", &id, json!([{"op": "replace", "path": "externalId", "value": "x"}])).await.unwrap();
        rig.quiet().await;

        rig.control("POST", "/_sim/set", stranger).await;
        rig.reconcile().await;
        rig.wait("one too many to be taken out", async || {
            let state = rig.state().await;
            let of = |name: &str| {
                let groups = state["groups"].as_array().unwrap();
                groups.iter().find(|one| one["name"] == name).unwrap()["members"].as_array().unwrap().len()
            };
            of("Eng") == 2 && of("load0000") == 1
        })
        .await;
        rig.quiet().await;
        let found = told(&rig).await;
        assert!(found.contains(&row("extra", "repair", "mallory@example.com")), "{found:?}");
        assert!(found.contains(&row("extra", "report", "mallory@example.com")), "{found:?}");
        let repaired = repairs(&rig).await;
        assert_eq!((&repaired[0]["actor"], &repaired[0]["state"]), (&json!("reconcile"), &json!("applied")));
        let why = rig.app.why(&rig.instance, "Eng").await.unwrap().unwrap();
        let told_why = why["operations"].as_array().unwrap().iter().any(|one| {
            one["verb"] == "repair" && one["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())
        });
        assert!(told_why, "{why}");
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![row("extra", "report", "mallory@example.com")], "the adopted group's guest");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaver_who_is_back_by_hand_loses_access_again_unless_nothing_is_to_be_repaired() {
    for (policy, back) in [(json!({}), false), (json!({"repair": "none"}), true)] {
        for db in databases() {
            let rig = rig(&db, "github", policy.clone()).await;
            rig.control("POST", "/_sim/load", json!({"accounts": 2, "groups": 0})).await;
            rig.reconcile().await;
            let users = rig.app.list_users(&rig.instance, 0, 10).await.unwrap().items;
            let id = users[0]["id"].as_str().unwrap().to_owned();
            let name = users[0]["userName"].as_str().unwrap().to_owned();
            rig.patch("User", &id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
            rig.patch("User", &id, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
            rig.wait("the leaver's removal", async || rig.state().await["accounts"].as_array().unwrap().len() == 1)
                .await;
            rig.quiet().await;
            let login = name.split('@').next().unwrap();
            rig.control("POST", "/_sim/set", json!({"members": [{"login": login, "email": name}]})).await;
            rig.reconcile().await;
            let action = if back { "report" } else { "repair" };
            assert_eq!(told(&rig).await, vec![row("changed", action, &name)]);
            rig.quiet().await;
            let left = rig.state().await["accounts"].as_array().unwrap().len();
            assert_eq!(left, if back { 2 } else { 1 });
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_were_renamed_or_deleted_by_hand_are_told_and_made_anew_on_request() {
    for db in databases() {
        let (rig, _, _) = two_in_a_team(&db, "github", json!({})).await;
        rig.control("POST", "/_sim/set", json!({"rename_team": {"from": "eng", "to": "Engineers"}})).await;
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![row("renamed", "report", "Eng")]);
        let one = drift(&rig, None).await.into_iter().find(|one| one["class"] == "renamed").unwrap();
        rig.app.dismiss_drift("admin", &rig.instance, one["id"].as_str().unwrap(), "theirs").await.unwrap();
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![row("renamed", "dismissed", "Eng")], "a decision holds");

        rig.control("POST", "/_sim/set", json!({"delete_team": "engineers"})).await;
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![row("vanished", "dismissed", "Eng")]);
        rig.quiet().await;
        assert_eq!(rig.state().await["groups"], json!([]), "nobody gets access by absence alone");
        let one = drift(&rig, Some(Class::Vanished)).await.remove(0);
        rig.app.repair_drift("admin", &rig.instance, one["id"].as_str().unwrap()).await.unwrap();
        rig.wait("the group and its members", async || {
            rig.state().await["groups"].as_array().unwrap().len() == 1 && members(&rig, 0).await.len() == 2
        })
        .await;
        rig.quiet().await;
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_changed_is_followed_told_and_accepted() {
    for db in databases() {
        let (rig, _, _) = two_in_a_team(&db, "github", json!({})).await;
        rig.control("POST", "/_sim/set", json!({"rename": {"from": "ada", "to": "countess"}})).await;
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![row("renamed", "report", "ada@example.com")]);
        let one = drift(&rig, Some(Class::Renamed)).await.remove(0);
        assert_eq!((&one["detail"]["before"], &one["detail"]["now"]), (&json!("ada"), &json!("countess")));
        rig.app.dismiss_drift("admin", &rig.instance, one["id"].as_str().unwrap(), "").await.unwrap();
        rig.reconcile().await;
        assert_eq!(told(&rig).await, vec![]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_gone_is_told_and_comes_back_on_request_or_by_policy() {
    for (policy, itself) in [(json!({}), false), (json!({"repair": "all"}), true)] {
        for db in databases() {
            let (rig, _, _) = two_in_a_team(&db, "github", policy.clone()).await;
            rig.control("POST", "/_sim/set", json!({"leave": "ada"})).await;
            rig.reconcile().await;
            let action = if itself { "repair" } else { "report" };
            assert_eq!(told(&rig).await, vec![row("vanished", action, "ada@example.com")]);
            if !itself {
                rig.quiet().await;
                assert_eq!(emails(&rig.state().await, "invitations"), Vec::<String>::new());
                // Who vanished read as in sync, with nothing left to do.
                let users = rig.app.list_users(&rig.instance, 0, 100).await.unwrap().items;
                let ada = users.iter().find(|user| user["userName"] == "ada@example.com").unwrap();
                assert_eq!((&ada["sync"], &ada["drift"]), (&json!("drifted"), &json!("vanished")), "{ada}");
                let why = rig.app.why(&rig.instance, "ada@example.com").await.unwrap().unwrap();
                let answer = why["answer"].as_str().unwrap();
                assert!(answer.contains("which nobody here asked for") && answer.contains("--repair"), "{answer}");
                let listed = async |state: &str| {
                    let which = Browse { kind: "User", state: Some(state.to_owned()), ..Browse::default() };
                    let page = rig.app.browse(Some(&rig.instance), &which, i64::MAX, 100).await.unwrap();
                    page.items.iter().any(|user| user["userName"] == "ada@example.com")
                };
                assert!(listed("drifted").await && !listed("settled").await);
                let needs = rig.app.attention().await.unwrap();
                assert!(needs.iter().any(|item| item["kind"] == "drift" && item["count"] == 1), "{needs:?}");
                let one = drift(&rig, Some(Class::Vanished)).await.remove(0);
                rig.app.repair_drift("admin", &rig.instance, one["id"].as_str().unwrap()).await.unwrap();
            }
            rig.wait("an invitation", async || emails(&rig.state().await, "invitations") == ["ada@example.com"]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_fault_ended_goes_on_where_it_was() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 350, "groups": 3})).await;
        // The third page of accounts fails.
        rig.control(
            "POST",
            "/_sim/faults",
            json!([{"match": {"path": "/members\\?.*[?&]page=3"}, "do": {"status": 503}}]),
        )
        .await;
        let first = rig.app.start_run(&rig.instance, RunKind::Reconcile, "test").await.unwrap().unwrap();
        let ended = async |id: &str| loop {
            let run = rig.app.run(&rig.instance, id).await.unwrap().unwrap();
            if run["state"] != "running" {
                return run;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
        let run = ended(&first).await;
        assert_eq!((&run["state"], &run["phase"]), (&json!("failed"), &json!("accounts")), "{run}");
        assert_eq!(run["counts"]["accounts"], 200, "{run}");
        rig.control("DELETE", "/_sim/faults", Value::Null).await;
        let listed = async || {
            let calls = rig.calls().await;
            let lists = |call: &&Value| call["path"].as_str().is_some_and(|path| path.ends_with("/members"));
            calls.as_array().unwrap().iter().filter(lists).count()
        };
        let before = listed().await;
        let again = rig.app.start_run(&rig.instance, RunKind::Reconcile, "test").await.unwrap().unwrap();
        assert_eq!(again, first, "it goes on");
        let run = ended(&again).await;
        assert_eq!((&run["state"], &run["complete"]), (&json!("done"), &json!(true)), "{run}");
        // The credential's own account is listed, too.
        assert_eq!((&run["counts"]["accounts"], &run["counts"]["imported"]), (&json!(351), &json!(350)), "{run}");
        assert!(listed().await - before <= 3, "the pages that were read are not read again");
        let runs = rig.app.list_runs(&rig.instance, i64::MAX, 10).await.unwrap().items;
        assert_eq!(runs[0]["id"].as_str(), Some(first.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_sends_nothing_and_ends_with_the_plan_that_was_seen() {
    for (db, target) in everywhere() {
        let mut rig = rig(&db, target, json!({})).await;
        rig.set_mode(Mode::Rehearse).await;
        let before = rig.writes().await;
        let mut people = Vec::new();
        for n in 0..5 {
            people.push(rig.user(&format!("p{n}@example.com")).await);
        }
        let named: Vec<Value> = people.iter().map(|id| json!({ "value": id })).collect();
        rig.post("Group", json!({"displayName": "Eng", "members": named})).await.unwrap();
        rig.reconcile().await;
        assert_eq!(rig.writes().await, before, "{target}: a rehearsal writes nothing");

        let plan = rig.app.plan(&rig.instance, 0, 100).await.unwrap();
        let steps = &plan.totals["steps"];
        assert_eq!(plan.totals["resources"], 6, "{target}: {}", plan.totals);
        assert_eq!((&steps["invite"], &steps["create_group"]), (&json!(5), &json!(1)), "{target}: {steps}");
        assert_eq!(steps["waiting_members"], 5, "{target}: they have to accept first: {steps}");
        assert_eq!(rig.app.plan(&rig.instance, 0, 2).await.unwrap().digest, plan.digest, "{target}: of the whole");
        let page = rig.app.plan(&rig.instance, 0, 2).await.unwrap();
        assert_eq!((page.steps.items.len(), page.totals == plan.totals), (2, true), "{target}");
        let rest = rig.app.plan(&rig.instance, page.steps.next.unwrap(), 100).await.unwrap();
        assert_eq!(rest.steps.items.len(), 4, "{target}");

        let enable = |digest: Option<&str>| InstanceChange {
            mode: Some(Mode::Enabled),
            plan_digest: digest.map(str::to_owned),
            ..InstanceChange::default()
        };
        let refused = rig.app.update_instance("admin", &rig.instance, enable(None)).await;
        assert!(refused.is_err_and(|error| error.to_string().contains("plan_digest")), "{target}");
        rig.user("late@example.com").await;
        let stale = rig.app.update_instance("admin", &rig.instance, enable(Some(&plan.digest))).await;
        assert!(stale.is_err_and(|error| error.to_string().contains("again")), "{target}");
        // Going round by another mode is no way out.
        rig.set_mode(Mode::Paused).await;
        let round = rig.app.update_instance("admin", &rig.instance, enable(None)).await;
        assert!(round.is_err(), "{target}");

        let plan = rig.app.plan(&rig.instance, 0, 100).await.unwrap();
        let calls = rig.calls().await.as_array().unwrap().len();
        rig.instance = rig
            .app
            .update_instance("admin", &rig.instance, enable(Some(&plan.digest)))
            .await
            .map_err(|error| format!("{error:?}"))
            .unwrap();
        rig.wait("the plan to be carried out", async || {
            let state = rig.state().await;
            emails(&state, "invitations").len() == 6 && state["groups"].as_array().unwrap().len() == 1
        })
        .await;
        rig.quiet().await;
        let made = rig.calls().await.as_array().unwrap().len() - calls;
        let predicted = usize::try_from(plan.forecast["calls"].as_u64().unwrap()).unwrap();
        assert!(
            predicted <= made * 2 && made <= predicted * 2,
            "{target}: {predicted} calls were predicted and {made} made: {}; {}",
            plan.totals["steps"],
            rig.calls().await
        );
        assert_eq!(rig.app.plan(&rig.instance, 0, 100).await.unwrap().totals["resources"], 0, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_what_stands_in_its_way() {
    for db in databases() {
        let mut rig = rig(&db, "github", json!({"protected": ["load0001@example.com"]})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 3, "groups": 1})).await;
        rig.reconcile().await;
        rig.set_mode(Mode::Rehearse).await;
        let users = rig.app.list_users(&rig.instance, 0, 10).await.unwrap().items;
        let gone = users.iter().find(|one| one["userName"] == "load0000@example.com").unwrap();
        let id = gone["id"].as_str().unwrap();
        rig.patch("User", id, json!([{"op": "replace", "path": "title", "value": "x"}])).await.unwrap();
        rig.patch("User", id, json!([{"op": "replace", "path": "active", "value": false}])).await.unwrap();
        let taken = rig.post("Group", json!({"displayName": "LOAD0000"})).await;
        assert!(taken.is_ok(), "{taken:?}");
        let plan = rig.app.plan(&rig.instance, 0, 100).await.unwrap();
        assert_eq!(plan.totals["steps"], json!({"remove": 1}), "{}", plan.totals);
        let warned = plan.warnings["items"].as_array().unwrap();
        assert_eq!(warned.len(), 1, "{warned:?}");
        assert_eq!(warned[0]["code"], "name_taken", "{warned:?}");
        assert_eq!(rig.state().await["accounts"].as_array().unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_over_many_accounts_shows_how_far_it_is_and_counts_each_once() {
    for db in databases() {
        let rig = rig(&db, "github", json!({})).await;
        rig.control("POST", "/_sim/load", json!({"accounts": 1_000, "groups": 20})).await;
        let timed = async || {
            let id = rig.app.start_run(&rig.instance, RunKind::Reconcile, "test").await.unwrap().unwrap();
            let mut grew = false;
            loop {
                let run = rig.app.run(&rig.instance, &id).await.unwrap().unwrap();
                let accounts = run["counts"]["accounts"].as_u64().unwrap_or(0);
                grew |= accounts > 0 && accounts < 1_001;
                if run["state"] != "running" {
                    assert_eq!((&run["state"], &run["counts"]["accounts"]), (&json!("done"), &json!(1_001)), "{run}");
                    return (grew, run);
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let (grew, run) = timed().await;
        assert!(grew, "counts grow while it runs");
        assert_eq!(run["counts"]["imported"], 1_000);
        let (_, run) = timed().await;
        assert_eq!((&run["counts"]["imported"], &run["counts"]["vanished"]), (&json!(0), &json!(0)), "{run}");
        assert_eq!(run["counts"]["drift"], 1_020, "{run}");
    }
}
