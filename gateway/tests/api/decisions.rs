//! How an instance stands, and what people decide about its open work.

use serde_json::json;

use crate::support::{Gateway, USER};

#[tokio::test]
async fn the_standing_of_an_instance_tells_what_waits_and_for_how_long() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let path = format!("/instances/{}/status", to.id);
        let status = gateway.admin("GET", &path, None).await.expect(200).json();
        assert_eq!(status["work"]["todo"]["count"], 0);
        assert_eq!(status["deprovisions"]["late"], false);
        assert_eq!(status["deprovisions"]["oldest"], json!(null));
        let body = json!({"schemas": [USER], "userName": "ada@example.com"});
        let made = gateway.scim(&to, "POST", "/Users", Some(body)).await.expect(201).json();
        let id = made["id"].as_str().unwrap();
        gateway.scim(&to, "DELETE", &format!("/Users/{id}"), None).await.expect(204);
        gateway.clock.advance(std::time::Duration::from_secs(301));
        let status = gateway.admin("GET", &path, None).await.expect(200).json();
        assert_eq!(status["work"]["todo"]["count"], 1);
        assert_eq!(status["work"]["todo"]["oldest_seconds"], 301);
        let leavers = &status["deprovisions"];
        assert_eq!((&leavers["count"], &leavers["late"]), (&json!(1), &json!(true)), "also while it is paused");
        assert_eq!(leavers["oldest"]["name"], "ada@example.com");
        gateway.admin("GET", "/instances/in_nobody/status", None).await.expect(404);
    }
}

#[tokio::test]
async fn the_words_of_waiting_are_told() {
    let gateway = Gateway::start().await;
    let words = gateway.admin("GET", "/needs", None).await.expect(200).json();
    let seat = words.as_array().unwrap().iter().find(|word| word["code"] == "seat").unwrap().clone();
    assert_eq!(seat["turn"], "person");
    assert!(seat["meaning"].as_str().is_some_and(|text| !text.is_empty()) && seat["exit"].is_string());
}

#[tokio::test]
async fn decisions_about_nothing_are_refused_and_change_nothing() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let body = json!({"schemas": [USER], "userName": "ada@example.com"});
        gateway.scim(&to, "POST", "/Users", Some(body)).await.expect(201);
        let operations = gateway.admin("GET", &format!("/instances/{}/operations", to.id), None).await.json();
        let operation = operations["items"][0]["id"].as_str().unwrap().to_owned();
        let outcome = format!("/operations/{operation}/outcome");
        let links = format!("/instances/{}/links", to.id);
        for (method, path, body, status) in [
            ("POST", outcome.as_str(), json!({"answer": "happened"}), 409),
            ("POST", &outcome, json!({"answer": "perhaps"}), 400),
            ("POST", &outcome, json!({"answer": "happened", "why": 1}), 400),
            ("POST", "/operations/op_nothing/outcome", json!({"answer": "happened"}), 404),
            ("POST", &links, json!({"resource": "ada@example.com", "remote_id": "1"}), 404),
            ("POST", &links, json!({"resource": "nobody", "remote_id": "1"}), 404),
            ("POST", &links, json!({"resource": "nobody"}), 400),
        ] {
            gateway.admin(method, path, Some(body)).await.expect(status);
        }
        gateway.admin("GET", &format!("{links}?state=guessed"), None).await.expect(400);
        for link in ["lk_1", "lk_x", "7"] {
            gateway.admin("DELETE", &format!("{links}/{link}"), None).await.expect(404);
        }
        let listed = gateway.admin("GET", &format!("{links}?state=proposed&resource=ada@example.com"), None).await;
        assert_eq!(listed.expect(200).json(), json!({"items": [], "next": null}));
    }
}
