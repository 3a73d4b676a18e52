//! Moving an instance to another version of its manifest: which there are, what changes, and the move.
//!
//! What is done is what was shown: the form carries a digest of the changes, and where another move would come of what was
//! sent, that is shown first.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use maud::{Markup, html};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::change::overtaken;
use super::declared::{self, Before};
use super::extract::{Path, Query};
use super::form::{Errors, Field, Form, Sent};
use super::instances::fresh;
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{name, value};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{link, list, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::catalogue::Listed;
use crate::service::instances::Upgrade;
use crate::service::members::Role;
use crate::service::records::AdminError;
use crate::service::types::Instance;
use crate::store::StoreError;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/instances/{id}/settings/version", get(show).post(advance))
}

/// Which version is asked about.
#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    to: String,
}

fn here(instance: &Instance) -> String {
    format!("/console/instances/{}/settings/version", instance.id)
}

/// The card on the page of settings; nothing for a connector that is code.
pub(super) async fn card(visit: &Visit, instance: &Instance) -> Result<Markup, StoreError> {
    let Some(version) = &instance.connector_version else { return Ok(html! {}) };
    let newest = visit.app.catalogue.for_new(&instance.connector_name, None).await?.ok().and_then(|one| one.version);
    let other = newest.filter(|newest| newest != version);
    Ok(parts::card(
        "Version of the connector",
        &html! {},
        &html! { div.pad.stack {
            p {
                "It holds to version " (name(version)) " of the manifest "
                a href={ "/console/catalogue/" (instance.connector_name) } { (name(&instance.connector_name)) }
                @if let Some(other) = &other { "; new instances get " (name(other)) } @else { ", as new instances do" }
                ". It stays there until it is moved."
            }
            p { a.btn href=(here(instance)) { @if visit.may(Role::Admin) { "Move it to another version" } @else { "Versions" } } }
        } },
    ))
}

fn page(instance: &Arc<Instance>, title: &str) -> Page {
    Page::of(instance, Tab::Settings, title).crumb("Settings", format!("/console/instances/{}/settings", instance.id))
}

/// The version that the instance holds to.
fn holds_to(instance: &Instance) -> Result<&str, Trouble> {
    instance.connector_version.as_deref().ok_or_else(|| {
        Trouble::form(format!(
            "The connector {} is built in: it has no versions beside that of the gateway.",
            instance.connector_name
        ))
    })
}

async fn show(visit: Visit, Path(id): Path<String>, Query(asked): Query<Asked>) -> Answer {
    let instance = visit.instance(&id).await?;
    let from = holds_to(&instance)?;
    if asked.to.is_empty() || asked.to == from {
        return versions(&visit, &instance, from).await;
    }
    visit.require(Role::Admin)?;
    let listed = wanted(&visit, &instance, &asked.to).await?;
    let upgrade = Upgrade {
        dry_run: true,
        ..asked_for(&instance, &listed, &asked.to, Map::new(), BTreeMap::new(), &visit).await?
    };
    let seen = match visit.app.upgrade_instance(&visit.actor(), &instance, upgrade).await {
        Ok((_, changes)) => Seen::Changes(changes),
        Err(error) => Seen::Lacking(Errors::from(error)?.renamed(|field| declared::field_name(&listed.entry, field))),
    };
    look(&visit, &instance, &listed, &asked.to, None, &seen).await
}

/// The versions that there are.
async fn versions(visit: &Visit, instance: &Arc<Instance>, from: &str) -> Answer {
    let manifest = match visit.app.manifest(&instance.connector_name).await {
        Ok(manifest) => manifest,
        // Its connector is gone from the catalogue; the page of the instance says so.
        Err(AdminError::NotFound(_)) => Value::Null,
        Err(error) => return Err(error.into()),
    };
    let current = text(&manifest, "version");
    let may = visit.may(Role::Admin);
    let mut table = Table::new("Versions").hush().head("Version").head("Uploaded").less("By").head("State");
    if may {
        table = table.acts();
    }
    let mut others = 0;
    for one in list(&manifest, "versions") {
        let version = text(one, "version");
        let gone = !one["retired_at"].is_null();
        if gone && version != from {
            continue;
        }
        others += usize::from(version != from);
        table.row(html! { tr {
            th scope="row" { (name(version)) }
            td { (parts::ago_or(visit.now, &one["created_at"], "")) }
            td.rank2 { (name(text(one, "created_by"))) }
            td {
                @if version == from { (parts::tag(Tone::Good, "This instance")) } @else if version == current { (parts::tag(Tone::Quiet, "For new instances")) } @else { (parts::tag(Tone::Quiet, "Kept")) }
            }
            @if may { td { @if version != from { a.btn.small href=(link(&here(instance), &[("to", version)])) { "What would change" span.hush { " with version " (name(version)) } } } } }
        } });
    }
    let upload = html! {
        @if others == 0 { div.pad { p.muted { "There is no other version to move to. "
            @if may { a href={ "/console/catalogue/build?from=" (instance.connector_name) } { "Make a new one" } }
        } } }
    };
    Ok(page(instance, "Versions of its connector")
        .lead(html! { "An instance holds to its version until somebody moves it. Newer or older, a version is moved to only if its settings fit, and never carries a credential to another target." })
        .body(html! { (parts::card("Versions", &html! {}, &html! { (table.draw()) (upload) })) }))
}

