//! The JSON schema of manifests, and the check against it that names every field.
//!
//! One schema is the reference for editors and the first check of what is uploaded. The check here
//! knows the few keywords that the schema uses; a test holds it against a full validator.

use serde_json::{Map, Value, json};

use crate::problem::{Problem, nearest};
use crate::tree::join;

/// The deepest that a value of a manifest may be.
const DEEPEST: usize = 24;

/// The JSON schema (draft 2020-12) of manifests.
pub fn json_schema() -> Value {
    let text = |what: &str| json!({ "type": "string", "description": what });
    let expression = |what: &str| json!({ "type": "string", "description": format!("Expression: {what}") });
    let texts = |what: &str| json!({ "type": "array", "items": { "type": "string" }, "description": what });
    let flag = |what: &str| json!({ "type": "boolean", "description": what });
    let whole = |what: &str, least: u64| json!({ "type": "integer", "minimum": least, "description": what });
    let choice = |what: &str, values: &[&str]| json!({ "type": "string", "enum": values, "description": what });
    let table =
        |what: &str| json!({ "type": "object", "additionalProperties": { "type": "string" }, "description": what });
    let statuses = |what: &str| json!({ "type": "array", "items": { "type": "integer", "minimum": 100, "maximum": 599 }, "description": what });
    let object = |what: &str, required: &[&str], properties: Value| json!({ "type": "object", "description": what, "required": required, "properties": properties, "additionalProperties": false });
    let list = |what: &str, items: Value| json!({ "type": "array", "items": items, "description": what });
    let one = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    let dialects = ["epoch_seconds", "epoch_millis", "seconds_left", "date"];

    let request_fields = json!({
        "method": choice("The HTTP method.", &["GET", "POST", "PUT", "PATCH", "DELETE"]),
        "path": text("The path below `base_url`, each segment a text with expressions. Values are encoded as one segment."),
        "query": table("Parameters, each a text with expressions; one whose value is nothing is left out."),
        "headers": table("Headers, each a text with expressions."),
        "json": json!({ "description": "The JSON body. Texts with expressions in them are texts; a text that is one expression is its value, left out where that is nothing." }),
        "form": table("The body as application/x-www-form-urlencoded."),
        "xml": text("The body as XML; values are escaped."),
        "success": statuses("The statuses that are a success; every 2xx where none is given."),
        "errors": list("Rules for this request's answers, before the common ones.", one("rule")),
        "reads": flag("A request that is no GET and only reads."),
        "repeats": choice("What may follow a lost answer.", &["idempotent", "verifiable", "neither"]),
        "purpose": text("What for, in the connector's page."),
        "item": expression("the object in an answer (`body`)."),
        "items": expression("the list in an answer (`body`)."),
        "where": expression("whether an `item` of the list counts; of a request that reads one object, whether it is there."),
        "paging": one("paging"),
        "fields": table("Expressions over `item`, in place of the common ones for this request."),
        "read_first": flag("Reads the object before, for requests that send it back whole: it is `current`."),
        "writes": texts("The SCIM attributes that an update writes: `roles`, `displayName`, `emails`, `title`, `name.givenName`."),
        "look_first": flag("Looks before a creation or renaming whether it is there already. False only where the target itself refuses a second one, told by a rule."),
        "before": one("request"),
        "created_id": expression("the id in the answer to a creation that shows nothing else; the object is read then."),
        "batch": whole("How many members one request takes.", 1),
    });

    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A manifest of scimgate",
        "description": "How the API of a target is called: a connector without code.",
        "type": "object",
        "required": ["manifest", "name", "title", "version", "summary", "needs", "base_url", "probe"],
        "additionalProperties": false,
        "properties": {
            "manifest": { "type": "integer", "enum": [1], "description": "The version of this format." },
            "name": { "type": "string", "description": "The connector's name in the API: lower case letters, digits, `-`, `_`." },
            "title": text("Its name for people."),
            "version": text("The manifest's own version."),
            "summary": text("What it does at the target, in two or three sentences."),
            "needs": texts("What it needs, a sentence each."),
            "cannot": texts("What it cannot do and what happens instead, a sentence each."),
            "unverified": texts("What could not be confirmed from the vendor's documents."),
            "sources": texts("Where the vendor documents what is used."),
            "limits": texts("The vendor's limits, in words."),
            "base_url": text("Where the API is, a text with expressions over `settings`."),
            "driver_key": text("What the target's limits follow, a text over `settings`; the host and the credential where not given."),
            "settings": list("The settings, in the order of the form.", object("A setting.", &["name", "title", "help"], json!({
                "name": text("Its name."), "title": text("Its label."), "help": text("What it does."),
                "type": choice("What it takes.", &["text", "url", "flag", "number", "choice"]),
                "values": texts("The values of a choice."),
                "identity": flag("It says which target it is, and cannot change once there are links."),
                "required": flag("It must be given."),
                "default": json!({ "type": ["string", "boolean", "integer"], "description": "Its value when not given." }),
            }))),
            "secrets": list("The credentials.", object("A credential.", &["name", "title", "help"], json!({
                "name": text("Its name."), "title": text("Its label."), "help": text("Where to make it, and what it must be allowed."),
                "required": flag("It must be given; true where not said."),
            }))),
            "auth": list("How requests are authorised.", object("One way.", &["type", "secret"], json!({
                "type": choice("Which.", &["bearer", "header", "basic", "query", "oauth2"]),
                "secret": text("The credential's name."),
                "scheme": text("bearer: the word before the credential, `Bearer` where not given."),
                "header": text("header: its name."),
                "prefix": text("header: what stands before the credential."),
                "username": text("basic: the user, a text over `settings`."),
                "parameter": text("query: the parameter's name."),
                "token_url": text("oauth2: where tokens are asked for, a text over `settings`."),
                "client_id": text("oauth2: the client, a text over `settings`."),
                "client_in": choice("oauth2: where the client's credential stands.", &["basic", "body"]),
                "parameters": table("oauth2: further parameters, such as `scope`, each a text over `settings`."),
            }))),
            "headers": table("Headers of every request, each a text over `settings`."),
            "error_text": expression("the target's own words in the `body` of a refusal."),
            "buckets": list("The target's limits.", object("A limit.", &["name", "title"], json!({
                "name": text("Its name."), "title": text("For the admin, with the vendor's page."),
                "units": whole("How many units a window allows.", 1),
                "per_seconds": whole("The window.", 1),
                "gap_ms": whole("The least time between two calls, in milliseconds.", 0),
                "at_once": whole("How many calls may be under way at once.", 0),
                "standing": flag("It is a cap on how much there may be at a time, not a rate."),
                "on": texts("The operations that are charged; all where none is given."),
                "methods": texts("The methods that are charged; all where none is given."),
                "cost": whole("What one call costs.", 0),
                "headers": object("The headers that tell of it.", &["remaining", "reset", "dialect"], json!({
                    "limit": text("Units of a window."), "remaining": text("Units left."), "reset": text("When it ends."),
                    "dialect": choice("How that is told.", &dialects),
                })),
                "policy": text("The policy that tells of it in structured `RateLimit` headers."),
            }))),
            "errors": list("Rules for answers; the first that matches counts.", one("rule")),
            "maps": { "type": "object", "description": "Tables for the filters `map` and `unmap`, seen as `maps.NAME`.", "additionalProperties": { "type": "object" } },
            "roles": list("The roles of accounts.", object("A role.", &["value"], json!({
                "value": text("Its value."), "privileged": flag("It gives power over others."),
            }))),
            "default_role": text("The role of an account that asks for none, a text over `settings`."),
            "attributes": list("SCIM attributes that reach the target.", object("One.", &["name", "what"], json!({
                "name": text("The attribute."), "what": text("What it does there."),
            }))),
            "extensions": list("Attributes of the target's own.", object("One extension.", &["resource_type", "description", "attributes"], json!({
                "resource_type": choice("Of what.", &["User", "Group"]),
                "description": text("What it is for."),
                "attributes": list("In the form of RFC 7643 section 7.", json!({ "type": "object" })),
            }))),
            "probe": with(object("Checks the credential; writes nothing.", &["method", "path", "identity"], json!({
                "identity": text("Whom the credential speaks for, a text over `settings` and the `body` of `who`, else of the probe."),
                "who": one("request"),
                "checks": list("What more has to hold.", object("A check.", &["name", "ok", "detail"], json!({
                    "name": text("What is checked."), "ok": expression("whether `body` is as needed."),
                    "detail": text("What to do where it is not."),
                }))),
            })), &request_fields),
            "accounts": object("People.", &["fields", "list"], json!({
                "fields": table("Expressions over `item`: id, login, email, email_verified, saml_identity, display_name, role, status (`active`, `suspended`, `invited`, `expired`, `gone`), protected, expires_at."),
                "login": expression("the login that a `person` has, or shall have, at the target."),
                "saml_identity": expression("the name that a `person` has at the target's identity provider, told there by `fields.saml_identity`."),
                "match": json!({ "type": "array", "items": { "type": "string", "enum": ["saml", "email", "login"] }, "description": "How an account is known to be a person's." }),
                "requires": list("What a person must have.", object("One.", &["value", "message"], json!({
                    "value": expression("something of `person` that must be there."), "message": text("What is missing, for the admin."),
                }))),
                "invites": json!({ "type": ["boolean", "string"], "description": "A creation invites; an expression over `settings` where they say whether." }),
                "invitations_end": flag("A pending invitation ends by itself, and the target shows it; true where not said."),
                "list": one("listing"), "invitations": one("listing"), "find": one("listing"),
                "get": one("request"), "create": one("request"),
                "update": list("Requests that change an account.", one("request")),
                "suspend": one("request"), "restore": one("request"), "remove": one("request"), "revoke": one("request"),
            })),
            "groups": object("Groups.", &["fields", "list", "create", "update", "remove", "members", "add_members", "remove_members"], json!({
                "fields": table("Expressions over `item`: id, name, slug, protected."),
                "list": one("listing"), "find": one("listing"), "get": one("request"),
                "create": one("request"), "update": one("request"), "remove": one("request"),
                "members": one("listing"), "add_members": one("request"), "remove_members": one("request"),
                "pending_members": flag("An invitation can be made a member."),
            })),
        },
        "$defs": {
            "request": with(object("A request.", &["method", "path"], json!({})), &request_fields),
            "listing": with(object("A request that lists.", &["method", "path", "items"], json!({})), &request_fields),
            "rule": object("What an answer means.", &[], json!({
                "status": statuses("Its status is one of these."),
                "when": expression("whether it is meant; over `body`, `status`, `headers` and `text`, the target's own words."),
                "on": texts("Only of these operations, such as `accounts.create`."),
                "kind": choice("The fault it is.", &["rate_limited", "quota", "unavailable", "credential", "permission", "refused", "incomplete", "name_taken", "not_found", "protected", "malformed"]),
                "outcome": choice("The outcome it is.", &["already_there", "already_gone", "waiting", "action_required", "present", "pending", "absent", "kept", "done"]),
                "message": text("For the admin: what happened and what to do."),
                "code": text("action_required: a word for programs."),
                "wait": object("When it may be tried again.", &[], json!({
                    "header": text("The header that tells."), "body": expression("what tells, in the `body`."),
                    "seconds": whole("So many seconds.", 1), "dialect": choice("How it is told.", &dialects),
                })),
            })),
            "paging": object("How a listing goes on.", &["type", "parameter"], json!({
                "type": choice("Which.", &["page", "offset", "cursor", "link"]),
                "parameter": text("The parameter that says where."),
                "size_parameter": text("The parameter that says how many."),
                "size": whole("How many a page has.", 1),
                "first": whole("page: the number of the first.", 0),
                "more": expression("whether there is more, over `body`, `headers` and `link` (the parameters of the next link)."),
                "next": expression("cursor: where it goes on, in the `body`."),
                "most": whole("offset: the furthest that the target allows.", 1),
            })),
        },
    })
}

