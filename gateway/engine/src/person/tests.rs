use super::*;
use connector_sdk::{DriverKey, Kind, RemoteId, RoleTrait};
use proptest::prelude::*;

const ALL_WANTED: [Wanted; 3] = [Wanted::Access, Wanted::NoAccess { delete: false }, Wanted::NoAccess { delete: true }];
const STATUS: [Option<AccountStatus>; 4] =
    [None, Some(AccountStatus::Invited), Some(AccountStatus::Active), Some(AccountStatus::Suspended)];
const DOUBT: [Option<Doubt>; 4] = [None, Some(Doubt::Look), Some(Doubt::Repeat), Some(Doubt::Ask)];
const BOTH: [bool; 2] = [false, true];

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time in range")
}

fn traits(suspend: Suspend, invites: bool, writable: bool) -> Traits {
    let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new("k"));
    traits.suspend = suspend;
    traits.invites = invites;
    if writable {
        traits.writable = vec!["roles"];
    }
    let role = |value, privileged| RoleTrait { value, privileged };
    traits.roles = vec![role("admin", true), role("member", false)];
    traits.default_role = Some("member");
    traits
}

fn account(status: AccountStatus, email: &str, role: &str, serial: u32) -> AccountView {
    let invited = status == AccountStatus::Invited;
    AccountView {
        reference: if invited {
            AccountRef::Invite { id: InviteId::new(format!("i{serial}")), email: Some(email.to_owned()), login: None }
        } else {
            AccountRef::Account { id: RemoteId::new(format!("a{serial}")), login: Some("ann".to_owned()) }
        },
        status,
        role: Some(role.to_owned()),
        email: Some(email.to_owned()),
        login: (!invited).then(|| "ann".to_owned()),
        protected: false,
        expires_at: invited.then(|| at(1_000)),
        profile: None,
    }
}

/// A directory's wish, an ideal target, and what the driver knows of it.
#[derive(Clone, Debug)]
struct World {
    traits: Traits,
    can_create: bool,
    protected: bool,
    person: Person,
    wanted: Wanted,
    truth: Option<AccountView>,
    known: Option<AccountView>,
    doubt: Option<Doubt>,
    followed_up: bool,
    invites: u32,
    now: Timestamp,
    /// How many calls to come take effect and lose their answer.
    lose: u32,
    serial: u32,
}

impl World {
    fn new(traits: Traits, can_create: bool) -> Self {
        let mut person = Person::named("ann");
        person.email = Some("ann@x.org".to_owned());
        Self {
            traits,
            can_create,
            protected: false,
            person,
            wanted: Wanted::NoAccess { delete: false },
            truth: None,
            known: None,
            doubt: None,
            followed_up: false,
            invites: 0,
            now: at(0),
            lose: 0,
            serial: 0,
        }
    }

    fn next(&self) -> PersonStep {
        next_step(&PersonView {
            wanted: self.wanted,
            person: &self.person,
            account: self.known.clone(),
            doubt: self.doubt,
            traits: &self.traits,
            can_create: self.can_create,
            followed_up: self.followed_up,
            protected_by_policy: self.protected,
            invites_sent: self.invites,
            now: self.now,
        })
    }

    fn learn(&mut self) {
        self.known = self.truth.clone();
        self.doubt = None;
        self.followed_up = false;
    }

    fn is_protected(&self) -> bool {
        self.protected || self.truth.as_ref().is_some_and(|it| it.protected)
    }