/// The connector of the version that is moved to.
async fn wanted(visit: &Visit, instance: &Instance, to: &str) -> Result<Listed, Trouble> {
    let found = visit.app.catalogue.for_new(&instance.connector_name, Some(to)).await?;
    found.map_err(|words| Trouble::new(http::StatusCode::NOT_FOUND, "There is no such version", words))
}

/// The move as it is asked for: what the new version has no place for is taken away with it.
async fn asked_for(
    instance: &Instance,
    listed: &Listed,
    to: &str,
    mut settings: Map<String, Value>,
    given: BTreeMap<String, SecretString>,
    visit: &Visit,
) -> Result<Upgrade, Trouble> {
    let known = |name: &str| listed.entry.settings.iter().any(|one| one.name == name);
    for name in instance.settings.as_object().into_iter().flat_map(Map::keys).filter(|name| !known(name)) {
        settings.insert(name.clone(), Value::Null);
    }
    let mut secrets: BTreeMap<String, Option<SecretString>> =
        given.into_iter().map(|(name, secret)| (name, Some(secret))).collect();
    for name in visit.app.secret_names(instance.seq).await?.into_iter().filter(|name| !known(name)) {
        secrets.insert(name, None);
    }
    Ok(Upgrade { version: to.to_owned(), settings: Some(settings), secrets, ..Upgrade::default() })
}

/// What is known of a move before it is made.
enum Seen {
    /// What would change.
    Changes(Value),
    /// The settings do not fit yet.
    Lacking(Errors),
    /// What was sent is wrong.
    Wrong(Errors),
}

