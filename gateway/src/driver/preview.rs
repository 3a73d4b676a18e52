//! What open work would send, before anything is: the planner's own decisions, asked page by page over
//! rows that are only read. A call whose outcome decides what comes next is followed by what comes next
//! if it goes well.

use std::collections::{BTreeMap, HashMap};

use connector_sdk::{Connector, Suspend};
use engine::Lane;
use engine::doubt::doubt_of;
use engine::membership::{MemberStep, member_step};
use engine::person::{PersonStep, Wanted};
use engine::policy::OnGroupDelete;
use sea_orm::{DatabaseConnection, QueryResult};
use serde_json::{Value, json};

use super::accounts::AccountRow;
use super::doubt::{HAPPENED, repeat_of};
use super::group::read_member;
use super::person::{Facts, can_create, judge};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Memberships read at a time.
const MEMBERS: i64 = 2_000;
/// Names that a step lists; more are counted.
const NAMED: usize = 20;
/// Steps of one person at most.
const STEPS: usize = 4;

/// What one piece of work would send.
pub(crate) struct Preview {
    /// The resource's row.
    pub(crate) seq: i64,
    /// As the API shows it.
    pub(crate) shown: Value,
    /// What the digest is made of: all that would be done, in order.
    pub(crate) canon: String,
    /// What it asks of the connector.
    pub(crate) acts: BTreeMap<&'static str, u64>,
    /// The steps by the word that totals use.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// What an admin should know: code and words.
    pub(crate) warnings: Vec<(String, String)>,
}

/// Walked in the order of the rows: the `+` keeps SQLite from gathering and sorting the whole queue for each page of it.
const ROWS: &str = "SELECT w.resource_seq AS work_seq, w.rev, w.lane, w.state, w.need, w.reason, r.id, r.kind, r.name, r.doc AS wanted_doc, r.active, r.managed, r.deleted_at, \
     a.seq AS account_seq, a.remote_id, a.invite_id, a.status, a.protected, a.ours, a.doc, a.expires_at, a.invites, \
     (SELECT t.step FROM attempt t WHERE t.resource_seq = r.seq AND t.item_seq = 0 AND t.state IN ('sending','unknown') LIMIT 1) AS doubt, \
     (SELECT t.marker FROM attempt t WHERE t.resource_seq = r.seq AND t.item_seq = 0 AND t.state IN ('sending','unknown') LIMIT 1) AS marker, \
     (SELECT CAST(COALESCE(MAX(x.invites), 0) AS BIGINT) FROM link k JOIN account x ON x.seq = k.account_seq WHERE k.resource_seq = r.seq) AS invites_sent \
     FROM work w JOIN resource r ON r.seq = w.resource_seq \
     LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
     WHERE +w.instance_seq = $1 AND w.resource_seq > $2 ORDER BY w.resource_seq LIMIT $3";

/// What a page of an instance's open work would send, behind row `after`.
pub(crate) async fn preview(
    reader: &DatabaseConnection,
    instance: &Instance,
    after: i64,
    limit: i64,
    now: i64,
) -> Result<Vec<Preview>, StoreError> {
    let rows = reader.all(ROWS, vals![instance.seq, after, limit]).await?;
    let mut page = Vec::with_capacity(rows.len());
    for row in &rows {
        let mut sheet = Sheet::new(row)?;
        match &instance.connector {
            Err(why) => sheet.warn("connector", why.clone()),
            Ok(connector) => match sheet.kind.as_str() {
                "User" => sheet.person(instance, connector.as_ref(), row, now)?,
                "Group" => sheet.group(reader, instance, connector.as_ref(), row).await?,
                _ => {}
            },
        }
        page.push(sheet.done(row)?);
    }
    Ok(page)
}

/// A preview in the making.
struct Sheet {
    seq: i64,
    kind: String,
    name: String,
    rev: i64,
    steps: Vec<Value>,
    canon: String,
    acts: BTreeMap<&'static str, u64>,
    counts: BTreeMap<&'static str, u64>,
    warnings: Vec<(String, String)>,
}

impl Sheet {
    fn new(row: &QueryResult) -> Result<Self, StoreError> {
        let id: String = row.col("id")?;
        let rev: i64 = row.col("rev")?;
        Ok(Self {
            seq: row.col("work_seq")?,
            kind: row.col("kind")?,
            name: row.col("name")?,
            rev,
            steps: Vec::new(),
            canon: format!("{id} {rev}"),
            acts: BTreeMap::new(),
            counts: BTreeMap::new(),
            warnings: Vec::new(),
        })
    }

    fn step(&mut self, action: &'static str, act: &'static str, detail: Value) {
        self.canon.push_str(&format!("|{action} {detail}"));
        *self.acts.entry(act).or_default() += 1;
        *self.counts.entry(action).or_default() += 1;
        let mut step = json!({ "action": action });
        if let (Some(step), Value::Object(detail)) = (step.as_object_mut(), detail) {
            step.extend(detail);
        }
        self.steps.push(step);
    }

    fn warn(&mut self, code: &str, words: String) {
        self.canon.push_str(&format!("|! {code}"));
        self.warnings.push((code.to_owned(), words));
    }

