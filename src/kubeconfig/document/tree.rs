//! The values of a file as the parser reports them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};

use super::shorten::{Passed, Shortened};
use super::source::{after_colon, line_ending};
use super::{DocumentError, Place, Result};

/// The top node, if there is any.
pub(in crate::kubeconfig) const TOP: usize = 0;

/// The key and the value of one member of a mapping.
pub(in crate::kubeconfig) type Member = (usize, usize);

/// The text and a node for each value in it, in the order of the text: the
/// nodes inside a node follow it at once.
#[cfg_attr(test, derive(Debug))]
pub(in crate::kubeconfig) struct Tree {
    pub(in crate::kubeconfig) text: String,
    nodes: Vec<Node>,
    /// What the scalars say that do not say what stands in the text.
    read: String,
    /// For each node that an alias refers to, the last such alias.
    uses: BTreeMap<usize, usize>,
    /// The line ending of the file, that is of its first line.
    pub(super) eol: &'static str,
}

/// As small as it can be: a large file has hundreds of thousands.
#[cfg_attr(test, derive(Debug))]
struct Node {
    kind: NodeKind,
    /// The text from the first to the last visible byte, without anchor or tag.
    start: u32,
    end: u32,
    line: u32,
    column: u32,
    /// The node after the last one inside this one.
    next: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(in crate::kubeconfig) enum NodeKind {
    Scalar { style: ScalarStyle, tagged: bool, says: ScalarText },
    List { flow: bool },
    Mapping { flow: bool },
    Alias(u32),
}

/// Where the string is that a scalar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(in crate::kubeconfig) enum ScalarText {
    /// It is what stands in the text.
    Source,
    /// It is what stands between the quotes.
    Quoted,
    /// It had to be made, and is in [`Tree::read`].
    Read { start: u32, end: u32 },
}

/// How many mappings a merge may bring: they can merge themselves.
const MERGES: usize = 100;

/// The numbers of a [`Node`] reach no further.
const LONGEST: usize = i32::MAX as usize;

impl Tree {
    pub(super) fn parse(text: String) -> Result<Tree> {
        if text.len() > LONGEST {
            return Err(DocumentError::new("a kubeconfig of more than 2 GiB cannot be read"));
        }
        // What cannot be read when it is shortened is read again, also for its error.
        let short = Builder::new(&text, &Shortened::of(&text)).read_all();
        let built = short.or_else(|_| Tree::read_whole(&text))?;
        let (nodes, read, uses) = built;
        let eol = line_ending(&text);
        Ok(Tree { text, nodes, read, uses, eol })
    }

    fn read_whole(text: &str) -> Result<Built> {
        Builder::new(text, &Shortened::nothing(text)).read_all()
    }

    pub(in crate::kubeconfig) fn kind(&self, node: usize) -> Option<NodeKind> {
        self.nodes.get(node).map(|node| node.kind)
    }

    pub(in crate::kubeconfig) fn resolve(&self, node: usize) -> usize {
        match self.kind(node) {
            Some(NodeKind::Alias(target)) => target as usize,
            _ => node,
        }
    }

    /// The nodes directly inside a node.
    fn children(&self, node: usize) -> impl Iterator<Item = usize> {
        let next = |node: usize| self.nodes.get(node).map_or(node, |node| node.next as usize);
        let (mut ahead, end) = (node + 1, next(node));
        std::iter::from_fn(move || {
            let child = ahead;
            ahead = next(child);
            (child < end).then_some(child)
        })
    }

    /// The keys and values of a mapping, or of the one that an alias refers to.
    pub(in crate::kubeconfig) fn members(&self, node: usize) -> impl Iterator<Item = Member> {
        let mapping =
            Some(self.resolve(node)).filter(|&node| matches!(self.kind(node), Some(NodeKind::Mapping { .. })));
        let mut children = mapping.into_iter().flat_map(|mapping| self.children(mapping));
        std::iter::from_fn(move || Some((children.next()?, children.next()?)))
    }

    /// The value of `key`, aliases and merge keys followed; none when missing
    /// or null.
    pub(super) fn get(&self, mapping: usize, key: &str) -> Option<usize> {
        self.get_or_null(mapping, key).filter(|&value| !self.is_null(value))
    }

    /// kubectl reads from the front to the back, and a later member takes the place of an earlier
    /// one: a merge key also hides what the mapping itself says before it.
    pub(super) fn get_or_null(&self, mapping: usize, key: &str) -> Option<usize> {
        self.find(mapping, key, &mut { MERGES })
    }

