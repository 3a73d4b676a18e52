//! A person's plan and settlement, as the gateway's `driver/person.rs` has them around the engine.

use connector_sdk::{
    Account, AccountRef, AccountStatus, Created, Ended, Evidence, Fault, FaultKind, Followed, Found, Need, Person,
    Removed, Updated,
};
use engine::adoption::{Adoption, may_link};
use engine::doubt::{Doubt, doubt_of};
use engine::membership::Have;
use engine::person::{AccountView, MAX_INVITES, PersonStep, PersonView, Wanted, next_step};

use super::drive::{Subject, Verdict, stamp};
use super::rows::{AccountRow, Link, Seq, Status};
use super::target::{Answer, Call};
use super::{Sabotage, World};

/// How long the target may go on with a call whose caller died. In microseconds.
pub const GOES_ON: i64 = 9_000_000;
/// How long the target may not show what it has just made, and how soon it is looked at again.
pub const NEW: i64 = 8_000_000;
pub const SOON: i64 = 1_000_000;
const QUOTA_WAIT: i64 = 3_600_000_000;

/// What linking came to.
enum Linked {
    Yes,
    /// A person has to decide.
    No(Need),
    /// The account is still that of somebody deleted, whose removal is on its way.
    Leaving(Seq),
}

fn view(row: &AccountRow) -> Option<AccountView> {
    let status = match row.status {
        Status::Invited => AccountStatus::Invited,
        Status::Active => AccountStatus::Active,
        Status::Suspended => AccountStatus::Suspended,
        Status::Gone => return None,
    };
    Some(AccountView {
        reference: row.reference()?,
        status,
        role: row.role.clone(),
        email: row.email.clone(),
        login: row.login.clone(),
        protected: row.protected,
        expires_at: row.expires_at,
        profile: None,
    })
}

impl World {
    /// Plans the next step of a person.
    pub fn plan_person(&mut self, subject: &Subject) -> Verdict {
        if self.rows.linked(subject.seq).is_none()
            && self.sabotage != Some(Sabotage::ForgetLateGrants)
            && let Some(account) = self.rows.returned(subject.seq)
        {
            self.reopen(subject.seq, account);
        }
        let resource = self.rows.resources[&subject.seq].clone();
        let mut who = Person::named(&resource.name);
        who.email = Some(resource.email.clone());
        who.role.clone_from(&resource.role);
        let in_doubt = self.rows.unknown(subject.seq, 0);
        let creation = in_doubt.is_some_and(|it| it.step == "create");
        let created = in_doubt.filter(|it| it.step == "create").and_then(|it| it.sent.clone());
        let mut doubt = in_doubt.map(|it| doubt_of(self.repeat_of(it.step), false));
        if self.sabotage == Some(Sabotage::RepeatBlindly) && created.is_some() {
            doubt = Some(Doubt::Repeat);
        }
        let row = self.rows.linked(subject.seq);
        let account = row.and_then(view);
        let protected = self.is_protected(subject.seq);
        let view = PersonView {
            wanted: match resource.wanted() {
                true => Wanted::Access,
                false => Wanted::NoAccess { delete: resource.deleted },
            },
            person: &who.clone(),
            doubt,
            traits: &self.target.habits.traits,
            can_create: true,
            followed_up: row.is_some_and(|row| row.missing),
            protected_by_policy: protected && !row.is_some_and(|row| row.protected),
            invites_sent: self.rows.invites_sent(subject.seq),
            now: stamp(self.now),
            account,
        };
        let at = view.account.as_ref().map(|account| account.reference.clone());
        let step = next_step(&view);
        if let Some(until) = self.contrary_under_way(subject.seq, resource.wanted(), &step) {
            return Verdict::Wait("outcome_unknown", until);
        }
        let step = match step {
            // Whoever took it over has no removal in doubt that would have it looked at.
            PersonStep::Settled
                if resource.wanted()
                    && self.rows.live_link(subject.seq).is_some_and(|it| it.late)
                    && !matches!(self.sabotage, Some(Sabotage::BelieveReturned | Sabotage::ForgetRepeated)) =>
            {
                PersonStep::Look
            }
            step => step,
        };
        let call = match step {
            PersonStep::Settled => return Verdict::Settled,
            PersonStep::Need(need) => return Verdict::Need(need),
            PersonStep::Look => {
                // A creation in doubt is looked for by the address that it was sent to.
                if let Some(sent) = created.filter(|_| self.sabotage != Some(Sabotage::LookByNewName)) {
                    who.email = Some(sent);
                }
                // An account that a late grant brought back tells nothing of a creation.
                Call::Look { at: at.filter(|_| !creation), who, doubt: doubt.is_some() }
            }
            PersonStep::Match => Call::Look { at: None, who, doubt: false },
            PersonStep::Create => Call::Create { who },
            PersonStep::Remove(at) => Call::Remove { at },
            PersonStep::Follow(invite) => Call::Follow { invite },
            step => match (step, at) {
                (PersonStep::Update(change), Some(at)) => Call::Update { at, change },
                (PersonStep::Suspend, Some(at)) => Call::SetActive { at, active: false },
                (PersonStep::Restore, Some(at)) => Call::SetActive { at, active: true },
                (step, _) => {
                    self.broken(format!("{step:?} at an account that is not linked"));
                    return Verdict::Settled;
                }
            },
        };
        let takes = matches!(call, Call::Remove { .. } | Call::SetActive { active: false, .. } | Call::Update { .. });
        if takes && protected {
            self.broken(format!("{call:?} of a protected account"));
        }
        let attempts = if call.reads() { Vec::new() } else { vec![(0, call.word())] };
        Verdict::Call(call, attempts)
    }

