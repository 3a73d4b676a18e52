//! What the credential is and may. Reads only.

use connector_sdk::{Cx, Fault, Probe, Repeat};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::settings::Settings;
use crate::shared::probe::{as_check, check};

const LOOK: &str = "query { viewer { id name admin owner } organization { id name urlKey scimEnabled } }";
const READ: &str = "query($first: Int!) { organizationInvites(first: $first) { nodes { id } } administrableTeams(first: $first) { nodes { id } } }";

#[derive(Deserialize)]
struct Data {
    viewer: Viewer,
    organization: Organization,
}

#[derive(Deserialize)]
struct Viewer {
    id: String,
    name: String,
    admin: bool,
    owner: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Organization {
    name: String,
    url_key: String,
    scim_enabled: bool,
}

/// Checks the key: whose it is, the workspace, the role there, whether invitations and teams can be read.
pub(super) async fn probe(client: &Client, settings: &Settings, cx: &Cx<'_>) -> Result<Probe, Fault> {
    let mut probe = Probe { identity: None, checks: Vec::new() };
    let asked = client.ask::<Data>(cx, "probe", Repeat::Read, LOOK, Value::Null).await;
    let Data { viewer, organization } = match asked.and_then(super::client::Answer::success) {
        Ok(data) => data,
        Err(fault) => {
            probe.checks.push(as_check("credential", fault)?);
            return Ok(probe);
        }
    };
    probe.checks.push(check("credential", true, format!("The key belongs to {} ({}).", viewer.name, viewer.id)));
    probe.identity = Some(viewer.id);
    let ours = organization.url_key.eq_ignore_ascii_case(&settings.workspace);
    let detail = if ours {
        format!("The key is for the workspace {} ({}).", organization.name, organization.url_key)
    } else {
        format!(
            "The key is for the workspace {}, the setting `workspace` says {}. Correct one of them.",
            organization.url_key, settings.workspace
        )
    };
    probe.checks.push(check("workspace", ours, detail));
    let admin = viewer.admin || viewer.owner;
    let detail = if admin {
        "The key's user is an admin or owner."
    } else {
        "The key's user is neither admin nor owner; inviting and suspending people needs that."
    };
    probe.checks.push(check("role", admin, detail));
    let detail = if organization.scim_enabled {
        "Linear's own SCIM provisioning is on. Two that provision one workspace undo each other's work: turn one off."
    } else {
        "Linear's own SCIM provisioning is off."
    };
    probe.checks.push(check("no other provisioning", !organization.scim_enabled, detail));
    let read = client.ask::<Value>(cx, "probe", Repeat::Read, READ, json!({ "first": 1 })).await;
    probe.checks.push(match read.and_then(super::client::Answer::success) {
        Ok(_) => check("invitations and teams: read", true, "Listed."),
        Err(fault) => as_check("invitations and teams: read", fault)?,
    });
    Ok(probe)
}
