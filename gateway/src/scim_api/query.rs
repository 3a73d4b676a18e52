//! Lists and searches (RFC 7644 sections 3.4.2 and 3.4.3).

use axum::body::Body;
use scim::Quirks;
use scim::list::{ListRequest, list_response};
use scim::schema::ResourceType;

use super::Asked;
use super::answer::{Answer, Refusal};
use super::render::Renderer;
use crate::service::directory::{DEFAULT_PAGE, MAX_PAGE};
use crate::service::types::Failure;

/// GET of an endpoint.
pub(super) async fn list(asked: Asked<'_>, rt: &ResourceType) -> Result<Answer, Refusal> {
    let mut quirks = asked.quirks.clone();
    let request = ListRequest::from_query(&asked.query, &mut quirks)?;
    asked.learn_query(&request, rt, &mut quirks)?;
    found(&asked, rt, &request).await
}

/// POST `/{endpoint}/.search` (RFC 7644 section 3.4.3).
pub(super) async fn search(asked: Asked<'_>, body: Body, rt: &ResourceType) -> Result<Answer, Refusal> {
    let body = asked.read_body(body, None).await?;
    let mut quirks = asked.quirks.clone();
    let request = ListRequest::from_search(body, &mut quirks)?;
    asked.learn_query(&request, rt, &mut quirks)?;
    found(&asked, rt, &request).await
}

async fn found(asked: &Asked<'_>, rt: &ResourceType, request: &ListRequest) -> Result<Answer, Refusal> {
    let found = asked.app.query(&asked.who.instance, rt, request).await?;
    let base = asked.base_url();
    let renderer = Renderer { app: asked.app, rt, base: &base, projection: &request.projection };
    let items = renderer.page(found.items).await?;
    Ok(Answer::ok(list_response(found.total, request.start_index, items)))
}

/// GET of the base URL: resources of every type.
pub(super) async fn list_all(asked: Asked<'_>) -> Result<Answer, Refusal> {
    let mut quirks = asked.quirks.clone();
    let request = ListRequest::from_query(&asked.query, &mut quirks)?;
    found_all(&asked, request, quirks).await
}

/// POST `/.search`: resources of every type.
pub(super) async fn search_all(asked: Asked<'_>, body: Body) -> Result<Answer, Refusal> {
    let body = asked.read_body(body, None).await?;
    let mut quirks = asked.quirks.clone();
    let request = ListRequest::from_search(body, &mut quirks)?;
    found_all(&asked, request, quirks).await
}

/// Goes through the types one after the other; `sortBy` orders within a type. A type that lacks
/// what the filter names has no match; if all lack it, the filter is wrong.
async fn found_all(asked: &Asked<'_>, request: ListRequest, mut quirks: Quirks) -> Result<Answer, Refusal> {
    let instance = &asked.who.instance;
    let base = asked.base_url();
    let skip = request.start_index.saturating_sub(1);
    let mut left = request.count.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE);
    let (mut total, mut items) = (0_u64, Vec::new());
    let (mut refused, mut answered) = (None, false);
    for rt in instance.registry.resource_types() {
        let request = ListRequest { start_index: skip.saturating_sub(total) + 1, count: Some(left), ..request.clone() };
        if let Err(error) = asked.learn_query(&request, rt, &mut quirks) {
            refused = refused.or(Some(error));
            continue;
        }
        let found = match asked.app.query(instance, rt, &request).await {
            Ok(found) => found,
            Err(Failure::Scim(error)) if error.status == 400 => {
                refused = refused.or(Some(error));
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        answered = true;
        total += found.total;
        let asked_for = found.items.len();
        let renderer = Renderer { app: asked.app, rt, base: &base, projection: &request.projection };
        let page = renderer.page(found.items).await?;
        // A page cut short ends the answer: what comes after it would be taken for what is missing.
        left = if page.len() < asked_for { 0 } else { left.saturating_sub(page.len() as u64) };
        items.extend(page);
    }
    match refused {
        Some(error) if !answered => Err(error.into()),
        _ => Ok(Answer::ok(list_response(total, request.start_index, items))),
    }
}
