//! Connections, transactions, and the steps that they are to the transport.

use std::collections::HashMap;
use std::future::Future;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use connector_sdk::{Cx, Effect, Fault, FaultKind, Repeat, Retry, Step, Stepped};
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::SqliteConnectOptions;
use tokio::net::TcpStream;

use super::dialect::Dialect;
use super::failure::{Class, Failure};
use super::mapping::{Groups, Mapping, Users};
use super::named::Statement;
use super::ops::Ops;
use super::relay::Relay;
use super::schema::{self, Schema};
use super::session::{FOLD, Link, Ran, Session};
use super::settings::{Settings, Tls};
use super::tables::Writer;
use super::values::Params;

/// The bucket of transactions at once.
pub(super) const CONNECTIONS: &str = "connections";
/// How long SQLite waits for another writer.
const BUSY: Duration = Duration::from_secs(5);
/// The most rows of a statement that is no listing.
const FEW: usize = 1000;

/// Where the database is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Server { host: String, port: u16, database: String, user: String },
    File(String),
}

/// One database behind one instance.
pub(super) struct Client {
    pub(super) dialect: Dialect,
    pub(super) place: Place,
    pub(super) mapping: Mapping,
    pub(super) settings: Settings,
    pub(super) password: Option<SecretString>,
    /// Whether transactions are charged.
    pub(super) charged: bool,
    /// Connections that nobody uses.
    pub(super) idle: Mutex<Vec<Session>>,
    /// How statements are sent, by their text with numbered places.
    pub(super) learned: Mutex<HashMap<String, Arc<str>>>,
    /// What is run, once the schema was read.
    pub(super) ops: Mutex<Option<Arc<Ops>>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It reads.
    Read,
    /// It asks whether the database takes statements, and runs none that writes.
    Check,
    /// It writes.
    Write,
}

/// A transaction that is open.
pub(super) struct Tx<'a> {
    client: &'a Client,
    session: Session,
    mode: Mode,
}

/// What a piece of work gives back: the transaction, and what came of it.
pub(super) type Done<'a, T> = (Tx<'a>, Result<T, Failure>);

impl Client {
    /// The target, for records: host and port, or the file.
    pub(super) fn host(&self) -> String {
        match &self.place {
            Place::Server { host, port, .. } => format!("{host}:{port}"),
            Place::File(file) => format!("file {file}"),
        }
    }

    fn step(&self, name: &'static str, object: &str, mode: Mode) -> Step {
        // Every write is checked before it is done, within its transaction: twice is once.
        let repeat = if mode == Mode::Write { Repeat::Idempotent } else { Repeat::Read };
        let step = Step::new(name, "SQL", self.host(), repeat).object(object);
        if self.charged { step.charge(CONNECTIONS, 1) } else { step }
    }

