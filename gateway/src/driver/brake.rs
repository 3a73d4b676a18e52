//! The brake at the moment of sending (DECISIONS 24): a loss is counted just before it is written
//! down as an attempt, in the same transaction, and held where the limit is reached.
//!
//! The count is a row per instance (or group) and effect, beside a row per person counted. The first
//! is locked while one more is counted, so that two runs at once cannot both be the last that passes.
//! What is older than the window is dropped by its index, each row once; the directory's size is
//! counted only where the plain number of persons is used up, and then at most every ten seconds.

use std::collections::HashSet;

use connector_sdk::AccountRef;
use engine::Lane;
use engine::brake::{Effect, Limits};
use serde_json::{Value, json};
use uuid::Uuid;

use super::group::{GroupCall, MemberChange};
use super::person::PersonCall;
use super::run::{Step, Subject, Verdict};
use crate::service::types::Instance;
use crate::service::waivers;
use crate::store::{Rows, Sql, StoreError, Tx};

/// How long a size that was counted is good for, in microseconds.
const RECOUNT: i64 = 10_000_000;

/// What is held instead of being sent.
pub(super) struct Held {
    effect: Effect,
    hold: i64,
    reason: String,
}

/// The loss that a verdict would send.
fn effect_of(verdict: &Verdict, lane: Lane) -> Option<Effect> {
    let Verdict::Call(step, _) = verdict else {
        return None;
    };
    match step {
        Step::Person(call) => match call.as_ref() {
            // An invitation that nobody accepted is taken back at once: nobody loses access by it, and
            // holding it would let them in.
            PersonCall::Remove { at: AccountRef::Account { .. } } | PersonCall::SetActive { active: false, .. } => {
                Some(Effect::Deprovision)
            }
            PersonCall::Create { .. } if lane == Lane::Reconcile => Some(Effect::Create),
            _ => None,
        },
        Step::Group(call) => matches!(call.as_ref(), GroupCall::Remove { .. }).then_some(Effect::DeleteGroup),
    }
}

/// Lets a verdict pass, or turns it into what is held. Removals of members are asked about by
/// [`removals`].
pub(super) async fn check(
    tx: &Tx<'_>,
    instance: &Instance,
    subject: &Subject,
    verdict: Verdict,
) -> Result<Verdict, StoreError> {
    let Some(effect) = effect_of(&verdict, subject.lane) else {
        return Ok(verdict);
    };
    if waivers::stands(tx, subject.seq, 0, subject.rev).await? {
        return Ok(Verdict::Settled);
    }
    let Some(limits) = instance.policy.brake.limits() else {
        return Ok(verdict);
    };
    if is_exempt(tx, limits, subject).await? {
        return Ok(verdict);
    }
    let former = tx
        .conn
        .one(
            // Locked: while a decision is under way, nothing joins what it decides.
            &format!(
                "SELECT h.id, h.seq, h.state FROM hold h WHERE h.seq = (SELECT w.hold_seq FROM work w WHERE w.resource_seq = $1){}",
                tx.conn.for_update()
            ),
            vals![subject.seq],
        )
        .await?;
    let state = former.as_ref().map(|row| row.col::<String>("state")).transpose()?;
    let (hold, id) = match (state.as_deref(), former) {
        (Some("allowed"), _) => return Ok(verdict),
        // It stays with the rest of its batch, whatever else was written meanwhile.
        (Some("open"), Some(row)) => (row.col("seq")?, row.col("id")?),
        _ => {
            let (counted, over) = if effect == Effect::DeleteGroup {
                let mut tally = Tally::open(tx, instance.seq, limits, subject.seq, Effect::RemoveMember).await?;
                let over = !tally.admit_all(tx, &members_at_target(tx, subject.seq).await?).await?;
                (tally, over)
            } else {
                let mut tally = Tally::open(tx, instance.seq, limits, instance.seq, effect).await?;
                let over = !tally.admit_all(tx, &[subject.seq]).await?;
                (tally, over)
            };
            if !over {
                return Ok(verdict);
            }
            let group = (effect == Effect::DeleteGroup).then_some(subject.seq);
            open_hold(tx, instance, counted.why(effect, group)).await?
        }
    };
    let reason = format!(
        "The brake holds this: more at once would be changed than its limit allows. An admin allows or discards hold {id}."
    );
    Ok(Verdict::Held(Held { effect, hold, reason }))
}

