//! The places that hand out identities to what runs on them: managed identity in every host of
//! Azure, and the OIDC endpoints of CI systems.
//!
//! | Door | Paths |
//! |---|---|
//! | plain HTTP | [`IMDS`], [`ARC`], [`APP_SERVICE`], [`AZURE_ML`], [`CLOUD_SHELL`], and the CI systems |
//! | TLS that nobody vouches for | [`SERVICE_FABRIC`] |
//! | TLS of the run's CA | [`GITHUB`], [`PIPELINES`], [`TOKEN_URL`] |
//!
//! Each refuses whatever the real one refuses, and a good deal of what that would silently ignore.

mod app_service;
mod arc;
mod cloud_shell;
mod fault;
pub mod identity;
mod imds;
mod oidc;
mod query;
mod service_fabric;

pub use arc::Challenge;
pub use fault::Fault;
pub use identity::{Identity, SYSTEM, USER, Who};

use super::entra::directory::ALICE;
use super::entra::{Claims, FakeEntra};
use super::http::{Request, Response, Server, find_header};
use super::listener::lock;
use super::tls::{Authority, SelfSigned};
use query::Query;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// Paths of the fake, and their secrets.
pub const IMDS: &str = "/metadata/identity/oauth2/token";
/// Azure Arc; the agent's own path below a prefix of ours.
pub const ARC: &str = "/arc/metadata/identity/oauth2/token";
/// App Service, Functions, Container Apps, Automation; both generations.
pub const APP_SERVICE: &str = "/msi/token";
/// Azure ML.
pub const AZURE_ML: &str = "/msi/auth";
/// Cloud Shell.
pub const CLOUD_SHELL: &str = "/oauth2/token";
/// Service Fabric.
pub const SERVICE_FABRIC: &str = "/metadata/identity/oauth2/token";
/// `ACTIONS_ID_TOKEN_REQUEST_URL` without its query, which is `existing=1`.
pub const GITHUB: &str = "/gh/idtoken";
/// `SYSTEM_OIDCREQUESTURI`
pub const PIPELINES: &str = "/ado/_apis/distributedtask/hubs/build/plans/1/jobs/2/oidctoken";
/// Answers a GET with an assertion and nothing else.
pub const TOKEN_URL: &str = "/token-url";

/// `IDENTITY_HEADER` of App Service and Service Fabric.
pub const IDENTITY_HEADER: &str = "canary-identity-header";
/// `MSI_SECRET`
pub const MSI_SECRET: &str = "canary-msi-secret";
/// `ACTIONS_ID_TOKEN_REQUEST_TOKEN`
pub const GITHUB_TOKEN: &str = "canary-github-request-token";
/// `SYSTEM_ACCESSTOKEN`
pub const PIPELINES_TOKEN: &str = "canary-pipelines-access-token";
/// The service connection that Azure Pipelines knows.
pub const SERVICE_CONNECTION: &str = "77777777-7777-4777-8777-777777777777";

/// One of the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are called what they are called")]
pub enum Host {
    Imds,
    AppService,
    AzureMl,
    ServiceFabric,
    Arc,
    CloudShell,
    GitHub,
    Pipelines,
    TokenUrl,
    /// No place at all: a path that nobody serves.
    Nowhere,
}

impl Host {
    /// All, with the names that cases know them by.
    pub const NAMES: [(Self, &'static str); 10] = [
        (Self::Imds, "imds"),
        (Self::AppService, "app-service"),
        (Self::AzureMl, "azure-ml"),
        (Self::ServiceFabric, "service-fabric"),
        (Self::Arc, "arc"),
        (Self::CloudShell, "cloud-shell"),
        (Self::GitHub, "github"),
        (Self::Pipelines, "pipelines"),
        (Self::TokenUrl, "token-url"),
        (Self::Nowhere, "nowhere"),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(host, _)| *host == self).map_or("", |(_, name)| name)
    }
}

