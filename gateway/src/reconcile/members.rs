//! Comparing the members of groups with what was asserted: in groups that we created, whoever nobody
//! asked for is one too many; in adopted ones, only what we put there is ours to judge (DECISIONS 7).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use connector_sdk::{AccountRef, FaultKind, Groups, RemoteId, Suspend};
use engine::drift::{self, Action, Circumstances, MemberFacts, Seen};
use engine::membership::Link;
use sea_orm::QueryResult;
use serde_json::json;

use super::repair::{Cause, MendMember, mend_members};
use super::table::{self, Found};
use super::walk::Walk;
use super::{MOST_PAGES, Stop};
use crate::driver::can_create;
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError, Tx, Unit};

/// Members judged per transaction.
const PIECE: usize = 200;
/// Rows of memberships read at a time.
const READ: i64 = 5_000;

/// A group that is tied to one at the target.
pub(super) struct Tied {
    seq: i64,
    remote: String,
}

/// The next group whose members are to be read.
pub(super) async fn next(walk: &Walk<'_>, only_marked: bool) -> Result<Option<Tied>, StoreError> {
    let marked = if only_marked { "AND r.look_at IS NOT NULL" } else { "" };
    let row = walk
        .shared
        .store
        .reader()
        .one(
            &format!(
                "SELECT r.seq, a.remote_id FROM resource r JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' JOIN account a ON a.seq = l.account_seq \
                 WHERE r.instance_seq = $1 AND r.kind = 'Group' AND r.deleted_at IS NULL AND r.listed = 1 AND r.managed = 1 AND a.protected = 0 \
                 AND a.remote_id IS NOT NULL AND r.seq > $2 {marked} ORDER BY r.seq LIMIT 1"
            ),
            vals![walk.instance.seq, walk.place.after],
        )
        .await?;
    row.map(|row| Ok(Tied { seq: row.col("seq")?, remote: row.col("remote_id")? })).transpose()
}

/// One member as it was listed.
#[derive(Clone, Debug)]
struct Listed {
    seen: Seen,
    inherited: bool,
    login: Option<String>,
}

/// Who a listed member is: the target's id of the account, or of the invitation.
type Key = (bool, String);

impl Walk<'_> {
    /// Reads a group's members and judges them.
    pub(super) async fn one_group(&mut self, groups: &dyn Groups, group: &Tied) -> Result<(), Stop> {
        let started = self.shared.clock.micros();
        let listed = self.list_members(groups, &group.remote).await?;
        let looked = listed.is_some();
        if let Some(listed) = listed {
            let (users, strangers) = self.candidates(group.seq, &listed).await?;
            let known = users.chunks(PIECE).map(|users| Piece { users: users.to_vec(), strangers: Vec::new() });
            let unknown =
                strangers.chunks(PIECE).map(|strangers| Piece { users: Vec::new(), strangers: strangers.to_vec() });
            for piece in known.chain(unknown) {
                let judge = Judge {
                    instance: self.instance.clone(),
                    run: self.run,
                    id: self.id.to_owned(),
                    began: self.began,
                    started,
                    group: group.seq,
                    piece,
                };
                self.keep(judge, |counts, found| counts.add(*found)).await?;
            }
            self.counts.looked += 1;
            self.counts.members += listed.len() as u64;
        } else {
            self.place.members_complete = false;
        }
        self.place.after = group.seq;
        let end =
            EndOfGroup { instance: self.instance.seq, run: self.run, group: group.seq, began: self.began, looked };
        self.keep(end, |_, ()| {}).await?;
        Ok(())
    }

    /// The members of a group; none if the list was not complete, or the group is not there.
    async fn list_members(&mut self, groups: &dyn Groups, remote: &str) -> Result<Option<HashMap<Key, Listed>>, Stop> {
        let id = RemoteId::new(remote);
        let mut listed = HashMap::new();
        let mut page = None;
        for _ in 0..MOST_PAGES {
            let got = match self.read(groups.members(self.cx, &id, page.as_ref()).await) {
                Ok(got) => got,
                Err(fault) if fault.kind == FaultKind::NotFound => return Ok(None),
                Err(fault) => return Err(fault.into()),
            };
            if !got.complete {
                return Ok(None);
            }
            for member in got.items {
                let (key, login) = match member.account {
                    AccountRef::Account { id, login } => ((false, id.as_str().to_owned()), login),
                    AccountRef::Invite { id, email, login } => ((true, id.as_str().to_owned()), login.or(email)),
                };
                let seen = if member.pending || key.0 { Seen::Pending } else { Seen::Present };
                listed.insert(key, Listed { seen, inherited: member.inherited, login });
            }
            match got.next {
                Some(next) => page = Some(next),
                None => return Ok(Some(listed)),
            }
        }
        Ok(None)
    }

    /// Who has to be judged: memberships that are wanted and not listed, and who is listed and not
    /// wanted. Everybody else is as it should be, and costs nothing.
    async fn candidates(
        &self,
        group: i64,
        listed: &HashMap<Key, Listed>,
    ) -> Result<(Vec<(i64, Seen, bool)>, Vec<(Key, Listed)>), StoreError> {
        let mut users = Vec::new();
        let mut named: HashSet<Key> = HashSet::new();
        let mut after = 0_i64;
        loop {
            let rows = self
                .shared
                .store
                .reader()
                .all(
                    "SELECT m.user_seq, m.want, u.active, u.deleted_at, a.remote_id, a.invite_id, a.status FROM member m JOIN resource u ON u.seq = m.user_seq \
                     LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
                     WHERE m.group_seq = $1 AND m.user_seq > $2 ORDER BY m.user_seq LIMIT $3",
                    vals![group, after, READ],
                )
                .await?;
            for row in &rows {
                after = row.col("user_seq")?;
                let keys = keys(row)?;
                let found = keys.iter().find_map(|key| listed.get(key));
                let wanted = row.col::<i16>("want")? == 1
                    && row.col::<i16>("active")? == 1
                    && row.col::<Option<i64>>("deleted_at")?.is_none();
                if wanted != found.is_some() {
                    users.push((
                        after,
                        found.map_or(Seen::Absent, |one| one.seen),
                        found.is_some_and(|one| one.inherited),
                    ));
                }
                named.extend(keys);
            }
            if (rows.len() as i64) < READ {
                break;
            }
        }
        let mut strangers: Vec<(Key, Listed)> = listed
            .iter()
            .filter(|(key, _)| !named.contains(*key))
            .map(|(key, one)| (key.clone(), one.clone()))
            .collect();
        strangers.sort_by(|a, b| a.0.cmp(&b.0));
        Ok((users, strangers))
    }
}

