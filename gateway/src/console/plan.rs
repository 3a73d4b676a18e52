//! The plan and the drift of an instance: what would be sent, and where the target differs from what was asked, before
//! anything is done about either.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use engine::drift::Class;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Path, Query};
use super::form::{Errors, Field, Form, Sent, button, confirm};
use super::instances::fresh;
use super::layout::{Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number, span, value};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{int, link, list, place, text};
use super::{Answer, Sending};
use crate::keys;
use crate::reconcile::RunKind;
use crate::service::App;
use crate::service::instances::InstanceChange;
use crate::service::members::Role;
use crate::service::plan::STALE as STALE_PLAN;
use crate::service::records::AdminError;
use crate::service::types::{Instance, Mode};

/// Rows of a page.
const PAGE: i64 = 25;
/// Differences that are decided about at once.
const MOST: usize = 200;
/// Longest reason of a decision, in bytes.
const MAX_WHY: usize = 500;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances/{id}/plan", get(show))
        .route("/instances/{id}/plan/enable", post(enable))
        .route("/instances/{id}/plan/compare", post(compare))
        .route("/instances/{id}/plan/repair", post(ask_repair))
        .route("/instances/{id}/plan/repair/confirm", post(repair))
        .route("/instances/{id}/plan/dismiss", post(dismiss))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    class: String,
    after: Option<i64>,
    drift_after: Option<i64>,
}

async fn show(visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>) -> Answer {
    let instance = visit.instance(&id).await?;
    draw(&visit, &instance, &query, None).await
}

async fn draw(visit: &Visit, instance: &Arc<Instance>, query: &Asked, trouble: Option<Markup>) -> Answer {
    let failed = trouble.is_some();
    let page = Page::of(instance, Tab::Plan, "Plan and drift")
        .lead(html! { "What would be sent to " (name(&instance.name)) ", and where it differs from what was asked. Nothing here is done before you say so." })
        .actions(html! { @if matches!(instance.mode, Mode::Enabled | Mode::Rehearse) {
            (button(visit, &format!("/console/instances/{}/plan/compare", instance.id), "Compare now", &[]))
        } })
        .body(html! {
            @if let Some(trouble) = trouble { (parts::note(Tone::Bad, &trouble)) }
            (pending(visit, instance, query).await?)
            (drift(visit, instance, query).await?)
        });
    Ok(if failed { page.failed() } else { page })
}

fn base(instance: &Instance) -> String {
    format!("/console/instances/{}/plan", instance.id)
}

/// A kind of step: its sign, and what it does to somebody.
fn action(word: &str) -> (&'static str, Tone) {
    match word {
        "create" => ("+ create", Tone::Good),
        "invite" => ("+ invite", Tone::Good),
        "restore" => ("+ restore", Tone::Good),
        "create_group" => ("+ create group", Tone::Good),
        "add_members" => ("+ add members", Tone::Good),
        "update" => ("~ update", Tone::Busy),
        "rename_group" => ("~ rename group", Tone::Busy),
        "look" => ("? look at the target first", Tone::Quiet),
        "wait" | "waiting_members" => ("waiting members", Tone::Parked),
        "suspend" => ("\u{2212} suspend", Tone::Bad),
        "revoke" => ("\u{2212} take the invitation back", Tone::Bad),
        "remove" => ("\u{2212} remove", Tone::Bad),
        "remove_members" => ("\u{2212} remove members", Tone::Bad),
        "delete_group" => ("\u{2212} delete group", Tone::Bad),
        _ => ("other", Tone::Quiet),
    }
}

