//! Section A, second part: what the service says of itself, and what attribute characteristics bring about
//! (RFC 7643 sections 2.2 and 5 to 9).

use serde_json::{Value, json};

use crate::support::{
    ACME, ENTERPRISE, GROUP, SEARCH, Stage, USER, acme, at, body, id, q, stage, stage_with, stages, stages_with,
};

#[tokio::test]
async fn c002_a_bad_attribute_name_is_refused_when_it_is_declared() {
    let s = stage().await;
    for name in ["", "1st", "a b", "-x", "_x", "a.b", "a:b", "\u{e4}", "a[b"] {
        let extra = acme(json!([{"name": name, "type": "string"}]));
        let reply = s.admin("POST", "/instances", Some(Stage::declaration(extra))).await;
        assert!(reply.status.is_client_error(), "{name:?}: {} {}", reply.status, reply.text());
    }
    for name in ["a", "A1", "a-b_c", "a$b"] {
        let extra = acme(json!([{"name": name, "type": "string"}]));
        s.admin("POST", "/instances", Some(Stage::declaration(extra))).await.expect(201);
    }
}

#[tokio::test]
async fn c003_c040_what_a_declaration_leaves_out_has_the_rfcs_default() {
    let s = stage_with(acme(json!([{"name": "plain"}]))).await;
    let schema = s.read(&format!("/Schemas/{ACME}")).await;
    assert_eq!(schema["id"], ACME);
    let plain = &schema["attributes"][0];
    for (name, want) in [
        ("name", json!("plain")),
        ("type", json!("string")),
        ("multiValued", json!(false)),
        ("required", json!(false)),
        ("caseExact", json!(false)),
        ("mutability", json!("readWrite")),
        ("returned", json!("default")),
        ("uniqueness", json!("none")),
    ] {
        assert_eq!(plain[name], want, "{name}");
    }
}

#[tokio::test]
async fn c040_every_attribute_of_every_schema_tells_its_characteristics() {
    fn check(attribute: &Value) {
        for (name, kinds) in
            [("name", "s"), ("type", "s"), ("multiValued", "b"), ("description", "s"), ("required", "b")]
        {
            let right = if kinds == "s" { attribute[name].is_string() } else { attribute[name].is_boolean() };
            assert!(right, "{name}: {attribute}");
        }
        let one_of = |name: &str, words: &[&str]| {
            assert!(attribute[name].as_str().is_some_and(|word| words.contains(&word)), "{name}: {attribute}");
        };
        one_of("type", &["string", "boolean", "decimal", "integer", "dateTime", "binary", "reference", "complex"]);
        one_of("mutability", &["readOnly", "readWrite", "immutable", "writeOnly"]);
        one_of("returned", &["always", "never", "default", "request"]);
        one_of("uniqueness", &["none", "server", "global"]);
        assert!(attribute["caseExact"].is_boolean(), "{attribute}");
        if attribute["type"] == "reference" {
            assert!(attribute["referenceTypes"].as_array().is_some_and(|types| !types.is_empty()), "{attribute}");
        }
        let subs = attribute.get("subAttributes").and_then(Value::as_array);
        assert_eq!(attribute["type"] == "complex", subs.is_some_and(|subs| !subs.is_empty()), "{attribute}");
        for sub in subs.into_iter().flatten() {
            assert_ne!(sub["type"], "complex", "{attribute}");
            check(sub);
        }
    }
    let s = stage().await;
    let schemas = s.read("/Schemas").await;
    for schema in schemas["Resources"].as_array().unwrap() {
        assert!(schema["id"].as_str().unwrap().starts_with("urn:"));
        assert!(schema["name"].is_string());
        schema["attributes"].as_array().unwrap().iter().for_each(check);
    }
}

