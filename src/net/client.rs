//! The real client: reqwest over rustls, set up at the first request.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderName, LOCATION, RETRY_AFTER, USER_AGENT, WWW_AUTHENTICATE,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use url::Url;

use super::failure::{self, FailureContext, NameNotFound, PROXY_URL};
use super::tls::{self, RejectedCertificates};
use crate::sys::http::{Http, Method, Request, Response, ServerProxy, Transport};

use super::host;
use crate::error::{Error, ErrorKind};
use crate::os::BoxFuture;
use crate::os::clock::Clock;
use crate::os::env::Env;

/// A connection that isn't there after this time will not come.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Azure DevOps' name for a request.
static TRACE: HeaderName = HeaderName::from_static("x-vss-e2eid");

/// reqwest, configured from the environment snapshot and built at the first request.
pub(crate) struct ReqwestHttp {
    settings: Settings,
    ready: RefCell<Vec<Rc<Ready>>>,
}

#[derive(Debug, Clone)]
struct Settings {
    proxy: Option<(&'static str, String)>,
    no_proxy: String,
    certificates: tls::ExtraRoots,
}

/// A client for one transport.
pub(super) struct Ready {
    transport: Transport,
    /// The host that the server name stands for, which is not the same for two servers of one name.
    pub(super) stand_in: Option<String>,
    /// What named the proxy in between, and its address.
    proxy: Option<(&'static str, String)>,
    client: reqwest::Client,
    refusals: Arc<RejectedCertificates>,
}

impl ReqwestHttp {
    /// A client that follows `HTTPS_PROXY`, `NO_PROXY`, `SSL_CERT_FILE` and `SSL_CERT_DIR` of `env`.
    ///
    /// A proxy may be an exec entry's: it sees hosts' names and sealed bytes. Whom to believe is said by the
    /// user alone.
    pub(crate) fn new(env: &Env) -> Self {
        let proxy = env.first(&["HTTPS_PROXY", "https_proxy"]).map(|(name, value)| {
            let known = if name == "HTTPS_PROXY" { "HTTPS_PROXY" } else { "https_proxy" };
            (known, value.to_owned())
        });
        let no_proxy = env.first(&["NO_PROXY", "no_proxy"]).map(|(_, hosts)| hosts).unwrap_or_default();
        Self {
            settings: Settings {
                proxy,
                no_proxy: format!("{no_proxy},{NEVER_PROXIED}"),
                certificates: tls::ExtraRoots::from_env(env),
            },
            ready: RefCell::default(),
        }
    }

