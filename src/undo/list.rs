//! What can be taken back, for people and for programs.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, one_line};
use crate::kubeconfig::document::UndoState;
use crate::options::types::OutputFormat as Form;
use crate::os::clock::rfc3339;
use crate::outcome::json;
use crate::secret::Secret;
use crate::undo::journal::{Journal, Record, text_of};

use super::UndoTarget;
use super::undo_report::users;

#[derive(Serialize)]
struct UndoList {
    directory: Option<String>,
    edits: Vec<UndoListEdit>,
}

#[derive(Serialize)]
struct UndoListEdit {
    number: usize,
    on: String,
    what: String,
    files: Vec<UndoListFile>,
}

#[derive(Serialize)]
struct UndoListFile {
    file: String,
    users: Vec<String>,
    state: &'static str,
}

/// The edits that are kept, as text or JSON.
pub(super) fn list(meant: &UndoTarget, form: Form) -> Result<Secret, Error> {
    let mut edits: Vec<UndoListEdit> = Vec::new();
    let mut files = Files::default();
    for records in meant.edits() {
        let Some(journal) = meant.journal else { break };
        let Some((_, first)) = records.first() else { continue };
        let (on, what) = (rfc3339(first.when), one_line(&first.what.to_string()));
        let files: Vec<UndoListFile> = records.iter().filter_map(|(_, record)| files.row(journal, record)).collect();
        if !files.is_empty() {
            edits.push(UndoListEdit { number: edits.len() + 1, on, what, files });
        }
    }
    let directory = meant.journal.map(|journal| journal.directory().display().to_string());
    let list = UndoList { directory, edits };
    Ok(Secret::new(match form {
        Form::Text => list.text(),
        Form::Json => json(&list)?,
    }))
}

impl UndoList {
    fn text(&self) -> String {
        if self.edits.is_empty() {
            return "nothing to take back\n".into();
        }
        self.edits.iter().map(UndoListEdit::text).collect()
    }
}

impl UndoListEdit {
    fn text(&self) -> String {
        let Self { number, on, what, files } = self;
        let files =
            files.iter().map(|file| format!("      {}: {}, {}\n", file.file, users(file.users.len()), file.state));
        format!("{number:3}  {on}  {what}\n{}", files.collect::<String>())
    }
}

/// What each file is, or will be once all the edits that were looked at are taken back.
#[derive(Default)]
struct Files(HashMap<PathBuf, Result<String, UndoState>>);

impl Files {
    /// What is told of `record`, which is older than all before it; nothing, where the file is as it was
    /// before the edit.
    fn row(&mut self, journal: &Journal, record: &Record) -> Option<UndoListFile> {
        let now = self.0.entry(record.target.clone()).or_insert_with(|| text_of(record.path()));
        let state = now.as_mut().map_or_else(|state| *state, |text| record.state(journal, text));
        let state = match state {
            UndoState::Undone => return None,
            UndoState::Possible => {
                *now = Ok(record.taken_back(journal, now.as_ref().ok()?)?);
                "can be taken back"
            }
            UndoState::FileGone => "file is gone",
            UndoState::FileUnreadable => "cannot be read",
            _ => "changed since",
        };
        let users = record.users.iter().map(|user| one_line(&user.name)).collect();
        Some(UndoListFile { file: one_line(&record.path().display().to_string()), users, state })
    }
}
