//! Section E: the PATCH message, its atomicity, its paths, groups (RFC 7644 section 3.5.2).

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{ENTERPRISE, GROUP, PATCH, Stage, USER, at, body, id, q, stage, stages, strict};

/// A user with something of everything.
pub(crate) async fn rich(s: &Stage) -> (String, Value) {
    let rest = json!({"userName": "ada", "title": "T", "displayName": "D", "name": {"givenName": "G", "familyName": "F"},
        "emails": [{"value": "w@x.example", "type": "work", "primary": true}, {"value": "h@x.example", "type": "home"}],
        ENTERPRISE: {"department": "d", "division": "v"}});
    let made = s.user(rest).await;
    (at(&id(&made)), made)
}

#[tokio::test]
async fn c116_c187_the_message_has_its_schema_and_operations_with_one_op_each() {
    for s in &stages().await {
        let (path, made) = rich(s).await;
        let one = json!({"op": "replace", "path": "title", "value": "U"});
        for (message, kinds) in [
            (json!({"Operations": [one]}), &["invalidSyntax", "invalidValue"][..]),
            (json!({"schemas": [], "Operations": [one]}), &["invalidSyntax", "invalidValue"]),
            (json!({"schemas": [USER], "Operations": [one]}), &["invalidSyntax", "invalidValue"]),
            (json!({"schemas": [PATCH]}), &["invalidSyntax", "invalidValue"]),
            (json!({"schemas": [PATCH], "Operations": []}), &["invalidSyntax", "invalidValue"]),
            (json!({"schemas": [PATCH], "Operations": one}), &["invalidSyntax", "invalidValue"]),
            (json!({"schemas": [PATCH], "Operations": ["replace"]}), &["invalidSyntax", "invalidValue"]),
            (
                json!({"schemas": [PATCH], "Operations": [{"path": "title", "value": "U"}]}),
                &["invalidSyntax", "invalidValue"],
            ),
            (
                json!({"schemas": [PATCH], "Operations": [{"op": "move", "path": "title", "value": "U"}]}),
                &["invalidSyntax", "invalidValue"],
            ),
            (
                json!({"schemas": [PATCH], "Operations": [{"op": ["add"], "path": "title", "value": "U"}]}),
                &["invalidSyntax", "invalidValue"],
            ),
            (
                json!({"schemas": [PATCH], "Operations": [{"op": "add", "path": "title"}]}),
                &["invalidSyntax", "invalidValue"],
            ),
            (
                json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "title"}]}),
                &["invalidSyntax", "invalidValue"],
            ),
            (json!({"schemas": [PATCH], "Operations": [{"op": "add"}]}), &["invalidSyntax", "invalidValue"]),
            (
                json!({"schemas": [PATCH], "Operations": [{"op": "replace", "value": "U"}]}),
                &["invalidSyntax", "invalidValue"],
            ),
        ] {
            s.send("PATCH", &path, &[], Some(&message)).await.refused_as(400, kinds);
        }
        let twice = format!(
            r#"{{"schemas":["{PATCH}"],"Operations":[{{"op":"add","op":"remove","path":"title","value":"U"}}]}}"#
        );
        let headers = [("authorization", s.key.as_str()), ("content-type", "application/scim+json")];
        s.raw("PATCH", &format!("{}{path}", s.base), &headers, twice.as_bytes()).await.refused(400, "invalidSyntax");
        assert_eq!(s.read(&path).await, made);
        for op in ["Replace", "REPLACE"] {
            s.patch(&path, json!([{"op": op, "path": "title", "value": op}])).await.expect(200);
            assert_eq!(s.read(&path).await["title"], op);
        }
    }
    let s = strict().await;
    let (path, _) = rich(&s).await;
    s.patch(&path, json!([{"op": "Replace", "path": "title", "value": "U"}])).await.refused(400, "invalidSyntax");
}

