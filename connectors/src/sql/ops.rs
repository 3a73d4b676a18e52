//! What is run for each operation, whichever way the mapping was said.

use super::declared::{GroupStatements, UserStatements};
use super::dialect::Dialect;
use super::named::Statement;
use super::values::{Params, Value};

/// A statement whose columns depend on which values there are.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    /// The table, quoted.
    pub(super) table: String,
    /// Columns, quoted, with the parameter that each takes.
    pub(super) columns: Vec<(String, String)>,
    /// Of an update: which row.
    pub(super) which: String,
}

impl Columns {
    fn given<'a>(&'a self, params: &'a Params) -> impl Iterator<Item = &'a (String, String)> {
        self.columns.iter().filter(|(_, name)| params.get(name) != Value::Null)
    }

    /// The insertion of what is there; the database has defaults for the rest.
    fn insert(&self, dialect: Dialect, params: &Params) -> Result<Statement, String> {
        let columns: Vec<&str> = self.given(params).map(|(column, _)| column.as_str()).collect();
        let values: Vec<String> = self.given(params).map(|(_, name)| format!(":{name}")).collect();
        read(dialect, &format!("INSERT INTO {} ({}) VALUES ({})", self.table, columns.join(", "), values.join(", ")))
    }

    /// The update of what is there; `None` if nothing is.
    fn update(&self, dialect: Dialect, params: &Params) -> Result<Option<Statement>, String> {
        let sets: Vec<String> = self.given(params).map(|(column, name)| format!("{column} = :{name}")).collect();
        if sets.is_empty() {
            return Ok(None);
        }
        read(dialect, &format!("UPDATE {} SET {} WHERE {}", self.table, sets.join(", "), self.which)).map(Some)
    }
}

/// Reads a statement of our own making.
pub(super) fn read(dialect: Dialect, text: &str) -> Result<Statement, String> {
    Statement::read(dialect, text)
        .map_err(|mistake| format!("a statement for the mapped tables cannot be written: {mistake}"))
}

/// Statements that are declared, or written when the values are known.
#[derive(Clone, Debug)]
pub(super) enum Write {
    /// Declared.
    Statements(Vec<Statement>),
    /// Written for the values that there are.
    Columns(Columns),
}

impl Write {
    /// The statements of an insertion.
    pub(super) fn insert(&self, dialect: Dialect, params: &Params) -> Result<Vec<Statement>, String> {
        match self {
            Self::Statements(list) => Ok(list.clone()),
            Self::Columns(columns) => columns.insert(dialect, params).map(|one| vec![one]),
        }
    }

    /// The statements of an update.
    pub(super) fn update(&self, dialect: Dialect, params: &Params) -> Result<Vec<Statement>, String> {
        match self {
            Self::Statements(list) => Ok(list.clone()),
            Self::Columns(columns) => Ok(columns.update(dialect, params)?.into_iter().collect()),
        }
    }
}

/// How rows of removed people are found and brought back, where removal leaves them.
#[derive(Clone, Debug)]
pub(super) struct Revival {
    /// The removed rows of that user name.
    pub(super) find: Vec<Statement>,
    /// Brings one back, by its id.
    pub(super) revive: Vec<Statement>,
}

/// What is run for people.
#[derive(Clone, Debug)]
pub(super) struct UserOps {
    pub(super) list: Vec<Statement>,
    pub(super) list_next: Vec<Statement>,
    pub(super) get: Vec<Statement>,
    pub(super) find: Vec<Statement>,
    pub(super) create: Write,
    pub(super) update: Option<Write>,
    pub(super) suspend: Option<Vec<Statement>>,
    pub(super) restore: Option<Vec<Statement>>,
    pub(super) remove: Vec<Statement>,
    pub(super) revival: Option<Revival>,
    /// Parameters that never change.
    pub(super) fixed: Params,
    /// Whether the gateway makes new ids.
    pub(super) makes_ids: bool,
}

/// What is run for groups.
#[derive(Clone, Debug)]
pub(super) struct GroupOps {
    pub(super) list: Vec<Statement>,
    pub(super) list_next: Vec<Statement>,
    pub(super) get: Vec<Statement>,
    pub(super) find: Vec<Statement>,
    pub(super) create: Write,
    pub(super) rename: Vec<Statement>,
    pub(super) remove: Vec<Statement>,
    pub(super) members: Vec<Statement>,
    pub(super) members_next: Vec<Statement>,
    pub(super) add_member: Vec<Statement>,
    pub(super) remove_member: Vec<Statement>,
    /// Shows one membership, where that can be asked.
    pub(super) member: Option<Vec<Statement>>,
    pub(super) fixed: Params,
    pub(super) makes_ids: bool,
}

/// All of it.
#[derive(Clone, Debug)]
pub(super) struct Ops {
    pub(super) users: UserOps,
    pub(super) groups: Option<GroupOps>,
}

impl From<&UserStatements> for UserOps {
    fn from(from: &UserStatements) -> Self {
        Self {
            list: from.list.clone(),
            list_next: from.list_next.clone(),
            get: from.get.clone(),
            find: from.find.clone(),
            create: Write::Statements(from.create.clone()),
            update: from.update.clone().map(Write::Statements),
            suspend: from.set_active.clone(),
            restore: from.set_active.clone(),
            remove: from.remove.clone(),
            revival: None,
            fixed: Params::default(),
            makes_ids: true,
        }
    }
}

impl From<&GroupStatements> for GroupOps {
    fn from(from: &GroupStatements) -> Self {
        Self {
            list: from.list.clone(),
            list_next: from.list_next.clone(),
            get: from.get.clone(),
            find: from.find.clone(),
            create: Write::Statements(from.create.clone()),
            rename: from.rename.clone(),
            remove: from.remove.clone(),
            members: from.members.clone(),
            members_next: from.members_next.clone(),
            add_member: from.add_member.clone(),
            remove_member: from.remove_member.clone(),
            member: None,
            fixed: Params::default(),
            makes_ids: true,
        }
    }
}
