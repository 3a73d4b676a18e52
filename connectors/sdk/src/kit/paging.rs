//! Listings are complete.

use std::collections::BTreeMap;

use crate::account::AccountRef;
use crate::connector::PageToken;
use crate::kit::stage::{Stage, against, always, invites, reference, serves_groups};
use crate::kit::{Case, Outcome, Verdict, case};

pub(super) fn cases() -> Vec<Case> {
    vec![
        case!(always, all_accounts_are_listed_once),
        case!(always, an_insertion_loses_no_account),
        case!(invites, all_invitations_are_listed_once),
        case!(serves_groups, all_groups_are_listed_once),
        case!(serves_groups, an_insertion_loses_no_group),
        case!(serves_groups, all_members_are_listed_once),
    ]
}

/// More than two pages of a hundred.
const ACCOUNTS: usize = 250;
/// More than one page of a hundred.
const MANY: usize = 120;

/// How often each is listed.
fn tally<T>(items: &[T], id: impl Fn(&T) -> String) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for item in items {
        *seen.entry(id(item)).or_insert(0) += 1;
    }
    seen
}

fn once(what: &str, seen: &BTreeMap<String, usize>, wanted: usize) -> Result<(), String> {
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    if !twice.is_empty() {
        return against(&format!("{what} are listed once"), twice);
    }
    if seen.len() != wanted {
        return against(&format!("{wanted} {what} are listed"), seen.len());
    }
    Ok(())
}

async fn all_accounts_are_listed_once(stage: &Stage) -> Outcome {
    let before = stage.everyone().await?.len();
    stage.load(ACCOUNTS, 0).await?;
    let all = stage.everyone().await?;
    let refs = all.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
    let seen = tally(&refs, |at| at.id().to_owned());
    once("accounts", &seen, ACCOUNTS + before)?;
    Ok(Verdict::Passed)
}

async fn an_insertion_loses_no_account(stage: &Stage) -> Outcome {
    stage.load(ACCOUNTS, 0).await?;
    let old = stage.everyone().await?;
    let mut listed = Vec::new();
    let mut page: Option<PageToken> = None;
    for number in 0..20 {
        let part = stage
            .hear(stage.accounts()?.list(&stage.cx(), page.as_ref()).await)
            .or_else(|fault| against("the accounts are listed", fault))?;
        listed.extend(part.items);
        page = part.next;
        if page.is_none() {
            break;
        }
        stage.load(ACCOUNTS + 1 + number, 0).await?;
    }
    let seen = tally(&listed, |account| format!("{:?}", account.remote_id));
    let lost: Vec<_> = old.iter().filter(|account| !seen.contains_key(&format!("{:?}", account.remote_id))).collect();
    if !lost.is_empty() {
        return against("an account that was there throughout is listed", lost);
    }
    Ok(Verdict::Passed)
}

async fn all_invitations_are_listed_once(stage: &Stage) -> Outcome {
    for number in 0..MANY {
        let who = stage.person(&format!("invited{number}")).await?;
        stage.created(&who).await?;
    }
    let all = stage.pending().await?;
    let seen = tally(&all, |account| format!("{:?}", account.invite_id));
    once("invitations", &seen, MANY)?;
    Ok(Verdict::Passed)
}

async fn all_groups_are_listed_once(stage: &Stage) -> Outcome {
    let before = stage.all_groups().await?.len();
    stage.load(0, MANY).await?;
    let all = stage.all_groups().await?;
    let seen = tally(&all, |group| group.id.as_str().to_owned());
    once("groups", &seen, MANY + before)?;
    Ok(Verdict::Passed)
}

async fn an_insertion_loses_no_group(stage: &Stage) -> Outcome {
    stage.load(0, MANY).await?;
    let old = stage.all_groups().await?;
    let mut listed = Vec::new();
    let mut page: Option<PageToken> = None;
    for number in 0..20 {
        let part = stage
            .hear(stage.groups()?.list(&stage.cx(), page.as_ref()).await)
            .or_else(|fault| against("the groups are listed", fault))?;
        listed.extend(part.items);
        page = part.next;
        if page.is_none() {
            break;
        }
        // Sorted by name, it comes before all others; by age, after them.
        stage.group(&format!("A Kit Insertion {number}")).await?;
    }
    let lost: Vec<_> = old.iter().filter(|group| listed.iter().all(|one| one.id != group.id)).collect();
    if !lost.is_empty() {
        return against("a group that was there throughout is listed", lost);
    }
    Ok(Verdict::Passed)
}

async fn all_members_are_listed_once(stage: &Stage) -> Outcome {
    let people = stage.people(MANY).await?;
    let refs: Vec<AccountRef> = people.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
    let group = stage.group("Kit Crowd").await?;
    for answer in stage.change(&group.id, &refs, &[]).await? {
        answer.or_else(|fault| against("a member is added", fault))?;
    }
    let members = stage.members(&group.id).await?;
    let seen = tally(&members, |member| member.account.id().to_owned());
    once("members", &seen, MANY)?;
    Ok(Verdict::Passed)
}
