//! What a connector can do, as data.

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::account::{NOT_WRITTEN, Person, child};
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

/// What [`crate::Accounts::remove`] leaves behind at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Removal {
    /// Nothing: the account is no longer in the organisation.
    Gone,
    /// The target deletes no accounts: it stays there, suspended, and counts as removed. Creating
    /// the person again finds it, and it is restored. Only where [`Suspend::Native`] holds.
    Suspended,
}

/// A role of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleTrait {
    /// Its value at the target.
    pub value: &'static str,
    /// Whether it gives power over others: only set where the policy allows it.
    pub privileged: bool,
}

/// What may follow a write whose outcome is not known: it was sent, and no usable answer came
/// (DECISIONS 18, 19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeatable {
    /// Twice is the same as once: the engine repeats it.
    Idempotent,
    /// Twice may be a duplicate, but a look tells whether it happened: the engine looks first, and
    /// repeats it only if it did not.
    Verifiable,
    /// Neither: a person says what happened, and until then it is not repeated.
    Neither,
}

/// What may follow each of a connector's writes whose outcome is not known.
///
/// [`Repeats::default`] is what the contracts of [`crate::Accounts`] and [`crate::Groups`] ask for.
/// A connector whose target is worse than that declares it here; one whose target is better gains
/// nothing by saying so but a look that is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Repeats {
    /// [`crate::Accounts::create`]. Verifiable where [`crate::Accounts::find`] sees what a lost
    /// creation did.
    pub create: Repeatable,
    /// [`crate::Accounts::update`]. Verifiable where [`crate::Accounts::get`] tells.
    pub update: Repeatable,
    /// [`crate::Accounts::set_active`]. Verifiable where [`crate::Accounts::get`] tells.
    pub set_active: Repeatable,
    /// [`crate::Accounts::remove`]. Verifiable where [`crate::Accounts::get`] tells.
    pub remove: Repeatable,
    /// [`crate::Groups::create`]. Verifiable where [`crate::Groups::find`] sees what a lost creation
    /// did.
    pub create_group: Repeatable,
    /// [`crate::Groups::update`]. Verifiable where [`crate::Groups::get`] tells.
    pub update_group: Repeatable,
    /// [`crate::Groups::remove`]. Verifiable where [`crate::Groups::get`] tells.
    pub remove_group: Repeatable,
    /// [`crate::Groups::tidy`]. No look tells, so `Verifiable` counts as `Neither`.
    pub tidy_group: Repeatable,
    /// [`crate::Groups::change_members`]. Verifiable where [`crate::Groups::members`] tells.
    pub change_members: Repeatable,
}

impl Default for Repeats {
    fn default() -> Self {
        Self {
            create: Repeatable::Verifiable,
            update: Repeatable::Idempotent,
            set_active: Repeatable::Idempotent,
            remove: Repeatable::Idempotent,
            create_group: Repeatable::Verifiable,
            update_group: Repeatable::Idempotent,
            remove_group: Repeatable::Idempotent,
            tidy_group: Repeatable::Idempotent,
            change_members: Repeatable::Idempotent,
        }
    }
}

/// Whom a target takes into groups before they accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PendingMembers {
    /// Nobody.
    #[default]
    No,
    /// Who was invited by their login: an address alone cannot be made a member.
    ByLogin,
    /// Every invitation, by its id.
    ById,
}

impl PendingMembers {
    /// Whether anybody is taken.
    pub fn any(self) -> bool {
        self != Self::No
    }

