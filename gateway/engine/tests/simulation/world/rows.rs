//! The store as a model: the same rows as the real one and the same small statements on them. A function
//! here is part of a transaction; the world calls it between two steps of anybody else.

use std::collections::BTreeMap;

use connector_sdk::{Account, AccountRef, AccountStatus, InviteId, RemoteId};
use engine::Lane;
use engine::coalesce::{WorkRow, upsert};
use engine::membership::Have;
use engine::operation::{OpState, member_op_state};
use engine::work::orphaned;

/// A row's number.
pub type Seq = i64;

/// A person or group of the directory.
#[derive(Clone, Debug)]
pub struct Resource {
    pub seq: Seq,
    pub group: bool,
    pub name: String,
    /// Of a person.
    pub email: String,
    pub active: bool,
    pub role: Option<String>,
    pub deleted: bool,
    pub rev: i64,
    pub settled_rev: i64,
}

impl Resource {
    /// Whether the person shall have access.
    pub fn wanted(&self) -> bool {
        self.active && !self.deleted
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    Settled,
    Todo,
    Parked,
    Refused,
}

/// A membership.
#[derive(Clone, Debug)]
pub struct Member {
    pub want: bool,
    pub have: Have,
    pub state: MemberState,
    pub op: Option<Seq>,
    pub have_at: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Invited,
    Active,
    Suspended,
    Gone,
}

impl Status {
    fn of(status: AccountStatus) -> Self {
        match status {
            AccountStatus::Invited => Self::Invited,
            AccountStatus::Active => Self::Active,
            AccountStatus::Suspended => Self::Suspended,
        }
    }
}

/// What is known of an account, invitation or group of the target.
#[derive(Clone, Debug)]
pub struct AccountRow {
    pub seq: Seq,
    pub group: bool,
    pub remote: Option<RemoteId>,
    pub invite: Option<InviteId>,
    pub login: Option<String>,
    pub email: Option<String>,
    pub role: Option<String>,
    pub name: String,
    pub status: Status,
    pub protected: bool,
    pub ours: bool,
    pub missing: bool,
    pub expires_at: Option<jiff::Timestamp>,
    pub invites: u32,
    /// When it was last seen at the target.
    pub seen: i64,
}

impl AccountRow {
    /// Whether calls name it so, or once did.
    pub fn goes_by(&self, id: &str) -> bool {
        self.remote.as_ref().is_some_and(|it| it.as_str() == id)
            || self.invite.as_ref().is_some_and(|it| it.as_str() == id)
    }

    /// How calls name it.
    pub fn reference(&self) -> Option<AccountRef> {
        if self.status == Status::Invited
            && let Some(id) = &self.invite
        {
            return Some(AccountRef::Invite { id: id.clone(), email: self.email.clone(), login: self.login.clone() });
        }
        self.remote.clone().map(|id| AccountRef::Account { id, login: self.login.clone() })
    }
}

/// The tie between a resource and an account.
#[derive(Clone, Debug)]
pub struct Link {
    pub resource: Seq,
    pub account: Seq,
    pub live: bool,
    /// A grant came to the account after its removal was recorded, and may have brought it back; what the
    /// gateway has as the link's evidence.
    pub late: bool,
    pub opened_at: i64,
}

/// An accepted change.
#[derive(Clone, Debug)]
pub struct Op {
    pub resource: Seq,
    pub rev: i64,
    pub paths: Vec<String>,
    pub deletes: bool,
    pub items: i64,
    pub open: i64,
    pub failed: i64,
    pub parked: i64,
    pub superseded: i64,
    pub state: OpState,
}

/// How items of an operation ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ends {
    pub applied: i64,
    pub failed: i64,
    pub parked: i64,
    pub superseded: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptState {
    Sending,
    Done,
    Refused,
    NotSent,
    Unknown,
    Resolved,
}

impl AttemptState {
    /// Whether its outcome is open.
    pub fn open(self) -> bool {
        matches!(self, Self::Sending | Self::Unknown)
    }
}

/// A call that was or may have been sent.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub resource: Seq,
    /// 0 for the whole resource, else the member.
    pub item: Seq,
    pub step: &'static str,
    /// It repeats a call in doubt.
    pub marked: bool,
    /// Of a removal under way: a grant came to the target meanwhile.
    pub granted: bool,
    pub epoch: i64,
    pub state: AttemptState,
    /// Whether an answer, or its loss, was heard of: false where the caller died.
    pub heard: bool,
    /// The name or address that a creation was sent with, or the account that a grant was sent to.
    pub sent: Option<String>,
    pub started: i64,
    pub ended: i64,
}

/// A piece of work.
#[derive(Clone, Debug)]
pub struct Work {
    pub row: WorkRow,
    pub after: Option<Seq>,
    pub claim_epoch: Option<i64>,
}

/// Who drives.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    pub owner: Option<usize>,
    pub epoch: i64,
    pub until: i64,
}

