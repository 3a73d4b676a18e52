//! Distinguished names as text (RFC 4514).

use std::fmt::Write as _;

/// A value as it stands in a distinguished name (RFC 4514, section 2.4).
pub(super) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => {
                out.push('\\');
                out.push(c);
            }
            '#' if at == 0 => out.push_str("\\#"),
            ' ' if at == 0 || at == last => out.push_str("\\ "),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    // Writing to a string does not fail.
                    let _ = write!(out, "\\{byte:02X}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// One part of a name: its attribute and value pairs, in canonical form and order.
type Part = Vec<(String, String)>;

/// A name in a form that compares: attributes and values without case, runs of blanks as one
/// (the rules of `distinguishedNameMatch` over `caseIgnoreMatch`, which the naming attributes in
/// use have). `None` for what is no name.
pub(super) fn canonical(dn: &str) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    if dn.trim().is_empty() {
        return Some(parts);
    }
    for part in split(dn, |c| c == ',' || c == ';') {
        let mut pairs = Vec::new();
        for pair in split(part, |c| c == '+') {
            let cut = pair.find('=')?;
            let name = pair[..cut].trim();
            if name.is_empty() {
                return None;
            }
            pairs.push((name.to_lowercase(), fold(&unescape(&pair[cut + 1..])?)));
        }
        pairs.sort();
        parts.push(pairs);
    }
    Some(parts)
}

/// Whether two texts are the same name.
pub(super) fn same(one: &str, other: &str) -> bool {
    match (canonical(one), canonical(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// Whether a name is this base or lies below it.
pub(super) fn within(dn: &str, base: &str) -> bool {
    match (canonical(dn), canonical(base)) {
        (Some(dn), Some(base)) => dn.ends_with(&base),
        _ => false,
    }
}

/// The name's first part as written: `uid=ada`.
pub(super) fn rdn(dn: &str) -> &str {
    split(dn, |c| c == ',' || c == ';').next().unwrap_or(dn)
}

/// The value of an attribute in the name's first part.
pub(super) fn rdn_value(dn: &str, attribute: &str) -> Option<String> {
    split(rdn(dn), |c| c == '+').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case(attribute).then(|| unescape(value)).flatten()
    })
}

/// What follows the first part.
pub(super) fn parent(dn: &str) -> &str {
    dn.get(rdn(dn).len() + 1..).unwrap_or_default()
}

/// The pieces between separators that are not escaped or quoted.
fn split(text: &str, separates: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let mut cuts = vec![0];
    let mut escaped = false;
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            c if !quoted && separates(c) => cuts.push(at + 1),
            _ => {}
        }
    }
    cuts.push(text.len() + 1);
    let mut pieces = Vec::with_capacity(cuts.len() - 1);
    for pair in cuts.windows(2) {
        if let [from, to] = pair {
            pieces.push(text.get(*from..to - 1).unwrap_or_default());
        }
    }
    pieces.into_iter()
}

/// A value without its escapes; blanks around it that are not escaped do not belong to it.
fn unescape(text: &str) -> Option<String> {
    let text = text.trim_start();
    if let Some(hex) = text.strip_prefix('#') {
        // The BER form of a value: compared as it is written.
        return Some(format!("#{}", hex.trim_end().to_lowercase()));
    }
    let text = text.strip_prefix('"').and_then(|rest| rest.trim_end().strip_suffix('"')).unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len());
    let mut kept = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\' {
            let first = chars.next()?;
            if let (Some(high), Some(low)) = (first.to_digit(16), chars.clone().next().and_then(|c| c.to_digit(16))) {
                chars.next();
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            } else {
                bytes.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
            }
            kept = bytes.len();
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            if c != ' ' {
                kept = bytes.len();
            }
        }
    }
    bytes.truncate(kept);
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Without case, runs of blanks as one.
fn fold(value: &str) -> String {
    value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ").to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOSTILE: &[&str] = &[
        "a,ou=admins",
        "a+cn=root",
        "#04024869",
        " lead",
        "trail ",
        "  ",
        "back\\slash",
        "\"quoted\"",
        "a=b",
        "<>;",
        "nul\0byte",
        "new\nline",
        "\\2c",
        "Ünï, çode",
        "\\",
        "\u{1F600},x",
    ];

    #[test]
    fn hostile_values_stay_in_their_part() {
        for value in HOSTILE {
            let dn = format!("uid={},ou=people,dc=example", escape(value));
            assert_eq!(canonical(&dn).unwrap().len(), 3, "{dn}");
            assert_eq!(rdn_value(&dn, "UID").as_deref(), Some(*value), "{dn}");
            assert_eq!(parent(&dn), "ou=people,dc=example", "{dn}");
            assert!(within(&dn, "OU=People, DC=Example") && !within(&dn, "ou=admins,dc=example"));
        }
    }

    #[test]
    fn names_compare_as_the_server_compares_them() {
        for (one, other, same_name) in [
            ("uid=ada,dc=x", "UID=Ada, DC=X", true),
            ("cn=A  B,dc=x", "cn=a b,dc=x", true),
            ("cn=a+sn=b,dc=x", "sn=b+cn=a,dc=x", true),
            ("cn=a\\2cb,dc=x", "cn=a\\,b,dc=x", true),
            ("cn=a,dc=x", "cn=a,dc=y", false),
            ("cn=a,dc=x", "dc=x", false),
            ("no name", "no name", false),
        ] {
            assert_eq!(same(one, other), same_name, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in "\\PC*", blanks in 0..3_usize) {
            let value = format!("{}{value}", " ".repeat(blanks));
            let dn = format!("cn={},dc=x", escape(&value));
            prop_assert_eq!(rdn_value(&dn, "cn"), Some(value));
            prop_assert_eq!(parent(&dn), "dc=x");
        }

        #[test]
        fn no_text_makes_reading_panic(text in "[\\PC\\\\,+#\"=; ]*") {
            let _ = (canonical(&text), rdn(&text), parent(&text), rdn_value(&text, "cn"));
        }
    }
}
