//! Operations: the log of what was asked, with filters in the address, and each one in its five stages.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use engine::doubt::Answer as Doubt;
use futures_util::stream;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::download::{self, NDJSON};
use super::extract::{Path, Query};
use super::form::{Choice, Field, Form, Sent, confirm};
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Table};
use super::text::{count, name};
use super::timeline::{self, Told, headline, subject};
use super::trouble::Trouble;
use super::visit::{Visit, back};
use super::words::{asked, duration, filters, link, moment, place, text, who};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::{Exported, OperationFilter, Place as Behind};
use crate::service::types::Instance;
use crate::store::StoreError;

/// Rows of a page.
const PAGE: i64 = 50;
const STATES: [(&str, &str); 5] = [
    ("open", "Not finished"),
    ("applied", "Applied"),
    ("failed", "Failed"),
    ("superseded", "Superseded"),
    ("withdrawn", "Given up"),
];
const VERBS: [(&str, &str); 6] = [
    ("create", "Create"),
    ("replace", "Replace"),
    ("patch", "Change"),
    ("delete", "Remove"),
    ("adopt", "Take over"),
    ("repair", "Repair"),
];
/// Windows of time, in seconds.
const WINDOWS: [(&str, &str, i64); 4] = [
    ("1h", "The last hour", 3_600),
    ("24h", "The last 24 hours", 86_400),
    ("7d", "The last 7 days", 604_800),
    ("30d", "The last 30 days", 2_592_000),
];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/operations", get(async |visit: Visit, Query(query): Query<Asked>| log(visit, None, query).await))
        .route(
            "/operations/export.ndjson",
            get(async |visit: Visit, Query(query): Query<Asked>| export(visit, None, query).await),
        )
        .route("/operations/{id}", get(show))
        .route("/operations/{id}/retry", post(retry))
        .route("/operations/{id}/dismiss", get(ask_dismiss).post(dismiss))
        .route("/operations/{id}/outcome", post(outcome))
        .route(
            "/instances/{id}/operations",
            get(async |visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>| {
                log(visit, Some(id), query).await
            }),
        )
        .route(
            "/instances/{id}/operations/export.ndjson",
            get(async |visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>| {
                export(visit, Some(id), query).await
            }),
        )
}

/// What the address asks for.
#[derive(Clone, Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    verb: String,
    #[serde(default)]
    since: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    resource: String,
    before: Option<i64>,
}

fn some(word: &str) -> Option<String> {
    let word: String = word.trim().chars().filter(|c| *c != '\0').take(300).collect();
    Some(word).filter(|word| !word.is_empty())
}

impl Asked {
    fn filter(&self, now: Timestamp) -> Result<OperationFilter, Trouble> {
        let window = WINDOWS.iter().find(|(word, ..)| *word == self.since.trim()).map(|(.., seconds)| *seconds);
        let since = match window {
            Some(seconds) => Some(now.as_microsecond().saturating_sub(seconds * 1_000_000)),
            None => moment("Since", &self.since)?.map(Timestamp::as_microsecond),
        };
        Ok(OperationFilter {
            state: STATES.iter().find(|(word, _)| *word == self.state).map(|(word, _)| (*word).to_owned()),
            resource: some(&self.resource),
            since,
            until: moment("Until", &self.until)?.map(Timestamp::as_microsecond),
            verb: VERBS.iter().find(|(word, _)| *word == self.verb).map(|(word, _)| (*word).to_owned()),
            actor: some(&self.key),
            text: some(&self.q),
        })
    }

    fn narrows(&self) -> bool {
        [&self.q, &self.state, &self.verb, &self.since, &self.until, &self.key, &self.resource]
            .iter()
            .any(|word| !word.trim().is_empty())
    }

    fn link(&self, path: &str, before: Option<i64>) -> String {
        let before = before.map(|row| row.to_string()).unwrap_or_default();
        link(
            path,
            &[
                ("q", &self.q),
                ("state", &self.state),
                ("verb", &self.verb),
                ("since", &self.since),
                ("until", &self.until),
                ("key", &self.key),
                ("resource", &self.resource),
                ("before", &before),
            ],
        )
    }
}

