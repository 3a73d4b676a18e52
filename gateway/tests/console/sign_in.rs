//! Sign-in through a provider: who gets in, who does not, and what they are told.

use std::time::Duration;

use gateway::clock::Clock;
use gateway::config::Overrides;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::browser::{Browser, Gateway, HOSTILE, TOKEN, taken};
use crate::common::{Reply, databases};
use crate::provider::{Manner, Provider, SECRET};

const HOUR: Duration = Duration::from_secs(3_600);
const START: &str = "2026-01-01T00:00:00Z";

async fn set_up(more: Overrides) -> (Gateway, Provider) {
    let clock = Clock::manual(START.parse().unwrap());
    let provider = Provider::start(clock.clone()).await;
    let settings =
        Overrides { oidc_role_claim: more.oidc_role_claim, oidc_roles: more.oidc_roles, ..provider.settings() };
    (Gateway::at(clock, TempDir::new().unwrap(), None, settings).await, provider)
}

async fn invite(gateway: &Gateway, name: &str, email: &str, role: &str) -> String {
    let body = json!({"name": name, "role": role, "email": email});
    let made = gateway.admin("POST", "/members", Some(body)).await.expect(201).json();
    assert!(made.get("token").is_none(), "{made}");
    made["id"].as_str().unwrap().to_owned()
}

async fn audit(gateway: &Gateway, act: &str) -> Vec<Value> {
    let items = gateway.admin("GET", "/audit", None).await.expect(200).json()["items"].as_array().unwrap().clone();
    items.into_iter().filter(|one| one["act"] == act).collect()
}

#[track_caller]
fn refused(reply: Reply, status: u16, words: &str) {
    let reply = reply.expect(status);
    assert!(reply.words().contains(words), "{}", reply.words());
    assert!(reply.text().contains("<title>Error: "), "{}", reply.text());
    // The way on: once more, or by token.
    let links = reply.links();
    assert!(links.iter().any(|link| link.starts_with("/console/sign-in/provider?next=")), "{links:?}");
    assert!(links.iter().any(|link| link == "/console/sign-in"), "{links:?}");
}

#[tokio::test]
async fn who_was_invited_signs_in_and_is_known_from_then_on() {
    for db in databases() {
        let clock = Clock::manual(START.parse().unwrap());
        let provider = Provider::start(clock.clone()).await;
        let url = db.make().await;
        let gateway = Gateway::at(clock, TempDir::new().unwrap(), url.as_deref(), provider.settings()).await;
        let id = invite(&gateway, "Ada", "Ada@Example.com", "admin").await;
        let shown = gateway.admin("GET", &format!("/members/{id}"), None).await.expect(200).json();
        assert_eq!((&shown["signs_in_by"], &shown["email"]), (&json!("provider"), &json!("ada@example.com")));
        assert_eq!(shown["invited_until"], "2026-01-15T00:00:00.000Z");

        let browser = gateway.browser();
        let sent = provider.sent(&browser).await;
        assert!(sent.as_str().starts_with(&format!("{}authorize?kept=1&", provider.issuer)), "{sent}");
        let cookies = browser.cookies.lock().unwrap().clone();
        let reply = browser.get(&provider.approve(&sent)).await.expect(200);
        // A redirection from another site would come without the session's cookie.
        assert!(reply.text().contains("http-equiv=\"refresh\" content=\"0;url=/console\""), "{}", reply.text());
        let page = browser.get("/console/settings").await.expect(200);
        assert!(page.words().contains("Ada") && page.words().contains("Admin"), "{}", page.words());
        assert_eq!(browser.cookies.lock().unwrap().len(), 1, "the sign-in's own cookie stayed");

        // The same answer again, with the cookie that was kept, opens nothing.
        let thief = gateway.browser();
        *thief.cookies.lock().unwrap() = cookies;
        refused(thief.get(&provider.approve(&sent).replace("code-1", "code-0")).await, 400, "This sign-in is over");
        assert!(!thief.is_in().await);

        // From now on it is the person, whatever their address; and the address is nobody else's.
        provider.says(json!({"email": "ada@new.example", "email_verified": false}));
        provider.through(&gateway.browser()).await.expect(200);
        provider.says(json!({"sub": "u2"}));
        refused(provider.through(&gateway.browser()).await, 403, "You are not a member here");

        assert_eq!(audit(&gateway, "member.join").await[0]["actor"], "admin:Ada");
        let begun = audit(&gateway, "session.begin").await;
        assert_eq!((begun.len(), &begun[0]["detail"]["by"]), (2, &json!("provider")));
        let out = audit(&gateway, "session.refused").await;
        assert_eq!((out.len(), &out[0]["detail"]["subject"]), (1, &json!("u2")));

        // Signing out ends our session, and says what it does not end.
        let form = browser.get("/console").await.form("/console/sign-out");
        let out = browser.submit(&form, &[]).await.expect(303);
        assert!(browser.get(out.header("location")).await.words().contains("may still be signed in"));
        assert!(!browser.is_in().await);

        // Removed is removed, and the token of the operator opens as ever.
        let browser = gateway.browser();
        provider.says(json!({}));
        provider.through(&browser).await.expect(200);
        gateway.admin("DELETE", &format!("/members/{id}"), None).await.expect(204);
        assert!(!browser.is_in().await);
        refused(provider.through(&browser).await, 403, "You are not a member here");
        browser.sign_in(TOKEN).await;
    }
}

