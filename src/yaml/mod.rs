//! YAML as text that is edited where it stands. Nothing here knows what a kubeconfig is.
//!
//! A [`Tree`] has the values of a text and where each of them stands. [`apply`] makes the text that
//! [`Op`]s ask for and leaves every other byte as it is; [`confirm()`] reads that text again and holds it
//! against the old values with the same operations done to them.
//!
//! The parser reads YAML 1.2; what is written is read the same by readers of YAML 1.1, of which kubectl is one.

mod confirm;
mod node;
mod parse;
mod patch;
mod render;
mod scalar;
#[cfg(test)]
pub(crate) mod tests;
mod tree;
mod value;

use std::fmt;

pub use confirm::confirm;
pub(crate) use node::NodeKind;
pub(crate) use patch::Splice;
pub use patch::{Op, Patch, apply};
pub use tree::Tree;
pub(crate) use tree::{Member, TOP};
pub use value::Value;

/// Why a text could not be read, or an edit was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct YamlError {
    message: String,
    place: Option<Place>,
}

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

pub(crate) type Result<T, E = YamlError> = std::result::Result<T, E>;

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(Place { line, column }) => write!(f, " at line {line}, column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for YamlError {}

impl YamlError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), place: None }
    }

    pub(crate) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { message: message.into(), place: Some(place) }
    }
}
