//! A context's user, as kubectl takes it: of two that define a name, the first file wins.

use crate::error::Error;
use crate::situation;
use crate::sys::own_name;

use super::Loaded;
use super::document::{Auth, Context, Exec, User};

/// The user of a context.
pub struct Found<'f> {
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
pub fn find<'f>(files: &'f [Loaded], name: &str, source: &str) -> Result<Found<'f>, Error> {
    let wrong = |what: String| Error::new(&situation::KUBECONFIG, what).from_source(source);
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
        Some(Found { context, file, index, user: &loaded.document.users()[index] })
    });
    found.ok_or_else(|| {
        wrong(format!("the context \"{name}\" names the user \"{}\", which no file defines", context.user))
            .remedy("fetch the cluster's kubeconfig again")
    })
}

/// The context that kubectl uses where none is named.
pub fn current(files: &[Loaded]) -> Option<&str> {
    files.iter().find_map(|loaded| loaded.document.current_context())
}

/// The names of all contexts, for messages.
pub fn names(files: &[Loaded]) -> String {
    contexts(files).map(|context| context.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn contexts(files: &[Loaded]) -> impl Iterator<Item = &Context> {
    files.iter().flat_map(|loaded| loaded.document.contexts())
}

/// Why an exec entry is none of ours, if it isn't.
pub fn foreign(exec: &Exec) -> Option<&'static str> {
    if own_name(&exec.command).is_none() {
        return Some("it runs another program");
    }
    // int128/kubelogin shares the name; its flags begin with --oidc.
    let others = exec.args.iter().any(|arg| arg.starts_with("--oidc-") || arg == "oidc-login");
    others.then_some("it belongs to int128/kubelogin, another program of the same name")
}

/// Why a user is none that signs in with Entra and us, or could after a conversion, if it isn't.
pub fn not_convertible(user: &User) -> Option<String> {
    match &user.auth {
        Auth::Exec(exec) => foreign(exec).map(String::from),
        Auth::Provider { name, .. } if name == "azure" => None,
        Auth::Provider { name, .. } => Some(format!("its auth-provider is {name}")),
        Auth::Both => Some("it has both exec and auth-provider, which kubectl refuses".into()),
        Auth::Neither => Some(without_entra(user).into()),
    }
}

fn without_entra(user: &User) -> &'static str {
    if user.has_client_certificate {
        "it signs in with a client certificate and not with Entra"
    } else if user.has_token {
        "it signs in with a fixed token and not with Entra"
    } else {
        "it has nothing to convert"
    }
}
