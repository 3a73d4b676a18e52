//! The record: operations whole, filters, exports, refused requests, search, what needs somebody.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::support::{ADMIN, GROUP, Gateway, Instance, PATCH, USER};

fn lines(bytes: &[u8]) -> Vec<Value> {
    std::str::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn retitle(gateway: &Gateway, to: &Instance, id: &str, title: &str) {
    let patch = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": title}]});
    gateway.scim(to, "PATCH", &format!("/Users/{id}"), Some(patch)).await.expect(200);
}

#[tokio::test]
async fn an_operation_tells_who_asked_and_lists_find_it() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let other = gateway.instance("paused", json!({})).await;
        let named = gateway.key(&to, json!({"name": "Entra, production"})).await;
        let ada = gateway.user(&named, "ada@example.com").await;
        gateway.user(&to, "adam@example.com").await;
        gateway.clock.advance(Duration::from_secs(3_600));
        let reply = gateway
            .ask(
                &named,
                "PATCH",
                &format!("/Users/{ada}"),
                &[("x-request-id", "req-77"), ("content-type", "application/scim+json")],
                Some(
                    &json!({"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]}),
                ),
            )
            .await
            .expect(200);
        assert_eq!(reply.header("x-request-id"), "req-77");
        let at = format!("/instances/{}", to.id);
        let found = async |query: &str| -> Vec<Value> {
            let page = gateway.admin("GET", &format!("{at}/operations?{query}"), None).await.expect(200).json();
            page["items"].as_array().unwrap().clone()
        };
        for (query, n) in [
            ("", 3),
            ("verb=patch", 1),
            ("verb=create", 2),
            ("actor=admin", 0),
            (&format!("actor={}", named.key_id), 2),
            (&format!("actor=key:{}", to.key_id), 1),
            ("actor=Entra,%20production", 2),
            ("text=req-77", 1),
            ("text=ADA", 3),
            ("text=ada@", 2),
            ("text=100%25", 0),
            ("until=2026-01-01T00:30:00Z", 2),
            ("since=2026-01-01T00:30:00Z&until=2026-01-02T00:00:00Z&state=open", 1),
            ("state=failed", 0),
        ] {
            assert_eq!(found(query).await.len(), n, "{query}");
        }
        let listed = &found("text=req-77").await[0];
        assert_eq!((&listed["key_name"], &listed["source"]), (&json!("Entra, production"), &json!("scim")));
        assert!(listed.get("attempts").is_none(), "lists are light");
        let id = listed["id"].as_str().unwrap();
        let whole = gateway.admin("GET", &format!("{at}/operations/{id}"), None).await.expect(200).json();
        assert_eq!(
            (&whole["request_id"], &whole["resource"]["id"], &whole["attempts"], &whole["verification"]),
            (&json!("req-77"), &json!(ada), &json!([]), &json!([]))
        );
        assert_eq!(
            (&whole["decision"]["work"]["state"], &whole["decision"]["work"]["lane"]),
            (&json!("todo"), &json!("deprovision"))
        );
        assert!(whole["quirks"].as_array().is_some_and(|quirks| !quirks.is_empty()), "{whole}");
        assert_eq!(gateway.admin("GET", &format!("/operations/{id}"), None).await.expect(200).json(), whole);
        gateway.admin("GET", &format!("/instances/{}/operations/{id}", other.id), None).await.expect(404);
    }
}

#[tokio::test]
async fn an_export_holds_every_operation_once_and_goes_on_where_it_broke_off() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let hostile = "a\n{\"id\":\"op_x\"}\u{2028}\u{202e}<img onerror=x>@example.com";
        let id = gateway.user(&to, "ada@example.com").await;
        retitle(&gateway, &to, &id, hostile).await;
        for n in 0..130 {
            gateway.user(&to, &format!("p{n}@example.com")).await;
        }
        // What is young may come again where replicas share the database.
        gateway.clock.advance(Duration::from_secs(61));
        let path = format!("/instances/{}/operations/export", to.id);
        let reply = gateway.admin("GET", &path, None).await.expect(200);
        assert_eq!(reply.header("content-type"), "application/x-ndjson");
        let all = lines(&reply.bytes);
        assert_eq!(all.len(), 132);
        let ids: std::collections::BTreeSet<&str> = all.iter().map(|line| line["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 132);
        assert!(all.iter().all(|line| line["attempts"] == json!([]) && line["instance"] == to.id.as_str()));
        assert_eq!(all[1]["changes"][0]["to"], hostile, "a hostile name is data in its line");
        for broken in [0, 57, 99, 100, 131] {
            let after = all[broken]["cursor"].as_str().unwrap();
            let rest = gateway.admin("GET", &format!("{path}?after={after}"), None).await.expect(200);
            assert_eq!(lines(&rest.bytes), all[broken + 1..], "{broken}");
        }
        for (query, n) in [
            ("state=applied", 0),
            ("state=open", 132),
            ("since=2027-01-01T00:00:00Z", 0),
            ("until=2027-01-01T00:00:00Z", 132),
        ] {
            let some = gateway.admin("GET", &format!("{path}?{query}"), None).await.expect(200);
            assert_eq!(lines(&some.bytes).len(), n, "{query}");
        }
        let acts = gateway.admin("GET", "/audit/export", None).await.expect(200);
        let acts = lines(&acts.bytes);
        assert_eq!(acts[0]["act"], "instance.create");
        assert!(acts.len() > 1 && !String::from_utf8_lossy(&reply.bytes).contains("canary-secret"));
    }
}

#[tokio::test]
async fn refused_requests_are_counted_by_sort_and_hold_no_value() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let other = gateway.instance("paused", json!({})).await;
        let bad = json!({"schemas": [USER], "userName": "", "password": "canary-password", "title": "canary-title"});
        gateway.scim(&to, "POST", "/Users", Some(bad.clone())).await.expect(400);
        gateway.call("GET", &format!("{}/Users", to.base), "Bearer wrong", None).await.expect(401);
        gateway.scim(&to, "GET", "/Users", None).await.expect(200);
        let path = format!("/instances/{}/rejected", to.id);
        let listed = async |n: usize| -> Value {
            for _ in 0..500 {
                let page = gateway.admin("GET", &path, None).await.expect(200).json();
                let total: u64 =
                    page["items"].as_array().unwrap().iter().map(|item| item["count"].as_u64().unwrap()).sum();
                if total >= n as u64 {
                    return page;
                }
                gateway.clock.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            panic!("{n} refusals are not on record");
        };
        let first = listed(1).await;
        let item = &first["items"][0];
        assert_eq!(
            (&item["method"], &item["path"], &item["status"], &item["scimType"], &item["count"], &item["key"]),
            (&json!("POST"), &json!("/Users"), &json!(400), &json!("invalidValue"), &json!(1), &json!(to.key_id))
        );
        assert_eq!((&item["body"]["password"], &item["body"]["title"]), (&json!("text"), &json!("text")));
        assert!(!first.to_string().contains("canary"), "{first}");
        for _ in 0..20 {
            gateway.scim(&to, "POST", "/Users", Some(bad.clone())).await.expect(400);
        }
        gateway.scim(&to, "GET", "/Users?filter=userName%20eq%20%22canary", None).await.expect(400);
        let all = listed(22).await;
        let counts: Vec<u64> =
            all["items"].as_array().unwrap().iter().map(|item| item["count"].as_u64().unwrap()).collect();
        assert_eq!((counts.len(), counts.iter().sum::<u64>()), (2, 22), "{all}");
        let one = gateway.admin("GET", &format!("{path}?limit=1"), None).await.expect(200).json();
        let next = one["next"].as_str().unwrap();
        let two = gateway.admin("GET", &format!("{path}?limit=1&cursor={next}"), None).await.expect(200).json();
        assert_eq!((two["items"].as_array().unwrap().len(), &two["next"]), (1, &Value::Null));
        assert_ne!(one["items"], two["items"]);
        let others = gateway.admin("GET", &format!("/instances/{}/rejected", other.id), None).await.expect(200).json();
        assert_eq!(others["items"], json!([]));
    }
}

