//! API keys of instances, and the admin token.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use moka::sync::Cache;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::App;
use super::directory::time;
use super::records::{AdminError, audit};
use super::types::Instance;
use crate::inbound::Rate;
use crate::keys::{self, ApiKey, KeyType};
use crate::secrets::KeyRing;
use crate::store::{Priority, Rows, Sql, Store, StoreError, Tx, Unit};

/// How long a revocation by another replica may go unseen.
const FRESH: Duration = Duration::from_secs(5);
/// How long an unknown key stays unknown: shorter, so that a new one works soon on every replica.
const ABSENT: Duration = Duration::from_secs(1);
/// The use of a key is recorded at most so often, in microseconds.
const TOUCH: i64 = 60_000_000;
/// The longest time that a rotated key may live on.
const MAX_OVERLAP: u64 = 30 * 24 * 3600;
const MAX_NAME: usize = 200;
/// The label under which a pepper is derived from a master key.
pub(crate) const PEPPER: &str = "api key pepper";
/// The row of `setting` that holds the peppers that outlive their master key, sealed.
pub(crate) const PEPPERS: &str = "api_key_peppers";
/// The row of `setting` that holds the admin token's hash.
const ADMIN_TOKEN: &str = "admin_token_hash";
/// What a wrong key is compared with, so that it costs what a right one does.
pub(super) const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// `scim`: everything.
    Full,
    /// `scim:read`: reads.
    Read,
    /// `me`: what the person it belongs to is and has (`/Me`), and discovery.
    Me,
    /// Neither; `scim:events` alone.
    Events,
}

impl Scope {
    fn of(words: &str) -> Self {
        let has = |scope: &str| words.split(' ').any(|word| word == scope);
        if has("me") {
            Self::Me
        } else if has("scim") {
            Self::Full
        } else if has("scim:read") {
            Self::Read
        } else {
            Self::Events
        }
    }
}

/// A key as the store knows it.
#[derive(Debug)]
pub struct KnownKey {
    /// Its public id.
    pub key_id: String,
    /// The row of its instance.
    pub instance_seq: i64,
    /// What it may do.
    pub scope: Scope,
    /// The SCIM id of the User that `/Me` is.
    pub person: Option<String>,
    /// Its own limit of requests.
    pub rate_limit: Option<Rate>,
    /// `scim:events`: whether it may poll security events. No other scope includes this: who polls also
    /// acknowledges, and would take events away from their receiver.
    pub polls: bool,
    hash: String,
    not_after: Option<i64>,
    touched: AtomicI64,
}

/// Keys that were looked up lately, and the peppers of their hashes.
pub struct KeyCache {
    store: Store,
    peppers: Vec<[u8; 32]>,
    known: Cache<String, Arc<KnownKey>>,
    absent: Cache<String, ()>,
    admin: OnceLock<String>,
}

impl KeyCache {
    /// An empty cache; hashes are made with the first pepper and checked with all.
    pub fn new(store: Store, peppers: Vec<[u8; 32]>) -> Self {
        Self {
            store,
            peppers,
            known: Cache::builder().max_capacity(100_000).time_to_live(FRESH).build(),
            absent: Cache::builder().max_capacity(10_000).time_to_live(ABSENT).build(),
            admin: OnceLock::new(),
        }
    }

    /// Forgets a key, so that its revocation holds at once.
    pub fn forget(&self, key_id: &str) {
        self.known.invalidate(key_id);
        self.absent.invalidate(key_id);
    }

    async fn find(&self, key_id: &str) -> Result<Option<Arc<KnownKey>>, StoreError> {
        if let Some(known) = self.known.get(key_id) {
            return Ok(Some(known));
        }
        if self.absent.contains_key(key_id) {
            return Ok(None);
        }
        let row = self
            .store
            .reader()
            .one(
                "SELECT key_id, instance_seq, hash, scopes, person, rate_limit, not_after, last_used_at FROM api_key WHERE key_id = $1",
                vals![key_id],
            )
            .await?;
        let Some(row) = row else {
            self.absent.insert(key_id.to_owned(), ());
            return Ok(None);
        };
        let known = Arc::new(KnownKey {
            key_id: row.col("key_id")?,
            instance_seq: row.col("instance_seq")?,
            scope: Scope::of(&row.col::<String>("scopes")?),
            person: row.col("person")?,
            rate_limit: match row.col::<Option<String>>("rate_limit")? {
                None => None,
                Some(text) => Some(text.parse().map_err(|_| StoreError::damaged("api_key.rate_limit"))?),
            },
            polls: row.col::<String>("scopes")?.split(' ').any(|word| word == "scim:events"),
            hash: row.col("hash")?,
            not_after: row.col("not_after")?,
            touched: AtomicI64::new(row.col::<Option<i64>>("last_used_at")?.unwrap_or(0)),
        });
        self.known.insert(known.key_id.clone(), Arc::clone(&known));
        Ok(Some(known))
    }

