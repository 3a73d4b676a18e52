//! The connector `scim` at servers of several kinds: what is sent of a person, what becomes of refused batches, lists
//! that move, versions, and a PATCH that is announced and missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy takes only the #[test] functions for tests, not what they share"
)]

mod support;

use connector_sdk::kit::World;
use connector_sdk::{
    AccountChange, AccountRef, AccountStatus, Created, Cx, FaultKind, GroupChange, GroupCreated, GroupUpdated,
    GroupWant, Membership, Person, Removed, Transport, Updated,
};
use serde_json::{Value, json};
use simulators::Limits;
use support::{BASE, Built};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

async fn server(settings: Value, knobs: Value) -> Built {
    let built = support::build("scim", Limits::None, &settings, false, |_| Vec::new());
    if knobs.as_object().is_some_and(|knobs| !knobs.is_empty()) {
        built.sim.control("POST", "/_sim/set", knobs).await.unwrap();
    }
    built
}

fn cx(built: &Built) -> Cx<'_> {
    Cx::new(built.sim.as_ref() as &dyn Transport, built.sim.clock.now())
}

fn person(document: Value) -> Person {
    let mut person = Person::named(document["userName"].as_str().unwrap());
    person.email = document["emails"][0]["value"].as_str().map(str::to_owned);
    person.display_name = document["displayName"].as_str().map(str::to_owned);
    person.attributes = document.as_object().cloned().unwrap();
    person
}

async fn create(built: &Built, document: Value) -> AccountRef {
    let created = built.connector.accounts().unwrap().create(&cx(built), &person(document)).await;
    match created {
        Ok(Created::Done(account)) => account.reference().unwrap(),
        other => panic!("{other:?}"),
    }
}

async fn shown(built: &Built, at: &AccountRef) -> Value {
    let AccountRef::Account { id, .. } = at else { panic!("{at:?}") };
    let offer = built.sim.simulator.offer(BASE);
    let token = offer["secrets"]["token"].as_str().unwrap();
    let request = http::Request::builder()
        .uri(format!("{BASE}/scim/v2/Users/{id}"))
        .header("authorization", format!("Bearer {token}"))
        .body(bytes::Bytes::new())
        .unwrap();
    serde_json::from_slice(built.sim.simulator.handle(request).await.unwrap().body()).unwrap()
}

fn ada() -> Value {
    json!({
        "userName": "ada@example.com", "externalId": "e1", "active": false, "displayName": "Ada L", "password": "x",
        "name": { "givenName": "Ada", "familyName": "L" }, "favouriteColour": "blue", "title": "Analyst",
        "roles": [{ "value": "root" }], "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }],
        (ENTERPRISE): { "department": "Engines", "favouriteFood": "tea" },
        "urn:example:other": { "a": "b" },
    })
}

#[tokio::test]
async fn what_the_server_declares_is_sent_and_nothing_else() {
    for (settings, there, absent) in [
        (json!({}), vec!["title", ENTERPRISE], vec!["favouriteColour", "urn:example:other", "roles", "password"]),
        (json!({ "attributes": "core" }), vec!["title"], vec![ENTERPRISE, "favouriteColour", "roles"]),
        (json!({ "attributes": "all" }), vec!["title", ENTERPRISE, "favouriteColour"], vec!["roles", "password"]),
        (json!({ "send_roles": true }), vec!["roles"], vec!["favouriteColour"]),
    ] {
        let built = server(settings.clone(), json!({})).await;
        let at = create(&built, ada()).await;
        let shown = shown(&built, &at).await;
        assert_eq!(shown["active"], true, "{settings}: who is created has access");
        assert_eq!(shown["externalId"], "e1", "{settings}");
        for name in there {
            assert!(!shown[name].is_null(), "{settings}: {name} is missing in {shown}");
        }
        for name in absent {
            assert!(shown[name].is_null(), "{settings}: {name} is in {shown}");
        }
        if settings == json!({}) {
            assert_eq!(shown[ENTERPRISE], json!({ "department": "Engines" }));
        }
    }
}

#[tokio::test]
async fn what_differs_is_written_by_patch_and_by_put_and_nothing_more() {
    for knobs in [
        json!({}),
        json!({ "patch": false }),
        json!({ "patch": false, "patch_told": false }),
        json!({ "patch_204": true, "path_filters": false }),
    ] {
        let built = server(json!({}), knobs.clone()).await;
        let at = create(&built, ada()).await;
        let accounts = built.connector.accounts().unwrap();
        let mut document = ada();
        document["title"] = json!("Countess");
        document[ENTERPRISE]["department"] = json!("Poetry");
        document["userName"] = json!("ada.l@example.com");
        let mut change = AccountChange::default();
        change.person = Some(Box::new(person(document)));
        let mut versions = Vec::new();
        for _ in 0..2 {
            match accounts.update(&cx(&built), &at, &change).await {
                Ok(Updated::Done(account)) => assert_eq!(account.login.as_deref(), Some("ada.l@example.com")),
                other => panic!("{knobs}: {other:?}"),
            }
            let shown = shown(&built, &at).await;
            assert_eq!(shown["title"], "Countess", "{knobs}");
            assert_eq!(shown[ENTERPRISE]["department"], "Poetry", "{knobs}");
            assert_eq!(shown["name"]["givenName"], "Ada", "{knobs}: what did not change is as it was");
            versions.push(shown["meta"]["version"].clone());
        }
        assert_eq!(versions[0], versions[1], "{knobs}: the second time nothing is written");
        // The first answer of 501 turned it to PUT for good.
        match accounts.set_active(&cx(&built), &at, false).await {
            Ok(Updated::Done(account)) => assert_eq!(account.status, AccountStatus::Suspended, "{knobs}"),
            other => panic!("{knobs}: {other:?}"),
        }
        let groups = built.connector.groups().unwrap();
        let made = groups.create(&cx(&built), &GroupWant::named("Crew")).await;
        let Ok(GroupCreated::Done(group)) = made else { panic!("{knobs}: {made:?}") };
        let added = groups.change_members(&cx(&built), &group.id, std::slice::from_ref(&at), &[]).await;
        assert_eq!(added, [Ok(Membership::Present)], "{knobs}");
        let mut rename = GroupChange::default();
        rename.name = Some("Band".to_owned());
        let renamed = groups.update(&cx(&built), &group.id, &rename).await;
        assert!(matches!(renamed, Ok(GroupUpdated::Done(_))), "{knobs}: {renamed:?}");
        let members = groups.members(&cx(&built), &group.id, None).await.unwrap().items;
        assert_eq!(members.len(), 1, "{knobs}: a PUT of the name keeps the members");
    }
}

