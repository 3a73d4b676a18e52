//! `/Bulk` (RFC 7644 section 3.7; checklist 137 to 143 and 189).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gateway::config::Overrides;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, Instance, PATCH, USER};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn request(operations: &Value) -> Value {
    json!({"schemas": [BULK], "Operations": operations})
}

fn user(bulk_id: &str, name: &str) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": {"schemas": [USER], "userName": name}})
}

fn group(bulk_id: &str, name: &str, members: &[&str]) -> Value {
    let members: Vec<Value> = members.iter().map(|member| json!({"value": member})).collect();
    json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id,
        "data": {"schemas": [GROUP], "displayName": name, "members": members}})
}

fn report(bulk_id: &str, name: &str, manager: &str) -> Value {
    let mut user = user(bulk_id, name);
    user["data"]["schemas"] = json!([USER, ENTERPRISE]);
    user["data"][ENTERPRISE] = json!({"manager": {"value": manager}});
    user
}

fn patch(path: &str, operations: &Value) -> Value {
    json!({"method": "PATCH", "path": path, "data": {"schemas": [PATCH], "Operations": operations}})
}

async fn bulk(gateway: &Gateway, to: &Instance, operations: &Value) -> Vec<Value> {
    let answer = gateway.scim(to, "POST", "/Bulk", Some(request(operations))).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/scim+json");
    let answer = answer.json();
    assert_eq!(answer["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:BulkResponse"]));
    answer["Operations"].as_array().unwrap().clone()
}

fn statuses(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["status"].as_str().unwrap()).collect()
}

/// What the directory holds, by names: users with what the tests change of them, groups with members.
async fn directory(gateway: &Gateway, to: &Instance) -> BTreeMap<String, Value> {
    let users = gateway.scim(to, "GET", "/Users?count=1000", None).await.expect(200).json();
    let groups = gateway.scim(to, "GET", "/Groups?count=1000", None).await.expect(200).json();
    let all = |list: &Value| list["Resources"].as_array().unwrap().clone();
    let names: BTreeMap<String, String> = all(&users)
        .iter()
        .map(|user| (user["id"].as_str().unwrap().to_owned(), user["userName"].as_str().unwrap().to_owned()))
        .collect();
    let name = |id: &Value| id.as_str().map_or(Value::Null, |id| names.get(id).map_or("?", String::as_str).into());
    let mut held = BTreeMap::new();
    for user in all(&users) {
        let manager = &user[ENTERPRISE]["manager"]["value"];
        held.insert(
            format!("user {}", user["userName"]),
            json!({"active": user["active"], "title": user["title"], "manager": name(manager)}),
        );
    }
    for group in all(&groups) {
        let mut members: Vec<String> =
            group["members"].as_array().unwrap().iter().map(|member| name(&member["value"]).to_string()).collect();
        members.sort();
        held.insert(format!("group {}", group["displayName"]), json!(members));
    }
    held
}

