//! Manifests: connectors that are data. Upload, show, delete, check, preview, try.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use declarative::Sample;
use http::{StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::PREFIX;
use super::extract::{Admin, Body, PageQuery, Path, Query, limit, opened, sealed, text_body};
use super::problem::Problem;
use crate::service::App;
use crate::service::catalogue::{Format, ManifestText, Test};

/// A manifest.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ManifestBody {
    /// toml or yaml; guessed where it is left out.
    format: Option<String>,
    /// Its text.
    text: String,
}

fn format_of(word: Option<&str>) -> Result<Option<Format>, Problem> {
    word.map(|word| Format::of(word).ok_or_else(|| Problem::field("format", "must be toml or yaml"))).transpose()
}

impl TryFrom<ManifestBody> for ManifestText {
    type Error = Problem;

    fn try_from(body: ManifestBody) -> Result<Self, Problem> {
        Ok(Self { format: format_of(body.format.as_deref())?, text: Some(body.text), ..Self::default() })
    }
}

/// A manifest in the body: its text with its media type, or JSON that holds it.
pub(super) struct Given(ManifestText);

impl<S: Send + Sync> FromRequest<S> for Given {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind =
            request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence.is_empty() || essence == "application/json" {
            let Body(body) = Body::<ManifestBody>::from_request(request, state).await?;
            return Ok(Self(body.try_into()?));
        }
        let format = Format::of(&essence);
        if format.is_none() && essence != "text/plain" {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "A manifest is application/toml or application/yaml, or application/json with format and text.",
            ));
        }
        let text = Some(text_body(request).await?);
        Ok(Self(ManifestText { text, format, ..ManifestText::default() }))
    }
}

/// The manifests, by name.
#[utoipa::path(get, path = "/manifests", tag = "connectors", params(PageQuery), responses((status = 200, description = "name, title, kind, source, the version that a new instance gets, how many versions and instances there are", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = usize::try_from(limit(page.limit)?).unwrap_or(usize::MAX);
    let after = opened(page.cursor.as_deref())?.unwrap_or_default();
    let (items, more) = app.list_manifests(&after, limit).await?;
    let next = items.last().filter(|_| more).and_then(|last| last["name"].as_str()).map(sealed);
    Ok(Json(json!({"items": items, "next": next})))
}

/// Uploads a manifest: a new one, or a new version of one. The same text again is the same version. Instances hold to
/// their version until they are moved.
#[utoipa::path(post, path = "/manifests", tag = "connectors", request_body = ManifestBody,
    responses((status = 201, description = "the version", body = Value), (status = 200, description = "it was there", body = Value),
        (status = 400, description = "`errors` has everything that is wrong, each with line and field"), (status = 409, description = "the name is taken, or the version has another text")))]
pub(super) async fn upload(
    admin: Admin,
    State(app): State<Arc<App>>,
    Given(given): Given,
) -> Result<Response, Problem> {
    let uploaded = app.upload_manifest(&admin.actor, given).await?;
    let word = |field: &str| uploaded.shown[field].as_str().unwrap_or_default().to_owned();
    let place = format!("{PREFIX}/manifests/{}/{}", word("name"), word("version"));
    let status = if uploaded.new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, [(header::LOCATION, place)], Json(uploaded.shown)).into_response())
}

/// A manifest: its versions, newest first, and which instances hold to which.
#[utoipa::path(get, path = "/manifests/{name}", tag = "connectors", params(("name" = String, Path, description = "manifest")), responses((status = 200, description = "the manifest", body = Value)))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(app.manifest(&name).await?))
}