    /// Records what a call brought about. A verdict ends the run; none plans again.
    pub fn apply_person(&mut self, subject: &Subject, call: &Call, answer: &Answer) -> Option<Verdict> {
        match answer {
            Answer::Created(created) => self.apply_created(subject, created),
            Answer::Found(found) => self.apply_found(subject, call, found),
            Answer::Read(account) => self.apply_read(subject, account.as_ref()),
            Answer::Updated(updated) => self.apply_updated(subject, updated),
            Answer::Removed(removed) => self.apply_removed(subject, call, *removed),
            Answer::Followed(followed) => self.apply_followed(subject, followed),
            other => {
                self.broken(format!("a person's step was answered {other:?}"));
                None
            }
        }
    }

    pub fn apply_person_fault(&mut self, subject: &Subject, call: &Call, fault: &Fault) -> Option<Verdict> {
        if fault.kind == FaultKind::NotFound
            && matches!(call, Call::Remove { at: AccountRef::Invite { .. } })
            && let Some(row) = self.rows.linked(subject.seq).map(|row| row.seq)
        {
            self.mark_missing(row, true);
            return None;
        }
        if matches!(call, Call::Create { .. }) && self.rows.linked(subject.seq).is_some() {
            self.doubt_removal(subject.seq);
        }
        Some(Verdict::Failed(Box::new(fault.clone())))
    }

    fn mark_missing(&mut self, account: Seq, missing: bool) {
        if let Some(row) = self.rows.accounts.get_mut(&account) {
            row.missing = missing;
        }
    }

    fn set_invites(&mut self, account: Seq, invites: u32) {
        if let Some(row) = self.rows.accounts.get_mut(&account) {
            row.invites = invites;
        }
    }

    fn apply_created(&mut self, subject: &Subject, created: &Created) -> Option<Verdict> {
        match created {
            Created::Done(account) | Created::Invited(account) => {
                let sent = self.rows.invites_sent(subject.seq);
                let row = self.rows.observe(account, Some(true), self.now);
                if matches!(created, Created::Invited(_)) {
                    self.set_invites(row, sent + 1);
                }
                self.tie(subject, row, Evidence::SameId, true)
            }
            // It was there, and somebody else's removal took it away before this was read.
            Created::AlreadyThere(found) if self.went_since(&found.account, subject.asked) => None,
            Created::AlreadyThere(found) => {
                let row = self.rows.observe(&found.account, None, self.now);
                let ours = self.rows.accounts[&row].ours;
                self.tie(subject, row, found.evidence, ours)
            }
            // A late grant may have brought the account back meanwhile.
            Created::Waiting { .. } if self.rows.linked(subject.seq).is_some() => {
                self.doubt_removal(subject.seq);
                None
            }
            Created::Waiting { until, .. } => {
                Some(Verdict::Wait("quota", until.map_or(self.now + QUOTA_WAIT, |at| at.as_microsecond())))
            }
            Created::ActionRequired(need) => Some(Verdict::Need(need.clone())),
            other => {
                self.broken(format!("unknown answer {other:?}"));
                None
            }
        }
    }

    fn tie(&mut self, subject: &Subject, account: Seq, evidence: Evidence, ours: bool) -> Option<Verdict> {
        match self.link(subject.seq, account, evidence, ours) {
            Linked::Yes => {
                self.rows.resolve(subject.seq, 0);
                None
            }
            Linked::No(need) => Some(Verdict::Need(need)),
            Linked::Leaving(leaver) => Some(self.after(subject, leaver)),
        }
    }

