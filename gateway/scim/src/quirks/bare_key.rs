//! `Authorization: KEY`: the key and nothing before it.
//!
//! A credential has a scheme (RFC 9110 section 11.4). Okta sends what the admin typed, often without `Bearer`;
//! ConductorOne has no prefix unless one is set; PingFederate and PingOne take any header.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "bare_key",
    kind: Kind::Leniency,
    example: "`Authorization: KEY`",
    meaning: "a bearer token",
    off: "401",
    clients: &["okta", "pingfederate", "pingone", "conductorone"],
};

/// Asks for it.
#[must_use]
pub fn allow(quirks: &mut Quirks) -> bool {
    quirks.use_(Quirk::BareKey)
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
            if allow(quirks) { Ok(json!(true)) } else { Err(ScimError::unauthorized("no scheme")) }
        };
        check(Quirk::BareKey, run, json!(true), Err("401"));
    }
}
