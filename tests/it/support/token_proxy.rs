//! The token proxy of AKS' identity bindings: TLS under a name and a CA of its own, and Entra's
//! token endpoint behind it.

use super::entra::FakeEntra;
use super::http::{Request, Response, Server};
use super::listener::lock;
use super::tls::Authority;
use std::sync::{Arc, Mutex, OnceLock};

/// `AZURE_KUBERNETES_SNI_NAME`: the only name that the certificate has and that is answered to.
pub const SNI_NAME: &str = "token-proxy.cluster.test";
/// The path of `AZURE_KUBERNETES_TOKEN_PROXY`, before Entra's own.
const PREFIX: &str = "/proxy";

/// A handle to a running proxy.
#[derive(Clone)]
pub struct TokenProxy {
    server: Arc<Server>,
    log: Arc<Mutex<Vec<ProxyRequest>>>,
}

/// One request and its answer. Connections under another name never become one.
#[derive(Clone, Debug)]
pub struct ProxyRequest {
    /// `POST`, or what was tried instead.
    pub method: String,
    /// The path with the prefix.
    pub path: String,
    /// The query, without `?`.
    pub query: String,
    /// The `Host` header.
    pub authority: String,
    /// The status answered.
    pub status: u16,
}

impl TokenProxy {
    /// Starts in front of `entra`.
    pub fn start(entra: &FakeEntra) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let (shared, entra) = (Arc::clone(&log), entra.clone());
        let port = Arc::new(OnceLock::new());
        let own_port = Arc::clone(&port);
        let tls = authority().server_config_for_sni(SNI_NAME);
        let server = Server::start(Some(tls), move |request| {
            let response = serve(&entra, request, *own_port.wait());
            lock(&shared).push(ProxyRequest {
                method: request.method.clone(),
                path: request.path.clone(),
                query: request.query.clone(),
                authority: request.authority().to_owned(),
                status: response.status,
            });
            response
        });
        let _ = port.set(server.addr().port());
        Self { server: Arc::new(server), log }
    }

    /// `AZURE_KUBERNETES_TOKEN_PROXY`
    pub fn url(&self) -> String {
        format!("https://{}{PREFIX}", self.host())
    }

    /// Its name and port.
    pub fn host(&self) -> String {
        format!("localhost:{}", self.server.addr().port())
    }

    /// The PEM of its CA, which nothing else is signed by.
    pub fn ca_pem(&self) -> String {
        authority().ca_pem()
    }

    /// All requests since the start or the last [`clear_log`](Self::clear_log).
    pub fn requests(&self) -> Vec<ProxyRequest> {
        lock(&self.log).clone()
    }

    /// Forgets the requests so far.
    pub fn clear_log(&self) {
        lock(&self.log).clear();
    }

    /// TCP connections so far, including those under a wrong name.
    pub fn connections(&self) -> usize {
        self.server.connections()
    }
}

fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

/// Token requests of v2 and nothing else; what else a client wants, Entra has to tell it itself.
fn serve(entra: &FakeEntra, request: &Request, port: u16) -> Response {
    if request.authority() != format!("localhost:{port}") {
        return Response::text(421, "this is not the host you are looking for\n");
    }
    let path = request.path.strip_prefix(PREFIX).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    if request.method != "POST" || !matches!(parts.as_slice(), ["", _, "oauth2", "v2.0", "token"]) {
        return Response::text(404, "only token requests\n");
    }
    let body = form_urlencoded::parse(&request.body);
    if !body.into_iter().any(|(name, _)| name == "client_assertion") {
        return Response::text(403, "only assertions\n");
    }
    let mut inner = request.clone();
    inner.path = path.to_owned();
    inner.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
    inner.headers.push(("Host".to_owned(), "login.microsoftonline.com".to_owned()));
    entra.forward(&inner)
}
