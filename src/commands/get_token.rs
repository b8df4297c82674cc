//! `get-token`: kubectl's exec plugin.

use crate::error::Error;
use crate::exec_credential::ExecInfo;
use crate::obtain;
use crate::options::ParsedArgs;
use crate::outcome::Outcome;
use crate::sys::Sys;

use super::request::FlagRequest;

/// One `ExecCredential` for stdout.
pub(super) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    let exec = ExecInfo::from_env(&sys.env)?;
    let request = FlagRequest::of_flags(sys, given, &exec)?;
    let token = obtain::token(sys, &request.spec)?;
    Ok(exec.respond(&token.access_token, token.expires_on).into())
}