/// Adds properties to an object's schema.
fn with(mut schema: Value, more: &Value) -> Value {
    if let (Some(properties), Some(more)) = (schema["properties"].as_object_mut(), more.as_object()) {
        for (name, one) in more {
            properties.entry(name.clone()).or_insert_with(|| one.clone());
        }
    }
    schema
}

/// Everything that is against the schema.
pub(crate) fn check(root: &Value) -> Vec<Problem> {
    let schema = json_schema();
    let mut problems = Vec::new();
    walk(&schema, &schema, root, "", DEEPEST, &mut problems);
    problems
}

fn walk(schema: &Value, whole: &Value, value: &Value, path: &str, depth: usize, problems: &mut Vec<Problem>) {
    if problems.len() >= 100 {
        return;
    }
    if depth == 0 {
        problems.push(Problem::at(path, "is nested too deeply"));
        return;
    }
    let schema = match schema["$ref"].as_str().and_then(|at| at.strip_prefix("#/$defs/")) {
        Some(name) => &whole["$defs"][name],
        None => schema,
    };
    if !fits(&schema["type"], value) {
        problems.push(Problem::at(path, format!("must be {}", words(&schema["type"]))));
        return;
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        let all: Vec<String> = values.iter().map(|one| one.as_str().map_or(one.to_string(), str::to_owned)).collect();
        let hint = value.as_str().and_then(|text| nearest(text, all.iter().map(String::as_str)));
        problems.push(Problem::at(path, format!("must be one of: {}{}", all.join(", "), meant(hint))));
    }
    if let Some(least) = schema["minimum"].as_i64()
        && value.as_i64().is_some_and(|number| number < least)
    {
        problems.push(Problem::at(path, format!("must be at least {least}")));
    }
    if let Some(most) = schema["maximum"].as_i64()
        && value.as_i64().is_some_and(|number| number > most)
    {
        problems.push(Problem::at(path, format!("must be at most {most}")));
    }
    match value {
        Value::Object(map) if schema.get("properties").is_some() || schema.get("additionalProperties").is_some() => {
            object(schema, whole, map, path, depth, problems);
        }
        Value::Array(items) if schema.get("items").is_some() => {
            for (number, item) in items.iter().enumerate() {
                walk(&schema["items"], whole, item, &format!("{path}[{number}]"), depth - 1, problems);
            }
        }
        Value::Object(map) => {
            for (name, value) in map {
                walk(&Value::Null, whole, value, &join(path, name), depth - 1, problems);
            }
        }
        Value::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                walk(&Value::Null, whole, item, &format!("{path}[{number}]"), depth - 1, problems);
            }
        }
        _ => {}
    }
}

