//! What the sign-ins of a person have in common, whatever they are asked by: the public client, what is
//! wanted, and who may sign in.

use crate::cache::Identity;
use crate::entra::{Person, TokenRequest};
use crate::error::Error;
use crate::options::types::ClientId;
use crate::options::{CLIENT_ID, Choices, LOGIN_HINT};

/// A public client that a person signs in with.
pub(super) struct PublicClient {
    id: ClientId,
    pub(super) request: TokenRequest,
    account: Option<String>,
}

impl PublicClient {
    pub(super) fn parse(choices: &Choices) -> Result<Self, Error> {
        Ok(Self {
            id: choices.values.require(&CLIENT_ID, "client ID cannot be empty")?,
            request: TokenRequest::parse(choices)?,
            account: choices.values.get(&LOGIN_HINT)?,
        })
    }

    pub(super) fn identify(&self, identity: &mut Identity) {
        self.request.identify(identity);
        identity.field("client", self.id.as_str());
        identity.field("account", self.account.as_deref().unwrap_or_default());
    }

    pub(super) fn person(&self) -> Person<'_> {
        Person { client: &self.id, request: &self.request, account: self.account.as_deref(), shared: true }
    }
}
