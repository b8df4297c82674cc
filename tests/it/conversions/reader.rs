//! Another reader of YAML than the product's: a port of libyaml, from which kubectl's reader comes too.

use libyaml_safer::{EventData, MappingStyle, Parser, ScalarStyle, SequenceStyle};

/// A value, and the bytes from where to where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    pub anchor: Option<String>,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A text, its tag, and whether it stands without quotes, which decides about its type.
    Scalar(String, Option<String>, bool),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
    Alias(String),
}

/// Two values are the same wherever they stand.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.anchor == other.anchor
    }
}

impl Eq for Node {}

impl Node {
    /// The value of a member of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let Value::Map(members) = &self.value else { return None };
        members.iter().find(|(name, _)| name.text() == Some(key)).map(|(_, value)| value)
    }

    /// The items of a list.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text, _, _) => Some(text),
            _ => None,
        }
    }

    /// The members of a mapping but for some.
    pub fn without(&self, keys: &[&str]) -> Vec<(&Node, &Node)> {
        let Value::Map(members) = &self.value else { return Vec::new() };
        let others = members.iter().filter(|(name, _)| name.text().is_none_or(|name| !keys.contains(&name)));
        others.map(|(name, value)| (name, value)).collect()
    }
}

/// The one document of `text`.
pub fn read(text: &str) -> Result<Node, String> {
    let mut bytes = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input_string(&mut bytes);
    let mut events = Vec::new();
    loop {
        let event = parser.parse().map_err(|error| error.to_string())?;
        let last = matches!(event.data, EventData::StreamEnd);
        events.push(event);
        if last {
            break;
        }
    }
    let mut events = events.into_iter().filter(|event| {
        !matches!(
            event.data,
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } | EventData::DocumentEnd { .. }
        )
    });
    match next(&mut events)? {
        Next::Value(node) => Ok(node),
        Next::End(_) => Err("there is nothing".into()),
    }
}

/// A value, or the end of a collection and the character behind it.
enum Next {
    Value(Node),
    End(usize),
}

fn next(events: &mut impl Iterator<Item = libyaml_safer::Event>) -> Result<Next, String> {
    let event = events.next().ok_or("it ends early")?;
    let start = event.start_mark.index as usize;
    let mut end = event.end_mark.index as usize;
    let (value, anchor) = match event.data {
        EventData::Alias { anchor } => (Value::Alias(anchor), None),
        EventData::Scalar { anchor, tag, value, style, .. } => {
            (Value::Scalar(value, tag, style == ScalarStyle::Plain), anchor)
        }
        EventData::SequenceStart { anchor, style, .. } => {
            let mut items: Vec<Node> = Vec::new();
            let after = loop {
                match next(events)? {
                    Next::Value(item) => items.push(item),
                    Next::End(after) => break after,
                }
            };
            // A block has no end of its own but that of its last item.
            let last = items.last().map_or(end, |item| item.end);
            end = if style == SequenceStyle::Flow { after } else { last };
            (Value::List(items), anchor)
        }
        EventData::MappingStart { anchor, style, .. } => {
            let mut members: Vec<(Node, Node)> = Vec::new();
            let after = loop {
                match next(events)? {
                    Next::Value(key) => match next(events)? {
                        Next::Value(value) => members.push((key, value)),
                        Next::End(_) => return Err("a key without a value".into()),
                    },
                    Next::End(after) => break after,
                }
            };
            let last = members.last().map_or(end, |member| member.1.end);
            end = if style == MappingStyle::Flow { after } else { last };
            (Value::Map(members), anchor)
        }
        _ => return Ok(Next::End(end)),
    };
    Ok(Next::Value(Node { value, anchor, start, end }))
}
