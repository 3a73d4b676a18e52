//! Instances: make, show, change, delete, probe, import, reconcile.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body, PageQuery, Path, Query, limit, listed, row_of};
use super::problem::Problem;
use super::{PREFIX, instance};
use crate::reconcile::RunKind;
use crate::service::App;
use crate::service::directory::time;
use crate::service::instances::{InstanceChange, NewInstance, Upgrade};
use crate::service::members::Role;
use crate::service::records::Slice;
use crate::service::types::{Instance, Mode};

/// An instance to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateInstance {
    /// Its name for people.
    name: String,
    /// The connector's name.
    connector: String,
    /// The version of a connector that is a manifest; the newest where it is left out.
    connector_version: Option<String>,
    /// The connector's settings, without credentials.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// The connector's credentials; never shown again.
    #[serde(default)]
    #[schema(value_type = Object)]
    secrets: BTreeMap<String, SecretString>,
    /// enabled, paused, rehearse or disabled.
    #[schema(value_type = String)]
    mode: Mode,
    /// The policy; what is left out has its default.
    #[schema(value_type = Object)]
    policy: Option<Map<String, Value>>,
    /// What it declares of schemas, beside the core ones: `attributes`, `extensions` and `resource_types`.
    #[serde(default)]
    #[schema(value_type = Option<SchemaDeclarations>)]
    schema: Value,
}

/// What an instance declares of schemas. An attribute has the members of RFC 7643 section 7, and
/// `restrictCanonicalValues`.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes what the service reads itself, to name the place of an error")]
struct SchemaDeclarations {
    /// Attributes: `resource_type`, `schema` (`core`, `enterprise` or a URN, which makes the extension), and the
    /// characteristics: `name`, `type`, `multiValued`, `required`, `caseExact`, `mutability`, `returned`,
    /// `uniqueness`, `canonicalValues`, `restrictCanonicalValues`, `referenceTypes`, `subAttributes`, `description`.
    #[schema(value_type = Option<Vec<Object>>)]
    attributes: Option<Vec<Value>>,
    /// Extensions: `resource_type`, `schema` with `id`, `name`, `description` and `attributes`, and `required`.
    #[schema(value_type = Option<Vec<Object>>)]
    extensions: Option<Vec<Value>>,
    /// Resource types: `name`, `endpoint`, `description`, `schema`, and `extensions` with `schema` and `required`.
    #[schema(value_type = Option<Vec<Object>>)]
    resource_types: Option<Vec<Value>>,
}

/// A member that was given, null included.
fn given<'de, D: serde::Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

/// What to change of an instance; null in settings, secrets and policy takes a value away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeInstance {
    /// Its name for people.
    name: Option<String>,
    /// enabled, paused, rehearse or disabled.
    #[schema(value_type = Option<String>)]
    mode: Option<Mode>,
    /// Settings to change.
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    /// Credentials to change.
    #[serde(default)]
    #[schema(value_type = Object)]
    secrets: BTreeMap<String, Option<SecretString>>,
    /// Policy fields to change.
    #[schema(value_type = Option<Object>)]
    policy: Option<Map<String, Value>>,
    /// Declarations of schemas to change: each list that is given replaces the one before, null takes it away.
    /// Values of what is no longer declared are kept and not shown; a declaration that stored values do not fit is
    /// refused with 409.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<SchemaDeclarations>)]
    schema: Option<Value>,
    /// To enable an instance that has been rehearsing: `digest` of `GET /instances/{id}/plan`, by which the admin
    /// says that the plan was seen. Whatever is accepted after the plan makes it stale (409).
    plan_digest: Option<String>,
}

async fn shown(app: &App, instance: &Arc<Instance>) -> Result<Value, Problem> {
    Ok(all_shown(app, std::slice::from_ref(instance)).await?.pop().unwrap_or_default())
}

/// Instances as they are shown; what they are not told of themselves is read for all at once.
async fn all_shown(app: &App, instances: &[Arc<Instance>]) -> Result<Vec<Value>, Problem> {
    let degraded = app.driver.degraded().await?;
    let mut degraded: HashMap<String, Value> = degraded
        .into_iter()
        .map(|one| (one.instance, json!({"since": time(one.since), "why": one.why, "look_at": time(one.look_at)})))
        .collect();
    let seqs: Vec<i64> = instances.iter().map(|instance| instance.seq).collect();
    let mut secrets = app.secret_names_of(&seqs).await?;
    let mut all = Vec::with_capacity(instances.len());
    for instance in instances {
        let secrets = secrets.remove(&instance.seq).unwrap_or_default();
        all.push(one_shown(app, instance, &secrets, degraded.remove(&instance.id)));
    }
    Ok(all)
}

