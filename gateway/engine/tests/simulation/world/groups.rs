//! A group's plan and settlement, as the gateway's `driver/group` has them around the engine.

use connector_sdk::{
    AccountRef, Effect, Fault, FaultKind, GroupCreated, GroupUpdated, Membership, Need, RemoteGroup, Retry, Suspend,
};
use engine::Lane;
use engine::membership::{Have, Link, MemberStep, MemberView, member_step};

use super::drive::{Subject, Verdict};
use super::persons::{GOES_ON, NEW, SOON};
use super::rows::{self, AccountRow, Ends, Member, MemberState, Seq, Status};
use super::target::{Answer, Call, Change, id_of};
use super::{Sabotage, World};

/// Memberships sent per step.
const BATCH: usize = 8;

impl World {
    /// Plans the next step of a group.
    pub fn plan_group(&mut self, subject: &Subject) -> Verdict {
        let resource = self.rows.resources[&subject.seq].clone();
        let link = self.rows.linked(subject.seq).cloned();
        let name = resource.name.clone();
        let doubt = self.rows.unknown(subject.seq, 0).filter(|it| it.step == "create");
        if let (None, Some(doubt)) = (&link, doubt) {
            // By the name that it was sent with: it may have another by now.
            let name = doubt.sent.clone().filter(|_| self.sabotage != Some(Sabotage::LookByNewName)).unwrap_or(name);
            return Verdict::Call(Call::GroupLook { name }, Vec::new());
        }
        if doubt.is_some() {
            if let Some(until) = self.creation_under_way(subject.seq, self.now) {
                return Verdict::Wait("outcome_unknown", until);
            }
            // The gateway reads the group here; here it is taken to be as it was found.
            self.rows.resolve(subject.seq, 0);
        }
        let whole = |call: Call| {
            let step = call.word();
            Verdict::Call(call, vec![(0, step)])
        };
        if resource.deleted {
            if let Some(link) = link {
                if link.ours
                    && let Some(id) = link.remote.clone()
                {
                    return whole(Call::GroupRemove { id, account: link.seq });
                }
                self.rows.close_link_of(link.seq);
            }
            if let Some(until) = self.late_grants(subject.seq) {
                return Verdict::Wait("outcome_unknown", until);
            }
            for (user, row) in self.rows.members_of(subject.seq) {
                if row.state == MemberState::Todo
                    && let Some(op) = row.op
                {
                    self.rows.close_items(op, Ends { superseded: 1, ..Ends::default() });
                }
                self.rows.members.remove(&(subject.seq, user));
            }
            return Verdict::Settled;
        }
        let Some((id, link)) = link.and_then(|link| link.remote.clone().map(|id| (id, link))) else {
            return whole(Call::GroupCreate { name });
        };
        let doubts = self.rows.unknown(subject.seq, 0).is_some_and(|it| it.step == "update");
        // Another name may still come of a sender that died.
        let renaming = self.rows.unheard(|it| it.resource == subject.seq && it.item == 0 && it.step == "update");
        let renaming = renaming.map(|died| died + GOES_ON).filter(|until| *until > self.now);
        match self.plan_members(subject, &id) {
            Verdict::Settled if (link.name != name || doubts) && renaming.is_some() => {
                Verdict::Wait("outcome_unknown", renaming.unwrap_or(self.now))
            }
            // A name in doubt is sent again: the target may have the other.
            Verdict::Settled if link.name != name || doubts => whole(Call::GroupRename { id, account: link.seq, name }),
            verdict => verdict,
        }
    }

    fn member_view(&self, group: Seq, user: Seq, row: &Member) -> (MemberView, Option<AccountRef>) {
        let person = &self.rows.resources[&user];
        let account = self.rows.linked(user);
        let link = match account.map(|row| row.status) {
            Some(Status::Invited) => Link::Invited,
            Some(Status::Active) => Link::Active,
            Some(Status::Suspended) => Link::Suspended,
            Some(Status::Gone) | None => Link::None,
        };
        let traits = &self.target.habits.traits;
        let doubts = self.rows.unknown(group, user).is_some();
        let view = MemberView {
            want: row.want,
            have: if doubts { Have::Unknown } else { row.have },
            user_wanted: person.wanted(),
            link,
            removal_takes_memberships: traits.suspend == Suspend::Removes && !person.wanted(),
            pending_members: traits.pending_members.takes(account.is_some_and(|row| row.login.is_some())),
            group_ready: true,
        };
        (view, account.and_then(AccountRow::reference))
    }

