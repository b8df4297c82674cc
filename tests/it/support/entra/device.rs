//! The device flow (RFC 8628): codes, who has typed them in, and how often is asked for them.

use super::State;
use super::grants::{Call, Flavour, as_strings, client, tenant};
use super::refusal::Refusal;
use super::scope::{Wanted, wanted};
use super::tokens::{random_text, user_code};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How much sooner than the interval a poll may come before it is too soon.
const POLL_TOLERANCE: Duration = Duration::from_millis(200);
/// RFC 8628 §3.5: what `slow_down` adds for good.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// What happens to a device code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Person {
    /// Nobody has come yet.
    Wait,
    /// This user signs in.
    Approve(String),
    /// Somebody presses cancel.
    Decline,
    /// The code is treated as expired.
    Expire,
}

/// A device code that was given out.
#[derive(Clone, Debug)]
pub(super) struct DeviceCode {
    pub(super) user_code: String,
    pub(super) person: Option<Person>,
    pub(super) finished: bool,
    device_code: String,
    client_id: String,
    tenant: String,
    flavour: Flavour,
    wanted: Wanted,
    expires: Instant,
    interval: Duration,
    last_poll: Option<Instant>,
    polls: u32,
}

impl DeviceCode {
    /// Whether somebody could still type it in.
    pub(super) fn is_open(&self) -> bool {
        !self.finished && Instant::now() < self.expires
    }
}

/// Answers `/devicecode`.
pub(super) fn device_code(state: &mut State, call: &Call<'_>) -> Result<Value, Refusal> {
    call.form.only(match call.flavour {
        Flavour::V2 => &["client_id", "scope", "claims", "resource"],
        Flavour::V1 { .. } | Flavour::Adfs => &["client_id", "resource", "scope"],
    })?;
    let tenant = tenant(state, call)?;
    let client_id = call.form.require("client_id")?;
    client(state, client_id, tenant.as_deref())?;
    let wanted = wanted(state, call, None)?;
    let code = DeviceCode {
        user_code: user_code(),
        person: None,
        finished: false,
        device_code: random_text(120),
        client_id: client_id.to_owned(),
        tenant: call.tenant.to_ascii_lowercase(),
        flavour: call.flavour,
        wanted,
        expires: Instant::now() + state.knobs.code_lifetime,
        interval: state.knobs.interval,
        last_poll: None,
        polls: 0,
    };
    let answer = device_code_answer(call, &code, state.knobs.code_lifetime);
    state.codes.push(code);
    Ok(answer)
}

fn device_code_answer(call: &Call<'_>, code: &DeviceCode, lifetime: Duration) -> Value {
    let uri = verification_uri(call);
    let mut answer = json!({
        "user_code": code.user_code,
        "device_code": code.device_code,
        "expires_in": lifetime.as_secs(),
        "interval": code.interval.as_secs(),
        "message": format!(
            "To sign in, use a web browser to open the page {uri} and enter the code {} to \
             authenticate.",
            code.user_code
        ),
    });
    match call.flavour {
        Flavour::V1 { .. } => {
            answer["verification_url"] = json!(uri);
            as_strings(&mut answer, &["expires_in", "interval"]);
        }
        Flavour::V2 | Flavour::Adfs => answer["verification_uri"] = json!(uri),
    }
    answer
}

/// Where people type the code; it differs from cloud to cloud.
fn verification_uri(call: &Call<'_>) -> String {
    let host = call.authority;
    match call.flavour {
        Flavour::Adfs => format!("https://{host}/adfs/oauth2/deviceauth"),
        _ if host.contains(".us") => "https://microsoft.com/deviceloginus".to_owned(),
        _ if host.contains(".cn") => "https://microsoft.com/deviceloginchina".to_owned(),
        _ => "https://microsoft.com/devicelogin".to_owned(),
    }
}

/// Who has signed in with the code, and for what; every other state is a refusal.
pub(super) fn approved(state: &mut State, call: &Call<'_>, device_code: &str) -> Result<(String, Wanted), Refusal> {
    let (everybody, pending_polls) = (state.knobs.person.clone(), state.knobs.pending_polls);
    let code = state
        .codes
        .iter_mut()
        .find(|code| code.device_code == device_code && code.matches(call))
        .filter(|code| !code.finished)
        .ok_or_else(Refusal::bad_code)?;
    if Instant::now() >= code.expires {
        return Err(Refusal::code_expired(call.flavour.expired()));
    }
    code.pace()?;
    if code.polls <= pending_polls {
        return Err(Refusal::pending());
    }
    let person = code.person.clone().unwrap_or(everybody);
    code.finished = matches!(person, Person::Approve(_) | Person::Decline);
    match person {
        Person::Wait => Err(Refusal::pending()),
        Person::Expire => Err(Refusal::code_expired(call.flavour.expired())),
        Person::Decline => Err(Refusal::declined(call.flavour.declined())),
        Person::Approve(upn) => Ok((upn, code.wanted.clone())),
    }
}

impl Flavour {
    fn expired(self) -> &'static str {
        match self {
            Flavour::V1 { .. } => "code_expired",
            Flavour::V2 | Flavour::Adfs => "expired_token",
        }
    }

    /// RFC 8628 says `access_denied`; v2 has a word of its own.
    fn declined(self) -> &'static str {
        match self {
            Flavour::V2 => "authorization_declined",
            Flavour::V1 { .. } | Flavour::Adfs => "access_denied",
        }
    }
}

impl DeviceCode {
    /// A code is good only where it was made: same client, tenant and generation.
    fn matches(&self, call: &Call<'_>) -> bool {
        // Whether v1 was called with `api-version` may differ between the two endpoints.
        let same_flavour = std::mem::discriminant(&self.flavour) == std::mem::discriminant(&call.flavour);
        same_flavour
            && call.form.get("client_id") == Some(&self.client_id)
            && call.tenant.eq_ignore_ascii_case(&self.tenant)
    }

    /// Counts a poll, or refuses it for coming too soon after the last one.
    fn pace(&mut self) -> Result<(), Refusal> {
        let now = Instant::now();
        let waited = self.last_poll.replace(now).map(|last| now - last);
        if waited.is_some_and(|waited| waited + POLL_TOLERANCE < self.interval) {
            self.interval += SLOW_DOWN;
            return Err(Refusal::slow_down());
        }
        self.polls += 1;
        Ok(())
    }
}