#[tokio::test]
async fn c117_c134_operations_work_in_order_and_all_or_none() {
    for s in &stages().await {
        let (path, made) = rich(s).await;
        let bob = s.named("bob").await;
        for last in [
            json!({"op": "replace", "path": "userName", "value": "bob"}),
            json!({"op": "replace", "path": "emails[type eq \"none\" and value pr]", "value": {"value": "x"}}),
            json!({"op": "replace", "path": "id", "value": "x"}),
            json!({"op": "remove", "path": "userName"}),
            json!({"op": "replace", "path": "active", "value": "maybe"}),
            json!({"op": "add", "path": "emails[", "value": "x"}),
        ] {
            let operations = json!([{"op": "replace", "path": "title", "value": "U"}, {"op": "remove", "path": "emails"}, {"op": "add", "path": "nickName", "value": "N"}, last]);
            let reply = s.patch(&path, operations).await;
            assert!(reply.status.is_client_error(), "{last}: {}", reply.text());
            assert_eq!(s.read(&path).await, made, "{last}");
        }
        let group = s.group("Ops", &[&bob]).await;
        let group_path = format!("/Groups/{}", id(&group));
        let mixed = json!([{"op": "remove", "path": "members"}, {"op": "replace", "path": "displayName", "value": "X"}, {"op": "add", "path": "members", "value": [{"value": "nobody"}]}]);
        s.patch(&group_path, mixed).await.refused(400, "invalidValue");
        assert_eq!(s.read(&group_path).await, group);
        let seen = json!([
            {"op": "add", "path": "ims", "value": [{"value": "a", "type": "xmpp"}]},
            {"op": "replace", "path": "ims[type eq \"xmpp\"].value", "value": "b"},
            {"op": "replace", "path": "title", "value": "1"},
            {"op": "replace", "path": "title", "value": "2"},
            {"op": "remove", "path": "nickName"},
            {"op": "add", "path": "nickName", "value": "N"},
            {"op": "remove", "path": "userName"},
            {"op": "add", "path": "userName", "value": "eve"}]);
        let after = s.patch(&path, seen).await.expect(200).json();
        assert_eq!(after["ims"], json!([{"value": "b", "type": "xmpp"}]));
        assert_eq!(
            (&after["title"], &after["nickName"], &after["userName"]),
            (&json!("2"), &json!("N"), &json!("eve"))
        );
    }
}

#[tokio::test]
async fn c118_a_patch_answers_with_the_resource() {
    for s in &stages().await {
        let (path, _) = rich(s).await;
        let reply = s.patch(&path, json!([{"op": "replace", "path": "title", "value": "U"}])).await.expect(200);
        assert_eq!(reply.json(), s.read(&path).await);
        assert_eq!(reply.header("etag"), s.get(&path).await.header("etag"));
        let narrow = s
            .patch(&q(&path, &[("attributes", "title")]), json!([{"op": "replace", "path": "title", "value": "V"}]))
            .await;
        let narrow = narrow.expect(200).json();
        assert_eq!((&narrow["title"], narrow.get("userName")), (&json!("V"), None));
    }
}

/// A group of very many answers 204, so that adding one does not cost all; who wants the body says what of it.
#[tokio::test]
async fn c118_a_patch_of_a_large_group_answers_204_or_what_was_asked_for() {
    let s = stage().await;
    let mut ids = Vec::new();
    for n in 0..201 {
        ids.push(s.named(&format!("u{n}")).await);
    }
    let members: Vec<&str> = ids.iter().map(String::as_str).collect();
    let path = format!("/Groups/{}", id(&s.group("Ops", &members).await));
    let rename = |name: &str| json!([{"op": "replace", "path": "displayName", "value": name}]);
    let reply = s.patch(&path, rename("A")).await.expect(204);
    assert!(reply.bytes.is_empty() && !reply.header("etag").is_empty());
    let narrow = s.patch(&q(&path, &[("attributes", "displayName")]), rename("B")).await.expect(200).json();
    assert_eq!((&narrow["displayName"], narrow.get("members")), (&json!("B"), None));
    assert_eq!(s.read(&path).await["members"].as_array().unwrap().len(), 201);
}

#[tokio::test]
async fn c119_a_bad_path_is_an_invalid_path() {
    for s in &stages().await {
        let (path, made) = rich(s).await;
        for bad in [
            "",
            " ",
            "1st",
            "name.a.b",
            "emails[",
            "emails]",
            "emails[type eq \"work\"",
            "emails[type eq \"work\"]value",
            "emails[type eq \"work\"].",
            "a b",
            ".title",
            "title.",
            "[type eq \"work\"]",
        ] {
            for op in ["add", "replace", "remove"] {
                let operation = if op == "remove" {
                    json!({"op": op, "path": bad})
                } else {
                    json!({"op": op, "path": bad, "value": "x"})
                };
                s.patch(&path, json!([operation])).await.refused_as(400, &["invalidPath", "noTarget"]);
            }
        }
        s.patch(&path, json!([{"op": "add", "path": 5, "value": "x"}]))
            .await
            .refused_as(400, &["invalidPath", "invalidSyntax"]);
        for bad in ["emails[type zz \"work\"]", "emails[primary gt true]", "emails[]", "emails[type eq \"work\" and]"] {
            s.patch(&path, json!([{"op": "remove", "path": bad}]))
                .await
                .refused_as(400, &["invalidFilter", "invalidPath"]);
        }
        assert_eq!(s.read(&path).await, made);
    }
}

