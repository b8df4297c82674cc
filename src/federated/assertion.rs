//! What a JWT says of itself, for display and for the cache's keys, and never for trust: only Entra
//! checks the signature.

use serde_json::Value;

use crate::jwt;

/// The registered claims (RFC 7519, section 4.1) that a federated credential is compared with, and
/// its times in seconds since the Unix epoch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct AssertionClaims {
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`, one or several.
    pub audiences: Vec<String>,
    /// `iat`.
    pub issued_on: Option<u64>,
    /// `exp`.
    pub expires_on: Option<u64>,
}

impl AssertionClaims {
    /// Reads the claims of `token`, if it is a JWT: three parts of base64url, the second of them a JSON
    /// object. Claims of another type than the usual count as missing.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let parts: Vec<&str> = token.split('.').collect();
        let [_, payload, _] = parts[..] else { return None };
        if !parts.iter().all(|part| is_base64url(part)) {
            return None;
        }
        let claims: serde_json::Map<String, Value> = jwt::decode(payload)?;
        let claim = |name| claims.get(name).unwrap_or(&Value::Null);
        Some(Self {
            issuer: text(claim("iss")),
            subject: text(claim("sub")),
            audiences: one_or_several(claim("aud")),
            issued_on: seconds(claim("iat")),
            expires_on: seconds(claim("exp")),
        })
    }
}

fn is_base64url(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(String::from)
}

fn one_or_several(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(text).collect(),
        one => text(one).into_iter().collect(),
    }
}

/// A `NumericDate` may have a fraction (RFC 7519, section 2).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and this is shown only"
)]
fn seconds(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|number| *number >= 0.0).map(|number| number as u64))
}

#[cfg(test)]
pub(crate) mod fake {
    //! Unsigned tokens.

    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    /// A JWT with these claims and this signature.
    pub(crate) fn jwt(claims: &str, signature: &str) -> String {
        let part = |json| BASE64_URL_SAFE_NO_PAD.encode(json);
        format!("{}.{}.{signature}", part(r#"{"alg":"RS256"}"#), part(claims))
    }
}

#[cfg(test)]
mod tests {
    use super::fake::jwt;
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn claims_of_a_token() {
        let claims =
            AssertionClaims::of(&jwt(r#"{"iss":"i","sub":"s","aud":["a","b"],"iat":5,"exp":7.9}"#, "x")).unwrap();
        assert_eq!((claims.issuer.as_deref(), claims.subject.as_deref()), (Some("i"), Some("s")));
        assert_eq!(claims.audiences, ["a", "b"]);
        assert_eq!((claims.issued_on, claims.expires_on), (Some(5), Some(7)));
        assert_eq!(AssertionClaims::of(&jwt(r#"{"aud":"a"}"#, "x")).unwrap().audiences, ["a"]);
    }

    #[test]
    fn odd_claims_count_as_missing() {
        assert_eq!(
            AssertionClaims::of(&jwt(r#"{"iss":1,"sub":"","aud":{},"iat":-3,"exp":"x"}"#, "x")),
            Some(AssertionClaims::default())
        );
    }

    #[test]
    fn what_is_no_jwt() {
        let whole = jwt("{}", "x");
        for text in ["", "a.b", "a.b.c", &format!("{whole}.x"), &format!("{whole}\n"), &jwt("[]", "x"), &jwt("{}", "")]
        {
            assert_eq!(AssertionClaims::of(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(payload: Vec<u8>, text: String) {
            let _ = AssertionClaims::of(&text);
            let _ = AssertionClaims::of(&format!("a.{}.c", BASE64_URL_SAFE_NO_PAD.encode(payload)));
        }
    }
}