    fn plan_members(&mut self, subject: &Subject, id: &connector_sdk::RemoteId) -> Verdict {
        for _ in 0..1_000 {
            let mut rows = self.rows.members_of(subject.seq);
            rows.retain(|(_, row)| row.state == MemberState::Todo);
            rows.sort_by_key(|(user, row)| (row.want, row.have_at, *user));
            if rows.is_empty() {
                return Verdict::Settled;
            }
            let mut changes = Vec::new();
            let mut later: Option<i64> = None;
            for (user, row) in rows {
                if let Some(until) = self.late_grant_in_doubt(subject.seq, user) {
                    later = Some(later.map_or(until, |later| later.min(until)));
                    continue;
                }
                let row = self.rows.members.get(&(subject.seq, user)).cloned().unwrap_or(row);
                let (view, account) = self.member_view(subject.seq, user, &row);
                let step = member_step(&view);
                let close = |world: &mut Self, ends: Ends| {
                    if let Some(op) = row.op {
                        world.rows.close_items(op, ends);
                    }
                };
                match step {
                    // The contrary call of a gateway that died may still come.
                    step if self.contrary(subject.seq, user, step).is_some() => {
                        let until = self.contrary(subject.seq, user, step);
                        later = later.min(until).or(until);
                    }
                    MemberStep::Add | MemberStep::Remove => {
                        if changes.len() < BATCH
                            && let Some(account) = account
                        {
                            changes.push(Change { user, account, add: step == MemberStep::Add });
                        }
                    }
                    MemberStep::Park(_) => {
                        self.set_member(subject.seq, user, MemberState::Parked);
                        close(self, Ends { parked: 1, ..Ends::default() });
                    }
                    MemberStep::Settled if row.want || view.removal_takes_memberships => {
                        self.set_member(subject.seq, user, MemberState::Settled);
                        close(self, Ends { applied: 1, ..Ends::default() });
                    }
                    MemberStep::Settled | MemberStep::Forget => {
                        self.rows.members.remove(&(subject.seq, user));
                        close(self, Ends { applied: 1, ..Ends::default() });
                    }
                }
            }
            if !changes.is_empty() {
                let step = |change: &Change| if change.add { "add_member" } else { "remove_member" };
                let attempts = changes.iter().map(|change| (change.user, step(change))).collect();
                return Verdict::Call(Call::Members { id: id.clone(), changes }, attempts);
            }
            if let Some(until) = later {
                return Verdict::Wait("outcome_unknown", until);
            }
        }
        self.broken(format!(
            "the plan of group {} goes in circles: {:?}",
            subject.seq,
            self.rows.members_of(subject.seq)
        ));
        Verdict::Settled
    }

    /// Until when a call contrary to a step may still come of a sender that died. A grant is contrary to
    /// everything but another.
    fn contrary(&self, group: Seq, user: Seq, step: MemberStep) -> Option<i64> {
        let word = if step == MemberStep::Add { "remove_member" } else { "add_member" };
        let died = self.unheard(|it| it.resource == group && it.item == user && it.step == word)?;
        Some(died + GOES_ON).filter(|until| *until > self.now)
    }

    fn set_member(&mut self, group: Seq, user: Seq, state: MemberState) {
        if let Some(row) = self.rows.members.get_mut(&(group, user)) {
            row.state = state;
            if state != MemberState::Todo {
                row.op = None;
            }
        }
    }

