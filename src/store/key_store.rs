//! Where the key is kept under which everything is encrypted: 32 random bytes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::io_words;

use super::permissions::{FileCheck, read_private};

/// The name of the key's file.
pub(crate) const KEY: &str = "key";

/// The bytes of a key.
pub(crate) type KeyBytes = Zeroizing<[u8; 32]>;

/// Keeps one key, and decides nothing. It is asked by one process at a time where a key is to be made.
pub(crate) trait KeyStore {
    /// The key.
    fn load(&self) -> Result<KeyBytes, KeyError>;
    /// Puts `key` in the place of none, or of one that is as good as none.
    fn save(&self, key: &KeyBytes) -> Result<(), KeyError>;
    /// Gives up the key, if there is one: what it has encrypted cannot be read any more.
    fn delete(&self) -> Result<(), KeyError>;
    /// What keeps it, for messages.
    fn place(&self) -> String;
}

/// Why a store does not give or take a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyError {
    /// There is none, or what is there is as good as none: damaged, or it was open to others. The caller may
    /// make one; what was encrypted before is a miss.
    Absent,
    /// There is one that must not be used, because it is somebody else's. The whole sentence why. Whoever reads
    /// says so and goes on without; whoever is about to write may put one of ours in its place.
    Refused(String),
    /// The store cannot be had here or does not answer: another one may be asked, else the caller goes on
    /// without. Why, without the store's name.
    Unavailable(String),
    /// The store is there, and the user or the system has said no: asking again would only disturb, so the
    /// caller goes on without. Why, without the store's name.
    Denied(String),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("there is no key"),
            Self::Refused(why) | Self::Unavailable(why) | Self::Denied(why) => f.write_str(why),
        }
    }
}

/// A file of mode 0600 in the 0700 directory itself. It protects against other users and against backups
/// of single files, not against programs of the same user (see SECURITY.md).
pub(crate) struct FileKeyStore {
    directory: PathBuf,
}

impl FileKeyStore {
    /// For the files in `directory`.
    pub(crate) fn of(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(KEY)
    }
}

impl KeyStore for FileKeyStore {
    fn load(&self) -> Result<KeyBytes, KeyError> {
        match read_private(&self.path(), 64).map(Zeroizing::new) {
            Ok(bytes) => <[u8; 32]>::try_from(bytes.as_slice()).map(Zeroizing::new).map_err(|_| KeyError::Absent),
            Err(FileCheck::Refused(refusal)) => Err(KeyError::Refused(refusal.to_string())),
            // What merely cannot be read is mended by `save`, or that says why not.
            Err(FileCheck::Unreadable | FileCheck::Loose) => Err(KeyError::Absent),
        }
    }

    fn save(&self, key: &KeyBytes) -> Result<(), KeyError> {
        let _ = std::fs::remove_file(self.path());
        crate::os::files::create(&self.path(), &key[..]).map_err(|error| failed(&error))
    }

    fn delete(&self) -> Result<(), KeyError> {
        match std::fs::remove_file(self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(&error)),
            _ => Ok(()),
        }
    }

    fn place(&self) -> String {
        self.directory.display().to_string()
    }
}

fn failed(error: &io::Error) -> KeyError {
    let why = io_words(error);
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => KeyError::Denied(why),
        _ => KeyError::Unavailable(why),
    }
}

/// Puts a new key into `store`.
pub(super) fn new_key(store: &dyn KeyStore) -> Result<KeyBytes, KeyError> {
    let key = random_key().ok_or_else(|| KeyError::Unavailable("no random bytes".into()))?;
    store.save(&key)?;
    Ok(key)
}

/// Fresh random bytes for a key.
fn random_key() -> Option<KeyBytes> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut key[..]).ok()?;
    Some(key)
}

#[cfg(test)]
pub(crate) mod fake {
    //! A key in memory, and a store that fails as a test wants it to.

    use std::cell::RefCell;

    use super::{KeyBytes, KeyError, KeyStore};

    /// What is there, or why nothing is given or taken.
    pub(crate) struct MemoryKeyStore(RefCell<Result<KeyBytes, KeyError>>);

    impl MemoryKeyStore {
        /// One that answers so.
        pub(crate) fn failing(error: KeyError) -> Self {
            Self(RefCell::new(Err(error)))
        }

        /// One with no key yet.
        pub(crate) fn empty() -> Self {
            Self::failing(KeyError::Absent)
        }

        /// One that holds this key.
        pub(crate) fn holding(byte: u8) -> Self {
            Self(RefCell::new(Ok(KeyBytes::new([byte; 32]))))
        }

        /// Whether there is a key.
        pub(crate) fn has_key(&self) -> bool {
            self.0.borrow().is_ok()
        }
    }

    impl KeyStore for MemoryKeyStore {
        fn load(&self) -> Result<KeyBytes, KeyError> {
            self.0.borrow().clone()
        }

        fn save(&self, key: &KeyBytes) -> Result<(), KeyError> {
            if let Err(error) = self.load()
                && error != KeyError::Absent
            {
                return Err(error);
            }
            *self.0.borrow_mut() = Ok(key.clone());
            Ok(())
        }

        fn delete(&self) -> Result<(), KeyError> {
            *self.0.borrow_mut() = Err(KeyError::Absent);
            Ok(())
        }

        fn place(&self) -> String {
            "memory".into()
        }
    }
}
