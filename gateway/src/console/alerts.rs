//! Alert webhooks: who is told of what an admin has to know before looking, and how its delivery stands. The secret that
//! messages are signed with is in the answer to the form that made the webhook, and nowhere else.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde_json::Value;

use super::extract::Path;
use super::form::{Choice, Errors, Field, Form, Sent, button, confirm};
use super::keys::seen;
use super::layout::{Nav, Page};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number, value};
use super::visit::Visit;
use super::words::{int, list, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::alerts::Kind;
use crate::service::members::Role;
use crate::service::records::AdminError;

const HERE: &str = "/console/settings/alerts";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/settings/alerts", get(all))
        .route("/settings/alerts/new", get(new).post(create))
        .route("/settings/alerts/{webhook}", get(show))
        .route("/settings/alerts/{webhook}/test", post(test))
        .route("/settings/alerts/{webhook}/remove", get(ask).post(remove))
}

fn page(title: &str) -> Page {
    Page::new(Nav::Settings, title).crumb("Settings", "/console/settings")
}

/// What a kind of alert is about: its name here, and when it is told.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::HoldOpened => ("A hold was opened", "The brake holds changes that would take access from many."),
        Kind::HoldReminder => ("A hold still waits", "After an hour, after four more, then once a day."),
        Kind::DeprovisionOverdue => {
            ("A leaver still has access", "Five minutes after the identity provider asked to take it away.")
        }
        Kind::CredentialDead => ("The target refuses the credential", "Changes wait until it is replaced."),
        Kind::BreakerOpen => ("The target does not answer", "For minutes. Changes wait until it does."),
        Kind::NeedsAppeared => ("Something needs somebody", "Work cannot go on until a person has acted."),
        Kind::RunFailed => ("An import or comparison failed", ""),
        Kind::TaskOverdue => ("A task is overdue", "Somebody was asked to do something by hand, and its time is over."),
    }
}

/// The kinds that a webhook is told of.
fn kinds(webhook: &Value) -> Vec<Kind> {
    let chosen = list(webhook, "events");
    Kind::ALL.into_iter().filter(|kind| chosen.iter().any(|one| one == kind.as_str())).collect()
}

/// How the delivery of a webhook stands.
fn state(webhook: &Value) -> Markup {
    if webhook["disabled_at"].is_string() {
        parts::tag(Tone::Bad, "Switched off")
    } else if webhook["last_error"].is_string() {
        parts::tag(Tone::Warn, "Does not arrive")
    } else if webhook["last_delivered_at"].is_string() {
        parts::tag(Tone::Good, "Arrives")
    } else if int(webhook, "pending") > 0 {
        parts::tag(Tone::Busy, "On its way")
    } else {
        parts::tag(Tone::Quiet, "Not used yet")
    }
}

async fn all(visit: Visit) -> Answer {
    let webhooks = visit.app.alert_webhooks().await?;
    let mut table = Table::new("Alert webhooks").hush().head("URL").head("State").head("Last delivered");
    table = table.less("Told of").number("Waiting");
    for one in &webhooks {
        let told = kinds(one).len();
        table.row(html! { tr {
            th scope="row" { a href={ (HERE) "/" (text(one, "id")) } { (name(text(one, "url"))) } }
            td { (state(one)) }
            td { (parts::ago_or(visit.now, &one["last_delivered_at"], "never")) }
            td.rank2 { @if told == Kind::ALL.len() { "everything" } @else { (told) " of " (Kind::ALL.len()) " kinds" } }
            td.num { (number(int(one, "pending"))) }
        } });
    }
    let may = visit.may(Role::Admin);
    let add = html! { @if may { a.btn.main href={ (HERE) "/new" } { "Add a webhook" } } };
    let body = if table.is_empty() {
        let words = html! {
            "Holds, leavers who still have access, dead credentials and what needs somebody stand on Home, in the log and in the metrics. A webhook tells a program of yours at once."
            @if !may { " Admins add one." }
        };
        let action = html! { @if may { a.btn href={ (HERE) "/new" } { "Add the first webhook" } } };
        parts::empty("Nobody is told", &words, &action)
    } else {
        table.draw()
    };
    Ok(page("Alerts")
        .actions(add)
        .lead(html! { "Programs that are told of what should not wait until somebody looks here. Messages hold no personal data, are signed, and are repeated for three days until they are taken." })
        .body(html! { (parts::card("Webhooks", &html! {}, &body)) }))
}

