//! Queries and their answers (RFC 7644 sections 3.4.2 and 3.4.3; cursors: RFC 9865).
use serde_json::{Map, Value, json};

use crate::error::ScimError;
use crate::filter::{Filter, FilterLimits};
use crate::path::AttrPath;
use crate::projection::Projection;
use crate::quirks::Quirks;
use crate::urn;

/// The order of a sorted list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SortOrder {
    /// Smallest first; without a value last.
    #[default]
    Ascending,
    /// Largest first; without a value first.
    Descending,
}

/// What a list or search request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct ListRequest {
    /// Which resources; checked for its grammar, not yet against a resource type.
    pub filter: Option<Filter>,
    /// By what to sort.
    pub sort_by: Option<AttrPath>,
    /// In which order.
    pub sort_order: SortOrder,
    /// 1-based place of the first resource; at least 1, at most `i64::MAX`.
    pub start_index: u64,
    /// Most resources wanted, at most `i64::MAX`; None if the request leaves it to the service.
    pub count: Option<u64>,
    /// Where to go on, as an earlier answer said; empty: a walk by cursor begins. None: pages by index.
    pub cursor: Option<String>,
    /// Which attributes.
    pub projection: Projection,
}

impl Default for ListRequest {
    fn default() -> Self {
        Self {
            filter: None,
            sort_by: None,
            sort_order: SortOrder::default(),
            start_index: 1,
            count: None,
            cursor: None,
            projection: Projection::default(),
        }
    }
}

impl ListRequest {
    /// Reads decoded query parameters. Names match in any case, the last one of a name counts; unknown parameters
    /// are ignored, and so are known ones without a value, `filter` excepted.
    ///
    /// # Errors
    /// 400 `invalidFilter` for the filter, `invalidCount` for the count of a request with a cursor, `invalidValue`
    /// for the rest; a cursor and a `startIndex` exclude each other.
    pub fn from_query(pairs: &[(String, String)], quirks: &mut Quirks) -> Result<Self, ScimError> {
        let get = |name: &str| {
            let found = pairs.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let text = |name: &str| get(name).map(str::trim).filter(|v| !v.is_empty());
        let cursor = get("cursor").map(|v| v.trim().to_owned());
        let count = text("count").map(|v| count(v, cursor.as_deref())).transpose()?;
        if cursor.is_some() && text("startIndex").is_some() {
            return Err(two_ways());
        }
        Ok(Self {
            filter: match get("filter") {
                Some(filter) => Some(Filter::parse(filter, &FilterLimits::default(), quirks)?),
                None => None,
            },
            sort_by: text("sortBy").map(sort_path).transpose()?,
            sort_order: text("sortOrder").map(sort_order).transpose()?.unwrap_or_default(),
            start_index: text("startIndex").map(|v| index("startIndex", v, 1)).transpose()?.unwrap_or(1),
            count,
            cursor,
            projection: Projection::from_params(text("attributes"), text("excludedAttributes"))?,
        })
    }

    /// Reads a SearchRequest body.
    ///
    /// # Errors
    /// 400: not a SearchRequest, or as [`Self::from_query`].
    pub fn from_search(body: Value, quirks: &mut Quirks) -> Result<Self, ScimError> {
        let Value::Object(body) = body else {
            return Err(ScimError::invalid_syntax("The body is not a JSON object."));
        };
        let get = |name: &str| {
            let found = body.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value).filter(|value| !value.is_null())
        };
        let text = |name: &str| match get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(ScimError::invalid_value(format!("{name}: expected a text."))),
        };
        let names = |name: &str| match get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(list)) => Ok(list.split(',').map(|n| n.trim().to_owned()).collect()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect::<Option<Vec<String>>>()
                .ok_or_else(|| ScimError::invalid_value(format!("{name}: expected a list of texts."))),
            Some(_) => Err(ScimError::invalid_value(format!("{name}: expected a list of texts."))),
        };
        let number = |name: &str| match get(name) {
            None => None,
            Some(Value::Number(n)) => Some(whole(n)),
            Some(Value::String(text)) => Some(text.trim().to_owned()),
            // What no number can be read from is refused with what is none.
            Some(_) => Some("?".to_owned()),
        };
        let cursor = text("cursor")?.map(|v| v.trim().to_owned());
        if cursor.is_some() && get("startIndex").is_some() {
            return Err(two_ways());
        }
        if !lists(get("schemas"), urn::SEARCH_REQUEST) {
            return Err(ScimError::invalid_syntax(format!("schemas: {} is missing.", urn::SEARCH_REQUEST)));
        }
        Ok(Self {
            filter: match text("filter")? {
                Some(filter) => Some(Filter::parse(filter, &FilterLimits::default(), quirks)?),
                None => None,
            },
            sort_by: text("sortBy")?.filter(|v| !v.is_empty()).map(sort_path).transpose()?,
            sort_order: text("sortOrder")?.map(sort_order).transpose()?.unwrap_or_default(),
            start_index: number("startIndex").map(|v| index("startIndex", &v, 1)).transpose()?.unwrap_or(1),
            count: number("count").map(|v| count(&v, cursor.as_deref())).transpose()?,
            cursor,
            projection: Projection::from_names(&names("attributes")?, &names("excludedAttributes")?)?,
        })
    }
}

