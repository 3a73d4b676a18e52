//! Connections, steps, and what result codes mean. Nothing here knows people or groups.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use connector_sdk::{Bucket, Cx, Effect, Fault, FaultKind, PageToken, RemoteId, Repeat, Retry, Step, Stepped, rates};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::ClientConfig;

use super::conn::{Conn, Trouble, Way};
use super::filter::Filter;
use super::message::{Answer, Entry, Request, Scope, code};
use super::settings::Directory;
use super::shape::Shape;
use crate::shared;

/// Operations under way at once. Servers publish no limit; this keeps a burst from taking all their threads.
pub(super) const OPERATIONS: &str = "operations";
/// How many are under way at once.
const AT_ONCE: u32 = 8;
/// Connections that are kept for the next step.
const MOST_IDLE: usize = 4;
/// Listings that are under way, each on a connection of its own: the cookie is bound to it (RFC 2696).
const MOST_CURSORS: usize = 4;
/// A connection that has not been used for so long is not trusted: what stands between may have forgotten it.
const IDLE: SignedDuration = SignedDuration::from_secs(60);
/// How long a busy server is left alone, in seconds; it does not say.
const BUSY_WAIT: i64 = 10;
/// How often one listing begins again because its connection was lost.
const MOST_RESTARTS: u8 = 3;

/// The bucket.
pub(super) fn buckets() -> Vec<Bucket> {
    vec![Bucket::unknown(OPERATIONS, "LDAP operations, 8 at once (no server publishes a limit)").at_once(AT_ONCE)]
}

/// The way to one server.
pub(super) struct Client {
    pub(super) shape: Arc<Shape>,
    password: SecretString,
    place: String,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    idle: Mutex<Vec<Conn>>,
    cursors: Mutex<VecDeque<Cursor>>,
    next_cursor: Mutex<u64>,
    who: Mutex<String>,
    /// Held while a new group's number is chosen and used.
    pub(super) numbering: tokio::sync::Mutex<()>,
}

/// A listing under way.
struct Cursor {
    number: u64,
    conn: Conn,
    cookie: Vec<u8>,
}

/// Where a listing goes on.
#[derive(Serialize, Deserialize)]
struct Place {
    /// Which branch.
    base: usize,
    /// Which cursor; none at a branch's beginning.
    cursor: Option<u64>,
    /// How often it began again.
    restarts: u8,
}

/// A page of entries.
pub(super) struct Listed {
    pub(super) entries: Vec<Entry>,
    pub(super) next: Option<PageToken>,
    pub(super) complete: bool,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    pub(super) fn new(shape: Arc<Shape>, password: SecretString) -> Self {
        let place = if shape.server.host.contains(':') {
            format!("[{}]:{}", shape.server.host, shape.server.port)
        } else {
            format!("{}:{}", shape.server.host, shape.server.port)
        };
        Self {
            shape,
            password,
            place,
            tls: OnceLock::new(),
            idle: Mutex::default(),
            cursors: Mutex::default(),
            next_cursor: Mutex::default(),
            who: Mutex::default(),
            numbering: tokio::sync::Mutex::new(()),
        }
    }

    /// Whom the server says we are; empty before the first connection, or where it does not say.
    pub(super) fn who(&self) -> String {
        held(&self.who).clone()
    }