fn new_page(visit: &Visit, webhooks: &[Value], sent: Option<&Sent>, errors: Errors) -> Page {
    let choices = Kind::ALL
        .map(|kind| {
            let (label, hint) = words(kind);
            Choice::new(kind.as_str(), label, hint)
        })
        .to_vec();
    let chosen = match sent {
        None => Kind::ALL.map(Kind::as_str).join(" "),
        Some(sent) => sent.all("events").join(" "),
    };
    let url =
        "Where messages are posted, such as https://hooks.example.com/scimgate. It answers 2xx once it has taken one.";
    let form = Form::new(visit, format!("{HERE}/new"), "Add the webhook")
        .hidden("seen", seen(webhooks))
        .field(Field::text("url", "URL").hint(url).code().value(sent.map_or("", |sent| sent.text("url"))))
        .field(Field::checks("events", "What it is told of", choices).value(chosen))
        .errors(errors)
        .cancel(HERE);
    page("Add an alert webhook").crumb("Alerts", HERE).body(html! { div.card.narrow { div.pad { (form.draw()) } } })
}

async fn new(visit: Visit) -> Answer {
    visit.require(Role::Admin)?;
    let webhooks = visit.app.alert_webhooks().await?;
    Ok(new_page(&visit, &webhooks, None, Errors::default()))
}

async fn create(visit: Visit, sent: Sent) -> Sending {
    let webhooks = visit.app.alert_webhooks().await?;
    let refused = |errors| Ok(new_page(&visit, &webhooks, Some(&sent), errors).failed().into_response());
    // A form that is sent again, as by a reload, names webhooks that are no longer all: it makes no second one.
    if sent.text("seen") != seen(&webhooks) {
        let mut errors = Errors::default();
        errors.add("", "A webhook was added or removed since this page was loaded, perhaps by this very form, and none was added now. Look at the list; if the secret of a new one was lost, remove it. Send the form once more to add another.");
        return refused(errors);
    }
    let events: Vec<String> = sent.all("events").into_iter().map(str::to_owned).collect();
    if events.is_empty() {
        let mut errors = Errors::default();
        errors.add("events", "tick at least one");
        return refused(errors);
    }
    match visit.app.create_alert_webhook(&visit.actor(), sent.text("url"), Some(events)).await {
        Ok(made) => Ok(made_page(&visit, &made).into_response()),
        Err(error) => refused(Errors::from(error)?),
    }
}

fn made_page(visit: &Visit, made: &Value) -> Page {
    let here = format!("{HERE}/{}", text(made, "id"));
    page("Webhook added").crumb("Alerts", HERE).body(html! {
        (parts::secret_once("The signing secret", "scimgate-webhook-secret.txt", text(made, "secret"), &html! {
            p { "The receiver checks the header " code { "webhook-signature" } " with it, as Standard Webhooks describes: so it knows that a message came from here." }
        }))
        div.buttons {
            a.btn.main href=(here) { "I have stored it" }
            (button(visit, &format!("{here}/test"), "Send a test message", &[]))
        }
    })
}

