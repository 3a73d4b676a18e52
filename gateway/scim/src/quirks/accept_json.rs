//! `Accept: application/json` and nothing else.
//!
//! idp-scim-sync and OneLogin's older connectors ask for plain JSON, ConductorOne if it is set so. RFC 7644 section
//! 8.1 has a service answer it.
use super::{Kind, Quirk, Quirks, Unit};

pub(super) const UNIT: Unit = Unit {
    name: "accept_json",
    kind: Kind::Habit,
    example: "`Accept: application/json`",
    meaning: "answers are application/json",
    off: "RFC 7644 section 8.1 has it",
    clients: &["aws_style", "onelogin", "conductorone"],
};

/// Whether `Accept` headers take `application/json` and say nothing of SCIM's own type or of any type.
pub fn wanted<'a>(accept: impl IntoIterator<Item = &'a str>, quirks: &mut Quirks) -> bool {
    let mut plain = false;
    for range in accept.into_iter().flat_map(|value| value.split(',')) {
        let kind = range.split(';').next().unwrap_or_default().trim();
        if kind.eq_ignore_ascii_case("application/json") {
            plain = true;
        } else if kind.eq_ignore_ascii_case("application/scim+json")
            || kind == "*/*"
            || kind.eq_ignore_ascii_case("application/*")
        {
            return false;
        }
    }
    if plain {
        quirks.note(Quirk::AcceptJson);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::testing::check;
    use super::*;
    use serde_json::json;

    #[test]
    fn taken_in_any_case() {
        let run = |quirks: &mut Quirks| Ok(json!(wanted(["application/json; charset=utf-8"], quirks)));
        check(Quirk::AcceptJson, run, json!(true), Ok(json!(true)));
    }

    #[test]
    fn media_types() {
        let check = |accept: &[&str], want: bool| {
            let mut quirks = Quirks::lenient();
            assert_eq!(wanted(accept.iter().copied(), &mut quirks), want, "{accept:?}");
            assert_eq!(quirks.used(Quirk::AcceptJson), want);
        };
        check(&[], false);
        check(&["application/json"], true);
        check(&["Application/JSON; charset=utf-8; q=0.9"], true);
        check(&["application/json, application/scim+json;q=0.1"], false);
        check(&["application/json", "application/scim+json"], false);
        check(&["application/json, */*"], false);
        check(&["application/scim+json"], false);
        check(&["text/html"], false);
    }
}
