//! `undo`: takes back what `convert-kubeconfig` has done to kubeconfigs.
//!
//! `--list --output json` prints one object, whose field names stay:
//!
//! | Field | Holds |
//! |---|---|
//! | `directory` | where the records lie, or `null` where there never was one |
//! | `edits[].number` | 1 for the newest edit, the first that `undo` looks at |
//! | `edits[].on` | when it was made, RFC 3339 in UTC |
//! | `edits[].what` | what it was, such as `convert-kubeconfig to azurecli` |
//! | `edits[].files[]` | `file`, `users` (their names) and `state`: `can be taken back` (after the edits before it), `changed since`, `file is gone` or `cannot be read` |

mod file_undo;
pub(crate) mod journal;
mod list;
pub(crate) mod public;
mod undo_report;

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::path::Path;

use crate::error::{Error, ErrorKind, one_line};
use crate::kubeconfig::diff;
use crate::kubeconfig::document::EditedDocument;
use crate::kubeconfig::file_lock::{FileLock, clear_dead};
use crate::kubeconfig::replace::{FileChange, ReplaceHook, replace};
use crate::options::types::OutputFormat as Form;
use crate::options::{DRY_RUN, KUBECONFIG, LIST, OUTPUT, ParsedArgs, Values};
use crate::secret::Secret;
use crate::sys::Sys;
use crate::terminal::OutputStyle;

use crate::outcome::Outcome;
use file_undo::FileUndo;
use journal::{Journal, JournalError, Record};
use undo_report::{Report, SkippedEdit};

/// For the help.
pub(crate) const NOTES: &str = "\
    Without --kubeconfig the newest edit is taken back, in all the files that it was made to. An entry that has \
    been changed since is shown and left alone; an edit of which nothing can be taken back any more is passed \
    over, and the one before it is meant. The last 50 edits are kept for 30 days, sealed, for they may \
    hold secrets; convert-kubeconfig --no-undo keeps nothing.";

/// Takes back the newest edit, or lists them all.
pub(crate) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    refuse_arguments(given)?;
    let values = Values::resolve(given, &sys.env);
    let file = values.get(&KUBECONFIG)?.map(|path| path.0);
    let form = values.require(&OUTPUT, "output cannot be empty")?;
    let lists = values.is_on(&LIST);
    if form == Form::Json && !lists {
        return Err(Error::new(ErrorKind::Usage, "there is JSON of a list only").remedy("give --list, too"));
    }
    let journal = match journal::place(&sys.env) {
        Some((directory, keys)) => Journal::open(&directory, &*keys).map_err(|why| refused(&why))?,
        None => None,
    };
    if let Some(journal) = &journal {
        journal.prune(sys);
    }
    let meant = UndoTarget { sys, journal: journal.as_ref(), file: file.as_deref(), unreadable: Cell::new(0) };
    let outcome = if lists { list::list(&meant, form).map(Outcome::from) } else { take_back(&meant, &values) };
    meant.note_unreadable();
    outcome
}

/// The numbers of the list invite to name one.
fn refuse_arguments(given: &ParsedArgs) -> Result<(), Error> {
    let Some(argument) = given.positionals.first() else { return Ok(()) };
    Err(Error::new(ErrorKind::Usage, format!("undo takes no argument, and \"{argument}\" is one"))
        .remedy("it takes back the newest change, and the next call the one before it; nothing was changed"))
}

fn refused(why: &JournalError) -> Error {
    Error::new(ErrorKind::Undo, format!("what was kept for undo is not used: {why}"))
        .remedy("look at it; what was not taken back can be changed by hand")
}

/// The records that are meant.
struct UndoTarget<'a> {
    sys: &'a Sys,
    journal: Option<&'a Journal>,
    /// The only file that is meant.
    file: Option<&'a Path>,
    unreadable: Cell<usize>,
}

/// A record with its name.
type Named = (String, Record);

impl UndoTarget<'_> {
    /// The edits with their records, the newest first; each is read when it is asked for.
    fn edits(&self) -> impl Iterator<Item = Vec<Named>> {
        let journal = self.journal.into_iter();
        let edits = journal.flat_map(|journal| journal.edits(self.sys).into_iter().map(move |edit| (journal, edit)));
        edits.map(|(journal, edit)| edit.names.into_iter().filter_map(|name| self.read(journal, name)).collect())
    }

    fn read(&self, journal: &Journal, name: String) -> Option<Named> {
        let Some(record) = journal.read(&name) else {
            self.unreadable.set(self.unreadable.get() + 1);
            return None;
        };
        self.file.is_none_or(|file| is_of(&record, file)).then_some((name, record))
    }

    fn note_unreadable(&self) {
        let directory = || self.journal.map(|journal| journal.directory().display().to_string()).unwrap_or_default();
        match self.unreadable.get() {
            0 => {}
            1 => self.sys.terminal.note(format!("note: 1 record in {} cannot be read", directory())),
            count => self.sys.terminal.note(format!("note: {count} records in {} cannot be read", directory())),
        }
    }
}

/// Whether `record` is about the file that `path` leads to, or has led to.
fn is_of(record: &Record, path: &Path) -> bool {
    match std::fs::canonicalize(path) {
        Ok(target) => target == record.target,
        Err(_) => std::path::absolute(path).is_ok_and(|path| path == record.file || path == record.target),
    }
}