/// A handle to the running fakes. Clones share everything; they stop with the last one.
#[derive(Clone)]
pub struct FakeHosts {
    inner: Arc<Inner>,
}

struct Inner {
    plain: Server,
    fabric: Server,
    public: Server,
    thumbprint: String,
    keys: PathBuf,
    service: Arc<Service>,
}

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct HostRequest {
    /// Who was asked.
    pub host: Host,
    /// `GET`, `POST`, …
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The headers as sent.
    pub headers: Vec<(String, String)>,
    /// The body's parameters, decoded.
    pub form: Vec<(String, String)>,
    /// The status answered; 0 if the connection was closed instead.
    pub status: u16,
    /// The answer to a request that was refused, for the message of a failing test.
    pub refusal: Option<String>,
}

impl HostRequest {
    /// A header, by name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// A parameter of the query, decoded.
    pub fn param(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// `HOST METHOD path?query -> status`, handy in assertions.
    pub fn line(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{} {} {}{mark}{} -> {}", self.host.name(), self.method, self.path, self.query, self.status)
    }
}

impl FakeHosts {
    /// Starts all; Arc's key files will lie in `keys`.
    pub fn start(authority: &Authority, entra: &FakeEntra, keys: &Path) -> Self {
        let service = Arc::new(Service { entra: entra.clone(), state: Mutex::new(State::new(keys)) });
        let serve = |tls, door| {
            let service = Arc::clone(&service);
            Server::start(tls, move |request| service.handle(door, request))
        };
        let SelfSigned { config, thumbprint } = SelfSigned::shared();
        let inner = Inner {
            plain: serve(None, Door::Plain),
            fabric: serve(Some(Arc::clone(config)), Door::Fabric),
            public: serve(Some(authority.server_config(&["localhost", "127.0.0.1"])), Door::Public),
            thumbprint: thumbprint.clone(),
            keys: keys.to_owned(),
            service,
        };
        Self { inner: Arc::new(inner) }
    }

    // Where things are.

    /// `http://127.0.0.1:PORT`, where `AZURE_POD_IDENTITY_AUTHORITY_HOST` can lead to.
    pub fn base(&self) -> String {
        format!("http://{}", self.inner.plain.addr())
    }

    /// A path of the plain door.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base())
    }

