//! Creating, finding, renaming and removing groups.

use crate::fault::{Effect, FaultKind};
use crate::group::GroupChange;
use crate::kit::stage::{Act, Stage, Which, against, serves_groups};
use crate::kit::{Case, Outcome, Verdict, case};
use crate::outcome::{GroupCreated, GroupUpdated, Removed};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(serves_groups, a_created_group_is_found),
        case!(serves_groups, creating_a_group_twice_answers_already_there),
        case!(serves_groups, renaming_keeps_the_id_and_twice_is_once),
        case!(serves_groups, a_taken_name_is_refused),
        case!(serves_groups, removing_an_absent_group_succeeds),
        case!(serves_groups, renaming_an_absent_group_says_so),
        case!(serves_groups, a_lost_group_creation_makes_no_duplicate),
        case!(serves_groups, a_group_creation_that_was_not_sent_made_none),
        case!(serves_groups, a_lost_group_removal_is_unknown_and_repeatable),
    ]
}

const NAME: &str = "Kit Platform";

async fn a_created_group_is_found(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    if group.name != NAME {
        return against("a created group has its name", group);
    }
    for name in [NAME, "kit platform"] {
        let found = stage
            .hear(stage.groups()?.find(&stage.cx(), name).await)
            .or_else(|fault| against("find answers", fault))?;
        match found.as_slice() {
            [one] if one.id == group.id => {}
            other => return against("a created group is found once, without case", other),
        }
    }
    let strangers = stage
        .hear(stage.groups()?.find(&stage.cx(), "Kit Plat").await)
        .or_else(|fault| against("find answers", fault))?;
    if !strangers.is_empty() {
        return against("find compares whole names", strangers);
    }
    match stage.hear(stage.groups()?.get(&stage.cx(), &group.id).await) {
        Ok(Some(shown)) if shown.id == group.id && shown.name == NAME => Ok(Verdict::Passed),
        other => against("a created group can be read", other),
    }
}

async fn creating_a_group_twice_answers_already_there(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    let before = stage.state().await?;
    match stage.create_group(NAME).await {
        Ok(GroupCreated::AlreadyThere(there)) if there.id == group.id => {}
        other => {
            return against("the second creation answers AlreadyThere with the id", other);
        }
    }
    // Another case of the name: the same group or a clash, but never a second one.
    match stage.create_group("KIT PLATFORM").await {
        Ok(GroupCreated::AlreadyThere(there)) if there.id == group.id => {}
        Err(fault) if fault.kind == FaultKind::NameTaken => {}
        other => return against("a name that differs in case alone makes no second", other),
    }
    if stage.state().await? != before {
        return against("the second creation changes nothing", stage.state().await?);
    }
    Ok(Verdict::Passed)
}

async fn renaming_keeps_the_id_and_twice_is_once(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    let change = GroupChange { name: Some("Kit Renamed".to_owned()) };
    let mut states = Vec::new();
    for _ in 0..2 {
        match stage.hear(stage.groups()?.update(&stage.cx(), &group.id, &change).await) {
            Ok(GroupUpdated::Done(shown)) if shown.id == group.id && shown.name == "Kit Renamed" => {}
            other => return against("a renamed group keeps its id", other),
        }
        states.push(stage.state().await?);
    }
    if states.first() != states.last() {
        return against("the second renaming changes nothing", states);
    }
    let (new, old) = (stage.groups_at_target("Kit Renamed").await?, stage.groups_at_target(NAME).await?);
    if new.len() != 1 || !old.is_empty() {
        return against("the group is at the target under its new name", (new, old));
    }
    match stage.hear(stage.groups()?.get(&stage.cx(), &group.id).await) {
        Ok(Some(shown)) if shown.name == "Kit Renamed" => Ok(Verdict::Passed),
        other => against("the renamed group is read by its id", other),
    }
}

