//! Whole requests that nobody would send: methods, URLs, queries, headers and bodies from a seed, through the whole
//! router. Every answer is in SCIM's form, none is an error of ours, and the directory works afterwards.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Request, Uri};
use serde_json::json;

use crate::support::{Gateway, Instance, Reply};

#[path = "../../scim/tests/fuzz/chance.rs"]
#[allow(dead_code, reason = "shared with the fuzzer of the protocol")]
mod chance;
#[path = "../../scim/tests/fuzz/grammar.rs"]
#[allow(dead_code, reason = "shared with the fuzzer of the protocol")]
mod grammar;

use chance::Chance;

/// Requests of the run that is part of every test run.
const REQUESTS: usize = 4_000;

/// Parts of paths.
const PARTS: [&str; 32] = [
    "/Users",
    "/users",
    "/Groups",
    "/",
    "//",
    "/.search",
    "/Bulk",
    "/bulk",
    "/Me",
    "/ServiceProviderConfig",
    "/ResourceTypes",
    "/ResourceTypes/User",
    "/Schemas",
    "/Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
    "/%00",
    "/%2F",
    "/..",
    "/%2e%2e",
    "/.",
    "/%",
    "/%zz",
    "/%C3%28",
    "/%F0%9F%98%80",
    "/null",
    "/-1",
    "/Events",
    "/$metadata",
    "/;a=b",
    "/Users%2FGroups",
    "/00000000-0000-4000-8000-000000000000",
    "/3b1f2c4d00004000800000000000beef",
    "/*",
];

const METHODS: [&str; 12] =
    ["GET", "GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "PATCH", "DELETE", "OPTIONS", "BREW"];

const HEADERS: [&str; 16] = [
    "accept",
    "content-type",
    "if-match",
    "if-none-match",
    "prefer",
    "x-request-id",
    "content-length",
    "transfer-encoding",
    "accept-encoding",
    "content-encoding",
    "user-agent",
    "host",
    "expect",
    "range",
    "cookie",
    "x-forwarded-for",
];

const TEXTS: [&str; 20] = [
    "application/scim+json",
    "application/json; charset=utf-8",
    "text/html",
    "*/*",
    "application/json;q=0",
    "W/\"1\"",
    "\"1\"",
    "*",
    "W/\"99999999999999999999\"",
    "respond-async",
    "return=minimal",
    "gzip",
    "0",
    "-1",
    "chunked",
    "bytes=0-1",
    ";;;,,,===",
    "\u{fffd}",
    "",
    "application/scim+json; charset=\"utf-16\"",
];

fn request(chance: &mut Chance, to: &Instance, ids: &[String]) -> Option<Request<Body>> {
    let mut path = String::new();
    for _ in 0..1 + chance.below(3) {
        match chance.below(4) {
            0 => path.push_str(&format!("/Users/{}", ids.get(chance.below(ids.len()))?)),
            _ => path.push_str(chance.of(&PARTS)),
        }
    }
    if chance.one_in(6) {
        path = chance.spoil(&path, &PARTS, "/Users/.search");
    }
    let mut url = format!("{}{path}", to.base);
    if chance.one_in(2) {
        let query = grammar::query(chance);
        let query = if chance.one_in(3) { chance.spoil(&query, &grammar::WORDS, "count=1") } else { query };
        url = format!("{url}?{query}");
    }
    let coarse: String = url.chars().map(|c| if c == ' ' { '+' } else { c }).take(20_000).collect();
    // What no HTTP server would hand on cannot be sent either.
    let uri: Uri = coarse.parse().ok()?;
    let mut made = Request::builder().method(chance.of(&METHODS)).uri(uri);
    match chance.below(20) {
        0 => {}
        1 => made = made.header("authorization", "Bearer nonsense"),
        2 => made = made.header("authorization", "Basic %%%"),
        _ => made = made.header("authorization", &to.key),
    }
    for _ in 0..chance.below(4) {
        let name = HeaderName::from_static(chance.of(&HEADERS));
        let text = chance.of(&TEXTS).to_owned();
        let text = if chance.one_in(3) { chance.spoil(&text, &TEXTS, "W/\"1\"") } else { text };
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            made = made.header(name, value);
        }
    }
    let body = match chance.below(6) {
        0 | 1 => String::new(),
        2 => grammar::body(chance),
        3 => grammar::patch(chance),
        4 => grammar::search(chance),
        _ => {
            let body = grammar::patch(chance);
            chance.spoil(&body, &grammar::KEYS, "{\"Operations\":[{\"method\":\"POST\",\"path\":\"/Users\"}]}")
        }
    };
    made.body(Body::from(body)).ok()
}

fn check(said: &str, reply: &Reply) {
    let status = reply.status.as_u16();
    // 501 is an honest answer to what is not offered.
    assert!(status < 500 || status == 501, "{said}: {status} {}", String::from_utf8_lossy(&reply.bytes));
    if status >= 400 && !reply.bytes.is_empty() {
        let error = reply.json();
        assert_eq!(error["status"], status.to_string(), "{said}: {error}");
        assert!(error["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{said}: {error}");
    }
}

#[tokio::test]
async fn no_request_is_too_odd_for_the_router() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(gateway.user(&to, &format!("u{n}@example.com")).await);
    }
    let mut chance = Chance::new(7);
    let (mut sent, mut by_status) = (0, std::collections::BTreeMap::new());
    while sent < REQUESTS {
        let Some(request) = request(&mut chance, &to, &ids) else { continue };
        let said = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
        let reply = gateway.send(request).await;
        check(&said, &reply);
        *by_status.entry(reply.status.as_u16()).or_insert(0) += 1;
        sent += 1;
    }
    println!("router: {sent} requests, answered {by_status:?}");
    // Nothing but refusals would be no test of what comes behind them.
    assert!(by_status.get(&200).is_some_and(|n| *n > REQUESTS / 50), "{by_status:?}");
    assert!(by_status.get(&400).is_some_and(|n| *n > REQUESTS / 50), "{by_status:?}");
    gateway.user(&to, "after-all@example.com").await;
}
