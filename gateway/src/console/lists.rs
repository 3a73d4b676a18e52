//! People and groups: lists of one instance or of all, with filters in the address.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::Answer;
use super::extract::{Path, Query};
use super::form::{Choice, Field};
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, number};
use super::visit::Visit;
use super::words::{filters, int, link, place, status, text};
use crate::service::App;
use crate::service::records::Browse;
use crate::service::types::Instance;

/// Rows of a page.
const PAGE: i64 = 50;

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/people", get(async |visit: Visit, Query(query): Query<Asked>| all(visit, "User", query).await))
        .route("/groups", get(async |visit: Visit, Query(query): Query<Asked>| all(visit, "Group", query).await))
        .route(
            "/instances/{id}/people",
            get(async |visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>| {
                of(visit, "User", id, query).await
            }),
        )
        .route(
            "/instances/{id}/groups",
            get(async |visit: Visit, Path(id): Path<String>, Query(query): Query<Asked>| {
                of(visit, "Group", id, query).await
            }),
        )
}

/// What the address asks for. Words that are no filter's are taken for none.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) q: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) active: String,
    pub(super) before: Option<i64>,
}

impl Asked {
    /// Which people or groups that is.
    pub(super) fn which(&self, kind: &'static str) -> Browse {
        let word: String = self.q.trim().chars().filter(|c| *c != '\0').take(200).collect();
        Browse {
            kind,
            text: Some(word).filter(|word| !word.is_empty()),
            state: Browse::STATES.into_iter().find(|state| *state == self.state).map(str::to_owned),
            active: match self.active.as_str() {
                "yes" if kind != "Group" => Some(true),
                "no" if kind != "Group" => Some(false),
                _ => None,
            },
        }
    }
}

