//! Users and Groups: the verbs of RFC 7644 section 3.

use std::sync::Arc;

use axum::body::Body;
use http::header;
use scim::dialect::GroupPatchAnswer;
use scim::json::Limits;
use scim::resource::on_request_in;
use scim::schema::ResourceType;
use scim::{Projection, ScimError};
use serde_json::Value;

use super::answer::{Answer, Refusal};
use super::render::{Renderer, location, tag};
use super::{Asked, body, condition, events};
use crate::service::types::{Precondition, Stored};

/// A PATCH of a larger group answers without a body, so that adding one member to a group of ten
/// thousand does not cost ten thousand.
const SMALL_GROUP: i64 = 200;

impl Asked<'_> {
    fn projection(&self) -> Result<Projection, ScimError> {
        if self.query.is_empty() {
            return Ok(Projection::Default);
        }
        let get = |name: &str| {
            self.query.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        Projection::from_params(get("attributes"), get("excludedAttributes"))
    }

    fn precondition(&self) -> Precondition {
        condition::of_write(&self.headers)
    }

    /// Reads the body, within the limits of what it is about.
    pub(super) async fn read_body(&self, body: Body, rt: Option<&ResourceType>) -> Result<Value, Refusal> {
        let config = &self.app.config;
        let limits = if rt.is_some_and(|rt| rt.relation.is_some()) {
            Limits { max_bytes: config.body_limit_group, ..Limits::large() }
        } else {
            Limits { max_bytes: config.body_limit_user, ..Limits::default() }
        };
        body::read(&self.headers, body, &limits).await
    }
}

fn missing(rt: &ResourceType, id: &str) -> Refusal {
    let shown: String = id.chars().take(64).collect();
    ScimError::not_found(format!("There is no {} {shown} in this instance.", rt.name)).into()
}

/// GET of one resource.
pub(super) async fn read(asked: Asked<'_>, rt: &ResourceType, id: &str) -> Result<Answer, Refusal> {
    let projection = asked.projection()?;
    let item = asked.app.read(&asked.who.instance, rt, id).await?.ok_or_else(|| missing(rt, id))?;
    let base = asked.base_url();
    let renderer = Renderer::new(asked.app, &asked.who.instance, rt, &base, &projection);
    let place = location(&base, rt, id);
    if renderer.shows_sync() {
        return Ok(Answer::ok(renderer.one(item).await?).header(header::CONTENT_LOCATION, &place));
    }
    let version = item.version;
    if condition::of_read(&asked.headers, version)? == condition::Read::NotModified {
        return Ok(Answer::not_modified().header(header::ETAG, &tag(version)));
    }
    let answer = Answer::ok(renderer.one(item).await?).header(header::CONTENT_LOCATION, &place);
    Ok(answer.header(header::ETAG, &tag(version)))
}

/// POST.
pub(super) async fn create(asked: Asked<'_>, body: Body, rt: &ResourceType) -> Result<Answer, Refusal> {
    let projection = asked.projection()?;
    let body = asked.read_body(body, Some(rt)).await?;
    let given = on_request_in(rt, &body);
    let instance = Arc::clone(&asked.who.instance);
    let caller = events::caller(&asked, "POST").await?;
    let mut quirks = asked.quirks.clone();
    asked.learn_body(&body);
    let written = asked.app.create(&instance, &caller, rt, body, &mut quirks).await?;
    asked.learn_quirks(&quirks);
    let place = location(&asked.base_url(), rt, &written.stored.id);
    if let Some(answer) = events::answer_later(&caller, &place) {
        return Ok(answer);
    }
    let (value, version) = shown(&asked, rt, &projection, &given, written.stored).await?;
    let answer = Answer::created(value).header(header::LOCATION, &place);
    Ok(tagged(answer, version))
}

