//! The words in which a story is told.

use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::story::{Event, Hero, Standing, event};
use super::{label, time};
use crate::store::{Rows, StoreError};

/// Who asked, by the name of the key where there is one.
pub(super) fn who(row: &QueryResult) -> Result<String, StoreError> {
    let actor: String = row.col("actor")?;
    Ok(match row.col::<Option<String>>("key_name")?.filter(|name| !name.is_empty()) {
        Some(name) => format!("{actor} ({name})"),
        None => actor,
    })
}

fn micros(item: &Value, field: &str) -> i64 {
    item[field]
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .map_or(0, jiff::Timestamp::as_microsecond)
}

pub(super) fn asked(item: &Value) -> Event {
    let text = |field: &str| item[field].as_str().unwrap_or_default();
    let changed: Vec<&str> =
        item["changes"].as_array().into_iter().flatten().filter_map(|change| change["path"].as_str()).take(8).collect();
    let what = if changed.is_empty() { String::new() } else { format!(" of {}", changed.join(", ")) };
    let by = item["key_name"]
        .as_str()
        .filter(|name| !name.is_empty())
        .map_or_else(|| text("actor").to_owned(), |name| format!("{} ({name})", text("actor")));
    let mut ended = text("state").to_owned();
    if let Some(reason) = item["reason"].as_str() {
        ended.push_str(": ");
        ended.push_str(reason);
    }
    let mut shown = event(
        micros(item, "at"),
        "operation",
        format!("{by} asked for {}{what}; now {ended}.", text("verb")),
        json!({"actor": text("actor"), "request_id": item["request_id"], "source": item["source"], "dialect": item["dialect"], "quirks": item["quirks"]}),
    );
    shown.shown["operation"] = item["id"].clone();
    shown
}

