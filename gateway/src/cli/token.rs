//! `scimgate token`.

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

/// `scimgate token`.
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
    /// Make a token for a person or program; it is printed this once, alone on standard output
    Create {
        /// Whose it is; the audit shows the name
        name: String,
        /// What it may do: viewer reads, admin also changes, owner also manages members
        #[arg(long, value_parser = ["viewer", "admin", "owner"], default_value = "viewer")]
        role: String,
        /// When it dies: a span such as 90d, or a time in RFC 3339 [default: never]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
    },
    /// List the members, without their tokens
    List {
        #[command(flatten)]
        page: Page,
    },
    /// End a token, and the sessions that began with it, at once
    Revoke {
        /// The member, by name or id
        member: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Whose token this is, and what it may do
    Whoami,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::Create { name, role, expires } => create(&client, &name, &role, expires).await,
            Verb::List { page } => list(&client, &page).await,
            Verb::Revoke { member, yes } => revoke(&client, &member, yes).await,
            Verb::Whoami => whoami(&client).await,
        }
    }
}

async fn create(client: &Client, name: &str, role: &str, expires: Option<String>) -> Done {
    let mut body = json!({"name": name, "role": role});
    if let Some(expires) = expires {
        body["expires_at"] = times::time(&expires, Clock::system().now(), false)?.to_string().into();
    }
    let made = client.call(Method::POST, "/members", Some(&body)).await?;
    if client.out.json {
        client.out.document(&made)?;
    } else {
        client.out.line(&text(&made, "token"))?;
    }
    client.out.hint(&format!("The token of {name} ({role}) is shown this once. Store it now."));
    Ok(Exit::Ok)
}

async fn list(client: &Client, page: &Page) -> Done {
    let Some(items) = page.items(client, "/members", usize::MAX).await? else {
        return Ok(Exit::Ok);
    };
    let mut table = Table::new([
        column("NAME"),
        column("ROLE"),
        column("ID"),
        column("SIGNS IN BY").rank(3),
        column("LAST USED").rank(1),
        column("EXPIRES").rank(2),
    ]);
    for item in &items {
        let when = |field: &str| item[field].as_str().map_or_else(|| "never".to_owned(), |time| client.out.time(time));
        table.row([
            text(item, "name"),
            text(item, "role"),
            text(item, "id"),
            text(item, "signs_in_by"),
            when("last_used_at"),
            when("expires_at"),
        ]);
    }
    let empty =
        "There is the first token alone, which is an Owner's. Make one with: scimgate token create NAME --role viewer";
    client.out.table(&table, empty)?;
    Ok(Exit::Ok)
}

/// The id of the member that a name or an id means.
async fn member_id(client: &Client, word: &str) -> Result<String, Stop> {
    let members = client.list("/members", usize::MAX).await?;
    let found = members.iter().find(|one| one["id"] == word).or_else(|| members.iter().find(|one| one["name"] == word));
    found
        .map(|one| text(one, "id"))
        .ok_or_else(|| Stop::new(Exit::NotFound, format!("There is no member {word:?}. See: scimgate token list")))
}

async fn revoke(client: &Client, member: &str, yes: bool) -> Done {
    let id = member_id(client, member).await?;
    if !yes {
        match ask(&format!("Revoke the token of {member}? Whoever uses it gets 401 at once. [y/N]")).as_deref() {
            Some("y" | "Y" | "yes") => {}
            Some(_) => return Err(Stop::new(Exit::Unconfirmed, "Nothing was revoked.")),
            None => return Err(Stop::new(Exit::Unconfirmed, "Revoking needs a confirmation: --yes")),
        }
    }
    client.call(Method::DELETE, &format!("/members/{}", escape(&id)), None).await?;
    client.out.hint(&format!("Revoked the token of {member}."));
    Ok(Exit::Ok)
}

async fn whoami(client: &Client) -> Done {
    let who: Value = client.get("/whoami").await?;
    if client.out.json {
        client.out.document(&who)?;
    } else {
        client.out.line(&format!("{} ({})", text(&who, "name"), text(&who, "role")))?;
    }
    Ok(Exit::Ok)
}
