//! `scimgate task`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit};
use super::instance::Page;
use super::table::{Table, column};

/// So many items are shown where no number is given.
const MOST: usize = 200;

/// `scimgate task`.
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
    /// List tasks: open ones by urgency
    List {
        /// In this state [default: open]
        #[arg(long, value_parser = ["open", "done", "refused", "withdrawn", "all"])]
        state: Option<String>,
        /// Only of this instance, by id or name
        #[arg(long)]
        instance: Option<String>,
        /// Only those whose time is over
        #[arg(long, conflicts_with = "state")]
        overdue: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show one with all that has to be known to do it
    Show {
        /// Its id
        task: String,
    },
    /// Say that it was done
    Done {
        /// Its id
        task: String,
        /// What there is to say, for the record
        #[arg(long)]
        comment: Option<String>,
        /// The id that the account or group which was made has in the application
        #[arg(long, value_name = "ID")]
        account_id: Option<String>,
    },
    /// Refuse it
    Refuse {
        /// Its id
        task: String,
        /// Why, for whoever asked
        #[arg(long)]
        comment: String,
    },
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::List { state, instance, overdue, page } => {
                let mut path = format!("/tasks?state={}", state.as_deref().unwrap_or("open"));
                if let Some(instance) = instance {
                    let found = client.instance(&instance).await?;
                    path.push_str(&format!("&instance={}", escape(&text(&found, "id"))));
                }
                if overdue {
                    path.push_str("&overdue=true");
                }
                list(&client, &path, &page).await
            }
            Verb::Show { task } => {
                let shown = client.get(&format!("/tasks/{}", escape(&task))).await?;
                show(&client, &shown)
            }
            Verb::Done { task, comment, account_id } => {
                let body = json!({"comment": comment, "account_id": account_id});
                close(&client, &task, "done", &body).await
            }
            Verb::Refuse { task, comment } => close(&client, &task, "refuse", &json!({"comment": comment})).await,
        }
    }
}

async fn list(client: &Client, path: &str, page: &Page) -> Done {
    let Some(items) = page.items(client, path, MOST).await? else { return Ok(Exit::Ok) };
    let mut table = Table::new([
        column("ID"),
        column("TASK"),
        column("DUE"),
        column("STATE").rank(1),
        column("ASSIGNEE").rank(2),
        column("CLOSED BY").rank(3),
        column("COMMENT").rank(4),
    ]);
    for item in &items {
        let due = client.out.time(&text(item, "due_at"));
        table.row([
            text(item, "id"),
            text(item, "title"),
            if item["overdue"] == true { format!("{due} (overdue)") } else { due },
            text(item, "state"),
            text(item, "assignee"),
            text(item, "closed_by"),
            text(item, "comment"),
        ]);
    }
    client.out.table(&table, "There is no such task.")?;
    Ok(Exit::Ok)
}

fn show(client: &Client, task: &Value) -> Done {
    if client.out.json {
        client.out.document(task)?;
        return Ok(Exit::Ok);
    }
    client.out.line(&text(task, "title"))?;
    for line in text(task, "detail").lines() {
        client.out.line(&super::table::plain(line))?;
    }
    let mut facts = format!(
        "{}: {}, asked {}, due {}",
        text(task, "id"),
        text(task, "state"),
        client.out.time(&text(task, "created_at")),
        client.out.time(&text(task, "due_at")),
    );
    for (field, word) in [("assignee", "for"), ("closed_by", "closed by"), ("comment", "comment:")] {
        if let Some(value) = task[field].as_str() {
            facts.push_str(&format!(", {word} {value}"));
        }
    }
    client.out.hint(&facts);
    Ok(Exit::Ok)
}

async fn close(client: &Client, task: &str, verb: &str, body: &Value) -> Done {
    let closed = client.call(Method::POST, &format!("/tasks/{}/{verb}", escape(task)), Some(body)).await?;
    if client.out.json {
        client.out.document(&closed)?;
    } else {
        client.out.line(&format!("{task}\t{}", text(&closed, "state")))?;
    }
    Ok(Exit::Ok)
}
