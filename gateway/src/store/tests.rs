//! The store's promises, on both databases.

use std::collections::HashSet;

use async_trait::async_trait;

use sea_orm::ConnectionTrait;
use sea_orm_migration::MigratorTrait;
use secrecy::ExposeSecret;

use super::*;

mod faults;

/// A store to test, and what keeps it alive.
pub(crate) struct Place {
    pub(crate) database: Database,
    _folder: tempfile::TempDir,
}

#[allow(clippy::disallowed_methods, reason = "the test run says by environment where its database server is")]
pub(crate) async fn places() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let mut all = vec![Place { database: Database::Sqlite(folder.path().join("store.db")), _folder: folder }];
    match std::env::var("SCIMGATE_TEST_POSTGRES") {
        Ok(url) => {
            let name = format!("store_{}", uuid::Uuid::new_v4().simple());
            let server = sea_orm::Database::connect(url.as_str()).await.unwrap();
            server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
            let mut url = url::Url::parse(&url).unwrap();
            url.set_path(&name);
            all.push(Place {
                database: Database::Postgres(url.to_string().into()),
                _folder: tempfile::tempdir().unwrap(),
            });
        }
        Err(_) => eprintln!("skipped: PostgreSQL (SCIMGATE_TEST_POSTGRES is not set)"),
    }
    all
}

/// Writes a setting; fails after writing if told to.
struct Put {
    name: String,
    value: String,
    fail: bool,
}

#[async_trait]
impl Unit for Put {
    type Out = i64;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<i64, StoreError> {
        tx.conn
            .run("INSERT INTO setting (name, value) VALUES ($1, $2)", vals![self.name.as_str(), self.value.as_str()])
            .await?;
        if self.fail {
            return Err(StoreError::Other("told to fail".to_owned()));
        }
        Ok(tx.seq()?)
    }
}

fn put(name: &str, fail: bool) -> Put {
    Put { name: name.to_owned(), value: "x".to_owned(), fail }
}

