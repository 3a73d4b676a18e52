//! Who may use the admin API and the console, and what they may do there.
//!
//! A **member** is a person or a program with a name, a role and a token, or a person who signs in to the console through the
//! provider (`oidc`) and has no token. The token that the gateway was started with is an Owner called `admin`, and no row: it
//! cannot be revoked here, so nobody is locked out.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use moka::sync::Cache;
use scim::fold::fold_name;
use sea_orm::QueryResult;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::App;
use super::directory::time;
use super::keys::NOBODY;
use super::oidc::address;
use super::records::{AdminError, Slice, audit};
use crate::keys::{self, ApiKey, KeyType};
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

/// How long a revocation by another replica may go unseen by a request with a token.
const FRESH: Duration = Duration::from_secs(2);
/// The use of a token is recorded at most so often, in microseconds.
const TOUCH: i64 = 60_000_000;
/// The longest name, in bytes.
pub(super) const MAX_NAME: usize = 100;
/// The most members at once; each is a person or a program.
pub(super) const MOST: i64 = 1_000;
/// How long an invitation may be taken, in microseconds: an address may be somebody else's some day.
pub(super) const INVITED: i64 = 14 * 86_400 * 1_000_000;
/// Name and id of the token that the gateway was started with.
pub(crate) const FIRST: &str = "admin";

/// What a member may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything but exports, which hold personal data.
    Viewer,
    /// Changes everything but members, and exports. Deletes no instance.
    Admin,
    /// Changes members, and deletes instances.
    Owner,
}

impl Role {
    /// Every role, the least first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Admin, Self::Owner];

    /// The word that the store and the API use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// The word for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Viewer => "Viewer",
            Self::Admin => "Admin",
            Self::Owner => "Owner",
        }
    }

    /// What it may do, in one sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Viewer => "Reads everything, changes nothing, exports nothing.",
            Self::Admin => "Also changes everything but members, and exports. Deletes no instance.",
            Self::Owner => "Also changes members and deletes instances.",
        }
    }

    /// The role of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// The member's id; `admin` for the token that the gateway was started with.
    pub id: String,
    /// The member's name.
    pub name: String,
    /// What they may do.
    pub role: Role,
}

impl Who {
    /// The token that the gateway was started with.
    pub(crate) fn first() -> Self {
        Self { id: FIRST.to_owned(), name: FIRST.to_owned(), role: Role::Owner }
    }

    /// How the record names them: `admin`, or `admin:` and the name.
    pub fn actor(&self) -> String {
        if self.id == FIRST { FIRST.to_owned() } else { format!("{FIRST}:{}", self.name) }
    }

    /// Themselves, as the admin API tells them.
    pub fn describe(&self) -> Value {
        json!({"id": self.id, "name": self.name, "role": self.role, "actor": self.actor()})
    }
}

/// A member with a token, as it was last read.
struct Known {
    who: Who,
    hash: String,
    not_after: Option<i64>,
    touched: AtomicI64,
}

/// Members with tokens that were looked up lately.
pub(crate) struct MemberCache(Cache<String, Option<Arc<Known>>>);

impl Default for MemberCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(10_000).time_to_live(FRESH).build())
    }
}

impl MemberCache {
    /// What is known of a member is out of date.
    pub(super) fn forget(&self, id: &str) {
        self.0.invalidate(id);
    }
}

/// What an Owner gives to make a member.
#[derive(Debug)]
pub struct NewMember {
    /// The name, unlike those of other members.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// When the membership ends, and with it the token, in microseconds.
    pub expires_at: Option<i64>,
    /// The address of a person who signs in through the provider; they get no token.
    pub email: Option<String>,
}

/// The columns of a member.
const COLUMNS: &str =
    "seq, id, name, role, created_at, created_by, not_after, last_used_at, email, issuer, subject, by_claim";

