//! What a page of a list shows, against a statement that reads everything; and that pages are found through indexes. On
//! both databases.

use std::sync::Arc;

use sea_orm::{ConnectionTrait, Value as SqlValue};
use serde_json::json;

use super::super::Browse;
use crate::service::App;
use crate::service::fixture::{Statements, apps, instance};
use crate::service::records::OperationFilter;
use crate::store::{Priority, Rows, Sql};

/// Instances: one with most people, one with few, one without anybody, and one that was deleted.
const INSTANCES: [(i64, &str); 4] = [(1, "NULL"), (2, "NULL"), (3, "NULL"), (4, "5")];
const N: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n) s";

/// Twenty thousand people, four hundred groups, and whatever a filter may ask for, of some of them each.
fn many() -> Vec<String> {
    let mut all: Vec<String> = INSTANCES
        .iter()
        .map(|(seq, deleted)| {
            format!(
                "INSERT INTO instance (seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at, deleted_at) \
                 VALUES ({seq}, 'in_{seq}', 'Acme', 'buildkite', 'paused', '{{}}', '{{}}', 1, 'k', 0, {deleted})"
            )
        })
        .collect();
    let of = "CASE WHEN i % 101 = 1 THEN 2 WHEN i % 103 = 2 THEN 4 ELSE 1 END";
    for (kind, first, less) in [("User", 0, ""), ("Group", 100_000, "WHERE i <= 400")] {
        all.push(format!(
            "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at, deleted_at) \
             SELECT {first} + i, {of}, '{kind}', '{kind}' || i, 'u' || i, CASE WHEN i % 97 = 3 THEN 'odd' ELSE 'u' END || i, CASE WHEN i % 53 = 4 THEN i ELSE 0 END, \
             CASE WHEN i % 61 = 5 THEN 0 ELSE 1 END, '{{}}', CASE WHEN i % 53 = 4 THEN 0 ELSE 1 END, 1, 1, 1, 1, 0, 0, CASE WHEN i % 47 = 6 THEN 5 ELSE NULL END FROM {N} {less}"
        ));
        let and = if less.is_empty() { "WHERE" } else { "WHERE i <= 400 AND" };
        all.push(format!(
            "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, need, hold_seq, tries, since) SELECT {first} + i, {of}, 'k', i % 3, 1, \
             CASE i % 7 WHEN 0 THEN 'todo' WHEN 1 THEN 'waiting' WHEN 2 THEN 'held' ELSE 'needs' END, 0, 'seat', 1, 0, 0 FROM {N} {and} i % 19 < 3"
        ));
        all.push(format!(
            "INSERT INTO waiver (resource_seq, item_seq, rev, why) SELECT {first} + i, CASE WHEN i % 2 = 0 THEN 0 ELSE 1 END, CASE WHEN i % 9 = 0 THEN 2 ELSE 1 END, 'so' FROM {N} {and} i % 31 = 4"
        ));
        for (part, class, some) in [("a", "missing", "i % 3 <> 0"), ("b", "changed", "i % 2 = 0")] {
            all.push(format!(
                "INSERT INTO drift (seq, id, instance_seq, class, resource_seq, item_seq, account_seq, remote, detail, action, access, mendable, first_seen, last_seen, last_run) \
                 SELECT {first} + {} + i, '{kind}{part}' || i, {of}, '{class}', {first} + i, 0, 0, '', '{{}}', CASE WHEN i % 5 = 0 THEN 'dismissed' ELSE 'report' END, 'same', 0, 0, 0, 1 \
                 FROM {N} {and} i % 29 = 5 AND {some}",
                if part == "a" { 0 } else { 50_000 }
            ));
        }
        all.push(format!(
            "INSERT INTO account (seq, instance_seq, kind, remote_id, status, protected, ours, doc, invites) \
             SELECT {first} + i, {of}, '{kind}', 'r' || i, 'active', CASE WHEN i % 43 = 7 THEN 1 ELSE 0 END, 1, '{{}}', 0 FROM {N} {and} i % 37 <> 8"
        ));
        all.push(format!(
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at) SELECT {first} + i, {first} + i, {first} + i, \
             CASE WHEN i % 71 = 9 THEN 'closed' ELSE 'live' END, 'created', 0 FROM {N} {and} i % 37 <> 8"
        ));
    }
    all.insert(
        INSTANCES.len(),
        "INSERT INTO hold (seq, id, instance_seq, state, remind_at, opened_at) VALUES (1, 'h', 1, 'open', 0, 0)"
            .to_owned(),
    );
    for to in [0, 1] {
        all.push(format!(
            "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, held) SELECT 100001 + (i + {to}) % 300, i, 1, 1, 1, \
             CASE WHEN i % 41 = 10 THEN 'parked' WHEN i % 67 = 11 THEN 'todo' ELSE 'settled' END, CASE WHEN i % 41 = 10 THEN 'inactive' ELSE NULL END, \
             CASE WHEN i % 670 = 11 THEN 1 ELSE 0 END FROM {N}"
        ));
    }
    for round in 0..2 {
        all.push(format!(
            "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, request_id, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, superseded_items, \
             at, closed_at, key_name) SELECT {round} * 20000 + i, 'op{round}-' || i, {of}, i, 'key:k', 'rq{round}-' || i, \
             CASE WHEN i % 89 = 1 THEN 'delete' WHEN {round} = 0 THEN 'create' ELSE 'patch' END, 1, '[]', '[]', \
             CASE i % 83 WHEN 1 THEN 'failed' WHEN 2 THEN 'open' WHEN 3 THEN 'superseded' ELSE 'applied' END, 1, 0, 0, 0, 0, {round} * 20000 + i, CASE WHEN i % 83 = 2 THEN NULL ELSE 50000 END, \
             CASE WHEN i % 4001 = 7 THEN 'Rare' WHEN i % 2 = 0 THEN 'Okta' ELSE 'Entra' END FROM {N}"
        ));
    }
    all
}

