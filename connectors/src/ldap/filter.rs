//! Search filters: built from parts, so that no value can become syntax, and read from the text of
//! RFC 4515 where an admin gives one.

use super::ber::{OCTETS, Writer};

/// How deep an admin's filter may nest.
const DEEPEST: usize = 16;

/// A filter (RFC 4511, section 4.5.1.7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Equal(String, Vec<u8>),
    Present(String),
    AtLeast(String, Vec<u8>),
    AtMost(String, Vec<u8>),
    Like(String, Vec<u8>),
    /// Pieces around `*`; the first and last may be empty.
    Pieces(String, Vec<Vec<u8>>),
    /// Attribute, rule, value: `userAccountControl:1.2.840.113556.1.4.803:=2`.
    Rule(String, String, Vec<u8>),
}

impl Filter {
    /// Everything.
    pub(super) fn any() -> Self {
        Self::Present("objectClass".to_owned())
    }

    /// That an attribute has this value.
    pub(super) fn equal(attribute: &str, value: impl AsRef<[u8]>) -> Self {
        Self::Equal(attribute.to_owned(), value.as_ref().to_vec())
    }

    /// Writes it as BER.
    pub(super) fn write(&self, out: &mut Writer) {
        let pair = |out: &mut Writer, tag, attribute: &str, value: &[u8]| {
            out.of(tag, |out| {
                out.text(attribute).bytes(OCTETS, value);
            });
        };
        match self {
            Self::And(parts) => {
                out.of(0xA0, |out| parts.iter().for_each(|part| part.write(out)));
            }
            Self::Or(parts) => {
                out.of(0xA1, |out| parts.iter().for_each(|part| part.write(out)));
            }
            Self::Not(part) => {
                out.of(0xA2, |out| part.write(out));
            }
            Self::Equal(attribute, value) => pair(out, 0xA3, attribute, value),
            Self::AtLeast(attribute, value) => pair(out, 0xA5, attribute, value),
            Self::AtMost(attribute, value) => pair(out, 0xA6, attribute, value),
            Self::Like(attribute, value) => pair(out, 0xA8, attribute, value),
            Self::Present(attribute) => {
                out.bytes(0x87, attribute.as_bytes());
            }
            Self::Pieces(attribute, pieces) => {
                let last = pieces.len().saturating_sub(1);
                out.of(0xA4, |out| {
                    out.text(attribute).of(0x30, |out| {
                        for (at, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
                            let tag = if at == 0 {
                                0x80
                            } else if at == last {
                                0x82
                            } else {
                                0x81
                            };
                            out.bytes(tag, piece);
                        }
                    });
                });
            }
            Self::Rule(attribute, rule, value) => {
                out.of(0xA9, |out| {
                    out.bytes(0x81, rule.as_bytes()).bytes(0x82, attribute.as_bytes()).bytes(0x83, value);
                });
            }
        }
    }

    /// Reads a filter's text (RFC 4515, section 3).
    ///
    /// # Errors
    /// What is wrong, for the admin.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let whole = if text.starts_with('(') { text.to_owned() } else { format!("({text})") };
        let (filter, rest) = part(&whole, 0)?;
        if rest.is_empty() { Ok(filter) } else { Err(format!("has something after its end: {rest}")) }
    }
}

fn part(text: &str, depth: usize) -> Result<(Filter, &str), String> {
    if depth > DEEPEST {
        return Err("is nested too deep".to_owned());
    }
    let inner = text.strip_prefix('(').ok_or("misses an opening parenthesis")?;
    let (filter, rest) = match inner.as_bytes().first() {
        Some(b'&') => list(&inner[1..], depth).map(|(parts, rest)| (Filter::And(parts), rest))?,
        Some(b'|') => list(&inner[1..], depth).map(|(parts, rest)| (Filter::Or(parts), rest))?,
        Some(b'!') => part(&inner[1..], depth + 1).map(|(part, rest)| (Filter::Not(Box::new(part)), rest))?,
        _ => {
            let end = inner.find(')').ok_or("misses a closing parenthesis")?;
            (item(&inner[..end])?, &inner[end..])
        }
    };
    Ok((filter, rest.strip_prefix(')').ok_or("misses a closing parenthesis")?))
}

