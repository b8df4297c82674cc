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
//! | 7 | a person | there is a client to sign in with; whether somebody would see a prompt matters only then |
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
use crate::hosts::{self, Host, Wanted, imds};
use crate::options::{
    AUTHORITY_HOST, AZURE_PIPELINES_SERVICE_CONNECTION_ID, CLIENT_CERTIFICATE, CLIENT_CERTIFICATE_PASSWORD_FILE,
    CLIENT_ID, CLIENT_SECRET_FILE, Choices, DISABLE_TOKEN_PROXY, ENVIRONMENT, FEDERATED_AUDIENCE, FEDERATED_TOKEN_FILE,
    FEDERATED_TOKEN_SOURCE, Given, IDENTITY_OBJECT_ID, IDENTITY_RESOURCE_ID, LEGACY, SUBSCRIPTION, Source, TENANT_ID,
    Values,
};
use crate::process;
use crate::situation;
use crate::sys::{Env, Pending};
use crate::terminal::nobody_sees;

use super::{Login, Method, Rule, Settled, azd, azurecli, azurepipelines, devicecode, msi, spn, workloadidentity};

/// `--login auto`.
pub(super) static METHOD: Method = Method {
    name: "auto",
    about: "the first of these that is there, be it on a laptop, in a pipeline or in a pod",
    arguments: &[
        Rule::Carried.of(&CLIENT_ID),
        Rule::Carried.of(&TENANT_ID),
        Rule::Deviating.of(&ENVIRONMENT),
        Rule::Carried.of(&LEGACY),
        Rule::Carried.of(&AUTHORITY_HOST),
        Rule::Kept.of(&CLIENT_SECRET_FILE),
        Rule::Kept.of(&CLIENT_CERTIFICATE),
        Rule::Kept.of(&CLIENT_CERTIFICATE_PASSWORD_FILE),
        Rule::Kept.of(&IDENTITY_RESOURCE_ID),
        Rule::Kept.of(&IDENTITY_OBJECT_ID),
        Rule::Kept.of(&FEDERATED_TOKEN_FILE),
        Rule::Kept.of(&FEDERATED_TOKEN_SOURCE),
        Rule::Kept.of(&FEDERATED_AUDIENCE),
        Rule::Kept.of(&DISABLE_TOKEN_PROXY),
        Rule::Kept.of(&AZURE_PIPELINES_SERVICE_CONNECTION_ID),
        Rule::Kept.of(&SUBSCRIPTION),
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
    Way { method: &devicecode::METHOD, name: "a device code", look: person },
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
    /// The same, and what would make it be there in the build system that this is.
    Nearly(String, String),
    /// It is, and why it counts as such.
    Present(Box<dyn Login>, String),
    /// Only a probe can say.
    Perhaps(Box<dyn Login>, Question),
}

/// What a host would be asked, if it is there.
struct Question {
    host: Box<dyn Host>,
    wanted: Wanted,
}

/// A way that may be the one.
struct Candidate {
    /// Its place among the ways.
    order: usize,
    way: &'static Way,
    login: Rc<dyn Login>,
    reason: Reason,
}

/// Why a way counts as present.
enum Reason {
    Known(String),
    /// A probe has to say.
    Probe(Question),
}

struct Auto {
    /// In order; only the last one is certainly there.
    candidates: Vec<Candidate>,
    in_vain: InVain,
}

/// What was looked for in vain.
#[derive(Debug, Clone, Default)]
pub struct InVain {
    /// What is not there, and why, each with its place in the order.
    absent: Vec<(usize, String)>,
    hint: Option<String>,
}

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    let mut auto = Auto { candidates: Vec::new(), in_vain: InVain::default() };
    for (order, way) in WAYS.iter().enumerate() {
        let mut keep = |login: Box<dyn Login>, reason| {
            auto.candidates.push(Candidate { order, way, login: login.into(), reason });
        };
        match (way.look)(choices, way.method)? {
            Found::Absent(why) => auto.in_vain.note(order, why),
            Found::Nearly(why, hint) => {
                auto.in_vain.note(order, why);
                auto.in_vain.hint = Some(hint);
            }
            Found::Perhaps(login, question) => keep(login, Reason::Probe(question)),
            Found::Present(login, reason) => {
                keep(login, Reason::Known(reason));
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
    fn of(method: &Method, given: Given, env: &Env) -> Self {
        Self { values: Values::resolve_for(&given, env, Some(method.name)), given }
    }

    /// With everything that was given.
    fn whole(choices: &Choices, method: &Method) -> Self {
        Self::of(method, choices.given.clone(), choices.env)
    }

    /// Without `--client-id`: in an entry for `auto` it names the client that people sign in with, which
    /// has no federated credential and is no managed identity. The environment names those.
    fn of_environment(choices: &Choices, method: &Method) -> Self {
        Self::of(method, choices.given.without(&CLIENT_ID.decl), choices.env)
    }

    /// With the client of the entry, where it names one: nobody can sign in with the application or
    /// managed identity that the environment names.
    fn of_entry(choices: &Choices, method: &Method) -> Self {
        let named = choices.given.last(&CLIENT_ID.decl).is_some_and(|typed| !typed.text.is_empty());
        let variables: Vec<_> = CLIENT_ID.decl.vars.iter().filter(|_| named).map(|var| var.name).collect();
        Self::of(method, choices.given.clone(), &choices.env.without(&variables))
    }

    fn choices<'a>(&'a self, choices: &'a Choices) -> Choices<'a> {
        Choices { given: &self.given, values: &self.values, ..*choices }
    }

    fn parse(&self, choices: &Choices, method: &Method) -> Result<Box<dyn Login>, Error> {
        (method.parse)(&self.choices(choices))
    }
}

fn application(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let whole = AsIf::whole(choices, method);
    let (reason, typed) = match spn::given_by(&whole.values) {
        None => return Ok(absent("no secret or certificate is given")),
        Some(source) => (format!("{source} is set"), matches!(source, Source::Flag(_))),
    };
    let as_if = if typed { whole } else { AsIf::of_environment(choices, method) };
    let variable = as_if.values.variable(&CLIENT_ID.decl);
    if let (None, Some(variable)) = (as_if.values.source(&CLIENT_ID), variable.filter(|_| !typed)) {
        return Err(Error::new(&situation::OPTION_MISSING, format!("{reason}, and not the application that it is of"))
            .remedy(format!("set {variable}; --client-id is the client that people sign in with")));
    }
    Ok(Found::Present(as_if.parse(choices, method)?, reason))
}

fn federation(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let whole = AsIf::whole(choices, method);
    let typed = |source: Option<&Source>| matches!(source, Some(Source::Flag(_)));
    let source = whole.values.source(&FEDERATED_TOKEN_SOURCE);
    let named = source.or_else(|| whole.values.source(&FEDERATED_TOKEN_FILE).filter(|file| typed(Some(file))));
    let named = named.map(ToString::to_string);
    let on_purpose = typed(source) || typed(whole.values.source(&FEDERATED_TOKEN_FILE));
    let as_if = if on_purpose { whole } else { AsIf::of_environment(choices, method) };
    // Without these a token may be there for another purpose: GitHub's for signing az in, a pod's by default.
    let missing = [
        (as_if.values.source(&CLIENT_ID), as_if.values.variable(&CLIENT_ID.decl)),
        (as_if.values.source(&TENANT_ID), as_if.values.variable(&TENANT_ID.decl)),
    ];
    if let Some((_, variable)) = missing.into_iter().find(|(source, _)| source.is_none()) {
        let variable = variable.unwrap_or("its variable");
        if let Some(named) = named {
            let what = "a source of federated tokens is given, and not the application that they are for";
            return Err(Error::new(&situation::OPTION_MISSING, what)
                .from_source(named)
                .remedy(format!("set {variable}")));
        }
        return Ok(absent(format!("no application for a federated token ({variable} is not set)")));
    }
    let Some(source) = federated::choose(&as_if.choices(choices))? else {
        let why = "no federated token".to_owned();
        return Ok(match federated::hint(&as_if.choices(choices)) {
            Some(hint) => Found::Nearly(why, hint),
            None => Found::Absent(why),
        });
    };
    let described = source.described();
    Ok(Found::Present(as_if.parse(choices, method)?, format!("it comes from {described}")))
}

fn pipelines(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let as_if = AsIf::of_environment(choices, method);
    if !azurepipelines::is_there(&as_if.choices(choices)) {
        return Ok(absent("no service connection of an Azure Pipelines job"));
    }
    Ok(Found::Present(as_if.parse(choices, method)?, "the job names it".into()))
}

fn managed_identity(choices: &Choices, method: &Method) -> Result<Found, Error> {
    let as_if = AsIf::of_environment(choices, method);
    let (mut login, host) = (as_if.parse(choices, method)?, hosts::detect(choices.env)?);
    let (wanted, _) = msi::wanted(&as_if.choices(choices))?;
    if wanted.selector.is_none() {
        let variable = as_if.values.variable(&CLIENT_ID.decl).unwrap_or("its variable");
        login = Box::new(Unnamed { login, variable });
    }
    if host.is_certain() {
        return Ok(Found::Present(login, format!("the environment is that of {}", host.name())));
    }
    Ok(Found::Perhaps(login, Question { host, wanted }))
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

/// A person is there even if nobody would see a prompt: who has signed in before stays signed in, and
/// the same place in the cache is theirs. Without a client to sign in with there is none, which is no
/// reason to pass over the machine's identity.
#[expect(clippy::unnecessary_wraps, reason = "the other ways have errors")]
fn person(choices: &Choices, method: &Method) -> Result<Found, Error> {
    Ok(match AsIf::of_entry(choices, method).parse(choices, method) {
        Ok(login) => Found::Present(login, "nothing else is there".into()),
        Err(error) => absent(format!("nobody can be asked ({})", error.what())),
    })
}

fn absent(why: impl Into<String>) -> Found {
    Found::Absent(why.into())
}

impl Login for Auto {
    /// Whatever could change the choice is part of the name in the cache: a new secret, a sign-in to
    /// az or its end takes effect with the next call. A probe's outcome is not, it is looked up when a
    /// token is wanted; what would be asked, and the machine, stand for it.
    fn identify(&self, identity: &mut Identity) {
        for Candidate { way, login, reason, .. } in &self.candidates {
            identity.field("way", way.method.name);
            match reason {
                Reason::Known(_) => login.identify(identity),
                Reason::Probe(Question { host, wanted }) => {
                    host.identify(wanted, identity);
                    identity.field("machine", &machine());
                }
            }
        }
    }

    fn acquire<'a>(&'a self, _: &'a Session<'a>) -> Pending<'a, Grant> {
        // Settling comes first, and what it has settled on signs in.
        Box::pin(std::future::ready(Err(self.in_vain.error())))
    }

    fn settle<'a>(
        &'a self,
        session: &'a Session<'a>,
        cache: &'a Cache,
        before: Option<&'a str>,
    ) -> Pending<'a, Option<Settled>> {
        Box::pin(self.choose(session, cache, before))
    }

    fn may_need_person(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.login.person().is_some())
    }

    fn patience(&self) -> Duration {
        self.candidates.iter().map(|candidate| candidate.login.patience()).max().unwrap_or_default()
    }
}

