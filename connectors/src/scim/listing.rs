//! Reading lists page by page, and finding by filter or by reading them.

use connector_sdk::{Cx, Effect, Fault, FaultKind, PageToken, Retry};
use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::{Answer, Client, odd};
use super::discovery::{Offer, Served};
use super::document::id;
use crate::shared::answer::Refused;

/// One page as it was read.
pub(super) struct Listed {
    pub(super) items: Vec<Map<String, Value>>,
    pub(super) next: Option<PageToken>,
    /// False where the list changed under the walk, or the server gave fewer than it says there are.
    pub(super) complete: bool,
}

/// RFC 7644 section 3.4.2; `nextCursor` RFC 9865 section 2.
#[derive(Deserialize)]
struct Body {
    #[serde(default, rename = "totalResults")]
    total: Option<Value>,
    #[serde(default, rename = "Resources", alias = "resources")]
    resources: Option<Vec<Value>>,
    #[serde(default, rename = "nextCursor")]
    next_cursor: Option<Value>,
}

/// Where a listing goes on: at an index, with the id that was the last before it, or at a cursor.
enum Place {
    Index { start: usize, last: Option<String> },
    Cursor(String),
}

fn place(page: Option<&PageToken>, cursor: bool) -> Result<Place, Fault> {
    let Some(PageToken(token)) = page else {
        return Ok(if cursor { Place::Cursor(String::new()) } else { Place::Index { start: 1, last: None } });
    };
    if let Some(cursor) = token.strip_prefix("c:") {
        return Ok(Place::Cursor(cursor.to_owned()));
    }
    let index = token.strip_prefix("i:").and_then(|rest| rest.split_once(':'));
    match index.and_then(|(start, last)| Some((start.parse::<usize>().ok()?, last))) {
        Some((start, last)) => {
            Ok(Place::Index { start: start.max(1), last: Some(last.to_owned()).filter(|last| !last.is_empty()) })
        }
        None => {
            Err(Fault::new(FaultKind::Malformed, "The place where a listing goes on is not one of this connector's.")
                .effect(Effect::None)
                .context("a page token of another form"))
        }
    }
}

/// What is looked for.
pub(super) struct Search<'a> {
    /// The call by filter, and the call that reads the list.
    pub(super) names: (&'static str, &'static str),
    pub(super) attribute: &'a str,
    pub(super) value: &'a str,
    /// Added to each call.
    pub(super) query: &'a [(&'a str, &'a str)],
}

impl Client {
    /// One page of a kind of resources. `query` is added to each call.
    ///
    /// Pages by index overlap by one: where the resource before a page is not the one that it was, somebody left the
    /// list meanwhile, and who moved up may have been missed. The page then says that it is not complete.
    pub(super) async fn page(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        offer: &Offer,
        served: &Served,
        query: &[(&str, &str)],
        page: Option<&PageToken>,
    ) -> Result<Listed, Fault> {
        let path: Vec<&str> = served.endpoint.iter().map(String::as_str).collect();
        let size = match (self.dialect.page_size, offer.most) {
            (0, _) => None,
            (size, Some(most)) => Some(size.min(most)),
            (size, None) => Some(size),
        };
        let mut call = self.call(name, Method::GET, &path);
        let place = place(page, offer.cursor)?;
        {
            let mut pairs = call.url.query_pairs_mut();
            for (name, value) in query {
                pairs.append_pair(name, value);
            }
            match &place {
                Place::Cursor(cursor) => {
                    pairs.append_pair("cursor", cursor);
                }
                Place::Index { start: 1, .. } => {
                    pairs.append_pair("startIndex", "1");
                }
                Place::Index { start, last } => {
                    // One back, to see that the list has not moved.
                    let start = if last.is_some() { start - 1 } else { *start };
                    pairs.append_pair("startIndex", &start.to_string());
                }
            }
            if let Some(size) = size {
                pairs.append_pair("count", &size.to_string());
            }
        }
        let success = match self.send(cx, call).await? {
            Answer::Yes(success) => success,
            Answer::No(refusal) if matches!(refusal.scim_type.as_str(), "invalidcursor" | "expiredcursor") => {
                return Err(refusal
                    .because(
                        FaultKind::Refused,
                        "The server has forgotten where the listing was. It begins anew at the next run.",
                    )
                    .retry(Retry::Never));
            }
            Answer::No(refusal) => return Err(refusal.fault()),
        };
        let body: Body = success.json()?;
        let total = body.total.as_ref().and_then(number);
        let resources = match (body.resources, total) {
            (Some(resources), _) => resources,
            // `Resources` may be missing where nothing is found (RFC 7644 section 3.4.2).
            (None, Some(_)) => Vec::new(),
            (None, None) => return Err(odd(&success, "neither totalResults nor Resources")),
        };
        let mut items: Vec<Map<String, Value>> = Vec::with_capacity(resources.len());
        for resource in resources {
            match resource {
                Value::Object(map) if id(&map).is_some() => items.push(map),
                _ => return Err(odd(&success, "a resource without an id")),
            }
        }
        Ok(match place {
            Place::Cursor(_) => {
                let next = body.next_cursor.as_ref().and_then(Value::as_str).filter(|next| !next.is_empty());
                // A page without anybody ends the walk, whatever it says: a cursor must not go round for ever.
                let next = next.filter(|_| !items.is_empty()).map(|next| PageToken(format!("c:{next}")));
                Listed { items, next, complete: true }
            }
            Place::Index { start, last } => index(items, start, last.as_deref(), total),
        })
    }

