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
//! | 7 | a person | somebody would see the prompt |
//!
//! What was set up on purpose comes before what merely happens to be there, machines before people,
//! and a way that is there and fails is an error: going on would sign in as somebody else.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::cache::{Cache, Identity, Kept, Slot};
use crate::entra::{Grant, Session};
use crate::error::Error;
use crate::federated;
use crate::hosts::{self, imds};
use crate::options::{
    AUTHORITY_HOST, CLIENT_ID, Choices, ENVIRONMENT, FEDERATED_TOKEN_FILE, FEDERATED_TOKEN_SOURCE, Given, LEGACY,
    Source, TENANT_ID, Values,
};
use crate::process;
use crate::situation;
use crate::sys::{Pending, Sys};
use crate::terminal::nobody_sees;

use super::{Login, Method, Rule, Settled, azd, azurecli, azurepipelines, devicecode, msi, spn, workloadidentity};

/// `--login auto`.
pub(super) static METHOD: Method = Method {
    name: "auto",
    about: "the first of these that works where it runs",
    arguments: &[
        Rule::Carried.of(&CLIENT_ID),
        Rule::Carried.of(&TENANT_ID),
        Rule::Deviating.of(&ENVIRONMENT),
        Rule::Carried.of(&LEGACY),
        Rule::Carried.of(&AUTHORITY_HOST),
    ],
    variables: &[],
    parse,
};

/// The ways, in order.
static WAYS: &[Way] = &[
    Way { method: &spn::METHOD, name: "an application's secret or certificate", look: application },
    Way { method: &workloadidentity::METHOD, name: "a federated token", look: federation },
    Way { method: &azurepipelines::METHOD, name: "an Azure Pipelines service connection", look: pipelines },
    Way { method: &msi::METHOD, name: "the managed identity of this machine", look: managed_identity },
    Way { method: &azurecli::METHOD, name: "the Azure CLI", look: az },
    Way { method: &azd::METHOD, name: "the Azure Developer CLI", look: azure_developer_cli },
    Way { method: &devicecode::METHOD, name: "a person with a device code", look: person },
];

struct Way {
    method: &'static Method,
    /// For people.
    name: &'static str,
    look: fn(&Choices, &Method) -> Result<Found, Error>,
}

/// Whether a way is there.
enum Found {
    /// It is not, and why.
    Absent(String),
    /// It is, and why it counts as such.
    Present(Box<dyn Login>, String),
    /// Only a probe can say; and whether one certain identity is asked for.
    Perhaps { login: Box<dyn Login>, named: bool },
}

/// A way that may be the one.
struct Candidate {
    way: &'static Way,
    login: Rc<dyn Login>,
    reason: Reason,
}

/// Why a way counts as present.
enum Reason {
    Known(String),
    /// A probe has to say. Whoever names an identity is not to be signed in as somebody else.
    Probe {
        named: bool,
    },
}

struct Auto {
    /// In order; only the last one is certainly there.
    candidates: Vec<Candidate>,
    /// What is not there, and why, for `-v` and for the error at the end.
    absent: Vec<String>,
}

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    let mut auto = Auto { candidates: Vec::new(), absent: Vec::new() };
    for way in WAYS {
        match (way.look)(choices, way.method)? {
            Found::Absent(why) => auto.absent.push(format!("{}: {why}", way.name)),
            Found::Perhaps { login, named } => {
                auto.candidates.push(Candidate { way, login: login.into(), reason: Reason::Probe { named } });
            }
            Found::Present(login, reason) => {
                auto.candidates.push(Candidate { way, login: login.into(), reason: Reason::Known(reason) });
                break;
            }
        }
    }
    Ok(Box::new(auto))
}

/// What a method would be given if it were named itself.
struct AsIf {
    given: Given,
    values: Values,
}

impl AsIf {
    fn of(choices: &Choices, method: &Method, given: Given) -> Self {
        Self { values: Values::resolve_for(&given, choices.env, Some(method.name)), given }
    }

    /// With everything that was given.
    fn whole(choices: &Choices, method: &Method) -> Self {
        Self::of(choices, method, choices.given.clone())
    }

