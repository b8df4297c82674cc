//! What is found of an edit in its file.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind};
use crate::kubeconfig::document::{RecordedEdit, Standing};
use crate::kubeconfig::file_lock::FileLock;
use crate::kubeconfig::{self, KubeconfigFile, diff};
use crate::sys::Sys;
use crate::undo::journal::{Journal, Record, RecordedUser, State, is_gone};
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
    fates: Vec<Fate>,
}

/// What comes of a user's entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fate {
    /// It gets its old bytes.
    Back,
    /// It is what it was before already.
    AsBefore,
    /// It says something that is not ours.
    Changed,
    /// There is none of that name.
    Gone,
    /// Its old bytes can't stand where it stands.
    NoPlace,
    /// There is no file.
    FileGone,
    /// The file can't be read or understood.
    Problem,
}

impl<'r> FileUndo<'r> {
    /// As of now; with the `lock` of the file, where it is held.
    pub(super) fn of(sys: &Sys, journal: &Journal, name: &'r str, record: &'r Record, lock: Option<&FileLock>) -> Self {
        let path = record.path().to_owned();
        let all = |fate| vec![fate; record.users.len()];
        let bare = Self { name, record, path, file: None, back: None, problem: None, fates: Vec::new() };
        let file = match load(sys, &bare.path, lock) {
            Ok(Some(file)) => file,
            Ok(None) => return Self { fates: all(Fate::FileGone), ..bare },
            Err(problem) => return Self { fates: all(Fate::Problem), problem: Some(problem), ..bare },
        };
        let text = file.document.text();
        let (back, fates) = match record.state_of(journal, text) {
            // That an `undo` was about to put it there says that it was this edit.
            State::AsBefore => (None, all(if record.undo_started { Fate::Back } else { Fate::AsBefore })),
            State::AsLeft => match record.taken_back(journal, text) {
                Some(old) => (Some(old), all(Fate::Back)),
                None => by_name(&file, record),
            },
            _ => by_name(&file, record),
        };
        Self { file: Some(file), back, fates, ..bare }
    }

    /// Whether nothing of the edit is there.
    pub(super) fn is_void(&self) -> bool {
        self.fates.iter().all(|fate| *fate == Fate::AsBefore)
    }

    /// Whether something of the edit can be taken back.
    pub(super) fn is_of_use(&self) -> bool {
        self.fates.contains(&Fate::Back)
    }

    /// What comes of each user.
    pub(super) fn fates(&self) -> impl Iterator<Item = (&RecordedUser, Fate)> {
        self.record.users.iter().zip(self.fates.iter().copied())
    }

    /// The record of what is left; `None` if nothing is.
    pub(super) fn rest(&self) -> Option<Cow<'r, Record>> {
        let left = self.fates().filter(|(_, fate)| !matches!(fate, Fate::Back | Fate::AsBefore));
        let users: Vec<RecordedUser> = left.map(|(user, _)| user.clone()).collect();
        match users.len() {
            0 => None,
            // What is not touched may become what it was, byte for byte.
            all if all == self.record.users.len() => Some(Cow::Borrowed(self.record)),
            _ => Some(Cow::Owned(self.record.of_the_rest(users))),
        }
    }

    /// How a user's entry differs from what the edit left, masked.
    pub(super) fn difference(&self, user: &RecordedUser, fate: Fate) -> Option<String> {
        if fate != Fate::Changed {
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
fn by_name(file: &KubeconfigFile, record: &Record) -> (Option<String>, Vec<Fate>) {
    let past: Vec<RecordedEdit> = record.users.iter().map(past).collect();
    let (text, standings) = file.document.revert(&past);
    let mut fates: Vec<Fate> = standings.iter().map(|standing| fate(*standing)).collect();
    // Those that an `undo` was about to put back are its work.
    let as_before = if record.undo_started { Fate::Back } else { Fate::AsBefore };
    for index in stand_as_before(file, &past, &fates) {
        fates[index] = as_before;
    }
    (text.filter(|back| back != file.document.text()), fates)
}

fn past(user: &RecordedUser) -> RecordedEdit<'_> {
    RecordedEdit {
        section: user.section,
        name: &user.name,
        as_left: &user.after,
        before: &user.before,
        column: user.column,
    }
}

fn fate(standing: Standing) -> Fate {
    match standing {
        Standing::AsLeft | Standing::Rewritten => Fate::Back,
        Standing::Changed => Fate::Changed,
        Standing::Gone => Fate::Gone,
        Standing::NoPlace => Fate::NoPlace,
    }
}

/// Which of the changed entries are what they were before the edit: seen the other way round, as if the edit
/// had been made from what it left to what was before.
fn stand_as_before(file: &KubeconfigFile, past: &[RecordedEdit], fates: &[Fate]) -> Vec<usize> {
    let changed: Vec<usize> = (0..past.len()).filter(|index| fates[*index] == Fate::Changed).collect();
    let reverse =
        |index: &usize| RecordedEdit { as_left: past[*index].before, before: past[*index].as_left, ..past[*index] };
    let reads_so = |index: &usize| {
        let standing = file.document.standing(&reverse(index));
        matches!(standing, Standing::AsLeft | Standing::Rewritten | Standing::NoPlace)
    };
    changed.into_iter().filter(reads_so).collect()
}
