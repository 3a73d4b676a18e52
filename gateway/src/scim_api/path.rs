//! Reading a request's path and query.

use scim::ScimError;

/// The segments of a path, decoded once each. Empty ones, from doubled and trailing slashes, don't
/// count. An encoded slash stays within its segment; `.` and `..` are segments like any other. A
/// segment that is not UTF-8 once decoded, or holds control characters, is none: it names nothing.
pub(super) fn segments(path: &str) -> Vec<Option<String>> {
    path.split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| {
            String::from_utf8(decode(segment, false)).ok().filter(|text| !text.chars().any(char::is_control))
        })
        .collect()
}

/// The pairs of a query; `+` and `%20` are both blanks.
///
/// # Errors
/// 400 for what is not UTF-8 once decoded.
pub(super) fn query(query: &str) -> Result<Vec<(String, String)>, ScimError> {
    let read = |text: &str| {
        String::from_utf8(decode(text, true)).map_err(|_| ScimError::invalid_value("The query is not valid UTF-8."))
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
fn decode(text: &str, plus: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'+' if plus => out.push(b' '),
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
    fn queries() {
        let check = |text: &str, want: &[(&str, &str)]| {
            let want: Vec<(String, String)> = want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(query(text).unwrap(), want, "{text}");
        };
        check("", &[]);
        check("filter=userName+eq%20%22a%2Bb%22&count", &[("filter", "userName eq \"a+b\""), ("count", "")]);
        check("&&a=b=c&", &[("a", "b=c")]);
        assert!(query("filter=%ff").is_err());
    }
}
