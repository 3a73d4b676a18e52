//! Transport, authentication and media types (RFC 7644 sections 2, 3.1 and 3.8, RFC 6750; checklist 51
//! to 65, 148 to 152 and 190).

use serde_json::{Value, json};

use crate::support::{Gateway, USER};

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";

#[tokio::test]
async fn credentials_are_asked_for_in_the_form_of_rfc_6750() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let other = gateway.instance("paused", json!({})).await;
    let id = gateway.user(&to, "ada@example.com").await;
    let reader = gateway.key(&to, json!({"scopes": ["scim:read"]})).await;
    let dead = gateway.key(&to, json!({})).await;
    gateway.admin("DELETE", &format!("/instances/{}/keys/{}", to.id, dead.key_id), None).await.expect(204);
    let old = gateway.key(&to, json!({"expires_at": "2026-01-01T00:00:30Z"})).await;
    gateway.clock.advance(std::time::Duration::from_secs(31));
    let bare = to.key.strip_prefix("Bearer ").unwrap();
    let in_url = format!("/Users?access_token={bare}");
    let in_url = in_url.as_str();
    let (none, wrong) = ("Bearer realm=\"scimgate\"", "Bearer realm=\"scimgate\", error=\"invalid_token\"");
    let invalid = "Bearer realm=\"scimgate\", error=\"invalid_request\"";
    let scope = "Bearer realm=\"scimgate\", error=\"insufficient_scope\", scope=\"scim\"";
    let one = format!("/Users/{id}");
    let twice = format!("Bearer {bare} {bare}");
    let shout = format!("BEARER {bare}");
    // The item, method, path, Authorization, status, WWW-Authenticate.
    for (item, method, path, auth, status, challenge) in [
        (51, "GET", "/Users", "", 401, none),
        (52, "POST", "/Users", "", 401, none),
        (52, "GET", "/ServiceProviderConfig", "", 401, none),
        (52, "OPTIONS", "/Users", "", 401, none),
        (52, "GET", "/nonsense", "", 401, none),
        (53, "GET", "/Users", "Bearer wrong", 401, wrong),
        (53, "GET", "/Users", &dead.key, 401, wrong),
        (53, "GET", "/Users", &old.key, 401, wrong),
        (53, "GET", "/Users", &other.key, 401, wrong),
        (53, "GET", "/Users", "Bearer", 401, wrong),
        (53, "GET", "/Users", "Digest x", 401, wrong),
        (54, "DELETE", &one, &reader.key, 403, scope),
        (54, "POST", "/Bulk", &reader.key, 403, scope),
        (59, "DELETE", "/Users/nobody", &reader.key, 403, scope),
        (55, "GET", "/Users", &twice, 400, invalid),
        (55, "GET", in_url, &to.key, 400, invalid),
        (56, "GET", in_url, "", 401, none),
        (57, "GET", "/Users", &shout, 200, ""),
        (57, "OPTIONS", "/Users", &reader.key, 204, ""),
    ] {
        let reply = gateway.ask(&to, method, path, &[("authorization", auth)], None).await;
        let what = format!("item {item}: {method} {path:.20} {auth:.12}");
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
        assert_eq!(reply.header("www-authenticate"), challenge, "{what}");
        assert_eq!(reply.header("cache-control"), "no-store", "item 56: {what}");
        if status >= 400 {
            let error = reply.json();
            assert_eq!(
                (&error["schemas"], &error["status"]),
                (&json!([ERROR]), &json!(status.to_string())),
                "item 58: {what}"
            );
            assert!(!error["detail"].as_str().unwrap().contains(bare), "{what}");
        }
    }
    // Another tenant's resource is not there (59).
    gateway.scim(&other, "GET", &one, None).await.expect(404);
}

