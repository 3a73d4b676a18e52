//! What was done and why: an operation in five stages, Asked, Understood, Decided, Did, Checked, in words that a helpdesk
//! reads.

use jiff::Timestamp;
use maud::{Markup, html};
use scim::quirks::Quirk;
use serde_json::Value;

use super::compared::words;
use super::form::button;
use super::parts::{self, facts};
use super::text::{count, name, passage, value};
use super::visit::Visit;
use super::words::{asked, attempt, duration, explained, int, list, outcome, place, source, step, text, who};
use crate::service::members::Role;

/// Calls of one attempt that are shown.
const CALLS: usize = 20;
/// Attempts of one operation that are shown.
const ATTEMPTS: usize = 40;
/// Changes that are shown.
const CHANGES: usize = 30;

/// How operations are told on a page.
#[derive(Clone, Copy, Default)]
pub(super) struct Told<'a> {
    /// Only what concerns this person's membership, by SCIM id, where the operation is a group's.
    pub(super) about: Option<&'a str>,
    /// Nothing after this time.
    pub(super) until: Option<Timestamp>,
    /// The stages are open.
    pub(super) open: bool,
    /// The headline alone: the stages stand on the operation's own page.
    pub(super) brief: bool,
}

impl Told<'_> {
    fn tells(&self, attempt: &Value) -> bool {
        let early = self.until.is_none_or(|until| parts::instant(&attempt["started_at"]).is_none_or(|at| at <= until));
        let of = self.about.is_none_or(|id| attempt["member"].is_null() || text(&attempt["member"], "id") == id);
        early && of
    }
}

/// The headline: who asked for what, and how it ended.
pub(super) fn headline(operation: &Value) -> Markup {
    let resource = &operation["resource"];
    html! {
        (who(operation)) " asked to " (asked(operation)) " "
        @if resource.is_null() { "somebody whose record was removed" } @else { (name(text(resource, "name"))) }
        ". " (outcome(operation))
    }
}

/// One operation of a timeline.
pub(super) fn card(visit: &Visit, operation: &Value, told: Told<'_>) -> Markup {
    let id = text(operation, "id");
    html! {
        li id=(id) { div.stack {
            div.attend {
                div.tight {
                    strong { (headline(operation)) }
                    p.small.muted {
                        (parts::when_or(visit.now, &operation["at"], ""))
                        " \u{b7} " a href={ "/console/operations/" (id) } { @if told.brief { "Its stages" } @else { "Link to this" } }
                    }
                }
                div { (tag(operation)) }
            }
            @if !told.brief {
                details.more open[told.open] {
                    summary { "Asked, understood, decided, did, checked" }
                    (stages(visit, operation, told))
                }
                (acts(visit, operation))
            }
        } }
    }
}

/// The state of an operation, as a tag.
pub(super) fn tag(operation: &Value) -> Markup {
    match (text(operation, "state"), operation["decision"]["work"]["state"].as_str()) {
        ("open", Some(state @ ("held" | "needs" | "waiting" | "running"))) => parts::state(state),
        (state, _) => parts::state(state),
    }
}

/// What may be done about an operation that is open.
pub(super) fn acts(visit: &Visit, operation: &Value) -> Markup {
    let id = text(operation, "id");
    let work = &operation["decision"]["work"];
    let state = text(work, "state");
    if text(operation, "state") != "open" || !visit.may(Role::Admin) {
        return html! {};
    }
    let doubt = list(operation, "attempts").iter().any(|attempt| text(attempt, "state") == "unknown");
    let back = [("back", visit.here.as_str())];
    html! {
        div.buttons {
            @if !matches!(state, "" | "held" | "running") { (button(visit, &format!("/console/operations/{id}/retry"), "Retry now", &back)) }
            @if state == "needs" { a.btn href={ "/console/operations/" (id) "/dismiss" } { "Dismiss\u{2026}" } }
            @if doubt {
                @for (answer, label) in [("happened", "It happened"), ("did_not", "It did not happen"), ("look_again", "Look again")] {
                    (button(visit, &format!("/console/operations/{id}/outcome"), label, &[("answer", answer), back[0]]))
                }
            }
        }
    }
}

