//! What hosts answer: a token whose end is written in half a dozen ways, or words.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::parse_borrowed;

use crate::entra::Token;
use crate::entra::entra_error::code_in;
use crate::entra::token::seconds_of;
use crate::error::{Error, ErrorKind, one_line};
use crate::secret::Secret;
use crate::sys::http::Response;

use super::{IdKind, IdentityRequest};

/// An answer with a token. Whatever else hosts add is passed over.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct IdentityResponse {
    access_token: Option<Secret>,
    token_type: Value,
    expires_on: Value,
    expires_in: Value,
    client_id: Value,
    object_id: Value,
    msi_res_id: Value,
    mi_res_id: Value,
}

impl IdentityResponse {
    /// Reads `body`. What is wrong with it is told without a word of it: it may hold a token.
    pub(super) fn read(host: &str, body: &[u8]) -> Result<Self, Error> {
        let read = match body.trim_ascii_start().first() {
            None => Err("is empty"),
            Some(b'<') => Err("is a web page"),
            Some(b'{') => serde_json::from_slice(body).map_err(|error| match () {
                () if error.is_data() => "has other fields than expected",
                () if error.is_eof() => "is cut off",
                () => "is not JSON",
            }),
            Some(_) => Err("is not a JSON object"),
        };
        read.map_err(|what| not_its_own(host, what))
    }

    /// The token, which was asked for at `now`.
    pub(super) fn token(self, host: &str, now: u64) -> Result<Token, Error> {
        let end = self.end(now).ok_or_else(|| {
            unusable(host, "does not say when the token ends").remedy("try again, and report it if it stays so")
        })?;
        if self.token_type.as_str().is_some_and(|kind| kind.to_ascii_lowercase().contains("pop")) {
            return Err(unusable(host, "holds a token that is not a bearer token").remedy("update the host"));
        }
        let Some(access_token) = self.access_token.filter(|token| !token.is_empty()) else {
            return Err(not_its_own(host, "holds no token"));
        };
        let left = end.saturating_sub(now);
        if left == 0 {
            return Err(unusable(host, "holds a token that has ended already")
                .remedy("set the clock of this machine (NTP) if it is wrong, else try again"));
        }
        // Half of a life of two hours or more, as the Microsoft libraries do.
        let refresh_on = (left >= 2 * 3600).then_some(now.saturating_add(left / 2));
        Ok(Token { access_token, expires_on: end, refresh_on })
    }

    /// Whether the answer says that the token is that of the identity `id`.
    pub(super) fn names(&self, by: IdKind, id: &str) -> bool {
        let fields: &[&Value] = match by {
            IdKind::Client => &[&self.client_id],
            IdKind::Object => &[&self.object_id],
            IdKind::Resource => &[&self.msi_res_id, &self.mi_res_id],
        };
        fields.iter().any(|field| field.as_str().is_some_and(|text| text.eq_ignore_ascii_case(id)))
    }

    /// `expires_on` where it can be read, else `expires_in`.
    fn end(&self, now: u64) -> Option<u64> {
        let on = seconds_of(&self.expires_on).or_else(|| date(self.expires_on.as_str()?));
        on.or_else(|| Some(now.saturating_add(seconds_of(&self.expires_in)?)))
    }
}

fn unusable(host: &str, what: &str) -> Error {
    Error::new(ErrorKind::HostAnswer, format!("the answer of {host} {what}"))
}

/// Whoever answers so is probably somebody else.
pub(super) fn not_its_own(host: &str, what: &str) -> Error {
    unusable(host, what).remedy(format!("look for a proxy or portal that answers in place of {host}"))
}

/// The dates of App Service's 2017 API: `06/20/2019 02:57:58 +00:00` on Linux,
/// `9/14/2017 12:00:00 AM +00:00` on Windows.
fn date(text: &str) -> Option<u64> {
    const DAY: &str = "[month padding:none]/[day padding:none]/[year]";
    const OFFSET: &str = "[offset_hour sign:mandatory]:[offset_minute]";
    let times = ["[hour padding:none]:[minute]:[second]", "[hour padding:none repr:12]:[minute]:[second] [period]"];
    times.iter().find_map(|time| {
        let format = format!("{DAY} {time} {OFFSET}");
        let format = parse_borrowed::<2>(&format).ok()?;
        u64::try_from(OffsetDateTime::parse(text.trim(), &format).ok()?.unix_timestamp()).ok()
    })
}

