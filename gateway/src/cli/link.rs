//! `scimgate link`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::instance::Page;
use super::table::{Table, column};

/// So many items are shown where no number is given.
const MOST: usize = 200;

/// `scimgate link`.
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
    /// List the links of an instance, oldest first: those that wait for a decision
    List {
        /// The instance, by name or id
        instance: String,
        /// In this state
        #[arg(long, value_parser = ["proposed", "live", "closed", "all"], default_value = "proposed")]
        state: String,
        /// Only of this person or group, by userName, displayName or id
        #[arg(long, value_name = "WHO")]
        resource: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Confirm proposed links: the account is that person's or group's, and the work goes on
    Confirm {
        /// The instance, by name or id
        instance: String,
        /// Their ids
        #[arg(required = true)]
        links: Vec<String>,
    },
    /// Reject proposed links: that account is not proposed for that person or group again
    Reject {
        /// The instance, by name or id
        instance: String,
        /// Their ids
        #[arg(required = true)]
        links: Vec<String>,
    },
    /// Link a person or group by hand to an account that nothing proposes; a link in force ends
    Set {
        /// The instance, by name or id
        instance: String,
        /// The person or group, by userName, displayName or id
        resource: String,
        /// The id that the account or group has at the target and never loses; not its login
        #[arg(value_name = "ID_AT_TARGET")]
        remote_id: String,
    },
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::List { instance, state, resource, page } => {
                list(&client, &instance, &state, resource.as_deref(), &page).await
            }
            Verb::Confirm { instance, links } => confirm(&client, &instance, &links).await,
            Verb::Reject { instance, links } => reject(&client, &instance, &links).await,
            Verb::Set { instance, resource, remote_id } => {
                let id = client.instance_id(&instance).await?;
                let set = set(&client, &id, &resource, &remote_id).await?;
                told(&client, &set)?;
                Ok(Exit::Ok)
            }
        }
    }
}

async fn list(client: &Client, instance: &str, state: &str, resource: Option<&str>, page: &Page) -> Done {
    let id = client.instance_id(instance).await?;
    let mut query = Vec::new();
    if state != "all" {
        query.push(format!("state={state}"));
    }
    query.extend(resource.map(|who| format!("resource={}", escape(who))));
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let Some(items) = page.items(client, &format!("/instances/{id}/links{query}"), MOST).await? else {
        return Ok(Exit::Ok);
    };
    client.out.table(&table(&items, &|at| client.out.time(at)), "There is no such link.")?;
    Ok(Exit::Ok)
}

/// The ids always have their columns: what follows a list wants them.
fn table(items: &[Value], time: &dyn Fn(&str) -> String) -> Table {
    let mut table = Table::new([
        column("ID"),
        column("WHO"),
        column("ID AT TARGET"),
        column("ACCOUNT"),
        column("FOUND BY").rank(1),
        column("STATE").rank(2),
        column("SINCE").rank(3),
    ]);
    for item in items {
        let account = &item["account"];
        let called = ["login", "email", "name"].iter().find_map(|field| account[*field].as_str()).unwrap_or("-");
        let known = account["remote_id"].as_str().map_or_else(
            || account["invite_id"].as_str().map_or_else(|| "-".to_owned(), |id| format!("invitation {id}")),
            str::to_owned,
        );
        let state = if item["rejected"] == true { "rejected".to_owned() } else { text(item, "state") };
        table.row([
            text(item, "id"),
            text(&item["resource"], "name"),
            known,
            format!("{called} ({})", text(account, "status")),
            text(item, "evidence"),
            state,
            time(&text(item, "opened_at")),
        ]);
    }
    table
}

async fn set(client: &Client, instance: &str, resource: &str, remote_id: &str) -> Result<Value, Stop> {
    let body = json!({"resource": resource, "remote_id": remote_id});
    client.call(Method::POST, &format!("/instances/{instance}/links"), Some(&body)).await
}

