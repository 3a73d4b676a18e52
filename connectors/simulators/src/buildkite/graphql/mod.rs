//! The GraphQL API: the part of the vendor's schema in [`schema`], resolved against the organisation.

mod connections;
mod execute;
mod inputs;
mod mutations;
mod page;
mod schema;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::errors::{Refusal, reply};
use super::world::World;
use crate::graphql;

/// What a GraphQL request came to.
pub(super) struct Answer {
    pub(super) response: Response<Bytes>,
    /// Requested and actual complexity, where a query was understood.
    pub(super) complexity: Option<(u64, u64)>,
}

/// Answers a request; `cap` is the most complexity that it may request.
pub(super) fn answer(world: &mut World, request: &Request<Bytes>, cap: Option<u64>, now: Timestamp) -> Answer {
    let failed = |response| Answer { response, complexity: None };
    let body: Map<String, Value> = match serde_json::from_slice(request.body()) {
        Ok(Value::Object(body)) => body,
        _ => {
            let refusal = Refusal::bad_request("The request body must be a JSON object");
            return failed(refusal.graphql());
        }
    };
    let compiled = match graphql::prepare(&schema::SCHEMA, &body) {
        Ok(compiled) => compiled,
        Err(issues) => return failed(errors(&issues)),
    };
    let requested = compiled.plans.iter().fold(0u64, |sum, plan| sum.saturating_add(page::cost(plan, 1)));
    if let Some(cap) = cap.filter(|cap| requested > *cap) {
        let message = format!("Query has complexity of {requested}, which exceeds max complexity of {cap}");
        return Answer { response: errors(&[json!({ "message": message })]), complexity: Some((requested, 0)) };
    }
    let graphql::Done { data, errors: failures, points: actual } = execute::run(world, &compiled, now);
    let mut out = Map::new();
    if !failures.is_empty() {
        out.insert("errors".to_owned(), Value::Array(failures));
    }
    out.insert("data".to_owned(), data);
    let stats = request
        .headers()
        .get("buildkite-include-query-stats")
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"));
    if stats {
        out.insert("stats".to_owned(), json!({ "requestedComplexity": requested, "actualComplexity": actual }));
    }
    Answer { response: reply(StatusCode::OK, &Value::Object(out)), complexity: Some((requested, actual)) }
}

/// Where a user's picture would be.
pub(super) fn avatar(user: Uuid) -> String {
    format!("https://www.gravatar.com/avatar/{}", user.simple())
}

/// GraphQL refuses with 200 and `errors`.
fn errors(list: &[Value]) -> Response<Bytes> {
    reply(StatusCode::OK, &json!({ "errors": list }))
}
