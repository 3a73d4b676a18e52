//! Reading a request's path and query.

use scim::quirks::{plus_for_space, route_case};
use scim::schema::Registry;
use scim::{Quirks, ScimError};

/// The segments of a path, decoded once each. Empty ones, from doubled and trailing slashes, don't
/// count. An encoded slash stays within its segment; `.` and `..` are segments like any other. A
/// segment that is not UTF-8 once decoded, or holds control characters, is none: it names nothing.
pub(super) fn segments(path: &str) -> Vec<Option<String>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| String::from_utf8(decode(segment)).ok().filter(|text| !text.chars().any(char::is_control)))
        .collect()
}

/// Endpoints that every instance has, as RFC 7644 section 3.2 writes them.
const ENDPOINTS: [&str; 6] = ["Me", "Bulk", "Events", "ServiceProviderConfig", "ResourceTypes", "Schemas"];

/// The segments behind the base URL, with endpoints in the case that they have; None if the case matters and is
/// another. `path` begins with the instance.
pub(super) fn endpoint<'p>(path: &[&'p str], registry: &'p Registry, quirks: &mut Quirks) -> Option<Vec<&'p str>> {
    let [_, _, scim, version, rest @ ..] = path else { return None };
    if !route_case::is(scim, "scim", quirks) || !route_case::is(version, "v2", quirks) {
        return None;
    }
    let mut rest = rest.to_vec();
    if let Some(first) = rest.first_mut() {
        let types = registry.resource_types().map(|rt| rt.endpoint.as_str());
        let known = ENDPOINTS.into_iter().chain([".search"]).chain(types);
        *first = named(first, known, quirks)?;
    }
    if let [_, last] = rest.as_mut_slice() {
        *last = named(last, [".search"].into_iter(), quirks)?;
    }
    Some(rest)
}

/// The word that a segment is, in its own case; the segment if it is none of them.
fn named<'p>(segment: &'p str, mut known: impl Iterator<Item = &'p str>, quirks: &mut Quirks) -> Option<&'p str> {
    match known.find(|word| segment.eq_ignore_ascii_case(word)) {
        Some(word) => route_case::is(segment, word, quirks).then_some(word),
        None => Some(segment),
    }
}

/// The pairs of a query; what `+` is, its unit says.
///
/// # Errors
/// 400 for what is not UTF-8 once decoded.
pub(super) fn query(query: &str, quirks: &mut Quirks) -> Result<Vec<(String, String)>, ScimError> {
    let query = plus_for_space::plain(query, quirks);
    let read = |text: &str| {
        String::from_utf8(decode(text)).map_err(|_| ScimError::invalid_value("The query is not valid UTF-8."))
    };
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((read(name)?, read(value)?))
        })
        .collect()
}

/// Percent-decoding (RFC 3986 section 2.1); a `%` that begins no code stays as it is.
fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'%' => match (hex(bytes.get(at)), hex(bytes.get(at + 1))) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    at += 2;
                }
                _ => out.push(b'%'),
            },
            other => out.push(other),
        }
    }
    out
}

fn hex(byte: Option<&u8>) -> Option<u8> {
    char::from(*byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |path: &str, want: &[Option<&str>]| {
            let got = segments(path);
            assert_eq!(got.iter().map(Option::as_deref).collect::<Vec<_>>(), want, "{path}");
        };
        check("/i/in_1//scim/v2/Users/", &[Some("i"), Some("in_1"), Some("scim"), Some("v2"), Some("Users")]);
        check("/a%2Fb/%55sers", &[Some("a/b"), Some("Users")]);
        check("/%2555", &[Some("%55")]);
        check("/a/../b/.", &[Some("a"), Some(".."), Some("b"), Some(".")]);
        check("/100%/%zz/%2", &[Some("100%"), Some("%zz"), Some("%2")]);
        check("/a+b", &[Some("a+b")]);
        check("/%ff/a", &[None, Some("a")]);
        check("/a%00b", &[None]);
        check("", &[]);
    }

    #[test]
    fn endpoints_have_their_case_unless_it_does_not_matter() {
        let registry = Registry::core();
        let check = |path: &[&str], quirks: &mut Quirks, want: Option<&[&str]>| {
            assert_eq!(endpoint(path, &registry, quirks).as_deref(), want, "{path:?}");
        };
        let exact = ["i", "in", "scim", "v2", "Users", "ID"];
        check(&exact, &mut Quirks::strict(), Some(&["Users", "ID"]));
        let mut quirks = Quirks::lenient();
        check(&exact, &mut quirks, Some(&["Users", "ID"]));
        assert!(!quirks.used(scim::Quirk::RouteCase));
        for other in [["i", "in", "scim", "v2", "users", ".SEARCH"], ["i", "in", "SCIM", "V2", "USERS", ".search"]] {
            check(&other, &mut Quirks::lenient(), Some(&["Users", ".search"]));
            check(&other, &mut Quirks::strict(), None);
        }
        check(&["i", "in", "scim", "v2"], &mut Quirks::strict(), Some(&[]));
        check(&["i", "in", "scim", "v1", "Users"], &mut Quirks::lenient(), None);
        check(&["i", "in", "scim", "v2", "nothing"], &mut Quirks::lenient(), Some(&["nothing"]));
    }

    #[test]
    fn queries() {
        let check = |text: &str, want: &[(&str, &str)]| {
            let want: Vec<(String, String)> = want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(query(text, &mut Quirks::lenient()).unwrap(), want, "{text}");
        };
        check("", &[]);
        check("filter=userName+eq%20%22a%2Bb%22&count", &[("filter", "userName eq \"a+b\""), ("count", "")]);
        check("&&a=b=c&", &[("a", "b=c")]);
        assert!(query("filter=%ff", &mut Quirks::lenient()).is_err());
        let strict = query("a=b+c%20d", &mut Quirks::strict()).unwrap();
        assert_eq!(strict, [("a".to_owned(), "b+c d".to_owned())]);
    }
}
