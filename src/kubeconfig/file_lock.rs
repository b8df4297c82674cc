//! client-go's lock on a kubeconfig: `<file>.lock`, created exclusively, removed afterwards. kubectl
//! honours it and gives up at once where it exists, so we hold it for as short as we can.
//!
//! client-go's lock outlives whoever was killed under it. Ours need not: it is a file with our name in it
//! that we have locked with flock(2) before it gets its place, and the kernel ends that lock with us,
//! whichever container or host we run in. A process id alone would say nothing there.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::error::{Error, ErrorKind, io_words};
use crate::shell;
use crate::sys::Sys;

/// A held lock; dropping it removes the file.
pub(crate) struct FileLock {
    path: PathBuf,
    /// Locked as long as we live.
    file: File,
}

/// How long to wait between two looks at a lock.
pub(super) const PAUSE: Duration = Duration::from_millis(50);
/// So many looks at a lock: one second, and as long before that while the file is read.
pub(super) const ATTEMPTS: u32 = 20;

impl FileLock {
    /// Locks `kubeconfig`, waiting a second for another program that has locked it just now.
    ///
    /// # Errors
    /// A lock that stays, with its path and age; a directory that can't be written.
    pub(crate) fn hold(sys: &Sys, kubeconfig: &Path) -> Result<Self, Error> {
        Self::hold_or(sys, kubeconfig, cannot)
    }

    /// Like [`FileLock::hold`]; `cannot` says why the lock at a path could not be created.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn hold_or(
        sys: &Sys,
        kubeconfig: &Path,
        cannot: impl Fn(&Path, &io::Error) -> Error,
    ) -> Result<Self, Error> {
        let path = lock_path(kubeconfig);
        for _ in 0..ATTEMPTS {
            match crate::os::files::create_locked(&path, format!("{OURS}{}\n", std::process::id()).as_bytes()) {
                Ok(file) => return Ok(Self { path, file }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear_dead(kubeconfig),
                Err(error) => return Err(cannot(&path, &error)),
            }
            match age(sys, &path) {
                Some(age) if age > STALE => return Err(stale(kubeconfig, &path, age)),
                Some(_) => sys.clock.pause(PAUSE),
                None => {}
            }
        }
        let other = if holder_at(&path).is_some() { "kubentra" } else { "program" };
        Err(Error::new(ErrorKind::File, format!("{} is locked by another {other}", kubeconfig.display()))
            .from_source(path.display())
            .remedy("wait for that program; if there is none, remove the lock file"))
    }
}

/// Whether somebody is writing `kubeconfig`.
pub(super) fn is_held(sys: &Sys, kubeconfig: &Path) -> bool {
    let path = lock_path(kubeconfig);
    age(sys, &path).is_some_and(|age| age <= STALE) && dead(&path).is_none()
}

/// How long the lock has been there, if it is.
fn age(sys: &Sys, path: &Path) -> Option<Duration> {
    let made = path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(sys.clock.now()).saturating_sub(made))
}

/// What our locks begin with; then comes the process id. client-go's are empty.
const OURS: &str = "kubentra ";

/// client-go holds its lock for one write, and has no rule by which a killed one's lock ends.
const STALE: Duration = Duration::from_secs(60);

fn stale(kubeconfig: &Path, path: &Path, age: Duration) -> Error {
    let minutes = age.as_secs() / 60;
    let age = match minutes {
        ..2 => "a minute".into(),
        2..120 => format!("{minutes} minutes"),
        120..2880 => format!("{} hours", minutes / 60),
        _ => format!("{} days", minutes / 1440),
    };
    let what = format!("{} has been locked for {age}, which no program needs", kubeconfig.display());
    let remove = format!("`rm {}`", shell::word(&path.display().to_string()));
    let remedy = match holder_at(path) {
        Some(process) => format!(
            "a kubentra holds it, process {process} here or in a container that shares the directory: end that \
             process, or if there is none, {remove}"
        ),
        None => format!(
            "most likely a program that was killed, such as kubectl, has left it: see that none is running, then \
             {remove}"
        ),
    };
    Error::new(ErrorKind::File, what).from_source(path.display()).remedy(remedy)
}

/// Removes the lock that a killed kubentra has left on `kubeconfig`; kubectl would fail on it for
/// ever. Any other lock is somebody's.
pub(crate) fn clear_dead(kubeconfig: &Path) {
    let path = lock_path(kubeconfig);
    if let Some(_locked) = dead(&path) {
        let _ = std::fs::remove_file(path);
    }
}

/// The lock at `path` if it is of a kubentra that lives no more; as long as it is open nobody else finds it.
fn dead(path: &Path) -> Option<File> {
    let file = crate::os::files::open_existing_lock_file(path).ok()?;
    let process = holder(&file)?;
    let is_dead = match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        // Without such locks on this file system the process id is all there is.
        Err(TryLockError::Error(_)) => process.parse().is_ok_and(is_gone),
    };
    // Between our open and our lock it may have been removed, and another one made.
    (is_dead && crate::os::files::is_still(path, &file)).then_some(file)
}

