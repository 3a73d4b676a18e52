//! Members: who may sign in, and what they may do. Everybody reads names and roles; only Owners change them.

use std::sync::Arc;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::Value;

use super::extract::{Path, Query};
use super::form::{Choice, Errors, Field, Form, Sent, confirm};
use super::layout::{Nav, Page};
use super::parts::{self, Table, Tone};
use super::text::{count, name, plain};
use super::visit::Visit;
use super::{Answer, Sending};
use crate::service::App;
use crate::service::members::{NewMember, Role};
use crate::service::records::AdminError;

const HERE: &str = "/console/settings/members";
/// Members of a page.
const PAGE: i64 = 50;
/// How long a token may live, as it is offered: the value in days, and its words.
const LIVES: [(&str, &str); 5] =
    [("90", "90 days"), ("30", "30 days"), ("7", "7 days"), ("365", "A year"), ("", "Until it is removed")];

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/settings/members", get(list).post(create))
        .route("/settings/members/new", get(new))
        .route("/settings/members/{id}", get(show).post(change))
        .route("/settings/members/{id}/remove", get(ask).post(remove))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn role(member: &Value) -> Role {
    Role::parse(text(member, "role")).unwrap_or(Role::Viewer)
}

fn page(title: &str) -> Page {
    Page::new(Nav::Settings, title).crumb("Settings", "/console/settings")
}

/// Where a list begins.
#[derive(Debug, Default, Deserialize)]
struct From {
    before: Option<i64>,
}

async fn list(visit: Visit, Query(from): Query<From>) -> Answer {
    let slice = visit.app.list_members(from.before.unwrap_or(i64::MAX), PAGE).await?;
    let mut table =
        Table::new("Members").hush().head("Name").head("Role").head("Signs in").head("Last used").head("Ends");
    if from.before.is_none() {
        table.row(html! { tr {
            th scope="row" { "admin" " " span.muted.small { "the token that the gateway was started with" } }
            td { (Role::Owner.title()) }
            td { "by token" }
            td { span.muted { "not recorded" } }
            td { span.muted { "never" } }
        } });
    }
    for member in &slice.items {
        table.row(html! { tr {
            th scope="row" { a href={ (HERE) "/" (text(member, "id")) } { (name(text(member, "name"))) } }
            td { (role(member).title()) @if member["active"] == false { " " (parts::tag(Tone::Quiet, "Ended")) } }
            td { (signs_in(&visit, member)) }
            td { (parts::ago_or(visit.now, &member["last_used_at"], "never")) }
            td { (parts::when_or(visit.now, &member["expires_at"], "never")) }
        } });
    }
    let shown = i64::try_from(slice.items.len()).unwrap_or(0) + i64::from(from.before.is_none());
    let next = slice.next.map(|row| format!("{HERE}?before={row}"));
    let add = html! { @if visit.may(Role::Owner) { a.btn.main href={ (HERE) "/new" } { "Add a member" } } };
    Ok(page("Members").actions(add).lead(html! { "People and programs that may use this console and the admin API." }).body(html! {
        @if !visit.may(Role::Owner) { p.muted { "You are " (article(visit.who.role)) ". Owners add and remove members." } }
        div.card {
            (table.draw())
            (parts::pager(&count(shown, "member here", "members here"), from.before.map(|_| HERE), next.as_deref()))
        }
        (roles())
    }))
}

/// How a member signs in.
fn signs_in(visit: &Visit, member: &Value) -> Markup {
    let provider = visit.app.oidc.as_ref();
    let email = html! { @if let Some(email) = member["email"].as_str() { ", as " (name(email)) } };
    if member["signs_in_by"] != "provider" {
        return html! { "by token" };
    }
    if member["active"] == true && !member["invited_until"].is_null() {
        return html! { (parts::tag(Tone::Busy, "Invited")) (email) };
    }
    match (provider, member["issuer"].as_str()) {
        (Some(provider), Some(issuer)) if provider.issuer() == issuer => {
            html! { "through " (name(provider.name())) (email) }
        }
        (_, Some(issuer)) => html! { span.muted { "through " (name(issuer)) ", which is not set up any more" } },
        (_, None) => html! { span.muted { "was invited" (email) } },
    }
}

