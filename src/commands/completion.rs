//! `completion`: scripts for shells.

use clap_complete::Shell;

use crate::error::{Error, ErrorKind};
use crate::options::ParsedArgs;
use crate::secret::Secret;
use crate::sys::Sys;

use super::definition::{Purpose, clap_command};
use crate::outcome::Outcome;

/// The shells that Azure/kubelogin knows.
pub(super) const SHELLS: &[&str] = &["bash", "zsh", "fish", "powershell"];

/// The script for the shell that the first argument names.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    let name = given.positionals.first().map_or("", String::as_str);
    let shell = SHELLS.contains(&name).then(|| name.parse::<Shell>().ok()).flatten();
    let shell = shell.ok_or_else(|| {
        let what = if name.is_empty() {
            "completion needs the name of a shell".into()
        } else {
            format!("there is no completion for the shell \"{name}\"")
        };
        Error::new(ErrorKind::Usage, what).remedy(format!("use one of {}", SHELLS.join(", ")))
    })?;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut clap_command(sys, Purpose::Completing), sys.called_as(), &mut script);
    Ok(Secret::new(String::from_utf8_lossy(&script)).into())
}
