//! The audit: who did what here. A Viewer sees what they did themselves.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::get;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, header};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::Query;
use super::layout::{Nav, Page};
use super::parts::{self, Table};
use super::text::{count, name, value};
use super::visit::Visit;
use super::{Answer, Sending};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::{Audited, Chunk};
use crate::store::StoreError;

const HERE: &str = "/console/audit";
/// Acts of a page.
const PAGE: i64 = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/audit", get(list)).route("/audit/export.ndjson", get(export))
}

/// Where a list begins.
#[derive(Debug, Default, Deserialize)]
struct From {
    before: Option<i64>,
}

async fn list(visit: Visit, Query(from): Query<From>) -> Answer {
    let own = visit.actor();
    let all = visit.may(Role::Admin);
    let slice = visit.app.list_audit(from.before.unwrap_or(i64::MAX), PAGE, (!all).then_some(own.as_str())).await?;
    let mut table =
        Table::new("What members did").hush().head("Time").head("Who").head("What").head("To what").less("Details");
    for act in &slice.items {
        let target = act["target"].as_str().unwrap_or_default();
        table.row(html! { tr {
            th scope="row" { (parts::when_or(visit.now, &act["at"], "")) }
            td { (name(who(act["actor"].as_str().unwrap_or_default()))) }
            td { (words(act["act"].as_str().unwrap_or_default())) }
            td { (object(&visit, target).await?) }
            td.rank2 { (details(&act["detail"])) }
        } });
    }
    let next = slice.next.map(|row| format!("{HERE}?before={row}"));
    let kept = visit.app.config.retention.audit.as_secs() / 86_400;
    let export =
        html! { @if all && !table.is_empty() { a.btn href={ (HERE) "/export.ndjson" } { "Download as NDJSON" } } };
    let body = if table.is_empty() {
        parts::empty(
            "Nothing here yet",
            &html! { "What members change is listed here: instances, keys, holds, members, sign-ins." },
            &html! {},
        )
    } else {
        html! {
            (table.draw())
            (parts::pager(&count(i64::try_from(slice.items.len()).unwrap_or(0), "act here", "acts here"), from.before.map(|_| HERE), next.as_deref()))
        }
    };
    Ok(Page::new(Nav::Settings, "Audit")
        .crumb("Settings", "/console/settings")
        .actions(export)
        .lead(html! {
            "Who did what in this gateway, newest first; kept for " (kept) " days. What identity providers asked for is under operations."
            @if !all { " You are a Viewer and see what you did." }
        })
        .body(html! { div.card { (body) } }))
}

/// Who it was: members' names are shown bare.
fn who(actor: &str) -> &str {
    actor.strip_prefix("admin:").unwrap_or(actor)
}

/// An act in words; those that have none are shown by their name.
fn words(act: &str) -> Markup {
    let words = match act {
        "account.adopt" => "Took over an account",
        "alert_webhook.create" => "Added an alert webhook",
        "alert_webhook.delete" => "Removed an alert webhook",
        "alert_webhook.test" => "Tested an alert webhook",
        "drift.repair" => "Repaired a difference",
        "drift.dismiss" => "Let a difference be",
        "event_stream.create" => "Added an event stream",
        "event_stream.delete" => "Removed an event stream",
        "event_stream.update" => "Changed an event stream",
        "event_stream.verify" => "Tested an event stream",
        "hold.allow" => "Allowed a hold",
        "hold.discard" => "Discarded a hold",
        "database.restored" => "Restored the database",
        "import.start" => "Started an import",
        "reconcile.start" => "Started a comparison",
        "instance.create" => "Created an instance",
        "instance.delete" => "Deleted an instance",
        "instance.update" => "Changed an instance",
        "instance.upgrade" => "Moved an instance to another version",
        "key.create" => "Created a key",
        "key.revoke" => "Revoked a key",
        "key.rotate" => "Rotated a key",
        "resource.erase" => "Erased a person's data",
        "link.reject" => "Rejected a link",
        "link.set" => "Linked an account",
        "manifest.delete" => "Removed a manifest",
        "manifest.test" => "Tried a manifest",
        "manifest.upload" => "Uploaded a manifest",
        "member.change" => "Changed a member's role",
        "member.create" => "Added a member",
        "member.join" => "Came for the first time",
        "member.remove" => "Removed a member",
        "operation.dismiss" => "Dismissed an operation",
        "operation.outcome" => "Told what became of a call",
        "operation.retry" => "Retried an operation",
        "secrets.rotate" => "Exchanged the master key",
        "session.begin" => "Signed in",
        "session.end" => "Signed out",
        "session.refused" => "Refused a sign-in",
        "work.retry" => "Retried what waits",
        "task.done" => "Closed a task as done",
        "task.refuse" => "Refused a task",
        "desk.enter" => "Entered accounts by hand",
        "import.resume" => "Went on with an import",
        "reconcile.resume" => "Went on with a comparison",
        other => return html! { code { (other) } },
    };
    html! { (words) }
}

/// What it was done to: an instance by its name, else as it is on record.
async fn object(visit: &Visit, target: &str) -> Result<Markup, StoreError> {
    if target.starts_with("in_")
        && let Some(instance) = visit.app.instances.get(target).await?
    {
        return Ok(parts::instance_link(target, &instance.name));
    }
    Ok(html! { (name(target)) })
}

fn details(detail: &Value) -> Markup {
    match detail.as_object() {
        Some(fields) if !fields.is_empty() => parts::more(
            "Details",
            &html! {
                dl.facts { @for (field, what) in fields { dt { (field) } dd { (value(&shown(what))) } } }
            },
        ),
        _ => html! {},
    }
}

fn shown(what: &Value) -> String {
    match what {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

/// Everything as lines of JSON, oldest first, page by page.
async fn export(visit: Visit) -> Sending {
    visit.require(Role::Admin)?;
    let which = Audited::default();
    let first = visit.app.export_audit(&which).await?;
    let app = Arc::clone(&visit.app);
    let lines = stream::try_unfold((Some(first), which), move |(chunk, which)| {
        let app = Arc::clone(&app);
        async move {
            let Some(chunk) = chunk else { return Ok::<_, StoreError>(None) };
            let last = chunk.lines.last().map_or(which.after, |(place, _)| *place);
            let text = text_of(&chunk);
            let which = Audited { after: last, ..which };
            let next = if chunk.more { Some(app.export_audit(&which).await?) } else { None };
            Ok(Some((text, (next, which))))
        }
    });
    let mut response = Response::new(Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"scimgate-audit.ndjson\""),
    );
    Ok(response)
}

fn text_of(chunk: &Chunk) -> Bytes {
    let mut text = String::new();
    for (_, line) in &chunk.lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_bare() {
        assert_eq!((who("admin"), who("admin:Ada"), who("key:x")), ("admin", "Ada", "key:x"));
    }
}