/// PUT.
pub(super) async fn replace(asked: Asked<'_>, body: Body, rt: &ResourceType, id: &str) -> Result<Answer, Refusal> {
    let projection = asked.projection()?;
    let condition = asked.precondition();
    let body = asked.read_body(body, Some(rt)).await?;
    let given = on_request_in(rt, &body);
    let instance = Arc::clone(&asked.who.instance);
    let caller = events::caller(&asked, "PUT").await?;
    let mut quirks = asked.quirks.clone();
    asked.learn_body(&body);
    let written = asked.app.replace(&instance, &caller, rt, id, body, condition, &mut quirks).await?;
    asked.learn_quirks(&quirks);
    let place = location(&asked.base_url(), rt, &written.stored.id);
    if let Some(answer) = events::answer_later(&caller, &place) {
        return Ok(answer);
    }
    let (value, version) = shown(&asked, rt, &projection, &given, written.stored).await?;
    Ok(tagged(Answer::ok(value).header(header::CONTENT_LOCATION, &place), version))
}

/// PATCH.
pub(super) async fn patch(asked: Asked<'_>, body: Body, rt: &ResourceType, id: &str) -> Result<Answer, Refusal> {
    let projection = asked.projection()?;
    let condition = asked.precondition();
    let body = asked.read_body(body, Some(rt)).await?;
    let given = on_request_in(rt, &body);
    let instance = Arc::clone(&asked.who.instance);
    let caller = events::caller(&asked, "PATCH").await?;
    let mut quirks = asked.quirks.clone();
    asked.learn_body(&body);
    let written = asked.app.patch(&instance, &caller, rt, id, body, condition, &mut quirks).await?;
    asked.learn_quirks(&quirks);
    let place = location(&asked.base_url(), rt, &written.stored.id);
    if let Some(answer) = events::answer_later(&caller, &place) {
        return Ok(answer);
    }
    if !answers_with_body(&asked, rt, &projection, &written.stored).await? {
        return Ok(Answer::empty().header(header::ETAG, &tag(written.stored.version)));
    }
    let (value, version) = shown(&asked, rt, &projection, &given, written.stored).await?;
    Ok(tagged(Answer::ok(value).header(header::CONTENT_LOCATION, &place), version))
}

async fn answers_with_body(
    asked: &Asked<'_>,
    rt: &ResourceType,
    projection: &Projection,
    item: &Stored,
) -> Result<bool, Refusal> {
    if rt.relation.is_none() || matches!(projection, Projection::Only(_)) {
        return Ok(true);
    }
    if asked.settings().group_patch == GroupPatchAnswer::Empty {
        return Ok(false);
    }
    Ok(!asked.app.has_more_members(item.seq, SMALL_GROUP).await?)
}

/// DELETE.
pub(super) async fn delete(asked: Asked<'_>, rt: &ResourceType, id: &str) -> Result<Answer, Refusal> {
    let instance = Arc::clone(&asked.who.instance);
    let caller = events::caller(&asked, "DELETE").await?;
    asked.app.delete(&instance, &caller, rt, id, asked.precondition()).await?;
    let place = location(&asked.base_url(), rt, id);
    Ok(events::answer_later(&caller, &place).unwrap_or_else(Answer::empty))
}

/// A resource as the request wants to see it, and its version if the answer has an entity tag.
async fn shown(
    asked: &Asked<'_>,
    rt: &ResourceType,
    projection: &Projection,
    given: &[String],
    item: Stored,
) -> Result<(Body, Option<i64>), Refusal> {
    let base = asked.base_url();
    // What the request asks for by name is all it gets; else it is shown what it wrote.
    let given = match projection {
        Projection::Only(_) => Vec::new(),
        Projection::Default => given.to_vec(),
        Projection::Without(_) => given.iter().filter(|path| !projection.leaves_out(rt, path)).cloned().collect(),
    };
    let renderer = Renderer::new(asked.app, &asked.who.instance, rt, &base, projection).with(given);
    let version = (!renderer.shows_sync()).then_some(item.version);
    Ok((renderer.one(item.try_into()?).await?, version))
}

fn tagged(answer: Answer, version: Option<i64>) -> Answer {
    match version {
        Some(version) => answer.header(header::ETAG, &tag(version)),
        None => answer,
    }
}
