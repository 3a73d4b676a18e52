//! Holds: what the brake keeps back, the exact list of it, and the decision, which is about that list and no other.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::stream;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::download::{self, CSV};
use super::extract::{Path, Query};
use super::form::{Choice, Errors, Field, Form, Sent};
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Table, Tone, facts};
use super::text::{count, name, number, span, value};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{filters, int, link, list, place, text, who};
use super::{Answer, Sending};
use crate::keys;
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::AdminError;

/// Holds of a page.
const PAGE: i64 = 50;
/// Changes of a list that a page shows, and that a decision compares by name if the list changed.
const LISTED: i64 = 100;
const STATES: [(&str, &str); 3] = [("open", "Waiting"), ("allowed", "Allowed"), ("discarded", "Discarded")];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/holds", get(async |visit: Visit, Query(query): Query<Asked>| all(visit, None, query).await))
        .route(
            "/instances/{id}/holds",
            get(async |visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>| {
                all(visit, Some(id), query).await
            }),
        )
        .route("/holds/{id}", get(show))
        .route("/holds/{id}/list.csv", get(export))
        .route(
            "/holds/{id}/allow",
            post(async |visit: Visit, Path(id): Path<String>, sent: Sent| decide(visit, id, sent, true).await),
        )
        .route(
            "/holds/{id}/discard",
            post(async |visit: Visit, Path(id): Path<String>, sent: Sent| decide(visit, id, sent, false).await),
        )
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    state: String,
    before: Option<i64>,
    #[serde(default)]
    after: String,
}

async fn all(visit: Visit, id: Option<String>, query: Asked) -> Answer {
    let instance = match &id {
        Some(id) => Some(visit.instance(id).await?),
        None => None,
    };
    let state = STATES.iter().map(|(word, _)| *word).find(|word| *word == query.state);
    let before = query.before.unwrap_or(i64::MAX);
    let slice = visit.app.list_holds_of(instance.as_deref(), state, before, PAGE).await?;
    let path = instance
        .as_ref()
        .map_or_else(|| "/console/holds".to_owned(), |one| format!("/console/instances/{}/holds", one.id));
    let mut table =
        Table::new("Holds").hush().head("What").head("Instance").head("State").head("Since").less("Decided");
    for one in &slice.items {
        let total = int(&one["count"], "total");
        table.row(html! { tr {
            th scope="row" { a href={ "/console/holds/" (text(one, "id")) } { (count(total, "change", "changes")) } }
            td { (parts::instance_link(text(&one["instance"], "id"), text(&one["instance"], "name"))) }
            td { (tag(one)) }
            td { (parts::ago_or(visit.now, &one["opened_at"], "")) }
            td.rank2 { @if let Some(by) = one["decided_by"].as_str() { (decider(by)) " " (parts::ago_or(visit.now, &one["decided_at"], "")) } }
        } });
    }
    let body = if table.is_empty() {
        let limit = instance.as_ref().and_then(|one| one.policy.brake.limits());
        let words = html! {
            "The brake stops changes that would take access from many people at once, until somebody has looked at the list."
            @if let Some(limit) = limit { " Here it stops more than " (limit.most(0)) " in " (limit.window_minutes) " minutes, or a share of all." }
        };
        parts::empty(if state.is_some() { "No hold is in this state" } else { "Nothing is held" }, &words, &html! {})
    } else {
        let state = state.unwrap_or_default();
        let next = slice.next.map(|row| link(&path, &[("state", state), ("before", &row.to_string())]));
        let first = query.before.map(|_| link(&path, &[("state", state)]));
        let shown = count(i64::try_from(slice.items.len()).unwrap_or(0), "hold here", "holds here");
        html! { (table.draw()) (parts::pager(&shown, first.as_deref(), next.as_deref())) }
    };
    let mut choices = vec![Choice::new("", "Any state", "")];
    choices.extend(STATES.iter().map(|(word, label)| Choice::new(word, label, "")));
    let control = Field::select("state", "State", choices).value(state.unwrap_or_default());
    let page = match &instance {
        Some(instance) => Page::of(instance, Tab::Holds, "Holds"),
        None => Page::new(Nav::Holds, "Holds")
            .lead(html! { "Changes that the brake stopped. Nothing of them is sent before somebody has decided." }),
    };
    Ok(page
        .live()
        .body(html! { div.card { h2.hush { "The list" } (filters(&path, &[control], state.is_some())) (parts::live("holds", true, &body)) } }))
}

