//! Home: is anything wrong, and where.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::Query;
use super::layout::{Nav, Page};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number, span};
use super::visit::Visit;
use super::words::{link, place, turn_of};
use super::{Answer, chart};
use crate::service::App;
use crate::service::members::Role;
use crate::service::records::{Glance, Span};

/// Things that need somebody, on the first page, and on a page of their own.
const SHOWN: usize = 10;
const PAGE: usize = 50;
/// Instances on the first page; the list has all.
const INSTANCES: usize = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(home)).route("/attention", get(attention))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn int(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Spanned {
    /// The span of time of the chart.
    span: String,
}

impl Spanned {
    pub(super) fn span(&self) -> Span {
        Span::parse(&self.span).unwrap_or_default()
    }
}

async fn home(visit: Visit, Query(query): Query<Spanned>) -> Answer {
    let seen = visit.app.glance(&Glance { limit: INSTANCES, ..Glance::default() }).await?;
    let items = visit.app.attention().await?;
    let none = Vec::new();
    let instances = seen["instances"].as_array().unwrap_or(&none);
    let page = Page::new(Nav::Home, "Home");
    if instances.is_empty() {
        return Ok(page.body(first_run(&visit)));
    }
    let more = html! { @if items.len() > SHOWN { a href="/console/attention" { "See all " (items.len()) } } };
    let others = html! { @if seen["next"].is_string() { a href="/console/instances" { "See all " (number(int(&seen, "total"))) } } };
    let activity = visit.app.activity(None, query.span()).await?;
    Ok(page.live().body(html! {
        (parts::live("attention", true, &parts::card("Needs attention", &more, &needs(&visit, &items, 0, SHOWN, &seen))))
        (parts::live("oldest", false, &oldest(&seen["oldest_deprovision"])))
        (parts::live("instances", false, &parts::card("Instances", &others, &table(&visit, instances))))
        (parts::live("outcomes", false, &chart::outcomes(&activity, query.span(), "/console")))
    }))
}

/// Where the page begins: behind so many of what waits, as it is in order now.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Behind {
    after: usize,
}

async fn attention(visit: Visit, Query(behind): Query<Behind>) -> Answer {
    const HERE: &str = "/console/attention";
    let items = visit.app.attention().await?;
    // When the last change was applied is all that is asked of it.
    let seen = visit.app.glance(&Glance::default()).await?;
    let from = behind.after.min(items.len());
    let shown = (items.len() - from).min(PAGE);
    let next = (from + shown < items.len()).then(|| link(HERE, &[("after", &(from + shown).to_string())]));
    let first = (from > 0).then_some(HERE);
    let counted = count(i64::try_from(shown).unwrap_or(0), "thing here", "things here");
    Ok(Page::new(Nav::Home, "Needs attention")
        .crumb("Home", "/console")
        .lead(
            html! { "What waits for somebody, over all instances. People who left and still have access come first." },
        )
        .live()
        .body(html! {
            (parts::live("attention", true, &html! { div.card {
                (needs(&visit, &items, from, PAGE, &seen))
                @if first.is_some() || next.is_some() { (parts::pager(&counted, first, next.as_deref())) }
            } }))
        }))
}

