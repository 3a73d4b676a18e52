//! Checks calls and answers against a vendor's OpenAPI 3.0 description.
//!
//! A call: its path and method are described, its query and body are valid, and name nothing that
//! is not described. An answer: its status is described for the operation, or is one that any of
//! the vendor's calls may give, and its body is valid.

pub mod swagger;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::exchange::Exchange;

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// Answers that any call may give without its own page saying so: a bad credential, a missing permission
/// or a rate limit, a resource hidden for lack of permission
/// (docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api).
const ANYWHERE: [u16; 4] = [401, 403, 404, 429];

/// A vendor's description.
pub struct OpenApi {
    document: Value,
    schemas: Value,
    /// Other routes to a path, as its operations' descriptions give them: template -> routes.
    others: Vec<(String, String)>,
    /// Forms of the API's own URLs that its examples show, parts in between as `*`.
    shown: BTreeSet<String>,
    validators: RefCell<BTreeMap<String, Rc<Validator>>>,
}

/// Where a call is described.
struct Place<'a> {
    template: &'a str,
    method: String,
    operation: &'a Value,
    parameters: Vec<&'a Value>,
}

impl OpenApi {
    /// Takes a parsed description.
    ///
    /// # Panics
    /// If it is not OpenAPI 3.0.
    pub fn new(document: Value) -> Self {
        let version = document["openapi"].as_str().unwrap_or_default();
        assert!(version.starts_with("3.0."), "an OpenAPI 3.0 description is wanted, this is {version:?}");
        let schemas = match document["components"]["schemas"].as_object() {
            Some(all) => all.iter().map(|(name, schema)| (name.clone(), json_schema(schema))).collect::<Map<_, _>>(),
            None => Map::new(),
        };
        let mut others = Vec::new();
        for (template, item) in document["paths"].as_object().into_iter().flatten() {
            for (method, operation) in item.as_object().into_iter().flatten() {
                if METHODS.contains(&method.as_str()) {
                    others.extend(routes(operation, method).map(|route| (template.clone(), route.to_owned())));
                }
            }
        }
        let mut shown = BTreeSet::new();
        urls(&document, &mut shown);
        Self { document, schemas: Value::Object(schemas), others, shown, validators: RefCell::default() }
    }

    /// What is wrong with a call and its answer; empty if nothing.
    pub fn check(&self, exchange: &Exchange) -> Vec<String> {
        let (path, query) = exchange.path.split_once('?').unwrap_or((&exchange.path, ""));
        let Some(place) = self.find(&exchange.method, path) else {
            return vec![format!("{} {path}: no such call is described", exchange.method)];
        };
        let mut faults = Vec::new();
        self.query(&place, query, &mut faults);
        self.request(&place, &exchange.request, &mut faults);
        self.reply(&place, exchange.status, &exchange.reply, &mut faults);
        faults.into_iter().map(|fault| format!("{} {path}: {fault}", exchange.method)).collect()
    }

    /// The operation a call goes to: by its path, by another route that the operation's own
    /// description gives (`GET /organizations/{org_id}/team/{team_id}`), or by what follows such a
    /// route in a URL that the vendor's examples show (`/organizations/1/team/1/members`).
    fn find(&self, method: &str, path: &str) -> Option<Place<'_>> {
        let method = method.to_lowercase();
        let paths = self.document["paths"].as_object()?;
        let mut best: Option<(usize, Place<'_>)> = None;
        for (template, item) in paths {
            let Some(operation) = METHODS.contains(&method.as_str()).then(|| item.get(&method)).flatten() else {
                continue;
            };
            let literals = fits(template, path)
                .or_else(|| routes(operation, &method).find_map(|route| fits(route, path)))
                .or_else(|| self.beyond(template).find_map(|route| fits(&route, path)));
            if let Some(literals) = literals
                && best.as_ref().is_none_or(|(most, _)| literals > *most)
            {
                let own = operation["parameters"].as_array();
                let shared = item["parameters"].as_array();
                let parameters =
                    own.into_iter().chain(shared).flatten().map(|parameter| self.resolve(parameter)).collect();
                let place = Place { template, method: method.clone(), operation, parameters };
                best = Some((literals, place));
            }
        }
        best.map(|(_, place)| place)
    }

