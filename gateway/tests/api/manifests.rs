//! Manifests over the admin API: what is refused, and how cheaply.

use axum::body::Body;
use gateway::config::Overrides;
use gateway::service::App;
use http::Request;
use serde_json::{Value, json};

use crate::common::desk::{MANIFEST, manifest};
use crate::common::{ADMIN, Reply, config};
use crate::support::Gateway;

impl Gateway {
    /// A manifest sent as its text.
    async fn text(&self, path: &str, kind: &str, text: &str) -> Reply {
        let request = Request::post(format!("/admin/v1{path}")).header("authorization", ADMIN);
        self.send(request.header("content-type", kind).body(Body::from(text.to_owned())).unwrap()).await
    }
}

#[track_caller]
fn errors(reply: &Value) -> &Vec<Value> {
    let errors = reply["errors"].as_array().unwrap_or_else(|| panic!("{reply}"));
    assert!(!errors.is_empty(), "{reply}");
    for error in errors {
        assert!(error["message"].is_string() && error["field"].is_string() && error.get("line").is_some(), "{error}");
    }
    errors
}

#[tokio::test]
async fn a_manifest_is_uploaded_listed_shown_and_deleted() {
    for gateway in Gateway::everywhere().await {
        let made = gateway.text("/manifests", "application/toml", MANIFEST).await.expect(201);
        assert_eq!(made.header("location"), "/admin/v1/manifests/desk/1");
        // The same text again is the same version, in whatever form it comes.
        gateway.admin("POST", "/manifests", Some(json!({"text": MANIFEST}))).await.expect(200);
        // Another text needs another version.
        let other = MANIFEST.replace("The name on the door.", "A name.");
        let clash = gateway.text("/manifests", "application/toml", &other).await.expect(409).text();
        assert!(clash.contains("another version"), "{clash}");

        let listed = gateway.admin("GET", "/manifests", None).await.expect(200).json();
        assert_eq!(listed["items"][0]["name"], "desk");
        assert_eq!((&listed["items"][0]["versions"], &listed["next"]), (&json!(1), &Value::Null));
        let connectors = gateway.admin("GET", "/connectors", None).await.expect(200).json();
        let sources: Vec<&Value> = connectors.as_array().unwrap().iter().map(|one| &one["source"]).collect();
        assert_eq!((sources[0], *sources.last().unwrap()), (&json!("built_in"), &json!("uploaded")));
        let shown = gateway.admin("GET", "/manifests/desk/1", None).await.expect(200).json();
        assert_eq!((&shown["text"], &shown["connector"]["title"]), (&json!(MANIFEST), &json!("Desk")));
        assert_eq!(shown["created_by"], "admin");
        for path in ["/manifests/nothing", "/manifests/desk/7"] {
            gateway.admin("GET", path, None).await.expect(404);
            gateway.admin("DELETE", path, None).await.expect(404);
        }
        gateway.admin("DELETE", "/manifests/desk/1", None).await.expect(204);
        assert_eq!(gateway.admin("GET", "/manifests", None).await.json()["items"], json!([]));
        let new = json!({"name": "x", "connector": "desk", "settings": {"url": "http://127.0.0.1:1"}, "secrets": {"token": "t"}, "mode": "paused"});
        assert_eq!(gateway.admin("POST", "/instances", Some(new)).await.expect(400).json()["field"], "connector");
        // What was deleted comes back with the same text, and with no other.
        gateway.text("/manifests", "application/toml", &other).await.expect(409);
        gateway.text("/manifests", "application/toml", MANIFEST).await.expect(200);
        assert_eq!(gateway.admin("GET", "/manifests", None).await.json()["items"][0]["version"], "1");
        let audit = gateway.admin("GET", "/audit", None).await.text();
        assert!(audit.contains("manifest.upload") && audit.contains("manifest.delete"), "{audit}");
    }
}

