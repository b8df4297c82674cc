//! What a command asks for: by its own flags, or by the exec entry that a context leads to. The one way from
//! a command line to a [`Spec`].

use crate::error::{Error, listed};
use crate::exec_credential::ExecInfo;
use crate::login::Spec;
use crate::options::{CONTEXT, Inputs, KUBECONFIG, POP_CLAIMS, ParsedArgs, Values};
use crate::sys::Sys;

use super::context_entry::ContextEntry;

/// A request, and the options as they count.
pub(super) struct FlagRequest {
    pub(super) spec: Spec,
    pub(super) values: Values,
}

impl FlagRequest {
    /// What the flags `given` ask for, in a call that `exec` describes; at `-v 1` it is said what counts.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub(super) fn of_flags(sys: &Sys, given: &ParsedArgs, exec: &ExecInfo) -> Result<Self, Error> {
        let values = Values::resolve(given, &sys.env);
        explain(sys, &values);
        let spec = Spec::parse(&Inputs { given, values: &values, env: &sys.env, exec, audience: None })?;
        Ok(Self { spec, values })
    }
}

/// The request of a context's entry.
pub(super) struct ContextRequest {
    /// The context's name.
    pub(super) context: String,
    /// The world as kubectl would show it to the entry's program.
    pub(super) sys: Sys,
    pub(super) request: FlagRequest,
}

impl ContextRequest {
    /// What the entry of the context that `values` name asks for, under the flags `given`, which go before its
    /// own.
    ///
    /// # Errors
    /// No such context, a user who does not sign in by an entry of ours, or what is wrong in it.
    pub(super) fn find(sys: &Sys, given: &ParsedArgs, values: &Values) -> Result<Self, Error> {
        let entry = ContextEntry::find(sys, values)?;
        sys.terminal.detail(1, || format!("the context is \"{}\"", crate::error::one_line(&entry.context)));
        let sys = sys.for_exec_entry(&entry.variables);
        let given = given.without(&CONTEXT.decl).without(&KUBECONFIG.decl).over(&entry.given);
        let request = FlagRequest::of_flags(&sys, &given, &entry.exec)?;
        Ok(Self { context: entry.context, sys, request })
    }
}

/// Says at `-v 1` what was given, and by whom.
fn explain(sys: &Sys, values: &Values) {
    sys.terminal.detail(1, || {
        let ignored = values.get(&POP_CLAIMS).ok().flatten().map(|claims| claims.ignored).unwrap_or_default();
        let ignored = (!ignored.is_empty())
            .then(|| format!("{}: {} not sent, no cluster reads it", POP_CLAIMS.decl.flag(), listed(ignored)));
        let lines = values.explain().chain(ignored).chain(std::iter::once(values.precedence()));
        lines.collect::<Vec<_>>().join("\n")
    });
}