/// What needs somebody: what, since when, whose turn it is, and where to go.
fn needs(visit: &Visit, items: &[Value], from: usize, most: usize, seen: &Value) -> Markup {
    if items.is_empty() {
        return html! { div.pad.inline {
            (parts::tag(Tone::Good, "All well"))
            span { "Nothing needs you."
                @if let Some(at) = parts::instant(&seen["last_applied_at"]) { " The last change was applied " (parts::ago(visit.now, at)) "." }
            }
        } };
    }
    html! { ul.list {
        @for item in items.iter().skip(from).take(most) {
            @let kind = text(item, "kind");
            @let leaving = item["deprovision"] == true;
            li { div.attend {
                div.tight {
                    div.inline {
                        (tag(kind, leaving))
                        strong { (headline(item)) }
                    }
                    @if !text(item, "message").is_empty() { p.why { (name(text(item, "message"))) } }
                    p.small.muted {
                        (parts::instance_link(text(&item["instance"], "id"), text(&item["instance"], "name")))
                        @if item["ends_at"].is_string() { " \u{b7} until " (parts::when_or(visit.now, &item["ends_at"], "now")) }
                        @else { " \u{b7} since " (parts::ago_or(visit.now, &item["since"], "now")) }
                        " \u{b7} " (turn(kind, item))
                    }
                }
                @if let Some(way) = way(item) { a.btn.small href=(way) { "Look" span.hush { " at it: " (headline(item)) } } }
            } }
        }
    } }
}

fn tag(kind: &str, leaving: bool) -> Markup {
    match kind {
        _ if leaving => parts::tag(Tone::Bad, "Still has access"),
        "credential" | "connector" => parts::tag(Tone::Bad, "Stopped"),
        "target" => parts::tag(Tone::Bad, "No answer"),
        "drift" => parts::tag(Tone::Drift, "Drifted"),
        "hold" => parts::tag(Tone::Warn, "Held"),
        "run" => parts::tag(Tone::Bad, "Failed"),
        "key" => parts::tag(Tone::Warn, "Ends soon"),
        "task" => parts::tag(Tone::Warn, "Overdue"),
        _ => parts::tag(Tone::Warn, "Needs somebody"),
    }
}

fn headline(item: &Value) -> Markup {
    let n = int(item, "count");
    let example = item["example"]["userName"].as_str().or(item["example"]["displayName"].as_str());
    match text(item, "kind") {
        "deprovision" if n == 1 => {
            html! { @match example { Some(who) => { (name(who)) " waits to lose access" }, None => "One person waits to lose access" } }
        }
        "deprovision" => html! { (count(n, "person waits", "people wait")) " to lose access" },
        "credential" => html! { "The credential is refused; " (count(n, "change waits", "changes wait")) },
        "connector" => html! { "The connector cannot be used" },
        "target" => html! { "The target does not answer" },
        "drift" if n == 1 => {
            html! { @match example { Some(who) => (name(who)), None => "Somebody" } " is gone from the target, which nobody here asked for" }
        }
        "drift" => {
            html! { (count(n, "person or group is", "people and groups are")) " gone from the target, which nobody here asked for" }
        }
        "hold" => html! { (count(n, "change is", "changes are")) " held by the brake" },
        "run" => html! { "The last " (match text(item, "code") { "import" => "import", _ => "comparison" }) " failed" },
        "key" => html! { "A key of the identity provider ends soon" },
        "task" => html! { (count(n, "task is", "tasks are")) " overdue" },
        _ if n == 1 => {
            html! { @match example { Some(who) => (name(who)), None => "One change" } " waits for a decision" }
        }
        _ => html! { (count(n, "change waits", "changes wait")) " for the same cause" },
    }
}

/// The page that says more: the one person's or group's, or the list of them.
fn way(item: &Value) -> Option<String> {
    let (instance, example) = (text(&item["instance"], "id"), &item["example"]);
    let list = if text(example, "kind") == "Group" { "groups" } else { "people" };
    let state = |word: &str| link(&format!("/console/instances/{instance}/{list}"), &[("state", word)]);
    match text(item, "kind") {
        "hold" => Some("/console/holds?state=open".to_owned()),
        "run" => Some(format!("/console/instances/{instance}/plan")),
        "drift" if int(item, "count") > 1 => {
            Some(link(&format!("/console/instances/{instance}/plan"), &[("class", "vanished")]))
        }
        "target" => Some(format!("/console/instances/{instance}/budget")),
        "task" => Some(link("/console/tasks", &[("instance", instance), ("overdue", "1")])),
        "credential" => Some(format!("/console/instances/{instance}/probe")),
        "connector" => Some(format!("/console/instances/{instance}/settings")),
        "key" => Some(format!("/console/instances/{instance}/keys")),
        _ if int(item, "count") == 1 && !text(example, "id").is_empty() => {
            Some(place(instance, text(example, "kind"), text(example, "id")))
        }
        "deprovision" => Some(state("leaving")),
        _ => Some(state("needs")),
    }
}