fn described(row: &QueryResult, now: i64) -> Result<Value, StoreError> {
    let end: Option<i64> = row.col("not_after")?;
    let made: i64 = row.col("created_at")?;
    let email: Option<String> = row.col("email")?;
    let joined = row.col::<Option<String>>("subject")?.is_some();
    let invited = email.is_some() && !joined;
    Ok(json!({
        "id": row.col::<String>("id")?,
        "name": row.col::<String>("name")?,
        "role": row.col::<String>("role")?,
        "created_at": time(made),
        "created_by": row.col::<String>("created_by")?,
        "expires_at": end.map(time),
        "last_used_at": row.col::<Option<i64>>("last_used_at")?.map(time),
        "active": end.is_none_or(|end| now < end) && !(invited && made + INVITED <= now),
        "signs_in_by": if invited || joined { "provider" } else { "token" },
        "email": email,
        "issuer": row.col::<Option<String>>("issuer")?,
        "invited_until": invited.then(|| time(made + INVITED)),
        "role_by_claim": row.col::<i64>("by_claim")? == 1,
    }))
}

pub(super) fn role_of(word: &str) -> Result<Role, StoreError> {
    Role::parse(word).ok_or_else(|| StoreError::damaged("the role of a member"))
}

impl App {
    /// Who has this token: the one that the gateway was started with, or a member's.
    ///
    /// # Errors
    /// The store's.
    pub async fn verify_member(&self, presented: &str) -> Result<Option<Who>, StoreError> {
        if self.verify_admin(presented) {
            return Ok(Some(Who::first()));
        }
        let Some(parsed) = keys::parse(presented).filter(|parsed| parsed.kind == KeyType::Admin) else {
            return Ok(None);
        };
        let known = self.known_member(&parsed.key_id).await?;
        let right = self.keys.matches(presented, known.as_ref().map_or(NOBODY, |known| &known.hash));
        let now = self.clock.micros();
        let Some(known) = known.filter(|known| right && known.not_after.is_none_or(|end| now < end)) else {
            return Ok(None);
        };
        self.touch_member(&known, now);
        Ok(Some(known.who.clone()))
    }

    async fn known_member(&self, id: &str) -> Result<Option<Arc<Known>>, StoreError> {
        if let Some(known) = self.members.0.get(id) {
            return Ok(known);
        }
        let text = "SELECT id, name, role, hash, not_after, last_used_at FROM admin_member WHERE id = $1 AND revoked_at IS NULL";
        let known = match self.store.reader().one(text, vals![id]).await? {
            None => None,
            Some(row) => Some(Arc::new(Known {
                who: Who { id: row.col("id")?, name: row.col("name")?, role: role_of(&row.col::<String>("role")?)? },
                hash: row.col("hash")?,
                not_after: row.col("not_after")?,
                touched: AtomicI64::new(row.col::<Option<i64>>("last_used_at")?.unwrap_or(0)),
            })),
        };
        self.members.0.insert(id.to_owned(), known.clone());
        Ok(known)
    }

    /// Records the use of a token, coarsely and off the request's path.
    fn touch_member(&self, known: &Known, now: i64) {
        let last = known.touched.load(Ordering::Relaxed);
        if now - last < TOUCH
            || known.touched.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let store = self.store.clone();
        let unit = Touch { id: known.who.id.clone(), at: now };
        tokio::spawn(async move {
            if let Err(error) = store.write(Priority::Background, unit).await {
                tracing::debug!(%error, "the use of an admin token was not recorded");
            }
        });
    }

