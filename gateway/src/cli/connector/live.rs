//! `scimgate connector check --live`: the real target, with every call shown.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::kit::live::{self, Found, Line, Own};
use connector_sdk::kit::{Subject, World};
use connector_sdk::{Call, Class, Entry, Fault, Person, Reply, Secrets, Step, Transport, Work};
use contract::check::{Row, Verdict, sentence};
use engine::Lane;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::super::body::{secrets, settings};
use super::super::exit::{Done, Exit, Stop};
use super::super::out::{Out, ask, note};
use super::check::{Check, table};
use crate::app::until_signalled;
use crate::clock::Clock;
use crate::limits::Budgets;
use crate::transport::{Http, HttpOptions, Recorder, Wire};

/// What the variables of settings and credentials begin with.
const VARIABLE: &str = "SCIMGATE_CHECK_";
/// How long the whole check may wait for the target's limits.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

pub(super) async fn run(check: Check, entry: Entry) -> Done {
    let stop = until_signalled()?;
    let out = Out::new(check.json, check.wide);
    let (given, plain) = said(&check, &entry)?;
    let secrets = Secrets::new(plain.iter().map(|(name, text)| (name.clone(), SecretString::from(text.clone()))));
    let connector = entry.build(&given, &secrets).map_err(|error| {
        Stop::usage(format!(
            "{error}. Give it with --set or --secret, or as {VARIABLE}{}.",
            error.field.to_ascii_uppercase()
        ))
    })?;
    let clock = Clock::system();
    let options = HttpOptions {
        allow_private: check.allow_private,
        call_timeout: Duration::from_secs(30),
        ..HttpOptions::default()
    };
    let http = Http::new(options, clock.clone()).map_err(|error| Stop::failed(error.to_string()))?;
    let traits = connector.traits();
    let budget = Budgets::new(clock.clone()).get(&traits.driver_key, &traits.buckets);
    let give_up = clock.now().checked_add(PATIENCE).unwrap_or(Timestamp::MAX);
    let wire = Wire::new(http, connector.clone(), budget, Lane::Grant, give_up, Arc::new(Recorder::default()));
    let shown = Arc::new(Shown { wire, calls: Mutex::default() });
    let subject = Subject {
        connector,
        transport: shown.clone(),
        world: Arc::new(Real(clock.clone())),
        secrets: plain.into_iter().map(|(_, text)| text).collect(),
        calls: entry.about.calls.clone(),
    };

    let tag = format!("{:08x}", rand::random::<u32>());
    let mut stranger = Person::named(format!("scimgate-check-nobody-{tag}@example.com"));
    stranger.email = Some(stranger.user_name.clone());
    let mut lines = tokio::select! {
        lines = live::read(subject.clone(), &stranger) => lines,
        () = stop.cancelled() => return Err(Stop::failed("Stopped. Nothing was written.")),
    };
    if check.allow_writes {
        let own = own(&check, &tag);
        confirm(&check, &own)?;
        // The check itself hears the signal, and cleans up.
        lines.extend(live::write(subject, &own, stop.cancelled()).await);
    }

    let rows: Vec<Row> = lines.iter().map(row).collect();
    let broken = rows.iter().any(|row| matches!(row.verdict, Verdict::Broken(_)));
    if check.json {
        let calls = shown.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        out.document(&json!({
            "connector": entry.name,
            "ok": !broken,
            "promises": lines.iter().map(document).collect::<Vec<_>>(),
            "calls": calls,
        }))?;
    } else {
        out.table(&table(&rows), "")?;
        if !check.allow_writes {
            out.hint("Nothing was written. With --allow-writes it also makes things of its own, and removes them.");
        }
    }
    Ok(if broken { Exit::Failed } else { Exit::Ok })
}

