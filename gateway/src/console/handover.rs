//! Hand-over links: an admin makes one, and whoever runs the identity provider opens it without an account.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Path, Query};
use super::form::{Choice, Errors, Field, Form, Sent, confirm};
use super::layout::{Page, Tab, open};
use super::parts::{self, Table, Tone};
use super::text::name;
use super::trouble::Trouble;
use super::visit::{Theme, Visit};
use super::words::text;
use super::{Answer, Sending, connect, guide, keys};
use crate::guides::{self, Values};
use crate::service::App;
use crate::service::handovers::{Handover, NewHandover, State as Standing};
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::{Instance, Mode};
use crate::store::StoreError;

/// Where those pages are that ask for no session.
pub(super) const GUEST: &str = "/hand-over/";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/hand-over", get(all).post(create))
        .route("/instances/{id}/hand-over/{link}/revoke", get(ask_revoke).post(revoke))
}

/// The page of who has a link: it asks for no session.
pub(super) fn guest() -> Router<Arc<App>> {
    Router::new().route("/hand-over/{link}", get(arrive).post(make_key))
}

/// How long a link may live, in hours.
const LIVES: [(&str, &str); 4] = [("24", "24 hours"), ("72", "3 days"), ("168", "7 days"), ("336", "14 days")];

async fn page(visit: &Visit, instance: &Arc<Instance>, made: Option<&Value>, form: (Option<&Sent>, Errors)) -> Answer {
    let root = format!("/console/instances/{}", instance.id);
    let here = format!("{root}/hand-over");
    let links = visit.app.list_handovers(instance).await?;
    let (sent, errors) = form;
    let chosen = |field: &str, usual: &str| sent.map_or(usual.to_owned(), |sent| sent.raw(field).to_owned());
    let mut guides = vec![Choice::new("", "They choose it themselves", "")];
    guides.extend(guides::all().iter().map(|one| Choice::new(&one.id, &one.title, "")));
    let create = Form::new(visit, here.as_str(), "Make a link")
        .hidden("seen", seen(&links))
        .field(Field::select("guide", "Identity provider", guides).value(chosen("guide", "")))
        .field(
            Field::select(
                "hours",
                "It can be used for",
                LIVES.map(|(value, label)| Choice::new(value, label, "")).into(),
            )
            .value(chosen("hours", "72")),
        )
        .errors(errors)
        .draw();
    let body = html! {
        @match made {
            Some(made) => {
                (parts::secret_once("The link", "hand-over.txt", text(made, "url"), &html! {
                    p { "It can be used until " (parts::when_or(visit.now, &made["expires_at"], "")) ", by whoever has it: send it to that person alone." }
                }))
                p { a.btn.main href=(here) { "I have sent it" } }
            },
            None => {
                (parts::card("Make a link", &html! {}, &html! { div.pad { @if visit.may(Role::Admin) { (create) } @else { p.muted { "You are a Viewer. Admins here make links." } } } }))
            },
        }
        (parts::card("Links of this instance", &html! {}, &table(visit, &here, &links)))
    };
    Ok(Page::of(instance, Tab::Overview, "Hand over to whoever runs the identity provider")
        .crumb(instance.name.as_str(), root.as_str())
        .crumb("Connect an identity provider", format!("{root}/connect"))
        .lead(html! { "A link shows the address of this instance and the steps of the identity provider, and makes one key, to somebody without an account here. They see nothing else, and no key travels by mail." })
        .body(body))
}

/// Which links there were: a form that is sent again makes no second one.
fn seen(links: &[Value]) -> String {
    links.first().map_or_else(String::new, |link| text(link, "id").to_owned())
}

fn table(visit: &Visit, here: &str, links: &[Value]) -> Markup {
    if links.is_empty() {
        return parts::empty(
            "No link yet",
            &html! { "Links that were made here are listed, with who made them and what became of them." },
            &html! {},
        );
    }
    let may = visit.may(Role::Admin);
    let mut table = Table::new("Links of this instance")
        .hush()
        .head("Link")
        .head("State")
        .less("Made")
        .head("Opened")
        .head("Key made")
        .less("Ends");
    if may {
        table = table.acts();
    }
    for link in links {
        let id = text(link, "id");
        let guide = link["guide"].as_str().and_then(guides::by_id);
        let tag = match text(link, "state") {
            "open" => parts::tag(Tone::Good, "Open"),
            "used" => parts::tag(Tone::Quiet, "Used"),
            "revoked" => parts::tag(Tone::Quiet, "Taken back"),
            _ => parts::tag(Tone::Quiet, "Ended"),
        };
        table.row(html! { tr {
            th scope="row" { code { (id) } @if let Some(guide) = guide { span.small.muted { " for " (guide.title) } } }
            td { (tag) }
            td.rank2 { (parts::ago_or(visit.now, &link["created_at"], "")) " by " (name(text(link, "made_by"))) }
            td { (parts::ago_or(visit.now, &link["opened_at"], "not yet")) }
            td { (parts::ago_or(visit.now, &link["used_at"], "no")) @if let Some(key) = link["key"].as_str() { " " code { (key) } } }
            td.rank2 { (parts::when_or(visit.now, &link["expires_at"], "")) }
            @if may { td { @if link["state"] == "open" { a.btn.small.danger href={ (here) "/" (id) "/revoke" } { "Take back" span.hush { " " (id) } } } } }
        } });
    }
    table.draw()
}

