//! One request of `get-token` or `login`, parsed.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::cache::{Location, RequestSummary};
use crate::entra::pop::TokenBinding;
use crate::error::{Error, ErrorKind};
use crate::options::types::GoDuration;
use crate::options::{
    AUTHORITY_HOST, CACHE_DIR, CACHE_STORAGE, CLIENT_ID, ENVIRONMENT, Inputs, LOGIN_TIMEOUT, Opt, POP_CLAIMS,
    POP_ENABLED, POP_LIFETIME, ParsedArgs, SERVER_ID, Scope, TENANT_ID, TIMEOUT, ValueKind, ValueSource, Values, shown,
};
use crate::os::env::Env;
use crate::shell;

use super::{Login, Method};

/// How long kubectl may use a signed token where nobody says so. Guard believes a signature for 15
/// minutes, other verifiers for 5; which of them a hosted cluster has is unverified.
const POP_WINDOW: Duration = Duration::from_secs(240);

/// Everything that one run of `get-token` needs to know.
pub(crate) struct Spec {
    method: &'static Method,
    /// How to sign in.
    pub login: Rc<Login>,
    /// The time for everything, if one was given, and by which flag or variable.
    pub timeout: Option<(Duration, ValueSource)>,
    /// The time for a person.
    pub login_timeout: Duration,
    /// Where tokens are kept.
    pub location: Location,
    /// How long kubectl may use a signed token before it asks for the next.
    pub pop_lifetime: Duration,
    /// The application that the token is for, where no option says so.
    audience: Option<String>,
    /// The flags that it was parsed from.
    given: ParsedArgs,
    /// The options that it was parsed from.
    values: Values,
}

impl Spec {
    /// Parses `inputs`, in the order of Azure/kubelogin's validation.
    ///
    /// # Errors
    /// The first thing that is missing or wrong.
    pub(crate) fn parse(inputs: &Inputs) -> Result<Self, Error> {
        let values = inputs.values;
        let method = Method::find(values)?;
        check(values)?;
        super::check_binding(values, inputs.exec.cluster.is_some())?;
        inputs.audience()?;
        let login = (method.parse)(inputs)?;
        check_binding(values, method, &login)?;
        Ok(Self {
            method,
            timeout: positive(values, &TIMEOUT)?.zip(values.source(&TIMEOUT).cloned()),
            login_timeout: positive(values, &LOGIN_TIMEOUT)?.unwrap_or_default(),
            location: location(values, inputs.env, login.cacheable)?,
            pop_lifetime: positive(values, &POP_LIFETIME)?.unwrap_or(POP_WINDOW),
            audience: inputs.audience.map(String::from),
            given: inputs.given.clone(),
            values: values.clone(),
            login: Rc::new(login),
        })
    }

    /// The flag or variable that gives a person's sign-in its time, for messages.
    pub(crate) fn timeout_option(&self) -> String {
        self.timeout.as_ref().map_or_else(|| LOGIN_TIMEOUT.decl.flag(), |(_, source)| source.to_string())
    }

    /// The command with which a person signs in for the same by hand, without secrets.
    pub(crate) fn login_command(&self, program: &str) -> String {
        let flags =
            self.given.flags().iter().filter(|typed| typed.decl.secret.is_none() && typed.decl.scope != Scope::Run);
        let words = flags.map(|typed| match (typed.decl.takes, typed.text.expose()) {
            (ValueKind::Nothing, "true") => typed.decl.flag(),
            (ValueKind::Nothing, text) => format!("{}={text}", typed.decl.flag()),
            _ => format!("{} {}", typed.decl.flag(), shell::word(&shown(typed.decl, &typed.text))),
        });
        // What kubectl has said of the cluster it does not say to a person.
        let claims = match self.login.binding() {
            TokenBinding::Pop(host) if self.given.last(&POP_CLAIMS.decl).is_none() => {
                Some(format!("{} {}", POP_CLAIMS.decl.flag(), shell::word(&format!("u={host}"))))
            }
            _ => None,
        };
        let words: Vec<_> = words.chain(claims).collect();
        format!("{program} login {}", words.join(" ")).trim_end().to_owned()
    }

    /// What is asked for, in the words of the options.
    pub(crate) fn summary(&self) -> RequestSummary {
        let text = |decl| self.values.text(decl);
        RequestSummary {
            method: self.method.name.into(),
            cloud: self.login.request.as_ref().map(|request| request.authority.environment()),
            tenant: text(&TENANT_ID.decl),
            client: text(&CLIENT_ID.decl),
            server: self.audience.clone().or_else(|| text(&SERVER_ID.decl)),
        }
    }
}

/// Azure/kubelogin hands out plain tokens without a word where a method has no other.
fn check_binding(values: &Values, method: &Method, login: &Login) -> Result<(), Error> {
    if !values.is_on(&POP_ENABLED) || *login.binding() != TokenBinding::Bearer {
        return Ok(());
    }
    let what = format!("--login {} has no proof-of-possession tokens", method.name);
    Err(Error::new(ErrorKind::Usage, what)
        .from_source(values.source_text(&POP_ENABLED))
        .remedy("use interactive, devicecode, spn, ropc or workloadidentity, or leave out --pop-enabled"))
}

/// Whether the texts of the common options are well-formed, in the order of Azure/kubelogin's
/// validation; what is missing is not looked at.
///
/// # Errors
/// The first text that is not.
pub(crate) fn check(values: &Values) -> Result<(), Error> {
    values.get(&AUTHORITY_HOST)?;
    values.get(&POP_CLAIMS)?;
    positive(values, &TIMEOUT)?;
    positive(values, &LOGIN_TIMEOUT)?;
    positive(values, &POP_LIFETIME)?;
    values.get(&CACHE_STORAGE)?;
    values.get(&CLIENT_ID)?;
    values.get(&TENANT_ID)?;
    values.get(&ENVIRONMENT)?;
    Ok(())
}

fn positive(values: &Values, option: &Opt<GoDuration>) -> Result<Option<Duration>, Error> {
    let Some(duration) = values.get(option)? else { return Ok(None) };
    let source = values.source_text(option);
    let too_short = || {
        Error::new(ErrorKind::OptionInvalid, format!("{} must be greater than 0", option.decl.name))
            .from_source(&source)
            .remedy(format!("correct {source}"))
    };
    duration.positive().map(Some).ok_or_else(too_short)
}

/// Where `--cache-storage` and `--cache-dir` let a token that is `cacheable` be kept.
///
/// # Errors
/// The first text that is not well-formed.
pub(crate) fn location(values: &Values, env: &Env, cacheable: bool) -> Result<Location, Error> {
    let storage = values.require(&CACHE_STORAGE, "cache storage cannot be empty")?;
    Ok(Location::resolve(storage, cacheable, cache_dir(values, env)?))
}

/// Where what was kept lies, for the commands that look after it: `--cache-storage` is about what is to be
/// kept from now on.
///
/// # Errors
/// A path that can't be one.
pub(crate) fn location_at_rest(values: &Values, env: &Env) -> Result<Location, Error> {
    Ok(Location::at_rest(cache_dir(values, env)?))
}

/// `--cache-dir`, its variables, else kubelogin's place below the home directory.
fn cache_dir(values: &Values, env: &Env) -> Result<Option<PathBuf>, Error> {
    let given = values.get(&CACHE_DIR)?.map(|path| path.0);
    Ok(given.or_else(|| Some(env.home()?.join(".kube").join("cache").join("kubelogin"))))
}
