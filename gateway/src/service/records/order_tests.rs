//! What replicas commit behind numbers that were read already.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{App, Audited, Place};
use crate::service::fixture::{Statements, apps};
use crate::store::Priority;

/// Commits rows of these numbers now, whenever the numbers were given out.
async fn commit(app: &App, table: &str, numbers: &[i64]) {
    let now = app.clock.micros();
    let row = |seq: &i64| match table {
        "resource" => format!(
            "(seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
             VALUES ({seq},1,'User','u','n','n',0,1,'{{}}',1,1,1,1,1,{now},{now})"
        ),
        "instance" => format!(
            "(seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at) \
             VALUES ({seq},'in_{seq}','A','github','paused','{{}}','{{}}',1,'k',{now})"
        ),
        "audit" => format!("(seq, actor, act, target, detail, at) VALUES ({seq},'admin','a','t{seq}','{{}}',{now})"),
        _ => format!(
            "(seq, id, instance_seq, resource_seq, actor, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, superseded_items, at, closed_at) \
             VALUES ({seq},'op_{seq}',1,1,'key:k','patch',1,'[]','[]','applied',1,0,0,0,0,{now},{now})"
        ),
    };
    let rows = numbers.iter().map(|seq| format!("INSERT INTO {table} {}", row(seq))).collect();
    app.store.write(Priority::Background, Statements(rows)).await.unwrap();
}

/// What an export from there on has, and from where the next goes on.
async fn exported(app: &App, from: i64) -> (Vec<String>, i64) {
    let mut which = Audited { after: Place::behind(from), ..Audited::default() };
    let mut told = Vec::new();
    loop {
        let chunk = app.export_audit(&which).await.unwrap();
        for (place, line) in &chunk.lines {
            which.after = *place;
            told.push(line["target"].as_str().unwrap().to_owned());
        }
        if !chunk.more {
            return (told, which.after.sure);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_went_on_missed_what_another_replica_committed_late() {
    for (app, _folder) in apps().await {
        // Over several pages, and with the numbers below 500 given out to a replica that has not committed yet.
        let early: Vec<i64> = (500..730).collect();
        commit(&app, "audit", &early).await;
        let (told, from) = exported(&app, 0).await;
        assert_eq!(told.len(), 230, "what is young is told");
        if app.store.is_shared() {
            assert_eq!(from, 0, "nothing is settled");
            commit(&app, "audit", &[3, 400]).await;
            app.clock.advance(Duration::from_secs(30));
            commit(&app, "audit", &[800]).await;
            let (told, from) = exported(&app, from).await;
            let told: BTreeSet<String> = told.into_iter().collect();
            assert!(["t3", "t400", "t800"].iter().all(|one| told.contains(*one)), "{}", told.len());
            assert_eq!(from, 0);
        } else {
            assert_eq!(from, 729);
        }
        app.clock.advance(Duration::from_secs(61));
        let (_, from) = exported(&app, from).await;
        assert_eq!(exported(&app, from).await, (Vec::new(), from), "what is settled is told once");
        commit(&app, "audit", &[900]).await;
        assert_eq!(exported(&app, from).await.0, ["t900"]);
    }
}

async fn looked(app: &App, watch: &mut super::Watch) -> Vec<String> {
    let seen = app.look(watch).await.unwrap();
    let operations = seen.into_iter().filter(|one| one.kind == "operation");
    operations
        .map(|one| match &one.data["id"] {
            Value::String(id) => id.clone(),
            other => panic!("{other}"),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_was_not_told_of_what_another_replica_committed_late() {
    for (app, _folder) in apps().await {
        commit(&app, "instance", &[1]).await;
        commit(&app, "resource", &[1]).await;
        commit(&app, "operation", &[100]).await;
        let mut watch = app.watch(None).await.unwrap();
        assert_eq!(looked(&app, &mut watch).await, [""; 0], "from now on");
        commit(&app, "operation", &[200, 201]).await;
        assert_eq!(looked(&app, &mut watch).await, ["op_200", "op_201"]);
        if app.store.is_shared() {
            commit(&app, "operation", &[150, 202]).await;
            assert_eq!(looked(&app, &mut watch).await, ["op_150", "op_202"]);
            app.clock.advance(Duration::from_secs(30));
            commit(&app, "operation", &[151]).await;
            assert_eq!(looked(&app, &mut watch).await, ["op_151"]);
        }
        assert_eq!(looked(&app, &mut watch).await, [""; 0], "each once");
        app.clock.advance(Duration::from_secs(61));
        let many: Vec<i64> = (300..450).collect();
        commit(&app, "operation", &many).await;
        assert_eq!(looked(&app, &mut watch).await.len() + looked(&app, &mut watch).await.len(), 150);
        assert_eq!(looked(&app, &mut watch).await, [""; 0]);
        // Who lost the connection goes on behind what was told last.
        let mut again = app.watch(Some(447)).await.unwrap();
        assert_eq!(looked(&app, &mut again).await, ["op_448", "op_449"]);
    }
}
