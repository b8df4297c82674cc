//! What an access token says of itself. It is for display, and for telling whose a kept token is: nobody
//! has checked its signature.

use serde::Deserialize;

use crate::secret::Secret;

use super::token::decode;

/// The claims that name somebody.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Claims {
    upn: Option<String>,
    unique_name: Option<String>,
    preferred_username: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
    /// The tenant.
    pub tid: Option<String>,
}

impl Claims {
    /// The claims of `token`; none, where it is no JWT.
    pub fn of(token: &Secret) -> Self {
        token.expose().split('.').nth(1).and_then(decode).unwrap_or_default()
    }

    /// The person, if it is one. Names of other identity providers stand behind a `#`.
    pub fn person(&self) -> Option<&str> {
        let names = [&self.upn, &self.unique_name, &self.preferred_username];
        let name = names.into_iter().flatten().find(|name| !name.is_empty())?;
        name.rsplit('#').next().filter(|name| !name.is_empty())
    }

    /// The application that the token was given to.
    pub fn application(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn claims(json: &str) -> Claims {
        Claims::of(&Secret::new(format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(json))))
    }

    #[test]
    fn who_a_token_is_about() {
        let person = claims(r#"{"unique_name":"live.com#alice@contoso.com","appid":"a","tid":"t"}"#);
        assert_eq!((person.person(), person.tid.as_deref()), (Some("alice@contoso.com"), Some("t")));
        assert_eq!(claims(r#"{"upn":"","unique_name":"b"}"#).person(), Some("b"));
        let app = claims(r#"{"appid":"a"}"#);
        assert_eq!((app.person(), app.application()), (None, Some("a")));
        assert_eq!(claims(r#"{"azp":"z"}"#).application(), Some("z"));
        for none in ["", "opaque", "a.b.c"] {
            assert_eq!(Claims::of(&Secret::new(none)).application(), None, "{none}");
        }
    }
}
