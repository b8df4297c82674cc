//! Managed identity: who hands out tokens on this machine, and how each of them wants to be asked.
//! A host is one file and one line in [`detect`].
//!
//! What is said of hosts follows Microsoft's documentation of each and the agreement of its SDKs
//! (azidentity, azure-identity, MSAL); none of it was tried on the real ones.

mod app_service;
mod arc;
mod azure_ml;
mod cloud_shell;
pub(crate) mod imds;
mod response;
mod service_fabric;

use std::path::Path;
use std::time::Duration;

use url::Url;

pub(crate) use response::IdentityError;

use crate::cache_key::CacheKey;
use crate::entra::{Session, Token};
use crate::error::{Error, ErrorKind};
use crate::net::trust;
use crate::net::{self, Retry};
use crate::os::BoxFuture;
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::http::{Request, Response, Transport};

use response::IdentityResponse;

const IDENTITY_ENDPOINT: &str = "IDENTITY_ENDPOINT";
const IDENTITY_HEADER: &str = "IDENTITY_HEADER";
const IDENTITY_SERVER_THUMBPRINT: &str = "IDENTITY_SERVER_THUMBPRINT";
const IMDS_ENDPOINT: &str = "IMDS_ENDPOINT";
const MSI_ENDPOINT: &str = "MSI_ENDPOINT";
const MSI_SECRET: &str = "MSI_SECRET";

/// The host that `env` speaks of, in the order on which Microsoft's SDKs agree. Nothing is asked:
/// where nothing else is said it is IMDS.
///
/// # Errors
/// Variables of a host that make no sense.
pub(crate) fn detect(env: &Env) -> Result<Box<dyn ManagedIdentitySource>, Error> {
    let set = |name: &str| env.get(name).is_some();
    if set(IDENTITY_ENDPOINT) && set(IDENTITY_HEADER) && set(IDENTITY_SERVER_THUMBPRINT) {
        Ok(Box::new(service_fabric::ServiceFabric::from_env(env)?))
    } else if set(IDENTITY_ENDPOINT) && set(IDENTITY_HEADER) {
        Ok(Box::new(app_service::AppService::from_env(env)?))
    } else if set(IDENTITY_ENDPOINT) && set(IMDS_ENDPOINT) {
        Ok(Box::new(arc::Arc::from_env(env)?))
    } else if set(MSI_ENDPOINT) && set(MSI_SECRET) {
        Ok(Box::new(azure_ml::AzureMl::from_env(env)?))
    } else if set(MSI_ENDPOINT) {
        Ok(Box::new(cloud_shell::CloudShell::from_env(env)?))
    } else if arc::is_installed(env) {
        Ok(Box::new(arc::Arc::installed(env)?))
    } else {
        Ok(Box::new(imds::Imds::from_env(env)?))
    }
}

/// Who hands out the tokens.
pub(crate) struct Host {
    /// How messages call it.
    pub name: &'static str,
    /// Where it is asked.
    pub endpoint: Url,
    /// The variable that says where it is asked, if one does.
    named_by: Option<&'static str>,
    /// Under which names it is told which identity is meant; by what is not among them it can't be told so.
    parameters: &'static [(IdKind, &'static str)],
}

/// The names of IMDS, which the agent of Azure Arc has taken over.
const OF_IMDS: &[(IdKind, &str)] =
    &[(IdKind::Client, "client_id"), (IdKind::Object, "object_id"), (IdKind::Resource, "msi_res_id")];

impl Host {
    fn parameter(&self, by: IdKind) -> Option<&'static str> {
        self.parameters.iter().find(|(known, _)| *known == by).map(|(_, name)| *name)
    }
}

/// What hands out the tokens of managed identities.
pub(crate) trait ManagedIdentitySource {
    /// Who it is, and where.
    fn host(&self) -> &Host;

    /// The request for `wanted`.
    fn request(&self, wanted: &IdentityRequest) -> Request;

    /// Whether the environment itself says that it is there.
    fn is_certain(&self) -> bool {
        true
    }