    /// Other routes to a path that lies beyond one with another route.
    fn beyond<'a>(&'a self, template: &'a str) -> impl Iterator<Item = String> + 'a {
        self.others
            .iter()
            .filter_map(move |(above, route)| {
                let rest = template.strip_prefix(above.as_str())?;
                rest.starts_with('/').then(|| format!("{route}{rest}"))
            })
            .filter(|route| self.shown.contains(&form(route)))
    }

    /// Follows one reference; the vendor's components don't chain.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(target) => self
                .document
                .pointer(target.trim_start_matches('#'))
                .unwrap_or_else(|| panic!("the description refers to {target}, which is not there")),
            None => value,
        }
    }

    fn query(&self, place: &Place<'_>, query: &str, faults: &mut Vec<String>) {
        let described = |name: &str| place.parameters.iter().find(|one| one["in"] == "query" && one["name"] == name);
        let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).collect();
        for (name, value) in &pairs {
            let Some(parameter) = described(name) else {
                faults.push(format!("query {name}: is not described"));
                continue;
            };
            let value = match parameter["schema"]["type"].as_str() {
                Some("integer" | "number" | "boolean") => serde_json::from_str(value).unwrap_or_else(|_| json!(value)),
                _ => json!(value),
            };
            let key = format!("{} {} ?{name}", place.method, place.template);
            self.valid(&key, &parameter["schema"], &value, &format!("query {name}"), faults);
        }
        for parameter in &place.parameters {
            let name = parameter["name"].as_str().unwrap_or_default();
            if parameter["in"] == "query"
                && parameter["required"] == true
                && !pairs.iter().any(|(given, _)| given == name)
            {
                faults.push(format!("query {name}: is required"));
            }
        }
    }

    fn request(&self, place: &Place<'_>, body: &Value, faults: &mut Vec<String>) {
        let described = self.resolve(&place.operation["requestBody"]);
        match (content(described), body) {
            (None, Value::Null) => {}
            (None, _) => faults.push("request: this call takes no body".to_owned()),
            (Some(_), Value::Null) => {
                if described["required"] == true {
                    faults.push("request: a body is required".to_owned());
                }
            }
            (Some(schema), body) => {
                let key = format!("{} {}", place.method, place.template);
                self.valid(&key, schema, body, "request", faults);
                self.only_described(schema, body, faults);
            }
        }
    }

    /// A property that the vendor does not describe is ignored there, so sending it is a mistake.
    fn only_described(&self, schema: &Value, body: &Value, faults: &mut Vec<String>) {
        let schema = self.resolve(schema);
        let (Some(known), Some(given)) = (schema["properties"].as_object(), body.as_object()) else {
            return;
        };
        for name in given.keys().filter(|name| !known.contains_key(*name)) {
            faults.push(format!("request.{name}: is not described"));
        }
    }

    fn reply(&self, place: &Place<'_>, status: u16, body: &Value, faults: &mut Vec<String>) {
        let described = place.operation["responses"].get(status.to_string()).map(|response| self.resolve(response));
        let basic = self.schemas.get("basic-error").is_some();
        if status >= 400 && basic && !body["message"].is_string() {
            faults.push(format!("reply {status}: an error has a message"));
        }
        match described {
            Some(response) => match (content(response), body) {
                (Some(schema), body) => {
                    let key = format!("{} {} {status}", place.method, place.template);
                    self.valid(&key, schema, body, &format!("reply {status}"), faults);
                }
                (None, Value::Null) => {}
                // Some error pages describe the status and leave its body to the general form.
                (None, _) if status >= 400 => {}
                (None, _) => faults.push(format!("reply {status}: has no body")),
            },
            None if ANYWHERE.contains(&status) => {
                if basic {
                    let schema = json!({"$ref": "#/components/schemas/basic-error"});
                    self.valid("basic-error", &schema, body, &format!("reply {status}"), faults);
                }
            }
            None => faults.push(format!("reply {status}: is not described for this call")),
        }
    }

    fn valid(&self, key: &str, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let validator = self.validator(key, schema);
        for error in validator.iter_errors(value).take(8) {
            let message: String = error.to_string().chars().take(300).collect();
            faults.push(format!("{at}{}: {message}", error.instance_path()));
        }
    }

    fn validator(&self, key: &str, schema: &Value) -> Rc<Validator> {
        if let Some(ready) = self.validators.borrow().get(key) {
            return Rc::clone(ready);
        }
        let mut whole = json_schema(schema);
        whole["components"] = json!({"schemas": self.schemas});
        let ready = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true)
            .build(&whole)
            .unwrap_or_else(|error| panic!("the schema of {key} cannot be used: {error}"));
        let ready = Rc::new(ready);
        self.validators.borrow_mut().insert(key.to_owned(), Rc::clone(&ready));
        ready
    }
}

