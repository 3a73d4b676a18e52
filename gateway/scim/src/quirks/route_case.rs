//! `GET /scim/v2/schemas`, `GET /scim/v2/users`.
//!
//! Paths have case (RFC 3986 section 6.2.2.1), and RFC 7644 section 3.2 names the endpoints. SailPoint was seen to ask
//! for `/schemas`.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "route_case",
    kind: Kind::Leniency,
    example: "`GET /scim/v2/schemas`",
    meaning: "the endpoint of that name in any case",
    off: "404",
    clients: &["sailpoint"],
};

/// Whether a segment of a path is this endpoint.
#[must_use]
pub fn is(segment: &str, endpoint: &str, quirks: &mut Quirks) -> bool {
    segment == endpoint || (segment.eq_ignore_ascii_case(endpoint) && quirks.use_(Quirk::RouteCase))
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::ScimError;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = |quirks: &mut Quirks| {
            if is("schemas", "Schemas", quirks) { Ok(json!(true)) } else { Err(ScimError::not_found("no such path")) }
        };
        check(Quirk::RouteCase, run, json!(true), Err("404"));
        let mut quirks = Quirks::lenient();
        assert!(is("Users", "Users", &mut quirks) && !is("User", "Users", &mut quirks));
        assert!(!quirks.used(Quirk::RouteCase));
    }
}
