//! Writes: accept, wake the driver, and tell the client the truth if it comes in time (DECISIONS 8
//! to 11).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use connector_sdk::FaultKind;
use engine::Lane;
use scim::patch::PatchRequest;
use scim::schema::ResourceType;
use scim::{Quirks, ScimError};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::App;
use super::accept::{Accepted, Body, Change, Create, Delete, Retract, Revert};
use super::types::{Caller, Failure, Instance, Precondition, Written};
use crate::driver::Settlement;
use crate::store::{Priority, Unit};

/// More members than this in one change are not waited for: they cannot all be at the target within
/// any deadline worth waiting for.
const WAIT_FOR_ITEMS: i64 = 25;

/// One answer for twins: concurrent POSTs of the same resource join the first (DECISIONS 11).
#[derive(Default)]
pub(crate) struct Twins(Mutex<HashMap<String, Twin>>);

type Twin = Arc<OnceCell<Result<Written, ScimError>>>;

impl Twins {
    fn join(&self, key: &str) -> Twin {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.to_owned()).or_default().clone()
    }

    fn part(&self, key: &str, twin: &Twin) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.get(key).is_some_and(|held| Arc::ptr_eq(held, twin)) {
            all.remove(key);
        }
    }
}

/// A place among twins; given back also by a request whose client went away.
struct Joined<'a> {
    twins: &'a Twins,
    twin: Twin,
    key: String,
}

impl Drop for Joined<'_> {
    fn drop(&mut self) {
        // While it is being answered others go on waiting for it: two hold it besides the map then.
        if self.twin.initialized() || Arc::strong_count(&self.twin) <= 2 {
            self.twins.part(&self.key, &self.twin);
        }
    }
}

impl App {
    /// POST. A twin that arrives while the first is being answered gets the first's answer.
    ///
    /// # Errors
    /// 400 for a body that is no resource of the type or that the target refused in time, 409 for a
    /// name that is taken; the store's.
    pub async fn create(
        &self,
        instance: &Arc<Instance>,
        caller: &Caller,
        rt: &ResourceType,
        body: Value,
        quirks: &mut Quirks,
    ) -> Result<Written, Failure> {
        let parsed = scim::resource::create(rt, body, quirks)?;
        let members: Vec<&str> = parsed.relation.iter().flatten().map(|member| member.value.as_str()).collect();
        let groups = parsed.groups.clone().unwrap_or_default();
        // A completion of its own is owed to each asynchronous request, so these join nobody.
        let alone = caller.later.as_ref().map(|later| later.txn.as_str());
        let document = Value::Object(parsed.document.clone());
        let key = format!("{}\n{}\n{document}\n{members:?}\n{groups}\n{alone:?}", instance.seq, rt.name);
        let twin = Joined { twins: &self.twins, twin: self.twins.join(&key), key };
        let unit = Create {
            instance: instance.clone(),
            caller: caller.clone(),
            kind: rt.name.clone(),
            parsed,
            quirks: quirks.clone(),
        };
        let answer = twin
            .twin
            .get_or_try_init(|| async {
                match self.create_first(instance, caller, unit).await {
                    Ok(written) => Ok(Ok(written)),
                    Err(Failure::Scim(error)) => Ok(Err(error)),
                    Err(Failure::Store(error)) => Err(error),
                }
            })
            .await
            .cloned();
        drop(twin);
        Ok(answer??)
    }

    async fn create_first(&self, instance: &Arc<Instance>, caller: &Caller, unit: Create) -> Result<Written, Failure> {
        self.count_queue(instance).await;
        let accepted = self.accept(unit).await?;
        match self.settled(instance, caller, &accepted).await {
            // Groups have the user by now: what they were told is not taken back.
            Settlement::Refused { .. } if accepted.groups > 0 => Ok(written(accepted, false)),
            Settlement::Refused { kind, message } => {
                let retract =
                    Retract { instance: instance.clone(), stored: accepted.stored.clone(), reason: message.clone() };
                if self.store.write(Priority::Request, retract).await? {
                    self.driver.wake_for(instance);
                    return Err(refusal(kind, message).into());
                }
                Ok(written(accepted, false))
            }
            settlement => Ok(written(accepted, settlement == Settlement::Done)),
        }
    }

    /// PUT.
    ///
    /// # Errors
    /// As [`App::create`], and 404, 412.
    #[allow(clippy::too_many_arguments, reason = "a request's parts")]
    pub async fn replace(
        &self,
        instance: &Arc<Instance>,
        caller: &Caller,
        rt: &ResourceType,
        id: &str,
        body: Value,
        condition: Precondition,
        quirks: &mut Quirks,
    ) -> Result<Written, Failure> {
        self.change(instance, caller, rt, id, Body::Replace(body), condition, quirks).await
    }

