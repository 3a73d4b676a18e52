//! What a call brought about. Success has several shapes, because the engine must tell "I did it"
//! from "it was so already" (whose account is that?) and from "a person has to act first".

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Evidence, Found};
use crate::group::RemoteGroup;

/// What a person has to do, or what else keeps the wish from coming true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// A stable word for programs: `seat`, `identity`, `plan`.
    pub code: String,
    /// For the admin: what is missing and what to do.
    pub message: String,
}

impl Need {
    /// A need of that code.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// The answer to "create this account".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Created {
    /// The account exists now and has access.
    Done(Account),
    /// An invitation was sent.
    Invited(Account),
    /// An account or invitation was there already; nothing was changed. Only the engine links.
    AlreadyThere(Found),
    /// Not now: a quota is used up. `until` where the target or its documentation says when.
    Waiting {
        /// For the admin.
        reason: String,
        /// When trying again makes sense.
        until: Option<Timestamp>,
    },
    /// A person has to act.
    ActionRequired(Need),
}

/// The answer to "change this account".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Updated {
    /// It is so now; the account as the target shows it.
    Done(Account),
    /// The account is not there any more.
    AlreadyGone,
    /// The login now belongs to another account: nothing was written (DECISIONS 3).
    OtherAccount,
}

/// The answer to "remove this".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Removed {
    /// It is gone now.
    Done,
    /// It was gone already; that is a success.
    AlreadyGone,
    /// The login now belongs to another account: nothing was removed (DECISIONS 3).
    OtherAccount,
}

/// How an invitation ended without an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// Its time ran out.
    Expired,
    /// The invited person said no.
    Declined,
    /// Somebody took it back.
    Revoked,
    /// It is gone and the target does not say why.
    Unknown,
}

/// What became of an invitation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Followed {
    /// Still pending.
    Pending(Account),
    /// Accepted by this account.
    Accepted {
        /// The account that accepted.
        account: Account,
        /// How the target ties the two.
        evidence: Evidence,
    },
    /// Ended without an account.
    Ended(Ended),
    /// Gone, probably accepted, but which account it was cannot be told.
    Unclear(Need),
}

/// The answer to "create this group".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupCreated {
    /// It exists now.
    Done(RemoteGroup),
    /// A group of that name was there already; nothing was changed.
    AlreadyThere(RemoteGroup),
}

/// The answer to "change this group".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupUpdated {
    /// It is so now.
    Done(RemoteGroup),
    /// The group is not there any more.
    AlreadyGone,
}

/// Where one membership stands after a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Membership {
    /// The account is a member.
    Present,
    /// It becomes one when the invitation is accepted.
    Pending,
    /// It is not a member.
    Absent,
    /// It stays a member by other means (a child team); nothing can be done here.
    Kept {
        /// For the admin.
        why: String,
    },
}
