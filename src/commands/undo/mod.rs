//! `undo`: takes back what `convert-kubeconfig` has done to kubeconfigs.
//!
//! `--list --output json` prints one object, whose field names stay:
//!
//! | Field | Holds |
//! |---|---|
//! | `directory` | where the records lie, or `null` where there never was one |
//! | `edits[].number` | 1 for the edit that `undo` takes back next |
//! | `edits[].on` | when it was made, RFC 3339 in UTC |
//! | `edits[].what` | what it was, such as `convert-kubeconfig to azurecli` |
//! | `edits[].files[]` | `file`, `users` (their names) and `state`: `can be taken back` (after the edits before it), `changed since`, `file is gone` or `cannot be read` |

mod finding;
mod list;

use std::cell::Cell;
use std::path::Path;

use crate::error::{Error, listed, one_line, visible};
use crate::kubeconfig::diff;
use crate::kubeconfig::journal::{self, Journal, Record};
use crate::kubeconfig::lock::{FileLock, clear_dead};
use crate::kubeconfig::replace::{Ahead, replace};
use crate::options::types::Report as Form;
use crate::options::{DRY_RUN, Given, KUBECONFIG, LIST, OUTPUT, Values};
use crate::secret::Secret;
use crate::situation;
use crate::sys::{Sys, rfc3339};
use crate::terminal::Look;

use super::Outcome;
use finding::{Fate, Finding};

/// For the help.
pub(super) const NOTES: &str = "\
    Without --kubeconfig the newest edit is taken back, in all the files that it was made to. An entry that has \
    been changed since is shown and left alone. The last 50 edits are kept for 30 days, sealed, for they may \
    hold secrets; convert-kubeconfig --no-undo keeps nothing.";

/// Takes back the newest edit, or lists them all.
pub(super) fn run(sys: &Sys, given: &Given) -> Result<Outcome, Error> {
    refuse_arguments(given)?;
    let values = Values::resolve(given, &sys.env);
    let file = values.get(&KUBECONFIG)?.map(|path| path.0);
    let form = values.require(&OUTPUT, "output cannot be empty")?;
    let lists = values.is_on(&LIST);
    if form == Form::Json && !lists {
        return Err(Error::new(&situation::USAGE, "there is JSON of a list only").remedy("give --list, too"));
    }
    let journal = Journal::open(&sys.env).map_err(|why| refused(&why))?;
    if let Some(journal) = &journal {
        journal.prune(sys);
    }
    let meant = Meant { sys, journal: journal.as_ref(), file: file.as_deref(), unreadable: Cell::new(0) };
    let outcome = if lists { list::list(&meant, form).map(Outcome::from) } else { take_back(&meant, &values) };
    meant.note_unreadable();
    outcome
}

/// The numbers of the list invite to name one.
fn refuse_arguments(given: &Given) -> Result<(), Error> {
    let Some(argument) = given.positionals.first() else { return Ok(()) };
    Err(Error::new(&situation::USAGE, format!("undo takes no argument, and \"{argument}\" is one"))
        .remedy("it takes back the newest change, and the next call the one before it; nothing was changed"))
}

fn refused(why: &str) -> Error {
    Error::new(&situation::UNDO, format!("what was kept for undo is not used: {why}"))
        .remedy("look at it; what was not taken back can be changed by hand")
}

/// The records that are meant.
struct Meant<'a> {
    sys: &'a Sys,
    journal: Option<&'a Journal>,
    /// The only file that is meant.
    file: Option<&'a Path>,
    unreadable: Cell<usize>,
}

/// A record with its name.
type Named = (String, Record);

impl Meant<'_> {
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