fn tag(hold: &Value) -> Markup {
    match text(hold, "state") {
        "open" => parts::state("held"),
        state => parts::state(state),
    }
}

/// Who decided, by name.
fn decider(by: &str) -> Markup {
    // The whole word first: a member may be called as a part of the gateway is.
    match by {
        "admin" => html! { "an admin" },
        "timeout" | "gateway" | "driver" => html! { "scimgate, after the time that the policy sets" },
        other => name(other.strip_prefix("admin:").unwrap_or(other)),
    }
}

/// What stands for a change of a list.
fn key(item: &Value) -> String {
    let whole = format!("{} {} {}", text(item, "effect"), text(&item["person"], "id"), text(&item["group"], "id"));
    keys::hash(&[0; 32], &whole).chars().take(12).collect()
}

fn effect(item: &Value) -> &'static str {
    match text(item, "effect") {
        "deprovision" => "loses access",
        "delete_group" => "the group is removed",
        "remove_member" => "leaves the group",
        _ => "changes",
    }
}

/// A page of a hold's list: the hold, what the page shows, and where the next begins.
async fn read(visit: &Visit, id: &str, after: &str) -> Result<(Value, Option<String>), Trouble> {
    let from = after.split_once('.').and_then(|(resource, item)| Some((resource.parse().ok()?, item.parse().ok()?)));
    let (hold, next) = visit.app.hold(id, from.unwrap_or((i64::MIN, 0)), LISTED).await?;
    Ok((hold, next.map(|(resource, item)| format!("{resource}.{item}"))))
}

async fn show(visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>) -> Answer {
    let (hold, next) = read(&visit, &id, &query.after).await?;
    Ok(page(&visit, &hold, next.as_deref(), &query.after, Decision::default()))
}

/// A decision that was not carried out, and why.
#[derive(Default)]
struct Decision {
    errors: Errors,
    allow: bool,
    comment: String,
    /// What the page showed that it was sent from, if the list is another now.
    before: Option<BTreeSet<String>>,
}

fn page(visit: &Visit, hold: &Value, next: Option<&str>, after: &str, decision: Decision) -> Page {
    let total = int(&hold["count"], "total");
    let instance = &hold["instance"];
    let open = text(hold, "state") == "open";
    let failed = !decision.errors.is_empty() || decision.before.is_some();
    let title = format!("{} held at {}", count(total, "change", "changes"), text(instance, "name"));
    let page = Page::new(Nav::Holds, title).crumb("Holds", "/console/holds").tags(tag(hold));
    let new: Vec<&Value> = match &decision.before {
        Some(before) => list(hold, "items").iter().filter(|item| !before.contains(&key(item))).collect(),
        None => Vec::new(),
    };
    let page = page.lead(html! {
        @if open { "Nothing of this is sent before somebody decides. " } @else { "This is decided. " }
        "Held " (parts::ago_or(visit.now, &hold["opened_at"], "")) "."
    });
    let page = if failed { page.failed() } else { page };
    page.body(html! {
        @if let Some(before) = &decision.before { (difference(hold, before, &new)) }
        @if failed && !open {
            (parts::note(Tone::Bad, &html! { p { strong { "Somebody decided before you." } " Nothing was changed by this." } }))
        }
        (reasons(visit, hold))
        @if !open { (decided(visit, hold)) }
        // What was read is compared with the first page: it is decided there.
        @else if after.is_empty() { (decide_forms(visit, hold, decision)) }
        @else { (parts::note(Tone::Quiet, &html! { p { "It is decided on the first page of the list. " a href={ "/console/holds/" (text(hold, "id")) } { "Go there" } } })) }
        (items(visit, hold, next, after))
    })
}

