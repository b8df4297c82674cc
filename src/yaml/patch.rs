//! The text after operations on its nodes: only bytes that have to change do.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::node::{NodeKind, Position, Style};
use super::parse::after_colon;
use super::render::{Layout, Steps};
use super::tree::{TOP, Tree};
use super::{Result, Value, YamlError};

/// An operation on a node.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug))]
pub enum Op {
    /// Puts a value in the place of a node, which may be a key.
    Replace(usize, Value),
    /// Adds a member that `map` does not have: before the one whose key follows in the alphabet, else at the end.
    /// What is no mapping but null, or nothing at all, becomes one.
    Insert {
        /// The mapping.
        map: usize,
        /// The key of the new member.
        key: String,
        /// Its value.
        value: Value,
    },
    /// Adds an item at the end of `list`.
    Append {
        /// The list.
        list: usize,
        /// The new item.
        value: Value,
    },
    /// Removes the member of this key, or this item of a list.
    Remove(usize),
}

/// Bytes that take the place of a range of the text.
#[derive(Clone)]
pub(crate) struct Splice {
    /// The bytes that go.
    pub(crate) range: Range<usize>,
    /// What comes.
    pub(crate) text: String,
    /// Which operation it is of, by its place in the list of all.
    pub(crate) op: usize,
}

/// A text after operations.
pub struct Patch {
    /// What changes, in the order of the text.
    pub(crate) splices: Vec<Splice>,
    /// The new text.
    pub text: String,
}

/// The text after all of `ops`, in one pass.
///
/// # Errors
/// A node that is written in a way that cannot be edited, a key that is there already, and operations that
/// change the same bytes.
pub fn apply(tree: &Tree, ops: &[Op]) -> Result<Patch> {
    let mut plan = Plan { tree, steps: tree.steps(), removed: BTreeSet::new(), splices: Vec::new() };
    let mut by_collection: BTreeMap<usize, Vec<(usize, &Op)>> = BTreeMap::new();
    for (index, op) in ops.iter().enumerate() {
        op.check(tree)?;
        match op {
            Op::Replace(node, value) => plan.replace(index, *node, value)?,
            Op::Insert { map: at, .. } | Op::Append { list: at, .. } => {
                by_collection.entry(*at).or_default().push((index, op));
            }
            Op::Remove(node) => {
                plan.removed.insert(*node);
                by_collection.entry(tree.parent(*node)).or_default().push((index, op));
            }
        }
    }
    for (collection, ops) in by_collection {
        plan.change(collection, &ops)?;
    }
    plan.finish()
}

impl Op {
    /// That there is such a node, and that it can take such an operation.
    fn check(&self, tree: &Tree) -> Result<()> {
        let (node, fits) = match self {
            Op::Replace(node, _) => (*node, *node == TOP || tree.kind(*node).is_some()),
            Op::Insert { map, .. } => (*map, tree.is_mapping(*map) || tree.is_nothing(*map)),
            Op::Append { list, .. } => (*list, tree.is_list(*list) || tree.is_nothing(*list)),
            Op::Remove(node) => (*node, matches!(tree.position(*node), Position::Key | Position::Item)),
        };
        if fits { Ok(()) } else { Err(tree.unusual(node)) }
    }
}

struct Plan<'t> {
    tree: &'t Tree,
    steps: Steps,
    /// Keys and items.
    removed: BTreeSet<usize>,
    splices: Vec<Splice>,
}

impl<'t> Plan<'t> {
    fn splice(&mut self, op: usize, range: Range<usize>, text: impl Into<String>) {
        self.splices.push(Splice { range, text: text.into(), op });
    }

    fn finish(mut self) -> Result<Patch> {
        self.splices.sort_by_key(|splice| (splice.range.start, splice.range.end));
        let overlap = || YamlError::new("two edits change the same text");
        let old = self.tree.text();
        let come: usize = self.splices.iter().map(|splice| splice.text.len()).sum();
        let mut text = String::with_capacity(old.len() + come);
        let mut done = 0;
        for Splice { range, text: new, .. } in &self.splices {
            text.push_str(old.get(done..range.start).ok_or_else(overlap)?);
            text.push_str(new);
            done = range.end;
        }
        text.push_str(old.get(done..).unwrap_or_default());
        Ok(Patch { splices: self.splices, text })
    }