#[tokio::test]
async fn each_operation_is_told_how_it_ended() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let (ada, bob) = (gateway.user(&to, "ada@example.com").await, gateway.user(&to, "bob@example.com").await);
        let title = |path: &str| patch(path, &json!([{"op": "replace", "path": "title", "value": "Dr"}]));
        let with = |mut operation: Value, name: &str, value: Value| {
            operation[name] = value;
            operation
        };
        let at = |id: &str| format!("/Users/{id}");
        // The item of the checklist, the operation, its status and scimType.
        let cases = [
            (137, user("a", "a@example.com"), "201", Value::Null),
            (138, title(&at(&ada)), "200", Value::Null),
            (138, with(title(&at(&ada)), "bulkId", json!("named")), "200", Value::Null),
            (
                138,
                json!({"method": "PUT", "path": at(&bob), "data": {"schemas": [USER], "userName": "bob@example.com"}}),
                "200",
                Value::Null,
            ),
            (138, with(title(&at(&bob)), "version", json!("W/\"2\"")), "200", Value::Null),
            (138, json!({"method": "delete", "path": format!("//users/{bob}/")}), "204", Value::Null),
            (139, user("b", "ADA@example.com"), "409", json!("uniqueness")),
            (
                139,
                json!({"method": "POST", "path": "/Users", "bulkId": "c", "data": {"schemas": [USER]}}),
                "400",
                json!("invalidValue"),
            ),
            (139, title("/Users/nobody"), "404", Value::Null),
            (139, json!({"method": "DELETE", "path": at(&bob)}), "404", Value::Null),
            (
                141,
                json!({"method": "POST", "path": "/Users", "data": {"schemas": [USER], "userName": "x"}}),
                "400",
                json!("invalidSyntax"),
            ),
            (141, group("d", "D", &["bulkId:nobody"]), "400", json!("invalidValue")),
            (141, group("e", "E", &["bulkId:b"]), "409", Value::Null),
            (143, json!({"method": "BREW", "path": "/Users"}), "405", Value::Null),
            (143, json!({"method": "GET", "path": at(&ada)}), "405", Value::Null),
            (143, json!({"method": "PUT", "path": "/Users", "data": {}}), "405", Value::Null),
            (143, with(user("f", "f@example.com"), "path", json!(at(&ada))), "405", Value::Null),
            (143, json!({"method": "DELETE", "path": "/Nonsense/1"}), "404", Value::Null),
            (143, json!({"method": "DELETE", "path": "/Users/1/2"}), "404", Value::Null),
            (143, json!({"method": "DELETE", "path": "/"}), "404", Value::Null),
            (143, json!({"method": "DELETE", "path": "/Me"}), "400", json!("invalidValue")),
            (143, json!({"method": "POST", "path": "/bulk", "bulkId": "g", "data": {}}), "400", json!("invalidValue")),
            (143, json!({"method": "POST", "path": "/Schemas", "bulkId": "h", "data": {}}), "405", Value::Null),
            (143, json!({"method": "PATCH", "path": at(&ada)}), "400", json!("invalidSyntax")),
            (145, with(title(&at(&ada)), "version", json!("W/\"77\"")), "412", Value::Null),
            (145, json!({"method": "DELETE", "path": at(&ada), "version": "nonsense"}), "412", Value::Null),
        ];
        let operations: Vec<Value> = cases.iter().map(|(_, operation, ..)| operation.clone()).collect();
        let entries = bulk(&gateway, &to, &operations.into()).await;
        assert_eq!(entries.len(), cases.len());
        for (entry, (item, operation, status, kind)) in entries.iter().zip(&cases) {
            let what = format!("item {item}: {operation} gave {entry}");
            assert_eq!(&entry["status"], status, "{what}");
            assert_eq!(entry["method"], operation["method"].as_str().unwrap().to_uppercase(), "{what}");
            assert_eq!(entry["bulkId"], operation["bulkId"], "{what}");
            let failed = status.parse::<u16>().unwrap() >= 400;
            let created = operation["method"] == "POST";
            assert_eq!(entry.get("location").is_none(), failed && created, "{what}");
            assert_eq!(entry.get("response").is_some(), failed, "{what}");
            assert_eq!(entry.get("version").is_some(), !failed && *status != "204", "{what}");
            if failed {
                assert_eq!(
                    (&entry["response"]["status"], &entry["response"]["scimType"]),
                    (&json!(status), kind),
                    "{what}"
                );
                assert_eq!(
                    entry["response"]["schemas"],
                    json!(["urn:ietf:params:scim:api:messages:2.0:Error"]),
                    "{what}"
                );
            }
        }
        // Location and version are those of the resource, and what failed left nothing behind.
        for entry in [&entries[0], &entries[1]] {
            let path = entry["location"].as_str().unwrap().rsplit_once("/scim/v2").unwrap().1;
            let read = gateway.scim(&to, "GET", path, None).await.expect(200);
            assert_eq!(entry["location"], read.json()["meta"]["location"]);
            assert_eq!(entry["version"], read.header("etag"));
        }
        let left: Vec<String> = directory(&gateway, &to).await.into_keys().collect();
        assert_eq!(left, ["user \"a@example.com\"", "user \"ada@example.com\""]);
    }
}

