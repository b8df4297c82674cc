//! A user signs in with name and password (`grant_type=password`), without being asked anything.
//!
//! Kept because Azure/kubelogin has it and pipelines use it. A tenant that wants a second factor, which
//! Microsoft asks of all, refuses it.

use std::rc::Rc;

use crate::cache_key::CacheKey;
use crate::entra::{Session, TokenResponse, UserClient, password};
use crate::error::{Error, ErrorKind};
use crate::options::{
    CLIENT_ID, ENVIRONMENT, Inputs, LEGACY, PASSWORD, PASSWORD_FILE, POP_CLAIMS, POP_ENABLED, TENANT_ID, USERNAME,
    Values,
};
use crate::os::BoxFuture;

use super::secret_option::SecretValue;
use super::token_request::token_request;
use super::{Acquire, Login, Method, WriteRule, secret_option};

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
    user: Rc<UserClient>,
    username: String,
    /// What named the user.
    named_by: String,
    password: SecretValue,
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    let values = inputs.values;
    let client = values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let request = Rc::new(token_request(inputs)?);
    let username = values.require(&USERNAME, "username cannot be empty")?;
    let named_by = values.source_text(&USERNAME);
    let password = secret_option::find(&PASSWORD, values)?.ok_or_else(|| {
        Error::new(ErrorKind::OptionMissing, "password cannot be empty")
            .remedy(secret_option::advice(&PASSWORD, values))
    })?;
    refuse_open_tenant(values)?;
    // One that stands in the exec entry may go where that entry says.
    let secret_in_entry = password.typed && inputs.in_entry(&PASSWORD.decl);
    // The account is not named: whoever is in the answer has shown the password, and may well be called
    // otherwise than they sign in (an alternate login ID).
    let user = Rc::new(UserClient { client, request, account: None, shared: false });
    let ropc = Ropc { user: user.clone(), username, named_by, password };
    Ok(Login { secret_in_entry, ..Login::of_user(ropc.key(), user, None, ropc) })
}

/// AADSTS9001023 says it for two of them, after the password was sent.
fn refuse_open_tenant(values: &Values) -> Result<(), Error> {
    let tenant = values.get(&TENANT_ID)?;
    let open = tenant.filter(|tenant| OPEN_TENANTS.iter().any(|open| tenant.as_str().eq_ignore_ascii_case(open)));
    let Some(tenant) = open else { return Ok(()) };
    let what = format!("signing in with a password needs the user's own tenant, and \"{tenant}\" is none");
    Err(values.invalid(&TENANT_ID, what).remedy("give its ID or one of its domains"))
}

impl Acquire for Ropc {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(async {
            self.refuse_what_was_refused(session)?;
            let answer = password::sign_in(session, &self.user, &self.username, &self.password.secret).await;
            answer.map_err(|error| self.blame(error))
        })
    }
}

impl Ropc {
    fn key(&self) -> CacheKey {
        let mut key = METHOD.key();
        self.user.request.add_to_key(&mut key);
        key.field("client", self.user.client.as_str());
        key.field("username", &self.username);
        key.field("password", self.password.secret.expose());
        key
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
        Err(Error::new(ErrorKind::SignInJustFailed, what)
            .after(Some(*kind))
            .from_source(self.given_by())
            .remedy(remedy))
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
