//! What is purged, and what must stay, over every combination of what a row can be tied to, on both databases.

use std::collections::BTreeSet;
use std::time::Duration;

use super::purge::purge;
use crate::clock::Clock;
use crate::config::{Config, Overrides, Retention};
use crate::service::fixture::Statements;
use crate::store::tests::places;
use crate::store::{Priority, Rows, Sql, Store};

const DAY: i64 = 24 * 3_600 * 1_000_000;

async fn numbers(store: &Store, text: &str) -> BTreeSet<i64> {
    let rows = store.reader().all(text, vals![]).await.unwrap();
    rows.iter().map(|row| row.col("seq").unwrap()).collect()
}

/// What a person or group is tied to.
#[derive(Clone, Copy, Debug)]
struct Ties {
    deleted: bool,
    old: bool,
    work: bool,
    link: Option<&'static str>,
    joined: bool,
    has_members: bool,
    open: bool,
    doubt: bool,
}

impl Ties {
    fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for bits in 0..128_u32 {
            let bit = |n: u32| bits & (1 << n) != 0;
            for link in [None, Some("live"), Some("proposed"), Some("closed")] {
                all.push(Self {
                    deleted: bit(0),
                    old: bit(1),
                    work: bit(2),
                    link,
                    joined: bit(3),
                    has_members: bit(4),
                    open: bit(5),
                    doubt: bit(6),
                });
            }
        }
        all
    }

    /// Whether nothing keeps it.
    fn goes(self) -> bool {
        let tied = self.work || matches!(self.link, Some("live" | "proposed")) || self.joined || self.has_members;
        self.deleted && self.old && !tied && !self.open && !self.doubt
    }

    /// The rows that it consists of; `seq` and the four behind it are its own.
    fn rows(self, seq: i64, now: i64) -> Vec<String> {
        let long_ago = now - 500 * DAY;
        let deleted = if self.old { long_ago } else { now - 80 * DAY };
        let deleted = if self.deleted { deleted.to_string() } else { "NULL".to_owned() };
        let mut rows = vec![format!(
            "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at, deleted_at) \
             VALUES ({seq},1,'User','u{seq}','n{seq}','n{seq}',0,1,'{{}}',1,1,1,1,1,{long_ago},{long_ago},{deleted})"
        )];
        let operation = |seq: i64, of: i64, state: &str, at: i64| {
            let (open, closed) = if state == "open" { (1, "NULL".to_owned()) } else { (0, at.to_string()) };
            format!(
                "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, superseded_items, at, closed_at) \
                 VALUES ({seq},'op_{seq}',1,{of},'key:k','patch',1,'[]','[]','{state}',1,{open},0,0,0,{at},{closed})"
            )
        };
        let attempt = |seq: i64, of: i64, op: &str, state: &str, at: i64| {
            format!(
                "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, epoch, config_rev, state, started_at, ended_at) \
                 VALUES ({seq},1,{of},0,{op},'update',1,1,'{state}',{at},{at})"
            )
        };
        rows.push(operation(seq + 1, seq, "applied", long_ago));
        rows.push(operation(seq + 2, seq, "applied", long_ago + DAY));
        rows.push(attempt(seq + 1, seq, &(seq + 1).to_string(), "done", long_ago));
        rows.push(attempt(seq + 2, seq, "NULL", "refused", now - 20 * DAY));
        if self.work {
            rows.push(format!(
                "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, need, tries, since) VALUES ({seq},1,'k',0,1,'needs',0,'link',0,{long_ago})"
            ));
        }
        if let Some(state) = self.link {
            let gone = if state == "closed" { "gone" } else { "active" };
            rows.push(format!(
                "INSERT INTO account (seq, instance_seq, kind, remote_id, status, protected, ours, doc, invites) VALUES ({seq},1,'User','r{seq}','{gone}',0,1,'{{}}',0)"
            ));
            rows.push(format!(
                "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at) VALUES ({seq},{seq},{seq},'{state}','login',{long_ago})"
            ));
        }
        for (tied, group, user) in [(self.joined, 0, seq), (self.has_members, seq, 0)] {
            if tied {
                rows.push(format!(
                    "INSERT INTO member (group_seq, user_seq, want, asserted, state, reason) VALUES ({group},{user},1,1,'parked','inactive')"
                ));
            }
        }
        if self.open {
            rows.push(operation(seq + 3, seq, "open", long_ago + 2 * DAY));
            rows.push(attempt(seq + 3, seq, &(seq + 3).to_string(), "refused", long_ago + 2 * DAY));
        }
        if self.doubt {
            rows.push(attempt(seq + 4, seq, "NULL", "unknown", long_ago));
        }
        rows.push(format!(
            "INSERT INTO attr (instance_seq, path, value_key, resource_seq) VALUES (1,'emails.value','n{seq}',{seq})"
        ));
        rows.push(format!("INSERT INTO waiver (resource_seq, item_seq, rev, why) VALUES ({seq},0,1,'so decided')"));
        rows
    }
}

