//! A token in a file, as the workload identity webhook mounts it and SPIFFE's helper writes it. It is
//! renewed in place, so it is read anew for each exchange.

use std::path::PathBuf;

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind, io_words};
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::files;
use crate::secret::Secret;
use crate::sys::Sys;

use super::{AssertionClaims, AssertionSource, DetectedSource, SourceRequest, TOKEN_LIMIT, identify_token, jwt};

pub(super) struct File {
    path: PathBuf,
    /// The flag or variable that names it.
    named_by: String,
    /// What it held when the cache's key was made.
    at_first: Option<Secret>,
}

/// The file that somebody has named.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every source that is recognised")]
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let Some((named_by, path)) = &request.file else { return Ok(None) };
    Ok(Some(Box::new(File::new(path.clone(), named_by))))
}

impl File {
    pub(super) fn new(path: PathBuf, named_by: impl Into<String>) -> Self {
        let mut file = Self { path, named_by: named_by.into(), at_first: None };
        file.at_first = file.read().ok();
        file
    }

    /// The JWT in the file, without the line break at its end.
    fn read(&self) -> Result<Secret, Error> {
        let text = files::read_text(&self.path, TOKEN_LIMIT as u64)
            .map(Secret::new)
            .map_err(|error| self.unusable(&format!("cannot be read: {}", io_words(&error))))?;
        if text.expose().trim().is_empty() {
            return Err(self.unusable("is empty"));
        }
        jwt(text.expose()).ok_or_else(|| self.unusable("holds no JWT"))
    }

    /// What a shell's `<(command)` names gives its text only once.
    fn is_a_pipe(&self) -> bool {
        files::is_pipe(&self.path)
    }

    /// A file whose token stands for somebody else by now must not fill a place in the cache that was
    /// found by the earlier one.
    fn same_as_at_first(&self, token: Secret) -> Result<Secret, Error> {
        if self.at_first.as_ref().and_then(who) == who(&token) {
            return Ok(token);
        }
        Err(self.unusable("has just changed and stands for another identity").remedy("run the command again"))
    }

    fn unusable(&self, why: &str) -> Error {
        Error::new(ErrorKind::AssertionSource, format!("the federated token file {why}"))
            .from_source(format!("{}, named by {}", self.path.display(), self.named_by))
            .remedy(format!("correct {}, or see to it that the token is mounted there", self.named_by))
    }
}

/// Issuer, subject and audiences.
fn who(token: &Secret) -> Option<(Option<String>, Option<String>, Vec<String>)> {
    AssertionClaims::of(token.expose()).map(|claims| (claims.issuer, claims.subject, claims.audiences))
}

impl AssertionSource for File {
    fn add_to_key(&self, key: &mut CacheKey) {
        match &self.at_first {
            Some(token) => identify_token(key, token.expose()),
            None => key.field("unusable-file", &self.path.to_string_lossy()),
        }
    }

    fn fetch<'a>(&'a self, _: &'a Sys, _: Deadline) -> BoxFuture<'a, Secret> {
        let token = match &self.at_first {
            Some(token) if self.is_a_pipe() => Ok(token.clone()),
            // What a pipe held has been read.
            None if self.is_a_pipe() => Err(self.unusable("is a pipe, and held no token")),
            _ => self.read().and_then(|token| self.same_as_at_first(token)),
        };
        Box::pin(std::future::ready(token))
    }

    fn described(&self) -> String {
        format!("the file {} ({})", self.path.display(), self.named_by)
    }

    fn may_be_a_pods(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, chosen_with, key_of, token};
    use super::*;

    /// Writes `text` where `path` points to, as kubelet does: a new file beside it, then a rename.
    fn put(path: &std::path::Path, text: &str) {
        files::replace(path, text.as_bytes()).unwrap();
    }

    fn error(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        put(&path, text);
        let error = World::answering(Vec::new()).fetch(&File::new(path, "--federated-token-file")).unwrap_err();
        error.replace(&directory.path().display().to_string(), "DIR")
    }

    #[test]
    fn it_is_read_anew_each_time_and_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        put(&path, &format!("{}\n", token("s", "one")));
        let chosen = || chosen_with([], |request| request.file = Some(("-f".into(), path.clone())));
        let source = chosen();
        let world = World::answering(Vec::new());
        assert_eq!(world.fetch(&*source), Ok(token("s", "one")));
        put(&path, &format!("  {}\r\n", token("s", "two")));
        assert_eq!(world.fetch(&*source), Ok(token("s", "two")));
        assert!(key_of(&*source) == key_of(&*chosen()));
    }

    #[test]
    #[cfg(unix)]
    fn the_link_may_point_elsewhere_by_now() {
        let directory = tempfile::tempdir().unwrap();
        let [link, fresh] = ["token", "fresh"].map(|name| directory.path().join(name));
        for (name, text) in [("1", token("s", "one")), ("2", token("s", "two"))] {
            put(&directory.path().join(name), &text);
        }
        std::os::unix::fs::symlink("1", &link).unwrap();
        let source = File::new(link.clone(), "X");
        std::os::unix::fs::symlink("2", &fresh).unwrap();
        std::fs::rename(&fresh, &link).unwrap();
        assert_eq!(World::answering(Vec::new()).fetch(&source), Ok(token("s", "two")));
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_read_once() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, token("s", "one").as_bytes()).unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        let source = File::new(path.into(), "X");
        let world = World::answering(Vec::new());
        assert_eq!([world.fetch(&source), world.fetch(&source)], [Ok(token("s", "one")), Ok(token("s", "one"))]);
    }

    #[test]
    fn what_cannot_be_used() {
        let missing =
            World::answering(Vec::new()).fetch(&File::new("/nowhere/token".into(), "AZURE_FEDERATED_TOKEN_FILE"));
        assert_eq!(
            missing.unwrap_err(),
            "the federated token file cannot be read: no such file or directory (/nowhere/token, named by \
             AZURE_FEDERATED_TOKEN_FILE); correct AZURE_FEDERATED_TOKEN_FILE, or see to it that the token is mounted there"
        );
        for (text, why) in [
            ("", "is empty"),
            (" \n\t", "is empty"),
            ("canary", "holds no JWT"),
            (&"x".repeat(TOKEN_LIMIT + 1), "cannot be read: it is larger than 65536 bytes"),
        ] {
            let error = error(text);
            assert!(
                error.starts_with(&format!(
                    "the federated token file {why} (DIR/token, named by --federated-token-file);"
                )),
                "{error}"
            );
            assert!(!error.contains("canary"));
        }
    }

    #[test]
    fn another_identity_does_not_take_the_place_of_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        put(&path, &token("one", "x"));
        let source = File::new(path.clone(), "X");
        put(&path, &token("two", "x"));
        let error = World::answering(Vec::new()).fetch(&source).unwrap_err();
        assert!(
            error.starts_with("the federated token file has just changed and stands for another identity"),
            "{error}"
        );
        let late = File::new(directory.path().join("late"), "X");
        put(&directory.path().join("late"), &token("one", "x"));
        assert!(World::answering(Vec::new()).fetch(&late).is_err());
    }
}
