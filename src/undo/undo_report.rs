//! What is said of an edit: what was taken back, what was left alone, what was passed over.

use crate::error::{Error, ErrorKind, listed, one_line, visible};
use crate::kubeconfig::document::UndoState;
use crate::os::clock::rfc3339;
use crate::sys::Sys;
use crate::undo::journal::{Record, RecordedUser};

use super::file_undo::FileUndo;

/// What is said about each user of an edit that is taken back.
pub(super) struct Report<'a> {
    pub(super) sys: &'a Sys,
    pub(super) dry_run: bool,
    pub(super) findings: &'a [FileUndo<'a>],
}

impl Report<'_> {
    /// One line a user, the difference of what is left alone, and how it went; the problem if something is left.
    pub(super) fn tell(&self) -> Option<Error> {
        let would = if self.dry_run { "would take back" } else { "took back" };
        let (mut back, mut left) = (0, Vec::new());
        for finding in self.findings {
            let file = finding.path.display();
            for (user, state) in finding.states() {
                match state {
                    UndoState::Possible => {
                        back += 1;
                        self.sys.terminal.say(one_line(&format!("{would} {} ({file})", user.name)));
                    }
                    UndoState::Undone => {}
                    _ => left.push(one_line(&user.name)),
                }
            }
            for line in left_alone(finding) {
                self.sys.terminal.say(line);
            }
        }
        let edit = self.findings.first().map(|finding| named(finding.record)).unwrap_or_default();
        self.sys.terminal.say(one_line(&format!("{would} {edit}: {}", users(back))));
        let all = users(back + left.len());
        let are = if left.len() == 1 { "is" } else { "are" };
        (!left.is_empty()).then(|| {
            let what = format!("{} of {all} {are} not taken back: {}", left.len(), listed(left));
            Error::new(ErrorKind::Undo, what).remedy("change what is left by hand where you need to")
        })
    }
}

/// An edit of which nothing can be taken back, in the words in which it may have to be spoken of.
pub(super) struct SkippedEdit {
    /// What it was.
    edit: String,
    /// Why, in short.
    why: String,
    /// How the entries differ that have been changed since.
    differences: Vec<String>,
    /// All that is said where no older edit is meant instead.
    left_alone: Vec<String>,
    /// The problem with the files, where there is nothing else to tell.
    problem: Option<Error>,
}

impl SkippedEdit {
    pub(super) fn of(mut findings: Vec<FileUndo>) -> Self {
        let edit = findings.first().map(|finding| named(finding.record)).unwrap_or_default();
        let why = findings.iter().flat_map(reasons).collect::<Vec<_>>().join("; ");
        let differences = findings.iter().flat_map(|finding| {
            finding.states().flat_map(|(user, state)| difference(finding, user, state)).collect::<Vec<_>>()
        });
        let (differences, left_alone) = (differences.collect(), findings.iter().flat_map(left_alone).collect());
        let all = findings.iter().all(|finding| finding.problem.is_some());
        let problem = findings.iter_mut().find_map(|finding| finding.problem.take()).filter(|_| all);
        Self { edit, why, differences, left_alone, problem }
    }

    /// One line, and the differences if this is the edit that was `first` meant.
    pub(super) fn note(&self, sys: &Sys, first: bool) {
        sys.terminal.note(one_line(&self.line()));
        for line in &self.differences {
            sys.terminal.detail(u8::from(!first), || line.clone());
        }
    }

    fn line(&self) -> String {
        format!("note: passed over {}: {}", self.edit, self.why)
    }

    /// Says all, and gives the error for that nothing can be taken back, neither of this edit nor of the
    /// `older` ones.
    pub(super) fn refuse(self, sys: &Sys, older: &[Self]) -> Error {
        if self.problem.is_none() {
            for line in &self.left_alone {
                sys.terminal.say(line);
            }
        }
        for passed in older {
            sys.terminal.detail(1, || one_line(&passed.line()));
        }
        let and = match older.len() {
            0 => String::new(),
            1 => " and of the one before it".into(),
            count => format!(" and of the {count} before it"),
        };
        self.problem.unwrap_or_else(|| {
            let what = format!("nothing that is left of {}{and} can be taken back", self.edit);
            Error::new(ErrorKind::Undo, what).remedy("change it by hand where you need to; nothing was written")
        })
    }
}

/// One line for each user whose entry is left alone, and how it differs from what the edit left.
fn left_alone(finding: &FileUndo) -> Vec<String> {
    let file = finding.path.display();
    let mut lines = Vec::new();
    for (user, state) in finding.states() {
        let why = match state {
            UndoState::Possible | UndoState::Undone => continue,
            UndoState::Changed => "it has been changed since",
            UndoState::Gone => "it is gone",
            UndoState::NoPlace => "its old text does not fit into the file as it is now",
            UndoState::FileGone => "the file is gone",
            UndoState::FileUnreadable => finding.problem.as_ref().map(Error::what).unwrap_or_default(),
        };
        lines.push(one_line(&format!("left alone: {}: {why} ({file})", user.name)));
        lines.extend(difference(finding, user, state));
    }
    lines
}

fn difference(finding: &FileUndo, user: &RecordedUser, state: UndoState) -> Vec<String> {
    finding.difference(user, state).iter().flat_map(|diff| diff.lines()).map(visible).collect()
}

/// Why nothing of a file's edit can be taken back: one reason for all entries that it holds for.
fn reasons(finding: &FileUndo) -> Vec<String> {
    if let Some(problem) = &finding.problem {
        return vec![problem.what().to_owned()];
    }
    let file = finding.path.display();
    let of = |wanted: UndoState, one: &str, several: &str| {
        let names = finding.states().filter(|(_, state)| *state == wanted).map(|(user, _)| user.name.clone());
        let names: Vec<String> = names.collect();
        let why = if names.len() == 1 { one } else { several };
        (!names.is_empty()).then(|| format!("{} {why} ({file})", some(names)))
    };
    let gone =
        finding.states().any(|(_, state)| state == UndoState::FileGone).then(|| format!("the file is gone ({file})"));
    let reasons = [
        gone,
        of(UndoState::Changed, "has been changed since", "have been changed since"),
        of(UndoState::Gone, "is gone", "are gone"),
        of(UndoState::NoPlace, NO_PLACE.0, NO_PLACE.1),
    ];
    reasons.into_iter().flatten().collect()
}

const NO_PLACE: (&str, &str) =
    ("does not fit into the file as it was before", "do not fit into the file as they were before");

/// A few names, or how many there are.
fn some(names: Vec<String>) -> String {
    if names.len() > 3 { users(names.len()) } else { listed(names) }
}

fn named(record: &Record) -> String {
    format!("\"{}\" of {}", record.what, minute(record.when))
}

/// `2026-11-22 09:00 UTC`
fn minute(when: u64) -> String {
    let moment = rfc3339(when).replace('T', " ");
    format!("{} UTC", moment.get(..16).unwrap_or(&moment))
}

/// `1 user`, `2 users`.
pub(super) fn users(count: usize) -> String {
    if count == 1 { "1 user".into() } else { format!("{count} users") }
}
