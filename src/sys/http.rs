//! HTTP as the rest of the program sees it: a request, its answer, and who sends one.

use std::net::IpAddr;
use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

use crate::error::ErrorKind;
use crate::os::BoxFuture;
use crate::os::clock::Clock;
use crate::os::env::Env;
use crate::secret::Secret;

/// One request, whoever it is for.
pub struct Request {
    /// GET or POST.
    pub method: Method,
    /// Where to.
    pub url: Url,
    /// Names and values; what is said about a request never holds the values.
    pub headers: Vec<(&'static str, Secret)>,
    /// The body. It carries secrets, so it is wiped and never logged.
    pub body: Zeroizing<Vec<u8>>,
    /// How the other side is reached, and how it is recognised.
    pub transport: Transport,
    /// At most so many bytes of an answer are read; a longer one is an error.
    pub limit: usize,
    /// What is said of the other side.
    pub peer: &'static Peer,
}

/// What messages say of whoever is asked.
#[derive(Debug, PartialEq, Eq)]
pub struct Peer {
    /// What the request is called: "the token request".
    pub request: &'static str,
    /// The kind of error that an answer is which cannot be the server's own.
    pub foreign_answer: ErrorKind,
}

/// A token endpoint of Entra, or whoever else hands out tokens.
pub(crate) static TOKEN_GIVER: Peer = Peer { request: "the token request", foreign_answer: ErrorKind::NotEntra };

/// What a request asks a server to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reading.
    Get,
    /// Everything that changes something there, and every token request.
    Post,
}

/// How a server is reached, and how it is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Through the proxy of the environment, where it names one, and trusted as every public host is.
    Public,
    /// Never through a proxy: what hands out identities lies on this machine or beside it, and a
    /// proxy that answers in its place would be given the request's secret.
    Direct,
    /// As `Direct`, for a look whether anybody is there: a connection that does not stand in 0.4 s
    /// means that nobody is.
    Probe,
    /// Directly, and recognised by the SHA-1 of its certificate alone.
    Pinned {
        /// The certificate's SHA-1.
        sha1: [u8; 20],
        /// What says so, for messages.
        named_by: &'static str,
        /// What to do where it shows another.
        remedy: &'static str,
    },
    /// As a kubeconfig describes a server, or the variables of an AKS identity binding.
    Server(Box<Server>),
}

impl Transport {
    /// The server, where its caller describes it.
    pub fn server(&self) -> Option<&Server> {
        if let Self::Server(server) = self { Some(server) } else { None }
    }
}

/// A server whose caller says how it is reached and recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What it is called in messages: "the token proxy".
    pub called: &'static str,
    /// The only CAs that are believed, as PEM (`certificate-authority-data`); the system's where there are none.
    pub roots: Option<Vec<u8>>,
    /// The name that is sent and verified, where it is not the URL's (`tls-server-name`): a
    /// host name, and not through a proxy.
    pub name: Option<String>,
    /// Who we are (`client-certificate-data`, `client-key-data`).
    pub client: Option<ClientCertificate>,
    /// The entry's own `Authorization` (a token or password of the kubeconfig), which goes wherever kubectl sends
    /// it: to an unverified server, but never without TLS. A token that we have had is no part of it: it is a header
    /// of the request, in whose place this is not sent.
    pub authorization: Option<Secret>,
    /// The proxy in between.
    pub proxy: ServerProxy,
    /// Where the connection goes, whatever addresses the name has; with a proxy it is the proxy that looks. The
    /// port is always the URL's.
    pub address: Option<IpAddr>,
    /// Whether any certificate is accepted (`insecure-skip-tls-verify`). Requests that carry anything of ours are
    /// then refused ([`Request::is_anonymous`]).
    pub insecure: bool,
}

/// Which proxy leads to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerProxy {
    /// None.
    Direct,
    /// The environment's, as for kubectl and a cluster without `proxy-url`.
    Environment,
    /// This one (`proxy-url`): http, https or socks5.
    Given(Url),
}

impl Server {
    /// A server with the system's roots behind `proxy` and nothing special, which messages call `called`.
    pub fn new(called: &'static str, proxy: ServerProxy) -> Self {
        let (roots, name, client, authorization, address) = (None, None, None, None, None);
        Self { called, roots, name, client, authorization, proxy, address, insecure: false }
    }
}

/// A certificate that a client shows, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and its chain, as PEM.
    pub certificates: Vec<u8>,
    /// The key, as PEM.
    pub key: Secret,
}

impl Request {
    /// A GET without headers of its own, of whom messages speak as `peer` says.
    pub fn get(url: Url, peer: &'static Peer) -> Self {
        Self {
            method: Method::Get,
            url,
            headers: Vec::new(),
            body: Zeroizing::default(),
            transport: Transport::Public,
            limit: BODY_LIMIT,
            peer,
        }
    }