#[tokio::test]
async fn c123_a_remove_without_a_path_has_no_target() {
    for s in &stages().await {
        let (path, made) = rich(s).await;
        for operation in [
            json!({"op": "remove"}),
            json!({"op": "remove", "value": {"title": "T"}}),
            json!({"op": "remove", "path": null}),
        ] {
            s.patch(&path, json!([operation])).await.refused(400, "noTarget");
        }
        assert_eq!(s.read(&path).await, made);
    }
}

#[tokio::test]
async fn c124_c132_what_is_required_or_read_only_is_not_removed() {
    for s in &stages().await {
        let (path, made) = rich(s).await;
        for target in ["userName", &format!("{USER}:userName"), "id", "meta", "meta.created", "groups"] {
            s.patch(&path, json!([{"op": "remove", "path": target}])).await.refused(400, "mutability");
        }
        for value in [json!(null), json!([])] {
            s.patch(&path, json!([{"op": "replace", "path": "userName", "value": value}]))
                .await
                .refused_as(400, &["mutability", "invalidValue"]);
        }
        let group = format!("/Groups/{}", id(&s.group("Ops", &[]).await));
        s.patch(&group, json!([{"op": "remove", "path": "displayName"}])).await.refused(400, "mutability");
        assert_eq!(s.read(&path).await, made);
    }
}

#[tokio::test]
async fn c126_members_go_by_filter_or_by_value() {
    for s in &stages().await {
        let mut ids = Vec::new();
        for name in ["a", "b", "c", "d", "e"] {
            ids.push(s.named(name).await);
        }
        let members: Vec<&str> = ids.iter().map(String::as_str).collect();
        let path = format!("/Groups/{}", id(&s.group("Ops", &members).await));
        let left = async || s.read(&path).await["members"].as_array().map_or(0, Vec::len);
        // With a body or without: a client that is known for it gets none.
        let patch = async |operation: Value| {
            let reply = s.patch(&path, json!([operation])).await;
            assert!(matches!(reply.status.as_u16(), 200 | 204), "{}", reply.text());
        };
        patch(json!({"op": "remove", "path": format!("members[value eq \"{}\"]", ids[0])})).await;
        assert_eq!(left().await, 4);
        // Who is not there, or not any more, is out: a removal asks for a state.
        patch(json!({"op": "remove", "path": format!("members[value eq \"{}\"]", ids[0])})).await;
        patch(json!({"op": "remove", "path": "members[value eq \"nobody\"]"})).await;
        assert_eq!(left().await, 4);
        patch(json!({"op": "Remove", "path": "members", "value": [{"value": ids[1]}]})).await;
        assert_eq!(left().await, 3);
        patch(json!({"op": "remove", "path": "members", "value": []})).await;
        assert_eq!(left().await, 3);
        patch(json!({"op": "remove", "path": format!("members[value eq \"{}\" or value eq \"{}\"]", ids[2], ids[3])}))
            .await;
        assert_eq!(left().await, 1);
        patch(
            json!({"op": "add", "path": "members", "value": [{"value": ids[4]}, {"value": ids[0]}, {"value": ids[0]}]}),
        )
        .await;
        assert_eq!(left().await, 2);
        patch(json!({"op": "replace", "path": "members", "value": [{"value": ids[3]}]})).await;
        assert_eq!(s.read(&path).await["members"][0]["value"], json!(ids[3]));
        patch(json!({"op": "remove", "path": "members"})).await;
        assert_eq!(left().await, 0);
    }
}

