//! Who asks, and who lives at the target: identity providers that change people and groups, also twice and
//! after lost answers; people who accept, decline or forget their invitations; admins who change things at the
//! target by hand.

use connector_sdk::Ended;
use engine::Lane;

use super::accept::Edit;
use super::rows::{Seq, Status};
use super::target::State;
use super::{Event, HOUR, MINUTE, SECOND, World};

/// A request.
#[derive(Clone, Debug)]
pub enum Action {
    Create(String, bool),
    Edit(String, Edit),
    Delete(String),
    CreateGroup(String),
    DeleteGroup(String),
    Members(String, Vec<(String, bool)>),
    Rename(String, String),
}

impl World {
    /// A client's turn: a new request, or one whose answer did not come.
    pub fn client(&mut self, client: usize) {
        if self.now >= self.quiet_at {
            return;
        }
        let action = match self.pending[client].take() {
            Some(action) => action,
            None => self.choose(),
        };
        let wait = match self.dice.below(10) {
            0..4 => self.dice.between(0, SECOND / 5),
            4..8 => self.dice.between(0, 8 * SECOND),
            _ => self.dice.between(0, 40 * SECOND),
        };
        self.at(wait, Event::Client(client));
        // Lost on the way, or the database is away: no answer, so it is sent again.
        if self.store_away || self.dice.chance(self.rates.lost / 4) {
            self.pending[client] = Some(action);
            return;
        }
        self.tell(|| format!("client {client}: {action:?}"));
        self.act(&action);
        // The answer is lost: the client cannot know that it was done.
        if self.dice.chance(self.rates.lost / 2) {
            self.pending[client] = Some(action);
        }
    }

    fn choose(&mut self) -> Action {
        let name = self.dice.pick(&self.people).unwrap_or_default();
        let there = self.named(false, &name).map(|seq| self.rows.resources[&seq].active);
        let group = self.dice.pick(&self.group_names);
        let dice = self.dice.below(100);
        if let Some(group) = group.filter(|_| dice < 40) {
            let other = self.dice.pick(&self.group_names).unwrap_or_default();
            return match (self.named(true, &group), self.dice.below(12)) {
                (None, _) => Action::CreateGroup(group),
                (Some(_), 0) => Action::DeleteGroup(group),
                (Some(_), 1) => Action::Rename(group, format!("{other}, renamed")),
                (Some(_), 2) => Action::Rename(format!("{other}, renamed"), group),
                (Some(_), _) => {
                    let several = 1 + self.dice.below(3);
                    let wishes = (0..several).filter_map(|_| {
                        let name = self.dice.pick(&self.people)?;
                        Some((name, self.dice.chance(6_000)))
                    });
                    Action::Members(group, wishes.collect())
                }
            };
        }
        match (there, dice % 10) {
            (None, _) => Action::Create(name, self.dice.chance(9_500)),
            (Some(_), 0..2) => Action::Delete(name),
            // Where grants bring people back, an address of before can come back beside that of now.
            (Some(_), 2) if !self.target.habits.grants_bring_back && self.dice.chance(4_000) => {
                let email = if self.dice.chance(6_000) { name.replace("x.org", "y.org") } else { name.clone() };
                Action::Edit(name, Edit { email: Some(email), ..Edit::default() })
            }
            (Some(_), 2) => {
                let role = if self.dice.chance(5_000) { "admin" } else { "member" };
                Action::Edit(name, Edit { role: Some(role.to_owned()), ..Edit::default() })
            }
            // As they are: a full push.
            (Some(active), 3) => Action::Edit(name, Edit { active: Some(active), ..Edit::default() }),
            (Some(active), _) => Action::Edit(name, Edit { active: Some(!active), ..Edit::default() }),
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Create(name, active) => {
                self.create(false, name, *active);
            }
            Action::Edit(name, edit) => {
                if let Some(seq) = self.named(false, name) {
                    self.edit(seq, edit);
                }
            }
            Action::Delete(name) => {
                if let Some(seq) = self.named(false, name) {
                    self.delete(seq);
                }
            }
            Action::CreateGroup(name) => {
                self.create(true, name, true);
            }
            Action::DeleteGroup(name) => {
                if let Some(seq) = self.named(true, name) {
                    self.delete(seq);
                }
            }
            Action::Members(group, wishes) => {
                let Some(group) = self.named(true, group) else { return };
                let mut known: Vec<(Seq, bool)> = Vec::new();
                for (name, want) in wishes {
                    if let Some(user) = self.named(false, name).filter(|user| known.iter().all(|(it, _)| it != user)) {
                        known.push((user, *want));
                    }
                }
                self.edit_members(group, &known);
            }
            Action::Rename(group, name) => {
                if let Some(seq) = self.named(true, group) {
                    self.rename(seq, name);
                }
            }
        }
    }

