//! What the live database says of the mapped tables.

use std::collections::BTreeMap;

use super::dialect::Dialect;
use super::mapping::{GroupTable, Groups, Mapping, MemberTable, UserTable, Users};
use super::values::Row;

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    /// Its type, as SQL names it.
    pub(super) kind: String,
    /// Whether `=` ignores case.
    pub(super) ignores_case: bool,
}

/// The columns of the mapped tables, by the names of the tables as the mapping has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Schema(pub(super) BTreeMap<String, BTreeMap<String, Column>>);

impl Schema {
    fn column(&self, table: &str, column: &str) -> Option<&Column> {
        self.0.get(table)?.get(column)
    }

    /// Whether a column compares without regard to case by itself.
    pub(super) fn ignores_case(&self, table: &str, column: &str) -> bool {
        self.column(table, column).is_some_and(|column| column.ignores_case)
    }

    /// A column's type.
    pub(super) fn type_of(&self, table: &str, column: &str) -> Option<&str> {
        self.column(table, column).map(|column| column.kind.as_str())
    }

    /// What the mapping names and the database does not have, a sentence each.
    pub(super) fn missing(&self, wanted: &[(String, Vec<String>)]) -> Vec<String> {
        let mut missing = Vec::new();
        for (table, columns) in wanted {
            match self.0.get(table) {
                None => missing.push(format!("There is no table {table}, or the user may not see it.")),
                Some(known) => missing.extend(
                    columns
                        .iter()
                        .filter(|column| !known.contains_key(*column))
                        .map(|column| format!("The table {table} has no column {column}.")),
                ),
            }
        }
        missing
    }
}

/// The columns of one table: parameters `schema` (NULL: where the connection looks by itself) and
/// `table`; results `name`, `kind`, `folds`.
pub(super) fn columns_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            "SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS kind, \
             (y.typname = 'citext') AS folds \
             FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid \
             JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname = CAST(:table AS name) AND a.attnum > 0 AND NOT a.attisdropped \
             AND c.relkind IN ('r', 'p', 'v', 'f') \
             AND CASE WHEN CAST(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid) \
             ELSE n.nspname = CAST(:schema AS name) END"
        }
        Dialect::MariaDb => {
            "SELECT column_name AS name, column_type AS kind, \
             (collation_name LIKE '%\\_ci' OR collation_name LIKE '%\\_ci\\_%') AS folds \
             FROM information_schema.columns \
             WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table"
        }
        Dialect::Sqlite => {
            "SELECT name, type AS kind, 0 AS folds FROM pragma_table_info(:table, COALESCE(:schema, 'main'))"
        }
    }
}

/// One column, from a row of [`columns_of`].
pub(super) fn column(row: &Row) -> Option<(String, Column)> {
    let kind = row.text("kind").unwrap_or_default();
    let ignores_case = row.flag("folds").ok().flatten().unwrap_or(false);
    Some((row.text("name")?, Column { kind, ignores_case }))
}

/// Whether a column is unique by itself, with or without regard to case: parameters as above, and
/// `column`; a row for each such index.
pub(super) fn unique_on(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Postgres => {
            "SELECT i.indexrelid::bigint AS id FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE i.indisunique AND c.relname = CAST(:table AS name) \
             AND CASE WHEN CAST(:schema AS text) IS NULL THEN pg_table_is_visible(c.oid) \
             ELSE n.nspname = CAST(:schema AS name) END \
             AND pg_get_indexdef(i.indexrelid) LIKE '%' || CAST(:column AS text) || '%'"
        }
        Dialect::MariaDb => {
            "SELECT index_name AS id FROM information_schema.statistics \
             WHERE table_schema = COALESCE(:schema, DATABASE()) AND table_name = :table \
             AND non_unique = 0 AND column_name = :column"
        }
        Dialect::Sqlite => {
            "SELECT l.name AS id FROM pragma_index_list(:table, COALESCE(:schema, 'main')) l \
             WHERE l.\"unique\" AND (EXISTS (SELECT 1 FROM pragma_index_info(l.name) i WHERE i.name = :column) \
             OR EXISTS (SELECT 1 FROM sqlite_master m WHERE m.name = l.name AND instr(m.sql, :column) > 0))"
        }
    }
}

/// `schema.table` as its two names.
pub(super) fn parts(table: &str) -> (Option<&str>, &str) {
    match table.split_once('.') {
        Some((schema, table)) => (Some(schema), table),
        None => (None, table),
    }
}

fn of_users(map: &UserTable) -> (String, Vec<String>) {
    let mut columns = vec![map.id.clone(), map.user_name.clone()];
    for column in [
        &map.email,
        &map.display_name,
        &map.given_name,
        &map.family_name,
        &map.external_id,
        &map.role,
        &map.protected,
        &map.active,
        &map.deactivated_at,
        &map.deleted,
        &map.deleted_at,
    ] {
        columns.extend(column.iter().cloned());
    }
    columns.extend(map.status.iter().map(|status| status.column.clone()));
    columns.extend(map.scope.keys().chain(map.values.keys()).cloned());
    (map.table.clone(), columns)
}

fn of_groups(map: &GroupTable) -> (String, Vec<String>) {
    let mut columns = vec![map.id.clone(), map.name.clone()];
    columns.extend(map.protected.iter().cloned());
    columns.extend(map.scope.keys().chain(map.values.keys()).cloned());
    (map.table.clone(), columns)
}

fn of_members(map: &MemberTable) -> (String, Vec<String>) {
    let mut columns = vec![map.group.clone(), map.user.clone()];
    columns.extend(map.values.keys().cloned());
    (map.table.clone(), columns)
}

/// Every table that a mapping names, with its columns.
pub(super) fn wanted(mapping: &Mapping) -> Vec<(String, Vec<String>)> {
    let mut wanted = Vec::new();
    if let Users::Table(map) = &mapping.users {
        wanted.push(of_users(map));
    }
    if let Some(Groups::Tables(groups, members)) = &mapping.groups {
        wanted.push(of_groups(groups));
        wanted.push(of_members(members));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let known = [("id", "int"), ("login", "text")]
            .map(|(name, kind)| (name.to_owned(), Column { kind: kind.to_owned(), ignores_case: false }));
        let schema = Schema([("people".to_owned(), known.into_iter().collect())].into_iter().collect());
        let wanted = |table: &str, columns: &[&str]| {
            vec![(table.to_owned(), columns.iter().map(|column| (*column).to_owned()).collect())]
        };
        assert_eq!(schema.missing(&wanted("people", &["id", "login"])), [] as [String; 0]);
        assert_eq!(schema.missing(&wanted("people", &["id", "mail"])), ["The table people has no column mail."]);
        assert_eq!(schema.missing(&wanted("teams", &["id"])).len(), 1);
    }
}
