//! A server that does not keep to the protocol, or is unwell: played by hand, byte by byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use connector_sdk::{
    AccountRef, Call, Cx, Effect, Fault, FaultKind, Person, RemoteId, Reply, Retry, Step, Transport, Work,
};
use jiff::Timestamp;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::world::build;

/// What the server does with an operation that is not a bind.
#[derive(Clone, Debug)]
enum Does {
    /// Answers with this result code.
    Says(u8),
    /// Closes the connection.
    Closes,
    /// Sends these bytes.
    Sends(Vec<u8>),
    /// Sends for ever.
    Floods,
    /// Sends a notice of disconnection with this code.
    SaysGoodbye(u8),
}

struct Target {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<u8>>>,
}

fn element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x82];
    out.extend_from_slice(&u16::try_from(body.len()).expect("it is short").to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn answer(id: u8, tag: u8, code: u8) -> Vec<u8> {
    let result = [element(0x0A, &[code]), element(4, b""), element(4, b"says so")].concat();
    element(0x30, &[element(2, &[id]), element(tag, &result)].concat())
}

impl Target {
    /// Binds well, finds nothing unless `reads` says otherwise, and does with writes what `writes` says.
    async fn start(reads: Does, writes: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(play(stream, reads.clone(), writes.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, asked }
    }

    fn connector(&self) -> Arc<dyn connector_sdk::Connector> {
        let settings = json!({
            "url": format!("ldap://{}", self.address), "start_tls": false, "bind_dn": "cn=gateway", "lock": "delete",
            "user_base": "ou=people", "group_base": "ou=groups",
        });
        build(&settings, "secret")
    }
}

async fn play(mut stream: TcpStream, reads: Does, writes: Does, seen: Arc<Mutex<Vec<u8>>>) -> std::io::Result<()> {
    loop {
        // The requests of these tests are short: a length of one or two bytes.
        let mut head = [0; 2];
        stream.read_exact(&mut head).await?;
        let length = match head[1] {
            0x81 => usize::from(stream.read_u8().await?),
            0x82 => usize::from(stream.read_u16().await?),
            short => usize::from(short),
        };
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await?;
        let (id, op) = (message[2], message[3]);
        seen.lock().expect("a lock").push(op);
        let does = match op {
            0x60 => Does::Says(0),
            0x77 => Does::Says(2),
            0x63 => reads.clone(),
            _ => writes.clone(),
        };
        let tag = match op {
            0x60 => 0x61,
            0x63 => 0x65,
            0x77 => 0x78,
            0x68 => 0x69,
            0x4A => 0x6B,
            other => other + 1,
        };
        match does {
            Does::Says(code) => stream.write_all(&answer(id, tag, code)).await?,
            Does::Closes => return Ok(()),
            Does::Sends(bytes) => stream.write_all(&bytes).await?,
            Does::SaysGoodbye(code) => stream.write_all(&answer(0, 0x78, code)).await?,
            Does::Floods => {
                // One entry after the other, none of which is the last.
                let entry = element(0x64, &[element(4, &[b'x'; 30_000]), element(0x30, &[])].concat());
                let message = element(0x30, &[element(2, &[id]), entry].concat());
                loop {
                    stream.write_all(&message).await?;
                }
            }
        }
    }
}

#[async_trait]
impl Transport for Target {
    async fn send(&self, call: Call) -> Result<Reply, Fault> {
        panic!("{} is no step", call.name)
    }

    async fn addresses(&self, _: &str, _: u16) -> Result<Vec<SocketAddr>, Fault> {
        Ok(vec![self.address])
    }

    fn allows_plain(&self) -> bool {
        true
    }

    async fn perform(&self, step: Step, work: Work<'_>) -> Result<(), Fault> {
        match tokio::time::timeout(Duration::from_secs(30), work).await {
            Ok(done) => done.result,
            Err(_) => panic!("{} does not end", step.name),
        }
    }
}

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().expect("a time")
}

async fn read(at: &Target) -> Fault {
    let connector = at.connector();
    connector.accounts().expect("people").find(&Cx::new(at, now()), &Person::named("ada")).await.expect_err("a fault")
}

async fn write(at: &Target) -> Fault {
    let connector = at.connector();
    connector.accounts().expect("people").create(&Cx::new(at, now()), &Person::named("ada")).await.expect_err("a fault")
}

#[tokio::test]
async fn what_a_result_code_means_is_told_by_kind() {
    for (code, kind, retry) in [
        (1, FaultKind::Unavailable, Retry::Soon),
        (3, FaultKind::Quota, Retry::AfterOperator),
        (4, FaultKind::Quota, Retry::AfterOperator),
        (10, FaultKind::Permission, Retry::AfterOperator),
        (11, FaultKind::Quota, Retry::AfterOperator),
        (13, FaultKind::Permission, Retry::AfterOperator),
        (32, FaultKind::Permission, Retry::AfterOperator),
        (50, FaultKind::Permission, Retry::AfterOperator),
        (51, FaultKind::RateLimited, Retry::NotBefore(now() + Duration::from_secs(10))),
        (52, FaultKind::Unavailable, Retry::Soon),
        (53, FaultKind::Refused, Retry::Never),
    ] {
        let fault = read(&Target::start(Does::Says(code), Does::Says(0)).await).await;
        assert_eq!((fault.kind, fault.retry, fault.effect), (kind, retry, Effect::None), "{code}: {fault:?}");
        assert!(fault.message.contains("says so"), "{fault:?}");
        let fault = write(&Target::start(Does::Says(0), Does::Says(code)).await).await;
        assert_eq!((fault.kind, fault.retry, fault.effect), (kind, retry, Effect::None), "{code}: {fault:?}");
    }
    let fault = write(&Target::start(Does::Says(0), Does::Says(80)).await).await;
    assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::Unknown), "{fault:?}");
}

