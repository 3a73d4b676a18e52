//! API keys: their form, how they are made, and how a presented one is checked.
//!
//! A key is `scg_`, a letter for its type, `_`, an 8-character id, `_`, 43 characters of base62
//! (256 bits) and 6 characters of base62 that hold the CRC-32 of all before. The checksum lets us
//! refuse garbage without a look into the store, and lets secret scanners tell a real key from
//! chance. The store keeps the id and a keyed hash, never the key.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// What a key opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// The SCIM surface of one instance.
    Instance,
    /// The admin API.
    Admin,
    /// The page of one hand-over link.
    Handover,
}

impl KeyType {
    fn letter(self) -> char {
        match self {
            Self::Instance => 'i',
            Self::Admin => 'a',
            Self::Handover => 'h',
        }
    }

    fn from_letter(letter: &str) -> Option<Self> {
        match letter {
            "i" => Some(Self::Instance),
            "a" => Some(Self::Admin),
            "h" => Some(Self::Handover),
            _ => None,
        }
    }
}

/// A new key. Its text is shown once and kept nowhere.
pub struct ApiKey {
    /// Its public id, by which the store finds the hash.
    pub key_id: String,
    /// The whole key, for the one answer that shows it.
    pub secret: SecretString,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// What can be read off a well-formed key without the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedKey {
    /// What it opens, if it is genuine.
    pub kind: KeyType,
    /// Its public id.
    pub key_id: String,
}

const PREFIX: &str = "scg_";
const ID: usize = 8;
const RANDOM: usize = 43;
const CHECKSUM: usize = 6;
/// The length of every key.
pub const KEY_LENGTH: usize = PREFIX.len() + 2 + ID + 1 + RANDOM + CHECKSUM;

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl ApiKey {
    /// Makes a key from the operating system's randomness.
    pub fn generate(kind: KeyType) -> Self {
        let key_id = random_text(ID);
        let mut text = format!("{PREFIX}{}_{key_id}_{}", kind.letter(), random_text(RANDOM));
        let checksum = checksum(text.as_bytes());
        text.push_str(&checksum);
        Self { key_id, secret: SecretString::from(text) }
    }

    /// The whole key, for the one answer that shows it.
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }
}

/// Reads a presented key. `None` for anything that was never a key of ours: wrong length, foreign
/// characters, wrong checksum. Says nothing of whether the key exists.
pub fn parse(presented: &str) -> Option<ParsedKey> {
    if presented.len() != KEY_LENGTH || !presented.is_ascii() {
        return None;
    }
    let (body, check) = presented.split_at_checked(KEY_LENGTH - CHECKSUM)?;
    if checksum(body.as_bytes()) != check {
        return None;
    }
    let mut parts = body.strip_prefix(PREFIX)?.split('_');
    let kind = KeyType::from_letter(parts.next()?)?;
    let key_id = parts.next().filter(|id| id.len() == ID && is_base62(id))?;
    parts.next().filter(|random| random.len() == RANDOM && is_base62(random))?;
    if parts.next().is_some() {
        return None;
    }
    Some(ParsedKey { kind, key_id: key_id.to_owned() })
}

