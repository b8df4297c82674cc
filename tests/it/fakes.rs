//! The fakes are as strict as they say: what the product's tests rely on.

mod authorize;
mod browsers;
mod cluster;
mod people;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::certificates::{Kind, pem_file};
use crate::support::entra::Claims;
use crate::support::entra::directory::{AKS_SERVER, APP, APP_SECRET, TENANT};
use crate::support::hosts::identity::TWIN;
use crate::support::hosts::{
    APP_SERVICE, ARC, CLOUD_SHELL, Challenge, Fault, GITHUB, GITHUB_TOKEN, Host, IDENTITY_HEADER, IMDS, PIPELINES,
    PIPELINES_TOKEN, SERVICE_CONNECTION, Times, USER,
};

const RESOURCE: &str = "resource=6dae42f8-4368-4678-94ff-3960e28e3630";
const AUDIENCE: &str = "api://AzureADTokenExchange";

struct Fakes {
    world: World,
    _directory: tempfile::TempDir,
}

/// Status, head and body.
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}\n{}", self.head, self.body))
    }

    /// The AADSTS number of a refusal.
    fn code(&self) -> u64 {
        self.json()["error_codes"][0].as_u64().unwrap_or_default()
    }
}

fn fakes() -> Fakes {
    let directory = tempfile::tempdir().unwrap();
    Fakes { world: World::start(directory.path()), _directory: directory }
}

fn speak(mut stream: impl Read + Write, request: &str) -> Reply {
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

fn tls(addr: SocketAddr, name: &str, config: Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config, name).unwrap(), TcpStream::connect(addr).unwrap())
}

fn text(method: &str, target: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let length = if method == "GET" { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let host = if headers.contains("Host:") { "" } else { "Host: localhost\r\n" };
    format!("{method} {target} HTTP/1.1\r\n{host}{headers}{length}Connection: close\r\n\r\n{body}")
}

impl Fakes {
    /// At the plain door of the hosts.
    fn host(&self, method: &str, target: &str, headers: &[&str], body: &str) -> Reply {
        let addr: SocketAddr = self.world.hosts.base().trim_start_matches("http://").parse().unwrap();
        speak(TcpStream::connect(addr).unwrap(), &text(method, target, headers, body))
    }

    fn get(&self, path: &str, query: &str, headers: &[&str]) -> Reply {
        self.host("GET", &format!("{path}?{query}"), headers, "")
    }

    fn imds(&self, more: &str) -> Reply {
        self.get(IMDS, &format!("api-version=2018-02-01&{RESOURCE}{more}"), &["Metadata: true"])
    }

    /// At Entra's token endpoint, client credentials.
    fn token(&self, path: &str, pairs: &[(&str, &str)]) -> Reply {
        let config = self.world.authority.client_config();
        let stream = tls(self.world.entra.addr(), "localhost", config);
        speak(stream, &text("POST", path, &["Content-Type: application/x-www-form-urlencoded"], &form(pairs)))
    }

    /// At Entra, without a body.
    fn entra_get(&self, target: &str) -> Reply {
        let config = self.world.authority.client_config();
        speak(tls(self.world.entra.addr(), "localhost", config), &text("GET", target, &[], ""))
    }

    fn exchange(&self, path: &str, assertion: &str) -> Reply {
        self.token(path, &with_assertion(path, assertion))
    }

    fn federated(&self, issuer: &str, subject: &str, audience: &str, lifetime: i64) -> Reply {
        let assertion = self.world.entra.issuer().mint(&Claims { issuer, subject, audience, lifetime });
        self.exchange(&v2(), &assertion)
    }
}

fn v2() -> String {
    format!("/{TENANT}/oauth2/v2.0/token")
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn with_assertion<'a>(path: &str, assertion: &'a str) -> Vec<(&'a str, &'a str)> {
    let wanted = if path.contains("v2.0") {
        ("scope", "6dae42f8-4368-4678-94ff-3960e28e3630/.default")
    } else {
        ("resource", AKS_SERVER)
    };
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let fixed = [("grant_type", "client_credentials"), ("client_id", APP), wanted];
    fixed.into_iter().chain([("client_assertion_type", kind), ("client_assertion", assertion)]).collect()
}

/// An assertion as a client with that PEM file would make it, after `change`.
fn signed(pem: &str, path: &str, new: bool, change: impl FnOnce(&mut Header, &mut Value)) -> String {
    let ders: Vec<Vec<u8>> = pem.split("-----BEGIN CERTIFICATE-----").skip(1).map(der).collect();
    let mut header = Header::new(if new { Algorithm::PS256 } else { Algorithm::RS256 });
    if new {
        header.x5t_s256 = Some(URL_SAFE_NO_PAD.encode(digest(&SHA256, &ders[0])));
    } else {
        header.x5t = Some(URL_SAFE_NO_PAD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &ders[0])));
    }
    header.x5c = (ders.len() > 1).then(|| ders.iter().map(|der| STANDARD.encode(der)).collect());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "aud": format!("https://localhost{path}"), "iss": APP, "sub": APP, "jti": format!("{now}-{path}-{new}"),
        "nbf": now - 60, "iat": now - 60, "exp": now + 600,
    });
    change(&mut header, &mut claims);
    encode(&header, &claims, &EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()).unwrap()
}

