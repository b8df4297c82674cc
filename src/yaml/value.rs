//! What is written at a node, and what a node says.

use super::node::Style;
use super::tree::Tree;

/// A value that does not stand in a text yet.
// Not `Debug`: it may be secret.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Value {
    /// A string.
    Text(String),
    /// What is no string without quotes: `null`, `false`, `8080`.
    Plain(String),
    /// Items.
    List(Vec<Value>),
    /// Its members in the order in which they are written.
    Map(Vec<(String, Value)>),
    /// Bytes as they stood there before, with the comment behind them, and what they say if that can be told:
    /// aliases may refer to other places.
    Raw(String, Option<Box<Value>>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    pub(crate) fn null() -> Value {
        Value::Plain("null".into())
    }

    /// A mapping.
    pub fn map<'k>(members: impl IntoIterator<Item = (&'k str, Value)>) -> Value {
        Value::Map(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// What `node` says; none where it holds an alias, a tag, or a key that is no scalar, that merges, or that
    /// stands twice.
    pub(crate) fn of(tree: &Tree, node: usize) -> Option<Value> {
        use super::NodeKind::{Alias, List, Mapping, Scalar};
        match tree.kind(node)? {
            Scalar { tagged: true, .. } | Alias(_) => None,
            Scalar { style, .. } => {
                let text = tree.scalar(node)?;
                let typed = style == Style::Plain && (text.is_empty() || super::scalar::is_typed(text));
                Some(if typed { Value::Plain(text.to_owned()) } else { Value::text(text) })
            }
            List { .. } => {
                tree.children(node).map(|item| Value::of(tree, item)).collect::<Option<_>>().map(Value::List)
            }
            Mapping { .. } => {
                let mut members: Vec<(String, Value)> = Vec::new();
                for (key, value) in tree.members(node) {
                    let name = tree.scalar(key).filter(|_| !tree.is_merge(key))?;
                    if members.iter().any(|(known, _)| known == name) {
                        return None;
                    }
                    members.push((name.to_owned(), Value::of(tree, value)?));
                }
                Some(Value::Map(members))
            }
        }
    }

    /// Whether it is YAML's null.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Value::Plain(text) if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether it is written on a line of its own key, whatever the style.
    pub(super) fn is_inline(&self) -> bool {
        match self {
            Value::Text(_) | Value::Plain(_) | Value::Raw(..) => true,
            Value::List(items) => items.is_empty(),
            Value::Map(members) => members.is_empty(),
        }
    }

    /// Whether `node` says the same, with the members of mappings in the same order.
    pub(super) fn is_said_by(&self, tree: &Tree, node: usize) -> bool {
        let meant = match self {
            Value::Raw(_, None) => return true,
            Value::Raw(_, Some(value)) => value,
            value => value,
        };
        Value::of(tree, node).as_ref() == Some(meant)
    }
}
