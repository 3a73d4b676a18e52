//! Tasks for people: what is open at targets without an API, and the word that it is done.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body, MaybeBody, Path, Query, limit, opened, sealed};
use super::instance;
use super::problem::Problem;
use crate::service::App;
use crate::service::desk::{Closing, KnownAccount, TaskFilter, TaskPlace};

const STATES: [&str; 5] = ["open", "done", "refused", "withdrawn", "all"];

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TasksQuery {
    /// open (default), done, refused, withdrawn or all.
    state: Option<String>,
    /// The id of an instance.
    instance: Option<String>,
    /// true: only open ones whose time is over.
    overdue: Option<bool>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    limit: Option<i64>,
}

/// What was done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Done {
    /// What there is to say, for the record.
    comment: Option<String>,
    /// Of a task that makes an account or a group: the id that it has in the application.
    account_id: Option<String>,
}

/// Why it is not done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Refused {
    /// Why, for whoever asked.
    comment: String,
}

/// Accounts that an application has already.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Accounts {
    /// At most 1000.
    accounts: Vec<OneAccount>,
}

/// An account that an application has already.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneAccount {
    /// Its id in the application; one is made up where there is none.
    id: Option<String>,
    /// The name by which people sign in.
    user_name: String,
    /// The address.
    email: Option<String>,
    /// The name shown to people.
    display_name: Option<String>,
    /// Whether it has access; true by default.
    active: Option<bool>,
}

fn place_of(cursor: Option<&str>) -> Result<Option<TaskPlace>, Problem> {
    let wrong = || Problem::field("cursor", "is not one that a list gave; begin without it");
    let Some(text) = opened(cursor)? else { return Ok(None) };
    let mut parts = text.split(':');
    let mut number = || parts.next().and_then(|part| part.parse::<i64>().ok());
    let place = match (number(), number(), number()) {
        (Some(row), None, None) => TaskPlace::Before(row),
        (Some(takes), Some(due), Some(row)) => TaskPlace::Due(i16::try_from(takes).map_err(|_| wrong())?, due, row),
        _ => return Err(wrong()),
    };
    Ok(Some(place))
}

fn cursor_of(place: TaskPlace) -> String {
    match place {
        TaskPlace::Before(row) => sealed(&row.to_string()),
        TaskPlace::Due(takes, due, row) => sealed(&format!("{takes}:{due}:{row}")),
    }
}

/// The tasks. Open ones: those that take access away first, then by due date; others: newest first.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(TasksQuery), responses((status = 200, description = "tasks", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<TasksQuery>,
) -> Result<Json<Value>, Problem> {
    let state = query.state.filter(|state| !state.is_empty()).unwrap_or_else(|| "open".to_owned());
    if !STATES.contains(&state.as_str()) {
        return Err(Problem::field("state", &format!("must be one of {}", STATES.join(", "))));
    }
    let overdue = query.overdue == Some(true);
    if overdue && state != "open" {
        return Err(Problem::field("overdue", "is told of open tasks only"));
    }
    let of = match query.instance.as_deref().filter(|id| !id.is_empty()) {
        Some(id) => Some(instance(&app, id).await?.seq),
        None => None,
    };
    let filter = TaskFilter { state: Some(state).filter(|state| state != "all"), instance: of, overdue };
    let (items, next) = app.list_tasks(&filter, place_of(query.cursor.as_deref())?, limit(query.limit)?).await?;
    Ok(Json(json!({"items": items, "next": next.map(cursor_of)})))
}

/// One task.
#[utoipa::path(get, path = "/tasks/{id}", tag = "tasks", params(("id" = String, Path, description = "task")), responses((status = 200, description = "the task", body = Value), (status = 404, description = "no such task")))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(app.task(&id).await?))
}

/// Says that a task was done. What waits for it goes on at once.
#[utoipa::path(post, path = "/tasks/{id}/done", tag = "tasks", params(("id" = String, Path, description = "task")), request_body = Done, responses((status = 200, description = "the task", body = Value), (status = 409, description = "it is closed, or not wanted any more; says what to do")))]
pub(super) async fn done(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    MaybeBody(body): MaybeBody<Done>,
) -> Result<Json<Value>, Problem> {
    let closing = Closing { done: true, comment: body.comment, account_id: body.account_id };
    Ok(Json(app.close_task(&admin.actor, &id, closing).await?))
}

/// Refuses a task. The change stands at `refused` with the comment until it is retried or another comes.
#[utoipa::path(post, path = "/tasks/{id}/refuse", tag = "tasks", params(("id" = String, Path, description = "task")), request_body = Refused, responses((status = 200, description = "the task", body = Value), (status = 409, description = "it is closed, or not wanted any more; says what to do")))]
pub(super) async fn refuse(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<Refused>,
) -> Result<Json<Value>, Problem> {
    let closing = Closing { done: false, comment: Some(body.comment), account_id: None };
    Ok(Json(app.close_task(&admin.actor, &id, closing).await?))
}

/// Enters accounts that an application without an API has already, so that nobody is asked to make them. An import
/// then shows them.
#[utoipa::path(post, path = "/instances/{id}/desk/accounts", tag = "tasks", params(("id" = String, Path, description = "instance")), request_body = Accounts, responses((status = 200, description = "how many are new, and how many were on record", body = Value), (status = 409, description = "the target has an API")))]
pub(super) async fn enter(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<Accounts>,
) -> Result<Json<Value>, Problem> {
    let of = instance(&app, &id).await?;
    let known = |one: OneAccount| KnownAccount {
        id: one.id,
        user_name: one.user_name,
        email: one.email,
        display_name: one.display_name,
        active: one.active.unwrap_or(true),
    };
    Ok(Json(app.enter_accounts(&admin.actor, &of, body.accounts.into_iter().map(known).collect()).await?))
}
