//! One kubeconfig file: its text, what we read from it, and edits that
//! replace only the bytes that have to change.
//!
//! The file is never written out from a tree. kubectl reads YAML 1.1 and
//! people keep comments, so all that an edit does not name stays as it is,
//! byte for byte.

mod edit;
mod env;
mod exec_edit;
pub(in crate::kubeconfig) mod kuberc;
mod read;
mod relative;
mod scalar;
mod shorten;
mod source;
#[cfg(test)]
mod support;
mod take_back;
mod text;
pub(in crate::kubeconfig) mod tree;
mod write;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;

use edit::{Plan, Reach};
pub(crate) use relative::RelativePath;
#[cfg(test)]
pub(in crate::kubeconfig) use support::Random;
pub(in crate::kubeconfig) use take_back::fragment;
pub(crate) use take_back::{RecordedEdit, Standing};
use tree::{TOP, Tree};

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
#[derive(Clone, PartialEq, Eq, Default)]
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

/// A change to one user.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub enum Edit {
    /// Changes members of `exec` and single variables, and leaves the rest of the entry alone.
    Exec(ExecChange),
    /// Puts an `exec` in the place of the `auth-provider`.
    ProviderToExec(NewExec),
}

/// What is to change in an `exec`; a member that is `None` stays as it is.
#[derive(Clone, PartialEq, Eq, Default)]
#[cfg_attr(test, derive(Debug))]
pub struct ExecChange {
    /// Takes the place of `args`, missing or not.
    pub args: Vec<String>,
    /// Variables to set in `env`; all others stay.
    pub variables: Vec<Variable>,
    /// `command`.
    pub command: Option<String>,
    /// `apiVersion`.
    pub api_version: Option<String>,
    /// `interactiveMode`.
    pub interactive_mode: Option<String>,
}

/// The `exec` that takes the place of an `auth-provider`; it is written with
/// `provideClusterInfo: false`.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub struct NewExec {
    /// `apiVersion`.
    pub api_version: String,
    /// `args`.
    pub args: Vec<String>,
    /// `command`.
    pub command: String,
    /// `env`.
    pub env: Vec<Variable>,
    /// `installHint`.
    pub install_hint: String,
    /// `interactiveMode`.
    pub interactive_mode: String,
}

/// A file after its edits.
#[cfg_attr(test, derive(Debug))]
pub struct EditedDocument {
    /// The new text, read again.
    pub document: Document,
    /// Each edited user, in the order of the text.
    pub touched: Vec<EditedSpan>,
}

/// Where the entry of an edited user stands, before and after: the old bytes in the place of the
/// new ones of every such entry give the old text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EditedSpan {
    /// The user, by its place in [`Document::users`].
    pub user: usize,
    /// Its entry in the old text, with the rest of its last line where that changes.
    pub old: Range<usize>,
    /// The same in the new text.
    pub new: Range<usize>,
    /// How many characters stand before the entry on its line.
    pub column: usize,
}

/// Why a file could not be read, or an edit was refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DocumentError {
    message: String,
    place: Option<Place>,
}

/// A line and a column, both counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    line: usize,
    column: usize,
}

type Result<T, E = DocumentError> = std::result::Result<T, E>;

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.place {
            Some(Place { line, column }) => write!(f, " at line {line}, column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DocumentError {}

impl DocumentError {
    fn new(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, place: None }
    }

    fn at(place: Place, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { message, place: Some(place) }
    }
}

impl Exec {
    /// The entry after `change`.
    #[must_use]
    pub fn changed(&self, change: &ExecChange) -> Exec {
        Exec {
            command: change.command.as_ref().unwrap_or(&self.command).clone(),
            args: change.args.clone(),
            api_version: change.api_version.as_ref().or(self.api_version.as_ref()).cloned(),
            env: env::set(&self.env, &change.variables),
            interactive_mode: change.interactive_mode.as_ref().or(self.interactive_mode.as_ref()).cloned(),
            ..self.clone()
        }
    }
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
        Ok(Document { tree, users, entries, contexts, current_context: current.filter(|name| !name.is_empty()) })
    }

    /// The text as it was given to [`Document::parse`].
    pub fn text(&self) -> &str {
        &self.tree.text
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
        self.entry_node(user).map_or(0..0, |node| self.tree.start(node)..self.tree.end(node))
    }

    /// The file after `edits`, each naming a user by its index in
    /// [`Document::users`].
    ///
    /// The new text is read again and compared with what was meant: the edited
    /// members must say what was asked and all else what it said before. Where
    /// that fails, or a member is shared through an anchor, nothing is returned.
    pub fn edit(&self, edits: &[(usize, Edit)]) -> Result<EditedDocument> {
        let mut users = HashSet::new();
        let mut whole = Plan::default();
        let mut reaches = Vec::new();
        for (index, edit) in edits {
            if !users.insert(index) {
                return Err(DocumentError::new("one user was to be edited twice"));
            }
            let plan = self.plan(*index, edit)?;
            reaches.push(Reach::of(*index, self.entry(*index), &plan.splices));
            whole.extend(plan);
        }
        let text = self.tree.splice(whole.splices)?;
        let document = self.confirm(text, edits, whole.differences)?;
        Ok(EditedDocument { document, touched: self.touched(reaches) })
    }
}
