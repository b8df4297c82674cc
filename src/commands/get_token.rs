//! `get-token`: kubectl's exec plugin.

use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::login::Spec;
use crate::obtain;
use crate::options::{Choices, Given, Values};
use crate::secret::Secret;
use crate::sys::Sys;

/// One `ExecCredential` for stdout.
pub(super) fn run(sys: &Sys, given: &Given) -> Result<Secret, Error> {
    let exec = ExecInfo::from_env(&sys.env)?;
    let values = Values::resolve(given, &sys.env);
    explain(sys, &values);
    let spec = Spec::parse(&Choices { given, values: &values, env: &sys.env, exec: &exec })?;
    let token = obtain::token(sys, &spec)?;
    Ok(exec.respond(&token))
}

fn explain(sys: &Sys, values: &Values) {
    sys.terminal.detail(1, || {
        let lines = values.explain().chain(std::iter::once(values.precedence()));
        lines.collect::<Vec<_>>().join("\n")
    });
}
