//! Streams of security events (RFC 9967) of instances.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::extract::{Admin, Body, Path};
use super::instance;
use super::problem::Problem;
use crate::service::App;
use crate::service::events::{NewStream, StreamChange};

/// Which kinds of events: `"all"`, or a list of names such as `"prov:create"`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged, expecting = "\"all\" or a list of names of events")]
enum Kinds {
    /// `all`
    Word(String),
    /// `feed:add`, `prov:create`, `prov:patch`, `prov:put`, `prov:delete`, `prov:activate`,
    /// `prov:deactivate`, `misc:asyncresp`
    Names(Vec<String>),
}

impl Kinds {
    fn names(self) -> Vec<String> {
        match self {
            Self::Word(word) => vec![word],
            Self::Names(names) => names,
        }
    }
}

/// A stream to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateStream {
    /// Its name for people.
    name: String,
    /// `poll` (RFC 8936: the receiver asks) or `push` (RFC 8935: the gateway sends).
    delivery: String,
    /// Where a push goes.
    endpoint_url: Option<String>,
    /// The `Authorization` header of a push. It is stored sealed and never shown.
    #[schema(value_type = Option<String>)]
    authorization: Option<SecretString>,
    /// Which kinds of events; all by default.
    events: Option<Kinds>,
    /// `notice` (default): names of what changed. `full`: the data.
    payload: Option<String>,
    /// The `aud` claim; the stream's URL by default.
    audience: Option<String>,
}

/// What to change of a stream; what is left out stays.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeStream {
    /// Its name for people.
    name: Option<String>,
    /// Where a push goes; the authorization has to be given again with it.
    endpoint_url: Option<String>,
    /// The `Authorization` header of a push; null removes it.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    authorization: Option<Option<SecretString>>,
    /// Which kinds of events.
    events: Option<Kinds>,
    /// `notice` or `full`.
    payload: Option<String>,
    /// The `aud` claim.
    audience: Option<String>,
    /// Whether delivery rests. Events wait meanwhile.
    paused: Option<bool>,
    /// Whether to send an event that only tries the stream out.
    #[serde(default)]
    verify: bool,
}

/// Tells null from absence.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<SecretString>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// The event streams of an instance, with how their delivery stands.
#[utoipa::path(get, path = "/instances/{id}/event-streams", tag = "events", params(("id" = String, Path, description = "instance")), responses((status = 200, description = "streams", body = Value)))]
pub(super) async fn list(
    _: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(json!({"items": app.event_streams(&instance).await?, "next": null})))
}

/// Makes an event stream. The first one turns security events on for the instance.
#[utoipa::path(post, path = "/instances/{id}/event-streams", tag = "events", params(("id" = String, Path, description = "instance")), request_body = CreateStream, responses((status = 201, description = "the stream", body = Value)))]
pub(super) async fn create(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Body(new): Body<CreateStream>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let instance = instance(&app, &id).await?;
    let new = NewStream {
        name: new.name,
        delivery: new.delivery,
        endpoint_url: new.endpoint_url,
        authorization: new.authorization,
        events: new.events.map(Kinds::names),
        payload: new.payload,
        audience: new.audience,
    };
    Ok((StatusCode::CREATED, Json(app.create_event_stream(&admin.actor, &instance, new).await?)))
}

/// One event stream, with the last events that its receiver refused.
#[utoipa::path(get, path = "/instances/{id}/event-streams/{stream}", tag = "events", params(("id" = String, Path, description = "instance"), ("stream" = String, Path, description = "stream")), responses((status = 200, description = "the stream", body = Value)))]
pub(super) async fn show(
    _: Admin,
    State(app): State<Arc<App>>,
    Path((id, stream)): Path<(String, String)>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    Ok(Json(app.event_stream(&instance, &stream).await?))
}

/// Changes, pauses, resumes or verifies an event stream. What failed is tried again at once.
#[utoipa::path(patch, path = "/instances/{id}/event-streams/{stream}", tag = "events", params(("id" = String, Path, description = "instance"), ("stream" = String, Path, description = "stream")), request_body = ChangeStream, responses((status = 200, description = "the stream", body = Value)))]
pub(super) async fn change(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, stream)): Path<(String, String)>,
    Body(change): Body<ChangeStream>,
) -> Result<Json<Value>, Problem> {
    let instance = instance(&app, &id).await?;
    let change = StreamChange {
        name: change.name,
        endpoint_url: change.endpoint_url,
        authorization: change.authorization,
        events: change.events.map(Kinds::names),
        payload: change.payload,
        audience: change.audience,
        paused: change.paused,
        verify: change.verify,
    };
    Ok(Json(app.change_event_stream(&admin.actor, &instance, &stream, change).await?))
}

/// Deletes an event stream and what waits in it. Without streams, security events are off for the instance.
#[utoipa::path(delete, path = "/instances/{id}/event-streams/{stream}", tag = "events", params(("id" = String, Path, description = "instance"), ("stream" = String, Path, description = "stream")), responses((status = 204, description = "deleted")))]
pub(super) async fn delete(
    admin: Admin,
    State(app): State<Arc<App>>,
    Path((id, stream)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let instance = instance(&app, &id).await?;
    app.delete_event_stream(&admin.actor, &instance, &stream).await?;
    Ok(StatusCode::NO_CONTENT)
}
