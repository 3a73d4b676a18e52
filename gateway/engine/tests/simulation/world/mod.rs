//! A whole world in one thread: identity providers, replicas of the driver that crash and freeze, a target
//! with people behind it, and a clock that jumps from event to event. The same seed plays the same story.
//!
//! The decisions are the engine's own, the ones that the binary links. The glue between them (rows,
//! transactions, leases, the order of steps) is modelled here as the gateway has it.

pub mod accept;
pub mod check;
pub mod clients;
pub mod dice;
pub mod drive;
pub mod groups;
pub mod persons;
pub mod replicas;
pub mod rows;
pub mod target;

use std::collections::{BTreeMap, BTreeSet};

use connector_sdk::{Fault, Suspend};
use engine::policy::Policy;

use clients::Action;
use dice::Dice;
use replicas::{Flight, Replica};
use rows::{Rows, Seq};
use target::{Answer, Habits, State, Target, traits};

pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
/// When every story begins.
const START: i64 = 1_700_000_000 * SECOND;
/// Within this time after the last fault everything has to be done.
const CONVERGES: i64 = 30 * HOUR;
/// More events than a story can have.
const MOST_EVENTS: usize = 20_000;

/// Glue that is wrong on purpose: each has to be caught, or the simulation shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A creation in doubt is repeated without a look.
    RepeatBlindly,
    /// A settlement does not ask whether its lease is still held.
    IgnoreEpoch,
    /// Looks do not see pending invitations.
    ForgetInvitations,
    /// Now and then a deactivation is accepted without work.
    DropDeprovision,
    /// Who accepts an invitation does not wake what waited for it.
    ForgetParked,
    /// Calls are sent without being written down before.
    SendUnwritten,
    /// What a late grant brought back is not removed again.
    ForgetLateGrants,
    /// Calls are sent however little is left of the lease.
    IgnoreLease,
    /// A new holder of the lease does not free what the former one had.
    ForgetOrphans,
    /// A creation in doubt is looked for by the name or address of now, not by that which was sent.
    LookByNewName,
    /// An invitation that was gone when it was to be taken back counts as taken back if it was missed before.
    TrustAlreadyGone,
    /// A membership that is being changed is taken over as it was before.
    ForgetFlying,
    /// A membership that was in doubt stays so when its group turns out to be gone.
    DoubtWhatIsGone,
    /// A call of a sender that died is over once it was repeated, and an account that may be back is (a look at that one
    /// mends what most such calls do).
    ForgetRepeated,
    /// An account is gone though a grant came after the target was asked for it.
    BelieveOldAnswers,
    /// A creation of a sender that died is over once an account is found.
    BelieveWhatIsFound,
    /// Whom a late grant brought back is in no group.
    ForgetReturnedMembers,
    /// An account that a late grant may have brought back is there.
    BelieveReturned,
}

impl Sabotage {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::RepeatBlindly,
        Self::IgnoreEpoch,
        Self::ForgetInvitations,
        Self::DropDeprovision,
        Self::ForgetParked,
        Self::SendUnwritten,
        Self::ForgetLateGrants,
        Self::IgnoreLease,
        Self::ForgetOrphans,
        Self::LookByNewName,
        Self::TrustAlreadyGone,
        Self::ForgetFlying,
        Self::DoubtWhatIsGone,
        Self::ForgetRepeated,
        Self::BelieveOldAnswers,
        Self::BelieveWhatIsFound,
        Self::ForgetReturnedMembers,
        Self::BelieveReturned,
    ];
}

/// How a story is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub sabotage: Option<Sabotage>,
    /// Keep what happened, step by step.
    pub verbose: bool,
}

/// What a story had in it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub events: usize,
    pub acknowledged: usize,
    pub calls: usize,
    pub faults: usize,
    pub crashes: usize,
    pub freezes: usize,
    pub needs: usize,
    pub trace: Vec<String>,
}

impl Report {
    /// Adds another story's figures.
    pub fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.acknowledged += other.acknowledged;
        self.calls += other.calls;
        self.faults += other.faults;
        self.crashes += other.crashes;
        self.freezes += other.freezes;
        self.needs += other.needs;
    }
}

/// A rule that was broken.
#[derive(Clone, Debug)]
pub struct Broken {
    pub what: String,
    pub report: Report,
}

/// What was acknowledged to clients.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    pub ops: Vec<Seq>,
    /// Every id that a client was ever given.
    pub given: BTreeSet<u64>,
    /// Which resource took over from a deleted one.
    pub inherited: BTreeMap<Seq, Seq>,
}

