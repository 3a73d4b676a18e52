//! `scimgate key`.

use clap::{Args, Subcommand};
use http::Method;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::instance::Page;
use super::out::ask;
use super::table::{Table, column};
use super::times;
use crate::clock::Clock;

/// `scimgate key`.
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
    /// Make a key; it is printed this once, alone on standard output
    Create {
        /// The instance, by name or id
        instance: String,
        /// Its name for people
        #[arg(long)]
        name: Option<String>,
        /// When it dies: a span such as 365d, or a time in RFC 3339 [default: never]
        #[arg(long, value_name = "WHEN")]
        expires: Option<String>,
        /// What it may do [default: scim]
        #[arg(long = "scope", value_name = "SCOPE", value_parser = ["scim", "scim:read"], conflicts_with = "person")]
        scopes: Vec<String>,
        /// The SCIM id of the user it belongs to: it then opens /Me and nothing else
        #[arg(long, value_name = "ID")]
        person: Option<String>,
        /// Most requests it may make, such as 50/s, 600/m or 10000/h [default: inbound_per_key of the gateway]
        #[arg(long, value_name = "N/UNIT")]
        rate_limit: Option<String>,
    },
    /// List the keys, without their text
    List {
        /// The instance, by name or id
        instance: String,
        #[command(flatten)]
        page: Page,
    },
    /// Make a new key in place of one
    Rotate {
        /// The instance, by name or id
        instance: String,
        /// The key, by name or id
        key: String,
        /// How long the old one lives on: a span such as 24h
        #[arg(long, value_name = "SPAN", default_value = "0s", value_parser = times::span)]
        overlap: SignedDuration,
    },
    /// Make a link by which somebody without an account makes one key; it is printed this once
    HandOver {
        /// The instance, by name or id
        instance: String,
        /// The identity provider whose steps it shows, such as entra [default: they choose it]
        #[arg(long, value_name = "ID")]
        guide: Option<String>,
        /// How long it can be used: a span of whole hours such as 72h, at most 14 days
        #[arg(long, value_name = "SPAN", default_value = "72h", value_parser = times::span)]
        expires: SignedDuration,
    },
    /// End a key at once
    Revoke {
        /// The instance, by name or id
        instance: String,
        /// The key, by name or id
        key: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::Create { instance, name, expires, scopes, person, rate_limit } => {
                let mut body = json!({});
                for (field, value) in [("name", name), ("person", person), ("rate_limit", rate_limit)] {
                    if let Some(value) = value {
                        body[field] = value.into();
                    }
                }
                if !scopes.is_empty() {
                    body["scopes"] = scopes.into();
                }
                create(&client, &instance, expires, body).await
            }
            Verb::List { instance, page } => list(&client, &instance, &page).await,
            Verb::Rotate { instance, key, overlap } => rotate(&client, &instance, &key, overlap).await,
            Verb::HandOver { instance, guide, expires } => link(&client, &instance, guide, expires).await,
            Verb::Revoke { instance, key, yes } => revoke(&client, &instance, &key, yes).await,
        }
    }
}

async fn create(client: &Client, instance: &str, expires: Option<String>, mut body: Value) -> Done {
    let id = client.instance_id(instance).await?;
    if let Some(expires) = expires {
        body["expires_at"] = times::time(&expires, Clock::system().now(), false)?.to_string().into();
    }
    let made = client.call(Method::POST, &format!("/instances/{id}/keys"), Some(&body)).await?;
    hand_over(client, &made)
}

/// Prints a new key. Alone on standard output, so that it can go into a file or a secret store.
fn hand_over(client: &Client, made: &Value) -> Done {
    if client.out.json {
        client.out.document(made)?;
    } else {
        client.out.line(&text(made, "key"))?;
    }
    client.out.hint(&format!("Key {} is shown this once. Store it now.", text(made, "id")));
    Ok(Exit::Ok)
}