#[tokio::test]
async fn c005_c006_numbers_and_times_have_their_form() {
    let s = stage_with(acme(json!([{"name": "level", "type": "integer"}, {"name": "score", "type": "decimal"}, {"name": "hiredAt", "type": "dateTime"}]))).await;
    let post = async |name: &str, text: &str| {
        let body = format!(
            r#"{{"schemas":["{USER}","{ACME}"],"userName":"u{}","{ACME}":{{"{name}":{text}}}}}"#,
            uuid::Uuid::new_v4()
        );
        s.send("POST", "/Users", &[], Some(&serde_json::from_str(&body).unwrap())).await
    };
    for (name, text) in [
        ("level", "1.5"),
        ("level", "\"1\""),
        ("level", "true"),
        ("score", "\"1.5\""),
        ("hiredAt", "\"2026-01-01\""),
        ("hiredAt", "\"yesterday\""),
        ("hiredAt", "\"2026-13-01T00:00:00Z\""),
        ("hiredAt", "1767225600"),
    ] {
        post(name, text).await.refused(400, "invalidValue");
    }
    let exponent = format!(r#"{{"schemas":["{USER}","{ACME}"],"userName":"e","{ACME}":{{"level":1e2}}}}"#);
    let headers = [("authorization", s.key.as_str()), ("content-type", "application/scim+json")];
    s.raw("POST", &format!("{}/Users", s.base), &headers, exponent.as_bytes()).await.refused(400, "invalidValue");
    for (name, text) in [
        ("level", "-7"),
        ("level", "0"),
        ("score", "1.5"),
        ("score", "2"),
        ("hiredAt", "\"2026-01-01T00:00:00.5+02:00\""),
    ] {
        let want: Value = serde_json::from_str(text).unwrap();
        assert_eq!(post(name, text).await.expect(201).json()[ACME][name], want);
    }
}

#[tokio::test]
async fn c036_c037_the_service_provider_config_is_whole() {
    let s = stage().await;
    let config = s.read("/ServiceProviderConfig").await;
    assert_eq!(config["schemas"], json!(["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"]));
    for name in ["patch", "bulk", "filter", "changePassword", "sort", "etag"] {
        assert!(config[name]["supported"].is_boolean(), "{name}");
    }
    for number in [&config["bulk"]["maxOperations"], &config["bulk"]["maxPayloadSize"], &config["filter"]["maxResults"]]
    {
        assert!(number.is_u64(), "{config}");
    }
    let schemes = config["authenticationSchemes"].as_array().unwrap();
    assert!(!schemes.is_empty());
    for scheme in schemes {
        for name in ["type", "name", "description"] {
            assert!(scheme[name].as_str().is_some_and(|text| !text.is_empty()), "{scheme}");
        }
    }
    assert!(schemes.iter().filter(|scheme| scheme["primary"] == true).count() <= 1);
}

#[tokio::test]
async fn c038_c102_what_is_announced_is_done() {
    for s in &stages().await {
        let config = s.read("/ServiceProviderConfig").await;
        for name in ["b", "a", "c"] {
            s.named(name).await;
        }
        let path = at(&s.named("d").await);
        assert_eq!(config["patch"]["supported"], true);
        s.patch(&path, json!([{"op": "replace", "path": "title", "value": "T"}])).await.expect(200);
        assert_eq!(config["sort"]["supported"], true);
        let sorted = s.read(&q("/Users", &[("sortBy", "userName"), ("sortOrder", "descending")])).await;
        assert_eq!(crate::support::names(&sorted), ["d", "c", "b", "a"]);
        assert_eq!(config["etag"]["supported"], !s.get(&path).await.header("etag").is_empty());
        let most = config["filter"]["maxResults"].as_u64().unwrap();
        let page = s.read(&format!("/Users?count={}", most + 1)).await;
        assert!(page["itemsPerPage"].as_u64().unwrap() <= most);
        let bulk = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [{"method": "DELETE", "path": path}]});
        let reply = s.post("/Bulk", bulk).await;
        assert_eq!(reply.status.as_u16(), if config["bulk"]["supported"] == true { 200 } else { 501 });
        assert_eq!(config["changePassword"]["supported"], false);
    }
}

#[tokio::test]
async fn c039_resource_types_name_their_endpoint_and_schemas() {
    let s = stage().await;
    let types = s.read("/ResourceTypes").await;
    let mut seen = Vec::new();
    for kind in types["Resources"].as_array().unwrap() {
        seen.push(kind["name"].as_str().unwrap());
        assert!(kind["endpoint"].as_str().unwrap().starts_with('/'));
        assert!(kind["schema"].as_str().unwrap().starts_with("urn:"));
        for extension in kind["schemaExtensions"].as_array().unwrap() {
            assert!(extension["schema"].is_string() && extension["required"].is_boolean(), "{kind}");
        }
    }
    assert!(seen.contains(&"User") && seen.contains(&"Group"));
}