    fn done(self, row: &QueryResult) -> Result<Preview, StoreError> {
        let state: String = row.col("state")?;
        let warnings: Vec<Value> =
            self.warnings.iter().map(|(code, words)| json!({"code": code, "message": words})).collect();
        let shown = json!({
            "resource": {
                "id": row.col::<String>("id")?,
                "kind": self.kind,
                "name": self.name,
                "deleted": row.col::<Option<i64>>("deleted_at")?.is_some(),
            },
            "rev": self.rev,
            "lane": Lane::from_number(row.col("lane")?),
            "state": state,
            "reason": row.col::<Option<String>>("reason")?,
            "steps": self.steps,
            "warnings": warnings,
        });
        Ok(Preview {
            seq: self.seq,
            shown,
            canon: self.canon,
            acts: self.acts,
            counts: self.counts,
            warnings: self.warnings,
        })
    }

    /// The steps of a person.
    fn person(
        &mut self,
        instance: &Instance,
        connector: &dyn Connector,
        row: &QueryResult,
        now: i64,
    ) -> Result<(), StoreError> {
        if connector.accounts().is_none() {
            return Ok(());
        }
        let doc: scim::Document = serde_json::from_str(&row.col::<String>("wanted_doc")?)
            .map_err(|error| StoreError::damaged(format!("resource.doc: {error}")))?;
        let deleted = row.col::<Option<i64>>("deleted_at")?.is_some();
        let has = row.col::<i16>("managed")? == 1 && row.col::<i16>("active")? == 1 && !deleted;
        let wanted = if has { Wanted::Access } else { Wanted::NoAccess { delete: deleted } };
        let mut account = AccountRow::joined(row)?;
        let happened = row.col::<Option<String>>("marker")?.as_deref() == Some(HAPPENED);
        let mut doubt = row
            .col::<Option<String>>("doubt")?
            .map(|step| doubt_of(repeat_of(connector.traits(), "User", &step), happened));
        let mut invites_sent = row.col::<i64>("invites_sent")?.try_into().unwrap_or(u32::MAX);
        for _ in 0..STEPS {
            let facts = Facts { name: &self.name, doc: &doc, wanted, row: account.as_ref(), doubt, invites_sent, now };
            let (step, role, email) = judge(instance, connector, &facts, |step, view| {
                (step, view.account.as_ref().and_then(|one| one.role.clone()), view.person.email.clone())
            });
            match step {
                PersonStep::Settled => return Ok(()),
                PersonStep::Need(need) => {
                    self.warn(&need.code, need.message);
                    return Ok(());
                }
                PersonStep::Look => {
                    self.step("look", "look", json!({}));
                    // What it finds decides the rest.
                    return Ok(());
                }
                PersonStep::Match => {
                    self.step("look", "look", json!({}));
                    return Ok(());
                }
                PersonStep::Follow(_) => {
                    self.step("look", "look", json!({}));
                    return Ok(());
                }
                PersonStep::Create => {
                    let action = if connector.traits().invites { "invite" } else { "create" };
                    self.step(action, "create", json!({ "email": email }));
                    return Ok(());
                }
                PersonStep::Update(change) if change.role.is_none() => {
                    self.step("update", "update", json!({"attribute": "profile"}));
                    return Ok(());
                }
                PersonStep::Update(change) => {
                    self.step("update", "update", json!({"attribute": "roles", "from": role, "to": change.role}));
                    return Ok(());
                }
                PersonStep::Suspend => {
                    self.step("suspend", "update", json!({}));
                    return Ok(());
                }
                PersonStep::Restore => {
                    self.step("restore", "update", json!({}));
                    doubt = None;
                    if let Some(account) = &mut account {
                        account.status = "active".to_owned();
                    }
                }
                PersonStep::Remove(_) => {
                    let invited = account.as_ref().is_some_and(|account| account.status == "invited");
                    let (action, act) = if invited { ("revoke", "revoke") } else { ("remove", "remove") };
                    self.step(action, act, json!({}));
                    doubt = None;
                    // Invited anew at another address.
                    account = None;
                    invites_sent = 0;
                }
            }
        }
        Ok(())
    }

    /// The steps of a group, and of its members.
    async fn group(
        &mut self,
        reader: &DatabaseConnection,
        instance: &Instance,
        connector: &dyn Connector,
        row: &QueryResult,
    ) -> Result<(), StoreError> {
        if connector.groups().is_none() {
            return Ok(());
        }
        let account = AccountRow::joined(row)?;
        let traits = connector.traits();
        if row.col::<Option<i64>>("deleted_at")?.is_some() || row.col::<i16>("managed")? == 0 {
            if account.is_some_and(|account| account.ours) && instance.policy.on_group_delete == OnGroupDelete::Delete {
                self.step("delete_group", "remove_group", json!({}));
            }
            return Ok(());
        }
        let doubt = row.col::<Option<String>>("doubt")?;
        match &account {
            None if doubt.as_deref() == Some("create") => {
                self.step("look", "look", json!({}));
                return Ok(());
            }
            None => {
                if let Some(words) = self.clash(reader, instance).await? {
                    self.warn("name_taken", words);
                    return Ok(());
                }
                self.step("create_group", "create_group", json!({}));
                if traits.tidy_created_groups {
                    *self.acts.entry("tidy_group").or_default() += 1;
                }
            }
            Some(account) => {
                if account.ours && account.doc["tidied"] != true && traits.tidy_created_groups {
                    *self.acts.entry("tidy_group").or_default() += 1;
                }
            }
        }
        self.members(reader, instance, connector).await?;
        let name = account.as_ref().and_then(|account| account.text("name"));
        if let Some(name) = name.filter(|name| *name != self.name) {
            self.step("rename_group", "update_group", json!({"from": name, "to": self.name}));
        }
        Ok(())
    }

