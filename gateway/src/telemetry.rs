//! Logs and metrics. A metric's name says its unit; a label is never about a person.

use std::io::Write;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

/// The names of the metrics. Labels in brackets; `connector` and `instance` are our own ids, `host`
/// is a target's.
pub mod names {
    /// Requests answered [surface, method, status].
    pub const HTTP_REQUESTS_TOTAL: &str = "scimgate_http_requests_total";
    /// From a request's header to its answer's header [surface].
    pub const HTTP_REQUEST_SECONDS: &str = "scimgate_http_request_seconds";
    /// Connections open now.
    pub const HTTP_CONNECTIONS: &str = "scimgate_http_connections";
    /// Times that accepting a connection failed.
    pub const HTTP_ACCEPT_ERRORS_TOTAL: &str = "scimgate_http_accept_errors_total";
    /// Requests refused before they reached an instance [reason].
    pub const REJECTED_REQUESTS_TOTAL: &str = "scimgate_rejected_requests_total";
    /// Calls of targets [host, call, outcome].
    pub const TARGET_CALLS_TOTAL: &str = "scimgate_target_calls_total";
    /// From sending a call to the end of its answer [host, call].
    pub const TARGET_CALL_SECONDS: &str = "scimgate_target_call_seconds";
    /// How long calls waited for their budget [lane].
    pub const BUDGET_WAIT_SECONDS: &str = "scimgate_budget_wait_seconds";
    /// Times that a target's breaker opened [host].
    pub const BREAKER_OPENED_TOTAL: &str = "scimgate_breaker_opened_total";
    /// Whether a target's breaker is open: 1 while it does not answer, else 0 [host].
    pub const BREAKERS_OPEN_ROWS: &str = "scimgate_breakers_open_rows";
    /// Whether a target no longer accepts an instance's credential: 1, else 0 [instance].
    pub const DEGRADED_INSTANCES_ROWS: &str = "scimgate_degraded_instances_rows";
    /// Work not settled [state].
    pub const WORK_ROWS: &str = "scimgate_work_rows";
    /// How long the person that has waited longest to lose access has not been settled; 0 if
    /// nobody waits [instance].
    pub const OLDEST_DEPROVISION_SECONDS: &str = "scimgate_oldest_deprovision_seconds";
    /// How long the oldest work in a state has not been settled; 0 if there is none [instance, state].
    pub const OLDEST_WORK_SECONDS: &str = "scimgate_oldest_work_seconds";
    /// How long the membership that has been parked for the longest has been; 0 if none is [instance].
    pub const OLDEST_PARKED_SECONDS: &str = "scimgate_oldest_parked_membership_seconds";
    /// Memberships that wait for their person.
    pub const PARKED_MEMBERSHIPS_ROWS: &str = "scimgate_parked_memberships_rows";
    /// How long commits of the store took.
    pub const STORE_COMMIT_SECONDS: &str = "scimgate_store_commit_seconds";
    /// Writes that shared one commit. With PostgreSQL each has its own.
    pub const STORE_COMMIT_BATCH_ROWS: &str = "scimgate_store_commit_batch_rows";
    /// Statements sent to the database.
    pub const STORE_STATEMENTS_TOTAL: &str = "scimgate_store_statements_total";
    /// The size of the embedded database's write-ahead log.
    pub const STORE_LOG_BYTES: &str = "scimgate_store_log_bytes";

    /// Alerts told, reminders included [kind].
    pub const ALERTS_TOTAL: &str = "scimgate_alerts_total";
    /// Operations that ended [outcome].
    pub const OPERATIONS_CLOSED_TOTAL: &str = "scimgate_operations_closed_total";
    /// From accepting an operation to its being at the target.
    pub const OPERATION_SECONDS: &str = "scimgate_operation_seconds";
    /// Tasks for people that are open [instance].
    pub const TASKS_OPEN_ROWS: &str = "scimgate_tasks_open_rows";
    /// Tasks for people whose time is over [instance].
    pub const TASKS_OVERDUE_ROWS: &str = "scimgate_tasks_overdue_rows";
    /// Rows that were purged because their time was over [table].
    pub const PURGED_TOTAL: &str = "scimgate_purged_rows_total";
    /// Refusals of clients' requests that were not put on record because too many came at once.
    pub const REFUSALS_DROPPED_TOTAL: &str = "scimgate_refusals_dropped_total";

