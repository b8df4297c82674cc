//! Authorization codes (RFC 6749 §4.1, RFC 7636): what `/authorize` gave out and `/token` takes back.

use super::State;
use super::grants::{Call, Flavour};
use super::refusal::Refusal;
use super::scope::{Wanted, wanted};
use super::tokens::random_text;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A code that was given out, and everything it is bound to.
#[derive(Clone, Debug)]
pub(super) struct AuthCode {
    pub(super) code: String,
    pub(super) client_id: String,
    /// As written in the path.
    pub(super) tenant: String,
    pub(super) flavour: Flavour,
    pub(super) redirect_uri: String,
    /// SHA-256 of the verifier, in base64url.
    pub(super) challenge: String,
    pub(super) nonce: Option<String>,
    pub(super) upn: String,
    pub(super) wanted: Wanted,
    /// By the server's clock.
    pub(super) expires: i64,
    pub(super) redeemed: bool,
}

/// What a code is exchanged for.
pub(super) struct Redeemed {
    pub(super) upn: String,
    pub(super) wanted: Wanted,
    pub(super) nonce: Option<String>,
}

/// A text that a code could be.
pub(super) fn new_code() -> String {
    format!("1.{}", random_text(150))
}

/// Takes the code of a request to `/token`; a second time it is refused (54005).
///
/// Like Entra, a code survives a request that is refused for another reason.
pub(super) fn redeem(state: &mut State, call: &Call<'_>) -> Result<Redeemed, Refusal> {
    let presented = call.form.require("code")?;
    let redirect_uri = call.form.require("redirect_uri")?;
    let position = state.auth_codes.iter().position(|code| code.code == presented);
    let position = position.ok_or_else(Refusal::bad_auth_code)?;
    let code = state.auth_codes[position].clone();
    code.check_binding(call, redirect_uri)?;
    if code.redeemed {
        return Err(Refusal::code_redeemed());
    }
    if call.now >= code.expires {
        return Err(Refusal::auth_code_expired());
    }
    check_verifier(call.form.get("code_verifier"), &code.challenge)?;
    let wanted = code.narrowed(wanted(state, call, Some(&code.wanted))?)?;
    state.auth_codes[position].redeemed = true;
    Ok(Redeemed { upn: code.upn, wanted, nonce: code.nonce })
}

impl AuthCode {
    /// Good only for the client, the tenant, the generation and the address it was made for.
    fn check_binding(&self, call: &Call<'_>, redirect_uri: &str) -> Result<(), Refusal> {
        if call.form.get("client_id") != Some(&self.client_id) {
            return Err(Refusal::client_mismatch());
        }
        let same_flavour = std::mem::discriminant(&self.flavour) == std::mem::discriminant(&call.flavour);
        if !same_flavour || !call.tenant.eq_ignore_ascii_case(&self.tenant) {
            return Err(Refusal::code_of_other_tenant());
        }
        if redirect_uri != self.redirect_uri {
            return Err(Refusal::redirect_differs(redirect_uri, &self.redirect_uri));
        }
        Ok(())
    }

    /// What `/token` asks for may be less than what the person was asked for, never more.
    fn narrowed(&self, wanted: Wanted) -> Result<Wanted, Refusal> {
        let more = (wanted.openid && !self.wanted.openid) || (wanted.offline && !self.wanted.offline);
        if more || wanted.resource != self.wanted.resource {
            return Err(Refusal::not_consented());
        }
        Ok(wanted)
    }
}

/// RFC 7636 §4.1 and §4.6.
fn check_verifier(verifier: Option<&str>, challenge: &str) -> Result<(), Refusal> {
    let well_formed = |text: &&str| (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved);
    let verifier = verifier.filter(well_formed).ok_or_else(Refusal::wrong_verifier)?;
    let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    if hash == challenge { Ok(()) } else { Err(Refusal::wrong_verifier()) }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
