//! The words in which people, groups and operations are told: for a helpdesk, not for whoever wrote the connector.

use engine::needs;
use http::StatusCode;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use maud::{Markup, html};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::form::Field;
use super::parts::{self, Tone};
use super::text::{count, name};
use super::trouble::Trouble;
use super::visit::Visit;

/// A field of an answer that is a text; empty if it is none.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// A field of an answer that is a number.
pub(super) fn int(value: &Value, field: &str) -> i64 {
    value[field].as_i64().unwrap_or(0)
}

/// A list of an answer.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> &'a [Value] {
    value[field].as_array().map_or(&[], Vec::as_slice)
}

/// A path with a query of what is not empty.
pub(super) fn link(path: &str, fields: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    for (field, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(field, value);
    }
    let query = query.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// The filters above a list: a form that only changes the address.
pub(super) fn filters(action: &str, fields: &[Field], clear: bool) -> Markup {
    html! {
        form.filters.pad role="search" aria-label={ "Filter by " (fields.first().map_or("", Field::label)) } method="get" action=(action) {
            @for field in fields { (field.draw(None)) }
            div.buttons {
                button.btn type="submit" { "Filter" }
                @if clear { a href=(action) { "Clear filters" } }
            }
        }
    }
}

/// The page of a person or group.
pub(super) fn place(instance: &str, kind: &str, id: &str) -> String {
    let list = if kind == "Group" { "groups" } else { "people" };
    format!("/console/instances/{instance}/{list}/{id}")
}

/// A time that somebody entered: RFC 3339, or a date, or a date and time, in UTC.
pub(super) fn moment(field: &str, entered: &str) -> Result<Option<Timestamp>, Trouble> {
    let entered = entered.trim();
    if entered.is_empty() {
        return Ok(None);
    }
    if let Ok(at) = entered.parse::<Timestamp>() {
        return Ok(Some(at));
    }
    let civil: Option<DateTime> = entered
        .parse::<DateTime>()
        .ok()
        .or_else(|| entered.parse::<jiff::civil::Date>().ok().map(|date| date.at(0, 0, 0, 0)));
    let at = civil.and_then(|civil| civil.to_zoned(TimeZone::UTC).ok()).map(|zoned| zoned.timestamp());
    at.map(Some).ok_or_else(|| {
        Trouble::new(
            StatusCode::BAD_REQUEST,
            "This time cannot be read",
            format!("{field} is a date and time in UTC, such as 2026-03-31 14:05 or 2026-03-31T14:05:00Z."),
        )
    })
}

/// Who asked: a key by its name, a member by theirs.
pub(super) fn who(operation: &Value) -> Markup {
    let actor = text(operation, "actor");
    if let Some(key) = operation["key_name"].as_str().filter(|key| !key.is_empty()) {
        return html! { (name(key)) };
    }
    match actor {
        "reconcile" => html! { "The comparison with the target" },
        "driver" | "gateway" | "brake" => html! { "scimgate" },
        "admin" => html! { "An admin" },
        other => match other.split_once(':') {
            Some(("key", id)) => html! { "Key " (name(id)) },
            Some(("admin", member)) => html! { (name(member)) },
            _ => html! { (name(other)) },
        },
    }
}

/// The way on which it was asked.
pub(super) fn source(word: &str) -> &'static str {
    match word {
        "scim" => "SCIM request",
        "bulk" => "SCIM bulk request",
        "me" => "the person's own request",
        "admin" => "admin API or console",
        "gateway" => "scimgate itself",
        _ => "unknown",
    }
}

/// What was asked, as a verb phrase without its object: `deactivate`.
pub(super) fn asked(operation: &Value) -> String {
    let changes = list(operation, "changes");
    let has = |path: &str| changes.iter().find(|change| text(change, "path").eq_ignore_ascii_case(path));
    match text(operation, "verb") {
        "create" => "create".to_owned(),
        "delete" => "remove".to_owned(),
        "adopt" => "take over".to_owned(),
        "repair" => "repair".to_owned(),
        _ => {
            if let Some(active) = has("active") {
                let off = active["to"] == false;
                return if off { "deactivate" } else { "activate" }.to_owned();
            }
            if has("members").is_some() {
                return "change the members of".to_owned();
            }
            let mut paths: Vec<&str> =
                changes.iter().map(|change| text(change, "path")).filter(|path| !path.is_empty()).collect();
            paths.dedup();
            let more = paths.len().saturating_sub(3);
            paths.truncate(3);
            match (paths.is_empty(), more) {
                (true, _) => "confirm".to_owned(),
                (_, 0) => format!("change {} of", paths.join(", ")),
                (_, more) => format!("change {} and {more} more of", paths.join(", ")),
            }
        }
    }
}