/// The five stages.
pub(super) fn stages(visit: &Visit, operation: &Value, told: Told<'_>) -> Markup {
    facts(&[
        ("Asked", stage_asked(visit, operation)),
        ("Understood", understood(operation)),
        ("Decided", decided(visit, operation)),
        ("Did", did(visit, operation, told)),
        ("Checked", checked(visit, operation, told)),
    ])
}

fn stage_asked(visit: &Visit, operation: &Value) -> Markup {
    html! { div.tight {
        p { "By " (who(operation)) ", " (parts::when_or(visit.now, &operation["at"], "")) "." }
        p.small.muted {
            "As a " (source(text(operation, "source")))
            @if let Some(request) = operation["request_id"].as_str() { " \u{b7} request " (parts::id(request)) }
            " \u{b7} operation " (parts::id(text(operation, "id")))
        }
        @if let Some(cause) = operation["cause"].as_str() {
            p { "It defends what an earlier operation asked for: " a href={ "/console/operations/" (cause) } { "look at it" } "." }
        }
    } }
}

fn understood(operation: &Value) -> Markup {
    let changes = list(operation, "changes");
    let quirks = list(operation, "quirks");
    let verb = text(operation, "verb");
    html! { div.tight {
        @if changes.is_empty() {
            p { @match verb {
                "create" => "A new record, without further attributes.",
                "delete" => "The record shall be removed.",
                "adopt" => "What is at the target already is taken over.",
                _ => "Nothing that was not so already.",
            } }
        } @else {
            ul.tight {
                @for change in changes.iter().take(CHANGES) { li { (changed(change)) } }
                @if changes.len() > CHANGES { li.muted { "and " (changes.len() - CHANGES) " more" } }
            }
        }
        @if let Some(dialect) = operation["dialect"].as_str().filter(|dialect| *dialect != "auto") {
            p.small.muted { "Read as " (name(dialect)) @if operation["dialect_by"] == "requests" { ", recognised by its requests" } "." }
        }
        @for quirk in quirks.iter().filter_map(Value::as_str) {
            p.small { "Read kindly: " @match meaning(quirk) { Some(meaning) => (meaning), None => (name(quirk)) } " " code { (name(quirk)) } }
        }
    } }
}

/// What a leniency did.
fn meaning(quirk: &str) -> Option<&'static str> {
    Quirk::ALL.iter().map(|one| one.unit()).find(|unit| unit.name == quirk).map(|unit| unit.meaning)
}

fn changed(change: &Value) -> Markup {
    let path = text(change, "path");
    if let Some(words) = change["repair"].as_str() {
        let names: Vec<&str> = list(change, "names").iter().filter_map(Value::as_str).collect();
        return html! { (name(path)) ": " (name(words)) @if !names.is_empty() { ": " (value(&names.join(", "))) } };
    }
    if path == "members" {
        let (add, edited, out) = (int(change, "add"), int(change, "changed"), int(change, "count"));
        return html! {
            @if add > 0 { (count(add, "member", "members")) " from the beginning" }
            @else if edited > 0 { (count(edited, "membership changes", "memberships change")) }
            @else if out > 0 { (count(out, "member was", "members were")) " left out, because nobody has such an id" }
            @else { "members" }
        };
    }
    match change.get("to") {
        None | Some(Value::Null) => html! { code { (name(path)) } " is taken away" },
        Some(Value::String(to)) => html! { code { (name(path)) } " becomes " ins { (passage(to)) } },
        Some(Value::Bool(to)) => html! { code { (name(path)) } " becomes " ins { (if *to { "yes" } else { "no" }) } },
        Some(other) => html! { code { (name(path)) } " becomes " ins { (passage(&words(other))) } },
    }
}

fn decided(visit: &Visit, operation: &Value) -> Markup {
    let decision = &operation["decision"];
    let steps: Vec<&str> = list(decision, "steps").iter().filter_map(Value::as_str).collect();
    let state = text(operation, "state");
    html! { div.tight {
        @if !steps.is_empty() {
            p { "Steps at the target: " @for (n, word) in steps.iter().enumerate() { @if n > 0 { ", " } (name(step(word))) } "." }
        } @else if state == "applied" {
            p { "Nothing had to be sent: the target was so already, or other changes brought it there." }
        } @else if state == "open" {
            p { "Nothing is sent yet." }
        }
        @if let Some(later) = decision["superseded_by"].as_str() {
            p { "A later change took its place: " a href={ "/console/operations/" (later) } { "look at it" } "." }
        }
        @if int(operation, "parked") > 0 {
            p { (count(int(operation, "parked"), "membership waits", "memberships wait")) " until the person has an account there." }
        }
        @if let Some(reason) = operation["reason"].as_str().filter(|reason| !reason.is_empty()) { p { (value(reason)) } }
        (explained(visit, &decision["work"]))
    } }
}