    /// Records the use of a key, coarsely and off the request's path.
    fn touch(&self, key: &KnownKey, now: i64) {
        let last = key.touched.load(Ordering::Relaxed);
        if now - last < TOUCH || key.touched.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let store = self.store.clone();
        let unit = Touch { key_id: key.key_id.clone(), at: now };
        tokio::spawn(async move {
            if let Err(error) = store.write(Priority::Background, unit).await {
                tracing::debug!(%error, "the use of a key was not recorded");
            }
        });
    }

    pub(super) fn hash(&self, text: &str) -> String {
        keys::hash(self.peppers.first().unwrap_or(&[0; 32]), text)
    }

    pub(super) fn matches(&self, presented: &str, hash: &str) -> bool {
        // No early end: every pepper is tried, so that time says nothing.
        self.peppers.iter().fold(false, |found, pepper| found | keys::verify(pepper, presented, hash))
    }
}

/// The peppers of the hashes of keys: those that were kept when a master key was exchanged, then those of the ring's own
/// keys. The first one makes new hashes, so that what was kept stays enough for ever.
///
/// # Errors
/// The store's; what was kept does not open.
pub(crate) async fn peppers(store: &Store, ring: &KeyRing) -> Result<Vec<[u8; 32]>, StoreError> {
    let mut peppers = match store.setting(PEPPERS).await? {
        Some(sealed) => kept_peppers(ring, &sealed)?,
        None => Vec::new(),
    };
    peppers.extend(ring.derive_each(PEPPER));
    Ok(peppers)
}

/// The peppers that a setting holds.
pub(crate) fn kept_peppers(ring: &KeyRing, sealed: &str) -> Result<Vec<[u8; 32]>, StoreError> {
    let plain = ring
        .open(PEPPERS, sealed)
        .map_err(|error| StoreError::Other(format!("the peppers of API keys do not open: {error}")))?;
    let (peppers, rest) = plain.as_chunks::<32>();
    if peppers.is_empty() || !rest.is_empty() {
        return Err(StoreError::damaged("the peppers of API keys"));
    }
    Ok(peppers.to_vec())
}

/// What an admin gives to make a key.
#[derive(Default)]
pub struct NewKey {
    /// Its name for people.
    pub name: Option<String>,
    /// When it dies, in microseconds.
    pub expires_at: Option<i64>,
    /// `scim` (default), `scim:read`, `scim:events`; `me`, and nothing else, for the key of a person.
    pub scopes: Option<Vec<String>>,
    /// The SCIM id of the User that the key belongs to; it then opens `/Me` and nothing else.
    pub person: Option<String>,
    /// Its own limit of requests, such as `50/s`.
    pub rate_limit: Option<String>,
}

/// What a new key has from its maker, or from the key that it replaces.
struct Traits {
    name: String,
    scopes: String,
    person: Option<String>,
    rate_limit: Option<String>,
}

impl App {
    /// The key that was presented, if it is one of ours and alive. The checksum goes first, so that
    /// garbage costs no look into the store.
    ///
    /// # Errors
    /// The store's.
    pub async fn verify_key(&self, presented: &str) -> Result<Option<Arc<KnownKey>>, StoreError> {
        let Some(parsed) = keys::parse(presented).filter(|parsed| parsed.kind == KeyType::Instance) else {
            return Ok(None);
        };
        let known = self.keys.find(&parsed.key_id).await?;
        let right = self.keys.matches(presented, known.as_ref().map_or(NOBODY, |key| &key.hash));
        let now = self.clock.micros();
        let Some(key) = known.filter(|key| right && key.not_after.is_none_or(|end| now < end)) else {
            return Ok(None);
        };
        self.keys.touch(&key, now);
        Ok(Some(key))
    }

