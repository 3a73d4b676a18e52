//! Row 26: a database server that crashes and comes back, and sessions that are cut.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, Database as Connect};
use serde_json::json;
use tests::postgres::Postgres;
use tests::{Database, Gateway, Sim, wait_until};

use super::BOUND;
use super::client::{Client, comes_again, invited};

#[tokio::test]
async fn a_database_that_crashes_loses_nothing_that_was_acknowledged_and_is_used_again_at_once() {
    let Some(server) = Postgres::start() else {
        eprintln!("skipped: a crash of PostgreSQL (no server of its own can be started)");
        return;
    };
    let server = Arc::new(server);
    let sim = Sim::start("github").await;
    let gateway = Gateway::start_on(Database::at(server.url()), &std::env::temp_dir(), &[]).await;
    let made = gateway.admin().connect(&sim, json!({"answer_within_ms": 0})).await;
    gateway.admin().imported(&made.id).await;
    let mut client = Client::new(made.scim.clone());
    let mut n = 0;
    for round in 0..3 {
        for _ in 0..5 {
            client.created(&format!("p{n:03}@example.com")).await;
            n += 1;
        }
        let crash = {
            let server = server.clone();
            tokio::task::spawn_blocking(move || server.crash())
        };
        let mut refused = 0;
        while !crash.is_finished() {
            if let Some(answer) = client.create(&format!("p{n:03}@example.com")).await
                && answer.status != 201
            {
                // It may have been stored all the same: then the repetition is told so.
                if answer.status != 409 {
                    comes_again(&answer);
                }
                refused += 1;
            }
            n += 1;
        }
        crash.await.expect("the server starts again");
        let back = Instant::now();
        let name = format!("p{n:03}@example.com");
        n += 1;
        wait_until("writes are taken again", BOUND, async || (client.create(&name).await?.status == 201).then_some(()))
            .await;
        let took = back.elapsed();
        eprintln!("round {round}: {refused} refused; back after {took:.1?}");
        assert!(took < Duration::from_secs(5), "it took {took:?}");
        client.all_are_there().await;
    }

    // Every session is cut, again and again.
    let link = Connect::connect(server.url()).await.expect("the server is there");
    for _ in 0..5 {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        link.execute_unprepared(cut).await.expect("sessions can be cut");
        let name = format!("p{n:03}@example.com");
        n += 1;
        wait_until("writes are taken again", Duration::from_secs(5), async || match client.create(&name).await {
            Some(answer) if answer.status == 201 => Some(()),
            _ => None,
        })
        .await;
    }
    client.all_are_there().await;
    gateway.admin().settled(&made.id).await;
    let there = invited(&sim).await;
    for name in client.acknowledged.keys() {
        assert_eq!(there.iter().filter(|one| *one == name).count(), 1, "{name}");
    }
    drop(gateway);
}
