//! What anybody may know: the public key by which receivers check the signatures of security events.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::Value;

use super::problem::Problem;
use crate::service::App;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/.well-known/jwks.json", get(keys))
}

async fn keys(State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(app.events.keys().await?))
}