fn one_shown(app: &App, instance: &Instance, secrets: &[String], degraded: Option<Value>) -> Value {
    json!({
        "id": instance.id,
        "name": instance.name,
        "connector": instance.connector_name,
        "connector_version": instance.connector_version,
        "mode": instance.mode,
        "scim_base_url": app.scim_base_url(&instance.id),
        "settings": instance.settings,
        "secrets": secrets,
        "policy": instance.policy,
        "schema": instance.declared,
        "driver_key": instance.driver_key,
        "config_rev": instance.config_rev,
        "created_at": time(instance.created_at),
        "verifying_since": instance.verifying_since.map(time),
        "degraded": degraded,
        "problem": instance.connector.as_ref().err().or(instance.schema_problem.as_ref()),
    })
}

/// The instances, oldest first.
#[utoipa::path(get, path = "/instances", tag = "instances", params(PageQuery), responses((status = 200, description = "instances", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let limit = limit(page.limit)?;
    let mut found = app.instances.page(row_of(page.cursor.as_deref(), 0)?, limit + 1).await?;
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next = found.last().filter(|_| more).map(|last| last.seq);
    let items = all_shown(&app, &found).await?;
    Ok(Json(listed(Slice { items, next })))
}

/// Makes an instance. An enabled one starts its import.
#[utoipa::path(post, path = "/instances", tag = "instances", request_body = CreateInstance, responses((status = 201, description = "the instance", body = Value), (status = 400, description = "names the field")))]
pub(super) async fn create(
    admin: Admin,
    State(app): State<Arc<App>>,
    Body(new): Body<CreateInstance>,
) -> Result<Response, Problem> {
    let new = NewInstance {
        name: new.name,
        connector: new.connector,
        connector_version: new.connector_version,
        settings: Value::Object(new.settings),
        secrets: new.secrets,
        mode: new.mode,
        policy: new.policy.map_or(Value::Null, Value::Object),
        schema: new.schema,
    };
    let instance = app.create_instance(&admin.actor, new).await?;
    let place = format!("{PREFIX}/instances/{}", instance.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(shown(&app, &instance).await?)).into_response())
}

/// One instance.
#[utoipa::path(get, path = "/instances/{id}", tag = "instances", params(("id" = String, Path, description = "instance")), responses((status = 200, description = "the instance", body = Value)))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(shown(&app, &instance).await?))
}

/// How to change an instance.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ChangeQuery {
    /// Takes a new credential although the target cannot be asked, or it is another identity's.
    force: Option<bool>,
}

/// Changes an instance. A change of a URL, or of a setting that says which target it is, demands
/// the credential again. A new credential is tried at the target first; the old one stays until that
/// has succeeded.
#[utoipa::path(patch, path = "/instances/{id}", tag = "instances", params(("id" = String, Path, description = "instance"), ChangeQuery), request_body = ChangeInstance,
    responses((status = 200, description = "the instance", body = Value), (status = 400, description = "names the field"), (status = 409, description = "accounts are linked already, someone else changed it, or a new credential could not be tried")))]
pub(super) async fn update(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<ChangeQuery>,
    Body(change): Body<ChangeInstance>,
) -> Result<Json<Value>, Problem> {
    let known = instance(&app, &id).await?;
    // Another replica may have changed it a moment ago.
    app.instances.invalidate(known.seq);
    let current = instance(&app, &id).await?;
    let change = InstanceChange {
        name: change.name,
        mode: change.mode,
        settings: change.settings,
        secrets: change.secrets,
        policy: change.policy,
        schema: change.schema,
        plan_digest: change.plan_digest,
        force: query.force.unwrap_or(false),
    };
    let instance = app.update_instance(&admin.actor, &current, change).await?;
    Ok(Json(shown(&app, &instance).await?))
}

/// How to delete an instance.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// Also while people still have to lose access at the target.
    force: Option<bool>,
}

/// Deletes an instance: its keys die at once; accounts at the target and the record stay.
#[utoipa::path(delete, path = "/instances/{id}", tag = "instances", params(("id" = String, Path, description = "instance"), DeleteQuery),
    responses((status = 204, description = "deleted"), (status = 409, description = "people still have to lose access")))]
