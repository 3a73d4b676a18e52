//! Lists and searches (RFC 7644 sections 3.4.2 and 3.4.3), paged by index or by cursor (RFC 9865).

use axum::body::Body;
use scim::list::{ListHead, ListRequest, list_head};
use scim::schema::ResourceType;
use scim::{Quirks, ScimError, ScimType};

use super::Asked;
use super::answer::{Answer, Refusal};
use super::render::{Parts, Renderer, put_json};
use crate::service::directory::cursor::{self, Mark};
use crate::service::directory::{DEFAULT_PAGE, Found, MAX_PAGE, Start};
use crate::service::types::Failure;

/// What stands for the endpoint where a cursor belongs to the base URL.
const ROOT: &str = "";

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

/// A walk by cursor.
struct Walk<'a> {
    asked: &'a Asked<'a>,
    binding: String,
    now: i64,
}

impl<'a> Walk<'a> {
    /// The walk of a request, and where its page begins; None where pages go by index. A request for no resource
    /// asks for the total alone, and walks nowhere.
    fn of(
        asked: &'a Asked<'a>,
        endpoint: &str,
        request: &ListRequest,
    ) -> Result<Option<(Self, Option<Mark>)>, ScimError> {
        let Some(text) = request.cursor.as_deref().filter(|_| request.count != Some(0)) else { return Ok(None) };
        let binding = cursor::binding(&asked.who.instance.id, endpoint, request);
        let walk = Self { asked, binding, now: asked.app.clock.now().as_second() };
        let mark = match text {
            "" => None,
            text => Some(cursor::open(&asked.app.ring, &walk.binding, text, walk.now)?),
        };
        Ok(Some((walk, mark)))
    }

    fn cursor(&self, mark: Mark) -> String {
        cursor::seal(&self.asked.app.ring, &self.binding, mark, self.now)
    }
}

fn page_size(request: &ListRequest) -> u64 {
    request.count.unwrap_or(DEFAULT_PAGE).min(MAX_PAGE)
}

async fn found(asked: &Asked<'_>, rt: &ResourceType, request: &ListRequest) -> Result<Answer, Refusal> {
    let walk = Walk::of(asked, &rt.endpoint, request)?;
    let start = match &walk {
        None => Start::Index(request.start_index),
        Some((_, mark)) => Start::After(mark.as_ref().and_then(|mark| mark.after.clone())),
    };
    let found = asked.app.query(&asked.who.instance, rt, request, &start, page_size(request)).await?;
    let base = asked.base_url();
    let renderer = Renderer::new(asked.app, &asked.who.instance, rt, &base, &request.projection);
    let mut resources = Parts::default();
    let shown = renderer.page(&mut resources, &found.items).await?;
    let head = ListHead {
        total: found.total,
        start_index: walk.is_none().then_some(request.start_index),
        items: shown as u64,
        next_cursor: walk.and_then(|(walk, _)| {
            behind(&found, shown).map(|after| walk.cursor(Mark { kind: rt.name.clone(), after: Some(after) }))
        }),
    };
    Ok(answer(asked, &base, &head, resources))
}

/// Where a walk goes on behind so many of what was found.
fn behind(found: &Found, shown: usize) -> Option<cursor::Position> {
    if shown == found.items.len() { found.next.clone() } else { found.marks.get(shown.checked_sub(1)?).cloned() }
}

/// Goes through the types one after the other; `sortBy` orders within a type. A type that lacks
/// what the filter names has no match; if all lack it, the filter is wrong.
async fn found_all(asked: &Asked<'_>, request: ListRequest, mut quirks: Quirks) -> Result<Answer, Refusal> {
    let instance = &asked.who.instance;
    let base = asked.base_url();
    let walk = Walk::of(asked, ROOT, &request)?;
    let mut mark = walk.as_ref().and_then(|(_, mark)| mark.clone());
    let by_cursor = walk.is_some();
    let mut left = page_size(&request);
    let (mut total, mut passed, mut items) = (Some(0_u64), 0_u64, 0_usize);
    let mut next = None;
    let mut resources = Parts::default();
    let (mut refused, mut answered) = (None, false);
    for rt in instance.registry.resource_types() {
        // A walk that is beyond a type counts it no more.
        if mark.as_ref().is_some_and(|mark| mark.kind != rt.name) {
            total = None;
            continue;
        }
        let start = match mark.take() {
            Some(mark) => Start::After(mark.after),
            None if by_cursor => Start::After(None),
            None => Start::Index(request.start_index.saturating_sub(passed).max(1)),
        };
        if let Err(error) = asked.learn_query(&request, rt, &mut quirks) {
            refused = refused.or(Some(error));
            continue;
        }
        // A full page asks only whether there is anything to go on with.
        let peeks = by_cursor && left == 0;
        let count = if peeks { 1 } else { left };
        let found = match asked.app.query(instance, rt, &request, &start, count).await {
            Ok(found) => found,
            // Too much to look at is no lack: without this type the answer would be wrong, not short.
            Err(Failure::Scim(error)) if error.status == 400 && error.scim_type != Some(ScimType::TooMany) => {
                refused = refused.or(Some(error));
                continue;
            }
            Err(other) => return Err(other.into()),
        };
        answered = true;
        let none_before = matches!(start, Start::Index(_) | Start::After(None));
        total = total.zip(found.total.filter(|_| none_before)).map(|(all, some)| all + some);
        passed = passed.saturating_add(found.total.unwrap_or(0));
        if peeks {
            if next.is_none() && !(found.items.is_empty() && found.next.is_none()) {
                next = Some(Mark { kind: rt.name.clone(), after: None });
            }
            continue;
        }
        let renderer = Renderer::new(asked.app, &asked.who.instance, rt, &base, &request.projection);
        if items > 0 && !found.items.is_empty() {
            resources.push(b",");
        }
        let shown = renderer.page(&mut resources, &found.items).await?;
        items += shown;
        left = left.saturating_sub(shown as u64);
        let after = behind(&found, shown);
        if shown < found.items.len() || after.is_some() {
            // What comes after a page that was cut short would be taken for what is missing.
            left = 0;
        }
        next = next.or(after.map(|after| Mark { kind: rt.name.clone(), after: Some(after) }));
    }
    // The type that the walk stands in is declared no more. Ended here, the walk would seem complete.
    if mark.is_some() {
        return Err(ScimError::invalid_cursor(
            "The cursor stands in a resource type that is not there any more. Begin again with an empty one.",
        )
        .into());
    }
    if let Some(error) = refused.filter(|_| !answered) {
        return Err(error.into());
    }
    let head = ListHead {
        total,
        start_index: (!by_cursor).then_some(request.start_index),
        items: items as u64,
        next_cursor: walk.zip(next).map(|((walk, _), mark)| walk.cursor(mark)),
    };
    Ok(answer(asked, &base, &head, resources))
}

/// A ListResponse around resources that are text already.
fn answer(asked: &Asked<'_>, base: &str, head: &ListHead, mut resources: Parts) -> Answer {
    let mut text = Vec::new();
    put_json(&mut text, &list_head(head));
    text.truncate(text.len() - 1);
    text.extend_from_slice(b",\"Resources\":[");
    resources.push_front(text);
    resources.push(b"]}");
    Answer::ok(resources.into_body(asked.app, base))
}
