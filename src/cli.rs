//! Finds the command that was typed and runs it. clap is asked only where people need help.

use clap::error::{ContextKind, ContextValue};

use crate::commands::definition::{Purpose, clap_command};
use crate::commands::{Command, version};
use crate::error::{Error, ErrorKind};
use crate::exec_credential;
use crate::options::{Decl, OptionSet, ParsedArgs, VERBOSITY, args};
use crate::outcome::Outcome;
use crate::secret::Secret;
use crate::sys::Sys;

/// Runs the command that the arguments name.
///
/// # Errors
/// Whatever the command fails with, and a command line that can't be understood.
pub fn run(sys: &Sys) -> Result<Outcome, Error> {
    let (name, rest) = split_off_command(sys.args.iter().skip(1).map(String::as_str).collect());
    let Some(name) = name else { return without_command(sys, &rest) };
    if name == "help" {
        let (topic, _) = split_off_command(rest);
        return Ok(help(sys, topic.and_then(Command::find)).into());
    }
    let command = Command::find(name).ok_or_else(|| unknown_command(sys, name))?;
    refuse_client(sys, command)?;
    let given = args::read(&rest, command.options).map_err(|error| suggest(error, sys, command))?;
    if given.help {
        return Ok(help(sys, Some(command)).into());
    }
    set_verbosity(sys, &given);
    notice_old_names(sys, &given, command);
    (command.run)(sys, &given)
}

/// An exec entry has one purpose, and whoever wrote the kubeconfig has written it: it may ask for a token, and neither
/// edit files nor forget sign-ins. Help and version say the same to everybody.
fn refuse_client(sys: &Sys, command: &Command) -> Result<(), Error> {
    if command.for_clients || !exec_credential::is_called_by_client(&sys.env) {
        return Ok(());
    }
    let what =
        format!("{} is not for exec entries, and KUBERNETES_EXEC_INFO says that one has called it", command.name);
    Err(Error::new(ErrorKind::Usage, what)
        .remedy("let the args of the entry begin with get-token, or unset the variable if you typed this yourself"))
}

/// The first argument that is neither a flag nor the value of one, and all the others.
fn split_off_command(mut args: Vec<&str>) -> (Option<&str>, Vec<&str>) {
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        if *arg == "--" || !arg.starts_with('-') || *arg == "-" {
            break;
        }
        at += if args::takes_next(arg) { 2 } else { 1 };
    }
    let is_there = args.get(at).is_some_and(|arg| *arg != "--");
    let name = is_there.then(|| args.remove(at));
    (name, args)
}

