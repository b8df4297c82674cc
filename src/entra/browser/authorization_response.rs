//! What comes back from the login page: a code or an error, and the `state` that says that it belongs
//! to this sign-in. Everything else is ignored, and the sign-in goes on waiting.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::StatusCode;

use crate::entra::entra_error::EntraError;
use crate::error::{Error, ErrorKind};
use crate::secret::Secret;

/// The answer to this very sign-in.
#[derive(Debug)]
pub(super) enum AuthorizationResponse {
    /// To be redeemed for a token.
    Code(Secret),
    /// Entra, or the person, said no.
    Refused(Box<EntraError>),
}

/// Why a request is no answer: how it is answered itself, and the words for the page and for `-v 1`.
/// Nothing of the request is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RejectedRequest {
    pub(super) status: StatusCode,
    pub(super) why: &'static str,
}

impl RejectedRequest {
    pub(super) const fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }

    const fn bad(why: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }
}

/// What ties an answer to its sign-in (RFC 6749, section 10.12). It is seen by the login page and by
/// nobody else.
pub(super) struct OAuthState(Secret);

impl OAuthState {
    /// 32 random bytes.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn random() -> Result<Self, Error> {
        Ok(Self(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(&random_bytes::<32>()?[..]))))
    }

    #[cfg(test)]
    pub(super) fn of(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// For the address of the login page.
    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }

    /// In constant time, so that nobody finds it letter by letter.
    fn is(&self, given: &str) -> bool {
        aws_lc_rs::constant_time::verify_slices_are_equal(self.0.expose().as_bytes(), given.as_bytes()).is_ok()
    }

    /// The answer in `form`, which is a query or a form body. State is looked at before anything else:
    /// without it an `error` means nothing either.
    ///
    /// # Errors
    /// It is no answer to this sign-in.
    pub(super) fn judge(&self, form: &[u8]) -> Result<AuthorizationResponse, RejectedRequest> {
        let Parameters { state, code, error, description, subcode } = Parameters::parse(form)?;
        let state = state.ok_or(RejectedRequest::bad("it is no answer to a sign-in"))?;
        if !self.is(state.expose()) {
            return Err(RejectedRequest::bad("it belongs to another sign-in"));
        }
        match (code.filter(|code| !code.is_empty()), error) {
            (Some(code), None) => Ok(AuthorizationResponse::Code(code)),
            (None, Some(error)) => Ok(AuthorizationResponse::Refused(Box::new(refusal(error, description, subcode)))),
            _ => Err(RejectedRequest::bad("it holds neither a code nor an error")),
        }
    }
}

