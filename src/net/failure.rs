//! What went wrong on the way to the server, told apart: name, connection, certificate, proxy.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use url::Url;

use super::tls::RejectedCertificates;
use crate::sys::http::Peer;

use super::host;
use crate::error::{Error, ErrorKind, one_line};

/// Why an attempt ended without an answer.
pub(super) enum TransportFailure {
    Transport(reqwest::Error),
    TooLarge,
}

impl From<reqwest::Error> for TransportFailure {
    fn from(error: reqwest::Error) -> Self {
        TransportFailure::Transport(error)
    }
}

/// Where a request went.
pub(super) struct FailureContext<'a> {
    pub(super) url: &'a Url,
    /// The most bytes that were to be read.
    pub(super) limit: usize,
    pub(super) peer: &'static Peer,
    /// What named the proxy, and its address.
    pub(super) proxy: Option<(&'a str, &'a str)>,
}

/// Names the cause of `failure` as closely as it can be known.
pub(super) fn explain(
    failure: &TransportFailure,
    route: &FailureContext,
    refusals: &RejectedCertificates,
    now: u64,
) -> Error {
    let TransportFailure::Transport(error) = failure else { return too_large(route) };
    let causes = ErrorChain::of(error);
    let explained = match causes {
        ErrorChain { tls: Some(tls), .. } => refusals.explain(&tls, route.url, now),
        ErrorChain { name: Some(name), .. } => name_not_found(&name, route),
        ErrorChain { tunnel: Some(tunnel), .. } => through_proxy(route, &tunnel),
        ErrorChain { refused: true, .. } => refused(route),
        ErrorChain { .. } => broken(error, route),
    };
    explained.detail(format!("cause: {}", one_line(&chain(error))))
}

fn too_large(route: &FailureContext) -> Error {
    Error::new(
        route.peer.foreign_answer,
        format!("the answer of {} is larger than {} KiB", host(route.url), route.limit / 1024),
    )
}

fn name_not_found(name: &str, route: &FailureContext) -> Error {
    let what = format!("the host name {name} was not found");
    match route
        .proxy
        .filter(|(_, address)| proxy_host(address).is_some_and(|proxy| proxy.split(':').next() == Some(name)))
    {
        Some((variable, _)) => Error::new(ErrorKind::Proxy, what)
            .from_source(format!("proxy of {variable}"))
            .remedy(proxy_remedy(variable)),
        None => Error::new(ErrorKind::NameNotFound, what),
    }
}

fn refused(route: &FailureContext) -> Error {
    match route.proxy {
        Some((variable, address)) => Error::new(
            ErrorKind::Proxy,
            format!("the proxy {} refused the connection", proxy_host(address).unwrap_or_default()),
        )
        .from_source(variable)
        .remedy(proxy_remedy(variable)),
        None => not_listening(route.url),
    }
}

/// No proxy leads to this machine and its link.
fn not_listening(url: &Url) -> Error {
    let error = Error::new(ErrorKind::ConnectionRefused, format!("{} refused the connection", host(url)));
    if url.host().is_some_and(|host| crate::net::trust::is_local(&host)) {
        error.remedy("see why nothing listens there")
    } else {
        error
    }
}

fn through_proxy(route: &FailureContext, why: &str) -> Error {
    let (variable, address) = route.proxy.unwrap_or(("HTTPS_PROXY", ""));
    let proxy = proxy_host(address).unwrap_or_default();
    let (said, remedy) = if why.contains("authorization") {
        let line = proxy_line(variable, &format!("USER:PASSWORD@{proxy}"));
        ("wants a user name and password to reach", format!("write {line}"))
    } else {
        ("did not connect us to", proxy_remedy(variable))
    };
    Error::new(ErrorKind::Proxy, format!("the proxy {proxy} {said} {}", host(route.url)))
        .from_source(variable)
        .remedy(remedy)
}

