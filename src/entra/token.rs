//! The token endpoint: the standard grants through `oauth2`, on our own HTTP policy, and the
//! answers with all the freedoms that Entra takes (numbers as strings, fields of its own).

use std::cell::Cell;
use std::time::Duration;

use oauth2::basic::{BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType};
use oauth2::{AuthType, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, RequestTokenError, Scope};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use url::Url;

use crate::azure::id::ClientId;
use crate::error::{Error, ErrorKind};
use crate::jwt;
use crate::net::{self, host};
use crate::secret::Secret;
use crate::sys::http::{Request, TOKEN_GIVER};

use super::access_token::AccessTokenClaims;
use super::entra_error::EntraError;
use super::token_proxy::TokenProxy;
use super::{Account, Audience, Session, Token, TokenRequest, TokenResponse, UserClient};

/// What a token request may end in besides a grant.
#[derive(Debug)]
pub enum TokenError {
    /// Entra said no.
    Refused(Box<EntraError>, Option<i64>),
    /// No usable answer was had.
    Unreachable(Error),
}

impl From<TokenError> for Error {
    fn from(failure: TokenError) -> Self {
        match failure {
            TokenError::Refused(refusal, clock_ahead) => refusal.explain(clock_ahead),
            TokenError::Unreachable(error) => error,
        }
    }
}

/// By what an application proves to be itself.
#[derive(Clone, Copy)]
pub(crate) enum ClientCredential<'a> {
    /// Its secret.
    Secret(&'a Secret),
    /// A signed statement (RFC 7523, section 2.2): its own, by certificate, or that of an issuer whom
    /// it trusts.
    Assertion(&'a Secret),
}

/// Signs in as an application (RFC 6749, section 4.4), through `proxy` where there is one.
///
/// # Errors
/// A refusal, or no usable answer.
pub(crate) async fn client_credentials(
    session: &Session<'_>,
    wanted: &TokenRequest,
    client: &ClientId,
    proof: ClientCredential<'_>,
    proxy: Option<&TokenProxy>,
) -> Result<TokenResponse, TokenError> {
    const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let endpoint = Endpoint { proxy, ..Endpoint::named(session, wanted, "token") };
    let mut oauth = oauth_client(client, &endpoint.url);
    if let ClientCredential::Secret(secret) = proof {
        oauth = oauth.set_client_secret(oauth2::ClientSecret::new(secret.expose().into()));
    }
    let mut request = oauth.exchange_client_credentials();
    if let ClientCredential::Assertion(assertion) = proof {
        request = request.add_extra_param("client_assertion_type", ASSERTION_TYPE);
        request = request.add_extra_param("client_assertion", assertion.expose());
    }
    match &wanted.audience {
        Audience::Scope(scope) => request = request.add_scope(Scope::new(scope.clone())),
        Audience::Resource(resource) => request = request.add_extra_param("resource", resource),
    }
    for (name, value) in endpoint.binding() {
        request = request.add_extra_param(name, value);
    }
    endpoint.grant(request.request_async(&|request| endpoint.exchange(request)).await)
}

/// Renews a sign-in of a person (RFC 6749, section 6).
///
/// # Errors
/// A refusal, or no usable answer.
pub(crate) async fn refresh(
    session: &Session<'_>,
    user: &UserClient,
    refresh_token: &Secret,
) -> Result<TokenResponse, TokenError> {
    let endpoint = Endpoint::named(session, &user.request, "token");
    let oauth = oauth_client(&user.client, &endpoint.url);
    let refresh_token = oauth2::RefreshToken::new(refresh_token.expose().into());
    let mut request = oauth.exchange_refresh_token(&refresh_token);
    match &user.request.audience {
        Audience::Scope(scope) => {
            request = request.add_scopes(person_scopes(scope)).add_extra_param("client_info", "1");
        }
        Audience::Resource(resource) => request = request.add_extra_param("resource", resource),
    }
    if let Some(claims) = &session.claims {
        request = request.add_extra_param("claims", claims);
    }
    for (name, value) in endpoint.binding() {
        request = request.add_extra_param(name, value);
    }
    endpoint.grant(request.request_async(&|request| endpoint.exchange(request)).await)
}

/// An authorization code, and what shows that it was made for us.
pub(crate) struct AuthorizationCode<'a> {
    /// What the login page gave to the browser.
    pub code: &'a Secret,
    /// Where it was sent to, letter by letter.
    pub redirect_uri: String,
    /// What the challenge was made of (RFC 7636).
    pub verifier: oauth2::PkceCodeVerifier,
}

