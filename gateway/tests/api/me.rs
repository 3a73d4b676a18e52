//! `/Me` and the keys that open it (RFC 7644 section 3.11; checklist 147 and 54).

use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, PATCH, SEARCH, USER};

#[tokio::test]
async fn me_is_the_user_that_the_key_belongs_to() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let (ada, bob) = (gateway.user(&to, "ada@example.com").await, gateway.user(&to, "bob@example.com").await);
        let me = gateway.key(&to, json!({"person": ada, "name": "Ada's"})).await;
        let place = format!("http://127.0.0.1:8080{}/Users/{ada}", to.base);
        let patch = |value: &str| {
            Some(json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": value}]}))
        };
        let put = json!({"schemas": [USER], "userName": "ada@example.com", "title": "put"});
        for (method, path, body, title) in [
            ("GET", "/Me", None, Value::Null),
            ("PATCH", "/me/", patch("patched"), json!("patched")),
            ("GET", "/ME?attributes=title", None, json!("patched")),
            ("PUT", "/Me", Some(put), json!("put")),
        ] {
            let reply = gateway.scim(&me, method, path, body).await.expect(200);
            assert_eq!(
                (reply.header("location"), reply.header("content-location")),
                (place.as_str(), place.as_str()),
                "{method} {path}"
            );
            let shown = reply.json();
            assert_eq!((&shown["id"], &shown["title"]), (&json!(ada), &title), "{method} {path}");
            if !path.contains('?') {
                assert_eq!(shown["meta"]["location"], place, "{method} {path}");
                assert_eq!(shown["meta"]["resourceType"], "User");
            }
        }
        let now = gateway.scim(&me, "HEAD", "/Me", None).await.expect(200);
        let known = [("if-none-match", now.header("etag"))];
        assert_eq!(gateway.ask(&me, "GET", "/Me", &known, None).await.expect(304).header("location"), place);
        gateway.ask(&me, "DELETE", "/Me", &[("if-match", "W/\"1\"")], None).await.expect(412);

        // It opens nothing else, whoever's it is; discovery it does.
        for (method, path) in [
            ("GET", "/Users".to_owned()),
            ("GET", format!("/Users/{ada}")),
            ("PATCH", format!("/Users/{bob}")),
            ("POST", "/Users".to_owned()),
            ("POST", "/.search".to_owned()),
            ("POST", "/Users/.search".to_owned()),
            ("POST", "/Bulk".to_owned()),
            ("GET", "/Groups".to_owned()),
            ("GET", "/".to_owned()),
            ("GET", "/nonsense".to_owned()),
            ("OPTIONS", "/Users".to_owned()),
        ] {
            let body = json!({"schemas": [SEARCH]});
            let reply = gateway.scim(&me, method, &path, (method == "POST").then_some(body)).await.expect(403);
            assert!(reply.header("www-authenticate").contains("error=\"insufficient_scope\""), "{method} {path}");
            assert_eq!(reply.json()["status"], "403");
        }
        for path in ["/ServiceProviderConfig", "/Schemas", "/ResourceTypes/User"] {
            gateway.scim(&me, "GET", path, None).await.expect(200);
        }
        gateway.scim(&me, "GET", "/Me/x", None).await.expect(404);
        assert_eq!(
            gateway.scim(&me, "POST", "/Me", Some(json!({"schemas": [USER]}))).await.expect(501).json()["status"],
            "501"
        );
        assert_eq!(
            gateway.scim(&me, "OPTIONS", "/Me", None).await.expect(204).header("allow"),
            "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
        );
        // A key of an integration is nobody.
        for method in ["GET", "PUT", "PATCH", "DELETE", "POST"] {
            gateway.scim(&to, method, "/Me", None).await.expect(501);
        }

        // A successor of the key is the same person's.
        let rotate = format!("/instances/{}/keys/{}/rotate", to.id, me.key_id);
        let next = gateway.admin("POST", &rotate, Some(json!({"overlap_seconds": 60}))).await.expect(201).json();
        assert_eq!((&next["person"], &next["scopes"]), (&json!(ada), &json!(["me"])));
        let listed = gateway.admin("GET", &format!("/instances/{}/keys", to.id), None).await.expect(200).json();
        assert_eq!(listed["items"].as_array().unwrap().iter().filter(|key| key["person"] == json!(ada)).count(), 2);

        let gone = gateway.scim(&me, "DELETE", "/Me", None).await.expect(204);
        assert_eq!(gone.header("location"), place);
        gateway.scim(&to, "GET", &format!("/Users/{ada}"), None).await.expect(404);
        for method in ["GET", "DELETE"] {
            gateway.scim(&me, method, "/Me", None).await.expect(404);
        }
    }
}

