//! The exec entry that a context leads to, read as the command line that kubectl would run.

use crate::convert::skip_reason::not_convertible;
use crate::error::{Error, ErrorKind};
use crate::exec_credential::{Cluster, ExecInfo};
use crate::kubeconfig::context::{self, ContextIndex, ContextUser};
use crate::kubeconfig::document::{Auth, Exec, Variable};
use crate::kubeconfig::{self, KubeconfigFile};
use crate::options::{CONTEXT, KUBECONFIG, OptionSet, ParsedArgs, Values, args};
use crate::os::env::Env;
use crate::shell;
use crate::sys::Sys;

/// An exec entry of ours.
pub(super) struct ContextEntry {
    /// The context that led to it.
    pub(super) context: String,
    /// Its command line.
    pub(super) given: ParsedArgs,
    /// What it sets in the environment.
    pub(super) variables: Vec<Variable>,
    /// What kubectl would tell its program.
    pub(super) exec: ExecInfo,
}

impl ContextEntry {
    /// The entry of the context that `values` name, else of the current one.
    ///
    /// # Errors
    /// No such context, and a user who does not sign in by an entry of ours.
    pub(super) fn find(sys: &Sys, values: &Values) -> Result<Self, Error> {
        let path = values.get(&KUBECONFIG)?.map(|path| path.0);
        let files = kubeconfig::load(sys, path.as_deref())?;
        let (name, source) = match values.get(&CONTEXT)? {
            Some(name) => (name, CONTEXT.decl.flag()),
            None => (current(&files, &sys.env)?, "current-context".into()),
        };
        let found = context::find(&files, &name, &source)?;
        let exec = exec_of(sys, values, &files, &found)?;
        let given = command_line(exec).map_err(|error| error.also(&format!("the context is \"{name}\"")))?;
        let exec_info = ExecInfo::of_entry(exec.provide_cluster_info.then(|| cluster(&files, &found)).flatten());
        Ok(Self { context: name, given, variables: exec.env.clone(), exec: exec_info })
    }
}

fn current(files: &[KubeconfigFile], env: &Env) -> Result<String, Error> {
    if files.is_empty() {
        return Err(Error::new(ErrorKind::Kubeconfig, "there is no kubeconfig")
            .from_source(kubeconfig::looked_for(env))
            .remedy("name one with --kubeconfig, or say what to sign in for as get-token is told"));
    }
    context::current(files).map(String::from).ok_or_else(|| {
        let known = context::names(files);
        let known = if known.is_empty() { "there are none".into() } else { format!("the contexts are {known}") };
        Error::new(ErrorKind::Kubeconfig, "the kubeconfig has no current-context")
            .remedy(format!("name a context with --context; {known}"))
    })
}

fn exec_of<'f>(
    sys: &Sys,
    values: &Values,
    files: &[KubeconfigFile],
    found: &ContextUser<'f>,
) -> Result<&'f Exec, Error> {
    let (user, context) = (found.user, &found.context.name);
    let wrong = |why: &str| {
        Error::new(
            ErrorKind::Kubeconfig,
            format!("the user \"{}\" does not sign in with this program: {why}", user.name),
        )
        .from_source(format!("context \"{context}\""))
    };
    if let Some(foreign) = not_convertible(user, &ContextIndex::new(files)) {
        return Err(wrong(&foreign.why).remedy(format!("name another context, or {}", foreign.remedy())));
    }
    match &user.auth {
        Auth::Exec(exec) => Ok(exec),
        _ => Err(wrong("it has a legacy auth-provider, which kubectl no longer knows")
            .remedy(format!("convert it first: `{}`", conversion(sys, values, context)))),
    }
}

/// The command that converts the user of `context`.
fn conversion(sys: &Sys, values: &Values, context: &str) -> String {
    let file = values.get(&KUBECONFIG).ok().flatten().map(|path| path.0.display().to_string());
    let file = file.map(|path| format!(" {} {}", KUBECONFIG.decl.flag(), shell::word(&path)));
    let context = shell::word(context);
    format!("{} convert-kubeconfig {} {context}{}", sys.called_as(), CONTEXT.decl.flag(), file.unwrap_or_default())
}

/// What `get-token` would be given.
fn command_line(exec: &Exec) -> Result<ParsedArgs, Error> {
    let given = args::read(&exec.args, OptionSet::TOKEN)?;
    match given.positionals.first().map(String::as_str) {
        Some("get-token") => Ok(given),
        _ => Err(Error::new(ErrorKind::Kubeconfig, "the exec entry does not run get-token")
            .remedy("convert it with convert-kubeconfig")),
    }
}

fn cluster(files: &[KubeconfigFile], found: &ContextUser) -> Option<Cluster> {
    let server = files.iter().find_map(|file| file.document.server_of(&found.context.cluster))?;
    Some(Cluster { server: server.to_owned(), config: serde_json::Value::Null })
}
