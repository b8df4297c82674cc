//! The device code (RFC 8628) with Entra's deviations: another field for the address and strings
//! for numbers on v1, its own names for declining and expiring.
//!
//! The poll loop is ours: a poll that gets no answer, or a busy one, must not end a sign-in that
//! somebody is just finishing in the browser.

use std::time::Duration;

use serde::Deserialize;

use crate::error::{Error, ErrorKind, one_line};
use crate::os::clock::Deadline;
use crate::secret::Secret;
use crate::terminal::{DeviceCodePrompt, Wait};

use super::entra_error::EntraError;
use super::token::{Endpoint, RawTokenResponse, TokenError, seconds};
use super::{Audience, Session, TokenResponse, UserClient};

/// RFC 8628 section 3.5: what `slow_down` adds, for good.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// One poll may take this long; its loss costs nothing.
const POLL_LIMIT: Duration = Duration::from_secs(10);

/// However many polls are lost, the next one comes after this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// A busy server is believed when it asks to wait, but not for longer: somebody has perhaps finished
/// meanwhile and looks at the screen, and a gateway that asks for an hour does not speak for Entra.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(60);
/// A pause beyond this is told.
const SILENT_PAUSE: Duration = Duration::from_secs(5);

/// Asks for a code, shows it, and waits until the person has finished or the deadline is over.
///
/// # Errors
/// A refusal, a declined or expired sign-in, or no answer to the first request.
pub(crate) async fn sign_in(session: &Session<'_>, user: &UserClient) -> Result<TokenResponse, Error> {
    let (terminal, clock) = (&session.sys.terminal, &*session.sys.clock);
    let asking = Wait::of("asking for a code");
    let code = terminal.while_waiting(clock, asking, request_code(session, user)).await?;
    terminal.prompt(&DeviceCodePrompt { code: &code.user_code, address: code.address(), line: &code.line() });
    session.prompted.set(true);
    let end = Deadline::after(clock, code.lifetime()).or_earlier(session.deadline);
    let poll = Poll { session, user, code: &code, end };
    terminal.while_waiting(clock, Wait::of("waiting for the sign-in").until(end), poll.until_done()).await
}

async fn request_code(session: &Session<'_>, user: &UserClient) -> Result<DeviceCodeResponse, Error> {
    let (name, wanted) = user.request.audience.of_person();
    let mut fields = vec![("client_id", user.client.as_str()), (name, wanted.as_str())];
    if let Some(claims) = &session.claims {
        fields.push(("claims", claims));
    }
    let asked = Endpoint::named(session, &user.request, "devicecode").post(&fields).await;
    asked.map_err(|failure: TokenError| name_the_browser(failure.into()))
}

/// The answer to the first request.
#[derive(Deserialize)]
struct DeviceCodeResponse {
    device_code: Secret,
    user_code: String,
    #[serde(alias = "verification_url")]
    verification_uri: Option<String>,
    message: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    interval: Option<u64>,
}

impl DeviceCodeResponse {
    /// Where the code is typed; each cloud has its own address.
    fn address(&self) -> &str {
        self.verification_uri.as_deref().unwrap_or("https://microsoft.com/devicelogin")
    }

    /// All of it in Entra's own words.
    fn line(&self) -> String {
        let own = format!("To sign in, open {} and enter the code {}", self.address(), self.user_code);
        one_line(self.message.as_deref().filter(|text| text.contains(&self.user_code)).unwrap_or(&own))
    }

    /// At least a second: an interval of 0 would poll without a pause.
    fn interval(&self) -> Duration {
        Duration::from_secs(self.interval.unwrap_or(5).clamp(1, 60))
    }

    fn lifetime(&self) -> Duration {
        Duration::from_secs(self.expires_in.unwrap_or(900))
    }
}

struct Poll<'a> {
    session: &'a Session<'a>,
    user: &'a UserClient,
    code: &'a DeviceCodeResponse,
    /// The code's own end or the person's, whichever comes first.
    end: Deadline,
}