#[tokio::test]
async fn an_instance_can_name_its_version_and_keeps_its_settings_to_it() {
    for gateway in Gateway::everywhere().await {
        gateway.text("/manifests", "application/toml", MANIFEST).await.expect(201);
        let floor =
            "[[settings]]\nname = \"floor\"\ntitle = \"Floor\"\nhelp = \"Which.\"\nrequired = true\n\n[[secrets]]";
        gateway.text("/manifests", "application/toml", &manifest("2", "[[secrets]]", floor)).await.expect(201);
        let new = |version: Value| json!({"name": "x", "connector": "desk", "connector_version": version, "settings": {"url": "http://127.0.0.1:1"}, "secrets": {"token": "t"}, "mode": "paused"});
        // The newest where nothing is said; it wants a floor.
        assert_eq!(
            gateway.admin("POST", "/instances", Some(new(Value::Null))).await.expect(400).json()["field"],
            "floor"
        );
        let missing = gateway.admin("POST", "/instances", Some(new(json!("3")))).await.expect(400).json();
        assert_eq!(missing["field"], "connector_version");
        let made = gateway.admin("POST", "/instances", Some(new(json!("1")))).await.expect(201).json();
        assert_eq!(made["connector_version"], "1");
        let place = format!("/instances/{}/upgrade", made["id"].as_str().unwrap());
        let lacking = gateway.admin("POST", &place, Some(json!({"version": "2"}))).await.expect(400).json();
        assert_eq!(lacking["field"], "floor", "{lacking}");
        let dry = json!({"version": "2", "settings": {"floor": "4"}, "dry_run": true});
        let dry = gateway.admin("POST", &place, Some(dry)).await.expect(200).json();
        assert_eq!(dry["changes"]["settings"]["added"], json!(["floor"]), "{dry}");
        assert_eq!(dry["changes"]["settings"]["newly_required"], json!(["floor"]), "{dry}");
        assert_eq!(dry["instance"]["settings"].get("floor"), None);
        let moved = json!({"version": "2", "settings": {"floor": "4"}});
        let moved = gateway.admin("POST", &place, Some(moved)).await.expect(200).json();
        assert_eq!(
            (&moved["instance"]["connector_version"], &moved["instance"]["settings"]["floor"]),
            (&json!("2"), &json!("4"))
        );
        // Back again: the older version does not know a floor.
        assert_eq!(
            gateway.admin("POST", &place, Some(json!({"version": "1"}))).await.expect(400).json()["field"],
            "floor"
        );
        gateway.admin("POST", &place, Some(json!({"version": "1", "settings": {"floor": null}}))).await.expect(200);
        // One that is code has no versions.
        let code = gateway.instance("paused", json!({})).await;
        gateway
            .admin("POST", &format!("/instances/{}/upgrade", code.id), Some(json!({"version": "2"})))
            .await
            .expect(409);
    }
}

