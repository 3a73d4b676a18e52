//! The list of instances, and one instance: how it stands, and what can be done with it.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Path, Query};
use super::form::{Errors, Field, Form, Sent, button, confirm, typed};
use super::home::Spanned;
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number, plain, span};
use super::visit::Visit;
use super::words::{int, link, list, text};
use super::{Answer, Sending, chart, refused};
use crate::service::App;
use crate::service::instances::InstanceChange;
use crate::service::members::Role;
use crate::service::records::Glance;
use crate::service::types::{Instance, Mode};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/instances", get(all))
        .route("/instances/{id}", get(overview))
        .route("/instances/{id}/mode", post(set_mode))
        .route("/instances/{id}/disable", get(ask_disable))
        .route("/instances/{id}/delete", get(ask_delete).post(delete))
}

/// Which instances are listed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    q: String,
    mode: String,
    health: String,
    after: String,
}

/// Instances of a page.
const PAGE: usize = 50;

async fn all(visit: Visit, Query(filter): Query<Filter>) -> Answer {
    let word: String = filter.q.trim().chars().filter(|c| *c != '\0').take(200).collect();
    let which = Glance {
        text: Some(word.clone()).filter(|word| !word.is_empty()),
        mode: Mode::parse(&filter.mode),
        trouble: match filter.health.as_str() {
            "trouble" => Some(true),
            "well" => Some(false),
            _ => None,
        },
        after: Some(filter.after.clone()).filter(|place| !place.is_empty()),
        limit: PAGE,
    };
    let seen = visit.app.glance(&which).await?;
    let found = list(&seen, "instances");
    let mut table =
        Table::new("Instances").hush().head("Name").head("State").less("Target").head("Identity provider last seen");
    table = table.number("Pending").number("Held").number("Needs somebody").number("Drift");
    for one in found {
        table.row(html! { tr {
            th scope="row" { (parts::instance_link(text(one, "id"), text(one, "name"))) }
            td { (health(one)) }
            td.rank2 { (name(text(one, "connector"))) }
            td { (parts::ago_or(visit.now, &one["last_seen_at"], "never")) }
            td.num { (number(int(one, "pending"))) }
            td.num { (number(int(one, "held"))) }
            td.num { (number(int(one, "needs"))) }
            td.num { (number(int(one, "drift"))) }
        } });
    }
    let filtered = which.text.is_some() || which.mode.is_some() || which.trouble.is_some();
    let fields = [("q", word.as_str()), ("mode", &filter.mode), ("health", &filter.health)];
    let next = seen["next"].as_str().map(|place| {
        let mut fields = fields.to_vec();
        fields.push(("after", place));
        link("/console/instances", &fields)
    });
    let first = which.after.is_some().then(|| link("/console/instances", &fields));
    let here = count(i64::try_from(found.len()).unwrap_or(0), "instance here", "instances here");
    let create =
        html! { @if visit.may(Role::Admin) { a.btn.main href="/console/instances/new" { "Create instance" } } };
    let body = if !found.is_empty() {
        html! { (table.draw()) @if first.is_some() || next.is_some() { (parts::pager(&here, first.as_deref(), next.as_deref())) } }
    } else if filtered {
        parts::empty(
            "No instance matches",
            &html! { "Nothing fits this filter." },
            &html! { a.btn href="/console/instances" { "Clear filters" } },
        )
    } else {
        let body = html! { "One instance is one target, with its own SCIM address and keys. None was created yet." };
        parts::empty(
            "No instance",
            &body,
            &html! { @if visit.may(Role::Admin) { a.btn href="/console/instances/new" { "Create an instance" } } },
        )
    };
    let shown = count(int(&seen, "total"), "instance", "instances");
    Ok(Page::new(Nav::Instances, "Instances").actions(create).body(html! {
        (filters(&filter))
        (parts::card(&shown, &html! {}, &body))
    }))
}

fn filters(filter: &Filter) -> Markup {
    let option =
        |value: &str, label: &str, chosen: &str| html! { option value=(value) selected[value == chosen] { (label) } };
    html! {
        form.filters method="get" action="/console/instances" {
            div.field.wide {
                label for="f-q" { "Name, target or id" }
                input #f-q type="search" name="q" value=(filter.q) maxlength="200";
            }
            div.field {
                label for="f-mode" { "Mode" }
                select #f-mode name="mode" {
                    (option("", "Any", &filter.mode))
                    @for (value, label) in [("enabled", "Enabled"), ("paused", "Paused"), ("rehearse", "Rehearsing"), ("disabled", "Disabled")] {
                        (option(value, label, &filter.mode))
                    }
                }
            }
            div.field {
                label for="f-health" { "Health" }
                select #f-health name="health" {
                    (option("", "Any", &filter.health)) (option("trouble", "Needs somebody", &filter.health)) (option("well", "Well", &filter.health))
                }
            }
            button.btn type="submit" { "Filter" }
        }
    }
}