    /// Records what the calls brought about. A verdict ends the run; none plans again.
    pub fn apply_group(
        &mut self,
        subject: &Subject,
        call: &Call,
        done: &Result<Answer, Fault>,
        attempts: &[Seq],
    ) -> Option<Verdict> {
        if let Call::Members { changes, .. } = call {
            let all: Vec<Result<Membership, Fault>> = match done {
                Ok(Answer::Members(answers)) => answers.clone(),
                Err(fault) => changes.iter().map(|_| Err(fault.clone())).collect(),
                Ok(other) => {
                    self.broken(format!("members were answered {other:?}"));
                    return None;
                }
            };
            debug_assert!(attempts.len() <= changes.len());
            // Who was created again meanwhile has the account, and what was on its way to it.
            let mut changes = changes.clone();
            for (change, attempt) in changes.iter_mut().zip(attempts) {
                change.user = self.rows.attempts[attempt].item;
            }
            return self.apply_members(subject, &changes, &all);
        }
        let answer = match done {
            Ok(answer) => answer,
            Err(fault) => return Some(Verdict::Failed(Box::new(fault.clone()))),
        };
        match (call, answer) {
            (_, Answer::Groups(found)) => match self.of_nobody_else(subject.seq, found).as_slice() {
                [] => match self.creation_under_way(subject.seq, subject.asked) {
                    Some(until) => Some(Verdict::Wait("outcome_unknown", until)),
                    None => {
                        self.rows.resolve(subject.seq, 0);
                        None
                    }
                },
                [group] => {
                    let verdict = self.tie_group(subject, group);
                    if let Some(until) = self.creation_under_way(subject.seq, subject.asked) {
                        // It may have been there before, and the creation may still come.
                        return Some(Verdict::Wait("outcome_unknown", until));
                    }
                    self.rows.resolve(subject.seq, 0);
                    verdict
                }
                _ => Some(Verdict::Need(Need::new("ambiguous", "Several groups have that name."))),
            },
            (_, Answer::GroupCreated(GroupCreated::Done(group))) => self.tie_group(subject, group),
            (_, Answer::GroupCreated(_)) => {
                Some(Verdict::Need(Need::new("name_taken", "A group of that name is there.")))
            }
            (Call::GroupRename { account, name, .. }, Answer::GroupUpdated(GroupUpdated::Done(_))) => {
                if let Some(row) = self.rows.accounts.get_mut(account) {
                    row.name.clone_from(name);
                }
                None
            }
            (Call::GroupRename { account, .. }, Answer::GroupUpdated(_)) => {
                self.close_group(*account);
                self.late_grants(subject.seq);
                self.forget_memberships(subject.seq);
                None
            }
            (Call::GroupRemove { account, .. }, Answer::Removed(_)) => {
                self.close_group(*account);
                None
            }
            (call, answer) => {
                self.broken(format!("{call:?} was answered {answer:?}"));
                None
            }
        }
    }

    /// The groups of a name that may be the one that a creation in doubt made: not those that others have.
    fn of_nobody_else(&self, group: Seq, found: &[RemoteGroup]) -> Vec<RemoteGroup> {
        let holder = |one: &RemoteGroup| {
            let known =
                |row: &&AccountRow| row.group && row.status != Status::Gone && row.remote.as_ref() == Some(&one.id);
            self.rows.accounts.values().find(known).and_then(|row| self.rows.holder(row.seq))
        };
        found.iter().filter(|one| holder(one).is_none_or(|holder| holder == group)).cloned().collect()
    }

    fn close_group(&mut self, account: Seq) {
        if let Some(row) = self.rows.accounts.get_mut(&account) {
            row.status = Status::Gone;
        }
        self.rows.close_link_of(account);
    }

    fn forget_memberships(&mut self, group: Seq) {
        for (user, row) in self.rows.members_of(group) {
            if !row.want {
                if row.state == MemberState::Todo
                    && let Some(op) = row.op
                {
                    self.rows.close_items(op, Ends { applied: 1, ..Ends::default() });
                }
                self.rows.members.remove(&(group, user));
            } else if row.state != MemberState::Todo || row.have != Have::Unknown {
                let row = Member { have: Have::No, state: MemberState::Todo, ..row };
                self.rows.members.insert((group, user), row);
            }
        }
    }

    fn tie_group(&mut self, subject: &Subject, group: &RemoteGroup) -> Option<Verdict> {
        let known = self
            .rows
            .accounts
            .values()
            .find(|row| row.group && row.remote.as_ref() == Some(&group.id) && row.status != Status::Gone);
        let account = match known.map(|row| row.seq) {
            Some(account) => {
                if self.rows.holder(account).is_some_and(|holder| holder != subject.seq) {
                    return Some(Verdict::Need(Need::new("conflict", "The group is another's.")));
                }
                account
            }
            None => {
                let seq = self.rows.seq();
                let row = AccountRow {
                    seq,
                    group: true,
                    remote: Some(group.id.clone()),
                    invite: None,
                    login: None,
                    email: None,
                    role: None,
                    name: group.name.clone(),
                    status: Status::Active,
                    protected: false,
                    ours: true,
                    missing: false,
                    expires_at: None,
                    invites: 0,
                    seen: self.now,
                };
                self.rows.accounts.insert(seq, row);
                seq
            }
        };
        if let Some(row) = self.rows.accounts.get_mut(&account) {
            row.name.clone_from(&group.name);
            row.ours = true;
        }
        if self.rows.live_link(subject.seq).is_none() && self.rows.holder(account).is_none() {
            self.rows.links.push(rows::Link {
                resource: subject.seq,
                account,
                live: true,
                late: false,
                opened_at: self.now,
            });
        }
        None
    }