/// What open work would send.
async fn pending(visit: &Visit, instance: &Arc<Instance>, query: &Asked) -> Result<Markup, Trouble> {
    let plan = visit.app.plan(instance, query.after.unwrap_or(0), PAGE).await?;
    let steps = &plan.totals["steps"];
    let resources = int(&plan.totals, "resources");
    let mut table = Table::new("What would be sent").hush().head("Who or what").head("Steps").less("State");
    for one in &plan.steps.items {
        let resource = &one["resource"];
        table.row(html! { tr {
            th scope="row" { a href=(place(&instance.id, text(resource, "kind"), text(resource, "id"))) { (name(text(resource, "name"))) } }
            td { div.tight {
                @for step in list(one, "steps") { (step_shown(step)) }
                @for warning in list(one, "warnings") { p.small { (parts::tag(Tone::Warn, "Needs somebody")) " " (value(text(warning, "message"))) } }
                @if list(one, "steps").is_empty() && list(one, "warnings").is_empty() { span.muted { "Nothing is left to send." } }
            } }
            td.rank2 { (parts::state(text(one, "state"))) }
        } });
    }
    let warnings = list(&plan.warnings, "items");
    let base = base(instance);
    let next = plan.steps.next.map(|row| link(&base, &[("after", &row.to_string())]));
    let first = query.after.map(|_| base.as_str());
    let calls = plan.forecast["calls"].as_i64();
    let seconds = plan.forecast["seconds"].as_i64();
    Ok(parts::card(
        "Pending work",
        &html! { span.muted.small { "plan " code { (plan.digest) } } },
        &html! {
            @if resources == 0 {
                (parts::empty("Nothing is pending", &html! { "Everything that was accepted has been brought to the target, or was given up. Where the target differs since, it stands below." }, &html! {}))
            } @else {
                div.pad.stack {
                    div.inline {
                        @for (word, many) in steps.as_object().into_iter().flatten() {
                            @let (label, tone) = action(word);
                            (parts::tag(tone, &format!("{label}: {}", number(many.as_i64().unwrap_or(0)))))
                        }
                    }
                    p.muted.small {
                        (count(resources, "person or group", "people and groups"))
                        @if let Some(calls) = calls { ", about " (count(calls, "call", "calls")) }
                        @if let Some(seconds) = seconds.filter(|seconds| *seconds > 0) { ", about " (span(seconds)) }
                        "."
                    }
                    @for warning in warnings.iter().take(5) { (parts::note(Tone::Warn, &html! { p { (value(text(warning, "message"))) } })) }
                    @if int(&plan.warnings, "count") > 5 { p.small.muted { "and " (number(int(&plan.warnings, "count") - 5)) " more warnings, beside their rows" } }
                    (enable_form(visit, instance, &plan.digest))
                }
                (table.draw())
                (parts::pager(&count(i64::try_from(plan.steps.items.len()).unwrap_or(0), "row here", "rows here"), first, next.as_deref()))
            }
        },
    ))
}

fn step_shown(step: &Value) -> Markup {
    let (label, tone) = action(text(step, "action"));
    let names: Vec<&str> = list(step, "names").iter().filter_map(Value::as_str).collect();
    html! { div.inline {
        (parts::tag(tone, label))
        @if int(step, "count") > 0 { span { (number(int(step, "count"))) } }
        @if let Some(attribute) = step["attribute"].as_str() { code { (name(attribute)) } }
        @if step["from"].is_string() { del { (value(text(step, "from"))) } }
        @if step["to"].is_string() { ins { (value(text(step, "to"))) } }
        @if let Some(email) = step["email"].as_str() { span { (name(email)) } }
        @if let Some(reason) = step["reason"].as_str() { span.muted { (name(reason)) } }
        @if !names.is_empty() { span.small.muted { (value(&names.join(", "))) @if int(step, "count") > i64::try_from(names.len()).unwrap_or(0) { ", \u{2026}" } } }
    } }
}

/// A rehearsing instance is enabled by naming the plan that is on the page.
fn enable_form(visit: &Visit, instance: &Instance, digest: &str) -> Markup {
    if instance.mode != Mode::Rehearse {
        return html! {};
    }
    html! {
        p { "This instance rehearses: nothing of this is sent. Enabling it carries out exactly this plan." }
        (Form::new(visit, format!("{}/enable", base(instance)), "Enable with this plan").hidden("digest", digest).draw())
    }
}

