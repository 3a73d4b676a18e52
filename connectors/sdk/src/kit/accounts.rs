//! Creating, finding, changing and removing people.

use serde_json::Value;

use crate::account::{AccountChange, AccountRef, AccountStatus};
use crate::fault::{Effect, FaultKind};
use crate::kit::stage::{Act, Stage, Which, against, creates_accounts, reference};
use crate::kit::{Case, Outcome, Verdict, case};
use crate::outcome::{Created, Removed, Updated};
use crate::traits::{Removal, Repeatable, Suspend, Traits};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(creates_accounts, a_created_person_is_found),
        case!(creates_accounts, creating_twice_answers_already_there),
        case!(creates_accounts, creating_a_member_answers_already_there),
        case!(has_roles, changing_a_role_twice_is_once),
        case!(writes_names, changing_a_name_twice_is_once),
        case!(suspends, suspending_and_restoring_twice_is_once),
        case!(suspends, a_lost_suspension_ends_as_declared),
        case!(suspends_and_removes, suspending_an_absent_account_says_so),
        case!(creates_accounts, removing_an_absent_account_succeeds),
        case!(creates_accounts, a_lost_creation_makes_no_duplicate),
        case!(creates_accounts, a_creation_that_was_not_sent_made_nobody),
        case!(creates_accounts, a_lost_removal_is_unknown_and_repeatable),
        case!(has_own_account, a_protected_account_refuses_removal),
        case!(creates_accounts, a_stranger_is_not_found),
    ]
}

fn has_roles(traits: &Traits) -> Result<(), &'static str> {
    creates_accounts(traits)?;
    if traits.writable.contains(&"roles") && traits.roles.len() > 1 {
        Ok(())
    } else {
        Err("its roles cannot be written")
    }
}

fn has_own_account(traits: &Traits) -> Result<(), &'static str> {
    creates_accounts(traits)?;
    if traits.own_account { Ok(()) } else { Err("its credential is no account of the target") }
}

fn writes_names(traits: &Traits) -> Result<(), &'static str> {
    creates_accounts(traits)?;
    if traits.writable.contains(&"displayName") { Ok(()) } else { Err("its names cannot be written") }
}

fn suspends(traits: &Traits) -> Result<(), &'static str> {
    creates_accounts(traits)?;
    if traits.suspend == Suspend::Native { Ok(()) } else { Err("it cannot suspend: it removes") }
}

fn suspends_and_removes(traits: &Traits) -> Result<(), &'static str> {
    suspends(traits)?;
    if traits.removal == Removal::Gone { Ok(()) } else { Err("it deletes no accounts: removing one suspends it") }
}

async fn changing_a_name_twice_is_once(stage: &Stage) -> Outcome {
    let at = reference(&stage.people(1).await?.remove(0))?;
    let change = AccountChange { display_name: Some("Kit, the Second".to_owned()), ..AccountChange::default() };
    let mut states = Vec::new();
    for _ in 0..2 {
        match stage.hear(stage.accounts()?.update(&stage.cx(), &at, &change).await) {
            Ok(Updated::Done(shown)) if shown.display_name == change.display_name => {}
            other => return against("a changed name is shown", other),
        }
        states.push(stage.state().await?);
    }
    if states.first() != states.last() {
        return against("the second change changes nothing", states);
    }
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(Some(shown)) if shown.display_name == change.display_name => Ok(Verdict::Passed),
        other => against("a changed name can be read", other),
    }
}

/// That the account's status is this one, in a read and in the listing.
async fn stands(stage: &Stage, at: &AccountRef, status: AccountStatus) -> Result<(), String> {
    match stage.hear(stage.accounts()?.get(&stage.cx(), at).await) {
        Ok(Some(account)) if account.status == status => {}
        other => return against(&format!("the account reads as {status:?}"), other),
    }
    let all = stage.everyone().await?;
    let listed = all.iter().find(|one| one.reference().is_some_and(|one| one.id() == at.id()));
    match listed {
        Some(account) if account.status == status => Ok(()),
        other => against(&format!("the account is listed as {status:?}"), other),
    }
}