    fn replace(&mut self, op: usize, node: usize, value: &Value) -> Result<()> {
        let tree = self.tree;
        let mut layout = self.layout_at(node).after(tree, node);
        let stays_flow = tree.is_list(node) && tree.is_flow(node) && tree.children(node).next().is_some();
        layout.flow |= stays_flow && matches!(value, Value::List(_));
        if let Value::Raw(bytes, _) = value {
            self.splice(op, tree.start(node)..tree.comment_end(tree.end(node)), bytes);
            Ok(())
        } else if layout.flow || value.is_inline() {
            self.replace_on_its_line(op, node, value, layout)
        } else {
            self.replace_by_lines(op, node, value, &layout)
        }
    }

    fn replace_on_its_line(&mut self, op: usize, node: usize, value: &Value, mut layout: Layout) -> Result<()> {
        let tree = self.tree;
        let old = tree.range(node);
        if tree.style(node) != Some(Style::Block) && !tree.is_block(node) && !old.is_empty() {
            // In a block keys need no quotes.
            let is_key = !layout.flow && tree.position(node) == Position::Key;
            layout.quoted |= tree.style(node) == Some(Style::Double) && !is_key;
            self.splice(op, old, layout.line(value));
        } else {
            let start = tree.value_start(node)?;
            let end = if tree.is_block(node) { tree.comment_end(old.end) } else { old.end };
            self.splice(op, start..end.max(start), layout.gap().to_owned() + &layout.line(value));
        }
        Ok(())
    }

    /// A collection in lines of its own.
    fn replace_by_lines(&mut self, op: usize, node: usize, value: &Value, layout: &Layout) -> Result<()> {
        let tree = self.tree;
        let (old, is_block) = (tree.range(node), tree.is_block(node));
        let end = if is_block { tree.comment_end(old.end) } else { old.end };
        let is_like = is_block && tree.is_list(node) == matches!(value, Value::List(_));
        if is_like || !is_block && tree.position(node) == Position::Item && !old.is_empty() {
            let start = if is_like && tree.is_list(node) { tree.first_dash(node)? } else { old.start };
            self.splice(op, start..end, tree.join(&layout.lines(value), &tree.new_line(start)?));
            return Ok(());
        }
        let key = tree.key_of(node).ok_or_else(|| tree.unusual(node))?;
        let gap = tree.new_line(tree.start(key))? + &" ".repeat(layout.step(value));
        let lines = gap.clone() + &tree.join(&layout.lines(value), &gap);
        let start = tree.value_start(node)?;
        let end = end.max(start);
        // A comment behind a value on one line stays behind the key.
        let line_end = if is_block { end } else { tree.line_end(end) };
        self.splice(op, start..end, "");
        self.splice(op, line_end..line_end, lines);
        Ok(())
    }

