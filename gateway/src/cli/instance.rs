//! `scimgate instance`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::body::{pair, policy, secrets, settings};
use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::out::ask;
use super::table::{Table, column};

const MODES: [&str; 4] = ["enabled", "paused", "rehearse", "disabled"];
/// The largest file that `--from` reads.
const MAX_FILE: u64 = 1 << 20;

/// `scimgate instance`.
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
    /// List the instances
    List(Page),
    /// Show one with its settings and policy
    Show {
        /// Its name or id
        instance: String,
    },
    /// Make one
    Create(Create),
    /// Change one
    Update(Update),
    /// Delete one: its keys die, accounts at the target stay
    Delete {
        /// Its name or id
        instance: String,
        /// Also while people still have to lose access at the target
        #[arg(long)]
        force: bool,
        /// Its name once more, in place of being asked
        #[arg(long, value_name = "NAME")]
        confirm: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Move it to another version of its manifest
    Upgrade(Upgrade),
    /// Check its credential and permissions at the target
    Probe {
        /// Its name or id
        instance: String,
    },
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(super) struct Page {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// With --json: the page that `next` of the page before names
    #[arg(long, value_name = "CURSOR", requires = "json")]
    cursor: Option<String>,
}

impl Page {
    /// How many items are wanted; `most` where no number is given.
    pub(super) fn most(&self, most: usize) -> usize {
        self.limit.map_or(most, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }

    /// Prints one page as JSON, or gives the items.
    pub(super) async fn items(&self, client: &Client, path: &str, most: usize) -> Result<Option<Vec<Value>>, Stop> {
        if !client.out.json {
            return client.list(path, self.most(most)).await.map(Some);
        }
        let mut path = path.to_owned();
        let mut add = |name: &str, value: String| {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{name}={value}"));
        };
        if let Some(limit) = self.limit {
            add("limit", limit.to_string());
        }
        if let Some(cursor) = &self.cursor {
            add("cursor", escape(cursor));
        }
        client.out.document(&client.get(&path).await?)?;
        Ok(None)
    }
}

#[derive(Debug, Args)]
struct Create {
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// The connector; `scimgate connectors` lists them
    #[arg(long, required_unless_present = "from")]
    connector: Option<String>,
    /// JSON file to begin with: a body of the admin API, or the line that `scimgate simulate` prints
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// A setting of the connector
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A credential; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "NAME=@FILE", value_parser = pair)]
    secret: Vec<(String, String)>,
    /// A field of the policy; the value is JSON or text
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    policy: Vec<(String, String)>,
    /// JSON file with what it declares of schemas: attributes, extensions, resource_types
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// The version of a connector that is a manifest [default: the newest]
    #[arg(long, value_name = "VERSION")]
    connector_version: Option<String>,
    /// What it does with what it is told [default: enabled]
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// Leave it as it is if there is one of that name
    #[arg(long)]
    if_absent: bool,
}

#[derive(Debug, Args)]
struct Update {
    /// Its name or id
    instance: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// What it does with what it is told
    #[arg(long, value_parser = MODES)]
    mode: Option<String>,
    /// A setting of the connector
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A setting to take back to its default
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// A credential; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "NAME=@FILE", value_parser = pair)]
    secret: Vec<(String, String)>,
    /// A field of the policy; the value is JSON or text, null takes it back to its default
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    policy: Vec<(String, String)>,
    /// To enable one that has been rehearsing: the digest that `scimgate plan` ends with
    #[arg(long, value_name = "DIGEST")]
    plan_digest: Option<String>,
    /// JSON file with what it declares of schemas: attributes, extensions, resource_types; lists that it does not name
    /// stay, null takes one away
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Take a new credential although the target cannot be asked, or it is another identity's
    #[arg(long)]
    force: bool,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let client = Client::new(&self.remote)?;
        match self.verb {
            Verb::List(page) => list(&client, &page).await,
            Verb::Show { instance } => show(&client, &client.instance(&instance).await?),
            Verb::Create(create) => create.run(&client).await,
            Verb::Update(update) => update.run(&client).await,
            Verb::Delete { instance, force, confirm, yes } => delete(&client, &instance, force, confirm, yes).await,
            Verb::Upgrade(upgrade) => upgrade.run(&client).await,
            Verb::Probe { instance } => probe(&client, &instance).await,
        }
    }
}

