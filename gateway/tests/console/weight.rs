//! How large a page is that is full: as many rows as it shows, with names as long as they are shown, and something to say
//! about each of them.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::browser::{Gateway, HOSTILE};

/// The largest page, in bytes, as it is before it is compressed.
const LARGEST: usize = 100_000;
/// Rows of everything: more than any page shows.
const MANY: &str = "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) SELECT n FROM c) s";

/// Three hundred of everything that a page lists. `$1` is the instance, `$2` a name, `$3` a sentence, `$4` the time.
const SEED: [&str; 12] = [
    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
     SELECT 10000 + n, $1, 'User', 'u-' || n, n || $2, n || 'key', 0, 1, json_object('userName', n || $2, 'displayName', $2), 1, 1, 1, 1, 0, $4, $4 FROM ",
    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
     SELECT 20000 + n, $1, 'Group', 'g-' || n, n || $2, n || 'key', 0, 1, '{}', 1, 1, 1, 1, 0, $4, $4 FROM ",
    "INSERT INTO account (seq, instance_seq, kind, remote_id, login_key, status, protected, ours, doc, invites) \
     SELECT 30000 + n, $1, 'User', 'r-' || n, $2, 'active', 1, 0, '{}', 0 FROM ",
    "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at) SELECT 40000 + n, 10000 + n, 30000 + n, 'live', 'created', $4 FROM ",
    "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, op_seq) SELECT 20001, 10000 + n, 1, 0, 1, 'parked', 'invited', 50000 + n FROM ",
    "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, op_seq) SELECT 20000 + n, 10001, 1, 0, 1, 'parked', 'invited', 50000 + n FROM (SELECT n FROM ",
    "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, key_name, request_id, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, superseded_items, \
     reason, at, closed_at, source) SELECT 50000 + n, 'op_' || n, $1, CASE WHEN n > 200 THEN 10001 ELSE 10000 + n END, 'key:' || $2, $2, 'rq-' || n, 'patch', 1, \
     json_array(json_object('path', 'title', 'from', $3, 'to', $3)), '[]', 'failed', 1, 0, 1, 0, 0, $3, $4 + n, $4 + n, 'scim' FROM ",
    "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, need, reason, hold_seq, tries, since) SELECT 10000 + n, $1, 'k', 0, 1, 'held', 0, 'deprovision', $3, 1, 9, $4 FROM ",
    "INSERT INTO drift (seq, id, instance_seq, class, resource_seq, item_seq, account_seq, remote, detail, action, access, mendable, first_seen, last_seen, last_run) \
     SELECT 60000 + n, 'd_' || n, $1, 'changed', 10000 + n, 0, 30000 + n, '', json_object('name', json_object('wanted', $2, 'found', $2)), 'report', 'same', 1, $4, $4, 1 FROM ",
    "INSERT INTO task (seq, instance_seq, resource_seq, item_seq, rev, act, ask, title, detail, assignee, takes, state, live, heard, created_at, due_at) \
     SELECT 70000 + n, $1, 10000 + n, 0, 1, 'update', '{}', $3, '{}', $2, 1, 'open', 1, 0, $4, $4 FROM ",
    "INSERT INTO rejected (seq, instance_seq, digest, key_id, method, path, status, detail, shape, n, first_at, last_at) \
     SELECT 80000 + n, $1, 'd' || n, 'k', 'PATCH', '/Users/' || $2, 400, $3, '{}', 7, $4, $4 + n FROM ",
    "INSERT INTO audit (seq, actor, act, target, detail, at) SELECT 90000 + n, 'member:' || $2, 'instance.update', $2, json_object('name', $3, 'mode', $2), $4 + n FROM ",
];

#[tokio::test]
async fn a_page_that_is_full_of_long_names_stays_below_its_weight() {
    let gateway = Gateway::start().await;
    let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "t"}, "mode": "paused"});
    let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
    let instance = made["id"].as_str().unwrap();
    let options = SqliteConnectOptions::new().filename(gateway.folder.path().join("scimgate.db"));
    let mut database = SqliteConnection::connect_with(&options).await.unwrap();
    let (seq,): (i64,) =
        sqlx::query_as("SELECT seq FROM instance WHERE id = $1").bind(instance).fetch_one(&mut database).await.unwrap();
    let name = format!("{HOSTILE} {}", "long name ".repeat(20));
    let sentence =
        "The target said that it could not do what it was asked for, and gave this sentence as its reason. ".repeat(2);
    let at = 1_767_225_600_000_000_i64 - 3_600_000_000;
    let hold =
        "INSERT INTO hold (seq, id, instance_seq, state, remind_at, opened_at) VALUES (1, 'h_1', $1, 'open', $2, $2)";
    sqlx::query(hold).bind(seq).bind(at).execute(&mut database).await.unwrap();
    for text in SEED {
        // The first person is in the first group already.
        let end = if text.ends_with("FROM (SELECT n FROM ") { " WHERE n > 1)" } else { "" };
        let text = format!("{text}{MANY}{end}");
        let statement = sqlx::query(sqlx::AssertSqlSafe(text.clone())).bind(seq).bind(&name).bind(&sentence).bind(at);
        statement.execute(&mut database).await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    database.close().await.unwrap();

    let browser = gateway.owner().await;
    let own = format!("/instances/{instance}");
    let (mut wrong, mut rows) = (Vec::new(), 0);
    for (path, full) in [
        ("/people".to_owned(), 50),
        ("/people?state=held".to_owned(), 50),
        ("/people?state=protected".to_owned(), 50),
        ("/groups".to_owned(), 50),
        ("/operations".to_owned(), 50),
        ("/operations?state=failed".to_owned(), 50),
        ("/tasks".to_owned(), 50),
        ("/audit".to_owned(), 50),
        ("/attention".to_owned(), 0),
        ("/holds/h_1".to_owned(), 50),
        ("/search?q=1".to_owned(), 0),
        (own.clone(), 0),
        (format!("{own}/people"), 50),
        (format!("{own}/people?state=parked"), 50),
        (format!("{own}/groups"), 50),
        (format!("{own}/operations"), 50),
        (format!("{own}/rejected"), 20),
        (format!("{own}/plan"), 40),
        (format!("{own}/people/u-1"), 20),
        (format!("{own}/people/u-2"), 0),
        (format!("{own}/groups/g-1"), 50),
    ] {
        let page = browser.get(&format!("/console{path}")).await.expect(200);
        let text = page.text();
        let shown = text.matches("<tr>").count() + text.matches("<li").count();
        rows += shown;
        if text.len() >= LARGEST || shown < full {
            wrong.push(format!("{path}: {} bytes, {shown} rows", text.len()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(rows > 700, "{rows}");
}
