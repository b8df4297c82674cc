//! A person signs in on any device with a browser, by a short code.

use std::rc::Rc;

use crate::entra::{Session, TokenResponse, UserClient, device};
use crate::error::Error;
use crate::options::{CLIENT_ID, ENVIRONMENT, Inputs, LEGACY, LOGIN_HINT, POP_CLAIMS, POP_ENABLED, TENANT_ID};
use crate::os::BoxFuture;

use super::{Acquire, Login, Method, PromptKind, WriteRule, public_client};

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

struct DeviceCode(Rc<UserClient>);

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    let user = public_client::parse(inputs)?;
    Ok(Login::of_user(public_client::key(&METHOD, &user), user.clone(), Some(PromptKind::Stderr), DeviceCode(user)))
}

impl Acquire for DeviceCode {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(device::sign_in(session, &self.0))
    }
}
