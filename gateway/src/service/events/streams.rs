//! Streams of security events, for the admin.

use scim::discovery::SecurityEvents;
use scim::event::{Kind, Payload};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::super::App;
use super::super::records::{AdminError, audit};
use super::outbox::Events;
use super::{kinds, payload};
use crate::service::directory::time;
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, StoreError};
use crate::transport::check_url;

mod tx;

use tx::{Delete, Insert, Update};

/// Streams of one instance at most: every change is written once per stream.
const MOST: i64 = 8;
const MAX_NAME: usize = 200;
const MAX_URL: usize = 2_000;
const MAX_SECRET: usize = 8_000;
/// Refused events that a stream shows.
const SHOWN_REFUSALS: i64 = 20;

/// What an admin gives to make a stream.
#[derive(Default)]
pub struct NewStream {
    /// Its name for people.
    pub name: String,
    /// `poll` or `push`.
    pub delivery: String,
    /// Where a push goes.
    pub endpoint_url: Option<String>,
    /// The `Authorization` header of a push.
    pub authorization: Option<SecretString>,
    /// Names of kinds; none means all.
    pub events: Option<Vec<String>>,
    /// `notice` (default) or `full`.
    pub payload: Option<String>,
    /// Who the events are for.
    pub audience: Option<String>,
}

/// What an admin changes of a stream. What is none stays.
#[derive(Default)]
pub struct StreamChange {
    /// Its name for people.
    pub name: Option<String>,
    /// Where a push goes. The authorization has to be given again with it.
    pub endpoint_url: Option<String>,
    /// The `Authorization` header of a push; an inner none removes it.
    pub authorization: Option<Option<SecretString>>,
    /// Names of kinds.
    pub events: Option<Vec<String>>,
    /// `notice` or `full`.
    pub payload: Option<String>,
    /// Who the events are for.
    pub audience: Option<String>,
    /// Whether delivery rests; events wait meanwhile.
    pub paused: Option<bool>,
    /// Whether a verification event is to be sent.
    pub verify: bool,
}

/// The columns that an admin chooses.
#[derive(Clone)]
struct Form {
    name: String,
    endpoint_url: Option<String>,
    sealed: Option<String>,
    kinds: String,
    payload: String,
    audience: String,
    paused: bool,
}

fn no_stream() -> AdminError {
    AdminError::NotFound("This instance has no such event stream.".to_owned())
}

fn check_text(field: &str, text: &str) -> Result<(), AdminError> {
    if text.is_empty() || text.len() > MAX_NAME || text.chars().any(char::is_control) {
        return Err(AdminError::invalid(
            field,
            format!("must be 1 to {MAX_NAME} bytes of text without control characters"),
        ));
    }
    Ok(())
}

fn check_payload(word: &str) -> Result<(), AdminError> {
    if word != "notice" && word != "full" {
        return Err(AdminError::invalid("payload", "must be \"notice\" or \"full\""));
    }
    Ok(())
}

/// The stored form of a list of kinds.
fn chosen(names: Option<&[String]>) -> Result<String, AdminError> {
    let mut chosen: Vec<Kind> = match names {
        None => Kind::ALL.to_vec(),
        Some([all]) if all == "all" => Kind::ALL.to_vec(),
        Some(names) => {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            let message =
                || format!("must be \"all\" or a list of {}; `payload` says notice or full", known.join(", "));
            let kinds = names
                .iter()
                .take(64)
                .map(|name| Kind::parse(name).ok_or_else(|| AdminError::invalid("events", message())));
            kinds.collect::<Result<_, _>>()?
        }
    };
    chosen.sort_unstable();
    chosen.dedup();
    if chosen.is_empty() {
        return Err(AdminError::invalid("events", "must name at least one kind of event"));
    }
    Ok(json!(chosen.iter().map(|kind| kind.name()).collect::<Vec<_>>()).to_string())
}

