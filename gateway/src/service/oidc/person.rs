//! Who somebody is by what a provider says of them.

use serde_json::{Map, Value};

use crate::config::ClaimRoles;
use crate::service::members::{MAX_NAME, Role};

/// The longest address (RFC 5321 section 4.5.3.1.3, less the angle brackets).
const MAX_ADDRESS: usize = 254;

/// Somebody who signed in at the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// The provider's own name for them, which it gives to nobody else.
    pub(super) subject: String,
    /// Their address, in the form of [`address`].
    pub(super) email: Option<String>,
    /// Whether the provider says that the address is theirs.
    pub(super) verified: bool,
    /// What they are called.
    pub(super) name: String,
    /// The role that a claim gives them.
    pub(super) role: Option<Role>,
}

/// An address as it is kept and compared: in lower case, and of ASCII alone. Beyond ASCII different letters become the same in
/// lower case.
pub(crate) fn address(text: &str) -> Option<String> {
    let text = text.trim();
    let (local, domain) = text.rsplit_once('@')?;
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>,;:\\\"()[]".contains(&byte));
    let fits = !local.is_empty() && !local.contains('@') && domain.contains('.') && text.len() <= MAX_ADDRESS;
    (plain && fits).then(|| text.to_ascii_lowercase())
}

impl Person {
    /// Reads the claims of an ID token, and what the provider says at its userinfo endpoint. The token goes before.
    pub(super) fn read(token: &Map<String, Value>, info: &Map<String, Value>, roles: Option<&ClaimRoles>) -> Self {
        let text = |name: &str| [token, info].into_iter().find_map(|claims| claims.get(name)?.as_str());
        let (of_token, of_info) = (email(token), email(info));
        // The word on an address counts for the address beside it only.
        let (email, verified) = match (of_token, of_info) {
            (Some((one, false)), Some((other, true))) if one == other => (Some(one), true),
            (Some((one, verified)), _) | (None, Some((one, verified))) => (Some(one), verified),
            (None, None) => (None, false),
        };
        let subject = text("sub").unwrap_or_default().to_owned();
        let called = ["name", "preferred_username", "email"].into_iter().filter_map(text).map(tidy);
        let name = called.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| tidy(&subject));
        Self { subject, email, verified, name, role: roles.and_then(|roles| role(roles, token, info)) }
    }

    /// Whether the userinfo endpoint may know what the ID token does not say.
    pub(super) fn lacks(token: &Map<String, Value>, roles: Option<&ClaimRoles>) -> bool {
        email(token).is_none_or(|(_, verified)| !verified)
            || roles.is_some_and(|roles| found(token, &roles.claim).is_none())
    }
}

/// The address, and whether it is verified. Some providers write the flag as text; Entra has one of its own, for addresses
/// of domains that their owner proved (`xms_edov`).
fn email(claims: &Map<String, Value>) -> Option<(String, bool)> {
    let email = address(claims.get("email")?.as_str()?)?;
    let said = |name: &str| match claims.get(name) {
        Some(Value::Bool(said)) => *said,
        Some(Value::String(said)) => said == "true" || said == "1",
        Some(Value::Number(said)) => said.as_i64() == Some(1),
        _ => false,
    };
    Some((email, said("email_verified") || said("xms_edov")))
}

/// A claim by its name, or by a path of names.
fn found<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// The greatest role that a value of the claim gives.
fn role(roles: &ClaimRoles, token: &Map<String, Value>, info: &Map<String, Value>) -> Option<Role> {
    let value = found(token, &roles.claim).or_else(|| found(info, &roles.claim))?;
    let values = match value {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let given = roles.of.iter().filter(|(text, _)| values.iter().any(|value| value == text));
    given.map(|(_, role)| *role).max()
}

/// A name without what is not to be seen, and short enough.
fn tidy(text: &str) -> String {
    let mut tidy = String::new();
    for c in text.trim().chars().filter(|c| !c.is_control()) {
        if tidy.len() + c.len_utf8() > MAX_NAME {
            break;
        }
        tidy.push(c);
    }
    tidy.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn addresses_are_told_apart_from_those_that_look_alike() {
        assert_eq!(address(" Ada@Example.COM ").as_deref(), Some("ada@example.com"));
        for text in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "a b@example.com",
            "a@b@example.com",
            "\u{212a}ate@example.com",
            "ada@ex\u{e4}mple.com",
            "Ada <ada@example.com>",
            "a\n@example.com",
        ] {
            assert_eq!(address(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_address_is_verified_by_the_word_beside_it_alone() {
        for (token, info, email, verified) in [
            (json!({"email": "A@x.org", "email_verified": true}), json!({}), Some("a@x.org"), true),
            (json!({"email": "a@x.org", "email_verified": "true"}), json!({}), Some("a@x.org"), true),
            (json!({"email": "a@x.org", "xms_edov": 1}), json!({}), Some("a@x.org"), true),
            (json!({"email": "a@x.org"}), json!({}), Some("a@x.org"), false),
            (json!({"email": "a@x.org", "email_verified": "no"}), json!({}), Some("a@x.org"), false),
            (json!({"email": "a@x.org"}), json!({"email": "a@x.org", "email_verified": true}), Some("a@x.org"), true),
            (json!({"email": "a@x.org"}), json!({"email": "b@x.org", "email_verified": true}), Some("a@x.org"), false),
            (json!({"email": "a@x.org"}), json!({"email_verified": true}), Some("a@x.org"), false),
            (json!({"email_verified": true}), json!({"email": "b@x.org"}), Some("b@x.org"), false),
            (json!({}), json!({"email": "b@x.org", "email_verified": true}), Some("b@x.org"), true),
            (json!({}), json!({}), None, false),
        ] {
            let person = Person::read(&map(&token), &map(&info), None);
            assert_eq!((person.email.as_deref(), person.verified), (email, verified), "{token} {info}");
        }
    }

    #[test]
    fn the_greatest_role_of_a_claim_counts_wherever_it_stands() {
        let of = [("ops", Role::Admin), ("all", Role::Viewer), ("root", Role::Owner)];
        let roles = |claim: &str| ClaimRoles {
            claim: claim.to_owned(),
            of: of.iter().map(|(text, role)| ((*text).to_owned(), *role)).collect(),
        };
        for (claim, token, role) in [
            ("groups", json!({"groups": ["all", "ops", "x"]}), Some(Role::Admin)),
            ("groups", json!({"groups": "root"}), Some(Role::Owner)),
            ("groups", json!({"groups": ["Ops", 7, null]}), None),
            ("groups", json!({"groups": {"ops": true}}), None),
            ("realm_access.roles", json!({"realm_access": {"roles": ["all"]}}), Some(Role::Viewer)),
            ("https://x.org/roles", json!({"https://x.org/roles": ["ops"]}), Some(Role::Admin)),
            ("a.b", json!({"a.b": "all", "a": {"b": "root"}}), Some(Role::Viewer)),
        ] {
            let person = Person::read(&map(&token), &Map::new(), Some(&roles(claim)));
            assert_eq!(person.role, role, "{claim} {token}");
        }
    }

    #[test]
    fn names_of_others_are_short_and_plain() {
        let long = "\u{e9}".repeat(200);
        let person = Person::read(&map(&json!({"sub": "1", "name": format!(" a\u{0}\n{long}")})), &Map::new(), None);
        assert!(person.name.starts_with("a\u{e9}") && person.name.len() <= MAX_NAME);
        let person = Person::read(&map(&json!({"sub": "1", "name": "  ", "email": "A@x.org"})), &Map::new(), None);
        assert_eq!(person.name, "A@x.org");
    }
}