    /// How a value is written that takes the place of `node`.
    fn layout_at(&self, node: usize) -> Layout<'t> {
        let mut layout = self.layout_in(self.tree.parent(node));
        layout.flow &= node != TOP;
        let key = self.tree.key_of(node).or_else(|| self.tree.members(node).next().map(|(key, _)| key));
        if let Some(key) = key {
            layout.flow_beside(self.tree, key);
        }
        layout
    }

    /// How a value is written in a collection.
    fn layout_in(&self, collection: usize) -> Layout<'t> {
        Layout { flow: self.tree.is_flow(collection), steps: self.steps, ..Layout::default() }
    }

    /// Adds to a collection and removes from it.
    fn change(&mut self, collection: usize, ops: &[(usize, &Op)]) -> Result<()> {
        let tree = self.tree;
        let (mut members, mut items) = (Vec::new(), Vec::new());
        for (index, op) in ops {
            match op {
                Op::Insert { key, value, .. } => members.push((*index, key.as_str(), value)),
                Op::Append { value, .. } => items.push((*index, value)),
                _ => {}
            }
        }
        let keys: Vec<usize> = match tree.kind(collection) {
            Some(NodeKind::Mapping { .. }) => tree.members(collection).map(|member| member.0).collect(),
            _ => tree.children(collection).collect(),
        };
        let mut known: BTreeSet<&str> = keys.iter().filter_map(|at| tree.scalar(*at)).collect();
        if let Some((_, key, _)) = members.iter().find(|(_, key, _)| !known.insert(key)) {
            return Err(tree.wrong(collection, format!("`{key}` is there already")));
        }
        let first = ops.first().map_or(0, |(index, _)| *index);
        let left: Vec<usize> = keys.iter().copied().filter(|key| !self.removed.contains(key)).collect();
        if left.is_empty() {
            // Nothing is left that the new ones could be laid out like.
            let value = if tree.is_list(collection) || !items.is_empty() {
                Value::List(items.into_iter().map(|(_, value)| value.clone()).collect())
            } else {
                Value::Map(members.into_iter().map(|(_, key, value)| (key.to_owned(), value.clone())).collect())
            };
            return self.fill(first, collection, &value);
        }
        self.remove(ops, &keys)?;
        members.into_iter().try_for_each(|(op, key, value)| self.insert(op, collection, &left, key, value))?;
        items.into_iter().try_for_each(|(op, value)| self.append(op, collection, &left, value))
    }

    /// Puts `value` in the place of a collection of which nothing stays.
    fn fill(&mut self, op: usize, collection: usize, value: &Value) -> Result<()> {
        let tree = self.tree;
        if collection != TOP || tree.is_mapping(TOP) || tree.is_list(TOP) {
            return self.replace(op, collection, value);
        }
        // The document has nothing yet but comments, or null.
        let mut text = tree.join(&Layout::default().lines(value), tree.eol()) + tree.eol();
        let end = tree.text().len();
        if !matches!(tree.text(), "" | "\u{feff}") && !tree.text().ends_with(['\n', '\r']) {
            text.insert_str(0, tree.eol());
        }
        self.splice(op, tree.range(TOP), "");
        self.splice(op, end..end, text);
        Ok(())
    }

    fn insert(&mut self, op: usize, map: usize, left: &[usize], key: &str, value: &Value) -> Result<()> {
        let tree = self.tree;
        let follows = |at: &usize| tree.scalar(*at).is_some_and(|name| name > key);
        let next = left.iter().copied().filter(follows).min_by_key(|at| tree.scalar(*at));
        let beside = next.or(left.last().copied()).ok_or_else(|| tree.unusual(map))?;
        let mut layout = self.layout_in(map);
        layout.flow_beside(tree, beside);
        let gap = tree.gap(map, beside, tree.start(beside), &layout)?;
        let lines = if layout.flow { vec![layout.member(key, value)] } else { layout.member_lines(key, value) };
        let text = tree.join(&lines, &gap);
        match next {
            Some(next) => self.splice(op, tree.start(next)..tree.start(next), text + &gap),
            None => self.splice_behind(op, tree.member_end(beside), gap + &text, &layout),
        }
        Ok(())
    }

    fn append(&mut self, op: usize, list: usize, left: &[usize], value: &Value) -> Result<()> {
        let tree = self.tree;
        let mut layout = self.layout_in(list);
        let beside = left.last().copied().filter(|&item| !tree.range(item).is_empty());
        let beside = beside.ok_or_else(|| tree.unusual(list))?;
        if let Some((key, _)) = tree.members(beside).next() {
            layout.flow_beside(tree, key);
            layout.quoted |= tree.members(beside).all(|(_, value)| tree.style(value) == Some(Style::Double));
        } else {
            layout.quoted |= tree.style(beside) == Some(Style::Double);
        }
        let first = if layout.flow { tree.start(beside) } else { tree.first_dash(list)? };
        let gap = tree.gap(list, beside, first, &layout)?;
        let lines = if layout.flow { vec![layout.line(value)] } else { layout.item_lines(value) };
        self.splice_behind(op, tree.end(beside), gap.clone() + &tree.join(&lines, &gap), &layout);
        Ok(())
    }

    /// Puts `text` behind what ends at `end`; in a block, behind the comment there.
    fn splice_behind(&mut self, op: usize, end: usize, text: String, layout: &Layout) {
        let end = if layout.flow { end } else { self.tree.comment_end(end) };
        self.splice(op, end..end, text);
    }

    /// Removes those of `keys`, all there are in a collection, that `ops` name; one of them at least stays.
    fn remove(&mut self, ops: &[(usize, &Op)], keys: &[usize]) -> Result<()> {
        let tree = self.tree;
        for (index, op) in ops {
            let Op::Remove(node) = op else { continue };
            let at = keys.iter().position(|key| key == node).ok_or_else(|| tree.unusual(*node))?;
            let stays = |key: &&usize| !self.removed.contains(key);
            let before = keys[..at].iter().rfind(stays);
            let stays_behind = keys[at..].iter().find(stays);
            let (start, next) = (tree.start(*node), keys.get(at + 1));
            // The first key of an item stands behind its dash.
            let shares = tree.position(*node) == Position::Key && tree.blanks_before(tree.start(keys[0])).is_none();
            let range = match (tree.is_flow(tree.parent(*node)), before, stays_behind) {
                (true, _, Some(_)) => start..next.map_or(start, |next| tree.start(*next)),
                // The last ones go with the comma before them, all at once.
                (true, Some(&before), None) if next.is_none() => tree.member_end(before)..tree.member_end(*node),
                (false, None, Some(&behind)) if shares && at == 0 => start..tree.start(behind),
                (true, ..) => continue,
                (false, None, _) if shares => continue,
                (false, ..) => tree.lines_of(*node)?,
            };
            self.splice(*index, range, "");
        }
        Ok(())
    }
}

