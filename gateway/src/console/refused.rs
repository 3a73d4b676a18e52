//! Requests that were refused: what an identity provider sent that was not taken, and why; and calls that no key let in.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Answer;
use super::extract::{Path, Query};
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{int, link, text};
use crate::service::App;

/// Rows of a page: each may hold a long path, a long answer, and the shape of a body.
const PAGE: i64 = 20;
/// Characters of a body's shape and of an answer that are shown.
const SHAPE: usize = 400;
const DETAIL: usize = 500;
/// How long a call that no key let in is news, in seconds.
const NEWS: i64 = 24 * 3_600;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/instances/{id}/rejected", get(list))
}

/// Which page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    before: String,
}

impl Asked {
    fn place(&self) -> Result<Option<(i64, i64)>, Trouble> {
        if self.before.is_empty() {
            return Ok(None);
        }
        let place = self.before.split_once('.').and_then(|(at, seq)| Some((at.parse().ok()?, seq.parse().ok()?)));
        place
            .map(Some)
            .ok_or_else(|| Trouble::form("The address names no page of this list. Open the list from its beginning."))
    }
}

async fn list(visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>) -> Answer {
    let instance = visit.instance(&id).await?;
    let (items, next) = visit.app.list_rejected(&instance, query.place()?, PAGE).await?;
    let root = format!("/console/instances/{}", instance.id);
    let here = format!("{root}/rejected");
    let days = visit.app.config.retention.rejected.as_secs() / 86_400;
    let body = if items.is_empty() {
        let words = html! { "Every request that came was taken. What is refused is listed here for " (days) " days, with the reason that the identity provider was told." };
        parts::empty(
            "Nothing was refused",
            &words,
            &html! { a.btn href={ (root) "/connect" } { "Set the identity provider up" } },
        )
    } else {
        let next = next.map(|(at, seq)| link(&here, &[("before", &format!("{at}.{seq}"))]));
        let first = (!query.before.is_empty()).then(|| here.clone());
        let shown = count(i64::try_from(items.len()).unwrap_or(0), "sort of refusal here", "sorts of refusal here");
        let list = html! { (table(&visit, &items)) (parts::pager(&shown, first.as_deref(), next.as_deref())) };
        if query.before.is_empty() { parts::live("rejected", true, &list) } else { list }
    };
    let page = Page::of(&instance, Tab::Operations, "Refused requests")
        .crumb("Operations", format!("{root}/operations"))
        .lead(html! { "What the identity provider sent that was not taken, one row per sort, last seen first. Kept for " (days) " days; of bodies only their shape, never their values." });
    let page = if query.before.is_empty() { page.live() } else { page };
    let standing = visit.app.stranger(&instance).await?;
    let keys = visit.app.standing(&instance).await?;
    Ok(page.body(html! {
        (stranger(&visit, standing.as_ref(), &keys["keys"]["last_used_at"], &root))
        div.card { h2.hush { "The list" } (body) }
    }))
}

fn table(visit: &Visit, items: &[Value]) -> Markup {
    let mut table = Table::new("Refused requests")
        .hush()
        .head("Last seen")
        .head("Request")
        .head("Answer")
        .less("Key")
        .number("Times");
    for one in items {
        let shape: String = one["body"].to_string().chars().take(SHAPE).collect();
        let told: String = text(one, "detail").chars().take(DETAIL).collect();
        table.row(html! { tr {
            th scope="row" { (parts::ago_or(visit.now, &one["last_at"], "")) }
            td {
                code { (name(text(one, "method"))) " " (name(text(one, "path"))) }
                @if let Some(request) = one["request_id"].as_str() { p.small.muted { "Last request " (name(request)) } }
                @if !one["body"].is_null() { (parts::more("Shape of the body", &html! { code { (super::text::value(&shape)) } })) }
            }
            td { strong { (int(one, "status")) } @if let Some(kind) = one["scimType"].as_str() { " " code { (name(kind)) } } ": " (super::text::value(&told)) }
            td.rank2 { @match one["key_name"].as_str().filter(|name| !name.is_empty()) {
                Some(key) => (name(key)),
                None => code { (name(text(one, "key"))) },
            } }
            td.num { (number(int(one, "count"))) @if int(one, "count") > 1 { p.small.muted { "since " (parts::ago_or(visit.now, &one["first_at"], "")) } } }
        } });
    }
    table.draw()
}

/// A call that no key let in, told to whoever sets the identity provider up. `used` is when a good key was last used;
/// nothing where the call is old news.
pub(super) fn stranger(visit: &Visit, stranger: Option<&Value>, used: &Value, root: &str) -> Markup {
    let Some(stranger) = stranger else { return html! {} };
    let Some(at) = parts::instant(&stranger["last_at"]) else { return html! {} };
    if visit.now.duration_since(at).as_secs() > NEWS {
        return html! {};
    }
    let heard = parts::instant(used).is_some_and(|used| used >= at);
    let n = int(stranger, "count");
    parts::note(
        if heard { Tone::Quiet } else { Tone::Warn },
        &html! {
            p { strong { "A request that no key lets in came " @if let Some(origin) = stranger["origin"].as_str() { "from " (name(origin)) " " } (parts::ago(visit.now, at)) "." } }
            p { (name(text(stranger, "detail")))
                @if let Some(key) = stranger["key_name"].as_str().filter(|name| !name.is_empty()) { " It names the key " (name(key)) "." }
                @if n > 1 { " " (number(n)) " such requests since " (parts::ago_or(visit.now, &stranger["first_at"], "")) "." }
            }
            @if heard { p { "A good key was used since, so this may be over." } }
            @else { p { "The key in your identity provider is wrong or revoked, or somebody else has this address. " a href={ (root) "/connect" } { "Look at the setup" } " or " a href={ (root) "/keys" } { "make another key" } "." } }
        },
    )
}