    /// PATCH.
    ///
    /// # Errors
    /// As [`App::replace`].
    #[allow(clippy::too_many_arguments, reason = "a request's parts")]
    pub async fn patch(
        &self,
        instance: &Arc<Instance>,
        caller: &Caller,
        rt: &ResourceType,
        id: &str,
        body: Value,
        condition: Precondition,
        quirks: &mut Quirks,
    ) -> Result<Written, Failure> {
        let request = PatchRequest::parse(body, quirks)?;
        self.change(instance, caller, rt, id, Body::Patch(request), condition, quirks).await
    }

    #[allow(clippy::too_many_arguments, reason = "a request's parts")]
    async fn change(
        &self,
        instance: &Arc<Instance>,
        caller: &Caller,
        rt: &ResourceType,
        id: &str,
        body: Body,
        condition: Precondition,
        quirks: &mut Quirks,
    ) -> Result<Written, Failure> {
        let unit = Change {
            instance: instance.clone(),
            caller: caller.clone(),
            kind: rt.name.clone(),
            id: id.to_owned(),
            body,
            condition,
            quirks: quirks.clone(),
        };
        self.count_queue(instance).await;
        let mut accepted = self.accept(unit).await?;
        *quirks = std::mem::take(&mut accepted.quirks);
        match self.settled(instance, caller, &accepted).await {
            Settlement::Refused { .. } if accepted.groups > 0 => Ok(written(accepted, false)),
            // Somebody's leaving is never taken back: it stays wanted, visible and tried again.
            Settlement::Refused { kind, .. } if accepted.lane == Lane::Deprovision && kind != FaultKind::Protected => {
                Ok(written(accepted, false))
            }
            Settlement::Refused { kind, message } => {
                if let Some(before) = accepted.before.clone() {
                    let revert = Revert {
                        instance: instance.clone(),
                        before,
                        rev: accepted.stored.rev,
                        reason: message.clone(),
                    };
                    if self.store.write(Priority::Request, revert).await? {
                        self.driver.wake_for(instance);
                        return Err(refusal(kind, message).into());
                    }
                }
                Ok(written(accepted, false))
            }
            settlement => Ok(written(accepted, settlement == Settlement::Done)),
        }
    }

    /// DELETE.
    ///
    /// # Errors
    /// 404, 412, 400 for a protected account; the store's.
    pub async fn delete(
        &self,
        instance: &Arc<Instance>,
        caller: &Caller,
        rt: &ResourceType,
        id: &str,
        condition: Precondition,
    ) -> Result<(), Failure> {
        let unit = Delete {
            instance: instance.clone(),
            caller: caller.clone(),
            kind: rt.name.clone(),
            id: id.to_owned(),
            condition,
        };
        let accepted = self.accept(unit).await?;
        self.settled(instance, caller, &accepted).await;
        Ok(())
    }

    /// Stores a change. It goes on even if the client goes away: what was begun is ended.
    async fn accept<U>(&self, unit: U) -> Result<Accepted, Failure>
    where
        U: Unit<Out = Accepted, Err = Failure>,
    {
        self.store.write(Priority::Request, unit).await
    }

    /// Knows how long the queue is, where that was not counted lately.
    async fn count_queue(&self, instance: &Instance) {
        if let Err(error) = instance.queue.count(&self.store, instance.seq, instance.most_open_work()).await {
            tracing::debug!(%error, "the queue could not be counted");
        }
    }

    /// A request that is completed by an event is answered at once.
    async fn settled(&self, instance: &Instance, caller: &Caller, accepted: &Accepted) -> Settlement {
        if accepted.groups > 0 {
            self.driver.wake_for(instance);
        }
        if accepted.operation.is_none() || accepted.items == 0 {
            return Settlement::Done;
        }
        if caller.later.is_some() || accepted.items > WAIT_FOR_ITEMS {
            self.driver.wake_for(instance);
            return Settlement::Later;
        }
        let most = caller.spoken.settings(&instance.policy).answer_within_ms.unwrap_or(u32::MAX);
        let mut within = Duration::from_millis(u64::from(instance.policy.answer_within_ms.min(most)));
        if let Some(until) = caller.wait_until {
            within = within.min(Duration::try_from(until.duration_since(self.clock.now())).unwrap_or(Duration::ZERO));
        }
        self.driver.settle(instance, accepted.stored.seq, accepted.stored.rev, accepted.lane, within).await
    }
}

fn written(accepted: Accepted, settled: bool) -> Written {
    Written { changed: accepted.operation.is_some() || accepted.groups > 0, settled, stored: accepted.stored }
}

/// What the client is told that the target refused for good.
fn refusal(kind: FaultKind, message: String) -> ScimError {
    match kind {
        FaultKind::NameTaken => ScimError::uniqueness(message),
        FaultKind::Protected => ScimError::mutability(message),
        _ => ScimError::invalid_value(message),
    }
}
