//! `scimgate hold`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::instance::Page;
use super::out::ask;
use super::table::{Table, column};

/// So many items are shown where no number is given.
const MOST: usize = 200;

/// `scimgate hold`.
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
    /// List the holds, newest first
    List {
        /// Only in this state
        #[arg(long, value_parser = ["open", "allowed", "discarded"])]
        state: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one with its list
    Show {
        /// Its id
        hold: String,
        #[command(flatten)]
        page: Page,
    },
    /// Let all that it holds go to the target
    Allow(Decision),
    /// Give all that it holds up: the target stays as it is until the identity provider asks again
    Discard(Decision),
}

#[derive(Debug, Args)]
struct Decision {
    /// Its id
    hold: String,
    /// Why, for the record
    #[arg(long)]
    comment: Option<String>,
    /// The list that you decided about, by its list_hash [default: the list as it is now]
    #[arg(long, value_name = "HASH")]
    list_hash: Option<String>,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::List { state, page } => list(&client, state, &page).await,
            Verb::Show { hold, page } => show(&client, &hold, &page).await,
            Verb::Allow(decision) => decision.run(&client, true).await,
            Verb::Discard(decision) => decision.run(&client, false).await,
        }
    }
}

fn total(hold: &Value) -> i64 {
    hold["count"]["total"].as_i64().unwrap_or(0)
}

async fn list(client: &Client, state: Option<String>, page: &Page) -> Done {
    let path = state.map_or_else(|| "/holds".to_owned(), |state| format!("/holds?state={state}"));
    let Some(items) = page.items(client, &path, MOST).await? else { return Ok(Exit::Ok) };
    let mut table = Table::new([
        column("ID"),
        column("INSTANCE"),
        column("STATE"),
        column("ITEMS").right(),
        column("SINCE"),
        column("DECIDED BY").rank(2),
        column("COMMENT").rank(3),
    ]);
    for item in &items {
        table.row([
            text(item, "id"),
            text(&item["instance"], "name"),
            text(item, "state"),
            total(item).to_string(),
            client.out.time(&text(item, "opened_at")),
            text(item, "decided_by"),
            text(item, "comment"),
        ]);
    }
    client.out.table(&table, "Nothing is held.")?;
    Ok(Exit::Ok)
}

async fn show(client: &Client, id: &str, page: &Page) -> Done {
    let path = format!("/holds/{}", escape(id));
    let Some(items) = page.items(client, &path, MOST).await? else { return Ok(Exit::Ok) };
    let hold = client.get(&format!("{path}?limit=1")).await?;
    let why = &hold["why"];
    client.out.hint(&format!(
        "{} of {}: {} items, {} since {}. The limit is {} of {} {} within {} minutes.",
        text(&hold, "id"),
        text(&hold["instance"], "name"),
        total(&hold),
        text(&hold, "state"),
        client.out.time(&text(&hold, "opened_at")),
        why["limit"],
        why["of"],
        if why["effect"] == "remove_member" { "members" } else { "accounts" },
        why["window_minutes"],
    ));
    let mut table = Table::new([
        column("EFFECT"),
        column("PERSON"),
        column("GROUP"),
        column("ASKED BY").rank(1),
        column("OPERATION").rank(2),
    ]);
    for item in &items {
        table.row([
            text(item, "effect"),
            text(&item["person"], "name"),
            text(&item["group"], "name"),
            text(&item["operation"], "actor"),
            text(&item["operation"], "id"),
        ]);
    }
    client.out.table(&table, "Nothing is left in it.")?;
    client.out.hint(&format!("list_hash {}", text(&hold, "list_hash")));
    Ok(Exit::Ok)
}

impl Decision {
    async fn run(self, client: &Client, allow: bool) -> Done {
        let path = format!("/holds/{}", escape(&self.hold));
        let hold = client.get(&format!("{path}?limit=1")).await?;
        let (number, name) = (total(&hold), text(&hold["instance"], "name"));
        if !self.yes {
            let question = if allow {
                format!(
                    "Type {number} to carry out {number} changes at {name}; access that is lost cannot be given back from here:"
                )
            } else {
                format!(
                    "Type {number} to give {number} changes up; {name} stays as it is until the identity provider asks again:"
                )
            };
            let Some(typed) = ask(&question) else {
                return Err(Stop::new(
                    Exit::Unconfirmed,
                    format!(
                        "A decision needs a confirmation, and there is no terminal to ask at. Look at the list (scimgate hold show {}), then decide with --yes.",
                        self.hold
                    ),
                ));
            };
            if typed.trim() != number.to_string() {
                return Err(Stop::new(Exit::Unconfirmed, "That is not the number. Nothing was decided."));
            }
        }
        let hash = self.list_hash.unwrap_or_else(|| text(&hold, "list_hash"));
        let mut body = json!({"list_hash": hash});
        if let Some(comment) = self.comment {
            body["comment"] = comment.into();
        }
        let verb = if allow { "allow" } else { "discard" };
        let decided = client.call(Method::POST, &format!("{path}/{verb}"), Some(&body)).await.map_err(changed)?;
        if client.out.json {
            client.out.document(&decided)?;
        } else {
            client.out.line(&format!("{}\t{}", self.hold, text(&decided, "state")))?;
        }
        Ok(Exit::Ok)
    }
}

/// A list that changed meanwhile needs another confirmation.
fn changed(stop: Stop) -> Stop {
    match &stop.problem {
        Some(problem) if problem["status"] == 409 => Stop { exit: Exit::Unconfirmed, ..stop },
        _ => stop,
    }
}