#[tokio::test]
async fn taken_and_reserved_names_are_refused() {
    let gateway = Gateway::start().await;
    for (name, status) in [("github", 409), ("schema", 400), ("check", 400), ("Desk", 400), ("a/b", 400), ("", 400)] {
        let text = MANIFEST.replace("name = \"desk\"", &format!("name = {name:?}"));
        let refused = gateway.text("/manifests", "application/toml", &text).await.expect(status);
        if status == 400 {
            assert!(
                errors(&refused.json()).iter().any(|error| error["field"] == "name" && error["line"] == 2),
                "{}",
                refused.text()
            );
        }
    }
    for version in ["", "..", "a/b", "1 0"] {
        let text = MANIFEST.replace("version = \"1\"", &format!("version = {version:?}"));
        let refused = gateway.text("/manifests", "application/toml", &text).await.expect(400).json();
        assert!(errors(&refused).iter().any(|error| error["field"] == "version"), "{refused}");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_with_line_and_field() {
    let gateway = Gateway::start().await;
    let text = MANIFEST.replace("path = \"/me\"", "pahth = \"/me\"").replace("type = \"bearer\"", "type = \"bear\"");
    let refused = gateway.text("/manifests", "application/toml", &text).await.expect(400).json();
    let fields: Vec<&str> = errors(&refused).iter().map(|error| error["field"].as_str().unwrap()).collect();
    assert!(
        fields.iter().any(|field| field.starts_with("probe")) && fields.iter().any(|field| field.starts_with("auth")),
        "{refused}"
    );
    assert!(errors(&refused).iter().all(|error| error["line"].is_u64()), "{refused}");
    // A check says the same, stores nothing, and is no error itself.
    let checked = gateway.text("/manifests/check", "application/toml", &text).await.expect(200).json();
    assert_eq!((&checked["ok"], errors(&checked).len()), (&json!(false), errors(&refused).len()));
    let sound = gateway.text("/manifests/check", "application/toml", MANIFEST).await.expect(200).json();
    assert_eq!(
        (&sound["ok"], &sound["name"], &sound["kind"]),
        (&json!(true), &json!("desk"), &json!("user_and_group")),
        "{sound}"
    );
    assert_eq!(sound["capabilities"]["suspend"], "removes", "{sound}");
    let operations = sound["operations"].as_array().unwrap();
    assert!(operations.iter().any(|one| one["operation"] == "accounts.create" && one["writes"] == true), "{sound}");
    assert_eq!(gateway.admin("GET", "/manifests", None).await.json()["items"], json!([]));
    let schema = gateway.admin("GET", "/manifests/schema", None).await.expect(200).json();
    assert!(schema["$schema"].is_string());
}

#[tokio::test]
async fn a_preview_renders_every_request_and_shows_no_credential() {
    let gateway = Gateway::start().await;
    let body =
        json!({"text": MANIFEST, "settings": {"url": "https://desk.example.com"}, "sample": {"account_id": "x/y"}});
    let shown = gateway.admin("POST", "/manifests/preview", Some(body)).await.expect(200);
    let requests = shown.json()["requests"].as_array().unwrap().clone();
    assert!(requests.iter().all(|one| one["problem"].is_null()), "{requests:#?}");
    let of = |operation: &str| requests.iter().find(|one| one["operation"] == operation).unwrap().clone();
    assert_eq!(of("accounts.remove")["url"], "https://desk.example.com/people/x%2Fy");
    assert!(of("accounts.create")["body"].as_str().unwrap().contains("ada@example.com"));
    assert!(shown.text().contains("***"));
    let wrong = json!({"text": MANIFEST, "sample": {"acount_id": "x"}});
    let refused = gateway.admin("POST", "/manifests/preview", Some(wrong)).await.expect(400).json();
    assert!(refused["field"].as_str().unwrap().starts_with("sample"), "{refused}");
}

/// Each within a second on any machine that tests run on; they cost milliseconds.
#[tokio::test]
async fn hostile_uploads_are_answered_cheaply() {
    let gateway = Gateway::start().await;
    let deep = |open: &str, close: &str, n: usize| format!("a: {}{}", open.repeat(n), close.repeat(n));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..20 {
        bomb.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")));
    }
    let nested: String = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let long = format!("name: \"{}\"\n", "x".repeat(1_000_000));
    let many: String = (0..20_000).map(|n| format!("f{n} = 1\n")).collect();
    let expression = MANIFEST.replace("item.id", &"(".repeat(50_000));
    let looping = MANIFEST.replace(
        "identity = \"{{ body.name }}\"",
        "identity = \"{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}\"",
    );
    for (what, kind, text, status) in [
        ("1 MB", "application/yaml", long.as_str(), 400),
        ("more than a body holds", "application/yaml", &"x".repeat(2 << 20), 413),
        ("deep lists", "application/yaml", &deep("[", "]", 50_000), 400),
        ("deep tables", "application/yaml", &deep("{a: ", "}", 20_000), 400),
        ("deep indentation", "application/yaml", &nested, 400),
        ("deep items", "application/yaml", &"- ".repeat(100_000), 400),
        ("deep keys", "application/yaml", &"? ".repeat(100_000), 400),
        ("hidden ends", "application/yaml", &format!("a: {}", "[\"]\",".repeat(40_000)), 400),
        ("anchors", "application/yaml", &bomb, 400),
        ("a merge of itself", "application/yaml", "a: &a\n  <<: *a\n", 400),
        ("several documents", "application/yaml", "--- a\n--- b\n", 400),
        ("a tag", "application/yaml", "!!python/object:os.system x\n", 400),
        ("unknown fields", "application/toml", &many, 400),
        ("deep TOML", "application/toml", &format!("a = {}", "[".repeat(100_000)), 400),
        ("a long key", "application/toml", &format!("{} = 1", vec!["a"; 50_000].join(".")), 400),
        ("a deep expression", "application/toml", &expression, 400),
        ("a template that loops", "application/toml", &looping, 400),
        ("nothing", "application/toml", "", 400),
        ("not a table", "application/yaml", "- 1\n", 400),
        ("not UTF-8 in JSON", "application/json", "{\"text\": 1}", 400),
        ("another kind", "application/xml", "<a/>", 415),
    ] {
        let refused = gateway.text("/manifests", kind, text).await;
        assert_eq!(refused.status.as_u16(), status, "{what}: {}", refused.text());
        assert!(refused.bytes.len() < 100_000, "{what}: {} bytes", refused.bytes.len());
        if status == 400 && kind != "application/json" {
            errors(&refused.json());
        }
    }
    assert_eq!(gateway.admin("GET", "/manifests", None).await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_wrong_manifest_in_the_config_folder_is_no_start() {
    let (folder, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = async || {
        let further = Overrides { manifests_dir: Some(files.path().to_owned()), ..Overrides::default() };
        App::build(config(folder.path(), None, further), gateway::clock::Clock::system()).await
    };
    let write = |name: &str, text: &str| std::fs::write(files.path().join(name), text).unwrap();
    for (name, text, words) in [
        (
            "a.toml",
            MANIFEST.replace("method = \"GET\"\npath = \"/me\"", "method = \"LOOK\"\npath = \"/me\""),
            "a.toml line ",
        ),
        ("a.toml", MANIFEST.replace("\"desk\"", "\"github\""), "a.toml line 2: name"),
        ("b.yaml", "name: [".to_owned(), "b.yaml"),
    ] {
        write(name, &text);
        let refused = start().await.err().unwrap().to_string();
        assert!(refused.contains(words) && refused.contains("manifests_dir"), "{refused}");
        std::fs::remove_file(files.path().join(name)).unwrap();
    }
    write("a.toml", MANIFEST);
    write("b.toml", MANIFEST);
    let refused = start().await.err().unwrap().to_string();
    assert!(refused.contains("b.toml") && refused.contains("a.toml"), "{refused}");
    std::fs::remove_file(files.path().join("b.toml")).unwrap();
    write("notes.txt", "not a manifest");
    let app = start().await.map_err(|error| error.to_string()).unwrap();
    let all = app.catalogue.all().await.unwrap();
    assert!(all.iter().any(|one| one.entry.name == "desk" && one.source.as_str() == "config"));
}
