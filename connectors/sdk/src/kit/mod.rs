//! The contract kit: what every connector promises, as cases that run against a simulator of its
//! target.
//!
//! A case is one sentence of the doc comments of [`crate::Accounts`] and [`crate::Groups`]. It
//! gets a fresh world and plays it through the connector, looks at the world's own state (never
//! only at what the connector says), and fails with what it saw. Trouble on the wire (a lost
//! answer, a 429, a page of a proxy) is made between the connector and the world, by the kind of
//! call and not by its path, so the cases need to know no target.
//!
//! A case that does not apply says why; nothing is left out silently.

mod accounts;
mod doubts;
mod faults;
mod groups;
mod invitations;
mod limits;
pub mod live;
mod members;
mod paging;
mod stage;

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::about::CallAbout;
use crate::account::Person;
use crate::connector::Connector;
use crate::traits::Traits;
use crate::transport::Transport;
use stage::Stage;

/// The world behind a connector: a simulated target and its control API (`/_sim`).
#[async_trait]
pub trait World: Send + Sync {
    /// One call of the control API: `GET /_sim/state`, `POST /_sim/load`, ….
    ///
    /// # Errors
    /// What the control API said, in words.
    async fn control(&self, method: &str, path: &str, body: Value) -> Result<Value, String>;

    /// The time of the world.
    fn now(&self) -> Timestamp;

    /// A person of that short name (letters and digits) whom the connector can create. A world
    /// where people must exist first makes them.
    async fn person(&self, name: &str) -> Result<Person, String> {
        let mut person = Person::named(format!("{name}@kit.example"));
        person.email = Some(person.user_name.clone());
        Ok(person)
    }

    /// That person accepts the pending invitation; with `login`, another account than the expected
    /// one does. False where the target makes that impossible.
    async fn accept(&self, who: &Person, login: Option<&str>) -> Result<bool, String> {
        let mut body = json!({ "email": who.email });
        if let Some(login) = login {
            body["login"] = Value::from(login);
        }
        self.control("POST", "/_sim/accept", body).await.map(|_| true)
    }

    /// Whether an entry of the state's groups is the group of that name, without case. A target may write names in
    /// fewer characters, or elsewhere.
    fn is_group(&self, name: &str, entry: &Value) -> bool {
        entry["name"].as_str().is_some_and(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether an entry of the state's accounts or invitations is that person's.
    fn is(&self, who: &Person, entry: &Value) -> bool {
        let same = |field: &str, text: Option<&str>| match (entry[field].as_str(), text) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => false,
        };
        same("email", who.email.as_deref())
            || same("email", Some(&who.user_name))
            || same("login", Some(&who.user_name))
    }

    /// Kills the credential.
    async fn revoke_credential(&self) -> Result<(), String> {
        self.control("POST", "/_sim/set", json!({ "token": "revoked" })).await.map(|_| ())
    }

    /// How the target says "too many calls"; [`RateLimit::retry_after`] is always tried too.
    fn rate_limits(&self) -> Vec<RateLimit> {
        Vec::new()
    }
}

/// One form of "too many calls".
#[derive(Clone, Debug)]
pub struct RateLimit {
    /// What it is, for the report.
    pub name: &'static str,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// Seconds that have to pass at least.
    pub seconds: i64,
}

impl RateLimit {
    /// A plain 429 with `Retry-After`.
    pub fn retry_after() -> Self {
        Self {
            name: "429 with Retry-After",
            status: 429,
            headers: vec![("retry-after", "17".to_owned())],
            body: r#"{"message":"Too many requests"}"#.to_owned(),
            seconds: 17,
        }
    }
}

/// What one case plays with: a connector and a world of its own.
#[derive(Clone)]
pub struct Subject {
    /// The connector, built for the world.
    pub connector: Arc<dyn Connector>,
    /// The way to the world.
    pub transport: Arc<dyn Transport>,
    /// The world.
    pub world: Arc<dyn World>,
    /// The plain texts of its secrets, to look for where they must not be.
    pub secrets: Vec<String>,
    /// The calls that the connector declares ([`crate::About::calls`]).
    pub calls: Vec<CallAbout>,
}

/// How a case went, if it did not fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As promised.
    Passed,
    /// It could not be played, and why.
    Skipped(String),
}

