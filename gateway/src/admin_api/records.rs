//! The record: people, groups, operations, work, and why something is as it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body, PageQuery, Path, Query, limit, listed, row_of};
use super::insight::time_of;
use super::instance;
use super::problem::Problem;
use crate::service::App;
use crate::service::records::{Browse, OperationFilter};

pub(super) const OPERATION_STATES: [&str; 5] = ["open", "applied", "failed", "superseded", "withdrawn"];
const WORK_STATES: [&str; 5] = ["todo", "running", "waiting", "held", "needs"];

/// Which operations.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OperationsQuery {
    /// open, applied, failed, superseded or withdrawn.
    state: Option<String>,
    /// Of the resource with this SCIM id, userName or displayName.
    resource: Option<String>,
    /// Accepted at or after this time (RFC 3339).
    since: Option<String>,
    /// Accepted before this time (RFC 3339).
    until: Option<String>,
    /// create, replace, patch, delete, adopt, or another verb of the record.
    verb: Option<String>,
    /// Asked by this actor: `key:ID`, a key's id or name, or admin.
    actor: Option<String>,
    /// With this id, of the request with this id, or of a person or group whose name begins so.
    text: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    limit: Option<i64>,
}

/// Which work.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WorkQuery {
    /// todo, running, waiting, held or needs.
    state: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    limit: Option<i64>,
}

/// Why what.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WhyQuery {
    /// A SCIM id, userName or displayName.
    resource: String,
    /// As of this time (RFC 3339); now without it.
    at: Option<String>,
    /// Of a group: only this person's membership of it, by SCIM id or userName.
    member: Option<String>,
}

pub(super) fn known_state(state: Option<String>, states: &[&str]) -> Result<Option<String>, Problem> {
    match state.filter(|state| !state.is_empty()) {
        Some(state) if !states.contains(&state.as_str()) => {
            Err(Problem::field("state", &format!("must be one of {}", states.join(", "))))
        }
        state => Ok(state),
    }
}

/// The users of an instance, oldest first, with where each stands.
#[utoipa::path(get, path = "/instances/{id}/users", tag = "record", params(("id" = String, Path, description = "instance"), PageQuery), responses((status = 200, description = "users", body = Value)))]
pub(super) async fn users(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(listed(app.list_users(&instance, row_of(page.cursor.as_deref(), 0)?, limit(page.limit)?).await?)))
}

/// The groups of an instance, oldest first, with where each stands.
#[utoipa::path(get, path = "/instances/{id}/groups", tag = "record", params(("id" = String, Path, description = "instance"), PageQuery), responses((status = 200, description = "groups", body = Value)))]
pub(super) async fn groups(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(listed(app.list_groups(&instance, row_of(page.cursor.as_deref(), 0)?, limit(page.limit)?).await?)))
}

/// The operations of an instance, newest first.
#[utoipa::path(get, path = "/instances/{id}/operations", tag = "record", params(("id" = String, Path, description = "instance"), OperationsQuery), responses((status = 200, description = "operations", body = Value)))]
pub(super) async fn operations(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<OperationsQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let some = |word: Option<String>| word.filter(|word| !word.is_empty());
    let filter = OperationFilter {
        state: known_state(query.state, &OPERATION_STATES)?,
        since: time_of("since", query.since.as_deref())?,
        until: time_of("until", query.until.as_deref())?,
        resource: some(query.resource),
        verb: some(query.verb),
        actor: some(query.actor),
        text: some(query.text),
    };
    let before = row_of(query.cursor.as_deref(), i64::MAX)?;
    Ok(Json(listed(app.list_operations(&instance, &filter, before, limit(query.limit)?).await?)))
}

/// What is still to be done for an instance.
#[utoipa::path(get, path = "/instances/{id}/work", tag = "record", params(("id" = String, Path, description = "instance"), WorkQuery), responses((status = 200, description = "work", body = Value)))]
pub(super) async fn work(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<WorkQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let state = known_state(query.state, &WORK_STATES)?;
    let after = row_of(query.cursor.as_deref(), 0)?;
    Ok(Json(listed(app.list_work(&instance, state.as_deref(), after, limit(query.limit)?).await?)))
}

