//! The password grant (RFC 6749, section 4.3), and the question that Entra wants asked before it: who
//! checks the passwords of this user?
//!
//! A password goes to Entra only where Entra itself checks it. Organisations with a server of their own
//! (AD FS by WS-Trust) are told so.

use serde::Deserialize;
use url::Url;

use crate::error::{Error, ErrorKind};
use crate::net;
use crate::secret::Secret;

use super::token::{Endpoint, RawTokenResponse};
use super::{Audience, Session, TokenResponse, UserClient};

/// Said whenever a password is sent: the day on which this ends is the tenant's to choose.
const PASSWORDS_END: &str = "note: signing in with a password only; Microsoft requires a second factor (MFA) for Azure \
                             sign-ins, and where a tenant enforces it this way ends";

/// Signs `username` in with `password`.
///
/// # Errors
/// A user whose password Entra does not check, a refusal, or no usable answer.
pub(crate) async fn sign_in(
    session: &Session<'_>,
    user: &UserClient,
    username: &str,
    password: &Secret,
) -> Result<TokenResponse, Error> {
    // An AD FS has no users but its own.
    if let Some(url) = user.request.authority.user_realm(username) {
        realm(session, url).await?.admit(username)?;
    }
    let text = password.expose();
    if text.trim() != text {
        session
            .sys
            .terminal
            .detail(1, || "the password begins or ends with a blank, which Entra may not accept".into());
    }
    session.sys.terminal.note(PASSWORDS_END);
    let mut fields = vec![
        ("grant_type", "password"),
        ("client_id", user.client.as_str()),
        ("username", username),
        ("password", text),
    ];
    let (name, wanted) = user.request.audience.of_person();
    fields.push((name, &wanted));
    if matches!(user.request.audience, Audience::Scope(_)) {
        fields.push(("client_info", "1"));
    }
    let endpoint = Endpoint::named(session, &user.request, "token");
    let answer: RawTokenResponse = endpoint.post_bound(&fields).await?;
    Ok(endpoint.accept(&answer)?)
}

async fn realm(session: &Session<'_>, url: Url) -> Result<Realm, Error> {
    Ok(Endpoint::at(session, url).get().await?)
}

/// Who checks the passwords of a user.
#[derive(Deserialize)]
#[serde(tag = "account_type")]
enum Realm {
    /// Entra.
    Managed,
    /// A server of the organisation.
    Federated { federation_active_auth_url: Option<String>, federation_metadata_url: Option<String> },
    /// Nobody that Entra knows of.
    #[serde(other)]
    Unknown,
}

impl Realm {
    fn admit(&self, username: &str) -> Result<(), Error> {
        match self {
            Realm::Managed => Ok(()),
            Realm::Federated { federation_active_auth_url: active, federation_metadata_url: metadata } => {
                let urls = [active, metadata].into_iter().flatten();
                let server = urls.filter_map(|url| Url::parse(url).ok()).map(|url| net::host(&url)).next();
                let server = server.as_deref().unwrap_or("a server of its organisation");
                let what = format!("the password of {username} is checked by {server} and not by Entra");
                Err(Error::new(ErrorKind::PasswordElsewhere, what))
            }
            Realm::Unknown => {
                let what = format!("Entra does not know the user {username} in this cloud");
                Err(Error::new(ErrorKind::UserUnknown, what)
                    .remedy("check the user name, and --environment for another cloud"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(json: &str) -> Result<(), String> {
        serde_json::from_str::<Realm>(json).unwrap().admit("a@b").map_err(|error| error.what().to_owned())
    }

    #[test]
    fn only_managed_passwords_are_sent() {
        assert_eq!(verdict(r#"{"ver":"1.0","account_type":"Managed","domain_name":"b"}"#), Ok(()));
        for unknown in [r#"{"account_type":"Unknown"}"#, r#"{"account_type":"SomethingNew"}"#] {
            assert_eq!(verdict(unknown).unwrap_err(), "Entra does not know the user a@b in this cloud");
        }
        assert!(serde_json::from_str::<Realm>("{}").is_err(), "an answer that says nothing is none");
    }

    #[test]
    fn the_server_of_a_federation_is_named() {
        let by = |fields: &str| verdict(&format!(r#"{{"account_type":"Federated"{fields}}}"#)).unwrap_err();
        let both = r#","federation_active_auth_url":"https://fs.b/adfs/x","federation_metadata_url":"https://m.b/y""#;
        assert_eq!(by(both), "the password of a@b is checked by fs.b and not by Entra");
        assert!(by(r#","federation_metadata_url":"https://m.b/y""#).contains(" by m.b and"));
        assert!(by(r#","federation_active_auth_url":"junk""#).contains(" by a server of its organisation and"));
    }
}
