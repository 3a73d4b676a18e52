//! One membership, and its next step (DECISIONS 20, 21).
//!
//! `want` is what the directory asks for and survives deactivation; it has an effect only while the
//! user is wanted at the target and can be a member there. Otherwise it is parked: visible, without
//! a timer, and woken by what was missing.

use serde::{Deserialize, Serialize};

/// What is known of a membership at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Have {
    /// Nothing.
    Unknown,
    /// The account is no member.
    No,
    /// It is one.
    Yes,
    /// It becomes one with the acceptance of an invitation.
    Pending,
}

/// The user's tie to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// There is none.
    None,
    /// To an invitation.
    Invited,
    /// To an account with access.
    Active,
    /// To an account without.
    Suspended,
}

/// All that the next step depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Whether the directory wants it.
    pub want: bool,
    /// What is known at the target.
    pub have: Have,
    /// Whether the user is wanted at the target: live, active, managed.
    pub user_wanted: bool,
    /// The user's tie to the target.
    pub link: Link,
    /// Whether the user loses the account now, and with it every membership.
    pub removal_takes_memberships: bool,
    /// Whether the target lets an invitation be a member ([`connector_sdk::Traits::pending_members`]).
    pub pending_members: bool,
    /// Whether the group exists at the target and is linked.
    pub group_ready: bool,
}

/// Why a membership is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// The user has no access, by the directory's wish.
    Inactive,
    /// The user is invited, and this target takes no invitation as a member.
    Invited,
    /// No account is known for the user.
    NoAccount,
    /// The group is not at the target (yet).
    GroupMissing,
}

impl ParkReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Inactive, Self::Invited, Self::NoAccount, Self::GroupMissing];

    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Invited => "invited",
            Self::NoAccount => "no_account",
            Self::GroupMissing => "group_missing",
        }
    }

    /// The reason of such a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemberStep {
    /// Make it a member.
    Add,
    /// Take it out.
    Remove,
    /// Keep the wish until something else happens.
    Park(ParkReason),
    /// Nothing.
    Settled,
    /// Neither wanted nor there: the row can go.
    Forget,
}

/// The next step of one membership.
///
/// A removal does not ask whether the group is ready: a caller that knows the group to be gone says
/// `have` is [`Have::No`], so that no removal is dropped because a group is not linked just now.
/// The same goes for an account's removal that has taken its memberships.
pub fn member_step(view: &MemberView) -> MemberStep {
    if view.want && view.user_wanted {
        return match view.link {
            Link::None => MemberStep::Park(ParkReason::NoAccount),
            Link::Invited if !view.pending_members => MemberStep::Park(ParkReason::Invited),
            Link::Invited => match view.have {
                Have::Pending | Have::Yes => MemberStep::Settled,
                Have::Unknown | Have::No => add(view),
            },
            Link::Active | Link::Suspended => match view.have {
                Have::Yes => MemberStep::Settled,
                Have::Unknown | Have::No | Have::Pending => add(view),
            },
        };
    }
    // What remains of it once nothing is at the target.
    let rest = if view.want { MemberStep::Park(ParkReason::Inactive) } else { MemberStep::Forget };
    match (view.have, view.link) {
        (Have::No, _) | (_, Link::None) => rest,
        (Have::Unknown | Have::Yes | Have::Pending, _) if !view.user_wanted && view.removal_takes_memberships => {
            if view.want { rest } else { MemberStep::Settled }
        }
        (Have::Unknown | Have::Yes | Have::Pending, _) => MemberStep::Remove,
    }
}

fn add(view: &MemberView) -> MemberStep {
    if view.group_ready { MemberStep::Add } else { MemberStep::Park(ParkReason::GroupMissing) }
}

#[cfg(test)]
mod tests;
