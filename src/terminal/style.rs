//! How a text that is meant for people and for programs looks on stdout.

use std::io::IsTerminal;

use crate::error::visible;
use crate::os::env::Env;

use super::screen::takes_colour;

/// How text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStyle {
    /// Byte for byte, for the program that reads it.
    Exact,
    /// On a terminal, without colours.
    Plain,
    /// On a terminal that takes colours, where they are wanted.
    Coloured,
}

/// What a text stands out by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// What is gone.
    Red,
    /// What is new.
    Green,
    /// Where it stands.
    Cyan,
    /// A heading.
    Bold,
}

impl OutputStyle {
    /// That of this process's stdout.
    pub(crate) fn of_stdout(env: &Env) -> Self {
        Self::of(env, std::io::stdout().is_terminal(), cfg!(windows))
    }

    fn of(env: &Env, terminal: bool, windows: bool) -> Self {
        match terminal {
            false => Self::Exact,
            true if takes_colour(env, windows) => Self::Coloured,
            true => Self::Plain,
        }
    }

    /// `line`, which has no line break, in `colour`. What a file says does not steer a terminal.
    pub(crate) fn show(self, line: &str, colour: Option<Colour>) -> String {
        match (self, colour) {
            (Self::Exact, _) => line.to_owned(),
            (Self::Coloured, Some(colour)) => format!("\u{1b}[{}m{}\u{1b}[0m", colour.code(), visible(line)),
            (Self::Plain | Self::Coloured, _) => visible(line),
        }
    }
}

impl Colour {
    fn code(self) -> u8 {
        match self {
            Self::Bold => 1,
            Self::Red => 31,
            Self::Green => 32,
            Self::Cyan => 36,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_take_them() {
        let look = |variables: [(&str, &str); 2]| OutputStyle::of(&Env::from(variables), true, false);
        assert_eq!(look([("TERM", "xterm"), ("NO_COLOR", "")]), OutputStyle::Coloured);
        assert_eq!(look([("TERM", "xterm"), ("NO_COLOR", "0")]), OutputStyle::Plain);
        assert_eq!(look([("TERM", "dumb"), ("NO_COLOR", "")]), OutputStyle::Plain);
        assert_eq!(look([("TERM", ""), ("NO_COLOR", "")]), OutputStyle::Plain);
        assert_eq!(OutputStyle::of(&Env::from([("TERM", "xterm")]), false, false), OutputStyle::Exact);
        assert_eq!(OutputStyle::of(&Env::default(), true, true), OutputStyle::Plain);
    }

    #[test]
    fn a_file_does_not_steer_the_terminal() {
        let line = "a\u{1b}[2J\tb";
        assert_eq!(OutputStyle::Exact.show(line, Some(Colour::Red)), line);
        assert_eq!(OutputStyle::Plain.show(line, Some(Colour::Red)), "a\\u{1b}[2J\tb");
        assert_eq!(OutputStyle::Coloured.show(line, Some(Colour::Red)), "\u{1b}[31ma\\u{1b}[2J\tb\u{1b}[0m");
        assert_eq!(OutputStyle::Coloured.show(line, None), "a\\u{1b}[2J\tb");
    }
}
