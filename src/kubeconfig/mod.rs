//! Kubeconfigs: which files, what stands in them, and how they are changed.

pub(crate) mod context;
pub(crate) mod diff;
pub(crate) mod document;
pub(crate) mod edit;
mod encoding;
pub(crate) mod file_lock;
pub(crate) mod kuberc;
pub(crate) mod mask;
pub(crate) mod replace;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, io_words};
use crate::os::env::Env;
use crate::sys::Sys;

use document::Document;
pub use encoding::Encoding;

use crate::yaml::YamlError;

/// A kubeconfig that was read.
pub struct KubeconfigFile {
    /// The file as it was named.
    pub path: PathBuf,
    /// What stands in it.
    pub document: Document,
    /// How that is written.
    pub encoding: Encoding,
}

impl KubeconfigFile {
    /// The file at `path` that holds `text` in UTF-8.
    ///
    /// # Errors
    /// A text that is no kubeconfig.
    pub fn new(path: PathBuf, text: String) -> Result<Self, YamlError> {
        Ok(Self { path, document: Document::parse(text)?, encoding: Encoding::Utf8 })
    }
}

/// No kubeconfig comes near this many bytes.
pub(crate) const LIMIT: u64 = 64 * 1024 * 1024;

/// Reads the kubeconfigs that kubectl would read: `given`, else the list in `KUBECONFIG`, else
/// `~/.kube/config`. Of the last two, files that don't exist are passed over.
///
/// # Errors
/// A given file that doesn't exist, and any file that can't be read or understood.
pub(crate) fn load(sys: &Sys, given: Option<&Path>) -> Result<Vec<KubeconfigFile>, Error> {
    if let Some(path) = given {
        return Ok(vec![load_settled(sys, path).map_err(|failure| failure.explain(path))?]);
    }
    let mut loaded = Vec::new();
    for path in default_files(&sys.env) {
        match load_settled(sys, &path) {
            Err(Failure::Missing) => {}
            other => loaded.push(other.map_err(|failure| failure.explain(&path))?),
        }
    }
    Ok(loaded)
}

/// Reads the kubeconfig at `path`, whose lock the caller holds: nobody writes it, and to wait for the lock would
/// never end.
///
/// # Errors
/// A file that can't be read or understood.
pub(crate) fn load_locked(path: &Path, _lock: &file_lock::FileLock) -> Result<KubeconfigFile, Error> {
    load_file(path).map_err(|failure| failure.explain(path))
}

/// The files of `KUBECONFIG` without empty items and repetitions, else `~/.kube/config`.
pub(crate) fn default_files(env: &Env) -> Vec<PathBuf> {
    let Some(list) = env.get("KUBECONFIG") else {
        return env.home().map(|home| home.join(".kube").join("config")).into_iter().collect();
    };
    let mut files: Vec<PathBuf> = Vec::new();
    for path in std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()) {
        if !files.contains(&path) {
            files.push(path);
        }
    }
    files
}

/// Where a kubeconfig was looked for in vain.
pub(crate) fn looked_for(env: &Env) -> String {
    let places: Vec<_> = default_files(env).iter().map(|path| path.display().to_string()).collect();
    match places.join(", ").as_str() {
        "" if env.get("KUBECONFIG").is_some() => "KUBECONFIG names no file".into(),
        "" => "there is no home directory".into(),
        places => format!("looked for {places}"),
    }
}

/// The error for an edit of the file at `path` that was refused.
pub(crate) fn cannot_edit(path: &Path, why: &YamlError) -> Error {
    Error::new(ErrorKind::Kubeconfig, format!("the kubeconfig cannot be edited: {why}"))
        .from_source(path.display())
        .remedy("rewrite that part by hand; nothing was changed")
}

/// client-go empties a file under its lock and then writes it anew: what is read while there is a lock, or
/// while the file changes, may be a part. Waits a second for that to end.
fn load_settled(sys: &Sys, path: &Path) -> Result<KubeconfigFile, Failure> {
    for _ in 0..file_lock::ATTEMPTS {
        let before = state(path);
        let loaded = load_file(path);
        // What comes out of a pipe comes once.
        if before.is_none() || !file_lock::is_held(sys, path) && state(path) == before {
            return loaded;
        }
        sys.clock.pause(file_lock::PAUSE);
    }
    load_file(path)
}

/// By what it shows that a file was written.
fn state(path: &Path) -> Option<(u64, Option<SystemTime>)> {
    let found = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some((found.len(), found.modified().ok()))
}

fn load_file(path: &Path) -> Result<KubeconfigFile, Failure> {
    let (encoding, text) = read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::Missing,
        io::ErrorKind::InvalidData => Failure::Wrong(io_words(&error)),
        _ => Failure::Unreadable(error),
    })?;
    let document = Document::parse(text).map_err(|error| Failure::Wrong(error.to_string()))?;
    Ok(KubeconfigFile { path: path.to_owned(), document, encoding })
}

/// The text of the kubeconfig at `path`.
///
/// # Errors
/// The file system's, or `InvalidData` for a longer file than [`LIMIT`] and for bytes that are no text.
pub(crate) fn read(path: &Path) -> io::Result<(Encoding, String)> {
    Encoding::decode(crate::os::files::read_bytes(path, LIMIT)?)
}

enum Failure {
    Missing,
    Unreadable(io::Error),
    /// What can be read is no kubeconfig.
    Wrong(String),
}

impl Failure {
    fn explain(self, path: &Path) -> Error {
        let shown = path.display();
        let cannot_load = |why: &str| {
            let what = format!("unable to load kubeconfig: error loading config file \"{shown}\": {why}");
            Error::new(ErrorKind::Kubeconfig, what)
        };
        match self {
            Failure::Missing => Error::new(
                ErrorKind::File,
                format!("unable to load kubeconfig: stat {shown}: no such file or directory"),
            )
            .from_source("--kubeconfig")
            .remedy("name a file that exists"),
            Failure::Unreadable(error) => cannot_load(&io_words(&error)).remedy(match error.kind() {
                io::ErrorKind::PermissionDenied => "make it readable, or name another file with --kubeconfig",
                _ => "name another file with --kubeconfig",
            }),
            Failure::Wrong(why) => cannot_load(&why).remedy("correct the file; nothing was changed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_needs_no_correction() {
        let told = |kind: io::ErrorKind| Failure::Unreadable(kind.into()).explain(Path::new("/f")).to_string();
        let denied = told(io::ErrorKind::PermissionDenied);
        assert!(denied.ends_with(": permission denied; make it readable, or name another file with --kubeconfig"));
        let directory = told(io::ErrorKind::IsADirectory);
        assert!(directory.ends_with(": is a directory; name another file with --kubeconfig"), "{directory}");
    }

    #[test]
    #[cfg(unix)]
    fn the_list_in_kubeconfig() {
        let env = Env::from([("KUBECONFIG", "/a::/b:/a"), ("HOME", "/h")]);
        assert_eq!(default_files(&env), [PathBuf::from("/a"), PathBuf::from("/b")]);
        assert_eq!(default_files(&Env::from([("HOME", "/h")])), [PathBuf::from("/h/.kube/config")]);
        assert!(default_files(&Env::default()).is_empty());
        assert_eq!(looked_for(&env), "looked for /a, /b");
        assert_eq!(looked_for(&Env::default()), "there is no home directory");
        assert_eq!(looked_for(&Env::from([("KUBECONFIG", ":"), ("HOME", "/h")])), "KUBECONFIG names no file");
    }
}