/// How an operation ended, or stands, in a few words.
pub(super) fn outcome(operation: &Value) -> String {
    match text(operation, "state") {
        "applied" if int(operation, "parked") > 0 => {
            format!("Done; {}.", count(int(operation, "parked"), "membership is parked", "memberships are parked"))
        }
        "applied" => match operation["took_ms"].as_i64() {
            Some(took) => format!("Done in {}.", duration(took)),
            None => "Done.".to_owned(),
        },
        "failed" => "The target refused it.".to_owned(),
        "superseded" => "A later change took its place before it was sent.".to_owned(),
        "withdrawn" => "Given up by decision.".to_owned(),
        _ => match operation["decision"]["work"]["state"].as_str() {
            Some("held") => "Held by the brake.".to_owned(),
            Some("needs") => "Somebody has to act.".to_owned(),
            Some("waiting") if operation["decision"]["work"]["need"] == "person" => {
                "Waits for whoever does it by hand.".to_owned()
            }
            Some("waiting") => "Waits, and goes on by itself.".to_owned(),
            Some("running") => "Being carried out.".to_owned(),
            _ => "Not finished.".to_owned(),
        },
    }
}

/// A short time: `340 ms`, `1.2 s`, `4 min`.
pub(super) fn duration(ms: i64) -> String {
    match ms.max(0) {
        ms if ms < 1_000 => format!("{ms} ms"),
        ms if ms < 60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms => super::text::span(ms / 1_000),
    }
}

/// A step at the target.
pub(super) fn step(word: &str) -> &str {
    match word {
        "look" => "Looked at the target",
        "match" => "Looked for an account that is there already",
        "create" => "Created or invited",
        "create_group" => "Created the group",
        "update" => "Updated",
        "suspend" => "Suspended",
        "restore" => "Restored",
        "remove" => "Removed",
        "revoke" => "Took the invitation back",
        "follow" => "Followed up an invitation",
        "add_member" => "Put into the group",
        "remove_member" => "Took out of the group",
        "tidy" => "Took the credential's own account out of the new group",
        other => other,
    }
}

/// How an attempt ended, as a tag.
pub(super) fn attempt(state: &str) -> Markup {
    match state {
        "done" => parts::tag(Tone::Good, "Done"),
        "sending" => parts::tag(Tone::Busy, "Sent, no answer yet"),
        "unknown" => parts::tag(Tone::Warn, "Sent, no answer"),
        "resolved" => parts::tag(Tone::Quiet, "No answer; looked before repeating"),
        "not_sent" => parts::tag(Tone::Quiet, "Not carried out"),
        "refused" => parts::tag(Tone::Bad, "Refused"),
        other => parts::tag(Tone::Quiet, other),
    }
}

/// The status of an account at the target.
pub(super) fn status(word: &str) -> &'static str {
    match word {
        "active" => "active",
        "invited" => "invited",
        "suspended" => "suspended",
        "gone" => "gone",
        _ => "no account",
    }
}

/// Who must act next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// Who.
    pub(super) who: &'static str,
    /// What ends the wait.
    pub(super) exit: String,
}

fn turn(who: &'static str, exit: impl Into<String>) -> Turn {
    Turn { who, exit: exit.into() }
}

/// Whose turn it is, by the word that work stands at.
pub(super) fn turn_of(state: &str, need: &str) -> Turn {
    let exit = needs::find(need).map_or("It goes on by itself.", |word| word.exit);
    match (state, need) {
        ("held", _) => turn("an Admin here", "Allow or discard the hold."),
        ("todo" | "running", _) => turn("nobody", "scimgate is at it; nothing for you to do."),
        ("waiting" | "needs", _) => turn(needs::who(need, state == "needs"), exit),
        _ => turn("nobody", "Nothing is left to do."),
    }
}

