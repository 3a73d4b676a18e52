//! The target: accounts, invitations that people accept, decline or forget, and groups. It keeps a ledger of
//! its own, for whom each object was made, which nobody but the checks can see.

use std::collections::{BTreeMap, BTreeSet};

use connector_sdk::{
    Account, AccountChange, AccountRef, AccountStatus, Created, DriverKey, Ended, Evidence, Fault, FaultKind, Followed,
    Found, GroupCreated, GroupUpdated, InviteId, Kind, Membership, Person, RemoteGroup, RemoteId, Removed, RoleTrait,
    Suspend, Traits, Updated,
};
use jiff::Timestamp;

use super::rows::Seq;

/// A call, with what it needs.
#[derive(Clone, Debug)]
pub enum Call {
    Look { at: Option<AccountRef>, who: Person, doubt: bool },
    Create { who: Person },
    Update { at: AccountRef, change: AccountChange },
    SetActive { at: AccountRef, active: bool },
    Remove { at: AccountRef },
    Follow { invite: InviteId },
    GroupLook { name: String },
    GroupCreate { name: String },
    GroupRename { id: RemoteId, account: Seq, name: String },
    GroupRemove { id: RemoteId, account: Seq },
    Members { id: RemoteId, changes: Vec<Change> },
}

/// One membership to change.
#[derive(Clone, Debug)]
pub struct Change {
    pub user: Seq,
    pub account: AccountRef,
    pub add: bool,
}

impl Call {
    pub fn word(&self) -> &'static str {
        match self {
            Self::Look { .. } | Self::GroupLook { .. } => "look",
            Self::Create { .. } | Self::GroupCreate { .. } => "create",
            Self::Update { .. } | Self::GroupRename { .. } => "update",
            Self::SetActive { active: true, .. } => "restore",
            Self::SetActive { active: false, .. } => "suspend",
            Self::Remove { .. } | Self::GroupRemove { .. } => "remove",
            Self::Follow { .. } => "follow",
            Self::Members { .. } => "members",
        }
    }

    /// The name or address that a creation goes by, or the account that a member's grant goes to.
    pub fn sent(&self, item: Seq) -> Option<String> {
        match self {
            Self::Members { changes, .. } => {
                changes.iter().find(|change| change.user == item && change.add).map(|change| id_of(&change.account))
            }
            Self::Create { who } => who.email.clone(),
            Self::GroupCreate { name } => Some(name.clone()),
            _ => None,
        }
    }

    pub fn reads(&self) -> bool {
        matches!(self, Self::Look { .. } | Self::GroupLook { .. } | Self::Follow { .. })
    }
}

/// What a call answered.
#[derive(Clone, Debug)]
pub enum Answer {
    Found(Vec<Found>),
    Read(Option<Account>),
    Created(Created),
    Updated(Updated),
    Removed(Removed),
    Followed(Followed),
    Groups(Vec<RemoteGroup>),
    GroupCreated(GroupCreated),
    GroupUpdated(GroupUpdated),
    Members(Vec<Result<Membership, Fault>>),
}

/// Where an account or invitation of the target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Invited,
    Active,
    Suspended,
    /// An invitation: by which account it was accepted, or how else it ended.
    Accepted(u32),
    Ended(Ended),
    Gone,
}

/// An account or invitation.
#[derive(Clone, Debug)]
pub struct Object {
    pub id: u32,
    pub email: String,
    pub login: Option<String>,
    pub role: String,
    pub state: State,
    pub protected: bool,
    pub expires_at: i64,
    /// Reads show it from then on.
    pub seen_from: i64,
    /// For which resource we made it.
    pub made_for: Option<Seq>,
    /// Somebody changed it at the target by hand.
    pub by_hand: bool,
}

impl Object {
    /// Whether it gives access, or is an invitation to it.
    pub fn lives(&self) -> bool {
        matches!(self.state, State::Invited | State::Active | State::Suspended)
    }
}

/// A group.
#[derive(Clone, Debug)]
pub struct Group {
    pub id: u32,
    pub name: String,
    pub members: BTreeSet<u32>,
    pub gone: bool,
    pub made_for: Option<Seq>,
    pub by_hand: bool,
}

