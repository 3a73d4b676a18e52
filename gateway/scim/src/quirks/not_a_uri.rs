//! `"profileUrl": " "`.
//!
//! A reference is a URI (RFC 7643 section 2.3.7). Saviynt's templates fill empty fields with a blank; anything else that
//! is no URI is refused.
use serde_json::Value;

use super::{Kind, Quirk, Quirks, Unit};
use crate::syntax::is_reference;

pub(super) const UNIT: Unit = Unit {
    name: "not_a_uri",
    kind: Kind::Leniency,
    example: r#"`"profileUrl": " "`"#,
    meaning: "stored as it is",
    off: "400 invalidValue",
    clients: &["saviynt"],
};

/// Whether a reference may have this value.
pub(crate) fn allow(value: &Value, quirks: &mut Quirks) -> bool {
    value.as_str().is_some_and(|text| is_reference(text) || (text.trim().is_empty() && quirks.use_(Quirk::NotAUri)))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, stored, user};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let blank = json!({"profileUrl": " "});
        check(Quirk::NotAUri, user(blank.clone()), stored(blank), Err("invalidValue"));
        assert!(user(json!({"profileUrl": "no uri"}))(&mut Quirks::lenient()).is_err());
        for good in ["https://example.com/a(b)?c=[d]", "Users/1", "../Users/1", "https://example.com/\u{fc}"] {
            let url = json!({"profileUrl": good});
            assert_eq!(user(url.clone())(&mut Quirks::strict()), Ok(stored(url)), "{good}");
        }
    }
}
