//! Invitations: shown, taken back, followed, ended.

use serde_json::json;

use crate::account::{Account, Person};
use crate::kit::stage::{Stage, against, invite_id, invites, reference};
use crate::kit::{Case, Outcome, Verdict, case};
use crate::outcome::{Created, Followed, Removed};
use crate::traits::Traits;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(invites, a_pending_invitation_is_listed_and_followed),
        case!(invites, taking_an_absent_invitation_back_succeeds),
        case!(invites, an_accepted_invitation_is_followed_to_its_account),
        case!(invites, another_accounts_acceptance_is_never_mistaken),
        case!(invitations_end, an_expired_invitation_ends),
        case!(invites, a_revoked_invitation_ends_and_can_be_sent_again),
        case!(invites, an_accepted_invitation_is_not_removed_by_pretence),
    ]
}

fn invitations_end(traits: &Traits) -> Result<(), &'static str> {
    invites(traits)?;
    if traits.invitations_end { Ok(()) } else { Err("its invitations do not end by themselves") }
}

/// More seconds than any target's invitations live.
const FORTY_DAYS: i64 = 40 * 86_400;

async fn invited(stage: &Stage, name: &str) -> Result<(Person, Account), String> {
    let who = stage.person(name).await?;
    match stage.create(&who).await {
        Ok(Created::Invited(account)) => Ok((who, account)),
        other => against("a new person is invited", other),
    }
}

async fn follow(stage: &Stage, who: &Person, account: &Account) -> Result<Followed, String> {
    let id = invite_id(account)?;
    stage
        .hear(stage.accounts()?.follow(&stage.cx(), &id, who).await)
        .or_else(|fault| against("an invitation can be followed", fault))
}

/// The id of the person who accepted, as the target's own state tells it.
async fn joined(stage: &Stage) -> Result<String, String> {
    let state = stage.state().await?;
    match state["accounts"].as_array().map(Vec::as_slice) {
        Some([one]) => Ok(match &one["id"] {
            serde_json::Value::String(id) => id.clone(),
            other => other.to_string(),
        }),
        _ => against("one person has joined", state),
    }
}

async fn a_pending_invitation_is_listed_and_followed(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    let pending = stage.pending().await?;
    match pending.as_slice() {
        [one] if one.invite_id == account.invite_id => {}
        other => return against("the invitation is listed once", other),
    }
    let everyone = stage.everyone().await?;
    if everyone.iter().any(|one| !one.protected) {
        return against("a pending invitation is no account", everyone);
    }
    match follow(stage, &who, &account).await? {
        Followed::Pending(one) if one.invite_id == account.invite_id => Ok(Verdict::Passed),
        other => against("a pending invitation is followed as Pending", other),
    }
}

async fn taking_an_absent_invitation_back_succeeds(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    let at = reference(&account)?;
    for wanted in [Removed::Done, Removed::AlreadyGone] {
        match stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await) {
            Ok(answer) if answer == wanted => {}
            other => return against(&format!("the removal answers {wanted:?}"), other),
        }
    }
    let there = stage.at_target(&who).await?;
    if !there.is_empty() {
        return against("the invitation is gone at the target", there);
    }
    match stage.hear(stage.accounts()?.get(&stage.cx(), &at).await) {
        Ok(None) => Ok(Verdict::Passed),
        other => against("an invitation that was taken back is not there", other),
    }
}

async fn an_accepted_invitation_is_followed_to_its_account(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    stage.subject().world.accept(&who, None).await?;
    let wanted = joined(stage).await?;
    let accepted = match follow(stage, &who, &account).await? {
        Followed::Accepted { account, .. } => account,
        other => return against("an accepted invitation is followed to its account", other),
    };
    if accepted.remote_id.as_ref().map(|id| id.as_str()) != Some(wanted.as_str()) {
        return against(&format!("the account is {wanted}"), accepted);
    }
    match stage.hear(stage.accounts()?.get(&stage.cx(), &reference(&accepted)?).await) {
        Ok(Some(_)) => Ok(Verdict::Passed),
        other => against("the account can be read", other),
    }
}

async fn another_accounts_acceptance_is_never_mistaken(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    if !stage.subject().world.accept(&who, Some("somebodyelse")).await? {
        return Ok(Verdict::Skipped("only the invited account can accept this target's invitations".to_owned()));
    }
    let wanted = joined(stage).await?;
    match follow(stage, &who, &account).await? {
        Followed::Accepted { account, .. }
            if account.remote_id.as_ref().map(|id| id.as_str()) == Some(wanted.as_str()) =>
        {
            Ok(Verdict::Passed)
        }
        // A target without a link between the two can only say so.
        Followed::Unclear(_) => Ok(Verdict::Passed),
        other => against(&format!("the accepting account is {wanted}, or it is said to be unclear"), other),
    }
}

async fn an_expired_invitation_ends(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    stage.subject().world.control("POST", "/_sim/clock", json!({ "advance_seconds": FORTY_DAYS })).await?;
    match follow(stage, &who, &account).await? {
        Followed::Ended(_) => {}
        other => return against("an expired invitation has ended", other),
    }
    match stage.create(&who).await {
        Ok(Created::Invited(_)) => Ok(Verdict::Passed),
        other => against("the person can be invited again", other),
    }
}

async fn a_revoked_invitation_ends_and_can_be_sent_again(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    let at = reference(&account)?;
    stage
        .hear(stage.accounts()?.remove(&stage.cx(), &at).await)
        .or_else(|fault| against("an invitation is taken back", fault))?;
    match follow(stage, &who, &account).await? {
        // A target that forgets what was taken back can only say that it is gone.
        Followed::Ended(_) | Followed::Unclear(_) => {}
        other => return against("a revoked invitation has ended, or is gone", other),
    }
    match stage.create(&who).await {
        Ok(Created::Invited(_)) => Ok(Verdict::Passed),
        other => against("the person can be invited again", other),
    }
}

async fn an_accepted_invitation_is_not_removed_by_pretence(stage: &Stage) -> Outcome {
    let (who, account) = invited(stage, "ada").await?;
    let at = reference(&account)?;
    stage.subject().world.accept(&who, None).await?;
    let answer = stage.hear(stage.accounts()?.remove(&stage.cx(), &at).await);
    let there = stage.at_target(&who).await?;
    match answer {
        Ok(Removed::Done | Removed::AlreadyGone) if !there.is_empty() => {
            against("a person who accepted is not reported as removed", (answer, there))
        }
        _ => Ok(Verdict::Passed),
    }
}
