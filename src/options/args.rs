//! The reader of command lines, with the rules of Go's pflag: `--flag value`, `--flag=value`,
//! `-l value`, `-lvalue`, `-l=value`; switches take a value only after `=`; flags and other
//! arguments may interleave; `--` ends the flags; the last of a repeated flag wins.
//!
//! It reads the program's own arguments and those inside kubeconfig entries.

use std::rc::Rc;

use super::{Decl, OptionSet, TABLE, ValueKind};
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// A flag that was given.
#[derive(Debug, Clone)]
pub struct ParsedFlag {
    /// Its row.
    pub decl: &'static Decl,
    /// The text; `true` or `false` for a switch.
    pub text: Secret,
    /// The flag as it was typed: `--tenant-id` or `-t`.
    pub flag: String,
    /// Whether it stands in an exec entry that a command has read, and nobody has typed it.
    pub in_entry: bool,
}

/// What a command line says.
#[derive(Debug, Clone, Default)]
pub struct ParsedArgs {
    /// Shared, as [`Values`](super::Values) are.
    flags: Rc<Vec<ParsedFlag>>,
    /// Arguments that are no flags, in order.
    pub positionals: Vec<String>,
    /// Whether `-h` or `--help` is among them.
    pub help: bool,
    /// The names of flags that no option answers to; only a lenient reader gets past them.
    pub unknown: Vec<String>,
}

impl ParsedArgs {
    /// The last of the flags that set `decl`.
    pub fn last(&self, decl: &Decl) -> Option<&ParsedFlag> {
        self.flags.iter().rev().find(|typed| typed.decl == decl)
    }

    /// What every flag that sets `decl` says, in order; an empty one says nothing.
    pub fn every(&self, decl: &Decl) -> impl Iterator<Item = &str> {
        let flags = self.flags.iter().filter(move |typed| typed.decl == decl);
        flags.map(|typed| typed.text.expose()).filter(|text| !text.is_empty())
    }

    /// The same without the flags that set `decl`.
    #[must_use]
    pub fn without(&self, decl: &Decl) -> Self {
        self.only(|typed| typed.decl != decl)
    }

    /// The same with those flags only that `wanted` picks.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&ParsedFlag) -> bool) -> Self {
        let flags = self.flags.iter().filter(|typed| wanted(typed)).cloned().collect();
        Self { flags: Rc::new(flags), ..self.clone() }
    }

    /// These flags over those that the exec entry has: the typed one wins.
    #[must_use]
    pub fn over(mut self, entry: &Self) -> Self {
        let of_entry = entry.flags.iter().map(|typed| ParsedFlag { in_entry: true, ..typed.clone() });
        self.flags = Rc::new(of_entry.chain(self.flags.iter().cloned()).collect());
        self
    }

    /// All flags, in order.
    pub fn flags(&self) -> &[ParsedFlag] {
        &self.flags
    }
}

/// Reads `args` for a command with these `options`.
///
/// # Errors
/// An unknown flag, a missing or malformed value; the texts are pflag's.
pub fn read(args: &[impl AsRef<str>], options: OptionSet) -> Result<ParsedArgs, Error> {
    Reader { options, lenient: false, given: ParsedArgs::default() }.read(args)
}

/// Reads the `args` of a kubeconfig entry for `get-token`: flags that are not known, or whose
/// values are malformed, are noted and passed over.
pub fn read_entry(args: &[String]) -> ParsedArgs {
    let reader = Reader { options: OptionSet::TOKEN, lenient: true, given: ParsedArgs::default() };
    reader.read(args).unwrap_or_default()
}

/// Whether `arg` is a flag of any command whose value is the next argument.
pub fn takes_next(arg: &str) -> bool {
    TABLE.iter().find(|decl| is_flag_of(arg, decl)).is_some_and(|decl| decl.takes != ValueKind::Nothing)
}

/// Whether `arg` is a flag of this option: `--tenant-id` or `-t`.
pub(crate) fn is_flag_of(arg: &str, decl: &Decl) -> bool {
    match arg.strip_prefix("--") {
        Some(name) => decl.answers_to(name),
        None => decl.short.is_some_and(|short| arg.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))),
    }
}

struct Reader {
    options: OptionSet,
    lenient: bool,
    given: ParsedArgs,
}

