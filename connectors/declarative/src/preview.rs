//! Every request of a manifest, rendered offline with sample data.

use connector_sdk::Person;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Whom and what a preview speaks of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sample {
    /// The person.
    pub person: Person,
    /// The id of their account at the target.
    pub account_id: String,
    /// Their login at the target.
    pub account_login: String,
    /// The id of a pending invitation.
    pub invite_id: String,
    /// The name of the group.
    pub group_name: String,
    /// The id of the group at the target.
    pub group_id: String,
    /// What the target shows of the object that is changed, for requests that send it back whole.
    pub item: Value,
}

impl Default for Sample {
    fn default() -> Self {
        let mut person = Person::named("ada@example.com");
        person.email = Some("ada@example.com".to_owned());
        person.display_name = Some("Ada Lovelace".to_owned());
        if let Value::Object(attributes) =
            json!({ "userName": "ada@example.com", "name": { "givenName": "Ada", "familyName": "Lovelace" } })
        {
            person.attributes = attributes;
        }
        Self {
            person,
            account_id: "1001".to_owned(),
            account_login: "ada".to_owned(),
            invite_id: "2001".to_owned(),
            group_name: "Platform".to_owned(),
            group_id: "3001".to_owned(),
            item: json!({}),
        }
    }
}

/// One request as it would be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// The operation in the manifest: `accounts.create`.
    pub operation: String,
    /// The call's name in attempts and metrics: `create account`.
    pub call: String,
    /// Whether it writes.
    pub writes: bool,
    /// The method.
    pub method: String,
    /// The whole URL; secrets are `***`.
    pub url: String,
    /// The headers; secrets are `***`.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: Option<String>,
    /// Why it could not be rendered with this sample, where it could not.
    pub problem: Option<String>,
}