fn der(block: &str) -> Vec<u8> {
    let body: String = block.split("-----END").next().unwrap().split_whitespace().collect();
    STANDARD.decode(body).unwrap()
}

#[test]
fn a_certificate_stands_for_an_app() {
    let fakes = fakes();
    let pem = pem_file("app", Kind::SelfSigned);
    let (v2, v1) = (v2(), format!("/{TENANT}/oauth2/token"));
    let unchanged = |_: &mut Header, _: &mut Value| {};
    assert_eq!(fakes.exchange(&v2, &signed(&pem, &v2, true, unchanged)).code(), 700_027, "not registered");
    fakes.world.entra.certificate(pem.as_bytes());
    let good = signed(&pem, &v2, true, unchanged);
    let answer = fakes.exchange(&v2, &good).json();
    let claims = fakes.world.entra.claims(answer["access_token"].as_str().unwrap()).unwrap();
    assert_eq!((claims["appid"].as_str(), claims["aud"].as_str()), (Some(APP), Some(AKS_SERVER)));
    assert_eq!(fakes.exchange(&v2, &good).code(), 50_013, "the same assertion again");
    assert_eq!(fakes.exchange(&v2, &signed(&pem, &v2, false, unchanged)).status, 200, "the old way");
    assert_eq!(fakes.exchange(&v1, &signed(&pem, &v1, false, unchanged)).status, 200);
    assert_eq!(fakes.exchange(&v1, &signed(&pem, &v1, true, unchanged)).code(), 50_013, "v1 knows only SHA-1");
    for (code, claim, value) in [
        (50_012, "aud", json!(format!("https://localhost{v1}"))),
        (50_013, "sub", json!("somebody else")),
        (50_013, "exp", json!("soon")),
        (50_013, "exp", json!(4_000_000_000_u64)),
        (50_013, "extra", json!(1)),
        (700_024, "exp", json!(1)),
        (700_024, "nbf", json!(4_000_000_000_u64)),
    ] {
        let bad = signed(&pem, &v2, true, |_, claims| {
            claims["jti"] = json!(format!("{claim}{value}"));
            claims[claim] = value.clone();
        });
        assert_eq!(fakes.exchange(&v2, &bad).code(), code, "{claim}={value}");
    }
    let (signed_part, signature) = good.rsplit_once('.').unwrap();
    let tampered = format!("{signed_part}.{}", signature.chars().rev().collect::<String>());
    assert!([700_027, 50_013].contains(&fakes.exchange(&v2, &tampered).code()), "a signature of something else");
    assert_eq!(fakes.world.entra.accepted_assertions().len(), 3);
}

