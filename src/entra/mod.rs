//! Entra ID: where it is, what is asked of it, what it answers, and what its refusals mean.

pub(crate) mod access_token;
pub(crate) mod authority;
pub(crate) mod browser;
pub(crate) mod certificate;
pub(crate) mod device;
pub(crate) mod entra_error;
pub(crate) mod password;
pub(crate) mod pop;
pub(crate) mod pop_claims;
pub(crate) mod token;
pub(crate) mod token_proxy;

use std::cell::Cell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::azure::id::ClientId;
use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind, one_line};
use crate::jwt;
use crate::os::clock::Deadline;
use crate::secret::Secret;
use crate::sys::Sys;

use authority::Authority;
use pop::{PopKey, TokenBinding};

/// What is asked of Entra, however one signs in.
#[derive(Debug)]
pub struct TokenRequest {
    /// Where to ask.
    pub authority: Authority,
    /// For whom the token shall be.
    pub audience: Audience,
    /// To what it shall be bound.
    pub binding: TokenBinding,
}

/// For whom a token shall be, in the words of the endpoint that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// The v2 endpoint's scope, `<id>/.default`.
    Scope(String),
    /// The v1 endpoint's resource. Asked with `api-version=1.0` it makes the `spn:` audience of old clusters.
    Resource(String),
}

impl TokenRequest {
    /// A token of `authority` for `audience`, bound as `binding` says.
    pub fn new(authority: Authority, audience: Audience, binding: TokenBinding) -> Self {
        Self { authority, audience, binding }
    }

    /// Where tokens are asked for, and for whom assertions are made out.
    pub fn token_endpoint(&self) -> Url {
        self.authority.endpoint("token", &self.audience)
    }

    /// Writes everything that tells this request from another into `identity`.
    pub fn add_to_key(&self, identity: &mut CacheKey) {
        self.authority.add_to_key(identity);
        match &self.audience {
            Audience::Scope(scope) => identity.field("scope", scope),
            Audience::Resource(resource) => identity.field("resource", resource),
        }
        // For which cluster a token is signed is no part of it: one token serves all clusters.
        if self.binding != TokenBinding::Bearer {
            identity.field("binding", "key");
        }
    }
}

/// The server applications of AKS and of Arc-enabled Kubernetes, the same in every cloud.
pub(crate) const CLUSTERS: [&str; 2] = ["6dae42f8-4368-4678-94ff-3960e28e3630", "6256c85f-0aad-4d50-b960-e6e9b21efe35"];

impl Audience {
    /// The parameter that asks for it on behalf of a person, with what brings a refresh token and a name.
    fn of_person(&self) -> (&'static str, String) {
        match self {
            Self::Scope(scope) => {
                ("scope", token::person_scopes(scope).map(|scope| scope.to_string()).collect::<Vec<_>>().join(" "))
            }
            Self::Resource(resource) => ("resource", resource.clone()),
        }
    }

    /// Whether tokens for it are good for clusters and for nothing else.
    pub fn is_of_clusters(&self) -> bool {
        let (Self::Scope(text) | Self::Resource(text)) = self;
        let server = text.strip_suffix("/.default").unwrap_or(text);
        CLUSTERS.iter().any(|cluster| server.eq_ignore_ascii_case(cluster))
    }

    /// As Azure/kubelogin: trailing slashes are trimmed and `/.default` is added unless it is there.
    pub fn scope(server: &str) -> Self {
        if server.ends_with("/.default") {
            return Self::Scope(server.to_owned());
        }
        Self::Scope(format!("{}/.default", server.trim_end_matches('/')))
    }
}

/// One sign-in under way.
pub struct Session<'a> {
    /// The world.
    pub sys: &'a Sys,
    /// When to give up.
    pub deadline: Deadline,
    /// The option that would have given more time, for messages.
    pub timeout_option: String,
    /// The command that signs in for the same by hand, for messages.
    pub login_command: String,
    /// A claims challenge that an earlier refusal asked to pass on, unchanged.
    pub claims: Option<String>,
    /// Who is expected to sign in, where that is known.
    pub hint: Option<String>,
    /// The only one who may, where one was named; `hint` then says the same.
    pub required_account: Option<String>,
    /// The key that tokens shall be bound to, where they shall be.
    pub key: Option<std::rc::Rc<PopKey>>,
    /// What the last sign-in for the same has failed with, if that was just now: the kind, and in words.
    pub recent_failure: Option<(ErrorKind, String)>,
    /// Whether a person has been asked; a sign-in that fails after that is not repeated at once.
    pub prompted: Cell<bool>,
}

impl<'a> Session<'a> {
    /// A session that knows nothing of earlier ones.
    pub fn new(sys: &'a Sys, deadline: Deadline) -> Self {
        Self {
            sys,
            deadline,
            timeout_option: String::new(),
            login_command: String::new(),
            claims: None,
            hint: None,
            required_account: None,
            key: None,
            recent_failure: None,
            prompted: Cell::new(false),
        }
    }
}

impl Session<'_> {
    /// Whether whoever has signed in is the one who was named.
    ///
    /// # Errors
    /// It is somebody else, or nobody can tell.
    pub fn check_account(&self, grant: &TokenResponse) -> Result<(), Error> {
        let Some(only) = &self.required_account else { return Ok(()) };
        let Some(account) = &grant.account else {
            let what = format!("the answer does not say who has signed in, and only {} may", one_line(only));
            return Err(Error::new(ErrorKind::OtherAccount, what).remedy("leave out --account (--login-hint)"));
        };
        if account.has_name(only) {
            return Ok(());
        }
        let (who, only) = (one_line(&account.username), one_line(only));
        Err(Error::new(ErrorKind::OtherAccount, format!("{who} has signed in, and not {only}"))
            .remedy(format!("sign in as {only}, or name {who} with --account (--login-hint in the exec entry)")))
    }
}

