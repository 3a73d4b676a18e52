//! Pushing, the management of streams, and what is dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use gateway::service::events::MAX_AGE;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{checked, drained, feed, state, stream};
use crate::support::{Gateway, Instance};

/// A receiver of pushes: what it was sent, and what it answers next (202 when nothing is said).
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<(u16, Value)>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let this = self.clone();
        let route = post(move |headers: HeaderMap, body: Bytes| async move {
            this.got.lock().unwrap().push((headers, String::from_utf8(body.to_vec()).unwrap()));
            let (status, body) = this.answers.lock().unwrap().pop_front().unwrap_or((202, Value::Null));
            let body = if body.is_null() { String::new() } else { body.to_string() };
            (StatusCode::from_u16(status).unwrap(), [("content-type", "application/json")], body)
        });
        let router = Router::new().route("/events", route);
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn answer(&self, answers: &[(u16, Value)]) {
        self.answers.lock().unwrap().extend(answers.iter().cloned());
    }

    fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    fn tokens(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|(_, token)| token.clone()).collect()
    }
}

/// The driver of a gateway, while it is held.
struct Driving(CancellationToken);

impl Driving {
    fn begin(gateway: &Gateway) -> Self {
        let stop = CancellationToken::new();
        let (driver, token) = (gateway.app.driver.clone(), stop.clone());
        tokio::spawn(async move { driver.start(token).await });
        Self(stop)
    }
}

impl Drop for Driving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Lets time pass until something is so.
async fn until(gateway: &Gateway, what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..4_000 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        gateway.clock.advance(Duration::from_millis(250));
    }
    panic!("waited in vain for {what}");
}

async fn pushed(gateway: &Gateway, to: &Instance, url: &str) -> String {
    let body = json!({"name": "push", "delivery": "push", "endpoint_url": url, "authorization": "Bearer canary-of-the-receiver", "audience": "https://receiver"});
    stream(gateway, to, body).await["id"].as_str().unwrap().to_owned()
}

async fn pending(gateway: &Gateway, to: &Instance, stream: &str) -> i64 {
    state(gateway, to, stream).await["pending"].as_i64().unwrap()
}