    fn apply_members(
        &mut self,
        subject: &Subject,
        changes: &[Change],
        answers: &[Result<Membership, Fault>],
    ) -> Option<Verdict> {
        let mut verdict = None;
        for (change, answer) in changes.iter().zip(answers) {
            let reached = answer.as_ref().err().is_none_or(|fault| fault.effect == Effect::Unknown);
            if change.add && reached && self.sabotage != Some(Sabotage::ForgetLateGrants) {
                let removal = |it: &&mut rows::Attempt| {
                    it.resource == change.user
                        && it.item == 0
                        && it.step == "remove"
                        && it.state == rows::AttemptState::Sending
                };
                if let Some(removal) = self.rows.attempts.values_mut().find(removal) {
                    removal.granted = true;
                }
            }
            match answer {
                Ok(membership) => self.apply_member(subject, change, membership),
                Err(fault) if fault.kind == FaultKind::NotFound => {
                    let opened = self.rows.live_link(change.user).map_or(0, |link| link.opened_at);
                    if change.add && opened + NEW > subject.asked {
                        // The target does not show yet what it has just made.
                        verdict = verdict.or(Some(Verdict::Wait("not_visible", self.now + SOON)));
                    } else if change.add {
                        self.end_member(
                            subject.seq,
                            change.user,
                            MemberState::Parked,
                            Ends { parked: 1, ..Ends::default() },
                        );
                    } else {
                        // Nor is there anything to be in doubt about any more.
                        if self.sabotage != Some(Sabotage::DoubtWhatIsGone) {
                            self.rows.resolve(subject.seq, change.user);
                        }
                        self.apply_member(subject, change, &Membership::Absent);
                    }
                }
                Err(fault) if fault.retry == Retry::Never => {
                    self.end_member(
                        subject.seq,
                        change.user,
                        MemberState::Refused,
                        Ends { failed: 1, ..Ends::default() },
                    );
                }
                Err(fault) => {
                    let now = self.now;
                    if let Some(row) = self.rows.members.get_mut(&(subject.seq, change.user)) {
                        row.have_at = now;
                    }
                    verdict = Some(Verdict::Failed(Box::new(fault.clone())));
                }
            }
        }
        verdict
    }

    fn end_member(&mut self, group: Seq, user: Seq, state: MemberState, ends: Ends) {
        let op = self.rows.members.get(&(group, user)).and_then(|row| row.op);
        self.set_member(group, user, state);
        if let Some(op) = op {
            self.rows.close_items(op, ends);
        }
    }

    fn apply_member(&mut self, subject: &Subject, change: &Change, membership: &Membership) {
        let have = match membership {
            Membership::Present => Have::Yes,
            Membership::Pending => Have::Pending,
            _ => Have::No,
        };
        let now = self.now;
        let sent = id_of(&change.account);
        let late = self.rows.linked(change.user).is_none_or(|row| !row.goes_by(&sent));
        let late = late && change.add && have != Have::No && self.sabotage != Some(Sabotage::ForgetLateGrants);
        if late && self.rows.linked(change.user).is_some() {
            // Another account has taken its place, and is no member yet.
            self.late_grant(subject.seq, change.user, &sent);
            return;
        }
        let Some(row) = self.rows.members.get_mut(&(subject.seq, change.user)) else { return };
        (row.have, row.have_at) = (have, now);
        let (want, op) = (row.want, row.op);
        let user_wanted = self.rows.resources[&change.user].wanted();
        if late {
            self.late_grant(subject.seq, change.user, &sent);
        }
        if want != change.add || (want && !user_wanted) {
            return;
        }
        match (want, have) {
            (true, Have::Pending) => self.set_member(subject.seq, change.user, MemberState::Parked),
            (true, _) => self.set_member(subject.seq, change.user, MemberState::Settled),
            (false, _) => {
                self.rows.members.remove(&(subject.seq, change.user));
            }
        }
        if let Some(op) = op {
            let ends = match have {
                Have::Pending => Ends { parked: 1, ..Ends::default() },
                _ => Ends { applied: 1, ..Ends::default() },
            };
            self.rows.close_items(op, ends);
        }
    }

