//! The GitHub connector against answers made by hand: what each status, header and setting means.

mod github_support;

use github_support::*;

#[tokio::test]
async fn a_status_is_told_apart_by_headers_and_words() {
    async fn check(what: &str, answer: Answer, kind: FaultKind, retry: Retry) {
        let fake = Fake::new(vec![answer]);
        let fault = by("manual").accounts().unwrap().invitations(&Cx::new(&fake, now()), None).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry), (kind, retry), "{what}: {fault:?}");
        assert_eq!(fault.effect, Effect::None, "{what}");
        assert!(!format!("{fault:?}").contains("ghp_secret"), "{what}");
        assert!(!fault.context.is_empty(), "{what}");
        assert_eq!(fake.asked().len(), 1, "{what}");
    }
    use FaultKind::*;
    let at = |status, body| on("GET /orgs/acme/invitations", status, body);
    let says = |text: &str| json!({ "message": text });
    let operator = Retry::AfterOperator;
    check("no right", at(403, says("Must be an owner")), Permission, operator).await;
    check("hidden", at(404, says("Not Found")), Permission, operator).await;
    check("redirect", at(301, says("Moved")), Permission, operator).await;
    check("dead", at(401, says("Bad credentials")), Credential, operator).await;
    check(
        "single sign-on",
        at(403, says("SAML")).with("x-github-sso", "required; url=https://github.com/x"),
        Credential,
        operator,
    )
    .await;
    for status in [403, 429] {
        check(
            "retry-after",
            at(status, says("slow")).with("retry-after", "17"),
            RateLimited,
            Retry::NotBefore(after(17)),
        )
        .await;
        check(
            "primary",
            at(status, says("limit"))
                .with("x-ratelimit-remaining", "0")
                .with("x-ratelimit-reset", (NOW + 90).to_string()),
            RateLimited,
            Retry::NotBefore(after(91)),
        )
        .await;
        check(
            "secondary without a time",
            at(status, says("You have exceeded a secondary rate limit.")).with("x-ratelimit-remaining", "4000"),
            RateLimited,
            Retry::NotBefore(after(60)),
        )
        .await;
    }
    check(
        "a date",
        at(429, Value::Null).with("retry-after", "Thu, 01 Jan 2026 00:00:30 GMT"),
        RateLimited,
        Retry::NotBefore(after(30)),
    )
    .await;
    check(
        "a wait of years is cut to an hour",
        at(429, Value::Null).with("retry-after", "999999999"),
        RateLimited,
        Retry::NotBefore(after(3_600)),
    )
    .await;
    check("down", at(502, Value::Null), Unavailable, Retry::Soon).await;
    check("down with a time", at(503, Value::Null).with("retry-after", "5"), Unavailable, Retry::NotBefore(after(5)))
        .await;
    check("not a list", at(200, json!({"id": 1})), Malformed, Retry::Soon).await;
    check(
        "a next link elsewhere",
        at(200, json!([])).with("link", "<https://evil.example/?page=2>; rel=\"next\""),
        Malformed,
        Retry::Soon,
    )
    .await;
    check(
        "a next link that stands still",
        at(200, json!([])).with("link", "<https://api.github.com/x?page=1>; rel=\"next\""),
        Malformed,
        Retry::Soon,
    )
    .await;
}

#[tokio::test]
async fn a_write_that_failed_midway_has_an_unknown_effect() {
    async fn check(transport: &dyn Transport, effect: Effect) {
        let fault = by("manual")
            .accounts()
            .unwrap()
            .create(&Cx::new(transport, now()), &person("ada", Some("ada@corp.example")))
            .await
            .unwrap_err();
        assert_eq!(fault.effect, effect, "{fault:?}");
    }
    let at = |status, body| Fake::new(vec![on("POST /orgs/acme/invitations", status, body)]);
    check(&at(502, Value::Null), Effect::Unknown).await;
    check(&at(201, json!("?")), Effect::Unknown).await;
    check(&Lost, Effect::Unknown).await;
    check(&at(403, json!({"message": "no"})), Effect::None).await;
    check(&at(429, Value::Null), Effect::None).await;
    let fault =
        by("handle").accounts().unwrap().create(&Cx::new(&Lost, now()), &person("ada", None)).await.unwrap_err();
    assert_eq!(fault.effect, Effect::None, "only a read was lost");
}