#[tokio::test]
async fn pushes_arrive_in_order_again_after_an_outage_and_go_on_behind_a_refused_one() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let receiver = Receiver::default();
        let url = receiver.start().await;
        let id = pushed(&gateway, &to, &url).await;
        let _driving = Driving::begin(&gateway);
        // Nobody has the first two; the third attempt arrives. Its successor is refused for good.
        receiver.answer(&[
            (503, Value::Null),
            (400, json!({"err": "authentication_failed", "description": "who are you"})),
            (202, Value::Null),
            (400, json!({"err": "invalid_request", "description": "no such user"})),
        ]);
        let mut people = Vec::new();
        for n in 0..4 {
            people.push(gateway.user(&to, &format!("u{n}@example.com")).await);
            // Later than the one before, so that their order is known.
            gateway.clock.advance(Duration::from_millis(1));
        }
        until(&gateway, "everything to arrive", async || pending(&gateway, &to, &id).await == 0).await;
        let mut seen = Vec::new();
        for token in receiver.tokens() {
            let claims = checked(&gateway, "https://receiver", &token).await;
            seen.push((claims["sub_id"]["uri"].as_str().unwrap().to_owned(), claims));
        }
        let uris: Vec<_> = seen.iter().map(|(uri, _)| uri.trim_start_matches("/Users/").to_owned()).collect();
        let [a, b, c, d] = people.try_into().unwrap();
        assert_eq!(uris, [a.clone(), a.clone(), a, b, c, d]);
        assert!(seen[0].1 == seen[1].1 && seen[1].1 == seen[2].1, "what is sent again is the same token");
        let (headers, _) = receiver.got.lock().unwrap()[0].clone();
        let header = |name: &str| headers.get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!(
            (header("content-type"), header("accept"), header("authorization")),
            ("application/secevent+jwt".into(), "application/json".into(), "Bearer canary-of-the-receiver".into())
        );
        let shown = state(&gateway, &to, &id).await;
        assert_eq!(
            (&shown["delivered"], &shown["refused"], &shown["failures_in_a_row"]),
            (&json!(3), &json!(1), &json!(0))
        );
        assert_eq!(shown["refusals"][0]["description"], "no such user");
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_holds_up_nobody() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let receiver = Receiver::default();
        let url = receiver.start().await;
        let dead = pushed(&gateway, &to, "http://127.0.0.1:1/events").await;
        let alive = pushed(&gateway, &to, &url).await;
        let _driving = Driving::begin(&gateway);
        for n in 0..3 {
            gateway.user(&to, &format!("u{n}@example.com")).await;
        }
        until(&gateway, "the living one to have all", async || pending(&gateway, &to, &alive).await == 0).await;
        assert_eq!(receiver.count(), 3);
        until(&gateway, "a second try", async || {
            state(&gateway, &to, &dead).await["failures_in_a_row"].as_i64() >= Some(2)
        })
        .await;
        let shown = state(&gateway, &to, &dead).await;
        assert_eq!((&shown["pending"], &shown["delivered"]), (&json!(3), &json!(0)));
        assert!(shown["last_error"].as_str().unwrap().contains("could not be reached"), "{shown}");
        assert!(shown["next_try_at"].is_string());
        // Another address, with the authorization given again: everything arrives there.
        let path = format!("/instances/{}/event-streams/{dead}", to.id);
        let stolen = gateway.admin("PATCH", &path, Some(json!({"endpoint_url": url}))).await.expect(400).json();
        assert_eq!(stolen["field"], "authorization");
        gateway
            .admin("PATCH", &path, Some(json!({"endpoint_url": url, "authorization": "Bearer new"})))
            .await
            .expect(200);
        until(&gateway, "the rest", async || pending(&gateway, &to, &dead).await == 0).await;
        assert_eq!(receiver.count(), 6);
    }
}

