//! What an identity provider's requests store: each function is one transaction, as in the gateway's
//! `service/accept`.

use engine::Lane;
use engine::coalesce::{WorkState, lane_of_person_change};
use engine::membership::Have;
use engine::operation::OpState;
use engine::work::retried;

use super::Sabotage;
use super::World;
use super::rows::{AttemptState, Ends, Member, MemberState, Op, Resource, Seq};

/// A change to a person.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    pub active: Option<bool>,
    pub role: Option<String>,
    pub email: Option<String>,
}

impl World {
    fn record(&mut self, resource: Seq, rev: i64, paths: &[&str], items: i64) -> Seq {
        let seq = self.rows.seq();
        let state = if items == 0 { OpState::Applied } else { OpState::Open };
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let deletes = self.rows.resources[&resource].deleted;
        let op = Op { resource, rev, paths, deletes, items, open: items, failed: 0, parked: 0, superseded: 0, state };
        self.rows.ops.insert(seq, op);
        seq
    }

    /// The living resource of that name.
    pub fn named(&self, group: bool, name: &str) -> Option<Seq> {
        let mut all = self.rows.resources.values();
        all.find(|it| it.group == group && it.name == name && !it.deleted).map(|it| it.seq)
    }

    /// POST; `None` is 409.
    pub fn create(&mut self, group: bool, name: &str, active: bool) -> Option<Seq> {
        if self.named(group, name).is_some() {
            return None;
        }
        let seq = self.rows.seq();
        self.ids += 1;
        if !self.ledger.given.insert(self.ids) {
            self.broken(format!("the id {} was given twice", self.ids));
        }
        let resource = Resource {
            seq,
            group,
            name: name.to_owned(),
            email: name.to_owned(),
            active,
            role: None,
            deleted: false,
            rev: 1,
            settled_rev: 0,
        };
        self.rows.resources.insert(seq, resource);
        let after = self.take_over(seq, group, name);
        let op = self.record(seq, 1, &["userName", "active"], 1);
        self.rows.upsert_work(seq, Lane::Grant, 1, after, self.now);
        self.ledger.acknowledge(op);
        Some(seq)
    }

    /// Delete and create again (DECISIONS 4).
    fn take_over(&mut self, new: Seq, group: bool, name: &str) -> Option<Seq> {
        let twins: Vec<Seq> = self
            .rows
            .resources
            .values()
            .rev()
            .filter(|it| it.group == group && it.name == name && it.deleted)
            .map(|it| it.seq)
            .filter(|seq| self.rows.work.contains_key(seq) || self.rows.live_link(*seq).is_some())
            .collect();
        let (mut after, mut linked) = (None, false);
        for old in twins {
            let running = self.rows.work.get(&old).is_some_and(|work| work.row.state == WorkState::Running);
            let flying = self.rows.attempts.values().any(|it| it.resource == old && it.state.open());
            if running || flying {
                after = after.or(Some(old));
                continue;
            }
            let has_link = self.rows.live_link(old).is_some();
            if after.is_some() || (has_link && linked) || (!has_link && group) {
                continue;
            }
            self.rows.work.remove(&old);
            let open: Vec<(Seq, i64)> =
                self.open_ops(old).into_iter().map(|seq| (seq, self.rows.ops[&seq].open)).collect();
            for (op, items) in open {
                self.rows.close_items(op, Ends { superseded: items, ..Ends::default() });
            }
            for link in self.rows.links.iter_mut().filter(|link| link.late && link.resource == old) {
                link.resource = new;
            }
            if has_link {
                for link in self.rows.links.iter_mut().filter(|link| link.live && link.resource == old) {
                    link.resource = new;
                }
                // And what the target may still be at, though it was repeated.
                for attempt in self.rows.attempts.values_mut().filter(|it| it.resource == old && !it.heard) {
                    attempt.resource = new;
                }
                linked = true;
                self.ledger.inherited.insert(old, new);
                if group { self.inherit_members(old, new) } else { self.move_memberships(old, new) }
            }
        }
        after
    }