    /// A group of that name that is at the target already, where the policy adopts none (DECISIONS 7).
    async fn clash(&self, reader: &DatabaseConnection, instance: &Instance) -> Result<Option<String>, StoreError> {
        if instance.policy.adopt_groups != engine::policy::AdoptGroups::Never {
            return Ok(None);
        }
        let row = reader
            .one(
                "SELECT 1 AS one FROM account WHERE instance_seq = $1 AND kind = 'Group' AND status <> 'gone' AND login_key = $2 LIMIT 1",
                vals![instance.seq, scim::fold::fold_text(&self.name)],
            )
            .await?;
        Ok(row.map(|_| {
            format!(
                "The target has a group named \"{}\" already, and this instance does not adopt existing groups. Rename one of them, or set the policy adopt_groups to by_name.",
                self.name
            )
        }))
    }

    async fn members(
        &mut self,
        reader: &DatabaseConnection,
        instance: &Instance,
        connector: &dyn Connector,
    ) -> Result<(), StoreError> {
        let traits = connector.traits();
        let takes = traits.suspend == Suspend::Removes && can_create(connector);
        let mut turns: BTreeMap<bool, (u64, Vec<String>)> = BTreeMap::new();
        let mut waits: HashMap<&'static str, u64> = HashMap::new();
        let mut after = 0_i64;
        loop {
            let rows = reader
                .all(
                    "SELECT m.user_seq, m.want, m.have, m.op_seq, u.id, u.name, u.active, u.managed, u.deleted_at, a.status, a.remote_id, a.invite_id, a.doc, a.ours, \
                     (SELECT COUNT(*) FROM attempt t WHERE t.resource_seq = $1 AND t.item_seq = m.user_seq AND t.state IN ('sending','unknown')) AS doubts \
                     FROM member m JOIN resource u ON u.seq = m.user_seq \
                     LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
                     WHERE m.group_seq = $1 AND m.state = 'todo' AND m.user_seq > $2 ORDER BY m.user_seq LIMIT $3",
                    vals![self.seq, after, MEMBERS],
                )
                .await?;
            for row in &rows {
                after = row.col("user_seq")?;
                let member = read_member(row, takes, traits.pending_members, traits.repeats.change_members)?;
                let add = match member_step(&member.view) {
                    MemberStep::Add => true,
                    MemberStep::Remove => false,
                    MemberStep::Park(reason) => {
                        *waits.entry(reason.as_str()).or_default() += 1;
                        continue;
                    }
                    MemberStep::Settled | MemberStep::Forget => continue,
                };
                self.canon.push_str(&format!("|{}{after}", if add { '+' } else { '-' }));
                let (count, names) = turns.entry(add).or_default();
                *count += 1;
                if names.len() < NAMED {
                    names.push(row.col("name")?);
                }
            }
            if (rows.len() as i64) < MEMBERS {
                break;
            }
        }
        let removed = turns.get(&false).map_or(0, |(count, _)| *count);
        if let Some(limits) = instance.policy.brake.limits().filter(|limits| removed > limits.most(0)) {
            let row = reader
                .one("SELECT COUNT(*) AS n FROM member WHERE group_seq = $1 AND have IN (1,2)", vals![self.seq])
                .await?;
            let size = row.map_or(Ok(0), |row| row.col::<i64>("n"))?;
            let most = limits.most(u64::try_from(size).unwrap_or(0));
            if removed > most {
                self.warn(
                    "brake",
                    format!("{removed} members would leave \"{}\", and the brake lets {most} pass in {} minutes: the rest is held until an admin allows or discards it.", self.name, limits.window_minutes),
                );
            }
        }
        for (add, (count, names)) in turns {
            let (action, act) = if add { ("add_members", "add_member") } else { ("remove_members", "remove_member") };
            *self.acts.entry(act).or_default() += count;
            *self.counts.entry(action).or_default() += count;
            self.steps.push(json!({"action": action, "count": count, "names": names}));
        }
        let mut waits: Vec<_> = waits.into_iter().collect();
        waits.sort_unstable();
        for (reason, count) in waits {
            self.canon.push_str(&format!("|~{reason}{count}"));
            *self.counts.entry("waiting_members").or_default() += count;
            self.steps.push(json!({"action": "wait", "count": count, "reason": reason}));
        }
        Ok(())
    }
}
