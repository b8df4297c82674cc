//! One kubeconfig for laptop, pipeline and pod: the first way to sign in that is there.
//!
//! | Order | Way | It is there when |
//! |---|---|---|
//! | 1 | application | its secret or certificate is given |
//! | 2 | workload identity | a federated token is there, and the environment names the application |
//! | 3 | Azure Pipelines | the job has a service connection and its access token |
//! | 4 | managed identity | the environment names a host of one, or IMDS answers a short probe and has one |
//! | 5 | Azure CLI | `az` is on `PATH` and somebody is signed in to it |
//! | 6 | Azure Developer CLI | the same of `azd` |
//! | 7 | a person with the browser | there is a client to sign in with, and a browser can be opened |
//! | 8 | a person with a device code | there is a client to sign in with; whether somebody would see a prompt matters only then |
//!
//! What was set up on purpose comes before what merely happens to be there, machines before people,
//! and a way that is there and fails is an error: going on would sign in as somebody else.

mod methods;
mod probe;

use std::rc::Rc;

use crate::cache::Cache;
use crate::cache_key::CacheKey;
use crate::entra::pop::TokenBinding;
use crate::entra::{Session, TokenResponse};
use crate::error::{Error, ErrorKind};
use crate::options::{
    AUTHORITY_HOST, AZURE_PIPELINES_SERVICE_CONNECTION_ID, CLIENT_CERTIFICATE, CLIENT_CERTIFICATE_PASSWORD_FILE,
    CLIENT_ID, CLIENT_SECRET_FILE, DISABLE_TOKEN_PROXY, ENVIRONMENT, FEDERATED_AUDIENCE, FEDERATED_TOKEN_FILE,
    FEDERATED_TOKEN_SOURCE, IDENTITY_OBJECT_ID, IDENTITY_RESOURCE_ID, Inputs, LEGACY, LOGIN_HINT, POP_CLAIMS,
    POP_ENABLED, REDIRECT_URL, SUBSCRIPTION, TENANT_ID,
};

use super::{Login, Method, TokenSource, WriteRule};
use methods::{AutoMethod, Availability, ImdsProbe, METHODS, NOTHING_ELSE};
use probe::{NegativeCache, machine, try_imds};

/// `--login auto`.
pub(super) static METHOD: Method = Method {
    name: "auto",
    about: "the first of these that is there, be it on a laptop, in a pipeline or in a pod",
    arguments: &[
        WriteRule::Inherited.of(&CLIENT_ID),
        WriteRule::Inherited.of(&TENANT_ID),
        WriteRule::InheritedUnlessDefault.of(&ENVIRONMENT),
        WriteRule::Inherited.of(&LEGACY),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
        WriteRule::Inherited.of(&REDIRECT_URL),
        WriteRule::Inherited.of(&LOGIN_HINT),
        WriteRule::Inherited.of(&AUTHORITY_HOST),
        WriteRule::InheritedFromSameMethod.of(&CLIENT_SECRET_FILE),
        WriteRule::InheritedFromSameMethod.of(&CLIENT_CERTIFICATE),
        WriteRule::InheritedFromSameMethod.of(&CLIENT_CERTIFICATE_PASSWORD_FILE),
        WriteRule::InheritedFromSameMethod.of(&IDENTITY_RESOURCE_ID).unless(&IDENTITY_OBJECT_ID),
        WriteRule::InheritedFromSameMethod.of(&IDENTITY_OBJECT_ID).unless(&IDENTITY_RESOURCE_ID),
        WriteRule::InheritedFromSameMethod.of(&FEDERATED_TOKEN_FILE),
        WriteRule::InheritedFromSameMethod.of(&FEDERATED_TOKEN_SOURCE).replaced_by(&FEDERATED_TOKEN_FILE),
        WriteRule::InheritedFromSameMethod.of(&FEDERATED_AUDIENCE),
        WriteRule::InheritedFromSameMethod.of(&DISABLE_TOKEN_PROXY),
        WriteRule::InheritedFromSameMethod.of(&AZURE_PIPELINES_SERVICE_CONNECTION_ID),
        WriteRule::InheritedFromSameMethod.of(&SUBSCRIPTION),
    ],
    variables: &[],
    parse,
};

/// A way that may be the one.
struct Candidate {
    /// Its place among the ways.
    order: usize,
    way: &'static AutoMethod,
    login: Rc<Login>,
    reason: Reason,
}

/// Why a way counts as present.
enum Reason {
    Known(String),
    /// A probe has to say.
    Probe(ImdsProbe),
    /// It does if a browser can be opened.
    Browser,
}

/// What picks the first method that is there.
pub struct Auto {
    /// In order; only the last one is certainly there.
    candidates: Vec<Candidate>,
    in_vain: UnavailableMethods,
}

/// What was looked for in vain.
#[derive(Debug, Clone, Default)]
pub struct UnavailableMethods {
    /// What is not there, and why, each with its place in the order.
    absent: Vec<(usize, String)>,
    hint: Option<String>,
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    let bound = inputs.values.is_on(&POP_ENABLED);
    let mut auto = Auto { candidates: Vec::new(), in_vain: UnavailableMethods::default() };
    for (order, way) in METHODS.iter().enumerate() {
        let (login, reason) = match (way.detect)(inputs, way.method)? {
            Availability::Unavailable { why, hint } => {
                auto.in_vain.note(order, why);
                auto.in_vain.hint = hint.or(auto.in_vain.hint);
                continue;
            }
            Availability::NeedsProbe(login, question) => (login, Reason::Probe(question)),
            Availability::NeedsBrowser(login) => (login, Reason::Browser),
            Availability::Available(login, reason) => (login, Reason::Known(reason)),
        };
        if bound && *login.binding() == TokenBinding::Bearer {
            auto.in_vain.note(order, format!("{} has no proof-of-possession tokens", way.name));
            continue;
        }
        let certain = matches!(reason, Reason::Known(_));
        auto.candidates.push(Candidate { order, way, login: login.into(), reason });
        if certain {
            break;
        }
    }
    let key = auto.key();
    let default_timeout = auto.candidates.iter().map(|candidate| candidate.login.default_timeout).max();
    Ok(Login { default_timeout: default_timeout.unwrap_or_default(), ..Login::with(key, TokenSource::Auto(auto)) })
}