    /// The open operations of a resource.
    pub fn open_ops(&self, resource: Seq) -> Vec<Seq> {
        let open = self.rows.ops.iter().filter(|(_, op)| op.resource == resource && op.state == OpState::Open);
        open.map(|(seq, _)| *seq).collect()
    }

    fn flies(&self, group: Seq, user: Seq) -> bool {
        self.rows.attempts.values().any(|it| it.resource == group && it.item == user && it.state.open())
    }

    fn inherit_members(&mut self, old: Seq, new: Seq) {
        for (user, row) in self.rows.members_of(old) {
            self.rows.members.remove(&(old, user));
            if row.have == Have::Yes || row.have == Have::Pending || self.flies(old, user) {
                let row = Member { want: false, state: MemberState::Todo, op: None, ..row };
                self.rows.members.insert((new, user), row);
            }
        }
    }

    /// What the target has, or may have, of the old row's memberships is the new row's.
    fn move_memberships(&mut self, old: Seq, new: Seq) {
        for group in self.rows.of_user(old, |_| true) {
            let mut row = self.rows.members[&(group, old)].clone();
            let flies = self.flies(group, old);
            if !(matches!(row.have, Have::Yes | Have::Pending) || flies) {
                continue;
            }
            // What is on its way is the account's, and so the new row's. What is taken out is there until it is
            // told to be gone: nothing but that row would know if the call was refused.
            if flies && row.have == Have::No && self.sabotage != Some(Sabotage::ForgetFlying) {
                row.have = Have::Unknown;
            }
            let forgets = self.sabotage == Some(Sabotage::ForgetFlying);
            let open =
                |it: &&mut super::rows::Attempt| !forgets && it.resource == group && it.item == old && it.state.open();
            for attempt in self.rows.attempts.values_mut().filter(open) {
                attempt.item = new;
            }
            for attempt in self.rows.attempts.values_mut() {
                if attempt.resource == group && attempt.item == old && !attempt.heard && !attempt.state.open() {
                    attempt.item = new;
                }
            }
            self.rows.members.remove(&(group, old));
            let lane = if row.want { Lane::Grant } else { Lane::Removal };
            self.rows.members.insert((group, new), Member { state: MemberState::Todo, ..row });
            let rev = self.rows.resources[&group].rev;
            self.rows.upsert_work(group, lane, rev, None, self.now);
        }
    }

    /// PATCH of a person; true if anything changed. `None` is a refusal (protected).
    pub fn edit(&mut self, seq: Seq, edit: &Edit) -> Option<bool> {
        let before = self.rows.resources[&seq].clone();
        let active = edit.active.unwrap_or(before.active);
        let role = edit.role.clone().or(before.role.clone());
        let email = edit.email.clone().unwrap_or_else(|| before.email.clone());
        let mut paths = Vec::new();
        if email != before.email {
            paths.push("emails");
        }
        if active != before.active {
            paths.push("active");
        }
        if role != before.role {
            paths.push("roles");
        }
        if before.active && !active && self.is_protected(seq) {
            return None;
        }
        if paths.is_empty() {
            // What waits for a person to act is tried at once.
            if let Some(work) = self.rows.work.get_mut(&seq).filter(|work| work.row.state == WorkState::Needs) {
                work.row = retried(&work.row, self.now);
                self.rows.bell = true;
            }
            return Some(false);
        }
        let rev = before.rev + 1;
        let op = self.record(seq, rev, &paths, 1);
        if let Some(row) = self.rows.resources.get_mut(&seq) {
            (row.active, row.role, row.email, row.rev) = (active, role, email, rev);
        }
        if active != before.active {
            self.rows.wake_groups(seq, active, self.now);
        }
        let lane = match lane_of_person_change(active, before.active) {
            // The gateway's: only losing access is urgent, not a change of somebody without it.
            Lane::Deprovision if !before.active => Lane::Grant,
            lane => lane,
        };
        let dropped = self.sabotage == Some(Sabotage::DropDeprovision) && !active && self.dice.chance(3_000);
        if !dropped {
            self.rows.upsert_work(seq, lane, rev, None, self.now);
        }
        self.ledger.acknowledge(op);
        Some(true)
    }