    /// Lines of the log that could not be written: its disk is full, or whoever reads it is gone.
    pub const LOG_LINES_DROPPED_TOTAL: &str = "scimgate_log_lines_dropped_total";

    /// Every name with its help text and whether it is a `c`ounter, `g`auge or `h`istogram.
    pub(super) const ALL: &[(&str, char, &str)] = &[
        (HTTP_REQUESTS_TOTAL, 'c', "Requests answered."),
        (HTTP_REQUEST_SECONDS, 'h', "Time from a request's header to its answer's header."),
        (HTTP_CONNECTIONS, 'g', "Connections open now."),
        (HTTP_ACCEPT_ERRORS_TOTAL, 'c', "Times that accepting a connection failed."),
        (REJECTED_REQUESTS_TOTAL, 'c', "Requests refused before they reached an instance."),
        (TARGET_CALLS_TOTAL, 'c', "Calls of targets."),
        (TARGET_CALL_SECONDS, 'h', "Time from sending a call to the end of its answer."),
        (BUDGET_WAIT_SECONDS, 'h', "Time that calls waited for their budget."),
        (BREAKER_OPENED_TOTAL, 'c', "Times that a target's breaker opened."),
        (BREAKERS_OPEN_ROWS, 'g', "Whether a target's breaker is open."),
        (DEGRADED_INSTANCES_ROWS, 'g', "Whether a target no longer accepts an instance's credential."),
        (WORK_ROWS, 'g', "Work not settled."),
        (OLDEST_DEPROVISION_SECONDS, 'g', "Age of the oldest deprovision that is not settled; 0 if there is none."),
        (OLDEST_WORK_SECONDS, 'g', "Age of the oldest work in a state; 0 if there is none."),
        (OLDEST_PARKED_SECONDS, 'g', "Age of the membership that has been parked for the longest; 0 if there is none."),
        (PARKED_MEMBERSHIPS_ROWS, 'g', "Memberships that wait for their person."),
        (STORE_COMMIT_SECONDS, 'h', "Time that commits of the store took."),
        (STORE_STATEMENTS_TOTAL, 'c', "Statements sent to the database."),
        (ALERTS_TOTAL, 'c', "Alerts told, reminders included."),
        (STORE_COMMIT_BATCH_ROWS, 'h', "Writes that shared one commit."),
        (OPERATIONS_CLOSED_TOTAL, 'c', "Operations that ended."),
        (OPERATION_SECONDS, 'h', "Time from accepting an operation to its being at the target."),
        (TASKS_OPEN_ROWS, 'g', "Tasks for people that are open."),
        (TASKS_OVERDUE_ROWS, 'g', "Tasks for people whose time is over."),
        (PURGED_TOTAL, 'c', "Rows purged because their time was over."),
        (REFUSALS_DROPPED_TOTAL, 'c', "Refusals that were not put on record because too many came at once."),
        (LOG_LINES_DROPPED_TOTAL, 'c', "Lines of the log that could not be written."),
        (STORE_LOG_BYTES, 'g', "Size of the embedded database's write-ahead log."),
    ];
}