#[tokio::test]
async fn no_token_that_is_not_the_providers_for_us_of_now_opens() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    invite(&gateway, "Ada", "ada@example.com", "owner").await;
    let now = gateway.clock.now().as_second();
    let claims = [
        json!({"nonce": "x"}),
        json!({"nonce": null}),
        json!({"aud": "another"}),
        json!({"aud": null}),
        json!({"aud": ["another"]}),
        json!({"aud": [crate::provider::CLIENT, "another"]}),
        json!({"azp": "another"}),
        json!({"iss": "https://evil.example/"}),
        json!({"iss": provider.issuer.trim_end_matches('/')}),
        json!({"exp": now - 61}),
        json!({"exp": null}),
        json!({"iat": now + 61}),
        json!({"iat": null}),
        json!({"nbf": now + 61}),
        json!({"sub": ""}),
        json!({"sub": null}),
        json!({"sub": "x".repeat(256)}),
    ];
    for claims in claims {
        provider.says(claims.clone());
        let browser = gateway.browser();
        refused(provider.through(&browser).await, 502, "could not be trusted");
        assert!(!browser.is_in().await, "{claims}");
    }
    provider.says(json!({}));
    for manner in [
        Manner::Unsigned,
        Manner::PublicKeyAsSecret,
        Manner::ClientSecretAsSecret,
        Manner::Forged,
        Manner::Altered,
        Manner::Critical,
    ] {
        provider.set(|script| script.manner = manner);
        let browser = gateway.browser();
        refused(provider.through(&browser).await, 502, "could not be trusted");
        assert!(!browser.is_in().await, "{manner:?}");
    }
    provider.set(|script| script.manner = Manner::Signed);
    for claims in [
        json!({"exp": now - 59, "iat": now + 59}),
        json!({"aud": [crate::provider::CLIENT, "another"], "azp": crate::provider::CLIENT}),
    ] {
        provider.says(claims);
        provider.through(&gateway.browser()).await.expect(200);
    }
}

