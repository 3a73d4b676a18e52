//! Whose account it is, as people decide it: accounts that are proposed for a person or group, and one that is named by hand.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::Value;

use super::extract::Path;
use super::form::{Errors, Field, Form, Sent, button};
use super::layout::{Page, Tab};
use super::parts;
use super::text::name;
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{place, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::Instance;

/// The instance and the person or group of a path.
type Place = (String, String);

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route(
            "/instances/{id}/people/{resource}/link",
            get(async |visit: Visit, Path(at): Path<Place>| ask(visit, "User", at).await)
                .post(async |visit: Visit, Path(at): Path<Place>, sent: Sent| set(visit, "User", at, sent).await),
        )
        .route(
            "/instances/{id}/groups/{resource}/link",
            get(async |visit: Visit, Path(at): Path<Place>| ask(visit, "Group", at).await)
                .post(async |visit: Visit, Path(at): Path<Place>, sent: Sent| set(visit, "Group", at, sent).await),
        )
        .route(
            "/instances/{id}/people/{resource}/reject",
            post(async |visit: Visit, Path(at): Path<Place>, sent: Sent| reject(visit, "User", at, sent).await),
        )
        .route(
            "/instances/{id}/groups/{resource}/reject",
            post(async |visit: Visit, Path(at): Path<Place>, sent: Sent| reject(visit, "Group", at, sent).await),
        )
}

/// Accounts that may be this one's: a person confirms or rejects.
pub(super) async fn proposed(visit: &Visit, instance: &Instance, sheet: &Value, here: &str) -> Result<Markup, Trouble> {
    let links = visit.app.list_links(instance, Some("proposed"), Some(text(sheet, "id")), 0, 20).await?;
    let own: Vec<&Value> = links.items.iter().filter(|one| one["resource"]["id"] == sheet["id"]).collect();
    if own.is_empty() {
        return Ok(html! {});
    }
    Ok(parts::card(
        "Is this the account?",
        &html! {},
        &html! { ul.list {
            @for one in own {
                @let found = &one["account"];
                li { div.attend {
                    div.tight {
                        strong { (name(found["login"].as_str().or(found["email"].as_str()).or(found["name"].as_str()).unwrap_or("an account"))) }
                        p.small.muted { "Id " (name(found["remote_id"].as_str().or(found["invite_id"].as_str()).unwrap_or("none"))) " \u{b7} " (parts::state(text(found, "status"))) " \u{b7} found by " (name(text(one, "evidence"))) }
                    }
                    div.inline {
                        @if let Some(remote) = found["remote_id"].as_str() { (button(visit, &format!("{here}/link"), "Yes, link it", &[("remote_id", remote)])) }
                        (button(visit, &format!("{here}/reject"), "No, it is another's", &[("link", text(one, "id"))]))
                    }
                } }
            }
        } },
    ))
}

/// The way to link by hand, where that can be done: the identity provider asked for this one. Beside the facts.
pub(super) fn by_hand(visit: &Visit, sheet: &Value, here: &str) -> Markup {
    let may = visit.may(Role::Admin) && sheet["managed"] == true && sheet["erased_at"].is_null();
    html! { @if may { a.btn href={ (here) "/link" } { "Link by hand" } } }
}

fn page(
    visit: &Visit,
    instance: &Arc<Instance>,
    kind: &str,
    sheet: &Value,
    sent: Option<&Sent>,
    errors: Errors,
) -> Page {
    let group = kind == "Group";
    let here = place(&instance.id, kind, text(sheet, "id"));
    let failed = !errors.is_empty();
    let (tab, what, title, list) = if group {
        (Tab::Groups, "group", "Link a group by hand", ("Groups", "groups"))
    } else {
        (Tab::People, "account", "Link an account by hand", ("People", "people"))
    };
    let form = Form::new(visit, format!("{here}/link"), "Link it")
        .hidden("by", "hand")
        .field(
            Field::text("remote_id", &format!("Id of the {what} at the target"))
                .hint("The one that never changes, as the list of those that are not managed shows it; not the login, which may.")
                .code()
                .value(sent.map_or("", |sent| sent.text("remote_id"))),
        )
        .errors(errors)
        .cancel(here.as_str());
    let now = sheet["link"]["remote_id"].as_str();
    let page = Page::of(instance, tab, title)
        .crumb(list.0, format!("/console/instances/{}/{}", instance.id, list.1))
        .crumb(text(sheet, "name"), here)
        .body(html! { div.card.narrow { div.pad.stack {
            div.prose {
                p { "From then on " (name(text(sheet, "name"))) " is this " (what) " at the target: what was asked is carried out on it, and what it has too much is taken away." }
                @if let Some(now) = now { p { "It is linked to " code { (name(now)) } " now; that link ends." } }
                p { "The " (what) " has to be known here: an import lists what is new at the target. One that belongs to somebody else, or is protected, is refused." }
            }
            (form.draw())
        } } });
    if failed { page.failed() } else { page }
}

async fn sheet(visit: &Visit, instance: &Instance, kind: &str, resource: &str) -> Result<Value, Trouble> {
    visit.app.sheet(instance, kind, resource).await?.ok_or_else(Trouble::not_found)
}

async fn ask(visit: Visit, kind: &'static str, (id, resource): Place) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let sheet = sheet(&visit, &instance, kind, &resource).await?;
    Ok(page(&visit, &instance, kind, &sheet, None, Errors::default()))
}

async fn set(visit: Visit, kind: &'static str, (id, resource): Place, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let sheet = sheet(&visit, &instance, kind, &resource).await?;
    let refused = |words: String| {
        let mut errors = Errors::default();
        errors.add("remote_id", words);
        Ok(page(&visit, &instance, kind, &sheet, Some(&sent), errors).into_response())
    };
    if sent.text("remote_id").is_empty() {
        return refused("is required".to_owned());
    }
    match visit.app.set_link(&visit.actor(), &instance, text(&sheet, "id"), sent.text("remote_id")).await {
        Ok(_) => Ok(visit.done(&place(&instance.id, kind, &resource), "It is linked, and the work goes on.")),
        // A proposal was decided beside the facts, and has no page of its own to say it on.
        Err(AdminError::Conflict(why) | AdminError::NotFound(why)) if sent.text("by") == "hand" => refused(why),
        Err(error) => Err(error.into()),
    }
}

async fn reject(visit: Visit, kind: &'static str, (id, resource): Place, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    visit.app.reject_link(&visit.actor(), &instance, sent.text("link")).await?;
    Ok(visit.done(&place(&instance.id, kind, &resource), "That account is not proposed for it again."))
}
