//! Clearing: removes what is ours and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, io_words};
use crate::store::permissions::own_and_tighten;
use crate::store::{KEY, KEY_LOCK, LOCK, lock};

use super::location::CachePlace;
use super::{GRANT, Location, POP_KEY, TOKEN};

/// What was removed, and what was left.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClearedCache {
    /// Tokens.
    pub tokens: usize,
    /// Sign-ins.
    pub refresh_tokens: usize,
    /// Keys that tokens were bound to.
    pub keys: usize,
    /// Locks that a running process holds; they stay.
    pub held: usize,
    /// Files of Azure/kubelogin beside ours, which are not touched.
    pub leftovers: Vec<PathBuf>,
}

/// What Azure/kubelogin keeps in the same directory.
const KUBELOGINS: [&str; 3] = ["auth.json", "pop_tokens.cache", "pop_rsa_key.cache"];

/// Removes our files at `location`, and their key. A directory that is missing is as good as removed.
///
/// # Errors
/// A directory that is not ours, or the file system's.
pub(crate) fn clear(location: &Location) -> Result<ClearedCache, Error> {
    let Some(place) = location.place() else { return Ok(ClearedCache::default()) };
    let own = &place.own;
    let mut removed = ClearedCache { leftovers: leftovers(&place.cache_dir), ..ClearedCache::default() };
    if fs::symlink_metadata(own).is_err() {
        return Ok(removed);
    }
    own_and_tighten(own).map_err(|error| refused(error.to_string()))?;
    let entries = Entries::read(own).map_err(|error| failed(own, &error))?;
    if let Some(foreign) = entries.foreign {
        let what = format!("{} holds a file that is not kubentra's: {}", own.display(), foreign.display());
        return Err(refused(what).remedy("look at it, and remove the directory yourself"));
    }
    removed.clear(place, &entries).map_err(|error| failed(own, &error))?;
    // Only empty directories go this way, so a cache directory that others use stays.
    if fs::remove_dir(own).is_ok() {
        let _ = fs::remove_dir(&place.cache_dir);
    }
    Ok(removed)
}

fn refused(what: String) -> Error {
    Error::new(ErrorKind::CacheRefused, what).remedy("check --cache-dir")
}

fn failed(own: &Path, error: &io::Error) -> Error {
    Error::new(ErrorKind::File, format!("the cache could not be removed: {}", io_words(error)))
        .from_source(own.display())
}

fn leftovers(cache_dir: &Path) -> Vec<PathBuf> {
    KUBELOGINS.iter().map(|name| cache_dir.join(name)).filter(|path| path.exists()).collect()
}

/// The files of the directory, by kind.
#[derive(Default)]
struct Entries {
    tokens: Vec<PathBuf>,
    refresh_tokens: Vec<PathBuf>,
    pop_keys: Vec<PathBuf>,
    locks: Vec<PathBuf>,
    key: Option<PathBuf>,
    temporary: Vec<PathBuf>,
    foreign: Option<PathBuf>,
}

impl Entries {
    fn read(own: &Path) -> io::Result<Self> {
        let mut entries = Self::default();
        for entry in fs::read_dir(own)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match name.rsplit_once('.') {
                _ if name == KEY => entries.key = Some(path),
                _ if crate::os::files::is_temporary(&name) => entries.temporary.push(path),
                Some((_, TOKEN)) => entries.tokens.push(path),
                Some((_, GRANT)) => entries.refresh_tokens.push(path),
                Some((_, POP_KEY)) => entries.pop_keys.push(path),
                Some((_, LOCK)) => entries.locks.push(path),
                _ => entries.foreign = Some(path),
            }
        }
        Ok(entries)
    }
}

impl ClearedCache {
    fn clear(&mut self, place: &CachePlace, entries: &Entries) -> io::Result<()> {
        for path in
            entries.tokens.iter().chain(&entries.refresh_tokens).chain(&entries.pop_keys).chain(&entries.temporary)
        {
            gone(fs::remove_file(path))?;
        }
        self.tokens = entries.tokens.len();
        self.refresh_tokens = entries.refresh_tokens.len();
        self.keys = entries.pop_keys.len();
        let key_lock = place.own.join(KEY_LOCK);
        for path in entries.locks.iter().filter(|path| **path != key_lock) {
            match lock::try_hold(path)? {
                Some(_held) => gone(fs::remove_file(path))?,
                None => self.held += 1,
            }
        }
        // A running login keeps the key: what it is about to write must open again.
        if self.held == 0 {
            let _held = lock::hold(&key_lock)?;
            if let Some(key) = &entries.key {
                gone(fs::remove_file(key))?;
            }
            place.keys.delete().map_err(|error| io::Error::other(error.to_string()))?;
            gone(fs::remove_file(&key_lock))?;
        }
        Ok(())
    }
}

/// Another process may have removed it first.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
