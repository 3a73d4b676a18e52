//! A Swagger 2.0 description as OpenAPI 3.0, as far as the checker reads it.
//!
//! Slack's is the one there is, and has two habits of its own, which are taken for what they mean: `items` with a list
//! of schemas stands for "one of these", and the parameter `token` is the credential, which goes into a header.

use serde_json::{Map, Value, json};

/// Turns a description around.
///
/// # Panics
/// If it is not Swagger 2.0.
pub fn to_openapi(document: &Value) -> Value {
    assert_eq!(document["swagger"], "2.0", "a Swagger 2.0 description is wanted");
    let definitions = document["definitions"].as_object().into_iter().flatten();
    let schemas: Map<_, _> = definitions.map(|(name, one)| (name.clone(), schema(one))).collect();
    let mut paths = Map::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        let operations = item.as_object().into_iter().flatten();
        let turned: Map<_, _> = operations.map(|(method, one)| (method.clone(), operation(one))).collect();
        paths.insert(path.clone(), Value::Object(turned));
    }
    json!({ "openapi": "3.0.0", "paths": paths, "components": { "schemas": schemas } })
}

fn operation(given: &Value) -> Value {
    let (mut query, mut form, mut needed) = (Vec::new(), Map::new(), Vec::new());
    for one in given["parameters"].as_array().into_iter().flatten() {
        let name = one["name"].as_str().unwrap_or_default();
        match one["in"].as_str() {
            _ if name == "token" => {}
            Some("query") => query.push(json!({
                "name": name, "in": "query", "required": one["required"] == true, "schema": { "type": one["type"] },
            })),
            Some("formData") => {
                form.insert(name.to_owned(), json!({ "type": one["type"] }));
                if one["required"] == true {
                    needed.push(Value::from(name));
                }
            }
            _ => {}
        }
    }
    let mut made = json!({ "parameters": query, "responses": responses(&given["responses"]) });
    if !form.is_empty() {
        let body = json!({ "type": "object", "properties": form, "required": needed });
        made["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": body } } });
    }
    made
}

/// What `default` describes, the refusals, comes with status 200 as well. Their lists of words are not complete, as
/// the vendor says, so any word will do.
fn responses(given: &Value) -> Value {
    let mut refusal = schema(&given["default"]["schema"]);
    if let Some(error) = refusal.pointer_mut("/properties/error") {
        *error = json!({ "type": "string" });
    }
    let success = schema(&given["200"]["schema"]);
    json!({ "200": { "content": { "application/json": { "schema": { "anyOf": [success, refusal] } } } } })
}

/// A schema with its references and its lists of alternatives turned around. It recurses along a vendor's description,
/// which is data of the tests.
fn schema(given: &Value) -> Value {
    match given {
        Value::Object(fields) => {
            let mut made = Map::new();
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("$ref", Value::String(to)) => {
                        made.insert(name.clone(), Value::from(to.replace("#/definitions/", "#/components/schemas/")));
                    }
                    ("items", Value::Array(some)) => {
                        made.insert("anyOf".to_owned(), some.iter().map(schema).collect());
                    }
                    _ => {
                        made.insert(name.clone(), schema(value));
                    }
                }
            }
            Value::Object(made)
        }
        Value::Array(some) => some.iter().map(schema).collect(),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::Exchange;
    use crate::openapi::OpenApi;

    #[test]
    fn a_description_of_slacks_kind_is_understood() {
        let description = OpenApi::new(to_openapi(&json!({
            "swagger": "2.0",
            "definitions": {
                "id": { "type": "string", "pattern": "^S[0-9]+$" },
                "who": { "items": [{ "type": "null" }, { "$ref": "#/definitions/id" }] },
            },
            "paths": { "/groups.update": { "post": {
                "parameters": [
                    { "in": "header", "name": "token", "type": "string", "required": true },
                    { "in": "formData", "name": "id", "type": "string", "required": true },
                    { "in": "formData", "name": "name", "type": "string" },
                ],
                "responses": {
                    "200": { "schema": { "type": "object", "required": ["ok", "by"], "additionalProperties": false,
                        "properties": { "ok": { "enum": [true] }, "by": { "$ref": "#/definitions/who" } } } },
                    "default": { "schema": { "type": "object", "required": ["ok", "error"],
                        "properties": { "ok": { "enum": [false] }, "error": { "enum": ["fatal"] } } } },
                },
            } } },
        })));
        let faults = |request: Value, reply: Value| {
            let (name, method, path) = (String::new(), "POST".to_owned(), "/groups.update".to_owned());
            description.check(&Exchange { name, method, path, request, status: 200, reply }).len()
        };
        let (good, done) = (json!({ "id": "S1" }), json!({ "ok": true, "by": "S7" }));
        for (request, reply, sound) in [
            (good.clone(), done.clone(), true),
            (good.clone(), json!({ "ok": true, "by": null }), true),
            (good.clone(), json!({ "ok": false, "error": "another_word" }), true),
            (good.clone(), json!({ "ok": true, "by": "U7" }), false),
            (good.clone(), json!({ "ok": false }), false),
            (json!({ "name": "x" }), done.clone(), false),
            (json!({ "id": 1 }), done.clone(), false),
            (json!({ "id": "S1", "colour": "red" }), done, false),
        ] {
            assert_eq!(faults(request.clone(), reply.clone()) == 0, sound, "{request} {reply}");
        }
    }
}
