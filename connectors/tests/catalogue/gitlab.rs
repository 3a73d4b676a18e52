//! GitLab: invitations that are accepted at once, refusals with a status of success, subgroups that hold projects or
//! are marked for deletion, and who is known by what.

use connector_sdk::{Created, Evidence, FaultKind, Followed, GroupCreated, GroupWant, Membership, Removed, Retry};
use serde_json::json;
use simulators::Limits;

use crate::played::{Played, Stage, accepted, built, person};

#[tokio::test]
async fn an_account_of_the_invited_address_is_a_member_at_once_and_told_by_its_identity() {
    let stage = Stage::new("gitlab", Limits::None, json!({ "identity": "email" }));
    stage.set(json!({ "known": ["ada@corp.example"], "enterprise": true })).await;
    let ada = person("ada@corp.example");
    let Created::Invited(invited) = stage.create(&ada).await.unwrap() else { panic!("she is invited") };
    assert_eq!(stage.state().await["invitations"], json!([]));
    let accounts = stage.connector.accounts().unwrap();
    match accounts.follow(&stage.cx(), &invited.invite_id.unwrap(), &ada).await.unwrap() {
        Followed::Accepted { account, evidence: Evidence::Email } => {
            assert_eq!(account.email.as_deref(), Some("ada@corp.example"))
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_account_that_gitlab_does_not_name_is_said_to_be_unclear() {
    let stage = Stage::new("gitlab", Limits::None, json!({}));
    stage.set(json!({ "known": ["ada@corp.example"] })).await;
    let ada = person("ada@corp.example");
    let Created::Invited(invited) = stage.create(&ada).await.unwrap() else { panic!("she is invited") };
    let accounts = stage.connector.accounts().unwrap();
    let followed = accounts.follow(&stage.cx(), &invited.invite_id.unwrap(), &ada).await.unwrap();
    assert!(matches!(followed, Followed::Unclear(ref need) if need.code == "identity"), "{followed:?}");
    // Nor is she invited again: GitLab's refusal is no success, whatever its status.
    let fault = stage.create(&ada).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.message.contains("Link the account"), "{fault}");
}

#[tokio::test]
async fn a_refusal_with_a_status_of_success_is_a_refusal() {
    let stage = Stage::new("gitlab", Limits::None, json!({}));
    stage.set(json!({ "seats": 0 })).await;
    let full = stage.create(&person("ada@corp.example")).await.unwrap();
    assert!(matches!(full, Created::ActionRequired(ref need) if need.code == "seat"), "{full:?}");
    let fault = stage.create(&person("not an address")).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::Refused, Retry::Never));
    assert!(fault.message.contains("Invite email is invalid"), "{fault}");
}

#[tokio::test]
async fn a_username_that_gitlab_does_not_know_waits_for_its_account() {
    let stage = Stage::new("gitlab", Limits::None, json!({ "identity": "handle" }));
    let mut ada = person("ada@corp.example");
    ada.user_name = "ada".to_owned();
    let unknown = stage.create(&ada).await.unwrap();
    assert!(matches!(unknown, Created::ActionRequired(ref need) if need.code == "identity"), "{unknown:?}");
    stage.set(json!({ "usernames": true })).await;
    assert!(matches!(stage.create(&ada).await.unwrap(), Created::Done(_)));
}

#[tokio::test]
async fn the_address_of_an_invitation_is_one_segment_of_a_path() {
    let stage = Stage::new("gitlab", Limits::None, json!({}));
    let ada = person("Ada+x/y%2e@Corp.example");
    let Created::Invited(invited) = stage.create(&ada).await.unwrap() else { panic!("she is invited") };
    let accounts = stage.connector.accounts().unwrap();
    let at = invited.reference().unwrap();
    let read = accounts.get(&stage.cx(), &at).await.unwrap().unwrap();
    assert_eq!(read.email.as_deref(), Some("ada+x/y%2e@corp.example"));
    assert_eq!(accounts.remove(&stage.cx(), &at).await.unwrap(), Removed::Done);
    assert_eq!(stage.state().await["invitations"], json!([]));
}