    /// Has the work wait until that of a deleted person has ended who still has the account.
    fn after(&mut self, subject: &Subject, leaver: Seq) -> Verdict {
        if let Some(work) = self.rows.work.get_mut(&subject.seq) {
            work.after = Some(leaver);
        }
        Verdict::Wait("twin", self.now)
    }

    /// Whether the account went after the target was asked for what shows it there.
    fn went_since(&self, account: &Account, asked: i64) -> bool {
        self.sabotage != Some(Sabotage::BelieveOldAnswers) && self.rows.went_since(account, asked)
    }

    /// Links, or says who has to decide.
    fn link(&mut self, resource: Seq, account: Seq, evidence: Evidence, ours: bool) -> Linked {
        let holder = self.rows.holder(account);
        if holder == Some(resource) {
            return Linked::Yes;
        }
        let abandoned = |holder: Seq| {
            self.rows.resources[&holder].deleted
                && !self.rows.work.contains_key(&holder)
                && !self.rows.members.keys().any(|(_, user)| *user == holder)
        };
        let other = holder.is_some_and(|holder| !abandoned(holder));
        let protected = self.rows.accounts[&account].protected;
        match may_link(evidence, &self.policy, protected, other, ours) {
            Adoption::Link => {}
            Adoption::Conflict(need) => {
                let leaves = |holder: &Seq| self.rows.resources[holder].deleted && self.rows.work.contains_key(holder);
                return holder.filter(leaves).map_or(Linked::No(need), Linked::Leaving);
            }
            Adoption::Refused(need) => return Linked::No(need),
        }
        self.rows.close_link_of(account);
        let mut replaced = false;
        for link in self.rows.links.iter_mut().filter(|link| link.resource == resource && link.live) {
            (link.live, replaced) = (false, true);
        }
        if replaced {
            self.rows.grant_anew(resource, self.now);
        }
        self.rows.links.push(Link { resource, account, live: true, late: false, opened_at: self.now });
        let forgets = self.sabotage == Some(Sabotage::ForgetParked);
        if self.rows.accounts[&account].status != Status::Invited && !forgets {
            self.rows.wake_memberships(resource, self.now);
        }
        Linked::Yes
    }

    fn apply_found(&mut self, subject: &Subject, call: &Call, found: &[Found]) -> Option<Verdict> {
        let forgets = self.sabotage == Some(Sabotage::ForgetInvitations);
        let found: Vec<Found> =
            found.iter().filter(|one| !forgets || one.account.status != AccountStatus::Invited).cloned().collect();
        let active: Vec<&Found> = found.iter().filter(|one| one.account.status != AccountStatus::Invited).collect();
        let chosen = match (active.as_slice(), found.as_slice()) {
            ([one], _) => Some((*one).clone()),
            ([], [one]) => Some(one.clone()),
            ([], []) => None,
            _ => return Some(Verdict::Need(Need::new("ambiguous", "Several accounts may be this person's."))),
        };
        let in_doubt = matches!(call, Call::Look { doubt: true, .. });
        let linked = self.rows.linked(subject.seq).is_some();
        let matching = matches!(call, Call::Look { doubt: false, at: None, .. });
        match chosen {
            // It has gone meanwhile: the plan asks again.
            Some(found) if self.went_since(&found.account, subject.asked) => None,
            Some(found) => {
                // What is found after a creation in doubt as a pending invitation is the one we sent.
                let ours = in_doubt && found.account.status == AccountStatus::Invited;
                let row = self.rows.observe(&found.account, ours.then_some(true), self.now);
                if ours && self.rows.accounts[&row].invites == 0 {
                    let sent = self.rows.invites_sent(subject.seq);
                    self.set_invites(row, sent + 1);
                }
                let ours = ours || self.rows.accounts[&row].ours;
                let believes = self.sabotage == Some(Sabotage::BelieveWhatIsFound);
                let until = self.creation_under_way(subject.seq, subject.asked).filter(|_| !believes);
                match (until, self.link(subject.seq, row, found.evidence, ours)) {
                    (_, Linked::No(need)) => Some(Verdict::Need(need)),
                    (_, Linked::Leaving(leaver)) => Some(self.after(subject, leaver)),
                    // It may have been there before, and the creation may still come.
                    (Some(until), Linked::Yes) => Some(Verdict::Wait("outcome_unknown", until)),
                    (None, Linked::Yes) => {
                        self.rows.resolve(subject.seq, 0);
                        None
                    }
                }
            }
            None if matching => Some(Verdict::Settled),
            None => {
                if let Some(until) = self.creation_under_way(subject.seq, subject.asked) {
                    return Some(Verdict::Wait("outcome_unknown", until));
                }
                self.rows.resolve(subject.seq, 0);
                if linked {
                    self.doubt_removal(subject.seq);
                }
                None
            }
        }
    }

