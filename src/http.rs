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
use crate::situation;
use crate::sys::{Deadline, Pending, Sys};

/// A POST of a form, which is what every token request is.
pub struct FormPost {
    /// Where to; always https.
    pub url: Url,
    /// The encoded form. It carries secrets, so it is wiped and never logged.
    pub body: Zeroizing<Vec<u8>>,
}

impl FormPost {
    /// The form `fields`, encoded, for `url`.
    pub fn new(url: Url, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self { url, body: Zeroizing::new(body.into_bytes()) }
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
    /// At most [`BODY_LIMIT`] bytes.
    pub body: Vec<u8>,
}

/// No answer of a token endpoint comes near this many bytes.
pub const BODY_LIMIT: usize = 1024 * 1024;

/// One attempt at a request.
pub trait Http {
    /// Sends `post` once and reads the answer within `limit`.
    fn send<'a>(
        &'a self,
        post: &'a FormPost,
        limit: Duration,
        clock: &'a dyn crate::sys::Clock,
    ) -> Pending<'a, Response>;
}

/// A broken connection is tried again after these pauses: short, because the cause of a lasting
/// failure has to be told within 2 s.
const PAUSES_AFTER_BREAK: [Duration; 2] = [Duration::from_millis(200), Duration::from_millis(600)];

/// 429 and 5xx without `Retry-After` are tried again after these pauses.
const PAUSES_WHEN_BUSY: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];

/// Sends `post`, again where the rules allow it, until `deadline`.
///
/// # Errors
/// A failure of the network or of TLS, a redirect, or a server that stays busy. Any other status
/// is an answer and is returned.
pub async fn post(sys: &Sys, post: &FormPost, deadline: Deadline) -> Result<Response, Error> {
    let mut breaks = PAUSES_AFTER_BREAK.iter();
    let mut busy = PAUSES_WHEN_BUSY.iter();
    loop {
        let left = deadline.left(&*sys.clock);
        if left.is_zero() {
            return Err(out_of_time(&post.url, deadline));
        }
        sys.terminal.detail(5, || format!("POST {}", post.url));
        let answer = sys.http.send(post, left, &*sys.clock).await;
        let pause = match answer {
            Err(error) if error.is(&situation::CONNECTION_BROKEN) => {
                breaks.next().copied().filter(|pause| *pause < deadline.left(&*sys.clock)).ok_or(error)?
            }
            Err(error) if error.is(&situation::DEADLINE) => return Err(out_of_time(&post.url, deadline)),
            Err(error) => return Err(error),
            Ok(response) => match busy_pause(&response, busy.next().copied()) {
                None => return accept(&post.url, response),
                Some(pause) if pause >= deadline.left(&*sys.clock) => return Err(stays_busy(&post.url, &response)),
                Some(pause) => pause,
            },
        };
        sys.terminal.detail(1, || format!("trying again in {} s", pause.as_secs_f32()));
        sys.clock.sleep(pause).await;
    }
}

/// The pause before the next attempt, or `None` where this answer stands.
fn busy_pause(response: &Response, next: Option<Duration>) -> Option<Duration> {
    let busy = response.status == 429 || response.status == 408 || response.status >= 500;
    let pause = next.filter(|_| busy)?;
    Some(response.retry_after.unwrap_or(pause))
}

fn accept(url: &Url, response: Response) -> Result<Response, Error> {
    match response.status {
        300..=399 => Err(redirected(url, &response)),
        408 | 429 | 500.. => Err(stays_busy(url, &response)),
        _ => Ok(response),
    }
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

    use super::{Duration, Error, FormPost, Http, Pending, Response};

    /// Gives the scripted answers in turn and records the forms.
    #[derive(Default)]
    pub(crate) struct FakeHttp {
        pub(crate) answers: RefCell<VecDeque<Result<Response, Error>>>,
        pub(crate) forms: std::rc::Rc<RefCell<Vec<String>>>,
    }

    impl Http for FakeHttp {
        fn send<'a>(&'a self, post: &'a FormPost, _: Duration, _: &'a dyn crate::sys::Clock) -> Pending<'a, Response> {
            self.forms.borrow_mut().push(String::from_utf8_lossy(&post.body).into_owned());
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
            terminal: Terminal::to(std::io::sink()),
        };
        let request = FormPost::new(Url::parse("https://login.example/t").unwrap(), &[("a", "b")]);
        let deadline = Deadline::after(&clock, Duration::from_secs(limit));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let result = runtime.block_on(post(&sys, &request, deadline));
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
