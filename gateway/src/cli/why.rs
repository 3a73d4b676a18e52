//! `scimgate why`: the chain from what was asked for to what the target answered.

use std::collections::BTreeSet;

use clap::Args;
use scim::quirks::Quirk;
use serde_json::Value;

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::times;
use crate::clock::Clock;

/// Operations shown without `--all`.
const SHOWN: usize = 10;

/// `scimgate why INSTANCE WHO`.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// The instance, by name or id
    instance: String,
    /// The person or group: userName, displayName or id
    who: String,
    /// As of a time: a span before now such as 24h, or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    at: Option<String>,
    /// Of a group: only this person's membership of it
    #[arg(long, value_name = "WHO")]
    member: Option<String>,
    /// Every operation, not just the newest ten
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Why {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        let id = client.instance_id(&self.instance).await?;
        let mut path = format!("/instances/{id}/why?resource={}", escape(&self.who));
        if let Some(at) = &self.at {
            let at = times::time(at, Clock::system().now(), true)?;
            path.push_str(&format!("&at={}", escape(&at.to_string())));
        }
        if let Some(member) = &self.member {
            path.push_str(&format!("&member={}", escape(member)));
        }
        let found = client.get(&path).await?;
        if client.out.json {
            client.out.document(&found)?;
        } else {
            print(&client, &found, if self.all { usize::MAX } else { SHOWN })?;
        }
        Ok(Exit::Ok)
    }
}

fn print(client: &Client, found: &Value, most: usize) -> Result<(), Stop> {
    for line in lines(found, most, &|time| client.out.time(time)) {
        client.out.line(&super::table::plain(&line))?;
    }
    Ok(())
}

fn list<'a>(item: &'a Value, field: &str) -> impl DoubleEndedIterator<Item = &'a Value> + ExactSizeIterator {
    item[field].as_array().map_or(&[][..], Vec::as_slice).iter()
}

/// The answer for people. Newest operation last, as a story is told.
fn lines(found: &Value, most: usize, time: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut lines = vec![match found["at"].as_str() {
        Some(at) => headline_then(&found["resource"], &found["then"], &time(at)),
        None => headline(&found["resource"], time),
    }];
    let membership = &found["membership"];
    if found["at"].is_string() || membership.is_object() {
        // The past is told in its order, and how it stood at its end.
        let chain = if membership.is_object() { membership } else { found };
        let events = list(chain, "chain");
        let hidden = events.len().saturating_sub(most.saturating_mul(5));
        if hidden > 0 || found["chain_left_out"].as_i64().is_some_and(|left| left > 0) {
            lines.push(format!("({hidden} earlier events are not shown: --all shows up to 300)"));
        }
        for event in events.skip(hidden) {
            let at = event["at"].as_str().map_or_else(|| "now".to_owned(), time);
            let cause = event["cause"]["operation"].as_str().map(|id| format!("  ref {id}")).unwrap_or_default();
            lines.push(format!("{at}  {}{cause}", text(event, "text")));
        }
        lines.extend(found["at"].as_str().map(|at| format!("As of {}:", time(at))));
        lines.extend(found["answer"].as_str().map(str::to_owned));
        return lines;
    }
    for other in list(found, "others") {
        lines.push(format!("Beside it: {} {} ({})", text(other, "kind"), text(other, "name"), text(other, "id")));
    }
    let operations = list(found, "operations");
    let hidden = operations.len().saturating_sub(most);
    if hidden > 0 || found["truncated"] == true {
        lines.push(format!("({hidden} older operations are not shown: --all shows up to 200)"));
    }
    let mut quirks = BTreeSet::new();
    for operation in list(found, "operations").take(most).rev() {
        let mut line = format!(
            "{}  {} asked: {}",
            time(&text(operation, "at")),
            text(operation, "actor"),
            text(operation, "verb")
        );
        if let Some(changes) = changes(&operation["changes"]) {
            line.push_str(&format!(" ({changes})"));
        }
        if let Some(spoken) = spoken(operation) {
            line.push_str(&format!(" [{spoken}]"));
        }
        quirks.extend(list(operation, "quirks").filter_map(Value::as_str));
        lines.push(format!("{line}  -> {}  ref {}", outcome(operation), text(operation, "id")));
        lines.extend(list(operation, "attempts").rev().flat_map(|attempt| tried(attempt, time)));
    }
    let meant = Quirk::ALL.iter().map(|one| one.unit()).filter(|unit| quirks.contains(unit.name));
    lines.extend(meant.map(|unit| format!("{}: {}", unit.name, unit.meaning)));
    let loose = list(found, "attempts");
    if loose.len() > 0 {
        lines.push("Beside these operations:".to_owned());
        lines.extend(loose.rev().take(most).flat_map(|attempt| tried(attempt, time)));
    }
    for task in list(found, "tasks").rev() {
        let mut line = format!("Task {} {}: {}", text(task, "id"), text(task, "state"), text(task, "title"));
        match task["closed_at"].as_str() {
            Some(at) => line.push_str(&format!("; {} {}", text(task, "closed_by"), time(at))),
            None => line.push_str(&format!("; due {}", time(&text(task, "due_at")))),
        }
        if let Some(comment) = task["comment"].as_str() {
            line.push_str(&format!(": {comment}"));
        }
        lines.push(line);
    }
    for membership in list(found, "memberships") {
        let reason = membership["reason"].as_str().map(|reason| format!(": {reason}")).unwrap_or_default();
        let state = match (text(membership, "state"), membership["reason"].as_str(), membership["wanted"] == true) {
            (state, Some("inactive"), true) if state == "parked" => {
                "nothing is sent: the person shall have no access".to_owned()
            }
            (state, _, false) if state == "parked" => "nothing is left to do".to_owned(),
            (state, Some("invited"), _) if state == "parked" => "waits until the invitation is accepted".to_owned(),
            (state, Some("group_missing"), _) if state == "parked" => {
                "waits until the group is at the target".to_owned()
            }
            (state, _, _) if state == "parked" => format!("waits until the person has an account there{reason}"),
            (state, ..) => format!("{state}{reason}"),
        };
        let held = membership["hold"]
            .as_str()
            .map(|hold| format!("; held by the brake: scimgate hold allow {hold}, or scimgate hold discard {hold} (--yes without a terminal)"));
        lines.push(format!(
            "Group {}: {}, at the target {}, {state}{}",
            text(&membership["group"], "displayName"),
            if membership["wanted"] == true { "wanted" } else { "not wanted" },
            text(membership, "at_target"),
            held.unwrap_or_default(),
        ));
    }
    lines.extend(found["answer"].as_str().map(str::to_owned));
    lines
}

