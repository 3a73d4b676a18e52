//! What has to hold: after every step, and at the end, when faults are long over.

use std::collections::{BTreeMap, BTreeSet};

use connector_sdk::Ended;
use engine::coalesce::WorkState;
use engine::operation::OpState;
use engine::person::Wanted;

use super::rows::{MemberState, Seq, Status};
use super::target::{Object, State};
use super::{HOUR, Sabotage, World};

/// Needs that only a person can end. Any other is looked at by itself until it is over.
const FOR_A_PERSON: [&str; 9] =
    ["refused", "protected", "ambiguous", "invitation", "adopt", "conflict", "link", "name_taken", "relink"];

impl World {
    /// What holds after every step.
    pub fn check(&mut self) {
        if let Some(what) = self.wrong_now() {
            self.broken(what);
        }
    }

    fn wrong_now(&self) -> Option<String> {
        if let Some(what) = &self.target.broken {
            return Some(what.clone());
        }
        self.nothing_is_lost()
            .or_else(|| self.nothing_waits_for_ever())
            .or_else(|| self.links_are_exclusive())
            .or_else(|| self.nobody_is_there_twice())
    }

    /// R1: what was acknowledged is stored, and what is not settled has work.
    fn nothing_is_lost(&self) -> Option<String> {
        if let Some(op) = self.ledger.ops.last().filter(|op| !self.rows.ops.contains_key(op)) {
            return Some(format!("the acknowledged operation {op} is not stored"));
        }
        for (seq, op) in &self.rows.ops {
            if op.state == OpState::Open && !self.rows.work.contains_key(&op.resource) {
                return Some(format!("operation {seq} of resource {} is open without work: {op:?}", op.resource));
            }
        }
        for ((group, user), member) in &self.rows.members {
            if member.state == MemberState::Todo && !self.rows.work.contains_key(group) {
                return Some(format!("the membership of {user} in {group} is to do, without work"));
            }
        }
        let unsettled = |seq: &Seq| {
            let it = &self.rows.resources[seq];
            it.settled_rev < it.rev && !self.rows.work.contains_key(seq) && !self.ledger.inherited.contains_key(seq)
        };
        let lost = self.rows.resources.keys().find(|seq| unsettled(seq))?;
        let it = &self.rows.resources[lost];
        // A deleted row whose successor took its work over has none of its own.
        let taken_over =
            it.deleted && self.rows.ops.values().all(|op| op.resource != *lost || op.state != OpState::Open);
        (!taken_over)
            .then(|| format!("resource {lost} is at revision {} of {} and has no work", it.settled_rev, it.rev))
    }

    /// Whatever waits has an exit: a time, and a reason.
    fn nothing_waits_for_ever(&self) -> Option<String> {
        for (seq, work) in &self.rows.work {
            let row = &work.row;
            let exit = match row.state {
                WorkState::Waiting | WorkState::Needs => row.need.is_some() && row.due_at <= self.now + 25 * HOUR,
                WorkState::Running => work.claim_epoch.is_some(),
                WorkState::Todo => row.due_at <= self.now + HOUR,
                WorkState::Held => false,
            };
            if !exit {
                return Some(format!("the work of resource {seq} has no exit: {work:?}"));
            }
            if work.after == Some(*seq) {
                return Some(format!("the work of resource {seq} waits for itself"));
            }
        }
        None
    }

    fn links_are_exclusive(&self) -> Option<String> {
        let live: Vec<_> = self.rows.links.iter().filter(|link| link.live).collect();
        for (at, link) in live.iter().enumerate() {
            let twice = live[..at].iter().any(|it| it.account == link.account || it.resource == link.resource);
            if twice {
                return Some(format!("two live links of resource {} or account {}", link.resource, link.account));
            }
        }
        None
    }

