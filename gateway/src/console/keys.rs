//! The keys of an instance: list, create, rotate, revoke. A key's text is in the answer to the form that made it, and
//! nowhere else.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::extract::Path;
use super::form::{Choice, Errors, Field, Form, Sent, confirm};
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::name;
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{list, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::keys::NewKey;
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::Instance;
use crate::store::StoreError;

/// Keys that are shown; an instance has a handful.
const SHOWN: i64 = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/keys", get(all))
        .route("/instances/{id}/keys/new", get(new).post(create))
        .route("/instances/{id}/keys/{key}/rotate", get(ask_rotate).post(rotate))
        .route("/instances/{id}/keys/{key}/revoke", get(ask_revoke).post(revoke))
}

/// The keys of an instance, the newest first.
pub(super) async fn of(visit: &Visit, instance: &Instance) -> Result<Vec<Value>, StoreError> {
    let mut keys = visit.app.list_keys(instance, "", SHOWN).await?;
    keys.sort_by(|a, b| text(b, "created_at").cmp(text(a, "created_at")));
    Ok(keys)
}

/// What a form that makes a key carries: which keys there were. A form that is sent again names a state that is past, so
/// it makes no second key.
pub(super) fn seen(keys: &[Value]) -> String {
    let mut ids: Vec<&str> = keys.iter().map(|key| text(key, "id")).collect();
    ids.sort_unstable();
    Sha256::digest(ids.join(" ")).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

/// What is said in place of a key that was shown already.
pub(super) fn shown_before(visit: &Visit, keys: &[Value]) -> Markup {
    let newest = keys.first().unwrap_or(&Value::Null);
    parts::note(
        Tone::Warn,
        &html! {
            p { strong { "No key was made." } " A key was created " (parts::when_or(visit.now, &newest["created_at"], "a moment ago")) " already. It was shown then and cannot be shown again." }
            p { "If it was lost, revoke it and create another." }
        },
    )
}

fn state(visit: &Visit, key: &Value) -> Markup {
    let end = parts::instant(&key["expires_at"]);
    html! {
        @if key["active"] != true { (parts::tag(Tone::Quiet, "Ended")) }
        @else if end.is_some_and(|end| end.duration_since(visit.now) < SignedDuration::from_hours(14 * 24)) { (parts::tag(Tone::Warn, "Ends soon")) }
        @else { (parts::tag(Tone::Good, "Active")) }
    }
}

/// Keys as a table.
fn table(visit: &Visit, instance: &Instance, keys: &[Value]) -> Markup {
    if keys.is_empty() {
        return parts::empty("No key", &html! { "Without one the identity provider cannot call." }, &html! {});
    }
    let may = visit.may(Role::Admin);
    let mut table = Table::new("Keys")
        .hush()
        .head("Name")
        .head("State")
        .head("Last used")
        .less("Scopes")
        .less("Created")
        .head("Ends");
    if may {
        table = table.acts();
    }
    for key in keys {
        let root = format!("/console/instances/{}/keys/{}", instance.id, text(key, "id"));
        let scopes: Vec<&str> = list(key, "scopes").iter().filter_map(Value::as_str).collect();
        table.row(html! { tr {
            th scope="row" { @if text(key, "name").is_empty() { span.muted { "No name" } } @else { (name(text(key, "name"))) } " " span.small.muted { code { (text(key, "id")) } } }
            td { (state(visit, key)) }
            td { (parts::ago_or(visit.now, &key["last_used_at"], "never")) @if let Some(client) = key["client"].as_str() { span.small.muted { " by " (name(client)) } } }
            td.rank2 { (scopes.join(", ")) }
            td.rank2 { (parts::ago_or(visit.now, &key["created_at"], "")) }
            td { (parts::ago_or(visit.now, &key["expires_at"], "never")) }
            @if may { td { @if key["active"] == true { span.inline {
                a.btn.small href={ (root) "/rotate" } { "Rotate" span.hush { " " (text(key, "id")) } }
                a.btn.small.danger href={ (root) "/revoke" } { "Revoke" span.hush { " " (text(key, "id")) } }
            } } } }
        } });
    }
    table.draw()
}

async fn all(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = visit.instance(&id).await?;
    let keys = of(&visit, &instance).await?;
    let create = html! { @if visit.may(Role::Admin) { a.btn.main href={ "/console/instances/" (instance.id) "/keys/new" } { "Create key" } } };
    Ok(Page::of(&instance, Tab::Keys, "Keys")
        .lead(html! { "The identity provider sends a key with every request. The text of a key is shown once, when it is made; only a hash is stored. When a key was last used is counted every minute." })
        .actions(create)
        .body(html! { (parts::card("Keys of this instance", &html! {}, &table(&visit, &instance, &keys))) }))
}

/// The fields of a new key.
pub(super) fn fields<'a>(form: Form<'a>, sent: Option<&Sent>) -> Form<'a> {
    let text = |field: &str, usual: &str| sent.map_or(usual.to_owned(), |sent| sent.raw(field).to_owned());
    form.field(
        Field::text("name", "Name of the key")
            .hint("Such as \u{201c}Entra 2026\u{201d}: it stands in the record of who asked for what.")
            .value(text("name", ""))
            .optional(),
    )
    .field(
        Field::select(
            "expires",
            "It ends",
            vec![
                Choice::new("365", "In a year (recommended)", ""),
                Choice::new("90", "In 90 days", ""),
                Choice::new("730", "In two years", ""),
                Choice::new("", "Never", ""),
            ],
        )
        .value(text("expires", "365")),
    )
    .field(
        Field::radio(
            "scope",
            "What it may do",
            vec![
                Choice::new("scim", "Everything an identity provider does", ""),
                Choice::new("scim:read", "Read only", ""),
                Choice::new("scim:events", "Poll security events", ""),
            ],
        )
        .value(text("scope", "scim")),
    )
}

