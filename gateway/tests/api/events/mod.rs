//! Security events: streams, polls and what they hold, keys, and what is never told.

mod delivery;

use std::time::Duration;

use axum::body::Body;
use http::Request;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};

use crate::support::{GROUP, Gateway, Instance, PATCH, Reply, USER};

const EVENT: &str = "urn:ietf:params:scim:event:";

/// A stream of an instance, and a key that may poll it.
struct Feed {
    id: String,
    key: String,
}

/// A token whose signature holds under the published key.
#[derive(Debug)]
struct Set {
    jti: String,
    claims: Value,
}

impl Set {
    /// The events, as name and payload.
    fn events(&self) -> Vec<(&str, &Value)> {
        let events = self.claims["events"].as_object().unwrap();
        events.iter().map(|(uri, payload)| (uri.strip_prefix(EVENT).unwrap_or(uri), payload)).collect()
    }

    /// The events' names, each behind the path of what it is about.
    fn told(&self) -> String {
        let names: Vec<_> = self.events().into_iter().map(|(name, _)| name).collect();
        names.join("+")
    }

    fn uri(&self) -> &str {
        self.claims["sub_id"]["uri"].as_str().unwrap()
    }
}

async fn events_key(gateway: &Gateway, to: &Instance) -> String {
    let body = json!({"scopes": ["scim:events"]});
    let made = gateway.admin("POST", &format!("/instances/{}/keys", to.id), Some(body)).await.expect(201).json();
    format!("Bearer {}", made["key"].as_str().unwrap())
}

async fn stream(gateway: &Gateway, to: &Instance, body: Value) -> Value {
    gateway.admin("POST", &format!("/instances/{}/event-streams", to.id), Some(body)).await.expect(201).json()
}

async fn feed(gateway: &Gateway, to: &Instance, payload: &str) -> Feed {
    let made = stream(gateway, to, json!({"name": "n", "delivery": "poll", "payload": payload, "events": "all"})).await;
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["poll_url"], format!("http://127.0.0.1:8080{}/Events/{id}", to.base));
    Feed { id, key: events_key(gateway, to).await }
}

async fn state(gateway: &Gateway, to: &Instance, stream: &str) -> Value {
    gateway.admin("GET", &format!("/instances/{}/event-streams/{stream}", to.id), None).await.expect(200).json()
}

async fn ask(gateway: &Gateway, to: &Instance, feed: &Feed, body: Value) -> Reply {
    gateway.call("POST", &format!("{}/Events/{}", to.base, feed.id), &feed.key, Some(body)).await
}

/// Checks a token as a receiver does.
async fn checked(gateway: &Gateway, audience: &str, token: &str) -> Value {
    let keys = gateway.call("GET", "/.well-known/jwks.json", "", None).await.expect(200).json();
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("secevent+jwt"), Algorithm::ES256));
    let key = &keys["keys"][0];
    assert_eq!(key["kid"], header.kid.unwrap());
    assert!(key.get("d").is_none());
    let key = DecodingKey::from_ec_components(key["x"].as_str().unwrap(), key["y"].as_str().unwrap()).unwrap();
    let mut rules = Validation::new(Algorithm::ES256);
    rules.required_spec_claims.clear();
    rules.validate_exp = false;
    rules.set_audience(&[audience]);
    let claims: Value = jsonwebtoken::decode(token, &key, &rules).unwrap().claims;
    assert!(claims.get("sub").is_none() && claims.get("exp").is_none(), "{claims}");
    claims
}

async fn sets(gateway: &Gateway, to: &Instance, feed: &Feed, body: Value) -> Vec<Set> {
    let answer = ask(gateway, to, feed, body).await.expect(200);
    assert_eq!(answer.header("content-type"), "application/json");
    let audience = format!("http://127.0.0.1:8080{}/Events/{}", to.base, feed.id);
    let mut all = Vec::new();
    for (jti, token) in answer.json()["sets"].as_object().unwrap() {
        let claims = checked(gateway, &audience, token.as_str().unwrap()).await;
        assert_eq!(claims["jti"], *jti);
        assert_eq!(claims["iss"], format!("http://127.0.0.1:8080{}", to.base));
        assert_eq!(claims["sub_id"]["format"], "scim");
        all.push(Set { jti: jti.clone(), claims });
    }
    all
}

