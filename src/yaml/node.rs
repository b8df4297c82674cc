//! What a tree is made of.

/// As small as it can be: a large file has hundreds of thousands.
#[derive(Clone)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Node {
    pub(super) kind: NodeKind,
    pub(super) position: Position,
    pub(super) says: ScalarText,
    /// The text from the first to the last visible byte, without anchor or tag.
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) line: u32,
    pub(super) column: u32,
    /// The node after the last one inside this one.
    pub(super) next: u32,
    /// The collection that this node is in.
    pub(super) parent: u32,
}

/// What a node is to its parent.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum Position {
    Top,
    Item,
    Key,
    /// The value of the key just before it; of a key that is a collection it is `Odd`.
    Value,
    Odd,
}

/// What a node is.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum NodeKind {
    /// A text, a number, `null` and the like; `tagged` where the text says the type.
    Scalar { style: Style, tagged: bool },
    /// A list; `flow` in brackets.
    List { flow: bool },
    /// A mapping; `flow` in braces.
    Mapping { flow: bool },
    /// Another node, by its anchor.
    Alias(u32),
}

/// How a scalar is written.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Style {
    /// Without quotes.
    Plain,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// In lines of its own behind `|` or `>`.
    Block,
}

/// Where the string is that a scalar stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) enum ScalarText {
    /// It is what stands in the text.
    Source,
    /// It is what stands between the quotes.
    Quoted,
    /// It had to be made: from the first to the second byte of what the tree has read.
    Read(u32, u32),
}