    /// Somebody accepts, declines, or does nothing.
    pub fn people_act(&mut self) {
        self.target.tick(self.now);
        let pending: Vec<u32> =
            self.target.objects.values().filter(|it| it.state == State::Invited).map(|it| it.id).collect();
        for invitation in pending {
            match self.dice.below(if self.quiet { 8 } else { 5 }) {
                0 | 1 => {
                    self.tell(|| format!("invitation {invitation} is accepted"));
                    self.target.accept(invitation, self.now);
                }
                2 if self.dice.chance(2_000) => {
                    self.tell(|| format!("invitation {invitation} is declined"));
                    self.target.end(invitation, State::Ended(Ended::Declined));
                }
                _ => {}
            }
        }
        let ends = self.quiet_at + 20 * HOUR;
        let wait = if self.quiet { HOUR } else { self.dice.between(SECOND, 40 * SECOND) };
        if self.now < ends {
            self.at(wait, Event::People);
        }
    }

    /// An admin changes something at the target.
    pub fn hand_acts(&mut self) {
        if self.quiet {
            return;
        }
        let wait = self.dice.between(20 * SECOND, 4 * MINUTE);
        self.at(wait, Event::Hand);
        if !self.dice.chance(2_500) {
            return;
        }
        let objects: Vec<u32> = self.target.objects.values().filter(|it| it.lives()).map(|it| it.id).collect();
        let groups: Vec<u32> = self.target.groups.values().filter(|it| !it.gone).map(|it| it.id).collect();
        match self.dice.below(4) {
            0 => {
                if let Some(group) = self.dice.pick(&groups).and_then(|id| self.target.groups.get_mut(&id)) {
                    (group.gone, group.by_hand) = (true, true);
                }
            }
            1 => {
                let member = self.dice.pick(&objects);
                if let (Some(group), Some(member)) =
                    (self.dice.pick(&groups).and_then(|id| self.target.groups.get_mut(&id)), member)
                {
                    group.by_hand = true;
                    if !group.members.remove(&member) {
                        group.members.insert(member);
                    }
                }
            }
            2 => {
                if let Some(object) = self.dice.pick(&objects).and_then(|id| self.target.objects.get_mut(&id)) {
                    object.login = object.login.as_ref().map(|login| format!("{login}x"));
                }
            }
            _ => {
                let unprotected = |id: &u32| !self.target.objects[id].protected;
                let objects: Vec<u32> = objects.into_iter().filter(unprotected).collect();
                if let Some(object) = self.dice.pick(&objects) {
                    self.tell(|| format!("object {object} is removed by hand"));
                    let invited = self.target.objects[&object].state == State::Invited;
                    self.target.end(object, if invited { State::Ended(Ended::Revoked) } else { State::Gone });
                    if let Some(object) = self.target.objects.get_mut(&object) {
                        object.by_hand = true;
                    }
                }
            }
        }
    }

    /// The driver's look-out: invitations that are not pending any more are followed.
    pub fn look_out(&mut self) {
        let wait = if self.quiet { HOUR / 2 } else { MINUTE };
        self.at(wait, Event::LookOut);
        if self.store_away || self.credential_dead || !self.replicas.iter().any(|it| it.up && it.held.is_some()) {
            return;
        }
        self.looked_out = self.now;
        self.target.tick(self.now);
        let listed = self.target.invitations();
        let invited = |row: &&super::rows::AccountRow| row.status == Status::Invited && !row.group;
        let rows: Vec<(Seq, Option<String>, bool)> = self
            .rows
            .accounts
            .values()
            .filter(invited)
            .map(|row| (row.seq, row.invite.as_ref().map(|id| id.as_str().to_owned()), row.missing))
            .collect();
        for (account, invite, missing) in rows {
            let Some(resource) = self.rows.holder(account) else { continue };
            if invite.is_some_and(|id| listed.contains(&id)) || (missing && self.rows.work.contains_key(&resource)) {
                continue;
            }
            if let Some(row) = self.rows.accounts.get_mut(&account) {
                row.missing = true;
            }
            let rev = self.rows.resources[&resource].rev;
            self.rows.upsert_work(resource, Lane::Grant, rev, None, self.now);
        }
    }
}
