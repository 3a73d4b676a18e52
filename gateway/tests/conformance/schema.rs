//! Section A, first part: names, values, the common attributes, User and Group (RFC 7643 sections 2 to 4).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, GROUP, USER, at, below, body, id, q, stage, stage_with, stages, strict};

#[tokio::test]
async fn c001_names_and_urns_have_no_case() {
    for s in &stages().await {
        let made = s
            .post(
                "/users",
                json!({"SCHEMAS": [USER.to_uppercase(), ENTERPRISE.to_lowercase()], "USERNAME": "ada", "Name": {"GIVENNAME": "Ada"},
                    ENTERPRISE.to_uppercase(): {"DEPARTMENT": "Sales"}}),
            )
            .await
            .expect(201)
            .json();
        assert_eq!((&made["userName"], &made["name"]["givenName"]), (&json!("ada"), &json!("Ada")));
        assert_eq!(made[ENTERPRISE]["department"], "Sales");
        assert_eq!(made["schemas"], json!([USER, ENTERPRISE]));
        let path = at(&id(&made));
        s.patch(&path, json!([{"op": "replace", "path": "NAME.familyname", "value": "L"}])).await.expect(200);
        s.patch(
            &path,
            json!([{"op": "replace", "path": format!("{}:Division", ENTERPRISE.to_uppercase()), "value": "D"}]),
        )
        .await
        .expect(200);
        for filter in [
            "USERNAME eq \"ada\"",
            "name.FAMILYNAME eq \"L\"",
            &format!("{}:DIVISION eq \"D\"", ENTERPRISE.to_uppercase()),
        ] {
            assert_eq!(s.found("/Users", filter).await, ["ada"], "{filter}");
        }
        let shown = s.read(&q(&path, &[("attributes", "USERNAME,name.GIVENname")])).await;
        assert_eq!((&shown["userName"], &shown["name"]), (&json!("ada"), &json!({"givenName": "Ada"})));
        assert_eq!(s.read(&format!("/Schemas/{}", USER.to_uppercase())).await["id"], USER);
    }
}

#[tokio::test]
async fn c004_booleans_are_json_booleans() {
    let s = strict().await;
    for wrong in [json!("true"), json!("True"), json!(1), json!("")] {
        s.post("/Users", body(USER, json!({"userName": "a", "active": wrong}))).await.refused(400, "invalidValue");
    }
    let made = s.user(json!({"userName": "a", "active": false})).await;
    assert_eq!(made["active"], json!(false));
    let s = stage().await;
    assert_eq!(s.user(json!({"userName": "a", "active": "False"})).await["active"], json!(false));
    s.post("/Users", body(USER, json!({"userName": "b", "active": "maybe"}))).await.refused(400, "invalidValue");
}

#[tokio::test]
async fn c007_binary_is_base64() {
    let s = stage().await;
    let with = |value: &str| body(USER, json!({"userName": "a", "x509Certificates": [{"value": value}]}));
    for wrong in ["!!!", "Zm9=v", "a b c d", "YQ=YQ="] {
        s.post("/Users", with(wrong)).await.refused(400, "invalidValue");
    }
    let made = s.post("/Users", with("Zm9vYg==")).await.expect(201).json();
    assert_eq!(made["x509Certificates"][0]["value"], "Zm9vYg==");
}

#[tokio::test]
async fn c008_references_are_uris_and_may_be_relative() {
    let s = stage().await;
    for good in ["https://example.com/ada.png", "photos/ada", "/photos/ada?size=1"] {
        let name = format!("u{}", good.len());
        let made = s.user(json!({"userName": name, "photos": [{"value": good, "type": "photo"}]})).await;
        let shown = made["photos"][0]["value"].as_str().unwrap();
        assert!(shown.ends_with(good), "{shown}");
    }
    for wrong in [json!("ht tp://x y"), json!(5), json!("<a>")] {
        s.post("/Users", body(USER, json!({"userName": "w", "profileUrl": wrong}))).await.refused(400, "invalidValue");
    }
}

