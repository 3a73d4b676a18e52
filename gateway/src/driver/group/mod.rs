//! A group at the target: the group itself first, then its memberships, removals before additions.
//! Here: the steps and how they are carried out. [`plan`] chooses them, [`settle`] and [`members`]
//! record what they brought about.

mod members;
mod plan;
mod settle;

use connector_sdk::{
    AccountRef, Connector, Cx, Effect, Fault, FaultKind, GroupChange, GroupCreated, GroupUpdated, GroupWant, Groups,
    Membership, RemoteGroup, RemoteId, Removed,
};

pub(super) use plan::plan;
pub(super) use settle::apply;

/// A step, with what the calls need.
#[derive(Clone, Debug)]
pub(super) enum GroupCall {
    /// Look for a group whose creation is in doubt.
    Look {
        want: GroupWant,
    },
    Create {
        want: GroupWant,
    },
    /// Read the linked group: what became of a write in doubt, or whether it is still there.
    Read {
        id: RemoteId,
        account: i64,
        doubt: bool,
        /// Memberships that the target would not take because something was not there.
        missed: Vec<MemberChange>,
    },
    /// Look at memberships whose change is in doubt.
    LookMembers {
        id: RemoteId,
        changes: Vec<MemberChange>,
    },
    /// The credential's own account leaves a group we made.
    Tidy {
        id: RemoteId,
        account: i64,
    },
    Rename {
        id: RemoteId,
        account: i64,
        name: String,
    },
    Remove {
        id: RemoteId,
        account: i64,
    },
    Members {
        id: RemoteId,
        changes: Vec<MemberChange>,
    },
}

/// One membership to change.
#[derive(Clone, Debug)]
pub(super) struct MemberChange {
    pub(super) user: i64,
    pub(super) account: AccountRef,
    pub(super) add: bool,
    pub(super) operation: Option<i64>,
}

/// What the calls answered.
pub(super) enum GroupDone {
    Found(Result<Vec<RemoteGroup>, Fault>),
    Read(Result<Option<RemoteGroup>, Fault>),
    Seen(Result<Vec<Membership>, Fault>),
    Created(Result<GroupCreated, Fault>),
    Tidied(Result<(), Fault>),
    Renamed(Result<GroupUpdated, Fault>),
    Removed(Result<Removed, Fault>),
    Members(Vec<Result<Membership, Fault>>),
}

impl GroupCall {
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Look { .. } | Self::Read { .. } | Self::LookMembers { .. } => "look",
            Self::Create { .. } => "create",
            Self::Tidy { .. } => "tidy",
            Self::Rename { .. } => "update",
            Self::Remove { .. } => "remove",
            Self::Members { .. } => "members",
        }
    }

    /// Carries it out.
    pub(super) async fn send(&self, connector: &dyn Connector, cx: &Cx<'_>) -> GroupDone {
        let Some(groups) = connector.groups() else {
            return GroupDone::Tidied(Err(Fault::new(FaultKind::Refused, "This target has no groups.")));
        };
        match self {
            Self::Look { want } => GroupDone::Found(groups.find(cx, &want.name).await),
            Self::Create { want } => GroupDone::Created(groups.create(cx, want).await),
            Self::Read { id, .. } => GroupDone::Read(groups.get(cx, id).await),
            Self::LookMembers { id, changes } => GroupDone::Seen(see(groups, cx, id, changes).await),
            Self::Tidy { id, .. } => GroupDone::Tidied(groups.tidy(cx, id).await),
            Self::Rename { id, name, .. } => {
                let mut change = GroupChange::default();
                change.name = Some(name.clone());
                GroupDone::Renamed(groups.update(cx, id, &change).await)
            }
            Self::Remove { id, .. } => GroupDone::Removed(groups.remove(cx, id).await),
            Self::Members { id, changes } => {
                let per_call = connector.traits().members_per_call.max(1);
                let mut answers = Vec::with_capacity(changes.len());
                for chunk in changes.chunks(per_call) {
                    let pick = |add: bool| {
                        chunk
                            .iter()
                            .filter(|change| change.add == add)
                            .map(|change| change.account.clone())
                            .collect::<Vec<_>>()
                    };
                    let (add, remove) = (pick(true), pick(false));
                    let mut given = groups.change_members(cx, id, &add, &remove).await.into_iter();
                    let adds: Vec<_> = given.by_ref().take(add.len()).collect();
                    let (mut adds, mut removes) = (adds.into_iter(), given);
                    for change in chunk {
                        let answer = if change.add { adds.next() } else { removes.next() };
                        answers.push(answer.unwrap_or_else(|| {
                            Err(Fault::new(
                                FaultKind::Malformed,
                                "The connector did not say what became of a membership.",
                            )
                            .context("missing member outcome"))
                        }));
                    }
                    // What stops the target stops the rest of the batch: it was not sent.
                    let stopped = answers
                        .iter()
                        .rev()
                        .take(chunk.len())
                        .find_map(|answer| answer.as_ref().err().filter(|fault| fault.stops_the_target()));
                    if let Some(fault) = stopped.cloned() {
                        let unsent = Fault::new(FaultKind::NotSent, fault.message.clone()).retry(fault.retry);
                        answers.resize_with(changes.len(), || Err(unsent.clone()));
                        break;
                    }
                }
                GroupDone::Members(answers)
            }
        }
    }
}

