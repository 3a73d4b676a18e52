//! The SCIM side.

use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};

use crate::support::{ADMIN, GROUP, Gateway, Instance, PATCH, SEARCH, USER};

#[tokio::test]
async fn a_user_lives() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let body = json!({"schemas": [USER], "userName": "Ada@example.com", "externalId": "e1", "name": {"givenName": "Ada"}, "active": true});
    let made = gateway.scim(&to, "POST", "/Users", Some(body.clone())).await.expect(201);
    let user = made.json();
    let id = user["id"].as_str().unwrap();
    assert_eq!(made.header("location"), user["meta"]["location"]);
    assert_eq!(made.header("location"), format!("http://127.0.0.1:8080{}/Users/{id}", to.base));
    assert_eq!(made.header("etag"), user["meta"]["version"]);
    assert_eq!(made.header("content-type"), "application/scim+json");
    assert_eq!(made.header("cache-control"), "no-store");
    assert_eq!(
        (&user["userName"], &user["externalId"], &user["name"]["givenName"]),
        (&json!("Ada@example.com"), &json!("e1"), &json!("Ada"))
    );

    let path = format!("/Users/{id}");
    let read = gateway.scim(&to, "GET", &path, None).await.expect(200);
    assert_eq!(read.json(), user);
    let twin = gateway
        .scim(&to, "POST", "/Users", Some(json!({"schemas": [USER], "userName": "ADA@example.com"})))
        .await
        .expect(409)
        .json();
    assert_eq!((&twin["scimType"], &twin["status"]), (&json!("uniqueness"), &json!("409")));

    let head = gateway.scim(&to, "HEAD", &path, None).await.expect(200);
    assert!(head.bytes.is_empty());
    assert_eq!(head.header("content-length"), read.bytes.len().to_string());
    let unchanged = Request::builder()
        .uri(format!("{}{path}", to.base))
        .header("authorization", &to.key)
        .header("if-none-match", read.header("etag"));
    assert!(gateway.send(unchanged.body(Body::empty()).unwrap()).await.expect(304).bytes.is_empty());

    let change = json!({"schemas": [PATCH], "Operations": [{"op": "Replace", "path": "active", "value": "False"}]});
    let changed = gateway.scim(&to, "PATCH", &path, Some(change)).await.expect(200);
    assert_eq!(changed.json()["active"], false);
    assert_ne!(changed.header("etag"), read.header("etag"));
    let stale = Request::builder()
        .method("DELETE")
        .uri(format!("{}{path}", to.base))
        .header("authorization", &to.key)
        .header("if-match", read.header("etag"));
    gateway.send(stale.body(Body::empty()).unwrap()).await.expect(412);

    let put = gateway
        .scim(&to, "PUT", &path, Some(json!({"schemas": [USER], "userName": "ada@example.com", "title": "Dr"})))
        .await
        .expect(200)
        .json();
    assert_eq!((&put["title"], &put["externalId"]), (&json!("Dr"), &Value::Null));
    gateway.scim(&to, "DELETE", &path, None).await.expect(204);
    for method in ["GET", "DELETE", "PUT"] {
        let body = (method == "PUT").then(|| body.clone());
        gateway.scim(&to, method, &path, body).await.expect(404);
    }
    gateway.scim(&to, "POST", "/Users", Some(body)).await.expect(201);
}

