//! The part of the contract that can be held against the real target: reading, and with leave, writing
//! with things of the check's own that are removed again.
//!
//! A real target is not reset between cases and loses no answers on order, so this shows that the
//! connector understands what the vendor really sends; what it does in trouble shows the kit.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use crate::account::{Account, AccountRef, Person};
use crate::fault::{Effect, Fault};
use crate::group::{GroupChange, RemoteGroup};
use crate::id::RemoteId;
use crate::kit::stage::{Stage, against, reference};
use crate::kit::{Calls, Subject, guarded, words};
use crate::outcome::{Created, GroupCreated, GroupUpdated, Removed, Updated};
use crate::traits::{Kind, Suspend};

/// What came of one promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// As promised, and what was seen.
    Kept(String),
    /// It could not be looked at, and why.
    Skipped(String),
    /// Against the contract, and what was seen.
    Broken(String),
}

/// One promise and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The promise, as a name.
    pub promise: &'static str,
    /// What came of it.
    pub found: Found,
}

/// What the check may make and has to remove.
#[derive(Clone, Debug)]
pub struct Own {
    /// The name of its group.
    pub group: String,
    /// Its person; `None`: no account is created, for an invitation goes to a real mailbox.
    pub person: Option<Person>,
}

type Seen = Result<Found, String>;

fn kept(what: impl Into<String>) -> Seen {
    Ok(Found::Kept(what.into()))
}

fn skipped(why: impl Into<String>) -> Seen {
    Ok(Found::Skipped(why.into()))
}

struct Lines(Vec<Line>);

impl Lines {
    fn add(&mut self, promise: &'static str, seen: Seen) {
        self.0.push(Line { promise, found: seen.unwrap_or_else(Found::Broken) });
    }
}

/// Reads of the real target. Writes nothing.
pub async fn read(subject: Subject, stranger: &Person) -> Vec<Line> {
    let stage = Stage::new(subject);
    let mut lines = Lines(Vec::new());
    lines.add("the_credential_is_as_needed", probe(&stage).await);
    if stage.subject().connector.accounts().is_some() {
        let all = stage.everyone().await;
        lines.add("all_accounts_are_listed_once", accounts_once(all.as_deref()));
        let all = all.unwrap_or_default();
        lines.add("a_listed_account_can_be_read", account_read(&stage, &all).await);
        lines.add("the_credentials_own_account_is_protected", own_protected(&stage, &all));
        lines.add("the_invitations_are_listed", invitations(&stage).await);
        lines.add("a_stranger_is_not_found", nobody(&stage, stranger).await);
    }
    if stage.subject().connector.groups().is_some() {
        let all = stage.all_groups().await;
        lines.add("all_groups_are_listed_once", groups_once(all.as_deref()));
        let all = all.unwrap_or_default();
        lines.add("a_listed_group_can_be_read", group_read(&stage, &all).await);
        lines.add("a_listed_group_is_found_by_its_name", group_found(&stage, &all).await);
        lines.add("the_members_of_a_group_are_listed", members(&stage, &all).await);
    }
    lines.add("a_check_that_reads_writes_nothing", wrote_nothing(&stage));
    whole_run(&stage, &mut lines);
    lines.0
}

/// Writes at the real target with a group and a person of its own, both removed again, however it ends:
/// when `stop` is ready, what was made until then is removed too.
pub async fn write(subject: Subject, own: &Own, stop: impl Future<Output = ()>) -> Vec<Line> {
    let stage = Stage::new(subject);
    let mut lines = Lines(Vec::new());
    let mut made = Made::default();
    let ended = {
        // A panic must not keep what was made from being removed.
        let mut work = pin!(guarded(Box::pin(async {
            let seen = group_life(&stage, own, &mut made).await;
            lines.add("a_group_is_made_found_renamed_and_removed", seen);
            let seen = person_life(&stage, own, &mut made).await;
            lines.add("a_person_is_made_found_and_removed", seen);
            Ok(crate::kit::Verdict::Passed)
        })));
        let mut stop = pin!(stop);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(panic)) => Poll::Ready(Err(format!("it panicked: {}", words(panic.as_ref())))),
            Poll::Pending if stop.as_mut().poll(cx).is_ready() => Poll::Ready(Err("it was stopped".to_owned())),
            Poll::Pending => Poll::Pending,
        })
        .await
    };
    if let Err(why) = ended {
        lines.add("the_check_came_to_its_end", Err(why));
    }
    lines.add("nothing_of_the_check_is_left", clean(&stage, own, &made).await);
    whole_run(&stage, &mut lines);
    lines.0
}

/// What was, or may have been, made.
#[derive(Debug, Default)]
struct Made {
    /// Whether a group of the check's name can only be the check's.
    group: bool,
    groups: Vec<RemoteId>,
    /// Whether a person of the check's name can only be the check's.
    person: bool,
    people: Vec<AccountRef>,
}

