//! What the setting `mapping` says: TOML, read and checked before anything is connected to.

use std::collections::BTreeMap;

use connector_sdk::SettingsError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::declared::{self, GroupStatements, UserStatements};
use super::dialect::Dialect;
use super::values::Value;

/// The longest mapping, in bytes.
const LONGEST: usize = 200_000;

/// Where people and groups are.
#[derive(Clone, Debug)]
pub(super) struct Mapping {
    pub(super) users: Users,
    pub(super) groups: Option<Groups>,
    pub(super) roles: Roles,
    /// Parameters of the admin's own, with the SCIM attribute that each has its value from.
    pub(super) parameters: BTreeMap<String, String>,
}

/// Where people are.
#[derive(Clone, Debug)]
pub(super) enum Users {
    Table(Box<UserTable>),
    Declared(Box<UserStatements>),
}

/// Where groups are.
#[derive(Clone, Debug)]
pub(super) enum Groups {
    Tables(Box<GroupTable>, Box<MemberTable>),
    Declared(Box<GroupStatements>),
}

/// The roles that people can have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Roles {
    #[serde(default)]
    pub(super) values: Vec<String>,
    #[serde(default)]
    pub(super) privileged: Vec<String>,
    pub(super) default: Option<String>,
}

/// Where ids of new rows come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum NewId {
    /// The column's default: a sequence, auto_increment, a generator.
    #[default]
    Database,
    /// A random UUID, made by the gateway.
    Uuid,
}

/// The table of people.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserTable {
    pub(super) table: String,
    #[serde(default = "id")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) new_id: NewId,
    pub(super) user_name: String,
    pub(super) email: Option<String>,
    pub(super) display_name: Option<String>,
    pub(super) given_name: Option<String>,
    pub(super) family_name: Option<String>,
    pub(super) external_id: Option<String>,
    pub(super) role: Option<String>,
    pub(super) protected: Option<String>,
    /// A column that is true for people with access.
    pub(super) active: Option<String>,
    /// A column that is NULL for people with access.
    pub(super) deactivated_at: Option<String>,
    /// A column with words.
    pub(super) status: Option<Status>,
    /// A column that is true for people who were removed; without one of these rows are deleted.
    pub(super) deleted: Option<String>,
    /// A column that is not NULL for people who were removed.
    pub(super) deleted_at: Option<String>,
    /// Only rows with these values are the gateway's business, and new ones get them.
    #[serde(default)]
    pub(super) scope: BTreeMap<String, Constant>,
    /// What new rows get besides.
    #[serde(default)]
    pub(super) values: BTreeMap<String, Constant>,
}

/// A column whose words say where a person stands.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Status {
    pub(super) column: String,
    pub(super) active: Constant,
    pub(super) suspended: Constant,
    pub(super) deleted: Option<Constant>,
}

/// The table of groups.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupTable {
    pub(super) table: String,
    #[serde(default = "id")]
    pub(super) id: String,
    #[serde(default)]
    pub(super) new_id: NewId,
    pub(super) name: String,
    pub(super) protected: Option<String>,
    #[serde(default)]
    pub(super) scope: BTreeMap<String, Constant>,
    #[serde(default)]
    pub(super) values: BTreeMap<String, Constant>,
}

/// The table of memberships.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MemberTable {
    pub(super) table: String,
    pub(super) group: String,
    pub(super) user: String,
    #[serde(default)]
    pub(super) values: BTreeMap<String, Constant>,
}

/// A value that the admin wrote.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(super) enum Constant {
    Flag(bool),
    Number(i64),
    Text(String),
}

