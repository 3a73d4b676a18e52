//! Erasing a person's data on request. What happened stays on record, under a pseudonym; who it happened to does not.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{Markup, html};
use serde_json::Value;

use super::Sending;
use super::extract::Path;
use super::form::{Errors, Form, Sent, confirm, typed};
use super::layout::{Page, Tab};
use super::parts::{self, Tone};
use super::text::{name, plain, value};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{int, place, text};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::Instance;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/instances/{id}/people/{resource}/erase", get(ask).post(erase))
}

/// The card on a person's page.
pub(super) fn card(visit: &Visit, sheet: &Value, here: &str) -> Markup {
    let erased = sheet["erased_at"].is_string();
    if !erased && (!visit.may(Role::Admin) || sheet["managed"] != true) {
        return html! {};
    }
    parts::card(
        "Personal data",
        &html! {},
        &html! { div.pad.stack {
            @if erased {
                p { "The data of this person was erased " (parts::when_or(visit.now, &sheet["erased_at"], "")) ". What happened stays on record, under this name." }
            } @else {
                p { "Where a person asks for it, their data is erased here: once they are deleted, or inactive without an account at the target." }
                p { a.btn.danger href={ (here) "/erase" } { "Erase this person\u{2019}s data\u{2026}" } }
            }
        } },
    )
}

/// What is typed to erase somebody: the user name, or the id where the name cannot be typed as it is seen.
fn spoken(sheet: &Value) -> &str {
    let called = text(sheet, "name");
    if plain(called) == called { called } else { text(sheet, "id") }
}

fn page(instance: &Arc<Instance>, sheet: &Value, body: Markup) -> Page {
    let here = place(&instance.id, "User", text(sheet, "id"));
    Page::of(instance, Tab::People, "Erase this person\u{2019}s data?")
        .crumb("People", format!("/console/instances/{}/people", instance.id))
        .crumb(text(sheet, "name"), here)
        .body(body)
}

/// The page that asks.
fn asking(visit: &Visit, instance: &Arc<Instance>, sheet: &Value, errors: Errors) -> Page {
    let here = place(&instance.id, "User", text(sheet, "id"));
    let failed = !errors.is_empty();
    let form =
        Form::new(visit, format!("{here}/erase"), "Erase the data").errors(errors).cancel(here.as_str()).danger();
    let consequence = html! {
        p { "Everything that tells who " (name(text(sheet, "name"))) " is goes from this gateway, and cannot be brought back: attributes, addresses, logins, what identity provider and target sent about them, in the directory, in operations, calls, tasks and refused requests." }
        @if sheet["deleted_at"].is_null() { p { "The person is deleted by it. If the identity provider still has them, it creates them anew." } }
        p { "What happened and when stays on record, under a pseudonym. Nothing changes at the target, and copies of the database that were made before keep the data." }
    };
    let page = page(instance, sheet, confirm(form, &consequence, Some(spoken(sheet))));
    if failed { page.failed() } else { page }
}

/// The page that says why it cannot be done now.
fn refused(instance: &Arc<Instance>, sheet: &Value, why: &str) -> Page {
    let here = place(&instance.id, "User", text(sheet, "id"));
    let body = html! {
        (parts::note(Tone::Warn, &html! { p { strong { "It cannot be erased now." } " " (value(why)) } }))
        p { a.btn href=(here) { "Back to the person" } }
    };
    page(instance, sheet, body)
}

async fn read(visit: &Visit, id: &str, resource: &str) -> Result<(Arc<Instance>, Value), Trouble> {
    let instance = visit.instance(id).await?;
    let sheet = visit.app.sheet(&instance, "User", resource).await?.ok_or_else(Trouble::not_found)?;
    Ok((instance, sheet))
}

async fn ask(visit: Visit, Path((id, resource)): Path<(String, String)>) -> Sending {
    visit.require(Role::Admin)?;
    let (instance, sheet) = read(&visit, &id, &resource).await?;
    Ok(match visit.app.may_erase(&instance, &resource).await {
        Ok(()) => asking(&visit, &instance, &sheet, Errors::default()),
        Err(AdminError::Conflict(why)) => refused(&instance, &sheet, &why),
        Err(error) => return Err(error.into()),
    }
    .into_response())
}

async fn erase(visit: Visit, Path((id, resource)): Path<(String, String)>, sent: Sent) -> Sending {
    let (instance, sheet) = read(&visit, &id, &resource).await?;
    if let Err(errors) = typed(&sent, spoken(&sheet)) {
        return Ok(asking(&visit, &instance, &sheet, errors).into_response());
    }
    match visit.app.erase(&instance, &visit.actor(), &resource).await {
        Ok(erased) => {
            let note = format!(
                "The data is erased. {} records tell of {} now.",
                int(&erased, "records"),
                text(&erased, "pseudonym")
            );
            Ok(visit.done(&place(&instance.id, "User", &resource), &note))
        }
        Err(AdminError::Conflict(why)) => Ok(refused(&instance, &sheet, &why).failed().into_response()),
        Err(error) => Err(error.into()),
    }
}
