//! The API server of an AKS cluster: enough of one for `kubectl get namespaces`,
//! `kubectl auth whoami` and `kubectl get --raw /version`.
//!
//! It reads the bearer token as AKS does (its `guard` webhook): signature, issuer of the one
//! tenant, audience, time; the user is called by `upn` or else by `oid`. As an Arc cluster it takes
//! such a token only within a signed request (see [`super::pop`]).

use super::clock::unix_now;
use super::entra::FakeEntra;
use super::entra::directory::{AKS_SERVER, TENANT};
use super::http::{Request, Response, Server};
use super::listener::lock;
use super::pop::PopRules;
use super::tls::{Authority, Leaf};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

/// A handle to a running API server. Clones share everything; it stops with the last one.
#[derive(Clone)]
pub struct FakeApiServer {
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
    ca_pem: String,
}

/// One request to the API server.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The bearer token as sent, if there was one.
    pub token: Option<String>,
    /// Who it was; or why the server does not believe it.
    pub user: Result<String, String>,
    /// The status answered.
    pub status: u16,
}

struct State {
    tenant: String,
    server_id: String,
    legacy: bool,
    pop: Option<PopRules>,
    /// How much further the server's clock is, in seconds.
    ahead: i64,
    revoked: HashSet<String>,
    forbidden: HashSet<String>,
    reject: u32,
    log: Vec<ApiRequest>,
}

/// Who the API server takes somebody for.
struct UserInfo {
    name: String,
    oid: String,
    groups: Vec<String>,
}

impl FakeApiServer {
    /// A cluster that takes tokens of the default tenant for the AKS server app.
    pub fn start(authority: &Authority, entra: &FakeEntra) -> Self {
        Self::start_with(authority, entra, Leaf::Good)
    }

    /// Starts with a certificate of choice.
    pub fn start_with(authority: &Authority, entra: &FakeEntra, leaf: Leaf) -> Self {
        let state = Arc::new(Mutex::new(State::new()));
        let (shared, entra) = (Arc::clone(&state), entra.clone());
        let tls = authority.server_config_with(leaf, &["127.0.0.1", "localhost"]);
        let server = Server::start(Some(tls), move |request| handle(&shared, &entra, request));
        Self { server: Arc::new(server), state, ca_pem: authority.ca_pem() }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("https://{}", self.addr())
    }

    /// The CA that its certificate is signed by.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// A kubeconfig (in JSON, which is YAML too) for one cluster, context and user, all called
    /// `fake`. `user` is the user's stanza, such as `{"token": "…"}` or `{"exec": {…}}`.
    pub fn kubeconfig(&self, user: &Value) -> String {
        let cluster = json!({
            "server": self.url(),
            "certificate-authority-data": STANDARD.encode(&self.ca_pem),
        });
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": cluster}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
            "current-context": "fake",
            "users": [{"name": "fake", "user": user}],
        });
        format!("{config:#}\n")
    }

    /// The tenant whose tokens it takes.
    pub fn tenant(&self, tenant: &str) -> &Self {
        self.arrange(|state| state.tenant = tenant.to_owned())
    }

    /// The audience it demands.
    pub fn server_id(&self, server_id: &str) -> &Self {
        self.arrange(|state| state.server_id = server_id.to_owned())
    }

    /// Whether it is one of the retired integrations, which want `spn:` before the server id.
    pub fn legacy(&self, on: bool) -> &Self {
        self.arrange(|state| state.legacy = on)
    }

    /// From now on it is the Arc cluster with this ARM id: bearer tokens must be signed requests for
    /// it, good for 15 minutes.
    pub fn pop(&self, host: &str) -> &Self {
        self.arrange(|state| state.pop = Some(PopRules { host: host.to_owned(), validity: 15 * 60 }))
    }

    /// For how many seconds a signed request is good. Panics before [`pop`](Self::pop).
    pub fn pop_validity(&self, seconds: i64) -> &Self {
        self.arrange(|state| state.pop.as_mut().expect("an Arc cluster").validity = seconds)
    }

    /// Its clock is so many seconds further than everybody's: later becomes now.
    pub fn clock_ahead(&self, seconds: i64) -> &Self {
        self.arrange(|state| state.ahead = seconds)
    }

    /// From now on answers 401 to this token, also within a signed request.
    pub fn revoke(&self, token: &str) -> &Self {
        self.arrange(|state| {
            state.revoked.insert(token.to_owned());
        })
    }

    /// Answers 401 to the next `count` requests, whatever they carry.
    pub fn reject_next(&self, count: u32) -> &Self {
        self.arrange(|state| state.reject = count)
    }

    /// Answers 403 to this user from now on, except to the question who it is.
    pub fn forbid(&self, user: &str) -> &Self {
        self.arrange(|state| {
            state.forbidden.insert(user.to_owned());
        })
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<ApiRequest> {
        lock(&self.state).log.clone()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) -> &Self {
        self.arrange(|state| state.log.clear())
    }

    /// TCP connections so far.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    fn arrange(&self, change: impl FnOnce(&mut State)) -> &Self {
        change(&mut lock(&self.state));
        self
    }
}

