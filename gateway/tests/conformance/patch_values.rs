//! Section E: what each operation does to values (RFC 7644 sections 3.5.2.1 to 3.5.2.3). Whatever the letter says
//! holds with and without leniency, so each case runs on an instance of either kind.

use std::time::Duration;

use serde_json::{Value, json};

use crate::patch::rich;
use crate::support::{ENTERPRISE, Stage, stages, strict};

/// Works operations on the user of [`rich`] and compares the attributes named in `want` (null: gone); no other may
/// have changed.
async fn check(s: &Stage, operations: Value, want: Value) {
    let (path, made) = rich(s).await;
    let reply = s.patch(&path, operations.clone()).await;
    assert_eq!(reply.status, 200, "{operations}: {}", reply.text());
    let mut expected = made.as_object().unwrap().clone();
    for (name, value) in want.as_object().unwrap() {
        if value.is_null() {
            expected.remove(name);
        } else {
            expected.insert(name.clone(), value.clone());
        }
    }
    let mut after = s.read(&path).await;
    assert_eq!(reply.json(), after, "{operations}");
    let changed = want != json!({});
    assert_eq!(after["meta"]["version"] != made["meta"]["version"], changed, "{operations}");
    after["meta"] = made["meta"].clone();
    assert_eq!(after, Value::Object(expected), "{operations}");
    s.delete(&path).await.expect(204);
}

/// The same where it is refused: nothing has changed.
async fn refused(s: &Stage, operations: Value, kinds: &[&str]) {
    let (path, made) = rich(s).await;
    s.patch(&path, operations).await.refused_as(400, kinds);
    assert_eq!(s.read(&path).await, made);
    s.delete(&path).await.expect(204);
}

fn work() -> Value {
    json!({"value": "w@x.example", "type": "work", "primary": true})
}

fn home() -> Value {
    json!({"value": "h@x.example", "type": "home"})
}

async fn adds(s: &Stage) {
    let other = json!({"value": "o@x.example", "type": "other"});
    check(s, json!([{"op": "add", "path": "title", "value": "U"}]), json!({"title": "U"})).await;
    check(s, json!([{"op": "add", "path": "nickName", "value": "N"}]), json!({"nickName": "N"})).await;
    check(
        s,
        json!([{"op": "add", "path": "name", "value": {"middleName": "M"}}]),
        json!({"name": {"givenName": "G", "familyName": "F", "middleName": "M"}}),
    )
    .await;
    check(
        s,
        json!([{"op": "add", "path": "name.middleName", "value": "M"}]),
        json!({"name": {"givenName": "G", "familyName": "F", "middleName": "M"}}),
    )
    .await;
    check(
        s,
        json!([{"op": "add", "value": {"title": "U", "name": {"givenName": "H"}, "emails": [other]}}]),
        json!({"title": "U", "name": {"givenName": "H", "familyName": "F"}, "emails": [work(), home(), other]}),
    )
    .await;
    check(s, json!([{"op": "add", "path": "emails", "value": [other]}]), json!({"emails": [work(), home(), other]}))
        .await;
    check(s, json!([{"op": "add", "path": "emails", "value": [home()]}]), json!({})).await;
    check(
        s,
        json!([{"op": "add", "path": "emails", "value": [{"type": "home", "value": "h@x.example"}, other, other]}]),
        json!({"emails": [work(), home(), other]}),
    )
    .await;
    check(s, json!([{"op": "add", "path": "title", "value": "T"}]), json!({})).await;
    check(s, json!([{"op": "add", "value": {"title": "T", "emails": [home(), work()]}}]), json!({})).await;
    check(
        s,
        json!([{"op": "add", "path": "emails[type eq \"home\"].display", "value": "H"}]),
        json!({"emails": [work(), {"value": "h@x.example", "type": "home", "display": "H"}]}),
    )
    .await;
}

#[tokio::test]
async fn c120_c121_c122_add_merges_appends_and_sets() {
    for s in &stages().await {
        adds(s).await;
    }
}

#[tokio::test]
async fn c120_c121_c122_add_to_the_letter() {
    adds(&strict().await).await;
}

async fn removes(s: &Stage) {
    check(s, json!([{"op": "remove", "path": "title"}]), json!({"title": null})).await;
    check(s, json!([{"op": "remove", "path": "nickName"}]), json!({})).await;
    check(s, json!([{"op": "remove", "path": "name.givenName"}]), json!({"name": {"familyName": "F"}})).await;
    check(
        s,
        json!([{"op": "remove", "path": "name.givenName"}, {"op": "remove", "path": "name.familyName"}]),
        json!({"name": null}),
    )
    .await;
    check(s, json!([{"op": "remove", "path": "emails"}]), json!({"emails": null})).await;
    check(s, json!([{"op": "remove", "path": "emails[type eq \"home\"]"}]), json!({"emails": [work()]})).await;
    check(s, json!([{"op": "remove", "path": "emails[type eq \"home\" or value sw \"w\"]"}]), json!({"emails": null}))
        .await;
    check(s, json!([{"op": "remove", "path": "emails[not (primary eq true)]"}]), json!({"emails": [work()]})).await;
    check(
        s,
        json!([{"op": "remove", "path": "emails[type eq \"work\"].primary"}]),
        json!({"emails": [{"value": "w@x.example", "type": "work"}, home()]}),
    )
    .await;
    check(
        s,
        json!([{"op": "remove", "path": "emails.type"}]),
        json!({"emails": [{"value": "w@x.example", "primary": true}, {"value": "h@x.example"}]}),
    )
    .await;
    check(s, json!([{"op": "remove", "path": "emails[type eq \"work\"]"}, {"op": "remove", "path": "emails[type eq \"home\"]"}]), json!({"emails": null})).await;
    check(
        s,
        json!([{"op": "remove", "path": format!("{ENTERPRISE}:division")}]),
        json!({ENTERPRISE: {"department": "d"}}),
    )
    .await;
}

