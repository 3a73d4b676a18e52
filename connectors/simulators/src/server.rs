//! A simulator on a socket.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::{Dropped, Simulator};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long calls under way may go on after the shutdown began.
const LINGER: Duration = Duration::from_secs(2);

/// Serves a simulator until `shutdown` is ready, then lets the calls under way finish for up to
/// 2 s. A fault that drops closes the TCP connection without a byte of an answer.
///
/// # Errors
/// The listener cannot tell its own address.
pub async fn serve(simulator: Simulator, listener: TcpListener, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    listener.local_addr()?;
    let builder = Builder::new(TokioExecutor::new()).http1_only();
    let graceful = GracefulShutdown::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                // Out of file descriptors, or the peer has gone: the next one may do better.
                Err(_) => {
                    tokio::task::yield_now().await;
                    continue;
                }
            },
            () = &mut shutdown => break,
        };
        // Answers are small and each is waited for.
        let _ = stream.set_nodelay(true);
        let simulator = simulator.clone();
        let service = service_fn(move |request| {
            let simulator = simulator.clone();
            async move { answer(&simulator, request).await.map(|r| r.map(Full::new)) }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // The only errors are a peer that left and a connection that a fault dropped.
            let _ = connection.await;
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LINGER, graceful.shutdown()).await;
    Ok(())
}

impl Simulator {
    /// The same as an axum router, to be put into another server. A router cannot close its
    /// connection, so there a dropped call is a 502 whose body breaks off; [`serve`] drops truly.
    pub fn router(&self) -> axum::Router {
        let simulator = self.clone();
        axum::Router::new().fallback(move |request: Request<Body>| {
            let simulator = simulator.clone();
            async move {
                let response = match answer(&simulator, request).await {
                    Ok(response) => response.map(Body::from),
                    Err(dropped) => {
                        let mut response = Response::new(Body::new(Broken(dropped)));
                        *response.status_mut() = StatusCode::BAD_GATEWAY;
                        response
                    }
                };
                Ok::<_, Infallible>(response)
            }
        })
    }
}

/// A body that breaks off at once.
struct Broken(Dropped);

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, Dropped>>> {
        std::task::Poll::Ready(Some(Err(self.0)))
    }
}

async fn answer<B>(simulator: &Simulator, request: Request<B>) -> Result<Response<Bytes>, Dropped>
where
    B: hyper::body::Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (parts, body) = request.into_parts();
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => simulator.handle(Request::from_parts(parts, body.to_bytes())).await,
        Err(_) => {
            let text = format!("the body is larger than {MAX_BODY} bytes or was cut off\n");
            let mut response = Response::new(Bytes::from(text));
            *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
            Ok(response)
        }
    }
}