impl Layout<'_> {
    /// As the member of `key`, in a flow collection.
    fn flow_beside(&mut self, tree: &Tree, key: usize) {
        if self.flow && tree.position(key) == Position::Key {
            self.quoted |= tree.style(key) == Some(Style::Double);
            let blank = after_colon(tree.text(), tree.end(key)).and_then(|after| tree.text().get(after..));
            let blank = blank.is_none_or(|rest| rest.starts_with([' ', '\t', '\r', '\n']));
            self.tight |= self.quoted && !blank;
        }
    }
}

/// Where things stand in the text, beyond what the parser tells.
impl Tree {
    /// The key whose value a node is.
    pub(super) fn key_of(&self, node: usize) -> Option<usize> {
        (self.position(node) == Position::Value).then(|| node.saturating_sub(1))
    }

    /// Null, or a document without anything.
    pub(super) fn is_nothing(&self, node: usize) -> bool {
        self.is_null(node) || node == TOP && self.kind(TOP).is_none()
    }

    fn is_block(&self, node: usize) -> bool {
        (self.is_list(node) || self.is_mapping(node)) && !self.is_flow(node)
    }

    /// How far values stand in from their keys in this text, as seen at the first list and the first mapping.
    fn steps(&self) -> Steps {
        let mut values =
            (TOP..self.nodes().min(256)).filter(|&node| self.position(node) == Position::Value && self.is_block(node));
        let step = |value: usize| {
            let start = if self.is_list(value) { self.first_dash(value).ok()? } else { self.start(value) };
            let column = self.blanks_before(start)?.len() + 1;
            column.checked_sub(self.place(value - 1).column).filter(|&step| step > 0 || self.is_list(value))
        };
        let usual = Steps::default();
        let dash = values.clone().filter(|&value| self.is_list(value)).find_map(step);
        let mapping = values.find_map(|value| step(value).filter(|_| self.is_mapping(value)));
        Steps { dash: dash.unwrap_or(usual.dash), mapping: mapping.unwrap_or(usual.mapping) }
    }

    fn unusual(&self, node: usize) -> YamlError {
        YamlError::new(format!("line {} is written in a way that cannot be edited", self.place(node).line))
    }

    /// Where the value that `node` is may begin: behind the colon.
    fn value_start(&self, node: usize) -> Result<usize> {
        let key = self.key_of(node).ok_or_else(|| self.unusual(node))?;
        after_colon(self.text(), self.end(key)).ok_or_else(|| self.unusual(key))
    }

    /// The end of an item, or of the member of a key.
    fn member_end(&self, node: usize) -> usize {
        if self.position(node) != Position::Key {
            return self.end(node);
        }
        // An empty value may stand before its colon.
        let colon = after_colon(self.text(), self.end(node)).unwrap_or_default();
        self.end(self.next(node)).max(colon)
    }

