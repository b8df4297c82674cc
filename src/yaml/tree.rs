//! The values of a text and where each of them stands.

use std::cell::Cell;
use std::ops::Range;

use super::node::{Node, NodeKind, Position, ScalarText, Style};
use super::{Place, Result, YamlError, parse};

/// The node of the document itself, if there is any.
pub(crate) const TOP: usize = 0;

/// The key and the value of one member of a mapping.
pub(crate) type Member = (usize, usize);

/// How deep mappings may merge each other: they can merge themselves.
const MERGE_DEPTH: usize = 32;

/// How many members may be looked at for each node of the text. A reader of a document looks for some ten keys
/// in each mapping; aliases and merge keys can make of that the square of the text's length, or worse.
const LOOKUPS: usize = 40;

/// The text and a node for each value in it, in the order of the text: the nodes inside a node follow it at
/// once.
// Not `Debug`: the text may hold secrets.
#[cfg_attr(test, derive(Debug))]
pub struct Tree {
    text: String,
    nodes: Vec<Node>,
    /// What the scalars say that do not say what stands in the text.
    read: String,
    /// Each alias behind the node that it refers to, sorted.
    aliases: Vec<(usize, usize)>,
    /// The line ending of the file, that is of its first line.
    eol: &'static str,
    /// How many more members may be looked at; none once [`Tree::check_lookups`] has found that it was enough.
    lookups: Cell<Option<usize>>,
}

impl Tree {
    /// Reads a text of one document.
    ///
    /// # Errors
    /// Text that is not YAML, that nests too deep, or that has a second document.
    pub fn parse(text: String) -> Result<Tree> {
        let parse::Built { nodes, read, aliases } = parse::read(&text)?;
        let eol = line_ending(&text);
        let lookups = Cell::new(Some(nodes.len() * LOOKUPS + LOOKUPS));
        Ok(Tree { text, nodes, read, aliases, eol, lookups })
    }

