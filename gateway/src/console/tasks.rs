//! Tasks: what people are asked to do by hand at targets without an API, and the word that it is done.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Path, Query};
use super::form::{Choice, Errors, Field, Form, Sent};
use super::layout::{Nav, Page, Tab};
use super::parts::{self, Table, Tone};
use super::text::{count, name, value};
use super::trouble::Trouble;
use super::visit::Visit;
use super::words::{filters, link, place, text, who};
use super::{Answer, Sending};
use crate::service::App;
use crate::service::desk::{Closing, KnownAccount, TaskFilter, TaskPlace};
use crate::service::members::Role;
use crate::service::types::Instance;

/// Tasks of a page.
const PAGE: i64 = 50;
const STATES: [(&str, &str); 4] =
    [("done", "Done"), ("refused", "Refused"), ("withdrawn", "Withdrawn"), ("all", "Any state")];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/tasks", get(all))
        .route("/tasks/{id}", get(show))
        .route(
            "/tasks/{id}/done",
            post(async |visit: Visit, Path(id): Path<String>, sent: Sent| close(visit, id, sent, true).await),
        )
        .route(
            "/tasks/{id}/refuse",
            post(async |visit: Visit, Path(id): Path<String>, sent: Sent| close(visit, id, sent, false).await),
        )
        .route("/instances/{id}/accounts", get(ask_enter).post(enter))
}

/// Whether people do what is asked of an instance's target.
pub(super) fn by_hand(instance: &Instance) -> bool {
    instance.connector.as_ref().is_ok_and(|connector| connector.traits().by_hand)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    state: String,
    instance: String,
    overdue: String,
    after: String,
}

/// Where a list goes on, as its address says it.
fn place_of(text: &str) -> Option<TaskPlace> {
    let mut numbers = text.split('.').map(str::parse::<i64>);
    match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(row)), None, None, None) => Some(TaskPlace::Before(row)),
        (Some(Ok(takes)), Some(Ok(due)), Some(Ok(row)), None) => {
            Some(TaskPlace::Due(i16::try_from(takes).ok()?, due, row))
        }
        _ => None,
    }
}

fn written(place: TaskPlace) -> String {
    match place {
        TaskPlace::Before(row) => row.to_string(),
        TaskPlace::Due(takes, due, row) => format!("{takes}.{due}.{row}"),
    }
}

async fn all(visit: Visit, Query(query): Query<Asked>) -> Answer {
    let instance = match query.instance.trim() {
        "" => None,
        id => Some(visit.instance(id).await?),
    };
    let overdue = !query.overdue.is_empty();
    let state = STATES.iter().map(|(word, _)| *word).find(|word| *word == query.state && !overdue).unwrap_or("");
    let filter = TaskFilter {
        state: match state {
            "" => Some("open".to_owned()),
            "all" => None,
            other => Some(other.to_owned()),
        },
        instance: instance.as_ref().map(|one| one.seq),
        overdue,
    };
    let (items, next) = visit.app.list_tasks(&filter, place_of(&query.after), PAGE).await?;
    let mut table =
        Table::new("Tasks").hush().head("Task").head("Application").head("State").head("Due").less("Who does it");
    for one in &items {
        table.row(html! { tr {
            th scope="row" { a href={ "/console/tasks/" (text(one, "id")) } { (name(text(one, "title"))) } }
            td { (parts::instance_link(text(&one["instance"], "id"), text(&one["instance"], "name"))) }
            td { (tags(one)) }
            td { (parts::ago_or(visit.now, &one["due_at"], "")) }
            td.rank2 { @match one["assignee"].as_str() { Some(who) => (name(who)), None => span.muted { "anybody" } } }
        } });
    }
    let of = instance.as_ref().map_or("", |one| one.id.as_str());
    let fields = [("state", state), ("instance", of), ("overdue", if overdue { "1" } else { "" })];
    let body = if table.is_empty() {
        let title = if overdue { "No task is overdue" } else { "No task is here" };
        let words = html! { "What an identity provider asks of an application without an API becomes a task here, for somebody to do by hand." };
        parts::empty(title, &words, &html! {})
    } else {
        let next = next.map(|place| {
            let after = written(place);
            let mut fields = fields.to_vec();
            fields.push(("after", after.as_str()));
            link("/console/tasks", &fields)
        });
        let first = (!query.after.is_empty()).then(|| link("/console/tasks", &fields));
        let shown = count(i64::try_from(items.len()).unwrap_or(0), "task here", "tasks here");
        html! { (table.draw()) (parts::pager(&shown, first.as_deref(), next.as_deref())) }
    };
    let mut states = vec![Choice::new("", "Open", "")];
    states.extend(STATES.iter().map(|(word, label)| Choice::new(word, label, "")));
    let controls = [
        Field::select("state", "State", states).value(state),
        Field::select("overdue", "Time", vec![Choice::new("", "Any", ""), Choice::new("1", "Overdue", "")])
            .value(if overdue { "1" } else { "" }),
        Field::text("instance", "Instance").hint("Its id").value(of),
    ];
    let narrowed = overdue || !state.is_empty() || instance.is_some();
    Ok(Page::new(Nav::Tasks, "Tasks")
        .lead(html! { "What people are asked to do by hand. What takes access away comes first, then by due date." })
        .body(html! { div.card { h2.hush { "The list" } (filters("/console/tasks", &controls, narrowed)) (body) } }))
}

