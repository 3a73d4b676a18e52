//! Groups at the target.

use serde::{Deserialize, Serialize};

use crate::account::AccountRef;
use crate::id::RemoteId;

/// A group (team, role) at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RemoteGroup {
    /// The immutable id.
    pub id: RemoteId,
    /// The name shown to people.
    pub name: String,
    /// The URL name, where the target has one; it changes with the name.
    pub slug: Option<String>,
    /// Whether membership is managed elsewhere (team sync, an external group) and may not be changed.
    pub protected: bool,
}

impl RemoteGroup {
    /// A group of that id and name.
    pub fn new(id: RemoteId, name: impl Into<String>) -> Self {
        Self { id, name: name.into(), slug: None, protected: false }
    }
}

/// What the directory wants of one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupWant {
    /// SCIM `displayName`.
    pub name: String,
}

impl GroupWant {
    /// A group of that name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// What shall change at a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupChange {
    /// The new name.
    pub name: Option<String>,
}

/// One member of a group at the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Member {
    /// Who.
    pub account: AccountRef,
    /// Whether the membership waits for the acceptance of an invitation.
    pub pending: bool,
    /// Whether it comes from a child group and cannot be removed here.
    pub inherited: bool,
    /// The role within the group, where the target has one.
    pub role: Option<String>,
}

impl Member {
    /// A plain member.
    pub fn of(account: AccountRef) -> Self {
        Self { account, pending: false, inherited: false, role: None }
    }
}
