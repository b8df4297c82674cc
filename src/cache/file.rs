//! The directory of sealed files: who owns it, how it is read and written.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::lock;
use super::seal::{KeyBytes, KeyFile, KeyStore, Seal, random_key};

/// Our directory below the cache directory, which we share with kubelogin's files or kubectl's.
pub(super) const OWN: &str = "kubentra";
/// Extension of a token's file.
pub(super) const TOKEN: &str = "token";
/// Extension of a grant's file.
pub(super) const GRANT: &str = "grant";
/// Extension of a lock.
pub(super) const LOCK: &str = "lock";
/// The key's file.
pub(super) const KEY: &str = "key";
/// No entry comes near this many bytes.
const LIMIT: u64 = 256 * 1024;

/// A directory of sealed files with its key.
pub(super) struct Vault {
    directory: PathBuf,
    seal: Seal,
}

impl Vault {
    /// The vault below `cache_dir`; `None` where there is none yet, or none that can be read.
    /// The error says why it must not be used.
    pub(super) fn open(cache_dir: &Path) -> Result<Option<Self>, String> {
        let directory = cache_dir.join(OWN);
        // What merely cannot be read is left to `create`, which mends it or says why not.
        let key = match KeyFile(directory.join(KEY)).load() {
            Ok(Some(key)) => key,
            Err(FileCheck::Refused(why)) => return Err(why),
            Ok(None) | Err(_) => return Ok(None),
        };
        match check_directory(&directory) {
            Ok(()) => Ok(Self::with_key(directory, &key)),
            Err(FileCheck::Refused(why)) => Err(why),
            Err(_) => Ok(None),
        }
    }

    fn with_key(directory: PathBuf, key: &KeyBytes) -> Option<Self> {
        Some(Self { seal: Seal::new(key)?, directory })
    }

    /// The vault below `cache_dir`, with directory and key made or mended. The error says why not.
    pub(super) fn create(cache_dir: &Path) -> Result<Self, String> {
        let directory = cache_dir.join(OWN);
        let failed = |error: io::Error| format!("{}: {error}", directory.display());
        crate::files::create_private_directory(&directory).map_err(failed)?;
        own_and_tighten(&directory)?;
        // Two processes that mend a broken key at once must not remove each other's new one.
        let _held = lock::hold(&directory.join(format!("{KEY}.{LOCK}"))).map_err(failed)?;
        let store = KeyFile(directory.join(KEY));
        let key = match store.load() {
            Ok(Some(key)) => key,
            _ => new_key(&store).map_err(failed)?,
        };
        Self::with_key(directory, &key).ok_or_else(|| "the key does not fit".into())
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file name, without extension, for `identity`.
    pub(super) fn name(&self, identity: &[u8]) -> String {
        self.seal.name(identity)
    }

    /// What the file `name` holds, or nothing.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let file = read_private(&self.directory.join(name), LIMIT).ok()?;
        serde_json::from_slice(&self.seal.open(name, &file)?).ok()
    }

    /// Replaces the file `name`. A symlink in its place is replaced, not followed.
    pub(super) fn write<T: Serialize>(&self, name: &str, content: &T) -> io::Result<()> {
        let json = Zeroizing::new(serde_json::to_vec(content)?);
        let path = self.directory.join(name);
        let described =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.directory.display()));
        if fs::symlink_metadata(&path).is_ok_and(|found| !is_private(&found)) {
            let _ = fs::remove_file(&path);
        }
        crate::files::replace(&path, &self.seal.seal(name, &json)?).map_err(described)
    }

    pub(super) fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.directory.join(name));
    }
}

/// Puts a new key in the place of one that can't be used.
fn new_key(store: &dyn KeyStore) -> io::Result<KeyBytes> {
    let _ = store.discard();
    let key = random_key()?;
    store.store(&key)?;
    Ok(key)
}

/// Why a private file was not read.
pub(super) enum FileCheck {
    /// It isn't there, or the file system fails.
    Unreadable,
    /// Others could read or have written it: as good as not there.
    Loose,
    /// It belongs to somebody else or is a symlink; using its place would not be safe.
    Refused(String),
}

/// Reads a file that only its owner, who is us, can read.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, FileCheck> {
    let file = open_private(path)?;
    let found = file.metadata().map_err(|_| FileCheck::Unreadable)?;
    if !is_ours(&found) {
        return Err(foreign(path));
    }
    if !is_private(&found) {
        return Err(FileCheck::Loose);
    }
    crate::files::read_bounded(file, limit).map_err(|_| FileCheck::Unreadable)
}

fn foreign(path: &Path) -> FileCheck {
    FileCheck::Refused(format!("{} belongs to another user", path.display()))
}

#[cfg(unix)]
fn open_private(path: &Path) -> Result<File, FileCheck> {
    use std::os::unix::fs::OpenOptionsExt;
    // Non-blocking, so that a FIFO in the place of a file cannot hold us up.
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|_| FileCheck::Unreadable)
}

#[cfg(not(unix))]
fn open_private(path: &Path) -> Result<File, FileCheck> {
    File::open(path).map_err(|_| FileCheck::Unreadable)
}

/// Refuses a directory of ours that is a symlink or somebody else's, whatever its mode.
fn check_directory(path: &Path) -> Result<(), FileCheck> {
    let found = fs::symlink_metadata(path).map_err(|_| FileCheck::Unreadable)?;
    if !found.is_dir() {
        return Err(FileCheck::Refused(format!("{} is not a directory of ours", path.display())));
    }
    if is_ours(&found) { Ok(()) } else { Err(foreign(path)) }
}

/// Checks the owner and takes away the access that others have.
pub(super) fn own_and_tighten(path: &Path) -> Result<(), String> {
    match check_directory(path) {
        Ok(()) => {}
        Err(FileCheck::Refused(why)) => return Err(why),
        Err(_) => return Err(format!("{} cannot be looked at", path.display())),
    }
    tighten(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(unix)]
fn tighten(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn tighten(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn is_ours(found: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(found) == rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
fn is_ours(_: &fs::Metadata) -> bool {
    true
}

/// A regular file that nobody else can read or write.
#[cfg(unix)]
fn is_private(found: &fs::Metadata) -> bool {
    found.is_file() && std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o077 == 0
}

#[cfg(not(unix))]
fn is_private(found: &fs::Metadata) -> bool {
    found.is_file()
}
