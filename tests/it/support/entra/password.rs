//! The password grant (RFC 6749 §4.3) and the question that precedes it: whose is the account?

use super::directory::Member;
use super::grants::{Call, Flavour};
use super::refusal::Refusal;
use super::{FakeEntra, Request, State};
use serde_json::{Value, json};

/// Who checks the password of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Realm {
    /// Entra itself.
    Managed,
    /// The organisation's own server.
    Federated {
        /// `WSTrust` or `SAML20`.
        protocol: String,
        /// Where its metadata lies.
        metadata_url: String,
        /// Where it takes user names and passwords.
        active_auth_url: String,
    },
    /// Nobody knows.
    Unknown,
}

impl FakeEntra {
    /// The user's password; without one no password is right.
    pub fn password(&self, upn: &str, password: &str) -> &Self {
        let [upn, password] = [upn.to_ascii_lowercase(), password.to_owned()];
        self.arrange(|state| {
            state.passwords.insert(upn, password);
        })
    }

    /// Whether a right password is answered with 50076 and these claims: another factor is needed.
    pub fn password_needs_mfa(&self, claims: Option<&str>) -> &Self {
        self.arrange(|state| state.knobs.password_needs_mfa = claims.map(str::to_owned))
    }

    /// What user realm discovery says of that account. Users of the directory are managed, all others
    /// unknown, unless said otherwise.
    pub fn realm(&self, upn: &str, realm: Realm) -> &Self {
        self.arrange(|state| {
            state.realms.insert(upn.to_ascii_lowercase(), realm);
        })
    }
}

/// Answers `/common/UserRealm/{upn}`.
pub(super) fn user_realm(state: &State, request: &Request, upn: &str) -> Result<Value, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::malformed("user realm discovery is a GET"));
    }
    if request.query != "api-version=1.0" {
        return Err(Refusal::malformed("user realm discovery wants api-version=1.0 and nothing else"));
    }
    let upn = percent_decoded(upn).ok_or_else(|| Refusal::malformed("a bad percent escape"))?;
    let Some((_, domain)) = upn.split_once('@') else {
        return Err(Refusal::malformed("a user name without a domain"));
    };
    let mut answer = json!({
        "ver": "1.0",
        "account_type": "Unknown",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    });
    match state.realm_of(&upn) {
        Realm::Unknown => return Ok(answer),
        Realm::Managed => answer["account_type"] = json!("Managed"),
        Realm::Federated { protocol, metadata_url, active_auth_url } => {
            answer["account_type"] = json!("Federated");
            answer["federation_protocol"] = json!(protocol);
            answer["federation_metadata_url"] = json!(metadata_url);
            answer["federation_active_auth_url"] = json!(active_auth_url);
        }
    }
    answer["domain_name"] = json!(domain);
    Ok(answer)
}

/// Who signs in with the user name and password of the request.
pub(super) fn sign_in(state: &State, call: &Call<'_>, tenant: Option<&str>) -> Result<String, Refusal> {
    let (upn, password) = (call.form.require("username")?, call.form.require("password")?);
    let user = state.directory.user(upn);
    let tenant = tenant.or(user.map(|user| user.home_tenant.as_str())).unwrap_or(call.tenant);
    // A guest's password is not known where the guest is.
    let at_home = |member: &Member| !member.guest;
    let member = user.and_then(|user| user.in_tenant(tenant)).filter(at_home);
    let member = member.ok_or_else(|| Refusal::no_such_user(upn, tenant))?;
    let known = state.passwords.get(&member.upn.to_ascii_lowercase());
    let federated = matches!(state.realm_of(upn), Realm::Federated { .. });
    if federated || known.is_none_or(|known| known != password) {
        return Err(Refusal::wrong_password());
    }
    match &state.knobs.password_needs_mfa {
        Some(claims) => Err(Refusal::needs_mfa(claims)),
        None => Ok(member.upn),
    }
}

/// 9001023: passwords are no way into `common` and `consumers`.
pub(super) fn check_tenant(call: &Call<'_>) -> Result<(), Refusal> {
    let closed = ["common", "consumers"].iter().any(|name| call.tenant.eq_ignore_ascii_case(name));
    if closed && call.flavour != Flavour::Adfs { Err(Refusal::no_passwords_here()) } else { Ok(()) }
}

impl State {
    fn realm_of(&self, upn: &str) -> Realm {
        let said = self.realms.get(&upn.to_ascii_lowercase()).cloned();
        let managed = self.directory.user(upn).map(|_| Realm::Managed);
        said.or(managed).unwrap_or(Realm::Unknown)
    }
}

/// A segment of a path; unlike in a query, `+` is itself.
fn percent_decoded(segment: &str) -> Option<String> {
    let mut parts = segment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}