    /// A path of the door with a certificate of the run's CA.
    pub fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.inner.public.addr().port())
    }

    /// `IDENTITY_ENDPOINT` of Service Fabric.
    pub fn service_fabric(&self) -> String {
        format!("https://{}{SERVICE_FABRIC}", self.inner.fabric.addr())
    }

    /// `IDENTITY_SERVER_THUMBPRINT`: SHA-1 of Service Fabric's certificate, in hex.
    pub fn thumbprint(&self) -> &str {
        &self.inner.thumbprint
    }

    /// The directory with Arc's key files.
    pub fn arc_keys(&self) -> &Path {
        &self.inner.keys
    }

    // Knobs.

    /// The next request to `host` without a fault of its own meets this one.
    pub fn inject(&self, host: Host, fault: Fault) -> &Self {
        self.arrange(|state| state.knobs(host).faults.push_back(fault))
    }

    /// All requests to `host` meet this fault, once the injected ones are used up.
    pub fn always(&self, host: Host, fault: Option<Fault>) -> &Self {
        self.arrange(|state| state.knobs(host).always = fault)
    }

    /// How long tokens of `host` are good.
    pub fn lifetime(&self, host: Host, seconds: i64) -> &Self {
        self.arrange(|state| state.knobs(host).lifetime = Some(seconds))
    }

    /// How `host` writes times.
    pub fn times(&self, host: Host, times: Times) -> &Self {
        self.arrange(|state| state.knobs(host).times = Some(times))
    }

    /// Which identities there are; [`SYSTEM`] and [`USER`] at first.
    pub fn identities(&self, identities: &[&'static Identity]) -> &Self {
        self.arrange(|state| state.identities = identities.to_vec())
    }

    /// Whether IMDS is the pod identity of old, NMI, in disguise.
    pub fn nmi(&self, on: bool) -> &Self {
        self.arrange(|state| state.nmi = on)
    }

    /// Whether Arc's agent knows user-assigned identities. An old one ignores the selector.
    pub fn arc_selects(&self, on: bool) -> &Self {
        self.arrange(|state| state.arc_selects = on)
    }

    /// What Arc's challenge looks like.
    pub fn arc_challenge(&self, challenge: Challenge) -> &Self {
        self.arrange(|state| state.challenge = challenge)
    }

    /// Who signed in to Cloud Shell; Alice at first.
    pub fn cloud_shell_user(&self, upn: &str) -> &Self {
        self.arrange(|state| state.user = upn.to_owned())
    }

    /// `iss`, `sub` and, if given, `aud` of the assertions of a CI system.
    pub fn assertions(&self, host: Host, issuer: &str, subject: &str, audience: Option<&str>) -> &Self {
        let said = oidc::Said::new(issuer, subject, audience);
        self.arrange(|state| _ = state.said.insert(host, said))
    }

    /// The token URL answers `{"KEY": "…"}` instead of the bare assertion.
    pub fn token_url_key(&self, key: Option<&str>) -> &Self {
        self.arrange(|state| state.token_url_key = key.map(str::to_owned))
    }

    // What happened.

    /// All requests since the start or the last [`clear_log`](Self::clear_log).
    pub fn requests(&self) -> Vec<HostRequest> {
        self.state().log.clone()
    }

    /// The requests as [`HostRequest::line`]s.
    pub fn traffic(&self) -> Vec<String> {
        self.state().log.iter().map(HostRequest::line).collect()
    }

    /// Requests to `host` since then.
    pub fn count(&self, host: Host) -> usize {
        self.state().log.iter().filter(|request| request.host == host).count()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) -> &Self {
        self.arrange(|state| state.log.clear())
    }

    /// Everything that must not be shown: what clients prove themselves with, and the tokens.
    pub fn secrets(&self) -> Vec<String> {
        let fixed = [IDENTITY_HEADER, MSI_SECRET, GITHUB_TOKEN, PIPELINES_TOKEN].map(str::to_owned);
        fixed.into_iter().chain(self.state().secrets.iter().cloned()).collect()
    }

    fn arrange(&self, change: impl FnOnce(&mut State)) -> &Self {
        change(&mut self.state());
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.inner.service.state)
    }
}

/// How `expires_on` and its like are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// `"1506484173"`
    Text,
    /// `1506484173`
    Number,
    /// `"06/20/2019 02:57:58 +00:00"`
    Date,
    /// `"6/20/2019 2:57:58 AM +00:00"`
    Date12,
}

#[derive(Clone, Copy)]
enum Door {
    Plain,
    Fabric,
    Public,
}

impl Door {
    fn host(self, path: &str) -> Host {
        match (self, path) {
            (Self::Plain, IMDS) => Host::Imds,
            (Self::Plain, ARC) => Host::Arc,
            (Self::Plain, APP_SERVICE) => Host::AppService,
            (Self::Plain, AZURE_ML) => Host::AzureMl,
            (Self::Plain, CLOUD_SHELL) => Host::CloudShell,
            (Self::Fabric, SERVICE_FABRIC) => Host::ServiceFabric,
            (Self::Plain | Self::Public, GITHUB) => Host::GitHub,
            (Self::Plain | Self::Public, PIPELINES) => Host::Pipelines,
            (Self::Plain | Self::Public, TOKEN_URL) => Host::TokenUrl,
            _ => Host::Nowhere,
        }
    }
}

struct Service {
    entra: FakeEntra,
    state: Mutex<State>,
}

