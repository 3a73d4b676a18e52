//! What the store does when its database misbehaves (rows 21 to 29, 33 and 34 of the fault matrix, in process).

use std::time::Instant;

use sea_orm::TransactionTrait;

use super::*;
use crate::store::{postgres, sqlite};

/// Runs statements, one after the other.
struct Run(Vec<String>);

#[async_trait]
impl Unit for Run {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for text in &self.0 {
            tx.conn.run(text, vals![]).await?;
        }
        Ok(())
    }
}

fn statements(texts: &[&str]) -> Run {
    Run(texts.iter().map(|text| (*text).to_owned()).collect())
}

async fn postgres() -> Option<Place> {
    places().await.into_iter().find(|place| !place.database.embedded())
}

async fn connect(database: &Database) -> DatabaseConnection {
    match database {
        Database::Postgres(url) => sea_orm::Database::connect(url.expose_secret()).await.unwrap(),
        Database::Sqlite(path) => {
            sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.unwrap()
        }
    }
}

async fn migrate(connection: &DatabaseConnection) -> Result<(), StoreError> {
    match connection.get_database_backend() {
        DbBackend::Postgres => postgres::migrate(connection).await,
        _ => sqlite::migrate(connection).await,
    }
}

/// Everything that the schema has, as text.
async fn schema(connection: &DatabaseConnection) -> Vec<String> {
    let sql = match connection.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT CAST(table_name AS TEXT) || '.' || CAST(column_name AS TEXT) AS s FROM information_schema.columns WHERE table_schema = 'public' \
             UNION ALL SELECT CAST(indexname AS TEXT) FROM pg_indexes WHERE schemaname = 'public' ORDER BY s"
        }
        _ => "SELECT COALESCE(sql, name) AS s FROM sqlite_master ORDER BY s",
    };
    connection.all(sql, vals![]).await.unwrap().iter().map(|row| row.col("s").unwrap()).collect()
}

/// Row 34: a migration is all or nothing, so a process that dies in one leaves what there was, and the next start
/// completes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_cut_off_anywhere_leaves_nothing_half_done() {
    for place in places().await {
        let connection = connect(&place.database).await;
        let (mut cut, mut whole) = (0, Vec::new());
        for after in (0..).map(|step: u64| Duration::from_micros(200 * step * step)) {
            // Dropped in its midst, as by a death of the process; the connection rolls back.
            match tokio::time::timeout(after, migrate(&connection)).await {
                Ok(done) => {
                    done.unwrap();
                    break;
                }
                Err(_) => cut += 1,
            }
            let fresh = connect(&place.database).await;
            let tables = schema(&fresh).await;
            // Nothing, or where the end was only not heard of, everything.
            if !tables.is_empty() {
                whole.push(tables);
            }
            fresh.close().await.unwrap();
        }
        assert!(cut > 3, "it was cut off {cut} times");
        assert!(schema(&connection).await.len() > 50);
        migrate(&connection).await.unwrap();
        let done = schema(&connection).await;
        assert!(whole.iter().all(|tables| *tables == done), "{whole:?} and not {done:?}");
    }
}

/// Row 33: while replicas are upgraded one by one, one of the version before may have to start again.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_of_a_newer_version_is_no_reason_not_to_start() {
    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        store
            .write(
                Priority::Request,
                statements(&["INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_later', 0)"]),
            )
            .await
            .unwrap();
        store.close().await;
        let again = Store::open(&place.database, Clock::system()).await.map(|_| ());
        assert!(again.is_ok(), "{again:?}");
    }
}

/// Replicas that start at once on an empty database.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_migrate_one_after_the_other() {
    let Some(place) = postgres().await else { return };
    let opens: Vec<_> = (0..4)
        .map(|_| {
            let database = place.database.clone();
            tokio::spawn(async move { Store::open(&database, Clock::system()).await.map(|_| ()) })
        })
        .collect();
    for open in opens {
        open.await.unwrap().unwrap();
    }
}

/// Row 33: a newer version changes a column's type under the prepared statements of this one.
#[tokio::test(flavor = "multi_thread")]
async fn statements_that_were_prepared_before_a_change_of_the_schema_are_prepared_anew() {
    let Some(place) = postgres().await else { return };
    let store = Store::open(&place.database, Clock::system()).await.unwrap();
    store.write(Priority::Request, put("one", false)).await.unwrap();
    const READ: &str = "SELECT value FROM setting WHERE name = $1";
    struct Read;

    #[async_trait]
    impl Unit for Read {
        type Out = String;
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<String, StoreError> {
            tx.conn.one(READ, vals!["one"]).await?.expect("it was put there").col("value")
        }
    }
    for _ in 0..20 {
        store.reader().one(READ, vals!["one"]).await.unwrap();
        store.write(Priority::Driver, Read).await.unwrap();
        store.write(Priority::Request, Read).await.unwrap();
    }
    connect(&place.database)
        .await
        .execute_unprepared("ALTER TABLE setting ALTER COLUMN value TYPE TEXT COLLATE \"C\"")
        .await
        .unwrap();
    assert_eq!(store.write(Priority::Request, Read).await.unwrap(), "x");
    assert_eq!(store.write(Priority::Driver, Read).await.unwrap(), "x");
    // A read that is not in a unit is refused at most once, with "come again"; here a unit has met it first.
    assert!(store.reader().one(READ, vals!["one"]).await.is_ok());
}

