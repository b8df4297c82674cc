//! A person signs in on any device with a browser, by a short code.

use crate::cache::Identity;
use crate::entra::{Grant, Person, Session, TokenRequest, device};
use crate::error::Error;
use crate::options::{CLIENT_ID, Choices, ENVIRONMENT, LEGACY, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, TENANT_ID};
use crate::sys::Pending;

use super::public_client::PublicClient;
use super::{Login, Method, Rule};

/// `--login devicecode`.
pub(super) static METHOD: Method = Method {
    name: "devicecode",
    about: "a person signs in on any device, with a code",
    arguments: &[
        Rule::Required.of(&CLIENT_ID),
        Rule::Required.of(&TENANT_ID),
        Rule::Carried.of(&ENVIRONMENT),
        Rule::Carried.of(&LEGACY),
        Rule::Carried.of(&POP_ENABLED),
        Rule::Carried.of(&POP_CLAIMS),
        Rule::Carried.of(&LOGIN_HINT),
    ],
    variables: &[],
    parse,
};

struct DeviceCode(PublicClient);

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    Ok(Box::new(DeviceCode(PublicClient::parse(choices)?)))
}

impl Login for DeviceCode {
    fn identify(&self, identity: &mut Identity) {
        self.0.identify(identity);
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(device::sign_in(session, self.0.person()))
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.0.request)
    }

    fn person(&self) -> Option<Person<'_>> {
        Some(self.0.person())
    }
}
