//! What the brake holds, and the decisions about it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body, PageQuery, Path, Query, limit, listed, opened, row_of, sealed};
use super::problem::Problem;
use crate::service::App;

const STATES: [&str; 3] = ["open", "allowed", "discarded"];

/// Which holds.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HoldsQuery {
    /// open, allowed or discarded.
    state: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// Items of a page, 50 by default and at most 500.
    limit: Option<i64>,
}

/// A decision about a hold.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    /// `list_hash` of the hold as it was read: the decision is about that list and no other.
    list_hash: String,
    /// Why, for the record.
    comment: Option<String>,
}

/// The holds, newest first.
#[utoipa::path(get, path = "/holds", tag = "holds", params(HoldsQuery), responses((status = 200, description = "holds", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<HoldsQuery>,
) -> Result<Json<Value>, Problem> {
    let state = query.state.filter(|state| !state.is_empty());
    if state.as_deref().is_some_and(|state| !STATES.contains(&state)) {
        return Err(Problem::field("state", &format!("must be one of {}", STATES.join(", "))));
    }
    let before = row_of(query.cursor.as_deref(), i64::MAX)?;
    Ok(Json(listed(app.list_holds(state.as_deref(), before, limit(query.limit)?).await?)))
}

/// One hold with its list, page by page. `list_hash` names the whole list.
#[utoipa::path(get, path = "/holds/{id}", tag = "holds", params(("id" = String, Path, description = "hold"), PageQuery), responses((status = 200, description = "the hold", body = Value), (status = 404, description = "no such hold")))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let after = match opened(page.cursor.as_deref())? {
        None => (i64::MIN, 0),
        Some(text) => text
            .split_once(':')
            .and_then(|(resource, item)| Some((resource.parse().ok()?, item.parse().ok()?)))
            .ok_or_else(|| Problem::field("cursor", "is not one that a list gave; begin without it"))?,
    };
    let (mut shown, next) = app.hold(&id, after, limit(page.limit)?).await?;
    shown["next"] = next.map(|(resource, item)| sealed(&format!("{resource}:{item}"))).into();
    Ok(Json(shown))
}

/// Lets everything in a hold go to the target.
#[utoipa::path(post, path = "/holds/{id}/allow", tag = "holds", params(("id" = String, Path, description = "hold")), request_body = Decision, responses((status = 200, description = "the hold", body = Value), (status = 409, description = "its list is another now, or it is decided")))]
pub(super) async fn allow(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(decision): Body<Decision>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let shown = app.decide_hold(&admin.actor, &id, true, &decision.list_hash, decision.comment).await?;
    Ok((StatusCode::OK, Json(shown)))
}

/// Gives up everything in a hold: what the target has stays until the identity provider asks again.
#[utoipa::path(post, path = "/holds/{id}/discard", tag = "holds", params(("id" = String, Path, description = "hold")), request_body = Decision, responses((status = 200, description = "the hold", body = Value), (status = 409, description = "its list is another now, or it is decided")))]
pub(super) async fn discard(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(decision): Body<Decision>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let shown = app.decide_hold(&admin.actor, &id, false, &decision.list_hash, decision.comment).await?;
    Ok((StatusCode::OK, Json(shown)))
}
