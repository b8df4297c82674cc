//! A record: what one file was, what it became, and the entries that differ.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::kubeconfig;
use crate::kubeconfig::document::{Section, UndoState};
use crate::kubeconfig::replace::FileChange;
use crate::store::Fingerprint;

use super::Journal;

/// The format of records; another one is not read.
const VERSION: u32 = 1;

/// The edit of one file. It may hold what is secret, so it is no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(crate) struct Record {
    version: u32,
    /// When, in seconds since 1970.
    pub when: u64,
    /// What was done.
    pub what: Operation,
    /// The file as it was named, made absolute.
    pub file: PathBuf,
    /// What that led to: it may have been a symlink.
    pub target: PathBuf,
    /// By what the file is known that was there before; nothing, where it never was.
    before: Option<Fingerprint>,
    /// By what the file is known that was there after.
    after: Option<Fingerprint>,
    /// The entries that differ, in the order of the text.
    pub users: Vec<RecordedUser>,
    /// Whether `undo` was about to put the old text back.
    #[serde(rename = "taking_back")]
    pub undo_started: bool,
}

/// What an edit was, in words that hold nothing secret: never the command line.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Operation {
    /// The command.
    pub command: String,
    /// The login method that it was to set.
    pub login: String,
}

/// The entry of a user.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug, PartialEq, Eq))]
pub(crate) struct RecordedUser {
    /// What it is an entry of: of `users`, where an older record does not say it.
    #[serde(default)]
    pub section: Section,
    /// The user's name.
    pub name: String,
    /// The bytes that stood there.
    pub before: String,
    /// The bytes that stand there now.
    pub after: String,
    /// Where they begin in the new text.
    pub start: usize,
    /// How many characters stood before the entry on its line.
    pub column: usize,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.command, self.login)
    }
}

impl Record {
    /// The record of `change`, which `what` makes at `when`.
    ///
    /// # Errors
    /// The file system's, where it can't be said which file is meant.
    pub(crate) fn of(journal: &Journal, change: &FileChange, what: &Operation, when: u64) -> io::Result<Self> {
        let (old, new) = (change.file.document.text(), change.edited.text.as_str());
        let slice = |text: &str, range: &std::ops::Range<usize>| text.get(range.clone()).unwrap_or_default().to_owned();
        let users = change.edited.touched.iter().map(|touched| RecordedUser {
            section: touched.section,
            name: touched.name.clone(),
            before: slice(old, &touched.old),
            after: slice(new, &touched.new),
            start: touched.new.start,
            column: touched.column,
        });
        Ok(Self {
            version: VERSION,
            when,
            what: what.clone(),
            file: std::path::absolute(&change.file.path)?,
            target: std::fs::canonicalize(&change.file.path)?,
            before: Some(journal.fingerprint(old)?),
            after: Some(journal.fingerprint(new)?),
            users: users.collect(),
            undo_started: false,
        })
    }

    pub(super) fn is_of_this_version(&self) -> bool {
        self.version == VERSION
    }

    /// The same, with or without the mark of an `undo` that is about to write.
    #[must_use]
    pub(crate) fn marked(&self, taking_back: bool) -> Self {
        Self { undo_started: taking_back, ..self.clone() }
    }

    /// The same for `users` alone. The whole file never was what they make of it, so it is not known again.
    #[must_use]
    pub(crate) fn of_the_rest(&self, users: Vec<RecordedUser>) -> Self {
        Self { users, before: None, after: None, undo_started: false, ..self.clone() }
    }

    /// The file as it was named while that leads where it led then, else where it led.
    pub(crate) fn path(&self) -> &Path {
        let still = std::fs::canonicalize(&self.file).is_ok_and(|target| target == self.target);
        if still { &self.file } else { &self.target }
    }

    /// How this edit stands in a file with this `text`.
    pub(crate) fn state(&self, journal: &Journal, text: &str) -> UndoState {
        if journal.is(text, self.before.as_ref()) {
            UndoState::Undone
        } else if journal.is(text, self.after.as_ref()) {
            UndoState::Possible
        } else {
            UndoState::Changed
        }
    }

    /// The old text, out of the new one; `None` where that is not the text which this edit has left, or
    /// something is wrong here.
    pub(crate) fn taken_back(&self, journal: &Journal, text: &str) -> Option<String> {
        let mut old = String::with_capacity(text.len());
        let mut done = 0;
        for user in &self.users {
            old.push_str(text.get(done..user.start)?);
            old.push_str(&user.before);
            done = user.start.checked_add(user.after.len())?;
        }
        old.push_str(text.get(done..)?);
        journal.is(&old, self.before.as_ref()).then_some(old)
    }
}

/// The text of the file at `path`, or why there is none. A pipe or a device is never read: that may take for ever.
pub(crate) fn text_of(path: &Path) -> Result<String, UndoState> {
    match path.metadata() {
        Ok(found) if found.is_file() => {
            kubeconfig::read(path).map(|(_, text)| text).map_err(|_| UndoState::FileUnreadable)
        }
        Err(error) if is_gone(&error) => Err(UndoState::FileGone),
        _ => Err(UndoState::FileUnreadable),
    }
}

/// Whether there is nothing at a path: no file, or no directory that it could be in.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