/// All tables.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    next: Seq,
    pub resources: BTreeMap<Seq, Resource>,
    pub members: BTreeMap<(Seq, Seq), Member>,
    pub accounts: BTreeMap<Seq, AccountRow>,
    pub links: Vec<Link>,
    pub ops: BTreeMap<Seq, Op>,
    pub work: BTreeMap<Seq, Work>,
    pub attempts: BTreeMap<Seq, Attempt>,
    pub lease: Lease,
    pub epochs: i64,
    /// Rung by whoever leaves work behind.
    pub bell: bool,
}

impl Rows {
    pub fn seq(&mut self) -> Seq {
        self.next += 1;
        self.next
    }

    /// The store's `upsert_work`.
    pub fn upsert_work(&mut self, resource: Seq, lane: Lane, rev: i64, after: Option<Seq>, now: i64) {
        let old = self.work.get(&resource);
        let row = upsert(old.map(|work| &work.row), lane, rev, now);
        let work =
            Work { row, after: after.or(old.and_then(|it| it.after)), claim_epoch: old.and_then(|it| it.claim_epoch) };
        self.work.insert(resource, work);
        self.bell = true;
    }

    /// Takes ended items off an operation and closes it with the last one.
    pub fn close_items(&mut self, op: Seq, ends: Ends) {
        let Some(row) = self.ops.get_mut(&op).filter(|row| row.state == OpState::Open) else { return };
        let ended = ends.applied + ends.failed + ends.parked + ends.superseded;
        if ended == 0 {
            return;
        }
        row.open = (row.open - ended).max(0);
        row.failed += ends.failed;
        row.parked += ends.parked;
        row.superseded += ends.superseded;
        row.state = member_op_state(row.items, row.open, row.failed, row.superseded);
    }

    pub fn live_link(&self, resource: Seq) -> Option<&Link> {
        self.links.iter().find(|link| link.live && link.resource == resource)
    }

    /// The account that a resource is linked to.
    pub fn linked(&self, resource: Seq) -> Option<&AccountRow> {
        self.live_link(resource).and_then(|link| self.accounts.get(&link.account))
    }

    pub fn holder(&self, account: Seq) -> Option<Seq> {
        self.links.iter().find(|link| link.live && link.account == account).map(|link| link.resource)
    }

    pub fn close_link_of(&mut self, account: Seq) {
        for link in self.links.iter_mut().filter(|link| link.account == account) {
            link.live = false;
        }
    }

    /// The newest row that goes by such an id of the target.
    pub fn known_as(&self, id: &str) -> Option<Seq> {
        self.accounts.values().filter(|row| !row.group && row.goes_by(id)).map(|row| row.seq).max()
    }

    /// An account that a late grant may have brought back, of a person who has no other any more.
    pub fn returned(&self, resource: Seq) -> Option<Seq> {
        let late = self.links.iter().rev().filter(|link| link.resource == resource && link.late && !link.live);
        late.map(|link| link.account).find(|account| self.holder(*account).is_none())
    }

    /// Nothing is open about what a late grant did to an account.
    pub fn not_late(&mut self, account: Seq) {
        for link in self.links.iter_mut().filter(|link| link.account == account) {
            link.late = false;
        }
    }

    /// How many invitations were sent for a resource so far.
    pub fn invites_sent(&self, resource: Seq) -> u32 {
        let mine = self.links.iter().filter(|link| link.resource == resource);
        mine.filter_map(|link| self.accounts.get(&link.account)).map(|row| row.invites).max().unwrap_or(0)
    }

    /// Finds or makes the row of an account as the target shows it, and brings it up to date.
    pub fn observe(&mut self, account: &Account, ours: Option<bool>, now: i64) -> Seq {
        let by_remote = |row: &&AccountRow| {
            account.remote_id.is_some() && row.remote == account.remote_id && row.status != Status::Gone
        };
        let by_invite = |row: &&AccountRow| account.invite_id.is_some() && row.invite == account.invite_id;
        let people = || self.accounts.values().filter(|row| !row.group);
        let known = people().find(by_remote).or_else(|| people().find(by_invite)).map(|row| row.seq);
        let seq = known.unwrap_or_else(|| self.seq());
        let row = self.accounts.entry(seq).or_insert_with(|| AccountRow {
            seq,
            group: false,
            remote: None,
            invite: None,
            login: None,
            email: None,
            role: None,
            name: String::new(),
            status: Status::Active,
            protected: false,
            ours: false,
            missing: false,
            expires_at: None,
            invites: 0,
            seen: now,
        });
        row.remote = account.remote_id.clone().or(row.remote.take());
        row.invite = account.invite_id.clone().or(row.invite.take());
        row.login = account.login.clone().or(row.login.take());
        row.email = account.email.clone().or(row.email.take());
        row.role.clone_from(&account.role);
        row.status = Status::of(account.status);
        row.protected = account.protected;
        row.expires_at = account.expires_at;
        row.ours = ours.unwrap_or(row.ours);
        row.missing = false;
        row.seen = now;
        seq
    }

