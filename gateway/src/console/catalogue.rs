//! What there is to connect to: every connector with what it can and cannot do, and manifests with their versions.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use connector_sdk::{Class, Entry, Kind, Removal, Secrets, Setting, SettingKind, Suspend, Traits};
use maud::{Markup, html};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{Path, Query};
use super::form::{Form, Sent, confirm};
use super::layout::{Nav, Page};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number};
use super::visit::Visit;
use super::words::{list, text};
use super::{Answer, Sending, wizard};
use crate::service::App;
use crate::service::catalogue::{Listed, Source, filled};
use crate::service::members::Role;

/// Instances that are shown of those that hold to a version; the list has all.
const INSTANCES: usize = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/catalogue", get(all))
        .route("/catalogue/{connector}", get(one))
        .route("/catalogue/{connector}/versions/{version}", get(version))
        .route("/catalogue/{connector}/versions/{version}/delete", get(ask_delete).post(delete))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Searched {
    q: String,
}

async fn all(visit: Visit, Query(searched): Query<Searched>) -> Answer {
    let cards = wizard::cards(&visit, &searched.q, |name| format!("/console/catalogue/{name}")).await?;
    let (manifests, _) = visit.app.list_manifests("", 500).await?;
    let mut table =
        Table::new("Manifests").hush().head("Name").head("From").head("Version").number("Versions").number("Instances");
    for one in &manifests {
        table.row(html! { tr {
            th scope="row" { a href={ "/console/catalogue/" (text(one, "name")) } { (name(text(one, "title"))) } }
            td { (if text(one, "source") == "config" { "config folder" } else { "uploaded" }) }
            td { (name(text(one, "version"))) }
            td.num { (number(super::words::int(one, "versions"))) } td.num { (number(super::words::int(one, "instances"))) }
        } });
    }
    let build = html! { a.btn href="/console/catalogue/build" { "Build your own" } };
    Ok(Page::new(Nav::Catalogue, "Catalogue")
        .lead(html! { "What this gateway can connect to. What it cannot do there is said, too." })
        .actions(build)
        .body(html! {
            (wizard::search("/console/catalogue", &searched.q))
            (cards)
            @if !table.is_empty() { (parts::card("Your manifests", &html! {}, &table.draw())) }
        }))
}

/// What a connector can do, found out by building it with sample settings; none where those do not do. Of several
/// credentials some connectors take one only, so each is tried alone as well.
fn traits(listed: &Listed) -> Option<Traits> {
    let entry = &listed.entry;
    let all: Vec<&Setting> = entry.settings.iter().filter(|one| one.class == Class::Credential).collect();
    let with = |wanted: &dyn Fn(&Setting) -> bool| {
        let given = all.iter().filter(|one| wanted(one)).map(|one| (one.name.to_owned(), SecretString::from("sample")));
        sampled(entry, &Secrets::new(given))
    };
    with(&|_| true)
        .or_else(|| with(&|one| one.required))
        .or_else(|| all.iter().find_map(|alone| with(&|one| one.required || one.name == alone.name)))
}

/// Builds it with what is required, and gives in addition what it then asks for.
fn sampled(entry: &Entry, secrets: &Secrets) -> Option<Traits> {
    let mut settings = filled(entry, &json!({}));
    for _ in 0..=entry.settings.len() {
        let error = match entry.build(&settings, secrets) {
            Ok(built) => return Some(built.traits().clone()),
            Err(error) => error,
        };
        let asked = entry.settings.iter().find(|one| one.name == error.field && one.class != Class::Credential)?;
        if !settings[asked.name].is_null() {
            return None;
        }
        settings[asked.name] = match &asked.kind {
            SettingKind::Url => json!("https://target.example.com"),
            SettingKind::Text => json!(asked.name),
            SettingKind::Number => json!(1),
            SettingKind::Flag => json!(true),
            SettingKind::Choice { values } => json!(values.first()),
        };
    }
    None
}

fn can(traits: &Traits) -> Markup {
    let people = traits.kind != Kind::Group;
    let groups = traits.kind != Kind::User;
    let row = |what: &'static str, able: bool, how: &str| html! { tr { th scope="row" { (what) } td { @if able { (parts::tag(Tone::Good, "Yes")) } @else { (parts::tag(Tone::Quiet, "No")) } } td { (how) } } };
    let mut table = Table::new("What it can do").hush().head("What").head("Can").head("How");
    table.row(row(
        "People: list, find, create, update",
        people,
        if people { "" } else { "People are matched to accounts that exist." },
    ));
    table.row(row(
        "Suspend people",
        people && traits.suspend == Suspend::Native,
        if people && traits.suspend == Suspend::Removes {
            "Who is deactivated is removed, and invited again on return."
        } else {
            ""
        },
    ));
    table.row(row(
        "Remove people",
        people && traits.removal == Removal::Gone,
        if people && traits.removal == Removal::Suspended {
            "The target deletes no accounts: they stay, suspended."
        } else {
            ""
        },
    ));
    table.row(row("Groups and memberships", groups, ""));
    table.row(row(
        "Invitations",
        traits.invites,
        if traits.invites { "People have access once they accept." } else { "" },
    ));
    table.row(row(
        "Verified addresses",
        traits.verified_emails,
        "Whether the target vouches for the address of an account.",
    ));
    table.draw()
}