#[tokio::test]
async fn an_answer_counts_in_the_browser_that_asked_and_in_time() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    invite(&gateway, "Ada", "ada@example.com", "viewer").await;
    let over = "This sign-in is over";
    // Another browser, as of somebody who was sent a link.
    let (browser, other) = (gateway.browser(), gateway.browser());
    let answer = provider.approve(&provider.sent(&browser).await);
    refused(other.get(&answer).await, 400, over);
    provider.sent(&other).await;
    refused(other.get(&answer).await, 400, over);
    assert!(!other.is_in().await);
    // Changed on its way, or sent twice.
    for change in [
        answer.replace("state=", "state=0"),
        answer.replace("&state=", "&stat="),
        format!("{answer}&state=1"),
        answer.replace("code=", "kode="),
        answer.replace("code=code-", "code=none-"),
    ] {
        let browser = gateway.browser();
        let sent = provider.sent(&browser).await;
        let state = sent.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let own = answer.rsplit('=').next().unwrap();
        refused(browser.get(&change.replace(own, &state)).await, 400, over);
        assert!(!browser.is_in().await, "{change}");
    }
    // A cookie that is not ours, or was changed.
    for change in [
        |text: &str| text.replacen('1', "2", 1),
        |_: &str| "x.y.z.w".to_owned(),
        |_: &str| String::new(),
        // A time that no subtraction holds: it was computed with before the seal was looked at.
        |text: &str| format!("{}.{}", i64::MIN, text.split_once('.').unwrap().1),
    ] {
        let browser = gateway.browser();
        let answer = provider.approve(&provider.sent(&browser).await);
        browser.cookies.lock().unwrap().values_mut().for_each(|text| *text = change(text));
        refused(browser.get(&answer).await, 400, over);
    }
    // Too late, and just in time.
    for (wait, status) in [(15 * 60 + 1, 400), (15 * 60, 200)] {
        let browser = gateway.browser();
        let answer = provider.approve(&provider.sent(&browser).await);
        gateway.clock.advance(Duration::from_secs(wait));
        browser.get(&answer).await.expect(status);
    }
    // Another provider's answer (RFC 9207).
    let browser = gateway.browser();
    let answer = provider.approve(&provider.sent(&browser).await);
    refused(browser.get(&format!("{answer}&iss=https://evil.example")).await, 502, "could not be trusted");
    let answer = provider.approve(&provider.sent(&browser).await);
    browser.get(&format!("{answer}&iss={}", provider.issuer)).await.expect(200);
    gateway.clock.advance(HOUR);
    provider.set(|script| script.discovery = json!({"authorization_response_iss_parameter_supported": true}));
    refused(provider.through(&gateway.browser()).await, 502, "could not be trusted");
}

#[tokio::test]
async fn addresses_count_when_they_are_verified_and_invitations_for_a_time() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    invite(&gateway, "Ada", "ada@example.com", "viewer").await;
    let unverified = "is not verified";
    for (claims, userinfo) in [
        (json!({"email_verified": false}), json!({})),
        (json!({"email_verified": null}), json!({"sub": "u1", "email": "eve@example.com", "email_verified": true})),
        (json!({"email": null, "email_verified": true}), json!({"sub": "u1", "email": "ada@example.com"})),
        (json!({"email": "ada@example.com.evil", "email_verified": "no"}), json!({})),
    ] {
        provider.says(claims);
        provider.set(|script| script.userinfo = userinfo);
        refused(provider.through(&gateway.browser()).await, 403, unverified);
    }
    // Somebody else's claims at the userinfo endpoint.
    provider.says(json!({"email": null, "email_verified": null}));
    provider.set(|script| script.userinfo = json!({"sub": "u2", "email": "ada@example.com", "email_verified": true}));
    refused(provider.through(&gateway.browser()).await, 502, "could not be trusted");
    provider.set(|script| script.userinfo = json!({"sub": "u1", "email": "ada@example.com", "email_verified": true}));
    provider.through(&gateway.browser()).await.expect(200);

    invite(&gateway, "Grace", "grace@example.com", "viewer").await;
    gateway.clock.advance(HOUR * 24 * 14);
    provider.says(json!({"sub": "u3", "email": "grace@example.com"}));
    refused(provider.through(&gateway.browser()).await, 403, "You are not a member here");
    let members = gateway.admin("GET", "/members", None).await.expect(200).json();
    assert_eq!((&members["items"][0]["name"], &members["items"][0]["active"]), (&json!("Grace"), &json!(false)));
    let body = json!({"name": "Grace 2", "role": "viewer", "email": "grace@example.com"});
    let taken = gateway.admin("POST", "/members", Some(body)).await.expect(409).json();
    assert!(taken["detail"].as_str().unwrap().contains("\"Grace\""), "{taken}");

    let body =
        json!({"name": "Linus", "role": "viewer", "email": "l@example.com", "expires_at": "2026-01-16T00:00:00Z"});
    gateway.admin("POST", "/members", Some(body)).await.expect(201);
    provider.says(json!({"sub": "u4", "email": "l@example.com"}));
    let browser = gateway.browser();
    provider.through(&browser).await.expect(200);
    gateway.clock.advance(HOUR * 24);
    assert!(!browser.is_in().await);
    refused(provider.through(&browser).await, 403, "Your access has ended");
}