#[tokio::test]
async fn headers_tell_the_limits() {
    fn check(connector: &dyn Connector, resource: &str, want: Option<(&str, u32)>) {
        let mut headers = HeaderMap::new();
        headers.insert("x-ratelimit-limit", HeaderValue::from_static("5000"));
        headers.insert("x-ratelimit-remaining", HeaderValue::from_static("4321"));
        headers.insert("x-ratelimit-reset", HeaderValue::from_static("1767225700"));
        headers.insert("x-ratelimit-resource", HeaderValue::from_str(resource).unwrap());
        let reply = Reply::new(StatusCode::OK, headers, Bytes::new(), now());
        let read = connector.read_limits(&reply);
        assert_eq!(read.first().map(|r| (r.bucket, r.remaining)), want);
        if let Some(reading) = read.first() {
            assert_eq!(reading.limit, Some(5000));
            assert_eq!(reading.resets_at, after(100));
        }
    }
    let documented = by("manual");
    let headers = build(json!({"identity": "manual", "pace": "headers"}));
    check(&*documented, "core", Some(("primary", 4321)));
    check(&*documented, "graphql", Some(("graphql", 4321)));
    check(&*documented, "search", None);
    check(&*headers, "core", Some(("primary", 4321)));
    check(&*headers, "graphql", None);
    let none = Reply::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), now());
    assert!(documented.read_limits(&none).is_empty());
}

#[tokio::test]
async fn every_call_has_its_headers_and_charges_known_buckets() {
    for pace in ["documented", "headers"] {
        let connector = build(json!({"identity": "handle", "pace": pace}));
        let fake = Fake::new(vec![
            on("GET /orgs/acme/memberships/ada ", 404, Value::Null),
            on("PUT /orgs/acme/memberships/ada ", 200, membership(9, "ada", "pending", "member")),
            on("GET /orgs/acme/invitations", 200, json!([])),
        ]);
        let cx = Cx::new(&fake, now());
        connector.accounts().unwrap().create(&cx, &person("ada", None)).await.unwrap();
        let known: Vec<&str> = connector.traits().buckets.iter().map(|b| b.name).collect();
        for call in fake.calls.lock().unwrap().iter() {
            let header = |name: &str| call.headers[name].to_str().unwrap().to_owned();
            assert_eq!(header("accept"), "application/vnd.github+json");
            assert_eq!(header("x-github-api-version"), "2022-11-28");
            assert!(header("user-agent").starts_with("scimgate/"));
            assert_eq!(header("authorization"), "Bearer ghp_secret");
            assert!(call.headers["authorization"].is_sensitive());
            let charges = connector.traits().tariff.charges(call);
            assert!(!charges.is_empty());
            assert!(charges.iter().all(|charge| known.contains(&charge.bucket)));
        }
        if pace == "documented" {
            let calls = fake.calls.lock().unwrap();
            let charges = |n: usize| connector.traits().tariff.charges(&calls[n]);
            assert!(charges(1).iter().any(|c| c.bucket == "invitations"));
            assert!(charges(0).iter().all(|c| c.bucket != "writes"));
        }
    }
}

#[test]
fn settings_that_contradict_each_other_name_the_field() {
    fn check(settings: Value, secrets: &[(&str, &str)], field: Option<&str>) {
        let got = try_build(settings.clone(), secrets).err();
        assert_eq!(got.as_ref().map(|e| e.field.as_str()), field, "{settings} {got:?}");
    }
    let token = [("token", "ghp_x")];
    check(json!({"org": "acme", "identity": "saml"}), &token, None);
    check(json!({"org": "acme", "mode": "teams_only"}), &token, None);
    check(json!({"org": "acme"}), &token, Some("identity"));
    check(json!({"identity": "saml"}), &token, Some("org"));
    check(json!({"org": "a/b", "identity": "saml"}), &token, Some("org"));
    check(json!({"org": "acme", "identity": "guess"}), &token, Some("identity"));
    check(json!({"org": "acme", "identity": "saml"}), &[], Some("token"));
    check(json!({"org": "acme", "identity": "saml", "app_id": "1"}), &token, Some("app_id"));
    check(json!({"org": "acme", "identity": "saml"}), &[("token", "x"), ("private_key", "y")], Some("private_key"));
    check(json!({"org": "acme", "identity": "saml"}), &[("private_key", "y")], Some("app_id"));
    check(
        json!({"org": "acme", "identity": "saml", "app_id": "1"}),
        &[("private_key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----")],
        Some("private_key"),
    );
    check(json!({"org": "acme", "identity": "saml"}), &[("token", "a b")], Some("token"));
}

