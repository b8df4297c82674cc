//! Azure Pipelines gives a job tokens for a service connection (Azure DevOps REST, distributedtask,
//! oidctoken, create 7.1).

use ::url::Url;

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind};
use crate::net;
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::sys::http::{Request, Response, TOKEN_GIVER};

use super::github::request_url;
use super::{AssertionSource, DetectedSource, SourceRequest, refused, token_answered};

const URI: &str = "SYSTEM_OIDCREQUESTURI";
const TOKEN: &str = "SYSTEM_ACCESSTOKEN";
/// The option that names the service connection, for messages.
const CONNECTION_FLAG: &str = "--azure-pipelines-service-connection-id";

/// Azure Pipelines hands the job's token to no step that does not ask for it.
fn mapping(variable: &str) -> String {
    format!("map the job's token into the step, `env: {variable}: $(System.AccessToken)`")
}

/// What a job lacks that has not been recognised.
pub(super) fn lacking(env: &Env) -> String {
    if env.get(TOKEN).is_none() {
        return mapping(TOKEN);
    }
    format!("give {CONNECTION_FLAG}")
}

pub(super) struct AzurePipelines {
    uri: Url,
    /// The variable with the address.
    uri_named_by: &'static str,
    /// A step that has none can still be served what an earlier step has left in the cache.
    token: Option<Secret>,
    /// The variable with the token.
    token_named_by: &'static str,
    connection: String,
    /// The flag or variable that names the connection.
    connection_named_by: String,
}

/// Whether this is a job that has been given its token.
pub(crate) fn is_pipelines_job(env: &Env) -> bool {
    env.get(URI).is_some() && env.get(TOKEN).is_some()
}

/// Azure Pipelines, where the job has its token and names a service connection.
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let Some(connection) = &request.service_connection else { return Ok(None) };
    is_pipelines_job(request.env).then(|| required(request.env, Some(connection))).transpose()
}

/// Azure Pipelines, which somebody has named. The job's token may be missing until it is needed. The
/// `connection` comes after what named it.
///
/// # Errors
/// What is missing, in the words of Azure/kubelogin and in its order: the job's token comes first.
pub(crate) fn required(env: &Env, connection: Option<&(String, String)>) -> Result<Box<dyn AssertionSource>, Error> {
    complete(env, connection).map_err(|error| access_token(env).err().unwrap_or(error))
}

fn complete(env: &Env, connection: Option<&(String, String)>) -> Result<Box<dyn AssertionSource>, Error> {
    let (named_by, connection) = connection.ok_or_else(no_connection)?;
    let uri = env.get(URI).ok_or_else(no_uri)?;
    Ok(Box::new(AzurePipelines::new((URI, uri), (TOKEN, env.get(TOKEN)), (named_by, connection))?))
}

fn no_connection() -> Error {
    let missing = "failed to create azure pipelines credential: no service connection ID specified";
    let variable = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";
    Error::new(ErrorKind::OptionMissing, missing)
        .remedy(format!("give {CONNECTION_FLAG}; AzureCLI@2 and AzurePowerShell@5 set {variable}"))
}

fn no_uri() -> Error {
    let missing = "failed to create azure pipelines credential: no value for environment variable SYSTEM_OIDCREQUESTURI. \
        This should be set by Azure Pipelines";
    Error::new(ErrorKind::OptionMissing, missing).remedy("run this in a job of Azure Pipelines")
}

/// The job's token.
///
/// # Errors
/// It is not set.
pub(crate) fn access_token(env: &Env) -> Result<&str, Error> {
    env.get(TOKEN).ok_or_else(|| no_token(TOKEN))
}

fn no_token(variable: &str) -> Error {
    Error::new(ErrorKind::OptionMissing, format!("{variable} environment variable not set")).remedy(mapping(variable))
}

