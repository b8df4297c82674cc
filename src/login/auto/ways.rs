//! The ways that `auto` looks for, and how each is found. Nothing is asked here: what can be seen from
//! the environment and files decides, or is left to a probe.

use std::time::Duration;

use crate::cache::Identity;
use crate::entra::{Grant, Session};
use crate::error::Error;
use crate::federated;
use crate::hosts::{self, Host, Wanted};
use crate::options::{
    CLIENT_ID, Choices, FEDERATED_TOKEN_FILE, FEDERATED_TOKEN_SOURCE, Given, Source, TENANT_ID, Values,
};
use crate::process;
use crate::situation;
use crate::sys::{Env, Pending};

use super::super::{Login, Method, azd, azurecli, azurepipelines, devicecode, interactive, msi, spn, workloadidentity};

/// The ways, in order.
pub(super) static WAYS: &[Way] = &[
    Way { method: &spn::METHOD, name: "an application's secret or certificate", look: application },
    Way { method: &workloadidentity::METHOD, name: "a federated token", look: federation },
    Way { method: &azurepipelines::METHOD, name: "an Azure Pipelines service connection", look: pipelines },
    Way { method: &msi::METHOD, name: "the managed identity of this machine", look: managed_identity },
    Way { method: &azurecli::METHOD, name: "the Azure CLI", look: az },
    Way { method: &azd::METHOD, name: "the Azure Developer CLI", look: azure_developer_cli },
    Way { method: &interactive::METHOD, name: "the browser", look: person_with_browser },
    Way { method: &devicecode::METHOD, name: "a device code", look: person },
];

/// A way to sign in.
pub(super) struct Way {
    pub(super) method: &'static Method,
    /// For people.
    pub(super) name: &'static str,
    pub(super) look: fn(&Choices, &Method) -> Result<Found, Error>,
}

/// Whether a way is there.
pub(super) enum Found {
    /// It is not, and why.
    Absent(String),
    /// The same, and what would make it be there in the build system that this is.
    Nearly(String, String),
    /// It is, and why it counts as such.
    Present(Box<dyn Login>, String),
    /// Only a probe can say.
    Perhaps(Box<dyn Login>, Question),
    /// It is, if a browser can be opened.
    WithBrowser(Box<dyn Login>),
}

/// Why a person is asked.
pub(super) const NOTHING_ELSE: &str = "nothing else is there";

/// What a host would be asked, if it is there.
pub(super) struct Question {
    pub(super) host: Box<dyn Host>,
    pub(super) wanted: Wanted,
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
    program(choices, method, "az", azurecli::if_signed_in)
}

fn azure_developer_cli(choices: &Choices, method: &Method) -> Result<Found, Error> {
    program(choices, method, "azd", azd::if_signed_in)
}

fn program(choices: &Choices, method: &Method, name: &str, login: IfSignedIn) -> Result<Found, Error> {
    let Some(path) = process::find(choices.env, name) else { return Ok(absent(format!("{name} is not on PATH"))) };
    let Some(login) = login(&AsIf::whole(choices, method).choices(choices))? else {
        return Ok(absent(format!("nobody is signed in to {name}")));
    };
    Ok(Found::Present(login, format!("{} has somebody signed in", path.display())))
}

/// The login of a program, if somebody is signed in to it.
type IfSignedIn = fn(&Choices) -> Result<Option<Box<dyn Login>>, Error>;

/// A person is there even if nobody would see a prompt: who has signed in before stays signed in, and
/// the same place in the cache is theirs. Without a client to sign in with there is none, which is no
/// reason to pass over the machine's identity.
#[expect(clippy::unnecessary_wraps, reason = "the other ways have errors")]
fn person(choices: &Choices, method: &Method) -> Result<Found, Error> {
    Ok(match AsIf::of_entry(choices, method).parse(choices, method) {
        Ok(login) => Found::Present(login, NOTHING_ELSE.into()),
        Err(error) => absent(format!("nobody can be asked ({})", error.what())),
    })
}

/// The browser asks for less than a code does, and more tenants allow it. Whether one can be opened is
/// looked up when somebody is asked: a token from the cache needs none.
fn person_with_browser(choices: &Choices, method: &Method) -> Result<Found, Error> {
    Ok(match person(choices, method)? {
        Found::Present(login, _) => Found::WithBrowser(login),
        other => other,
    })
}

fn absent(why: impl Into<String>) -> Found {
    Found::Absent(why.into())
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