#[tokio::test]
async fn c133_extensions_are_reached_by_their_urn() {
    for s in &stages().await {
        let (path, _) = rich(s).await;
        let after = async |operation: Value| s.patch(&path, json!([operation])).await.expect(200).json();
        let department = format!("{ENTERPRISE}:department");
        assert_eq!(
            after(json!({"op": "replace", "path": department, "value": "e"})).await[ENTERPRISE],
            json!({"department": "e", "division": "v"})
        );
        assert_eq!(
            after(json!({"op": "add", "path": ENTERPRISE, "value": {"costCenter": "c", "division": "w"}})).await
                [ENTERPRISE],
            json!({"department": "e", "division": "w", "costCenter": "c"})
        );
        assert_eq!(
            after(json!({"op": "replace", "value": {ENTERPRISE: {"costCenter": "x"}}})).await[ENTERPRISE]["costCenter"],
            "x"
        );
        let manager = after(json!({"op": "add", "path": format!("{ENTERPRISE}:manager.value"), "value": "m"})).await;
        assert_eq!(manager[ENTERPRISE]["manager"]["value"], "m");
        assert_eq!(manager["schemas"], json!([USER, ENTERPRISE]));
        after(json!({"op": "remove", "path": format!("{ENTERPRISE}:manager")})).await;
        let gone = after(json!({"op": "remove", "path": ENTERPRISE})).await;
        assert_eq!((gone.get(ENTERPRISE), &gone["schemas"]), (None, &json!([USER])));
        let core = after(json!({"op": "replace", "path": format!("{USER}:title"), "value": "core"})).await;
        assert_eq!(core["title"], "core");
    }
}

#[tokio::test]
async fn c135_the_end_result_is_checked_and_members_have_to_be_there() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let group = s.group("Ops", &[&ada]).await;
        let path = format!("/Groups/{}", id(&group));
        for (op, value) in [
            ("add", json!([{"value": "3b1f2c4d-0000-4000-8000-00000000beef"}])),
            ("add", json!([{"value": "nobody"}, {"value": ada}])),
            ("replace", json!([{"value": "nobody"}])),
            ("replace", json!([{"value": ada}, {"value": id(&group)}])),
            ("add", json!([{"display": "x"}])),
            ("add", json!([{"value": ""}])),
        ] {
            s.patch(&path, json!([{"op": op, "path": "members", "value": value}])).await.refused(400, "invalidValue");
        }
        // What cannot be an id of ours, alone in an addition, adds nobody; under strict it is refused.
        let foreign = json!([{"op": "add", "path": "members", "value": [{"value": "nobody"}]}]);
        s.patch(&path, foreign).await.expect(200);
        assert_eq!(s.read(&path).await, group);
        let swap = json!([{"op": "replace", "path": "userName", "value": "x"}, {"op": "replace", "path": "userName", "value": "ada"}]);
        s.patch(&at(&ada), swap).await.expect(200);
        s.named("bob").await;
        let through = json!([{"op": "replace", "path": "userName", "value": "bob"}, {"op": "replace", "path": "userName", "value": "eve"}]);
        assert_eq!(s.patch(&at(&ada), through).await.expect(200).json()["userName"], "eve");
    }
}

#[tokio::test]
async fn c136_a_thousand_members_come_and_go_in_one_request() {
    for s in &stages().await {
        let mut ids = Vec::new();
        for n in 0..1_100 {
            ids.push(s.named(&format!("u{n}")).await);
        }
        let path = format!("/Groups/{}", id(&s.group("Ops", &[]).await));
        let values = |range: &[String]| -> Vec<Value> { range.iter().map(|id| json!({"value": id})).collect() };
        let count = async || s.read(&path).await["members"].as_array().map_or(0, Vec::len);
        let patch = async |operation: Value| {
            let reply = s.patch(&path, json!([operation])).await;
            assert!(reply.status.is_success(), "{}", reply.text());
        };
        patch(json!({"op": "add", "path": "members", "value": values(&ids[..1_050])})).await;
        assert_eq!(count().await, 1_050);
        s.clock.advance(Duration::from_secs(1));
        patch(json!({"op": "add", "path": "members", "value": values(&ids[1_000..])})).await;
        assert_eq!(count().await, 1_100);
        patch(json!({"op": "remove", "path": "members", "value": values(&ids[50..])})).await;
        assert_eq!(count().await, 50);
        let put = json!({"schemas": [GROUP], "displayName": "Ops", "members": values(&ids[40..])});
        s.put(&path, put).await.expect(200);
        assert_eq!(count().await, 1_060);
        assert_eq!(s.read(&at(&ids[1_099])).await["groups"][0]["display"], "Ops");
        let none = body(GROUP, json!({"displayName": "Ops"}));
        s.put(&path, none).await.expect(200);
        assert_eq!(count().await, 0);
    }
}
