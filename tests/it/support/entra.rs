//! A strict fake of Entra ID (and one AD FS) over TLS.
//!
//! It serves every cloud's login host and `localhost`, hands out really signed tokens, refuses
//! whatever the real service would refuse, and a good deal of what that would silently ignore.
//! A test arranges the world through the handle, runs the program, and then reads the log.

mod assertion;
mod authorize;
mod code;
mod device;
pub mod directory;
mod faults;
mod federation;
mod form;
mod grants;
mod metadata;
mod page;
mod password;
mod pop;
mod proofs;
mod refusal;
mod scope;
mod tokens;

pub use authorize::BrowserPerson;
pub use device::Person;
pub use faults::Fault;
pub use federation::{Claims, FakeIssuer};
pub use grants::Rotation;
pub use password::Realm;

use super::clock::{http_date, unix_now};
use super::http::{Request, Response, Server, find_header};
use super::listener::lock;
use super::tls::{Authority, Leaf};
use assertion::Proofs;
use authorize::Asked;
use code::AuthCode;
use device::DeviceCode;
use directory::{App, Directory, Guest, Secret, TENANT, User, owned};
use form::Form;
use grants::{Call, Flavour, Grant};
use refusal::Refusal;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tokens::{Lifetime, Signer, Subject, access_claims, guid, random_text, v1_issuer};

/// The login hosts that the fake has a certificate for, besides `localhost` and `127.0.0.1`.
pub const ENTRA_HOSTS: [&str; 9] = [
    "login.microsoftonline.com",
    "login.windows.net",
    "login.microsoftonline.us",
    "login.chinacloudapi.cn",
    "login.partner.microsoftonline.cn",
    "login.sovcloud-identity.fr",
    "login.sovcloud-identity.de",
    "login.sovcloud-identity.sg",
    ADFS_HOST,
];

/// The AD FS, under `/adfs`. On `localhost` the same paths work.
pub const ADFS_HOST: &str = "adfs.example.test";

/// A handle to a running fake. Clones share everything; the server stops with the last one.
#[derive(Clone)]
pub struct FakeEntra {
    server: Arc<Server>,
    service: Arc<Service>,
}

/// One request as it arrived and how it was answered.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// `GET`, `POST`, …
    pub method: String,
    /// The host asked for, without its port.
    pub host: String,
    /// The path.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The body's parameters, decoded, in order.
    pub form: Vec<(String, String)>,
    /// The headers as sent.
    pub headers: Vec<(String, String)>,
    /// The status answered; 0 if the connection was closed instead.
    pub status: u16,
    /// `error` and `error_description` of a refusal, for the message of a failing test.
    pub refusal: Option<String>,
    /// Which connection it came on, from 1.
    pub connection: usize,
    /// When it arrived.
    pub at: Instant,
}

