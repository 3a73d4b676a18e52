//! One run over one resource: claim, plan, write the attempt down, settle, plan again. Each function that the
//! world calls is one transaction, as `Begin` and `Settle` of the gateway's driver are.

use connector_sdk::{Effect, Fault, FaultKind, Need, Repeatable};
use engine::Lane;
use engine::coalesce::WorkState;
use engine::operation::{Closed, OpenOp, close_settled};
use engine::retry::InDoubt;
use engine::work::{self, Claim, Ending};
use jiff::Timestamp;

use super::rows::{Attempt, AttemptState, Ends, Seq};
use super::target::{Answer, Call};
use super::{Sabotage, World};

/// Steps of one run before something must be wrong.
const MOST_STEPS: usize = 20;
/// How long a run that goes in circles rests.
const CIRCLE_REST: i64 = 60_000_000;

/// The resource of a run, as the transaction that planned saw it.
#[derive(Clone, Debug)]
pub struct Subject {
    pub seq: Seq,
    pub rev: i64,
    pub lane: Lane,
    /// What follows the run is decided by this.
    pub claim: Claim,
    /// When the call was planned that is answered: an answer tells of nothing younger, however late it is read.
    pub asked: i64,
    /// The last call was a look at a write in doubt.
    pub looked: bool,
    /// It was about members.
    pub of_members: bool,
}

/// A step that is written down and may be sent.
#[derive(Clone, Debug)]
pub struct Job {
    pub subject: Subject,
    pub call: Call,
    pub attempts: Vec<Seq>,
}

/// What a transaction left to do.
#[derive(Debug)]
pub enum After {
    Next(Box<Job>),
    Over,
    Lost,
}

/// How a plan ends.
pub enum Verdict {
    /// Send this; with what is written down of it: item and step.
    Call(Call, Vec<(Seq, &'static str)>),
    Settled,
    Wait(&'static str, i64),
    Need(Need),
    Failed(Box<Fault>),
}

/// An instant as the engine takes it.
pub fn stamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).expect("the simulation ends long before time does")
}

impl World {
    /// Claims a resource's work and plans the first step.
    pub fn begin(&mut self, resource: Seq, epoch: i64) -> After {
        let leased = self.rows.lease.epoch == epoch && self.rows.lease.until > self.now;
        let now = self.now;
        let waits_for = self.rows.work.get(&resource).and_then(|work| work.after);
        let waits = waits_for.is_some_and(|after| self.rows.work.contains_key(&after));
        let Some(work) = self.rows.work.get_mut(&resource) else { return After::Lost };
        let Some(row) = work::claim(&work.row, now).filter(|_| leased && !waits) else { return After::Lost };
        let claim = work::claimed(&row);
        let subject = Subject {
            seq: resource,
            rev: row.rev,
            lane: row.lane,
            claim,
            asked: now,
            looked: false,
            of_members: false,
        };
        work.row = row;
        work.claim_epoch = Some(epoch);
        let verdict = self.plan(&subject);
        self.conclude(subject, verdict, epoch)
    }

    /// Settles a step and plans the next.
    pub fn settle(
        &mut self,
        job: &Job,
        done: &Result<Answer, Fault>,
        epoch: i64,
        steps: usize,
        stopping: bool,
    ) -> After {
        let ignores = self.sabotage == Some(Sabotage::IgnoreEpoch);
        let held = self
            .rows
            .work
            .get(&job.subject.seq)
            .is_some_and(|work| work.row.state == WorkState::Running && work.claim_epoch == Some(epoch));
        if !ignores && (!held || self.rows.lease.epoch != epoch) {
            return After::Lost;
        }
        let subject = &job.subject;
        self.end_attempts(job, done);
        let first = if self.rows.resources[&subject.seq].group {
            self.apply_group(subject, &job.call, done, &job.attempts)
        } else {
            match done {
                Ok(answer) => self.apply_person(subject, &job.call, answer),
                Err(fault) => self.apply_person_fault(subject, &job.call, fault),
            }
        };
        let mut fresh = subject.clone();
        if let Some(work) = self.rows.work.get(&subject.seq) {
            (fresh.rev, fresh.lane) = (work.row.rev, work.row.lane);
        }
        fresh.of_members = matches!(job.call, Call::Members { .. });
        fresh.looked = matches!(job.call, Call::Look { doubt: true, .. } | Call::GroupLook { .. });
        let group = self.rows.resources[&subject.seq].group;
        let verdict = match first {
            Some(verdict) => verdict,
            None if steps >= MOST_STEPS && !group => Verdict::Wait("circle", self.now + CIRCLE_REST),
            None => self.plan(&fresh),
        };
        if stopping && matches!(verdict, Verdict::Call(..)) {
            self.rest(&fresh, &Ending::PutDown);
            return After::Over;
        }
        self.conclude(fresh, verdict, epoch)
    }

