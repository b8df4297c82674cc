//! Locks that die with their holder: advisory locks on a file beside the data, never on the data
//! itself, which a rename replaces.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;

/// A lock that is held until this is dropped or the process ends, however it ends.
pub struct LockGuard {
    _file: File,
}

/// Takes the lock `path`, or `None` if somebody holds it.
pub(crate) fn try_hold(path: &Path) -> io::Result<Option<LockGuard>> {
    for _ in 0..ATTEMPTS {
        let file = crate::os::files::open_lock_file(path)?;
        match file.try_lock() {
            Ok(()) if crate::os::files::is_still(path, &file) => return Ok(Some(LockGuard { _file: file })),
            // It was removed between our open and our lock: a lock on it would exclude nobody.
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Err(unstable())
}

/// A file system on which a file is never the one that was opened has no locks to offer.
const ATTEMPTS: u32 = 100;

fn unstable() -> io::Error {
    io::Error::other("the lock file keeps changing")
}

/// Takes the lock `path`, waiting for whoever holds it; for work that takes no time.
pub(crate) fn hold(path: &Path) -> io::Result<LockGuard> {
    for _ in 0..ATTEMPTS {
        let file = crate::os::files::open_lock_file(path)?;
        file.lock()?;
        if crate::os::files::is_still(path, &file) {
            return Ok(LockGuard { _file: file });
        }
    }
    Err(unstable())
}
