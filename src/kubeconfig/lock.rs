//! client-go's lock on a kubeconfig: `<file>.lock`, created exclusively, removed afterwards. kubectl
//! honours it and gives up at once where it exists, so we hold it for as short as we can.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::error::{Error, io_words};
use crate::login::shell_word;
use crate::situation;
use crate::sys::Sys;

/// A held lock; dropping it removes the file.
pub struct FileLock(PathBuf);

const PAUSE: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 40;

impl FileLock {
    /// Locks `kubeconfig`, waiting up to two seconds for another program that has locked it just now.
    ///
    /// # Errors
    /// A lock that stays, with its path and age; a directory that can't be written.
    pub fn hold(sys: &Sys, kubeconfig: &Path) -> Result<Self, Error> {
        let path = lock_path(kubeconfig);
        for _ in 0..ATTEMPTS {
            match crate::files::create(&path, format!("kubentra {}\n", std::process::id()).as_bytes()) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear_dead(kubeconfig),
                Err(error) => return Err(cannot(&path, &error)),
            }
            match age(sys, &path) {
                Some(age) if age > STALE => return Err(stale(kubeconfig, &path, age)),
                Some(_) => sys.pause(PAUSE),
                None => {}
            }
        }
        Err(Error::new(&situation::FILE, format!("{} is locked by another program", kubeconfig.display()))
            .from_source(path.display())
            .remedy("wait for that program; if there is none, remove the lock file"))
    }
}

/// How long the lock has been there, if it is.
fn age(sys: &Sys, path: &Path) -> Option<Duration> {
    let made = path.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(Duration::from_secs(sys.clock.now()).saturating_sub(made))
}

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
    Error::new(&situation::FILE, what).from_source(path.display()).remedy(format!(
        "a kubectl that was killed has left it, most likely: see that none is running, then `rm {}`",
        shell_word(&path.display().to_string())
    ))
}

/// Removes the lock that a killed kubentra has left on `kubeconfig`; kubectl would fail on it for
/// ever. Any other lock is somebody's.
pub fn clear_dead(kubeconfig: &Path) {
    let path = lock_path(kubeconfig);
    if is_dead(&path) {
        let _ = std::fs::remove_file(path);
    }
}

fn is_dead(path: &Path) -> bool {
    let holder = crate::files::read_text(path, 64).ok();
    let ours = holder.as_deref().and_then(|text| text.strip_prefix("kubentra ")?.trim().parse().ok());
    ours.is_some_and(|pid| !is_alive(pid))
}

#[cfg(unix)]
fn is_alive(pid: i32) -> bool {
    let Some(pid) = rustix::process::Pid::from_raw(pid) else { return false };
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
    Error::new(&situation::FILE, format!("the kubeconfig cannot be locked: {}", io_words(error)))
        .from_source(path.display())
        .remedy("make its directory writable, or name another file with --kubeconfig")
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
