//! Keeping what a command is about to do to its files.

use crate::kubeconfig::replace::{FileChange, ReplaceHook};
use crate::sys::Sys;

use super::{EditGroup, Journal, JournalError, Operation, Record};

/// Writes the records of `changes` before they are made. What can't be kept stops nothing.
pub(crate) struct JournalWriter<'a> {
    sys: &'a Sys,
    what: &'a Operation,
    changes: &'a [FileChange<'a>],
    outcome: Option<Result<(Journal, EditGroup), JournalError>>,
}

/// Whether `undo` takes a change back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JournalResult {
    /// Nothing was to be kept.
    Nothing,
    /// It does.
    Edit,
    /// It can't, and why.
    Failed(String),
}

impl<'a> JournalWriter<'a> {
    /// For `changes`, which `what` makes.
    pub(crate) fn new(sys: &'a Sys, what: &'a Operation, changes: &'a [FileChange<'a>]) -> Self {
        Self { sys, what, changes, outcome: None }
    }

    /// What came of it.
    pub(crate) fn kept(self) -> JournalResult {
        match self.outcome {
            None => JournalResult::Nothing,
            Some(Ok(_)) => JournalResult::Edit,
            Some(Err(error)) => JournalResult::Failed(error.to_string()),
        }
    }

    fn keep(&self) -> Result<(Journal, EditGroup), JournalError> {
        let (directory, keys) = super::place(&self.sys.env).ok_or(JournalError::NoHome)?;
        let journal = Journal::create(&directory, &*keys)?;
        let now = self.sys.clock.now();
        let records = self.changes.iter().map(|change| Record::of(&journal, change, self.what, now));
        let records = records.collect::<std::io::Result<Vec<_>>>().map_err(JournalError::Record)?;
        let edit = journal.keep(self.sys, &records)?;
        Ok((journal, edit))
    }
}

impl ReplaceHook for JournalWriter<'_> {
    fn before_replace(&mut self) {
        if !self.changes.is_empty() {
            self.outcome = Some(self.keep());
        }
    }

    fn not_replaced(&mut self, first: usize) {
        if let Some(Ok((journal, edit))) = &self.outcome {
            journal.remove(edit.names.get(first..).unwrap_or_default());
        }
    }
}