fn article(role: Role) -> String {
    match role {
        Role::Viewer => "a Viewer".to_owned(),
        other => format!("an {}", other.title()),
    }
}

fn roles() -> Markup {
    let all: Vec<(&str, Markup)> = Role::ALL.iter().map(|role| (role.title(), html! { (role.meaning()) })).collect();
    parts::card("Roles", &html! {}, &html! { div.pad { (parts::facts(&all)) } })
}

fn role_field(chosen: &str) -> Field {
    let all = Role::ALL.iter().map(|role| Choice::new(role.as_str(), role.title(), role.meaning())).collect();
    Field::radio("role", "Role", all).value(chosen)
}

async fn new(visit: Visit) -> Answer {
    visit.require(Role::Owner)?;
    Ok(add_page(&visit, &Sent::default(), Errors::default()))
}

fn add_page(visit: &Visit, sent: &Sent, errors: Errors) -> Page {
    let lives = LIVES.iter().map(|(days, words)| Choice::new(days, words, "")).collect();
    let (chosen, life) = match sent.text("role") {
        "" => ("viewer", "90"),
        role => (role, sent.text("lives")),
    };
    let name =
        "A person or a program: the audit shows it. For example \u{201c}Ada\u{201d} or \u{201c}terraform\u{201d}.";
    let named = Field::text("name", "Name").hint(name).value(sent.text("name"));
    let role = role_field(chosen);
    let lives = |label| Field::select("lives", label, lives).value(life);
    let form = match &visit.app.oidc {
        None => Form::new(visit, HERE, "Make the token")
            .owners()
            .field(named)
            .field(role)
            .field(lives("The token ends after")),
        Some(oidc) => {
            let through = format!("Through {}, by an address", plain(oidc.name()));
            let ways = vec![
                Choice::new(
                    "provider",
                    &through,
                    "For people. The first who comes with that address, verified, within 14 days is the member.",
                ),
                Choice::new(
                    "token",
                    "By a token",
                    "For programs, and for people without an account there. It is shown once.",
                ),
            ];
            let by = if sent.text("by") == "token" { "token" } else { "provider" };
            let email = Field::text("email", "Address")
                .hint("Only for a person who signs in through the provider.")
                .value(sent.text("email"));
            Form::new(visit, HERE, "Add the member")
                .owners()
                .field(named)
                .field(role)
                .field(Field::radio("by", "How they sign in", ways).value(by))
                .field(email.optional())
                .field(lives("Access ends after"))
        }
    };
    let form = form.cancel(HERE).errors(errors);
    page("Add a member").crumb("Members", HERE).body(html! { div.card.narrow { div.pad { (form.draw()) } } })
}

async fn create(visit: Visit, sent: Sent) -> Sending {
    visit.require(Role::Owner)?;
    let refused = |errors: Errors| Ok(add_page(&visit, &sent, errors).failed().into_response());
    let mut errors = Errors::default();
    let Some(role) = Role::parse(sent.text("role")) else {
        errors.add("role", "choose one");
        return refused(errors);
    };
    let expires_at = match sent.text("lives") {
        "" => None,
        days => match days.parse().ok().and_then(|days| end(visit.now, days)) {
            Some(end) => Some(end.as_microsecond()),
            None => {
                errors.add("lives", "choose one of the list");
                return refused(errors);
            }
        },
    };
    let email = (sent.text("by") == "provider").then(|| sent.text("email").to_owned());
    let new = NewMember { name: sent.text("name").to_owned(), role, expires_at, email };
    match visit.app.create_member(&visit.actor(), new).await {
        Ok(member) if member["signs_in_by"] == "provider" => {
            let to = format!("{HERE}/{}", text(&member, "id"));
            let link = format!("{}/console", visit.app.config.public_url_at(visit.app.config.listen));
            let note = format!("{} is invited. Send them this address: {link}", text(&member, "name"));
            Ok(visit.done(&to, &note))
        }
        Ok(member) => {
            let file = format!("scimgate-token-{}.txt", text(&member, "id"));
            let body = html! {
                (parts::secret_once("The token", &file, text(&member, "token"), &html! {
                    p { "For the console: give it to " (name(text(&member, "name"))) ", who signs in with it. For programs: as " code { "SCIMGATE_ADMIN_TOKEN" } "." }
                    p { a.btn href=(HERE) { "I have stored it" } }
                }))
            };
            let title = format!("{} is {} now", text(&member, "name"), article(role));
            Ok(page(&title).crumb("Members", HERE).body(body).into_response())
        }
        Err(error) => refused(Errors::from(error)?),
    }
}

