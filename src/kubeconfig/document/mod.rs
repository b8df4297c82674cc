//! One kubeconfig file: its text, what we read from it, and edits that
//! replace only the bytes that have to change.
//!
//! The file is never written out from a tree. kubectl reads YAML 1.1 and
//! people keep comments, so all that an edit does not name stays as it is,
//! byte for byte.

mod edit;
pub(in crate::kubeconfig) mod kuberc;
mod read;
mod relative;
mod revert;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::yaml::{Result, TOP, Tree, Value};
pub(crate) use relative::RelativePath;
pub(in crate::kubeconfig) use revert::fragment;
pub(crate) use revert::{RecordedEdit, UndoState};

/// A kubeconfig file that has been read.
// Not `Debug`: the text holds tokens and keys.
#[cfg_attr(test, derive(Debug))]
pub struct Document {
    tree: Tree,
    users: Vec<User>,
    /// The node of each user's entry.
    entries: Vec<usize>,
    contexts: Vec<Context>,
    current_context: Option<String>,
}

/// An entry of `users`.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct User {
    /// The entry's `name`, empty when it has none.
    pub name: String,
    /// The line the entry begins on, counted from 1.
    pub line: usize,
    /// How kubectl asks somebody else for this user's credential.
    pub auth: Auth,
    /// Whether there is a `client-certificate` or `client-certificate-data`.
    pub has_client_certificate: bool,
    /// Whether there is a `token` or `tokenFile`.
    pub has_token: bool,
}

/// Where a user's credential comes from.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Auth {
    /// An `exec` plugin.
    Exec(Exec),
    /// A legacy `auth-provider`.
    Provider {
        /// The provider's `name`, for example `azure`.
        name: String,
        /// Its `config`, cached tokens included.
        config: BTreeMap<String, String>,
    },
    /// Both `exec` and `auth-provider`, which kubectl refuses to use.
    Both,
    /// Neither; perhaps a certificate or a token.
    Neither,
}

/// A variable of `env`: its name and its value.
pub(crate) type Variable = (String, String);

/// The `exec` member of a user.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
#[cfg_attr(test, derive(Debug))]
pub struct Exec {
    /// `command`, empty when missing.
    pub command: String,
    /// `args`, empty when missing or null.
    pub args: Vec<String>,
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `env`, in file order.
    pub env: Vec<Variable>,
    /// `provideClusterInfo`.
    pub provide_cluster_info: bool,
    /// `interactiveMode`.
    pub interactive_mode: Option<String>,
    /// `installHint`.
    pub install_hint: Option<String>,
}

/// An entry of `contexts`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Context {
    /// The entry's `name`.
    pub name: String,
    /// The user it refers to, empty when it names none.
    pub user: String,
    /// The cluster it refers to, empty when it names none.
    pub cluster: String,
}

/// A list of a kubeconfig, or its one text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// `clusters`
    Clusters,
    /// `contexts`
    Contexts,
    /// `users`
    #[default]
    Users,
    /// `current-context`
    CurrentContext,
}

/// A change to a file.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Change {
    /// Gives a user, by its place in [`Document::users`], this `exec`, in the place of the one or the
    /// `auth-provider` that it has. Of an `exec` that is there, `installHint` and `provideClusterInfo` stay.
    User(usize, Exec),
    /// Adds an entry, or gives one of this name another body: what stands under `cluster`, `context` or `user`.
    Set(Section, String, Value),
    /// Gives an entry another name.
    Rename(Section, String, String),
    /// Removes an entry.
    Remove(Section, String),
    /// Sets `current-context`.
    UseContext(String),
}

/// A file after its edits.
#[cfg_attr(test, derive(Debug))]
pub struct EditedDocument {
    /// The new text. It was read again and says what it should.
    pub text: String,
    /// What changed, in the order of the text.
    pub touched: Vec<EditedSpan>,
}

/// Where an entry stands that was edited, before and after: the old bytes in the place of the new ones of
/// every such entry give the old text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditedSpan {
    /// What it is an entry of.
    pub section: Section,
    /// Its name, the new one where it was renamed.
    pub name: String,
    /// The entry in the old text, with the comment on its last line.
    pub old: Range<usize>,
    /// The same in the new text.
    pub new: Range<usize>,
    /// How many characters stand before the entry on its line.
    pub column: usize,
}

impl Document {
    /// Reads a file. An empty file, or one with only comments or `null`, has
    /// no users.
    ///
    /// Errors name the line and column: text that is not YAML, more than one
    /// document, two entries of one name, a list where a mapping should be.
    pub fn parse(text: String) -> Result<Document> {
        let tree = Tree::parse(text)?;
        tree.check_top()?;
        let users = tree.entries("users", Tree::user, |user| &user.name)?;
        let contexts = tree.entries("contexts", Tree::context, |context| &context.name)?;
        let current = tree.text_at(TOP, "current-context")?;
        let entries = tree.list_at(TOP, "users")?;
        tree.check_lookups()?;
        Ok(Document { tree, users, entries, contexts, current_context: current.filter(|name| !name.is_empty()) })
    }

    /// The text as it was given to [`Document::parse`].
    pub fn text(&self) -> &str {
        self.tree.text()
    }

    pub(in crate::kubeconfig) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The users in file order; edits name them by their place in this list.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// The contexts in file order.
    pub fn contexts(&self) -> &[Context] {
        &self.contexts
    }

    /// The `current-context`, unless it is missing or empty.
    pub fn current_context(&self) -> Option<&str> {
        self.current_context.as_deref()
    }

    /// The address of the API server that the cluster `name` has here, if it is a text.
    pub fn server_of(&self, name: &str) -> Option<&str> {
        self.servers().find(|(cluster, _)| *cluster == name).map(|(_, server)| server)
    }

    /// The clusters whose API server has an address, with it, in file order.
    pub fn servers(&self) -> impl Iterator<Item = (&str, &str)> {
        let text = |mapping, key| self.tree.get(mapping, key).and_then(|value| self.tree.scalar(value));
        let clusters = self.tree.list_at(TOP, "clusters").unwrap_or_default();
        clusters
            .into_iter()
            .filter_map(move |entry| Some((text(entry, "name")?, text(self.tree.get(entry, "cluster")?, "server")?)))
    }

    /// The bytes of a user's entry, from the first to the last visible one; empty where there is no
    /// such user.
    pub fn entry(&self, user: usize) -> Range<usize> {
        self.entries.get(user).map_or(0..0, |&node| self.tree.range(node))
    }
}