    /// Asks for a list and wants no more of it than that it is one.
    pub(super) async fn peek(&self, cx: &Cx<'_>, name: &'static str, served: &Served) -> Result<(), Fault> {
        let path: Vec<&str> = served.endpoint.iter().map(String::as_str).collect();
        let mut call = self.call(name, Method::GET, &path);
        call.url.query_pairs_mut().append_pair("startIndex", "1");
        if self.dialect.page_size > 0 {
            call.url.query_pairs_mut().append_pair("count", "1");
        }
        let success = self.send(cx, call).await?.success()?;
        let body: Body = success.json()?;
        match (body.total, body.resources) {
            (None, None) => Err(odd(&success, "neither totalResults nor Resources")),
            _ => Ok(()),
        }
    }

    /// Looks for resources of which an attribute has that value, by a filter where the server has one.
    ///
    /// What a filter gives is looked through once more: some servers pass over filters that they do not know, and then
    /// the list is read as if there were none.
    pub(super) async fn search(
        &self,
        cx: &Cx<'_>,
        search: Search<'_>,
        offer: &Offer,
        served: &Served,
        is: impl Fn(&Map<String, Value>) -> bool + Send + Sync,
    ) -> Result<Vec<Map<String, Value>>, Fault> {
        let Search { names, attribute, value, query } = search;
        if offer.filter {
            let filter = format!("{attribute} eq {}", Value::from(value));
            let path: Vec<&str> = served.endpoint.iter().map(String::as_str).collect();
            let mut call = self.call(names.0, Method::GET, &path);
            call.url.query_pairs_mut().append_pair("filter", &filter).extend_pairs(query);
            let success = match self.send(cx, call).await? {
                Answer::Yes(success) => Some(success),
                Answer::No(refusal) if refusal.unsupported() || refusal.scim_type == "invalidfilter" => None,
                Answer::No(refusal) => return Err(refusal.fault()),
            };
            if let Some(success) = success {
                let body: Body = success.json()?;
                if body.resources.is_none() && body.total.is_none() {
                    return Err(odd(&success, "neither totalResults nor Resources"));
                }
                let found: Vec<Map<String, Value>> =
                    body.resources.unwrap_or_default().into_iter().filter_map(object).collect();
                if found.iter().all(&is) {
                    return Ok(found);
                }
            }
        }
        let mut found = Vec::new();
        let mut read = 0;
        let mut page: Option<PageToken> = None;
        loop {
            let listed = self.page(cx, names.1, offer, served, query, page.as_ref()).await?;
            read += listed.items.len();
            found.extend(listed.items.into_iter().filter(|item| is(item)));
            page = listed.next;
            if page.is_none() {
                return Ok(found);
            }
            if read >= self.dialect.scan_limit {
                return Err(Fault::new(
                    FaultKind::Refused,
                    format!(
                        "{} offers no filter, and more than {read} resources were read without an end. Raise `scan_limit`, or set `filter` to yes if the server has one.",
                        self.dialect.server
                    ),
                )
                .retry(Retry::AfterOperator)
                .context(names.1));
            }
        }
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) if id(&map).is_some() => Some(map),
        _ => None,
    }
}

fn number(value: &Value) -> Option<usize> {
    let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())?;
    usize::try_from(number).ok()
}

/// What a page by index comes to. `start` is the place of its first new resource, counted from one.
fn index(mut items: Vec<Map<String, Value>>, start: usize, last: Option<&str>, total: Option<usize>) -> Listed {
    let mut complete = true;
    let mut begin = start;
    if let Some(last) = last {
        // The one that was last stands first again, unless the list moved; then its first may be new.
        match items.first().and_then(id) {
            Some(first) if first == last => {
                items.remove(0);
            }
            Some(_) => {
                complete = false;
                begin -= 1;
            }
            None => complete = false,
        }
    }
    let next_start = begin + items.len();
    let more = match total {
        Some(total) => next_start <= total,
        // A server that does not count is read until a page has nobody.
        None => !items.is_empty(),
    };
    if items.is_empty() && more && last.is_some() && complete {
        // Pages of one: the next is read without a look back.
        return Listed { items, next: Some(PageToken(format!("i:{next_start}:"))), complete };
    }
    if items.is_empty() {
        // Fewer than the server says there are.
        return Listed { complete: complete && !more, items, next: None };
    }
    let last = items.last().and_then(id).unwrap_or_default();
    let next = more.then(|| PageToken(format!("i:{next_start}:{last}")));
    Listed { items, next, complete }
}