    /// A grant whose outcome is not known, to an account that is not the person's any more: it may have brought
    /// that back. Until when that is too early to say.
    fn late_grant_in_doubt(&mut self, group: Seq, user: Seq) -> Option<i64> {
        let doubt = self.rows.unknown(group, user).filter(|it| it.step == "add_member")?.clone();
        let sent = doubt.sent?;
        if self.rows.linked(user).is_some_and(|row| row.goes_by(&sent))
            || self.sabotage == Some(Sabotage::ForgetLateGrants)
        {
            return None;
        }
        if !doubt.heard && doubt.ended + GOES_ON > self.now {
            return Some(doubt.ended + GOES_ON);
        }
        self.rows.resolve(group, user);
        self.late_grant(group, user, &sent);
        None
    }

    /// The same of a whole group that is gone: nobody looks at its memberships any more.
    fn late_grants(&mut self, group: Seq) -> Option<i64> {
        let open =
            self.rows.attempts.values().filter(|it| it.resource == group && it.state == rows::AttemptState::Unknown);
        let users: Vec<Seq> = open.map(|it| it.item).filter(|item| *item != 0).collect();
        let mut later = None;
        for user in users {
            let until = self.late_grant_in_doubt(group, user);
            later = later.max(until);
        }
        later
    }

    /// A grant came to an account that is not the person's any more, and may have brought it back.
    fn late_grant(&mut self, group: Seq, user: Seq, sent: &str) {
        let Some(account) = self.rows.known_as(sent) else { return };
        if let Some(holder) = self.rows.holder(account) {
            // Somebody else's by now, who is a member because of it.
            if !self.rows.resources[&group].deleted
                && self.rows.members.get(&(group, holder)).is_none_or(|row| !row.want)
            {
                let row =
                    Member { want: false, have: Have::Yes, state: MemberState::Todo, op: None, have_at: self.now };
                let op = self.rows.members.insert((group, holder), row).and_then(|row| row.op);
                if let (Some(op), Some(row)) = (op, self.rows.members.get_mut(&(group, holder))) {
                    row.op = Some(op);
                }
                let rev = self.rows.resources[&group].rev;
                self.rows.upsert_work(group, Lane::Removal, rev, None, self.now);
            }
            return;
        }
        if self.rows.linked(user).is_none() {
            self.reopen(user, account);
            // If it is back, it is a member, whatever was known of it when it went: as one who is invited may be.
            let forgets = self.sabotage == Some(Sabotage::ForgetReturnedMembers);
            if let Some(row) = self.rows.members.get_mut(&(group, user))
                && matches!(row.have, Have::No | Have::Unknown)
                && !forgets
            {
                row.have = Have::Pending;
            }
        } else if !self.rows.links.iter().any(|link| link.resource == user && link.account == account && link.late) {
            // Once the one that they have now is over.
            let link = rows::Link { resource: user, account, live: false, late: true, opened_at: self.now };
            self.rows.links.push(link);
        }
    }

    /// An account that may be back is taken as the person's again, who has no other.
    pub fn reopen(&mut self, user: Seq, account: Seq) {
        self.tell(|| format!("account {account} of resource {user} may be back"));
        self.rows.not_late(account);
        if let Some(row) = self.rows.accounts.get_mut(&account) {
            row.status = if row.remote.is_some() { Status::Active } else { Status::Invited };
        }
        self.rows.links.push(rows::Link { resource: user, account, live: true, late: true, opened_at: self.now });
        let rev = self.rows.resources[&user].rev;
        // Who shall have access after all, also where that is decided only later, is looked at.
        self.doubt_removal(user);
        if self.rows.resources[&user].wanted() {
            self.rows.wake_memberships(user, self.now);
            self.rows.upsert_work(user, Lane::Grant, rev, None, self.now);
        } else {
            self.rows.upsert_work(user, Lane::Deprovision, rev, None, self.now);
        }
    }
}
