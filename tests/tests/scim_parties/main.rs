//! The connector `scim` at SCIM servers that others wrote: scim2-server and canaille. Each test starts the real server,
//! and reads what became of it by the server's own API.

#![expect(clippy::panic, reason = "a test reports by failing")]

mod stage;

use connector_sdk::{
    AccountChange, AccountStatus, Created, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Membership,
    Removed, Updated,
};
use serde_json::{Value, json};
use stage::{Stage, person};

const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// What a server does otherwise.
#[derive(Clone, Copy, Default)]
struct Manner {
    /// Its names cannot be changed.
    fixed_names: bool,
    /// It keeps no externalId.
    no_external_id: bool,
    /// It tells members by their user names.
    members_by_name: bool,
}

fn ada(title: &str) -> Value {
    json!({
        "userName": "ada@example.com", "externalId": "hr-1", "displayName": "Ada Lovelace", "title": title,
        "name": { "givenName": "Ada", "familyName": "Lovelace", "formatted": "Ada Lovelace" },
        "emails": [{ "value": "ada@example.com", "type": "work", "primary": true }],
        "favouriteColour": "blue",
        (ENTERPRISE): { "department": "Engines", "favouriteFood": "tea" },
    })
}

/// Everything that the engine may ask of a connector, in the life of two people and a group.
async fn live(stage: &Stage, manner: Manner) {
    let what = &stage.title;
    let probe = stage.connector.probe(&stage.cx()).await.unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
    assert!(probe.ok(), "{what}: {probe:?}");
    people(stage, manner).await;
    groups(stage, manner).await;
    paging(stage).await;
    stage.no_malformed();
}