    /// Makes a key. The answer holds its text, which is shown this once.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; the store's.
    pub async fn create_key(&self, actor: &str, instance: &Instance, new: NewKey) -> Result<Value, AdminError> {
        let (mint, made) = self.prepare_key(actor, instance, new).await?;
        let created_at = self.store.write(Priority::Request, mint).await?;
        Ok(made.answer(created_at))
    }

    /// Checks what a key is to be, and makes it without storing it.
    pub(super) async fn prepare_key(
        &self,
        actor: &str,
        instance: &Instance,
        new: NewKey,
    ) -> Result<(Mint, Made), AdminError> {
        let name = new.name.unwrap_or_default();
        if name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(AdminError::invalid(
                "name",
                format!("must be at most {MAX_NAME} bytes of text without control characters"),
            ));
        }
        let scopes = match (&new.person, new.scopes) {
            (None, None) => vec!["scim".to_owned()],
            (Some(_), None) => vec!["me".to_owned()],
            (None, Some(scopes)) => {
                if scopes.iter().any(|scope| scope == "me") {
                    return Err(AdminError::invalid(
                        "person",
                        "is required by the scope \"me\": the SCIM id of a User",
                    ));
                }
                let known = |scope: &String| ["scim", "scim:read", "scim:events"].contains(&scope.as_str());
                if scopes.is_empty() || !scopes.iter().all(known) {
                    return Err(AdminError::invalid("scopes", "must hold \"scim\", \"scim:read\" or \"scim:events\""));
                }
                scopes
            }
            (Some(_), Some(scopes)) => {
                if scopes.is_empty() || scopes.iter().any(|scope| scope != "me") {
                    return Err(AdminError::invalid("scopes", "must be \"me\" for the key of a person"));
                }
                vec!["me".to_owned()]
            }
        };
        if let Some(text) = &new.rate_limit
            && let Err(problem) = text.parse::<Rate>()
        {
            return Err(AdminError::invalid("rate_limit", problem.to_string()));
        }
        if let Some(person) = &new.person {
            self.is_user(instance, person).await?;
        }
        if new.expires_at.is_some_and(|end| end <= self.clock.micros()) {
            return Err(AdminError::invalid("expires_at", "must be in the future"));
        }
        let traits = Traits { name, scopes: scopes.join(" "), person: new.person, rate_limit: new.rate_limit };
        Ok(self.mint(actor, instance, "key.create", traits, new.expires_at, None))
    }

    /// A key may be bound to a User whom the identity provider manages, and to nobody else.
    async fn is_user(&self, instance: &Instance, id: &str) -> Result<(), AdminError> {
        let found = self
            .store
            .reader()
            .one(
                "SELECT seq FROM resource WHERE id = $1 AND instance_seq = $2 AND kind = 'User' AND managed = 1 AND deleted_at IS NULL",
                vals![id, instance.seq],
            )
            .await?;
        match found {
            Some(_) => Ok(()),
            None => Err(AdminError::invalid("person", "must be the SCIM id of a User of this instance")),
        }
    }

    /// Makes a new key in place of one, which lives on for `overlap_seconds`. A key with an end gets
    /// a successor that lives as long as it was to live.
    ///
    /// # Errors
    /// No such key; one that is dead already (conflict); the store's.
    pub async fn rotate_key(
        &self,
        actor: &str,
        instance: &Instance,
        key_id: &str,
        overlap_seconds: u64,
    ) -> Result<Value, AdminError> {
        if overlap_seconds > MAX_OVERLAP {
            return Err(AdminError::invalid("overlap_seconds", format!("must be at most {MAX_OVERLAP}")));
        }
        let row = self
            .store
            .reader()
            .one(
                "SELECT name, scopes, person, rate_limit, created_at, not_after FROM api_key WHERE key_id = $1 AND instance_seq = $2",
                vals![key_id, instance.seq],
            )
            .await?
            .ok_or_else(no_key)?;
        let now = self.clock.micros();
        let end: Option<i64> = row.col("not_after")?;
        if end.is_some_and(|end| end <= now) {
            return Err(AdminError::Conflict("The key is expired or revoked. Make a new one.".to_owned()));
        }
        let lifetime = match end {
            Some(end) => Some(now + (end - row.col::<i64>("created_at")?)),
            None => None,
        };
        let until = now.saturating_add(i64::try_from(overlap_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000));
        let traits = Traits {
            name: row.col("name")?,
            scopes: row.col("scopes")?,
            person: row.col("person")?,
            rate_limit: row.col("rate_limit")?,
        };
        let (mint, made) = self.mint(actor, instance, "key.rotate", traits, lifetime, Some((key_id.to_owned(), until)));
        let created_at = self.store.write(Priority::Request, mint).await?;
        self.keys.forget(key_id);
        Ok(made.answer(created_at))
    }

    /// Revokes a key; at once here, within five seconds on other replicas.
    ///
    /// # Errors
    /// No such key; the store's.
    pub async fn revoke_key(&self, actor: &str, instance: &Instance, key_id: &str) -> Result<(), AdminError> {
        let unit = Revoke {
            actor: actor.to_owned(),
            instance_seq: instance.seq,
            instance_id: instance.id.clone(),
            key_id: key_id.to_owned(),
        };
        self.store.write(Priority::Request, unit).await?;
        self.keys.forget(key_id);
        Ok(())
    }

    /// The keys of an instance behind `after`, by id, without their text.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_keys(&self, instance: &Instance, after: &str, limit: i64) -> Result<Vec<Value>, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT key_id, name, scopes, person, rate_limit, created_at, not_after, last_used_at FROM api_key WHERE instance_seq = $1 AND key_id > $2 ORDER BY key_id LIMIT $3",
                vals![instance.seq, after, limit],
            )
            .await?;
        let now = self.clock.micros();
        rows.iter()
            .map(|row| {
                let end: Option<i64> = row.col("not_after")?;
                let scopes: String = row.col("scopes")?;
                let key_id: String = row.col("key_id")?;
                Ok(json!({
                    "client": self.clients.dialect(&key_id).map(|dialect| dialect.name),
                    "id": key_id,
                    "name": row.col::<String>("name")?,
                    "scopes": scopes.split(' ').collect::<Vec<_>>(),
                    "person": row.col::<Option<String>>("person")?,
                    "rate_limit": row.col::<Option<String>>("rate_limit")?,
                    "created_at": time(row.col("created_at")?),
                    "expires_at": end.map(time),
                    "last_used_at": row.col::<Option<i64>>("last_used_at")?.map(time),
                    "active": end.is_none_or(|end| now < end),
                }))
            })
            .collect()
    }

    fn mint(
        &self,
        actor: &str,
        instance: &Instance,
        act: &'static str,
        traits: Traits,
        not_after: Option<i64>,
        replaces: Option<(String, i64)>,
    ) -> (Mint, Made) {
        let key = ApiKey::generate(KeyType::Instance);
        let mint = Mint {
            actor: actor.to_owned(),
            act,
            instance_seq: instance.seq,
            instance_id: instance.id.clone(),
            key_id: key.key_id.clone(),
            hash: self.keys.hash(key.expose()),
            name: traits.name.clone(),
            scopes: traits.scopes.clone(),
            person: traits.person.clone(),
            rate_limit: traits.rate_limit.clone(),
            not_after,
            replaces,
        };
        self.keys.forget(&key.key_id);
        (mint, Made { key, traits, not_after })
    }

    /// Makes sure that there is an admin token: the configured one, else the one of an earlier
    /// start, else a new one, whose text is answered this once.
    ///
    /// # Errors
    /// The store's.
    pub async fn ensure_admin_token(&self) -> Result<Option<SecretString>, StoreError> {
        if let Some(chosen) = &self.config.admin_token {
            let _ = self.keys.admin.set(self.keys.hash(chosen.expose_secret()));
            return Ok(None);
        }
        let key = ApiKey::generate(KeyType::Admin);
        let mine = self.keys.hash(key.expose());
        // The first of several replicas wins; the others find its hash.
        let stored = self.store.keep_setting(ADMIN_TOKEN, mine.clone()).await?;
        let generated = stored == mine;
        let _ = self.keys.admin.set(stored);
        Ok(generated.then_some(key.secret))
    }

    /// Whether a text is the admin token.
    pub fn verify_admin(&self, presented: &str) -> bool {
        if keys::parse(presented).is_some_and(|parsed| parsed.kind != KeyType::Admin) {
            return false;
        }
        match (&self.config.admin_token, self.keys.admin.get()) {
            (Some(chosen), _) => self.keys.matches(presented, &self.keys.hash(chosen.expose_secret())),
            (None, Some(hash)) => self.keys.matches(presented, hash),
            (None, None) => false,
        }
    }

    /// The hash of the token that the gateway was started with; none before [`App::ensure_admin_token`].
    pub(super) fn admin_hash(&self) -> Option<&str> {
        self.keys.admin.get().map(String::as_str)
    }
}

