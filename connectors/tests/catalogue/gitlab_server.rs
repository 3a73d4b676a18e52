//! A GitLab server of one's own: users who are blocked and unblocked, usernames, and what deletes nobody.

use connector_sdk::{AccountChange, AccountRef, AccountStatus, Created, FaultKind, Person, Removed, Retry, Updated};
use serde_json::json;
use simulators::Limits;

use crate::played::{Stage, person};

async fn created(stage: &Stage, who: &Person) -> AccountRef {
    match stage.create(who).await.unwrap() {
        Created::Done(account) => account.reference().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_username_is_what_stands_before_the_at() {
    let stage = Stage::new("gitlab_server", Limits::None, json!({ "provider": "saml" }));
    let mut ada = person("Ada+Test@corp.example");
    ada.attributes = json!({ "externalId": "00u7" }).as_object().cloned().unwrap();
    created(&stage, &ada).await;
    let account = stage.state().await["accounts"][0].clone();
    assert_eq!((&account["login"], &account["identity"]), (&json!("Ada-Test"), &json!("00u7")));
    // Another address whose beginning is the same is another person, who needs another username.
    let fault = stage.create(&person("ada-test@elsewhere.example")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NameTaken);
    assert!(fault.message.contains("Map another attribute"), "{fault}");
}

#[tokio::test]
async fn whom_ldap_blocks_is_blocked_and_stays_so() {
    let stage = Stage::new("gitlab_server", Limits::None, json!({}));
    let ada = created(&stage, &person("ada@corp.example")).await;
    let accounts = stage.connector.accounts().unwrap();
    for (active, status) in [(false, AccountStatus::Suspended), (true, AccountStatus::Active)] {
        match accounts.set_active(&stage.cx(), &ada, active).await.unwrap() {
            Updated::Done(account) => assert_eq!(account.status, status),
            other => panic!("{other:?}"),
        }
    }
    stage.set(json!({ "ldap": ["ada@corp.example"] })).await;
    assert!(matches!(accounts.set_active(&stage.cx(), &ada, false).await, Ok(Updated::Done(_))));
    let fault = accounts.set_active(&stage.cx(), &ada, true).await.unwrap_err();
    assert_eq!(fault.retry, Retry::AfterOperator);
}

#[tokio::test]
async fn a_name_and_an_address_are_changed_and_a_clash_is_told() {
    let stage = Stage::new("gitlab_server", Limits::None, json!({}));
    let ada = created(&stage, &person("ada@corp.example")).await;
    created(&stage, &person("bob@corp.example")).await;
    let accounts = stage.connector.accounts().unwrap();
    let mut change = AccountChange::default();
    change.display_name = Some("Ada Lovelace".to_owned());
    change.email = Some("ada.l@corp.example".to_owned());
    change.role = Some("admin".to_owned());
    accounts.update(&stage.cx(), &ada, &change).await.unwrap();
    let account = stage.state().await["accounts"][0].clone();
    assert_eq!((&account["name"], &account["email"]), (&json!("Ada Lovelace"), &json!("ada.l@corp.example")));
    assert_eq!(account["role"], true);
    change.email = Some("bob@corp.example".to_owned());
    let fault = accounts.update(&stage.cx(), &ada, &change).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::NameTaken);
    assert_eq!(accounts.remove(&stage.cx(), &ada).await.unwrap(), Removed::Done);
}