    /// The client for `way`, built when it is first wanted.
    pub(super) fn ready(&self, way: &Transport, url: &Url) -> Result<Rc<Ready>, Error> {
        let proxy = self.settings.proxy(way, url)?;
        let stand_in = stand_in(way, url, proxy.as_ref())?;
        let same = |ready: &&Rc<Ready>| ready.transport == *way && ready.stand_in == stand_in && ready.proxy == proxy;
        if let Some(ready) = self.ready.borrow().iter().find(same) {
            return Ok(ready.clone());
        }
        let ready = Rc::new(Ready::build(&self.settings, way, stand_in, proxy)?);
        self.ready.borrow_mut().push(ready.clone());
        Ok(ready)
    }
}

impl Settings {
    /// The proxy on the way to `url`: what names it, and its address.
    fn proxy(&self, way: &Transport, url: &Url) -> Result<Option<(&'static str, String)>, Error> {
        let of_environment = match (way, way.server().map(|server| &server.proxy)) {
            (_, Some(ServerProxy::Given(proxy))) => return Ok(Some((PROXY_URL, proxy.to_string()))),
            (Transport::Public, _) | (_, Some(ServerProxy::Environment)) => self.proxy.clone(),
            _ => None,
        };
        let Some((variable, address)) = of_environment else { return Ok(None) };
        usable(variable, &address)?;
        // It is asked for the exceptions alone: an address that it could not read would count as no proxy.
        let matcher = Matcher::builder().all("http://proxy").no(self.no_proxy.clone()).build();
        let led = url.as_str().parse::<hyper::Uri>().is_ok_and(|uri| matcher.intercept(&uri).is_some());
        Ok(led.then_some((variable, address)))
    }
}

/// Go never sends these through a proxy, and no proxy could reach them: loopback, and link-local
/// addresses such as the instance metadata service.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10";

/// What lies on this machine or its host answers a connection at once or not at all.
const DIRECT_CONNECT_LIMIT: Duration = Duration::from_secs(5);
const PROBE_CONNECT_LIMIT: Duration = Duration::from_millis(400);

impl Ready {
    fn build(
        settings: &Settings,
        way: &Transport,
        stand_in: Option<String>,
        proxy: Option<(&'static str, String)>,
    ) -> Result<Self, Error> {
        let (config, refusals) = tls::config(&settings.certificates, way)?;
        let limit = match way {
            Transport::Public => CONNECT_LIMIT,
            Transport::Probe => PROBE_CONNECT_LIMIT,
            Transport::Server(server) if server.proxy != ServerProxy::Direct => CONNECT_LIMIT,
            Transport::Direct | Transport::Pinned { .. } | Transport::Server(_) => DIRECT_CONNECT_LIMIT,
        };
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limit)
            .dns_resolver(Arc::new(Resolver {
                only: stand_in.clone(),
                address: way.server().filter(|_| proxy.is_none()).and_then(|server| server.address),
            }))
            .no_proxy();
        if let Some((named_by, address)) = &proxy {
            builder = builder.proxy(usable(named_by, address)?);
        }
        let client = builder.build().map_err(|error| {
            Error::new(ErrorKind::Tls, "the HTTP client could not be set up").detail(format!("{error:?}"))
        })?;
        Ok(Self { transport: way.clone(), stand_in, proxy, client, refusals })
    }
}

/// The host that is connected to in place of the server name that is sent.
///
/// # Errors
/// A name that cannot be sent. It is sent by putting it in the URL, as reqwest takes the name for TLS from there
/// alone. An address in that place would be connected to, and a proxy would be asked for the name: kubectl asks it
/// for the host, which here would need a connector of our own.
fn stand_in(way: &Transport, url: &Url, proxy: Option<&(&'static str, String)>) -> Result<Option<String>, Error> {
    let Some((server, name)) = way.server().and_then(|server| Some((server, server.name.as_ref()?))) else {
        return Ok(None);
    };
    let is_name = url::Host::parse(name).is_ok_and(|host| matches!(host, url::Host::Domain(_)));
    let refused = |why: &str| {
        let what = format!("{} cannot be reached under the server name {name}{why}", server.called);
        Error::new(ErrorKind::OptionInvalid, what)
    };
    if !is_name {
        return Err(refused(", which is not a host name").remedy("give a host name"));
    }
    if let Some((named_by, _)) = proxy {
        let around = if *named_by == PROXY_URL { "leave out one of the two" } else { "add the host to NO_PROXY" };
        return Err(refused(" through a proxy").from_source(*named_by).remedy(around));
    }
    Ok(url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()))
}

/// The proxy at `address`. As with kubectl, a `socks5` one looks up the names itself.
///
/// # Errors
/// An address that is none, or a scheme that reqwest would pass over in silence and connect directly. It may hold a
/// password, so the message names the variable only.
fn usable(named_by: &str, address: &str) -> Result<reqwest::Proxy, Error> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    let proxy = match scheme.to_ascii_lowercase().as_str() {
        "socks5" => reqwest::Proxy::all(format!("socks5h://{rest}")).ok(),
        "http" | "https" | "socks5h" => reqwest::Proxy::all(address).ok(),
        _ => None,
    };
    proxy.ok_or_else(|| {
        Error::new(ErrorKind::Proxy, "the proxy address is not one that can be used")
            .from_source(named_by)
            .remedy(format!("write {}", failure::proxy_line(named_by, "HOST:PORT")))
    })
}

/// Whatever is ours goes to a server only that has shown who it is. An entry's own credentials go where kubectl
/// sends them: a client certificate and [`Server::authorization`](crate::sys::http::Server::authorization).
fn admit(request: &Request) -> Result<(), Error> {
    let Some(server) = request.transport.server() else { return Ok(()) };
    let why = match request.url.scheme() {
        "https" if !server.insecure => return Ok(()),
        "https" => "whose certificate is not verified",
        _ => "which is not asked by https",
    };
    if request.is_anonymous() {
        return Ok(());
    }
    let what = format!("{} is not sent to {}, {why}", request.peer.request, server.called);
    Err(Error::new(ErrorKind::OptionInvalid, what)
        .remedy("give its https address and certificate-authority-data, and no insecure-skip-tls-verify"))
}

impl Http for ReqwestHttp {
    fn send<'a>(&'a self, request: &'a Request, limit: Duration, clock: &'a dyn Clock) -> BoxFuture<'a, Response> {
        Box::pin(async move {
            admit(request)?;
            let ready = self.ready(&request.transport, &request.url)?;
            let proxy = ready.proxy.as_ref().map(|(named_by, address)| (*named_by, address.as_str()));
            let route = FailureContext { url: &request.url, limit: request.limit, peer: request.peer, proxy };
            tokio::select! {
                answer = exchange(&ready.client, request) => {
                    answer.map_err(|error| failure::explain(&error, &route, &ready.refusals, clock.now()))
                }
                () = clock.sleep(limit) => Err(Error::new(ErrorKind::Deadline, "no answer in time")),
            }
        })
    }

    fn for_env(&self, env: &Env) -> Box<dyn Http> {
        Box::new(Self::new(env))
    }
}

async fn exchange(client: &reqwest::Client, request: &Request) -> Result<Response, failure::TransportFailure> {
    let mut answer = written(client, request).send().await?;
    let mut response = Response {
        status: answer.status().as_u16(),
        retry_after: retry_after(answer.headers()),
        date: date(answer.headers()),
        location: text(answer.headers(), &LOCATION),
        challenge: text(answer.headers(), &WWW_AUTHENTICATE),
        content_type: text(answer.headers(), &CONTENT_TYPE),
        trace: text(answer.headers(), &TRACE),
        body: Vec::new(),
    };
    while let Some(chunk) = answer.chunk().await? {
        if response.body.len() + chunk.len() > request.limit {
            return Err(failure::TransportFailure::TooLarge);
        }
        response.body.extend_from_slice(&chunk);
    }
    Ok(response)
}

