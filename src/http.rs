//! The one HTTP client, and its one policy: no redirects, bounded bodies, bounded time, retries by
//! rule, and failures that are told apart.
//!
//! Nothing is set up before the first request; the warm path never comes here.

mod client;
mod failure;
mod tls;

use std::time::Duration;

use url::Url;
use zeroize::Zeroizing;

pub use client::ReqwestHttp;

use crate::error::Error;
use crate::secret::Secret;
use crate::situation;
use crate::sys::{BoxFuture, Deadline, Sys};

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
}

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
    /// Directly, and recognised by the SHA-1 of its certificate alone (Service Fabric).
    Pinned([u8; 20]),
    /// Directly, with these PEM roots and no others, under this server name (AKS identity bindings).
    Bound {
        /// The CA, as PEM.
        roots: Vec<u8>,
        /// The name that is sent and verified, where it is not the URL's.
        name: Option<String>,
    },
}

impl Request {
    /// A GET without headers of its own.
    pub fn get(url: Url) -> Self {
        Self { method: Method::Get, url, headers: Vec::new(), body: Zeroizing::default(), transport: Transport::Public }
    }

    /// A POST with an empty body.
    pub fn post(url: Url) -> Self {
        Self { method: Method::Post, ..Self::get(url) }
    }

    /// A POST of the form `fields`, which is what every token request is.
    pub fn form(url: Url, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::encoded_form(url, body.into_bytes())
    }

    /// A POST of a form that is encoded already.
    pub fn encoded_form(url: Url, body: Vec<u8>) -> Self {
        let body = Zeroizing::new(body);
        Self { body, ..Self::post(url) }.header("Content-Type", "application/x-www-form-urlencoded")
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Secret::new(value)));
        self
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
    /// At most [`BODY_LIMIT`] bytes.
    pub body: Vec<u8>,
}

/// No answer of a token endpoint comes near this many bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// One attempt at a request.
pub trait Http {
    /// Sends `request` once and reads the answer within `limit`.
    fn send<'a>(
        &'a self,
        request: &'a Request,
        limit: Duration,
        clock: &'a dyn crate::sys::Clock,
    ) -> BoxFuture<'a, Response>;
}

/// When a request is tried again, and what its last answer counts for.
pub struct Retry {
    /// A broken connection is tried again after these pauses.
    pub after_break: &'static [Duration],
    /// The pauses, one for each attempt, after which an answer with this status is tried again.
    pub pauses: fn(status: u16) -> &'static [Duration],
    /// Whether a server that stays busy is an error, or its last answer is for the caller to read.
    pub busy_is_an_error: bool,
}

/// The rule of token endpoints. A broken connection is told within 2 s, 429 and 5xx are given
/// three more chances (`Retry-After` goes before), and nothing else is repeated.
pub const TOKEN_ENDPOINT: Retry = Retry {
    after_break: &[Duration::from_millis(200), Duration::from_millis(600)],
    pauses: |status| {
        const PAUSES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
        if is_busy(status) { &PAUSES } else { &[] }
    },
    busy_is_an_error: true,
};

/// Whoever waits for this long is told why.
const LONG_PAUSE: Duration = Duration::from_secs(5);

/// Whether a status says that the server may answer later.
pub fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// Sends `request`, again where `retry` allows it, until `deadline`.
///
/// # Errors
/// A failure of the network or of TLS, a redirect, or, where `retry` says so, a server that stays
/// busy. Any other status is an answer and is returned.
pub async fn send(sys: &Sys, request: &Request, retry: &Retry, deadline: Deadline) -> Result<Response, Error> {
    let mut breaks = retry.after_break.iter();
    for attempt in 0.. {
        let left = deadline.left(&*sys.clock);
        if left.is_zero() {
            return Err(out_of_time(&request.url, deadline));
        }
        sys.terminal.detail(5, || said(request));
        let answer = sys.http.send(request, left, &*sys.clock).await;
        let (pause, why) = match answer {
            Err(error) if error.is(&situation::CONNECTION_BROKEN) || error.is(&situation::ANSWER_BROKEN) => {
                let why = error.what().to_owned();
                (breaks.next().copied().filter(|pause| *pause < deadline.left(&*sys.clock)).ok_or(error)?, why)
            }
            Err(error) if error.is(&situation::DEADLINE) => return Err(out_of_time(&request.url, deadline)),
            Err(error) => return Err(error),
            Ok(response) => match (retry.pauses)(response.status).get(attempt) {
                None => return accept(&request.url, retry, response),
                Some(pause) => {
                    let pause = response.retry_after.unwrap_or(*pause);
                    if pause >= deadline.left(&*sys.clock) {
                        return last_answer(&request.url, retry, response);
                    }
                    (pause, format!("{} answered HTTP {}", host(&request.url), response.status))
                }
            },
        };
        let level = u8::from(pause < LONG_PAUSE);
        sys.terminal.detail(level, || format!("{why}; trying again in {} s", pause.as_secs_f32()));
        sys.clock.sleep(pause).await;
    }
    unreachable!("attempts are counted without end")
}

/// What is said about a request: queries of metadata services name audiences and selectors, and
/// nothing secret; a GitHub request URL is a capability, so its query stays untold.
fn said(request: &Request) -> String {
    let method = if request.method == Method::Get { "GET" } else { "POST" };
    let mut url = request.url.clone();
    let known = request.transport != Transport::Public || url.query().is_none_or(|query| query == "api-version=1.0");
    if !known {
        url.set_query(None);
    }
    format!("{method} {url}")
}

fn accept(url: &Url, retry: &Retry, response: Response) -> Result<Response, Error> {
    if is_busy(response.status) {
        return last_answer(url, retry, response);
    }
    match response.status {
        300..=399 => Err(redirected(url, &response)),
        _ => Ok(response),
    }
}