impl AzurePipelines {
    /// Each value comes with what named it.
    ///
    /// # Errors
    /// An address that can't be used.
    pub(super) fn new(
        uri: (&'static str, &str),
        token: (&'static str, Option<&str>),
        connection: (&str, &str),
    ) -> Result<Self, Error> {
        Ok(Self {
            uri: request_url(uri.0, uri.1)?,
            uri_named_by: uri.0,
            token: token.1.map(Secret::new),
            token_named_by: token.0,
            connection: connection.1.to_owned(),
            connection_named_by: connection.0.to_owned(),
        })
    }

    /// The headers are those of Microsoft's own libraries: `Suppress` has a bad token answered with
    /// 401 and not with the way to a sign-in page.
    fn request(&self) -> Result<Request, Error> {
        let token = self.token.as_ref().ok_or_else(|| no_token(self.token_named_by))?;
        let mut url = self.uri.clone();
        url.query_pairs_mut().append_pair("api-version", "7.1").append_pair("serviceConnectionId", &self.connection);
        Ok(Request::post(url, &TOKEN_GIVER)
            .header("Authorization", format!("Bearer {}", token.expose()))
            .header("Content-Type", "application/json")
            .header("Content-Length", "0")
            .header("X-TFS-FedAuthRedirect", "Suppress"))
    }

    fn read(&self, answer: Result<Response, Error>) -> Result<Secret, Error> {
        let response = match answer {
            Err(error) if error.kind() == ErrorKind::Redirected => return Err(self.token_is_bad()),
            answer => answer?,
        };
        let is_a_page = response.content_type.as_deref().is_some_and(|kind| kind.starts_with("text/html"));
        let outcome = match response.status {
            200 if !is_a_page => {
                token_answered("Azure Pipelines", &response).map_err(|error| error.from_source(self.uri_named_by))
            }
            200 | 203 | 401 | 403 => Err(self.token_is_bad()),
            400 | 404 => Err(self.connection_is_unknown(&response)),
            _ => Err(refused("Azure Pipelines", &response).from_source(self.uri_named_by)),
        };
        outcome.map_err(|error| match &response.trace {
            Some(id) => error.detail(format!("Azure Pipelines knows the request as {}", super::excerpt(id))),
            None => error,
        })
    }

    fn token_is_bad(&self) -> Error {
        let what = format!("Azure Pipelines does not accept {}: it is not valid, or not mapped", self.token_named_by);
        Error::new(ErrorKind::AssertionSource, what).remedy(mapping(self.token_named_by))
    }

    fn connection_is_unknown(&self, response: &Response) -> Error {
        let named_by = &self.connection_named_by;
        refused(&format!("Azure Pipelines gives no token for the service connection {}:", self.connection), response)
            .from_source(named_by)
            .remedy(format!("correct {named_by}, and let this pipeline use the connection"))
    }
}

impl AssertionSource for AzurePipelines {
    fn add_to_key(&self, key: &mut CacheKey) {
        key.field("request-url", self.uri.as_str());
        key.field("service-connection", &self.connection);
    }

    fn fetch<'a>(&'a self, sys: &'a Sys, deadline: Deadline) -> BoxFuture<'a, Secret> {
        Box::pin(async move {
            let request = self.request()?;
            self.read(net::send(sys, &request, &net::TOKEN_ENDPOINT, deadline).await)
        })
    }

    fn described(&self) -> String {
        format!("the service connection {} of Azure Pipelines ({})", self.connection, self.connection_named_by)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, answer, choose, chosen_with, named, source, token, with_request};
    use super::*;

    const JOB: [(&str, &str); 2] = [(URI, "https://ado.example/org/oidctoken"), (TOKEN, "at")];

    fn fetched(answer: Result<Response, Error>) -> (World, Result<String, String>) {
        let world = World::answering(vec![answer]);
        let connection = Some((CONNECTION_FLAG.into(), "SC&x".into()));
        let token = world.fetch(&*chosen_with(JOB, |request| request.service_connection = connection));
        (world, token)
    }

    #[test]
    fn the_request() {
        let (world, given) = fetched(answer(200, &format!(r#"{{"oidcToken":"{}"}}"#, token("s", "x"))));
        assert_eq!(given, Ok(token("s", "x")));
        assert_eq!(
            world.requests(),
            ["Post https://ado.example/org/oidctoken?api-version=7.1&serviceConnectionId=SC%26x \
              | Authorization: Bearer at | Content-Type: application/json | Content-Length: 0 \
              | X-TFS-FedAuthRedirect: Suppress"]
        );
        assert_eq!(world.forms(), [""]);
    }

    #[test]
    fn a_bad_token_in_all_its_forms() {
        let page = |status| {
            let content_type = Some("text/html; charset=utf-8".into());
            Ok(Response { status, content_type, body: "<html>canary".into(), ..Response::default() })
        };
        let redirect = Ok(Response {
            status: 302,
            location: Some("https://spsprodweu.example/_signin".into()),
            ..Response::default()
        });
        for bad in [page(203), page(200), answer(401, ""), answer(403, ""), redirect] {
            assert_eq!(
                fetched(bad).1.unwrap_err(),
                "Azure Pipelines does not accept SYSTEM_ACCESSTOKEN: it is not valid, or not mapped; \
                 map the job's token into the step, `env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)`"
            );
        }
    }

    #[test]
    fn a_connection_that_is_not_there() {
        for status in [400, 404] {
            assert_eq!(
                fetched(answer(status, "canary")).1.unwrap_err(),
                format!(
                    "Azure Pipelines gives no token for the service connection SC&x: answered HTTP {status} \
                    (--azure-pipelines-service-connection-id); correct --azure-pipelines-service-connection-id, \
                    and let this pipeline use the connection"
                )
            );
        }
    }

    #[test]
    fn what_its_support_asks_for_is_kept_for_the_curious() {
        let traced = Response {
            status: 404,
            trace: Some("e2e".into()),
            body: br#"{"message":"no"}"#.into(),
            ..Response::default()
        };
        let pipelines = AzurePipelines::new((URI, "https://x/"), (TOKEN, Some("at")), ("-x", "SC")).unwrap();
        let error = pipelines.read(Ok(traced)).unwrap_err();
        assert_eq!(error.details(), [r#"it says: {"message":"no"}"#, "Azure Pipelines knows the request as e2e"]);
    }

    #[test]
    fn what_is_missing() {
        let complete = |request: &mut SourceRequest| {
            request.named = named("azure-pipelines");
            request.service_connection = Some((CONNECTION_FLAG.into(), "SC".into()));
        };
        let token = source("azure-pipelines", []).err().unwrap();
        assert!(token.starts_with("SYSTEM_ACCESSTOKEN environment variable not set; map the job's"), "{token}");
        let late = chosen_with([JOB[0]], complete);
        assert_eq!(World::answering(Vec::new()).fetch(&*late).unwrap_err(), token);
        let connection = source("azure-pipelines", JOB).err().unwrap();
        assert_eq!(
            connection,
            "failed to create azure pipelines credential: no service connection ID specified; \
             give --azure-pipelines-service-connection-id; AzureCLI@2 and AzurePowerShell@5 set AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"
        );
        let uri = with_request([JOB[1]], complete, choose).err().unwrap();
        assert_eq!(
            uri,
            "failed to create azure pipelines credential: no value for environment variable SYSTEM_OIDCREQUESTURI. \
             This should be set by Azure Pipelines; run this in a job of Azure Pipelines"
        );
    }
}
