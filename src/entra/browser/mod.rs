//! The browser: an authorization code with PKCE (RFC 6749, 7636), brought back to this machine
//! (RFC 8252), or by hand from wherever the browser is.

mod authorization_response;
mod listener;
mod page;
mod paste;
mod redirect_url;
mod requester;

pub(crate) use redirect_url::RedirectUrl;

use std::time::Duration;

use oauth2::{PkceCodeChallenge, PkceCodeVerifier};

use crate::error::{Error, ErrorKind, io_words};
use crate::terminal::{QUIET, Wait};

use super::token;
use super::{Audience, Session, TokenResponse, UserClient};
use authorization_response::{AuthorizationResponse, OAuthState};
use listener::{CallbackHandler, CallbackPaths, CallbackServer, Listener};
use page::Page;
use requester::Requester;

/// Leads the person's browser to the login page, and waits for what it brings back to `redirect` or to
/// a free port.
///
/// # Errors
/// A port that is taken, nobody who could open a browser, a refusal, or nobody who finishes in time.
pub(crate) async fn sign_in(
    session: &Session<'_>,
    user: &UserClient,
    redirect: Option<&RedirectUrl>,
) -> Result<TokenResponse, Error> {
    let port = redirect.and_then(RedirectUrl::port);
    let listener = Listener::bind(port).map_err(|error| unusable(port, &error))?;
    let (flow, desk) = Flow::begin(session, user, redirect, listener.port())?;
    let mut reception = CallbackServer::open(&desk, listener);
    let outcome = reception.during(flow.finish(&desk)).await;
    reception.close(last_page(session, user, &outcome)).await;
    outcome
}

fn last_page(session: &Session<'_>, user: &UserClient, outcome: &Result<TokenResponse, Error>) -> Page {
    match outcome {
        Ok(grant) => {
            let account = grant.account.as_ref();
            let name = account.map(|account| account.username.as_str());
            Page::signed_in(name, user.request.authority.tenant_of(account), &Requester::of(session.sys))
        }
        Err(error) => Page::failed(error),
    }
}

/// One sign-in: what the login page was asked, and what its answer is redeemed with.
struct Flow<'a> {
    session: &'a Session<'a>,
    user: &'a UserClient,
    redirect_uri: String,
    verifier: PkceCodeVerifier,
    /// What is opened on this machine.
    entry: String,
    /// The login page for a browser elsewhere: it leaves the code in the address bar.
    page_elsewhere: String,
    /// Whether the port was chosen by the person, who may have a browser that reaches it.
    is_port_fixed: bool,
}

impl<'a> Flow<'a> {
    fn begin(
        session: &'a Session<'a>,
        user: &'a UserClient,
        redirect: Option<&RedirectUrl>,
        port: u16,
    ) -> Result<(Self, CallbackHandler<'a>), Error> {
        let redirect_uri = redirect.map_or_else(|| format!("http://localhost:{port}"), |url| url.with_port(port));
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = OAuthState::random()?;
        let page =
            |mode| AuthorizationRequest { session, user, redirect_uri: &redirect_uri, challenge: &challenge, mode };
        let entry = authorization_response::random_word()?;
        let places = CallbackPaths {
            login: page("form_post").address(&state),
            path: redirect.map_or("/", RedirectUrl::path).to_owned(),
            entry: entry.clone(),
        };
        let flow = Self {
            session,
            user,
            page_elsewhere: page("query").address(&state),
            verifier,
            entry: format!("http://localhost:{port}/{entry}"),
            is_port_fixed: redirect.and_then(RedirectUrl::port).is_some(),
            redirect_uri,
        };
        Ok((flow, CallbackHandler::new(session.sys, places, state)))
    }

    async fn finish(self, desk: &CallbackHandler<'_>) -> Result<TokenResponse, Error> {
        let clock = &*self.session.sys.clock;
        let answer = tokio::select! {
            answer = desk.answer() => answer,
            answer = self.ask(desk) => answer?,
            () = clock.sleep(self.session.deadline.left(clock)) => return Err(self.nobody_finished()),
        };
        match answer {
            AuthorizationResponse::Code(code) => {
                let code =
                    token::AuthorizationCode { code: &code, redirect_uri: self.redirect_uri, verifier: self.verifier };
                let grant = token::authorization_code(self.session, self.user, code).await?;
                self.session.check_account(&grant)?;
                Ok(grant)
            }
            AuthorizationResponse::Refused(refusal) => Err(authorization_response::explain(&refusal)),
        }
    }

    /// Opens a browser, or offers to take the answer by hand. Never done where the answer can only come
    /// through the listener.
    async fn ask(&self, desk: &CallbackHandler<'_>) -> Result<AuthorizationResponse, Error> {
        let sys = self.session.sys;
        let Err(why) = self.open_browser().await else {
            let wait = Wait::of("waiting for the sign-in in the browser").until(self.session.deadline);
            let browsing = async {
                self.tell_late().await;
                std::future::pending().await
            };
            return sys.terminal.while_waiting(&*sys.clock, wait, browsing).await;
        };
        sys.terminal.detail(1, || format!("no browser can be opened here: {why}"));
        // A turn for those who watch for signals: one that ends us before they do would leave the terminal
        // as the paste has it.
        tokio::task::yield_now().await;
        // Whoever wants it quiet draws on the terminal and reads the keys.
        let input = if sys.terminal.is_quiet() { None } else { paste::Input::open() };
        if let Some(input) = input {
            return self.take_by_hand(desk, input, &why).await;
        }
        if self.is_port_fixed {
            self.prompt(&format!("To sign in, open {} in a browser that reaches this port", self.entry));
            return std::future::pending().await;
        }
        Err(self.nobody_there(&why))
    }

