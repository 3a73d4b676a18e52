//! One person at one target, and the next step towards what the directory wants.
//!
//! The states are absent, invited, active, suspended, and (after a removal) absent again:
//!
//! ```text
//! absent --Create--> invited --accepted--> active <--Suspend/Restore--> suspended
//!   ^  \------------Create-----------------^  |                            |
//!   +---------------Remove--------------------+------------Remove---------+
//! ```
//!
//! The driver asks [`next_step`], takes that one step, tells what it learned, and asks again, until
//! it hears [`PersonStep::Settled`] or [`PersonStep::Need`].

use connector_sdk::{AccountChange, AccountRef, AccountStatus, InviteId, Need, Person, Suspend, Traits};
use jiff::Timestamp;

use crate::doubt::{self, Doubt};

/// Invitations that one person is sent at most: the first, and two more after it ended
/// (DECISIONS 21).
pub const MAX_INVITES: u32 = 3;

/// What the directory wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// The person shall have access.
    Access,
    /// The person shall have none.
    NoAccess {
        /// The directory has deleted the person: the account goes too, where a mere deactivation
        /// would suspend it.
        delete: bool,
    },
}

/// All that the next step depends on.
#[derive(Clone, Debug)]
pub struct PersonView<'a> {
    /// What the directory wants.
    pub wanted: Wanted,
    /// The person, as the connector is told.
    pub person: &'a Person,
    /// The linked account or invitation, as last seen; `None` if there is no link.
    pub account: Option<AccountView>,
    /// The last write's outcome is not known, and nobody has looked since.
    pub doubt: Option<Doubt>,
    /// What the connector can do.
    pub traits: &'a Traits,
    /// Whether accounts are this connector's business: it has accounts and serves more than groups.
    pub can_create: bool,
    /// The invitation was found gone: it is to be followed before anything else.
    pub followed_up: bool,
    /// The policy's `protected` lists the person.
    pub protected_by_policy: bool,
    /// Invitations sent to this person one after the other. The count starts anew where we take one
    /// back, where one is accepted, and where an admin retries.
    pub invites_sent: u32,
    /// The present time.
    pub now: Timestamp,
}

/// An account or invitation, as last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountView {
    /// How calls name it.
    pub reference: AccountRef,
    /// Where it stands.
    pub status: AccountStatus,
    /// Its role; `None` where the target does not tell.
    pub role: Option<String>,
    /// Its address, where the target tells it; of an invitation, the invited one.
    pub email: Option<String>,
    /// Its login.
    pub login: Option<String>,
    /// Whether the target says it must not be touched: the credential's own, the last owner.
    pub protected: bool,
    /// When a pending invitation ends.
    pub expires_at: Option<Timestamp>,
    /// What of the person was last written there, as [`Traits::profile`] tells it; of an account that was found, what
    /// it was when it was linked. `None` where that is not known: then nothing is written.
    pub profile: Option<String>,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonStep {
    /// Look at the target: at the linked account, or for the person where there is none. It ends
    /// the doubt.
    Look,
    /// Look for an account to tie the person to. If there is none, nothing is left to do now.
    Match,
    /// Create or invite.
    Create,
    /// Change the account.
    Update(AccountChange),
    /// Take access away, keep the account.
    Suspend,
    /// Give a suspended account access again.
    Restore,
    /// Remove the account, or take the invitation back. Where an invitation is answered
    /// [`connector_sdk::Removed::AlreadyGone`] it may have been accepted: ask again with
    /// `followed_up`.
    Remove(AccountRef),
    /// Find out what became of the invitation. If it is still pending, ask again without
    /// `followed_up`; being told to follow once more then means to wait (the target keeps an
    /// invitation past its end).
    Follow(InviteId),
    /// The target agrees.
    Settled,
    /// A person has to act.
    Need(Need),
}

/// The next step of one person.
///
/// A write in doubt that may not simply be repeated is looked at before anything is done, or asked a
/// person about, whatever is wanted now (DECISIONS 18). One that may be repeated is taken to have
/// ended in the worst way: the call is repeated where the plan still has one, else the target is
/// looked at, because what was last seen may be out of date.
pub fn next_step(view: &PersonView<'_>) -> PersonStep {
    match view.doubt {
        Some(Doubt::Look) => return PersonStep::Look,
        Some(Doubt::Ask) => return PersonStep::Need(doubt::ask()),
        Some(Doubt::Repeat) | None => {}
    }
    let step = match view.wanted {
        Wanted::Access => towards_access(view),
        Wanted::NoAccess { delete } => towards_none(view, delete),
    };
    match (step, view.doubt) {
        (PersonStep::Settled, Some(_)) => PersonStep::Look,
        (step, _) => step,
    }
}

