//! Replacing kubeconfigs: under client-go's lock, only where they are still what the change was made
//! for, and atomically.

use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, io_words};
use crate::sys::Sys;

use super::KubeconfigFile;
use super::document::EditedDocument;
use super::file_lock::FileLock;

/// A file and what it becomes.
pub struct FileChange<'a> {
    /// The file as it was read.
    pub file: &'a KubeconfigFile,
    /// What shall stand in it.
    pub edited: EditedDocument,
}

/// Told of what happens to the files, so that it can be taken back.
pub(crate) trait ReplaceHook {
    /// Every file is locked and what the changes were made for; nothing is written yet.
    fn before_replace(&mut self);
    /// The changes from the one at `first` on have not been made.
    fn not_replaced(&mut self, first: usize);
}

/// Nobody needs to know.
impl ReplaceHook for () {
    fn before_replace(&mut self) {}
    fn not_replaced(&mut self, _: usize) {}
}

/// Writes every change; `false`, and nothing written, if a file is no longer what the changes were made
/// for. `done` says in an error what has happened to the files before: `is converted`.
///
/// # Errors
/// A lock that stays; a file that can't be read or replaced: what was replaced before it is named.
pub(crate) fn replace(
    sys: &Sys,
    changes: &[FileChange],
    done: &str,
    ahead: &mut dyn ReplaceHook,
) -> Result<bool, Error> {
    let locks = changes.iter().map(|change| FileLock::hold(sys, &change.file.path)).collect::<Result<Vec<_>, _>>()?;
    for change in changes {
        let (path, read) = (&change.file.path, change.file.encoding.encode(change.file.document.text()));
        if !crate::os::files::holds(path, &read).map_err(|error| cannot_write(path, &error))? {
            return Ok(false);
        }
    }
    ahead.before_replace();
    for (index, change) in changes.iter().enumerate() {
        if let Err(error) = replace_one(change) {
            ahead.not_replaced(index);
            let finished = changes.iter().take(index).map(|change| change.file.path.display());
            let finished = finished.map(|path| format!("{path} {done}")).collect::<Vec<_>>().join(", ");
            return Err(if finished.is_empty() { error } else { error.also(&finished) });
        }
    }
    drop(locks);
    Ok(true)
}

fn replace_one(change: &FileChange) -> Result<(), Error> {
    let target = resolve(&change.file.path)?;
    crate::os::files::replace(&target, &change.file.encoding.encode(&change.edited.text))
        .map_err(|error| cannot_write(&target, &error))
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    let remedy = match error.kind() {
        _ if crate::os::files::is_full(error) => "free some space there; the file is as it was",
        std::io::ErrorKind::ResourceBusy | std::io::ErrorKind::CrossesDevices => {
            "the file is a mount point and cannot be replaced: mount its directory instead"
        }
        _ => "check the owner and mode of the file and its directory; the file is as it was",
    };
    Error::new(ErrorKind::File, format!("the kubeconfig cannot be written: {}", io_words(error)))
        .from_source(path.display())
        .remedy(remedy)
}

/// The file behind a symlink: the link stays a link.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(|error| cannot_write(path, &error))
}
