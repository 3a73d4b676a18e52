//! What the credential is and may. Reads only.

use connector_sdk::{Cx, Fault, FaultKind, Probe, Repeat};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{Answer, Client};
use crate::shared::answer::Refused;
use crate::shared::probe::{as_check, check};

/// What the connector's calls need.
const SCOPES: [&str; 7] = [
    "read_user",
    "read_organizations",
    "write_organizations",
    "read_organization_invitations",
    "write_organization_invitations",
    "read_teams",
    "write_teams",
];

/// Asks GraphQL for the least that shows access, and whether teams are on.
const SEE: &str = "query($org: ID!) { organization(slug: $org) { id isTeamsEnabled } }";

#[derive(Deserialize)]
struct User {
    id: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Token {
    scopes: Vec<String>,
}

#[derive(Deserialize)]
struct Role {
    role: Option<String>,
}

/// Checks the credential: whose it is, its scopes, the organisation, the role there, GraphQL.
pub(super) async fn probe(client: &Client, cx: &Cx<'_>) -> Result<Probe, Fault> {
    let mut probe = Probe { identity: None, checks: Vec::new() };
    let user = match client.who_am_i(cx).await {
        Err(fault) => {
            probe.checks.push(as_check("credential", fault)?);
            return Ok(probe);
        }
        Ok(Answer::Yes(success)) => {
            let user: User = success.json()?;
            let name = user.name.clone().unwrap_or_default();
            probe.identity = Some(user.id.clone());
            probe.checks.push(check("credential", true, format!("The token belongs to {name} ({}).", user.id)));
            Some(user)
        }
        Ok(Answer::No(refusal)) => {
            probe.checks.push(check(
                "credential",
                false,
                refusal
                    .because(
                        FaultKind::Permission,
                        "The token may not tell whose it is, so the gateway cannot protect that account. Add the scope read_user.",
                    )
                    .message,
            ));
            None
        }
    };
    scopes(client, cx, &mut probe).await?;
    match client.organization(cx).await {
        Ok(_) => {
            probe.checks.push(check("organization", true, format!("The token sees the organisation {}.", client.org())))
        }
        Err(fault) => {
            probe.checks.push(as_check("organization", fault)?);
            return Ok(probe);
        }
    }
    if let Some(user) = &user {
        role(client, cx, &user.id, &mut probe).await?;
    }
    for (name, path) in [("invitations: read", "invitations"), ("teams: read", "teams")] {
        let mut call = client.call("probe", Method::GET, &[path]);
        call.url.query_pairs_mut().append_pair("per_page", "1");
        match client.send(cx, call).await.and_then(Answer::success) {
            Ok(_) => probe.checks.push(check(name, true, "Listed.")),
            Err(fault) => probe.checks.push(as_check(name, fault)?),
        }
    }
    graphql(client, cx, &mut probe).await?;
    Ok(probe)
}

async fn scopes(client: &Client, cx: &Cx<'_>, probe: &mut Probe) -> Result<(), Fault> {
    let call = client.top("get access token", Method::GET, &["access-token"]);
    let token: Token = match client.send(cx, call).await? {
        Answer::Yes(success) => success.json()?,
        // Then the reads below have to do; writes show when they are made.
        Answer::No(_) => return Ok(()),
    };
    for scope in SCOPES {
        let there = token.scopes.iter().any(|given| given == scope);
        let detail = if there { "Given." } else { "Missing. Add this scope to the token." };
        probe.checks.push(check(format!("scope {scope}"), there, detail));
    }
    Ok(())
}

async fn role(client: &Client, cx: &Cx<'_>, user: &str, probe: &mut Probe) -> Result<(), Fault> {
    let call = client.call("get member", Method::GET, &["members", user]);
    let found = match client.send(cx, call).await {
        Ok(Answer::Yes(success)) => success.json::<Role>()?.role.unwrap_or_default(),
        Ok(Answer::No(refusal)) if refusal.status == StatusCode::NOT_FOUND => "none".to_owned(),
        Ok(Answer::No(refusal)) => {
            probe.checks.push(as_check("role", refusal.fault())?);
            return Ok(());
        }
        Err(fault) => {
            probe.checks.push(as_check("role", fault)?);
            return Ok(());
        }
    };
    let admin = found.eq_ignore_ascii_case("admin");
    let detail = if admin {
        "The token's user is an admin of the organisation.".to_owned()
    } else {
        format!("The token's user has the role {found}; inviting and removing people needs admin.")
    };
    probe.checks.push(check("role", admin, detail));
    Ok(())
}

async fn graphql(client: &Client, cx: &Cx<'_>, probe: &mut Probe) -> Result<(), Fault> {
    let variables = json!({ "org": client.org() });
    match client.ask::<Value>(cx, "probe GraphQL", Repeat::Read, SEE, variables).await {
        Ok(data) if data["organization"].is_object() => {
            probe.checks.push(check("graphql", true, "GraphQL answers."));
            // Null: the token may not see it; then the list of teams above has the word.
            let on = data["organization"]["isTeamsEnabled"].as_bool().unwrap_or(true);
            let detail = if on {
                "Teams are enabled."
            } else {
                "Teams are not enabled in this organisation. Enable them in its settings; until then groups cannot be provisioned."
            };
            probe.checks.push(check("teams", on, detail));
        }
        Ok(_) => probe.checks.push(check(
            "graphql",
            false,
            "GraphQL does not show the organisation to this token. Enable GraphQL API access for it.",
        )),
        Err(fault) => probe.checks.push(as_check("graphql", fault)?),
    }
    Ok(())
}
