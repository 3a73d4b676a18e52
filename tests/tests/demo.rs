//! `scimgate demo --once`, as somebody runs it after the first build.

use std::process::Stdio;
use std::time::Duration;

use tests::env::setting;
use tests::process::binary;
use tokio::process::Command;

/// A demonstration takes a second or two; the bound is for a machine that compiles beside it.
const BOUND: Duration = Duration::from_secs(120);

struct Played {
    code: Option<i32>,
    out: String,
    err: String,
    left: Vec<String>,
}

async fn demo(args: &[&str]) -> Played {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut command = Command::new(binary());
    command.arg("demo").args(args).env_clear().env("TMPDIR", folder.path()).stdin(Stdio::null()).kill_on_drop(true);
    for kept in ["PATH", "HOME", "LLVM_PROFILE_FILE"] {
        if let Some(value) = setting(kept) {
            command.env(kept, value);
        }
    }
    let output = tokio::time::timeout(BOUND, command.output())
        .await
        .expect("the demonstration is over within its bound")
        .expect("scimgate demo can be started");
    let left = std::fs::read_dir(folder.path())
        .expect("the folder is still there")
        .map(|entry| entry.expect("a readable folder").file_name().to_string_lossy().into_owned())
        .collect();
    Played {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        left,
    }
}

#[tokio::test]
async fn the_demonstration_shows_what_reached_both_targets() {
    let played = demo(&["--once"]).await;
    assert_eq!(played.code, Some(0), "{}\n{}", played.out, played.err);
    for target in ["GitHub", "Buildkite"] {
        for (what, then) in [
            ("Ada created", format!("invited at {target}")),
            ("Grace created", format!("invited at {target}")),
            ("Both accept", format!("members of the organisation at {target}")),
            ("Group Engineers created", format!("team with Ada and Grace at {target}")),
            ("Group renamed to Platform", format!("the same team, renamed at {target}")),
            ("Ada deactivated", format!("gone from {target} and from the team")),
        ] {
            let told =
                played.out.lines().filter(|line| line.trim_start().starts_with(what) && line.contains(&then)).count();
            assert_eq!(told, 1, "{what} -> {then}:\n{}", played.out);
        }
    }
    let base_urls = played
        .out
        .lines()
        .filter(|line| {
            line.contains("base URL http://127.0.0.1:") && line.contains("/i/in_") && line.ends_with("/scim/v2")
        })
        .count();
    assert_eq!(base_urls, 2, "{}", played.out);
    assert!(played.left.is_empty(), "left behind: {:?}", played.left);
}

#[tokio::test]
async fn a_demonstration_that_cannot_listen_says_so_and_fails() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it has an address").to_string();
    let played = demo(&["--once", "--listen", &address]).await;
    assert_eq!(played.code, Some(1), "{}", played.out);
    assert!(played.err.contains(&address), "{}", played.err);
    assert!(played.left.is_empty(), "left behind: {:?}", played.left);
}
