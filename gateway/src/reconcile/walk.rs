//! Carrying a run out, phase by phase.

use std::collections::HashSet;
use std::sync::Arc;

use connector_sdk::{Connector, Cx, Fault, FaultKind, Page, PageToken, RemoteId};

use super::compare::{GroupNames, People, Strangers};
use super::finish::Finish;
use super::progress::{Counts, Moves, Phase, Place, Step};
use super::sweep::{SweepAccounts, SweepGroups, Vanished, VanishedGroup, rematch, unseen_accounts, unseen_groups};
use super::{FOLLOW_PATIENCE, MOST_PAGES, RunKind, Stop};
use crate::driver::{Missing, Shared, can_create};
use crate::service::types::{Instance, Mode};
use crate::store::{Priority, Sql, StoreError, Unit};
use crate::transport::Recorder;

/// A run under way.
pub(super) struct Walk<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) instance: &'a Arc<Instance>,
    pub(super) connector: &'a dyn Connector,
    pub(super) cx: &'a Cx<'a>,
    pub(super) record: &'a Recorder,
    pub(super) run: i64,
    /// Its public id.
    pub(super) id: &'a str,
    pub(super) kind: RunKind,
    /// When the run began, in microseconds.
    pub(super) began: i64,
    pub(super) place: Place,
    pub(super) counts: Counts,
}

fn endless(what: &str) -> Stop {
    Stop::Fault(
        Fault::new(FaultKind::Malformed, format!("The target's list of {what} has no end.")).context("too many pages"),
    )
}