impl Held {
    /// Puts the work into the hold. A change that came meanwhile makes it due at once.
    pub(super) async fn stage(self, tx: &Tx<'_>, subject: &Subject) -> Result<(), StoreError> {
        tx.conn
            .run(
                "UPDATE work SET state = CASE WHEN rev > $5 THEN 'todo' ELSE 'held' END, due_at = $6, need = $3, reason = $4, hold_seq = $2, \
                 claim_rev = NULL, claim_epoch = NULL WHERE resource_seq = $1",
                vals![subject.seq, self.hold, self.effect.as_str(), self.reason.clone(), subject.rev, tx.now],
            )
            .await?;
        tx.conn
            .run(
                "UPDATE work SET state = 'waiting', need = 'twin', reason = $2 WHERE after_seq = $1 AND state IN ('todo','waiting')",
                vals![subject.seq, self.reason],
            )
            .await?;
        Ok(())
    }
}

/// Whether the policy exempts what is done to a person or group: by name, or by who asked.
async fn is_exempt(tx: &Tx<'_>, limits: &Limits, subject: &Subject) -> Result<bool, StoreError> {
    let exempt = &limits.exempt;
    if exempt.is_empty() {
        return Ok(false);
    }
    if subject.kind == "Group" {
        if exempt.group(&subject.name) {
            return Ok(true);
        }
    } else {
        let account = super::accounts::linked(tx, subject.seq).await?;
        let (login, email) = account.map_or((None, None), |row| (row.text("login"), row.text("email")));
        if exempt.person([Some(subject.name.as_str()), login.as_deref(), email.as_deref()].into_iter().flatten()) {
            return Ok(true);
        }
    }
    let asked = tx
        .conn
        .one(
            "SELECT actor FROM operation WHERE resource_seq = $1 AND state = 'open' ORDER BY seq DESC LIMIT 1",
            vals![subject.seq],
        )
        .await?;
    Ok(asked.map(|row| row.col::<String>("actor")).transpose()?.is_some_and(|actor| exempt.actor(&actor)))
}

/// A removal from a group that would be sent.
pub(super) struct Removal {
    pub(super) change: MemberChange,
    /// The person's names: user name, login, address.
    pub(super) names: [Option<String>; 3],
    /// The state of the hold that the membership is or was in.
    pub(super) hold: Option<String>,
}