/// How this target behaves.
#[derive(Clone, Debug)]
pub struct Habits {
    pub traits: Traits,
    /// Whether two pending invitations to one address are refused.
    pub one_invitation: bool,
    /// Whether a removed person who is put into a group comes back.
    pub grants_bring_back: bool,
    /// For how long a new object is not shown by reads, in microseconds.
    pub lag: i64,
    /// How long invitations last, in microseconds.
    pub invitation_lasts: i64,
    /// Whether it says of a missing invitation that it is unclear what became of it.
    pub unclear: bool,
    /// Creations that it takes per hour.
    pub quota: u32,
    /// Whom it never takes.
    pub refuses: BTreeSet<String>,
}

/// The target.
#[derive(Clone, Debug)]
pub struct Target {
    pub habits: Habits,
    pub objects: BTreeMap<u32, Object>,
    pub groups: BTreeMap<u32, Group>,
    next: u32,
    used: u32,
    quota_ends: i64,
    pub writes: usize,
    /// A rule was broken, as only the target can see.
    pub broken: Option<String>,
}

/// The traits of a simulated connector.
pub fn traits(suspend: Suspend, invites: bool, pending_members: bool) -> Traits {
    let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new("k"));
    traits.suspend = suspend;
    traits.invites = invites;
    if pending_members {
        traits.pending_members = connector_sdk::PendingMembers::ByLogin;
    }
    traits.writable = vec!["roles"];
    traits.roles = ["admin", "member"].map(|value| RoleTrait { value, privileged: false }).to_vec();
    traits.default_role = Some("member");
    traits
}

/// The id that a call names an account by.
pub fn id_of(at: &AccountRef) -> String {
    match at {
        AccountRef::Account { id, .. } => id.as_str().to_owned(),
        AccountRef::Invite { id, .. } => id.as_str().to_owned(),
    }
}

fn stamp(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or(Timestamp::MAX)
}

fn number(text: &str) -> Option<u32> {
    text.get(1..).and_then(|digits| digits.parse().ok())
}

impl Target {
    pub fn new(habits: Habits) -> Self {
        Self {
            habits,
            objects: BTreeMap::new(),
            groups: BTreeMap::new(),
            next: 0,
            used: 0,
            quota_ends: 0,
            writes: 0,
            broken: None,
        }
    }

    /// Makes an account or invitation.
    pub fn make(&mut self, email: &str, role: &str, state: State, made_for: Option<Seq>, now: i64) -> u32 {
        self.next += 1;
        let object = Object {
            id: self.next,
            email: email.to_owned(),
            login: (state != State::Invited).then(|| format!("login{}", self.next)),
            role: role.to_owned(),
            state,
            protected: false,
            expires_at: now + self.habits.invitation_lasts,
            seen_from: now + self.habits.lag,
            made_for,
            by_hand: false,
        };
        self.objects.insert(self.next, object);
        self.next
    }

    pub fn make_group(&mut self, name: &str, made_for: Option<Seq>) -> u32 {
        self.next += 1;
        let group = Group {
            id: self.next,
            name: name.to_owned(),
            members: BTreeSet::new(),
            gone: false,
            made_for,
            by_hand: false,
        };
        self.groups.insert(self.next, group);
        self.next
    }

    fn shown(object: &Object) -> Account {
        let invited = object.state == State::Invited;
        let mut account = match invited {
            true => Account::invited(InviteId::new(format!("i{}", object.id))),
            false => Account::active(RemoteId::new(format!("a{}", object.id))),
        };
        if invited {
            account.remote_id = None;
            account.expires_at = Some(stamp(object.expires_at));
        }
        if object.state == State::Suspended {
            account.status = AccountStatus::Suspended;
        }
        account.login.clone_from(&object.login);
        account.email = Some(object.email.clone());
        account.role = Some(object.role.clone());
        account.protected = object.protected;
        account
    }

    /// Invitations past their end are over.
    pub fn tick(&mut self, now: i64) {
        for object in self.objects.values_mut() {
            if object.state == State::Invited && object.expires_at <= now {
                object.state = State::Ended(Ended::Expired);
            }
        }
    }

    /// A person accepts their invitation.
    pub fn accept(&mut self, invitation: u32, now: i64) {
        let Some(object) = self.objects.get(&invitation).filter(|it| it.state == State::Invited).cloned() else {
            return;
        };
        // Whoever is there already is not there twice.
        let there = self.objects.values().find(|it| it.email == object.email && it.state == State::Active);
        let account = match there.map(|it| it.id) {
            Some(account) => account,
            None => self.make(&object.email, &object.role, State::Active, object.made_for, now),
        };
        if let Some(object) = self.objects.get_mut(&invitation) {
            object.state = State::Accepted(account);
        }
        for group in self.groups.values_mut() {
            if group.members.remove(&invitation) {
                group.members.insert(account);
            }
        }
    }