/// What is said to who decided about a list that is another now.
fn difference(hold: &Value, before: &BTreeSet<String>, new: &[&Value]) -> Markup {
    let now: BTreeSet<String> = list(hold, "items").iter().map(key).collect();
    let left = before.iter().filter(|key| !now.contains(*key)).count();
    parts::note(
        Tone::Bad,
        &html! {
            p { strong { "Nothing was changed: the list is another one than you read." } " Look at it and decide again." }
            @if !new.is_empty() {
                p { (count(i64::try_from(new.len()).unwrap_or(0), "change was added", "changes were added")) ":" }
                ul { @for item in new.iter().take(50) { li { (subject(hold, item)) ", " (effect(item)) } } }
            }
            @if left > 0 { p { (count(i64::try_from(left).unwrap_or(0), "change is", "changes are")) " not in it any more." } }
        },
    )
}

fn reasons(visit: &Visit, hold: &Value) -> Markup {
    let why = &hold["why"];
    let counts = &hold["count"];
    let what = match text(why, "effect") {
        "remove_member" => "members would leave one group",
        "delete_group" => "people would be affected by groups that are removed",
        _ => "people would lose access",
    };
    let of = match text(why, "effect") {
        "remove_member" => "members that the group has",
        _ => "accounts at the target",
    };
    let first = list(hold, "items").first();
    let mut rows = vec![
        (
            "Why",
            html! {
                @if why["limit"].is_number() {
                    "The brake lets " (number(int(why, "limit"))) " pass within " (span(int(why, "window_minutes") * 60))
                    @if int(why, "of") > 0 { ", of " (number(int(why, "of"))) " " (of) }
                    ", and more " (what) ". " (number(int(why, "sent"))) " went before it stopped the rest."
                } @else { "More would lose access than the brake lets pass." }
                @if let Some(group) = why["group"]["name"].as_str() {
                    " The group: " a href=(place(text(&hold["instance"], "id"), "Group", text(&why["group"], "id"))) { (name(group)) } "."
                }
            },
        ),
        (
            "What",
            html! {
                @for (n, (word, label)) in [("deprovision", "lose access"), ("remove_member", "leave a group"), ("delete_group", "groups removed")].iter().enumerate() {
                    @if int(counts, word) > 0 { @if n > 0 { " " } (number(int(counts, word))) " " (label) "." }
                }
            },
        ),
        (
            "Asked by",
            html! { @match first { Some(item) if item["operation"].is_object() => (who(&item["operation"])), _ => span.muted { "not on record" } } },
        ),
        ("Instance", parts::instance_link(text(&hold["instance"], "id"), text(&hold["instance"], "name"))),
        ("Since", parts::when_or(visit.now, &hold["opened_at"], "")),
        (
            "If nobody decides",
            html! {
                @if hold["allowed_at"].is_string() { "It is allowed " (parts::when_or(visit.now, &hold["allowed_at"], "")) ", by this instance's policy." }
                @else { "It stays held." @if int(hold, "reminders") > 0 { " Reminded " (count(int(hold, "reminders"), "time", "times")) "." } }
            },
        ),
    ];
    if text(hold, "state") != "open" {
        rows.truncate(rows.len() - 1);
    }
    parts::card("Why this is held", &html! {}, &html! { div.pad { (facts(&rows)) } })
}