pub(super) fn tried(attempt: &Value, operation: Option<&str>) -> Event {
    let text = |field: &str| attempt[field].as_str().unwrap_or_default();
    let calls: Vec<String> = attempt["calls"]["calls"]
        .as_array()
        .into_iter()
        .flatten()
        .take(5)
        .map(|call| {
            let status = call["status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
            format!(
                "{} {} {status}",
                call["method"].as_str().unwrap_or_default(),
                call["path"].as_str().unwrap_or_default()
            )
        })
        .collect();
    let mut said = format!("{}: {}", capital(text("step")), text("state"));
    if !calls.is_empty() {
        said.push_str(&format!(" ({})", calls.join("; ")));
    }
    if let Some(message) = attempt["message"].as_str() {
        said.push_str(&format!(". {message}"));
    }
    event(micros(attempt, "started_at"), "attempt", said, operation.map_or(Value::Null, |id| json!({"operation": id})))
}

/// A task for a person: when it was asked for and, by that time, what became of it.
pub(super) fn by_hand(task: &Value, at: i64) -> Vec<Event> {
    let text = |field: &str| task[field].as_str().unwrap_or_default();
    let cause = json!({"task": task["id"], "operation": task["operation"]});
    let due = text("due_at");
    let mut events = vec![event(
        micros(task, "created_at"),
        "task",
        format!("Asked a person: {} (task {}, due {due}).", text("title"), text("id")),
        cause.clone(),
    )];
    let closed = micros(task, "closed_at");
    if closed > 0 && closed <= at {
        let comment = task["comment"].as_str().map(|comment| format!(": {comment}")).unwrap_or_default();
        let by = task["closed_by"].as_str().map(|by| format!(" by {by}")).unwrap_or_default();
        events.push(event(closed, "task", format!("Task {} {}{by}{comment}", text("id"), text("state")), cause));
    }
    events
}

pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The state of a membership in words, from `want:have:state`.
pub(super) fn membership(value: &str) -> String {
    let parts: Vec<&str> = value.split(':').collect();
    match parts.as_slice() {
        ["1", "1", ..] => "wanted, and at the target".to_owned(),
        ["1", "2", ..] => "wanted, and waits for the invitation".to_owned(),
        ["1", _, state @ ("parked" | "refused")] => format!("wanted, {state}"),
        ["1", ..] => "wanted, not at the target yet".to_owned(),
        [_, "1" | "2", ..] => "not wanted, still at the target".to_owned(),
        _ => "neither wanted nor at the target".to_owned(),
    }
}

pub(super) fn state_of(value: &str, id: Option<String>, name: Option<String>, since: Option<i64>) -> Value {
    let parts: Vec<&str> = value.split(':').collect();
    let have = match parts.get(1).copied() {
        Some("0") => "no",
        Some("1") => "yes",
        Some("2") => "pending",
        _ => "unknown",
    };
    json!({
        "group": {"id": id, "displayName": name}, "wanted": parts.first() == Some(&"1"), "at_target": have,
        "state": parts.get(2), "since": since.map(time), "text": membership(value),
    })
}

/// That a hold keeps a change back: which, since when, and what ends it.
pub(super) fn kept_back(hold: &str, since: i64) -> String {
    format!(
        " The brake holds it back since {} (hold {hold}), because more would lose access at once than the limit allows. An Admin allows or discards the hold: \
         on its page in the console, or by `scimgate hold allow {hold}` or `scimgate hold discard {hold}`.",
        time(since)
    )
}

/// One sentence that answers why there is access, or none.
pub(super) fn answer(hero: &Hero, standing: &Standing) -> String {
    let name = &hero.name;
    let by = standing
        .asked
        .as_ref()
        .map_or_else(String::new, |(operation, who, at)| format!(" by {who} on {} ({operation})", time(*at)));
    let since = standing.since.map_or_else(String::new, |at| format!(" since {}", time(at)));
    let why = match (&standing.need, &standing.fault) {
        _ if standing.held.is_some() => {
            standing.held.as_ref().map_or_else(String::new, |(hold, since)| kept_back(hold, *since))
        }
        (Some(need), Some(fault)) => format!(" Somebody has to act ({need}): {fault}"),
        (Some(need), None) => format!(" Somebody has to act: {need}."),
        (None, Some(fault)) => format!(" The last thing that stood in the way: {fault}"),
        (None, None) => String::new(),
    };
    let status = standing.status.as_deref().filter(|status| *status != "gone");
    let why = match &standing.vanished {
        Some((drift, seen)) if standing.exists && status.is_none() => format!(
            " It was at the target and is gone from there, which nobody here asked for (noticed {}, drift {drift}). It is not given back by itself: repair it \
             under Plan and drift in the console or by `scimgate drift INSTANCE --repair {drift}`, or dismiss it.",
            time(*seen)
        ),
        _ => why,
    };
    if !hero.is_person() {
        let what = label(&hero.kind);
        return match (standing.exists, status) {
            (true, Some(_)) => format!("The group {name} is at the target{since}, asked for{by}."),
            (true, None) if !standing.managed => {
                format!("The group {name} is at the target; nobody asked for it here.")
            }
            (true, None) => format!("The group {name} is wanted{by} and not at the target.{why}"),
            (false, Some(_)) => format!(
                "The group {name} is not wanted any more, its end was asked for{by}, and it is still at the target.{why}"
            ),
            (false, None) => {
                format!("There is no group of that {what} ({name}), here or at the target: its end was asked for{by}.")
            }
        };
    }
    let wanted = standing.exists && standing.active;
    match (wanted, status) {
        (_, Some(status)) if !standing.managed && standing.exists => {
            format!(
                "{name} has access ({status}{since}) that nobody asked for here: the account was at the target before and is not managed by this instance."
            )
        }
        (true, Some("active")) => format!("{name} has access{since}, because it was asked for{by}."),
        (true, Some("invited")) => {
            format!("{name} has no access yet: it was asked for{by}, and the invitation{since} was not accepted.{why}")
        }
        (true, Some("suspended")) => format!("{name} is wanted active{by} and is suspended at the target{since}.{why}"),
        (true, _) => format!("{name} has no access, though it was asked for{by}.{why}"),
        (false, Some("suspended")) => format!("{name} has no access: suspended{since}, as asked{by}."),
        (false, Some("invited")) => format!(
            "{name} has no access, but an invitation{since} can still be accepted; its end was asked for{by}.{why}"
        ),
        (false, Some(_)) => format!("{name} still has access{since}, though its end was asked for{by}.{why}"),
        (false, None) if !standing.exists && standing.asked.is_none() => {
            format!("{name} has no access: the directory did not know this person then.")
        }
        (false, None) => format!("{name} has no access: its end was asked for{by}, and the account is gone{since}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hero() -> Hero {
        Hero {
            seq: 1,
            id: "u".to_owned(),
            kind: "User".to_owned(),
            name: "ada".to_owned(),
            managed: true,
            active: true,
            created_at: 0,
            deleted_at: None,
        }
    }

    #[test]
    fn a_leaver_who_is_held_was_told_of_by_a_bare_word() {
        let standing = Standing {
            exists: true,
            managed: true,
            status: Some("active".to_owned()),
            fault: Some("something older".to_owned()),
            held: Some(("hd_1".to_owned(), 0)),
            ..Standing::default()
        };
        let said = answer(&hero(), &standing);
        for part in ["ada still has access", "since 1970-01-01T00:00:00.000Z (hold hd_1)", "`scimgate hold allow hd_1`"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("Somebody has to act") && !said.contains("older"), "{said}");
    }

    #[test]
    fn the_answer_says_whether_there_is_access_and_why() {
        let check = |managed, exists, active, status: Option<&str>, need: Option<&str>, begins: &str| {
            let standing = Standing {
                exists,
                active,
                managed,
                status: status.map(str::to_owned),
                need: need.map(str::to_owned),
                asked: Some(("op_1".to_owned(), "key:k (Entra)".to_owned(), 0)),
                ..Standing::default()
            };
            let said = answer(&hero(), &standing);
            assert!(said.starts_with(begins), "{said}");
            assert_eq!(need.is_some(), said.contains("Somebody has to act"), "{said}");
        };
        check(true, true, true, Some("active"), None, "ada has access, because it was asked for by key:k (Entra)");
        check(true, true, true, Some("invited"), None, "ada has no access yet");
        check(true, true, true, None, Some("no_seat"), "ada has no access, though it was asked for");
        check(true, true, false, Some("active"), Some("credential"), "ada still has access, though its end");
        check(true, true, false, Some("suspended"), None, "ada has no access: suspended");
        check(true, false, true, None, None, "ada has no access: its end was asked for");
        check(true, false, true, Some("gone"), None, "ada has no access: its end was asked for");
        check(false, true, true, Some("active"), None, "ada has access (active) that nobody asked for");
    }
}
