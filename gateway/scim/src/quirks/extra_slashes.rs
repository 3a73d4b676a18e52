//! `POST /scim/v2/Users/`, `GET /scim/v2//Users`.
//!
//! A path with an empty segment is another path (RFC 3986 section 3.3). Saviynt ends collections in a slash, and base
//! URLs that end in one give two where a client puts its own (Entra, PingFederate, PingOne).
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "extra_slashes",
    kind: Kind::Leniency,
    example: "`POST /scim/v2//Users/`",
    meaning: "the path without its empty segments",
    off: "404",
    clients: &["entra", "pingfederate", "pingone", "saviynt"],
};

/// Whether a path is taken: it has no empty segment, or they do not count.
#[must_use]
pub fn allow(path: &str, quirks: &mut Quirks) -> bool {
    let empty = path.strip_prefix('/').unwrap_or(path).split('/').any(str::is_empty);
    !empty || quirks.use_(Quirk::ExtraSlashes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::ScimError;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        for path in ["/i/x/scim/v2/Users/", "/i/x/scim/v2//Users", "//i/x/scim/v2/Users"] {
            let run = |quirks: &mut Quirks| {
                if allow(path, quirks) { Ok(json!(true)) } else { Err(ScimError::not_found("no such path")) }
            };
            check(Quirk::ExtraSlashes, run, json!(true), Err("404"));
        }
        let mut quirks = Quirks::strict();
        assert!(allow("/i/x/scim/v2/Users", &mut quirks) && quirks.applied().next().is_none());
    }
}