async fn log(visit: Visit, id: Option<String>, query: Asked) -> Answer {
    let instance = match &id {
        Some(id) => Some(visit.instance(id).await?),
        None => None,
    };
    let filter = query.filter(visit.now)?;
    let before = query.before.unwrap_or(i64::MAX);
    let slice = match &instance {
        Some(instance) => visit.app.list_operations(instance, &filter, before, PAGE).await?,
        None => visit.app.list_all_operations(&filter, before, PAGE).await?,
    };
    let path = instance
        .as_ref()
        .map_or_else(|| "/console/operations".to_owned(), |one| format!("/console/instances/{}/operations", one.id));
    let mut table = Table::new("Operations").hush().head("Time").head("What was asked");
    if instance.is_none() {
        table = table.head("Instance");
    }
    table = table.less("By").head("State").less("Took");
    for one in &slice.items {
        table.row(row(&visit, one, instance.as_deref()));
    }
    let days = visit.app.config.retention.operations.as_secs() / 86_400;
    let body = if table.is_empty() {
        let clear = html! { a.btn href=(path) { "Clear filters" } };
        if query.narrows() {
            let words = html! { "None on record fits. Operations are kept for " (days) " days." };
            parts::empty("No operations match", &words, &clear)
        } else {
            let words =
                html! { "Every change that an identity provider asks for is listed here, with what became of it." };
            parts::empty("No operations yet", &words, &html! {})
        }
    } else {
        let next = slice.next.map(|row| query.link(&path, Some(row)));
        let first = query.before.map(|_| query.link(&path, None));
        let shown = count(i64::try_from(slice.items.len()).unwrap_or(0), "operation here", "operations here");
        let list = html! { (table.draw()) (parts::pager(&shown, first.as_deref(), next.as_deref())) };
        // Later pages stay as they are: rows don't move under the cursor.
        if query.before.is_none() { parts::live("operations", true, &list) } else { list }
    };
    let actions = html! {
        @if let Some(instance) = &instance { a.btn href={ "/console/instances/" (instance.id) "/rejected" } { "Refused requests" } }
        @if visit.may(Role::Admin) && !slice.items.is_empty() { a.btn href=(query.link(&format!("{path}/export.ndjson"), None)) { "Download as NDJSON" } }
    };
    let page = match &instance {
        Some(instance) => Page::of(instance, Tab::Operations, "Operations"),
        None => Page::new(Nav::Operations, "Operations").lead(
            html! { "Every change that was asked for, over all instances, newest first; kept for " (days) " days." },
        ),
    };
    let page = if query.before.is_none() { page.live() } else { page };
    Ok(page.actions(actions).body(html! {
        div.card { h2.hush { "The list" } (controls(&query, &path, instance.is_some())) (presets(&path)) (body) }
    }))
}

fn controls(query: &Asked, path: &str, one: bool) -> Markup {
    let choices = |none: &str, all: &[(&str, &str)]| {
        let mut choices = vec![Choice::new("", none, "")];
        choices.extend(all.iter().map(|(word, label)| Choice::new(word, label, "")));
        choices
    };
    let windows: Vec<(&str, &str)> = WINDOWS.iter().map(|(word, label, _)| (*word, *label)).collect();
    let mut since = choices("Any time", &windows);
    if !query.since.is_empty() && !windows.iter().any(|(word, _)| *word == query.since) {
        since.push(Choice::new(&query.since, &format!("Since {}", query.since), ""));
    }
    let mut fields = vec![
        Field::text("q", "Name begins with, or id").value(query.q.as_str()),
        Field::select("state", "State", choices("Any state", &STATES)).value(query.state.as_str()),
        Field::select("verb", "What", choices("Anything", &VERBS)).value(query.verb.as_str()),
        Field::select("since", "When", since).value(query.since.as_str()),
        Field::text("key", "Key or member").value(query.key.as_str()),
    ];
    if one && !query.resource.is_empty() {
        fields.push(Field::text("resource", "Person or group").value(query.resource.as_str()));
    }
    filters(path, &fields, query.narrows())
}

fn presets(path: &str) -> Markup {
    html! {
        p.pad.inline.small {
            a href=(link(path, &[("state", "open")])) { "Not finished" }
            a href=(link(path, &[("state", "failed")])) { "Failed" }
            a href=(link(path, &[("verb", "delete"), ("since", "24h")])) { "Removed today" }
            a href=(link(path, &[("verb", "repair"), ("since", "7d")])) { "Repairs of this week" }
        }
    }
}

fn row(visit: &Visit, one: &Value, instance: Option<&Instance>) -> Markup {
    let id = text(one, "id");
    let of = instance.map_or(text(one, "instance"), |instance| instance.id.as_str());
    html! { tr {
        th scope="row" { a href={ "/console/operations/" (id) } { (parts::ago_or(visit.now, &one["at"], "")) } }
        td { (capital(&asked(one))) " " (subject(of, one)) }
        @if instance.is_none() { td { (parts::instance_link(of, text(one, "instance_name"))) } }
        td.rank2 { (who(one)) }
        td { (timeline::tag(one)) }
        td.rank2.nowrap { @if let Some(took) = one["took_ms"].as_i64() { (duration(took)) } }
    } }
}

fn capital(word: &str) -> Markup {
    let mut letters = word.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    name(&format!("{first}{}", letters.as_str()))
}