#[tokio::test]
async fn c125_remove_takes_what_its_path_names() {
    for s in &stages().await {
        removes(s).await;
    }
}

#[tokio::test]
async fn c125_remove_to_the_letter() {
    let s = strict().await;
    removes(&s).await;
    refused(&s, json!([{"op": "remove", "path": "emails", "value": [home()]}]), &["invalidSyntax", "invalidValue"])
        .await;
}

async fn replaces(s: &Stage) {
    let new = json!({"value": "n@x.example"});
    check(s, json!([{"op": "replace", "path": "title", "value": "U"}]), json!({"title": "U"})).await;
    check(s, json!([{"op": "replace", "path": "nickName", "value": "N"}]), json!({"nickName": "N"})).await;
    check(s, json!([{"op": "replace", "path": "title", "value": "T"}]), json!({})).await;
    check(
        s,
        json!([{"op": "replace", "path": "name", "value": {"givenName": "H"}}]),
        json!({"name": {"givenName": "H", "familyName": "F"}}),
    )
    .await;
    check(
        s,
        json!([{"op": "replace", "path": "name.givenName", "value": "H"}]),
        json!({"name": {"givenName": "H", "familyName": "F"}}),
    )
    .await;
    check(
        s,
        json!([{"op": "replace", "value": {"title": "U", "nickName": "N", "emails": [new]}}]),
        json!({"title": "U", "nickName": "N", "emails": [new]}),
    )
    .await;
    check(s, json!([{"op": "replace", "path": "emails", "value": [new]}]), json!({"emails": [new]})).await;
    check(s, json!([{"op": "replace", "path": "emails", "value": [work(), home()]}]), json!({})).await;
    check(
        s,
        json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "n@x.example"}]),
        json!({"emails": [{"value": "n@x.example", "type": "work", "primary": true}, home()]}),
    )
    .await;
    check(s, json!([{"op": "replace", "path": "emails[type eq \"home\"]", "value": {"value": "n@x.example", "type": "other"}}]), json!({"emails": [work(), {"value": "n@x.example", "type": "other"}]})).await;
    check(s, json!([{"op": "replace", "path": "emails[value ew \"example\"].display", "value": "x"}]),
        json!({"emails": [{"value": "w@x.example", "type": "work", "primary": true, "display": "x"}, {"value": "h@x.example", "type": "home", "display": "x"}]})).await;
    check(s, json!([{"op": "replace", "path": "emails[type eq \"home\"].primary", "value": true}]),
        json!({"emails": [{"value": "w@x.example", "type": "work", "primary": false}, {"value": "h@x.example", "type": "home", "primary": true}]})).await;
    check(s, json!([{"op": "add", "path": "emails", "value": [{"value": "n@x.example", "primary": true}]}]),
        json!({"emails": [{"value": "w@x.example", "type": "work", "primary": false}, home(), {"value": "n@x.example", "primary": true}]})).await;
    for (path, value) in [
        ("emails[value eq \"nobody\"]", json!({"value": "x"})),
        ("emails[value eq \"nobody\"].value", json!("x")),
        ("emails[type eq \"work\" and value sw \"h\"].display", json!("x")),
        ("emails[nonsense eq \"x\"].value", json!("x")),
    ] {
        let operations = json!([{"op": "replace", "path": path, "value": value}]);
        refused(s, operations, &["noTarget", "invalidFilter", "invalidPath"]).await;
    }
    refused(s, json!([{"op": "replace", "path": "emails[type eq \"none\"]", "value": {"value": "x"}}]), &["noTarget"])
        .await;
}

#[tokio::test]
async fn c127_c128_c129_c130_c131_replace_sets_what_its_path_names() {
    for s in &stages().await {
        replaces(s).await;
        // Entra names the element that it wants to be there.
        check(
            s,
            json!([{"op": "replace", "path": "emails[type eq \"other\"].value", "value": "o@x.example"}]),
            json!({"emails": [work(), home(), {"type": "other", "value": "o@x.example"}]}),
        )
        .await;
    }
}

#[tokio::test]
async fn c127_c128_c129_c130_c131_replace_to_the_letter() {
    let s = strict().await;
    replaces(&s).await;
    refused(&s, json!([{"op": "replace", "path": "emails[type eq \"other\"].value", "value": "x"}]), &["noTarget"])
        .await;
}

#[tokio::test]
async fn c121_a_value_that_is_there_moves_no_clock() {
    for s in &stages().await {
        let (path, made) = rich(s).await;
        s.clock.advance(Duration::from_secs(60));
        s.patch(&path, json!([{"op": "add", "path": "emails", "value": [home()]}])).await.expect(200);
        assert_eq!(s.read(&path).await["meta"], made["meta"]);
        let ada = made["id"].as_str().unwrap();
        let group = s.group("Ops", &[ada]).await;
        let group_path = format!("/Groups/{}", group["id"].as_str().unwrap());
        s.clock.advance(Duration::from_secs(60));
        for operation in [
            json!({"op": "add", "path": "members", "value": [{"value": ada}]}),
            json!({"op": "replace", "path": "members", "value": [{"value": ada}]}),
            json!({"op": "remove", "path": "members[value eq \"nobody\"]"}),
            json!({"op": "replace", "path": "displayName", "value": "Ops"}),
        ] {
            s.patch(&group_path, json!([operation])).await.expect(200);
            assert_eq!(s.read(&group_path).await["meta"], group["meta"], "{operation}");
        }
    }
}
