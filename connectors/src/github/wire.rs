//! The shapes of GitHub's answers, as far as they are read.
//! Source: GitHub's OpenAPI description (github/rest-api-description), version 2022-11-28.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

/// A user in a list or within another object.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) login: String,
    /// The role in a team; only in lists of team members.
    #[serde(default)]
    pub(super) role: Option<String>,
    /// Whether a team membership comes from a child team; only in lists of team members.
    #[serde(default)]
    pub(super) inherited: Option<bool>,
}

/// A membership of the organisation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Membership {
    pub(super) state: String,
    #[serde(default)]
    pub(super) role: Option<String>,
    pub(super) user: User,
}

impl Membership {
    /// Whether the invitation waits for the person.
    pub(super) fn pending(&self) -> bool {
        self.state == "pending"
    }
}

/// A membership of a team.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct TeamMembership {
    pub(super) state: String,
}

/// An invitation, pending or failed.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Invitation {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) login: Option<String>,
    #[serde(default)]
    pub(super) email: Option<String>,
    #[serde(default)]
    pub(super) role: Option<String>,
    #[serde(default)]
    pub(super) created_at: Option<String>,
    #[serde(default)]
    pub(super) failed_reason: Option<String>,
}

impl Invitation {
    /// Seven days after it was sent.
    /// Source: docs.github.com, "Inviting users to join your organization".
    pub(super) fn expires_at(&self) -> Option<Timestamp> {
        let sent: Timestamp = self.created_at.as_deref()?.parse().ok()?;
        sent.checked_add(SignedDuration::from_hours(7 * 24)).ok()
    }
}

/// A team.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Team {
    pub(super) id: u64,
    pub(super) name: String,
    #[serde(default)]
    pub(super) slug: Option<String>,
    /// `enterprise` for teams that the enterprise owns.
    #[serde(default, rename = "type")]
    pub(super) ownership: Option<String>,
    /// Set where GitHub Enterprise Server fills the team from LDAP.
    #[serde(default)]
    pub(super) ldap_dn: Option<String>,
}

/// The organisation.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Org {
    pub(super) id: u64,
    pub(super) login: String,
}

/// The body of a refusal.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) errors: Vec<serde_json::Value>,
}

/// An answer of the GraphQL API.
#[derive(Debug, Deserialize)]
pub(super) struct GraphAnswer {
    #[serde(default)]
    pub(super) data: Option<serde_json::Value>,
    #[serde(default)]
    pub(super) errors: Vec<GraphError>,
}

/// An error of the GraphQL API.
#[derive(Debug, Deserialize)]
pub(super) struct GraphError {
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) message: String,
}

/// `organization { … }`.
#[derive(Debug, Deserialize)]
pub(super) struct InOrg<T> {
    pub(super) organization: Option<T>,
}

/// `membersWithRole { … }`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WithMembers {
    pub(super) members_with_role: Connection<MemberEdge>,
}

/// `samlIdentityProvider { externalIdentities }`, under an alias each; null without SAML.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WithSaml {
    pub(super) saml_identity_provider: Option<HashMap<String, Connection<IdentityEdge>>>,
}

/// A GraphQL connection.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Connection<E> {
    #[serde(default)]
    pub(super) page_info: Option<PageInfo>,
    pub(super) edges: Vec<E>,
}

/// Where a connection goes on.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PageInfo {
    pub(super) has_next_page: bool,
    #[serde(default)]
    pub(super) end_cursor: Option<String>,
}

/// One member of the organisation with the role.
#[derive(Debug, Deserialize)]
pub(super) struct MemberEdge {
    #[serde(default)]
    pub(super) role: Option<String>,
    pub(super) node: Option<MemberNode>,
}

/// One member.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberNode {
    pub(super) login: String,
    pub(super) database_id: u64,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) organization_verified_domain_emails: Vec<String>,
}

/// One SAML identity.
#[derive(Debug, Deserialize)]
pub(super) struct IdentityEdge {
    pub(super) node: Option<IdentityNode>,
}

/// One SAML identity and the account it belongs to; null while nobody claimed it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IdentityNode {
    #[serde(default)]
    pub(super) saml_identity: Option<SamlIdentity>,
    #[serde(default)]
    pub(super) user: Option<IdentityUser>,
}

/// The names in a SAML identity.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SamlIdentity {
    #[serde(default)]
    pub(super) name_id: Option<String>,
    #[serde(default)]
    pub(super) username: Option<String>,
    #[serde(default)]
    pub(super) emails: Option<Vec<SamlEmail>>,
}

impl SamlIdentity {
    /// Every name and address in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [self.name_id.as_deref(), self.username.as_deref()].into_iter().flatten().chain(self.addresses())
    }

    /// The addresses it lists.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.emails.iter().flatten().map(|email| email.value.as_str())
    }

    /// The first that is an address.
    pub(super) fn email(&self) -> Option<&str> {
        self.addresses()
            .chain([self.name_id.as_deref(), self.username.as_deref()].into_iter().flatten())
            .find(|text| text.contains('@'))
    }
}

/// An address in a SAML identity.
#[derive(Debug, Deserialize)]
pub(super) struct SamlEmail {
    pub(super) value: String,
}

/// The account of a SAML identity.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct IdentityUser {
    pub(super) login: String,
    pub(super) database_id: u64,
}
