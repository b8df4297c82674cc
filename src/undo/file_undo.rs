//! What is found of an edit in its file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::kubeconfig::document::{RecordedEdit, UndoState};
use crate::kubeconfig::file_lock::FileLock;
use crate::kubeconfig::{self, KubeconfigFile, diff};
use crate::sys::Sys;
use crate::undo::journal::{Journal, Record, RecordedUser, is_gone};
use crate::undo::public::PUBLIC;

/// A record, and what its file holds now.
pub(super) struct FileUndo<'r> {
    pub(super) name: &'r str,
    pub(super) record: &'r Record,
    pub(super) path: PathBuf,
    /// The file; `None` if it is gone or of no use.
    pub(super) file: Option<KubeconfigFile>,
    /// What the file becomes when the edit is taken back, where that differs.
    pub(super) back: Option<String>,
    /// Why the file is of no use.
    pub(super) problem: Option<Error>,
    /// What comes of each user.
    states: Vec<UndoState>,
}

impl<'r> FileUndo<'r> {
    /// As of now; with the `lock` of the file, where it is held.
    pub(super) fn of(sys: &Sys, journal: &Journal, name: &'r str, record: &'r Record, lock: Option<&FileLock>) -> Self {
        let path = record.path().to_owned();
        let all = |state| vec![state; record.users.len()];
        let bare = Self { name, record, path, file: None, back: None, problem: None, states: Vec::new() };
        let file = match load(sys, &bare.path, lock) {
            Ok(Some(file)) => file,
            Ok(None) => return Self { states: all(UndoState::FileGone), ..bare },
            Err(problem) => return Self { states: all(UndoState::FileUnreadable), problem: Some(problem), ..bare },
        };
        let text = file.document.text();
        let known = record.state(journal, text);
        let old = if known == UndoState::Possible { record.taken_back(journal, text) } else { None };
        let (back, mut states) = match (known, old) {
            (UndoState::Undone, _) => (None, all(known)),
            (_, Some(old)) => (Some(old), all(known)),
            _ => by_entry(&file, record),
        };
        // That an `undo` was about to put it there says that it was this edit.
        for state in states.iter_mut().filter(|state| record.undo_started && **state == UndoState::Undone) {
            *state = UndoState::Possible;
        }
        Self { file: Some(file), back, states, ..bare }
    }

    /// Whether nothing of the edit is there.
    pub(super) fn is_void(&self) -> bool {
        self.states.iter().all(|state| *state == UndoState::Undone)
    }

    /// Whether something of the edit can be taken back.
    pub(super) fn is_of_use(&self) -> bool {
        self.states.contains(&UndoState::Possible)
    }

    /// What comes of each user.
    pub(super) fn states(&self) -> impl Iterator<Item = (&RecordedUser, UndoState)> {
        self.record.users.iter().zip(self.states.iter().copied())
    }

    /// The record of what is left; `None` if nothing is.
    pub(super) fn rest(&self) -> Option<Cow<'r, Record>> {
        let left = self.states().filter(|(_, state)| !matches!(state, UndoState::Possible | UndoState::Undone));
        let users: Vec<RecordedUser> = left.map(|(user, _)| user.clone()).collect();
        match users.len() {
            0 => None,
            // What is not touched may become what it was, byte for byte.
            all if all == self.record.users.len() => Some(Cow::Borrowed(self.record)),
            _ => Some(Cow::Owned(self.record.of_the_rest(users))),
        }
    }

    /// How a user's entry differs from what the edit left, masked.
    pub(super) fn difference(&self, user: &RecordedUser, state: UndoState) -> Option<String> {
        if state != UndoState::Changed {
            return None;
        }
        let document = &self.file.as_ref()?.document;
        let index = document.users().iter().position(|found| found.name == user.name)?;
        let entry = document.entry(index);
        let before = document.text().get(..entry.start)?;
        let column = before.rsplit(['\r', '\n']).next().map_or(0, |line| line.chars().count());
        let now = document.text().get(entry)?;
        let name = &user.name;
        let titles = [format!("{name}, as {} left it", self.record.what.command), format!("{name} now")];
        diff::of_entries([(&user.after, user.column), (now, column)], &titles, &PUBLIC)
    }
}

/// The kubeconfig at `path`, unless it is gone. What is no file any more is not opened.
fn load(sys: &Sys, path: &Path, lock: Option<&FileLock>) -> Result<Option<KubeconfigFile>, Error> {
    match path.metadata() {
        Err(error) if is_gone(&error) => Ok(None),
        Ok(found) if !found.is_file() && !found.is_dir() => {
            Err(Error::new(ErrorKind::Kubeconfig, format!("{} is a pipe or a device now", path.display()))
                .remedy("put a file there; nothing was changed"))
        }
        _ => match lock {
            Some(lock) => kubeconfig::load_locked(path, lock).map(Some),
            None => Ok(kubeconfig::load(sys, Some(path))?.pop()),
        },
    }
}

/// Another program has written the file since: entry by entry.
fn by_entry(file: &KubeconfigFile, record: &Record) -> (Option<String>, Vec<UndoState>) {
    let edits: Vec<RecordedEdit> = record.users.iter().map(recorded_edit).collect();
    let (text, states) = file.document.revert(&edits);
    (text.filter(|back| back != file.document.text()), states)
}

fn recorded_edit(user: &RecordedUser) -> RecordedEdit<'_> {
    let RecordedUser { section, name, after: as_left, before, column, .. } = user;
    RecordedEdit { section: *section, name, as_left, before, column: *column }
}
