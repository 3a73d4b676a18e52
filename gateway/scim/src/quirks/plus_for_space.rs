//! `GET /Users?filter=userName+eq+%22aki%22`.
//!
//! In a query of a URI `+` is a plus (RFC 3986 section 3.4); forms write a blank as `+`. Entra, authentik and ssosync
//! encode as forms do. Everybody writes a plus as `%2B`.
use std::borrow::Cow;

use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "plus_for_space",
    kind: Kind::Leniency,
    example: "`GET /Users?filter=userName+eq+%22aki%22`",
    meaning: "a blank",
    off: "a plus, so that such a filter is 400 invalidFilter",
    clients: &["entra", "authentik", "aws_style"],
};

/// A query, still percent-encoded, with each `+` written as what it means.
pub fn plain<'q>(query: &'q str, quirks: &mut Quirks) -> Cow<'q, str> {
    if query.contains('+') && quirks.use_(Quirk::PlusForSpace) {
        return Cow::Owned(query.replace('+', "%20"));
    }
    Cow::Borrowed(query)
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use crate::list::ListRequest;
    use serde_json::json;

    #[test]
    fn on_and_off() {
        let run = |quirks: &mut Quirks| {
            let decoded =
                plain("userName+eq+%22a%2Bb%22", quirks).replace("%20", " ").replace("%22", "\"").replace("%2B", "+");
            let request = ListRequest::from_query(&[("filter".into(), decoded)], quirks)?;
            Ok(json!(request.filter.map(|f| f.to_string())))
        };
        check(Quirk::PlusForSpace, run, json!("userName eq \"a+b\""), Err("invalidFilter"));
    }
}
