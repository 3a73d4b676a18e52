//! Section G: versions, /Me, discovery, errors (RFC 7644 sections 3.11 to 3.14, 4 and 6; RFC 9110 section 13).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, GROUP, LIST, PATCH, Reply, Stage, USER, at, body, id, q, stage, stages};

async fn when(s: &Stage, method: &str, path: &str, condition: (&str, &str), value: Option<&Value>) -> Reply {
    s.send(method, path, &[condition], value).await
}

#[tokio::test]
async fn c144_a_tag_changes_when_and_only_when_the_resource_does() {
    for s in &stages().await {
        let made = s.post("/Users", body(USER, json!({"userName": "a"}))).await.expect(201);
        let path = at(&id(&made.json()));
        let tag = async || s.get(&path).await.header("etag").to_owned();
        let first = tag().await;
        assert_eq!(first, made.header("etag"));
        assert_eq!(s.send("HEAD", &path, &[], None).await.header("etag"), first);
        s.put(&path, body(USER, json!({"userName": "a"}))).await.expect(200);
        assert_eq!(tag().await, first);
        let put = s.put(&path, body(USER, json!({"userName": "a", "title": "T"}))).await.expect(200);
        let second = tag().await;
        assert_ne!(second, first);
        assert_eq!(put.header("etag"), second);
        let patched = s.patch(&path, json!([{"op": "remove", "path": "title"}])).await.expect(200);
        assert_eq!(patched.header("etag"), tag().await);
        assert!(tag().await != first && tag().await != second, "a version is not used again");
        // A change of a group's members is a change of the group (DECISIONS 31).
        let group = s.group("Ops", &[]).await;
        let group_path = format!("/Groups/{}", id(&group));
        let before = s.get(&group_path).await.header("etag").to_owned();
        let user = tag().await;
        s.patch(&group_path, json!([{"op": "add", "path": "members", "value": [{"value": made.json()["id"]}]}]))
            .await
            .expect(200);
        assert_ne!(s.get(&group_path).await.header("etag"), before);
        assert_eq!(tag().await, user, "the groups of a user are not its own representation");
    }
}

#[tokio::test]
async fn c145_a_condition_that_does_not_hold_changes_nothing() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let path = at(&ada);
        let stale = s.get(&path).await.header("etag").to_owned();
        s.patch(&path, json!([{"op": "replace", "path": "title", "value": "T"}])).await.expect(200);
        let reply = s.get(&path).await;
        let (now, fresh) = (reply.json(), reply.header("etag").to_owned());
        let put = body(USER, json!({"userName": "eve"}));
        let patch = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "userName", "value": "eve"}]});
        for (method, value) in [("PUT", Some(&put)), ("PATCH", Some(&patch)), ("DELETE", None)] {
            for condition in [stale.as_str(), "W/\"nonsense\"", "\"\"", "nonsense"] {
                when(s, method, &path, ("if-match", condition), value).await.refused(412, "");
            }
            let missing = when(s, method, "/Users/nobody", ("if-match", "*"), value).await;
            assert!(matches!(missing.status.as_u16(), 404 | 412), "{method}");
        }
        assert_eq!(s.read(&path).await, now);
        for condition in [fresh.as_str(), &format!("{stale}, {fresh}")] {
            let not = when(s, "GET", &path, ("if-none-match", condition), None).await.expect(304);
            assert!(not.bytes.is_empty());
            assert_eq!(not.header("etag"), fresh);
        }
        when(s, "GET", &path, ("if-none-match", "*"), None).await.expect(304);
        when(s, "HEAD", &path, ("if-none-match", &fresh), None).await.expect(304);
        assert_eq!(when(s, "GET", &path, ("if-none-match", &stale), None).await.expect(200).json(), now);
        when(s, "GET", &path, ("if-match", &stale), None).await.refused(412, "");
        when(s, "GET", &path, ("if-match", &fresh), None).await.expect(200);
        when(s, "PUT", &path, ("if-none-match", "*"), Some(&put)).await.refused(412, "");
        when(s, "PUT", &path, ("if-match", "*"), Some(&put)).await.expect(200);
        when(s, "DELETE", &path, ("if-match", &fresh), None).await.refused(412, "");
        let last = s.get(&path).await.header("etag").to_owned();
        when(s, "DELETE", &path, ("if-match", &format!("{fresh},{last}")), None).await.expect(204);
    }
}

#[tokio::test]
async fn c146_of_two_writers_with_one_version_one_wins() {
    for s in &stages().await {
        for round in 0..8 {
            let path = at(&s.named(&format!("u{round}")).await);
            let tag = s.get(&path).await.header("etag").to_owned();
            let write = async |title: &str| {
                let value = body(USER, json!({"userName": format!("u{round}"), "title": title}));
                when(s, "PUT", &path, ("if-match", &tag), Some(&value)).await.status.as_u16()
            };
            let (a, b, c) = tokio::join!(write("a"), write("b"), write("c"));
            let mut all = [a, b, c];
            all.sort_unstable();
            assert_eq!(all, [200, 412, 412]);
        }
    }
}

#[tokio::test]
async fn c147_me_is_not_there_for_a_key_that_is_no_person() {
    let s = stage().await;
    for (method, path) in [("GET", "/Me"), ("GET", "/me/"), ("PATCH", "/Me"), ("DELETE", "/Me"), ("PUT", "/Me")] {
        let value = body(USER, json!({"userName": "a"}));
        s.send(method, path, &[], (method != "GET").then_some(&value)).await.refused(501, "");
    }
}