/// What a host says when it gives no token, in whichever of the usual shapes.
#[derive(Debug)]
pub(crate) struct IdentityError {
    /// The status code.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
    /// The name of the error, if it has one.
    pub code: String,
    /// Its words, on one line and bounded.
    pub text: String,
}

/// The shapes: `error` with `error_description` (IMDS, Arc), `error` with `code` and `message` in it
/// (Service Fabric, Cloud Shell), `message` (App Service).
#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    error: Value,
    error_description: Value,
    message: Value,
}

impl IdentityError {
    /// Reads `response`. Plain text is what AAD Pod Identity answers; pages are passed over.
    pub(super) fn read(response: &Response) -> Self {
        let body = response.body.trim_ascii();
        let (code, text) = match serde_json::from_slice::<ErrorBody>(body) {
            Ok(words) => words.code_and_text(),
            Err(_) if body.starts_with(b"<") || body.starts_with(b"{") || body.starts_with(b"[") => Default::default(),
            Err(_) => (String::new(), String::from_utf8_lossy(body).into_owned()),
        };
        let (status, retry_after) = (response.status, response.retry_after);
        Self { status, retry_after, code: bounded(&code), text: bounded(&text) }
    }

    /// Whether `part` stands in it, in whatever case.
    pub(crate) fn says(&self, part: &str) -> bool {
        [&self.code, &self.text].iter().any(|text| text.to_lowercase().contains(part))
    }

    /// What Entra has told the host, where that is what it passes on.
    pub(super) fn of_entra(&self, wanted: &IdentityRequest) -> Option<Error> {
        if let Some(code) = code_in(&self.text)
            && let Some(kind) = ErrorKind::of_code(code)
        {
            return Some(Error::new(kind, format!("{}, AADSTS{code}", kind.meaning())));
        }
        (self.code == "invalid_resource").then(|| {
            let what = format!("no token is given for the audience {}", wanted.resource);
            Error::new(ErrorKind::ServerAppUnknown, what)
        })
    }
}

impl ErrorBody {
    fn code_and_text(&self) -> (String, String) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if self.error.is_object() {
            return (text(&self.error["code"]), text(&self.error["message"]));
        }
        let words = if self.error_description.is_string() { &self.error_description } else { &self.message };
        (text(&self.error), text(words))
    }
}