#[tokio::test]
async fn what_is_built_follows_the_settings() {
    let key = |api: &str| build(json!({"identity": "saml", "api_url": api})).traits().driver_key.clone();
    assert!(key("https://api.github.com").as_str().starts_with("github:api.github.com:443:"));
    assert_ne!(key("http://127.0.0.1:1"), key("http://127.0.0.1:2"));
    assert_eq!(key("https://h.example/api/v3"), key("https://h.example/api/v3/"));
    assert_ne!(key("http://127.0.0.1:1"), DriverKey::new(""));
    let teams = build(json!({"mode": "teams_only", "identity": "handle"}));
    assert_eq!(teams.traits().kind, Kind::Group);
    assert!(!teams.traits().invites && !teams.traits().pending_members.any());
    assert_eq!(by("handle").traits().pending_members, connector_sdk::PendingMembers::ByLogin);
    assert!(!by("saml").traits().pending_members.any());
    assert!(by("verified_domain").traits().verified_emails);
    // GraphQL stands beside REST on GitHub Enterprise Server, below it elsewhere.
    for (api, graphql) in [
        ("https://h.example/api/v3", "POST /api/graphql"),
        ("https://api.github.com", "POST /graphql"),
        ("http://127.0.0.1:9/", "POST /graphql"),
    ] {
        let fake = Fake::new(vec![on("POST", 500, Value::Null)]);
        let connector = build(json!({"identity": "saml", "api_url": api}));
        let cx = Cx::new(&fake, now());
        connector.accounts().unwrap().find(&cx, &person("ada", None)).await.unwrap_err();
        assert_eq!(fake.asked(), [graphql]);
    }
}

#[tokio::test]
async fn a_graphql_refusal_is_a_fault() {
    async fn check(answer: Answer, kind: FaultKind, retry: Retry) {
        let fake = Fake::new(vec![answer]);
        let fault =
            by("saml").accounts().unwrap().find(&Cx::new(&fake, now()), &person("ada", None)).await.unwrap_err();
        assert_eq!((fault.kind, fault.retry, fault.effect), (kind, retry, Effect::None), "{fault:?}");
    }
    let error =
        |kind: &str| on("POST /graphql", 200, json!({"data": null, "errors": [{"type": kind, "message": "m"}]}));
    check(
        error("RATE_LIMITED").with("x-ratelimit-remaining", "0").with("x-ratelimit-reset", (NOW + 9).to_string()),
        FaultKind::RateLimited,
        Retry::NotBefore(after(10)),
    )
    .await;
    check(error("RATE_LIMITED"), FaultKind::RateLimited, Retry::NotBefore(after(60))).await;
    check(error("FORBIDDEN"), FaultKind::Permission, Retry::AfterOperator).await;
    check(error("SOMETHING"), FaultKind::Unavailable, Retry::Soon).await;
    check(
        on("POST /graphql", 200, json!({"data": {"organization": {"samlIdentityProvider": null}}})),
        FaultKind::Permission,
        Retry::AfterOperator,
    )
    .await;
    check(on("POST /graphql", 200, json!({"data": {"organization": 3}})), FaultKind::Malformed, Retry::Soon).await;
    check(on("POST /graphql", 200, json!([])), FaultKind::Malformed, Retry::Soon).await;
}

