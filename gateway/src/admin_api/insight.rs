//! What the record is asked beyond its lists: what needs somebody, searching, refused requests, exports, erasure.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::extract::{Admin, Body as Sent, PageQuery, Path, Query, limit, opened, row_of, sealed};
use super::instance;
use super::keys::instant;
use super::problem::Problem;
use super::records::{OPERATION_STATES, known_state};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::{Audited, Chunk, Exported, Glance, OperationFilter, Place, Span};
use crate::service::types::Instance;
use crate::store::StoreError;

/// Findings of one search, where no number is given and at most.
const FOUND: usize = 20;
const MOST_FOUND: usize = 100;
/// The longest text that is searched for, in characters.
const LONGEST: usize = 200;

/// What to search for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// A whole SCIM id, external id, remote id, operation id or request id; or the beginning of a userName, displayName,
    /// e-mail address or login.
    q: String,
    /// Findings, 20 by default and at most 100.
    limit: Option<i64>,
}

/// What to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// Accepted at or after this time (RFC 3339).
    since: Option<String>,
    /// Accepted before this time (RFC 3339).
    until: Option<String>,
    /// open, applied, failed, superseded or withdrawn.
    state: Option<String>,
    /// `cursor` of the last line that was received: the export goes on behind it.
    after: Option<String>,
}

/// Which acts to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditExportQuery {
    /// Done at or after this time (RFC 3339).
    since: Option<String>,
    /// Done before this time (RFC 3339).
    until: Option<String>,
    /// `cursor` of the last line that was received: the export goes on behind it.
    after: Option<String>,
}

/// Whose data to erase.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EraseBody {
    /// The SCIM id; names are not taken.
    resource: String,
}

/// A time of a query, if it is there.
pub(super) fn time_of(field: &str, text: Option<&str>) -> Result<Option<i64>, Problem> {
    text.filter(|text| !text.is_empty()).map(|text| instant(field, text)).transpose()
}

/// What needs somebody, over all instances: leavers who still have access first, then by age.
#[utoipa::path(get, path = "/attention", tag = "record", responses((status = 200, description = "kind, code, message, count, since, age_seconds, instance and act of each", body = Value)))]
pub(super) async fn attention(_: Admin, State(app): State<Arc<App>>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({"items": app.attention().await?, "next": null})))
}

/// All instances at a glance, a page of them, those in trouble first: what waits, is held, needs somebody and drifted in each,
/// and the oldest deprovision of all.
#[utoipa::path(get, path = "/overview", tag = "record", params(PageQuery), responses((status = 200, description = "instances, total, next, oldest_deprovision, last_applied_at", body = Value)))]
pub(super) async fn overview(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let which = Glance {
        after: opened(page.cursor.as_deref())?,
        limit: usize::try_from(limit(page.limit)?).unwrap_or_default(),
        ..Glance::default()
    };
    let mut seen = app.glance(&which).await?;
    seen["next"] = json!(seen["next"].as_str().map(sealed));
    Ok(Json(seen))
}

/// Which outcomes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ActivityQuery {
    /// `day` (the default; by the hour) or `week` (by the day).
    span: Option<String>,
    /// Only of this instance.
    instance: Option<String>,
}

/// How many operations were applied and how many failed, by the hour or by the day.
#[utoipa::path(get, path = "/activity", tag = "record", params(ActivityQuery), responses((status = 200, description = "from, to, part_seconds, complete, and at, applied, failed, counted of each part", body = Value)))]
pub(super) async fn activity(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<ActivityQuery>,
) -> Result<Json<Value>, Problem> {
    let span = match query.span.as_deref() {
        None => Span::default(),
        Some(word) => Span::parse(word).ok_or_else(|| Problem::field("span", "must be day or week"))?,
    };
    let of = match &query.instance {
        Some(id) => Some(instance(&app, id).await?),
        None => None,
    };
    Ok(Json(app.activity(of.as_deref(), span).await?))
}

/// Finds people, groups and operations over all instances.
#[utoipa::path(get, path = "/search", tag = "record", params(SearchQuery), responses((status = 200, description = "findings, the likeliest first", body = Value)))]
pub(super) async fn search(
    _: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<SearchQuery>,
) -> Result<Json<Value>, Problem> {
    let word = query.q.trim();
    if word.is_empty() || word.chars().count() > LONGEST || word.contains('\0') {
        return Err(Problem::field("q", &format!("must be from 1 to {LONGEST} characters")));
    }
    let most = match query.limit {
        None => FOUND,
        Some(number) => usize::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| Problem::field("limit", &format!("must be from 1 to {MOST_FOUND}")))?
            .min(MOST_FOUND),
    };
    let (items, more) = app.search(word, most).await?;
    Ok(Json(json!({"items": items, "more": more, "next": null})))
}

