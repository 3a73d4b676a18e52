//! Replicas of the driver: leases by the database's clock, pumps, runs, and their deaths. What a replica does
//! is a chain of events; between any two of them it may die, freeze, or lose its lease.

use std::collections::BTreeMap;

use connector_sdk::{Effect, Fault, FaultKind, Membership, Retry};
use engine::Lane;
use engine::coalesce::WorkState;

use super::drive::{After, Job, stamp};
use super::rows::Seq;
use super::target::{Answer, Call};
use super::{Event, HOUR, MINUTE, SECOND, Sabotage, World};

/// As in the gateway: the lease, its renewal, the longest call, and what must be left beyond it.
const LEASE: i64 = 15 * SECOND;
const RENEW: i64 = 3 * SECOND;
const CALL: i64 = 8 * SECOND;
const MARGIN: i64 = SECOND;
/// Runs at once, and more of them for work that takes access away.
const SLOTS: usize = 3;
const RESERVED: usize = 1;

/// A process.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// Which of its lives it is.
    pub life: u64,
    pub up: bool,
    pub frozen_until: i64,
    /// It ends in good order: nothing new is begun.
    pub leaving: bool,
    /// The epoch of its lease, and until when it lasts at least.
    pub held: Option<(i64, i64)>,
    pub runs: BTreeMap<u64, Run>,
    /// When it looks for work next, if that is known.
    pub pump_at: Option<i64>,
}

/// A run over one resource.
#[derive(Clone, Debug)]
pub struct Run {
    pub resource: Seq,
    pub lane: Lane,
    pub epoch: i64,
    pub job: Option<Job>,
    pub answer: Option<Result<Answer, Fault>>,
    pub steps: usize,
}

/// A call on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub resource: Seq,
    pub call: Call,
    pub replica: usize,
    pub life: u64,
    pub run: u64,
    pub until: i64,
}

/// What goes wrong with a call.
enum Trouble {
    None,
    LostBefore,
    LostAfter,
    Busy(Fault),
}

impl World {
    fn owner(&self, replica: usize) -> usize {
        replica * 100_000 + self.replicas[replica].life as usize
    }

    /// Whether an event of a replica's life may happen now. A frozen one's comes when it wakes, a dead one's
    /// never; and any step may be its last.
    fn acts(&mut self, replica: usize, life: u64, event: Event) -> bool {
        let it = &self.replicas[replica];
        if !it.up || it.life != life {
            return false;
        }
        if it.frozen_until > self.now {
            let wait = it.frozen_until - self.now;
            self.at(wait, event);
            return false;
        }
        if self.dice.chance(self.rates.crash) {
            self.die(replica);
            return false;
        }
        if self.dice.chance(self.rates.freeze) {
            let wait = self.dice.between(SECOND, 60 * SECOND);
            self.replicas[replica].frozen_until = self.now + wait;
            self.report.freezes += 1;
            self.tell(|| format!("replica {replica} freezes for {} s", wait / SECOND));
            self.at(wait, event);
            return false;
        }
        if self.dice.chance(self.rates.store) && !self.store_away {
            self.store_away = true;
            let wait = self.dice.between(SECOND / 10, 30 * SECOND);
            self.tell(|| format!("the database is away for {} ms", wait / 1_000));
            self.at(wait, Event::StoreBack);
        }
        true
    }

    fn die(&mut self, replica: usize) {
        self.tell(|| format!("replica {replica} dies"));
        self.report.crashes += 1;
        let it = &mut self.replicas[replica];
        (it.up, it.held, it.leaving, it.pump_at) = (false, None, false, None);
        it.runs.clear();
        let wait = self.dice.between(SECOND / 2, 40 * SECOND);
        self.at(wait, Event::Start(replica));
    }

    pub fn start(&mut self, replica: usize) {
        let it = &mut self.replicas[replica];
        if it.up {
            return;
        }
        it.life += 1;
        it.up = true;
        let life = it.life;
        self.tell(|| format!("replica {replica} starts"));
        self.at(0, Event::Beat(replica, life));
        if self.dice.chance(1_000) && !self.quiet {
            let wait = self.dice.between(5 * SECOND, 60 * SECOND);
            self.at(wait, Event::Leave);
        }
    }