    /// An account or invitation is over; it leaves every group.
    pub fn end(&mut self, id: u32, state: State) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.state = state;
        }
        for group in self.groups.values_mut() {
            group.members.remove(&id);
        }
    }

    /// The pending invitations, as a listing tells them.
    pub fn invitations(&self) -> BTreeSet<String> {
        let pending = self.objects.values().filter(|it| it.state == State::Invited);
        pending.map(|it| format!("i{}", it.id)).collect()
    }

    fn named(at: &AccountRef) -> Option<u32> {
        match at {
            AccountRef::Account { id, .. } => number(id.as_str()),
            AccountRef::Invite { id, .. } => number(id.as_str()),
        }
    }

    fn there(&self, at: &AccountRef) -> Option<&Object> {
        let object = self.objects.get(&Self::named(at)?)?;
        let fits = match at {
            AccountRef::Invite { .. } => object.state == State::Invited,
            AccountRef::Account { .. } => matches!(object.state, State::Active | State::Suspended),
        };
        fits.then_some(object)
    }

    fn find(&self, who: &Person) -> Vec<Found> {
        let email = who.email.as_deref().unwrap_or_default();
        let mine = self.objects.values().filter(|it| it.lives() && it.email == email);
        mine.map(|it| Found { account: Self::shown(it), evidence: Evidence::VerifiedEmail }).collect()
    }

    /// Does what a call asks for, on behalf of a resource.
    pub fn perform(&mut self, call: &Call, resource: Seq, now: i64) -> Result<Answer, Fault> {
        self.tick(now);
        self.writes += usize::from(!call.reads());
        Ok(match call {
            Call::Look { at: Some(at), .. } => {
                Answer::Read(self.there(at).filter(|it| it.seen_from <= now).map(Self::shown))
            }
            Call::Look { at: None, who, .. } => Answer::Found(self.find(who)),
            Call::Create { who } => self.create(who, resource, now)?,
            Call::Update { at, change } => Answer::Updated(self.change(at, |object| {
                object.role = change.role.clone().unwrap_or_default();
            })?),
            Call::SetActive { at, active } => {
                let state = if *active { State::Active } else { State::Suspended };
                Answer::Updated(self.change(at, |object| object.state = state)?)
            }
            Call::Remove { at } => {
                let Some(object) = self.there(at).cloned() else {
                    return Ok(Answer::Removed(Removed::AlreadyGone));
                };
                self.guard(&object)?;
                let state = if object.state == State::Invited { State::Ended(Ended::Revoked) } else { State::Gone };
                self.end(object.id, state);
                Answer::Removed(Removed::Done)
            }
            Call::Follow { invite } => Answer::Followed(self.follow(invite)),
            Call::GroupLook { name } => Answer::Groups(self.find_groups(name)),
            Call::GroupCreate { name } => match self.find_groups(name).pop() {
                Some(there) => Answer::GroupCreated(GroupCreated::AlreadyThere(there)),
                None => {
                    let id = self.make_group(name, Some(resource));
                    Answer::GroupCreated(GroupCreated::Done(RemoteGroup::new(RemoteId::new(format!("g{id}")), name)))
                }
            },
            Call::GroupRename { id, name, .. } => {
                let group = number(id.as_str()).and_then(|id| self.groups.get_mut(&id)).filter(|group| !group.gone);
                Answer::GroupUpdated(match group {
                    Some(group) => {
                        group.name.clone_from(name);
                        GroupUpdated::Done(RemoteGroup::new(id.clone(), name))
                    }
                    None => GroupUpdated::AlreadyGone,
                })
            }
            Call::GroupRemove { id, .. } => {
                let group = number(id.as_str()).and_then(|id| self.groups.get_mut(&id)).filter(|group| !group.gone);
                Answer::Removed(match group {
                    Some(group) => {
                        group.gone = true;
                        Removed::Done
                    }
                    None => Removed::AlreadyGone,
                })
            }
            Call::Members { id, changes } => {
                Answer::Members(changes.iter().map(|change| self.change_member(id, change, now)).collect())
            }
        })
    }

    fn create(&mut self, who: &Person, resource: Seq, now: i64) -> Result<Answer, Fault> {
        let email = who.email.clone().unwrap_or_default();
        if self.habits.refuses.contains(&email) {
            return Err(Fault::new(FaultKind::Refused, "The target does not take this person."));
        }
        let found = self.find(who);
        let accounts = found.iter().find(|it| it.account.status != AccountStatus::Invited);
        let invited = if self.habits.one_invitation { found.first() } else { None };
        if let Some(there) = accounts.or(invited) {
            return Ok(Answer::Created(Created::AlreadyThere(there.clone())));
        }
        if now >= self.quota_ends {
            (self.used, self.quota_ends) = (0, now + 3_600_000_000);
        }
        if self.used >= self.habits.quota {
            let until = Some(stamp(self.quota_ends));
            return Ok(Answer::Created(Created::Waiting { reason: "The quota is used up.".to_owned(), until }));
        }
        self.used += 1;
        let role = who.role.as_deref().unwrap_or("member");
        let state = if self.habits.traits.invites { State::Invited } else { State::Active };
        let id = self.make(&email, role, state.clone(), Some(resource), now);
        let account = Self::shown(&self.objects[&id]);
        Ok(Answer::Created(if state == State::Invited { Created::Invited(account) } else { Created::Done(account) }))
    }

    /// Refuses to touch what is protected, as real targets do; that it was asked at all is for the check.
    fn guard(&mut self, object: &Object) -> Result<(), Fault> {
        if object.protected {
            return Err(Fault::new(FaultKind::Protected, "The account is the last owner's."));
        }
        Ok(())
    }

    fn change(&mut self, at: &AccountRef, how: impl FnOnce(&mut Object)) -> Result<Updated, Fault> {
        let Some(object) = self.there(at).cloned() else { return Ok(Updated::AlreadyGone) };
        self.guard(&object)?;
        let changed = self.objects.entry(object.id).or_insert(object);
        how(changed);
        Ok(Updated::Done(Self::shown(changed)))
    }

    fn follow(&self, invite: &InviteId) -> Followed {
        let Some(object) = number(invite.as_str()).and_then(|id| self.objects.get(&id)) else {
            return Followed::Ended(Ended::Unknown);
        };
        match &object.state {
            State::Invited => Followed::Pending(Self::shown(object)),
            State::Accepted(by) => match self.objects.get(by).filter(|it| it.lives()) {
                Some(account) => Followed::Accepted { account: Self::shown(account), evidence: Evidence::SamlIdentity },
                None => Followed::Ended(Ended::Unknown),
            },
            State::Ended(Ended::Revoked) if self.habits.unclear => {
                Followed::Unclear(connector_sdk::Need::new("link", "The invitation is gone; nobody says why."))
            }
            State::Ended(how) => Followed::Ended(*how),
            _ => Followed::Ended(Ended::Unknown),
        }
    }

    fn find_groups(&self, name: &str) -> Vec<RemoteGroup> {
        let named = self.groups.values().filter(|group| !group.gone && group.name == name);
        named.map(|group| RemoteGroup::new(RemoteId::new(format!("g{}", group.id)), &group.name)).collect()
    }

    fn change_member(&mut self, id: &RemoteId, change: &Change, now: i64) -> Result<Membership, Fault> {
        let missing = |what: &str| Err(Fault::new(FaultKind::NotFound, format!("The {what} is not there.")));
        let Some(group) = number(id.as_str()).filter(|id| self.groups.get(id).is_some_and(|group| !group.gone)) else {
            return missing("group");
        };
        let account = Self::named(&change.account);
        let there = self.there(&change.account).filter(|it| it.seen_from <= now).map(|it| it.id);
        let again = |gone: &Object| self.objects.values().any(|it| it.lives() && it.email == gone.email);
        let removed = account.and_then(|id| self.objects.get(&id)).filter(|it| it.state == State::Gone && !again(it));
        let removed = removed.map(|it| it.id);
        if !change.add {
            if let (Some(group), Some(account)) = (self.groups.get_mut(&group), account) {
                group.members.remove(&account);
            }
            return Ok(Membership::Absent);
        }
        let member = match (there, removed) {
            (Some(there), _) => there,
            (None, Some(removed)) if self.habits.grants_bring_back => {
                if let Some(object) = self.objects.get_mut(&removed) {
                    object.state = State::Active;
                }
                removed
            }
            _ => return missing("account"),
        };
        if let Some(group) = self.groups.get_mut(&group) {
            group.members.insert(member);
        }
        let pending = self.objects.get(&member).is_some_and(|it| it.state == State::Invited);
        Ok(if pending { Membership::Pending } else { Membership::Present })
    }
}