#[tokio::test]
async fn references_reach_forward_backward_and_in_circles() {
    for gateway in Gateway::everywhere().await {
        for (case, operations, want, held) in [
            (
                "141 backward",
                json!([user("u", "u"), group("g", "G", &["bulkId:u"])]),
                vec!["201", "201"],
                json!({"group \"G\"": ["\"u\""], "user \"u\"": {"active": true, "manager": null, "title": null}}),
            ),
            (
                "141 forward, in data and in a path",
                json!([
                    group("g", "G", &["bulkId:u"]),
                    patch("/Users/bulkId:u", &json!([{"op": "add", "path": "title", "value": "Dr"}])),
                    user("u", "u"),
                ]),
                vec!["201", "200", "201"],
                json!({"group \"G\"": ["\"u\""], "user \"u\"": {"active": true, "manager": null, "title": "Dr"}}),
            ),
            (
                "141 in a PATCH's value and filter",
                json!([
                    user("u", "u"),
                    user("v", "v"),
                    group("g", "G", &["bulkId:u"]),
                    patch(
                        "/Groups/bulkId:g",
                        &json!([
                            {"op": "add", "path": "members", "value": [{"value": "bulkId:v"}]},
                            {"op": "remove", "path": "members[value eq \"bulkId:u\"]"},
                        ])
                    ),
                    json!({"method": "DELETE", "path": "/Users/bulkId:u"}),
                ]),
                vec!["201", "201", "201", "200", "204"],
                json!({"group \"G\"": ["\"v\""], "user \"v\"": {"active": true, "manager": null, "title": null}}),
            ),
            (
                "141 a circle of two, and one who is their own manager",
                json!([report("a", "a", "bulkId:b"), report("b", "b", "bulkId:a"), report("c", "c", "bulkId:c")]),
                vec!["201", "201", "201"],
                json!({
                    "user \"a\"": {"active": true, "manager": "b", "title": null},
                    "user \"b\"": {"active": true, "manager": "a", "title": null},
                    "user \"c\"": {"active": true, "manager": "c", "title": null},
                }),
            ),
            (
                "141 a circle that cannot be closed: what was made says that it is not whole",
                json!([report("a", "a", "bulkId:b"), {
                    "method": "POST", "path": "/Users", "bulkId": "b",
                    "data": {"schemas": [USER, ENTERPRISE], (ENTERPRISE): {"manager": {"value": "bulkId:a"}}},
                }]),
                vec!["409", "400"],
                json!({"user \"a\"": {"active": true, "manager": null, "title": null}}),
            ),
        ] {
            let to = gateway.instance("paused", json!({})).await;
            let entries = bulk(&gateway, &to, &operations).await;
            assert_eq!(statuses(&entries), want, "{case}: {entries:?}");
            for (entry, operation) in entries.iter().zip(operations.as_array().unwrap()) {
                assert_eq!(entry["bulkId"], operation["bulkId"], "{case}: the order of the request");
            }
            assert_eq!(json!(directory(&gateway, &to).await), held, "{case}");
            if entries[0]["status"] == "409" {
                assert!(entries[0]["location"].as_str().unwrap().contains("/Users/"), "{case}: {entries:?}");
            }
        }
    }
}

#[tokio::test]
async fn fail_on_errors_stops_after_so_many_and_tells_all_that_was_done() {
    let gateway = Gateway::start().await;
    let bad = || json!({"method": "DELETE", "path": "/Users/nobody"});
    for (item, most, want) in [
        (139, None, vec!["201", "404", "201", "404", "201"]),
        (140, Some(1), vec!["201", "404"]),
        (189, Some(2), vec!["201", "404", "201", "404"]),
        (140, Some(3), vec!["201", "404", "201", "404", "201"]),
    ] {
        let to = gateway.instance("paused", json!({})).await;
        let mut body = request(&json!([user("a", "a"), bad(), user("b", "b"), bad(), user("c", "c")]));
        if let Some(most) = most {
            body["failOnErrors"] = json!(most);
        }
        let answer = gateway.scim(&to, "POST", "/Bulk", Some(body)).await.expect(200).json();
        assert_eq!(statuses(answer["Operations"].as_array().unwrap()), want, "item {item}, failOnErrors {most:?}");
        let made = want.iter().filter(|status| **status == "201").count();
        assert_eq!(directory(&gateway, &to).await.len(), made, "item {item}");
    }
}

