//! What a connector can do, as data.

use serde::Serialize;

use crate::id::DriverKey;
use crate::limits::{Bucket, Charge};
use crate::tariff::{StepCost, Tariff};

/// Which resources a connector serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Accounts only.
    User,
    /// Groups only; users live in the directory and are matched to accounts.
    Group,
    /// Both.
    UserAndGroup,
}

/// What `active = false` can mean at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suspend {
    /// The target can suspend; `set_active` works.
    Native,
    /// It cannot: the account is removed from the organisation, and invited again on return.
    Removes,
}

/// A role of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleTrait {
    /// Its value at the target.
    pub value: &'static str,
    /// Whether it gives power over others: only set where the policy allows it.
    pub privileged: bool,
}

/// What one built connector can do. Depends on its settings (GitHub without organisation
/// membership has no accounts to create).
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Traits {
    /// Which resources it serves.
    pub kind: Kind,
    /// What its limits follow.
    pub driver_key: DriverKey,
    /// The limits.
    pub buckets: Vec<Bucket>,
    /// What each call costs of them.
    pub tariff: Tariff,
    /// What the engine's steps cost, all calls of each together.
    pub costs: Vec<StepCost>,
    /// What `active = false` means.
    pub suspend: Suspend,
    /// Whether `create` invites, so that an account comes later.
    pub invites: bool,
    /// SCIM attributes that reach the target (`roles`, `displayName`); the rest live in the
    /// directory only and never drift.
    pub writable: Vec<&'static str>,
    /// The roles of accounts.
    pub roles: Vec<RoleTrait>,
    /// The role of an account that asks for none.
    pub default_role: Option<&'static str>,
    /// Whether listings tell verified addresses, which the policy `by_verified_email` needs.
    pub verified_emails: bool,
    /// Members per `change_members` call; 1 for targets without batches.
    pub members_per_call: usize,
    /// Whether a pending invitation can be made a member of a group.
    pub pending_members: bool,
    /// Whether a group we create needs [`crate::Groups::tidy`] (the credential's own account leaves it).
    pub tidy_created_groups: bool,
}

impl Traits {
    /// The traits of a plain connector for accounts and groups; set what differs.
    pub fn new(kind: Kind, driver_key: DriverKey) -> Self {
        Self {
            kind,
            driver_key,
            buckets: Vec::new(),
            tariff: Tariff::default(),
            costs: Vec::new(),
            suspend: Suspend::Removes,
            invites: false,
            writable: Vec::new(),
            roles: Vec::new(),
            default_role: None,
            verified_emails: false,
            members_per_call: 1,
            pending_members: false,
            tidy_created_groups: false,
        }
    }

    /// What a step costs, by the word that attempts record; nothing where that is not declared.
    pub fn cost(&self, step: &str) -> &[Charge] {
        self.costs.iter().find(|cost| cost.step == step).map_or(&[], |cost| cost.charges.as_slice())
    }
}