    /// One that runs ends in good order.
    pub fn leave(&mut self) {
        let up: Vec<usize> = (0..self.replicas.len()).filter(|it| self.replicas[*it].up).collect();
        if let Some(replica) = self.dice.pick(&up).filter(|_| !self.quiet) {
            self.tell(|| format!("replica {replica} ends"));
            self.replicas[replica].leaving = true;
            self.end_if_idle(replica);
        }
    }

    fn end_if_idle(&mut self, replica: usize) {
        if !self.replicas[replica].leaving || !self.replicas[replica].runs.is_empty() || self.store_away {
            return;
        }
        if self.rows.lease.owner == Some(self.owner(replica)) {
            (self.rows.lease.owner, self.rows.lease.until) = (None, 0);
        }
        let it = &mut self.replicas[replica];
        (it.up, it.held, it.leaving, it.pump_at) = (false, None, false, None);
        let wait = self.dice.between(SECOND / 2, 40 * SECOND);
        self.at(wait, Event::Start(replica));
    }

    /// Renews the lease, or takes it if it is free.
    pub fn beat(&mut self, replica: usize, life: u64) {
        if !self.acts(replica, life, Event::Beat(replica, life)) {
            return;
        }
        self.end_if_idle(replica);
        if !self.replicas[replica].up {
            return;
        }
        let mut wait = RENEW;
        let owner = self.owner(replica);
        if self.store_away {
            let over = self.replicas[replica].held.is_some_and(|(_, until)| until <= self.now);
            if over && self.shared {
                self.replicas[replica].held = None;
            }
            wait = RENEW / 3;
        } else {
            let lasts = if self.quiet { self.now + 1_000 * HOUR } else { self.now + LEASE };
            let held = self.replicas[replica].held.filter(|(epoch, _)| *epoch == self.rows.lease.epoch);
            if let (Some((epoch, _)), true) = (held, self.rows.lease.owner == Some(owner)) {
                self.rows.lease.until = lasts;
                self.replicas[replica].held = Some((epoch, lasts));
            } else {
                self.replicas[replica].held = None;
                if self.rows.lease.owner == Some(owner) {
                    // It stopped driving while it could not renew: what it began then is freed anew.
                    (self.rows.lease.owner, self.rows.lease.until) = (None, 0);
                }
                let free = !self.shared || self.rows.lease.until < self.now;
                if free && !self.replicas[replica].leaving {
                    self.take_lease(replica, owner, lasts);
                } else if self.rows.lease.until > self.now {
                    wait = wait.min(self.rows.lease.until - self.now + SECOND / 50);
                }
            }
        }
        // With nothing to fear, who holds the lease keeps it; the others need not ask.
        if !self.quiet || self.replicas[replica].held.is_none() && self.rows.lease.until < self.now + 100 * HOUR {
            self.at(wait, Event::Beat(replica, life));
        }
    }

    fn take_lease(&mut self, replica: usize, owner: usize, until: i64) {
        self.rows.epochs += 1;
        self.rows.lease.owner = Some(owner);
        self.rows.lease.epoch = self.rows.epochs;
        self.rows.lease.until = until;
        self.replicas[replica].held = Some((self.rows.epochs, until));
        self.tell(|| format!("replica {replica} takes the lease"));
        if self.sabotage != Some(Sabotage::ForgetOrphans) {
            self.rows.free_orphans(self.now);
        }
        self.rows.bell = true;
    }

    /// Whether a call may be sent under an epoch: its lease lasts longer than the call may take.
    fn may_send(&self, replica: usize, epoch: i64) -> bool {
        self.replicas[replica].held.is_some_and(|(held, until)| {
            let left = until - self.now;
            held == epoch && (!self.shared || self.sabotage == Some(Sabotage::IgnoreLease) || left > CALL + MARGIN)
        })
    }

    /// There may be new work: whoever drives looks.
    pub fn ring(&mut self) {
        for replica in 0..self.replicas.len() {
            if self.replicas[replica].up && self.replicas[replica].held.is_some() {
                let wait = self.dice.between(0, SECOND / 100);
                self.wake(replica, wait);
            }
        }
    }