fn no_key() -> AdminError {
    AdminError::NotFound("The instance has no such key.".to_owned())
}

struct Touch {
    key_id: String,
    at: i64,
}

#[async_trait]
impl Unit for Touch {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run("UPDATE api_key SET last_used_at = $2 WHERE key_id = $1", vals![self.key_id.as_str(), self.at])
            .await?;
        Ok(())
    }
}

/// A key that was made, and whom it is shown to when it is stored.
pub(super) struct Made {
    key: ApiKey,
    traits: Traits,
    not_after: Option<i64>,
}

impl Made {
    /// The answer to who asked for it, with the key's text.
    pub(super) fn answer(&self, created_at: i64) -> Value {
        json!({
            "id": self.key.key_id,
            "key": self.key.expose(),
            "name": self.traits.name,
            "scopes": self.traits.scopes.split(' ').collect::<Vec<_>>(),
            "person": self.traits.person,
            "rate_limit": self.traits.rate_limit,
            "created_at": time(created_at),
            "expires_at": self.not_after.map(time),
        })
    }
}

/// A key on its way into the store.
pub(super) struct Mint {
    actor: String,
    act: &'static str,
    instance_seq: i64,
    instance_id: String,
    key_id: String,
    hash: String,
    name: String,
    scopes: String,
    person: Option<String>,
    rate_limit: Option<String>,
    not_after: Option<i64>,
    replaces: Option<(String, i64)>,
}

