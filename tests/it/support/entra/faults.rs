//! Faults that a test plants: each is used up by one request.

use super::super::http::Response;
use super::refusal::Refusal;
use serde_json::Value;
use std::time::Duration;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This answer instead of the real one.
    Status {
        /// Status code.
        status: u16,
        /// Extra headers.
        headers: Vec<(String, String)>,
        /// Body, sent as JSON.
        body: String,
    },
    /// 429 (AADSTS90055) with `Retry-After` in seconds; the request after it is served.
    ThrottleThen(u64),
    /// The connection closes without an answer.
    Reset,
    /// The right answer, late.
    Slow(Duration),
    /// A gateway's HTML page with 503.
    Html503,
    /// Half of the right answer, then the connection closes. The grant is used up all the same.
    Truncated,
    /// 200 and a JSON string of that many bytes, in chunks.
    Huge(usize),
    /// Sent elsewhere. A token request must not follow it.
    Redirect {
        /// Where to.
        location: String,
        /// 302, 307, …
        status: u16,
    },
    /// 200 and a text that says it is JSON and isn't.
    NotJson,
    /// The right answer without that field.
    Missing(String),
    /// This one request is answered by a server whose clock is wrong by so many seconds.
    ClockSkew(i64),
    /// This refusal, in Entra's shape.
    AadError {
        /// The AADSTS number.
        code: u32,
        /// `error`
        error: String,
        /// `suberror`
        suberror: Option<String>,
        /// `claims`
        claims: Option<String>,
        /// The first sentence of `error_description`.
        description: String,
    },
}

impl Fault {
    /// A [`Fault::Status`] with an empty body.
    pub fn status(status: u16) -> Self {
        Self::Status { status, headers: Vec::new(), body: String::new() }
    }

    /// A [`Fault::AadError`] without `suberror` and `claims`.
    pub fn aad(code: u32, error: &str, description: &str) -> Self {
        Self::AadError {
            code,
            error: error.to_owned(),
            suberror: None,
            claims: None,
            description: description.to_owned(),
        }
    }

    /// By how much the clock is off.
    pub(super) fn skew(&self) -> i64 {
        match self {
            Self::ClockSkew(seconds) => *seconds,
            _ => 0,
        }
    }

    /// The answer for faults that keep the request from being looked at.
    pub(super) fn instead(&self, correlation_id: &str, now: i64) -> Option<Response> {
        Some(match self {
            Self::Status { status, headers, body } => with_headers(*status, headers, body),
            Self::ThrottleThen(seconds) => throttled(correlation_id, now).header("Retry-After", &seconds.to_string()),
            Self::Reset => Response::reset(),
            Self::Html503 => unavailable_page(),
            Self::Huge(bytes) => Response::huge(*bytes),
            Self::Redirect { location, status } => {
                Response::html(*status, "<html>Object moved</html>").header("Location", location)
            }
            Self::NotJson => Response::new(200, "application/json", "{\"access_token\": "),
            Self::AadError { .. } => self.refusal()?.response(correlation_id, now),
            Self::Slow(_) | Self::Truncated | Self::Missing(_) | Self::ClockSkew(_) => {
                return None;
            }
        })
    }

    /// The right answer, spoiled.
    pub(super) fn spoil(&self, response: Response) -> Response {
        match self {
            Self::Slow(delay) => response.delayed(*delay),
            Self::Truncated => response.truncated(),
            Self::Missing(field) => without(response, field),
            _ => response,
        }
    }

    fn refusal(&self) -> Option<Refusal> {
        let Self::AadError { code, error, suberror, claims, description } = self else {
            return None;
        };
        let refusal = Refusal::new(error, *code, description.as_str());
        Some(refusal.suberror(suberror.as_deref()).claims(claims.as_deref()))
    }
}

fn with_headers(status: u16, headers: &[(String, String)], body: &str) -> Response {
    let response = Response::new(status, "application/json; charset=utf-8", body);
    headers.iter().fold(response, |response, (name, value)| response.header(name, value))
}

fn throttled(correlation_id: &str, now: i64) -> Response {
    Refusal::new("temporarily_unavailable", 90_055, "Too many requests.").status(429).response(correlation_id, now)
}

fn unavailable_page() -> Response {
    let page = "<html><head><title>503 Service Unavailable</title></head>\
                <body><h1>Our services aren't available right now</h1></body></html>";
    Response::html(503, page)
}

fn without(mut response: Response, field: &str) -> Response {
    if let Ok(Value::Object(mut body)) = serde_json::from_slice(&response.body) {
        body.remove(field);
        response.body = Value::Object(body).to_string().into_bytes();
    }
    response
}
