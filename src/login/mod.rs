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

pub use arguments::{EntryArgument, WriteRule};
pub use auto::UnavailableMethods;
pub use method::{METHODS, Method, described, names};
pub use spec::{Spec, check, location, location_at_rest};
pub(crate) use token_request::check_binding;

use crate::cache::Cache;
use crate::cache_key::CacheKey;
use crate::entra::pop::TokenBinding;
use crate::entra::{Session, TokenRequest, TokenResponse, UserClient};
use crate::error::{Error, ErrorKind};
use crate::os::BoxFuture;
use crate::os::env::Env;
use crate::terminal::prompt_hidden;

/// A parsed, complete way to sign in.
pub trait Login {
    /// Writes everything that tells this login and what it asks for from another, secrets included.
    fn add_to_key(&self, identity: &mut CacheKey);

    /// Signs in.
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse>;

    /// What is asked of Entra; nothing where the token comes from the machine or another program.
    fn request(&self) -> Option<&TokenRequest> {
        None
    }

    /// For methods whose sign-ins are renewed by refresh token: with what client one signs in, and who.
    fn user_client(&self) -> Option<UserClient<'_>> {
        None
    }

    /// Whether signing in asks a person, who has to be there.
    fn prompts(&self) -> bool {
        self.user_client().is_some()
    }

    /// Why nobody would see how this asks, or nothing where somebody may.
    fn prompt_hidden(&self, env: &Env) -> Option<String> {
        prompt_hidden(env)
    }

    /// To what its tokens are bound.
    fn binding(&self) -> &TokenBinding {
        self.request().map_or(&TokenBinding::Bearer, |request| &request.binding)
    }

    /// Whether the secret stands on the same command line as the authority, and so may go there.
    fn secret_in_entry(&self) -> bool {
        false
    }

    /// Looks around and settles on a way, for a login that leaves it open until a token is wanted;
    /// `before` is the way that it was last settled on.
    fn resolve<'a>(
        &'a self,
        _: &'a Session<'a>,
        _: &'a Cache,
        _before: Option<&'a str>,
    ) -> BoxFuture<'a, Option<Resolved>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether a person may be asked, in the end.
    fn may_prompt(&self) -> bool {
        self.prompts()
    }

    /// How long a machine's sign-in may take where no `--timeout` says so (design, D3).
    fn default_timeout(&self) -> Duration {
        Duration::from_secs(60)
    }

    /// Whether enough is known of what makes this login the one it is for its tokens to be kept.
    fn cacheable(&self) -> bool {
        true
    }
}

/// The way that a login has settled on.
pub struct Resolved {
    /// What signs in from now on.
    pub login: Rc<dyn Login>,
    /// The way's name, to see whether it is another one than before.
    pub method: &'static str,
    /// The way and why it was taken, for people.
    pub reason: String,
    /// What trying this way has brought already.
    pub grant: Option<TokenResponse>,
    /// What stands before it and is not there.
    pub in_vain: UnavailableMethods,
}

/// Two options that exclude each other.
pub fn both_given(one: &str, other: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("{one} and {other} are both given")).remedy("give one of them")
}
