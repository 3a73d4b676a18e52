//! What answers mean, and what is wrong with manifests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by failing")]

mod support;

use std::sync::{Arc, Mutex};

use connector_sdk::{AccountRef, Created, Effect, Fault, FaultKind, Membership, Person, RemoteId, Retry};
use declarative::{Format, Manifest};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;
use support::{Scripted, block, built, reply, with};

const MANIFEST: &str = include_str!("shapes.toml");

fn person() -> Person {
    let mut person = Person::named("ada@x.example");
    person.email = Some(person.user_name.clone());
    person
}

/// Creates a person at a target that knows nobody and answers the creation so.
fn created(manifest: &str, status: u16, headers: &[(&'static str, &str)], body: &str) -> Result<Created, Fault> {
    let manifest = Manifest::parse(manifest, Format::Toml).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    }
    let body = body.to_owned();
    let sim = Scripted::new(move |call, _| match call.method.as_str() {
        "GET" => reply(200, &json!({ "users": [] }), None),
        _ => with(status, map.clone(), &body),
    });
    let connector = built(&manifest, &json!({ "url": "https://api.example.com/v1" }));
    block(connector.accounts().unwrap().create(&sim.cx(), &person()))
}

fn seconds(retry: Retry) -> Option<i64> {
    match retry {
        Retry::NotBefore(until) => Some(until.as_second() - support::now().as_second()),
        _ => None,
    }
}

#[test]
fn what_a_status_means_needs_no_rule() {
    for (status, body, kind, effect) in [
        (401, "{}", FaultKind::Credential, Effect::None),
        (403, "{}", FaultKind::Permission, Effect::None),
        (404, "{}", FaultKind::NotFound, Effect::None),
        (408, "{}", FaultKind::Unavailable, Effect::Unknown),
        (422, r#"{"message":"no"}"#, FaultKind::Refused, Effect::None),
        (429, "{}", FaultKind::RateLimited, Effect::None),
        (500, "<html>", FaultKind::Unavailable, Effect::Unknown),
        (302, "", FaultKind::Malformed, Effect::Unknown),
        (200, "<html>Welcome</html>", FaultKind::Malformed, Effect::Unknown),
        (200, "{}", FaultKind::Malformed, Effect::Unknown),
    ] {
        let fault = created(MANIFEST, status, &[], body).unwrap_err();
        assert_eq!((fault.kind, fault.effect), (kind, effect), "{status} {body}");
    }
    let fault = created(MANIFEST, 422, &[], r#"{"message":"the token sesame-sesame is odd"}"#).unwrap_err();
    assert!(fault.message.contains("[redacted]") && !fault.message.contains("sesame"), "{fault}");
}

#[test]
fn waits_are_read_in_every_dialect() {
    let at = support::now().as_second();
    for (wait, headers, body, want) in [
        ("{ header = 'x-reset', dialect = 'seconds_left' }", vec![("x-reset", "42".to_owned())], "{}", 42),
        ("{ header = 'x-reset', dialect = 'epoch_seconds' }", vec![("x-reset", (at + 43).to_string())], "{}", 43),
        ("{ header = 'x-reset', dialect = 'epoch_millis' }", vec![("x-reset", format!("{}000", at + 44))], "{}", 44),
        ("{ header = 'x-reset', dialect = 'date' }", vec![("x-reset", "2026-01-02T03:04:50Z".to_owned())], "{}", 45),
        ("{ body = 'body.wait.seconds' }", vec![], r#"{"code":"slow","wait":{"seconds":46}}"#, 46),
        ("{ seconds = 47 }", vec![], "{}", 47),
        ("{ seconds = 5 }", vec![("retry-after", "48".to_owned())], "{}", 48),
    ] {
        let rule = format!("[[errors]]\nstatus = [400]\nkind = 'rate_limited'\nwait = {wait}\n\n[probe]");
        let manifest = MANIFEST.replacen("[probe]", &rule, 1);
        let headers: Vec<(&'static str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let fault = created(&manifest, 400, &headers, body).unwrap_err();
        assert_eq!((fault.kind, seconds(fault.retry)), (FaultKind::RateLimited, Some(want)), "{wait}");
    }
}

#[test]
fn a_used_up_quota_held_back_everything_for_a_minute() {
    let rule = "[[accounts.create.errors]]\nstatus = [429]\nwhen = \"text is containing('too many invitations')\"\noutcome = 'waiting'\nmessage = 'Full.'\n\n[[accounts.update]]";
    let manifest = Manifest::parse(&MANIFEST.replacen("[[accounts.update]]", rule, 1), Format::Toml).unwrap();
    let connector = built(&manifest, &json!({ "url": "https://api.example.com/v1" }));
    let quota = reply(429, &json!({ "message": "Too many invitations today" }), None);
    assert_eq!(connector.throttled(&quota), None);
    let haste = reply(429, &json!({ "message": "Slow down" }), None);
    assert!(connector.throttled(&haste).is_some());
}

#[test]
fn a_success_may_be_a_refusal_by_its_body() {
    let rule = "[[errors]]\nstatus = [200]\nwhen = \"body.status == 'error'\"\noutcome = 'waiting'\nmessage = 'Full.'\nwait = { seconds = 60 }\n\n[probe]";
    let manifest = MANIFEST.replacen("[probe]", rule, 1);
    match created(&manifest, 200, &[], r#"{"status":"error"}"#) {
        Ok(Created::Waiting { reason, until: Some(_) }) => assert_eq!(reason, "Full."),
        other => panic!("{other:?}"),
    }
    assert!(matches!(created(&manifest, 200, &[], r#"{"status":"ok","id":7}"#), Ok(Created::Done(_))));
}

#[test]
fn a_token_is_asked_for_once_until_it_ends_or_is_refused() {
    let auth = "[[auth]]\ntype = 'oauth2'\nsecret = 'token'\ntoken_url = 'https://auth.example.com/token'\nclient_id = 'gateway'\nparameters = { scope = 'all' }";
    let manifest = MANIFEST.replace("[[auth]]\ntype = \"bearer\"\nsecret = \"token\"", auth);
    let manifest = Manifest::parse(&manifest, Format::Toml).unwrap();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&asked);
    let mut sim = Scripted::new(move |call, _| {
        let given = call.headers["authorization"].to_str().unwrap();
        if call.url.host_str() == Some("auth.example.com") {
            assert!(given.starts_with("Basic ") && call.body.ends_with(b"scope=all"));
            let n = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            return reply(200, &json!({ "access_token": format!("t{n}"), "expires_in": 3600 }), None);
        }
        // The second token is revoked early.
        if given == "Bearer t1" && count.load(std::sync::atomic::Ordering::SeqCst) == 2 && call.name == "list groups" {
            return reply(401, &json!({}), None);
        }
        reply(200, &json!({ "users": [], "groups": [] }), None)
    });
    let connector = built(&manifest, &json!({ "url": "https://api.example.com/v1" }));
    let asked = || asked.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        block(connector.accounts().unwrap().list(&sim.cx(), None)).unwrap();
    }
    assert_eq!(asked(), 1);
    sim.later(3_590);
    block(connector.accounts().unwrap().list(&sim.cx(), None)).unwrap();
    assert_eq!(asked(), 2);
    block(connector.groups().unwrap().list(&sim.cx(), None)).unwrap();
    assert_eq!(asked(), 3);
}

#[test]
fn what_is_wrong_is_told_with_line_and_field() {
    let line = |part: &str| u32::try_from(MANIFEST.lines().position(|line| line.contains(part)).unwrap() + 1).unwrap();
    for (from, to, field, at, says) in [
        ("path = \"/me\"", "paht = \"/me\"", "probe.paht", line("path = \"/me\""), "did you mean `path`?"),
        (
            "method = \"PUT\"\npath = \"/users/{{ account.id }}/profile/\"",
            "method = \"PUTT\"\npath = \"/x\"",
            "accounts.update[0].method",
            line("[[accounts.update]]") + 1,
            "did you mean `PUT`?",
        ),
        (
            "id = \"item.id\"\nemail",
            "ID = \"item.id\"\nemail",
            "accounts.fields.ID",
            line("id = \"item.id\""),
            "did you mean `id`?",
        ),
        (
            "path = \"/users/{{ account.id }}\"",
            "path = \"/users/{account.id}\"",
            "accounts.get.path",
            line("[accounts.get]") + 2,
            "single braces",
        ),
        (
            "path = \"/users/{{ account.id }}\"",
            "path = \"/users/{{ account.number }}\"",
            "accounts.get.path",
            line("[accounts.get]") + 2,
            "of `account` there is id, login, email, invited",
        ),
        (
            "email = \"{{ person.email }}\", exact",
            "email = \"person.email\", exact",
            "accounts.find.query.email",
            line("query = { email = \"{{ person.email }}\", exact"),
            "write `{{ person.email }}`",
        ),
        (
            "id = \"item.id\"\nemail",
            "id = \"{{ item.id }}\"\nemail",
            "accounts.fields.id",
            line("id = \"item.id\""),
            "without the double braces",
        ),
        (
            "path = \"/users/{{ account.id }}\"",
            "path = \"/users/{{ acount.id }}\"",
            "accounts.get.path",
            line("[accounts.get]") + 2,
            "uses `acount`",
        ),
        (
            "value = \"person.email\"",
            "value = \"person.email | lowr\"",
            "accounts.requires[0].value",
            line("value = \"person.email\""),
            "lowr",
        ),
        (
            "secret = \"token\"",
            "secret = \"tokn\"",
            "auth[0].secret",
            line("secret = \"token\""),
            "not among `secrets`",
        ),
    ] {
        let text = MANIFEST.replacen(from, to, 1);
        assert_ne!(text, MANIFEST, "{from}");
        let problems = Manifest::parse(&text, Format::Toml).unwrap_err();
        let found = problems.iter().any(|one| one.field == field && one.line == Some(at) && one.message.contains(says));
        assert!(found, "{field} in line {at}: {problems:#?}");
    }
}

/// Of several who leave a group, one whose account is gone keeps nobody else in.
#[test]
fn a_batch_that_misses_one_member_removed_nobody_and_said_all_were() {
    let manifest = MANIFEST.replace(
        "path = \"/groups/{{ group.id }}/members/{{ member.id }}\"",
        "path = \"/groups/{{ group.id }}/members\"\njson = \"{{ members | pluck('id') }}\"\nbatch = 3",
    );
    let manifest = Manifest::parse(&manifest, Format::Toml).unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sent = Arc::clone(&seen);
    // Whoever left is not listed.
    let sim = Scripted::new(move |call, _| {
        let body = String::from_utf8_lossy(&call.body).into_owned();
        if call.method == "DELETE" {
            sent.lock().unwrap().push(body.clone());
        }
        match call.method.as_str() {
            "DELETE" if body.contains("gone") => reply(404, &json!({}), None),
            "DELETE" => with(204, HeaderMap::new(), ""),
            _ => reply(200, &json!({ "groups": [{ "id": "g", "name": "G" }], "members": [] }), None),
        }
    });
    let connector = built(&manifest, &json!({ "url": "https://api.example.com/v1" }));
    let member = |id: &str| AccountRef::Account { id: RemoteId::new(id), login: None };
    let leaving = [member("a"), member("gone"), member("b")];
    let groups = connector.groups().unwrap();
    let answers = block(groups.change_members(&sim.cx(), &RemoteId::new("g"), &[], &leaving));
    assert_eq!(answers, vec![Ok(Membership::Absent); 3]);
    assert_eq!(*seen.lock().unwrap(), [r#"["a","gone","b"]"#, r#"["a"]"#, r#"["gone"]"#, r#"["b"]"#]);
}
