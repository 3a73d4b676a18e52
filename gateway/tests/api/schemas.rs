//! Schemas as data: what an instance declares is announced, and enforced like the core schemas. The numbers are those
//! of the items of RFC 7643 and RFC 7644 in `docs/scim-conformance.md`.

use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, Instance, PATCH, SEARCH, USER};

pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const HR: &str = "urn:example:params:scim:schemas:extension:hr:2.0:User";
const DEVICE: &str = "urn:example:params:scim:schemas:device:2.0:Device";
const LEASE: &str = "urn:example:params:scim:schemas:extension:lease:2.0:Device";

/// The example of the page on schemas, as it stands there.
fn example() -> Value {
    let page = include_str!("../../../docs/schemas.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    serde_json::from_str(rest.split_once("```").unwrap().0).unwrap()
}

async fn declare(gateway: &Gateway, to: &Instance, schema: Value, status: u16) -> Value {
    gateway
        .admin("PATCH", &format!("/instances/{}", to.id), Some(json!({"schema": schema})))
        .await
        .expect(status)
        .json()
}

/// An instance with the example's schemas, on each database.
pub(crate) async fn declared() -> Vec<(Gateway, Instance)> {
    let mut all = Vec::new();
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        declare(&gateway, &to, example()["schema"].clone(), 200).await;
        all.push((gateway, to));
    }
    all
}

pub(crate) fn patch(operations: Value) -> Value {
    json!({"schemas": [PATCH], "Operations": operations})
}

/// A User with more attributes.
pub(crate) fn user(name: &str, more: Value) -> Value {
    let mut body = json!({"schemas": [USER], "userName": name});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn device(serial: &str, more: Value) -> Value {
    let mut body = json!({"schemas": [DEVICE, LEASE], "serial": serial, LEASE: {"until": "2027-01-01T00:00:00Z"}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

pub(crate) async fn post(gateway: &Gateway, to: &Instance, endpoint: &str, body: Value) -> Value {
    gateway.scim(to, "POST", endpoint, Some(body)).await.expect(201).json()
}

pub(crate) fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}

#[tokio::test]
async fn the_pages_example_is_taken_shown_and_announced() {
    for (gateway, to) in declared().await {
        let shown = gateway.admin("GET", &format!("/instances/{}", to.id), None).await.expect(200).json();
        assert_eq!((&shown["schema"], &shown["config_rev"]), (&example()["schema"], &json!(2)));
        let types = gateway.scim(&to, "GET", "/ResourceTypes", None).await.expect(200).json();
        assert_eq!(types["totalResults"], 3);
        let kind = gateway.scim(&to, "GET", "/ResourceTypes/Device", None).await.expect(200).json();
        assert_eq!(
            (&kind["endpoint"], &kind["schema"], &kind["schemaExtensions"]),
            (&json!("/Devices"), &json!(DEVICE), &json!([{"schema": LEASE, "required": true}]))
        );
        let schemas = gateway.scim(&to, "GET", "/Schemas", None).await.expect(200).json();
        assert_eq!(schemas["totalResults"], 7);
        for schema in schemas["Resources"].as_array().unwrap() {
            // 185: messages are no schemas. 40: every attribute has all of its characteristics.
            assert!(!id(schema).contains(":api:messages:"));
            for attribute in schema["attributes"].as_array().unwrap() {
                for word in [
                    "name",
                    "type",
                    "multiValued",
                    "description",
                    "required",
                    "caseExact",
                    "mutability",
                    "returned",
                    "uniqueness",
                ] {
                    assert!(attribute.get(word).is_some(), "{word} {attribute}");
                }
                assert!(attribute.get("restrictCanonicalValues").is_none() && attribute.get("syntax").is_none());
            }
        }
        let hr = gateway.scim(&to, "GET", &format!("/Schemas/{}", HR.to_uppercase()), None).await.expect(200).json();
        assert_eq!(
            hr["attributes"][1],
            json!({"name": "notes", "type": "string", "multiValued": false, "description": "", "required": false, "caseExact": false, // 3
                "mutability": "readWrite", "returned": "request", "uniqueness": "none"})
        );
        // A list that is not named stays, null takes one away, and null all.
        let left = declare(&gateway, &to, json!({"extensions": null, "resource_types": []}), 200).await;
        assert_eq!(left["schema"].as_object().unwrap().len(), 2);
        assert_eq!(left["schema"]["attributes"], example()["schema"]["attributes"]);
        assert_eq!(declare(&gateway, &to, Value::Null, 200).await["schema"], json!({}));
        assert_eq!(gateway.scim(&to, "GET", "/Schemas", None).await.expect(200).json()["totalResults"], 3);
        let mut body = json!({"name": "Two", "connector": "github", "mode": "paused", "settings": {"org": "acme", "identity": "handle"}, "secrets": {"token": "ghp_x"}});
        body["schema"] = example()["schema"].clone();
        let made = gateway.admin("POST", "/instances", Some(body)).await.expect(201).json();
        assert_eq!(made["schema"], example()["schema"]);
    }
}

#[tokio::test]
async fn what_cannot_be_declared_is_refused_by_its_place() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let one = |more: Value| {
        let mut attribute = json!({"resource_type": "User", "name": "x"});
        attribute.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"attributes": [attribute]})
    };
    let kind = |more: Value| {
        let mut kind = json!({"name": "Device", "endpoint": "/Devices", "schema": {"id": DEVICE, "attributes": [{"name": "serial"}]}});
        kind.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"resource_types": [kind]})
    };
    let many: Vec<Value> = (0..501).map(|n| json!({"resource_type": "User", "name": format!("a{n}")})).collect();
    for (schema, field) in [
        (json!("x"), "schema"),
        (json!({"attribute": []}), "schema.attribute"),
        (json!({"attributes": {}}), "schema.attributes"),
        (json!({"attributes": ["x"]}), "schema.attributes[0]"),
        (json!({"attributes": [{"name": "x"}]}), "schema.attributes[0].resource_type"),
        (json!({"attributes": many}), "schema.attributes"),
        (one(json!({"resource_type": "Robot"})), "schema.attributes[0].resource_type"),
        (one(json!({"name": "1x"})), "schema.attributes[0].name"), // 2
        (one(json!({"name": "a b"})), "schema.attributes[0].name"),
        (one(json!({"name": "$ref"})), "schema.attributes[0].name"),
        (one(json!({"name": "USERNAME"})), "schema.attributes[0].name"), // 1
        (one(json!({"name": "ExternalId"})), "schema.attributes[0].name"),
        (one(json!({"name": "department"})), "schema.attributes[0].name"),
        (one(json!({"schema": "enterprise", "name": "Division"})), "schema.attributes[0].name"),
        (one(json!({"schema": "enterprise", "resource_type": "Group"})), "schema.attributes[0].schema"),
        (one(json!({"schema": "nonsense"})), "schema.attributes[0].schema"),
        (one(json!({"schema": GROUP})), "schema.attributes[0].schema"),
        (one(json!({"schema": "urn:ietf:params:scim:api:messages:2.0:X"})), "schema.attributes[0].schema"),
        (one(json!({"schema": "urn:scimgate:x"})), "schema.attributes[0].schema"),
        (one(json!({"type": "text"})), "schema.attributes[0].type"),
        (one(json!({"multiValued": "yes"})), "schema.attributes[0].multiValued"),
        (one(json!({"caseexact": true})), "schema.attributes[0].caseexact"),
        (one(json!({"type": "complex"})), "schema.attributes[0]"),
        (one(json!({"subAttributes": [{"name": "a"}]})), "schema.attributes[0]"),
        (
            one(json!({"type": "complex", "subAttributes": [{"name": "a", "type": "complex", "subAttributes": []}]})), // 10
            "schema.attributes[0].subAttributes[0].subAttributes",
        ),
        (
            one(json!({"type": "complex", "subAttributes": [{"name": "a", "returned": "maybe"}]})),
            "schema.attributes[0].subAttributes[0].returned",
        ),
        (one(json!({"type": "complex", "subAttributes": [{"name": "a"}, {"name": "A"}]})), "schema.attributes[0]"),
        (one(json!({"type": "boolean", "uniqueness": "server"})), "schema.attributes[0]"),
        (one(json!({"returned": "never", "required": true})), "schema.attributes[0]"),
        (one(json!({"mutability": "writeOnly", "uniqueness": "server"})), "schema.attributes[0]"),
        (one(json!({"restrictCanonicalValues": true})), "schema.attributes[0]"),
        (one(json!({"referenceTypes": ["User"]})), "schema.attributes[0]"),
        (one(json!({"description": "x".repeat(1001)})), "schema.attributes[0].description"),
        (kind(json!({"name": "user"})), "schema.resource_types[0].name"),
        (kind(json!({"name": "Schema"})), "schema.resource_types[0].name"),
        (kind(json!({"endpoint": "Users"})), "schema.resource_types[0].endpoint"),
        (kind(json!({"endpoint": "me"})), "schema.resource_types[0].endpoint"),
        (kind(json!({"endpoint": "a/b"})), "schema.resource_types[0].endpoint"),
        (kind(json!({"schema": {"id": USER, "attributes": [{"name": "a"}]}})), "schema.resource_types[0].schema.id"),
        (kind(json!({"schema": {"id": DEVICE, "attributes": []}})), "schema.resource_types[0].schema.attributes"),
        (
            kind(json!({"schema": {"id": DEVICE, "attributes": [{"name": "meta"}]}})),
            "schema.resource_types[0].schema.attributes",
        ),
        (
            kind(json!({"extensions": [{"schema": {"id": DEVICE, "attributes": [{"name": "a"}]}}]})),
            "schema.resource_types[0].extensions",
        ),
        (kind(json!({"extra": 1})), "schema.resource_types[0].extra"),
        (
            json!({"extensions": [{"resource_type": "User", "schema": {"id": ENTERPRISE, "attributes": [{"name": "a"}]}}]}),
            "schema.extensions[0].schema.id",
        ),
        // A URN that could also be read as an attribute.
        (
            json!({"extensions": [{"resource_type": "User", "schema": {"id": "urn:x:y", "attributes": [{"name": "z"}]}},
                {"resource_type": "User", "schema": {"id": "urn:x:y:z", "attributes": [{"name": "a"}]}}]}),
            "schema",
        ),
    ] {
        let shown = schema.to_string();
        let refused = declare(&gateway, &to, schema.clone(), 400).await;
        assert_eq!(refused["field"], field, "{shown:.200}: {refused}");
        let body = json!({"name": "B", "connector": "buildkite", "settings": {"org": "b"}, "secrets": {"token": "t"}, "mode": "paused", "schema": schema});
        assert_eq!(gateway.admin("POST", "/instances", Some(body)).await.expect(400).json()["field"], field);
    }
    let shown = gateway.admin("GET", &format!("/instances/{}", to.id), None).await.expect(200).json();
    assert_eq!((&shown["schema"], &shown["config_rev"]), (&json!({}), &json!(1)));
}

#[tokio::test]
async fn a_declared_resource_type_works_fully() {
    for (gateway, to) in declared().await {
        let owner = gateway.user(&to, "ada@example.com").await;
        let made = gateway
            .scim(
                &to,
                "POST",
                "/devices/",
                Some(device("A-1", json!({"owner": {"value": owner}, "id": "x", "meta": {}}))),
            )
            .await
            .expect(201);
        let one = made.json();
        let place = format!("http://127.0.0.1:8080{}", to.base);
        assert_eq!(made.header("location"), format!("{place}/Devices/{}", id(&one)));
        assert_eq!((&one["meta"]["resourceType"], &one["schemas"]), (&json!("Device"), &json!([DEVICE, LEASE])));
        assert_eq!(
            one["owner"],
            json!({"value": owner, "$ref": format!("{place}/Users/{owner}"), "displayName": "ada@example.com"})
        );
        let path = format!("/Devices/{}", id(&one));
        let read = gateway.scim(&to, "GET", &path, None).await.expect(200);
        assert_eq!((read.json(), read.header("etag")), (one.clone(), made.header("etag")));
        // 9: what a $ref says can be read.
        let address = one["owner"]["$ref"].as_str().unwrap().strip_prefix("http://127.0.0.1:8080").unwrap();
        assert_eq!(id(&gateway.call("GET", address, &to.key, None).await.expect(200).json()), owner);

        for (body, status, kind) in [
            (json!({"schemas": [DEVICE], "serial": "B"}), 400, "invalidValue"), // 24
            (json!({"schemas": [DEVICE, LEASE], "serial": "B", LEASE: {}}), 400, "invalidValue"),
            (device("", json!({})), 400, "invalidValue"),
            (json!({"schemas": [DEVICE, LEASE], LEASE: {"until": "2027-01-01T00:00:00Z"}}), 400, "invalidValue"),
            (device("a-1", json!({})), 409, "uniqueness"), // 47, 48
            (json!({"schemas": [USER], "serial": "B"}), 400, "invalidValue"),
        ] {
            let refused = gateway.scim(&to, "POST", "/Devices", Some(body.clone())).await.expect(status).json();
            assert_eq!(refused["scimType"], kind, "{body}: {refused}");
        }
        for n in 2..6 {
            post(
                &gateway,
                &to,
                "/Devices",
                device(&format!("A-{n}"), json!({"model": "M", "externalId": format!("e{n}")})),
            )
            .await;
        }
        for (query, total) in [
            ("/Devices", 5),
            ("/Devices?filter=serial%20eq%20%22a-3%22", 1),
            ("/Devices?filter=serial%20sw%20%22A%22%20and%20model%20pr&sortBy=serial&sortOrder=descending", 4),
            ("/Devices?filter=externalId%20eq%20%22e2%22", 1),
            (&format!("/Devices?filter=owner.value%20eq%20%22{owner}%22"), 1),
            (&format!("/Devices?filter={LEASE}:until%20gt%20%222026-06-01T00:00:00Z%22"), 5),
            ("/Devices?filter=userName%20eq%20%22x%22", 0),
            ("?filter=serial%20pr", 5),
            ("?filter=meta.resourceType%20eq%20%22Device%22", 5),
            ("?count=2&startIndex=2", 6),
        ] {
            let list = gateway.scim(&to, "GET", query, None).await.expect(200).json();
            assert_eq!(list["totalResults"], total, "{query}: {list}");
        }
        let sorted = gateway
            .scim(&to, "GET", "/Devices?sortBy=serial&sortOrder=descending&count=1", None)
            .await
            .expect(200)
            .json();
        assert_eq!(sorted["Resources"][0]["serial"], "A-5");
        let search = json!({"schemas": [SEARCH], "filter": "serial eq \"A-2\"", "attributes": ["model"]});
        let found = gateway.scim(&to, "POST", "/Devices/.search", Some(search.clone())).await.expect(200).json();
        let second = found["Resources"][0].clone();
        assert_eq!(second, json!({"schemas": [DEVICE, LEASE], "id": second["id"], "model": "M"}));
        assert_eq!(
            gateway.scim(&to, "POST", "/.search", Some(search)).await.expect(200).json()["Resources"],
            json!([second])
        );

        // PUT and PATCH, with uniqueness in both, and a version that moves only where something does.
        let second = format!("/Devices/{}", id(&second));
        gateway.scim(&to, "PUT", &second, Some(device("A-1", json!({})))).await.expect(409);
        let steal = patch(json!([{"op": "replace", "path": "serial", "value": "a-1"}]));
        assert_eq!(
            gateway.scim(&to, "PATCH", &second, Some(steal.clone())).await.expect(409).json()["scimType"],
            "uniqueness"
        );
        let put = gateway.scim(&to, "PUT", &second, Some(device("A-9", json!({})))).await.expect(200);
        assert_eq!((&put.json()["serial"], put.json().get("model")), (&json!("A-9"), None));
        let again = gateway.scim(&to, "PUT", &second, Some(device("A-9", json!({})))).await.expect(200);
        assert_eq!(again.header("etag"), put.header("etag"));
        gateway.scim(&to, "POST", "/Devices", Some(device("a-2", json!({})))).await.expect(201);
        let drop = patch(json!([{"op": "remove", "path": LEASE}]));
        gateway.scim(&to, "PATCH", &second, Some(drop)).await.expect(400);
        gateway.scim(&to, "DELETE", &path, None).await.expect(204);
        for method in ["GET", "DELETE"] {
            gateway.scim(&to, method, &path, None).await.expect(404);
        }
        // 79: what is deleted holds no value.
        gateway.scim(&to, "PATCH", &second, Some(steal)).await.expect(200);
        assert_eq!(gateway.scim(&to, "GET", "/Devices?count=0", None).await.expect(200).json()["totalResults"], 5);

        // The directory is all there is: recorded, applied at once, nothing to do.
        let at = format!("/instances/{}", to.id);
        let work = gateway.admin("GET", &format!("{at}/work"), None).await.expect(200).json();
        assert_eq!(work["items"].as_array().unwrap().len(), 1, "{work}");
        let operations =
            gateway.admin("GET", &format!("{at}/operations?resource={}", id(&one)), None).await.expect(200).json();
        for operation in operations["items"].as_array().unwrap() {
            assert_eq!(operation["state"], "applied", "{operation}");
        }
        let why = gateway
            .admin("GET", &format!("{at}/why?resource={}", second.trim_start_matches("/Devices/")), None)
            .await
            .expect(200)
            .json();
        assert_eq!((&why["resource"]["kind"], &why["resource"]["name"]), (&json!("Device"), &json!("a-1")), "{why}");
    }
}

/// A type without any required text: known by its id.
#[tokio::test]
async fn a_resource_type_needs_no_name() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let schema = json!({"resource_types": [{"name": "Note", "endpoint": "Notes", "schema": {"id": "urn:x:notes", "attributes": [
            {"name": "stars", "type": "integer"}, {"name": "active", "type": "boolean"}, {"name": "emails", "multiValued": true}]}}]});
        declare(&gateway, &to, schema, 200).await;
        let body = |stars: Value| json!({"schemas": ["urn:x:notes"], "stars": stars, "emails": ["a", "A", "b"]});
        let one = post(&gateway, &to, "/Notes", body(json!(5))).await;
        let two = post(&gateway, &to, "/Notes", body(json!(5))).await;
        assert_ne!(id(&one), id(&two));
        // 12: one value is in a list once. Nothing is made up that was not sent.
        assert_eq!((&one["emails"], one.get("active")), (&json!(["a", "b"]), None));
        gateway.scim(&to, "POST", "/Notes", Some(body(json!(5.0)))).await.expect(400); // 5
        let off = patch(json!([{"op": "add", "path": "active", "value": false}]));
        gateway.scim(&to, "PATCH", &format!("/Notes/{}", id(&one)), Some(off)).await.expect(200);
        let found = gateway
            .scim(&to, "GET", "/Notes?filter=stars%20ge%205%20and%20active%20eq%20false", None)
            .await
            .expect(200);
        assert_eq!(found.json()["totalResults"], 1);
        assert_eq!(
            gateway.scim(&to, "GET", "/Notes?filter=emails%20eq%20%22B%22", None).await.expect(200).json()["totalResults"],
            2
        );
    }
}

#[tokio::test]
async fn characteristics_hold_for_declared_attributes() {
    let schema = json!({"attributes": [
        {"resource_type": "User", "name": "badge", "uniqueness": "server", "caseExact": true},
        {"resource_type": "User", "name": "tags", "multiValued": true, "uniqueness": "global"},
        {"resource_type": "User", "name": "level", "type": "integer"},
        {"resource_type": "User", "name": "rate", "type": "decimal"},
        {"resource_type": "User", "name": "since", "type": "dateTime"},
        {"resource_type": "User", "name": "seal", "type": "binary"},
        {"resource_type": "User", "name": "page", "type": "reference", "referenceTypes": ["external"]},
        {"resource_type": "User", "name": "colour", "canonicalValues": ["red", "blue"], "restrictCanonicalValues": true},
        {"resource_type": "User", "name": "size", "canonicalValues": ["S", "L"]},
        {"resource_type": "User", "name": "origin", "mutability": "immutable"},
        {"resource_type": "User", "name": "score", "mutability": "readOnly"},
        {"resource_type": "User", "name": "pin", "mutability": "writeOnly"},
        {"resource_type": "User", "name": "hidden", "returned": "never"},
        {"resource_type": "User", "name": "remark", "returned": "request"},
        {"resource_type": "User", "name": "rank", "returned": "always"},
        {"resource_type": "User", "name": "keys", "type": "complex", "multiValued": true, "subAttributes": [
            {"name": "value"}, {"name": "type"}, {"name": "code", "mutability": "immutable"}, {"name": "secret", "returned": "never"},
            {"name": "serial", "uniqueness": "server"}]},
        {"resource_type": "User", "name": "desk", "type": "complex", "subAttributes": [{"name": "floor", "mutability": "immutable"}, {"name": "seat"}]}
    ]});
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        declare(&gateway, &to, schema.clone(), 200).await;
        let (gateway, to) = (&gateway, &to);
        // POST, PUT and PATCH take and refuse the same.
        for (n, (item, more, status, kind)) in [
            (5, json!({"level": 1.5}), 400, "invalidValue"),
            (5, json!({"level": 1.0}), 400, "invalidValue"),
            (5, json!({"level": "x"}), 400, "invalidValue"),
            (5, json!({"level": 7, "rate": 1.5}), 200, ""),
            (5, json!({"rate": "x"}), 400, "invalidValue"),
            (6, json!({"since": "2026-01-01"}), 400, "invalidValue"),
            (6, json!({"since": "2026-01-01T00:00:00+02:00"}), 200, ""),
            (7, json!({"seal": "*"}), 400, "invalidValue"),
            (7, json!({"seal": "aGVsbG8="}), 200, ""),
            (8, json!({"page": "no uri"}), 400, "invalidValue"),
            (8, json!({"page": "pages/ada"}), 200, ""),
            (8, json!({"profileUrl": "not\ta uri"}), 400, "invalidValue"),
            (49, json!({"colour": "green"}), 400, "invalidValue"),
            (49, json!({"colour": "RED", "size": "XL"}), 200, ""),
            (47, json!({"badge": "B1"}), 409, "uniqueness"),
            (48, json!({"badge": "b1"}), 200, ""),
            (47, json!({"tags": ["new", "Taken"]}), 409, "uniqueness"),
            (47, json!({"keys": [{"value": "k", "serial": "S-1"}]}), 409, "uniqueness"),
            (47, json!({"badge": "", "tags": []}), 200, ""),
            (183, json!({"x509Certificates": [{"value": "MAAwAA=="}]}), 400, "invalidValue"),
            (183, json!({"x509Certificates": [{"value": "MAA="}], "addresses": [{"country": "Gibraltar"}]}), 200, ""),
        ]
        .into_iter()
        .enumerate()
        {
            let holder = format!("holder{n}@example.com");
            let first = json!({"badge": "B1", "tags": ["taken"], "keys": [{"value": "k", "serial": "s-1"}]});
            let held = post(gateway, to, "/Users", user(&holder, first)).await;
            let name = format!("u{n}@example.com");
            let check = async |method: &str, path: &str, body: Value, good: u16| {
                let want = if status == 200 { good } else { status };
                let reply = gateway.scim(to, method, path, Some(body.clone())).await;
                let text = String::from_utf8_lossy(&reply.bytes).into_owned();
                assert_eq!(reply.status.as_u16(), want, "{item} {method} {body}: {text}");
                if status != 200 {
                    assert_eq!(reply.json()["scimType"], kind, "{item} {method} {body}");
                }
            };
            check("POST", "/Users", user(&name, more.clone()), 201).await;
            let other = gateway.user(to, &format!("v{n}@example.com")).await;
            if status == 200 {
                // What is unique is one person's: the one who has it by now gives it back.
                let list =
                    gateway.scim(to, "GET", &format!("/Users?filter=userName%20eq%20%22{name}%22"), None).await.json();
                gateway.scim(to, "DELETE", &format!("/Users/{}", id(&list["Resources"][0])), None).await.expect(204);
            }
            let path = format!("/Users/{other}");
            check("PUT", &path, user(&format!("v{n}@example.com"), more.clone()), 200).await;
            gateway.scim(to, "PUT", &path, Some(user(&format!("v{n}@example.com"), json!({})))).await.expect(200);
            let operations: Vec<Value> = more
                .as_object()
                .unwrap()
                .iter()
                .map(|(path, value)| json!({"op": "replace", "path": path, "value": value}))
                .collect();
            check("PATCH", &path, patch(operations.into()), 200).await;
            gateway.scim(to, "DELETE", &path, None).await.expect(204);
            gateway.scim(to, "DELETE", &format!("/Users/{}", id(&held)), None).await.expect(204);
        }

        let body = json!({"origin": "X", "score": "1", "pin": "canary-pin", "hidden": "canary-hidden", "remark": "r", "rank": "1",
            "keys": [{"value": "k", "type": "a", "code": "c", "secret": "canary-sub"}], "desk": {"floor": "2", "seat": "a"}});
        let made = post(gateway, to, "/Users", user("one@example.com", body)).await;
        assert!(!made.to_string().contains("canary"), "26, 43, 45: {made}");
        assert_eq!((made.get("score"), &made["remark"]), (None, &json!("r")), "41, 46");
        let path = format!("/Users/{}", id(&made));
        let get = async |query: &str| gateway.scim(to, "GET", &format!("{path}{query}"), None).await.expect(200).json();
        assert_eq!(get("").await.get("remark"), None, "46");
        assert_eq!(get("?attributes=remark").await["remark"], "r", "46");
        assert_eq!(get("?attributes=title").await["rank"], "1", "44");
        assert_eq!(get("?excludedAttributes=rank").await["rank"], "1", "44");
        assert!(!get("?attributes=pin,hidden,keys.secret,password").await.to_string().contains("canary"), "45");
        for filter in ["pin eq \"canary-pin\"", "hidden pr", "password eq \"x\""] {
            let filter = filter.replace(' ', "%20").replace('"', "%22");
            gateway.scim(to, "GET", &format!("/Users?filter={filter}"), None).await.expect(400); // 27
        }
        let probe = gateway.scim(to, "GET", "/Users?filter=keys%5Bsecret%20sw%20%22canary%22%5D", None).await;
        assert!(probe.status.as_u16() == 400 || probe.json()["totalResults"] == 0, "27, 99");

        let step = async |operation: Value| gateway.scim(to, "PATCH", &path, Some(patch(json!([operation])))).await;
        for (item, operation, status, kind) in [
            (41, json!({"op": "replace", "path": "score", "value": "9"}), 400, "mutability"),
            (42, json!({"op": "replace", "path": "origin", "value": "Y"}), 400, "mutability"),
            (42, json!({"op": "remove", "path": "origin"}), 400, "mutability"),
            (42, json!({"op": "replace", "path": "origin", "value": "x"}), 200, ""),
            (42, json!({"op": "replace", "path": "desk.floor", "value": "3"}), 400, "mutability"),
            (42, json!({"op": "replace", "path": "desk", "value": {"seat": "b"}}), 200, ""),
            (33, json!({"op": "replace", "path": "keys[type eq \"a\"].code", "value": "d"}), 400, "mutability"),
            (33, json!({"op": "remove", "path": "keys[type eq \"a\"].code"}), 400, "mutability"),
            (33, json!({"op": "replace", "path": "keys.code", "value": "d"}), 400, "mutability"),
            (33, json!({"op": "add", "path": "keys[type eq \"a\"]", "value": {"code": "d"}}), 400, "mutability"),
            (33, json!({"op": "replace", "path": "keys", "value": [{"value": "k2", "code": "d"}]}), 200, ""),
            (30, json!({"op": "replace", "path": "groups", "value": []}), 400, "mutability"),
        ] {
            let reply = step(operation.clone()).await;
            assert_eq!(reply.status.as_u16(), status, "{item} {operation}: {}", String::from_utf8_lossy(&reply.bytes));
            assert_eq!(reply.json()["scimType"].as_str().unwrap_or_default(), kind, "{item} {operation}");
        }
        let wrote = step(json!({"op": "replace", "value": {"remark": "s", "title": "t"}})).await.expect(200).json();
        assert_eq!((&wrote["remark"], &wrote["origin"]), (&json!("s"), &json!("X")), "46, 42");
        assert_eq!(
            step(json!({"op": "replace", "path": "title", "value": "u"})).await.expect(200).json().get("remark"),
            None,
            "46"
        );
        for (item, more, status) in [
            (75, json!({"origin": "Y"}), 400),
            (75, json!({"desk": {"floor": "3"}}), 400),
            (75, json!({"origin": "x", "desk": {"seat": "c"}, "score": "9", "groups": [{"value": "g"}]}), 200),
        ] {
            let reply = gateway.scim(to, "PUT", &path, Some(user("one@example.com", more))).await;
            assert_eq!(reply.status.as_u16(), status, "{item}: {}", String::from_utf8_lossy(&reply.bytes));
        }
        let kept = get("").await;
        assert_eq!((&kept["desk"], &kept["origin"]), (&json!({"seat": "c", "floor": "2"}), &json!("X")), "75");
        for method in ["title", "keys"] {
            let cleared = step(json!({"op": "replace", "path": method, "value": null})).await.expect(200).json();
            assert_eq!(cleared.get(method), None, "13, 14");
        }
    }
}

#[tokio::test]
async fn of_equal_unique_values_at_once_one_is_taken() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let schema = json!({"attributes": [{"resource_type": "User", "name": "badge", "uniqueness": "server"}]});
        declare(&gateway, &to, schema, 200).await;
        let (gateway, to) = (&gateway, &to);
        let posts = (0..10).map(|n| async move {
            let body = user(&format!("u{n}@example.com"), json!({"badge": "B".repeat(5_000)}));
            gateway.scim(to, "POST", "/Users", Some(body)).await.status.as_u16()
        });
        let mut statuses = futures_util::future::join_all(posts).await;
        statuses.sort_unstable();
        let mut want = vec![409; 10];
        want[0] = 201;
        assert_eq!(statuses, want, "47");
        // A refused one is not half there.
        assert_eq!(gateway.scim(to, "GET", "/Users?count=0", None).await.expect(200).json()["totalResults"], 1);
    }
}

#[tokio::test]
async fn values_outlive_their_declaration_and_a_new_one_has_to_fit_them() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let (gateway, to) = (&gateway, &to);
        let one = |more: Value| {
            let mut attribute = json!({"resource_type": "User", "name": "floor", "type": "integer"});
            attribute.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"attributes": [attribute, {"resource_type": "User", "schema": HR, "name": "grade"}]})
        };
        declare(gateway, to, one(json!({})), 200).await;
        let more = json!({"schemas": [USER, HR], "floor": 3, HR: {"grade": "A"}});
        let ada = post(gateway, to, "/Users", user("ada@example.com", more.clone())).await;
        let path = format!("/Users/{}", id(&ada));
        let get = async |query: &str| gateway.scim(to, "GET", &format!("{path}{query}"), None).await.expect(200).json();

        declare(gateway, to, Value::Null, 200).await;
        for query in
            ["", "?attributes=floor,userName", &format!("?attributes={HR}:grade"), &format!("?attributes={HR}")]
        {
            let seen = get(query).await;
            assert_eq!(
                (seen.get("floor"), seen.get(HR), &seen["schemas"]),
                (None, None, &json!([USER])),
                "{query} {seen}"
            );
        }
        assert_eq!(
            gateway.scim(to, "GET", "/Users?filter=floor%20eq%203", None).await.expect(200).json()["totalResults"],
            0
        );
        // Neither verb takes away what the client cannot see.
        gateway
            .scim(to, "PUT", &path, Some(user("ada@example.com", json!({"title": "Dr", "floor": 9}))))
            .await
            .expect(200);
        let change = patch(json!([{"op": "add", "path": "nickName", "value": "A"}, {"op": "remove", "path": HR}]));
        gateway.scim(to, "PATCH", &path, Some(change)).await.expect(200);

        for more in [json!({"type": "string"}), json!({"multiValued": true}), json!({"name": "Floor"})] {
            let refused = declare(gateway, to, one(more.clone()), 409).await;
            assert!(refused["detail"].as_str().unwrap().contains(id(&ada)), "{more}: {refused}");
        }
        declare(gateway, to, one(json!({"type": "decimal", "required": true})), 200).await;
        let back = get("").await;
        assert_eq!(
            (&back["floor"], &back[HR]["grade"], &back["schemas"]),
            (&json!(3), &json!("A"), &json!([USER, HR]))
        );

        // Required since, and lacking: switched off all the same; but not taken away.
        gateway.scim(to, "POST", "/Users", Some(user("eve@example.com", json!({})))).await.expect(400);
        declare(gateway, to, one(json!({"required": false})), 200).await;
        let eve = gateway.user(to, "eve@example.com").await;
        declare(gateway, to, one(json!({"required": true})), 200).await;
        let off = patch(json!([{"op": "replace", "path": "active", "value": false}]));
        gateway.scim(to, "PATCH", &format!("/Users/{eve}"), Some(off)).await.expect(200);
        gateway.scim(to, "PATCH", &path, Some(patch(json!([{"op": "remove", "path": "floor"}])))).await.expect(400);

        // Unique from now on, if nobody shares it; then for what was there before, too.
        declare(gateway, to, one(json!({})), 200).await;
        let fay = post(gateway, to, "/Users", user("fay@example.com", json!({"floor": 3}))).await;
        let refused = declare(gateway, to, one(json!({"uniqueness": "server"})), 409).await;
        assert!([&ada, &fay].iter().all(|who| refused["detail"].as_str().unwrap().contains(id(who))), "{refused}");
        gateway.scim(to, "DELETE", &format!("/Users/{}", id(&fay)), None).await.expect(204);
        declare(gateway, to, one(json!({"uniqueness": "server"})), 200).await;
        let twin = user("gus@example.com", json!({"floor": 3}));
        gateway.scim(to, "POST", "/Users", Some(twin.clone())).await.expect(409);
        declare(gateway, to, one(json!({})), 200).await;
        gateway.scim(to, "POST", "/Users", Some(twin)).await.expect(201);

        // The resources of a type outlive it, too.
        let notes = json!({"resource_types": [{"name": "Note", "endpoint": "Notes", "schema": {"id": "urn:x:notes", "attributes": [{"name": "text", "uniqueness": "server"}]}}]});
        declare(gateway, to, notes.clone(), 200).await;
        let note = json!({"schemas": ["urn:x:notes"], "text": "t"});
        let kept = post(gateway, to, "/Notes", note.clone()).await;
        declare(gateway, to, json!({"resource_types": null}), 200).await;
        gateway.scim(to, "GET", "/Notes", None).await.expect(404);
        let mut other = notes.clone();
        other["resource_types"][0]["schema"]["attributes"][0]["type"] = json!("integer");
        declare(gateway, to, other, 409).await;
        declare(gateway, to, notes, 200).await;
        assert_eq!(gateway.scim(to, "GET", &format!("/Notes/{}", id(&kept)), None).await.expect(200).json(), kept);
        gateway.scim(to, "POST", "/Notes", Some(note)).await.expect(409);
    }
}

#[tokio::test]
async fn what_is_never_returned_came_along_with_what_was_written_beside_it() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let shape =
        json!([{"name": "note", "returned": "request"}, {"name": "pin", "returned": "never"}, {"name": "label"}]);
    let schema = json!({"attributes": [
        {"resource_type": "User", "name": "badge", "type": "complex", "subAttributes": shape},
        {"resource_type": "User", "name": "cards", "type": "complex", "multiValued": true, "subAttributes": shape},
        {"resource_type": "User", "name": "vault", "type": "complex", "returned": "never", "subAttributes": shape},
    ]});
    declare(&gateway, &to, schema, 200).await;
    let one = json!({"note": "n", "pin": "canary-pin", "label": "l"});
    let more = json!({"badge": one, "cards": [one], "vault": one});
    let made = post(&gateway, &to, "/Users", user("ada@example.com", more.clone())).await;
    let path = format!("/Users/{}", id(&made));
    let replaced = gateway.scim(&to, "PUT", &path, Some(user("ada@example.com", more))).await.expect(200).json();
    let edit = patch(
        json!([{"op": "replace", "path": "badge.note", "value": "m"}, {"op": "add", "value": {"cards": [{"note": "m"}]}}]),
    );
    let patched = gateway.scim(&to, "PATCH", &path, Some(edit)).await.expect(200).json();
    for (shown, note) in [(made, "n"), (replaced, "n"), (patched, "m")] {
        assert!(!shown.to_string().contains("canary-pin"), "{shown}");
        assert_eq!(shown["badge"], json!({"note": note, "label": "l"}));
        assert_eq!(shown["cards"][0], json!({"note": "n", "label": "l"}));
        assert!(shown.get("vault").is_none());
    }
}

#[tokio::test]
async fn a_walk_whose_resource_type_was_taken_away_ended_as_if_it_were_complete() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let kind = |name: &str| json!({"name": name, "endpoint": format!("/{name}s"), "schema": {"id": format!("urn:example:{name}"), "attributes": [{"name": "serial"}]}});
    declare(&gateway, &to, json!({"resource_types": [kind("Desk"), kind("Lamp")]}), 200).await;
    for name in ["Desk", "Desk", "Lamp"] {
        let body = json!({"schemas": [format!("urn:example:{name}")], "serial": "1"});
        post(&gateway, &to, &format!("/{name}s"), body).await;
    }
    let page = gateway.scim(&to, "GET", "/?cursor=&count=1", None).await.expect(200).json();
    let next = format!("/?count=1&cursor={}", page["nextCursor"].as_str().unwrap());
    gateway.scim(&to, "GET", &next, None).await.expect(200);
    declare(&gateway, &to, json!({"resource_types": [kind("Lamp")]}), 200).await;
    let refused = gateway.scim(&to, "GET", &next, None).await.expect(400).json();
    assert_eq!(refused["scimType"], "invalidCursor");
}
