//! The SQL connector against real databases: the contract kit on PostgreSQL, MariaDB and SQLite, by
//! mapped tables and by declared statements, and what the kit does not ask.

#![allow(clippy::panic, reason = "a test reports by failing")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "reports and skipped tests are for people who run it")]

#[path = "../support/certificates.rs"]
mod certificates;
mod flows;
mod layouts;
mod mariadb;
mod scratch;
mod settings;
mod world;

use connector_sdk::kit::{self, Report};

use layouts::{MARIADB, MARIADB_DECLARED, POSTGRES, POSTGRES_DECLARED, SQLITE, SQLITE_DECLARED};
use mariadb::MariaDb;
use scratch::Scratch;
use world::{Home, Layout, Server};

/// The PostgreSQL server that the tests are told of.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file; they are told of a server so")]
fn postgres(test: &str) -> Option<Server> {
    let url = std::env::var("SCIMGATE_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        eprintln!("skipped: {test}: no SCIMGATE_TEST_POSTGRES");
    }
    url.map(Server::Postgres)
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