/// Settings and credentials: those of the command line before those of the environment.
#[expect(clippy::disallowed_methods, reason = "their names are the connector's and not the gateway's configuration")]
fn said(check: &Check, entry: &Entry) -> Result<(Value, Vec<(String, String)>), Stop> {
    let described = json!({ "settings": entry.settings });
    let (mut set, mut secret) = (Vec::new(), Vec::new());
    for setting in &entry.settings {
        let Ok(value) = std::env::var(format!("{VARIABLE}{}", setting.name.to_ascii_uppercase())) else { continue };
        let list = if setting.class == Class::Credential { &mut secret } else { &mut set };
        list.push((setting.name.to_owned(), value));
    }
    set.extend(check.set.iter().cloned());
    secret.extend(check.secret.iter().cloned());
    let given = settings(&set, &described)?;
    let plain = secrets(&secret)?;
    let plain = plain.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    Ok((Value::Object(given), plain))
}

fn own(check: &Check, tag: &str) -> Own {
    let person = check.person.as_ref().map(|address| {
        let mut person = Person::named(address.clone());
        person.email = address.contains('@').then(|| address.clone());
        person.display_name = Some(format!("scimgate check {tag}"));
        person
    });
    Own { group: format!("scimgate check {tag}"), person }
}

fn confirm(check: &Check, own: &Own) -> Result<(), Stop> {
    if check.yes {
        return Ok(());
    }
    let person = own.person.as_ref().map_or_else(String::new, |person| format!(" and the person {}", person.user_name));
    let question = format!(
        "This makes the group {:?}{person} at the real target of {}, and removes both again. Type yes:",
        own.group, check.name
    );
    match ask(&question).as_deref() {
        Some("yes") => Ok(()),
        Some(_) => Err(Stop::new(Exit::Unconfirmed, "That is not yes. Nothing was written.")),
        None => Err(Stop::new(Exit::Unconfirmed, "Writing needs a confirmation: --yes")),
    }
}

fn row(line: &Line) -> Row {
    let verdict = match &line.found {
        Found::Kept(_) => Verdict::Kept,
        Found::Skipped(why) => Verdict::Skipped(why.clone()),
        Found::Broken(why) => Verdict::Broken(why.clone()),
    };
    let seen = match &line.found {
        Found::Kept(seen) if !seen.is_empty() => format!(" ({seen})"),
        _ => String::new(),
    };
    Row { promise: format!("{}{seen}", sentence(line.promise)), file: "", verdict }
}

fn document(line: &Line) -> Value {
    let (verdict, words) = match &line.found {
        Found::Kept(seen) => ("kept", seen),
        Found::Skipped(why) => ("skipped", why),
        Found::Broken(why) => ("broken", why),
    };
    json!({ "promise": sentence(line.promise), "verdict": verdict, "seen": words })
}

/// The real target has a time and nothing that could be turned.
struct Real(Clock);

#[async_trait]
impl World for Real {
    async fn control(&self, _method: &str, _path: &str, _body: Value) -> Result<Value, String> {
        Err("a real target has no control API".to_owned())
    }

    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

/// The gateway's own way to a target, which says each call aloud: no query, header or body.
struct Shown {
    wire: Wire,
    calls: Mutex<Vec<Value>>,
}

impl Shown {
    fn say(&self, what: &str, name: &str, became: &str) {
        note(&format!("{what} -> {became} ({name})"));
        let call = json!({ "call": what, "name": name, "became": became });
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

#[async_trait]
impl Transport for Shown {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        let what = format!("{} {}{}", call.method, call.url.host_str().unwrap_or_default(), call.url.path());
        let name = call.name;
        let result = self.wire.send(call).await;
        let became = match &result {
            Ok(reply) => reply.status.as_u16().to_string(),
            Err(fault) => format!("{:?}", fault.kind),
        };
        self.say(&what, name, &became);
        result
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        self.wire.addresses(host, port).await
    }

    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        let (what, name) = (format!("{} {} {}", step.protocol, step.host, step.object), step.name);
        let result = self.wire.perform(step, work).await;
        let became = result.as_ref().map_or_else(|fault| format!("{:?}", fault.kind), |()| "done".to_owned());
        self.say(&what, name, &became);
        result
    }
}