/// Why a person, a group or a membership is as it is, or was as it was: what was asked, what was tried, what the target
/// answered, in order, and a sentence.
#[utoipa::path(get, path = "/instances/{id}/why", tag = "record", params(("id" = String, Path, description = "instance"), WhyQuery), responses((status = 200, description = "the chain", body = Value)))]
pub(super) async fn why(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<WhyQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let at = time_of("at", query.at.as_deref())?;
    let member = query.member.as_deref().filter(|word| !word.is_empty());
    let chain = app.why_at(&instance, &query.resource, at, member).await?;
    chain
        .map(Json)
        .ok_or_else(|| Problem::not_found("The record of this instance knows nobody and no group of that id or name."))
}

/// One operation, whole: who asked, what for, what was decided, called and checked, and how it ended.
#[utoipa::path(get, path = "/operations/{id}", tag = "record", params(("id" = String, Path, description = "operation")), responses((status = 200, description = "the operation", body = Value)))]
pub(super) async fn operation(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    app.operation(&id).await?.map(Json).ok_or_else(|| Problem::not_found("There is no such operation."))
}

/// One operation of an instance.
#[utoipa::path(get, path = "/instances/{id}/operations/{operation}", tag = "record", params(("id" = String, Path, description = "instance"), ("operation" = String, Path, description = "operation")), responses((status = 200, description = "the operation", body = Value)))]
pub(super) async fn operation_of(
    _: Admin,
    State(app): State<Arc<App>>,
    Path((id, operation)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let found = app.operation(&operation).await?.filter(|found| found["instance"] == instance.id.as_str());
    found.map(Json).ok_or_else(|| Problem::not_found("This instance has no such operation."))
}

/// Tries the work of an operation's resource again now.
#[utoipa::path(post, path = "/operations/{id}/retry", tag = "record", params(("id" = String, Path, description = "operation")), responses((status = 202, description = "the work is due now", body = Value), (status = 409, description = "nothing of it is left to do")))]
pub(super) async fn retry(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(app.retry_operation(&admin.actor, &id).await?)))
}

/// What of an instance is tried again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryBody {
    /// `User` or `Group`; both where it is left out.
    kind: Option<String>,
    /// `needs` (default): what needs somebody. `pending`: what waits, too, until it goes on by itself. `leaving`: of either,
    /// what takes access away.
    state: Option<String>,
    /// Whose name begins so.
    text: Option<String>,
    /// Counts, and tries nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Tries again now the work that needs somebody, or that waits: of the newest thousand people and of as many groups.
/// What is held stays held.
#[utoipa::path(post, path = "/instances/{id}/retry", tag = "record", params(("id" = String, Path, description = "instance")), request_body = RetryBody, responses((status = 202, description = "`retried`: how many it was, or would be with `dry_run`; `more`: whether there are others", body = Value), (status = 400, description = "names the field")))]
pub(super) async fn retry_all(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<RetryBody>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    let kinds: &[&'static str] = match body.kind.as_deref() {
        None => &["User", "Group"],
        Some("User") => &["User"],
        Some("Group") => &["Group"],
        Some(_) => return Err(Problem::field("kind", "must be User or Group")),
    };
    let state = body.state.unwrap_or_else(|| "needs".to_owned());
    if !Browse::RETRIED.contains(&state.as_str()) {
        return Err(Problem::field("state", &format!("must be one of {}", Browse::RETRIED.join(", "))));
    }
    let (mut retried, mut more) = (0, false);
    for kind in kinds {
        let text = body.text.clone().filter(|text| !text.is_empty());
        let which = Browse { kind, text, state: Some(state.clone()), active: None };
        if body.dry_run {
            let (found, others) = app.retryable(Some(&instance), &which).await?;
            retried += u64::try_from(found).unwrap_or(u64::MAX);
            more |= others;
        } else {
            let done = app.retry_all(&admin.actor, Some(&instance), &which).await?;
            retried += done["retried"].as_u64().unwrap_or(0);
            more |= done["more"] == true;
        }
    }
    Ok((StatusCode::ACCEPTED, Json(json!({"retried": retried, "more": more}))))
}

/// Gives up an operation whose work needs a person to act: what the target has stays as it is until the identity
/// provider asks again.
#[utoipa::path(post, path = "/operations/{id}/dismiss", tag = "record", params(("id" = String, Path, description = "operation")), responses((status = 200, description = "it is withdrawn", body = Value), (status = 409, description = "nothing of it needs a person")))]
pub(super) async fn dismiss(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(app.dismiss_operation(&admin.actor, &id).await?))
}
