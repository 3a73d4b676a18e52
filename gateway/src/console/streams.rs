//! Event streams of an instance: who is told what changes in its directory (RFC 9967), by poll or push, and how the
//! delivery stands.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use maud::{Markup, html};
use scim::event::Kind;
use serde_json::Value;

use super::extract::Path;
use super::form::{Choice, Errors, Field, Form, Sent, button, confirm};
use super::keys::seen;
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number, plain, value};
use super::visit::Visit;
use super::words::{int, list, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::events::{NewStream, StreamChange};
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::Instance;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/settings/streams", get(all))
        .route("/instances/{id}/settings/streams/new", get(new).post(create))
        .route("/instances/{id}/settings/streams/{stream}", get(show).post(act))
        .route("/instances/{id}/settings/streams/{stream}/change", get(ask_change).post(change))
        .route("/instances/{id}/settings/streams/{stream}/test", post(test))
        .route("/instances/{id}/settings/streams/{stream}/remove", get(ask_remove).post(remove))
}

fn here(instance: &Instance) -> String {
    format!("/console/instances/{}/settings/streams", instance.id)
}

/// The card on the page of settings.
pub(super) fn card(instance: &Instance) -> Markup {
    parts::card(
        "Security events",
        &html! {},
        &html! { div.pad.stack {
            p { @if instance.has_streams {
                "Other systems are told what changes in this instance, by event streams."
            } @else {
                "Nobody is told what changes in this instance: it has no event stream."
            } }
            p { a.btn href=(here(instance)) { "Event streams" } }
        } },
    )
}

/// What a kind of event tells.
fn words(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Add => ("Taken over", "A person or group that was at the target was taken over by its first write."),
        Kind::Create => ("Created", ""),
        Kind::Patch => ("Changed", "By PATCH; a group that a person leaves by being deleted, too."),
        Kind::Put => ("Replaced", "By PUT; what holds again after a change was taken back, too."),
        Kind::Delete => ("Deleted", "A creation that was taken back, too."),
        Kind::Activate => ("Activated", ""),
        Kind::Deactivate => ("Deactivated", ""),
        Kind::Response => ("Request completed", "One that was answered 202 because its client asked to be told later."),
    }
}

/// How the delivery of a stream stands.
fn state(stream: &Value) -> Markup {
    if stream["paused"] == true {
        parts::tag(Tone::Warn, "Paused")
    } else if int(stream, "failures_in_a_row") > 0 {
        parts::tag(Tone::Bad, "Does not arrive")
    } else if stream["last_delivered_at"].is_string() {
        parts::tag(Tone::Good, "Taken")
    } else {
        parts::tag(Tone::Quiet, "Nothing taken yet")
    }
}

fn way(stream: &Value) -> &'static str {
    if stream["delivery"] == "push" { "Push" } else { "Poll" }
}

fn page(instance: &Arc<Instance>, title: &str) -> Page {
    Page::of(instance, Tab::Settings, title).crumb("Settings", format!("/console/instances/{}/settings", instance.id))
}

async fn all(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    let root = here(&instance);
    let streams = visit.app.event_streams(&instance).await?;
    let mut table = Table::new("Event streams").hush().head("Name").head("Delivery").head("State");
    table = table.head("Last taken").number("Waiting").less("Told of");
    for one in &streams {
        let kinds = list(one, "events").len();
        table.row(html! { tr {
            th scope="row" { a href={ (root) "/" (text(one, "id")) } { (name(text(one, "name"))) } }
            td { (way(one)) }
            td { (state(one)) }
            td { (parts::ago_or(visit.now, &one["last_delivered_at"], "never")) }
            td.num { (number(int(one, "pending"))) }
            td.rank2 { @if kinds == Kind::ALL.len() { "everything" } @else { (kinds) " of " (Kind::ALL.len()) " kinds" } }
        } });
    }
    let may = visit.may(Role::Admin);
    let add = html! { @if may { a.btn.main href={ (root) "/new" } { "Add a stream" } } };
    let body = if table.is_empty() {
        let words = html! {
            "A stream tells another system, such as a SIEM, who was created, changed, switched off or deleted here, as signed security event tokens. Without one nothing is written for it."
            @if !may { " Admins add one." }
        };
        let action = html! { @if may { a.btn href={ (root) "/new" } { "Add the first stream" } } };
        parts::empty("Nobody is told", &words, &action)
    } else {
        table.draw()
    };
    Ok(page(&instance, "Event streams")
        .actions(add)
        .lead(html! { "Who is told what changes in this instance. A receiver fetches the events by poll, or they are pushed to it; each waits up to seven days until it is taken." })
        .body(html! { (parts::card("Streams", &html! {}, &body)) }))
}