#[test]
fn a_certificate_by_name_needs_its_chain() {
    let fakes = fakes();
    let v2 = v2();
    let pem = pem_file("app.contoso.test", Kind::Chained);
    let other = pem_file("other.contoso.test", Kind::Chained);
    fakes.world.entra.certificate_name("app.contoso.test", pem.as_bytes());
    let alone = signed(&pem, &v2, true, |header, _| header.x5c = None);
    assert_eq!(fakes.exchange(&v2, &alone).code(), 700_027);
    assert_eq!(fakes.exchange(&v2, &signed(&other, &v2, true, |_, _| {})).code(), 700_030);
    assert_eq!(fakes.exchange(&v2, &signed(&pem, &v2, true, |_, _| {})).status, 200);
    let expired = pem_file("app", Kind::Expired);
    fakes.world.entra.certificate(expired.as_bytes());
    assert_eq!(fakes.exchange(&v2, &signed(&expired, &v2, true, |_, _| {})).code(), 700_027);
}

#[test]
fn one_proof_whole() {
    let fakes = fakes();
    let v2 = v2();
    let assertion = fakes.world.entra.issuer().mint(&Claims { issuer: "i", subject: "s", audience: "a", lifetime: 60 });
    let whole = with_assertion(&v2, &assertion);
    let without = |name: &str| whole.iter().copied().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    assert_eq!(fakes.token(&v2, &without("client_assertion")).code(), 900_144);
    assert_eq!(fakes.token(&v2, &without("client_assertion_type")).code(), 900_144);
    let both = [whole.clone(), vec![("client_secret", APP_SECRET)]].concat();
    assert_eq!(fakes.token(&v2, &both).code(), 9_002_313);
}

#[test]
fn a_foreign_issuer_stands_for_an_app() {
    let fakes = fakes();
    let (issuer, subject) = ("https://issuer.test", "system:serviceaccount:ns:sa");
    assert_eq!(fakes.federated(issuer, subject, AUDIENCE, 60).code(), 70_021);
    fakes.world.entra.federate(issuer, subject, AUDIENCE);
    assert_eq!(fakes.federated("https://issuer.test/", subject, AUDIENCE, 60).code(), 700_211);
    assert_eq!(fakes.federated(issuer, "system:serviceaccount:ns:other", AUDIENCE, 60).code(), 700_213);
    assert_eq!(fakes.federated(issuer, "system:serviceaccount:NS:sa", AUDIENCE, 60).code(), 7_002_138);
    assert_eq!(fakes.federated(issuer, subject, "api://azureadtokenexchange", 60).code(), 700_212);
    assert_eq!(fakes.federated(issuer, subject, AUDIENCE, -60).code(), 700_024);
    let forged = fakes.world.entra.issuer().forge(&Claims { issuer, subject, audience: AUDIENCE, lifetime: 60 });
    assert_eq!(fakes.exchange(&v2(), &forged).code(), 50_013);
    fakes.world.entra.federated_after(2);
    let codes = [(); 3].map(|()| fakes.federated(issuer, subject, &format!("{AUDIENCE},x"), 60).status);
    assert_eq!(codes, [401, 401, 200]);
    let requests = fakes.world.entra.requests();
    let (_, claims) = requests.last().unwrap().assertion().unwrap();
    assert_eq!(claims["jti"], "assertion-10");
    assert_eq!(fakes.world.entra.issuer().minted().len(), 10);
}