    fn find(&self, mapping: usize, key: &str, left: &mut usize) -> Option<usize> {
        *left = left.checked_sub(1)?;
        let mut found = None;
        for (name, value) in self.members(mapping) {
            if self.scalar(name) == Some(key) {
                found = Some(self.resolve(value));
            } else if self.is_merge(name) {
                found = self.merged(value).into_iter().find_map(|merged| self.find(merged, key, left)).or(found);
            }
        }
        found
    }

    /// The members of a mapping and of those that it merges, the one that counts after those that it
    /// hides.
    pub(super) fn all_members(&self, mapping: usize) -> Vec<Member> {
        let mut all = Vec::new();
        self.collect(mapping, &mut all, &mut { MERGES });
        all
    }

    fn collect(&self, mapping: usize, all: &mut Vec<Member>, left: &mut usize) {
        let Some(rest) = left.checked_sub(1) else { return };
        *left = rest;
        for (name, value) in self.members(mapping) {
            if self.is_merge(name) {
                self.merged(value).into_iter().rev().for_each(|merged| self.collect(merged, all, left));
            } else {
                all.push((name, value));
            }
        }
    }

    /// The mappings that the value of a merge key names, the first before the others.
    fn merged(&self, value: usize) -> Vec<usize> {
        let value = self.resolve(value);
        if self.is_list(value) { self.items(value) } else { vec![value] }
    }

    /// The member `key` of the mapping itself, not of those it merges.
    pub(super) fn own(&self, mapping: usize, key: &str) -> Option<Member> {
        self.members(mapping).filter(|member| self.scalar(member.0) == Some(key)).last()
    }

    pub(super) fn is_merge(&self, key: usize) -> bool {
        self.style(key) == Some(ScalarStyle::Plain) && self.scalar(key) == Some("<<")
    }

    pub(super) fn is_list(&self, node: usize) -> bool {
        matches!(self.kind(node), Some(NodeKind::List { .. }))
    }

    pub(in crate::kubeconfig) fn items(&self, node: usize) -> Vec<usize> {
        if self.is_list(node) { self.children(node).collect() } else { vec![] }
    }

    pub(super) fn style(&self, node: usize) -> Option<ScalarStyle> {
        match self.kind(node) {
            Some(NodeKind::Scalar { style, .. }) => Some(style),
            _ => None,
        }
    }

    pub(in crate::kubeconfig) fn scalar(&self, node: usize) -> Option<&str> {
        let node = self.nodes.get(self.resolve(node))?;
        let (start, end) = (node.start as usize, node.end as usize);
        match node.kind {
            NodeKind::Scalar { says: ScalarText::Source, .. } => self.text.get(start..end),
            NodeKind::Scalar { says: ScalarText::Quoted, .. } => self.text.get(start + 1..end - 1),
            NodeKind::Scalar { says: ScalarText::Read { start, end }, .. } => {
                self.read.get(start as usize..end as usize)
            }
            _ => None,
        }
    }

    pub(in crate::kubeconfig) fn is_null(&self, node: usize) -> bool {
        match self.kind(node) {
            Some(NodeKind::Scalar { style: ScalarStyle::Plain, tagged: false, .. }) => {
                matches!(self.scalar(node), Some("" | "~" | "null" | "Null" | "NULL"))
            }
            _ => false,
        }
    }

    pub(super) fn is_flow(&self, node: usize) -> bool {
        matches!(self.kind(node), Some(NodeKind::List { flow: true } | NodeKind::Mapping { flow: true }))
    }

    pub(super) fn all_quoted(&self, items: &[usize]) -> bool {
        let double = |&item: &usize| self.style(item) == Some(ScalarStyle::DoubleQuoted);
        !items.is_empty() && items.iter().all(double)
    }

    pub(super) fn place(&self, node: usize) -> Place {
        let place = |node: &Node| Place { line: node.line as usize, column: node.column as usize };
        self.nodes.get(node).map_or(Place { line: 1, column: 1 }, place)
    }

    pub(in crate::kubeconfig) fn start(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.start as usize)
    }

    pub(in crate::kubeconfig) fn end(&self, node: usize) -> usize {
        self.nodes.get(node).map_or(0, |node| node.end as usize)
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
        let end = self.nodes.get(value).map_or(value, |node| node.next as usize);
        let mut uses = self.uses.range(value..end).map(|(&node, &alias)| (node, alias));
        uses.find(|&(_, alias)| alias >= end)
    }

    pub(super) fn wrong(&self, node: usize, message: impl Into<String>) -> DocumentError {
        DocumentError::at(self.place(node), message)
    }
}