impl Recorded {
    /// A parameter of the body.
    pub fn param(&self, name: &str) -> Option<&str> {
        let found = self.form.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A parameter of the query, decoded.
    pub fn query_param(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// A header, by name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// `METHOD host/path?query -> status`, handy in assertions.
    pub fn line(&self) -> String {
        let mark = if self.query.is_empty() { "" } else { "?" };
        format!("{} {}{}{mark}{} -> {}", self.method, self.host, self.path, self.query, self.status)
    }
}

impl FakeEntra {
    /// Starts with the default world of [`directory`] and a good certificate.
    pub fn start(authority: &Authority) -> Self {
        Self::start_with(authority, Leaf::Good)
    }

    /// Starts with a certificate of choice.
    pub fn start_with(authority: &Authority, leaf: Leaf) -> Self {
        let names: Vec<&str> = ENTRA_HOSTS.iter().chain(&["localhost", "127.0.0.1"]).copied().collect();
        let service = Arc::new(Service {
            signer: Signer::shared(),
            issuer: FakeIssuer::default(),
            state: Mutex::new(State::new()),
        });
        let handler = Arc::clone(&service);
        let tls = authority.server_config_with(leaf, &names);
        let server = Server::start(Some(tls), move |request| handler.handle(request));
        Self { server: Arc::new(server), service }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// `https://localhost:PORT/`, for `--authority-host`.
    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.addr().port())
    }

    // The directory.

    /// Adds a tenant with its verified domains.
    pub fn tenant(&self, id: &str, domains: &[&str]) -> &Self {
        self.arrange(|state| state.directory.add_tenant(id, domains))
    }

    /// Adds (or replaces) an app that exists in every tenant.
    pub fn app(&self, client_id: &str, public: bool, secrets: &[&str]) -> &Self {
        let secret = |value: &&str| Secret { value: (*value).to_owned(), expired: false };
        self.app_with(App {
            client_id: client_id.to_owned(),
            public,
            secrets: secrets.iter().map(secret).collect(),
            tenants: Vec::new(),
            oid: guid(),
            groups: Vec::new(),
        })
    }

    /// Adds (or replaces) an app with all its details.
    pub fn app_with(&self, app: App) -> &Self {
        self.arrange(|state| state.directory.add_app(app))
    }

    /// Adds (or replaces) a user of the default tenant.
    pub fn user(&self, upn: &str, oid: &str, groups: &[&str]) -> &Self {
        self.user_with(User {
            upn: upn.to_owned(),
            home_tenant: TENANT.to_owned(),
            oid: oid.to_owned(),
            groups: owned(groups),
            guest_of: Vec::new(),
        })
    }

    /// Adds (or replaces) a user with all details.
    pub fn user_with(&self, user: User) -> &Self {
        self.arrange(|state| state.directory.add_user(user))
    }

    /// Invites a user to another tenant, where the object id is `oid`.
    pub fn guest(&self, upn: &str, tenant: &str, oid: &str) -> &Self {
        let invitation = Guest { tenant: tenant.to_owned(), oid: oid.to_owned() };
        self.arrange(|state| {
            let mut users = state.directory.users.iter_mut();
            let user = users.find(|user| user.upn == upn).expect("the guest is a known user");
            user.guest_of.push(invitation);
        })
    }

    /// Adds a resource that tokens can be asked for, in every tenant.
    pub fn resource(&self, identifier: &str) -> &Self {
        self.arrange(|state| state.directory.resources.push(identifier.to_owned()))
    }

    // People.

    /// What happens to all device codes, present and future, that nothing else was said about.
    pub fn person(&self, person: Person) -> &Self {
        self.arrange(|state| state.knobs.person = person)
    }

    /// All device codes are approved by this user.
    pub fn approve(&self, upn: &str) -> &Self {
        self.person(Person::Approve(upn.to_owned()))
    }

    /// The user codes that somebody could still type in.
    pub fn pending_codes(&self) -> Vec<String> {
        let state = self.state();
        let open = state.codes.iter().filter(|code| code.is_open() && code.person.is_none());
        open.map(|code| code.user_code.clone()).collect()
    }

    /// This one code is approved by that user.
    pub fn approve_code(&self, user_code: &str, upn: &str) -> &Self {
        self.decide_code(user_code, Person::Approve(upn.to_owned()))
    }

    /// What happens to this one code. Panics if it was never given out.
    pub fn decide_code(&self, user_code: &str, person: Person) -> &Self {
        self.arrange(|state| {
            let mut codes = state.codes.iter_mut();
            let code = codes.find(|code| code.user_code == user_code);
            code.expect("the user code was given out").person = Some(person);
        })
    }

    /// The first `count` polls of every code find the sign-in still pending.
    pub fn pending_polls(&self, count: u32) -> &Self {
        self.arrange(|state| state.knobs.pending_polls = count)
    }

    /// Seconds between polls for codes given out from now on; 1 at first.
    pub fn interval(&self, seconds: u64) -> &Self {
        self.arrange(|state| state.knobs.interval = Duration::from_secs(seconds))
    }

    /// How long codes given out from now on are good; 900 seconds at first.
    pub fn code_expires_in(&self, seconds: u64) -> &Self {
        self.arrange(|state| state.knobs.code_lifetime = Duration::from_secs(seconds))
    }

    // Tokens.

    /// How long access tokens made from now on are good; 3600 seconds at first.
    pub fn token_lifetime(&self, seconds: i64) -> &Self {
        self.arrange(|state| state.knobs.token_lifetime = seconds)
    }

    /// `refresh_in` of the token answers.
    pub fn refresh_in(&self, seconds: Option<i64>) -> &Self {
        self.arrange(|state| state.knobs.refresh_in = seconds)
    }

    /// Whether user flows get refresh tokens.
    pub fn refresh_tokens(&self, on: bool) -> &Self {
        self.arrange(|state| state.knobs.refresh_tokens = on)
    }

    /// What a refresh does to the refresh token; [`Rotation::On`] at first.
    pub fn rotate(&self, rotation: Rotation) -> &Self {
        self.arrange(|state| state.knobs.rotation = rotation)
    }

    /// The server's clock is off by so many seconds: `Date` and all times in tokens.
    pub fn clock_skew(&self, seconds: i64) -> &Self {
        self.arrange(|state| state.knobs.skew = seconds)
    }

    /// All refresh tokens so far are answered with 50173 and `bad_token`: the password changed.
    pub fn revoke_all_grants(&self) -> &Self {
        self.revoke_with(50_173, Some("bad_token"), None)
    }

    /// All refresh tokens so far are answered with `invalid_grant` and these details.
    ///
    /// 50076 with `basic_action` and claims is a grant that lives but needs MFA for this.
    pub fn revoke_with(&self, code: u32, suberror: Option<&str>, claims: Option<&str>) -> &Self {
        let refusal = Refusal::new("invalid_grant", code, revocation_text(code)).suberror(suberror).claims(claims);
        self.arrange(|state| {
            for grant in state.grants.values_mut() {
                grant.revoked = Some(refusal.clone());
            }
        })
    }

    /// Takes the revocations back.
    pub fn restore_grants(&self) -> &Self {
        self.arrange(|state| {
            for grant in state.grants.values_mut() {
                grant.revoked = None;
            }
        })
    }

    /// An access token for a user as the AKS client would get it, without any request.
    pub fn mint(&self, upn: &str, tenant: &str, server_id: &str) -> String {
        let state = self.state();
        let user = state.directory.user(upn).expect("the user is known");
        let member = user.in_tenant(tenant).expect("the user is in the tenant");
        let client = state.directory.app(directory::AKS_CLIENT, tenant).expect("AKS is everywhere");
        let life = Lifetime { from: state.now(0), seconds: state.knobs.token_lifetime };
        let subject = Subject::Person(&member);
        let claims = access_claims(&subject, None, client, server_id, life);
        self.service.signer.sign(&claims)
    }

    /// An access token for an app on its own behalf, without any request.
    pub fn mint_app(&self, client_id: &str, tenant: &str, server_id: &str) -> String {
        let state = self.state();
        let app = state.directory.app(client_id, tenant).expect("the app is in the tenant");
        let life = Lifetime { from: state.now(0), seconds: state.knobs.token_lifetime };
        let subject = Subject::App(app, tenant);
        self.service.signer.sign(&access_claims(&subject, None, app, server_id, life))
    }

    /// An access token of the default tenant for a managed identity, made now and good for `seconds`.
    pub fn mint_identity(&self, client_id: &str, oid: &str, arm_id: &str, resource: &str, seconds: i64) -> String {
        let now = self.state().now(0);
        self.mint_claims(&json!({
            "aud": resource, "iss": v1_issuer(TENANT), "iat": now, "nbf": now, "exp": now + seconds,
            "appid": client_id, "appidacr": "2", "idtyp": "app", "oid": oid, "sub": oid, "tid": TENANT,
            "uti": random_text(16), "ver": "1.0", "xms_mirid": arm_id,
        }))
    }

    /// A token with exactly these claims.
    pub fn mint_claims(&self, claims: &Value) -> String {
        self.service.signer.sign(claims)
    }

    /// The claims of a token, if this fake signed it. Nothing else is checked.
    pub fn claims(&self, token: &str) -> Option<Value> {
        self.service.signer.open(token)
    }

    // Faults.

    /// The next request without a fault of its own, whatever it is, meets this one.
    pub fn inject(&self, fault: Fault) -> &Self {
        self.inject_on("", fault)
    }

    /// The next request whose path ends in `suffix` (`token`, `devicecode`) meets this fault.
    pub fn inject_on(&self, suffix: &str, fault: Fault) -> &Self {
        let suffix = suffix.to_owned();
        self.arrange(|state| state.faults.push_back((suffix, fault)))
    }

    /// Faults that no request has met yet.
    pub fn faults_left(&self) -> usize {
        self.state().faults.len()
    }

    // What happened.

    /// All requests since the start or the last [`clear_log`](Self::clear_log).
    pub fn requests(&self) -> Vec<Recorded> {
        self.state().log.clone()
    }

    /// The requests as [`Recorded::line`]s.
    pub fn traffic(&self) -> Vec<String> {
        self.state().log.iter().map(Recorded::line).collect()
    }

    /// TCP connections so far, including those whose TLS handshake failed.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) -> &Self {
        self.arrange(|state| state.log.clear())
    }

