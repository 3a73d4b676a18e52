//! Who is in a group.

use std::collections::BTreeMap;

use connector_sdk::{AccountRef, Cx, Fault, FaultKind, Member, Membership, Page, PageToken, RemoteId, Repeat};

use super::accounts;
use super::client::Client;
use super::dn;
use super::filter::Filter;
use super::groups::{self, by_id, shape_of};
use super::message::{Entry, Range, Request, Scope, code};
use super::settings::GroupClass;
use super::shape;

/// Members that are looked up at once.
const PORTION: usize = 100;
/// Parts in which Active Directory gives a long list of members, 1,500 each (MS-ADTS, section 3.1.1.3.4.6).
const MOST_RANGES: usize = 200;
/// Codes that say that a member is there already, or not there: RFC 4511's, and what Active
/// Directory answers in their place (68 and 53).
const AS_IT_WAS: [u16; 4] = [code::NO_SUCH_ATTRIBUTE, code::VALUE_EXISTS, code::ENTRY_EXISTS, 53];

fn no_group() -> Fault {
    Fault::new(FaultKind::NotFound, "The group is not at the directory any more.")
}

/// All values of the member attribute, by their canonical form, without the placeholder.
async fn all(
    client: &Client,
    cx: &Cx<'_>,
    groups: &shape::Groups,
    entry: &Entry,
) -> Result<BTreeMap<String, String>, Fault> {
    let mut values: Vec<Vec<u8>> = entry.values(groups.member).to_vec();
    let mut range = entry.range(groups.member);
    for _ in 0..MOST_RANGES {
        let Some(Range { to, values: part }) = range else {
            return Ok(keyed(groups, &values));
        };
        values.extend(part);
        let Some(to) = to else {
            return Ok(keyed(groups, &values));
        };
        let wanted = format!("{};range={}-*", groups.member, to.saturating_add(1));
        let more =
            client.read(cx, "list members", &entry.dn, &Filter::any(), &[&wanted]).await?.ok_or_else(no_group)?;
        range = more.range(groups.member);
        if range.as_ref().is_none_or(|part| part.values.is_empty() || part.to.is_some_and(|next| next <= to)) {
            return Err(client.garbled("list members", false));
        }
    }
    Err(Fault::new(FaultKind::Refused, "The group has more members than are read."))
}

fn keyed(groups: &shape::Groups, values: &[Vec<u8>]) -> BTreeMap<String, String> {
    let placeholder = groups.placeholder.as_deref().map(|placeholder| key(groups, placeholder));
    values
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .map(|value| (key(groups, &value), value))
        .filter(|(key, _)| Some(key) != placeholder.as_ref())
        .collect()
}

/// What two values of the same member have in common.
fn key(groups: &shape::Groups, value: &str) -> String {
    match (groups.class, dn::canonical(value)) {
        (GroupClass::PosixGroup, _) | (_, None) => value.to_owned(),
        (_, Some(parts)) => {
            let parts: Vec<String> = parts
                .iter()
                .map(|pairs| {
                    let pairs: Vec<String> =
                        pairs.iter().map(|(name, value)| format!("{name}={}", dn::escape(value))).collect();
                    pairs.join("+")
                })
                .collect();
            parts.join(",")
        }
    }
}

/// One page of the members. The list is sorted and goes on after the last one seen, so that nobody is left out
/// by what changes in between.
pub(super) async fn list(
    client: &Client,
    cx: &Cx<'_>,
    id: &RemoteId,
    page: Option<&PageToken>,
) -> Result<Page<Member>, Fault> {
    let groups = shape_of(client)?;
    let entry = by_id(client, cx, id, &[groups.member]).await?.ok_or_else(no_group)?;
    let all = all(client, cx, groups, &entry).await?;
    let after = page.map(|token| token.0.as_str());
    let mut rest = all.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    let portion: Vec<(&String, &String)> = rest.by_ref().take(PORTION).collect();
    let next = portion.last().filter(|_| rest.next().is_some()).map(|(key, _)| PageToken((*key).clone()));
    let values: Vec<&str> = portion.iter().map(|(_, value)| value.as_str()).collect();
    let mut items = Vec::new();
    for entry in people(client, cx, groups, &values).await? {
        items.extend(accounts::account(client, &entry)?.reference().map(Member::of));
    }
    Ok(Page { items, next, complete: true })
}

/// The people behind member values. What is no person of the branches (a nested group, an entry that is
/// gone) is none.
async fn people(client: &Client, cx: &Cx<'_>, groups: &shape::Groups, values: &[&str]) -> Result<Vec<Entry>, Fault> {
    let shape = &client.shape;
    let (bases, wanted) = (shape.user_bases(), shape.person_attributes());
    let mut requests = Vec::new();
    for value in values {
        if groups.class == GroupClass::PosixGroup {
            let filter = Filter::And(vec![shape.people.filter.clone(), Filter::equal(&shape.people.login, value)]);
            requests.extend(bases.iter().map(|base| Request::search(base, Scope::Subtree, &filter, &wanted, 0)));
        } else if bases.iter().any(|base| dn::within(value, base)) {
            requests.push(Request::search(value, Scope::Base, &shape.people.filter, &wanted, 0));
        }
    }
    let mut found = Vec::new();
    for answer in client.run(cx, "read members", Repeat::Read, "members", &requests).await? {
        match answer.code {
            code::SUCCESS => found.extend(answer.entries),
            code::NO_SUCH_OBJECT => {}
            _ => return Err(client.fault("read members", &answer)),
        }
    }
    Ok(found)
}