/// A gateway with many rows on each database, and what keeps it alive.
async fn filled() -> Vec<(Arc<App>, tempfile::TempDir)> {
    let apps = apps().await;
    for (app, _) in &apps {
        app.store.write(Priority::Request, Statements(many())).await.unwrap();
        if app.store.is_shared() {
            app.store.reader().execute_unprepared("ANALYZE").await.unwrap();
        }
    }
    apps
}

async fn seqs(app: &App, text: &str, values: Vec<SqlValue>) -> Vec<i64> {
    let rows = app.store.reader().all(text, values).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    rows.iter().map(|row| row.col("seq").unwrap()).collect()
}

/// The plan of a statement.
async fn explain(app: &App, text: &str, values: Vec<SqlValue>) -> String {
    let shared = app.store.is_shared();
    let (word, place) = if shared { ("EXPLAIN ", 0) } else { ("EXPLAIN QUERY PLAN ", 3) };
    let rows = app.store.reader().all(&format!("{word}{text}"), values).await.unwrap();
    rows.iter().map(|row| row.at::<String>(place).unwrap()).collect::<Vec<_>>().join("\n")
}

fn which() -> Vec<Browse> {
    let mut all = Vec::new();
    for kind in ["User", "Group"] {
        for text in [None, Some("u1"), Some("odd"), Some("u77")] {
            for state in [None].into_iter().chain(Browse::STATES.map(Some)) {
                for active in [None, Some(false), Some(true)] {
                    let (text, state) = (text.map(str::to_owned), state.map(str::to_owned));
                    all.push(Browse { kind, text, state, active });
                }
            }
        }
    }
    all
}

