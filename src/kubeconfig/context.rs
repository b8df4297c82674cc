//! A context's user, as kubectl takes it: of two that define a name, the first file wins.

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

use crate::error::{Error, ErrorKind};

use super::KubeconfigFile;
use super::document::{Context, User};

/// The user of a context.
pub(crate) struct ContextUser<'f> {
    /// The context.
    pub context: &'f Context,
    /// In which file the user stands, as an index.
    pub file: usize,
    /// Which user of that file it is, as an index.
    pub index: usize,
    /// The user.
    pub user: &'f User,
}

/// The user of the context `name`, which `source` has named.
///
/// # Errors
/// A context that no file defines, that names no user, or one that no file defines.
pub(crate) fn find<'f>(files: &'f [KubeconfigFile], name: &str, source: &str) -> Result<ContextUser<'f>, Error> {
    let wrong = |what: String| Error::new(ErrorKind::Kubeconfig, what).from_source(source);
    let context = contexts(files).find(|context| context.name == name).ok_or_else(|| {
        let known = names(files);
        wrong(format!("no context exists with the name: \"{name}\"")).remedy(if known.is_empty() {
            "there are no contexts".into()
        } else {
            format!("the contexts are {known}")
        })
    })?;
    if context.user.is_empty() {
        return Err(wrong(format!("the context \"{name}\" names no user")).remedy("name another context"));
    }
    let found = files.iter().enumerate().find_map(|(file, loaded)| {
        let index = loaded.document.users().iter().position(|user| user.name == context.user)?;
        Some(ContextUser { context, file, index, user: &loaded.document.users()[index] })
    });
    found.ok_or_else(|| {
        wrong(format!("the context \"{name}\" names the user \"{}\", which no file defines", context.user))
            .remedy("fetch the cluster's kubeconfig again")
    })
}

/// Which contexts lead to which users.
pub(crate) struct ContextIndex<'f> {
    files: &'f [KubeconfigFile],
    of_user: HashMap<&'f str, Vec<&'f Context>>,
    /// The servers by cluster, once one was asked for.
    servers: OnceCell<HashMap<&'f str, &'f str>>,
}

impl<'f> ContextIndex<'f> {
    /// Those of `files`; of two contexts that share a name, the first counts.
    pub(crate) fn new(files: &'f [KubeconfigFile]) -> Self {
        let mut of_user: HashMap<&str, Vec<&Context>> = HashMap::new();
        let mut known = HashSet::new();
        for context in contexts(files) {
            if known.insert(context.name.as_str()) {
                of_user.entry(&context.user).or_default().push(context);
            }
        }
        Self { files, of_user, servers: OnceCell::new() }
    }

    /// The names of the contexts that lead to `user`, in file order.
    pub(crate) fn names(&self, user: &User) -> Vec<String> {
        self.to(user).iter().map(|context| context.name.clone()).collect()
    }

    /// The contexts that lead to `user`, in file order.
    pub(crate) fn to(&self, user: &User) -> &[&'f Context] {
        self.of_user.get(user.name.as_str()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The address of the API server of `context`, if a file has it.
    pub(crate) fn server_of(&self, context: &Context) -> Option<&'f str> {
        let servers = self.servers.get_or_init(|| {
            // The first file that defines a cluster counts: what is inserted last stays.
            let last_first = self.files.iter().rev();
            last_first.flat_map(|file| file.document.servers().collect::<Vec<_>>().into_iter().rev()).collect()
        });
        servers.get(context.cluster.as_str()).copied()
    }
}

/// The context that kubectl uses where none is named.
pub(crate) fn current(files: &[KubeconfigFile]) -> Option<&str> {
    files.iter().find_map(|loaded| loaded.document.current_context())
}

/// The names of all contexts, for messages.
pub(crate) fn names(files: &[KubeconfigFile]) -> String {
    contexts(files).map(|context| context.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn contexts(files: &[KubeconfigFile]) -> impl Iterator<Item = &Context> {
    files.iter().flat_map(|loaded| loaded.document.contexts())
}
