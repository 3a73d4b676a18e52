//! Building a connector without code: a manifest is checked, its requests are shown, it is kept, and tried at its target.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use declarative::Sample;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::declared::{self, Before};
use super::extract::Query;
use super::form::{Errors, Field, Form, Sent};
use super::layout::{Nav, Page};
use super::parts::{self, Table, Tone};
use super::text::{count, name, value};
use super::trouble::Trouble;
use super::visit::{Visit, see};
use super::words::{list, text};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::catalogue::{Listed, ManifestText, Test, problems_json};
use crate::service::members::Role;
use crate::service::records::AdminError;

/// What one starts from.
const BLANK: &str = include_str!("templates/manifest.toml");

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/catalogue/build", get(show).post(act))
        .route("/catalogue/build/test", get(ask_test).post(test))
}

/// What the text begins as: a manifest of the catalogue, or a blank one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct From {
    from: String,
    version: String,
}

fn given(text: &str) -> ManifestText {
    // Browsers end lines in forms by CR LF; a manifest is kept as it is written elsewhere.
    ManifestText { text: Some(text.replace("\r\n", "\n")), ..ManifestText::default() }
}

/// The text of a manifest to copy; none for a connector that is code.
async fn copied(visit: &Visit, from: &From) -> Result<Option<String>, Trouble> {
    if let Some((_, text)) =
        connectors::MANIFESTS.iter().find(|(file, _)| file.strip_suffix(".toml") == Some(from.from.as_str()))
    {
        return Ok(Some((*text).to_owned()));
    }
    let version = if from.version.is_empty() {
        match visit.app.catalogue.for_new(&from.from, None).await? {
            Ok(Listed { version: Some(version), .. }) => version,
            _ => return Ok(None),
        }
    } else {
        from.version.clone()
    };
    let shown = visit.app.manifest_version(&from.from, &version).await?;
    Ok(shown["text"].as_str().map(str::to_owned))
}

async fn show(visit: Visit, Query(from): Query<From>) -> Answer {
    let (text, note) = if from.from.is_empty() {
        (BLANK.to_owned(), None)
    } else {
        match copied(&visit, &from).await? {
            Some(text) => (text, None),
            None => {
                (BLANK.to_owned(), Some("That connector is code: there is no text to copy. This is a blank manifest."))
            }
        }
    };
    let body = html! { @if let Some(note) = note { (parts::note(Tone::Warn, &html! { p { (note) } })) } };
    page(&visit, &text, Errors::default(), &body).await
}

async fn page(visit: &Visit, text: &str, errors: Errors, result: &Markup) -> Answer {
    let mut sources: Vec<(String, String)> =
        connectors::manifests().iter().map(|one| (one.name().to_owned(), one.name().to_owned())).collect();
    let (uploaded, _) = visit.app.list_manifests("", 100).await?;
    for one in &uploaded {
        sources.push((super::words::text(one, "name").to_owned(), super::words::text(one, "title").to_owned()));
    }
    let form = Form::new(visit, "/console/catalogue/build", "Check")
        .field(Field::area("text", "Manifest", 28).code().hint("TOML or YAML. Settings and credentials are declared in it and entered with the instance, never here.").value(text))
        .and(html! { div.buttons {
            button.btn type="submit" name="act" value="preview" { "Preview its requests" }
            button.btn type="submit" name="act" value="save" { "Save" }
        } })
        .errors(errors)
        .plain();
    Ok(Page::new(Nav::Catalogue, "Build a connector")
        .crumb("Catalogue", "/console/catalogue")
        .lead(html! { "A manifest says which request does what. Checking and previewing send nothing; saving makes a version that instances can be made with." })
        .body(html! {
            (result)
            (parts::card("Start from", &html! {}, &html! { div.pad { div.inline {
                a.btn.small href="/console/catalogue/build" { "A blank one" }
                @for (name, title) in &sources { a.btn.small href={ "/console/catalogue/build?from=" (name) } { "A copy of " (super::text::name(title)) } }
            } } }))
            (parts::card("Text", &html! {}, &html! { div.pad {
                @if visit.may(Role::Admin) { (form.draw()) }
                @else { div.stack { p.muted { "You are a Viewer. Admins here build connectors." } pre tabindex="0" role="region" aria-label="The text" { (text) } } }
            } }))
            (parts::card("Help", &html! {}, &html! { div.pad.prose { p { "Every field is described in " code { "docs/connectors/manifests.md" } "; the JSON schema is at " code { "/admin/v1/manifests/schema" } "." } } }))
        }))
}

