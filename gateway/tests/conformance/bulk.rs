//! Section F: bulk (RFC 7644 section 3.7).

use serde_json::{Value, json};

use crate::support::{ERROR, GROUP, Reply, Stage, USER, at, below, body, id, stage, stages};

const REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

async fn send(s: &Stage, operations: Value, fail_on_errors: Option<u64>) -> Reply {
    let mut message = json!({"schemas": [REQUEST], "Operations": operations});
    if let Some(most) = fail_on_errors {
        message["failOnErrors"] = json!(most);
    }
    s.post("/Bulk", message).await
}

/// The entries of the answer, and their statuses.
async fn run(s: &Stage, operations: Value, fail_on_errors: Option<u64>) -> (Vec<Value>, Vec<String>) {
    let answer = send(s, operations, fail_on_errors).await.expect(200).json();
    assert_eq!(answer["schemas"], json!([RESPONSE]));
    let entries = answer["Operations"].as_array().unwrap().clone();
    let status =
        |entry: &Value| entry["status"].as_str().unwrap_or_else(|| panic!("status is no text: {entry}")).to_owned();
    let statuses = entries.iter().map(status).collect();
    (entries, statuses)
}

fn post(name: &str, bulk_id: &str) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": body(USER, json!({"userName": name}))})
}

#[tokio::test]
async fn c137_c138_every_operation_is_answered_in_order() {
    for s in &stages().await {
        let (ada, bob) = (s.named("ada").await, s.named("bob").await);
        let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "title", "value": "T"}]});
        let (entries, statuses) = run(
            s,
            json!([post("eve", "q1"), {"method": "PUT", "path": at(&ada), "data": body(USER, json!({"userName": "ada2"}))},
                {"method": "patch", "path": at(&ada), "data": patch}, {"method": "DELETE", "path": at(&bob)}]),
            None,
        )
        .await;
        assert_eq!(statuses, ["201", "200", "200", "204"]);
        for (entry, method) in entries.iter().zip(["POST", "PUT", "PATCH", "DELETE"]) {
            assert!(entry["method"].as_str().unwrap().eq_ignore_ascii_case(method), "{entry}");
            assert!(entry["location"].is_string(), "{entry}");
        }
        assert_eq!((&entries[0]["bulkId"], entries[1].get("bulkId")), (&json!("q1"), None));
        let eve = s.get(&below(s, entries[0]["location"].as_str().unwrap())).await.expect(200);
        assert_eq!(eve.json()["userName"], "eve");
        assert_eq!(entries[0]["version"], eve.header("etag"));
        let read = s.get(&at(&ada)).await.expect(200);
        assert_eq!(entries[2]["version"], read.header("etag"));
        assert_eq!((&read.json()["userName"], &read.json()["title"]), (&json!("ada2"), &json!("T")));
        s.get(&at(&bob)).await.expect(404);
    }
}

#[tokio::test]
async fn c139_what_fails_is_told_and_the_others_go_on() {
    for s in &stages().await {
        s.named("taken").await;
        let (entries, statuses) = run(
            s,
            json!([post("a", "1"), post("taken", "2"), {"method": "DELETE", "path": "/Users/nobody"}, post("b", "4")]),
            None,
        )
        .await;
        assert_eq!(statuses, ["201", "409", "404", "201"]);
        let refused = &entries[1];
        assert_eq!((refused.get("location"), &refused["bulkId"]), (None, &json!("2")), "{refused}");
        assert_eq!(refused["response"]["schemas"], json!([ERROR]));
        assert_eq!(
            (&refused["response"]["status"], &refused["response"]["scimType"]),
            (&json!("409"), &json!("uniqueness"))
        );
        assert_eq!(entries[2]["response"]["status"], "404");
        assert!(entries[2]["location"].is_string(), "only a failed POST has no location: {}", entries[2]);
        assert_eq!(s.read("/Users").await["totalResults"], 3);
    }
}