    /// Without `--client-id`: in an entry for `auto` it names the client that people sign in with, which
    /// has no federated credential and is no managed identity. The environment names those.
    fn of_environment(choices: &Choices, method: &Method) -> Self {
        Self::of(choices, method, choices.given.without(&CLIENT_ID.decl))
    }

    fn choices<'a>(&'a self, choices: &'a Choices) -> Choices<'a> {
        Choices { given: &self.given, values: &self.values, ..*choices }
    }

    fn parse(&self, choices: &Choices, method: &Method) -> Result<Box<dyn Login>, Error> {
        (method.parse)(&self.choices(choices))
    }
}

fn application(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let as_if = AsIf::whole(choices, method);
    let Some(source) = spn::given_by(&as_if.values) else { return Ok(absent("no secret and no certificate is given")) };
    Ok(Found::Present(as_if.parse(choices, method)?, format!("{source} is set")))
}

fn federation(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let whole = AsIf::whole(choices, method);
    let typed = |source: Option<&Source>| matches!(source, Some(Source::Flag(_)));
    let on_purpose =
        typed(whole.values.source(&FEDERATED_TOKEN_FILE)) || typed(whole.values.source(&FEDERATED_TOKEN_SOURCE));
    let as_if = if on_purpose { whole } else { AsIf::of_environment(choices, method) };
    // Without these a token may be there for another purpose: GitHub's for signing az in, a pod's by default.
    if as_if.values.source(&CLIENT_ID).is_none() || as_if.values.source(&TENANT_ID).is_none() {
        return Ok(absent("AZURE_CLIENT_ID and AZURE_TENANT_ID do not name an application"));
    }
    let Some(source) = federated::choose(&as_if.choices(choices))? else { return Ok(absent("there is none")) };
    let described = source.described();
    Ok(Found::Present(as_if.parse(choices, method)?, format!("it comes from {described}")))
}

fn pipelines(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let as_if = AsIf::of_environment(choices, method);
    if !azurepipelines::is_there(&as_if.choices(choices)) {
        return Ok(absent("this is no job with a service connection and its access token"));
    }
    Ok(Found::Present(as_if.parse(choices, method)?, "the job names it".into()))
}

fn managed_identity(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let as_if = AsIf::of_environment(choices, method);
    let (login, host) = (as_if.parse(choices, method)?, hosts::detect(choices.env)?);
    if host.is_certain() {
        return Ok(Found::Present(login, format!("the environment is that of {}", host.name())));
    }
    Ok(Found::Perhaps { login, named: msi::names_one(&as_if.values) })
}

fn az(choices: &Choices, method: &Method) -> Result<Found, Error> {
    program(choices, method, "az", azurecli::signed_in(choices.env))
}

fn azure_developer_cli(choices: &Choices, method: &Method) -> Result<Found, Error> {
    program(choices, method, "azd", azd::signed_in(choices.env))
}

fn program(choices: &Choices, method: &Method, name: &str, signed_in: bool) -> Result<Found, Error> {
    let Some(path) = process::find(choices.env, name) else { return Ok(absent(format!("{name} is not on PATH"))) };
    if !signed_in {
        return Ok(absent(format!("nobody is signed in to {name}")));
    }
    let login = AsIf::whole(choices, method).parse(choices, method)?;
    Ok(Found::Present(login, format!("{} has somebody signed in", path.display())))
}

fn person(choices: &Choices, method: &Method) -> Result<Found, Error> {
    match nobody_sees(choices.env) {
        Some(why) => Ok(absent(why)),
        None => {
            Ok(Found::Present(AsIf::whole(choices, method).parse(choices, method)?, "nothing else is there".into()))
        }
    }
}

fn absent(why: impl Into<String>) -> Found {
    Found::Absent(why.into())
}

impl Login for Auto {
    /// Whatever could change the choice is part of the name in the cache: a new secret, a sign-in to
    /// az or its end takes effect with the next call. A probe's outcome is not, it is looked up when a
    /// token is wanted; the machine stands for it.
    fn identify(&self, identity: &mut Identity) {
        for Candidate { way, login, reason } in &self.candidates {
            identity.field("way", way.method.name);
            match reason {
                Reason::Known(_) => login.identify(identity),
                Reason::Probe { .. } => {
                    login.identify_question(identity);
                    identity.field("machine", &machine());
                }
            }
        }
    }

