//! A server of a third party, started by the test that needs it and ended with it.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::env::setting;
use crate::wait_until;

/// How long a server may take until it answers. Most take a few seconds; the bound is for a machine that
/// compiles beside it.
const READY: Duration = Duration::from_secs(180);

/// A program of `third-parties.txt`; where nobody installed them, says that the test is skipped and answers `None`.
///
/// # Panics
/// If `SCIMGATE_TEST_PARTIES` is set and the program is not there.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub fn program(test: &str, name: &str) -> Option<PathBuf> {
    let Some(folder) = setting("SCIMGATE_TEST_PARTIES") else {
        eprintln!("skipped: {test}: no SCIMGATE_TEST_PARTIES, which tests/run sets");
        return None;
    };
    let path = Path::new(&folder).join(name);
    assert!(path.is_file(), "SCIMGATE_TEST_PARTIES has no {name}");
    Some(path)
}

/// A loopback port that nobody listens on now.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it has an address").port()
}

/// A running server with a folder of its own, which is its working folder. It is killed when this is dropped.
#[derive(Debug)]
pub struct Party {
    child: Child,
    folder: TempDir,
    /// Where it listens.
    pub port: u16,
}

impl Party {
    /// Starts a program in `folder`, with nothing in its environment but the system's paths, and waits until it takes
    /// connections on `port`.
    ///
    /// # Panics
    /// If it ends or does not answer; shows the end of its log.
    pub async fn start<A: AsRef<OsStr>>(program: &Path, args: &[A], folder: TempDir, port: u16) -> Self {
        let log = folder.path().join("party.log");
        let sink = std::fs::File::create(&log).expect("a temporary folder can be written");
        let also = sink.try_clone().expect("a file can be opened twice");
        let mut command = Command::new(program);
        command.args(args).current_dir(folder.path()).env_clear().env("PYTHONUNBUFFERED", "1");
        for kept in ["PATH", "HOME", "TMPDIR", "LANG"] {
            if let Some(value) = setting(kept) {
                command.env(kept, value);
            }
        }
        command.stdin(Stdio::null()).stdout(sink).stderr(also).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|error| panic!("could not start {}: {error}", program.display()));
        let mut party = Self { child, folder, port };
        let what = format!("{} listens", program.display());
        wait_until(&what, READY, async || {
            if let Ok(Some(status)) = party.child.try_wait() {
                panic!("{} ended before it listened ({status}):\n{}", program.display(), party.log());
            }
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(|_| ())
        })
        .await;
        party
    }

    /// The folder that it works in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What it wrote so far: its last lines.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.folder.path().join("party.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// Ends it, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.ok();
    }
}

/// Runs a program of a third party to its end, in that folder; answers what it wrote to standard output.
///
/// # Panics
/// If it cannot be started, or does not end with success; shows what it wrote.
pub async fn run<A: AsRef<OsStr>>(program: &Path, args: &[A], folder: &Path) -> String {
    let mut command = Command::new(program);
    command.args(args).current_dir(folder).env_clear().stdin(Stdio::null()).kill_on_drop(true);
    for kept in ["PATH", "HOME", "TMPDIR", "LANG"] {
        if let Some(value) = setting(kept) {
            command.env(kept, value);
        }
    }
    let ended = tokio::time::timeout(READY, command.output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("{} did not end", program.display()));
    let ended = ended.unwrap_or_else(|error| panic!("could not start {}: {error}", program.display()));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(ended.status.success(), "{}: {}\n{}", program.display(), text(&ended.stdout), text(&ended.stderr));
    text(&ended.stdout)
}