#[tokio::test]
async fn c147_me_is_the_person_that_a_key_belongs_to() {
    for s in &stages().await {
        let (ada, bob) = (s.named("ada").await, s.named("bob").await);
        let key = s.new_key(&s.instance, json!({"person": ada})).await;
        let headers = [("authorization", key.as_str()), ("content-type", "application/scim+json")];
        let me = s.raw("GET", &format!("{}/Me", s.base), &headers, b"").await.expect(200);
        assert_eq!(me.json(), s.read(&at(&ada)).await);
        assert_eq!(me.header("location"), me.json()["meta"]["location"]);
        let patch = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title", "value": "T"}]});
        s.raw("PATCH", &format!("{}/Me", s.base), &headers, patch.to_string().as_bytes()).await.expect(200);
        assert_eq!(s.read(&at(&ada)).await["title"], "T");
        for path in [at(&bob), "/Users".to_owned()] {
            s.raw("GET", &format!("{}{path}", s.base), &headers, b"").await.refused(403, "");
        }
    }
}

#[tokio::test]
async fn c148_c149_discovery_is_whole_and_its_parts_can_be_read() {
    let s = stage().await;
    for (endpoint, key) in [("/ResourceTypes", "name"), ("/Schemas", "id")] {
        let list = s.read(endpoint).await;
        assert_eq!(list["schemas"], json!([LIST]));
        let all = list["Resources"].as_array().unwrap();
        assert_eq!(list["totalResults"], all.len());
        for one in all {
            let name = one[key].as_str().unwrap();
            assert_eq!(&s.read(&format!("{endpoint}/{name}")).await, one);
            assert!(one["schemas"].is_array() && one["meta"]["location"].is_string(), "{one}");
        }
        s.get(&format!("{endpoint}/nonsense")).await.refused(404, "");
        s.get(&format!("{endpoint}/a/b")).await.refused(404, "");
    }
    let schemas = s.read("/Schemas").await;
    let known: BTreeSet<&str> =
        schemas["Resources"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    for kind in s.read("/ResourceTypes").await["Resources"].as_array().unwrap() {
        assert!(known.contains(kind["schema"].as_str().unwrap()), "{kind}");
        for extension in kind["schemaExtensions"].as_array().unwrap() {
            assert!(known.contains(extension["schema"].as_str().unwrap()), "{kind}");
        }
        s.get(kind["endpoint"].as_str().unwrap()).await.expect(200);
    }
    assert!([USER, GROUP, ENTERPRISE].iter().all(|urn| known.contains(urn)));
    assert_eq!(s.read("/ServiceProviderConfig").await["meta"]["resourceType"], "ServiceProviderConfig");
}

#[tokio::test]
async fn c148_c190_discovery_ignores_every_parameter_but_the_filter() {
    let s = stage().await;
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/ResourceTypes/User"] {
        let plain = s.read(path).await;
        for query in [
            "sortBy=name&sortOrder=descending",
            "startIndex=2&count=1",
            "attributes=id",
            "excludedAttributes=meta",
            "count=x",
            "cursor=x",
            "nonsense=1",
        ] {
            assert_eq!(s.read(&format!("{path}?{query}")).await, plain, "{path}?{query}");
        }
    }
}

#[tokio::test]
async fn c150_c151_errors_have_their_form_and_their_keyword() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let path = at(&ada);
        s.get(&q("/Users", &[("filter", "userName zz \"a\"")])).await.refused(400, "invalidFilter");
        s.post("/Users", body(USER, json!({"userName": "ADA"}))).await.refused(409, "uniqueness");
        s.patch(&path, json!([{"op": "replace", "path": "id", "value": "x"}])).await.refused(400, "mutability");
        s.post("/Users", json!("x")).await.refused(400, "invalidSyntax");
        s.patch(&path, json!([{"op": "add", "path": "a[", "value": "x"}])).await.refused(400, "invalidPath");
        s.patch(&path, json!([{"op": "remove"}])).await.refused(400, "noTarget");
        s.post("/Users", body(USER, json!({"userName": 5}))).await.refused(400, "invalidValue");
        let many: Vec<Value> = (0..2_000).map(|n| json!({"value": format!("{n}@x.example")})).collect();
        s.post("/Users", body(USER, json!({"userName": "b", "emails": many}))).await.refused(400, "tooMany");
        s.get("/Users/nobody").await.refused(404, "");
        s.delete("/Users").await.refused(405, "");
        s.send("PUT", &path, &[("if-match", "W/\"0\"")], Some(&body(USER, json!({"userName": "a"}))))
            .await
            .refused(412, "");
    }
}

#[tokio::test]
async fn c152_large_requests_and_what_is_not_there_are_scim_errors_too() {
    let s = stage().await;
    let headers = [("authorization", s.key.as_str()), ("content-type", "application/scim+json")];
    let large = s.raw("POST", &format!("{}/Users", s.base), &headers, &vec![b' '; 2 << 20]).await;
    large.refused_as(413, &["", "tooMany"]);
    s.get("/Me").await.refused(501, "");
    s.get("/nonsense").await.refused(404, "");
    for reply in [
        s.get(&q("/Users", &[("filter", "userName eq \"'; DROP TABLE resource; --\"")])).await,
        s.get("/Users/'%20OR%201=1").await,
        s.get("/Users?sortBy=nonsense").await,
    ] {
        assert!(reply.status.as_u16() < 500, "{}", reply.text());
        for word in ["SELECT", "sqlx", "panicked", ".rs", "resource_seq"] {
            assert!(!reply.text().contains(word), "{}", reply.text());
        }
    }
}