async fn list(client: &Client, page: &Page) -> Done {
    let Some(items) = page.items(client, "/instances", usize::MAX).await? else { return Ok(Exit::Ok) };
    let mut table = Table::new([
        column("NAME"),
        column("CONNECTOR").rank(2),
        column("MODE"),
        column("ID").rank(1),
        column("SCIM BASE URL").rank(3),
    ]);
    for item in &items {
        table.row(["name", "connector", "mode", "id", "scim_base_url"].map(|field| text(item, field)));
    }
    client.out.table(&table, "There is no instance yet. Make one with: scimgate instance create")?;
    Ok(Exit::Ok)
}

/// One instance, a line per field; what lies inside another field has its path.
fn show(client: &Client, instance: &Value) -> Done {
    if client.out.json {
        client.out.document(instance)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new([column("FIELD"), column("VALUE")]);
    for (field, value) in instance.as_object().into_iter().flatten() {
        match value {
            // Two levels: the admin API's instance has no deeper ones that are not values of their own.
            Value::Object(inner) => {
                inner.iter().for_each(|(name, value)| table.row([format!("{field}.{name}"), shown(value)]))
            }
            other => table.row([field.clone(), shown(other)]),
        }
    }
    client.out.table(&table, "")?;
    Ok(Exit::Ok)
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(Value::is_string) => {
            items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

async fn connector(client: &Client, name: &str) -> Result<Value, Stop> {
    super::connectors::find(client, name).await
}

impl Create {
    async fn run(self, client: &Client) -> Done {
        let mut body = match &self.from {
            Some(file) => read_body(file)?,
            None => Map::new(),
        };
        if let Some(name) = self.name {
            body.insert("name".into(), name.into());
        }
        if let Some(connector) = self.connector {
            body.insert("connector".into(), connector.into());
        }
        let named = body
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Stop::usage("The instance needs a name: --name NAME"))?;
        if let Some(version) = self.connector_version {
            body.insert("connector_version".into(), version.into());
        }
        let kind = body
            .get("connector")
            .and_then(Value::as_str)
            .ok_or_else(|| Stop::usage("The instance needs a connector: --connector NAME"))?;
        let described = connector(client, kind).await?;
        put_into(&mut body, "settings", settings(&self.set, &described)?)?;
        put_into(&mut body, "secrets", secrets(&self.secret)?)?;
        if !self.policy.is_empty() {
            put_into(&mut body, "policy", policy(&self.policy))?;
        }
        if let Some(file) = &self.schema {
            body.insert("schema".into(), Value::Object(read_object("--schema", file)?));
        }
        match self.mode {
            Some(mode) => body.insert("mode".into(), mode.into()),
            None => None,
        };
        body.entry("mode").or_insert_with(|| "enabled".into());
        if let Some(known) = called(client, &named).await? {
            if !self.if_absent {
                return Err(taken(&named, &known, "Give another --name, or --if-absent to go on with that one."));
            }
            client.out.hint(&format!("{named:?} is there already ({}); nothing was changed.", text(&known, "id")));
            return announce(client, &known);
        }
        let made = client.call(Method::POST, "/instances", Some(&Value::Object(body))).await.map_err(lacking)?;
        let id = text(&made, "id");
        announce(client, &made)?;
        client.out.hint(&format!(
            "Created {id} ({}). Next: scimgate instance probe {id}, which checks the credential; then scimgate key create {id}",
            text(&made, "mode")
        ));
        Ok(Exit::Ok)
    }
}

/// The instance of exactly this name.
async fn called(client: &Client, name: &str) -> Result<Option<Value>, Stop> {
    Ok(client.list("/instances", usize::MAX).await?.into_iter().find(|item| item["name"] == name))
}

/// Two of one name could only be told apart by their ids, in every command.
fn taken(name: &str, known: &Value, way: &str) -> Stop {
    Stop::usage(format!("{name:?} is the name of {} already. {way} Nothing was changed.", text(known, "id")))
}

/// A credential that lacks, in the words of the command line.
fn lacking(stop: Stop) -> Stop {
    let field = stop.problem.as_ref().and_then(|problem| problem["field"].as_str());
    let Some(name) = field.map(|field| field.rsplit('.').next().unwrap_or(field).to_owned()) else { return stop };
    let message = stop
        .message
        .replace("is required, under `secrets`", &format!("is required: give it with --secret {name}=@FILE"));
    Stop { message, ..stop }
}

fn announce(client: &Client, instance: &Value) -> Done {
    if client.out.json {
        client.out.document(instance)?;
    } else {
        client.out.line(&format!("{}\t{}", text(instance, "id"), text(instance, "scim_base_url")))?;
    }
    Ok(Exit::Ok)
}

/// The object of a file, less what the ready line of a simulator has beside a body.
fn read_body(file: &PathBuf) -> Result<Map<String, Value>, Stop> {
    let mut body = read_object("--from", file)?;
    body.remove("target");
    body.remove("base_url");
    Ok(body)
}

/// The object of a file that a flag names.
fn read_object(flag: &str, file: &PathBuf) -> Result<Map<String, Value>, Stop> {
    let wrong = |error: String| Stop::usage(format!("{flag} {}: {error}", file.display()));
    if std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len() > MAX_FILE {
        return Err(wrong("the file is larger than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("not a JSON object: {error}")))
}

/// Puts fields over those of an object inside `body`.
fn put_into(body: &mut Map<String, Value>, field: &str, more: Map<String, Value>) -> Result<(), Stop> {
    match body.entry(field).or_insert_with(|| json!({})) {
        Value::Object(fields) => {
            fields.extend(more);
            Ok(())
        }
        _ => Err(Stop::usage(format!("{field} in the file is not an object"))),
    }
}

impl Update {
    async fn run(self, client: &Client) -> Done {
        let instance = client.instance(&self.instance).await?;
        let id = text(&instance, "id");
        let mut body = Map::new();
        if let Some(name) = self.name {
            if let Some(known) = called(client, &name).await?.filter(|known| known["id"] != instance["id"]) {
                return Err(taken(&name, &known, "Give another --name."));
            }
            body.insert("name".into(), name.into());
        }
        if let Some(mode) = self.mode {
            body.insert("mode".into(), mode.into());
        }
        if let Some(digest) = self.plan_digest {
            body.insert("plan_digest".into(), digest.into());
        }
        let mut changed = Map::new();
        if !self.set.is_empty() {
            changed = settings(&self.set, &connector(client, &text(&instance, "connector")).await?)?;
        }
        changed.extend(self.unset.into_iter().map(|name| (name, Value::Null)));
        let parts = [("settings", changed), ("secrets", secrets(&self.secret)?), ("policy", policy(&self.policy))];
        body.extend(
            parts
                .into_iter()
                .filter(|(_, part)| !part.is_empty())
                .map(|(field, part)| (field.to_owned(), Value::Object(part))),
        );
        if let Some(file) = &self.schema {
            body.insert("schema".into(), Value::Object(read_object("--schema", file)?));
        }
        if body.is_empty() {
            return Err(Stop::usage(
                "Nothing to change was given: --name, --mode, --set, --unset, --secret, --policy or --schema",
            ));
        }
        let force = if self.force { "?force=true" } else { "" };
        let now = client.call(Method::PATCH, &format!("/instances/{id}{force}"), Some(&Value::Object(body))).await?;
        announce(client, &now)?;
        client.out.hint(&format!("Updated {id} ({}).", text(&now, "mode")));
        Ok(Exit::Ok)
    }
}

#[derive(Debug, Args)]
struct Upgrade {
    /// Its name or id
    instance: String,
    /// The version, newer or older; `scimgate manifest show NAME` lists them
    version: String,
    /// A setting to change with it
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A setting to take away with it
    #[arg(long, value_name = "NAME")]
    unset: Vec<String>,
    /// A credential to change with it; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "NAME=@FILE", value_parser = pair)]
    secret: Vec<(String, String)>,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take a new credential although the target cannot be asked, or it is another identity's
    #[arg(long)]
    force: bool,
}

impl Upgrade {
    async fn run(self, client: &Client) -> Done {
        let instance = client.instance(&self.instance).await?;
        let (id, connector) = (text(&instance, "id"), text(&instance, "connector"));
        let mut changed = Map::new();
        if !self.set.is_empty() {
            let place = format!("/manifests/{}/{}", escape(&connector), escape(&self.version));
            changed = settings(&self.set, &client.get(&place).await?["connector"])?;
        }
        changed.extend(self.unset.into_iter().map(|name| (name, Value::Null)));
        let body = json!({
            "version": self.version,
            "settings": changed,
            "secrets": secrets(&self.secret)?,
            "dry_run": self.dry_run,
            "force": self.force,
        });
        let answer = client.call(Method::POST, &format!("/instances/{id}/upgrade"), Some(&body)).await?;
        if client.out.json {
            client.out.document(&answer)?;
            return Ok(Exit::Ok);
        }
        let changes = &answer["changes"];
        let mut table = Table::new([column("CHANGES"), column("FROM"), column("TO")]);
        table.row(["version".to_owned(), text(changes, "from"), text(changes, "to")]);
        for (what, list) in changes["settings"].as_object().into_iter().flatten() {
            if list.as_array().is_some_and(|list| !list.is_empty()) {
                table.row([format!("settings {}", what.replace('_', " ")), String::new(), shown(list)]);
            }
        }
        for (name, change) in changes["traits"].as_object().into_iter().flatten() {
            table.row([name.clone(), shown(&change["from"]), shown(&change["to"])]);
        }
        if changes["driver_key"].is_object() {
            let key = &changes["driver_key"];
            table.row(["driver_key".to_owned(), text(key, "from"), text(key, "to")]);
        }
        if changes["schemas"] == true {
            table.row(["schemas", "", "changed"]);
        }
        client.out.table(&table, "")?;
        client.out.hint(&match self.dry_run {
            true => "Nothing was changed. Without --dry-run it is.".to_owned(),
            false => format!("{id} holds to version {} of {connector}.", text(changes, "to")),
        });
        Ok(Exit::Ok)
    }
}

async fn delete(client: &Client, word: &str, force: bool, confirm: Option<String>, yes: bool) -> Done {
    let instance = client.instance(word).await?;
    let (id, name) = (text(&instance, "id"), text(&instance, "name"));
    if !yes {
        let question = format!("Type {name} to delete it, its keys and its credentials; accounts at the target stay:");
        let Some(typed) = confirm.or_else(|| ask(&question)) else {
            return Err(Stop::new(Exit::Unconfirmed, format!("Deleting needs a confirmation: --confirm {name:?}")));
        };
        if typed != name {
            return Err(Stop::new(
                Exit::Unconfirmed,
                format!("{typed:?} is not its name, {name:?}. Nothing was deleted."),
            ));
        }
    }
    let query = if force { "?force=true" } else { "" };
    client.call(Method::DELETE, &format!("/instances/{id}{query}"), None).await?;
    client.out.hint(&format!("Deleted {name} ({id})."));
    Ok(Exit::Ok)
}

async fn probe(client: &Client, word: &str) -> Done {
    let id = client.instance_id(word).await?;
    let found = client.call(Method::POST, &format!("/instances/{id}/probe"), Some(&json!({}))).await?;
    let ok = found["ok"] == true;
    if client.out.json {
        client.out.document(&found)?;
    } else {
        let mut table = Table::new([column("RESULT"), column("CHECK"), column("DETAIL")]);
        for check in found["checks"].as_array().into_iter().flatten() {
            let result = if check["ok"] == true { "ok" } else { "MISSING" };
            table.row([result.to_owned(), text(check, "name"), text(check, "detail")]);
        }
        client.out.table(&table, "The connector checks nothing.")?;
        if let Some(identity) = found["identity"].as_str() {
            client.out.hint(&format!("The credential speaks for {identity}."));
        }
    }
    Ok(if ok { Exit::Ok } else { Exit::Partly })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_that_lacks_is_asked_for_by_its_flag() {
        let detail = "is required, under `secrets`";
        let problem = json!({"field": "secrets.token", "detail": detail});
        let stop = Stop { exit: Exit::Usage, message: format!("token: {detail}"), problem: Some(problem) };
        assert_eq!(lacking(stop).message, "token: is required: give it with --secret token=@FILE");
        assert_eq!(lacking(Stop::usage("something else")).message, "something else");
    }

    #[test]
    fn a_simulators_ready_line_makes_an_instance() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sim.json");
        std::fs::write(&file, r#"{"target":"github","base_url":"http://127.0.0.1:1","connector":"github","settings":{"org":"a","mode":"x"},"secrets":{"token":"t"}}"#).unwrap();
        let mut body = read_body(&file).unwrap();
        put_into(&mut body, "settings", policy(&[("org".to_owned(), "b".to_owned())])).unwrap();
        assert_eq!(
            Value::Object(body),
            json!({"connector": "github", "settings": {"org": "b", "mode": "x"}, "secrets": {"token": "t"}})
        );
        std::fs::write(&file, "[1]").unwrap();
        assert_eq!(read_body(&file).unwrap_err().exit, Exit::Usage);
        assert_eq!(read_body(&folder.path().join("none")).unwrap_err().exit, Exit::Usage);
    }
}