async fn act(visit: Visit, sent: Sent) -> Sending {
    let text = sent.raw("text").replace("\r\n", "\n");
    let text = text.as_str();
    let mut errors = Errors::default();
    let result = match sent.text("act") {
        "save" => match visit.app.upload_manifest(&visit.actor(), given(text)).await {
            Ok(uploaded) => {
                let shown = &uploaded.shown;
                let (name, version) = (super::words::text(shown, "name"), super::words::text(shown, "version"));
                let words = if uploaded.new {
                    format!("Version {version} of {name} is saved. Instances that exist keep theirs.")
                } else {
                    format!("Version {version} of {name} was there already, with the same text.")
                };
                return Ok(visit.done(&format!("/console/catalogue/{name}"), &words));
            }
            Err(error) => wrong(error, &mut errors)?,
        },
        "preview" => match visit.app.preview_manifest(given(text), &json!({}), &Sample::default()).await {
            Ok(preview) => requests(&preview),
            Err(error) => wrong(error, &mut errors)?,
        },
        _ => {
            let checked = visit.app.check_manifest(given(text)).await?;
            if checked["ok"] == true { sound(&checked) } else { problems(list(&checked, "errors"), &mut errors) }
        }
    };
    let failed = !errors.is_empty();
    let page = page(&visit, text, errors, &result).await?;
    Ok(if failed { page.failed().into_response() } else { page.into_response() })
}

/// What is wrong, of an act that was refused.
fn wrong(error: AdminError, errors: &mut Errors) -> Result<Markup, Trouble> {
    match error {
        AdminError::Manifest(found) => Ok(problems(&problems_json(&found), errors)),
        other => {
            *errors = Errors::from(other)?;
            Ok(html! {})
        }
    }
}

/// Everything that is wrong with a manifest, by line and field.
fn problems(found: &[Value], errors: &mut Errors) -> Markup {
    errors.add(
        "text",
        format!(
            "{} stand below",
            count(i64::try_from(found.len()).unwrap_or(0), "problem of the manifest", "problems of the manifest")
        ),
    );
    let mut table =
        Table::new("What is wrong").hush().number("Line").head("Field").head("What is wrong and what to write");
    for one in found {
        table.row(html! { tr {
            th.num scope="row" { @match one["line"].as_i64() { Some(line) => (line), None => "whole text" } }
            td { code { (name(text(one, "field"))) } }
            td { (value(text(one, "message"))) }
        } });
    }
    parts::card("What is wrong", &html! {}, &table.draw())
}

/// What a sound manifest would be.
fn sound(checked: &Value) -> Markup {
    let mut table = Table::new("Operations").hush().head("Operation").head("Method").head("Writes");
    for one in list(checked, "operations") {
        table.row(html! { tr {
            th scope="row" { (name(text(one, "operation"))) }
            td { code { (text(one, "method")) } }
            td { @if one["writes"] == true { "yes" } @else { "no" } }
        } });
    }
    html! {
        (parts::note(Tone::Good, &html! { p { strong { "It is sound." } " " (name(text(checked, "title"))) ", version " (name(text(checked, "version"))) ", with " (count(i64::try_from(list(checked, "settings").len()).unwrap_or(0), "setting", "settings")) "." } }))
        (parts::card("Operations", &html! {}, &table.draw()))
        @if !list(checked, "cannot").is_empty() { (parts::card("What will not be possible", &html! {}, &html! { div.pad.prose { ul { @for one in list(checked, "cannot") { li { (value(one.as_str().unwrap_or_default())) } } } } })) }
    }
}

/// Every request, rendered with sample data.
fn requests(preview: &Value) -> Markup {
    let mut table = Table::new("Requests").hush().head("Operation").head("Request").less("Headers").head("Body");
    for one in list(preview, "requests") {
        table.row(html! { tr {
            th scope="row" { (name(text(one, "operation"))) " " @if one["writes"] == true { (parts::tag(Tone::Warn, "Writes")) } }
            td {
                code { (text(one, "method")) " " (value(text(one, "url"))) }
                @if let Some(problem) = one["problem"].as_str() { (parts::note(Tone::Bad, &html! { p { (value(problem)) } })) }
            }
            td.rank2 { @for header in list(one, "headers") { p.small { code { (name(header[0].as_str().unwrap_or_default())) ": " (name(header[1].as_str().unwrap_or_default())) } } } }
            td { @match one["body"].as_str() { Some(body) => code { (value(body)) }, None => span.muted { "none" } } }
        } });
    }
    parts::card(
        "What it would send",
        &html! {},
        &html! {
            div.pad { p { "Nothing was sent. The person and group are samples, credentials are " code { "***" } ", and settings that are lacking have something in their place." } }
            (table.draw())
        },
    )
}

/// Which version is tried.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tried {
    manifest: String,
    version: String,
}

async fn version_of(visit: &Visit, tried: &Tried) -> Result<Listed, Trouble> {
    let row = visit.app.catalogue.of_instance(&tried.manifest, Some(&tried.version)).await?;
    let listed = row.map_err(|_| Trouble::not_found())?;
    if listed.version.is_none() { Err(Trouble::not_found()) } else { Ok(listed) }
}

