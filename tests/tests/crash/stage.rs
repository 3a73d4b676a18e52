//! One gateway, one target, and five people's worth of changes to be caught in the act.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tests::admin::Instance;
use tests::scim::{GROUP, PATCH, USER};
use tests::{Admin, Db, Gateway, Scim, Sim, wait_until};
use tokio::task::{JoinSet, LocalSet};

/// Bounds are for defects, not for measuring.
pub(crate) const BOUND: Duration = Duration::from_secs(120);
/// The targets played with.
pub(crate) const TARGETS: [&str; 2] = ["github", "buildkite"];

/// A write at the target, by its method and parts of its path in order.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) what: &'static str,
    pub(crate) method: &'static str,
    pub(crate) parts: Vec<String>,
}

impl Write {
    pub(crate) fn new(what: &'static str, method: &'static str, parts: &[&str]) -> Self {
        Self { what, method, parts: parts.iter().map(|part| (*part).to_owned()).collect() }
    }

    /// Whether a call of the ledger is this write.
    pub(crate) fn is(&self, call: &Value) -> bool {
        let mut rest = call["path"].as_str().unwrap_or_default();
        call["method"] == self.method
            && self.parts.iter().all(|part| {
                let found = rest.find(part.as_str());
                rest = found.map_or("", |at| &rest[at + part.len()..]);
                found.is_some()
            })
    }

    /// Whether it makes something, and is told from others by its path.
    pub(crate) fn creates(&self) -> bool {
        matches!(self.what, "invite" | "create team") && self.parts != ["/graphql"]
    }

    /// A fault that makes the target take its time over it.
    pub(crate) fn slow(&self, milliseconds: u64) -> Value {
        json!({"match": {"method": self.method, "path": self.parts.join(".*")}, "times": 1, "do": {"delay_ms": milliseconds}})
    }
}

/// A gateway before a target with three members (ada, bob, cyd) and two teams, cyd in the first.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) target: &'static str,
    pub(crate) gateway: Gateway,
    pub(crate) sim: Sim,
    pub(crate) admin: Admin,
    pub(crate) instance: Instance,
    ada: String,
    bob: String,
    cyd: String,
    old: String,
    new: String,
}

impl Stage {
    pub(crate) async fn set(target: &'static str, db: Db) -> Self {
        let sim = Sim::start(target).await;
        let gateway = Gateway::start(db).await;
        let admin = gateway.admin();
        // Nothing waits for the target: an answer is an acknowledgement and no more.
        let instance = admin.connect(&sim, json!({"answer_within_ms": 0})).await;
        let scim = &instance.scim;
        let ada = scim.user("ada@example.com", "ada@example.com").await;
        let bob = scim.user("bob@example.com", "bob@example.com").await;
        let cyd = scim.user("cyd@example.com", "cyd@example.com").await;
        let old = scim.group("Old", &[&cyd]).await;
        let new = scim.group("New", &[]).await;
        admin.settled(&instance.id).await;
        sim.accept(json!({})).await;
        admin.run(&instance.id, "reconcile").await;
        wait_until("the first team has its member", BOUND, async || {
            let state = sim.state().await;
            (members(&state, "Old") == ["cyd@example.com"]
                && accounts(&state).len() == 3
                && group(&state, "New").len() == 1)
                .then_some(())
        })
        .await;
        admin.settled(&instance.id).await;
        Self { target, gateway, sim, admin, instance, ada, bob, cyd, old, new }
    }

    /// The five writes that [`Self::change`] brings about at the target, once each.
    pub(crate) async fn writes(&self) -> Vec<Write> {
        let state = self.sim.state().await;
        let id = |email: &str, field: &str| {
            let account = accounts(&state).into_iter().find(|one| one["email"] == email);
            account.expect("the person is a member")[field]
                .as_str()
                .expect("an account has an id and a login")
                .to_owned()
        };
        match self.target {
            "github" => vec![
                Write::new("invite", "POST", &["/orgs/", "/invitations"]),
                Write::new("remove", "DELETE", &["/orgs/", "/memberships/", &id("ada@example.com", "login")]),
                Write::new("create team", "POST", &["/orgs/", "/teams"]),
                Write::new("add", "PUT", &["/team/", "/memberships/", &id("bob@example.com", "login")]),
                Write::new("take out", "DELETE", &["/team/", "/memberships/", &id("cyd@example.com", "login")]),
            ],
            _ => vec![
                Write::new("invite", "POST", &["/organizations/", "/invitations"]),
                Write::new("remove", "DELETE", &["/organizations/", "/members/", &id("ada@example.com", "id")]),
                Write::new("create team", "POST", &["/graphql"]),
                Write::new("add", "POST", &["/teams/", "/members/"]),
                Write::new("take out", "DELETE", &["/teams/", "/members/", &id("cyd@example.com", "id")]),
            ],
        }
    }

