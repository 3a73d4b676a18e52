//! `scimgate manifest`: connectors that are data. Checking and previewing need no gateway.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use declarative::Sample;
use http::Method;
use secrecy::SecretString;
use serde_json::{Map, Value, json};

use super::body::{pair, secrets, settings};
use super::client::{Client, Remote, escape, text};
use super::exit::{Done, Exit, Stop};
use super::out::{Out, ask};
use super::table::{Table, column};
use crate::clock::Clock;
use crate::driver::trial;
use crate::service::catalogue::{Format, Listed, MAX_TEXT, Problem, Text, build, checked, filled, unsound};
use crate::service::records::AdminError;
use crate::transport::{Http, HttpOptions};

/// The largest file of sample data.
const MAX_SAMPLE: u64 = 1 << 20;
/// How long a trial through the gateway may take: its steps, and what is taken away after them.
const TRIAL: u64 = 300;

/// `scimgate manifest`.
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
    /// Check a file: what is wrong with it, or what it can do; needs no gateway
    Check {
        /// The manifest, TOML or YAML
        file: PathBuf,
    },
    /// Show every request as it would be sent, with sample data; needs no gateway and sends nothing
    Preview {
        /// The manifest, TOML or YAML
        file: PathBuf,
        /// JSON file with whom and what it speaks of: person, account_id, account_login, invite_id, group_name, group_id, item
        #[arg(long, value_name = "FILE")]
        sample: Option<PathBuf>,
        /// A setting of the connector
        #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
        set: Vec<(String, String)>,
    },
    /// Try one at its target: reads, and writes only where that is allowed
    Test(Box<Test>),
    /// Upload one: a new manifest, or a new version of one
    Upload {
        /// The manifest, TOML or YAML
        file: PathBuf,
    },
    /// List the manifests of a gateway
    List,
    /// Show one with its versions and who uses them
    Show {
        /// Its name
        name: String,
        /// A version: shows what it describes
        version: Option<String>,
        /// Print its text alone
        #[arg(long)]
        text: bool,
    },
    /// Delete one, or a version of it, that no instance uses
    Delete {
        /// Its name
        name: String,
        /// A version; without it all go
        version: Option<String>,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Print the JSON schema of manifests, for editors; needs no gateway
    Schema,
}

#[derive(Debug, Args)]
struct Test {
    /// The manifest, TOML or YAML
    file: PathBuf,
    /// A setting of the connector
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set: Vec<(String, String)>,
    /// A credential; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "NAME=@FILE", value_parser = pair)]
    secret: Vec<(String, String)>,
    /// Make a person and a group at the target, use them, and take them away again
    #[arg(long)]
    allow_writes: bool,
    /// JSON file with SCIM attributes that the person shall have, such as userName and emails
    #[arg(long, value_name = "FILE")]
    person: Option<PathBuf>,
    /// Do not ask before writing
    #[arg(long)]
    yes: bool,
    /// Call the target from here rather than through a gateway
    #[arg(long)]
    local: bool,
    /// With --local: let the target have a private address, and plain http
    #[arg(long, env = "SCIMGATE_ALLOW_PRIVATE_TARGETS", requires = "local", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = clap::builder::BoolishValueParser::new(), value_name = "BOOL")]
    allow_private_targets: Option<bool>,
}

impl Command {
    pub(super) async fn run(self) -> Done {
        let out = Out::new(self.remote.json, self.remote.wide);
        match self.verb {
            Verb::Check { file } => check(out, &file),
            Verb::Preview { file, sample, set } => preview(out, &file, sample.as_deref(), &set),
            Verb::Schema => {
                out.document(&declarative::json_schema())?;
                Ok(Exit::Ok)
            }
            Verb::Test(test) => test.run(out, self.remote).await,
            Verb::Upload { file } => upload(&Client::new(&self.remote)?, &file).await,
            Verb::List => list(&Client::new(&self.remote)?).await,
            Verb::Show { name, version, text } => {
                show(&Client::new(&self.remote)?, &name, version.as_deref(), text).await
            }
            Verb::Delete { name, version, yes } => {
                delete(&Client::new(&self.remote)?, &name, version.as_deref(), yes).await
            }
        }
    }
}

