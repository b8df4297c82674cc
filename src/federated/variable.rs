//! A token in a variable. Systems that put it there do so once for a job, and it may end before the
//! job does.

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind};
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::Sys;

use super::{AssertionSource, DetectedSource, SourceRequest, identify_token, jwt};

/// The variables of build systems whose one purpose it is: HCP Terraform, Bitbucket, `CircleCI` in two
/// versions.
const KNOWN: [&str; 4] =
    ["TFC_WORKLOAD_IDENTITY_TOKEN", "BITBUCKET_STEP_OIDC_TOKEN", "CIRCLE_OIDC_TOKEN_V2", "CIRCLE_OIDC_TOKEN"];

pub(super) struct Variable {
    name: String,
    token: Secret,
}

/// The first of the known variables that is set.
#[expect(clippy::unnecessary_wraps, reason = "the signature of every source that is recognised")]
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let known = request.env.first(&KNOWN);
    Ok(known.map(|(name, token)| Variable::source(name, token)))
}

/// The variable `name`, which `named_by` names.
///
/// # Errors
/// It is not set.
pub(super) fn required(name: &str, env: &Env, named_by: &str) -> Result<Box<dyn AssertionSource>, Error> {
    env.get(name).map(|token| Variable::source(name, token)).ok_or_else(|| {
        Error::new(ErrorKind::OptionMissing, format!("the variable {name} is not set"))
            .from_source(named_by)
            .remedy(format!("set it to the federated token, or correct {named_by}"))
    })
}

impl Variable {
    pub(super) fn source(name: &str, token: &str) -> Box<dyn AssertionSource> {
        Box::new(Self { name: name.to_owned(), token: Secret::new(token) })
    }
}

impl AssertionSource for Variable {
    fn add_to_key(&self, key: &mut CacheKey) {
        identify_token(key, self.token.expose().trim());
    }

    fn fetch<'a>(&'a self, _: &'a Sys, _: Deadline) -> BoxFuture<'a, Secret> {
        let token = jwt(self.token.expose()).ok_or_else(|| {
            Error::new(ErrorKind::AssertionSource, format!("the variable {} holds no JWT", self.name))
                .remedy(format!("set {} to the federated token", self.name))
        });
        Box::pin(std::future::ready(token))
    }

    fn described(&self) -> String {
        format!("the variable {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, chosen, token};

    #[test]
    fn its_token_without_the_line_break() {
        let fetch = |text: &str| {
            let source = chosen("env:JWT", [("JWT", text)]);
            World::answering(Vec::new()).fetch(&*source)
        };
        assert_eq!(fetch(&format!("{}\n", token("s", "x"))), Ok(token("s", "x")));
        assert_eq!(fetch("canary").unwrap_err(), "the variable JWT holds no JWT; set JWT to the federated token");
    }
}
