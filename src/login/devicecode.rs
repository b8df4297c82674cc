//! A person signs in on any device with a browser, by a short code.

use crate::cache::Identity;
use crate::entra::{Grant, Person, Session, TokenRequest, device};
use crate::error::Error;
use crate::options::types::ClientId;
use crate::options::{CLIENT_ID, Choices, ENVIRONMENT, LEGACY, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, TENANT_ID};
use crate::sys::Pending;

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

struct DeviceCode {
    client: ClientId,
    request: TokenRequest,
    account: Option<String>,
}

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    let client = choices.values.require(&CLIENT_ID, "client ID cannot be empty")?;
    let account = choices.values.get(&LOGIN_HINT)?;
    Ok(Box::new(DeviceCode { client, request: TokenRequest::parse(choices)?, account }))
}

impl Login for DeviceCode {
    fn identify(&self, identity: &mut Identity) {
        self.request.identify(identity);
        identity.field("client", self.client.as_str());
        identity.field("account", self.account.as_deref().unwrap_or_default());
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(device::sign_in(session, self.who()))
    }

    fn request(&self) -> Option<&TokenRequest> {
        Some(&self.request)
    }

    fn person(&self) -> Option<Person<'_>> {
        Some(self.who())
    }
}

impl DeviceCode {
    fn who(&self) -> Person<'_> {
        Person { client: &self.client, request: &self.request, account: self.account.as_deref(), shared: true }
    }
}