/// Pages of a list of members at most; more is a list that goes in circles.
const MOST_PAGES: usize = 1_000;

/// Where the memberships in question stand, by the group's own list. One that shows only some members
/// does not tell who is none (DECISIONS 22).
async fn see(
    groups: &dyn Groups,
    cx: &Cx<'_>,
    id: &RemoteId,
    changes: &[MemberChange],
) -> Result<Vec<Membership>, Fault> {
    let mut seen: Vec<Option<Membership>> = vec![None; changes.len()];
    let mut page = None;
    for _ in 0..MOST_PAGES {
        let listed = groups.members(cx, id, page.as_ref()).await?;
        for member in listed.items {
            let at = changes.iter().position(|change| is_same(&change.account, &member.account));
            if let Some(slot) = at.and_then(|at| seen.get_mut(at)) {
                *slot = Some(if member.pending { Membership::Pending } else { Membership::Present });
            }
        }
        if !listed.complete && seen.iter().any(Option::is_none) {
            return Err(Fault::new(FaultKind::Unavailable, "The target lists only some of the group's members.")
                .context("partial list of members"));
        }
        match listed.next {
            Some(next) if seen.iter().any(Option::is_none) => page = Some(next),
            _ => return Ok(seen.into_iter().map(|one| one.unwrap_or(Membership::Absent)).collect()),
        }
    }
    Err(Fault::new(FaultKind::Malformed, "The target's list of members has no end.")
        .effect(Effect::None)
        .context("too many pages"))
}

/// Whether two references name one account or invitation.
fn is_same(one: &AccountRef, other: &AccountRef) -> bool {
    match (one, other) {
        (AccountRef::Account { id: one, .. }, AccountRef::Account { id: other, .. }) => one == other,
        (AccountRef::Invite { id: one, login: a, .. }, AccountRef::Invite { id: other, login: b, .. }) => {
            one == other || (a.is_some() && a == b)
        }
        // A pending member is named by the account that will be one, or by the invitation.
        (AccountRef::Invite { login: a, .. }, AccountRef::Account { login: b, .. })
        | (AccountRef::Account { login: a, .. }, AccountRef::Invite { login: b, .. }) => a.is_some() && a == b,
    }
}

impl GroupDone {
    /// The fault in it that says most about the target.
    pub(super) fn fault(&self) -> Option<Fault> {
        match self {
            Self::Found(result) => result.as_ref().err().cloned(),
            Self::Read(result) => result.as_ref().err().cloned(),
            Self::Seen(result) => result.as_ref().err().cloned(),
            Self::Created(result) => result.as_ref().err().cloned(),
            Self::Tidied(result) => result.as_ref().err().cloned(),
            Self::Renamed(result) => result.as_ref().err().cloned(),
            Self::Removed(result) => result.as_ref().err().cloned(),
            Self::Members(answers) => {
                let mut faults = answers.iter().filter_map(|answer| answer.as_ref().err());
                let first = faults.clone().next();
                faults.find(|fault| fault.stops_the_target()).or(first).cloned()
            }
        }
    }
}

impl GroupCall {
    /// The answer of a step that was not sent.
    pub(super) fn undone(&self, fault: Fault) -> GroupDone {
        match self {
            Self::Look { .. } => GroupDone::Found(Err(fault)),
            Self::Read { .. } => GroupDone::Read(Err(fault)),
            Self::LookMembers { .. } => GroupDone::Seen(Err(fault)),
            Self::Create { .. } => GroupDone::Created(Err(fault)),
            Self::Tidy { .. } => GroupDone::Tidied(Err(fault)),
            Self::Rename { .. } => GroupDone::Renamed(Err(fault)),
            Self::Remove { .. } => GroupDone::Removed(Err(fault)),
            Self::Members { changes, .. } => GroupDone::Members(changes.iter().map(|_| Err(fault.clone())).collect()),
        }
    }
}