#[tokio::test]
async fn c140_c189_fail_on_errors_stops_and_what_was_done_is_told() {
    for s in &stages().await {
        s.named("taken").await;
        let all = json!([post("a", "1"), post("taken", "2"), post("b", "3"), post("taken", "4"), post("c", "5")]);
        let (_, statuses) = run(s, all.clone(), Some(2)).await;
        assert_eq!(statuses, ["201", "409", "201", "409"]);
        assert_eq!(s.found("/Users", "userName eq \"c\"").await, [] as [&str; 0]);
        let (_, statuses) = run(s, json!([post("taken", "1"), post("d", "2")]), Some(1)).await;
        assert_eq!(statuses, ["409"]);
        let (_, statuses) = run(s, all, None).await;
        assert_eq!(statuses, ["409", "409", "409", "409", "201"]);
    }
}

#[tokio::test]
async fn c141_bulk_ids_are_resolved_in_data_and_path_forward_and_back() {
    for s in &stages().await {
        let group = |name: &str, bulk_id: &str, member: &str| json!({"method": "POST", "path": "/Groups", "bulkId": bulk_id, "data": body(GROUP, json!({"displayName": name, "members": [{"value": member}]}))});
        let patch = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [{"op": "replace", "path": "title", "value": "T"}]});
        let (entries, statuses) = run(s, json!([post("ada", "u1"), group("Back", "g1", "bulkId:u1"), group("Ahead", "g2", "bulkId:u2"), post("bob", "u2"), {"method": "PATCH", "path": "/Users/bulkId:u2", "data": patch}]), None).await;
        assert_eq!(statuses, ["201", "201", "201", "201", "200"]);
        let bulk_ids: Vec<&Value> = entries[..4].iter().map(|entry| &entry["bulkId"]).collect();
        assert_eq!(bulk_ids, ["u1", "g1", "g2", "u2"]);
        for (entry, name) in [(1, "ada"), (2, "bob")] {
            let group = s.read(&below(s, entries[entry]["location"].as_str().unwrap())).await;
            let member = s.read(&at(group["members"][0]["value"].as_str().unwrap())).await;
            assert_eq!(member["userName"], name);
        }
        assert_eq!(s.read(&below(s, entries[3]["location"].as_str().unwrap())).await["title"], "T");
        let (entries, statuses) = run(s, json!([group("Lost", "g3", "bulkId:nowhere"), {"method": "POST", "path": "/Users", "data": body(USER, json!({"userName": "x"}))}]), None).await;
        assert!(matches!(statuses[0].as_str(), "400" | "409"), "{}", entries[0]);
        assert_eq!(statuses[1], "400", "a POST needs a bulkId: {}", entries[1]);
        assert_eq!(s.found("/Groups", "displayName eq \"Lost\"").await, [] as [&str; 0]);
    }
}

#[tokio::test]
async fn c141_bulk_ids_in_a_circle_are_resolved_or_refused_one_by_one() {
    for s in &stages().await {
        let manager = |name: &str, bulk_id: &str, boss: &str| {
            let urn = crate::support::ENTERPRISE;
            json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": body(USER, json!({"userName": name, urn: {"manager": {"value": boss}}}))})
        };
        let (entries, statuses) =
            run(s, json!([manager("a", "1", "bulkId:2"), manager("b", "2", "bulkId:1"), post("c", "3")]), None).await;
        assert_eq!((statuses.len(), statuses[2].as_str()), (3, "201"));
        for (entry, status) in entries[..2].iter().zip(&statuses) {
            match status.as_str() {
                "201" => {
                    let user = s.read(&below(s, entry["location"].as_str().unwrap())).await;
                    let boss = user[crate::support::ENTERPRISE]["manager"]["value"].as_str().unwrap().to_owned();
                    assert!(!boss.starts_with("bulkId"), "{user}");
                    s.get(&at(&boss)).await.expect(200);
                }
                "409" => assert_eq!(entry["response"]["status"], "409"),
                other => panic!("{other}: {entry}"),
            }
        }
    }
}