fn decide_forms(visit: &Visit, hold: &Value, decision: Decision) -> Markup {
    if !visit.may(Role::Admin) {
        return parts::note(
            Tone::Quiet,
            &html! { p { "You are a Viewer. Ask an Admin here to allow or discard this." } },
        );
    }
    let total = int(&hold["count"], "total");
    let id = text(hold, "id");
    let target = text(&hold["instance"], "name");
    let keys: Vec<String> = list(hold, "items").iter().map(key).collect();
    let form = |act: &str, label: String| {
        Form::new(visit, format!("/console/holds/{id}/{act}"), label)
            .hidden("list_hash", text(hold, "list_hash"))
            .hidden("shown", keys.join(" "))
    };
    // Each form has fields of its own, whose names differ: their ids have to.
    let comment = |field: &str, of: bool| {
        Field::area(field, "Comment", 2).optional().hint("For the record").value(if of == decision.allow {
            decision.comment.as_str()
        } else {
            ""
        })
    };
    let (mut allow, mut discard) = (
        form("allow", format!("Allow {}", count(total, "change", "changes"))).danger(),
        form("discard", format!("Discard {}", count(total, "change", "changes"))).plain(),
    );
    if decision.allow {
        allow = allow.errors(decision.errors.clone());
    } else {
        discard = discard.errors(decision.errors.clone());
    }
    html! {
        div.cols {
            section.card aria-label="Discard" { div.pad.stack {
                h2 { "Discard: nobody loses anything" }
                p { (name(target)) " keeps what it has. What the identity provider no longer wants stays so, marked \u{201c}kept by decision\u{201d}, until it asks again. Mend the cause at the identity provider first." }
                (discard.field(comment("discard_comment", false)).draw())
            } }
            section.card aria-label="Allow" { div.pad.stack {
                h2 { "Allow: it happens now" }
                p { "scimgate sends all " (number(total)) " to " (name(target)) " now, leavers first. It cannot be undone here: people would have to be invited again." }
                (allow
                    .field(comment("allow_comment", true))
                    .field(Field::text("count", &format!("Type {total} to allow")).hint("The number of changes"))
                    .draw())
            } }
        }
    }
}

fn decided(visit: &Visit, hold: &Value) -> Markup {
    let words = if text(hold, "state") == "allowed" { "Allowed" } else { "Discarded" };
    parts::note(
        Tone::Quiet,
        &html! {
            p { strong { (words) } " by " (decider(text(hold, "decided_by"))) ", " (parts::when_or(visit.now, &hold["decided_at"], "")) "." }
            @if let Some(comment) = hold["comment"].as_str().filter(|comment| !comment.is_empty()) { p { "\u{201c}" (value(comment)) "\u{201d}" } }
        },
    )
}

/// Whom or what a change is about.
fn subject(hold: &Value, item: &Value) -> Markup {
    let of = text(&hold["instance"], "id");
    let (person, group) = (&item["person"], &item["group"]);
    html! {
        @if person.is_object() { a href=(place(of, "User", text(person, "id"))) { (name(text(person, "name"))) } }
        @else { a href=(place(of, "Group", text(group, "id"))) { (name(text(group, "name"))) } }
    }
}

fn items(visit: &Visit, hold: &Value, next: Option<&str>, after: &str) -> Markup {
    let id = text(hold, "id");
    let total = int(&hold["count"], "total");
    let mut table =
        Table::new("The list").hush().head("Who or what").head("Effect").less("Group").less("Asked by").less("Asked");
    for item in list(hold, "items") {
        let (group, operation) = (&item["group"], &item["operation"]);
        table.row(html! { tr {
            th scope="row" { (subject(hold, item)) }
            td { (effect(item)) @if int(item, "people") > 1 { ", " (number(int(item, "people"))) " members" } }
            td.rank2 { @if item["person"].is_object() && group.is_object() { a href=(place(text(&hold["instance"], "id"), "Group", text(group, "id"))) { (name(text(group, "name"))) } } }
            td.rank2 { @if operation.is_object() { (who(operation)) } }
            td.rank2 { @if operation.is_object() { a href={ "/console/operations/" (text(operation, "id")) } { (parts::ago_or(visit.now, &operation["at"], "")) } } }
        } });
    }
    let path = format!("/console/holds/{id}");
    let next = next.map(|after| link(&path, &[("after", after)]));
    let first = (!after.is_empty()).then_some(path.as_str());
    let shown = format!(
        "{} of {}",
        number(i64::try_from(list(hold, "items").len()).unwrap_or(0)),
        count(total, "change", "changes")
    );
    let csv = html! { @if visit.may(Role::Admin) { a.btn href={ (path) "/list.csv" } { "Download as CSV" } } };
    parts::card(
        "The exact list",
        &csv,
        &html! {
            @if table.is_empty() { (parts::empty("The list is empty", &html! { "What was held was taken back by the identity provider, or was given up." }, &html! {})) }
            @else { (table.draw()) (parts::pager(&shown, first, next.as_deref())) }
        },
    )
}

