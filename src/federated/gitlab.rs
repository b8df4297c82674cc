//! GitLab CI: the keyword `id_tokens` puts a token into a variable whose name the job chooses, so it
//! is recognised by what it says. (docs.gitlab.com, `OpenID` Connect authentication using ID tokens)

use crate::options::Inputs;

use super::variable::Variable;
use super::{AssertionClaims, DetectedSource, audience};

/// The first variable, by name, with a token of this GitLab for the audience that is wanted. All
/// tokens of a job have the same subject, so it does not matter which of several it is.
pub(super) fn found(choices: &Inputs) -> DetectedSource {
    let Some(instance) = choices.env.get("GITLAB_CI").and(choices.env.get("CI_SERVER_URL")) else { return Ok(None) };
    let audience = audience(choices)?;
    let is_wanted = |claims: AssertionClaims| {
        let issuer = claims.issuer.unwrap_or_default();
        issuer.trim_end_matches('/') == instance.trim_end_matches('/') && claims.audiences.contains(&audience)
    };
    let wanted = choices.env.all().filter(|(_, text)| AssertionClaims::of(text.trim()).is_some_and(is_wanted));
    Ok(wanted.min().map(|(name, token)| Variable::source(name, token)))
}
