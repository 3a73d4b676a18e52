//! Credentials at rest: the key ring, and sealing under it.
//!
//! A sealed value is `v1.<key id>.<base64 of nonce and ciphertext>`, XChaCha20-Poly1305 with a
//! random nonce of 24 bytes (random nonces of that length need no counting). The place a value
//! belongs to is its associated data, so a value that was moved to another row does not open there.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::config::Database;
use crate::keys::{fill_random, mac};

mod rotation;

/// The name of the key file in the data directory.
pub const KEY_FILE: &str = "master.key";

const VERSION: &str = "v1";
const NONCE: usize = 24;
const TAG: usize = 16;
const CHECK_PLACE: &str = "check";
const CHECK_VALUE: &[u8] = b"scimgate";
/// More keys in one ring than anyone rotates through; bounds what a file can make us read.
const MAX_KEYS: usize = 16;
const MAX_KEY_FILE: u64 = 4096;

/// Why there is no key ring; without one the gateway does not start.
#[derive(Debug, Error)]
pub enum KeyRingError {
    /// A key is not base64 of 32 bytes.
    #[error("{place}: key {number} is not the base64 of 32 bytes. Make one with: head -c 32 /dev/urandom | base64")]
    NotAKey {
        /// Where it stands: the name of the setting, or the file.
        place: String,
        /// Which one, from 1.
        number: usize,
    },
    /// There are more keys than a ring holds.
    #[error("{place}: more than {MAX_KEYS} keys. Remove old ones that seal nothing any more.")]
    TooMany {
        /// Where they stand.
        place: String,
    },
    /// PostgreSQL is used and no key was given.
    #[error(
        "SCIMGATE_MASTER_KEY is not set. With PostgreSQL it is required, because every replica needs the same key: set it to the base64 of 32 bytes (head -c 32 /dev/urandom | base64)."
    )]
    Required,
    /// Other users of the machine could read the key file.
    #[error("{}: other users can read the key file (mode {mode:04o}). Run: chmod 600 {}", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The database was set up with a key that is not there any more.
    #[error(
        "{}: there is no such key file, but the database exists, and its credentials are sealed under the key that it was set up with. Put that file back (mode 0600), or give the key as SCIMGATE_MASTER_KEY.", path.display()
    )]
    Lost {
        /// Where the file should be.
        path: PathBuf,
    },
    /// The key file or its directory cannot be read or written.
    #[error("{}: {error}. The key file must be readable and writable by the user that runs scimgate.", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
}

/// Why a sealed value does not open.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SealError {
    /// It does not have the form of a sealed value.
    #[error("A stored secret has not the form of a sealed value. Enter the credential again.")]
    Malformed,
    /// It was sealed under a key that is not in the ring.
    #[error(
        "A stored secret was sealed under the master key {key_id}, which is not configured. Add that key to SCIMGATE_MASTER_KEY, after the active one."
    )]
    UnknownKey {
        /// The id of the missing key.
        key_id: String,
    },
    /// It was changed since it was sealed, or was sealed for another place.
    #[error(
        "A stored secret does not open where it stands: it was changed, or moved here from another instance, connector or field. Enter the credential again, and find out who writes to the database."
    )]
    Refused,
}

/// The place of one credential of an instance, as [`KeyRing::seal`] wants it.
pub fn sealed_name(instance_id: &str, connector: &str, field: &str) -> String {
    format!("instance/{instance_id}/connector/{connector}/field/{field}")
}

struct Key {
    id: String,
    bytes: Zeroizing<[u8; 32]>,
}

/// The master keys. The first seals; every one opens.
pub struct KeyRing {
    active: Key,
    older: Vec<Key>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("ids", &self.ids().collect::<Vec<_>>()).finish()
    }
}

/// The associated data of a value: the form and key it is sealed under, and its place.
fn place(key: &Key, name: &str) -> Vec<u8> {
    format!("{}\n{name}", key.header()).into_bytes()
}

impl KeyRing {
    /// The ring that `SCIMGATE_MASTER_KEY` holds: base64 keys of 32 bytes, separated by commas.
    ///
    /// # Errors
    /// [`KeyRingError::NotAKey`] and [`KeyRingError::TooMany`].
    pub fn from_text(text: &SecretString) -> Result<Self, KeyRingError> {
        Self::parse(text.expose_secret(), "SCIMGATE_MASTER_KEY")
    }