async fn decide(visit: Visit, id: String, sent: Sent, allow: bool) -> Sending {
    let comment = sent.some(if allow { "allow_comment" } else { "discard_comment" });
    let (hold, next) = read(&visit, &id, "").await?;
    let total = int(&hold["count"], "total");
    let mut decision = Decision { allow, comment: comment.clone().unwrap_or_default(), ..Decision::default() };
    if text(&hold, "state") != "open" {
        decision.errors.add("", "Somebody decided before you. Nothing was changed by this.");
        return Ok(page(&visit, &hold, next.as_deref(), "", decision).into_response());
    }
    if sent.text("list_hash") == text(&hold, "list_hash") && allow && sent.text("count") != total.to_string() {
        decision.errors.add("count", format!("must be {total}, the number of changes; nothing was changed"));
        return Ok(page(&visit, &hold, next.as_deref(), "", decision).into_response());
    }
    match visit.app.decide_hold(&visit.actor(), &id, allow, sent.text("list_hash"), comment).await {
        Ok(_) if allow => Ok(visit.done(&format!("/console/holds/{id}"), "Allowed. It is being sent.")),
        Ok(_) => Ok(visit.done(&format!("/console/holds/{id}"), "Discarded. Nothing of it is sent.")),
        Err(AdminError::Conflict(_)) => {
            let (hold, next) = read(&visit, &id, "").await?;
            if text(&hold, "state") == "open" {
                decision.before = Some(sent.text("shown").split_whitespace().map(str::to_owned).collect());
            } else {
                decision.errors.add("", "Somebody decided before you. Nothing was changed by this.");
            }
            Ok(page(&visit, &hold, next.as_deref(), "", decision).into_response())
        }
        Err(AdminError::Invalid { message, .. }) => {
            decision.errors.add(if allow { "allow_comment" } else { "discard_comment" }, message);
            Ok(page(&visit, &hold, next.as_deref(), "", decision).into_response())
        }
        Err(other) => Err(other.into()),
    }
}

/// The whole list as a table, page by page.
async fn export(visit: Visit, Path(id): Path<String>) -> Sending {
    visit.require(Role::Admin)?;
    let begin = (i64::MIN, 0);
    // What is not there is a page that says so, and no file.
    let first = visit.app.hold_items(&id, begin, LISTED).await?;
    let head =
        download::row(&["effect", "person", "person_id", "group", "group_id", "operation", "asked_by", "asked_at"]);
    let (app, hold) = (Arc::clone(&visit.app), id.clone());
    let rows = stream::try_unfold(Some((head, first)), move |page| {
        let (app, hold) = (Arc::clone(&app), hold.clone());
        async move {
            let Some((mut out, (items, next))) = page else { return Ok::<_, AdminError>(None) };
            items.iter().for_each(|item| out.push_str(&csv(item)));
            let next = match next {
                Some(after) => Some((String::new(), app.hold_items(&hold, after, LISTED).await?)),
                None => None,
            };
            Ok(Some((Bytes::from(out), next)))
        }
    });
    Ok(download::file(CSV, &format!("scimgate-{id}.csv"), Body::from_stream(rows)))
}

fn csv(item: &Value) -> String {
    let (person, group, operation) = (&item["person"], &item["group"], &item["operation"]);
    download::row(&[
        text(item, "effect"),
        text(person, "name"),
        text(person, "id"),
        text(group, "name"),
        text(group, "id"),
        text(operation, "id"),
        text(operation, "actor"),
        text(operation, "at"),
    ])
}
