//! What the sign-ins of a person have in common, whatever they are asked by: the public client, what is
//! wanted, and who may sign in.

use std::rc::Rc;

use crate::cache_key::CacheKey;
use crate::entra::UserClient;
use crate::error::Error;
use crate::options::{CLIENT_ID, Inputs, LOGIN_HINT};

use super::Method;
use super::token_request::token_request;

/// The public client that a person signs in with.
pub(super) fn parse(inputs: &Inputs) -> Result<Rc<UserClient>, Error> {
    Ok(Rc::new(UserClient {
        client: inputs.values.require(&CLIENT_ID, "client ID cannot be empty")?,
        request: Rc::new(token_request(inputs)?),
        account: inputs.values.get(&LOGIN_HINT)?,
        shared: true,
    }))
}

/// What tells its tokens from others.
pub(super) fn key(method: &Method, user: &UserClient) -> CacheKey {
    let mut key = method.key();
    user.request.add_to_key(&mut key);
    key.field("client", user.client.as_str());
    key.field("account", user.account.as_deref().unwrap_or_default());
    key
}
