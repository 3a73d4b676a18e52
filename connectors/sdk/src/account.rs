//! People at the target.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::id::{InviteId, RemoteId};

/// What the directory wants of one person, in the target-neutral words of SCIM.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Person {
    /// SCIM `userName`, byte for byte.
    pub user_name: String,
    /// The primary e-mail, else the first, else a `userName` that is an address.
    pub email: Option<String>,
    /// SCIM `displayName`, else `name.formatted`, else given and family name.
    pub display_name: Option<String>,
    /// The role, one of [`crate::Traits::roles`]; `None` leaves the target's default or present role.
    pub role: Option<String>,
    /// The target's groups this person shall be in, for connectors that can say so when inviting.
    #[serde(default)]
    pub groups: Vec<RemoteId>,
    /// The whole SCIM document, for attributes a connector declares of its own.
    pub attributes: Map<String, Value>,
}

impl Person {
    /// A person of that name, nothing else known.
    pub fn named(user_name: impl Into<String>) -> Self {
        Self { user_name: user_name.into(), ..Self::default() }
    }

    /// The string at a dotted or URN path of the document (`nickName`, `name.givenName`,
    /// `urn:…:User:gitHubLogin`); `userName` is the user name itself. Names compare without case.
    pub fn text_at(&self, path: &str) -> Option<&str> {
        if path.eq_ignore_ascii_case("userName") {
            return Some(&self.user_name);
        }
        let (container, rest) = match path.rfind(':') {
            Some(cut) if path.len() > 4 && path.is_char_boundary(4) && path[..4].eq_ignore_ascii_case("urn:") => {
                (child(&self.attributes, &path[..cut])?.as_object()?, &path[cut + 1..])
            }
            _ => (&self.attributes, path),
        };
        let mut at = container;
        let mut names = rest.split('.').peekable();
        while let Some(name) = names.next() {
            let value = child(at, name)?;
            if names.peek().is_none() {
                return value.as_str();
            }
            at = value.as_object()?;
        }
        None
    }
}

/// The attributes of a document that are never written as they stand: the service's own, what calls of their own
/// write (`active`, `groups`, `roles`), and what is not kept (`password`).
pub const NOT_WRITTEN: [&str; 7] = ["id", "meta", "schemas", "active", "groups", "roles", "password"];

pub(crate) fn child<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

/// Where an account stands at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// Invited, not accepted yet.
    Invited,
    /// Has access.
    Active,
    /// Is there, without access.
    Suspended,
}

/// One account or pending invitation, as the target tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// The immutable id; absent while only an invitation exists.
    pub remote_id: Option<RemoteId>,
    /// The invitation's id, while it is one.
    pub invite_id: Option<InviteId>,
    /// The login or handle; its owner can change it.
    pub login: Option<String>,
    /// The e-mail, where the target tells it.
    pub email: Option<String>,
    /// Whether the target says that the address is verified.
    pub email_verified: bool,
    /// The name shown to people.
    pub display_name: Option<String>,
    /// The role, as [`crate::Traits::roles`] names it.
    pub role: Option<String>,
    /// Where it stands.
    pub status: AccountStatus,
    /// True for accounts that must never be suspended or removed: the credential's own, the last owner.
    pub protected: bool,
    /// When a pending invitation ends.
    pub expires_at: Option<Timestamp>,
}

impl Account {
    /// An active account of that id.
    pub fn active(id: RemoteId) -> Self {
        Self {
            remote_id: Some(id),
            invite_id: None,
            login: None,
            email: None,
            email_verified: false,
            display_name: None,
            role: None,
            status: AccountStatus::Active,
            protected: false,
            expires_at: None,
        }
    }

    /// A pending invitation of that id.
    pub fn invited(id: InviteId) -> Self {
        Self { invite_id: Some(id), remote_id: None, status: AccountStatus::Invited, ..Self::active(RemoteId::new("")) }
    }

    /// How later calls name it; `None` if the target gave neither id.
    pub fn reference(&self) -> Option<AccountRef> {
        if self.status == AccountStatus::Invited
            && let Some(id) = &self.invite_id
        {
            return Some(AccountRef::Invite { id: id.clone(), email: self.email.clone(), login: self.login.clone() });
        }
        self.remote_id.clone().map(|id| AccountRef::Account { id, login: self.login.clone() })
    }
}

/// How a call names an account or invitation that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountRef {
    /// An account, by its immutable id; `login` is the last one seen.
    Account {
        /// The immutable id.
        id: RemoteId,
        /// The last login seen.
        login: Option<String>,
    },
    /// A pending invitation.
    Invite {
        /// The invitation's id.
        id: InviteId,
        /// The invited address.
        email: Option<String>,
        /// The invited login.
        login: Option<String>,
    },
}

impl AccountRef {
    /// The account's id, or the invitation's.
    pub fn id(&self) -> &str {
        match self {
            Self::Account { id, .. } => id.as_str(),
            Self::Invite { id, .. } => id.as_str(),
        }
    }
}

/// Why an account is believed to be a person's. The engine decides what each is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// The target's own link: the id we hold, Buildkite's `accepted_by`.
    SameId,
    /// A SAML identity whose name or e-mail is the person's.
    SamlIdentity,
    /// A verified address equals the person's.
    VerifiedEmail,
    /// The login equals the handle that the identity source names.
    Login,
    /// An address the target shows equals the person's; not known to be verified.
    Email,
}

/// An account found for a person, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The account.
    pub account: Account,
    /// Why it is believed to be the person's.
    pub evidence: Evidence,
}

/// What shall change at an account. Only attributes that [`crate::Traits::writable`] names are ever set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccountChange {
    /// The new role.
    pub role: Option<String>,
    /// The new display name.
    pub display_name: Option<String>,
    /// The new e-mail.
    pub email: Option<String>,
    /// The person as the directory wants them now, where more than the role changes: what of it
    /// [`crate::Traits::writable`] names is written.
    pub person: Option<Box<Person>>,
}

impl AccountChange {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