async fn all(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    page(&visit, &instance, None, (None, Errors::default())).await
}

async fn create(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let here = format!("/console/instances/{}/hand-over", instance.id);
    if sent.text("seen") != seen(&visit.app.list_handovers(&instance).await?) {
        let note = "No link was made: one was made already. Its address was shown then; take it back if it was lost.";
        return Ok(visit.done(&here, note));
    }
    let hours = sent.some("hours").map(|hours| hours.parse().unwrap_or(0));
    let new = NewHandover { hours, guide: sent.some("guide") };
    match visit.app.make_handover(&visit.actor(), &instance, new).await {
        Ok(made) => Ok(page(&visit, &instance, Some(&made), (None, Errors::default())).await?.into_response()),
        Err(AdminError::Conflict(why)) => {
            let mut errors = Errors::default();
            errors.add("", why);
            Ok(page(&visit, &instance, None, (Some(&sent), errors)).await?.failed().into_response())
        }
        Err(error) => {
            let errors = Errors::from(error)?;
            Ok(page(&visit, &instance, None, (Some(&sent), errors)).await?.failed().into_response())
        }
    }
}

async fn ask_revoke(visit: Visit, Path((id, link)): Path<(String, String)>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let here = format!("/console/instances/{}/hand-over", instance.id);
    let known = visit.app.list_handovers(&instance).await?.into_iter().find(|one| text(one, "id") == link);
    let known = known.filter(|one| one["state"] == "open").ok_or_else(Trouble::not_found)?;
    let form = Form::new(&visit, format!("{here}/{link}/revoke"), "Take the link back").cancel(here.as_str()).danger();
    let body = confirm(
        form,
        &html! { p { @if known["opened_at"].is_null() { "Nobody has opened it yet. " } @else { "It was opened " (parts::ago_or(visit.now, &known["opened_at"], "")) ", and no key was made by it. " } "Whoever has it is told that it is over." } },
        None,
    );
    Ok(Page::of(&instance, Tab::Overview, format!("Take back link {link}?")).crumb("Hand over", here).body(body))
}

async fn revoke(visit: Visit, Path((id, link)): Path<(String, String)>) -> Sending {
    let instance = visit.instance(&id).await?;
    let here = format!("/console/instances/{}/hand-over", instance.id);
    match visit.app.revoke_handover(&visit.actor(), &instance, &link).await {
        Ok(()) => Ok(visit.done(&here, "The link is taken back.")),
        Err(AdminError::Conflict(why)) => Ok(visit.done(&here, &why)),
        Err(error) => Err(error.into()),
    }
}

// ---- The page of who has the link

/// Which guide, where the link leaves it open.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    idp: String,
}

/// The link of a path, or the page that says why there is none.
async fn link_of(app: &App, theme: Theme, presented: &str) -> Result<Handover, Response> {
    match app.handover(presented).await {
        Ok(Some(link)) => Ok(link),
        Ok(None) => Err(open(
            StatusCode::NOT_FOUND,
            "This link is not known here",
            theme,
            &html! { div.card { div.pad { p { "Perhaps a part of it was lost on its way: open it again from where it was sent to you, whole. If that does not help, ask whoever sent it for another." } } } },
        )),
        Err(error) => Err(silent(theme, &error)),
    }
}

fn silent(theme: Theme, error: &StoreError) -> Response {
    tracing::error!(%error, "a hand-over link met trouble of the store");
    open(
        StatusCode::SERVICE_UNAVAILABLE,
        "The gateway cannot answer at the moment",
        theme,
        &html! { div.card { div.pad { p { "Its database does not answer. Nothing was changed; try again in a moment." } } } },
    )
}

/// The name of what is connected, for who knows nothing else of it.
fn title(instance: &Instance) -> String {
    format!("Connect an identity provider to {}", super::text::plain(&instance.name))
}