#[tokio::test]
async fn a_claim_gives_a_role_and_takes_it_away() {
    let roles = Overrides {
        oidc_role_claim: Some("groups".into()),
        oidc_roles: Some("ops=admin; all=viewer".into()),
        ..Overrides::default()
    };
    let (gateway, provider) = set_up(roles).await;
    let browser = gateway.browser();
    provider.says(json!({"groups": ["x"]}));
    refused(provider.through(&browser).await, 403, "You are not a member here");
    provider.says(json!({"groups": ["all", "ops"], "email_verified": false, "name": HOSTILE}));
    provider.through(&browser).await.expect(200);
    assert!(browser.get("/console/settings").await.expect(200).words().contains("Admin"));
    let member = gateway.admin("GET", "/members", None).await.expect(200).json()["items"][0].clone();
    assert_eq!((&member["role"], &member["role_by_claim"]), (&json!("admin"), &json!(true)));
    let path = format!("/members/{}", member["id"].as_str().unwrap());
    gateway.admin("PATCH", &path, Some(json!({"role": "owner"}))).await.expect(409);
    let page = gateway.owner().await.get(&format!("/console/settings{path}")).await.expect(200);
    assert!(!page.text().contains("<img src=x") && page.words().contains("follows from what the provider says"));

    // Another of that name, and one who is called as the first token is.
    provider.says(json!({"sub": "u2", "groups": "all", "email": "b@x.org", "name": HOSTILE}));
    provider.through(&gateway.browser()).await.expect(200);
    provider.says(json!({"sub": "u3", "groups": "all", "email": null, "name": "Admin"}));
    provider.through(&gateway.browser()).await.expect(200);
    let members = gateway.admin("GET", "/members", None).await.expect(200).json();
    let names: Vec<&str> =
        members["items"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names[0].starts_with("Admin (") && names[1].ends_with("(b@x.org)"), "{names:?}");

    // Less, then nothing: it holds from the next sign-in, for the sessions that are open as well.
    provider.says(json!({"groups": "all"}));
    provider.through(&gateway.browser()).await.expect(200);
    assert!(!browser.is_in().await, "the session had another role");
    provider.through(&browser).await.expect(200);
    provider.says(json!({"groups": []}));
    refused(provider.through(&gateway.browser()).await, 403, "You are not a member here");
    assert!(!browser.is_in().await);
    provider.says(json!({"groups": "all"}));
    provider.through(&browser).await.expect(200);

    // An Owner's word goes before the claim's.
    gateway.admin("DELETE", &path, None).await.expect(204);
    refused(provider.through(&browser).await, 403, "An Owner of this gateway removed you");
    invite(&gateway, "Ada", "ada@example.com", "owner").await;
    provider.through(&browser).await.expect(200);
    assert!(browser.get("/console/settings").await.expect(200).words().contains("Owner"));
}

#[tokio::test]
async fn new_keys_of_the_provider_are_read_when_they_are_needed_and_not_for_every_stranger() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    invite(&gateway, "Ada", "ada@example.com", "viewer").await;
    provider.through(&gateway.browser()).await.expect(200);
    provider.through(&gateway.browser()).await.expect(200);
    assert_eq!((provider.asked("discovery"), provider.asked("keys")), (1, 1));
    provider.rotate("k2");
    refused(provider.through(&gateway.browser()).await, 502, "could not be trusted");
    assert_eq!(provider.asked("keys"), 1, "they were read a moment ago");
    gateway.clock.advance(Duration::from_secs(31));
    provider.through(&gateway.browser()).await.expect(200);
    provider.through(&gateway.browser()).await.expect(200);
    assert_eq!((provider.asked("discovery"), provider.asked("keys")), (1, 2));
    gateway.clock.advance(HOUR);
    provider.through(&gateway.browser()).await.expect(200);
    assert_eq!((provider.asked("discovery"), provider.asked("keys")), (2, 3));
}

