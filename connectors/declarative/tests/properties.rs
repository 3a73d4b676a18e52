//! What holds whatever a manifest, a record or a target says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by failing")]

mod support;

use connector_sdk::{AccountRef, Cx, Fault, FaultKind, GroupWant, Page, PageToken, Person, RemoteId};
use declarative::{Format, Manifest, Sample};
use http::Method;
use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Scripted, block, built};

const MANIFEST: &str = include_str!("shapes.toml");

fn manifest() -> Manifest {
    Manifest::parse(MANIFEST, Format::Toml).unwrap()
}

fn settings() -> Value {
    json!({ "url": "https://api.example.com/v1" })
}

/// Texts that mean something to URLs, JSON, XML, forms, headers, templates and shells.
fn hostile() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "../..",
        "..",
        ".",
        "/",
        "%2e%2e",
        "%2F",
        "?admin=true",
        "#x",
        "&role=admin",
        "a=b",
        "\"}",
        "{\"a\":1}",
        "\\",
        "\",\"admin\":true,\"x\":\"",
        "<admin/>",
        "]]>",
        "&lt;",
        "</name><admin>1</admin><name>",
        "{{ 7 }}",
        "{% x %}",
        "\r\nX-Admin: 1",
        "\0",
        "\u{202e}",
        "é",
        "💥",
        "'; DROP TABLE users; --",
        "$(reboot)",
        " ",
        "@evil.example",
        "//evil.example",
        "https://evil.example/",
        ".\t.",
        ".\n.",
        "+",
    ]);
    prop::collection::vec(prop_oneof![3 => nasty.prop_map(str::to_owned), 1 => ".{0,8}"], 1..4)
        .prop_map(|parts| parts.concat())
}

/// The structure of a JSON value, its texts left out.
fn shape(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), shape(value))).collect(),
        Value::String(_) => json!("text"),
        other => other.clone(),
    }
}