/// Everything that waits, acknowledged.
async fn drained(gateway: &Gateway, to: &Instance, feed: &Feed) -> Vec<Set> {
    let all = sets(gateway, to, feed, json!({"returnImmediately": true})).await;
    let ack: Vec<_> = all.iter().map(|set| &set.jti).collect();
    let rest = ask(gateway, to, feed, json!({"ack": ack, "returnImmediately": true})).await.expect(200).json();
    assert_eq!(rest, json!({"sets": {}, "moreAvailable": false}));
    all
}

async fn patch(gateway: &Gateway, to: &Instance, path: &str, operations: Value) -> Reply {
    gateway.scim(to, "PATCH", path, Some(json!({"schemas": [PATCH], "Operations": operations}))).await
}

/// A request that may be answered later.
async fn async_call(gateway: &Gateway, to: &Instance, method: &str, path: &str, body: Option<Value>) -> Reply {
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", to.base))
        .header("authorization", &to.key)
        .header("content-type", "application/scim+json")
        .header("prefer", "respond-async, wait=5");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    gateway.send(request.body(body).unwrap()).await
}

async fn last_operation(gateway: &Gateway, to: &Instance) -> String {
    let page = gateway.admin("GET", &format!("/instances/{}/operations?limit=1", to.id), None).await.expect(200).json();
    page["items"][0]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_verb_is_told_in_order_with_names_or_with_data() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let (notice, full) = (feed(&gateway, &to, "notice").await, feed(&gateway, &to, "full").await);
        let body = json!({"schemas": [USER], "userName": "ada@example.com", "externalId": "e1", "password": "hunter2",
            "name": {"givenName": "Ada", "familyName": "L"}});
        let made = gateway.scim(&to, "POST", "/Users", Some(body)).await.expect(201);
        let created_by = last_operation(&gateway, &to).await;
        let (id, first_tag) = (made.json()["id"].as_str().unwrap().to_owned(), made.header("etag").to_owned());
        let path = format!("/Users/{id}");
        let changed = patch(&gateway, &to, &path, json!([{"op": "replace", "path": "name.givenName", "value": "Augusta"}, {"op": "remove", "path": "externalId"}])).await.expect(200);
        let second_tag = changed.header("etag").to_owned();
        // What changes nothing is not told.
        patch(&gateway, &to, &path, json!([{"op": "replace", "path": "name.givenName", "value": "Augusta"}]))
            .await
            .expect(200);
        patch(&gateway, &to, &path, json!([{"op": "replace", "path": "active", "value": false}])).await.expect(200);
        let whole = json!({"schemas": [USER], "userName": "ada@example.com", "active": true, "title": "Dr"});
        gateway.scim(&to, "PUT", &path, Some(whole)).await.expect(200);
        let group = json!({"schemas": [GROUP], "displayName": "Ops", "members": [{"value": id}]});
        let group = gateway.scim(&to, "POST", "/Groups", Some(group)).await.expect(201).json()["id"]
            .as_str()
            .unwrap()
            .to_owned();
        let bob = gateway.user(&to, "bob@example.com").await;
        let group_path = format!("/Groups/{group}");
        patch(&gateway, &to, &group_path, json!([{"op": "add", "path": "members", "value": [{"value": bob}]}]))
            .await
            .expect(200);
        patch(&gateway, &to, &group_path, json!([{"op": "remove", "path": format!("members[value eq \"{bob}\"]")}]))
            .await
            .expect(200);
        gateway.scim(&to, "DELETE", &path, None).await.expect(204);
        gateway.scim(&to, "DELETE", &group_path, None).await.expect(204);

        for (feed, mode) in [(&notice, "notice"), (&full, "full")] {
            let all = drained(&gateway, &to, feed).await;
            let told: Vec<_> = all.iter().map(|set| (set.uri().to_owned(), set.told())).collect();
            let want: Vec<(String, String)> = [
                (&path, format!("prov:create:{mode}")),
                (&path, format!("prov:patch:{mode}")),
                (&path, format!("prov:patch:{mode}+prov:deactivate")),
                (&path, format!("prov:put:{mode}+prov:activate")),
                (&group_path, format!("prov:create:{mode}")),
                (&format!("/Users/{bob}"), format!("prov:create:{mode}")),
                (&group_path, format!("prov:patch:{mode}")),
                (&group_path, format!("prov:patch:{mode}")),
                (&group_path, format!("prov:patch:{mode}")),
                (&path, "prov:delete".to_owned()),
                (&group_path, "prov:delete".to_owned()),
            ]
            .into_iter()
            .map(|(uri, told)| (uri.clone(), told))
            .collect();
            // Events of different resources may stand in any order where they were written at the same time.
            let mut got = told.clone();
            let mut wanted = want.clone();
            for uri in [&path, &group_path] {
                let of = |list: &[(String, String)]| -> Vec<_> {
                    list.iter().filter(|(of, _)| of == uri).cloned().collect()
                };
                assert_eq!(of(&told), of(&want), "{mode}");
            }
            got.sort();
            wanted.sort();
            assert_eq!(got, wanted, "{mode}");
            for set in &all {
                assert!(!set.claims.to_string().contains("hunter2"));
                for (name, payload) in set.events() {
                    let has = |member: &str| payload.get(member).is_some();
                    assert_eq!(
                        (has("attributes"), has("data")),
                        (name.ends_with(":notice"), name.ends_with(":full")),
                        "{name}"
                    );
                    assert_eq!(has("version"), has("attributes") || has("data"), "{name}");
                }
            }
            let of_user: Vec<&Set> = all.iter().filter(|set| set.uri() == path).collect();
            assert_eq!(of_user[0].claims["txn"], *created_by);
            assert_eq!(of_user[0].claims["sub_id"]["externalId"], "e1");
            assert!(of_user[1].claims["sub_id"].get("externalId").is_none());
            let create = of_user[0].events()[0].1;
            let update = of_user[1].events()[0].1;
            assert_eq!((&create["version"], &update["version"]), (&json!(first_tag), &json!(second_tag)));
            let of_group: Vec<&Set> = all.iter().filter(|set| set.uri() == group_path).collect();
            let (joined, left) = (of_group[1].events()[0].1, of_group[2].events()[0].1);
            if mode == "notice" {
                let names: Vec<_> =
                    create["attributes"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
                assert!(["id", "userName", "externalId", "name"].iter().all(|name| names.contains(name)), "{names:?}");
                assert_eq!(update["attributes"], json!(["externalId", "name.givenName"]), "{update}");
                assert_eq!((&joined["attributes"], &left["attributes"]), (&json!(["members"]), &json!(["members"])));
            } else {
                let data = &create["data"];
                assert_eq!(
                    (&data["id"], &data["userName"], &data["name"]["givenName"]),
                    (&json!(id), &json!("ada@example.com"), &json!("Ada"))
                );
                assert_eq!(data["meta"]["version"], create["version"]);
                assert_eq!(update["data"]["schemas"], json!([PATCH]));
                assert_eq!(
                    update["data"]["Operations"],
                    json!([{"op": "remove", "path": "externalId"}, {"op": "replace", "path": "name.givenName", "value": "Augusta"}])
                );
                assert_eq!(of_group[0].events()[0].1["data"]["members"][0]["value"], id);
                assert_eq!(
                    joined["data"]["Operations"][0],
                    json!({"op": "add", "path": "members", "value": [{"value": bob, "$ref": format!("/Users/{bob}"), "type": "User"}]})
                );
                assert_eq!(
                    left["data"]["Operations"],
                    json!([{"op": "remove", "path": format!("members[value eq \"{bob}\"]")}])
                );
                let by_deletion = of_group[3].events()[0].1;
                assert_eq!(
                    by_deletion["data"]["Operations"],
                    json!([{"op": "remove", "path": format!("members[value eq \"{id}\"]")}])
                );
            }
        }
    }
}

