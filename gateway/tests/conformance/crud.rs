//! Section C: create, read, replace, delete (RFC 7644 sections 3.3 to 3.6).

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, GROUP, USER, at, below, body, id, names, stage, stages, strict};

/// No resource has it.
const NOBODY: &str = "/Users/8b4f2b52-0000-4000-8000-000000000000";

#[tokio::test]
async fn c067_c072_post_answers_201_with_location_and_what_get_returns() {
    for s in &stages().await {
        let rest = json!({"userName": "ada", "externalId": "e", "name": {"givenName": "A"}, "emails": [{"value": "a@x.example", "type": "work"}], ENTERPRISE: {"department": "d"}});
        let made = s.post("/Users", body(USER, rest.clone())).await.expect(201);
        let user = made.json();
        for (name, value) in rest.as_object().unwrap() {
            assert_eq!(&user[name], value, "{name}");
        }
        assert_eq!(user["meta"]["resourceType"], "User");
        assert_eq!(made.header("location"), user["meta"]["location"]);
        let read = s.get(&below(s, made.header("location"))).await.expect(200);
        assert_eq!(read.json(), user);
        assert_eq!(read.header("etag"), made.header("etag"));
        let group = s.group("Ops", &[&id(&user)]).await;
        assert_eq!(group["meta"]["resourceType"], "Group");
        assert_eq!(s.read(&format!("/Groups/{}", id(&group))).await, group);
    }
}

#[tokio::test]
async fn c068_a_duplicate_is_409_uniqueness() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        s.post("/Users", body(USER, json!({"userName": "ada"}))).await.refused(409, "uniqueness");
        s.post("/Users", body(USER, json!({"userName": "ADA", "externalId": "other"})))
            .await
            .refused(409, "uniqueness");
        let bob = at(&s.named("bob").await);
        s.put(&bob, body(USER, json!({"userName": "Ada"}))).await.refused(409, "uniqueness");
        assert_eq!(s.read("/Users").await["totalResults"], 2);
        assert_eq!(s.read(&at(&ada)).await["userName"], "ada");
    }
}

#[tokio::test]
async fn c069_c076_a_required_attribute_is_required() {
    for s in &stages().await {
        let path = at(&s.named("ada").await);
        for wrong in [json!({}), json!({"userName": null}), json!({"userName": ""}), json!({"title": "T"})] {
            s.post("/Users", body(USER, wrong.clone())).await.refused(400, "invalidValue");
            s.put(&path, body(USER, wrong)).await.refused(400, "invalidValue");
        }
        let group = format!("/Groups/{}", id(&s.group("Ops", &[]).await));
        s.put(&group, body(GROUP, json!({"members": []}))).await.refused(400, "invalidValue");
        assert_eq!(s.read(&path).await["userName"], "ada");
    }
}

#[tokio::test]
async fn c070_unknown_attributes_are_ignored_by_every_verb() {
    for s in &stages().await {
        let odd = json!({"userName": "ada", "favouriteColour": "red", "name": {"petName": "x", "givenName": "A"}});
        let made = s.user(odd.clone()).await;
        let path = at(&id(&made));
        let clean = |user: &Value| user.get("favouriteColour").is_none() && user["name"] == json!({"givenName": "A"});
        assert!(clean(&made), "{made}");
        assert!(clean(&s.put(&path, body(USER, odd)).await.expect(200).json()));
        for operation in [
            json!({"op": "add", "path": "favouriteColour", "value": "red"}),
            json!({"op": "replace", "path": "name.petName", "value": "x"}),
            json!({"op": "replace", "value": {"favouriteColour": "red"}}),
            json!({"op": "add", "path": "urn:example:none:User:favouriteColour", "value": "red"}),
        ] {
            s.patch(&path, json!([operation])).await.expect(200);
            assert!(clean(&s.read(&path).await));
        }
    }
}

#[tokio::test]
async fn c070_c119_unknown_attributes_are_refused_by_every_verb_where_the_letter_counts() {
    let s = strict().await;
    let path = at(&s.named("ada").await);
    for odd in
        [json!({"userName": "bob", "favouriteColour": "red"}), json!({"userName": "bob", "name": {"petName": "x"}})]
    {
        s.post("/Users", body(USER, odd.clone())).await.refused_as(400, &["invalidValue", "invalidSyntax"]);
        s.put(&path, body(USER, odd)).await.refused_as(400, &["invalidValue", "invalidSyntax"]);
    }
    for target in ["favouriteColour", "name.petName", "emails[type eq \"work\"].petName", "urn:example:none:User:x"] {
        s.patch(&path, json!([{"op": "add", "path": target, "value": "x"}]))
            .await
            .refused_as(400, &["invalidPath", "noTarget"]);
    }
    s.patch(&path, json!([{"op": "replace", "value": {"favouriteColour": "red"}}]))
        .await
        .refused_as(400, &["invalidPath", "invalidValue"]);
}

