//! A real JupyterHub behind the gateway, by a manifest: what Okta and Entra push arrives there, is read
//! back by the hub's own API, and leaves.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::admin::Instance;
use tests::party::{self, Party};
use tests::replay::Sequence;
use tests::{Db, Gateway, facts, wait_until};

/// The hub's token for the service that the gateway is.
const TOKEN: &str = "a-token-of-the-tests-0001";
/// How long the hub may take until it answers, and until work is done.
const BOUND: Duration = Duration::from_secs(120);

/// A hub with a proxy that does nothing, so that it needs no other program.
const CONFIG: &str = r#"
from jupyterhub.proxy import Proxy

class Nop(Proxy):
    should_start = False
    async def get_all_routes(self):
        return {}
    async def add_route(self, *args, **kwargs):
        pass
    async def delete_route(self, *args, **kwargs):
        pass

c = get_config()
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.hub_port = HUB_PORT
c.JupyterHub.bind_url = "http://127.0.0.1:PROXY_PORT"
c.JupyterHub.db_url = "sqlite:///:memory:"
c.JupyterHub.proxy_class = Nop
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.services = [{"name": "scim", "api_token": "TOKEN"}]
c.JupyterHub.load_roles = [{"name": "scim", "services": ["scim"], "scopes": [
    "admin:users", "list:users", "read:users", "delete:users",
    "admin:groups", "list:groups", "read:groups", "groups", "delete:groups",
]}]
"#;

/// A hub, the gateway, and an instance for it.
struct Stage {
    party: Party,
    gateway: Gateway,
    instance: Instance,
}

impl Stage {
    async fn begin(test: &str) -> Option<Self> {
        let program = party::program(test, "jupyterhub")?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let (port, proxy) = (party::free_port(), party::free_port());
        let config = CONFIG
            .replace("HUB_PORT", &port.to_string())
            .replace("PROXY_PORT", &proxy.to_string())
            .replace("TOKEN", TOKEN);
        let file = folder.path().join("jupyterhub_config.py");
        std::fs::write(&file, config).expect("a temporary folder can be written");
        let party = Party::start(&program, &["-f".as_ref(), file.as_os_str()], folder, port).await;
        let gateway = Gateway::start(Db::Sqlite).await;
        let admin = gateway.admin();
        let instance = admin
            .create(json!({
                "name": "hub",
                "connector": "jupyterhub",
                "settings": { "url": format!("http://127.0.0.1:{port}/hub/api") },
                "secrets": { "token": TOKEN },
                "mode": "enabled",
                "policy": { "answer_within_ms": 10_000 },
            }))
            .await;
        let stage = Self { party, gateway, instance };
        // The port is open before the hub answers.
        wait_until("the hub answers", BOUND, async || stage.try_hub("").await.is_some().then_some(())).await;
        admin.imported(&stage.instance.id).await;
        let probe = admin.call(Method::POST, &format!("/instances/{}/probe", stage.instance.id), Some(json!({}))).await;
        let probe = probe.expect(200);
        assert_eq!(probe["ok"], true, "{probe}");
        Some(stage)
    }

    /// One look at the hub, by its own API.
    async fn try_hub(&self, path: &str) -> Option<Value> {
        let url = format!("http://127.0.0.1:{}/hub/api/{path}", self.party.port);
        let request = reqwest::Client::builder()
            .build()
            .expect("a client")
            .get(url)
            .header("Authorization", format!("token {TOKEN}"));
        let text = request.send().await.ok()?.text().await.ok()?;
        serde_json::from_str(&text).ok()
    }

    async fn hub(&self, path: &str) -> Value {
        self.try_hub(path).await.expect("the hub answers with JSON")
    }

    async fn users(&self) -> Vec<String> {
        let users = self.hub("users").await;
        let mut names: Vec<String> = users
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|user| user["name"].as_str().map(str::to_owned))
            .collect();
        names.sort();
        names
    }

    async fn settled(&self, context: &str) {
        self.gateway.admin().quiet(&self.instance.id, BOUND, context).await;
    }
}

/// Plays a client's whole sequence, and says who is at the hub in the end.
async fn plays(test: &str, client: &str, misses: usize, left: &[&str]) {
    let Some(facts) = facts(test) else { return };
    let Some(stage) = Stage::begin(test).await else { return };
    let played = Sequence::read(&facts, client).play(&stage.instance.scim).await;
    let count = format!("0 failed, {misses} optional misses");
    assert!(
        played.ok && played.text.trim_end().ends_with(&count),
        "{client}:\n{}\n{}\n{}",
        played.text,
        stage.gateway.log(),
        stage.party.log()
    );
    stage.settled(client).await;
    assert_eq!(stage.users().await, left, "{client}");
    assert_eq!(stage.hub("groups").await, json!([]), "{client}");
    // Nobody is left with open business, and what the hub shows is what the directory wants.
    let drift = stage.gateway.admin().run(&stage.instance.id, "reconcile").await;
    assert_eq!(drift["state"], "done", "{drift}");
}

#[tokio::test]
async fn what_okta_pushes_arrives_at_a_real_jupyterhub_and_leaves() {
    plays("what_okta_pushes_arrives_at_a_real_jupyterhub", "okta_oin", 0, &["oscar.okta@example.com"]).await;
}

#[tokio::test]
async fn what_entra_pushes_arrives_at_a_real_jupyterhub_and_leaves() {
    // The miss: a schema that the instance does not have holds nothing.
    plays("what_entra_pushes_arrives_at_a_real_jupyterhub", "entra_optscim", 1, &[]).await;
}

#[tokio::test]
async fn people_groups_and_memberships_are_read_back_by_the_hubs_own_api() {
    let Some(stage) = Stage::begin("people_groups_and_memberships_are_read_back").await else { return };
    let scim = &stage.instance.scim;
    let ada = scim.user("Ada@Example.com", "ada@example.com").await;
    let bob = scim.user("bob", "bob@example.com").await;
    let group = scim.group("Data / Science", &[&ada]).await;
    scim.add_member(&group, &bob).await;
    stage.settled("pushed").await;
    assert_eq!(stage.users().await, ["ada@example.com", "bob"]);
    let groups = stage.hub("groups").await;
    assert_eq!(groups[0]["name"], "Data / Science", "{groups}");
    assert_eq!(groups[0]["users"], json!(["ada@example.com", "bob"]), "{groups}");

    let renamed = json!([{ "op": "replace", "path": "displayName", "value": "Data Science" }]);
    scim.patch(&format!("/Groups/{group}"), renamed).await;
    scim.remove_member(&group, &ada).await;
    stage.settled("changed").await;
    let groups = stage.hub("groups").await;
    assert_eq!(groups[0]["properties"], json!({ "displayName": "Data Science" }), "{groups}");
    assert_eq!(groups[0]["users"], json!(["bob"]), "{groups}");

    // The hub cannot suspend: who is deactivated leaves, and comes back with their groups.
    scim.set_active(&bob, false).await;
    stage.settled("deactivated").await;
    assert_eq!(stage.users().await, ["ada@example.com"]);
    scim.set_active(&bob, true).await;
    stage.settled("reactivated").await;
    assert_eq!(stage.users().await, ["ada@example.com", "bob"]);
    assert_eq!(stage.hub("groups").await[0]["users"], json!(["bob"]));

    for path in [format!("/Groups/{group}"), format!("/Users/{ada}"), format!("/Users/{bob}")] {
        scim.call(Method::DELETE, &path, None).await;
    }
    stage.settled("deleted").await;
    assert_eq!(stage.users().await, Vec::<String>::new());
    assert_eq!(stage.hub("groups").await, json!([]));
}
