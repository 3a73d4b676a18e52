//! A person and a group: how things stand in one sentence, whose turn it is, what is wanted and what the target has, and
//! why.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::compared;
use super::download::{self, NDJSON};
use super::erase;
use super::extract::{Path, Query};
use super::form::{Field, Sent, button};
use super::layout::{Page, Tab};
use super::lists::{account, sync};
use super::members_of;
use super::parts::{self, Tone, facts};
use super::text::{count, name, passage, value};
use super::ties;
use super::timeline::{self, Told};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{filters, link, list, membership, moment, place, stands, text, waits_for};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::instances::InstanceChange;
use crate::service::members::Role;
use crate::service::types::{Instance, Mode};

/// Changes of a timeline.
const TOLD: usize = 20;
/// Those of them that are told with their stages; the others link to them.
const STAGED: usize = 6;
/// Memberships that are listed.
const SHOWN: usize = 30;
/// Other events that are listed.
const EVENTS: usize = 25;

/// The instance and the person or group of a path.
type Place = (String, String);

pub(super) fn routes() -> Router<Arc<App>> {
    let both = |list: &str, kind: &'static str| {
        let base = format!("/instances/{{id}}/{list}/{{resource}}");
        let (see, story) = (base.clone(), format!("{base}/why.ndjson"));
        Router::new()
            .route(
                &see,
                get(move |visit: Visit, Path(at): Path<Place>, Query(query): Query<Asked>| {
                    show(visit, kind, at, query)
                }),
            )
            .route(&story, get(move |visit: Visit, Path(at): Path<Place>| export(visit, kind, at)))
    };
    both("people", "User")
        .merge(both("groups", "Group"))
        .route("/instances/{id}/people/{resource}/protect", post(protect))
        .route("/instances/{id}/people/{resource}/compare", post(compare))
}

/// What the address of such a page asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    /// As of when.
    #[serde(default)]
    pub(super) at: String,
    /// Of a group: members whose name begins so, of this state, behind this row.
    #[serde(default)]
    pub(super) q: String,
    #[serde(default)]
    pub(super) state: String,
    pub(super) after: Option<i64>,
}

/// Everything that a page of a person or group is drawn from.
pub(super) struct Record {
    pub(super) sheet: Value,
    pub(super) why: Value,
    pub(super) until: Option<Timestamp>,
}

async fn read(visit: &Visit, instance: &Instance, kind: &str, id: &str, at: &str) -> Result<Record, Trouble> {
    let sheet = visit.app.sheet(instance, kind, id).await?.ok_or_else(Trouble::not_found)?;
    let until = moment("As of", at)?;
    let micros = until.map(Timestamp::as_microsecond);
    let why = visit.app.why_at(instance, id, micros, None).await?.ok_or_else(Trouble::not_found)?;
    Ok(Record { sheet, why, until })
}

