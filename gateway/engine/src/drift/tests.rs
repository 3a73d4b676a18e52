use connector_sdk::{AccountRef, AccountStatus, DriverKey, Kind, Person, RemoteId, Suspend, Traits};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::person::{AccountView, next_step};

fn traits(suspend: Suspend) -> Traits {
    let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new("k"));
    traits.suspend = suspend;
    traits.writable = vec!["roles"];
    traits.roles = ["admin", "member", "guest"].map(|value| RoleTrait { value, privileged: value == "admin" }).to_vec();
    traits.default_role = Some("member");
    traits
}

/// A desired person and an observed account.
#[derive(Clone, Debug)]
struct Case {
    suspend: Suspend,
    wanted: Wanted,
    role: Option<&'static str>,
    seen: Option<(AccountStatus, &'static str, bool)>,
    protected_by_policy: bool,
    before: Before,
}

impl Case {
    fn judge(&self) -> (PersonStep, Option<Difference>) {
        let traits = traits(self.suspend);
        let mut person = Person::named("ann");
        person.role = self.role.map(str::to_owned);
        let view = PersonView {
            wanted: self.wanted,
            person: &person,
            account: self.seen.map(|(status, role, protected)| AccountView {
                reference: AccountRef::Account { id: RemoteId::new("7"), login: Some("ann".to_owned()) },
                status,
                role: Some(role.to_owned()),
                email: None,
                login: Some("ann".to_owned()),
                protected,
                expires_at: None,
                profile: None,
            }),
            doubt: None,
            traits: &traits,
            can_create: true,
            followed_up: false,
            protected_by_policy: self.protected_by_policy,
            invites_sent: 0,
            now: Timestamp::UNIX_EPOCH,
        };
        let step = next_step(&view);
        let difference = of_person(&step, &view, self.before);
        (step, difference)
    }
}

fn role() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["admin", "member", "guest"])
}

fn case() -> impl Strategy<Value = Case> {
    let wanted = prop::sample::select(vec![
        Wanted::Access,
        Wanted::NoAccess { delete: false },
        Wanted::NoAccess { delete: true },
    ]);
    let status = prop::sample::select(vec![AccountStatus::Active, AccountStatus::Suspended]);
    (
        prop::sample::select(vec![Suspend::Native, Suspend::Removes]),
        wanted,
        prop::option::of(role()),
        prop::option::of((status, role(), any::<bool>())),
        any::<bool>(),
        prop::sample::select(vec![Before::Never, Before::There, Before::Vanished]),
    )
        .prop_map(|(suspend, wanted, role, seen, protected_by_policy, before)| Case {
            suspend,
            wanted,
            role,
            seen,
            protected_by_policy,
            before,
        })
}

fn member() -> impl Strategy<Value = MemberFacts> {
    (
        (prop::option::of(any::<bool>()), any::<bool>(), any::<bool>()),
        prop::sample::select(vec![Link::None, Link::Invited, Link::Active, Link::Suspended]),
        prop::sample::select(vec![Seen::Absent, Seen::Present, Seen::Pending]),
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
    )
        .prop_map(|((want, settled, user_wanted), link, seen, flags)| MemberFacts {
            want,
            settled,
            user_wanted,
            link,
            seen,
            aside: flags.0,
            group_is_ours: flags.1,
            account_goes: flags.2,
            known: flags.3,
            pending_members: flags.4,
        })
}

fn policy() -> impl Strategy<Value = Repair> {
    prop::sample::select(vec![Repair::None, Repair::LessAccess, Repair::All])
}

fn circumstances() -> impl Strategy<Value = Circumstances> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(asserted, waived, repeated)| Circumstances {
        asserted,
        waived,
        repeated,
    })
}

fn difference() -> impl Strategy<Value = Difference> {
    (
        prop::sample::select(Class::ALL.to_vec()),
        prop::sample::select(vec![Access::Less, Access::More, Access::Same]),
        any::<bool>(),
    )
        .prop_map(|(class, access, mendable)| Difference { class, access, mendable })
}

