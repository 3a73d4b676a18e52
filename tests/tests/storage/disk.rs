//! Rows 21 and 22: a disk that is full, and one that fails.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::postgres::is_root;
use tests::{Db, Gateway, wait_until};

use super::BOUND;
use super::client::{comes_again, paused};

/// A file system of 16 MB, of memory. Unmounted when this is dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(folder.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room there is.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut file = std::fs::File::create(&path).expect("a file can be made");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.path()).status().ok();
    }
}

#[tokio::test]
async fn a_full_disk_is_answered_with_503_loses_nothing_and_is_recovered_from() {
    let Some(disk) = is_root().then(Small::mount).flatten() else {
        eprintln!("skipped: a full disk (a small file system can only be mounted as root)");
        return;
    };
    let data = disk.path().join("data").display().to_string();
    let mut gateway = Gateway::start_with(Db::Sqlite, &[("SCIMGATE_DATA_DIR", &data)]).await;
    let (_sim, mut client) = paused(&gateway).await;
    for round in 0..2 {
        for n in 0..20 {
            client.created(&format!("before{round}.{n}@example.com")).await;
        }
        let filler = disk.fill();
        let mut refused = 0;
        for n in 0..5_000 {
            let name = format!("full{round}.{n}@example.com");
            let answer = client.create(&name).await.expect("it answers, though its disk is full");
            if answer.status != 201 {
                comes_again(&answer);
                refused += 1;
                if refused == 20 {
                    break;
                }
            }
        }
        assert_eq!(refused, 20, "the disk never got full");
        client.all_are_there().await;
        std::fs::remove_file(filler).expect("there was a filler");
        let name = format!("after{round}@example.com");
        wait_until("writes are taken again", BOUND, async || {
            let answer = client.create(&name).await.expect("it answers");
            (answer.status == 201).then_some(())
        })
        .await;
        assert!(gateway.alive());
        client.all_are_there().await;
    }
    gateway.kill().await;
    gateway.restart().await;
    client.all_are_there().await;
    let copy = gateway.folder().join("copy.db").display().to_string();
    let checked = gateway.command(&["backup", "--to", &copy]).await;
    assert_eq!(checked.code, Some(0), "the check of the whole file: {}", checked.error);
}

/// Calls of `fsync` that fail once a file is there.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) {
    const char *flag = getenv("FAILS_WHEN");
    return flag && access(flag, F_OK) == 0;
}
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (broken()) { errno = EIO; return -1; }
    return real(fd);
}
int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (broken()) { errno = EIO; return -1; }
    return real(fd);
}
"#;

fn shim(folder: &Path) -> Option<String> {
    let (source, library) = (folder.join("shim.c"), folder.join("shim.so"));
    std::fs::write(&source, SHIM).expect("a file can be written");
    let built = Command::new("gcc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    built.is_ok_and(|status| status.success()).then(|| library.display().to_string())
}

#[tokio::test]
async fn after_an_error_of_the_disk_the_process_ends_and_the_next_start_has_everything() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let Some(library) = shim(folder.path()) else {
        eprintln!("skipped: an error of the disk (no gcc)");
        return;
    };
    let flag = folder.path().join("fails");
    let flag_text = flag.display().to_string();
    let env = [("LD_PRELOAD", library.as_str()), ("FAILS_WHEN", flag_text.as_str())];
    let mut gateway = Gateway::start_with(Db::Sqlite, &env).await;
    let (_sim, mut client) = paused(&gateway).await;
    for n in 0..20 {
        client.created(&format!("before{n}@example.com")).await;
    }
    std::fs::write(&flag, "").expect("a file can be written");
    for n in 0..20 {
        // Refused, or not answered any more: never acknowledged.
        let answer = client.create(&format!("broken{n}@example.com")).await;
        assert!(answer.is_none_or(|answer| answer.status == 503), "acknowledged on a disk that fails");
    }
    assert!(!gateway.ended().await, "a failed disk is no success");
    let log = gateway.log();
    assert!(log.contains("database file failed") && log.contains("Check the disk"), "{log}");
    std::fs::remove_file(&flag).expect("it was there");
    gateway.restart().await;
    client.all_are_there().await;
    client.created("after@example.com").await;
    tokio::time::timeout(Duration::from_secs(30), gateway.terminate()).await.expect("it ends");
}

#[tokio::test]
async fn a_log_that_could_not_be_written_made_requests_and_runs_of_the_driver_panic() {
    let full = Path::new("/dev/full");
    if !full.exists() {
        eprintln!("skipped: a full log (this system has no /dev/full)");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let wrapper = folder.path().join("mute");
    let script = format!("#!/bin/sh\nexec '{}' \"$@\" 2>/dev/full\n", tests::process::binary().display());
    std::fs::write(&wrapper, script).expect("a file can be written");
    let gateway = Gateway::start_under(&wrapper, Db::Sqlite, &[("SCIMGATE_LOG", "debug")]).await;
    let sim = tests::Sim::start("github").await;
    let admin = gateway.admin();
    let made = admin.connect(&sim, serde_json::json!({})).await;
    made.scim.user("ada@example.com", "ada@example.com").await;
    admin.settled(&made.id).await;
    assert_eq!(sim.state().await["invitations"][0]["email"], "ada@example.com");
    let metrics = reqwest::get(format!("{}/metrics", gateway.url)).await.expect("the gateway answers");
    let metrics = metrics.text().await.expect("the answer is text");
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("scimgate_log_lines_dropped_total "));
    assert!(dropped.is_some_and(|count| count.parse().is_ok_and(|count: u64| count > 0)), "{dropped:?}");
}