/// How an instance stands, in a tag.
fn health(one: &Value) -> Markup {
    if !one["problem"].is_null() {
        return parts::tag(Tone::Bad, "Cannot be used");
    }
    if !one["degraded_since"].is_null() {
        return parts::tag(Tone::Bad, "Credential refused");
    }
    parts::state(text(one, "mode"))
}

/// What a mode means, for whoever chooses one.
pub(super) fn meaning(mode: Mode) -> &'static str {
    match mode {
        Mode::Enabled => "Changes are accepted and carried out at the target.",
        Mode::Paused => "Changes are accepted and wait, deprovisions too. Nothing is sent until it is enabled again.",
        Mode::Rehearse => "Everything is accepted and planned. The target is read, and nothing is changed there.",
        Mode::Disabled => {
            "The identity provider is answered 503 with this reason and tries again later. Nothing is sent."
        }
    }
}

async fn overview(visit: Visit, Path(id): Path<String>, Query(query): Query<Spanned>) -> Answer {
    let instance = visit.instance(&id).await?;
    let standing = visit.app.standing(&instance).await?;
    let stranger = visit.app.stranger(&instance).await?;
    let activity = visit.app.activity(Some(&instance), query.span()).await?;
    let runs = visit.app.list_runs(&instance, i64::MAX, 5).await?;
    let draft = visit.app.is_draft(&instance).await?;
    let base = visit.app.scim_base_url(&instance.id);
    let root = format!("/console/instances/{}", instance.id);
    Ok(Page::of(&instance, Tab::Overview, instance.name.as_str())
        .tags(parts::state(instance.mode.as_str()))
        .lead(sentence(&instance, &standing))
        .actions(html! { a.btn href={ (root) "/connect" } { "Connect an identity provider" } })
        .live()
        .body(html! {
            (trouble(&visit, &instance, &standing, &root))
            (super::runs::rivals(&visit, &instance).await?)
            @if draft {
                (parts::note(Tone::Busy, &html! { p { strong { "This instance is being set up." } " Nothing was imported and nothing is sent yet. " @if visit.may(Role::Admin) { a href={ (root) "/setup/check" } { "Go on with the setup" } } } }))
            }
            (parts::live("stranger", true, &refused::stranger(&visit, stranger.as_ref(), &standing["keys"]["last_used_at"], &root)))
            @if super::tasks::by_hand(&instance) {
                (parts::note(Tone::Quiet, &html! { p { "People do by hand what is asked of this target. "
                    a href=(link("/console/tasks", &[("instance", instance.id.as_str())])) { "Its tasks" }
                    @if visit.may(Role::Admin) { " \u{b7} " a href={ (root) "/accounts" } { "Enter accounts that are there already" } }
                } }))
            }
            (parts::live("figures", true, &figures(&visit, &standing, &root)))
            div.cols {
                (parts::card("Mode", &html! {}, &html! { div.pad.stack { (modes(&visit, &instance, draft, &root)) } }))
                (parts::card("Checklist", &html! {}, &checklist(&visit, &instance, &standing, &root)))
            }
            (parts::live("lanes", false, &parts::card("What waits", &html! { a href={ (root) "/budget" } { "Budget" } }, &lanes(&visit, &standing))))
            @if !list(&standing, "needs").is_empty() { (parts::live("needs", false, &parts::card("Needs somebody", &html! {}, &needs(&visit, &standing)))) }
            (parts::live("outcomes", false, &chart::outcomes(&activity, query.span(), &root)))
            (parts::live("runs", false, &parts::card("Imports and comparisons", &super::runs::starts(&visit, &instance), &super::runs::table(&visit, &instance, &runs.items))))
            (parts::card("About this instance", &html! {}, &html! { div.pad.stack {
                (parts::copy_field("base-url", "SCIM base URL", &base))
                (parts::facts(&[
                    ("Target", html! { a href={ "/console/catalogue/" (instance.connector_name) } { (name(&instance.connector_name)) }
                        @if let Some(version) = &instance.connector_version { " version " (name(version)) } }),
                    ("Instance id", parts::id(&instance.id)),
                    ("Driver key", html! { code { (name(instance.driver_key.as_str())) } }),
                    ("Created", parts::when_or(visit.now, &serde_json::json!(crate::service::directory::time(instance.created_at)), "")),
                ]))
                @if visit.may(Role::Owner) { p { a.btn.danger href={ (root) "/delete" } { "Delete this instance" } } }
            } }))
        }))
}

