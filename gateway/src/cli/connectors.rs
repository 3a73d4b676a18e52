//! `scimgate connectors`. It needs no gateway: the connectors are built in.

use clap::Args;
use connector_sdk::Entry;
use serde_json::Value;

use super::client::{Client, text};
use super::exit::{Done, Exit, Stop};
use super::out::Out;
use super::table::{Table, column};
use crate::service::catalogue::Listed;

/// `scimgate connectors [NAME]`.
#[derive(Debug, Args)]
pub(super) struct Connectors {
    /// A connector: shows its settings, attributes and limits
    name: Option<String>,
    /// Print JSON, in the form of the admin API
    #[arg(long)]
    json: bool,
    /// Show every column on a terminal
    #[arg(long)]
    wide: bool,
}

impl Connectors {
    #[expect(clippy::unused_async, reason = "every command runs the same way")]
    pub(super) async fn run(self) -> Done {
        let out = Out::new(self.json, self.wide);
        let all: Vec<Value> = connectors::builtin().iter().map(describe).collect();
        match self.name {
            None if self.json => out.document(&Value::Array(all))?,
            None => list(out, &all)?,
            Some(name) => {
                let one = pick(&all, &name)?;
                if self.json {
                    out.document(one)?;
                } else {
                    show(out, one)?;
                }
            }
        }
        Ok(Exit::Ok)
    }
}

/// A connector as `GET /admin/v1/connectors` shows it.
fn describe(entry: &Entry) -> Value {
    Listed::built_in(entry.clone()).describe()
}

fn pick<'a>(all: &'a [Value], name: &str) -> Result<&'a Value, Stop> {
    all.iter().find(|item| item["name"] == name).ok_or_else(|| {
        let names: Vec<String> = all.iter().map(|item| text(item, "name")).collect();
        Stop::new(Exit::NotFound, format!("There is no connector {name:?}. There are: {}.", names.join(", ")))
    })
}

/// The description of a connector by the gateway that is spoken to, which may be of another version.
pub(super) async fn find(client: &Client, name: &str) -> Result<Value, Stop> {
    let all = client.list("/connectors", usize::MAX).await?;
    pick(&all, name).cloned()
}

fn list(out: Out, all: &[Value]) -> Result<(), Stop> {
    let mut table = Table::new([column("NAME"), column("TITLE"), column("KIND"), column("REQUIRED").rank(1)]);
    for item in all {
        let required: Vec<String> =
            settings(item).filter(|setting| setting["required"] == true).map(|setting| text(setting, "name")).collect();
        table.row([text(item, "name"), text(item, "title"), text(item, "kind"), required.join(", ")]);
    }
    out.table(&table, "")?;
    out.hint("Settings and limits of one: scimgate connectors NAME");
    Ok(())
}

fn settings(item: &Value) -> impl Iterator<Item = &Value> {
    item["settings"].as_array().into_iter().flatten()
}

pub(super) fn show(out: Out, item: &Value) -> Result<(), Stop> {
    out.line(&format!("{}: {} ({})", text(item, "name"), text(item, "title"), text(item, "kind")))?;
    out.line("")?;
    out.line("Settings; a credential goes into --secret, the rest into --set:")?;
    for setting in settings(item) {
        let mut facts = vec![text(setting, "class"), text(setting, "type")];
        if let Some(values) = setting["values"].as_array() {
            facts.push(values.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" | "));
        }
        match (setting["required"] == true, setting["default"].as_str()) {
            (true, _) => facts.push("required".to_owned()),
            (false, Some(default)) => facts.push(format!("default {default}")),
            (false, None) => {}
        }
        out.line(&format!("  {} ({})", text(setting, "name"), facts.join(", ")))?;
        out.line(&format!("      {}", text(setting, "help")))?;
    }
    out.line("")?;
    out.line("Attributes that reach the target; others are kept in the directory:")?;
    for attribute in item["attributes"].as_array().into_iter().flatten() {
        out.line(&format!("  {}: {}", text(attribute, "name"), text(attribute, "description")))?;
    }
    for extension in item["extensions"].as_array().into_iter().flatten() {
        for attribute in extension["attributes"].as_array().into_iter().flatten() {
            let name = format!("{}:{}", text(extension, "urn"), text(attribute, "name"));
            out.line(&format!("  {name}: {}", text(attribute, "description")))?;
        }
    }
    out.line("")?;
    out.line("Limits:")?;
    for limit in item["limits"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.line(&format!("  {limit}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connector_is_described() {
        for entry in connectors::builtin() {
            let described = describe(&entry);
            // Tasks for people are done at no target, so there is nothing to sign in to.
            let signs_in = entry.name != "manual";
            let credential = settings(&described).any(|setting| setting["class"] == "credential");
            assert_eq!(credential, signs_in, "{described}");
            assert!(described["limits"].as_array().is_some_and(|limits| !limits.is_empty()), "{described}");
        }
    }

    /// The command needs no gateway, so it describes by itself; both have to say the same.
    #[tokio::test]
    async fn connectors_are_described_as_the_admin_api_does() {
        use tower::ServiceExt;

        let folder = tempfile::tempdir().unwrap();
        let app = crate::service::App::for_tests(folder.path(), crate::clock::Clock::system()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let request =
            http::Request::get("/admin/v1/connectors").header("authorization", "Bearer admin-token-for-tests");
        let answer = crate::app::router(&app).oneshot(request.body(axum::body::Body::empty()).unwrap()).await.unwrap();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let own: Vec<Value> = connectors::builtin().iter().map(describe).collect();
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), Value::Array(own));
    }

    #[test]
    fn an_unknown_connector_is_not_found() {
        assert_eq!(pick(&[], "gitlab").unwrap_err().exit, Exit::NotFound);
    }
}