/// One line of at most 200 characters.
fn bounded(text: &str) -> String {
    one_line(text).chars().take(200).collect()
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, text, status, .. } = self;
        match (code.as_str(), text.trim_end_matches('.')) {
            ("", "") => write!(f, "HTTP {status}"),
            ("", text) => write!(f, "{text} (HTTP {status})"),
            (code, "") => write!(f, "{code} (HTTP {status})"),
            (code, text) => write!(f, "{code}: {text} (HTTP {status})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_500_000_000;

    fn token(body: &str) -> Result<(u64, Option<u64>), String> {
        let token = IdentityResponse::read("IMDS", body.as_bytes()).and_then(|answer| answer.token("IMDS", NOW));
        let token = token.map_err(|error| {
            assert!(error.kind() == ErrorKind::HostAnswer && !format!("{error:?}").contains("canary"), "{error:?}");
            error.to_string()
        })?;
        assert_eq!(token.access_token.expose(), "T");
        Ok((token.expires_on - NOW, token.refresh_on.map(|on| on - NOW)))
    }

    #[test]
    fn ends_in_every_notation() {
        for (fields, left) in [
            (r#""expires_on":1500003600"#, 3600),
            (r#""expires_on":"1500003600""#, 3600),
            (r#""expires_on":" 1500003600 ","expires_in":"5""#, 3600),
            (r#""expires_in":3600"#, 3600),
            (r#""expires_in":"3600","expires_on":null"#, 3600),
            (r#""expires_in":"3600","expires_on":"soon""#, 3600),
            (r#""expires_on":"07/14/2017 03:40:00 +00:00""#, 3600),
            (r#""expires_on":"7/14/2017 3:40:00 AM +00:00""#, 3600),
            (r#""expires_on":"07/14/2017 05:40:00 +02:00""#, 3600),
            (r#""expires_on":"7/14/2017 2:40:00 PM +00:00","token_type":null"#, 12 * 3600 + 1800 + 1800 - 3600),
        ] {
            assert_eq!(
                token(&format!(r#"{{"access_token":"T",{fields}}}"#)).map(|(left, _)| left),
                Ok(left),
                "{fields}"
            );
        }
        assert_eq!(date("06/20/2019 02:57:58 +00:00"), Some(1_560_999_478));
        assert_eq!(date("9/14/2017 12:00:00 AM +00:00"), Some(1_505_347_200));
        assert_eq!(date("2019-06-20T02:57:58Z"), None);
    }

    #[test]
    fn long_lives_are_renewed_at_half_time() {
        assert_eq!(token(r#"{"access_token":"T","expires_in":7200}"#), Ok((7200, Some(3600))));
        assert_eq!(token(r#"{"access_token":"T","expires_in":7199}"#), Ok((7199, None)));
        assert_eq!(
            token(r#"{"access_token":"T","expires_in":"18446744073709551615"}"#).map(|(_, on)| on.is_some()),
            Ok(true)
        );
    }

    #[test]
    fn answers_that_are_none() {
        for (body, what) in [
            ("", "is empty; look for a proxy or portal that answers in place of IMDS"),
            ("\n", "is empty;"),
            ("<html>canary</html>", "is a web page;"),
            (r#"{"access_token":"canary"#, "is cut off;"),
            ("canary", "is not a JSON object;"),
            (r#"["canary"]"#, "is not a JSON object;"),
            ("{canary}", "is not JSON;"),
            (r#"{"access_token":17,"canary":1}"#, "has other fields than expected;"),
            (r#"{"expires_in":3600}"#, "holds no token;"),
            (r#"{"access_token":"","expires_in":3600}"#, "holds no token;"),
            (r#"{"access_token":null,"expires_in":3600}"#, "holds no token;"),
            (r#"{"access_token":"canary"}"#, "does not say when the token ends;"),
            (r#"{"access_token":"canary","expires_on":true,"expires_in":-1}"#, "does not say when the token ends;"),
            (
                r#"{"access_token":"canary","expires_on":"1499999999"}"#,
                "holds a token that has ended already; set the clock",
            ),
            (r#"{"access_token":"canary","expires_in":0}"#, "holds a token that has ended already;"),
            (
                r#"{"access_token":"canary","expires_in":10,"token_type":"PoP"}"#,
                "holds a token that is not a bearer token;",
            ),
        ] {
            let error = token(body).unwrap_err();
            assert!(error.starts_with(&format!("the answer of IMDS {what}")), "{body}: {error}");
        }
    }

    #[test]
    fn token_types_are_not_minded() {
        for kind in [r#""bearer""#, r#""""#, "null", "3", r#""Bearer ""#] {
            let body = format!(r#"{{"access_token":"T","expires_in":60,"token_type":{kind}}}"#);
            assert_eq!(token(&body), Ok((60, None)), "{kind}");
        }
    }

    #[test]
    fn refusals_in_every_shape() {
        let read =
            |body: &str| IdentityError::read(&Response { status: 400, body: body.into(), ..Response::default() });
        let said = |body: &str| read(body).to_string();
        assert_eq!(
            said(r#"{"error":"invalid_request","error_description":"Identity not found"}"#),
            "invalid_request: Identity not found (HTTP 400)"
        );
        assert_eq!(said(r#"{"error":{"code":"A","message":"b."}}"#), "A: b (HTTP 400)");
        assert_eq!(said(r#"{"statusCode":400,"message":"no"}"#), "no (HTTP 400)");
        assert_eq!(said("no AzureAssignedIdentity\n found"), "no AzureAssignedIdentity found (HTTP 400)");
        for nothing in ["", "<html>", "{", "[1]", r#"{"access_token":"canary"}"#, r#"{"error":{"code":1}}"#] {
            assert_eq!(said(nothing), "HTTP 400", "{nothing}");
        }
    }
}