/// The fields of a stream; `before` is the stream that is changed.
fn fields<'a>(mut form: Form<'a>, sent: Option<&Sent>, before: Option<&Value>) -> Form<'a> {
    let stands = |field: &str| match (sent, before) {
        (Some(sent), _) => sent.text(field).to_owned(),
        (None, Some(before)) => text(before, field).to_owned(),
        (None, None) => String::new(),
    };
    let or = |text: String, usual: &str| if text.is_empty() { usual.to_owned() } else { text };
    let push = before.is_some_and(|before| before["delivery"] == "push");
    let named = Field::text("name", "Name").hint("For people here, such as \u{201c}SIEM\u{201d}.");
    form = form.field(named.value(match sent {
        None => plain(&stands("name")),
        Some(_) => stands("name"),
    }));
    if before.is_none() {
        let ways = vec![
            Choice::new(
                "poll",
                "The receiver asks (poll)",
                "It needs a key of this instance that may poll security events.",
            ),
            Choice::new("push", "scimgate sends (push)", "To the address below, one after the other."),
        ];
        form = form.field(Field::radio("delivery", "How events get there", ways).value(or(stands("delivery"), "poll")));
    }
    if before.is_none() || push {
        let mut secret = "The whole Authorization header, such as \u{201c}Bearer abc\u{201d}. It is stored encrypted and never shown again.".to_owned();
        match before {
            Some(before) if before["has_authorization"] == true => {
                secret.push_str(" One is stored: leave this empty to keep it. Another address asks for it again.");
            }
            _ => {}
        }
        let address = Field::text("endpoint_url", "Address of the receiver")
            .hint("For push alone, such as https://receiver.example.com/events.")
            .code()
            .value(stands("endpoint_url"));
        form = form
            .field(if push { address } else { address.optional() })
            .field(Field::secret("authorization", "Authorization").hint(secret).optional());
        if before.is_some_and(|before| before["has_authorization"] == true) {
            form = form.field(
                Field::check("forget", "Send no authorization any more")
                    .value(sent.map_or("", |sent| if sent.ticked("forget") { "1" } else { "" })),
            );
        }
    }
    let kinds = Kind::ALL
        .map(|kind| {
            let (label, hint) = words(kind);
            Choice::new(kind.name(), label, hint)
        })
        .to_vec();
    let chosen = match (sent, before) {
        (Some(sent), _) => sent.all("events").join(" "),
        (None, Some(before)) => list(before, "events").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        (None, None) => Kind::ALL.map(Kind::name).join(" "),
    };
    let payloads = vec![
        Choice::new("notice", "Which attributes changed", "The receiver reads the rest by SCIM, if it may."),
        Choice::new("full", "The data itself", "Names, addresses and whatever was sent leave this gateway."),
    ];
    form.field(Field::checks("events", "What it is told of", kinds).value(chosen))
        .field(Field::radio("payload", "What an event holds", payloads).value(or(stands("payload"), "notice")))
        .group(
            "Advanced",
            vec![
                Field::text("audience", "Audience")
                    .hint("The claim aud of every token; the address of the receiver, or the one for polls, where this is empty.")
                    .value(stands("audience"))
                    .optional(),
            ],
        )
}