async fn show(visit: Visit, kind: &'static str, (id, resource): (String, String), query: Asked) -> Answer {
    let instance = visit.instance(&id).await?;
    let group = kind == "Group";
    let told = read(&visit, &instance, kind, &resource, &query.at).await?;
    let (sheet, why) = (&told.sheet, &told.why);
    let here = place(&instance.id, kind, text(sheet, "id"));
    let held = visit.app.memberships_held(&instance, text(sheet, "id")).await?;
    let waiting = waiting(&visit, &instance, sheet, why, &held, group).await?;
    let (sentence, turn) = stands(sheet, &instance.name, &waiting);
    let shown = sheet["called"].as_str().filter(|_| !group).unwrap_or(text(sheet, "name")).to_owned();
    let (tab, crumb, base) = if group { (Tab::Groups, "Groups", "groups") } else { (Tab::People, "People", "people") };
    let operations = operations(&visit, why, told.until).await?;
    let parked = waiting.iter().map(|(_, many)| many).sum::<i64>();

    let lead = html! {
        @if told.until.is_some() { (name_long(text(why, "answer"))) } @else { (name_long(&sentence)) }
    };
    let page = Page::of(&instance, tab, shown)
        .crumb(crumb, format!("/console/instances/{}/{base}", instance.id))
        .tags(html! {
            (account(sheet, group)) " " (sync(sheet))
            @if parked > 0 { " " (parts::tag(Tone::Parked, &format!("Waiting: {parked}"))) }
            @if sheet["deleted_at"].is_string() { " " (parts::tag(Tone::Quiet, "Deleted")) }
        })
        .lead(lead)
        .actions(html! {
            @if visit.may(Role::Admin) { a.btn href={ (here) "/why.ndjson" } { "Download as NDJSON" } }
        });
    let latest = operations.iter().find(|one| text(one, "state") == "open");
    Ok(page.body(html! {
        @if let Some(until) = told.until {
            (parts::note(Tone::Quiet, &html! { p { "This is how it was at " (parts::when(visit.now, until)) ". " a href=(here) { "Show how it is now" } } }))
        } @else {
            section.card aria-label="Whose turn" { div.pad.stack {
                p { strong { "Whose turn: " } (turn.who) ". " (name_long(&turn.exit)) }
                @for (hold, _) in held.iter().take(1) { p { a href={ "/console/holds/" (hold) } { "Look at the hold" } } }
                (super::words::explained(&visit, &sheet["work"]))
                @if let Some(operation) = latest { (timeline::acts(&visit, operation)) }
                @if sheet["deleted_at"].is_string() {
                    p { "Deleted " (parts::when_or(visit.now, &sheet["deleted_at"], "")) "; the record is kept for " (visit.app.config.retention.tombstones.as_secs() / 86_400) " days." }
                }
            } }
        }
        (head(&visit, &instance, &told, group))
        (ties::proposed(&visit, &instance, sheet, &here).await?)
        (compared::table(&visit, &told, &instance, group))
        @if group {
            (members_of::table(&visit, &instance, sheet, why, &query, &here).await?)
        } @else {
            (memberships(&visit, &instance, why, told.until))
        }
        (as_of(&here, &query.at))
        (why_card(&visit, &instance, sheet, &operations, told.until, group))
        (further(&visit, why))
        @if !group { (protection(&visit, &instance, sheet, &here)) (erase::card(&visit, sheet, &here)) }
    }))
}

/// A sentence of ours that holds names of others.
fn name_long(text: &str) -> Markup {
    value(text)
}

/// Why memberships wait, and how many for each reason.
async fn waiting(
    visit: &Visit,
    instance: &Instance,
    sheet: &Value,
    why: &Value,
    held: &[(String, String)],
    group: bool,
) -> Result<Vec<(String, i64)>, Trouble> {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    if group {
        for state in ["parked", "refused"] {
            let slice = visit.app.list_group_members(instance, text(sheet, "id"), (Some(state), None), 0, 200).await?;
            for one in &slice.items {
                *counts.entry(waits_for(state, text(one, "reason"), false)).or_default() += 1;
            }
        }
        if !held.is_empty() {
            let todo = visit.app.list_group_members(instance, text(sheet, "id"), (Some("todo"), None), 0, 200).await?;
            let many = todo.items.iter().filter(|one| one["hold"].is_string()).count();
            counts.insert(waits_for("todo", "", true), i64::try_from(many).unwrap_or(0));
        }
        return Ok(counts.into_iter().filter(|(_, many)| *many > 0).collect());
    }
    let kept: BTreeSet<&str> = held.iter().map(|(_, group)| group.as_str()).collect();
    for one in list(why, "memberships") {
        let state = text(one, "state");
        let held = kept.contains(text(&one["group"], "id"));
        // A membership that is not wanted and waits for nothing but the account's end is told by that.
        if state == "settled" || (state == "parked" && one["wanted"] == false) {
            continue;
        }
        *counts.entry(waits_for(state, text(one, "reason"), held)).or_default() += 1;
    }
    Ok(counts.into_iter().collect())
}

