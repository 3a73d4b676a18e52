//! Dialects: what is taken, what it means, who is recognised, and what is recorded.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, Instance, PATCH, Reply, USER};

const SCIM1: &str = "urn:scim:schemas:core:1.0";

/// A request with headers of its own; `auth` stands for the key.
async fn send(gateway: &Gateway, method: &str, uri: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    gateway.send(request.body(body).unwrap()).await
}

fn operations(list: Value) -> Value {
    json!({"schemas": [PATCH], "Operations": list})
}

/// The newest operation on a resource, as the admin sees it.
async fn newest(gateway: &Gateway, to: &Instance, id: &str) -> Value {
    let path = format!("/instances/{}/operations?resource={id}", to.id);
    gateway.admin("GET", &path, None).await.expect(200).json()["items"][0].clone()
}

#[tokio::test]
async fn each_unit_of_the_surface_is_taken_and_switched_off() {
    let gateway = Gateway::start().await;
    let key = |to: &Instance| to.key.strip_prefix("Bearer ").unwrap().to_owned();
    let basic = |to: &Instance| {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("okta:{}", key(to))))
    };
    // unit, path behind the base URL, how the key is presented, status with the unit off
    for (unit, path, form, off) in [
        ("extra_slashes", "//Users/", "bearer", 404),
        ("route_case", "/users", "bearer", 404),
        ("route_case", "/serviceproviderconfig", "bearer", 404),
        ("short_schema_id", "/Schemas/User", "bearer", 404),
        ("plus_for_space", "/Users?filter=userName+eq+%22a%22", "bearer", 400),
        ("unquoted_value", "/Users?filter=userName%20eq%20a", "bearer", 400),
        ("unqualified_extension", "/Users?filter=department%20eq%20%22a%22", "bearer", 400),
        ("basic_key", "/Users", "basic", 401),
        ("bare_key", "/Users", "bare", 401),
    ] {
        for (policy, want) in [(json!({}), 200), (json!({"quirks_off": [unit]}), off), (json!({"strict": true}), off)] {
            let to = gateway.instance("paused", policy.clone()).await;
            let auth = match form {
                "basic" => basic(&to),
                "bare" => key(&to),
                _ => to.key.clone(),
            };
            let reply = send(&gateway, "GET", &format!("{}{path}", to.base), &[("authorization", &auth)], None).await;
            assert_eq!(reply.status, want, "{unit} {path} {policy}: {reply:?}");
            if want != 200 {
                assert_eq!(reply.json()["status"], want.to_string(), "{unit}");
            }
        }
    }
    let to = gateway.instance("paused", json!({"strict": true})).await;
    let config = gateway.scim(&to, "GET", "/ServiceProviderConfig", None).await.expect(200).json();
    assert!(!config.to_string().contains("httpbasic"), "what is off is not offered: {config}");
}

#[tokio::test]
async fn bodies_are_read_as_the_policy_has_it() {
    let gateway = Gateway::start().await;
    let person = json!({"schemas": [USER], "userName": "a", "emails": {"value": "a@example.com"}, "profileUrl": " ", "active": "true"});
    for (policy, want) in [
        (json!({}), 201),
        (json!({"quirks_off": ["single_for_list"]}), 400),
        (json!({"quirks_off": ["not_a_uri"]}), 400),
        (json!({"strict": true}), 400),
    ] {
        let to = gateway.instance("paused", policy.clone()).await;
        let reply = gateway.scim(&to, "POST", "/Users", Some(person.clone())).await.expect(want);
        if want == 400 {
            assert_eq!(reply.json()["scimType"], "invalidValue", "{policy}");
            continue;
        }
        let id = reply.json()["id"].as_str().unwrap().to_owned();
        let operation = newest(&gateway, &to, &id).await;
        assert_eq!(operation["quirks"], json!(["boolean_as_text", "single_for_list", "not_a_uri"]));
        assert_eq!((&operation["dialect"], &operation["dialect_by"]), (&json!("auto"), &json!("policy")));
    }
}