impl Ledger {
    pub fn acknowledge(&mut self, op: Seq) {
        self.ops.push(op);
    }
}

/// How often something goes wrong, in ten thousand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    /// A call is lost, before or after it had effect.
    pub lost: u32,
    /// The target refuses for now: 429, 5xx.
    pub busy: u32,
    /// A replica dies at a step.
    pub crash: u32,
    /// A replica freezes at a step.
    pub freeze: u32,
    /// A call takes seconds.
    pub slow: u32,
    /// The database is away for a while.
    pub store: u32,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum Event {
    Client(usize),
    People,
    Hand,
    LookOut,
    Beat(usize, u64),
    Pump(usize, u64),
    Begin(usize, u64, u64),
    Send(usize, u64, u64),
    Arrive(u64),
    Respond(usize, u64, u64, Box<Result<Answer, Fault>>),
    Settle(usize, u64, u64),
    Free(usize, u64, Seq, i64),
    Start(usize),
    Leave,
    StoreBack,
    CredentialBack,
    Quiet,
}

/// The world.
#[derive(Clone, Debug)]
pub struct World {
    pub dice: Dice,
    pub now: i64,
    queue: BTreeMap<(i64, u64), Event>,
    order: u64,
    pub rows: Rows,
    pub target: Target,
    pub policy: Policy,
    pub replicas: Vec<Replica>,
    pub flights: BTreeMap<u64, Flight>,
    pub ledger: Ledger,
    pub ids: u64,
    pub sabotage: Option<Sabotage>,
    /// Whether the database is shared by replicas; an embedded one is one process's.
    pub shared: bool,
    pub rates: Rates,
    pub quiet: bool,
    /// When clients stop.
    pub quiet_at: i64,
    pub store_away: bool,
    pub credential_dead: bool,
    /// The target asked to be left alone until then.
    pub blocked_until: i64,
    /// When the pending invitations were listed last.
    pub looked_out: i64,
    pub people: Vec<String>,
    pub group_names: Vec<String>,
    pub pending: Vec<Option<Action>>,
    pub report: Report,
    verbose: bool,
    broken: Option<String>,
}

/// Plays the story of a seed.
///
/// # Errors
/// The first rule that was broken.
pub fn play(seed: u64, options: Options) -> Result<Report, Box<Broken>> {
    let mut world = World::new(seed, options);
    let what = world.run();
    let mut report = std::mem::take(&mut world.report);
    report.acknowledged = world.ledger.ops.len();
    report.calls = world.target.writes;
    match what {
        None => Ok(report),
        Some(what) => Err(Box::new(Broken { what, report })),
    }
}

impl World {
    fn new(seed: u64, options: Options) -> Self {
        let mut dice = Dice::new(seed);
        let shared = dice.chance(7_000);
        let suspend = if dice.chance(4_000) { Suspend::Native } else { Suspend::Removes };
        let invites = dice.chance(7_000);
        let pending_members = dice.chance(3_000);
        let people: Vec<String> = (0..2 + dice.below(4)).map(|n| format!("p{n}@x.org")).collect();
        let group_names: Vec<String> = (0..dice.below(3)).map(|n| format!("Group {n}")).collect();
        let refuses: BTreeSet<String> = people.iter().filter(|_| dice.chance(300)).cloned().collect();
        let habits = Habits {
            traits: traits(suspend, invites, pending_members),
            one_invitation: dice.chance(4_000),
            grants_bring_back: suspend == Suspend::Removes && dice.chance(5_000),
            lag: if dice.chance(1_500) { dice.between(SECOND, 5 * SECOND) } else { 0 },
            invitation_lasts: dice.between(10 * MINUTE, 100 * HOUR),
            unclear: dice.chance(1_000),
            quota: if dice.chance(2_000) { 2 } else { 50 },
            refuses,
        };
        let mut policy = Policy::default();
        if dice.chance(1_000) {
            policy.protected = people.iter().take(1).cloned().collect();
        }
        let calm = dice.chance(1_500);
        let rate = |dice: &mut Dice, most: i64| match calm {
            true => 0,
            false => u32::try_from(dice.between(0, most)).unwrap_or(0),
        };
        let rates = Rates {
            lost: rate(&mut dice, 1_500),
            busy: rate(&mut dice, 1_000),
            crash: rate(&mut dice, 250),
            freeze: rate(&mut dice, 100),
            slow: rate(&mut dice, 1_000),
            store: rate(&mut dice, 30),
        };
        let replicas = if shared { 1 + dice.below(3) } else { 1 };
        let lasts = dice.between(20 * SECOND, 6 * MINUTE);
        let clients = 1 + dice.below(3);
        let mut world = Self {
            dice,
            now: START,
            queue: BTreeMap::new(),
            order: 0,
            rows: Rows::default(),
            target: Target::new(habits),
            policy,
            replicas: vec![Replica::default(); replicas],
            flights: BTreeMap::new(),
            ledger: Ledger::default(),
            ids: 0,
            sabotage: options.sabotage,
            shared,
            rates,
            quiet: false,
            quiet_at: START + lasts,
            store_away: false,
            credential_dead: false,
            blocked_until: 0,
            looked_out: 0,
            people,
            group_names,
            pending: vec![None; clients],
            report: Report::default(),
            verbose: options.verbose,
            broken: None,
        };
        world.settle_in(clients);
        world
    }

