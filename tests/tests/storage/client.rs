//! A client that keeps what it was acknowledged.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use tests::scim::USER;
use tests::{Answer, Gateway, Scim, Sim};

/// People pushed through one instance: whom it acknowledged, by user name, with their ids.
pub(super) struct Client {
    pub(super) scim: Scim,
    pub(super) acknowledged: BTreeMap<String, String>,
}

impl Client {
    pub(super) fn new(scim: Scim) -> Self {
        Self { scim, acknowledged: BTreeMap::new() }
    }

    /// Creates one; none if nobody answered.
    pub(super) async fn create(&mut self, name: &str) -> Option<Answer> {
        let answer = self.scim.try_call(Method::POST, "/Users", Some(&person(name))).await.ok()?;
        if answer.status == 201 {
            let id = answer.json()["id"].as_str().unwrap_or_else(|| panic!("no id in {}", answer.text)).to_owned();
            self.acknowledged.insert(name.to_owned(), id);
        }
        Some(answer)
    }

    /// Creates one who is acknowledged.
    pub(super) async fn created(&mut self, name: &str) -> String {
        let answer = self.create(name).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(answer.status, 201, "{name}: {}", answer.text);
        self.acknowledged[name].clone()
    }

    /// Everybody who was acknowledged is there.
    pub(super) async fn all_are_there(&self) {
        for (name, id) in &self.acknowledged {
            let user = self.scim.get(&format!("/Users/{id}")).await;
            assert_eq!(user["userName"], name.as_str(), "{user}");
        }
    }
}

/// A client of a paused instance: what it writes stays in the directory.
pub(super) async fn paused(gateway: &Gateway) -> (Sim, Client) {
    let sim = Sim::start("github").await;
    let mut body = sim.instance("test");
    body["mode"] = json!("paused");
    let made = gateway.admin().create(body).await;
    (sim, Client::new(made.scim))
}

/// A user with an address made of its name.
pub(super) fn person(name: &str) -> Value {
    json!({
        "schemas": [USER], "userName": name, "active": true,
        "emails": [{"value": name, "type": "work", "primary": true}],
    })
}

/// The addresses of a simulator's invitations, sorted.
pub(super) async fn invited(sim: &Sim) -> Vec<String> {
    let state = sim.state().await;
    let invitations = state["invitations"].as_array().cloned().unwrap_or_default();
    let mut emails: Vec<String> =
        invitations.iter().filter_map(|one| one["email"].as_str().map(str::to_owned)).collect();
    emails.sort();
    emails
}

/// Retry-After of an answer that says "not now".
pub(super) fn comes_again(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text);
    let after = answer.header("retry-after").unwrap_or_else(|| panic!("no Retry-After: {:?}", answer.headers));
    assert!(after.parse::<u32>().is_ok_and(|seconds| (1..=300).contains(&seconds)), "Retry-After: {after}");
}