impl Auto {
    async fn choose(
        &self,
        session: &Session<'_>,
        cache: &Cache,
        before: Option<&str>,
    ) -> Result<Option<Settled>, Error> {
        let mut in_vain = self.in_vain.clone();
        let mut chosen = None;
        for (index, candidate) in self.candidates.iter().enumerate() {
            match &candidate.reason {
                Reason::Known(reason) => chosen = Some((candidate, reason.as_str(), None)),
                Reason::Probe(question) => {
                    let memory = Memory::of(cache, question, self.is_last_hope(index, session));
                    let served = before == Some(candidate.way.method.name);
                    match try_imds(session, &memory, &*candidate.login, question, served).await? {
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
            Some((candidate, reason, grant)) => Ok(Some(candidate.settled(reason, grant, in_vain))),
            None => Err(in_vain.error()),
        }
    }

    /// Whether nothing that comes after the candidate at `index` could sign in, unless there is an
    /// earlier sign-in of a person.
    fn is_last_hope(&self, index: usize, session: &Session<'_>) -> bool {
        let mut later = self.candidates.iter().skip(index + 1);
        later.all(|candidate| candidate.login.person().is_some()) && nobody_sees(&session.sys.env).is_some()
    }
}

/// A managed identity that nobody has named. Here another option than `--client-id` would do so.
struct Unnamed {
    login: Box<dyn Login>,
    variable: &'static str,
}

impl Login for Unnamed {
    fn identify(&self, identity: &mut Identity) {
        self.login.identify(identity);
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(async {
            let about_name = [&situation::OPTION_MISSING, &situation::IDENTITY_UNKNOWN];
            self.login.acquire(session).await.map_err(|error| {
                if !about_name.into_iter().any(|situation| error.is(situation)) {
                    return error;
                }
                error.remedy(format!("set {} to one, or name another method with --login", self.variable))
            })
        })
    }

    fn patience(&self) -> Duration {
        self.login.patience()
    }

    fn can_be_kept(&self) -> bool {
        self.login.can_be_kept()
    }
}

impl Candidate {
    fn settled(&self, reason: &str, grant: Option<Grant>, in_vain: InVain) -> Settled {
        let reason = format!("auto: signing in with {} ({reason})", self.way.name);
        Settled { login: self.login.clone(), way: self.way.method.name, reason, grant, in_vain }
    }
}

impl InVain {
    fn note(&mut self, order: usize, why: String) {
        let at = self.absent.partition_point(|(other, _)| *other < order);
        self.absent.insert(at, (order, why));
    }

    /// That nobody would see a prompt either.
    pub fn nobody_sees(&self, why: &str) -> Error {
        let mut all = self.clone();
        all.note(WAYS.len(), format!("nobody would see a prompt ({why})"));
        all.error()
    }

    fn error(&self) -> Error {
        let all: Vec<_> = self.absent.iter().map(|(_, why)| why.as_str()).collect();
        let what = all.join(", ");
        let general = "set AZURE_CLIENT_ID and AZURE_TENANT_ID with a secret or a federated token, sign in to az, \
                       or name a way with --login";
        let remedy = self.hint.as_ref().map_or_else(|| general.to_owned(), |hint| format!("{hint}, or {general}"));
        Error::new(&situation::NOBODY_THERE, format!("there is no way to sign in here: {what}")).remedy(remedy)
    }
}

/// The token of this machine's identity, or why there is none. Only a machine that has an identity
/// is asked in earnest: on a laptop the address of IMDS swallows whatever is sent to it. One that has
/// `served` this very request before needs no probe, which on a busy machine may come too late.
async fn try_imds(
    session: &Session<'_>,
    memory: &Memory<'_>,
    login: &dyn Login,
    question: &Question,
    served: bool,
) -> Result<Result<Grant, String>, Error> {
    let now = session.sys.clock.now();
    if !served && memory.says_absent(now) {
        return Ok(Err("IMDS was not there when it was last looked for".into()));
    }
    let seen = if served { imds::Seen::Imds } else { imds::probe(session.sys).await };
    match seen {
        imds::Seen::Imds => {}
        imds::Seen::Unclear => return Ok(Err("IMDS is not there, or not well".into())),
        imds::Seen::Slow => {
            memory.absent(session, now.saturating_sub(ABSENT_FOR - SLOW_FOR));
            return Ok(Err("no IMDS answers in half a second".into()));
        }
        imds::Seen::Nobody => {
            memory.absent(session, now);
            return Ok(Err("no IMDS answers".into()));
        }
    }
    // Whoever names an identity is not to be signed in as somebody else.
    let named = question.wanted.selector.is_some();
    match login.acquire(session).await {
        Ok(grant) => Ok(Ok(grant)),
        // The probe, or an earlier token, has shown that it is there: only the identity can be missing.
        Err(error) if !named && error.is(&situation::IDENTITY_UNKNOWN) => {
            memory.absent(session, now);
            Ok(Err(error.what().to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// That an identity was looked for in vain.
struct Memory<'c> {
    slot: Option<Slot<'c>>,
    /// How long it counts, in seconds.
    good_for: u64,
}

/// A machine does not become another one while it runs, but an identity may be given to it.
const ABSENT_FOR: u64 = 24 * 3600;
/// What was too slow to be known is looked for again after this time.
const SLOW_FOR: u64 = 600;
/// Where nothing else is there it is worth another probe: some containers have their identity a
/// while after their start only. Processes that run at the same time share one.
const ABSENT_FOR_LAST_HOPE: u64 = 10;

impl<'c> Memory<'c> {
    fn of(cache: &'c Cache, question: &Question, last_hope: bool) -> Self {
        let mut identity = Identity::new("absence of IMDS");
        identity.field("url", question.host.endpoint().as_str());
        if let Some(selector) = &question.wanted.selector {
            identity.field(selector.by.words(), &selector.id);
        }
        identity.field("machine", &machine());
        let good_for = if last_hope { ABSENT_FOR_LAST_HOPE } else { ABSENT_FOR };
        Self { slot: cache.slot(&identity), good_for }
    }

    fn says_absent(&self, now: u64) -> bool {
        let seen = self.slot.as_ref().map(Slot::read).unwrap_or_default();
        seen.absent_on.is_some_and(|on| on <= now && now - on < self.good_for)
    }

    fn absent(&self, session: &Session<'_>, now: u64) {
        if let Some(slot) = &self.slot {
            slot.write(session.sys, &Kept { absent_on: Some(now), ..Kept::default() });
        }
    }
}

/// What tells this machine from others that share a home directory with it, also after a restart: a
/// person who has signed in here stays signed in. Containers of one image may have one id.
fn machine() -> String {
    let read = |path: &str| crate::files::read_text(Path::new(path), 1024).ok().filter(|text| !text.trim().is_empty());
    match read("/etc/machine-id") {
        Some(id) => format!("{id}{}", read("/proc/sys/kernel/hostname").unwrap_or_default()),
        None => hosts::machine().unwrap_or_default(),
    }
}
