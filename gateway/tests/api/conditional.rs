//! Conditional requests (RFC 7644 section 3.14, RFC 9110 section 13; checklist 144 to 146 and 188).

use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, Instance, PATCH, USER};

async fn version(gateway: &Gateway, to: &Instance, path: &str) -> String {
    gateway.scim(to, "GET", path, None).await.expect(200).header("etag").to_owned()
}

#[tokio::test]
async fn conditions_hold_or_nothing_is_changed() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let id = gateway.user(&to, "ada@example.com").await;
        let path = format!("/Users/{id}");
        let mut n = 0;
        // NOW stands for the current tag, OLD for the one before, BARE for the number in it.
        for (item, method, headers, status) in [
            (144, "GET", vec![], 200),
            (145, "GET", vec![("if-none-match", "NOW")], 304),
            (145, "HEAD", vec![("if-none-match", "NOW")], 304),
            (145, "GET", vec![("if-none-match", "OLD")], 200),
            (145, "GET", vec![("if-none-match", "*")], 304),
            (145, "GET", vec![("if-none-match", "\"x\", OLD, NOW")], 304),
            (145, "GET", vec![("if-none-match", "OLD"), ("if-none-match", "NOW")], 304),
            (145, "GET", vec![("if-none-match", "\"BARE\"")], 304),
            (145, "GET", vec![("if-none-match", "\u{e9}")], 200),
            (145, "GET", vec![("if-match", "NOW")], 200),
            (145, "GET", vec![("if-match", "OLD")], 412),
            (145, "PATCH", vec![("if-match", "NOW")], 200),
            (145, "PATCH", vec![("if-match", "OLD")], 412),
            (145, "PATCH", vec![("if-match", "*")], 200),
            (145, "PATCH", vec![("if-match", "\"BARE\"")], 200),
            (145, "PATCH", vec![("if-match", "BARE")], 200),
            (145, "PATCH", vec![("if-match", "OLD, NOW")], 200),
            (145, "PATCH", vec![("if-match", "OLD"), ("if-match", "NOW")], 200),
            (145, "PATCH", vec![("if-match", "nonsense")], 412),
            (145, "PATCH", vec![("if-match", "\u{e9}")], 412),
            (145, "PATCH", vec![("if-none-match", "*")], 412),
            (145, "PATCH", vec![("if-none-match", "NOW")], 412),
            (145, "PATCH", vec![("if-none-match", "OLD")], 200),
            (145, "PATCH", vec![("if-match", "NOW"), ("if-none-match", "OLD")], 200),
            (145, "PATCH", vec![("if-match", "NOW"), ("if-none-match", "NOW")], 412),
            (145, "PUT", vec![("if-match", "OLD")], 412),
            (145, "PUT", vec![("if-none-match", "*")], 412),
            (145, "PUT", vec![("if-match", "NOW")], 200),
            (145, "DELETE", vec![("if-match", "OLD")], 412),
            (145, "DELETE", vec![("if-none-match", "*")], 412),
            (145, "DELETE", vec![("if-match", "NOW")], 204),
        ] {
            n += 1;
            let title = format!("title {n}");
            let body = match method {
                "PATCH" => Some(
                    json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": title}]}),
                ),
                "PUT" => Some(json!({"schemas": [USER], "userName": "ada@example.com", "title": title})),
                _ => None,
            };
            let now = version(&gateway, &to, &path).await;
            let bare = now.trim_start_matches("W/").trim_matches('"');
            let old = format!("W/\"{}\"", bare.parse::<u64>().unwrap() + 1000);
            let sent: Vec<(&str, String)> = headers
                .iter()
                .map(|(name, value)| (*name, value.replace("NOW", &now).replace("OLD", &old).replace("BARE", bare)))
                .collect();
            let sent: Vec<(&str, &str)> = sent.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let reply = gateway.ask(&to, method, &path, &sent, body.as_ref()).await;
            let what = format!("item {item}: {method} {headers:?}");
            assert_eq!(reply.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
            match status {
                304 => {
                    assert!(reply.bytes.is_empty(), "{what}");
                    assert_eq!(reply.header("etag"), now, "{what}");
                }
                412 => {
                    assert_eq!(reply.json()["status"], "412", "{what}");
                    assert_eq!(version(&gateway, &to, &path).await, now, "{what}");
                }
                200 if method != "GET" => assert_ne!(reply.header("etag"), now, "{what}"),
                _ => {}
            }
        }
        for (method, body) in
            [("GET", None), ("DELETE", None), ("PUT", Some(json!({"schemas": [USER], "userName": "ada@example.com"})))]
        {
            let reply = gateway.ask(&to, method, &path, &[("if-match", "*")], body.as_ref()).await;
            assert_eq!(reply.status, 404, "item 145: {method} of what is not there");
        }
    }
}

#[tokio::test]
async fn the_tag_changes_when_and_only_when_the_resource_does() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let id = gateway.user(&to, "ada@example.com").await;
        let body = json!({"schemas": [GROUP], "displayName": "Ops"});
        let group = gateway.scim(&to, "POST", "/Groups", Some(body)).await.expect(201);
        assert!(group.header("etag").starts_with("W/\""), "item 188: weak tags say so");
        assert_eq!(group.header("etag"), group.json()["meta"]["version"], "item 22");
        let at = format!("/Groups/{}", group.json()["id"].as_str().unwrap());
        let user = format!("/Users/{id}");
        let patch = |operation: Value| Some(json!({"schemas": [PATCH], "Operations": [operation]}));
        let member = json!({"op": "add", "path": "members", "value": [{"value": id}]});
        for (path, operation, group_changes, user_changes) in [
            (&at, member.clone(), true, false),
            (&at, member, false, false),
            (&at, json!({"op": "replace", "path": "displayName", "value": "Ops"}), false, false),
            (&at, json!({"op": "replace", "path": "displayName", "value": "Dev"}), true, false),
            (&user, json!({"op": "replace", "path": "userName", "value": "ada@example.com"}), false, false),
            (&user, json!({"op": "replace", "path": "active", "value": false}), false, true),
            (&at, json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")}), true, false),
        ] {
            let before = (version(&gateway, &to, &at).await, version(&gateway, &to, &user).await);
            let reply = gateway.scim(&to, "PATCH", path, patch(operation.clone())).await.expect(200);
            let after = (version(&gateway, &to, &at).await, version(&gateway, &to, &user).await);
            assert_eq!(before.0 != after.0, group_changes, "item 144: {operation}");
            assert_eq!(before.1 != after.1, user_changes, "item 144: {operation}");
            assert_eq!(reply.header("etag"), if path == &at { &after.0 } else { &after.1 }, "item 144: {operation}");
            assert_eq!(reply.header("etag"), reply.json()["meta"]["version"], "item 22: {operation}");
        }
    }
}

#[tokio::test]
async fn of_many_writers_with_one_tag_one_wins() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let path = format!("/Users/{}", gateway.user(&to, "ada@example.com").await);
        for round in 0..5 {
            let now = version(&gateway, &to, &path).await;
            let write = async |n: usize| {
                let value = format!("round {round}, writer {n}");
                let body =
                    json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": value}]});
                gateway.ask(&to, "PATCH", &path, &[("if-match", &now)], Some(&body)).await.status.as_u16()
            };
            let mut statuses: Vec<u16> = futures_util::future::join_all((0..8).map(write)).await;
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412], "item 146");
        }
    }
}
