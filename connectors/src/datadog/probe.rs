//! What the keys are and may. Reads only.

use connector_sdk::{Cx, Fault, Probe};
use http::Method;

use super::client::{Answer, Client};
use super::roles::Roles;
use super::settings::{GroupsAre, Settings};
use crate::shared::probe::{as_check, check};

/// Checks the keys: whose they are, what can be read, and whether the role of new people is there.
pub(super) async fn probe(client: &Client, roles: &Roles, settings: &Settings, cx: &Cx<'_>) -> Result<Probe, Fault> {
    let mut probe = Probe { identity: None, checks: Vec::new() };
    match client.own(cx).await {
        Ok(own) => {
            probe.identity = Some(own.as_str().to_owned());
            probe.checks.push(check("credential", true, format!("The application key belongs to the user {own}.")));
        }
        Err(fault) => {
            probe.checks.push(as_check("credential", fault)?);
            return Ok(probe);
        }
    }
    let lists: &[(&str, &str)] = match settings.groups {
        GroupsAre::Teams => &[("users: read", "users"), ("teams: read", "team")],
        GroupsAre::Roles => &[("users: read", "users"), ("roles: read", "roles")],
    };
    for (name, path) in lists {
        let mut call = client.call("probe", Method::GET, &[path]);
        call.url.query_pairs_mut().append_pair("page[size]", "1");
        probe.checks.push(match client.send(cx, call).await.and_then(Answer::success) {
            Ok(_) => check(*name, true, "Listed."),
            Err(fault) => as_check(name, fault)?,
        });
    }
    probe.checks.push(match roles.id_of(cx, &settings.default_role).await {
        Ok(_) => check("default role", true, format!("New people get the role {}.", settings.default_role)),
        Err(fault) => as_check("default role", fault)?,
    });
    Ok(probe)
}