/// What work stands at, explained: what happened, whose turn, what ends it, and the raw words folded away.
pub(super) fn explained(visit: &Visit, work: &Value) -> Markup {
    let (state, need) = (text(work, "state"), text(work, "need"));
    if state.is_empty() {
        return html! {};
    }
    let turn = turn_of(state, need);
    let meaning = match (state, needs::find(need)) {
        ("held", _) => "The brake holds it: more people would lose access than the limit allows.",
        (_, Some(word)) => word.meaning,
        ("needs", None) => "Somebody has to act.",
        _ => "It waits for its turn.",
    };
    let tone = if matches!(state, "needs" | "held") { Tone::Warn } else { Tone::Busy };
    parts::note(
        tone,
        &html! {
            p { strong { (meaning) } }
            p { "Whose turn: " (turn.who) ". " (turn.exit) }
            @if state == "waiting" && work["due_at"].is_string() { p { "Next try " (parts::ago_or(visit.now, &work["due_at"], "soon")) "." } }
             @if need == "person" { p { a href="/console/tasks" { "Look at the tasks" } } }
            @if let Some(hold) = work["hold"].as_str().filter(|_| state == "held") {
                p { "Held with the others of its hold, which was opened " (parts::ago_or(visit.now, &work["held_at"], "before")) ". " a href={ "/console/holds/" (hold) } { "Look at the hold" } }
                p.small { "By the command line: " code { "scimgate hold allow " (name(hold)) } " or " code { "scimgate hold discard " (name(hold)) } }
            }
            @if !text(work, "reason").is_empty() { (parts::more("What the target or the gateway said", &html! { p { (super::text::value(text(work, "reason"))) } })) }
        },
    )
}

/// How a person or group stands, in one sentence, and whose turn it is.
pub(super) fn stands(sheet: &Value, target: &str, waiting: &[(String, i64)]) -> (String, Turn) {
    let group = text(sheet, "kind") == "Group";
    let shown: String =
        sheet["called"].as_str().filter(|_| !group).unwrap_or(text(sheet, "name")).chars().take(80).collect();
    let target: String = target.chars().take(80).collect();
    let work = &sheet["work"];
    let (state, need) = (text(work, "state"), text(work, "need"));
    let status = text(&sheet["link"], "status");
    let here = !status.is_empty() && status != "gone";
    let deleted = sheet["deleted_at"].is_string();
    let managed = sheet["managed"] == true;
    let wanted = managed && !deleted && (group || sheet["active"] == true);
    let differs = text(sheet, "sync") == "drifted";
    let lost = differs && text(sheet, "drift") == "vanished";
    let mut said = match (wanted, here, status) {
        _ if !managed && !deleted && group => {
            format!("The group {shown} is at {target}, and nobody asked for it here.")
        }
        _ if !managed && !deleted => format!("{shown} has an account at {target} that nobody asked for here."),
        (true, true, _) if group => format!("The group {shown} is at {target}, as asked."),
        (true, false, _) if group && lost => {
            format!("The group {shown} is wanted, and is gone from {target}: somebody removed it there.")
        }
        (true, false, _) if lost => {
            format!("{shown} is wanted at {target}, and lost the account there: somebody removed it at the target.")
        }
        (true, false, _) if group => format!("The group {shown} is wanted and not at {target} yet."),
        (false, true, _) if group => format!("The group {shown} is not wanted any more; {target} still has it."),
        (false, false, _) if group => format!("The group {shown} is not at {target}, as asked."),
        (true, true, "invited") => format!("{shown} is invited to {target} as asked, and has not accepted yet."),
        (true, true, "suspended") => format!("{shown} is wanted at {target}, and suspended there."),
        (true, true, _) => format!("{shown} has access to {target}, as asked."),
        (true, false, _) => format!("{shown} is wanted at {target}, and has no account there yet."),
        (false, true, "suspended") => format!("{shown} has no access to {target}, as asked: suspended."),
        (false, true, "invited") => {
            format!("{shown} shall have no access to {target}, and an invitation can still be accepted.")
        }
        (false, true, _) => format!("{shown} still has access to {target}, though it shall end."),
        (false, false, _) => format!("{shown} has no access to {target}, as asked."),
    };
    if differs && !lost {
        said.push_str(" What the target has differs from what was asked.");
    }
    if sheet["sync"] == "waived" {
        said.push_str(" It stays so by an admin's decision.");
    } else if state == "held" {
        said.push_str(" The brake holds the change until somebody decides.");
    } else if let Some(word) = needs::find(need).filter(|_| matches!(state, "needs" | "waiting")) {
        said.push(' ');
        said.push_str(word.meaning);
    }
    for (why, many) in waiting {
        let subject = if group { count(*many, "member", "members") } else { count(*many, "group", "groups") };
        let verb = if *many == 1 { "waits" } else { "wait" };
        said.push_str(&format!(" {subject} {verb}: {why}."));
    }
    let turn = if differs {
        turn(
            "an Admin here",
            "Repair the difference under Plan and drift, or dismiss it. Nothing gives access back by itself.",
        )
    } else if state.is_empty() && status == "invited" && wanted {
        turn("the person", "The invitation has to be accepted. Nothing for you to do.")
    } else if state.is_empty() && !waiting.is_empty() {
        if waiting.iter().any(|(why, _)| why.contains("brake")) {
            turn_of("held", "")
        } else if waiting.iter().any(|(why, _)| why.contains("refused")) {
            turn("the target's admin", "The target refuses these memberships; the operations say why.")
        } else {
            turn("nobody", "It goes on by itself once the account is there.")
        }
    } else {
        turn_of(state, need)
    };
    (said, turn)
}