/// Under which ids a row's account may be listed.
fn keys(row: &QueryResult) -> Result<Vec<Key>, StoreError> {
    let remote = row.col::<Option<String>>("remote_id")?.map(|id| (false, id));
    let invite = row.col::<Option<String>>("invite_id")?.map(|id| (true, id));
    Ok(remote.into_iter().chain(invite).collect())
}

/// Some of a group's candidates.
struct Piece {
    /// Rows of users that are known members, or were: with what the listing showed, and whether it is
    /// inherited.
    users: Vec<(i64, Seen, bool)>,
    /// Listed, and no row of this group says anything of them.
    strangers: Vec<(Key, Listed)>,
}

/// Judges candidates, with the rows as they are now.
struct Judge {
    instance: Arc<Instance>,
    run: i64,
    id: String,
    /// When the run, and when the listing of this group, began.
    began: i64,
    started: i64,
    group: i64,
    piece: Piece,
}

/// What a candidate is, so far as rows tell.
struct Candidate {
    user: i64,
    name: String,
    account: i64,
    facts: MemberFacts,
    waived: bool,
    remote: String,
    login: Option<String>,
}

#[async_trait]
impl Unit for Judge {
    type Out = (u64, u64);
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(u64, u64), StoreError> {
        // Locked as everywhere: the group first, then its work.
        let lock = tx.conn.for_update();
        let group = tx
            .conn
            .one(&format!("SELECT r.look_at, r.deleted_at FROM resource r WHERE r.seq = $1{lock}"), vals![self.group])
            .await?;
        let ours = tx
            .conn
            .one(
                "SELECT a.ours FROM link l JOIN account a ON a.seq = l.account_seq WHERE l.resource_seq = $1 AND l.state = 'live'",
                vals![self.group],
            )
            .await?;
        let (Some(group), Some(ours)) = (group, ours) else { return Ok((0, 0)) };
        if group.col::<Option<i64>>("deleted_at")?.is_some() {
            return Ok((0, 0));
        }
        let repeated = group.col::<Option<i64>>("look_at")?.is_some_and(|at| at <= self.began);
        let ours = ours.col::<i16>("ours")? == 1;
        let waivers = table::waivers(tx, self.group).await?;
        let mut candidates = self.users(tx, ours, &waivers).await?;
        candidates.extend(self.strangers(tx, ours, &waivers).await?);
        let mut found = Vec::new();
        let mut mending = Vec::new();
        for one in candidates {
            let Some((difference, asserted)) = drift::of_member(&one.facts) else { continue };
            let circumstances = Circumstances {
                asserted,
                waived: one.waived,
                // Who is one too many was not asked for again.
                repeated: repeated && difference.class == drift::Class::Missing,
            };
            let action = drift::action(difference, circumstances, self.instance.policy.repair);
            let add = difference.class == drift::Class::Missing;
            if action == Action::Repair {
                mending.push(MendMember {
                    user: one.user,
                    name: one.name.clone(),
                    add,
                    pending: one.facts.seen == Seen::Pending,
                });
            }
            let message = match (add, asserted) {
                (true, _) => "The person is not in the group at the target any more.",
                (false, true) => "The person is in the group at the target, and nobody asked for it.",
                (false, false) => "Somebody at the target added this member. The group was adopted, so they stay.",
            };
            found.push(Found {
                resource: self.group,
                item: one.user,
                account: one.account,
                remote: one.remote,
                difference,
                action,
                detail: json!({"message": message, "member": one.login.unwrap_or(one.name)}),
                operation: None,
            });
        }
        if !mending.is_empty() {
            let cause = Cause { actor: "reconcile".to_owned(), run: Some(self.id.clone()) };
            let operation = mend_members(tx, &self.instance, self.group, &mending, &cause).await?;
            for one in found.iter_mut().filter(|one| one.action == Action::Repair) {
                one.operation = Some(operation);
            }
        }
        table::keep(tx, self.instance.seq, self.run, &found).await?;
        Ok(table::tell(&found))
    }
}

