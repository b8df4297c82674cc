//! Finds the command that was typed and runs it. clap is asked only where people need help.

use clap::error::{ContextKind, ContextValue};

use crate::commands::definition::{Purpose, clap_command};
use crate::commands::{Command, version};
use crate::error::{Error, ErrorKind};
use crate::options::{Decl, OptionSet, ParsedArgs, VERBOSITY, args};
use crate::outcome::Outcome;
use crate::secret::Secret;
use crate::sys::Sys;

/// Runs the command that the arguments name.
///
/// # Errors
/// Whatever the command fails with, and a command line that can't be understood.
pub fn run(sys: &Sys) -> Result<Outcome, Error> {
    let (name, rest) = split_off_command(sys.args.get(1..).unwrap_or_default());
    let Some(name) = name else { return without_command(sys, &rest) };
    if name == "help" {
        let (topic, _) = split_off_command(&rest);
        return Ok(help(sys, topic.and_then(|topic| Command::find(&topic))).into());
    }
    let command = Command::find(&name).ok_or_else(|| unknown_command(sys, &name))?;
    let given = args::read(&rest, command.options).map_err(|error| suggest(error, sys, command))?;
    if given.help {
        return Ok(help(sys, Some(command)).into());
    }
    set_verbosity(sys, &given);
    notice_old_names(sys, &given, command);
    (command.run)(sys, &given)
}

/// The first argument that is neither a flag nor the value of one, and all the others.
fn split_off_command(args: &[String]) -> (Option<String>, Vec<String>) {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        if arg == "--" || !arg.starts_with('-') || arg == "-" {
            break;
        }
        at += if args::takes_next(arg) { 2 } else { 1 };
    }
    let name = args.get(at).filter(|arg| *arg != "--").cloned();
    let skip = name.as_ref().map(|_| at);
    let rest = args.iter().enumerate().filter(|(index, _)| Some(*index) != skip).map(|(_, arg)| arg.clone()).collect();
    (name, rest)
}

fn without_command(sys: &Sys, rest: &[String]) -> Result<Outcome, Error> {
    if rest.iter().any(|arg| arg == "--version") {
        return Ok(version().into());
    }
    args::read(rest, OptionSet::COMMON)?;
    Ok(help(sys, None).into())
}

fn set_verbosity(sys: &Sys, given: &ParsedArgs) {
    let level = given.last(&VERBOSITY.decl).and_then(|typed| (VERBOSITY.parse)(typed.text.expose()).ok());
    sys.terminal.set_verbosity(level.unwrap_or_default());
}

/// pflag's words for a flag under its old name; on the deprecated command the old name is at home.
fn notice_old_names(sys: &Sys, given: &ParsedArgs, command: &Command) {
    let old = |flag: &str, decl: &Decl| decl.old_names.iter().any(|name| flag == format!("--{name}"));
    for typed in given.flags().iter().filter(|typed| !command.hidden && old(&typed.flag, typed.decl)) {
        sys.terminal.note(format!("Flag {} has been deprecated, use {} instead", typed.flag, typed.decl.flag()));
    }
}

fn unknown_command(sys: &Sys, name: &str) -> Error {
    let program = sys.called_as();
    let close =
        clap_error(sys, &[name.to_owned()]).and_then(|error| suggestion(&error, ContextKind::SuggestedSubcommand));
    let remedy = match close {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("run '{program} --help' for usage"),
    };
    Error::new(ErrorKind::Usage, format!("unknown command \"{name}\" for \"{program}\"")).remedy(remedy)
}

/// Adds the flag that was probably meant.
fn suggest(error: Error, sys: &Sys, command: &Command) -> Error {
    let typed = sys.args.get(1..).unwrap_or_default();
    let close = clap_error(sys, typed).and_then(|error| suggestion(&error, ContextKind::SuggestedArg));
    let help = format!("see {} {} --help", sys.called_as(), command.name);
    error.remedy(close.map_or_else(|| help.clone(), |close| format!("did you mean {close}? {help}")))
}

fn clap_error(sys: &Sys, typed: &[String]) -> Option<clap::Error> {
    let program = std::iter::once(sys.called_as().to_owned());
    clap_command(sys, Purpose::Reading).try_get_matches_from(program.chain(typed.iter().cloned())).err()
}

fn suggestion(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        ContextValue::Strings(texts) => texts.first().cloned(),
        _ => None,
    }
}

