//! What is answered is what `/Schemas` announces, whatever was written.

use serde_json::{Map, Value, json};

use crate::schemas::{declared, id, patch};

/// What is wrong with a document, as the announced schemas have it.
fn faults(types: &Value, schemas: &Value, document: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let schema = |urn: &str| schemas["Resources"].as_array().unwrap().iter().find(|schema| schema["id"] == urn);
    let kind = types["Resources"]
        .as_array()
        .unwrap()
        .iter()
        .find(|kind| kind["name"] == document["meta"]["resourceType"])
        .unwrap();
    let core = schema(kind["schema"].as_str().unwrap()).unwrap();
    let mut own = Map::new();
    let listed = document["schemas"].as_array().unwrap();
    for (key, value) in document.as_object().unwrap() {
        if ["schemas", "id", "externalId", "meta"].contains(&key.as_str()) {
            continue;
        }
        if !key.contains(':') {
            own.insert(key.clone(), value.clone());
            continue;
        }
        let known = kind["schemaExtensions"].as_array().unwrap().iter().any(|extension| extension["schema"] == *key);
        if !known || !listed.contains(&json!(key)) {
            out.push(format!("{key} is not announced or not listed"));
        }
        object(&schema(key).unwrap()["attributes"], value.as_object().unwrap(), key, &mut out);
    }
    object(&core["attributes"], &own, "", &mut out);
    for urn in listed {
        // An extension may hold only what is shown on request.
        let quiet = |urn: &str| {
            schema(urn).unwrap()["attributes"].as_array().unwrap().iter().any(|a| a["returned"] == "request")
        };
        let there =
            urn == &kind["schema"] || document.get(urn.as_str().unwrap()).is_some() || quiet(urn.as_str().unwrap());
        if !there {
            out.push(format!("{urn} is listed and not there"));
        }
    }
    for extension in kind["schemaExtensions"].as_array().unwrap() {
        if extension["required"] == true && document.get(extension["schema"].as_str().unwrap()).is_none() {
            out.push(format!("{extension} is lacking"));
        }
    }
    out
}

fn object(attributes: &Value, map: &Map<String, Value>, place: &str, out: &mut Vec<String>) {
    let attributes = attributes.as_array().unwrap();
    for attribute in attributes {
        if attribute["required"] == true
            && attribute["mutability"] != "readOnly"
            && !map.contains_key(attribute["name"].as_str().unwrap())
        {
            out.push(format!("{place} lacks {}", attribute["name"]));
        }
    }
    for (name, value) in map {
        let Some(attribute) = attributes.iter().find(|attribute| attribute["name"] == *name) else {
            out.push(format!("{place}.{name} is not announced"));
            continue;
        };
        if attribute["returned"] == "never" || attribute["returned"] == "request" {
            out.push(format!("{place}.{name} is not returned by default"));
        }
        let elements: Vec<&Value> = match (value, attribute["multiValued"] == true) {
            (Value::Array(items), true) => items.iter().collect(),
            (Value::Array(_), false) | (_, true) => {
                out.push(format!("{place}.{name} is a list where it should not be, or the other way round"));
                continue;
            }
            (one, false) => vec![one],
        };
        let primaries = elements.iter().filter(|element| element["primary"] == true).count();
        let mut pairs: Vec<String> = elements
            .iter()
            .filter(|e| e.get("value").is_some())
            .map(|e| format!("{}{}", e["type"], e["value"]))
            .collect();
        let count = pairs.len();
        pairs.sort();
        pairs.dedup();
        if primaries > 1 || pairs.len() < count {
            out.push(format!("{place}.{name} holds two primaries or one value twice"));
        }
        for element in elements {
            let fits = match attribute["type"].as_str().unwrap() {
                "boolean" => element.is_boolean(),
                "integer" => element.is_i64() || element.is_u64(),
                "decimal" => element.is_number(),
                "complex" => match element.as_object() {
                    Some(inner) => {
                        object(&attribute["subAttributes"], inner, &format!("{place}.{name}"), out);
                        !inner.is_empty()
                    }
                    None => false,
                },
                _ => element.is_string(),
            };
            if !fits {
                out.push(format!("{place}.{name} is no {}: {element}", attribute["type"]));
            }
        }
    }
}