/// The text of a file and how it is written.
fn read(file: &Path) -> Result<(String, Format), Stop> {
    let wrong = |error: String| Stop::usage(format!("{}: {error}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len();
    if size > MAX_TEXT as u64 {
        return Err(wrong(format!("it is {size} bytes long; a manifest has at most {MAX_TEXT}")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let named = file.extension().and_then(|extension| extension.to_str()).and_then(Format::of);
    let format = named.unwrap_or_else(|| Format::guess(&text));
    Ok((text, format))
}

/// A file's manifest, or everything that is wrong with it.
fn sound(file: &Path) -> Result<Text, Stop> {
    let (text, format) = read(file)?;
    Text::read(&text, format).map_err(|problems| Stop {
        exit: Exit::Usage,
        message: lines(file, &problems),
        problem: Some(unsound(&problems)),
    })
}

/// A line per problem, in the form that editors jump to.
fn lines(file: &Path, problems: &[Problem]) -> String {
    let line = |problem: &Problem| {
        let place = problem.line.map(|line| format!(":{line}")).unwrap_or_default();
        let field = if problem.field.is_empty() { String::new() } else { format!("{}: ", problem.field) };
        format!("{}{place}: {field}{}", file.display(), problem.message)
    };
    problems.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The object of a JSON file that a flag names.
fn object(flag: &str, file: &Path) -> Result<Map<String, Value>, Stop> {
    let wrong = |error: String| Stop::usage(format!("{flag} {}: {error}", file.display()));
    if std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?.len() > MAX_SAMPLE {
        return Err(wrong("the file is larger than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(format!("not a JSON object: {error}")))
}

fn check(out: Out, file: &Path) -> Done {
    let read = match sound(file) {
        Ok(read) => read,
        // What is wrong is what was asked for.
        Err(Stop { exit, problem: Some(found), .. }) if out.json => {
            out.document(&found)?;
            return Ok(exit);
        }
        Err(stop) => return Err(stop),
    };
    let found = checked(&read);
    if found["ok"] != true {
        let problems: Vec<Problem> = read.entry().err().into_iter().collect();
        return Err(Stop { exit: Exit::Failed, message: lines(file, &problems), problem: Some(found) });
    }
    if out.json {
        out.document(&found)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new([column("OPERATION"), column("METHOD"), column("CALL"), column("WRITES").rank(1)]);
    for one in found["operations"].as_array().into_iter().flatten() {
        let writes = if one["writes"] == true { "yes" } else { "no" };
        table.row([text(one, "operation"), text(one, "method"), text(one, "call"), writes.to_owned()]);
    }
    out.table(&table, "It has no operation.")?;
    for cannot in found["cannot"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.hint(&format!("Cannot: {cannot}"));
    }
    out.hint(&format!(
        "{} is sound: {} {} ({}). Next: scimgate manifest preview {}",
        file.display(),
        text(&found, "name"),
        text(&found, "version"),
        text(&found, "kind"),
        file.display()
    ));
    Ok(Exit::Ok)
}

/// The connector as the admin API describes it, for the types of its settings.
fn described(read: &Text) -> Result<Value, Stop> {
    let entry = read.entry().map_err(|problem| Stop::failed(problem.to_string()))?;
    Ok(Listed::built_in((*entry).clone()).describe())
}

fn preview(out: Out, file: &Path, sample: Option<&Path>, set: &[(String, String)]) -> Done {
    let read = sound(file)?;
    let sample: Sample = match sample {
        None => Sample::default(),
        Some(file) => serde_json::from_value(Value::Object(object("--sample", file)?))
            .map_err(|error| Stop::usage(format!("--sample {}: {error}", file.display())))?,
    };
    let entry = read.entry().map_err(|problem| Stop::failed(problem.to_string()))?;
    let settings = filled(&entry, &Value::Object(settings(set, &described(&read)?)?));
    let requests = read.manifest().preview(&settings, &sample);
    let exit = if requests.iter().any(|one| one.problem.is_some()) { Exit::Partly } else { Exit::Ok };
    if out.json {
        out.document(&json!({"name": read.name(), "version": read.version(), "requests": requests}))?;
        return Ok(exit);
    }
    for one in &requests {
        out.line(&format!("# {} ({}){}", one.operation, one.call, if one.writes { ", writes" } else { "" }))?;
        match &one.problem {
            Some(problem) => out.line(&format!("! {problem}"))?,
            None => {
                out.line(&format!("{} {}", one.method, one.url))?;
                for (name, value) in &one.headers {
                    out.line(&format!("{name}: {value}"))?;
                }
                if let Some(body) = &one.body {
                    out.line("")?;
                    out.line(body)?;
                }
                if let Some(note) = &one.note {
                    out.line(&format!("# {note}"))?;
                }
            }
        }
        out.line("")?;
    }
    Ok(exit)
}

impl Test {
    async fn run(self, out: Out, mut remote: Remote) -> Done {
        let read = sound(&self.file)?;
        let settings = settings(&self.set, &described(&read)?)?;
        let secrets = secrets(&self.secret)?;
        let person = self.person.as_deref().map(|file| object("--person", file)).transpose()?.unwrap_or_default();
        if self.allow_writes && !self.yes {
            let question = format!(
                "This makes a person and a group named scimgate-test-… at the target of {} and takes them away again. Go on? [y/N]",
                read.name()
            );
            match ask(&question) {
                Some(answer) if matches!(answer.to_lowercase().as_str(), "y" | "yes") => {}
                Some(_) => return Err(Stop::new(Exit::Unconfirmed, "Nothing was sent.")),
                None => return Err(Stop::new(Exit::Unconfirmed, "Writing at the target needs a confirmation: --yes")),
            }
        }
        let report = if self.local {
            self.locally(&read, settings, secrets, person).await?
        } else {
            remote.timeout = remote.timeout.max(TRIAL);
            let body = json!({
                "format": read.format().as_str(),
                "text": read.text(),
                "settings": settings,
                "secrets": secrets,
                "allow_writes": self.allow_writes,
                "person": person,
            });
            Client::new(&remote)?.call(Method::POST, "/manifests/test", Some(&body)).await?
        };
        tell(out, &report)?;
        if !self.allow_writes && !out.json {
            out.hint("Nothing was written. With --allow-writes a person and a group are made and taken away again.");
        }
        Ok(if report["ok"] == true { Exit::Ok } else { Exit::Partly })
    }

    /// Calls the target from this process, by the transport that a gateway has.
    async fn locally(
        &self,
        read: &Text,
        settings: Map<String, Value>,
        secrets: Map<String, Value>,
        person: Map<String, Value>,
    ) -> Result<Value, Stop> {
        let clock = Clock::system();
        let options = HttpOptions {
            allow_private: self.allow_private_targets.unwrap_or(false),
            call_timeout: Duration::from_secs(8),
            ..HttpOptions::default()
        };
        let http = Http::new(options, clock.clone()).map_err(|error| Stop::failed(error.to_string()))?;
        let entry = read.entry().map_err(|problem| Stop::failed(problem.to_string()))?;
        let secrets = secrets
            .into_iter()
            .map(|(name, secret)| (name, SecretString::from(secret.as_str().unwrap_or_default().to_owned())))
            .collect();
        let connector = build(&entry, &Value::Object(settings), secrets)
            .map_err(|error: AdminError| Stop::usage(error.to_string()))?;
        let plan = trial::Plan { allow_writes: self.allow_writes, person, label: trial::label() };
        Ok(json!(trial::alone(http, clock, connector, plan).await))
    }
}

/// Prints what a trial found.
fn tell(out: Out, report: &Value) -> Result<(), Stop> {
    if out.json {
        return out.document(report);
    }
    let mut table = Table::new([column("RESULT"), column("STEP"), column("CALLS").rank(2), column("DETAIL").rank(1)]);
    for step in report["steps"].as_array().into_iter().flatten() {
        let calls: Vec<String> = step["calls"].as_array().into_iter().flatten().map(call).collect();
        let result = match step["outcome"].as_str() {
            Some("ok") => "ok",
            Some("skipped") => "skipped",
            _ => "FAILED",
        };
        table.row([result.to_owned(), text(step, "step"), calls.join(", "), text(step, "detail")]);
    }
    out.table(&table, "")?;
    for step in report["steps"].as_array().into_iter().flatten().filter(|step| step["outcome"] == "failed") {
        out.hint(&format!("{}: {}", text(step, "step"), text(step, "detail")));
    }
    for left in report["left_behind"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        out.hint(&format!("Left behind at the target, take it away by hand: {left}"));
    }
    Ok(())
}

fn call(call: &Value) -> String {
    let status = match call["status"].as_u64() {
        Some(status) => status.to_string(),
        None => call["fault"].as_str().unwrap_or("not sent").to_owned(),
    };
    format!("{} {} {status}", text(call, "method"), text(call, "path"))
}

async fn upload(client: &Client, file: &Path) -> Done {
    let (text_of, format) = read(file)?;
    let body = json!({"format": format.as_str(), "text": text_of});
    let kept = client.call(Method::POST, "/manifests", Some(&body)).await.map_err(|stop| with_lines(stop, file))?;
    let (name, version) = (text(&kept, "name"), text(&kept, "version"));
    if client.out.json {
        client.out.document(&kept)?;
    } else {
        client.out.line(&format!("{name}\t{version}"))?;
    }
    client.out.hint(&format!(
        "{name} {version} is there. New instances: scimgate instance create --connector {name}; those that hold to another version: scimgate instance upgrade INSTANCE {version}"
    ));
    Ok(Exit::Ok)
}

/// A refusal of the gateway with a line for each problem.
fn with_lines(mut stop: Stop, file: &Path) -> Stop {
    let errors = stop.problem.as_ref().and_then(|problem| problem["errors"].as_array());
    let problems: Vec<Problem> =
        errors.into_iter().flatten().filter_map(|error| serde_json::from_value(error.clone()).ok()).collect();
    if !problems.is_empty() {
        stop.message = lines(file, &problems);
    }
    stop
}

async fn list(client: &Client) -> Done {
    if client.out.json {
        client.out.document(&client.get("/manifests?limit=500").await?)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new([
        column("NAME"),
        column("VERSION"),
        column("TITLE").rank(2),
        column("KIND").rank(3),
        column("SOURCE").rank(1),
        column("VERSIONS").right().rank(4),
        column("INSTANCES").right(),
    ]);
    for item in client.list("/manifests", usize::MAX).await? {
        table.row(
            ["name", "version", "title", "kind", "source", "versions", "instances"].map(|field| text(&item, field)),
        );
    }
    client.out.table(&table, "There is no manifest yet. Upload one with: scimgate manifest upload FILE")?;
    Ok(Exit::Ok)
}

async fn show(client: &Client, name: &str, version: Option<&str>, alone: bool) -> Done {
    let place = format!("/manifests/{}", escape(name));
    let whole = client.get(&place).await?;
    let version = match (version, alone) {
        (Some(version), _) => Some(version.to_owned()),
        (None, true) => Some(text(&whole, "version")),
        (None, false) => None,
    };
    let Some(version) = version else {
        if client.out.json {
            client.out.document(&whole)?;
            return Ok(Exit::Ok);
        }
        let mut table = Table::new([
            column("VERSION"),
            column("SOURCE").rank(1),
            column("UPLOADED"),
            column("BY").rank(2),
            column("STATE"),
            column("INSTANCES"),
        ]);
        for one in whole["versions"].as_array().into_iter().flatten() {
            let state = match (one["retired_at"].is_null(), one["version"] == whole["version"]) {
                (false, _) => "deleted",
                (true, true) => "current",
                (true, false) => "kept",
            };
            let users: Vec<String> =
                one["instances"].as_array().into_iter().flatten().map(|user| text(user, "name")).collect();
            table.row([
                text(one, "version"),
                text(one, "source"),
                client.out.time(&text(one, "created_at")),
                text(one, "created_by"),
                state.to_owned(),
                users.join(", "),
            ]);
        }
        client.out.table(&table, "")?;
        return Ok(Exit::Ok);
    };
    let one = client.get(&format!("{place}/{}", escape(&version))).await?;
    match (alone, client.out.json) {
        (true, _) => super::out::data(&text(&one, "text"))?,
        (false, true) => client.out.document(&one)?,
        (false, false) => {
            if let Some(problem) = one["problem"].as_str() {
                return Err(Stop::failed(problem));
            }
            super::connectors::show(client.out, &one["connector"])?;
        }
    }
    Ok(Exit::Ok)
}

async fn delete(client: &Client, name: &str, version: Option<&str>, yes: bool) -> Done {
    let what = version.map_or_else(|| format!("{name} with all its versions"), |version| format!("{name} {version}"));
    if !yes {
        match ask(&format!("Delete {what}? [y/N]")) {
            Some(answer) if matches!(answer.to_lowercase().as_str(), "y" | "yes") => {}
            Some(_) => return Err(Stop::new(Exit::Unconfirmed, "Nothing was deleted.")),
            None => return Err(Stop::new(Exit::Unconfirmed, "Deleting needs a confirmation: --yes")),
        }
    }
    let mut place = format!("/manifests/{}", escape(name));
    if let Some(version) = version {
        place.push_str(&format!("/{}", escape(version)));
    }
    client.call(Method::DELETE, &place, None).await?;
    client.out.hint(&format!("Deleted {what}."));
    Ok(Exit::Ok)
}
