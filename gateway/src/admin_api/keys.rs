//! API keys of instances.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::{Admin, MaybeBody, PageQuery, Path, Query, limit, opened, sealed};
use super::instance;
use super::problem::Problem;
use crate::service::App;
use crate::service::keys::NewKey;

/// A key to make.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateKey {
    /// Its name for people.
    name: Option<String>,
    /// When it dies (RFC 3339).
    expires_at: Option<String>,
    /// `scim` (default), `scim:read`, or `scim:events` (polls security events). The key of a person has the scope `me`,
    /// and no other.
    scopes: Option<Vec<String>>,
    /// The SCIM id of the User that the key belongs to: it then opens `/Me`, which is that User (RFC 7644
    /// section 3.11), and discovery, and nothing else.
    person: Option<String>,
    /// Most requests of this key, such as `50/s`, `600/m` or `10000/h`; else the setting `inbound_per_key` counts.
    rate_limit: Option<String>,
}

/// How to rotate a key.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotateKey {
    /// How long the old key lives on; 0 (default) ends it at once.
    #[serde(default)]
    overlap_seconds: u64,
}

/// The keys of an instance, without their text.
#[utoipa::path(get, path = "/instances/{id}/keys", tag = "keys", params(("id" = String, Path, description = "instance"), PageQuery), responses((status = 200, description = "keys", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let limit = limit(page.limit)?;
    let after = opened(page.cursor.as_deref())?.unwrap_or_default();
    let mut items = app.list_keys(&instance, &after, limit + 1).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    let next = items.last().filter(|_| more).and_then(|last| last["id"].as_str()).map(sealed);
    Ok(Json(json!({"items": items, "next": next})))
}

/// Makes a key. Its text is shown this once.
#[utoipa::path(post, path = "/instances/{id}/keys", tag = "keys", params(("id" = String, Path, description = "instance")), request_body = CreateKey, responses((status = 201, description = "the key", body = Value)))]
pub(super) async fn create(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    MaybeBody(new): MaybeBody<CreateKey>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    let expires_at = match &new.expires_at {
        None => None,
        Some(text) => Some(instant("expires_at", text)?),
    };
    let new = NewKey { name: new.name, expires_at, scopes: new.scopes, person: new.person, rate_limit: new.rate_limit };
    let answer = app.create_key(&admin.actor, &instance, new).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Makes a new key in place of one.
#[utoipa::path(post, path = "/instances/{id}/keys/{key}/rotate", tag = "keys", params(("id" = String, Path, description = "instance"), ("key" = String, Path, description = "key")), request_body = RotateKey, responses((status = 201, description = "the new key", body = Value)))]
pub(super) async fn rotate(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
    MaybeBody(how): MaybeBody<RotateKey>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    let answer = app.rotate_key(&admin.actor, &instance, &key, how.overlap_seconds).await?;
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Revokes a key: at once here, within five seconds on other replicas.
#[utoipa::path(delete, path = "/instances/{id}/keys/{key}", tag = "keys", params(("id" = String, Path, description = "instance"), ("key" = String, Path, description = "key")), responses((status = 204, description = "revoked")))]
pub(super) async fn revoke(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let instance = instance(&app, &id).await?;
    app.revoke_key(&admin.actor, &instance, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A time that an admin gave, in microseconds.
pub(super) fn instant(field: &str, text: &str) -> Result<i64, Problem> {
    let at: jiff::Timestamp =
        text.parse().map_err(|_| Problem::field(field, "must be a time such as 2030-01-31T12:00:00Z"))?;
    Ok(at.as_microsecond())
}