    fn arrange(&self, change: impl FnOnce(&mut State)) -> &Self {
        change(&mut self.state());
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.service.state)
    }
}

fn revocation_text(code: u32) -> &'static str {
    match code {
        50_076 => {
            "Due to a configuration change made by your administrator, or because you moved to a \
             new location, you must use multi-factor authentication to access the resource."
        }
        50_173 => {
            "The provided grant has expired due to it being revoked, a fresh auth token is \
             needed. The user might have changed or reset their password."
        }
        700_082 => "The refresh token has expired due to inactivity.",
        _ => "The provided grant is not accepted any more.",
    }
}

/// What the server thread and the handles share.
struct Service {
    signer: &'static Signer,
    issuer: FakeIssuer,
    state: Mutex<State>,
}

struct State {
    directory: Directory,
    /// By client id.
    proofs: HashMap<String, Proofs>,
    /// `jti` of the assertions that certificates signed.
    spent: HashSet<String>,
    /// Claims of all assertions that were good.
    accepted: Vec<Value>,
    knobs: Knobs,
    codes: Vec<DeviceCode>,
    auth_codes: Vec<AuthCode>,
    /// Sign-in pages that nobody has clicked on yet.
    asked: Vec<Asked>,
    /// Client id and redirect URI.
    redirects: Vec<(String, String)>,
    /// By user principal name in lower case, as are the realms.
    passwords: HashMap<String, String>,
    realms: HashMap<String, Realm>,
    grants: HashMap<String, Grant>,
    faults: VecDeque<(String, Fault)>,
    log: Vec<Recorded>,
}

