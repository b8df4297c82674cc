//! How tokens are kept between runs.

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
}