#[tokio::test]
async fn lists_filters_and_projections() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(gateway.user(&to, &format!("u{n}@example.com")).await);
    }
    let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": [{"value": ids[0]}, {"value": ids[1]}]});
    let group = gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201).json();
    let empty = gateway
        .scim(&to, "POST", "/Groups", Some(json!({"schemas": [GROUP], "displayName": "Empty"})))
        .await
        .expect(201)
        .json();
    assert_eq!(empty["members"], json!([]));
    assert_eq!(group["members"][0]["$ref"], format!("http://127.0.0.1:8080{}/Users/{}", to.base, ids[0]));

    async fn check(gateway: &Gateway, to: &Instance, path: &str, total: u64, shown: usize) -> Value {
        let list = gateway.scim(to, "GET", path, None).await.expect(200).json();
        assert_eq!(list["totalResults"], total, "{path}: {list}");
        assert_eq!(list["Resources"].as_array().unwrap().len(), shown, "{path}");
        assert_eq!(list["itemsPerPage"], shown, "{path}");
        list
    }
    check(&gateway, &to, "/Users", 5, 5).await;
    check(&gateway, &to, "/users/?startIndex=4&count=10", 5, 2).await;
    check(&gateway, &to, "//Users?count=0", 5, 0).await;
    check(&gateway, &to, "/Users?startIndex=18446744073709551616", 5, 0).await;
    check(&gateway, &to, "/Users?startIndex=-3&count=-1", 5, 0).await;
    check(&gateway, &to, "/Users?filter=userName+eq+%22U1@example.com%22", 1, 1).await;
    check(&gateway, &to, "/Users?filter=userName%20eq%20%22u1@example.com%22", 1, 1).await;
    check(&gateway, &to, "/Users?filter=emails[type%20eq%20%22work%22].value%20eq%20%22u2@example.com%22", 1, 1).await;
    check(&gateway, &to, "/Users?filter=userName%20sw%20%22u%22&sortBy=userName&sortOrder=descending&count=2", 5, 2)
        .await;
    check(&gateway, &to, "/Groups?filter=displayName%20eq%20%22ops%22", 1, 1).await;
    check(&gateway, &to, "/Groups?excludedAttributes=members", 2, 2).await;
    check(&gateway, &to, "?count=3&startIndex=4", 7, 3).await;
    let list = check(&gateway, &to, "/Groups", 2, 2).await;
    assert_eq!(list["Resources"][0]["members"].as_array().unwrap().len(), 2);
    assert_eq!(list["Resources"][1]["members"], json!([]));
    let lean = check(&gateway, &to, "/Groups?attributes=displayName", 2, 2).await;
    assert_eq!(lean["Resources"][0], json!({"schemas": [GROUP], "id": group["id"], "displayName": "Ops"}));

    let user = gateway.scim(&to, "GET", &format!("/Users/{}", ids[0]), None).await.expect(200).json();
    assert_eq!(user["groups"][0]["value"], group["id"]);
    assert_eq!((&user["groups"][0]["display"], &user["groups"][0]["type"]), (&json!("Ops"), &json!("direct")));
    let sync = gateway
        .scim(&to, "GET", &format!("/Users/{}?attributes=userName,{}", ids[0], gateway::scim_api::SYNC_URN), None)
        .await
        .expect(200);
    assert_eq!(sync.header("etag"), "");
    assert_eq!(sync.json()[gateway::scim_api::SYNC_URN]["state"], "todo");

    let search = json!({"schemas": [SEARCH], "filter": "userName eq \"u3@example.com\"", "attributes": ["userName"]});
    for path in ["/.search", "/Users/.search", "/Users/.SEARCH/"] {
        let found = gateway.scim(&to, "POST", path, Some(search.clone())).await.expect(200).json();
        assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(ids[3])), "{path}");
    }

    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    let add = |id: &str| json!({"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": [{"value": id}]}]});
    let small = gateway.scim(&to, "PATCH", &path, Some(add(&ids[2]))).await.expect(200).json();
    assert_eq!(small["members"].as_array().unwrap().len(), 3);
    let lean = gateway
        .scim(&to, "PATCH", &format!("{path}?attributes=displayName"), Some(add(&ids[3])))
        .await
        .expect(200)
        .json();
    assert!(lean.get("members").is_none());
    let unknown =
        gateway.scim(&to, "PATCH", &path, Some(add("8b4f2b52-0000-4000-8000-000000000000"))).await.expect(400);
    assert!(!unknown.bytes.is_empty());
}

#[tokio::test]
async fn a_large_group_and_entras_dialect_answer_patches_without_a_body() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let entra = gateway.instance("paused", json!({"dialect": "entra"})).await;
    let rename = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "displayName", "value": "B"}]});
    let group = gateway
        .scim(&entra, "POST", "/Groups", Some(json!({"schemas": [GROUP], "displayName": "A"})))
        .await
        .expect(201)
        .json();
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    assert_ne!(gateway.scim(&entra, "PATCH", &path, Some(rename.clone())).await.expect(204).header("etag"), "");
    gateway.scim(&entra, "PATCH", &format!("{path}?attributes=displayName"), Some(rename.clone())).await.expect(200);

    let mut members = Vec::new();
    for n in 0..201 {
        members.push(json!({"value": gateway.user(&to, &format!("m{n}@example.com")).await}));
    }
    let group = gateway
        .scim(&to, "POST", "/Groups", Some(json!({"schemas": [GROUP], "displayName": "A", "members": &members[..200]})))
        .await
        .expect(201)
        .json();
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    gateway.scim(&to, "PATCH", &path, Some(rename.clone())).await.expect(200);
    let add = json!({"schemas": [PATCH], "Operations": [{"op": "add", "path": "members", "value": [members[200]]}]});
    gateway.scim(&to, "PATCH", &path, Some(add)).await.expect(204);
}

