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

/// Whether a client would rather have `application/json` than SCIM's own type, by its `Accept` headers. What it does
/// not say, or says so that nothing of ours fits, is answered as `application/scim+json`: RFC 9110 section 12.5.1 leaves
/// that to the server, and a client that reads SCIM can do more with it than with 406.
pub fn wanted<'a>(accept: impl IntoIterator<Item = &'a str>, quirks: &mut Quirks) -> bool {
    // How specific the range was that spoke of a type, and its weight in thousandths.
    let (mut scim, mut plain) = ((0, 0), (0, 0));
    for range in accept.into_iter().flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let weight = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
            .map_or(1000, |(_, text)| thousandths(text.trim()));
        if kind.eq_ignore_ascii_case("application/json") {
            plain = plain.max((3, weight));
        } else if kind.eq_ignore_ascii_case("application/scim+json") {
            scim = scim.max((3, weight));
        } else if kind.eq_ignore_ascii_case("application/*") {
            (scim, plain) = (scim.max((2, weight)), plain.max((2, weight)));
        } else if kind == "*/*" {
            (scim, plain) = (scim.max((1, weight)), plain.max((1, weight)));
        }
    }
    let wanted = plain.1 > scim.1;
    if wanted {
        quirks.note(Quirk::AcceptJson);
    }
    wanted
}

/// A weight such as `0.5` (RFC 9110 section 12.4.2); what is none counts fully.
fn thousandths(text: &str) -> u32 {
    match text.parse::<f32>() {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies between 0 and 1000")]
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0) as u32,
        _ => 1000,
    }
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
        check(&["application/json, application/scim+json;q=0.1"], true);
        check(&["application/json;q=0.5, application/scim+json;q=0.8"], false);
        check(&["application/json;q=0.5, application/scim+json; Q=0"], true);
        check(&["application/json; charset=utf-8, */*;q=0.1"], true);
        check(&["*/*;q=0.8, application/json"], true);
        check(&["application/json;q=odd"], true);
        check(&["application/*"], false);
        check(&["text/html, */*"], false);
        check(&["application/json", "application/scim+json"], false);
        check(&["application/json, */*"], false);
        check(&["application/scim+json"], false);
        check(&["text/html"], false);
    }
}