/// How a task stands.
fn tags(task: &Value) -> Markup {
    html! {
        @match text(task, "state") {
            "open" if task["overdue"] == true => (parts::tag(Tone::Bad, "Overdue")),
            "open" => (parts::tag(Tone::Busy, "Open")),
            state => (parts::state(state)),
        }
        @if task["takes_access"] == true && text(task, "state") == "open" { " " (parts::tag(Tone::Warn, "Takes access away")) }
    }
}

async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    let task = visit.app.task(&id).await?;
    Ok(page(&visit, &task, None))
}

/// Whether what is made by a task has an id of its own in the application.
fn makes(task: &Value) -> bool {
    matches!(text(task, "act"), "create_account" | "create_group")
}

fn page(visit: &Visit, task: &Value, wrong: Option<(&Sent, Errors, bool)>) -> Page {
    let failed = wrong.is_some();
    let instance = &task["instance"];
    let of = text(instance, "id");
    let open = text(task, "state") == "open";
    let mut rows = vec![("Application", parts::instance_link(of, text(instance, "name")))];
    for (what, kind, one) in [("Person", "User", &task["person"]), ("Group", "Group", &task["group"])] {
        if one.is_object() {
            rows.push((what, html! { a href=(place(of, kind, text(one, "id"))) { (name(text(one, "name"))) } }));
        }
    }
    rows.push((
        "Who does it",
        html! { @match task["assignee"].as_str() { Some(who) => (name(who)), None => "anybody" } },
    ));
    rows.push(("Asked", parts::when_or(visit.now, &task["created_at"], "")));
    rows.push(("Due", parts::when_or(visit.now, &task["due_at"], "")));
    if let Some(account) = task["account_id"].as_str() {
        rows.push(("Its id there", html! { code { (name(account)) } }));
    }
    if let Some(operation) = task["operation"].as_str() {
        rows.push(("Asked for by", html! { a href={ "/console/operations/" (operation) } { "This operation" } }));
    }
    let page = Page::new(Nav::Tasks, text(task, "title")).crumb("Tasks", "/console/tasks").tags(tags(task)).body(html! {
        @if !open { (closed(visit, task)) }
        (parts::card("What to do", &html! {}, &html! { div.pad.stack {
            @for line in text(task, "detail").lines().filter(|line| !line.trim().is_empty()) { p { (value(line)) } }
            (parts::facts(&rows))
        } }))
        @if failed && !open {
            (parts::note(Tone::Bad, &html! { p { strong { "Nothing was changed by this." } " " @if let Some((_, errors, _)) = &wrong { (errors.first()) } } }))
        }
        @if open { (forms(visit, task, wrong)) }
    });
    if failed { page.failed() } else { page }
}

fn closed(visit: &Visit, task: &Value) -> Markup {
    let words = match text(task, "state") {
        "done" => "Done",
        "refused" => "Refused",
        _ => "Not wanted any more",
    };
    parts::note(
        Tone::Quiet,
        &html! {
            p { strong { (words) }
                @if task["closed_by"].is_string() { " by " (who(&serde_json::json!({"actor": task["closed_by"]}))) }
                ", " (parts::when_or(visit.now, &task["closed_at"], "")) "." }
            @if let Some(comment) = task["comment"].as_str() { p { "\u{201c}" (value(comment)) "\u{201d}" } }
            @if text(task, "state") == "withdrawn" { p { "If you have done it already, look at the tasks of this person or group: a later one may have taken its place." } }
        },
    )
}