#[test]
fn the_token_proxy_has_one_name() {
    let fakes = fakes();
    let proxy = &fakes.world.token_proxy;
    fakes.world.entra.federate("i", "s", AUDIENCE);
    let url = proxy.url();
    let authority = url.trim_start_matches("https://").trim_end_matches("/proxy").to_owned();
    let addr: SocketAddr = authority.replace("localhost", "127.0.0.1").parse().unwrap();
    let claims = Claims { issuer: "i", subject: "s", audience: AUDIENCE, lifetime: 60 };
    let assertion = fakes.world.entra.issuer().mint(&claims);
    let path = format!("/proxy{}", v2());
    let body = form(&with_assertion(&path, &assertion));
    let host = format!("Host: {authority}");
    let request = |host: &str| text("POST", &path, &["Content-Type: application/x-www-form-urlencoded", host], &body);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der(proxy.ca_pem().split_once("-----BEGIN CERTIFICATE-----").unwrap().1).into()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let ask = |name: &str, host: &str| speak(tls(addr, name, Arc::clone(&config)), &request(host)).status;
    assert_eq!(ask("token-proxy.cluster.test", &host), 200);
    assert_eq!(ask("token-proxy.cluster.test", "Host: login.microsoftonline.com"), 421);
    let mut wrong = tls(addr, "localhost", Arc::clone(&config));
    assert!(wrong.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| wrong.flush()).is_err());
    assert_eq!(proxy.requests().len(), 2);
}

