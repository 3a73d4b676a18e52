//! `scimgate operations`.

use std::cmp::Reverse;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::instance::Page;
use super::out::ask;
use super::table::{Table, column};
use super::times;
use crate::clock::Clock;

/// So many operations are shown where no number is given.
const MOST: usize = 100;

/// `scimgate operations`.
#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(super) struct Command {
    #[command(subcommand)]
    verb: Verb,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the operations, newest first
    List(List),
    /// Show one
    Show {
        /// Its id
        operation: String,
    },
    /// Print the operations of an instance with their attempts, one line of JSON each, oldest first
    Export(Export),
    /// Try again now what is still open of these, or with --instance all that needs somebody there
    Retry(Retry),
    /// Say what became of a call whose outcome is in doubt
    Outcome {
        /// The operation's id
        operation: String,
        /// happened, did_not or look_again
        #[arg(value_parser = ["happened", "did_not", "look_again"])]
        answer: String,
    },
    /// Give these up that need a person to act: the target stays as it is until the identity provider asks again
    Dismiss {
        /// Their ids
        #[arg(required = true)]
        operations: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Retry {
    /// Their ids
    #[arg(required_unless_present = "instance")]
    operations: Vec<String>,
    /// All that needs somebody of this instance, by name or id: the newest thousand people and as many groups
    #[arg(long, value_name = "INSTANCE", conflicts_with = "operations")]
    instance: Option<String>,
    /// With --instance: only people, or only groups
    #[arg(long, value_parser = ["User", "Group"], ignore_case = true, conflicts_with = "operations")]
    kind: Option<String>,
    /// With --instance: what needs somebody; pending: what waits; leaving: of either, what takes access away [default:
    /// needs]
    #[arg(long, value_parser = ["needs", "pending", "leaving"], conflicts_with = "operations")]
    state: Option<String>,
    /// With --instance: only those whose name begins so
    #[arg(long, value_name = "WORD", conflicts_with = "operations")]
    text: Option<String>,
    /// With --instance: do not ask
    #[arg(long)]
    yes: bool,
}

impl Retry {
    async fn run(self, client: &Client) -> Done {
        let Some(instance) = &self.instance else { return act(client, &self.operations, "retry", "work").await };
        let found = client.instance(instance).await?;
        let path = format!("/instances/{}/retry", text(&found, "id"));
        let mut body = json!({"state": self.state.as_deref().unwrap_or("needs")});
        if let Some(kind) = &self.kind {
            body["kind"] = if kind.eq_ignore_ascii_case("group") { "Group" } else { "User" }.into();
        }
        if let Some(word) = &self.text {
            body["text"] = word.as_str().into();
        }
        if !self.yes {
            body["dry_run"] = true.into();
            let counted = client.call(Method::POST, &path, Some(&body)).await?;
            let number = counted["retried"].as_u64().unwrap_or(0);
            if number > 0 {
                let name = text(&found, "name");
                let question =
                    format!("Type {number} to try again now the work of {number} people and groups at {name}:");
                let Some(typed) = ask(&question) else {
                    return Err(Stop::new(
                        Exit::Unconfirmed,
                        format!(
                            "This needs a confirmation, and there is no terminal to ask at. It is about {number}; with --yes they are tried again."
                        ),
                    ));
                };
                if typed.trim() != number.to_string() {
                    return Err(Stop::new(Exit::Unconfirmed, "That is not the number. Nothing was tried."));
                }
            }
            body["dry_run"] = false.into();
        }
        let done = client.call(Method::POST, &path, Some(&body)).await?;
        if client.out.json {
            client.out.document(&done)?;
            return Ok(Exit::Ok);
        }
        client.out.line(&format!("{}\t{}", text(&found, "id"), text(&done, "retried")))?;
        if done["more"] == true {
            client.out.hint("There are more: do it again for the others.");
        }
        Ok(Exit::Ok)
    }
}

#[derive(Debug, Args)]
struct List {
    /// Only of this instance, by name or id; needed with --json
    #[arg(long, value_name = "INSTANCE")]
    instance: Option<String>,
    /// Only in this state
    #[arg(long, value_parser = ["open", "applied", "failed", "superseded", "withdrawn"])]
    state: Option<String>,
    /// Only of this person or group, by userName, displayName or id
    #[arg(long, value_name = "WHO")]
    resource: Option<String>,
    /// Only since: a span before now such as 24h, or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before: a span before now such as 24h, or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Only of this sort: create, replace, patch, delete, adopt
    #[arg(long, value_name = "VERB")]
    verb: Option<String>,
    /// Only asked by this key (its id or name), or by admin
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// Only with this id, of the request with this id, or of whoever's name begins so
    #[arg(long, value_name = "WORD")]
    text: Option<String>,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Args)]
