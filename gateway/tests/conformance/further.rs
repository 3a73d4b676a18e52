//! Section J: further requirements of RFC 7643 and RFC 7644. Those on filters, PATCH, versions, bulk and discovery
//! stand with their sections.

use serde_json::{Value, json};

use crate::support::{USER, at, body, id, q, stage, stages};

#[tokio::test]
async fn c181_spellings_of_one_name_are_one_name() {
    for s in &stages().await {
        for (n, (name, twin)) in [
            ("alice", "\u{ff41}lice"),  // full width
            ("zo\u{eb}", "zoe\u{308}"), // composed, decomposed
            ("STRASSE", "strasse"),
            ("\u{39f}\u{394}\u{3a5}", "\u{3bf}\u{3b4}\u{3c5}"), // Greek capitals
            ("J. \u{c9}toile", "j. e\u{301}toile"),             // a blank: outside of the profile
        ]
        .iter()
        .enumerate()
        {
            let made = s.user(json!({"userName": name, "title": format!("t{n}")})).await;
            assert_eq!(made["userName"], *name, "kept as written");
            s.post("/Users", body(USER, json!({"userName": twin}))).await.refused(409, "uniqueness");
            assert_eq!(s.found("/Users", &format!("userName eq \"{twin}\"")).await, [*name]);
            s.put(&at(&id(&made)), body(USER, json!({"userName": twin}))).await.expect(200);
        }
        s.named("alicf").await;
    }
}

#[tokio::test]
async fn c182_a_password_is_nowhere_in_the_store() {
    let s = stage().await;
    let secret = "canary-Tr0ub4dor-and-3";
    let made = s.user(json!({"userName": "a", "password": secret})).await;
    let path = at(&id(&made));
    s.put(&path, body(USER, json!({"userName": "a", "title": "put-canary", "password": secret}))).await.expect(200);
    s.patch(&path, json!([{"op": "replace", "path": "password", "value": secret}, {"op": "replace", "path": "title", "value": "patch-canary"}])).await.expect(200);
    s.patch(&path, json!([{"op": "add", "value": {"password": secret}}])).await.expect(200);
    let mut found = Vec::new();
    for file in std::fs::read_dir(s.folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!has(secret));
        found.push(has("patch-canary"));
    }
    assert!(found.contains(&true), "the search finds what is there");
}

#[tokio::test]
async fn c183_countries_and_certificates_have_their_form() {
    let s = stage().await;
    let made = s.user(json!({"userName": "a", "addresses": [{"type": "work", "country": "DE"}], "x509Certificates": [{"value": "MIIB"}, {"value": "MIIC"}]})).await;
    assert_eq!(made["addresses"][0]["country"], "DE");
    assert_eq!(made["x509Certificates"].as_array().unwrap().len(), 2);
    // Identity providers send country names as they have them: kept as sent.
    let named = s.user(json!({"userName": "b", "addresses": [{"country": "Germany"}]})).await;
    assert_eq!(named["addresses"][0]["country"], "Germany");
    s.post("/Users", body(USER, json!({"userName": "c", "x509Certificates": [{"value": "-----BEGIN-----"}]})))
        .await
        .refused(400, "invalidValue");
}

#[tokio::test]
async fn c184_discovery_asks_for_credentials_like_everything_else() {
    let s = stage().await;
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/Schemas"] {
        s.raw("GET", &format!("{}{path}", s.base), &[], b"").await.refused(401, "");
    }
}

#[tokio::test]
async fn c185_messages_are_no_schemas() {
    let s = stage().await;
    let schemas = s.read("/Schemas").await;
    let ids: Vec<&str> =
        schemas["Resources"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&USER));
    assert!(ids.iter().all(|id| !id.to_lowercase().contains(":api:messages:")), "{ids:?}");
    s.get("/Schemas/urn:ietf:params:scim:api:messages:2.0:PatchOp").await.refused(404, "");
}

#[tokio::test]
async fn c186_an_empty_filter_is_an_invalid_filter() {
    for s in &stages().await {
        for query in [
            "/Users?filter=".to_owned(),
            "/Users?filter".to_owned(),
            q("/Users", &[("filter", " ")]),
            q("/", &[("filter", "")]),
            q("/Groups", &[("filter", "()")]),
        ] {
            s.get(&query).await.refused(400, "invalidFilter");
        }
    }
}

#[tokio::test]
async fn c188_versions_are_weak_tags() {
    for s in &stages().await {
        let made: Value = s.user(json!({"userName": "a"})).await;
        let tag = made["meta"]["version"].as_str().unwrap();
        assert!(tag.starts_with("W/\"") && tag.ends_with('"') && tag.len() > 4, "{tag}");
    }
}
