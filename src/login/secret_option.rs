//! A secret that is given as a text, or better as a file that holds it.

use std::path::Path;

use crate::error::{Error, ErrorKind, io_words};
use crate::options::{Opt, ValueSource, Values, types};
use crate::secret::Secret;

use super::both_given;

/// A secret, and where it came from.
pub(super) struct SecretValue {
    pub(super) secret: Secret,
    /// The flag, variable or file, for messages.
    pub(super) source: String,
    /// Whether it stands on the command line itself.
    pub(super) typed: bool,
}

/// The secret, if one is given.
///
/// # Errors
/// Both ways typed, or a file that can't be read or is empty.
pub(super) fn find(option: &Opt<Secret>, values: &Values) -> Result<Option<SecretValue>, Error> {
    if let Some((path, source)) = first_file(option, values)? {
        return read(option, &path.0, &source).map(Some);
    }
    let Some(secret) = values.get(option)? else { return Ok(None) };
    let source = values.source(option).cloned().unwrap_or(ValueSource::Default);
    let typed = matches!(source, ValueSource::Flag(_));
    Ok(Some(SecretValue { secret, source: source.to_string(), typed }))
}

/// How to give one, for advice.
pub(super) fn advice(option: &Opt<Secret>, values: &Values) -> String {
    let variable = values.variable(&option.decl).map(|name| format!("set {name}, or ")).unwrap_or_default();
    let file = option.decl.secret.map(|file| file.decl.flag()).unwrap_or_default();
    format!("{variable}name a file with {file}")
}

/// The file that holds the secret, where it comes first: a file named by flag before any variable
/// with a secret, a file named by variable only where there is no secret.
fn first_file(option: &Opt<Secret>, values: &Values) -> Result<Option<(types::FilePath, ValueSource)>, Error> {
    let Some(file) = option.decl.secret else { return Ok(None) };
    let Some(path) = values.get(file)? else { return Ok(None) };
    let source = values.source(file).cloned().unwrap_or(ValueSource::Default);
    match (&source, values.source(option)) {
        (ValueSource::Flag(file), Some(ValueSource::Flag(text))) => Err(both_given(file, text)),
        (ValueSource::Flag(_), _) | (_, None) => Ok(Some((path, source))),
        _ => Ok(None),
    }
}

/// A secret is a line of text: one trailing line break is the editor's.
fn read(option: &Opt<Secret>, path: &Path, source: &ValueSource) -> Result<SecretValue, Error> {
    let shown = format!("{}, named by {source}", path.display());
    let text = crate::os::files::read_text(path, 64 * 1024).map(Secret::new).map_err(|error| {
        Error::new(ErrorKind::File, format!("the {} file cannot be read: {}", option.decl.words(), io_words(&error)))
            .from_source(&shown)
            .remedy(format!("correct {source}"))
    })?;
    let line = text.expose().strip_suffix('\n').unwrap_or(text.expose());
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(Error::new(ErrorKind::OptionMissing, format!("{} cannot be empty", option.decl.words()))
            .from_source(&shown)
            .remedy("write its value into the file"));
    }
    Ok(SecretValue { secret: Secret::new(line), source: shown, typed: false })
}
