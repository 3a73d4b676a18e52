//! The conversation: what an identity provider sends, and what has to be at the target then. A line
//! is printed only after the target was seen to be so.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::super::client::{Client, text};
use super::super::exit::{Exit, Stop};
use super::super::out::data;
use super::needed;
use super::target::Target;

const ADA: &str = "ada@example.com";
const GRACE: &str = "grace@example.com";
/// How long a comparison with the target may take.
const BOUND: Duration = Duration::from_secs(60);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(20);

/// A user, as an identity provider creates one.
pub(super) fn person(name: &str, email: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": email,
        "name": {"givenName": name, "familyName": "Example"},
        "emails": [{"value": email, "type": "work", "primary": true}],
        "active": true,
    })
}

/// A PATCH with these operations.
pub(super) fn patch(operations: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

/// Plays the conversation at one target.
pub(super) async fn tell(admin: &Client, target: &mut Target) -> Result<(), Stop> {
    let at = target.title;
    data(&format!("\n{at}\n"))?;

    let started = Instant::now();
    let ada = create(target, "Ada", ADA).await?;
    say("Ada created", &format!("invited at {at}"), started)?;

    let started = Instant::now();
    let grace = create(target, "Grace", GRACE).await?;
    say("Grace created", &format!("invited at {at}"), started)?;

    let started = Instant::now();
    target.control(Method::POST, "accept", &json!({})).await?;
    target
        .until("accounts of Ada and Grace, and no invitation", |state| {
            holds(state, "accounts", ADA) && holds(state, "accounts", GRACE) && empty(state, "invitations")
        })
        .await?;
    say("Both accept", &format!("members of the organisation at {at}"), started)?;

    let started = Instant::now();
    reconcile(admin, target).await?;
    say("Compared with the target", "the gateway knows both accounts", started)?;

    let started = Instant::now();
    let body = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "displayName": "Engineers",
        "members": [{"value": ada}, {"value": grace}],
    });
    let group = needed(&target.scim(Method::POST, "/Groups", &body).await?, "id")?;
    target.until("a team Engineers with Ada and Grace", |state| members(state, "Engineers", &[ADA, GRACE])).await?;
    say("Group Engineers created", &format!("team with Ada and Grace at {at}"), started)?;

    let started = Instant::now();
    let rename = patch(&json!([{"op": "replace", "path": "displayName", "value": "Platform"}]));
    target.scim(Method::PATCH, &format!("/Groups/{group}"), &rename).await?;
    target
        .until("a team Platform with Ada and Grace in place of Engineers", |state| {
            members(state, "Platform", &[ADA, GRACE])
                && !state["groups"]
                    .as_array()
                    .is_some_and(|groups| groups.iter().any(|group| group["name"] == "Engineers"))
        })
        .await?;
    say("Group renamed to Platform", &format!("the same team, renamed at {at}"), started)?;

    let started = Instant::now();
    let off = patch(&json!([{"op": "replace", "path": "active", "value": false}]));
    let answer = target.scim(Method::PATCH, &format!("/Users/{ada}"), &off).await?;
    if answer["active"] != false {
        return Err(Stop::failed(format!("Expected Ada with active false, found {answer}")));
    }
    target
        .until("no account of Ada, and the team Platform with Grace alone", |state| {
            !holds(state, "accounts", ADA) && holds(state, "accounts", GRACE) && members(state, "Platform", &[GRACE])
        })
        .await?;
    say("Ada deactivated", &format!("gone from {at} and from the team"), started)?;
    target.grace = grace;
    Ok(())
}

async fn create(target: &Target, name: &str, email: &str) -> Result<String, Stop> {
    let made = target.scim(Method::POST, "/Users", &person(name, email)).await?;
    target.until(&format!("an invitation of {email}"), |state| holds(state, "invitations", email)).await?;
    needed(&made, "id")
}

fn say(what: &str, then: &str, started: Instant) -> Result<(), Stop> {
    data(&format!("  {what:<25} -> {then}  ({:.2} s)\n", started.elapsed().as_secs_f64()))
}

/// Has the gateway compare its record with the target, and checks what it then knows.
async fn reconcile(admin: &Client, target: &Target) -> Result<(), Stop> {
    let base = format!("/instances/{}", target.instance);
    let bound = Instant::now() + BOUND;
    let run = loop {
        match admin.call(Method::POST, &format!("{base}/reconcile"), Some(&json!({}))).await {
            Ok(started) => break needed(&started, "run_id")?,
            // The instance's first import may still be at it.
            Err(stop) if stop.exit == Exit::Failed && Instant::now() < bound => tokio::time::sleep(LOOK).await,
            Err(stop) => return Err(stop),
        }
    };
    let ended = loop {
        let run = admin.get(&format!("{base}/runs/{run}")).await?;
        if run["state"] != "running" || Instant::now() > bound {
            break run;
        }
        tokio::time::sleep(LOOK).await;
    };
    if ended["state"] != "done" {
        return Err(Stop::failed(format!("Expected the comparison to be done, found {ended}")));
    }
    let users = loop {
        let users = admin.list(&format!("{base}/users"), 100).await?;
        let known =
            |email: &str| users.iter().any(|user| user["userName"] == email && user["link"]["status"] == "active");
        if (known(ADA) && known(GRACE)) || Instant::now() > bound {
            break users;
        }
        tokio::time::sleep(LOOK).await;
    };
    for email in [ADA, GRACE] {
        let user = users.iter().find(|user| user["userName"] == email).unwrap_or(&Value::Null);
        if user["link"]["status"] != "active" {
            return Err(Stop::failed(format!("Expected {email} with an active account, found {user}")));
        }
    }
    Ok(())
}

/// Whether a list of the target's state has someone with this address.
fn holds(state: &Value, list: &str, email: &str) -> bool {
    state[list].as_array().into_iter().flatten().any(|item| is(item, email))
}

/// By the address, or by the login where the target hides the address.
fn is(item: &Value, email: &str) -> bool {
    item["email"] == email || email.split_once('@').is_some_and(|(local, _)| text(item, "login") == local)
}

fn empty(state: &Value, list: &str) -> bool {
    state[list].as_array().is_some_and(Vec::is_empty)
}

/// Whether a group has exactly these members.
fn members(state: &Value, group: &str, emails: &[&str]) -> bool {
    let Some(group) = state["groups"].as_array().into_iter().flatten().find(|found| found["name"] == group) else {
        return false;
    };
    let Some(found) = group["members"].as_array() else { return false };
    found.len() == emails.len() && emails.iter().all(|email| found.iter().any(|member| is(member, email)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_differs_is_noticed() {
        let state = json!({
            "accounts": [{"login": "ada", "email": null}], "invitations": [{"email": GRACE, "login": null}],
            "groups": [{"name": "Engineers", "members": [{"login": "ada", "email": ADA}]}],
        });
        assert!(holds(&state, "accounts", ADA) && holds(&state, "invitations", GRACE));
        assert!(!holds(&state, "accounts", GRACE) && !holds(&state, "invitations", ADA));
        assert!(members(&state, "Engineers", &[ADA]));
        assert!(
            !members(&state, "Engineers", &[])
                && !members(&state, "Engineers", &[GRACE])
                && !members(&state, "Engineers", &[ADA, GRACE])
                && !members(&state, "Platform", &[ADA])
        );
        assert!(
            !empty(&state, "accounts") && !empty(&json!({}), "accounts") && empty(&json!({"accounts": []}), "accounts")
        );
    }
}
