//! What is found of an edit in its file.

use std::path::PathBuf;

use crate::error::Error;
use crate::kubeconfig::document::{Document, Edited, PastEdit, Standing, secrets_of_entry};
use crate::kubeconfig::journal::{Entry, Journal, Record, State};
use crate::kubeconfig::replace::Change;
use crate::kubeconfig::{self, Loaded, diff};
use crate::situation;
use crate::sys::Sys;

/// A record, and what its file holds now.
pub(super) struct Finding<'r> {
    pub(super) name: &'r str,
    pub(super) record: &'r Record,
    pub(super) path: PathBuf,
    /// The file; `None` if it is gone.
    file: Option<Loaded>,
    /// The text after the edit is taken back, where that differs.
    back: Option<String>,
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
    /// There is no file.
    FileGone,
    /// Its old bytes can't stand where it stands.
    NoPlace,
}

impl<'r> Finding<'r> {
    /// # Errors
    /// A file that can't be read or understood.
    pub(super) fn of(sys: &Sys, journal: &Journal, name: &'r str, record: &'r Record) -> Result<Self, Error> {
        let path = record.path().to_owned();
        let all = |fate| vec![fate; record.users.len()];
        let bare = Self { name, record, path, file: None, back: None, fates: Vec::new() };
        if std::fs::symlink_metadata(&bare.path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Ok(Self { fates: all(Fate::FileGone), ..bare });
        }
        let file = kubeconfig::load(sys, Some(&bare.path))?.pop();
        let Some(file) = file else { return Ok(Self { fates: all(Fate::FileGone), ..bare }) };
        let text = file.document.text();
        let (back, fates) = match record.state_of(journal, text) {
            // That an `undo` was about to put it there says that it was this edit.
            State::AsBefore => (None, all(if record.taking_back { Fate::Back } else { Fate::AsBefore })),
            State::AsLeft => {
                let old = record.taken_back(journal, text).ok_or_else(|| contradiction(record))?;
                (Some(old), all(Fate::Back))
            }
            _ => by_name(&file, record)?,
        };
        Ok(Self { file: Some(file), back, fates, ..bare })
    }

    /// Whether nothing of the edit is there.
    pub(super) fn is_void(&self) -> bool {
        self.fates.iter().all(|fate| *fate == Fate::AsBefore)
    }

    /// The change that takes the edit back.
    ///
    /// # Errors
    /// An old text that is no kubeconfig.
    pub(super) fn change(&self) -> Result<Option<Change<'_>>, Error> {
        let Some((file, back)) = self.file.as_ref().zip(self.back.as_ref()) else { return Ok(None) };
        let document = Document::parse(back.clone()).map_err(|_| contradiction(self.record))?;
        Ok(Some(Change { file, edited: Edited { document, touched: Vec::new() } }))
    }

    /// What comes of each user.
    pub(super) fn fates(&self) -> impl Iterator<Item = (&Entry, Fate)> {
        self.record.users.iter().zip(self.fates.iter().copied())
    }

    /// The record of what is left; `None` if nothing is.
    pub(super) fn rest(&self) -> Option<Record> {
        let left = self.fates().filter(|(_, fate)| !matches!(fate, Fate::Back | Fate::AsBefore));
        let users: Vec<Entry> = left.map(|(user, _)| user.clone()).collect();
        (!users.is_empty()).then(|| self.record.of_the_rest(users))
    }

    /// How a user's entry differs from what the edit left, every secret masked.
    pub(super) fn difference(&self, user: &Entry, fate: Fate) -> Option<String> {
        if fate != Fate::Changed {
            return None;
        }
        let document = &self.file.as_ref()?.document;
        let index = document.users().iter().position(|found| found.name == user.name)?;
        let entry = document.entry(index);
        let before = document.text().get(..entry.start)?;
        let column = before.rsplit(['\r', '\n']).next().map_or(0, |line| line.chars().count());
        let now = document.text().get(entry)?;
        let secrets = [secrets_of_entry(&user.after, user.column)?, secrets_of_entry(now, column)?].concat();
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        let name = &user.name;
        let titles = (format!("{name}, as {} left it", self.record.what.command), format!("{name} now"));
        let lines = |entry: &str| format!("{}\n", entry.trim_end());
        Some(diff::between(&lines(&user.after), &lines(now), (&titles.0, &titles.1), &secrets))
    }
}

fn contradiction(record: &Record) -> Error {
    Error::new(&situation::UNDO, "the record of the edit contradicts itself")
        .from_source(record.path().display())
        .remedy("change the entries by hand; nothing was written")
}

/// Another program has written the file since: entry by entry.
fn by_name(file: &Loaded, record: &Record) -> Result<(Option<String>, Vec<Fate>), Error> {
    let past: Vec<PastEdit> = record.users.iter().map(past).collect();
    let taken = file.document.take_back(&past);
    let mut fates: Vec<Fate> = taken.standings.iter().map(|standing| fate(*standing)).collect();
    // Those that an `undo` was about to put back are its work.
    let as_before = if record.taking_back { Fate::Back } else { Fate::AsBefore };
    for index in stand_as_before(file, &past, &fates) {
        fates[index] = as_before;
    }
    let back = taken.document.filter(|back| back.text() != file.document.text());
    Ok((back.map(|back| back.text().to_owned()), fates))
}

fn past(user: &Entry) -> PastEdit<'_> {
    PastEdit { name: &user.name, as_left: &user.after, before: &user.before, column: user.column }
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
fn stand_as_before(file: &Loaded, past: &[PastEdit], fates: &[Fate]) -> Vec<usize> {
    let changed: Vec<usize> = (0..past.len()).filter(|index| fates[*index] == Fate::Changed).collect();
    let reverse =
        |index: &usize| PastEdit { as_left: past[*index].before, before: past[*index].as_left, ..past[*index] };
    let reads_so = |index: &usize| {
        let standing = file.document.standing(&reverse(index));
        matches!(standing, Standing::AsLeft | Standing::Rewritten | Standing::NoPlace)
    };
    changed.into_iter().filter(reads_so).collect()
}