async fn enable(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let change =
        InstanceChange { mode: Some(Mode::Enabled), plan_digest: sent.some("digest"), ..InstanceChange::default() };
    match visit.app.update_instance(&visit.actor(), &instance, change).await {
        Ok(_) => Ok(visit.done(&base(&instance), "The instance is enabled, and the plan is being carried out.")),
        Err(AdminError::Conflict(why)) if why != STALE_PLAN => refused(&visit, &fresh(&visit, &id).await?, &why).await,
        Err(AdminError::Conflict(_)) => {
            let words = html! { p { strong { "Nothing was changed: the plan is another one than you read." } " Something was accepted or found since. This is the plan now." } };
            Ok(draw(&visit, &instance, &Asked::default(), Some(words)).await?.into_response())
        }
        Err(other) => Err(other.into()),
    }
}

async fn compare(visit: Visit, Path(id): Path<String>) -> Sending {
    let instance = visit.instance(&id).await?;
    let started = visit.app.start_run(&instance, RunKind::Reconcile, &visit.actor()).await?;
    let note = if started.is_some() {
        "The comparison has begun. Reload this page to see what it found."
    } else {
        "A comparison or import is under way already."
    };
    Ok(visit.done(&base(&instance), note))
}

fn class_words(class: &str) -> (&'static str, &'static str) {
    match class {
        "missing" => ("Missing", "wanted, was there, and is not any more"),
        "vanished" => ("Vanished", "gone from the target, and nobody here removed it"),
        "changed" => ("Changed", "not as it was asked for"),
        "renamed" => ("Renamed", "has another name at the target"),
        "extra" => ("Extra", "a member that nobody asked for"),
        _ => ("Not managed", "at the target, and nobody pushed it"),
    }
}

/// What stands for a difference as it is shown: if it changes, a decision about it is out of date.
fn stamp(item: &Value) -> String {
    let seen = format!(
        "{} {} {} {} {}",
        text(item, "class"),
        text(item, "repair_gives"),
        item["repairable"],
        item["detail"],
        text(item, "action")
    );
    keys::hash(&[0; 32], &seen).chars().take(16).collect()
}

/// Where the target differs.
async fn drift(visit: &Visit, instance: &Arc<Instance>, query: &Asked) -> Result<Markup, Trouble> {
    let class = Class::parse(&query.class);
    let slice = visit.app.list_drift(instance, class, query.drift_after.unwrap_or(0), PAGE).await?;
    let counts = visit.app.count_drift(instance).await?;
    let runs = visit.app.list_runs(instance, i64::MAX, 1).await?;
    let base = base(instance);
    let may = visit.may(Role::Admin);
    let mut table = Table::new("Differences").hush();
    if may {
        table = table.head("Select");
    }
    table = table.head("Who or what").head("Difference").head("Wanted and found").less("A repair gives").less("Seen");
    for item in &slice.items {
        table.row(drift_row(visit, instance, item, may));
    }
    let class_word = class.map_or("", Class::as_str);
    let next = slice.next.map(|row| link(&base, &[("class", class_word), ("drift_after", &row.to_string())]));
    let first = query.drift_after.map(|_| link(&base, &[("class", class_word)]));
    let shown = count(i64::try_from(slice.items.len()).unwrap_or(0), "difference here", "differences here");
    let list = html! {
        (table.draw())
        (parts::pager(&shown, first.as_deref(), next.as_deref()))
    };
    let compared = runs.items.first();
    let body = html! {
        div.pad.inline {
            @for one in Class::ALL {
                @let (label, _) = class_words(one.as_str());
                a href=(link(&base, &[("class", one.as_str())])) aria-current=[(class == Some(one)).then_some("true")] { (label) ": " (number(int(&counts, one.as_str()))) }
            }
            @if class.is_some() { a href=(base) { "All" } }
        }
        @if slice.items.is_empty() {
            (parts::empty(
                if class.is_some() { "Nothing differs in this way" } else { "Wanted and actual match" },
                &html! { @match compared {
                    Some(run) => { "Compared " (parts::ago_or(visit.now, &run["ended_at"], "just now, still under way")) "." },
                    None => "Nothing was compared yet.",
                } },
                &html! {},
            ))
        } @else if may {
            (Form::new(visit, format!("{base}/repair"), "Repair selected\u{2026}")
                .and(list)
                .and(html! { div.pad.stack {
                    (Field::text("why", "Why it may stay").optional().hint("For those who wonder later; only for leaving it").draw(None))
                    div { button.btn type="submit" formaction={ (base) "/dismiss" } { "Leave selected as they are" } }
                } })
                .draw())
        } @else { (list) }
        @if let Some(run) = compared {
            p.pad.small.muted { "Last comparison: " (parts::state(text(run, "state"))) " " (parts::ago_or(visit.now, &run["ended_at"], "under way")) ". What differs is what it saw then." }
        }
    };
    Ok(parts::card("Drift", &html! {}, &body))
}

