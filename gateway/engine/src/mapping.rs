//! A person of the directory (a SCIM document) in the words a connector is told.

use connector_sdk::{Person, RemoteId, RoleTrait, Traits};
use serde_json::{Map, Value};

/// A person as the connector is told, and what was left out on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapped {
    /// The person.
    pub person: Person,
    /// What was asked for and does not reach the target.
    pub dropped: Vec<Dropped>,
}

/// Something that does not reach the target. It is recorded on the operation (DECISIONS 29), so it
/// holds no personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The SCIM attribute.
    pub attribute: &'static str,
    /// For the admin: what was left out, why, and what to do.
    pub why: String,
}

/// Maps a User document (RFC 7643 section 4.1). Attribute names compare without case.
///
/// - e-mail: the primary one, else the first of type `work`, else the first, else the user name if
///   it looks like an address;
/// - name: `displayName`, else `name.formatted`, else given and family name;
/// - role: the first of `roles` whose `value` or `display` is a role of the target. A privileged one
///   needs `allow_privileged`; otherwise it is left out, of the document too. Values that are no
///   role of the target are none of its business.
///
/// `groups`: the target's groups that the person shall be in.
pub fn map_person(
    user_name: &str,
    doc: &Map<String, Value>,
    traits: &Traits,
    allow_privileged: bool,
    groups: Vec<RemoteId>,
) -> Mapped {
    let mut dropped = Vec::new();
    let mut person = Person::named(user_name);
    person.email = email(user_name, doc);
    person.display_name = display_name(doc);
    person.groups = groups;
    person.attributes = doc.clone();
    let refused = |entry: &Value| !allow_privileged && known_role(entry, traits).is_some_and(|role| role.privileged);
    for entry in entries(doc, "roles") {
        if refused(entry) {
            if let Some(role) = known_role(entry, traits) {
                let why = format!(
                    "The role {} gives power over others, and the instance's policy does not let \
                     the identity provider assign it. Set allow_privileged to allow it.",
                    role.value
                );
                if dropped.iter().all(|it: &Dropped| it.why != why) {
                    dropped.push(Dropped { attribute: "roles", why });
                }
            }
        } else if person.role.is_none() {
            person.role = known_role(entry, traits).map(|role| role.value.to_owned());
        }
    }
    if !dropped.is_empty() {
        // A connector that passes the document on must not pass on what the policy refused.
        for (name, value) in &mut person.attributes {
            if !name.eq_ignore_ascii_case("roles") {
                continue;
            }
            match value {
                Value::Array(items) => items.retain(|entry| !refused(entry)),
                single if refused(single) => *single = Value::Null,
                _ => {}
            }
        }
    }
    Mapped { person, dropped }
}

fn email(user_name: &str, doc: &Map<String, Value>) -> Option<String> {
    let (mut work, mut first) = (None, None);
    for entry in entries(doc, "emails") {
        let Some(address) = value_of(entry) else {
            continue;
        };
        if member(entry, "primary").and_then(Value::as_bool) == Some(true) {
            return Some(address.to_owned());
        }
        let kind = member(entry, "type").and_then(Value::as_str);
        if work.is_none() && kind.is_some_and(|kind| kind.eq_ignore_ascii_case("work")) {
            work = Some(address);
        }
        first = first.or(Some(address));
    }
    work.or(first).map(str::to_owned).or_else(|| looks_like_address(user_name).then(|| user_name.to_owned()))
}

fn display_name(doc: &Map<String, Value>) -> Option<String> {
    let name = child(doc, "name").and_then(Value::as_object);
    let of_name = |part| name.and_then(|name| child(name, part)).and_then(text);
    if let Some(whole) = child(doc, "displayName").and_then(text).or_else(|| of_name("formatted")) {
        return Some(whole.to_owned());
    }
    let parts: Vec<&str> = ["givenName", "familyName"].into_iter().filter_map(of_name).collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Whether a text has the form of an e-mail address: good enough to invite by it, not a proof that
/// it is one (RFC 5321 section 4.5.3.1 for the length).
fn looks_like_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    !local.is_empty()
        && !domain.is_empty()
        && !domain.contains('@')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && text.len() <= 254
        && !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ',' | ';'))
}

fn known_role<'a>(entry: &Value, traits: &'a Traits) -> Option<&'a RoleTrait> {
    [value_of(entry), member(entry, "display").and_then(text)]
        .into_iter()
        .flatten()
        .find_map(|word| traits.roles.iter().find(|role| role.value.eq_ignore_ascii_case(word)))
}

/// The entries of a multi-valued attribute; a single value counts as a list of one.
fn entries<'a>(doc: &'a Map<String, Value>, name: &str) -> &'a [Value] {
    match child(doc, name) {
        Some(Value::Array(items)) => items,
        Some(single) => std::slice::from_ref(single),
        None => &[],
    }
}

/// The `value` of an entry, or the entry itself where a client sends plain strings.
fn value_of(entry: &Value) -> Option<&str> {
    text(entry).or_else(|| member(entry, "value").and_then(text))
}

fn member<'a>(entry: &'a Value, name: &str) -> Option<&'a Value> {
    entry.as_object().and_then(|map| child(map, name))
}

/// A string that says something.
fn text(value: &Value) -> Option<&str> {
    value.as_str().map(str::trim).filter(|text| !text.is_empty())
}

