//! Rows 36 to 38: clients that hold connections, large directories, and too few descriptors.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::json;
use tests::scim::GROUP;
use tests::{Db, Gateway, Sim, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::BOUND;
use super::client::{Client, paused};

/// Memory that must be enough, in bytes: the goal of 256 MB, for a debug build as well.
const MEMORY: u64 = 256 << 20;

async fn connect(gateway: &Gateway, send: &str) -> Option<TcpStream> {
    let address = gateway.url.trim_start_matches("http://").to_owned();
    let mut stream = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address)).await.ok()?.ok()?;
    stream.write_all(send.as_bytes()).await.ok()?;
    Some(stream)
}

/// Row 36.
#[tokio::test]
async fn a_thousand_clients_that_do_nothing_or_too_slowly_keep_nobody_from_being_served() {
    let env = [("SCIMGATE_MAX_CONNECTIONS", "400"), ("SCIMGATE_HEADER_TIMEOUT_SECONDS", "2")];
    let gateway = Gateway::start_with(Db::Sqlite, &env).await;
    let (_sim, mut client) = paused(&gateway).await;
    let path = client.scim.base.trim_start_matches(&gateway.url).to_owned();
    let header = format!(
        "POST {path}/Users HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/scim+json\r\ncontent-length: 500\r\n\r\n{{",
        client.scim.key
    );
    let mut held = Vec::new();
    for n in 0..1_000 {
        let send = match n % 10 {
            // A body that never comes, for a few: each of those has 30 seconds.
            0 => header.as_str(),
            1..=4 => "GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ",
            _ => "",
        };
        held.extend(connect(&gateway, send).await);
    }
    let began = Instant::now();
    for n in 0..10 {
        client.created(&format!("other{n}@example.com")).await;
    }
    let took = began.elapsed();
    eprintln!("{} connections held; ten requests took {took:.1?}", held.len());
    assert!(took < Duration::from_secs(20), "other clients waited {took:?}");
    let mut closed = 0;
    for stream in &mut held {
        let mut answer = Vec::new();
        let end = tokio::time::timeout(Duration::from_secs(40), stream.read_to_end(&mut answer)).await;
        assert!(end.is_ok(), "a connection that did nothing stayed open");
        closed += 1;
    }
    assert!(closed > 900, "{closed} connections");
    client.all_are_there().await;
}

/// Row 38.
#[tokio::test]
async fn with_few_descriptors_the_listener_survives_and_the_target_is_still_called() {
    let sim = Sim::start("github").await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let wrapper = folder.path().join("few");
    let script = format!("#!/bin/sh\nulimit -n 64\nexec '{}' \"$@\"\n", tests::process::binary().display());
    std::fs::write(&wrapper, script).expect("a file can be written");
    let gateway = Gateway::start_under(&wrapper, Db::Sqlite, &[]).await;
    let made = gateway.admin().connect(&sim, json!({})).await;
    let mut client = Client::new(made.scim.clone());
    gateway.admin().imported(&made.id).await;
    for round in 0..3 {
        let mut held = Vec::new();
        for _ in 0..100 {
            held.extend(connect(&gateway, "").await);
        }
        drop(held);
        let name = format!("round{round}@example.com");
        wait_until("requests are served", BOUND, async || match client.create(&name).await {
            Some(answer) if answer.status == 201 => Some(()),
            Some(answer) => {
                assert_eq!(answer.status, 503, "{}", answer.text);
                None
            }
            None => None,
        })
        .await;
    }
    gateway.admin().settled(&made.id).await;
    assert_eq!(super::client::invited(&sim).await.len(), 3);
    assert!(gateway.log().contains("ulimit"), "it says that descriptors are few");
}

/// Row 37, in short: 5,000 accounts and a group of them all. `SCIMGATE_STORAGE_PEOPLE` makes it as long as one likes
/// (100000 is the row's own size).
#[tokio::test]
async fn a_large_directory_is_listed_and_grouped_in_bounded_memory() {
    let people = tests::env::setting("SCIMGATE_STORAGE_PEOPLE").and_then(|n| n.parse().ok()).unwrap_or(5_000_u32);
    let sim = Sim::start("buildkite").await;
    sim.load(people, 0).await;
    let gateway = Gateway::start(Db::Sqlite).await;
    let made = gateway.admin().connect(&sim, json!({"list_unmanaged": true})).await;
    let scim = made.scim.clone();
    gateway.admin().imported(&made.id).await;
    gateway.admin().change(&made.id, json!({"mode": "paused"})).await;
    let mut ids = Vec::new();
    while (ids.len() as u64) < u64::from(people) {
        let page = scim.get(&format!("/Users?startIndex={}&count=200&attributes=userName", ids.len() + 1)).await;
        let resources = page["Resources"].as_array().cloned().unwrap_or_default();
        assert!(!resources.is_empty(), "the list ended after {} of {people}", ids.len());
        ids.extend(resources.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)));
    }
    let members: Vec<_> = ids.iter().take(50_000).map(|id| json!({"value": id})).collect();
    let body = json!({"schemas": [GROUP], "displayName": "everybody", "members": members});
    let group = scim.call(Method::POST, "/Groups", Some(&body)).await.expect(201);
    let id = group["id"].as_str().expect("a group has an id");
    for _ in 0..3 {
        let group = scim.get(&format!("/Groups/{id}")).await;
        assert_eq!(group["members"].as_array().map(Vec::len), Some(members.len()));
        let put = json!({"schemas": [GROUP], "displayName": "everybody", "members": members});
        assert_eq!(scim.call(Method::PUT, &format!("/Groups/{id}"), Some(&put)).await.status, 200);
    }
    let peak = gateway.peak_memory();
    eprintln!("{people} accounts, a group of {}: {} MB at most", members.len(), peak >> 20);
    assert!(peak < MEMORY, "{} MB", peak >> 20);
}