    /// The ring of a gateway that starts: from the setting; else, with the embedded database, from
    /// the file `master.key` in the data directory, which is made (mode 0600) if it is not there.
    ///
    /// # Errors
    /// Any [`KeyRingError`]; without a key the gateway must not start.
    pub fn load(setting: Option<&SecretString>, data_dir: &Path, database: &Database) -> Result<Self, KeyRingError> {
        if let Some(setting) = setting {
            return Self::from_text(setting);
        }
        if !database.embedded() {
            return Err(KeyRingError::Required);
        }
        let path = data_dir.join(KEY_FILE);
        match fs::metadata(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !database.is_new() => {
                return Err(KeyRingError::Lost { path });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                create_key_file(data_dir, &path).map_err(|error| KeyRingError::File { path: path.clone(), error })?;
            }
            _ => {}
        }
        Self::from_file(&path)
    }

    fn from_file(path: &Path) -> Result<Self, KeyRingError> {
        let failed = |error| KeyRingError::File { path: path.to_owned(), error };
        let metadata = fs::metadata(path).map_err(failed)?;
        let mode = metadata.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyRingError::Readable { path: path.to_owned(), mode });
        }
        if metadata.len() > MAX_KEY_FILE {
            return Err(KeyRingError::TooMany { place: path.display().to_string() });
        }
        let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
        Self::parse(&text, &path.display().to_string())
    }

    fn parse(text: &str, place: &str) -> Result<Self, KeyRingError> {
        let mut keys = Vec::new();
        for (at, word) in text.trim().split(',').enumerate() {
            if at >= MAX_KEYS {
                return Err(KeyRingError::TooMany { place: place.to_owned() });
            }
            let not_a_key = || KeyRingError::NotAKey { place: place.to_owned(), number: at + 1 };
            let decoded = Zeroizing::new(STANDARD.decode(word.trim()).map_err(|_| not_a_key())?);
            let mut bytes = Zeroizing::new([0_u8; 32]);
            if decoded.len() != bytes.len() {
                return Err(not_a_key());
            }
            bytes.copy_from_slice(&decoded);
            keys.push(Key::new(bytes));
        }
        let mut keys = keys.into_iter();
        match keys.next() {
            Some(active) => Ok(Self { active, older: keys.collect() }),
            None => Err(KeyRingError::NotAKey { place: place.to_owned(), number: 1 }),
        }
    }

    /// The ids of the keys, the active one first. An id says nothing of its key.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(|key| key.id.as_str())
    }

    /// The id of the key that seals.
    pub fn active_id(&self) -> &str {
        &self.active.id
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.active).chain(&self.older)
    }

    /// Seals a value for a place (see [`sealed_name`]).
    pub fn seal(&self, aad: &str, plain: &[u8]) -> String {
        let mut nonce = [0_u8; NONCE];
        fill_random(&mut nonce);
        let sealed = self
            .active
            .cipher()
            .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad: &place(&self.active, aad) })
            .expect("a value in memory is far below the cipher's 256 GiB");
        let mut blob = nonce.to_vec();
        blob.extend_from_slice(&sealed);
        format!("{}{}", self.active.header(), STANDARD.encode(blob))
    }

    /// Opens a sealed value at its place.
    ///
    /// # Errors
    /// [`SealError`], which tells a missing key from a moved and from a changed value.
    pub fn open(&self, aad: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let mut parts = sealed.splitn(3, '.');
        let (Some(VERSION), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealError::Malformed);
        };
        if id.len() != KEY_ID || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SealError::Malformed);
        }
        let blob = STANDARD.decode(blob).map_err(|_| SealError::Malformed)?;
        let (nonce, ciphertext) = blob.split_first_chunk::<NONCE>().ok_or(SealError::Malformed)?;
        if ciphertext.len() < TAG {
            return Err(SealError::Malformed);
        }
        let key = self.all().find(|key| key.id == id).ok_or_else(|| SealError::UnknownKey { key_id: id.to_owned() })?;
        let payload = Payload { msg: ciphertext, aad: &place(key, aad) };
        let plain = key.cipher().decrypt(&XNonce::from(*nonce), payload).map_err(|_| SealError::Refused)?;
        Ok(Zeroizing::new(plain))
    }

    /// A secret of its own for one purpose, from the active key: the pepper of API keys.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        self.active.derive(label)
    }

    /// The same from every key, active first: what was made under an older key is still recognised.
    pub fn derive_each(&self, label: &str) -> Vec<[u8; 32]> {
        self.all().map(|key| key.derive(label)).collect()
    }

    /// A known value, sealed. Kept in the store, it tells a wrong key at start-up.
    pub fn seal_check(&self) -> String {
        self.seal(CHECK_PLACE, CHECK_VALUE)
    }

    /// Whether this ring opens the store's check value.
    ///
    /// # Errors
    /// As [`KeyRing::open`]; the gateway must not start.
    pub fn open_check(&self, sealed: &str) -> Result<(), SealError> {
        let value = self.open(CHECK_PLACE, sealed)?;
        if value.as_slice() == CHECK_VALUE { Ok(()) } else { Err(SealError::Refused) }
    }
}

