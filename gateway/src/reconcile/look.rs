//! Comparing one person with their account at the target: what a run does for everybody, for one, without a listing. It is
//! a run of its own kind, so that it goes under the same lease, budget and record as any.

use std::sync::Arc;

use async_trait::async_trait;

use super::compare::People;
use super::sweep::{SweepAccounts, Vanished};
use super::walk::Walk;
use super::{RunKind, Start, Stop};
use crate::driver::AccountRow;
use crate::service::App;
use crate::service::records::AdminError;
use crate::service::types::Instance;
use crate::store::{Priority, Rows, Sql, StoreError, Tx, Unit};

impl App {
    /// Has one person, by SCIM id or name, compared with their account at the target: it is read, and what differs is
    /// mended or reported by the instance's policy. The run's id.
    ///
    /// # Errors
    /// The instance is paused or disabled (conflict): nothing is sent to its target; no such person; the person has no account that could be read, or a run of the instance is under way (conflicts); the
    /// store's.
    pub async fn compare_one(&self, instance: &Instance, word: &str, actor: &str) -> Result<String, AdminError> {
        // As it is now: another replica may have paused it a moment ago.
        self.instances.invalidate(instance.seq);
        let instance = self.instances.by_seq(instance.seq).await?;
        let instance = instance.ok_or_else(|| AdminError::NotFound("The instance was deleted.".to_owned()))?;
        Self::refuse_silent(&instance)?;
        let people = self.people_called(&instance, word).await?;
        let Some(person) = people.first() else {
            return Err(AdminError::NotFound("The instance has no person of that id or name.".to_owned()));
        };
        let row = self
            .store
            .reader()
            .one(
                "SELECT r.managed, a.status FROM resource r LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' \
                 LEFT JOIN account a ON a.seq = l.account_seq WHERE r.seq = $1",
                vals![*person],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("a person without a row"))?;
        let conflict = |words: &str| Err(AdminError::Conflict(words.to_owned()));
        if row.col::<i16>("managed")? != 1 {
            return conflict("Nobody asked for this person here, so there is nothing to compare the account with.");
        }
        match row.col::<Option<String>>("status")?.as_deref() {
            Some("active" | "suspended") => {}
            Some("invited") => {
                return conflict(
                    "The person is invited and has not accepted yet. Pending invitations are looked at every minute by themselves.",
                );
            }
            _ => {
                return conflict(
                    "No account of this person is known at the target. A comparison of the whole instance looks for one.",
                );
            }
        }
        let start = Start { only: Some(*person), ..Start::new(&instance, RunKind::Look, actor) };
        let started = self.store.write(Priority::Request, start).await?;
        self.driver.wake();
        started.ok_or_else(|| {
            AdminError::Conflict(
                "An import or comparison of this instance runs already, and looks at this person too. Wait for its end.".to_owned(),
            )
        })
    }
}

impl Walk<'_> {
    /// Reads one person's account and judges that person alone.
    pub(super) async fn one(&mut self, person: i64) -> Result<(), Stop> {
        let Some(accounts) = self.connector.accounts() else {
            return Err(Stop::Words("This connector reads no accounts of people.".to_owned()));
        };
        let text = format!(
            "SELECT {} FROM link l JOIN account a ON a.seq = l.account_seq \
             WHERE l.resource_seq = $1 AND l.state = 'live' AND a.status IN ('active','suspended')",
            AccountRow::COLUMNS
        );
        let row = self.shared.store.reader().one(&text, vals![person]).await?;
        let row = row.as_ref().map(AccountRow::read).transpose()?;
        let Some((account, at)) = row.and_then(|row| Some((row.seq, row.reference()?))) else {
            return Err(Stop::Words("The person has no account at the target that could be read any more.".to_owned()));
        };
        let asked = self.shared.clock.micros();
        let mut found = self.read(accounts.get(self.cx, &at).await)?;
        if found.is_none() {
            // There is no listing that misses it, so its absence has to be said twice.
            found = self.read(accounts.get(self.cx, &at).await)?;
        }
        let gone = match found {
            Some(account) => {
                self.counts.accounts += 1;
                let (run, started) = (self.run, self.place.started);
                let sweep = SweepAccounts { instance: self.instance.clone(), run, accounts: vec![account], started };
                self.keep(sweep, |_, _| {}).await?;
                false
            }
            None => {
                let vanished = Vanished { account, asked };
                self.keep(vanished, |counts, gone| counts.vanished += u64::from(*gone)).await?
            }
        };
        let people = People {
            instance: self.instance.clone(),
            run: self.run,
            id: self.id.to_owned(),
            began: self.began,
            complete: gone,
            after: person.saturating_sub(1),
            only: Some(person),
        };
        self.keep(people, |counts, page| counts.add(page.found)).await?;
        self.keep(Forget { instance: self.instance.clone(), run: self.run, person }, |_, ()| {}).await?;
        self.shared.ring();
        Ok(())
    }
}

/// Takes away differences of one person that the look did not see any more.
struct Forget {
    instance: Arc<Instance>,
    run: i64,
    person: i64,
}

#[async_trait]
impl Unit for Forget {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        tx.conn
            .run(
                "DELETE FROM drift WHERE instance_seq = $1 AND resource_seq = $2 AND item_seq = 0 AND remote = '' AND last_run <> $3 \
                 AND NOT EXISTS (SELECT 1 FROM work w WHERE w.resource_seq = $2)",
                vals![self.instance.seq, self.person, self.run],
            )
            .await?;
        Ok(())
    }
}
