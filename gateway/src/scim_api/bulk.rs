//! `/Bulk` (RFC 7644 section 3.7): many operations in one request, by the same functions as single ones.
//!
//! The operations run one after the other, so the outcome is that of the same requests sent one by
//! one. Each is whole or not at all. If the client goes away the rest is not begun: nobody would read
//! what became of it, and a client that asks again must not meet its own first request still at work.

use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::body::Body;
use futures_util::FutureExt;
use jiff::Timestamp;
use scim::bulk::{Bulk, Made, Outcome, Ready, Step, response};
use scim::json::Limits;
use scim::quirks::{extra_slashes, route_case};
use scim::schema::ResourceType;
use scim::{Quirks, ScimError};
use serde_json::Value;

use super::answer::{Answer, Refusal};
use super::render::{location, tag};
use super::{Asked, body, condition, path};
use crate::service::types::{Caller, Failure, Precondition, Written};

/// How much deeper a resource lies in a bulk request than in one of its own.
const WRAPPED: usize = 3;

/// POST `/Bulk`.
pub(super) async fn serve(asked: Asked<'_>, body: Body) -> Result<Answer, Refusal> {
    let config = &asked.app.config;
    let large = Limits::large();
    let limits = Limits { max_bytes: config.body_limit_group, max_depth: large.max_depth + WRAPPED, ..large };
    let body = body::read(&asked.headers, body, &limits).await?;
    let bulk = Bulk::parse(body, config.bulk_max_operations)?;
    // All operations together wait for the target no longer than one request would.
    let policy = Duration::from_millis(u64::from(asked.who.instance.policy.answer_within_ms));
    let wait_until = asked.app.clock.now().checked_add(policy).unwrap_or(Timestamp::MAX);
    let caller = Caller { wait_until: Some(wait_until), ..asked.caller() };
    let run = Run { base: asked.base_url(), caller, quirks: asked.quirks.clone(), asked: &asked };
    Ok(Answer::ok(response(run.all(bulk).await)))
}

/// What all operations of a request share.
struct Run<'a> {
    asked: &'a Asked<'a>,
    base: String,
    caller: Caller,
    /// What is taken from the client beyond the RFCs; each operation starts with this.
    quirks: Quirks,
}

/// An operation's target.
struct Place<'a> {
    rt: &'a ResourceType,
    id: Option<String>,
}

