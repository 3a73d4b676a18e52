//! The three places between an acknowledgement and its end where a process can die.

use serde_json::json;
use tests::{Db, databases, wait_until};

use crate::stage::{BOUND, Stage, TARGETS, Write, list, settled, together};

#[derive(Clone, Copy, Debug)]
enum Window {
    /// Acknowledged, and nothing of it was sent.
    BeforeTheCall,
    /// Sent, and the target is still at it: it does the work after the client has died.
    InFlight,
    /// Done at the target, and its answer was not read.
    BeforeTheCommit,
}

/// The target takes so long over a write: long enough to look at it meanwhile.
const SLOW: u64 = 4_000;

async fn strike(target: &'static str, db: Db, window: Window) {
    let mut stage = Stage::set(target, db).await;
    let writes = stage.writes().await;
    match window {
        Window::BeforeTheCall => before_the_call(&mut stage).await,
        Window::InFlight | Window::BeforeTheCommit => {
            let slow: Vec<_> = writes.iter().map(|write| write.slow(SLOW)).collect();
            let from = stage.sim.calls().await.len();
            stage.sim.fault(json!(slow)).await;
            stage.change().await;
            wait_until("every write is under way", BOUND, async || {
                (under_way(&stage, &writes, from).await == writes.len()).then_some(())
            })
            .await;
            stage.gateway.freeze().await;
            assert_eq!(under_way(&stage, &writes, from).await, writes.len(), "the gateway was stopped too late");
            if matches!(window, Window::BeforeTheCommit) {
                wait_until("every write is done at the target", BOUND, async || {
                    (under_way(&stage, &writes, from).await == 0).then_some(())
                })
                .await;
            }
            stage.gateway.kill().await;
            stage.sim.heal().await;
        }
    }
    let died = stage.sim.calls().await.len();
    stage.gateway.restart().await;
    stage.agrees(&writes).await;
    if !matches!(window, Window::BeforeTheCall) {
        // What was sent may be sent again where that changes nothing; a creation never.
        let calls = stage.sim.calls().await;
        let again = calls.iter().skip(died).find(|call| writes.iter().any(|write| write.creates() && write.is(call)));
        assert!(again.is_none(), "{target} on {db:?}: created again: {again:?}");
    }
}

/// How many of the writes have arrived since a place of the ledger and are not answered.
async fn under_way(stage: &Stage, writes: &[Write], from: usize) -> usize {
    let calls = stage.sim.calls().await;
    let open = calls.iter().skip(from).filter(|call| call["status"] == 0);
    open.filter(|call| writes.iter().any(|write| write.is(call))).count()
}

/// The target has asked to be left alone, so that what is acknowledged cannot be sent yet.
async fn before_the_call(stage: &mut Stage) {
    let busy =
        json!([{"times": 1, "do": {"status": 429, "headers": {"retry-after": "10"}, "body": {"message": "too many"}}}]);
    stage.sim.fault(busy).await;

    let early = stage.instance.scim.group("Early", &[]).await;
    wait_until("the target is left alone", BOUND, async || {
        let work = stage.admin.work(&stage.instance.id, "state=waiting").await;
        (!work.is_empty()).then_some(())
    })
    .await;
    let path = format!("/Groups/{early}");
    let gone = stage.instance.scim.call(http::Method::DELETE, &path, None).await;
    assert_eq!(gone.status, 204, "{}", gone.text);
    let before = stage.sim.calls().await.len();
    stage.change().await;
    stage.gateway.kill().await;
    let after = stage.sim.calls().await.len();
    assert_eq!(before, after, "something was sent before the gateway died");
}

/// A leaver's invitation is gone, and nobody heard the answer: a second look cannot tell that from
/// an invitation that somebody accepted, but we know that we asked for it.
async fn take_back(target: &'static str, db: Db) {
    let context = format!("{target} on {db:?}");
    let mut stage = Stage::set(target, db).await;
    let id = stage.instance.id.clone();
    let scim = stage.instance.scim.clone();
    let eve = scim.user("eve@example.com", "eve@example.com").await;
    stage.admin.settled(&id).await;
    let take_back = [Write::new("take back", "DELETE", &["/invitations/"])];
    stage.sim.fault(json!([take_back[0].slow(SLOW)])).await;
    scim.set_active(&eve, false).await;
    wait_until("it is under way", BOUND, async || (under_way(&stage, &take_back, 0).await == 1).then_some(())).await;
    stage.gateway.freeze().await;
    wait_until("it is done at the target", BOUND, async || (under_way(&stage, &take_back, 0).await == 0).then_some(()))
        .await;
    stage.gateway.kill().await;
    stage.gateway.restart().await;
    settled(&stage.admin, &id, &context).await;
    let state = stage.sim.state().await;
    assert!(list(&state, "invitations").is_empty(), "{context}: {state:#}");
    // And the way back is open.
    scim.set_active(&eve, true).await;
    settled(&stage.admin, &id, &context).await;
    let state = stage.sim.state().await;
    assert_eq!(list(&state, "invitations").len(), 1, "{context}: {state:#}");
}

fn places() -> impl Iterator<Item = (&'static str, Db)> {
    let all = databases().into_iter();
    all.flat_map(|db| TARGETS.map(|target| (target, db)))
}

async fn everywhere(window: Window) {
    together(places().map(|(target, db)| strike(target, db, window))).await;
}

#[tokio::test]
async fn killed_between_the_acknowledgement_and_the_call() {
    everywhere(Window::BeforeTheCall).await;
}

#[tokio::test]
async fn killed_while_the_target_is_at_it() {
    everywhere(Window::InFlight).await;
}

#[tokio::test]
async fn killed_between_the_call_and_the_commit() {
    everywhere(Window::BeforeTheCommit).await;
}

#[tokio::test]
async fn killed_after_taking_an_invitation_back_the_leaver_is_not_in_doubt() {
    together(places().map(|(target, db)| take_back(target, db))).await;
}
