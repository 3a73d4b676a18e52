//! Who may use the admin API and the console.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Admin, Body, PageQuery, Path, Query, limit, listed, row_of};
use super::keys::instant;
use super::problem::Problem;
use crate::service::App;
use crate::service::members::{NewMember, Role};

/// A member to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateMember {
    /// The name, which the audit shows.
    name: String,
    /// What they may do: `viewer` reads, `admin` also changes and exports, `owner` also changes members and deletes
    /// instances.
    role: Role,
    /// When the membership ends (RFC 3339), and with it the token.
    expires_at: Option<String>,
    /// The address of a person who signs in to the console through the OpenID Connect provider. They get no token: the first
    /// who comes with this address, verified by the provider, within 14 days is the member from then on.
    email: Option<String>,
}

/// What to change of a member.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeMember {
    /// The new role.
    role: Role,
}

/// Who asks: name and role.
#[utoipa::path(get, path = "/whoami", tag = "members", responses((status = 200, description = "id, name, role, and how the audit names them", body = Value)))]
pub(super) async fn whoami(admin: Admin) -> Json<Value> {
    Json(admin.who.describe())
}

/// The members, newest first, without their tokens. The token that the gateway was started with is not among them.
#[utoipa::path(get, path = "/members", tag = "members", params(PageQuery), responses((status = 200, description = "members", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let before = row_of(page.cursor.as_deref(), i64::MAX)?;
    Ok(Json(listed(app.list_members(before, limit(page.limit)?).await?)))
}

/// Makes a member. A token is shown this once; a person who is invited by an address gets none. Owners only.
#[utoipa::path(post, path = "/members", tag = "members", request_body = CreateMember, responses((status = 201, description = "the member, with its `token`", body = Value), (status = 403, description = "not an Owner"), (status = 409, description = "the name is taken")))]
pub(super) async fn create(
    admin: Admin,
    State(app): State<Arc<App>>,
    Body(new): Body<CreateMember>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    admin.require(Role::Owner)?;
    let expires_at = new.expires_at.as_deref().map(|text| instant("expires_at", text)).transpose()?;
    let new = NewMember { name: new.name, role: new.role, expires_at, email: new.email };
    Ok((StatusCode::CREATED, Json(app.create_member(&admin.actor, new).await?)))
}

/// One member.
#[utoipa::path(get, path = "/members/{id}", tag = "members", params(("id" = String, Path, description = "member")), responses((status = 200, description = "the member", body = Value)))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(app.show_member(&id).await?))
}

/// Gives a member another role; their sessions end. Owners only.
#[utoipa::path(patch, path = "/members/{id}", tag = "members", params(("id" = String, Path, description = "member")), request_body = ChangeMember, responses((status = 200, description = "the member", body = Value), (status = 403, description = "not an Owner")))]
pub(super) async fn change(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(change): Body<ChangeMember>,
) -> Result<Json<Value>, Problem> {
    admin.require(Role::Owner)?;
    Ok(Json(app.change_member(&admin.actor, &id, change.role).await?))
}

/// Takes a member's access away: at once here, within two seconds on other replicas. Owners only.
#[utoipa::path(delete, path = "/members/{id}", tag = "members", params(("id" = String, Path, description = "member")), responses((status = 204, description = "removed"), (status = 403, description = "not an Owner")))]
pub(super) async fn remove(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    admin.require(Role::Owner)?;
    app.remove_member(&admin.actor, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