async fn count(store: &Store) -> i64 {
    store.reader().one("SELECT COUNT(*) AS n FROM setting", vals![]).await.unwrap().unwrap().col("n").unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_fails_takes_nothing_of_its_neighbours_with_it() {
    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        let mut tasks = Vec::new();
        for n in 0..90 {
            let store = store.clone();
            tasks.push(tokio::spawn(
                async move { store.write(Priority::Request, put(&format!("s{n}"), n % 3 == 0)).await },
            ));
        }
        let mut numbers = HashSet::new();
        let mut done = 0;
        for task in tasks {
            if let Ok(number) = task.await.unwrap() {
                done += 1;
                assert!(numbers.insert(number), "a sequence number was given out twice");
            }
        }
        assert_eq!((done, count(&store).await), (60, 60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_after_the_commit_and_every_reader_sees_it() {
    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        for n in 0..20 {
            store.write(Priority::Request, put(&format!("s{n}"), false)).await.unwrap();
            assert_eq!(count(&store).await, n + 1);
        }
        drop(store);
        let again = Store::open(&place.database, Clock::system()).await;
        if let Ok(again) = again {
            assert_eq!(count(&again).await, 20, "migrating a database that is up to date changes nothing");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_row_of_a_unique_name_is_refused_by_the_index() {
    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        store.write(Priority::Request, put("one", false)).await.unwrap();
        let refused = store.write(Priority::Request, put("one", false)).await;
        assert!(matches!(refused, Err(StoreError::Unique(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sequence_numbers_are_never_reused_after_a_restart_or_a_rollback() {
    for place in places().await {
        let mut seen = HashSet::new();
        for round in 0..3 {
            let store = Store::open(&place.database, Clock::system()).await;
            let Ok(store) = store else { panic!("{:?}", store.err()) };
            for n in 0..10 {
                let _ = store.write(Priority::Request, put(&format!("f{round}{n}"), true)).await;
                let number = store.write(Priority::Request, put(&format!("r{round}{n}"), false)).await.unwrap();
                assert!(seen.insert(number));
            }
            // The lock is the file's; the next round opens the same database.
            store.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_on_the_same_sqlite_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("store.db"));
    let _first = Store::open(&database, Clock::system()).await.unwrap();
    let second = Store::open(&database, Clock::system()).await;
    assert!(matches!(second, Err(StoreError::Config(words)) if words.contains("another scimgate")));
}

#[tokio::test]
async fn a_database_file_is_readable_by_its_user_alone() {
    use std::os::unix::fs::MetadataExt;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&Database::Sqlite(path), Clock::system()).await.unwrap();
    store.write(Priority::Request, put("one", false)).await.unwrap();
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
    assert!(files.len() >= 3, "{files:?}: no write-ahead log");
    for file in files {
        assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o600, "{file:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_refuses_open_ends() {
    // Nothing open without an exit (DECISIONS 16): each of these rows would be one.
    let refused = [
        "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, tries, since) VALUES (1,1,'k',0,1,'needs',0,0,0)",
        "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, tries, since) VALUES (1,1,'k',0,1,'running',0,0,0)",
        "INSERT INTO work (resource_seq, instance_seq, driver_key, lane, rev, state, due_at, tries, since) VALUES (1,1,'k',0,1,'held',0,0,0)",
        "INSERT INTO member (group_seq, user_seq, want, asserted, state) VALUES (1,1,1,1,'parked')",
        "INSERT INTO operation (seq, id, instance_seq, resource_seq, actor, verb, rev, changes, quirks, state, items, open_items, failed_items, parked_items, superseded_items, at) VALUES (1,'o',1,1,'a','v',1,'[]','[]','applied',0,0,0,0,0,0)",
        "INSERT INTO account (seq, instance_seq, kind, status, protected, ours, doc, invites) VALUES (1,1,'User','active',0,0,'{}',0)",
    ];
    struct Statement(&'static str);

    #[async_trait]
    impl Unit for Statement {
        type Out = ();
        type Err = StoreError;

        async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
            tx.conn.run(self.0, vals![]).await.map(drop)
        }
    }

    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        for text in refused {
            assert!(store.write(Priority::Request, Statement(text)).await.is_err(), "{text}");
        }
    }
}

/// Reads one row of each table through its entity: a column that the entity and the migrations name
/// differently, or that only one of them has, is an error.
#[tokio::test(flavor = "multi_thread")]
async fn the_entities_are_what_the_migrations_made() {
    use sea_orm::EntityTrait;

    macro_rules! read {
        ($store:expr, $($table:ident),*) => {
            $(entity::$table::Entity::find().one($store.reader()).await.expect(stringify!($table));)*
        };
    }

    for place in places().await {
        let store = Store::open(&place.database, Clock::system()).await.unwrap();
        store.write(Priority::Request, put("one", false)).await.unwrap();
        read!(
            store,
            account,
            admin_member,
            alert,
            alert_message,
            alert_webhook,
            api_key,
            async_request,
            attempt,
            attr,
            audit,
            brake,
            brake_person,
            bucket,
            claim,
            console_session,
            counter,
            desk_account,
            desk_group,
            desk_member,
            drift,
            event,
            event_stream,
            handover,
            history,
            hold,
            hold_item,
            instance,
            lease,
            link,
            manifest,
            member,
            operation,
            rejected,
            replica,
            resource,
            run,
            sealed,
            setting,
            tally,
            task,
            waiver,
            work
        );
        let kept = entity::setting::Entity::find_by_id("one").one(store.reader()).await.unwrap().unwrap();
        assert_eq!(kept.value, "x");
    }
}

/// A column that a table has: whether a row can be inserted without naming it.
type Columns = std::collections::BTreeMap<(String, String), bool>;

async fn columns(connection: &DatabaseConnection) -> Columns {
    let sql = match connection.get_database_backend() {
        DbBackend::Postgres => {
            "SELECT CAST(table_name AS TEXT) AS t, CAST(column_name AS TEXT) AS c, \
             CASE WHEN is_nullable = 'YES' OR column_default IS NOT NULL THEN 1 ELSE 0 END AS o \
             FROM information_schema.columns WHERE table_schema = current_schema()"
        }
        _ => {
            "SELECT m.name AS t, p.name AS c, CASE WHEN p.\"notnull\" = 0 OR p.dflt_value IS NOT NULL THEN 1 ELSE 0 END AS o \
             FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'"
        }
    };
    let rows = connection.all(sql, vals![]).await.unwrap();
    let column = |row: &sea_orm::QueryResult| {
        ((row.col("t").unwrap(), row.col("c").unwrap()), row.col::<i32>("o").unwrap() == 1)
    };
    rows.iter().map(column).collect()
}

/// While replicas are upgraded one by one, those of the version before go on with the new schema: what
/// they read is still there, and what they insert need not name what is new.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_leaves_the_version_before_it_working() {
    for place in places().await {
        let connection = match &place.database {
            Database::Postgres(url) => sea_orm::Database::connect(url.expose_secret()).await.unwrap(),
            Database::Sqlite(path) => {
                sea_orm::Database::connect(format!("sqlite://{}?mode=rwc", path.display())).await.unwrap()
            }
        };
        let levels = migrations::Migrator::migrations();
        let mut before = Columns::new();
        for level in &levels {
            migrations::Migrator::up(&connection, Some(1)).await.unwrap();
            let after = columns(&connection).await;
            let known: HashSet<&String> = before.keys().map(|(table, _)| table).collect();
            for column in before.keys() {
                assert!(after.contains_key(column), "{} takes {column:?} away", level.name());
            }
            for (column, optional) in &after {
                let new = !before.contains_key(column) && known.contains(&column.0);
                assert!(
                    !new || *optional,
                    "{} adds {column:?}, which the version before does not fill in",
                    level.name()
                );
            }
            before = after;
        }
        assert!(before.len() > 100, "the columns were not found: {before:?}");
        connection.close().await.unwrap();
    }
}
