//! What `undo` takes back: one sealed record for every file that was edited, written before the edit.
//!
//! Records lie in the state directory, under a key of their own: `logout` and `remove-cache-dir` are
//! about tokens and leave them alone. An entry that was converted may hold tokens and secrets, so its
//! record ends after [a while](MAX_AGE) and makes way for [newer ones](MAX_EDITS).

mod keeping;
mod record;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::io_words;
use crate::sealed::private::{FileCheck, check_directory, own_and_tighten};
use crate::sealed::{self, Vault, lock};
use crate::sys::{Env, Sys};

pub use keeping::Keeping;
pub use record::{Entry, Now, Record, State, What, fingerprint};

/// So many edits are kept.
pub const MAX_EDITS: usize = 50;
/// So long they are kept.
pub const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Our directory below that of all programs' state.
const OWN: &str = "kubentra";
/// Where the records lie in it.
const RECORDS: &str = "edits";
/// Extension of a record.
const RECORD: &str = "edit";
/// The lock of whoever takes an edit back.
const UNDO_LOCK: &str = "undo.lock";
/// A record holds less than twice its kubeconfig, in JSON.
const LIMIT: u64 = 512 * 1024 * 1024;

/// The directory of the journal, unless there is no home directory.
pub fn directory(env: &Env) -> Option<PathBuf> {
    Some(state_directory(env)?.join(OWN))
}

/// Where programs keep what they have done: the XDG base directories, or what the system has for it.
fn state_directory(env: &Env) -> Option<PathBuf> {
    if cfg!(windows) {
        return env.get("LOCALAPPDATA").map(PathBuf::from);
    }
    // A relative path counts as none, says the specification.
    let named = env.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let below_home = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" };
    named.or_else(|| env.home().map(|home| home.join(below_home)))
}

/// The journal, with its key.
pub struct Journal {
    vault: Vault,
    directory: PathBuf,
}

/// One command's edit of one file or several: the names of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// In the order in which the files were to be written.
    pub names: Vec<String>,
}

impl Journal {
    /// Opens what is there and creates nothing; `None` where nothing is kept. The error says why it must
    /// not be used.
    pub fn open(env: &Env) -> Result<Option<Self>, String> {
        let Some(directory) = directory(env) else { return Ok(None) };
        for own in [directory.clone(), directory.join(RECORDS)] {
            match check_directory(&own) {
                Ok(true) => {}
                Ok(false) => own_and_tighten(&own)?,
                Err(FileCheck::Refused(why)) => return Err(why),
                Err(_) => return Ok(None),
            }
        }
        match Vault::open(directory.clone(), LIMIT)? {
            Some(vault) => Ok(Some(Self { vault, directory })),
            None if names(&directory).is_empty() => Ok(None),
            None => Err(format!("{} is missing, damaged or open to others", directory.join(sealed::KEY).display())),
        }
    }

    /// The same, made or mended where it is missing or broken. The error says why not.
    pub fn create(env: &Env) -> Result<Self, String> {
        let directory = directory(env).ok_or("there is no home directory")?;
        let vault = Vault::create(directory.clone(), LIMIT)?;
        let records = directory.join(RECORDS);
        let failed = |error| format!("{}: {}", records.display(), io_words(&error));
        crate::files::create_private_directory(&records).map_err(failed)?;
        own_and_tighten(&records)?;
        Ok(Self { vault, directory })
    }

    /// Where it lies.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The edits that are kept, the newest first.
    pub fn edits(&self, sys: &Sys) -> Vec<Edit> {
        let mut edits = edits(&names(&self.directory));
        edits.retain(|edit| !is_over(edit, sys.clock.nanoseconds()));
        edits
    }

    /// What the record `name` holds, if it can be read.
    pub fn read(&self, name: &str) -> Option<Record> {
        self.vault.read(&path_of(name)).filter(Record::is_of_this_version)
    }

    /// Keeps `records` as one edit, and lets go of what is too old or too much. The error says why nothing
    /// is kept.
    pub fn keep(&self, sys: &Sys, records: &[Record]) -> Result<Edit, String> {
        let now = sys.clock.nanoseconds();
        let known = names(&self.directory);
        // A clock that was set back must not make the newest edit an older one.
        let newest = known.iter().filter_map(|name| moment(name)).max().unwrap_or_default();
        let first = now.max(newest.saturating_add(1));
        let random = random().ok_or("there are no random bytes")?;
        let name = |index: usize| format!("{:020}-{random}.{RECORD}", first.saturating_add(index as u64));
        let edit = Edit { names: (0..records.len()).map(name).collect() };
        for (name, record) in edit.names.iter().zip(records) {
            self.vault.write(&path_of(name), record).map_err(|error| {
                self.remove(&edit.names);
                io_words(&error)
            })?;
        }
        self.prune(now);
        Ok(edit)
    }

    /// Puts `record` in the place of the one called `name`.
    pub fn rewrite(&self, name: &str, record: &Record) -> Result<(), String> {
        self.vault.write(&path_of(name), record).map_err(|error| io_words(&error))
    }

    /// Removes records.
    pub fn remove(&self, names: &[String]) {
        for name in names {
            self.vault.remove(&path_of(name));
        }
    }

    /// Lets go of what is too old or too much.
    fn prune(&self, now: u64) {
        for (index, edit) in edits(&names(&self.directory)).iter().enumerate() {
            if index >= MAX_EDITS || is_over(edit, now) {
                self.remove(&edit.names);
            }
        }
    }

    /// Excludes every other `undo` until the lock is dropped; on a file system without locks nobody.
    pub fn lock(&self) -> Option<lock::Held> {
        lock::hold(&self.directory.join(UNDO_LOCK)).ok()
    }
}

/// The names of all records below `directory`, the oldest first.
fn names(directory: &Path) -> Vec<String> {
    let names = sealed::names(&directory.join(RECORDS), RECORD);
    names.into_iter().filter(|name| moment(name).is_some()).collect()
}

fn path_of(name: &str) -> String {
    format!("{RECORDS}/{name}")
}

/// The moment in a record's name: twenty digits, nanoseconds since 1970.
fn moment(name: &str) -> Option<u64> {
    let (digits, random) = name.strip_suffix(RECORD)?.strip_suffix('.')?.split_once('-')?;
    let is_ours = digits.len() == 20 && random.len() == 8;
    digits.parse().ok().filter(|_| is_ours)
}

/// What tells the records of one edit from others that were made in the same moment.
fn random_of(name: &str) -> Option<&str> {
    name.split_once('-').map(|(_, random)| random)
}

/// Records, the oldest first, as edits, the newest first: those of one command follow each other.
fn edits(names: &[String]) -> Vec<Edit> {
    let same = |one: &String, other: &String| random_of(one) == random_of(other);
    names.chunk_by(same).rev().map(|names| Edit { names: names.to_vec() }).collect()
}

fn is_over(edit: &Edit, now: u64) -> bool {
    let made = edit.names.first().and_then(|name| moment(name)).unwrap_or_default();
    Duration::from_nanos(now.saturating_sub(made)) > MAX_AGE
}

fn random() -> Option<String> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(sealed::hexadecimal(&bytes))
}