fn did(visit: &Visit, operation: &Value, told: Told<'_>) -> Markup {
    let all = list(operation, "attempts");
    let attempts: Vec<&Value> = all.iter().filter(|one| told.tells(one)).collect();
    if attempts.is_empty() {
        let kept = visit.app.config.retention.attempts;
        let old = parts::instant(&operation["at"]).is_some_and(|at| {
            visit.now.duration_since(at).as_secs() > i64::try_from(kept.as_secs()).unwrap_or(i64::MAX)
        });
        return html! {
            @if old { "Details of calls are removed after " (kept.as_secs() / 86_400) " days." }
            @else if all.is_empty() { "Nothing was sent for this." }
            @else { "Nothing of it is about this." }
        };
    }
    html! { ul.stack {
        @for one in attempts.iter().take(ATTEMPTS) { li { (attempted(visit, one)) } }
        @if attempts.len() > ATTEMPTS { li.muted { "and " (attempts.len() - ATTEMPTS) " more; the download has them all" } }
    } }
}

fn attempted(visit: &Visit, one: &Value) -> Markup {
    let calls = list(&one["calls"], "calls");
    let took = match (parts::instant(&one["started_at"]), parts::instant(&one["ended_at"])) {
        (Some(from), Some(to)) => i64::try_from(to.duration_since(from).as_millis()).ok(),
        _ => None,
    };
    html! { div.tight {
        div.inline {
            span { (name(step(text(one, "step")))) @if let Some(member) = one["member"]["userName"].as_str() { ": " (name(member)) } }
            (attempt(text(one, "state")))
            span.small.muted {
                (parts::ago_or(visit.now, &one["started_at"], ""))
                @if let Some(took) = took { ", took " (duration(took)) }
            }
        }
        @if let Some(other) = one["sent_for"].as_str() {
            p.small.muted { "Sent for a " a href={ "/console/operations/" (other) } { "change beside it" } "; both were brought to the target together." }
        }
        @if let Some(message) = one["message"].as_str() { p { (value(message)) } }
        @for call in calls.iter().take(CALLS) {
            p.small { code { (name(text(call, "method"))) " " (name(text(call, "path"))) }
                " \u{2192} " @match call["status"].as_u64() { Some(status) => strong { (status) }, None => strong { "no answer" } }
                span.muted { " in " (duration(int(call, "duration_ms"))) @if let Some(host) = call["host"].as_str() { ", " (name(host)) } }
            }
        }
        @let left = calls.len().saturating_sub(CALLS) + usize::try_from(int(&one["calls"], "left_out")).unwrap_or(0);
        @if left > 0 { p.small.muted { "and " (left) " more calls" } }
    } }
}

fn checked(visit: &Visit, operation: &Value, told: Told<'_>) -> Markup {
    let looks: Vec<&Value> = list(operation, "verification").iter().filter(|one| told.tells(one)).collect();
    let state = text(operation, "state");
    html! { div.tight {
        @for one in looks.iter().take(CALLS) { (attempted(visit, one)) }
        @match state {
            // Of then: what was asked for later may have changed it.
            "applied" => p { "The target had it so" @if operation["closed_at"].is_string() { " at " (parts::when_or(visit.now, &operation["closed_at"], "")) }
                @if looks.is_empty() { ", by its own answer; the next comparison read it again" } "." },
            "failed" => p { "It ended " (parts::when_or(visit.now, &operation["closed_at"], "")) ": the target keeps what it had." },
            "superseded" | "withdrawn" => p { "There was nothing to check: it was not carried out to its end." },
            _ => p { "Not yet verified." },
        }
    } }
}

/// What a table or list links an operation's person or group to.
pub(super) fn subject(instance: &str, operation: &Value) -> Markup {
    let resource = &operation["resource"];
    html! {
        @if resource.is_null() { span.muted { "removed from the record" } }
        @else { a href=(place(instance, text(resource, "kind"), text(resource, "id"))) { (name(text(resource, "name"))) } }
    }
}
