//! Pages of connections (Relay cursors).

use std::rc::Rc;

use serde_json::Value;

use super::super::errors::Refusal;
use super::super::ids::{cursor, parse_cursor};
use super::execute::Obj;
use super::plan::{DEFAULT_PAGE, Plan, page_size};

/// One page of a connection over objects of type `node`.
pub(super) struct Page {
    pub(super) node: &'static str,
    pub(super) total: usize,
    pub(super) edges: Vec<(String, Obj)>,
    pub(super) before: bool,
    pub(super) after: bool,
}

/// How a connection is sorted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Last made first.
    Newest,
    /// By key, then oldest first.
    Key,
}

/// Cuts one page out of everything that matches. Cursors hold the sort key, so
/// a walk stays complete while things come and go.
pub(super) fn page(
    node: &'static str,
    mut found: Vec<(String, u64, Obj)>,
    order: Order,
    plan: &Plan,
) -> Result<Obj, Refusal> {
    let compare = |a: (&str, u64), b: (&str, u64)| match order {
        Order::Newest => b.1.cmp(&a.1),
        Order::Key => a.cmp(&b),
    };
    found.sort_by(|a, b| compare((&a.0, a.1), (&b.0, b.1)));
    let at = |name: &str| match plan.args.get(name).and_then(Value::as_str) {
        None => Ok(None),
        Some(text) => {
            parse_cursor(text).map(Some).ok_or_else(|| Refusal::bad_request(format!("Invalid cursor in '{name}'")))
        }
    };
    let total = found.len();
    let mut start = match at("after")? {
        None => 0,
        Some((key, seq)) => found.partition_point(|it| compare((&it.0, it.1), (&key, seq)).is_le()),
    };
    let mut end = match at("before")? {
        None => total,
        Some((key, seq)) => found.partition_point(|it| compare((&it.0, it.1), (&key, seq)).is_lt()),
    }
    .max(start);
    let size = usize::try_from(page_size(&plan.args).min(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    if plan.args.get("first").is_none_or(Value::is_null) && plan.args.get("last").is_some_and(Value::is_number) {
        start = start.max(end.saturating_sub(size));
    } else {
        end = end.min(start.saturating_add(size));
    }
    let edges = found.drain(start..end).map(|(key, seq, obj)| (cursor(&key, seq), obj)).collect();
    Ok(Obj::Page(Rc::new(Page { node, total, edges, before: start > 0, after: end < total })))
}
