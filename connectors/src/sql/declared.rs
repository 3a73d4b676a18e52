//! Statements that the admin declares, one list per operation.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::dialect::Dialect;
use super::named::Statement;

/// One statement or several, which run in one transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Text {
    One(String),
    Several(Vec<String>),
}

/// The texts of `[users]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UserTexts {
    list: Text,
    list_next: Option<Text>,
    get: Text,
    find: Text,
    create: Text,
    update: Option<Text>,
    set_active: Option<Text>,
    remove: Text,
}

/// The texts of `[groups]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupTexts {
    list: Text,
    list_next: Option<Text>,
    get: Text,
    find: Text,
    create: Text,
    rename: Text,
    remove: Text,
    members: Text,
    members_next: Option<Text>,
    add_member: Text,
    remove_member: Text,
}

/// The statements of `[users]`.
#[derive(Clone, Debug)]
pub(super) struct UserStatements {
    pub(super) list: Vec<Statement>,
    pub(super) list_next: Vec<Statement>,
    pub(super) get: Vec<Statement>,
    pub(super) find: Vec<Statement>,
    pub(super) create: Vec<Statement>,
    pub(super) update: Option<Vec<Statement>>,
    pub(super) set_active: Option<Vec<Statement>>,
    pub(super) remove: Vec<Statement>,
}

/// The statements of `[groups]`.
#[derive(Clone, Debug)]
pub(super) struct GroupStatements {
    pub(super) list: Vec<Statement>,
    pub(super) list_next: Vec<Statement>,
    pub(super) get: Vec<Statement>,
    pub(super) find: Vec<Statement>,
    pub(super) create: Vec<Statement>,
    pub(super) rename: Vec<Statement>,
    pub(super) remove: Vec<Statement>,
    pub(super) members: Vec<Statement>,
    pub(super) members_next: Vec<Statement>,
    pub(super) add_member: Vec<Statement>,
    pub(super) remove_member: Vec<Statement>,
}

/// The parameters of pages.
const PAGE: &[&str] = &["after", "limit"];
/// The parameters that tell of a person.
pub(super) const PERSON: &[&str] =
    &["user_name", "email", "display_name", "given_name", "family_name", "external_id", "role", "new_id"];
/// The columns that an earlier statement of a list may give to those after it.
const RESULTS: &[&str] = &["id", "user_name", "group_id", "user_id", "name"];

/// The most statements of one operation.
const MOST: usize = 20;

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Checks the admin's own parameters.
pub(super) fn check_parameters(parameters: &BTreeMap<String, String>) -> Result<(), String> {
    let known = |name: &str| [PAGE, PERSON, RESULTS].iter().any(|names| names.contains(&name)) || name == "active";
    for (name, path) in parameters {
        if !is_name(name) {
            return Err(format!("in [parameters]: {name} is no name: letters, digits and _ only"));
        }
        if known(name) {
            return Err(format!("in [parameters]: {name} has its meaning already; choose another name"));
        }
        if path.trim().is_empty() {
            return Err(format!("in [parameters]: {name} names no SCIM attribute"));
        }
    }
    Ok(())
}

struct Reader<'a> {
    dialect: Dialect,
    section: &'a str,
    own: Vec<&'a str>,
}

impl Reader<'_> {
    /// Reads the statements of one operation, which may use these parameters and what the
    /// statements before give.
    fn read(&self, operation: &str, text: Text, may: &[&[&str]]) -> Result<Vec<Statement>, String> {
        let texts = match text {
            Text::One(text) => vec![text],
            Text::Several(texts) => texts,
        };
        let place = |n: usize| {
            let which = if texts.len() > 1 { format!(", statement {}", n + 1) } else { String::new() };
            format!("{}.{operation}{which}", self.section)
        };
        if texts.is_empty() || texts.len() > MOST {
            return Err(format!("{}.{operation} has between 1 and {MOST} statements", self.section));
        }
        let mut statements = Vec::new();
        for (n, text) in texts.iter().enumerate() {
            let statement =
                Statement::read(self.dialect, text).map_err(|mistake| format!("{}: {mistake}", place(n)))?;
            let earlier = n > 0;
            let known = |name: &str| {
                may.iter().any(|names| names.contains(&name))
                    || self.own.contains(&name)
                    || earlier && RESULTS.contains(&name)
            };
            let unknown = statement.names().find(|name| !known(name));
            if let Some(name) = unknown {
                let mut known: Vec<&str> = may.concat();
                known.extend(&self.own);
                return Err(format!(
                    "{}: there is no parameter :{name} here; there is {}",
                    place(n),
                    known.iter().map(|name| format!(":{name}")).collect::<Vec<_>>().join(", ")
                ));
            }
            statements.push(statement);
        }
        Ok(statements)
    }

    /// A listing: its first page, and the pages after. One text can be both where it knows `:after`,
    /// which is NULL at first.
    fn pages(
        &self,
        operation: &str,
        first: Text,
        next: Option<Text>,
        also: &[&str],
    ) -> Result<(Vec<Statement>, Vec<Statement>), String> {
        let first = self.read(operation, first, &[PAGE, also])?;
        let next = next.map(|text| self.read(&format!("{operation}_next"), text, &[PAGE, also])).transpose()?;
        let next = next.unwrap_or_else(|| first.clone());
        if !next.iter().flat_map(Statement::names).any(|name| name == "after") {
            return Err(format!(
                "{}.{operation} reads one page and does not know where the next begins: use :after and :limit, as in WHERE (:after IS NULL OR id > :after) ORDER BY id LIMIT :limit",
                self.section
            ));
        }
        Ok((first, next))
    }
}