    /// The server's host and port.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn step(&self, name: &'static str, repeat: Repeat, object: &str) -> Step {
        Step::new(name, "LDAP", self.place.clone(), repeat).object(object).charge(OPERATIONS, 1)
    }

    /// A connection that was used before and is good, or a new one.
    async fn connection(&self, cx: &Cx<'_>) -> Result<Conn, Fault> {
        loop {
            let Some(mut conn) = held(&self.idle).pop() else {
                return self.connect(cx).await;
            };
            if cx.now.duration_since(conn.used_at) < IDLE && conn.alive().await {
                return Ok(conn);
            }
        }
    }

    fn give_back(&self, mut conn: Conn, now: Timestamp) {
        conn.used_at = now;
        let mut idle = held(&self.idle);
        if idle.len() < MOST_IDLE {
            idle.push(conn);
        }
    }

    /// A new connection, signed in.
    pub(super) async fn connect(&self, cx: &Cx<'_>) -> Result<Conn, Fault> {
        let server = &self.shape.server;
        let tls = match server.tls {
            Some(start) => {
                let config = self.tls.get_or_init(|| server.tls_config()).clone().map_err(|why| {
                    Fault::new(FaultKind::NotSent, "TLS cannot be set up: the system's certificates of authorities cannot be read. Install them (package ca-certificates), or give the authority's in `ca`.")
                        .retry(Retry::AfterOperator)
                        .context(format!("tls: {why}"))
                })?;
                Some((config, start))
            }
            None if cx.allows_plain() => None,
            None => {
                return Err(Fault::new(
                    FaultKind::NotSent,
                    format!("{} would be spoken to without encryption, the password included. Use ldaps:// or turn start_tls on; for plain LDAP in a private network the operator sets SCIMGATE_ALLOW_PRIVATE_TARGETS.", self.place),
                )
                .retry(Retry::AfterOperator)
                .context("plain LDAP refused"));
            }
        };
        let addresses = cx.addresses(&server.host, server.port).await?;
        let way = Way { host: server.host.clone(), addresses, tls };
        let now = cx.now;
        let work = async {
            let opened = async {
                let mut conn = Conn::open(&way, now).await?;
                conn.bind(&server.bind_dn, self.password.expose_secret()).await?;
                Ok(conn)
            };
            match opened.await {
                Ok(conn) => Stepped { code: Some(code::SUCCESS), result: Ok(conn) },
                Err(trouble) => Stepped { code: code_of(&trouble), result: Err(self.not_connected(trouble, now)) },
            }
        };
        let conn = cx.perform(self.step("connect", Repeat::Read, "bind"), work).await?;
        held(&self.who).clone_from(&conn.who);
        Ok(conn)
    }

    /// Sends requests on a connection of their own, and gathers the answers in the same order.
    ///
    /// # Errors
    /// No connection; a connection that broke; and what speaks of the server, not of the request:
    /// busy, unavailable, broken.
    pub(super) async fn run(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        repeat: Repeat,
        object: &str,
        requests: &[Request],
    ) -> Result<Vec<Answer>, Fault> {
        if requests.is_empty() {
            return Ok(Vec::new());
        }
        let conn = self.connection(cx).await?;
        let (conn, answers) = self.run_on(cx, conn, self.step(name, repeat, object), requests).await?;
        self.give_back(conn, cx.now);
        Ok(answers)
    }

    async fn run_on(
        &self,
        cx: &Cx<'_>,
        mut conn: Conn,
        step: Step,
        requests: &[Request],
    ) -> Result<(Conn, Vec<Answer>), Fault> {
        let (name, write, now) = (step.name, step.repeat != Repeat::Read, cx.now);
        let work = async {
            let answers = match conn.all(requests).await {
                Ok(answers) => answers,
                Err(trouble) => {
                    return Stepped { code: code_of(&trouble), result: Err(self.broken(name, write, trouble, now)) };
                }
            };
            let code = answers.iter().map(|answer| answer.code).find(|code| *code != code::SUCCESS);
            let result = match answers.iter().find_map(|answer| self.unwell(name, write, answer, now)) {
                Some(fault) => Err(fault),
                None => Ok((conn, answers)),
            };
            Stepped { code: Some(code.unwrap_or(code::SUCCESS)), result }
        };
        cx.perform(step, work).await
    }

    /// One request, one answer.
    pub(super) async fn one(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        repeat: Repeat,
        object: &str,
        request: Request,
    ) -> Result<Answer, Fault> {
        let mut answers = self.run(cx, name, repeat, object, std::slice::from_ref(&request)).await?;
        answers.pop().ok_or_else(|| self.garbled(name, false))
    }

    /// All entries that a filter finds below these branches; what is left out is a fault.
    pub(super) async fn search(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        bases: &[&str],
        filter: &Filter,
        attributes: &[&str],
    ) -> Result<Vec<Entry>, Fault> {
        let requests: Vec<Request> =
            bases.iter().map(|base| Request::search(base, Scope::Subtree, filter, attributes, 0)).collect();
        let mut entries = Vec::new();
        for (answer, base) in self.run(cx, name, Repeat::Read, "search", &requests).await?.into_iter().zip(bases) {
            self.searched(name, &answer, base)?;
            entries.extend(answer.entries);
        }
        Ok(entries)
    }

    /// That a search found all there is.
    pub(super) fn searched(&self, name: &'static str, answer: &Answer, base: &str) -> Result<(), Fault> {
        match answer.code {
            code::SUCCESS => Ok(()),
            code::NO_SUCH_OBJECT => Err(self.refused(
                name,
                answer,
                FaultKind::Permission,
                &format!("The branch {base} is not there, or the gateway's account may not see it. Correct the setting or grant the right."),
            )),
            _ => Err(self.fault(name, answer)),
        }
    }

    /// One entry by its id, below these branches.
    pub(super) async fn by_id(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        bases: &[&str],
        filter: &Filter,
        id: &RemoteId,
        attributes: &[&str],
    ) -> Result<Option<Entry>, Fault> {
        let Some(by_id) = self.shape.by_id(id) else {
            return Ok(None);
        };
        let filter = Filter::And(vec![by_id, filter.clone()]);
        let mut found = self.search(cx, name, bases, &filter, attributes).await?;
        if found.len() > 1 {
            return Err(self.garbled(name, false));
        }
        Ok(found.pop())
    }

    /// Reads one entry by its name; `None` where it is not there.
    pub(super) async fn read(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        dn: &str,
        filter: &Filter,
        attributes: &[&str],
    ) -> Result<Option<Entry>, Fault> {
        let request = Request::search(dn, Scope::Base, filter, attributes, 0);
        let mut answer = self.one(cx, name, Repeat::Read, "entry", request).await?;
        match answer.code {
            code::SUCCESS => Ok(answer.entries.pop()),
            code::NO_SUCH_OBJECT => Ok(None),
            _ => Err(self.fault(name, &answer)),
        }
    }

    /// The first entry that a filter finds.
    pub(super) async fn first(
        &self,
        cx: &Cx<'_>,
        base: &str,
        filter: &Filter,
        attributes: &[&str],
    ) -> Result<Option<Entry>, Fault> {
        let request = Request::search(base, Scope::Subtree, filter, attributes, 1);
        let mut answer = self.one(cx, "probe branch", Repeat::Read, "search", request).await?;
        match answer.code {
            // There are more, and one was asked for.
            code::SUCCESS | code::SIZE_LIMIT => Ok(answer.entries.pop()),
            _ => Err(self.fault("probe branch", &answer)),
        }
    }

    /// A page of what a filter finds below these branches. The cookie lives with its connection: where
    /// that is gone the listing begins again, so that nothing is left out.
    pub(super) async fn page(
        &self,
        cx: &Cx<'_>,
        name: &'static str,
        bases: &[&str],
        filter: &Filter,
        attributes: &[&str],
        token: Option<&PageToken>,
    ) -> Result<Listed, Fault> {
        let mut place = token.and_then(|token| serde_json::from_str(&token.0).ok()).unwrap_or(Place {
            base: 0,
            cursor: None,
            restarts: 0,
        });
        let mut kept = None;
        if let Some(number) = place.cursor {
            kept = self.take_cursor(number);
            if let Some((conn, _)) = &mut kept
                && !conn.alive().await
            {
                kept = None;
            }
            if kept.is_none() {
                if place.restarts >= MOST_RESTARTS {
                    return Err(Fault::new(
                        FaultKind::Unavailable,
                        format!("{} ended the connection of a listing again and again. Look for an idle time-out of the server, or for what stands between.", self.place),
                    )
                    .context(format!("{name}: cursor lost {MOST_RESTARTS} times")));
                }
                place = Place { base: 0, cursor: None, restarts: place.restarts + 1 };
            }
        }
        let Some(base) = bases.get(place.base) else {
            return Ok(Listed { entries: Vec::new(), next: None, complete: true });
        };
        let (conn, cookie) = match kept {
            Some(kept) => kept,
            None => (self.connection(cx).await?, Vec::new()),
        };
        let request = Request::search(base, Scope::Subtree, filter, attributes, 0).page(self.shape.page_size, &cookie);
        let step = self.step(name, Repeat::Read, "page");
        let (conn, mut answers) = self.run_on(cx, conn, step, std::slice::from_ref(&request)).await?;
        let answer = answers.pop().ok_or_else(|| self.garbled(name, false))?;
        // A limit of the server's: what came is right, and it is not all.
        let cut = matches!(answer.code, code::SIZE_LIMIT | code::TIME_LIMIT | code::ADMIN_LIMIT);
        if !cut || (answer.entries.is_empty() && cookie.is_empty()) {
            self.searched(name, &answer, base)?;
        }
        let elsewhere = answer.referred && self.shape.directory != Directory::ActiveDirectory;
        let next = match answer.cookie.filter(|cookie| !cookie.is_empty()) {
            Some(cookie) if !cut => {
                place.cursor = Some(self.keep_cursor(conn, cookie, cx.now));
                Some(place)
            }
            _ => {
                self.give_back(conn, cx.now);
                place.cursor = None;
                place.base += 1;
                (place.base < bases.len()).then_some(place)
            }
        };
        let next = next.and_then(|place| serde_json::to_string(&place).ok()).map(PageToken);
        Ok(Listed { entries: answer.entries, next, complete: !cut && !elsewhere })
    }

    fn take_cursor(&self, number: u64) -> Option<(Conn, Vec<u8>)> {
        let mut cursors = held(&self.cursors);
        let at = cursors.iter().position(|cursor| cursor.number == number)?;
        cursors.remove(at).map(|cursor| (cursor.conn, cursor.cookie))
    }

    fn keep_cursor(&self, mut conn: Conn, cookie: Vec<u8>, now: Timestamp) -> u64 {
        conn.used_at = now;
        // Unlike a plain counter it says nothing to a process that was started anew.
        let number = {
            let mut next = held(&self.next_cursor);
            if *next == 0 {
                *next = rand::random::<u64>() >> 1;
            }
            *next += 1;
            *next
        };
        let mut cursors = held(&self.cursors);
        cursors.push_back(Cursor { number, conn, cookie });
        if cursors.len() > MOST_CURSORS {
            cursors.pop_front();
        }
        number
    }

    /// What cannot be understood.
    pub(super) fn garbled(&self, name: &str, write: bool) -> Fault {
        Fault::new(FaultKind::Malformed, format!("{} sent an answer that LDAP does not have.", self.place))
            .effect(if write { Effect::Unknown } else { Effect::None })
            .context(format!("{name}: malformed answer"))
    }

    /// An entry without the attribute of the id.
    pub(super) fn no_id(&self, name: &str) -> Fault {
        Fault::new(
            FaultKind::Permission,
            format!("{} shows entries without {}. Grant the gateway's account the right to read it, or correct id_attribute.", self.place, self.shape.id.0),
        )
        .context(format!("{name}: no id"))
    }

    fn not_connected(&self, trouble: Trouble, now: Timestamp) -> Fault {
        let place = &self.place;
        let fault = |kind, message: String, context: &str| {
            Fault::new(kind, message).effect(Effect::None).context(format!("connect: {context}"))
        };
        match trouble {
            Trouble::Connect(why) => {
                fault(FaultKind::Unavailable, format!("{place} could not be reached: {why}."), "tcp")
            }
            Trouble::Tls(why) => fault(
                FaultKind::Unavailable,
                format!(
                    "{place} could not be reached over TLS: {why}. Where its certificate is signed by an authority of your own, give that one in `ca`."
                ),
                "tls",
            ),
            Trouble::Lost(why) => fault(
                FaultKind::Unavailable,
                format!("{place} closed the connection while it was signed in to: {why}."),
                "lost",
            ),
            Trouble::Malformed => fault(
                FaultKind::Malformed,
                format!("{place} does not speak LDAP as it should, or expects TLS."),
                "malformed",
            ),
            Trouble::Refused(code::INVALID_CREDENTIALS | 48, text) => fault(
                FaultKind::Credential,
                format!(
                    "{place} does not accept the gateway's name and password{}.{}",
                    why_not(&text),
                    self.says(&text)
                ),
                "credential",
            ),
            Trouble::Refused(code @ (8 | 13), text) => fault(
                FaultKind::Permission,
                format!(
                    "{place} wants an encrypted connection. Use ldaps:// or turn start_tls on.{}",
                    self.says(&text)
                ),
                &format!("code {code}"),
            ),
            Trouble::Refused(code, text) | Trouble::Goodbye(code, text) => {
                let answer = Answer { code, text, ..Answer::default() };
                self.unwell("connect", false, &answer, now)
                    .unwrap_or_else(|| self.fault("connect", &answer))
                    .effect(Effect::None)
            }
        }
    }

    fn broken(&self, name: &str, write: bool, trouble: Trouble, now: Timestamp) -> Fault {
        let effect = if write { Effect::Unknown } else { Effect::None };
        match trouble {
            Trouble::Malformed => self.garbled(name, write),
            Trouble::Goodbye(51, text) => self.busy(name, &text, now).effect(effect),
            trouble => Fault::new(
                FaultKind::Unavailable,
                format!("{} closed the connection before its answer was complete.", self.place),
            )
            .effect(effect)
            .context(format!(
                "{name}: {}",
                match trouble {
                    Trouble::Goodbye(code, _) => format!("notice of disconnection, code {code}"),
                    Trouble::Lost(why) => why,
                    _ => "lost".to_owned(),
                }
            )),
        }
    }

    fn busy(&self, name: &str, text: &str, now: Timestamp) -> Fault {
        Fault::new(FaultKind::RateLimited, format!("{} is too busy.{}", self.place, self.says(text)))
            .retry(Retry::NotBefore(rates::after(now, BUSY_WAIT)))
            .context(format!("{name}: code 51"))
    }

    /// What an answer says of the server itself, whatever was asked.
    fn unwell(&self, name: &str, write: bool, answer: &Answer, now: Timestamp) -> Option<Fault> {
        let unavailable = |effect| {
            Fault::new(
                FaultKind::Unavailable,
                format!(
                    "{} cannot answer at the moment (result {}).{}",
                    self.place,
                    answer.code,
                    self.says(&answer.text)
                ),
            )
            .effect(effect)
            .context(format!("{name}: code {}", answer.code))
        };
        match answer.code {
            51 => Some(self.busy(name, &answer.text, now)),
            1 | 52 => Some(unavailable(Effect::None)),
            80 => Some(unavailable(if write { Effect::Unknown } else { Effect::None })),
            _ => None,
        }
    }

    /// The server's own words, bounded and without the password.
    fn says(&self, text: &str) -> String {
        let clean = shared::clean(text, [&self.password]);
        if clean.trim().is_empty() { String::new() } else { format!(" The server says: {}", clean.trim()) }
    }

    /// A fault of that kind with words for the admin; the server's own are added.
    pub(super) fn refused(&self, name: &str, answer: &Answer, kind: FaultKind, message: &str) -> Fault {
        Fault::new(kind, format!("{message}{}", self.says(&answer.text)))
            .effect(Effect::None)
            .context(format!("{name}: code {}", answer.code))
    }

    /// The fault that an answer is where the caller knows no better.
    pub(super) fn fault(&self, name: &str, answer: &Answer) -> Fault {
        let place = &self.place;
        let (kind, message) = match answer.code {
            2 | 12 => (
                FaultKind::Refused,
                format!(
                    "{place} does not support what the connector needs (result {}): paged results at least.",
                    answer.code
                ),
            ),
            code::TIME_LIMIT => (
                FaultKind::Quota,
                format!(
                    "{place} gave up after its time limit. Index the attributes that the connector's page names, or raise the limit for the gateway's account."
                ),
            ),
            code::SIZE_LIMIT => (
                FaultKind::Quota,
                format!(
                    "{place} has more entries than it shows to the gateway's account. Raise its size limit for that account."
                ),
            ),
            code::ADMIN_LIMIT => (
                FaultKind::Quota,
                format!(
                    "{place} reached an administrative limit. Raise it for the gateway's account, or index the attributes that the connector's page names."
                ),
            ),
            code::REFERRAL => (
                FaultKind::Permission,
                format!(
                    "{place} refers to another server: it is a replica that cannot be written, or the branch lies elsewhere. Referrals are not followed; give the address of the writable server."
                ),
            ),
            8 | 13 => (
                FaultKind::Permission,
                format!("{place} wants an encrypted connection for this. Use ldaps:// or turn start_tls on."),
            ),
            code::NO_SUCH_OBJECT => (FaultKind::NotFound, format!("{place} does not know this entry.")),
            code::INVALID_CREDENTIALS | 48 => {
                (FaultKind::Credential, format!("{place} does not accept the gateway's name and password."))
            }
            50 => (
                FaultKind::Permission,
                format!(
                    "{place} does not let the gateway's account do this. Grant it the rights that the connector's page names."
                ),
            ),
            code::ENTRY_EXISTS | 71 => (FaultKind::NameTaken, format!("{place} has another entry of this name.")),
            53 => (
                FaultKind::Refused,
                format!(
                    "{place} is unwilling to do this. On Active Directory that is often the password policy, or a connection without TLS; elsewhere a database that is read-only."
                ),
            ),
            66 => (
                FaultKind::Refused,
                format!("{place} does not delete this entry, because others stand below it. Delete those first."),
            ),
            17 | code::OBJECT_CLASS | 64 | 67 | 69 => (
                FaultKind::Refused,
                format!(
                    "The schema of {place} does not allow this entry (result {}). Correct the classes, attributes or name in the settings.",
                    answer.code
                ),
            ),
            code::CONSTRAINT | 21 => (
                FaultKind::Refused,
                format!(
                    "{place} does not allow a value (result {}): it is taken, too long, or of another form.",
                    answer.code
                ),
            ),
            other => (FaultKind::Refused, format!("{place} refuses this request (result {other}).")),
        };
        let fault = self.refused(name, answer, kind, &message);
        if kind == FaultKind::Quota { fault.retry(Retry::AfterOperator) } else { fault }
    }
}

fn code_of(trouble: &Trouble) -> Option<u16> {
    match trouble {
        Trouble::Refused(code, _) | Trouble::Goodbye(code, _) => Some(*code),
        _ => None,
    }
}

/// Active Directory's reasons for result 49 (learn.microsoft.com, "Active Directory error codes").
fn why_not(text: &str) -> &'static str {
    for (data, why) in [
        ("data 533", ": the account is disabled"),
        ("data 775", ": the account is locked out"),
        ("data 532", ": the password has expired"),
        ("data 701", ": the account has expired"),
        ("data 773", ": the password must be changed first"),
        ("data 530", ": the account may not sign in at this time"),
        ("data 531", ": the account may not sign in from here"),
    ] {
        if text.contains(data) {
            return why;
        }
    }
    ""
}