#[tokio::test]
async fn people_and_groups_are_found_by_what_they_begin_with() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let other = gateway.instance("paused", json!({})).await;
        let ada = json!({"schemas": [USER], "userName": "Ada.Lovelace", "displayName": "Countess", "externalId": "hr-7",
            "emails": [{"value": "ada@maths.example"}]});
        let ada =
            gateway.scim(&to, "POST", "/Users", Some(ada)).await.expect(201).json()["id"].as_str().unwrap().to_owned();
        let twin = gateway.user(&other, "ada.other@example.com").await;
        let group = json!({"schemas": [GROUP], "displayName": "Ada's friends"});
        let group = gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201).json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let gone = gateway.user(&to, "adele@example.com").await;
        gateway.scim(&to, "DELETE", &format!("/Users/{gone}"), None).await.expect(204);
        let found = async |word: &str| -> Vec<(String, String)> {
            let path = format!("/search?q={}", word.replace('%', "%25").replace('#', "%23"));
            let page = gateway.admin("GET", &path, None).await.expect(200).json();
            let item =
                |item: &Value| (item["id"].as_str().unwrap().to_owned(), item["matched"].as_str().unwrap().to_owned());
            page["items"].as_array().unwrap().iter().map(item).collect()
        };
        let one = |id: &str, by: &str| vec![(id.to_owned(), by.to_owned())];
        assert_eq!(found(&ada).await, one(&ada, "id"));
        assert_eq!(found("hr-7").await, one(&ada, "externalId"));
        assert_eq!(found("hr-").await, []);
        assert_eq!(found("count").await, one(&ada, "displayName"));
        assert_eq!(found("ada@m").await, one(&ada, "email"));
        assert_eq!(found("adel").await, one(&gone, "name"));
        assert_eq!(found("%").await, []);
        assert_eq!(found("lovelace").await, []);
        let all: std::collections::BTreeSet<String> = found("aDa").await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(all, std::collections::BTreeSet::from([ada.clone(), twin, group]));
        let page = gateway.admin("GET", "/search?q=ad&limit=2", None).await.expect(200).json();
        assert_eq!((page["items"].as_array().unwrap().len(), &page["more"]), (2, &json!(true)));
        let operations = gateway
            .admin("GET", &format!("/instances/{}/operations?resource={ada}", to.id), None)
            .await
            .expect(200)
            .json();
        let operation = operations["items"][0]["id"].as_str().unwrap().to_owned();
        assert_eq!(found(&operation).await, one(&operation, "id"));
    }
}