/// The kinds that were ticked.
fn ticked(sent: &Sent) -> Result<Vec<String>, Errors> {
    let chosen: Vec<String> = sent.all("events").into_iter().map(str::to_owned).collect();
    if chosen.is_empty() {
        let mut errors = Errors::default();
        errors.add("events", "tick at least one");
        return Err(errors);
    }
    Ok(chosen)
}

fn new_page(visit: &Visit, instance: &Arc<Instance>, streams: &[Value], sent: Option<&Sent>, errors: Errors) -> Page {
    let root = here(instance);
    let form = Form::new(visit, format!("{root}/new"), "Add the stream")
        .hidden("seen", seen(streams))
        .errors(errors)
        .cancel(root.as_str());
    page(instance, "Add an event stream")
        .crumb("Event streams", root)
        .body(html! { div.card.narrow { div.pad { (fields(form, sent, None).draw()) } } })
}

async fn new(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let streams = visit.app.event_streams(&instance).await?;
    Ok(new_page(&visit, &instance, &streams, None, Errors::default()))
}

async fn create(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let streams = visit.app.event_streams(&instance).await?;
    let refused = |errors| Ok(new_page(&visit, &instance, &streams, Some(&sent), errors).failed().into_response());
    // A form that is sent again, as by a reload, names streams that are no longer all: it makes no second one.
    if sent.text("seen") != seen(&streams) {
        let mut errors = Errors::default();
        errors.add("", "A stream was added or removed since this page was loaded, perhaps by this very form, and none was added now. Look at the list, or send the form once more to add another.");
        return refused(errors);
    }
    let events = match ticked(&sent) {
        Ok(events) => events,
        Err(errors) => return refused(errors),
    };
    let new = NewStream {
        name: sent.text("name").to_owned(),
        delivery: sent.text("delivery").to_owned(),
        endpoint_url: sent.some("endpoint_url"),
        authorization: sent.secret("authorization"),
        events: Some(events),
        payload: sent.some("payload"),
        audience: sent.some("audience"),
    };
    match visit.app.create_event_stream(&visit.actor(), &instance, new).await {
        Ok(made) => Ok(visit.done(
            &format!("{}/{}", here(&instance), text(&made, "id")),
            "The stream is there. What changes from now on is told by it.",
        )),
        Err(error) => refused(Errors::from(error)?),
    }
}

