//! The manual connector against a desk with a clerk: one who does what is asked at once, for the contract kit, one who
//! is out, and one who refuses.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends with what it did not expect, and its report is for people"
)]

mod clerk;

use std::sync::Arc;

use connector_sdk::kit::{self, Subject};
use connector_sdk::{Connector, Created, Cx, FaultKind, GroupWant, Person, Retry, Secrets, Suspend, Transport};
use serde_json::{Value, json};

use clerk::{Clerk, Office, entry};

fn connector(more: &Value) -> Arc<dyn Connector> {
    let mut settings = json!({"app": "Payroll"});
    for (name, value) in more.as_object().into_iter().flatten() {
        settings[name] = value.clone();
    }
    entry().build(&settings, &Secrets::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn the_contract_is_kept_at_a_desk_whose_clerk_is_quick() {
    for settings in [json!({}), json!({"deactivate": "suspend", "profile": "all"}), json!({"groups": false})] {
        let report = kit::run(|| async {
            let office = Arc::new(Office::new(Clerk::Quick));
            Subject {
                connector: connector(&settings),
                transport: Arc::clone(&office) as Arc<dyn Transport>,
                secrets: Vec::new(),
                world: office,
                calls: entry().about.calls,
            }
        })
        .await;
        println!("{settings}\n{report}\n");
        assert!(report.failed.is_empty(), "{settings} breaks the contract:\n{report}");
        assert!(report.passed.len() > 10, "{settings}: little was played:\n{report}");
    }
}

fn ada() -> Person {
    let mut ada = Person::named("ada@example.com");
    ada.email = Some("ada@example.com".to_owned());
    ada.display_name = Some("Ada Lovelace".to_owned());
    ada
}

#[tokio::test]
async fn what_nobody_did_yet_is_awaited_until_it_is_due() {
    let office = Office::new(Clerk::Out);
    let (cx, connector) =
        (Cx::new(&office, office.time()), connector(&json!({"due_hours_removal": 2, "assignee": "Ops"})));
    let accounts = connector.accounts().unwrap();
    let fault = accounts.create(&cx, &ada()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Awaiting);
    assert!(matches!(fault.retry, Retry::NotBefore(at) if at > office.time()), "{fault:?}");
    let again = accounts.create(&cx, &ada()).await.unwrap_err();
    assert_eq!(again.kind, FaultKind::Awaiting);
    let tasks = office.tasks();
    assert_eq!(tasks.len(), 1, "asked twice is asked once: {tasks:?}");
    assert_eq!(tasks[0].title, "Create an account for Ada Lovelace (ada@example.com) in Payroll");
    assert_eq!((tasks[0].within, tasks[0].assignee.as_deref()), (72 * 3_600, Some("Ops")));
    office.hire(Clerk::Quick);
    let Created::Done(account) = accounts.create(&cx, &ada()).await.unwrap() else { panic!("it is done now") };
    let at = account.reference().unwrap();
    office.hire(Clerk::Out);
    assert_eq!(accounts.remove(&cx, &at).await.unwrap_err().kind, FaultKind::Awaiting);
    let removal = office.tasks().pop().unwrap();
    assert_eq!((removal.within, removal.act.takes_access()), (2 * 3_600, true));
    assert_eq!(removal.title, "Remove the account of Ada Lovelace (ada@example.com) from Payroll");
}

#[tokio::test]
async fn a_refusal_is_for_good_and_says_why() {
    let office = Office::new(Clerk::Refuses);
    let cx = Cx::new(&office, office.time());
    let connector = connector(&json!({}));
    let fault = connector.groups().unwrap().create(&cx, &GroupWant::named("Ops")).await.unwrap_err();
    assert_eq!((fault.kind, fault.retry), (FaultKind::Refused, Retry::Never));
    assert!(fault.message.contains("no such thing here"), "{fault}");
}

#[test]
fn settings_that_cannot_be_name_the_field() {
    for (settings, field) in [
        (json!({}), "app"),
        (json!({"app": " "}), "app"),
        (json!({"app": "a\nb"}), "app"),
        (json!({"app": "a", "due_hours": 0}), "due_hours"),
        (json!({"app": "a", "due_hours_removal": 9_000}), "due_hours_removal"),
        (json!({"app": "a", "assignee": "x".repeat(121)}), "assignee"),
        (json!({"app": "a", "instructions": "x".repeat(4_001)}), "instructions"),
        (json!({"app": "a", "deactivate": "lock"}), "deactivate"),
    ] {
        let error = entry().build(&settings, &Secrets::default()).err().expect("it cannot be");
        assert_eq!(error.field, field, "{settings}: {error}");
    }
    assert_eq!(connector(&json!({})).traits().suspend, Suspend::Removes);
    assert_eq!(connector(&json!({"deactivate": "suspend"})).traits().suspend, Suspend::Native);
    assert!(connector(&json!({"groups": false})).groups().is_none());
}
