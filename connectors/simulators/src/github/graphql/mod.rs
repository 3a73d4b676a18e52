//! `POST /graphql`: organisations, members, SAML identities and verified addresses. Nothing is written by GraphQL here.

mod resolve;
mod schema;

use serde_json::json;

use super::errors::Reply;
use super::{Cx, GitHub};
use crate::graphql;

impl GitHub {
    pub(super) fn graphql(&self, cx: &Cx<'_>) -> Reply {
        let body = match cx.object() {
            Ok(body) => body,
            Err(reply) => return reply,
        };
        let compiled = match graphql::prepare(&schema::SCHEMA, &body) {
            Ok(compiled) => compiled,
            Err(errors) => return Reply::ok(json!({ "errors": errors })),
        };
        let done = graphql::run(&mut resolve::Run { hub: self, cx }, &compiled);
        let mut answer = json!({ "data": done.data });
        if !done.errors.is_empty() {
            answer["errors"] = done.errors.into();
        }
        Reply::ok(answer)
    }
}