impl Mint {
    /// The public id of the key.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }
}

#[async_trait]
impl Unit for Mint {
    type Out = i64;
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<i64, AdminError> {
        if let Some((old, until)) = &self.replaces {
            let retired = tx
                .conn
                .run(
                    "UPDATE api_key SET not_after = CASE WHEN not_after IS NOT NULL AND not_after < $3 THEN not_after ELSE $3 END \
                     WHERE key_id = $1 AND instance_seq = $2 AND (not_after IS NULL OR not_after > $4)",
                    vals![old.as_str(), self.instance_seq, *until, tx.now],
                )
                .await?;
            if retired == 0 {
                return Err(AdminError::Conflict("The key was rotated or revoked in between.".to_owned()));
            }
        }
        tx.conn
            .run(
                "INSERT INTO api_key (key_id, name, instance_seq, hash, scopes, person, rate_limit, created_at, not_after, last_used_at) VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,NULL)",
                vals![self.key_id.as_str(), self.name.as_str(), self.instance_seq, self.hash.as_str(), self.scopes.as_str(), self.person.clone(), self.rate_limit.clone(), tx.now, self.not_after],
            )
            .await?;
        let detail = json!({
            "key": self.key_id, "scopes": self.scopes, "person": self.person, "rate_limit": self.rate_limit,
            "replaces": self.replaces.as_ref().map(|(old, _)| old),
        });
        audit(tx, &self.actor, self.act, &self.instance_id, &detail).await?;
        Ok(tx.now)
    }
}

struct Revoke {
    actor: String,
    instance_seq: i64,
    instance_id: String,
    key_id: String,
}

#[async_trait]
impl Unit for Revoke {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let revoked = tx
            .conn
            .run(
                "UPDATE api_key SET not_after = CASE WHEN not_after IS NOT NULL AND not_after < $3 THEN not_after ELSE $3 END WHERE key_id = $1 AND instance_seq = $2",
                vals![self.key_id.as_str(), self.instance_seq, tx.now],
            )
            .await?;
        if revoked == 0 {
            return Err(no_key());
        }
        audit(tx, &self.actor, "key.revoke", &self.instance_id, &json!({"key": self.key_id})).await?;
        Ok(())
    }
}
