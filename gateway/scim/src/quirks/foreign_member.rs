//! `{"op": "add", "path": "members", "value": [{"value": "fake-member-id"}]}`.
//!
//! A value that cannot be an id of this service names nobody here: RFC 7643 section 4.2 asks for the id of a resource of
//! the service, and RFC 7644 says nothing of what becomes of another. Checkers such as scim-sanity expect such a request
//! to be accepted. It is left out, and the operation says so; an id that could be ours and is not there stays an error.
use std::collections::BTreeMap;

use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "foreign_member",
    kind: Kind::Leniency,
    example: r#"`{"op": "add", "path": "members", "value": [{"value": "fake-member-id"}]}`"#,
    meaning: "who cannot be a resource of this service is left out, and the operation names it",
    off: "400 invalidValue, naming it",
    clients: &[],
};

/// Takes those additions out of an edit that name what cannot be an id of the service, and returns their values.
/// Removals stay: removing who is not there changes nothing.
pub fn leave_out(
    want: &mut BTreeMap<String, bool>,
    could_be_ours: impl Fn(&str) -> bool,
    quirks: &mut Quirks,
) -> Vec<String> {
    let mut gone = Vec::new();
    want.retain(|id, wanted| {
        let stays = !*wanted || could_be_ours(id) || !quirks.use_(Quirk::ForeignMember);
        if !stays {
            gone.push(id.clone());
        }
        stays
    });
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_and_off() {
        let check = |mut quirks: Quirks, gone: &[&str], used: bool| {
            let mut want: BTreeMap<String, bool> =
                [("ours-1", true), ("fake", true), ("other", false)].map(|(id, want)| (id.to_owned(), want)).into();
            assert_eq!(leave_out(&mut want, |id| id.starts_with("ours"), &mut quirks), gone);
            assert_eq!(want.len(), 3 - gone.len());
            assert_eq!(quirks.used(Quirk::ForeignMember), used);
        };
        check(Quirks::lenient(), &["fake"], true);
        check(Quirks::strict(), &[], false);
    }
}