async fn probe(stage: &Stage) -> Seen {
    match stage.hear(stage.subject().connector.probe(&stage.cx()).await) {
        Ok(probe) if probe.ok() => kept(format!(
            "{}; {} checks",
            probe.identity.as_deref().unwrap_or("the target does not say whose it is"),
            probe.checks.len()
        )),
        Ok(probe) => {
            let bad = probe.checks.iter().filter(|check| !check.ok);
            Err(bad.map(|check| format!("{}: {}", check.name, check.detail)).collect::<Vec<_>>().join("; "))
        }
        Err(fault) => against("the probe answers", fault),
    }
}

fn once<T>(what: &str, all: Result<&[T], &String>, id: impl Fn(&T) -> Result<String, String>) -> Seen {
    let all = all.map_err(Clone::clone)?;
    let mut seen = BTreeSet::new();
    for item in all {
        let id = id(item)?;
        if !seen.insert(id.clone()) {
            return against(&format!("{what} are listed once"), id);
        }
    }
    kept(format!("{} {what}", all.len()))
}

fn accounts_once(all: Result<&[Account], &String>) -> Seen {
    once("accounts", all, |account| Ok(reference(account)?.id().to_owned()))
}

fn groups_once(all: Result<&[RemoteGroup], &String>) -> Seen {
    once("groups", all, |group| Ok(group.id.as_str().to_owned()))
}

async fn account_read(stage: &Stage, all: &[Account]) -> Seen {
    let Some(first) = all.first() else { return skipped("there is no account") };
    let at = reference(first)?;
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(Some(one)) if one.remote_id == first.remote_id => kept(format!("account {}", at.id())),
        other => against("a listed account is read under its id", other),
    }
}

fn own_protected(stage: &Stage, all: &[Account]) -> Seen {
    let own = all.iter().filter(|account| account.protected).count();
    match (stage.traits().kind, own) {
        (Kind::Group, _) => skipped("it removes nobody"),
        (_, 0) => skipped("no listed account is protected: right only if the credential belongs to none of them"),
        (_, count) => kept(format!("{count} protected")),
    }
}

async fn invitations(stage: &Stage) -> Seen {
    if !stage.traits().invites {
        return skipped("it does not invite");
    }
    stage.pending().await.and_then(|all| kept(format!("{} pending", all.len())))
}

async fn nobody(stage: &Stage, stranger: &Person) -> Seen {
    match stage.find(stranger).await?.as_slice() {
        [] => kept(format!("nobody is {}", stranger.user_name)),
        some => against("find guesses nobody", some),
    }
}

async fn group_read(stage: &Stage, all: &[RemoteGroup]) -> Seen {
    let Some(first) = all.first() else { return skipped("there is no group") };
    match stage.hear(stage.groups()?.get(&stage.cx(), &first.id).await) {
        Ok(Some(one)) if one.id == first.id && one.name == first.name => kept(format!("group {}", first.id)),
        other => against("a listed group is read under its id", other),
    }
}

async fn group_found(stage: &Stage, all: &[RemoteGroup]) -> Seen {
    let Some(first) = all.first() else { return skipped("there is no group") };
    let found = stage.hear(stage.groups()?.find(&stage.cx(), &first.name).await);
    match found {
        Ok(some) if some.iter().any(|group| group.id == first.id) => kept(format!("{:?}", first.name)),
        other => against(&format!("the group {:?} is found by its name", first.name), other),
    }
}

async fn members(stage: &Stage, all: &[RemoteGroup]) -> Seen {
    let Some(first) = all.first() else { return skipped("there is no group") };
    let members = stage.members(&first.id).await?;
    once("members", Ok(&members), |member| Ok(member.account.id().to_owned()))
}

fn wrote_nothing(stage: &Stage) -> Seen {
    let sent = stage.sent();
    match sent.iter().find(|sent| sent.write) {
        Some(write) => against("nothing is written", write),
        None => kept(format!("{} calls", sent.len())),
    }
}

/// What holds of all calls together.
fn whole_run(stage: &Stage, lines: &mut Lines) {
    lines.add("every_call_is_charged_by_the_tariff", stage.all_charged().and_then(|()| kept("")));
    lines.add("no_secret_is_shown", stage.no_leak().and_then(|()| kept("")));
    let mut calls = Calls::default();
    stage.calls(&mut calls);
    let undeclared = calls.undeclared();
    lines.add(crate::kit::DECLARED, if undeclared.is_empty() { kept("") } else { Err(undeclared) });
}

/// Whether a write may have happened though it failed.
fn doubtful<T>(answer: &Result<T, Fault>) -> bool {
    answer.as_ref().is_err_and(|fault| fault.effect == Effect::Unknown)
}

fn is<T: PartialEq + Debug>(promise: &str, answer: Result<T, Fault>, wanted: T) -> Result<(), String> {
    if answer.as_ref() == Ok(&wanted) { Ok(()) } else { against(promise, answer) }
}

