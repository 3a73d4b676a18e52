//! Simulated targets, as processes.

use async_trait::async_trait;
use serde_json::{Value, json};
use tests::admin::{Admin, Instance};
use tests::{Db, Gateway, Sim, facts};

use crate::check::{CLIENTS, Target, Without, check};

#[async_trait(?Send)]
impl Target for Sim {
    fn instance(&self) -> Value {
        Self::instance(self, "")
    }

    async fn state(&self) -> Value {
        Self::state(self).await
    }

    async fn caught_up(&self, admin: &Admin, instance: &Instance) {
        admin.settled(&instance.id).await;
        self.accept(json!({})).await;
        admin.run(&instance.id, "reconcile").await;
        admin.settled(&instance.id).await;
    }
}

/// Every client against a simulated target of its own.
pub(crate) async fn everyone(target: &str, without: Without) {
    let Some(facts) = facts("what_every_client_asks_for_is_at_the_target") else { return };
    let gateway = Gateway::start(Db::Sqlite).await;
    for client in CLIENTS {
        let sim = Sim::start(target).await;
        check(&facts, &gateway, (target, &sim), without, client).await;
    }
}
