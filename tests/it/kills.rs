//! Killed, or failed by the file system, at every call that touches the home directory: injected
//! from outside by strace. A call that is to be killed does not happen.

mod conversions;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::env::{Run, TestEnv};
use crate::network::{dead_entry, strace};
use crate::parallel::timed;
use crate::support::entra::directory::{ALICE, APP_EXPIRED_SECRET};

/// Every call by which files are changed, and the opening of files, which may create them.
const CALLS: &str = "openat,write,fsync,fdatasync,flock,rename,renameat,renameat2,link,linkat,unlink,unlinkat,\
                     mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,fchown,ftruncate";

#[test]
fn a_login_killed_anywhere_is_made_up_for_by_the_next() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    Injection { strace, env: &env, args: env.spn(&[]) }.kill_everywhere(|point| recovers(&env, &env.spn(&[]), point));
}

#[test]
fn a_login_killed_anywhere_while_it_prunes_is_made_up_for_by_the_next() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    let other = env.spn(&["--client-secret", APP_EXPIRED_SECRET]);
    env.run_all(&other).failure();
    let dead = dead_entry(&env);
    Injection { strace, env: &env, args: env.spn(&[]) }.kill_everywhere(|point| {
        recovers(&env, &env.spn(&[]), point);
        env.run_all(&other).failure();
        assert!(!dead.iter().any(|path| path.exists()), "{point:?}");
    });
}

#[test]
fn a_renewal_killed_anywhere_needs_no_person() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    env.world.entra.approve(ALICE).token_lifetime(200);
    env.run_all(&env.device_code(&[])).token();
    env.world.entra.token_lifetime(3600);
    let injection = Injection { strace, env: &env, args: env.device_code(&[]) };
    injection.kill_everywhere(|point| recovers(&env, &env.device_code(&[]), point));
}

#[test]
fn a_conversion_killed_anywhere_leaves_the_old_or_the_new_text() {
    let Some(strace) = strace() else { return };
    let (env, path) = private_kubeconfig();
    let args = ["convert-kubeconfig", "-l", "spn"].map(String::from).to_vec();
    let read = || fs::read_to_string(&path).expect("the kubeconfig");
    let (before, old) = (Home::save(&env), read());
    assert_eq!(env.run_all(&args).code, 0);
    let new = read();
    assert_ne!(old, new);
    before.restore(&env);
    Injection { strace, env: &env, args: args.clone() }.kill_everywhere(|point| {
        assert!([&old, &new].contains(&&read()), "{point:?}: half a kubeconfig");
        let run = env.run_all(&args);
        assert!(run.code == 0 && read() == new, "{point:?} {run:#?}");
        assert!(!path.with_extension("lock").exists(), "{point:?}: the lock is left");
    });
}

/// What was killed before it wrote is no edit; what was killed after is one.
#[test]
fn a_conversion_killed_anywhere_is_taken_back_by_undo() {
    let Some(strace) = strace() else { return };
    let (env, path) = private_kubeconfig();
    let read = || fs::read_to_string(&path).expect("the kubeconfig");
    let older = read();
    assert_eq!(env.run(&["convert-kubeconfig", "-l", "azurecli"]).code, 0);
    let old = read();
    let args = ["convert-kubeconfig", "-l", "msi"].map(String::from).to_vec();
    Injection { strace, env: &env, args }.kill_everywhere(|point| {
        let wrote = read() != old;
        let run = env.run(&["undo"]);
        assert_eq!((run.code, read() == if wrote { &*old } else { &*older }), (0, true), "{point:?} {run:#?}");
    });
}

/// The next one finishes it, and takes no other edit back.
#[test]
fn an_undo_killed_anywhere_is_finished_by_the_next() {
    let Some(strace) = strace() else { return };
    let (env, path) = private_kubeconfig();
    let read = || fs::read_to_string(&path).expect("the kubeconfig");
    let older = read();
    assert_eq!(env.run(&["convert-kubeconfig", "-l", "azurecli"]).code, 0);
    let old = read();
    assert_eq!(env.run(&["convert-kubeconfig", "-l", "msi"]).code, 0);
    let new = read();
    Injection { strace, env: &env, args: vec!["undo".into()] }.kill_everywhere(|point| {
        assert!([&old, &new].contains(&&read()), "{point:?}: half a kubeconfig");
        for text in [&old, &older] {
            let run = env.run(&["undo"]);
            assert!(run.code == 0 && run.stderr.starts_with("took back ") && read() == *text, "{point:?} {run:#?}");
            assert!(!path.with_extension("lock").exists(), "{point:?}: the lock is left");
        }
        assert_eq!(env.run(&["undo"]).stderr, "nothing to take back\n");
    });
}

