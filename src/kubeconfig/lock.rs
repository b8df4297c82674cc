//! client-go's lock on a kubeconfig: `<file>.lock`, created exclusively, removed afterwards. kubectl
//! honours it and gives up at once where it exists, so we hold it for as short as we can.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, io_words};
use crate::situation;
use crate::sys::Sys;

/// A held lock; dropping it removes the file.
pub struct FileLock(PathBuf);

const PAUSE: Duration = Duration::from_millis(50);
const ATTEMPTS: u32 = 40;

impl FileLock {
    /// Locks `kubeconfig`, waiting up to two seconds for another program.
    ///
    /// # Errors
    /// A lock that stays, with its path; a directory that can't be written.
    pub fn hold(sys: &Sys, kubeconfig: &Path) -> Result<Self, Error> {
        let path = lock_path(kubeconfig);
        for _ in 0..ATTEMPTS {
            match crate::files::create(&path, format!("kubentra {}\n", std::process::id()).as_bytes()) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    clear_dead(kubeconfig);
                    if path.exists() {
                        sys.pause(PAUSE);
                    }
                }
                Err(error) => return Err(cannot(&path, &error)),
            }
        }
        Err(Error::new(&situation::FILE, format!("{} is locked by another program", kubeconfig.display()))
            .from_source(path.display())
            .remedy("wait for that program; if there is none, remove the lock file"))
    }
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