impl Walk<'_> {
    /// Does what is left to do. Whether everything was listed whole.
    pub(super) async fn go(&mut self) -> Result<bool, Stop> {
        if self.place.started == 0 {
            self.enter(self.place.phase).await?;
        }
        if let Some(person) = self.place.only {
            self.one(person).await?;
            return Ok(true);
        }
        loop {
            match self.place.phase {
                Phase::Invitations => self.invitations().await?,
                Phase::Accounts => self.accounts().await?,
                Phase::ConfirmAccounts => self.confirm_accounts().await?,
                Phase::Groups => self.groups().await?,
                Phase::ConfirmGroups => self.confirm_groups().await?,
                Phase::People => self.people().await?,
                Phase::GroupNames => self.group_names().await?,
                Phase::Strangers => self.strangers().await?,
                Phase::Members => self.members().await?,
                Phase::Finish => {
                    self.finish().await?;
                    return Ok(self.place.complete());
                }
            }
            self.enter(self.place.phase.next()).await?;
        }
    }

    /// Begins a phase.
    async fn enter(&mut self, phase: Phase) -> Result<(), StoreError> {
        let now = self.shared.clock.micros();
        self.place.enter(phase, now);
        self.keep(Step, |_, ()| {}).await
    }

    /// Stores what a unit does together with how far the run is.
    pub(super) async fn keep<U: Unit<Err = StoreError>>(
        &mut self,
        unit: U,
        add: fn(&mut Counts, &U::Out),
    ) -> Result<U::Out, StoreError> {
        let moves = Moves { unit, run: self.run, place: self.place.clone(), counts: self.counts, add };
        let (out, counts) = self.shared.write_leased(self.instance, Priority::Background, moves).await?;
        self.counts = counts;
        Ok(out)
    }

    /// Counts the calls made since it was last asked.
    pub(super) fn count_calls(&mut self) {
        let (calls, more) = self.record.take();
        let sent = calls.iter().filter(|call| call.status.is_some()).count() + more;
        self.counts.calls += sent as u64;
    }

    /// Lists the pending invitations and has the ones that are gone followed, before accounts are
    /// listed: an accepted one is then tied to its account already, and not imported as a stranger.
    /// Their ids are kept in memory, so a run that goes on begins this list again.
    async fn invitations(&mut self) -> Result<(), Stop> {
        let Some(accounts) = self.connector.accounts() else { return Ok(()) };
        let before = self.place.started;
        let mut listed = HashSet::new();
        let mut page: Option<PageToken> = None;
        self.counts.invitations = 0;
        for _ in 0..MOST_PAGES {
            let got = accounts.invitations(self.cx, page.as_ref()).await;
            self.count_calls();
            let got = got?;
            self.place.accounts_complete &= got.complete;
            self.counts.invitations += got.items.len() as u64;
            let ids = got.items.iter().filter_map(|account| account.invite_id.as_ref());
            listed.extend(ids.map(|id| id.as_str().to_owned()));
            let sweep =
                SweepAccounts { instance: self.instance.clone(), run: self.run, accounts: got.items, started: before };
            self.keep(sweep, |counts, imported| counts.imported += imported).await?;
            page = got.next;
            if page.is_none() {
                break;
            }
        }
        if page.is_some() {
            return Err(endless("invitations"));
        }
        if self.place.accounts_complete {
            let missing = Missing { instance: self.instance.clone(), listed, before };
            let found = self.keep(missing, |counts, found| counts.followed += *found as u64).await?;
            if found > 0 && self.instance.mode == Mode::Enabled {
                self.shared.ring();
                wait_for_follows(self.shared, self.instance).await?;
            }
        }
        Ok(())
    }

    async fn accounts(&mut self) -> Result<(), Stop> {
        let Some(accounts) = self.connector.accounts() else { return Ok(()) };
        for _ in 0..MOST_PAGES {
            let got = accounts.list(self.cx, self.place.page.as_ref()).await;
            self.count_calls();
            let got = got?;
            self.place.accounts_complete &= got.complete;
            let (run, started) = (self.run, self.place.started);
            let instance = self.instance.clone();
            let sweep = move |accounts| SweepAccounts { instance: instance.clone(), run, accounts, started };
            let more = self.take_page(got, sweep, |counts, items| counts.accounts += items).await?;
            if !more {
                return Ok(());
            }
        }
        Err(endless("accounts"))
    }

    async fn groups(&mut self) -> Result<(), Stop> {
        let Some(groups) = self.connector.groups() else { return Ok(()) };
        for _ in 0..MOST_PAGES {
            let got = groups.list(self.cx, self.place.page.as_ref()).await;
            self.count_calls();
            let got = got?;
            self.place.groups_complete &= got.complete;
            let (run, instance) = (self.run, self.instance.clone());
            let sweep = move |groups| SweepGroups { instance: instance.clone(), run, groups };
            let more = self.take_page(got, sweep, |counts, items| counts.groups += items).await?;
            if !more {
                return Ok(());
            }
        }
        Err(endless("groups"))
    }

    /// Stores a page in pieces; the place moves on with each. Whether there is another page.
    async fn take_page<T: Clone + Send, U: Unit<Out = u64, Err = StoreError>>(
        &mut self,
        page: Page<T>,
        unit: impl Fn(Vec<T>) -> U,
        count: fn(&mut Counts, u64),
    ) -> Result<bool, StoreError> {
        let skip = self.place.done.min(page.items.len());
        let rest = page.items.get(skip..).unwrap_or_default();
        for chunk in rest.chunks(100) {
            self.place.done += chunk.len();
            count(&mut self.counts, chunk.len() as u64);
            self.keep(unit(chunk.to_vec()), |counts, imported| counts.imported += imported).await?;
        }
        self.place.page = page.next;
        self.place.done = 0;
        let more = self.place.page.is_some();
        if more {
            self.keep(Step, |_, ()| {}).await?;
        }
        Ok(more)
    }

    /// Accounts that a complete listing did not show are read once more before they count as gone.
    async fn confirm_accounts(&mut self) -> Result<(), Stop> {
        let Some(accounts) = self.connector.accounts() else { return Ok(()) };
        if !self.place.accounts_complete {
            return Ok(());
        }
        loop {
            let rows = unseen_accounts(self.shared, self.instance, self.run, self.began, self.place.after).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                let asked = self.shared.clock.micros();
                let is_gone = match row.reference() {
                    Some(at) => self.read(accounts.get(self.cx, &at).await)?.is_none(),
                    None => false,
                };
                self.place.after = row.seq;
                if is_gone {
                    self.keep(Vanished { account: row.seq, asked }, |counts, gone| counts.vanished += u64::from(*gone))
                        .await?;
                } else {
                    self.keep(Step, |_, ()| {}).await?;
                }
            }
        }
    }

    async fn confirm_groups(&mut self) -> Result<(), Stop> {
        let Some(groups) = self.connector.groups() else { return Ok(()) };
        if !self.place.groups_complete {
            return Ok(());
        }
        loop {
            let rows = unseen_groups(self.shared, self.instance, self.run, self.began, self.place.after).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for (account, remote) in rows {
                let is_gone = self.read(groups.get(self.cx, &RemoteId::new(remote)).await)?.is_none();
                self.place.after = account;
                if is_gone {
                    let vanished = VanishedGroup { account };
                    self.keep(vanished, |counts, ()| counts.vanished += 1).await?;
                } else {
                    self.keep(Step, |_, ()| {}).await?;
                }
            }
        }
    }

    /// Counts the calls of a read.
    pub(super) fn read<T>(&mut self, got: Result<T, Fault>) -> Result<T, Fault> {
        self.count_calls();
        got
    }

    async fn people(&mut self) -> Result<(), Stop> {
        loop {
            let people = People {
                instance: self.instance.clone(),
                run: self.run,
                id: self.id.to_owned(),
                began: self.began,
                complete: self.place.accounts_complete,
                after: self.place.after,
                only: None,
            };
            let page = self.keep(people, |counts, page| counts.add(page.found)).await?;
            match page.last {
                Some(last) => self.place.after = last,
                None => return Ok(()),
            }
        }
    }

    async fn group_names(&mut self) -> Result<(), Stop> {
        loop {
            let groups = GroupNames {
                instance: self.instance.clone(),
                run: self.run,
                id: self.id.to_owned(),
                began: self.began,
                complete: self.place.groups_complete,
                after: self.place.after,
            };
            let page = self.keep(groups, |counts, page| counts.add(page.found)).await?;
            match page.last {
                Some(last) => self.place.after = last,
                None => return Ok(()),
            }
        }
    }

    async fn strangers(&mut self) -> Result<(), Stop> {
        loop {
            let strangers = Strangers { instance: self.instance.clone(), run: self.run, after: self.place.after };
            let page = self.keep(strangers, |counts, page| counts.add(page.found)).await?;
            match page.last {
                Some(last) => self.place.after = last,
                None => return Ok(()),
            }
        }
    }

    async fn members(&mut self) -> Result<(), Stop> {
        let Some(groups) = self.connector.groups() else { return Ok(()) };
        let only_marked = self.kind == RunKind::Import;
        while let Some(group) = super::members::next(self, only_marked).await? {
            self.one_group(groups, &group).await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Stop> {
        if !can_create(self.connector) {
            rematch(self.shared, self.instance).await?;
        }
        let finish = Finish {
            instance: self.instance.clone(),
            run: self.run,
            accounts: self.place.accounts_complete,
            groups: self.place.groups_complete,
        };
        // Counted anew from what is stored: a group that was begun twice counts once.
        self.keep(finish, |counts, (drift, repaired)| (counts.drift, counts.repaired) = (*drift, *repaired)).await?;
        self.shared.ring();
        Ok(())
    }
}

impl Counts {
    /// Adds differences: how many, and how many of them are being repaired.
    pub(super) fn add(&mut self, (found, repaired): (u64, u64)) {
        self.drift += found;
        self.repaired += repaired;
    }
}

/// The words that the run's log line tells of faults that leave the place as it is, so that the next
/// run goes on there.
pub(super) fn goes_on_later(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::RateLimited
            | FaultKind::Quota
            | FaultKind::Timeout
            | FaultKind::Unavailable
            | FaultKind::NotSent
            | FaultKind::Credential
            | FaultKind::Permission
    )
}

/// Waits, not for ever, until the driver has followed what was marked.
async fn wait_for_follows(shared: &Shared, instance: &Instance) -> Result<(), StoreError> {
    let until = shared.clock.now().checked_add(FOLLOW_PATIENCE).unwrap_or(jiff::Timestamp::MAX);
    while shared.clock.now() < until {
        let open = shared
            .store
            .reader()
            .one(
                "SELECT 1 AS one FROM work w JOIN link l ON l.resource_seq = w.resource_seq AND l.state = 'live' JOIN account a ON a.seq = l.account_seq \
                 WHERE w.instance_seq = $1 AND a.status = 'invited' AND w.state IN ('todo','running') LIMIT 1",
                vals![instance.seq],
            )
            .await?;
        if open.is_none() {
            return Ok(());
        }
        shared.clock.sleep(std::time::Duration::from_millis(100)).await;
    }
    Ok(())
}