    /// When it is asked again.
    fn retry(&self) -> &'static Retry {
        &RETRY
    }

    /// How long it may take.
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// What a refusal of its own kind means.
    fn explain(&self, refusal: &IdentityError, wanted: &IdentityRequest) -> Option<Error>;

    /// That nothing answers there.
    fn absent(&self) -> Error {
        let Host { name, endpoint, named_by, .. } = self.host();
        let what = format!("{name} does not answer at {}", net::host(endpoint));
        let error = Error::new(ErrorKind::NoIdentityHost, what);
        match named_by {
            None => error.remedy(ELSEWHERE),
            Some(variable) => {
                error.from_source(variable).remedy(format!("correct or unset {variable}, or {ELSEWHERE}"))
            }
        }
    }

    /// Asks for the token.
    fn token<'a>(&'a self, session: &'a Session<'a>, wanted: &'a IdentityRequest) -> BoxFuture<'a, Token> {
        Box::pin(async move {
            let asked_on = session.sys.clock.now();
            let response = ask(self, session, &self.request(wanted)).await?;
            accept(self, &response, wanted)?.token(self.host().name, asked_on)
        })
    }

    /// Writes everything that tells this question from another into `key`: the whole request, the
    /// host's secret included.
    fn add_to_key(&self, wanted: &IdentityRequest, key: &mut CacheKey) {
        let request = self.request(wanted);
        key.field("host", self.host().name);
        key.field("url", request.url.as_str());
        key.bytes("body", &request.body);
        for (name, value) in &request.headers {
            key.field(name, value.expose());
        }
        if let Transport::Pinned { sha1, .. } = &request.transport {
            key.bytes("thumbprint", sha1);
        }
    }
}

/// The rule of hosts that say nothing else: 429 and 5xx are given three more chances.
const RETRY: Retry = Retry { busy_is_an_error: false, ..net::TOKEN_ENDPOINT };

/// What to do where there is no managed identity.
const ELSEWHERE: &str = "sign in in another way (-l azurecli, -l workloadidentity or -l spn)";

/// What is asked of a host.
#[derive(Debug)]
pub(crate) struct IdentityRequest {
    /// The audience, without `/.default`.
    pub resource: String,
    /// The identity; nothing for the one that the host picks.
    pub selector: Option<Selector>,
}

impl IdentityRequest {
    /// For `audience`, which may be written as a scope, as Azure/kubelogin asks for it.
    pub(crate) fn new(audience: &str, selector: Option<Selector>) -> Self {
        let resource = audience.strip_suffix("/.default").unwrap_or_else(|| audience.trim_end_matches('/'));
        Self { resource: resource.to_owned(), selector }
    }
}

/// One of several identities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selector {
    /// What kind of name it is given by.
    pub by: IdKind,
    /// The name.
    pub id: String,
    /// The flag or variable that gave it, for messages.
    pub source: String,
    /// Whether that is a variable.
    pub from_env: bool,
}

/// By what an identity is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdKind {
    /// The client id of its application.
    Client,
    /// The object id of its service principal.
    Object,
    /// Its id as a resource of Azure.
    Resource,
}

impl IdKind {
    /// How people call it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            IdKind::Client => "client ID",
            IdKind::Object => "object ID",
            IdKind::Resource => "resource ID",
        }
    }
}

/// Refuses a selector that `host` would pass over: it would answer for another identity than the one
/// that was named.
///
/// # Errors
/// The refusal.
pub(crate) fn admit(host: &Host, selector: Option<&Selector>) -> Result<(), Error> {
    let Some(selector) = selector.filter(|selector| host.parameter(selector.by).is_none()) else { return Ok(()) };
    let name = host.name;
    let known: Vec<_> = host.parameters.iter().map(|(by, _)| by.words()).collect();
    let what = match known.as_slice() {
        [] => format!("{name} chooses the identity by itself and takes no {}", selector.by.words()),
        known => format!("{name} takes no {} of an identity, only its {}", selector.by.words(), known.join(" or ")),
    };
    let undo = if selector.from_env { "unset" } else { "remove" };
    Err(Error::new(ErrorKind::OptionInvalid, what)
        .from_source(&selector.source)
        .remedy(format!("{undo} {}", selector.source)))
}