async fn suspending_and_restoring_twice_is_once(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    stage.created(&ada).await?;
    if stage.traits().invites {
        stage.subject().world.accept(&ada, None).await?;
    }
    let at = match stage.find(&ada).await?.as_slice() {
        [one] => reference(&one.account)?,
        other => return against("a created person is found", other),
    };
    for (active, status) in [(false, AccountStatus::Suspended), (true, AccountStatus::Active)] {
        let mut states = Vec::new();
        for _ in 0..2 {
            match stage.hear(stage.accounts()?.set_active(&stage.cx(), &at, active).await) {
                Ok(Updated::Done(shown)) if shown.status == status => {}
                other => return against(&format!("the account is {status:?}"), other),
            }
            states.push(stage.state().await?);
            stands(stage, &at, status).await?;
        }
        if states.first() != states.last() {
            return against("the second time changes nothing", states);
        }
        let found = stage.find(&ada).await?;
        match found.as_slice() {
            [one] if one.account.status == status => {}
            other => return against(&format!("find sees a person who is {status:?}"), other),
        }
        match stage.at_target(&ada).await?.as_slice() {
            [one] if one["active"] == active => {}
            other => return against(&format!("at the target the account is {status:?}"), other),
        }
    }
    Ok(Verdict::Passed)
}

async fn a_lost_suspension_ends_as_declared(stage: &Stage) -> Outcome {
    if stage.traits().repeats.set_active == Repeatable::Neither {
        return Ok(Verdict::Skipped("it declares that a person is asked".to_owned()));
    }
    let at = reference(&stage.people(1).await?.remove(0))?;
    for (active, status) in [(false, AccountStatus::Suspended), (true, AccountStatus::Active)] {
        stage.order(Which::Writes, Act::DropAfter, 1);
        match stage.hear(stage.accounts()?.set_active(&stage.cx(), &at, active).await) {
            Err(fault) if fault.effect == Effect::Unknown => {}
            other => return against("a lost answer's effect is unknown", other),
        }
        if stage.calm() {
            return Err("the call wrote nothing".to_owned());
        }
        if stage.traits().repeats.set_active == Repeatable::Idempotent
            && let Err(fault) = stage.hear(stage.accounts()?.set_active(&stage.cx(), &at, active).await)
        {
            return against("the repetition succeeds", fault);
        }
        stands(stage, &at, status).await?;
    }
    Ok(Verdict::Passed)
}

async fn suspending_an_absent_account_says_so(stage: &Stage) -> Outcome {
    if stage.traits().removal == Removal::Suspended {
        return Ok(Verdict::Skipped("a removed account stays, suspended".to_owned()));
    }
    let at = reference(&stage.people(1).await?.remove(0))?;
    stage
        .hear(stage.accounts()?.remove(&stage.cx(), &at).await)
        .or_else(|fault| against("an account is removed", fault))?;
    match stage.hear(stage.accounts()?.set_active(&stage.cx(), &at, false).await) {
        Ok(Updated::AlreadyGone) => Ok(Verdict::Passed),
        other => against("suspending an absent account answers AlreadyGone", other),
    }
}

async fn a_created_person_is_found(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    let account = stage.created(&ada).await?;
    let at = reference(&account)?;
    let found = stage.find(&ada).await?;
    match found.as_slice() {
        [one] if one.account.reference().map(|r| r.id().to_owned()) == Some(at.id().to_owned()) => {}
        other => return against("a created person is found once, by the same id", other),
    }
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(Some(_)) => {}
        other => return against("a created person can be read", other),
    }
    let there = stage.at_target(&ada).await?;
    if there.len() != 1 {
        return against("a created person is at the target once", there);
    }
    Ok(Verdict::Passed)
}

async fn creating_twice_answers_already_there(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    let first = reference(&stage.created(&ada).await?)?;
    let before = stage.state().await?;
    match stage.create(&ada).await {
        Ok(Created::AlreadyThere(found)) => {
            let second = reference(&found.account)?;
            if second.id() != first.id() {
                return against("the second creation names the id of the first", found);
            }
        }
        other => return against("the second creation answers AlreadyThere", other),
    }
    if stage.state().await? != before {
        return against("the second creation changes nothing", stage.state().await?);
    }
    Ok(Verdict::Passed)
}

async fn creating_a_member_answers_already_there(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    if stage.traits().invites {
        stage.created(&ada).await?;
        stage.subject().world.accept(&ada, None).await?;
    } else {
        stage.created(&ada).await?;
    }
    let before = stage.state().await?;
    match stage.create(&ada).await {
        Ok(Created::AlreadyThere(found)) if found.account.status == AccountStatus::Active => {}
        other => {
            return against("creating a member answers AlreadyThere with the account", other);
        }
    }
    if stage.state().await? != before {
        return against("creating a member changes nothing", stage.state().await?);
    }
    Ok(Verdict::Passed)
}

