//! People and groups as the console leafs through them: of one instance or of all, narrowed down, the newest first; and
//! one of them with everything that is wanted and known of it.

use scim::fold::fold_name;
use sea_orm::{QueryResult, Value as SqlValue};
use serde_json::{Value, json};

use super::pick::FEW;
use super::{App, DIFFERS, Slice, parsed, slice, standing, time};
use crate::service::types::Instance;
use crate::store::{Rows, Sql, StoreError};

/// Which people or groups.
#[derive(Clone, Debug, Default)]
pub struct Browse {
    /// Only of this kind: `User` or `Group`.
    pub kind: &'static str,
    /// Whose name begins so.
    pub text: Option<String>,
    /// Only so: one of [`Browse::STATES`].
    pub state: Option<String>,
    /// Only people who shall have access, or shall have none.
    pub active: Option<bool>,
}

impl Browse {
    /// What `state` may be.
    pub const STATES: [&str; 11] = [
        "leaving",
        "pending",
        "held",
        "needs",
        "settled",
        "parked",
        "drifted",
        "waived",
        "unlinked",
        "unmanaged",
        "protected",
    ];
}

/// The columns of a row of the list, behind those that [`standing`] reads.
const ROW: &str = "r.seq, r.id, r.kind, r.name, r.active, r.managed, r.external_id, r.deleted_at, r.modified_at, r.doc, a.status, a.remote_id, a.login_key, a.email_key, \
     a.doc AS account_doc, a.protected, w.state AS work_state, w.need AS work_need, w.reason AS work_reason, v.why AS waived, \
     i.id AS instance_id, i.name AS instance_name";
/// What a row is put together from, beside the resource itself.
const BESIDE: &str = "JOIN instance i ON i.seq = r.instance_seq LEFT JOIN link l ON l.resource_seq = r.seq AND l.state = 'live' \
     LEFT JOIN account a ON a.seq = l.account_seq LEFT JOIN work w ON w.resource_seq = r.seq \
     LEFT JOIN waiver v ON v.resource_seq = r.seq AND v.item_seq = 0 AND v.rev = r.rev";

/// Names up to which a page of members is looked for among them. Of a group that has everybody, each member would be looked at
/// until the page is full: that costs more than so many names.
const NAMED: i64 = 10_000;

/// What a person is called beside their user name.
fn called(doc: &Value) -> Option<String> {
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let parts = || {
        let both = [&doc["name"]["givenName"], &doc["name"]["familyName"]];
        let found: Vec<&str> = both.iter().filter_map(|part| part.as_str()).filter(|part| !part.is_empty()).collect();
        Some(found.join(" ")).filter(|text| !text.is_empty())
    };
    text(&doc["displayName"]).or_else(|| text(&doc["name"]["formatted"])).or_else(parts)
}

impl App {
    /// The people or groups of an instance, or of all, before row `before`, newest first, with where each stands and how
    /// many memberships it has.
    ///
    /// # Errors
    /// The store's.
    pub async fn browse(
        &self,
        instance: Option<&Instance>,
        which: &Browse,
        before: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let (pick, values) = self.pick(instance, which, before, limit + 1).await?;
        // A group may have everybody: its rows are counted in an index, less those that are not wanted, which are few.
        let wanted = if which.kind == "Group" {
            "(SELECT COUNT(*) FROM member m WHERE m.group_seq = r.seq) - (SELECT COUNT(*) FROM member m WHERE m.group_seq = r.seq AND m.want = 0)"
        } else {
            "(SELECT COUNT(*) FROM member m WHERE m.user_seq = r.seq AND m.want = 1)"
        };
        let side = if which.kind == "Group" { "group_seq" } else { "user_seq" };
        let text = format!(
            "SELECT {DIFFERS}, {ROW}, {wanted} AS wanted, (SELECT COUNT(*) FROM member m WHERE m.{side} = r.seq AND m.want = 1 AND m.state = 'parked') AS parked \
             FROM ({pick}) p CROSS JOIN resource r {BESIDE} WHERE r.seq = p.seq ORDER BY r.seq DESC"
        );
        let rows = self.store.reader().all(&text, values).await?;
        slice(&rows, limit, |row| {
            let mut item = row_of(row)?;
            item["memberships"] = json!({"wanted": row.col::<i64>("wanted")?, "parked": row.col::<i64>("parked")?});
            Ok(item)
        })
    }

