//! Why a directory of encrypted files is not used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::io_words;

use super::key_store::{KeyError, KeyStore};

/// Why a directory of encrypted files is not used. Its text is the reason alone; what that means for
/// whoever reads it is said where it is told.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// What stands there is not ours.
    Refused(Refusal),
    /// It cannot be looked at.
    Hidden(PathBuf),
    /// The file system's.
    File(PathBuf, io::Error),
    /// That of the key, and what keeps it.
    Key(String, KeyError),
}

/// What must not be used, because somebody else could have put it there.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It belongs to another user.
    OtherOwner(PathBuf),
    /// It is a link or a file.
    NotADirectory(PathBuf),
}

impl StoreError {
    /// The file system's, about `path`.
    pub(crate) fn of_file(path: &Path) -> impl Fn(io::Error) -> Self {
        move |error| Self::File(path.to_owned(), error)
    }

    /// What `keys` has answered.
    pub(super) fn of_key(keys: &dyn KeyStore) -> impl Fn(KeyError) -> Self {
        move |error| Self::Key(keys.place(), error)
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Hidden(path) => write!(f, "{} cannot be looked at", path.display()),
            Self::File(path, error) => write!(f, "{}: {}", path.display(), io_words(error)),
            // That says itself what is meant.
            Self::Key(_, KeyError::Refused(why)) => f.write_str(why),
            Self::Key(place, error) => write!(f, "{place}: {error}"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherOwner(path) => write!(f, "{} belongs to another user", path.display()),
            Self::NotADirectory(path) => write!(f, "{} is not a directory of ours", path.display()),
        }
    }
}
