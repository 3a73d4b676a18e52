//! A person at the target: the engine plans, this module loads what it plans from, carries its
//! steps out, and records what they brought about.

use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Connector, Created, Cx, Evidence, Fault, FaultKind, Followed,
    Found, InviteId, Kind, Need, Person, Removed, Updated,
};
use engine::doubt::ask_which;
use engine::mapping::map_person;
use engine::person::{AccountView, PersonStep, PersonView, Wanted, next_step};
use jiff::Timestamp;

use super::accounts::{self, AccountRow, Linked};
use super::attempts::Attempted;
use super::run::{Step, Subject, Verdict};
use super::{doubt, late, links};
use crate::service::accept::{lock_groups, wake_groups};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx};

mod followed;

/// How long a quota without an end is waited for.
const QUOTA_WAIT: i64 = 3_600_000_000;

/// A step, with what the call needs.
#[derive(Clone, Debug)]
pub(super) enum PersonCall {
    /// Read the linked account, or look for the person.
    Look { at: Option<AccountRef>, who: Person, doubt: bool },
    /// Look for an account to tie the person to.
    Match { who: Person },
    /// Create or invite.
    Create { who: Person },
    /// Change.
    Update { at: AccountRef, change: AccountChange },
    /// Suspend or restore.
    SetActive { at: AccountRef, active: bool },
    /// Remove, or take an invitation back.
    Remove { at: AccountRef },
    /// Find out what became of an invitation.
    Follow { invite: InviteId, who: Person },
}

/// What a call answered.
#[derive(Clone, Debug)]
pub(super) enum PersonDone {
    Found(Vec<Found>),
    Read(Option<Account>),
    Created(Created),
    Updated(Updated),
    Removed(Removed),
    Followed(Followed),
}

impl PersonCall {
    /// The word that attempts record.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Look { .. } => "look",
            Self::Match { .. } => "match",
            Self::Create { .. } => "create",
            Self::Update { .. } => "update",
            Self::SetActive { active: true, .. } => "restore",
            Self::SetActive { active: false, .. } => "suspend",
            Self::Remove { .. } => "remove",
            Self::Follow { .. } => "follow",
        }
    }

    fn reads(&self) -> bool {
        matches!(self, Self::Look { .. } | Self::Match { .. } | Self::Follow { .. })
    }

    /// Carries it out.
    pub(super) async fn send(&self, connector: &dyn Connector, cx: &Cx<'_>) -> Result<PersonDone, Fault> {
        let accounts =
            connector.accounts().ok_or_else(|| Fault::new(FaultKind::Refused, "This target has no accounts."))?;
        Ok(match self {
            Self::Look { at: Some(at), .. } => PersonDone::Read(accounts.get(cx, at).await?),
            Self::Look { at: None, who, .. } | Self::Match { who } => PersonDone::Found(accounts.find(cx, who).await?),
            Self::Create { who } => PersonDone::Created(accounts.create(cx, who).await?),
            Self::Update { at, change } => PersonDone::Updated(accounts.update(cx, at, change).await?),
            Self::SetActive { at, active } => PersonDone::Updated(accounts.set_active(cx, at, *active).await?),
            Self::Remove { at } => PersonDone::Removed(accounts.remove(cx, at).await?),
            Self::Follow { invite, who } => PersonDone::Followed(accounts.follow(cx, invite, who).await?),
        })
    }
}

/// Whether accounts are this connector's business.
pub(crate) fn can_create(connector: &dyn Connector) -> bool {
    connector.accounts().is_some() && connector.traits().kind != Kind::Group
}

