//! Names of groups at targets that take letters, digits, `-` and `_` alone.
//!
//! A directory's groups are called "R&D (EU)" where such a target wants an identifier. What is written there must be
//! readable, differ for names that differ, and tell the name again when it is read: a name that came back changed would
//! look like drift on every reconcile. So names that the target takes stay as they are, and what it does not take is
//! written with the one sign that names seldom use twice:
//!
//! | in the name | written |
//! |---|---|
//! | a letter or digit of ASCII, `-`, and `_` where it cannot be misread | itself |
//! | a blank | `__` |
//! | any other character | `_x`, its code in hexadecimal digits, `_`: `_x26_` for `&` |

/// Hexadecimal digits of the largest code of a character.
const LONGEST_CODE: usize = 6;

/// A name in letters, digits, `-` and `_`. [`plain`] reads it again; a name of nothing else stays as it is, unless it
/// would be misread.
pub fn spelled(name: &str) -> String {
    let all: Vec<char> = name.chars().collect();
    let mut made = String::with_capacity(name.len());
    for (place, &c) in all.iter().enumerate() {
        match c {
            ' ' => made.push_str("__"),
            '_' if misread(&all[place + 1..]) => code(&mut made, c),
            c if stays(c) => made.push(c),
            c => code(&mut made, c),
        }
    }
    made
}

/// The name that [`spelled`] wrote. What it did not write reads as it stands.
pub fn plain(written: &str) -> String {
    let mut name = String::with_capacity(written.len());
    let mut rest = written;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if c != '_' {
            name.push(c);
        } else if let Some(after) = rest.strip_prefix('_') {
            name.push(' ');
            rest = after;
        } else if let Some((told, after)) = coded(rest) {
            name.push(told);
            rest = after;
        } else {
            name.push('_');
        }
    }
    name
}

fn stays(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn code(made: &mut String, c: char) {
    made.push_str(&format!("_x{:x}_", u32::from(c)));
}

/// Whether a `_` before these characters would read as the beginning of something else.
fn misread(rest: &[char]) -> bool {
    let begins = |c: Option<&char>| c.is_some_and(|&c| c == '_' || !stays(c));
    match rest.first() {
        Some('x') => {
            let digits = rest[1..].iter().take_while(|c| c.is_ascii_hexdigit()).count();
            digits > 0 && digits <= LONGEST_CODE && begins(rest.get(1 + digits))
        }
        other => begins(other),
    }
}

/// The character of a code, and what stands after it.
fn coded(rest: &str) -> Option<(char, &str)> {
    let (digits, after) = rest.strip_prefix('x')?.split_once('_')?;
    if digits.is_empty() || digits.len() > LONGEST_CODE || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_an_identifier_may_hold_stays() {
        for (name, written) in [
            ("platform-eng", "platform-eng"),
            ("data_team", "data_team"),
            ("_x", "_x"),
            ("data_xray_eu", "data_xray_eu"),
            ("Platform Engineering", "Platform__Engineering"),
            ("R&D (EU)", "R_x26_D___x28_EU_x29_"),
            ("Büro", "B_xfc_ro"),
            ("a__b", "a_x5f__b"),
            ("a_ b", "a_x5f___b"),
            ("a_xab_b", "a_x5f_xab_b"),
            ("end_", "end_"),
        ] {
            assert_eq!(spelled(name), written);
            assert_eq!(plain(written), name);
        }
    }

    #[test]
    fn what_was_not_written_here_reads_as_it_stands() {
        for written in ["_", "_x_", "_xzz_", "_x1234567_", "_xd800_", "_x110000_", "ä_ö"] {
            assert_eq!(plain(written), written);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_read_again_and_differs_from_any_other(name in "([_x0-9a-f \\-]|\\PC){0,24}") {
            let written = spelled(&name);
            prop_assert!(written.chars().all(stays), "{written}");
            prop_assert_eq!(plain(&written), name);
        }
    }
}