/// Of the removals from a group, those that may be sent now, at most `most` of them. What is over the
/// limit is held; it keeps nobody else of the group from their turn. Answers as well how many were held.
pub(super) async fn removals(
    tx: &Tx<'_>,
    instance: &Instance,
    group: &Subject,
    asked: Vec<Removal>,
    most: usize,
) -> Result<(Vec<MemberChange>, usize), StoreError> {
    let limits = instance.policy.brake.limits();
    let Some(limits) = limits.filter(|limits| !limits.exempt.group(&group.name) && !asked.is_empty()) else {
        return Ok((asked.into_iter().map(|removal| removal.change).take(most).collect(), 0));
    };
    let actors = Actors::of(tx, limits, &asked).await?;
    let (mut send, mut hold, mut count) = (Vec::new(), Vec::new(), Vec::new());
    for removal in asked {
        let exempt = limits.exempt.person(removal.names.iter().flatten().map(String::as_str))
            || removal.change.operation.is_some_and(|operation| actors.0.contains(&operation));
        match removal.hold.as_deref() {
            Some("allowed") => send.push(removal.change),
            _ if exempt => send.push(removal.change),
            Some("open") => hold.push(removal.change.user),
            _ => count.push(removal.change),
        }
    }
    send.truncate(most);
    let mut why = json!({});
    if !count.is_empty() {
        let mut tally = Tally::open(tx, instance.seq, limits, group.seq, Effect::RemoveMember).await?;
        let users: Vec<i64> = count.iter().map(|change| change.user).collect();
        let known = tally.known(tx, &users).await?;
        let mut counted = Vec::new();
        for change in count {
            let may = known.contains(&change.user) || tally.admits(tx).await?;
            if !may {
                hold.push(change.user);
            } else if send.len() < most {
                tally.used += u64::from(!known.contains(&change.user));
                counted.push(change.user);
                send.push(change);
            }
        }
        why = tally.why(Effect::RemoveMember, Some(group.seq));
        tally.keep(tx, &counted).await?;
    }
    if !hold.is_empty() {
        let (seq, _) = open_hold(tx, instance, why).await?;
        let text = format!(
            "UPDATE member SET held = 1, hold_seq = $2 WHERE group_seq = $1 AND user_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
            tx.conn.each(3)
        );
        tx.conn.run(&text, vals![group.seq, seq, json!(hold).to_string()]).await?;
    }
    Ok((send, hold.len()))
}

/// The operations that a key asked for which is exempt.
struct Actors(HashSet<i64>);

impl Actors {
    async fn of(tx: &Tx<'_>, limits: &Limits, asked: &[Removal]) -> Result<Self, StoreError> {
        if limits.exempt.keys.is_empty() {
            return Ok(Self(HashSet::new()));
        }
        let operations: HashSet<i64> = asked.iter().filter_map(|removal| removal.change.operation).collect();
        let text = format!(
            "SELECT o.seq, o.actor FROM operation o WHERE o.seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
            tx.conn.each(1)
        );
        let mut exempt = HashSet::new();
        for row in tx.conn.all(&text, vals![json!(operations).to_string()]).await? {
            if limits.exempt.actor(&row.col::<String>("actor")?) {
                exempt.insert(row.col("seq")?);
            }
        }
        Ok(Self(exempt))
    }
}

/// The persons that a group has at the target, as far as is known.
async fn members_at_target(tx: &Tx<'_>, group: i64) -> Result<Vec<i64>, StoreError> {
    let rows = tx.conn.all("SELECT user_seq FROM member WHERE group_seq = $1 AND have IN (1,2)", vals![group]).await?;
    rows.iter().map(|row| row.col("user_seq")).collect()
}

/// The open hold of an instance, locked: what is added to it is seen by whoever decides it. One is
/// opened if there is none.
async fn open_hold(tx: &Tx<'_>, instance: &Instance, why: Value) -> Result<(i64, String), StoreError> {
    let text = format!("SELECT seq, id FROM hold WHERE instance_seq = $1 AND state = 'open'{}", tx.conn.for_update());
    for _ in 0..2 {
        if let Some(row) = tx.conn.one(&text, vals![instance.seq]).await? {
            return Ok((row.col("seq")?, row.col("id")?));
        }
        // Another may open it at this moment; then it is found at the second look.
        tx.conn
            .run(
                "INSERT INTO hold (seq, id, instance_seq, state, remind_at, opened_at, decided_by, decided_at, why, reminders, comment) \
                 VALUES ($1,$2,$3,'open',$4,$4,NULL,NULL,$5,0,NULL) ON CONFLICT DO NOTHING",
                vals![tx.seq()?, format!("h_{}", Uuid::now_v7().simple()), instance.seq, tx.now, why.to_string()],
            )
            .await?;
    }
    Err(StoreError::Busy("a hold was opened and decided at once".to_owned()))
}

