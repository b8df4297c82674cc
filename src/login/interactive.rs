//! A person signs in with the browser of this machine, or with another one by pasting the answer.

use crate::cache::Identity;
use crate::entra::{Grant, Person, Session, TokenRequest, browser};
use crate::error::Error;
use crate::options::types::RedirectUrl;
use crate::options::{CLIENT_ID, Choices, ENVIRONMENT, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, REDIRECT_URL, TENANT_ID};
use crate::sys::{Env, Pending};
use crate::terminal::{nobody_is_there, nobody_sees};

use super::public_client::PublicClient;
use super::{Login, Method, Rule};

/// `--login interactive`.
pub(super) static METHOD: Method = Method {
    name: "interactive",
    about: "a person signs in with the browser",
    arguments: &[
        Rule::Required.of(&CLIENT_ID),
        Rule::Required.of(&TENANT_ID),
        Rule::Carried.of(&ENVIRONMENT),
        Rule::Carried.of(&POP_ENABLED),
        Rule::Carried.of(&POP_CLAIMS),
        Rule::Carried.of(&REDIRECT_URL),
        Rule::Carried.of(&LOGIN_HINT),
    ],
    variables: &[],
    parse,
};

struct Interactive {
    client: PublicClient,
    redirect: Option<RedirectUrl>,
}

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    Ok(Box::new(Interactive { client: PublicClient::parse(choices)?, redirect: choices.values.get(&REDIRECT_URL)? }))
}

impl Login for Interactive {
    /// Where the browser comes back to makes no other token.
    fn identify(&self, identity: &mut Identity) {
        self.client.identify(identity);
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(browser::sign_in(session, self.client.person(), self.redirect.as_ref()))
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.client.request)
    }

    /// A browser is seen wherever stderr goes: `kubectl get pods 2>/dev/null` opens it as well.
    fn nobody_sees(&self, env: &Env) -> Option<String> {
        if crate::browser::hindrance(env).is_none() { nobody_is_there(env) } else { nobody_sees(env) }
    }

    fn person(&self) -> Option<Person<'_>> {
        Some(self.client.person())
    }
}