fn take_back(meant: &Meant, values: &Values) -> Result<Outcome, Error> {
    let sys = meant.sys;
    if let Some(journal) = meant.journal {
        let undo = Undo { sys, journal, dry_run: values.is_on(&DRY_RUN) };
        let _alone = (!undo.dry_run).then(|| journal.lock());
        for records in meant.edits() {
            if let Some(outcome) = undo.edit(&records)? {
                return Ok(outcome);
            }
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
}

/// Another program may write between our reading and our lock; then we look anew.
const ATTEMPTS: u32 = 3;

impl Undo<'_> {
    /// Takes one edit back; `None` if nothing of it is there.
    fn edit(&self, records: &[Named]) -> Result<Option<Outcome>, Error> {
        for _ in 0..ATTEMPTS {
            let findings: Vec<Finding> = records
                .iter()
                .map(|(name, record)| Finding::of(self.sys, self.journal, name, record))
                .collect::<Result<_, _>>()?;
            if findings.iter().all(Finding::is_void) {
                if self.let_go(&findings)? {
                    return Ok(None);
                }
            } else if let Some(outcome) = self.carry_out(&findings)? {
                return Ok(Some(outcome));
            }
        }
        Err(Error::new(&situation::UNDO, "the kubeconfig keeps changing while the edit is taken back")
            .remedy("run the command again when nothing else writes it; nothing was changed"))
    }

    /// Lets go of records of what never took place: their command was killed before it wrote, or somebody
    /// has put the old files back. `false` if it takes place right now.
    fn let_go(&self, findings: &[Finding]) -> Result<bool, Error> {
        for finding in findings.iter().filter(|_| !self.dry_run) {
            // Whoever writes a record holds this lock until its file is replaced.
            let _lock = FileLock::hold(self.sys, &finding.path)?;
            if !Finding::of(self.sys, self.journal, finding.name, finding.record)?.is_void() {
                return Ok(false);
            }
            self.journal.remove(&[finding.name.to_owned()]);
        }
        Ok(true)
    }

    /// Puts back what can be; `None` if a file has changed meanwhile.
    fn carry_out(&self, findings: &[Finding]) -> Result<Option<Outcome>, Error> {
        let mut changes = Vec::new();
        let mut marked = Vec::new();
        for finding in findings {
            if let Some(change) = finding.change()? {
                changes.push(change);
                marked.push(finding);
            }
        }
        let report = Report { undo: self, findings };
        if self.dry_run {
            let look = Look::of_stdout(&self.sys.env);
            let diffs =
                changes.iter().map(|change| diff::unified(change, &change.file.path, &[], look)).collect::<String>();
            let problem = report.tell()?;
            return Ok(Some(Outcome { stdout: Secret::new(diffs), problem }));
        }
        for finding in findings {
            clear_dead(&finding.path);
        }
        let mut marking = Marking { journal: self.journal, findings: &marked };
        if !replace(self.sys, &changes, "is taken back", &mut marking)? {
            return Ok(None);
        }
        for finding in findings {
            self.settle(finding);
        }
        let problem = report.tell()?;
        Ok(Some(Outcome { problem, ..Outcome::silent() }))
    }

    /// Keeps of a record what is left of it.
    fn settle(&self, finding: &Finding) {
        match finding.rest() {
            None => self.journal.remove(&[finding.name.to_owned()]),
            // Without space for it the whole record stays, and what is back is found to be so.
            Some(rest) => _ = self.journal.rewrite(finding.name, &rest),
        }
    }
}

/// Marks records before their files are replaced: an `undo` that is killed then is finished by the next one,
/// which would else take back another edit.
struct Marking<'a> {
    journal: &'a Journal,
    findings: &'a [&'a Finding<'a>],
}

impl Marking<'_> {
    fn mark(&self, first: usize, taking_back: bool) {
        for finding in self.findings.iter().skip(first) {
            // Where it can't be written the file is taken back all the same.
            let _ = self.journal.rewrite(finding.name, &finding.record.marked(taking_back));
        }
    }
}

impl Ahead for Marking<'_> {
    fn about_to_replace(&mut self) {
        self.mark(0, true);
    }

    fn not_replaced(&mut self, first: usize) {
        self.mark(first, false);
    }
}

/// What is said about each user.
struct Report<'a> {
    undo: &'a Undo<'a>,
    findings: &'a [Finding<'a>],
}

impl Report<'_> {
    /// One line a user, the difference of what is left alone, and how it went; the problem if something is left.
    fn tell(&self) -> Result<Option<Error>, Error> {
        let would = if self.undo.dry_run { "would take back" } else { "took back" };
        let (mut back, mut left) = (0, Vec::new());
        for finding in self.findings {
            let file = finding.path.display();
            for (user, fate) in finding.fates() {
                let name = &user.name;
                let why = match fate {
                    Fate::Back => {
                        back += 1;
                        self.say(&format!("{would} {name} ({file})"));
                        continue;
                    }
                    Fate::AsBefore => continue,
                    Fate::Changed => "it has been changed since",
                    Fate::Gone => "it is gone",
                    Fate::FileGone => "the file is gone",
                    Fate::NoPlace => "its old text does not fit into the file as it is now",
                };
                self.say(&format!("left alone: {name}: {why} ({file})"));
                for line in finding.difference(user, fate).iter().flat_map(|diff| diff.lines()) {
                    self.undo.sys.terminal.say(visible(line));
                }
                left.push(one_line(name));
            }
        }
        self.conclude(would, back, left)
    }

    fn conclude(&self, would: &str, back: usize, left: Vec<String>) -> Result<Option<Error>, Error> {
        let Some(first) = self.findings.first() else { return Ok(None) };
        let edit = format!("\"{}\" of {}", first.record.what, minute(first.record.when));
        let all = back + left.len();
        if back == 0 {
            return Err(Error::new(&situation::UNDO, format!("nothing that is left of {edit} can be taken back"))
                .remedy("change it by hand where you need to; nothing was written"));
        }
        self.say(&format!("{would} {edit}: {}", users(back)));
        let are = if left.len() == 1 { "is" } else { "are" };
        let rest = (!left.is_empty()).then(|| {
            let what = format!("{} of {} {are} not taken back: {}", left.len(), users(all), listed(left));
            Error::new(&situation::UNDO, what).remedy("change what is left by hand where you need to")
        });
        Ok(rest)
    }

    fn say(&self, line: &str) {
        self.undo.sys.terminal.say(one_line(line));
    }
}

/// `2026-11-22 09:00 UTC`
fn minute(when: u64) -> String {
    let moment = rfc3339(when).replace('T', " ");
    format!("{} UTC", moment.get(..16).unwrap_or(&moment))
}

/// `1 user`, `2 users`.
fn users(count: usize) -> String {
    if count == 1 { "1 user".into() } else { format!("{count} users") }
}
