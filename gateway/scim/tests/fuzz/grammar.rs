//! Inputs that follow the grammars, for the depths that spoilt seeds seldom reach.

use super::chance::Chance;

pub(crate) const ATTRIBUTES: [&str; 34] = [
    "userName",
    "USERNAME",
    "id",
    "externalId",
    "displayName",
    "name",
    "name.givenName",
    "name.familyName",
    "active",
    "title",
    "emails",
    "emails.value",
    "emails.type",
    "emails.primary",
    "phoneNumbers.value",
    "roles",
    "roles.value",
    "members",
    "members.value",
    "members.$ref",
    "groups.value",
    "meta.created",
    "meta.lastModified",
    "schemas",
    "password",
    "addresses.formatted",
    "x509Certificates.value",
    "nickName",
    "manager",
    "profileUrl",
    "urn:ietf:params:scim:schemas:core:2.0:User:userName",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
    "urn:example:none:1.0:attr",
];

/// Attributes whose elements can be filtered in brackets.
const LISTS: [&str; 8] =
    ["emails", "phoneNumbers", "roles", "members", "addresses", "groups", "name", "x509Certificates"];

/// Words of filters and paths.
pub(crate) const WORDS: [&str; 34] = [
    " and ",
    " or ",
    "not ",
    "not (",
    "(",
    ")",
    "[",
    "]",
    " eq ",
    " ne ",
    " co ",
    " sw ",
    " ew ",
    " gt ",
    " ge ",
    " lt ",
    " le ",
    " pr",
    " EQ ",
    "\"x\"",
    "\"\"",
    "true",
    "false",
    "null",
    "12",
    "-1.5e3",
    "userName",
    "emails[type eq \"work\"]",
    ".value",
    "\"2020-01-01T00:00:00Z\"",
    "meta.lastModified",
    "members.value",
    "urn:ietf:params:scim:schemas:core:2.0:User:",
    "urn:",
];

/// Words of bodies.
pub(crate) const KEYS: [&str; 40] = [
    "\"schemas\":",
    "\"Operations\":",
    "\"operations\":",
    "\"op\":",
    "\"path\":",
    "\"value\":",
    "\"add\"",
    "\"replace\"",
    "\"remove\"",
    "\"Add\"",
    "\"id\":",
    "\"userName\":",
    "\"emails\":",
    "\"members\":",
    "\"active\":",
    "\"False\"",
    "true",
    "false",
    "null",
    "1",
    "-1",
    "1e999",
    "\"$ref\":",
    "\"type\":",
    "\"primary\":",
    "\"work\"",
    "\"meta\":{}",
    "[]",
    "{}",
    ",",
    "\"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User\":",
    "\"urn:ietf:params:scim:schemas:core:2.0:User\"",
    "\"urn:ietf:params:scim:schemas:core:2.0:Group\"",
    "\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"",
    "\"urn:ietf:params:scim:api:messages:2.0:SearchRequest\"",
    "\"displayName\":",
    "\"name\":{\"givenName\":\"A\"}",
    "\"name.givenName\":",
    "\"filter\":",
    "\"password\":",
];

const VALUES: [&str; 14] = [
    "\"x\"",
    "\"\"",
    "\"work\"",
    "true",
    "false",
    "null",
    "0",
    "-7",
    "1.5",
    "\"2020-02-30T99:00:00Z\"",
    "\"2024-05-06T07:08:09Z\"",
    "\"a\\\"b\\\\c\"",
    "\"straße@example.com\"",
    "unquoted",
];