fn digest(changes: &Value) -> String {
    Sha256::digest(changes.to_string()).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

fn words(names: &[Value]) -> String {
    names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// What changes, as a table.
fn changed(changes: &Value, listed: &Listed) -> Markup {
    let mut table = Table::new("What changes").hush().head("What").head("From").head("To");
    let mut row = |what: &str, from: &str, to: &str| {
        table.row(html! { tr { th scope="row" { (name(what)) } td { (value(from)) } td { (value(to)) } } });
    };
    row("Version", text(changes, "from"), text(changes, "to"));
    let settings = &changes["settings"];
    for (field, what) in [
        ("added", "New settings"),
        ("removed", "Settings that go"),
        ("newly_required", "Settings that are required now"),
    ] {
        let names = words(list(settings, field));
        if !names.is_empty() {
            row(what, if field == "removed" { &names } else { "" }, if field == "removed" { "" } else { &names });
        }
    }
    let told = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    for (trait_, change) in changes["traits"].as_object().into_iter().flatten() {
        row(&format!("Can do: {}", trait_.replace('_', " ")), &told(&change["from"]), &told(&change["to"]));
    }
    if changes["driver_key"].is_object() {
        row("Whose limits it counts against", text(&changes["driver_key"], "from"), text(&changes["driver_key"], "to"));
    }
    if changes["schemas"] == true {
        row("Schemas", "", "What the connector adds to the core schemas changes.");
    }
    html! {
        (table.draw())
        div.pad { p.muted.small { "Beside that, calls go out as version " (name(text(changes, "to"))) " of " (name(listed.entry.title)) " says; the two texts stand in the catalogue." } }
    }
}

/// The page of a move: what changes, the settings, the button.
async fn look(
    visit: &Visit,
    instance: &Arc<Instance>,
    listed: &Listed,
    to: &str,
    sent: Option<&Sent>,
    seen: &Seen,
) -> Answer {
    let root = here(instance);
    let stored = visit.app.secret_names(instance.seq).await?;
    let (submit, errors, shown) = match seen {
        Seen::Changes(changes) => (format!("Move to version {to}"), Errors::default(), digest(changes)),
        Seen::Lacking(errors) | Seen::Wrong(errors) => ("Show what changes".to_owned(), errors.clone(), String::new()),
    };
    let present = instance.config_rev.to_string();
    let rev = sent.map_or(present.as_str(), |sent| sent.text("config_rev")).to_owned();
    let mut form = Form::new(visit, root.as_str(), submit)
        .hidden("to", to)
        .hidden("shown", shown)
        .hidden("config_rev", rev)
        .cancel(root.as_str())
        .errors(errors);
    let before = match sent {
        None => Before::Stored(&instance.settings, &stored),
        Some(sent) => Before::Sent(sent, &stored),
    };
    form = declared::fields(form, &listed.entry, &before);
    if sent.is_some_and(|sent| sent.under("settings.").any(|(_, value)| !value.is_empty())) {
        form = form.field(
            Field::check("force", "Take a new credential untried")
                .hint("Where the target cannot be asked now, or the credential is meant to be another identity's."),
        );
    }
    let leads = html! { a href={ "/console/catalogue/" (instance.connector_name) } { "Look at the versions in the catalogue" } };
    let page = page(instance, &format!("Move to version {to}?")).crumb("Versions", root).body(html! {
        @match seen {
            Seen::Changes(changes) => {
                (parts::card("What changes", &leads, &changed(changes, listed)))
                (parts::note(Tone::Warn, &html! {
                    p { strong { "Nothing was changed yet." } " From the move on, work that waits and all that comes goes to the target as the new version says. Who has an account keeps it; the next comparison shows what the new version sees otherwise." }
                    p { "It can be moved back in the same way." }
                }))
            }
            Seen::Lacking(_) => (parts::note(Tone::Quiet, &html! { p { strong { "The settings as they are do not fit this version." } " Fill in below what it asks for; then what changes is shown, and nothing is moved before." } })),
            Seen::Wrong(_) => {}
        }
        (parts::card("Settings under the new version", &html! {}, &html! { div.pad { (form.draw()) } }))
    });
    Ok(if matches!(seen, Seen::Wrong(_)) { page.failed() } else { page })
}

async fn advance(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let from = holds_to(&instance)?.to_owned();
    let to = sent.text("to").to_owned();
    let listed = wanted(&visit, &instance, &to).await?;
    let stored = visit.app.secret_names(instance.seq).await?;
    let (given, errors) = declared::read(&listed.entry, &sent, &stored);
    let errors = overtaken(&instance, &sent).unwrap_or(errors);
    if !errors.is_empty() {
        return Ok(look(&visit, &instance, &listed, &to, Some(&sent), &Seen::Wrong(errors)).await?.into_response());
    }
    let patch = declared::patch(&listed.entry, &instance.settings, &given);
    let asked = asked_for(&instance, &listed, &to, patch.clone(), given.secrets.clone(), &visit).await?;
    let dry = Upgrade { dry_run: true, ..asked };
    let changes = match visit.app.upgrade_instance(&visit.actor(), &instance, dry).await {
        Ok((_, changes)) => changes,
        Err(error) => {
            let errors = Errors::from(error)?.renamed(|field| declared::field_name(&listed.entry, field));
            return Ok(look(&visit, &instance, &listed, &to, Some(&sent), &Seen::Wrong(errors)).await?.into_response());
        }
    };
    if sent.text("shown") != digest(&changes) {
        return Ok(look(&visit, &instance, &listed, &to, Some(&sent), &Seen::Changes(changes)).await?.into_response());
    }
    let asked = asked_for(&instance, &listed, &to, patch, given.secrets, &visit).await?;
    let upgrade = Upgrade { force: sent.ticked("force"), ..asked };
    match visit.app.upgrade_instance(&visit.actor(), &instance, upgrade).await {
        Ok(_) => {
            let note = format!("{} moved from version {from} to {to}.", instance.name);
            Ok(visit.done(&format!("/console/instances/{}/settings", instance.id), &note))
        }
        Err(error) => {
            let errors = Errors::from(error)?.renamed(|field| declared::field_name(&listed.entry, field));
            Ok(look(&visit, &instance, &listed, &to, Some(&sent), &Seen::Wrong(errors)).await?.into_response())
        }
    }
}