#[tokio::test]
async fn c142_c152_too_much_is_413() {
    let s = stage().await;
    let config = s.read("/ServiceProviderConfig").await;
    let (most, bytes) =
        (config["bulk"]["maxOperations"].as_u64().unwrap(), config["bulk"]["maxPayloadSize"].as_u64().unwrap());
    assert!(most > 0 && bytes > 0, "{config}");
    let many: Vec<Value> = (0..=most).map(|n| json!({"method": "DELETE", "path": format!("/Users/n{n}")})).collect();
    send(&s, json!(many), None).await.refused_as(413, &["", "tooMany"]);
    let mut large = json!({"schemas": [REQUEST], "Operations": [post("a", "1")]}).to_string().into_bytes();
    large.resize(usize::try_from(bytes).unwrap() + 1, b' ');
    let headers = [("authorization", s.key.as_str()), ("content-type", "application/scim+json")];
    s.raw("POST", &format!("{}/Bulk", s.base), &headers, &large).await.refused_as(413, &["", "tooMany"]);
    assert_eq!(s.read("/Users").await["totalResults"], 0);
}

#[tokio::test]
async fn c143_what_is_wrong_with_one_operation_is_its_own() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        for (operation, want) in [
            (json!({"method": "BREW", "path": "/Users", "bulkId": "w"}), &["400", "405"][..]),
            (json!({"method": "GET", "path": at(&ada)}), &["400", "405"]),
            (json!({"method": "POST", "path": "/Nonsense", "bulkId": "w", "data": {}}), &["400", "404"]),
            (json!({"method": "POST", "path": "/Users", "bulkId": "w"}), &["400"]),
            (json!({"method": "DELETE", "path": "/Users"}), &["400", "404", "405"]),
            (json!({"method": "POST", "path": "/Bulk", "bulkId": "w", "data": {}}), &["400", "404", "405"]),
            (json!({"method": "PUT", "path": format!("{}?x=y", at(&ada)), "data": 7}), &["400", "404"]),
        ] {
            let name = format!("u{}", uuid::Uuid::new_v4().simple());
            let (entries, statuses) = run(s, json!([operation, post(&name, "good")]), None).await;
            assert!(want.contains(&statuses[0].as_str()), "{operation}: {}", entries[0]);
            assert_eq!(entries[0]["response"]["schemas"], json!([ERROR]), "{}", entries[0]);
            assert_eq!(statuses[1], "201", "{operation}");
        }
        for message in [
            json!({}),
            json!({"schemas": [REQUEST]}),
            json!({"schemas": [USER], "Operations": []}),
            json!({"schemas": [REQUEST], "Operations": 5}),
            json!({"schemas": [REQUEST], "Operations": [post("x", "1")], "failOnErrors": "many"}),
        ] {
            s.post("/Bulk", message).await.refused_as(400, &["invalidSyntax", "invalidValue"]);
        }
        // Without a method or a path it is no operation: that may be the whole message's fault or its own.
        for operation in
            [json!({"path": "/Users", "bulkId": "w", "data": {}}), json!({"method": "POST", "bulkId": "w", "data": {}})]
        {
            let reply = send(s, json!([operation]), None).await;
            if reply.status == 200 {
                assert_eq!(reply.json()["Operations"][0]["status"], "400", "{operation}");
            } else {
                reply.refused_as(400, &["invalidSyntax", "invalidValue"]);
            }
        }
        // Two operations of one bulkId: what refers to it could mean either.
        let twice = send(s, json!([post("x", "1"), post("y", "1")]), None).await;
        if twice.status == 200 {
            assert!(
                twice.json()["Operations"].as_array().unwrap().iter().any(|entry| entry["status"] == "400"),
                "{}",
                twice.text()
            );
        } else {
            twice.refused_as(400, &["invalidSyntax", "invalidValue"]);
        }
        assert_eq!(s.send("GET", "/Bulk", &[], None).await.status, 405);
    }
}

#[tokio::test]
async fn c138_c145_a_version_in_an_operation_is_a_condition() {
    for s in &stages().await {
        let ada = s.named("ada").await;
        let version = s.get(&at(&ada)).await.header("etag").to_owned();
        let put = |name: &str| json!({"method": "PUT", "path": at(&ada), "version": version, "data": body(USER, json!({"userName": name}))});
        let (_, statuses) = run(s, json!([put("first"), put("second")]), None).await;
        assert_eq!(statuses, ["200", "412"]);
        assert_eq!(id(&s.read(&at(&ada)).await), ada);
        assert_eq!(s.read(&at(&ada)).await["userName"], "first");
    }
}
