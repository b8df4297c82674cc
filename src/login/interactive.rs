//! A person signs in with the browser of this machine, or with another one by pasting the answer.

use std::rc::Rc;

use crate::entra::browser::RedirectUrl;
use crate::entra::{Session, TokenResponse, UserClient, browser};
use crate::error::Error;
use crate::options::{CLIENT_ID, ENVIRONMENT, Inputs, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, REDIRECT_URL, TENANT_ID};
use crate::os::BoxFuture;

use super::{Acquire, Login, Method, PromptKind, WriteRule, public_client};

/// `--login interactive`.
pub(super) static METHOD: Method = Method {
    name: "interactive",
    about: "a person signs in with the browser",
    arguments: &[
        WriteRule::Required.of(&CLIENT_ID),
        WriteRule::Required.of(&TENANT_ID),
        WriteRule::Inherited.of(&ENVIRONMENT),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
        WriteRule::Inherited.of(&REDIRECT_URL),
        WriteRule::Inherited.of(&LOGIN_HINT),
    ],
    variables: &[],
    parse,
};

struct Interactive {
    user: Rc<UserClient>,
    redirect: Option<RedirectUrl>,
}

/// Where the browser comes back to makes no other token.
fn parse(inputs: &Inputs) -> Result<Login, Error> {
    let user = public_client::parse(inputs)?;
    let interactive = Interactive { user: user.clone(), redirect: inputs.values.get(&REDIRECT_URL)? };
    Ok(Login::of_user(public_client::key(&METHOD, &user), user, Some(PromptKind::Browser), interactive))
}

impl Acquire for Interactive {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(browser::sign_in(session, &self.user, self.redirect.as_ref()))
    }
}