#[tokio::test]
async fn media_types_are_taken_and_given_as_clients_say_them() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let (scim, json) = ("application/scim+json", "application/json");
    for (item, accept, want) in [
        (60, "", scim),
        (60, "application/scim+json", scim),
        (60, "application/json", json),
        (61, "application/scim+json; charset=utf-8", scim),
        (61, "application/json;charset=UTF-8;q=0.9", json),
        (61, "application/json, application/scim+json", scim),
        (61, "application/json;q=0.4, application/scim+json;q=0.5", scim),
        (61, "application/json;q=0.5, application/scim+json;q=0.4", json),
        (61, "text/plain, */*;q=0.1", scim),
        (61, "*/*", scim),
        (61, "application/*", scim),
        // What fits nothing of ours is answered all the same: never 406.
        (61, "text/html", scim),
        (61, "nonsense;;q", scim),
    ] {
        for path in ["/Users", "/Users/nobody"] {
            let reply = gateway.ask(&to, "GET", path, &[("accept", accept)], None).await;
            assert_eq!(reply.header("content-type"), want, "item {item}: {path} {accept:?}");
        }
    }
    for (n, (item, kind, status)) in [
        (62, "application/scim+json", 201),
        (60, "application/json", 201),
        (62, "application/scim+json; charset=utf-8", 201),
        (62, "Application/JSON;charset=UTF-8; x=y", 201),
        (62, "", 201),
        (62, "text/plain", 415),
        (62, "application/xml", 415),
        (62, "application/x-www-form-urlencoded", 415),
        (62, "application/jsonx", 415),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"schemas": [USER], "userName": format!("u{n}")});
        let reply = gateway.ask(&to, "POST", "/Users", &[("content-type", kind)], Some(&body)).await;
        assert_eq!(reply.status.as_u16(), status, "item {item}: {kind:?}");
    }
    // Not a byte of what is not ASCII is lost (63), and what is not UTF-8 or not JSON is refused (63, 64).
    let name = "Zoë \u{1F600} \u{65e5}\u{672c} e\u{301}";
    let body = json!({"schemas": [USER], "userName": "zoe", "displayName": name});
    let made = gateway.ask(&to, "POST", "/Users", &[], Some(&body)).await.expect(201).json();
    let read = gateway.scim(&to, "GET", &format!("/Users/{}", made["id"].as_str().unwrap()), None).await.expect(200);
    assert_eq!(read.json()["displayName"], name, "item 63");
    assert!(String::from_utf8(read.bytes).unwrap().contains(name), "item 63");
    for (item, bytes, kind) in [
        (63, b"{\"userName\":\"\xe9\"}".as_slice(), "invalidSyntax"),
        (64, b"{\"userName\":", "invalidSyntax"),
        (64, b"[1]", "invalidSyntax"),
        (64, br#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":{}}"#, "invalidValue"),
        (
            64,
            br#"{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"x","emails":7}"#,
            "invalidValue",
        ),
    ] {
        let request =
            http::Request::builder().method("POST").uri(format!("{}/Users", to.base)).header("authorization", &to.key);
        let reply = gateway.send(request.body(bytes.to_vec().into()).unwrap()).await.expect(400);
        assert_eq!(reply.json()["scimType"], kind, "item {item}: {}", String::from_utf8_lossy(bytes));
    }
}