/// The hash that the store keeps: HMAC-SHA-256 of the whole key under the pepper, in hex. A plain
/// keyed hash is enough, because keys are random; it costs microseconds on every request.
///
/// An admin token that an operator chose (any text) is hashed the same way.
pub fn hash(pepper: &[u8; 32], key: &str) -> String {
    use fmt::Write;
    let tag = mac(pepper, key.as_bytes());
    tag.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Whether a presented key has the stored hash. Takes the same time wherever they differ.
pub fn verify(pepper: &[u8; 32], presented: &str, stored: &str) -> bool {
    hash(pepper, presented).as_bytes().ct_eq(stored.as_bytes()).into()
}

/// HMAC-SHA-256.
pub(crate) fn mac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Fills a buffer from the operating system's randomness.
pub(crate) fn fill_random(buffer: &mut [u8]) {
    SysRng.try_fill_bytes(buffer).expect("the operating system has a source of randomness");
}

/// Unbiased base62 characters: bytes of 248 and more are thrown away (248 is 4 x 62).
pub(crate) fn random_text(length: usize) -> String {
    let mut text = String::with_capacity(length);
    let mut bytes = [0_u8; 64];
    while text.len() < length {
        fill_random(&mut bytes);
        let fit = bytes.iter().filter(|byte| **byte < 248).take(length - text.len());
        text.extend(fit.map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    }
    text
}

fn is_base62(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn checksum(bytes: &[u8]) -> String {
    let mut rest = crc32(bytes);
    let mut text = [b'0'; CHECKSUM];
    for place in text.iter_mut().rev() {
        *place = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    text.iter().map(|byte| char::from(*byte)).collect()
}

/// CRC-32 as in ISO 3309 (the one of zip and PNG).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEPPER: [u8; 32] = [7; 32];

    #[test]
    fn crc32_has_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn a_key_has_the_published_form_and_reads_back() {
        for kind in [KeyType::Instance, KeyType::Admin] {
            let key = ApiKey::generate(kind);
            let text = key.expose();
            assert_eq!(text.len(), KEY_LENGTH);
            assert!(text.starts_with(&format!("scg_{}_{}_", kind.letter(), key.key_id)));
            assert_eq!(parse(text), Some(ParsedKey { kind, key_id: key.key_id.clone() }));
        }
    }

    #[test]
    fn keys_differ() {
        let keys: std::collections::BTreeSet<String> =
            (0..100).map(|_| ApiKey::generate(KeyType::Instance).expose().to_owned()).collect();
        assert_eq!(keys.len(), 100);
    }

    #[test]
    fn no_altered_key_is_read_or_verified() {
        let key = ApiKey::generate(KeyType::Instance);
        let text = key.expose();
        let stored = hash(&PEPPER, text);
        assert!(verify(&PEPPER, text, &stored));
        assert!(!verify(&[8; 32], text, &stored));
        assert!(!verify(&PEPPER, text, ""));
        let mut altered = Vec::new();
        for at in 0..text.len() {
            altered.push(format!("{}{}", &text[..at], &text[at + 1..]));
            altered.push(format!("{}x{}", &text[..at], &text[at..]));
            for other in ['x', '0', '_', '.', 'é', '\u{0}'] {
                altered.push(format!("{}{other}{}", &text[..at], &text[at + 1..]));
            }
            let mut flipped = text.as_bytes().to_vec();
            flipped[at] ^= 0x20;
            altered.push(String::from_utf8_lossy(&flipped).into_owned());
        }
        altered.push(format!("{text}0"));
        altered.push(format!(" {text}"));
        altered.push(String::new());
        for other in altered.iter().filter(|other| *other != text) {
            assert_eq!(parse(other), None, "{other:?} was read");
            assert!(!verify(&PEPPER, other, &stored), "{other:?} was verified");
        }
    }

    #[test]
    fn a_valid_checksum_does_not_excuse_a_wrong_form() {
        for body in [
            format!("scg_x_{}_{}", "A".repeat(8), "B".repeat(43)),
            format!("scg_i_{}_{}", "A".repeat(7), "B".repeat(44)),
            format!("scg_i_{}_{}", "A-AAAAAA", "B".repeat(43)),
            format!("scg_i_{}_{}_", "A".repeat(8), "B".repeat(42)),
            format!("SCG_i_{}_{}", "A".repeat(8), "B".repeat(43)),
        ] {
            let key = format!("{body}{}", checksum(body.as_bytes()));
            assert_eq!(key.len(), KEY_LENGTH);
            assert_eq!(parse(&key), None, "{key}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = ApiKey::generate(KeyType::Admin);
        assert!(!format!("{key:?}").contains(key.expose()));
    }
}