const OPERATORS: [&str; 10] = ["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "xx"];

/// A filter of at most that depth.
pub(crate) fn filter(chance: &mut Chance, depth: usize) -> String {
    match chance.below(if depth == 0 { 2 } else { 7 }) {
        0 => format!("{} pr", chance.of(&ATTRIBUTES)),
        1 => format!("{} {} {}", chance.of(&ATTRIBUTES), chance.of(&OPERATORS), chance.of(&VALUES)),
        2 => format!("{} and {}", filter(chance, depth - 1), filter(chance, depth - 1)),
        3 => format!("{} or {}", filter(chance, depth - 1), filter(chance, depth - 1)),
        4 => format!("not ({})", filter(chance, depth - 1)),
        5 => format!("({})", filter(chance, depth - 1)),
        _ => format!("{}{}", value_path(chance, depth), chance.of(&["", "", ".value eq \"x\"", ".type pr"])),
    }
}

fn value_path(chance: &mut Chance, depth: usize) -> String {
    let sub = |chance: &mut Chance| {
        let sub = chance.of(&["value", "type", "primary", "display", "$ref", "givenName", "none"]);
        format!("{sub} {} {}", chance.of(&OPERATORS), chance.of(&VALUES))
    };
    let inner = match chance.below(4) {
        0 => format!("{} and {}", sub(chance), sub(chance)),
        1 => format!("not ({})", sub(chance)),
        2 if depth > 1 => filter(chance, depth - 1),
        _ => sub(chance),
    };
    format!("{}[{inner}]", chance.of(&LISTS))
}

/// A path of a PATCH.
pub(crate) fn path(chance: &mut Chance) -> String {
    match chance.below(4) {
        0 => format!("{}{}", value_path(chance, 2), chance.of(&["", ".value", ".primary", ".none", "."])),
        1 => format!("{}.{}", chance.of(&LISTS), chance.of(&["value", "type", "givenName", "$ref", ""])),
        _ => chance.of(&ATTRIBUTES).to_owned(),
    }
}

/// A JSON value of at most that depth.
pub(crate) fn value(chance: &mut Chance, depth: usize) -> String {
    match chance.below(if depth == 0 { 3 } else { 7 }) {
        0 | 1 => {
            let plain = chance.of(&VALUES);
            if plain == "unquoted" { "\"unquoted\"".to_owned() } else { plain.to_owned() }
        }
        2 => chance.of(&["\"True\"", "[]", "{}", "1e30", "\"3b1f2c4d-0000-4000-8000-000000000001\""]).to_owned(),
        3 => format!("[{}]", several(chance, |chance| value(chance, depth - 1))),
        4 => format!("[{}]", several(chance, element)),
        5 => element(chance),
        _ => object(chance, depth),
    }
}

fn several(chance: &mut Chance, mut one: impl FnMut(&mut Chance) -> String) -> String {
    let n = chance.below(4);
    (0..n).map(|_| one(chance)).collect::<Vec<_>>().join(",")
}

fn element(chance: &mut Chance) -> String {
    let parts = several(chance, |chance| {
        let key = chance.of(&["value", "type", "primary", "display", "$ref", "Value", "managerId", "operation"]);
        format!("\"{key}\":{}", value(chance, 0))
    });
    format!("{{{parts}}}")
}

/// An object of attributes.
pub(crate) fn object(chance: &mut Chance, depth: usize) -> String {
    let parts = several(chance, |chance| {
        let key = chance.of(&ATTRIBUTES);
        format!("\"{key}\":{}", value(chance, depth.saturating_sub(1)))
    });
    format!("{{{parts}}}")
}

/// The body of a PATCH.
pub(crate) fn patch(chance: &mut Chance) -> String {
    let operations = several(chance, |chance| {
        let op = chance.of(&["add", "replace", "remove", "Add", "REPLACE", "move"]);
        let path = match chance.below(5) {
            0 => String::new(),
            _ => format!(",\"path\":\"{}\"", path(chance).replace('\\', "\\\\").replace('"', "\\\"")),
        };
        let value = match chance.below(5) {
            0 => String::new(),
            _ => format!(",\"value\":{}", value(chance, 3)),
        };
        format!("{{\"op\":\"{op}\"{path}{value}}}")
    });
    format!("{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":[{operations}]}}")
}

/// The body of a POST or PUT.
pub(crate) fn body(chance: &mut Chance) -> String {
    let kind = chance.of(&["User", "User", "Group"]);
    let name = if kind == "User" { "userName" } else { "displayName" };
    let mut more = object(chance, 4);
    more.remove(0);
    let glue = if more == "}" { "" } else { "," };
    format!("{{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:{kind}\"],\"{name}\":\"x\"{glue}{more}")
}

/// The body of a search.
pub(crate) fn search(chance: &mut Chance) -> String {
    let filter = filter(chance, 3).replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "{{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:SearchRequest\"],\"filter\":\"{filter}\",\"startIndex\":{},\
         \"count\":{},\"attributes\":[\"{}\"],\"sortBy\":\"{}\",\"sortOrder\":\"{}\"}}",
        chance.of(&["1", "0", "-1", "1e30", "\"2\"", "null"]),
        chance.of(&["10", "0", "-1", "18446744073709551616", "1.5"]),
        chance.of(&ATTRIBUTES),
        chance.of(&ATTRIBUTES),
        chance.of(&["ascending", "descending", "", "Up"]),
    )
}

/// A query, its parts percent-encoded or not.
pub(crate) fn query(chance: &mut Chance) -> String {
    several(chance, |chance| {
        let name =
            chance.of(&["filter", "sortBy", "count", "startIndex", "attributes", "excludedAttributes", "cursor"]);
        let value = match chance.below(4) {
            0 => filter(chance, 2),
            1 => chance.of(&["1", "-1", "99999999999999999999", "", "abc", "members", "emails.value,name"]).to_owned(),
            2 => path(chance),
            _ => chance.of(&ATTRIBUTES).to_owned(),
        };
        format!("{name}={}", value.replace(' ', chance.of(&["%20", "+"])).replace('"', "%22"))
    })
    .replace(',', "&")
}
