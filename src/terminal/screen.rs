//! What the terminal behind stderr can show.

use crate::os::env::Env;

use super::stderr_is_terminal;

/// The columns of a terminal that does not tell.
const USUAL_WIDTH: usize = 80;

/// A terminal on which a line can be drawn and erased again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// Whether it takes colours and bold letters, and they are wanted.
    pub(super) colour: bool,
    /// Whether it shows more than ASCII.
    pub(super) unicode: bool,
    /// Whether it takes escape sequences at all.
    pub(super) escapes: bool,
    /// How many columns it has now; a window may be resized at any time.
    pub(super) width: fn() -> usize,
    /// Whether the line at the cursor is ours. It is the shell's while we are a job in the background.
    pub(super) foreground: fn() -> bool,
}

impl Screen {
    /// The terminal behind stderr, if there is one that can be drawn on.
    pub(super) fn of_stderr(env: &Env) -> Option<Self> {
        if stderr_is_terminal() { Self::of(env, cfg!(windows)) } else { None }
    }

    /// A terminal in this environment. On Unix one that does not say what it is gets plain lines, as git
    /// does it; the console of Windows says nothing, and takes escape sequences only where somebody has
    /// switched them on.
    fn of(env: &Env, windows: bool) -> Option<Self> {
        (windows || says_what_it_is(env)).then(|| Self {
            colour: takes_colour(env, windows),
            unicode: !windows && speaks_utf8(env),
            escapes: !windows,
            width: stderr_width,
            foreground: in_foreground,
        })
    }

    /// What empties the current line, of which `columns` are ours, and goes back to its start.
    pub(super) fn erasing(&self, columns: usize) -> String {
        if self.escapes { "\r\u{1b}[K".into() } else { format!("\r{}\r", " ".repeat(columns)) }
    }

    /// `text` so that it can't be overlooked.
    pub(super) fn strong(&self, text: &str) -> String {
        if self.colour { format!("\u{1b}[1;7m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Whether a terminal in this environment takes colours, and they are wanted.
pub(super) fn takes_colour(env: &Env, windows: bool) -> bool {
    !windows && says_what_it_is(env) && env.get("NO_COLOR").is_none()
}

fn says_what_it_is(env: &Env) -> bool {
    env.get("TERM").is_some_and(|kind| kind != "dumb")
}

/// The first that is set decides (POSIX, 8.2).
fn speaks_utf8(env: &Env) -> bool {
    let locale = env.first(&["LC_ALL", "LC_CTYPE", "LANG"]).map(|(_, locale)| locale.to_ascii_lowercase());
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}

#[cfg(unix)]
fn stderr_width() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL_WIDTH)
}

#[cfg(not(unix))]
fn stderr_width() -> usize {
    USUAL_WIDTH
}

/// A terminal that does not control us knows nothing of jobs.
#[cfg(unix)]
fn in_foreground() -> bool {
    rustix::termios::tcgetpgrp(rustix::stdio::stderr()).map_or(true, |group| group == rustix::process::getpgrp())
}

#[cfg(not(unix))]
fn in_foreground() -> bool {
    true
}

#[cfg(test)]
impl Screen {
    /// A terminal with everything, 80 columns wide.
    pub(crate) fn fake() -> Self {
        Self { colour: true, unicode: true, escapes: true, width: || USUAL_WIDTH, foreground: || true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_is_dumb_or_unknown_gets_plain_lines() {
        for kind in [Env::from([("TERM", "dumb")]), Env::from([("TERM", "")]), Env::default()] {
            assert!(Screen::of(&kind, false).is_none());
        }
        assert!(Screen::of(&Env::from([("TERM", "xterm")]), false).is_some());
    }

    #[test]
    fn no_color_is_what_is_set_to_anything() {
        for (value, colour) in [("1", false), ("0", false), ("", true)] {
            let env = Env::from([("TERM", "xterm"), ("NO_COLOR", value)]);
            assert_eq!(Screen::of(&env, false).unwrap().colour, colour, "{value}");
        }
    }

    #[test]
    fn the_first_variable_that_is_set_is_the_locale() {
        for (all, ctype, lang, unicode) in [
            ("", "", "C.UTF-8", true),
            ("", "", "de_DE.utf8", true),
            ("", "", "de_DE.ISO-8859-1", false),
            ("C", "C.UTF-8", "C.UTF-8", false),
            ("", "POSIX", "C.UTF-8", false),
            ("en_US.UTF-8", "C", "C", true),
            ("", "", "", false),
        ] {
            let env = Env::from([("LC_ALL", all), ("LC_CTYPE", ctype), ("LANG", lang)]);
            assert_eq!(speaks_utf8(&env), unicode, "{all} {ctype} {lang}");
        }
    }

    #[test]
    fn the_console_of_windows_is_sent_no_escape_sequence() {
        let screen = Screen::of(&Env::from([("LANG", "C.UTF-8")]), true).unwrap();
        assert!(!screen.unicode);
        assert_eq!(screen.erasing(3), "\r   \r");
        assert_eq!(screen.strong("ABC"), "ABC");
    }
}
