//! People, as a manifest says they are called.

use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{
    Account, AccountChange, AccountRef, Accounts, Created, Cx, Effect, Ended, Evidence, Fault, FaultKind, Followed,
    Found, InviteId, Need, Page, PageToken, Person, RemoteId, Removed, Retry, Updated,
};
use minijinja::Value;
use serde_json::json;

use crate::client::Client;
use crate::expr::{Scope, from_json};
use crate::mapping::{Mapped, Standing, account, asks_own};
use crate::model::{MatchModel, OutcomeModel};
use crate::plan::{AccountsPlan, Fields};
use crate::request::Request;
use crate::rules::{Answer, Done};

/// The people of one target.
pub(crate) struct People {
    pub(crate) client: Arc<Client>,
}

/// What requests see of an account.
pub(crate) fn account_value(at: &AccountRef) -> Value {
    from_json(&match at {
        AccountRef::Account { id, login } => json!({ "id": id.as_str(), "login": login, "invited": false }),
        AccountRef::Invite { id, email, login } => {
            json!({ "id": id.as_str(), "email": email, "login": login, "invited": true })
        }
    })
}

/// What requests see of a person: names that are not there are nothing.
pub(crate) fn person_value(who: &Person, role: Option<&str>) -> Value {
    let mut value = json!({
        "user_name": who.user_name,
        "groups": who.groups.iter().map(RemoteId::as_str).collect::<Vec<_>>(),
        "attributes": who.attributes,
    });
    let given = [
        ("email", who.email.as_deref()),
        ("display_name", who.display_name.as_deref()),
        ("given_name", who.text_at("name.givenName")),
        ("family_name", who.text_at("name.familyName")),
        ("role", role),
    ];
    for (name, text) in given {
        if let Some(text) = text {
            value[name] = text.into();
        }
    }
    from_json(&value)
}

impl People {
    fn plan(&self) -> Result<&AccountsPlan, Fault> {
        self.client.plan.accounts.as_ref().ok_or_else(|| Fault::new(FaultKind::Refused, "This target has no people."))
    }

    /// What expressions over a person see.
    pub(crate) fn scope_for(&self, who: &Person) -> Result<Scope, Fault> {
        let mut scope = self.client.scope();
        let fallback = self.client.plan.default_role.as_ref();
        let fallback = fallback.and_then(|role| role.render(&scope, str::to_owned).ok().flatten());
        let role = who.role.clone().or(fallback);
        scope.insert("person", person_value(who, role.as_deref()));
        if let Some(role) = role {
            scope.insert("role", Value::from(role));
        }
        if let Some(login) = &self.plan()?.login
            && let Some(login) = login.text(&scope).map_err(|failed| self.incomplete(&failed.0))?
        {
            scope.insert("login", Value::from(login));
        }
        Ok(scope)
    }

    fn incomplete(&self, what: &str) -> Fault {
        Fault::new(
            FaultKind::Incomplete,
            format!("What {} needs of this person cannot be made of their record: {what}.", self.client.title()),
        )
    }

    fn scope_at(&self, at: &AccountRef) -> Scope {
        let mut scope = self.client.scope();
        scope.insert("account", account_value(at));
        scope
    }

    /// The fields of a request's items.
    fn fields<'a>(&'a self, request: &'a Request) -> Result<&'a Fields, Fault> {
        Ok(request.fields.as_ref().unwrap_or(&self.plan()?.fields))
    }

    /// What a mapping sees: the credential's own identity too, where a field asks for it.
    async fn mapping_scope(&self, cx: &Cx<'_>, fields: &Fields) -> Result<Scope, Fault> {
        let mut scope = self.client.scope();
        if asks_own(fields)
            && let Some(own) = self.client.own(cx).await?
        {
            scope.insert("own", Value::from(own));
        }
        Ok(scope)
    }

    fn map(&self, request: &Request, item: &Value, scope: &Scope) -> Result<Mapped, Fault> {
        let invitation = request.op == "accounts.invitations";
        account(self.fields(request)?, item, scope, invitation).map_err(|failed| {
            Fault::new(
                FaultKind::Malformed,
                format!(
                    "The answer of {} could not be understood. If this goes on, its API has changed, or the manifest is wrong.",
                    self.client.title()
                ),
            )
            .effect(Effect::None)
            .context(format!("{}: {}", request.call, failed.0))
        })
    }

