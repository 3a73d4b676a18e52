//! A database as the world of the contract kit, with the connector built for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use connector_sdk::kit::{Subject, World};
use connector_sdk::{Call, Connector, Entry, Fault, FaultKind, Reply, Secrets, Step, Transport, Work};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, MySqlConnection, PgConnection, Row, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

/// The administrator's connection.
pub(crate) enum Admin {
    Postgres(PgConnection),
    MariaDb(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Admin {
    /// Runs statements.
    pub(crate) async fn run(&mut self, sql: &str) {
        for statement in sql.split(";\n").filter(|statement| !statement.trim().is_empty()) {
            let raw = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
            let done = match self {
                Self::Postgres(link) => raw.execute(link).await.map(|_| ()),
                Self::MariaDb(link) => raw.execute(link).await.map(|_| ()),
                Self::Sqlite(link) => raw.execute(link).await.map(|_| ()),
            };
            done.unwrap_or_else(|error| panic!("{statement}: {error}"));
        }
    }

    /// The texts of a query's rows.
    pub(crate) async fn texts(&mut self, sql: &str) -> Vec<Vec<Option<String>>> {
        let raw = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        fn read<R: Row>(rows: Vec<R>) -> Vec<Vec<Option<String>>>
        where
            usize: sqlx::ColumnIndex<R>,
            for<'a> Option<String>: sqlx::Decode<'a, R::Database>,
        {
            rows.iter()
                .map(|row| {
                    (0..row.len()).map(|n| row.try_get_unchecked::<Option<String>, _>(n).expect("it is text")).collect()
                })
                .collect()
        }
        match self {
            Self::Postgres(link) => read(raw.fetch_all(link).await.unwrap_or_else(|error| panic!("{sql}: {error}"))),
            Self::MariaDb(link) => read(raw.fetch_all(link).await.unwrap_or_else(|error| panic!("{sql}: {error}"))),
            Self::Sqlite(link) => read(raw.fetch_all(link).await.unwrap_or_else(|error| panic!("{sql}: {error}"))),
        }
    }
}

/// A server that databases are made in, or the folder that they are files of.
pub(crate) enum Server {
    /// Its URL.
    Postgres(String),
    /// Its port.
    MariaDb(u16),
    Sqlite(TempDir),
}

/// What a layout's schema, mapping and state are, with `{s}` for the place of the case's own.
pub(crate) struct Layout {
    /// Makes the tables, and one row that is protected.
    pub(crate) tables: &'static str,
    pub(crate) mapping: &'static str,
    /// Adds one account: `{name}` is its name.
    pub(crate) account: &'static str,
    /// Adds one group.
    pub(crate) group: &'static str,
    /// Rows of id, login, email, active (0 or 1), role, name, of those who can be seen.
    pub(crate) accounts: &'static str,
    /// Rows of id and name.
    pub(crate) groups: &'static str,
    /// Rows of the group's id and the member's id.
    pub(crate) members: &'static str,
}

/// One database, or a part of one, that a case has to itself.
pub(crate) struct Home {
    pub(crate) admin: Mutex<Admin>,
    pub(crate) layout: &'static Layout,
    pub(crate) name: String,
    folder: Option<PathBuf>,
    /// An instance's settings for it, and the password of its user.
    pub(crate) settings: Value,
    pub(crate) password: Option<String>,
}

/// The catalogue's entry.
pub(crate) fn entry() -> Entry {
    connectors::builtin().into_iter().find(|entry| entry.name == "sql").expect("sql is built in")
}

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) async fn admin(server: &Server, database: Option<&str>) -> Admin {
    match server {
        Server::Postgres(url) => {
            let mut options = PgConnectOptions::from_str(url).expect("SCIMGATE_TEST_POSTGRES is a URL");
            if let Some(database) = database {
                options = options.database(database);
            }
            Admin::Postgres(options.connect().await.expect("PostgreSQL can be reached"))
        }
        Server::MariaDb(port) => Admin::MariaDb(
            MySqlConnectOptions::new()
                .host("127.0.0.1")
                .port(*port)
                .username(crate::mariadb::ADMIN)
                .ssl_mode(MySqlSslMode::Disabled)
                .connect()
                .await
                .expect("MariaDB can be reached"),
        ),
        Server::Sqlite(folder) => {
            let file = folder.path().join(database.expect("a file"));
            let options =
                SqliteConnectOptions::new().filename(file).create_if_missing(true).pragma("synchronous", "OFF");
            Admin::Sqlite(options.connect().await.expect("SQLite's file can be made"))
        }
    }
}

impl Home {
    /// A new one. `database`: PostgreSQL's database of the test.
    pub(crate) async fn new(server: &Server, database: &str, layout: &'static Layout) -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // On PostgreSQL a role has it, too, and roles belong to no database: the name says whose it is.
        let name = if database.is_empty() {
            format!("kit_{}_{number}", std::process::id())
        } else {
            format!("{database}_{number}")
        };
        let password = format!("pass-{number}-word");
        let mapping = layout.mapping.replace("{s}", &name);
        let tables = layout.tables.replace("{s}", &name);
        let mut settings =
            json!({ "mapping": mapping, "page_size": 50, "tls": "off", "host": "127.0.0.1", "user": name });
        let (mut link, folder) = match server {
            Server::Postgres(url) => {
                let mut link = admin(server, Some(database)).await;
                link.run(&format!("CREATE SCHEMA {name};\n CREATE ROLE {name} LOGIN PASSWORD '{password}'")).await;
                link.run(&tables).await;
                link.run(&format!(
                    "GRANT USAGE ON SCHEMA {name} TO {name};\n GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {name};\n GRANT USAGE ON ALL SEQUENCES IN SCHEMA {name} TO {name}"
                ))
                .await;
                let options = PgConnectOptions::from_str(url).expect("a URL");
                settings["database"] = json!("postgresql");
                settings["port"] = json!(options.get_port());
                settings["name"] = json!(database);
                (link, None)
            }
            Server::MariaDb(port) => {
                let mut link = admin(server, None).await;
                link.run(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4;\n CREATE USER '{name}'@'%' IDENTIFIED BY '{password}'"))
                    .await;
                link.run(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO '{name}'@'%'")).await;
                link.run(&tables).await;
                settings["database"] = json!("mariadb");
                settings["port"] = json!(port);
                settings["name"] = json!(name);
                (link, None)
            }
            Server::Sqlite(folder) => {
                let file = format!("{name}.db");
                let link = admin(server, Some(&file)).await;
                settings = json!({ "mapping": mapping, "page_size": 50, "database": "sqlite", "file": file });
                (link, Some(folder.path().to_owned()))
            }
        };
        if folder.is_some() {
            link.run(&tables).await;
        }
        let password = folder.is_none().then_some(password);
        Self { admin: Mutex::new(link), layout, name, folder, settings, password }
    }

    /// The port of its server.
    pub(crate) fn port(&self) -> u16 {
        self.settings["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("it has a server")
    }

    /// The connector for it, with these settings on top.
    pub(crate) fn connector(&self, more: &Value) -> Arc<dyn Connector> {
        let mut settings = self.settings.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        let secrets = self.password.iter().map(|text| ("password".to_owned(), SecretString::from(text.clone())));
        entry().build(&settings, &Secrets::new(secrets)).unwrap_or_else(|error| panic!("{error}\n{settings:#}"))
    }

    /// What a case plays with.
    pub(crate) fn subject(self) -> Subject {
        let home = Arc::new(self);
        Subject {
            connector: home.connector(&json!({})),
            transport: Arc::clone(&home) as Arc<dyn Transport>,
            secrets: home.password.iter().cloned().collect(),
            world: home,
            calls: entry().about.calls,
        }
    }

    /// Runs SQL of the administrator's, with `{s}` for the place.
    pub(crate) async fn run(&self, sql: &str) {
        self.admin.lock().await.run(&sql.replace("{s}", &self.name)).await;
    }

    /// The texts of a query's rows.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.admin.lock().await.texts(&sql.replace("{s}", &self.name)).await
    }

    /// Ends every connection of the gateway's user.
    pub(crate) async fn cut(&self) {
        let mut admin = self.admin.lock().await;
        let name = &self.name;
        match &mut *admin {
            Admin::Postgres(_) => {
                admin
                    .texts(&format!(
                        "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE usename = '{name}'"
                    ))
                    .await;
            }
            Admin::MariaDb(_) => {
                let all = admin
                    .texts(&format!(
                        "SELECT CAST(id AS CHAR) FROM information_schema.processlist WHERE user = '{name}'"
                    ))
                    .await;
                for id in all.into_iter().flatten().flatten() {
                    let killed = sqlx::raw_sql(AssertSqlSafe(format!("KILL {id}")));
                    if let Admin::MariaDb(link) = &mut *admin {
                        // It may have ended by itself.
                        killed.execute(link).await.ok();
                    }
                }
            }
            Admin::Sqlite(_) => {}
        }
    }

    /// What it holds, as simulators tell it.
    pub(crate) async fn state(&self) -> Value {
        let layout = self.layout;
        let accounts: Vec<Value> = self
            .texts(layout.accounts)
            .await
            .into_iter()
            .map(|row| {
                json!({ "id": row[0], "login": row[1], "email": row[2], "active": row[3].as_deref() == Some("1"), "role": row[4], "name": row[5] })
            })
            .collect();
        let members = self.texts(layout.members).await;
        let groups: Vec<Value> = self
            .texts(layout.groups)
            .await
            .into_iter()
            .map(|row| {
                let of: Vec<Value> = members
                    .iter()
                    .filter(|member| member[0] == row[0])
                    .map(|member| json!({ "id": member[1] }))
                    .collect();
                json!({ "id": row[0], "name": row[1], "members": of })
            })
            .collect();
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }
}

#[async_trait]
impl World for Home {
    async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String> {
        match (method, path) {
            ("GET", "/_sim/state") => Ok(self.state().await),
            ("POST", "/_sim/load") => {
                for (kind, statement) in [("accounts", self.layout.account), ("groups", self.layout.group)] {
                    let count = body[kind].as_u64().unwrap_or(0);
                    let many: Vec<String> =
                        (0..count).map(|n| statement.replace("{name}", &format!("load{n:04}"))).collect();
                    self.run(&format!("BEGIN;\n{};\nCOMMIT", many.join(";\n"))).await;
                }
                Ok(json!({}))
            }
            other => Err(format!("a database has no {other:?}")),
        }
    }

    fn now(&self) -> Timestamp {
        "2026-01-02T03:04:05Z".parse().expect("a time")
    }

    async fn revoke_credential(&self) -> Result<(), String> {
        let sql = match &*self.admin.lock().await {
            Admin::Postgres(_) => "ALTER ROLE {s} NOLOGIN",
            Admin::MariaDb(_) => "ALTER USER '{s}'@'%' ACCOUNT LOCK",
            Admin::Sqlite(_) => return Err("a file has no credential".to_owned()),
        };
        self.run(sql).await;
        self.cut().await;
        Ok(())
    }
}

#[async_trait]
impl Transport for Home {
    async fn send(&self, _: Call) -> Result<Reply, Fault> {
        Err(Fault::new(FaultKind::NotSent, "A database speaks no HTTP."))
    }

    async fn addresses(&self, _: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))])
    }

    fn allows_plain(&self) -> bool {
        true
    }

    async fn file(&self, name: &str) -> Result<PathBuf, Fault> {
        let folder = self.folder.as_ref().ok_or_else(|| Fault::new(FaultKind::NotSent, "There are no files here."))?;
        Ok(folder.join(name))
    }

    async fn perform(&self, _: Step, work: Work<'_>) -> Result<(), Fault> {
        work.await.result
    }
}