#[test]
fn imds_wants_its_header_and_one_selector() {
    let fakes = fakes();
    let token = fakes.imds("").json();
    assert!(token["expires_in"].is_string() && token["expires_on"].is_string(), "{token}");
    let claims = fakes.world.entra.claims(token["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(claims["aud"], AKS_SERVER);
    let query = format!("api-version=2018-02-01&{RESOURCE}");
    assert_eq!(fakes.get(IMDS, &query, &[]).json()["error"], "bad_request_102");
    assert_eq!(fakes.get(IMDS, &query, &["Metadata: true", "X-Forwarded-For: 10.0.0.1"]).status, 400);
    let selected = fakes.imds(&format!("&client_id={}", USER.client_id)).json();
    assert_eq!(selected["client_id"], USER.client_id);
    for bad in ["&client_id=unknown", "&principal_id=x", "&client_id=a&object_id=b", "&resource=b", "&x"] {
        assert_eq!(fakes.imds(bad).json()["error"], "invalid_request", "{bad}");
    }
    fakes.world.hosts.identities(&[&USER, &TWIN]);
    assert_eq!(fakes.imds("").status, 400, "several");
    fakes.world.hosts.inject(Host::Imds, Fault::StatusAfter(429, 3)).inject(Host::Imds, Fault::Html);
    assert!(fakes.imds("").head.contains("Retry-After: 3"));
    assert_eq!(fakes.imds("").status, 200);
    assert_eq!(fakes.world.hosts.count(Host::Imds), 12);
    fakes.world.hosts.nmi(true).identities(&[]);
    assert_eq!(fakes.imds("").body, "no azure identity found for request clientID\n");
}

#[test]
fn app_service_wants_its_secret() {
    let fakes = fakes();
    let secret = format!("X-IDENTITY-HEADER: {IDENTITY_HEADER}");
    let query = format!("api-version=2019-08-01&{RESOURCE}");
    let token = fakes.get(APP_SERVICE, &query, &[&secret, "Metadata: true"]).json();
    assert!(token["expires_on"].is_string() && token["expires_in"].is_null(), "{token}");
    assert_eq!(fakes.get(APP_SERVICE, &query, &["X-IDENTITY-HEADER: wrong"]).status, 401);
    assert_eq!(fakes.get(APP_SERVICE, &query, &[]).status, 400);
    assert_eq!(fakes.get(APP_SERVICE, &format!("{query}&msi_res_id=x"), &[&secret]).status, 400);
    let old = format!("api-version=2017-09-01&{RESOURCE}");
    let token = fakes.get(APP_SERVICE, &old, &["secret: canary-msi-secret"]).json();
    assert!(token["expires_on"].as_str().unwrap().ends_with(" +00:00"), "{token}");
    fakes.world.hosts.times(Host::AppService, Times::Number);
    assert!(fakes.get(APP_SERVICE, &query, &[&secret]).json()["expires_on"].is_number());
}

#[test]
fn service_fabric_is_known_by_its_thumbprint() {
    let fakes = fakes();
    assert_eq!(fakes.world.hosts.thumbprint().len(), 40);
    let config = fakes.world.authority.client_config();
    let url = fakes.world.hosts.service_fabric();
    let addr: SocketAddr = url.trim_start_matches("https://").split('/').next().unwrap().parse().unwrap();
    let mut stream = tls(addr, "wrong.example.test", config);
    assert!(stream.write_all(b"GET").and_then(|()| stream.flush()).is_err(), "nobody vouches for it");
}

#[test]
fn arc_challenges() {
    let fakes = fakes();
    let query = format!("api-version=2020-06-01&{RESOURCE}");
    let ask = |more: &str, headers: &[&str]| {
        fakes.get(ARC, &format!("{query}{more}"), &[headers, &["Metadata: true"]].concat())
    };
    let realm = |reply: Reply| {
        let line = reply.head.lines().find(|line| line.starts_with("WWW-Authenticate")).unwrap().to_owned();
        line.split_once("realm=").unwrap().1.to_owned()
    };
    let first = ask("", &[]);
    assert_eq!(first.status, 401);
    let path = realm(first);
    assert_eq!(Path::new(&path).parent(), Some(fakes.world.hosts.arc_keys()));
    let key = format!("Authorization: Basic {}", std::fs::read_to_string(&path).unwrap());
    assert_eq!(ask("", &[&key]).status, 200);
    assert_eq!(ask("", &[&key]).status, 403, "good for one request");
    let selected = |on| {
        fakes.world.hosts.arc_selects(on);
        let path = realm(ask("", &[]));
        let key = format!("Authorization: Basic {}", std::fs::read_to_string(&path).unwrap());
        ask(&format!("&client_id={}", USER.client_id), &[&key]).json()["client_id"].clone()
    };
    assert_eq!((selected(true), selected(false)), (json!(USER.client_id), Value::Null));
    fakes.world.hosts.arc_challenge(Challenge::TooBig);
    assert_eq!(std::fs::metadata(realm(ask("", &[]))).unwrap().len(), 5000);
}

#[test]
fn cloud_shell_and_ci() {
    let fakes = fakes();
    let form = ["Metadata: true", "Content-Type: application/x-www-form-urlencoded"];
    let token = fakes.host("POST", CLOUD_SHELL, &form, RESOURCE).json();
    let claims = fakes.world.entra.claims(token["access_token"].as_str().unwrap()).unwrap();
    assert_eq!(claims["idtyp"], "user");
    assert_eq!(fakes.host("POST", CLOUD_SHELL, &form, &format!("{RESOURCE}&client_id=x")).status, 400);

    let github = [&format!("Authorization: bearer {GITHUB_TOKEN}"), "Accept: application/json; api-version=2.0"];
    assert!(fakes.get(GITHUB, "existing=1&audience=a", &github).json()["value"].is_string());
    assert_eq!(fakes.get(GITHUB, "audience=a", &github).status, 404);
    assert_eq!(fakes.get(GITHUB, "existing=1&audience=a", &github[1..]).status, 401);

    let token = format!("Authorization: Bearer {PIPELINES_TOKEN}");
    let all = [&token, "X-TFS-FedAuthRedirect: Suppress", "Content-Type: application/json"];
    let target = format!("{PIPELINES}?api-version=7.1&serviceConnectionId={SERVICE_CONNECTION}");
    assert!(fakes.host("POST", &target, &all, "").json()["oidcToken"].is_string());
    assert_eq!(fakes.host("POST", &target, &all[1..], "").status, 302);
    assert_eq!(fakes.host("POST", PIPELINES, &all, "").status, 400);
    assert_eq!(fakes.host("GET", "/elsewhere", &[], "").status, 404);
    assert_eq!(fakes.world.entra.issuer().minted().len(), 2);
}