#[tokio::test]
async fn a_policy_names_what_is_wrong_in_it() {
    let gateway = Gateway::start().await;
    for (policy, field) in [
        (json!({"dialect": "klingon"}), "policy.dialect"),
        (json!({"strict": 1}), "policy.strict"),
        (json!({"quirks_off": ["capitalized_op"]}), "policy.quirks_off[0]"),
        (json!({"quirks_off": ["accept_json"]}), "policy.quirks_off[0]"),
        (json!({"put_without_active": "off"}), "policy.put_without_active"),
        (json!({"dialect": "pocket_id", "list_unmanaged": true}), "policy.list_unmanaged"),
        (json!({"dialect": "keycloak", "list_unmanaged": true}), "policy.list_unmanaged"),
    ] {
        let body = json!({"name": "Acme", "connector": "buildkite", "settings": {"org": "acme"}, "secrets": {"token": "t"}, "mode": "paused", "policy": policy});
        let refused = gateway.admin("POST", "/instances", Some(body)).await.expect(400).json();
        assert_eq!(refused["field"], field, "{policy}: {refused}");
    }
}

#[tokio::test]
async fn what_a_put_leaves_out_means_what_the_dialect_has() {
    let gateway = Gateway::start().await;
    for (policy, active, members) in [
        (json!({}), true, 0),
        (json!({"dialect": "aws_style"}), false, 0),
        (json!({"dialect": "aws_style", "put_without_active": "keep"}), true, 0),
        (json!({"put_without_active": "false"}), false, 0),
        (json!({"put_without_members": "keep"}), true, 1),
        (json!({"dialect": "pocket_id"}), true, 0),
    ] {
        let to = gateway.instance("paused", policy.clone()).await;
        let user = gateway.user(&to, "a").await;
        let body = json!({"schemas": [GROUP], "displayName": "g", "members": [{"value": user}]});
        let group = gateway.scim(&to, "POST", "/Groups", Some(body)).await.expect(201).json();
        let path = format!("/Groups/{}", group["id"].as_str().unwrap());
        let put = json!({"schemas": [GROUP], "displayName": "h"});
        let group = gateway.scim(&to, "PUT", &path, Some(put)).await.expect(200).json();
        assert_eq!(group["members"].as_array().unwrap().len(), members, "{policy}");
        let put = json!({"schemas": [USER], "userName": "a"});
        let user = gateway.scim(&to, "PUT", &format!("/Users/{user}"), Some(put)).await.expect(200).json();
        assert_eq!(user["active"], active, "{policy}");
    }
}

