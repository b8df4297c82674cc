//! Makes nodes of the parser's events. No other file knows the parser.

use std::collections::HashMap;
use std::ops::Range;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, StructureStyle};

use super::node::{Node, NodeKind, Position, ScalarText, Style};
use super::{Place, Result, YamlError};

/// The numbers of a [`Node`] reach no further.
const LONGEST: usize = i32::MAX as usize;

/// How deep a text may nest. Whoever walks a tree by recursion relies on it.
const DEEPEST: usize = 200;

/// What is read of a text.
#[derive(Default)]
pub(super) struct Built {
    pub(super) nodes: Vec<Node>,
    /// The strings that had to be made.
    pub(super) read: String,
    /// Each alias behind the node that it refers to, sorted.
    pub(super) aliases: Vec<(usize, usize)>,
}

pub(super) fn read(text: &str) -> Result<Built> {
    if text.len() > LONGEST {
        return Err(YamlError::new("a text of more than 2 GiB cannot be read"));
    }
    let mut builder = Builder { text, built: Built::default(), anchors: HashMap::new(), open: vec![], second: None };
    let mut options = granit_parser::options! {};
    options.set_emit_comments(false);
    let mut documents = 0;
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| YamlError::at(place(error.marker()), error.info()))?;
        if let Event::DocumentStart(..) = event {
            documents += 1;
            builder.second = (documents > 1).then(|| place(&span.start));
        } else {
            builder.take(&event, &span)?;
        }
    }
    builder.built.aliases.sort_unstable();
    Ok(builder.built)
}

struct Builder<'a> {
    text: &'a str,
    built: Built,
    /// The nodes by the parser's number for their anchor.
    anchors: HashMap<usize, usize>,
    open: Vec<Open>,
    /// Where a document begins that is not the first.
    second: Option<Place>,
}

/// A collection whose end is still to come.
struct Open {
    node: usize,
    is_mapping: bool,
    /// The key whose value is next.
    key: Option<usize>,
    /// The last node in it.
    last: Option<usize>,
}

impl Builder<'_> {
    fn take(&mut self, event: &Event<'_>, span: &Span) -> Result<()> {
        let flow = |style| style == StructureStyle::Flow;
        match *event {
            // Scripts that join files leave a `---` with nothing behind it.
            Event::Scalar(_, ScalarStyle::Plain, 0, None)
                if self.second.is_some() && span.byte_range().is_some_and(|range| range.is_empty()) => {}
            Event::Alias(..) | Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..)
                if self.second.is_some() =>
            {
                let second = "a second document begins";
                return Err(self.second.map_or_else(|| YamlError::new(second), |place| YamlError::at(place, second)));
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::Scalar(ref text, style, anchor, ref tag) => self.scalar(text, style, tag.is_some(), anchor, span),
            Event::SequenceStart(style, anchor, _) => self.begin(NodeKind::List { flow: flow(style) }, anchor, span)?,
            Event::MappingStart(style, anchor, _) => {
                self.begin(NodeKind::Mapping { flow: flow(style) }, anchor, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.finish(span),
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: &Span) {
        let target = self.anchors.get(&anchor).copied().unwrap_or_default();
        let range = span.byte_range().unwrap_or_default();
        let alias = self.push(NodeKind::Alias(small(target)), ScalarText::Source, range, 0, span);
        self.built.aliases.push((target, alias));
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tagged: bool, anchor: usize, span: &Span) {
        let range = self.behind_colon(self.visible(style, span));
        let source = self.text.get(range.clone()).unwrap_or_default();
        let says = if source == text {
            ScalarText::Source
        } else if source.len() == text.len() + 2 && source.get(1..=text.len()) == Some(text) {
            ScalarText::Quoted
        } else {
            let start = small(self.built.read.len());
            self.built.read.push_str(text);
            ScalarText::Read(start, small(self.built.read.len()))
        };
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted => Style::Single,
            ScalarStyle::DoubleQuoted => Style::Double,
            _ => Style::Block,
        };
        self.push(NodeKind::Scalar { style, tagged }, says, range, anchor, span);
    }

    /// The parser's span, except that a block scalar ends with its last visible byte.
    fn visible(&self, style: ScalarStyle, span: &Span) -> Range<usize> {
        let Range { start, end } = span.byte_range().unwrap_or_default();
        if matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            let text = self.text.get(..end).unwrap_or_default();
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
        let key = self.open.last().and_then(|open| self.built.nodes.get(open.key?));
        let colon = key.and_then(|key| after_colon(self.text, key.end as usize));
        let start = start.max(colon.unwrap_or(start));
        start..start
    }

    fn push(&mut self, kind: NodeKind, says: ScalarText, range: Range<usize>, anchor: usize, span: &Span) -> usize {
        let node = self.built.nodes.len();
        let Place { line, column } = place(&span.start);
        let (position, parent) = self.place_of_next(node);
        let (start, end, next) = (small(range.start), small(range.end), small(node + 1));
        let (line, column, parent) = (small(line), small(column), small(parent));
        self.built.nodes.push(Node { kind, position, says, start, end, line, column, next, parent });
        if anchor != 0 {
            self.anchors.insert(anchor, node);
        }
        node
    }

    /// What `node`, the next one, is to the collection that it is in, and which that is.
    fn place_of_next(&mut self, node: usize) -> (Position, usize) {
        let Some(open) = self.open.last_mut() else { return (Position::Top, 0) };
        open.last = Some(node);
        let position = match open.key.take() {
            _ if !open.is_mapping => Position::Item,
            Some(key) if key + 1 == node => Position::Value,
            Some(_) => Position::Odd,
            None => {
                open.key = Some(node);
                Position::Key
            }
        };
        (position, open.node)
    }

    fn begin(&mut self, kind: NodeKind, anchor: usize, span: &Span) -> Result<()> {
        if self.open.len() >= DEEPEST {
            return Err(YamlError::at(place(&span.start), format!("it nests more than {DEEPEST} levels deep")));
        }
        let node = self.push(kind, ScalarText::Source, span.byte_range().unwrap_or_default(), anchor, span);
        let is_mapping = matches!(kind, NodeKind::Mapping { .. });
        self.open.push(Open { node, is_mapping, key: None, last: None });
        Ok(())
    }

    fn finish(&mut self, span: &Span) {
        let Some(Open { node, last, .. }) = self.open.pop() else {
            return;
        };
        let next = small(self.built.nodes.len());
        let last = last.and_then(|last| self.built.nodes.get(last)).map(|last| last.end);
        let end = small(span.byte_range().unwrap_or_default().end);
        if let Some(node) = self.built.nodes.get_mut(node) {
            let flow = matches!(node.kind, NodeKind::List { flow: true } | NodeKind::Mapping { flow: true });
            // A block has no end of its own: it ends with the last thing in it.
            node.end = last.filter(|_| !flow).unwrap_or(end);
            node.next = next;
        }
    }
}

/// Where the value of a key that ends at `at` may begin.
pub(super) fn after_colon(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?.trim_start_matches([' ', '\t', '\r', '\n']);
    rest.strip_prefix(':').map(|rest| text.len() - rest.len())
}

fn place(marker: &Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

/// No number here is larger: the text is not.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