/// What a client may write into an attribute: what fits, and what does not quite.
fn any_value(attribute: &Value, seed: &mut dyn FnMut(usize) -> usize) -> Value {
    let one = |seed: &mut dyn FnMut(usize) -> usize| -> Value {
        match attribute["type"].as_str().unwrap() {
            "boolean" => [json!(true), json!(false), json!("True"), json!(null)][seed(4)].clone(),
            "integer" => [json!(1), json!(-7), json!(null)][seed(3)].clone(),
            "decimal" => [json!(1.5), json!(2), json!(1e9)][seed(3)].clone(),
            "dateTime" => {
                [json!("2026-01-01T00:00:00Z"), json!("2026-01-01T02:00:00+02:00"), json!("")][seed(3)].clone()
            }
            "binary" => [json!("aGVsbG8="), json!("")][seed(2)].clone(),
            "reference" => [json!("https://example.com/a"), json!("../Users/x"), json!("")][seed(3)].clone(),
            _ => [json!("a"), json!("B"), json!(" \u{e9} "), json!(""), json!(null)][seed(5)].clone(),
        }
    };
    let element = |seed: &mut dyn FnMut(usize) -> usize| -> Value {
        if attribute["type"] != "complex" {
            return one(seed);
        }
        let mut map = Map::new();
        for sub in attribute["subAttributes"].as_array().unwrap() {
            if seed(3) > 0 {
                map.insert(sub["name"].as_str().unwrap().to_owned(), any_value(sub, seed));
            }
        }
        Value::Object(map)
    };
    if attribute["multiValued"] == true {
        let count = seed(4);
        return (0..count).map(|_| element(seed)).collect();
    }
    element(seed)
}

/// Whatever is written, by whichever verb: what is answered is what `/Schemas` announces.
#[tokio::test]
async fn documents_are_what_the_schemas_announce() {
    use proptest::prelude::Rng;
    let (gateway, to) = declared().await.remove(0);
    let types = gateway.scim(&to, "GET", "/ResourceTypes", None).await.expect(200).json();
    let schemas = gateway.scim(&to, "GET", "/Schemas", None).await.expect(200).json();
    let schema =
        |urn: &str| schemas["Resources"].as_array().unwrap().iter().find(|schema| schema["id"] == urn).unwrap();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let rng = runner.rng();
    let mut seed = |n: usize| usize::try_from(rng.next_u32()).unwrap() % n;
    let (mut written, mut refused) = (0, 0);
    for round in 0..300 {
        let kind = &types["Resources"][seed(3)];
        let mut body = json!({"schemas": [kind["schema"]]});
        let fill = |body: &mut Value, urn: &str, seed: &mut dyn FnMut(usize) -> usize| {
            for attribute in schema(urn)["attributes"].as_array().unwrap() {
                if attribute["name"] != "members" && (attribute["required"] == true || seed(3) == 0) {
                    body[attribute["name"].as_str().unwrap()] = any_value(attribute, seed);
                }
            }
        };
        fill(&mut body, kind["schema"].as_str().unwrap(), &mut seed);
        for extension in kind["schemaExtensions"].as_array().unwrap() {
            let urn = extension["schema"].as_str().unwrap();
            if seed(2) == 0 || extension["required"] == true {
                body[urn] = json!({});
                fill(&mut body[urn], urn, &mut seed);
            }
        }
        let name = ["userName", "displayName", "serial"]
            [["User", "Group", "Device"].iter().position(|k| kind["name"] == *k).unwrap()];
        if seed(8) > 0 {
            body[name] = json!(format!("name{round}"));
        }
        let endpoint = kind["endpoint"].as_str().unwrap();
        let made = gateway.scim(&to, "POST", endpoint, Some(body.clone())).await;
        let mut answers = Vec::new();
        match made.status.as_u16() {
            201 => {
                let path = format!("{endpoint}/{}", id(&made.json()));
                answers.push(gateway.scim(&to, "GET", &path, None).await.expect(200).json());
                let mut next = json!({});
                fill(&mut next, kind["schema"].as_str().unwrap(), &mut seed);
                next.as_object_mut().unwrap().remove(name);
                let op = ["add", "replace"][seed(2)];
                let changed = gateway.scim(&to, "PATCH", &path, Some(patch(json!([{"op": op, "value": next}])))).await;
                assert!(
                    [200, 400, 409].contains(&changed.status.as_u16()),
                    "{next}: {}",
                    String::from_utf8_lossy(&changed.bytes)
                );
                answers.push(gateway.scim(&to, "GET", &path, None).await.expect(200).json());
                written += 1;
            }
            400 | 409 => refused += 1,
            other => panic!("{other} {body}: {}", String::from_utf8_lossy(&made.bytes)),
        }
        for answer in answers {
            assert_eq!(faults(&types, &schemas, &answer), Vec::<String>::new(), "{body}\n{answer}");
        }
    }
    assert!(written > 60 && refused > 10, "{written} {refused}");
}