impl Constant {
    pub(super) fn value(&self) -> Value {
        match self {
            Self::Flag(flag) => Value::Flag(*flag),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

fn id() -> String {
    "id".to_owned()
}

/// A mistake in the mapping, in words for the admin.
fn wrong(what: impl Into<String>) -> SettingsError {
    SettingsError::new("mapping", what)
}

/// Reads one part of the mapping.
fn part<T: DeserializeOwned>(name: &str, table: toml::Table) -> Result<T, SettingsError> {
    T::deserialize(toml::Value::Table(table))
        .map_err(|error| wrong(format!("in [{name}]: {}", error.message().trim_end())))
}

impl Mapping {
    /// Reads a mapping.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub(super) fn read(dialect: Dialect, text: &str) -> Result<Self, SettingsError> {
        if text.len() > LONGEST {
            return Err(wrong(format!("is longer than {LONGEST} bytes")));
        }
        let mut whole: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            wrong(format!("is not TOML: {place}{}", error.message()))
        })?;
        let mut take = |name: &str| match whole.remove(name) {
            None => Ok(None),
            Some(toml::Value::Table(table)) => Ok(Some(table)),
            Some(_) => Err(wrong(format!("{name} must be a section: [{name}]"))),
        };
        let (users, groups, members) = (take("users")?, take("groups")?, take("members")?);
        let roles: Roles = take("roles")?.map(|table| part("roles", table)).transpose()?.unwrap_or_default();
        let parameters: BTreeMap<String, String> =
            take("parameters")?.map(|table| part("parameters", table)).transpose()?.unwrap_or_default();
        if let Some(name) = whole.keys().next() {
            return Err(wrong(format!(
                "{name} is no part of a mapping; those are users, groups, members, roles and parameters"
            )));
        }
        roles.check()?;
        declared::check_parameters(&parameters).map_err(wrong)?;
        let users = users.ok_or_else(|| wrong("has no section [users]"))?;
        let users = if users.contains_key("table") {
            let table: UserTable = part("users", users)?;
            table.check()?;
            if !parameters.is_empty() {
                return Err(wrong("[parameters] are for declared statements; [users] names a table"));
            }
            Users::Table(Box::new(table))
        } else {
            Users::Declared(Box::new(UserStatements::read(dialect, part("users", users)?, &parameters).map_err(wrong)?))
        };
        let groups = match (groups, members) {
            (None, None) => None,
            (None, Some(_)) => return Err(wrong("has a section [members] and no section [groups]")),
            (Some(groups), members) if groups.contains_key("table") => {
                let members = members
                    .ok_or_else(|| wrong("has a table of groups and no section [members] with their members"))?;
                if matches!(users, Users::Declared(_)) {
                    return Err(wrong(
                        "[groups] by a table needs [users] by a table: declare the statements of groups too",
                    ));
                }
                let (groups, members): (GroupTable, MemberTable) = (part("groups", groups)?, part("members", members)?);
                check_names(&[("groups.table", Some(&groups.table)), ("groups.name", Some(&groups.name))])?;
                check_names(&[("members.table", Some(&members.table)), ("members.user", Some(&members.user))])?;
                Some(Groups::Tables(Box::new(groups), Box::new(members)))
            }
            (Some(_), Some(_)) => {
                return Err(wrong(
                    "[members] belongs to a table of groups; declared groups have members = \"SELECT …\"",
                ));
            }
            (Some(groups), None) => Some(Groups::Declared(Box::new(
                GroupStatements::read(dialect, part("groups", groups)?).map_err(wrong)?,
            ))),
        };
        Ok(Self { users, groups, roles, parameters })
    }
}

impl Roles {
    fn check(&self) -> Result<(), SettingsError> {
        let unknown = self.privileged.iter().chain(&self.default).find(|role| !self.values.contains(role));
        if let Some(role) = unknown {
            return Err(wrong(format!("in [roles]: {role} is not one of values")));
        }
        if self.values.len() > 100 || self.values.iter().any(|role| role.is_empty() || role.len() > 200) {
            return Err(wrong("in [roles]: at most 100 values, none of them empty or longer than 200 bytes"));
        }
        Ok(())
    }
}

impl UserTable {
    fn check(&self) -> Result<(), SettingsError> {
        check_names(&[("users.table", Some(&self.table)), ("users.user_name", Some(&self.user_name))])?;
        let ways = [self.active.is_some(), self.deactivated_at.is_some(), self.status.is_some()];
        if ways.iter().filter(|given| **given).count() > 1 {
            return Err(wrong("in [users]: give one of active, deactivated_at and status"));
        }
        let ways = [
            self.deleted.is_some(),
            self.deleted_at.is_some(),
            self.status.as_ref().is_some_and(|status| status.deleted.is_some()),
        ];
        if ways.iter().filter(|given| **given).count() > 1 {
            return Err(wrong("in [users]: give one of deleted, deleted_at and status.deleted"));
        }
        Ok(())
    }
}

/// Names that must not be empty.
fn check_names(names: &[(&str, Option<&String>)]) -> Result<(), SettingsError> {
    match names.iter().find(|(_, name)| name.is_some_and(|name| name.trim().is_empty())) {
        Some((which, _)) => Err(wrong(format!("{which} is empty"))),
        None => Ok(()),
    }
}