#[tokio::test]
async fn c042_what_is_immutable_is_set_once() {
    for s in
        &stages_with(acme(json!([{"name": "origin", "type": "string", "mutability": "immutable"}, {"name": "other"}])))
            .await
    {
        let with = |origin: Value| body(USER, json!({"userName": "a", ACME: {"origin": origin}}));
        let path = at(&id(&s.user(json!({"userName": "a"})).await));
        let target = format!("{ACME}:origin");
        let set = s.patch(&path, json!([{"op": "add", "path": target, "value": "here"}])).await.expect(200).json();
        assert_eq!(set[ACME]["origin"], "here");
        for op in ["add", "replace"] {
            s.patch(&path, json!([{"op": op, "path": target, "value": "here"}])).await.expect(200);
            s.patch(&path, json!([{"op": op, "path": target, "value": "there"}])).await.refused(400, "mutability");
            s.patch(&path, json!([{"op": op, "value": {ACME: {"origin": "there"}}}])).await.refused(400, "mutability");
        }
        s.patch(&path, json!([{"op": "remove", "path": target}])).await.refused(400, "mutability");
        s.patch(&path, json!([{"op": "remove", "path": ACME}])).await.refused(400, "mutability");
        s.put(&path, with(json!("here"))).await.expect(200);
        s.put(&path, with(json!("there"))).await.refused(400, "mutability");
        assert_eq!(s.read(&path).await[ACME]["origin"], "here");
    }
}

#[tokio::test]
async fn c043_c045_what_is_write_only_or_never_returned_is_not_shown() {
    for s in &stages_with(acme(json!([
        {"name": "pin", "type": "string", "mutability": "writeOnly", "returned": "never"},
        {"name": "hidden", "type": "string", "returned": "never"}, {"name": "open"}])))
    .await
    {
        let made =
            s.user(json!({"userName": "a", ACME: {"pin": "1234-canary", "hidden": "5678-canary", "open": "o"}})).await;
        let path = at(&id(&made));
        let names = format!("{ACME},{ACME}:pin,{ACME}:hidden");
        for shown in
            [made, s.read(&path).await, s.read(&q(&path, &[("attributes", &names)])).await, s.read("/Users").await]
        {
            assert!(!shown.to_string().contains("canary"), "{shown}");
            assert!(shown.to_string().contains("open"), "{shown}");
        }
        for filter in ["pin sw \"1\"", "hidden pr"] {
            s.get(&q("/Users", &[("filter", &format!("{ACME}:{filter}"))])).await.refused(400, "invalidFilter");
        }
    }
}

#[tokio::test]
async fn c044_what_is_always_returned_is_always_there() {
    for s in
        &stages_with(acme(json!([{"name": "shown", "type": "string", "returned": "always"}, {"name": "other"}]))).await
    {
        let path = at(&id(&s.user(json!({"userName": "a", ACME: {"shown": "s", "other": "o"}})).await));
        let all = format!("id,schemas,userName,{ACME},{ACME}:shown");
        for query in [("excludedAttributes", all.as_str()), ("attributes", "userName"), ("attributes", "nonsense")] {
            let shown = s.read(&q(&path, &[query])).await;
            assert!(shown["id"].is_string() && shown["schemas"].is_array(), "{query:?}: {shown}");
            assert_eq!(shown[ACME], json!({"shown": "s"}), "{query:?}: {shown}");
        }
    }
}

#[tokio::test]
async fn c046_what_is_returned_on_request_is_shown_to_who_asks_or_wrote_it() {
    for s in
        &stages_with(acme(json!([{"name": "hint", "type": "string", "returned": "request"}, {"name": "other"}]))).await
    {
        let hint = |user: &Value| user[ACME].get("hint").cloned();
        let with = |text: &str| body(USER, json!({"userName": "a", ACME: {"hint": text, "other": "o"}}));
        let made = s.post("/Users", with("h")).await.expect(201).json();
        assert_eq!(hint(&made), Some(json!("h")), "written by this POST");
        let path = at(&id(&made));
        assert_eq!(hint(&s.read(&path).await), None);
        assert_eq!(hint(&s.read("/Users").await["Resources"][0]), None);
        assert_eq!(hint(&s.read(&q(&path, &[("excludedAttributes", "title")])).await), None);
        assert_eq!(hint(&s.read(&q(&path, &[("attributes", &format!("{ACME}:hint"))])).await), Some(json!("h")));
        let target = format!("{ACME}:hint");
        let patched = s.patch(&path, json!([{"op": "replace", "path": target, "value": "i"}])).await.expect(200).json();
        assert_eq!(hint(&patched), Some(json!("i")), "written by this PATCH");
        let keyed = s.patch(&path, json!([{"op": "replace", "value": {ACME: {"hint": "j"}}}])).await.expect(200).json();
        assert_eq!(hint(&keyed), Some(json!("j")), "written by this PATCH without a path");
        let other = s.patch(&path, json!([{"op": "replace", "path": "title", "value": "T"}])).await.expect(200).json();
        assert_eq!(hint(&other), None, "not written by this PATCH");
        assert_eq!(hint(&s.put(&path, with("k")).await.expect(200).json()), Some(json!("k")), "written by this PUT");
        let narrow = s.put(&q(&path, &[("attributes", "userName")]), with("l")).await.expect(200).json();
        assert_eq!(narrow.get(ACME), None);
    }
}