    /// Who is there already, and when everything begins.
    fn settle_in(&mut self, clients: usize) {
        for email in self.people.clone() {
            if self.dice.chance(700) {
                let id = self.target.make(&email, "member", State::Active, None, START - HOUR);
                let protected = self.dice.chance(3_000);
                if let Some(object) = self.target.objects.get_mut(&id) {
                    object.protected = protected;
                }
            }
        }
        for client in 0..clients {
            let at = self.dice.between(0, 2 * SECOND);
            self.at(at, Event::Client(client));
        }
        for replica in 0..self.replicas.len() {
            let at = self.dice.between(0, SECOND);
            self.at(at, Event::Start(replica));
        }
        self.at(20 * SECOND, Event::People);
        self.at(30 * SECOND, Event::Hand);
        self.at(MINUTE, Event::LookOut);
        let until_quiet = self.quiet_at - self.now;
        self.at(until_quiet, Event::Quiet);
    }

    /// Something happens after a while, in microseconds.
    pub fn at(&mut self, after: i64, event: Event) {
        self.order += 1;
        self.queue.insert((self.now + after, self.order), event);
    }

    /// A rule is broken; the first that was is told.
    pub fn broken(&mut self, what: String) {
        self.tell(|| format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    /// What happens, for those who want to read it.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.verbose {
            let since = self.now - START;
            self.report.trace.push(format!("{:>5}.{:06} {}", since / SECOND, since % SECOND, what()));
        }
    }

    fn run(&mut self) -> Option<String> {
        let end = self.quiet_at + CONVERGES;
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            self.report.events += 1;
            if self.report.events > MOST_EVENTS {
                return Some(format!("a story without an end: {event:?}"));
            }
            let looks = matches!(event, Event::Pump(..) | Event::Beat(..) | Event::Send(..) | Event::Respond(..));
            self.happen(event);
            if std::mem::take(&mut self.rows.bell) {
                self.ring();
            }
            if !looks {
                self.check();
            }
            if self.broken.is_some() {
                return self.broken.take();
            }
        }
        self.now = end;
        self.check_end();
        self.broken.take()
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Client(client) => self.client(client),
            Event::People => self.people_act(),
            Event::Hand => self.hand_acts(),
            Event::LookOut => self.look_out(),
            Event::Beat(replica, life) => self.beat(replica, life),
            Event::Pump(replica, life) => self.pump(replica, life),
            Event::Begin(replica, life, run) => self.run_begins(replica, life, run),
            Event::Send(replica, life, run) => self.run_sends(replica, life, run),
            Event::Arrive(flight) => self.arrive(flight),
            Event::Respond(replica, life, run, answer) => self.respond(replica, life, run, answer),
            Event::Settle(replica, life, run) => self.run_settles(replica, life, run),
            Event::Free(replica, life, resource, epoch) => self.free(replica, life, resource, epoch),
            Event::Start(replica) => self.start(replica),
            Event::Leave => self.leave(),
            Event::StoreBack => self.store_away = false,
            Event::CredentialBack => self.credential_dead = false,
            Event::Quiet => self.calm_down(),
        }
    }

    /// Faults end: from now on everything has to find its end.
    fn calm_down(&mut self) {
        self.tell(|| "quiet: no faults any more".to_owned());
        self.quiet = true;
        self.rates = Rates::default();
        self.store_away = false;
        self.credential_dead = false;
        for replica in 0..self.replicas.len() {
            if !self.replicas[replica].up {
                self.at(SECOND, Event::Start(replica));
            }
        }
    }
}
