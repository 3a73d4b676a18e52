//! Writing. See the module above for the idea.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use sqlx::Connection;
use tokio::sync::{mpsc, oneshot};

use super::error::{FromStore, StoreError};
use super::failure::Failure;
use super::hints::{Hint, Hints};
use super::sequence::Sequences;
use super::sql::{Rows, Sql};
use crate::clock::Clock;
use crate::telemetry::names;

/// Who goes first when writes queue (DECISIONS 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// A request of an identity provider or admin.
    Request,
    /// The driver's claims and settlements.
    Driver,
    /// Imports and clean-up.
    Background,
}

/// One transaction's worth of reading and writing. It may run more than once (PostgreSQL repeats on
/// request), so it keeps nothing from a run that failed.
#[async_trait]
pub trait Unit: Send + 'static {
    /// What it answers.
    type Out: Send + 'static;
    /// How it fails.
    type Err: FromStore + Send + 'static;

    /// Runs it.
    async fn run(&mut self, tx: &Tx<'_>) -> Result<Self::Out, Self::Err>;
}

/// An open transaction.
pub struct Tx<'a> {
    /// Statements go here.
    pub(crate) conn: &'a DatabaseTransaction,
    /// When the unit began, in microseconds.
    pub now: i64,
    sequences: &'a Sequences,
    /// What the commit will tell the other replicas; nobody listens on an embedded database.
    hints: Mutex<Vec<Hint>>,
}

impl<'a> Tx<'a> {
    fn new(conn: &'a DatabaseTransaction, now: i64, sequences: &'a Sequences) -> Self {
        Self { conn, now, sequences, hints: Mutex::default() }
    }

    /// Tells the other replicas, if this is committed.
    pub(crate) fn hint(&self, hint: Hint) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }

    /// Makes sure that no gateway runs on the database, and that none begins to before this is committed. On an embedded
    /// one the file's lock says so already.
    pub(crate) async fn require_alone(&self) -> Result<(), StoreError> {
        if self.conn.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        self.conn.run("LOCK TABLE replica IN SHARE ROW EXCLUSIVE MODE", vals![]).await?;
        let live = format!("SELECT COUNT(*) AS n FROM replica WHERE until_at >= {}", self.conn.clock_or("0"));
        let live = self.conn.one(&live, vals![]).await?.map_or(Ok(0), |row| row.col::<i64>("n"))?;
        if live > 0 {
            return Err(StoreError::Config(format!(
                "{live} replicas of the gateway run on this database: stop them first. One that was killed counts for 15 seconds more"
            )));
        }
        Ok(())
    }

    /// The next sequence number.
    pub(crate) fn seq(&self) -> Result<i64, StoreError> {
        self.sequences.next()
    }
}

/// How many units share a commit at most.
const GROUP: usize = 64;
/// How many writes may queue before writers wait.
const QUEUE: usize = 4096;
/// How often PostgreSQL may ask for a repetition.
const REPEATS: u32 = 10;

pub(super) enum Writer {
    Grouping {
        queues: [mpsc::Sender<Box<dyn Job>>; 3],
    },
    Direct {
        /// For requests and imports.
        connection: DatabaseConnection,
        /// For the driver, which goes on when requests have used up their connections.
        driver: DatabaseConnection,
        sequences: Arc<Sequences>,
        clock: Clock,
        hints: Arc<Hints>,
    },
}

impl Writer {
    /// One writer task that commits in groups; it ends when the store is dropped.
    pub(super) fn grouping(
        connection: DatabaseConnection,
        sequences: Arc<Sequences>,
        clock: Clock,
        failure: Arc<Failure>,
    ) -> Self {
        let (request, requests) = mpsc::channel(QUEUE);
        let (driver, drivers) = mpsc::channel(QUEUE);
        let (background, backgrounds) = mpsc::channel(QUEUE);
        let writing = Writing { connection, sequences, clock, failure };
        tokio::spawn(writing.write_in_groups(Queues { requests, drivers, backgrounds }));
        Self::Grouping { queues: [request, driver, background] }
    }

    /// Each unit in a transaction of its own.
    pub(super) fn direct(
        connection: DatabaseConnection,
        driver: DatabaseConnection,
        sequences: Arc<Sequences>,
        clock: Clock,
        hints: Arc<Hints>,
    ) -> Self {
        Self::Direct { connection, driver, sequences, clock, hints }
    }

