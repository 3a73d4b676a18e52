//! What a directory that has been in use for long has beside its people: their accounts, a week of operations, a queue of
//! which some wait, some are held and some need somebody, differences, decisions, tasks, refusals, and an audit trail.
//! Put in by statements of the database itself, for the measurement of pages.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, Sqlite, SqliteConnection, Transaction};

/// A week, in microseconds.
const WEEK: i64 = 604_800_000_000;
/// Operations and attempts of the person with a long history.
const LONG: i64 = 2_000;
/// The group that everybody is in.
pub(crate) const EVERYBODY: &str = "eeeeeeee-0000-4000-8000-000000000001";
/// The open hold.
pub(crate) const HOLD: &str = "h_bench";

/// The people of the instance, with their number.
const PEOPLE: &str = "(SELECT r.seq, r.name_key, ROW_NUMBER() OVER (ORDER BY r.seq) - 1 AS n FROM resource r WHERE r.instance_seq = $1 AND r.kind = 'User' AND r.managed = 1 \
     AND r.deleted_at IS NULL) p";

fn numbers(count: i64) -> String {
    format!(
        "(WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i + 1 < {count}) SELECT i AS n FROM c) p"
    )
}

struct Past<'a> {
    tx: Transaction<'a, Sqlite>,
    instance: i64,
    now: i64,
}