fn child<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.get(name).or_else(|| map.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use connector_sdk::{DriverKey, Kind};
    use serde_json::json;

    fn traits() -> Traits {
        let mut traits = Traits::new(Kind::UserAndGroup, DriverKey::new("k"));
        traits.roles =
            vec![RoleTrait { value: "admin", privileged: true }, RoleTrait { value: "member", privileged: false }];
        traits
    }

    fn map(user_name: &str, doc: &Value, allow: bool) -> Mapped {
        let doc = doc.as_object().expect("an object").clone();
        map_person(user_name, &doc, &traits(), allow, vec![RemoteId::new("7")])
    }

    fn check_email(user_name: &str, emails: &Value, want: Option<&str>) {
        let got = map(user_name, &json!({ "emails": emails }), false).person.email;
        assert_eq!(got.as_deref(), want, "{user_name} {emails}");
    }

    #[test]
    fn the_primary_address_wins_then_work_then_the_first_then_the_user_name() {
        check_email(
            "u",
            &json!([{"value": "a@x"}, {"value": "b@x", "type": "work"}, {"value": "c@x", "primary": true}]),
            Some("c@x"),
        );
        check_email("u", &json!([{"value": "a@x"}, {"Value": "b@x", "TYPE": "Work"}]), Some("b@x"));
        check_email("u", &json!([{"value": "a@x", "type": "home"}, {"value": "b@x", "type": "other"}]), Some("a@x"));
        check_email("u", &json!([{"value": "", "primary": true}, {"value": "b@x"}]), Some("b@x"));
        check_email("u", &json!(["a@x"]), Some("a@x"));
        check_email("u", &json!({"value": "a@x"}), Some("a@x"));
        check_email("u@x.org", &json!([]), Some("u@x.org"));
        check_email("u@x.org", &json!([{"type": "work"}, 7, null]), Some("u@x.org"));
        for name in ["u", "@x", "u@", "a@b@c", "a b@c", "a@.c", "a@c.", "<a@c>", "a@c,d@c"] {
            check_email(name, &json!(null), None);
        }
    }

    fn check_name(doc: &Value, want: Option<&str>) {
        assert_eq!(map("u", doc, false).person.display_name.as_deref(), want, "{doc}");
    }

    #[test]
    fn the_name_comes_from_the_best_that_is_there() {
        let name = json!({"formatted": "F", "givenName": "G", "familyName": "L"});
        check_name(&json!({"displayName": "D", "name": name}), Some("D"));
        check_name(&json!({"displayName": " ", "name": name}), Some("F"));
        check_name(&json!({"Name": {"GivenName": "G", "familyName": "L"}}), Some("G L"));
        check_name(&json!({"name": {"familyName": "L"}}), Some("L"));
        check_name(&json!({"name": "x"}), None);
        check_name(&json!({}), None);
    }

    fn check_role(roles: &Value, allow: bool, want: Option<&str>, dropped: usize) {
        let got = map("u", &json!({ "roles": roles }), allow);
        assert_eq!(got.person.role.as_deref(), want, "{roles} {allow}");
        assert_eq!(got.dropped.len(), dropped, "{roles} {allow}");
    }

    #[test]
    fn the_first_role_of_the_target_is_taken_and_a_privileged_one_only_if_allowed() {
        check_role(&json!([{"value": "Member"}]), false, Some("member"), 0);
        check_role(&json!([{"value": "x", "display": "MEMBER"}]), false, Some("member"), 0);
        check_role(&json!([{"value": "x"}, {"value": "member"}]), false, Some("member"), 0);
        check_role(&json!([{"value": "x"}]), false, None, 0);
        check_role(&json!("member"), false, Some("member"), 0);
        check_role(&json!([{"value": "admin"}]), true, Some("admin"), 0);
        check_role(&json!([{"value": "admin"}]), false, None, 1);
        check_role(&json!([{"value": "admin"}, {"value": "Admin"}, {"value": "member"}]), false, Some("member"), 1);
        check_role(&json!(null), false, None, 0);
    }

    #[test]
    fn a_refused_role_does_not_reach_the_target_through_the_document() {
        let doc = json!({"Roles": [{"value": "ADMIN"}, {"value": "member"}], "title": "T"});
        let got = map("u", &doc, false);
        assert_eq!(Value::Object(got.person.attributes), json!({"Roles": [{"value": "member"}], "title": "T"}));
        let single = map("u", &json!({"roles": "admin"}), false);
        assert_eq!(Value::Object(single.person.attributes), json!({"roles": null}));
        assert_eq!(Value::Object(map("u", &doc, true).person.attributes), doc);
    }

    #[test]
    fn what_was_dropped_tells_nothing_about_the_person() {
        let doc = json!({"displayName": "Ann Example", "roles": [{"value": "admin", "display": "Ann's power"}]});
        for dropped in map("ann@example.com", &doc, false).dropped {
            assert!(!dropped.why.to_lowercase().contains("ann"), "{dropped:?}");
        }
    }

    #[test]
    fn groups_and_user_name_pass_unchanged() {
        let got = map(" U ", &json!({}), false).person;
        assert_eq!(got.user_name, " U ");
        assert_eq!(got.groups, vec![RemoteId::new("7")]);
    }
}