fn headline(resource: &Value, time: &dyn Fn(&str) -> String) -> String {
    let name = resource["userName"].as_str().or_else(|| resource["displayName"].as_str()).unwrap_or("-");
    let mut facts = Vec::new();
    if let Some(deleted) = resource["deleted_at"].as_str() {
        facts.push(format!("deleted {}", time(deleted)));
    } else if let Some(active) = resource["active"].as_bool() {
        facts.push(if active { "wanted active" } else { "wanted inactive" }.to_owned());
    }
    match &resource["link"] {
        Value::Null => facts.push("not at the target".to_owned()),
        link => {
            let known = ["login", "email", "remote_id"].iter().find_map(|field| link[*field].as_str()).unwrap_or("");
            facts.push(format!("target: {} {known}", text(link, "status")).trim_end().to_owned());
        }
    }
    facts.push(text(resource, "sync"));
    if let Some(reason) = resource["reason"].as_str() {
        facts.push(reason.to_owned());
    }
    format!("{} {name} ({})  {}", text(resource, "kind"), text(resource, "id"), facts.join("; "))
}

/// The same of a time that is past, of what was so then.
fn headline_then(resource: &Value, then: &Value, at: &str) -> String {
    let name = resource["userName"].as_str().or_else(|| resource["displayName"].as_str()).unwrap_or("-");
    let wanted = match (then["in_directory"] == true, then["active"].as_bool()) {
        (false, _) => "not in the directory",
        (true, Some(false)) => "wanted inactive",
        (true, Some(true)) => "wanted active",
        (true, None) => "wanted",
    };
    let mut facts = vec![format!("as of {at}"), wanted.to_owned()];
    facts.push(match text(then, "at_target").as_str() {
        "" | "none" | "gone" => "not at the target".to_owned(),
        status => format!("target: {status} {}", text(then, "login")).trim_end().to_owned(),
    });
    facts.extend(then["need"].as_str().map(str::to_owned));
    if then["hold"].is_object() {
        facts.push("held by the brake".to_owned());
    }
    format!("{} {name} ({})  {}", text(resource, "kind"), text(resource, "id"), facts.join("; "))
}

