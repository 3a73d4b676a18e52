//! Whether the credential lives and what it sees.

use connector_sdk::{Cx, Fault, FaultKind, Probe, ProbeCheck};

use super::client::Client;
use super::filter::Filter;
use super::groups;
use super::message::PAGED;
use super::settings::{Directory, NewPassword};
use crate::shared::probe::check;

/// A fault that is the answer to a check; one that says nothing stays a fault.
fn as_check(name: &str, fault: Fault) -> Result<ProbeCheck, Fault> {
    match fault.kind {
        FaultKind::Credential | FaultKind::Permission | FaultKind::Refused | FaultKind::NotFound | FaultKind::Quota => {
            Ok(check(name, false, fault.message))
        }
        _ => Err(fault),
    }
}

/// Signs in anew, then reads what the connector needs. Rights to write show when something is written.
pub(super) async fn probe(client: &Client, cx: &Cx<'_>) -> Result<Probe, Fault> {
    let mut probe = Probe { identity: None, checks: Vec::new() };
    let shape = &client.shape;
    // A connection that is signed in stays so after the password was changed; only a new one tells.
    if let Err(fault) = client.connect(cx).await {
        probe.checks.push(as_check("credential", fault)?);
        return Ok(probe);
    }
    let who = client.who();
    let identity = match who.strip_prefix("dn:") {
        Some(dn) if !dn.is_empty() => dn.to_owned(),
        _ if who.starts_with("u:") => who.clone(),
        _ => shape.server.bind_dn.clone(),
    };
    probe.checks.push(check("credential", true, format!("Signed in at {} as {identity}.", client.place())));
    probe.identity = Some(identity);
    let plain = shape.server.tls.is_none();
    if plain {
        probe.checks.push(check(
            "encryption",
            true,
            "None: everything is readable on the way. Use ldaps:// where you can.",
        ));
    }
    if plain && shape.directory == Directory::ActiveDirectory && shape.people.new_password == NewPassword::Random {
        probe.checks.push(check(
            "passwords",
            false,
            "Active Directory takes no password over a connection without TLS, so no account can be made. Use ldaps:// or turn start_tls on.",
        ));
    }
    let root = client.read(cx, "read root", "", &Filter::any(), &["supportedControl", "supportedLDAPVersion"]).await?;
    let controls = root.map(|entry| entry.texts("supportedControl")).unwrap_or_default();
    // A server that hides its root says nothing.
    if !controls.is_empty() {
        let paged = controls.iter().any(|control| control == PAGED);
        let detail = if paged {
            "Supported."
        } else {
            "Not supported by this server; the connector cannot list without them (RFC 2696)."
        };
        probe.checks.push(check("paged results", paged, detail));
    }
    for base in shape.user_bases() {
        probe.checks.push(seen(client, cx, "people: read", base, &shape.people.filter, "the filter of people").await?);
    }
    if let Some(groups) = &shape.groups {
        probe
            .checks
            .push(seen(client, cx, "groups: read", &groups.base, &groups.filter, "the filter of groups").await?);
        if !groups::fits(shape.directory, groups.class) {
            probe.checks.push(check(
                "class of groups",
                false,
                "group is Active Directory's class, and its only one. Correct directory or group_class.",
            ));
        }
    }
    Ok(probe)
}

/// Whether a branch can be read, and its entries show their id.
async fn seen(
    client: &Client,
    cx: &Cx<'_>,
    name: &str,
    base: &str,
    filter: &Filter,
    filter_name: &str,
) -> Result<ProbeCheck, Fault> {
    let id = client.shape.id.0.as_str();
    match client.read(cx, "probe branch", base, &Filter::any(), &[id]).await {
        Err(fault) => return as_check(name, fault),
        Ok(None) => {
            return Ok(check(
                name,
                false,
                format!("The branch {base} is not there, or the gateway's account may not see it."),
            ));
        }
        Ok(Some(_)) => {}
    }
    match client.first(cx, base, filter, &[id]).await {
        Err(fault) => as_check(name, fault),
        Ok(None) => {
            Ok(check(name, true, format!("The branch {base} can be read; {filter_name} finds nothing there yet.")))
        }
        Ok(Some(entry)) if client.shape.id_of(&entry).is_none() => {
            Ok(check(name, false, client.no_id("probe branch").message))
        }
        Ok(Some(_)) => Ok(check(name, true, format!("The branch {base} can be read, and {id} is shown."))),
    }
}
