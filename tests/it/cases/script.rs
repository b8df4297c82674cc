//! The `commands` file of a case.
//!
//! ```text
//! # a comment
//! > env NAME=VALUE          > unset NAME              > wait SECONDS      > cd PATH
//! > write PATH CONTENT      > remove PATH             > mkdir PATH
//! > mode PATH 0644          > link PATH TARGET        > corrupt token | grant | key | edit
//! > age PATH SECONDS        > hold PATH               > release (flock(2) and its end)
//! > stderr null | closed | shown                      > entra DIRECTIVE (see [`super::entra`])
//! > hosts DIRECTIVE (see [`super::hosts`])            > assertion, > certificate (see [`super::proof`])
//! kubentra get-token --login spn …
//! ```
//!
//! Words are separated by blanks; `'…'` and `"…"` keep blanks, nothing is expanded but the
//! placeholders of [`super::stage`]. Paths lie below the home directory; `\n`, `\r` and `\u{feff}`
//! in a CONTENT are what they are in Rust. Files that a directive touches are no change of the
//! program's.

use std::fs;
use std::path::Path;

/// The lines of a case, in order.
pub struct Script {
    /// The variables of the file `env`.
    pub env: Vec<(String, String)>,
    pub lines: Vec<Line>,
}

/// One line: its text as written, and its words.
#[derive(Clone)]
pub struct Line {
    pub text: String,
    pub words: Vec<String>,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A command of the program under test.
    Command,
    /// A change of the world, after `>`.
    Directive,
}

const PROGRAMS: [&str; 3] = ["kubentra", "kubelogin", "kubectl-entra"];

impl Script {
    pub fn read(directory: &Path) -> Result<Self, String> {
        let commands = read(&directory.join("commands"))?;
        let lines = commands.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let env = directory.join("env");
        let env = if env.exists() { read(&env)? } else { String::new() };
        Ok(Self {
            env: env.lines().map(variable).collect::<Result<_, _>>()?,
            lines: lines.map(Line::parse).collect::<Result<_, _>>()?,
        })
    }

    /// The same with `-v 10` on every command line.
    pub fn loud(&self) -> Self {
        let loud = |line: &Line| if line.kind == Kind::Command { line.loud() } else { line.clone() };
        Self { env: self.env.clone(), lines: self.lines.iter().map(loud).collect() }
    }
}

fn read(file: &Path) -> Result<String, String> {
    fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// `NAME=VALUE`
pub fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("not NAME=VALUE: {text}"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

impl Line {
    fn parse(text: &str) -> Result<Self, String> {
        let (kind, rest) = match text.strip_prefix("> ") {
            Some(rest) => (Kind::Directive, rest),
            None => (Kind::Command, text),
        };
        let words = words(rest).ok_or_else(|| format!("a quote is not closed: {text}"))?;
        if kind == Kind::Command && !PROGRAMS.contains(&words[0].as_str()) {
            return Err(format!("not a name of the program: {text}"));
        }
        Ok(Self { text: text.to_owned(), words, kind })
    }

    /// At the end, where it wins over another `-v`; where the end is no place for a flag, right
    /// after the command.
    fn loud(&self) -> Self {
        let mut line = self.clone();
        let last = self.words.last().map_or("", String::as_str);
        let open_end = last.starts_with('-') && !last.contains('=');
        let at = if open_end || self.words.iter().any(|word| word == "--") { 2 } else { self.words.len() };
        let at = at.min(self.words.len());
        line.words.splice(at..at, ["-v".to_owned(), "10".to_owned()]);
        line
    }
}

/// Splits like a shell that knows quotes and nothing else; `None` for an open quote.
pub fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == ' ' => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}