/// Whose turn it is.
fn turn(kind: &str, item: &Value) -> Markup {
    let (state, code) = (text(item, "state"), text(item, "code"));
    let who = match kind {
        "credential" => turn_of("needs", code).who,
        "connector" => turn_of("needs", "connector").who,
        "hold" => turn_of("held", "").who,
        "target" => turn_of("waiting", "unavailable").who,
        "drift" => "an Admin here",
        "task" => turn_of("waiting", "person").who,
        "key" => "an Admin here, then the identity provider's admin",
        "run" => "nobody, it runs again by itself; or an Admin here",
        _ => turn_of(state, code).who,
    };
    html! { "Turn of: " (who) }
}

/// The person who has waited longest to lose access: the first number of this product.
fn oldest(oldest: &Value) -> Markup {
    let limit = int(oldest, "late_after_seconds") / 60;
    html! {
        section.card { div.pad.inline {
            @if oldest.is_null() {
                div.tight {
                    h2 { "Oldest pending deprovision" }
                    p { (parts::tag(Tone::Good, "None")) " Nobody who left waits to lose access." }
                }
            } @else {
                div.tight {
                    h2 { "Oldest pending deprovision" }
                    p.big { (span(int(oldest, "seconds"))) }
                    p.muted {
                        (name(text(oldest, "name"))) " at "
                        (parts::instance_link(text(&oldest["instance"], "id"), text(&oldest["instance"], "name")))
                        ". The limit is " (limit) " min. "
                        @if oldest["late"] == true { (parts::tag(Tone::Bad, "Late")) } @else { (parts::tag(Tone::Busy, "In time")) }
                    }
                }
            }
        } }
    }
}

fn table(visit: &Visit, instances: &[Value]) -> Markup {
    let mut table = Table::new("Instances").hush();
    table = table.head("Name").head("State").less("Target").head("Identity provider last seen");
    table = table.number("Pending").number("Held").number("Needs somebody").number("Drift");
    for one in instances {
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
    table.draw()
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

/// What one sees first.
fn first_run(visit: &Visit) -> Markup {
    let base = visit.app.config.public_url_at(visit.app.config.listen);
    let wizard = Nav::ALL.contains(&Nav::Instances);
    html! {
        p.lead.narrow { "scimgate stands between an identity provider, which pushes people and groups by SCIM, and a target that has no SCIM. There is no instance yet: one instance is one target." }
        div.cols {
            section.card { div.pad.stack {
                h2 { "1. Create an instance" }
                p { "Choose a target, give its credential, look at what is there already. Nothing is changed at the target before you enable it." }
                @if visit.may(Role::Admin) && wizard {
                    p { a.btn.main href="/console/instances/new" { "Create an instance" } }
                } @else if visit.may(Role::Admin) {
                    (parts::code(&format!("scimgate instance create --url {base} --connector github --name \"GitHub acme\" --set org=acme --secret token=@gh.token"), "the command"))
                } @else {
                    p.muted { "You are a Viewer. Admins here create instances." }
                }
            } }
            section.card { div.pad.stack {
                h2 { "2. Or try the demonstration" }
                p { "A gateway with two simulated targets and a short story, on your own machine. It removes everything when it ends." }
                (parts::code("scimgate demo", "the command"))
            } }
            section.card { div.pad.stack {
                h2 { "3. Read how it works" }
                p { "A request of the identity provider is stored before it is answered, then carried out at the pace the target allows. Every change keeps the reason why: what was asked, how it was understood, what was sent, and what the target holds now." }
            } }
        }
    }
}
