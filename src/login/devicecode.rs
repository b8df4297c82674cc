//! A person signs in on any device with a browser, by a short code.

use crate::cache_key::CacheKey;
use crate::entra::{Session, TokenRequest, TokenResponse, UserClient, device};
use crate::error::Error;
use crate::options::{CLIENT_ID, ENVIRONMENT, Inputs, LEGACY, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, TENANT_ID};
use crate::os::BoxFuture;

use super::public_client::PublicClient;
use super::{Login, Method, WriteRule};

/// `--login devicecode`.
pub(super) static METHOD: Method = Method {
    name: "devicecode",
    about: "a person signs in on any device, with a code",
    arguments: &[
        WriteRule::Required.of(&CLIENT_ID),
        WriteRule::Required.of(&TENANT_ID),
        WriteRule::Inherited.of(&ENVIRONMENT),
        WriteRule::Inherited.of(&LEGACY),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
        WriteRule::Inherited.of(&LOGIN_HINT),
    ],
    variables: &[],
    parse,
};

struct DeviceCode(PublicClient);

fn parse(inputs: &Inputs) -> Result<Box<dyn Login>, Error> {
    Ok(Box::new(DeviceCode(PublicClient::parse(inputs)?)))
}

impl Login for DeviceCode {
    fn add_to_key(&self, identity: &mut CacheKey) {
        self.0.identify(identity);
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(device::sign_in(session, self.0.person()))
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.0.request)
    }

    fn user_client(&self) -> Option<UserClient<'_>> {
        Some(self.0.person())
    }
}
