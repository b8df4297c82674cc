//! What `undo` takes back: one sealed record for every file that was edited, written before the edit.
//!
//! Records lie in the state directory, under a key of their own: `logout` and `remove-cache-dir` are
//! about tokens and leave them alone. An entry that was converted may hold tokens and secrets, so its
//! record ends after [a while](MAX_AGE) and makes way for [newer ones](MAX_EDITS).

mod record;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::error::io_words;
use crate::os::env::Env;
use crate::store::permissions::{FileCheck, check_directory, own_and_tighten};
use crate::store::{self, EncryptedDir, Fingerprint, KeyStore, Storage, StoreError, lock};
use crate::sys::Sys;

pub(crate) use record::{Operation, Record, RecordedUser, is_gone, text_of};
pub(crate) use writer::{JournalResult, JournalWriter};

/// So many edits are kept.
pub(crate) const MAX_EDITS: usize = 50;
/// So long they are kept.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

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
pub(crate) fn directory(env: &Env) -> Option<PathBuf> {
    Some(state_directory(env)?.join(OWN))
}

/// That directory, and what keeps its key.
pub(crate) fn place(env: &Env) -> Option<(PathBuf, Rc<dyn KeyStore>)> {
    let directory = directory(env)?;
    let keys = Storage::File.key_store(&directory);
    Some((directory, keys))
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
pub(crate) struct Journal {
    store: EncryptedDir,
}

/// What one command has done to one file or several: the names of its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EditGroup {
    /// In the order in which the files were to be written.
    pub names: Vec<String>,
}

/// Why the journal is not used. Its text is the reason alone.
#[derive(Debug)]
pub(crate) enum JournalError {
    /// It has no place.
    NoHome,
    /// Its directory, or what keeps its key.
    Store(StoreError),
    /// There are records, and nothing in this directory that opens them.
    KeyLost(PathBuf),
    /// A record cannot be made or written.
    Record(std::io::Error),
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHome => f.write_str("there is no home directory"),
            Self::Store(error) => error.fmt(f),
            Self::KeyLost(directory) => {
                write!(f, "{} is missing, damaged or open to others", directory.join(store::KEY).display())
            }
            Self::Record(error) => f.write_str(&io_words(error)),
        }
    }
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Journal {
    /// Opens what is in `directory`, whose key is with `keys`, and creates nothing; `None` where nothing is
    /// kept.
    pub(crate) fn open(directory: &Path, keys: &dyn KeyStore) -> Result<Option<Self>, JournalError> {
        for own in [directory.to_owned(), directory.join(RECORDS)] {
            match check_directory(&own) {
                Ok(true) => {}
                Ok(false) => own_and_tighten(&own)?,
                Err(FileCheck::Refused(refusal)) => return Err(StoreError::Refused(refusal).into()),
                Err(_) => return Ok(None),
            }
        }
        match EncryptedDir::open(directory, LIMIT, keys)? {
            Some(store) => Ok(Some(Self { store })),
            None if names(directory).is_empty() => Ok(None),
            None => Err(JournalError::KeyLost(directory.to_owned())),
        }
    }

    /// The same, made or mended where it is missing or broken.
    pub(crate) fn create(directory: &Path, keys: &dyn KeyStore) -> Result<Self, JournalError> {
        let store = EncryptedDir::create(directory, LIMIT, keys, give_up)?;
        let records = store.directory().join(RECORDS);
        crate::os::files::create_private_directory(&records).map_err(StoreError::of_file(&records))?;
        own_and_tighten(&records)?;
        Ok(Self { store })
    }

    /// Where it lies.
    pub(crate) fn directory(&self) -> &Path {
        self.store.directory()
    }

    /// The edits that are kept, the newest first.
    pub(crate) fn edits(&self, sys: &Sys) -> Vec<EditGroup> {
        let mut edits = edits(&names(self.directory()));
        edits.retain(|edit| !is_over(edit, sys.clock.nanoseconds()));
        edits
    }

    /// What the record `name` holds, if it can be read.
    pub(crate) fn read(&self, name: &str) -> Option<Record> {
        self.store.read(&path_of(name)).filter(Record::is_of_this_version)
    }

    /// By what a text is known again.
    fn fingerprint(&self, text: &str) -> std::io::Result<Fingerprint> {
        self.store.fingerprint(text.as_bytes())
    }

    /// Whether `text` is what `fingerprint` was taken of; that of nothing is of no text.
    fn is(&self, text: &str, fingerprint: Option<&Fingerprint>) -> bool {
        fingerprint.is_some_and(|fingerprint| self.store.matches(fingerprint, text.as_bytes()))
    }

    /// Keeps `records` as one edit, and lets go of what is too old or too much. The error says why nothing
    /// is kept.
    pub(crate) fn keep(&self, sys: &Sys, records: &[Record]) -> Result<EditGroup, JournalError> {
        let now = sys.clock.nanoseconds();
        let known = names(self.directory());
        // A clock that was set back must not make the newest edit an older one.
        let newest = known.iter().filter_map(|name| moment(name)).max().unwrap_or_default();
        let first = now.max(newest.saturating_add(1));
        let random =
            random().ok_or_else(|| JournalError::Record(std::io::Error::other("there are no random bytes")))?;
        let name = |index: usize| format!("{:020}-{random}.{RECORD}", first.saturating_add(index as u64));
        let edit = EditGroup { names: (0..records.len()).map(name).collect() };
        for (name, record) in edit.names.iter().zip(records) {
            self.store.write(&path_of(name), record).map_err(|error| {
                self.remove(&edit.names);
                JournalError::Record(error)
            })?;
        }
        self.prune(sys);
        Ok(edit)
    }

    /// Puts `record` in the place of the one called `name`.
    pub(crate) fn rewrite(&self, name: &str, record: &Record) -> std::io::Result<()> {
        self.store.write(&path_of(name), record)
    }

    /// Removes records.
    pub(crate) fn remove(&self, names: &[String]) {
        for name in names {
            self.store.remove(&path_of(name));
        }
    }

    /// Lets go of what is too old or too much.
    pub(crate) fn prune(&self, sys: &Sys) {
        let now = sys.clock.nanoseconds();
        for (index, edit) in edits(&names(self.directory())).iter().enumerate() {
            if index >= MAX_EDITS || is_over(edit, now) {
                self.remove(&edit.names);
            }
        }
    }

    /// Excludes every other `undo` until the lock is dropped; on a file system without locks nobody.
    pub(crate) fn lock(&self) -> Option<lock::LockGuard> {
        lock::hold(&self.directory().join(UNDO_LOCK)).ok()
    }
}

