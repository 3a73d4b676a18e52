//! GitHub's connector as it would be at a worse target: one whose writes may not be repeated, one that panics, and one
//! whose answers are read late.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Connector, ConnectorKind, Created, Cx, Entry, Fault, Followed, Found,
    Groups, InviteId, Kind, Page, PageToken, Person, Probe, Reading, Removed, Repeatable, Repeats, Reply, Secrets,
    SettingsError, Traits, Updated,
};
use connectors::github::{GitHub, Settings};
use tokio::sync::Semaphore;

/// The built-in connectors and these.
pub(crate) fn catalogue() -> Vec<Entry> {
    let mut all = connectors::builtin();
    all.extend([Entry::of::<Verifiable>(), Entry::of::<Neither>()]);
    all
}

/// Lets go of the answer that somebody named "late..." is there already: one for each permit.
pub(crate) static HEARD: Semaphore = Semaphore::const_new(0);

/// Every write may be looked at, and none may be repeated.
struct Verifiable;
/// No write may be repeated, and no look tells.
struct Neither;

fn repeats(all: Repeatable) -> Repeats {
    let mut repeats = Repeats::default();
    for call in [
        &mut repeats.create,
        &mut repeats.update,
        &mut repeats.set_active,
        &mut repeats.remove,
        &mut repeats.create_group,
        &mut repeats.update_group,
        &mut repeats.remove_group,
        &mut repeats.change_members,
    ] {
        *call = all;
    }
    repeats
}

fn worse(settings: Settings, secrets: &Secrets, all: Repeatable) -> Result<Arc<dyn Connector>, SettingsError> {
    let inner = GitHub::build(settings, secrets)?;
    let mut traits = inner.traits().clone();
    traits.repeats = repeats(all);
    Ok(Arc::new(Worse { inner, traits }))
}

macro_rules! kind {
    ($name:ident, $word:literal) => {
        impl ConnectorKind for $name {
            const NAME: &'static str = $word;
            const TITLE: &'static str = $word;
            const KIND: Kind = Kind::UserAndGroup;
            type Settings = Settings;

            fn build(settings: Settings, secrets: &Secrets) -> Result<Arc<dyn Connector>, SettingsError> {
                worse(settings, secrets, Repeatable::$name)
            }

            fn attributes() -> Vec<(&'static str, &'static str)> {
                GitHub::attributes()
            }

            fn limits() -> Vec<&'static str> {
                Vec::new()
            }

            fn about() -> connector_sdk::About {
                connector_sdk::About::default()
            }
        }
    };
}

kind!(Verifiable, "github-verifiable");
kind!(Neither, "github-neither");

struct Worse {
    inner: Arc<dyn Connector>,
    traits: Traits,
}

impl Worse {
    fn people(&self) -> &dyn Accounts {
        self.inner.accounts().unwrap()
    }
}

#[async_trait]
impl Connector for Worse {
    fn traits(&self) -> &Traits {
        &self.traits
    }

    async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        self.inner.probe(cx).await
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(self)
    }

    fn groups(&self) -> Option<&dyn Groups> {
        self.inner.groups()
    }

    fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        self.inner.read_limits(reply)
    }
}

#[async_trait]
impl Accounts for Worse {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        self.people().list(cx, page).await
    }

    async fn invitations(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        self.people().invitations(cx, page).await
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        self.people().find(cx, who).await
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        self.people().get(cx, at).await
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        assert!(!want.user_name.starts_with("poison"), "this person makes the connector panic");
        let created = self.people().create(cx, want).await;
        if want.user_name.starts_with("late") && matches!(created, Ok(Created::AlreadyThere(_))) {
            HEARD.acquire().await.unwrap().forget();
        }
        created
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        self.people().update(cx, at, change).await
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        self.people().set_active(cx, at, active).await
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let dies = matches!(at, AccountRef::Account { login: Some(login), .. } if login.starts_with("dies"));
        assert!(!dies, "whoever removes this person dies of it");
        self.people().remove(cx, at).await
    }

    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, who: &Person) -> Result<Followed, Fault> {
        self.people().follow(cx, invite, who).await
    }
}