/// What few keys need.
fn advanced<'a>(form: Form<'a>, sent: Option<&Sent>) -> Form<'a> {
    let text = |field: &str| sent.map_or(String::new(), |sent| sent.raw(field).to_owned());
    form.group(
        "Advanced",
        vec![
            Field::text("rate", "Most requests")
                .hint("Such as 50/s, 600/m or 10000/h. Empty: the limit of this gateway.")
                .value(text("rate"))
                .optional(),
            Field::text("person", "Belongs to a person")
                .hint("The SCIM id of a person of this instance: the key opens /Me alone, which is that person, whatever is chosen above.")
                .code()
                .value(text("person"))
                .optional(),
        ],
    )
}

/// A key as the form asks for it.
pub(super) fn read(sent: &Sent, now: Timestamp) -> Result<NewKey, Errors> {
    let expires_at = match sent.text("expires") {
        "" => None,
        days => match days.parse::<i64>().ok().filter(|days| (1..=3_650).contains(days)) {
            Some(days) => now.checked_add(SignedDuration::from_hours(days * 24)).ok().map(Timestamp::as_microsecond),
            None => {
                let mut errors = Errors::default();
                errors.add("expires", "must be one of the list");
                return Err(errors);
            }
        },
    };
    Ok(NewKey {
        name: sent.some("name"),
        expires_at,
        // The key of a person has a scope of its own, and no other.
        scopes: sent.some("scope").filter(|_| sent.text("person").is_empty()).map(|scope| vec![scope]),
        person: sent.some("person"),
        rate_limit: sent.some("rate"),
    })
}

/// The block that shows a new key.
pub(super) fn revealed(made: &Value, file: &str) -> Markup {
    parts::secret_once(
        "Your new key",
        file,
        text(made, "key"),
        &html! {
            @if let Some(end) = made["expires_at"].as_str() { p { "It ends on " (end.get(..10).unwrap_or(end)) "." } }
        },
    )
}

fn new_page(visit: &Visit, instance: &Arc<Instance>, keys: &[Value], sent: Option<&Sent>, errors: Errors) -> Page {
    let root = format!("/console/instances/{}/keys", instance.id);
    let form = Form::new(visit, format!("{root}/new"), "Create key")
        .hidden("seen", seen(keys))
        .errors(errors)
        .cancel(root.as_str());
    let form = advanced(fields(form, sent), sent);
    Page::of(instance, Tab::Keys, "Create a key")
        .crumb("Keys", root)
        .body(html! { div.card { div.pad { (form.draw()) } } })
}

async fn new(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let keys = of(&visit, &instance).await?;
    Ok(new_page(&visit, &instance, &keys, None, Errors::default()))
}

async fn create(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let keys = of(&visit, &instance).await?;
    let root = format!("/console/instances/{}/keys", instance.id);
    if sent.text("seen") != seen(&keys) {
        let again =
            html! { p { a.btn href={ (root) "/new" } { "Create another" } " " a.btn href=(root) { "To the keys" } } };
        return Ok(Page::of(&instance, Tab::Keys, "Create a key")
            .crumb("Keys", root.as_str())
            .body(html! { (shown_before(&visit, &keys)) (again) })
            .into_response());
    }
    let result = match read(&sent, visit.now) {
        Err(errors) => Err(errors),
        Ok(new) => match visit.app.create_key(&visit.actor(), &instance, new).await {
            Ok(made) => Ok(made),
            Err(error) => Err(Errors::from(error)?.renamed(|field| match field {
                "scopes" => "scope".to_owned(),
                "expires_at" => "expires".to_owned(),
                "rate_limit" => "rate".to_owned(),
                other => other.to_owned(),
            })),
        },
    };
    Ok(match result {
        Ok(made) => made_page(&instance, &made, &html! {}).into_response(),
        Err(errors) => new_page(&visit, &instance, &keys, Some(&sent), errors).failed().into_response(),
    })
}

fn made_page(instance: &Arc<Instance>, made: &Value, body: &Markup) -> Page {
    let root = format!("/console/instances/{}", instance.id);
    Page::of(instance, Tab::Keys, "Key created").crumb("Keys", format!("{root}/keys")).body(html! {
        (revealed(made, "scim-key.txt"))
        (body)
        p { a.btn.main href={ (root) "/keys" } { "I have stored it" } " " a.btn href={ (root) "/connect" } { "How to connect" } }
    })
}

