//! How tokens are kept between runs, and what each way means.

use std::path::Path;
use std::rc::Rc;

use super::key_store::{FileKeyStore, KeyStore};

/// How tokens are kept between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// In sealed files.
    File,
    /// Not at all.
    None,
}

impl Storage {
    /// `file` or `none`.
    ///
    /// # Errors
    /// The list of kinds.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "none" => Ok(Self::None),
            _ => Err(format!("the cache storage \"{text}\" is not known, the kinds are file and none")),
        }
    }
    /// Whether anything is kept.
    pub fn keeps(self) -> bool {
        self != Self::None
    }

    /// What keeps the key of the encrypted files in `directory`, be it that they were kept before and no
    /// more are wanted.
    pub(crate) fn key_store(self, directory: &Path) -> Rc<dyn KeyStore> {
        match self {
            Self::File | Self::None => Rc::new(FileKeyStore::of(directory)),
        }
    }
}