    /// A replica looks for work after a while, unless it does so sooner anyway.
    fn wake(&mut self, replica: usize, wait: i64) {
        let at = self.now + wait;
        let it = &mut self.replicas[replica];
        if it.up && it.pump_at.is_none_or(|pump| pump > at) {
            it.pump_at = Some(at);
            let life = it.life;
            self.at(wait, Event::Pump(replica, life));
        }
    }

    /// Takes due work, best lane first.
    pub fn pump(&mut self, replica: usize, life: u64) {
        // One pump waits for one time: an alarm that was set before a sooner one is none any more.
        if self.replicas[replica].pump_at.is_none_or(|at| at > self.now) {
            return;
        }
        if !self.acts(replica, life, Event::Pump(replica, life)) {
            return;
        }
        self.replicas[replica].pump_at = None;
        let Some((epoch, _)) = self.replicas[replica].held else { return };
        if self.store_away || !self.may_send(replica, epoch) || self.blocked_until > self.now {
            let wait = if self.blocked_until > self.now { self.blocked_until - self.now } else { SECOND };
            self.wake(replica, wait);
            return;
        }
        if self.replicas[replica].leaving {
            return;
        }
        let startable = |state| matches!(state, WorkState::Todo | WorkState::Waiting | WorkState::Needs);
        let mut due: Vec<(Lane, i64, Seq)> = self
            .rows
            .work
            .iter()
            .filter(|(_, work)| startable(work.row.state))
            .filter(|(_, work)| work.after.is_none_or(|after| !self.rows.work.contains_key(&after)))
            .map(|(seq, work)| (work.row.lane, work.row.due_at, *seq))
            .collect();
        due.sort();
        let mut next = None;
        for (lane, due_at, resource) in due {
            if due_at > self.now {
                next = Some(next.map_or(due_at, |next: i64| next.min(due_at)));
                continue;
            }
            let runs = &self.replicas[replica].runs;
            if runs.values().any(|run| run.resource == resource) {
                continue;
            }
            let ordinary = runs.values().filter(|run| run.lane != Lane::Deprovision).count();
            let room = match lane {
                Lane::Deprovision => runs.len() < SLOTS + RESERVED,
                _ => ordinary < SLOTS,
            };
            if room {
                self.ids += 1;
                let run = self.ids;
                self.replicas[replica]
                    .runs
                    .insert(run, Run { resource, lane, epoch, job: None, answer: None, steps: 0 });
                let wait = self.dice.between(0, SECOND / 50);
                self.at(wait, Event::Begin(replica, life, run));
            }
        }
        if let Some(next) = next {
            self.wake(replica, next - self.now);
        }
    }

    fn run_of(&self, replica: usize, run: u64) -> Option<Run> {
        self.replicas[replica].runs.get(&run).cloned()
    }

    pub fn run_begins(&mut self, replica: usize, life: u64, run: u64) {
        if !self.acts(replica, life, Event::Begin(replica, life, run)) {
            return;
        }
        let Some(it) = self.run_of(replica, run) else { return };
        if self.store_away {
            self.run_ends(replica, run);
            return;
        }
        let after = self.begin(it.resource, it.epoch);
        self.go_on(replica, life, run, after);
    }

    fn go_on(&mut self, replica: usize, life: u64, run: u64, after: After) {
        match after {
            After::Next(job) => {
                self.tell(|| format!("replica {replica} will {} resource {}", job.call.word(), job.subject.seq));
                if let Some(run) = self.replicas[replica].runs.get_mut(&run) {
                    (run.job, run.answer) = (Some(*job), None);
                    run.steps += 1;
                }
                let wait = self.dice.between(0, SECOND / 50);
                self.at(wait, Event::Send(replica, life, run));
            }
            After::Over | After::Lost => self.run_ends(replica, run),
        }
    }

    fn run_ends(&mut self, replica: usize, run: u64) {
        self.replicas[replica].runs.remove(&run);
        self.end_if_idle(replica);
        self.wake(replica, SECOND / 1_000);
    }

