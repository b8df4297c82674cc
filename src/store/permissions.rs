//! Files and directories that are ours alone: owner, mode, no symlinks.

use std::fs;
use std::io;
use std::path::Path;

use crate::os::files;

use super::store_error::{Refusal, StoreError};

/// Why a private file was not read.
pub(crate) enum FileCheck {
    /// It isn't there, or the file system fails.
    Unreadable,
    /// Others could read or have written it: as good as not there.
    Loose,
    /// Using its place would not be safe.
    Refused(Refusal),
}

/// Reads a file that only its owner, who is us, can read.
pub(super) fn read_private(path: &Path, limit: u64) -> Result<Vec<u8>, FileCheck> {
    let file = files::open_itself(path).map_err(|_| FileCheck::Unreadable)?;
    let found = file.metadata().map_err(|_| FileCheck::Unreadable)?;
    if !is_ours(&found) {
        return Err(foreign(path));
    }
    if !is_private(&found) {
        return Err(FileCheck::Loose);
    }
    files::read_bounded(file, limit).map_err(|_| FileCheck::Unreadable)
}

fn foreign(path: &Path) -> FileCheck {
    FileCheck::Refused(Refusal::OtherOwner(path.to_owned()))
}

/// Refuses a directory of ours that is a symlink or somebody else's; gives whether others are kept out.
pub(crate) fn check_directory(path: &Path) -> Result<bool, FileCheck> {
    let found = fs::symlink_metadata(path).map_err(|_| FileCheck::Unreadable)?;
    if !found.is_dir() {
        return Err(FileCheck::Refused(Refusal::NotADirectory(path.to_owned())));
    }
    if is_ours(&found) { Ok(is_tight(&found)) } else { Err(foreign(path)) }
}

/// Checks the owner and takes away the access that others have.
pub(crate) fn own_and_tighten(path: &Path) -> Result<(), StoreError> {
    match check_directory(path) {
        Ok(true) => Ok(()),
        Ok(false) => tighten(path).map_err(StoreError::of_file(path)),
        Err(FileCheck::Refused(refusal)) => Err(StoreError::Refused(refusal)),
        Err(_) => Err(StoreError::Hidden(path.to_owned())),
    }
}

#[cfg(unix)]
fn tighten(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
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
    found.is_file() && is_tight(found)
}

#[cfg(unix)]
fn is_tight(found: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o077 == 0
}

#[cfg(not(unix))]
fn is_tight(_: &fs::Metadata) -> bool {
    true
}

#[cfg(not(unix))]
fn is_private(found: &fs::Metadata) -> bool {
    found.is_file()
}
