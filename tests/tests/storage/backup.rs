//! Row 25: a copy of the database while it is written to, and the way back to it.

use std::os::unix::fs::MetadataExt;

use serde_json::{Value, json};
use tests::{Database, Db, Gateway, Sim, databases, wait_until};

use super::BOUND;
use super::client::{Client, invited, paused};

async fn instance(gateway: &Gateway, id: &str) -> Value {
    gateway.admin().get(&format!("/instances/{id}")).await
}

#[tokio::test]
async fn a_copy_that_is_made_under_load_is_whole_private_and_holds_no_secret() {
    let gateway = Gateway::start(Db::Sqlite).await;
    let (sim, mut client) = paused(&gateway).await;
    for n in 0..30 {
        client.created(&format!("p{n}@example.com")).await;
    }
    let before = client.acknowledged.clone();
    let copy = gateway.folder().join("copy.db");
    let copy_text = copy.display().to_string();
    let args = ["backup", "--to", &copy_text];
    let command = gateway.command(&args);
    tokio::pin!(command);
    let mut n = 0;
    let ended = loop {
        let name = format!("meanwhile{n}@example.com");
        tokio::select! {
            biased;
            ended = &mut command => break ended,
            answer = client.create(&name) => {
                assert_eq!(answer.expect("it answers while it is copied").status, 201);
                n += 1;
            }
        }
    };
    assert_eq!(ended.code, Some(0), "{}", ended.error);
    assert!(ended.error.contains("master key is not in the copy"), "{}", ended.error);
    assert_eq!(copy.metadata().expect("the copy is there").mode() & 0o777, 0o600);
    let bytes = std::fs::read(&copy).expect("the copy can be read");
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for secret in [sim.instance("")["secrets"]["token"].as_str().expect("a token"), &client.scim.key] {
        assert!(!holds(secret), "a secret stands in the copy");
    }
    assert!(before.keys().all(|name| holds(name)), "somebody who was acknowledged is not in the copy");
    let again = gateway.command(&args).await;
    assert!(again.code == Some(1) && again.error.contains("exists already"), "{again:?}");
}

/// Somebody was created, and somebody removed, after the copy was made; one creation was still to be done in it. Back at
/// the copy nobody is invited twice, and nobody has access again.
#[tokio::test]
async fn a_restored_database_looks_before_it_repeats_and_gives_nobody_access_again() {
    for db in databases() {
        restored(db).await;
    }
}

async fn restored(db: Db) {
    let sim = Sim::start("github").await;
    let mut gateway = Gateway::start(db).await;
    let admin = gateway.admin();
    let made = admin.connect(&sim, json!({"adopt": "by_user_name"})).await;
    let mut client = Client::new(made.scim.clone());
    admin.imported(&made.id).await;
    for name in ["stays@example.com", "leaves@example.com"] {
        client.created(name).await;
    }
    admin.settled(&made.id).await;
    sim.accept(json!({})).await;
    admin.run(&made.id, "reconcile").await;
    admin.change(&made.id, json!({"mode": "paused"})).await;
    let pending = client.created("pending@example.com").await;

    let copy = take(&gateway).await;
    admin.change(&made.id, json!({"mode": "enabled"})).await;
    let leaves = client.acknowledged["leaves@example.com"].clone();
    client.scim.set_active(&leaves, false).await;
    client.created("joined-later@example.com").await;
    let members = async || {
        let state = sim.state().await;
        state["accounts"].as_array().map_or(0, Vec::len)
    };
    admin.settled(&made.id).await;
    assert_eq!(invited(&sim).await, ["joined-later@example.com", "pending@example.com"]);
    assert_eq!(members().await, 1, "one stays");
    gateway.terminate().await;

    put_back(&mut gateway, &copy).await;
    let writes = sim.writes().await;
    gateway.restart().await;
    let admin = gateway.admin();
    let shown = instance(&gateway, &made.id).await;
    assert_eq!(shown["mode"], "paused");
    assert!(shown["verifying_since"].is_string(), "{shown}");
    let gone = client.acknowledged.remove("joined-later@example.com").expect("it was acknowledged");
    client.all_are_there().await;
    assert_eq!(client.scim.call(http::Method::GET, &format!("/Users/{gone}"), None).await.status, 404);

    admin.change(&made.id, json!({"mode": "enabled"})).await;
    wait_until("the links were looked at", BOUND, async || {
        instance(&gateway, &made.id).await["verifying_since"].is_null().then_some(())
    })
    .await;
    // The one whose creation was still to be done in the copy is found.
    wait_until("the pending one is settled", BOUND, async || {
        let work = admin.work(&made.id, "").await;
        work.is_empty().then_some(())
    })
    .await;
    // The identity provider pushes again whom it does not find, and that somebody left.
    client.created("joined-later@example.com").await;
    client.scim.set_active(&leaves, false).await;
    admin.settled(&made.id).await;
    assert_eq!(invited(&sim).await, ["joined-later@example.com", "pending@example.com"]);
    assert_eq!(members().await, 1, "nobody has access again");
    assert_eq!(sim.writes().await, writes, "nothing was repeated");
    assert_eq!(client.acknowledged["pending@example.com"], pending, "ids stay");
    gateway.terminate().await;
}