/// The operations of the timeline, whole, newest first: the person's own, and those of groups that moved the person.
async fn operations(visit: &Visit, why: &Value, until: Option<Timestamp>) -> Result<Vec<Value>, Trouble> {
    let mut wanted: Vec<(String, String)> = Vec::new();
    for one in list(why, "operations").iter().take(TOLD) {
        wanted.push((text(one, "at").to_owned(), text(one, "id").to_owned()));
    }
    for event in list(why, "chain").iter().rev().filter(|event| text(event, "kind") == "membership") {
        if let Some(id) = event["cause"]["operation"].as_str() {
            wanted.push((text(event, "at").to_owned(), id.to_owned()));
        }
    }
    if until.is_none() {
        for one in list(why, "memberships") {
            if let Some(id) = one["operation"].as_str() {
                wanted.push((String::new(), id.to_owned()));
            }
        }
    }
    let mut ids: Vec<String> = Vec::new();
    for (_, id) in wanted {
        if ids.len() >= 2 * TOLD {
            break;
        }
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut told = visit.app.operations_whole(&ids).await?;
    told.retain(|operation| until.is_none_or(|until| parts::instant(&operation["at"]).is_none_or(|at| at <= until)));
    told.sort_by_key(|operation| std::cmp::Reverse(parts::instant(&operation["at"])));
    told.truncate(TOLD);
    Ok(told)
}

fn head(visit: &Visit, instance: &Instance, told: &Record, group: bool) -> Markup {
    let sheet = &told.sheet;
    let there = &sheet["link"];
    let email = list(&sheet["doc"], "emails")
        .iter()
        .find(|one| one["primary"] == true)
        .or(list(&sheet["doc"], "emails").first())
        .and_then(|one| one["value"].as_str());
    let mut rows: Vec<(&str, Markup)> = Vec::new();
    if group {
        rows.push(("Name", name(text(sheet, "name"))));
    } else {
        rows.push(("User name", name(text(sheet, "name"))));
        if let Some(email) = email {
            rows.push(("E-mail", name(email)));
        }
    }
    rows.push(("SCIM id", parts::id(text(sheet, "id"))));
    if let Some(id) = sheet["externalId"].as_str() {
        rows.push(("External id", html! { (name(id)) " " (parts::copy(id, "the external id")) }));
    }
    if let Some(login) = there["login"].as_str() {
        rows.push(("Login at the target", name(login)));
    }
    if let Some(id) = there["remote_id"].as_str() {
        rows.push(("Id at the target", html! { (name(id)) " " (parts::copy(id, "the id at the target")) }));
    }
    if sheet["expires_at"].is_string() {
        rows.push(("Invitation ends", parts::when_or(visit.now, &sheet["expires_at"], "")));
    }
    rows.push(("Known since", parts::when_or(visit.now, &sheet["created_at"], "")));
    rows.push(("Last change", parts::when_or(visit.now, &sheet["modified_at"], "")));
    // The account may be gone, and have been seen before.
    let there_once = |event: &&Value| text(event, "kind") == "account" && text(&event["cause"], "status") != "gone";
    let once = list(&told.why, "chain").iter().rev().find(there_once);
    let seen =
        if sheet["seen_at"].is_string() { &sheet["seen_at"] } else { once.map_or(&Value::Null, |event| &event["at"]) };
    rows.push(("Account last seen", parts::when_or(visit.now, seen, "not yet")));
    let reads = matches!(instance.mode, Mode::Enabled | Mode::Rehearse)
        && matches!(there["status"].as_str(), Some("active" | "suspended"))
        && sheet["managed"] == true
        && sheet["deleted_at"].is_null();
    let here = place(&instance.id, "User", text(sheet, "id"));
    let kind = if group { "Group" } else { "User" };
    let acts = html! {
        (ties::by_hand(visit, sheet, &place(&instance.id, kind, text(sheet, "id"))))
        @if reads && !group { (button(visit, &format!("{here}/compare"), "Compare with the target now", &[])) }
    };
    parts::card(if group { "This group" } else { "This person" }, &acts, &html! { div.pad { (facts(&rows)) } })
}

fn memberships(visit: &Visit, instance: &Instance, why: &Value, until: Option<Timestamp>) -> Markup {
    let then = until.is_some();
    let shown = if then { list(&why["then"], "memberships") } else { list(why, "memberships") };
    let (open, equal): (Vec<&Value>, Vec<&Value>) =
        shown.iter().take(SHOWN).partition(|one| text(one, "state") != "settled");
    let (there, left): (Vec<&Value>, Vec<&Value>) = equal.into_iter().partition(|one| one["wanted"] == true);
    let table = |rows: &[&Value], caption: &str| {
        let mut table = parts::Table::new(caption)
            .hush()
            .head("Group")
            .head("Identity provider says")
            .head("Target has")
            .head("State")
            .less("Why");
        for one in rows {
            let group = &one["group"];
            let id = text(group, "id");
            table.row(html! { tr {
                th scope="row" { @if id.is_empty() { "(removed)" } @else { a href=(place(&instance.id, "Group", id)) { (name(text(group, "displayName"))) } } }
                td { (if one["wanted"] == true { "member" } else { "not a member" }) }
                td { (match text(one, "at_target") { "yes" => "member", "no" => "not a member", "pending" => "with the invitation", _ => "not read yet" }) }
                td { (membership(one)) }
                td.rank2 {
                    @if let Some(operation) = one["operation"].as_str() { a href={ "/console/operations/" (operation) } { "the change" } " " }
                    @if text(one, "state") != "settled" { (waits_for(text(one, "state"), text(one, "reason"), false)) }
                    @else if one["since"].is_string() { "since " (parts::ago_or(visit.now, &one["since"], "")) }
                }
            } });
        }
        table.draw()
    };
    parts::card(
        "Groups",
        &html! {},
        &html! {
            @if shown.len() > SHOWN {
                p.pad.muted { "The first " (SHOWN) " of " (count(i64::try_from(shown.len()).unwrap_or(0), "group", "groups")) " on record here; the download has them all." }
            }
            @if shown.is_empty() { div.pad.muted { "In no group, and none is asked for." } }
            @if !open.is_empty() { (table(&open, "Groups that differ")) }
            @if !there.is_empty() {
                @if open.is_empty() && there.len() <= 10 { (table(&there, "Groups as asked")) }
                @else { div.pad { (parts::more(&format!("{} as asked", count(i64::try_from(there.len()).unwrap_or(0), "group", "groups")), &table(&there, "Groups as asked"))) } }
            }
            @if !left.is_empty() { div.pad { (parts::more(&format!("{} left behind", count(i64::try_from(left.len()).unwrap_or(0), "group", "groups")), &table(&left, "Groups that were left"))) } }
        },
    )
}

fn as_of(here: &str, at: &str) -> Markup {
    let field = Field::text("at", "As of (UTC)").value(at).hint("A past moment, such as 2026-03-31 14:05");
    parts::card("At another time", &html! {}, &filters(here, &[field], !at.is_empty()))
}

fn why_card(
    visit: &Visit,
    instance: &Instance,
    sheet: &Value,
    operations: &[Value],
    until: Option<Timestamp>,
    group: bool,
) -> Markup {
    let id = text(sheet, "id");
    let all = link(&format!("/console/instances/{}/operations", instance.id), &[("resource", id)]);
    let days = visit.app.config.retention.operations.as_secs() / 86_400;
    parts::card(
        "Why",
        &html! { a href=(all) { "All operations" } },
        &html! {
            @if operations.is_empty() {
                (parts::empty("Nothing was asked", &html! {
                    @if sheet["managed"] == true { "No operation is on record; they are kept for " (days) " days." }
                    @else { "An import found it at the target; no identity provider asked for anything since." }
                }, &html! {}))
            } @else {
                ul.list {
                    @for (n, operation) in operations.iter().enumerate() {
                        @let foreign = text(&operation["resource"], "id") != id;
                        (timeline::card(visit, operation, Told { about: (foreign && !group).then_some(id), until, open: n == 0, brief: n >= STAGED }))
                    }
                }
            }
        },
    )
}

/// What else is on record: what was seen at the target, decisions, holds, comparisons.
fn further(visit: &Visit, why: &Value) -> Markup {
    let events: Vec<&Value> = list(why, "chain")
        .iter()
        .rev()
        .filter(|event| !matches!(text(event, "kind"), "operation" | "attempt"))
        .take(EVENTS)
        .collect();
    if events.is_empty() {
        return html! {};
    }
    parts::card(
        "What else is on record",
        &html! {},
        &html! { div.pad { (parts::more(&count(i64::try_from(events.len()).unwrap_or(0), "event", "events"), &html! {
            ul.list { @for event in &events { li { div.inline {
                span.small.muted { (parts::when_or(visit.now, &event["at"], "in force")) }
                span { (passage(text(event, "text"))) }
                @if let Some(operation) = event["cause"]["operation"].as_str() { a.small href={ "/console/operations/" (operation) } { "operation" } }
                @if let Some(hold) = event["cause"]["hold"].as_str() { a.small href={ "/console/holds/" (hold) } { "hold" } }
            } } } }
        })) } },
    )
}

/// The entries of the policy's list that name this person.
fn listed<'a>(instance: &'a Instance, sheet: &Value) -> Vec<&'a String> {
    let own = [text(sheet, "name"), text(&sheet["link"], "login"), text(&sheet["link"], "email")];
    let own: Vec<String> = own.iter().filter(|word| !word.is_empty()).map(|word| scim::fold::fold_text(word)).collect();
    instance.policy.protected.iter().filter(|entry| own.contains(&scim::fold::fold_text(entry))).collect()
}