#[tokio::test]
async fn a_subgroup_with_projects_is_not_deleted() {
    let stage = Stage::new("gitlab", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let made = groups.create(&stage.cx(), &GroupWant::named("Platform Team")).await.unwrap();
    let GroupCreated::Done(group) = made else { panic!("it is new") };
    assert_eq!(group.slug.as_deref(), Some("platform-team"));
    stage.set(json!({ "projects": ["Platform Team"] })).await;
    stage.calls();
    let fault = groups.remove(&stage.cx(), &group.id).await.unwrap_err();
    assert_eq!(fault.retry, Retry::AfterOperator);
    assert_eq!(stage.calls(), ["look before"]);
    stage.set(json!({ "projects": [] })).await;
    assert_eq!(groups.remove(&stage.cx(), &group.id).await.unwrap(), Removed::Done);
    assert!(groups.get(&stage.cx(), &group.id).await.unwrap().is_none());
    // Its path stays taken until GitLab has done away with it.
    let fault = groups.create(&stage.cx(), &GroupWant::named("Platform Team")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NameTaken);
}

#[tokio::test]
async fn the_owner_of_a_new_subgroup_is_no_member_and_a_higher_role_above_is_refused_in_words() {
    let stage = Stage::new("gitlab", Limits::None, json!({ "member_role": "guest", "default_role": "maintainer" }));
    let groups = stage.connector.groups().unwrap();
    let GroupCreated::Done(group) = groups.create(&stage.cx(), &GroupWant::named("Ops")).await.unwrap() else {
        panic!("it is new")
    };
    assert_eq!(groups.members(&stage.cx(), &group.id, None).await.unwrap().items, []);
    let ada = accepted(&stage, "ada@corp.example").await;
    let one = std::slice::from_ref(&ada);
    let fault = groups.change_members(&stage.cx(), &group.id, one, &[]).await.remove(0).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.message.contains("higher role"), "{fault}");
}

#[tokio::test]
async fn who_leaves_the_group_leaves_what_is_below_it() {
    let stage = Stage::new("gitlab", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let GroupCreated::Done(group) = groups.create(&stage.cx(), &GroupWant::named("Ops")).await.unwrap() else {
        panic!("it is new")
    };
    let ada = accepted(&stage, "ada@corp.example").await;
    let one = std::slice::from_ref(&ada);
    let added = groups.change_members(&stage.cx(), &group.id, one, &[]).await.remove(0);
    assert_eq!(added.unwrap(), Membership::Present);
    assert_eq!(stage.connector.accounts().unwrap().remove(&stage.cx(), &ada).await.unwrap(), Removed::Done);
    assert_eq!(stage.state().await["groups"][0]["members"], json!([]));
}

#[tokio::test]
async fn sixty_removals_a_minute_and_two_thousand_calls() {
    let stage = Stage::new("gitlab", Limits::Real, json!({}));
    stage.control("POST", "/_sim/load", json!({ "accounts": 70 })).await;
    let accounts = stage.connector.accounts().unwrap();
    let all = accounts.list(&stage.cx(), None).await.unwrap().items;
    let people: Vec<_> = all.iter().filter(|one| !one.protected).filter_map(|one| one.reference()).collect();
    for at in &people[..60] {
        assert_eq!(accounts.remove(&stage.cx(), at).await.unwrap(), Removed::Done);
    }
    let fault = accounts.remove(&stage.cx(), &people[60]).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::RateLimited);
    assert!(matches!(fault.retry, Retry::NotBefore(_)));
    let spent = stage.connector.traits().cost("remove").to_vec();
    assert!(spent.iter().any(|charge| charge.bucket == "removals"), "{spent:?}");
}

#[tokio::test]
async fn a_listing_behind_a_proxy_that_drops_headers_ended_with_its_first_page() {
    let settings = json!({ "group": 1 });
    let connector = built("gitlab", settings, &[("token", "secret-token")]);
    let members = |count: usize| -> serde_json::Value {
        (0..count).map(|n| json!({ "id": n + 1, "username": format!("u{n}"), "access_level": 10 })).collect()
    };
    for (count, headers, goes_on) in [
        (100, vec![], true),
        (99, vec![], false),
        (100, vec![("x-next-page", String::new())], false),
        (100, vec![("x-next-page", "2".to_owned())], true),
    ] {
        let own = (200, vec![], json!({ "id": 9, "username": "gateway" }));
        let played = Played::new([(200, headers.clone(), members(count)), own]);
        let cx = connector_sdk::Cx::new(&played, crate::played::now());
        let page = connector.accounts().unwrap().list(&cx, None).await.unwrap();
        assert_eq!((page.items.len(), page.next.is_some()), (count, goes_on), "{headers:?}");
    }
}

/// Both keep subgroups in the same way.
#[test]
fn the_groups_of_gitlab_and_of_a_server_of_ones_own_are_kept_alike() {
    let groups = |manifest: &str| manifest[manifest.find("\n[groups.fields]").unwrap()..].trim().to_owned();
    let (hosted, own) = (
        groups(include_str!("../../../config/connectors/gitlab.toml")),
        groups(include_str!("../../../config/connectors/gitlab_server.toml")),
    );
    assert_eq!(hosted, own);
}
