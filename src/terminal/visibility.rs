//! Whether anybody can see what is said.

use std::io::IsTerminal;

use crate::os::env::Env;

/// Whether a person reads stderr as it is written.
pub(crate) fn stderr_is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

/// Variables by which build systems make themselves known.
const CI_VARIABLES: [&str; 6] = ["CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "BUILDKITE"];

/// Why nobody would see a prompt, or `None` where somebody may (design, D2).
///
/// A stderr that is merely no terminal is no reason: k9s and Lens have none and show what we say.
pub(crate) fn prompt_hidden(env: &Env) -> Option<String> {
    if stderr_is_discarded() { Some("stderr is closed or /dev/null".into()) } else { unattended(env) }
}

/// Why nobody would see anything that we open, or `None` where somebody may: that stderr goes nowhere says
/// nothing about a browser.
pub(crate) fn unattended(env: &Env) -> Option<String> {
    let says_so = |name: &&str| env.get(name).is_some_and(|value| !value.eq_ignore_ascii_case("false"));
    let variable = CI_VARIABLES.into_iter().find(says_so)?;
    let terminal = stderr_is_terminal() || controlling_terminal();
    (!terminal).then(|| format!("{variable} is set and there is no terminal"))
}

/// A process without a controlling terminal gets ENXIO here (tty(4)).
#[cfg(unix)]
fn controlling_terminal() -> bool {
    std::fs::File::open("/dev/tty").is_ok_and(|tty| tty.is_terminal())
}

#[cfg(not(unix))]
fn controlling_terminal() -> bool {
    false
}

/// A closed stderr looks like `/dev/null`: Rust's runtime opens that in its place.
#[cfg(unix)]
fn stderr_is_discarded() -> bool {
    use std::os::unix::fs::MetadataExt;
    let Ok(stderr) = rustix::fs::fstat(rustix::stdio::stderr()) else { return true };
    std::fs::metadata("/dev/null").is_ok_and(|null| stderr.st_rdev == null.rdev() && null.rdev() != 0)
}

#[cfg(not(unix))]
fn stderr_is_discarded() -> bool {
    false
}