/// Row 28: transactions that lock the same rows the other way round are repeated. Whoever is still told to come again does,
/// as a client would, and in the end each is there once. (How often that is asked is the database's affair: it looks for
/// deadlocks once a second.)
#[tokio::test(flavor = "multi_thread")]
async fn deadlocks_are_repeated_until_all_are_through() {
    const UNITS: i64 = 8;
    let Some(place) = postgres().await else { return };
    let store = Store::open(&place.database, Clock::system()).await.unwrap();
    for name in ["a", "b"] {
        store
            .write(Priority::Request, Run(vec![format!("INSERT INTO counter (name, next) VALUES ('{name}', 0)")]))
            .await
            .unwrap();
    }
    let up = |name: &str| format!("UPDATE counter SET next = next + 1 WHERE name = '{name}'");
    let tasks: Vec<_> = (0..UNITS)
        .map(|n| {
            let (first, second) = if n % 2 == 0 { ("a", "b") } else { ("b", "a") };
            let statements = vec![up(first), "SELECT pg_sleep(0.01)".to_owned(), up(second)];
            let (store, priority) = (store.clone(), if n % 3 == 0 { Priority::Driver } else { Priority::Request });
            tokio::spawn(async move {
                for _ in 0..20 {
                    match store.write(priority, Run(statements.clone())).await {
                        Ok(()) => return true,
                        // Told to come again: nothing of it was kept.
                        Err(error) => {
                            assert!(matches!(error, StoreError::Busy(_) | StoreError::Unavailable(_)), "{error}");
                        }
                    }
                }
                false
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap(), "one never came through");
    }
    let counted = store.reader().all("SELECT next FROM counter WHERE name IN ('a','b')", vals![]).await.unwrap();
    for row in counted {
        assert_eq!(row.col::<i64>("next").unwrap(), UNITS, "what was answered and what was kept");
    }
    let sql = "SELECT deadlocks AS n FROM pg_stat_database WHERE datname = current_database()";
    let seen = async || store.reader().one(sql, vals![]).await.unwrap().unwrap().col::<i64>("n").unwrap();
    // The server counts them when their sessions next rest.
    for _ in 0..600 {
        if seen().await > 0 {
            return;
        }
        store.clock().sleep(Duration::from_millis(50)).await;
    }
    panic!("the two orders never met");
}

/// Row 29: a flood of slow reads is shed, requests still write, and the driver has connections of its own.
#[tokio::test(flavor = "multi_thread")]
async fn reads_are_shed_first_and_the_driver_keeps_its_connections() {
    let Some(place) = postgres().await else { return };
    let store = Store::open(&place.database, Clock::system()).await.unwrap();
    let slow = "SELECT 1 AS one FROM (SELECT pg_sleep(6)) AS s";
    let readers: Vec<_> = (0..postgres::READS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.reader().one(slow, vals![]).await.is_ok() })
        })
        .collect();
    let busy = async || {
        let sql = "SELECT COUNT(*) AS n FROM pg_stat_activity WHERE query LIKE '%pg_sleep(6)%' AND datname = current_database() AND state = 'active'";
        store.driving().one(sql, vals![]).await.unwrap().unwrap().col::<i64>("n").unwrap()
    };
    // The one that counts is among them.
    while busy().await <= i64::from(postgres::READS) {
        store.clock().sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    let shed = store.ping().await;
    assert!(matches!(shed, Err(StoreError::Unavailable(_))), "{shed:?}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    store.write(Priority::Request, put("request", false)).await.unwrap();

    // Requests that write and do not end take the rest.
    let writers: Vec<_> = (0..postgres::WRITES)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.write(Priority::Request, statements(&[slow])).await.is_ok() })
        })
        .collect();
    while busy().await <= i64::from(postgres::READS + postgres::WRITES) {
        store.clock().sleep(Duration::from_millis(10)).await;
    }
    let began = Instant::now();
    store.write(Priority::Driver, put("driver", false)).await.unwrap();
    store.driving().one("SELECT 1 AS one", vals![]).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "the driver waited {:?}", began.elapsed());
    for task in readers.into_iter().chain(writers) {
        assert!(task.await.unwrap());
    }
}