/// One sentence of how well wanted and actual agree.
fn sentence(instance: &Instance, standing: &Value) -> Markup {
    let pending: i64 = list(standing, "lanes").iter().map(|lane| int(lane, "pending")).sum();
    let held: i64 = list(standing, "lanes").iter().map(|lane| int(lane, "held")).sum();
    let needs: i64 = list(standing, "lanes").iter().map(|lane| int(lane, "needs")).sum();
    let people = int(&standing["people"], "count");
    if people == 0 && pending + held + needs == 0 {
        return html! { "Nobody was pushed to this instance yet." };
    }
    if pending + held + needs == 0 {
        return html! { "All " (many(&standing["people"], "person", "people")) " and " (many(&standing["groups"], "group", "groups")) " are as asked." };
    }
    html! {
        @if pending > 0 { (count(pending, "person or group waits", "people and groups wait")) @if instance.mode == Mode::Enabled { " and will be worked at. " } @else { " until the instance is enabled. " } }
        @if held > 0 { (count(held, "is", "are")) " held by the brake. " }
        @if needs > 0 { (count(needs, "needs", "need")) " somebody." }
    }
}

/// A count with its bound: `10,000+ people`.
fn many(value: &Value, one: &str, more: &str) -> String {
    let n = int(value, "count");
    if value["more"] == true { format!("{}+ {more}", number(n)) } else { count(n, one, more) }
}

fn trouble(visit: &Visit, instance: &Instance, standing: &Value, root: &str) -> Markup {
    let dead = &standing["degraded"];
    let waits: i64 = list(standing, "lanes").iter().map(|lane| int(lane, "pending")).sum();
    let leaves = int(list(standing, "lanes").first().unwrap_or(&Value::Null), "pending");
    html! {
        @if let Err(why) = &instance.connector {
            (parts::note(Tone::Bad, &html! { p { strong { "This instance cannot be used." } " " (name(why)) " " a href={ (root) "/settings" } { "Look at its settings" } } }))
        }
        @if let Some(why) = &instance.schema_problem { (parts::note(Tone::Bad, &html! { p { (name(why)) } })) }
        @if !dead.is_null() {
            (parts::note(Tone::Bad, &html! {
                p { strong { "The target does not accept the credential." } " " (name(text(dead, "why"))) }
                p { "Since " (parts::ago_or(visit.now, &dead["since"], "now")) ". " (count(waits, "change waits", "changes wait")) ", " (count(leaves, "of them a deprovision", "of them deprovisions")) "." }
                @if visit.may(Role::Admin) { p { a.btn.small href={ (root) "/settings" } { "Replace credential" } } }
            }))
        }
        @if !standing["verifying_since"].is_null() {
            (parts::note(Tone::Warn, &html! { p { strong { "The database was restored from a copy." } " Accounts are looked at before anything is changed there." } }))
        }
    }
}

fn figures(visit: &Visit, standing: &Value, root: &str) -> Markup {
    let oldest = &standing["oldest_deprovision"];
    let figure = |label: &str, big: &Markup, small: &Markup| html! { section.card { div.pad.tight { h2 { (label) } p.big { (big) } p.muted.small { (small) } } } };
    let n = |field: &str| int(standing, field);
    html! { div.cols {
        (figure("Oldest pending deprovision", &html! { @if oldest.is_null() { "None" } @else { (span(int(oldest, "seconds"))) } }, &html! {
            @if oldest.is_null() { "Nobody who left waits to lose access." } @else {
                (name(text(oldest, "name"))) ". The limit is 5 min. "
                @if oldest["late"] == true { (parts::tag(Tone::Bad, "Late")) } @else { (parts::tag(Tone::Busy, "In time")) }
            }
        }))
        (figure("Identity provider last seen", &parts::ago_or(visit.now, &standing["keys"]["last_used_at"], "Never"),
            &html! { (count(int(&standing["keys"], "live"), "live key", "live keys")) ". " a href={ (root) "/connect" } { "First contact" } " \u{b7} " a href={ (root) "/rejected" } { "Refused requests" } }))
        (figure("Held and failed", &html! { (number(n("holds"))) " / " (number(n("failed"))) }, &html! {
            "Holds that wait for a decision, and operations that failed in the last 24 hours. "
            @if Tab::ALL.contains(&Tab::Holds) { a href={ (root) "/holds" } { "Holds" } }
        }))
        (figure("Drift", &html! { (number(n("drift"))) }, &html! {
            "Differences that the last comparison found. "
            @if Tab::ALL.contains(&Tab::Plan) { a href={ (root) "/plan" } { "Look at them" } }
        }))
    } }
}

