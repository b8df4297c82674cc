//! A directory of sealed files.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::io_words;

use super::cipher::{Cipher, Fingerprint};
use super::key_store::{FileKeyStore, KeyBytes, KeyStore, new_key};
use super::lock;
use super::permissions::{FileCheck, check_directory, own_and_tighten, read_private};

/// Extension of a lock.
pub(crate) const LOCK: &str = "lock";
/// The key's file.
pub(crate) const KEY: &str = "key";

/// A directory of sealed files with its key.
pub(crate) struct EncryptedDir {
    directory: PathBuf,
    seal: Cipher,
    /// No file here comes near this many bytes.
    limit: u64,
}

impl EncryptedDir {
    /// The vault `directory`; `None` where there is none yet, or none that can be read.
    /// The error says why it must not be used.
    pub(crate) fn open(directory: PathBuf, limit: u64) -> Result<Option<Self>, String> {
        // What merely cannot be read is left to `create`, which mends it or says why not.
        let key = match FileKeyStore(directory.join(KEY)).load() {
            Ok(key) => key,
            Err(FileCheck::Refused(why)) => return Err(why),
            Err(_) => None,
        };
        match (check_directory(&directory), key) {
            (Ok(true), Some(key)) => Ok(Self::with_key(directory, limit, &key)),
            (Err(FileCheck::Refused(why)), _) => Err(why),
            _ => Ok(None),
        }
    }

    fn with_key(directory: PathBuf, limit: u64, key: &KeyBytes) -> Option<Self> {
        Some(Self { seal: Cipher::new(key)?, directory, limit })
    }

    /// The vault `directory`, which is made or mended like its key. The error says why not.
    pub(crate) fn create(directory: PathBuf, limit: u64) -> Result<Self, String> {
        let failed = |error: io::Error| format!("{}: {}", directory.display(), io_words(&error));
        crate::os::files::create_private_directory(&directory).map_err(failed)?;
        own_and_tighten(&directory)?;
        // Two processes that mend a broken key at once must not remove each other's new one.
        let _held = lock::hold(&directory.join(format!("{KEY}.{LOCK}"))).map_err(failed)?;
        let store = FileKeyStore(directory.join(KEY));
        let key = match store.load() {
            Ok(Some(key)) => key,
            _ => new_key(&store).map_err(failed)?,
        };
        Self::with_key(directory, limit, &key).ok_or_else(|| "the key does not fit".into())
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file name, without extension, for `identity`.
    pub(crate) fn name(&self, identity: &[u8]) -> String {
        self.seal.name(identity)
    }

    /// By what `content` is known again, by whoever has the key.
    pub(crate) fn fingerprint(&self, content: &[u8]) -> io::Result<Fingerprint> {
        self.seal.fingerprint(content)
    }

    /// Whether `content` is what `fingerprint` was taken of.
    pub(crate) fn matches(&self, fingerprint: &Fingerprint, content: &[u8]) -> bool {
        self.seal.matches(fingerprint, content)
    }

    /// What the file `name` holds, or nothing.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = read_private(&self.directory.join(name), self.limit).ok()?;
        serde_json::from_slice(&self.seal.open(name, &file)?).ok()
    }

    /// Replaces the file `name`. A symlink in its place is replaced, not followed.
    pub(crate) fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let json = Zeroizing::new(serde_json::to_vec(content)?);
        let path = self.directory.join(name);
        let described = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {}", self.directory.display(), io_words(&error)))
        };
        crate::os::files::replace_privately(&path, &self.seal.seal(name, &json)?).map_err(described)
    }

    /// The names of all files with `extension`.
    pub(crate) fn names(&self, extension: &str) -> Vec<String> {
        names(&self.directory, extension)
    }

    /// Whether the file `name` is still there.
    pub(crate) fn exists(&self, name: &str) -> bool {
        fs::symlink_metadata(self.directory.join(name)).is_ok()
    }

    /// Does `work`, which takes no time, while no other process does such. Where there can be no lock it is
    /// done without.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> T) -> T {
        let _held = lock::hold(&self.directory.join(format!("{KEY}.{LOCK}")));
        work()
    }

    pub(crate) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.directory.join(name));
    }
}

/// The names of all files in `directory` with `extension`.
pub(crate) fn names(directory: &Path, extension: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> =
        names.filter(|name| name.rsplit_once('.').is_some_and(|(_, found)| found == extension)).collect();
    names.sort();
    names
}