    pub(super) async fn write<U: Unit>(&self, priority: Priority, mut unit: U) -> Result<U::Out, U::Err> {
        match self {
            Self::Grouping { queues } => {
                let (reply, answer) = oneshot::channel();
                let job = Box::new(TypedJob { unit, out: None, reply });
                queues[priority as usize].send(job).await.map_err(|_| closed())?;
                answer.await.map_err(|_| closed())?
            }
            Self::Direct { connection, driver, sequences, clock, hints } => {
                let connection = if priority == Priority::Driver { driver } else { connection };
                for repeat in 0..REPEATS {
                    if repeat > 0 {
                        // Those who got in each other's way come back at different times.
                        let wait = rand::random_range(1..=10_u64 << repeat.min(5));
                        clock.sleep(Duration::from_millis(wait)).await;
                    }
                    match once(connection, sequences, clock, hints, &mut unit).await {
                        Err(error) if matches!(error.store(), Some(StoreError::Busy(_))) => {}
                        done => return done,
                    }
                }
                Err(StoreError::Busy("the database asked for a repetition too often".to_owned()).into())
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

async fn once<U: Unit>(
    connection: &DatabaseConnection,
    sequences: &Sequences,
    clock: &Clock,
    hints: &Hints,
    unit: &mut U,
) -> Result<U::Out, U::Err> {
    sequences.ensure(connection, clock.micros()).await?;
    let open = connection.begin().await.map_err(StoreError::from)?;
    let tx = Tx::new(&open, clock.micros(), sequences);
    match unit.run(&tx).await {
        Ok(out) => {
            let said = tx.hints.into_inner().unwrap_or_else(PoisonError::into_inner);
            hints.send(&open, said).await?;
            commit(open, 1).await?;
            Ok(out)
        }
        Err(error) => {
            // The unit's error says more than a failed rollback would; the connection's drop rolls back anyway.
            let _ = open.rollback().await;
            Err(error)
        }
    }
}

/// Commits what so many writes did.
async fn commit(open: DatabaseTransaction, writes: usize) -> Result<(), StoreError> {
    let began = Instant::now();
    open.commit().await?;
    metrics::histogram!(names::STORE_COMMIT_SECONDS).record(began.elapsed().as_secs_f64());
    metrics::histogram!(names::STORE_COMMIT_BATCH_ROWS).record(u32::try_from(writes).unwrap_or(u32::MAX));
    Ok(())
}

struct Queues {
    requests: mpsc::Receiver<Box<dyn Job>>,
    drivers: mpsc::Receiver<Box<dyn Job>>,
    backgrounds: mpsc::Receiver<Box<dyn Job>>,
}

impl Queues {
    async fn next(&mut self) -> Option<Box<dyn Job>> {
        tokio::select! {
            biased;
            Some(job) = self.requests.recv() => Some(job),
            Some(job) = self.drivers.recv() => Some(job),
            Some(job) = self.backgrounds.recv() => Some(job),
            else => None,
        }
    }

    /// A job that waits already. Every fourth comes from the driver first, so that a flood of
    /// requests cannot starve what they ask for.
    fn waiting(&mut self, nth: usize) -> Option<Box<dyn Job>> {
        let [first, second] = if nth % 4 == 3 {
            [&mut self.drivers, &mut self.requests]
        } else {
            [&mut self.requests, &mut self.drivers]
        };
        first.try_recv().or_else(|_| second.try_recv()).ok()
    }
}

/// The one writer of an embedded database.
struct Writing {
    connection: DatabaseConnection,
    sequences: Arc<Sequences>,
    clock: Clock,
    failure: Arc<Failure>,
}

impl Writing {
    async fn write_in_groups(self, mut queues: Queues) {
        while let Some(first) = queues.next().await {
            let mut done: Vec<Box<dyn Job>> = Vec::new();
            let outcome = match self.failure.words() {
                Some(words) => {
                    done.push(first);
                    Err(StoreError::Fatal(words.to_owned()))
                }
                None => self.group(&mut queues, first, &mut done).await,
            };
            if let Err(error) = &outcome {
                self.recover(error).await;
            }
            let outcome = outcome.map_err(|error| error.to_string());
            for job in done {
                job.finish(&outcome);
            }
        }
    }

    /// After a group that failed. An error such as a full disk may have ended the transaction by itself
    /// (sqlite.org/lang_transaction.html, section 3), and the connection does not know how deep it is in savepoints
    /// then, so another takes its place.
    async fn recover(&self, error: &StoreError) {
        if let StoreError::Fatal(words) = error {
            self.failure.note(words);
        }
        match self.connection.get_sqlite_connection_pool().acquire().await {
            Ok(connection) => {
                if let Err(error) = connection.detach().close_hard().await {
                    tracing::debug!(%error, "the writer's connection did not close cleanly");
                }
            }
            Err(error) => tracing::warn!(%error, "the writer's connection could not be made anew"),
        }
    }

    /// Runs a group and commits it. An error belongs to every job of the group.
    async fn group(
        &self,
        queues: &mut Queues,
        first: Box<dyn Job>,
        done: &mut Vec<Box<dyn Job>>,
    ) -> Result<(), StoreError> {
        let mut next = Some(first);
        let mut open: Option<DatabaseTransaction> = None;
        let failed = loop {
            let Some(mut job) = next.take() else {
                break None;
            };
            let step = self.step(&mut open, &mut *job).await;
            done.push(job);
            if let Err(error) = step {
                break Some(error);
            }
            if done.len() < GROUP && self.sequences.plenty() {
                next = queues.waiting(done.len());
            }
        };
        match (open, failed) {
            (Some(open), None) => commit(open, done.len()).await,
            (Some(open), Some(error)) => {
                let _ = open.rollback().await;
                Err(error)
            }
            (None, failed) => failed.map_or(Ok(()), Err),
        }
    }

    /// Runs one job in a savepoint of the group's transaction, which is begun with the first.
    async fn step(&self, open: &mut Option<DatabaseTransaction>, job: &mut dyn Job) -> Result<(), StoreError> {
        if open.is_none() {
            self.sequences.ensure(&self.connection, self.clock.micros()).await?;
            let options = TransactionOptions {
                sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
                ..TransactionOptions::default()
            };
            *open = Some(self.connection.begin_with_options(options).await?);
        }
        let Some(outer) = open else {
            return Err(closed());
        };
        let savepoint = outer.begin().await?;
        let tx = Tx::new(&savepoint, self.clock.micros(), &self.sequences);
        // A unit that panics must not take the writer, and with it the gateway, along.
        let ran = AssertUnwindSafe(job.run(&tx)).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!("a unit of the store panicked; it is rolled back");
            Ran::Refused
        });
        match ran {
            Ran::Keep => savepoint.commit().await?,
            // Where the error ended the whole transaction, this fails, and the group with it.
            Ran::Refused => savepoint.rollback().await?,
            Ran::Failed(error) => {
                let _ = savepoint.rollback().await;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// How a unit ended.
pub(super) enum Ran {
    /// Its changes stay.
    Keep,
    /// Its changes are rolled back; its neighbours' stay.
    Refused,
    /// The file failed under it, and under its neighbours.
    Failed(StoreError),
}

/// A unit without its types.
#[async_trait]
pub(super) trait Job: Send {
    /// Runs it.
    async fn run(&mut self, tx: &Tx<'_>) -> Ran;
    /// Answers, after the group's commit or its failure.
    fn finish(self: Box<Self>, group: &Result<(), String>);
}

struct TypedJob<U: Unit> {
    unit: U,
    out: Option<Result<U::Out, U::Err>>,
    reply: oneshot::Sender<Result<U::Out, U::Err>>,
}

#[async_trait]
impl<U: Unit> Job for TypedJob<U> {
    async fn run(&mut self, tx: &Tx<'_>) -> Ran {
        let out = self.unit.run(tx).await;
        let ran = match &out {
            Ok(_) => Ran::Keep,
            Err(error) => match error.store() {
                Some(StoreError::Fatal(text)) => Ran::Failed(StoreError::Fatal(text.clone())),
                _ => Ran::Refused,
            },
        };
        self.out = Some(out);
        ran
    }

    fn finish(self: Box<Self>, group: &Result<(), String>) {
        let answer = match (self.out, group) {
            // A unit that refused changed nothing, so its refusal stands whatever became of the group.
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(out)), Ok(())) => Ok(out),
            (_, Err(text)) => Err(StoreError::Unavailable(text.clone()).into()),
            (None, Ok(())) => Err(StoreError::Other("the unit panicked; the log has more".to_owned()).into()),
        };
        // Nobody may be waiting any more: a client that went away does not undo its request.
        let _ = self.reply.send(answer);
    }
}
