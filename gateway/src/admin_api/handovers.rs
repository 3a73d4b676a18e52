//! Hand-over links of instances.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::{Admin, MaybeBody, Path};
use super::instance;
use super::problem::Problem;
use crate::service::App;
use crate::service::handovers::NewHandover;

/// A hand-over link to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateHandover {
    /// How long it lives, in hours: 1 to 336 (72).
    hours: Option<u32>,
    /// The identity provider whose steps it shows: the id of a guide, such as `entra`. Without one, whoever opens it chooses.
    guide: Option<String>,
}

/// The newest fifty hand-over links of an instance, without their addresses.
#[utoipa::path(get, path = "/instances/{id}/handovers", tag = "keys", params(("id" = String, Path, description = "instance")), responses((status = 200, description = "links", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(json!({"items": app.list_handovers(&instance).await?})))
}

/// Makes a link by which somebody without an account sees the address and the steps, and makes one key. Its address is
/// shown this once.
#[utoipa::path(post, path = "/instances/{id}/handovers", tag = "keys", params(("id" = String, Path, description = "instance")), request_body = CreateHandover, responses((status = 201, description = "the link", body = Value)))]
pub(super) async fn create(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    MaybeBody(new): MaybeBody<CreateHandover>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    let new = NewHandover { hours: new.hours, guide: new.guide };
    let made = app.make_handover(&admin.actor, &instance, new).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

/// Takes a hand-over link back. A key that was made by it lives on.
#[utoipa::path(delete, path = "/instances/{id}/handovers/{handover}", tag = "keys", params(("id" = String, Path, description = "instance"), ("handover" = String, Path, description = "link")), responses((status = 204, description = "taken back")))]
pub(super) async fn revoke(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, handover)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let instance = instance(&app, &id).await?;
    app.revoke_handover(&admin.actor, &instance, &handover).await?;
    Ok(StatusCode::NO_CONTENT)
}
