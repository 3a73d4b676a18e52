//! `{"op": "add", "path": "members", "value": [{"value": "fake-member-id"}]}`.
//!
//! A value that cannot be an id of this service names nobody here: RFC 7643 section 4.2 asks for the id of a resource of
//! the service. RFC 7644 does not ask for a check of references, and checkers such as scim-sanity expect such an addition
//! to be accepted. So a PATCH that does nothing but add members of whom none can be ours changes nothing, and the
//! operation on record names them. Beside anything else, and in POST and PUT, such a member is an error: a membership is
//! never lost among others. An id that could be ours and is not there always is one.
use std::collections::BTreeMap;

use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "foreign_member",
    kind: Kind::Leniency,
    example: r#"`{"op": "add", "path": "members", "value": [{"value": "fake-member-id"}]}`"#,
    meaning: "a PATCH that only adds who cannot be a resource of this service changes nothing, and the operation names them",
    off: "400 invalidValue, naming it",
    clients: &[],
};

/// Takes all members out of an edit that adds only what cannot be an id of the service, and returns their values.
pub fn leave_out(
    want: &mut BTreeMap<String, bool>,
    could_be_ours: impl Fn(&str) -> bool,
    quirks: &mut Quirks,
) -> Vec<String> {
    let foreign = !want.is_empty() && want.iter().all(|(id, wanted)| *wanted && !could_be_ours(id));
    if !foreign || !quirks.use_(Quirk::ForeignMember) {
        return Vec::new();
    }
    std::mem::take(want).into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_and_off() {
        let check = |mut quirks: Quirks, want: &[(&str, bool)], gone: &[&str]| {
            let mut want: BTreeMap<String, bool> = want.iter().map(|(id, want)| ((*id).to_owned(), *want)).collect();
            let before = want.len();
            assert_eq!(leave_out(&mut want, |id| id.starts_with("ours"), &mut quirks), gone);
            assert_eq!(want.len(), before - gone.len());
            assert_eq!(quirks.used(Quirk::ForeignMember), !gone.is_empty());
        };
        check(Quirks::lenient(), &[("fake", true)], &["fake"]);
        check(Quirks::strict(), &[("fake", true)], &[]);
        check(Quirks::lenient(), &[("fake", true), ("ours-1", true)], &[]);
        check(Quirks::lenient(), &[("fake", true), ("other", false)], &[]);
        check(Quirks::lenient(), &[("ours-1", true)], &[]);
        check(Quirks::lenient(), &[], &[]);
    }
}
