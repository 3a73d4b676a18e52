//! The SQL connector against real databases: the contract kit on PostgreSQL, MariaDB and SQLite, by
//! mapped tables and by declared statements, and what the kit does not ask.

#![allow(clippy::panic, reason = "a test reports by failing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "reports and skipped tests are for people who run it")]

#[path = "../support/certificates.rs"]
mod certificates;
mod flows;
mod layouts;
mod mariadb;
mod settings;
mod world;

use connector_sdk::kit::{self, Report};

use layouts::{MARIADB, MARIADB_DECLARED, POSTGRES, POSTGRES_DECLARED, SQLITE, SQLITE_DECLARED};
use mariadb::MariaDb;
use world::{Home, Layout, Server, admin};

/// The PostgreSQL server that the tests are told of.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file; they are told of a server so")]
fn postgres(test: &str) -> Option<Server> {
    let url = std::env::var("SCIMGATE_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("skipped: {test}: no SCIMGATE_TEST_POSTGRES");
    }
    url.map(Server::Postgres)
}

/// A database on PostgreSQL, for one test; roles of its cases go with it.
struct Scratch<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> Scratch<'a> {
    async fn new(server: &'a Server, test: &str) -> Self {
        let name = format!("sql_{test}_{}", std::process::id());
        let mut link = admin(server, None).await;
        link.run(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
        link.run(&format!("CREATE DATABASE {name}")).await;
        Self { server, name }
    }

    async fn end(self) {
        let mut link = admin(self.server, None).await;
        link.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).await;
        let mine = format!("SELECT rolname FROM pg_roles WHERE rolname LIKE '{}\\_%'", self.name.replace('_', "\\_"));
        for role in link.texts(&mine).await.into_iter().flatten().flatten() {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP ROLE IF EXISTS {role}")))
                .execute(match &mut link {
                    world::Admin::Postgres(link) => link,
                    _ => unreachable!("it is PostgreSQL"),
                })
                .await
                .ok();
        }
    }
}

async fn play(server: &Server, database: &str, layout: &'static Layout) -> Report {
    kit::run(|| async { Home::new(server, database, layout).await.subject() }).await
}

fn judge(what: &str, report: &Report) {
    println!("{what}\n{report}\n");
    assert!(report.failed.is_empty(), "{what} breaks the contract:\n{report}");
    assert!(report.passed.len() > 30, "{what}: little was played:\n{report}");
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let server = Server::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"));
    judge("sqlite, tables", &play(&server, "", &SQLITE).await);
    judge("sqlite, statements", &play(&server, "", &SQLITE_DECLARED).await);
}

#[tokio::test]
async fn postgresql_keeps_the_contract() {
    let Some(server) = postgres("postgresql_keeps_the_contract") else { return };
    let scratch = Scratch::new(&server, "contract").await;
    let tables = play(&server, &scratch.name, &POSTGRES).await;
    let declared = play(&server, &scratch.name, &POSTGRES_DECLARED).await;
    scratch.end().await;
    judge("postgresql, tables", &tables);
    judge("postgresql, statements", &declared);
}

#[tokio::test]
async fn mariadb_keeps_the_contract() {
    let Some(server) = MariaDb::start(&[]) else {
        eprintln!("skipped: mariadb_keeps_the_contract: mariadbd is not installed");
        return;
    };
    let at = Server::MariaDb(server.port);
    judge("mariadb, tables", &play(&at, "", &MARIADB).await);
    judge("mariadb, statements", &play(&at, "", &MARIADB_DECLARED).await);
}
