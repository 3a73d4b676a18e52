//! `Authorization: Basic b2t0YTpLRVk=`: the key as the password, whatever the user name.
//!
//! RFC 7644 section 2 advises against Basic. Okta, PingFederate, PingOne, Keycloak's plug-in and ConductorOne offer it.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "basic_key",
    kind: Kind::Leniency,
    example: "`Authorization: Basic b2t0YTpLRVk=`",
    meaning: "the password is the key",
    off: "401, and the service provider configuration does not offer it",
    clients: &["okta", "pingfederate", "pingone", "keycloak", "conductorone"],
};

/// Asks for it.
#[must_use]
pub fn allow(quirks: &mut Quirks) -> bool {
    quirks.use_(Quirk::BasicKey)
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
            if allow(quirks) { Ok(json!(true)) } else { Err(ScimError::unauthorized("not by Basic")) }
        };
        check(Quirk::BasicKey, run, json!(true), Err("401"));
    }
}