#[tokio::test]
async fn a_write_that_breaks_off_is_unknown_and_a_read_is_not() {
    let long = [0x30, 0x84, 0x7F, 0xFF, 0xFF, 0xFF].to_vec();
    for (does, kind) in [
        (Does::Closes, FaultKind::Unavailable),
        (Does::SaysGoodbye(52), FaultKind::Unavailable),
        (Does::SaysGoodbye(51), FaultKind::RateLimited),
        (Does::Sends(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), FaultKind::Malformed),
        (Does::Sends(long), FaultKind::Malformed),
        (Does::Sends(answer(99, 0x65, 0)), FaultKind::Malformed),
        (Does::Sends(element(0x30, b"")), FaultKind::Malformed),
        (Does::Floods, FaultKind::Malformed),
    ] {
        let fault = read(&Target::start(does.clone(), Does::Says(0)).await).await;
        assert_eq!((fault.kind, fault.effect), (kind, Effect::None), "{does:?}: {fault:?}");
        let at = Target::start(Does::Says(0), does.clone()).await;
        let fault = write(&at).await;
        assert_eq!((fault.kind, fault.effect), (kind, Effect::Unknown), "{does:?}: {fault:?}");
        let asked = at.asked.lock().expect("a lock").clone();
        assert_eq!(asked.iter().filter(|op| **op == 0x68).count(), 1, "{does:?} was repeated");
    }
}

#[tokio::test]
async fn a_connection_that_broke_is_not_used_again() {
    let at = Target::start(Does::Says(0), Does::Sends(vec![0x30, 0x05, 0x02])).await;
    let connector = at.connector();
    let people = connector.accounts().expect("people");
    let cx = Cx::new(&at, now());
    // The server's answer stops in its middle: whoever waited is dropped, as at a time-out.
    let ada = Person::named("ada");
    let gone = tokio::time::timeout(Duration::from_millis(200), people.create(&cx, &ada)).await;
    assert!(gone.is_err());
    let who = AccountRef::Account { id: RemoteId::new("x"), login: None };
    assert_eq!(people.get(&cx, &who).await, Ok(None));
    let binds = at.asked.lock().expect("a lock").iter().filter(|op| **op == 0x60).count();
    assert_eq!(binds, 2);
}
