//! Runs, differences and plans: what would happen, and what has happened behind our back.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use engine::drift::Class;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body, PageQuery, Path, Query, limit, listed, row_of};
use super::instance;
use super::problem::Problem;
use crate::service::App;

/// The longest reason of a decision.
const MAX_WHY: usize = 500;

/// Which differences.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DriftQuery {
    /// missing, vanished, changed, renamed, extra or unmanaged.
    class: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    limit: Option<i64>,
}

/// Why a difference is left as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Dismissal {
    /// For those who wonder later.
    #[serde(default)]
    why: String,
}

/// The imports and comparisons of an instance, newest first.
#[utoipa::path(get, path = "/instances/{id}/runs", tag = "instances", params(("id" = String, Path, description = "instance"), PageQuery), responses((status = 200, description = "runs", body = Value)))]
pub(super) async fn runs(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(listed(app.list_runs(&instance, row_of(page.cursor.as_deref(), i64::MAX)?, limit(page.limit)?).await?)))
}

/// Where the target differs from what was asserted, as the last comparison saw it; `counts` by class.
#[utoipa::path(get, path = "/instances/{id}/drift", tag = "instances", params(("id" = String, Path, description = "instance"), DriftQuery), responses((status = 200, description = "differences", body = Value)))]
pub(super) async fn drift(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<DriftQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let class = match query.class.as_deref().filter(|word| !word.is_empty()) {
        None => None,
        Some(word) => Some(Class::parse(word).ok_or_else(|| {
            let words: Vec<&str> = Class::ALL.iter().map(|class| class.as_str()).collect();
            Problem::field("class", &format!("must be one of {}", words.join(", ")))
        })?),
    };
    let slice = app.list_drift(&instance, class, row_of(query.cursor.as_deref(), 0)?, limit(query.limit)?).await?;
    let mut answer = listed(slice);
    answer["counts"] = app.count_drift(&instance).await?;
    Ok(Json(answer))
}

/// Repairs one difference now, whatever the policy `repair` says.
#[utoipa::path(post, path = "/instances/{id}/drift/{drift}/repair", tag = "instances", params(("id" = String, Path, description = "instance"), ("drift" = String, Path, description = "difference")),
    responses((status = 202, description = "the operation that repairs it", body = Value), (status = 409, description = "it cannot be repaired from here, or is being worked at")))]
pub(super) async fn repair(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, drift)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    Ok((StatusCode::ACCEPTED, Json(app.repair_drift(&admin.actor, &instance, &drift).await?)))
}

/// Leaves one difference as it is, until the identity provider writes that fact again.
#[utoipa::path(post, path = "/instances/{id}/drift/{drift}/dismiss", tag = "instances", params(("id" = String, Path, description = "instance"), ("drift" = String, Path, description = "difference")), request_body = Dismissal,
    responses((status = 200, description = "dismissed", body = Value), (status = 409, description = "there is nothing that the decision could be kept at")))]
pub(super) async fn dismiss(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, drift)): Path<(String, String)>,
    Body(dismissal): Body<Dismissal>,
) -> Result<Json<Value>, Problem> {
    if dismissal.why.len() > MAX_WHY {
        return Err(Problem::field("why", &format!("must be at most {MAX_WHY} bytes")));
    }
    let instance = instance(&app, &id).await?;
    Ok(Json(app.dismiss_drift(&admin.actor, &instance, &drift, &dismissal.why).await?))
}

/// What would be sent, before anything is: the steps of the work that is open, a page of them, with
/// totals over all of it, warnings, the number of calls and about how long they take. `digest` stands for
/// the whole; a rehearsing instance is enabled by naming it.
#[utoipa::path(get, path = "/instances/{id}/plan", tag = "instances", params(("id" = String, Path, description = "instance"), PageQuery), responses((status = 200, description = "the plan", body = Value)))]
pub(super) async fn plan(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let plan = app.plan(&instance, row_of(page.cursor.as_deref(), 0)?, limit(page.limit)?).await?;
    let mut answer = listed(plan.steps);
    answer["digest"] = json!(plan.digest);
    answer["totals"] = plan.totals;
    answer["warnings"] = plan.warnings;
    answer["forecast"] = plan.forecast;
    Ok(Json(answer))
}
