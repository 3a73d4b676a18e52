//! What was so at a time, and how it came to be so: the directory's wish, what was known of the target, and the causal
//! chain between the two, in order.

use std::collections::BTreeMap;

use engine::brake::Effect;
use sea_orm::QueryResult;
use serde_json::{Map, Value, json};

use super::said::{answer, asked, by_hand, capital, kept_back, membership, state_of, tried, who};
use super::{App, parsed, time};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Events of one chain at most, the newest; and rows read of one source.
const MOST: usize = 300;
const READ: i64 = 200;

/// How many members of a group are wanted, and how many are at the target. A group may have everybody: its rows are counted in
/// an index, less those that are not wanted, or not there, which are few.
pub(super) const COUNTED: &str = "SELECT e.n - (SELECT COUNT(*) FROM member WHERE group_seq = $1 AND want = 0) AS wanted, \
     e.n - (SELECT COUNT(*) FROM member WHERE group_seq = $1 AND COALESCE(have, 0) <> 1) AS present \
     FROM (SELECT COUNT(*) AS n FROM member WHERE group_seq = $1) e";

/// The resource whose story is told.
#[derive(Clone, Debug)]
pub(super) struct Hero {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) managed: bool,
    pub(super) active: bool,
    pub(super) created_at: i64,
    pub(super) deleted_at: Option<i64>,
}

impl Hero {
    pub(super) fn is_person(&self) -> bool {
        self.kind == "User"
    }
}

/// One thing that happened.
pub(super) struct Event {
    pub(super) at: i64,
    pub(super) shown: Value,
}

pub(super) fn event(at: i64, kind: &str, text: String, cause: Value) -> Event {
    Event { at, shown: json!({"at": time(at), "kind": kind, "text": text, "cause": cause}) }
}

/// What was so at a time.
#[derive(Debug, Default)]
pub(super) struct Standing {
    pub(super) exists: bool,
    pub(super) active: bool,
    /// Whether anybody had asked for it here by then.
    pub(super) managed: bool,
    /// What the directory's document said, as far as operations tell it.
    pub(super) attributes: Map<String, Value>,
    /// Whether the record reaches back to the beginning.
    pub(super) whole: bool,
    /// Who asked last for access, or against it: (operation, who, when).
    pub(super) asked: Option<(String, String, i64)>,
    /// The account's status, or what became of the link; none without one.
    pub(super) status: Option<String>,
    pub(super) login: Option<String>,
    /// Since when the status is so.
    pub(super) since: Option<i64>,
    /// What somebody had to do about.
    pub(super) need: Option<String>,
    /// The latest fault, as it was told.
    pub(super) fault: Option<String>,
    /// The hold that kept the change back, and since when.
    pub(super) held: Option<(String, i64)>,
    /// The difference by which it is known that somebody removed the account at the target, and when it was noticed.
    pub(super) vanished: Option<(String, i64)>,
    /// Why an admin decided that it stays as it is; of now alone, a decision has no time.
    pub(super) kept: Option<String>,
}

