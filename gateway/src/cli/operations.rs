//! `scimgate operations`.

use std::cmp::Reverse;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::instance::Page;
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
    /// Try again now what is still open of these
    Retry {
        /// Their ids
        #[arg(required = true)]
        operations: Vec<String>,
    },
    /// Give these up that need a person to act: the target stays as it is until the identity provider asks again
    Dismiss {
        /// Their ids
        #[arg(required = true)]
        operations: Vec<String>,
    },
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
    #[command(flatten)]
    page: Page,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::List(list) => list.run(&client).await,
            Verb::Show { operation } => show(&client, &operation).await,
            Verb::Retry { operations } => act(&client, &operations, "retry", "work").await,
            Verb::Dismiss { operations } => act(&client, &operations, "dismiss", "state").await,
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
        if let Some(since) = &self.since {
            query.push(format!("since={}", escape(&times::time(since, Clock::system().now(), true)?.to_string())));
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
        // RFC 3339 in UTC sorts as text.
        found.sort_by_key(|(_, item)| Reverse(text(item, "at")));
        let mut table = Table::new([
            column("TIME"),
            column("INSTANCE").rank(3),
            column("WHO"),
            column("CHANGE"),
            column("STATE"),
            column("ASKED BY").rank(2),
            column("REASON").rank(4),
            column("ID").rank(1),
        ]);
        for (instance, item) in &found {
            table.row([
                client.out.time(&text(item, "at")),
                instance.clone(),
                who(item),
                text(item, "verb"),
                text(item, "state"),
                text(item, "actor"),
                text(item, "reason"),
                text(item, "id"),
            ]);
        }
        client.out.table(&table, "No operation fits.")?;
        Ok(Exit::Ok)
    }
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