/// A filter as the fields of an address.
pub(super) fn fields(which: &Browse) -> [(&'static str, &str); 3] {
    [
        ("q", which.text.as_deref().unwrap_or_default()),
        ("state", which.state.as_deref().unwrap_or_default()),
        ("active", which.active.map_or("", |on| if on { "yes" } else { "no" })),
    ]
}

async fn all(visit: Visit, kind: &'static str, query: Asked) -> Answer {
    let (nav, title) = if kind == "Group" { (Nav::Groups, "Groups") } else { (Nav::People, "People") };
    let path = if kind == "Group" { "/console/groups" } else { "/console/people" };
    let lead = if kind == "Group" {
        "Groups that identity providers pushed, and those that targets have, over all instances. The newest come first."
    } else {
        "Everybody that identity providers pushed, and everybody that targets have, over all instances. The newest come first."
    };
    let page = Page::new(nav, title).lead(html! { (lead) });
    draw(&visit, page, None, kind, path, &query).await
}

async fn of(visit: Visit, kind: &'static str, id: String, query: Asked) -> Answer {
    let instance = visit.instance(&id).await?;
    let (tab, title, list) =
        if kind == "Group" { (Tab::Groups, "Groups", "groups") } else { (Tab::People, "People", "people") };
    let page = Page::of(&instance, tab, title);
    draw(&visit, page, Some(&instance), kind, &format!("/console/instances/{}/{list}", instance.id), &query).await
}

async fn draw(
    visit: &Visit,
    page: Page,
    instance: Option<&Arc<Instance>>,
    kind: &'static str,
    path: &str,
    query: &Asked,
) -> Answer {
    let group = kind == "Group";
    let which = query.which(kind);
    let slice = visit.app.browse(instance.map(Arc::as_ref), &which, query.before.unwrap_or(i64::MAX), PAGE).await?;
    let narrowed = which.text.is_some() || which.state.is_some() || which.active.is_some();
    let fields = fields(&which);
    let body = if slice.items.is_empty() {
        nothing(visit, group, narrowed, path)
    } else {
        let mut table = heads(group, instance.is_none());
        for one in &slice.items {
            table.row(row(visit, one, group, instance.is_none()));
        }
        let next = slice.next.map(|row| {
            let row = row.to_string();
            link(path, &[fields[0], fields[1], fields[2], ("before", row.as_str())])
        });
        let shown = i64::try_from(slice.items.len()).unwrap_or(0);
        let shown =
            if group { count(shown, "group here", "groups here") } else { count(shown, "person here", "people here") };
        let first = query.before.map(|_| link(path, &fields));
        html! { (table.draw()) (parts::pager(&shown, first.as_deref(), next.as_deref())) }
    };
    let filter = filters(path, &controls(group, fields[0].1, fields[1].1, which.active), narrowed);
    let retry = html! { @if !slice.items.is_empty() { (super::retry::offer(visit, &which, path)) } };
    Ok(page.actions(retry).body(html! { div.card { h2.hush { "The list" } (filter) (body) } }))
}

fn controls(group: bool, word: &str, state: &str, active: Option<bool>) -> Vec<Field> {
    let mut states = vec![Choice::new("", "Any state", "")];
    for (value, label) in [
        ("leaving", "Waits to lose access"),
        ("pending", "Pending"),
        ("held", "Held by the brake"),
        ("needs", "Needs somebody"),
        ("settled", "In sync"),
        ("parked", "With parked memberships"),
        ("drifted", "Drifted"),
        ("waived", "Kept by decision"),
        ("unlinked", "Without an account"),
        ("unmanaged", "Not managed"),
        ("protected", "Protected at the target"),
    ] {
        states.push(Choice::new(value, label, ""));
    }
    let label = if group { "Name begins with" } else { "User name begins with" };
    let mut fields = vec![Field::text("q", label).value(word), Field::select("state", "State", states).value(state)];
    if !group {
        let choices = vec![Choice::new("", "Both", ""), Choice::new("yes", "Yes", ""), Choice::new("no", "No", "")];
        let value = active.map_or("", |on| if on { "yes" } else { "no" });
        fields.push(Field::select("active", "Shall have access", choices).value(value));
    }
    fields
}

fn heads(group: bool, all: bool) -> Table {
    let mut table = Table::new(if group { "Groups" } else { "People" }).hush().head("Name");
    if !group {
        table = table.less("User name").head("Shall have access");
    }
    table = table.head("At the target").head("State");
    table = if group { table.number("Members") } else { table.number("Groups") };
    table = table.less("Last change");
    if all { table.head("Instance") } else { table }
}

fn row(visit: &Visit, one: &Value, group: bool, all: bool) -> Markup {
    let instance = &one["instance"];
    let href = place(text(instance, "id"), text(one, "kind"), text(one, "id"));
    let shown = one["called"].as_str().filter(|_| !group).unwrap_or(text(one, "name"));
    let counted = &one["memberships"];
    html! { tr {
        th scope="row" { a href=(href) { (name(shown)) } }
        @if !group {
            td.rank2 { (name(text(one, "name"))) }
            td { @if one["deleted"] == true { "No, removed" } @else if one["managed"] == false { span.muted { "Nobody asked" } } @else if one["active"] == true { "Yes" } @else { "No" } }
        }
        td { (account(one, group)) }
        td { (sync(one)) }
        td.num {
            (number(int(counted, "wanted")))
            @if int(counted, "parked") > 0 { " " span.muted.small.nowrap { "(" (number(int(counted, "parked"))) " parked)" } }
        }
        td.rank2 { (parts::ago_or(visit.now, &one["modified_at"], "")) }
        @if all { td { (parts::instance_link(text(instance, "id"), text(instance, "name"))) } }
    } }
}

/// What the target has.
pub(super) fn account(one: &Value, group: bool) -> Markup {
    match (status(text(&one["link"], "status")), group) {
        ("active", true) => parts::tag(Tone::Good, "There"),
        ("no account" | "gone", true) => parts::tag(Tone::Quiet, "Not there"),
        ("no account", _) => parts::tag(Tone::Quiet, "No account"),
        (word, _) => parts::state(word),
    }
}

/// How the work stands, with the reason as a word.
pub(super) fn sync(one: &Value) -> Markup {
    html! {
        (parts::state(text(one, "sync")))
        @if one["protected"] == true { " " (parts::tag(Tone::Quiet, "Protected")) }
    }
}

fn nothing(visit: &Visit, group: bool, narrowed: bool, path: &str) -> Markup {
    let what = if group { "groups" } else { "people" };
    if narrowed {
        return parts::empty(
            &format!("No {what} match"),
            &html! { "None has this state and a name that begins so. Search looks at addresses, logins and ids too." },
            &html! { a.btn href=(path) { "Clear filters" } },
        );
    }
    let _ = visit;
    parts::empty(
        &format!("No {what} yet"),
        &html! { "They appear here when an identity provider pushes them, or after an import of what the target has." },
        &html! {},
    )
}
