//! Where a target differs from what was asserted through the gateway, and what becomes of it
//! (DECISIONS 7, 12, 22, 23, 29).
//!
//! A difference is a fact (a [`Class`], and what mending it would do to somebody's access); what is
//! done about it is a decision of its own ([`action`]), so that a policy never changes what is seen.
//! Of a person the planner is asked itself: what it would still do though nothing is asked is what
//! differs. Only attributes that reach the target can differ, because the planner plans no others.

use connector_sdk::RoleTrait;
use serde::{Deserialize, Serialize};

use crate::membership::Link;
use crate::person::{PersonStep, PersonView, Wanted};
use crate::policy::Repair;

/// What kind of difference it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// A person, group or membership that is wanted and was there is not there.
    Missing,
    /// The account or group that a person or group was tied to is gone from the target.
    Vanished,
    /// A role or status is not what was asserted.
    Changed,
    /// A login or the name of a group is another.
    Renamed,
    /// A group has a member that nobody asserted, or whose person shall have no access.
    Extra,
    /// An account or group at the target that nobody pushed.
    Unmanaged,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 6] =
        [Self::Missing, Self::Vanished, Self::Changed, Self::Renamed, Self::Extra, Self::Unmanaged];

    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Vanished => "vanished",
            Self::Changed => "changed",
            Self::Renamed => "renamed",
            Self::Extra => "extra",
            Self::Unmanaged => "unmanaged",
        }
    }

    /// The class of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == word)
    }
}

/// What mending a difference would do to somebody's access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Somebody would have less.
    Less,
    /// Somebody would have more.
    More,
    /// Neither.
    Same,
}

/// One difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its kind.
    pub class: Class,
    /// What mending it would do.
    pub access: Access,
    /// Whether the gateway could mend it: the planner has a step that does.
    pub mendable: bool,
}

/// What was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Before {
    /// Nothing that is known.
    Never,
    /// An account or group, which we removed or let go of.
    There,
    /// An account or group that a listing no longer showed, nor a read found (DECISIONS 22).
    Vanished,
}

/// What differs of one person: `step` is the planner's answer to `view`, whose account was just seen at
/// the target. The caller leaves people aside whose work is open: those differ because something is
/// under way.
pub fn of_person(step: &PersonStep, view: &PersonView<'_>, before: Before) -> Option<Difference> {
    let some = |class, access, mendable| Some(Difference { class, access, mendable });
    match step {
        PersonStep::Settled | PersonStep::Look | PersonStep::Match | PersonStep::Follow(_) => None,
        PersonStep::Create => some(gone(before)?, Access::More, true),
        PersonStep::Update(change) if change.role.is_none() => some(Class::Changed, Access::Same, true),
        PersonStep::Update(change) => {
            let has = view.account.as_ref().and_then(|account| account.role.as_deref()).or(view.traits.default_role);
            some(Class::Changed, towards(has, change.role.as_deref(), &view.traits.roles), true)
        }
        PersonStep::Suspend => some(Class::Changed, Access::Less, true),
        PersonStep::Restore => some(Class::Changed, Access::More, true),
        PersonStep::Remove(_) if view.wanted == Wanted::Access => some(Class::Changed, Access::Same, true),
        PersonStep::Remove(_) => some(Class::Changed, Access::Less, true),
        PersonStep::Need(_) if view.account.is_none() => some(gone(before)?, Access::More, false),
        PersonStep::Need(_) => some(Class::Changed, Access::Same, false),
    }
}

/// The class of what is wanted and not there; none if it never was.
fn gone(before: Before) -> Option<Class> {
    match before {
        Before::Never => None,
        Before::There => Some(Class::Missing),
        Before::Vanished => Some(Class::Vanished),
    }
}

/// What a change of role does to access. Roles are told apart by the power over others that they give;
/// of two without it nobody can say which is more.
fn towards(has: Option<&str>, wanted: Option<&str>, roles: &[RoleTrait]) -> Access {
    let power = |role: Option<&str>| {
        role.is_some_and(|role| roles.iter().any(|one| one.privileged && one.value.eq_ignore_ascii_case(role)))
    };
    match (power(has), power(wanted)) {
        (true, false) => Access::Less,
        (false, true) => Access::More,
        _ => Access::Same,
    }
}