#[tokio::test]
async fn each_trouble_of_the_provider_has_its_page_and_tokens_open_meanwhile() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    invite(&gateway, "Ada", "ada@example.com", "viewer").await;
    let begin = "/console/sign-in/provider?next=/console/settings";
    let browser = gateway.browser();
    provider.set(|script| script.down = true);
    refused(browser.get(begin).await, 503, "could not be reached");
    provider.set(|script| script.down = false);
    for discovery in [
        json!({"issuer": "https://evil.example/"}),
        json!({"issuer": null}),
        json!({"token_endpoint": "http://evil.example/token"}),
        json!({"authorization_endpoint": "javascript:alert(1)"}),
        json!({"jwks_uri": null}),
    ] {
        provider.set(|script| script.discovery = discovery);
        refused(browser.get(begin).await, 502, "not set up as it should be");
    }
    provider.set(|script| script.discovery = json!({}));
    let long = "x".repeat(2 << 20);
    for (status, answer, page, words) in [
        (401, json!({"error": "invalid_client"}), 502, "not set up as it should be"),
        (400, json!({"error": "invalid_grant"}), 400, "This sign-in is over"),
        (503, json!({}), 503, "could not be reached"),
        (200, json!({"access_token": "x"}), 502, "not set up as it should be"),
        (200, json!({"id_token": "x"}), 502, "could not be trusted"),
        (200, json!({"id_token": "a.b.c.d"}), 502, "could not be trusted"),
        (200, json!({ "id_token": "x".repeat(100_000) }), 502, "could not be trusted"),
        (200, json!({ "id_token": long }), 503, "could not be reached"),
        (302, json!({}), 502, "not set up as it should be"),
    ] {
        provider.set(|script| script.token_answer = Some((status, answer)));
        refused(provider.through(&browser).await, page, words);
    }
    provider.set(|script| script.token_answer = None);
    for (error, page, words) in [
        ("access_denied", 403, "The sign-in was refused"),
        ("login_required", 403, "The sign-in was refused"),
        ("server_error", 503, "could not be reached"),
        ("invalid_scope", 502, "not set up as it should be"),
    ] {
        let sent = provider.sent(&browser).await;
        let state = sent.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        let back = format!("/console/sign-in/provider/answer?error={error}&error_description=%3Cimg%3E&state={state}");
        let reply = browser.get(&back).await;
        assert!(!reply.text().contains("<img>"));
        refused(reply, page, words);
    }
    browser.sign_in(TOKEN).await;
    // A client that is told to put its secret into the body does so.
    gateway.clock.advance(HOUR);
    provider.set(|script| script.discovery = json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    provider.through(&gateway.browser()).await.expect(200);
}

#[tokio::test]
async fn one_goes_where_one_was_going_and_may_choose_another_account() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    let browser = gateway.browser();
    let sent = browser.get("/console/settings?x=1").await.expect(303);
    let page = browser.get(sent.header("location")).await.expect(200);
    assert!(page.words().contains("Continue with Example ID"), "{}", page.words());
    let link = page.links().into_iter().find(|link| link.contains("/sign-in/provider")).unwrap();
    let sent = browser.get(&link).await.expect(303);
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=900"] {
        assert!(sent.header("set-cookie").contains(part), "{}", sent.header("set-cookie"));
    }
    assert!(!sent.header("location").contains("prompt="));
    let stranger = browser.get(&provider.approve(&sent.header("location").parse().unwrap())).await;
    let other = stranger.links().into_iter().find(|link| link.contains("choose=1")).unwrap();
    let sent = browser.get(&other).await.expect(303);
    assert!(sent.header("location").contains("prompt=select_account"));
    invite(&gateway, "Ada", "ada@example.com", "viewer").await;
    let reply = browser.get(&provider.approve(&sent.header("location").parse().unwrap())).await.expect(200);
    assert!(reply.text().contains("content=\"0;url=/console/settings?x=1\""), "{}", reply.text());
    for next in ["https://evil.example", "//evil.example", "/console/sign-in/provider"] {
        let sent = browser.get(&format!("/console/sign-in/provider?next={next}")).await.expect(303);
        let reply = browser.get(&provider.approve(&sent.header("location").parse().unwrap())).await.expect(200);
        assert!(reply.text().contains("content=\"0;url=/console\""), "{}", reply.text());
    }
}

