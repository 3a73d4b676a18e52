//! What a connector declares of calls whose answer is lost ([`crate::Repeats`]).

use crate::account::{AccountChange, AccountRef};
use crate::fault::{Effect, Fault};
use crate::group::GroupChange;
use crate::id::RemoteId;
use crate::kit::stage::{Act, Stage, Which, against, creates_accounts, reference, serves_groups};
use crate::kit::{Case, Outcome, Verdict, case};
use crate::outcome::Membership;
use crate::traits::{Repeatable, Traits};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(changes_roles, a_lost_change_of_a_role_ends_as_declared),
        case!(serves_groups, a_lost_renaming_ends_as_declared),
        case!(changes_members, lost_changes_of_members_end_as_declared),
        case!(tidies, a_lost_tidying_may_be_repeated),
    ]
}

const ASKS: &str = "it declares that neither a repetition nor a look is possible, so a person is asked";

fn changes_roles(traits: &Traits) -> Result<(), &'static str> {
    creates_accounts(traits)?;
    match (traits.writable.contains(&"roles") && traits.roles.len() > 1, traits.repeats.update) {
        (false, _) => Err("its roles cannot be written"),
        (true, Repeatable::Neither) => Err(ASKS),
        (true, _) => Ok(()),
    }
}

fn changes_members(traits: &Traits) -> Result<(), &'static str> {
    serves_groups(traits)?;
    if traits.repeats.change_members == Repeatable::Neither { Err(ASKS) } else { Ok(()) }
}

fn tidies(traits: &Traits) -> Result<(), &'static str> {
    serves_groups(traits)?;
    match (traits.tidy_created_groups, traits.repeats.tidy_group) {
        (false, _) => Err("its groups need no tidying"),
        (true, Repeatable::Idempotent) => Ok(()),
        (true, _) => Err(ASKS),
    }
}

/// That the answer of the write ordered to lose its answer was lost.
fn was_lost<T: std::fmt::Debug>(stage: &Stage, answer: Result<T, Fault>) -> Result<(), String> {
    match answer {
        Err(fault) if fault.effect == Effect::Unknown => {}
        other => return against("a lost answer's effect is unknown", other),
    }
    if stage.calm() { Err("the call wrote nothing".to_owned()) } else { Ok(()) }
}

async fn a_lost_change_of_a_role_ends_as_declared(stage: &Stage) -> Outcome {
    let account = stage.people(1).await?.remove(0);
    let at = reference(&account)?;
    let Some(role) =
        stage.traits().roles.iter().map(|role| role.value).find(|role| account.role.as_deref() != Some(role))
    else {
        return Ok(Verdict::Skipped("the account has its only role".to_owned()));
    };
    let change = AccountChange { role: Some(role.to_owned()), ..AccountChange::default() };
    stage.order(Which::Writes, Act::DropAfter, 1);
    was_lost(stage, stage.hear(stage.accounts()?.update(&stage.cx(), &at, &change).await))?;
    let shown = match stage.traits().repeats.update {
        Repeatable::Idempotent => {
            if let Err(fault) = stage.hear(stage.accounts()?.update(&stage.cx(), &at, &change).await) {
                return against("the repetition succeeds", fault);
            }
            stage.hear(stage.accounts()?.get(&stage.cx(), &at).await)
        }
        _ => stage.hear(stage.accounts()?.get(&stage.cx(), &at).await),
    };
    match shown {
        Ok(Some(shown)) if shown.role.as_deref() == Some(role) => Ok(Verdict::Passed),
        other => against("the account shows what the lost call did", other),
    }
}

async fn a_lost_renaming_ends_as_declared(stage: &Stage) -> Outcome {
    if stage.traits().repeats.update_group == Repeatable::Neither {
        return Ok(Verdict::Skipped(ASKS.to_owned()));
    }
    let group = stage.group("Kit Lost").await?;
    let change = GroupChange { name: Some("Kit Found".to_owned()) };
    stage.order(Which::Writes, Act::DropAfter, 1);
    was_lost(stage, stage.hear(stage.groups()?.update(&stage.cx(), &group.id, &change).await))?;
    if stage.traits().repeats.update_group == Repeatable::Idempotent
        && let Err(fault) = stage.hear(stage.groups()?.update(&stage.cx(), &group.id, &change).await)
    {
        return against("the repetition succeeds", fault);
    }
    match stage.hear(stage.groups()?.get(&stage.cx(), &group.id).await) {
        Ok(Some(shown)) if shown.name == "Kit Found" => {}
        other => return against("the group shows what the lost call did", other),
    }
    match stage.groups_at_target("Kit Found").await?.as_slice() {
        [_] => Ok(Verdict::Passed),
        other => against("there is one group of that name", other),
    }
}

async fn lost_changes_of_members_end_as_declared(stage: &Stage) -> Outcome {
    let people = [reference(&stage.people(1).await?.remove(0))?];
    let group = stage.group("Kit Lost").await?;
    for (add, remove, want) in [(&people[..], &[][..], 1), (&[][..], &people[..], 0)] {
        lose_members(stage, &group.id, add, remove).await?;
        let members = stage.members(&group.id).await?;
        if members.len() != want {
            return against(&format!("the group shows {want} member after the lost call"), members);
        }
    }
    Ok(Verdict::Passed)
}

async fn lose_members(stage: &Stage, id: &RemoteId, add: &[AccountRef], remove: &[AccountRef]) -> Result<(), String> {
    stage.order(Which::Writes, Act::DropAfter, 1);
    let answer = stage.change(id, add, remove).await?.remove(0);
    was_lost(stage, answer)?;
    if stage.traits().repeats.change_members == Repeatable::Idempotent {
        let want = if add.is_empty() { Membership::Absent } else { Membership::Present };
        match stage.change(id, add, remove).await?.remove(0) {
            Ok(answer) if answer == want => {}
            other => return against("the repetition succeeds", other),
        }
    }
    Ok(())
}

async fn a_lost_tidying_may_be_repeated(stage: &Stage) -> Outcome {
    let created = match stage.create_group("Kit Lost").await {
        Ok(crate::outcome::GroupCreated::Done(group)) => group,
        other => return against("a new group is created", other),
    };
    stage.order(Which::Writes, Act::DropAfter, 1);
    let lost = stage.hear(stage.groups()?.tidy(&stage.cx(), &created.id).await);
    was_lost(stage, lost)?;
    if let Err(fault) = stage.hear(stage.groups()?.tidy(&stage.cx(), &created.id).await) {
        return against("the repetition succeeds", fault);
    }
    let members = stage.members(&created.id).await?;
    if members.is_empty() { Ok(Verdict::Passed) } else { against("nobody is left in the group", members) }
}
