//! Checks GraphQL requests and replies against a vendor's schema.
//!
//! A request is checked with the whole of the specification's validation (unknown fields, wrong
//! arguments, fragments) and its variables are coerced to their declared types. A reply is walked
//! along the request's selection: every field asked for is there with a value of its type, nothing
//! else is.

use apollo_compiler::ast::Type;
use apollo_compiler::executable::{Fragment, Operation, Selection, SelectionSet};
use apollo_compiler::response::JsonMap;
use apollo_compiler::schema::ExtendedType;
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema, request};
use serde_json::{Map, Value};

/// A vendor's schema.
#[derive(Debug)]
pub struct Graphql {
    schema: Valid<Schema>,
}

impl Graphql {
    /// Reads a schema from its definition language.
    ///
    /// # Panics
    /// If it is not a valid one.
    pub fn new(sdl: &str, name: &str) -> Self {
        match Schema::parse_and_validate(sdl, name) {
            Ok(schema) => Self { schema },
            Err(error) => panic!("the schema {name} is not valid: {}", error.errors),
        }
    }

    /// What is wrong with a request body (`query`, `variables`, `operationName`); empty if nothing.
    pub fn request(&self, body: &Value) -> Vec<String> {
        match self.parse(body) {
            Ok(_) => Vec::new(),
            Err(faults) => faults,
        }
    }

    /// What is wrong with the reply to a request; empty if nothing. A reply with `errors` may lack
    /// what they say they broke.
    pub fn reply(&self, request: &Value, reply: &Value) -> Vec<String> {
        let (document, name) = match self.parse(request) {
            Ok(parsed) => parsed,
            Err(faults) => return faults,
        };
        let Ok(operation) = document.operations.get(name.as_deref()) else {
            return vec!["the operation is gone".to_owned()];
        };
        let Some(reply) = reply.as_object() else {
            return vec!["the reply is not an object".to_owned()];
        };
        let mut faults = Vec::new();
        for key in reply.keys() {
            // `stats` is Buildkite's, on request; `extensions` is the specification's.
            if !matches!(key.as_str(), "data" | "errors" | "extensions" | "stats") {
                faults.push(format!("{key}: no reply has that"));
            }
        }
        let failed = match reply.get("errors") {
            None => false,
            Some(Value::Array(errors)) if !errors.is_empty() => {
                for (n, error) in errors.iter().enumerate() {
                    if !error["message"].is_string() {
                        faults.push(format!("errors[{n}]: no message"));
                    }
                }
                true
            }
            Some(_) => {
                faults.push("errors: not a list with something in it".to_owned());
                true
            }
        };
        match reply.get("data") {
            Some(Value::Object(data)) => {
                let walk = Walk { schema: &self.schema, document: &document, failed };
                let root = root(operation);
                walk.object(root.0, &[root.1], data, "data", &mut faults);
            }
            Some(Value::Null) | None if failed => {}
            Some(other) => faults.push(format!("data: is {}", kind(other))),
            None => faults.push("data: is not there, and no errors say why".to_owned()),
        }
        faults
    }

    fn parse(&self, body: &Value) -> Result<(Valid<ExecutableDocument>, Option<String>), Vec<String>> {
        let Some(query) = body["query"].as_str() else {
            return Err(vec!["no query".to_owned()]);
        };
        let document = ExecutableDocument::parse_and_validate(&self.schema, query, "query")
            .map_err(|error| error.errors.iter().map(|one| one.error.to_string()).collect::<Vec<_>>())?;
        let name = body["operationName"].as_str().map(str::to_owned);
        let operation = document.operations.get(name.as_deref()).map_err(|error| vec![error.message().to_string()])?;
        let given = match body.get("variables") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(given)) => given.clone(),
            Some(other) => return Err(vec![format!("variables: is {}", kind(other))]),
        };
        for name in given.keys() {
            if !operation.variables.iter().any(|declared| declared.name == name.as_str()) {
                return Err(vec![format!("variables.{name}: is not declared")]);
            }
        }
        let given: JsonMap =
            serde_json::from_value(Value::Object(given)).map_err(|error| vec![format!("variables: {error}")])?;
        request::coerce_variable_values(&self.schema, operation, &given)
            .map_err(|error| vec![error.message().to_string()])?;
        Ok((document, name))
    }
}

