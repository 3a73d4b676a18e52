use super::*;
use proptest::prelude::*;

const HAVE: [Have; 4] = [Have::Unknown, Have::No, Have::Yes, Have::Pending];
const LINK: [Link; 4] = [Link::None, Link::Invited, Link::Active, Link::Suspended];
const BOTH: [bool; 2] = [false, true];

/// Every view there is: 2^5 * 4 * 4.
fn every_view() -> impl Iterator<Item = MemberView> {
    (0..512usize).map(|n| MemberView {
        want: BOTH[n & 1],
        user_wanted: BOTH[n >> 1 & 1],
        removal_takes_memberships: BOTH[n >> 2 & 1],
        pending_members: BOTH[n >> 3 & 1],
        group_ready: BOTH[n >> 4 & 1],
        have: HAVE[n >> 5 & 3],
        link: LINK[n >> 7 & 3],
    })
}

fn view() -> MemberView {
    MemberView {
        want: true,
        have: Have::No,
        user_wanted: true,
        link: Link::Active,
        removal_takes_memberships: false,
        pending_members: false,
        group_ready: true,
    }
}

fn check(view: MemberView, want: MemberStep) {
    assert_eq!(member_step(&view), want, "{view:?}");
}

#[test]
fn an_effective_wish_is_added_or_waits_for_what_is_missing() {
    use MemberStep::{Add, Park, Settled};
    for link in [Link::Active, Link::Suspended] {
        let v = MemberView { link, ..view() };
        check(v, Add);
        for have in [Have::Unknown, Have::Pending] {
            check(MemberView { have, ..v }, Add);
        }
        check(MemberView { have: Have::Yes, ..v }, Settled);
        check(MemberView { group_ready: false, ..v }, Park(ParkReason::GroupMissing));
    }
    for have in HAVE {
        let v = MemberView { have, ..view() };
        check(MemberView { link: Link::None, ..v }, Park(ParkReason::NoAccount));
        let invited = MemberView { link: Link::Invited, ..v };
        check(invited, Park(ParkReason::Invited));
        let known = matches!(have, Have::Yes | Have::Pending);
        check(MemberView { pending_members: true, ..invited }, if known { Settled } else { Add });
    }
}

#[test]
fn a_wish_without_effect_is_taken_back_at_the_target_and_kept_in_the_directory() {
    use MemberStep::{Forget, Park, Remove, Settled};
    let inactive = Park(ParkReason::Inactive);
    for (want, user_wanted) in [(true, false), (false, true), (false, false)] {
        let rest = if want { inactive } else { Forget };
        let v = MemberView { want, user_wanted, ..view() };
        check(v, rest);
        for have in [Have::Unknown, Have::Yes, Have::Pending] {
            let v = MemberView { have, ..v };
            check(v, Remove);
            check(MemberView { link: Link::None, ..v }, rest);
            let taken = MemberView { removal_takes_memberships: true, ..v };
            check(
                taken,
                match (want, user_wanted) {
                    (true, _) => inactive,
                    (false, true) => Remove,
                    (false, false) => Settled,
                },
            );
        }
    }
}

#[test]
fn a_removal_does_not_wait_for_the_group_to_be_ready() {
    check(MemberView { want: false, have: Have::Yes, group_ready: false, ..view() }, MemberStep::Remove);
}

#[test]
fn nobody_is_added_who_is_not_wanted_or_has_nothing_to_be_added() {
    for v in every_view() {
        match member_step(&v) {
            MemberStep::Add => assert!(v.want && v.user_wanted && v.link != Link::None && v.group_ready, "{v:?}"),
            MemberStep::Remove => {
                assert!(!(v.want && v.user_wanted) && v.have != Have::No, "{v:?}")
            }
            MemberStep::Forget => assert!(!v.want, "{v:?}"),
            MemberStep::Park(_) => assert!(v.want, "{v:?}"),
            MemberStep::Settled => {}
        }
    }
}