    async fn map_all(&self, cx: &Cx<'_>, request: &Request, items: &[Value]) -> Result<Vec<Mapped>, Fault> {
        let scope = self.mapping_scope(cx, self.fields(request)?).await?;
        items.iter().map(|item| self.map(request, item, &scope)).collect()
    }

    /// One page of a listing.
    async fn page(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        page: Option<&PageToken>,
        wanted: fn(Standing) -> bool,
    ) -> Result<Page<Account>, Fault> {
        let listed = self.client.page(cx, request, &self.client.scope(), self.fields(request)?, page).await?;
        let Some(listed) = listed else { return Err(self.no_list(request)) };
        let mapped = self.map_all(cx, request, &listed.items).await?;
        Ok(Page {
            items: mapped.into_iter().filter(|one| wanted(one.standing)).map(|one| one.account).collect(),
            next: listed.next,
            complete: listed.complete,
        })
    }

    fn no_list(&self, request: &Request) -> Fault {
        Fault::new(
            FaultKind::Permission,
            format!(
                "{} does not show this list to the credential. Check the settings, and that it was given access.",
                self.client.title()
            ),
        )
        .context(format!("{}: not found", request.call))
    }

    /// Everybody that a listing holds.
    async fn everyone(&self, cx: &Cx<'_>, request: &Request, scope: &Scope) -> Result<Vec<Mapped>, Fault> {
        match self.client.all(cx, request, scope, self.fields(request)?).await? {
            Some(items) => self.map_all(cx, request, &items).await,
            None if request.op == "accounts.find" => Ok(Vec::new()),
            None => Err(self.no_list(request)),
        }
    }