/// What `auto` has resolved to.
pub struct Resolved {
    /// What signs in from now on.
    pub login: Rc<Login>,
    /// The method's name, to see whether it is another one than before.
    pub method: &'static str,
    /// The method and why it was taken, for people.
    pub reason: String,
    /// What trying this method has brought already.
    pub grant: Option<TokenResponse>,
    /// What stands before it and is not there.
    pub in_vain: UnavailableMethods,
}

impl Auto {
    /// Whatever could change the choice is part of the cache's key: a new secret, a sign-in to
    /// az or its end takes effect with the next call. A probe's outcome is not, nor whether a browser can
    /// be opened: they are looked up when a token is wanted. What would be asked, and the machine, stand
    /// for a probe.
    fn key(&self) -> CacheKey {
        let mut key = METHOD.key();
        for Candidate { way, login, reason, .. } in &self.candidates {
            key.field("way", way.method.name);
            match reason {
                Reason::Known(_) | Reason::Browser => key.append(&login.key),
                Reason::Probe(ImdsProbe { host, wanted }) => {
                    host.add_to_key(wanted, &mut key);
                    key.field("machine", &machine());
                }
            }
        }
        key
    }

    /// To what the tokens are bound, whichever method gives them.
    pub(super) fn binding(&self) -> &TokenBinding {
        self.candidates.first().map_or(&TokenBinding::Bearer, |candidate| candidate.login.binding())
    }

    /// Whether a person may be asked, in the end.
    pub(super) fn may_prompt(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.login.prompt.is_some())
    }

    pub(super) fn nothing_there(&self) -> Error {
        self.in_vain.error()
    }

    /// Looks around and takes the first method that is there; `before` is the one that was taken last.
    ///
    /// # Errors
    /// There is none, or one that is named lacks something.
    pub async fn resolve(&self, session: &Session<'_>, cache: &Cache, before: Option<&str>) -> Result<Resolved, Error> {
        let mut in_vain = self.in_vain.clone();
        let mut chosen = None;
        for (index, candidate) in self.candidates.iter().enumerate() {
            match &candidate.reason {
                Reason::Known(reason) => chosen = Some((candidate, reason.as_str(), None)),
                Reason::Browser => match session.sys.browser.unavailable_reason(&session.sys.env) {
                    None => chosen = Some((candidate, NOTHING_ELSE, None)),
                    Some(why) => in_vain.note(candidate.order, format!("no browser can be opened ({why})")),
                },
                Reason::Probe(question) => {
                    let memory = NegativeCache::of(cache, question, self.is_last_hope(index, session));
                    let served = before == Some(candidate.way.method.name);
                    match try_imds(session, &memory, &candidate.login, question, served).await? {
                        Ok(grant) => chosen = Some((candidate, "IMDS has one", Some(grant))),
                        Err(why) => in_vain.note(candidate.order, format!("no managed identity ({why})")),
                    }
                }
            }
            if chosen.is_some() {
                break;
            }
        }
        for (_, line) in &in_vain.absent {
            session.sys.terminal.detail(1, || format!("auto: {line}"));
        }
        match chosen {
            Some((candidate, reason, grant)) => Ok(candidate.resolved(reason, grant, in_vain)),
            None => Err(in_vain.error()),
        }
    }

    /// Whether nothing that comes after the candidate at `index` could sign in, unless there is an
    /// earlier sign-in of a person.
    fn is_last_hope(&self, index: usize, session: &Session<'_>) -> bool {
        let mut later = self.candidates.iter().skip(index + 1);
        later.all(|candidate| candidate.login.prompt.is_some() && candidate.login.prompt_hidden(session.sys).is_some())
    }
}

impl Candidate {
    fn resolved(&self, reason: &str, grant: Option<TokenResponse>, in_vain: UnavailableMethods) -> Resolved {
        let reason = format!("auto: signing in with {} ({reason})", self.way.name);
        Resolved { login: self.login.clone(), method: self.way.method.name, reason, grant, in_vain }
    }
}

impl UnavailableMethods {
    /// Both ways of a person may be out for the same reason, which is told once.
    fn note(&mut self, order: usize, why: String) {
        if self.absent.iter().any(|(_, known)| *known == why) {
            return;
        }
        let at = self.absent.partition_point(|(other, _)| *other < order);
        self.absent.insert(at, (order, why));
    }

    /// That nobody would see a prompt either.
    pub fn nobody_sees(&self, why: &str) -> Error {
        let mut all = self.clone();
        all.note(METHODS.len(), format!("nobody would see a prompt ({why})"));
        all.error()
    }

    fn error(&self) -> Error {
        let all: Vec<_> = self.absent.iter().map(|(_, why)| why.as_str()).collect();
        let what = all.join(", ");
        let general = "set AZURE_CLIENT_ID and AZURE_TENANT_ID with a secret or a federated token, sign in to az, \
                       or name a way with --login";
        let remedy = self.hint.as_ref().map_or_else(|| general.to_owned(), |hint| format!("{hint}, or {general}"));
        Error::new(ErrorKind::NobodyThere, format!("there is no way to sign in here: {what}")).remedy(remedy)
    }
}