fn root(operation: &Operation) -> (&str, &SelectionSet) {
    (operation.object_type().as_str(), &operation.selection_set)
}

/// One reply being compared. It recurses along the request's document, which is ours and, once
/// validated, has no cycles.
struct Walk<'a> {
    schema: &'a Valid<Schema>,
    document: &'a ExecutableDocument,
    failed: bool,
}

/// A field that the selection asks for.
struct Asked<'a> {
    ty: &'a Type,
    sets: Vec<&'a SelectionSet>,
    needed: bool,
}

impl<'a> Walk<'a> {
    fn object(
        &self,
        ty: &str,
        sets: &[&'a SelectionSet],
        value: &Map<String, Value>,
        at: &str,
        faults: &mut Vec<String>,
    ) {
        // What an abstract type turned out to be, as far as the reply tells.
        let concrete = match self.schema.types.get(ty) {
            Some(ExtendedType::Object(_)) => Some(ty),
            _ => value.get("__typename").and_then(Value::as_str),
        };
        if let Some(concrete) = concrete
            && concrete != ty
            && !self.schema.is_subtype(ty, concrete)
        {
            faults.push(format!("{at}.__typename: {concrete} is no {ty}"));
            return;
        }
        let mut asked = Vec::new();
        for set in sets {
            self.collect(set, ty, concrete, true, &mut asked);
        }
        for (key, field) in &asked {
            let at = format!("{at}.{key}");
            match value.get(*key) {
                Some(value) => self.value(field.ty, &field.sets, value, &at, faults),
                None if field.needed && !self.failed => {
                    faults.push(format!("{at}: was asked for and is not there"));
                }
                None => {}
            }
        }
        for key in value.keys() {
            if !asked.iter().any(|(asked, _)| asked == key) {
                faults.push(format!("{at}.{key}: was not asked for"));
            }
        }
    }

    fn collect(
        &self,
        set: &'a SelectionSet,
        ty: &str,
        concrete: Option<&str>,
        needed: bool,
        asked: &mut Vec<(&'a str, Asked<'a>)>,
    ) {
        for selection in &set.selections {
            let needed =
                needed && !selection.directives().iter().any(|one| matches!(one.name.as_str(), "skip" | "include"));
            match selection {
                Selection::Field(field) => {
                    let key = field.response_key().as_str();
                    match asked.iter_mut().find(|(other, _)| *other == key) {
                        Some((_, same)) => {
                            same.sets.push(&field.selection_set);
                            same.needed |= needed;
                        }
                        None => asked.push((key, Asked { ty: field.ty(), sets: vec![&field.selection_set], needed })),
                    }
                }
                Selection::InlineFragment(part) => {
                    let condition = part.type_condition.as_ref().map(|name| name.as_str());
                    self.part(condition, &part.selection_set, ty, concrete, needed, asked);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(part) = self.document.fragments.get(&spread.fragment_name) {
                        let part: &'a Fragment = part;
                        let condition = Some(part.type_condition().as_str());
                        self.part(condition, &part.selection_set, ty, concrete, needed, asked);
                    }
                }
            }
        }
    }

    /// A fragment counts if its condition holds, and may count if the reply does not tell.
    fn part(
        &self,
        condition: Option<&str>,
        set: &'a SelectionSet,
        ty: &str,
        concrete: Option<&str>,
        needed: bool,
        asked: &mut Vec<(&'a str, Asked<'a>)>,
    ) {
        let holds = |on: &str, ty: &str| on == ty || self.schema.is_subtype(on, ty);
        match (condition, concrete) {
            (None, _) => self.collect(set, ty, concrete, needed, asked),
            (Some(on), Some(concrete)) if holds(on, concrete) => {
                self.collect(set, ty, Some(concrete), needed, asked);
            }
            (Some(_), Some(_)) => {}
            (Some(on), None) => self.collect(set, ty, None, needed && holds(on, ty), asked),
        }
    }

    fn value(&self, ty: &Type, sets: &[&'a SelectionSet], value: &Value, at: &str, faults: &mut Vec<String>) {
        if value.is_null() {
            if ty.is_non_null() && !self.failed {
                faults.push(format!("{at}: is null, but its type is {ty}"));
            }
            return;
        }
        if ty.is_list() {
            match value.as_array() {
                Some(items) => {
                    for (n, item) in items.iter().enumerate() {
                        self.value(ty.item_type(), sets, item, &format!("{at}[{n}]"), faults);
                    }
                }
                None => faults.push(format!("{at}: is {}, but its type is {ty}", kind(value))),
            }
            return;
        }
        let name = ty.inner_named_type().as_str();
        let fits = match self.schema.types.get(name) {
            Some(ExtendedType::Object(_) | ExtendedType::Interface(_) | ExtendedType::Union(_)) => {
                match value.as_object() {
                    Some(value) => {
                        self.object(name, sets, value, at, faults);
                        true
                    }
                    None => false,
                }
            }
            Some(ExtendedType::Enum(all)) => value.as_str().is_some_and(|one| all.values.contains_key(one)),
            _ => match name {
                "String" | "DateTime" | "URI" => value.is_string(),
                "ID" => value.is_string() || value.is_i64() || value.is_u64(),
                "Int" => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
                "Float" => value.is_number(),
                "Boolean" => value.is_boolean(),
                // A scalar of the vendor's own, whose form the schema does not tell.
                _ => true,
            },
        };
        if !fits {
            let shown: String = value.to_string().chars().take(60).collect();
            faults.push(format!("{at}: {shown} is no {name}"));
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SDL: &str = "
        type Query { org(slug: ID!): Org, node(id: ID!): Node }
        type Mutation { invite(input: InviteInput!): Invite }
        interface Node { id: ID! }
        enum Role { ADMIN MEMBER }
        input InviteInput { emails: [String!]!, role: Role }
        type Invite { ok: Boolean! }
        type Org implements Node { id: ID!, members(first: Int, email: String): Members }
        type Members { count: Int!, edges: [Edge] }
        type Edge { node: Member, cursor: String! }
        type Member implements Node { id: ID!, role: Role!, email: String, at: DateTime }
        scalar DateTime
    ";

    #[track_caller]
    fn check_request(body: Value, fault: Option<&str>) {
        said(&Graphql::new(SDL, "test").request(&body), fault);
    }

    #[track_caller]
    fn check_reply(query: &str, reply: Value, fault: Option<&str>) {
        let body = json!({"query": query});
        said(&Graphql::new(SDL, "test").reply(&body, &reply), fault);
    }

    #[track_caller]
    fn said(faults: &[String], wanted: Option<&str>) {
        match wanted {
            None => assert_eq!(faults, [] as [String; 0]),
            Some(part) => {
                assert!(faults.iter().any(|fault| fault.contains(part)), "wanted a fault with {part:?}, got {faults:?}")
            }
        }
    }

    #[test]
    fn requests_are_checked_with_their_variables() {
        let query = "query($s: ID!, $n: Int) { org(slug: $s) { members(first: $n) { count } } }";
        check_request(json!({"query": query, "variables": {"s": "acme", "n": 100}}), None);
        check_request(json!({"query": query, "variables": {"s": "acme"}}), None);
        check_request(json!({"query": query, "variables": {"n": 1}}), Some("s"));
        check_request(json!({"query": query, "variables": {"s": "a", "n": "1"}}), Some("Int"));
        check_request(json!({"query": query, "variables": {"s": "a", "x": 1}}), Some("variables.x"));
        check_request(json!({"query": "{ org(slug: \"a\") { nick } }"}), Some("nick"));
        check_request(json!({"query": "{ org(name: \"a\") { id } }"}), Some("name"));
        check_request(json!({"query": "{ org { id } }"}), Some("slug"));
        check_request(json!({"query": "{ org(slug: \"a\") }"}), Some("subselection"));
        check_request(json!({"query": "{ org(slug: \"a\") { id }"}), Some("expected"));
        check_request(json!({"variables": {}}), Some("no query"));
        let invite = "mutation($i: InviteInput!) { invite(input: $i) { ok } }";
        check_request(
            json!({"query": invite, "variables": {"i": {"emails": ["a@x.example"], "role": "MEMBER"}}}),
            None,
        );
        check_request(
            json!({"query": invite, "variables": {"i": {"emails": ["a@x.example"], "role": "OWNER"}}}),
            Some("Role"),
        );
        check_request(json!({"query": invite, "variables": {"i": {"emails": [], "team": "x"}}}), Some("team"));
    }

    #[test]
    fn replies_hold_what_was_asked_for_and_nothing_else() {
        let query = "{ org(slug: \"a\") { members { n: count edges { node { id role email at } } } } }";
        let reply = |member: Value, count: Value| json!({"data": {"org": {"members": {"n": count, "edges": [{"node": member}]}}}});
        let good = json!({"id": "1", "role": "ADMIN", "email": null, "at": "2026-01-01T00:00:00Z"});
        check_reply(query, reply(good.clone(), json!(1)), None);
        check_reply(query, json!({"data": {"org": null}}), None);
        check_reply(query, reply(good.clone(), json!("1")), Some("data.org.members.n"));
        check_reply(query, reply(good.clone(), Value::Null), Some("null"));
        let with = |name: &str, value: Value| {
            let mut member = good.clone();
            member[name] = value;
            reply(member, json!(1))
        };
        check_reply(query, with("role", json!("OWNER")), Some("Role"));
        check_reply(query, with("role", Value::Null), Some("is null"));
        check_reply(query, with("at", json!(5)), Some("DateTime"));
        check_reply(query, with("login", json!("ada")), Some("login: was not asked for"));
        check_reply(
            query,
            reply(json!({"id": "1", "role": "ADMIN", "at": null}), json!(1)),
            Some("email: was asked for"),
        );
        check_reply(query, json!({"data": {}}), Some("data.org: was asked for"));
        check_reply(query, json!({}), Some("data"));
    }

    #[test]
    fn errors_explain_what_is_missing() {
        let query = "{ org(slug: \"a\") { id } }";
        check_reply(query, json!({"errors": [{"message": "no"}], "data": {"org": null}}), None);
        check_reply(query, json!({"errors": [{"message": "no"}]}), None);
        check_reply(query, json!({"errors": [{}], "data": null}), Some("no message"));
        check_reply(query, json!({"errors": [], "data": null}), Some("errors"));
        check_reply(query, json!({"data": {"org": null}, "error": "x"}), Some("error: no reply"));
    }

    #[test]
    fn fragments_count_where_their_type_is_met() {
        let query = "{ node(id: \"1\") { __typename id ... on Member { role } ... on Org { members { count } } } }";
        check_reply(query, json!({"data": {"node": {"__typename": "Member", "id": "1", "role": "MEMBER"}}}), None);
        check_reply(query, json!({"data": {"node": {"__typename": "Member", "id": "1"}}}), Some("role: was asked for"));
        check_reply(
            query,
            json!({"data": {"node": {"__typename": "Org", "id": "1", "role": "MEMBER", "members": null}}}),
            Some("role: was not asked for"),
        );
        check_reply(query, json!({"data": {"node": {"__typename": "Edge", "id": "1"}}}), Some("Edge is no Node"));
        let untold = "{ node(id: \"1\") { ...M } } fragment M on Member { id role }";
        check_reply(untold, json!({"data": {"node": {"id": "1", "role": "MEMBER"}}}), None);
        check_reply(untold, json!({"data": {"node": {}}}), None);
        check_reply(untold, json!({"data": {"node": {"role": 1}}}), Some("Role"));
    }
}