/// What another key has opened: nothing opens it now.
fn give_up(store: &EncryptedDir) {
    for name in names(store.directory()) {
        store.remove(&path_of(&name));
    }
}

/// The names of all records below `directory`, the oldest first.
fn names(directory: &Path) -> Vec<String> {
    let names = store::names(&directory.join(RECORDS), RECORD);
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
fn edits(names: &[String]) -> Vec<EditGroup> {
    let same = |one: &String, other: &String| random_of(one) == random_of(other);
    names.chunk_by(same).rev().map(|names| EditGroup { names: names.to_vec() }).collect()
}

fn is_over(edit: &EditGroup, now: u64) -> bool {
    let made = edit.names.first().and_then(|name| moment(name)).unwrap_or_default();
    Duration::from_nanos(now.saturating_sub(made)) > MAX_AGE
}

fn random() -> Option<String> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(store::hexadecimal(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::tests::sys_with;
    use crate::kubeconfig::KubeconfigFile;
    use crate::kubeconfig::document::{Auth, Change, Exec, UndoState};
    use crate::kubeconfig::replace::FileChange;
    use crate::os::clock::fake::FakeClock;
    use crate::store::KeyError;

    const OLD: &str = "users:\r\n- name: u\r\n  user: {exec: {args: [x], command: c}} # c\r\n- name: v\r\n  user:\r\n    exec:\r\n      args: [y]\r\n";

    /// A world whose clock the test moves, and a kubeconfig in it.
    struct World {
        sys: Sys,
        clock: FakeClock,
        home: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let (clock, home) = (FakeClock::default(), tempfile::tempdir().unwrap());
            let mut sys = sys_with(clock.clone());
            sys.env = Env::from([("XDG_STATE_HOME", home.path().join("state").to_str().unwrap())]);
            crate::os::files::create(&home.path().join("config"), OLD.as_bytes()).unwrap();
            Self { sys, clock, home }
        }

        fn pass(&self, time: Duration) {
            self.clock.0.set(self.clock.0.get() + time);
        }

        fn journal(&self) -> Journal {
            let (directory, keys) = place(&self.sys.env).unwrap();
            Journal::create(&directory, &*keys).unwrap()
        }

        /// Keeps an edit of as many files.
        fn keep(&self, files: usize) -> EditGroup {
            let file = KubeconfigFile::new(self.home.path().join("config"), OLD.into()).unwrap();
            let args = vec!["a longer list".to_owned(), String::new()];
            let change = |user: usize| match &file.document.users()[user].auth {
                Auth::Exec(exec) => Change::User(user, Exec { args: args.clone(), ..exec.clone() }),
                _ => panic!("no exec"),
            };
            let edited = file.document.change(&[0, 1].map(change)).unwrap();
            let change = FileChange { file: &file, edited };
            let what = Operation { command: "convert-kubeconfig".into(), login: "spn".into() };
            let journal = self.journal();
            let record = Record::of(&journal, &change, &what, self.sys.clock.now()).unwrap();
            let new = change.edited.text.as_str();
            assert_eq!(record.taken_back(&journal, new).as_deref(), Some(OLD));
            for other in [OLD, &new[1..], &format!("{new} ")] {
                assert_eq!(record.taken_back(&journal, other), None);
            }
            assert_eq!(
                [OLD, new, ""].map(|text| record.state(&journal, text)),
                [UndoState::Undone, UndoState::Possible, UndoState::Changed]
            );
            journal.keep(&self.sys, &vec![record; files]).unwrap()
        }
    }

    #[test]
    fn records_of_one_edit_belong_together_and_the_newest_is_the_first() {
        let world = World::new();
        let (one, other) = (world.keep(2), world.keep(3));
        assert_eq!((one.names.len(), other.names.len()), (2, 3));
        assert_eq!(world.journal().edits(&world.sys), [other.clone(), one.clone()]);
        // A clock that goes back changes nothing.
        world.pass(Duration::from_secs(3600));
        let last = world.keep(1);
        world.clock.0.set(Duration::ZERO);
        let late = world.keep(1);
        assert_eq!(world.journal().edits(&world.sys), [late, last, other, one]);
    }

    #[test]
    fn the_newest_fifty_edits_are_kept() {
        let world = World::new();
        let kept: Vec<EditGroup> = (0..MAX_EDITS + 2).map(|_| world.keep(2)).collect();
        let journal = world.journal();
        let newest: Vec<EditGroup> = kept.iter().rev().take(MAX_EDITS).cloned().collect();
        assert_eq!(journal.edits(&world.sys), newest);
        assert!(kept[..2].iter().flat_map(|edit| &edit.names).all(|name| journal.read(name).is_none()));
        assert_eq!(names(journal.directory()).len(), 2 * MAX_EDITS);
    }

    #[test]
    fn an_edit_is_kept_for_thirty_days() {
        let world = World::new();
        let old = world.keep(1);
        world.pass(MAX_AGE);
        assert_eq!(world.journal().edits(&world.sys), [old]);
        world.pass(Duration::from_secs(1));
        assert_eq!(world.journal().edits(&world.sys), []);
        let new = world.keep(1);
        assert_eq!(names(world.journal().directory()), new.names, "what is written makes the old one go");
        world.pass(MAX_AGE + Duration::from_secs(1));
        world.journal().prune(&world.sys);
        assert_eq!(names(world.journal().directory()), [""; 0]);
    }

    #[test]
    fn a_record_opens_under_its_own_name_only() {
        let world = World::new();
        let (one, other) = (world.keep(1), world.keep(1));
        let journal = world.journal();
        let path = |edit: &EditGroup| journal.directory().join(RECORDS).join(&edit.names[0]);
        std::fs::copy(path(&one), path(&other)).unwrap();
        assert!(journal.read(&one.names[0]).is_some() && journal.read(&other.names[0]).is_none());
        let bytes = std::fs::read(path(&one)).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"longer"));
    }

    #[test]
    fn a_journal_works_on_any_store_of_its_key() {
        let world = World::new();
        let (directory, _) = place(&world.sys.env).unwrap();
        let edit = world.keep(1);
        let record = world.journal().read(&edit.names[0]).unwrap();
        let keys = store::MemoryKeyStore::empty();
        let journal = Journal::create(&directory, &keys).unwrap();
        assert!(journal.read(&edit.names[0]).is_none() && keys.has_key());
        let edit = journal.keep(&world.sys, &[record]).unwrap();
        let again = Journal::open(&directory, &keys).unwrap().unwrap();
        assert!(again.read(&edit.names[0]).is_some());
        let told = |error| Journal::open(&directory, &store::MemoryKeyStore::failing(error)).err().unwrap().to_string();
        assert_eq!(told(KeyError::Denied("it is locked".into())), "memory: it is locked");
        assert_eq!(
            told(KeyError::Absent),
            format!("{} is missing, damaged or open to others", directory.join("key").display())
        );
    }

    #[test]
    fn where_the_journal_lies() {
        let home = ("HOME", "/h");
        let of = |env: &Env| directory(env).map(|path| path.display().to_string());
        if cfg!(target_os = "linux") {
            assert_eq!(of(&Env::from([home])).as_deref(), Some("/h/.local/state/kubentra"));
            assert_eq!(of(&Env::from([home, ("XDG_STATE_HOME", "/s")])).as_deref(), Some("/s/kubentra"));
            assert_eq!(of(&Env::from([home, ("XDG_STATE_HOME", "s")])).as_deref(), Some("/h/.local/state/kubentra"));
        }
        assert_eq!(of(&Env::default()), None);
    }

    #[test]
    fn only_our_own_names_count() {
        assert_eq!(moment("01800000000000000000-0123abcd.edit"), Some(1_800_000_000_000_000_000));
        for name in ["1800000000000000000-0123abcd.edit", "01800000000000000000-0123abc.edit", "x.edit", "key", ""] {
            assert_eq!(moment(name), None, "{name}");
        }
    }
}