/// What is counted of one effect, of an instance or a group, within the window. Its row is locked.
struct Tally<'l> {
    limits: &'l Limits,
    instance: i64,
    scope: i64,
    effect: Effect,
    used: u64,
    size: u64,
    sized_at: i64,
    counted_at: i64,
}

impl<'l> Tally<'l> {
    async fn open(
        tx: &Tx<'_>,
        instance: i64,
        limits: &'l Limits,
        scope: i64,
        effect: Effect,
    ) -> Result<Self, StoreError> {
        let row = tx
            .conn
            .one(
                "INSERT INTO brake (scope_seq, effect, used, size, sized_at, counted_at, touched_at) VALUES ($1,$2,0,0,0,0,$3) \
                 ON CONFLICT (scope_seq, effect) DO UPDATE SET touched_at = excluded.touched_at RETURNING used, size, sized_at, counted_at",
                vals![scope, effect.as_str(), tx.now],
            )
            .await?
            .ok_or_else(|| StoreError::damaged("brake"))?;
        let dropped = tx
            .conn
            .run(
                "DELETE FROM brake_person WHERE scope_seq = $1 AND effect = $2 AND at <= $3",
                vals![scope, effect.as_str(), tx.now - limits.window()],
            )
            .await?;
        let used = u64::try_from(row.col::<i64>("used")?).unwrap_or(0).saturating_sub(dropped);
        let (mut size, mut sized_at, mut counted_at) =
            (row.col::<i64>("size")?, row.col("sized_at")?, row.col("counted_at")?);
        if used == 0 {
            // The window begins anew.
            (size, sized_at, counted_at) = (0, 0, 0);
        }
        let size = u64::try_from(size).unwrap_or(0);
        Ok(Self { limits, instance, scope, effect, used, size, sized_at, counted_at })
    }

    /// Counts all of these, or none if that would be too many. Who was counted within the window
    /// passes: an attempt that is repeated is no further loss.
    async fn admit_all(&mut self, tx: &Tx<'_>, people: &[i64]) -> Result<bool, StoreError> {
        let known = self.known(tx, people).await?;
        let more = people.iter().filter(|person| !known.contains(person)).count() as u64;
        let mut may = self.fits(more);
        if !may && self.is_stale(tx) {
            self.recount(tx).await?;
            may = self.fits(more);
        }
        if may {
            self.used += more;
        }
        self.keep(tx, if may { people } else { &[] }).await?;
        Ok(may)
    }

    fn fits(&self, more: u64) -> bool {
        more == 0 || self.limits.admits(self.used + more - 1, self.size)
    }

    /// Whether one more person passes.
    async fn admits(&mut self, tx: &Tx<'_>) -> Result<bool, StoreError> {
        if !self.fits(1) && self.is_stale(tx) {
            self.recount(tx).await?;
        }
        Ok(self.fits(1))
    }

    fn is_stale(&self, tx: &Tx<'_>) -> bool {
        self.limits.percent > 0 && tx.now - self.counted_at >= RECOUNT
    }

    /// Which of these were counted within the window.
    async fn known(&self, tx: &Tx<'_>, people: &[i64]) -> Result<HashSet<i64>, StoreError> {
        let text = format!(
            "SELECT person_seq FROM brake_person WHERE scope_seq = $1 AND effect = $2 AND person_seq IN (SELECT CAST(e.v AS BIGINT) FROM {} e)",
            tx.conn.each(3)
        );
        let rows = tx.conn.all(&text, vals![self.scope, self.effect.as_str(), json!(people).to_string()]).await?;
        rows.iter().map(|row| row.col("person_seq")).collect()
    }

