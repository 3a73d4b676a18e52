//! `per_page`, `page` and the `Link` header.

use super::Cx;

/// Without `per_page`.
const DEFAULT: usize = 30;
/// More is cut down to this.
const MOST: usize = 100;

/// The items of the page that was asked for, and its `Link` header if there are other pages.
pub(super) fn page<'a, T>(cx: &Cx<'_>, items: &'a [T]) -> (&'a [T], Option<String>) {
    let number = |key| cx.param(key).and_then(|v| v.parse::<usize>().ok()).filter(|&n| n > 0);
    let size = number("per_page").unwrap_or(DEFAULT).min(MOST);
    let page = number("page").unwrap_or(1);
    let last = items.len().div_ceil(size).max(1);
    let from = page.saturating_sub(1).saturating_mul(size).min(items.len());
    let to = from.saturating_add(size).min(items.len());
    let mut links = Vec::new();
    if page > 1 {
        links.push(link(cx, last.min(page - 1), "prev"));
    }
    if page < last {
        links.push(link(cx, page + 1, "next"));
        links.push(link(cx, last, "last"));
    }
    if page > 1 {
        links.push(link(cx, 1, "first"));
    }
    let links = (!links.is_empty()).then(|| links.join(", "));
    (items.get(from..to).unwrap_or_default(), links)
}

fn link(cx: &Cx<'_>, page: usize, rel: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in cx.query.iter().filter(|(key, _)| key != "page") {
        query.append_pair(key, value);
    }
    query.append_pair("page", &page.to_string());
    format!("<{}{}?{}>; rel=\"{rel}\"", cx.base, cx.path, query.finish())
}