    pub fn run_sends(&mut self, replica: usize, life: u64, run: u64) {
        if !self.acts(replica, life, Event::Send(replica, life, run)) {
            return;
        }
        let Some(Run { epoch, job: Some(job), .. }) = self.run_of(replica, run) else { return };
        if !self.may_send(replica, epoch) || self.blocked_until > self.now {
            let fault = Fault::new(FaultKind::NotSent, "The gateway could not send this now.");
            let wait = self.dice.between(0, SECOND / 50);
            self.at(wait, Event::Respond(replica, life, run, Box::new(undone(&job.call, &fault))));
            return;
        }
        self.one_at_a_time(&job, replica, life);
        self.ids += 1;
        let flight = self.ids;
        let slow = self.dice.chance(self.rates.slow);
        let wait = if slow { self.dice.between(SECOND, CALL - SECOND) } else { self.dice.between(1_000, SECOND / 3) };
        let (resource, until) = (job.subject.seq, self.now + CALL);
        self.flights.insert(flight, Flight { resource, call: job.call.clone(), replica, life, run, until });
        self.at(wait, Event::Arrive(flight));
    }

    /// At most one call of a resource is under way (R3). A call whose sender died is only known to be over
    /// where a new holder has to wait for the lease's end.
    fn one_at_a_time(&mut self, job: &Job, replica: usize, life: u64) {
        let mine = |flight: &&Flight| flight.replica == replica && flight.life == life;
        let other = self.flights.values().filter(|flight| flight.resource == job.subject.seq && !flight.call.reads());
        let other = other.filter(|flight| self.shared || mine(flight)).count();
        if other > 0 && !job.call.reads() {
            self.broken(format!("two calls of resource {} are under way", job.subject.seq));
        }
    }

    fn trouble(&mut self) -> Trouble {
        if self.credential_dead {
            return Trouble::Busy(Fault::new(FaultKind::Credential, "The credential is dead."));
        }
        if self.dice.chance(self.rates.lost) {
            return if self.dice.chance(5_000) { Trouble::LostBefore } else { Trouble::LostAfter };
        }
        if self.dice.chance(self.rates.busy) {
            if self.dice.chance(500) {
                self.credential_dead = true;
                let wait = self.dice.between(SECOND, 2 * MINUTE);
                self.at(wait, Event::CredentialBack);
                return Trouble::Busy(Fault::new(FaultKind::Credential, "The credential is dead."));
            }
            if self.dice.chance(3_000) {
                let until = self.now + self.dice.between(SECOND, 2 * MINUTE);
                let fault = Fault::new(FaultKind::RateLimited, "Slower.").retry(Retry::NotBefore(stamp(until)));
                return Trouble::Busy(fault);
            }
            return Trouble::Busy(Fault::new(FaultKind::Unavailable, "The target is down."));
        }
        Trouble::None
    }

    /// A call reaches the target, whatever has become of its sender.
    pub fn arrive(&mut self, flight: u64) {
        let Some(Flight { resource, call, replica, life, run, until }) = self.flights.remove(&flight) else { return };
        let answer = match &call {
            Call::Members { id, changes } => {
                let mut answers = Vec::new();
                let mut stopped: Option<Fault> = None;
                for change in changes {
                    let one = Call::Members { id: id.clone(), changes: vec![change.clone()] };
                    let answer = match &stopped {
                        Some(fault) => Err(Fault::new(FaultKind::NotSent, "Not sent.").retry(fault.retry)),
                        None => self.perform_one(&one, resource),
                    };
                    let answer = match answer {
                        Ok(Answer::Members(mut one)) => one.pop().unwrap_or(Ok(Membership::Absent)),
                        Ok(_) => Ok(Membership::Absent),
                        Err(fault) => Err(fault),
                    };
                    if let Err(fault) = &answer
                        && fault.stops_the_target()
                    {
                        stopped = Some(fault.clone());
                    }
                    answers.push(answer);
                }
                Ok(Answer::Members(answers))
            }
            call => self.perform_one(call, resource),
        };
        self.tell(|| format!("{} of resource {resource} arrives: {} {}", call.word(), said(&answer), brief(&call)));
        let wait = self.dice.between(1_000, SECOND / 3).min((until - self.now).max(0));
        self.at(wait, Event::Respond(replica, life, run, Box::new(answer)));
    }