    /// Does a step at the target and tells what a connector would have answered; true if there is
    /// nothing left to do now.
    fn obey(&mut self, step: &PersonStep) -> bool {
        if let PersonStep::Create
        | PersonStep::Update(_)
        | PersonStep::Suspend
        | PersonStep::Restore
        | PersonStep::Remove(_) = step
        {
            assert!(self.can_create, "{step:?} of an account that is none of ours: {self:?}");
        }
        match step {
            PersonStep::Settled | PersonStep::Need(_) => return true,
            PersonStep::Look | PersonStep::Match | PersonStep::Follow(_) => {}
            PersonStep::Create => {
                assert_eq!(self.wanted, Wanted::Access);
                assert!(self.known.is_none(), "created beside an account: {self:?}");
                assert!(self.truth.is_none(), "a second account: {self:?}");
                self.serial += 1;
                let status = if self.traits.invites {
                    self.invites += 1;
                    AccountStatus::Invited
                } else {
                    AccountStatus::Active
                };
                let email = self.person.email.clone().unwrap_or_default();
                let role = self.person.role.as_deref().unwrap_or("member");
                let mut made = account(status, &email, role, self.serial);
                made.expires_at = made.expires_at.map(|_| at(self.now.as_second() + 1_000));
                self.truth = Some(made);
            }
            PersonStep::Update(change) => {
                assert_eq!(self.wanted, Wanted::Access);
                assert!(self.traits.writable.contains(&"roles") && !change.is_empty());
                assert!(!self.is_protected());
                if let Some(account) = &mut self.truth {
                    account.role.clone_from(&change.role);
                }
            }
            PersonStep::Suspend | PersonStep::Restore => {
                assert_eq!(self.traits.suspend, Suspend::Native);
                let restore = *step == PersonStep::Restore;
                assert_eq!(self.wanted == Wanted::Access, restore);
                assert!(restore || !self.is_protected());
                if let Some(account) = &mut self.truth {
                    account.status = if restore { AccountStatus::Active } else { AccountStatus::Suspended };
                }
            }
            PersonStep::Remove(reference) => {
                assert!(!self.is_protected());
                let there = self.truth.as_ref().is_some_and(|it| it.reference == *reference);
                if there {
                    self.truth = None;
                    self.invites = 0;
                } else if matches!(reference, AccountRef::Invite { .. }) && self.lose == 0 {
                    // Gone already: taken back before, ended, or accepted.
                    self.doubt = None;
                    self.followed_up = true;
                    return false;
                }
            }
        }
        if self.lose > 0 {
            self.lose -= 1;
            self.doubt = match step {
                PersonStep::Create => Some(Doubt::Look),
                PersonStep::Look | PersonStep::Match | PersonStep::Follow(_) => self.doubt,
                _ => Some(Doubt::Repeat),
            };
            return false;
        }
        self.learn();
        *step == PersonStep::Match && self.known.is_none()
    }

    /// Drives to the end and returns the steps taken.
    fn drive(&mut self) -> Vec<PersonStep> {
        let most = 6 + 2 * self.lose as usize;
        let start = self.clone();
        let mut steps = Vec::new();
        while steps.len() < most {
            let step = self.next();
            let done = self.obey(&step);
            steps.push(step);
            if done {
                self.check_end(&start, &steps);
                return steps;
            }
        }
        panic!("does not end: {steps:?} from {start:?}");
    }