    async fn open_browser(&self) -> Result<(), String> {
        let sys = self.session.sys;
        if let Some(why) = sys.browser.unavailable_reason(&sys.env) {
            return Err(why);
        }
        // Whoever draws on the terminal is not disturbed by what the browser shows anyway.
        sys.terminal
            .note(format!("To sign in, use the browser that opens now, or open {} on this machine", self.entry));
        self.session.prompted.set(true);
        sys.browser.open(&sys.env, &self.entry, &*sys.clock).await
    }

    /// Says the address, where it has not been said before, once the browser has had its time: an opener
    /// that succeeds may have opened nothing.
    async fn tell_late(&self) {
        let sys = self.session.sys;
        if sys.terminal.is_quiet() {
            sys.clock.sleep(LATE).await;
            sys.terminal.say(format!("To sign in, open {} on this machine", self.entry));
        }
    }

    async fn take_by_hand(
        &self,
        desk: &CallbackHandler<'_>,
        mut input: paste::Input,
        why: &str,
    ) -> Result<AuthorizationResponse, Error> {
        self.prompt(&format!(
            "No browser can be opened here ({why}). To sign in, open this address on any device:\n\n{}\n\n\
             In the end the browser is sent to an address that begins with {} and does not load there. \
             Copy it from the address bar, paste it here and press Enter (nothing is shown while you paste).",
            self.page_elsewhere, self.redirect_uri
        ));
        loop {
            let line = input.line().await;
            match paste::read(desk.state(), &line) {
                Ok(answer) => return Ok(answer),
                Err(ignored) => self.session.sys.terminal.say(format!(
                    "This cannot be used: {}. Paste the whole address that begins with {}",
                    ignored.why, self.redirect_uri
                )),
            }
        }
    }

    fn prompt(&self, text: &str) {
        self.session.sys.terminal.say(text);
        self.session.prompted.set(true);
    }

    fn nobody_there(&self, why: &str) -> Error {
        let terminal = &self.session.sys.terminal;
        let without = if terminal.is_quiet() { format!(" without {QUIET}") } else { String::new() };
        Error::new(ErrorKind::NobodyThere, "a browser is needed to sign in, and none can be opened here")
            .from_source(why)
            .remedy(format!("run `{}` in a terminal{without}, or {ELSEWHERE}", self.session.login_command))
    }

    fn nobody_finished(&self) -> Error {
        let what = format!("nobody finished the sign-in in {} s", self.session.deadline.given().as_secs());
        let longer = format!("run the command again, give a longer {}, or {ELSEWHERE}", self.session.timeout_option);
        Error::new(ErrorKind::SignInExpired, what).remedy(longer)
    }
}

/// What needs neither a browser nor a keyboard here.
const ELSEWHERE: &str = "sign in on another device (--login devicecode)";

/// Whoever has seen no browser by then looks for what to do.
const LATE: Duration = Duration::from_secs(10);

/// The question to the login page.
struct AuthorizationRequest<'a> {
    session: &'a Session<'a>,
    user: &'a UserClient,
    redirect_uri: &'a str,
    challenge: &'a PkceCodeChallenge,
    mode: &'static str,
}

impl AuthorizationRequest<'_> {
    fn address(&self, state: &OAuthState) -> String {
        let request = &self.user.request;
        let mut url = request.authority.endpoint("authorize", &request.audience);
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("client_id", self.user.client.as_str())
                .append_pair("response_type", "code")
                .append_pair("redirect_uri", self.redirect_uri)
                .append_pair("response_mode", self.mode)
                .append_pair("state", state.expose())
                .append_pair("code_challenge", self.challenge.as_str())
                .append_pair("code_challenge_method", self.challenge.method().as_str());
            let (name, wanted) = request.audience.of_person();
            query.append_pair(name, &wanted);
            if matches!(request.audience, Audience::Scope(_)) {
                query.append_pair("client_info", "1");
            }
            // Browsers are signed in somewhere already: without a name the person chooses.
            match self.session.hint.as_deref() {
                Some(name) => query.append_pair("login_hint", name),
                None => query.append_pair("prompt", "select_account"),
            };
            if let Some(claims) = &self.session.claims {
                query.append_pair("claims", claims);
            }
        }
        url.into()
    }
}

fn unusable(port: Option<u16>, error: &std::io::Error) -> Error {
    let Some(port) = port else {
        return Error::new(ErrorKind::RedirectPort, format!("no port of localhost can be had: {}", io_words(error)))
            .remedy("sign in without one (--login devicecode)");
    };
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let what = format!("port {port} of localhost, where the browser shall come back to, is taken");
        return Error::new(ErrorKind::RedirectPort, what).from_source("--redirect-url");
    }
    let what =
        format!("port {port} of localhost, where the browser shall come back to, cannot be had: {}", io_words(error));
    Error::new(ErrorKind::RedirectPort, what).from_source("--redirect-url").remedy("give another port")
}

#[cfg(test)]
mod tests;