    /// The members before row `before`, newest first, without their tokens.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_members(&self, before: i64, limit: i64) -> Result<Slice, StoreError> {
        let text = format!(
            "SELECT {COLUMNS} FROM admin_member WHERE revoked_at IS NULL AND seq < $1 ORDER BY seq DESC LIMIT $2"
        );
        let rows = self.store.reader().all(&text, vals![before, limit + 1]).await?;
        let now = self.clock.micros();
        super::records::slice(&rows, limit, |row| described(row, now))
    }

    /// One member.
    ///
    /// # Errors
    /// There is none; the store's.
    pub async fn show_member(&self, id: &str) -> Result<Value, AdminError> {
        let text = format!("SELECT {COLUMNS} FROM admin_member WHERE revoked_at IS NULL AND id = $1");
        let row = self.store.reader().one(&text, vals![id]).await?.ok_or_else(no_member)?;
        Ok(described(&row, self.clock.micros())?)
    }

    /// Makes a member. The answer holds the token, which is shown this once; a person who is invited by an address gets none.
    ///
    /// # Errors
    /// Input that cannot be used, naming the field; a name that is taken (conflict); the store's.
    pub async fn create_member(&self, actor: &str, new: NewMember) -> Result<Value, AdminError> {
        let name = new.name.trim().to_owned();
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(AdminError::invalid(
                "name",
                format!("must be 1 to {MAX_NAME} bytes of text without control characters"),
            ));
        }
        let name_key = fold_name(&name);
        if name_key == FIRST {
            return Err(AdminError::invalid("name", "must not be \"admin\": the first token has that name"));
        }
        if new.expires_at.is_some_and(|end| end <= self.clock.micros()) {
            return Err(AdminError::invalid("expires_at", "must be in the future"));
        }
        let invited = match &new.email {
            None => None,
            Some(email) => Some(self.invitation(email)?),
        };
        let key = ApiKey::generate(KeyType::Admin);
        let unit = Join {
            actor: actor.to_owned(),
            id: key.key_id.clone(),
            name,
            name_key,
            role: new.role,
            // Nothing hashes to the empty text, so who is invited has no token.
            hash: if invited.is_some() { String::new() } else { self.keys.hash(key.expose()) },
            not_after: new.expires_at,
            invited,
        };
        let token = unit.invited.is_none();
        self.store.write(Priority::Request, unit).await?;
        self.members.0.invalidate(&key.key_id);
        let mut shown = self.show_member(&key.key_id).await?;
        if token {
            shown["token"] = json!(key.expose());
        }
        Ok(shown)
    }

    /// Checks an invitation: the address, and the provider that is to say whose it is.
    fn invitation(&self, email: &str) -> Result<(String, String), AdminError> {
        let Some(oidc) = &self.oidc else {
            return Err(AdminError::invalid(
                "email",
                "no provider is set up that people could sign in through: see oidc_issuer in the configuration",
            ));
        };
        let email = address(email).ok_or_else(|| {
            AdminError::invalid("email", "must be an address such as ada@example.com, in letters without accents")
        })?;
        Ok((email, oidc.issuer().to_owned()))
    }

    /// Gives a member another role. Their sessions end: they sign in again with the new one.
    ///
    /// # Errors
    /// There is none; the store's.
    pub async fn change_member(&self, actor: &str, id: &str, role: Role) -> Result<Value, AdminError> {
        self.store.write(Priority::Request, Promote { actor: actor.to_owned(), id: id.to_owned(), role }).await?;
        self.members.0.invalidate(id);
        self.show_member(id).await
    }

    /// Takes a member's access away: the token is dead and the sessions end, at once here, within two seconds on other
    /// replicas.
    ///
    /// # Errors
    /// There is none; the store's.
    pub async fn remove_member(&self, actor: &str, id: &str) -> Result<(), AdminError> {
        self.store.write(Priority::Request, Leave { actor: actor.to_owned(), id: id.to_owned() }).await?;
        self.members.0.invalidate(id);
        Ok(())
    }
}

fn no_member() -> AdminError {
    AdminError::NotFound("There is no such member.".to_owned())
}

struct Touch {
    id: String,
    at: i64,
}

#[async_trait]
impl Unit for Touch {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run("UPDATE admin_member SET last_used_at = $2 WHERE id = $1", vals![self.id.as_str(), self.at])
            .await?;
        Ok(())
    }
}

struct Join {
    actor: String,
    id: String,
    name: String,
    name_key: String,
    role: Role,
    hash: String,
    not_after: Option<i64>,
    /// The address of a person, and the provider that is asked for it.
    invited: Option<(String, String)>,
}