    fn perform_one(&mut self, call: &Call, resource: Seq) -> Result<Answer, Fault> {
        let lost = || Fault::new(FaultKind::Unavailable, "The connection was lost.").effect(Effect::Unknown);
        match self.trouble() {
            Trouble::None => self.target.perform(call, resource, self.now),
            Trouble::LostBefore => {
                self.report.faults += 1;
                Err(lost())
            }
            Trouble::LostAfter => {
                self.report.faults += 1;
                drop(self.target.perform(call, resource, self.now));
                Err(if self.dice.chance(3_000) { Fault::new(FaultKind::Malformed, "Not understood.") } else { lost() })
            }
            Trouble::Busy(fault) => {
                self.report.faults += 1;
                Err(fault)
            }
        }
    }

    pub fn respond(&mut self, replica: usize, life: u64, run: u64, answer: Box<Result<Answer, Fault>>) {
        if !self.acts(replica, life, Event::Respond(replica, life, run, answer.clone())) {
            return;
        }
        let fault = match answer.as_ref() {
            Err(fault) => Some(fault.clone()),
            Ok(Answer::Members(all)) => {
                all.iter().filter_map(|one| one.as_ref().err()).find(|fault| fault.stops_the_target()).cloned()
            }
            Ok(_) => None,
        };
        if let Some(Fault { kind: FaultKind::RateLimited, retry: Retry::NotBefore(at), .. }) = fault {
            self.blocked_until = self.blocked_until.max(at.as_microsecond());
        }
        if let Some(it) = self.replicas[replica].runs.get_mut(&run) {
            it.answer = Some(*answer);
            let wait = self.dice.between(0, SECOND / 50);
            self.at(wait, Event::Settle(replica, life, run));
        }
    }

    pub fn run_settles(&mut self, replica: usize, life: u64, run: u64) {
        if !self.acts(replica, life, Event::Settle(replica, life, run)) {
            return;
        }
        let Some(Run { resource, epoch, job: Some(job), answer: Some(answer), steps, .. }) = self.run_of(replica, run)
        else {
            return;
        };
        if self.store_away {
            self.run_ends(replica, run);
            self.at(SECOND, Event::Free(replica, life, resource, epoch));
            return;
        }
        let stopping = self.replicas[replica].leaving;
        let after = self.settle(&job, &answer, epoch, steps, stopping);
        let fate = match &after {
            After::Next(_) => "goes on",
            After::Over => "is over",
            After::Lost => "is another's",
        };
        self.tell(|| format!("replica {replica} settles resource {resource}: it {fate}"));
        self.go_on(replica, life, run, after);
    }

    /// The store was away when a run was to be settled: its claim is put down once it is back.
    pub fn free(&mut self, replica: usize, life: u64, resource: Seq, epoch: i64) {
        if !self.acts(replica, life, Event::Free(replica, life, resource, epoch)) {
            return;
        }
        if self.replicas[replica].held.is_none_or(|(held, _)| held != epoch) {
            return;
        }
        if self.store_away {
            self.at(SECOND, Event::Free(replica, life, resource, epoch));
        } else {
            self.free_claim(resource, epoch);
        }
    }
}

fn said(answer: &Result<Answer, Fault>) -> String {
    let told = |fault: &Fault| format!("{:?}/{:?}", fault.kind, fault.effect);
    match answer {
        Ok(Answer::Members(all)) => {
            all.iter().map(|one| one.as_ref().map_or_else(told, |it| format!("{it:?}"))).collect::<Vec<_>>().join(", ")
        }
        Ok(_) => "done".to_owned(),
        Err(fault) => told(fault),
    }
}

fn brief(call: &Call) -> String {
    match call {
        Call::Remove { at } => format!("{at:?}"),
        Call::Members { changes, .. } => {
            let all: Vec<String> =
                changes.iter().map(|it| format!("{}{}", if it.add { '+' } else { '-' }, it.user)).collect();
            all.join(" ")
        }
        _ => String::new(),
    }
}

fn undone(call: &Call, fault: &Fault) -> Result<Answer, Fault> {
    match call {
        Call::Members { changes, .. } => Ok(Answer::Members(changes.iter().map(|_| Err(fault.clone())).collect())),
        _ => Err(fault.clone()),
    }
}
