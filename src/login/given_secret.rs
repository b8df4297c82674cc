//! A secret that is given as a text, or better as a file that holds it.

use std::path::Path;

use crate::error::{Error, io_words};
use crate::options::{Opt, Source, Values, types};
use crate::secret::Secret;
use crate::situation;

use super::both_given;

/// A secret, and where it came from.
pub(super) struct GivenSecret {
    pub(super) secret: Secret,
    /// The flag, variable or file, for messages.
    pub(super) source: String,
    /// Whether it stands on the command line itself.
    pub(super) typed: bool,
}

/// The two options that can give a secret, and its name in messages.
pub(super) struct Ways {
    pub(super) text: &'static Opt<Secret>,
    pub(super) file: &'static Opt<types::Path>,
    pub(super) name: &'static str,
}

impl Ways {
    /// The secret, if one is given.
    ///
    /// # Errors
    /// Both ways typed, or a file that can't be read or is empty.
    pub(super) fn find(&self, values: &Values) -> Result<Option<GivenSecret>, Error> {
        if let Some((path, source)) = self.first_file(values)? {
            return self.read(&path.0, &source).map(Some);
        }
        let Some(secret) = values.get(self.text)? else { return Ok(None) };
        let source = values.source(self.text).cloned().unwrap_or(Source::Default);
        let typed = matches!(source, Source::Flag(_));
        Ok(Some(GivenSecret { secret, source: source.to_string(), typed }))
    }

    /// How to give one, for advice.
    pub(super) fn advice(&self, values: &Values) -> String {
        let variable = values.variable(&self.text.decl).map(|name| format!("set {name}, or ")).unwrap_or_default();
        format!("{variable}name a file with {}", self.file.decl.flag())
    }

    /// The file that holds the secret, where it comes first: a file named by flag before any variable
    /// with a secret, a file named by variable only where there is no secret.
    fn first_file(&self, values: &Values) -> Result<Option<(types::Path, Source)>, Error> {
        let Some(path) = values.get(self.file)? else { return Ok(None) };
        let source = values.source(self.file).cloned().unwrap_or(Source::Default);
        match (&source, values.source(self.text)) {
            (Source::Flag(file), Some(Source::Flag(text))) => Err(both_given(file, text)),
            (Source::Flag(_), _) | (_, None) => Ok(Some((path, source))),
            _ => Ok(None),
        }
    }

    /// A secret is a line of text: one trailing line break is the editor's.
    fn read(&self, path: &Path, source: &Source) -> Result<GivenSecret, Error> {
        let shown = format!("{}, named by {source}", path.display());
        let text = crate::files::read_text(path, 64 * 1024).map(Secret::new).map_err(|error| {
            Error::new(&situation::FILE, format!("the {} file cannot be read: {}", self.name, io_words(&error)))
                .from_source(&shown)
                .remedy(format!("correct {source}"))
        })?;
        let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.is_empty() {
            return Err(Error::new(&situation::OPTION_MISSING, format!("{} cannot be empty", self.name))
                .from_source(&shown)
                .remedy("write its value into the file"));
        }
        Ok(GivenSecret { secret: Secret::new(line), source: shown, typed: false })
    }
}