#[tokio::test]
async fn leavers_who_wait_come_first_among_what_needs_somebody() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        assert_eq!(gateway.admin("GET", "/attention", None).await.expect(200).json()["items"], json!([]));
        let ada = gateway.user(&to, "ada@example.com").await;
        let bob = gateway.user(&to, "bob@example.com").await;
        for id in [&ada, &bob] {
            let patch =
                json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
            gateway.scim(&to, "PATCH", &format!("/Users/{id}"), Some(patch)).await.expect(200);
        }
        gateway
            .admin("POST", &format!("/instances/{}/keys", to.id), Some(json!({"expires_at": "2026-01-03T00:00:00Z"})))
            .await
            .expect(201);
        gateway.clock.advance(Duration::from_secs(600));
        let items = gateway.admin("GET", "/attention", None).await.expect(200).json()["items"].clone();
        assert_eq!(
            (&items[0]["kind"], &items[0]["count"], &items[0]["deprovision"], &items[0]["age_seconds"]),
            (&json!("deprovision"), &json!(2), &json!(true), &json!(600)),
            "{items}"
        );
        assert_eq!(items.as_array().unwrap().len(), 1, "a key that was never used is nobody's trouble: {items}");
        let act = &items[0]["act"];
        let href = act["href"].as_str().unwrap().strip_prefix("/admin/v1").unwrap();
        gateway.admin(act["method"].as_str().unwrap(), href, None).await.expect(202);
    }
}

/// The next text of a stream of events, time going on meanwhile.
async fn told(gateway: &Gateway, body: &mut Body) -> String {
    loop {
        tokio::select! {
            frame = body.frame() => return String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap(),
            () = tokio::time::sleep(Duration::from_millis(5)) => gateway.clock.advance(Duration::from_secs(1)),
        }
    }
}

async fn watch(gateway: &Gateway, after: &str) -> Body {
    let request =
        Request::builder().uri("/admin/v1/events").header("authorization", ADMIN).header("last-event-id", after);
    let reply = gateway.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), reply.headers()["content-type"].to_str().unwrap()),
        (200, "text/event-stream")
    );
    reply.into_body()
}

#[tokio::test]
async fn who_watches_is_told_what_happens_and_goes_on_after_a_break() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        gateway.user(&to, "before@example.com").await;
        let mut first = watch(&gateway, "").await;
        let standing = told(&gateway, &mut first).await;
        assert!(standing.contains("event: work") && !standing.contains("event: operation"), "{standing}");
        gateway.user(&to, "ada@example.com").await;
        let news = told(&gateway, &mut first).await;
        assert!(news.contains("event: operation") && news.contains("\"verb\":\"create\""), "{news}");
        assert!(!news.contains("ada@example.com"), "names are for who asks for them: {news}");
        assert_eq!(told(&gateway, &mut first).await, ": nothing new\n\n");
        let place = news.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
        drop(first);
        gateway.user(&to, "bob@example.com").await;
        let mut again = watch(&gateway, &place).await;
        let missed = told(&gateway, &mut again).await;
        assert_eq!(missed.matches("event: operation").count(), 1, "{missed}");
        gateway.app.events.close();
        let end = again.frame().await;
        assert!(end.is_none(), "{end:?}");
        let mut request = Request::builder().uri("/admin/v1/events").header("authorization", ADMIN);
        request = request.header("last-event-id", "x");
        gateway.send(request.body(Body::empty()).unwrap()).await.expect(400);
    }
}