fn protection(visit: &Visit, instance: &Instance, sheet: &Value, here: &str) -> Markup {
    if sheet["deleted_at"].is_string() {
        return html! {};
    }
    let by_list = !listed(instance, sheet).is_empty();
    parts::card(
        "Protection",
        &html! {},
        &html! { div.pad.stack {
            p { @if sheet["protected"] == true {
                "The account is protected by what it is: the credential's own, or the last owner of the target. Nothing takes its access."
            } @else if by_list {
                "This person is on the instance's list of protected ones. Whatever the identity provider asks, the account keeps its access, and the request is refused."
            } @else {
                "A protected person keeps the access at the target whatever the identity provider asks: for the account that would lock everybody out."
            } }
            @if by_list { (button(visit, &format!("{here}/protect"), "Take off the list", &[("on", "no")])) }
            @else if sheet["protected"] != true { (button(visit, &format!("{here}/protect"), "Protect", &[("on", "yes")])) }
            p.small.muted { "Attributes are not edited here: the identity provider is where they come from." }
        } },
    )
}

async fn protect(visit: Visit, Path((id, resource)): Path<(String, String)>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let sheet = visit.app.sheet(&instance, "User", &resource).await?.ok_or_else(Trouble::not_found)?;
    let on = sent.text("on") != "no";
    let mut all = instance.policy.protected.clone();
    if on {
        if listed(&instance, &sheet).is_empty() {
            all.push(text(&sheet, "name").to_owned());
        }
    } else {
        let gone: Vec<String> = listed(&instance, &sheet).into_iter().cloned().collect();
        all.retain(|entry| !gone.contains(entry));
    }
    let mut policy = Map::new();
    policy.insert("protected".to_owned(), json!(all));
    let change = InstanceChange { policy: Some(policy), ..InstanceChange::default() };
    visit.app.update_instance(&visit.actor(), &instance, change).await?;
    let note =
        if on { "The person is protected." } else { "The person is not on the list of protected ones any more." };
    Ok(visit.done(&place(&instance.id, "User", text(&sheet, "id")), note))
}

/// Has this one compared with the account at the target.
async fn compare(visit: Visit, Path((id, resource)): Path<Place>) -> Sending {
    let instance = visit.instance(&id).await?;
    visit.app.compare_one(&instance, &resource, &visit.actor()).await?;
    let note = "The account is being read at the target. Load this page again in a moment to see what came of it.";
    Ok(visit.done(&place(&instance.id, "User", &resource), note))
}

/// The whole story as lines of JSON: how it stands, then what happened, oldest first, then the operations.
async fn export(visit: Visit, kind: &'static str, (id, resource): (String, String)) -> Sending {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let told = read(&visit, &instance, kind, &resource, "").await?;
    let mut out = String::new();
    let mut line = |sort: &str, value: &Value| download::line(&mut out, &json!({"line": sort, sort: value}));
    line("sheet", &told.sheet);
    line("then", &told.why["then"]);
    for event in list(&told.why, "chain") {
        line("event", event);
    }
    for operation in list(&told.why, "operations").iter().rev() {
        line("operation", operation);
    }
    for one in list(&told.why, "memberships") {
        line("membership", one);
    }
    Ok(download::file(NDJSON, &format!("scimgate-{}.ndjson", text(&told.sheet, "id")), Body::from(out)))
}