#[tokio::test]
async fn a_group_too_large_for_an_event_is_told_by_name() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let mut members = Vec::new();
    for n in 0..1_001 {
        members.push(json!({"value": gateway.user(&to, &format!("u{n}@example.com")).await}));
    }
    let full = feed(&gateway, &to, "full").await;
    let body = json!({"schemas": [GROUP], "displayName": "All", "members": members});
    let made = gateway.scim(&to, "POST", "/Groups", Some(body)).await.expect(201).json();
    let path = format!("/Groups/{}", made["id"].as_str().unwrap());
    patch(&gateway, &to, &path, json!([{"op": "remove", "path": "members"}])).await.expect(200);
    let all = drained(&gateway, &to, &full).await;
    let told: Vec<_> = all.iter().map(Set::told).collect();
    assert_eq!(told, ["prov:create:notice", "prov:patch:full"]);
    assert!(all[0].events()[0].1["attributes"].as_array().unwrap().contains(&json!("members")));
    assert_eq!(all[1].events()[0].1["data"]["Operations"], json!([{"op": "replace", "path": "members", "value": []}]));
}

#[tokio::test]
async fn what_was_not_done_is_not_told() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({"protected": ["boss@example.com"]})).await;
        let notice = feed(&gateway, &to, "notice").await;
        let ada = gateway.user(&to, "ada@example.com").await;
        let boss = gateway.user(&to, "boss@example.com").await;
        assert_eq!(drained(&gateway, &to, &notice).await.len(), 2);
        let user = |name: &str| json!({"schemas": [USER], "userName": name});
        let off = json!({"schemas": [PATCH], "Operations": [{"op": "replace", "path": "active", "value": false}]});
        let nobody = json!({"schemas": [GROUP], "displayName": "G", "members": [{"value": "nobody"}]});
        for (method, path, body, status) in [
            ("POST", "/Users".to_owned(), Some(user("ADA@example.com")), 409),
            ("POST", "/Users".to_owned(), Some(json!({"schemas": [USER]})), 400),
            ("POST", "/Groups".to_owned(), Some(nobody), 400),
            ("PUT", format!("/Users/{ada}"), Some(user("boss@example.com")), 409),
            ("PATCH", format!("/Users/{boss}"), Some(off), 400),
            ("DELETE", "/Users/nobody".to_owned(), None, 404),
            ("DELETE", format!("/Users/{boss}"), None, 400),
        ] {
            gateway.scim(&to, method, &path, body.clone()).await.expect(status);
            // Refused at once, also where the answer might have come later.
            let refused = async_call(&gateway, &to, method, &path, body).await.expect(status);
            assert!(refused.header("set-txn").is_empty() && refused.json()["schemas"].is_array());
        }
        assert!(drained(&gateway, &to, &notice).await.is_empty());
    }
}

