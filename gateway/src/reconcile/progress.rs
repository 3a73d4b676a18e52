//! How far a run is. It stands in the run's row and moves in the transaction of what it tells of, so
//! that a run whose process dies, or whose target fails, goes on where it was and counts nothing twice.

use async_trait::async_trait;
use connector_sdk::PageToken;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::store::{Sql, StoreError, Tx, Unit};

/// What a run does, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// Lists pending invitations.
    #[default]
    Invitations,
    /// Lists accounts.
    Accounts,
    /// Reads once more what the list of accounts did not show.
    ConfirmAccounts,
    /// Lists groups.
    Groups,
    /// Reads once more what the list of groups did not show.
    ConfirmGroups,
    /// Compares people with their accounts.
    People,
    /// Compares groups with their counterparts.
    GroupNames,
    /// Looks for what nobody pushed.
    Strangers,
    /// Lists the members of groups.
    Members,
    /// Tidies up.
    Finish,
}

impl Phase {
    /// The one after it.
    pub(super) fn next(self) -> Self {
        match self {
            Self::Invitations => Self::Accounts,
            Self::Accounts => Self::ConfirmAccounts,
            Self::ConfirmAccounts => Self::Groups,
            Self::Groups => Self::ConfirmGroups,
            Self::ConfirmGroups => Self::People,
            Self::People => Self::GroupNames,
            Self::GroupNames => Self::Strangers,
            Self::Strangers => Self::Members,
            Self::Members | Self::Finish => Self::Finish,
        }
    }

    /// The word that the API uses.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Invitations => "invitations",
            Self::Accounts => "accounts",
            Self::ConfirmAccounts => "confirm_accounts",
            Self::Groups => "groups",
            Self::ConfirmGroups => "confirm_groups",
            Self::People => "people",
            Self::GroupNames => "group_names",
            Self::Strangers => "strangers",
            Self::Members => "members",
            Self::Finish => "finish",
        }
    }
}

/// Where a run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Place {
    /// What it is doing.
    pub(super) phase: Phase,
    /// The page of a listing that comes next, or is under way.
    pub(super) page: Option<PageToken>,
    /// How many items of that page are done.
    pub(super) done: usize,
    /// The last row of our own that is done.
    pub(super) after: i64,
    /// When the phase began, in microseconds: what was touched after that is newer than its listing.
    pub(super) started: i64,
    /// Whether the listings of accounts, of groups and of members were complete so far.
    pub(super) accounts_complete: bool,
    pub(super) groups_complete: bool,
    pub(super) members_complete: bool,
    /// The one person that is looked at; none where everybody is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) only: Option<i64>,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            phase: Phase::default(),
            page: None,
            done: 0,
            after: 0,
            started: 0,
            accounts_complete: true,
            groups_complete: true,
            members_complete: true,
            only: None,
        }
    }
}

impl Place {
    /// The beginning of a look at one person.
    pub(super) fn of(person: i64) -> Self {
        Self { phase: Phase::People, only: Some(person), ..Self::default() }
    }

    /// Whether everything that was listed was listed whole.
    pub(super) fn complete(&self) -> bool {
        self.accounts_complete && self.groups_complete && self.members_complete
    }

    /// The beginning of a phase.
    pub(super) fn enter(&mut self, phase: Phase, now: i64) {
        *self = Self { phase, page: None, done: 0, after: 0, started: now, ..self.clone() };
    }

    /// As the store keeps it.
    pub(super) fn text(&self) -> String {
        json!(self).to_string()
    }
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Counts {
    /// Accounts and groups listed, pending invitations, calls of the target.
    pub(super) accounts: u64,
    pub(super) invitations: u64,
    pub(super) groups: u64,
    pub(super) calls: u64,
    /// Accounts and groups that became rows.
    pub(super) imported: u64,
    /// Invitations that were no longer pending, and followed.
    pub(super) followed: u64,
    /// Accounts and groups that were gone.
    pub(super) vanished: u64,
    /// Groups whose members were listed, and members that were.
    pub(super) looked: u64,
    pub(super) members: u64,
    /// Differences found, and those of them that are being repaired.
    pub(super) drift: u64,
    pub(super) repaired: u64,
}

impl Counts {
    /// As the API shows it.
    pub(super) fn to_json(self) -> Value {
        json!(self)
    }
}

/// A unit that moves its run on in the same transaction.
pub(super) struct Moves<U: Unit> {
    pub(super) unit: U,
    pub(super) run: i64,
    pub(super) place: Place,
    pub(super) counts: Counts,
    /// What its outcome adds.
    pub(super) add: fn(&mut Counts, &U::Out),
}

#[async_trait]
impl<U: Unit<Err = StoreError>> Unit for Moves<U> {
    type Out = (U::Out, Counts);
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Self::Out, StoreError> {
        let out = self.unit.run(tx).await?;
        let mut counts = self.counts;
        (self.add)(&mut counts, &out);
        let moved = tx
            .conn
            .run(
                // Nothing is sent for an instance that was paused, disabled or deleted meanwhile (DECISIONS 15).
                "UPDATE run SET page = $2, counts = $3 WHERE seq = $1 AND state = 'running' AND EXISTS (SELECT 1 FROM instance i \
                 WHERE i.seq = run.instance_seq AND i.deleted_at IS NULL AND i.mode IN ('enabled','rehearse'))",
                vals![self.run, self.place.text(), counts.to_json().to_string()],
            )
            .await?;
        if moved == 0 {
            return Err(StoreError::Unavailable("the run is over, or its instance is not enabled any more".to_owned()));
        }
        Ok((out, counts))
    }
}

/// Changes nothing but the place.
pub(super) struct Step;

#[async_trait]
impl Unit for Step {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, _: &Tx<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_every_phase_comes_to_an_end() {
        let mut place = Place::default();
        let mut phases = 0;
        while place.phase != Phase::Finish {
            place.page = Some(PageToken("7".to_owned()));
            place.done = 3;
            place.accounts_complete = false;
            assert_eq!(serde_json::from_str::<Place>(&place.text()).unwrap(), place);
            assert_eq!(json!(place.phase), place.phase.as_str());
            let before = place.phase;
            place.enter(before.next(), 5);
            assert!(place.phase > before && place.page.is_none() && !place.complete());
            phases += 1;
        }
        assert_eq!(phases, 9);
        assert_eq!(serde_json::from_str::<Place>("{}").unwrap(), Place::default());
    }
}
