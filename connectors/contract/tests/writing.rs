//! docs/connectors/writing.md, followed: what `connector new` lays down compiles and fails the kit with clear
//! words, and with the code of the page it is green.
//!
//! It works in a copy of the workspace and shares the target folder, so that only our own packages are
//! compiled again.

#![allow(clippy::unwrap_used, reason = "a test reports by failing")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use contract::scaffold;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Copies a folder's sources; what was built, hidden folders and test data stay.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if entry.file_type().unwrap().is_dir() {
            if !hidden && name != "target" {
                copy(&entry.path(), &to.join(name));
            }
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Gives the copy a version of its own. Cargo tells packages of a workspace apart by name and version, not by
/// folder: without this the copy's would take the place of ours in the target folder.
fn set_apart(copy: &Path) {
    const VERSION: &str = "version = \"0.0.1-writing\"";
    let manifest = fs::read_to_string(copy.join("Cargo.toml")).unwrap();
    let (_, ours) = manifest.split_once("[workspace.package]\n").unwrap();
    let ours = ours.lines().find(|line| line.starts_with("version = ")).unwrap();
    fs::write(copy.join("Cargo.toml"), manifest.replacen(ours, VERSION, 1)).unwrap();
    let lock = fs::read_to_string(copy.join("Cargo.lock")).unwrap();
    let packages = lock.split("[[package]]").map(|package| {
        if package.contains("\nsource = ") {
            package.to_owned()
        } else {
            package.replace(&format!("\n{ours}\n"), &format!("\n{VERSION}\n"))
        }
    });
    fs::write(copy.join("Cargo.lock"), packages.collect::<Vec<_>>().join("[[package]]")).unwrap();
}

/// Plays the kit over `lunch` in the copy: whether it was green, and what was said.
fn play(copy: &Path, target: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--locked", "--quiet", "-p", "contract", "--", "lunch"])
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    let said = format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

/// The blocks of the page that are a file each.
fn files(page: &str) -> Vec<(&str, &str)> {
    page.split("\n```rust file=")
        .skip(1)
        .filter_map(|part| {
            let (path, rest) = part.split_once('\n')?;
            Some((path, rest.split_once("\n```")?.0))
        })
        .collect()
}

#[test]
fn what_is_laid_down_fails_with_words_and_the_page_makes_it_green() {
    let workspace = workspace();
    // The same place each time, so that what was compiled there before is known.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("writing");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned();
    if scratch.exists() {
        fs::remove_dir_all(&scratch).unwrap();
    }
    copy(&workspace, &scratch);
    set_apart(&scratch);
    let files_laid = scaffold::plan(&scratch, "lunch", Some("Lunch")).unwrap();
    scaffold::write(&scratch, &files_laid).unwrap();
    assert!(scaffold::plan(&scratch, "lunch", None).is_err(), "it is there now");

    let (green, said) = play(&scratch, &target);
    assert!(!green, "{said}");
    for words in [
        "Next, in accounts.rs: a created person is found",
        "NOT WRITTEN YET: `create` in connectors/src/lunch/accounts.rs",
        "ok       all_accounts_are_listed_once",
        "ok       a_living_credential_probes_well",
    ] {
        assert!(said.contains(words), "{words:?} is not said: {said}");
    }

    let page = fs::read_to_string(workspace.join("docs/connectors/writing.md")).unwrap();
    let written = files(&page);
    assert_eq!(written.len(), 2);
    for (path, text) in written {
        assert!(scratch.join(path).exists(), "{path} was laid down");
        fs::write(scratch.join(path), format!("{text}\n")).unwrap();
    }
    let client = scratch.join("connectors/src/lunch/client.rs");
    let text = fs::read_to_string(&client).unwrap();
    let (kept, gone) = text.split_once("\n/// What is not written yet").unwrap();
    assert_eq!(
        gone.matches("\nfn ").count() + gone.matches("\npub(super) fn ").count(),
        1,
        "it is the last in the file"
    );
    fs::write(&client, kept).unwrap();

    let (green, said) = play(&scratch, &target);
    assert!(green, "{said}");
    let counted = said.lines().find(|line| line.contains(" passed, 0 failed")).unwrap();
    assert!(page.contains(counted), "the page tells another count than {counted:?}");
    assert!(!said.contains("made by no case"), "{said}");
    assert!(!said.contains("warning"), "{said}");
}
