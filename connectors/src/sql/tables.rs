//! The statements for mapped tables, written from the mapping and what the live schema says of the
//! columns. Identifiers are quoted; every value is a parameter, the admin's constants too.

use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::mapping::{Constant, GroupTable, MemberTable, NewId, UserTable};
use super::named::Statement;
use super::ops::{Columns, GroupOps, Revival, UserOps, Write, read};
use super::schema::Schema;
use super::values::{Params, Value};

/// Look-ups give no more rows than this: more people of one name is a mistake in the data.
const MOST_FOUND: usize = 50;

/// A table's name in quotes: `schema.table` is two names.
pub(super) fn quoted(dialect: Dialect, table: &str) -> String {
    table.splitn(2, '.').map(|part| dialect.quote(part)).collect::<Vec<_>>().join(".")
}

/// Writes for one kind of database and one live schema.
pub(super) struct Writer<'a> {
    pub(super) dialect: Dialect,
    pub(super) schema: &'a Schema,
}

/// Constants of the admin's as parameters: conditions that name them, and columns that take them.
struct Fixed {
    params: Params,
    conditions: Vec<String>,
    columns: Vec<(String, String)>,
}

impl Writer<'_> {
    fn q(&self, name: &str) -> String {
        self.dialect.quote(name)
    }

    /// A column of the table that a SELECT reads, which is always called `t`.
    fn t(&self, column: &str) -> String {
        format!("t.{}", self.q(column))
    }

    fn read(&self, text: &str) -> Result<Vec<Statement>, String> {
        read(self.dialect, text).map(|one| vec![one])
    }

    /// That a column of a table is this text, without regard to case.
    fn same(&self, table: &str, column: &str, name: &str) -> String {
        let at = self.t(column);
        match self.dialect {
            _ if self.schema.ignores_case(table, column) => format!("{at} = :{name}"),
            Dialect::Sqlite => format!("{at} = :{name} COLLATE {}", super::session::FOLD),
            _ => format!("lower({at}) = lower(:{name})"),
        }
    }

    fn fixed(&self, scope: &BTreeMap<String, Constant>, values: &BTreeMap<String, Constant>) -> Fixed {
        let mut fixed = Fixed { params: Params::default(), conditions: Vec::new(), columns: Vec::new() };
        for (n, (column, constant)) in scope.iter().enumerate() {
            let name = format!("scope_{n}");
            fixed.conditions.push(format!("{} = :{name}", self.q(column)));
            fixed.columns.push((self.q(column), name.clone()));
            fixed.params.set(&name, constant.value());
        }
        for (n, (column, constant)) in values.iter().enumerate() {
            let name = format!("value_{n}");
            fixed.columns.push((self.q(column), name.clone()));
            fixed.params.set(&name, constant.value());
        }
        fixed
    }

    /// What is run for the people of a table. `members`: where their memberships are.
    pub(super) fn users(&self, map: &UserTable, members: Option<&MemberTable>) -> Result<UserOps, String> {
        let (q, table) = (|name: &str| self.q(name), quoted(self.dialect, &map.table));
        let Fixed { mut params, conditions: scope, columns: fixed } = self.fixed(&map.scope, &map.values);
        let id = self.t(&map.id);

        let mut shown =
            vec![format!("{id} AS {}", q("id")), format!("{} AS {}", self.t(&map.user_name), q("user_name"))];
        let mut attributes = Vec::new();
        for (name, column) in [
            ("email", &map.email),
            ("display_name", &map.display_name),
            ("given_name", &map.given_name),
            ("family_name", &map.family_name),
            ("external_id", &map.external_id),
            ("role", &map.role),
        ] {
            if let Some(column) = column {
                attributes.push((q(column), name.to_owned()));
                shown.push(format!("{} AS {}", self.t(column), q(name)));
            }
        }
        if let Some(column) = &map.protected {
            shown.push(format!("{} AS {}", self.t(column), q("protected")));
        }

        // Where a person stands: how it is shown, and what it takes to change it.
        let mut active_columns = Vec::new();
        let (mut suspend, mut restore) = (None, None);
        if let Some(column) = &map.active {
            params.set("yes", Value::Flag(true));
            params.set("no", Value::Flag(false));
            shown.push(format!("{} AS {}", self.t(column), q("active")));
            active_columns.push((q(column), "yes".to_owned()));
            suspend = Some(format!("{} = :no", q(column)));
            restore = Some(format!("{} = :yes", q(column)));
        } else if let Some(column) = &map.deactivated_at {
            shown.push(format!("({} IS NULL) AS {}", self.t(column), q("active")));
            suspend = Some(format!("{0} = COALESCE({0}, CURRENT_TIMESTAMP)", q(column)));
            restore = Some(format!("{} = NULL", q(column)));
        } else if let Some(status) = &map.status {
            params.set("active_status", status.active.value());
            params.set("suspended_status", status.suspended.value());
            let column = q(&status.column);
            shown.push(format!(
                "CASE WHEN {} = :active_status THEN 1 ELSE 0 END AS {}",
                self.t(&status.column),
                q("active")
            ));
            active_columns.push((column.clone(), "active_status".to_owned()));
            suspend = Some(format!("{column} = :suspended_status"));
            restore = Some(format!("{column} = :active_status"));
        }

        // Whether a person was removed: which rows are seen, and how one is removed and comes back.
        let (mut there, mut gone, mut remove, mut back) = (None, None, None, None);
        if let Some(column) = &map.deleted {
            params.set("yes", Value::Flag(true));
            params.set("no", Value::Flag(false));
            let column = q(column);
            there = Some(format!("({column} IS NULL OR {column} = :no)"));
            gone = Some(format!("{column} = :yes"));
            remove = Some(format!("{column} = :yes"));
            back = Some(format!("{column} = :no"));
        } else if let Some(column) = &map.deleted_at {
            let column = q(column);
            there = Some(format!("{column} IS NULL"));
            gone = Some(format!("{column} IS NOT NULL"));
            remove = Some(format!("{column} = CURRENT_TIMESTAMP"));
            back = Some(format!("{column} = NULL"));
        } else if let Some((status, deleted)) =
            map.status.as_ref().and_then(|status| Some((status, status.deleted.as_ref()?)))
        {
            params.set("deleted_status", deleted.value());
            let column = q(&status.column);
            there = Some(format!("({column} IS NULL OR {column} <> :deleted_status)"));
            gone = Some(format!("{column} = :deleted_status"));
            remove = Some(format!("{column} = :deleted_status"));
            back = Some(format!("{column} = :active_status"));
        }

        let visible: Vec<String> = scope.iter().cloned().chain(there).collect();
        let select = format!("SELECT {} FROM {table} t", shown.join(", "));
        let among = |more: &str| {
            visible
                .iter()
                .map(String::as_str)
                .chain((!more.is_empty()).then_some(more))
                .collect::<Vec<_>>()
                .join(" AND ")
        };
        let filtered = |more: &str| match among(more) {
            conditions if conditions.is_empty() => select.clone(),
            conditions => format!("{select} WHERE {conditions}"),
        };
        let by_id = format!("{} = :id", q(&map.id));
        let order = format!("ORDER BY {id} LIMIT :limit");

        let mut alike = vec![self.same(&map.table, &map.user_name, "user_name")];
        alike.extend(map.email.as_ref().map(|column| self.same(&map.table, column, "email")));
        alike.extend(map.external_id.as_ref().map(|column| format!("{} = :external_id", self.t(column))));

        let mut removal = Vec::new();
        if let Some(members) = members {
            let (memberships, user) = (quoted(self.dialect, &members.table), q(&members.user));
            removal.extend(self.read(&format!("DELETE FROM {memberships} WHERE {user} = :id"))?);
        }
        removal.extend(self.read(&match &remove {
            Some(set) => format!("UPDATE {table} SET {set} WHERE {}", among(&by_id)),
            None => format!("DELETE FROM {table} WHERE {}", among(&by_id)),
        })?);

        let revival = match (gone, back) {
            (Some(gone), Some(back)) => {
                let conditions: Vec<&str> = scope.iter().map(String::as_str).chain([gone.as_str()]).collect();
                let sets: Vec<&str> = [Some(back.as_str()), restore.as_deref()].into_iter().flatten().collect();
                // With a status both say the same.
                let sets = if sets.len() == 2 && sets[0] == sets[1] { &sets[..1] } else { &sets[..] };
                Some(Revival {
                    find: self.read(&format!(
                        "{select} WHERE {} AND {} ORDER BY {id} DESC LIMIT {MOST_FOUND}",
                        conditions.join(" AND "),
                        self.same(&map.table, &map.user_name, "user_name")
                    ))?,
                    revive: self.read(&format!(
                        "UPDATE {table} SET {} WHERE {} AND {by_id}",
                        sets.join(", "),
                        conditions.join(" AND ")
                    ))?,
                })
            }
            _ => None,
        };

        let mut columns = fixed;
        columns.push((q(&map.user_name), "user_name".to_owned()));
        columns.extend(attributes.iter().cloned());
        columns.extend(active_columns);
        let makes_ids = map.new_id == NewId::Uuid;
        if makes_ids {
            columns.push((q(&map.id), "new_id".to_owned()));
        }
        let change = |set: Option<String>| {
            set.map(|set| self.read(&format!("UPDATE {table} SET {set} WHERE {}", among(&by_id)))).transpose()
        };
        Ok(UserOps {
            list: self.read(&format!("{} {order}", filtered("")))?,
            list_next: self.read(&format!("{} {order}", filtered(&format!("{id} > :after"))))?,
            get: self.read(&filtered(&format!("{id} = :id")))?,
            find: self.read(&format!("{} LIMIT {MOST_FOUND}", filtered(&format!("({})", alike.join(" OR ")))))?,
            create: Write::Columns(Columns { table: table.clone(), columns, which: String::new() }),
            update: Some(Write::Columns(Columns { table: table.clone(), columns: attributes, which: among(&by_id) })),
            suspend: change(suspend)?,
            restore: change(restore)?,
            remove: removal,
            revival,
            fixed: params,
            makes_ids,
        })
    }

    /// What is run for the groups of a table, whose members are in another.
    pub(super) fn groups(&self, map: &GroupTable, of: &MemberTable, people: &UserTable) -> Result<GroupOps, String> {
        let (q, table) = (|name: &str| self.q(name), quoted(self.dialect, &map.table));
        let Fixed { mut params, conditions: scope, columns: fixed } = self.fixed(&map.scope, &map.values);
        let (id, by_id) = (self.t(&map.id), format!("{} = :id", q(&map.id)));
        let mut shown = vec![format!("{id} AS {}", q("id")), format!("{} AS {}", self.t(&map.name), q("name"))];
        shown.extend(map.protected.as_ref().map(|column| format!("{} AS {}", self.t(column), q("protected"))));
        let select = format!("SELECT {} FROM {table} t", shown.join(", "));
        let among = |more: &str| {
            scope.iter().map(String::as_str).chain((!more.is_empty()).then_some(more)).collect::<Vec<_>>().join(" AND ")
        };
        let filtered = |more: &str| match among(more) {
            conditions if conditions.is_empty() => select.clone(),
            conditions => format!("{select} WHERE {conditions}"),
        };
        let order = format!("ORDER BY {id} LIMIT :limit");
        let mut columns = fixed;
        columns.push((q(&map.name), "name".to_owned()));
        let makes_ids = map.new_id == NewId::Uuid;
        if makes_ids {
            columns.push((q(&map.id), "new_id".to_owned()));
        }

        let memberships = quoted(self.dialect, &of.table);
        let users = quoted(self.dialect, &people.table);
        let (group, user) = (q(&of.group), q(&of.user));
        let in_group = format!("{} = :group_id", self.t(&of.group));
        // Only people and groups that are there become members of each other, so that a row which
        // went meanwhile is no violation that fails all others with it.
        let mut values = vec![format!("g.{}", q(&map.id)), format!("u.{}", q(&people.id))];
        let mut targets = vec![group.clone(), user.clone()];
        for (n, (column, constant)) in of.values.iter().enumerate() {
            let name = format!("member_value_{n}");
            targets.push(q(column));
            values.push(self.typed(&of.table, column, &name));
            params.set(&name, constant.value());
        }
        let add = format!(
            "INSERT INTO {memberships} ({}) SELECT {} FROM {table} g, {users} u WHERE g.{} = :group_id AND u.{} = :user_id AND NOT EXISTS (SELECT 1 FROM {memberships} m WHERE m.{group} = :group_id AND m.{user} = :user_id)",
            targets.join(", "),
            values.join(", "),
            q(&map.id),
            q(&people.id),
        );
        let member = format!("SELECT {} AS {} FROM {memberships} t WHERE {in_group}", self.t(&of.user), q("user_id"));
        let member_order = format!("ORDER BY {} LIMIT :limit", self.t(&of.user));
        Ok(GroupOps {
            list: self.read(&format!("{} {order}", filtered("")))?,
            list_next: self.read(&format!("{} {order}", filtered(&format!("{id} > :after"))))?,
            get: self.read(&filtered(&format!("{id} = :id")))?,
            find: self.read(&format!("{} LIMIT {MOST_FOUND}", filtered(&self.same(&map.table, &map.name, "name"))))?,
            create: Write::Columns(Columns { table: table.clone(), columns, which: String::new() }),
            rename: self.read(&format!("UPDATE {table} SET {} = :name WHERE {}", q(&map.name), among(&by_id)))?,
            remove: [
                self.read(&format!("DELETE FROM {memberships} WHERE {group} = :id"))?,
                self.read(&format!("DELETE FROM {table} WHERE {}", among(&by_id)))?,
            ]
            .concat(),
            members: self.read(&format!("{member} {member_order}"))?,
            members_next: self.read(&format!("{member} AND {} > :after {member_order}", self.t(&of.user)))?,
            add_member: self.read(&add)?,
            remove_member: self
                .read(&format!("DELETE FROM {memberships} WHERE {group} = :group_id AND {user} = :user_id"))?,
            member: Some(self.read(&format!("{member} AND {} = :user_id", self.t(&of.user)))?),
            fixed: params,
            makes_ids,
        })
    }

    /// A parameter in the list of a SELECT, which PostgreSQL would take for text.
    fn typed(&self, table: &str, column: &str, name: &str) -> String {
        match (self.dialect, self.schema.type_of(table, column)) {
            (Dialect::Postgres, Some(kind)) => format!("CAST(:{name} AS {kind})"),
            _ => format!(":{name}"),
        }
    }
}