    /// Runs work in one transaction, as one step.
    ///
    /// A connection that was kept may have died meanwhile; that shows before anything was asked of it,
    /// and the work begins on a new one.
    ///
    /// # Errors
    /// Without effect, but where the connection was lost after COMMIT was sent.
    pub(super) async fn within<'a, T, F, W>(
        &'a self,
        cx: &Cx<'_>,
        name: &'static str,
        object: &str,
        mode: Mode,
        work: W,
    ) -> Result<T, Fault>
    where
        T: Send,
        F: Future<Output = Done<'a, T>> + Send,
        W: Fn(Tx<'a>) -> F + Send + Sync,
    {
        loop {
            let kept = held(&self.idle).pop();
            let session = match kept {
                Some(session) => session,
                None => self.connect(cx).await?,
            };
            let work = &work;
            let done = cx
                .perform(self.step(name, object, mode), async move { self.play(session, name, mode, work).await })
                .await?;
            if let Some(done) = done {
                return Ok(done);
            }
        }
    }

    /// The work of a step: begin, work, commit. `Ok(None)`: the connection was dead.
    async fn play<'a, T, F, W>(
        &'a self,
        mut session: Session,
        name: &'static str,
        mode: Mode,
        work: &W,
    ) -> Stepped<Option<T>>
    where
        F: Future<Output = Done<'a, T>> + Send,
        W: Fn(Tx<'a>) -> F + Send + Sync,
    {
        let failed = |failure: Failure| {
            let code = failure.code();
            Stepped { code, result: Err(self.told(failure.fault(name, &self.host()))) }
        };
        let used = session.used;
        session.used = true;
        match session.plain(self.begin(mode)).await {
            Err(failure) if used && failure.is_lost() => return Stepped { code: None, result: Ok(None) },
            Err(failure) => return failed(failure),
            Ok(()) => {}
        }
        let (mut tx, result) = work(Tx { client: self, session, mode }).await;
        match result {
            Ok(value) => match tx.session.plain("COMMIT").await {
                Ok(()) => {
                    self.keep(tx.session);
                    Stepped { code: None, result: Ok(Some(value)) }
                }
                Err(failure) => {
                    let unknown = mode == Mode::Write && failure.is_lost();
                    let mut stepped = failed(failure);
                    if unknown {
                        stepped.result = stepped.result.map_err(|fault| fault.effect(Effect::Unknown));
                    }
                    stepped
                }
            },
            Err(failure) => {
                if !failure.is_lost() && tx.session.plain("ROLLBACK").await.is_ok() {
                    self.keep(tx.session);
                }
                if failure.class() == Some(Class::Statement) {
                    // The schema may have changed: it is read again.
                    *held(&self.ops) = None;
                    held(&self.learned).clear();
                }
                failed(failure)
            }
        }
    }

    /// How a transaction begins. MariaDB refuses to prepare what writes in one that reads.
    fn begin(&self, mode: Mode) -> &'static str {
        self.dialect.begin(mode == Mode::Write || mode == Mode::Check && self.dialect == Dialect::MariaDb)
    }

    fn keep(&self, session: Session) {
        let mut idle = held(&self.idle);
        if idle.len() < self.settings.connections as usize {
            idle.push(session);
        }
    }

    /// A fault that tells no secret, should the database have repeated one.
    fn told(&self, mut fault: Fault) -> Fault {
        if let Some(password) = &self.password {
            let plain = password.expose_secret();
            if !plain.is_empty() && (fault.message.contains(plain) || fault.context.contains(plain)) {
                fault.message = fault.message.replace(plain, "…");
                fault.context = fault.context.replace(plain, "…");
            }
        }
        fault
    }

    /// A new connection, as a step of its own: one that is not made had no effect.
    async fn connect(&self, cx: &Cx<'_>) -> Result<Session, Fault> {
        let step = self.step("connect", self.dialect.title(), Mode::Read);
        cx.perform(step, async {
            match self.open(cx).await {
                Ok(session) => Stepped { code: None, result: Ok(session) },
                Err(failure) => {
                    Stepped { code: failure.code(), result: Err(self.told(failure.fault("connect", &self.host()))) }
                }
            }
        })
        .await
    }

    async fn open(&self, cx: &Cx<'_>) -> Result<Session, Failure> {
        let (host, port, database, user) = match &self.place {
            Place::File(file) => return self.open_file(cx, file).await,
            Place::Server { host, port, database, user } => (host, *port, database, user),
        };
        let plain = self.settings.tls == Tls::Off;
        if plain && !cx.allows_plain() {
            return Err(Fault::new(
                FaultKind::NotSent,
                format!("{host} may not be connected to without TLS. Set tls to verify; the gateway's operator can allow plain connections with SCIMGATE_ALLOW_PRIVATE_TARGETS."),
            )
            .retry(Retry::AfterOperator)
            .into());
        }
        let mut last = None;
        for address in cx.addresses(host, port).await? {
            let far = match TcpStream::connect(address).await {
                Ok(far) => far,
                Err(error) => {
                    last = Some(Failure::Lost(format!("connecting: {}", error.kind())));
                    continue;
                }
            };
            far.set_nodelay(true).ok();
            let name = if self.dialect == Dialect::Postgres { format!(".s.PGSQL.{port}") } else { "s".to_owned() };
            let relay =
                Relay::to(far, &name).map_err(|error| Failure::Lost(format!("a local socket: {}", error.kind())))?;
            let link = self.link(&relay, host, port, database, user).await?;
            return Ok(Session::new(link, Some(relay.connected())));
        }
        Err(last.unwrap_or_else(|| Failure::Lost("it has no address".to_owned())))
    }

    async fn link(&self, relay: &Relay, host: &str, port: u16, database: &str, user: &str) -> Result<Link, Failure> {
        let password = self.password.as_ref().map(ExposeSecret::expose_secret).unwrap_or_default();
        let ca = self.settings.ca.as_deref().filter(|pem| !pem.trim().is_empty());
        let verify = self.settings.tls == Tls::Verify;
        match self.dialect {
            Dialect::Postgres => {
                let mut options = PgConnectOptions::new_without_pgpass()
                    .socket(relay.folder())
                    .host(host)
                    .port(port)
                    .username(user)
                    .password(password)
                    .database(database)
                    .application_name("scimgate")
                    .ssl_mode(if verify { PgSslMode::VerifyFull } else { PgSslMode::Disable })
                    .disable_statement_logging();
                if let Some(ca) = ca {
                    options = options.ssl_root_cert_from_pem(ca.as_bytes().to_vec());
                }
                Ok(Link::Postgres(options.connect().await?))
            }
            _ => {
                let mut options = MySqlConnectOptions::new()
                    .socket(relay.socket())
                    .host(host)
                    .port(port)
                    .username(user)
                    .password(password)
                    .database(database)
                    // `||` and `"` keep the meaning that they have at the server.
                    .pipes_as_concat(false)
                    .ssl_mode(if verify { MySqlSslMode::VerifyIdentity } else { MySqlSslMode::Disabled })
                    .disable_statement_logging();
                if let Some(ca) = ca {
                    options = options.ssl_ca_from_pem(ca.as_bytes().to_vec());
                }
                Ok(Link::MariaDb(options.connect().await?))
            }
        }
    }

    async fn open_file(&self, cx: &Cx<'_>, file: &str) -> Result<Session, Failure> {
        let path = cx.file(file).await?;
        let fold = |one: &str, other: &str| one.to_lowercase().cmp(&other.to_lowercase());
        let options = SqliteConnectOptions::from_str("sqlite:")?
            .filename(path)
            .create_if_missing(false)
            .busy_timeout(BUSY)
            .collation(FOLD, fold)
            .disable_statement_logging();
        Ok(Session::new(Link::Sqlite(options.connect().await?), None))
    }

    /// What is run, by what the database says of the tables; read once.
    pub(super) async fn ops(&self, cx: &Cx<'_>) -> Result<Arc<Ops>, Fault> {
        if let Some(known) = held(&self.ops).clone() {
            return Ok(known);
        }
        let ops = self
            .within(cx, "read schema", "mapped tables", Mode::Read, |mut tx| async move {
                let read = tx.read_ops().await;
                (tx, read)
            })
            .await?;
        let ops = Arc::new(ops);
        *held(&self.ops) = Some(Arc::clone(&ops));
        Ok(ops)
    }
}

