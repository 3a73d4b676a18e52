//! How listings go on, and that they end.
//!
//! A token is stored between pages, so it carries what is needed to see a listing that turns in
//! circles: the number of the page, a page's mark, and the place seen at the last power of two
//! (Brent's way of finding a cycle). A target that repeats itself is cut off, never followed.

use connector_sdk::{Fault, FaultKind, PageToken, Reply};
use serde::{Deserialize, Serialize};

use crate::expr::{Expr, Scope, from_json};

/// Pages after which a listing counts as endless.
const MOST_PAGES: u64 = 20_000;
/// The longest cursor, in bytes.
const LONGEST_CURSOR: usize = 8_192;

/// A compiled way of paging.
#[derive(Debug)]
pub(crate) struct Paging {
    pub(crate) kind: PagingKind,
    pub(crate) parameter: String,
    pub(crate) size_parameter: Option<String>,
    pub(crate) size: Option<usize>,
    pub(crate) more: Option<Expr>,
}

/// Which.
#[derive(Debug)]
pub(crate) enum PagingKind {
    Page { first: u64 },
    Offset { most: Option<u64> },
    Cursor { next: Expr },
    Link,
}

/// Where a listing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// How many pages were read.
    n: u64,
    /// The page, offset or cursor.
    at: String,
    /// The mark of the last page.
    mark: u64,
    /// The place that was seen at the last power of two.
    seen: String,
}

impl Place {
    /// Reads a stored token.
    pub(crate) fn of(token: &PageToken) -> Result<Self, Fault> {
        serde_json::from_str(&token.0).map_err(|_| {
            Fault::new(FaultKind::Refused, "The listing cannot go on from where it stopped. Start it again.")
                .context("a page token that is none of a manifest's")
        })
    }

    fn token(&self) -> Option<PageToken> {
        serde_json::to_string(self).ok().map(PageToken)
    }
}

impl Paging {
    /// The parameters that ask for a page.
    pub(crate) fn parameters(&self, place: Option<&Place>) -> Vec<(String, String)> {
        let mut all = Vec::new();
        match (place, &self.kind) {
            (Some(place), _) => all.push((self.parameter.clone(), place.at.clone())),
            (None, PagingKind::Page { first }) => all.push((self.parameter.clone(), first.to_string())),
            (None, PagingKind::Offset { .. }) => all.push((self.parameter.clone(), "0".to_owned())),
            (None, PagingKind::Cursor { .. } | PagingKind::Link) => {}
        }
        if let (Some(name), Some(size)) = (&self.size_parameter, self.size) {
            all.push((name.clone(), size.to_string()));
        }
        all
    }

    /// Where the listing goes on after a page of these ids; whether that is all that could be read.
    ///
    /// # Errors
    /// `Malformed` for a listing that turns in circles.
    pub(crate) fn next(
        &self,
        place: Option<&Place>,
        ids: &[String],
        listed: usize,
        reply: &Reply,
        scope: &mut Scope,
    ) -> Result<(Option<PageToken>, bool), Fault> {
        let link = link_next(reply);
        scope.insert("link", from_json(&serde_json::to_value(&link).unwrap_or_default()));
        let told = self.more.as_ref().map(|more| more.holds(scope));
        let full = self.size.is_some_and(|size| listed >= size);
        let here = place.map(|place| place.at.as_str());
        let mut complete = true;
        let next = match &self.kind {
            PagingKind::Page { first } => {
                let number = match here {
                    None => *first,
                    Some(at) => at.parse().map_err(|_| endless("a page that is no number"))?,
                };
                (told.unwrap_or(full) && listed > 0).then(|| number.saturating_add(1).to_string())
            }
            PagingKind::Offset { most } => {
                let offset: u64 = match here {
                    None => 0,
                    Some(at) => at.parse().map_err(|_| endless("an offset that is no number"))?,
                };
                let next = offset.saturating_add(u64::try_from(listed).unwrap_or(u64::MAX));
                let more = told.unwrap_or(full) && listed > 0;
                let beyond = most.is_some_and(|most| next >= most);
                complete = !(more && beyond);
                (more && !beyond).then(|| next.to_string())
            }
            PagingKind::Cursor { next } => {
                let cursor = next.text(scope).map_err(|_| endless("a cursor that is no text"))?;
                cursor.filter(|_| told.unwrap_or(true))
            }
            PagingKind::Link => match link {
                Some(link) if told.unwrap_or(true) => {
                    // Only the parameter is used: an address in an answer never decides where the
                    // credential is sent.
                    let (_, query) = link.target.split_once('?').unwrap_or_default();
                    let value = url::form_urlencoded::parse(query.as_bytes())
                        .find(|(name, _)| *name == self.parameter)
                        .map(|(_, value)| value.into_owned());
                    Some(value.ok_or_else(|| endless("a next link without its parameter"))?)
                }
                _ => None,
            },
        };
        let Some(at) = next else {
            return Ok((None, complete));
        };
        let mark = mark(ids);
        let n = place.map_or(0, |place| place.n).saturating_add(1);
        let seen = place.map_or("", |place| place.seen.as_str());
        if n >= MOST_PAGES {
            return Err(endless("too many pages"));
        }
        if at.len() > LONGEST_CURSOR {
            return Err(endless("a cursor that is too long"));
        }
        if here == Some(at.as_str()) || (!seen.is_empty() && seen == at) {
            return Err(endless("the same place again"));
        }
        if !ids.is_empty() && place.is_some_and(|place| place.mark == mark) {
            return Err(endless("the same page again"));
        }
        let seen = if n.is_power_of_two() { at.clone() } else { seen.to_owned() };
        Ok((Place { n, at, mark, seen }.token(), true))
    }
}

fn endless(what: &str) -> Fault {
    Fault::new(
        FaultKind::Malformed,
        "The target's listing does not go on as its manifest says: it would never end. Check the manifest's `paging`.",
    )
    .effect(connector_sdk::Effect::None)
    .context(what.to_owned())
}

/// A mark of a page: FNV-1a over its ids.
fn mark(ids: &[String]) -> u64 {
    let mut mark: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in ids.iter().flat_map(|id| id.bytes().chain([0])) {
        mark = (mark ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mark
}

/// The next link of an answer, with its parameters (RFC 8288, section 3).
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    #[serde(skip)]
    target: String,
    #[serde(flatten)]
    parameters: std::collections::BTreeMap<String, String>,
}

fn link_next(reply: &Reply) -> Option<Link> {
    let text = reply.header("link")?;
    text.split('<').skip(1).find_map(|part| {
        let (target, rest) = part.split_once('>')?;
        let parameters: std::collections::BTreeMap<String, String> = rest
            .split(';')
            .filter_map(|one| {
                let (name, value) = one.split_once('=')?;
                let value = value.trim().trim_end_matches(',').trim().trim_matches('"');
                Some((name.trim().to_ascii_lowercase(), value.to_owned()))
            })
            .collect();
        let next = parameters.get("rel")?.split_whitespace().any(|rel| rel.eq_ignore_ascii_case("next"));
        next.then(|| Link { target: target.to_owned(), parameters })
    })
}