/// Which attributes changed, with their values where these are short.
fn changes(changes: &Value) -> Option<String> {
    const LONGEST: usize = 60;
    let said: Vec<String> = changes
        .as_array()?
        .iter()
        .map(|change| {
            let to = match &change["to"] {
                Value::Null => "(none)".to_owned(),
                to => to.to_string(),
            };
            let path = change["path"].as_str().map_or_else(|| change.to_string(), str::to_owned);
            if change["path"].is_null() || to.chars().count() > LONGEST { path } else { format!("{path}={to}") }
        })
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// In which dialect it was asked, and what was bent for it; None if there is nothing to tell.
fn spoken(operation: &Value) -> Option<String> {
    let dialect = operation["dialect"].as_str().filter(|dialect| *dialect != "auto");
    let quirks = list(operation, "quirks").filter_map(Value::as_str);
    let said: Vec<&str> = dialect.into_iter().chain(quirks).collect();
    (!said.is_empty()).then(|| said.join(", "))
}

fn outcome(operation: &Value) -> String {
    let mut said = text(operation, "state");
    for (field, word) in [("open", "open"), ("failed", "failed"), ("parked", "parked")] {
        if let Some(count) = operation[field].as_i64().filter(|count| *count > 0) {
            said.push_str(&format!(", {count} {word}"));
        }
    }
    if let Some(reason) = operation["reason"].as_str() {
        said.push_str(&format!(": {reason}"));
    }
    said
}

fn tried(attempt: &Value, time: &dyn Fn(&str) -> String) -> Vec<String> {
    let mut lines = vec![format!(
        "    {}  did {}: {}",
        time(&text(attempt, "started_at")),
        text(attempt, "step"),
        text(attempt, "state")
    )];
    for call in list(&attempt["calls"], "calls") {
        let status = call["status"].as_u64().map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        lines.push(format!(
            "        {} {}  {status}  {} ms",
            text(call, "method"),
            text(call, "path"),
            text(call, "duration_ms")
        ));
    }
    if let Some(message) = attempt["message"].as_str() {
        lines.push(format!("        {message}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_is_told_from_the_request_to_the_answer() {
        let found = json!({
            "resource": {"id": "u1", "kind": "User", "userName": "ada", "active": true, "link": null, "sync": "needs", "reason": "No seat is left."},
            "others": [], "truncated": false, "memberships": [],
            "operations": [{
                "id": "op_1", "verb": "create", "actor": "key:k1", "state": "open", "open": 1, "failed": 0, "parked": 0, "reason": null, "at": "T1", "dialect": "okta", "quirks": ["read_only_ignored"], "changes": [{"path": "active", "to": true}, {"path": "name", "to": {"familyName": "x".repeat(80)}}, {"path": "title"}],
                "attempts": [{"step": "invite", "state": "refused", "message": "No seat is left.", "started_at": "T2",
                    "calls": {"calls": [{"method": "POST", "path": "/orgs/acme/invitations", "status": 422, "duration_ms": 40}], "left_out": 0}}],
            }],
            "attempts": [],
        });
        assert_eq!(
            lines(&found, 10, &str::to_owned),
            [
                "User ada (u1)  wanted active; not at the target; needs; No seat is left.",
                "T1  key:k1 asked: create (active=true, name, title=(none)) [okta, read_only_ignored]  -> open, 1 open  ref op_1",
                "    T2  did invite: refused",
                "        POST /orgs/acme/invitations  422  40 ms",
                "        No seat is left.",
                &format!("read_only_ignored: {}", Quirk::ReadOnlyIgnored.unit().meaning),
            ]
        );
    }

    #[test]
    fn the_first_line_of_the_past_was_of_now() {
        let found = json!({
            "resource": {"id": "u1", "kind": "User", "userName": "ada", "active": false, "link": null, "sync": "settled"},
            "at": "T5", "then": {"in_directory": true, "active": true, "at_target": "active", "login": "ada-x", "need": null, "hold": null},
            "chain": [], "answer": "ada has access.",
        });
        assert_eq!(
            lines(&found, 10, &str::to_owned),
            ["User ada (u1)  as of T5; wanted active; target: active ada-x", "As of T5:", "ada has access."]
        );
    }

    #[test]
    fn a_group_of_somebody_who_left_read_as_if_it_waited() {
        let membership = |reason: &str, wanted: bool| json!({"group": {"displayName": "Eng"}, "wanted": wanted, "at_target": "no", "state": "parked", "reason": reason, "hold": null});
        let found = json!({"resource": {}, "operations": [], "memberships": [membership("inactive", true), membership("inactive", false), membership("invited", true)]});
        let told = lines(&found, 10, &str::to_owned);
        assert_eq!(
            told[1..],
            [
                "Group Eng: wanted, at the target no, nothing is sent: the person shall have no access",
                "Group Eng: not wanted, at the target no, nothing is left to do",
                "Group Eng: wanted, at the target no, waits until the invitation is accepted",
            ]
        );
    }

    #[test]
    fn older_operations_are_counted() {
        let operation = |id: &str| json!({"id": id, "verb": "update", "state": "applied", "at": "T", "actor": "admin"});
        let found = json!({"resource": {}, "operations": [operation("op_3"), operation("op_2"), operation("op_1")]});
        let told = lines(&found, 2, &str::to_owned);
        assert!(told[1].starts_with("(1 older"), "{told:?}");
        assert!(told[2].ends_with("op_2") && told[3].ends_with("op_3"), "{told:?}");
    }
}