    /// Counts how large the instance (or group) is, those included that were taken away within the
    /// window. The largest size within the window counts.
    async fn recount(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        // The words stand in the text: only so is the index used that holds just these rows.
        let (text, values) = if self.effect == Effect::RemoveMember {
            (
                "SELECT COUNT(*) AS n, (SELECT COUNT(*) FROM brake_person p WHERE p.scope_seq = $1 AND p.effect = $2 \
                 AND NOT EXISTS (SELECT 1 FROM member k WHERE k.group_seq = $1 AND k.user_seq = p.person_seq AND k.have IN (1,2))) AS gone \
                 FROM member m WHERE m.group_seq = $1 AND m.have IN (1,2)",
                vals![self.scope, self.effect.as_str()],
            )
        } else {
            (
                "SELECT COUNT(*) AS n, (SELECT COUNT(*) FROM brake_person p WHERE p.scope_seq = $1 AND p.effect = $2 AND p.effect <> 'create' \
                 AND NOT EXISTS (SELECT 1 FROM link l WHERE l.resource_seq = p.person_seq AND l.state = 'live')) AS gone \
                 FROM account a WHERE a.instance_seq = $3 AND a.kind = 'User' AND a.status <> 'gone'",
                vals![self.scope, self.effect.as_str(), self.instance],
            )
        };
        let row = tx.conn.one(text, values).await?.ok_or_else(|| StoreError::damaged("a count"))?;
        let size = u64::try_from(row.col::<i64>("n")? + row.col::<i64>("gone")?).unwrap_or(0);
        if size >= self.size || self.sized_at <= tx.now - self.limits.window() {
            (self.size, self.sized_at) = (size, tx.now);
        }
        self.counted_at = tx.now;
        Ok(())
    }

    /// Stores the count, and who was counted now.
    async fn keep(&self, tx: &Tx<'_>, people: &[i64]) -> Result<(), StoreError> {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        if !people.is_empty() {
            let text = format!(
                "INSERT INTO brake_person (scope_seq, effect, person_seq, at) \
                 SELECT CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST(e.v AS BIGINT), CAST($4 AS BIGINT) FROM {} e WHERE 1 = 1 \
                 ON CONFLICT (scope_seq, effect, person_seq) DO UPDATE SET at = excluded.at",
                tx.conn.each(3)
            );
            tx.conn.run(&text, vals![self.scope, self.effect.as_str(), json!(people).to_string(), tx.now]).await?;
        }
        tx.conn
            .run(
                "UPDATE brake SET used = $3, size = $4, sized_at = $5, counted_at = $6 WHERE scope_seq = $1 AND effect = $2",
                vals![
                    self.scope,
                    self.effect.as_str(),
                    number(self.used),
                    number(self.size),
                    self.sized_at,
                    self.counted_at
                ],
            )
            .await?;
        Ok(())
    }

    /// What tripped the brake, for the admin.
    fn why(&self, effect: Effect, group: Option<i64>) -> Value {
        json!({
            "effect": effect.as_str(), "group": group, "sent": self.used, "of": self.size,
            "limit": self.limits.most(self.size), "window_minutes": self.limits.window_minutes,
        })
    }
}

/// Drops counts that no window reaches any more. Called now and then.
pub(crate) struct Tidy;

#[async_trait::async_trait]
impl crate::store::Unit for Tidy {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let old = tx.now - i64::from(engine::brake::LONGEST_WINDOW) * 60_000_000;
        let rows =
            tx.conn.all("SELECT scope_seq, effect FROM brake WHERE touched_at < $1 LIMIT 50", vals![old]).await?;
        for row in &rows {
            let (scope, effect): (i64, String) = (row.col("scope_seq")?, row.col("effect")?);
            // The count first, whose lock a run takes first.
            let gone = tx
                .conn
                .run(
                    "DELETE FROM brake WHERE scope_seq = $1 AND effect = $2 AND touched_at < $3",
                    vals![scope, effect.as_str(), old],
                )
                .await?;
            if gone > 0 {
                tx.conn
                    .run("DELETE FROM brake_person WHERE scope_seq = $1 AND effect = $2", vals![scope, effect])
                    .await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
