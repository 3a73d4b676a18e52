//! `scimgate manifest` as a process: exit codes, what goes where.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::desk::{Desk, MANIFEST, TOKEN, manifest};
use crate::manifests::Gateway;

struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command line; standard input is closed, so nobody can be asked.
async fn scimgate(folder: &Path, line: &str, further: &[(&str, &str)]) -> Said {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_scimgate"));
    command.args(line.split(' ')).current_dir(folder).stdin(std::process::Stdio::null()).env_clear();
    command.envs(further.iter().copied());
    let done = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { code: done.status.code().unwrap(), out: text(done.stdout), err: text(done.stderr) }
}

impl Said {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_checked_previewed_and_tried_without_a_gateway() {
    let desk = Desk::open().await;
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("desk.toml", MANIFEST);
    write("bad.toml", &MANIFEST.replace("type = \"bearer\"", "type = \"bear\""));
    write("token", TOKEN);
    let at = folder.path();
    let good = scimgate(at, "manifest check desk.toml", &[]).await.expect(0);
    assert!(good.out.contains("accounts.create") && good.err.contains("desk 1"), "{}{}", good.out, good.err);
    let bad = scimgate(at, "manifest check bad.toml", &[]).await.expect(2);
    assert!(bad.err.contains("bad.toml:") && bad.err.contains("auth") && bad.out.is_empty(), "{}", bad.err);
    let bad = scimgate(at, "manifest check bad.toml --json", &[]).await.expect(2).json();
    assert_eq!(bad["ok"], false);
    scimgate(at, "manifest check nothing.toml", &[]).await.expect(2);
    let shown = scimgate(at, "manifest preview desk.toml --set url=https://desk.example.com", &[]).await.expect(0);
    assert!(shown.out.contains("POST https://desk.example.com/people"), "{}", shown.out);
    assert!(scimgate(at, "manifest schema", &[]).await.expect(0).json()["$schema"].is_string());

    let test =
        format!("manifest test desk.toml --local --allow-private-targets --set url={} --secret token=@token", desk.url);
    let read = scimgate(at, &test, &[]).await.expect(0);
    assert!(read.out.contains("list accounts") && !read.out.contains(TOKEN), "{}", read.out);
    let asked = scimgate(at, &format!("{test} --allow-writes"), &[]).await.expect(5);
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert_eq!(desk.writes(), [] as [String; 0]);
    let wrote = scimgate(at, &format!("{test} --allow-writes --yes --json"), &[]).await.expect(0).json();
    assert_eq!((&wrote["ok"], &wrote["left_behind"]), (&json!(true), &json!([])));
    assert!(!desk.writes().is_empty() && desk.people().is_empty());
    // Without leave, private addresses are not called.
    let guarded = format!("manifest test desk.toml --local --set url={} --secret token=@token", desk.url);
    scimgate(at, &guarded, &[]).await.expect(6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_uploaded_shown_and_an_instance_moved_from_the_shell() {
    let desk = Desk::open().await;
    let gateway = Gateway::on(None, TempDir::new().unwrap(), None).await;
    let url = gateway.listen().await;
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    let write = |name: &str, text: &str| std::fs::write(at.join(name), text).unwrap();
    write("desk.toml", MANIFEST);
    write("desk2.toml", &manifest("2", "The name on the door.", "A name."));
    write("bad.toml", &MANIFEST.replace("type = \"bearer\"", "type = \"bear\""));
    write("token", TOKEN);
    let env = [("SCIMGATE_URL", url.as_str()), ("SCIMGATE_ADMIN_TOKEN", "admin-token-for-tests")];
    let env = env.as_slice();
    assert_eq!(scimgate(at, "manifest upload desk.toml", env).await.expect(0).out, "desk\t1\n");
    let bad = scimgate(at, "manifest upload bad.toml", env).await.expect(2);
    assert!(bad.err.contains("bad.toml:") && bad.err.contains("auth"), "{}", bad.err);
    assert!(scimgate(at, "manifest list", env).await.expect(0).out.starts_with("desk\t1\tDesk"));
    let test = format!("manifest test desk.toml --set url={} --secret token=@token --json", desk.url);
    assert_eq!(scimgate(at, &test, env).await.expect(0).json()["ok"], true);
    let create = format!(
        "instance create --connector desk --name desk --set url={} --secret token=@token --mode paused",
        desk.url
    );
    scimgate(at, &create, env).await.expect(0);
    scimgate(at, "manifest upload desk2.toml", env).await.expect(0);
    assert_eq!(
        scimgate(at, "manifest show desk --text", env).await.expect(0).out,
        manifest("2", "The name on the door.", "A name.")
    );
    let dry = scimgate(at, "instance upgrade desk 2 --dry-run", env).await.expect(0);
    assert!(dry.out.contains("version\t1\t2") && dry.err.contains("Nothing was changed"), "{}{}", dry.out, dry.err);
    scimgate(at, "manifest delete desk 2", env).await.expect(5);
    scimgate(at, "instance upgrade desk 2", env).await.expect(0);
    scimgate(at, "manifest delete desk 2 --yes", env).await.expect(1);
    scimgate(at, "manifest delete desk 1 --yes", env).await.expect(0);
    scimgate(at, "manifest show desk 7", env).await.expect(3);
    let shown = scimgate(at, "instance show desk --json", env).await.expect(0).json();
    assert_eq!(shown["connector_version"], "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_config_names_file_line_and_field_of_a_wrong_manifest() {
    let folder = TempDir::new().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("manifests")).unwrap();
    let line = "check-config --manifests-dir manifests --data-dir data";
    std::fs::write(at.join("manifests/desk.toml"), MANIFEST).unwrap();
    let good = scimgate(at, line, &[]).await.expect(0);
    assert!(good.err.contains("desk 1: manifests/desk.toml"), "{}", good.err);
    std::fs::write(at.join("manifests/desk.toml"), MANIFEST.replace("type = \"bearer\"", "type = \"bear\"")).unwrap();
    let bad = scimgate(at, line, &[]).await.expect(2);
    assert!(bad.err.contains("manifests/desk.toml line ") && bad.err.contains("auth"), "{}", bad.err);
}