async fn show(visit: Visit, Path((id, stream)): Path<(String, String)>) -> Answer {
    let instance = visit.instance(&id).await?;
    let stream = visit.app.event_stream(&instance, &stream).await?;
    let root = format!("{}/{}", here(&instance), text(&stream, "id"));
    let (paused, pending) = (stream["paused"] == true, int(&stream, "pending"));
    let kinds: Vec<&str> = Kind::ALL
        .into_iter()
        .filter(|kind| list(&stream, "events").iter().any(|one| one == kind.name()))
        .map(|kind| words(kind).0)
        .collect();
    let facts = parts::facts(&[
        (
            "Delivery",
            html! { @if stream["delivery"] == "push" { "Push: scimgate sends" } @else { "Poll: the receiver asks" } },
        ),
        ("State", state(&stream)),
        ("Last taken", parts::when_or(visit.now, &stream["last_delivered_at"], "never")),
        (
            "Last error",
            html! {
                @match stream["last_error"].as_str() {
                    None => span.muted { "none" },
                    Some(error) => { (value(error)) " " (parts::when_or(visit.now, &stream["last_error_at"], "")) }
                }
            },
        ),
        (
            "Next try",
            html! { @if int(&stream, "failures_in_a_row") > 0 && !paused { (parts::when_or(visit.now, &stream["next_try_at"], "")) } @else { span.muted { "none is due" } } },
        ),
        (
            "Waiting",
            html! { (number(pending)) @if stream["oldest_at"].is_string() { ", the oldest " (parts::ago_or(visit.now, &stream["oldest_at"], "")) } },
        ),
        ("Taken", html! { (number(int(&stream, "delivered"))) }),
        ("Refused", html! { (number(int(&stream, "refused"))) }),
        (
            "Dropped",
            html! { (number(int(&stream, "dropped"))) @if int(&stream, "dropped") > 0 { " " span.muted { "not taken within seven days, or beyond 100,000" } } },
        ),
    ]);
    let about = parts::facts(&[
        ("Told of", html! { (kinds.join(", ")) }),
        (
            "An event holds",
            html! { @if stream["payload"] == "full" { "the data itself" } @else { "which attributes changed" } },
        ),
        (
            "Address",
            html! {
                @if let Some(url) = stream["endpoint_url"].as_str() { code { (value(url)) } @if stream["has_authorization"] == true { ", with an authorization" } }
                @else { code { (value(text(&stream, "poll_url"))) } }
            },
        ),
        ("Audience", html! { code { (value(text(&stream, "audience"))) } }),
        ("Made", parts::when_or(visit.now, &stream["created_at"], "")),
        ("Id", parts::id(text(&stream, "id"))),
    ]);
    let mut refusals =
        Table::new("Refused by the receiver").hush().head("When").head("Error").head("What it said").less("Token");
    for one in list(&stream, "refusals") {
        refusals.row(html! { tr {
            th scope="row" { (parts::ago_or(visit.now, &one["at"], "")) }
            td { code { (name(text(one, "err"))) } }
            td { (name(text(one, "description"))) }
            td.rank2 { code { (name(text(one, "jti"))) } }
        } });
    }
    let may = visit.may(Role::Admin);
    let edit = html! { @if may { a.btn href={ (root) "/change" } { "Change" } } };
    Ok(page(&instance, text(&stream, "name")).crumb("Event streams", here(&instance)).tags(state(&stream)).live().body(html! {
        (parts::live("state", true, &html! {
            @if paused {
                (parts::note(Tone::Warn, &html! { p { strong { "It is paused." } " " (count(pending, "event waits", "events wait")) " now; after seven days they are dropped." } }))
            } @else if int(&stream, "failures_in_a_row") > 0 {
                (parts::note(Tone::Bad, &html! {
                    p { strong { "The receiver does not take them." } " Tried " (count(int(&stream, "failures_in_a_row"), "time", "times")) " in a row; nothing is lost before seven days are over." }
                    p { "See what the last error says. A test is tried at once." }
                }))
            }
            (parts::card("How it stands", &html! {}, &html! { div.pad { (facts) } }))
        }))
        (parts::card("This stream", &edit, &html! { div.pad.stack {
            (about)
            @if stream["delivery"] == "poll" { p.small.muted { "The receiver polls with a " a href={ "/console/instances/" (instance.id) "/keys" } { "key" } " that may poll security events, and with no other." } }
        } }))
        @if !refusals.is_empty() { (parts::card("Refused by the receiver", &html! {}, &refusals.draw())) }
        @if may {
            div.buttons {
                @if paused { (button(&visit, &root, "Resume", &[("pause", "no")])) } @else { (button(&visit, &root, "Pause", &[("pause", "yes")])) }
                (button(&visit, &format!("{root}/test"), "Send a test event", &[]))
                a.btn.danger href={ (root) "/remove" } { "Remove this stream\u{2026}" }
            }
        }
    }))
}

async fn act(visit: Visit, Path((id, stream)): Path<(String, String)>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let paused = match sent.text("pause") {
        "yes" => true,
        "no" => false,
        _ => return Err(super::Trouble::form("The form says neither pause nor resume. Nothing was changed.")),
    };
    let change = StreamChange { paused: Some(paused), ..StreamChange::default() };
    visit.app.change_event_stream(&visit.actor(), &instance, &stream, change).await?;
    let note =
        if paused { "It is paused. Events wait, for seven days at most." } else { "It goes on with what waited." };
    Ok(visit.done(&format!("{}/{stream}", here(&instance)), note))
}

async fn test(visit: Visit, Path((id, stream)): Path<(String, String)>) -> Sending {
    let instance = visit.instance(&id).await?;
    let change = StreamChange { verify: true, ..StreamChange::default() };
    let shown = visit.app.change_event_stream(&visit.actor(), &instance, &stream, change).await?;
    let note = format!(
        "A test event with the state {} is in its line and tried at once.",
        text(&shown["verification"], "state")
    );
    Ok(visit.done(&format!("{}/{stream}", here(&instance)), &note))
}

