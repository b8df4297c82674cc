//! The login methods. A method is one file and one line in [`METHODS`].

mod arguments;
mod auto;
mod azd;
mod azurecli;
mod azurepipelines;
mod devicecode;
#[cfg(test)]
pub(crate) mod fake;
mod federated_inputs;
mod interactive;
mod method;
mod msi;
mod public_client;
mod ropc;
mod secret_option;
mod spec;
mod spn;
mod token_request;
mod tool;
mod workloadidentity;

use std::rc::Rc;
use std::time::Duration;

pub(crate) use arguments::{EntryArgument, WriteRule};
pub(crate) use auto::{Auto, Resolved};
pub(crate) use method::described;
pub use method::{METHODS, Method};
pub(crate) use spec::{Spec, check, location, location_at_rest};
pub(crate) use token_request::check_binding;

use crate::cache_key::CacheKey;
use crate::entra::pop::TokenBinding;
use crate::entra::{Session, TokenRequest, TokenResponse, UserClient};
use crate::error::{Error, ErrorKind};
use crate::os::BoxFuture;
use crate::sys::Sys;
use crate::terminal::{prompt_hidden, unattended};

/// A parsed, complete way to sign in.
pub struct Login {
    /// What tells this login and what it asks for from another, secrets included: its tokens' key in the cache.
    pub key: CacheKey,
    /// What is asked of Entra; nothing where the token comes from the machine or another program.
    pub request: Option<Rc<TokenRequest>>,
    /// For methods whose sign-ins are renewed by refresh token: with what client one signs in, and who.
    pub user_client: Option<Rc<UserClient>>,
    /// How a person is asked, who has to be there for it; nothing where nobody is asked.
    pub prompt: Option<PromptKind>,
    /// Whether the secret stands on the same command line as the authority, and so may go there.
    pub secret_in_entry: bool,
    /// How long a machine's sign-in may take where no `--timeout` says so (design, D3).
    pub default_timeout: Duration,
    /// Whether enough is known of what makes this login the one it is for its tokens to be kept.
    pub cacheable: bool,
    /// What signs in.
    pub source: TokenSource,
}

/// How a person is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptKind {
    /// On stderr.
    Stderr,
    /// By a browser that opens, which is seen wherever stderr goes; on stderr where none can be opened.
    Browser,
}

/// What signs in.
pub enum TokenSource {
    /// This method.
    Method(Box<dyn Acquire>),
    /// The first method that is there, which is found out when a token is wanted.
    Auto(Auto),
}

/// The one thing that a method does.
pub trait Acquire {
    /// Signs in.
    ///
    /// # Errors
    /// Why there is no token.
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse>;
}

impl Login {
    /// A login that asks nobody and is asked of nobody: what differs is set over it.
    pub(crate) fn new(key: CacheKey, acquire: impl Acquire + 'static) -> Self {
        Self::with(key, TokenSource::Method(Box::new(acquire)))
    }

    fn with(key: CacheKey, source: TokenSource) -> Self {
        Self {
            key,
            request: None,
            user_client: None,
            prompt: None,
            secret_in_entry: false,
            default_timeout: Duration::from_secs(60),
            cacheable: true,
            source,
        }
    }

    /// A login of a person, who is asked by `prompt`, if by anything.
    fn of_user(
        key: CacheKey,
        user: Rc<UserClient>,
        prompt: Option<PromptKind>,
        acquire: impl Acquire + 'static,
    ) -> Self {
        Self { request: Some(user.request.clone()), user_client: Some(user), prompt, ..Self::new(key, acquire) }
    }

    /// Signs in.
    pub fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        match &self.source {
            TokenSource::Method(method) => method.acquire(session),
            // What it resolves to signs in.
            TokenSource::Auto(auto) => Box::pin(std::future::ready(Err(auto.nothing_there()))),
        }
    }

    /// Why nobody would see how this asks, or nothing where somebody may.
    pub fn prompt_hidden(&self, sys: &Sys) -> Option<String> {
        let env = &sys.env;
        match self.prompt {
            // `kubectl get pods 2>/dev/null` opens a browser as well.
            Some(PromptKind::Browser) if sys.browser.unavailable_reason(env).is_none() => unattended(env),
            _ => prompt_hidden(env),
        }
    }

    /// To what its tokens are bound.
    pub fn binding(&self) -> &TokenBinding {
        match &self.source {
            TokenSource::Auto(auto) => auto.binding(),
            TokenSource::Method(_) => self.request.as_ref().map_or(&TokenBinding::Bearer, |request| &request.binding),
        }
    }

    /// Whether a person may be asked, in the end.
    pub fn may_prompt(&self) -> bool {
        match &self.source {
            TokenSource::Auto(auto) => auto.may_prompt(),
            TokenSource::Method(_) => self.prompt.is_some(),
        }
    }
}

/// Two options that exclude each other.
pub(crate) fn both_given(one: &str, other: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{one} and {other} are both given")).remedy("give one of them")
}
