//! `get-token`: kubectl's exec plugin.

use crate::error::{Error, listed};
use crate::exec_credential::ExecInfo;
use crate::login::Spec;
use crate::obtain;
use crate::options::{Inputs, POP_CLAIMS, ParsedArgs, Values};
use crate::sys::Sys;

use crate::outcome::Outcome;

/// One `ExecCredential` for stdout.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    let exec = ExecInfo::from_env(&sys.env)?;
    let values = Values::resolve(given, &sys.env);
    explain(sys, &values);
    let choices = Inputs { given, values: &values, env: &sys.env, exec: &exec };
    let spec = Spec::parse(&choices)?;
    let token = obtain::token(sys, &spec)?;
    Ok(exec.respond(&token).into())
}

/// Says at `-v 1` what was given, and by whom.
pub(super) fn explain(sys: &Sys, values: &Values) {
    sys.terminal.detail(1, || {
        let ignored = values.get(&POP_CLAIMS).ok().flatten().map(|claims| claims.ignored).unwrap_or_default();
        let ignored = (!ignored.is_empty())
            .then(|| format!("{}: {} not sent, no cluster reads it", POP_CLAIMS.decl.flag(), listed(ignored)));
        let lines = values.explain().chain(ignored).chain(std::iter::once(values.precedence()));
        lines.collect::<Vec<_>>().join("\n")
    });
}
