//! Alerts: what an admin has to know of before looking. Each is told by the log, by a counter, and by
//! signed webhooks in the form of Standard Webhooks 1.0.0. None holds personal data.
//!
//! A message is a row until its receiver took it, so that a restart loses none; it keeps its id however
//! often it is sent.

mod tx;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use sea_orm::QueryResult;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::App;
use super::directory::time;
use super::records::AdminError;
use crate::keys::fill_random;
use crate::store::{Priority, Rows, Sql, StoreError};
use crate::transport::check_url;

pub(crate) use tx::{Arrived, Condition, Raise, Undelivered};
use tx::{Delete, Insert, Test};

/// Webhooks at most.
const MOST: i64 = 16;
const MAX_URL: usize = 2_000;
/// Bytes of a secret: 24 to 64 are allowed.
const SECRET: usize = 32;

/// What alerts are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The brake holds something.
    HoldOpened,
    /// It still does.
    HoldReminder,
    /// Somebody who should have lost access still has it after five minutes.
    DeprovisionOverdue,
    /// The target refuses the credential.
    CredentialDead,
    /// The target does not answer for minutes.
    BreakerOpen,
    /// Work needs a person to act.
    NeedsAppeared,
    /// A comparison with the target failed.
    RunFailed,
    /// A person was asked for something and did not do it in time.
    TaskOverdue,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 8] = [
        Self::HoldOpened,
        Self::HoldReminder,
        Self::DeprovisionOverdue,
        Self::CredentialDead,
        Self::BreakerOpen,
        Self::NeedsAppeared,
        Self::RunFailed,
        Self::TaskOverdue,
    ];

    /// The word that the store, messages and metrics use.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::HoldOpened => "hold.opened",
            Self::HoldReminder => "hold.reminder",
            Self::DeprovisionOverdue => "deprovision.overdue",
            Self::CredentialDead => "credential.dead",
            Self::BreakerOpen => "breaker.open",
            Self::NeedsAppeared => "needs.appeared",
            Self::RunFailed => "run.failed",
            Self::TaskOverdue => "task.overdue",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Where a webhook's secret is sealed.
pub(crate) fn place(webhook: &str) -> String {
    format!("alert-webhook/{webhook}")
}

/// The headers of a message: its id, when it is sent (seconds since 1970), and the signature over both
/// and the body (Standard Webhooks 1.0.0, "Signature scheme").
pub(crate) fn headers(secret: &[u8], id: &str, seconds: i64, body: &str) -> HeaderMap {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mac = hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes());
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let named = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", format!("v1,{}", STANDARD.encode(mac.as_ref()))),
    ];
    for (name, value) in named {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    headers
}

fn no_webhook() -> AdminError {
    AdminError::NotFound("There is no such alert webhook.".to_owned())
}

impl App {
    /// Makes an alert webhook. The answer holds its secret, which is shown this once.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; a conflict beyond sixteen; the store's.
    pub async fn create_alert_webhook(
        &self,
        actor: &str,
        url: &str,
        events: Option<Vec<String>>,
    ) -> Result<Value, AdminError> {
        self.check_receiver(url)?;
        let kinds = chosen(events.as_deref())?;
        let id = format!("aw_{}", Uuid::new_v4().simple());
        let mut secret = [0_u8; SECRET];
        fill_random(&mut secret);
        let insert = Insert {
            actor: actor.to_owned(),
            id: id.clone(),
            url: url.to_owned(),
            kinds: json!(kinds).to_string(),
            sealed: self.ring.seal(&place(&id), &secret),
        };
        self.store.write(Priority::Request, insert).await?;
        let mut shown = self.alert_webhook(&id).await?;
        shown["secret"] = format!("whsec_{}", STANDARD.encode(secret)).into();
        Ok(shown)
    }

    fn check_receiver(&self, url: &str) -> Result<(), AdminError> {
        let invalid = |why: &str| AdminError::invalid("url", why.to_owned());
        if url.len() > MAX_URL {
            return Err(invalid("is too long"));
        }
        let parsed =
            Url::parse(url).map_err(|_| invalid("must be a URL such as https://alerts.example.com/scimgate"))?;
        if parsed.fragment().is_some() {
            return Err(invalid("must not have a fragment"));
        }
        check_url(&parsed, self.config.allow_private_targets).map_err(|why| {
            invalid(&format!(
                "may not be called: {why}. For receivers in a private network, or reached by plain http, the operator sets SCIMGATE_ALLOW_PRIVATE_TARGETS"
            ))
        })
    }

