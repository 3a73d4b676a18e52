//! Whether somebody whom the provider knows is a member.

use async_trait::async_trait;
use scim::fold::fold_name;
use sea_orm::QueryResult;
use serde_json::{Value, json};

use super::person::Person;
use crate::keys::{ApiKey, KeyType};
use crate::service::members::{FIRST, INVITED, MAX_NAME, MOST, Role, Who, end_sessions, role_of};
use crate::service::records::audit;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// How the audit names the provider's word.
const PROVIDER: &str = "provider";

/// What became of somebody.
pub(super) enum Outcome {
    /// They are a member.
    In(Who),
    /// They are none.
    Stranger,
    /// They were one by a claim, and an Owner removed them.
    Removed,
    /// They were one until a time that is over.
    Ended,
}

/// Finds, joins or makes the member that a person is.
pub(super) struct Admit {
    pub(super) issuer: String,
    pub(super) person: Person,
}

#[async_trait]
impl Unit for Admit {
    type Out = Outcome;
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<Outcome, StoreError> {
        if let Some(row) = self.known(tx).await? {
            return self.again(tx, &row).await;
        }
        if let Some(row) = self.invited(tx).await? {
            return self.joins(tx, &row).await;
        }
        match self.person.role {
            Some(role) => self.comes_by_claim(tx, role).await,
            None => Ok(Outcome::Stranger),
        }
    }
}

fn over(row: &QueryResult, now: i64) -> Result<bool, StoreError> {
    Ok(row.col::<Option<i64>>("not_after")?.is_some_and(|end| end <= now))
}

impl Admit {
    async fn known(&self, tx: &Tx<'_>) -> Result<Option<QueryResult>, StoreError> {
        let text = format!(
            "SELECT id, name, role, not_after, by_claim FROM admin_member \
             WHERE issuer = $1 AND subject = $2 AND revoked_at IS NULL{}",
            tx.conn.for_update()
        );
        tx.conn.one(&text, vals![self.issuer.as_str(), self.person.subject.as_str()]).await
    }

    /// The invitation of an address, which counts if the provider says that the address is theirs.
    async fn invited(&self, tx: &Tx<'_>) -> Result<Option<QueryResult>, StoreError> {
        let Some(email) = self.person.email.as_deref().filter(|_| self.person.verified) else { return Ok(None) };
        let text = format!(
            "SELECT id, name, role, not_after FROM admin_member \
             WHERE email = $1 AND subject IS NULL AND revoked_at IS NULL AND created_at > $2{}",
            tx.conn.for_update()
        );
        tx.conn.one(&text, vals![email, tx.now - INVITED]).await
    }

    /// A member comes again. Where a claim gives the role, it is the one of today.
    async fn again(&self, tx: &Tx<'_>, row: &QueryResult) -> Result<Outcome, StoreError> {
        let (id, name): (String, String) = (row.col("id")?, row.col("name")?);
        let role = role_of(&row.col::<String>("role")?)?;
        if over(row, tx.now)? {
            return Ok(Outcome::Ended);
        }
        if row.col::<i64>("by_claim")? == 0 || self.person.role == Some(role) {
            return Ok(Outcome::In(Who { id, name, role }));
        }
        end_sessions(tx, &id).await?;
        let Some(now) = self.person.role else { return Ok(Outcome::Stranger) };
        let text = "UPDATE admin_member SET role = $2 WHERE id = $1";
        tx.conn.run(text, vals![id.as_str(), now.as_str()]).await?;
        let detail = json!({"member": id, "from": role, "to": now});
        audit(tx, PROVIDER, "member.change", &name, &detail).await?;
        Ok(Outcome::In(Who { id, name, role: now }))
    }

    /// Somebody who was invited comes for the first time: from now on they are this person.
    async fn joins(&self, tx: &Tx<'_>, row: &QueryResult) -> Result<Outcome, StoreError> {
        let (id, name): (String, String) = (row.col("id")?, row.col("name")?);
        if over(row, tx.now)? {
            return Ok(Outcome::Ended);
        }
        let who = Who { id, name, role: role_of(&row.col::<String>("role")?)? };
        let text = "UPDATE admin_member SET issuer = $2, subject = $3 WHERE id = $1";
        let values = vals![who.id.as_str(), self.issuer.as_str(), self.person.subject.as_str()];
        tx.conn.run(text, values).await?;
        let detail = json!({"member": who.id, "issuer": self.issuer, "subject": self.person.subject});
        audit(tx, &who.actor(), "member.join", &who.name, &detail).await?;
        Ok(Outcome::In(who))
    }

    /// Somebody to whom a claim gives a role comes for the first time.
    async fn comes_by_claim(&self, tx: &Tx<'_>, role: Role) -> Result<Outcome, StoreError> {
        let removed = "SELECT id FROM admin_member WHERE issuer = $1 AND subject = $2 AND revoked_at IS NOT NULL";
        let person = vals![self.issuer.as_str(), self.person.subject.as_str()];
        if tx.conn.one(removed, person).await?.is_some() {
            return Ok(Outcome::Removed);
        }
        let count = tx.conn.one("SELECT COUNT(*) AS n FROM admin_member WHERE revoked_at IS NULL", vals![]).await?;
        if count.map_or(Ok(0), |row| row.col::<i64>("n"))? >= MOST {
            tracing::error!("there are {MOST} members: nobody else can sign in by a claim until some are removed");
            return Ok(Outcome::Stranger);
        }
        let name = self.free_name(tx).await?;
        // The form of a token's id, without a token: nothing hashes to the empty text.
        let id = ApiKey::generate(KeyType::Admin).key_id;
        tx.conn
            .run(
                "INSERT INTO admin_member (id, seq, name, name_key, role, hash, created_at, created_by, email, issuer, subject, by_claim) \
                 VALUES ($1,$2,$3,$4,$5,'',$6,$7,$8,$9,$10,1)",
                vals![
                    id.as_str(),
                    tx.seq()?,
                    name.as_str(),
                    fold_name(&name),
                    role.as_str(),
                    tx.now,
                    PROVIDER,
                    self.person.email.as_deref(),
                    self.issuer.as_str(),
                    self.person.subject.as_str()
                ],
            )
            .await?;
        let detail = json!({"member": id, "role": role, "issuer": self.issuer, "subject": self.person.subject});
        audit(tx, PROVIDER, "member.create", &name, &detail).await?;
        Ok(Outcome::In(Who { id, name, role }))
    }

    /// Their name, or what tells them from others of that name.
    async fn free_name(&self, tx: &Tx<'_>) -> Result<String, StoreError> {
        let of = |more: &str| {
            let mut name = self.person.name.clone();
            while name.len() + more.len() > MAX_NAME && name.pop().is_some() {}
            format!("{name}{more}")
        };
        let email = self.person.email.as_deref().filter(|email| email.len() < MAX_NAME / 2);
        let mut names = vec![of("")];
        names.extend(email.map(|email| of(&format!(" ({email})"))));
        for name in names {
            let key = fold_name(&name);
            // The record knows members by their names, also those who are gone.
            let taken = "SELECT id FROM admin_member WHERE name_key = $1";
            if key != FIRST && !key.is_empty() && tx.conn.one(taken, vals![key]).await?.is_none() {
                return Ok(name);
            }
        }
        Ok(of(&format!(" ({})", crate::keys::random_text(8))))
    }
}

/// Puts on record that somebody was not let in.
pub(super) struct Refused {
    pub(super) name: String,
    pub(super) detail: Value,
}

#[async_trait]
impl Unit for Refused {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        audit(tx, PROVIDER, "session.refused", &self.name, &self.detail).await
    }
}