    /// Accounts and invitations that are this person's, each with its evidence, best first.
    async fn matching(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<(Mapped, Evidence)>, Fault> {
        let plan = self.plan()?;
        let scope = self.scope_for(who)?;
        let login = scope.get("login").and_then(Value::as_str).map(str::to_lowercase);
        let email = who.email.as_deref().map(str::to_lowercase);
        let saml = plan.saml_identity.as_ref().and_then(|saml| saml.text(&scope).ok().flatten());
        let saml = saml.map(|name| name.to_lowercase());
        let mut all = self.everyone(cx, plan.find.as_ref().unwrap_or(&plan.list), &scope).await?;
        if let Some(invitations) = plan.invitations.as_ref().filter(|_| self.client.invites()) {
            all.extend(self.everyone(cx, invitations, &scope).await?);
        }
        let same = |one: &Option<String>, other: &Option<String>| {
            other.is_some() && one.as_deref().map(str::to_lowercase) == *other
        };
        let mut found: Vec<(Mapped, Evidence)> = Vec::new();
        for one in all {
            let evidence = plan.matches.iter().find_map(|by| match by {
                MatchModel::Saml if same(&one.saml_identity, &saml) => Some(Evidence::SamlIdentity),
                MatchModel::Email if same(&one.account.email, &email) => {
                    Some(if one.account.email_verified { Evidence::VerifiedEmail } else { Evidence::Email })
                }
                MatchModel::Login if same(&one.account.login, &login) => Some(Evidence::Login),
                _ => None,
            });
            if let Some(evidence) = evidence
                && one.standing != Standing::Gone
            {
                found.push((one, evidence));
            }
        }
        let rank = |evidence: Evidence| plan.matches.iter().position(|by| proves(*by, evidence));
        found.sort_by_key(|(one, evidence)| {
            let invited = one.standing == Standing::Invited || one.standing == Standing::Expired;
            (invited, rank(*evidence), *evidence == Evidence::Email)
        });
        Ok(found)
    }

    /// The one that a creation meets: the best of those that are there, if no other is as good.
    fn met(&self, found: Vec<(Mapped, Evidence)>) -> Option<Created> {
        let mut there = found.into_iter().filter(|(one, _)| one.standing != Standing::Expired);
        let (best, evidence) = there.next()?;
        let pending = |one: &Mapped| one.standing == Standing::Invited;
        let mut rivals = there.filter(|(one, _)| at(one) != at(&best));
        if rivals.any(|(one, other)| other == evidence && pending(&one) == pending(&best)) {
            return Some(Created::ActionRequired(Need::new(
                "ambiguous",
                format!(
                    "Several accounts of {} are this person's by the same evidence. Link the right one, or mend the others there.",
                    self.client.title()
                ),
            )));
        }
        Some(Created::AlreadyThere(Found { account: best.account, evidence }))
    }

    /// The item of an account or invitation, and what it is; `None` if it is not there.
    pub(crate) async fn read(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<(Value, Mapped)>, Fault> {
        let plan = self.plan()?;
        let (id, request) = match (at, &plan.invitations, &plan.get) {
            (AccountRef::Invite { id, .. }, Some(invitations), _) => (id.as_str(), invitations),
            (AccountRef::Invite { id, .. }, None, get) => (id.as_str(), get.as_ref().unwrap_or(&plan.list)),
            (AccountRef::Account { id, .. }, _, get) => (id.as_str(), get.as_ref().unwrap_or(&plan.list)),
        };
        let scope = self.scope_at(at);
        let fields = self.fields(request)?;
        let mapping = self.mapping_scope(cx, fields).await?;
        if request.items.is_some() {
            let items = self.client.all(cx, request, &scope, fields).await?;
            for item in items.ok_or_else(|| self.no_list(request))? {
                let mapped = self.map(request, &item, &mapping)?;
                if same_id(&mapped.account, id) && mapped.standing != Standing::Gone {
                    return Ok(Some((item, mapped)));
                }
            }
            return Ok(None);
        }
        let done = match self.client.send(cx, request, &scope, &[]).await? {
            Answer::Missing(_) | Answer::Outcome(OutcomeModel::AlreadyGone, _) => {
                self.client.confirm_absence(cx).await?;
                return Ok(None);
            }
            other => self.client.success(other)?,
        };
        let Some(item) = self.client.item(request, &done, &scope) else {
            return Err(self.client.malformed(request, &done.reply, "no object"));
        };
        if !self.client.counts(cx, request, &item, &scope).await? {
            return Ok(None);
        }
        let mapped = self.map(request, &item, &mapping)?;
        if !same_id(&mapped.account, id) {
            return Err(self.client.malformed(request, &done.reply, "another object than was asked for"));
        }
        Ok((mapped.standing != Standing::Gone).then_some((item, mapped)))
    }

    /// That an account or invitation is not there, as the answer to a write has it: it is asked for itself, because some
    /// targets answer so where the credential may not.
    async fn absent(&self, cx: &Cx<'_>, at: &AccountRef, fault: Fault) -> Result<(), Fault> {
        self.client.confirm_absence(cx).await?;
        match self.read(cx, at).await? {
            None => Ok(()),
            Some(_) => Err(self.client.shown_all_the_same(fault)),
        }
    }

    /// Takes away what a reference names, without asking whether it may be.
    async fn take_away(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let plan = self.plan()?;
        let request = match (at, &plan.revoke) {
            (AccountRef::Invite { .. }, Some(revoke)) => revoke,
            _ => plan.remove.as_ref().ok_or_else(cannot)?,
        };
        match self.client.send(cx, request, &self.scope_at(at), &[]).await? {
            Answer::Missing(fault) => self.absent(cx, at, fault).await.map(|()| Removed::AlreadyGone),
            Answer::Outcome(OutcomeModel::AlreadyGone, _) => {
                self.client.confirm_absence(cx).await?;
                Ok(Removed::AlreadyGone)
            }
            Answer::Outcome(OutcomeModel::Done | OutcomeModel::Absent, _) => Ok(Removed::Done),
            other => self.client.success(other).map(|_| Removed::Done),
        }
    }

    /// The account that a creation made.
    async fn made(&self, cx: &Cx<'_>, create: &Request, done: &Done, who: &Person) -> Result<Mapped, Fault> {
        let scope = self.scope_for(who)?;
        if let Some(expr) = &create.created_id {
            let answer = crate::rules::scope_of(&done.reply, done.body.as_ref(), &scope);
            let id = expr.text(&answer).ok().flatten();
            let id = id.ok_or_else(|| self.client.malformed(create, &done.reply, "no id of what was created"))?;
            let at = AccountRef::Account { id: RemoteId::new(id), login: None };
            let read = self.read(cx, &at).await.map_err(|fault| fault.effect(Effect::Unknown))?;
            return read
                .map(|(_, mapped)| mapped)
                .ok_or_else(|| self.client.malformed(create, &done.reply, "what was created is not there"));
        }
        let mapping =
            self.mapping_scope(cx, self.fields(create)?).await.map_err(|fault| fault.effect(Effect::Unknown))?;
        if let Some(item) = self.client.item(create, done, &scope)
            && let Ok(mapped) = self.map(create, &item, &mapping)
        {
            return Ok(mapped);
        }
        // The answer shows nobody: look who is there now.
        let found = self.matching(cx, who).await.map_err(|fault| fault.effect(Effect::Unknown))?;
        let found = found.into_iter().find(|(one, _)| one.standing != Standing::Expired);
        found
            .map(|(one, _)| one)
            .ok_or_else(|| self.client.malformed(create, &done.reply, "what was created is not there"))
    }

    /// After a change: the account as the answer shows it, else as it is read.
    async fn shown(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        done: Option<Done>,
        at: &AccountRef,
    ) -> Result<Updated, Fault> {
        if let Some(done) = done
            && request.item.is_some()
        {
            let mapping =
                self.mapping_scope(cx, self.fields(request)?).await.map_err(|fault| fault.effect(Effect::Unknown))?;
            let item = self.client.item(request, &done, &self.scope_at(at));
            let mapped = item.and_then(|item| self.map(request, &item, &mapping).ok());
            let mapped = mapped.ok_or_else(|| self.client.malformed(request, &done.reply, "no object"))?;
            return Ok(Updated::Done(mapped.account));
        }
        Ok(match self.read(cx, at).await? {
            Some((_, mapped)) => Updated::Done(mapped.account),
            None => Updated::AlreadyGone,
        })
    }

    /// Sends a change; `None` where the account is not there.
    async fn change(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        at: &AccountRef,
        scope: &mut Scope,
    ) -> Result<Option<Option<Done>>, Fault> {
        if request.read_first {
            match self.read(cx, at).await? {
                Some((item, _)) => scope.insert("current", item),
                None => return Ok(None),
            };
        }
        match self.client.send(cx, request, scope, &[]).await? {
            Answer::Missing(fault) => self.absent(cx, at, fault).await.map(|()| None),
            Answer::Outcome(OutcomeModel::AlreadyGone, _) => {
                self.client.confirm_absence(cx).await?;
                Ok(None)
            }
            Answer::Outcome(OutcomeModel::Done | OutcomeModel::AlreadyThere, _) => Ok(Some(None)),
            other => self.client.success(other).map(|done| Some(Some(done))),
        }
    }
}

/// Whether a match gives that evidence.
fn proves(by: MatchModel, evidence: Evidence) -> bool {
    match by {
        MatchModel::Saml => evidence == Evidence::SamlIdentity,
        MatchModel::Email => matches!(evidence, Evidence::Email | Evidence::VerifiedEmail),
        MatchModel::Login => evidence == Evidence::Login,
    }
}

/// A text that nobody guesses, for passwords that nobody is to know: 192 bits.
fn random() -> String {
    rand::random::<[u8; 24]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn cannot() -> Fault {
    Fault::new(FaultKind::Refused, "This connector neither creates nor removes people; they are managed elsewhere.")
}

fn same_id(account: &Account, id: &str) -> bool {
    account.remote_id.as_ref().is_some_and(|one| one.as_str() == id)
        || account.invite_id.as_ref().is_some_and(|one| one.as_str() == id)
}

/// How an account is named while it may be an expired invitation too.
fn at(mapped: &Mapped) -> Option<AccountRef> {
    mapped.account.reference()
}

#[async_trait]
impl Accounts for People {
    async fn list(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let wanted = |standing| matches!(standing, Standing::Active | Standing::Suspended);
        self.page(cx, &self.plan()?.list, page, wanted).await
    }

    async fn invitations(&self, cx: &Cx<'_>, page: Option<&PageToken>) -> Result<Page<Account>, Fault> {
        let plan = self.plan()?;
        if !self.client.invites() {
            return Ok(Page::last(Vec::new()));
        }
        let request = plan.invitations.as_ref().unwrap_or(&plan.list);
        self.page(cx, request, page, |standing| standing == Standing::Invited).await
    }

    async fn find(&self, cx: &Cx<'_>, who: &Person) -> Result<Vec<Found>, Fault> {
        let found = self.matching(cx, who).await?;
        Ok(found
            .into_iter()
            .filter(|(one, _)| one.standing != Standing::Expired)
            .map(|(one, evidence)| Found { account: one.account, evidence })
            .collect())
    }

    async fn get(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Option<Account>, Fault> {
        let read = self.read(cx, at).await?;
        Ok(read.filter(|(_, one)| one.standing != Standing::Expired).map(|(_, one)| one.account))
    }

    async fn create(&self, cx: &Cx<'_>, want: &Person) -> Result<Created, Fault> {
        let plan = self.plan()?;
        let create = plan.create.as_ref().ok_or_else(cannot)?;
        let mut scope = self.scope_for(want)?;
        scope.insert("random", Value::from(random()));
        for (value, message) in &plan.requires {
            if value.text(&scope).ok().flatten().is_none() {
                return Err(Fault::new(FaultKind::Incomplete, message.clone()).context("accounts.requires"));
            }
        }
        if create.look_first {
            let (over, there): (Vec<_>, Vec<_>) =
                self.matching(cx, want).await?.into_iter().partition(|(one, _)| one.standing == Standing::Expired);
            if let Some(met) = self.met(there) {
                return Ok(met);
            }
            // An invitation whose time is over stands in the way of the next.
            for at in over.iter().filter_map(|(mapped, _)| at(mapped)) {
                self.take_away(cx, &at).await?;
            }
        }
        match self.client.send(cx, create, &scope, &[]).await? {
            Answer::Outcome(OutcomeModel::AlreadyThere, told) => {
                let met = self.met(self.matching(cx, want).await?);
                met.ok_or_else(|| Fault::new(FaultKind::Refused, told.message).context(told.context))
            }
            Answer::Outcome(OutcomeModel::Waiting, told) => {
                Ok(Created::Waiting { reason: told.message, until: told.until })
            }
            Answer::Outcome(OutcomeModel::ActionRequired, told) => {
                Ok(Created::ActionRequired(Need::new(told.code, told.message)))
            }
            other => {
                let done = self.client.success(other)?;
                let mapped = self.made(cx, create, &done, want).await?;
                Ok(match mapped.standing {
                    Standing::Invited | Standing::Expired => Created::Invited(mapped.account),
                    _ => Created::Done(mapped.account),
                })
            }
        }
    }

    async fn update(&self, cx: &Cx<'_>, at: &AccountRef, change: &AccountChange) -> Result<Updated, Fault> {
        let plan = self.plan()?;
        let changes = |attribute: &str| match attribute {
            "roles" => change.role.is_some(),
            "displayName" => change.display_name.is_some() || change.person.is_some(),
            "emails" => change.email.is_some() || change.person.is_some(),
            _ => change.person.is_some(),
        };
        let mut value = json!({});
        let wanted = change.person.as_deref();
        let given = [
            ("role", change.role.as_ref()),
            ("display_name", change.display_name.as_ref().or(wanted.and_then(|who| who.display_name.as_ref()))),
            ("email", change.email.as_ref().or(wanted.and_then(|who| who.email.as_ref()))),
        ];
        for (name, text) in given {
            if let Some(text) = text {
                value[name] = text.as_str().into();
            }
        }
        let mut last = None;
        for request in &plan.update {
            if !request.writes.iter().any(|attribute| changes(attribute)) {
                continue;
            }
            let mut scope = self.scope_at(at);
            scope.insert("change", from_json(&value));
            if let Some(person) = &change.person {
                scope.insert("person", person_value(person, change.role.as_deref().or(person.role.as_deref())));
            }
            match self.change(cx, request, at, &mut scope).await? {
                Some(done) => last = Some((request, done)),
                None => return Ok(Updated::AlreadyGone),
            }
        }
        match last {
            Some((request, done)) => self.shown(cx, request, done, at).await,
            None => self.shown(cx, &plan.list, None, at).await,
        }
    }

    async fn set_active(&self, cx: &Cx<'_>, at: &AccountRef, active: bool) -> Result<Updated, Fault> {
        let plan = self.plan()?;
        let request = if active { &plan.restore } else { &plan.suspend };
        let Some(request) = request else {
            return Err(Fault::new(FaultKind::Refused, "This target cannot suspend accounts."));
        };
        if !active && asks_protection(plan) && self.read(cx, at).await?.is_some_and(|(_, one)| one.account.protected) {
            return Err(self.protected());
        }
        let mut scope = self.scope_at(at);
        match self.change(cx, request, at, &mut scope).await? {
            Some(done) => self.shown(cx, request, done, at).await,
            None => Ok(Updated::AlreadyGone),
        }
    }

    async fn remove(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<Removed, Fault> {
        let plan = self.plan()?;
        plan.remove.as_ref().ok_or_else(cannot)?;
        let separate = plan.invitations.is_some() && matches!(at, AccountRef::Invite { .. });
        if asks_protection(plan) && !separate {
            match self.read(cx, at).await? {
                Some((_, one)) if one.account.protected => return Err(self.protected()),
                Some(_) => {}
                None => return Ok(Removed::AlreadyGone),
            }
        }
        let removed = self.take_away(cx, at).await?;
        if removed == Removed::AlreadyGone && separate && self.joined(cx, at).await? {
            return Err(Fault::new(
                FaultKind::NotFound,
                "The invitation was accepted meanwhile, so there is an account now instead of an invitation.",
            )
            .retry(Retry::Soon)
            .context("revoke after acceptance"));
        }
        Ok(removed)
    }

    async fn follow(&self, cx: &Cx<'_>, invite: &InviteId, who: &Person) -> Result<Followed, Fault> {
        let plan = self.plan()?;
        let at = AccountRef::Invite { id: invite.clone(), email: who.email.clone(), login: None };
        let read = self.read(cx, &at).await?;
        match read {
            Some((_, one)) => Ok(match one.standing {
                Standing::Invited => Followed::Pending(one.account),
                Standing::Expired => Followed::Ended(Ended::Expired),
                _ => Followed::Accepted { account: one.account, evidence: Evidence::SameId },
            }),
            None if plan.invitations.is_none() => Ok(Followed::Ended(Ended::Unknown)),
            None => {
                let found = self.matching(cx, who).await?;
                let mut active = found.into_iter().filter(|(one, _)| one.standing == Standing::Active);
                Ok(match (active.next(), active.next()) {
                    (Some((one, evidence)), None) => Followed::Accepted { account: one.account, evidence },
                    _ => Followed::Unclear(Need::new(
                        "identity",
                        format!(
                            "The invitation is gone and {} does not say who accepted it, if anybody did. Link the account, or invite the person again.",
                            self.client.title()
                        ),
                    )),
                })
            }
        }
    }
}

fn asks_protection(plan: &AccountsPlan) -> bool {
    plan.fields.iter().any(|(name, _)| name == "protected")
}

impl People {
    fn protected(&self) -> Fault {
        Fault::new(
            FaultKind::Protected,
            format!(
                "This account of {} may not be touched: it is the credential's own, or protected there.",
                self.client.title()
            ),
        )
    }

    /// Whether the person that an invitation was sent to is there by now.
    async fn joined(&self, cx: &Cx<'_>, at: &AccountRef) -> Result<bool, Fault> {
        let AccountRef::Invite { email: Some(email), .. } = at else { return Ok(false) };
        let mut who = Person::named(email.clone());
        who.email = Some(email.clone());
        let found = self.matching(cx, &who).await?;
        Ok(found.iter().any(|(one, _)| matches!(one.standing, Standing::Active | Standing::Suspended)))
    }
}