struct Knobs {
    person: Person,
    pending_polls: u32,
    interval: Duration,
    code_lifetime: Duration,
    token_lifetime: i64,
    refresh_in: Option<i64>,
    refresh_tokens: bool,
    rotation: Rotation,
    federated_after: u32,
    password_needs_mfa: Option<String>,
    browser_person: BrowserPerson,
    skew: i64,
}

impl State {
    fn new() -> Self {
        Self {
            directory: Directory::default_world(),
            proofs: HashMap::new(),
            spent: HashSet::new(),
            accepted: Vec::new(),
            knobs: Knobs {
                person: Person::Wait,
                pending_polls: 0,
                interval: Duration::from_secs(1),
                code_lifetime: Duration::from_secs(900),
                token_lifetime: 3600,
                refresh_in: None,
                refresh_tokens: true,
                rotation: Rotation::On,
                federated_after: 0,
                password_needs_mfa: None,
                browser_person: BrowserPerson::Wait,
                skew: 0,
            },
            codes: Vec::new(),
            auth_codes: Vec::new(),
            asked: Vec::new(),
            redirects: vec![(directory::AKS_CLIENT.to_owned(), "http://localhost".to_owned())],
            passwords: HashMap::new(),
            realms: HashMap::new(),
            grants: HashMap::new(),
            faults: VecDeque::new(),
            log: Vec::new(),
        }
    }

    /// The first planted fault for this path, taken out of the queue.
    fn next_fault(&mut self, path: &str) -> Option<Fault> {
        let meets = |(suffix, _): &(String, Fault)| path.ends_with(suffix.as_str());
        let position = self.faults.iter().position(meets)?;
        self.faults.remove(position).map(|(_, fault)| fault)
    }

    fn now(&self, skew: i64) -> i64 {
        unix_now() + self.knobs.skew + skew
    }
}

