//! A connector with a defect: it panics on one person. The gateway lives, and everybody else is served.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Connector, ConnectorKind, Created, Cx, Describe, DriverKey, Entry,
    Evidence, Fault, Found, Groups, Kind, Page, PageToken, Person, Probe, RemoteId, Removed, Secrets, Setting,
    SettingsError, Traits, Updated,
};
use gateway::reconcile::RunKind;
use gateway::service::instances::NewInstance;
use gateway::service::types::{Instance, Mode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::databases;

/// A target in memory. Whoever is called `panic…` makes it panic, and so does a listing where a
/// `panic-list` is there.
struct Panicky {
    traits: Traits,
    there: Mutex<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoSettings {}

impl Describe for NoSettings {
    fn describe() -> Vec<Setting> {
        Vec::new()
    }
}

struct PanickyKind;

impl ConnectorKind for PanickyKind {
    const NAME: &'static str = "panicky";
    const TITLE: &'static str = "A connector with a defect";
    const KIND: Kind = Kind::User;
    type Settings = NoSettings;

    fn build(_: NoSettings, _: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
        let traits = Traits::new(Kind::User, DriverKey::new("panicky"));
        Ok(Arc::new(Panicky { traits, there: Mutex::default() }))
    }

    fn attributes() -> Vec<(&'static str, &'static str)> {
        Vec::new()
    }

    fn limits() -> Vec<&'static str> {
        Vec::new()
    }

    fn about() -> connector_sdk::About {
        connector_sdk::About::default()
    }
}

fn account(name: &str) -> Account {
    let mut account = Account::active(RemoteId::new(name));
    account.login = Some(name.to_owned());
    account
}

#[async_trait]
impl Connector for Panicky {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, _: &Cx<'_>) -> Result<Probe, Fault> {
        Ok(Probe { identity: None, checks: Vec::new() })
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(self)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        None
    }
}

#[async_trait]
impl Accounts for Panicky {
    async fn list(&self, _: &Cx<'_>, _: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let there = self.there.lock().unwrap().clone();
        assert!(!there.iter().any(|name| name == "list"), "a defect in a listing");
        Ok(Page::last(there.iter().map(|name| account(name)).collect()))
    }

    async fn find(&self, _: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let there = self.there.lock().unwrap();
        let found = there.iter().find(|name| **name == who.user_name);
        Ok(found.map(|name| Found { account: account(name), evidence: Evidence::Login }).into_iter().collect())
    }

    async fn get(&self, _: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        let AccountRef::Account { id, .. } = at else { return Ok(None) };
        let there = self.there.lock().unwrap();
        Ok(there.iter().find(|name| *name == id.as_str()).map(|name| account(name)))
    }

    async fn create(&self, _: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        assert!(!want.user_name.starts_with("panic"), "a defect that one person brings out");
        self.there.lock().unwrap().push(want.user_name.clone());
        Ok(Created::Done(account(&want.user_name)))
    }

    async fn update(&self, _: &Cx<'_>, at: &AccountRef, _: &AccountChange) -> Result<Updated, Fault> {
        let AccountRef::Account { id, .. } = at else { return Ok(Updated::AlreadyGone) };
        Ok(Updated::Done(account(id.as_str())))
    }

    async fn remove(&self, _: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let AccountRef::Account { id, .. } = at else { return Ok(Removed::AlreadyGone) };
        self.there.lock().unwrap().retain(|name| name != id.as_str());
        Ok(Removed::Done)
    }
}

struct Place {
    app: Arc<gateway::service::App>,
    instance: Arc<Instance>,
}

impl Place {
    async fn user(&self, name: &str) -> gateway::service::types::Written {
        let caller = gateway::service::types::Caller {
            actor: "key:test".to_owned(),
            request_id: None,
            spoken: gateway::service::clients::Spoken::named(&self.instance.policy),
            wait_until: None,
            later: None,
            own: false,
        };
        let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name});
        let registry = self.instance.registry.clone();
        let rt = registry.user().unwrap();
        self.app.create(&self.instance, &caller, rt, body, &mut scim::Quirks::lenient()).await.unwrap()
    }

    async fn work(&self) -> Vec<Value> {
        self.app.list_work(&self.instance, None, 0, 1000).await.unwrap().items
    }

    async fn run(&self) -> Value {
        for _ in 0..400 {
            if let Some(id) = self.app.start_run(&self.instance, RunKind::Reconcile, "test").await.unwrap() {
                loop {
                    let run = self.app.run(&self.instance, &id).await.unwrap().unwrap();
                    if run["state"] != "running" {
                        return run;
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("no run could be started")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_panics_fails_one_person_and_nobody_else() {
    for db in databases() {
        let folder = tempfile::tempdir().unwrap();
        let app = db.app_with(folder.path(), vec![Entry::of::<PanickyKind>()]).await;
        let stop = CancellationToken::new();
        let (driver, token) = (app.driver.clone(), stop.clone());
        let driving = tokio::spawn(async move { driver.start(token).await });
        let new = NewInstance {
            name: "panicky".to_owned(),
            connector: "panicky".to_owned(),
            connector_version: None,
            settings: json!({}),
            secrets: Default::default(),
            mode: Mode::Enabled,
            policy: json!({"answer_within_ms": 3_000}),
            schema: Value::Null,
        };
        let instance = app.create_instance("admin", new).await.map_err(|error| format!("{error:?}")).unwrap();
        let place = Place { app, instance };

        // Before, among and after the others, whose answers tell that they are served.
        let poison = place.user("panic-one").await;
        assert!(!poison.settled, "it is accepted all the same");
        for n in 0..20 {
            assert!(place.user(&format!("p{n:02}")).await.settled, "p{n:02} was not served");
            if n == 10 {
                place.user("panic-two").await;
            }
        }
        let work = place.work().await;
        assert_eq!(work.len(), 2, "{work:?}");
        for row in &work {
            let reason = row["reason"].as_str().unwrap_or_default();
            assert!(matches!(row["state"].as_str(), Some("waiting" | "needs")), "visible, and not spinning: {row}");
            assert!(reason.contains("connector") || reason.contains("gateway"), "who can act reads why: {row}");
        }

        // A listing that panics is a run that failed, and the next one can be started.
        assert_eq!(place.run().await["state"], "done");
        place.user("list").await;
        for _ in 0..2 {
            let run = place.run().await;
            assert_eq!((&run["state"], run["error"].is_string()), (&json!("failed"), true), "{run}");
        }
        assert!(place.user("later").await.settled, "the gateway lives");
        stop.cancel();
        driving.await.unwrap();
    }
}