#[tokio::test]
async fn c071_read_only_attributes_in_a_post_are_ignored() {
    for s in &stages().await {
        let rest = json!({"userName": "a", "id": "x", "meta": {"location": "y"}, "groups": [{"value": "z"}], ENTERPRISE: {"manager": {"displayName": "M"}}});
        let made = s.user(rest).await;
        assert_ne!(made["id"], "x");
        assert_ne!(made["meta"]["location"], "y");
        assert_eq!((made.get("groups"), made.get(ENTERPRISE)), (None, None));
        assert_eq!(made["schemas"], json!([USER]));
    }
    // The letter ignores them as well (section 3.3).
    let s = strict().await;
    s.user(json!({"userName": "a", "id": "x", "meta": {}, "groups": [{"value": "z"}]})).await;
}

#[tokio::test]
async fn c073_get_gives_the_resource_or_a_404() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let reply = s.get(&at(&ada)).await.expect(200);
        assert_eq!(reply.json()["id"], json!(ada));
        assert!(!reply.header("etag").is_empty());
        for missing in [
            NOBODY.to_owned(),
            at("nobody"),
            format!("/Groups/{ada}"),
            "/Users/%20".to_owned(),
            format!("/Users/{}", "x".repeat(2_000)),
        ] {
            s.get(&missing).await.refused(404, "");
        }
        let upper = ada.to_uppercase();
        if upper != ada {
            s.get(&at(&upper)).await.refused(404, "");
        }
    }
}

#[tokio::test]
async fn c074_put_replaces_everything_that_may_be_written() {
    for s in &stages().await {
        let made = s
            .user(json!({"userName": "a", "externalId": "e", "title": "T", "name": {"givenName": "G", "familyName": "F"},
                "emails": [{"value": "a@x.example", "type": "work", "primary": true}, {"value": "b@x.example"}], ENTERPRISE: {"department": "d", "division": "v"}}))
            .await;
        let path = at(&id(&made));
        let rest = json!({"userName": "b", "name": {"familyName": "N"}, "emails": [{"value": "c@x.example"}], ENTERPRISE: {"division": "w"}});
        let put = s.put(&path, body(USER, rest.clone())).await.expect(200).json();
        for (name, value) in rest.as_object().unwrap() {
            assert_eq!(&put[name], value, "{name}");
        }
        for gone in ["externalId", "title"] {
            assert_eq!(put.get(gone), None, "{gone}");
        }
        assert_eq!(s.read(&path).await, put);
        let bare = s.put(&path, body(USER, json!({"userName": "b"}))).await.expect(200).json();
        assert_eq!((bare["schemas"].clone(), bare.get("name"), bare.get(ENTERPRISE)), (json!([USER]), None, None));
        let ada = s.named("ada").await;
        let group = format!("/Groups/{}", id(&s.group("Ops", &[&ada]).await));
        let emptied = s.put(&group, body(GROUP, json!({"displayName": "Ops"}))).await.expect(200).json();
        assert_eq!(emptied["members"].as_array().map_or(0, Vec::len), 0);
    }
}

/// A client that leaves `active` out means nothing by it, and switching people off by accident is worse than the
/// letter: it keeps its value.
#[tokio::test]
async fn c074_put_without_active_keeps_it() {
    for s in &stages().await {
        let made = s.user(json!({"userName": "a", "active": false})).await;
        let path = at(&id(&made));
        assert_eq!(s.put(&path, body(USER, json!({"userName": "b"}))).await.expect(200).json()["active"], false);
        assert_eq!(
            s.put(&path, body(USER, json!({"userName": "b", "active": true}))).await.expect(200).json()["active"],
            true
        );
        // Taken away by PATCH it is unassigned, and means what it was.
        let unassigned = s.patch(&path, json!([{"op": "remove", "path": "active"}])).await.expect(200).json();
        assert!(unassigned.get("active").is_none());
        assert_eq!(s.put(&path, body(USER, json!({"userName": "b"}))).await.expect(200).json()["active"], true);
        assert_eq!(s.user(json!({"userName": "n"})).await["active"], true);
    }
}

