//! `scimgate drift`: where a target differs from what was asserted.

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit};
use super::instance::Page;
use super::table::{Table, column};

/// So many differences are shown where no number is given.
const MOST: usize = 100;

/// `scimgate drift NAME`.
#[derive(Debug, Args)]
pub(super) struct Drift {
    /// The instance, by name or id
    instance: String,
    /// Only of this class
    #[arg(long, value_parser = ["missing", "vanished", "changed", "renamed", "extra", "unmanaged"])]
    class: Option<String>,
    /// Repair this difference now
    #[arg(long, value_name = "ID", conflicts_with_all = ["class", "dismiss"])]
    repair: Option<String>,
    /// Leave this difference as it is, until the identity provider writes that fact again
    #[arg(long, value_name = "ID", conflicts_with = "class")]
    dismiss: Option<String>,
    /// Why it is left
    #[arg(long, value_name = "WORDS", requires = "dismiss")]
    why: Option<String>,
    #[command(flatten)]
    page: Page,
    #[command(flatten)]
    remote: Remote,
}

impl Drift {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        let instance = client.instance(&self.instance).await?;
        let path = format!("/instances/{}/drift", text(&instance, "id"));
        let decided = match (&self.repair, &self.dismiss) {
            (Some(one), _) => Some((one, "repair", json!({}))),
            (_, Some(one)) => Some((one, "dismiss", json!({"why": self.why.unwrap_or_default()}))),
            _ => None,
        };
        if let Some((one, act, body)) = decided {
            let answer = client.call(Method::POST, &format!("{path}/{}/{act}", escape(one)), Some(&body)).await?;
            if client.out.json {
                client.out.document(&answer)?;
            } else {
                client.out.line(&format!("{one}\t{act}"))?;
            }
            return Ok(Exit::Ok);
        }
        let path = self.class.map_or(path.clone(), |class| format!("{path}?class={class}"));
        let Some(items) = self.page.items(&client, &path, MOST).await? else { return Ok(Exit::Ok) };
        let mut table = Table::new([
            column("CLASS"),
            column("WHO"),
            column("AT").rank(2),
            column("WHAT"),
            column("ACTION"),
            column("SINCE").rank(3),
            column("ID").rank(1),
        ]);
        for item in &items {
            table.row([
                text(item, "class"),
                who(item),
                if item["member"].is_null() { String::new() } else { text(&item["resource"], "name") },
                text(&item["detail"], "message"),
                text(item, "action"),
                client.out.time(&text(item, "first_seen")),
                text(item, "id"),
            ]);
        }
        client.out.table(&table, "Nothing differs, as far as the last comparison saw.")?;
        Ok(Exit::Ok)
    }
}

/// Whom a difference is about.
fn who(item: &Value) -> String {
    let names = [
        &item["member"]["userName"],
        &item["detail"]["member"],
        &item["resource"]["name"],
        &item["account"]["login"],
        &item["account"]["email"],
        &item["account"]["name"],
        &item["remote"],
    ];
    names.into_iter().find_map(Value::as_str).unwrap_or("-").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_whom_it_is_about() {
        for (item, name) in [
            (json!({"member": {"userName": "ada"}, "resource": {"name": "Eng"}}), "ada"),
            (json!({"member": null, "resource": {"name": "Eng"}}), "Eng"),
            (json!({"member": null, "resource": null, "account": {"login": null, "email": "a@x"}}), "a@x"),
            (json!({"remote": "7", "detail": {"member": "mallory"}, "resource": {"name": "Eng"}}), "mallory"),
            (json!({}), "-"),
        ] {
            assert_eq!(who(&item), name, "{item}");
        }
    }
}