fn over(link: &Handover, now: Timestamp) -> Markup {
    let at = |micros: i64| Timestamp::from_microsecond(micros).unwrap_or(now);
    html! { div.card { div.pad.stack {
        @match link.state {
            Standing::Used => p { strong { "This link is used." } " A key was made by it " (parts::ago(now, at(link.used_at.unwrap_or_default()))) " and shown then; it cannot be shown again." },
            Standing::Revoked => p { strong { "This link was taken back." } },
            _ => p { strong { "This link is over." } " It could be used until " (parts::when(now, at(link.expires_at))) "." },
        }
        p { "Whoever sent it to you can make another." }
    } } }
}

fn draw(
    app: &App,
    link: &Handover,
    theme: Theme,
    here: &str,
    idp: &str,
    made: Option<&Value>,
    wrong: Option<&str>,
) -> Response {
    let now = app.clock.now();
    let instance = &link.instance;
    if made.is_none() && link.state != Standing::Open {
        return open(StatusCode::GONE, &title(instance), theme, &over(link, now));
    }
    let chosen = guides::by_id(if link.guide.is_empty() { idp } else { &link.guide });
    let address = app.scim_base_url(&instance.id);
    let key = made.map(|made| text(made, "key"));
    let values = Values::new(&address, key, &instance.name, &instance.id);
    let after = if chosen.is_some() { format!("{here}?idp={idp}") } else { here.to_owned() };
    let body = html! {
        @if instance.mode == Mode::Disabled {
            (parts::note(Tone::Warn, &html! { p { strong { "The instance is disabled." } " A connection test fails until whoever sent you this link enables it." } }))
        }
        (parts::card("Address", &html! {}, &html! { div.pad.tight { (parts::copy_field("base-url", "SCIM base URL", &address)) } }))
        @match made {
            Some(made) => { (keys::revealed(made, "scim-key.txt")) },
            None => { (parts::card("Key", &html! {}, &html! { div.pad.stack {
                p { "The identity provider sends a key with every request. This link makes one key, and shows it once: have the place ready where it is pasted. The link can be used until " (parts::when(now, Timestamp::from_microsecond(link.expires_at).unwrap_or(now))) "." }
                form.form method="post" action=(here) {
                    @if let Some(wrong) = wrong { div.errors #errors tabindex="-1" role="alert" { h2 { "There is a problem" } ul { li { a href="#f-name" { (wrong) } } } } }
                    input type="hidden" name="idp" value=(idp);
                    (Field::text("name", "Name of the key").hint("Your own name or team: it stands in the record of who asked for what.").optional().draw(wrong))
                    div.buttons { button.btn.main type="submit" { "Make the key" } }
                }
            } })) },
        }
        @if link.guide.is_empty() && made.is_none() { (parts::card("Identity provider", &html! {}, &html! { div.pad { (connect::choice(here, chosen)) } })) }
        @if let Some(chosen) = chosen { (guide::draw(chosen, &values, here)) }
        @if made.is_some() { p { a.btn href=(after) { "I have stored it" } } }
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let title = if wrong.is_some() { format!("Error: {}", title(instance)) } else { title(instance) };
    open(status, &title, theme, &body)
}

async fn arrive(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(presented): Path<String>,
    Query(chosen): Query<Chosen>,
) -> Response {
    let theme = Theme::of(&headers);
    let link = match link_of(&app, theme, &presented).await {
        Ok(link) => link,
        Err(answer) => return answer,
    };
    draw(&app, &link, theme, &format!("/console{GUEST}{presented}"), &chosen.idp, None, None)
}

async fn make_key(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Path(presented): Path<String>,
    Extension(sent): Extension<Sent>,
) -> Response {
    let theme = Theme::of(&headers);
    let link = match link_of(&app, theme, &presented).await {
        Ok(link) => link,
        Err(answer) => return answer,
    };
    let (here, idp) = (format!("/console{GUEST}{presented}"), sent.text("idp"));
    match app.use_handover(&link, sent.some("name")).await {
        Ok(made) => draw(&app, &link, theme, &here, idp, Some(&made), None),
        Err(AdminError::Invalid { message, .. }) => draw(&app, &link, theme, &here, idp, None, Some(&message)),
        Err(AdminError::Store(error)) => silent(theme, &error),
        // Used, taken back or over in between: what is so now is shown.
        Err(_) => match link_of(&app, theme, &presented).await {
            Ok(link) => draw(&app, &link, theme, &here, idp, None, None),
            Err(answer) => answer,
        },
    }
}
