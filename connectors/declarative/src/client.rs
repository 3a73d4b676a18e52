//! The way to one target: what is common to all requests, how they are authorised, sent and judged.

use std::sync::Arc;

use connector_sdk::rates::{self, Reset};
use connector_sdk::{Call, Cx, Effect, Fault, FaultKind, PageToken, Probe, ProbeCheck, Reading, Reply};
use http::{HeaderName, StatusCode};
use jiff::Timestamp;
use tokio::sync::OnceCell;
use url::Url;

use crate::auth::{Authorized, Ready};
use crate::expr::{Scope, from_json};
use crate::model::Dialect;
use crate::paging::Place;
use crate::plan::{Fields, Plan};
use crate::request::Request;
use crate::rules::{Answer, Done, Judge, Rule, context};

/// Pages that a search reads before it gives up.
const MOST_SEARCHED: usize = 5_000;

/// How answers tell of a bucket.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) bucket: &'static str,
    pub(crate) limit: Option<String>,
    pub(crate) remaining: String,
    pub(crate) reset: String,
    pub(crate) dialect: Dialect,
}

/// The way to one target.
pub(crate) struct Client {
    pub(crate) plan: Arc<Plan>,
    pub(crate) base: Url,
    pub(crate) settings: minijinja::Value,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) auth: Vec<Ready>,
    /// Plain texts that must stand in no message.
    pub(crate) secrets: Vec<String>,
    pub(crate) readers: Vec<Reader>,
    /// Policies of structured headers, with their buckets.
    pub(crate) policies: Vec<(String, &'static str)>,
    pub(crate) own: OnceCell<Option<String>>,
}

/// One page of a listing, unmapped.
pub(crate) struct Listed {
    pub(crate) items: Vec<minijinja::Value>,
    pub(crate) next: Option<PageToken>,
    pub(crate) complete: bool,
}

impl Client {
    /// The target's name for people.
    pub(crate) fn title(&self) -> &str {
        &self.plan.model.title
    }

    /// What every expression sees.
    pub(crate) fn scope(&self) -> Scope {
        Scope::from([("settings", self.settings.clone()), ("maps", self.plan.maps.clone())])
    }

