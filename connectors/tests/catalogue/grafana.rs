//! Grafana: passwords that nobody knows, users who came from outside, and PUTs that empty what they do not name.

use connector_sdk::{
    AccountChange, AccountRef, Created, FaultKind, GroupChange, GroupCreated, GroupWant, Membership, Person, Removed,
    Retry,
};
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
async fn a_user_has_no_password_that_anybody_knows() {
    use connector_sdk::{Call, Cx, Fault, Reply, Transport};

    /// Writes down the passwords that are sent.
    struct Listening<'a>(&'a Stage, std::sync::Mutex<Vec<String>>);

    #[async_trait::async_trait]
    impl Transport for Listening<'_> {
        async fn send(&self, call: Call) -> Result<Reply, Fault> {
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap_or_default();
            self.1.lock().unwrap().extend(body["password"].as_str().map(str::to_owned));
            self.0.send(call).await
        }
    }

    let stage = Stage::new("grafana", Limits::None, json!({}));
    let heard = Listening(&stage, std::sync::Mutex::default());
    for email in ["ada@corp.example", "bob@corp.example"] {
        let cx = Cx::new(&heard, stage.sim.clock.now());
        stage.connector.accounts().unwrap().create(&cx, &person(email)).await.unwrap();
    }
    let passwords = heard.1.into_inner().unwrap();
    assert_eq!(passwords.len(), 2);
    assert_ne!(passwords[0], passwords[1]);
    assert!(passwords.iter().all(|one| one.len() == 48 && one.bytes().all(|byte| byte.is_ascii_hexdigit())));
}

#[tokio::test]
async fn a_user_of_the_server_who_is_not_in_the_organisation_is_told() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    stage.set(json!({ "elsewhere": ["ada@corp.example"] })).await;
    let fault = stage.create(&person("ada@corp.example")).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.message.contains("not in this organisation"), "{fault}");
}

#[tokio::test]
async fn who_came_from_outside_is_disabled_there() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    let ada = created(&stage, &person("ada@corp.example")).await;
    stage.set(json!({ "external": ["ada@corp.example"] })).await;
    let accounts = stage.connector.accounts().unwrap();
    let mut rename = AccountChange::default();
    rename.display_name = Some("Ada L".to_owned());
    for fault in [
        accounts.set_active(&stage.cx(), &ada, false).await.unwrap_err(),
        accounts.set_active(&stage.cx(), &ada, true).await.unwrap_err(),
        accounts.update(&stage.cx(), &ada, &rename).await.unwrap_err(),
    ] {
        assert_eq!(fault.retry, Retry::AfterOperator, "{fault}");
    }
}

#[tokio::test]
async fn a_new_name_leaves_the_address_and_the_login() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    let mut ada = person("ada@corp.example");
    ada.user_name = "ada".to_owned();
    let at = created(&stage, &ada).await;
    let mut change = AccountChange::default();
    change.display_name = Some("Ada Lovelace".to_owned());
    change.role = Some("Editor".to_owned());
    stage.connector.accounts().unwrap().update(&stage.cx(), &at, &change).await.unwrap();
    let account = stage.state().await["accounts"][0].clone();
    assert_eq!((&account["login"], &account["email"]), (&json!("ada"), &json!("ada@corp.example")));
    assert_eq!((&account["name"], &account["role"]), (&json!("Ada Lovelace"), &json!("Editor")));
}

#[tokio::test]
async fn the_maker_of_a_team_is_no_member_and_its_second_addition_is_one() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    let groups = stage.connector.groups().unwrap();
    let GroupCreated::Done(team) = groups.create(&stage.cx(), &GroupWant::named("Platform")).await.unwrap() else {
        panic!("it is new")
    };
    assert_eq!(groups.members(&stage.cx(), &team.id, None).await.unwrap().items, []);
    let ada = created(&stage, &person("ada@corp.example")).await;
    for _ in 0..2 {
        let added = groups.change_members(&stage.cx(), &team.id, std::slice::from_ref(&ada), &[]).await.remove(0);
        assert_eq!(added.unwrap(), Membership::Present);
    }
    let mut change = GroupChange::default();
    change.name = Some("Core".to_owned());
    groups.update(&stage.cx(), &team.id, &change).await.unwrap();
    assert_eq!(stage.state().await["groups"][0]["name"], "Core");
}

#[tokio::test]
async fn the_probe_tells_a_user_who_is_no_server_admin() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    assert_eq!(stage.connector.probe(&stage.cx()).await.unwrap().identity.as_deref(), Some("gateway"));
    stage.set(json!({ "server_admin": false })).await;
    let probe = stage.connector.probe(&stage.cx()).await.unwrap();
    assert!(!probe.ok());
}

#[tokio::test]
async fn a_removal_deleted_the_user_of_every_organisation_of_the_server() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    stage.set(json!({ "both": ["bob@corp.example"] })).await;
    for (email, left) in [("ada@corp.example", json!([])), ("bob@corp.example", json!(["bob@corp.example"]))] {
        let at = created(&stage, &person(email)).await;
        assert_eq!(accounts.remove(&stage.cx(), &at).await, Ok(Removed::Done));
        assert_eq!(accounts.get(&stage.cx(), &at).await, Ok(None));
        assert_eq!(stage.state().await["second_organisation_alone"], left, "{email}");
    }
}

#[tokio::test]
async fn a_deactivation_shut_the_person_out_of_other_organisations_too() {
    let stage = Stage::new("grafana", Limits::None, json!({}));
    let accounts = stage.connector.accounts().unwrap();
    let bob = created(&stage, &person("bob@corp.example")).await;
    stage.set(json!({ "both": ["bob@corp.example"] })).await;
    let fault = accounts.set_active(&stage.cx(), &bob, false).await.unwrap_err();
    assert_eq!(fault.retry, Retry::AfterOperator, "{fault}");
    assert_eq!(stage.state().await["accounts"][0]["active"], true);
}