    /// The alert webhooks, with how their delivery stands.
    ///
    /// # Errors
    /// The store's.
    pub async fn alert_webhooks(&self) -> Result<Vec<Value>, StoreError> {
        let rows = self.store.reader().all(&format!("{WEBHOOK} ORDER BY w.seq"), vals![]).await?;
        rows.iter().map(webhook).collect()
    }

    /// One alert webhook.
    ///
    /// # Errors
    /// No such webhook; the store's.
    pub async fn alert_webhook(&self, id: &str) -> Result<Value, AdminError> {
        let row = self.store.reader().one(&format!("{WEBHOOK} WHERE w.id = $1"), vals![id]).await?;
        Ok(webhook(&row.ok_or_else(no_webhook)?)?)
    }

    /// Deletes an alert webhook with what waits for it.
    ///
    /// # Errors
    /// No such webhook; the store's.
    pub async fn delete_alert_webhook(&self, actor: &str, id: &str) -> Result<(), AdminError> {
        self.store.write(Priority::Request, Delete { actor: actor.to_owned(), id: id.to_owned() }).await
    }

    /// Sends a message of the type `test` to a webhook, whatever its events; the message's id. A
    /// webhook that was switched off because its receiver is gone is switched on again.
    ///
    /// # Errors
    /// No such webhook; the store's.
    pub async fn test_alert_webhook(&self, actor: &str, id: &str) -> Result<Value, AdminError> {
        let message = self.store.write(Priority::Request, Test { actor: actor.to_owned(), id: id.to_owned() }).await?;
        Ok(json!({"message": message}))
    }
}

const WEBHOOK: &str =
    "SELECT w.*, (SELECT COUNT(*) FROM alert_message m WHERE m.webhook_seq = w.seq) AS pending FROM alert_webhook w";

fn webhook(row: &QueryResult) -> Result<Value, StoreError> {
    let kinds: Value = serde_json::from_str(&row.col::<String>("kinds")?).unwrap_or_default();
    let at = |column: &str| -> Result<Option<String>, StoreError> { Ok(row.col::<Option<i64>>(column)?.map(time)) };
    Ok(json!({
        "id": row.col::<String>("id")?,
        "url": row.col::<String>("url")?,
        "events": kinds,
        "pending": row.col::<i64>("pending")?,
        "delivered": row.col::<i64>("delivered")?,
        "dropped": row.col::<i64>("dropped")?,
        "last_error": row.col::<Option<String>>("last_error")?,
        "last_error_at": at("last_error_at")?,
        "last_delivered_at": at("delivered_at")?,
        "disabled_at": at("disabled_at")?,
        "created_at": at("created_at")?,
    }))
}

/// The kinds that names mean; all where there are none.
fn chosen(names: Option<&[String]>) -> Result<Vec<&'static str>, AdminError> {
    let known = || Kind::ALL.map(Kind::as_str).join(", ");
    let mut kinds: Vec<&'static str> = match names {
        None => Kind::ALL.map(Kind::as_str).to_vec(),
        Some([all]) if all == "all" => Kind::ALL.map(Kind::as_str).to_vec(),
        Some(names) => {
            let kinds = names.iter().take(64).map(|name| {
                Kind::parse(name)
                    .map(Kind::as_str)
                    .ok_or_else(|| AdminError::invalid("events", format!("must be a list of {}", known())))
            });
            kinds.collect::<Result<_, _>>()?
        }
    };
    kinds.sort_unstable();
    kinds.dedup();
    if kinds.is_empty() {
        return Err(AdminError::invalid("events", format!("must name at least one of {}", known())));
    }
    Ok(kinds)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example that the specification's own libraries are tested with.
    #[test]
    fn a_message_is_signed_as_standard_webhooks_says() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let got = headers(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(got["webhook-signature"], "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(got["webhook-timestamp"], "1614265330");
        assert_eq!(got["webhook-id"], "msg_p5jXN8AQM9LWM0D4loKWxJek");
    }

    #[test]
    fn kinds_read_back_and_unknown_ones_are_named() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(chosen(None).unwrap().len(), Kind::ALL.len());
        assert_eq!(chosen(Some(&["run.failed".to_owned(), "run.failed".to_owned()])).unwrap(), ["run.failed"]);
        for wrong in [vec![], vec!["run".to_owned()]] {
            assert!(matches!(chosen(Some(&wrong)), Err(AdminError::Invalid { field, .. }) if field == "events"));
        }
    }
}
