//! Steps of protocols other than HTTP go through the same layers as calls.

use std::future::{pending, ready};
use std::sync::atomic::AtomicBool;

use connector_sdk::Stepped;

use super::*;

const HOST: &str = "ldap.example:636";

/// A lookup that always finds this address.
fn finds(address: &str) -> Lookup {
    let address = SocketAddr::new(address.parse().unwrap(), 0);
    Arc::new(move |_| Box::pin(async move { Ok(vec![address]) }))
}

fn step(repeat: Repeat) -> Step {
    Step::new("add entry", "LDAP", HOST, repeat).object("inetOrgPerson")
}

fn done<T>(value: T) -> Stepped<T> {
    Stepped { code: Some(0), result: Ok(value) }
}

fn failed(code: Option<u16>, fault: Fault) -> Stepped<()> {
    Stepped { code, result: Err(fault) }
}

impl Setup {
    async fn perform<T: Send>(&self, step: Step, work: impl Future<Output = Stepped<T>> + Send) -> Result<T, Fault> {
        let wire = self.wire();
        Cx::new(&wire, self.clock.now()).perform(step, work).await
    }

    fn only_record(&self) -> CallRecord {
        let (mut records, left_out) = self.record.take();
        assert_eq!((records.len(), left_out), (1, 0));
        records.remove(0)
    }
}

/// Says whether it was dropped.
struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_step_answers_what_its_work_does_and_is_recorded() {
    let setup = Setup::local();
    assert_eq!(setup.perform(step(Repeat::Read), ready(done(42))).await, Ok(42));
    let record = setup.only_record();
    assert_eq!((record.name.as_str(), record.method.as_str()), ("add entry", "LDAP"));
    assert_eq!((record.host.as_str(), record.path.as_str()), (HOST, "inetOrgPerson"));
    assert_eq!((record.status, record.fault), (Some(0), None));

    let taken = failed(Some(68), Fault::new(FaultKind::NameTaken, "taken"));
    let fault = setup.perform(step(Repeat::Verifiable), ready(taken)).await.unwrap_err();
    assert_eq!((fault.kind, fault.message.as_str()), (FaultKind::NameTaken, "taken"));
    let record = setup.only_record();
    assert_eq!((record.status, record.fault), (Some(68), Some(FaultKind::NameTaken)));
}

#[tokio::test]
async fn the_record_of_a_step_says_how_long_it_took() {
    let setup = Setup::local();
    let slow = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        done(())
    };
    setup.perform(step(Repeat::Read), slow).await.unwrap();
    assert!(setup.only_record().duration_ms >= 30);
}

#[tokio::test]
async fn work_that_does_not_end_in_time_is_dropped_and_nobody_knows() {
    for (repeat, effect) in
        [(Repeat::Read, Effect::None), (Repeat::Idempotent, Effect::Unknown), (Repeat::Verifiable, Effect::Unknown)]
    {
        let setup = Setup::with_timeout(true, system_lookup(), Duration::from_millis(100));
        let dropped = Arc::new(AtomicBool::new(false));
        let held = Dropped(Arc::clone(&dropped));
        let hangs = async {
            let _held = held;
            pending::<Stepped<()>>().await
        };
        let fault = setup.perform(step(repeat).charge("b", 1), hangs).await.unwrap_err();
        assert_eq!((fault.kind, fault.effect), (FaultKind::Timeout, effect), "{fault:?}");
        assert!(fault.message.contains(HOST) && fault.context.contains("add entry"), "{fault:?}");
        assert!(dropped.load(Ordering::SeqCst), "the work of {repeat:?} goes on");
        assert_eq!(setup.budget.snapshot().buckets[0].under_way, 0);
        assert_eq!(setup.budget.snapshot().breaker.failures, 1);
        let record = setup.only_record();
        assert_eq!((record.status, record.fault), (None, Some(FaultKind::Timeout)));
        assert!(record.duration_ms >= 100, "{record:?}");
    }
}