fn modes(visit: &Visit, instance: &Instance, draft: bool, root: &str) -> Markup {
    let act = format!("{root}/mode");
    html! {
        p { (parts::state(instance.mode.as_str())) " " (meaning(instance.mode)) }
        @if visit.may(Role::Admin) {
            div.buttons {
                @if instance.mode != Mode::Enabled {
                    @if draft || instance.rehearsed { a.btn.main href={ (root) "/setup/review" } { "Look and enable" } }
                    @else { (button(visit, &act, "Enable", &[("mode", "enabled")])) }
                }
                @if instance.mode == Mode::Enabled { (button(visit, &act, "Pause", &[("mode", "paused")])) }
                @if instance.mode != Mode::Rehearse && instance.mode != Mode::Enabled { (button(visit, &act, "Rehearse", &[("mode", "rehearse")])) }
                @if instance.mode != Mode::Disabled { a.btn.danger href={ (root) "/disable" } { "Disable" } }
            }
        }
        (parts::more("What the modes mean", &html! { dl.facts {
            @for mode in [Mode::Enabled, Mode::Rehearse, Mode::Paused, Mode::Disabled] { dt { (parts::state(mode.as_str())) } dd { (meaning(mode)) } }
        } }))
    }
}

fn checklist(visit: &Visit, instance: &Instance, standing: &Value, root: &str) -> Markup {
    let kind = instance.connector.as_ref().ok().map(|connector| connector.traits().kind);
    let probed = visit.app.last_probe(instance);
    let settled = &standing["settled"];
    let item = |done: bool, what: &str, how: &Markup| {
        html! { li { div.inline {
            @if done { (parts::tag(Tone::Good, "Done")) } @else { (parts::tag(Tone::Quiet, "To do")) }
            span { (what) @if !done && visit.may(Role::Admin) { " " (how) } }
        } } }
    };
    let enabled = instance.mode == Mode::Enabled;
    // What was brought there proves it, but for a check that found something since.
    let brought = settled["people"] == true || settled["groups"] == true;
    let works = probed.as_ref().map_or(brought && standing["degraded"].is_null(), |one| one.ok);
    let brake = instance.policy.brake.limits().is_some();
    html! { ul.list {
        (item(works, "The credential works", &html! { a href={ (root) "/setup/check" } { "Check it" } }))
        (item(enabled, "The instance is enabled", &html! { a href={ (root) "/setup/review" } { "Look and enable" } }))
        (item(int(&standing["keys"], "live") > 0, "The identity provider has a key", &html! { a href={ (root) "/connect" } { "Create one" } }))
        (item(!standing["keys"]["last_used_at"].is_null(), "The identity provider was heard of", &html! { a href={ (root) "/connect" } { "Set it up" } }))
        (item(settled["people"] == true, "A person was brought to the target", &html! {}))
        @if kind != Some(connector_sdk::Kind::User) { (item(settled["groups"] == true, "A group was brought to the target", &html! {})) }
        (item(brake, "The brake is on", &html! { a href={ (root) "/settings" } { "Switch it on" } }))
    } }
}

/// The name of a lane, for people.
pub(super) fn lane(word: &str) -> &'static str {
    match word {
        "deprovision" => "Deprovisions",
        "removal" => "Membership removals",
        "grant" => "Changes that people wait for",
        "bulk" => "Initial sync",
        _ => "Comparison",
    }
}

fn lanes(visit: &Visit, standing: &Value) -> Markup {
    let mut table = Table::new("What waits, by lane")
        .hush()
        .head("Lane")
        .number("Pending")
        .number("Held")
        .number("Needs somebody")
        .head("Oldest");
    for one in list(standing, "lanes") {
        table.row(html! { tr {
            th scope="row" { (lane(text(one, "lane"))) }
            td.num { (number(int(one, "pending"))) } td.num { (number(int(one, "held"))) } td.num { (number(int(one, "needs"))) }
            td { (parts::ago_or(visit.now, &one["since"], "nothing waits")) }
        } });
    }
    table.draw()
}

fn needs(visit: &Visit, standing: &Value) -> Markup {
    html! { ul.list { @for one in list(standing, "needs") { li { div.tight {
        strong { (count(int(one, "count"), "person or group", "people and groups")) ": " (name(text(one, "code"))) }
        p { (name(text(one, "message"))) }
        p.small.muted { "Since " (parts::ago_or(visit.now, &one["since"], "now")) }
    } } } } }
}

