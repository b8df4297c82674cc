//! Files and directories that are ours alone: owner, mode, no symlinks.

use std::fs;
use std::io;
use std::path::Path;

use crate::error::io_words;
use crate::os::files;

/// Why a private file was not read.
pub(crate) enum FileCheck {
    /// It isn't there, or the file system fails.
    Unreadable,
    /// Others could read or have written it: as good as not there.
    Loose,
    /// It belongs to somebody else or is a symlink; using its place would not be safe.
    Refused(String),
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
    FileCheck::Refused(format!("{} belongs to another user", path.display()))
}

/// Refuses a directory of ours that is a symlink or somebody else's; gives whether others are kept out.
pub(crate) fn check_directory(path: &Path) -> Result<bool, FileCheck> {
    let found = fs::symlink_metadata(path).map_err(|_| FileCheck::Unreadable)?;
    if !found.is_dir() {
        return Err(FileCheck::Refused(format!("{} is not a directory of ours", path.display())));
    }
    if is_ours(&found) { Ok(is_tight(&found)) } else { Err(foreign(path)) }
}

/// Checks the owner and takes away the access that others have.
pub(crate) fn own_and_tighten(path: &Path) -> Result<(), String> {
    match check_directory(path) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(FileCheck::Refused(why)) => return Err(why),
        Err(_) => return Err(format!("{} cannot be looked at", path.display())),
    }
    tighten(path).map_err(|error| format!("{}: {}", path.display(), io_words(&error)))
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