/// What a test has arranged and what has happened.
struct State {
    knobs: HashMap<Host, Knobs>,
    identities: Vec<&'static Identity>,
    nmi: bool,
    arc_selects: bool,
    challenge: Challenge,
    arc: arc::Keys,
    user: String,
    said: HashMap<Host, oidc::Said>,
    token_url_key: Option<String>,
    secrets: Vec<String>,
    log: Vec<HostRequest>,
}

#[derive(Default)]
struct Knobs {
    faults: VecDeque<Fault>,
    always: Option<Fault>,
    lifetime: Option<i64>,
    times: Option<Times>,
}

impl State {
    fn new(keys: &Path) -> Self {
        Self {
            knobs: HashMap::new(),
            identities: vec![&SYSTEM, &USER],
            nmi: false,
            arc_selects: true,
            challenge: Challenge::Good,
            arc: arc::Keys::new(keys),
            user: ALICE.to_owned(),
            said: oidc::said(),
            token_url_key: None,
            secrets: Vec::new(),
            log: Vec::new(),
        }
    }

    fn knobs(&mut self, host: Host) -> &mut Knobs {
        self.knobs.entry(host).or_default()
    }
}

impl Service {
    /// Answers and records one request.
    fn handle(&self, door: Door, request: &Request) -> Response {
        let mut state = lock(&self.state);
        let host = door.host(&request.path);
        let knobs = state.knobs(host);
        let fault = knobs.faults.pop_front().or_else(|| knobs.always.clone());
        // NMI never learned IMDS's way to fail.
        let speaker = if state.nmi && host == Host::Imds { Host::Nowhere } else { host };
        let instead = fault.as_ref().and_then(|fault| fault.instead(speaker));
        let mut response = instead.unwrap_or_else(|| {
            let mut visit = Visit { host, request, state: &mut state, entra: &self.entra };
            visit.answer().unwrap_or_else(|refusal| refusal)
        });
        if let Some(fault) = &fault {
            response = fault.spoil(response);
        }
        state.log.push(record(host, request, &response));
        response
    }
}

/// An answer, or one that refuses.
type Answer = Result<Response, Response>;

/// A request in the middle of being answered.
struct Visit<'a> {
    host: Host,
    request: &'a Request,
    state: &'a mut State,
    entra: &'a FakeEntra,
}

impl Visit<'_> {
    fn answer(&mut self) -> Answer {
        match self.host {
            Host::Imds => imds::answer(self),
            Host::AppService => app_service::answer(self),
            Host::AzureMl => app_service::answer_2017(self),
            Host::ServiceFabric => service_fabric::answer(self),
            Host::Arc => arc::answer(self),
            Host::CloudShell => cloud_shell::answer(self),
            Host::GitHub => oidc::github(self),
            Host::Pipelines => oidc::pipelines(self),
            Host::TokenUrl => oidc::token_url(self),
            Host::Nowhere => Err(Response::html(404, "<html><body>404 - not found</body></html>")),
        }
    }

    /// The query, each parameter once.
    fn query(&self) -> Result<Query, String> {
        Query::parse(&self.request.query)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.request.header(name)
    }

    /// Whether there is a body that nobody asked for.
    fn has_body(&self) -> bool {
        !self.request.body.is_empty()
    }

    fn keep_secret(&mut self, secret: &str) {
        self.state.secrets.push(secret.to_owned());
    }

    /// An assertion that is nobody's business.
    fn assertion(&mut self, claims: &Claims<'_>) -> String {
        self.entra.issuer().mint(claims)
    }
}

fn record(host: Host, request: &Request, response: &Response) -> HostRequest {
    let refused = !(200..300).contains(&response.status);
    HostRequest {
        host,
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        headers: request.headers.clone(),
        form: form_urlencoded::parse(&request.body).into_owned().collect(),
        status: response.status,
        refusal: refused.then(|| String::from_utf8_lossy(&response.body).into_owned()),
    }
}