    fn check_end(&self, start: &Self, steps: &[PersonStep]) {
        let context = format!("{steps:?}\nfrom {start:?}\nto {self:?}");
        assert!(self.doubt.is_none() || matches!(steps.last(), Some(PersonStep::Need(_))), "{context}");
        if !self.can_create {
            assert_eq!(self.truth, start.truth, "{context}");
            return;
        }
        if steps.last() != Some(&PersonStep::Settled) {
            return;
        }
        let status = self.truth.as_ref().map(|it| it.status);
        match self.wanted {
            Wanted::NoAccess { delete } => assert!(
                status.is_none() || (status == Some(AccountStatus::Suspended) && !delete),
                "keeps access: {context}"
            ),
            // An invitation that ended without anybody telling is found out later.
            Wanted::Access if self.known != self.truth => {
                assert_eq!(self.known.as_ref().map(|it| it.status), Some(AccountStatus::Invited), "{context}")
            }
            Wanted::Access => {
                let account = self.truth.as_ref().unwrap_or_else(|| panic!("no account: {context}"));
                match account.status {
                    AccountStatus::Suspended => panic!("suspended: {context}"),
                    AccountStatus::Invited => {
                        assert_eq!(account.email, self.person.email, "{context}");
                    }
                    AccountStatus::Active => {
                        if let (Some(role), true) = (&self.person.role, self.traits.writable.contains(&"roles")) {
                            assert_eq!(account.role.as_ref(), Some(role), "{context}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn every_combination_has_one_answer_and_an_ideal_target_settles() {
    let mut seen = 0;
    for n in 0..4 * 3 * 4 * 512u32 {
        let bit = |at: u32| BOTH[(n >> at & 1) as usize];
        let rest = n >> 9;
        let status = STATUS[(rest % 4) as usize];
        let wanted = ALL_WANTED[(rest / 4 % 3) as usize];
        let doubt = DOUBT[(rest / 12) as usize];
        let suspend = if bit(0) { Suspend::Native } else { Suspend::Removes };
        let mut world = World::new(traits(suspend, bit(1), bit(2)), bit(3));
        world.wanted = wanted;
        world.doubt = doubt;
        world.followed_up = bit(4);
        world.protected = bit(5);
        world.person.role = bit(6).then(|| "admin".to_owned());
        let email = if bit(7) { "old@x.org" } else { "Ann@x.org" };
        world.truth = status.map(|status| account(status, email, "member", 0));
        world.known = world.truth.clone();
        if bit(8) {
            // Past the end of an invitation; an ideal target has dropped it.
            world.now = at(1_000);
            world.truth = world.truth.filter(|it| it.status != AccountStatus::Invited);
        }
        if !bit(7)
            && let Some(account) = &mut world.truth
            && account.status == AccountStatus::Invited
        {
            // The case of an address is no difference.
            account.email = Some("ann@x.org".to_owned());
        }
        assert_eq!(world.next(), world.next());
        world.drive();
        // Once more is a no-op.
        let again = world.drive();
        assert_eq!(again.len(), 1, "{again:?}");
        seen += 1;
    }
    assert_eq!(seen, 24_576);
}

#[derive(Clone, Debug)]
enum Event {
    Want(usize),
    Role(bool),
    Email(bool),
    Accept { told: bool },
    End { told: bool },
    Lose(u32),
    Later,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0usize..3).prop_map(Event::Want),
        1 => any::<bool>().prop_map(Event::Role),
        1 => any::<bool>().prop_map(Event::Email),
        2 => any::<bool>().prop_map(|told| Event::Accept { told }),
        1 => any::<bool>().prop_map(|told| Event::End { told }),
        2 => (1u32..4).prop_map(Event::Lose),
        1 => Just(Event::Later),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        let invited = self.truth.as_ref().is_some_and(|it| it.status == AccountStatus::Invited);
        match event {
            Event::Want(which) => {
                self.wanted = ALL_WANTED[which];
                self.invites = 0;
            }
            Event::Role(admin) => {
                self.person.role = Some(if admin { "admin" } else { "member" }.to_owned());
            }
            Event::Email(new) => {
                self.person.email = Some(if new { "new@x.org" } else { "ann@x.org" }.to_owned());
            }
            Event::Accept { told } if invited => {
                let role = self.truth.as_ref().and_then(|it| it.role.clone());
                self.truth =
                    Some(account(AccountStatus::Active, "ann@x.org", role.as_deref().unwrap_or("member"), self.serial));
                self.followed_up = told;
            }
            Event::End { told } if invited => {
                self.truth = None;
                self.followed_up = told;
            }
            Event::Later => {
                self.now = at(self.now.as_second() + 1_001);
                if invited {
                    self.truth = None;
                }
            }
            Event::Lose(calls) => self.lose = calls,
            Event::Accept { .. } | Event::End { .. } => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]
    #[test]
    fn whatever_happens_it_ends_and_makes_no_second_account(
        events in prop::collection::vec(event(), 1..30),
        native: bool, invites: bool, writable: bool, can_create in prop::bool::weighted(0.9),
        protected in prop::bool::weighted(0.1),
    ) {
        let suspend = if native { Suspend::Native } else { Suspend::Removes };
        let mut world = World::new(traits(suspend, invites, writable), can_create);
        world.protected = protected;
        for event in events {
            world.happen(event);
            world.drive();
        }
        // Whatever went before, losing access for good leaves nothing.
        world.wanted = Wanted::NoAccess { delete: true };
        world.drive();
        prop_assert!(world.truth.is_none() || world.is_protected() || !can_create);
    }
}

/// The world of a person with an account of that status, in step with the target.
fn world(status: Option<AccountStatus>, wanted: Wanted) -> World {
    let mut world = World::new(traits(Suspend::Removes, true, true), true);
    world.wanted = wanted;
    world.truth = status.map(|status| account(status, "ann@x.org", "member", 0));
    world.known = world.truth.clone();
    world
}

fn need_code(step: &PersonStep) -> Option<&str> {
    match step {
        PersonStep::Need(need) => Some(&need.code),
        _ => None,
    }
}

#[test]
fn an_invitation_is_repeated_twice_and_then_needs_a_person() {
    let mut world = world(None, Wanted::Access);
    for invites in 1..=MAX_INVITES {
        assert_eq!(world.drive(), [PersonStep::Create, PersonStep::Settled]);
        assert_eq!(world.invites, invites);
        world.truth = None;
        world.known = None;
    }
    assert_eq!(need_code(&world.next()), Some("invitation"));
    // Without access wanted there is nothing to need a person for.
    world.wanted = Wanted::NoAccess { delete: false };
    assert_eq!(world.next(), PersonStep::Settled);
}

#[test]
fn an_invitation_to_an_old_address_goes_before_the_new_one_is_asked() {
    let mut world = world(Some(AccountStatus::Invited), Wanted::Access);
    world.person.email = Some("new@x.org".to_owned());
    let old = world.known.clone().expect("invited").reference;
    assert_eq!(world.drive(), [PersonStep::Remove(old), PersonStep::Create, PersonStep::Settled]);
}

#[test]
fn an_invitation_to_a_login_stays_when_the_address_changes() {
    let mut world = world(Some(AccountStatus::Invited), Wanted::Access);
    world.person.email = Some("new@x.org".to_owned());
    if let Some(known) = &mut world.known {
        known.login = Some("ann".to_owned());
    }
    assert_eq!(world.next(), PersonStep::Settled);
}

#[test]
fn an_invitation_past_its_end_is_followed_for_access_and_taken_back_without() {
    let mut world = world(Some(AccountStatus::Invited), Wanted::Access);
    world.now = at(1_000);
    assert_eq!(world.next(), PersonStep::Follow(InviteId::new("i0")));
    world.wanted = Wanted::NoAccess { delete: false };
    assert!(matches!(world.next(), PersonStep::Remove(_)));
}

#[test]
fn an_invitation_accepted_just_before_it_was_taken_back_leaves_no_access() {
    let mut world = world(Some(AccountStatus::Invited), Wanted::NoAccess { delete: false });
    world.truth = Some(account(AccountStatus::Active, "ann@x.org", "member", 0));
    let steps = world.drive();
    assert_eq!(steps.len(), 4, "{steps:?}");
    assert_eq!(world.truth, None);
}

#[test]
fn access_wanted_again_while_its_loss_is_in_doubt_is_not_taken_for_settled() {
    let mut world = world(Some(AccountStatus::Active), Wanted::NoAccess { delete: false });
    world.lose = 1;
    let step = world.next();
    world.obey(&step);
    world.wanted = Wanted::Access;
    assert_eq!(world.drive(), [PersonStep::Look, PersonStep::Create, PersonStep::Settled]);
}

#[test]
fn a_suspended_account_that_cannot_be_restored_needs_a_person() {
    let mut world = world(Some(AccountStatus::Suspended), Wanted::Access);
    assert_eq!(need_code(&world.next()), Some("suspended"));
    world.traits.suspend = Suspend::Native;
    assert_eq!(world.drive(), [PersonStep::Restore, PersonStep::Settled]);
}

#[test]
fn protected_accounts_are_left_alone_and_never_silently() {
    for status in [AccountStatus::Invited, AccountStatus::Active] {
        for delete in BOTH {
            for by_policy in BOTH {
                let mut world = world(Some(status), Wanted::NoAccess { delete });
                world.protected = by_policy;
                if let Some(known) = &mut world.known {
                    known.protected = !by_policy;
                }
                assert_eq!(need_code(&world.next()), Some("protected"), "{world:?}");
            }
        }
    }
}

#[test]
fn a_target_for_groups_only_is_matched_and_keeps_its_accounts() {
    for wanted in ALL_WANTED {
        for status in STATUS {
            let mut world = world(status, wanted);
            world.can_create = false;
            world.person.role = Some("admin".to_owned());
            let want = match (status, wanted) {
                (None, Wanted::Access) => PersonStep::Match,
                _ => PersonStep::Settled,
            };
            assert_eq!(world.next(), want, "{wanted:?} {status:?}");
        }
    }
}

#[test]
fn a_role_is_written_only_if_given_writable_and_different() {
    for (wanted, has, default, writable, calls) in [
        (None, Some("member"), None, true, false),
        (Some("admin"), Some("member"), None, true, true),
        (Some("admin"), Some("ADMIN"), None, true, false),
        (Some("admin"), Some("member"), None, false, false),
        (Some("member"), None, Some("member"), true, false),
        (Some("admin"), None, Some("member"), true, true),
        (Some("admin"), None, None, true, true),
    ] {
        let mut world = world(Some(AccountStatus::Active), Wanted::Access);
        world.person.role = wanted.map(str::to_owned);
        world.traits.default_role = default;
        if !writable {
            world.traits.writable.clear();
        }
        if let Some(known) = &mut world.known {
            known.role = has.map(str::to_owned);
        }
        let step = world.next();
        assert_eq!(matches!(step, PersonStep::Update(_)), calls, "{wanted:?} {has:?} {default:?} {writable}");
    }
}

#[test]
fn what_changed_since_it_was_written_is_written_and_what_was_not_is_not() {
    for (writable, written, stale) in [
        (vec!["*"], Some(true), false),
        (vec!["*"], Some(false), true),
        // An account that was linked before this was known: nothing is written until something changes.
        (vec!["*"], None, false),
        (vec!["roles"], Some(false), false),
        (vec!["displayName"], Some(false), true),
    ] {
        let mut world = World::new(traits(Suspend::Native, false, false), true);
        world.traits.writable = writable;
        world.person.display_name = Some("Ann Example".to_owned());
        let mut there = account(AccountStatus::Active, "ann@example.com", "member", 1);
        let mut before = world.person.clone();
        before.display_name = Some("Ann Other".to_owned());
        before.attributes.insert("title".to_owned(), "T".into());
        there.profile = match written {
            Some(true) => world.traits.profile(&world.person),
            Some(false) => world.traits.profile(&before),
            None => None,
        };
        let case = format!("{:?} {written:?}", world.traits.writable);
        let step = next_step(&PersonView {
            wanted: Wanted::Access,
            person: &world.person,
            account: Some(there),
            doubt: None,
            traits: &world.traits,
            can_create: true,
            followed_up: false,
            protected_by_policy: false,
            invites_sent: 0,
            now: at(0),
        });
        match step {
            PersonStep::Update(change) => {
                assert!(stale, "{case}");
                assert_eq!(change.role, None, "{case}");
                assert_eq!(change.display_name.as_deref(), Some("Ann Example"), "{case}");
                assert_eq!(change.person.as_deref(), Some(&world.person), "{case}");
            }
            other => assert!(!stale && other == PersonStep::Settled, "{case}: {other:?}"),
        }
    }
}