fn last_answer(url: &Url, retry: &Retry, response: Response) -> Result<Response, Error> {
    if retry.busy_is_an_error { Err(stays_busy(url, &response)) } else { Ok(response) }
}

fn redirected(url: &Url, response: &Response) -> Error {
    let target = response.location.as_deref().unwrap_or("nowhere");
    let shown = Url::parse(target).ok().and_then(|url| url.host_str().map(String::from));
    Error::new(
        &situation::REDIRECTED,
        format!(
            "{} answered the token request with a redirect to {} (HTTP {}), which is never followed",
            host(url),
            shown.as_deref().unwrap_or("another address"),
            response.status
        ),
    )
}

fn stays_busy(url: &Url, response: &Response) -> Error {
    let wait = response.retry_after.map(|time| format!(" and asks to wait {} s", time.as_secs())).unwrap_or_default();
    Error::new(&situation::UNAVAILABLE, format!("{} answered HTTP {}{wait}", host(url), response.status))
        .not_before(response.retry_after)
}

fn out_of_time(url: &Url, deadline: Deadline) -> Error {
    Error::new(&situation::DEADLINE, format!("no answer from {} in {} s", host(url), deadline.given().as_secs_f32()))
}

/// Host and, where it isn't the usual one, port of `url`, for messages.
pub fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

#[cfg(test)]
pub(crate) mod fake {
    //! Scripted answers, for tests of retries and polling.

    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::{BoxFuture, Duration, Error, Http, Method, Request, Response, Transport};

    /// Gives the scripted answers in turn and records the requests.
    #[derive(Default)]
    pub(crate) struct FakeHttp {
        pub(crate) answers: RefCell<VecDeque<Result<Response, Error>>>,
        pub(crate) forms: std::rc::Rc<RefCell<Vec<String>>>,
        pub(crate) requests: std::rc::Rc<RefCell<Vec<Recorded>>>,
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
            _: &'a dyn crate::sys::Clock,
        ) -> BoxFuture<'a, Response> {
            self.forms.borrow_mut().push(String::from_utf8_lossy(&request.body).into_owned());
            self.requests.borrow_mut().push(request.into());
            let answer = self.answers.borrow_mut().pop_front().expect("an answer for every request");
            Box::pin(std::future::ready(answer))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fake::FakeClock;
    use crate::sys::{Clock, Env};
    use crate::terminal::Terminal;

    #[expect(clippy::unnecessary_wraps, reason = "scripted answers are results")]
    fn answer(status: u16, retry_after: Option<u64>) -> Result<Response, Error> {
        Ok(Response { status, retry_after: retry_after.map(Duration::from_secs), ..Response::default() })
    }

    fn broken() -> Result<Response, Error> {
        Err(Error::new(&situation::CONNECTION_BROKEN, "broken"))
    }

    /// Sends one post against the scripted answers; gives the outcome and the milliseconds it took.
    fn outcome(answers: Vec<Result<Response, Error>>, limit: u64) -> (Result<u16, String>, u128) {
        let clock = FakeClock::default();
        let http = fake::FakeHttp { answers: std::cell::RefCell::new(answers.into()), ..Default::default() };
        let sys = Sys {
            args: Vec::new(),
            env: Env::default(),
            clock: Box::new(clock.clone()),
            http: Box::new(http),
            tools: Box::new(crate::process::fake::NoTools),
            browser: Box::new(crate::browser::fake::NoBrowser),
            parent: Vec::new,
            terminal: Terminal::to(std::io::sink()),
        };
        let request = Request::form(Url::parse("https://login.example/t").unwrap(), &[("a", "b")]);
        let deadline = Deadline::after(&clock, Duration::from_secs(limit));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(send(&sys, &request, &TOKEN_ENDPOINT, deadline));
        (result.map(|r| r.status).map_err(|e| e.to_string()), clock.monotonic().as_millis())
    }

    #[test]
    fn retry_after_is_honoured() {
        assert_eq!(outcome(vec![answer(429, Some(7)), answer(200, None)], 60), (Ok(200), 7000));
    }

    #[test]
    fn a_wait_beyond_the_deadline_is_refused_at_once() {
        let (result, time) = outcome(vec![answer(503, Some(120))], 60);
        assert_eq!(
            result.unwrap_err(),
            "login.example answered HTTP 503 and asks to wait 120 s; wait, then run the command again"
        );
        assert_eq!(time, 0);
    }

    #[test]
    fn four_attempts_at_a_busy_server() {
        let answers = vec![answer(500, None), answer(502, None), answer(503, None), answer(503, None)];
        let (result, time) = outcome(answers, 60);
        assert!(result.unwrap_err().starts_with("login.example answered HTTP 503;"));
        assert_eq!(time, 7000);
    }

    #[test]
    fn a_broken_connection_is_told_within_two_seconds() {
        let (result, time) = outcome(vec![broken(), broken(), broken()], 60);
        assert!(result.unwrap_err().starts_with("broken;"));
        assert!(time < 2000);
    }

    #[test]
    fn a_redirect_is_an_error() {
        let redirect =
            Response { status: 307, location: Some("http://evil.example/take?secret=1".into()), ..Response::default() };
        let (result, _) = outcome(vec![Ok(redirect)], 60);
        let text = result.unwrap_err();
        assert!(text.contains("a redirect to evil.example (HTTP 307), which is never followed"), "{text}");
        assert!(!text.contains("secret"));
    }

    #[test]
    fn a_400_is_an_answer() {
        assert_eq!(outcome(vec![answer(400, None)], 60), (Ok(400), 0));
    }
}