    /// Whether an invitation is taken of which a login is known, or none.
    pub fn takes(self, has_login: bool) -> bool {
        match self {
            Self::No => false,
            Self::ByLogin => has_login,
            Self::ById => true,
        }
    }
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
    /// What a removal leaves behind.
    pub removal: Removal,
    /// Whether `create` invites, so that an account comes later.
    pub invites: bool,
    /// Whether a pending invitation ends by itself and shows it. One that does not stays pending until it is accepted or
    /// taken back.
    pub invitations_end: bool,
    /// SCIM attributes that reach the target (`roles`, `displayName`; `*`: the whole document); the
    /// rest live in the directory only and never drift.
    pub writable: Vec<&'static str>,
    /// The roles of accounts.
    pub roles: Vec<RoleTrait>,
    /// The role of an account that asks for none.
    pub default_role: Option<&'static str>,
    /// Whether listings tell verified addresses, which the policy `by_verified_email` needs.
    pub verified_emails: bool,
    /// Members per `change_members` call; 1 for targets without batches.
    pub members_per_call: usize,
    /// Whether a pending invitation can be made a member of a group, and what it has to be known by.
    pub pending_members: PendingMembers,
    /// Whether a group we create needs [`crate::Groups::tidy`] (the credential's own account leaves it).
    pub tidy_created_groups: bool,
    /// What may follow a write whose outcome is not known.
    pub repeats: Repeats,
    /// Whether it speaks HTTP, by [`crate::Cx::send`]. One that goes by [`crate::Cx::perform`] alone
    /// has no HTTP answers to misread.
    pub speaks_http: bool,
    /// Whether the credential is an account of the target's own, which listings show as protected. A
    /// directory's administrator outside of the branch, or a database role, is none.
    pub own_account: bool,
    /// Whether people do what is asked of it, through [`crate::Desk`]: a change takes hours or days, and is on
    /// record here.
    pub by_hand: bool,
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
            removal: Removal::Gone,
            invites: false,
            invitations_end: true,
            writable: Vec::new(),
            roles: Vec::new(),
            default_role: None,
            verified_emails: false,
            members_per_call: 1,
            pending_members: PendingMembers::No,
            tidy_created_groups: false,
            repeats: Repeats::default(),
            speaks_http: true,
            own_account: true,
            by_hand: false,
        }
    }

    /// What a step costs, by the word that attempts record; nothing where that is not declared.
    pub fn cost(&self, step: &str) -> &[Charge] {
        self.step(step).map_or(&[], |cost| cost.charges.as_slice())
    }

    /// How many calls a step makes, by the same word; one where that is not declared.
    pub fn calls(&self, step: &str) -> u32 {
        self.step(step).map_or(1, |cost| cost.calls)
    }

    /// A fingerprint of what of a person [`Traits::writable`] names beside the role: when it changes,
    /// the account is to be updated. `None` where nothing but the role can be written.
    pub fn profile(&self, person: &Person) -> Option<String> {
        let mut parts: Vec<(&str, Value)> = Vec::new();
        for &name in self.writable.iter().filter(|name| !name.eq_ignore_ascii_case("roles")) {
            let value = match name {
                "*" => {
                    let kept = person.attributes.iter();
                    let kept = kept.filter(|(name, _)| !NOT_WRITTEN.iter().any(|one| one.eq_ignore_ascii_case(name)));
                    let mut all: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
                    all.insert("userName".to_owned(), Value::from(person.user_name.clone()));
                    Value::Object(all)
                }
                _ if name.eq_ignore_ascii_case("userName") => Value::from(person.user_name.clone()),
                _ if name.eq_ignore_ascii_case("displayName") => Value::from(person.display_name.clone()),
                _ if name.eq_ignore_ascii_case("emails") => Value::from(person.email.clone()),
                _ => match child(&person.attributes, name) {
                    Some(value) => value.clone(),
                    None => Value::from(person.text_at(name)),
                },
            };
            parts.push((name, value));
        }
        if parts.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for (name, value) in &parts {
            hash.update(name.as_bytes());
            digest(value, &mut hash);
        }
        Some(hash.finalize().iter().take(12).map(|byte| format!("{byte:02x}")).collect())
    }

    fn step(&self, step: &str) -> Option<&StepCost> {
        self.costs.iter().find(|cost| cost.step == step)
    }
}

/// Adds a value to a hash, whatever the order of its names. Documents are no deeper than what reads them allows.
fn digest(value: &Value, hash: &mut Sha256) {
    match value {
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| digest(item, hash));
            hash.update(b"]");
        }
        Value::Object(map) => {
            hash.update(b"{");
            let mut names: Vec<&String> = map.keys().collect();
            names.sort();
            for name in names {
                // Length first: names and texts may hold any character.
                hash.update(name.len().to_be_bytes());
                hash.update(name.as_bytes());
                digest(&map[name], hash);
            }
            hash.update(b"}");
        }
        Value::String(text) => {
            hash.update(b"\"");
            hash.update(text.len().to_be_bytes());
            hash.update(text.as_bytes());
        }
        other => hash.update(other.to_string().as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn person(attributes: Value) -> Person {
        let mut person = Person::named("ada");
        person.attributes = attributes.as_object().cloned().unwrap_or_default();
        person
    }

    #[test]
    fn a_profile_is_what_is_written_and_nothing_else() {
        let mut traits = Traits::new(Kind::User, DriverKey::new("k"));
        let ada = person(json!({"title": "A", "active": true, "name": {"givenName": "Ada", "familyName": "L"}}));
        let same = person(json!({"name": {"familyName": "L", "givenName": "Ada"}, "active": false, "title": "A"}));
        let other = person(json!({"title": "B", "name": {"givenName": "Ada", "familyName": "L"}}));
        assert_eq!(traits.profile(&ada), None);
        traits.writable = vec!["roles"];
        assert_eq!(traits.profile(&ada), None);
        for (writable, differs) in [(vec!["*"], true), (vec!["title"], true), (vec!["name.givenName"], false)] {
            traits.writable = writable;
            assert!(traits.profile(&ada).is_some());
            assert_eq!(traits.profile(&ada), traits.profile(&same), "{:?}", traits.writable);
            assert_eq!(traits.profile(&ada) != traits.profile(&other), differs, "{:?}", traits.writable);
        }
        traits.writable = vec!["displayName", "emails", "userName"];
        let mut renamed = ada.clone();
        renamed.display_name = Some("Ada L".to_owned());
        assert_ne!(traits.profile(&ada), traits.profile(&renamed));
    }
}