    /// A POST with an empty body.
    pub fn post(url: Url, peer: &'static Peer) -> Self {
        Self { method: Method::Post, ..Self::get(url, peer) }
    }

    /// A POST of the form `fields`, which is what every token request is.
    pub fn form(url: Url, fields: &[(&str, &str)], peer: &'static Peer) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::encoded_form(url, body.into_bytes(), peer)
    }

    /// A POST of a form that is encoded already.
    pub fn encoded_form(url: Url, body: Vec<u8>, peer: &'static Peer) -> Self {
        let body = Zeroizing::new(body);
        Self { body, ..Self::post(url, peer) }.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// A POST of `content` as JSON.
    pub fn json(url: Url, content: &serde_json::Value, peer: &'static Peer) -> Self {
        let body = Zeroizing::new(content.to_string().into_bytes());
        Self { body, ..Self::post(url, peer) }.header("Content-Type", "application/json")
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Secret::new(value)));
        self
    }

    /// Whether it holds nothing that proves an identity: only headers that never do, no user or password in the
    /// address, and no question for a token.
    pub fn is_anonymous(&self) -> bool {
        let plain = |name: &str| ["accept", "content-type"].iter().any(|known| name.eq_ignore_ascii_case(known));
        let nobody = self.url.username().is_empty() && self.url.password().is_none();
        self.peer != &TOKEN_GIVER && nobody && self.headers.iter().all(|(name, _)| plain(name))
    }

    /// Whether it says itself who asks.
    pub fn has_authorization(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    }

    /// On another way than the public one.
    #[must_use]
    pub fn over(self, way: Transport) -> Self {
        Self { transport: way, ..self }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Default, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// How long the server asks to wait (`Retry-After`), in whole seconds.
    pub retry_after: Option<Duration>,
    /// The server's clock (`Date`), in seconds since the Unix epoch.
    pub date: Option<u64>,
    /// Where a redirect points; it is never followed.
    pub location: Option<String>,
    /// The challenge of a 401 (`WWW-Authenticate`).
    pub challenge: Option<String>,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// What Azure DevOps calls the request by (`x-vss-e2eid`), for those who look for it there.
    pub trace: Option<String>,
    /// At most as many bytes as [`Request::limit`] says.
    pub body: Vec<u8>,
}

/// No answer of a token endpoint comes near this many bytes.
pub(crate) const BODY_LIMIT: usize = 1024 * 1024;

/// One attempt at a request.
pub trait Http {
    /// Sends `request` once and reads the answer within `limit`.
    fn send<'a>(&'a self, request: &'a Request, limit: Duration, clock: &'a dyn Clock) -> BoxFuture<'a, Response>;

    /// The same for another environment.
    fn for_env(&self, env: &Env) -> Box<dyn Http>;
}

#[cfg(test)]
pub(crate) mod fake {
    //! Scripted answers, for tests of retries and polling.

    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use super::{BoxFuture, Duration, Env, Http, Method, Request, Response, Transport};

    use crate::error::Error;

    /// Gives the scripted answers in turn and records the requests.
    #[derive(Default, Clone)]
    pub(crate) struct FakeHttp {
        pub(crate) answers: Rc<RefCell<VecDeque<Result<Response, Error>>>>,
        pub(crate) forms: Rc<RefCell<Vec<String>>>,
        pub(crate) requests: Rc<RefCell<Vec<Recorded>>>,
    }

    impl FakeHttp {
        /// One that gives `answers`.
        pub(crate) fn answering(answers: impl IntoIterator<Item = Result<Response, Error>>) -> Self {
            Self { answers: Rc::new(RefCell::new(answers.into_iter().collect())), ..Self::default() }
        }
    }

    /// A request with nothing hidden.
    #[derive(Debug, PartialEq, Eq)]
    pub(crate) struct Recorded {
        pub(crate) method: Method,
        pub(crate) url: String,
        pub(crate) headers: Vec<(&'static str, String)>,
        pub(crate) body: String,
        pub(crate) way: Transport,
    }

    impl From<&Request> for Recorded {
        fn from(request: &Request) -> Self {
            Self {
                method: request.method,
                url: request.url.to_string(),
                headers: request.headers.iter().map(|(name, value)| (*name, value.expose().to_owned())).collect(),
                body: String::from_utf8_lossy(&request.body).into_owned(),
                way: request.transport.clone(),
            }
        }
    }

    impl Http for FakeHttp {
        fn send<'a>(
            &'a self,
            request: &'a Request,
            _: Duration,
            _: &'a dyn crate::os::clock::Clock,
        ) -> BoxFuture<'a, Response> {
            self.forms.borrow_mut().push(String::from_utf8_lossy(&request.body).into_owned());
            self.requests.borrow_mut().push(request.into());
            let answer = self.answers.borrow_mut().pop_front().expect("an answer for every request");
            Box::pin(std::future::ready(answer))
        }

        fn for_env(&self, _: &Env) -> Box<dyn Http> {
            Box::new(self.clone())
        }
    }
}