#[tokio::test]
async fn keys_are_bound_to_people_who_are_there() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let other = gateway.instance("paused", json!({})).await;
    let (ada, stranger) = (gateway.user(&to, "ada@example.com").await, gateway.user(&other, "eve@example.com").await);
    let keys = format!("/instances/{}/keys", to.id);
    for (body, field) in [
        (json!({"person": "nobody"}), "person"),
        (json!({"person": ""}), "person"),
        (json!({"person": stranger}), "person"),
        (json!({"person": "ada@example.com"}), "person"),
        (json!({"scopes": ["me"]}), "person"),
        (json!({"person": ada, "scopes": ["scim"]}), "scopes"),
        (json!({"person": ada, "scopes": ["me", "scim:read"]}), "scopes"),
        (json!({"person": ada, "scopes": []}), "scopes"),
        (json!({"rate_limit": "fast"}), "rate_limit"),
    ] {
        assert_eq!(gateway.admin("POST", &keys, Some(body.clone())).await.expect(400).json()["field"], field, "{body}");
    }
    let made = gateway.admin("POST", &keys, Some(json!({"person": ada, "scopes": ["me"]}))).await.expect(201).json();
    assert_eq!((&made["person"], &made["scopes"], &made["rate_limit"]), (&json!(ada), &json!(["me"]), &Value::Null));
    let acts = gateway.admin("GET", "/audit?limit=1", None).await.expect(200).json();
    assert_eq!((&acts["items"][0]["act"], &acts["items"][0]["detail"]["person"]), (&json!("key.create"), &json!(ada)));
}

#[tokio::test]
async fn a_person_came_into_any_group_by_their_own_key() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({"dialect": "sailpoint", "groups_via_users": true})).await;
    let ada = gateway.user(&to, "ada@example.com").await;
    let group = json!({"schemas": [GROUP], "displayName": "Admins"});
    let group = gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201).json()["id"].clone();
    let me = gateway.key(&to, json!({"person": ada})).await;
    let add = json!({"schemas": [PATCH], "Operations": [{"op": "add", "path": "groups", "value": [{"value": group}]}]});
    let put = json!({"schemas": [USER], "userName": "ada@example.com", "groups": [{"value": group}]});
    assert_eq!(gateway.scim(&me, "PATCH", "/Me", Some(add.clone())).await.expect(400).json()["scimType"], "mutability");
    assert_eq!(gateway.scim(&me, "PUT", "/Me", Some(put)).await.expect(200).json()["groups"], Value::Null);
    let changed = gateway.scim(&to, "PATCH", &format!("/Users/{ada}"), Some(add)).await.expect(200).json();
    assert_eq!(changed["groups"][0]["display"], "Admins");
}

#[tokio::test]
async fn me_answered_later_named_its_place_twice() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let streams = format!("/instances/{}/event-streams", to.id);
    gateway.admin("POST", &streams, Some(json!({"name": "all", "delivery": "poll"}))).await.expect(201);
    let ada = gateway.user(&to, "ada@example.com").await;
    let me = gateway.key(&to, json!({"person": ada})).await;
    let put = json!({"schemas": [USER], "userName": "ada@example.com", "title": "Dr"});
    let reply = gateway.ask(&me, "PUT", "/Me", &[("prefer", "respond-async")], Some(&put)).await.expect(202);
    let places: Vec<_> = reply.headers.get_all("location").iter().collect();
    assert_eq!(places, [&format!("http://127.0.0.1:8080{}/Users/{ada}", to.base)]);
}

#[tokio::test]
async fn a_completion_was_told_by_each_group_that_a_request_on_a_user_named() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({"dialect": "sailpoint", "groups_via_users": true})).await;
    let group = json!({"schemas": [GROUP], "displayName": "Staff"});
    let group = gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201).json()["id"].clone();
    let user = json!({"schemas": [USER], "userName": "ada@example.com", "groups": [{"value": group}]});
    let ada = gateway.scim(&to, "POST", "/Users", Some(user)).await.expect(201).json()["id"].clone();
    let streams = format!("/instances/{}/event-streams", to.id);
    let new = json!({"name": "all", "delivery": "poll", "events": ["misc:asyncresp"]});
    let stream = gateway.admin("POST", &streams, Some(new)).await.expect(201).json();
    let again =
        json!({"schemas": [PATCH], "Operations": [{"op": "add", "path": "groups", "value": [{"value": group}]}]});
    let path = format!("/Users/{}", ada.as_str().unwrap());
    gateway.ask(&to, "PATCH", &path, &[("prefer", "respond-async")], Some(&again)).await.expect(202);
    let key = gateway.key(&to, json!({"scopes": ["scim:events"]})).await;
    let poll = format!("/Events/{}", stream["id"].as_str().unwrap());
    let told = gateway.scim(&key, "POST", &poll, Some(json!({"returnImmediately": true}))).await.expect(200).json();
    assert_eq!(told["sets"].as_object().unwrap().len(), 1, "{told}");
}