fn take_back(meant: &UndoTarget, values: &Values) -> Result<Outcome, Error> {
    let sys = meant.sys;
    if let Some(journal) = meant.journal {
        let undo = Undo { sys, journal, dry_run: values.is_on(&DRY_RUN), passed: RefCell::default() };
        let _alone = (!undo.dry_run).then(|| journal.lock());
        for records in meant.edits() {
            if let Some(outcome) = undo.edit(&records)? {
                return Ok(outcome);
            }
        }
        let mut passed = undo.passed.take().into_iter();
        if let Some(newest) = passed.next() {
            return Err(newest.refuse(sys, passed.as_slice()));
        }
    }
    let of = meant.file.map(|file| format!(" in {}", file.display())).unwrap_or_default();
    let why = if journal::directory(&sys.env).is_none() { ": there is no home directory" } else { "" };
    sys.terminal.say(one_line(&format!("nothing to take back{of}{why}")));
    Ok(Outcome::silent())
}

struct Undo<'a> {
    sys: &'a Sys,
    journal: &'a Journal,
    dry_run: bool,
    /// The edits of which nothing can be taken back, the newest first.
    passed: RefCell<Vec<SkippedEdit>>,
}

/// Another program may write between our reading and our lock; then we look anew.
const ATTEMPTS: u32 = 3;

impl Undo<'_> {
    /// Takes one edit back; `None` if nothing of it is there, or can be taken back any more.
    fn edit(&self, records: &[Named]) -> Result<Option<Outcome>, Error> {
        for _ in 0..ATTEMPTS {
            let findings: Vec<FileUndo> =
                records.iter().map(|(name, record)| FileUndo::of(self.sys, self.journal, name, record, None)).collect();
            if findings.iter().all(FileUndo::is_void) {
                if self.let_go(&findings) {
                    return Ok(None);
                }
            } else if !findings.iter().any(FileUndo::is_of_use) {
                self.passed.borrow_mut().push(SkippedEdit::of(findings));
                return Ok(None);
            } else if let Some(outcome) = self.carry_out(findings)? {
                return Ok(Some(outcome));
            }
        }
        Err(Error::new(ErrorKind::Undo, "the kubeconfig keeps changing while the edit is taken back")
            .remedy("run the command again when nothing else writes it; nothing was changed"))
    }

    /// Lets go of records of what never took place: their command was killed before it wrote, or somebody
    /// has put the old files back. `false` if it takes place right now.
    fn let_go(&self, findings: &[FileUndo]) -> bool {
        for finding in findings.iter().filter(|_| !self.dry_run) {
            // Whoever writes a record holds this lock until its file is replaced. Where there can be no lock
            // the record stays, which keeps nobody from the older ones.
            let Ok(lock) = FileLock::hold(self.sys, &finding.path) else { continue };
            if !FileUndo::of(self.sys, self.journal, finding.name, finding.record, Some(&lock)).is_void() {
                return false;
            }
            self.journal.remove(&[finding.name.to_owned()]);
        }
        true
    }

    /// Puts back what can be; `None` if a file has changed meanwhile.
    fn carry_out(&self, mut findings: Vec<FileUndo>) -> Result<Option<Outcome>, Error> {
        for (index, passed) in self.passed.take().iter().enumerate() {
            passed.note(self.sys, index == 0);
        }
        let backs: Vec<_> = findings.iter_mut().map(|finding| finding.back.take()).collect();
        let findings = findings;
        let mut changes = Vec::new();
        let mut marked = Vec::new();
        for (finding, back) in findings.iter().zip(backs) {
            if let Some((file, text)) = finding.file.as_ref().zip(back) {
                changes.push(FileChange { file, edited: EditedDocument { text, touched: Vec::new() } });
                marked.push(finding);
            }
        }
        let report = Report { sys: self.sys, dry_run: self.dry_run, findings: &findings };
        if self.dry_run {
            let look = OutputStyle::of_stdout(&self.sys.env);
            let diffs = changes
                .iter()
                .map(|change| diff::unified(change, &change.file.path, &public::PUBLIC, look))
                .collect::<String>();
            return Ok(Some(Outcome { stdout: Secret::new(diffs), problem: report.tell() }));
        }
        for finding in &findings {
            clear_dead(&finding.path);
        }
        let mut marking = RecordMarker { journal: self.journal, findings: &marked };
        if !replace(self.sys, &changes, "is taken back", &mut marking)? {
            return Ok(None);
        }
        for finding in &findings {
            self.settle(finding);
        }
        Ok(Some(Outcome { problem: report.tell(), ..Outcome::silent() }))
    }

    /// Keeps of a record what is left of it.
    fn settle(&self, finding: &FileUndo) {
        match finding.rest() {
            None => self.journal.remove(&[finding.name.to_owned()]),
            Some(Cow::Borrowed(_)) => {}
            // Without space for it the whole record stays, and what is back is found to be so.
            Some(Cow::Owned(rest)) => _ = self.journal.rewrite(finding.name, &rest),
        }
    }
}

/// Marks records before their files are replaced: an `undo` that is killed then is finished by the next one,
/// which would else take back another edit.
struct RecordMarker<'a> {
    journal: &'a Journal,
    findings: &'a [&'a FileUndo<'a>],
}

impl RecordMarker<'_> {
    fn mark(&self, first: usize, taking_back: bool) {
        for finding in self.findings.iter().skip(first) {
            // Where it can't be written the file is taken back all the same.
            let _ = self.journal.rewrite(finding.name, &finding.record.marked(taking_back));
        }
    }
}

impl ReplaceHook for RecordMarker<'_> {
    fn before_replace(&mut self) {
        self.mark(0, true);
    }

    fn not_replaced(&mut self, first: usize) {
        self.mark(first, false);
    }
}
