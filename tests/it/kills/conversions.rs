//! The first conversion of every case that writes a file, killed and failed at the calls by which it
//! changes files: a third of them in each case, another third in the next. The cases are alike, so that
//! every call has its turn dozens of times; `KUBENTRA_EVERY_CALL=1` takes all of them.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use super::{Point, points};
use crate::cases::{self, Opening};
use crate::env::Run;
use crate::network::strace;

/// One for each processor of a small machine.
const THREADS: usize = 2;

/// Of so many calls one is disturbed.
const SHARE: usize = 3;

/// Every call by which files are changed. Of the openings, those that write are picked.
const CALLS: &str = "openat,write,fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlinkat,unlink,unlinkat,\
                     mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,fchown,ftruncate";

#[test]
fn every_conversion_killed_anywhere_leaves_old_or_new_files() {
    let Some(strace) = strace() else { return };
    let disturbed = every_conversion(strace, |conversion, point| {
        let killed = conversion.run(&["-e", &format!("inject={}:signal=KILL:when={}", point.call, point.number)]);
        conversion.expect_old_or_new(point);
        let next = conversion.run(&[]);
        assert_eq!(next.code, conversion.code, "{} {point:?} {next:#?}", conversion.name);
        conversion.expect(&conversion.new, point);
        usize::from(killed.code != conversion.code)
    });
    // Calls before the first that is ours may vary by one; that must stay the exception.
    assert!(disturbed.hits * 10 > disturbed.points * 9, "{disturbed:?}");
}

#[test]
fn every_conversion_on_a_file_system_that_fails_anywhere_leaves_old_files_and_one_line() {
    let Some(strace) = strace() else { return };
    let disturbed = every_conversion(strace, |conversion, point| {
        // The cases are many and much alike, so that all errors have their turn at all calls.
        let error = errors(point)[(conversion.name.len() + point.number) % errors(point).len()];
        let run = conversion.run(&["-e", &format!("inject={}:error={error}:when={}", point.call, point.number)]);
        let now = conversion.files();
        let about = || format!("{} {point:?} {error} {run:#?}", conversion.name);
        if run.code == conversion.code {
            // What fails after the file is there, or need not be done, costs nothing.
            assert!(same_but_for_lock(&now, &conversion.new), "{}", about());
            return 0;
        }
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(run.code == 1 && last.starts_with("Error: "), "{}", about());
        // Of several files the error names those that are done.
        for (path, old) in conversion.old.iter().filter(|(path, _)| !is_lock(path)) {
            let done = || run.stderr.contains(&format!("/{} is converted", path.display()));
            let new = conversion.new.get(path) == now.get(path) && done();
            assert!(now.get(path) == Some(old) || new, "{}: {}", about(), path.display());
        }
        let more =
            now.iter().filter(|(path, entry)| !conversion.old.contains_key(*path) && **entry != Entry::Directory);
        let more: Vec<_> = more.map(|(path, _)| path).collect();
        assert!(more.is_empty(), "{}: {more:?}", about());
        1
    });
    assert!(disturbed.hits * 5 > disturbed.points, "{disturbed:?}");
}

/// How the call of `point` fails on a disk that is full, broken, read-only or somebody else's.
fn errors(point: &Point) -> &'static [&'static str] {
    match point.call.as_str() {
        "write" => &["ENOSPC", "EIO"],
        "fsync" | "fdatasync" => &["EIO"],
        "openat" => &["ENOSPC", "EROFS", "EACCES"],
        _ => &["EIO", "EROFS", "EACCES"],
    }
}

/// How many calls there were, and how many did their harm.
#[derive(Debug, Default)]
struct Disturbed {
    cases: usize,
    points: usize,
    hits: usize,
}

/// Disturbs the conversion of every case at every point, each time from the same files.
fn every_conversion(strace: &Path, disturb: impl Fn(&Conversion, &Point) -> usize + Sync) -> Disturbed {
    let share = if std::env::var_os("KUBENTRA_EVERY_CALL").is_some() { 1 } else { SHARE };
    let waiting = Mutex::new(cases::conversions());
    let all = Mutex::new(Disturbed::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(name) = { waiting.lock().unwrap().pop() } {
                    let Some((conversion, points)) = Conversion::of(strace, &name) else { continue };
                    let turn = name.bytes().map(usize::from).sum::<usize>();
                    let chosen = points.iter().skip(turn % share).step_by(share);
                    let hits = chosen.clone().map(|point| {
                        conversion.restore();
                        disturb(&conversion, point)
                    });
                    let hits = hits.sum::<usize>();
                    let mut all = all.lock().unwrap();
                    all.cases += 1;
                    all.points += chosen.len();
                    all.hits += hits;
                }
            });
        }
    });
    let all = all.into_inner().unwrap();
    assert!(all.cases > 90 && all.points > all.cases * 4, "{all:?}");
    all
}

/// A conversion that writes files.
struct Conversion<'a> {
    name: &'a str,
    strace: &'a Path,
    opening: Opening,
    old: Files,
    new: Files,
    /// How it ends.
    code: i32,
}

/// What lies in the home directory, the records of edits apart.
type Files = BTreeMap<PathBuf, Entry>;

#[derive(Clone, PartialEq, Eq)]
enum Entry {
    Directory,
    Link(PathBuf),
    File { mode: u32, content: Vec<u8> },
}