/// Whether a message's `schemas` holds a URN.
pub(crate) fn lists(schemas: Option<&Value>, urn: &str) -> bool {
    schemas
        .and_then(Value::as_array)
        .is_some_and(|items| items.iter().any(|v| v.as_str().is_some_and(|s| s.eq_ignore_ascii_case(urn))))
}

fn two_ways() -> ScimError {
    ScimError::invalid_value("startIndex and cursor exclude each other. Page by one of them.")
}

/// The size of a page. A walk that goes on needs pages that hold something: none would never end.
fn count(text: &str, cursor: Option<&str>) -> Result<u64, ScimError> {
    match (index("count", text, 0), cursor) {
        (Ok(0), Some(cursor)) if !cursor.is_empty() => {
            Err(ScimError::invalid_count("count: with a cursor that goes on, at least 1."))
        }
        (Err(error), Some(_)) => Err(ScimError::invalid_count(error.detail)),
        (read, _) => read,
    }
}

/// A JSON number as the digits that [`index`] reads: serde_json keeps integers beyond 64 bits as floats.
fn whole(number: &serde_json::Number) -> String {
    match number.as_f64() {
        Some(f) if number.is_f64() && f.fract() == 0.0 && f.abs() >= 1e15 => format!("{f:.0}"),
        _ => number.to_string(),
    }
}

fn sort_path(text: &str) -> Result<AttrPath, ScimError> {
    AttrPath::parse(text).map_err(|_| ScimError::invalid_value("sortBy: expected an attribute."))
}

fn sort_order(text: &str) -> Result<SortOrder, ScimError> {
    if text.eq_ignore_ascii_case("ascending") {
        Ok(SortOrder::Ascending)
    } else if text.eq_ignore_ascii_case("descending") {
        Ok(SortOrder::Descending)
    } else {
        Err(ScimError::invalid_value("sortOrder: expected ascending or descending."))
    }
}

/// A whole number of any length: what is less than `least` is taken as `least`, what is too large as `i64::MAX`.
fn index(name: &str, text: &str, least: u64) -> Result<u64, ScimError> {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(ScimError::invalid_value(format!("{name}: expected a whole number.")));
    }
    if negative {
        return Ok(least);
    }
    let top = u64::try_from(i64::MAX).unwrap_or(u64::MAX);
    Ok(digits.parse::<u64>().unwrap_or(top).clamp(least, top))
}

/// A ListResponse. `itemsPerPage` is the number of resources in it; `Resources` is there even if empty.
pub fn list_response(total: u64, start_index: u64, resources: Vec<Value>) -> Value {
    let mut out = list_head(&ListHead {
        total: Some(total),
        start_index: Some(start_index),
        items: resources.len() as u64,
        next_cursor: None,
    });
    out.insert("Resources".into(), Value::Array(resources));
    Value::Object(out)
}

/// What a ListResponse says of its page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListHead {
    /// How many match in all; a walk by cursor may leave it out (RFC 9865 section 2).
    pub total: Option<u64>,
    /// Where the page begins; only where pages go by index.
    pub start_index: Option<u64>,
    /// Resources in the page.
    pub items: u64,
    /// Where the walk goes on; None on the last page, and where pages go by index.
    pub next_cursor: Option<String>,
}

/// A ListResponse without its `Resources`.
pub fn list_head(head: &ListHead) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("schemas".into(), json!([urn::LIST_RESPONSE]));
    out.extend(head.total.map(|total| ("totalResults".to_owned(), json!(total))));
    out.extend(head.start_index.map(|start| ("startIndex".to_owned(), json!(start))));
    out.insert("itemsPerPage".into(), json!(head.items));
    out.extend(head.next_cursor.as_ref().map(|cursor| ("nextCursor".to_owned(), json!(cursor))));
    out
}
