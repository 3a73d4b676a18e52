//! Rows 34 and 39: deaths in a migration, and the end in good order.

use std::time::{Duration, Instant};

use serde_json::json;
use tests::process::{self, binary};
use tests::{Db, Gateway, Sim, databases, wait_until};

use super::BOUND;
use super::client::{Client, invited, person};

/// Row 34: killed at any time of its first migration, the next start completes it.
#[tokio::test]
async fn a_migration_that_is_killed_anywhere_is_completed_by_the_next_start() {
    for db in databases() {
        let mut killed = 0;
        for after in [0, 2, 5, 10, 20, 35, 55, 80, 120] {
            let database = db.fresh().await;
            let folder = tempfile::tempdir().expect("a temporary folder can be made");
            let data = folder.path().display().to_string();
            let mut env = vec![("SCIMGATE_DATA_DIR", data.as_str())];
            env.extend(database.url.as_deref().map(|url| ("SCIMGATE_DATABASE_URL", url)));
            let mut child = tokio::process::Command::new(binary())
                .arg("migrate")
                .env_clear()
                .envs(env.iter().copied())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("the binary can be started");
            if tokio::time::timeout(Duration::from_millis(after), child.wait()).await.is_err() {
                child.kill().await.expect("it can be killed");
                killed += 1;
            }
            for _ in 0..2 {
                let ended = process::run(&["migrate"], &env).await;
                assert_eq!(ended.code, Some(0), "{db:?}, killed after {after} ms: {}", ended.error);
            }
        }
        assert!(killed > 2, "{db:?}: killed {killed} times");
    }
}

/// Row 39: SIGTERM in the midst of calls. What is under way is finished, nothing more is accepted, leases are free.
#[tokio::test]
async fn asked_to_end_it_finishes_what_is_under_way_and_hands_its_leases_back() {
    for db in databases() {
        let sim = Sim::start("github").await;
        let mut gateway = Gateway::start(db).await;
        let made = gateway.admin().connect(&sim, json!({"answer_within_ms": 5_000})).await;
        let client = Client::new(made.scim.clone());
        gateway.admin().imported(&made.id).await;
        sim.fault(
            json!([{"match": {"method": "POST", "path": "/invitations"}, "times": 50, "do": {"delay_ms": 3_000}}]),
        )
        .await;
        let slow: Vec<_> = (0..6)
            .map(|n| {
                let scim = client.scim.clone();
                let body = person(&format!("slow{n}@example.com"));
                tokio::spawn(async move { scim.try_call(http::Method::POST, "/Users", Some(&body)).await })
            })
            .collect();
        wait_until("calls are under way", BOUND, async || {
            let work = gateway.admin().work(&made.id, "state=running").await;
            (!work.is_empty()).then_some(())
        })
        .await;
        let began = Instant::now();
        gateway.terminate().await;
        assert!(began.elapsed() < Duration::from_secs(25), "it took {:?}", began.elapsed());
        let mut names = Vec::new();
        for (n, answer) in slow.into_iter().enumerate() {
            // Those that came before the end began are answered; none is left without.
            let answer = answer.await.expect("the task ends").expect("a request that was accepted is answered");
            assert_eq!(answer.status, 201, "{}", answer.text);
            names.push(format!("slow{n}@example.com"));
        }
        assert!(reqwest_refused(&gateway.url).await, "it still listens");
        let began = Instant::now();
        gateway.restart().await;
        sim.heal().await;
        gateway.admin().settled(&made.id).await;
        if db == Db::Postgres {
            assert!(began.elapsed() < Duration::from_secs(14), "the lease was waited for: {:?}", began.elapsed());
        }
        assert_eq!(invited(&sim).await, names, "each was invited once");
        gateway.terminate().await;
    }
}

async fn reqwest_refused(url: &str) -> bool {
    let address = url.trim_start_matches("http://").to_owned();
    tokio::net::TcpStream::connect(address).await.is_err()
}