    /// Until when the target may still have been at a creation whose caller died when it was asked; then it is
    /// asked once more.
    pub fn creation_under_way(&self, resource: Seq, asked: i64) -> Option<i64> {
        self.rows
            .attempts
            .values()
            .filter(|it| it.resource == resource && it.item == 0 && it.step == "create" && !it.heard)
            .filter(|it| it.state == super::rows::AttemptState::Unknown)
            .map(|it| it.ended + GOES_ON)
            .max()
            .filter(|until| *until > asked)
            .map(|until| until.max(self.now))
    }

    /// Whether the target was asked for the person's account a moment after we made it.
    fn is_new(&self, resource: Seq, asked: i64) -> bool {
        let ours = |link: &&Link| !link.late && self.rows.accounts[&link.account].ours;
        self.rows.live_link(resource).filter(ours).is_some_and(|link| link.opened_at > asked - NEW)
    }

    /// When the death of such a call's sender was noticed.
    pub fn unheard(&self, like: impl Fn(&super::rows::Attempt) -> bool) -> Option<i64> {
        let forgets = self.sabotage == Some(Sabotage::ForgetRepeated);
        self.rows.unheard(|it| like(it) && !(forgets && it.state == super::rows::AttemptState::Resolved))
    }

    /// Until when a write whose caller died may still come and undo what is wanted now.
    fn contrary_under_way(&self, resource: Seq, access: bool, step: &PersonStep) -> Option<i64> {
        let contrary = |word: &str| match word {
            "remove" | "suspend" | "update" => access,
            "restore" => !access && !matches!(step, PersonStep::Remove(_)),
            _ => false,
        };
        let died = self.unheard(|it| it.resource == resource && it.item == 0 && contrary(it.step))?;
        Some(died + GOES_ON).filter(|until| *until > self.now)
    }

    fn apply_read(&mut self, subject: &Subject, account: Option<&Account>) -> Option<Verdict> {
        if account.is_none() && self.is_new(subject.seq, subject.asked) {
            return Some(Verdict::Wait("not_visible", self.now + SOON));
        }
        let believes = self.sabotage == Some(Sabotage::BelieveOldAnswers);
        if account.is_none() && !believes && self.granted_since(subject.seq, subject.asked) {
            // A grant may have brought it back after the target was asked: it is asked again.
            return None;
        }
        self.rows.resolve(subject.seq, 0);
        let row = self.rows.linked(subject.seq)?.clone();
        match account {
            Some(account) => {
                let seen = self.rows.observe(account, None, self.now);
                self.rows.not_late(seen);
            }
            // An invitation that is not there any more may have been accepted.
            None if row.status == Status::Invited => self.mark_missing(row.seq, true),
            None => self.rows.gone(subject.seq, row.seq, self.now),
        }
        None
    }

    fn apply_updated(&mut self, subject: &Subject, updated: &Updated) -> Option<Verdict> {
        match updated {
            Updated::Done(account) => {
                self.rows.observe(account, None, self.now);
                None
            }
            Updated::AlreadyGone if self.is_new(subject.seq, subject.asked) => {
                self.doubt_removal(subject.seq);
                Some(Verdict::Wait("not_visible", self.now + SOON))
            }
            Updated::AlreadyGone if self.granted_since(subject.seq, subject.asked) => None,
            Updated::AlreadyGone => {
                if let Some(row) = self.rows.linked(subject.seq).map(|row| row.seq) {
                    self.rows.gone(subject.seq, row, self.now);
                }
                None
            }
            _ => Some(Verdict::Need(Need::new("relink", "The login is another account's now."))),
        }
    }