/// What differs of one group that is managed: the name that is wanted, the one that was seen (none if
/// the group is not there), and what was there before.
pub fn of_group(wanted: &str, seen: Option<&str>, before: Before) -> Option<Difference> {
    match seen {
        Some(name) if name == wanted => None,
        Some(_) => Some(Difference { class: Class::Renamed, access: Access::Same, mendable: true }),
        None => Some(Difference { class: gone(before)?, access: Access::More, mendable: true }),
    }
}

/// A login that its owner changed. It is followed by the account's id, so there is nothing to mend.
pub fn of_login(known_as: Option<&str>, login: Option<&str>) -> Option<Difference> {
    let (known_as, login) = (known_as?, login?);
    let same = known_as.trim().to_lowercase() == login.trim().to_lowercase();
    (!same).then_some(Difference { class: Class::Renamed, access: Access::Same, mendable: false })
}

/// An account or group that nobody pushed: known, and none of ours to touch.
pub const UNMANAGED: Difference = Difference { class: Class::Unmanaged, access: Access::Less, mendable: false };

/// A membership as a listing showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Not listed, and the listing was complete.
    Absent,
    /// Listed.
    Present,
    /// Listed as waiting for the acceptance of an invitation.
    Pending,
}

/// What is known of one member of a group, or of who was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberFacts {
    /// What the directory asks for; none if it says nothing of this account.
    pub want: Option<bool>,
    /// Whether the row agreed with the target when it was last touched, and nothing is under way.
    pub settled: bool,
    /// Whether the person is wanted at the target.
    pub user_wanted: bool,
    /// Whether the person's tie lets them be a member.
    pub link: Link,
    /// What the listing showed.
    pub seen: Seen,
    /// It comes from a child group, or the account must not be touched.
    pub aside: bool,
    /// We created the group: then we are the authority over its members (DECISIONS 7).
    pub group_is_ours: bool,
    /// The person loses the account, and with it every membership.
    pub account_goes: bool,
    /// Whether there is a row of the directory by which the account can be named.
    pub known: bool,
    /// Whether this target lets us change memberships of invitations.
    pub pending_members: bool,
}

/// What differs of one membership, and whether it is of what was asserted.
pub fn of_member(facts: &MemberFacts) -> Option<(Difference, bool)> {
    if facts.want.is_some() && !facts.settled {
        return None;
    }
    let wanted = facts.want == Some(true) && facts.user_wanted;
    if wanted {
        let missing = facts.seen == Seen::Absent && facts.link == Link::Active;
        return missing.then_some((Difference { class: Class::Missing, access: Access::More, mendable: true }, true));
    }
    if facts.seen == Seen::Absent || facts.aside {
        return None;
    }
    // A wish for a person without access is an assertion of its own: they are in no group.
    let asserted = facts.group_is_ours || facts.want.is_some();
    if facts.want.is_some() && facts.account_goes {
        return None;
    }
    let mendable = facts.known && (facts.seen == Seen::Present || facts.pending_members);
    Some((Difference { class: Class::Extra, access: Access::Less, mendable }, asserted))
}

/// Under which circumstances a difference stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// It contradicts something that was asserted through the gateway.
    pub asserted: bool,
    /// An admin decided to leave it as it is, and nobody wrote it again since.
    pub waived: bool,
    /// The identity provider wrote again what it had asked for already: that is how admins there ask
    /// for a repair (DECISIONS 12).
    pub repeated: bool,
}

/// What becomes of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is shown.
    Report,
    /// It is mended.
    Repair,
    /// It stays as it is, by an admin's decision.
    Dismissed,
}

impl Action {
    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Repair => "repair",
            Self::Dismissed => "dismissed",
        }
    }
}

/// Decides what becomes of a difference.
pub fn action(difference: Difference, circumstances: Circumstances, policy: Repair) -> Action {
    if circumstances.waived && !circumstances.repeated {
        return Action::Dismissed;
    }
    if !difference.mendable || !circumstances.asserted {
        return Action::Report;
    }
    let may = match (policy, difference.access) {
        (_, _) if circumstances.repeated => true,
        (Repair::None, _) => false,
        (Repair::LessAccess, access) => access == Access::Less,
        (Repair::All, _) => true,
    };
    if may { Action::Repair } else { Action::Report }
}

#[cfg(test)]
mod tests;
