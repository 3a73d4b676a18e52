//! The real binary as a child process that tells in one JSON line when it is ready.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::env::setting;

/// How long a process may take until it is ready. A start takes a fraction of a second; the bound
/// is for a machine that compiles beside it.
const READY: Duration = Duration::from_secs(60);

/// The `scimgate` binary: `SCIMGATE_TEST_BINARY`, else the one that cargo built beside this test.
///
/// # Panics
/// If there is none. `tests/run` builds it first.
pub fn binary() -> PathBuf {
    if let Some(path) = setting("SCIMGATE_TEST_BINARY") {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "SCIMGATE_TEST_BINARY names no file: {}", path.display());
        return path;
    }
    let test = std::env::current_exe().expect("a running test has a path");
    // target/debug/deps/NAME-HASH -> target/debug -> target
    let profile = test.parent().and_then(Path::parent).expect("a test lies in target/PROFILE/deps");
    let target = profile.parent().expect("a profile lies in target");
    [profile.to_owned(), target.join("release"), target.join("debug")]
        .iter()
        .map(|folder| folder.join("scimgate"))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!("no scimgate in {} or beside it: run tests/run, or `cargo build` first", profile.display())
        })
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub error: String,
}

/// Runs the binary to its end, with nothing of ours in its environment but `env`.
///
/// # Panics
/// If it cannot be started, or does not end.
pub async fn run(args: &[&str], env: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(binary());
    command.args(args).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    for kept in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = setting(kept) {
            command.env(kept, value);
        }
    }
    let ended = tokio::time::timeout(READY, command.output()).await;
    let ended = ended.unwrap_or_else(|_| panic!("scimgate {args:?} did not end within {} s", READY.as_secs()));
    let ended = ended.unwrap_or_else(|error| panic!("could not start scimgate {args:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: ended.status.code(), out: text(&ended.stdout), error: text(&ended.stderr) }
}

/// A child process. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// What it said when it was ready.
    pub ready: Value,
}

impl Process {
    /// Starts the binary and waits for its ready line. Its environment holds nothing of ours but
    /// `env`; what it logs goes to `log`.
    ///
    /// # Panics
    /// If it ends or stays silent; shows the end of its log.
    pub async fn start(args: &[&str], env: &[(&str, &str)], log: &Path) -> Self {
        Self::start_program(&binary(), args, env, log).await
    }

    /// The same with a script in its place, which starts the binary in its turn.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_script(script: &Path, args: &[&str], env: &[(&str, &str)], log: &Path) -> Self {
        let mut all = vec![script.to_str().expect("a temporary folder's name is text")];
        all.extend(args);
        Self::start_program(Path::new("sh"), &all, env, log).await
    }

    async fn start_program(program: &Path, args: &[&str], env: &[(&str, &str)], log: &Path) -> Self {
        let sink = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap_or_else(|error| panic!("could not write {}: {error}", log.display()));
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(sink)
            .kill_on_drop(true);
        for kept in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = setting(kept) {
                command.env(kept, value);
            }
        }
        let mut child = command.spawn().unwrap_or_else(|error| panic!("could not start scimgate {args:?}: {error}"));
        let out = child.stdout.take().expect("stdout was asked for");
        let mut lines = BufReader::new(out).lines();
        let ready = tokio::time::timeout(READY, async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(value @ Value::Object(_)) = serde_json::from_str(&line) {
                    return Some(value);
                }
            }
            None
        })
        .await;
        // Whatever else it says is read and dropped, so that a full pipe never stops it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        match ready {
            Ok(Some(ready)) => Self { child, log: log.to_owned(), ready },
            Ok(None) => {
                panic!("scimgate {args:?} ended before it was ready ({:?}):\n{}", child.wait().await, tail(log))
            }
            Err(_) => panic!("scimgate {args:?} was not ready within {} s:\n{}", READY.as_secs(), tail(log)),
        }
    }

    /// A text of the ready line.
    ///
    /// # Panics
    /// If it is not there.
    pub fn said(&self, name: &str) -> String {
        self.ready
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {name} in the ready line {}", self.ready))
            .to_owned()
    }

    /// Stops it where it stands (SIGSTOP): it neither reads nor writes any more, until it is killed or
    /// [`Self::thaw`] lets it go on.
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    /// Lets it go on where it was stopped (SIGCONT).
    ///
    /// # Panics
    /// If the signal cannot be sent.
    pub async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    async fn signal(&self, which: &str) {
        let pid = self.child.id().expect("a process that was not waited for has an id");
        let sent = Command::new("kill").args([which, &pid.to_string()]).status().await;
        assert!(sent.is_ok_and(|status| status.success()), "could not send {which} to process {pid}");
    }

    /// Ends it as a power cut would (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.ok();
    }

    /// Asks it to end (SIGTERM) and waits for that; answers whether it ended with success.
    pub async fn terminate(&mut self) -> bool {
        if let Some(pid) = self.child.id() {
            Command::new("kill").args(["-TERM", &pid.to_string()]).status().await.ok();
        }
        match tokio::time::timeout(READY, self.child.wait()).await {
            Ok(Ok(status)) => status.success(),
            _ => panic!("scimgate did not end within {} s after SIGTERM:\n{}", READY.as_secs(), tail(&self.log)),
        }
    }

    /// Waits until it has ended by itself; answers whether with success.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ended(&mut self) -> bool {
        match tokio::time::timeout(READY, self.child.wait()).await {
            Ok(Ok(status)) => status.success(),
            _ => panic!("scimgate did not end by itself within {} s:\n{}", READY.as_secs(), tail(&self.log)),
        }
    }

    /// The most memory that it has had, in bytes (Linux).
    ///
    /// # Panics
    /// If the system does not tell.
    pub fn peak_memory(&self) -> u64 {
        let pid = self.child.id().expect("a process that was not waited for has an id");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the system tells of its processes");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it tells the peak");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number of kB");
        kilobytes * 1024
    }

    /// Whether it still runs.
    pub fn alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        tail(&self.log)
    }
}

fn tail(log: &Path) -> String {
    // Bounded: a log may be a device that never ends.
    let mut text = Vec::new();
    let read = std::fs::File::open(log).and_then(|file| file.take(1 << 26).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text[..read.map_or(0, |_| text.len())]);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(200)..].join("\n")
}
