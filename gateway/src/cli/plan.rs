//! `scimgate plan`: what would be sent to a target, before anything is.

use clap::Args;
use serde_json::{Value, json};

use super::client::{Client, Remote, text};
use super::exit::{Done, Exit};
use super::table::{Table, column};

/// So many pieces of work are shown where no number is given.
const MOST: usize = 100;

/// `scimgate plan NAME`.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The instance, by name or id
    instance: String,
    /// Show so many people and groups at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// End with 10 if there is anything to do
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Plan {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        let instance = client.instance(&self.instance).await?;
        let path = format!("/instances/{}/plan", text(&instance, "id"));
        let most = self.limit.unwrap_or(MOST);
        let mut plan = client.get(&format!("{path}?limit={}", most.clamp(1, 500))).await?;
        let mut items = plan["items"].as_array().cloned().unwrap_or_default();
        while items.len() < most {
            let Some(cursor) = plan["next"].as_str().map(str::to_owned) else { break };
            let more = client.get(&format!("{path}?limit=500&cursor={cursor}")).await?;
            items.extend(more["items"].as_array().cloned().unwrap_or_default());
            plan["next"] = more["next"].clone();
        }
        let all = items.len() <= most && plan["next"].is_null();
        items.truncate(most);
        let open = plan["totals"]["resources"].as_u64().unwrap_or(0);
        if client.out.json {
            plan["items"] = Value::Array(items);
            client.out.document(&plan)?;
        } else {
            show(&client, &plan, &items, all)?;
        }
        Ok(if self.exit_code && open > 0 { Exit::Changes } else { Exit::Ok })
    }
}

fn show(client: &Client, plan: &Value, items: &[Value], all: bool) -> Result<(), super::exit::Stop> {
    let mut table = Table::new([column(""), column("STEP"), column("WHO"), column("DETAIL").rank(1)]);
    for item in items {
        let name = text(&item["resource"], "name");
        for step in item["steps"].as_array().into_iter().flatten() {
            let action = text(step, "action");
            table.row([sign(&action).to_owned(), action.replace('_', " "), name.clone(), detail(step)]);
        }
        for warning in item["warnings"].as_array().into_iter().flatten() {
            table.row(["!".to_owned(), text(warning, "code"), name.clone(), text(warning, "message")]);
        }
    }
    client.out.table(
        &table,
        "Nothing is to be sent: no change waits. Where the target differs all the same, `scimgate drift` says so.",
    )?;
    if !all {
        client.out.hint("There is more; --limit shows it.");
    }
    let steps = plan["totals"]["steps"].as_object();
    let totals: Vec<String> =
        steps.into_iter().flatten().map(|(word, count)| format!("{count} {}", word.replace('_', " "))).collect();
    if !totals.is_empty() {
        client.out.hint(&format!("{}. {}. Nothing was sent by this.", totals.join(", "), words(plan)));
    }
    let warned = plan["warnings"]["count"].as_u64().unwrap_or(0);
    if warned > 0 {
        client.out.hint(&format!("{warned} need somebody to act."));
    }
    client.out.hint(&format!("Digest: {}", text(plan, "digest")));
    Ok(())
}

fn words(plan: &Value) -> String {
    let mut words = text(&plan["forecast"], "words");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// `+` gives, `-` takes, `~` changes.
fn sign(action: &str) -> &'static str {
    match action {
        "create" | "invite" | "restore" | "create_group" | "add_members" => "+",
        "remove" | "revoke" | "suspend" | "delete_group" | "remove_members" => "-",
        "update" | "rename_group" => "~",
        _ => "?",
    }
}

fn detail(step: &Value) -> String {
    if let Some(count) = step["count"].as_u64() {
        let names: Vec<&str> = step["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let more = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(names.len());
        return match (names.is_empty(), more, step["reason"].as_str()) {
            (true, _, Some(reason)) => format!("{count} ({})", reason.replace('_', " ")),
            (_, 0, _) => names.join(", "),
            (_, more, _) => format!("{} and {more} more", names.join(", ")),
        };
    }
    match (&step["from"], &step["to"], &step["email"]) {
        (from, to, _) if !to.is_null() => {
            let shown = |value: &Value| value.as_str().unwrap_or("-").to_owned();
            format!("{} -> {}", shown(from), shown(to))
        }
        (_, _, email) if *email != json!(null) => text(step, "email"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_told_in_words() {
        for (step, shown) in [
            (json!({"action": "invite", "email": "a@x"}), "a@x"),
            (json!({"action": "update", "from": "member", "to": "admin"}), "member -> admin"),
            (json!({"action": "update", "from": null, "to": "admin"}), "- -> admin"),
            (json!({"action": "add_members", "count": 2, "names": ["a", "b"]}), "a, b"),
            (json!({"action": "add_members", "count": 5, "names": ["a", "b"]}), "a, b and 3 more"),
            (json!({"action": "wait", "count": 3, "reason": "no_account"}), "3 (no account)"),
            (json!({"action": "remove"}), ""),
        ] {
            assert_eq!(detail(&step), shown, "{step}");
        }
        assert_eq!(words(&json!({"forecast": {"words": "no calls"}})), "No calls");
    }
}
