//! The operating system: environment, clock, files, the programs of others, browsers, signals.

pub(crate) mod browser;
pub(crate) mod clock;
pub(crate) mod env;
pub(crate) mod files;
pub(crate) mod process;
pub(crate) mod runtime;

use std::pin::Pin;

use crate::error::Error;

/// A future of this crate: single-threaded, boxed, ending in our error.
pub(crate) type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + 'a>>;

/// The names that this program answers to.
pub(crate) const OWN_NAMES: [&str; 3] = ["kubentra", "kubelogin", "kubectl-entra"];

/// Which of our names the command `path` ends in: any directory, with or without `.exe`, and
/// without regard to case, as file systems on Windows and macOS have it.
pub(crate) fn own_name(path: &str) -> Option<&'static str> {
    let file = path.rsplit(['/', '\\']).next()?.to_ascii_lowercase();
    let stem = file.strip_suffix(".exe").unwrap_or(&file);
    OWN_NAMES.into_iter().find(|name| *name == stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_wherever_they_lie() {
        for (path, name) in [
            ("kubelogin", Some("kubelogin")),
            ("/opt/bin/kubentra", Some("kubentra")),
            ("C:\\Tools\\KubeLogin.EXE", Some("kubelogin")),
            ("./kubectl-entra", Some("kubectl-entra")),
            ("kubectl-oidc_login", None),
            ("/opt/kubelogin/other", None),
            ("", None),
        ] {
            assert_eq!(own_name(path), name, "{path}");
        }
    }
}