    /// A person's account is there: what waited for it may go on.
    pub fn wake_memberships(&mut self, user: Seq, now: i64) {
        let wakes = |member: &Member| {
            (matches!(member.state, MemberState::Parked | MemberState::Refused) && member.want)
                || member.have == Have::Pending
        };
        let groups: Vec<Seq> = self.of_user(user, wakes);
        for group in groups {
            if let Some(member) = self.members.get_mut(&(group, user)) {
                member.state = MemberState::Todo;
            }
            let rev = self.resources[&group].rev;
            self.upsert_work(group, Lane::Grant, rev, None, now);
        }
    }

    /// Another account takes the place of the linked one: what that was a member of, this is not.
    pub fn grant_anew(&mut self, user: Seq, now: i64) {
        for group in self.of_user(user, |member| member.want && member.have != Have::No) {
            if let Some(member) = self.members.get_mut(&(group, user)) {
                (member.have, member.have_at, member.state) = (Have::No, now, MemberState::Todo);
            }
            let rev = self.resources[&group].rev;
            self.upsert_work(group, Lane::Grant, rev, None, now);
        }
    }

    /// A person's access changed by the directory: the store's `wake_groups`.
    pub fn wake_groups(&mut self, user: Seq, gains: bool, now: i64) {
        let groups = self.of_user(user, |member| match gains {
            true => {
                (matches!(member.state, MemberState::Parked | MemberState::Refused) && member.want)
                    || (member.state == MemberState::Settled && !member.want)
            }
            false => member.state == MemberState::Settled && matches!(member.have, Have::Yes | Have::Pending),
        });
        for group in groups {
            if let Some(member) = self.members.get_mut(&(group, user)) {
                member.state = MemberState::Todo;
                member.op = None;
            }
            let rev = self.resources[&group].rev;
            self.upsert_work(group, if gains { Lane::Grant } else { Lane::Removal }, rev, None, now);
        }
    }

    /// The groups of which the person has a row like that.
    pub fn of_user(&self, user: Seq, like: impl Fn(&Member) -> bool) -> Vec<Seq> {
        self.members.iter().filter(|((_, of), row)| *of == user && like(row)).map(|((group, _), _)| *group).collect()
    }

    /// The members of a group.
    pub fn members_of(&self, group: Seq) -> Vec<(Seq, Member)> {
        let range = (group, Seq::MIN)..=(group, Seq::MAX);
        self.members.range(range).map(|((_, user), row)| (*user, row.clone())).collect()
    }

    /// The account is gone: its link ends and its memberships with it; what is still wanted is parked.
    pub fn gone(&mut self, resource: Seq, account: Seq, now: i64) {
        if let Some(row) = self.accounts.get_mut(&account) {
            (row.status, row.seen) = (Status::Gone, now);
        }
        self.close_link_of(account);
        self.not_late(account);
        self.members.retain(|(_, user), row| *user != resource || row.want || row.state == MemberState::Todo);
        for (_, row) in self.members.iter_mut().filter(|((_, user), _)| *user == resource) {
            row.have = Have::No;
            if row.state == MemberState::Settled {
                row.state = MemberState::Parked;
            }
        }
    }

    /// Whether the account went after the target was asked for what shows it there.
    pub fn went_since(&self, account: &Account, asked: i64) -> bool {
        let went = |row: &AccountRow| row.status == Status::Gone && row.seen >= asked;
        account.remote_id.is_some() && self.accounts.values().any(|row| row.remote == account.remote_id && went(row))
    }

    /// Open doubts of a resource, or of one of its members.
    pub fn resolve(&mut self, resource: Seq, item: Seq) -> usize {
        let mut resolved = 0;
        for attempt in self.attempts.values_mut() {
            if attempt.resource == resource && attempt.item == item && attempt.state == AttemptState::Unknown {
                attempt.state = AttemptState::Resolved;
                resolved += 1;
            }
        }
        resolved
    }

    /// When it was noticed that the sender of such a call died, which the target may still be at after that: also of
    /// one that was repeated meanwhile, or looked at.
    pub fn unheard(&self, like: impl Fn(&Attempt) -> bool) -> Option<i64> {
        let open = |it: &&Attempt| !it.heard && matches!(it.state, AttemptState::Unknown | AttemptState::Resolved);
        self.attempts.values().filter(open).filter(|it| like(it)).map(|it| it.ended).max()
    }

    pub fn unknown(&self, resource: Seq, item: Seq) -> Option<&Attempt> {
        self.attempts
            .values()
            .find(|it| it.resource == resource && it.item == item && it.state == AttemptState::Unknown)
    }

    /// What is claimed or being sent under an epoch that no lease has any more.
    pub fn free_orphans(&mut self, now: i64) {
        let epoch = self.lease.epoch;
        for work in self.work.values_mut() {
            if work.row.state == engine::coalesce::WorkState::Running && work.claim_epoch != Some(epoch) {
                work.row = orphaned(&work.row, now);
                work.claim_epoch = None;
                self.bell = true;
            }
        }
        for attempt in self.attempts.values_mut() {
            if attempt.state == AttemptState::Sending && attempt.epoch != epoch {
                attempt.state = AttemptState::Unknown;
                attempt.ended = now;
            }
        }
    }
}