#[tokio::test]
async fn of_a_refused_batch_every_sound_member_is_changed() {
    for (knobs, bulk) in [(json!({}), true), (json!({ "bulk": 0 }), false)] {
        let built = server(json!({}), knobs.clone()).await;
        let groups = built.connector.groups().unwrap();
        let Ok(GroupCreated::Done(group)) = groups.create(&cx(&built), &GroupWant::named("Crew")).await else {
            panic!("no group")
        };
        let mut people = Vec::new();
        for name in ["ada", "bob", "cyd"] {
            people.push(create(&built, json!({ "userName": format!("{name}@example.com") })).await);
        }
        let gone = people[1].clone();
        assert_eq!(built.connector.accounts().unwrap().remove(&cx(&built), &gone).await, Ok(Removed::Done));
        let answers = groups.change_members(&cx(&built), &group.id, &people, &[]).await;
        let kinds: Vec<_> = answers.iter().map(|answer| answer.as_ref().map_err(|fault| fault.kind)).collect();
        let there = &Membership::Present;
        assert_eq!(kinds, [Ok(there), Err(FaultKind::Refused), Ok(there)], "{knobs}");
        let calls = built.sim.control("GET", "/_sim/calls", Value::Null).await.unwrap();
        let bulks = calls.as_array().unwrap().iter().filter(|call| call["path"] == "/scim/v2/Bulk").count();
        assert_eq!(bulks, usize::from(bulk), "{knobs}");
    }
}

#[tokio::test]
async fn a_list_that_moves_under_the_walk_says_that_it_is_not_complete() {
    for (cursor, complete) in [(false, false), (true, true)] {
        let built = server(json!({ "page_size": 10 }), json!({ "cursor": cursor })).await;
        built.sim.control("POST", "/_sim/load", json!({ "accounts": 25, "groups": 0 })).await.unwrap();
        let accounts = built.connector.accounts().unwrap();
        let first = accounts.list(&cx(&built), None).await.unwrap();
        assert_eq!((first.items.len(), first.complete), (10, true));
        let leaver = first.items[0].reference().unwrap();
        accounts.remove(&cx(&built), &leaver).await.unwrap();
        let mut all = first.items.len();
        let mut whole = first.complete;
        let mut page = first.next;
        while let Some(next) = page {
            let part = accounts.list(&cx(&built), Some(&next)).await.unwrap();
            all += part.items.len();
            whole &= part.complete;
            page = part.next;
        }
        assert_eq!(whole, complete, "cursor {cursor}");
        assert_eq!(all, 25, "cursor {cursor}: nobody was missed, and that the list moved was told");
    }
}

#[tokio::test]
async fn who_changed_meanwhile_is_not_overwritten() {
    let built = server(json!({}), json!({ "patch": false })).await;
    let at = create(&built, ada()).await;
    let fault = json!([{
        "match": { "method": "PUT" },
        "do": { "status": 412, "body": { "status": "412", "detail": "the resource has changed" } },
    }]);
    built.sim.control("POST", "/_sim/faults", fault).await.unwrap();
    let answer = built.connector.accounts().unwrap().set_active(&cx(&built), &at, false).await;
    let fault = answer.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::Unavailable, connector_sdk::Retry::Soon), "{fault:?}");
}

#[tokio::test]
async fn settings_that_cannot_be_are_named() {
    let entry = connectors::builtin().into_iter().find(|entry| entry.name == "scim").unwrap();
    let secrets = |name: &str| connector_sdk::Secrets::new([(name.to_owned(), "s".to_owned().into())]);
    for (settings, secret, field) in [
        (json!({}), "token", "base_url"),
        (json!({ "base_url": "https://h.example/scim?x=1" }), "token", "base_url"),
        (json!({ "base_url": "https://h.example/scim" }), "password", "token"),
        (json!({ "base_url": "https://h.example/scim", "auth": "basic" }), "password", "auth_user"),
        (json!({ "base_url": "https://h.example/scim", "auth": "header" }), "token", "auth_header"),
        (json!({ "base_url": "https://h.example/scim", "auth": "oauth2" }), "client_secret", "token_url"),
        (json!({ "base_url": "https://h.example/scim", "headers": "no colon" }), "token", "headers"),
        (json!({ "base_url": "https://h.example/scim", "headers": "a: b\nAuthorization: x" }), "token", "headers"),
        (json!({ "base_url": "https://h.example/scim", "max_members_per_patch": 0 }), "token", "max_members_per_patch"),
    ] {
        match entry.build(&settings, &secrets(secret)) {
            Err(error) => assert_eq!(error.field, field, "{settings}: {error}"),
            Ok(_) => panic!("{settings} was taken"),
        }
    }
}