#[tokio::test]
async fn events_are_off_until_an_admin_turns_them_on() {
    for gateway in Gateway::everywhere().await {
        let (to, other) = (gateway.instance("paused", json!({})).await, gateway.instance("paused", json!({})).await);
        let keys = gateway.call("GET", "/.well-known/jwks.json", "", None).await.expect(200).json();
        assert_eq!(keys, json!({"keys": []}));
        let config = async || gateway.scim(&to, "GET", "/ServiceProviderConfig", None).await.expect(200).json();
        assert!(config().await.get("securityEvents").is_none());
        let user = |name: &str| Some(json!({"schemas": [USER], "userName": name}));
        let made = async_call(&gateway, &to, "POST", "/Users", user("a@example.com")).await.expect(201);
        assert!(made.header("preference-applied").is_empty());

        let feed = feed(&gateway, &to, "notice").await;
        let announced = config().await["securityEvents"].clone();
        assert_eq!(announced["asyncRequest"], "request");
        let uris = announced["eventUris"].as_array().unwrap();
        assert!(uris.contains(&json!(format!("{EVENT}prov:create:notice"))) && uris.len() == 8, "{announced}");
        let path = format!("/instances/{}/event-streams/{}", to.id, feed.id);
        gateway
            .admin("PATCH", &path, Some(json!({"events": ["prov:delete", "prov:put"], "payload": "full"})))
            .await
            .expect(200);
        let want = ["prov:delete", "prov:put:full", "prov:put:notice"].map(|name| format!("{EVENT}{name}"));
        assert_eq!(config().await["securityEvents"], json!({"asyncRequest": "none", "eventUris": want}));
        // Nobody would be told of a completion, so the answer is the usual one.
        async_call(&gateway, &to, "POST", "/Users", user("b@example.com")).await.expect(201);
        assert!(drained(&gateway, &to, &feed).await.is_empty(), "a stream gets what it asked for alone");

        let others = events_key(&gateway, &other).await;
        let at = format!("{}/Events/{}", to.base, feed.id);
        gateway.call("POST", &at, &others, Some(json!({}))).await.expect(401);
        let stolen = format!("{}/Events/{}", other.base, feed.id);
        gateway.call("POST", &stolen, &others, Some(json!({}))).await.expect(404);
        gateway.admin("GET", &format!("/instances/{}/event-streams/{}", other.id, feed.id), None).await.expect(404);
        gateway.admin("DELETE", &format!("/instances/{}/event-streams/{}", other.id, feed.id), None).await.expect(404);

        gateway.admin("DELETE", &path, None).await.expect(204);
        assert!(config().await.get("securityEvents").is_none());
        ask(&gateway, &to, &feed, json!({})).await.expect(404);
        async_call(&gateway, &to, "POST", "/Users", user("c@example.com")).await.expect(201);
    }
}

