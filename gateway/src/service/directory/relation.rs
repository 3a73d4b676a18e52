//! Members of groups and groups of users: rows, read as they are needed.

use std::collections::{BTreeSet, HashMap};

use scim::Filter;
use scim::filter::{Op, Test};
use scim::schema::ResourceType;
use sea_orm::{QueryResult, Value};
use serde_json::json;

use super::placeholders;
use crate::service::App;
use crate::service::types::MemberEntry;
use crate::store::{Rows, Sql, StoreError};

/// Members read at a time where they are written out as they are read.
pub const MEMBERS_CHUNK: usize = 1_000;

/// Members whose presence decides a filter.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The filter does not ask for members.
    None,
    /// It asks only whether these ids are among them.
    These(BTreeSet<String>),
    /// It asks for more.
    All,
}

impl Named {
    /// What a filter asks of the members: "is X in this group" reads no other member.
    pub(super) fn by(filter: &Filter, rt: &ResourceType) -> Self {
        let mut named = Self::None;
        if let Some(relation) = &rt.relation {
            named.add(filter, relation);
        }
        named
    }

    fn add(&mut self, filter: &Filter, relation: &str) {
        let is = |name: &str| name.eq_ignore_ascii_case(relation);
        let is_value = |sub: Option<&str>| sub.is_none_or(|sub| sub.eq_ignore_ascii_case("value"));
        match filter {
            Filter::And(parts) | Filter::Or(parts) => parts.iter().for_each(|part| self.add(part, relation)),
            Filter::Not(inner) => self.add(inner, relation),
            Filter::Compare { path, op, value } if is(&path.attr) => match value.as_str() {
                Some(id) if *op == Op::Eq && is_value(path.sub.as_deref()) => self.id(id),
                _ => *self = Self::All,
            },
            Filter::ValuePath { attr, filter, then } if is(&attr.attr) => {
                let mut ids = filter.conjuncts().iter().filter_map(|part| match part {
                    Filter::Compare { path, op: Op::Eq, value } if is_value(Some(&path.attr)) => value.as_str(),
                    _ => None,
                });
                let after = then.as_ref().and_then(|then| match &then.test {
                    Test::Compare(Op::Eq, value) if is_value(Some(&then.sub)) => value.as_str(),
                    _ => None,
                });
                // Only elements of that id can pass.
                match ids.next().or(after) {
                    Some(id) => self.id(id),
                    None => *self = Self::All,
                }
            }
            Filter::Present(path) if is(&path.attr) => *self = Self::All,
            Filter::Compare { .. } | Filter::ValuePath { .. } | Filter::Present(_) => {}
        }
    }

    fn id(&mut self, id: &str) {
        match self {
            Self::None => *self = Self::These(BTreeSet::from([id.to_owned()])),
            Self::These(ids) => {
                ids.insert(id.to_owned());
            }
            Self::All => {}
        }
    }
}

impl App {
    /// The members of a group, as the directory wants them, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn members_of(&self, group_seq: i64) -> Result<Vec<MemberEntry>, StoreError> {
        let mut members = Vec::new();
        let mut after = 0;
        loop {
            let (chunk, last) = self.members_after(group_seq, after).await?;
            members.extend(chunk);
            match last {
                Some(last) => after = last,
                None => return Ok(members),
            }
        }
    }

    /// So many members of a group behind one, oldest first, and the row of the last of them if there may be more.
    ///
    /// # Errors
    /// The store's.
    pub async fn members_after(
        &self,
        group_seq: i64,
        after: i64,
    ) -> Result<(Vec<MemberEntry>, Option<i64>), StoreError> {
        let text = format!(
            "SELECT u.id, u.name, m.user_seq FROM member m JOIN resource u ON u.seq = m.user_seq \
             WHERE m.group_seq = $1 AND m.user_seq > $2 AND m.want = 1 AND u.deleted_at IS NULL ORDER BY m.user_seq LIMIT {MEMBERS_CHUNK}"
        );
        let rows = self.store.reader().all(&text, vals![group_seq, after]).await?;
        let last = rows.last().filter(|_| rows.len() == MEMBERS_CHUNK).map(|row| row.at(2)).transpose()?;
        Ok((rows.iter().map(entry).collect::<Result<_, _>>()?, last))
    }

    /// The groups of users, by row of the user.
    ///
    /// # Errors
    /// The store's.
    pub async fn groups_of(&self, user_seqs: &[i64]) -> Result<HashMap<i64, Vec<MemberEntry>>, StoreError> {
        let mut groups: HashMap<i64, Vec<MemberEntry>> = HashMap::new();
        for chunk in user_seqs.chunks(500) {
            let text = format!(
                "SELECT g.id, g.name, m.user_seq FROM member m JOIN resource g ON g.seq = m.group_seq \
                 WHERE m.user_seq IN ({}) AND m.want = 1 AND g.deleted_at IS NULL ORDER BY m.group_seq",
                placeholders(chunk.len())
            );
            let rows = self.store.reader().all(&text, chunk.iter().map(|seq| Value::from(*seq)).collect()).await?;
            for row in &rows {
                groups.entry(row.at(2)?).or_default().push(entry(row)?);
            }
        }
        Ok(groups)
    }

    /// The members that a filter may look at; none if it looks at none.
    pub(super) async fn named_members(
        &self,
        group_seq: i64,
        named: &Named,
    ) -> Result<Option<Vec<serde_json::Value>>, StoreError> {
        let members = match named {
            Named::None => return Ok(None),
            Named::All => self.members_of(group_seq).await?,
            Named::These(ids) => {
                let mut found = Vec::new();
                for id in ids.iter().filter(|id| !id.contains('\0')) {
                    let text = "SELECT u.id, u.name FROM resource u JOIN member m ON m.user_seq = u.seq \
                                WHERE u.id = $1 AND m.group_seq = $2 AND m.want = 1 AND u.deleted_at IS NULL";
                    let row = self.store.reader().one(text, vals![id.as_str(), group_seq]).await?;
                    found.extend(row.as_ref().map(entry).transpose()?);
                }
                found
            }
        };
        let element = |m: &MemberEntry| json!({"value": m.id, "display": m.display, "type": "User"});
        Ok(Some(members.iter().map(element).collect()))
    }
}

fn entry(row: &QueryResult) -> Result<MemberEntry, StoreError> {
    Ok(MemberEntry { id: row.at(0)?, display: row.at(1)? })
}
