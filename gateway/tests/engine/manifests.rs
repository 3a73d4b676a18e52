//! An instance made of an uploaded manifest, from the upload to the target.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use gateway::clock::Clock;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::common::desk::{Desk, MANIFEST, TOKEN, manifest};
use crate::common::{ADMIN, Reply, USER, config, databases, send};

pub(crate) struct Gateway {
    router: Router,
    stop: CancellationToken,
    _folder: TempDir,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gateway {
    pub(crate) async fn on(database: Option<&str>, folder: TempDir, manifests: Option<&TempDir>) -> Self {
        let further = Overrides { manifests_dir: manifests.map(|dir| dir.path().to_owned()), ..Overrides::default() };
        let app = App::build(config(folder.path(), database, further), Clock::system()).await.unwrap();
        app.ensure_admin_token().await.unwrap();
        let stop = CancellationToken::new();
        let (driver, token) = (app.driver.clone(), stop.clone());
        tokio::spawn(async move { driver.start(token).await });
        let router = gateway::scim_api::router(Arc::clone(&app)).merge(gateway::admin_api::router(app));
        Self { router, stop, _folder: folder }
    }

    /// Answers on a port as well, for as long as the test lives; its URL.
    pub(crate) async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = self.router.clone();
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    async fn call(&self, method: &str, path: &str, key: &str, body: &Value) -> Reply {
        let request = Request::builder().method(method).uri(path).header("authorization", key);
        let request = match body {
            Value::Null => request.body(Body::empty()),
            body => request.header("content-type", "application/json").body(Body::from(body.to_string())),
        };
        send(&self.router, request.unwrap()).await
    }

    async fn admin(&self, method: &str, path: &str, body: Value) -> Reply {
        self.call(method, &format!("/admin/v1{path}"), ADMIN, &body).await
    }

    async fn upload(&self, text: &str) -> Reply {
        self.admin("POST", "/manifests", json!({"format": "toml", "text": text})).await
    }

    /// An instance of the desk, and a key of it.
    async fn instance(&self, desk: &Desk) -> (String, String) {
        let body = json!({"name": "The desk", "connector": "desk", "settings": {"url": desk.url}, "secrets": {"token": TOKEN}, "mode": "enabled", "policy": {"answer_within_ms": 5_000}});
        let made = self.admin("POST", "/instances", body).await.expect(201).json();
        let id = made["id"].as_str().unwrap().to_owned();
        let key = self.admin("POST", &format!("/instances/{id}/keys"), Value::Null).await.expect(201).json();
        (id, format!("Bearer {}", key["key"].as_str().unwrap()))
    }

    async fn push(&self, (id, key): &(String, String), email: &str) -> String {
        let body = json!({"schemas": [USER], "userName": email, "displayName": "Ada", "emails": [{"value": email, "primary": true}]});
        let made = self.call("POST", &format!("/i/{id}/scim/v2/Users"), key, &body).await.expect(201).json();
        made["id"].as_str().unwrap().to_owned()
    }
}

async fn wait(what: &str, mut so: impl AsyncFnMut() -> bool) {
    for _ in 0..1_200 {
        if so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("waited in vain for {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_groups_reach_a_target_by_an_uploaded_manifest_and_leave_it() {
    for db in databases() {
        let desk = Desk::open().await;
        let gateway = Gateway::on(db.make().await.as_deref(), TempDir::new().unwrap(), None).await;
        gateway.upload(MANIFEST).await.expect(201);
        let instance = gateway.instance(&desk).await;
        let ada = gateway.push(&instance, "ada@example.com").await;
        wait("ada at the desk", async || desk.people() == ["ada@example.com"]).await;
        let (id, key) = &instance;
        let group =
            json!({"schemas": [crate::common::GROUP], "displayName": "Reading room", "members": [{"value": ada}]});
        let group = gateway.call("POST", &format!("/i/{id}/scim/v2/Groups"), key, &group).await.expect(201).json();
        wait("her place in the room", async || desk.calls().iter().any(|call| call.starts_with("PUT /rooms/"))).await;
        assert_eq!(desk.rooms(), ["Reading room"]);
        for path in [format!("Groups/{}", group["id"].as_str().unwrap()), format!("Users/{ada}")] {
            gateway.call("DELETE", &format!("/i/{id}/scim/v2/{path}"), key, &Value::Null).await.expect(204);
        }
        wait("the desk to be empty", async || desk.people().is_empty() && desk.rooms().is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_holds_to_its_version_until_it_is_moved() {
    for db in databases() {
        let desk = Desk::open().await;
        let gateway = Gateway::on(db.make().await.as_deref(), TempDir::new().unwrap(), None).await;
        gateway.upload(MANIFEST).await.expect(201);
        let instance = gateway.instance(&desk).await;
        gateway
            .upload(&manifest(
                "2",
                "name = \"{{ person.display_name",
                "team = \"night\", name = \"{{ person.display_name",
            ))
            .await
            .expect(201);
        let place = format!("/instances/{}", instance.0);
        assert_eq!(gateway.admin("GET", &place, Value::Null).await.json()["connector_version"], "1");
        gateway.push(&instance, "ada@example.com").await;
        wait("ada", async || desk.people().len() == 1).await;
        assert!(desk.teams().is_empty(), "it calls as version 1 says");

        let dry = gateway.admin("POST", &format!("{place}/upgrade"), json!({"version": "2", "dry_run": true})).await;
        let dry = dry.expect(200).json();
        assert_eq!((&dry["changes"]["from"], &dry["changes"]["to"]), (&json!("1"), &json!("2")), "{dry}");
        assert_eq!(dry["instance"]["connector_version"], "1");
        // Accounts are linked, and the new version leads to the same target: it may be moved.
        let moved =
            gateway.admin("POST", &format!("{place}/upgrade"), json!({"version": "2"})).await.expect(200).json();
        assert_eq!(moved["instance"]["connector_version"], "2", "{moved}");
        gateway.push(&instance, "bob@example.com").await;
        wait("bob", async || desk.people().len() == 2).await;
        assert_eq!(desk.teams(), ["night"]);
        let audit = gateway.admin("GET", "/audit", Value::Null).await.text();
        assert!(
            audit.contains("instance.upgrade") && audit.contains("manifest.upload") && !audit.contains(TOKEN),
            "{audit}"
        );

        // Who holds to what; and what is held cannot be deleted.
        let shown = gateway.admin("GET", "/manifests/desk", Value::Null).await.expect(200).json();
        let users: Vec<usize> = shown["versions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["instances"].as_array().unwrap().len())
            .collect();
        assert_eq!((users, &shown["version"]), (vec![1, 0], &json!("2")), "{shown}");
        gateway.admin("DELETE", "/manifests/desk/2", Value::Null).await.expect(409);
        gateway.admin("DELETE", "/manifests/desk", Value::Null).await.expect(409);
        gateway.admin("DELETE", "/manifests/desk/1", Value::Null).await.expect(204);
        gateway.admin("POST", &format!("{place}/upgrade"), json!({"version": "1"})).await.expect(400);
    }
}

/// Whoever may upload a manifest could have the credential sent to a server of his own.
#[tokio::test(flavor = "multi_thread")]
async fn another_version_does_not_carry_the_credential_elsewhere() {
    let (desk, thief) = (Desk::open().await, Desk::open().await);
    let gateway = Gateway::on(None, TempDir::new().unwrap(), None).await;
    gateway.upload(MANIFEST).await.expect(201);
    let instance = gateway.instance(&desk).await;
    wait("the import", async || desk.calls().iter().any(|call| call == "GET /rooms")).await;
    let place = format!("/instances/{}/upgrade", instance.0);
    let elsewhere = manifest("2", "base_url = \"{{ settings.url }}\"", &format!("base_url = \"{}\"", thief.url));
    gateway.upload(&elsewhere).await.expect(201);
    let refused = gateway.admin("POST", &place, json!({"version": "2"})).await.expect(400).json();
    assert_eq!(refused["field"], "token", "{refused}");
    gateway.push(&instance, "ada@example.com").await;
    wait("ada", async || desk.people().len() == 1).await;
    // Once somebody is linked it cannot be moved at all.
    let again = json!({"version": "2", "secrets": {"token": TOKEN}});
    gateway.admin("POST", &place, again).await.expect(409);
    assert_eq!(thief.calls(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_sees_an_upload() {
    let Some(db) = databases().pop() else { return };
    let Some(url) = db.make().await else { return };
    let desk = Desk::open().await;
    let one = Gateway::on(Some(&url), TempDir::new().unwrap(), None).await;
    let other = Gateway::on(Some(&url), TempDir::new().unwrap(), None).await;
    one.upload(MANIFEST).await.expect(201);
    let listed = other.admin("GET", "/connectors", Value::Null).await.expect(200).json();
    let seen = listed.as_array().unwrap().iter().find(|one| one["name"] == "desk").unwrap().clone();
    assert_eq!((&seen["source"], &seen["version"]), (&json!("uploaded"), &json!("1")));
    let instance = other.instance(&desk).await;
    one.push(&instance, "ada@example.com").await;
    wait("ada", async || desk.people().len() == 1).await;
    // Moved by one, called by either in the new version: the other's cache follows the row.
    one.upload(&manifest("2", "name = \"{{ person.display_name", "team = \"night\", name = \"{{ person.display_name"))
        .await
        .expect(201);
    other.admin("POST", &format!("/instances/{}/upgrade", instance.0), json!({"version": "2"})).await.expect(200);
    wait("the move to be seen", async || {
        one.admin("GET", &format!("/instances/{}", instance.0), Value::Null).await.json()["connector_version"] == "2"
    })
    .await;
    one.push(&instance, "bob@example.com").await;
    wait("bob", async || desk.people().len() == 2).await;
    // Two replicas that keep the same version at once are of one mind.
    let third = manifest("3", "The name on the door.", "The name at the door.");
    let (a, b) = tokio::join!(one.upload(&third), other.upload(&third));
    let mut statuses = [a.status.as_u16(), b.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_finds_its_version_after_the_file_of_the_config_folder_has_changed() {
    // A second gateway on the same database stands for a restart; SQLite has one process at a time.
    for db in databases().into_iter().skip(1) {
        let desk = Desk::open().await;
        let (folder, files) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let file = files.path().join("desk.toml");
        std::fs::write(&file, MANIFEST).unwrap();
        let url = db.make().await.unwrap();
        let gateway = Gateway::on(Some(&url), folder, Some(&files)).await;
        gateway.upload(&manifest("9", "The name on the door.", "A name.")).await.expect(409);
        gateway.admin("DELETE", "/manifests/desk/1", Value::Null).await.expect(409);
        let instance = gateway.instance(&desk).await;
        let shown = gateway.admin("GET", "/manifests", Value::Null).await.expect(200).json();
        assert_eq!(
            (&shown["items"][0]["source"], &shown["items"][0]["instances"]),
            (&json!("config"), &json!(1)),
            "{shown}"
        );
        std::fs::write(&file, manifest("2", "The name on the door.", "A name.")).unwrap();
        let again = Gateway::on(Some(&url), TempDir::new().unwrap(), Some(&files)).await;
        let shown = again.admin("GET", &format!("/instances/{}", instance.0), Value::Null).await.json();
        assert_eq!((&shown["connector_version"], &shown["problem"]), (&json!("1"), &Value::Null), "{shown}");
        let listed = again.admin("GET", "/manifests/desk", Value::Null).await.json();
        assert_eq!(listed["version"], "2", "{listed}");
        again.admin("POST", &format!("/instances/{}/upgrade", instance.0), json!({"version": "2"})).await.expect(200);
        // The same version with another text, while an instance holds to it, is no start.
        std::fs::write(&file, manifest("2", "The name on the door.", "Another name.")).unwrap();
        let third = tempfile::tempdir().unwrap();
        let further = Overrides { manifests_dir: Some(files.path().to_owned()), ..Overrides::default() };
        let refused =
            App::build(config(third.path(), Some(&url), further), Clock::system()).await.err().unwrap().to_string();
        assert!(refused.contains("desk.toml line 4") && refused.contains("version"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_tried_through_the_admin_api() {
    let desk = Desk::open().await;
    let gateway = Gateway::on(None, TempDir::new().unwrap(), None).await;
    let test = |writes: bool, token: &str| json!({"format": "toml", "text": MANIFEST, "settings": {"url": desk.url}, "secrets": {"token": token}, "allow_writes": writes});
    let read = gateway.admin("POST", "/manifests/test", test(false, TOKEN)).await.expect(200).json();
    assert_eq!((&read["ok"], &read["identity"]), (&json!(true), &json!("desk bot")), "{read}");
    assert_eq!(desk.writes(), [] as [String; 0]);
    let written = gateway.admin("POST", "/manifests/test", test(true, TOKEN)).await.expect(200).json();
    assert_eq!((&written["ok"], &written["left_behind"]), (&json!(true), &json!([])), "{written}");
    assert!(desk.people().is_empty() && desk.rooms().is_empty() && desk.writes().len() >= 6, "{:?}", desk.writes());
    // A dead credential is a finding, and stands in no answer.
    let dead = gateway.admin("POST", "/manifests/test", test(false, "wrong-canary")).await.expect(200);
    assert_eq!(dead.json()["ok"], false);
    assert!(!dead.text().contains("wrong-canary"), "{}", dead.text());
    // Settings that are wrong name their field.
    let bad = json!({"text": MANIFEST, "settings": {"uri": desk.url}, "secrets": {"token": TOKEN}});
    assert_eq!(gateway.admin("POST", "/manifests/test", bad).await.expect(400).json()["field"], "uri");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_path_for_changes_of_groups_was_called_sound() {
    let desk = Desk::open().await;
    let gateway = Gateway::on(None, TempDir::new().unwrap(), None).await;
    let right = "method = \"PATCH\"\npath = \"/rooms/{{ group.id }}\"\njson = { name = \"{{ change.name }}\" }";
    assert!(MANIFEST.contains(right));
    for (there, ok) in [
        ("method = \"PATCH\"\npath = \"/nowhere/{{ group.id }}\"\njson = { name = \"{{ change.name }}\" }", false),
        // The name that a group is given is its name: it was nothing.
        ("method = \"PATCH\"\npath = \"/rooms/{{ group.id }}\"\njson = { name = \"{{ group.name }}\" }", true),
    ] {
        let text = MANIFEST.replace(right, there);
        let test =
            json!({"text": text, "settings": {"url": desk.url}, "secrets": {"token": TOKEN}, "allow_writes": true});
        let report = gateway.admin("POST", "/manifests/test", test).await.expect(200).json();
        let renamed = report["steps"].as_array().unwrap().iter().find(|step| step["step"] == "rename the group");
        assert_eq!(renamed.unwrap()["outcome"], if ok { "ok" } else { "failed" }, "{report:#}");
        assert_eq!((&report["ok"], &report["left_behind"]), (&json!(ok), &json!([])), "{report:#}");
    }
}

/// A wrong path for ids made the trial remove somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_id_costs_nobody_their_account() {
    let desk = Desk::open().await;
    let somebody = desk.put("somebody@example.com");
    desk.answer_creations_with(&somebody);
    let gateway = Gateway::on(None, TempDir::new().unwrap(), None).await;
    let test =
        json!({"text": MANIFEST, "settings": {"url": desk.url}, "secrets": {"token": TOKEN}, "allow_writes": true});
    let report = gateway.admin("POST", "/manifests/test", test).await.expect(200).json();
    assert_eq!(report["ok"], false);
    assert!(!report["left_behind"].as_array().unwrap().is_empty(), "{report}");
    assert!(desk.people().contains(&"somebody@example.com".to_owned()), "{report}");
}
