//! What people read: stderr, how much can be shown there, and whether anybody can see it.
//!
//! Where stderr is no terminal, everything is a plain line. On a terminal a prompt takes the room that
//! it needs, and long work has one line that changes and disappears ([`Terminal::while_waiting`]).

mod prompt;
mod screen;
mod signed_in;
mod style;
mod visibility;
mod wait;

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;

pub(crate) use prompt::DeviceCodePrompt;
pub(crate) use signed_in::{SignedIn, time_text};
pub(crate) use style::{Colour, OutputStyle};
pub(crate) use visibility::{prompt_hidden, stderr_is_terminal, unattended};
pub(crate) use wait::Wait;

use crate::error::{Error, ErrorKind, one_line, visible};
use crate::os::env::Env;

use screen::Screen;

/// Silences the notes, for programs that draw on the terminal themselves, such as k9s.
pub(crate) const QUIET: &str = "KUBENTRA_QUIET";

/// Stderr. stdout belongs to kubectl and is written by `main` alone.
pub struct Terminal {
    out: Rc<RefCell<Box<dyn Write>>>,
    /// Whether that is the stderr of this process, which may be a screen.
    is_stderr: bool,
    verbosity: Cell<u8>,
    quiet: bool,
    /// What can be drawn on; `None` where there are only plain lines.
    screen: Option<Screen>,
    /// The columns of what stands on the current line and has to go before anything else is said.
    drawn: Cell<usize>,
    /// How many waits there are, one within the other.
    waits: Cell<usize>,
}

impl Terminal {
    /// The stderr of this process, as the environment wants it used.
    pub fn stderr(env: &Env) -> Self {
        let quiet = is_quiet(env);
        let screen = Screen::of_stderr(env).filter(|_| !quiet);
        Self { quiet, screen, is_stderr: true, ..Self::to(std::io::stderr()) }
    }

    /// The same as another environment wants it used, with the same verbosity.
    #[must_use]
    pub fn for_env(&self, env: &Env) -> Self {
        let quiet = is_quiet(env);
        let screen = if self.is_stderr && !quiet { Screen::of_stderr(env) } else { None };
        let (out, verbosity) = (self.out.clone(), self.verbosity.clone());
        Self { out, is_stderr: self.is_stderr, verbosity, quiet, screen, drawn: Cell::new(0), waits: Cell::new(0) }
    }

    /// Plain lines that go to `out`.
    pub fn to(out: impl Write + 'static) -> Self {
        Self {
            out: Rc::new(RefCell::new(Box::new(out))),
            is_stderr: false,
            verbosity: Cell::new(0),
            quiet: false,
            screen: None,
            drawn: Cell::new(0),
            waits: Cell::new(0),
        }
    }

    /// Sets what `-v` asks for.
    pub fn set_verbosity(&self, level: u8) {
        self.verbosity.set(level);
    }

    /// What `-v` asks for.
    pub fn verbosity(&self) -> u8 {
        self.verbosity.get()
    }

    /// Whether another program draws on the terminal, so that only what is needed is said.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints one line, or several, that somebody needs or has asked for. Whatever could steer the terminal is
    /// written out: paths, names and claims may be a stranger's, and some caller will forget to clean them. What we
    /// draw ourselves does not come by here.
    pub fn say(&self, line: impl AsRef<str>) {
        let lines: String = line.as_ref().split('\n').map(|line| visible(line) + "\n").collect();
        self.write(&lines);
    }

    /// Prints a line that one can do without: how things went, or why it takes a while.
    pub fn note(&self, line: impl AsRef<str>) {
        if !self.quiet {
            self.say(line);
        }
    }

    /// Prints a line at verbosity `level` and above. Nothing secret may be in it, at any level. One of
    /// level 0 is a note.
    pub fn detail(&self, level: u8, line: impl FnOnce() -> String) {
        match (level, self.verbosity.get()) {
            (0, 0) => self.note(line()),
            (level, wanted) if wanted >= level => self.say(line()),
            _ => {}
        }
    }

    /// Asks a person to sign in.
    pub fn prompt(&self, prompt: &DeviceCodePrompt<'_>) {
        match &self.screen {
            Some(screen) => self.write(&prompt.drawn(screen)),
            None => self.say(one_line(prompt.line)),
        }
    }

    /// Prints how a command failed: one line, and the details where they were asked for.
    pub fn report(&self, error: &Error) {
        if error.kind() == ErrorKind::Interrupted {
            self.write_over_echo();
        }
        self.say(format!("Error: {error}"));
        for line in error.details() {
            self.detail(1, || format!("  {}", one_line(line)));
        }
    }

    /// A terminal shows Ctrl-C as `^C` where the cursor stands.
    fn write_over_echo(&self) {
        if self.screen.is_some() {
            self.drawn.set(self.drawn.get().max("^C".len()));
        }
    }