/// Makes nodes of the parser's events.
struct Builder<'a> {
    /// The whole text.
    text: &'a str,
    /// What the parser reads.
    short: &'a Shortened,
    passed: Passed,
    /// The line of the last node, and how much was left out before that line.
    line: (usize, usize),
    nodes: Vec<Node>,
    read: String,
    uses: BTreeMap<usize, usize>,
    /// The nodes by the parser's number for their anchor.
    anchors: HashMap<usize, usize>,
    open: Vec<Open>,
    documents: usize,
}

/// The nodes, the strings that had to be made, and the aliases.
type Built = (Vec<Node>, String, BTreeMap<usize, usize>);

/// A collection whose end is still to come.
struct Open {
    node: usize,
    is_mapping: bool,
    /// The key whose value is next.
    key: Option<usize>,
    /// The last node in it.
    last: Option<usize>,
}

impl<'a> Builder<'a> {
    fn new(text: &'a str, short: &'a Shortened) -> Builder<'a> {
        Builder {
            text,
            short,
            passed: Passed::default(),
            line: (0, 0),
            nodes: vec![],
            read: String::new(),
            uses: BTreeMap::new(),
            anchors: HashMap::new(),
            open: vec![],
            documents: 0,
        }
    }

    fn read_all(mut self) -> Result<Built> {
        let mut options = granit_parser::options! {};
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(&self.short.text, options) {
            let (event, span) = event.map_err(|error| DocumentError::at(place(error.marker()), error.info()))?;
            self.take(&event, &span)?;
        }
        Ok((self.nodes, self.read, self.uses))
    }

    fn take(&mut self, event: &Event<'_>, span: &Span) -> Result<()> {
        let flow = |style| style == StructureStyle::Flow;
        match *event {
            Event::DocumentStart(..) => self.document(span)?,
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(ref text, style, anchor, ref tag) => {
                self.scalar(text, style, tag.is_some(), anchor, span)?;
            }
            Event::SequenceStart(style, anchor, _) => self.begin(NodeKind::List { flow: flow(style) }, anchor, span),
            Event::MappingStart(style, anchor, _) => self.begin(NodeKind::Mapping { flow: flow(style) }, anchor, span),
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
        let range = self.whole(span.byte_range().unwrap_or_default());
        let alias = self.push(NodeKind::Alias(small(target)), range, 0, span);
        self.uses.insert(target, alias);
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tagged: bool, anchor: usize, span: &Span) -> Result<()> {
        let short = self.visible(style, span);
        let source = self.short.text.get(short.clone()).unwrap_or_default();
        let length = short.len();
        let range = self.whole(short);
        let range = self.behind_colon(range);
        let says = if source == text {
            ScalarText::Source
        } else if source.len() == text.len() + 2 && source.get(1..=text.len()) == Some(text) {
            ScalarText::Quoted
        } else if range.len() != length {
            return Err(DocumentError::new("a part of a string is left out"));
        } else {
            let start = small(self.read.len());
            self.read.push_str(text);
            ScalarText::Read { start, end: small(self.read.len()) }
        };
        self.push(NodeKind::Scalar { style, tagged, says }, range, anchor, span);
        Ok(())
    }

    fn whole(&mut self, short: Range<usize>) -> Range<usize> {
        let start = self.short.whole(short.start, &mut self.passed);
        start..self.short.whole(short.end, &mut self.passed)
    }

    /// The parser's span, except that a block scalar ends with its last visible byte.
    fn visible(&self, style: ScalarStyle, span: &Span) -> Range<usize> {
        let Range { start, end } = span.byte_range().unwrap_or_default();
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let text = self.short.text.get(..end).unwrap_or_default();
            let end = text.trim_end_matches([' ', '\t', '\r', '\n']).len();
            start.min(end)..end
        } else {
            start..end
        }
    }

    /// An empty value begins behind its colon.
    fn behind_colon(&self, Range { start, end }: Range<usize>) -> Range<usize> {
        if start != end {
            return start..end;
        }
        let key = self.open.last().and_then(|open| self.nodes.get(open.key?));
        let colon = key.and_then(|key| after_colon(self.text, key.end as usize));
        let start = start.max(colon.unwrap_or(start));
        start..start
    }

    /// Where a node is for people, in the whole text.
    fn place(&mut self, span: &Span) -> Place {
        let Place { line, column } = place(&span.start);
        let short = span.byte_range().unwrap_or_default().start;
        if self.line.0 != line {
            let before = self.short.text.as_bytes().get(..short).unwrap_or_default();
            let start = before.iter().rposition(|byte| matches!(byte, b'\r' | b'\n')).map_or(0, |end| end + 1);
            self.line = (line, self.short.whole(start, &mut self.passed) - start);
        }
        let gone = self.short.whole(short, &mut self.passed) - short;
        Place { line, column: column + gone - self.line.1 }
    }

    fn push(&mut self, kind: NodeKind, range: Range<usize>, anchor: usize, span: &Span) -> usize {
        let node = self.nodes.len();
        let Place { line, column } = self.place(span);
        let (start, end, next) = (small(range.start), small(range.end), small(node + 1));
        self.nodes.push(Node { kind, start, end, line: small(line), column: small(column), next });
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        if let Some(open) = self.open.last_mut() {
            open.last = Some(node);
            open.key = Some(node).filter(|_| open.is_mapping && open.key.is_none());
        }
        node
    }

    fn begin(&mut self, kind: NodeKind, anchor: usize, span: &Span) {
        let range = self.whole(span.byte_range().unwrap_or_default());
        let node = self.push(kind, range, anchor, span);
        let is_mapping = matches!(kind, NodeKind::Mapping { .. });
        self.open.push(Open { node, is_mapping, key: None, last: None });
    }

    fn finish(&mut self, span: &Span) {
        let Some(Open { node, last, .. }) = self.open.pop() else {
            return;
        };
        let next = small(self.nodes.len());
        let last = last.and_then(|last| self.nodes.get(last)).map(|last| last.end);
        let end = small(self.whole(span.byte_range().unwrap_or_default()).end);
        if let Some(node) = self.nodes.get_mut(node) {
            let flow = matches!(node.kind, NodeKind::List { flow: true } | NodeKind::Mapping { flow: true });
            // A block has no end of its own: it ends with the last thing in it.
            node.end = last.filter(|_| !flow).unwrap_or(end);
            node.next = next;
        }
    }
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// No number here is larger: the text is not.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::support::{AKS, Random};
    use super::*;

    /// What is read of a text, shortened and whole.
    fn both(text: &str) -> [Result<String, String>; 2] {
        let short = Builder::new(text, &Shortened::of(text)).read_all();
        let shown = |built: Result<Built>| built.map(|built| format!("{built:?}")).map_err(|error| error.to_string());
        [shown(short), shown(Tree::read_whole(text))]
    }

    #[test]
    fn shortened_text_reads_as_the_whole() {
        let blob = "Ab+/9=".repeat(100);
        let values = [
            "BLOB",
            "\"BLOB\"",
            "BLOB # c",
            "'BLOB'",
            "BLOB\r",
            "BLOB é",
            "|\n      BLOB\n      BLOB: BLOB",
            "!!str BLOB",
            "&x BLOB",
            "[BLOB, BLOB]",
        ];
        for value in values {
            let text = AKS.replace("https://a.example:443", value).replace("BLOB", &blob);
            let [short, whole] = both(&text);
            assert!(whole.is_ok(), "{value}");
            assert!(short.is_err() || short == whole, "{value}");
            assert_eq!(short.is_err(), value.contains('|'), "{value}");
        }
        let line = format!("{{\"ü\":\"{blob}\",\"b\": \"{blob}\", \"users\": [{{\"x\": \"{blob}\", \"name\": []}}]}}");
        let [short, whole] = both(&line);
        assert_eq!(short, whole);
        let wrong = line.replace("[]}", "]}");
        assert_eq!(Tree::parse(wrong.clone()).unwrap_err().to_string(), both(&wrong)[1].clone().unwrap_err());
    }

    #[test]
    fn shortened_text_of_any_form_reads_as_the_whole() {
        const PARTS: [&str; 26] = [
            "k", ": ", ":", ":\"", ": \"", "\"", "'", "\n", "\r\n", "\n  ", "- ", "\n- ", "{", "}", "[", "]", ",",
            "BLOB", "BLOB", "BLOB\n", "|\n ", "#", "&a ", "*a", "? ", " ",
        ];
        let blob = "Ab+/9=".repeat(30);
        let mut random = Random(6);
        let (mut read, mut again) = (0, 0);
        for _ in 0..30_000 {
            let text: String = (0..random.below(14)).map(|_| PARTS[random.below(PARTS.len())]).collect();
            let [short, whole] = both(&text.replace("BLOB", &blob));
            match (short, whole) {
                (Ok(short), whole) => {
                    assert_eq!(Ok(short), whole, "{text:?}");
                    read += 1;
                }
                (Err(_), Ok(_)) => again += 1,
                (Err(_), Err(_)) => {}
            }
        }
        assert!(read > 1_000 && again > 10, "{read} {again}");
    }
}