impl Run<'_> {
    /// Carries the operations out and answers their entries, in the order of the request.
    async fn all(&self, mut bulk: Bulk) -> Vec<Value> {
        let mut entries: Vec<Option<Value>> = Vec::new();
        entries.resize(bulk.operations().len(), None);
        let most_errors = bulk.fail_on_errors().unwrap_or(u64::MAX);
        let mut errors = 0;
        let mut created: Vec<(usize, Written)> = Vec::new();
        // Trouble of the store is everybody's: what comes after it is not tried.
        let mut trouble: Option<ScimError> = None;
        while errors < most_errors
            && let Some(step) = bulk.next_step()
        {
            let index = step.index();
            let done = match &trouble {
                // Created it is; that it is not complete stands there already.
                Some(_) if matches!(step, Step::Complete(_)) => {
                    errors += 1;
                    bulk.ended(step, None);
                    continue;
                }
                Some(error) => Err((error.clone(), None)),
                None => self.step(&mut bulk, step, &mut created, &mut trouble).await,
            };
            let Some(operation) = bulk.operations().get(index) else { break };
            let (outcome, made) = match done {
                Ok((outcome, made)) => (outcome, made),
                Err((error, place)) => {
                    // A creation that failed has no place (RFC 7644 section 3.7.3).
                    let sent = || format!("{}/{}", self.base, operation.path.trim_start_matches('/'));
                    let place = place.or_else(|| (operation.method != "POST").then(sent));
                    (Outcome::failed(error, place), None)
                }
            };
            let entry = operation.entry(&outcome);
            let failed = outcome.error.is_some() && made.is_none();
            errors += u64::from(failed);
            if let Some(slot) = entries.get_mut(index) {
                *slot = Some(entry);
            }
            bulk.ended(step, made);
        }
        entries.into_iter().flatten().collect()
    }

    /// One step. An error comes with the place of the resource, where that is known.
    async fn step(
        &self,
        bulk: &mut Bulk,
        step: Step,
        created: &mut Vec<(usize, Written)>,
        trouble: &mut Option<ScimError>,
    ) -> Result<(Outcome, Option<Made>), (ScimError, Option<String>)> {
        let index = step.index();
        let (method, version) = match bulk.operations().get(index) {
            Some(operation) => (operation.method.clone(), operation.version.clone()),
            None => return Err((ScimError::internal("The operation is not there."), None)),
        };
        let has_name = bulk.operations().get(index).is_some_and(|operation| operation.bulk_id.is_some());
        let begun = created.iter().position(|(made, _)| *made == index).map(|at| created.swap_remove(at).1);
        let begun_at = begun.as_ref().and_then(|written| self.place_of(&bulk.operations().get(index)?.path, written));
        let ready = bulk.prepare(step).map_err(|error| match step {
            Step::Complete(_) => (incomplete(&error.detail), begun_at.clone()),
            _ => (error, None),
        })?;
        let place = self.place(&ready.path).map_err(|error| (error, None))?;
        let work = async {
            match (step, begun) {
                (Step::Complete(_), Some(begun)) => self.complete(&place, ready, begun).await,
                _ => self.carry_out(&place, &method, version.as_deref(), has_name, ready).await,
            }
        };
        let done = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| {
            tracing::error!(request_id = ?self.asked.request_id, operation = index, "an operation of a bulk request made the gateway panic");
            Err(ScimError::internal("The gateway made a mistake; it is in its log under the id in x-request-id.").into())
        });
        let known = place.id.as_deref().filter(|_| method != "POST").map(|id| location(&self.base, place.rt, id));
        let (status, written) = done.map_err(|failure| {
            let error = told(failure, trouble);
            // Parts of a circle that cannot be made without each other are in conflict (section 3.7.1).
            let error = match step {
                Step::Without(_) if error.status == 400 => conflict(&error),
                _ => error,
            };
            (error, begun_at.clone().or(known.clone()))
        })?;
        let Some(written) = written else {
            return Ok((Outcome { status, location: known, version: None, error: None }, None));
        };
        let at = location(&self.base, place.rt, &written.stored.id);
        let made = Some(Made { id: written.stored.id.clone() });
        if matches!(step, Step::Without(_)) {
            // Should its turn not come again, this is what became of it.
            let error = incomplete("the request ended before it could be set");
            created.push((index, written));
            return Ok((Outcome::failed(error, Some(at)), made));
        }
        let version = Some(tag(written.stored.version));
        Ok((Outcome { status, location: Some(at), version, error: None }, made))
    }

    async fn carry_out(
        &self,
        place: &Place<'_>,
        method: &str,
        version: Option<&str>,
        has_name: bool,
        ready: Ready,
    ) -> Result<(u16, Option<Written>), Failure> {
        let (app, instance) = (self.asked.app, &self.asked.who.instance);
        let condition = version.map_or(Precondition::None, condition::of_version);
        let mut quirks = self.quirks.clone();
        let data = || self.body(place.rt, ready.data);
        Ok(match (method, place.id.as_deref()) {
            ("POST", None) if !has_name => {
                return Err(ScimError::invalid_syntax("bulkId: is required for POST.").into());
            }
            ("POST", None) => (201, Some(app.create(instance, &self.caller, place.rt, data()?, &mut quirks).await?)),
            ("PUT", Some(id)) => {
                let body = data()?;
                (200, Some(app.replace(instance, &self.caller, place.rt, id, body, condition, &mut quirks).await?))
            }
            ("PATCH", Some(id)) => {
                let body = data()?;
                (200, Some(app.patch(instance, &self.caller, place.rt, id, body, condition, &mut quirks).await?))
            }
            ("DELETE", Some(id)) => {
                app.delete(instance, &self.caller, place.rt, id, condition).await?;
                (204, None)
            }
            (_, at) => {
                let allowed = if at.is_some() { "PUT, PATCH and DELETE" } else { "POST" };
                return Err(
                    ScimError::method_not_allowed(format!("In a bulk request this path takes {allowed}.")).into()
                );
            }
        })
    }

    /// Gives a resource that was made as a part of a circle the references that were not known then.
    async fn complete(
        &self,
        place: &Place<'_>,
        ready: Ready,
        begun: Written,
    ) -> Result<(u16, Option<Written>), Failure> {
        let (app, instance) = (self.asked.app, &self.asked.who.instance);
        let mut quirks = self.quirks.clone();
        let body = self.body(place.rt, ready.data)?;
        // Somebody else may have changed it meanwhile, and their change stays.
        let condition = Precondition::Versions(vec![begun.stored.version]);
        let (rt, id) = (place.rt, &begun.stored.id);
        match app.replace(instance, &self.caller, rt, id, body, condition, &mut quirks).await {
            Ok(written) => Ok((201, Some(written))),
            Err(Failure::Scim(error)) => Err(incomplete(&error.detail).into()),
            Err(other) => Err(other),
        }
    }

    /// The body of an operation, within the limit of a request of its own.
    fn body(&self, rt: &ResourceType, data: Option<Value>) -> Result<Value, ScimError> {
        let data = data.ok_or_else(|| ScimError::invalid_syntax("data: is missing."))?;
        let limit = self.asked.app.config.body_limit_user;
        if rt.relation.is_none() && !fits(&data, limit) {
            return Err(ScimError::too_large(format!("data: is larger than {limit} bytes.")));
        }
        Ok(data)
    }

    /// Which resource type, and which resource, a path names.
    fn place(&self, path: &str) -> Result<Place<'_>, ScimError> {
        let unknown = || ScimError::not_found("path: there is no such endpoint. It is such as /Users or /Users/ID.");
        // A path inside is as strict as the path of a request of its own.
        let mut quirks = self.quirks.clone();
        if !extra_slashes::allow(path, &mut quirks) {
            return Err(unknown());
        }
        let segments: Option<Vec<String>> = path::segments(path).into_iter().collect();
        let segments = segments.ok_or_else(unknown)?;
        let first = segments.first().map(String::as_str).unwrap_or_default();
        if ["Bulk", "Me"].iter().any(|name| name.eq_ignore_ascii_case(first)) {
            return Err(ScimError::invalid_value(format!("path: /{first} cannot be part of a bulk request.")));
        }
        if ["ServiceProviderConfig", "ResourceTypes", "Schemas"].iter().any(|name| name.eq_ignore_ascii_case(first)) {
            return Err(ScimError::method_not_allowed(format!("path: /{first} is read only.")));
        }
        let rt = self.asked.who.instance.registry.by_endpoint(first);
        let rt = rt.filter(|rt| route_case::is(first, &rt.endpoint, &mut quirks)).ok_or_else(unknown)?;
        match segments.as_slice() {
            [_] => Ok(Place { rt, id: None }),
            [_, id] => Ok(Place { rt, id: Some(id.clone()) }),
            _ => Err(unknown()),
        }
    }

    fn place_of(&self, path: &str, written: &Written) -> Option<String> {
        Some(location(&self.base, self.place(path).ok()?.rt, &written.stored.id))
    }
}

/// What the client is told of a failure. Trouble of the store ends the bulk.
fn told(failure: Failure, trouble: &mut Option<ScimError>) -> ScimError {
    match failure {
        Failure::Scim(error) => error,
        Failure::Store(error) => {
            tracing::error!(%error, "a bulk request met trouble of the store");
            let error = ScimError::unavailable(
                "scimgate cannot reach its database at the moment. This operation was not carried out; try again.",
            );
            *trouble = Some(error.clone());
            error
        }
    }
}

fn conflict(error: &ScimError) -> ScimError {
    let detail =
        format!("It refers in a circle to other operations, and cannot be created without them: {}", error.detail);
    ScimError { status: 409, scim_type: None, detail }
}

fn incomplete(why: &str) -> ScimError {
    let detail = format!("The resource was created without its reference to a resource that did not exist yet: {why}");
    ScimError { status: 409, scim_type: None, detail }
}

/// Whether a value is written in so many bytes.
fn fits(value: &Value, limit: usize) -> bool {
    struct Room(usize);

    impl io::Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    serde_json::to_writer(Room(limit), value).is_ok()
}