impl<'a> Conversion<'a> {
    /// The conversion of a case after an undisturbed run, and the calls by which that has changed files;
    /// nothing if it has changed none.
    fn of(strace: &'a Path, name: &'a str) -> Option<(Self, Vec<Point>)> {
        let opening = cases::opening(name)?;
        let old = files(&opening.stage.env.home());
        let mut conversion = Self { name, strace, opening, old: old.clone(), new: old, code: 0 };
        conversion.code = conversion.run(&[]).code;
        conversion.new = conversion.files();
        if conversion.new == conversion.old {
            return None;
        }
        let trace = fs::read_to_string(conversion.trace()).expect("a trace");
        let home = conversion.opening.stage.env.home().display().to_string();
        let points = points(&trace, |line| line.contains(&home) && changes_files(line));
        Some((conversion, points))
    }

    fn run(&self, inject: &[&str]) -> Run {
        let stage = &self.opening.stage;
        let words: Vec<String> = self.opening.line.words.iter().map(|word| stage.fill(word)).collect();
        let program = stage.env.dir().join("bin").join(&words[0]).display().to_string();
        let (trace, only) = (self.trace(), format!("trace={CALLS}"));
        let fixed = ["-f", "-y", "-s", "0", "-o", &trace, "-e", &only];
        let own = words[1..].iter().map(String::as_str);
        let args: Vec<&str> =
            fixed.into_iter().chain(inject.iter().copied()).chain([program.as_str()]).chain(own).collect();
        Run::of(stage.env.other(self.strace, &args).current_dir(&stage.directory))
    }

    fn trace(&self) -> String {
        self.opening.stage.env.dir().join("trace").display().to_string()
    }

    fn files(&self) -> Files {
        files(&self.opening.stage.env.home())
    }

    fn restore(&self) {
        let home = self.opening.stage.env.home();
        for entry in fs::read_dir(&home).expect("a home").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            let directory = entry.file_type().expect("a type").is_dir();
            let removed = if directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
            removed.expect("a home to replace");
        }
        for (path, entry) in &self.old {
            let path = home.join(path);
            match entry {
                Entry::Directory => fs::create_dir(path),
                Entry::Link(target) => symlink(target, path),
                Entry::File { mode, content } => {
                    fs::write(&path, content).and_then(|()| fs::set_permissions(path, Permissions::from_mode(*mode)))
                }
            }
            .expect("a file of the home");
        }
    }

    /// Each file is wholly old or wholly new, with its mode; a link is a link. A temporary file or a lock
    /// may be left: both are private or say who has left them.
    fn expect_old_or_new(&self, point: &Point) {
        for (path, entry) in self.files() {
            let known = [self.old.get(&path), self.new.get(&path)].contains(&Some(&entry));
            let fine = known || is_left(&path) || entry == Entry::Directory;
            assert!(fine, "{} {point:?}: {}", self.name, path.display());
        }
        for (path, _) in self.old.iter().filter(|(path, _)| self.new.contains_key(*path)) {
            assert!(self.opening.stage.env.home().join(path).symlink_metadata().is_ok(), "{} {point:?}", self.name);
        }
    }

    /// These files and no others; temporary files of one that was killed are swept later.
    fn expect(&self, files: &Files, point: &Point) {
        let mut now = self.files();
        now.retain(|path, _| !is_temporary(path));
        let differs = |path: &&PathBuf| now.get(*path) != files.get(*path);
        let other: Vec<_> = now.keys().chain(files.keys()).filter(differs).collect();
        assert!(other.is_empty(), "{} {point:?}: {other:?} differs", self.name);
    }
}

/// Directories are opened to make a rename last: then the file is there already.
fn changes_files(line: &str) -> bool {
    let flags = ["O_CREAT", "O_WRONLY", "O_RDWR"];
    let opened = line.rsplit_once('<').map_or("", |(_, path)| path.trim_end_matches('>'));
    let directory = || Path::new(opened).is_dir() && !line.contains("O_DIRECTORY");
    !line.contains("openat(") || flags.iter().any(|flag| line.contains(flag)) || directory()
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| kubentra::internal::is_temporary(&name.to_string_lossy()))
}

fn is_left(path: &Path) -> bool {
    is_temporary(path) || is_lock(path)
}

fn is_lock(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "lock")
}

/// A lock whose removal fails stays; the next run removes it. Directories may be missing, of records that
/// could not be kept.
fn same_but_for_lock(now: &Files, then: &Files) -> bool {
    let others = |files: &Files| -> Files {
        let others = files.iter().filter(|(path, entry)| !is_lock(path) && **entry != Entry::Directory);
        others.map(|(path, entry)| (path.clone(), entry.clone())).collect()
    };
    others(now) == others(then)
}

fn files(home: &Path) -> Files {
    let mut found = Files::new();
    gather(home, Path::new(""), &mut found);
    found
}

fn gather(home: &Path, below: &Path, found: &mut Files) {
    for entry in fs::read_dir(home.join(below)).expect("a directory").map(|entry| entry.expect("an entry")) {
        let (path, kind) = (below.join(entry.file_name()), entry.file_type().expect("a type"));
        // Caches and records of edits are sealed, and another text each time.
        if path.ends_with("kubentra") && kind.is_dir() {
            continue;
        }
        let entry = if kind.is_dir() {
            gather(home, &path, found);
            Entry::Directory
        } else if kind.is_symlink() {
            Entry::Link(fs::read_link(entry.path()).expect("a link"))
        } else {
            let mode = entry.metadata().expect("a file").permissions().mode() & 0o7777;
            Entry::File { mode, content: fs::read(entry.path()).unwrap_or_default() }
        };
        found.insert(path, entry);
    }
}