impl State {
    fn new() -> Self {
        Self {
            tenant: TENANT.to_owned(),
            server_id: AKS_SERVER.to_owned(),
            legacy: false,
            pop: None,
            ahead: 0,
            revoked: HashSet::new(),
            forbidden: HashSet::new(),
            reject: 0,
            log: Vec::new(),
        }
    }

    fn audience(&self) -> String {
        let prefix = if self.legacy { "spn:" } else { "" };
        format!("{prefix}{}", self.server_id)
    }
}

fn handle(state: &Mutex<State>, entra: &FakeEntra, request: &Request) -> Response {
    let mut state = lock(state);
    let token = bearer(request);
    let user = authenticate(&mut state, entra, token);
    let response = match &user {
        Err(_) => status(401, "Unauthorized", "Unauthorized"),
        Ok(user) => serve(&state, request, user),
    };
    state.log.push(ApiRequest {
        method: request.method.clone(),
        path: request.path.clone(),
        query: request.query.clone(),
        token: token.map(str::to_owned),
        user: user.map(|user| user.name),
        status: response.status,
    });
    response
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// Who sent the token; `Err` says for the log what kubectl's user is never told.
fn authenticate(state: &mut State, entra: &FakeEntra, token: Option<&str>) -> Result<UserInfo, String> {
    if state.reject > 0 {
        state.reject -= 1;
        return Err("rejected because the test said so".to_owned());
    }
    let token = token.ok_or("no bearer token")?;
    let now = unix_now() + state.ahead;
    let inner = state.pop.as_ref().map(|rules| rules.open(token, now)).transpose()?;
    let access_token = inner.as_deref().unwrap_or(token);
    if [token, access_token].iter().any(|token| state.revoked.contains(*token)) {
        return Err("revoked".to_owned());
    }
    let claims = entra.claims(access_token).ok_or("not signed by the trusted Entra")?;
    if state.pop.is_none() && !claims["cnf"].is_null() {
        return Err("a token that is bound to a key, without the key".to_owned());
    }
    expect_claim(&claims, "iss", &format!("https://sts.windows.net/{}/", state.tenant))?;
    expect_claim(&claims, "aud", &state.audience())?;
    check_time(&claims, now)?;
    user_info(&claims)
}

fn expect_claim(claims: &Value, name: &str, expected: &str) -> Result<(), String> {
    match claims[name].as_str() {
        Some(actual) if actual == expected => Ok(()),
        _ => Err(format!("{name} is {}, not \"{expected}\"", claims[name])),
    }
}

fn check_time(claims: &Value, now: i64) -> Result<(), String> {
    let (from, until) = (claims["nbf"].as_i64(), claims["exp"].as_i64());
    if from.is_none_or(|from| now < from) {
        return Err(format!("not valid before {}", claims["nbf"]));
    }
    if until.is_none_or(|until| now >= until) {
        return Err(format!("expired at {}", claims["exp"]));
    }
    Ok(())
}

fn user_info(claims: &Value) -> Result<UserInfo, String> {
    let oid = claims["oid"].as_str().ok_or("no oid")?.to_owned();
    let groups = claims["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(UserInfo {
        name: claims["upn"].as_str().unwrap_or(&oid).to_owned(),
        groups: groups.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        oid,
    })
}