fn written(client: &reqwest::Client, request: &Request) -> reqwest::RequestBuilder {
    let mut url = request.url.clone();
    let mut builder = match &request.transport {
        // The name that TLS sends is the URL's; whom the request is for stands in `Host`.
        Transport::Server(server) if server.name.as_ref().is_some_and(|name| url.set_host(Some(name)).is_ok()) => {
            on(client, request, url).header(HOST, host(&request.url))
        }
        _ => on(client, request, url),
    };
    builder = builder.header(USER_AGENT, concat!("kubentra/", env!("CARGO_PKG_VERSION")));
    let own = request.transport.server().filter(|_| request.url.scheme() == "https" && !request.has_authorization());
    if let Some(own) = own.and_then(|server| server.authorization.as_ref()) {
        builder = builder.header(AUTHORIZATION, own.expose());
    }
    for (name, value) in &request.headers {
        builder = builder.header(*name, value.expose());
    }
    builder
}

fn on(client: &reqwest::Client, request: &Request, url: Url) -> reqwest::RequestBuilder {
    match request.method {
        Method::Get => client.get(url),
        Method::Post => client.post(url).body(request.body.to_vec()),
    }
}

fn text(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.to_owned())
}

/// Seconds, or an HTTP date (RFC 9110, section 10.2.3); a date counts from the server's own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?;
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(Duration::from_secs(http_date(&value)?.saturating_sub(date(headers)?)))
}

fn date(headers: &HeaderMap) -> Option<u64> {
    http_date(&text(headers, &DATE)?)
}

fn http_date(text: &str) -> Option<u64> {
    u64::try_from(OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp()).ok()
}

/// The system's resolver, whose failure can be recognised afterwards.
struct Resolver {
    /// The one host that every name stands for, if there is one.
    only: Option<String>,
    /// The one address that every name has, if there is one.
    address: Option<IpAddr>,
}

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let name = self.only.clone().unwrap_or_else(|| name.as_str().to_owned());
        if let Some(address) = self.address {
            let address = SocketAddr::new(address, 0); // the URL's port
            return Box::pin(async move { Ok(Box::new(std::iter::once(address)) as reqwest::dns::Addrs) });
        }
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect::<Vec<_>>);
            let addresses = found.map_err(|_| NameNotFound(name))?;
            Ok(Box::new(addresses.into_iter()) as reqwest::dns::Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::http::Server;

    #[test]
    fn retry_after_as_seconds_and_as_a_date() {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, "12".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(12)));
        headers.insert(RETRY_AFTER, "Sun, 06 Nov 1994 08:49:47 GMT".parse().unwrap());
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(10)));
    }

    #[test]
    fn loopback_and_link_local_are_never_proxied() {
        let env = Env::from([("HTTPS_PROXY", "http://user:pw@proxy.test:3128"), ("NO_PROXY", ".corp.test")]);
        let http = ReqwestHttp::new(&env);
        let proxied = |url: &str, way: &Transport| http.ready(way, &Url::parse(url).unwrap()).unwrap().proxy.is_some();
        let cluster = |proxy| Transport::Server(Box::new(Server::new("the cluster", proxy)));
        for (proxy, expected) in [(ServerProxy::Environment, true), (ServerProxy::Direct, false)] {
            assert_eq!(proxied("https://cluster.example:6443/", &cluster(proxy)), expected);
        }
        for direct in ["https://c.corp.test/", "https://127.0.0.1:6443/"] {
            assert!(!proxied(direct, &cluster(ServerProxy::Environment)), "{direct}");
        }
        let direct = |url| proxied(url, &Transport::Direct);
        let proxied = |url| proxied(url, &Transport::Public);
        assert!(!direct("https://login.microsoftonline.com/"));
        assert!(proxied("https://login.microsoftonline.com/"));
        for direct in ["https://localhost/", "https://127.0.0.9/", "https://[::1]/", "https://169.254.169.254/"] {
            assert!(!proxied(direct), "{direct}");
        }
        assert!(!proxied("https://adfs.corp.test/"));
    }

    /// Whatever is written there, nothing goes past it.
    #[test]
    fn a_proxy_is_used_or_refused() {
        let url = Url::parse("https://login.microsoftonline.com/").unwrap();
        let led = |address: &str| {
            let http = ReqwestHttp::new(&Env::from([("HTTPS_PROXY", address)]));
            http.ready(&Transport::Public, &url).map(|ready| ready.proxy.is_some()).map_err(|error| error.kind())
        };
        for good in
            ["proxy.test:3128", "SOCKS5://proxy.test", "socks5h://u:p@proxy.test:1080", "http://pr\u{f6}xy.test"]
        {
            assert_eq!(led(good), Ok(true), "{good}");
        }
        for bad in ["ftp://proxy.test", "socks4://proxy.test", "http://"] {
            assert_eq!(led(bad), Err(ErrorKind::Proxy), "{bad}");
        }
    }
}