const KEY_ID: usize = 8;

impl Key {
    fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let id = mac(&bytes, b"scimgate key id").iter().take(KEY_ID / 2).map(|byte| format!("{byte:02x}")).collect();
        Self { id, bytes }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        let mut bytes = *self.bytes;
        let cipher = XChaCha20Poly1305::new(&bytes.into());
        bytes.zeroize();
        cipher
    }

    fn header(&self) -> String {
        format!("{VERSION}.{}.", self.id)
    }

    fn derive(&self, label: &str) -> [u8; 32] {
        mac(&self.bytes, format!("scimgate derive {label}").as_bytes())
    }
}

/// Makes the file under another name first and links it into place: a crash leaves no half key, and
/// of two processes that start at once both end up with the same one.
fn create_key_file(data_dir: &Path, path: &Path) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(data_dir)?;
    let mut bytes = Zeroizing::new([0_u8; 32]);
    fill_random(bytes.as_mut_slice());
    let text = Zeroizing::new(STANDARD.encode(bytes.as_slice()));
    write_key_file(data_dir, path, &text, |draft, path| match fs::hard_link(draft, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::remove_file(draft),
    })
}

/// Writes keys to a file of another name, which `place` then moves to its place.
fn write_key_file(
    data_dir: &Path,
    path: &Path,
    keys: &str,
    place: impl FnOnce(&Path, &Path) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut suffix = [0_u8; 8];
    fill_random(&mut suffix);
    let draft = path.with_extension(format!("{:016x}", u64::from_be_bytes(suffix)));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        let line = Zeroizing::new(format!("{keys}\n"));
        file.write_all(line.as_bytes())?;
        file.sync_all()?;
        place(&draft, path)?;
        fs::File::open(data_dir)?.sync_all()
    })();
    if written.is_err() {
        // What went wrong says more than that a draft could not be removed.
        let _ = fs::remove_file(&draft);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key(byte: u8) -> String {
        STANDARD.encode([byte; 32])
    }

    fn fresh() -> Database {
        Database::Sqlite("/nonesuch/scimgate.db".into())
    }

    fn ring(keys: &[u8]) -> KeyRing {
        let text = keys.iter().map(|byte| key(*byte)).collect::<Vec<_>>().join(",");
        KeyRing::from_text(&SecretString::from(text)).unwrap()
    }

    #[test]
    fn seals_and_opens_in_its_place_only() {
        let ring = ring(&[1]);
        let place = sealed_name("a", "github", "token");
        let sealed = ring.seal(&place, b"s3cret");
        assert!(sealed.starts_with(&format!("v1.{}.", ring.active_id())));
        assert_eq!(ring.open(&place, &sealed).unwrap().as_slice(), b"s3cret");
        assert_eq!(ring.open(&place, &ring.seal(&place, b"")).unwrap().as_slice(), b"");
        for (instance, connector, field) in
            [("b", "github", "token"), ("a", "buildkite", "token"), ("a", "github", "key")]
        {
            let other = sealed_name(instance, connector, field);
            assert_eq!(ring.open(&other, &sealed), Err(SealError::Refused));
        }
        assert_ne!(sealed, ring.seal(&place, b"s3cret"), "nonces repeat");
    }

    #[test]
    fn a_ring_opens_what_any_of_its_keys_sealed_and_seals_with_the_first() {
        let old = ring(&[1]);
        let sealed = old.seal("p", b"x");
        let both = ring(&[2, 1]);
        assert_eq!(both.open("p", &sealed).unwrap().as_slice(), b"x");
        assert!(ring(&[2]).open("p", &both.seal("p", b"y")).is_ok());
        assert_eq!(ring(&[2]).open("p", &sealed), Err(SealError::UnknownKey { key_id: old.active_id().to_owned() }));
        assert_eq!(both.derive_each("pepper"), [ring(&[2]).derive("pepper"), old.derive("pepper")]);
        assert_ne!(both.derive("pepper"), both.derive("other"));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let ring = ring(&[1]);
        let sealed = ring.seal("p", b"s3cret");
        let header = ring.active.header();
        let blob = STANDARD.decode(&sealed[header.len()..]).unwrap();
        for at in 0..blob.len() {
            let mut changed = blob.clone();
            changed[at] ^= 1;
            let text = format!("{header}{}", STANDARD.encode(changed));
            assert_eq!(ring.open("p", &text), Err(SealError::Refused), "byte {at}");
        }
        for at in 0..blob.len() {
            let text = format!("{header}{}", STANDARD.encode(&blob[..at]));
            assert!(ring.open("p", &text).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn garbage_is_malformed() {
        let ring = ring(&[1]);
        for text in ["", ".", "..", "v1", "v1..", "v2.00000000.AAAA", "v1.zzzzzzzz.AAAA", "v1.00000000.!"] {
            assert_eq!(ring.open("p", text), Err(SealError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn the_check_value_tells_a_wrong_key() {
        let sealed = ring(&[1]).seal_check();
        assert_eq!(ring(&[2, 1]).open_check(&sealed), Ok(()));
        assert!(matches!(ring(&[3]).open_check(&sealed), Err(SealError::UnknownKey { .. })));
        assert_eq!(ring(&[1]).open_check(&ring(&[1]).seal("p", CHECK_VALUE)), Err(SealError::Refused));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for text in ["", "x", "AAAA", &format!("{},", key(1)), &format!("{},short", key(1))] {
            let error = KeyRing::from_text(&SecretString::from(text.to_owned())).unwrap_err();
            assert!(matches!(error, KeyRingError::NotAKey { .. }), "{text:?}: {error}");
            assert!(error.to_string().contains("SCIMGATE_MASTER_KEY"));
        }
        let many = vec![key(1); MAX_KEYS + 1].join(",");
        let error = KeyRing::from_text(&SecretString::from(many)).unwrap_err();
        assert!(matches!(error, KeyRingError::TooMany { .. }));
    }

    #[test]
    fn the_key_file_is_made_once_with_0600() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("deep/data");
        let first = KeyRing::load(None, &data, &fresh()).unwrap();
        let path = data.join(KEY_FILE);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 1, "a draft was left");
        let again = KeyRing::load(None, &data, &fresh()).unwrap();
        assert_eq!(first.active_id(), again.active_id());
        let given = KeyRing::load(Some(&SecretString::from(key(9))), &data, &fresh()).unwrap();
        assert_ne!(given.active_id(), first.active_id());
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        KeyRing::load(None, dir.path(), &fresh()).unwrap();
        let path = dir.path().join(KEY_FILE);
        for mode in [0o640, 0o604, 0o644, 0o610] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = KeyRing::load(None, dir.path(), &fresh()).unwrap_err();
            assert!(matches!(error, KeyRingError::Readable { .. }), "{mode:o}: {error}");
        }
    }

    #[test]
    fn no_key_no_start() {
        let dir = tempfile::tempdir().unwrap();
        let error =
            KeyRing::load(None, dir.path(), &Database::Postgres("postgres://db".to_owned().into())).unwrap_err();
        assert!(error.to_string().starts_with("SCIMGATE_MASTER_KEY"), "{error}");
        let path = dir.path().join(KEY_FILE);
        fs::write(&path, "not a key").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = KeyRing::load(None, dir.path(), &fresh()).unwrap_err();
        assert!(matches!(error, KeyRingError::NotAKey { .. }), "{error}");
    }

    #[test]
    fn a_database_that_lost_its_key_file_gets_no_other_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scimgate.db");
        fs::write(&path, "").unwrap();
        let database = Database::Sqlite(path);
        let error = KeyRing::load(None, dir.path(), &database).unwrap_err();
        assert!(matches!(error, KeyRingError::Lost { .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was made");
        KeyRing::load(Some(&SecretString::from(key(9))), dir.path(), &database).unwrap();
    }

    #[test]
    fn debug_shows_ids_only() {
        let ring = ring(&[1]);
        assert!(!format!("{ring:?}").contains(&key(1)));
    }
}