#[tokio::test]
async fn verbs_paths_and_versions_that_are_not_there_are_told_apart() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let one = format!("/Users/{}", gateway.user(&to, "ada@example.com").await);
    let (list, single) = ("GET, HEAD, POST, OPTIONS", "GET, HEAD, PUT, PATCH, DELETE, OPTIONS");
    for (path, allow, verbs) in [
        ("/Users", list, ["PUT", "PATCH", "DELETE", "TRACE"].as_slice()),
        (&one, single, &["POST", "BREW", "TRACE"]),
        ("/.search", "POST, OPTIONS", &["GET", "PUT"]),
        ("/Users/.search", "POST, OPTIONS", &["GET", "DELETE"]),
        ("/Bulk", "POST, OPTIONS", &["GET", "PATCH"]),
        ("/", "GET, HEAD, OPTIONS", &["POST", "DELETE"]),
        ("/Schemas", "GET, HEAD, OPTIONS", &["POST", "PUT", "PATCH", "DELETE"]),
        ("/ServiceProviderConfig", "GET, HEAD, OPTIONS", &["POST"]),
        ("/ResourceTypes/User", "GET, HEAD, OPTIONS", &["DELETE"]),
    ] {
        for verb in verbs {
            let reply = gateway.scim(&to, verb, path, None).await.expect(405);
            assert_eq!((reply.header("allow"), &reply.json()["status"]), (allow, &json!("405")), "{verb} {path}");
        }
        let reply = gateway.scim(&to, "OPTIONS", path, None).await.expect(204);
        assert_eq!((reply.header("allow"), reply.bytes.len()), (allow, 0), "OPTIONS {path}");
    }
    for (item, path) in [
        (65, format!("/i/{}/scim/v1/Users", to.id)),
        (65, format!("/i/{}/scim/v3/Users", to.id)),
        (65, format!("/i/{}/scim/Users", to.id)),
        (65, format!("/i/{}/Users", to.id)),
        (148, format!("{}/Schemas/urn:nonsense", to.base)),
        (148, format!("{}/ResourceTypes/Nonsense", to.base)),
        (148, format!("{}/ServiceProviderConfig/x", to.base)),
    ] {
        let reply = gateway.call("GET", &path, &to.key, None).await.expect(404);
        assert_eq!(reply.json()["status"], "404", "item {item}: {path}");
    }
    // Discovery: a filter is refused, all else in a query means nothing there (148, 190).
    for path in
        ["/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas", &format!("/Schemas/{USER}")]
    {
        let plain = gateway.scim(&to, "GET", path, None).await.expect(200);
        let query = "startIndex=2&count=1&sortBy=id&sortOrder=descending&attributes=id&excludedAttributes=name&x=y";
        let asked = gateway.scim(&to, "GET", &format!("{path}?{query}"), None).await.expect(200);
        assert_eq!(plain.json(), asked.json(), "item 190: {path}");
        gateway.scim(&to, "GET", &format!("{path}?Filter=id%20pr"), None).await.expect(403);
        let head = gateway.scim(&to, "HEAD", path, None).await.expect(200);
        assert_eq!(
            (head.bytes.len(), head.header("content-length")),
            (0, plain.bytes.len().to_string().as_str()),
            "{path}"
        );
    }
    // Every list is one (149), and every schema that a type names is there.
    let types = gateway.scim(&to, "GET", "/ResourceTypes", None).await.expect(200).json();
    let named = |kind: &Value| -> Vec<String> {
        let extensions = kind["schemaExtensions"].as_array().unwrap().iter().map(|extension| &extension["schema"]);
        std::iter::once(&kind["schema"]).chain(extensions).map(|urn| urn.as_str().unwrap().to_owned()).collect()
    };
    for urn in types["Resources"].as_array().unwrap().iter().flat_map(named) {
        assert_eq!(
            gateway.scim(&to, "GET", &format!("/Schemas/{urn}"), None).await.expect(200).json()["id"],
            urn,
            "item 149"
        );
    }
}

#[tokio::test]
async fn request_ids_go_in_and_out() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let long = "x".repeat(129);
    for (sent, kept) in [
        ("abc-1", true),
        ("6f1d/2:3.4_5+6=", true),
        ("has blank", false),
        ("<script>", false),
        (long.as_str(), false),
        ("", false),
    ] {
        for (path, auth) in [("/Users", to.key.as_str()), ("/nonsense", &to.key), ("/Users", "Bearer wrong")] {
            let reply = gateway.ask(&to, "GET", path, &[("authorization", auth), ("x-request-id", sent)], None).await;
            let got = reply.header("x-request-id");
            assert_eq!(got == sent, kept, "{sent:?} came back as {got:?}");
            assert!(!got.is_empty() && got.len() <= 128, "{got:?}");
        }
    }
    let body = json!({"schemas": [USER], "userName": "ada@example.com"});
    gateway.ask(&to, "POST", "/Users", &[("x-request-id", "trace-7")], Some(&body)).await.expect(201);
    let operations = gateway.admin("GET", &format!("/instances/{}/operations", to.id), None).await.expect(200).json();
    assert!(operations.to_string().contains("trace-7"), "{operations}");
}