#[test]
fn a_journal_that_fails_anywhere_costs_one_line_and_never_the_conversion() {
    let Some(strace) = strace() else { return };
    let (env, path) = private_kubeconfig();
    let before = Home::save(&env);
    let args = ["convert-kubeconfig", "--login", "msi"].map(String::from).to_vec();
    let injection = Injection { strace, env: &env, args };
    let points: Vec<Point> = injection.points().into_iter().filter(Point::is_of_journal).collect();
    assert!(points.len() > 5, "{points:#?}");
    for point in &points {
        for error in point.errors() {
            before.restore(&env);
            let run = injection.run(&["-e", &format!("inject={}:error={error}:when={}", point.call, point.number)]);
            let undo = "note: this change cannot be taken back by undo: ";
            let notes = run.stderr.lines().filter(|line| line.starts_with(undo)).count();
            assert!(run.code == 0 && notes <= 1, "{point:?} {error} {run:#?}");
            assert!(fs::read_to_string(&path).is_ok_and(|text| text.contains("msi")), "{point:?} {error}");
            let undone = env.run(&["undo"]);
            let expected = if notes == 1 { "nothing to take back" } else { "took back" };
            assert!(undone.code == 0 && undone.stderr.starts_with(expected), "{point:?} {error} {run:#?} {undone:#?}");
        }
    }
}

/// In two containers that share a directory, neither sees the processes of the other.
#[test]
fn a_conversion_waits_for_one_in_another_container_and_goes_on_when_that_is_killed() {
    const TIME: Duration = Duration::from_millis(300);
    let (env, path) = private_kubeconfig();
    let lock = path.with_extension("lock");
    let holder = kubentra::internal::create_locked(&lock, b"kubentra 4194305\n").expect("a lock");
    let holder = thread::spawn(move || {
        thread::sleep(TIME);
        drop(holder);
    });
    let (run, took) = timed(|| env.run(&["convert-kubeconfig", "--login", "msi"]));
    assert!(run.code == 0 && took >= TIME, "{took:?} {run:#?}");
    assert!(!lock.exists());
    holder.join().expect("its end");
}

/// A home with a kubeconfig that nobody else can read.
fn private_kubeconfig() -> (TestEnv, std::path::PathBuf) {
    let env = crate::kubectl::signed_out();
    let path = env.home().join(".kube/config");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    (env, path)
}

#[test]
fn a_file_system_that_fails_anywhere_costs_one_line_and_never_the_token() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    Injection { strace, env: &env, args: env.spn(&[]) }.fail_everywhere();
}

#[test]
fn a_renewal_on_a_file_system_that_fails_anywhere_costs_one_line_and_never_the_token() {
    let Some(strace) = strace() else { return };
    let env = TestEnv::new();
    env.world.entra.approve(ALICE).token_lifetime(200);
    env.run_all(&env.device_code(&[])).token();
    Injection { strace, env: &env, args: env.device_code(&[]) }.fail_everywhere();
}

#[test]
fn a_full_disk_costs_one_line_and_never_the_token() {
    for args in [TestEnv::spn, TestEnv::device_code] {
        let env = TestEnv::new();
        env.world.entra.approve(ALICE);
        // Every write to a file fails with EFBIG; pipes are not concerned.
        let full = ["-c", "trap '' XFSZ; ulimit -f 0; exec kubentra \"$@\"", "sh"].map(String::from);
        let args: Vec<String> = full.into_iter().chain(args(&env, &[])).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let run = Run::of(&mut env.other(Path::new("/bin/sh"), &args));
        run.token();
        assert_eq!(run.stderr.lines().filter(|line| line.starts_with("note: ")).count(), 1, "{run:#?}");
        env.run_all(&env.spn(&[])).token();
    }
}

/// After a kill the next run brings a token without a word and with one request at most, and the
/// one after that needs none.
fn recovers(env: &TestEnv, args: &[String], point: &Point) {
    env.world.entra.clear_log();
    let next = env.run_all(args);
    assert_eq!((next.code, next.stderr.as_str()), (0, ""), "{point:?} {next:#?}");
    assert!(env.world.entra.requests().len() <= 1, "{point:?}: {:?}", env.world.entra.traffic());
    env.world.entra.clear_log();
    assert_eq!(env.run_all(args), next, "{point:?}");
    assert_eq!(env.world.entra.traffic(), Vec::<String>::new(), "{point:?}");
}

/// A system call that touches the home directory: its name, the how-manieth of that name in the
/// main thread, and the line of the trace.
#[derive(Debug)]
struct Point {
    call: String,
    number: usize,
    line: String,
}

/// The program under strace.
struct Injection<'a> {
    strace: &'a Path,
    env: &'a TestEnv,
    args: Vec<String>,
}

