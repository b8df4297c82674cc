//! Replacing kubeconfigs: under client-go's lock, only where they are still what the change was made
//! for, and atomically.

use std::path::{Path, PathBuf};

use crate::error::{Error, io_words};
use crate::situation;
use crate::sys::Sys;

use super::Loaded;
use super::document::Edited;
use super::lock::FileLock;

/// A file and what it becomes.
pub struct Change<'a> {
    /// The file as it was read.
    pub file: &'a Loaded,
    /// What shall stand in it.
    pub edited: Edited,
}

/// Writes every change; `false`, and nothing written, if a file is no longer what the changes were made
/// for.
///
/// # Errors
/// A lock that stays; a file that can't be read or replaced: what was replaced before it is named.
pub fn replace(sys: &Sys, changes: &[Change]) -> Result<bool, Error> {
    let locks = changes.iter().map(|change| FileLock::hold(sys, &change.file.path)).collect::<Result<Vec<_>, _>>()?;
    for change in changes {
        let now = std::fs::read(&change.file.path).map_err(|error| cannot_write(&change.file.path, &error))?;
        if now != change.file.document.text().as_bytes() {
            return Ok(false);
        }
    }
    for (index, change) in changes.iter().enumerate() {
        let target = resolve(&change.file.path)?;
        crate::files::replace(&target, change.edited.document.text().as_bytes()).map_err(|error| {
            let done = changes.iter().take(index).map(|done| done.file.path.display().to_string());
            let done = done.map(|path| format!("{path} is converted")).collect::<Vec<_>>().join(", ");
            let error = cannot_write(&target, &error);
            if done.is_empty() { error } else { error.also(&done) }
        })?;
    }
    drop(locks);
    Ok(true)
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    let remedy = match error.kind() {
        std::io::ErrorKind::ResourceBusy | std::io::ErrorKind::CrossesDevices => {
            "the file is a mount point and cannot be replaced: mount its directory instead"
        }
        _ => "check the owner and mode of the file and its directory; the file is as it was",
    };
    Error::new(&situation::FILE, format!("the kubeconfig cannot be written: {}", io_words(error)))
        .from_source(path.display())
        .remedy(remedy)
}

/// The file behind a symlink: the link stays a link.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(|error| cannot_write(path, &error))
}