fn kind_of(kind: &SettingKind) -> String {
    match kind {
        SettingKind::Text => "text".to_owned(),
        SettingKind::Url => "URL".to_owned(),
        SettingKind::Flag => "yes or no".to_owned(),
        SettingKind::Number => "whole number".to_owned(),
        SettingKind::Choice { values } => values.join(", "),
    }
}

fn sentences(all: &[&str]) -> Markup {
    html! { div.pad.prose { ul { @for one in all { li { (super::text::prose(one)) } } } } }
}

async fn one(visit: Visit, Path(connector): Path<String>) -> Answer {
    let listed = wizard::listed(&visit, &connector).await?;
    let entry = &listed.entry;
    let about = &entry.about;
    let mut settings = Table::new("Settings").hush().head("Setting").head("Takes").head("What it does").less("Default");
    for one in &entry.settings {
        settings.row(html! { tr {
            th scope="row" { (one.title) " " span.small.muted { code { (one.name) } } }
            td { @if one.class == Class::Credential { "a credential" } @else { (kind_of(&one.kind)) } @if !one.required { " " span.opt { "(optional)" } } }
            td { (one.help) @if one.class == Class::Identity { " Says which target it is: fixed once accounts are linked." } }
            td.rank2 { (one.default.unwrap_or("none")) }
        } });
    }
    let mut attributes = Table::new("Attributes").hush().head("Attribute").head("What it becomes");
    for (attribute, effect) in &entry.attributes {
        attributes.row(html! { tr { th scope="row" { code { (attribute) } } td { (effect) } } });
    }
    let mut calls = Table::new("Calls").hush().head("Call").head("Request").head("What for");
    for call in &about.calls {
        calls.row(html! { tr { th scope="row" { (call.name) } td { code { (call.method) " " (call.path) } } td { (call.purpose) } } });
    }
    let manifest = match listed.source {
        Source::BuiltIn => None,
        _ => Some(visit.app.manifest(entry.name).await?),
    };
    let create = html! { @if visit.may(Role::Admin) { a.btn.main href={ "/console/instances/new?connector=" (entry.name) } { "Create instance" } } };
    let web = |source: &str| source.starts_with("https://");
    Ok(Page::new(Nav::Catalogue, entry.title)
        .crumb("Catalogue", "/console/catalogue")
        .tags(parts::tag(Tone::Quiet, wizard::kind(entry.kind)))
        .lead(html! { (about.summary) })
        .actions(create)
        .body(html! {
            (parts::card("What it can do", &html! {}, &html! { @match traits(&listed) {
                Some(traits) => { (can(&traits)) div.pad { p.muted.small { "With its usual settings; some settings change it." } } },
                None => div.pad { p { "It depends on its settings: the credential check of an instance says what it found." } },
            } }))
            @if !about.cannot.is_empty() { (parts::card("What is not possible", &html! {}, &sentences(&about.cannot))) }
            @if !about.needs.is_empty() { (parts::card("What it needs", &html! {}, &sentences(&about.needs))) }
            (parts::card("Settings", &html! {}, &settings.draw()))
            @if !attributes.is_empty() { (parts::card("Attributes", &html! {}, &attributes.draw())) }
            @if !entry.limits.is_empty() { (parts::card("Limits", &html! {}, &sentences(&entry.limits))) }
            @if !calls.is_empty() { (parts::card("Calls it makes", &html! {}, &calls.draw())) }
            @if !about.unverified.is_empty() { (parts::card("Not confirmed", &html! {}, &sentences(&about.unverified))) }
            @if let Some(manifest) = &manifest { (parts::card("Versions of this manifest", &html! {}, &versions(&visit, manifest))) }
            (parts::card("Documents", &html! {}, &html! { div.pad.prose {
                @if listed.source == Source::BuiltIn { p { "Its page in the documentation: " code { "docs/connectors/" (entry.name) ".md" } } }
                ul { @for source in &about.sources { li { @if web(source) { a href=(source) rel="noreferrer" { (name(source)) } } @else { (name(source)) } } } }
                p { a href={ "/console/catalogue/build?from=" (entry.name) } { "Build a manifest like this one" } }
            } }))
        }))
}

