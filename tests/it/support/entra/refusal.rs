//! Entra's error answers, code by code.
//!
//! Status, `error` and first sentence follow the real service where they are known. Codes that
//! are a guess say so.

use super::super::clock::entra_date;
use super::super::http::Response;
use super::tokens::guid;
use serde_json::{Value, json};

/// Why a request is refused, and with which words.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: u16,
    error: String,
    code: u32,
    text: String,
    suberror: Option<String>,
    claims: Option<String>,
}

impl Refusal {
    pub(super) fn new(error: &str, code: u32, text: impl Into<String>) -> Self {
        Self {
            // RFC 6749 §5.2: only a client that cannot prove itself gets 401.
            status: if error == "invalid_client" { 401 } else { 400 },
            error: error.to_owned(),
            code,
            text: text.into(),
            suberror: None,
            claims: None,
        }
    }

    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn error(mut self, error: &str) -> Self {
        self.error = error.to_owned();
        self
    }

    pub(super) fn suberror(mut self, suberror: Option<&str>) -> Self {
        self.suberror = suberror.map(str::to_owned);
        self
    }

    pub(super) fn claims(mut self, claims: Option<&str>) -> Self {
        self.claims = claims.map(str::to_owned);
        self
    }

    /// 9002313; `why` is this fake's addition, the service keeps it to itself.
    pub(super) fn malformed(why: &str) -> Self {
        let text = format!("Invalid request. Request is malformed or invalid. (fake: {why})");
        Self::new("invalid_request", 9_002_313, text)
    }

    /// 900144
    pub(super) fn missing(parameter: &str) -> Self {
        let text = format!("The request body must contain the following parameter: '{parameter}'.");
        Self::new("invalid_request", 900_144, text)
    }

    /// 900561, with the 405 that HTTP asks for.
    pub(super) fn only_post(method: &str) -> Self {
        let text = format!("The endpoint only accepts POST requests. Received a {method} request.");
        Self::new("invalid_request", 900_561, text).status(405)
    }

    /// 90002 for a tenant that could exist, 900023 for a text that names none.
    pub(super) fn unknown_tenant(name: &str) -> Self {
        if name.contains('.') || looks_like_guid(name) {
            let text = format!(
                "Tenant '{name}' not found. Check to make sure you have the correct tenant ID \
                 and are signing into the correct cloud. Check with your subscription \
                 administrator, this may happen if there are no active subscriptions for the \
                 tenant."
            );
            return Self::new("invalid_request", 90_002, text);
        }
        let text = format!(
            "Specified tenant identifier '{name}' is neither a valid DNS name, nor a valid \
             external domain."
        );
        Self::new("invalid_request", 900_023, text)
    }

    /// 50059
    pub(super) fn no_tenant() -> Self {
        let text = "No tenant-identifying information found in either the request or implied by \
                    any provided credentials.";
        Self::new("invalid_request", 50_059, text)
    }

    /// 700016
    pub(super) fn unknown_client(client_id: &str, tenant: &str) -> Self {
        let text = format!(
            "Application with identifier '{client_id}' was not found in the directory \
             '{tenant}'. This can happen if the application has not been installed by the \
             administrator of the tenant or consented to by any user in the tenant. You may \
             have sent your authentication request to the wrong tenant."
        );
        Self::new("unauthorized_client", 700_016, text)
    }

