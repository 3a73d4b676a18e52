//! The words that the services speak.

use std::sync::Arc;

use connector_sdk::{Connector, DriverKey};
use engine::policy::{Adopt, AdoptGroups, Policy};
use jiff::Timestamp;
use scim::ScimError;
use scim::resource::Document;
use scim::schema::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clients::Spoken;
use super::queue::Queue;
use crate::store::{FromStore, StoreError};

/// The most open work of an instance, where its policy does not say.
const DEFAULT_OPEN_WORK: u32 = 1_000_000;

/// What an instance does with what it is told (DECISIONS 15).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Answers 503.
    Disabled,
    /// Accepts and plans; reads the target, writes nothing.
    Rehearse,
    /// Accepts and applies.
    Enabled,
    /// Accepts and queues; sends nothing at all.
    Paused,
}

impl Mode {
    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Rehearse => "rehearse",
            Self::Enabled => "enabled",
            Self::Paused => "paused",
        }
    }

    /// The mode of a word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Disabled, Self::Rehearse, Self::Enabled, Self::Paused].into_iter().find(|mode| mode.as_str() == word)
    }
}

/// An integration instance, ready to use. Immutable: a change makes a new one with a higher
/// `config_rev`.
pub struct Instance {
    /// Its row.
    pub seq: i64,
    /// Its public id, part of the SCIM base URL.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// The connector's name.
    pub connector_name: String,
    /// The version of the manifest that it holds to; none for a connector that is code.
    pub connector_version: Option<String>,
    /// What it does with what it is told.
    pub mode: Mode,
    /// The connector's settings, without credentials.
    pub settings: Value,
    /// Its policy.
    pub policy: Policy,
    /// Counts changes of settings, policy and credentials.
    pub config_rev: i64,
    /// What its budget follows.
    pub driver_key: DriverKey,
    /// When it was made, in microseconds.
    pub created_at: i64,
    /// Since when its links wait to be looked at, because the database was restored, in microseconds: until then nothing
    /// is written at the target.
    pub verifying_since: Option<i64>,
    /// Whether it has streams of security events; without them nothing about events is read or written.
    pub has_streams: bool,
    /// Whether it has been rehearsing since it was last enabled: what it accepted then is sent only to who
    /// names the plan of it (DECISIONS 15).
    pub rehearsed: bool,
    /// What its admin declared of schemas, as it was given.
    pub declared: Value,
    /// Its schemas and resource types: the core ones, the connector's, the declared ones.
    pub registry: Arc<Registry>,
    /// Why the declarations cannot be used any more, for the admin; then the registry is without them.
    pub schema_problem: Option<String>,
    /// How much waits for its target.
    pub queue: Arc<Queue>,
    /// The connector, or why it cannot be built (a key of the key ring is missing), for the admin.
    pub connector: Result<Arc<dyn Connector>, String>,
}

impl Instance {
    /// Whether accounts or groups that nobody manages yet may be seen and adopted (DECISIONS 1, 7).
    pub fn adopts(&self, kind: &str) -> bool {
        match kind {
            "Group" => self.policy.adopt_groups != AdoptGroups::Never,
            _ => self.policy.adopt != Adopt::Never,
        }
    }

    /// The most open work that is kept for its target.
    pub fn most_open_work(&self) -> i64 {
        i64::from(self.policy.max_open_work.unwrap_or(DEFAULT_OPEN_WORK))
    }
}

/// Who asks, for the record: which key, which request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `key:KEYID`, `admin` or `admin:NAME`.
    pub actor: String,
    /// The request's id.
    pub request_id: Option<String>,
    /// In which dialect the request is read.
    pub spoken: Spoken,
    /// Until when the answer may wait for the target, where that is sooner than the instance's policy
    /// has it: the operations of a bulk request share one deadline.
    pub wait_until: Option<Timestamp>,
    /// The request is answered 202, and its completion is told by an event.
    pub later: Option<Later>,
    /// The key is a person's own (`/Me`), not the identity provider's.
    pub own: bool,
}

impl Caller {
    /// By which way it was asked: `me`, `bulk`, `scim`, `admin`, `gateway`.
    pub(crate) fn source(&self) -> &'static str {
        match self.actor.as_str() {
            actor if !actor.starts_with("key:") => {
                if actor == "admin" || actor.starts_with("admin:") {
                    "admin"
                } else {
                    "gateway"
                }
            }
            _ if self.own => "me",
            _ if self.wait_until.is_some() => "bulk",
            _ => "scim",
        }
    }
}

/// How an asynchronous request is completed (RFC 9967 section 2.5.1).
#[derive(Clone, Debug)]
pub struct Later {
    /// What `Set-Txn` says.
    pub txn: String,
    /// `POST`, `PUT`, `PATCH`, `DELETE`.
    pub method: &'static str,
    /// The SCIM base URL, for the resource's location.
    pub base: String,
}

/// A resource of the directory, as stored; without members and groups.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its row.
    pub seq: i64,
    /// Its SCIM id.
    pub id: String,
    /// `User`, `Group`.
    pub kind: String,
    /// Its attributes, without id, meta, schemas, externalId's copy, and relation.
    pub doc: Document,
    /// `userName` or `displayName`.
    pub name: String,
    /// Whether a User is active.
    pub active: bool,
    /// Whether the identity provider manages it; false for an imported account nobody adopted.
    pub managed: bool,
    /// The ETag's number.
    pub version: i64,
    /// Counts accepted intents.
    pub rev: i64,
    /// Microseconds.
    pub created_at: i64,
    /// Microseconds.
    pub modified_at: i64,
}

/// One member of a group, as answers show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEntry {
    /// The SCIM id of the user.
    pub id: String,
    /// The user's name.
    pub display: String,
}

/// What a write did.
#[derive(Clone, Debug)]
pub struct Written {
    /// The resource as it is now.
    pub stored: Stored,
    /// Whether anything changed.
    pub changed: bool,
    /// False: accepted and converging. True: the target agrees already.
    pub settled: bool,
}

/// The condition of `If-Match` and `If-None-Match` on a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// None given.
    #[default]
    None,
    /// `*`: it must exist.
    Exists,
    /// One of these versions; without any it never holds.
    Versions(Vec<i64>),
    /// None of these versions.
    Except(Vec<i64>),
}

impl Precondition {
    /// Whether a version satisfies it.
    pub fn holds(&self, version: i64) -> bool {
        match self {
            Self::None | Self::Exists => true,
            Self::Versions(versions) => versions.contains(&version),
            Self::Except(versions) => !versions.contains(&version),
        }
    }
}

/// Why a request of the SCIM side fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The client is told this.
    #[error(transparent)]
    Scim(#[from] ScimError),
    /// The client is told 503; the log gets this.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FromStore for Failure {
    fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Scim(_) => None,
        }
    }
}