fn help(sys: &Sys, command: Option<&Command>) -> Secret {
    let mut root = clap_command(sys, Purpose::Reading);
    root.build();
    let shown = match command {
        Some(command) => root.find_subcommand_mut(command.name),
        None => Some(&mut root),
    };
    let text = shown.map(|command| command.render_help().to_string()).unwrap_or_default();
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::options::ValueKind;

    fn sys(args: &[&str]) -> Sys {
        Sys { args: args.iter().map(ToString::to_string).collect(), ..Sys::fake() }
    }

    fn refusal(args: &[&str]) -> String {
        run(&sys(args)).unwrap_err().to_string()
    }

    #[test]
    fn what_was_probably_meant() {
        assert_eq!(
            refusal(&["kubelogin", "get-tokn"]),
            "unknown command \"get-tokn\" for \"kubelogin\"; did you mean `get-token`?"
        );
        assert_eq!(
            refusal(&["kubentra", "get-token", "--tenant-di", "x"]),
            "unknown flag: --tenant-di; did you mean --tenant-id? see kubentra get-token --help"
        );
        assert_eq!(
            refusal(&["kubentra", "version"]),
            "unknown command \"version\" for \"kubentra\"; run 'kubentra --help' for usage"
        );
    }

    #[test]
    fn the_command_is_found_between_global_flags() {
        for args in [
            &["k", "-v", "5", "--help", "get-token"][..],
            &["k", "-v5", "get-token", "-h"],
            &["k", "help", "get-token"],
        ] {
            let help = run(&sys(args)).unwrap();
            assert!(help.stdout.expose().contains("--client-secret-file"), "{args:?}");
        }
        for args in [&["k"][..], &["k", "--help"], &["k", "help"]] {
            assert!(run(&sys(args)).unwrap().stdout.expose().contains("convert-kubeconfig"), "{args:?}");
        }
    }

    #[test]
    fn clap_accepts_its_own_definition() {
        for purpose in [Purpose::Reading, Purpose::Completing] {
            clap_command(&sys(&["kubentra"]), purpose).debug_assert();
        }
    }

    /// A flag of `get-token` in one of its spellings, with a value that the reader accepts.
    fn typed() -> impl Strategy<Value = Vec<String>> {
        let rows: Vec<_> = OptionSet::TOKEN.iter().collect();
        (proptest::sample::select(rows), 0..6u8, "[a-zA-Z0-9./:=@-]{0,8}").prop_map(|(decl, spelling, text)| {
            let value = match decl.takes {
                ValueKind::Nothing => ["true", "false", "1", "f"][text.len() % 4].to_owned(),
                ValueKind::Number => text.len().to_string(),
                ValueKind::Duration => format!("{}s", text.len() + 1),
                ValueKind::Text(_) => text,
            };
            let name = decl.old_names.first().filter(|_| spelling == 5).unwrap_or(&decl.name);
            match (spelling, decl.short) {
                (0, Some(short)) if decl.takes != ValueKind::Nothing => vec![format!("-{short}"), value],
                (1, Some(short)) if !value.is_empty() && !value.starts_with('=') => vec![format!("-{short}{value}")],
                (2, Some(short)) => vec![format!("-{short}={value}")],
                (3, _) if decl.takes != ValueKind::Nothing => vec![format!("--{name}"), value],
                (4, _) if decl.takes == ValueKind::Nothing => vec![format!("--{name}")],
                _ => vec![format!("--{name}={value}")],
            }
        })
    }

    proptest! {
        /// The reader and clap read every accepted command line alike.
        #[test]
        fn the_reader_and_clap_agree(parts in proptest::collection::vec(prop_oneof![typed(), "[a-z]{1,6}".prop_map(|word| vec![word])], 0..8)) {
            let line: Vec<String> = parts.concat();
            let Ok(given) = args::read(&line, OptionSet::TOKEN) else { return Ok(()) };
            let words = ["kubentra", "get-token"].map(String::from).into_iter().chain(line.clone());
            let matches = clap_command(&sys(&["kubentra"]), Purpose::Reading).try_get_matches_from(words);
            let matches = matches.unwrap_or_else(|error| panic!("{line:?}: {error}"));
            let (_, matches) = matches.subcommand().unwrap();
            for decl in OptionSet::TOKEN.iter() {
                let read = given.last(decl).map(|typed| typed.text.expose().to_owned());
                prop_assert_eq!(read, matches.get_one::<String>(decl.name).cloned(), "--{}", decl.name);
            }
            let rest: Vec<String> = matches.get_many::<String>("rest").into_iter().flatten().cloned().collect();
            prop_assert_eq!(&given.positionals, &rest);
        }
    }
}
