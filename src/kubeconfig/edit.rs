//! What one command changes, over all the files that kubectl reads.

use crate::error::Error;

use super::context::current;
use super::document::Change;
use super::replace::FileChange;
use super::{KubeconfigFile, cannot_edit};

/// The new text of every file that `changes` change, each made where `kubectl config` makes it.
///
/// # Errors
/// A text that cannot be edited, or an entry that is not there.
pub fn edited(files: &[KubeconfigFile], changes: Vec<Change>) -> Result<Vec<FileChange<'_>>, Error> {
    changed(files, placed(files, changes))
}

/// The new text of every file that changes, of changes with the index of the file that each is made in.
///
/// # Errors
/// A text that cannot be edited, or an entry that is not there.
pub(crate) fn changed(
    files: &[KubeconfigFile],
    changes: impl IntoIterator<Item = (usize, Change)>,
) -> Result<Vec<FileChange<'_>>, Error> {
    let mut of_file: Vec<Vec<Change>> = files.iter().map(|_| Vec::new()).collect();
    for (file, change) in changes {
        if let Some(of_file) = of_file.get_mut(file) {
            of_file.push(change);
        }
    }
    let mut outcome = Vec::new();
    for (file, changes) in files.iter().zip(of_file).filter(|(_, changes)| !changes.is_empty()) {
        let edited = file.document.change(&changes).map_err(|error| cannot_edit(&file.path, &error))?;
        if edited.text != file.document.text() {
            outcome.push(FileChange { file, edited });
        }
    }
    Ok(outcome)
}

/// Changes with the index of the file that each is made in, as `kubectl config` does it (seen with 1.35): an entry
/// changes in the first file that has it; what is new goes to the first file, and so does `current-context`, unless
/// it is the current one already.
fn placed(files: &[KubeconfigFile], changes: Vec<Change>) -> impl Iterator<Item = (usize, Change)> {
    let is_new = |change: &Change| !matches!(change, Change::UseContext(name) if current(files) == Some(name.as_str()));
    changes.into_iter().filter(is_new).map(|change| {
        let of_entry = change.entry();
        let has = |(section, name)| files.iter().position(|file| file.document.has(section, name));
        (of_entry.and_then(has).unwrap_or_default(), change)
    })
}