/// The tags of XML, their text left out.
fn tags(xml: &str) -> Vec<String> {
    let mut all = Vec::new();
    for part in xml.split('<').skip(1) {
        all.push(part.split('>').next().unwrap_or_default().to_owned());
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_hostile_value_never_changes_the_shape_of_a_request(value in hostile()) {
        // What is empty counts as missing, and is left out.
        prop_assume!(!value.is_empty());
        let manifest = manifest();
        let mut tame = Sample::default();
        tame.person.user_name = "ada".to_owned();
        let mut wild = tame.clone();
        wild.person.user_name = value.clone();
        wild.person.email = Some(value.clone());
        wild.person.display_name = Some(value.clone());
        wild.account_id = value.clone();
        wild.account_login = value.clone();
        wild.group_id = value.clone();
        wild.group_name = value.clone();
        let settings = settings();
        let before = manifest.preview(&settings, &tame);
        let after = manifest.preview(&settings, &wild);
        prop_assert_eq!(before.len(), after.len());
        for (tame, wild) in before.iter().zip(&after) {
            prop_assert!(tame.problem.is_none(), "{:?}", tame);
            if wild.problem.is_some() {
                // Refused: that is allowed where no such value can stand.
                continue;
            }
            let (one, other) = (url::Url::parse(&tame.url).unwrap(), url::Url::parse(&wild.url).unwrap());
            prop_assert_eq!(one.origin(), other.origin());
            prop_assert_eq!(one.path().split('/').count(), other.path().split('/').count(), "{}", wild.url);
            prop_assert!(other.path().starts_with("/v1/"));
            prop_assert!(other.fragment().is_none());
            let names = |url: &url::Url| url.query_pairs().map(|(name, _)| name.into_owned()).collect::<Vec<_>>();
            prop_assert_eq!(names(&one), names(&other));
            for segment in other.path().split('/') {
                prop_assert!(segment != "." && segment != "..");
            }
            let keys = |headers: &[(String, String)]| headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            prop_assert_eq!(keys(&tame.headers), keys(&wild.headers));
            let kind = wild.headers.iter().find(|(name, _)| name == "content-type").map(|(_, kind)| kind.as_str());
            let (one, other) = (tame.body.clone().unwrap_or_default(), wild.body.clone().unwrap_or_default());
            match kind {
                Some("application/json") => {
                    let read = |text: &str| serde_json::from_str::<Value>(text).map(|value| shape(&value));
                    prop_assert_eq!(read(&one).unwrap(), read(&other).unwrap());
                }
                Some("application/xml") => prop_assert_eq!(tags(&one), tags(&other), "{}", other),
                Some("application/x-www-form-urlencoded") => {
                    let read = |text: &str| {
                        url::form_urlencoded::parse(text.as_bytes()).map(|(name, _)| name.into_owned()).collect::<Vec<_>>()
                    };
                    prop_assert_eq!(read(&one), read(&other));
                }
                _ => prop_assert_eq!(one, other),
            }
        }
    }

    #[test]
    fn a_value_arrives_as_it_is(value in "[^\\p{C}]{1,20}") {
        prop_assume!(!value.trim().is_empty() && value != "." && value != "..");
        let mut sample = Sample { account_id: value.clone(), ..Sample::default() };
        sample.person.user_name = value.clone();
        for one in manifest().preview(&settings(), &sample) {
            if one.operation == "accounts.get" {
                let url = url::Url::parse(&one.url).unwrap();
                let last = url.path().rsplit('/').next().unwrap().to_owned();
                let encoded = format!("x={}", last.replace('+', "%2B"));
                let (_, decoded) = url::form_urlencoded::parse(encoded.as_bytes()).next().unwrap();
                prop_assert_eq!(decoded.into_owned(), value.clone());
            }
            if one.operation == "accounts.create" {
                let body: Value = serde_json::from_str(&one.body.unwrap()).unwrap();
                prop_assert_eq!(&body["name"], &json!(value.clone()));
            }
        }
    }

    #[test]
    fn any_text_read_as_a_manifest_never_panics(text in ".{0,400}") {
        let _ = Manifest::parse(&text, Format::Toml);
        let _ = Manifest::parse(&text, Format::Yaml);
    }

    #[test]
    fn a_manifest_with_a_hole_or_a_smudge_never_panics(at in 0..MANIFEST.len(), length in 0..60_usize, put in ".{0,6}") {
        let start = (0..=at).rev().find(|at| MANIFEST.is_char_boundary(*at)).unwrap_or(0);
        let end = (start + length..=MANIFEST.len()).find(|at| MANIFEST.is_char_boundary(*at)).unwrap_or(MANIFEST.len());
        let text = format!("{}{put}{}", &MANIFEST[..start], &MANIFEST[end..]);
        match Manifest::parse(&text, Format::Toml) {
            Ok(manifest) => {
                let _ = manifest.preview(&settings(), &Sample::default());
            }
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }
}

/// Reads a listing to its end, or to the fault that ends it.
fn read_all(
    sim: &Scripted,
    list: impl Fn(&Cx<'_>, Option<&PageToken>) -> Result<Page<connector_sdk::Account>, Fault>,
) -> Result<usize, Fault> {
    let mut page: Option<PageToken> = None;
    let mut all = 0;
    for _ in 0..100_000 {
        let listed = list(&sim.cx(), page.as_ref())?;
        all += listed.items.len();
        page = listed.next;
        if page.is_none() {
            return Ok(all);
        }
    }
    panic!("the listing does not end");
}

#[test]
fn a_listing_that_turns_in_circles_is_cut_off() {
    let user = |n: usize| json!({ "id": n.to_string(), "email": format!("u{n}@x.example") });
    for (paging, answer) in [
        // A cursor that stays, cursors that alternate, a page that is always full, an offset that is ignored.
        ("{ type = 'cursor', parameter = 'cursor', next = 'body.next' }", 0),
        ("{ type = 'cursor', parameter = 'cursor', next = 'body.next' }", 1),
        ("{ type = 'page', parameter = 'page', size = 2 }", 2),
        ("{ type = 'offset', parameter = 'offset', size = 2 }", 2),
        ("{ type = 'page', parameter = 'page', size = 2, more = 'true' }", 3),
        ("{ type = 'link', parameter = 'cursor' }", 4),
    ] {
        let text =
            MANIFEST.replace("{ type = 'page', parameter = 'page', size_parameter = 'per_page', size = 2 }", paging);
        assert!(text.contains(paging));
        let manifest = Manifest::parse(&text, Format::Toml).unwrap();
        let sim = Scripted::new(move |call, n| {
            assert_eq!(call.method, Method::GET);
            let body = match answer {
                0 => json!({ "users": [user(n)], "next": "again" }),
                1 => json!({ "users": [user(n)], "next": (["a", "b", "c"][n % 3]) }),
                2 => json!({ "users": [user(1), user(2)] }),
                3 => json!({ "users": [user(2 * n), user(2 * n + 1)] }),
                _ => json!({ "users": [user(n)] }),
            };
            let link = (answer == 4).then(|| "<https://api.example.com/v1/users?cursor=same>; rel=\"next\"".to_owned());
            support::reply(200, &body, link.as_deref())
        });
        let connector = built(&manifest, &settings());
        let fault = read_all(&sim, |cx, page| block(connector.accounts().unwrap().list(cx, page))).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Malformed, "{paging}");
    }
}

#[test]
fn an_address_in_an_answer_never_decides_where_the_credential_goes() {
    let text = MANIFEST.replace(
        "{ type = 'page', parameter = 'page', size_parameter = 'per_page', size = 2 }",
        "{ type = 'link', parameter = 'cursor' }",
    );
    let manifest = Manifest::parse(&text, Format::Toml).unwrap();
    let sim = Scripted::new(|call, n| {
        assert_eq!(call.url.host_str(), Some("api.example.com"));
        assert_eq!(call.url.path(), "/v1/users");
        let link = (n == 0).then_some("<https://evil.example/steal?cursor=two>; rel=\"next\"");
        support::reply(200, &json!({ "users": [{ "id": n.to_string() }] }), link)
    });
    let connector = built(&manifest, &settings());
    let all = read_all(&sim, |cx, page| block(connector.accounts().unwrap().list(cx, page))).unwrap();
    assert_eq!(all, 2);
}

#[test]
fn a_value_that_cannot_be_a_segment_is_refused_and_not_sent() {
    let manifest = manifest();
    for id in ["", ".", ".."] {
        let sim = Scripted::new(|_, _| panic!("it was sent"));
        let connector = built(&manifest, &settings());
        let at = AccountRef::Account { id: RemoteId::new(id), login: None };
        let fault = block(connector.accounts().unwrap().get(&sim.cx(), &at)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Incomplete, "{id:?}");
    }
    let sim = Scripted::new(|call, _| {
        assert_eq!(call.method, Method::GET);
        support::reply(200, &json!({ "users": [], "groups": [] }), None)
    });
    let connector = built(&manifest, &settings());
    let fault = block(connector.accounts().unwrap().create(&sim.cx(), &Person::named("no address"))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Incomplete);
    let fault = block(connector.groups().unwrap().create(&sim.cx(), &GroupWant::named(".."))).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Incomplete);
}
