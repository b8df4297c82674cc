//! A user signs in with name and password (`grant_type=password`), without being asked anything.
//!
//! Kept because Azure/kubelogin has it and pipelines use it. A tenant that wants a second factor, which
//! Microsoft asks of all, refuses it.

use crate::azure::id::ClientId;
use crate::cache_key::CacheKey;
use crate::entra::{Session, TokenRequest, TokenResponse, UserClient, password};
use crate::error::{Error, ErrorKind};
use crate::options::{
    CLIENT_ID, ENVIRONMENT, Inputs, LEGACY, PASSWORD, PASSWORD_FILE, POP_CLAIMS, POP_ENABLED, TENANT_ID, USERNAME,
    Values,
};
use crate::os::BoxFuture;

use super::secret_option::SecretValue;
use super::token_request::token_request;
use super::{Login, Method, WriteRule, secret_option};

/// `--login ropc`.
pub(super) static METHOD: Method = Method {
    name: "ropc",
    about: "a user signs in with name and password",
    arguments: &[
        WriteRule::Required.of(&CLIENT_ID),
        WriteRule::Required.of(&TENANT_ID),
        WriteRule::Inherited.of(&ENVIRONMENT),
        WriteRule::InheritedFromSameMethod.of(&USERNAME),
        WriteRule::FlagOnly.of(&PASSWORD),
        WriteRule::Inherited.of(&LEGACY),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
        WriteRule::Inherited.of(&PASSWORD_FILE).unless(&PASSWORD),
    ],
    variables: &[],
    parse,
};

/// Tenants that are none: Entra finds the user's own by a sign-in page, which nobody sees here.
const OPEN_TENANTS: [&str; 2] = ["common", "consumers"];

const OTHER_WAYS: &str = "use --login interactive, or --login spn or workloadidentity where no person is there";

/// Refusals that no password mends.
static WANT_MORE: [ErrorKind; 4] =
    [ErrorKind::MfaNeeded, ErrorKind::PolicyRefused, ErrorKind::DeviceRefused, ErrorKind::ConfirmInBrowser];

/// Refusals of the user, whatever the password.
static OF_THE_NAME: [ErrorKind; 3] = [ErrorKind::UserUnknown, ErrorKind::PasswordElsewhere, ErrorKind::AccountDisabled];

struct Ropc {
    request: TokenRequest,
    client: ClientId,
    username: String,
    /// What named the user.
    named_by: String,
    password: SecretValue,
    /// Whether the password stands in the exec entry: it may go where that entry says.
    brings_own_secret: bool,
}

fn parse(inputs: &Inputs) -> Result<Box<dyn Login>, Error> {
    let values = inputs.values;
    let client = values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let request = token_request(inputs)?;
    let username = values.require(&USERNAME, "username cannot be empty")?;
    let named_by = values.source_text(&USERNAME);
    let password = secret_option::find(&PASSWORD, values)?.ok_or_else(|| {
        Error::new(ErrorKind::OptionMissing, "password cannot be empty")
            .remedy(secret_option::advice(&PASSWORD, values))
    })?;
    refuse_open_tenant(values)?;
    let brings_own_secret = password.typed && inputs.in_entry(&PASSWORD.decl);
    Ok(Box::new(Ropc { request, client, username, named_by, password, brings_own_secret }))
}

/// AADSTS9001023 says it for two of them, after the password was sent.
fn refuse_open_tenant(values: &Values) -> Result<(), Error> {
    let tenant = values.get(&TENANT_ID)?;
    let open = tenant.filter(|tenant| OPEN_TENANTS.iter().any(|open| tenant.as_str().eq_ignore_ascii_case(open)));
    let Some(tenant) = open else { return Ok(()) };
    let what = format!("signing in with a password needs the user's own tenant, and \"{tenant}\" is none");
    Err(values.invalid(&TENANT_ID, what).remedy("give its ID or one of its domains"))
}

impl Login for Ropc {
    fn add_to_key(&self, identity: &mut CacheKey) {
        self.request.add_to_key(identity);
        identity.field("client", self.client.as_str());
        identity.field("username", &self.username);
        identity.field("password", self.password.secret.expose());
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(async {
            self.refuse_what_was_refused(session)?;
            let grant = password::sign_in(session, self.who(), &self.username, &self.password.secret).await;
            grant.map_err(|error| self.blame(error))
        })
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.request)
    }

    fn user_client(&self) -> Option<UserClient<'_>> {
        Some(self.who())
    }

    fn prompts(&self) -> bool {
        false
    }

    fn secret_in_entry(&self) -> bool {
        self.brings_own_secret
    }
}

impl Ropc {
    /// The account is not named: whoever is in the answer has shown the password, and may well be called
    /// otherwise than they sign in (an alternate login ID).
    fn who(&self) -> UserClient<'_> {
        UserClient { client: &self.client, request: &self.request, account: None, shared: false }
    }

    /// kubectl starts a plugin that has failed five times more, and a password that is sent again and
    /// again may lock the account. Another password is another sign-in and does not wait.
    fn refuse_what_was_refused(&self, session: &Session<'_>) -> Result<(), Error> {
        let Some((kind, what)) = &session.recent_failure else { return Ok(()) };
        let remedy = if WANT_MORE.contains(kind) {
            OTHER_WAYS
        } else if kind.counts_against_password() {
            "correct them; the same ones are sent again a minute later"
        } else {
            return Ok(());
        };
        let what = format!("the same password was refused less than a minute ago: {what}");
        Err(Error::new(ErrorKind::SignInJustFailed, what).from_source(self.given_by()).remedy(remedy))
    }

    /// What gave name and password.
    fn given_by(&self) -> String {
        format!("user name from {}, password from {}", self.named_by, self.password.source)
    }

    /// A refusal is about name or password, so both are named by where they came from; where Entra wants
    /// more than a password, nothing that could be typed here helps.
    fn blame(&self, error: Error) -> Error {
        let kind = error.kind();
        let name = format!("user name from {}", self.named_by);
        if kind == ErrorKind::PasswordWrong {
            error.from_source(self.given_by()).remedy("correct them; too many wrong tries lock the account")
        } else if kind == ErrorKind::PolicyRefused {
            // Read on from "ask an administrator of the tenant to".
            error.from_source(name).remedy(format!("say which policy applies; or {OTHER_WAYS}"))
        } else if WANT_MORE.contains(&kind) {
            error.from_source(name).remedy(format!("a password alone does not do here any more: {OTHER_WAYS}"))
        } else if kind.counts_against_password() {
            error.from_source(self.given_by())
        } else if OF_THE_NAME.contains(&kind) {
            error.from_source(name)
        } else {
            error
        }
    }
}