impl UserStatements {
    /// Reads the statements of `[users]`.
    pub(super) fn read(
        dialect: Dialect,
        texts: UserTexts,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let plain = Reader { dialect, section: "users", own: Vec::new() };
        let own = Reader { dialect, section: "users", own: parameters.keys().map(String::as_str).collect() };
        let (list, list_next) = plain.pages("list", texts.list, texts.list_next, &[])?;
        Ok(Self {
            list,
            list_next,
            get: plain.read("get", texts.get, &[&["id"]])?,
            find: own.read("find", texts.find, &[PERSON])?,
            create: own.read("create", texts.create, &[PERSON])?,
            update: texts.update.map(|text| own.read("update", text, &[&["id"], PERSON])).transpose()?,
            set_active: texts
                .set_active
                .map(|text| plain.read("set_active", text, &[&["id", "active"]]))
                .transpose()?,
            remove: plain.read("remove", texts.remove, &[&["id"]])?,
        })
    }

    /// Every list of statements, with its name.
    pub(super) fn all(&self) -> Vec<(&'static str, &[Statement])> {
        let mut all: Vec<(&'static str, &[Statement])> = vec![
            ("users.list", &self.list),
            ("users.list_next", &self.list_next),
            ("users.get", &self.get),
            ("users.find", &self.find),
            ("users.create", &self.create),
            ("users.remove", &self.remove),
        ];
        all.extend(self.update.as_ref().map(|list| ("users.update", list.as_slice())));
        all.extend(self.set_active.as_ref().map(|list| ("users.set_active", list.as_slice())));
        all
    }
}

impl GroupStatements {
    /// Reads the statements of `[groups]`.
    pub(super) fn read(dialect: Dialect, texts: GroupTexts) -> Result<Self, String> {
        let reader = Reader { dialect, section: "groups", own: Vec::new() };
        let (list, list_next) = reader.pages("list", texts.list, texts.list_next, &[])?;
        let (members, members_next) = reader.pages("members", texts.members, texts.members_next, &["group_id"])?;
        let member: &[&[&str]] = &[&["group_id", "user_id"]];
        Ok(Self {
            list,
            list_next,
            get: reader.read("get", texts.get, &[&["id"]])?,
            find: reader.read("find", texts.find, &[&["name"]])?,
            create: reader.read("create", texts.create, &[&["name", "new_id"]])?,
            rename: reader.read("rename", texts.rename, &[&["id", "name"]])?,
            remove: reader.read("remove", texts.remove, &[&["id"]])?,
            members,
            members_next,
            add_member: reader.read("add_member", texts.add_member, member)?,
            remove_member: reader.read("remove_member", texts.remove_member, member)?,
        })
    }

    /// Every list of statements, with its name.
    pub(super) fn all(&self) -> Vec<(&'static str, &[Statement])> {
        vec![
            ("groups.list", &self.list),
            ("groups.list_next", &self.list_next),
            ("groups.get", &self.get),
            ("groups.find", &self.find),
            ("groups.create", &self.create),
            ("groups.rename", &self.rename),
            ("groups.remove", &self.remove),
            ("groups.members", &self.members),
            ("groups.members_next", &self.members_next),
            ("groups.add_member", &self.add_member),
            ("groups.remove_member", &self.remove_member),
        ]
    }
}