fn forms(visit: &Visit, task: &Value, wrong: Option<(&Sent, Errors, bool)>) -> Markup {
    if !visit.may(Role::Admin) {
        return parts::note(Tone::Quiet, &html! { p { "You are a Viewer. An Admin here closes this task." } });
    }
    let root = format!("/console/tasks/{}", text(task, "id"));
    let sent = |field: &str| wrong.as_ref().map_or(String::new(), |(sent, ..)| sent.raw(field).to_owned());
    let errors = |done: bool| match &wrong {
        Some((_, errors, of)) if *of == done => errors.clone(),
        _ => Errors::default(),
    };
    let mut done = Form::new(visit, format!("{root}/done"), "It is done").errors(errors(true));
    if makes(task) {
        done = done.field(
            Field::text("account_id", "Its id in the application")
                .optional()
                .hint("Where it has one, such as a seat or user number; else one is made up here.")
                .value(sent("account_id")),
        );
    }
    let done = done
        .field(Field::area("done_comment", "Comment", 2).optional().hint("For the record").value(sent("done_comment")));
    let refuse = Form::new(visit, format!("{root}/refuse"), "Refuse it").plain().errors(errors(false)).field(
        Field::area("refuse_comment", "Why not", 2)
            .hint("For whoever asked. The change stays undone until it is retried or another comes.")
            .value(sent("refuse_comment")),
    );
    html! { div.cols {
        section.card aria-label="Done" { div.pad.stack {
            h2 { "Done" }
            p { "You did it in the application. What waits for it goes on at once." }
            (done.draw())
        } }
        section.card aria-label="Refuse" { div.pad.stack { h2 { "Refuse" } (refuse.draw()) } }
    } }
}

async fn close(visit: Visit, id: String, sent: Sent, done: bool) -> Sending {
    let field = if done { "done_comment" } else { "refuse_comment" };
    let closing = Closing { done, comment: sent.some(field), account_id: sent.some("account_id").filter(|_| done) };
    match visit.app.close_task(&visit.actor(), &id, closing).await {
        Ok(_) if done => Ok(visit.done("/console/tasks", "Noted as done. What waited for it goes on.")),
        Ok(_) => Ok(visit.done("/console/tasks", "Refused. Whoever asked is told why.")),
        Err(error) => {
            let errors =
                Errors::from(error)?.renamed(|name| if name == "comment" { field.to_owned() } else { name.to_owned() });
            let task = visit.app.task(&id).await?;
            Ok(page(&visit, &task, Some((&sent, errors, done))).into_response())
        }
    }
}

fn enter_page(visit: &Visit, instance: &Arc<Instance>, sent: Option<&Sent>, errors: Errors) -> Page {
    let root = format!("/console/instances/{}", instance.id);
    let form = Form::new(visit, format!("{root}/accounts"), "Enter these accounts")
        .errors(errors)
        .cancel(root.as_str())
        .field(
            Field::area("accounts", "Accounts, one a line", 12)
                .code()
                .hint("User name; id in the application; address; name. What is not known stays empty: ada@example.com; 17; ada@example.com; Ada Lovelace")
                .value(sent.map_or("", |sent| sent.raw("accounts"))),
        );
    Page::of(instance, Tab::Overview, "Accounts that are there already")
        .crumb(instance.name.as_str(), root)
        .lead(html! { "Nobody is asked to make an account that is on record. An import then shows what was entered." })
        .body(html! { (parts::card("Enter accounts", &html! {}, &html! { div.pad { (form.draw()) } })) })
}

/// The instance, if its accounts are entered by hand.
async fn desk(visit: &Visit, id: &str) -> Result<Arc<Instance>, Trouble> {
    visit.require(Role::Admin)?;
    let instance = visit.instance(id).await?;
    if by_hand(&instance) { Ok(instance) } else { Err(Trouble::not_found()) }
}

async fn ask_enter(visit: Visit, Path(id): Path<String>) -> Answer {
    let instance = desk(&visit, &id).await?;
    Ok(enter_page(&visit, &instance, None, Errors::default()))
}

async fn enter(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    let instance = desk(&visit, &id).await?;
    let accounts = sent.raw("accounts").lines().filter(|line| !line.trim().is_empty()).map(|line| {
        let mut parts = line.split(';').map(|part| Some(part.trim().to_owned()).filter(|part| !part.is_empty()));
        let mut next = || parts.next().flatten();
        KnownAccount {
            user_name: next().unwrap_or_default(),
            id: next(),
            email: next(),
            display_name: next(),
            active: true,
        }
    });
    match visit.app.enter_accounts(&visit.actor(), &instance, accounts.collect()).await {
        Ok(said) => {
            let entered = count(super::words::int(&said, "entered"), "account is", "accounts are");
            let known = count(super::words::int(&said, "known"), "was", "were");
            let note = format!("{entered} new on record; {known} there before. Import now to see them.");
            Ok(visit.done(&format!("/console/instances/{}", instance.id), &note))
        }
        Err(error) => {
            // The service counts accounts from 0; people count lines from 1.
            let mut errors = Errors::default();
            for (field, message) in Errors::from(error)?.into_inner() {
                let line = field.split('.').nth(1).and_then(|at| at.parse::<usize>().ok());
                let what = field.rsplit('.').next().unwrap_or_default().replace('_', " ");
                errors
                    .add("accounts", line.map_or(message.clone(), |at| format!("entry {}: {what} {message}", at + 1)));
            }
            Ok(enter_page(&visit, &instance, Some(&sent), errors).failed().into_response())
        }
    }
}
