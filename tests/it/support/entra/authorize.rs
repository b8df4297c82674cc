//! `/authorize` (RFC 6749 §4.1.1, RFC 7636, RFC 8252): what a browser is sent to, the page it shows,
//! and the way back to the program.

use super::code::{AuthCode, new_code};
use super::form::Form;
use super::grants::{Call, Flavour, client, member, tenant};
use super::page;
use super::refusal::Refusal;
use super::scope::{Wanted, wanted};
use super::tokens::{client_info, guid, random_text};
use super::{FakeEntra, Request, Response, State};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Where the links of the sign-in page lead.
pub(super) const CHOICE: &str = "/fake/choice";
/// How long a code is good, in seconds.
const CODE_LIFETIME: i64 = 600;

/// What the person in front of the browser does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrowserPerson {
    /// The page is shown, and waits for a click.
    Wait,
    /// This user is signed in already: the answer comes without a page.
    Approve(String),
    /// Somebody presses cancel.
    Decline,
    /// Entra itself refuses, by way of the redirect.
    Refuse {
        /// `error`
        error: String,
        /// The AADSTS number.
        code: u32,
        /// The first sentence of `error_description`.
        description: String,
    },
}

impl FakeEntra {
    /// What happens at `/authorize`; [`BrowserPerson::Wait`] at first.
    pub fn browser_person(&self, person: BrowserPerson) -> &Self {
        self.arrange(|state| state.knobs.browser_person = person)
    }

    /// Whoever comes to `/authorize` is this user, signed in already.
    pub fn approve_in_browser(&self, upn: &str) -> &Self {
        self.browser_person(BrowserPerson::Approve(upn.to_owned()))
    }

    /// Registers a redirect URI with an app. At first only the AKS client has one: `http://localhost`.
    pub fn redirect_uri(&self, client_id: &str, uri: &str) -> &Self {
        self.arrange(|state| state.redirects.push((client_id.to_owned(), uri.to_owned())))
    }

    /// Takes all redirect URIs from an app.
    pub fn no_redirect_uri(&self, client_id: &str) -> &Self {
        self.arrange(|state| state.redirects.retain(|(known, _)| known != client_id))
    }
}

/// A request to `/authorize` that could be answered.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    ticket: String,
    client_id: String,
    tenant: String,
    flavour: Flavour,
    redirect_uri: String,
    form_post: bool,
    state: String,
    challenge: String,
    nonce: Option<String>,
    client_info: bool,
    prompt: Option<String>,
    pub(super) login_hint: Option<String>,
    wanted: Wanted,
}

/// The way back: where, how, and with which `state`.
struct Back<'a> {
    redirect_uri: &'a str,
    form_post: bool,
    state: Option<&'a str>,
}

/// Answers `/authorize`.
pub(super) fn authorize(
    state: &mut State,
    request: &Request,
    flavour: Flavour,
    tenant: &str,
    correlation_id: &str,
    now: i64,
) -> Response {
    let call = match question(request, flavour, tenant, now) {
        Ok(call) => call,
        Err(refusal) => return page::refusal(&refusal, correlation_id, now),
    };
    // Before the address is known to be the app's own, nothing may be sent there (RFC 6749 §4.1.2.1).
    if let Err(refusal) = check_address(state, &call) {
        return page::refusal(&refusal, correlation_id, now);
    }
    match asked(state, &call) {
        Ok(asked) => decide(state, asked, correlation_id, now),
        Err(refusal) => back_of(&call).refused(&refusal, None, correlation_id, now),
    }
}

/// Answers a click on the sign-in page.
pub(super) fn choice(state: &mut State, request: &Request, correlation_id: &str, now: i64) -> Response {
    let parameters = Form::parse(request.query.as_bytes());
    let parameter = |name| parameters.as_ref().ok().and_then(|form| form.get(name));
    let position = state.asked.iter().position(|asked| Some(asked.ticket.as_str()) == parameter("ticket"));
    let Some(position) = position else {
        let gone = Refusal::malformed("this page has been used already");
        return page::refusal(&gone, correlation_id, now);
    };
    let asked = state.asked.remove(position);
    match parameter("account") {
        Some(upn) => approve(state, &asked, upn, correlation_id, now),
        None => asked.back().cancelled(correlation_id, now),
    }
}