impl Service {
    /// Answers and records one request.
    fn handle(&self, request: &Request) -> Response {
        let at = Instant::now();
        let mut state = lock(&self.state);
        let fault = state.next_fault(&request.path);
        let now = state.now(fault.as_ref().map_or(0, Fault::skew));
        let correlation_id = request.header("client-request-id").map_or_else(guid, str::to_owned);
        let instead = fault.as_ref().and_then(|fault| fault.instead(&correlation_id, now));
        let mut response = instead.unwrap_or_else(|| self.answer(&mut state, request, &correlation_id, now));
        if let Some(fault) = &fault {
            response = fault.spoil(response);
        }
        state.log.push(record(request, &response, at));
        if find_header(&response.headers, "date").is_none() {
            response = response.header("Date", &http_date(now));
        }
        response.header("Cache-Control", "no-store, no-cache").header("x-ms-request-id", &guid())
    }

    /// The answer of a service without faults.
    fn answer(&self, state: &mut State, request: &Request, correlation_id: &str, now: i64) -> Response {
        let Some(route) = Route::of(request) else {
            return Response::html(404, "<html><body>404 - File or directory not found.</body></html>");
        };
        let answer = match route {
            Route::Grant(flavour, tenant, endpoint) => self.grant(state, request, flavour, tenant, endpoint, now),
            Route::Metadata(tenant, version) => metadata::tenant(state, request, tenant, version),
            Route::AdfsMetadata => Ok(metadata::adfs(request.authority())),
            Route::Instances => metadata::instances(request),
            Route::Keys => Ok(self.signer.jwks()),
            Route::Authorize(flavour, tenant) => {
                return authorize::authorize(state, request, flavour, tenant, correlation_id, now);
            }
            Route::Choice => return authorize::choice(state, request, correlation_id, now),
            Route::UserRealm(upn) => password::user_realm(state, request, upn),
        };
        match answer {
            Ok(body) => Response::json(200, &body).header("Pragma", "no-cache"),
            Err(refusal) if route.is_adfs() => refusal.adfs_response(),
            Err(refusal) => refusal.response(correlation_id, now),
        }
    }

    fn grant(
        &self,
        state: &mut State,
        request: &Request,
        flavour: Flavour,
        tenant: &str,
        endpoint: &str,
        now: i64,
    ) -> Result<Value, Refusal> {
        check_http(request, flavour, endpoint)?;
        let call = Call {
            flavour,
            tenant,
            authority: request.authority(),
            endpoint: format!("https://{}{}", request.authority(), request.path),
            form: Form::parse(&request.body)?,
            now,
        };
        match endpoint {
            "devicecode" => device::device_code(state, &call),
            _ => grants::token(state, self.signer, &call),
        }
    }
}