    fn apply_removed(&mut self, subject: &Subject, call: &Call, removed: Removed) -> Option<Verdict> {
        let row = self.rows.linked(subject.seq)?.clone();
        let was_invite = matches!(call, Call::Remove { at: AccountRef::Invite { .. } });
        let trusts = self.sabotage == Some(Sabotage::TrustAlreadyGone) && row.missing;
        if was_invite && removed == Removed::AlreadyGone && !trusts {
            // Perhaps accepted, also where the look-out noticed it first.
            self.mark_missing(row.seq, true);
            return None;
        }
        if self.granted_meanwhile(subject.seq) && self.sabotage != Some(Sabotage::ForgetLateGrants) {
            // What the two came to is not known: the plan removes it once more, or looks.
            self.doubt_removal(subject.seq);
            return None;
        }
        if was_invite {
            self.set_invites(row.seq, 0);
        }
        self.rows.gone(subject.seq, row.seq, self.now);
        None
    }

    /// What became of a person's removal is not known any more.
    pub fn doubt_removal(&mut self, user: Seq) {
        let mine = |it: &&mut super::rows::Attempt| it.resource == user && it.item == 0 && it.step == "remove";
        if self.open_attempts(user, 0) == 0
            && let Some(removal) = self.rows.attempts.values_mut().rev().find(mine)
        {
            removal.state = super::rows::AttemptState::Unknown;
        }
    }

    /// Whether a grant came to the target after the account's removal was sent.
    fn granted_meanwhile(&self, user: Seq) -> bool {
        let mut removals =
            self.rows.attempts.values().filter(|it| it.resource == user && it.item == 0 && it.step == "remove");
        let Some((sent, granted)) = removals.next_back().map(|it| (it.started, it.granted)) else { return false };
        granted || self.granted_since(user, sent)
    }

    /// Whether a grant came to the target after it was asked for the person's account, or may have.
    fn granted_since(&self, user: Seq, asked: i64) -> bool {
        let given = |row: &super::rows::Member| matches!(row.have, Have::Yes | Have::Pending) && row.have_at >= asked;
        !self.rows.of_user(user, given).is_empty() && self.sabotage != Some(Sabotage::ForgetLateGrants)
    }

    fn apply_followed(&mut self, subject: &Subject, followed: &Followed) -> Option<Verdict> {
        let row = self.rows.linked(subject.seq)?.clone();
        let resource = self.rows.resources[&subject.seq].clone();
        match followed {
            Followed::Pending(account) => {
                self.rows.observe(account, None, self.now);
                let now = stamp(self.now);
                if let Some(row) = self.rows.accounts.get_mut(&row.seq) {
                    row.missing = false;
                    row.expires_at = row.expires_at.filter(|at| *at > now);
                }
                None
            }
            Followed::Accepted { account, .. } if self.went_since(account, subject.asked) => None,
            Followed::Accepted { account, evidence } => {
                let accepted = self.rows.observe(account, Some(true), self.now);
                if accepted != row.seq {
                    if let Some(row) = self.rows.accounts.get_mut(&row.seq) {
                        row.status = Status::Gone;
                    }
                    self.rows.close_link_of(row.seq);
                    self.rows.not_late(row.seq);
                } else {
                    self.mark_missing(accepted, false);
                }
                self.set_invites(row.seq, 0);
                self.set_invites(accepted, 0);
                let verdict = self.tie(subject, accepted, *evidence, true);
                if accepted == row.seq {
                    self.rows.wake_memberships(subject.seq, self.now);
                }
                verdict
            }
            Followed::Ended(ended) => {
                self.rows.gone(subject.seq, row.seq, self.now);
                if *ended == Ended::Declined {
                    self.set_invites(row.seq, MAX_INVITES);
                    if resource.wanted() {
                        return Some(Verdict::Need(Need::new("invitation", "Declined.")));
                    }
                }
                None
            }
            Followed::Unclear(_) if self.taken_back(subject.seq) => {
                self.set_invites(row.seq, 0);
                self.rows.gone(subject.seq, row.seq, self.now);
                None
            }
            Followed::Unclear(need) => Some(Verdict::Need(need.clone())),
            other => {
                self.broken(format!("unknown answer {other:?}"));
                None
            }
        }
    }

    /// Whether the end of the linked invitation was asked for and not answered, and it was not seen since.
    fn taken_back(&self, resource: Seq) -> bool {
        let Some(link) = self.rows.live_link(resource) else { return false };
        let seen = self.rows.accounts.get(&link.account).map_or(0, |row| row.seen);
        let opened = link.opened_at.max(seen);
        self.rows.attempts.values().any(|it| {
            use super::rows::AttemptState::{Resolved, Unknown};
            it.resource == resource
                && it.item == 0
                && it.step == "remove"
                && matches!(it.state, Unknown | Resolved)
                && it.started >= opened
        })
    }
}