fn broken(error: &reqwest::Error, route: &FailureContext) -> Error {
    // Ten seconds of silence are not tried again, a connection that broke is.
    let (kind, what) = if error.is_timeout() && error.is_connect() {
        (ErrorKind::ConnectTimeout, format!("{} does not answer", host(route.url)))
    } else if error.is_body() || error.is_decode() {
        (ErrorKind::AnswerBroken, format!("the connection to {} broke", host(route.url)))
    } else {
        (ErrorKind::ConnectionBroken, format!("the connection to {} broke", host(route.url)))
    };
    let broken = Error::new(kind, what);
    match route.proxy {
        None => broken,
        Some((variable, _)) => {
            broken.from_source(format!("through the proxy of {variable}")).remedy("look at that proxy, or try again")
        }
    }
}

/// What a kubeconfig calls a cluster's proxy.
pub(super) const PROXY_URL: &str = "proxy-url";

/// How the proxy at `place` is written where `named_by` says which one counts: a variable, or a kubeconfig.
pub(super) fn proxy_line(named_by: &str, place: &str) -> String {
    let sign = if named_by == PROXY_URL { ": " } else { "=" };
    format!("{named_by}{sign}http://{place}")
}

fn proxy_remedy(named_by: &str) -> String {
    if named_by == PROXY_URL {
        format!("correct the {PROXY_URL} of the cluster")
    } else {
        ErrorKind::Proxy.remedy().to_owned()
    }
}

/// Host and port of a proxy address, without the password that may stand before them.
fn proxy_host(address: &str) -> Option<String> {
    let with_scheme = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    Url::parse(&with_scheme).ok().map(|url| host(&url))
}

/// The causes that can be recognised in an error's chain.
#[derive(Default)]
struct ErrorChain {
    tls: Option<rustls::Error>,
    name: Option<String>,
    tunnel: Option<String>,
    refused: bool,
}

impl ErrorChain {
    fn of(error: &reqwest::Error) -> Self {
        let mut causes = Self::default();
        let mut next: Option<&(dyn StdError + 'static)> = Some(error);
        while let Some(error) = next {
            causes.note(error);
            next = inner(error).or_else(|| error.source());
        }
        causes
    }

    fn note(&mut self, error: &(dyn StdError + 'static)) {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            self.tls = Some(tls.clone());
        } else if let Some(NameNotFound(name)) = error.downcast_ref() {
            self.name = Some(name.clone());
        } else if let Some(io) = error.downcast_ref::<io::Error>() {
            self.refused |= io.kind() == io::ErrorKind::ConnectionRefused;
        } else {
            // hyper-util keeps its tunnel error private; its words are all there is.
            let text = error.to_string();
            if text.contains("proxy authorization required") || text.contains("tunnel error: unsuccessful") {
                self.tunnel = Some(text);
            }
        }
    }
}

/// An `io::Error` that wraps another error passes over it in `source`.
fn inner<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    let wrapped = error.downcast_ref::<io::Error>()?.get_ref()?;
    Some(wrapped)
}

fn chain(error: &dyn StdError) -> String {
    let mut text = String::new();
    let mut next = error.source();
    while let Some(error) = next {
        text.push_str(if text.is_empty() { "" } else { ": " });
        text.push_str(&error.to_string());
        next = error.source();
    }
    text
}

/// The resolver has no address for this name.
#[derive(Debug)]
pub(super) struct NameNotFound(pub(super) String);

impl fmt::Display for NameNotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address for {}", self.0)
    }
}

impl StdError for NameNotFound {}

#[cfg(test)]
mod tests {
    use super::proxy_host;

    #[test]
    fn a_proxy_is_named_without_its_password() {
        assert_eq!(proxy_host("http://user:pw@proxy.test:3128").as_deref(), Some("proxy.test:3128"));
        assert_eq!(proxy_host("user:pw@proxy.test:3128").as_deref(), Some("proxy.test:3128"));
    }
}