impl Judge {
    /// Members that the directory says something of.
    async fn users(&self, tx: &Tx<'_>, ours: bool, waivers: &HashMap<i64, i64>) -> Result<Vec<Candidate>, StoreError> {
        let seqs: Vec<i64> = self.piece.users.iter().map(|(user, ..)| *user).collect();
        let text = format!(
            "SELECT m.user_seq, m.want, m.state, m.op_seq, m.have_at, u.name, u.active, u.managed, u.deleted_at, a.seq AS account_seq, a.status, a.protected, a.doc, \
             (SELECT COUNT(*) FROM attempt t WHERE t.resource_seq = m.group_seq AND t.item_seq = m.user_seq AND t.state IN ('sending','unknown')) AS doubts \
             FROM {} e CROSS JOIN member m JOIN resource u ON u.seq = m.user_seq \
             LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
             WHERE m.group_seq = $1 AND m.user_seq = CAST(e.v AS BIGINT)",
            tx.conn.each(2)
        );
        let rows = tx.conn.all(&text, vals![self.group, json!(seqs).to_string()]).await?;
        let seen: HashMap<i64, (Seen, bool)> =
            self.piece.users.iter().map(|(user, seen, inherited)| (*user, (*seen, *inherited))).collect();
        let mut candidates = Vec::with_capacity(rows.len());
        for row in &rows {
            let user: i64 = row.col("user_seq")?;
            let Some((seen, inherited)) = seen.get(&user).copied() else { continue };
            let state: String = row.col("state")?;
            // What the driver touched since is newer than the listing.
            let newer = row.col::<Option<i64>>("have_at")?.is_some_and(|at| at >= self.started);
            let busy = state == "todo" || newer || row.col::<i64>("doubts")? > 0;
            let user_wanted = row.col::<i16>("active")? == 1 && row.col::<Option<i64>>("deleted_at")?.is_none();
            let want = row.col::<i16>("want")? == 1;
            // A wish that waits for something else, or was refused, was never so at the target.
            let was = state == "settled" || !(want && user_wanted);
            let mut one = self.candidate(row, seen, inherited, ours)?;
            one.facts.want = Some(want);
            one.facts.settled = !busy && was;
            one.facts.user_wanted = user_wanted;
            one.facts.account_goes = self.takes() && row.col::<i16>("managed")? == 1 && !user_wanted;
            one.facts.known = true;
            one.user = user;
            one.waived = waivers
                .get(&user)
                .is_some_and(|rev| row.col::<Option<i64>>("op_seq").is_ok_and(|op| op.unwrap_or(0) == *rev));
            candidates.push(one);
        }
        Ok(candidates)
    }