/// What a path asks for.
#[derive(Clone, Copy)]
enum Route<'a> {
    /// Flavour, tenant and endpoint.
    Grant(Flavour, &'a str, &'a str),
    /// Tenant, and `/v2.0` or nothing.
    Metadata(&'a str, &'a str),
    AdfsMetadata,
    Instances,
    Keys,
    /// The user principal name, still encoded.
    UserRealm(&'a str),
    /// Flavour and tenant.
    Authorize(Flavour, &'a str),
    /// A click on the sign-in page.
    Choice,
}

impl<'a> Route<'a> {
    /// AD FS has a host of its own, Entra has the others; `localhost` can be either.
    fn of(request: &'a Request) -> Option<Self> {
        let host = request.host();
        let path: Vec<&str> = request.path.split('/').skip(1).collect();
        let local = ["localhost", "127.0.0.1"].contains(&host.as_str());
        if request.path == authorize::CHOICE {
            return Some(Self::Choice);
        }
        match path.split_first()? {
            (&"adfs", rest) if local || host == ADFS_HOST => Self::in_adfs(rest),
            (tenant, rest) if local || (host != ADFS_HOST && is_entra(&host)) => Self::in_entra(request, tenant, rest),
            _ => None,
        }
    }

    fn in_adfs(path: &[&'a str]) -> Option<Self> {
        match path {
            ["oauth2", endpoint @ ("token" | "devicecode")] => Some(Self::Grant(Flavour::Adfs, "adfs", endpoint)),
            ["oauth2", "authorize"] | ["oauth2", "authorize", ""] => Some(Self::Authorize(Flavour::Adfs, "adfs")),
            [".well-known", "openid-configuration"] => Some(Self::AdfsMetadata),
            ["discovery", "keys"] => Some(Self::Keys),
            _ => None,
        }
    }

    fn in_entra(request: &Request, tenant: &'a str, path: &[&'a str]) -> Option<Self> {
        // v1 with `?api-version=1.0` is what makes the audience start with `spn:`.
        let spn = request.query == "api-version=1.0";
        match path {
            ["oauth2", "v2.0", endpoint @ ("token" | "devicecode")] => Some(Self::Grant(Flavour::V2, tenant, endpoint)),
            ["oauth2", endpoint @ ("token" | "devicecode")] => Some(Self::Grant(Flavour::V1 { spn }, tenant, endpoint)),
            ["oauth2", "v2.0", "authorize"] => Some(Self::Authorize(Flavour::V2, tenant)),
            ["oauth2", "authorize"] => Some(Self::Authorize(Flavour::V1 { spn: false }, tenant)),
            ["v2.0", ".well-known", "openid-configuration"] => Some(Self::Metadata(tenant, "/v2.0")),
            [".well-known", "openid-configuration"] => Some(Self::Metadata(tenant, "")),
            ["discovery", "instance"] if tenant == "common" => Some(Self::Instances),
            [name, upn] if tenant.eq_ignore_ascii_case("common") && name.eq_ignore_ascii_case("userrealm") => {
                Some(Self::UserRealm(upn))
            }
            ["discovery", "keys"] | ["discovery", "v2.0", "keys"] => Some(Self::Keys),
            _ => None,
        }
    }

    fn is_adfs(self) -> bool {
        matches!(self, Self::AdfsMetadata | Self::Grant(Flavour::Adfs, ..))
    }
}

fn is_entra(host: &str) -> bool {
    ENTRA_HOSTS.contains(&host)
}

fn record(request: &Request, response: &Response, at: Instant) -> Recorded {
    Recorded {
        method: request.method.clone(),
        host: request.host(),
        path: request.path.clone(),
        query: request.query.clone(),
        form: form_urlencoded::parse(&request.body).into_owned().collect(),
        headers: request.headers.clone(),
        status: response.status,
        refusal: refusal_text(response),
        connection: request.connection,
        at,
    }
}

fn refusal_text(response: &Response) -> Option<String> {
    let Ok(body) = serde_json::from_slice::<Value>(&response.body) else {
        return refusal_in_a_browser(response);
    };
    let (error, text) = (body["error"].as_str()?, body["error_description"].as_str()?);
    Some(format!("{error}: {text}"))
}

/// In the address of a redirect, or anywhere on a page.
fn refusal_in_a_browser(response: &Response) -> Option<String> {
    let location = find_header(&response.headers, "location").unwrap_or_default();
    let query = location.split_once('?').map_or("", |(_, query)| query);
    let mut fields = form_urlencoded::parse(query.as_bytes());
    let body = || String::from_utf8_lossy(&response.body).into_owned();
    let text = fields.find(|(name, _)| name == "error_description").map_or_else(body, |(_, text)| text.into_owned());
    let text = &text[text.find("AADSTS")?..];
    Some(text.split(" Trace ID").next()?.to_owned())
}

/// Method, query and content type of a request to `/token` or `/devicecode`.
fn check_http(request: &Request, flavour: Flavour, endpoint: &str) -> Result<(), Refusal> {
    if request.method != "POST" {
        return Err(Refusal::only_post(&request.method));
    }
    let v1 = matches!(flavour, Flavour::V1 { .. });
    let known = match request.query.as_str() {
        "" => true,
        "api-version=1.0" => v1,
        query => endpoint == "devicecode" && query.starts_with("mkt=") && !query.contains('&'),
    };
    if !known {
        return Err(Refusal::malformed("unknown query"));
    }
    let content_type = request.header("content-type").unwrap_or_default();
    match content_type.split(';').next().map(str::trim) {
        Some("application/x-www-form-urlencoded") => Ok(()),
        _ => Err(Refusal::malformed(&format!("content type `{content_type}`"))),
    }
}