/// What tells this machine from others that share its home directory and its addresses, such as
/// 169.254.169.254: two virtual machines, or two pods of one node. The boot id is the kernel's, the
/// host name also the container's. Nothing, where there are no such files.
pub(crate) fn machine() -> Option<String> {
    let read = |name: &str| crate::os::files::read_text(&Path::new("/proc/sys/kernel").join(name), 1024).ok();
    Some(format!("{}{}", read("random/boot_id")?, read("hostname")?))
}

/// Sends `request` as `source` wants it.
async fn ask<S: ManagedIdentitySource + ?Sized>(
    source: &S,
    session: &Session<'_>,
    request: &Request,
) -> Result<Response, Error> {
    let answer = net::send(session.sys, request, source.retry(), session.deadline).await;
    let response = answer.map_err(|error| unreachable(source, error))?;
    session.sys.terminal.detail(5, || format!("{} answered HTTP {}", net::host(&request.url), response.status));
    Ok(response)
}

fn unreachable<S: ManagedIdentitySource + ?Sized>(source: &S, error: Error) -> Error {
    let nobody =
        [ErrorKind::NameNotFound, ErrorKind::ConnectionRefused, ErrorKind::ConnectTimeout, ErrorKind::ConnectionBroken];
    if error.kind() == ErrorKind::Deadline {
        return error.also(&format!("where there is no managed identity, {ELSEWHERE}"));
    }
    let explained = if nobody.contains(&error.kind()) {
        source.absent()
    } else if error.kind() == ErrorKind::AnswerBroken {
        response::not_its_own(source.host().name, "is cut off")
    } else if error.kind() == ErrorKind::NotEntra {
        response::not_its_own(source.host().name, "is too large for one with a token")
    } else {
        return error;
    };
    error.details().iter().fold(explained.detail(error.what()), Error::detail)
}

/// The answer, if it is one with a token.
fn accept<S: ManagedIdentitySource + ?Sized>(
    source: &S,
    response: &Response,
    wanted: &IdentityRequest,
) -> Result<IdentityResponse, Error> {
    if response.status == 200 {
        IdentityResponse::read(source.host().name, &response.body)
    } else {
        Err(refused(source, response, wanted))
    }
}

/// What an answer without a token means: what the host itself knows of it, what Entra has told the
/// host, that the host is busy, else its words.
fn refused<S: ManagedIdentitySource + ?Sized>(source: &S, response: &Response, wanted: &IdentityRequest) -> Error {
    let refusal = IdentityError::read(response);
    let said = format!("{} says: {refusal}", source.host().name);
    let explained = source.explain(&refusal, wanted).or_else(|| refusal.of_entra(wanted));
    let error = explained.unwrap_or_else(|| match refusal.status {
        status if net::is_busy(status) => busy(source.host(), &refusal),
        _ => Error::new(ErrorKind::HostRefused, format!("{} gives no token: {refusal}", source.host().name))
            .remedy("check the identity and --server-id"),
    });
    error.detail(said)
}

fn busy(host: &Host, refusal: &IdentityError) -> Error {
    let wait = refusal.retry_after.map(|time| format!(" and asks to wait {} s", time.as_secs())).unwrap_or_default();
    Error::new(ErrorKind::Unavailable, format!("{} answered HTTP {}{wait}", host.name, refusal.status))
}

/// That the identity is not there; `place` is where it would be assigned.
fn unknown(selector: Option<&Selector>, place: &str) -> Error {
    let Some(Selector { by, id, source, .. }) = selector else {
        return Error::new(ErrorKind::IdentityUnknown, format!("this {place} has no system-assigned identity"))
            .remedy(format!("name a user-assigned one with --client-id, or give the {place} its own"));
    };
    let what = format!("no identity with {} {id} is assigned to this {place}", by.words());
    Error::new(ErrorKind::IdentityUnknown, what)
        .from_source(source)
        .remedy(format!("assign it to the {place}, or correct {source}"))
}