impl Reader {
    fn read(mut self, args: &[impl AsRef<str>]) -> Result<ParsedArgs, Error> {
        let mut rest = args.iter().map(AsRef::as_ref).peekable();
        while let Some(arg) = rest.next() {
            if arg == "--" {
                self.given.positionals.extend(rest.map(String::from));
                break;
            }
            if arg.starts_with("--") {
                self.long(arg, &mut rest)?;
            } else if arg.len() > 1 && arg.starts_with('-') {
                self.shorts(arg, &mut rest)?;
            } else {
                self.given.positionals.push(arg.to_owned());
            }
        }
        Ok(self.given)
    }

    fn long<'a>(&mut self, arg: &str, rest: &mut Rest<'a, impl Iterator<Item = &'a str>>) -> Result<(), Error> {
        let (flag, value) = arg.split_once('=').map_or((arg, None), |(flag, value)| (flag, Some(value)));
        let name = &flag[2..];
        if name.is_empty() || name.starts_with('-') {
            return self.refuse("bad flag syntax: --=".into(), "--=");
        }
        if name == "help" {
            self.given.help = true;
            return Ok(());
        }
        let Some(decl) = self.options.find(|decl| decl.answers_to(name)) else {
            let (flag, together) = name_alone(name);
            if self.lenient && value.is_none() {
                rest.next_if(|next| !next.starts_with('-'));
            }
            let together = if together { " and what follows it in one argument" } else { "" };
            return self.refuse(format!("unknown flag: {flag}{together}"), &flag);
        };
        let value = match (value, decl.takes) {
            (Some(value), _) => value,
            (None, ValueKind::Nothing) => "true",
            (None, _) => match rest.next() {
                Some(value) => value,
                None => return self.refuse(format!("flag needs an argument: {flag}"), flag),
            },
        };
        self.accept(decl, value, flag)
    }

    /// A group of short flags; a text takes the rest of the group or the next argument.
    fn shorts<'a>(&mut self, arg: &str, rest: &mut Rest<'a, impl Iterator<Item = &'a str>>) -> Result<(), Error> {
        let group = &arg[1..];
        let mut letters = group.chars();
        while let Some(letter) = letters.next() {
            let tail = letters.as_str();
            let Some(decl) = self.options.find(|decl| decl.short == Some(letter)) else {
                if letter == 'h' {
                    self.given.help = true;
                    continue;
                }
                // What follows may be a secret behind one dash too few.
                return self.refuse(format!("unknown shorthand flag: '{letter}' in -{letter}"), &format!("-{letter}"));
            };
            let flag = &format!("-{letter}");
            if let Some(value) = tail.strip_prefix('=') {
                return self.accept(decl, value, flag);
            }
            if decl.takes == ValueKind::Nothing {
                self.accept(decl, "true", flag)?;
                continue;
            }
            let value = if tail.is_empty() { rest.next() } else { Some(tail) };
            return match value {
                Some(value) => self.accept(decl, value, flag),
                None => self.refuse(format!("flag needs an argument: '{letter}' in -{letter}"), arg),
            };
        }
        Ok(())
    }

    fn accept(&mut self, decl: &'static Decl, value: &str, flag: &str) -> Result<(), Error> {
        if let Err(why) = well_formed(decl, value) {
            let both = decl.short.map_or_else(|| decl.flag(), |short| format!("-{short}, {}", decl.flag()));
            return self.refuse(format!("invalid argument \"{value}\" for \"{both}\" flag: {why}"), flag);
        }
        let given = ParsedFlag { decl, text: Secret::new(value), flag: flag.to_owned(), in_entry: false };
        Rc::make_mut(&mut self.given.flags).push(given);
        Ok(())
    }

    fn refuse(&mut self, what: String, flag: &str) -> Result<(), Error> {
        if self.lenient {
            self.given.unknown.push(flag.to_owned());
            return Ok(());
        }
        Err(Error::new(ErrorKind::Usage, what))
    }
}

/// The unknown flag `name` without what is no part of a flag's name, and whether there was any: where flag
/// and value are one argument it may be a secret.
fn name_alone(name: &str) -> (String, bool) {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let end = name.find(|c| !is_part(c)).unwrap_or(name.len());
    (format!("--{}", &name[..end]), end < name.len())
}

type Rest<'a, I> = std::iter::Peekable<I>;

/// pflag checks switches, numbers and durations while it reads; texts are checked when used.
fn well_formed(decl: &Decl, value: &str) -> Result<(), String> {
    if matches!(decl.takes, ValueKind::Text(_)) { Ok(()) } else { (decl.check)(value) }
}