impl App {
    fn check_endpoint(&self, url: &str) -> Result<(), AdminError> {
        let invalid = |why: &str| AdminError::invalid("endpoint_url", why.to_owned());
        if url.len() > MAX_URL {
            return Err(invalid("is too long"));
        }
        let parsed =
            Url::parse(url).map_err(|_| invalid("must be a URL such as https://receiver.example.com/events"))?;
        if parsed.fragment().is_some() {
            return Err(invalid("must not have a fragment"));
        }
        check_url(&parsed, self.config.allow_private_targets).map_err(|why| {
            invalid(&format!(
                "may not be called: {why}. For receivers in a private network, or reached by plain http, the operator sets SCIMGATE_ALLOW_PRIVATE_TARGETS"
            ))
        })
    }

    fn seal_authorization(
        &self,
        instance: &Instance,
        stream: &str,
        secret: &SecretString,
    ) -> Result<String, AdminError> {
        let text = secret.expose_secret();
        if text.is_empty() || text.len() > MAX_SECRET || http::HeaderValue::from_str(text).is_err() {
            return Err(AdminError::invalid(
                "authorization",
                "must be what stands behind \"Authorization:\", such as \"Bearer …\"",
            ));
        }
        Ok(self.ring.seal(&Events::place(&instance.id, stream), text.as_bytes()))
    }

    /// Makes a stream; with the first one, security events are on for the instance.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; a conflict beyond eight streams; the store's.
    pub async fn create_event_stream(
        &self,
        actor: &str,
        instance: &Instance,
        new: NewStream,
    ) -> Result<Value, AdminError> {
        check_text("name", &new.name)?;
        let id = format!("es_{}", Uuid::new_v4().simple());
        let push = match new.delivery.as_str() {
            "poll" => false,
            "push" => true,
            _ => return Err(AdminError::invalid("delivery", "must be \"poll\" or \"push\"")),
        };
        match (push, &new.endpoint_url) {
            (true, Some(url)) => self.check_endpoint(url)?,
            (true, None) => {
                return Err(AdminError::invalid("endpoint_url", "is missing; a push needs to know where to"));
            }
            (false, Some(_)) => return Err(AdminError::invalid("endpoint_url", "is for push alone")),
            (false, None) if new.authorization.is_some() => {
                return Err(AdminError::invalid(
                    "authorization",
                    "is for push alone; polls use a key with the scope scim:events",
                ));
            }
            (false, None) => {}
        }
        let sealed =
            new.authorization.as_ref().map(|secret| self.seal_authorization(instance, &id, secret)).transpose()?;
        let payload = new.payload.unwrap_or_else(|| "notice".to_owned());
        check_payload(&payload)?;
        let audience =
            new.audience.or_else(|| new.endpoint_url.clone()).unwrap_or_else(|| self.poll_url(instance, &id));
        if audience.len() > MAX_URL || audience.is_empty() || audience.chars().any(char::is_control) {
            return Err(AdminError::invalid("audience", "must be a short text, usually a URL"));
        }
        let kinds = chosen(new.events.as_deref())?;
        let form =
            Form { name: new.name, endpoint_url: new.endpoint_url, sealed, kinds, payload, audience, paused: false };
        let unit = Insert {
            actor: actor.to_owned(),
            instance: instance.seq,
            instance_id: instance.id.clone(),
            id: id.clone(),
            form,
        };
        self.store.write(Priority::Request, unit).await?;
        self.instances.invalidate(instance.seq);
        self.event_stream(instance, &id).await
    }

