//! What can be taken back, for people and for programs.

use serde::Serialize;

use crate::error::{Error, one_line};
use crate::kubeconfig::journal::{Journal, Record, State};
use crate::options::types::Report as Form;
use crate::secret::Secret;
use crate::situation;
use crate::sys::rfc3339;

use super::{Kept, users};

#[derive(Serialize)]
struct List {
    directory: Option<String>,
    edits: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    number: usize,
    on: String,
    what: String,
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    file: String,
    users: Vec<String>,
    state: &'static str,
}

/// The edits that are kept, as text or JSON.
pub(super) fn list(kept: &Kept, form: Form) -> Result<Secret, Error> {
    let mut edits: Vec<Row> = Vec::new();
    for records in kept.edits() {
        let Some((_, first)) = records.first() else { continue };
        let (on, what) = (rfc3339(first.when), one_line(&first.what.to_string()));
        let files: Vec<File> = records.iter().filter_map(|(_, record)| File::of(record)).collect();
        if !files.is_empty() {
            edits.push(Row { number: edits.len() + 1, on, what, files });
        }
    }
    let directory = kept.journal.map(|journal: &Journal| journal.directory().display().to_string());
    let list = List { directory, edits };
    match form {
        Form::Text => Ok(Secret::new(list.text())),
        Form::Json => list.json(),
    }
}

impl List {
    fn text(&self) -> String {
        if self.edits.is_empty() {
            return "nothing to take back\n".into();
        }
        self.edits.iter().map(Row::text).collect()
    }

    fn json(&self) -> Result<Secret, Error> {
        let json = serde_json::to_string_pretty(self);
        let json = json.map_err(|error| Error::new(&situation::UNDO, format!("no list can be made: {error}")))?;
        Ok(Secret::new(json + "\n"))
    }
}

impl Row {
    fn text(&self) -> String {
        let Self { number, on, what, files } = self;
        let files =
            files.iter().map(|file| format!("      {}: {}, {}\n", file.file, users(file.users.len()), file.state));
        format!("{number:3}  {on}  {what}\n{}", files.collect::<String>())
    }
}

impl File {
    /// Nothing, where the file is as it was before.
    fn of(record: &Record) -> Option<Self> {
        let state = match record.state() {
            State::AsLeft => "can be taken back",
            State::AsBefore => return None,
            State::Changed => "changed since",
            State::Gone => "file is gone",
            State::Unreadable => "cannot be read",
        };
        let users = record.users.iter().map(|user| one_line(&user.name)).collect();
        Some(Self { file: one_line(&record.path().display().to_string()), users, state })
    }
}
