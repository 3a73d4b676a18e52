//! What is asked before and beside a request: looks before writes, who the credential is, whether an object counts,
//! and by what a person is known.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test reports by failing")]

mod support;

use connector_sdk::{AccountRef, Created, Effect, Evidence, FaultKind, Person, RemoteId, Removed, Retry};
use declarative::{Format, Manifest};
use serde_json::{Value, json};
use support::{Scripted, block, built, reply};

const MANIFEST: &str = include_str!("shapes.toml");
const LOOK: &str = "[groups.remove.before]\nmethod = 'GET'\npath = '/groups/{{ group.id }}/projects'\n\n[[groups.remove.before.errors]]\nstatus = [200]\nwhen = 'body.projects | length > 0'\noutcome = 'action_required'\ncode = 'in_use'\nmessage = 'It holds projects.'\n\n[groups.members]";

fn settings() -> Value {
    json!({ "url": "https://api.example.com/v1" })
}

fn manifest(changes: &[(&str, &str)]) -> Manifest {
    let mut text = MANIFEST.to_owned();
    for (from, to) in changes {
        let changed = text.replacen(from, to, 1);
        assert_ne!(text, changed, "{from}");
        text = changed;
    }
    Manifest::parse(&text, Format::Toml).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn person() -> Person {
    let mut person = Person::named("ada@x.example");
    person.email = Some(person.user_name.clone());
    person
}

#[test]
fn what_is_looked_for_before_decides_whether_a_write_is_sent() {
    let manifest = manifest(&[("[groups.members]", LOOK)]);
    // What the look answers, and what comes of the removal: its outcome, and how many calls were made.
    for (status, body, calls) in [
        (200, json!({ "projects": [] }), 2),
        (200, json!({ "projects": [1] }), 1),
        (503, json!({}), 1),
        // The group is not there: the probe confirms that the whole still is, and the list that the group is not in it.
        (404, json!({}), 3),
    ] {
        let shown = body.clone();
        let sim = Scripted::new(move |call, _| match (call.method.as_str(), call.name) {
            ("GET", "look before") => reply(status, &body, None),
            ("GET", _) => reply(200, &json!({ "name": "gateway", "groups": [] }), None),
            _ => reply(200, &json!({}), None),
        });
        let connector = built(&manifest, &settings());
        let removed = block(connector.groups().unwrap().remove(&sim.cx(), &RemoteId::new("g1")));
        assert_eq!(sim.count(), calls, "{status} {shown}: {removed:?}");
        match (status, removed) {
            (200, Ok(Removed::Done)) if calls == 2 => {}
            (200, Err(fault)) => assert_eq!((fault.retry, fault.effect), (Retry::AfterOperator, Effect::None)),
            (503, Err(fault)) => assert_eq!((fault.kind, fault.effect), (FaultKind::Unavailable, Effect::None)),
            (404, Ok(Removed::AlreadyGone)) => {}
            (_, other) => panic!("{status}: {other:?}"),
        }
    }
}

#[test]
fn a_look_writes_nothing_and_has_none_before_it() {
    for look in [
        LOOK.replacen("method = 'GET'", "method = 'DELETE'", 1),
        LOOK.replacen(
            "[[groups.remove.before.errors]]",
            "[groups.remove.before.before]\nmethod = 'GET'\npath = '/me'\n\n[[groups.remove.before.errors]]",
            1,
        ),
    ] {
        let text = MANIFEST.replacen("[groups.members]", &look, 1);
        let problems = Manifest::parse(&text, Format::Toml).unwrap_err();
        assert!(problems.iter().any(|one| one.message.contains("only reads")), "{problems:#?}");
    }
}

#[test]
fn an_object_that_does_not_count_is_not_there() {
    let manifest = manifest(&[(
        "[accounts.get]\nmethod = \"GET\"",
        "[accounts.get]\nwhere = 'item.state != \"leaving\" and item.name != own'\nmethod = \"GET\"",
    )]);
    for (item, there) in [
        (json!({ "id": "7", "state": "here" }), true),
        (json!({ "id": "7", "state": "leaving" }), false),
        (json!({ "id": "7", "name": "gateway" }), false),
    ] {
        let shown = item.clone();
        let sim = Scripted::new(move |call, _| match call.name {
            "probe" => reply(200, &json!({ "name": "gateway" }), None),
            _ => reply(200, &item, None),
        });
        let connector = built(&manifest, &settings());
        let at = AccountRef::Account { id: RemoteId::new("7"), login: None };
        let read = block(connector.accounts().unwrap().get(&sim.cx(), &at)).unwrap();
        assert_eq!(read.is_some(), there, "{shown}");
    }
}

#[test]
fn who_the_credential_is_may_stand_in_another_answer() {
    let manifest = manifest(&[
        ("[accounts]\n", "[probe.who]\nmethod = 'GET'\npath = '/whoami'\n\n[accounts]\n"),
        ("email = \"item.email\"", "email = \"item.email\"\nprotected = \"item.email == own\""),
    ]);
    let sim = Scripted::new(|call, _| match call.url.path() {
        "/v1/me" => reply(200, &json!({ "name": "the whole" }), None),
        "/v1/whoami" => reply(200, &json!({ "name": "g@x.example" }), None),
        _ => reply(200, &json!({ "users": [{ "id": "1", "email": "g@x.example" }] }), None),
    });
    let connector = built(&manifest, &settings());
    assert_eq!(block(connector.probe(&sim.cx())).unwrap().identity.as_deref(), Some("g@x.example"));
    let listed = block(connector.accounts().unwrap().list(&sim.cx(), None)).unwrap();
    assert!(listed.items[0].protected);
    // A credential that the one accepts and the other does not is no good one.
    let sim = Scripted::new(|call, _| match call.url.path() {
        "/v1/me" => reply(200, &json!({ "name": "the whole" }), None),
        _ => reply(401, &json!({}), None),
    });
    assert!(!block(connector.probe(&sim.cx())).unwrap().ok());
}

#[test]
fn an_identity_counts_before_an_address() {
    let manifest = manifest(&[
        (
            "match = [\"email\"]",
            "match = [\"saml\", \"email\"]\nsaml_identity = 'person.attributes | at(\"externalId\")'",
        ),
        ("email = \"item.email\"", "email = \"item.email\"\nsaml_identity = \"item.identity.uid\""),
    ]);
    let sim = Scripted::new(|_, _| {
        let users = json!([
            { "id": "1", "email": "ada@x.example" },
            { "id": "2", "email": "other@x.example", "identity": { "uid": "ADA-7" } },
            { "id": "3", "identity": null },
        ]);
        reply(200, &json!({ "users": users }), None)
    });
    let mut who = person();
    who.attributes = json!({ "externalId": "ada-7" }).as_object().cloned().unwrap();
    let connector = built(&manifest, &settings());
    let found = block(connector.accounts().unwrap().find(&sim.cx(), &who)).unwrap();
    let found: Vec<_> =
        found.iter().map(|one| (one.account.remote_id.as_ref().unwrap().as_str(), one.evidence)).collect();
    assert_eq!(found, [("2", Evidence::SamlIdentity), ("1", Evidence::Email)]);
    // The creation meets that one too, and nobody is made.
    match block(connector.accounts().unwrap().create(&sim.cx(), &who)) {
        Ok(Created::AlreadyThere(found)) => assert_eq!(found.evidence, Evidence::SamlIdentity),
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_accounts_with_one_address_the_first_of_the_list_was_linked() {
    let connector = built(&manifest(&[]), &settings());
    for (users, ambiguous) in [
        (json!([{ "id": "1", "email": "ada@x.example" }, { "id": "2", "email": "ADA@x.example" }]), true),
        // One that is listed twice is one.
        (json!([{ "id": "1", "email": "ada@x.example" }, { "id": "1", "email": "ada@x.example" }]), false),
    ] {
        let sim = Scripted::new(move |_, _| reply(200, &json!({ "users": users }), None));
        match block(connector.accounts().unwrap().create(&sim.cx(), &person())) {
            Ok(Created::ActionRequired(need)) if ambiguous => assert_eq!(need.code, "ambiguous"),
            Ok(Created::AlreadyThere(_)) if !ambiguous => {}
            other => panic!("{other:?}"),
        }
    }
}

/// A target that answers writes with 404 where the credential may not.
#[test]
fn what_the_credential_may_not_was_recorded_as_done_because_the_answer_was_404() {
    let connector = built(&manifest(&[]), &settings());
    let at = AccountRef::Account { id: RemoteId::new("7"), login: None };
    let group = RemoteId::new("g");
    for there in [true, false] {
        let sim = Scripted::new(move |call, _| match (call.method.as_str(), call.url.path()) {
            ("GET", "/v1/users/7") if there => reply(200, &json!({ "id": "7", "email": "ada@x.example" }), None),
            ("GET", "/v1/groups") => reply(200, &json!({ "groups": [{ "id": "g", "name": "G" }] }), None),
            ("GET", "/v1/groups/g/members") if there => reply(200, &json!({ "members": [{ "id": "7" }] }), None),
            ("GET", "/v1/groups/g/members") => reply(200, &json!({ "members": [] }), None),
            ("GET", "/v1/me") => reply(200, &json!({ "name": "gateway" }), None),
            _ => reply(404, &json!({}), None),
        });
        let removed = block(connector.accounts().unwrap().remove(&sim.cx(), &at));
        let groups = connector.groups().unwrap();
        let one = std::slice::from_ref(&at);
        let added = block(groups.change_members(&sim.cx(), &group, one, &[])).remove(0);
        let left = block(groups.change_members(&sim.cx(), &group, &[], one)).remove(0);
        let deleted = block(groups.remove(&sim.cx(), &group));
        assert_eq!(deleted.unwrap_err().kind, FaultKind::Permission);
        if there {
            assert_eq!(removed.unwrap_err().kind, FaultKind::Permission);
            assert_eq!(added.unwrap_err().kind, FaultKind::Permission);
            assert_eq!(left.unwrap_err().kind, FaultKind::Permission);
        } else {
            assert_eq!(removed, Ok(Removed::AlreadyGone));
            assert_eq!(added.unwrap_err().kind, FaultKind::Refused);
            assert_eq!(left, Ok(connector_sdk::Membership::Absent));
        }
    }
}

#[test]
fn settings_may_say_whether_a_creation_invites() {
    let invites = [
        ("match = [\"email\"]", "match = [\"email\"]\ninvites = 'settings.url is containing(\"invite\")'"),
        ("email = \"item.email\"", "email = \"item.email\"\nstatus = \"item.state\""),
    ];
    let manifest = manifest(&invites);
    for (url, wanted) in [("https://invite.example.com", true), ("https://api.example.com", false)] {
        let connector = built(&manifest, &json!({ "url": url }));
        assert_eq!(connector.traits().invites, wanted);
        let sim = Scripted::new(|call, _| match call.method.as_str() {
            "GET" => reply(200, &json!({ "users": [] }), None),
            _ => reply(200, &json!({ "id": "9", "email": "ada@x.example", "state": "invited" }), None),
        });
        let created = block(connector.accounts().unwrap().create(&sim.cx(), &person()));
        assert!(matches!(created, Ok(Created::Invited(_))), "{created:?}");
    }
}

#[test]
fn the_credentials_own_account_was_unprotected_where_the_target_tells_ids_as_numbers() {
    let manifest = manifest(&[
        ("identity = \"{{ body.name }}\"", "identity = \"{{ body.id }}\""),
        ("id = \"item.id\"\nemail", "protected = \"item.id == own\"\nid = \"item.id\"\nemail"),
    ]);
    let sim = Scripted::new(|call, _| match call.url.path() {
        "/v1/me" => reply(200, &json!({ "id": 100 }), None),
        _ => reply(200, &json!({ "users": [{ "id": 100 }, { "id": 101 }] }), None),
    });
    let connector = built(&manifest, &settings());
    let listed = block(connector.accounts().unwrap().list(&sim.cx(), None)).unwrap();
    assert_eq!(listed.items.iter().map(|one| one.protected).collect::<Vec<_>>(), [true, false]);
}