proptest! {
    #[test]
    fn a_person_who_is_as_wanted_differs_in_nothing_and_mending_ends_every_difference(case in case()) {
        let (step, found) = case.judge();
        prop_assert!(step != PersonStep::Settled || found.is_none(), "{case:?}: {found:?}");
        let Some(found) = found.filter(|found| found.mendable) else { return Ok(()) };
        // What the step does, done at an ideal target.
        let mut after = case.clone();
        let (status, role, protected) = case.seen.unwrap_or((AccountStatus::Active, "member", false));
        after.seen = match step {
            PersonStep::Create => Some((AccountStatus::Active, case.role.unwrap_or("member"), protected)),
            PersonStep::Update(_) => Some((status, case.role.unwrap_or(role), protected)),
            PersonStep::Suspend => Some((AccountStatus::Suspended, role, protected)),
            PersonStep::Restore => Some((AccountStatus::Active, case.role.unwrap_or(role), protected)),
            PersonStep::Remove(_) => None,
            step => panic!("{case:?}: {found:?} by {step:?}"),
        };
        prop_assert_eq!(after.judge().1.filter(|found| found.mendable), None, "{:?} after {:?}", after, step);
    }

    #[test]
    fn who_shall_have_no_access_is_never_given_any(case in case()) {
        let (_, found) = case.judge();
        if case.wanted != Wanted::Access && let Some(found) = found {
            prop_assert!(found.access != Access::More, "{case:?}: {found:?}");
        }
        // What protects an account keeps every hand off it.
        let protected = case.protected_by_policy || case.seen.is_some_and(|(_, _, protected)| protected);
        if let (true, Some(found), Some(_)) = (protected, found, case.seen) {
            prop_assert!(!found.mendable || found.access == Access::More, "{case:?}: {found:?}");
        }
    }

    #[test]
    fn who_never_was_there_is_not_missing(case in case()) {
        let mut case = case;
        case.before = Before::Never;
        let (_, found) = case.judge();
        prop_assert!(!found.is_some_and(|found| matches!(found.class, Class::Missing | Class::Vanished)), "{case:?}");
    }

    #[test]
    fn only_what_was_asserted_and_not_waived_is_repaired(
        difference in difference(), circumstances in circumstances(), policy in policy(),
    ) {
        let action = action(difference, circumstances, policy);
        if action == Action::Repair {
            prop_assert!(difference.mendable && circumstances.asserted);
            prop_assert!(!circumstances.waived || circumstances.repeated);
            prop_assert!(circumstances.repeated || policy != Repair::None);
            prop_assert!(
                circumstances.repeated || policy == Repair::All || difference.access == Access::Less,
                "access comes back by itself"
            );
        }
        let policies = [Repair::None, Repair::LessAccess, Repair::All];
        let repaired = policies.map(|policy| super::action(difference, circumstances, policy) == Action::Repair);
        prop_assert!(repaired.is_sorted(), "a wider policy repairs what a narrower one does: {repaired:?}");
    }

    #[test]
    fn nobody_is_taken_out_of_an_adopted_group_whom_we_say_nothing_of(facts in member(), policy in policy()) {
        let Some((difference, asserted)) = of_member(&facts) else { return Ok(()) };
        let circumstances = Circumstances { asserted, ..Circumstances::default() };
        let repaired = action(difference, circumstances, policy) == Action::Repair;
        if facts.want.is_none() && !facts.group_is_ours {
            prop_assert!(!repaired, "{facts:?}");
        }
        prop_assert!(!(repaired && facts.aside && difference.class == Class::Extra), "{facts:?}");
        prop_assert!(facts.want.is_none() || facts.settled, "what is under way is no difference: {facts:?}");
        match difference.class {
            Class::Missing => prop_assert!(facts.seen == Seen::Absent && facts.want == Some(true) && facts.user_wanted),
            Class::Extra => prop_assert!(facts.seen != Seen::Absent && !(facts.want == Some(true) && facts.user_wanted)),
            class => prop_assert!(false, "{class:?}"),
        }
    }

    #[test]
    fn a_membership_that_is_as_wanted_differs_in_nothing(facts in member()) {
        let wanted = facts.want == Some(true) && facts.user_wanted;
        if wanted == (facts.seen != Seen::Absent) {
            prop_assert_eq!(of_member(&facts), None);
        }
    }
}

#[test]
fn roles_differ_by_the_power_they_give() {
    for (has, wanted, access) in [
        ("admin", "member", Some(Access::Less)),
        ("member", "admin", Some(Access::More)),
        ("guest", "member", Some(Access::Same)),
        ("Member", "member", None),
    ] {
        let case = Case {
            suspend: Suspend::Removes,
            wanted: Wanted::Access,
            role: Some(wanted),
            seen: Some((AccountStatus::Active, has, false)),
            protected_by_policy: false,
            before: Before::There,
        };
        let want = access.map(|access| Difference { class: Class::Changed, access, mendable: true });
        assert_eq!(case.judge().1, want, "{has} -> {wanted}");
    }
}

#[test]
fn names_are_compared() {
    let renamed = |mendable| Some(Difference { class: Class::Renamed, access: Access::Same, mendable });
    assert_eq!(of_group("Eng", Some("Eng"), Before::There), None);
    assert_eq!(of_group("Eng", Some("eng"), Before::There), renamed(true));
    assert_eq!(of_group("Eng", None, Before::Never), None);
    assert_eq!(of_group("Eng", None, Before::Vanished).map(|found| found.class), Some(Class::Vanished));
    for (known_as, login, found) in [
        (None, Some("ada"), None),
        (Some("ada"), None, None),
        (Some("ada"), Some(" Ada"), None),
        (Some("ada"), Some("countess"), renamed(false)),
    ] {
        assert_eq!(of_login(known_as, login), found, "{known_as:?} {login:?}");
    }
}

#[test]
fn words_read_back() {
    for class in Class::ALL {
        assert_eq!(Class::parse(class.as_str()), Some(class));
        assert_eq!(serde_json::json!(class), class.as_str());
    }
    for action in [Action::Report, Action::Repair, Action::Dismissed] {
        assert_eq!(serde_json::json!(action), action.as_str());
    }
}