/// The client that a person signs in with, and for what.
pub struct UserClient {
    /// The public client whose refresh tokens stand for the person.
    pub client: ClientId,
    /// What is asked for.
    pub request: Rc<TokenRequest>,
    /// The only person who is meant, if one was named.
    pub account: Option<String>,
    /// Whether a sign-in may serve other tenants and resources. One by password may not: whoever has
    /// another password must not be served by it.
    pub shared: bool,
}

/// What a sign-in brought.
#[derive(Debug)]
pub struct TokenResponse {
    /// The token for kubectl.
    pub token: Token,
    /// What renews it without a person.
    pub refresh_token: Option<Secret>,
    /// Who signed in, for flows with a person.
    pub account: Option<Account>,
}

/// A token for kubectl. Times are in seconds since the Unix epoch, by this machine's clock.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// The token itself.
    pub access_token: Secret,
    /// When it ends.
    pub expires_on: u64,
    /// When it should be renewed although it still works.
    pub refresh_on: Option<u64>,
}

/// No token of Entra's lives longer, in seconds: those that are revoked at once where that is needed (continuous
/// access evaluation) last 28 hours.
const LONGEST_LIFE: u64 = 28 * 3600;

impl Token {
    /// The same, believed no longer than it says itself, nor than any token lasts, whatever its answer says.
    pub(crate) fn bounded(self, now: u64) -> Self {
        let end = jwt::end(self.access_token.expose()).unwrap_or(u64::MAX);
        Self { expires_on: self.expires_on.min(end).min(now.saturating_add(LONGEST_LIFE)), ..self }
    }

    /// The seconds that are left at `now`.
    pub fn left(&self, now: u64) -> u64 {
        self.expires_on.saturating_sub(now)
    }
}

/// Who signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// `uid.utid`: object and tenant of the account's home, the same in every tenant.
    pub id: String,
    /// The name to show.
    pub username: String,
    /// Other names of the same person.
    #[serde(default, rename = "also")]
    pub aliases: Vec<String>,
}

impl Account {
    /// Whether nothing but its id is known.
    pub fn is_unnamed(&self) -> bool {
        self.username == self.id
    }

    /// Whether `name` is one of this person's; names are compared without regard to case, as Entra does.
    pub fn has_name(&self, name: &str) -> bool {
        std::iter::once(&self.username).chain(&self.aliases).any(|known| known.to_lowercase() == name.to_lowercase())
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A request, for tests of what is done with one.

    use super::authority::Trust;
    use super::{Audience, Authority, TokenBinding, TokenRequest};
    use crate::azure::id::TenantId;

    /// A bearer token for `audience` in the tenant `T` of the public cloud.
    pub(crate) fn request(audience: Audience) -> TokenRequest {
        let base = url::Url::parse("https://login.microsoftonline.com/").unwrap();
        let authority = Authority::new(base, TenantId::parse("T").unwrap(), Trust::Known);
        TokenRequest::new(authority, audience, TokenBinding::Bearer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An answer may promise what it likes, for instance years.
    #[test]
    fn a_token_lasts_no_longer_than_it_says_nor_than_any_does() {
        // {"exp":5000}
        let jwt = "e30.eyJleHAiOjUwMDB9.c2ln";
        for (text, promised, expected) in [
            ("opaque", 4600, 4600),
            ("opaque", u64::MAX, 1000 + 28 * 3600),
            (jwt, 9_000_000, 5000),
            (jwt, 4600, 4600),
            ("e30.e30.c2ln", 9_000_000, 1000 + 28 * 3600),
        ] {
            let token = Token { access_token: Secret::new(text), expires_on: promised, refresh_on: None };
            assert_eq!(token.bounded(1000).expires_on, expected, "{text} {promised}");
        }
    }

    #[test]
    fn clusters_are_known_by_their_server_application() {
        for server in CLUSTERS {
            assert!(Audience::scope(&server.to_uppercase()).is_of_clusters());
            assert!(Audience::Resource(server.into()).is_of_clusters());
        }
        for other in ["https://management.azure.com/", "00000003-0000-0000-c000-000000000000", "api://x"] {
            assert!(!Audience::scope(other).is_of_clusters(), "{other}");
        }
    }

    #[test]
    fn a_server_id_becomes_a_scope() {
        for server in ["api://x", "api://x/", "api://x/.default"] {
            assert_eq!(Audience::scope(server), Audience::Scope("api://x/.default".into()), "{server}");
        }
    }

    /// The same request in the same words, for another audience: nothing below login knows which is usual.
    #[test]
    fn a_token_can_be_asked_for_any_audience() {
        for arm in crate::azure::cloud::CLOUDS.iter().filter_map(|cloud| cloud.arm) {
            let request = fake::request(Audience::scope(arm.audience));
            assert_eq!(request.audience, Audience::Scope(format!("{}/.default", arm.audience.trim_end_matches('/'))));
            assert!(arm.endpoint.ends_with('/') && !request.audience.is_of_clusters(), "{arm:?}");
        }
    }
}
