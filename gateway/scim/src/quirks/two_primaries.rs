//! `"emails": [{"value": "a", "type": "work", "primary": true}, {"value": "a", "type": "home", "primary": true}]`.
//!
//! One value at most is primary (RFC 7643 section 2.4). PingOne sends both mapped addresses as primary if one of them
//! has no value of its own.
use super::{Kind, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "two_primaries",
    kind: Kind::Leniency,
    example: r#"`"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": true}]`"#,
    meaning: "the first stays primary, the others are not",
    off: "400 invalidValue",
    clients: &["pingone"],
};

#[cfg(test)]
mod tests {
    use super::super::Quirk;
    use super::super::testing::{check, stored, user};
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let emails =
            |second: bool| json!({"emails": [{"value": "a", "primary": true}, {"value": "b", "primary": second}]});
        check(Quirk::TwoPrimaries, user(emails(true)), stored(emails(false)), Err("invalidValue"));
    }
}
