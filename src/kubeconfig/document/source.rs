//! Where things stand in the text, beyond what the parser tells.

use std::ops::Range;

use super::tree::{NodeKind, TOP, Tree};
use super::{DocumentError, Result};

/// Bytes to put in the place of a range of the text.
pub(super) type Splice = (Range<usize>, String);

impl Tree {
    /// The blanks before `at`, if nothing else precedes it on its line. Looks
    /// no further than they reach: a JSON file may be one line of megabytes.
    pub(super) fn indent_at(&self, at: usize) -> Option<&str> {
        let before = self.text.get(..at)?;
        let line = before.trim_end_matches([' ', '\t']);
        let starts = line.is_empty() || line.ends_with(['\n', '\r', '\u{feff}']);
        before.get(line.len()..).filter(|_| starts)
    }

    pub(super) fn block_indent(&self, at: usize) -> Result<&str> {
        let unusual = || {
            let line = self.text.get(..at).unwrap_or_default().split('\n').count();
            DocumentError::new(format!("line {line} is written in a way that cannot be edited"))
        };
        self.indent_at(at).filter(|indent| !indent.contains('\t')).ok_or_else(unusual)
    }

    /// The indentation of the items and of the closing bracket, in a flow
    /// collection that begins a line with each.
    pub(super) fn lines(&self, collection: usize) -> Option<(String, String)> {
        let first = match self.kind(collection)? {
            NodeKind::Mapping { flow: true } => self.members(collection).next()?.0,
            NodeKind::List { flow: true } => *self.items(collection).first()?,
            _ => return None,
        };
        let indent = self.indent_at(self.start(first))?;
        let outer = self.indent_at(self.end(collection).checked_sub(1)?)?;
        Some((indent.to_owned(), outer.to_owned()))
    }

    /// How far this file indents the dashes of a list under its key, as seen
    /// at `users`; kubectl does not.
    pub(super) fn dash_step(&self) -> usize {
        let step = self.own(TOP, "users").and_then(|(key, _)| {
            let dash = self.indent_at(self.first_dash(key).ok()?)?;
            (dash.len() + 1).checked_sub(self.place(key).column)
        });
        step.unwrap_or_default()
    }

    pub(super) fn after_colon(&self, key: usize) -> Result<usize> {
        let missing = || self.wrong(key, "a key is written in a way that cannot be edited");
        after_colon(&self.text, self.end(key)).ok_or_else(missing)
    }

    /// Where the first dash of the block list under `key` is. The parser puts
    /// the start of a list that is not indented behind its dash.
    pub(super) fn first_dash(&self, key: usize) -> Result<usize> {
        let mut at = self.after_colon(key)?;
        while let Some(rest) = self.text.get(at..) {
            at += match rest.chars().next() {
                Some('-') => return Ok(at),
                Some(' ' | '\t' | '\r' | '\n') => 1,
                Some('#') => rest.find(['\r', '\n']).unwrap_or(rest.len()),
                Some('&' | '!') => rest.find(char::is_whitespace).unwrap_or(rest.len()),
                _ => break,
            };
        }
        Err(self.wrong(key, "a list is written in a way that cannot be edited"))
    }

    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        at + rest.find(['\r', '\n']).unwrap_or(rest.len())
    }

    /// The end of the line if only blanks and a comment are left on it.
    pub(super) fn comment_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default().trim_start_matches([' ', '\t']);
        let only = rest.is_empty() || rest.starts_with(['#', '\r', '\n']);
        if only { self.line_end(at) } else { at }
    }

    /// Joins lines, all but the first indented, with the file's line ending.
    pub(super) fn join(&self, lines: &[String], indent: &str) -> String {
        let mut text = String::new();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                text.push_str(self.eol);
                text.push_str(if line.is_empty() { "" } else { indent });
            }
            text.push_str(line);
        }
        text
    }

    /// The text with all splices made.
    pub(super) fn splice(&self, mut splices: Vec<Splice>) -> Result<String> {
        splices.sort_by_key(|(range, _)| (range.start, range.end));
        let overlap = || DocumentError::new("two edits change the same text");
        let mut text = String::with_capacity(self.text.len());
        let mut done = 0;
        for (range, new) in splices {
            text.push_str(self.text.get(done..range.start).ok_or_else(overlap)?);
            text.push_str(&new);
            done = range.end;
        }
        text.push_str(self.text.get(done..).unwrap_or_default());
        Ok(text)
    }
}

pub(super) fn line_ending(text: &str) -> &'static str {
    match text.find(['\r', '\n']).and_then(|at| text.get(at..)) {
        Some(rest) if rest.starts_with("\r\n") => "\r\n",
        Some(rest) if rest.starts_with('\r') => "\r",
        _ => "\n",
    }
}

pub(super) fn after_colon(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?.trim_start_matches([' ', '\t', '\r', '\n']);
    rest.strip_prefix(':').map(|rest| text.len() - rest.len())
}
