//! A SCIM client that sends exactly what it is told to.

use http::Method;
use serde_json::{Value, json};

use crate::http_client::{self, Answer};

/// The schema of a user.
pub const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// The schema of a group.
pub const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// The schema of a PATCH.
pub const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// The SCIM API of one instance.
#[derive(Clone, Debug)]
pub struct Scim {
    client: reqwest::Client,
    /// Its base URL, without a slash at the end.
    pub base: String,
    /// The key in use.
    pub key: String,
}

impl Scim {
    /// The API at `base`, with a key.
    pub fn new(base: &str, key: &str) -> Self {
        Self { client: http_client::client(), base: base.trim_end_matches('/').to_owned(), key: key.to_owned() }
    }

    /// One call; `path` begins with a slash.
    ///
    /// # Errors
    /// If no answer came, which is for the tests that kill the gateway.
    pub async fn try_call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, reqwest::Error> {
        let bearer = format!("Bearer {}", self.key);
        let mut headers = vec![("authorization", bearer.as_str())];
        if body.is_some() {
            headers.push(("content-type", "application/scim+json"));
        }
        let url = format!("{}{path}", self.base);
        http_client::send(&self.client, method, &url, &headers, body.map(Value::to_string)).await
    }

    /// One call that is answered.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_call(method, path, body).await.unwrap_or_else(|error| panic!("SCIM does not answer {path}: {error}"))
    }

    /// A GET that succeeds.
    pub async fn get(&self, path: &str) -> Value {
        self.call(Method::GET, path, None).await.expect(200)
    }

    /// Creates an active user with a work e-mail; answers its id.
    pub async fn user(&self, user_name: &str, email: &str) -> String {
        let body = json!({
            "schemas": [USER], "userName": user_name, "active": true,
            "name": {"givenName": "Test", "familyName": "Person"},
            "emails": [{"value": email, "type": "work", "primary": true}],
        });
        id(&self.call(Method::POST, "/Users", Some(&body)).await.expect(201))
    }

    /// Creates a group with members by id; answers its id.
    pub async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<_> = members.iter().map(|id| json!({"value": id})).collect();
        let body = json!({"schemas": [GROUP], "displayName": name, "members": members});
        id(&self.call(Method::POST, "/Groups", Some(&body)).await.expect(201))
    }

    /// Patches a resource with these operations.
    pub async fn patch(&self, path: &str, operations: Value) -> Answer {
        let body = json!({"schemas": [PATCH], "Operations": operations});
        self.call(Method::PATCH, path, Some(&body)).await
    }

    /// Sets a user's `active`.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn set_active(&self, user: &str, active: bool) {
        let operations = json!([{"op": "replace", "path": "active", "value": active}]);
        self.patch(&format!("/Users/{user}"), operations).await.expect(200);
    }

    /// Adds a member to a group.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn add_member(&self, group: &str, user: &str) {
        let operations = json!([{"op": "add", "path": "members", "value": [{"value": user}]}]);
        let answer = self.patch(&format!("/Groups/{group}"), operations).await;
        assert!(matches!(answer.status, 200 | 204), "add a member: {} {}", answer.status, answer.text);
    }

    /// Removes a member from a group.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn remove_member(&self, group: &str, user: &str) {
        let operations = json!([{"op": "remove", "path": format!("members[value eq \"{user}\"]")}]);
        let answer = self.patch(&format!("/Groups/{group}"), operations).await;
        assert!(matches!(answer.status, 200 | 204), "remove a member: {} {}", answer.status, answer.text);
    }
}

fn id(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_else(|| panic!("no id in {resource}")).to_owned()
}
