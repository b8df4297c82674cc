//! What Entra's refusals mean: for the person who reads them, and for what we do next.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, ErrorKind, one_line};

/// The JSON of a refused token request.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct EntraError {
    /// The OAuth error, such as `invalid_grant`. Decisions rest on it and on `suberror`.
    #[serde(deserialize_with = "text_or_nothing")]
    pub error: String,
    /// `AADSTSnnn: a sentence. Trace ID: …`.
    #[serde(deserialize_with = "text_or_nothing")]
    pub error_description: String,
    /// AADSTS numbers.
    #[serde(deserialize_with = "numbers")]
    pub error_codes: Vec<u32>,
    /// Refines `invalid_grant` and `interaction_required`.
    #[serde(deserialize_with = "text_or_nothing")]
    pub suberror: String,
    /// A claims challenge to pass on unchanged.
    pub claims: Option<String>,
    /// What support asks for.
    #[serde(deserialize_with = "text_or_nothing")]
    pub correlation_id: String,
    /// When it happened, by Entra's clock.
    #[serde(deserialize_with = "text_or_nothing")]
    pub timestamp: String,
}

impl oauth2::ErrorResponse for EntraError {}

impl fmt::Display for EntraError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence())
    }
}

/// Codes with which a refresh token is dead for good, besides the suberrors that say so.
const DEAD_GRANT_CODES: [u32; 4] = [700_082, 70043, 50173, 700_084];

impl EntraError {
    /// Whether the refresh token itself is dead. A bare `invalid_grant` does not say so: it may
    /// only mean that this resource wants another factor.
    pub fn grant_is_dead(&self) -> bool {
        matches!(self.suberror.as_str(), "bad_token" | "token_expired")
            || self.codes().any(|code| DEAD_GRANT_CODES.contains(&code))
    }

    /// Whether a person signing in would help.
    pub fn person_can_help(&self) -> bool {
        matches!(self.error.as_str(), "invalid_grant" | "interaction_required" | "login_required" | "consent_required")
    }

    /// Whether one of `codes` is among its AADSTS codes.
    pub fn has_one_of(&self, codes: &[u32]) -> bool {
        self.codes().any(|code| codes.contains(&code))
    }

    /// The error for people. `clock_ahead` is how many seconds our clock is ahead of Entra's.
    pub fn explain(&self, clock_ahead: Option<i64>) -> Error {
        let (kind, code) = self.kind();
        let what = match code {
            Some(code) => format!("{}, AADSTS{code}", kind.meaning()),
            None => format!("{}: {}", kind.meaning(), self.in_its_own_words()),
        };
        let error = match clock_ahead.filter(|seconds| seconds.abs() > SKEW_LIMIT) {
            Some(seconds) => clock_is_off(kind, &what, seconds),
            None => Error::new(kind, what),
        };
        error
            .detail(format!("Entra says: {}", self.sentence()))
            .detail(format!("correlation ID {}, timestamp {}", self.correlation_id, self.timestamp))
    }

    /// The kind, and the code that led to it.
    fn kind(&self) -> (ErrorKind, Option<u32>) {
        let known = self.codes().find_map(|code| Some((ErrorKind::of_code(code)?, Some(code))));
        known.unwrap_or((ErrorKind::Refused, None))
    }

    /// The codes of the list, else the one that the description begins with.
    fn codes(&self) -> impl Iterator<Item = u32> {
        let described = self.error_description.strip_prefix("AADSTS").and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit())?;
            rest[..end].parse().ok()
        });
        self.error_codes.iter().copied().chain(described)
    }

    /// The first sentence of the description.
    fn sentence(&self) -> String {
        let first = self.error_description.split(['\r', '\n']).next().unwrap_or_default();
        let end = first.find(" Trace ID:").unwrap_or(first.len());
        one_line(&first[..end])
    }

    fn in_its_own_words(&self) -> String {
        let sentence = self.sentence();
        match sentence.trim_end_matches('.') {
            "" => format!("`{}`", one_line(&self.error)),
            words => words.to_owned(),
        }
    }
}