impl Tx<'_> {
    /// Runs one statement.
    pub(super) async fn one(&mut self, statement: &Statement, params: &Params, most: usize) -> Result<Ran, Failure> {
        let sql = self.sent(statement).await?;
        self.session.run(sql, statement, params, most).await
    }

    /// How a statement is sent.
    async fn sent(&mut self, statement: &Statement) -> Result<Arc<str>, Failure> {
        if let Some(text) = self.session.rendered(statement) {
            return Ok(text.into());
        }
        let key = statement.render(|number| format!("${number}"));
        if let Some(known) = held(&self.client.learned).get(&key) {
            return Ok(Arc::clone(known));
        }
        let text: Arc<str> = self.session.learn(statement).await?.into();
        held(&self.client.learned).insert(key, Arc::clone(&text));
        Ok(text)
    }

    /// Asks the database about a statement without running it.
    pub(super) async fn check(&mut self, statement: &Statement) -> Result<(), Failure> {
        self.session.learn(statement).await.map(|_| ())
    }

    /// Runs the statements of an operation. What one that gives one row says is a parameter for those after
    /// it; the rows are those of the last that gave some, the changes all together.
    pub(super) async fn all(&mut self, statements: &[Statement], params: &Params, most: usize) -> Result<Ran, Failure> {
        let mut params = params.clone();
        let mut whole = Ran::default();
        for statement in statements {
            let ran = self.one(statement, &params, most).await?;
            whole.changed += ran.changed;
            if ran.shows {
                if let [row] = ran.rows.as_slice() {
                    row.0.iter().for_each(|(name, value)| params.set(name, value.clone()));
                }
                whole.rows = ran.rows;
                whole.shows = true;
            }
        }
        Ok(whole)
    }

    /// Runs the statements of an operation that gives few rows.
    pub(super) async fn few(&mut self, statements: &[Statement], params: &Params) -> Result<Ran, Failure> {
        self.all(statements, params, FEW).await
    }

    /// Gives up what was done so far, and begins anew.
    pub(super) async fn again(&mut self) -> Result<(), Failure> {
        self.session.plain("ROLLBACK").await?;
        self.session.plain(self.client.begin(self.mode)).await
    }

    /// Sets a point to come back to.
    pub(super) async fn mark(&mut self) -> Result<(), Failure> {
        self.session.plain("SAVEPOINT scimgate").await
    }

    /// Comes back to the point, or lets go of it.
    pub(super) async fn back(&mut self, undo: bool) -> Result<(), Failure> {
        self.session.plain(if undo { "ROLLBACK TO SAVEPOINT scimgate" } else { "RELEASE SAVEPOINT scimgate" }).await
    }

    /// The live columns of the mapped tables.
    pub(super) async fn schema(&mut self) -> Result<Schema, Failure> {
        let dialect = self.client.dialect;
        let columns = super::ops::read(dialect, schema::columns_of(dialect)).map_err(Failure::Odd)?;
        let mut known = Schema::default();
        for (table, _) in schema::wanted(&self.client.mapping) {
            let (schema, name) = schema::parts(&table);
            let params = Params::default().with("schema", schema).with("table", name);
            let ran = self.one(&columns, &params, 10_000).await?;
            if !ran.rows.is_empty() {
                known.0.insert(table, ran.rows.iter().filter_map(schema::column).collect());
            }
        }
        Ok(known)
    }

    async fn read_ops(&mut self) -> Result<Ops, Failure> {
        let mapping = &self.client.mapping;
        let dialect = self.client.dialect;
        let known = self.schema().await?;
        let missing = known.missing(&schema::wanted(mapping));
        if !missing.is_empty() {
            return Err(Fault::new(
                FaultKind::Refused,
                format!("{} Correct the mapping, or grant the user the right to see it.", missing.join(" ")),
            )
            .retry(Retry::AfterOperator)
            .context("read schema: the mapping names what is not there")
            .into());
        }
        let writer = Writer { dialect, schema: &known };
        let written = || {
            let members = match &mapping.groups {
                Some(Groups::Tables(_, members)) => Some(members.as_ref()),
                _ => None,
            };
            let users = match &mapping.users {
                Users::Table(map) => writer.users(map, members)?,
                Users::Declared(declared) => declared.as_ref().into(),
            };
            let groups = match (&mapping.groups, &mapping.users) {
                (Some(Groups::Tables(groups, members)), Users::Table(users)) => {
                    Some(writer.groups(groups, members, users)?)
                }
                (Some(Groups::Declared(declared)), _) => Some(declared.as_ref().into()),
                _ => None,
            };
            Ok(Ops { users, groups })
        };
        written().map_err(Failure::Odd)
    }
}