/// The request as the rules of `/token` read one: the query stands for the body.
fn question<'a>(request: &'a Request, flavour: Flavour, tenant: &'a str, now: i64) -> Result<Call<'a>, Refusal> {
    if request.method != "GET" {
        return Err(Refusal::malformed("the browser comes with GET"));
    }
    let endpoint = format!("https://{}{}", request.authority(), request.path);
    let form = Form::parse(request.query.as_bytes())?;
    Ok(Call { flavour, tenant, authority: request.authority(), endpoint, form, now })
}

/// The client, and that the address is registered with it (50011).
fn check_address(state: &State, call: &Call<'_>) -> Result<(), Refusal> {
    let tenant = tenant(state, call)?;
    let client_id = call.form.require("client_id")?;
    client(state, client_id, tenant.as_deref())?;
    let redirect_uri = call.form.require("redirect_uri")?;
    let mut own = state.redirects.iter().filter(|(known, _)| known == client_id);
    if own.any(|(_, registered)| is_registered(redirect_uri, registered)) {
        return Ok(());
    }
    Err(Refusal::redirect_not_registered(redirect_uri, client_id))
}

/// The same text, but for the port of `http://localhost`.
fn is_registered(redirect_uri: &str, registered: &str) -> bool {
    let Some(rest) = redirect_uri.strip_prefix("http://localhost") else {
        return redirect_uri == registered;
    };
    let (port, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let is_port = |digits: &str| digits.parse::<u16>().is_ok() && !digits.starts_with(['0', '+']);
    let port_is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    port_is_good && format!("http://localhost{path}") == registered
}

/// Everything else that the request says.
fn asked(state: &State, call: &Call<'_>) -> Result<Asked, Refusal> {
    let form = &call.form;
    form.only(allowed(call.flavour))?;
    one_of(form, "response_type", &["code"])?;
    form.require("response_type")?;
    one_of(form, "response_mode", &["query", "form_post"])?;
    one_of(form, "prompt", &["login", "none", "consent", "select_account", "create"])?;
    one_of(form, "client_info", &["1"])?;
    one_of(form, "api-version", &["1.0"])?;
    if let Some(claims) = form.get("claims") {
        let object = serde_json::from_str::<Map<String, Value>>(claims);
        object.map_err(|_| Refusal::malformed("`claims` is not a JSON object"))?;
    }
    let owned = |name| form.get(name).map(str::to_owned);
    Ok(Asked {
        ticket: random_text(40),
        client_id: form.require("client_id")?.to_owned(),
        tenant: call.tenant.to_owned(),
        flavour: call.flavour,
        redirect_uri: form.require("redirect_uri")?.to_owned(),
        form_post: form.get("response_mode") == Some("form_post"),
        state: form.require("state")?.to_owned(),
        challenge: challenge(form)?.to_owned(),
        nonce: owned("nonce"),
        client_info: form.get("client_info").is_some() && call.flavour != Flavour::Adfs,
        prompt: owned("prompt"),
        login_hint: owned("login_hint"),
        wanted: wanted(state, call, None)?,
    })
}

fn allowed(flavour: Flavour) -> &'static [&'static str] {
    const ALL: [&str; 17] = [
        "client_id",
        "response_type",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
        "response_mode",
        "client_info",
        "prompt",
        "login_hint",
        "domain_hint",
        "claims",
        "nonce",
        "resource",
        // MSAL Python tells Entra's load balancers who is to sign in.
        "X-AnchorMailbox",
        "api-version",
    ];
    if let Flavour::V1 { .. } = flavour { &ALL } else { &ALL[..16] }
}

fn one_of(form: &Form, name: &str, known: &[&str]) -> Result<(), Refusal> {
    match form.get(name) {
        Some(value) if !known.contains(&value) => Err(Refusal::malformed(&format!("`{name}` cannot be `{value}`"))),
        _ => Ok(()),
    }
}

/// The SHA-256 of a verifier. Entra takes `plain` too, and does without for confidential clients.
fn challenge(form: &Form) -> Result<&str, Refusal> {
    let challenge = form.require("code_challenge")?;
    if form.require("code_challenge_method")? != "S256" {
        return Err(Refusal::malformed("`code_challenge_method` is not S256"));
    }
    match URL_SAFE_NO_PAD.decode(challenge) {
        Ok(hash) if hash.len() == 32 => Ok(challenge),
        _ => Err(Refusal::challenge_size()),
    }
}