#[tokio::test]
async fn owners_invite_in_the_console_and_see_how_each_signs_in() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    let browser = gateway.owner().await;
    let form = browser.get("/console/settings/members/new").await.expect(200).form("/console/settings/members");
    for (fill, words) in [
        ([("name", "Ada"), ("by", "provider"), ("email", "ada")], "must be an address"),
        ([("name", "Ada"), ("by", "provider"), ("email", "")], "must be an address"),
        ([("name", ""), ("by", "provider"), ("email", "ada@example.com")], "must be 1 to 100 bytes"),
    ] {
        let again = browser.submit(&form, &fill).await;
        assert!(again.words().contains(words), "{}", again.words());
    }
    let fill = [("name", "Ada"), ("by", "provider"), ("email", "ada@example.com"), ("role", "viewer")];
    let done = browser.submit(&form, &fill).await.expect(303);
    let page = browser.get(done.header("location")).await.expect(200);
    assert!(page.words().contains("Ada is invited") && page.words().contains("as ada@example.com"), "{}", page.words());
    let made = browser.submit(&form, &[("name", "terraform"), ("by", "token"), ("email", "")]).await.expect(200);
    assert!(made.words().contains("It is shown this once"));
    let list = browser.get("/console/settings/members").await.expect(200).words();
    assert!(list.contains("Invited") && list.contains("by token"), "{list}");
    provider.through(&gateway.browser()).await.expect(200);
    let list = browser.get("/console/settings/members").await.expect(200).words();
    assert!(list.contains("through Example ID") && list.contains("as ada@example.com"), "{list}");

    // Another provider in the settings: who came through the old one does not stay.
    let ada = gateway.browser();
    provider.through(&ada).await.expect(200);
    assert!(ada.is_in().await);
    let kept = ada.cookies.lock().unwrap().clone();
    let clock = gateway.clock.clone();
    drop((browser, ada));
    let without = Gateway::at(clock, taken(gateway), None, Overrides::default()).await;
    let ada = without.browser();
    *ada.cookies.lock().unwrap() = kept;
    assert!(!ada.is_in().await);
    let page = ada.get("/console/sign-in").await.expect(200);
    assert!(!page.links().iter().any(|link| link.contains("provider")), "{:?}", page.links());
    ada.get("/console/sign-in/provider").await.expect(502);
    let body = json!({"name": "Eve", "role": "viewer", "email": "eve@example.com"});
    assert_eq!(without.admin("POST", "/members", Some(body)).await.expect(400).json()["field"], "email");
    let list = without.owner().await.get("/console/settings/members").await.expect(200).words();
    assert!(list.contains("which is not set up any more"), "{list}");
}

#[tokio::test]
async fn nothing_of_the_providers_stays() {
    let (gateway, provider) = set_up(Overrides::default()).await;
    invite(&gateway, "Ada", "ada@example.com", "owner").await;
    let browser: Browser = gateway.browser();
    provider.through(&browser).await.expect(200);
    let folder = gateway.folder.path();
    let mut all = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        all.extend(std::fs::read(file.unwrap().path()).unwrap_or_default());
    }
    for secret in ["access-canary", SECRET, "code-0", "eyJ"] {
        assert!(!all.windows(secret.len()).any(|part| part == secret.as_bytes()), "{secret} is in the database");
    }
    assert!(all.windows(2).any(|part| part == b"u1"), "the search finds nothing");
}