/// Plans the next step.
pub(super) async fn plan(
    tx: &Tx<'_>,
    instance: &Instance,
    connector: &dyn Connector,
    subject: &Subject,
) -> Result<Verdict, StoreError> {
    if connector.accounts().is_none() {
        return Ok(Verdict::Settled);
    }
    let mut row = accounts::linked(tx, subject.seq).await?;
    if row.is_none()
        && let Some(account) = late::returned(tx, subject.seq).await?
    {
        late::reopen(tx, instance, subject.seq, account).await?;
        row = accounts::linked(tx, subject.seq).await?;
    }
    let doubt = doubt::of_resource(tx, connector.traits(), &subject.kind, subject.seq).await?;
    let facts = Facts {
        name: &subject.name,
        doc: &subject.doc,
        wanted: if subject.managed && subject.active && !subject.deleted {
            Wanted::Access
        } else {
            Wanted::NoAccess { delete: subject.deleted }
        },
        row: row.as_ref(),
        doubt: doubt.as_ref().map(doubt::InDoubt::doubt),
        invites_sent: accounts::invites_sent(tx, subject.seq).await?,
        now: tx.now,
    };
    let (step, at, who) = judge(instance, connector, &facts, |step, view| {
        (step, view.account.as_ref().map(|account| account.reference.clone()), view.person.clone())
    });
    if let Some(wait) = doubt::contrary_under_way(tx, subject.seq, facts.wanted == Wanted::Access, &step).await? {
        return Ok(wait);
    }
    let step = match step {
        // That it may be back is no knowledge: whoever took it over has no removal in doubt that would have it looked at.
        PersonStep::Settled if facts.wanted == Wanted::Access && late::may_be_back(tx, subject.seq).await? => {
            PersonStep::Look
        }
        step => step,
    };
    let call = match step {
        PersonStep::Settled => {
            if facts.wanted != Wanted::Access {
                // Whose account it might have been matters to nobody any more.
                links::end_proposals(tx, subject.seq).await?;
            }
            if !can_create(connector) && facts.wanted != Wanted::Access {
                // Nothing here takes the memberships along: what the target still has goes now, also
                // what a group's run gave while the loss was being accepted.
                wake_groups(tx, instance, subject.seq, false).await?;
            }
            return Ok(Verdict::Settled);
        }
        PersonStep::Need(need) => {
            return Ok(Verdict::Need { need, refused: None });
        }
        PersonStep::Look => {
            // A creation in doubt is looked for as the person whom it was sent for: they may have another
            // address by now.
            let creation = doubt.as_ref().filter(|doubt| doubt.step == "create");
            let sent = creation.and_then(|doubt| doubt.sent.as_deref());
            let who = sent.and_then(|sent| serde_json::from_str(sent).ok()).unwrap_or_else(|| who.clone());
            // A late grant may have linked the former account again, which tells nothing of a creation.
            PersonCall::Look { at: at.filter(|_| creation.is_none()), who, doubt: doubt.is_some() }
        }
        PersonStep::Match => PersonCall::Match { who: who.clone() },
        PersonStep::Create => PersonCall::Create { who: who.clone() },
        PersonStep::Remove(at) => PersonCall::Remove { at },
        PersonStep::Follow(invite) => PersonCall::Follow { invite, who: who.clone() },
        step @ (PersonStep::Update(_) | PersonStep::Suspend | PersonStep::Restore) => {
            let Some(at) = at else {
                return Err(StoreError::damaged("a step at an account that is not linked"));
            };
            match step {
                PersonStep::Update(change) => PersonCall::Update { at, change },
                PersonStep::Suspend => PersonCall::SetActive { at, active: false },
                _ => PersonCall::SetActive { at, active: true },
            }
        }
    };
    let operation = tx
        .conn
        .one(
            "SELECT MAX(seq) AS seq FROM operation WHERE resource_seq = $1 AND state = 'open' AND rev <= $2",
            vals![subject.seq, subject.rev],
        )
        .await?
        .map(|row| row.col::<Option<i64>>("seq"))
        .transpose()?
        .flatten();
    let sent = match &call {
        PersonCall::Create { who } => serde_json::to_string(who).ok(),
        _ => None,
    };
    let attempts =
        if call.reads() { Vec::new() } else { vec![Attempted { item: 0, step: call.word(), operation, sent }] };
    Ok(Verdict::Call(Step::Person(Box::new(call)), attempts))
}

/// What is known of a person, as rows tell it.
pub(crate) struct Facts<'a> {
    /// The user name.
    pub(crate) name: &'a str,
    /// The document.
    pub(crate) doc: &'a scim::Document,
    /// What the directory wants.
    pub(crate) wanted: Wanted,
    /// The linked account.
    pub(crate) row: Option<&'a AccountRow>,
    /// The call whose outcome is not known.
    pub(crate) doubt: Option<engine::doubt::Doubt>,
    /// Invitations sent so far.
    pub(crate) invites_sent: u32,
    /// The present time, in microseconds.
    pub(crate) now: i64,
}