impl App {
    /// The story of a resource as of a time. `operations` and `attempts` are those of up to then, newest first.
    pub(super) async fn story(
        &self,
        instance: &Instance,
        hero: &Hero,
        at: i64,
        operations: &[Value],
        attempts: &[Value],
        tasks: &[Value],
    ) -> Result<Value, StoreError> {
        let mut chain = Vec::new();
        let mut standing = self.wished(hero, at).await?;
        let earlier = |item: &&Value| item["at"].as_str().is_some();
        for item in operations.iter().filter(earlier) {
            chain.push(asked(item));
            for attempt in item["attempts"].as_array().into_iter().flatten() {
                chain.push(tried(attempt, item["id"].as_str()));
            }
        }
        chain.extend(attempts.iter().map(|attempt| tried(attempt, None)));
        chain.extend(tasks.iter().flat_map(|task| by_hand(task, at)));
        let all = operations.iter().flat_map(|item| item["attempts"].as_array().into_iter().flatten()).chain(attempts);
        let latest = all
            .filter(|attempt| attempt["message"].is_string())
            .max_by_key(|attempt| attempt["started_at"].as_str().map(str::to_owned));
        standing.fault = latest.and_then(|attempt| attempt["message"].as_str()).map(str::to_owned);
        self.known(hero, at, &mut standing, &mut chain).await?;
        self.stuck(hero, at, &mut standing, &mut chain).await?;
        let memberships = if hero.is_person() {
            self.joined(hero, at, &mut chain).await?
        } else {
            self.members_then(hero, at, &mut chain).await?
        };
        self.acts(instance, hero, at, operations, &mut chain).await?;
        self.differed(instance, hero, at, &mut standing, &mut chain).await?;
        self.compared(instance, at, &mut chain).await?;
        chain.sort_by_key(|event| event.at);
        let left_out = chain.len().saturating_sub(MOST);
        let chain: Vec<Value> = chain.into_iter().skip(left_out).map(|event| event.shown).collect();
        let mut then = json!({
            "in_directory": standing.exists,
            "managed": standing.managed,
            "attributes": standing.attributes,
            "attributes_complete": standing.whole,
            "asked_by": standing.asked.as_ref().map(|(operation, actor, at)| json!({"operation": operation, "actor": actor, "at": time(*at)})),
            "at_target": standing.status.as_deref().unwrap_or("none"),
            "login": standing.login,
            "at_target_since": standing.since.map(time),
            "need": standing.need,
            "hold": standing.held.as_ref().map(|(hold, since)| json!({"id": hold, "since": time(*since)})),
        });
        then[if hero.is_person() { "memberships" } else { "members" }] = memberships;
        if hero.is_person() {
            then["active"] = json!(standing.active);
        }
        Ok(json!({"then": then, "answer": answer(hero, &standing), "chain": chain, "chain_left_out": left_out}))
    }

