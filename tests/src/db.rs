//! The databases that a test runs on. A test that touches the store runs on each of
//! [`databases`], so SQLite and PostgreSQL cannot drift apart.

use std::sync::atomic::{AtomicU32, Ordering};

use sea_orm::{ConnectOptions, ConnectionTrait, Database as Connect, DatabaseConnection};
use uuid::Uuid;

use crate::env::setting;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Db {
    /// The embedded one, in the gateway's data folder.
    Sqlite,
    /// The server named by `SCIMGATE_TEST_POSTGRES`.
    Postgres,
}

/// The kinds there are in this run: SQLite always, PostgreSQL where `tests/run` started one.
pub fn databases() -> Vec<Db> {
    let mut all = vec![Db::Sqlite];
    if setting("SCIMGATE_TEST_POSTGRES").is_some() {
        all.push(Db::Postgres);
    }
    all
}

impl Db {
    /// An empty database of its own for one test.
    pub async fn fresh(self) -> Database {
        match self {
            Self::Sqlite => Database { kind: self, url: None, dropped: None },
            Self::Postgres => create().await,
        }
    }
}

/// One test's database. A PostgreSQL one is dropped with it.
#[derive(Debug)]
pub struct Database {
    /// What it is.
    pub kind: Db,
    /// Its URL; none for SQLite, which lies in the gateway's data folder.
    pub url: Option<String>,
    dropped: Option<(String, String)>,
}

impl Database {
    /// A PostgreSQL database on a server of the test's own, which goes away with that.
    pub fn at(url: String) -> Self {
        Self { kind: Db::Postgres, url: Some(url), dropped: None }
    }

    /// The same database for another process; it goes away with the first.
    pub fn again(&self) -> Self {
        Self { kind: self.kind, url: self.url.clone(), dropped: None }
    }
}

async fn create() -> Database {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let server = setting("SCIMGATE_TEST_POSTGRES").expect("Db::Postgres comes from databases(), which looked for it");
    let name = format!(
        "t{}_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed),
        &Uuid::new_v4().simple().to_string()[..8]
    );
    let link = connect(&server).await;
    link.execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap_or_else(|error| panic!("could not create the test database {name}: {error}"));
    link.close().await.ok();
    let mut url = url::Url::parse(&server).unwrap_or_else(|error| panic!("SCIMGATE_TEST_POSTGRES is no URL: {error}"));
    url.set_path(&name);
    Database { kind: Db::Postgres, url: Some(url.to_string()), dropped: Some((server, name)) }
}

async fn connect(server: &str) -> DatabaseConnection {
    let mut options = ConnectOptions::new(server);
    options.max_connections(1).sqlx_logging(false);
    Connect::connect(options).await.unwrap_or_else(|error| panic!("SCIMGATE_TEST_POSTGRES cannot be reached: {error}"))
}

impl Drop for Database {
    /// Best effort: the whole server goes away with the run.
    fn drop(&mut self) {
        let Some((server, name)) = self.dropped.take() else {
            return;
        };
        // A thread with its own runtime, because a runtime cannot be entered from within another.
        let cleaner = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                if let Ok(link) = Connect::connect(server).await {
                    let drop = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                    link.execute_unprepared(&drop).await.ok();
                    link.close().await.ok();
                }
            });
        });
        cleaner.join().ok();
    }
}