/// Row 27: whatever the server's default is, what is acknowledged is on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn commits_are_waited_for_even_where_the_database_does_not_by_default() {
    let Some(place) = postgres().await else { return };
    let connection = connect(&place.database).await;
    let name = place.database.url().expose_secret().rsplit('/').next().unwrap().to_owned();
    connection.execute_unprepared(&format!("ALTER DATABASE {name} SET synchronous_commit = off")).await.unwrap();
    let store = Store::open(&place.database, Clock::system()).await.unwrap();
    let row = store.reader().one("SELECT current_setting('synchronous_commit') AS v", vals![]).await.unwrap().unwrap();
    assert_eq!(row.col::<String>("v").unwrap(), "on");
}

/// A file that fails under the writer: nothing is written any more, and the process is told to end.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_failure_of_the_file_nothing_more_is_written() {
    struct Broken;

    #[async_trait]
    impl Unit for Broken {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, _: &Tx<'_>) -> Result<(), StoreError> {
            Err(StoreError::Fatal("disk I/O error".to_owned()))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Database::Sqlite(folder.path().join("store.db")), Clock::system()).await.unwrap();
    store.write(Priority::Request, put("before", false)).await.unwrap();
    assert!(store.write(Priority::Request, Broken).await.is_err());
    assert_eq!(store.failed().await, "disk I/O error");
    assert!(store.write(Priority::Request, put("after", false)).await.is_err());
    assert!(matches!(store.ping().await, Err(StoreError::Fatal(_))));
    assert_eq!(count(&store).await, 1, "what was acknowledged can still be read");
}

/// A full disk ends a transaction by itself, savepoints and all; the next writes must not stumble over that.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_full_disk_the_writer_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Database::Sqlite(folder.path().join("store.db")), Clock::system()).await.unwrap();
    store.write(Priority::Request, put("before", false)).await.unwrap();
    // As large as it may get, on the writer's own connection.
    let tight = "PRAGMA max_page_count = 1";
    struct Tight(&'static str);

    #[async_trait]
    impl Unit for Tight {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
            tx.conn.all(self.0, vals![]).await.map(drop)
        }
    }
    store.write(Priority::Request, Tight(tight)).await.unwrap();
    let big = format!("INSERT INTO setting (name, value) VALUES ('big', '{}')", "x".repeat(200_000));
    let writes: Vec<_> = (0..10)
        .map(|n| {
            let (store, big) = (store.clone(), big.clone());
            let unit = if n == 5 {
                Run(vec![big])
            } else {
                Run(vec![format!("INSERT INTO setting (name, value) VALUES ('s{n}', 'x')")])
            };
            tokio::spawn(async move { store.write(Priority::Request, unit).await })
        })
        .collect();
    let mut kept = 1;
    for (n, write) in writes.into_iter().enumerate() {
        match write.await.unwrap() {
            Ok(()) => kept += 1,
            Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{n}: {error:?}"),
        }
    }
    assert_eq!(count(&store).await, kept, "what was answered and what is there");
    store
        .write(Priority::Request, statements(&["INSERT INTO setting (name, value) VALUES ('after', 'x')"]))
        .await
        .unwrap();
    assert_eq!(count(&store).await, kept + 1);
}

/// Row 23: the write-ahead log is cut back, and not kept from it by a reader for longer than that reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_is_cut_back_once_nobody_reads_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&Database::Sqlite(path.clone()), Clock::system()).await.unwrap();
    let size = || std::fs::metadata(sqlite::with_suffix(&path, "-wal")).map_or(0, |file| file.len());
    let reader = connect(&Database::Sqlite(path.clone())).await;
    let reading = reader.begin().await.unwrap();
    reading.one("SELECT COUNT(*) AS n FROM setting", vals![]).await.unwrap();
    for n in 0..24 {
        let value = "x".repeat(500_000);
        store
            .write(
                Priority::Request,
                Run(vec![format!("INSERT INTO setting (name, value) VALUES ('s{n}', '{value}')")]),
            )
            .await
            .unwrap();
    }
    let grown = size();
    assert!(grown > 10 << 20, "{grown}");
    let began = Instant::now();
    store.tidy_log().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "the reader is not waited for");
    assert!(size() >= grown, "a log that is read is left as it is");
    store.write(Priority::Request, put("meanwhile", false)).await.unwrap();
    reading.rollback().await.unwrap();
    reader.close().await.unwrap();
    store.tidy_log().await.unwrap();
    assert_eq!(size(), 0);
    assert_eq!(count(&store).await, 25);
}