fn list(mut text: &str, depth: usize) -> Result<(Vec<Filter>, &str), String> {
    let mut parts = Vec::new();
    while text.starts_with('(') {
        let (one, rest) = part(text, depth + 1)?;
        parts.push(one);
        text = rest;
    }
    if parts.is_empty() { Err("has an empty list".to_owned()) } else { Ok((parts, text)) }
}

fn item(text: &str) -> Result<Filter, String> {
    let (left, value) = text.split_once('=').ok_or("has a comparison without =")?;
    let (left, kind) = match left.as_bytes().last() {
        Some(kind @ (b'>' | b'<' | b'~' | b':')) => (&left[..left.len() - 1], *kind),
        _ => (left, b'='),
    };
    let (name, rule) = match (kind, left.split_once(':')) {
        (b':', Some((name, rule))) => (name, rule),
        (b':', None) => return Err("has := without a matching rule".to_owned()),
        _ => (left, ""),
    };
    if !is_attribute(name) || (kind == b':' && !is_attribute(rule)) {
        return Err(format!("has a comparison with {left:?}, which is no attribute"));
    }
    let name = name.to_owned();
    match kind {
        b'>' => Ok(Filter::AtLeast(name, value_of(value)?)),
        b'<' => Ok(Filter::AtMost(name, value_of(value)?)),
        b'~' => Ok(Filter::Like(name, value_of(value)?)),
        b':' => Ok(Filter::Rule(name, rule.to_owned(), value_of(value)?)),
        _ if value == "*" => Ok(Filter::Present(name)),
        _ if value.contains('*') => Ok(Filter::Pieces(name, value.split('*').map(value_of).collect::<Result<_, _>>()?)),
        _ => Ok(Filter::Equal(name, value_of(value)?)),
    }
}

fn value_of(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'\\' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err("has a backslash without two hex digits".to_owned());
                };
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
            }
            b'(' => return Err("has a parenthesis in a value; write \\28".to_owned()),
            byte => bytes.push(byte),
        }
    }
    Ok(bytes)
}

/// Whether a text can be an attribute's name or OID (RFC 4512, section 2.5), options included.
pub(super) fn is_attribute(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 200
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b';'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_read_as_the_rfc_has_it() {
        let equal = |name: &str, value: &str| Filter::equal(name, value);
        for (text, want) in [
            ("(uid=ada)", equal("uid", "ada")),
            ("uid=ada", equal("uid", "ada")),
            ("(o=Parens R Us \\28for all\\29)", equal("o", "Parens R Us (for all)")),
            ("(&(a=1)(!(b=2)))", Filter::And(vec![equal("a", "1"), Filter::Not(Box::new(equal("b", "2")))])),
            (
                "(|(a=*)(a>=3))",
                Filter::Or(vec![Filter::Present("a".into()), Filter::AtLeast("a".into(), b"3".to_vec())]),
            ),
            ("(cn=a*b*)", Filter::Pieces("cn".into(), vec![b"a".to_vec(), b"b".to_vec(), Vec::new()])),
            ("(u:1.2.840.113556.1.4.803:=2)", Filter::Rule("u".into(), "1.2.840.113556.1.4.803".into(), b"2".to_vec())),
        ] {
            assert_eq!(Filter::read(text), Ok(want), "{text}");
        }
        let deep = format!("{}(a=1){}", "(!".repeat(50), ")".repeat(50));
        for text in ["", "(", "()", "(a=1", "(a=1)x", "(&)", "(a b=1)", "(a=\\2)", "(=x)", "(a:=1)", "(a=(b)", &deep] {
            assert!(Filter::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_is_never_syntax() {
        let hostile = "*)(uid=*))(|(uid=*\0\\2a";
        let mut out = Writer::default();
        Filter::equal("uid", hostile).write(&mut out);
        let mut want = vec![0xA3, 4 + 3 + u8::try_from(hostile.len()).unwrap(), 4, 3];
        want.extend_from_slice(b"uid");
        want.extend_from_slice(&[4, u8::try_from(hostile.len()).unwrap()]);
        want.extend_from_slice(hostile.as_bytes());
        assert_eq!(out.0, want);
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "[\\PC()&|!*=\\\\:<>~]*") {
            if let Ok(filter) = Filter::read(&text) {
                filter.write(&mut Writer::default());
            }
        }
    }
}