#[tokio::test]
async fn what_is_announced_is_what_is_enforced() {
    let settings = Overrides {
        bulk_max_operations: Some(3),
        body_limit_group_bytes: Some(4096),
        body_limit_user_bytes: Some(1024),
        ..Overrides::default()
    };
    let gateway = Gateway::configured(settings).await;
    let to = gateway.instance("paused", json!({})).await;
    let config = gateway.scim(&to, "GET", "/ServiceProviderConfig", None).await.expect(200).json();
    assert_eq!(config["bulk"], json!({"supported": true, "maxOperations": 3, "maxPayloadSize": 4096}));
    let deletes = |n: usize| {
        let all: Vec<Value> = (0..n).map(|n| json!({"method": "DELETE", "path": format!("/Users/{n}")})).collect();
        request(&all.into())
    };
    let padded = |bytes: usize| {
        let mut text = deletes(1).to_string();
        text.extend(std::iter::repeat_n(' ', bytes - text.len()));
        text
    };
    gateway.scim(&to, "POST", "/Bulk", Some(deletes(3))).await.expect(200);
    for (item, body, status) in [
        (142, deletes(4).to_string(), 413),
        (142, padded(4096), 200),
        (142, padded(4097), 413),
        (137, json!({"Operations": []}).to_string(), 400),
        (143, request(&json!([user("a", "a"), user("a", "b")])).to_string(), 400),
        (140, json!({"schemas": [BULK], "failOnErrors": 0, "Operations": [user("a", "a")]}).to_string(), 400),
    ] {
        let sent = http::Request::builder()
            .method("POST")
            .uri(format!("{}/Bulk", to.base))
            .header("authorization", &to.key)
            .header("content-type", "application/scim+json");
        let reply = gateway.send(sent.body(body.clone().into()).unwrap()).await;
        assert_eq!(reply.status.as_u16(), status, "item {item}: {body:.200}");
        if status != 200 {
            assert_eq!(reply.json()["status"], status.to_string(), "item {item}");
        }
    }
    assert!(directory(&gateway, &to).await.is_empty(), "a request that is refused changes nothing");
    // A user is no larger for being in a bulk request; a group may be.
    let mut large = user("a", "a");
    large["data"]["title"] = json!("x".repeat(1100));
    let members = vec!["8b4f2b52-0000-4000-8000-000000000000"; 20];
    let entries = bulk(&gateway, &to, &json!([large, group("g", "G", &members)])).await;
    assert_eq!(statuses(&entries), ["413", "400"], "{entries:?}");

    let reader = gateway.key(&to, json!({"scopes": ["scim:read"]})).await;
    gateway.scim(&reader, "POST", "/Bulk", Some(deletes(1))).await.expect(403);
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(gateway.scim(&to, method, "/Bulk", None).await.expect(405).header("allow"), "POST, OPTIONS");
    }
}

#[tokio::test]
async fn a_bulk_waits_for_a_slow_target_no_longer_than_one_request_does() {
    let gateway = Gateway::start().await;
    // Nothing drives here, so an enabled instance is one whose target never comes to an end.
    let to = gateway.instance("enabled", json!({})).await;
    let all: Vec<Value> = (0..50).map(|n| user(&format!("b{n}"), &format!("u{n}@example.com"))).collect();
    let body = request(&all.into()).to_string();
    let sent = http::Request::builder()
        .method("POST")
        .uri(format!("{}/Bulk", to.base))
        .header("authorization", &to.key)
        .body(body.into())
        .unwrap();
    let mut answer = std::pin::pin!(gateway.send(sent));
    let mut passed = Duration::ZERO;
    let reply = loop {
        match tokio::time::timeout(Duration::from_millis(20), &mut answer).await {
            Ok(reply) => break reply.expect(200).json(),
            Err(_) => {
                passed += Duration::from_millis(250);
                assert!(passed < Duration::from_secs(10), "each operation waits by itself");
                gateway.clock.advance(Duration::from_millis(250));
            }
        }
    };
    assert_eq!(reply["Operations"].as_array().unwrap().len(), 50);
    assert!(passed >= Duration::from_secs(2), "the first one waits");
}