    /// One person or group with what is wanted, what is known of the account, and what its work waits for; deleted ones
    /// too. None if the instance has none of that SCIM id.
    ///
    /// # Errors
    /// The store's.
    pub async fn sheet(&self, instance: &Instance, kind: &str, id: &str) -> Result<Option<Value>, StoreError> {
        let text = format!(
            "SELECT {DIFFERS}, {ROW}, r.created_at, r.erased_at, a.ours, a.expires_at, a.seen_at, a.invite_id, w.due_at, w.tries, w.since, w.lane, h.id AS hold_id, h.opened_at AS held_at FROM resource r {BESIDE} \
             LEFT JOIN hold h ON h.seq = w.hold_seq WHERE r.instance_seq = $1 AND r.kind = $2 AND r.id = $3"
        );
        let Some(row) = self.store.reader().one(&text, vals![instance.seq, kind, id]).await? else { return Ok(None) };
        let mut item = row_of(&row)?;
        item["doc"] = parsed(row.col("doc")?);
        item["account"] = row.col::<Option<String>>("account_doc")?.map(parsed).unwrap_or_default();
        item["created_at"] = json!(time(row.col("created_at")?));
        item["deleted_at"] = json!(row.col::<Option<i64>>("deleted_at")?.map(time));
        item["erased_at"] = json!(row.col::<Option<i64>>("erased_at")?.map(time));
        item["expires_at"] = json!(row.col::<Option<i64>>("expires_at")?.map(time));
        item["seen_at"] = json!(row.col::<Option<i64>>("seen_at")?.map(time));
        item["invite_id"] = json!(row.col::<Option<String>>("invite_id")?);
        item["work"] = match row.col::<Option<String>>("work_state")? {
            None => Value::Null,
            Some(state) => json!({
                "state": state,
                "need": row.col::<Option<String>>("work_need")?,
                "reason": row.col::<Option<String>>("work_reason")?,
                "due_at": row.col::<Option<i64>>("due_at")?.map(time),
                "since": row.col::<Option<i64>>("since")?.map(time),
                "tries": row.col::<Option<i64>>("tries")?,
                "hold": row.col::<Option<String>>("hold_id")?,
                "held_at": row.col::<Option<i64>>("held_at")?.map(time),
                "leaving": row.col::<Option<i16>>("lane")? == Some(0),
            }),
        };
        Ok(Some(item))
    }

