//! The listener: accepts connections within bounds and closes those that do nothing.
//!
//! `axum::serve` gives a slow header all the time in the world, so hyper is used directly: HTTP/1
//! only (the builder that also speaks HTTP/2 first waits, without a limit, for bytes that tell the
//! two apart), with a time limit on the header that also covers a connection that sends nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::telemetry::names;

/// Bounds of the listener.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Most connections open at once; more wait in the system's queue.
    pub max_connections: usize,
    /// How long a client may take to send a header, an idle connection's next one included.
    pub header_timeout: Duration,
    /// How long requests under way may go on after the shutdown began.
    pub drain: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { max_connections: 10_000, header_timeout: Duration::from_secs(10), drain: Duration::from_secs(25) }
    }
}

/// After a failed accept the listener waits this long, doubling up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Serves until `shutdown`, then stops accepting, lets requests under way finish for at most
/// [`ServerOptions::drain`], and closes what is left. Handlers find the client's address as
/// `ConnectInfo<SocketAddr>`.
pub async fn serve(listener: TcpListener, router: Router, options: ServerOptions, shutdown: CancellationToken) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.header_timeout);
    let builder = Arc::new(builder);
    let slots = Arc::new(Semaphore::new(options.max_connections.clamp(1, Semaphore::MAX_PERMITS)));
    let connections = GracefulShutdown::new();
    let over = CancellationToken::new();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let (stream, peer, slot) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = accept(&listener, &slots) => match next {
                Ok(next) => {
                    pause = SHORTEST_PAUSE;
                    next
                }
                Err(error) => {
                    // Mostly EMFILE: trying again at once would spin until a descriptor is freed.
                    metrics::counter!(names::HTTP_ACCEPT_ERRORS_TOTAL).increment(1);
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::select! {
                        () = shutdown.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    continue;
                }
            },
        };
        // Small answers must not wait for the client's acknowledgements.
        let _ = stream.set_nodelay(true);
        let service = router.clone().map_request(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo::<SocketAddr>(peer));
            request
        });
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let connection = connections.watch(connection);
        let over = over.clone();
        metrics::gauge!(names::HTTP_CONNECTIONS).increment(1);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, error = %chain(&*error), "a connection ended early");
                },
                () = over.cancelled() => {}
            }
            metrics::gauge!(names::HTTP_CONNECTIONS).decrement(1);
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(options.drain, connections.shutdown()).await.is_err() {
        tracing::warn!("requests were still under way at the end of the drain; they were cut off");
    }
    over.cancel();
}

/// Waits for a free slot first: a connection is only taken out of the system's queue when it can be
/// served.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source.filter(|_| text.len() < 500) {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;

    use super::*;

    struct Served {
        address: SocketAddr,
        shutdown: CancellationToken,
        task: JoinHandle<()>,
        entered: Arc<Notify>,
        finish: Arc<Notify>,
    }

    /// `/` answers at once; `/slow` tells that it began and waits to be let go.
    async fn start(options: ServerOptions) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, wait) = (Arc::clone(&entered), Arc::clone(&finish));
        let router = Router::new()
            .route("/", get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }))
            .route(
                "/slow",
                get(move || async move {
                    enter.notify_one();
                    wait.notified().await;
                    "done"
                }),
            );
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(serve(listener, router, options, shutdown.clone()));
        Served { address, shutdown, task, entered, finish }
    }

    fn quick() -> ServerOptions {
        ServerOptions { header_timeout: Duration::from_millis(300), ..ServerOptions::default() }
    }

    async fn connect(served: &Served, send: &str) -> TcpStream {
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(send.as_bytes()).await.unwrap();
        stream
    }

    /// Reads until the other side closes; fails if it does not.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let read = stream.read_to_end(&mut text);
        let ended = tokio::time::timeout(Duration::from_secs(20), read).await;
        let _ = ended.expect("the connection stayed open");
        String::from_utf8_lossy(&text).into_owned()
    }

    const CLOSE: &str = "GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    const SLOW: &str = "GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

    #[tokio::test]
    async fn answers_and_tells_the_clients_address() {
        let served = start(quick()).await;
        let answer = rest(&mut connect(&served, CLOSE).await).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
    }

    #[tokio::test]
    async fn slow_headers_silent_and_idle_connections_are_closed() {
        let served = start(quick()).await;
        for send in ["", "GET / HTTP/1.1\r\nhost: x\r\nx-", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
            let mut stream = connect(&served, send).await;
            rest(&mut stream).await;
        }
    }

    #[tokio::test]
    async fn connections_over_the_cap_wait_for_a_slot() {
        let served = start(ServerOptions { max_connections: 1, ..ServerOptions::default() }).await;
        let mut first = connect(&served, SLOW).await;
        served.entered.notified().await;
        let mut second = connect(&served, CLOSE).await;
        let mut byte = [0];
        let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
        assert!(early.is_err(), "the second was served beside the first");
        served.finish.notify_one();
        assert!(rest(&mut first).await.ends_with("done"));
        assert!(rest(&mut second).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_shutdown_finishes_requests_and_accepts_no_more() {
        let served = start(ServerOptions::default()).await;
        let mut idle = connect(&served, "").await;
        let mut slow = connect(&served, SLOW).await;
        served.entered.notified().await;
        served.shutdown.cancel();
        assert_eq!(rest(&mut idle).await, "");
        assert!(!served.task.is_finished());
        assert!(TcpStream::connect(served.address).await.is_err());
        served.finish.notify_one();
        assert!(rest(&mut slow).await.ends_with("done"));
        tokio::time::timeout(Duration::from_secs(20), served.task).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_shutdown_does_not_wait_for_ever() {
        let options = ServerOptions { drain: Duration::from_millis(100), ..ServerOptions::default() };
        let served = start(options).await;
        let mut slow = connect(&served, SLOW).await;
        served.entered.notified().await;
        served.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(20), served.task).await.unwrap().unwrap();
        assert_eq!(rest(&mut slow).await, "");
    }
}