    fn judge_of(&self, reply: Option<&Reply>) -> Judge<'_> {
        let used_up = reply.and_then(|reply| {
            self.read_limits(reply)
                .into_iter()
                .filter(|reading| reading.remaining == 0)
                .map(|reading| reading.resets_at)
                .max()
        });
        Judge {
            title: self.title(),
            rules: &self.plan.rules,
            error_text: self.plan.error_text.as_ref(),
            secrets: &self.secrets,
            used_up,
        }
    }

    /// What an answer's headers say of the buckets.
    pub(crate) fn read_limits(&self, reply: &Reply) -> Vec<Reading> {
        let mut readings: Vec<Reading> = self
            .readers
            .iter()
            .filter_map(|reader| {
                let number = |name: &str| {
                    let text = reply.header(name)?.split([',', ';']).next()?.trim();
                    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
                    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
                    Some(number.clamp(0.0, f64::from(u32::MAX)) as u32)
                };
                Some(Reading {
                    bucket: reader.bucket,
                    limit: reader.limit.as_deref().and_then(number).filter(|limit| *limit > 0),
                    remaining: number(&reader.remaining)?,
                    resets_at: Reset::from(reader.dialect).read(reply.header(&reader.reset)?, reply)?,
                })
            })
            .collect();
        if !self.policies.is_empty() {
            let bucket =
                |policy: &str| self.policies.iter().find(|(name, _)| name == policy).map(|(_, bucket)| *bucket);
            readings.extend(rates::structured(reply, bucket));
        }
        readings
    }

    /// Whether creations invite, with these settings.
    pub(crate) fn invites(&self) -> bool {
        let accounts = self.plan.accounts.as_ref();
        accounts.and_then(|accounts| accounts.invites.as_ref()).is_some_and(|invites| invites.holds(&self.scope()))
    }

    /// Until when nothing is to be sent, if an answer says so.
    pub(crate) fn throttled(&self, reply: &Reply) -> Option<Timestamp> {
        let own: Vec<&Rule> = self.plan.requests().into_iter().flat_map(|request| &request.rules).collect();
        self.judge_of(Some(reply)).throttled(reply, &own)
    }

    /// The call of a request.
    pub(crate) fn call(&self, request: &Request, scope: &Scope, more: &[(String, String)]) -> Result<Call, Fault> {
        request.render(&self.base, &self.headers, scope, more).map_err(|unmade| {
            Fault::new(
                FaultKind::Incomplete,
                format!(
                    "The call \"{}\" of {} cannot be made of what is known: {}.",
                    request.call,
                    self.title(),
                    unmade.0
                ),
            )
            .context(format!("{} could not be rendered", request.op))
        })
    }

    /// Sends a request, behind what is asked before it.
    pub(crate) async fn send(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        scope: &Scope,
        more: &[(String, String)],
    ) -> Result<Answer, Fault> {
        if let Some(before) = &request.before {
            match Box::pin(self.send(cx, before, scope, &[])).await? {
                Answer::Done(_) => {}
                other => return Ok(other),
            }
        }
        let call = self.call(request, scope, more)?;
        let Authorized { call: signed, renewable } = self.authorize(cx, call.clone(), false).await?;
        let mut reply = cx.send(signed).await?;
        if reply.status == StatusCode::UNAUTHORIZED && renewable {
            // The token may have ended before its time; what was refused was not done.
            let Authorized { call: signed, .. } = self.authorize(cx, call, true).await?;
            reply = cx.send(signed).await?;
        }
        self.judge_of(Some(&reply)).judge(request, reply, scope)
    }

    /// Adds what authorises a call.
    async fn authorize(&self, cx: &Cx<'_>, mut call: Call, anew: bool) -> Result<Authorized, Fault> {
        let mut renewable = false;
        for ready in &self.auth {
            renewable |= ready.apply(self, cx, &mut call, anew).await?;
        }
        Ok(Authorized { call, renewable })
    }

    /// A fault for an answer that is not what the manifest says.
    pub(crate) fn malformed(&self, request: &Request, reply: &Reply, what: &str) -> Fault {
        let effect = if request.writes_at_all() { Effect::Unknown } else { Effect::None };
        self.judge_of(None).malformed(effect, format!("{}, {what}", context(request.call, reply)))
    }

    /// What is known of an outcome that this operation has no place for.
    pub(crate) fn success(&self, answer: Answer) -> Result<Done, Fault> {
        match answer {
            Answer::Done(done) => Ok(done),
            Answer::Missing(fault) => Err(fault),
            Answer::Outcome(outcome, told) => Err(told.fault(outcome)),
        }
    }

    /// One page of a listing; `None` where what it belongs to is not there.
    pub(crate) async fn page(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        scope: &Scope,
        fields: &Fields,
        page: Option<&PageToken>,
    ) -> Result<Option<Listed>, Fault> {
        let place = page.map(Place::of).transpose()?;
        let more = request.paging.as_ref().map(|paging| paging.parameters(place.as_ref())).unwrap_or_default();
        let done = match self.send(cx, request, scope, &more).await? {
            Answer::Missing(_) => return Ok(None),
            other => self.success(other)?,
        };
        let mut scope = crate::rules::scope_of(&done.reply, done.body.as_ref(), scope);
        let list = request.items.as_ref().and_then(|items| items.eval(&scope).ok()).unwrap_or_default();
        if !matches!(list.kind(), minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable) {
            return Err(self.malformed(request, &done.reply, "no list where the manifest has `items`"));
        }
        let all: Vec<minijinja::Value> =
            list.try_iter().map_err(|_| self.malformed(request, &done.reply, "a list that cannot be read"))?.collect();
        let listed = all.len();
        if request.keep.as_ref().is_some_and(|keep| keep.uses("own"))
            && let Some(own) = self.own(cx).await?
        {
            scope.insert("own", minijinja::Value::from(own));
        }
        let id = fields.iter().find(|(name, _)| name == "id").map(|(_, id)| id);
        let mut ids = Vec::with_capacity(listed);
        let mut items = Vec::with_capacity(listed);
        for item in all {
            scope.insert("item", item.clone());
            ids.push(id.and_then(|id| id.text(&scope).ok().flatten()).unwrap_or_default());
            if request.keep.as_ref().is_none_or(|keep| keep.holds(&scope)) {
                items.push(item);
            }
        }
        scope.remove("item");
        let (next, complete) = match &request.paging {
            Some(paging) => paging.next(place.as_ref(), &ids, listed, &done.reply, &mut scope)?,
            None => (None, true),
        };
        Ok(Some(Listed { items, next, complete }))
    }

    /// Every item of a listing; `None` where what it belongs to is not there.
    pub(crate) async fn all(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        scope: &Scope,
        fields: &Fields,
    ) -> Result<Option<Vec<minijinja::Value>>, Fault> {
        let mut items = Vec::new();
        let mut page: Option<PageToken> = None;
        for _ in 0..MOST_SEARCHED {
            let Some(listed) = self.page(cx, request, scope, fields, page.as_ref()).await? else {
                return Ok(None);
            };
            items.extend(listed.items);
            page = listed.next;
            if page.is_none() {
                return Ok(Some(items));
            }
        }
        Err(Fault::new(
            FaultKind::Malformed,
            format!("A listing of {} has too many pages to be searched.", self.title()),
        )
        .effect(Effect::None)
        .context(format!("{}: more than {MOST_SEARCHED} pages", request.call)))
    }

    /// That a 404 speaks of the object and not of the whole: a credential that lost its organisation,
    /// or an address that is wrong, must not make everything look gone.
    pub(crate) async fn confirm_absence(&self, cx: &Cx<'_>) -> Result<(), Fault> {
        match self.send(cx, &self.plan.probe, &self.scope(), &[]).await? {
            Answer::Done(_) => Ok(()),
            Answer::Missing(fault) => Err(Fault::new(
                FaultKind::Permission,
                format!(
                    "The credential does not see what it should at {}. Check the settings, and that it was given access.",
                    self.title()
                ),
            )
            .context(fault.context)),
            Answer::Outcome(outcome, told) => Err(told.fault(outcome)),
        }
    }

    /// A write that was answered as if its object were not there, although the object is shown: that is how some targets
    /// say that the credential may not.
    pub(crate) fn shown_all_the_same(&self, fault: Fault) -> Fault {
        Fault::new(
            FaultKind::Permission,
            format!(
                "{} answers as if it were not there, and shows it all the same. Give the credential what the connector's page names under needs.",
                self.title()
            ),
        )
        .context(fault.context)
    }

    /// Whom the credential speaks for, remembered.
    pub(crate) async fn own(&self, cx: &Cx<'_>) -> Result<Option<&str>, Fault> {
        self.own
            .get_or_try_init(|| async {
                let who = self.plan.who.as_ref().unwrap_or(&self.plan.probe);
                let done = self.success(self.send(cx, who, &self.scope(), &[]).await?)?;
                Ok(self.identity(&done))
            })
            .await
            .map(Option::as_deref)
    }

    fn identity(&self, done: &Done) -> Option<String> {
        let scope = crate::rules::scope_of(&done.reply, done.body.as_ref(), &self.scope());
        self.plan.identity.render(&scope, str::to_owned).ok().flatten()
    }

    /// The answer to one of the probe's requests, or what is amiss with the credential.
    async fn asked(&self, cx: &Cx<'_>, request: &Request) -> Result<Result<Done, String>, Fault> {
        match self.send(cx, request, &self.scope(), &[]).await {
            Ok(Answer::Done(done)) => Ok(Ok(done)),
            Ok(Answer::Missing(fault)) => Ok(Err(fault.message)),
            Ok(Answer::Outcome(outcome, told)) => Ok(Err(told.fault(outcome).message)),
            Err(fault) if matches!(fault.kind, FaultKind::Credential | FaultKind::Permission | FaultKind::Refused) => {
                Ok(Err(fault.message))
            }
            Err(fault) => Err(fault),
        }
    }

    /// Checks the credential.
    pub(crate) async fn probe(&self, cx: &Cx<'_>) -> Result<Probe, Fault> {
        let check = |ok, detail: String| ProbeCheck { name: "credential".to_owned(), ok, detail };
        let amiss = |detail| Ok(Probe { identity: None, checks: vec![check(false, detail)] });
        let done = match self.asked(cx, &self.plan.probe).await? {
            Ok(done) => done,
            Err(detail) => return amiss(detail),
        };
        let (who, told) = match &self.plan.who {
            Some(who) => match self.asked(cx, who).await? {
                Ok(told) => (who, Some(told)),
                Err(detail) => return amiss(detail),
            },
            None => (&self.plan.probe, None),
        };
        let told = told.as_ref().unwrap_or(&done);
        let Some(identity) = self.identity(told) else {
            return Err(self.malformed(who, &told.reply, "no identity"));
        };
        let mut checks = vec![check(true, format!("{} accepts the credential of {identity}.", self.title()))];
        let scope = crate::rules::scope_of(&done.reply, done.body.as_ref(), &self.scope());
        for (name, ok, detail) in &self.plan.checks {
            let ok = ok.holds(&scope);
            let detail = if ok { "It is as needed.".to_owned() } else { detail.clone() };
            checks.push(ProbeCheck { name: name.clone(), ok, detail });
        }
        Ok(Probe { identity: Some(identity), checks })
    }

    /// Whether an object that was read counts, by the request's `where`.
    pub(crate) async fn counts(
        &self,
        cx: &Cx<'_>,
        request: &Request,
        item: &minijinja::Value,
        scope: &Scope,
    ) -> Result<bool, Fault> {
        let Some(keep) = &request.keep else { return Ok(true) };
        let mut scope = scope.clone();
        scope.insert("item", item.clone());
        if keep.uses("own")
            && let Some(own) = self.own(cx).await?
        {
            scope.insert("own", minijinja::Value::from(own));
        }
        Ok(keep.holds(&scope))
    }

    /// The object in an answer: what `item` says, else the body.
    pub(crate) fn item(&self, request: &Request, done: &Done, scope: &Scope) -> Option<minijinja::Value> {
        match &request.item {
            Some(item) => {
                let scope = crate::rules::scope_of(&done.reply, done.body.as_ref(), scope);
                item.eval(&scope).ok().filter(|item| !item.is_undefined() && !item.is_none())
            }
            None => done.body.as_ref().map(from_json),
        }
    }
}