#[async_trait]
impl Unit for Join {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        // The audit names members by their names: one that was anybody's stays theirs.
        let taken = "SELECT CASE WHEN revoked_at IS NULL THEN 0 ELSE 1 END AS gone FROM admin_member WHERE name_key = $1 ORDER BY revoked_at IS NOT NULL LIMIT 1";
        if let Some(row) = tx.conn.one(taken, vals![self.name_key.as_str()]).await? {
            let verb = if row.col::<i32>("gone")? == 1 { "was" } else { "is" };
            return Err(AdminError::Conflict(format!(
                "There {verb} a member called \"{}\" already. The record knows members by their names: choose another.",
                self.name
            )));
        }
        if let Some((email, issuer)) = &self.invited {
            let known = "SELECT name FROM admin_member WHERE revoked_at IS NULL AND email = $1 AND (subject IS NULL OR issuer = $2)";
            if let Some(row) = tx.conn.one(known, vals![email.as_str(), issuer.as_str()]).await? {
                let name: String = row.col("name")?;
                return Err(AdminError::Conflict(format!(
                    "That address is the one of \"{name}\" already. To invite anew, remove that member first."
                )));
            }
        }
        let count = tx.conn.one("SELECT COUNT(*) AS n FROM admin_member WHERE revoked_at IS NULL", vals![]).await?;
        if count.map_or(Ok(0), |row| row.col::<i64>("n"))? >= MOST {
            return Err(AdminError::Conflict(format!(
                "There are {MOST} members already. Remove those that are not needed."
            )));
        }
        tx.conn
            .run(
                "INSERT INTO admin_member (id, seq, name, name_key, role, hash, created_at, created_by, not_after, email) \
                 VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10)",
                vals![
                    self.id.as_str(),
                    tx.seq()?,
                    self.name.as_str(),
                    self.name_key.as_str(),
                    self.role.as_str(),
                    self.hash.as_str(),
                    tx.now,
                    self.actor.as_str(),
                    self.not_after,
                    self.invited.as_ref().map(|(email, _)| email.as_str())
                ],
            )
            .await?;
        let mut detail = json!({"member": self.id, "role": self.role, "expires_at": self.not_after.map(time)});
        if let Some((email, _)) = &self.invited {
            detail["email"] = json!(email);
        }
        audit(tx, &self.actor, "member.create", &self.name, &detail).await?;
        Ok(())
    }
}

/// The name and role of a member who is there, locked; and whether a claim says the role.
async fn locked(tx: &Tx<'_>, id: &str) -> Result<(String, String, bool), AdminError> {
    let text = format!(
        "SELECT name, role, by_claim FROM admin_member WHERE id = $1 AND revoked_at IS NULL{}",
        tx.conn.for_update()
    );
    let row = tx.conn.one(&text, vals![id]).await?.ok_or_else(no_member)?;
    Ok((row.col("name")?, row.col("role")?, row.col::<i64>("by_claim")? == 1))
}

/// Ends every session of a member.
pub(super) async fn end_sessions(tx: &Tx<'_>, id: &str) -> Result<(), StoreError> {
    tx.conn.run("DELETE FROM console_session WHERE member_id = $1", vals![id]).await?;
    Ok(())
}

struct Promote {
    actor: String,
    id: String,
    role: Role,
}

#[async_trait]
impl Unit for Promote {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let (name, before, by_claim) = locked(tx, &self.id).await?;
        if before == self.role.as_str() {
            return Ok(());
        }
        if by_claim {
            return Err(AdminError::Conflict(format!(
                "The role of \"{name}\" follows from what the sign-in provider says of them. Change it there; it holds from \
                 their next sign-in."
            )));
        }
        tx.conn
            .run("UPDATE admin_member SET role = $2 WHERE id = $1", vals![self.id.as_str(), self.role.as_str()])
            .await?;
        end_sessions(tx, &self.id).await?;
        let detail = json!({"member": self.id, "from": before, "to": self.role});
        audit(tx, &self.actor, "member.change", &name, &detail).await?;
        Ok(())
    }
}

struct Leave {
    actor: String,
    id: String,
}

#[async_trait]
impl Unit for Leave {
    type Out = ();
    type Err = AdminError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), AdminError> {
        let (name, role, _) = locked(tx, &self.id).await?;
        tx.conn
            .run(
                "UPDATE admin_member SET revoked_at = $2, revoked_by = $3 WHERE id = $1",
                vals![self.id.as_str(), tx.now, self.actor.as_str()],
            )
            .await?;
        end_sessions(tx, &self.id).await?;
        audit(tx, &self.actor, "member.remove", &name, &json!({"member": self.id, "role": role})).await?;
        Ok(())
    }
}