    /// The blanks before `at`, if nothing else precedes it on its line. Looks no further than they reach: a JSON
    /// file may be one line of megabytes.
    pub(crate) fn blanks_before(&self, at: usize) -> Option<&str> {
        let before = self.text().get(..at)?;
        let line = before.trim_end_matches([' ', '\t']);
        let starts = line.is_empty() || line.ends_with(['\n', '\r', '\u{feff}']);
        before.get(line.len()..).filter(|_| starts)
    }

    /// A line break and blanks up to the column of `at`, in a block.
    fn new_line(&self, at: usize) -> Result<String> {
        let line = self.text().get(self.line_start(at)..at).unwrap_or_default().trim_start_matches('\u{feff}');
        if line.contains('\t') {
            let line = self.text().get(..at).unwrap_or_default().split('\n').count();
            return Err(YamlError::new(format!("line {line} is written in a way that cannot be edited")));
        }
        Ok(self.eol().to_owned() + &" ".repeat(line.chars().count()))
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.text().get(..at).unwrap_or_default();
        before.rfind(['\r', '\n']).map_or(0, |end| end + 1)
    }

    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text().get(at..).unwrap_or_default();
        at + rest.find(['\r', '\n']).unwrap_or(rest.len())
    }

    /// The end of the line if only blanks and a comment are left on it.
    pub(crate) fn comment_end(&self, at: usize) -> usize {
        let rest = self.text().get(at..).unwrap_or_default().trim_start_matches([' ', '\t']);
        let only = rest.is_empty() || rest.starts_with(['#', '\r', '\n']);
        if only { self.line_end(at) } else { at }
    }

    /// What stands between two members, or items: in a block a line break and blanks up to where the one at `first`
    /// begins; in a flow a comma, with a line break where the one at `beside` begins a line.
    fn gap(&self, collection: usize, beside: usize, first: usize, layout: &Layout) -> Result<String> {
        if !layout.flow {
            return self.new_line(first);
        }
        let closes = self.blanks_before(self.end(collection).saturating_sub(1)).is_some();
        Ok(match self.blanks_before(self.start(beside)) {
            Some(indent) if closes => format!(",{}{indent}", self.eol()),
            _ => format!(",{}", layout.gap()),
        })
    }

    /// Where the first dash of a block list that is the value of a member is. The parser puts the start of a list
    /// that is not indented behind its dash.
    pub(super) fn first_dash(&self, list: usize) -> Result<usize> {
        self.dash_behind(self.value_start(list)?).ok_or_else(|| self.unusual(list))
    }

    /// The next dash, with nothing but blanks, comments, an anchor and a tag before it.
    pub(super) fn dash_behind(&self, mut at: usize) -> Option<usize> {
        loop {
            let rest = self.text().get(at..)?;
            at += match rest.chars().next()? {
                '-' => return Some(at),
                ' ' | '\t' | '\r' | '\n' => 1,
                '#' => rest.find(['\r', '\n']).unwrap_or(rest.len()),
                '&' | '!' => rest.find(char::is_whitespace).unwrap_or(rest.len()),
                _ => return None,
            };
        }
    }

    /// The lines of a member or an item of a block, if nothing else is on them.
    fn lines_of(&self, node: usize) -> Result<Range<usize>> {
        let parent = self.parent(node);
        let start = if self.position(node) == Position::Item {
            let before = self.children(parent).take_while(|item| *item < node).last();
            let dash = match before {
                Some(before) => self.dash_behind(self.end(before)),
                None => self.first_dash(parent).ok(),
            };
            dash.ok_or_else(|| self.unusual(node))?
        } else {
            self.start(node)
        };
        let end = self.comment_end(self.member_end(node));
        let blanks =
            self.blanks_before(start).filter(|_| end == self.line_end(end)).ok_or_else(|| self.unusual(node))?;
        let rest = self.text().get(end..).unwrap_or_default();
        let line_break = if rest.starts_with("\r\n") { 2 } else { rest.len().min(1) };
        Ok(start - blanks.len()..end + line_break)
    }

    /// Joins lines with a `gap`, which is a line break and blanks; empty lines get no blanks.
    fn join(&self, lines: &[String], gap: &str) -> String {
        let gap_before = |line: &String| if line.is_empty() { self.eol() } else { gap };
        let rest = lines.iter().skip(1).flat_map(|line| [gap_before(line), line.as_str()]);
        lines.first().map(String::as_str).into_iter().chain(rest).collect()
    }
}