    /// Members that it says nothing of: the accounts they are, as far as they are known.
    async fn strangers(
        &self,
        tx: &Tx<'_>,
        ours: bool,
        waivers: &HashMap<i64, i64>,
    ) -> Result<Vec<Candidate>, StoreError> {
        let awaited = tx
            .conn
            .one(
                "SELECT 1 AS one FROM member m JOIN link l ON l.resource_seq = m.user_seq AND l.state = 'live' \
                 JOIN account a ON a.seq = l.account_seq AND a.status = 'invited' WHERE m.group_seq = $1 AND m.want = 1 LIMIT 1",
                vals![self.group],
            )
            .await?
            .is_some();
        let mut candidates = Vec::new();
        for (invites, column) in [(false, "remote_id"), (true, "invite_id")] {
            let listed: HashMap<&str, &Listed> = self
                .piece
                .strangers
                .iter()
                .filter(|(key, _)| key.0 == invites)
                .map(|(key, one)| (key.1.as_str(), one))
                .collect();
            if listed.is_empty() {
                continue;
            }
            let ids: Vec<&str> = listed.keys().copied().collect();
            let text = format!(
                "SELECT e.v, a.seq AS account_seq, a.status, a.protected, a.doc, u.seq AS user_seq, u.name, \
                 (SELECT COUNT(*) FROM member m WHERE m.group_seq = $3 AND m.user_seq = u.seq) AS rows_now, \
                 (SELECT MAX(t.ended_at) FROM attempt t WHERE t.resource_seq = $3 AND t.item_seq = u.seq) AS touched, \
                 CASE WHEN u.managed = 0 AND u.created_at >= $4 THEN 1 ELSE 0 END AS new \
                 FROM {} e LEFT JOIN account a ON a.instance_seq = $1 AND a.kind = 'User' AND a.{column} = e.v AND a.status <> 'gone' \
                 LEFT JOIN link l ON l.account_seq = a.seq AND l.state = 'live' LEFT JOIN resource u ON u.seq = l.resource_seq",
                tx.conn.each(2)
            );
            let rows =
                tx.conn.all(&text, vals![self.instance.seq, json!(ids).to_string(), self.group, self.began]).await?;
            for row in &rows {
                let id: String = row.col("v")?;
                let Some(listed) = listed.get(id.as_str()) else { continue };
                // Asked for, or taken out by us, since the listing.
                let touched = row.col::<Option<i64>>("touched")?.is_some_and(|at| at >= self.started);
                if row.col::<i64>("rows_now")? > 0 || touched {
                    continue;
                }
                // It may be the account by which somebody whom this group waits for has just accepted: the driver looks
                // for that every minute, and the next run knows.
                if awaited && row.col::<i64>("new")? == 1 {
                    continue;
                }
                let mut one = self.candidate(row, listed.seen, listed.inherited, ours)?;
                let user = row.col::<Option<i64>>("user_seq")?;
                one.facts.known = user.is_some();
                one.user = user.unwrap_or(0);
                one.waived = one.user != 0 && waivers.get(&one.user) == Some(&0);
                one.remote = if user.is_some() { String::new() } else { id };
                one.login = listed.login.clone().or(one.login);
                candidates.push(one);
            }
        }
        Ok(candidates)
    }

    /// What both have in common.
    fn candidate(&self, row: &QueryResult, seen: Seen, inherited: bool, ours: bool) -> Result<Candidate, StoreError> {
        let status = row.col::<Option<String>>("status")?;
        let doc: serde_json::Value =
            row.col::<Option<String>>("doc")?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let login = doc["login"].as_str().or(doc["email"].as_str()).map(str::to_owned);
        let name = row.col::<Option<String>>("name")?.or_else(|| login.clone()).unwrap_or_default();
        let policy = &self.instance.policy;
        let listed = policy.protects([name.as_str()])
            || ["login", "email"].iter().any(|word| doc[*word].as_str().is_some_and(|text| policy.protects([text])));
        let has_login = doc["login"].is_string();
        let connector = self.instance.connector.as_ref();
        let pending_members = connector.is_ok_and(|connector| connector.traits().pending_members.takes(has_login));
        Ok(Candidate {
            user: 0,
            name,
            account: row.col::<Option<i64>>("account_seq")?.unwrap_or(0),
            facts: MemberFacts {
                want: None,
                settled: true,
                user_wanted: false,
                link: match status.as_deref() {
                    Some("invited") => Link::Invited,
                    Some("active") => Link::Active,
                    Some("suspended") => Link::Suspended,
                    _ => Link::None,
                },
                seen,
                aside: inherited || listed || row.col::<Option<i16>>("protected")? == Some(1),
                group_is_ours: ours,
                account_goes: false,
                known: false,
                pending_members,
            },
            waived: false,
            remote: String::new(),
            login,
        })
    }

    fn takes(&self) -> bool {
        self.instance
            .connector
            .as_ref()
            .is_ok_and(|connector| connector.traits().suspend == Suspend::Removes && can_create(connector.as_ref()))
    }
}

/// A group's members have been read: its mark is taken off, and so are differences that are no more.
struct EndOfGroup {
    instance: i64,
    run: i64,
    group: i64,
    began: i64,
    looked: bool,
}

#[async_trait]
impl Unit for EndOfGroup {
    type Out = ();
    type Err = StoreError;

    async fn run(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        if self.looked {
            table::forget_members(tx, self.instance, self.group, self.run).await?;
        }
        tx.conn
            .run("UPDATE resource SET look_at = NULL WHERE seq = $1 AND look_at <= $2", vals![self.group, self.began])
            .await?;
        Ok(())
    }
}