#[tokio::test]
async fn credentials_open_their_own_door_only() {
    let gateway = Gateway::start().await;
    let mine = gateway.instance("paused", json!({})).await;
    let other = gateway.instance("paused", json!({})).await;
    let off = gateway.instance("disabled", json!({})).await;
    let key = mine.key.strip_prefix("Bearer ").unwrap();
    let path = format!("{}/Users", mine.base);
    let basic = |text: &str| {
        use base64::Engine;
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text))
    };
    for auth in [mine.key.clone(), format!("bearer {key}"), key.to_owned(), basic(&format!("any:{key}"))] {
        gateway.call("GET", &path, &auth, None).await.expect(200);
    }
    let reference = gateway.call("GET", &path, &other.key, None).await.expect(401);
    assert_eq!(reference.header("www-authenticate"), "Bearer realm=\"scimgate\", error=\"invalid_token\"");
    assert_eq!(reference.json()["status"], "401");
    let truncated = &mine.key[..mine.key.len() - 1];
    let wrong = gateway::keys::ApiKey::generate(gateway::keys::KeyType::Instance);
    let wrong = format!("Bearer {}", wrong.expose());
    let unknown = "/i/in_00000000000000000000/scim/v2/Users";
    for (path, auth) in [
        (path.as_str(), truncated),
        (&path, wrong.as_str()),
        (&path, ADMIN),
        (&path, "Bearer "),
        (&path, "Digest x"),
        (&path, "\u{e9}"),
        (unknown, &mine.key),
        (unknown, &wrong),
        ("/i/x/scim/v2/Users", &mine.key),
        ("/i/%00/scim/v2/Users", &mine.key),
        ("/i/%ff/scim/v2/Users", &mine.key),
        ("/i", &mine.key),
        ("/i/", &mine.key),
        (&format!("{}/Users", off.base), &wrong),
        (&format!("{}/nonsense", mine.base), &wrong),
        (&format!("{}/%55sers", mine.base), &wrong),
        (&format!("{}/Users%2F..%2FUsers", mine.base), &wrong),
        (&format!("{}//Users/../Users;x", mine.base), &wrong),
        (&format!("{}/ServiceProviderConfig", mine.base), &wrong),
    ] {
        for method in ["GET", "POST", "DELETE", "OPTIONS", "TRACE"] {
            let reply = gateway.call(method, path, auth, None).await.expect(401);
            assert_eq!(reply.bytes, reference.bytes, "{method} {path}");
            let mut headers = [reply.headers.clone(), reference.headers.clone()];
            headers.iter_mut().for_each(|map| drop(map.remove("x-request-id")));
            assert_eq!(headers[0], headers[1], "{method} {path}");
        }
    }
    let bare = gateway.call("GET", &path, "", None).await.expect(401);
    assert_eq!(bare.header("www-authenticate"), "Bearer realm=\"scimgate\"");
    let closed = gateway.scim(&off, "GET", "/Users", None).await.expect(503);
    assert_eq!(closed.header("retry-after"), "300");
    let twice = Request::builder().uri(&path).header("authorization", &mine.key).header("authorization", &mine.key);
    gateway.send(twice.body(Body::empty()).unwrap()).await.expect(400);

    // Another tenant's ids are not there.
    let id = gateway.user(&mine, "a@example.com").await;
    for method in ["GET", "DELETE"] {
        gateway.scim(&other, method, &format!("/Users/{id}"), None).await.expect(404);
    }
    gateway.scim(&mine, "GET", &format!("/Users/{id}"), None).await.expect(200);
}

