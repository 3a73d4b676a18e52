//! The exchange of the master key, and a replica that does not have it (row 35).

use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use tests::process::{self, Process};
use tests::{Gateway, Sim, databases, wait_until};

use super::BOUND;
use super::client::{Client, invited};

const NEW: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const OTHER: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

#[tokio::test]
async fn with_another_master_key_keys_and_credentials_go_on_and_the_old_one_opens_nothing() {
    for db in databases() {
        let sim = Sim::start("github").await;
        let mut gateway = Gateway::start(db).await;
        let made = gateway.admin().connect(&sim, json!({})).await;
        let mut client = Client::new(made.scim.clone());
        client.created("before@example.com").await;
        let file = gateway.folder().join("new.key");
        std::fs::write(&file, format!("{NEW}\n")).expect("a file can be written");
        let path = file.display().to_string();
        let args = ["secrets", "rotate", "--new-key-file", &path];

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).expect("it is ours");
        let open = gateway.command(&args).await;
        assert!(open.code != Some(0) && open.error.contains("chmod 600"), "{open:?}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        let running = gateway.command(&args).await;
        let words = ["another scimgate uses", "stop them first"];
        assert!(running.code == Some(1) && words.iter().any(|words| running.error.contains(words)), "{running:?}");
        client.created("meanwhile@example.com").await;
        gateway.terminate().await;

        let rotated = gateway.command(&args).await;
        assert_eq!(rotated.code, Some(0), "{}", rotated.error);
        assert!(rotated.out.starts_with("1 secrets are sealed"), "{}", rotated.out);
        let again = gateway.command(&args).await;
        assert!(again.code != Some(0) && again.error.contains("master key"), "the old key opens nothing: {again:?}");
        let refused = gateway.command(&["serve", "--listen", "127.0.0.1:0"]).await;
        assert!(refused.code != Some(0) && refused.error.contains("not the one"), "{refused:?}");

        gateway.set("SCIMGATE_MASTER_KEY", NEW);
        gateway.restart().await;
        client.all_are_there().await;
        client.created("after@example.com").await;
        gateway.admin().settled(&made.id).await;
        assert_eq!(invited(&sim).await, ["after@example.com", "before@example.com", "meanwhile@example.com"]);
        let key = gateway.admin().key(&made.id).await;
        gateway.terminate().await;

        // Once more, the other way: NEW,OLD in the setting. Keys of both times go on.
        gateway.set("SCIMGATE_MASTER_KEY", &format!("{OTHER},{NEW}"));
        let rotated = gateway.command(&["secrets", "rotate"]).await;
        assert_eq!(rotated.code, Some(0), "{}", rotated.error);
        gateway.set("SCIMGATE_MASTER_KEY", OTHER);
        gateway.restart().await;
        client.all_are_there().await;
        client.scim.key = key;
        client.all_are_there().await;
        gateway.terminate().await;
    }
}

#[tokio::test]
async fn a_key_file_is_exchanged_with_what_it_seals() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let data = folder.path().display().to_string();
    let env = [("SCIMGATE_DATA_DIR", data.as_str()), ("SCIMGATE_LISTEN", "127.0.0.1:0")];
    let log = folder.path().join("serve.log");
    let key = || std::fs::read_to_string(folder.path().join("master.key")).expect("there is a key file");
    let mut gateway = Process::start(&["serve", "--ready-json"], &env, &log).await;
    assert!(gateway.terminate().await);
    let first = key();
    let rotated = process::run(&["secrets", "rotate"], &env).await;
    assert_eq!(rotated.code, Some(0), "{}", rotated.error);
    assert!(key() != first && !key().contains(','), "one new key");
    let mut gateway = Process::start(&["serve", "--ready-json"], &env, &log).await;
    assert!(gateway.ready.get("admin_token").is_none(), "the admin token is the one of before");
    assert!(gateway.terminate().await);
}

/// Row 35.
#[tokio::test]
async fn a_replica_without_the_master_key_does_not_start_and_says_why() {
    for db in databases() {
        let mut gateway = Gateway::start(db).await;
        let shared = gateway.database().url.is_some();
        if !shared {
            gateway.terminate().await;
        }
        let folder = gateway.folder().display().to_string();
        let mut env = vec![("SCIMGATE_DATA_DIR", folder.as_str()), ("SCIMGATE_LISTEN", "127.0.0.1:0")];
        env.extend(gateway.database().url.as_deref().map(|url| ("SCIMGATE_DATABASE_URL", url)));
        let none = process::run(&["serve"], &env).await;
        assert!(none.code.is_some_and(|code| code != 0) && none.error.contains("SCIMGATE_MASTER_KEY"), "{none:?}");
        env.push(("SCIMGATE_MASTER_KEY", OTHER));
        let wrong = process::run(&["serve"], &env).await;
        assert!(wrong.code.is_some_and(|code| code != 0), "{wrong:?}");
        assert!(wrong.error.contains("not the one this database was set up with"), "{wrong:?}");
        if shared {
            wait_until("the others are not disturbed", BOUND, async || {
                gateway.admin().call(http::Method::GET, "/instances", None).await.expect(200);
                Some(())
            })
            .await;
        }
    }
}