    /// Five changes at once, one of each kind; every one is acknowledged.
    pub(crate) async fn change(&self) {
        let scim = &self.instance.scim;
        let active = json!([{"op": "replace", "path": "active", "value": false}]);
        let add = json!([{"op": "add", "path": "members", "value": [{"value": self.bob}]}]);
        let remove = json!([{"op": "remove", "path": format!("members[value eq \"{}\"]", self.cyd)}]);
        let answers = tokio::join!(
            send(scim, Method::POST, "/Users".to_owned(), user("dan@example.com")),
            send(scim, Method::PATCH, format!("/Users/{}", self.ada), patch(&active)),
            send(scim, Method::POST, "/Groups".to_owned(), json!({"schemas": [GROUP], "displayName": "Born"})),
            send(scim, Method::PATCH, format!("/Groups/{}", self.new), patch(&add)),
            send(scim, Method::PATCH, format!("/Groups/{}", self.old), patch(&remove)),
        );
        let statuses = [answers.0, answers.1, answers.2, answers.3, answers.4];
        assert!(statuses.iter().all(|status| (200..300).contains(status)), "not all was acknowledged: {statuses:?}");
    }

    /// After the restart: everything gets done, each write had effect once, and nothing is left.
    pub(crate) async fn agrees(&self, writes: &[Write]) {
        let context = || format!("{} on {:?}", self.target, self.gateway.database().kind);
        settled(&self.admin, &self.instance.id, &context()).await;
        let state = self.sim.state().await;
        let calls = self.sim.calls().await;
        let story = || {
            let lines: Vec<_> =
                calls.iter().map(|call| format!("{} {} {}", call["method"], call["path"], call["status"])).collect();
            format!("{}:\n{}\n{state:#}\n{}", context(), lines.join("\n"), self.gateway.log())
        };
        let emails: Vec<_> = accounts(&state).iter().map(|one| one["email"].clone()).collect();
        assert_eq!(emails.len(), 2, "members {}", story());
        assert!(!emails.contains(&json!("ada@example.com")), "ada stayed {}", story());
        let invited: Vec<_> = list(&state, "invitations").iter().map(|one| one["email"].clone()).collect();
        assert_eq!(invited, ["dan@example.com"], "invitations {}", story());
        assert_eq!(group(&state, "Born").len(), 1, "the new team {}", story());
        assert!(members(&state, "Old").is_empty(), "cyd stayed {}", story());
        assert_eq!(members(&state, "New"), ["bob@example.com"], "bob {}", story());
        assert_eq!(list(&state, "groups").len(), 3, "teams {}", story());
        for write in writes {
            // The first calls of the stage are other people's; a GraphQL call tells its kind to
            // nobody; and to add a member twice is to add it once.
            if write.method == "PUT" || write.parts == ["/graphql"] {
                continue;
            }
            let before = match write.what {
                "invite" => 3,
                "create team" => 2,
                "add" => 1,
                _ => 0,
            };
            let done = calls.iter().filter(|call| write.is(call) && succeeded(call)).count();
            assert_eq!(done, before + 1, "{} succeeded {}", write.what, story());
        }
        for id in [&self.ada, &self.bob, &self.cyd] {
            self.instance.scim.get(&format!("/Users/{id}")).await;
        }
    }
}

/// Runs all of them at once; the first that fails ends the test.
pub(crate) async fn together<F: Future<Output = ()> + 'static>(all: impl IntoIterator<Item = F>) {
    let run = async {
        let mut running = JoinSet::new();
        for one in all {
            running.spawn_local(one);
        }
        while let Some(ended) = running.join_next().await {
            if let Err(error) = ended {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    };
    LocalSet::new().run_until(run).await;
}

/// Waits until no operation is open and no work is left; says what is left if that takes too long.
pub(crate) async fn settled(admin: &Admin, instance: &str, context: &str) {
    admin.quiet(instance, BOUND, context).await;
}

async fn send(scim: &Scim, method: Method, path: String, body: Value) -> u16 {
    scim.call(method, &path, Some(&body)).await.status
}

/// A user who is called what their address is.
pub(crate) fn user(email: &str) -> Value {
    json!({"schemas": [USER], "userName": email, "active": true, "emails": [{"value": email, "primary": true}]})
}

/// A PATCH of these operations.
pub(crate) fn patch(operations: &Value) -> Value {
    json!({"schemas": [PATCH], "Operations": operations})
}

/// Whether a call of the ledger was answered with success.
pub(crate) fn succeeded(call: &Value) -> bool {
    call["status"].as_u64().is_some_and(|status| (200..300).contains(&status))
}

/// A list of a simulator's state.
pub(crate) fn list(state: &Value, name: &str) -> Vec<Value> {
    state[name].as_array().cloned().unwrap_or_default()
}

fn accounts(state: &Value) -> Vec<Value> {
    // The credential's own is shown where the target would show it; nobody changes it.
    list(state, "accounts")
        .into_iter()
        .filter(|one| one["email"].as_str().is_some_and(|email| email.ends_with("@example.com")))
        .collect()
}

fn group(state: &Value, name: &str) -> Vec<Value> {
    list(state, "groups").into_iter().filter(|one| one["name"] == name).collect()
}

fn members(state: &Value, name: &str) -> Vec<String> {
    let groups = group(state, name);
    let members = groups.iter().flat_map(|group| list(group, "members"));
    members.map(|member| member["email"].as_str().unwrap_or_default().to_owned()).collect()
}
