//! Azure ML compute, which speaks App Service's API of 2017; as do apps that know no newer one.

use crate::error::Error;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::http::{Request, TOKEN_GIVER, Transport};

use super::{
    Host, IdKind, IdentityError, IdentityRequest, MSI_ENDPOINT, MSI_SECRET, ManagedIdentitySource, Selector,
    app_service, endpoint, header, question, unknown,
};

/// The identity of a compute instance, where nobody names another.
const DEFAULT_CLIENT_ID: &str = "DEFAULT_IDENTITY_CLIENT_ID";

/// The endpoint of one compute instance.
pub(super) struct AzureMl {
    host: Host,
    secret: Secret,
    default: Option<Selector>,
}

impl AzureMl {
    pub(super) fn from_env(env: &Env) -> Result<Self, Error> {
        Ok(Self {
            host: Host {
                name: "Azure ML",
                endpoint: endpoint(env, MSI_ENDPOINT)?,
                named_by: Some(MSI_ENDPOINT),
                parameters: &[(IdKind::Client, "clientid")],
            },
            secret: header(env, MSI_SECRET)?,
            default: env.get(DEFAULT_CLIENT_ID).map(|id| Selector {
                by: IdKind::Client,
                id: id.to_owned(),
                source: DEFAULT_CLIENT_ID.into(),
                from_env: true,
            }),
        })
    }
}

impl ManagedIdentitySource for AzureMl {
    fn host(&self) -> &Host {
        &self.host
    }

    fn request(&self, wanted: &IdentityRequest) -> Request {
        let mut url = question(&self.host, "2017-09-01", wanted);
        if let Some(default) = self.default.as_ref().filter(|_| wanted.selector.is_none()) {
            url.query_pairs_mut().append_pair("clientid", &default.id);
        }
        Request::get(url, &TOKEN_GIVER).header("secret", self.secret.expose()).over(Transport::Direct)
    }

    fn explain(&self, refusal: &IdentityError, wanted: &IdentityRequest) -> Option<Error> {
        let selector = wanted.selector.as_ref().or(self.default.as_ref());
        match refusal.status {
            401 => Some(app_service::header_refused(self.host.name, MSI_SECRET)),
            _ if app_service::knows_no_identity(refusal) => Some(unknown(selector, "compute")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{answer, ask, by};
    use super::*;
    use crate::sys::http::Method;
    use crate::sys::http::fake::Recorded;

    const ENDPOINT: (&str, &str) = (MSI_ENDPOINT, "http://127.0.0.1:46808/MSI/auth");
    const SECRET: (&str, &str) = (MSI_SECRET, "SECRET");
    const DEFAULT: (&str, &str) = (DEFAULT_CLIENT_ID, "DEFAULT");

    #[test]
    fn the_request() {
        let granted = || answer(200, r#"{"access_token":"TOKEN","expires_on":"01/15/2099 02:57:58 +00:00"}"#);
        let outcome = ask([ENDPOINT, SECRET, DEFAULT], Some(by(IdKind::Client)), vec![granted()]);
        assert_eq!(outcome.result.unwrap().access_token.expose(), "TOKEN");
        let expected = |query| Recorded {
            method: Method::Get,
            url: format!("http://127.0.0.1:46808/MSI/auth?api-version=2017-09-01&resource=6dae42f8{query}"),
            headers: vec![("secret", "SECRET".into())],
            body: String::new(),
            way: Transport::Direct,
        };
        assert_eq!(outcome.requests, [expected("&clientid=ID")]);
        assert_eq!(ask([ENDPOINT, SECRET], None, vec![granted()]).requests, [expected("")]);
        assert_eq!(ask([ENDPOINT, SECRET, DEFAULT], None, vec![granted()]).requests, [expected("&clientid=DEFAULT")]);
    }

    #[test]
    fn an_unknown_identity_is_the_one_that_was_asked_for() {
        let refused = || vec![answer(400, r#"{"message":"No User Assigned or Delegated Managed Identity found."}"#)];
        assert_eq!(
            ask([ENDPOINT, SECRET, DEFAULT], None, refused()).error(),
            "no identity with client ID DEFAULT is assigned to this compute (DEFAULT_IDENTITY_CLIENT_ID); \
             assign it to the compute, or correct DEFAULT_IDENTITY_CLIENT_ID"
        );
        assert!(ask([ENDPOINT, SECRET], None, refused()).error().starts_with("this compute has no system-assigned"));
        let named = ask([ENDPOINT, SECRET, DEFAULT], Some(by(IdKind::Client)), refused());
        assert!(named.error().starts_with("no identity with client ID ID is assigned to this compute (--client-id)"));
    }
}
