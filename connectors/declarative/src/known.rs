//! What the tables hold that expressions see, so that a name that is in none is told before anything is sent.

use crate::problem::nearest;

/// The tables that are the same for every target, and their names.
const TABLES: [(&str, &[&str]); 5] = [
    ("person", &["user_name", "email", "display_name", "given_name", "family_name", "role", "groups", "attributes"]),
    ("account", &["id", "login", "email", "invited"]),
    ("member", &["id", "login", "email", "invited"]),
    ("group", &["id", "name"]),
    ("change", &["name", "role", "display_name", "email"]),
];

/// The attributes of a SCIM user (RFC 7643, section 4.1) that an update may write.
const ATTRIBUTES: [&str; 20] = [
    "userName",
    "externalId",
    "name",
    "displayName",
    "nickName",
    "profileUrl",
    "title",
    "userType",
    "preferredLanguage",
    "locale",
    "timezone",
    "emails",
    "phoneNumbers",
    "ims",
    "photos",
    "addresses",
    "entitlements",
    "roles",
    "x509Certificates",
    "groups",
];

/// What is wrong with the name of a SCIM attribute that is written (`displayname`, `name.givenName`), if anything is. An
/// extension's is not known here.
pub(crate) fn attribute(name: &str) -> Option<String> {
    let first = name.split('.').next().unwrap_or(name);
    if name.starts_with("urn:") || ATTRIBUTES.contains(&first) {
        return None;
    }
    let hint = nearest(&first.replace('_', ""), ATTRIBUTES).map(|name| format!("; did you mean `{name}`?"));
    Some(format!("`{name}` is no attribute of SCIM users{}", hint.unwrap_or_default()))
}

fn names(table: &str) -> Option<&'static [&'static str]> {
    TABLES.iter().find(|(name, _)| *name == table).map(|(_, names)| *names)
}

/// What is wrong with a path that an expression uses (`person.givenName`), if anything is.
pub(crate) fn wrong(path: &str) -> Option<String> {
    let mut parts = path.split('.');
    let (table, name) = (parts.next()?, parts.next()?);
    let known = names(table)?;
    if known.contains(&name) {
        return None;
    }
    let hint =
        nearest(&name.replace('_', ""), known.iter().copied()).map(|name| format!("; did you mean `{table}.{name}`?"));
    Some(format!("uses `{table}.{name}`; of `{table}` there is {}{}", known.join(", "), hint.unwrap_or_default()))
}

/// Whether a text without braces is surely meant as an expression: `person.email`.
pub(crate) fn meant(text: &str) -> bool {
    let mut parts = text.trim().split('.');
    parts.next().and_then(names).is_some_and(|known| parts.next().is_some_and(|name| known.contains(&name)))
}
