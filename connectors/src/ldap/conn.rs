//! One connection: TCP, TLS, bind, and requests with their answers, in order.
//!
//! It is used by one step at a time, and thrown away with whatever was under way when a step is
//! dropped, a connection breaks, or an answer cannot be read.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::select_ok;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::ber;
use super::message::{self, Answer, Part, Request, START_TLS, WHO_AM_I, code};

/// The most that the answers of one step may hold in all.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How a connection is made.
#[derive(Clone)]
pub(super) struct Way {
    /// The host as the admin gave it, for the certificate.
    pub(super) host: String,
    /// Its addresses.
    pub(super) addresses: Vec<SocketAddr>,
    /// TLS, and whether it begins by StartTLS.
    pub(super) tls: Option<(Arc<ClientConfig>, bool)>,
}

/// Why a connection is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No connection: nothing was sent.
    Connect(String),
    /// TLS could not be agreed on: nothing was sent.
    Tls(String),
    /// It broke.
    Lost(String),
    /// The server ended it: its code and words.
    Goodbye(u16, String),
    /// The server sent what the protocol does not have.
    Malformed,
    /// The server refused to begin: its code and words.
    Refused(u16, String),
}

impl From<ber::Malformed> for Trouble {
    fn from(_: ber::Malformed) -> Self {
        Self::Malformed
    }
}

fn lost(error: &std::io::Error) -> Trouble {
    Trouble::Lost(error.to_string())
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// Between the two, while StartTLS changes one into the other.
    None,
}

impl Stream {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(bytes).await,
            Self::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Self::None => Err(std::io::ErrorKind::NotConnected.into()),
        }
    }

    async fn read(&mut self, buffer: &mut Vec<u8>) -> std::io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(buffer).await,
            Self::Tls(stream) => stream.read_buf(buffer).await,
            Self::None => Ok(0),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Self::None => Poll::Ready(Ok(())),
        }
    }
}

/// A connection.
pub(super) struct Conn {
    stream: Stream,
    buffer: Vec<u8>,
    last_id: u32,
    /// Whom it speaks for, as the server says (RFC 4532): `dn:…` or `u:…`; empty where it does not say.
    pub(super) who: String,
    /// When it was last used.
    pub(super) used_at: Timestamp,
}

impl Conn {
    /// Connects and, where asked for, begins TLS. Whatever address answers first is taken.
    pub(super) async fn open(way: &Way, now: Timestamp) -> Result<Self, Trouble> {
        let attempts = way.addresses.iter().map(|address| Box::pin(TcpStream::connect(*address)));
        let attempts: Vec<_> = attempts.collect();
        if attempts.is_empty() {
            return Err(Trouble::Connect("it has no address".to_owned()));
        }
        let (stream, _) = select_ok(attempts).await.map_err(|error| Trouble::Connect(error.to_string()))?;
        // Without it a small request waits for the answer to the one before; if it fails, it waits.
        let _ = stream.set_nodelay(true);
        let mut conn =
            Self { stream: Stream::Plain(stream), buffer: Vec::new(), last_id: 0, who: String::new(), used_at: now };
        if let Some((config, start)) = &way.tls {
            if *start {
                let answer = conn.one(&Request::extended(START_TLS)).await?;
                if answer.code != code::SUCCESS {
                    return Err(Trouble::Refused(answer.code, answer.text));
                }
                // What came before the handshake was not protected and is not believed.
                if !conn.buffer.is_empty() {
                    return Err(Trouble::Malformed);
                }
            }
            conn.secure(&way.host, config).await?;
        }
        Ok(conn)
    }

    async fn secure(&mut self, host: &str, config: &Arc<ClientConfig>) -> Result<(), Trouble> {
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Trouble::Tls("its name cannot stand in a certificate".to_owned()))?;
        let Stream::Plain(stream) = std::mem::replace(&mut self.stream, Stream::None) else {
            return Err(Trouble::Malformed);
        };
        let stream = TlsConnector::from(Arc::clone(config))
            .connect(name, stream)
            .await
            .map_err(|error| Trouble::Tls(error.to_string()))?;
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    /// Says who we are.
    pub(super) async fn bind(&mut self, name: &str, password: &str) -> Result<(), Trouble> {
        let answer = self.one(&Request::bind(name, password)).await?;
        if answer.code != code::SUCCESS {
            return Err(Trouble::Refused(answer.code, answer.text));
        }
        // A server that does not know the question says so, and then the bind's name has to do.
        let answer = self.one(&Request::extended(WHO_AM_I)).await?;
        self.who = answer.value.filter(|_| answer.code == code::SUCCESS).unwrap_or_default();
        Ok(())
    }

    /// Whether the server has said nothing and has not hung up since the last answer.
    pub(super) async fn alive(&mut self) -> bool {
        // The runtime looks at its sockets before this goes on.
        tokio::task::yield_now().await;
        if !self.buffer.is_empty() {
            return false;
        }
        let stream = &mut self.stream;
        poll_fn(|cx| {
            let mut space = [0; 1];
            // Whatever comes unasked is an end: a notice of disconnection, or a connection that is closed.
            let quiet = stream.poll_read(cx, &mut ReadBuf::new(&mut space)).is_pending();
            Poll::Ready(quiet)
        })
        .await
    }

    async fn one(&mut self, request: &Request) -> Result<Answer, Trouble> {
        self.all(std::slice::from_ref(request)).await?.pop().ok_or(Trouble::Malformed)
    }

    /// Sends the requests at once and gathers their answers, in the same order.
    pub(super) async fn all(&mut self, requests: &[Request]) -> Result<Vec<Answer>, Trouble> {
        let first = self.last_id + 1;
        let mut bytes = Vec::new();
        for request in requests {
            self.last_id += 1;
            bytes.extend(request.message(self.last_id));
        }
        self.stream.write(&bytes).await.map_err(|error| lost(&error))?;
        let mut answers = vec![Answer::default(); requests.len()];
        let mut open = vec![true; requests.len()];
        let mut read = 0;
        while open.contains(&true) {
            let message = self.message().await?;
            read += message.len();
            if read > MOST_BYTES {
                return Err(Trouble::Malformed);
            }
            let id = message::id(&message)?;
            let at = id.checked_sub(first).and_then(|at| usize::try_from(at).ok());
            let mut stray = Answer::default();
            let answer = at.and_then(|at| answers.get_mut(at)).unwrap_or(&mut stray);
            match (message::take(&message, answer)?, at) {
                (Part::Goodbye(code, text), _) => return Err(Trouble::Goodbye(code, text)),
                (Part::Of(_, done), Some(at)) if open.get(at) == Some(&true) => open[at] = !done,
                // Nobody asked for that.
                _ => return Err(Trouble::Malformed),
            }
        }
        Ok(answers)
    }

    /// The next whole message.
    async fn message(&mut self) -> Result<Vec<u8>, Trouble> {
        loop {
            if let Some(first) = self.buffer.first() {
                if *first != ber::SEQUENCE {
                    return Err(Trouble::Malformed);
                }
                if let Some((header, length)) = ber::header(&self.buffer)?
                    && self.buffer.len() >= header + length
                {
                    let rest = self.buffer.split_off(header + length);
                    return Ok(std::mem::replace(&mut self.buffer, rest));
                }
            }
            if self.stream.read(&mut self.buffer).await.map_err(|error| lost(&error))? == 0 {
                return Err(Trouble::Lost("the server closed the connection".to_owned()));
            }
        }
    }
}