/// The live key of an id in the path.
async fn key_of(visit: &Visit, instance: &Instance, id: &str) -> Result<Value, Trouble> {
    of(visit, instance).await?.into_iter().find(|key| text(key, "id") == id).ok_or_else(Trouble::not_found)
}

fn called(key: &Value) -> String {
    let name = text(key, "name");
    format!("\u{201c}{}\u{201d}", if name.is_empty() { text(key, "id") } else { name })
}

fn used(visit: &Visit, key: &Value) -> Markup {
    html! {
        @match parts::instant(&key["last_used_at"]) {
            Some(at) => { "It was last used " (parts::ago(visit.now, at)) "." },
            None => "It was never used.",
        }
    }
}

/// How long the old key lives on, in seconds.
const OVERLAPS: [(&str, &str, &str); 4] = [
    ("86400", "24 hours (recommended)", "Both keys work until then: paste the new one in the meantime."),
    ("3600", "1 hour", ""),
    ("604800", "7 days", ""),
    ("0", "Not at all: the old key stops now", "The identity provider fails until you paste the new one."),
];

async fn rotate_page(visit: &Visit, instance: &Arc<Instance>, id: &str, errors: Errors) -> Answer {
    let keys = of(visit, instance).await?;
    let key = key_of(visit, instance, id).await?;
    let root = format!("/console/instances/{}/keys", instance.id);
    let choices = OVERLAPS.iter().map(|(value, label, hint)| Choice::new(value, label, hint)).collect();
    let form = Form::new(visit, format!("{root}/{id}/rotate"), "Make the new key")
        .hidden("seen", seen(&keys))
        .field(Field::radio("overlap", "How long the old key lives on", choices).value("86400"))
        .errors(errors)
        .cancel(root.as_str());
    Ok(Page::of(instance, Tab::Keys, format!("Rotate key {}", called(&key))).crumb("Keys", root).body(html! {
        div.card { div.pad.stack { p { "A new key with the same name and rights takes its place. " (used(visit, &key)) } (form.draw()) } }
    }))
}

async fn ask_rotate(visit: Visit, Path((id, key)): Path<(String, String)>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    rotate_page(&visit, &instance, &key, Errors::default()).await
}

async fn rotate(visit: Visit, Path((id, key)): Path<(String, String)>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let keys = of(&visit, &instance).await?;
    let root = format!("/console/instances/{}/keys", instance.id);
    if sent.text("seen") != seen(&keys) {
        let body = html! { (shown_before(&visit, &keys)) p { a.btn href=(root) { "To the keys" } } };
        return Ok(Page::of(&instance, Tab::Keys, "Rotate a key")
            .crumb("Keys", root.as_str())
            .body(body)
            .into_response());
    }
    let Some(seconds) =
        OVERLAPS.iter().find(|(value, ..)| *value == sent.text("overlap")).and_then(|(value, ..)| value.parse().ok())
    else {
        let mut errors = Errors::default();
        errors.add("overlap", "must be one of the list");
        return Ok(rotate_page(&visit, &instance, &key, errors).await?.failed().into_response());
    };
    match visit.app.rotate_key(&visit.actor(), &instance, &key, seconds).await {
        Ok(made) => {
            let until = visit
                .now
                .checked_add(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(0)))
                .unwrap_or(visit.now);
            let body = html! { p {
                @if seconds == 0 { "The old key has stopped." }
                @else { "The old key ends " (parts::when(visit.now, until)) ". The list of keys shows when each was last used: once the new one is in use and the old one quiet, the old one can be revoked." }
            } };
            Ok(made_page(&instance, &made, &body).into_response())
        }
        Err(AdminError::Conflict(why)) => {
            let mut errors = Errors::default();
            errors.add("", why);
            Ok(rotate_page(&visit, &instance, &key, errors).await?.failed().into_response())
        }
        Err(error) => Err(error.into()),
    }
}

async fn ask_revoke(visit: Visit, Path((id, key)): Path<(String, String)>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let known = key_of(&visit, &instance, &key).await?;
    let root = format!("/console/instances/{}/keys", instance.id);
    let form = Form::new(&visit, format!("{root}/{key}/revoke"), "Revoke key").cancel(root.as_str()).danger();
    let body = confirm(
        form,
        &html! { p { (used(&visit, &known)) } p { "The identity provider that uses it gets 401 from the next call on, and may stop its whole job. Rotate instead if you only want a new key." } },
        None,
    );
    Ok(Page::of(&instance, Tab::Keys, format!("Revoke key {}?", called(&known))).crumb("Keys", root).body(body))
}

async fn revoke(visit: Visit, Path((id, key)): Path<(String, String)>) -> Sending {
    let instance = visit.instance(&id).await?;
    let known = key_of(&visit, &instance, &key).await?;
    visit.app.revoke_key(&visit.actor(), &instance, &key).await?;
    let words = format!("The key {} is revoked. It works nowhere any more within five seconds.", called(&known));
    Ok(visit.done(&format!("/console/instances/{}/keys", instance.id), &words))
}
