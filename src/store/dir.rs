//! A directory of sealed files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::io_words;

use super::cipher::{Cipher, Fingerprint};
use super::key_store::{KeyBytes, KeyError, KeyStore, new_key};
use super::lock;
use super::permissions::{FileCheck, check_directory, own_and_tighten, read_private};
use super::store_error::StoreError;

/// Extension of a lock.
pub(crate) const LOCK: &str = "lock";
/// The lock under which a key is made, and what takes no time is done alone.
pub(crate) const KEY_LOCK: &str = "key.lock";

/// A directory of encrypted files, with its key in hand.
pub(crate) struct EncryptedDir {
    directory: PathBuf,
    cipher: Cipher,
    /// No file here comes near this many bytes.
    limit: u64,
}

impl EncryptedDir {
    /// What is in `directory`; `None` where there is nothing yet, or nothing that can be read: that is left to
    /// [`Self::create`], which mends it or says why not.
    pub(crate) fn open(directory: &Path, limit: u64, keys: &dyn KeyStore) -> Result<Option<Self>, StoreError> {
        let key = match keys.load() {
            Ok(key) => Some(key),
            Err(KeyError::Absent) => None,
            Err(error) => return Err(StoreError::of_key(keys)(error)),
        };
        match (check_directory(directory), key) {
            (Ok(true), Some(key)) => Ok(Self::with_key(directory, limit, &key)),
            (Err(FileCheck::Refused(refusal)), _) => Err(StoreError::Refused(refusal)),
            _ => Ok(None),
        }
    }

    fn with_key(directory: &Path, limit: u64, key: &KeyBytes) -> Option<Self> {
        Some(Self { cipher: Cipher::new(key)?, directory: directory.to_owned(), limit })
    }

    /// The same, made or mended like its key. Where a new key takes the place of one that is gone or that others
    /// could read, `give_up` removes what that has opened.
    pub(crate) fn create(
        directory: &Path,
        limit: u64,
        keys: &dyn KeyStore,
        give_up: fn(&Self),
    ) -> Result<Self, StoreError> {
        let failed = StoreError::of_file(directory);
        let of_key = StoreError::of_key(keys);
        crate::os::files::create_private_directory(directory).map_err(&failed)?;
        own_and_tighten(directory)?;
        // Two processes that mend a broken key at once must not remove each other's new one.
        let _held = lock::hold(&directory.join(KEY_LOCK)).map_err(&failed)?;
        let loaded = keys.load();
        let is_gone = matches!(loaded, Err(KeyError::Absent | KeyError::Refused(_)));
        let key = if is_gone { new_key(keys) } else { loaded };
        let unfit = || KeyError::Refused("the key does not fit".into());
        let made = key.and_then(|key| Self::with_key(directory, limit, &key).ok_or_else(unfit)).map_err(&of_key)?;
        if is_gone {
            give_up(&made);
        }
        Ok(made)
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file name, without extension, for what `key` names.
    pub(crate) fn name(&self, key: &[u8]) -> String {
        self.cipher.name(key)
    }

    /// By what `content` is known again, by whoever has the key.
    pub(crate) fn fingerprint(&self, content: &[u8]) -> io::Result<Fingerprint> {
        self.cipher.fingerprint(content)
    }

    /// Whether `content` is what `fingerprint` was taken of.
    pub(crate) fn matches(&self, fingerprint: &Fingerprint, content: &[u8]) -> bool {
        self.cipher.matches(fingerprint, content)
    }

    /// What the file `name` holds, or nothing.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = read_private(&self.directory.join(name), self.limit).ok()?;
        serde_json::from_slice(&self.cipher.open(name, &file)?).ok()
    }

    /// Replaces the file `name`. A symlink in its place is replaced, not followed.
    pub(crate) fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let json = Zeroizing::new(serde_json::to_vec(content)?);
        let path = self.directory.join(name);
        let described = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {}", self.directory.display(), io_words(&error)))
        };
        crate::os::files::replace_privately(&path, &self.cipher.seal(name, &json)?).map_err(described)
    }

    /// The names of all files with `extension`.
    pub(crate) fn names(&self, extension: &str) -> Vec<String> {
        names(&self.directory, extension)
    }

    /// The names of all files with one of `extensions`, as the file system lists them.
    pub(crate) fn names_of(&self, extensions: &[&str]) -> Vec<String> {
        listed(&self.directory, extensions)
    }

    /// When the file `name` was written, if it is there.
    pub(crate) fn modified(&self, name: &str) -> Option<SystemTime> {
        fs::symlink_metadata(self.directory.join(name)).ok()?.modified().ok()
    }

    /// Whether the file `name` is still there.
    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.directory.join(name)).is_ok()
    }

    /// Does `work`, which takes no time, while no other process does such. Where there can be no lock it is
    /// done without.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let _held = lock::hold(&self.directory.join(KEY_LOCK));
        work()
    }

    pub(crate) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.directory.join(name));
    }
}

/// The names of all files in `directory` with `extension`.
pub(crate) fn names(directory: &Path, extension: &str) -> Vec<String> {
    let mut names = listed(directory, &[extension]);
    names.sort();
    names
}

fn listed(directory: &Path, extensions: &[&str]) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.rsplit_once('.').is_some_and(|(_, found)| extensions.contains(&found))).collect()
}
