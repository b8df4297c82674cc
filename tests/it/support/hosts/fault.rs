//! Faults that a test plants.

use super::{Host, Response};
use serde_json::{Value, json};
use std::time::Duration;

/// What goes wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// That status, with a body as the host would write it.
    Status(u16),
    /// The same with `Retry-After` in seconds.
    StatusAfter(u16, u64),
    /// This answer; the content type is JSON if the body looks like it, and text otherwise.
    Answer(u16, String),
    /// 200 and a page, as captive portals have them.
    Html,
    /// 403 as Docker Desktop's proxy answers for IMDS.
    Unreachable,
    /// 200 and a text that says it is JSON and isn't.
    NotJson,
    /// 200 and a JSON string of that many bytes, in chunks.
    Huge(usize),
    /// The connection closes without an answer.
    Reset,
    /// Half of the right answer, then the connection closes.
    Truncated,
    /// The right answer, late.
    Slow(Duration),
    /// The right answer without that field.
    Missing(String),
    /// The right answer with another value in that field.
    Field(String, Value),
    /// Sent elsewhere.
    Redirect(u16, String),
}

impl Fault {
    /// The answer for faults that keep the request from being looked at.
    pub(super) fn instead(&self, host: Host) -> Option<Response> {
        Some(match self {
            Self::Status(status) => host.failure(*status),
            Self::StatusAfter(status, seconds) => host.failure(*status).header("Retry-After", &seconds.to_string()),
            Self::Answer(status, body) if body.starts_with(['{', '[', '"']) => {
                Response::new(*status, "application/json; charset=utf-8", body.as_str())
            }
            Self::Answer(status, body) => Response::text(*status, body),
            Self::Html => Response::html(200, "<html><body>Please accept the terms of this network</body></html>"),
            Self::Unreachable => Response::text(
                403,
                "connecting to 169.254.169.254:80: connect: A socket operation was attempted to an unreachable network.",
            ),
            Self::NotJson => Response::new(200, "application/json", "{\"access_token\": "),
            Self::Huge(bytes) => Response::huge(*bytes),
            Self::Reset => Response::reset(),
            Self::Redirect(status, location) => {
                Response::html(*status, "<html>Object moved</html>").header("Location", location)
            }
            Self::Truncated | Self::Slow(_) | Self::Missing(_) | Self::Field(..) => return None,
        })
    }

    /// The right answer, spoiled.
    pub(super) fn spoil(&self, response: Response) -> Response {
        match self {
            Self::Slow(delay) => response.delayed(*delay),
            Self::Truncated => response.truncated(),
            Self::Missing(field) => changed(response, |body| _ = body.remove(field)),
            Self::Field(field, value) => changed(response, |body| _ = body.insert(field.clone(), value.clone())),
            _ => response,
        }
    }
}

impl Host {
    /// A failure in the words of this host.
    fn failure(self, status: u16) -> Response {
        let message = "This was planted by the test.";
        let body = match self {
            Self::Imds | Self::Arc => json!({"error": error_name(status), "error_description": message}),
            Self::AppService | Self::AzureMl => json!({"statusCode": status, "message": message}),
            Self::ServiceFabric | Self::CloudShell => {
                json!({"error": {"code": "InternalServerError", "message": message}})
            }
            Self::GitHub | Self::Pipelines => json!({"message": message}),
            Self::TokenUrl | Self::Nowhere => return Response::text(status, message),
        };
        Response::json(status, &body)
    }
}

fn error_name(status: u16) -> &'static str {
    match status {
        400 => "invalid_request",
        401 => "unknown_source",
        404 => "not_found",
        410 => "gone",
        429 => "too_many_requests",
        _ => "unknown",
    }
}

fn changed(mut response: Response, change: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Response {
    if let Ok(Value::Object(mut body)) = serde_json::from_slice(&response.body) {
        change(&mut body);
        response.body = Value::Object(body).to_string().into_bytes();
    }
    response
}
