//! Cases: every directory `tests/cases/GROUP/NAME/` is a test.
//!
//! | File | Holds |
//! |---|---|
//! | `commands` | what is run, line by line (see [`script`]) |
//! | `env` | optional: variables, `NAME=VALUE` a line |
//! | `home/` | optional: files of the home directory |
//! | `home-of` | instead: the case of this group whose `home/` it is |
//! | `expected` | everything that came of it (see [`transcript`]) |
//!
//! `KUBENTRA_BLESS=1` rewrites `expected`, `KUBENTRA_CASE=TEXT` runs the cases whose path holds
//! that text. Each case runs a second time with `-v 10` and fails if a secret shows up
//! (see [`canary`]).

mod canary;
mod entra;
mod hosts;
pub mod mask;
mod proof;
pub mod script;
pub mod stage;
mod transcript;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use script::{Kind, Line, Script};
use similar::{ChangeTag, TextDiff};
use stage::Stage;

/// A case mostly waits for processes, so a few at once keep two cores busy.
const THREADS: usize = 4;

#[test]
fn get_token() {
    run_group("get-token");
}

#[test]
fn convert() {
    run_group("convert");
}

#[test]
fn undo() {
    run_group("undo");
}

#[test]
fn other() {
    run_group("other");
}

#[test]
fn accounts() {
    run_group("accounts");
}

/// A directory with a case.
struct Case {
    name: String,
    directory: PathBuf,
}

/// Runs every case of a group; fails at the end with everything that differs.
fn run_group(group: &str) {
    let waiting = Mutex::new(cases(group));
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = next(&waiting) {
                    if let Err(why) = case.run() {
                        failures.lock().unwrap().push(format!("--- {} ---\n{why}", case.name));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} case(s) failed\n\n{}", failures.len(), failures.join("\n"));
}

fn next(waiting: &Mutex<Vec<Case>>) -> Option<Case> {
    waiting.lock().unwrap().pop()
}

fn cases(group: &str) -> Vec<Case> {
    let wanted = std::env::var("KUBENTRA_CASE").unwrap_or_default();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(group);
    let entries = fs::read_dir(&root).expect("the group's directory");
    let directories = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let cases = directories.map(|directory| {
        let name = directory.file_name().expect("a name").to_string_lossy().into_owned();
        Case { name: format!("{group}/{name}"), directory }
    });
    let mut cases: Vec<Case> = cases.filter(|case| case.name.contains(&wanted)).collect();
    // They are taken from the end.
    cases.sort_by(|one, other| other.name.cmp(&one.name));
    cases
}

impl Case {
    /// Plays the case twice: as it is written, and at the highest verbosity to look for secrets.
    fn run(&self) -> Result<(), String> {
        let script = Script::read(&self.directory)?;
        let plain = transcript::play(&script, &self.directory)?;
        self.compare(&plain.text)?;
        let loud = transcript::play(&script.loud(), &self.directory)?;
        canary::check(&plain, &loud)
    }

    fn compare(&self, actual: &str) -> Result<(), String> {
        let file = self.directory.join("expected");
        if std::env::var_os("KUBENTRA_BLESS").is_some() {
            return fs::write(&file, actual).map_err(|error| format!("{}: {error}", file.display()));
        }
        let expected = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        if expected == actual { Ok(()) } else { Err(difference(&expected, actual)) }
    }
}

/// A case up to its first conversion, for tests that disturb that.
pub struct Opening {
    pub stage: Stage,
    /// The conversion.
    pub line: Line,
}

/// The cases of conversions, by name; [`opening`] sets them up.
pub fn conversions() -> Vec<String> {
    cases("convert").into_iter().map(|case| case.name).collect()
}

/// The case `name` with all that stands before its first conversion; nothing if there is none.
pub fn opening(name: &str) -> Option<Opening> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name);
    let script = Script::read(&directory).expect("a script");
    let at = script.lines.iter().position(|line| line.words.get(1).is_some_and(|word| word == "convert-kubeconfig"))?;
    let mut stage = Stage::set(&script, &directory).expect("a stage");
    let before = script.lines[..at].iter().filter(|line| line.kind == Kind::Directive);
    before.for_each(|line| stage.direct(line).expect("a directive"));
    Some(Opening { stage, line: script.lines[at].clone() })
}

/// `-` stands before lines that are missing, `+` before lines that are new.
pub fn difference(expected: &str, actual: &str) -> String {
    let diff = TextDiff::from_lines(expected, actual);
    let lines = diff.iter_all_changes().map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        format!("{sign}{}\n", change.value().trim_end_matches('\n'))
    });
    lines.collect()
}

/// The scripts are long and clap's; what matters is that each is one, for the name it was asked by.
#[test]
fn completion() {
    let env = crate::env::TestEnv::new();
    for (shell, beginning) in [
        ("bash", "_kubelogin() {"),
        ("zsh", "#compdef kubelogin"),
        ("fish", "# Print an optspec for argparse"),
        ("powershell", "\nusing namespace System.Management.Automation"),
    ] {
        let run = crate::env::Run::of(&mut env.command("kubelogin", &["completion", shell]));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
        assert!(run.stdout.starts_with(beginning), "{shell}: {}", &run.stdout[..200]);
        for word in ["convert-kubeconfig", "client-secret-file", "devicecode", "kubelogin"] {
            assert!(run.stdout.contains(word), "{shell} lacks {word}");
        }
    }
}