fn without_command(sys: &Sys, rest: &[&str]) -> Result<Outcome, Error> {
    if rest.contains(&"--version") {
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
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::commands::COMMANDS;
    use crate::options::{TABLE, ValueKind};

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

    /// A flag as somebody may type it, and what is read of it.
    type Part = (Vec<String>, Option<(&'static Decl, String)>);

    /// A flag of the table with a value that it takes, in one of its spellings, by one of its names.
    fn flag(options: OptionSet) -> impl Strategy<Value = Part> {
        let rows: Vec<&'static Decl> = options.iter().collect();
        (select(rows), any::<prop::sample::Index>(), 0..5_u8, "[a-zA-Z0-9./:=@ é-]{0,8}").prop_map(move |parts| {
            let (decl, name, spelling, text) = parts;
            let names: Vec<&str> = [decl.name].iter().chain(decl.old_names).chain(decl.other_names).copied().collect();
            // Two rows may answer to one name; the first one of the command is meant.
            let name = names[name.index(names.len())];
            let decl = options.find(|decl| decl.answers_to(name)).unwrap();
            let value = match decl.takes {
                ValueKind::Nothing => ["true", "false", "1", "f"][text.len() % 4].to_owned(),
                ValueKind::Number => text.len().to_string(),
                ValueKind::Duration => format!("{}s", text.len() + 1),
                ValueKind::Text(_) => text,
            };
            let short = decl.short.filter(|short| options.find(|decl| decl.short == Some(*short)) == Some(decl));
            match (spelling, short, decl.takes == ValueKind::Nothing) {
                (0, Some(short), false) => (vec![format!("-{short}"), value.clone()], Some((decl, value))),
                (1, Some(short), false) if !value.is_empty() && !value.starts_with('=') => {
                    (vec![format!("-{short}{value}")], Some((decl, value)))
                }
                (2, Some(short), _) => (vec![format!("-{short}={value}")], Some((decl, value))),
                (3, _, false) => (vec![format!("--{name}"), value.clone()], Some((decl, value))),
                (3, _, true) => (vec![format!("--{name}")], Some((decl, "true".into()))),
                _ => (vec![format!("--{name}={value}")], Some((decl, value))),
            }
        })
    }

    fn word() -> impl Strategy<Value = Part> {
        "[a-zé][a-z=-]{0,5}".prop_map(|word| (vec![word], None))
    }

    fn of_any_command() -> impl Strategy<Value = OptionSet> {
        (0..COMMANDS.len()).prop_map(|command| COMMANDS[command].options)
    }

    /// What nobody should type: flags of other commands, without their value or with a wrong one, and half of a flag.
    fn odd() -> impl Strategy<Value = Vec<String>> {
        let rows = TABLE.iter().flat_map(|decl| {
            let long = ["", "=", "=canary", ":canary", " canary", "x"].map(|end| format!("--{}{end}", decl.name));
            let short =
                decl.short.into_iter().flat_map(|short| ["", "=", "=é", "xé"].map(|end| format!("-{short}{end}")));
            let one_dash_too_few = format!("-{}", decl.name);
            long.into_iter().chain(short).chain([one_dash_too_few])
        });
        let rest = ["-", "--", "---", "--=", "-=", "-é", "--é=", "-h", "--help", "-hh", "", "\u{0}", "--help=x"];
        let one = select(rows.chain(rest.map(String::from)).collect::<Vec<_>>());
        one.prop_map(|word| vec![word])
    }

    proptest! {
        /// Whatever the command: what was typed is read, in its order, and nothing else.
        #[test]
        fn every_spelling_is_read_as_it_is_meant(
            (options, parts) in of_any_command().prop_flat_map(|options| {
                (Just(options), vec(prop_oneof![4 => flag(options), 1 => word()], 0..8))
            })
        ) {
            let line = parts.iter().flat_map(|(words, _)| words.clone()).collect::<Vec<_>>();
            let given = args::read(&line, options).unwrap();
            let read = given.flags().iter().map(|typed| (typed.decl.name, typed.text.expose().to_owned()));
            let meant = parts.iter().filter_map(|(_, meant)| meant.clone()).map(|(decl, text)| (decl.name, text));
            prop_assert_eq!(read.collect::<Vec<_>>(), meant.collect::<Vec<_>>(), "{:?}", line);
            let others = parts.iter().filter(|(_, meant)| meant.is_none()).flat_map(|(words, _)| words.clone());
            prop_assert_eq!(given.positionals, others.collect::<Vec<_>>());
        }

        /// Odd words among good ones: a refusal or a reading, of which every text was typed; an entry is never refused.
        #[test]
        fn no_command_line_makes_it_panic(
            (options, parts) in of_any_command().prop_flat_map(|options| {
                let good = flag(options).prop_map(|(words, _)| words);
                (Just(options), vec(prop_oneof![good, odd()], 0..8))
            })
        ) {
            let line = parts.concat();
            for given in args::read(&line, options).into_iter().chain([args::read_entry(&line)]) {
                let typed = |text: &str| line.iter().any(|word| word.contains(text));
                for flag in given.flags() {
                    let text = flag.text.expose();
                    let switch = flag.decl.takes == ValueKind::Nothing && text == "true";
                    prop_assert!(typed(text) || switch, "{:?}: {}", line, text);
                }
                let unread = given.positionals.iter().chain(&given.unknown);
                // Of a group of short flags the one that is not known is named alone.
                let letter = |text: &str| text.strip_prefix('-').is_some_and(|rest| rest.chars().count() == 1 && typed(rest));
                let is_told = |text: &String| typed(text) || letter(text) || text == "--=";
                prop_assert!(unread.into_iter().all(is_told), "{:?}: {:?}", line, given);
            }
            // Whatever is accepted is accepted by the reader of entries, alike.
            if let Ok(given) = args::read(&line, OptionSet::TOKEN) {
                prop_assert_eq!(format!("{given:?}"), format!("{:?}", args::read_entry(&line)));
            }
        }

        /// The reader and clap read every accepted command line alike.
        #[test]
        fn the_reader_and_clap_agree(
            (command, parts) in (0..COMMANDS.len()).prop_flat_map(|command| {
                (Just(command), vec(prop_oneof![4 => flag(COMMANDS[command].options), 1 => word()], 0..8))
            })
        ) {
            let command = &COMMANDS[command];
            let line = parts.into_iter().flat_map(|(words, _)| words).collect::<Vec<_>>();
            let given = args::read(&line, command.options).unwrap();
            let words = ["kubentra", command.name].map(String::from).into_iter().chain(line.clone());
            let matches = clap_command(&sys(&["kubentra"]), Purpose::Reading).try_get_matches_from(words);
            let matches = matches.unwrap_or_else(|error| panic!("{line:?}: {error}"));
            let (_, matches) = matches.subcommand().unwrap();
            for decl in command.options.iter() {
                let read = given.last(decl).map(|typed| typed.text.expose().to_owned());
                prop_assert_eq!(read, matches.get_one::<String>(decl.name).cloned(), "--{}", decl.name);
            }
            let rest: Vec<String> = matches.get_many::<String>("rest").into_iter().flatten().cloned().collect();
            prop_assert_eq!(&given.positionals, &rest);
        }
    }
}