/// The same, by reading everything.
fn plainly(which: &Browse, instance: Option<i64>) -> String {
    let group = which.kind == "Group";
    let mut text = format!(
        "SELECT r.seq FROM resource r JOIN instance i ON i.seq = r.instance_seq LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' \
         LEFT JOIN account a ON a.seq = l.account_seq LEFT JOIN work w ON w.resource_seq = r.seq \
         LEFT JOIN waiver v ON v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev WHERE r.kind = '{}'",
        which.kind
    );
    text.push_str(
        &instance.map_or(" AND i.deleted_at IS NULL".to_owned(), |seq| format!(" AND r.instance_seq = {seq}")),
    );
    if !matches!(which.state.as_deref(), Some("leaving" | "pending" | "held" | "needs")) {
        text.push_str(" AND r.deleted_at IS NULL");
    }
    if let Some(name) = &which.text {
        text.push_str(&format!(" AND r.name_key LIKE '{name}%'"));
    }
    if let Some(active) = which.active {
        text.push_str(&format!(" AND r.active = {}", i32::from(active)));
    }
    let side = if group { "group_seq" } else { "user_seq" };
    let state = match which.state.as_deref() {
        None => "1 = 1".to_owned(),
        Some("leaving") => "w.lane = 0".to_owned(),
        Some("pending") => "w.state IN ('todo','running','waiting')".to_owned(),
        Some("held") if group => {
            "(w.state = 'held' OR r.seq IN (SELECT group_seq FROM member WHERE held = 1 AND state = 'todo'))".to_owned()
        }
        Some("settled") => {
            "w.resource_seq IS NULL AND r.managed = 1 AND v.resource_seq IS NULL \
             AND r.seq NOT IN (SELECT d.resource_seq FROM drift d LEFT JOIN link dl ON dl.resource_seq = d.resource_seq AND dl.state = 'live' \
             LEFT JOIN account da ON da.seq = dl.account_seq AND da.status <> 'gone' WHERE d.item_seq = 0 AND d.action = 'report' AND d.class <> 'unmanaged' \
             AND ((d.class IN ('missing','vanished') AND da.seq IS NULL) OR (d.class NOT IN ('missing','vanished') AND da.seq IS NOT NULL)))"
                .to_owned()
        }
        Some("parked") => format!("r.seq IN (SELECT {side} FROM member WHERE state = 'parked')"),
        Some("drifted") => {
            "r.seq IN (SELECT resource_seq FROM drift WHERE action <> 'dismissed' AND class <> 'unmanaged')".to_owned()
        }
        Some("waived") => "v.resource_seq IS NOT NULL".to_owned(),
        Some("unlinked") => "l.resource_seq IS NULL AND r.managed = 1".to_owned(),
        Some("unmanaged") => "r.managed = 0".to_owned(),
        Some("protected") => "a.protected = 1".to_owned(),
        Some(state) => format!("w.state = '{state}'"),
    };
    format!("{text} AND {state} ORDER BY r.seq DESC")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_people_is_what_reading_everything_finds_and_is_found_by_an_index() {
    for (app, _folder) in filled().await {
        let mut found = 0;
        for which in which() {
            for seq in [Some(1), Some(2), Some(3), None] {
                let of = seq.map(instance);
                let whole = seqs(&app, &plainly(&which, seq), vals![]).await;
                // From the newest, and from the middle.
                for before in [i64::MAX, whole.get(whole.len() / 2).copied().unwrap_or(9_000)] {
                    let (text, values) = app.pick(of.as_deref(), &which, before, 51).await.unwrap();
                    let page = seqs(&app, &text, values.clone()).await;
                    let expected: Vec<i64> = whole.iter().copied().filter(|one| *one < before).take(51).collect();
                    assert_eq!(page, expected, "{which:?} of {seq:?} before {before}\n{text}");
                    found += page.len();
                    if before < i64::MAX || app.store.is_shared() {
                        continue;
                    }
                    let plan = explain(&app, &text, values).await;
                    for line in plan.lines() {
                        let whole = ["SCAN r", "SCAN l", "SCAN a"].iter().any(|word| line.trim().starts_with(word));
                        assert!(
                            !whole || line.contains("USING"),
                            "{which:?} of {seq:?} reads a whole table:\n{plan}\n{text}"
                        );
                    }
                    let held = which.kind == "Group" && which.state.as_deref() == Some("held");
                    let few =
                        held || which.text.is_some() || matches!(which.state.as_deref(), Some("drifted" | "protected"));
                    assert!(few || !plan.contains("TEMP B-TREE"), "{which:?} of {seq:?} sorts:\n{plan}\n{text}");
                }
            }
        }
        assert!(found > 5_000, "{found}");
    }
}

/// Those of a list whose work waits or needs somebody, by reading everything; newest first.
async fn stuck(app: &App, which: &Browse, instance: Option<i64>) -> Vec<i64> {
    let list = plainly(which, instance);
    let text = format!(
        "SELECT resource_seq AS seq FROM work WHERE state IN ('waiting','needs') AND resource_seq IN ({list}) ORDER BY resource_seq DESC"
    );
    seqs(app, &text, vals![]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_list_shows_is_tried_again_up_to_a_thousand_and_nothing_else() {
    for (app, _folder) in filled().await {
        let retried = |which: &Browse| which.state.as_deref().is_some_and(|state| Browse::RETRIED.contains(&state));
        for which in which().iter().filter(|which| retried(which)) {
            for seq in [Some(1), Some(2), Some(3), None] {
                let of = seq.map(instance);
                let all = stuck(&app, which, seq).await.len();
                let told = app.retryable(of.as_deref(), which).await.unwrap();
                assert_eq!(told, (all.min(1_000), all > 1_000), "{which:?} of {seq:?}");
            }
        }
        let held = "SELECT resource_seq AS seq FROM work WHERE state = 'held' ORDER BY resource_seq";
        let kept = seqs(&app, held, vals![]).await;
        let which = Browse { kind: "User", text: None, state: Some("needs".to_owned()), active: None };
        let before = stuck(&app, &which, Some(1)).await;
        assert!((1_001..2_000).contains(&before.len()), "{}", before.len());
        let others = stuck(&app, &which, Some(2)).await;
        let done = app.retry_all("admin", Some(&instance(1)), &which).await.unwrap();
        assert_eq!(done, json!({"retried": 1_000, "more": true}));
        let left = stuck(&app, &which, Some(1)).await;
        assert_eq!(left, before[1_000..], "the newest go first");
        let done = app.retry_all("admin", Some(&instance(1)), &which).await.unwrap();
        assert_eq!(done, json!({"retried": left.len(), "more": false}));
        assert_eq!(stuck(&app, &which, Some(2)).await, others, "another instance is left alone");
        assert_eq!(seqs(&app, held, vals![]).await, kept, "what is held stays held");
        let wrong = Browse { state: Some("held".to_owned()), ..which };
        assert!(app.retry_all("admin", Some(&instance(1)), &wrong).await.is_err());
    }
}

fn filters() -> Vec<(OperationFilter, &'static str, &'static str, &'static str)> {
    let none = OperationFilter::default;
    let word = |text: &str| Some(text.to_owned());
    let log = ("operation_log", "operation_log");
    let mut all = vec![
        (none(), "1 = 1", "", ""),
        (OperationFilter { actor: word("Okta"), ..none() }, "key_name = 'Okta'", "operation_key_name", ""),
        (OperationFilter { actor: word("Rare"), ..none() }, "key_name = 'Rare'", "operation_key_name", ""),
        (OperationFilter { actor: word("nobody"), ..none() }, "1 = 0", "operation_actor", "operation_actor"),
        (
            OperationFilter { actor: word("nobody"), verb: word("create"), ..none() },
            "1 = 0",
            "operation_actor",
            "operation_actor",
        ),
        (
            OperationFilter { actor: word("k"), state: word("applied"), ..none() },
            "state = 'applied'",
            "operation_actor",
            "",
        ),
        (OperationFilter { verb: word("delete"), ..none() }, "verb = 'delete'", log.0, log.1),
        (OperationFilter { verb: word("adopt"), ..none() }, "verb = 'adopt'", log.0, log.1),
        (OperationFilter { since: Some(39_990), ..none() }, "at >= 39990", log.0, log.1),
        (OperationFilter { until: Some(50), ..none() }, "at < 50", log.0, log.1),
        (
            OperationFilter {
                verb: word("delete"),
                since: Some(30_000),
                state: word("applied"),
                actor: word("Okta"),
                ..none()
            },
            "verb = 'delete' AND at >= 30000 AND state = 'applied' AND key_name = 'Okta'",
            log.0,
            log.1,
        ),
        (
            OperationFilter { verb: word("create"), state: word("failed"), ..none() },
            "verb = 'create' AND state = 'failed'",
            "operation_",
            "operation_",
        ),
        (OperationFilter { text: word("op1-77"), ..none() }, "id = 'op1-77'", "operation_request", "operation_request"),
        (
            OperationFilter { text: word("rq0-5"), ..none() },
            "request_id = 'rq0-5'",
            "operation_request",
            "operation_request",
        ),
        (
            OperationFilter { text: word("u1999"), ..none() },
            "resource_seq IN (SELECT seq FROM resource WHERE kind = 'User' AND name_key LIKE 'u1999%')",
            "operation_request",
            "operation_request",
        ),
    ];
    for (state, condition) in [
        ("open", "state = 'open'"),
        ("failed", "state = 'failed'"),
        ("superseded", "state = 'superseded'"),
        ("withdrawn", "state = 'withdrawn'"),
    ] {
        let postgres = if state == "failed" || state == "open" { "operation_" } else { "operation_unapplied" };
        let sqlite = if state == "failed" { "operation_" } else { "operation_unapplied" };
        all.push((OperationFilter { state: word(state), ..none() }, condition, sqlite, postgres));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_log_is_what_reading_everything_finds_and_is_found_by_an_index() {
    for (app, _folder) in filled().await {
        let shared = app.store.is_shared();
        for (filter, condition, sqlite, postgres) in filters() {
            for seq in [Some(1), Some(2), Some(3), None] {
                let of = seq.map(instance);
                let mine = seq.map_or("instance_seq IN (1,2,3)".to_owned(), |seq| format!("instance_seq = {seq}"));
                let whole = format!("SELECT seq FROM operation WHERE {mine} AND {condition} ORDER BY seq DESC");
                let whole = seqs(&app, &whole, vals![]).await;
                for before in [i64::MAX, whole.get(whole.len() / 2).copied().unwrap_or(9_000)] {
                    let picked = app.pick_operations(of.as_deref(), &filter, before, 51).await.unwrap();
                    let (text, values) = picked.unwrap();
                    let page = seqs(&app, &text, values.clone()).await;
                    let expected: Vec<i64> = whole.iter().copied().filter(|one| *one < before).take(51).collect();
                    assert_eq!(page, expected, "{filter:?} of {seq:?} before {before}\n{text}");
                    let plan = explain(&app, &text, values).await;
                    let index = if shared { postgres } else { sqlite };
                    // PostgreSQL knows how many rows fit, and may read a table this small where most do, or where it has
                    // but an index to read whole.
                    if shared && (seq != Some(1) || matches!(index, "" | "operation_log")) {
                        continue;
                    }
                    assert!(plan.contains(index), "{filter:?} of {seq:?} does not use {index}:\n{plan}\n{text}");
                    let whole = if shared {
                        plan.contains("Seq Scan on operation")
                    } else {
                        plan.contains("SCAN o") || plan.contains("SCAN n")
                    };
                    assert!(!whole, "{filter:?} of {seq:?} reads the whole table:\n{plan}\n{text}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_who_is_settled_is_that_of_those_of_whom_it_is_said() {
    for (app, _folder) in filled().await {
        for kind in ["User", "Group"] {
            let all = app.browse(None, &Browse { kind, ..Browse::default() }, i64::MAX, 50_000).await.unwrap();
            let settled = Browse { kind, state: Some("settled".to_owned()), ..Browse::default() };
            let listed = app.browse(None, &settled, i64::MAX, 50_000).await.unwrap();
            let ids = |items: Vec<&serde_json::Value>| -> Vec<String> {
                items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
            };
            let said = ids(all.items.iter().filter(|item| item["sync"] == "settled").collect());
            assert_eq!(ids(listed.items.iter().collect()), said);
            // Who was missing and has an account again is among them; who differs is not.
            let drift = "SELECT DISTINCT r.seq, r.id FROM drift d JOIN resource r ON r.seq = d.resource_seq WHERE d.action = 'report' AND r.kind = $1";
            let drift = app.store.reader().all(drift, vals![kind]).await.unwrap();
            let drift: Vec<String> = drift.iter().map(|row| row.col("id").unwrap()).collect();
            let (stale, real): (Vec<&String>, Vec<&String>) = drift.iter().partition(|id| said.contains(*id));
            assert!(!stale.is_empty() && !real.is_empty(), "{stale:?} {real:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_page_of_one_asks_is_found_by_an_index() {
    for (app, _folder) in filled().await {
        let shared = app.store.is_shared();
        let one = instance(1);
        // By id, by name, and by the name of somebody who was deleted.
        for (word, plainly) in [
            ("User77", "id = 'User77'"),
            ("u77", "name_key = 'u77'"),
            ("odd100", "name_key = 'odd100'"),
            ("u53", "name_key = 'u53' AND deleted_at IS NOT NULL"),
        ] {
            let plainly = format!(
                "SELECT seq FROM resource WHERE instance_seq = 1 AND kind IN ('User','Group') AND {plainly} ORDER BY seq DESC"
            );
            let whole = seqs(&app, &plainly, vals![]).await;
            assert!(!whole.is_empty(), "{word}");
            assert_eq!(app.find_resources(&one, word).await.unwrap(), whole, "{word}");
            let living = format!(
                "SELECT seq FROM ({plainly}) s WHERE seq < 100000 AND seq IN (SELECT seq FROM resource WHERE deleted_at IS NULL)"
            );
            assert_eq!(app.people_called(&one, word).await.unwrap(), seqs(&app, &living, vals![]).await, "{word}");
        }
        for text in [super::super::CALLED, super::super::PEOPLE_CALLED] {
            let plan = explain(&app, text, vals![1_i64, "u77", "u77"]).await;
            assert!(plan.contains("resource_name"), "{plan}");
            assert!(!plan.contains("resource_external") && !plan.contains("Seq Scan on resource"), "{plan}");
        }
        let group: String = app
            .store
            .reader()
            .one("SELECT id FROM resource WHERE seq = (SELECT MIN(m.group_seq) FROM member m JOIN resource r ON r.seq = m.group_seq WHERE m.state = 'todo' AND r.instance_seq = 1)", vals![])
            .await
            .unwrap()
            .unwrap()
            .at(0)
            .unwrap();
        for state in ["settled", "todo", "parked", "refused"] {
            let (text, values) = app.members_so(&one, &group, (Some(state), None), 0, 500).await.unwrap();
            let plainly = format!(
                "SELECT user_seq AS seq FROM member WHERE group_seq = (SELECT seq FROM resource WHERE id = '{group}') AND state = '{state}' ORDER BY user_seq"
            );
            assert_eq!(seqs(&app, &text, values.clone()).await, seqs(&app, &plainly, vals![]).await, "{state}");
            let plan = explain(&app, &text, values).await;
            let index = match state {
                "todo" => "member_todo",
                "parked" | "refused" => "member_stuck",
                _ => "",
            };
            assert!(shared || plan.contains(index), "{state}:\n{plan}");
        }
        // Few of that name, who are looked for among the names; and many. Members are of the group's instance, but not here.
        for (name, of) in [("u199", "AND u.instance_seq = 1"), ("u1", "")] {
            let (text, values) = app.members_so(&one, &group, (None, Some(name)), 0, 500).await.unwrap();
            let plainly = format!(
                "SELECT m.user_seq AS seq FROM member m JOIN resource u ON u.seq = m.user_seq WHERE m.group_seq = (SELECT seq FROM resource WHERE id = '{group}') AND u.name_key LIKE '{name}%' {of} ORDER BY m.user_seq"
            );
            assert_eq!(seqs(&app, &text, values.clone()).await, seqs(&app, &plainly, vals![]).await, "{name}");
            let plan = explain(&app, &text, values).await;
            assert!(shared || !plan.contains("TEMP B-TREE"), "{name}: {plan}");
            assert!(shared || of.is_empty() || plan.contains("(group_seq=? AND user_seq=?)"), "{name}: {plan}");
        }
        let counted = super::super::story::COUNTED;
        let plainly = "SELECT SUM(CASE WHEN want = 1 THEN 1 ELSE 0 END) AS wanted, SUM(CASE WHEN have = 1 THEN 1 ELSE 0 END) AS present FROM member WHERE group_seq = $1";
        app.store
            .write(
                Priority::Request,
                Statements(vec![
                    "UPDATE member SET have = CASE WHEN user_seq % 3 = 0 THEN 0 WHEN user_seq % 3 = 1 THEN 2 ELSE 1 END WHERE user_seq % 4 = 0".to_owned(),
                    "UPDATE member SET have = NULL, want = 0 WHERE user_seq % 9 = 2".to_owned(),
                ]),
            )
            .await
            .unwrap();
        for seq in [100_001_i64, 100_150, 100_399] {
            let both = |row: sea_orm::QueryResult| -> (i64, i64) {
                (row.col("wanted").unwrap_or(0), row.col("present").unwrap_or(0))
            };
            let found = app.store.reader().one(counted, vals![seq]).await.unwrap().map(both);
            assert_eq!(found, app.store.reader().one(plainly, vals![seq]).await.unwrap().map(both));
        }
        if !shared {
            let plan = explain(&app, counted, vals![100_001_i64]).await;
            assert!(plan.contains("member_absent") && plan.contains("member_unwanted"), "{plan}");
            assert!(!plan.contains("SCAN member"), "{plan}");
            let plan = explain(&app, super::super::DID, vals![i64::MAX, 51_i64, "member:one"]).await;
            assert!(plan.contains("audit_actor (actor=?"), "{plan}");
        }
    }
}