#[tokio::test]
async fn c009_every_ref_can_be_read() {
    for s in &stages().await {
        let boss = s.named("boss").await;
        let ada = id(&s.user(json!({"userName": "ada", ENTERPRISE: {"manager": {"value": boss}}})).await);
        let group = s.group("Ops", &[&ada]).await;
        let user = s.read(&at(&ada)).await;
        let mut refs =
            vec![(group["members"][0]["$ref"].clone(), ada.clone()), (user["groups"][0]["$ref"].clone(), id(&group))];
        if let Some(manager) = user[ENTERPRISE]["manager"].get("$ref") {
            refs.push((manager.clone(), boss));
        }
        for (address, want) in refs {
            assert_eq!(s.read(&below(s, address.as_str().unwrap())).await["id"], want);
        }
    }
}

#[tokio::test]
async fn c010_order_within_a_complex_value_means_nothing() {
    for s in &stages().await {
        let made = s.user(json!({"userName": "a", "name": {"givenName": "G", "familyName": "F"}, "emails": [{"value": "a@x.example", "type": "work"}]})).await;
        let path = at(&id(&made));
        let again = body(
            USER,
            json!({"emails": [{"type": "work", "value": "a@x.example"}], "name": {"familyName": "F", "givenName": "G"}, "userName": "a"}),
        );
        assert_eq!(s.put(&path, again).await.expect(200).json()["meta"], made["meta"]);
    }
    let s = stage().await;
    s.post("/Users", body(USER, json!({"userName": "b", "name": {"givenName": {"first": {"deep": 1}}}})))
        .await
        .refused(400, "invalidValue");
}

#[tokio::test]
async fn c011_one_value_at_most_is_primary() {
    let two = json!({"userName": "a", "emails": [{"value": "a@x.example", "primary": true}, {"value": "b@x.example", "primary": true}]});
    strict().await.post("/Users", body(USER, two.clone())).await.refused(400, "invalidValue");
    let s = stage().await;
    let made = s.user(two).await;
    assert_eq!(primaries(&made), ["a@x.example"]);
    let path = at(&id(&made));
    let add = json!([{"op": "add", "path": "emails", "value": [{"value": "c@x.example", "primary": true}]}]);
    assert_eq!(primaries(&s.patch(&path, add).await.expect(200).json()), ["c@x.example"]);
}