    fn acquire<'a>(&'a self, _: &'a Session<'a>) -> Pending<'a, Grant> {
        // Settling comes first, and what it has settled on signs in.
        Box::pin(std::future::ready(Err(nothing_is_there(&self.absent))))
    }

    fn settle<'a>(&'a self, session: &'a Session<'a>, cache: &'a Cache) -> Pending<'a, Option<Settled>> {
        Box::pin(self.choose(session, cache))
    }

    fn may_need_person(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.login.person().is_some())
    }

    fn patience(&self) -> Duration {
        self.candidates.iter().map(|candidate| candidate.login.patience()).max().unwrap_or_default()
    }
}

impl Auto {
    async fn choose(&self, session: &Session<'_>, cache: &Cache) -> Result<Option<Settled>, Error> {
        let mut absent = self.absent.clone();
        let mut chosen = None;
        for candidate in &self.candidates {
            match &candidate.reason {
                Reason::Known(reason) => chosen = Some(candidate.settled(reason, None)),
                Reason::Probe { named } => match try_imds(session, cache, &*candidate.login, *named).await? {
                    Ok(grant) => chosen = Some(candidate.settled("IMDS has one", Some(grant))),
                    Err(why) => absent.push(format!("{}: {why}", candidate.way.name)),
                },
            }
            if chosen.is_some() {
                break;
            }
        }
        for line in &absent {
            session.sys.terminal.detail(1, || format!("auto: not {line}"));
        }
        chosen.map(Some).ok_or_else(|| nothing_is_there(&absent))
    }
}

impl Candidate {
    fn settled(&self, reason: &str, grant: Option<Grant>) -> Settled {
        let reason = format!("auto: signing in with {} ({reason})", self.way.name);
        Settled { login: self.login.clone(), way: self.way.method.name, reason, grant }
    }
}

/// The token of this machine's identity, or why there is none. Only a machine that has an identity
/// is asked in earnest: on a laptop the address of IMDS swallows whatever is sent to it.
async fn try_imds(
    session: &Session<'_>,
    cache: &Cache,
    login: &dyn Login,
    named: bool,
) -> Result<Result<Grant, String>, Error> {
    let memory = cache.slot(&absence(session.sys));
    let now = session.sys.clock.now();
    let seen = memory.as_ref().map(Slot::read).unwrap_or_default();
    if seen.absent_on.is_some_and(|on| on <= now && now - on < ABSENT_FOR) {
        return Ok(Err("it was not there a short time ago".into()));
    }
    let remember = || {
        if let Some(slot) = &memory {
            slot.write(session.sys, &Kept { absent_on: Some(now), ..Kept::default() });
        }
    };
    if !imds::probe(session.sys).await {
        remember();
        return Ok(Err("no IMDS answers".into()));
    }
    match login.acquire(session).await {
        Ok(grant) => Ok(Ok(grant)),
        Err(error) if error.is(&situation::NO_IDENTITY_HOST) || !named && error.is(&situation::IDENTITY_UNKNOWN) => {
            remember();
            Ok(Err(error.what().to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// A machine does not become another one while it runs, but an identity may be given to it.
const ABSENT_FOR: u64 = 24 * 3600;

fn absence(sys: &Sys) -> Identity {
    let mut identity = Identity::new("absence of IMDS");
    identity.field("address", sys.env.get(imds::AUTHORITY_HOST).unwrap_or_default());
    identity.field("machine", &machine());
    identity
}

/// What tells this machine from others that share a home directory with it, also after a restart: a
/// person who has signed in here stays signed in.
fn machine() -> String {
    let id = crate::files::read_text(Path::new("/etc/machine-id"), 1024).ok().filter(|id| !id.trim().is_empty());
    id.or_else(hosts::machine).unwrap_or_default()
}

fn nothing_is_there(absent: &[String]) -> Error {
    let error = Error::new(&situation::NOBODY_THERE, "there is no way to sign in here")
        .remedy("run again with -v 1 to see what was looked for, or name a way with --login");
    absent.iter().fold(error, |error, line| error.detail(format!("not {line}")))
}