fn change_page(visit: &Visit, instance: &Arc<Instance>, stream: &Value, sent: Option<&Sent>, errors: Errors) -> Page {
    let root = format!("{}/{}", here(instance), text(stream, "id"));
    let failed = !errors.is_empty();
    let form = Form::new(visit, format!("{root}/change"), "Save the stream").errors(errors).cancel(root.as_str());
    let page = page(instance, "Change the stream")
        .crumb("Event streams", here(instance))
        .crumb(text(stream, "name"), root)
        .body(html! { div.card.narrow { div.pad { (fields(form, sent, Some(stream)).draw()) } } });
    if failed { page.failed() } else { page }
}

async fn ask_change(visit: Visit, Path((id, stream)): Path<(String, String)>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let stream = visit.app.event_stream(&instance, &stream).await?;
    Ok(change_page(&visit, &instance, &stream, None, Errors::default()))
}

async fn change(visit: Visit, Path((id, stream)): Path<(String, String)>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let before = visit.app.event_stream(&instance, &stream).await?;
    let refused = |errors| Ok(change_page(&visit, &instance, &before, Some(&sent), errors).into_response());
    let events = match ticked(&sent) {
        Ok(events) => events,
        Err(errors) => return refused(errors),
    };
    let push = before["delivery"] == "push";
    let differs = |field: &str| Some(sent.text(field).to_owned()).filter(|new| new != text(&before, field));
    let authorization = match sent.secret("authorization") {
        Some(secret) => Some(Some(secret)),
        None => sent.ticked("forget").then_some(None),
    };
    let change = StreamChange {
        // What cannot be seen of a name is not shown, and no reason to change it.
        name: differs("name").filter(|name| *name != plain(text(&before, "name"))),
        endpoint_url: differs("endpoint_url").filter(|_| push),
        authorization: authorization.filter(|_| push),
        events: (list(&before, "events").iter().filter_map(Value::as_str).ne(events.iter().map(String::as_str)))
            .then_some(events),
        payload: differs("payload"),
        audience: differs("audience").filter(|audience| !audience.is_empty()),
        ..StreamChange::default()
    };
    match visit.app.change_event_stream(&visit.actor(), &instance, &stream, change).await {
        Ok(_) => Ok(visit.done(&format!("{}/{stream}", here(&instance)), "The stream is saved.")),
        Err(error) => refused(Errors::from(error)?),
    }
}

async fn ask_remove(visit: Visit, Path((id, stream)): Path<(String, String)>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let stream = visit.app.event_stream(&instance, &stream).await?;
    let root = format!("{}/{}", here(&instance), text(&stream, "id"));
    let last = visit.app.event_streams(&instance).await?.len() == 1;
    let pending = int(&stream, "pending");
    let form = Form::new(&visit, format!("{root}/remove"), "Remove the stream").danger().cancel(root.as_str());
    let consequence = html! {
        p { "Its receiver is told nothing any more." }
        @if pending > 0 { p { (count(pending, "event that waits is", "events that wait are")) " thrown away. Let the receiver take them first, if it can." } }
        @if last { p { "It is the only one: security events are off for this instance then, and requests that ask to be answered later are answered as ever." } }
    };
    Ok(page(&instance, &format!("Remove the stream {}?", plain(text(&stream, "name"))))
        .crumb("Event streams", here(&instance))
        .body(confirm(form, &consequence, None)))
}

async fn remove(visit: Visit, Path((id, stream)): Path<(String, String)>) -> Sending {
    let instance = visit.instance(&id).await?;
    match visit.app.delete_event_stream(&visit.actor(), &instance, &stream).await {
        Ok(()) => Ok(visit.done(&here(&instance), "The stream is removed.")),
        Err(AdminError::NotFound(_)) => Ok(visit.done(&here(&instance), "The stream was removed already.")),
        Err(error) => Err(error.into()),
    }
}