/// A case's answer: a verdict, or what went against the contract.
type Outcome = Result<Verdict, String>;
type Play = for<'a> fn(&'a Stage) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// One sentence of the contract.
#[derive(Clone)]
pub struct Case {
    /// The sentence, as a name.
    pub name: &'static str,
    /// The file of a connector's folder in which the promise is kept, by the usual division.
    pub file: &'static str,
    /// Why it does not apply to a connector of these traits; `Ok` where it does.
    pub applies: fn(&Traits) -> Result<(), &'static str>,
    play: Play,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A case of an async function that takes the stage.
macro_rules! case {
    ($applies:expr, $play:path) => {
        $crate::kit::Case { name: stringify!($play), file: "", applies: $applies, play: |stage| Box::pin($play(stage)) }
    };
}
use case;

/// All cases, in the order of the report.
pub fn cases() -> Vec<Case> {
    let parts = [
        (accounts::cases(), "accounts.rs"),
        (invitations::cases(), "accounts.rs"),
        (groups::cases(), "groups.rs"),
        (members::cases(), "groups.rs"),
        (paging::cases(), "accounts.rs, groups.rs"),
        (limits::cases(), "client.rs"),
        (faults::cases(), "client.rs"),
        (doubts::cases(), "accounts.rs, groups.rs"),
    ];
    parts.into_iter().flat_map(|(cases, file)| cases.into_iter().map(move |case| Case { file, ..case })).collect()
}

/// The promise that is held over a whole run and not by a case of its own: what [`crate::About::calls`]
/// does not name is not called.
pub const DECLARED: &str = "every_call_is_declared";

/// Every promise, in the order of the report, each with the file in which it is kept.
pub fn promises() -> Vec<(&'static str, &'static str)> {
    cases().iter().map(|case| (case.name, case.file)).chain([(DECLARED, "mod.rs")]).collect()
}

/// How a run went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The cases that passed.
    pub passed: Vec<&'static str>,
    /// Those that failed, and what was seen.
    pub failed: Vec<(&'static str, String)>,
    /// Those that do not apply or could not be played, and why.
    pub skipped: Vec<(&'static str, String)>,
    /// The calls that are declared and that no case made: no breach, but nobody saw them work.
    pub unmade: Vec<&'static str>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.passed {
            writeln!(f, "ok       {name}")?;
        }
        for (name, why) in &self.skipped {
            writeln!(f, "skipped  {name}: {why}")?;
        }
        for (name, why) in &self.failed {
            writeln!(f, "FAILED   {name}: {why}")?;
        }
        if !self.unmade.is_empty() {
            writeln!(f, "declared, and made by no case: {}", self.unmade.join(", "))?;
        }
        write!(f, "{} passed, {} failed, {} skipped", self.passed.len(), self.failed.len(), self.skipped.len())
    }
}

/// Plays every case, each with a subject of its own from `make`.
///
/// A panic within a case is its failure, not the run's end.
pub async fn run<F, M>(make: F) -> Report
where
    F: Fn() -> M,
    M: Future<Output = Subject>,
{
    let mut report = Report::default();
    let mut calls = Calls::default();
    for case in cases() {
        let subject = make().await;
        calls.declared.clone_from(&subject.calls);
        if let Err(why) = (case.applies)(subject.connector.traits()) {
            report.skipped.push((case.name, why.to_owned()));
            continue;
        }
        let stage = Stage::new(subject);
        let outcome = match guarded((case.play)(&stage)).await {
            Ok(outcome) => outcome,
            Err(panic) => Err(format!("panicked: {}", words(panic.as_ref()))),
        };
        stage.calls(&mut calls);
        // Whatever a case is about: nothing that it brought to light may tell a secret.
        let outcome = outcome.and_then(|verdict| stage.no_leak().map(|()| verdict));
        let outcome = outcome.and_then(|verdict| stage.all_charged().map(|()| verdict));
        match outcome {
            Ok(Verdict::Passed) => report.passed.push(case.name),
            Ok(Verdict::Skipped(why)) => report.skipped.push((case.name, why)),
            Err(why) => report.failed.push((case.name, why)),
        }
    }
    report.unmade = calls.unmade();
    match calls.undeclared() {
        _ if calls.declared.is_empty() => report.failed.push((DECLARED, "`about()` declares no call".to_owned())),
        none if none.is_empty() => report.passed.push(DECLARED),
        some => report.failed.push((DECLARED, some)),
    }
    report
}

/// The calls of a whole run beside those that are declared.
#[derive(Debug, Default)]
struct Calls {
    declared: Vec<CallAbout>,
    /// Which of the declared ones were made.
    made: BTreeSet<usize>,
    /// The others, each with the first path that was seen.
    undeclared: BTreeMap<(&'static str, String), String>,
}

impl Calls {
    fn note(
        &mut self,
        name: &'static str,
        method: &str,
        path: impl FnOnce() -> String,
        covers: impl Fn(&CallAbout) -> bool,
    ) {
        let mut covering = self.declared.iter().enumerate().filter(|(_, one)| covers(one)).map(|(at, _)| at).peekable();
        if covering.peek().is_none() {
            self.undeclared.entry((name, method.to_owned())).or_insert_with(path);
        } else {
            self.made.extend(covering);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.made.extend(&other.made);
        for (call, path) in &other.undeclared {
            self.undeclared.entry(call.clone()).or_insert_with(|| path.clone());
        }
    }

    /// What was called and is not declared, in words; empty if there is nothing.
    fn undeclared(&self) -> String {
        let seen = self.undeclared.iter().map(|((name, method), path)| format!("{name:?}: {method} {path}"));
        let seen: Vec<String> = seen.collect();
        if seen.is_empty() { String::new() } else { format!("`about()` does not declare {}", seen.join("; ")) }
    }

    fn unmade(&self) -> Vec<&'static str> {
        let unmade =
            self.declared.iter().enumerate().filter(|(at, _)| !self.made.contains(at)).map(|(_, one)| one.name);
        // Several declared under one name are one call in several forms.
        let mut names: Vec<&'static str> = unmade.collect();
        names.dedup();
        names
    }
}

async fn guarded(mut play: Pin<Box<dyn Future<Output = Outcome> + Send + '_>>) -> Result<Outcome, Box<dyn Any + Send>> {
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| play.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