#[tokio::test]
async fn five_outages_of_steps_open_the_breaker_and_refusals_do_not() {
    for (kind, code, opens) in [
        (FaultKind::Unavailable, None, true),
        (FaultKind::Timeout, Some(3), true),
        (FaultKind::Credential, Some(49), false),
        (FaultKind::Refused, Some(19), false),
    ] {
        let setup = Setup::local();
        for _ in 0..5 {
            setup.perform(step(Repeat::Read), ready(failed(code, Fault::new(kind, "no")))).await.unwrap_err();
        }
        let run = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&run);
        let next = async move {
            seen.store(true, Ordering::SeqCst);
            done(())
        };
        let answer = setup.perform(step(Repeat::Verifiable), next).await;
        assert_eq!(run.load(Ordering::SeqCst), !opens, "{kind:?}");
        if opens {
            let fault = answer.unwrap_err();
            assert_eq!((fault.kind, fault.effect), (FaultKind::NotSent, Effect::None));
            assert!(matches!(fault.retry, Retry::NotBefore(at) if at > setup.clock.now()));
        }
    }
}

#[tokio::test]
async fn a_full_budget_keeps_a_step_back() {
    let setup = Setup::local();
    let resets_at = setup.clock.now() + Duration::from_secs(60);
    setup.budget.observe(&[Reading { bucket: "b", limit: None, remaining: 0, resets_at }]);
    let fault = setup.perform(step(Repeat::Idempotent).charge("b", 1), ready(done(()))).await.unwrap_err();
    assert_eq!((fault.kind, fault.effect), (FaultKind::NotSent, Effect::None));
    assert!(fault.context.contains("(b)"), "{fault:?}");
    assert_eq!(setup.only_record().status, None);
    setup.perform(step(Repeat::Idempotent), ready(done(()))).await.unwrap();
}

#[tokio::test]
async fn a_step_that_is_told_to_wait_stops_the_whole_key() {
    let setup = Setup::local();
    let until = setup.clock.now() + Duration::from_secs(20);
    let busy = Fault::new(FaultKind::RateLimited, "busy").retry(Retry::NotBefore(until));
    setup.perform(step(Repeat::Read), ready(failed(Some(51), busy))).await.unwrap_err();
    let left = setup.budget.blocked_until().unwrap().duration_since(setup.clock.now()).as_secs();
    assert!((17..=20).contains(&left), "{left}");
    let fault = setup.perform(step(Repeat::Read), ready(done(()))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NotSent);
}

#[tokio::test]
async fn a_replica_that_lost_its_lease_runs_no_step() {
    let setup = Setup::local();
    let wire = setup.wire().fenced(|| false);
    let fault = Cx::new(&wire, setup.clock.now()).perform(step(Repeat::Read), ready(done(()))).await.unwrap_err();
    assert_eq!((fault.kind, fault.effect), (FaultKind::NotSent, Effect::None));
}

#[tokio::test]
async fn only_addresses_that_pass_the_guard_are_given_out() {
    for private in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "::ffff:127.0.0.1"] {
        let wire = Setup::new(false, finds(private)).wire();
        let fault = wire.addresses("ldap.example", 636).await.unwrap_err();
        let seen = (fault.kind, fault.retry, fault.effect);
        assert_eq!(seen, (FaultKind::NotSent, Retry::AfterOperator, Effect::None), "{private}");
        assert!(fault.message.contains("SCIMGATE_ALLOW_PRIVATE_TARGETS"), "{fault:?}");
        let found = Setup::new(true, finds(private)).wire().addresses("ldap.example", 636).await.unwrap();
        assert_eq!(found, [SocketAddr::new(private.parse().unwrap(), 636)]);
    }
    let found = Setup::new(false, finds("8.8.8.8")).wire().addresses("ldap.example", 389).await.unwrap();
    assert_eq!(found, ["8.8.8.8:389".parse().unwrap()]);
}

#[tokio::test]
async fn only_who_allows_private_targets_allows_plain_text() {
    for allowed in [false, true] {
        let wire = Setup::new(allowed, finds("8.8.8.8")).wire();
        assert_eq!(Cx::new(&wire, Timestamp::UNIX_EPOCH).allows_plain(), allowed);
    }
}

#[tokio::test]
async fn a_host_without_addresses_is_an_outage() {
    let nothing: Lookup = Arc::new(|_| Box::pin(async { Ok(Vec::new()) }));
    let fails: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
    for lookup in [nothing, fails] {
        let fault = Setup::new(true, lookup).wire().addresses("ldap.example", 636).await.unwrap_err();
        assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::None), "{fault:?}");
    }
    let hangs: Lookup = Arc::new(|_| Box::pin(pending()));
    let setup = Setup::with_timeout(true, hangs, Duration::from_millis(100));
    let fault = setup.wire().addresses("ldap.example", 636).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
}