impl Past<'_> {
    /// Sequence numbers that nobody has: the first of them.
    async fn take(&mut self, count: i64) -> Result<i64> {
        let text = "UPDATE counter SET next = next + $1 WHERE name = 'seq' RETURNING next";
        let (next,): (i64,) = sqlx::query_as(text).bind(count).fetch_one(&mut *self.tx).await?;
        Ok(next - count)
    }

    /// Carries out a statement with the instance as $1, the first of `count` sequence numbers as $2, and the time as $3.
    async fn put(&mut self, count: i64, text: String) -> Result<()> {
        let first = self.take(count).await?;
        let shown: String = text.chars().take(120).collect();
        sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(self.instance)
            .bind(first)
            .bind(self.now)
            .execute(&mut *self.tx)
            .await
            .context(shown)?;
        Ok(())
    }

    /// An account each, except for one in forty; a link to it.
    async fn accounts(&mut self, users: i64) -> Result<()> {
        self.put(
            users,
            format!(
                "INSERT INTO account (seq, instance_seq, kind, remote_id, status, protected, ours, doc, login_key, email_key, invites, seen_at) \
                 SELECT $2 + p.n, $1, 'User', 'acc-' || p.n, CASE WHEN p.n % 30 = 9 THEN 'invited' WHEN p.n % 30 = 10 THEN 'suspended' ELSE 'active' END, p.n % 500 = 11, 1, \
                 '{{\"login\":\"' || p.name_key || '\"}}', p.name_key, p.name_key, 0, $3 FROM {PEOPLE} WHERE p.n % 40 <> 6"
            ),
        )
        .await?;
        self.put(
            users,
            "INSERT INTO link (seq, resource_seq, account_seq, state, evidence, opened_at) SELECT $2 + ROW_NUMBER() OVER (ORDER BY a.seq), r.seq, a.seq, 'live', 'created', $3 \
             FROM account a JOIN resource r ON r.instance_seq = $1 AND r.kind = 'User' AND r.name_key = a.login_key WHERE a.instance_seq = $1 AND a.kind = 'User'"
                .to_owned(),
        )
        .await
    }

    /// Three operations each over the week. Of a hundred, four failed, two are open, one is superseded; one removes, one
    /// repairs.
    async fn operations(&mut self, users: i64) -> Result<()> {
        let state = "CASE WHEN p.n % 50 IN (0,1) AND p.n % 50 = k.k THEN 'failed' WHEN k.k = 2 AND p.n % 50 = 7 THEN 'open' WHEN k.k = 0 AND p.n % 100 = 8 THEN 'superseded' ELSE 'applied' END";
        let at = format!("$3 - {WEEK} + (k.k * {users} + p.n) * ({WEEK} / (3 * {users}))");
        self.put(
            users * 3,
            format!(
                "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, request_id, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, \
                 superseded_items, at, closed_at, key_name, source, reason) \
                 SELECT s.seq, 'op_' || s.seq, $1, s.of, 'key:bench', 'request-' || s.seq, s.verb, 1, '[{{\"path\":\"title\",\"to\":\"Engineer\"}}]', '[]', s.state, 1, \
                 s.state = 'open', s.state = 'failed', 0, s.state = 'superseded', s.at, CASE WHEN s.state = 'open' THEN NULL ELSE s.at + 1000000 END, 'Bench', 'scim', \
                 CASE WHEN s.state = 'failed' THEN 'The target has no seat left. Buy one, or take one from somebody.' END FROM ( \
                 SELECT $2 + k.k * {users} + p.n AS seq, p.seq AS of, {state} AS state, {at} AS at, \
                 CASE WHEN k.k = 0 THEN 'create' WHEN k.k = 2 AND p.n % 100 = 12 THEN 'delete' WHEN k.k = 1 AND p.n % 100 = 13 THEN 'repair' ELSE 'patch' END AS verb \
                 FROM {PEOPLE} CROSS JOIN (SELECT 0 AS k UNION ALL SELECT 1 UNION ALL SELECT 2) k) s"
            ),
        )
        .await
    }

    /// The person in the middle was changed again and again, with a call each.
    async fn long_history(&mut self, users: i64) -> Result<()> {
        let (first, of) = (self.take(LONG).await?, format!("(SELECT p.seq FROM {PEOPLE} WHERE p.n = {})", users / 2));
        let at = format!("$3 - {WEEK} + p.n * {}", WEEK / LONG);
        self.put(
            0,
            format!(
                "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, request_id, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, \
                 superseded_items, at, closed_at, key_name, source) \
                 SELECT {first} + p.n, 'op_' || ({first} + p.n), $1, {of}, 'key:bench', 'request-' || ({first} + p.n), 'patch', 1, \
                 '[{{\"path\":\"title\",\"from\":\"Engineer\",\"to\":\"Head of a department with a long name\"}}]', '[]', 'applied', 1, 0, 0, 0, 0, {at}, {at} + 1000000, 'Bench', 'scim' \
                 FROM {} WHERE $2 IS NOT NULL",
                numbers(LONG)
            ),
        )
        .await?;
        self.put(
            LONG,
            format!(
                "INSERT INTO attempt (seq, instance_seq, resource_seq, item_seq, op_seq, step, epoch, config_rev, state, calls, started_at, ended_at) \
                 SELECT $2 + p.n, $1, {of}, 0, {first} + p.n, 'update', 1, 1, 'done', \
                 '[{{\"method\":\"PATCH\",\"path\":\"/orgs/acme/members\",\"status\":200,\"ms\":120}}]', {at} + 100000, {at} + 900000 FROM {}",
                numbers(LONG)
            ),
        )
        .await
    }

    /// The queue: of a hundred people six wait, two are leaving, four are held, one needs somebody, one has a decision.
    async fn queue(&mut self) -> Result<()> {
        let hold = self.take(1).await?;
        self.put(
            0,
            format!(
                "INSERT INTO hold (seq, id, instance_seq, state, remind_at, opened_at, why) SELECT {hold}, '{HOLD}', $1, 'open', $3 + {WEEK}, $3, '{{}}' WHERE $2 IS NOT NULL"
            ),
        )
        .await?;
        let state = "CASE WHEN p.n % 100 < 6 THEN 'todo' WHEN p.n % 100 < 8 THEN 'waiting' WHEN p.n % 100 < 12 THEN 'held' ELSE 'needs' END";
        self.put(
            0,
            format!(
                "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, need, reason, hold_seq, tries, since) \
                 SELECT s.seq, $1, (SELECT driver_key FROM instance WHERE seq = $1), CASE s.state WHEN 'waiting' THEN 0 WHEN 'held' THEN 0 ELSE 2 END, 1, s.state, $3, \
                 CASE s.state WHEN 'waiting' THEN 'unavailable' WHEN 'held' THEN 'deprovision' WHEN 'needs' THEN 'seat' END, \
                 CASE s.state WHEN 'needs' THEN 'The target has no seat left.' END, CASE s.state WHEN 'held' THEN {hold} END, 0, $3 - s.n * 1000 \
                 FROM (SELECT p.seq, p.n, {state} AS state FROM {PEOPLE} WHERE p.n % 100 < 13 AND $2 IS NOT NULL) s"
            ),
        )
        .await?;
        self.put(
            0,
            format!(
                "INSERT INTO waiver (resource_seq, item_seq, rev, why) SELECT p.seq, 0, 1, 'So it was decided.' FROM {PEOPLE} WHERE p.n % 100 = 14 AND $2 + $3 IS NOT NULL"
            ),
        )
        .await
    }

    /// Differences of every class about one person in ten.
    async fn differences(&mut self, users: i64) -> Result<()> {
        self.put(
            users,
            format!(
                "INSERT INTO drift (seq, id, instance_seq, class, resource_seq, item_seq, account_seq, remote, detail, action, access, mendable, first_seen, last_seen, last_run) \
                 SELECT $2 + p.n, 'd_' || p.n, $1, CASE p.n / 10 % 5 WHEN 0 THEN 'missing' WHEN 1 THEN 'vanished' WHEN 2 THEN 'changed' WHEN 3 THEN 'renamed' ELSE 'extra' END, \
                 p.seq, 0, 0, '', '{{}}', CASE p.n / 10 % 7 WHEN 0 THEN 'dismissed' ELSE 'report' END, 'same', 1, $3, $3, 1 FROM {PEOPLE} WHERE p.n % 10 = 5"
            ),
        )
        .await
    }

    /// Everybody in one group; a part of them parked.
    async fn everybody(&mut self) -> Result<()> {
        let group = self.take(1).await?;
        self.put(
            0,
            format!(
                "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at) \
                 SELECT {group}, $1, 'Group', '{EVERYBODY}', 'Everybody', 'everybody', 0, 1, '{{\"displayName\":\"Everybody\"}}', 1, 1, 1, 1, 1, $3, $3 WHERE $2 IS NOT NULL"
            ),
        )
        .await?;
        self.put(
            0,
            format!(
                "INSERT INTO member (group_seq, user_seq, want, have, asserted, state, reason, parked_at) SELECT {group}, p.seq, 1, CASE WHEN p.n % 40 = 6 THEN 0 ELSE 1 END, 1, \
                 CASE WHEN p.n % 40 = 6 THEN 'parked' ELSE 'settled' END, CASE WHEN p.n % 40 = 6 THEN 'no account' END, CASE WHEN p.n % 40 = 6 THEN $3 END \
                 FROM {PEOPLE} WHERE $2 IS NOT NULL"
            ),
        )
        .await
    }

    /// People whom nobody manages, and people who are gone, one in twenty each.
    async fn strangers(&mut self, users: i64) -> Result<()> {
        for (word, managed, deleted) in [("left", 1, "$3"), ("own", 0, "NULL")] {
            self.put(
                users / 20,
                format!(
                    "INSERT INTO resource (seq, instance_seq, kind, id, name, name_key, name_slot, active, doc, managed, listed, version, rev, settled_rev, created_at, modified_at, deleted_at) \
                     SELECT $2 + p.n, $1, 'User', '{word}-' || p.n, '{word}' || p.n || '@example.com', '{word}' || p.n || '@example.com', CASE {managed} WHEN 1 THEN 0 ELSE $2 + p.n END, \
                     {managed}, '{{}}', {managed}, {managed}, 1, 1, 1, $3, $3, {deleted} FROM {}",
                    numbers(users / 20)
                ),
            )
            .await?;
        }
        Ok(())
    }

    /// Tasks, refusals, acts, and comparisons.
    async fn records(&mut self, users: i64) -> Result<()> {
        self.put(
            users,
            format!(
                "INSERT INTO task (seq, instance_seq, resource_seq, item_seq, rev, act, ask, title, detail, takes, state, live, heard, created_at, due_at, closed_at) \
                 SELECT $2 + p.n, $1, p.seq, 0, 1, 'update', '{{}}', 'Change the title of ' || p.name_key, '{{}}', p.n % 2, CASE WHEN p.n % 10 = 0 THEN 'open' ELSE 'done' END, \
                 p.n % 10 = 0, 0, $3, $3 + p.n, CASE WHEN p.n % 10 = 0 THEN NULL ELSE $3 END FROM {PEOPLE} WHERE p.n % 2 = 0"
            ),
        )
        .await?;
        self.put(
            1_000,
            format!(
                "INSERT INTO rejected (seq, instance_seq, digest, key_id, method, path, status, detail, n, first_at, last_at) \
                 SELECT $2 + p.n, $1, 'digest' || p.n, 'bench', 'GET', '/Users/' || p.n, 404, 'There is no such user.', 3, $3, $3 + p.n FROM {}",
                numbers(1_000)
            ),
        )
        .await?;
        self.put(
            users,
            format!(
                "INSERT INTO audit (seq, actor, act, target, detail, at) SELECT $2 + p.n, CASE WHEN p.n % 1000 = 0 THEN 'member:rare' ELSE 'admin' END, 'operation.retried', \
                 'op_' || p.n, '{{}}', $3 FROM {} WHERE $1 IS NOT NULL",
                numbers(users)
            ),
        )
        .await?;
        self.put(
            90,
            format!(
                "INSERT INTO run (seq, id, instance_seq, kind, state, complete, counts, started_at, ended_at) SELECT $2 + p.n, 'rn_' || p.n, $1, 'reconcile', 'done', 1, '{{}}', $3, $3 FROM {}",
                numbers(90)
            ),
        )
        .await
    }
}

/// Gives the people of a seeded directory their past.
pub(crate) async fn history(database: &Path, instance: &str) -> Result<()> {
    let options = SqliteConnectOptions::new().filename(database).busy_timeout(Duration::from_secs(600));
    let mut connection = SqliteConnection::connect_with(&options.pragma("cache_size", "-400000")).await?;
    let mut tx = connection.begin().await?;
    let (instance, users): (i64, i64) = sqlx::query_as(
        "SELECT i.seq, COUNT(*) FROM instance i JOIN resource r ON r.instance_seq = i.seq AND r.kind = 'User' WHERE i.id = $1 GROUP BY i.seq",
    )
    .bind(instance)
    .fetch_one(&mut *tx)
    .await?;
    let now = gateway::clock::Clock::system().now().as_microsecond();
    let mut past = Past { tx, instance, now };
    past.accounts(users).await?;
    past.operations(users).await?;
    past.long_history(users).await?;
    past.queue().await?;
    past.differences(users).await?;
    past.everybody().await?;
    past.records(users).await?;
    past.strangers(users).await?;
    past.tx.commit().await?;
    Ok(())
}
