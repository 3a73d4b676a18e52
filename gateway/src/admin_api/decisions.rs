//! How an instance stands, and what people decide about its open work: the outcome of writes in doubt,
//! and whose account is whose.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::doubt::Answer;
use engine::needs;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body, Path, Query, limit, listed, row_of};
use super::instance;
use super::problem::Problem;
use crate::service::App;

const LINK_STATES: [&str; 3] = ["proposed", "live", "closed"];

/// What became of a write whose outcome is in doubt.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    /// `happened`, `did_not` or `look_again`.
    answer: String,
}

/// Which links.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LinksQuery {
    /// proposed, live or closed.
    state: Option<String>,
    /// Of the resource with this SCIM id, userName or displayName.
    resource: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    limit: Option<i64>,
}

/// A link to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SetLink {
    /// The SCIM id, userName or displayName.
    resource: String,
    /// The account's or group's immutable id at the target, as links, users and groups show it.
    remote_id: String,
}

/// How an instance stands: its work by state, the oldest of each, what waits for whom.
#[utoipa::path(get, path = "/instances/{id}/status", tag = "record", params(("id" = String, Path, description = "instance")), responses((status = 200, description = "work by state with ages, the oldest deprovision, reasons, parked memberships, proposed links", body = Value)))]
pub(super) async fn status(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(app.status(&instance).await?))
}

/// Every word that open work may stand at: what it means, whose turn it is, and what ends it.
#[utoipa::path(get, path = "/needs", tag = "record", responses((status = 200, description = "code, turn, meaning and exit of each", body = Vec<Value>)))]
pub(super) async fn words(_: Admin) -> Json<Value> {
    Json(json!(needs::ALL))
}

/// Says what became of a write whose outcome is in doubt.
#[utoipa::path(post, path = "/operations/{id}/outcome", tag = "record", params(("id" = String, Path, description = "operation")), request_body = Outcome, responses((status = 202, description = "the work goes on from there", body = Value), (status = 409, description = "nothing is in doubt, or no look can tell")))]
pub(super) async fn outcome(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<Outcome>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let answer = Answer::parse(&body.answer).ok_or_else(|| {
        let words = Answer::ALL.map(Answer::as_str).join(", ");
        Problem::field("answer", &format!("must be one of {words}"))
    })?;
    Ok((StatusCode::ACCEPTED, Json(app.answer_outcome(&admin.actor, &id, answer).await?)))
}

/// The links of an instance, oldest first: proposed ones wait for a person.
#[utoipa::path(get, path = "/instances/{id}/links", tag = "links", params(("id" = String, Path, description = "instance"), LinksQuery), responses((status = 200, description = "links", body = Value)))]
pub(super) async fn links(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<LinksQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let state = query.state.as_deref().filter(|state| !state.is_empty());
    if state.is_some_and(|state| !LINK_STATES.contains(&state)) {
        return Err(Problem::field("state", &format!("must be one of {}", LINK_STATES.join(", "))));
    }
    let resource = query.resource.as_deref().filter(|word| !word.is_empty());
    let after = row_of(query.cursor.as_deref(), 0)?;
    Ok(Json(listed(app.list_links(&instance, state, resource, after, limit(query.limit)?).await?)))
}

/// Confirms a proposed link, or links by hand.
#[utoipa::path(post, path = "/instances/{id}/links", tag = "links", params(("id" = String, Path, description = "instance")), request_body = SetLink, responses((status = 201, description = "the link", body = Value), (status = 404, description = "no such resource, or no account of that id is known"), (status = 409, description = "the account is another's or protected")))]
pub(super) async fn link(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<SetLink>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    let link = app.set_link(&admin.actor, &instance, &body.resource, &body.remote_id).await?;
    Ok((StatusCode::CREATED, Json(link)))
}

/// Rejects a proposed link.
#[utoipa::path(delete, path = "/instances/{id}/links/{link}", tag = "links", params(("id" = String, Path, description = "instance"), ("link" = String, Path, description = "link")), responses((status = 204, description = "it is not proposed again"), (status = 409, description = "it is not proposed")))]
pub(super) async fn reject(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, link)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let instance = instance(&app, &id).await?;
    app.reject_link(&admin.actor, &instance, &link).await?;
    Ok(StatusCode::NO_CONTENT)
}
