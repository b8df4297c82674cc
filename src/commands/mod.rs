//! The commands, a file each.

mod completion;
mod context_entry;
pub mod definition;
mod get_token;
mod login;
mod logout;
mod remove_cache_dir;
mod status;

use crate::convert;
use crate::error::Error;
use crate::options::{Commands, ParsedArgs};
use crate::outcome::Outcome;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::undo;

/// A command as data.
pub struct Command {
    /// What one types.
    pub name: &'static str,
    /// One line for people.
    pub about: &'static str,
    /// Which options it knows.
    pub set: Commands,
    /// Kept out of help: deprecated.
    pub hidden: bool,
    /// What its positional argument is called, where it has one; others are ignored.
    pub positional: Option<&'static str>,
    /// The values of that argument.
    pub values: &'static [&'static str],
    /// What its help says below the options.
    pub notes: &'static str,
    /// Runs it.
    pub run: fn(&Sys, &ParsedArgs) -> Result<Outcome, Error>,
}

/// Every command, in the order of the help.
pub static COMMANDS: &[Command] = &[
    Command {
        name: "get-token",
        about: "Print a token as an ExecCredential, for kubectl's exec plugin protocol",
        set: Commands::GET_TOKEN,
        run: get_token::run,
        ..PLAIN
    },
    Command {
        name: "convert-kubeconfig",
        about: "Rewrite the AKS users of a kubeconfig to sign in with this program",
        set: Commands::CONVERT,
        run: convert::run,
        ..PLAIN
    },
    Command {
        name: "undo",
        about: "Take back what convert-kubeconfig has last changed",
        set: Commands::UNDO,
        notes: undo::NOTES,
        run: undo::run,
        ..PLAIN
    },
    Command {
        name: "login",
        about: "Sign in ahead of kubectl, for a context or for what the flags say",
        set: Commands::LOGIN,
        notes: login::NOTES,
        run: login::run,
        ..PLAIN
    },
    Command {
        name: "logout",
        about: "Forget the sign-in of a person or of a context, or everything",
        set: Commands::LOGOUT,
        notes: logout::NOTES,
        run: logout::run,
        ..PLAIN
    },
    Command {
        name: "status",
        about: "Show who is signed in, and which tokens are kept until when",
        set: Commands::STATUS,
        notes: status::NOTES,
        run: status::run,
        ..PLAIN
    },
    Command {
        name: "remove-cache-dir",
        about: "Forget every cached token and sign-in",
        set: Commands::REMOVE,
        run: remove_cache_dir::run,
        ..PLAIN
    },
    Command {
        name: "remove-tokens",
        about: "Deprecated, use remove-cache-dir",
        set: Commands::REMOVE,
        hidden: true,
        run: remove_cache_dir::run_deprecated,
        ..PLAIN
    },
    Command {
        name: "completion",
        about: "Print a completion script for bash, zsh, fish or powershell",
        set: Commands::COMPLETION,
        positional: Some("SHELL"),
        values: completion::SHELLS,
        run: completion::run,
        ..PLAIN
    },
];

const PLAIN: Command = Command {
    name: "",
    about: "",
    set: Commands::GET_TOKEN,
    hidden: false,
    positional: None,
    values: &[],
    notes: "",
    run: get_token::run,
};

impl Command {
    /// The command called `name`.
    pub fn find(name: &str) -> Option<&'static Self> {
        COMMANDS.iter().find(|command| command.name == name)
    }
}

/// Azure/kubelogin's five lines, which scripts read, and one that says who we are.
pub fn version() -> Secret {
    let time = env!("KUBENTRA_TIME").parse().ok().map(crate::os::clock::rfc3339);
    let (os, arch) = (go_name(std::env::consts::OS), go_name(std::env::consts::ARCH));
    Secret::new(format!(
        "kubelogin version \n\
         git hash: v{version}/{commit}\n\
         Go version: none, this is kubentra\n\
         Build time: {time}\n\
         Platform: {os}/{arch}\n\
         kubentra: {version}, rustc {rustc}\n",
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("KUBENTRA_COMMIT"),
        time = time.as_deref().unwrap_or("unknown"),
        rustc = env!("KUBENTRA_RUSTC"),
    ))
}

/// Go's names of systems and processors.
fn go_name(name: &'static str) -> &'static str {
    match name {
        "macos" => "darwin",
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
