//! The values of a file as the parser reports them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};

use super::source::{after_colon, line_ending};
use super::{DocumentError, Place, Result};

/// The top node, if there is any.
pub(super) const TOP: usize = 0;

/// The key and the value of one member of a mapping.
pub(super) type Member = (usize, usize);

/// The text and a node for each value in it, in the order of the text: the
/// nodes inside a node follow it at once.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Tree {
    pub(super) text: String,
    nodes: Vec<Node>,
    /// For each node that an alias refers to, the last such alias.
    uses: BTreeMap<usize, usize>,
    /// The line ending of the file, that is of its first line.
    pub(super) eol: &'static str,
}

#[cfg_attr(test, derive(Debug))]
struct Node {
    kind: Kind,
    /// The text from the first to the last visible byte, without anchor or tag.
    span: Range<usize>,
    place: Place,
    /// The node after the last one inside this one.
    next: usize,
}

#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Kind {
    Scalar { text: String, style: ScalarStyle, tagged: bool },
    List { items: Vec<usize>, flow: bool },
    Mapping { members: Vec<Member>, flow: bool },
    Alias(usize),
}
impl Tree {
    pub(super) fn parse(text: String) -> Result<Tree> {
        let mut builder = Builder {
            text: &text,
            nodes: vec![],
            uses: BTreeMap::new(),
            anchors: HashMap::new(),
            open: vec![],
            documents: 0,
        };
        let mut options = granit_parser::options! {};
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(&text, options) {
            let (event, span) = event.map_err(|error| DocumentError::at(place(error.marker()), error.info()))?;
            builder.take(event, &span)?;
        }
        let Builder { nodes, uses, .. } = builder;
        let eol = line_ending(&text);
        Ok(Tree { text, nodes, uses, eol })
    }

    pub(super) fn kind(&self, node: usize) -> Option<&Kind> {
        self.nodes.get(node).map(|node| &node.kind)
    }

    pub(super) fn resolve(&self, node: usize) -> usize {
        match self.kind(node) {
            Some(Kind::Alias(target)) => *target,
            _ => node,
        }
    }

    pub(super) fn members(&self, node: usize) -> &[Member] {
        match self.kind(self.resolve(node)) {
            Some(Kind::Mapping { members, .. }) => members,
            _ => &[],
        }
    }

    /// The value of `key`, aliases and merge keys followed; none when missing
    /// or null. The last one counts when a key is repeated, as for kubectl.
    pub(super) fn get(&self, mapping: usize, key: &str) -> Option<usize> {
        self.get_or_null(mapping, key).filter(|&value| !self.is_null(value))
    }

    pub(super) fn get_or_null(&self, mapping: usize, key: &str) -> Option<usize> {
        let own = |&layer: &usize| self.own(layer, key);
        self.layers(mapping).iter().find_map(own).map(|member| self.resolve(member.1))
    }

    /// The member `key` of the mapping itself, not of those it merges.
    pub(super) fn own(&self, mapping: usize, key: &str) -> Option<Member> {
        self.members(mapping).iter().rfind(|member| self.scalar(member.0) == Some(key)).copied()
    }

    /// A mapping and those it merges with `<<`, the first before the others:
    /// kubectl's YAML follows merge keys.
    pub(super) fn layers(&self, mapping: usize) -> Vec<usize> {
        let mut layers = Vec::new();
        let mut ahead = vec![self.resolve(mapping)];
        while let Some(layer) = ahead.pop().filter(|_| layers.len() < 100) {
            layers.push(layer);
            let members = self.members(layer).iter();
            for &(_, value) in members.filter(|member| self.is_merge(member.0)) {
                let value = self.resolve(value);
                match self.items(value) {
                    [] => ahead.push(value),
                    items => ahead.extend(items.iter().rev().map(|&item| self.resolve(item))),
                }
            }
        }
        layers
    }

    pub(super) fn is_merge(&self, key: usize) -> bool {
        self.style(key) == Some(ScalarStyle::Plain) && self.scalar(key) == Some("<<")
    }

    pub(super) fn items(&self, node: usize) -> &[usize] {
        match self.kind(node) {
            Some(Kind::List { items, .. }) => items,
            _ => &[],
        }
    }

    pub(super) fn style(&self, node: usize) -> Option<ScalarStyle> {
        match self.kind(node) {
            Some(Kind::Scalar { style, .. }) => Some(*style),
            _ => None,
        }
    }

    pub(super) fn scalar(&self, node: usize) -> Option<&str> {
        match self.kind(self.resolve(node)) {
            Some(Kind::Scalar { text, .. }) => Some(text),
            _ => None,
        }
    }

