//! Writes values in the style of the text around them.

use std::collections::HashMap;

use super::Value;
use super::node::Style;
use super::scalar::{is_printable, scalar_text};
use super::tree::Tree;

/// How far values stand in from their keys.
#[derive(Clone, Copy)]
pub(super) struct Steps {
    /// The dashes of a list.
    pub(super) dash: usize,
    /// The keys of a mapping.
    pub(super) mapping: usize,
}

/// As kubectl writes.
impl Default for Steps {
    fn default() -> Self {
        Self { dash: 0, mapping: 2 }
    }
}

/// How a value is written where it comes to stand.
#[derive(Clone, Default)]
pub(super) struct Layout<'t> {
    /// In brackets and braces, on one line.
    pub(super) flow: bool,
    /// All strings in double quotes, as JSON has them.
    pub(super) quoted: bool,
    /// No blanks after `:` and `,`.
    pub(super) tight: bool,
    /// How values stand in from their keys, in a block.
    pub(super) steps: Steps,
    /// The bytes of strings that stood there before: who wrote them in quotes wants to find them so.
    pub(super) before: HashMap<&'t str, &'t str>,
}

impl<'t> Layout<'t> {
    /// That of a value which takes the place of `old`, a list whose strings were written in some way.
    pub(super) fn after(mut self, tree: &'t Tree, old: usize) -> Self {
        let items: Vec<usize> = tree.children(old).filter(|_| tree.is_list(old)).collect();
        let is = |style: Style| move |item: &usize| tree.style(*item) == Some(style);
        self.quoted |= !items.is_empty() && items.iter().all(is(Style::Double));
        let kept = items.into_iter().filter(|item| is(Style::Double)(item) || is(Style::Single)(item) && !self.quoted);
        let bytes = kept.filter_map(|item| Some((tree.scalar(item)?, tree.raw(item))));
        self.before = bytes.filter(|(_, raw)| !raw.contains(['\r', '\n'])).collect();
        self
    }

    pub(super) fn gap(&self) -> &'static str {
        if self.tight { "" } else { " " }
    }

    /// In a block only values are quoted.
    fn key(&self, key: &str) -> String {
        scalar_text(key, self.flow, self.quoted && self.flow)
    }

    /// A member on one line.
    pub(super) fn member(&self, key: &str, value: &Value) -> String {
        format!("{}:{}{}", self.key(key), self.gap(), self.line(value))
    }

    /// A value on one line, its collections in brackets.
    pub(super) fn line(&self, value: &Value) -> String {
        let comma = format!(",{}", self.gap());
        match value {
            Value::Text(text) => match self.before.get(text.as_str()) {
                Some(&bytes) => bytes.to_owned(),
                None => scalar_text(text, self.flow, self.quoted),
            },
            Value::Plain(text) => text.clone(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|item| self.line(item)).collect::<Vec<_>>().join(&comma))
            }
            Value::Map(members) => {
                let members = members.iter().map(|(key, value)| self.member(key, value));
                format!("{{{}}}", members.collect::<Vec<_>>().join(&comma))
            }
            Value::Raw(bytes, _) => bytes.clone(),
        }
    }

    /// The lines of a member in a block, that of its key first.
    pub(super) fn member_lines(&self, key: &str, value: &Value) -> Vec<String> {
        if let Value::Text(text) = value
            && let Some(lines) = literal_lines(key, text)
        {
            return lines;
        }
        if value.is_inline() {
            return vec![self.member(key, value)];
        }
        let key = format!("{}:", self.key(key));
        std::iter::once(key).chain(indented(self.lines(value), self.step(value))).collect()
    }

    /// How far `value` stands in from its key.
    pub(super) fn step(&self, value: &Value) -> usize {
        if matches!(value, Value::List(_)) { self.steps.dash } else { self.steps.mapping }
    }

    /// The lines of a collection in a block.
    pub(super) fn lines(&self, value: &Value) -> Vec<String> {
        match value {
            Value::List(items) if !items.is_empty() => items.iter().flat_map(|item| self.item_lines(item)).collect(),
            Value::Map(members) if !members.is_empty() => {
                members.iter().flat_map(|(key, value)| self.member_lines(key, value)).collect()
            }
            _ => vec![self.line(value)],
        }
    }

    /// The lines of an item of a list in a block.
    pub(super) fn item_lines(&self, item: &Value) -> Vec<String> {
        let mut lines = self.lines(item).into_iter();
        let first = format!("- {}", lines.next().unwrap_or_default());
        std::iter::once(first).chain(indented(lines, 2)).collect()
    }
}

fn indented(lines: impl IntoIterator<Item = String>, by: usize) -> impl Iterator<Item = String> {
    let indent = " ".repeat(by);
    lines.into_iter().map(move |line| if line.is_empty() { line } else { format!("{indent}{line}") })
}

/// A literal block scalar, for text of more than one line that can be one.
fn literal_lines(key: &str, text: &str) -> Option<Vec<String>> {
    let fits = |c: char| matches!(c, '\t' | '\n') || is_printable(c);
    if !text.contains('\n') || text.trim().is_empty() || !text.chars().all(fits) {
        return None;
    }
    // The parser guesses the indentation from the first line that has text,
    // and guesses wrong when blanks or empty lines come first.
    let indicator = if text.starts_with(['\n', ' ', '\t']) { "2" } else { "" };
    let (body, chomping) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(body) if body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    let header = format!("{}: |{indicator}{chomping}", scalar_text(key, false, false));
    Some(std::iter::once(header).chain(indented(body.split('\n').map(str::to_owned), 2)).collect())
}