    /// What the directory wanted: the changes that had been accepted, one upon another. A creation that failed left
    /// nothing, and neither did a change that was taken back.
    async fn wished(&self, hero: &Hero, at: i64) -> Result<Standing, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT id, verb, actor, key_name, changes, state, items, failed_items, at FROM operation WHERE resource_seq = $1 AND at <= $2 ORDER BY seq DESC LIMIT $3",
                vals![hero.seq, at, i64::try_from(MOST).unwrap_or(READ)],
            )
            .await?;
        let mut standing = Standing {
            exists: hero.created_at <= at && hero.deleted_at.is_none_or(|deleted| deleted > at),
            active: hero.active,
            managed: hero.managed && !rows.is_empty(),
            ..Standing::default()
        };
        let mut told = false;
        for row in rows.iter().rev() {
            let verb: String = row.col("verb")?;
            standing.whole |= verb == "create" || verb == "adopt";
            if row.col::<String>("state")? == "failed" && row.col::<i64>("failed_items")? >= row.col::<i64>("items")? {
                continue;
            }
            let changes = parsed(row.col("changes")?);
            let mut touches = matches!(verb.as_str(), "create" | "delete" | "adopt");
            for change in changes.as_array().into_iter().flatten() {
                let (Some(path), Some(to)) = (change["path"].as_str(), change.get("to")) else { continue };
                if path == "active" {
                    touches = true;
                    told = true;
                    standing.active = to.as_bool().unwrap_or(true);
                }
                match to {
                    Value::Null => standing.attributes.remove(path),
                    to => standing.attributes.insert(path.to_owned(), to.clone()),
                };
            }
            if verb == "create" && !told {
                told = true;
                standing.active = true;
            }
            if touches {
                standing.asked = Some((row.col("id")?, who(row)?, row.col("at")?));
            }
        }
        Ok(standing)
    }

    /// What was known of the account: links, and its status.
    async fn known(
        &self,
        hero: &Hero,
        at: i64,
        standing: &mut Standing,
        chain: &mut Vec<Event>,
    ) -> Result<(), StoreError> {
        let reader = self.store.reader();
        let links = reader
            .all(
                "SELECT l.account_seq, l.state, l.evidence, l.opened_at, l.closed_at, a.status, a.doc, a.remote_id, a.invite_id FROM link l JOIN account a ON a.seq = l.account_seq \
                 WHERE l.resource_seq = $1 AND l.opened_at <= $2 AND l.state <> 'proposed' ORDER BY l.seq DESC LIMIT $3",
                vals![hero.seq, at, READ],
            )
            .await?;
        let mut invitation: Option<i64> = None;
        for (place, row) in links.iter().rev().enumerate() {
            let account: i64 = row.col("account_seq")?;
            let doc = parsed(row.col("doc")?);
            let words = [&doc["login"], &doc["email"], &doc["name"]];
            let login = words.iter().find_map(|word| word.as_str()).map(str::to_owned);
            let remote = row.col::<Option<String>>("remote_id")?.or(row.col("invite_id")?).unwrap_or_default();
            let (opened, closed): (i64, Option<i64>) = (row.col("opened_at")?, row.col("closed_at")?);
            let tied = format!("ied to {} ({remote}) at the target.", login.as_deref().unwrap_or("an account"));
            chain.push(event(
                opened,
                "link",
                if invitation == Some(opened) {
                    format!("The invitation was accepted: t{tied}")
                } else {
                    format!("T{tied}")
                },
                json!({"evidence": row.col::<String>("evidence")?}),
            ));
            // An invitation that is accepted ends, and the account takes its place in the same moment: that is one event.
            let next = links.iter().rev().nth(place + 1);
            let accepted = closed.filter(|closed| *closed <= at).is_some()
                && row.col::<Option<String>>("remote_id")?.is_none()
                && next
                    .map(|next| {
                        Ok::<_, StoreError>((next.col::<i64>("opened_at")?, next.col::<Option<String>>("remote_id")?))
                    })
                    .transpose()?
                    .is_some_and(|(opened, remote)| Some(opened) == closed && remote.is_some());
            invitation = closed.filter(|_| accepted);
            if let Some(closed) = closed.filter(|closed| *closed <= at && !accepted) {
                chain.push(event(closed, "link", "No longer tied to it.".to_owned(), Value::Null));
            }
            let rows = reader
                .all(
                    "SELECT value, at FROM history WHERE subject_seq = $1 AND what = 'account' AND at <= $2 ORDER BY seq DESC LIMIT $3",
                    vals![account, at, READ],
                )
                .await?;
            for (place, change) in rows.iter().enumerate() {
                let (status, seen): (String, i64) = (change.col("value")?, change.col("at")?);
                // What it was before it was this one's is another's story, but for how it was found.
                let own = seen >= opened.saturating_sub(1_000_000) || place + 1 == rows.len();
                if own && !(accepted && status == "gone") {
                    let before = rows.get(place + 1).map(|row| row.col::<String>("value")).transpose()?;
                    let said = match (before.as_deref(), status.as_str()) {
                        (Some("invited"), "active") => {
                            "The invitation was accepted: seen at the target, active.".to_owned()
                        }
                        (Some("invited"), "gone") => "The invitation is gone from the target, not accepted.".to_owned(),
                        (Some(_), "gone") => "The account is gone from the target.".to_owned(),
                        _ => format!("Seen at the target: {status}."),
                    };
                    chain.push(event(seen, "account", said, json!({"status": status})));
                }
            }
            if closed.is_none_or(|closed| closed > at) {
                let newest = rows.first();
                standing.login = login;
                standing.since = newest.map(|row| row.col("at")).transpose()?.or(Some(opened));
                standing.status = Some(match newest {
                    Some(row) => row.col("value")?,
                    // Since before there was a record of it: it has not changed, or the first change would tell.
                    None => row.col("status")?,
                });
            } else {
                standing.since = closed;
                standing.status = None;
            }
        }
        Ok(())
    }

    /// What somebody had to do about, and the decisions that changes are kept from the target by.
    async fn stuck(
        &self,
        hero: &Hero,
        at: i64,
        standing: &mut Standing,
        chain: &mut Vec<Event>,
    ) -> Result<(), StoreError> {
        let reader = self.store.reader();
        let rows = reader
            .all(
                "SELECT value, at FROM history WHERE subject_seq = $1 AND what = 'work' AND at <= $2 ORDER BY seq DESC LIMIT $3",
                vals![hero.seq, at, READ],
            )
            .await?;
        standing.held = self.holding(hero, at).await?;
        if at == i64::MAX {
            let kept = reader
                .one(
                    "SELECT v.why FROM waiver v JOIN resource r ON r.seq = v.resource_seq AND r.rev = v.rev WHERE v.resource_seq = $1 AND v.item_seq = 0",
                    vals![hero.seq],
                )
                .await?;
            standing.kept = kept.map(|row| row.col("why")).transpose()?;
        }
        for (place, row) in rows.iter().enumerate() {
            let (code, since): (String, i64) = (row.col("value")?, row.col("at")?);
            // What is held is on record by its effect: nobody has to mend it, somebody has to decide.
            let held = code == "held" || Effect::parse(&code).is_some();
            let newest = place == 0;
            if newest && code != "settled" && !held {
                standing.need = Some(code.clone());
            }
            if let Some(hold) = standing.held.as_mut().filter(|_| newest && held) {
                hold.1 = since;
            }
            let text = match code.as_str() {
                "settled" => "Nothing was left to do.".to_owned(),
                _ if held => "Held by the brake until somebody decides.".to_owned(),
                code => format!("Needed somebody: {code}."),
            };
            let cause = match standing.held.as_ref().filter(|_| newest && held) {
                Some((hold, _)) => json!({"hold": hold}),
                None => Value::Null,
            };
            chain.push(event(since, "work", text, cause));
        }
        let waivers = reader
            .all(
                "SELECT item_seq, why FROM waiver WHERE resource_seq = $1 ORDER BY item_seq LIMIT $2",
                vals![hero.seq, READ],
            )
            .await?;
        for row in &waivers {
            let mut shown =
                event(at, "waiver", "Kept as it is by decision.".to_owned(), json!({"why": row.col::<String>("why")?}));
            shown.shown["at"] = Value::Null;
            chain.push(shown);
        }
        Ok(())
    }

    /// The hold that kept the change of a person or group back at a time, and since when it was open.
    async fn holding(&self, hero: &Hero, at: i64) -> Result<Option<(String, i64)>, StoreError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT h.id, h.opened_at FROM work w JOIN hold h ON h.seq = w.hold_seq WHERE w.resource_seq = $1 AND w.state = 'held' AND h.opened_at <= $2 \
                 UNION ALL SELECT h.id, h.opened_at FROM hold h JOIN hold_item i ON i.hold_seq = h.seq \
                 WHERE h.instance_seq = (SELECT instance_seq FROM resource WHERE seq = $1) AND i.resource_seq = $1 AND i.item_seq = 0 \
                 AND h.opened_at <= $2 AND h.decided_at > $2 LIMIT 1",
                vals![hero.seq, at],
            )
            .await?;
        row.map(|row| Ok((row.col("id")?, row.col("opened_at")?))).transpose()
    }

    /// A person's memberships at a time, and how they changed.
    async fn joined(&self, hero: &Hero, at: i64, chain: &mut Vec<Event>) -> Result<Value, StoreError> {
        let reader = self.store.reader();
        let rows = reader
            .all(
                "SELECT h.subject_seq, h.value, h.at, g.id, g.name, o.id AS op_id, o.actor, o.key_name FROM history h LEFT JOIN resource g ON g.seq = h.subject_seq \
                 LEFT JOIN operation o ON o.seq = (SELECT MAX(p.seq) FROM operation p WHERE p.resource_seq = h.subject_seq AND p.at <= h.at) \
                 WHERE h.item_seq = $1 AND h.item_seq > 0 AND h.what = 'member' AND h.at <= $2 ORDER BY h.seq DESC LIMIT $3",
                vals![hero.seq, at, READ],
            )
            .await?;
        let mut groups: BTreeMap<i64, Value> = BTreeMap::new();
        for row in &rows {
            let group: i64 = row.col("subject_seq")?;
            let (value, seen): (String, i64) = (row.col("value")?, row.col("at")?);
            let (id, name): (Option<String>, Option<String>) = (row.col("id")?, row.col("name")?);
            let cause = cause(row)?;
            let said = membership(&value);
            chain.push(event(
                seen,
                "membership",
                format!("Group {}: {said}.", name.as_deref().unwrap_or("(purged)")),
                cause,
            ));
            groups.entry(group).or_insert_with(|| state_of(&value, id, name, Some(seen)));
        }
        // Memberships that never changed since there is a record of them are as they are now.
        let now = reader
            .all(
                "SELECT m.group_seq, m.want, m.have, m.state, g.id, g.name FROM member m JOIN resource g ON g.seq = m.group_seq WHERE m.user_seq = $1 \
                 AND NOT EXISTS (SELECT 1 FROM history h WHERE h.item_seq = m.user_seq AND h.item_seq > 0 AND h.subject_seq = m.group_seq) ORDER BY m.group_seq LIMIT $2",
                vals![hero.seq, READ],
            )
            .await?;
        for row in &now {
            let value = format!(
                "{}:{}:{}",
                row.col::<i16>("want")?,
                row.col::<Option<i16>>("have")?.unwrap_or(-1),
                row.col::<String>("state")?
            );
            groups.insert(row.col("group_seq")?, state_of(&value, row.col("id")?, row.col("name")?, None));
        }
        Ok(Value::Array(groups.into_values().collect()))
    }

    /// How many members a group had at a time, and the latest changes.
    async fn members_then(&self, hero: &Hero, at: i64, chain: &mut Vec<Event>) -> Result<Value, StoreError> {
        let reader = self.store.reader();
        let rows = reader
            .all(
                "SELECT h.value, h.at, u.id, u.name, o.id AS op_id, o.actor, o.key_name FROM history h LEFT JOIN resource u ON u.seq = h.item_seq \
                 LEFT JOIN operation o ON o.seq = (SELECT MAX(p.seq) FROM operation p WHERE p.resource_seq = h.subject_seq AND p.at <= h.at) \
                 WHERE h.subject_seq = $1 AND h.what = 'member' AND h.at <= $2 ORDER BY h.seq DESC LIMIT $3",
                vals![hero.seq, at, READ],
            )
            .await?;
        for row in &rows {
            let (value, seen): (String, i64) = (row.col("value")?, row.col("at")?);
            let cause = cause(row)?;
            let name = row.col::<Option<String>>("name")?.unwrap_or_else(|| "(purged)".to_owned());
            chain.push(event(seen, "membership", format!("{name}: {}.", membership(&value)), cause));
        }
        // What is so now needs no record of how it came to be.
        let (text, values) = if at == i64::MAX {
            (COUNTED, vals![hero.seq])
        } else {
            let text = "SELECT CAST(COALESCE(SUM(CASE WHEN s.value LIKE '1:%' THEN 1 ELSE 0 END), 0) AS BIGINT) AS wanted, \
                 CAST(COALESCE(SUM(CASE WHEN s.value LIKE '%:1:%' THEN 1 ELSE 0 END), 0) AS BIGINT) AS present FROM ( \
                 SELECT h.value FROM history h JOIN (SELECT item_seq, MAX(seq) AS seq FROM history WHERE subject_seq = $1 AND what = 'member' AND at <= $2 GROUP BY item_seq) n ON n.seq = h.seq \
                 UNION ALL SELECT m.want || ':' || COALESCE(m.have, -1) || ':' || m.state FROM member m WHERE m.group_seq = $1 \
                 AND NOT EXISTS (SELECT 1 FROM history x WHERE x.item_seq = m.user_seq AND x.item_seq > 0 AND x.subject_seq = $1)) s";
            (text, vals![hero.seq, at])
        };
        let counted = reader.one(text, values).await?;
        let Some(counted) = counted else { return Ok(Value::Null) };
        Ok(json!({"wanted": counted.col::<i64>("wanted")?, "at_target": counted.col::<i64>("present")?}))
    }

    /// One person's membership of one group as of a time: what was wanted, what was so, and a sentence.
    pub(super) async fn membership_then(&self, group: &Hero, person: &Hero, at: i64) -> Result<Value, StoreError> {
        let reader = self.store.reader();
        let rows = reader
            .all(
                "SELECT h.value, h.at, o.id AS op_id, o.actor, o.key_name FROM history h \
                 LEFT JOIN operation o ON o.seq = (SELECT MAX(p.seq) FROM operation p WHERE p.resource_seq = h.subject_seq AND p.at <= h.at) \
                 WHERE h.item_seq = $1 AND h.item_seq > 0 AND h.subject_seq = $2 AND h.what = 'member' ORDER BY h.seq",
                vals![person.seq, group.seq],
            )
            .await?;
        let mut chain = Vec::new();
        let mut state: Option<(String, Option<i64>)> = None;
        for row in &rows {
            let (value, seen): (String, i64) = (row.col("value")?, row.col("at")?);
            if seen > at {
                continue;
            }
            let cause = cause(row)?;
            chain.push(json!({"at": time(seen), "kind": "membership", "text": format!("{}.", capital(&membership(&value))), "cause": cause}));
            state = Some((value, Some(seen)));
        }
        if rows.is_empty() {
            let now = reader
                .one(
                    "SELECT want, have, state FROM member WHERE group_seq = $1 AND user_seq = $2",
                    vals![group.seq, person.seq],
                )
                .await?;
            state = match now {
                None => None,
                Some(row) => Some((
                    format!(
                        "{}:{}:{}",
                        row.col::<i16>("want")?,
                        row.col::<Option<i16>>("have")?.unwrap_or(-1),
                        row.col::<String>("state")?
                    ),
                    None,
                )),
            };
        }
        let tried = reader
            .one(
                "SELECT * FROM attempt WHERE resource_seq = $1 AND item_seq = $2 AND started_at <= $3 ORDER BY seq DESC LIMIT 1",
                vals![group.seq, person.seq, at],
            )
            .await?;
        let tried = tried.as_ref().map(super::why::attempt).transpose()?;
        let fault = tried.as_ref().and_then(|attempt| attempt["message"].as_str()).unwrap_or_default().to_owned();
        let held = reader
            .one(
                "SELECT h.id, h.opened_at FROM member m JOIN hold h ON h.seq = m.hold_seq WHERE m.group_seq = $1 AND m.user_seq = $2 \
                 AND m.held = 1 AND m.state = 'todo' AND h.opened_at <= $3",
                vals![group.seq, person.seq, at],
            )
            .await?
            .map(|row| Ok::<_, StoreError>(kept_back(&row.col::<String>("id")?, row.col("opened_at")?)))
            .transpose()?;
        let (person, name) = (&person.name, &group.name);
        let answer = match state.as_ref().map(|(value, _)| value.split(':').collect::<Vec<_>>()).as_deref() {
            None => format!("{person} was not in {name}: nobody asked for it."),
            Some(["1", "1", ..]) => format!("{person} was in {name}, as asked."),
            Some(["1", "2", ..]) => format!("{person} was to be in {name} once the invitation is accepted."),
            Some(["1", _, "parked"]) => format!(
                "{person} was wanted in {name} and not in it yet: it waits until the person has an account there."
            ),
            Some(["1", _, "refused"]) => {
                format!("{person} was wanted in {name} and not in it: the target refused. {fault}")
                    .trim_end()
                    .to_owned()
            }
            Some(["1", ..]) => {
                format!("{person} was wanted in {name}; it was not at the target yet. {fault}").trim_end().to_owned()
            }
            Some([_, "1" | "2", ..]) if held.is_some() => {
                format!("{person} was still in {name}, though nobody wanted it any more.{}", held.unwrap_or_default())
            }
            Some([_, "1" | "2", ..]) => {
                format!("{person} was still in {name}, though nobody wanted it any more. {fault}").trim_end().to_owned()
            }
            Some(_) => format!("{person} was not in {name}: nobody wanted it any more."),
        };
        let (state, since) = match state {
            Some((value, since)) => (state_of(&value, Some(group.id.clone()), Some(group.name.clone()), since), since),
            None => (Value::Null, None),
        };
        Ok(json!({"state": state, "since": since.map(time), "last_attempt": tried, "answer": answer, "chain": chain}))
    }

    /// What admins did to it.
    async fn acts(
        &self,
        instance: &Instance,
        hero: &Hero,
        at: i64,
        operations: &[Value],
        chain: &mut Vec<Event>,
    ) -> Result<(), StoreError> {
        let mut targets = vec![hero.id.clone()];
        targets.extend(operations.iter().take(50).filter_map(|item| item["id"].as_str()).map(str::to_owned));
        let reader = self.store.reader();
        let text = format!(
            "SELECT actor, act, target, at FROM audit WHERE target IN {} AND at <= $2 ORDER BY seq DESC LIMIT $3",
            reader.each(1)
        );
        for row in reader.all(&text, vals![json!(targets).to_string(), at, READ]).await? {
            let act: String = row.col("act")?;
            chain.push(event(
                row.col("at")?,
                "act",
                format!("{} did {act}.", row.col::<String>("actor")?),
                json!({"target": row.col::<String>("target")?}),
            ));
        }
        let modes = reader
            .all(
                "SELECT actor, act, detail, at FROM audit WHERE target = $1 AND act = 'instance.update' AND at <= $2 ORDER BY seq DESC LIMIT 20",
                vals![instance.id.as_str(), at],
            )
            .await?;
        for row in &modes {
            let detail = parsed(row.col("detail")?);
            if let Some(mode) = detail["mode"].as_str() {
                let said: i64 = row.col("at")?;
                if said >= hero.created_at {
                    chain.push(event(
                        said,
                        "act",
                        format!("{} set the instance to {mode}.", row.col::<String>("actor")?),
                        Value::Null,
                    ));
                }
            }
        }
        Ok(())
    }

    /// What differed at the target though nobody asked, and what the brake held.
    async fn differed(
        &self,
        instance: &Instance,
        hero: &Hero,
        at: i64,
        standing: &mut Standing,
        chain: &mut Vec<Event>,
    ) -> Result<(), StoreError> {
        let reader = self.store.reader();
        // The few of one are put in order: in order already, SQLite would read everybody's.
        let drift = format!(
            "SELECT id, class, action, item_seq, first_seen FROM drift WHERE instance_seq = $1 AND resource_seq = $2 AND first_seen <= $3 ORDER BY {}seq DESC LIMIT $4",
            self.aside()
        );
        let drift = reader.all(&drift, vals![instance.seq, hero.seq, at, READ]).await?;
        for row in &drift {
            let (class, action): (String, String) = (row.col("class")?, row.col("action")?);
            let (id, seen): (String, i64) = (row.col("id")?, row.col("first_seen")?);
            let said = format!("Differed from what is wanted: {class} ({action}).");
            chain.push(event(seen, "drift", said, json!({"drift": id})));
            if class == "vanished" && action == "report" && row.col::<i64>("item_seq")? == 0 {
                standing.vanished = Some((id, seen));
            }
        }
        let holds = reader
            .all(
                "SELECT h.id, h.state, h.opened_at, h.decided_at, h.decided_by, MIN(i.effect) AS effect FROM hold h JOIN hold_item i ON i.hold_seq = h.seq \
                 WHERE h.instance_seq = $1 AND (i.resource_seq = $2 OR i.item_seq = $2) AND h.opened_at <= $3 \
                 GROUP BY h.id, h.state, h.opened_at, h.decided_at, h.decided_by ORDER BY h.opened_at DESC LIMIT $4",
                vals![instance.seq, hero.seq, at, READ],
            )
            .await?;
        for row in &holds {
            let cause = json!({"hold": row.col::<String>("id")?});
            let effect: String = row.col("effect")?;
            chain.push(event(row.col("opened_at")?, "hold", format!("The brake held: {effect}."), cause.clone()));
            if let Some(decided) = row.col::<Option<i64>>("decided_at")?.filter(|decided| *decided <= at) {
                let by = row.col::<Option<String>>("decided_by")?.unwrap_or_default();
                chain.push(event(
                    decided,
                    "hold",
                    format!("{} by {by}.", capital(&row.col::<String>("state")?)),
                    cause,
                ));
            }
        }
        Ok(())
    }

    /// When the target was last compared before a time.
    async fn compared(&self, instance: &Instance, at: i64, chain: &mut Vec<Event>) -> Result<(), StoreError> {
        let row = self
            .store
            .reader()
            .one(
                "SELECT id, kind, state, complete, ended_at FROM run WHERE instance_seq = $1 AND state <> 'running' AND kind <> 'look' AND ended_at <= $2 ORDER BY seq DESC LIMIT 1",
                vals![instance.seq, at],
            )
            .await?;
        if let Some(row) = row {
            let ended: i64 = row.col("ended_at")?;
            let complete = if row.col::<i16>("complete")? == 1 { "a complete listing" } else { "no complete listing" };
            chain.push(event(
                ended,
                "run",
                format!(
                    "Last compared with the target: {} ({}, {complete}).",
                    row.col::<String>("kind")?,
                    row.col::<String>("state")?
                ),
                json!({"run": row.col::<String>("id")?}),
            ));
        }
        Ok(())
    }
}

/// What a change of a membership came from: the newest operation on the group up to then, which the row holds.
fn cause(row: &QueryResult) -> Result<Value, StoreError> {
    match row.col::<Option<String>>("op_id")? {
        None => Ok(Value::Null),
        Some(id) => Ok(json!({"operation": id, "actor": who(row)?})),
    }
}