    pub(super) fn is_null(&self, node: usize) -> bool {
        match self.kind(node) {
            Some(Kind::Scalar { text, style, tagged }) => {
                let plain = *style == ScalarStyle::Plain && !tagged;
                plain && matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    pub(super) fn is_flow(&self, node: usize) -> bool {
        matches!(self.kind(node), Some(Kind::List { flow: true, .. } | Kind::Mapping { flow: true, .. }))
    }

    pub(super) fn all_quoted(&self, items: &[usize]) -> bool {
        let double = |&item: &usize| self.style(item) == Some(ScalarStyle::DoubleQuoted);
        !items.is_empty() && items.iter().all(double)
    }

    pub(super) fn place(&self, node: usize) -> Place {
        self.nodes.get(node).map_or(Place { line: 1, column: 1 }, |node| node.place)
    }

    pub(super) fn start(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.span.start)
    }

    pub(super) fn end(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.span.end)
    }

    pub(super) fn raw(&self, node: usize) -> &str {
        self.text.get(self.start(node)..self.end(node)).unwrap_or_default()
    }

    /// The last alias that refers to a node.
    pub(super) fn alias_to(&self, node: usize) -> Option<usize> {
        self.uses.get(&node).copied()
    }

    /// A node inside `value` and an alias outside of it that refers to it.
    pub(super) fn alias_into(&self, value: usize) -> Option<(usize, usize)> {
        let end = self.nodes.get(value).map_or(value, |node| node.next);
        let mut uses = self.uses.range(value..end).map(|(&node, &alias)| (node, alias));
        uses.find(|&(_, alias)| alias >= end)
    }

    pub(super) fn wrong(&self, node: usize, message: impl Into<String>) -> DocumentError {
        DocumentError::at(self.place(node), message)
    }
}

/// Makes nodes of the parser's events.
struct Builder<'a> {
    text: &'a str,
    nodes: Vec<Node>,
    uses: BTreeMap<usize, usize>,
    /// The nodes by the parser's number for their anchor.
    anchors: HashMap<usize, usize>,
    open: Vec<Open>,
    documents: usize,
}

/// A collection whose end is still to come.
struct Open {
    node: usize,
    /// The key whose value is next.
    key: Option<usize>,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<()> {
        let flow = |style| style == StructureStyle::Flow;
        let tagged = event.tag().is_some();
        match event {
            Event::DocumentStart(..) => self.document(span)?,
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(text, style, anchor, _) => {
                let text = text.into_owned();
                let kind = Kind::Scalar { text, style, tagged };
                self.push(kind, anchor, span);
            }
            Event::SequenceStart(style, anchor, _) => {
                let (items, flow) = (vec![], flow(style));
                self.begin(Kind::List { items, flow }, anchor, span);
            }
            Event::MappingStart(style, anchor, _) => {
                let (members, flow) = (vec![], flow(style));
                self.begin(Kind::Mapping { members, flow }, anchor, span);
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(span),
            _ => {}
        }
        Ok(())
    }

    fn document(&mut self, span: &Span) -> Result<()> {
        self.documents += 1;
        let second = "a kubeconfig must be one document, and a second one begins";
        match self.documents {
            1 => Ok(()),
            _ => Err(DocumentError::at(place(&span.start), second)),
        }
    }

    fn alias(&mut self, anchor: usize, span: &Span) {
        let target = self.anchors.get(&anchor).copied().unwrap_or_default();
        let alias = self.push(Kind::Alias(target), 0, span);
        self.uses.insert(target, alias);
    }

    fn push(&mut self, kind: Kind, anchor: usize, span: &Span) -> usize {
        let node = self.nodes.len();
        let key = self.open.last().and_then(|open| open.key).and_then(|key| self.nodes.get(key));
        let visible = self.visible(&kind, key, span);
        self.nodes.push(Node { kind, span: visible, place: place(&span.start), next: node + 1 });
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        self.attach(node);
        node
    }

    /// The parser's span, except that an empty value begins behind its colon
    /// and a block scalar ends with its last visible byte.
    fn visible(&self, kind: &Kind, key: Option<&Node>, span: &Span) -> Range<usize> {
        let Range { start, end } = span.byte_range().unwrap_or_default();
        match kind {
            Kind::Scalar { style: ScalarStyle::Literal | ScalarStyle::Folded, .. } => {
                let text = self.text.get(..end).unwrap_or_default();
                let end = text.trim_end_matches([' ', '\t', '\r', '\n']).len();
                start.min(end)..end
            }
            Kind::Scalar { .. } if start == end => {
                let colon = key.and_then(|key| after_colon(self.text, key.span.end));
                let start = start.max(colon.unwrap_or(start));
                start..start
            }
            _ => start..end,
        }
    }

    /// Makes a node part of the collection it is in.
    fn attach(&mut self, node: usize) {
        let Some(open) = self.open.last_mut() else {
            return;
        };
        match self.nodes.get_mut(open.node).map(|node| &mut node.kind) {
            Some(Kind::List { items, .. }) => items.push(node),
            Some(Kind::Mapping { members, .. }) => match open.key.take() {
                Some(key) => members.push((key, node)),
                None => open.key = Some(node),
            },
            _ => {}
        }
    }

    fn begin(&mut self, kind: Kind, anchor: usize, span: &Span) {
        let node = self.push(kind, anchor, span);
        self.open.push(Open { node, key: None });
    }

    fn finish(&mut self, span: &Span) {
        let Some(Open { node, .. }) = self.open.pop() else {
            return;
        };
        let next = self.nodes.len();
        // A block has no end of its own: it ends with the last thing in it.
        let last = match self.nodes.get(node).map(|node| &node.kind) {
            Some(Kind::List { items, flow: false }) => items.last().copied(),
            Some(Kind::Mapping { members, flow: false }) => members.last().map(|member| member.1),
            _ => None,
        };
        let end = match last.and_then(|last| self.nodes.get(last)) {
            Some(last) => last.span.end,
            None => span.byte_range().unwrap_or_default().end,
        };
        if let Some(node) = self.nodes.get_mut(node) {
            node.span.end = end;
            node.next = next;
        }
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}
