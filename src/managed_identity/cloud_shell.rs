//! Cloud Shell, which gives tokens of the person who is signed in there.

use crate::error::{Error, ErrorKind};
use crate::os::env::Env;
use crate::sys::http::{Request, TOKEN_GIVER, Transport};

use super::{Host, IdentityError, IdentityRequest, MSI_ENDPOINT, ManagedIdentitySource, endpoint};

/// The endpoint of one shell.
pub(super) struct CloudShell(Host);

impl CloudShell {
    pub(super) fn from_env(env: &Env) -> Result<Self, Error> {
        let endpoint = endpoint(env, MSI_ENDPOINT)?;
        Ok(Self(Host { name: "Cloud Shell", endpoint, named_by: Some(MSI_ENDPOINT), parameters: &[] }))
    }
}

impl ManagedIdentitySource for CloudShell {
    fn host(&self) -> &Host {
        &self.0
    }

    fn request(&self, wanted: &IdentityRequest) -> Request {
        Request::form(self.0.endpoint.clone(), &[("resource", &wanted.resource)], &TOKEN_GIVER)
            .header("Metadata", "true")
            .over(Transport::Direct)
    }

    /// It gives tokens for a list of audiences (Cloud Shell documentation, "Acquire a user token").
    fn explain(&self, refusal: &IdentityError, wanted: &IdentityRequest) -> Option<Error> {
        let unsupported = refusal.says("audiencenotsupported") || refusal.says("supported msi token audience");
        unsupported.then(|| {
            let what = format!("Cloud Shell gives no tokens for the audience {}", wanted.resource);
            Error::new(ErrorKind::HostRefused, what)
                .remedy("sign in in another way (az login, then -l azurecli; or -l devicecode)")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{answer, ask, granted};
    use super::*;
    use crate::sys::http::Method;
    use crate::sys::http::fake::Recorded;

    const ENV: [(&str, &str); 1] = [(MSI_ENDPOINT, "http://localhost:50342/oauth2/token")];

    #[test]
    fn the_request() {
        let outcome = ask(ENV, None, vec![granted()]);
        assert_eq!(outcome.result.unwrap().access_token.expose(), "TOKEN");
        let expected = Recorded {
            method: Method::Post,
            url: "http://localhost:50342/oauth2/token".into(),
            headers: vec![("Content-Type", "application/x-www-form-urlencoded".into()), ("Metadata", "true".into())],
            body: "resource=6dae42f8".into(),
            way: Transport::Direct,
        };
        assert_eq!(outcome.requests, [expected]);
    }

    #[test]
    fn an_audience_that_is_not_on_its_list() {
        let body = r#"{"error":{"code":"AudienceNotSupported","message":"Audience x isn't a supported MSI token audience...."}}"#;
        assert_eq!(
            ask(ENV, None, vec![answer(400, body)]).error(),
            "Cloud Shell gives no tokens for the audience 6dae42f8; \
             sign in in another way (az login, then -l azurecli; or -l devicecode)"
        );
    }
}