#[tokio::test]
async fn c047_c135_what_is_unique_is_unique_for_every_verb() {
    let badge = acme(json!([{"name": "badge", "type": "string", "uniqueness": "server"}]));
    for s in &stages_with(badge).await {
        let with = |name: &str, badge: &str| body(USER, json!({"userName": name, ACME: {"badge": badge}}));
        s.post("/Users", with("a", "b-1")).await.expect(201);
        let path = at(&id(&s.post("/Users", with("b", "b-2")).await.expect(201).json()));
        s.post("/Users", with("c", "B-1")).await.refused(409, "uniqueness");
        s.post("/Users", with("A", "b-3")).await.refused(409, "uniqueness");
        s.put(&path, with("b", "b-1")).await.refused(409, "uniqueness");
        s.put(&path, with("A", "b-2")).await.refused(409, "uniqueness");
        let set = |path: &str, value: &str| json!([{"op": "replace", "path": path, "value": value}]);
        s.patch(&path, set(&format!("{ACME}:badge"), "b-1")).await.refused(409, "uniqueness");
        s.patch(&path, set("userName", "a")).await.refused(409, "uniqueness");
        assert_eq!(s.read(&path).await[ACME]["badge"], "b-2");
        s.put(&path, with("b", "b-2")).await.expect(200);
        // What nobody has any more may be had.
        s.patch(&path, set(&format!("{ACME}:badge"), "b-4")).await.expect(200);
        s.post("/Users", with("d", "b-2")).await.expect(201);
        s.delete(&path).await.expect(204);
        s.post("/Users", with("e", "b-4")).await.expect(201);
    }
    for s in &stages().await {
        s.group("Ops", &[]).await;
        s.post("/Groups", body(GROUP, json!({"displayName": "oPS"}))).await.refused(409, "uniqueness");
    }
}

#[tokio::test]
async fn c048_case_exactness_decides_equality_order_and_uniqueness() {
    let two = acme(
        json!([{"name": "code", "type": "string", "caseExact": true, "uniqueness": "server"}, {"name": "word", "type": "string"}]),
    );
    for s in &stages_with(two).await {
        for (name, text) in [("x", "b"), ("y", "B"), ("z", "a")] {
            s.user(json!({"userName": name, ACME: {"code": text, "word": text}})).await;
        }
        let twin = body(USER, json!({"userName": "w", ACME: {"code": "b"}}));
        s.post("/Users", twin).await.refused(409, "uniqueness");
        assert_eq!(s.found("/Users", &format!("{ACME}:code eq \"B\"")).await, ["y"]);
        assert_eq!(s.found("/Users", &format!("{ACME}:word eq \"B\"")).await, ["x", "y"]);
        assert_eq!(s.found("/Users", &format!("{ACME}:code lt \"a\"")).await, ["y"]);
        assert_eq!(s.found("/Users", &format!("{ACME}:word gt \"A\"")).await, ["x", "y"]);
        let by = async |attribute: &str| crate::support::names(&s.read(&q("/Users", &[("sortBy", attribute)])).await);
        assert_eq!(by(&format!("{ACME}:code")).await, ["y", "z", "x"]);
        assert_eq!(by(&format!("{ACME}:word")).await[0], "z");
    }
}

#[tokio::test]
async fn c049_canonical_values_are_suggestions() {
    let s = stage().await;
    let made = s.user(json!({"userName": "a", "emails": [{"value": "a@x.example", "type": "spacecraft"}]})).await;
    assert_eq!(made["emails"][0]["type"], "spacecraft");
    let schema = s.read(&format!("/Schemas/{USER}")).await;
    let emails = schema["attributes"].as_array().unwrap().iter().find(|one| one["name"] == "emails").unwrap();
    let kind = emails["subAttributes"].as_array().unwrap().iter().find(|one| one["name"] == "type").unwrap();
    assert_eq!(kind["canonicalValues"], json!(["work", "home", "other"]));
}

#[tokio::test]
async fn c050_what_is_personal_can_be_asked_for_outside_of_the_url() {
    for s in &stages().await {
        s.user(json!({"userName": "ada", "emails": [{"value": "ada@x.example"}], ENTERPRISE: {"department": "d"}}))
            .await;
        let search = json!({"schemas": [SEARCH], "filter": "emails.value eq \"ada@x.example\""});
        for path in ["/Users/.search", "/.search"] {
            let found = s.post(path, search.clone()).await.expect(200).json();
            assert_eq!(crate::support::names(&found), ["ada"], "{path}");
        }
    }
}
