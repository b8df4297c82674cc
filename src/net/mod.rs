//! The one HTTP client, and its one policy: no redirects, bounded bodies, bounded time, retries by
//! rule, and failures that are told apart.
//!
//! Nothing is set up before the first request; the warm path never comes here.

mod client;
mod failure;
#[cfg(test)]
mod server_tests;
mod tls;
pub(crate) mod trust;

use std::time::Duration;

use url::Url;

pub(crate) use client::ReqwestHttp;

use crate::error::{Error, ErrorKind};
use crate::os::clock::Deadline;
use crate::sys::Sys;
use crate::sys::http::{Method, Request, Response, Transport};

/// When a request is tried again, and what its last answer counts for.
pub(crate) struct Retry {
    /// A broken connection is tried again after these pauses.
    pub after_break: &'static [Duration],
    /// The pauses, one for each busy answer, after which an answer with this status is tried again.
    pub pauses: fn(status: u16) -> &'static [Duration],
    /// Whether a server that stays busy is an error, or its last answer is for the caller to read.
    pub busy_is_an_error: bool,
}

/// The rule of token endpoints. A broken connection is told within 2 s, 429 and 5xx are given
/// three more chances (`Retry-After` goes before), and nothing else is repeated.
pub(crate) const TOKEN_ENDPOINT: Retry = Retry {
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
pub(crate) fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

/// Sends `request`, again where `retry` allows it, until `deadline`.
///
/// # Errors
/// A failure of the network or of TLS, a redirect, or, where `retry` says so, a server that stays
/// busy. Any other status is an answer and is returned.
pub(crate) async fn send(sys: &Sys, request: &Request, retry: &Retry, deadline: Deadline) -> Result<Response, Error> {
    let (mut breaks, mut busy) = (retry.after_break.iter(), 0);
    loop {
        let left = deadline.left(&*sys.clock);
        if left.is_zero() {
            return Err(out_of_time(&request.url, deadline));
        }
        sys.terminal.detail(5, || said(request));
        let answer = sys.http.send(request, left, &*sys.clock).await;
        let (pause, why) = match answer {
            Err(error) if error.kind() == ErrorKind::ConnectionBroken || error.kind() == ErrorKind::AnswerBroken => {
                let why = error.what().to_owned();
                (breaks.next().copied().filter(|pause| *pause < deadline.left(&*sys.clock)).ok_or(error)?, why)
            }
            Err(error) if error.kind() == ErrorKind::Deadline => return Err(out_of_time(&request.url, deadline)),
            Err(error) => return Err(error),
            Ok(response) => match (retry.pauses)(response.status).get(busy) {
                None => return accept(request, retry, response),
                Some(pause) => {
                    busy += 1;
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
    format!("{method} {}", trust::without_password(url.as_str()))
}

fn accept(request: &Request, retry: &Retry, response: Response) -> Result<Response, Error> {
    if is_busy(response.status) {
        return last_answer(&request.url, retry, response);
    }
    match response.status {
        300..=399 => Err(redirected(request, &response)),
        _ => Ok(response),
    }
}

fn last_answer(url: &Url, retry: &Retry, response: Response) -> Result<Response, Error> {
    if retry.busy_is_an_error { Err(stays_busy(url, &response)) } else { Ok(response) }
}

fn redirected(request: &Request, response: &Response) -> Error {
    let target = response.location.as_deref().unwrap_or("nowhere");
    let shown = Url::parse(target).ok().and_then(|url| url.host_str().map(String::from));
    Error::new(
        ErrorKind::Redirected,
        format!(
            "{} answered {} with a redirect to {} (HTTP {}), which is never followed",
            host(&request.url),
            request.peer.request,
            shown.as_deref().unwrap_or("another address"),
            response.status
        ),
    )
}

fn stays_busy(url: &Url, response: &Response) -> Error {
    let wait = response.retry_after.map(|time| format!(" and asks to wait {} s", time.as_secs())).unwrap_or_default();
    Error::new(ErrorKind::Unavailable, format!("{} answered HTTP {}{wait}", host(url), response.status))
        .not_before(response.retry_after)
}

fn out_of_time(url: &Url, deadline: Deadline) -> Error {
    Error::new(ErrorKind::Deadline, format!("no answer from {} in {} s", host(url), deadline.given().as_secs_f32()))
}

/// Host and, where it isn't the usual one, port of `url`, for messages.
pub(crate) fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::clock::Clock;
    use crate::os::clock::fake::FakeClock;

    use crate::sys::http::TOKEN_GIVER;
    use crate::sys::http::fake::FakeHttp;

    #[expect(clippy::unnecessary_wraps, reason = "scripted answers are results")]
    fn answer(status: u16, retry_after: Option<u64>) -> Result<Response, Error> {
        Ok(Response { status, retry_after: retry_after.map(Duration::from_secs), ..Response::default() })
    }

    fn broken() -> Result<Response, Error> {
        Err(Error::new(ErrorKind::ConnectionBroken, "broken"))
    }

    /// Sends one post against the scripted answers; gives the outcome and the milliseconds it took.
    fn outcome(answers: Vec<Result<Response, Error>>, limit: u64) -> (Result<u16, String>, u128) {
        let clock = FakeClock::default();
        let http = FakeHttp::answering(answers);
        let sys = Sys { clock: std::rc::Rc::new(clock.clone()), http: Box::new(http), ..Sys::fake() };
        let request = Request::form(Url::parse("https://login.example/t").unwrap(), &[("a", "b")], &TOKEN_GIVER);
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

    /// A break in between takes no chance from a server that is busy, nor the other way round.
    #[test]
    fn breaks_and_busy_answers_are_counted_apart() {
        let busy = || answer(429, None);
        let (result, time) = outcome(vec![broken(), busy(), broken(), busy(), busy(), answer(200, None)], 60);
        assert_eq!((result, time), (Ok(200), 200 + 1000 + 600 + 2000 + 4000));
        let (result, _) = outcome(vec![broken(), busy(), broken(), broken()], 60);
        assert!(result.unwrap_err().starts_with("broken;"));
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
