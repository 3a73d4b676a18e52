//! `filter=id eq 54d3 and manager eq 2819`.
//!
//! A value of a filter is JSON (RFC 7644 section 3.4.2.2), so a text has quotes. Microsoft's older documentation
//! prints it without.
use serde_json::Value;

use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "unquoted_value",
    kind: Kind::Leniency,
    example: "`filter=id eq 54d3 and manager eq 2819`",
    meaning: "a text, up to the next blank or bracket",
    off: "400 invalidFilter",
    clients: &["entra", "pingfederate", "pingone"],
};

/// The text that a word without quotes means.
pub(crate) fn text(word: &str, quirks: &mut Quirks) -> Option<Value> {
    quirks.use_(Quirk::UnquotedValue).then(|| Value::String(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, filter};
    use super::*;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        check(
            Quirk::UnquotedValue,
            filter("userName eq u@example.com"),
            json!("userName eq \"u@example.com\""),
            Err("invalidFilter"),
        );
    }
}
