//! One box for everything that has a name or an id.

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Sending;
use super::extract::Query;
use super::layout::{Nav, Page};
use super::parts::{self, Tone};
use super::text::name;
use super::trouble::Trouble;
use super::visit::{Visit, see};
use super::words::{link, place, text};
use crate::service::App;
use crate::service::types::Instance;

/// Findings that are shown.
const MOST: usize = 60;
/// Instances that are shown; the list has all.
const INSTANCES: usize = 20;
/// Longest word that is looked for, in characters.
const LONGEST: usize = 200;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/search", get(search))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
}

/// Where a finding's page is.
fn href(item: &Value) -> String {
    match text(item, "kind") {
        "Operation" => format!("/console/operations/{}", text(item, "id")),
        kind => place(text(&item["instance"], "id"), kind, text(item, "id")),
    }
}

async fn search(visit: Visit, Query(query): Query<Asked>) -> Sending {
    let word: String = query.q.trim().chars().filter(|c| *c != '\0').take(LONGEST).collect();
    if word.is_empty() {
        let body = parts::empty(
            "What are you looking for?",
            &html! { "People by user name, e-mail address, login or external id; groups by name; operations by their id or by the id of the request; instances by name or id." },
            &html! {},
        );
        return Ok(Page::new(Nav::Home, "Search")
            .body(html! { div.card { h2.hush { "Search" } (body) } })
            .into_response());
    }
    if let Some(page) = by_id(&visit, &word).await? {
        return Ok(page);
    }
    let (items, more) = visit.app.search(&word, MOST).await?;
    let exact: Vec<&Value> =
        items.iter().filter(|item| matches!(text(item, "matched"), "id") && text(item, "id") == word).collect();
    if let [only] = exact.as_slice() {
        return Ok(see(&href(only)));
    }
    let (instances, others) = named(&visit, &word).await?;
    let (people, rest): (Vec<&Value>, Vec<&Value>) = items.iter().partition(|item| text(item, "kind") == "User");
    let (groups, operations): (Vec<&Value>, Vec<&Value>) =
        rest.into_iter().partition(|item| text(item, "kind") == "Group");
    let body = if items.is_empty() && instances.is_empty() {
        html! { div.card { h2.hush { "Findings" } (parts::empty(
            "Nothing was found",
            &html! { "Nothing begins with \u{201c}" (name(&word)) "\u{201d}. Search matches from the start: try the whole e-mail address, the user name, or an id." },
            &html! {},
        )) } }
    } else {
        html! {
            (section("People", &people, person))
            (section("Groups", &groups, group))
            (section("Operations", &operations, operation))
            @if !instances.is_empty() {
                (parts::card("Instances", &html! {}, &html! { ul.list {
                    @for one in &instances { li { div.inline { (parts::instance_link(&one.id, &one.name)) span.muted { (name(&one.connector_name)) } } } }
                    @if others { li { a href=(link("/console/instances", &[("q", &word)])) { "All instances whose name has it" } } }
                } }))
            }
            @if more { p.muted { "There is more. A longer word finds less." } }
        }
    };
    let page =
        Page::new(Nav::Home, "Search").lead(html! { "Findings for \u{201c}" (name(&word)) "\u{201d}" }).body(body);
    Ok(page.into_response())
}

/// Ids of what is not in the search of the record: instances, holds.
async fn by_id(visit: &Visit, word: &str) -> Result<Option<Response>, Trouble> {
    if word.starts_with("in_") && visit.app.instances.get(word).await?.is_some() {
        return Ok(Some(see(&format!("/console/instances/{word}"))));
    }
    if word.starts_with("h_") && visit.app.hold(word, (i64::MAX, i64::MAX), 0).await.is_ok() {
        return Ok(Some(see(&format!("/console/holds/{word}"))));
    }
    Ok(None)
}

/// Instances whose name has the word in it, and whether there are more than are shown.
async fn named(visit: &Visit, word: &str) -> Result<(Vec<Arc<Instance>>, bool), Trouble> {
    let word = word.to_lowercase();
    let mut found = visit.app.instances.all().await?;
    found.retain(|one| one.name.to_lowercase().contains(&word));
    let more = found.len() > INSTANCES;
    found.truncate(INSTANCES);
    Ok((found, more))
}

fn section(title: &str, items: &[&Value], draw: fn(&Value) -> Markup) -> Markup {
    html! {
        @if !items.is_empty() {
            (parts::card(title, &html! {}, &html! { ul.list { @for item in items { li { div.inline { (draw(item)) } } } } }))
        }
    }
}

/// By what it was found, and where it is.
fn found(item: &Value) -> Markup {
    let by = match text(item, "matched") {
        "id" => "by its id",
        "request_id" => "by the id of its request",
        "externalId" => "by the identity provider's id",
        "remote_id" => "by the target's id",
        "email" => "by e-mail address",
        "login" => "by login",
        "displayName" => "by display name",
        _ => "by name",
    };
    let instance = &item["instance"];
    html! {
        span.muted.small { (by) ", " (parts::instance_link(text(instance, "id"), text(instance, "name"))) }
        @if item["deleted"] == true { (parts::tag(Tone::Quiet, "Deleted")) }
    }
}

fn person(item: &Value) -> Markup {
    html! { a href=(href(item)) { (name(text(item, "userName"))) } (found(item)) }
}

fn group(item: &Value) -> Markup {
    html! { a href=(href(item)) { (name(text(item, "displayName"))) } (found(item)) }
}

fn operation(item: &Value) -> Markup {
    html! { a href=(href(item)) { (text(item, "verb")) } (parts::state(text(item, "state"))) code { (text(item, "id")) } (found(item)) }
}