    /// Whether the directory knows the person's account to be protected.
    pub fn is_protected(&self, seq: Seq) -> bool {
        self.policy.protects([self.rows.resources[&seq].name.as_str()])
            || self.rows.linked(seq).is_some_and(|row| {
                row.protected
                    || self.policy.protects(row.login.as_deref())
                    || self.policy.protects(row.email.as_deref())
            })
    }

    /// DELETE; false is a refusal (protected).
    pub fn delete(&mut self, seq: Seq) -> bool {
        let before = self.rows.resources[&seq].clone();
        if !before.group && self.is_protected(seq) {
            return false;
        }
        let rev = before.rev + 1;
        if let Some(row) = self.rows.resources.get_mut(&seq) {
            (row.deleted, row.rev) = (true, rev);
        }
        if !before.group {
            for group in self.rows.of_user(seq, |_| true) {
                if let Some(member) = self.rows.members.get_mut(&(group, seq)) {
                    (member.want, member.state) = (false, MemberState::Todo);
                }
                let rev = self.rows.resources[&group].rev;
                self.rows.upsert_work(group, Lane::Removal, rev, None, self.now);
            }
        }
        let op = self.record(seq, rev, &[], 1);
        let lane = if before.group { Lane::Removal } else { Lane::Deprovision };
        self.rows.upsert_work(seq, lane, rev, None, self.now);
        self.ledger.acknowledge(op);
        true
    }

    /// PATCH of a group's members: who shall be in it, and who not.
    pub fn edit_members(&mut self, group: Seq, wishes: &[(Seq, bool)]) -> bool {
        let turns: Vec<(Seq, bool)> = wishes
            .iter()
            .copied()
            .filter(|(user, want)| match self.rows.members.get(&(group, *user)) {
                None => *want,
                Some(row) => row.want != *want || row.state == MemberState::Refused,
            })
            .collect();
        if turns.is_empty() {
            return false;
        }
        let rev = self.rows.resources[&group].rev + 1;
        let op = self.record(group, rev, &["members"], 1);
        let (mut todo, mut removes) = (0, false);
        for (user, want) in turns {
            let old = self.rows.members.get(&(group, user)).cloned();
            let waiting = old.as_ref().filter(|row| row.state == MemberState::Todo).and_then(|row| row.op);
            if let Some(waiting) = waiting {
                self.rows.close_items(waiting, Ends { superseded: 1, ..Ends::default() });
            }
            let never = old.as_ref().is_some_and(|row| matches!(row.have, Have::Unknown | Have::No));
            if !want && never && !self.flies(group, user) {
                self.rows.members.remove(&(group, user));
                continue;
            }
            todo += 1;
            removes |= !want;
            let (have, have_at) = old.map_or((Have::Unknown, 0), |row| (row.have, row.have_at));
            let row = Member { want, have, state: MemberState::Todo, op: Some(op), have_at };
            self.rows.members.insert((group, user), row);
        }
        if let Some(row) = self.rows.ops.get_mut(&op) {
            (row.items, row.open) = (row.items + todo, row.open + todo);
        }
        if let Some(row) = self.rows.resources.get_mut(&group) {
            row.rev = rev;
        }
        self.rows.upsert_work(group, if removes { Lane::Removal } else { Lane::Grant }, rev, None, self.now);
        self.ledger.acknowledge(op);
        true
    }

    /// A group gets another name.
    pub fn rename(&mut self, group: Seq, name: &str) -> bool {
        if self.named(true, name).is_some() {
            return false;
        }
        let rev = self.rows.resources[&group].rev + 1;
        if let Some(row) = self.rows.resources.get_mut(&group) {
            (row.name, row.rev) = (name.to_owned(), rev);
        }
        let op = self.record(group, rev, &["displayName"], 1);
        self.rows.upsert_work(group, Lane::Grant, rev, None, self.now);
        self.ledger.acknowledge(op);
        true
    }

    /// How many attempts of an item are open: the index allows one.
    pub fn open_attempts(&self, resource: Seq, item: Seq) -> usize {
        let open = |it: &&super::rows::Attempt| matches!(it.state, AttemptState::Sending | AttemptState::Unknown);
        self.rows.attempts.values().filter(open).filter(|it| it.resource == resource && it.item == item).count()
    }
}