/// Deletes a manifest with all its versions. None may be in use.
#[utoipa::path(delete, path = "/manifests/{name}", tag = "connectors", params(("name" = String, Path, description = "manifest")), responses((status = 204, description = "deleted"), (status = 409, description = "in use, or of the config folder")))]
pub(super) async fn delete(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.delete_manifest(&admin.actor, &name, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// One version: its text, and the connector that it makes.
#[utoipa::path(get, path = "/manifests/{name}/{version}", tag = "connectors", params(("name" = String, Path, description = "manifest"), ("version" = String, Path, description = "version")), responses((status = 200, description = "the version", body = Value)))]
pub(super) async fn show_version(
    _: Admin,
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    Ok(Json(app.manifest_version(&name, &version).await?))
}

/// Deletes one version. It may not be in use.
#[utoipa::path(delete, path = "/manifests/{name}/{version}", tag = "connectors", params(("name" = String, Path, description = "manifest"), ("version" = String, Path, description = "version")), responses((status = 204, description = "deleted"), (status = 409, description = "in use, or of the config folder")))]
pub(super) async fn delete_version(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((name, version)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.delete_manifest(&admin.actor, &name, Some(&version)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The JSON schema of manifests.
#[utoipa::path(get, path = "/manifests/schema", tag = "connectors", responses((status = 200, description = "a JSON schema (draft 2020-12)", body = Value)))]
pub(super) async fn schema(_: Admin) -> Json<Value> {
    Json(declarative::json_schema())
}

/// Checks a manifest. Nothing is stored and nothing is sent.
#[utoipa::path(post, path = "/manifests/check", tag = "connectors", request_body = ManifestBody,
    responses((status = 200, description = "ok; errors, each with line and field; and, of a sound one, its kind, operations and settings", body = Value)))]
pub(super) async fn check(_: Admin, State(app): State<Arc<App>>, Given(given): Given) -> Result<Json<Value>, Problem> {
    Ok(Json(app.check_manifest(given).await?))
}

/// What a preview renders.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewBody {
    /// toml or yaml; guessed where it is left out.
    format: Option<String>,
    /// A manifest's text; or `name`.
    text: Option<String>,
    /// The name of a manifest that is there.
    name: Option<String>,
    /// Its version; the one that a new instance gets where it is left out.
    version: Option<String>,
    /// Settings of the connector.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// Whom and what it speaks of: `person`, `account_id`, `account_login`, `invite_id`, `group_name`, `group_id`, `item`.
    #[schema(value_type = Option<Object>)]
    sample: Option<Map<String, Value>>,
}

/// Renders every request of a manifest with sample data. Nothing is sent; credentials are `***`.
#[utoipa::path(post, path = "/manifests/preview", tag = "connectors", request_body = PreviewBody,
    responses((status = 200, description = "requests: operation, call, method, url, headers, body, and why one could not be rendered", body = Value), (status = 400, description = "`errors` has everything that is wrong with the manifest")))]
pub(super) async fn preview(
    _: Admin,
    State(app): State<Arc<App>>,
    Body(body): Body<PreviewBody>,
) -> Result<Json<Value>, Problem> {
    let given = ManifestText {
        text: body.text,
        format: format_of(body.format.as_deref())?,
        name: body.name,
        version: body.version,
    };
    let sample: Sample = match body.sample {
        None => Sample::default(),
        Some(sample) => serde_path_to_error::deserialize(Value::Object(sample))
            .map_err(|error| Problem::field(format!("sample.{}", error.path()), &error.inner().to_string()))?,
    };
    Ok(Json(app.preview_manifest(given, &Value::Object(body.settings), &sample).await?))
}

/// How a manifest is tried.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestBody {
    /// toml or yaml; guessed where it is left out.
    format: Option<String>,
    /// A manifest's text; or `name`.
    text: Option<String>,
    /// The name of a manifest that is there.
    name: Option<String>,
    /// Its version; the one that a new instance gets where it is left out.
    version: Option<String>,
    /// Settings of the connector.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// Its credentials; they are used for this and not kept.
    #[serde(default)]
    #[schema(value_type = Object)]
    secrets: BTreeMap<String, SecretString>,
    /// Whether a person and a group are made at the target, used, and taken away again.
    #[serde(default)]
    allow_writes: bool,
    /// SCIM attributes of that person, in place of the ones made up here: such as `userName` and `emails`.
    #[serde(default)]
    #[schema(value_type = Object)]
    person: Map<String, Value>,
}

/// Tries a manifest at its target, by the way that every call goes, within its guards and limits. It reads; only with
/// `allow_writes` it makes a person and a group whose names begin with `scimgate-test-`, and takes them away again.
#[utoipa::path(post, path = "/manifests/test", tag = "connectors", request_body = TestBody,
    responses((status = 200, description = "ok; steps, each with its outcome and calls; what could not be taken away", body = Value), (status = 400, description = "`errors` has everything that is wrong with the manifest, or `field` names a setting")))]
pub(super) async fn test(
    admin: Admin,
    State(app): State<Arc<App>>,
    Body(body): Body<TestBody>,
) -> Result<Json<Value>, Problem> {
    let manifest = ManifestText {
        text: body.text,
        format: format_of(body.format.as_deref())?,
        name: body.name,
        version: body.version,
    };
    let test = Test {
        manifest,
        settings: Value::Object(body.settings),
        secrets: body.secrets,
        allow_writes: body.allow_writes,
        person: body.person,
    };
    Ok(Json(json!(app.test_manifest(&admin.actor, test).await?)))
}
