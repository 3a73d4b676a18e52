//! What there is: connectors, budgets, and the audit of admins' acts.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::extract::{Admin, PageQuery, Query, limit, listed, row_of};
use super::problem::Problem;
use crate::service::App;
use crate::service::catalogue::Listed;
use crate::service::members::Role;

/// The connectors of this gateway, with their settings: those that are built in, then manifests by name.
#[utoipa::path(get, path = "/connectors", tag = "connectors", responses((status = 200, description = "name, title, kind, version, source (built_in, config, uploaded), settings, attributes, extensions and limits of each", body = Vec<Value>)))]
pub(super) async fn connectors(_: Admin, State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(app.catalogue.all().await?.iter().map(Listed::describe).collect()))
}

/// What is left of every target's limits.
#[utoipa::path(get, path = "/budgets", tag = "targets", responses((status = 200, description = "the buckets of each driver key", body = Value)))]
pub(super) async fn budgets(_: Admin, State(app): State<Arc<App>>) -> Json<Value> {
    Json(app.driver.budgets())
}

/// What members did, newest first. A Viewer is answered what they did themselves.
#[utoipa::path(get, path = "/audit", tag = "record", params(PageQuery), responses((status = 200, description = "acts", body = Value)))]
pub(super) async fn audit(
    admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let before = row_of(page.cursor.as_deref(), i64::MAX)?;
    let own = (admin.who.role == Role::Viewer).then_some(admin.actor.as_str());
    Ok(Json(listed(app.list_audit(before, limit(page.limit)?, own).await?)))
}