    /// 7000215
    pub(super) fn wrong_secret(client_id: &str) -> Self {
        let text = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the \
             client secret value, not the client secret ID, for a secret added to app \
             '{client_id}'."
        );
        Self::new("invalid_client", 7_000_215, text)
    }

    /// 7000222
    pub(super) fn expired_secret(client_id: &str) -> Self {
        let text = format!(
            "The provided client secret keys for app '{client_id}' are expired. Visit the Azure \
             portal to create new keys for your app: https://aka.ms/NewClientSecret, or consider \
             using certificate credentials for added security: https://aka.ms/certCreds."
        );
        Self::new("invalid_client", 7_000_222, text)
    }

    /// 7000218
    pub(super) fn not_public() -> Self {
        let text = "The request body must contain the following parameter: 'client_assertion' \
                    or 'client_secret'.";
        Self::new("invalid_client", 7_000_218, text)
    }

    /// 7000216
    pub(super) fn credential_required() -> Self {
        let text = "'client_assertion', 'client_secret' or 'request' is required for the \
                    'client_credentials' grant type.";
        Self::new("invalid_client", 7_000_216, text)
    }

    /// 700025
    pub(super) fn public_with_secret() -> Self {
        let text = "Client is public so neither 'client_assertion' nor 'client_secret' should be \
                    presented.";
        Self::new("invalid_client", 700_025, text)
    }

    /// 500011
    pub(super) fn unknown_resource(resource: &str, tenant: &str) -> Self {
        let text = format!(
            "The resource principal named {resource} was not found in the tenant named \
             {tenant}. This can happen if the application has not been installed by the \
             administrator of the tenant or consented to by any user in the tenant. You might \
             have sent your authentication request to the wrong tenant."
        );
        Self::new("invalid_resource", 500_011, text)
    }

    /// 70011
    pub(super) fn bad_scope(scope: &str) -> Self {
        let text = format!(
            "The provided request must include a 'scope' input parameter. The provided value for \
             the input parameter 'scope' is not valid. The scope {scope} is not valid."
        );
        Self::new("invalid_scope", 70_011, text)
    }

    /// 1002012
    pub(super) fn needs_default_scope(scope: &str) -> Self {
        let text = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must \
             have a scope value with /.default suffixed to the resource identifier (application \
             ID URI)."
        );
        Self::new("invalid_scope", 1_002_012, text)
    }

    /// 901002
    pub(super) fn resource_on_v2() -> Self {
        let text = "The 'resource' request parameter is not supported.";
        Self::new("invalid_request", 901_002, text)
    }

    /// 70003
    pub(super) fn unsupported_grant(grant_type: &str) -> Self {
        let text = format!("The app requested an unsupported grant type '{grant_type}'.");
        Self::new("unsupported_grant_type", 70_003, text)
    }

    /// 70016
    pub(super) fn pending() -> Self {
        let text = "OAuth 2.0 device flow error. Authorization is pending. Continue polling.";
        Self::new("authorization_pending", 70_016, text)
    }

    /// RFC 8628 §3.5; the code that Entra would put beside it is a guess.
    pub(super) fn slow_down() -> Self {
        let text = "OAuth 2.0 device flow error. Polling too fast. Slow down.";
        Self::new("slow_down", 70_016, text)
    }

    /// `authorization_declined` on v2, `access_denied` on v1 and AD FS; the code is a guess.
    pub(super) fn declined(error: &str) -> Self {
        let text = "User declined to consent to access the app.";
        Self::new(error, 65_004, text)
    }

    /// 70020: `expired_token` on v2 and AD FS, `code_expired` on v1.
    pub(super) fn code_expired(error: &str) -> Self {
        let text = "The provided value for the input parameter 'device_code' is not valid. This \
                    device code has expired.";
        Self::new(error, 70_020, text)
    }

    /// 70018
    pub(super) fn bad_code() -> Self {
        let text = "The provided value for the input parameter 'device_code' is not valid.";
        Self::new("bad_verification_code", 70_018, text)
    }

    /// 50020
    pub(super) fn not_a_member(upn: &str, tenant: &str, client_id: &str) -> Self {
        let text = format!(
            "User account '{upn}' from identity provider 'https://sts.windows.net/' does not \
             exist in tenant '{tenant}' and cannot access the application '{client_id}' in that \
             tenant. The account needs to be added as an external user in the tenant first. \
             Sign out and sign in again with a different Azure Active Directory user account."
        );
        Self::new("invalid_grant", 50_020, text)
    }

    /// 9002313 as `invalid_grant`: a refresh token that this service never made.
    pub(super) fn bad_refresh_token() -> Self {
        let text = "Invalid request. Request is malformed or invalid.";
        Self::new("invalid_grant", 9_002_313, text).suberror(Some("bad_token"))
    }

    /// A refresh token of another client.
    pub(super) fn client_mismatch() -> Self {
        let text = "The provided grant was issued to another client.";
        Self::new("invalid_grant", 70_000, text).suberror(Some("client_mismatch"))
    }

    /// 70000: a code that this service never made.
    pub(super) fn bad_auth_code() -> Self {
        let text = "The provided value for the 'code' parameter is not valid.";
        Self::new("invalid_grant", 70_000, text)
    }

    /// 54005
    pub(super) fn code_redeemed() -> Self {
        let text = "OAuth2 Authorization code was already redeemed, please retry with a new valid \
                    code or use an existing refresh token.";
        Self::new("invalid_grant", 54_005, text)
    }

    /// 70008
    pub(super) fn auth_code_expired() -> Self {
        let text = "The provided authorization code or refresh token has expired due to \
                    inactivity. Send a new interactive authorization request for this user and \
                    resource.";
        Self::new("invalid_grant", 70_008, text)
    }

    /// 700005
    pub(super) fn code_of_other_tenant() -> Self {
        let text = "Provided Authorization Code is intended to use against other tenant, thus rejected.";
        Self::new("invalid_grant", 700_005, text)
    }

    /// 50011 at `/token`. Entra has said it with 500112 too; RFC 6749 §5.2 names the error.
    pub(super) fn redirect_differs(presented: &str, requested: &str) -> Self {
        let text = format!(
            "The reply address '{presented}' does not match the reply address '{requested}' \
             provided when requesting Authorization code."
        );
        Self::new("invalid_grant", 50_011, text)
    }

    /// 501481, also for a verifier that is missing or misshapen.
    pub(super) fn wrong_verifier() -> Self {
        let text = "The Code_Verifier does not match the code_challenge supplied in the authorization request.";
        Self::new("invalid_grant", 501_481, text)
    }

    /// 70000: more is asked for than the person was shown.
    pub(super) fn not_consented() -> Self {
        let text = "The request was denied because one or more scopes requested are unauthorized \
                    or expired. The user must first sign in and grant the client application \
                    access to the requested scope.";
        Self::new("invalid_grant", 70_000, text)
    }

    /// 50126
    pub(super) fn wrong_password() -> Self {
        let text = "Error validating credentials due to invalid username or password.";
        Self::new("invalid_grant", 50_126, text)
    }

    /// 50034
    pub(super) fn no_such_user(upn: &str, tenant: &str) -> Self {
        let text = format!(
            "The user account {upn} does not exist in the {tenant} directory. To sign into this \
             application, the account must be added to the directory."
        );
        Self::new("invalid_grant", 50_034, text)
    }

    /// 50076
    pub(super) fn needs_mfa(claims: &str) -> Self {
        let text = super::revocation_text(50_076);
        Self::new("invalid_grant", 50_076, text).suberror(Some("basic_action")).claims(Some(claims))
    }

    /// 9001023
    pub(super) fn no_passwords_here() -> Self {
        let text = "The grant type is not supported over the /common or /consumers endpoints. \
                    Please use the /organizations or tenant-specific endpoint.";
        Self::new("invalid_request", 9_001_023, text)
    }

    /// 50011 at `/authorize`
    pub(super) fn redirect_not_registered(uri: &str, client_id: &str) -> Self {
        let text = format!(
            "The redirect URI '{uri}' specified in the request does not match the redirect URIs \
             configured for the application '{client_id}'. Make sure the redirect URI sent in \
             the request matches one added to your application in the Azure portal."
        );
        Self::new("invalid_request", 50_011, text)
    }

    /// 501491
    pub(super) fn challenge_size() -> Self {
        Self::new("invalid_request", 501_491, "Invalid size of Code_Challenge parameter.")
    }

    /// 50058: `prompt=none`, and somebody would have to be asked.
    pub(super) fn nobody_signed_in() -> Self {
        let text = "A silent sign-in request was sent but no user is signed in.";
        Self::new("login_required", 50_058, text)
    }

    /// `error`
    pub(super) fn name(&self) -> &str {
        &self.error
    }

    /// `error_description`, as an answer that is not JSON carries it.
    pub(super) fn description(&self, correlation_id: &str, unix: i64) -> String {
        self.described(&guid(), correlation_id, &entra_date(unix))
    }

    fn described(&self, trace: &str, correlation_id: &str, time: &str) -> String {
        format!(
            "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation_id} Timestamp: {time}",
            self.code, self.text
        )
    }

    /// The answer in Entra's shape.
    pub(super) fn response(&self, correlation_id: &str, unix: i64) -> Response {
        let (trace, time) = (guid(), entra_date(unix));
        let mut body = json!({
            "error": self.error,
            "error_description": self.described(&trace, correlation_id, &time),
            "error_codes": [self.code],
            "timestamp": time,
            "trace_id": trace,
            "correlation_id": correlation_id,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.code),
        });
        set_if(&mut body, "suberror", self.suberror.as_deref());
        set_if(&mut body, "claims", self.claims.as_deref());
        Response::json(self.status, &body)
    }

    /// The answer in AD FS's shape: an error and a sentence, no AADSTS code.
    pub(super) fn adfs_response(&self) -> Response {
        let description = format!("MSIS9999: {}", self.text);
        let body = json!({"error": self.error, "error_description": description});
        Response::json(self.status, &body)
    }
}

fn looks_like_guid(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

fn set_if(body: &mut Value, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        body[name] = json!(value);
    }
}