/// Answers somebody who is known.
fn serve(state: &State, request: &Request, user: &UserInfo) -> Response {
    let path: Vec<&str> = request.path.split('/').skip(1).collect();
    if let ["apis", "authentication.k8s.io", version, "selfsubjectreviews"] = path.as_slice() {
        return match request.method.as_str() {
            "POST" => Response::json(201, &self_subject_review(version, user)),
            _ => status(405, "MethodNotAllowed", "the server does not allow this method"),
        };
    }
    if state.forbidden.contains(&user.name) {
        let message = format!("User \"{}\" cannot {}", user.name, request.path);
        return status(403, "Forbidden", &message);
    }
    if request.method == "GET" && wants_table(request) && path == ["api", "v1", "namespaces"] {
        return Response::json(200, &namespace_table());
    }
    match (request.method.as_str(), discovery(&path)) {
        ("GET", Some(answer)) => Response::json(200, &answer),
        _ => status(404, "NotFound", "the server could not find the requested resource"),
    }
}

/// What can be read: versions, discovery, and three namespaces.
fn discovery(path: &[&str]) -> Option<Value> {
    Some(match path {
        ["version"] => json!({
            "major": "1", "minor": "32", "gitVersion": "v1.32.4-fake", "gitCommit": "0",
            "gitTreeState": "clean", "buildDate": "2025-01-01T00:00:00Z",
            "goVersion": "go1.23", "compiler": "gc", "platform": "linux/amd64",
        }),
        ["api"] => json!({"kind": "APIVersions", "versions": ["v1"]}),
        ["apis"] => json!({
            "kind": "APIGroupList", "apiVersion": "v1",
            "groups": [api_group("authentication.k8s.io")],
        }),
        ["api", "v1"] => resource_list(
            "v1",
            &json!([{
                "name": "namespaces", "singularName": "namespace", "namespaced": false,
                "kind": "Namespace", "verbs": ["get", "list"], "shortNames": ["ns"],
            }]),
        ),
        ["apis", "authentication.k8s.io", version @ ("v1" | "v1beta1" | "v1alpha1")] => {
            let review = json!([{
                "name": "selfsubjectreviews", "singularName": "selfsubjectreview",
                "namespaced": false, "kind": "SelfSubjectReview", "verbs": ["create"],
            }]);
            resource_list(&format!("authentication.k8s.io/{version}"), &review)
        }
        ["api", "v1", "namespaces"] => namespaces(),
        ["api", "v1", "namespaces", name] if NAMESPACES.contains(name) => {
            let mut one = namespace(name);
            one["kind"] = json!("Namespace");
            one["apiVersion"] = json!("v1");
            one
        }
        _ => return None,
    })
}

const NAMESPACES: [&str; 3] = ["default", "kube-public", "kube-system"];

fn namespaces() -> Value {
    let items: Vec<Value> = NAMESPACES.into_iter().map(namespace).collect();
    json!({
        "kind": "NamespaceList", "apiVersion": "v1",
        "metadata": {"resourceVersion": "1"}, "items": items,
    })
}

/// kubectl prefers the server's own columns for what people read.
fn wants_table(request: &Request) -> bool {
    let accept = request.header("accept").unwrap_or_default();
    accept.contains("as=Table;v=v1;")
}

fn namespace_table() -> Value {
    let column = |name: &str| {
        let mut column = json!({"name": name, "type": "string", "format": ""});
        column["description"] = json!("");
        column["priority"] = json!(0);
        column
    };
    let row = |name: &str| {
        let metadata = &namespace(name)["metadata"];
        let object = json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        });
        json!({"cells": [name, "Active", "1d"], "object": object})
    };
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"},
        "columnDefinitions": [column("Name"), column("Status"), column("Age")],
        "rows": NAMESPACES.map(row),
    })
}

fn namespace(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1",
            "creationTimestamp": "2025-01-01T00:00:00Z",
        },
        "status": {"phase": "Active"},
    })
}

fn api_group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resource_list(group_version: &str, resources: &Value) -> Value {
    json!({
        "kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": group_version, "resources": resources,
    })
}

fn self_subject_review(version: &str, user: &UserInfo) -> Value {
    let mut groups = user.groups.clone();
    groups.push("system:authenticated".to_owned());
    json!({
        "kind": "SelfSubjectReview",
        "apiVersion": format!("authentication.k8s.io/{version}"),
        "metadata": {"creationTimestamp": null},
        "status": {"userInfo": {
            "username": user.name, "groups": groups, "extra": {"oid": [user.oid]},
        }},
    })
}

fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code,
    });
    Response::json(code, &body)
}