#[tokio::test]
async fn bad_requests_cost_little_and_answer_in_scim() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let id = gateway.user(&to, "a@example.com").await;
    let parens = format!("/Users?filter={}userName%20eq%20%22a%22{}", "(".repeat(5_000), ")".repeat(5_000));
    let deep = "[".repeat(100_000);
    let case = |method: &str, path: &str, body: &[u8], headers: &[(&str, &str)], status: u16| {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("{}{path}", to.base))
            .header("authorization", &to.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        (
            request.body(Body::from(body.to_vec())).unwrap(),
            status,
            format!("{method} {path:.60} {:.60}", String::from_utf8_lossy(body)),
        )
    };
    let one = format!("/Users/{id}");
    let encoded_slash = format!("/Users%2F{id}");
    let encoded_id = format!("/%55sers/%{:02x}{}", id.as_bytes()[0], &id[1..]);
    let cases = vec![
        case("POST", "/Users", b"{", &[], 400),
        case("POST", "/Users", b"", &[], 400),
        case("POST", "/Users", b"[]", &[], 400),
        case("POST", "/Users", b"{}", &[], 400),
        case("POST", "/Users", b"{\"userName\":\"\xff\"}", &[], 400),
        case("POST", "/Users", b"{\"userName\":\"a\\u0000\"}", &[], 400),
        case("POST", "/Users", b"{\"userName\":\"b\",\"USERNAME\":\"c\"}", &[], 400),
        case("POST", "/Users", b"{\"userName\":1}", &[], 400),
        case("POST", "/Users", deep.as_bytes(), &[], 400),
        case("POST", "/Users", &vec![b' '; 10 << 20], &[], 413),
        case("POST", "/Groups", &vec![b' '; (16 << 20) + 1], &[], 413),
        case("POST", "/Users", b"{}", &[("content-type", "text/plain")], 415),
        case("POST", "/Users", b"{}", &[("content-encoding", "gzip")], 415),
        case("POST", "/Users", b"{}", &[("content-type", "application/scim+json; charset=utf-8")], 400),
        case("PATCH", &one, b"{}", &[], 400),
        case("PATCH", &one, b"{\"Operations\":[{\"op\":\"explode\"}]}", &[], 400),
        case("POST", "/.search", b"{}", &[], 400),
        case("GET", &parens, b"", &[], 400),
        case("GET", "/Users?filter=", b"", &[], 400),
        case("GET", "/Users?filter=userName", b"", &[], 400),
        case("GET", "/Users?filter=%ff", b"", &[], 400),
        case("GET", "/Users?startIndex=1.5", b"", &[], 400),
        case("GET", "/Users?count=NaN", b"", &[], 400),
        case("GET", "/Users?sortBy=nonesuch", b"", &[], 400),
        case("GET", "/Users?attributes=a&excludedAttributes=b", b"", &[], 400),
        case("GET", "/Users?startIndex=18446744073709551616&nonsense", b"", &[], 200),
        case("GET", "/nonsense", b"", &[], 404),
        case("GET", "/Users/x/y", b"", &[], 404),
        case("GET", "/Users/nonesuch", b"", &[], 404),
        case("GET", "/Users/..", b"", &[], 404),
        case("GET", "/../v2/Users", b"", &[], 404),
        case("GET", &encoded_slash, b"", &[], 404),
        case("GET", &encoded_id, b"", &[], 200),
        case("GET", "/Users%00", b"", &[], 404),
        case("GET", "/ResourceTypes/nonesuch", b"", &[], 404),
        case("GET", "/Me", b"", &[], 501),
        case("POST", "/Bulk", b"{}", &[], 400),
        case("GET", "/Bulk", b"", &[], 405),
        case("DELETE", "/Users", b"", &[], 405),
        case("PUT", "/Users", b"{}", &[], 405),
        case("POST", &one, b"{}", &[], 405),
        case("BREW", &one, b"", &[], 405),
        case("GET", "/.search", b"", &[], 405),
        case("POST", "/Schemas", b"{}", &[], 405),
        case("GET", "/Schemas?filter=id%20pr", b"", &[], 403),
    ];
    for (request, status, what) in cases {
        let reply = gateway.send(request).await;
        assert_eq!(reply.status.as_u16(), status, "{what}: {}", String::from_utf8_lossy(&reply.bytes));
        assert_eq!(reply.header("content-type"), "application/scim+json", "{what}");
        assert!(!reply.header("x-request-id").is_empty(), "{what}");
        assert_eq!(status == 405, !reply.header("allow").is_empty(), "{what}");
        if status != 200 {
            assert_eq!(reply.json()["status"], status.to_string(), "{what}");
            assert_eq!(reply.json()["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]), "{what}");
        }
    }
    let echoed = Request::builder()
        .uri(format!("{}/Users", to.base))
        .header("authorization", &to.key)
        .header("x-request-id", "abc-1")
        .header("accept", "application/json");
    let echoed = gateway.send(echoed.body(Body::empty()).unwrap()).await.expect(200);
    assert_eq!((echoed.header("x-request-id"), echoed.header("content-type")), ("abc-1", "application/json"));
}

#[tokio::test]
async fn discovery_says_what_is_there() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let config = gateway.scim(&to, "GET", "/serviceproviderconfig/", None).await.expect(200).json();
    assert_eq!(
        (&config["patch"]["supported"], &config["bulk"]["supported"], &config["filter"]["maxResults"]),
        (&json!(true), &json!(true), &json!(1000))
    );
    let types = gateway.scim(&to, "GET", "/ResourceTypes", None).await.expect(200).json();
    for kind in types["Resources"].as_array().unwrap() {
        let name = kind["id"].as_str().unwrap();
        assert_eq!(&gateway.scim(&to, "GET", &format!("/resourcetypes/{name}"), None).await.expect(200).json(), kind);
        let urn = kind["schema"].as_str().unwrap();
        assert_eq!(gateway.scim(&to, "GET", &format!("/Schemas/{urn}"), None).await.expect(200).json()["id"], urn);
        assert_eq!(gateway.scim(&to, "GET", &format!("/schemas/{name}"), None).await.expect(200).json()["id"], urn);
        gateway.scim(&to, "GET", kind["endpoint"].as_str().unwrap(), None).await.expect(200);
    }
    assert_eq!(gateway.scim(&to, "GET", "/Schemas", None).await.expect(200).json()["totalResults"], 3);
}