#[tokio::test]
async fn a_client_is_recognised_by_its_requests_and_nothing_harmful_follows() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let clients = async |to: &Instance| {
        let keys = gateway.admin("GET", &format!("/instances/{}/keys", to.id), None).await.expect(200).json();
        keys["items"][0]["client"].clone()
    };
    assert_eq!(clients(&to).await, Value::Null);
    // Entra, by a probe and its operations.
    let probe = "/Groups?excludedAttributes=members&filter=displayName+eq+%225e6c2a1b-0d7f-4b7e-9f53-2f4b7c6c9a11%22";
    gateway.scim(&to, "GET", probe, None).await.expect(200);
    assert_eq!(clients(&to).await, "entra");
    let group = json!({"schemas": [GROUP], "displayName": "g"});
    let group = gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201).json();
    let id = group["id"].as_str().unwrap();
    let rename = operations(json!([{"op": "Replace", "path": "displayName", "value": "h"}]));
    gateway.scim(&to, "PATCH", &format!("/Groups/{id}"), Some(rename)).await.expect(204);
    let operation = newest(&gateway, &to, id).await;
    assert_eq!((&operation["dialect"], &operation["dialect_by"]), (&json!("entra"), &json!("requests")));
    assert_eq!(operation["quirks"], json!(["capitalised_op"]));
    let why = gateway.admin("GET", &format!("/instances/{}/why?resource={id}", to.id), None).await.expect(200).json();
    assert_eq!(why["operations"][0]["dialect"], "entra");

    // idp-scim-sync: recognised, and a user whose `active` was left out stays on all the same.
    let to = gateway.instance("paused", json!({})).await;
    let headers = [("authorization", to.key.as_str()), ("accept", "application/json"), ("user-agent", "x")];
    let group = json!({"id": "", "meta": {}, "schemas": [GROUP], "displayName": "g", "externalId": "g-2"});
    let made = send(&gateway, "POST", &format!("{}/Groups", to.base), &headers, Some(&group)).await.expect(201);
    assert_eq!(made.header("content-type"), "application/json");
    assert_eq!(clients(&to).await, "aws_style");
    let user = gateway.user(&to, "ivy").await;
    let uri = format!("{}/Users/{user}", to.base);
    let put = json!({"schemas": [USER], "userName": "ivy", "displayName": "Ivy"});
    let put = send(&gateway, "PUT", &uri, &headers, Some(&put)).await.expect(200).json();
    assert_eq!(put["active"], true);
    assert_eq!(newest(&gateway, &to, &user).await["dialect"], "aws_style");

    // A dialect that was named stands, whoever speaks.
    let to = gateway.instance("paused", json!({"dialect": "okta"})).await;
    gateway.scim(&to, "GET", "/Users?aadOptscim062020", None).await.expect(200);
    assert_eq!(clients(&to).await, "entra");
    let user = gateway.user(&to, "a").await;
    let operation = newest(&gateway, &to, &user).await;
    assert_eq!((&operation["dialect"], &operation["dialect_by"]), (&json!("okta"), &json!("policy")));
}

#[tokio::test]
async fn scim_1_patches_change_members() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let (one, two) = (gateway.user(&to, "a").await, gateway.user(&to, "b").await);
    let body = json!({"schemas": [SCIM1], "displayName": "g", "members": [{"value": one}]});
    let group = gateway.scim(&to, "POST", "/Groups", Some(body)).await.expect(201).json();
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    let change = json!({"members": [{"value": one, "operation": "delete"}, {"value": two, "operation": "add"}]});
    let group = gateway.scim(&to, "PATCH", &path, Some(change)).await.expect(200).json();
    assert_eq!(group["members"].as_array().unwrap().len(), 1);
    assert_eq!(group["members"][0]["value"], two.as_str());
}

async fn group(gateway: &Gateway, to: &Instance, name: &str) -> String {
    let body = json!({"schemas": [GROUP], "displayName": name});
    gateway.scim(to, "POST", "/Groups", Some(body)).await.expect(201).json()["id"].as_str().unwrap().to_owned()
}