/// The requests of an instance's clients that were refused, last seen first, one item per sort with a count; `stranger` is
/// the newest call that no key let in.
#[utoipa::path(get, path = "/instances/{id}/rejected", tag = "record", params(("id" = String, Path, description = "instance"), PageQuery), responses((status = 200, description = "refused requests", body = Value)))]
pub(super) async fn rejected(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let before = match opened(page.cursor.as_deref())? {
        None => None,
        Some(text) => {
            let place = text.split_once(':').and_then(|(at, seq)| Some((at.parse().ok()?, seq.parse().ok()?)));
            Some(place.ok_or_else(|| Problem::field("cursor", "is not one that this list gave; begin without it"))?)
        }
    };
    let (items, next) = app.list_rejected(&instance, before, limit(page.limit)?).await?;
    let stranger = app.stranger(&instance).await?;
    Ok(Json(
        json!({"items": items, "next": next.map(|(at, seq)| sealed(&format!("{at}:{seq}"))), "stranger": stranger}),
    ))
}

/// The operations of an instance as lines of JSON (NDJSON), oldest first, each with its attempts and the cursor from which
/// an export that broke off goes on. Behind the cursor of a line that is younger than a minute some lines may come again
/// (each has its `id`); none is missed.
#[utoipa::path(get, path = "/instances/{id}/operations/export", tag = "record", params(("id" = String, Path, description = "instance"), ExportQuery), responses((status = 200, description = "a line per operation", body = String, content_type = "application/x-ndjson")))]
pub(super) async fn operations(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    admin.require(Role::Admin)?;
    let instance = instance(&app, &id).await?;
    let filter = OperationFilter {
        state: known_state(query.state, &OPERATION_STATES)?,
        since: time_of("since", query.since.as_deref())?,
        until: time_of("until", query.until.as_deref())?,
        ..OperationFilter::default()
    };
    let which = Exported { filter, after: Place::behind(row_of(query.after.as_deref(), 0)?) };
    let first = app.export_operations(&instance, &which).await?;
    Ok(lines(app, first, Source::Operations(instance, which)))
}

/// What admins did, as lines of JSON (NDJSON), oldest first.
#[utoipa::path(get, path = "/audit/export", tag = "record", params(AuditExportQuery), responses((status = 200, description = "a line per act", body = String, content_type = "application/x-ndjson")))]
pub(super) async fn audit(
    admin: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<AuditExportQuery>,
) -> Result<Response, Problem> {
    admin.require(Role::Admin)?;
    let which = Audited {
        since: time_of("since", query.since.as_deref())?,
        until: time_of("until", query.until.as_deref())?,
        after: Place::behind(row_of(query.after.as_deref(), 0)?),
    };
    let first = app.export_audit(&which).await?;
    Ok(lines(app, first, Source::Audit(which)))
}

/// Erases the data of a person who is deleted, or inactive and without an account. What happened stays on record, under a
/// pseudonym.
#[utoipa::path(post, path = "/instances/{id}/erase", tag = "record", params(("id" = String, Path, description = "instance")), request_body = EraseBody, responses((status = 200, description = "the pseudonym", body = Value), (status = 409, description = "there is access, an account or work left")))]
pub(super) async fn erase(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent(body): Sent<EraseBody>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(app.erase(&instance, &admin.actor, &body.resource).await?))
}

/// Where the lines of an export come from.
enum Source {
    Operations(Arc<Instance>, Exported),
    Audit(Audited),
}

impl Source {
    async fn next(&mut self, app: &App, after: Place) -> Result<Chunk, StoreError> {
        match self {
            Self::Operations(instance, which) => {
                which.after = after;
                app.export_operations(instance, which).await
            }
            Self::Audit(which) => {
                which.after = after;
                app.export_audit(which).await
            }
        }
    }
}

/// Sends lines page by page, as fast as they are taken. Where the store fails on the way the connection breaks off: the
/// end of an answer that ended well is the end of the record.
fn lines(app: Arc<App>, first: Chunk, source: Source) -> Response {
    let pages = stream::try_unfold(Some((app, source, first)), |state| async move {
        let Some((app, mut source, chunk)) = state else { return Ok::<_, std::io::Error>(None) };
        let text = text_of(&chunk);
        let last = chunk.lines.last().map(|(place, _)| *place);
        let next = match last.filter(|_| chunk.more) {
            None => None,
            Some(after) => match source.next(&app, after).await {
                Ok(chunk) => Some((app, source, chunk)),
                Err(error) => {
                    tracing::warn!(%error, "an export broke off");
                    return Err(std::io::Error::other("the export broke off"));
                }
            },
        };
        Ok(Some((text, next)))
    });
    let mut response = Response::new(Body::from_stream(pages));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

fn text_of(chunk: &Chunk) -> Bytes {
    let mut text = String::new();
    for (place, item) in &chunk.lines {
        let mut item = item.clone();
        item["cursor"] = json!(sealed(&place.sure.to_string()));
        // JSON text has no line ends of its own: what is in a name stays in its line.
        text.push_str(&item.to_string());
        text.push('\n');
    }
    text.into()
}