/// The values by which accounts are members; `None` for one that is not there.
async fn values(
    client: &Client,
    cx: &Cx<'_>,
    groups: &shape::Groups,
    accounts: &[&AccountRef],
) -> Result<Vec<Option<String>>, Fault> {
    let shape = &client.shape;
    let bases = shape.user_bases();
    let mut requests = Vec::new();
    let mut whose = Vec::new();
    for (at, account) in accounts.iter().enumerate() {
        let AccountRef::Account { id, .. } = account else {
            continue;
        };
        if let Some(by_id) = shape.by_id(id) {
            let filter = Filter::And(vec![by_id, shape.people.filter.clone()]);
            for base in &bases {
                requests.push(Request::search(base, Scope::Subtree, &filter, &[&shape.people.login], 0));
                whose.push((at, *base));
            }
        }
    }
    let mut values = vec![None; accounts.len()];
    let answers = client.run(cx, "find entries", Repeat::Read, "members", &requests).await?;
    for (answer, (at, base)) in answers.iter().zip(whose) {
        client.searched("find entries", answer, base)?;
        if let (Some(entry), Some(slot)) = (answer.entries.first(), values.get_mut(at)) {
            *slot = match groups.class {
                GroupClass::PosixGroup => entry.text(&shape.people.login),
                _ => Some(entry.dn.clone()),
            };
        }
    }
    Ok(values)
}

/// Adds and removes members, each with its own answer.
pub(super) async fn change(
    client: &Client,
    cx: &Cx<'_>,
    id: &RemoteId,
    add: &[AccountRef],
    remove: &[AccountRef],
) -> Vec<Result<Membership, Fault>> {
    match changed(client, cx, id, add, remove).await {
        Ok(answers) => answers,
        Err(fault) => vec![Err(fault); add.len() + remove.len()],
    }
}

async fn changed(
    client: &Client,
    cx: &Cx<'_>,
    id: &RemoteId,
    add: &[AccountRef],
    remove: &[AccountRef],
) -> Result<Vec<Result<Membership, Fault>>, Fault> {
    let groups = shape_of(client)?;
    let group = by_id(client, cx, id, &[]).await?.ok_or_else(no_group)?;
    let accounts: Vec<&AccountRef> = add.iter().chain(remove).collect();
    let values = values(client, cx, groups, &accounts).await?;
    let bytes = |some: &[Option<String>]| -> Vec<Vec<u8>> {
        some.iter().flatten().map(|value| value.clone().into_bytes()).collect()
    };
    let (adding, removing) = (bytes(&values[..add.len()]), bytes(&values[add.len()..]));
    if adding.is_empty() && removing.is_empty() {
        return Ok(values.iter().enumerate().map(|(at, _)| missing(at < add.len())).collect());
    }
    let answer = groups::change(client, cx, "change members", &group.dn, &adding, &removing).await?;
    if answer.code == code::SUCCESS {
        return Ok(values.iter().enumerate().map(|(at, value)| done(at < add.len(), value.is_some())).collect());
    }
    // One of them is not as the others: each by itself, so that each has its own answer.
    let mut answers = Vec::new();
    for (at, value) in values.iter().enumerate() {
        answers.push(match value {
            Some(value) => one(client, cx, groups, &group, id, value, at < add.len()).await,
            None => missing(at < add.len()),
        });
    }
    Ok(answers)
}

fn done(added: bool, known: bool) -> Result<Membership, Fault> {
    match (added, known) {
        (_, false) => missing(added),
        (true, true) => Ok(Membership::Present),
        (false, true) => Ok(Membership::Absent),
    }
}

/// What becomes of an account that is not there: it cannot be added, and it is no member.
fn missing(added: bool) -> Result<Membership, Fault> {
    if added {
        Err(Fault::new(
            FaultKind::Refused,
            "The person's entry is not at the directory any more, so it cannot be made a member.",
        ))
    } else {
        Ok(Membership::Absent)
    }
}

async fn one(
    client: &Client,
    cx: &Cx<'_>,
    groups: &shape::Groups,
    group: &Entry,
    id: &RemoteId,
    value: &str,
    adds: bool,
) -> Result<Membership, Fault> {
    let values = [value.as_bytes().to_vec()];
    let (add, remove) = if adds { (&values[..], &[][..]) } else { (&[][..], &values[..]) };
    let answer = groups::change(client, cx, "change member", &group.dn, add, remove).await?;
    match answer.code {
        code::SUCCESS => return done(adds, true),
        code::NO_SUCH_OBJECT => {
            return match by_id(client, cx, id, &[]).await? {
                None => Err(no_group()),
                Some(_) => Err(client.fault("change member", &answer).retry(connector_sdk::Retry::Soon)),
            };
        }
        code if AS_IT_WAS.contains(&code) => {
            // Success only if a look confirms it.
            let holds = Filter::equal(groups.member, value);
            let is_member = client.read(cx, "read membership", &group.dn, &holds, &["1.1"]).await?.is_some();
            if is_member == adds {
                return done(adds, true);
            }
        }
        _ => {}
    }
    Err(client.fault("change member", &answer))
}
