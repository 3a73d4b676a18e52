//! Pages of connections (Relay cursors), and the complexity that a query requests.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::super::errors::Refusal;
use super::super::ids::{cursor, parse_cursor};
use super::execute::Obj;
use crate::graphql::plan::{Plan, Sub};
use crate::graphql::schema::base;

/// Page size that counts where a connection names neither `first` nor `last`,
/// and the largest page.
const DEFAULT_PAGE: u64 = 500;
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

/// The page size that a connection asks for.
fn page_size(args: &Map<String, Value>) -> u64 {
    args.get("first")
        .or_else(|| args.get("last"))
        .and_then(Value::as_i64)
        .map_or(DEFAULT_PAGE, |n| u64::try_from(n).unwrap_or(0))
}

/// Complexity that a field requests: 1 for an object, nothing for a leaf, a
/// connection 1 and its edges 1 and the node as often as asked for. `page` is
/// that of the connection around an edge.
pub(super) fn cost(plan: &Plan, page: u64) -> u64 {
    let ty = base(plan.def.ty);
    let inner = if ty.ends_with("Connection") {
        page_size(&plan.args)
    } else if plan.def.name == "edges" {
        page
    } else {
        1
    };
    let sum = |plans: &[Plan]| plans.iter().fold(0u64, |sum, plan| sum.saturating_add(cost(plan, inner)));
    let below = match &plan.sub {
        Sub::Leaf => return 0,
        Sub::Fields(plans) => sum(plans),
        Sub::ByType(types) => types.iter().map(|(_, plans)| sum(plans)).max().unwrap_or(0),
    };
    let times = if plan.def.name == "node" { page } else { 1 };
    times.saturating_mul(below.saturating_add(1))
}