async fn find(visit: &Visit, id: &str) -> Result<Value, Trouble> {
    visit.app.operation(id).await?.ok_or_else(Trouble::not_found)
}

/// The instance of an operation, unless it was deleted since.
async fn owner(visit: &Visit, operation: &Value) -> Result<Option<Arc<Instance>>, Trouble> {
    match operation["instance"].as_str() {
        Some(id) => Ok(visit.app.instances.get(id).await?),
        None => Ok(None),
    }
}

async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    let operation = find(&visit, &id).await?;
    let instance = owner(&visit, &operation).await?;
    let resource = &operation["resource"];
    let page = match &instance {
        Some(instance) => {
            let list = format!("/console/instances/{}/operations", instance.id);
            let page = Page::of(instance, Tab::Operations, "Operation").crumb("Operations", list);
            if resource.is_null() {
                page
            } else {
                let href = place(&instance.id, text(resource, "kind"), text(resource, "id"));
                page.crumb(text(resource, "name"), href)
            }
        }
        None => Page::new(Nav::Operations, "Operation").crumb("Operations", "/console/operations"),
    };
    Ok(page.tags(timeline::tag(&operation)).lead(headline(&operation)).live().body(html! {
        (parts::live("stages", true, &html! {
            section.card { div.pad.stack {
                (timeline::stages(&visit, &operation, Told::default()))
                (timeline::acts(&visit, &operation))
            } }
        }))
    }))
}

/// Where a form of an operation leads back to.
fn home(sent: &Sent, id: &str) -> String {
    match sent.text("back") {
        "" => format!("/console/operations/{id}"),
        path => back(path),
    }
}

async fn retry(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let said = visit.app.retry_operation(&visit.actor(), &id).await?;
    let note = if said["work"] == "running" { "It is being worked on already." } else { "It is tried again now." };
    Ok(visit.done(&home(&sent, &id), note))
}

async fn outcome(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let answer = Doubt::parse(sent.text("answer"))
        .ok_or_else(|| Trouble::form("Say whether it happened, did not happen, or shall be looked at again."))?;
    visit.app.answer_outcome(&visit.actor(), &id, answer).await?;
    Ok(visit.done(&home(&sent, &id), "Noted. The work goes on from there."))
}

async fn ask_dismiss(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let operation = find(&visit, &id).await?;
    let resource = &operation["resource"];
    let leaves = operation["decision"]["work"]["lane"] == "deprovision";
    let form = Form::new(&visit, format!("/console/operations/{id}/dismiss"), "Dismiss")
        .danger()
        .cancel(format!("/console/operations/{id}"));
    let said = html! {
        p { "scimgate stops trying. Wanted and actual stay different, until the identity provider asks for this again." }
        @if leaves { p { strong { (name(text(resource, "name"))) " keeps access." } } }
    };
    Ok(Page::new(Nav::Operations, "Dismiss this operation?")
        .crumb("Operations", "/console/operations")
        .crumb("Operation", format!("/console/operations/{id}"))
        .lead(headline(&operation))
        .body(confirm(form, &said, None)))
}

async fn dismiss(visit: Visit, Path(id): Path<String>) -> Sending {
    visit.app.dismiss_operation(&visit.actor(), &id).await?;
    Ok(visit.done(&format!("/console/operations/{id}"), "Dismissed. What the target has stays as it is."))
}

/// Where an export goes on.
struct Place {
    app: Arc<App>,
    left: Vec<Arc<Instance>>,
    which: Exported,
}

/// The operations that the filters leave, oldest first, instance by instance, as lines of JSON.
async fn export(visit: Visit, id: Option<String>, query: Asked) -> Sending {
    visit.require(Role::Admin)?;
    let mut left = match &id {
        Some(id) => vec![visit.instance(id).await?],
        None => visit.app.instances.all().await?,
    };
    left.reverse();
    let which = Exported { filter: query.filter(visit.now)?, after: Behind::default() };
    let place = Place { app: Arc::clone(&visit.app), left, which };
    let lines = stream::try_unfold(place, |mut place| async move {
        loop {
            let Some(instance) = place.left.last() else { return Ok::<_, StoreError>(None) };
            let chunk = place.app.export_operations(instance, &place.which).await?;
            match chunk.lines.last().filter(|_| chunk.more) {
                Some((after, _)) => place.which.after = *after,
                None => {
                    place.left.pop();
                    place.which.after = Behind::default();
                }
            }
            if chunk.lines.is_empty() {
                continue;
            }
            let mut out = String::new();
            for (_, operation) in &chunk.lines {
                download::line(&mut out, operation);
            }
            return Ok(Some((Bytes::from(out), place)));
        }
    });
    Ok(download::file(NDJSON, "scimgate-operations.ndjson", Body::from_stream(lines)))
}
