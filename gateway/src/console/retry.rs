//! Trying again what a list of people or groups shows, all of it at once.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{Markup, html};

use super::Sending;
use super::extract::{Path, Query};
use super::form::{Form, Sent, confirm};
use super::layout::{Nav, Page, Tab};
use super::lists::{Asked, fields};
use super::parts;
use super::text::{count, name};
use super::visit::Visit;
use super::words::{int, link};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::Browse;

pub(super) fn routes() -> Router<Arc<App>> {
    let every = |kind: &'static str| {
        get(move |visit: Visit, Query(query): Query<Asked>| ask(visit, None, kind, query))
            .post(move |visit: Visit, sent: Sent| retry(visit, None, kind, sent))
    };
    let of = |kind: &'static str| {
        get(move |visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>| ask(visit, Some(id), kind, query))
            .post(move |visit: Visit, Path(id): Path<String>, sent: Sent| retry(visit, Some(id), kind, sent))
    };
    Router::new()
        .route("/people/retry", every("User"))
        .route("/groups/retry", every("Group"))
        .route("/instances/{id}/people/retry", of("User"))
        .route("/instances/{id}/groups/retry", of("Group"))
}

/// The way there, beside a list whose work can be tried again as a whole.
pub(super) fn offer(visit: &Visit, which: &Browse, path: &str) -> Markup {
    let may = visit.may(Role::Admin) && which.state.as_deref().is_some_and(|state| Browse::RETRIED.contains(&state));
    html! { @if may { a.btn href=(link(&format!("{path}/retry"), &fields(which))) { "Retry all of these\u{2026}" } } }
}

/// The list that an address of it means.
fn list_of(id: Option<&str>, kind: &str) -> String {
    let list = if kind == "Group" { "groups" } else { "people" };
    id.map_or_else(|| format!("/console/{list}"), |id| format!("/console/instances/{id}/{list}"))
}

/// So many of a kind, in words.
fn many(kind: &str, many: i64) -> String {
    if kind == "Group" { count(many, "group", "groups") } else { count(many, "person", "people") }
}

async fn ask(visit: Visit, id: Option<String>, kind: &'static str, query: Asked) -> Sending {
    visit.require(Role::Admin)?;
    let instance = match &id {
        Some(id) => Some(visit.instance(id).await?),
        None => None,
    };
    let mut which = query.which(kind);
    if which.state.as_deref().is_none_or(|state| !Browse::RETRIED.contains(&state)) {
        which.state = Some("needs".to_owned());
    }
    let path = list_of(id.as_deref(), kind);
    let back = link(&path, &fields(&which));
    let (found, more) = visit.app.retryable(instance.as_deref(), &which).await?;
    let found = i64::try_from(found).unwrap_or(i64::MAX);
    let (nav, crumb, tab) =
        if kind == "Group" { (Nav::Groups, "Groups", Tab::Groups) } else { (Nav::People, "People", Tab::People) };
    let page = |title: String| match &instance {
        Some(instance) => Page::of(instance, tab, title).crumb(crumb, back.as_str()),
        None => Page::new(nav, title).crumb(crumb, back.as_str()),
    };
    if found == 0 {
        let words = html! { "Nobody in this list waits or needs somebody now. What is held is decided under Holds, and what runs is not tried twice." };
        let action = html! { a.btn href=(back) { "Back to the list" } };
        return Ok(page("Nothing to retry".to_owned())
            .body(parts::card("Retry", &html! {}, &parts::empty("Nothing to retry", &words, &action)))
            .into_response());
    }
    let mut form =
        Form::new(&visit, format!("{path}/retry"), format!("Retry {}", many(kind, found))).cancel(back.as_str());
    for (field, value) in fields(&which) {
        form = form.hidden(field, value);
    }
    let state = match which.state.as_deref() {
        Some("leaving") => "wait to lose access",
        Some("pending") => "are pending",
        _ => "need somebody",
    };
    let consequence = html! {
        p {
            "The work of " (many(kind, found)) " that " (state)
            @if let Some(text) = &which.text { ", whose name begins with " (name(text)) "," }
            @if let Some(active) = which.active { (if active { ", of those who shall have access," } else { ", of those who shall have none," }) }
            " is tried again now, within what the target\u{2019}s limits allow."
        }
        @if more { p { "There are more: these are the newest. Do it again for the others." } }
        p { "Retry once what was wrong is put right: where it is not, each comes back to this list. People who were invited often enough, or declined, are invited again. What is held stays held." }
    };
    Ok(page(format!("Retry {}?", many(kind, found))).body(confirm(form, &consequence, None)).into_response())
}

async fn retry(visit: Visit, id: Option<String>, kind: &'static str, sent: Sent) -> Sending {
    let instance = match &id {
        Some(id) => Some(visit.instance(id).await?),
        None => None,
    };
    let text = |field: &str| sent.text(field).to_owned();
    let which = Asked { q: text("q"), state: text("state"), active: text("active"), ..Asked::default() }.which(kind);
    let done = visit.app.retry_all(&visit.actor(), instance.as_deref(), &which).await?;
    let back = link(&list_of(id.as_deref(), kind), &fields(&which));
    let retried = int(&done, "retried");
    let verb = if retried == 1 { "is" } else { "are" };
    let rest = if done["more"] == true { " There are more: do it again for the others." } else { "" };
    Ok(visit.done(&back, &format!("{} {verb} tried again now.{rest}", many(kind, retried))))
}
