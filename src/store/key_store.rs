//! The key under which everything is sealed: 32 random bytes, and where they are kept.

use std::io;
use std::path::PathBuf;

use zeroize::Zeroizing;

use super::permissions::{FileCheck, read_private};

/// The bytes of a key.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// Keeps the key: loads and stores, and decides nothing. The operating system's stores take their
/// place here.
pub(super) trait KeyStore {
    /// The key, or `None` where there is none that can be used.
    fn load(&self) -> Result<Option<KeyBytes>, FileCheck>;
    /// Stores `key` where there is none.
    fn store(&self, key: &KeyBytes) -> io::Result<()>;
    /// Gives up a key that can't be used.
    fn discard(&self) -> io::Result<()>;
}

/// A file of mode 0600 in the 0700 directory. It protects against other users and against backups
/// of single files, not against programs of the same user (see SECURITY.md).
pub(super) struct FileKeyStore(pub(super) PathBuf);

impl KeyStore for FileKeyStore {
    fn load(&self) -> Result<Option<KeyBytes>, FileCheck> {
        let bytes = Zeroizing::new(read_private(&self.0, 64)?);
        Ok(<[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new))
    }

    fn store(&self, key: &KeyBytes) -> io::Result<()> {
        crate::os::files::create(&self.0, &key[..])
    }

    fn discard(&self) -> io::Result<()> {
        std::fs::remove_file(&self.0)
    }
}

/// Puts a new key in the place of one that can't be used.
pub(super) fn new_key(store: &dyn KeyStore) -> io::Result<KeyBytes> {
    let _ = store.discard();
    let key = random_key()?;
    store.store(&key)?;
    Ok(key)
}

/// Fresh random bytes for a key.
fn random_key() -> io::Result<KeyBytes> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut key[..]).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(key)
}