impl Poll<'_> {
    async fn until_done(&self) -> Result<TokenResponse, Error> {
        let clock = &*self.session.sys.clock;
        let mut interval = self.code.interval();
        let mut lost = PollBackoff::default();
        loop {
            let left = self.end.left(clock);
            if left.is_zero() {
                return Err(self.nobody_finished());
            }
            clock.sleep(lost.pause(interval).min(left)).await;
            let outcome = self.once().await;
            lost = lost.and(outcome.as_ref().err());
            match outcome {
                Ok(grant) => return Ok(grant),
                Err(TokenError::Refused(refusal, clock_ahead)) => match PollResult::of(&refusal) {
                    PollResult::Pending => {}
                    PollResult::SlowDown => interval += SLOW_DOWN,
                    PollResult::Declined => return Err(declined(&refusal)),
                    PollResult::Expired => return Err(code_expired()),
                    PollResult::Refused => return Err(name_the_browser(refusal.explain(clock_ahead))),
                },
                Err(TokenError::Unreachable(error)) => self.note_lost_poll(&error),
            }
        }
    }

    async fn once(&self) -> Result<TokenResponse, TokenError> {
        let limit = Deadline::after(&*self.session.sys.clock, POLL_LIMIT);
        let session = Session {
            timeout_option: self.session.timeout_option.clone(),
            key: self.session.key.clone(),
            ..Session::new(self.session.sys, limit.or_earlier(self.session.deadline))
        };
        let endpoint = Endpoint::named(&session, &self.user.request, "token");
        let (client, code) = (self.user.client.as_str(), self.code.device_code.expose());
        let answer: RawTokenResponse = match &self.user.request.audience {
            Audience::Scope(_) => {
                let grant = "urn:ietf:params:oauth:grant-type:device_code";
                let fields =
                    [("grant_type", grant), ("client_id", client), ("device_code", code), ("client_info", "1")];
                endpoint.post_bound(&fields).await?
            }
            Audience::Resource(resource) => {
                let fields =
                    [("grant_type", "device_code"), ("client_id", client), ("code", code), ("resource", resource)];
                endpoint.post_bound(&fields).await?
            }
        };
        endpoint.accept(&answer)
    }

    fn note_lost_poll(&self, error: &Error) {
        let told = error.retry_after().is_some_and(|asked| asked > SILENT_PAUSE);
        self.session.sys.terminal.detail(u8::from(!told), || format!("still waiting: {}", error.what()));
    }

    fn nobody_finished(&self) -> Error {
        let what = format!("nobody finished the sign-in in {} s", self.end.given().as_secs());
        if self.code.lifetime() <= self.end.given() {
            return code_expired();
        }
        let longer = format!("run the command again, or give a longer {}", self.session.timeout_option);
        Error::new(ErrorKind::SignInExpired, what).remedy(longer)
    }
}

/// The polls in a row that got no answer of Entra's.
#[derive(Default)]
struct PollBackoff {
    count: u32,
    /// What the last one was told to wait.
    asked: Duration,
}

impl PollBackoff {
    /// After one more poll, which has ended in `failure`.
    fn and(&self, failure: Option<&TokenError>) -> Self {
        match failure {
            Some(TokenError::Unreachable(error)) => {
                Self { count: self.count + 1, asked: error.retry_after().unwrap_or_default() }
            }
            _ => Self::default(),
        }
    }

    /// RFC 8628 section 3.5: back off while no answer comes; a person may still be finishing, so not for
    /// long.
    fn pause(&self, interval: Duration) -> Duration {
        let backed_off = interval.saturating_mul(2_u32.saturating_pow(self.count));
        backed_off.min(LONGEST_PAUSE.max(interval)).max(self.asked.min(LONGEST_ASKED_PAUSE))
    }
}

/// Policies about devices can't be met by a code that is typed in elsewhere, and many tenants block codes
/// altogether.
fn name_the_browser(error: Error) -> Error {
    let by_policy = [ErrorKind::PolicyRefused, ErrorKind::DeviceRefused, ErrorKind::ConfirmInBrowser];
    let helps = by_policy.contains(&error.kind());
    if helps {
        error.also("or use the browser (--login interactive), which more tenants allow than codes")
    } else {
        error
    }
}