async fn changing_a_role_twice_is_once(stage: &Stage) -> Outcome {
    let account = stage.people(1).await?.remove(0);
    let at = reference(&account)?;
    let Some(role) =
        stage.traits().roles.iter().map(|role| role.value).find(|role| account.role.as_deref() != Some(role))
    else {
        return Ok(Verdict::Skipped("the account has its only role".to_owned()));
    };
    let change = AccountChange { role: Some(role.to_owned()), ..AccountChange::default() };
    let mut states = Vec::new();
    for _ in 0..2 {
        match stage.hear(stage.accounts()?.update(&stage.cx(), &at, &change).await) {
            Ok(Updated::Done(shown)) if shown.role.as_deref() == Some(role) => {}
            other => return against("a changed role is shown", other),
        }
        states.push(stage.state().await?);
    }
    if states.first() != states.last() {
        return against("the second change changes nothing", states);
    }
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(Some(shown)) if shown.role.as_deref() == Some(role) => Ok(Verdict::Passed),
        other => against("a changed role can be read", other),
    }
}

async fn removing_an_absent_account_succeeds(stage: &Stage) -> Outcome {
    let at = reference(&stage.people(1).await?.remove(0))?;
    for wanted in [Removed::Done, Removed::AlreadyGone, Removed::AlreadyGone] {
        match stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await) {
            Ok(answer) if answer == wanted => {}
            other => return against(&format!("the removal answers {wanted:?}"), other),
        }
    }
    let stays = stage.traits().removal == Removal::Suspended;
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(None) if !stays => {}
        Ok(Some(account)) if stays && account.status == AccountStatus::Suspended => {}
        other => return against("a removed account is not there, or suspended where it is declared", other),
    }
    let left = stage.state().await?["accounts"].clone();
    let has_access = |account: &Value| !stays || account["active"] != false;
    if left.as_array().is_none_or(|accounts| accounts.iter().any(has_access)) {
        return against("the account is gone at the target, or suspended where it is declared", left);
    }
    Ok(Verdict::Passed)
}

async fn a_lost_creation_makes_no_duplicate(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    stage.order(Which::Writes, Act::DropAfter, 1);
    match stage.create(&ada).await {
        Err(fault) if fault.effect == Effect::Unknown => {}
        other => return against("a lost answer's effect is unknown", other),
    }
    if stage.calm() {
        return Err("the creation wrote nothing".to_owned());
    }
    let found = stage.find(&ada).await?;
    if found.len() != 1 {
        return against("find sees what the lost creation did, once", found);
    }
    match stage.create(&ada).await {
        Ok(Created::AlreadyThere(_)) => {}
        other => return against("creating again answers AlreadyThere", other),
    }
    let there = stage.at_target(&ada).await?;
    if there.len() != 1 {
        return against("the person is at the target once", there);
    }
    Ok(Verdict::Passed)
}

async fn a_creation_that_was_not_sent_made_nobody(stage: &Stage) -> Outcome {
    let ada = stage.person("ada").await?;
    stage.order(Which::Writes, Act::DropBefore, 1);
    match stage.create(&ada).await {
        Err(fault) if fault.kind == FaultKind::Unavailable => {}
        other => return against("a call that failed is a fault", other),
    }
    let found = stage.find(&ada).await?;
    if !found.is_empty() {
        return against("nobody is found", found);
    }
    let there = stage.at_target(&ada).await?;
    if !there.is_empty() {
        return against("nobody is at the target", there);
    }
    stage.created(&ada).await.map(|_| Verdict::Passed)
}

async fn a_lost_removal_is_unknown_and_repeatable(stage: &Stage) -> Outcome {
    let at = reference(&stage.people(1).await?.remove(0))?;
    stage.order(Which::Writes, Act::DropAfter, 1);
    match stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await) {
        Err(fault) if fault.effect == Effect::Unknown => {}
        other => return against("a lost removal's effect is unknown", other),
    }
    match stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await) {
        Ok(Removed::AlreadyGone) => Ok(Verdict::Passed),
        other => against("removing again answers AlreadyGone", other),
    }
}

async fn a_protected_account_refuses_removal(stage: &Stage) -> Outcome {
    let all = stage.everyone().await?;
    let Some(own) = all.iter().find(|account| account.protected) else {
        return against("the credential's own account is marked as protected", all);
    };
    let at = reference(own)?;
    match stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await) {
        Err(fault) if fault.kind == FaultKind::Protected => {}
        other => return against("removing a protected account is Protected", other),
    }
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(Some(account)) if account.protected => Ok(Verdict::Passed),
        other => against("the protected account is there, and protected", other),
    }
}

async fn a_stranger_is_not_found(stage: &Stage) -> Outcome {
    stage.people(3).await?;
    let stranger = stage.person("stranger").await?;
    let found = stage.find(&stranger).await?;
    if !found.is_empty() {
        return against("find guesses nobody", found);
    }
    Ok(Verdict::Passed)
}