#[tokio::test]
async fn an_instance_sees_nothing_of_anothers_events() {
    for gateway in Gateway::everywhere().await {
        let (to, other) = (gateway.instance("paused", json!({})).await, gateway.instance("paused", json!({})).await);
        let (mine, theirs) = (feed(&gateway, &to, "full").await, feed(&gateway, &other, "full").await);
        gateway.user(&to, "ada@example.com").await;
        let waiting = sets(&gateway, &to, &mine, json!({"returnImmediately": true})).await;
        // Neither do they get them, nor can they take them away.
        let foreign = json!({"ack": [waiting[0].jti], "setErrs": {waiting[0].jti.clone(): {"err": "x"}}, "returnImmediately": true});
        assert!(sets(&gateway, &other, &theirs, foreign).await.is_empty());
        assert_eq!(drained(&gateway, &to, &mine).await[0].jti, waiting[0].jti);
        gateway.admin("DELETE", &format!("/instances/{}", to.id), None).await.expect(204);
        ask(&gateway, &to, &mine, json!({})).await.expect(401);
    }
}

#[tokio::test]
async fn keys_poll_or_provision_as_their_scopes_say() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let feed = feed(&gateway, &to, "notice").await;
    let path = format!("{}/Events/{}", to.base, feed.id);
    let users = format!("{}/Users", to.base);
    let both = gateway
        .admin("POST", &format!("/instances/{}/keys", to.id), Some(json!({"scopes": ["scim:read", "scim:events"]})))
        .await
        .expect(201)
        .json();
    let both = format!("Bearer {}", both["key"].as_str().unwrap());
    let quick = || Some(json!({"returnImmediately": true}));
    let user = || Some(json!({"schemas": [USER], "userName": "x@example.com"}));
    for (key, polls, reads, writes) in [
        ("", 401, 401, 401),
        (to.key.as_str(), 403, 200, 201),
        (feed.key.as_str(), 200, 403, 403),
        (both.as_str(), 200, 200, 403),
    ] {
        gateway.call("POST", &path, key, quick()).await.expect(polls);
        gateway.call("GET", &users, key, None).await.expect(reads);
        gateway.call("POST", &users, key, user()).await.expect(writes);
    }
    let refused = gateway.call("POST", &path, &to.key, quick()).await;
    assert!(refused.header("www-authenticate").contains("scope=\"scim:events\""));
    gateway.call("GET", &path, &feed.key, None).await.expect(405);
    gateway.call("POST", &format!("{}/Events", to.base), &feed.key, quick()).await.expect(403);
}