    fn plan(&mut self, subject: &Subject) -> Verdict {
        match self.rows.resources[&subject.seq].group {
            true => self.plan_group(subject),
            false => self.plan_person(subject),
        }
    }

    fn conclude(&mut self, mut subject: Subject, verdict: Verdict, epoch: i64) -> After {
        let rev = subject.rev;
        match verdict {
            Verdict::Call(call, planned) => {
                let mut attempts = Vec::new();
                subject.asked = self.now;
                for (item, step) in planned {
                    let marked = self.rows.resolve(subject.seq, item) > 0;
                    let seq = self.rows.seq();
                    let attempt = Attempt {
                        resource: subject.seq,
                        item,
                        step,
                        marked,
                        granted: false,
                        epoch,
                        state: AttemptState::Sending,
                        heard: false,
                        sent: call.sent(item),
                        started: self.now,
                        ended: self.now,
                    };
                    if self.sabotage == Some(Sabotage::SendUnwritten) {
                        continue;
                    }
                    if self.open_attempts(subject.seq, item) > 0 {
                        self.broken(format!("two calls of resource {} item {item} are open", subject.seq));
                    }
                    self.rows.attempts.insert(seq, attempt);
                    attempts.push(seq);
                }
                After::Next(Box::new(Job { subject, call, attempts }))
            }
            Verdict::Settled => {
                self.settle_operations(&subject);
                let agrees = |work: &super::rows::Work| work.claim_epoch == Some(epoch) && work.row.rev == rev;
                if self.rows.work.get(&subject.seq).is_some_and(agrees) {
                    self.rows.work.remove(&subject.seq);
                    self.rows.bell = true;
                }
                After::Over
            }
            Verdict::Wait(code, until) => self.rest(&subject, &Ending::Wait { code, until: stamp(until) }),
            Verdict::Need(need) => self.rest(&subject, &Ending::Need { code: &need.code }),
            Verdict::Failed(fault) => {
                let doubt = self.in_doubt(&subject);
                let doubt = doubt.map(|repeat| InDoubt { repeat, looked: subject.looked });
                self.rest(&subject, &Ending::Fault { fault: &fault, doubt })
            }
        }
    }

    /// What the connector declares of a step.
    pub fn repeat_of(&self, step: &str) -> Repeatable {
        let repeats = &self.target.habits.traits.repeats;
        match step {
            "add_member" | "remove_member" => repeats.change_members,
            "create" => repeats.create,
            "update" => repeats.update,
            "suspend" | "restore" => repeats.set_active,
            "remove" => repeats.remove,
            _ => Repeatable::Verifiable,
        }
    }

    /// The write in doubt that a failed step was about.
    fn in_doubt(&self, subject: &Subject) -> Option<Repeatable> {
        let open = |it: &&Attempt| {
            it.resource == subject.seq && it.state == AttemptState::Unknown && (it.item != 0) == subject.of_members
        };
        self.rows.attempts.values().find(open).map(|it| self.repeat_of(it.step))
    }

    /// Puts the work down as the engine says. A change that came meanwhile makes it due at once.
    fn rest(&mut self, subject: &Subject, ending: &Ending<'_>) -> After {
        let rest = work::rest(&subject.claim, ending, stamp(self.now), work::seed(subject.seq, subject.claim.tries));
        if let Some(work) = self.rows.work.get_mut(&subject.seq) {
            work.claim_epoch = None;
            match work::after_run(&work.row, subject.rev, rest, self.now) {
                Some(row) => work.row = row,
                None => self.broken(format!("a run that did not settle left nothing of resource {}", subject.seq)),
            }
        }
        After::Over
    }

