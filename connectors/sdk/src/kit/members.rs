//! Who is in a group.

use serde_json::Value;

use crate::account::AccountRef;
use crate::fault::{Effect, Fault, FaultKind};
use crate::group::RemoteGroup;
use crate::kit::stage::{Act, Stage, Which, against, reference, serves_groups};
use crate::kit::{Case, Outcome, Verdict, case};
use crate::outcome::Membership;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(serves_groups, a_new_group_has_no_members),
        case!(serves_groups, members_are_added_listed_and_removed),
        case!(serves_groups, adding_twice_is_present_and_once),
        case!(serves_groups, removing_an_absent_member_is_absent),
        case!(serves_groups, a_missing_group_is_not_found),
        case!(serves_groups, a_lost_addition_makes_no_duplicate),
        case!(serves_groups, a_lost_member_removal_is_unknown_and_repeatable),
    ]
}

const NAME: &str = "Kit Members";

async fn cast(stage: &Stage, count: usize) -> Result<(RemoteGroup, Vec<AccountRef>), String> {
    let people = stage.people(count).await?;
    let refs = people.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
    Ok((stage.group(NAME).await?, refs))
}

/// The ids of the group's members as the target's own state tells them, sorted.
async fn at_target(stage: &Stage) -> Result<Vec<String>, String> {
    let groups = stage.groups_at_target(NAME).await?;
    let [group] = groups.as_slice() else {
        return against("the group is at the target once", groups);
    };
    let mut ids: Vec<String> = group["members"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|member| match &member["id"] {
            Value::String(id) => id.clone(),
            other => other.to_string(),
        })
        .collect();
    ids.sort();
    Ok(ids)
}

fn sorted(refs: &[AccountRef]) -> Vec<String> {
    let mut ids: Vec<String> = refs.iter().map(|at| at.id().to_owned()).collect();
    ids.sort();
    ids
}

/// That the connector's listing and the target's state both show exactly these members.
async fn are(stage: &Stage, group: &RemoteGroup, wanted: &[AccountRef]) -> Result<(), String> {
    let listed: Vec<AccountRef> = stage.members(&group.id).await?.into_iter().map(|member| member.account).collect();
    if sorted(&listed) != sorted(wanted) {
        return against("the listing shows the members and nobody else", listed);
    }
    let there = at_target(stage).await?;
    if there != sorted(wanted) {
        return against("the members are at the target", there);
    }
    Ok(())
}

fn each(answers: &[Result<Membership, Fault>], wanted: &Membership, promise: &str) -> Result<(), String> {
    if answers.is_empty() || answers.iter().any(|answer| answer.as_ref() != Ok(wanted)) {
        return against(promise, answers);
    }
    Ok(())
}

async fn a_new_group_has_no_members(stage: &Stage) -> Outcome {
    let group = stage.group(NAME).await?;
    are(stage, &group, &[]).await?;
    if stage.traits().tidy_created_groups {
        stage
            .hear(stage.groups()?.tidy(&stage.cx(), &group.id).await)
            .or_else(|fault| against("making a group ready twice is once", fault))?;
        are(stage, &group, &[]).await?;
    }
    Ok(Verdict::Passed)
}

async fn members_are_added_listed_and_removed(stage: &Stage) -> Outcome {
    let (group, people) = cast(stage, 3).await?;
    let answers = stage.change(&group.id, &people, &[]).await?;
    each(&answers, &Membership::Present, "those who were added are Present")?;
    are(stage, &group, &people).await?;
    let answers = stage.change(&group.id, &[], &people[..1]).await?;
    each(&answers, &Membership::Absent, "one who was removed is Absent")?;
    are(stage, &group, &people[1..]).await?;
    Ok(Verdict::Passed)
}

async fn adding_twice_is_present_and_once(stage: &Stage) -> Outcome {
    let (group, people) = cast(stage, 1).await?;
    for _ in 0..2 {
        let answers = stage.change(&group.id, &people, &[]).await?;
        each(&answers, &Membership::Present, "a member is Present")?;
        are(stage, &group, &people).await?;
    }
    Ok(Verdict::Passed)
}

async fn removing_an_absent_member_is_absent(stage: &Stage) -> Outcome {
    let (group, people) = cast(stage, 2).await?;
    stage.change(&group.id, &people[..1], &[]).await?;
    let answers = stage.change(&group.id, &[], &people[1..]).await?;
    each(&answers, &Membership::Absent, "one who was no member is Absent")?;
    for _ in 0..2 {
        let answers = stage.change(&group.id, &[], &people[..1]).await?;
        each(&answers, &Membership::Absent, "one who was removed is Absent")?;
    }
    are(stage, &group, &[]).await?;
    Ok(Verdict::Passed)
}

async fn a_missing_group_is_not_found(stage: &Stage) -> Outcome {
    let (group, people) = cast(stage, 1).await?;
    stage
        .hear(stage.groups()?.remove(&stage.cx(), &group.id).await)
        .or_else(|fault| against("a group is removed", fault))?;
    match stage.hear(stage.groups()?.members(&stage.cx(), &group.id, None).await) {
        Err(fault) if fault.kind == FaultKind::NotFound => {}
        other => return against("the members of a missing group are NotFound", other),
    }
    let none: &[AccountRef] = &[];
    for (add, remove) in [(people.as_slice(), none), (none, people.as_slice())] {
        for answer in stage.change(&group.id, add, remove).await? {
            match answer {
                Err(fault) if fault.kind == FaultKind::NotFound => {}
                other => return against("a change of a missing group is NotFound", other),
            }
        }
    }
    Ok(Verdict::Passed)
}

async fn a_lost_addition_makes_no_duplicate(stage: &Stage) -> Outcome {
    let (group, people) = cast(stage, 1).await?;
    stage.order(Which::Writes, Act::DropAfter, 1);
    for answer in stage.change(&group.id, &people, &[]).await? {
        match answer {
            Err(fault) if fault.effect == Effect::Unknown => {}
            other => return against("a lost addition's effect is unknown", other),
        }
    }
    are(stage, &group, &people).await?;
    let answers = stage.change(&group.id, &people, &[]).await?;
    each(&answers, &Membership::Present, "adding again is Present")?;
    are(stage, &group, &people).await?;
    Ok(Verdict::Passed)
}

async fn a_lost_member_removal_is_unknown_and_repeatable(stage: &Stage) -> Outcome {
    let (group, people) = cast(stage, 1).await?;
    stage.change(&group.id, &people, &[]).await?;
    stage.order(Which::Writes, Act::DropAfter, 1);
    for answer in stage.change(&group.id, &[], &people).await? {
        match answer {
            Err(fault) if fault.effect == Effect::Unknown => {}
            other => return against("a lost removal's effect is unknown", other),
        }
    }
    let answers = stage.change(&group.id, &[], &people).await?;
    each(&answers, &Membership::Absent, "removing again is Absent")?;
    are(stage, &group, &[]).await?;
    Ok(Verdict::Passed)
}
