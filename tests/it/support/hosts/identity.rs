//! The managed identities there are, and the tokens they get.

use super::super::clock::{american_date, unix_now};
use super::{Answer, Host, Response, Times, Visit};
use serde_json::{Value, json};

/// A managed identity.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// Client id.
    pub client_id: &'static str,
    /// Object id of its service principal.
    pub oid: &'static str,
    /// The resource that it is; for the system-assigned one the machine.
    pub arm_id: &'static str,
    /// Whether it belongs to the machine.
    pub system: bool,
}

/// The machine's own.
pub static SYSTEM: Identity = Identity {
    client_id: "55555555-5555-4555-8555-555555555555",
    oid: "55555555-0000-4000-8000-000000000000",
    arm_id: "/subscriptions/88888888-8888-4888-8888-888888888888/resourcegroups/rg/providers/\
             Microsoft.Compute/virtualMachines/vm",
    system: true,
};

/// A user-assigned one.
pub static USER: Identity = Identity {
    client_id: "66666666-6666-4666-8666-666666666666",
    oid: "66666666-0000-4000-8000-000000000000",
    arm_id: "/subscriptions/88888888-8888-4888-8888-888888888888/resourcegroups/rg/providers/\
             Microsoft.ManagedIdentity/userAssignedIdentities/one",
    system: false,
};

/// Another user-assigned one, which is only there if a test says so.
pub static TWIN: Identity = Identity {
    client_id: "66666666-7777-4666-8666-666666666666",
    oid: "66666666-7777-4000-8000-000000000000",
    arm_id: "/subscriptions/88888888-8888-4888-8888-888888888888/resourcegroups/rg/providers/\
             Microsoft.ManagedIdentity/userAssignedIdentities/two",
    system: false,
};

/// How a request selects an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By client id.
    Client(String),
    /// By object id.
    Object(String),
    /// By ARM id.
    Arm(String),
}

impl Who {
    fn is(&self, identity: &Identity) -> bool {
        match self {
            Self::Client(id) => id.eq_ignore_ascii_case(identity.client_id),
            Self::Object(id) => id.eq_ignore_ascii_case(identity.oid),
            Self::Arm(id) => id.eq_ignore_ascii_case(identity.arm_id),
        }
    }
}

/// Why no identity is meant.
pub(super) enum NoIdentity {
    /// There is none, or not that one.
    Unknown,
    /// There are several and none was selected.
    Several,
}

/// What an answer holds besides the token.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) times: Times,
    pub(super) expires_in: bool,
}

impl Visit<'_> {
    /// The one that is meant: as selected, else the machine's own, else the only one.
    pub(super) fn identity(&self, who: Option<&Who>) -> Result<&'static Identity, NoIdentity> {
        let all = &self.state.identities;
        match who {
            Some(who) => all.iter().find(|identity| who.is(identity)).copied().ok_or(NoIdentity::Unknown),
            None => match (all.iter().find(|identity| identity.system), all.as_slice()) {
                (Some(system), _) => Ok(system),
                (None, [one]) => Ok(one),
                (None, []) => Err(NoIdentity::Unknown),
                (None, _) => Err(NoIdentity::Several),
            },
        }
    }

    /// The same where a missing selector means the machine's own and nothing else.
    pub(super) fn identity_or_system(&self, who: Option<&Who>) -> Result<&'static Identity, NoIdentity> {
        let found = self.identity(who)?;
        if who.is_some() || found.system { Ok(found) } else { Err(NoIdentity::Unknown) }
    }

    /// A token for `identity` and `resource`, and what is said about it.
    pub(super) fn token(&mut self, identity: &Identity, resource: &str, shape: Shape) -> Value {
        let seconds = self.lifetime(86_400);
        let token = self.entra.mint_identity(identity.client_id, identity.oid, identity.arm_id, resource, seconds);
        self.describe(&token, resource, seconds, shape)
    }

    pub(super) fn lifetime(&mut self, usual: i64) -> i64 {
        let host = self.host;
        self.state.knobs(host).lifetime.unwrap_or(usual)
    }

    pub(super) fn describe(&mut self, token: &str, resource: &str, seconds: i64, shape: Shape) -> Value {
        self.keep_secret(token);
        let host = self.host;
        let times = self.state.knobs(host).times.unwrap_or(shape.times);
        let now = unix_now();
        let mut answer = json!({
            "access_token": token, "token_type": "Bearer", "resource": resource,
            "expires_on": times.write(now + seconds), "not_before": times.write(now),
        });
        if shape.expires_in {
            answer["expires_in"] = if times == Times::Number { json!(seconds) } else { json!(seconds.to_string()) };
        }
        answer
    }

    /// The resource, if there is such an audience. `/.default` is no part of a resource.
    pub(super) fn resource(&self, name: Option<&str>) -> Option<String> {
        self.entra.known_resource(name?).filter(|_| !name.is_some_and(|name| name.ends_with("/.default")))
    }
}

impl Times {
    fn write(self, unix: i64) -> Value {
        match self {
            Self::Text => json!(unix.to_string()),
            Self::Number => json!(unix),
            Self::Date => json!(american_date(unix, false)),
            Self::Date12 => json!(american_date(unix, true)),
        }
    }
}

/// 200 with this body.
pub(super) fn ok(body: &Value) -> Answer {
    Ok(Response::json(200, body))
}

impl Host {
    /// Whether a request may carry what proxies add.
    pub(super) fn takes_forwarded(self) -> bool {
        !matches!(self, Self::Imds | Self::Arc)
    }
}
