//! The written forms of texts (RFC 7643 sections 2.3.7 and 4.1).
//!
//! What is certainly wrong is always refused: a reference that is no URI, or two certificates in one value. The forms
//! that section 4.1 recommends (language tags, time zones, countries, telephone numbers) are insisted on in strict
//! mode only: identity providers send what a person once typed into a form (`"locale": "L"`, `"country":
//! "Gibraltar"`), values are kept byte for byte, and refusing a person for the spelling of a country keeps nobody
//! safe.
use base64::Engine as _;

use crate::schema::{Attribute, Syntax};

/// Why a text cannot be a value of an attribute: the end of the sentence "expected …". None: it can.
pub(crate) fn fault(attr: &Attribute, text: &str, strict: bool) -> Option<&'static str> {
    match attr.syntax? {
        Syntax::Certificate => certificate(text, strict),
        _ if !strict || text.is_empty() => None,
        Syntax::Language => (!language(text)).then_some("a language tag such as \"en-US\" (RFC 5646)"),
        Syntax::TimeZone => (!time_zone(text)).then_some("a time zone such as \"Europe/Berlin\""),
        Syntax::Country => (!(text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase())))
            .then_some("a country as two capital letters (ISO 3166-1 alpha-2)"),
        Syntax::Telephone => {
            (!telephone(text)).then_some("a telephone number (RFC 3966) such as \"tel:+1-201-555-0123\"")
        }
    }
}

/// Whether a text may be a URI or a relative reference. Characters outside ASCII pass (RFC 3987); blanks, control
/// characters and the delimiters that RFC 3986 leaves out do not.
pub fn is_reference(text: &str) -> bool {
    !text.chars().any(|c| c.is_whitespace() || c.is_control() || "<>\"{}|\\^`".contains(c))
}

/// Whether a reference has no scheme, so that it is resolved against a base (RFC 3986 section 4.2).
pub fn is_relative(text: &str) -> bool {
    let scheme = text.split([':', '/', '?', '#']).next().unwrap_or_default();
    let absolute = text[scheme.len()..].starts_with(':')
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    !absolute
}

/// `en`, `en-US`, `zh-Hant-TW`; also a list with weights as in `Accept-Language`.
fn language(text: &str) -> bool {
    text.split(',').all(|range| {
        let tag = range.split(';').next().unwrap_or_default().trim().replace('_', "-");
        let mut parts = tag.split('-');
        parts
            .next()
            .is_some_and(|first| (2..=8).contains(&first.len()) && first.bytes().all(|b| b.is_ascii_alphabetic()))
            && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
    })
}

/// The form of names in IANA's time zone database: `Area/Location`, or one of the old single words.
fn time_zone(text: &str) -> bool {
    text.len() <= 64
        && text
            .split('/')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b)))
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn telephone(text: &str) -> bool {
    let number = text.strip_prefix("tel:").unwrap_or(text);
    let digits = number.split(';').next().unwrap_or_default();
    digits.bytes().any(|b| b.is_ascii_digit())
        && digits.char_indices().all(|(n, c)| c.is_ascii_digit() || "-. ()*#".contains(c) || (n == 0 && c == '+'))
}

/// One certificate is one DER sequence that fills the value. What is no sequence at all is refused in strict mode;
/// that it is base64 has been seen already.
fn certificate(text: &str, strict: bool) -> Option<&'static str> {
    let plain: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(&plain).ok()?;
    match der_length(&der) {
        Some(length) if length < der.len() => Some("one certificate per value"),
        Some(length) if length > der.len() && strict => Some("a whole DER certificate"),
        None if strict => Some("a DER certificate"),
        _ => None,
    }
}

/// The length of the DER sequence that bytes begin with, its head included (ITU-T X.690 section 8.1.3).
fn der_length(der: &[u8]) -> Option<usize> {
    let (&0x30, rest) = der.split_first()? else { return None };
    let (&first, rest) = rest.split_first()?;
    if first < 0x80 {
        return Some(2 + usize::from(first));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return None;
    }
    let length = rest.get(..count)?.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    length.checked_add(2 + count)
}