async fn list(client: &Client, instance: &str, page: &Page) -> Done {
    let id = client.instance_id(instance).await?;
    let Some(items) = page.items(client, &format!("/instances/{id}/keys"), usize::MAX).await? else {
        return Ok(Exit::Ok);
    };
    let mut table = Table::new([
        column("NAME"),
        column("ID"),
        column("STATE"),
        column("LAST USED").rank(1),
        column("EXPIRES").rank(2),
        column("SCOPES").rank(3),
        column("PERSON").rank(4),
        column("CLIENT").rank(5),
    ]);
    for item in &items {
        let when = |field: &str, none: &str| {
            item[field].as_str().map_or_else(|| none.to_owned(), |time| client.out.time(time))
        };
        let scopes: Vec<&str> = item["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let state = if item["active"] == false { "dead" } else { "active" };
        table.row([
            text(item, "name"),
            text(item, "id"),
            state.to_owned(),
            when("last_used_at", "never"),
            when("expires_at", "never"),
            scopes.join(" "),
            text(item, "person"),
            text(item, "client"),
        ]);
    }
    client.out.table(&table, &format!("The instance has no key yet. Make one with: scimgate key create {id}"))?;
    Ok(Exit::Ok)
}

/// The id of the key that a name or an id means. Of keys with one name the living ones count.
async fn key_id(client: &Client, instance: &str, word: &str) -> Result<String, Stop> {
    let keys = client.list(&format!("/instances/{instance}/keys"), usize::MAX).await?;
    if keys.iter().any(|key| key["id"] == word) {
        return Ok(word.to_owned());
    }
    let mut named: Vec<&Value> = keys.iter().filter(|key| key["name"] == word).collect();
    if named.iter().any(|key| key["active"] == true) {
        named.retain(|key| key["active"] == true);
    }
    match named.as_slice() {
        [one] => Ok(text(one, "id")),
        [] => Err(Stop::new(
            Exit::NotFound,
            format!("The instance has no key {word:?}. See: scimgate key list {instance}"),
        )),
        several => {
            let ids: Vec<String> = several.iter().map(|key| text(key, "id")).collect();
            Err(Stop::usage(format!("{word:?} means several keys; give the id of one: {}.", ids.join(", "))))
        }
    }
}

async fn rotate(client: &Client, instance: &str, key: &str, overlap: SignedDuration) -> Done {
    let id = client.instance_id(instance).await?;
    let key = key_id(client, &id, key).await?;
    let body = json!({"overlap_seconds": overlap.as_secs()});
    let made = client.call(Method::POST, &format!("/instances/{id}/keys/{}/rotate", escape(&key)), Some(&body)).await?;
    hand_over(client, &made)?;
    client.out.hint(&if overlap.is_zero() {
        format!("The old key {key} is dead.")
    } else {
        format!("The old key {key} ends in {overlap:#}.")
    });
    Ok(Exit::Ok)
}

/// Prints a hand-over link, alone on standard output.
async fn link(client: &Client, instance: &str, guide: Option<String>, expires: SignedDuration) -> Done {
    let id = client.instance_id(instance).await?;
    let hour = SignedDuration::from_hours(1);
    if expires < hour || expires.as_secs() % hour.as_secs() != 0 {
        return Err(Stop::usage("--expires must be whole hours, such as 72h."));
    }
    let body = json!({"hours": expires.as_hours(), "guide": guide});
    let made = client.call(Method::POST, &format!("/instances/{id}/handovers"), Some(&body)).await?;
    if client.out.json {
        client.out.document(&made)?;
    } else {
        client.out.line(&text(&made, "url"))?;
    }
    client
        .out
        .hint(&format!("Whoever has the link can make one key until {}.", client.out.time(&text(&made, "expires_at"))));
    Ok(Exit::Ok)
}

async fn revoke(client: &Client, instance: &str, key: &str, yes: bool) -> Done {
    let id = client.instance_id(instance).await?;
    let key = key_id(client, &id, key).await?;
    if !yes {
        match ask(&format!("Revoke {key}? Whoever uses it gets 401 at once. [y/N]")).as_deref() {
            Some("y" | "Y" | "yes") => {}
            Some(_) => return Err(Stop::new(Exit::Unconfirmed, "Nothing was revoked.")),
            None => return Err(Stop::new(Exit::Unconfirmed, "Revoking needs a confirmation: --yes")),
        }
    }
    client.call(Method::DELETE, &format!("/instances/{id}/keys/{}", escape(&key)), None).await?;
    client.out.hint(&format!("Revoked {key}."));
    Ok(Exit::Ok)
}