fn object(
    schema: &Value,
    whole: &Value,
    map: &Map<String, Value>,
    path: &str,
    depth: usize,
    problems: &mut Vec<Problem>,
) {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            problems.push(Problem::at(path, format!("needs `{name}`")));
        }
    }
    for (name, value) in map {
        let field = join(path, name);
        match (properties.get(name), &schema["additionalProperties"]) {
            (Some(one), _) => walk(one, whole, value, &field, depth - 1, problems),
            (None, Value::Bool(false)) => {
                let hint = nearest(name, properties.keys().map(String::as_str));
                problems.push(Problem::at(field, format!("is not a field of manifests{}", meant(hint))));
            }
            (None, more) => walk(more, whole, value, &field, depth - 1, problems),
        }
    }
}

fn meant(hint: Option<&str>) -> String {
    hint.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

fn fits(kind: &Value, value: &Value) -> bool {
    match kind {
        Value::String(kind) => match kind.as_str() {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "integer" => value.is_i64() || value.is_u64(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            _ => false,
        },
        Value::Array(kinds) => kinds.iter().any(|kind| fits(kind, value)),
        _ => true,
    }
}

fn words(kind: &Value) -> String {
    let word = |kind: &str| match kind {
        "string" => "text",
        "boolean" => "true or false",
        "integer" => "a whole number",
        "array" => "a list",
        _ => "a table",
    };
    match kind {
        Value::String(kind) => word(kind).to_owned(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).map(word).collect::<Vec<_>>().join(", or "),
        _ => "something else".to_owned(),
    }
}