fn code_expired() -> Error {
    Error::new(ErrorKind::SignInExpired, "the code expired before anybody finished the sign-in")
}

fn declined(refusal: &EntraError) -> Error {
    Error::new(ErrorKind::SignInDeclined, ErrorKind::SignInDeclined.meaning()).detail(format!("Entra says: {refusal}"))
}

/// What a refused poll means.
enum PollResult {
    Pending,
    SlowDown,
    Declined,
    Expired,
    Refused,
}

impl PollResult {
    /// RFC 8628 section 3.5, and Entra's names of v2 and v1.
    fn of(refusal: &EntraError) -> Self {
        match refusal.error.as_str() {
            "authorization_pending" => Self::Pending,
            "slow_down" => Self::SlowDown,
            "authorization_declined" | "access_denied" => Self::Declined,
            "expired_token" | "code_expired" => Self::Expired,
            _ => Self::Refused,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::azure::id::ClientId;
    use crate::entra::Audience;
    use crate::os::clock::Clock;
    use crate::os::clock::fake::FakeClock;

    use crate::sys::Sys;
    use crate::sys::http::Response;
    use crate::sys::http::fake::FakeHttp;

    const CODE: &str = r#"{"device_code":"canary","user_code":"ABC","verification_uri":"https://v","expires_in":900,"interval":5,"message":"open https://v and enter ABC"}"#;
    const TOKEN: &str = r#"{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"rt"}"#;

    #[expect(clippy::unnecessary_wraps, reason = "scripted answers are results")]
    fn json(status: u16, body: &str) -> Result<Response, Error> {
        Ok(Response { status, body: body.into(), ..Response::default() })
    }

    fn refusal(error: &str) -> Result<Response, Error> {
        json(400, &format!(r#"{{"error":"{error}"}}"#))
    }

    /// Signs in against scripted answers: the outcome, the seconds it took, and the forms sent.
    fn outcome(
        audience: Audience,
        answers: Vec<Result<Response, Error>>,
    ) -> (Result<TokenResponse, Error>, u64, Vec<String>) {
        let clock = FakeClock::default();
        let http = FakeHttp::answering(answers);
        let forms = http.forms.clone();
        let sys = Sys { clock: std::rc::Rc::new(clock.clone()), http: Box::new(http), ..Sys::fake() };
        let request = crate::entra::fake::request(audience);
        let deadline = Deadline::after(&clock, Duration::from_secs(300));
        let session = Session { timeout_option: "--login-timeout".into(), ..Session::new(&sys, deadline) };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let client = ClientId::parse("C").unwrap();
        let user = UserClient { client, request: request.into(), account: None, shared: true };
        let result = runtime.block_on(sign_in(&session, &user));
        let sent = forms.borrow().clone();
        (result, clock.monotonic().as_secs(), sent)
    }

    #[test]
    fn the_first_poll_comes_after_the_interval_and_slow_down_lasts() {
        let (grant, time, forms) = outcome(
            Audience::scope("S"),
            vec![
                json(200, CODE),
                refusal("authorization_pending"),
                refusal("slow_down"),
                refusal("authorization_pending"),
                json(200, TOKEN),
            ],
        );
        assert_eq!(grant.unwrap().token.access_token.expose(), "at");
        assert_eq!(time, 5 + 5 + 10 + 10);
        assert_eq!(forms[0], "client_id=C&scope=S%2F.default+openid+offline_access+profile");
        assert_eq!(
            forms[1],
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&client_id=C&device_code=canary&client_info=1"
        );
    }

    #[test]
    fn v1_has_its_own_fields() {
        let code =
            r#"{"device_code":"d","user_code":"ABC","verification_url":"https://v","expires_in":"900","interval":"7"}"#;
        let token = r#"{"access_token":"at","token_type":"Bearer","expires_in":"3600","refresh_token":"rt"}"#;
        let (grant, time, forms) = outcome(Audience::Resource("S".into()), vec![json(200, code), json(200, token)]);
        assert!(grant.is_ok());
        assert_eq!(time, 7);
        assert_eq!(forms, ["client_id=C&resource=S", "grant_type=device_code&client_id=C&code=d&resource=S"]);
    }

    #[test]
    fn lost_polls_do_not_end_the_sign_in() {
        let lost = || Err(Error::new(ErrorKind::ConnectionRefused, "refused"));
        let html = || json(200, "<html>");
        let (grant, ..) = outcome(
            Audience::scope("S"),
            vec![json(200, CODE), lost(), html(), json(502, ""), json(503, ""), json(504, ""), json(200, TOKEN)],
        );
        assert!(grant.is_ok(), "{grant:?}");
    }

    #[test]
    fn a_busy_server_is_left_alone_as_long_as_it_asks() {
        let busy = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            Ok(Response { status: 429, retry_after, ..Response::default() })
        };
        for (asked, waited) in [(15, 15), (30, 30), (3600, 60)] {
            let (grant, time, _) = outcome(Audience::scope("S"), vec![json(200, CODE), busy(asked), json(200, TOKEN)]);
            assert!(grant.is_ok(), "{grant:?}");
            assert_eq!(time, 5 + waited);
        }
        // Within the limit of one poll the HTTP client itself waits, and asks again.
        let (grant, time, _) = outcome(Audience::scope("S"), vec![json(200, CODE), busy(9), json(200, TOKEN)]);
        assert!(grant.is_ok());
        assert_eq!(time, 5 + 9);
        // An answer ends it: the next pause is the interval again.
        let answers = vec![json(200, CODE), busy(30), refusal("authorization_pending"), json(200, TOKEN)];
        assert_eq!(outcome(Audience::scope("S"), answers).1, 5 + 30 + 5);
    }

    #[test]
    fn declined_expired_and_refused() {
        for (error, text) in [
            (
                "authorization_declined",
                "the sign-in was declined; run the command again in half a minute, and approve it",
            ),
            ("access_denied", "the sign-in was declined; run the command again in half a minute, and approve it"),
            ("expired_token", "the code expired before anybody finished the sign-in; run the command again"),
            ("bad_verification_code", "Entra refused the request: `bad_verification_code`;"),
        ] {
            let (grant, ..) = outcome(Audience::scope("S"), vec![json(200, CODE), refusal(error)]);
            let shown = grant.unwrap_err().to_string();
            assert!(shown.starts_with(text), "{shown}");
        }
    }

    #[test]
    fn where_a_policy_blocks_codes_the_browser_is_named() {
        let blocked = || {
            json(
                400,
                r#"{"error":"access_denied_by_policy","error_description":"AADSTS53003: Blocked.","error_codes":[53003]}"#,
            )
        };
        for answers in [vec![blocked()], vec![json(200, CODE), blocked()]] {
            let (grant, ..) = outcome(Audience::scope("S"), answers);
            let shown = grant.unwrap_err().to_string();
            let advice = "say which policy applies; or use the browser (--login interactive), which more tenants allow than codes";
            assert!(shown.ends_with(advice), "{shown}");
        }
    }

    #[test]
    fn the_human_deadline_ends_it() {
        let pending = (0..60).map(|_| refusal("authorization_pending"));
        let (grant, time, _) = outcome(Audience::scope("S"), std::iter::once(json(200, CODE)).chain(pending).collect());
        assert!(grant.unwrap_err().kind() == ErrorKind::SignInExpired);
        assert_eq!(time, 300);
    }

    #[test]
    fn the_prompt_is_one_line_with_the_code_in_it() {
        let mut code: DeviceCodeResponse = serde_json::from_str(CODE).unwrap();
        assert_eq!(code.line(), "open https://v and enter ABC");
        code.message = Some("go away\u{1b}[2J".into());
        assert_eq!(code.line(), "To sign in, open https://v and enter the code ABC");
    }
}