#[tokio::test]
async fn streams_are_paused_resumed_and_tried_out() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let receiver = Receiver::default();
        let url = receiver.start().await;
        let id = pushed(&gateway, &to, &url).await;
        let polled = feed(&gateway, &to, "notice").await;
        let path = |id: &str| format!("/instances/{}/event-streams/{id}", to.id);
        for id in [&id, &polled.id] {
            let paused = gateway.admin("PATCH", &path(id), Some(json!({"paused": true}))).await.expect(200).json();
            assert_eq!(paused["paused"], true);
        }
        let _driving = Driving::begin(&gateway);
        gateway.user(&to, "ada@example.com").await;
        until(&gateway, "the driver", async || gateway.app.driver.drives()).await;
        super::ticking(&gateway, 10).await;
        assert_eq!((receiver.count(), pending(&gateway, &to, &id).await), (0, 1));
        assert!(drained(&gateway, &to, &polled).await.is_empty());
        for id in [&id, &polled.id] {
            let resumed = gateway
                .admin("PATCH", &path(id), Some(json!({"paused": false, "verify": true})))
                .await
                .expect(200)
                .json();
            assert!(resumed["verification"]["state"].is_string());
        }
        until(&gateway, "both events", async || receiver.count() == 2).await;
        let verification = checked(&gateway, "https://receiver", &receiver.tokens()[1]).await;
        assert_eq!(verification["sub_id"], json!({"format": "opaque", "id": id}));
        assert!(
            verification["events"]["https://schemas.openid.net/secevent/ssf/event-type/verification"]["state"]
                .is_string()
        );
        let answer = super::ask(&gateway, &to, &polled, json!({"returnImmediately": true})).await.expect(200).json();
        assert_eq!(answer["sets"].as_object().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn streams_are_managed_and_their_secret_is_never_shown() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let all = format!("/instances/{}/event-streams", to.id);
        let check = async |body: Value, field: &str| {
            let refused = gateway.admin("POST", &all, Some(body.clone())).await.expect(400).json();
            assert_eq!(refused["field"], field, "{body}: {refused}");
        };
        check(json!({"delivery": "poll"}), "name").await;
        check(json!({"name": "", "delivery": "poll"}), "name").await;
        check(json!({"name": "n", "delivery": "mail"}), "delivery").await;
        check(json!({"name": "n", "delivery": "push"}), "endpoint_url").await;
        check(json!({"name": "n", "delivery": "poll", "endpoint_url": "https://x"}), "endpoint_url").await;
        check(json!({"name": "n", "delivery": "poll", "authorization": "Bearer x"}), "authorization").await;
        check(json!({"name": "n", "delivery": "push", "endpoint_url": "nowhere"}), "endpoint_url").await;
        check(json!({"name": "n", "delivery": "push", "endpoint_url": "ftp://x/"}), "endpoint_url").await;
        check(json!({"name": "n", "delivery": "push", "endpoint_url": "https://u:p@x/"}), "endpoint_url").await;
        check(
            json!({"name": "n", "delivery": "push", "endpoint_url": "https://x/", "authorization": "a\nb"}),
            "authorization",
        )
        .await;
        check(json!({"name": "n", "delivery": "poll", "events": ["prov:create:notice"]}), "events").await;
        check(json!({"name": "n", "delivery": "poll", "events": []}), "events").await;
        check(json!({"name": "n", "delivery": "poll", "payload": "some"}), "payload").await;
        check(json!({"name": "n", "delivery": "poll", "secret": "x"}), "secret").await;
        assert_eq!(gateway.admin("GET", &all, None).await.expect(200).json()["items"], json!([]));

        let id = pushed(&gateway, &to, "https://receiver.example.com/events").await;
        for path in [all.clone(), format!("{all}/{id}"), "/audit".to_owned()] {
            let shown = gateway.admin("GET", &path, None).await.expect(200);
            assert!(!String::from_utf8_lossy(&shown.bytes).contains("canary-of-the-receiver"), "{path}");
        }
        assert_eq!(state(&gateway, &to, &id).await["has_authorization"], true);
        let without =
            json!({"authorization": null, "name": "other", "events": ["urn:ietf:params:scim:event:prov:delete"]});
        let changed = gateway.admin("PATCH", &format!("{all}/{id}"), Some(without)).await.expect(200).json();
        assert_eq!(
            (&changed["has_authorization"], &changed["name"], &changed["events"]),
            (&json!(false), &json!("other"), &json!(["prov:delete"]))
        );
        for _ in 0..7 {
            stream(&gateway, &to, json!({"name": "n", "delivery": "poll"})).await;
        }
        gateway.admin("POST", &all, Some(json!({"name": "n", "delivery": "poll"}))).await.expect(409);
        gateway.admin("DELETE", &format!("{all}/{id}"), None).await.expect(204);
        gateway.admin("DELETE", &format!("{all}/{id}"), None).await.expect(404);
        let audit = gateway.admin("GET", "/audit", None).await.expect(200).json();
        let acts: Vec<_> = audit["items"].as_array().unwrap().iter().map(|row| row["act"].as_str().unwrap()).collect();
        for act in ["event_stream.create", "event_stream.update", "event_stream.delete"] {
            assert!(acts.contains(&act), "{acts:?}");
        }
    }
}

#[tokio::test]
async fn what_nobody_takes_is_dropped_after_a_week_and_counted() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let feed = feed(&gateway, &to, "notice").await;
        gateway.user(&to, "ada@example.com").await;
        gateway.user(&to, "bob@example.com").await;
        gateway.clock.advance(MAX_AGE - Duration::from_secs(1));
        gateway.user(&to, "cyd@example.com").await;
        gateway.app.events.tidy().await.unwrap();
        assert_eq!(pending(&gateway, &to, &feed.id).await, 3);
        gateway.clock.advance(Duration::from_secs(2));
        gateway.app.events.tidy().await.unwrap();
        let shown = state(&gateway, &to, &feed.id).await;
        assert_eq!((&shown["pending"], &shown["dropped"]), (&json!(1), &json!(2)));
        assert_eq!(drained(&gateway, &to, &feed).await.len(), 1);
    }
}