struct Export {
    /// The instance, by name or id
    instance: String,
    /// Only in this state
    #[arg(long, value_parser = ["open", "applied", "failed", "superseded", "withdrawn"])]
    state: Option<String>,
    /// Only since: a span before now such as 24h, or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before: a span before now such as 24h, or a time in RFC 3339
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// Go on behind the line with this cursor, the last one of an export that broke off
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
}

impl Export {
    async fn run(self, client: &Client) -> Done {
        let id = client.instance_id(&self.instance).await?;
        let mut query = Vec::new();
        for (name, when) in [("since", &self.since), ("until", &self.until)] {
            if let Some(when) = when {
                let time = times::time(when, Clock::system().now(), true)?;
                query.push(format!("{name}={}", escape(&time.to_string())));
            }
        }
        for (name, word) in [("state", &self.state), ("after", &self.after)] {
            query.extend(word.as_deref().map(|word| format!("{name}={}", escape(word))));
        }
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        client.copy(&format!("/instances/{id}/operations/export{query}"), &mut std::io::stdout()).await?;
        Ok(Exit::Ok)
    }
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::List(list) => list.run(&client).await,
            Verb::Show { operation } => show(&client, &operation).await,
            Verb::Export(export) => export.run(&client).await,
            Verb::Retry(retry) => retry.run(&client).await,
            Verb::Dismiss { operations } => act(&client, &operations, "dismiss", "state").await,
            Verb::Outcome { operation, answer } => outcome(&client, &operation, &answer).await,
        }
    }
}

impl List {
    async fn run(self, client: &Client) -> Done {
        let mut query = Vec::new();
        if let Some(state) = &self.state {
            query.push(format!("state={state}"));
        }
        if let Some(who) = &self.resource {
            query.push(format!("resource={}", escape(who)));
        }
        for (name, when) in [("since", &self.since), ("until", &self.until)] {
            if let Some(when) = when {
                let time = times::time(when, Clock::system().now(), true)?;
                query.push(format!("{name}={}", escape(&time.to_string())));
            }
        }
        for (name, word) in [("verb", &self.verb), ("actor", &self.actor), ("text", &self.text)] {
            query.extend(word.as_deref().map(|word| format!("{name}={}", escape(word))));
        }
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        let instances = match &self.instance {
            Some(word) => vec![client.instance(word).await?],
            None if client.out.json => {
                return Err(Stop::usage(
                    "With --json name one instance: --instance NAME. The admin API lists operations per instance.",
                ));
            }
            None => client.list("/instances", usize::MAX).await?,
        };
        let mut found: Vec<(String, Value)> = Vec::new();
        for instance in &instances {
            let path = format!("/instances/{}/operations{query}", text(instance, "id"));
            let Some(items) = self.page.items(client, &path, MOST).await? else { return Ok(Exit::Ok) };
            found.extend(items.into_iter().map(|item| (text(instance, "name"), item)));
        }
        let found = newest(found, self.page.most(MOST));
        client.out.table(&table(&found, &|at| client.out.time(at)), "No operation fits.")?;
        Ok(Exit::Ok)
    }
}

/// The newest of what several instances have, each with the name of its instance.
fn newest(mut found: Vec<(String, Value)>, most: usize) -> Vec<(String, Value)> {
    // RFC 3339 in UTC sorts as text.
    found.sort_by_key(|(_, item)| Reverse(text(item, "at")));
    found.truncate(most);
    found
}

/// The instance and the id always have their columns: `operations retry` and the like want them.
fn table(found: &[(String, Value)], time: &dyn Fn(&str) -> String) -> Table {
    let mut table = Table::new([
        column("TIME"),
        column("INSTANCE"),
        column("WHO"),
        column("CHANGE").rank(1),
        column("STATE"),
        column("ASKED BY").rank(2),
        column("REASON").rank(3),
        column("ID"),
    ]);
    for (instance, item) in found {
        table.row([
            time(&text(item, "at")),
            instance.clone(),
            who(item),
            text(item, "verb"),
            text(item, "state"),
            text(item, "actor"),
            text(item, "reason"),
            text(item, "id"),
        ]);
    }
    table
}

