//! A PostgreSQL server of one test's own, to be restarted and killed at will. The server that tests share is
//! never touched.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::env::setting;

/// A running server. It is stopped when this is dropped.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

/// Where PostgreSQL's programs are, the newest version's.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .chain([PathBuf::from("/usr/local/pgsql/bin")])
        .filter(|folder| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file())
        .collect();
    found.sort();
    found.pop()
}

impl Postgres {
    /// Starts one; `None` where PostgreSQL is not installed.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("a listener has an address").port();
        drop(listener);
        let server = Self { programs, folder, port };
        if is_root() {
            let given = Command::new("chown").arg("-R").arg("postgres").arg(server.folder.path()).status();
            assert!(given.is_ok_and(|status| status.success()), "the server's folder cannot be given to it");
        }
        let data = server.data();
        server.run(
            "initdb",
            &["--pgdata", &data, "--username=scimgate", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"],
        );
        server.control("start", &[]);
        Some(server)
    }

    /// The URL of its one database.
    pub fn url(&self) -> String {
        format!("postgres://scimgate@127.0.0.1:{}/postgres", self.port)
    }

    /// Ends it as a crash would (`immediate`: no checkpoint, connections cut) and starts it again, which
    /// recovers from its log.
    pub fn crash(&self) {
        self.control("stop", &["--mode=immediate"]);
        self.control("start", &[]);
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn control(&self, verb: &str, more: &[&str]) {
        // Commits wait for their write; a power cut is not what is tested here.
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off -c max_connections=120",
            self.port,
            self.folder.path().display()
        );
        let (data, log) = (self.data(), self.folder.path().join("log").display().to_string());
        let mut args = vec![verb, "--pgdata", &data, "--silent", "--wait", "--timeout=60"];
        if verb == "start" {
            args.extend(["--log", &log, "--options", &options]);
        }
        args.extend(more);
        self.run("pg_ctl", &args);
    }

    fn run(&self, program: &str, args: &[&str]) {
        let path = self.programs.join(program);
        let mut command = match is_root() {
            // The server refuses to be root.
            true => {
                let mut command = Command::new("runuser");
                command.args(["--user", "postgres", "--"]).arg(path);
                command
            }
            false => Command::new(path),
        };
        let status = command.args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "{program} {args:?} failed");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let data = self.data();
        let stop = ["stop", "--pgdata", &data, "--silent", "--mode=immediate"];
        let path = self.programs.join("pg_ctl");
        let mut command = if is_root() { Command::new("runuser") } else { Command::new(&path) };
        if is_root() {
            command.args(["--user", "postgres", "--"]).arg(path);
        }
        command.args(stop).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).status().ok();
    }
}

/// Whether the tests run as the system's administrator.
pub fn is_root() -> bool {
    setting("USER").as_deref() == Some("root") || std::fs::read_dir("/root").is_ok()
}

/// One of PostgreSQL's programs, such as `pg_dump`.
pub fn program(name: &str) -> Option<PathBuf> {
    programs().map(|folder| folder.join(name)).filter(|path| path.is_file())
}