    /// Writes `text` in one call, so that lines of several processes don't mix, in place of what is
    /// drawn on the current line.
    fn write(&self, text: &str) {
        let erased = match (&self.screen, self.drawn.replace(0)) {
            (Some(screen), columns @ 1..) if (screen.foreground)() => screen.erasing(columns),
            _ => String::new(),
        };
        // A closed stderr is no reason to fail: the token still goes to stdout.
        let mut out = self.out.borrow_mut();
        let _ = out.write_all(format!("{erased}{text}").as_bytes());
        let _ = out.flush();
    }

    /// Draws `text`, `columns` wide, on the current line, where the next thing said replaces it. Another
    /// process that waits on the same terminal may have drawn there too.
    fn draw(&self, text: &str, columns: usize) {
        self.drawn.set(self.drawn.get().max(1));
        self.write(text);
        self.drawn.set(columns);
    }

    /// Leaves the current line empty, as it was before anything was drawn.
    fn erase(&self) {
        if self.drawn.get() > 0 {
            self.write("");
        }
    }
}

fn is_quiet(env: &Env) -> bool {
    env.get(QUIET).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
}

#[cfg(test)]
pub(crate) mod fake {
    //! Terminals that can be read.

    use std::cell::RefCell;
    use std::io::Write;
    use std::rc::Rc;

    use super::{Screen, Terminal};

    /// What was written.
    #[derive(Default, Clone)]
    pub(crate) struct Written(Rc<RefCell<Vec<u8>>>);

    impl Written {
        /// All of it since the last look.
        pub(crate) fn take(&self) -> String {
            String::from_utf8(self.0.take()).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Terminal {
        /// A terminal with this screen, and what is written to it.
        pub(crate) fn on(screen: Screen) -> (Self, Written) {
            let written = Written::default();
            (Self { screen: Some(screen), ..Self::to(written.clone()) }, written)
        }

        /// One that is quiet or not, and what is written to it.
        pub(crate) fn plain(quiet: bool) -> (Self, Written) {
            let written = Written::default();
            (Self { quiet, ..Self::to(written.clone()) }, written)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Written;
    use super::*;

    #[test]
    fn quiet_is_what_is_set_and_not_denied() {
        for (value, quiet) in [("1", true), ("true", true), ("yes", true), ("0", false), ("False", false), ("", false)]
        {
            assert_eq!(is_quiet(&Env::from([(QUIET, value)])), quiet, "{value}");
        }
        assert!(!is_quiet(&Env::default()));
    }

    #[test]
    fn notes_are_silent_where_it_shall_be_quiet_and_nothing_else_is() {
        let written = Written::default();
        let terminal = Terminal { quiet: true, ..Terminal::to(written.clone()) };
        terminal.note("a note");
        terminal.detail(0, || "another".into());
        assert_eq!(written.take(), "");
        terminal.say("needed");
        terminal.prompt(&DeviceCodePrompt { code: "ABC", address: "https://v", line: "enter ABC" });
        terminal.report(&Error::new(ErrorKind::Interrupted, "interrupted"));
        terminal.set_verbosity(1);
        terminal.detail(0, || "asked for".into());
        assert_eq!(written.take(), "needed\nenter ABC\nError: interrupted\nasked for\n");
    }

    /// Whoever calls, and whatever the text is of.
    #[test]
    fn nothing_that_is_said_steers_the_terminal() {
        let (terminal, written) = Terminal::plain(false);
        terminal.set_verbosity(9);
        let hostile = "a\u{1b}]0;title\u{7}\u{1b}[2J\r\u{9b}K\u{202e}b\u{8}";
        terminal.say(hostile);
        terminal.note(hostile);
        terminal.detail(5, || hostile.into());
        terminal.report(&Error::new(ErrorKind::Other, hostile).from_source(hostile).remedy(hostile).detail(hostile));
        let text = written.take();
        let steers = |c: char| c.is_control() && c != '\n' || crate::error::turns_text(c);
        assert!(!text.contains(steers) && text.contains("a\\u{1b}]0;title\\u{7}"), "{text:?}");
        terminal.say("two\nlines\tand a tab");
        assert_eq!(written.take(), "two\nlines\tand a tab\n");
    }

    #[test]
    fn the_echo_of_ctrl_c_is_written_over_on_a_terminal_only() {
        let interrupted = Error::new(ErrorKind::Interrupted, "interrupted");
        let (terminal, written) = Terminal::on(Screen::fake());
        terminal.report(&interrupted);
        assert_eq!(written.take(), "\r\u{1b}[KError: interrupted\n");
        let plain = Terminal::to(written.clone());
        plain.report(&interrupted);
        assert_eq!(written.take(), "Error: interrupted\n");
    }
}