async fn people(stage: &Stage, manner: Manner) {
    let what = &stage.title;
    let accounts = stage.connector.accounts().expect("it has people");
    let created = accounts.create(&stage.cx(), &person(&ada("Analyst"))).await;
    let Ok(Created::Done(account)) = created else { panic!("{what}: {created:?}") };
    let at = account.reference().expect("it has an id");
    let id = stage::id(&at);
    let shown = stage.get(&format!("/Users/{id}")).await;
    assert_eq!(shown["title"], "Analyst", "{what}: {shown}");
    assert_eq!(shown["active"], true, "{what}: {shown}");
    assert_eq!(shown[ENTERPRISE]["department"], "Engines", "{what}: {shown}");
    assert!(shown["favouriteColour"].is_null() && shown[ENTERPRISE]["favouriteFood"].is_null(), "{what}: {shown}");
    assert_eq!(shown["externalId"].is_null(), manner.no_external_id, "{what}: {shown}");
    // Once more, as after an answer that was lost.
    match accounts.create(&stage.cx(), &person(&ada("Analyst"))).await {
        Ok(Created::AlreadyThere(found)) => assert_eq!(found.account.remote_id, account.remote_id, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    let found = accounts.find(&stage.cx(), &person(&ada("Analyst"))).await.expect("it can be looked for");
    assert_eq!(found.len(), 1, "{what}: {found:?}");

    let mut change = AccountChange::default();
    change.person = Some(Box::new(person(&ada("Countess"))));
    for _twice in 0..2 {
        let updated = accounts.update(&stage.cx(), &at, &change).await;
        assert!(matches!(updated, Ok(Updated::Done(_))), "{what}: {updated:?}");
        let shown = stage.get(&format!("/Users/{id}")).await;
        assert_eq!(shown["title"], "Countess", "{what}: {shown}");
        assert_eq!(shown["name"]["familyName"], "Lovelace", "{what}: {shown}");
        assert_eq!(shown[ENTERPRISE]["department"], "Engines", "{what}: {shown}");
    }
    for (active, status) in [(false, AccountStatus::Suspended), (true, AccountStatus::Active)] {
        for _twice in 0..2 {
            match accounts.set_active(&stage.cx(), &at, active).await {
                Ok(Updated::Done(account)) => assert_eq!(account.status, status, "{what}"),
                other => panic!("{what}: {other:?}"),
            }
        }
        assert_eq!(stage.get(&format!("/Users/{id}")).await["active"], active, "{what}");
    }
    assert_eq!(accounts.remove(&stage.cx(), &at).await, Ok(Removed::Done), "{what}");
    assert_eq!(accounts.remove(&stage.cx(), &at).await, Ok(Removed::AlreadyGone), "{what}");
    assert_eq!(accounts.get(&stage.cx(), &at).await, Ok(None), "{what}");
    assert_eq!(accounts.update(&stage.cx(), &at, &change).await, Ok(Updated::AlreadyGone), "{what}");
}

async fn groups(stage: &Stage, manner: Manner) {
    let what = &stage.title;
    let (accounts, groups) =
        (stage.connector.accounts().expect("it has people"), stage.connector.groups().expect("it has groups"));
    let mut people = Vec::new();
    for name in ["bob", "cyd", "dan"] {
        let mut document = ada("Engineer");
        document["userName"] = json!(format!("{name}@example.com"));
        document["externalId"] = json!(format!("hr-{name}"));
        document["emails"][0]["value"] = json!(format!("{name}@example.com"));
        match accounts.create(&stage.cx(), &person(&document)).await {
            Ok(Created::Done(account)) => people.push(account.reference().expect("it has an id")),
            other => panic!("{what}: {other:?}"),
        }
    }
    let made = groups.create(&stage.cx(), &GroupWant::named("Engineering")).await;
    let Ok(GroupCreated::Done(group)) = made else { panic!("{what}: {made:?}") };
    for name in ["Engineering", "ENGINEERING"] {
        let again = groups.create(&stage.cx(), &GroupWant::named(name)).await;
        assert!(matches!(&again, Ok(GroupCreated::AlreadyThere(there)) if there.id == group.id), "{what}: {again:?}");
    }
    assert_eq!(stage.members(&group.id).await, [] as [String; 0], "{what}");
    for _twice in 0..2 {
        let added = groups.change_members(&stage.cx(), &group.id, &people, &[]).await;
        assert_eq!(added, vec![Ok(Membership::Present); 3], "{what}");
        let mut wanted: Vec<String> = people.iter().map(|at| stage::id(at).to_owned()).collect();
        wanted.sort();
        assert_eq!(stage.members(&group.id).await, wanted, "{what}");
        if manner.members_by_name {
            wanted = ["bob", "cyd", "dan"].map(|name| format!("{name}@example.com")).to_vec();
        }
        assert_eq!(stage.members_told(&group.id).await, wanted, "{what}: as the server tells them");
    }
    for _twice in 0..2 {
        let gone = groups.change_members(&stage.cx(), &group.id, &[], &people[..2]).await;
        assert_eq!(gone, vec![Ok(Membership::Absent); 2], "{what}");
        assert_eq!(stage.members(&group.id).await, [stage::id(&people[2])], "{what}");
    }
    let mut rename = GroupChange::default();
    rename.name = Some("Platform".to_owned());
    let renamed = groups.update(&stage.cx(), &group.id, &rename).await;
    if manner.fixed_names {
        assert_eq!(renamed.map_err(|fault| fault.kind), Err(FaultKind::Refused), "{what}");
    } else {
        assert!(matches!(renamed, Ok(GroupUpdated::Done(_))), "{what}: {renamed:?}");
        assert_eq!(stage.get(&format!("/Groups/{}", group.id)).await["displayName"], "Platform", "{what}");
    }
    assert_eq!(stage.members(&group.id).await, [stage::id(&people[2])], "{what}: a renaming keeps the members");
    assert_eq!(groups.remove(&stage.cx(), &group.id).await, Ok(Removed::Done), "{what}");
    assert_eq!(groups.remove(&stage.cx(), &group.id).await, Ok(Removed::AlreadyGone), "{what}");
    let late = groups.change_members(&stage.cx(), &group.id, &people[..1], &[]).await;
    assert_eq!(late[0].as_ref().map_err(|fault| fault.kind), Err(FaultKind::NotFound), "{what}: {late:?}");
}

/// Everybody is listed once, over several pages.
async fn paging(stage: &Stage) {
    let what = &stage.title;
    let accounts = stage.connector.accounts().expect("it has people");
    for n in 0..12 {
        let mut document = ada("Crowd");
        document["userName"] = json!(format!("crowd{n:02}@example.com"));
        document["externalId"] = json!(format!("crowd-{n}"));
        document["emails"][0]["value"] = json!(format!("crowd{n:02}@example.com"));
        let made = accounts.create(&stage.cx(), &person(&document)).await;
        assert!(matches!(made, Ok(Created::Done(_))), "{what}: {made:?}");
    }
    let mut seen = Vec::new();
    let mut page = None;
    for _ in 0..50 {
        let part = accounts.list(&stage.cx(), page.as_ref()).await.unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
        assert!(part.complete, "{what}");
        seen.extend(part.items.into_iter().filter_map(|account| account.login));
        page = part.next;
        if page.is_none() {
            break;
        }
    }
    let crowd = seen.iter().filter(|login| login.starts_with("crowd")).count();
    assert_eq!(crowd, 12, "{what}: {seen:?}");
    seen.sort();
    seen.dedup();
    assert_eq!(seen.iter().filter(|login| login.starts_with("crowd")).count(), 12, "{what}: each once");
}

#[tokio::test]
async fn scim2_server_is_served_as_it_is() {
    let settings = json!({ "page_size": 5, "max_members_per_patch": 3 });
    if let Some(stage) = Stage::scim2_server("scim2_server_is_served_as_it_is", None, settings).await {
        live(&stage, Manner::default()).await;
        assert!(stage.sent("PATCH") > 0 && stage.asked("filter=") > 0, "it says that it has PATCH and filters");
        assert_eq!(stage.sent("PUT"), 0);
    }
}

#[tokio::test]
async fn scim2_server_that_says_it_has_neither_patch_nor_filter_is_served_by_put_and_lists() {
    let less = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": { "supported": false }, "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": false, "maxResults": 3 }, "changePassword": { "supported": false },
        "sort": { "supported": false }, "etag": { "supported": true }, "authenticationSchemes": [],
    });
    let name = "scim2_server_that_says_it_has_neither_patch_nor_filter_is_served_by_put_and_lists";
    if let Some(stage) = Stage::scim2_server(name, Some(less), json!({ "page_size": 50 })).await {
        live(&stage, Manner::default()).await;
        assert_eq!((stage.sent("PATCH"), stage.asked("filter=")), (0, 0), "what it does not have is not used");
        assert!(stage.sent("PUT") > 0);
        assert!(stage.conditional("PUT") > 0, "it has versions, so what is written is conditional on one");
    }
}

/// canaille 0.3: no filters, no externalId, immutable names, groups that are never empty, members with `$ref`, a
/// taken name that is a 500, and a `count` that is one.
#[tokio::test(flavor = "multi_thread")]
async fn canaille_is_served_with_a_token_of_its_own_authorisation_server() {
    let name = "canaille_is_served_with_a_token_of_its_own_authorisation_server";
    if let Some(stage) = Stage::canaille(name).await {
        let manner = Manner { fixed_names: true, no_external_id: true, members_by_name: true };
        live(&stage, manner).await;
        assert_eq!(stage.asked("filter="), 0, "it says that it has no filters");
        assert_eq!(stage.asked("/oauth/token"), 1, "one token serves all calls");
    }
}
