//! Settings of the gateway as a person sees it: theme, members, what was done.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use maud::html;

use super::Answer;
use super::layout::{Nav, Page, theme_choice};
use super::parts::{self, facts};
use super::text::{name, span};
use super::visit::Visit;
use crate::service::App;
use crate::service::sessions::{IDLE, LONGEST};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/settings", get(settings))
}

async fn settings(visit: Visit) -> Answer {
    let config = &visit.app.config;
    let days = |time: std::time::Duration| format!("{} days", time.as_secs() / 86_400);
    let seconds = |time: std::time::Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let kept = &config.retention;
    Ok(Page::new(Nav::Settings, "Settings").body(html! {
        div.cols {
            section.card { div.pad.tight { h2 { a href="/console/settings/members" { "Members" } } p.muted { "Who may sign in, and what they may do." } } }
            section.card { div.pad.tight { h2 { a href="/console/settings/alerts" { "Alerts" } } p.muted { "Which programs are told when something should not wait." } } }
            section.card { div.pad.tight { h2 { a href="/console/audit" { "Audit" } } p.muted { "Who did what here, and when." } } }
        }
        (parts::card("You", &html! {}, &html! { div.pad { (facts(&[
            ("Name", name(&visit.who.name)),
            ("Role", html! { (visit.who.role.title()) ". " (visit.who.role.meaning()) }),
            ("Theme", theme_choice(&visit)),
            ("Session", html! { "Ends after " (span(seconds(IDLE))) " without use, and after " (span(seconds(LONGEST))) " at the latest." }),
        ])) } }))
        (parts::card("This gateway", &html! {}, &html! { div.pad { (facts(&[
            ("Version", html! { (env!("CARGO_PKG_VERSION")) }),
            ("Public URL", html! { code { (config.public_url_at(config.listen)) } }),
            ("Database", html! { (if config.database.embedded() { "embedded (SQLite)" } else { "PostgreSQL" }) }),
            ("Sign-in", html! {
                @match &config.oidc {
                    None => "by token",
                    Some(oidc) => {
                        "through " (name(&oidc.name)) ", " code { (oidc.issuer) } ", and by token"
                        @if let Some(roles) = &oidc.roles { ". Roles follow from the claim " code { (roles.claim) } }
                    }
                }
            }),
            ("Private targets", html! { (if config.allow_private_targets { "allowed, and plain http" } else { "refused" }) }),
        ])) } }))
        (parts::card("How long what is kept", &html! {}, &html! { div.pad { (facts(&[
            ("Operations", html! { (days(kept.operations)) }),
            ("Calls at targets", html! { (days(kept.attempts)) }),
            ("Deleted people and groups", html! { (days(kept.tombstones)) }),
            ("Refused requests", html! { (days(kept.rejected)) }),
            ("Imports and comparisons", html! { (days(kept.runs)) }),
            ("What members did", html! { (days(kept.audit)) }),
        ])) } }))
    }))
}