#[tokio::test]
async fn c075_c077_put_ignores_what_is_read_only_and_goes_by_its_path() {
    for s in &stages().await {
        let made = s.user(json!({"userName": "a"})).await;
        let other = s.named("b").await;
        let rest = json!({"userName": "a", "title": "T", "id": other, "meta": {"created": "1999-01-01T00:00:00Z"}, "groups": [{"value": "g"}]});
        let put = s.put(&at(&id(&made)), body(USER, rest)).await.expect(200).json();
        assert_eq!((&put["id"], &put["title"], put.get("groups")), (&made["id"], &json!("T"), None));
        assert_eq!(put["meta"]["created"], made["meta"]["created"]);
        assert_eq!(s.read(&at(&other)).await.get("title"), None);
    }
}

#[tokio::test]
async fn c076_put_never_creates() {
    for s in &stages().await {
        s.put(NOBODY, body(USER, json!({"userName": "ghost"}))).await.refused(404, "");
        s.patch(NOBODY, json!([{"op": "replace", "path": "userName", "value": "ghost"}])).await.refused(404, "");
        s.delete(NOBODY).await.refused(404, "");
        assert_eq!(s.read("/Users").await["totalResults"], 0);
    }
}

#[tokio::test]
async fn c078_c079_what_is_deleted_is_gone_and_its_name_is_free() {
    for s in &stages().await {
        for (endpoint, make) in [
            ("/Users", body(USER, json!({"userName": "a", "externalId": "e"}))),
            ("/Groups", body(GROUP, json!({"displayName": "a"}))),
        ] {
            let made = s.post(endpoint, make.clone()).await.expect(201).json();
            let path = format!("{endpoint}/{}", id(&made));
            let gone = s.delete(&path).await.expect(204);
            assert!(gone.bytes.is_empty());
            s.get(&path).await.refused(404, "");
            s.put(&path, make.clone()).await.refused(404, "");
            s.patch(&path, json!([{"op": "replace", "path": "displayName", "value": "x"}])).await.refused(404, "");
            s.delete(&path).await.refused(404, "");
            let list = s.read(endpoint).await;
            assert_eq!((&list["totalResults"], names(&list).len()), (&json!(0), 0));
            for filter in [
                "displayName eq \"a\"".to_owned(),
                format!("id eq \"{}\"", id(&made)),
                "externalId eq \"e\"".to_owned(),
                "meta.created pr".to_owned(),
            ] {
                assert_eq!(s.found(endpoint, &filter).await, [] as [&str; 0], "{filter}");
            }
            let again = s.post(endpoint, make).await.expect(201).json();
            assert_ne!(again["id"], made["id"]);
        }
    }
}

#[tokio::test]
async fn c080_a_verb_that_is_not_there_is_405_and_says_which_are() {
    let s = stage().await;
    let ada = at(&s.named("ada").await);
    let verbs = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
    for (path, there) in [
        ("/Users", &["GET", "HEAD", "POST"][..]),
        (&ada, &["GET", "HEAD", "PUT", "PATCH", "DELETE"]),
        ("/Schemas", &["GET", "HEAD"]),
        ("/ResourceTypes/User", &["GET", "HEAD"]),
        ("/ServiceProviderConfig", &["GET", "HEAD"]),
        ("/Users/.search", &["POST"]),
        ("/.search", &["POST"]),
    ] {
        for verb in verbs.iter().chain(&["BREW"]).filter(|verb| !there.contains(verb)) {
            let reply = s.send(verb, path, &[], Some(&body(USER, json!({"userName": "x"})))).await;
            assert_eq!(reply.status, 405, "{verb} {path}");
            reply_allows(reply.header("allow"), there);
            if *verb != "HEAD" {
                reply.refused(405, "");
            }
        }
    }
}

#[track_caller]
fn reply_allows(allow: &str, there: &[&str]) {
    let mut said: Vec<&str> = allow.split(',').map(str::trim).collect();
    let mut want = there.to_vec();
    said.retain(|verb| *verb != "OPTIONS");
    said.sort_unstable();
    want.sort_unstable();
    assert_eq!(said, want);
}

#[tokio::test]
async fn c081_head_is_get_without_a_body_and_options_needs_a_key() {
    for s in &stages().await {
        let ada = at(&s.named("ada").await);
        for path in [ada.as_str(), "/Users", "/ServiceProviderConfig", "/Users/nobody"] {
            let get = s.get(path).await;
            let head = s.send("HEAD", path, &[], None).await;
            assert_eq!(head.status, get.status, "{path}");
            assert!(head.bytes.is_empty());
            for name in ["content-type", "etag", "cache-control"] {
                assert_eq!(head.header(name), get.header(name), "{path} {name}");
            }
            assert_eq!(head.header("content-length"), get.bytes.len().to_string(), "{path}");
        }
        let bare = s.raw("OPTIONS", &format!("{}{ada}", s.base), &[], b"").await;
        assert!(!bare.text().contains("ada"));
        assert!(bare.status == 401 || bare.bytes.is_empty());
    }
}