#[tokio::test]
async fn a_bulk_whose_client_went_away_ends_between_two_operations() {
    let gateway = Arc::new(Gateway::start().await);
    let to = gateway.instance("enabled", json!({})).await;
    let body = request(&json!([user("a", "a@example.com"), user("b", "b@example.com")])).to_string();
    let sent = http::Request::builder()
        .method("POST")
        .uri(format!("{}/Bulk", to.base))
        .header("authorization", &to.key)
        .body(body.into())
        .unwrap();
    let client = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.send(sent).await }
    });
    let stored = async {
        while directory(&gateway, &to).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), stored).await.unwrap();
    client.abort();
    assert!(client.await.unwrap_err().is_cancelled());
    gateway.clock.advance(Duration::from_secs(60));
    let held: Vec<String> = directory(&gateway, &to).await.into_keys().collect();
    assert_eq!(held, ["user \"a@example.com\""], "what was begun is whole, the rest is not begun");
}

/// One change, in words: people and groups by number.
#[derive(Clone, Debug)]
enum Change {
    Join { person: usize, manager: Option<usize> },
    Form { group: usize, members: Vec<usize> },
    Title { person: usize, text: u8 },
    Leave { person: usize },
    Into { group: usize, person: usize },
    OutOf { group: usize, person: usize },
    Disband { group: usize },
}

fn change() -> impl Strategy<Value = Change> {
    let (person, group) = (0_usize..6, 0_usize..3);
    prop_oneof![
        4 => (person.clone(), prop::option::of(0_usize..6)).prop_map(|(person, manager)| Change::Join { person, manager }),
        2 => (group.clone(), prop::collection::vec(0_usize..6, 0..4)).prop_map(|(group, members)| Change::Form { group, members }),
        2 => (person.clone(), any::<u8>()).prop_map(|(person, text)| Change::Title { person, text }),
        1 => person.clone().prop_map(|person| Change::Leave { person }),
        3 => (group.clone(), person.clone()).prop_map(|(group, person)| Change::Into { group, person }),
        1 => (group.clone(), person).prop_map(|(group, person)| Change::OutOf { group, person }),
        1 => group.prop_map(|group| Change::Disband { group }),
    ]
}

/// The change as an operation. `refer` gives the word by which a person or a group is referred to, if
/// there is one at that moment.
fn operation(n: usize, change: &Change, refer: &dyn Fn(String) -> Option<String>) -> Option<Value> {
    let person = |n: usize| refer(format!("p{n}"));
    let group_at = |n: usize| refer(format!("g{n}")).map(|id| format!("/Groups/{id}"));
    let name = format!("op{n}");
    Some(match change {
        Change::Join { person: who, manager } => match manager.and_then(person) {
            Some(manager) => report(&name, &format!("p{who}"), &manager),
            None => user(&name, &format!("p{who}")),
        },
        Change::Form { group: which, members } => {
            let members: Vec<String> = members.iter().copied().filter_map(person).collect();
            group(&name, &format!("g{which}"), &members.iter().map(String::as_str).collect::<Vec<_>>())
        }
        Change::Title { person: who, text } => patch(
            &format!("/Users/{}", person(*who)?),
            &json!([{"op": "replace", "path": "title", "value": format!("t{text}")}]),
        ),
        Change::Leave { person: who } => json!({"method": "DELETE", "path": format!("/Users/{}", person(*who)?)}),
        Change::Into { group, person: who } => {
            let value = json!([{"op": "add", "path": "members", "value": [{"value": person(*who)?}]}]);
            patch(&group_at(*group)?, &value)
        }
        Change::OutOf { group, person: who } => {
            let value = json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", person(*who)?)}]);
            patch(&group_at(*group)?, &value)
        }
        Change::Disband { group } => json!({"method": "DELETE", "path": group_at(*group)?}),
    })
}