async fn group_life(stage: &Stage, own: &Own, made: &mut Made) -> Seen {
    let Ok(groups) = stage.groups() else { return skipped("it serves accounts only") };
    let name = own.group.as_str();
    let there = stage.hear(groups.find(&stage.cx(), name).await).or_else(|fault| against("find answers", fault))?;
    if !there.is_empty() {
        return Err(format!("there is a group {name:?} already; it is not the check's, and it was not touched"));
    }
    made.group = true;
    let group = match stage.create_group(name).await {
        Ok(GroupCreated::Done(group)) => group,
        other => return against("a new group is created", other),
    };
    made.groups.push(group.id.clone());
    if stage.traits().tidy_created_groups {
        is("a new group is made ready", stage.hear(groups.tidy(&stage.cx(), &group.id).await), ())?;
    }
    match stage.create_group(name).await {
        Ok(GroupCreated::AlreadyThere(there)) if there.id == group.id => {}
        other => return against("creating it again answers AlreadyThere with the id", other),
    }
    let renamed = format!("{name} renamed");
    let change = GroupChange { name: Some(renamed.clone()) };
    match stage.hear(groups.update(&stage.cx(), &group.id, &change).await) {
        Ok(GroupUpdated::Done(shown)) if shown.id == group.id && shown.name == renamed => {}
        other => return against("a renamed group keeps its id", other),
    }
    match stage.hear(groups.get(&stage.cx(), &group.id).await) {
        Ok(Some(shown)) if shown.name == renamed => {}
        other => return against("the new name can be read", other),
    }
    is("the group is removed", stage.hear(groups.remove(&stage.cx(), &group.id).await), Removed::Done)?;
    is("removing it again says so", stage.hear(groups.remove(&stage.cx(), &group.id).await), Removed::AlreadyGone)?;
    kept(format!("{name:?}, id {}", group.id))
}

async fn person_life(stage: &Stage, own: &Own, made: &mut Made) -> Seen {
    let Some(who) = &own.person else { return skipped("no person was named for it") };
    if stage.traits().kind == Kind::Group {
        return skipped("it serves groups only");
    }
    let accounts = stage.accounts()?;
    if let Some(found) = stage.find(who).await?.first() {
        return against("nobody has the check's name yet; who has it was not touched", found);
    }
    made.person = true;
    let account = stage.created(who).await?;
    let at = reference(&account)?;
    made.people.push(at.clone());
    match stage.find(who).await?.as_slice() {
        [one] if reference(&one.account).is_ok_and(|found| found.id() == at.id()) => {}
        other => return against("a created person is found once, by the same id", other),
    }
    match stage.create(who).await {
        Ok(Created::AlreadyThere(_)) => {}
        other => return against("creating again answers AlreadyThere", other),
    }
    if stage.traits().suspend == Suspend::Native && matches!(at, AccountRef::Account { .. }) {
        for active in [false, true] {
            match stage.hear(accounts.set_active(&stage.cx(), &at, active).await) {
                Ok(Updated::Done(_)) => {}
                other => return against("an account is suspended and restored", other),
            }
        }
    }
    is("the person is removed", stage.hear(accounts.remove(&stage.cx(), &at).await), Removed::Done)?;
    is("removing again says so", stage.hear(accounts.remove(&stage.cx(), &at).await), Removed::AlreadyGone)?;
    kept(format!("{}, {}", who.user_name, at.id()))
}

/// Removes what is still there of what was made, and says what could not be removed.
async fn clean(stage: &Stage, own: &Own, made: &Made) -> Seen {
    let mut left = Vec::new();
    if let Ok(groups) = stage.groups() {
        let mut ids = made.groups.clone();
        if made.group {
            // Also one whose creation nobody heard the answer of.
            for name in [own.group.clone(), format!("{} renamed", own.group)] {
                match stage.hear(groups.find(&stage.cx(), &name).await) {
                    Ok(found) => ids.extend(found.into_iter().map(|group| group.id)),
                    Err(fault) => left.push(format!("whether there is a group {name:?}: {fault}")),
                }
            }
        }
        ids.sort();
        ids.dedup();
        for id in ids {
            let mut answer = stage.hear(groups.remove(&stage.cx(), &id).await);
            if doubtful(&answer) {
                answer = stage.hear(groups.remove(&stage.cx(), &id).await);
            }
            if let Err(fault) = answer {
                left.push(format!("the group {id}: {fault}"));
            }
        }
    }
    if let (Ok(accounts), Some(who)) = (stage.accounts(), &own.person) {
        let mut refs = made.people.clone();
        if made.person {
            match stage.find(who).await {
                Ok(found) => refs.extend(found.iter().filter_map(|found| found.account.reference())),
                Err(why) => left.push(format!("whether {} is there: {why}", who.user_name)),
            }
        }
        refs.sort_by(|one, other| one.id().cmp(other.id()));
        refs.dedup_by(|one, other| one.id() == other.id());
        for at in refs {
            let mut answer = stage.hear(accounts.remove(&stage.cx(), &at).await);
            if doubtful(&answer) {
                answer = stage.hear(accounts.remove(&stage.cx(), &at).await);
            }
            if let Err(fault) = answer {
                left.push(format!("{} ({}): {fault}", who.user_name, at.id()));
            }
        }
    }
    if left.is_empty() { kept("") } else { Err(format!("remove by hand: {}", left.join("; "))) }
}
