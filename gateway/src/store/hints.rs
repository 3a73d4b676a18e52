//! What replicas on one PostgreSQL database tell each other: at most one NOTIFY per transaction, sent
//! within it, so that it comes with the commit or not at all. A hint may be lost, so whoever acts on
//! one also looks at the store from time to time: the store is the truth (DECISIONS 27).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;

use super::error::StoreError;
use super::sql::Sql;
use super::{DatabaseTransaction, Store};

/// The channel. Channels belong to one database, so other gateways on the server do not hear it.
const CHANNEL: &str = "scimgate";
/// PostgreSQL refuses payloads of 8,000 bytes and more.
const LONGEST: usize = 7_900;
/// How long until a listener that could not connect tries again.
const AGAIN: Duration = Duration::from_secs(1);

/// What a commit tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hint {
    /// There is new work under this driver key.
    Work(String),
    /// The driver put the work of this resource down: settled, or waiting.
    Settled(i64),
    /// An instance is not what it was, such as that somebody listens to its events now.
    Instance(i64),
    /// A lease is free or wanted, a run is asked for, or a replica came or went.
    Leases,
    /// A replica lives; says that hints arrive.
    Beat,
    /// Anything may have changed: more than fits, or hints were missed.
    Anything,
}

/// The sending side.
#[derive(Default)]
pub(super) struct Hints {
    /// Whether no other replica lives: then only what one that starts must know is sent.
    alone: AtomicBool,
}

impl Hints {
    /// Sends what a unit had to say, within its transaction.
    pub(super) async fn send(&self, tx: &DatabaseTransaction, mut said: Vec<Hint>) -> Result<(), StoreError> {
        if self.alone.load(Ordering::Relaxed) {
            said.retain(|hint| matches!(hint, Hint::Leases | Hint::Beat));
        }
        if said.is_empty() {
            return Ok(());
        }
        tx.run("SELECT pg_notify($1, $2)", vals![CHANNEL, payload(&said)]).await?;
        Ok(())
    }
}

fn payload(said: &[Hint]) -> String {
    match serde_json::to_string(said) {
        Ok(text) if text.len() <= LONGEST => text,
        _ => r#"["anything"]"#.to_owned(),
    }
}

/// What a payload tells. One that is not understood comes from another version.
fn read(payload: &str) -> Vec<Hint> {
    serde_json::from_str(payload).unwrap_or_else(|_| vec![Hint::Anything])
}

impl Store {
    /// Whether other replicas live, to be told of work and settlements. Until this is said they are
    /// taken to.
    pub(crate) fn set_alone(&self, alone: bool) {
        self.0.hints.alone.store(alone, Ordering::Relaxed);
    }

    /// Listens to the other replicas, for as long as the future lives; on an embedded database there
    /// are none, and it ends at once. A connection that is lost, or silent for `silence` though hints
    /// are sent more often, is made anew, and what was missed is told as [`Hint::Anything`].
    pub(crate) async fn listen(&self, silence: Duration, mut tell: impl FnMut(Hint) + Send) {
        let Some(url) = self.0.listen_at.clone() else {
            return;
        };
        loop {
            if let Err(error) = self.hear(&url, silence, &mut tell).await {
                tracing::warn!(error = %StoreError::from(error), "the connection for hints of other replicas was lost; looking at the database instead until it is back");
            }
            self.clock().sleep(AGAIN).await;
        }
    }

    async fn hear(
        &self,
        url: &SecretString,
        silence: Duration,
        tell: &mut (impl FnMut(Hint) + Send),
    ) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect(url.expose_secret()).await?;
        listener.listen(CHANNEL).await?;
        tell(Hint::Anything);
        loop {
            tokio::select! {
                heard = listener.try_recv() => match heard? {
                    Some(notification) => read(notification.payload()).into_iter().for_each(&mut *tell),
                    None => {
                        tracing::info!("the connection for hints of other replicas was lost and made again");
                        tell(Hint::Anything);
                    }
                },
                () = self.clock().sleep(silence) => {
                    tracing::info!("nothing was heard of this or any other replica; connecting anew");
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_fits_is_told_as_anything() {
        let few = vec![Hint::Work("github:https://api.github.com:1".to_owned()), Hint::Settled(7), Hint::Leases];
        assert_eq!(read(&payload(&few)), few);
        let many: Vec<Hint> = (0..2_000).map(Hint::Settled).collect();
        assert!(payload(&many).len() <= LONGEST);
        assert_eq!(read(&payload(&many)), [Hint::Anything]);
        assert_eq!(read(r#"["what a later version says"]"#), [Hint::Anything]);
    }
}