    /// The members of a group, wanted or at the target, behind row `after`; of one state where one is given (`settled`,
    /// `todo`, `parked`, `refused`), and whose name begins so.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_group_members(
        &self,
        instance: &Instance,
        group: &str,
        (state, text): (Option<&str>, Option<&str>),
        after: i64,
        limit: i64,
    ) -> Result<Slice, StoreError> {
        let (text, values) = self.members_so(instance, group, (state, text), after, limit).await?;
        let rows = self.store.reader().all(&text, values).await?;
        slice(&rows, limit, member_of)
    }

    /// The statement of that list, and its values.
    pub(super) async fn members_so(
        &self,
        instance: &Instance,
        group: &str,
        (state, text): (Option<&str>, Option<&str>),
        after: i64,
        limit: i64,
    ) -> Result<(String, Vec<SqlValue>), StoreError> {
        let mut values: Vec<SqlValue> = vals![instance.seq, group, after, limit + 1];
        let mut condition = String::new();
        // From where on, and the order, where those are not to choose the index.
        let (mut behind, mut order) = ("", "");
        if let Some(state) = state {
            values.push(state.into());
            condition.push_str(&format!(" AND m.state = ${}", values.len()));
            // Said in the text as well, so that the index of those serves.
            match state {
                "parked" | "refused" => condition.push_str(" AND m.state IN ('parked','refused')"),
                // Theirs is not in the order of the list: a few are put in order, of many the next are found by the list.
                "todo" if self.few_to_send(instance, group).await? => {
                    condition.push_str(" AND m.state = 'todo'");
                    (behind, order) = (self.aside(), self.aside());
                }
                _ => {}
            }
        }
        if let Some(text) = text {
            let from = fold_name(text);
            values.push(format!("{from}{}", char::MAX).into());
            values.push(from.into());
            let last = values.len();
            let so = |of: &str| format!("{of}name_key >= ${last} AND {of}name_key < ${}", last - 1);
            condition.push_str(&if self.few_named(Some(instance), "User", text, NAMED).await? {
                behind = self.aside();
                let named = |deleted: &str| format!("SELECT seq FROM resource WHERE instance_seq = $1 AND kind = 'User' AND {} AND deleted_at {deleted}", so(""));
                format!(" AND m.user_seq IN ({} UNION ALL {})", named("IS NULL"), named("IS NOT NULL"))
            } else {
                format!(" AND {}", so("u."))
            });
        }
        let text = format!(
            "SELECT m.user_seq AS seq, m.want, m.have, m.state, m.reason, m.held, u.id, u.name, u.active, u.deleted_at, a.status, o.id AS operation_id, h.id AS hold_id \
             FROM resource g JOIN member m ON m.group_seq = g.seq JOIN resource u ON u.seq = m.user_seq \
             LEFT JOIN link l ON l.resource_seq = u.seq AND l.state = 'live' LEFT JOIN account a ON a.seq = l.account_seq \
             LEFT JOIN operation o ON o.seq = m.op_seq LEFT JOIN hold h ON h.seq = m.hold_seq AND m.held = 1 \
             WHERE g.instance_seq = $1 AND g.id = $2 AND g.kind = 'Group' AND {behind}m.user_seq > $3 AND (m.want = 1 OR m.have IN (1,2) OR m.state <> 'settled'){condition} \
             ORDER BY {order}m.user_seq LIMIT $4"
        );
        Ok((text, values))
    }

    /// Whether so few memberships of a group are still to be sent that a page is looked for among them.
    async fn few_to_send(&self, instance: &Instance, group: &str) -> Result<bool, StoreError> {
        let text = "SELECT COUNT(*) AS n FROM (SELECT 1 AS one FROM resource g JOIN member m ON m.group_seq = g.seq \
             WHERE g.id = $2 AND g.instance_seq = $1 AND m.state = 'todo' LIMIT $3) few";
        let row = self.store.reader().one(text, vals![instance.seq, group, FEW + 1]).await?;
        Ok(row.map_or(Ok(0), |row| row.col::<i64>("n"))? <= FEW)
    }

    /// The open holds that keep a person's memberships, or a group's, as they are: id of the hold and of the group.
    ///
    /// # Errors
    /// The store's.
    pub async fn memberships_held(&self, instance: &Instance, id: &str) -> Result<Vec<(String, String)>, StoreError> {
        let rows = self
            .store
            .reader()
            .all(
                "SELECT DISTINCT h.id, g.id AS group_id FROM resource r JOIN member m ON (m.user_seq = r.seq OR m.group_seq = r.seq) AND m.held = 1 AND m.state = 'todo' \
                 JOIN hold h ON h.seq = m.hold_seq AND h.state = 'open' JOIN resource g ON g.seq = m.group_seq WHERE r.instance_seq = $1 AND r.id = $2 LIMIT 20",
                vals![instance.seq, id],
            )
            .await?;
        rows.iter().map(|row| Ok((row.col("id")?, row.col("group_id")?))).collect()
    }
}

fn member_of(row: &QueryResult) -> Result<Value, StoreError> {
    let have = match row.col::<Option<i16>>("have")? {
        None => "unknown",
        Some(0) => "no",
        Some(1) => "yes",
        Some(_) => "pending",
    };
    Ok(json!({
        "id": row.col::<String>("id")?,
        "userName": row.col::<String>("name")?,
        "active": row.col::<i16>("active")? == 1 && row.col::<Option<i64>>("deleted_at")?.is_none(),
        "wanted": row.col::<i16>("want")? == 1,
        "at_target": have,
        "state": row.col::<String>("state")?,
        "reason": row.col::<Option<String>>("reason")?,
        "account": row.col::<Option<String>>("status")?,
        "operation": row.col::<Option<String>>("operation_id")?,
        "hold": row.col::<Option<String>>("hold_id")?,
    }))
}

fn row_of(row: &QueryResult) -> Result<Value, StoreError> {
    let doc = parsed(row.col("doc")?);
    let mut item = standing(row)?;
    item.insert("kind".into(), json!(row.col::<String>("kind")?));
    item.insert("name".into(), json!(row.col::<String>("name")?));
    item.insert("deleted".into(), json!(row.col::<Option<i64>>("deleted_at")?.is_some()));
    item.insert("called".into(), json!(called(&doc)));
    item.insert("modified_at".into(), json!(time(row.col("modified_at")?)));
    item.insert("protected".into(), json!(row.col::<Option<i16>>("protected")? == Some(1)));
    item.insert(
        "instance".into(),
        json!({"id": row.col::<String>("instance_id")?, "name": row.col::<String>("instance_name")?}),
    );
    Ok(Value::Object(item))
}
