//! What the sign-ins of a person have in common, whatever they are asked by: the public client, what is
//! wanted, and who may sign in.

use crate::azure::id::ClientId;
use crate::cache_key::CacheKey;
use crate::entra::{TokenRequest, UserClient};
use crate::error::Error;
use crate::options::{CLIENT_ID, Inputs, LOGIN_HINT};

use super::token_request::token_request;

/// A public client that a person signs in with.
pub(super) struct PublicClient {
    id: ClientId,
    pub(super) request: TokenRequest,
    account: Option<String>,
}

impl PublicClient {
    pub(super) fn parse(inputs: &Inputs) -> Result<Self, Error> {
        Ok(Self {
            id: inputs.values.require(&CLIENT_ID, "client ID cannot be empty")?,
            request: token_request(inputs)?,
            account: inputs.values.get(&LOGIN_HINT)?,
        })
    }

    pub(super) fn identify(&self, identity: &mut CacheKey) {
        self.request.add_to_key(identity);
        identity.field("client", self.id.as_str());
        identity.field("account", self.account.as_deref().unwrap_or_default());
    }

    pub(super) fn person(&self) -> UserClient<'_> {
        UserClient { client: &self.id, request: &self.request, account: self.account.as_deref(), shared: true }
    }
}