fn retention() -> Retention {
    Config::load(Overrides::default()).unwrap().retention
}

const INSTANCE: &str = "INSERT INTO instance (seq, id, name, connector, mode, settings, policy, config_rev, driver_key, created_at) \
     VALUES (1,'in_1','A','github','paused','{}','{}',1,'k',0)";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_open_linked_or_joined_is_ever_purged() {
    for place in places().await {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let now = clock.micros();
        let store = Store::open(&place.database, clock.clone()).await.unwrap();
        let mut rows = vec![INSTANCE.to_owned()];
        let ties: Vec<(i64, Ties)> =
            Ties::all().into_iter().enumerate().map(|(n, ties)| (10 + 10 * i64::try_from(n).unwrap(), ties)).collect();
        for (seq, ties) in &ties {
            rows.extend(ties.rows(*seq, now));
        }
        store.write(Priority::Background, Statements(rows)).await.unwrap();
        assert!(purge(&store, &retention()).await > 0);

        let of = |keep: &dyn Fn(Ties) -> bool, row: i64| -> BTreeSet<i64> {
            ties.iter().filter(|(_, ties)| keep(*ties)).map(|(seq, _)| seq + row).collect()
        };
        assert_eq!(numbers(&store, "SELECT seq FROM resource").await, of(&|ties| !ties.goes(), 0));
        for table in ["attr", "waiver"] {
            let text = format!("SELECT resource_seq AS seq FROM {table}");
            assert_eq!(numbers(&store, &text).await, of(&|ties| !ties.goes(), 0), "{table}");
        }
        for table in ["link", "account"] {
            let text = format!("SELECT seq FROM {table}");
            assert_eq!(numbers(&store, &text).await, of(&|ties| ties.link.is_some() && !ties.goes(), 0), "{table}");
        }
        let operations = numbers(&store, "SELECT seq FROM operation").await;
        let mut want = of(&|ties| ties.open, 3);
        want.extend(of(&|ties| ties.work, 1));
        // The newest of what lives; one that is not the newest goes.
        want.extend(of(&|ties| ties.work || (!ties.deleted && !ties.open), 2));
        assert_eq!(operations, want);
        let attempts = numbers(&store, "SELECT seq FROM attempt").await;
        let mut want = of(&|_| true, 2);
        want.extend(of(&|ties| ties.work, 1));
        want.extend(of(&|ties| ties.open, 3));
        want.extend(of(&|ties| ties.doubt, 4));
        assert_eq!(attempts, want);
        assert_eq!(purge(&store, &retention()).await, 0, "what stays is not touched again");

        // Once what held them is done, they go as well.
        let done = [
            "DELETE FROM work",
            "DELETE FROM member",
            "UPDATE link SET state = 'closed', closed_at = 1",
            "UPDATE account SET status = 'gone'",
            "UPDATE operation SET state = 'applied', open_items = 0, closed_at = 1 WHERE state = 'open'",
            "UPDATE attempt SET state = 'resolved' WHERE state = 'unknown'",
        ];
        store.write(Priority::Background, Statements(done.map(str::to_owned).to_vec())).await.unwrap();
        clock.advance(Duration::from_secs(86_400 * 11));
        purge(&store, &retention()).await;
        assert_eq!(numbers(&store, "SELECT seq FROM resource").await, of(&|ties| !ties.deleted, 0));
        assert!(numbers(&store, "SELECT seq FROM attempt").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_runs_and_acts_go_when_their_time_is_over() {
    for place in places().await {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let now = clock.micros();
        let store = Store::open(&place.database, clock.clone()).await.unwrap();
        let mut rows = vec![INSTANCE.to_owned()];
        for n in 1..=1_200_i64 {
            let at = now - n * DAY;
            rows.push(format!(
                "INSERT INTO rejected (seq, instance_seq, digest, key_id, method, path, status, detail, n, first_at, last_at) VALUES ({n},1,'d{n}','k','GET','/Users',404,'no',1,{at},{at})"
            ));
            // Older rows have lower numbers.
            let seq = 1_201 - n;
            let ended = if n == 1 { "NULL".to_owned() } else { at.to_string() };
            let state = if n == 1 { "running" } else { "done" };
            rows.push(format!(
                "INSERT INTO run (seq, id, instance_seq, kind, state, complete, counts, started_at, ended_at) VALUES ({seq},'rn_{n}',1,'reconcile','{state}',1,'{{}}',{at},{ended})"
            ));
            let at = now - 5 * n * DAY;
            rows.push(format!(
                "INSERT INTO audit (seq, actor, act, target, detail, at) VALUES ({seq},'admin','a','t','{{}}',{at})"
            ));
        }
        store.write(Priority::Background, Statements(rows)).await.unwrap();
        purge(&store, &retention()).await;
        let count = async |table: &str| numbers(&store, &format!("SELECT seq FROM {table}")).await.len();
        assert_eq!((count("rejected").await, count("run").await, count("audit").await), (14, 90, 511));
        // The newest that ended stays however old it is, and so does one that runs.
        clock.advance(Duration::from_secs(86_400 * 365));
        purge(&store, &retention()).await;
        assert_eq!((count("rejected").await, count("run").await), (0, 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_deleted_instance_stayed_for_ever() {
    for place in places().await {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let now = clock.micros();
        let store = Store::open(&place.database, clock.clone()).await.unwrap();
        let other = INSTANCE.replace("(1,'in_1'", "(2,'in_2'");
        let mut rows = vec![INSTANCE.to_owned(), other];
        let ties: Vec<(i64, Ties)> =
            Ties::all().into_iter().enumerate().map(|(n, ties)| (10 + 10 * i64::try_from(n).unwrap(), ties)).collect();
        for (seq, ties) in &ties {
            rows.extend(ties.rows(*seq, now));
        }
        rows.push("UPDATE resource SET instance_seq = 2 WHERE seq = 10".to_owned());
        rows.push(format!("UPDATE instance SET deleted_at = {now} WHERE seq = 1"));
        // Deleting an instance does these.
        rows.push("DELETE FROM work".to_owned());
        rows.push("UPDATE attempt SET state = 'resolved' WHERE state IN ('sending','unknown')".to_owned());
        rows.push(
            "UPDATE operation SET state = 'withdrawn', open_items = 0, closed_at = 1 WHERE state = 'open'".to_owned(),
        );
        store.write(Priority::Background, Statements(rows)).await.unwrap();
        purge(&store, &retention()).await;
        assert!(
            numbers(&store, "SELECT seq FROM resource WHERE deleted_at IS NULL").await.len() > 1,
            "its time is not over"
        );
        clock.advance(retention().tombstones + Duration::from_secs(1));
        purge(&store, &retention()).await;
        assert_eq!(numbers(&store, "SELECT seq FROM resource").await, BTreeSet::from([10]));
        for (table, column) in
            [("attr", "resource_seq"), ("link", "resource_seq"), ("waiver", "resource_seq"), ("member", "group_seq")]
        {
            let left = numbers(&store, &format!("SELECT {column} AS seq FROM {table} WHERE {column} <> 10")).await;
            assert!(left.is_empty(), "{table}: {left:?}");
        }
        assert!(numbers(&store, "SELECT seq FROM account WHERE instance_seq = 1 AND seq > 100").await.is_empty());
    }
}
