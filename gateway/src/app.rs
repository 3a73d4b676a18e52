//! The running gateway: one router over all surfaces, the listener, the driver, and how they end.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::{self, ServerOptions};
use crate::service::App;
use crate::service::waiting::Waiting;
use crate::store::StoreError;
use crate::{admin_api, console, scim_api, telemetry};

/// How long requests under way may go on after the shutdown began.
const DRAIN: Duration = Duration::from_secs(14);
/// How long the driver may then take to finish the calls it has sent; one call takes at most 10 s.
/// Together with [`DRAIN`] it stays below the 30 s after which most supervisors kill.
const SETTLE: Duration = Duration::from_secs(11);

/// How often the metrics are tidied up.
const UPKEEP: Duration = Duration::from_secs(5);
/// How often what waits is counted: every so many times that the metrics are tidied up.
const COUNT_EVERY: u32 = 3;

/// Everything that the gateway answers.
pub fn router(app: &Arc<App>) -> Router {
    scim_api::router(Arc::clone(app)).merge(admin_api::router(Arc::clone(app))).merge(console::router(Arc::clone(app)))
}

/// Serves and drives until `shutdown`. Then it accepts no more, lets requests under way finish while
/// the driver still works for them, lets the driver finish its calls, and hands its lease back: 25 s
/// in all at most. It also ends so when the file of an embedded database fails.
///
/// # Errors
/// The database file failed: what it said.
pub async fn run(app: Arc<App>, listener: TcpListener, shutdown: CancellationToken) -> Result<(), StoreError> {
    let failed = {
        let (store, shutdown) = (app.store.clone(), shutdown.clone());
        tokio::spawn(async move {
            let words = store.failed().await;
            shutdown.cancel();
            words
        })
    };
    let options = ServerOptions {
        max_connections: connections(app.config.max_connections),
        header_timeout: app.config.header_timeout,
        drain: DRAIN,
    };
    let stop = CancellationToken::new();
    let driver = {
        let driver = app.driver.clone();
        let stop = stop.clone();
        tokio::spawn(async move { driver.start(stop).await })
    };
    // The only error is that they are installed already; whoever did that looks after them.
    let upkeep = telemetry::Metrics::install().ok().map(|metrics| tokio::spawn(keep(metrics, Arc::clone(&app))));
    let polls = {
        let (events, shutdown) = (Arc::clone(&app.events), shutdown.clone());
        tokio::spawn(async move {
            shutdown.cancelled().await;
            events.close();
        })
    };
    server::serve(listener, router(&app), options, shutdown).await;
    polls.abort();
    if let Some(upkeep) = upkeep {
        upkeep.abort();
    }
    stop.cancel();
    match tokio::time::timeout(SETTLE, driver).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the driver ended badly; its lease runs out by itself"),
        Err(_) => {
            tracing::warn!("the driver did not finish its calls in time; the next start looks what became of them")
        }
    }
    failed.abort();
    match failed.await {
        Ok(words) => Err(StoreError::Fatal(words)),
        Err(_) => Ok(()),
    }
}

/// Descriptors that connections leave to the database and to calls of targets.
const RESERVED: usize = 64;

/// How many connections may be open at once: as configured, but never so many that the process runs out of file
/// descriptors, which the database and the calls of targets need as well.
fn connections(configured: usize) -> usize {
    let Some(limit) = descriptors() else {
        return configured;
    };
    let most = limit.saturating_sub(RESERVED).max(limit / 4).max(1);
    if most < configured {
        tracing::warn!(
            descriptors = limit,
            connections = most,
            configured,
            "the limit of open files (ulimit -n) allows fewer connections than max_connections; raise it"
        );
    }
    most.min(configured)
}

/// The process's limit of open files, where the system tells it (Linux).
fn descriptors() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Tidies the metrics up and counts what waits, for ever.
async fn keep(metrics: telemetry::Metrics, app: Arc<App>) {
    let mut waiting = Waiting::default();
    let mut ahead = false;
    for round in (0..COUNT_EVERY).cycle() {
        if round == 0
            && let Err(error) = waiting.count(&app.store).await
        {
            tracing::warn!(%error, "what waits could not be counted; its metrics are those of the last time");
        }
        if round == 0
            && let Err(error) = app.store.tidy_log().await
        {
            tracing::debug!(%error, "the write-ahead log was not emptied; it is tried again");
        }
        app.clock.sleep(UPKEEP).await;
        metrics.upkeep();
        let set_back = app.clock.keep_up();
        if let Some(by) = set_back.filter(|_| !ahead) {
            tracing::warn!(
                seconds = by.as_secs(),
                "the host's clock was set back; scimgate's goes on more slowly until they agree again"
            );
        }
        ahead = set_back.is_some();
    }
}

/// A token that the first SIGTERM or Ctrl-C cancels; the second ends the process at once.
///
/// # Errors
/// The system refuses the signal handlers.
pub fn until_signalled() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let mut signals = Signals::listen()?;
    let first = token.clone();
    tokio::spawn(async move {
        signals.next().await;
        first.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    Ok(token)
}

/// SIGTERM and SIGINT as one stream.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;
    use crate::clock::Clock;
    use crate::store::Sql;

    const BOUND: Duration = Duration::from_secs(20);

    async fn ask(address: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_serves_every_surface_and_hands_its_lease_back_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let app = App::for_tests(folder.path(), Clock::system()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(run(Arc::clone(&app), listener, shutdown.clone()));
        for (path, status) in [
            ("/healthz", "200"),
            ("/readyz", "200"),
            ("/admin/v1/instances", "401"),
            ("/i/in_x/scim/v2/Users", "401"),
            ("/", "404"),
        ] {
            let answer = ask(address, path).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        }
        let lease = "SELECT until_at FROM lease WHERE until_at > $1 AND owner <> ''";
        let held = async || app.store.reader().one(lease, vals![app.clock.micros()]).await.unwrap().is_some();
        let drives = async {
            while !app.driver.drives() {
                app.clock.sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(BOUND, drives).await.unwrap();
        assert!(held().await);
        shutdown.cancel();
        tokio::time::timeout(BOUND, running).await.unwrap().unwrap().unwrap();
        assert!(!app.driver.drives() && !held().await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
