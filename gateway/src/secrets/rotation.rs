//! Exchanging the master key: rings of a new key before the old ones, and the key file.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{KEY_FILE, Key, KeyRing, KeyRingError, write_key_file};
use crate::keys::fill_random;

impl Key {
    fn again(&self) -> Self {
        Self { id: self.id.clone(), bytes: self.bytes.clone() }
    }
}

impl KeyRing {
    /// A ring of one new key, of the operating system's randomness.
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        fill_random(bytes.as_mut_slice());
        Self { active: Key::new(bytes), older: Vec::new() }
    }

    /// The ring of a key file that the operator made (base64 of 32 bytes; mode 0600).
    ///
    /// # Errors
    /// As [`KeyRing::load`].
    pub fn read_file(path: &Path) -> Result<Self, KeyRingError> {
        Self::from_file(path)
    }

    /// The ring that seals with this one's first key and opens what `older` opens, too.
    pub fn before(&self, older: &KeyRing) -> Self {
        let active = self.active.again();
        let older = older.all().filter(|key| key.id != active.id).map(Key::again).collect();
        Self { active, older }
    }

    /// The ring of this one's first key alone.
    pub fn alone(&self) -> Self {
        Self { active: self.active.again(), older: Vec::new() }
    }

    /// How many keys it has.
    pub fn keys(&self) -> usize {
        1 + self.older.len()
    }

    /// Writes the keys to the key file in the data directory, in the place of what is there, on the disk before it
    /// answers.
    ///
    /// # Errors
    /// [`KeyRingError::File`]; what was there is there still.
    pub fn keep_in(&self, data_dir: &Path) -> Result<(), KeyRingError> {
        let path = data_dir.join(KEY_FILE);
        let text: Zeroizing<String> =
            Zeroizing::new(self.all().map(|key| STANDARD.encode(key.bytes.as_slice())).collect::<Vec<_>>().join(","));
        write_key_file(data_dir, &path, &text, |draft, path| fs::rename(draft, path))
            .map_err(|error| KeyRingError::File { path, error })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::config::Database;

    #[test]
    fn the_key_file_is_exchanged_by_way_of_one_that_opens_both() {
        let folder = tempfile::tempdir().unwrap();
        let load = || KeyRing::load(None, folder.path(), &Database::Sqlite(folder.path().join("none.db"))).unwrap();
        let old = load();
        let sealed = old.seal("p", b"x");
        let new = KeyRing::generate().before(&old);
        new.keep_in(folder.path()).unwrap();
        let both = load();
        assert_eq!((both.keys(), both.active_id()), (2, new.active_id()));
        assert_eq!(both.open("p", &sealed).unwrap().as_slice(), b"x");
        both.alone().keep_in(folder.path()).unwrap();
        assert!(load().open("p", &sealed).is_err());
        let files: Vec<_> = fs::read_dir(folder.path()).unwrap().map(Result::unwrap).collect();
        assert_eq!(files.len(), 1, "a draft was left: {files:?}");
        assert_eq!(files[0].metadata().unwrap().mode() & 0o777, 0o600);
    }
}