/// The address in `variable`: what hands out identities lies on this machine, beside it or in its
/// private network, or proves itself by https.
fn endpoint(env: &Env, variable: &'static str) -> Result<Url, Error> {
    usable(trust::private_or_https(env.get(variable).unwrap_or_default()), variable)
}

/// The address `text`, which lies on this machine or beside it, or proves itself by https.
fn address(text: &str, source: &'static str) -> Result<Url, Error> {
    usable(trust::local_or_https(text), source)
}

fn usable(address: Result<Url, String>, source: &'static str) -> Result<Url, Error> {
    address.map_err(|why| {
        Error::new(ErrorKind::OptionInvalid, format!("the address of the managed identity cannot be used: {why}"))
            .from_source(source)
            .remedy(format!("correct or unset {source}"))
    })
}

/// The header text in `variable`.
fn header(env: &Env, variable: &'static str) -> Result<Secret, Error> {
    let text = env.get(variable).unwrap_or_default();
    if text.chars().all(|c| c.is_ascii_graphic()) {
        return Ok(Secret::new(text));
    }
    Err(Error::new(ErrorKind::OptionInvalid, "the secret of the managed identity is not one that fits into a header")
        .from_source(variable)
        .remedy(format!("correct {variable}; the host sets it")))
}

/// The endpoint of `host` with the API version, the audience and the selector, each under the host's own name.
fn question(host: &Host, version: &str, wanted: &IdentityRequest) -> Url {
    let mut url = host.endpoint.clone();
    url.query_pairs_mut().append_pair("api-version", version).append_pair("resource", &wanted.resource);
    if let Some(selector) = &wanted.selector
        && let Some(name) = host.parameter(selector.by)
    {
        url.query_pairs_mut().append_pair(name, &selector.id);
    }
    url
}

#[cfg(test)]
mod fake {
    //! Asks a host against scripted answers, in a time that passes by itself.

    use super::{
        Env, Error, ErrorKind, IdentityRequest, ManagedIdentitySource, Response, Selector, Session, Token, admit,
        detect,
    };
    use crate::os::clock::fake::FakeClock;
    use crate::os::clock::{Clock, Deadline};
    use crate::sys::Sys;
    use crate::sys::http::fake::{FakeHttp, Recorded};

    /// What came of it.
    pub(super) struct Outcome {
        pub(super) result: Result<Token, Error>,
        pub(super) requests: Vec<Recorded>,
        pub(super) seconds: u64,
    }

    impl Outcome {
        pub(super) fn error(&self) -> String {
            self.result.as_ref().unwrap_err().to_string()
        }

        pub(super) fn is(&self, kind: ErrorKind) -> bool {
            self.result.as_ref().is_err_and(|error| error.kind() == kind)
        }
    }

    pub(super) type Answers = Vec<Result<Response, Error>>;

    #[expect(clippy::unnecessary_wraps, reason = "scripted answers are results")]
    pub(super) fn answer(status: u16, body: &str) -> Result<Response, Error> {
        Ok(Response { status, body: body.into(), ..Response::default() })
    }