impl Injection<'_> {
    /// Kills a run at every point in turn, each from the same state of the home, and checks.
    fn kill_everywhere(&self, check: impl Fn(&Point)) {
        let before = Home::save(self.env);
        let points = self.points();
        let mut killed = 0;
        for point in &points {
            before.restore(self.env);
            let run = self.run(&["-e", &format!("inject={}:signal=KILL:when={}", point.call, point.number)]);
            killed += usize::from(run.code != 0);
            no_file_is_open_to_others(self.env.home().as_path(), point);
            check(point);
        }
        // Calls before the first that is ours may vary by one; that must stay the exception.
        assert!(points.len() > 5 && killed * 10 > points.len() * 9, "{killed} of {}", points.len());
    }

    /// Lets every point fail in turn, each from the same state of the home.
    fn fail_everywhere(&self) {
        let before = Home::save(self.env);
        for point in self.points() {
            for error in point.errors() {
                before.restore(self.env);
                let run = self.run(&["-e", &format!("inject={}:error={error}:when={}", point.call, point.number)]);
                run.token();
                let (notes, others): (Vec<_>, Vec<_>) = run.stderr.lines().partition(|line| line.starts_with("note: "));
                // What cannot be read is a miss, so it may come to a new prompt.
                let quiet = others.is_empty() || point.line.contains("O_RDONLY");
                assert!(notes.len() <= 1 && quiet, "{point:?} {error} {run:#?}");
            }
        }
    }

    /// The calls of an undisturbed run that touch the home.
    fn points(&self) -> Vec<Point> {
        let before = Home::save(self.env);
        let run = self.run(&[]);
        assert_eq!(run.code, 0, "{run:#?}");
        before.restore(self.env);
        let trace = fs::read_to_string(self.trace()).expect("a trace");
        points(&trace, |line| {
            // What is said of a file comes when all is done.
            let said = line.starts_with("write(2<");
            !said && (line.contains("/home/.kube") || line.contains("/home/.local"))
        })
    }

    fn run(&self, inject: &[&str]) -> Run {
        let (trace, only) = (self.trace(), format!("trace={CALLS}"));
        let program = self.env.dir().join("bin/kubentra").display().to_string();
        let fixed = ["-f", "-y", "-s", "200", "-o", &trace, "-e", &only];
        let own = self.args.iter().map(String::as_str);
        let args: Vec<&str> =
            fixed.into_iter().chain(inject.iter().copied()).chain([program.as_str()]).chain(own).collect();
        Run::of(&mut self.env.other(self.strace, &args))
    }

    fn trace(&self) -> String {
        self.env.dir().join("trace").display().to_string()
    }
}

/// Reads `PID call(arguments) = result` lines and picks some; strace counts for each thread by itself.
fn points(trace: &str, wanted: impl Fn(&str) -> bool) -> Vec<Point> {
    let main = trace.split(' ').next().unwrap_or_default();
    let mut counts = BTreeMap::<&str, usize>::new();
    let mut points = Vec::new();
    for line in trace.lines().filter_map(|line| line.strip_prefix(main)).map(str::trim_start) {
        let is_name = |call: &str| call.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let Some((call, _)) = line.split_once('(').filter(|(call, _)| is_name(call)) else { continue };
        let number = counts.entry(call).or_default();
        *number += 1;
        if wanted(line) {
            points.push(Point { call: call.to_owned(), number: *number, line: line.to_owned() });
        }
    }
    points
}

impl Point {
    fn is_of_journal(&self) -> bool {
        self.line.contains("/home/.local")
    }

    /// How this call fails on a disk that is full, read-only, broken or somebody else's.
    fn errors(&self) -> &'static [&'static str] {
        match self.call.as_str() {
            "write" => &["ENOSPC", "EIO"],
            "fsync" => &["EIO"],
            "flock" => &["ENOLCK"],
            _ => &["EROFS", "EACCES"],
        }
    }
}

fn no_file_is_open_to_others(directory: &Path, point: &Point) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let found = fs::symlink_metadata(&path).expect("a file");
        if found.is_dir() {
            no_file_is_open_to_others(&path, point);
        } else if !path.ends_with("config.lock") {
            // That one holds a process id, and kubectl has to be able to see it.
            assert_eq!(found.permissions().mode() & 0o077, 0, "{} {point:?}", path.display());
        }
    }
}

/// A copy of a home directory with all its modes.
struct Home(tempfile::TempDir);

impl Home {
    fn save(env: &TestEnv) -> Self {
        let copy = tempfile::tempdir().expect("a temporary directory");
        copy_directory(&env.home(), copy.path());
        Self(copy)
    }

    fn restore(&self, env: &TestEnv) {
        fs::remove_dir_all(env.home()).expect("a home to replace");
        fs::create_dir(env.home()).expect("a home");
        copy_directory(self.0.path(), &env.home());
    }
}

fn copy_directory(from: &Path, to: &Path) {
    let copied = Command::new("/bin/cp").arg("-a").arg(from.join(".")).arg(to).status().expect("cp");
    assert!(copied.success());
}