    /// Changes, pauses, resumes or verifies a stream. What failed before is tried again at once.
    ///
    /// # Errors
    /// No such stream; input that cannot be used, naming the field; the store's.
    pub async fn change_event_stream(
        &self,
        actor: &str,
        instance: &Instance,
        id: &str,
        change: StreamChange,
    ) -> Result<Value, AdminError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT seq, name, endpoint_url, authorization_sealed, kinds, payload, audience, paused FROM event_stream WHERE id = $1 AND instance_seq = $2",
                vals![id, instance.seq],
            )
            .await?
            .ok_or_else(no_stream)?;
        let mut form = Form {
            name: row.col("name")?,
            endpoint_url: row.col("endpoint_url")?,
            sealed: row.col("authorization_sealed")?,
            kinds: row.col("kinds")?,
            payload: row.col("payload")?,
            audience: row.col("audience")?,
            paused: row.col::<i16>("paused")? == 1,
        };
        let mut fields = Vec::new();
        if let Some(name) = change.name {
            check_text("name", &name)?;
            form.name = name;
            fields.push("name");
        }
        if form.endpoint_url.is_none() && (change.endpoint_url.is_some() || change.authorization.is_some()) {
            return Err(AdminError::invalid(
                "endpoint_url",
                "and authorization are for push alone; make another stream",
            ));
        }
        if let Some(url) = change.endpoint_url.filter(|url| form.endpoint_url.as_ref() != Some(url)) {
            self.check_endpoint(&url)?;
            // Who may change the URL must not learn by it what the former receiver was sent.
            if form.sealed.is_some() && change.authorization.is_none() {
                return Err(AdminError::invalid("authorization", "must be given again when endpoint_url changes"));
            }
            form.endpoint_url = Some(url);
            fields.push("endpoint_url");
        }
        if let Some(secret) = change.authorization {
            form.sealed = secret.as_ref().map(|secret| self.seal_authorization(instance, id, secret)).transpose()?;
            fields.push("authorization");
        }
        if let Some(names) = change.events {
            form.kinds = chosen(Some(&names))?;
            fields.push("events");
        }
        if let Some(payload) = change.payload {
            check_payload(&payload)?;
            form.payload = payload;
            fields.push("payload");
        }
        if let Some(audience) = change.audience {
            if audience.len() > MAX_URL || audience.is_empty() || audience.chars().any(char::is_control) {
                return Err(AdminError::invalid("audience", "must be a short text, usually a URL"));
            }
            form.audience = audience;
            fields.push("audience");
        }
        if let Some(paused) = change.paused {
            form.paused = paused;
            fields.push("paused");
        }
        let unit = Update {
            actor: actor.to_owned(),
            seq: row.col("seq")?,
            id: id.to_owned(),
            target: format!("{}/{id}", instance.id),
            form,
            fields,
            verify: change.verify,
        };
        let verification = self.store.write(Priority::Request, unit).await?;
        let mut shown = self.event_stream(instance, id).await?;
        if let Some((jti, state)) = verification {
            shown["verification"] = json!({"jti": jti, "state": state});
        }
        Ok(shown)
    }

    /// Deletes a stream with what waits in it; with the last one, security events are off for the instance.
    ///
    /// # Errors
    /// No such stream; the store's.
    pub async fn delete_event_stream(&self, actor: &str, instance: &Instance, id: &str) -> Result<(), AdminError> {
        let unit = Delete {
            actor: actor.to_owned(),
            instance: instance.seq,
            instance_id: instance.id.clone(),
            id: id.to_owned(),
        };
        self.store.write(Priority::Request, unit).await?;
        self.instances.invalidate(instance.seq);
        Ok(())
    }

    /// The streams of an instance.
    ///
    /// # Errors
    /// The store's.
    pub async fn event_streams(&self, instance: &Instance) -> Result<Vec<Value>, StoreError> {
        let rows = self
            .store
            .reader()
            .all("SELECT * FROM event_stream WHERE instance_seq = $1 ORDER BY seq", vals![instance.seq])
            .await?;
        let mut all = Vec::with_capacity(rows.len());
        for row in &rows {
            all.push(self.show(instance, row).await?);
        }
        Ok(all)
    }

    /// One stream, with the last events that its receiver refused.
    ///
    /// # Errors
    /// No such stream; the store's.
    pub async fn event_stream(&self, instance: &Instance, id: &str) -> Result<Value, AdminError> {
        let row = self
            .store
            .reader()
            .one("SELECT * FROM event_stream WHERE id = $1 AND instance_seq = $2", vals![id, instance.seq])
            .await?
            .ok_or_else(no_stream)?;
        let mut shown = self.show(instance, &row).await?;
        let rows = self
            .store
            .reader()
            .all(
                "SELECT jti, txn, refusal FROM event WHERE stream_seq = $1 AND refusal IS NOT NULL ORDER BY place DESC, seq DESC LIMIT $2",
                vals![row.col::<i64>("seq")?, SHOWN_REFUSALS],
            )
            .await?;
        let mut refusals = Vec::with_capacity(rows.len());
        for row in &rows {
            let words: Value = serde_json::from_str(&row.col::<String>("refusal")?).unwrap_or_default();
            refusals.push(json!({
                "jti": row.col::<String>("jti")?,
                "txn": row.col::<String>("txn")?,
                "err": words["err"],
                "description": words["description"],
                "at": words["at"].as_i64().map(time),
            }));
        }
        shown["refusals"] = refusals.into();
        Ok(shown)
    }

    fn poll_url(&self, instance: &Instance, id: &str) -> String {
        format!("{}/Events/{id}", self.scim_base_url(&instance.id))
    }

    async fn show(&self, instance: &Instance, row: &sea_orm::QueryResult) -> Result<Value, StoreError> {
        let id: String = row.col("id")?;
        let waits = self
            .store
            .reader()
            .one(
                "SELECT COUNT(*) AS n, MIN(at) AS oldest FROM event WHERE stream_seq = $1 AND refusal IS NULL",
                vals![row.col::<i64>("seq")?],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("event"))?;
        let (chosen, told) = (kinds(&row.col::<String>("kinds")?), row.col::<String>("payload")?);
        let uris: Vec<String> = chosen.iter().flat_map(|kind| kind.uris(payload(&told))).collect();
        let delivery: String = row.col("delivery")?;
        let poll_url = (delivery == "poll").then(|| self.poll_url(instance, &id));
        let tries: i64 = row.col("tries")?;
        let due: i64 = row.col("due_at")?;
        let at = |column: &str| -> Result<Option<String>, StoreError> { Ok(row.col::<Option<i64>>(column)?.map(time)) };
        Ok(json!({
            "id": id,
            "name": row.col::<String>("name")?,
            "delivery": delivery,
            "poll_url": poll_url,
            "endpoint_url": row.col::<Option<String>>("endpoint_url")?,
            "has_authorization": row.col::<Option<String>>("authorization_sealed")?.is_some(),
            "events": chosen.iter().map(|kind| kind.name()).collect::<Vec<_>>(),
            "event_uris": uris,
            "payload": told,
            "audience": row.col::<String>("audience")?,
            "paused": row.col::<i16>("paused")? == 1,
            "pending": waits.col::<i64>("n")?,
            "oldest_at": waits.col::<Option<i64>>("oldest")?.map(time),
            "delivered": row.col::<i64>("delivered")?,
            "refused": row.col::<i64>("refused")?,
            "dropped": row.col::<i64>("dropped")?,
            "failures_in_a_row": tries,
            "next_try_at": (tries > 0).then(|| time(due)),
            "last_error": row.col::<Option<String>>("last_error")?,
            "last_error_at": at("last_error_at")?,
            "last_delivered_at": at("delivered_at")?,
            "created_at": at("created_at")?,
        }))
    }

    /// What the instance announces of security events; none while they are off. What a paused stream takes counts:
    /// it is delivered later.
    ///
    /// # Errors
    /// The store's.
    pub async fn security_events(&self, instance: &Instance) -> Result<Option<SecurityEvents>, StoreError> {
        if !instance.has_streams {
            return Ok(None);
        }
        let rows = self
            .store
            .reader()
            .all("SELECT kinds, payload FROM event_stream WHERE instance_seq = $1", vals![instance.seq])
            .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut taken: Vec<(Kind, Vec<String>)> = Vec::new();
        for row in &rows {
            let payload: Payload = payload(&row.col::<String>("payload")?);
            taken.extend(kinds(&row.col::<String>("kinds")?).into_iter().map(|kind| (kind, kind.uris(payload))));
        }
        let on_request = taken.iter().any(|(kind, _)| *kind == Kind::Response);
        let mut uris: Vec<String> = taken.into_iter().flat_map(|(_, uris)| uris).collect();
        uris.sort();
        uris.dedup();
        Ok(Some(SecurityEvents { on_request, uris }))
    }
}
