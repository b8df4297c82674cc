//! GitLab CI: the keyword `id_tokens` puts a token into a variable whose name the job chooses, so it
//! is recognised by what it says. (docs.gitlab.com, `OpenID` Connect authentication using ID tokens)

use super::variable::Variable;
use super::{AssertionClaims, DetectedSource, SourceRequest};

/// The first variable, by name, with a token of this GitLab for the audience that is wanted. All
/// tokens of a job have the same subject, so it does not matter which of several it is.
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let Some(instance) = request.env.get("GITLAB_CI").and(request.env.get("CI_SERVER_URL")) else { return Ok(None) };
    let audience = (request.audience)()?;
    let is_wanted = |claims: AssertionClaims| {
        let issuer = claims.issuer.unwrap_or_default();
        issuer.trim_end_matches('/') == instance.trim_end_matches('/') && claims.audiences.contains(&audience)
    };
    let wanted = request.env.all().filter(|(_, text)| AssertionClaims::of(text.trim()).is_some_and(is_wanted));
    Ok(wanted.min().map(|(name, token)| Variable::source(name, token)))
}