/// Why logs or metrics could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter is wrong.
    #[error("log: the filter cannot be understood: {0}")]
    Filter(#[from] ParseError),
    /// Something else in this process already writes the log.
    #[error("the log is already set up in this process: {0}")]
    Log(#[from] TryInitError),
    /// The recorder could not be built or installed.
    #[error("the metrics could not be set up: {0}")]
    Metrics(#[from] BuildError),
}

/// Whose lines tell of every step of a migration.
const STEPS: &str = "sea_orm_migration";

/// Starts the log on standard error. Call it once, first thing.
///
/// # Errors
/// A wrong filter, or a log that is already set up.
pub fn start_log(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let said = filter;
    let mut filter = EnvFilter::try_new(said)?;
    // One line for each step of a migration is more than anybody wants of a first start; the store says how many.
    let wordy = |part: &str| ["debug", "trace"].iter().any(|level| part.trim().eq_ignore_ascii_case(level));
    if !said.split(',').any(wordy) && !said.contains(STEPS) {
        filter = filter.add_directive(format!("{STEPS}=warn").parse()?);
    }
    // What goes wrong with a line would be printed to standard error too, and that panics where it is full.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Tolerant(std::io::stderr()))
        .log_internal_errors(false);
    match format {
        LogFormat::Text => lines.with_ansi(false).finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// Standard error, which may be full or gone: then lines are dropped and counted, and everything else goes on.
struct Tolerant(std::io::Stderr);

impl Write for Tolerant {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        if self.0.write_all(line).is_err() {
            metrics::counter!(names::LOG_LINES_DROPPED_TOTAL).increment(1);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

static INSTALLED: std::sync::OnceLock<Metrics> = std::sync::OnceLock::new();

/// The page of `/metrics`; none before [`Metrics::install`].
pub fn render() -> Option<String> {
    INSTALLED.get().map(Metrics::render)
}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the recorder behind the `metrics` macros. Call it once.
    ///
    /// # Errors
    /// A recorder is already installed.
    pub fn install() -> Result<Self, TelemetryError> {
        let recorder = recorder()?;
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(BuildError::from)?;
        describe();
        let metrics = Self(handle);
        let _ = INSTALLED.set(metrics.clone());
        Ok(metrics)
    }

    /// The page of `/metrics`, in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves what histograms gathered to where it is kept. Call it every few seconds: without it,
    /// and with nobody who scrapes, memory grows.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 60.0];
    let rows = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    // Operations wait for targets: up to days.
    let waits = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0];
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(names::OPERATION_SECONDS.to_owned()), &waits)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".to_owned()), &rows)?
        .build_recorder())
}

fn describe() {
    for &(name, kind, help) in names::ALL {
        match kind {
            'c' => metrics::describe_counter!(name, help),
            'g' => metrics::describe_gauge!(name, help),
            _ => metrics::describe_histogram!(name, help),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_their_unit() {
        for &(name, kind, help) in names::ALL {
            assert!(name.starts_with("scimgate_") && !help.is_empty());
            let units: &[&str] = match kind {
                'c' => &["_total"],
                'g' => &["_rows", "_seconds", "_connections", "_bytes"],
                _ => &["_seconds", "_rows"],
            };
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name}");
        }
    }

    #[test]
    fn what_is_counted_is_rendered() {
        let recorder = recorder().unwrap();
        let metrics = Metrics(recorder.handle());
        metrics::with_local_recorder(&recorder, || {
            describe();
            metrics::counter!(names::TARGET_CALLS_TOTAL, "host" => "api.example.com").increment(2);
            metrics::histogram!(names::TARGET_CALL_SECONDS).record(0.02);
        });
        metrics.upkeep();
        let page = metrics.render();
        assert!(page.contains("scimgate_target_calls_total{host=\"api.example.com\"} 2"), "{page}");
        assert!(page.contains("scimgate_target_call_seconds_bucket{le=\"0.025\"} 1"), "{page}");
        assert!(page.contains("# HELP scimgate_target_calls_total Calls of targets."), "{page}");
    }

    #[test]
    fn a_wrong_filter_is_an_error() {
        assert!(matches!(start_log("a=b=c", LogFormat::Text), Err(TelemetryError::Filter(_))));
    }
}