async fn set_mode(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = fresh(&visit, &id).await?;
    let Some(mode) = Mode::parse(sent.text("mode")) else {
        return Err(super::Trouble::form("The form names no mode. Nothing was changed."));
    };
    let change = InstanceChange { mode: Some(mode), ..InstanceChange::default() };
    let instance = visit.app.update_instance(&visit.actor(), &instance, change).await?;
    let words = format!("{} is now {}. {}", instance.name, word(mode), meaning(mode));
    Ok(visit.done(&format!("/console/instances/{}", instance.id), &words))
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Rehearse => "rehearsing",
        other => other.as_str(),
    }
}

/// An instance as it is now: another replica may have changed it a moment ago.
pub(super) async fn fresh(visit: &Visit, id: &str) -> Result<Arc<Instance>, super::Trouble> {
    let known = visit.instance(id).await?;
    visit.app.instances.invalidate(known.seq);
    visit.instance(id).await
}

async fn ask_disable(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Admin)?;
    let instance = visit.instance(&id).await?;
    let standing = visit.app.standing(&instance).await?;
    let root = format!("/console/instances/{}", instance.id);
    let form =
        Form::new(&visit, format!("{root}/mode"), "Disable").hidden("mode", "disabled").cancel(root.as_str()).danger();
    let body = confirm(form, &html! { p { (meaning(Mode::Disabled)) } p { (waits(&standing)) } }, None);
    Ok(Page::of(&instance, Tab::Overview, format!("Disable {}?", instance.name)).body(body))
}

fn waits(standing: &Value) -> Markup {
    let all: i64 =
        list(standing, "lanes").iter().map(|one| int(one, "pending") + int(one, "held") + int(one, "needs")).sum();
    let leaves =
        list(standing, "lanes").first().map_or(0, |one| int(one, "pending") + int(one, "held") + int(one, "needs"));
    html! {
        @if all == 0 { "Nothing waits here now." }
        @else { (count(all, "waiting change stays", "waiting changes stay")) " here, " (count(leaves, "of them is a deprovision", "of them are deprovisions")) "." }
    }
}

fn delete_page(visit: &Visit, instance: &Arc<Instance>, standing: &Value, errors: Errors) -> Page {
    let root = format!("/console/instances/{}", instance.id);
    let force = Field::check("force", "Delete it although people who left still have access")
        .hint("Only where the target is gone, or you remove them there yourself.");
    let form = Form::new(visit, format!("{root}/delete"), "Delete instance")
        .owners()
        .errors(errors)
        .cancel(root.as_str())
        .danger();
    let form = if standing["oldest_deprovision"].is_null() { form } else { form.field(force) };
    let body = html! {
        p { (many(&standing["people"], "person", "people")) " and " (many(&standing["groups"], "group", "groups")) " are forgotten here. Nothing changes at the target: who has access there keeps it." }
        p { "Its keys stop at once, its credential is erased, and the identity provider's stored ids stop working for ever. The record of what happened stays." }
        p { (waits(standing)) " What waits is withdrawn." }
    };
    Page::of(instance, Tab::Overview, format!("Delete {}?", instance.name)).body(confirm(
        form,
        &body,
        Some(spoken(instance)),
    ))
}

/// What is typed to delete an instance: its name, or its id where the name cannot be typed as it is seen.
fn spoken(instance: &Instance) -> &str {
    if plain(&instance.name) == instance.name { &instance.name } else { &instance.id }
}

async fn ask_delete(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Owner)?;
    let instance = visit.instance(&id).await?;
    let standing = visit.app.standing(&instance).await?;
    Ok(delete_page(&visit, &instance, &standing, Errors::default()))
}

async fn delete(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    visit.require(Role::Owner)?;
    let instance = fresh(&visit, &id).await?;
    let result = match typed(&sent, spoken(&instance)) {
        Err(errors) => Err(errors),
        Ok(()) => match visit.app.delete_instance(&visit.actor(), &instance, sent.ticked("force")).await {
            Ok(()) => Ok(()),
            Err(error) => Err(Errors::from(error)?),
        },
    };
    match result {
        Ok(()) => Ok(visit.done("/console/instances", &format!("{} was deleted.", instance.name))),
        Err(errors) => {
            let standing = visit.app.standing(&instance).await?;
            Ok(delete_page(&visit, &instance, &standing, errors).failed().into_response())
        }
    }
}