/// A link that was made.
fn told(client: &Client, link: &Value) -> Result<(), Stop> {
    if client.out.json {
        return client.out.document(link);
    }
    let (who, account) = (text(&link["resource"], "name"), text(&link["account"], "remote_id"));
    client.out.line(&format!("{}\t{who}\t{account}\t{}", text(link, "id"), text(link, "state")))
}

async fn confirm(client: &Client, instance: &str, links: &[String]) -> Done {
    let id = client.instance_id(instance).await?;
    let proposed = client.list(&format!("/instances/{id}/links?state=proposed"), usize::MAX).await?;
    let mut ends = Ends::default();
    for link in links {
        let result = match chosen(&proposed, link) {
            Ok((resource, remote)) => set(client, &id, &resource, &remote).await,
            Err(stop) => Err(stop),
        };
        match result {
            Ok(made) => {
                told(client, &made)?;
                ends.done += 1;
            }
            Err(stop) => ends.refused(client, link, stop, links.len())?,
        }
    }
    ends.exit()
}

/// The person or group and the account of a proposed link.
fn chosen(proposed: &[Value], link: &str) -> Result<(String, String), Stop> {
    let found = proposed.iter().find(|one| one["id"] == link).ok_or_else(|| {
        Stop::new(Exit::NotFound, "This instance proposes no such link. Those that wait: scimgate link list INSTANCE")
    })?;
    match found["account"]["remote_id"].as_str() {
        Some(remote) => Ok((text(&found["resource"], "id"), remote.to_owned())),
        None => Err(Stop::failed(
            "That account is an invitation, which has no id yet. It can be linked once it was accepted.",
        )),
    }
}

async fn reject(client: &Client, instance: &str, links: &[String]) -> Done {
    let id = client.instance_id(instance).await?;
    let mut ends = Ends::default();
    for link in links {
        let path = format!("/instances/{id}/links/{}", escape(link));
        match client.call(Method::DELETE, &path, None).await {
            Ok(_) => {
                if !client.out.json {
                    client.out.line(&format!("{link}\trejected"))?;
                }
                ends.done += 1;
            }
            Err(stop) => ends.refused(client, link, stop, links.len())?,
        }
    }
    ends.exit()
}

/// How several decisions ended.
#[derive(Default)]
struct Ends {
    done: usize,
    refused: Option<Stop>,
}

impl Ends {
    /// One was refused; what concerns the gateway, or was the only one, ends the command.
    fn refused(&mut self, client: &Client, link: &str, stop: Stop, of: usize) -> Result<(), Stop> {
        if of == 1 || matches!(stop.exit, Exit::Unreachable | Exit::NotAllowed | Exit::TimedOut) {
            return Err(stop);
        }
        client.out.hint(&format!("{link}: {stop}"));
        self.refused = Some(stop);
        Ok(())
    }

    fn exit(self) -> Done {
        Ok(match self.refused {
            None => Exit::Ok,
            Some(_) if self.done > 0 => Exit::Partly,
            Some(stop) => stop.exit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::Look;
    use super::*;

    fn link(id: &str, account: &Value) -> Value {
        json!({"id": id, "state": "proposed", "rejected": false, "evidence": "email", "opened_at": "2026-01-01T00:00:00Z",
            "resource": {"id": "r1", "name": "ada@example.com"}, "account": account})
    }

    #[test]
    fn a_link_is_confirmed_by_its_id_and_an_invitation_is_not() {
        let all = [
            link("lk_1", &json!({"remote_id": "4711", "status": "active", "login": "ada"})),
            link(
                "lk_2",
                &json!({"remote_id": null, "invite_id": "i9", "status": "invited", "email": "ada@example.com"}),
            ),
        ];
        assert_eq!(chosen(&all, "lk_1").ok(), Some(("r1".to_owned(), "4711".to_owned())));
        assert!(chosen(&all, "lk_2").is_err_and(|stop| stop.message.contains("invitation")));
        assert!(chosen(&all, "lk_3").is_err_and(|stop| stop.exit == Exit::NotFound));
        let told = table(&all, &|_| "now".to_owned()).render(Look::Aligned(80));
        for word in ["lk_1", "4711", "ada (active)", "invitation i9"] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }
}