fn end(now: Timestamp, days: i64) -> Option<Timestamp> {
    let hours = days.checked_mul(24).filter(|hours| (24..=24 * 3_650).contains(hours))?;
    now.checked_add(SignedDuration::from_hours(hours)).ok()
}

async fn show(visit: Visit, Path(id): Path<String>) -> Answer {
    let member = visit.app.show_member(&id).await?;
    Ok(member_page(&visit, &member, Errors::default()))
}

fn member_page(visit: &Visit, member: &Value, errors: Errors) -> Page {
    let (id, by_claim) = (text(member, "id"), member["role_by_claim"] == true);
    let change = Form::new(visit, format!("{HERE}/{id}"), "Change the role")
        .owners()
        .field(role_field(text(member, "role")).hint("Sessions of this member end, and begin anew with the new role."))
        .errors(errors);
    page(text(member, "name")).crumb("Members", HERE).body(html! {
        (parts::card("Member", &html! {}, &html! { div.pad { (parts::facts(&[
            ("Role", html! { (role(member).title()) ". " (role(member).meaning()) }),
            ("Signs in", html! {
                (signs_in(visit, member))
                @if !member["invited_until"].is_null() { ". The invitation ends " (parts::when_or(visit.now, &member["invited_until"], "")) }
                @if by_claim { ". The role follows from what the provider says of them" }
            }),
            ("Id", parts::id(id)),
            ("Made", html! { (parts::when_or(visit.now, &member["created_at"], "")) ", by " (name(text(member, "created_by"))) }),
            ("Last used", parts::when_or(visit.now, &member["last_used_at"], "never")),
            ("Ends", parts::when_or(visit.now, &member["expires_at"], "never")),
        ])) } }))
        @if visit.may(Role::Owner) {
            @if !by_claim { (parts::card("Role", &html! {}, &html! { div.pad { (change.draw()) } })) }
            p { a.btn.danger href={ (HERE) "/" (id) "/remove" } { "Remove this member\u{2026}" } }
        }
    })
}

async fn change(visit: Visit, Path(id): Path<String>, sent: Sent) -> Sending {
    visit.require(Role::Owner)?;
    let Some(role) = Role::parse(sent.text("role")) else {
        let mut errors = Errors::default();
        errors.add("role", "choose one");
        let member = visit.app.show_member(&id).await?;
        return Ok(member_page(&visit, &member, errors).failed().into_response());
    };
    let member = visit.app.change_member(&visit.actor(), &id, role).await?;
    Ok(visit.done(&format!("{HERE}/{id}"), &format!("{} is {} now.", text(&member, "name"), article(role))))
}

async fn ask(visit: Visit, Path(id): Path<String>) -> Answer {
    visit.require(Role::Owner)?;
    let member = visit.app.show_member(&id).await?;
    let who = text(&member, "name");
    let form = Form::new(&visit, format!("{HERE}/{id}/remove"), "Remove the member")
        .owners()
        .danger()
        .cancel(format!("{HERE}/{id}"));
    let consequence = html! {
        p { (name(who)) " can no longer sign in, and sessions that are open end now." }
        @if member["signs_in_by"] == "provider" {
            p { "What they did stays in the audit. They come back only if an Owner invites their address anew." }
        } @else {
            p { "A program that uses the token is answered 401 from its next request. What was done with it stays in the audit." }
        }
    };
    Ok(page(&format!("Remove {who}?")).crumb("Members", HERE).body(confirm(form, &consequence, None)))
}

async fn remove(visit: Visit, Path(id): Path<String>) -> Sending {
    visit.require(Role::Owner)?;
    let member = visit.app.show_member(&id).await?;
    match visit.app.remove_member(&visit.actor(), &id).await {
        Ok(()) => Ok(visit.done(HERE, &format!("{} is removed.", text(&member, "name")))),
        Err(AdminError::NotFound(_)) => Ok(visit.done(HERE, "The member was removed already.")),
        Err(error) => Err(error.into()),
    }
}