    /// A good answer, for an hour.
    pub(super) fn granted() -> Result<Response, Error> {
        answer(200, r#"{"access_token":"TOKEN","expires_in":"3600","token_type":"Bearer"}"#)
    }

    pub(super) fn wanted(selector: Option<Selector>) -> IdentityRequest {
        IdentityRequest::new("6dae42f8/.default", selector)
    }

    pub(super) fn by(by: super::IdKind) -> Selector {
        let source = format!("--{}", by.words().replace(" ID", "-id"));
        Selector { by, id: "ID".into(), source, from_env: false }
    }

    /// Asks the host of `env`, as `--login msi` does.
    pub(super) fn ask<const N: usize>(env: [(&str, &str); N], selector: Option<Selector>, answers: Answers) -> Outcome {
        let host = detect(&Env::from(env)).unwrap();
        ask_host(&*host, selector, answers)
    }

    pub(super) fn ask_host(host: &dyn ManagedIdentitySource, selector: Option<Selector>, answers: Answers) -> Outcome {
        let clock = FakeClock::default();
        let http = FakeHttp::answering(answers);
        let requests = http.requests.clone();
        let sys = Sys { clock: std::rc::Rc::new(clock.clone()), http: Box::new(http), ..Sys::fake() };
        let deadline = Deadline::after(&clock, host.default_timeout());
        let session = Session::new(&sys, deadline);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let wanted = wanted(selector);
        let result = runtime.block_on(async {
            admit(host.host(), wanted.selector.as_ref())?;
            host.token(&session, &wanted).await
        });
        let requests = requests.take();
        Outcome { result, requests, seconds: clock.monotonic().as_secs() }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{answer, ask, by, granted};
    use super::*;

    const KINDS: [IdKind; 3] = [IdKind::Client, IdKind::Object, IdKind::Resource];
    const APP: (&str, &str) = (IDENTITY_ENDPOINT, "http://127.0.0.1:41/msi/token/");
    const FABRIC: (&str, &str) = (IDENTITY_ENDPOINT, "https://127.0.0.1:2377/metadata/identity/oauth2/token");
    const HEADER: (&str, &str) = (IDENTITY_HEADER, "HEADER");
    const THUMBPRINT: (&str, &str) = (IDENTITY_SERVER_THUMBPRINT, "00112233445566778899AABBCCDDEEFF00112233");
    const ARC: (&str, &str) = (IMDS_ENDPOINT, "http://127.0.0.1:40342");
    const MSI: (&str, &str) = (MSI_ENDPOINT, "http://localhost:50342/oauth2/token");
    const SECRET: (&str, &str) = (MSI_SECRET, "SECRET");

    fn name<const N: usize>(env: [(&str, &str); N]) -> &'static str {
        detect(&Env::from(env)).unwrap().host().name
    }

    #[test]
    fn hosts_are_told_by_their_variables() {
        assert_eq!(name([FABRIC, HEADER, THUMBPRINT, ARC, MSI, SECRET]), "Service Fabric");
        assert_eq!(name([APP, HEADER, ARC, MSI, SECRET]), "App Service");
        assert_eq!(name([APP, ARC, MSI, SECRET]), "the Azure Arc agent");
        assert_eq!(name([APP, MSI, SECRET]), "Azure ML");
        assert_eq!(name([APP, MSI]), "Cloud Shell");
        assert_eq!(name([APP, (IDENTITY_HEADER, "")]), "IMDS");
        assert_eq!(name([HEADER, THUMBPRINT, SECRET, ARC]), "IMDS", "Container Instances set these two alone");
    }

    #[test]
    fn each_host_has_its_own_names_for_selectors() {
        let names = |host: Box<dyn ManagedIdentitySource>| KINDS.map(|by| host.host().parameter(by));
        let of = |env: &Env| names(detect(env).unwrap());
        let all = |client, object, resource| [Some(client), Some(object), Some(resource)];
        assert_eq!(of(&Env::default()), all("client_id", "object_id", "msi_res_id"));
        assert_eq!(of(&Env::from([APP, HEADER])), all("client_id", "principal_id", "mi_res_id"));
        assert_eq!(of(&Env::from([APP, ARC])), all("client_id", "object_id", "msi_res_id"));
        assert_eq!(of(&Env::from([MSI, SECRET])), [Some("clientid"), None, None]);
        assert_eq!(of(&Env::from([MSI])), [None; 3]);
        assert_eq!(of(&Env::from([FABRIC, HEADER, THUMBPRINT])), [None; 3]);
    }

    #[test]
    fn a_selector_that_would_be_passed_over_is_refused_before_any_request() {
        let refusal = |outcome: fake::Outcome| {
            assert!(outcome.requests.is_empty() && outcome.is(ErrorKind::OptionInvalid));
            outcome.error()
        };
        assert_eq!(
            refusal(ask([MSI], Some(by(IdKind::Client)), vec![granted()])),
            "Cloud Shell chooses the identity by itself and takes no client ID (--client-id); remove --client-id"
        );
        for by in KINDS.map(by) {
            refusal(ask([FABRIC, HEADER, THUMBPRINT], Some(by.clone()), vec![granted()]));
            refusal(ask([MSI], Some(by), vec![granted()]));
        }
        let variable = Selector { source: "KUBENTRA_IDENTITY_OBJECT_ID".into(), from_env: true, ..by(IdKind::Object) };
        assert_eq!(
            refusal(ask([MSI, SECRET], Some(variable), vec![granted()])),
            "Azure ML takes no object ID of an identity, only its client ID (KUBENTRA_IDENTITY_OBJECT_ID); \
             unset KUBENTRA_IDENTITY_OBJECT_ID"
        );
        refusal(ask([MSI, SECRET], Some(by(IdKind::Resource)), vec![granted()]));
    }

    #[test]
    fn addresses_of_the_environment_are_near_or_https() {
        let evil = |variable| (variable, "http://evil.example/");
        let public = "lie on this machine or at a private IPv4 address";
        let pods = "AZURE_POD_IDENTITY_AUTHORITY_HOST";
        for (variable, must, env) in [
            (IDENTITY_ENDPOINT, public, Env::from([evil(IDENTITY_ENDPOINT), HEADER])),
            (IDENTITY_ENDPOINT, public, Env::from([evil(IDENTITY_ENDPOINT), HEADER, THUMBPRINT])),
            (IDENTITY_ENDPOINT, "lie on this machine", Env::from([evil(IDENTITY_ENDPOINT), ARC])),
            (MSI_ENDPOINT, public, Env::from([evil(MSI_ENDPOINT), SECRET])),
            (MSI_ENDPOINT, public, Env::from([evil(MSI_ENDPOINT)])),
            (IDENTITY_ENDPOINT, public, Env::from([(IDENTITY_ENDPOINT, "http://8.8.8.8/"), HEADER])),
            (pods, "lie on this machine", Env::from([(pods, "http://10.0.0.4")])),
        ] {
            assert_eq!(
                detect(&env).err().unwrap().to_string(),
                format!(
                    "the address of the managed identity cannot be used: it must be https, or {must} ({variable}); \
                     correct or unset {variable}"
                )
            );
        }
        // What App Service gives custom containers (azure-cli #20196).
        let container = "http://172.16.5.3:8081/msi/token/";
        assert_eq!(name([(IDENTITY_ENDPOINT, container), HEADER]), "App Service");
        assert_eq!(name([(MSI_ENDPOINT, container), SECRET]), "Azure ML");
    }

    #[test]
    fn a_header_that_is_none_is_refused_and_not_quoted() {
        let error = detect(&Env::from([APP, (IDENTITY_HEADER, "canary\n")])).err().unwrap().to_string();
        assert!(error.contains("(IDENTITY_HEADER)") && !error.contains("canary"), "{error}");
    }

    #[test]
    fn what_is_asked_decides_the_place_in_the_cache() {
        let key_of = |env: &Env, wanted: &IdentityRequest| {
            let mut key = CacheKey::new("token");
            detect(env).unwrap().add_to_key(wanted, &mut key);
            key.written().to_vec()
        };
        let app = |header| Env::from([APP, (IDENTITY_HEADER, header)]);
        let plain = || fake::wanted(None);
        let seen = [
            key_of(&Env::default(), &plain()),
            key_of(&Env::default(), &IdentityRequest::new("other", None)),
            key_of(&Env::default(), &fake::wanted(Some(by(IdKind::Client)))),
            key_of(&Env::default(), &fake::wanted(Some(by(IdKind::Object)))),
            key_of(&app("one"), &plain()),
            key_of(&app("two"), &plain()),
            key_of(&Env::from([MSI]), &plain()),
            key_of(&Env::from([MSI]), &IdentityRequest::new("other", None)),
            key_of(&Env::from([FABRIC, HEADER, THUMBPRINT]), &plain()),
            key_of(&Env::from([FABRIC, HEADER, (IDENTITY_SERVER_THUMBPRINT, &"1".repeat(40))]), &plain()),
        ];
        for (index, one) in seen.iter().enumerate() {
            assert!(seen[..index].iter().all(|other| other != one), "{index}");
        }
        assert_eq!(key_of(&app("one"), &plain()), seen[4]);
    }

    #[test]
    fn audiences_are_plain() {
        for server in ["api://x", "api://x/", "api://x/.default"] {
            assert_eq!(IdentityRequest::new(server, None).resource, "api://x");
        }
    }

    #[test]
    fn busy_hosts_are_asked_four_times_in_seven_seconds() {
        for (env, statuses) in [(Env::from([APP, HEADER]), [500, 429, 503, 502]), (Env::from([MSI]), [503; 4])] {
            let answers = statuses.map(|status| answer(status, "")).into();
            let outcome = fake::ask_host(&*detect(&env).unwrap(), None, answers);
            assert!(outcome.is(ErrorKind::Unavailable), "{}", outcome.error());
            assert_eq!((outcome.requests.len(), outcome.seconds), (4, 7));
        }
        let outcome = ask([APP, HEADER], None, vec![answer(429, ""), answer(429, ""), granted()]);
        assert!(outcome.result.is_ok());
        assert_eq!(outcome.seconds, 3);
    }

    #[test]
    fn nobody_answers_at_an_address_of_the_environment() {
        let refused = || Err(Error::new(ErrorKind::ConnectionRefused, "127.0.0.1:41 refused the connection"));
        let outcome = ask([APP, HEADER], None, vec![refused()]);
        assert!(outcome.is(ErrorKind::NoIdentityHost));
        assert_eq!(
            outcome.error(),
            "App Service does not answer at 127.0.0.1:41 (IDENTITY_ENDPOINT); correct or unset IDENTITY_ENDPOINT, \
             or sign in in another way (-l azurecli, -l workloadidentity or -l spn)"
        );
        assert_eq!(outcome.result.unwrap_err().details(), ["127.0.0.1:41 refused the connection"]);
    }

    #[test]
    fn words_of_entra_that_a_host_passes_on() {
        let body = r#"{"error":"invalid_resource","error_description":"AADSTS500011: The resource principal named x"}"#;
        let outcome = ask([], None, vec![answer(400, body)]);
        assert!(outcome.is(ErrorKind::ServerAppUnknown));
        assert!(outcome.error().starts_with("the server app was not found in this tenant, AADSTS500011; check"));
        let bare = ask([], None, vec![answer(400, r#"{"error":"invalid_resource"}"#)]);
        assert!(bare.error().starts_with("no token is given for the audience 6dae42f8; check --server-id"));
    }

    #[test]
    fn other_words_of_a_host_are_bounded_and_on_one_line() {
        let body = format!(r#"{{"error":{{"code":"Odd","message":"a\u001b[31m\n{}"}}}}"#, "x".repeat(5000));
        let outcome = ask([MSI], None, vec![answer(400, &body)]);
        assert!(outcome.is(ErrorKind::HostRefused));
        let error = outcome.error();
        assert!(error.starts_with("Cloud Shell gives no token: Odd: a [31m xxx") && error.len() < 350, "{error}");
        let page = ask([MSI], None, vec![answer(418, "<html>login</html>")]);
        assert!(page.error().starts_with("Cloud Shell gives no token: HTTP 418;"), "{}", page.error());
    }

    #[test]
    fn this_machine_is_known_on_linux() {
        assert_eq!(machine().is_some(), cfg!(target_os = "linux"));
    }
}
