//! Simulated targets, as processes.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};
use tests::admin::{Admin, Instance};
use tests::{Db, Gateway, Sim, facts, wait_until};

use crate::check::{CLIENTS, Target, Without, check, is, list};

struct Simulated {
    sim: Sim,
    without: Without,
}

#[async_trait(?Send)]
impl Target for Simulated {
    fn instance(&self) -> Value {
        self.sim.instance("")
    }

    async fn state(&self) -> Value {
        self.sim.state().await
    }

    async fn caught_up(&self, admin: &Admin, instance: &Instance) {
        admin.settled(&instance.id).await;
        self.sim.accept(json!({})).await;
        admin.run(&instance.id, "reconcile").await;
        if self.without.acceptance {
            self.link(admin, instance).await;
        }
        admin.settled(&instance.id).await;
    }
}

impl Simulated {
    /// Links whoever is not recognised, as the work asks an admin to, until nothing is left to do.
    async fn link(&self, admin: &Admin, instance: &Instance) {
        wait_until("everybody is known", Duration::from_secs(120), async || {
            let work = admin.work(&instance.id, "").await;
            for one in work.iter().filter(|one| one["state"] == "needs") {
                assert_eq!(one["need"], "identity", "{one:#}");
                let id = one["resource"]["id"].as_str().unwrap_or_default();
                let user = instance.scim.get(&format!("/Users/{id}")).await;
                let state = self.sim.state().await;
                let account = list(&state, "accounts").into_iter().find(|account| is(account, &user));
                let account = account.unwrap_or_else(|| panic!("nobody is {user:#}\n{state:#}"));
                let remote = account["id"].as_str().map_or_else(|| account["id"].to_string(), str::to_owned);
                let body = json!({ "resource": id, "remote_id": remote });
                admin.call(Method::POST, &format!("/instances/{}/links", instance.id), Some(body)).await.expect(201);
            }
            work.is_empty().then_some(())
        })
        .await;
    }
}

/// Every client against a simulated target of its own.
pub(crate) async fn everyone(target: &str, without: Without) {
    let Some(facts) = facts(&format!("the clients at {target}")) else { return };
    let gateway = Gateway::start(Db::Sqlite).await;
    for client in CLIENTS {
        let simulated = Simulated { sim: Sim::start(target).await, without };
        check(&facts, &gateway, (target, &simulated), without, client).await;
    }
}