#[cfg(test)]
mod tests {
    use super::super::{CLIENT_ID, LEGACY, LOGIN, TENANT_ID, TIMEOUT};
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(String::from).collect()
    }

    fn given(line: &str) -> ParsedArgs {
        read(&words(line), OptionSet::TOKEN).unwrap()
    }

    fn value(line: &str, decl: &Decl) -> Option<String> {
        given(line).last(decl).map(|typed| typed.text.expose().to_owned())
    }

    fn refusal(line: &str) -> String {
        read(&words(line), OptionSet::TOKEN).unwrap_err().to_string()
    }

    #[test]
    fn every_form_of_a_text_flag() {
        for line in ["--login spn", "--login=spn", "-l spn", "-lspn", "-l=spn", "-l devicecode --login spn"] {
            assert_eq!(value(line, &LOGIN.decl).as_deref(), Some("spn"), "{line}");
        }
        assert_eq!(value("--client-id=", &CLIENT_ID.decl).as_deref(), Some(""));
        assert_eq!(value("--client-id -t", &CLIENT_ID.decl).as_deref(), Some("-t"));
    }

    #[test]
    fn a_switch_takes_a_value_only_after_the_equals_sign() {
        assert_eq!(value("--legacy", &LEGACY.decl).as_deref(), Some("true"));
        assert_eq!(value("--legacy=f", &LEGACY.decl).as_deref(), Some("f"));
        let both = given("--legacy true");
        assert_eq!(both.positionals, ["true"]);
    }

    #[test]
    fn flags_and_other_arguments_interleave_until_two_dashes() {
        let given = given("one --tenant-id T two -- --legacy");
        assert_eq!(given.positionals, ["one", "two", "--legacy"]);
        assert_eq!(given.last(&TENANT_ID.decl).unwrap().text.expose(), "T");
        assert!(given.last(&LEGACY.decl).is_none());
    }

    #[test]
    fn refusals_have_the_words_of_pflag() {
        for (line, words) in [
            ("--bogus", "unknown flag: --bogus"),
            ("--bogus=secret", "unknown flag: --bogus"),
            ("--client-secret:canary", "unknown flag: --client-secret and what follows it in one argument;"),
            ("-z", "unknown shorthand flag: 'z' in -z"),
            ("--timeout abc", "invalid argument \"abc\" for \"--timeout\" flag: time: invalid duration \"abc\""),
            (
                "--legacy=maybe",
                "invalid argument \"maybe\" for \"--legacy\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
            ),
            ("-v", "flag needs an argument: 'v' in -v"),
            ("--client-id", "flag needs an argument: --client-id"),
            ("-v=x", "invalid argument \"x\" for \"-v, --v\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"),
            ("--=x", "bad flag syntax: --="),
            ("-client-secret=canary", "unknown shorthand flag: 'c' in -c;"),
        ] {
            assert!(refusal(line).starts_with(words), "{line}: {}", refusal(line));
        }
        assert_eq!(value("--timeout 90s", &TIMEOUT.decl).as_deref(), Some("90s"));
    }

    #[test]
    fn an_entry_is_read_past_what_is_not_known() {
        let entry = read_entry(&words("get-token --future S --client-id=C --novel --legacy=maybe -t T"));
        assert_eq!(entry.last(&CLIENT_ID.decl).unwrap().text.expose(), "C");
        assert_eq!(entry.last(&TENANT_ID.decl).unwrap().text.expose(), "T");
        assert_eq!(entry.unknown, ["--future", "--novel", "--legacy"]);
    }

    #[test]
    fn a_flag_and_its_value_in_one_argument_show_no_value() {
        let canaries =
            ["--client-secret canary", "--x\tcanary", "--password:canary", "-p canary", "--\u{a0}canary", "-- canary"];
        let canaries = canaries.map(String::from);
        assert_eq!(read_entry(&canaries).unknown, ["--client-secret", "--x", "--password", "-p", "--", "--"]);
        for canary in canaries {
            let refusal = read(&[canary], OptionSet::TOKEN).unwrap_err().to_string();
            assert!(!refusal.contains("canary"), "{refusal}");
        }
    }

    #[test]
    fn no_abbreviations() {
        assert!(refusal("--tenant T").starts_with("unknown flag: --tenant"));
    }
}