/// Twelve letters and digits that nobody guesses and nobody mixes up.
///
/// # Errors
/// The system has no random numbers.
pub(super) fn random_word() -> Result<String, Error> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    Ok(random_bytes::<12>()?.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

fn random_bytes<const N: usize>() -> Result<zeroize::Zeroizing<[u8; N]>, Error> {
    let mut bytes = zeroize::Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(&mut bytes[..])
        .map_err(|_| Error::new(ErrorKind::File, "the system gives no random numbers").remedy("try again"))?;
    Ok(bytes)
}

#[derive(Default)]
struct Parameters {
    state: Option<Secret>,
    code: Option<Secret>,
    error: Option<String>,
    description: Option<String>,
    subcode: Option<String>,
}

impl Parameters {
    /// RFC 6749, section 3.1: no parameter may be there twice. Unknown ones are passed over.
    fn parse(form: &[u8]) -> Result<Self, RejectedRequest> {
        let mut read = Self::default();
        for (name, value) in url::form_urlencoded::parse(form) {
            let again = match &*name {
                "state" => read.state.replace(Secret::new(value)).is_some(),
                "code" => read.code.replace(Secret::new(value)).is_some(),
                "error" => read.error.replace(value.into_owned()).is_some(),
                "error_description" => read.description.replace(value.into_owned()).is_some(),
                "error_subcode" => read.subcode.replace(value.into_owned()).is_some(),
                _ => false,
            };
            if again {
                return Err(RejectedRequest::bad("it holds a parameter twice"));
            }
        }
        Ok(read)
    }
}

/// The refusal in the words of the token endpoint. There the correlation ID and the time are fields of
/// their own, here they stand in the description only.
fn refusal(error: String, description: Option<String>, subcode: Option<String>) -> EntraError {
    let description = description.unwrap_or_default();
    let named = |name: &str, end: &[char]| {
        let (_, rest) = description.split_once(name)?;
        Some(rest.split(end).next()?.trim().to_owned())
    };
    EntraError {
        correlation_id: named("Correlation ID: ", &[' ', '\r', '\n']).unwrap_or_default(),
        timestamp: named("Timestamp: ", &['\r', '\n']).unwrap_or_default(),
        error,
        suberror: subcode.unwrap_or_default(),
        error_description: description,
        ..EntraError::default()
    }
}

/// The error for a refusal on the login page. Who cancels, there or at the consent, has declined; an
/// `access_denied` with a code that says more is explained by that.
pub(super) fn explain(refusal: &EntraError) -> Error {
    let explained = refusal.explain(None);
    let said_no =
        refusal.suberror == "cancel" || (refusal.error == "access_denied" && explained.kind() == ErrorKind::Refused);
    if !said_no {
        return explained;
    }
    explained
        .details()
        .iter()
        .fold(Error::new(ErrorKind::SignInDeclined, ErrorKind::SignInDeclined.meaning()), |error, line| {
            error.detail(line)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(form: &str) -> Result<AuthorizationResponse, &'static str> {
        OAuthState(Secret::new("right")).judge(form.as_bytes()).map_err(|ignored| ignored.why)
    }

    #[test]
    fn an_answer_has_the_right_state() {
        assert!(
            matches!(judge("code=c%2B1&state=right&session_state=x"), Ok(AuthorizationResponse::Code(code)) if code.expose() == "c+1")
        );
        assert!(matches!(judge("error=access_denied&state=right"), Ok(AuthorizationResponse::Refused(_))));
        for (form, why) in [
            ("", "it is no answer to a sign-in"),
            ("code=c", "it is no answer to a sign-in"),
            ("error=access_denied", "it is no answer to a sign-in"),
            ("code=c&state=", "it belongs to another sign-in"),
            ("code=c&state=righ", "it belongs to another sign-in"),
            ("code=c&state=rightt", "it belongs to another sign-in"),
            ("code=c&state=Right", "it belongs to another sign-in"),
            ("error=access_denied&state=wrong", "it belongs to another sign-in"),
            ("code=c&state=wrong&state=right", "it holds a parameter twice"),
            ("code=c&code=d&state=right", "it holds a parameter twice"),
            ("state=right", "it holds neither a code nor an error"),
            ("code=&state=right", "it holds neither a code nor an error"),
            ("code=c&error=e&state=right", "it holds neither a code nor an error"),
        ] {
            assert_eq!(judge(form).unwrap_err(), why, "{form}");
        }
    }

    #[test]
    fn states_are_long_and_differ() {
        let (one, other) = (OAuthState::random().unwrap(), OAuthState::random().unwrap());
        assert_eq!(one.expose().len(), 43);
        assert!(!one.is(other.expose()) && one.is(one.expose()));
    }

    #[test]
    fn a_refusal_is_explained() {
        let text = |error: &str, description: &str, subcode: Option<&str>| {
            let refusal = refusal(error.into(), Some(description.into()), subcode.map(String::from));
            explain(&refusal).to_string()
        };
        let declined = "the sign-in was declined; run the command again in half a minute, and approve it";
        assert_eq!(text("access_denied", "the user canceled the authentication", None), declined);
        assert_eq!(text("access_denied", "AADSTS1: x. Trace ID: t", Some("cancel")), declined);
        assert_eq!(
            text("access_denied", "AADSTS90094: An administrator. Trace ID: t", None),
            "nobody has consented to this app for that resource, AADSTS90094; ask an administrator of the tenant to grant admin consent to the app"
        );
    }

    #[test]
    fn what_support_asks_for_is_found() {
        let description = "AADSTS50105: Not assigned. Trace ID: t Correlation ID: cid Timestamp: 2026-01-02 03:04:05Z";
        let refusal = refusal("access_denied".into(), Some(description.into()), None);
        assert_eq!(
            explain(&refusal).details(),
            ["Entra says: AADSTS50105: Not assigned.", "correlation ID cid, timestamp 2026-01-02 03:04:05Z"]
        );
    }

    proptest::proptest! {
        #[test]
        fn no_form_is_taken_without_the_state(form: Vec<u8>) {
            proptest::prop_assert!(OAuthState(Secret::new("a state that nobody guesses")).judge(&form).is_err());
        }
    }
}
