//! What the tests of the matrix share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::scim::USER;
use tests::{Admin, Scim, Sim, wait_until};
use tokio::task::JoinSet;

/// Bounds are for defects, not for measuring.
pub(crate) const BOUND: Duration = Duration::from_secs(240);
/// Connections of a client that pushes many people.
const CONNECTIONS: usize = 16;

/// A user who is called what their address is.
pub(crate) fn user(email: &str) -> Value {
    json!({"schemas": [USER], "userName": email, "active": true, "emails": [{"value": email, "primary": true}]})
}

/// Does something for each of `0..count`, over a few connections that stay open; gives the results in order.
pub(crate) async fn each<T, F>(
    scim: &Scim,
    count: usize,
    one: impl Fn(Scim, usize) -> F + Clone + Send + 'static,
) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        // A client of its own has a connection of its own.
        let (scim, next, one) = (Scim::new(&scim.base, &scim.key), next.clone(), one.clone());
        connections.spawn(async move {
            let mut done = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return done;
                }
                done.push((n, one(scim.clone(), n).await));
            }
        });
    }
    let mut done: Vec<(usize, T)> = connections.join_all().await.into_iter().flatten().collect();
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, one)| one).collect()
}

/// Whether a call of the ledger was answered with success.
pub(crate) fn succeeded(call: &Value) -> bool {
    call["status"].as_u64().is_some_and(|status| (200..300).contains(&status))
}

/// The addresses or logins of a list of a simulator's state, sorted.
pub(crate) fn emails(state: &Value, list: &str) -> Vec<String> {
    let all = state[list].as_array().cloned().unwrap_or_default();
    let mut emails: Vec<_> = all.iter().map(|one| one["email"].as_str().unwrap_or("-").to_owned()).collect();
    emails.sort();
    emails
}

/// How many members a group has at the target.
pub(crate) fn members(state: &Value, group: &str) -> usize {
    let groups = state["groups"].as_array().cloned().unwrap_or_default();
    let group = groups.iter().find(|one| one["name"] == group);
    group.and_then(|group| group["members"].as_array()).map_or(0, Vec::len)
}

/// Waits until nothing is left to do: neither work nor open operations. Looks seldom enough not to be a load.
pub(crate) async fn settled(admin: &Admin, instance: &str) {
    wait_until("all is settled", BOUND, async || {
        let empty = async |path: String| {
            let page = admin.get(&path).await;
            page["items"].as_array().is_some_and(Vec::is_empty)
        };
        (empty(format!("/instances/{instance}/work?limit=1")).await
            && empty(format!("/instances/{instance}/operations?state=open&limit=1")).await)
            .then_some(())
    })
    .await;
}

/// Waits until the target has so many of the successful calls that `which` tells.
pub(crate) async fn called(sim: &Sim, what: &str, count: usize, which: impl Fn(&Value) -> bool) {
    wait_until(what, BOUND, async || {
        let calls = sim.calls().await;
        (calls.iter().filter(|call| which(call)).count() >= count).then_some(())
    })
    .await;
}