fn holder_at(path: &Path) -> Option<String> {
    holder(&crate::os::files::open_existing_lock_file(path).ok()?)
}

/// The process id in a lock of ours.
fn holder(lock: &File) -> Option<String> {
    let mut text = String::new();
    lock.take(64).read_to_string(&mut text).ok()?;
    text.strip_prefix(OURS).map(|process| process.trim().to_owned())
}

/// Whether the kubentra that had this id is gone. In a new container we may well have the id of the one
/// before us.
fn is_gone(pid: i32) -> bool {
    i32::try_from(std::process::id()) == Ok(pid) || !is_alive(pid)
}

#[cfg(unix)]
fn is_alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid.max(0)) else { return false };
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn is_alive(_: i32) -> bool {
    true
}

fn lock_path(kubeconfig: &Path) -> PathBuf {
    let mut path = kubeconfig.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn cannot(path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem};
    let (why, remedy) = match error.kind() {
        _ if crate::os::files::is_full(error) => (io_words(error), "free some space there; nothing was changed"),
        NotFound => ("its directory does not exist".into(), "create that, or name another file with --kubeconfig"),
        PermissionDenied | ReadOnlyFilesystem => {
            (io_words(error), "make its directory writable, or name another file with --kubeconfig")
        }
        _ => (io_words(error), "check its directory, or name another file with --kubeconfig"),
    };
    Error::new(ErrorKind::File, format!("the kubeconfig cannot be locked: {why}"))
        .from_source(path.display())
        .remedy(remedy)
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Whoever has removed it by hand may have let another one in.
        if crate::os::files::is_still(&self.path, &self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_decides_who_is_dead_and_not_the_process_id() {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("config");
        let path = lock_path(&kubeconfig);
        // Of a process that is there, of this one, of none, and of one that says nothing.
        let own = std::process::id().to_string();
        for process in ["1", &own, "4194305", "", "x"] {
            let living = crate::os::files::create_locked(&path, format!("{OURS}{process}\n").as_bytes()).unwrap();
            clear_dead(&kubeconfig);
            assert!(path.exists(), "{process}");
            drop(living);
            clear_dead(&kubeconfig);
            assert!(!path.exists(), "{process}");
        }
    }

    #[test]
    fn locks_of_others_are_never_dead() {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("config");
        let path = lock_path(&kubeconfig);
        for content in ["", "kubectl 4194305\n", "kubentra"] {
            crate::os::files::replace(&path, content.as_bytes()).unwrap();
            clear_dead(&kubeconfig);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_link_is_not_followed_to_a_lock() {
        let directory = tempfile::tempdir().unwrap();
        let [kubeconfig, other] = ["config", "other"].map(|name| directory.path().join(name));
        crate::os::files::create(&other, b"kubentra 4194305\n").unwrap();
        std::os::unix::fs::symlink(&other, lock_path(&kubeconfig)).unwrap();
        clear_dead(&kubeconfig);
        assert!(lock_path(&kubeconfig).symlink_metadata().is_ok() && other.exists());
    }

    #[test]
    #[cfg(unix)]
    fn without_locks_the_process_id_counts_unless_it_is_our_own() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!([own, 4_194_305, -1, 1].map(is_gone), [true, true, true, false]);
    }

    #[test]
    fn the_remedy_fits_what_is_wrong_with_the_directory() {
        use io::ErrorKind::{NotFound, Other, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let told = |kind: io::ErrorKind| cannot(Path::new("/d/config.lock"), &kind.into()).to_string();
        for kind in [StorageFull, QuotaExceeded] {
            assert!(told(kind).ends_with("(/d/config.lock); free some space there; nothing was changed"));
        }
        for kind in [PermissionDenied, ReadOnlyFilesystem] {
            assert!(told(kind).contains("; make its directory writable, or name another file"), "{}", told(kind));
        }
        assert!(told(NotFound).contains("its directory does not exist (/d/config.lock); create that"));
        assert!(told(Other).contains("; check its directory, or name another file"), "{}", told(Other));
    }

    #[test]
    fn a_lock_that_was_replaced_is_left_to_its_new_holder() {
        let directory = tempfile::tempdir().unwrap();
        let kubeconfig = directory.path().join("config");
        let sys = crate::cache::tests::sys_with(crate::os::clock::fake::FakeClock::default());
        let first = FileLock::hold(&sys, &kubeconfig).unwrap();
        std::fs::remove_file(&first.path).unwrap();
        let second = FileLock::hold(&sys, &kubeconfig).unwrap();
        drop(first);
        assert!(second.path.exists());
        let path = second.path.clone();
        drop(second);
        assert!(!path.exists());
    }
}