/// Redeems the code of a person's sign-in in the browser (RFC 6749, section 4.1.3).
///
/// # Errors
/// A refusal, or no usable answer.
pub(crate) async fn authorization_code(
    session: &Session<'_>,
    user: &UserClient,
    code: AuthorizationCode<'_>,
) -> Result<TokenResponse, TokenError> {
    let endpoint = Endpoint::named(session, &user.request, "token");
    let oauth = oauth_client(&user.client, &endpoint.url);
    let redirect_uri = oauth2::RedirectUrl::new(code.redirect_uri)
        .map_err(|_| TokenError::Unreachable(Error::new(ErrorKind::OptionInvalid, "the redirect URL is not valid")))?;
    let mut request = oauth
        .exchange_code(oauth2::AuthorizationCode::new(code.code.expose().into()))
        .set_redirect_uri(std::borrow::Cow::Owned(redirect_uri))
        .set_pkce_verifier(code.verifier);
    let (name, wanted) = user.request.audience.of_person();
    request = request.add_extra_param(name, wanted);
    if matches!(user.request.audience, Audience::Scope(_)) {
        request = request.add_extra_param("client_info", "1");
    }
    if let Some(claims) = &session.claims {
        request = request.add_extra_param("claims", claims);
    }
    for (name, value) in endpoint.binding() {
        request = request.add_extra_param(name, value);
    }
    endpoint.grant(request.request_async(&|request| endpoint.exchange(request)).await)
}

/// The scopes of a person's sign-in: the audience, and what brings a refresh token and a name.
pub(super) fn person_scopes(scope: &str) -> impl Iterator<Item = Scope> {
    [scope, "openid", "offline_access", "profile"].into_iter().map(|scope| Scope::new(scope.into()))
}

type OauthClient = oauth2::Client<
    EntraError,
    RawTokenResponse,
    BasicTokenIntrospectionResponse,
    oauth2::StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// Entra takes the client's id and secret in the body.
