//! Real databases: an application's own tables, mapped and by declared statements; every client has a schema, a database or
//! a file of its own, which is read by SQL.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Value, json};
use tests::env::setting;
use tests::{Db, Gateway, facts};

use crate::check::{CLIENTS, NOTHING, Target, check, list};
use crate::layouts::{MARIADB, MARIADB_DECLARED, POSTGRES, POSTGRES_DECLARED, SQLITE, SQLITE_DECLARED};
use crate::mariadb::MariaDb;
use crate::scratch::Scratch;
use crate::world::{Home, Layout, Server};

#[async_trait(?Send)]
impl Target for Home {
    fn instance(&self) -> Value {
        let secrets: BTreeMap<&str, &String> = self.password.iter().map(|password| ("password", password)).collect();
        json!({ "connector": "sql", "settings": self.settings, "secrets": secrets })
    }

    async fn state(&self) -> Value {
        let mut state = Self::state(self).await;
        let accounts = state["accounts"].as_array_mut().expect("accounts are a list");
        for account in accounts.iter_mut() {
            account["shown"] = json!({ "/displayName": account["name"] });
        }
        let people: BTreeMap<String, Value> =
            accounts.iter().map(|account| (account["id"].to_string(), account.clone())).collect();
        for group in state["groups"].as_array_mut().expect("groups are a list") {
            let members = list(group, "members").into_iter();
            let members: Vec<Value> =
                members.map(|one| people.get(&one["id"].to_string()).unwrap_or(one).clone()).collect();
            group["members"] = members.into();
        }
        state
    }
}

async fn everyone(title: &str, server: &Server, database: &str, layouts: [(&str, &'static Layout); 2]) {
    let Some(facts) = facts(title) else { return };
    let folder = match server {
        Server::Sqlite(folder) => folder.path().display().to_string(),
        Server::Postgres(_) | Server::MariaDb(_) => String::new(),
    };
    let files: &[(&str, &str)] = if folder.is_empty() { &[] } else { &[("SCIMGATE_TARGET_FILES", &folder)] };
    let gateway = Gateway::start_with(Db::Sqlite, files).await;
    for (how, layout) in layouts {
        for client in CLIENTS {
            let home = Home::new(server, database, layout).await;
            check(&facts, &gateway, (&format!("{title}, {how}"), &home), NOTHING, client).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_in_sqlite() {
    let server = Server::Sqlite(tempfile::tempdir().expect("a temporary folder can be made"));
    everyone("SQLite", &server, "", [("tables", &SQLITE), ("statements", &SQLITE_DECLARED)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_in_postgresql() {
    let Some(url) = setting("SCIMGATE_TEST_POSTGRES") else {
        eprintln!("skipped: what_every_client_asks_for_is_in_postgresql: no SCIMGATE_TEST_POSTGRES");
        return;
    };
    let server = Server::Postgres(url);
    let scratch = Scratch::new(&server, "clients").await;
    let layouts = [("tables", &POSTGRES), ("statements", &POSTGRES_DECLARED)];
    everyone("PostgreSQL", &server, &scratch.name, layouts).await;
    scratch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_in_mariadb() {
    let Some(server) = MariaDb::start(&[]) else {
        eprintln!("skipped: what_every_client_asks_for_is_in_mariadb: mariadbd is not installed");
        return;
    };
    let layouts = [("tables", &MARIADB), ("statements", &MARIADB_DECLARED)];
    everyone("MariaDB", &Server::MariaDb(server.port), "", layouts).await;
}