fn primaries(user: &Value) -> Vec<&str> {
    let all = user["emails"].as_array().unwrap();
    all.iter().filter(|one| one["primary"] == true).map(|one| one["value"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn c012_no_type_and_value_come_twice() {
    for s in &stages().await {
        let work = json!({"value": "a@x.example", "type": "work"});
        let home = json!({"value": "a@x.example", "type": "home"});
        let made = s.user(json!({"userName": "a", "emails": [work, home, work, {"value": "a@x.example", "type": "work", "display": "A"}]})).await;
        let pairs = |user: &Value| -> Vec<(Value, Value)> {
            user["emails"].as_array().unwrap().iter().map(|one| (one["type"].clone(), one["value"].clone())).collect()
        };
        let want = [(json!("work"), json!("a@x.example")), (json!("home"), json!("a@x.example"))];
        assert_eq!(pairs(&made), want);
        assert_eq!(made["emails"][0]["display"], "A");
        let path = at(&id(&made));
        let primary = json!([{"op": "add", "path": "emails", "value": [{"value": "a@x.example", "type": "work", "primary": true}]}]);
        let changed = s.patch(&path, primary).await.expect(200).json();
        assert_eq!(pairs(&changed), want);
        assert_eq!(primaries(&changed), ["a@x.example"]);
        assert_eq!(pairs(&s.read(&path).await), want);
    }
}

#[tokio::test]
async fn c013_null_the_empty_list_and_nothing_are_one() {
    for s in &stages().await {
        let plain = s.user(json!({"userName": "plain"})).await;
        let nothing = s.user(json!({"userName": "nothing", "title": null, "emails": [], "name": null, "roles": null, "nickName": null, ENTERPRISE: null})).await;
        let keys = |user: &Value| -> Vec<String> { user.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(keys(&plain), keys(&nothing));
        assert_eq!(nothing["schemas"], json!([USER]));
        for attribute in ["title", "emails", "name", "roles"] {
            assert_eq!(s.found("/Users", &format!("{attribute} pr")).await, [] as [&str; 0], "{attribute}");
        }
        let put = s.put(&at(&id(&plain)), body(USER, json!({"userName": "plain", "title": null, "emails": []}))).await;
        assert_eq!(put.expect(200).json()["meta"], plain["meta"]);
    }
}

#[tokio::test]
async fn c014_null_and_the_empty_list_clear() {
    for s in &stages().await {
        let full =
            json!({"userName": "a", "title": "T", "emails": [{"value": "a@x.example"}], "name": {"givenName": "G"}});
        let path = at(&id(&s.user(full.clone()).await));
        let nothing = json!({"title": null, "emails": [], "name": null});
        let cleared = |user: &Value| ["title", "emails", "name"].iter().all(|name| user.get(name).is_none());
        for (attribute, value) in nothing.as_object().unwrap() {
            s.patch(&path, json!([{"op": "replace", "path": attribute, "value": value}])).await.expect(200);
        }
        assert!(cleared(&s.read(&path).await));
        s.put(&path, body(USER, full.clone())).await.expect(200);
        s.patch(&path, json!([{"op": "replace", "value": nothing}])).await.expect(200);
        assert!(cleared(&s.read(&path).await));
        s.put(&path, body(USER, full)).await.expect(200);
        s.put(&path, body(USER, json!({"userName": "a", "title": null, "emails": [], "name": null}))).await.expect(200);
        assert!(cleared(&s.read(&path).await));
    }
}

#[tokio::test]
async fn c015_schemas_lists_what_the_body_uses() {
    let s = strict().await;
    for wrong in [
        json!(null),
        json!([]),
        json!("x"),
        json!([5]),
        json!([ENTERPRISE]),
        json!([USER, USER]),
        json!([USER, USER.to_uppercase()]),
        json!([GROUP]),
        json!([USER, GROUP]),
        json!([USER, "urn:example:unknown"]),
    ] {
        let reply = s.post("/Users", json!({"schemas": wrong, "userName": "a"})).await;
        reply.refused_as(400, &["invalidValue", "invalidSyntax"]);
    }
    s.post("/Users", json!({"userName": "a"})).await.refused_as(400, &["invalidValue", "invalidSyntax"]);
    let unlisted = json!({"schemas": [USER], "userName": "a", ENTERPRISE: {"department": "d"}});
    s.post("/Users", unlisted).await.refused_as(400, &["invalidValue", "invalidSyntax"]);
    // Entra lists URIs of its own; by default they are ignored.
    let s = stage().await;
    let foreign = json!({"schemas": [USER, "http://schemas.example.com/2006/11/Group"], "userName": "a"});
    assert_eq!(s.post("/Users", foreign).await.expect(201).json()["schemas"], json!([USER]));
    s.post("/Users", json!({"schemas": [], "userName": "b"})).await.refused_as(400, &["invalidValue", "invalidSyntax"]);
}

#[tokio::test]
async fn c016_schemas_follows_the_extensions() {
    for s in &stages().await {
        let made = s.user(json!({"userName": "a"})).await;
        let path = at(&id(&made));
        assert_eq!(made["schemas"], json!([USER]));
        let add = json!([{"op": "add", "path": format!("{ENTERPRISE}:department"), "value": "d"}]);
        let with = s.patch(&path, add).await.expect(200).json();
        assert_eq!((&with["schemas"], &with[ENTERPRISE]), (&json!([USER, ENTERPRISE]), &json!({"department": "d"})));
        let without = s.patch(&path, json!([{"op": "remove", "path": ENTERPRISE}])).await.expect(200).json();
        assert_eq!((&without["schemas"], without.get(ENTERPRISE)), (&json!([USER]), None));
        s.put(&path, body(USER, json!({"userName": "a", ENTERPRISE: {"department": "e"}}))).await.expect(200);
        let emptied =
            s.patch(&path, json!([{"op": "remove", "path": format!("{ENTERPRISE}:department")}])).await.expect(200);
        assert_eq!(emptied.json()["schemas"], json!([USER]));
    }
}

#[tokio::test]
async fn c017_the_server_makes_ids_and_never_gives_one_twice() {
    for s in &stages().await {
        let made = s.user(json!({"userName": "a", "id": "mine"})).await;
        let first = id(&made);
        assert!(!first.is_empty() && first != "mine" && !first.eq_ignore_ascii_case("bulkId"));
        let other = s.named("b").await;
        assert_ne!(first, other);
        let put = s.put(&at(&first), body(USER, json!({"userName": "a2", "id": other}))).await;
        if put.status == 200 {
            assert_eq!(id(&put.json()), first);
        }
        assert_eq!(id(&s.read(&at(&first)).await), first);
        s.delete(&at(&first)).await.expect(204);
        assert_ne!(s.named("a").await, first);
        s.get(&at(&first)).await.expect(404);
    }
}

#[tokio::test]
async fn c018_external_ids_are_the_clients_own() {
    for s in &stages().await {
        let path = at(&id(&s.user(json!({"userName": "a", "externalId": "Ext-1"})).await));
        assert_eq!(s.found("/Users", "externalId eq \"Ext-1\"").await, ["a"]);
        assert_eq!(s.found("/Users", "externalId eq \"ext-1\"").await, [] as [&str; 0]);
        s.patch(&path, json!([{"op": "replace", "path": "title", "value": "T"}])).await.expect(200);
        assert_eq!(s.read(&path).await["externalId"], "Ext-1");
        s.patch(&path, json!([{"op": "replace", "path": "externalId", "value": "ext-1"}])).await.expect(200);
        assert_eq!(s.found("/Users", "externalId eq \"ext-1\"").await, ["a"]);
        let bare = s.user(json!({"userName": "b"})).await;
        assert_eq!(bare.get("externalId"), None);
    }
}

#[tokio::test]
async fn c019_c020_meta_is_made_by_the_server() {
    for s in &stages().await {
        let made = s.user(json!({"userName": "a", "meta": {"created": "1999-01-01T00:00:00Z", "resourceType": "Dog", "version": "W/\"x\""}})).await;
        let meta = &made["meta"];
        assert_eq!(meta["resourceType"], "User");
        assert_eq!(meta["created"], meta["lastModified"]);
        assert!(meta["created"].as_str().unwrap().starts_with("2026-01-01T00:00:00"));
        let path = at(&id(&made));
        assert_eq!(below(s, meta["location"].as_str().unwrap()), path);
        s.clock.advance(Duration::from_secs(60));
        let put = s.put(&path, body(USER, json!({"userName": "b", "meta": {"created": "1999-01-01T00:00:00Z"}}))).await;
        let put = put.expect(200).json();
        assert_eq!(put["meta"]["created"], meta["created"]);
        assert!(put["meta"]["lastModified"].as_str().unwrap().starts_with("2026-01-01T00:01:00"));
        assert_eq!(s.read(&path).await["meta"], put["meta"]);
        assert_eq!(s.group("G", &[]).await["meta"]["resourceType"], "Group");
    }
}

#[tokio::test]
async fn c021_the_location_is_told_once_and_the_same() {
    let s = stage().await;
    let made = s.post("/Users", body(USER, json!({"userName": "a"}))).await.expect(201);
    let location = made.json()["meta"]["location"].as_str().unwrap().to_owned();
    assert_eq!(made.header("location"), location);
    let path = at(&id(&made.json()));
    let patch = json!([{"op": "replace", "path": "title", "value": "T"}]);
    for reply in [
        s.get(&path).await.expect(200),
        s.put(&path, body(USER, json!({"userName": "a"}))).await.expect(200),
        s.patch(&path, patch).await.expect(200),
    ] {
        let header = if reply.header("content-location").is_empty() {
            reply.header("location")
        } else {
            reply.header("content-location")
        };
        assert_eq!(header, location);
    }
}

#[tokio::test]
async fn c022_c023_the_version_is_the_etag_and_stays_where_nothing_changes() {
    for s in &stages().await {
        let made = s
            .post(
                "/Users",
                body(
                    USER,
                    json!({"userName": "a", "title": "T", "emails": [{"value": "a@x.example", "type": "work"}]}),
                ),
            )
            .await
            .expect(201);
        let user = made.json();
        let path = at(&id(&user));
        assert_eq!(user["meta"]["version"], made.header("etag"));
        s.clock.advance(Duration::from_secs(60));
        for nothing in [
            json!([{"op": "replace", "path": "title", "value": "T"}]),
            json!([{"op": "add", "path": "title", "value": "T"}]),
            json!([{"op": "add", "path": "emails", "value": [{"value": "a@x.example", "type": "work"}]}]),
            json!([{"op": "remove", "path": "nickName"}]),
            json!([{"op": "replace", "value": {"userName": "a"}}]),
        ] {
            let reply = s.patch(&path, nothing.clone()).await;
            if reply.status == 200 {
                assert_eq!(reply.json()["meta"], user["meta"], "{nothing}");
            }
            let read = s.get(&path).await.expect(200);
            assert_eq!((&read.json()["meta"], read.header("etag")), (&user["meta"], made.header("etag")), "{nothing}");
        }
        let changed = s.patch(&path, json!([{"op": "replace", "path": "title", "value": "U"}])).await.expect(200);
        assert_eq!(changed.json()["meta"]["version"], changed.header("etag"));
        assert_ne!(changed.header("etag"), made.header("etag"));
        assert_ne!(changed.json()["meta"]["lastModified"], user["meta"]["lastModified"]);
    }
}

#[tokio::test]
async fn c024_a_required_extension_is_required() {
    let (schema, extension) =
        ("urn:example:params:scim:schemas:core:2.0:Device", "urn:example:params:scim:schemas:extension:2.0:Asset");
    let kind = json!({"name": "Device", "endpoint": "/Devices",
        "schema": {"id": schema, "name": "Device", "attributes": [{"name": "displayName", "type": "string", "required": true}]},
        "extensions": [{"required": true, "schema": {"id": extension, "name": "Asset", "attributes": [{"name": "tag", "type": "string"}]}}]});
    let s = stage_with(json!({"schema": {"resource_types": [kind]}})).await;
    s.post("/Devices", body(schema, json!({"displayName": "d"}))).await.refused(400, "invalidValue");
    let with = body(schema, json!({"displayName": "d", extension: {"tag": "t"}}));
    let made = s.post("/Devices", with.clone()).await.expect(201).json();
    assert_eq!(made[extension]["tag"], "t");
    let path = format!("/Devices/{}", id(&made));
    s.put(&path, body(schema, json!({"displayName": "d"}))).await.refused(400, "invalidValue");
    s.patch(&path, json!([{"op": "remove", "path": extension}])).await.refused_as(400, &["invalidValue", "mutability"]);
    assert_eq!(s.put(&path, with).await.expect(200).json()[extension]["tag"], "t");
}

#[tokio::test]
async fn c025_a_user_has_a_name_of_its_own() {
    for s in &stages().await {
        for wrong in [
            json!({}),
            json!({"userName": ""}),
            json!({"userName": "  "}),
            json!({"userName": null}),
            json!({"userName": 5}),
        ] {
            s.post("/Users", body(USER, wrong)).await.refused(400, "invalidValue");
        }
        s.named("Ada@Example.com").await;
        s.post("/Users", body(USER, json!({"userName": "aDA@example.COM"}))).await.refused(409, "uniqueness");
        assert_eq!(s.found("/Users", "userName eq \"ADA@EXAMPLE.COM\"").await, ["Ada@Example.com"]);
    }
}

#[tokio::test]
async fn c026_c043_c045_a_password_is_never_seen_again() {
    for s in &stages().await {
        let secret = "Tr0ub4dor-canary";
        let with = |name: &str| body(USER, json!({"userName": name, "password": secret}));
        let made = s.post("/Users", with("a")).await.expect(201);
        let path = at(&id(&made.json()));
        let replies = [
            made,
            s.get(&path).await.expect(200),
            s.get(&q(&path, &[("attributes", "password,userName")])).await.expect(200),
            s.get(&q(&path, &[("excludedAttributes", "title")])).await.expect(200),
            s.get("/Users").await.expect(200),
            s.put(&path, with("a")).await.expect(200),
            s.patch(&path, json!([{"op": "replace", "path": "password", "value": secret}])).await.expect(200),
            s.post("/Users", with("A")).await.expect(409),
            s.post("/Users", body(USER, json!({"userName": "b", "password": [secret, secret]}))).await.expect(400),
            s.get(&q("/Users", &[("filter", &format!("password eq \"{secret}\""))])).await,
            s.get(&q("/Users", &[("sortBy", "password")])).await,
        ];
        for reply in replies {
            assert!(!reply.text().contains(secret), "{}", reply.text());
            if reply.status.is_success() && !reply.text().contains("Resources") {
                assert_eq!(reply.json().get("password"), None);
            }
        }
    }
}

#[tokio::test]
async fn c027_c099_a_password_cannot_be_probed() {
    for s in &stages().await {
        s.user(json!({"userName": "a", "password": "secret"})).await;
        for probe in [
            "password eq \"secret\"",
            "password sw \"s\"",
            "password pr",
            "not (password pr)",
            "userName eq \"a\" and password co \"e\"",
            &format!("{USER}:password pr"),
        ] {
            s.get(&q("/Users", &[("filter", probe)])).await.refused(400, "invalidFilter");
        }
    }
}

#[tokio::test]
async fn c028_c029_values_are_kept_byte_for_byte() {
    for s in &stages().await {
        let values = json!({"userName": "a", "preferredLanguage": "en_US", "locale": "en_us", "timezone": "Mars/Olympus",
            "emails": [{"value": " Ada.L@EXAMPLE.com", "type": "work"}], "phoneNumbers": [{"value": "(555) 123 x9", "type": "work"}, {"value": "tel:+1-201-555-0123", "type": "home"}]});
        let made = s.user(values.clone()).await;
        let read = s.read(&at(&id(&made))).await;
        for (name, value) in values.as_object().unwrap() {
            assert_eq!(&read[name], value, "{name}");
        }
    }
}

#[tokio::test]
async fn c030_c041_what_is_read_only_is_ignored_in_bodies_and_refused_in_patches() {
    for s in &stages().await {
        let ops = id(&s.group("Ops", &[]).await);
        let own = json!([{"value": ops}]);
        let made = s.user(json!({"userName": "a", "groups": own})).await;
        assert_eq!(made.get("groups"), None);
        let path = at(&id(&made));
        let put = s.put(&path, body(USER, json!({"userName": "a", "groups": own, "id": "x", "meta": {}}))).await;
        assert_eq!(put.expect(200).json().get("groups"), None);
        for (op, target) in
            [("add", "groups"), ("replace", "groups"), ("replace", "id"), ("replace", "meta.created"), ("add", "meta")]
        {
            s.patch(&path, json!([{"op": op, "path": target, "value": own}])).await.refused(400, "mutability");
        }
        for target in ["groups", "id", "meta", "meta.version", "groups[value pr]"] {
            s.patch(&path, json!([{"op": "remove", "path": target}])).await.refused(400, "mutability");
        }
        assert_eq!(s.read(&path).await, made);
    }
}

#[tokio::test]
async fn c031_a_users_groups_mirror_memberships() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let ops = s.group("Ops", &[&ada]).await;
        let groups = s.read(&at(&ada)).await["groups"].clone();
        let address = ops["meta"]["location"].clone();
        assert_eq!(groups, json!([{"value": ops["id"], "$ref": address, "display": "Ops", "type": "direct"}]));
        let path = format!("/Groups/{}", id(&ops));
        s.patch(&path, json!([{"op": "replace", "path": "displayName", "value": "Night"}])).await.expect(200);
        assert_eq!(s.read(&at(&ada)).await["groups"][0]["display"], "Night");
        s.patch(&path, json!([{"op": "remove", "path": format!("members[value eq \"{ada}\"]")}])).await.expect(200);
        assert_eq!(s.read(&at(&ada)).await.get("groups"), None);
    }
}

#[tokio::test]
async fn c032_a_group_has_a_display_name() {
    let s = stage().await;
    for wrong in [json!({}), json!({"displayName": ""}), json!({"displayName": null}), json!({"displayName": []})] {
        s.post("/Groups", body(GROUP, wrong)).await.refused(400, "invalidValue");
    }
}

#[tokio::test]
async fn c033_a_member_is_replaced_not_changed() {
    for s in &stages().await {
        let (ada, bob) = (s.named("ada").await, s.named("bob").await);
        let path = format!("/Groups/{}", id(&s.group("Ops", &[&ada]).await));
        let element = format!("members[value eq \"{ada}\"]");
        for sub in ["value", "$ref", "type"] {
            let change = json!([{"op": "replace", "path": format!("{element}.{sub}"), "value": bob}]);
            s.patch(&path, change).await.refused(400, "mutability");
        }
        let swap =
            json!([{"op": "remove", "path": element}, {"op": "add", "path": "members", "value": [{"value": bob}]}]);
        let after = s.patch(&path, swap).await.expect(200).json();
        assert_eq!(after["members"].as_array().unwrap().len(), 1);
        assert_eq!(after["members"][0]["value"], json!(bob));
    }
}

#[tokio::test]
async fn c034_who_is_deleted_leaves_every_group() {
    for s in &stages().await {
        let (ada, bob) = (s.named("ada").await, s.named("bob").await);
        let paths =
            [s.group("A", &[&ada, &bob]).await, s.group("B", &[&ada]).await].map(|g| format!("/Groups/{}", id(&g)));
        s.delete(&at(&ada)).await.expect(204);
        assert_eq!(s.read(&paths[0]).await["members"].as_array().unwrap().len(), 1);
        assert_eq!(s.read(&paths[1]).await["members"].as_array().map_or(0, Vec::len), 0);
        assert_eq!(s.found("/Groups", &format!("members.value eq \"{ada}\"")).await, [] as [&str; 0]);
    }
}

#[tokio::test]
async fn c035_a_managers_name_is_the_servers_and_its_id_is_not_checked() {
    for s in &stages().await {
        let made = s
            .user(
                json!({"userName": "a", ENTERPRISE: {"manager": {"value": "not-here-yet", "displayName": "Mallory"}}}),
            )
            .await;
        assert_eq!(made[ENTERPRISE]["manager"]["value"], "not-here-yet");
        assert_eq!(made[ENTERPRISE]["manager"].get("displayName"), None);
        let path = at(&id(&made));
        let target = format!("{ENTERPRISE}:manager.displayName");
        s.patch(&path, json!([{"op": "replace", "path": target, "value": "M"}])).await.refused(400, "mutability");
    }
}
