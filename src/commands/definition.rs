//! The commands as clap knows them, built from the tables: for help, suggestions and completions.

use clap::builder::{PossibleValuesParser, StyledStr, ValueParser};
use clap::{Arg, ArgAction, ValueHint};

use crate::login;
use crate::options::{Decl, LOGIN, ValueKind};
use crate::sys::Sys;

use super::{COMMANDS, Command};

/// What clap's commands are built for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Help and suggestions; every text is accepted, as by the reader.
    Reading,
    /// Shell completions, which also list the values that make sense.
    Completing,
}

/// All commands with all their options, from the tables.
pub(crate) fn clap_command(sys: &Sys, purpose: Purpose) -> clap::Command {
    let root = clap::Command::new(sys.called_as())
        .about("Sign kubectl in to AKS and Arc clusters with Entra ID")
        .arg_required_else_help(true)
        .disable_version_flag(true)
        .arg(Arg::new("version").long("version").action(ArgAction::SetTrue).help("Print the version"));
    COMMANDS.iter().fold(root, |root, command| root.subcommand(clap_subcommand(command, purpose)))
}

fn clap_subcommand(command: &Command, purpose: Purpose) -> clap::Command {
    let positional = command.positional.unwrap_or("IGNORED");
    let rest = Arg::new("rest").value_name(positional).num_args(0..).hide(command.positional.is_none());
    let base = clap::Command::new(command.name)
        .about(command.about)
        .after_help(command.notes)
        .hide(command.hidden)
        .args_override_self(true)
        .arg(rest.value_parser(positional_values(command, purpose)));
    command.options.iter().fold(base, |base, decl| base.arg(clap_arg(decl, command, purpose)))
}

/// The values of a positional that has a fixed list, for completions.
fn positional_values(command: &Command, purpose: Purpose) -> ValueParser {
    if purpose == Purpose::Completing && !command.values.is_empty() {
        return PossibleValuesParser::new(command.values).into();
    }
    ValueParser::string()
}

fn clap_arg(decl: &'static Decl, command: &Command, purpose: Purpose) -> Arg {
    let arg = Arg::new(decl.name)
        .long(decl.name)
        .help(help_of(decl, command))
        .aliases(decl.old_names)
        .visible_aliases(decl.other_names)
        .action(ArgAction::Set);
    let arg = decl.short.into_iter().fold(arg, Arg::short);
    match decl.takes {
        ValueKind::Nothing => arg
            .value_name("true|false")
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .hide_possible_values(true),
        ValueKind::Duration => arg.value_name("DURATION").allow_hyphen_values(true),
        ValueKind::Number => arg.value_name("LEVEL").allow_hyphen_values(true),
        ValueKind::Text(name) => {
            values_of(arg.value_name(name).value_hint(hint(name)).allow_hyphen_values(true), decl, purpose)
        }
    }
}

fn values_of(arg: Arg, decl: &'static Decl, purpose: Purpose) -> Arg {
    if purpose == Purpose::Completing && *decl == LOGIN.decl {
        return arg.value_parser(PossibleValuesParser::new(login::METHODS.iter().map(|method| method.name)));
    }
    arg
}

fn hint(placeholder: &str) -> ValueHint {
    match placeholder {
        "FILE" => ValueHint::FilePath,
        "DIR" => ValueHint::DirPath,
        _ => ValueHint::Other,
    }
}

/// The row's line with its default and its variables; what convert writes no variable decides but
/// the login method (design, D1).
fn help_of(decl: &Decl, command: &Command) -> StyledStr {
    let default = decl.default.filter(|_| decl.takes != ValueKind::Nothing);
    let default = default.map(|text| format!(" [default: {text}]")).unwrap_or_default();
    let methods = if *decl == LOGIN.decl { format!(": {}", login::described()) } else { String::new() };
    let counts = command.hears_variables || *decl == LOGIN.decl;
    let mut names: Vec<&str> = Vec::new();
    for var in decl.vars.iter().filter(|_| counts) {
        if !names.contains(&var.name) {
            names.push(var.name);
        }
    }
    let vars = if names.is_empty() { String::new() } else { format!(" [env: {}]", names.join(", ")) };
    StyledStr::from(format!("{}{methods}{default}{vars}", decl.help))
}