/// The person or group of an operation.
pub(super) fn who(item: &Value) -> String {
    let resource = &item["resource"];
    resource["name"].as_str().or_else(|| resource["id"].as_str()).unwrap_or("-").to_owned()
}

async fn show(client: &Client, id: &str) -> Done {
    let item = client.get(&format!("/operations/{}", escape(id))).await?;
    if client.out.json {
        client.out.document(&item)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new([column("FIELD"), column("VALUE")]);
    for (field, value) in item.as_object().into_iter().flatten() {
        let shown = match (field.as_str(), value) {
            ("resource", Value::Object(_)) => {
                format!("{} {} ({})", text(value, "kind"), text(value, "name"), text(value, "id"))
            }
            ("at" | "closed_at", Value::String(time)) => client.out.time(time),
            (_, Value::Null) => "-".to_owned(),
            _ => text(&item, field),
        };
        table.row([field.clone(), shown]);
    }
    client.out.table(&table, "")?;
    Ok(Exit::Ok)
}

/// Asks for the same act on each; `shown` is the field of the answer that people are shown.
async fn act(client: &Client, ids: &[String], verb: &str, shown: &str) -> Done {
    let mut refused: Option<Stop> = None;
    let mut done = 0_usize;
    for id in ids {
        match client.call(Method::POST, &format!("/operations/{}/{verb}", escape(id)), Some(&json!({}))).await {
            Ok(answer) => {
                done += 1;
                if client.out.json {
                    client.out.document(&answer)?;
                } else {
                    client.out.line(&format!("{id}\t{}", text(&answer, shown)))?;
                }
            }
            // What concerns the gateway concerns the rest, too.
            Err(stop) if matches!(stop.exit, Exit::Unreachable | Exit::NotAllowed | Exit::TimedOut) => {
                return Err(stop);
            }
            Err(stop) if ids.len() == 1 => return Err(stop),
            Err(stop) => {
                client.out.hint(&format!("{id}: {stop}"));
                refused = Some(stop);
            }
        }
    }
    match refused {
        None => Ok(Exit::Ok),
        Some(_) if done > 0 => Ok(Exit::Partly),
        Some(stop) => Ok(stop.exit),
    }
}

async fn outcome(client: &Client, id: &str, answer: &str) -> Done {
    let said = client
        .call(Method::POST, &format!("/operations/{}/outcome", escape(id)), Some(&json!({"answer": answer})))
        .await?;
    if client.out.json {
        client.out.document(&said)?;
    } else {
        client.out.line(&format!("{id}\t{}\t{} calls\t{}", answer, text(&said, "calls"), text(&said, "work")))?;
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::super::table::Look;
    use super::*;

    #[test]
    fn a_list_over_two_instances_had_the_limit_twice_and_no_ids() {
        let operation = |at: u8| json!({"id": format!("op_{at}"), "at": format!("2026-01-01T00:00:0{at}.000Z"), "verb": "create", "state": "applied", "actor": "key:k1", "reason": "r".repeat(80), "resource": {"name": "ada@example.com"}});
        let mut found = Vec::new();
        for (instance, times) in [("GitHub", [9, 3, 2]), ("Buildkite", [8, 7, 1])] {
            found.extend(times.map(|at| (instance.to_owned(), operation(at))));
        }
        let shown = newest(found, 3);
        let ids: Vec<_> = shown.iter().map(|(instance, item)| format!("{instance} {}", text(item, "id"))).collect();
        assert_eq!(ids, ["GitHub op_9", "Buildkite op_8", "Buildkite op_7"]);
        let told = table(&shown, &|_| "now".to_owned()).render(Look::Aligned(80));
        let head: Vec<_> = told.lines().next().unwrap().split_whitespace().collect();
        assert!(head.contains(&"INSTANCE") && head.contains(&"ID") && !head.contains(&"REASON"), "{told}");
        assert!(told.contains("Buildkite") && told.contains("op_7"), "{told}");
    }
}
