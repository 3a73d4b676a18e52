//! A MariaDB server of one test's own: a temporary folder, a loopback port. It ends with the test.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A running server.
pub(crate) struct MariaDb {
    /// Its port on 127.0.0.1.
    pub(crate) port: u16,
    child: Child,
    // Held for its end, after the server's.
    _folder: TempDir,
}

/// Its administrator's name; the password is empty.
pub(crate) const ADMIN: &str = "root";

fn program(name: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.is_file())
}

impl MariaDb {
    /// Starts one with these further options; `None` where MariaDB is not installed.
    ///
    /// # Panics
    /// If it is there and does not start.
    pub(crate) fn start(options: &[String]) -> Option<Self> {
        let (install, server) = (program("mariadb-install-db")?, program("mariadbd")?);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let data = folder.path().join("data");
        std::fs::create_dir(&data).expect("a folder can be made in a temporary one");
        // As the system's administrator it runs as its own user, who must reach the folder.
        let root = std::fs::read_dir("/root").is_ok();
        let user = if root { "mysql" } else { "" };
        if root {
            let given = Command::new("chown").arg("-R").arg(user).arg(folder.path()).status();
            assert!(given.is_ok_and(|status| status.success()), "the server's folder cannot be given to it");
        }
        let as_user = || root.then(|| format!("--user={user}"));
        let made = Command::new(install)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .arg(format!("--datadir={}", data.display()))
            // Of its own: servers that are made at once take each other's files away.
            .env("TMPDIR", &data)
            .args(as_user())
            .stdin(Stdio::null())
            .output()
            .expect("mariadb-install-db can be run");
        assert!(made.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&made.stderr));
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
            listener.local_addr().expect("a listener has an address").port()
        };
        let mut child = Command::new(server)
            .args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
            .args(["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M"])
            .arg(format!("--tmpdir={}", data.display()))
            .arg(format!("--port={port}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", data.join("s").display()))
            .arg(format!("--pid-file={}", data.join("pid").display()))
            .args(as_user())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mariadbd can be run");
        let mut said = BufReader::new(child.stderr.take().expect("its words are piped"));
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            let read = said.read_line(&mut line).expect("its words can be read");
            assert!(read > 0, "mariadbd ended: {heard}");
            heard.push_str(&line);
            if line.contains("ready for connections") {
                break;
            }
        }
        // What it says further is read, so that it never waits for a reader.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        Some(Self { port, child, _folder: folder })
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