pub(super) async fn delete(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<DeleteQuery>,
) -> Result<StatusCode, Problem> {
    admin.require(Role::Owner)?;
    let instance = instance(&app, &id).await?;
    app.delete_instance(&admin.actor, &instance, query.force.unwrap_or(false)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Checks the credential and its permissions at the target. Writes nothing there. A disabled instance is only checked
/// before its first import: it is being set up.
#[utoipa::path(post, path = "/instances/{id}/probe", tag = "instances", params(("id" = String, Path, description = "instance")), responses((status = 200, description = "ok, identity and checks", body = Value)))]
pub(super) async fn probe(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let probed = app.probe(&instance).await?;
    Ok(Json(json!({"ok": probed.ok, "identity": probed.identity, "checks": probed.checks})))
}

/// The version that an instance is moved to.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpgradeInstance {
    /// The version of its manifest, newer or older.
    version: String,
    /// Settings to change with it; null takes one away.
    #[schema(value_type = Option<Object>)]
    settings: Option<Map<String, Value>>,
    /// Credentials to change with it.
    #[serde(default)]
    #[schema(value_type = Object)]
    secrets: BTreeMap<String, Option<SecretString>>,
    /// Shows what would change, and changes nothing.
    #[serde(default)]
    dry_run: bool,
    /// Takes a new credential although the target cannot be asked, or it is another identity's.
    #[serde(default)]
    force: bool,
}

/// Moves an instance to another version of its manifest. Its settings have to fit that; what says which target it is
/// cannot change once accounts are linked.
#[utoipa::path(post, path = "/instances/{id}/upgrade", tag = "instances", params(("id" = String, Path, description = "instance")), request_body = UpgradeInstance,
    responses((status = 200, description = "changes: versions, settings, traits, driver_key; and the instance", body = Value), (status = 400, description = "names the field"), (status = 409, description = "accounts are linked already, or someone else changed it")))]
pub(super) async fn upgrade(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<UpgradeInstance>,
) -> Result<Json<Value>, Problem> {
    let known = instance(&app, &id).await?;
    // Another replica may have changed it a moment ago.
    app.instances.invalidate(known.seq);
    let current = instance(&app, &id).await?;
    let upgrade = Upgrade {
        version: body.version,
        settings: body.settings,
        secrets: body.secrets,
        dry_run: body.dry_run,
        force: body.force,
    };
    let (instance, changes) = app.upgrade_instance(&admin.actor, &current, upgrade).await?;
    Ok(Json(json!({"dry_run": body.dry_run, "changes": changes, "instance": shown(&app, &instance).await?})))
}

/// Reads what the target holds: accounts, groups, invitations.
#[utoipa::path(post, path = "/instances/{id}/import", tag = "instances", params(("id" = String, Path, description = "instance")), responses((status = 202, description = "run_id", body = Value), (status = 409, description = "one runs already")))]
pub(super) async fn import(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    start(&app, &admin, &id, RunKind::Import).await
}

/// Compares the target with what is wanted.
#[utoipa::path(post, path = "/instances/{id}/reconcile", tag = "instances", params(("id" = String, Path, description = "instance")), responses((status = 202, description = "run_id", body = Value), (status = 409, description = "one runs already")))]
pub(super) async fn reconcile(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    start(&app, &admin, &id, RunKind::Reconcile).await
}

/// Whom to compare.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareBody {
    /// The person: SCIM id or userName.
    resource: String,
}

/// Compares one person with their account at the target: it is read, and what differs is mended or reported by the
/// instance's policy.
#[utoipa::path(post, path = "/instances/{id}/compare", tag = "instances", params(("id" = String, Path, description = "instance")), request_body = CompareBody, responses((status = 202, description = "run_id", body = Value), (status = 404, description = "no such person"), (status = 409, description = "there is no account to read, or one runs already")))]
pub(super) async fn compare(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(body): Body<CompareBody>,
) -> Result<Response, Problem> {
    let instance = instance(&app, &id).await?;
    let run = app.compare_one(&instance, &body.resource, &admin.actor).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({"run_id": run}))).into_response())
}

async fn start(app: &Arc<App>, admin: &Admin, id: &str, kind: RunKind) -> Result<Response, Problem> {
    let instance = instance(app, id).await?;
    match app.start_run(&instance, kind, &admin.actor).await? {
        Some(run) => Ok((StatusCode::ACCEPTED, Json(json!({"run_id": run}))).into_response()),
        None => Err(Problem::new(
            StatusCode::CONFLICT,
            "An import or reconciliation of this instance runs already. Wait for its end.",
        )),
    }
}

/// An import or reconciliation.
#[utoipa::path(get, path = "/instances/{id}/runs/{run}", tag = "instances", params(("id" = String, Path, description = "instance"), ("run" = String, Path, description = "run")), responses((status = 200, description = "the run", body = Value)))]
pub(super) async fn run(
    _: Admin,
    State(app): State<Arc<App>>,
    Path((id, run)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    app.run(&instance, &run).await?.map(Json).ok_or_else(|| Problem::not_found("The instance has no such run."))
}
