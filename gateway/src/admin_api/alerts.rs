//! Who is told of alerts: signed webhooks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::{Admin, Body, Path};
use super::problem::Problem;
use crate::service::App;

/// A webhook to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateWebhook {
    /// Where messages are posted.
    url: String,
    /// Which: `hold.opened`, `hold.reminder`, `deprovision.overdue`, `credential.dead`, `breaker.open`,
    /// `needs.appeared`, `run.failed`; all by default.
    events: Option<Vec<String>>,
}

/// The webhooks that are told of alerts, with how their delivery stands.
#[utoipa::path(get, path = "/alert-webhooks", tag = "alerts", responses((status = 200, description = "webhooks", body = Value)))]
pub(super) async fn list(_: Admin, State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"items": app.alert_webhooks().await?, "next": null})))
}

/// Makes a webhook for alerts. Messages are signed in the form of Standard Webhooks; the secret is shown this once.
#[utoipa::path(post, path = "/alert-webhooks", tag = "alerts", request_body = CreateWebhook, responses((status = 201, description = "the webhook with its secret", body = Value)))]
pub(super) async fn create(
    admin: Admin,
    State(app): State<Arc<App>>,
    Body(new): Body<CreateWebhook>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok((StatusCode::CREATED, Json(app.create_alert_webhook(&admin.actor, &new.url, new.events).await?)))
}

/// One webhook.
#[utoipa::path(get, path = "/alert-webhooks/{id}", tag = "alerts", params(("id" = String, Path, description = "webhook")), responses((status = 200, description = "the webhook", body = Value)))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(app.alert_webhook(&id).await?))
}

/// Deletes a webhook and what waits for it.
#[utoipa::path(delete, path = "/alert-webhooks/{id}", tag = "alerts", params(("id" = String, Path, description = "webhook")), responses((status = 204, description = "deleted")))]
pub(super) async fn delete(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    app.delete_alert_webhook(&admin.actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message of the type `test`; the webhook shows whether it arrived. One that was switched off because its
/// receiver answered 410 is switched on again.
#[utoipa::path(post, path = "/alert-webhooks/{id}/test", tag = "alerts", params(("id" = String, Path, description = "webhook")), responses((status = 202, description = "the message is on its way", body = Value)))]
pub(super) async fn test(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    Ok((StatusCode::ACCEPTED, Json(app.test_alert_webhook(&admin.actor, &id).await?)))
}