async fn a_taken_name_is_refused(stage: &Stage) -> Outcome {
    let one = stage.group(NAME).await?;
    stage.group("Kit Other").await?;
    let before = stage.state().await?;
    let change = GroupChange { name: Some("Kit Other".to_owned()) };
    match stage.hear(stage.groups()?.update(&stage.cx(), &one.id, &change).await) {
        Err(fault) if fault.kind == FaultKind::NameTaken => {}
        other => return against("renaming to a taken name is NameTaken", other),
    }
    if stage.state().await? != before {
        return against("a refused renaming changes nothing", stage.state().await?);
    }
    Ok(Verdict::Passed)
}

async fn removing_an_absent_group_succeeds(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    for wanted in [Removed::Done, Removed::AlreadyGone, Removed::AlreadyGone] {
        match stage.hear(stage.groups()?.remove(&stage.cx(), &group.id).await) {
            Ok(answer) if answer == wanted => {}
            other => return against(&format!("the removal answers {wanted:?}"), other),
        }
    }
    match stage.hear(stage.groups()?.get(&stage.cx(), &group.id).await) {
        Ok(None) => {}
        other => return against("a removed group is not there", other),
    }
    let left = stage.groups_at_target(NAME).await?;
    if !left.is_empty() {
        return against("the group is gone at the target", left);
    }
    Ok(Verdict::Passed)
}

async fn renaming_an_absent_group_says_so(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    stage
        .hear(stage.groups()?.remove(&stage.cx(), &group.id).await)
        .or_else(|fault| against("a group is removed", fault))?;
    let change = GroupChange { name: Some("Kit Renamed".to_owned()) };
    match stage.hear(stage.groups()?.update(&stage.cx(), &group.id, &change).await) {
        Ok(GroupUpdated::AlreadyGone) => Ok(Verdict::Passed),
        other => against("renaming an absent group answers AlreadyGone", other),
    }
}

async fn a_lost_group_creation_makes_no_duplicate(stage: &Stage) -> Outcome {
    stage.order(Which::Writes, Act::DropAfter, 1);
    match stage.create_group(NAME).await {
        Err(fault) if fault.effect == Effect::Unknown => {}
        other => return against("a lost answer's effect is unknown", other),
    }
    if stage.calm() {
        return Err("the creation wrote nothing".to_owned());
    }
    let found =
        stage.hear(stage.groups()?.find(&stage.cx(), NAME).await).or_else(|fault| against("find answers", fault))?;
    let [found] = found.as_slice() else {
        return against("find sees what the lost creation did, once", found);
    };
    match stage.create_group(NAME).await {
        Ok(GroupCreated::AlreadyThere(there)) if there.id == found.id => {}
        other => return against("creating again answers AlreadyThere", other),
    }
    let there = stage.groups_at_target(NAME).await?;
    if there.len() != 1 {
        return against("the group is at the target once", there);
    }
    Ok(Verdict::Passed)
}

async fn a_group_creation_that_was_not_sent_made_none(stage: &Stage) -> Outcome {
    stage.order(Which::Writes, Act::DropBefore, 1);
    match stage.create_group(NAME).await {
        Err(fault) if fault.kind == FaultKind::Unavailable => {}
        other => return against("a call that failed is a fault", other),
    }
    let there = stage.groups_at_target(NAME).await?;
    if !there.is_empty() {
        return against("no group is at the target", there);
    }
    stage.group(NAME).await.map(|_| Verdict::Passed)
}

async fn a_lost_group_removal_is_unknown_and_repeatable(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    stage.order(Which::Writes, Act::DropAfter, 1);
    match stage.hear(stage.groups()?.remove(&stage.cx(), &group.id).await) {
        Err(fault) if fault.effect == Effect::Unknown => {}
        other => return against("a lost removal's effect is unknown", other),
    }
    match stage.hear(stage.groups()?.remove(&stage.cx(), &group.id).await) {
        Ok(Removed::AlreadyGone) => Ok(Verdict::Passed),
        other => against("removing again answers AlreadyGone", other),
    }
}