fn decide(state: &mut State, asked: Asked, correlation_id: &str, now: i64) -> Response {
    match state.knobs.browser_person.clone() {
        BrowserPerson::Approve(upn) => approve(state, &asked, &upn, correlation_id, now),
        _ if asked.prompt.as_deref() == Some("none") => {
            asked.back().refused(&Refusal::nobody_signed_in(), None, correlation_id, now)
        }
        BrowserPerson::Decline => asked.back().cancelled(correlation_id, now),
        BrowserPerson::Refuse { error, code, description } => {
            asked.back().refused(&Refusal::new(&error, code, description), None, correlation_id, now)
        }
        BrowserPerson::Wait => {
            let page = page::sign_in(&state.directory.users, &asked.ticket, asked.login_hint.as_deref());
            state.asked.push(asked);
            page
        }
    }
}

/// Somebody has signed in. Whoever is not in the tenant is told so and sent nowhere.
fn approve(state: &mut State, asked: &Asked, upn: &str, correlation_id: &str, now: i64) -> Response {
    let tenant_id = match asked.tenant.as_str() {
        "common" | "organizations" => None,
        _ if asked.flavour == Flavour::Adfs => state.directory.tenants.first().map(|tenant| tenant.id.clone()),
        name => state.directory.tenant(name).map(|tenant| tenant.id.clone()),
    };
    let member = match member(state, upn, tenant_id.as_deref(), &asked.client_id) {
        Ok(member) => member,
        Err(refusal) => return page::refusal(&refusal, correlation_id, now),
    };
    let code = AuthCode {
        code: new_code(),
        client_id: asked.client_id.clone(),
        tenant: asked.tenant.clone(),
        flavour: asked.flavour,
        redirect_uri: asked.redirect_uri.clone(),
        challenge: asked.challenge.clone(),
        nonce: asked.nonce.clone(),
        upn: upn.to_owned(),
        wanted: asked.wanted.clone(),
        expires: now + CODE_LIFETIME,
        redeemed: false,
    };
    let mut fields = vec![("code", code.code.clone())];
    state.auth_codes.push(code);
    if asked.client_info {
        fields.push(("client_info", client_info(&member)));
    }
    fields.push(("state", asked.state.clone()));
    if asked.flavour != Flavour::Adfs {
        fields.push(("session_state", guid()));
    }
    asked.back().with(&fields)
}

impl Asked {
    fn back(&self) -> Back<'_> {
        Back { redirect_uri: &self.redirect_uri, form_post: self.form_post, state: Some(&self.state) }
    }
}

fn back_of<'a>(call: &'a Call<'_>) -> Back<'a> {
    Back {
        redirect_uri: call.form.get("redirect_uri").unwrap_or_default(),
        form_post: call.form.get("response_mode") == Some("form_post"),
        state: call.form.get("state"),
    }
}

impl Back<'_> {
    fn cancelled(&self, correlation_id: &str, now: i64) -> Response {
        self.refused(&Refusal::declined("access_denied"), Some("cancel"), correlation_id, now)
    }

    fn refused(&self, refusal: &Refusal, subcode: Option<&str>, correlation_id: &str, now: i64) -> Response {
        let (error, description) = (refusal.name().to_owned(), refusal.description(correlation_id, now));
        let mut fields = vec![("error", error), ("error_description", description)];
        fields.extend(subcode.map(|subcode| ("error_subcode", subcode.to_owned())));
        fields.extend(self.state.map(|state| ("state", state.to_owned())));
        self.with(&fields)
    }

    fn with(&self, fields: &[(&str, String)]) -> Response {
        if self.form_post {
            return page::post(self.redirect_uri, fields);
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        // An address without a path gets one, as Entra's documentation says.
        let has_path = self.redirect_uri.splitn(4, '/').count() > 3;
        let slash = if has_path { "" } else { "/" };
        Response::html(302, &page::moved()).header("Location", &format!("{}{slash}?{query}", self.redirect_uri))
    }
}
