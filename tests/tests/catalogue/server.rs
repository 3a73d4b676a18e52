//! Real SCIM servers of others, read by their own API. One server serves all clients, one after the other: what a client
//! leaves there is taken away by that API, too.

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use tests::scim_server::ScimServer;
use tests::{Db, Gateway, facts};

use crate::check::{CLIENTS, NOTHING, Target, Without, check, list};

#[async_trait(?Send)]
impl Target for ScimServer {
    fn instance(&self) -> Value {
        json!({ "connector": "scim", "settings": self.settings, "secrets": self.secrets })
    }

    async fn state(&self) -> Value {
        let mut accounts = Vec::new();
        let mut people = BTreeMap::new();
        for user in self.all("/Users").await {
            let addresses: Vec<&Value> = list(&user, "emails").into_iter().map(|email| &email["value"]).collect();
            let shown: BTreeMap<&str, Value> = ["/displayName", "/title", "/name/givenName", "/name/familyName"]
                .map(|pointer| (pointer, user.pointer(pointer).cloned().unwrap_or_default()))
                .into();
            let account = json!({
                "id": user["id"], "login": user["userName"], "email": addresses.first(), "active": user["active"],
                "addresses": addresses, "shown": shown,
            });
            // Some servers tell members by their names.
            for name in ["id", "userName"] {
                people.insert(user[name].as_str().unwrap_or_default().to_owned(), account.clone());
            }
            accounts.push(account);
        }
        let mut groups = Vec::new();
        for group in self.all("/Groups").await {
            let whole = self.get(&format!("/Groups/{}", group["id"].as_str().unwrap_or_default())).await;
            let members =
                list(&whole, "members").into_iter().map(|member| member["value"].as_str().unwrap_or_default());
            let members = members.map(|id| people.get(id).cloned().unwrap_or_else(|| json!({ "id": id })));
            let members: Vec<Value> =
                members.filter(|one| self.placeholder.is_none() || one["login"].as_str() != self.placeholder).collect();
            groups.push(json!({ "name": whole["displayName"], "members": members }));
        }
        json!({ "accounts": accounts, "invitations": [], "groups": groups })
    }
}

/// Takes everybody away but who stands in groups.
async fn clear(server: &ScimServer) {
    for endpoint in ["/Groups", "/Users"] {
        for one in server.all(endpoint).await {
            if server.placeholder.is_none() || one["userName"].as_str() != server.placeholder {
                let path = format!("{endpoint}/{}", one["id"].as_str().unwrap_or_default());
                server.call(Method::DELETE, &path).await.expect(204);
            }
        }
    }
}

async fn everyone(server: &ScimServer, without: Without) {
    let Some(facts) = facts(server.title) else { return };
    let gateway = Gateway::start(Db::Sqlite).await;
    for client in CLIENTS {
        check(&facts, &gateway, (server.title, server), without, client).await;
        clear(server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_at_scim2_server() {
    let test = "what_every_client_asks_for_is_at_scim2_server";
    if let Some(server) = ScimServer::scim2_server(test, None).await {
        everyone(&server, NOTHING).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_client_asks_for_is_at_canaille() {
    if let Some(server) = ScimServer::canaille("what_every_client_asks_for_is_at_canaille").await {
        everyone(&server, Without { renaming: Some("does not let groups be renamed"), ..NOTHING }).await;
    }
}