    /// The text that was read.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// `\n`, `\r\n` or `\r`.
    pub(crate) fn eol(&self) -> &'static str {
        self.eol
    }

    /// How many nodes there are: an operation names one by its number.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// What a node is; none where there is no such node.
    pub(crate) fn kind(&self, node: usize) -> Option<NodeKind> {
        self.nodes.get(node).map(|node| node.kind)
    }

    pub(super) fn position(&self, node: usize) -> Position {
        self.nodes.get(node).map_or(Position::Top, |node| node.position)
    }

    pub(super) fn parent(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(TOP, |node| node.parent as usize)
    }

    /// The node that an alias refers to, else the node itself.
    pub(crate) fn resolve(&self, node: usize) -> usize {
        match self.kind(node) {
            Some(NodeKind::Alias(target)) => target as usize,
            _ => node,
        }
    }

    /// The node behind the last one inside `node`.
    pub(super) fn next(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(node, |node| node.next as usize)
    }

    /// The nodes directly inside a node.
    pub(super) fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let (mut ahead, end) = (node + 1, self.next(node));
        std::iter::from_fn(move || {
            let child = ahead;
            ahead = self.next(child);
            (child < end).then_some(child)
        })
    }

    /// The keys and values of a mapping, or of the one that an alias refers to.
    pub(crate) fn members(&self, node: usize) -> impl Iterator<Item = Member> {
        let mapping = Some(self.resolve(node)).filter(|&node| self.is_mapping(node));
        let mut children = mapping.into_iter().flat_map(|mapping| self.children(mapping));
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The value of `key`, aliases and merge keys followed; none when missing or null.
    pub(crate) fn get(&self, mapping: usize, key: &str) -> Option<usize> {
        self.get_or_null(mapping, key).filter(|&value| !self.is_null(value))
    }

    /// The same with null. A reader of YAML 1.1 goes from the front to the back, and a later member takes the
    /// place of an earlier one: a merge key also hides what the mapping itself says before it.
    pub(crate) fn get_or_null(&self, mapping: usize, key: &str) -> Option<usize> {
        self.find(mapping, key, MERGE_DEPTH)
    }

    fn find(&self, mapping: usize, key: &str, depth: usize) -> Option<usize> {
        let mut found = None;
        for (name, value) in self.members(mapping) {
            if !self.may_look_up(depth) {
                return None;
            }
            if self.says(name, key) {
                found = Some(self.resolve(value));
            } else if self.is_merge(name) {
                found = self.merged(value).into_iter().find_map(|from| self.find(from, key, depth - 1)).or(found);
            }
        }
        found
    }

    /// The members of a mapping and of those that it merges, the one that counts after those that it hides.
    pub(crate) fn all_members(&self, mapping: usize) -> Vec<Member> {
        let mut all = Vec::new();
        self.collect(mapping, &mut all, MERGE_DEPTH);
        all
    }

    fn collect(&self, mapping: usize, all: &mut Vec<Member>, depth: usize) {
        for (name, value) in self.members(mapping) {
            if !self.may_look_up(depth) {
                return;
            }
            if self.is_merge(name) {
                self.merged(value).into_iter().rev().for_each(|merged| self.collect(merged, all, depth - 1));
            } else {
                all.push((name, value));
            }
        }
    }

    /// Whether one more member may be looked at; else what is found is not all, see [`Tree::check_lookups`].
    fn may_look_up(&self, depth: usize) -> bool {
        let left = self.lookups.get().map(|left| if depth == 0 { 0 } else { left });
        self.lookups.set(left.map(|left| left.saturating_sub(1)));
        depth > 0 && left != Some(0)
    }

    /// That what was looked up so far is all there is. To look up the same again is then free.
    ///
    /// # Errors
    /// Aliases or merge keys that make many times its length of the text.
    pub(crate) fn check_lookups(&self) -> Result<()> {
        match self.lookups.take() {
            Some(0) => Err(YamlError::new("aliases and merge keys make too much of it")),
            _ => Ok(()),
        }
    }

    /// The mappings that the value of a merge key names, the first before the others.
    fn merged(&self, value: usize) -> Vec<usize> {
        let value = self.resolve(value);
        if self.is_list(value) { self.children(value).collect() } else { vec![value] }
    }

    /// The member `key` of the mapping itself, not of those it merges.
    pub(crate) fn own(&self, mapping: usize, key: &str) -> Option<Member> {
        self.members(mapping).filter(|member| self.says(member.0, key)).last()
    }

    /// Whether a key says that its value is to be merged.
    pub(crate) fn is_merge(&self, key: usize) -> bool {
        self.says(key, "<<") && self.style(key) == Some(Style::Plain)
    }

    pub(crate) fn is_list(&self, node: usize) -> bool {
        matches!(self.kind(node), Some(NodeKind::List { .. }))
    }

    pub(crate) fn is_mapping(&self, node: usize) -> bool {
        matches!(self.kind(node), Some(NodeKind::Mapping { .. }))
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self, node: usize) -> Vec<usize> {
        let items: Vec<_> = if self.is_list(node) { self.children(node).collect() } else { vec![] };
        self.lookups.set(self.lookups.get().map(|left| left.saturating_sub(items.len())));
        items
    }

    /// How a scalar is written; none of anything else.
    pub(crate) fn style(&self, node: usize) -> Option<Style> {
        match self.kind(node) {
            Some(NodeKind::Scalar { style, .. }) => Some(style),
            _ => None,
        }
    }

    /// The text that a scalar, or the one an alias refers to, stands for.
    pub(crate) fn scalar(&self, node: usize) -> Option<&str> {
        let node = self.nodes.get(self.resolve(node))?;
        if !matches!(node.kind, NodeKind::Scalar { .. }) {
            return None;
        }
        let (start, end) = (node.start as usize, node.end as usize);
        match node.says {
            ScalarText::Source => self.text.get(start..end),
            ScalarText::Quoted => self.text.get(start + 1..end - 1),
            ScalarText::Read(start, end) => self.read.get(start as usize..end as usize),
        }
    }

    /// Whether a scalar stands for `text`: most are told apart by their length.
    pub(crate) fn says(&self, node: usize, text: &str) -> bool {
        let differs = |node: &Node| {
            let is_source = matches!((node.kind, node.says), (NodeKind::Scalar { .. }, ScalarText::Source));
            is_source && (node.end - node.start) as usize != text.len()
        };
        !self.nodes.get(node).is_some_and(differs) && self.scalar(node) == Some(text)
    }

    /// Whether a node is YAML's null.
    pub(crate) fn is_null(&self, node: usize) -> bool {
        match self.kind(node) {
            Some(NodeKind::Scalar { style: Style::Plain, tagged: false }) => {
                matches!(self.scalar(node), Some("" | "~" | "null" | "Null" | "NULL"))
            }
            _ => false,
        }
    }

    /// Whether a collection is written in brackets or braces.
    pub(crate) fn is_flow(&self, node: usize) -> bool {
        matches!(self.kind(node), Some(NodeKind::List { flow: true } | NodeKind::Mapping { flow: true }))
    }

    /// The line and column on which a node begins.
    pub(crate) fn place(&self, node: usize) -> Place {
        let place = |node: &Node| Place { line: node.line as usize, column: node.column as usize };
        self.nodes.get(node).map_or(Place { line: 1, column: 1 }, place)
    }

    /// The bytes of a node, from the first to the last visible one.
    pub(crate) fn range(&self, node: usize) -> Range<usize> {
        self.start(node)..self.end(node)
    }

    pub(crate) fn start(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.start as usize)
    }

    pub(crate) fn end(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.end as usize)
    }

    /// The same as text.
    pub(crate) fn raw(&self, node: usize) -> &str {
        self.text.get(self.range(node)).unwrap_or_default()
    }

    /// Whether there is any alias in the text.
    pub(crate) fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// The aliases that refer to a node.
    pub(crate) fn aliases_of(&self, node: usize) -> impl DoubleEndedIterator<Item = usize> {
        let first = self.aliases.partition_point(|&(target, _)| target < node);
        self.aliases[first..]
            .iter()
            .take_while(move |(target, _)| *target == node)
            .map(|&(_, alias)| alias)
            .collect::<Vec<_>>()
            .into_iter()
    }

    /// A node inside `value` and an alias outside of it that refers to it.
    pub(crate) fn alias_into(&self, value: usize) -> Option<(usize, usize)> {
        let end = self.next(value);
        let first = self.aliases.partition_point(|&(target, _)| target < value);
        let mut inside = self.aliases[first..].iter().take_while(|(target, _)| *target < end);
        inside.find(|(_, alias)| *alias >= end).copied()
    }

    /// An error about a node.
    pub(crate) fn wrong(&self, node: usize, message: impl Into<String>) -> YamlError {
        YamlError::at(self.place(node), message)
    }
}

fn line_ending(text: &str) -> &'static str {
    match text.find(['\r', '\n']).and_then(|at| text.get(at..)) {
        Some(rest) if rest.starts_with("\r\n") => "\r\n",
        Some(rest) if rest.starts_with('\r') => "\r",
        _ => "\n",
    }
}