fn groups_of(user: &Value) -> Vec<&str> {
    let mut names: Vec<&str> =
        user["groups"].as_array().into_iter().flatten().filter_map(|group| group["display"].as_str()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn groups_are_changed_from_the_users_side_where_the_policy_says_so() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({"dialect": "sailpoint", "groups_via_users": true})).await;
    let (a, b, c) = (group(&gateway, &to, "a").await, group(&gateway, &to, "b").await, group(&gateway, &to, "c").await);
    let person = |name: &str, groups: Value| json!({"schemas": [USER], "userName": name, "groups": groups});
    let made = gateway.scim(&to, "POST", "/Users", Some(person("u", json!([{"value": a}, {"value": b}])))).await;
    let user = made.expect(201).json();
    assert_eq!(groups_of(&user), ["a", "b"]);
    let id = user["id"].as_str().unwrap().to_owned();
    let path = format!("/Users/{id}");
    // Each group has its own operation, and its own version.
    for group in [&a, &b] {
        let operation = newest(&gateway, &to, group).await;
        assert_eq!((&operation["verb"], &operation["dialect"]), (&json!("patch"), &json!("sailpoint")));
        assert_eq!(operation["changes"], json!([{"path": "members", "changed": 1}]));
        let read = gateway.scim(&to, "GET", &format!("/Groups/{group}"), None).await.expect(200).json();
        assert_eq!(read["members"][0]["value"], id.as_str());
        assert_eq!(read["meta"]["version"], "W/\"2\"");
    }
    // PUT: the list is the whole; without the key nothing is said.
    let put = async |body: Value| gateway.scim(&to, "PUT", &path, Some(body)).await;
    assert_eq!(groups_of(&put(person("u", json!([{"value": b}, {"value": c}]))).await.expect(200).json()), ["b", "c"]);
    let silent = put(json!({"schemas": [USER], "userName": "u", "title": "t"})).await.expect(200).json();
    assert_eq!(groups_of(&silent), ["b", "c"]);
    // PATCH, in the forms that there are; together with something else.
    for (list, want) in [
        (json!([{"op": "add", "path": "groups", "value": [{"value": a}]}]), vec!["a", "b", "c"]),
        (json!([{"op": "remove", "path": format!("groups[value eq \"{b}\"]")}]), vec!["a", "c"]),
        (json!([{"op": "remove", "path": "groups[display eq \"c\"]"}]), vec!["a"]),
        (json!([{"op": "add", "value": {"title": "x", "groups": [{"value": b}]}}]), vec!["a", "b"]),
        (json!([{"op": "remove", "path": "groups", "value": [{"value": a}]}]), vec!["b"]),
        (json!([{"op": "remove", "path": "groups", "value": []}]), vec!["b"]),
        (json!([{"op": "replace", "path": "groups", "value": [{"value": c}]}]), vec!["c"]),
        (json!([{"op": "remove", "path": "groups"}]), vec![]),
    ] {
        let changed = gateway.scim(&to, "PATCH", &path, Some(operations(list.clone()))).await.expect(200).json();
        assert_eq!(groups_of(&changed), want, "{list}");
    }
    // A group that is not there: refused, and nothing of the request was done.
    let nobody = json!([{"value": a}, {"value": "nobody"}]);
    let list =
        json!([{"op": "replace", "path": "title", "value": "y"}, {"op": "add", "path": "groups", "value": nobody}]);
    let refused = gateway.scim(&to, "PATCH", &path, Some(operations(list))).await.expect(400).json();
    assert_eq!(refused["scimType"], "invalidValue");
    put(person("u", nobody.clone())).await.expect(400);
    gateway.scim(&to, "POST", "/Users", Some(person("v", nobody))).await.expect(400);
    let read = gateway.scim(&to, "GET", &path, None).await.expect(200).json();
    assert_eq!((groups_of(&read), &read["title"]), (vec![], &json!("x")));
    let list = gateway.scim(&to, "GET", "/Users", None).await.expect(200).json();
    assert_eq!(list["totalResults"], 1);
}

#[tokio::test]
async fn groups_of_a_user_are_read_only_unless_the_policy_says_otherwise() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({"dialect": "sailpoint"})).await;
    let a = group(&gateway, &to, "a").await;
    let body = json!({"schemas": [USER], "userName": "u", "groups": [{"value": a}, {"value": "nobody"}]});
    let user = gateway.scim(&to, "POST", "/Users", Some(body.clone())).await.expect(201).json();
    let path = format!("/Users/{}", user["id"].as_str().unwrap());
    let put = gateway.scim(&to, "PUT", &path, Some(body)).await.expect(200).json();
    assert!(user["groups"].is_null() && put["groups"].is_null());
    let list = json!([{"op": "add", "path": "groups", "value": [{"value": a}]}]);
    let refused = gateway.scim(&to, "PATCH", &path, Some(operations(list))).await.expect(400).json();
    assert_eq!(refused["scimType"], "mutability");
    let list = json!([{"op": "add", "value": {"title": "t", "groups": [{"value": a}]}}]);
    let taken = gateway.scim(&to, "PATCH", &path, Some(operations(list))).await.expect(200).json();
    assert_eq!((&taken["title"], &taken["groups"]), (&json!("t"), &Value::Null));
}