    fn settle_operations(&mut self, subject: &Subject) {
        let settled = self.rows.resources[&subject.seq].settled_rev;
        if settled >= subject.rev {
            return;
        }
        let open: Vec<OpenOp> = self
            .open_ops(subject.seq)
            .into_iter()
            .map(|seq| (seq, &self.rows.ops[&seq]))
            .filter(|(_, op)| op.rev > settled && op.rev <= subject.rev)
            .map(|(seq, op)| OpenOp { seq, rev: op.rev, paths: op.paths.clone(), deletes: op.deletes })
            .collect();
        for (op, closed) in close_settled(&open, subject.rev) {
            let ends = match closed {
                Closed::Applied => Ends { applied: 1, ..Ends::default() },
                Closed::Superseded => Ends { superseded: 1, ..Ends::default() },
            };
            self.rows.close_items(op, ends);
        }
        if let Some(row) = self.rows.resources.get_mut(&subject.seq) {
            row.settled_rev = subject.rev;
        }
    }

    fn end_attempts(&mut self, job: &Job, done: &Result<Answer, Fault>) {
        if let (Call::Members { .. }, Ok(Answer::Members(answers))) = (&job.call, done) {
            for (attempt, answer) in job.attempts.iter().zip(answers) {
                self.end_attempt(*attempt, answer.as_ref().err());
            }
            return;
        }
        let fault = done.as_ref().err();
        if job.call.reads() {
            let state = match attempt_state(fault) {
                AttemptState::Unknown => AttemptState::NotSent,
                state => state,
            };
            let seq = self.rows.seq();
            let attempt = Attempt {
                resource: job.subject.seq,
                item: 0,
                step: job.call.word(),
                marked: false,
                granted: false,
                epoch: 0,
                state,
                heard: true,
                sent: None,
                started: self.now,
                ended: self.now,
            };
            self.rows.attempts.insert(seq, attempt);
            return;
        }
        for attempt in &job.attempts {
            self.end_attempt(*attempt, fault);
        }
    }

    fn end_attempt(&mut self, attempt: Seq, fault: Option<&Fault>) {
        let now = self.now;
        if let Some(row) = self.rows.attempts.get_mut(&attempt) {
            let state = attempt_state(fault);
            row.state =
                if (row.marked || row.granted) && state != AttemptState::Done { AttemptState::Unknown } else { state };
            row.heard = true;
            row.ended = now;
        }
    }

    /// A settlement could not be stored, and the store is back: what was sent is in doubt.
    pub fn free_claim(&mut self, resource: Seq, epoch: i64) {
        if self.rows.lease.epoch != epoch {
            return;
        }
        let now = self.now;
        let Some(work) = self.rows.work.get_mut(&resource) else { return };
        if work.claim_epoch != Some(epoch) || work.row.state != WorkState::Running {
            return;
        }
        let claim = work::claimed(&work.row);
        let rest = work::rest(&claim, &Ending::Unrecorded, stamp(now), work::seed(resource, claim.tries));
        work.claim_epoch = None;
        if let Some(row) = work::after_run(&work.row, work.row.rev, rest, now) {
            work.row = row;
        }
        for attempt in self.rows.attempts.values_mut() {
            if attempt.resource == resource && attempt.state == AttemptState::Sending {
                (attempt.state, attempt.ended) = (AttemptState::Unknown, now);
            }
        }
        self.rows.bell = true;
    }
}

fn attempt_state(fault: Option<&Fault>) -> AttemptState {
    match fault {
        None => AttemptState::Done,
        Some(fault) if fault.effect == Effect::Unknown => AttemptState::Unknown,
        Some(fault) if matches!(fault.kind, FaultKind::NotSent | FaultKind::RateLimited | FaultKind::Unavailable) => {
            AttemptState::NotSent
        }
        Some(_) => AttemptState::Refused,
    }
}