fn test_page(
    visit: &Visit,
    tried: &Tried,
    listed: &Listed,
    sent: Option<&Sent>,
    errors: Errors,
    result: &Markup,
) -> Page {
    let form = Form::new(visit, "/console/catalogue/build/test", "Try it")
        .hidden("manifest", tried.manifest.as_str())
        .hidden("version", tried.version.as_str())
        .errors(errors)
        .cancel(format!("/console/catalogue/{}", tried.manifest));
    let before = sent.map_or(Before::New, |sent| Before::Sent(sent, &[]));
    let form = declared::fields(form, &listed.entry, &before)
        .field(
            Field::check("writes", "Also write: this makes a person and a group in the real system, and takes them away again")
                .hint("Their names begin with scimgate-test-. What cannot be taken away is listed. Without the tick it only reads.")
                .value(if sent.is_some_and(|sent| sent.ticked("writes")) { "1" } else { "" }),
        )
        .field(Field::text("email", "Address of the test person").hint("Only used when it writes; the target may send an invitation there.").value(sent.map_or("", |sent| sent.raw("email"))).optional());
    Page::new(Nav::Catalogue, format!("Live test of {}", listed.entry.title))
        .crumb("Catalogue", "/console/catalogue")
        .crumb(listed.entry.title, format!("/console/catalogue/{}", tried.manifest))
        .lead(html! { "Version " (tried.version) " is tried at its target, within its limits. Credentials are used for this and not kept." })
        .body(html! { (result) div.card { div.pad { (form.draw()) } } })
}

async fn ask_test(visit: Visit, Query(tried): Query<Tried>) -> Answer {
    visit.require(Role::Admin)?;
    let listed = version_of(&visit, &tried).await?;
    Ok(test_page(&visit, &tried, &listed, None, Errors::default(), &html! {}))
}

async fn test(visit: Visit, sent: Sent) -> Sending {
    let tried = Tried { manifest: sent.text("manifest").to_owned(), version: sent.text("version").to_owned() };
    if tried.manifest.is_empty() {
        return Ok(see("/console/catalogue"));
    }
    let listed = version_of(&visit, &tried).await?;
    let (given, mut errors) = declared::read(&listed.entry, &sent, &[]);
    if errors.is_empty() {
        let mut person = serde_json::Map::new();
        if let Some(email) = sent.some("email") {
            person.insert("userName".to_owned(), json!(email));
            person.insert("emails".to_owned(), json!([{"value": email, "type": "work", "primary": true}]));
        }
        let test = Test {
            manifest: ManifestText {
                name: Some(tried.manifest.clone()),
                version: Some(tried.version.clone()),
                ..ManifestText::default()
            },
            settings: Value::Object(given.settings),
            secrets: given.secrets,
            allow_writes: sent.ticked("writes"),
            person,
        };
        match visit.app.test_manifest(&visit.actor(), test).await {
            Ok(report) => {
                let shown = report_of(&json!(report));
                return Ok(test_page(&visit, &tried, &listed, Some(&sent), Errors::default(), &shown).into_response());
            }
            Err(error) => errors = Errors::from(error)?.renamed(|field| declared::field_name(&listed.entry, field)),
        }
    }
    Ok(test_page(&visit, &tried, &listed, Some(&sent), errors, &html! {}).failed().into_response())
}

/// What a live test found.
fn report_of(report: &Value) -> Markup {
    let mut table = Table::new("Steps").hush().head("Step").head("Result").head("What was found").head("Calls");
    for one in list(report, "steps") {
        let outcome = match text(one, "outcome") {
            "ok" => parts::tag(Tone::Good, "Passed"),
            "failed" => parts::tag(Tone::Bad, "Failed"),
            _ => parts::tag(Tone::Quiet, "Skipped"),
        };
        table.row(html! { tr {
            th scope="row" { (name(text(one, "step"))) }
            td { (outcome) }
            td { (value(text(one, "detail"))) }
            td { @for call in list(one, "calls") { p.small { code { (text(call, "method")) " " (name(text(call, "path"))) } @if let Some(status) = call["status"].as_i64() { " " (status) } } } }
        } });
    }
    let left = list(report, "left_behind");
    html! {
        @if report["ok"] == true { (parts::note(Tone::Good, &html! { p { strong { "Every step passed." } } })) }
        @else { (parts::note(Tone::Bad, &html! { p { strong { "A step failed." } " What it answered stands beside it." } })) }
        @if !left.is_empty() { (parts::note(Tone::Warn, &html! { p { strong { "Take these away at the target yourself:" } } ul { @for one in left { li { (value(one.as_str().unwrap_or_default())) } } } })) }
        (parts::card("Steps", &html! {}, &table.draw()))
    }
}