/// A copy of a gateway's database, by the means of its kind.
enum Copy {
    File(String),
    Server(Database),
}

async fn take(gateway: &Gateway) -> Copy {
    match &gateway.database().url {
        None => {
            let to = gateway.folder().join("copy.db").display().to_string();
            let ended = gateway.command(&["backup", "--to", &to]).await;
            assert_eq!(ended.code, Some(0), "{}", ended.error);
            Copy::File(to)
        }
        Some(url) => {
            let refused = gateway.command(&["backup"]).await;
            assert!(refused.code == Some(2) && refused.error.contains("pg_dump"), "{refused:?}");
            let empty = Db::Postgres.fresh().await;
            let to = empty.url.clone().expect("PostgreSQL has a URL");
            let dump = gateway.folder().join("copy.dump");
            for (program, args) in [
                ("pg_dump", vec!["--format=custom".to_owned(), format!("--file={}", dump.display()), url.clone()]),
                ("pg_restore", vec!["--no-owner".to_owned(), format!("--dbname={to}"), dump.display().to_string()]),
            ] {
                let path = tests::postgres::program(program).expect("PostgreSQL's programs are beside its server");
                let ended = tokio::process::Command::new(path).args(&args).output().await.expect("it runs");
                assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
            }
            Copy::Server(empty)
        }
    }
}

async fn put_back(gateway: &mut Gateway, copy: &Copy) {
    match copy {
        Copy::File(from) => {
            let kept = gateway.command(&["restore", "--from", from]).await;
            assert!(kept.code == Some(1) && kept.error.contains("--replace"), "{kept:?}");
            let ended = gateway.command(&["restore", "--from", from, "--replace"]).await;
            assert_eq!(ended.code, Some(0), "{}", ended.error);
            assert!(ended.error.contains("What was there is"), "{}", ended.error);
        }
        Copy::Server(database) => {
            gateway.set("SCIMGATE_DATABASE_URL", database.url.as_deref().expect("PostgreSQL has a URL"));
            // The rows of replicas came with the copy; one that was alive then counts as alive for 15 seconds.
            wait_until("the copy is marked", BOUND, async || {
                let ended = gateway.command(&["restore"]).await;
                assert!(ended.code == Some(0) || ended.error.contains("stop them first"), "{ended:?}");
                (ended.code == Some(0)).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_copy_that_is_damaged_foreign_or_of_another_key_is_not_put_back() {
    let mut gateway = Gateway::start(Db::Sqlite).await;
    let (_sim, mut client) = paused(&gateway).await;
    client.created("somebody@example.com").await;
    let copy = gateway.folder().join("copy.db");
    let text = copy.display().to_string();
    assert_eq!(gateway.command(&["backup", "--to", &text]).await.code, Some(0));
    let running = gateway.command(&["restore", "--from", &text, "--replace"]).await;
    assert!(running.code == Some(1) && running.error.contains("another scimgate uses"), "{running:?}");
    gateway.terminate().await;

    let whole = std::fs::read(&copy).expect("the copy can be read");
    let mut torn = whole.clone();
    let half = torn.len() / 2;
    for byte in &mut torn[half..half + 8192] {
        *byte ^= 0xa5;
    }
    for (bytes, words) in [(torn.as_slice(), ""), (b"no database at all".as_slice(), "")] {
        std::fs::write(&copy, bytes).expect("the copy can be written");
        let refused = gateway.command(&["restore", "--from", &text, "--replace"]).await;
        assert!(refused.code == Some(1) && refused.error.contains(words), "{refused:?}");
    }
    std::fs::write(&copy, &whole).expect("the copy can be written");
    gateway.set("SCIMGATE_MASTER_KEY", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=");
    let refused = gateway.command(&["restore", "--from", &text, "--replace"]).await;
    assert!(refused.code.is_some_and(|code| code != 0) && refused.error.contains("master key"), "{refused:?}");
}