    /// R2: of what we made nobody has two.
    fn nobody_is_there_twice(&self) -> Option<String> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for object in self.target.objects.values().filter(|it| it.lives() && it.made_for.is_some()) {
            if !seen.insert(whose(&object.email)) {
                return Some(format!("{} is at the target twice", object.email));
            }
        }
        let mut groups: BTreeMap<Seq, u32> = BTreeMap::new();
        for group in self.target.groups.values().filter(|it| !it.gone) {
            // One that another resource was tied to meanwhile, which wanted it by the same name, is that one's.
            let id = format!("g{}", group.id);
            let rows = self.rows.accounts.values().filter(|row| row.group && row.status != Status::Gone);
            let row = rows.into_iter().find(|row| row.remote.as_ref().is_some_and(|remote| remote.as_str() == id));
            let holder = row.and_then(|row| self.rows.holder(row.seq));
            if let Some(made_for) = group.made_for
                && holder.is_none_or(|holder| holder == made_for)
                && let Some(other) = groups.insert(made_for, group.id)
            {
                return Some(format!("groups {other} and {} were both made for resource {made_for}", group.id));
            }
        }
        None
    }

    /// What holds once faults are long over.
    pub fn check_end(&mut self) {
        self.target.tick(self.now);
        self.report.needs = self.rows.work.values().filter(|work| work.row.state == WorkState::Needs).count();
        let wrong =
            self.all_is_settled().or_else(|| self.people_are_as_wanted()).or_else(|| self.groups_are_as_wanted());
        if let Some(what) = wrong {
            self.broken(what);
        }
    }

    fn needs_a_person(&self, resource: Seq) -> bool {
        self.rows.work.get(&resource).is_some_and(|work| {
            let need = work.row.need.as_deref().unwrap_or_default();
            FOR_A_PERSON.contains(&need)
        })
    }

    fn all_is_settled(&self) -> Option<String> {
        for (seq, work) in &self.rows.work {
            let blocked = work.after.is_some_and(|after| self.rows.work.contains_key(&after));
            if !self.needs_a_person(*seq) && !blocked {
                let resource = &self.rows.resources[seq];
                return Some(format!("not settled at the end: {resource:?} {work:?}"));
            }
        }
        let open = self
            .rows
            .ops
            .iter()
            .find(|(_, op)| op.state == OpState::Open && !self.rows.work.contains_key(&op.resource));
        open.map(|(seq, op)| format!("operation {seq} is open at the end: {op:?}"))
    }

    /// The living resource of a name, if any, and whether anything of that name needs a person.
    fn of_name(&self, group: bool, name: &str) -> (Option<Seq>, bool) {
        let mut needs = false;
        let mut living = None;
        for it in self.rows.resources.values().filter(|it| it.group == group && it.name == name) {
            needs |= self.rows.work.contains_key(&it.seq);
            if !it.deleted {
                living = Some(it.seq);
            }
        }
        (living, needs)
    }

    fn people_are_as_wanted(&self) -> Option<String> {
        for name in &self.people {
            let (living, needs) = self.of_name(false, name);
            if needs {
                continue;
            }
            let there: Vec<&Object> =
                self.target.objects.values().filter(|it| it.lives() && whose(&it.email) == whose(name)).collect();
            let wanted = match living.map(|seq| &self.rows.resources[&seq]) {
                Some(it) if it.wanted() => Wanted::Access,
                Some(_) => Wanted::NoAccess { delete: false },
                None => Wanted::NoAccess { delete: true },
            };
            let wrong = match wanted {
                Wanted::Access => living.and_then(|seq| self.lacks_access(seq, &there)),
                Wanted::NoAccess { delete } => self.still_there(delete, &there),
            };
            if let Some(wrong) = wrong {
                return Some(format!("{name} at the end: {wrong}; at the target: {there:?}"));
            }
        }
        None
    }

    fn lacks_access(&self, seq: Seq, there: &[&Object]) -> Option<String> {
        let Some(row) = self.rows.linked(seq) else { return Some("wanted, and without an account".to_owned()) };
        let object = self.object_of(row)?;
        if object.by_hand {
            return None;
        }
        // What ended since the last listing of invitations is nobody's fault yet: the next one tells.
        let ended = object.state == State::Ended(Ended::Expired) && object.expires_at > self.looked_out;
        if row.status == Status::Invited && ended {
            return None;
        }
        let right = match row.status {
            Status::Invited => object.state == State::Invited,
            Status::Active => object.state == State::Active,
            Status::Suspended | Status::Gone => false,
        };
        if !right || there.is_empty() {
            return Some(format!("wanted, and known as {:?}, but is {:?}", row.status, object.state));
        }
        let role = self.rows.resources[&seq].role.as_ref().filter(|_| object.state == State::Active)?;
        (object.role != *role).then(|| format!("wanted with the role {role}, but has {}", object.role))
    }

    /// The target's object that a row stands for.
    pub fn object_of(&self, row: &super::rows::AccountRow) -> Option<&Object> {
        let id = match row.status {
            Status::Invited => row.invite.as_ref().map(|id| id.as_str()),
            _ => row.remote.as_ref().map(|id| id.as_str()),
        };
        id.and_then(|id| id.get(1..)).and_then(|id| id.parse().ok()).and_then(|id: u32| self.target.objects.get(&id))
    }

    fn still_there(&self, delete: bool, there: &[&Object]) -> Option<String> {
        let ours = |object: &&&Object| {
            object.made_for.is_some()
                || self.rows.accounts.values().any(|row| {
                    let was_linked = self.rows.links.iter().any(|link| link.account == row.seq);
                    was_linked && self.object_of(row).is_some_and(|it| it.id == object.id)
                })
        };
        let suspends = self.target.habits.traits.suspend == connector_sdk::Suspend::Native;
        let access = |object: &&&Object| match object.state {
            State::Suspended => delete || !suspends,
            _ => true,
        };
        let left = there.iter().filter(|it| !it.protected).filter(ours).find(access)?;
        Some(format!("left, and still has {:?}", left.state))
    }

    fn groups_are_as_wanted(&self) -> Option<String> {
        for group in self.target.groups.values().filter(|it| !it.gone && !it.by_hand && it.made_for.is_some()) {
            let row = self.rows.accounts.values().find(|row| {
                row.group
                    && row.status != Status::Gone
                    && row.remote.as_ref().is_some_and(|id| id.as_str() == format!("g{}", group.id))
            });
            let holder = row.and_then(|row| self.rows.holder(row.seq));
            let Some(seq) = holder else {
                return Some(format!("the target's group {} is nobody's: {group:?}", group.name));
            };
            let resource = &self.rows.resources[&seq];
            if self.rows.work.contains_key(&seq) {
                continue;
            }
            if resource.deleted || resource.name != group.name {
                return Some(format!("the target's group {} is of {resource:?}", group.name));
            }
            if let Some(wrong) = self.members_are_as_wanted(seq, &group.members) {
                return Some(format!("the target's group {}: {wrong}", group.name));
            }
        }
        None
    }

    fn members_are_as_wanted(&self, group: Seq, members: &BTreeSet<u32>) -> Option<String> {
        let mut expected = BTreeSet::new();
        for user in self.effective_members(group) {
            if self.rows.work.contains_key(&user) {
                continue;
            }
            let Some(object) = self.rows.linked(user).and_then(|row| self.object_of(row)) else { continue };
            let pending = self.target.habits.traits.pending_members.takes(object.login.is_some());
            let can = object.state == State::Active || (object.state == State::Invited && pending);
            if !can || object.by_hand {
                continue;
            }
            expected.insert(object.id);
            // Where grants bring people back, one whose removal was not heard of is back without their groups.
            if !members.contains(&object.id) && !self.target.habits.grants_bring_back {
                let row = &self.rows.members[&(group, user)];
                return Some(format!("resource {user} is no member of {group}, object {}: {row:?}", object.id));
            }
        }
        for member in members {
            let object = &self.target.objects[member];
            let person = format!("{}@x.org", whose(&object.email));
            let (_, needs) = self.of_name(false, &person);
            if !expected.contains(member) && !object.by_hand && !needs && !object.protected {
                return Some(format!("object {member} is a member, and nobody wants that: {object:?}"));
            }
        }
        None
    }

    fn effective_members(&self, group: Seq) -> Vec<Seq> {
        let wanted = |user: &Seq| self.rows.resources[user].wanted();
        let rows = self.rows.members_of(group);
        rows.into_iter().filter(|(_, row)| row.want).map(|(user, _)| user).filter(wanted).collect()
    }
}

/// Whose an address is, old or new.
fn whose(email: &str) -> &str {
    email.split('@').next().unwrap_or_default()
}

/// The first story from a seed on that goes wrong with a sabotage, and well without.
pub fn caught(sabotage: Sabotage, from: u64, within: u64) -> Option<(u64, String)> {
    (from..from + within).find_map(|seed| {
        let options = super::Options { sabotage: Some(sabotage), verbose: false };
        let broken = super::play(seed, options).err()?;
        super::play(seed, super::Options::default()).is_ok().then_some((seed, broken.what))
    })
}
