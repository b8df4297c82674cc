//! The one error type, and how it reads: `what (source); what to do`.

use std::fmt;
use std::time::Duration;

mod kind;

pub(crate) use kind::ErrorKind;

/// Why a command failed, as one line for a person plus details for `-v`.
///
/// Every error belongs to an `ErrorKind`, which says whose turn it is and what to do next.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    /// The earlier failure that it stands for.
    earlier: Option<ErrorKind>,
    what: String,
    source: Option<String>,
    remedy: Option<String>,
    details: Vec<String>,
    retry_after: Option<Duration>,
}

impl Error {
    /// An error of `kind`; `what` happened, lower case and without a full stop.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            earlier: None,
            what: what.into(),
            source: None,
            remedy: None,
            details: Vec::new(),
            retry_after: None,
        }))
    }

    /// Names where the offending value came from: a flag, a variable, a file and line.
    #[must_use]
    pub fn from_source(mut self, source: impl fmt::Display) -> Self {
        self.0.source = Some(source.to_string());
        self
    }

    /// Stands for an earlier failure: what Entra refused then, it has not allowed since.
    #[must_use]
    pub fn after(mut self, earlier: Option<ErrorKind>) -> Self {
        self.0.earlier = earlier;
        self
    }

    /// Whether a token that is kept may still be given out.
    pub fn token_serves(&self) -> bool {
        self.0.earlier.unwrap_or(self.0.kind).token_serves()
    }

    /// A remedy for this very case, instead of the general one of its kind.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Adds something to the remedy.
    #[must_use]
    pub fn also(self, text: &str) -> Self {
        let remedy = self.0.remedy.as_deref().unwrap_or(self.0.kind.remedy());
        let remedy = if remedy.is_empty() { text.to_owned() } else { format!("{remedy}; {text}") };
        self.remedy(remedy)
    }

    /// A line that is printed at `-v 1` and above only.
    #[must_use]
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.0.details.push(line.into());
        self
    }

    /// With the time that a busy server asks to be left alone (`Retry-After`).
    #[must_use]
    pub fn not_before(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }

    /// How long a busy server asks to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What happened, without source and remedy.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// What to do about it.
    pub fn remedy_text(&self) -> &str {
        self.0.remedy.as_deref().unwrap_or(self.0.kind.remedy())
    }

    /// The same with whose turn it is; empty where nothing can be said.
    pub fn next_step(&self) -> String {
        let advice = one_line(self.remedy_text());
        if advice.is_empty() { advice } else { format!("{}{advice}", self.0.kind.responsible().address()) }
    }

    /// What kind of error it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The lines for `-v 1`.
    pub fn details(&self) -> &[String] {
        &self.0.details
    }

    /// What the process exits with: 130 after Ctrl-C, else 1 (design, D11).
    pub fn exit_code(&self) -> u8 {
        if self.kind() == ErrorKind::Interrupted { 130 } else { 1 }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { what, source, .. } = &*self.0;
        f.write_str(&one_line(what))?;
        if let Some(source) = source {
            write!(f, " ({})", one_line(source))?;
        }
        match self.next_step().as_str() {
            "" => Ok(()),
            next_step => write!(f, "; {next_step}"),
        }
    }
}

impl std::error::Error for Error {}

/// What the file system says, without the number that the standard library adds.
pub fn io_words(error: &std::io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    words
        .chars()
        .next()
        .map(|first| first.to_lowercase().collect::<String>() + &words[first.len_utf8()..])
        .unwrap_or_default()
}

/// `a, b and c`.
pub(crate) fn listed(mut words: Vec<String>) -> String {
    let last = words.pop().unwrap_or_default();
    if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) }
}

/// Text from servers and files goes onto a terminal: one line, and no characters that could move the
/// cursor, change colours or let a name be read in another order.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        if !(c.is_whitespace() || c.is_control() || turns_text(c)) {
            line.push(c);
        } else if !line.is_empty() && !line.ends_with(' ') {
            line.push(' ');
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Text of files for a terminal, where every character counts: those that could steer it are written as
/// Rust writes them, such as `\u{1b}`.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\t') || turns_text(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The explicit formatting characters of the Unicode Bidirectional Algorithm (UAX #9, section 2).
pub(crate) fn turns_text(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn one_line_says_what_where_and_what_next() {
        let error = Error::new(ErrorKind::OptionMissing, "client ID cannot be empty")
            .from_source("AZURE_CLIENT_ID")
            .remedy("give --client-id");
        assert_eq!(error.to_string(), "client ID cannot be empty (AZURE_CLIENT_ID); give --client-id");
    }

    #[test]
    fn the_file_system_speaks_in_words() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(io_words(&error), "no such file or directory");
        assert_eq!(io_words(&std::io::Error::other("it is odd")), "it is odd");
    }

    #[test]
    fn text_of_a_server_cannot_steer_the_terminal() {
        let error = Error::new(ErrorKind::OptionMissing, "bad\u{1b}[31m\r\nworse").remedy("");
        assert_eq!(error.to_string(), "bad [31m worse");
        assert_eq!(one_line("a\u{202e}b\u{2066}\u{200f}c\u{9b}d\u{2028}e"), "a b c d e");
        assert_eq!(visible("\ta\u{1b}[31m\u{202e}b\u{9b}\u{e9}\r"), "\ta\\u{1b}[31m\\u{202e}b\\u{9b}\u{e9}\\r");
    }
}