fn oauth_client(client: &ClientId, token_url: &Url) -> OauthClient {
    oauth2::Client::new(oauth2::ClientId::new(client.as_str().into()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(oauth2::TokenUrl::from_url(token_url.clone()))
}

/// One endpoint in one session: carries requests to it and remembers what the answer's envelope said.
pub(super) struct Endpoint<'a> {
    session: &'a Session<'a>,
    url: Url,
    /// What stands between us and the endpoint, in a pod with an identity binding.
    proxy: Option<&'a TokenProxy>,
    status: Cell<u16>,
    /// When the last request was sent, by our clock: a token lives from then on at the earliest.
    asked_on: Cell<u64>,
    clock_ahead: Cell<Option<i64>>,
}

impl<'a> Endpoint<'a> {
    pub(super) fn named(session: &'a Session<'a>, wanted: &TokenRequest, name: &str) -> Self {
        Self::at(session, wanted.authority.endpoint(name, &wanted.audience))
    }

    /// One that no protocol version names.
    pub(super) fn at(session: &'a Session<'a>, url: Url) -> Self {
        Self { session, url, proxy: None, status: Cell::new(0), asked_on: Cell::new(0), clock_ahead: Cell::new(None) }
    }

    /// Sends the form `fields`, with what binds a token to the session's key, and reads a `T` or a refusal.
    pub(super) async fn post_bound<T: DeserializeOwned>(&self, fields: &[(&str, &str)]) -> Result<T, TokenError> {
        let binding = self.binding();
        let binding = binding.iter().map(|(name, value)| (*name, value.as_str()));
        self.post(&fields.iter().copied().chain(binding).collect::<Vec<_>>()).await
    }

    /// What a token request says beside the rest where the token shall be bound to a key.
    pub(super) fn binding(&self) -> Vec<(&'static str, String)> {
        let Some(key) = &self.session.key else { return Vec::new() };
        vec![("token_type", "pop".into()), ("req_cnf", key.req_cnf())]
    }

    /// Sends the form `fields` and reads a `T` or a refusal.
    pub(super) async fn post<T: DeserializeOwned>(&self, fields: &[(&str, &str)]) -> Result<T, TokenError> {
        self.ask(Request::form(self.url.clone(), fields, &TOKEN_GIVER)).await
    }

    /// Reads a `T` or a refusal.
    pub(super) async fn get<T: DeserializeOwned>(&self) -> Result<T, TokenError> {
        self.ask(Request::get(self.url.clone(), &TOKEN_GIVER).header("Accept", "application/json")).await
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, TokenError> {
        let body = self.send(request).await.map_err(TokenError::Unreachable)?;
        if self.status.get() == 200 {
            return serde_json::from_slice(&body).map_err(|error| self.unusable(None, &error));
        }
        let refusal = serde_json::from_slice::<EntraError>(&body).map_err(|error| self.unusable(None, &error))?;
        Err(self.refused(refusal))
    }

    /// Carries a request that `oauth2` has written.
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, Error> {
        let body = self.send(Request::encoded_form(self.url.clone(), request.into_body(), &TOKEN_GIVER)).await?;
        let mut response = HttpResponse::new(body);
        *response.status_mut() = oauth2::http::StatusCode::from_u16(self.status.get()).unwrap_or_default();
        Ok(response)
    }

    async fn send(&self, mut request: Request) -> Result<Vec<u8>, Error> {
        if let Some(proxy) = self.proxy {
            request = Request { url: proxy.url(&self.url), transport: proxy.way()?, ..request };
        }
        self.asked_on.set(self.session.sys.clock.now());
        let retry = &net::TOKEN_ENDPOINT;
        let response = net::send(self.session.sys, &request, retry, self.session.deadline).await;
        let response = response.map_err(|error| self.explained(error))?;
        let now = self.session.sys.clock.now();
        self.status.set(response.status);
        self.clock_ahead.set(response.date.map(|date| now.cast_signed() - date.cast_signed()));
        self.session.sys.terminal.detail(5, || {
            let ahead = self.clock_ahead.get().map(|s| format!(", our clock is {s} s ahead")).unwrap_or_default();
            format!("{} answered HTTP {}{ahead}", self.asked(), response.status)
        });
        Ok(response.body)
    }

    fn grant(
        &self,
        answer: Result<RawTokenResponse, RequestTokenError<Error, EntraError>>,
    ) -> Result<TokenResponse, TokenError> {
        match answer {
            Ok(answer) => self.accept(&answer),
            Err(RequestTokenError::ServerResponse(refusal)) => Err(self.refused(refusal)),
            Err(RequestTokenError::Request(error)) => Err(TokenError::Unreachable(error)),
            Err(RequestTokenError::Parse(error, _)) => Err(self.unusable(Some(error.path()), error.inner())),
            Err(RequestTokenError::Other(_)) => Err(self.not_entra("is empty")),
        }
    }

    /// The grant in an answer, with times by our own clock: kubectl reads the expiry with it too.
    pub(super) fn accept(&self, answer: &RawTokenResponse) -> Result<TokenResponse, TokenError> {
        let now = self.asked_on.get();
        let lifetime = match answer.expires_in {
            None => return Err(self.not_entra("does not say how long the token lasts")),
            Some(0) => return Err(self.not_entra("holds a token that has ended already")),
            Some(seconds) => seconds,
        };
        if answer.access_token.secret().is_empty() {
            return Err(self.not_entra("holds no token"));
        }
        self.check_binding(answer)?;
        let refresh_token = answer.refresh_token.as_ref().filter(|token| !token.secret().is_empty());
        Ok(TokenResponse {
            token: Token {
                access_token: Secret::new(answer.access_token.secret()),
                expires_on: now.saturating_add(lifetime),
                refresh_on: answer.renewal_after(lifetime).map(|after| now.saturating_add(after)),
            },
            refresh_token: refresh_token.map(|token| Secret::new(token.secret())),
            account: answer.account(),
        })
    }

    /// Whether the token is bound as it shall be. The token says so itself: the type that the answer
    /// names is `pop` or, as recordings show, `Bearer`.
    fn check_binding(&self, answer: &RawTokenResponse) -> Result<(), TokenError> {
        let Some(key) = &self.session.key else {
            let bearer = matches!(answer.token_type, BasicTokenType::Bearer);
            return if bearer { Ok(()) } else { Err(self.not_entra("holds a token that is not a bearer token")) };
        };
        let claims = jwt::claims::<BoundClaims>(answer.access_token.secret());
        let elsewhere = claims.is_some_and(|claims| claims.cnf.is_none_or(|cnf| cnf.kid != key.kid()));
        if elsewhere { Err(self.not_entra("holds a token that is not bound to our key")) } else { Ok(()) }
    }

    /// A gateway's own JSON is no refusal of Entra's, which always names an `error`.
    fn refused(&self, refusal: EntraError) -> TokenError {
        if refusal.error.is_empty() {
            return self.not_entra("is not one of Entra's");
        }
        TokenError::Refused(Box::new(refusal), self.clock_ahead.get())
    }

    /// The parser's own message may quote the answer, and the answer may hold a token: only the
    /// field's name is told.
    fn unusable(&self, path: Option<&serde_path_to_error::Path>, error: &serde_json::Error) -> TokenError {
        let kind = if error.is_data() { "has other fields than expected" } else { "is not JSON" };
        let path = path.map(ToString::to_string).filter(|path| error.is_data() && path != ".");
        let field = missing_field(error).map(|name| format!("{name} is missing")).or(path);
        self.not_entra(&format!("{kind}{}", field.map(|field| format!(", {field}")).unwrap_or_default()))
    }

    fn not_entra(&self, what: &str) -> TokenError {
        let (host, status) = (self.asked(), self.status.get());
        let error = Error::new(ErrorKind::NotEntra, format!("the answer of {host} {what} (HTTP {status})"));
        TokenError::Unreachable(self.explained(error))
    }

    /// Who answers.
    fn asked(&self) -> String {
        self.proxy.map_or_else(|| host(&self.url), |proxy| host(&proxy.url(&self.url)))
    }

    fn explained(&self, error: Error) -> Error {
        match self.proxy {
            Some(proxy) => proxy.explain(error),
            None => error,
        }
    }
}

/// The field that serde misses: its name is ours, and nothing of the answer is quoted with it.
fn missing_field(error: &serde_json::Error) -> Option<String> {
    let text = error.to_string();
    let (name, _) = text.strip_prefix("missing field `")?.split_once('`')?;
    Some(name.to_owned())
}

/// A token answer. `Debug` of the oauth2 types hides their text.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RawTokenResponse {
    access_token: oauth2::AccessToken,
    #[serde(deserialize_with = "oauth2::helpers::deserialize_untagged_enum_case_insensitive")]
    token_type: BasicTokenType,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    refresh_in: Option<u64>,
    refresh_token: Option<oauth2::RefreshToken>,
    client_info: Option<Secret>,
    id_token: Option<Secret>,
}

impl RawTokenResponse {
    /// When to renew early, in seconds from now: as Entra says, else half of a life of two hours or
    /// more, as the Microsoft libraries do.
    fn renewal_after(&self, lifetime: u64) -> Option<u64> {
        let half = (lifetime >= 2 * 3600).then_some(lifetime / 2);
        self.refresh_in.or(half)
    }

    /// The account: `client_info` names its home; where it is missing (v1, AD FS) the id token's
    /// `oid` and `tid`, or `sub`, do. The id token came straight from the issuer over TLS, so its
    /// signature adds nothing (`OpenID` Connect Core, 3.1.3.7, point 6). What neither says the access
    /// token does: the v1 endpoint gives no id token unasked.
    fn account(&self) -> Option<Account> {
        let told = AccessTokenClaims::of(&Secret::new(self.access_token.secret())).account();
        match (self.account_of_id_token(), told) {
            (Some(account), Some(told)) if account.is_unnamed() => Some(Account { id: account.id, ..told }),
            (account, told) => account.or(told),
        }
    }

    fn account_of_id_token(&self) -> Option<Account> {
        let claims: IdClaims = self.id_token.as_ref().and_then(|token| jwt::claims(token.expose())).unwrap_or_default();
        let home: Option<ClientInfo> = self.client_info.as_ref().and_then(|info| jwt::decode(info.expose()));
        let id = match home {
            Some(home) => format!("{}.{}", home.uid, home.utid),
            None => claims
                .oid
                .clone()
                .zip(claims.tid.clone())
                .map(|(oid, tid)| format!("{oid}.{tid}"))
                .or(claims.sub.clone())?,
        };
        let mut names = claims.names().into_iter();
        Some(Account { username: names.next().unwrap_or_else(|| id.clone()), id, aliases: names.collect() })
    }
}

impl oauth2::TokenResponse for RawTokenResponse {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &oauth2::AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &self.token_type
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in.map(Duration::from_secs)
    }

    fn refresh_token(&self) -> Option<&oauth2::RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

/// To what a token is bound (RFC 7800).
#[derive(Deserialize)]
struct BoundClaims {
    cnf: Option<Cnf>,
}

#[derive(Deserialize)]
struct Cnf {
    kid: String,
}

#[derive(Deserialize)]
struct ClientInfo {
    uid: String,
    utid: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct IdClaims {
    oid: Option<String>,
    tid: Option<String>,
    sub: Option<String>,
    preferred_username: Option<String>,
    upn: Option<String>,
    unique_name: Option<String>,
    email: Option<String>,
}

impl IdClaims {
    /// The name to show, and every other one. An address for mail is chosen by the guest's own tenant, so
    /// it names nobody but where nothing else does.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in [&self.preferred_username, &self.upn, &self.unique_name].into_iter().flatten() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() { self.email.iter().cloned().collect() } else { names }
    }
}

/// Seconds as a number (v2) or as a string (v1).
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    serde_json::Value::deserialize(deserializer).map(|value| seconds_of(&value))
}