fn towards_access(view: &PersonView<'_>) -> PersonStep {
    let Some(account) = &view.account else {
        return match (view.can_create, view.invites_sent >= MAX_INVITES) {
            (false, _) => PersonStep::Match,
            (true, false) => PersonStep::Create,
            (true, true) => PersonStep::Need(Need::new(
                "invitation",
                "The person declined the invitation, or was invited three times and never accepted. Ask \
                 them, then retry this person to invite them again.",
            )),
        };
    };
    match account.status {
        AccountStatus::Invited => towards_acceptance(view, account),
        _ if !view.can_create => PersonStep::Settled,
        AccountStatus::Active => match change(view, account) {
            None => PersonStep::Settled,
            // Taking its rights from the credential's own account would lock the gateway out.
            Some(_) if is_protected(view, account) => PersonStep::Need(protected("it is not changed")),
            Some(change) => PersonStep::Update(change),
        },
        AccountStatus::Suspended => match view.traits.suspend {
            Suspend::Native => PersonStep::Restore,
            Suspend::Removes => PersonStep::Need(Need::new(
                "suspended",
                "The account is suspended at the target, which offers no way to restore it from \
                 here. Restore it at the target, then retry this person.",
            )),
        },
    }
}

fn towards_acceptance(view: &PersonView<'_>, account: &AccountView) -> PersonStep {
    let ended = account.expires_at.is_some_and(|end| end <= view.now);
    if view.followed_up || ended {
        return follow(account);
    }
    if view.can_create && invited_elsewhere(view.person, account) {
        // The wrong mailbox could accept it, so it goes before the right one is asked.
        return match is_protected(view, account) {
            true => PersonStep::Need(protected("the invitation is not taken back")),
            false => PersonStep::Remove(account.reference.clone()),
        };
    }
    PersonStep::Settled
}

fn towards_none(view: &PersonView<'_>, delete: bool) -> PersonStep {
    let Some(account) = &view.account else {
        return PersonStep::Settled;
    };
    if !view.can_create {
        // A target for groups only: the memberships go, the account is none of ours.
        return PersonStep::Settled;
    }
    if account.status == AccountStatus::Suspended && !delete {
        return PersonStep::Settled;
    }
    if account.status == AccountStatus::Invited && view.followed_up {
        return follow(account);
    }
    if is_protected(view, account) {
        return PersonStep::Need(protected("it keeps its access"));
    }
    match (account.status, view.traits.suspend) {
        (AccountStatus::Active, Suspend::Native) if !delete => PersonStep::Suspend,
        // An invitation past its end is taken back as well: a target's clock may differ from ours,
        // and a deprovision must not wait for it.
        (AccountStatus::Invited | AccountStatus::Active | AccountStatus::Suspended, _) => {
            PersonStep::Remove(account.reference.clone())
        }
    }
}

fn follow(account: &AccountView) -> PersonStep {
    match &account.reference {
        AccountRef::Invite { id, .. } => PersonStep::Follow(id.clone()),
        // The target models the invited person as an account: reading it tells all.
        AccountRef::Account { .. } => PersonStep::Look,
    }
}

fn is_protected(view: &PersonView<'_>, account: &AccountView) -> bool {
    account.protected || view.protected_by_policy
}

fn protected(consequence: &str) -> Need {
    Need::new(
        "protected",
        format!(
            "The account is protected (the credential's own, the last owner, or listed in the \
             policy's `protected`), so {consequence}. Change it at the target by hand, or take it \
             off the list and retry."
        ),
    )
}

/// What is to change at an account: its role, and whatever else of the person is not what was last written.
fn change(view: &PersonView<'_>, account: &AccountView) -> Option<AccountChange> {
    let role = role_change(view, account);
    let stale = match (view.traits.profile(view.person), &account.profile) {
        (Some(wanted), Some(written)) => wanted != *written,
        _ => false,
    };
    if !stale {
        return role;
    }
    let writes = |name: &str| view.traits.writable.iter().any(|it| *it == "*" || it.eq_ignore_ascii_case(name));
    let mut change = role.unwrap_or_default();
    change.display_name = view.person.display_name.clone().filter(|_| writes("displayName"));
    change.email = view.person.email.clone().filter(|_| writes("emails"));
    change.person = Some(Box::new(view.person.clone()));
    Some(change)
}

/// The change of role, if the person is given one that the target lets us write and does not show.
/// A target that does not show roles is taken to have given its default.
fn role_change(view: &PersonView<'_>, account: &AccountView) -> Option<AccountChange> {
    let role = view.person.role.as_deref()?;
    let writable = view.traits.writable.iter().any(|it| it.eq_ignore_ascii_case("roles"));
    let has = account.role.as_deref().or(view.traits.default_role);
    if !writable || has.is_some_and(|has| has.eq_ignore_ascii_case(role)) {
        return None;
    }
    let mut change = AccountChange::default();
    change.role = Some(role.to_owned());
    Some(change)
}

/// Whether the invitation went to an address that is not the person's any more (DECISIONS 3). Only
/// one sent to a bare address is: one to a login stays with its owner.
fn invited_elsewhere(person: &Person, account: &AccountView) -> bool {
    let (id_email, id_login) = match &account.reference {
        AccountRef::Invite { email, login, .. } => (email.as_deref(), login.as_deref()),
        AccountRef::Account { login, .. } => (None, login.as_deref()),
    };
    if account.login.as_deref().or(id_login).is_some() {
        return false;
    }
    match (account.email.as_deref().or(id_email), &person.email) {
        (Some(invited), Some(wanted)) => invited.trim().to_lowercase() != wanted.trim().to_lowercase(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