/// Entra tolerates a clock that is off by five minutes.
const SKEW_LIMIT: i64 = 300;

fn clock_is_off(kind: ErrorKind, what: &str, seconds: i64) -> Error {
    let direction = if seconds > 0 { "ahead of" } else { "behind" };
    let what = format!("{what}, and this machine's clock is {} min {direction} Entra's", seconds.abs() / 60);
    if kind == ErrorKind::AssertionInvalid {
        return Error::new(ErrorKind::ClockSkew, what);
    }
    let separator = if kind.remedy().is_empty() { "" } else { "; and " };
    Error::new(kind, what).remedy(format!("{}{separator}set the clock (NTP)", kind.remedy()))
}

/// The number of the first AADSTS code in `text`.
pub(crate) fn code_in(text: &str) -> Option<u32> {
    text.split("AADSTS").skip(1).find_map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

/// Numbers, which some gateways turn into strings; anything else is left out.
fn numbers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u32>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let number = |item: &serde_json::Value| match item {
        serde_json::Value::String(text) => text.parse().ok(),
        other => other.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    Ok(value.as_array().map(|items| items.iter().filter_map(number).collect()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(json: &str) -> EntraError {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_known_code_has_its_words() {
        let refusal = refusal(
            r#"{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure it. Trace ID: t\r\nCorrelation ID: c","error_codes":[7000215],"correlation_id":"cid","timestamp":"now"}"#,
        );
        let error = refusal.explain(None);
        assert_eq!(
            error.to_string(),
            "the client secret is wrong, AADSTS7000215; use the secret's value, not its ID, and the secret of this very app"
        );
        assert_eq!(
            error.details(),
            [
                "Entra says: AADSTS7000215: Invalid client secret provided. Ensure it.",
                "correlation ID cid, timestamp now"
            ]
        );
    }

    #[test]
    fn an_unknown_code_speaks_for_itself() {
        let unknown = refusal(r#"{"error":"invalid_grant","error_description":"AADSTS99: Something new."}"#);
        assert!(unknown.explain(None).to_string().starts_with("Entra refused the request: AADSTS99: Something new;"));
        let bare = refusal(r#"{"error":"weird"}"#);
        assert!(bare.explain(None).to_string().starts_with("Entra refused the request: `weird`;"));
    }

    #[test]
    fn odd_types_do_not_hide_the_refusal() {
        let odd =
            refusal(r#"{"error":"invalid_grant","error_codes":["50173", 7, null],"suberror":null,"timestamp":5}"#);
        assert_eq!(odd.error_codes, [50173, 7]);
        assert!(odd.grant_is_dead());
    }

    #[test]
    fn only_some_refusals_kill_the_grant() {
        let mfa = refusal(r#"{"error":"invalid_grant","suberror":"basic_action","error_codes":[50076],"claims":"{}"}"#);
        assert!(!mfa.grant_is_dead() && mfa.person_can_help());
        assert!(refusal(r#"{"error":"invalid_grant","suberror":"bad_token"}"#).grant_is_dead());
    }

    #[test]
    fn a_wrong_clock_is_told() {
        let late = refusal(r#"{"error":"invalid_client","error_codes":[700024]}"#);
        let error = late.explain(Some(-720));
        assert!(error.kind() == ErrorKind::ClockSkew);
        assert_eq!(
            error.to_string(),
            "the assertion is expired or not valid, AADSTS700024, and this machine's clock is 12 min behind Entra's; set the clock (NTP), then try again"
        );
        let secret = refusal(r#"{"error":"invalid_client","error_codes":[7000222]}"#);
        assert!(secret.explain(Some(600)).to_string().contains("10 min ahead of Entra's; make a new one"));
    }
}