/// Asks the engine for a person's next step, and hands it out with what it was chosen by.
pub(crate) fn judge<R>(
    instance: &Instance,
    connector: &dyn Connector,
    facts: &Facts<'_>,
    then: impl FnOnce(PersonStep, &PersonView<'_>) -> R,
) -> R {
    let traits = connector.traits();
    let who = map_person(facts.name, facts.doc, traits, instance.policy.allow_privileged, Vec::new()).person;
    let account = facts.row.and_then(view);
    let protects = |name: Option<&str>| name.is_some_and(|name| instance.policy.protects([name]));
    let view = PersonView {
        wanted: facts.wanted,
        person: &who,
        doubt: facts.doubt,
        traits,
        can_create: can_create(connector),
        followed_up: facts.row.is_some_and(AccountRow::is_missing),
        protected_by_policy: protects(Some(facts.name))
            || account
                .as_ref()
                .is_some_and(|account| protects(account.login.as_deref()) || protects(account.email.as_deref())),
        invites_sent: facts.invites_sent,
        now: Timestamp::from_microsecond(facts.now).unwrap_or(Timestamp::UNIX_EPOCH),
        account,
    };
    then(next_step(&view), &view)
}

fn view(row: &AccountRow) -> Option<AccountView> {
    let status = match row.status.as_str() {
        "invited" => AccountStatus::Invited,
        "active" => AccountStatus::Active,
        "suspended" => AccountStatus::Suspended,
        _ => return None,
    };
    Some(AccountView {
        reference: row.reference()?,
        status,
        role: row.text("role"),
        email: row.text("email"),
        login: row.text("login"),
        protected: row.protected,
        expires_at: row.expires_at.and_then(|at| Timestamp::from_microsecond(at).ok()),
        profile: row.text("profile"),
    })
}

/// Records what a call brought about. A verdict ends the run; none plans again.
pub(super) async fn apply(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    call: &PersonCall,
    done: &PersonDone,
) -> Result<Option<Verdict>, StoreError> {
    // Most answers change the link, or are weighed against what came of the memberships meanwhile.
    lock_groups(tx, subject.seq).await?;
    let verdict = match done {
        PersonDone::Created(created) => apply_created(tx, instance, subject, created).await,
        PersonDone::Found(found) => apply_found(tx, instance, subject, call, found).await,
        PersonDone::Read(account) => apply_read(tx, instance, subject, account.as_ref()).await,
        PersonDone::Updated(updated) => apply_updated(tx, instance, subject, updated).await,
        PersonDone::Removed(removed) => apply_removed(tx, subject, call, *removed).await,
        PersonDone::Followed(followed) => followed::apply(tx, instance, subject, followed).await,
    }?;
    keep_profile(tx, instance, subject, call, done).await?;
    Ok(verdict)
}

/// Keeps what of the person the account has now: what was just written, or, of an account that was just linked, what
/// the person was then. Linking alone writes nothing to it (DECISIONS 2).
async fn keep_profile(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    call: &PersonCall,
    done: &PersonDone,
) -> Result<(), StoreError> {
    let Ok(connector) = &instance.connector else { return Ok(()) };
    let written = matches!(
        done,
        PersonDone::Created(Created::Done(_) | Created::Invited(_)) | PersonDone::Updated(Updated::Done(_))
    );
    let who = match call {
        PersonCall::Create { who }
        | PersonCall::Look { who, .. }
        | PersonCall::Match { who }
        | PersonCall::Follow { who, .. } => who,
        PersonCall::Update { change, .. } => match &change.person {
            Some(who) => who,
            None => return Ok(()),
        },
        PersonCall::SetActive { .. } | PersonCall::Remove { .. } => return Ok(()),
    };
    let Some(profile) = connector.traits().profile(who) else { return Ok(()) };
    match accounts::linked(tx, subject.seq).await? {
        Some(row) if written || row.text("profile").is_none() => accounts::keep_profile(tx, &row, &profile).await,
        _ => Ok(()),
    }
}

/// Records what a failed call tells. Usually it is tried again or a person has to act; but an
/// invitation that could not be taken back because it was accepted is followed at once.
pub(super) async fn apply_fault(
    tx: &Tx<'_>,
    subject: &Subject,
    call: &PersonCall,
    fault: &Fault,
) -> Result<Option<Verdict>, StoreError> {
    if fault.kind == FaultKind::Awaiting {
        // The plan sees the task, and waits for it; or it is closed by now.
        return Ok(None);
    }
    if fault.kind == FaultKind::NotFound
        && matches!(call, PersonCall::Remove { at: AccountRef::Invite { .. } })
        && let Some(row) = accounts::linked(tx, subject.seq).await?
    {
        accounts::mark_missing(tx, &row, true).await?;
        return Ok(None);
    }
    if matches!(call, PersonCall::Create { .. }) && accounts::linked(tx, subject.seq).await?.is_some() {
        // A late grant has brought the account back meanwhile, perhaps: that is looked at.
        late::doubt_removal(tx, subject.seq).await?;
    }
    Ok(Some(Verdict::Failed(Box::new(fault.clone()))))
}

async fn apply_created(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    created: &Created,
) -> Result<Option<Verdict>, StoreError> {
    match created {
        Created::Done(account) | Created::Invited(account) => {
            let sent = accounts::invites_sent(tx, subject.seq).await?;
            let row = accounts::observe(tx, instance, account, Some(true), None).await?;
            if matches!(created, Created::Invited(_)) {
                tx.conn
                    .run(
                        "UPDATE account SET invites = $2 WHERE seq = $1",
                        vals![row.seq, i16::try_from(sent + 1).unwrap_or(i16::MAX)],
                    )
                    .await?;
            }
            tie(tx, instance, subject, &row, Evidence::SameId, true).await
        }
        Created::AlreadyThere(found) if links::is_rejected(tx, instance, subject.seq, &found.account).await? => {
            let need = Need::new(
                "link",
                format!(
                    "The target says that \"{}\" is there already, as an account that was rejected for them. Link the right account by hand, or correct the address or login of one of the two.",
                    subject.name
                ),
            );
            Ok(Some(Verdict::Need { need, refused: None }))
        }
        // It was there, and somebody else's removal took it away before this was read: the plan creates another.
        Created::AlreadyThere(found) if accounts::went_since(tx, instance, &found.account, subject.asked).await? => {
            Ok(None)
        }
        Created::AlreadyThere(found) => {
            let row = accounts::observe(tx, instance, &found.account, None, None).await?;
            tie(tx, instance, subject, &row, found.evidence, row.ours).await
        }
        // Such work waits without an account: a late grant has brought it back meanwhile, perhaps.
        Created::Waiting { .. } if accounts::linked(tx, subject.seq).await?.is_some() => {
            late::doubt_removal(tx, subject.seq).await?;
            Ok(None)
        }
        Created::Waiting { reason, until } => Ok(Some(Verdict::Wait {
            code: "quota",
            reason: reason.clone(),
            until: until.unwrap_or_else(|| Timestamp::from_microsecond(tx.now + QUOTA_WAIT).unwrap_or(Timestamp::MAX)),
        })),
        Created::ActionRequired(need) => {
            Ok(Some(Verdict::Need { need: need.clone(), refused: Some(FaultKind::Refused) }))
        }
        _ => Ok(Some(unknown_answer())),
    }
}

/// Links, or says who has to decide.
async fn tie(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    row: &AccountRow,
    evidence: Evidence,
    ours: bool,
) -> Result<Option<Verdict>, StoreError> {
    match accounts::link(tx, instance, subject.seq, row, evidence, ours).await? {
        Linked::Yes => {
            doubt::resolve(tx, subject.seq, 0).await?;
            Ok(None)
        }
        Linked::No(need) => Ok(Some(Verdict::Need { need, refused: Some(FaultKind::NameTaken) })),
        Linked::Leaving(leaver, name) => after(tx, subject, leaver, &name).await.map(Some),
    }
}

/// Has the work wait until that of a deleted person has ended who still has the account.
async fn after(tx: &Tx<'_>, subject: &Subject, leaver: i64, name: &str) -> Result<Verdict, StoreError> {
    tx.conn.run("UPDATE work SET after_seq = $2 WHERE resource_seq = $1", vals![subject.seq, leaver]).await?;
    Ok(Verdict::Wait {
        code: "twin",
        reason: format!(
            "The account at the target is still that of a deleted \"{name}\", whose removal has to end first."
        ),
        until: Timestamp::from_microsecond(tx.now).unwrap_or(Timestamp::UNIX_EPOCH),
    })
}

async fn apply_found(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    call: &PersonCall,
    found: &[Found],
) -> Result<Option<Verdict>, StoreError> {
    let doubt = match &instance.connector {
        Ok(connector) => doubt::of_resource(tx, connector.traits(), &subject.kind, subject.seq).await?,
        Err(_) => None,
    };
    let mut candidates = Vec::with_capacity(found.len());
    for one in found {
        if !links::is_rejected(tx, instance, subject.seq, &one.account).await? {
            candidates.push(one);
        }
    }
    let active: Vec<&Found> =
        candidates.iter().copied().filter(|one| one.account.status != AccountStatus::Invited).collect();
    let chosen = match (active.as_slice(), candidates.as_slice()) {
        ([one], _) | ([], [one]) => Some(*one),
        ([], []) => None,
        _ => return ambiguous(tx, instance, subject, &candidates).await.map(Some),
    };
    match (chosen, call) {
        (Some(found), _) => {
            if accounts::went_since(tx, instance, &found.account, subject.asked).await? {
                // It has gone meanwhile: the plan asks again.
                return Ok(None);
            }
            // What is found after a creation in doubt as a pending invitation is the one we sent; so is
            // whatever is found after somebody said that the creation happened.
            let created = doubt.as_ref().filter(|doubt| doubt.step == "create");
            let ours = created.is_some_and(|doubt| doubt.happened || found.account.status == AccountStatus::Invited)
                && matches!(call, PersonCall::Look { doubt: true, .. });
            let row =
                accounts::observe(tx, instance, &found.account, if ours { Some(true) } else { None }, None).await?;
            if ours && row.invites == 0 {
                let sent = accounts::invites_sent(tx, subject.seq).await?;
                tx.conn
                    .run(
                        "UPDATE account SET invites = $2 WHERE seq = $1",
                        vals![row.seq, i16::try_from(sent + 1).unwrap_or(i16::MAX)],
                    )
                    .await?;
            }
            let wait = doubt::creation_under_way(tx, subject).await?;
            match (wait, accounts::link(tx, instance, subject.seq, &row, found.evidence, ours || row.ours).await?) {
                (_, Linked::No(need)) => Ok(Some(Verdict::Need { need, refused: Some(FaultKind::NameTaken) })),
                (_, Linked::Leaving(leaver, name)) => after(tx, subject, leaver, &name).await.map(Some),
                // It may have been there before, and the creation may still come: should the account be removed
                // before then, that would make another.
                (Some(wait), Linked::Yes) => Ok(Some(wait)),
                (None, Linked::Yes) => doubt::resolve(tx, subject.seq, 0).await.map(|()| None),
            }
        }
        (None, PersonCall::Look { .. }) => {
            if let Some(wait) = doubt::creation_under_way(tx, subject).await? {
                return Ok(Some(wait));
            }
            if let Some(told) = &doubt
                && told.happened
                && told.step == "create"
            {
                // Somebody said that it happened, so there is an account: not seeing it proves nothing.
                return Ok(Some(Verdict::Need { need: ask_which(&subject.name), refused: None }));
            }
            // It did not happen: the plan goes on from there.
            doubt::resolve(tx, subject.seq, 0).await?;
            if accounts::linked(tx, subject.seq).await?.is_some() {
                // Nor is it known whether a late grant brought the former account back.
                late::doubt_removal(tx, subject.seq).await?;
            }
            Ok(None)
        }
        (None, _) => Ok(Some(Verdict::Settled)),
    }
}

/// Several accounts may be the person's: each is proposed, and a person decides (DECISIONS 3).
async fn ambiguous(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    candidates: &[&Found],
) -> Result<Verdict, StoreError> {
    for one in candidates {
        let row = accounts::observe(tx, instance, &one.account, None, None).await?;
        links::propose(tx, subject.seq, &row, one.evidence).await?;
    }
    let need = Need::new(
        "ambiguous",
        format!(
            "{} accounts at the target may be \"{}\". Confirm one of the proposed links and reject the others, or make the user name or address unambiguous at the identity provider or the target.",
            candidates.len(),
            subject.name
        ),
    );
    Ok(Verdict::Need { need, refused: None })
}

async fn apply_read(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    account: Option<&Account>,
) -> Result<Option<Verdict>, StoreError> {
    if account.is_none() && doubt::is_new(tx, subject).await? {
        return Ok(Some(doubt::not_visible(tx.now)));
    }
    if account.is_none() && late::granted_since(tx, subject.seq, subject.asked).await? {
        // A grant may have brought it back after the target was asked: it is asked again.
        return Ok(None);
    }
    doubt::resolve(tx, subject.seq, 0).await?;
    let Some(row) = accounts::linked(tx, subject.seq).await? else {
        return Ok(None);
    };
    match account {
        Some(account) => {
            accounts::observe(tx, instance, account, None, None).await?;
            late::over(tx, row.seq).await?;
        }
        // An invitation that is not there any more may have been accepted.
        None if row.status == "invited" => accounts::mark_missing(tx, &row, true).await?,
        None => accounts::gone(tx, subject.seq, row.seq).await?,
    }
    Ok(None)
}

async fn apply_updated(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    updated: &Updated,
) -> Result<Option<Verdict>, StoreError> {
    match updated {
        Updated::Done(account) => {
            accounts::observe(tx, instance, account, None, None).await?;
            Ok(None)
        }
        // A target that answers from copies may not show yet what it has just made.
        Updated::AlreadyGone if doubt::is_new(tx, subject).await? => {
            // Or a removal that nobody heard the end of took it away: this update stood in for looking.
            late::doubt_removal(tx, subject.seq).await?;
            Ok(Some(doubt::not_visible(tx.now)))
        }
        // A grant may have brought it back after the target was asked: it is asked again.
        Updated::AlreadyGone if late::granted_since(tx, subject.seq, subject.asked).await? => Ok(None),
        Updated::AlreadyGone => {
            if let Some(row) = accounts::linked(tx, subject.seq).await? {
                accounts::gone(tx, subject.seq, row.seq).await?;
            }
            Ok(None)
        }
        Updated::OtherAccount => Ok(Some(links::relink(&subject.name))),
        _ => Ok(Some(unknown_answer())),
    }
}

async fn apply_removed(
    tx: &Tx<'_>,
    subject: &Subject,
    call: &PersonCall,
    removed: Removed,
) -> Result<Option<Verdict>, StoreError> {
    if removed == Removed::OtherAccount {
        return Ok(Some(links::relink(&subject.name)));
    }
    let Some(row) = accounts::linked(tx, subject.seq).await? else {
        return Ok(None);
    };
    let was_invite = matches!(call, PersonCall::Remove { at: AccountRef::Invite { .. } });
    if was_invite && removed == Removed::AlreadyGone {
        // Gone before we took it back: perhaps accepted, also where the look-out noticed it first. A
        // leaver must not stay by that door.
        accounts::mark_missing(tx, &row, true).await?;
        return Ok(None);
    }
    if late::granted_meanwhile(tx, subject.seq).await? {
        // What the two came to is not known: the plan removes it once more, or looks.
        late::doubt_removal(tx, subject.seq).await?;
        return Ok(None);
    }
    // Taking an invitation back is our doing: the count of invitations starts anew.
    if was_invite {
        tx.conn.run("UPDATE account SET invites = 0 WHERE seq = $1", vals![row.seq]).await?;
    }
    accounts::gone(tx, subject.seq, row.seq).await?;
    Ok(None)
}

/// The SDK's answers may grow; one that this build does not know is not guessed at.
fn unknown_answer() -> Verdict {
    Verdict::Failed(Box::new(
        Fault::new(FaultKind::Malformed, "The connector answered in a way this version of the gateway does not know.")
            .context("unknown outcome variant"),
    ))
}