/// What an ideal target knows after the step.
fn obey(v: &mut MemberView, step: MemberStep) {
    match step {
        MemberStep::Add if v.link == Link::Invited => v.have = Have::Pending,
        MemberStep::Add => v.have = Have::Yes,
        MemberStep::Remove => v.have = Have::No,
        MemberStep::Park(_) | MemberStep::Settled | MemberStep::Forget => {}
    }
}

#[test]
fn every_view_rests_after_one_call_and_rests_right() {
    for start in every_view() {
        let mut v = start;
        let first = member_step(&v);
        obey(&mut v, first);
        let second = member_step(&v);
        assert!(!matches!(second, MemberStep::Add | MemberStep::Remove), "{start:?}: {first:?}, then {second:?}");
        let effective = v.want && v.user_wanted;
        let can = match v.link {
            Link::None => false,
            Link::Invited => v.pending_members,
            Link::Active | Link::Suspended => true,
        };
        if effective && can && v.group_ready {
            assert!(matches!(v.have, Have::Yes | Have::Pending), "{start:?}");
        }
        let taken = !v.user_wanted && v.removal_takes_memberships;
        if !effective && v.link != Link::None && !taken {
            assert_eq!(v.have, Have::No, "{start:?}");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Want(bool),
    User(bool),
    Accept,
    Group(bool),
    Foreign(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        any::<bool>().prop_map(Event::Want),
        any::<bool>().prop_map(Event::User),
        Just(Event::Accept),
        any::<bool>().prop_map(Event::Group),
        any::<bool>().prop_map(Event::Foreign),
    ]
}

/// A target in which the account comes with an invitation, goes when the user is not wanted any
/// more, and takes its memberships along.
#[derive(Debug)]
struct Model {
    view: MemberView,
    member: bool,
}

impl Model {
    fn drive(&mut self) {
        for _ in 0..4 {
            let step = member_step(&self.view);
            match step {
                MemberStep::Add | MemberStep::Remove => {
                    obey(&mut self.view, step);
                    self.member = step == MemberStep::Add;
                }
                _ => return,
            }
        }
        panic!("does not rest: {self:?}");
    }

    fn happen(&mut self, event: Event) {
        let v = &mut self.view;
        match event {
            Event::Want(want) => v.want = want,
            Event::User(wanted) => {
                v.user_wanted = wanted;
                v.removal_takes_memberships = !wanted;
                if wanted && v.link == Link::None {
                    v.link = Link::Invited;
                }
            }
            Event::Accept => {
                if v.link == Link::Invited {
                    v.link = Link::Active;
                }
            }
            Event::Group(ready) => {
                v.group_ready = ready;
                if !ready {
                    v.have = Have::No;
                    self.member = false;
                }
            }
            Event::Foreign(member) => {
                if v.link == Link::Active && v.group_ready {
                    self.member = member;
                    v.have = if member { Have::Yes } else { Have::No };
                }
            }
        }
        self.drive();
        if !self.view.user_wanted {
            // The account's removal comes after the memberships' steps and takes what is left.
            self.view.link = Link::None;
            self.view.have = Have::No;
            self.member = false;
            self.drive();
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_target_ends_as_the_directory_wants(
        events in prop::collection::vec(event(), 0..40), pending_members: bool,
    ) {
        let mut model = Model {
            view: MemberView { want: false, link: Link::None, user_wanted: false,
                pending_members, group_ready: false, ..view() },
            member: false,
        };
        for event in events {
            model.happen(event);
            let v = model.view;
            let can = v.link == Link::Active || (v.link == Link::Invited && pending_members);
            prop_assert_eq!(model.member, v.want && v.user_wanted && can && v.group_ready, "{:?}", model);
        }
    }
}

#[test]
fn words_of_reasons_read_back() {
    for reason in ParkReason::ALL {
        assert_eq!(ParkReason::parse(reason.as_str()), Some(reason));
    }
    assert_eq!(ParkReason::parse("gone"), None);
}
