//! A person signs in with the browser of this machine, or with another one by pasting the answer.

use crate::cache_key::CacheKey;
use crate::entra::browser::RedirectUrl;
use crate::entra::{Session, TokenRequest, TokenResponse, UserClient, browser};
use crate::error::Error;
use crate::options::{CLIENT_ID, ENVIRONMENT, Inputs, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, REDIRECT_URL, TENANT_ID};
use crate::os::BoxFuture;
use crate::os::env::Env;
use crate::terminal::{prompt_hidden, unattended};

use super::public_client::PublicClient;
use super::{Login, Method, WriteRule};

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
    client: PublicClient,
    redirect: Option<RedirectUrl>,
}

fn parse(inputs: &Inputs) -> Result<Box<dyn Login>, Error> {
    Ok(Box::new(Interactive { client: PublicClient::parse(inputs)?, redirect: inputs.values.get(&REDIRECT_URL)? }))
}

impl Login for Interactive {
    /// Where the browser comes back to makes no other token.
    fn add_to_key(&self, identity: &mut CacheKey) {
        self.client.identify(identity);
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(browser::sign_in(session, self.client.person(), self.redirect.as_ref()))
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.client.request)
    }

    /// A browser is seen wherever stderr goes: `kubectl get pods 2>/dev/null` opens it as well.
    fn prompt_hidden(&self, env: &Env) -> Option<String> {
        if crate::os::browser::hindrance(env).is_none() { unattended(env) } else { prompt_hidden(env) }
    }

    fn user_client(&self) -> Option<UserClient<'_>> {
        Some(self.client.person())
    }
}
