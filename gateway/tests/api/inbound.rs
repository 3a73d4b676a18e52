//! Limits on what clients send, and what they are told of them (DECISIONS 35).

use std::time::Duration;

use gateway::config::Overrides;
use serde_json::json;

use crate::support::{Gateway, Reply, USER};

fn limits(reply: &Reply) -> [&str; 6] {
    [
        reply.header("ratelimit-policy"),
        reply.header("ratelimit"),
        reply.header("x-rate-limit-limit"),
        reply.header("x-rate-limit-remaining"),
        reply.header("x-rate-limit-reset"),
        reply.header("x-rate-limit-retry-after-seconds"),
    ]
}

#[tokio::test]
async fn a_key_over_its_limit_is_told_when_to_go_on() {
    let settings = Overrides { inbound_per_key: Some("3/m".to_owned()), ..Overrides::default() };
    let gateway = Gateway::configured(settings).await;
    let to = gateway.instance("paused", json!({})).await;
    let body = json!({"schemas": [USER], "userName": "ada@example.com"});
    let made = gateway.scim(&to, "POST", "/Users", Some(body.clone())).await.expect(201);
    assert_eq!(limits(&made), ["\"key\";q=3;w=60", "\"key\";r=2;t=20", "3", "2", "20", ""]);
    // Errors and discovery count as well: what is over a limit is a request.
    assert_eq!(limits(&gateway.scim(&to, "GET", "/Users/nobody", None).await.expect(404))[3], "1");
    assert_eq!(limits(&gateway.scim(&to, "GET", "/Schemas", None).await.expect(200))[3], "0");
    let over = gateway.scim(&to, "POST", "/Users", Some(body)).await.expect(429);
    assert_eq!(limits(&over), ["\"key\";q=3;w=60", "\"key\";r=0;t=60", "3", "0", "60", "20"]);
    assert_eq!((over.header("retry-after"), over.header("content-type")), ("20", "application/scim+json"));
    assert_eq!(over.json()["status"], "429");
    assert_eq!(over.json()["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
    // Other keys of the instance are not held up, and a key can have a limit of its own.
    let other = gateway.key(&to, json!({"rate_limit": "1/s"})).await;
    assert_eq!(limits(&gateway.scim(&other, "GET", "/Users", None).await.expect(200))[0], "\"key\";q=1;w=1");
    assert_eq!(gateway.scim(&other, "GET", "/Users", None).await.expect(429).header("retry-after"), "1");
    gateway.clock.advance(Duration::from_secs(20));
    gateway.scim(&to, "GET", "/Users", None).await.expect(200);
    gateway.scim(&to, "GET", "/Users", None).await.expect(429);
    gateway.scim(&other, "GET", "/Users", None).await.expect(200);
    // A wrong key is not counted for anybody.
    let wrong = gateway.call("GET", &format!("{}/Users", to.base), "Bearer wrong", None).await.expect(401);
    assert_eq!(limits(&wrong), [""; 6]);
}

#[tokio::test]
async fn without_a_limit_nothing_is_counted() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    for _ in 0..100 {
        assert_eq!(limits(&gateway.scim(&to, "GET", "/ServiceProviderConfig", None).await.expect(200)), [""; 6]);
    }
    let limited = gateway.key(&to, json!({"rate_limit": "2/h"})).await;
    gateway.scim(&limited, "GET", "/Users", None).await.expect(200);
    assert_eq!(limits(&gateway.scim(&limited, "GET", "/Users", None).await.expect(200))[4], "3600");
    assert_eq!(gateway.scim(&limited, "GET", "/Users", None).await.expect(429).header("retry-after"), "1800");
}
