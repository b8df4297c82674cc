//! Where the converted kubeconfig goes: into the file that it came from, or with `--output` elsewhere, and
//! then the original is neither locked nor touched.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, io_words};
use crate::kubeconfig::file_lock::FileLock;
use crate::kubeconfig::{KubeconfigFile, looked_for};
use crate::login::both_given;
use crate::options::types::OutputFormat as Form;
use crate::options::{DRY_RUN, OUTPUT_FILE, ParsedArgs, REPORT, Values};
use crate::os::env::Env;
use crate::sys::Sys;

/// Where the converted kubeconfig goes.
pub(super) enum Destination {
    /// Into the files that it came from.
    Original,
    /// To stdout.
    Stdout,
    /// Into this file, which is there already or not.
    File { path: PathBuf, exists: bool },
}

impl Destination {
    /// What `--output` says, for `files`.
    ///
    /// # Errors
    /// Several files, or none, for one destination; a destination that is no file and can't become one.
    pub(super) fn of(values: &Values, files: &[KubeconfigFile], env: &Env) -> Result<Self, Error> {
        let Some(path) = values.get(&OUTPUT_FILE)?.map(|path| path.0) else { return Ok(Self::Original) };
        let file = only(files, env)?;
        if is_stdout(&path) {
            return Ok(Self::Stdout);
        }
        let place = resolved(&path)?;
        if std::fs::canonicalize(&file.path).is_ok_and(|original| original == place) {
            return Ok(Self::Original);
        }
        let exists = place.exists();
        Ok(Self::File { path, exists })
    }

    /// The file that `file` becomes.
    pub(super) fn path<'a>(&'a self, file: &'a KubeconfigFile) -> &'a Path {
        match self {
            Self::Original | Self::Stdout => &file.path,
            Self::File { path, .. } => path,
        }
    }
}

/// Refuses what can't be meant, before any file is read.
///
/// # Errors
/// `--output` with the name of a form, or where stdout is wanted for something else.
pub(super) fn check(given: &ParsedArgs, values: &Values, form: Form) -> Result<(), Error> {
    let output = OUTPUT_FILE.decl.flag();
    // An empty flag is none elsewhere; here an unset variable of a script would change the original.
    if given.last(&OUTPUT_FILE.decl).is_some_and(|typed| typed.text.is_empty()) {
        return Err(Error::new(ErrorKind::Usage, format!("{output} names no file"))
            .remedy(format!("name one, or leave out {output} to convert the kubeconfig itself; nothing was changed")));
    }
    let Some(path) = values.get(&OUTPUT_FILE)?.map(|path| path.0) else { return Ok(()) };
    if let Some(word) = path.to_str().filter(|word| matches!(*word, "json" | "text" | "yaml")) {
        return Err(Error::new(ErrorKind::Usage, format!("{output} names a file, and {word} is the name of a form"))
            .remedy(format!("for the report as JSON give -o json, for a file of that name {output} ./{word}")));
    }
    let stdout = format!("{output} -");
    if is_stdout(&path) && values.is_on(&DRY_RUN) {
        return Err(both_given(&stdout, &DRY_RUN.decl.flag()));
    }
    if is_stdout(&path) && form == Form::Json {
        return Err(both_given(&stdout, &format!("{} json", values.source_text(&REPORT))));
    }
    Ok(())
}

/// Puts `bytes` into the file at `path`, under client-go's lock.
///
/// # Errors
/// A lock that stays, a file that can't be written.
pub(super) fn write(sys: &Sys, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let place = resolved(path)?;
    let lock = FileLock::hold_or(sys, path, |_, error| unwritable(path, error))?;
    crate::os::files::replace(&place, bytes).map_err(|error| unwritable(path, &error))?;
    drop(lock);
    Ok(())
}

/// Whether what is read at `path` can't be replaced, such as a pipe.
pub(super) fn is_no_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| !found.is_file())
}

fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn only<'a>(files: &'a [KubeconfigFile], env: &Env) -> Result<&'a KubeconfigFile, Error> {
    let output = OUTPUT_FILE.decl.flag();
    match files {
        [file] => Ok(file),
        [] => Err(Error::new(ErrorKind::Kubeconfig, "there is no kubeconfig to convert")
            .from_source(looked_for(env))
            .remedy("name one with --kubeconfig")),
        several => {
            let paths = several.iter().map(|file| file.path.display().to_string()).collect::<Vec<_>>().join(", ");
            Err(Error::new(ErrorKind::Usage, format!("{output} takes one kubeconfig, and there are several: {paths}"))
                .from_source("KUBECONFIG")
                .remedy("name one of them with --kubeconfig"))
        }
    }
}

/// The file behind `path`, through symlinks, whether it exists or not.
fn resolved(path: &Path) -> Result<PathBuf, Error> {
    if path.is_dir() {
        return Err(cannot_write(path, "it is a directory", "name a file in it"));
    }
    // To replace a device such as /dev/null would take it from everybody.
    if is_no_file(path) {
        return Err(cannot_write(path, "it is no regular file", "name a file, or - for stdout"));
    }
    behind(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => cannot_write(path, "its directory does not exist", "create that first"),
        _ => cannot_write(path, &io_words(&error), "name another file"),
    })
}

fn behind(path: &Path) -> io::Result<PathBuf> {
    let not_there = match std::fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => error,
        other => return other,
    };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match std::fs::read_link(path) {
        Ok(target) => behind(&directory.join(target)),
        Err(_) if names_a_directory(path) => Err(not_there),
        Err(_) => Ok(std::fs::canonicalize(directory)?.join(path.file_name().ok_or(not_there)?)),
    }
}

/// Whether something stands behind the last name, as in `a/` and `a/.`; [`Path`] passes over that.
fn names_a_directory(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    !path.as_os_str().as_encoded_bytes().ends_with(name)
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    let remedy = match error.kind() {
        _ if crate::os::files::is_full(error) => "free some space there, or name another file",
        _ => "check the owner and mode of it and of its directory, or name another file",
    };
    cannot_write(path, &io_words(error), remedy)
}

fn cannot_write(path: &Path, why: &str, remedy: &str) -> Error {
    Error::new(ErrorKind::File, format!("the kubeconfig cannot be written to {}: {why}", path.display()))
        .from_source(OUTPUT_FILE.decl.flag())
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_that_cannot_be_locked_is_told_as_one_that_cannot_be_written() {
        let told = |kind: io::ErrorKind| unwritable(Path::new("out"), &kind.into()).to_string();
        let denied = told(io::ErrorKind::PermissionDenied);
        let start =
            "the kubeconfig cannot be written to out: permission denied (--output); check the owner and mode of";
        assert!(denied.starts_with(start), "{denied}");
        let full = told(io::ErrorKind::StorageFull);
        assert!(full.ends_with("(--output); free some space there, or name another file"), "{full}");
    }
}