/// A number, or one in a string; anything else is none.
pub(crate) fn seconds_of(value: &serde_json::Value) -> Option<u64> {
    match value {
        serde_json::Value::Number(number) => number.as_u64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    use super::*;

    fn answer(json: &str) -> RawTokenResponse {
        serde_json::from_str(json).unwrap()
    }

    fn encoded(json: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn numbers_may_be_strings() {
        let v1 = answer(r#"{"access_token":"a","token_type":"bearer","expires_in":"3599","refresh_in":"x"}"#);
        assert_eq!((v1.expires_in, v1.refresh_in), (Some(3599), None));
        assert!(matches!(v1.token_type, BasicTokenType::Bearer));
    }

    #[test]
    fn long_lives_are_renewed_at_half_time() {
        let token = answer(r#"{"access_token":"a","token_type":"Bearer","expires_in":86400}"#);
        assert_eq!(token.renewal_after(86400), Some(43200));
        assert_eq!(token.renewal_after(3600), None);
        let said = answer(r#"{"access_token":"a","token_type":"Bearer","refresh_in":10}"#);
        assert_eq!(said.renewal_after(86400), Some(10));
    }

    #[test]
    fn the_account_is_the_home_of_a_guest() {
        let id_token = format!("h.{}.s", encoded(r#"{"oid":"guest","tid":"t2","preferred_username":"bob@x"}"#));
        let home = encoded(r#"{"uid":"u1","utid":"t1"}"#);
        let with_home =
            format!(r#"{{"access_token":"a","token_type":"Bearer","id_token":"{id_token}","client_info":"{home}"}}"#);
        let bob = Account { id: "u1.t1".into(), username: "bob@x".into(), aliases: Vec::new() };
        assert_eq!(answer(&with_home).account().unwrap(), bob);
        let without = format!(r#"{{"access_token":"a","token_type":"Bearer","id_token":"{id_token}"}}"#);
        assert_eq!(answer(&without).account().unwrap().id, "guest.t2");
        assert_eq!(answer(r#"{"access_token":"a","token_type":"Bearer","id_token":"junk"}"#).account(), None);
    }

    #[test]
    fn debug_shows_no_token() {
        let token =
            answer(r#"{"access_token":"canary","token_type":"Bearer","refresh_token":"canary","id_token":"canary"}"#);
        assert!(!format!("{token:?}").contains("canary"));
    }
}