fn drift_row(visit: &Visit, instance: &Instance, item: &Value, may: bool) -> Markup {
    let (label, meaning) = class_words(text(item, "class"));
    let detail = &item["detail"];
    let id = text(item, "id");
    let left = text(item, "action") == "dismissed";
    html! { tr {
        @if may { td { @if !left {
            input type="checkbox" id={ "d-" (id) } name="item" value={ (id) "~" (stamp(item)) };
            label.hush for={ "d-" (id) } { "Select " (super::text::plain(&subject_text(item))) }
        } } }
        th scope="row" { (subject(instance, item)) }
        td { (parts::tag(Tone::Drift, label)) " " span.small.muted { (meaning) }
            @if left { " " (parts::tag(Tone::Quiet, "Left so")) }
            @if text(item, "action") == "repair" { " " (parts::tag(Tone::Busy, "Being repaired")) }
        }
        td { div.tight {
            @if !text(detail, "message").is_empty() { (value(text(detail, "message"))) }
            @for (old, new) in [("found", "wanted"), ("before", "now")] {
                @if !detail[old].is_null() || !detail[new].is_null() { span { del { (value(&plain(&detail[old]))) } " \u{2192} " ins { (value(&plain(&detail[new]))) } } }
            }
        } }
        td.rank2 { (match text(item, "repair_gives") { "less" => "less access", "more" => "more access", _ => "the same access" })
            @if item["repairable"] != true { " " span.muted { "(not from here)" } } }
        td.rank2 { (parts::ago_or(visit.now, &item["last_seen"], "")) }
    } }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn subject_text(item: &Value) -> String {
    let account = &item["account"];
    let named = [
        &item["member"]["userName"],
        &item["resource"]["name"],
        &account["login"],
        &account["email"],
        &account["name"],
        &item["remote"],
    ];
    named.iter().find_map(|name| name.as_str()).unwrap_or("an account").to_owned()
}

fn subject(instance: &Instance, item: &Value) -> Markup {
    let (resource, member) = (&item["resource"], &item["member"]);
    html! {
        @if resource.is_object() {
            a href=(place(&instance.id, text(resource, "kind"), text(resource, "id"))) { (name(text(resource, "name"))) }
            @if member.is_object() { ": " a href=(place(&instance.id, "User", text(member, "id"))) { (name(text(member, "userName"))) } }
            @else if let Some(remote) = item["remote"].as_str() { ": " (name(remote)) }
        } @else { (name(&subject_text(item))) }
    }
}

/// The differences that were selected, as they are now; none if one of them is not what was read.
async fn selected(visit: &Visit, instance: &Arc<Instance>, sent: &Sent) -> Result<Option<Vec<Value>>, Trouble> {
    let mut items = Vec::new();
    for one in sent.all("item").into_iter().take(MOST) {
        let (id, seen) = one.split_once('~').unwrap_or((one, ""));
        match visit.app.drift_item(instance, id).await? {
            Some(item) if stamp(&item) == seen => items.push(item),
            _ => return Ok(None),
        }
    }
    Ok(Some(items))
}

/// What is said where nothing was done.
async fn refused(visit: &Visit, instance: &Arc<Instance>, words: &str) -> Sending {
    let words = html! { p { strong { "Nothing was changed." } " " (words) } };
    Ok(draw(visit, instance, &Asked::default(), Some(words)).await?.into_response())
}

const STALE: &str =
    "What you selected is not as you read it any more: a comparison or a change came between. This is how it is now.";
const NONE: &str = "Select at least one difference.";

async fn ask_repair(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let Some(items) = selected(&visit, &instance, &sent).await? else { return refused(&visit, &instance, STALE).await };
    if items.is_empty() {
        return refused(&visit, &instance, NONE).await;
    }
    let less = items.iter().filter(|item| text(item, "repair_gives") == "less").count();
    let many = count(i64::try_from(items.len()).unwrap_or(0), "difference", "differences");
    let mut form = Form::new(&visit, format!("{}/repair/confirm", base(&instance)), format!("Repair {many}"))
        .cancel(base(&instance));
    if less > 0 {
        form = form.danger();
    }
    for item in &items {
        form = form.hidden("item", format!("{}~{}", text(item, "id"), stamp(item)));
    }
    let said = html! {
        p { "This becomes ordinary work and is sent to " (name(&instance.name)) ":" }
        ul { @for item in &items { li { (subject(&instance, item)) ", " (class_words(text(item, "class")).1) } } }
        @if less > 0 { p { strong { (count(i64::try_from(less).unwrap_or(0), "of them takes", "of them take")) " access away that nobody asked for." } } }
    };
    let page = Page::of(&instance, Tab::Plan, format!("Repair {many}?")).body(confirm(form, &said, None));
    Ok(page.into_response())
}

async fn repair(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let Some(items) = selected(&visit, &instance, &sent).await? else { return refused(&visit, &instance, STALE).await };
    if items.is_empty() {
        return refused(&visit, &instance, NONE).await;
    }
    let mut errors = Errors::default();
    let mut done = 0;
    for item in &items {
        match visit.app.repair_drift(&visit.actor(), &instance, text(item, "id")).await {
            Ok(_) => done += 1,
            Err(AdminError::Conflict(why)) => errors.add(text(item, "id"), why),
            Err(other) => return Err(other.into()),
        }
    }
    let left = items.len() - done;
    let done = count(i64::try_from(done).unwrap_or(0), "difference is", "differences are");
    let note = if errors.is_empty() {
        format!("{done} being repaired.")
    } else {
        format!("{done} being repaired; {left} could not be: {}", errors.first())
    };
    Ok(visit.done(&base(&instance), &note))
}

async fn dismiss(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = visit.instance(&id).await?;
    let why = sent.text("why");
    if why.len() > MAX_WHY {
        return refused(&visit, &instance, "The reason is too long: at most 500 bytes.").await;
    }
    let Some(items) = selected(&visit, &instance, &sent).await? else { return refused(&visit, &instance, STALE).await };
    if items.is_empty() {
        return refused(&visit, &instance, NONE).await;
    }
    let (mut done, mut left) = (0_i64, 0_i64);
    for item in &items {
        match visit.app.dismiss_drift(&visit.actor(), &instance, text(item, "id"), why).await {
            Ok(_) => done += 1,
            Err(AdminError::Conflict(_)) => left += 1,
            Err(other) => return Err(other.into()),
        }
    }
    let note = match left {
        0 => format!(
            "{} left as they are, until the identity provider writes them again.",
            count(done, "difference", "differences")
        ),
        left => format!(
            "{} left as they are; {left} could not be, because nothing would be done about them anyway.",
            count(done, "difference", "differences")
        ),
    };
    Ok(visit.done(&base(&instance), &note))
}