/// The schema of the first JSON content, of a request body or a response.
fn content(described: &Value) -> Option<&Value> {
    let content = described["content"].as_object()?;
    content.get("application/json").or_else(|| content.values().next()).map(|one| &one["schema"])
}

/// Whether a path has a template's form; answers how many of its parts are literal, so that the
/// most exact template wins.
fn fits(template: &str, path: &str) -> Option<usize> {
    let template: Vec<_> = template.trim_matches('/').split('/').collect();
    let path: Vec<_> = path.trim_matches('/').split('/').collect();
    if template.len() != path.len() {
        return None;
    }
    let mut literals = 0;
    for (wanted, given) in template.iter().zip(path) {
        if wanted.starts_with('{') && wanted.ends_with('}') {
            if given.is_empty() {
                return None;
            }
        } else if *wanted == given {
            literals += 1;
        } else {
            return None;
        }
    }
    Some(literals)
}

/// Other routes of an operation, which its description gives in backticks: `` `GET /x/{y}` ``.
fn routes<'a>(operation: &'a Value, method: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let method = method.to_uppercase();
    operation["description"]
        .as_str()
        .unwrap_or_default()
        .split('`')
        .skip(1)
        .step_by(2)
        .filter_map(move |code| code.strip_prefix(method.as_str())?.trim().split('?').next())
        .filter(|route| route.starts_with('/'))
}

/// A path with its variable parts (`{id}`, a number) as `*`.
fn form(path: &str) -> String {
    let parts = path.trim_matches('/').split('/').map(|part| {
        let variable = part.starts_with('{') || part.bytes().all(|byte| byte.is_ascii_digit());
        if variable { "*" } else { part }
    });
    parts.collect::<Vec<_>>().join("/")
}

/// The forms of all URLs in a description, most of them in its examples (`members_url`). Recurses
/// along the description.
fn urls(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(all) => all.values().for_each(|value| urls(value, found)),
        Value::Array(all) => all.iter().for_each(|value| urls(value, found)),
        Value::String(text) if text.starts_with("https://") => {
            // `…/members{/member}`: what stands in braces may be left out.
            let url = text.split('{').next().unwrap_or_default();
            found.extend(url::Url::parse(url).map(|url| form(url.path())));
        }
        _ => {}
    }
}

/// An OpenAPI 3.0 schema as JSON Schema 2020-12: `nullable` becomes a type, what only documents
/// goes. It recurses along a vendor's description, which is data of the tests.
fn json_schema(schema: &Value) -> Value {
    let Some(given) = schema.as_object() else {
        return schema.clone();
    };
    if let Some(target) = given.get("$ref") {
        // OpenAPI 3.0 ignores what stands beside a reference.
        return json!({"$ref": target});
    }
    let mut made = Map::new();
    for (key, value) in given {
        match key.as_str() {
            "nullable" | "example" | "examples" | "externalDocs" | "xml" | "discriminator" | "deprecated"
            | "description" | "title" | "readOnly" | "writeOnly" | "default" => {}
            "properties" => {
                let all = value.as_object().into_iter().flatten();
                let all: Map<_, _> = all.map(|(name, schema)| (name.clone(), json_schema(schema))).collect();
                made.insert(key.clone(), Value::Object(all));
            }
            "items" | "additionalProperties" | "not" => {
                made.insert(key.clone(), json_schema(value));
            }
            "allOf" | "anyOf" | "oneOf" => {
                let all = value.as_array().into_iter().flatten();
                made.insert(key.clone(), all.map(json_schema).collect());
            }
            "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {}
            name if name.starts_with("x-") => {}
            _ => {
                made.insert(key.clone(), value.clone());
            }
        }
    }
    for (flag, bound) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if given.get(flag) == Some(&Value::Bool(true))
            && let Some(limit) = made.remove(bound)
        {
            made.insert(flag.to_owned(), limit);
        }
    }
    if given.get("nullable") == Some(&Value::Bool(true)) {
        return json!({"anyOf": [made, {"type": "null"}]});
    }
    Value::Object(made)
}

#[cfg(test)]
mod tests;
