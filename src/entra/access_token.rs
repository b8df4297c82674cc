//! What an access token says of itself. It is for display, and for telling whose a kept token is: nobody
//! has checked its signature.

use serde::Deserialize;

use crate::secret::Secret;

use super::Account;
use crate::jwt;

/// The claims that name somebody.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct AccessTokenClaims {
    upn: Option<String>,
    unique_name: Option<String>,
    preferred_username: Option<String>,
    appid: Option<String>,
    azp: Option<String>,
    oid: Option<String>,
    /// The tenant.
    pub tid: Option<String>,
}

/// Stands in the names that a directory gives its guests.
const GUEST: &str = "#EXT#";

impl AccessTokenClaims {
    /// The claims of `token`; none, where it is no JWT.
    pub(crate) fn of(token: &Secret) -> Self {
        jwt::claims(token.expose()).unwrap_or_default()
    }

    /// The person, if it is one. Names of other identity providers stand behind a `#`.
    pub(crate) fn person(&self) -> Option<&str> {
        let names = [&self.upn, &self.unique_name, &self.preferred_username];
        let mut names = names.into_iter().flatten().filter(|name| !name.is_empty());
        let first = names.clone().next()?;
        // What a guest is called in this tenant's directory is no name that anybody signs in with.
        let name = names.find(|name| !name.contains(GUEST)).unwrap_or(first);
        if name.contains(GUEST) { Some(name) } else { name.rsplit('#').next().filter(|name| !name.is_empty()) }
    }

    /// The person as an account, where an answer does not name one: the v1 endpoint has no `client_info`.
    /// The id is that of the object in this tenant, which for guests is another one than at home.
    pub(crate) fn account(&self) -> Option<Account> {
        let username = self.person()?.to_owned();
        let id = format!("{}.{}", self.oid.as_deref()?, self.tid.as_deref()?);
        let names = [&self.upn, &self.unique_name, &self.preferred_username].into_iter().flatten();
        let also = names.filter(|name| **name != username && !name.is_empty()).cloned().collect();
        Some(Account { id, username, aliases: also })
    }

    /// The application that the token was given to.
    pub(crate) fn application(&self) -> Option<&str> {
        self.appid.as_deref().or(self.azp.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn claims(json: &str) -> AccessTokenClaims {
        AccessTokenClaims::of(&Secret::new(format!("h.{}.s", BASE64_URL_SAFE_NO_PAD.encode(json))))
    }

    #[test]
    fn an_account_by_its_token() {
        let guest = claims(r#"{"upn":"alice_x#EXT#@contoso.com","unique_name":"alice@x","oid":"o","tid":"t"}"#);
        let account = guest.account().unwrap();
        assert!(account.id == "o.t" && account.has_name("ALICE@X"), "{account:?}");
        for nobody in [r#"{"appid":"a","oid":"o","tid":"t"}"#, r#"{"upn":"alice","tid":"t"}"#] {
            assert_eq!(claims(nobody).account(), None, "{nobody}");
        }
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
            assert_eq!(AccessTokenClaims::of(&Secret::new(none)).application(), None, "{none}");
        }
    }
}