fn versions(visit: &Visit, manifest: &Value) -> Markup {
    let current = text(manifest, "version");
    let root = format!("/console/catalogue/{}", text(manifest, "name"));
    let mut table =
        Table::new("Versions").hush().head("Version").head("Uploaded").less("By").head("State").number("Instances");
    for one in list(manifest, "versions") {
        table.row(html! { tr {
            th scope="row" { a href={ (root) "/versions/" (segment(text(one, "version"))) } { (name(text(one, "version"))) } }
            td { (parts::ago_or(visit.now, &one["created_at"], "")) }
            td.rank2 { (name(text(one, "created_by"))) }
            td {
                @if !one["retired_at"].is_null() { (parts::tag(Tone::Quiet, "Deleted")) }
                @else if text(one, "version") == current { (parts::tag(Tone::Good, "For new instances")) }
                @else { (parts::tag(Tone::Quiet, "Kept")) }
            }
            td.num { (number(super::words::int(one, "instance_count"))) }
        } });
    }
    table.draw()
}

/// A version as a segment of a path, or a value in a query. Versions of today need nothing of it; older ones may.
fn segment(text: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
    encoded.replace('+', "%20")
}

async fn version(visit: Visit, Path((manifest, version)): Path<(String, String)>) -> Answer {
    let shown = visit.app.manifest_version(&manifest, &version).await?;
    let root = format!("/console/catalogue/{manifest}");
    let instances = list(&shown, "instances");
    let uploaded = text(&shown, "source") == "uploaded" && shown["retired_at"].is_null();
    Ok(Page::new(Nav::Catalogue, format!("{manifest} {version}"))
        .crumb("Catalogue", "/console/catalogue")
        .crumb(manifest.as_str(), root.as_str())
        .actions(html! { a.btn href={ "/console/catalogue/build?from=" (manifest) "&version=" (segment(&version)) } { "Make a new version" } @if visit.may(Role::Admin) { " " a.btn href={ "/console/catalogue/build/test?manifest=" (manifest) "&version=" (segment(&version)) } { "Live test" } } })
        .body(html! {
            @if let Some(problem) = shown["problem"].as_str() { (parts::note(Tone::Bad, &html! { p { (name(problem)) } })) }
            (parts::card("About this version", &html! {}, &html! { div.pad.stack {
                (parts::facts(&[
                    ("Uploaded", parts::when_or(visit.now, &shown["created_at"], "")),
                    ("By", name(text(&shown, "created_by"))),
                    ("SHA-256", html! { code { (text(&shown, "digest")) } }),
                    ("Instances", html! { (count(super::words::int(&shown, "instance_count"), "instance holds", "instances hold")) " to it" }),
                ]))
                @if !instances.is_empty() { ul.tight {
                    @for one in instances.iter().take(INSTANCES) { li { (parts::instance_link(text(one, "id"), text(one, "name"))) } }
                    @if instances.len() > INSTANCES { li { a href=(super::words::link("/console/instances", &[("q", &manifest)])) { "All instances of " (name(&manifest)) } } }
                } }
                @if uploaded && instances.is_empty() && visit.may(Role::Admin) { p { a.btn.danger href={ (root) "/versions/" (segment(&version)) "/delete" } { "Delete this version" } } }
            } }))
            (parts::card("Text", &html! {}, &html! { div.pad { pre tabindex="0" role="region" aria-label="The text" { (shown["text"].as_str().unwrap_or_default()) } } }))
        }))
}

async fn ask_delete(visit: Visit, Path((manifest, version)): Path<(String, String)>) -> Answer {
    visit.require(Role::Admin)?;
    visit.app.manifest_version(&manifest, &version).await?;
    let root = format!("/console/catalogue/{manifest}");
    let form = Form::new(&visit, format!("{root}/versions/{}/delete", segment(&version)), "Delete this version")
        .cancel(root.as_str())
        .danger();
    let body = confirm(
        form,
        &html! { p { "No instance holds to it, and none can be made with it any more. The same text can be uploaded again." } },
        None,
    );
    Ok(Page::new(Nav::Catalogue, format!("Delete {manifest} {version}?"))
        .crumb("Catalogue", "/console/catalogue")
        .crumb(manifest, root)
        .body(body))
}

async fn delete(visit: Visit, Path((manifest, version)): Path<(String, String)>, _: Sent) -> Sending {
    visit.app.delete_manifest(&visit.actor(), &manifest, Some(&version)).await?;
    Ok(visit.done("/console/catalogue", &format!("Version {version} of {manifest} was deleted.")).into_response())
}