#[tokio::test]
async fn a_listing_follows_links_and_tells_what_it_is_missing() {
    let connector = by("manual");
    let accounts = connector.accounts().unwrap();
    let fake = Fake::new(vec![
        own(),
        inside(),
        owners(),
        on("GET /orgs/acme/members?role=all&per_page=100&page=1 ", 200, json!([{"id": 1, "login": "bot"}, {"id": 2, "login": "boss"}]))
            .with("link", "<https://api.github.com/organizations/4242/members?role=all&per_page=100&page=2>; rel=\"next\", <https://api.github.com/organizations/4242/members?page=2>; rel=\"last\""),
        on("GET /orgs/acme/members?role=all&per_page=100&page=2 ", 200, json!([{"id": 9, "login": "ada"}]))
            .with("x-github-sso", "partial-results; organizations=4242"),
    ]);
    let cx = Cx::new(&fake, now());
    let first = accounts.list(&cx, None).await.unwrap();
    assert!(first.complete);
    assert_eq!(first.items[0].role.as_deref(), Some("admin"));
    assert!(first.items[0].protected && !first.items[1].protected);
    let second = accounts.list(&cx, first.next.as_ref()).await.unwrap();
    assert_eq!(second.items[0].role.as_deref(), Some("member"));
    assert_eq!((second.next, second.complete), (None, false));
    // Own account, its membership and the owners are looked up once, not once a page.
    assert_eq!(fake.asked().len(), 5);
    let fault = accounts.list(&cx, Some(&PageToken("x".to_owned()))).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
}

#[tokio::test]
async fn a_credential_outside_the_organisation_lists_nobody_as_if_all_had_left() {
    let fake = Fake::new(vec![
        own(),
        on("GET /orgs/acme/memberships/bot ", 404, Value::Null),
        on("GET /user/1 ", 200, json!({"id": 1, "login": "bot"})),
        on("GET /orgs/acme/members", 200, json!([])),
    ]);
    let fault = by("manual").accounts().unwrap().list(&Cx::new(&fake, now()), None).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Permission);
}

#[tokio::test]
async fn saml_addresses_come_in_one_query_a_page() {
    let fake = Fake::new(vec![
        own(),
        inside(),
        owners(),
        on("GET /orgs/acme/members?role=all", 200, json!([{"id": 9, "login": "ada"}, {"id": 10, "login": "bob"}])),
        on(
            "POST /graphql",
            200,
            json!({"data": {"organization": {"samlIdentityProvider": {
            "a0": {"edges": [{"node": {"samlIdentity": {"nameId": "n", "emails": [{"value": "ada@corp.example"}]}, "user": {"login": "ada", "databaseId": 9}}}]},
            "a1": {"edges": []}}}}}),
        ),
    ]);
    let page = by("saml").accounts().unwrap().list(&Cx::new(&fake, now()), None).await.unwrap();
    assert_eq!(page.items[0].email.as_deref(), Some("ada@corp.example"));
    assert_eq!(page.items[1].email, None);
    assert_eq!(fake.asked().iter().filter(|call| call.starts_with("POST")).count(), 1);
}

#[tokio::test]
async fn a_probe_tells_what_is_missing() {
    async fn check(answers: Vec<Answer>, bad: &[&str]) {
        let fake = Fake::new(answers);
        let probe = by("handle").probe(&Cx::new(&fake, now())).await.unwrap();
        let got: Vec<&str> = probe.checks.iter().filter(|c| !c.ok).map(|c| c.name.as_str()).collect();
        assert_eq!(got, bad, "{probe:?}");
        assert!(fake.writes().is_empty());
    }
    let user = |scopes: &str| own().with("x-oauth-scopes", scopes);
    let me = |role| on("GET /user/memberships/orgs/acme ", 200, membership(1, "bot", "active", role));
    let rest = |status| {
        vec![
            on("GET /orgs/acme ", 200, json!({"id": 4242, "login": "acme"})),
            on("GET /orgs/acme/teams?", 200, json!([])),
            on("GET /orgs/acme/invitations?", status, json!([])),
        ]
    };
    check([vec![user("admin:org, repo"), me("admin")], rest(200)].concat(), &[]).await;
    check([vec![own(), on("GET /user/memberships", 403, Value::Null)], rest(200)].concat(), &[]).await;
    check([vec![user("read:org"), me("member")], rest(404)].concat(), &["scopes", "owner", "members: write"]).await;
    check(vec![on("GET /user ", 401, json!({"message": "Bad credentials"}))], &["credential"]).await;
    let down = Fake::new(vec![on("GET /user ", 502, Value::Null)]);
    let fault = by("handle").probe(&Cx::new(&down, now())).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Unavailable);
}

#[test]
fn the_catalogue_describes_every_setting() {
    let entries = connectors::builtin();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name).collect();
    assert!(names.contains(&"github"));
    let github = entries.iter().find(|entry| entry.name == "github").unwrap();
    assert!(github.settings.iter().all(|setting| !setting.help.is_empty()));
    let _: Value = serde_json::to_value(&github.settings).unwrap();
}