/// What a change makes, if the name was free.
fn makes(change: &Change) -> Option<String> {
    match change {
        Change::Join { person, .. } => Some(format!("p{person}")),
        Change::Form { group, .. } => Some(format!("g{group}")),
        _ => None,
    }
}

#[tokio::test]
async fn a_bulk_of_any_operations_ends_where_the_same_ones_sent_one_by_one_end() {
    for gateway in Gateway::everywhere().await {
        let mut runner = TestRunner::new_with_rng(
            Config::default(),
            prop::test_runner::TestRng::deterministic_rng(prop::test_runner::RngAlgorithm::ChaCha),
        );
        for _ in 0..30 {
            let changes = prop::collection::vec(change(), 1..25).new_tree(&mut runner).unwrap().current();
            let (single, whole) =
                (gateway.instance("paused", json!({})).await, gateway.instance("paused", json!({})).await);
            // One by one: a name means the resource that bore it first and was made.
            let mut ids: BTreeMap<String, String> = BTreeMap::new();
            let mut done = Vec::new();
            for (n, change) in changes.iter().enumerate() {
                let Some(mut one) = operation(n, change, &|name| ids.get(&name).cloned()) else { continue };
                let (method, path) =
                    (one["method"].as_str().unwrap().to_owned(), one["path"].as_str().unwrap().to_owned());
                let reply = gateway.scim(&single, &method, &path, one.get_mut("data").map(Value::take)).await;
                if let Some(name) = makes(change).filter(|_| reply.status == 201) {
                    ids.entry(name).or_insert_with(|| reply.json()["id"].as_str().unwrap().to_owned());
                }
                done.push((n, reply.status.as_u16()));
            }
            // In one request: the same, by bulkId.
            let mut words: BTreeMap<String, String> = BTreeMap::new();
            let mut operations = Vec::new();
            for (n, status) in &done {
                let refer = |name: String| words.get(&name).cloned();
                operations.push(operation(*n, &changes[*n], &refer).unwrap());
                if let Some(name) = makes(&changes[*n]).filter(|_| *status == 201) {
                    words.entry(name).or_insert_with(|| format!("bulkId:op{n}"));
                }
            }
            let entries =
                if operations.is_empty() { Vec::new() } else { bulk(&gateway, &whole, &operations.into()).await };
            let got: Vec<u16> = statuses(&entries).iter().map(|status| status.parse().unwrap()).collect();
            let want: Vec<u16> = done.iter().map(|(_, status)| *status).collect();
            assert_eq!(got, want, "{changes:?}: {entries:?}");
            assert_eq!(directory(&gateway, &whole).await, directory(&gateway, &single).await, "{changes:?}");
        }
    }
}

#[tokio::test]
async fn a_path_inside_a_bulk_was_taken_in_any_form_by_a_strict_instance() {
    let gateway = Gateway::start().await;
    for (policy, want) in [
        (json!({}), ["201", "201"]),
        (json!({"quirks_off": ["route_case"]}), ["404", "201"]),
        (json!({"quirks_off": ["extra_slashes"]}), ["201", "404"]),
        (json!({"strict": true}), ["404", "404"]),
    ] {
        let to = gateway.instance("paused", policy.clone()).await;
        let (mut case, mut slash) = (user("a", "ada@example.com"), user("b", "bob@example.com"));
        case["path"] = json!("/users");
        slash["path"] = json!("/Users/");
        let plain = user("c", "cyd@example.com");
        let entries = bulk(&gateway, &to, &json!([case, slash, plain])).await;
        assert_eq!(statuses(&entries), [want[0], want[1], "201"], "{policy}");
    }
}
