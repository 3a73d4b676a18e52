//! What targets and the way to them do: they hang, they take too long, their credential dies, they cannot be reached.

use std::process::Stdio;

use http::Method;
use serde_json::{Value, json};
use tests::{Db, Gateway, Sim, databases, wait_until, workspace};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::stage::{BOUND, called, each, emails, settled, succeeded, user};

/// People before each target.
const PEOPLE: usize = 20;

fn unanswered(calls: &[Value], from: usize) -> usize {
    calls.iter().skip(from).filter(|call| call["status"] == 0).count()
}

/// A target that does not answer in time holds up nobody else: neither those before another target, nor those who
/// only read. What its calls held is free again after the time that a call may take.
async fn beside_one_that_takes(db: Db, delay_ms: u64) {
    let context = format!("{db:?}, {delay_ms} ms");
    let (slow, other) = (Sim::start("github").await, Sim::start("buildkite").await);
    let gateway = Gateway::start_with(db, &[("SCIMGATE_CALL_TIMEOUT_SECONDS", "1")]).await;
    let admin = gateway.admin();
    let policy = json!({"answer_within_ms": 200});
    let (held, free) = (admin.connect(&slow, policy.clone()).await, admin.connect(&other, policy).await);
    admin.imported(&held.id).await;
    admin.imported(&free.id).await;

    slow.fault(json!([{"times": 1_000_000, "do": {"delay_ms": delay_ms}}])).await;
    let from = slow.calls().await.len();
    let post = |scim: tests::Scim, n: usize| async move {
        scim.call(Method::POST, "/Users", Some(&user(&format!("p{n:02}@example.com")))).await.status
    };
    let answers = each(&held.scim, PEOPLE, post).await;
    assert!(answers.iter().all(|status| *status == 201), "{context}: {answers:?}");
    wait_until("a call hangs", BOUND, async || (unanswered(&slow.calls().await, from) > 0).then_some(())).await;

    // Order instead of a clock: all that is asked of the other is done while not one call of the first is answered.
    let answers = each(&free.scim, PEOPLE, post).await;
    assert!(answers.iter().all(|status| *status == 201), "{context}: {answers:?}");
    settled(&admin, &free.id).await;
    assert_eq!(emails(&other.state().await, "invitations").len(), PEOPLE, "{context}");
    let listed = held.scim.get("/Users?count=1").await;
    assert_eq!(listed["totalResults"], PEOPLE, "{context}");
    assert!(emails(&slow.state().await, "invitations").is_empty(), "{context}: the first one had time to answer");

    // More calls than one replica has under way at once: each gave its place back.
    called(&slow, "calls give up and others begin", 5, |call| call["n"].as_u64() > u64::try_from(from).ok()).await;
    slow.heal().await;
    settled(&admin, &held.id).await;
    let wanted: Vec<String> = (0..PEOPLE).map(|n| format!("p{n:02}@example.com")).collect();
    assert_eq!(emails(&slow.state().await, "invitations"), wanted, "{context}: each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_for_ever_holds_up_nobody_else() {
    for db in databases() {
        beside_one_that_takes(db, 600_000).await;
    }
}

/// Here the target does the work after we gave up waiting for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_answers_too_late_holds_up_nobody_else_and_does_nothing_twice() {
    beside_one_that_takes(Db::Sqlite, 5_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_revoked_in_the_middle_is_not_the_clients_error_and_leavers_go_once_it_is_given_again() {
    for target in ["github", "buildkite"] {
        let sim = Sim::start(target).await;
        let mut gateway = Gateway::start(Db::Sqlite).await;
        let admin = gateway.admin();
        let instance = admin.connect(&sim, json!({"answer_within_ms": 300})).await;
        let scim = &instance.scim;
        let eve = scim.user("eve@example.com", "eve@example.com").await;
        settled(&admin, &instance.id).await;
        sim.accept(json!({"email": "eve@example.com", "login": "eve"})).await;
        admin.run(&instance.id, "reconcile").await;
        settled(&admin, &instance.id).await;
        assert_eq!(emails(&sim.state().await, "accounts"), ["eve@example.com"], "{target}");

        sim.set(json!({"token": "revoked"})).await;
        // 201 and 200, reads as ever: a 401, 403 or 404 would make Entra give the whole job up.
        scim.set_active(&eve, false).await;
        let bob = scim.user("bob@example.com", "bob@example.com").await;
        assert_eq!(scim.get(&format!("/Users/{bob}")).await["userName"], "bob@example.com", "{target}");
        let needs = wait_until("somebody is asked for", BOUND, async || {
            let needs = admin.work(&instance.id, "state=needs").await;
            (!needs.is_empty()).then_some(needs)
        })
        .await;
        assert!(needs.iter().any(|work| work["need"] == "credential"), "{target}: {needs:?}");
        let probe = admin.call(Method::POST, &format!("/instances/{}/probe", instance.id), None).await.expect(200);
        assert_eq!(probe["ok"], false, "{target}: {probe}");
        // Nothing of it is lost with the process.
        gateway.kill().await;
        gateway.restart().await;
        assert_eq!(scim.get(&format!("/Users/{eve}")).await["active"], false, "{target}");

        sim.set(json!({"token": "valid"})).await;
        let secrets = sim.instance("again")["secrets"].clone();
        admin.change(&instance.id, json!({"secrets": secrets})).await;
        settled(&admin, &instance.id).await;
        let state = sim.state().await;
        assert!(emails(&state, "accounts").is_empty(), "{target}: {state}");
        assert_eq!(emails(&state, "invitations"), ["bob@example.com"], "{target}");
    }
}

/// The body of an instance whose target is at another address.
fn moved(sim: &Sim, address: &str) -> Value {
    let mut body = sim.instance(address);
    let settings = body["settings"].as_object_mut().expect("an offer has settings");
    for (_, setting) in settings.iter_mut() {
        if let Some(text) = setting.as_str().filter(|text| text.starts_with(&sim.base_url)) {
            *setting = text.replace(&sim.base_url, address).into();
        }
    }
    body["policy"] = json!({"answer_within_ms": 0});
    body
}

/// The ways in which a target is not reached: nobody of that name, nobody there, somebody who speaks no TLS.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_reached_is_an_outage_that_names_its_reason() {
    let sim = Sim::start("github").await;
    let origin = sim.base_url.clone();
    let gateway = Gateway::start(Db::Sqlite).await;
    let admin = gateway.admin();
    for (what, address) in [
        ("a name that nobody has", "http://github.invalid".to_owned()),
        ("a port where nobody listens", "http://127.0.0.1:9".to_owned()),
        ("a server without TLS", origin.replace("http://", "https://")),
    ] {
        let instance = admin.create(moved(&sim, &address)).await;
        let ada = instance.scim.user("ada@example.com", "ada@example.com").await;
        let work = wait_until("it was tried", BOUND, async || {
            let work = admin.work(&instance.id, "state=waiting").await;
            (!work.is_empty()).then_some(work)
        })
        .await;
        // It waits for the target, nobody has to act on the person, and the reason can be read.
        let reason = work[0]["reason"].as_str().unwrap_or_default();
        assert!(!reason.is_empty(), "{what}: {work:?}");
        eprintln!("{what}: {reason}");
        assert_eq!(instance.scim.get(&format!("/Users/{ada}")).await["id"], ada.as_str(), "{what}");
    }
    assert!(sim.calls().await.iter().all(|call| !succeeded(call)), "nothing got through");
}

/// TLS before a simulator, with a certificate from `tests/data/tls`; gives its process and port.
async fn front(port: u16, certificate: &str, behind: &Sim) -> (Child, u16) {
    let folder = workspace().join("tests");
    let behind = url::Url::parse(&behind.base_url).expect("it is an address").port().expect("it has a port");
    let mut child = Command::new("python3")
        .arg(folder.join("tests/matrix/tls_front.py"))
        .arg(port.to_string())
        .arg(folder.join("data/tls").join(certificate))
        .arg(behind.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("python3 is there: tests/run needs it");
    let out = child.stdout.take().expect("it was asked for");
    let line = BufReader::new(out).lines().next_line().await.expect("it can be read");
    let port = line.and_then(|line| line.parse().ok()).expect("the front tells its port");
    (child, port)
}

/// A certificate that ran out, or that nobody vouches for, is an outage: the credential is not sent, and all is done
/// once the certificate is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_cannot_be_trusted_is_an_outage_and_no_credential_is_sent() {
    let authority = workspace().join("tests/data/tls/authority.pem").display().to_string();
    let gateway = Gateway::start_with(Db::Sqlite, &[("SSL_CERT_FILE", &authority)]).await;
    let admin = gateway.admin();
    for (certificate, word) in [("expired.pem", "expired"), ("self-signed.pem", "certificate")] {
        let sim = Sim::start("github").await;
        let (mut wrong, port) = front(0, certificate, &sim).await;
        let instance = admin.create(moved(&sim, &format!("https://localhost:{port}"))).await;
        instance.scim.user("ada@example.com", "ada@example.com").await;
        let work = wait_until("it was tried", BOUND, async || {
            let work = admin.work(&instance.id, "state=waiting").await;
            (!work.is_empty()).then_some(work)
        })
        .await;
        let reason = work[0]["reason"].as_str().unwrap_or_default().to_lowercase();
        assert!(reason.contains(word), "{certificate}: {work:?}");
        assert!(sim.calls().await.is_empty(), "{certificate}: a call got through");
        wrong.kill().await.expect("it can be stopped");

        let (_right, _) = front(port, "good.pem", &sim).await;
        settled(&admin, &instance.id).await;
        assert_eq!(emails(&sim.state().await, "invitations"), ["ada@example.com"], "{certificate}");
    }
}

/// A target that has an IPv6 address and no other is a target like any.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_speaks_ipv6_alone_is_served() {
    let sim = Sim::start_at("github", "[::1]:0").await;
    let gateway = Gateway::start(Db::Sqlite).await;
    let admin = gateway.admin();
    let instance = admin.connect(&sim, json!({})).await;
    instance.scim.user("ada@example.com", "ada@example.com").await;
    settled(&admin, &instance.id).await;
    assert!(sim.base_url.contains("[::1]"), "{}", sim.base_url);
    assert_eq!(emails(&sim.state().await, "invitations"), ["ada@example.com"]);
}
