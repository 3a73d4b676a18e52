//! The gateway as a process on a database and a data folder of its own.

use std::path::Path;

use tempfile::TempDir;

use crate::admin::Admin;
use crate::db::{Database, Db};
use crate::process::{self, Ended, Process};

/// Base64 of 32 bytes; the key of a test protects nothing.
const MASTER_KEY: &str = "c2NpbWdhdGUtdGVzdHMtbWFzdGVyLWtleS0zMi1iLiE=";
/// The admin token of every test gateway.
const ADMIN_TOKEN: &str = "tests-admin-token";

/// A running gateway. It listens on loopback and may call targets there.
#[derive(Debug)]
pub struct Gateway {
    process: Process,
    // Dropped after the process: fields go in order.
    database: Database,
    folder: TempDir,
    env: Vec<(String, String)>,
    /// Where it listens: `http://127.0.0.1:PORT`; the same after a restart.
    pub url: String,
}

impl Gateway {
    /// Starts one on an empty database.
    pub async fn start(db: Db) -> Self {
        Self::start_with(db, &[]).await
    }

    /// Starts one with more of its environment set.
    pub async fn start_with(db: Db, env: &[(&str, &str)]) -> Self {
        Self::start_on(db.fresh().await, &std::env::temp_dir(), env).await
    }

    /// Starts one on a database, its data folder in a folder of the test's choice.
    pub async fn start_on(database: Database, place: &Path, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir_in(place).expect("a temporary folder can be made");
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let process = launch(&database, folder.path(), "127.0.0.1:0", &env).await;
        let url = process.said("listen");
        Self { process, database, folder, env, url }
    }

    /// Starts another replica on the same database, a PostgreSQL one.
    pub async fn beside(&self) -> Self {
        let database = self.database.again();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let process = launch(&database, folder.path(), "127.0.0.1:0", &self.env).await;
        let url = process.said("listen");
        Self { process, database, folder, env: self.env.clone(), url }
    }

    /// Starts one by way of a script, which starts the binary with its arguments.
    pub async fn start_under(script: &Path, db: Db, env: &[(&str, &str)]) -> Self {
        let database = db.fresh().await;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let all = environment(&database, &folder.path().display().to_string(), "127.0.0.1:0", &env);
        let all: Vec<_> = all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let log = folder.path().join("serve.log");
        let process = Process::start_script(script, &["serve", "--ready-json"], &all, &log).await;
        let url = process.said("listen");
        Self { process, database, folder, env, url }
    }

    /// Has its process, from the next [`Self::restart`] on, started with this in its environment.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Runs another command of the binary to its end, with the environment of this gateway.
    pub async fn command(&self, args: &[&str]) -> Ended {
        let folder = self.folder.path().display().to_string();
        let env = environment(&self.database, &folder, "127.0.0.1:0", &self.env);
        let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        process::run(args, &env).await
    }

    /// Waits until it has ended by itself; answers whether with success.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(&mut self) -> bool {
        self.process.ended().await
    }

    /// The most memory that it has had, in bytes (Linux).
    pub fn peak_memory(&self) -> u64 {
        self.process.peak_memory()
    }

    /// Stops it where it stands (SIGSTOP), until [`Self::kill`] or [`Self::thaw`].
    pub async fn freeze(&self) {
        self.process.freeze().await;
    }

    /// Lets it go on where it was stopped (SIGCONT).
    pub async fn thaw(&self) {
        self.process.thaw().await;
    }

    /// Kills it where it stands (SIGKILL). The database stays.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Ends it in good order (SIGTERM).
    ///
    /// # Panics
    /// If it does not end, or not with success.
    pub async fn terminate(&mut self) {
        assert!(self.process.terminate().await, "ended with an error:\n{}", self.process.log());
    }

    /// Starts it again on the same database, folder and port, after [`Self::kill`] or
    /// [`Self::terminate`].
    pub async fn restart(&mut self) {
        let listen = self.url.strip_prefix("http://").unwrap_or(&self.url).to_owned();
        self.process = launch(&self.database, self.folder.path(), &listen, &self.env).await;
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        self.process.alive()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its data folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database it runs on.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Its admin API.
    pub fn admin(&self) -> Admin {
        Admin::new(&self.url, ADMIN_TOKEN)
    }
}

async fn launch(database: &Database, folder: &Path, listen: &str, more: &[(String, String)]) -> Process {
    let env = environment(database, &folder.display().to_string(), listen, more);
    let env: Vec<_> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    Process::start(&["serve", "--ready-json"], &env, &folder.join("serve.log")).await
}

/// The environment of a gateway's process; what is in `more` goes before.
fn environment(database: &Database, folder: &str, listen: &str, more: &[(String, String)]) -> Vec<(String, String)> {
    let mut env = vec![
        ("SCIMGATE_LISTEN", listen),
        ("SCIMGATE_DATA_DIR", folder),
        ("SCIMGATE_ADMIN_TOKEN", ADMIN_TOKEN),
        ("SCIMGATE_MASTER_KEY", MASTER_KEY),
        ("SCIMGATE_ALLOW_PRIVATE_TARGETS", "true"),
    ];
    if let Some(url) = &database.url {
        env.push(("SCIMGATE_DATABASE_URL", url));
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    env.into_iter().map(owned).chain(more.iter().cloned()).collect()
}
