//! Comparing names and text without case.
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use precis_profiles::{OpaqueString, UsernameCaseMapped};

/// The key under which a user name is unique and found.
///
/// PRECIS `UsernameCaseMapped` (RFC 8265 section 3.3) where the profile takes the name, so full-width and
/// composed spellings of one name give one key. A name the profile refuses (with a space, say) is mapped to
/// narrow width, lower case and NFC instead: clients store such names too, and they need a key all the same.
pub fn fold_name(name: &str) -> String {
    if name.bytes().all(|b| (0x21..=0x7e).contains(&b)) {
        return name.to_ascii_lowercase();
    }
    if let Ok(folded) = UsernameCaseMapped::enforce(name) {
        return folded.into_owned();
    }
    let narrow: String = name.chars().map(narrow).collect();
    let lower = narrow.to_lowercase();
    match OpaqueString::enforce(lower.as_str()) {
        Ok(normal) => normal.into_owned(),
        Err(_) => lower,
    }
}

/// The key for attributes whose `caseExact` is false: lower case, nothing else.
pub fn fold_text(text: &str) -> String {
    if text.is_ascii() { text.to_ascii_lowercase() } else { text.to_lowercase() }
}

/// Full-width ASCII and the ideographic space, as their ordinary characters.
fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_name_collide() {
        let check = |a: &str, b: &str| assert_eq!(fold_name(a), fold_name(b), "{a:?} {b:?}");
        check("Alice@Example.com", "alice@example.COM");
        check("\u{ff21}lice", "alice"); // full-width A
        check("Zo\u{eb}", "zoe\u{308}"); // composed and decomposed
        check("ANNA \u{ff22}", "anna b"); // with a space: outside the profile
        check("JOSE\u{301} X", "jos\u{e9} x");
        assert_ne!(fold_name("john.doe"), fold_name("johnxdoe"));
        assert_eq!(fold_name(""), "");
    }

    proptest! {
        #[test]
        fn never_panics_and_ascii_case_never_matters(s in "\\PC{0,40}", t in "[ -~]{0,20}") {
            let _ = fold_name(&s);
            let _ = fold_text(&s);
            prop_assert_eq!(fold_name(&t), fold_name(&t.to_ascii_uppercase()));
        }
    }
}