async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    let webhook = visit.app.alert_webhook(&id).await?;
    let here = format!("{HERE}/{}", text(&webhook, "id"));
    let off = webhook["disabled_at"].is_string();
    let pending = int(&webhook, "pending");
    let facts = parts::facts(&[
        ("URL", html! { code { (value(text(&webhook, "url"))) } }),
        ("State", state(&webhook)),
        ("Last delivered", parts::when_or(visit.now, &webhook["last_delivered_at"], "never")),
        (
            "Last error",
            html! {
                @match webhook["last_error"].as_str() {
                    None => span.muted { "none" },
                    Some(error) => { (value(error)) " " (parts::when_or(visit.now, &webhook["last_error_at"], "")) }
                }
            },
        ),
        ("Delivered", html! { (number(int(&webhook, "delivered"))) }),
        ("Waiting", html! { (number(pending)) }),
        (
            "Dropped",
            html! { (number(int(&webhook, "dropped"))) @if int(&webhook, "dropped") > 0 { " " span.muted { "not taken within three days, or left when it was switched off" } } },
        ),
        ("Added", parts::when_or(visit.now, &webhook["created_at"], "")),
        ("Id", parts::id(text(&webhook, "id"))),
    ]);
    let told = kinds(&webhook);
    let may = visit.may(Role::Admin);
    Ok(page("Alert webhook").crumb("Alerts", HERE).tags(state(&webhook)).live().body(html! {
        (parts::live("state", true, &html! {
            @if off {
                (parts::note(Tone::Bad, &html! {
                    p { strong { "It is switched off." } " The receiver answered 410, which says that it is gone for good. Nothing is sent to it." }
                    p { "If the receiver is there again, a test message switches it on. Else remove it." }
                }))
            } @else if webhook["last_error"].is_string() {
                (parts::note(Tone::Warn, &html! {
                    p { strong { "The last message was not taken." } " " (count(pending, "message waits", "messages wait")) " and " (if pending == 1 { "is" } else { "are" }) " sent again, at growing distances, for three days." }
                    p { "See that the receiver is up and answers 2xx; a test message shows whether it does." }
                }))
            }
            (parts::card("This webhook", &html! {}, &html! { div.pad { (facts) } }))
        }))
        (parts::card("What it is told of", &html! {}, &html! { ul.list { @for kind in told {
            @let (label, hint) = words(kind);
            li { div.tight { strong { (label) } @if !hint.is_empty() { p.small.muted { (hint) } } p.small.muted { code { (kind.as_str()) } } } }
        } } }))
        @if may {
            div.buttons {
                (button(&visit, &format!("{here}/test"), if off { "Switch it on by a test message" } else { "Send a test message" }, &[]))
                a.btn.danger href={ (here) "/remove" } { "Remove this webhook\u{2026}" }
            }
        }
    }))
}

async fn test(visit: Visit, Path(id): Path<String>) -> Sending {
    visit.app.test_alert_webhook(&visit.actor(), &id).await?;
    let note = "A test message is on its way. This page shows in a moment whether it arrived.";
    Ok(visit.done(&format!("{HERE}/{id}"), note))
}

async fn ask(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let webhook = visit.app.alert_webhook(&id).await?;
    let here = format!("{HERE}/{}", text(&webhook, "id"));
    let form = Form::new(&visit, format!("{here}/remove"), "Remove the webhook").danger().cancel(here.as_str());
    let others = visit.app.alert_webhooks().await?.len() > 1;
    let consequence = html! {
        p { code { (value(text(&webhook, "url"))) } " is told of nothing from now on." }
        @if int(&webhook, "pending") > 0 { p { (count(int(&webhook, "pending"), "message that waits for it is", "messages that wait for it are")) " thrown away." } }
        @if !others { p { "It is the only one: alerts then stand in the log, in the metrics and on Home alone." } }
        p { "To tell the same receiver again, add it anew; it gets another secret." }
    };
    Ok(page("Remove this webhook?").crumb("Alerts", HERE).body(confirm(form, &consequence, None)))
}

async fn remove(visit: Visit, Path(id): Path<String>) -> Sending {
    match visit.app.delete_alert_webhook(&visit.actor(), &id).await {
        Ok(()) => Ok(visit.done(HERE, "The webhook is removed.")),
        Err(AdminError::NotFound(_)) => Ok(visit.done(HERE, "The webhook was removed already.")),
        Err(error) => Err(error.into()),
    }
}