#[tokio::test]
async fn polls_acknowledge_refuse_and_get_the_rest_again() {
    for gateway in Gateway::everywhere().await {
        let to = gateway.instance("paused", json!({})).await;
        let feed = feed(&gateway, &to, "notice").await;
        for n in 0..5 {
            gateway.user(&to, &format!("u{n}@example.com")).await;
        }
        let page = |body: Value| sets(&gateway, &to, &feed, body);
        let first = page(json!({"maxEvents": 2})).await;
        assert_eq!(first.len(), 2);
        let answer = ask(&gateway, &to, &feed, json!({"maxEvents": 2})).await.expect(200).json();
        assert_eq!(answer["moreAvailable"], true);
        let again: Vec<_> = page(json!({"maxEvents": 2})).await.into_iter().map(|set| (set.jti, set.claims)).collect();
        let before: Vec<_> = first.iter().map(|set| (set.jti.clone(), set.claims.clone())).collect();
        assert_eq!(again, before, "what is not acknowledged comes again, and is the same");

        let nothing =
            ask(&gateway, &to, &feed, json!({"maxEvents": 0, "ack": [first[0].jti, "unknown"]})).await.expect(200);
        assert_eq!(nothing.json(), json!({"sets": {}, "moreAvailable": false}));
        let error = json!({first[1].jti.clone(): {"err": "invalid_request", "description": "no such user"}});
        let rest = page(json!({"setErrs": error})).await;
        assert_eq!(rest.len(), 3);
        let shown = state(&gateway, &to, &feed.id).await;
        assert_eq!(
            (&shown["pending"], &shown["delivered"], &shown["refused"], &shown["dropped"]),
            (&json!(3), &json!(1), &json!(1), &json!(0))
        );
        assert!(shown["last_error"].as_str().unwrap().contains("no such user"));
        let refusal = &shown["refusals"][0];
        assert_eq!((&refusal["jti"], &refusal["err"]), (&json!(first[1].jti), &json!("invalid_request")));

        for body in [
            json!([]),
            json!({"maxEvents": -1}),
            json!({"ack": "x"}),
            json!({"ack": vec!["x"; 1_001]}),
            json!({"setErrs": {"a": 1}}),
        ] {
            let refused = ask(&gateway, &to, &feed, body).await.expect(400).json();
            assert_eq!(refused["status"], "400");
        }
        assert_eq!(drained(&gateway, &to, &feed).await.len(), 3);
    }
}

#[tokio::test]
async fn a_poll_waits_for_the_first_event_and_not_for_ever() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let feed = feed(&gateway, &to, "notice").await;
    let mut poll = Box::pin(ask(&gateway, &to, &feed, json!({})));
    assert!(futures_util::poll!(&mut poll).is_pending());
    gateway.user(&to, "ada@example.com").await;
    let answer = tokio::join!(poll, ticking(&gateway, 4)).0.expect(200).json();
    assert_eq!(answer["sets"].as_object().unwrap().len(), 1);
    let ack: Vec<_> = answer["sets"].as_object().unwrap().keys().cloned().collect();
    let empty =
        tokio::join!(ask(&gateway, &to, &feed, json!({"ack": ack})), ticking(&gateway, 120)).0.expect(200).json();
    assert_eq!(empty, json!({"sets": {}, "moreAvailable": false}));
}

#[tokio::test]
async fn a_poll_that_waits_is_answered_when_the_gateway_ends() {
    let gateway = Gateway::start().await;
    let to = gateway.instance("paused", json!({})).await;
    let feed = feed(&gateway, &to, "notice").await;
    let mut poll = Box::pin(ask(&gateway, &to, &feed, json!({})));
    assert!(futures_util::poll!(&mut poll).is_pending());
    gateway.app.events.close();
    assert_eq!(poll.await.expect(200).json(), json!({"sets": {}, "moreAvailable": false}));
}

/// Lets time pass in steps of half a second, slowly enough for what waits to look around in each.
async fn ticking(gateway: &Gateway, steps: u32) {
    for _ in 0..steps {
        tokio::time::sleep(Duration::from_millis(5)).await;
        gateway.clock.advance(Duration::from_millis(500));
    }
}