/// Why a membership is not settled, in words that end a sentence.
pub(super) fn waits_for(state: &str, reason: &str, held: bool) -> String {
    match (state, reason) {
        _ if held => "held by the brake".to_owned(),
        ("parked", "invited") => "the invitation is not accepted yet".to_owned(),
        ("parked", "inactive") => "the person shall have no access".to_owned(),
        ("parked", "group_missing") => "the group is not at the target yet".to_owned(),
        ("parked", _) => "there is no account at the target yet".to_owned(),
        ("refused", _) => "refused by the target, or left so by decision".to_owned(),
        _ => "not sent yet".to_owned(),
    }
}

/// A membership's state as a tag.
pub(super) fn membership(one: &Value) -> Markup {
    let at_target = text(one, "at_target");
    if one["hold"].is_string() {
        return parts::state("held");
    }
    match (text(one, "state"), one["wanted"] == true, at_target) {
        ("parked", ..) => parts::state("parked"),
        ("refused", ..) => parts::state("refused"),
        ("settled", true, "yes" | "unknown") => parts::tag(Tone::Good, "Member"),
        ("settled", false, _) => parts::tag(Tone::Quiet, "Not a member"),
        (_, true, "pending") => parts::tag(Tone::Busy, "With the invitation"),
        (_, true, _) => parts::tag(Tone::Busy, "To be added"),
        (_, false, _) => parts::tag(Tone::Busy, "To be removed"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn one_sentence_says_how_a_person_stands_and_whose_turn_it_is() {
        let check = |change: Value, waiting: &[(String, i64)], want: &str, whose: &str| {
            let mut sheet = json!({
                "kind": "User", "name": "ada@example.com", "called": "Ada", "active": true, "managed": true,
                "link": {"status": "active"}, "sync": "settled", "work": null, "deleted_at": null,
            });
            for (key, value) in change.as_object().unwrap() {
                sheet[key] = value.clone();
            }
            let (said, turn) = stands(&sheet, "GitHub", waiting);
            assert_eq!((said.as_str(), turn.who), (want, whose));
        };
        let parked = [("the invitation is not accepted yet".to_owned(), 1)];
        check(json!({}), &[], "Ada has access to GitHub, as asked.", "nobody");
        check(
            json!({"link": {"status": "invited"}}),
            &parked,
            "Ada is invited to GitHub as asked, and has not accepted yet. 1 group waits: the invitation is not accepted yet.",
            "the person",
        );
        check(
            json!({"active": false, "work": {"state": "held"}}),
            &[],
            "Ada still has access to GitHub, though it shall end. The brake holds the change until somebody decides.",
            "an Admin here",
        );
        check(
            json!({"link": null, "work": {"state": "needs", "need": "seat"}}),
            &[],
            "Ada is wanted at GitHub, and has no account there yet. The target has no free seat.",
            "the target's admin",
        );
        check(
            json!({"active": false, "link": {"status": "gone"}, "deleted_at": "2026-01-01T00:00:00Z"}),
            &[],
            "Ada has no access to GitHub, as asked.",
            "nobody",
        );
    }

    #[test]
    fn what_was_asked_is_a_verb() {
        for (operation, want) in [
            (json!({"verb": "create"}), "create"),
            (json!({"verb": "patch", "changes": [{"path": "active", "to": false}]}), "deactivate"),
            (json!({"verb": "replace", "changes": [{"path": "active", "to": true}]}), "activate"),
            (json!({"verb": "patch", "changes": [{"path": "members", "changed": 2}]}), "change the members of"),
            (json!({"verb": "patch", "changes": [{"path": "title", "to": "x"}]}), "change title of"),
            (json!({"verb": "patch", "changes": []}), "confirm"),
        ] {
            assert_eq!(asked(&operation), want, "{operation}");
        }
    }

    #[test]
    fn a_time_may_be_entered_in_several_ways() {
        let want: Timestamp = "2026-03-31T14:05:00Z".parse().unwrap();
        for entered in ["2026-03-31T14:05:00Z", "2026-03-31T14:05", "2026-03-31 14:05", " 2026-03-31T16:05:00+02:00 "] {
            assert_eq!(moment("x", entered).unwrap(), Some(want), "{entered}");
        }
        assert_eq!(moment("x", "").unwrap(), None);
        assert!(moment("x", "yesterday").is_err());
    }
}
