//! The commands, a file each.

mod completion;
mod context_entry;
pub(crate) mod definition;
mod get_token;
mod login;
mod logout;
mod remove_cache_dir;
mod request;
mod status;

use crate::convert;
use crate::error::Error;
use crate::options::{
    ALL, AZURE_CONFIG_DIR, CACHE_DIR, COMMAND, CONTEXT, DRY_RUN, EXEC_API_VERSION, KUBECONFIG, LIST, LOGIN_HINT,
    NO_UNDO, OUTPUT, OUTPUT_FILE, OptionSet, ParsedArgs, REPORT,
};
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
    /// Which options it knows besides those of every command.
    pub options: OptionSet,
    /// Whether variables count besides the flags; of the login method they always do (design, D1).
    pub hears_variables: bool,
    /// Kept out of help: deprecated.
    pub hidden: bool,
    /// Whether kubectl and other clients may run it. What they run is a stranger's text.
    pub for_clients: bool,
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
pub(crate) static COMMANDS: &[Command] = &[
    Command {
        name: "get-token",
        about: "Print a token as an ExecCredential, for kubectl's exec plugin protocol",
        options: OptionSet::TOKEN,
        for_clients: true,
        run: get_token::run,
        ..PLAIN
    },
    Command {
        name: "convert-kubeconfig",
        about: "Rewrite the AKS users of a kubeconfig to sign in with this program",
        options: OptionSet::token_and(&[
            &AZURE_CONFIG_DIR.decl,
            &COMMAND.decl,
            &EXEC_API_VERSION.decl,
            &KUBECONFIG.decl,
            &CONTEXT.decl,
            &DRY_RUN.decl,
            &NO_UNDO.decl,
            &OUTPUT_FILE.decl,
            &REPORT.decl,
        ]),
        hears_variables: false,
        run: convert::run,
        ..PLAIN
    },
    Command {
        name: "undo",
        about: "Take back what convert-kubeconfig has last changed",
        options: OptionSet::common_and(&[&OUTPUT.decl, &KUBECONFIG.decl, &DRY_RUN.decl, &LIST.decl]),
        notes: undo::NOTES,
        run: undo::run,
        ..PLAIN
    },
    Command {
        name: "login",
        about: "Sign in ahead of kubectl, for a context or for what the flags say",
        options: OptionSet::token_and(&[&KUBECONFIG.decl, &CONTEXT.decl]),
        notes: login::NOTES,
        run: login::run,
        ..PLAIN
    },
    Command {
        name: "logout",
        about: "Forget the sign-in of a person or of a context, or everything",
        options: OptionSet::common_and(&[
            &LOGIN_HINT.decl,
            &CACHE_DIR.decl,
            &ALL.decl,
            &KUBECONFIG.decl,
            &CONTEXT.decl,
        ]),
        notes: logout::NOTES,
        run: logout::run,
        ..PLAIN
    },
    Command {
        name: "status",
        about: "Show who is signed in, and which tokens are kept until when",
        options: OptionSet::common_and(&[&CACHE_DIR.decl, &OUTPUT.decl]),
        notes: status::NOTES,
        run: status::run,
        ..PLAIN
    },
    Command {
        name: "remove-cache-dir",
        about: "Forget every cached token and sign-in",
        options: OptionSet::common_and(&[&CACHE_DIR.decl]),
        run: remove_cache_dir::run,
        ..PLAIN
    },
    Command {
        name: "remove-tokens",
        about: "Deprecated, use remove-cache-dir",
        options: OptionSet::common_and(&[&CACHE_DIR.decl]),
        hidden: true,
        run: remove_cache_dir::run_deprecated,
        ..PLAIN
    },
    Command {
        name: "completion",
        about: "Print a completion script for bash, zsh, fish or powershell",
        positional: Some("SHELL"),
        values: completion::SHELLS,
        run: completion::run,
        ..PLAIN
    },
];

const PLAIN: Command = Command {
    name: "",
    about: "",
    options: OptionSet::COMMON,
    hears_variables: true,
    hidden: false,
    for_clients: false,
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
pub(crate) fn version() -> Secret {
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::options::{Decl, Scope, TABLE};

    #[test]
    fn no_flag_of_a_command_is_declared_twice() {
        for command in COMMANDS {
            let mut seen = BTreeSet::new();
            for decl in command.options.iter() {
                let shorts = decl.short.map(String::from);
                let names = [decl.name].into_iter().chain(decl.old_names.iter().chain(decl.other_names).copied());
                for name in names.map(String::from).chain(shorts) {
                    let is_both = name == "v" && decl.name == "v";
                    assert!(seen.insert(name.clone()) || is_both, "{name} of {} is declared twice", command.name);
                }
            }
        }
    }

    #[test]
    fn every_option_is_of_a_command() {
        let listed = |decl: &&&Decl| decl.scope == Scope::Command;
        for decl in TABLE.iter().filter(listed) {
            assert!(COMMANDS.iter().any(|command| command.options.has(decl)), "no command knows --{}", decl.name);
        }
    }
}
