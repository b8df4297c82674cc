//! App Service and its family: Functions, Container Apps, Logic Apps, Automation.

use crate::error::{Error, ErrorKind};
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::http::{Request, TOKEN_GIVER, Transport};

use super::{
    Host, IDENTITY_ENDPOINT, IDENTITY_HEADER, IdKind, IdentityError, IdentityRequest, ManagedIdentitySource, endpoint,
    header, question, unknown,
};

/// The endpoint of one app.
pub(super) struct AppService {
    host: Host,
    header: Secret,
}

impl AppService {
    pub(super) fn from_env(env: &Env) -> Result<Self, Error> {
        let host = Host {
            name: "App Service",
            endpoint: endpoint(env, IDENTITY_ENDPOINT)?,
            named_by: Some(IDENTITY_ENDPOINT),
            parameters: &[
                (IdKind::Client, "client_id"),
                (IdKind::Object, "principal_id"),
                (IdKind::Resource, "mi_res_id"),
            ],
        };
        Ok(Self { host, header: header(env, IDENTITY_HEADER)? })
    }
}

impl ManagedIdentitySource for AppService {
    fn host(&self) -> &Host {
        &self.host
    }

    /// `Metadata` is what Automation wants, under the same variables.
    fn request(&self, wanted: &IdentityRequest) -> Request {
        Request::get(question(&self.host, "2019-08-01", wanted), &TOKEN_GIVER)
            .header("X-IDENTITY-HEADER", self.header.expose())
            .header("Metadata", "true")
            .over(Transport::Direct)
    }

    fn explain(&self, refusal: &IdentityError, wanted: &IdentityRequest) -> Option<Error> {
        match refusal.status {
            401 => Some(header_refused(self.host.name, IDENTITY_HEADER)),
            _ if knows_no_identity(refusal) => Some(unknown(wanted.selector.as_ref(), "app")),
            _ => None,
        }
    }
}

/// What both of its APIs say: `No User Assigned or Delegated Managed Identity found for specified
/// ClientId/ResourceId/PrincipalId.`, or `Unable to load requested managed identity.` (azure-cli #20196).
pub(super) fn knows_no_identity(refusal: &IdentityError) -> bool {
    matches!(refusal.status, 400 | 404) && refusal.says("managed identity")
}

/// The host gives a process its header at the start, and forgets it when it starts the next one.
pub(super) fn header_refused(host: &str, variable: &str) -> Error {
    Error::new(ErrorKind::HostRefused, format!("{host} does not accept the secret of this process"))
        .from_source(variable)
        .remedy("start the process anew: the secret changes when the host restarts it")
}

#[cfg(test)]
mod tests {
    use super::super::fake::{answer, ask, by, granted};
    use super::*;
    use crate::sys::http::Method;
    use crate::sys::http::fake::Recorded;

    const ENV: [(&str, &str); 2] =
        [(IDENTITY_ENDPOINT, "http://169.254.129.2:8081/msi/token"), (IDENTITY_HEADER, "HEADER")];

    #[test]
    fn the_request() {
        let outcome = ask(ENV, Some(by(IdKind::Resource)), vec![granted()]);
        assert_eq!(outcome.result.unwrap().access_token.expose(), "TOKEN");
        let expected = Recorded {
            method: Method::Get,
            url: "http://169.254.129.2:8081/msi/token?api-version=2019-08-01&resource=6dae42f8&mi_res_id=ID".into(),
            headers: vec![("X-IDENTITY-HEADER", "HEADER".into()), ("Metadata", "true".into())],
            body: String::new(),
            way: Transport::Direct,
        };
        assert_eq!(outcome.requests, [expected]);
    }

    #[test]
    fn refusals() {
        let unknown = r#"{"statusCode":400,"message":"No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.","correlationId":"x"}"#;
        let outcome = ask(ENV, Some(by(IdKind::Object)), vec![answer(400, unknown)]);
        assert!(outcome.is(ErrorKind::IdentityUnknown));
        assert!(outcome.error().starts_with("no identity with object ID ID is assigned to this app (--object-id);"));
        let unable = r#"{"statusCode":400,"message":"Unable to load requested managed identity."}"#;
        assert!(ask(ENV, None, vec![answer(400, unable)]).is(ErrorKind::IdentityUnknown));
        assert_eq!(
            ask(ENV, None, vec![answer(401, r#"{"statusCode":401,"message":"no"}"#)]).error(),
            "App Service does not accept the secret of this process (IDENTITY_HEADER); \
             start the process anew: the secret changes when the host restarts it"
        );
        let other = ask(ENV, None, vec![answer(400, r#"{"statusCode":400,"message":"Bad audience."}"#)]);
        assert!(other.error().starts_with("App Service gives no token: Bad audience (HTTP 400);"));
    }
}
