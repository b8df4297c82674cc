//! The ways that `auto` looks for, and how each is found. Nothing is asked here: what can be seen from
//! the environment and files decides, or is left to a probe.

use crate::error::{Error, ErrorKind};
use crate::federated;
use crate::managed_identity::{self, IdentityRequest, ManagedIdentitySource};
use crate::options::{
    CLIENT_ID, FEDERATED_TOKEN_FILE, FEDERATED_TOKEN_SOURCE, Inputs, ParsedArgs, TENANT_ID, ValueSource, Values,
};
use crate::os::env::Env;
use crate::os::process;

use super::super::federated_inputs::source_request;
use super::super::{Login, Method, azd, azurecli, azurepipelines, devicecode, interactive, msi, spn, workloadidentity};

/// The ways, in order.
pub(super) static METHODS: &[AutoMethod] = &[
    AutoMethod { method: &spn::METHOD, name: "an application's secret or certificate", detect: application },
    AutoMethod { method: &workloadidentity::METHOD, name: "a federated token", detect: federation },
    AutoMethod { method: &azurepipelines::METHOD, name: "an Azure Pipelines service connection", detect: pipelines },
    AutoMethod { method: &msi::METHOD, name: "the managed identity of this machine", detect: managed_identity },
    AutoMethod { method: &azurecli::METHOD, name: "the Azure CLI", detect: az },
    AutoMethod { method: &azd::METHOD, name: "the Azure Developer CLI", detect: azure_developer_cli },
    AutoMethod { method: &interactive::METHOD, name: "the browser", detect: person_with_browser },
    AutoMethod { method: &devicecode::METHOD, name: "a device code", detect: person },
];

/// A way to sign in.
pub(super) struct AutoMethod {
    pub(super) method: &'static Method,
    /// For people.
    pub(super) name: &'static str,
    pub(super) detect: fn(&Inputs, &Method) -> Result<Availability, Error>,
}

/// Whether a way is there.
pub(super) enum Availability {
    /// It is not, and why; and perhaps what would make it be there in the build system that this is.
    Unavailable { why: String, hint: Option<String> },
    /// It is, and why it counts as such.
    Available(Login, String),
    /// Only a probe can say.
    NeedsProbe(Login, ImdsProbe),
    /// It is, if a browser can be opened.
    NeedsBrowser(Login),
}

/// Why a person is asked.
pub(super) const NOTHING_ELSE: &str = "nothing else is there";

/// What a host would be asked, if it is there.
pub(super) struct ImdsProbe {
    pub(super) host: Box<dyn ManagedIdentitySource>,
    pub(super) wanted: IdentityRequest,
}

/// What a method would be given if it were named itself.
struct MethodInputs {
    given: ParsedArgs,
    values: Values,
}

impl MethodInputs {
    fn of(method: &Method, given: ParsedArgs, env: &Env) -> Self {
        Self { values: Values::resolve_for(&given, env, Some(method.name)), given }
    }

    /// With everything that was given.
    fn whole(inputs: &Inputs, method: &Method) -> Self {
        Self::of(method, inputs.given.clone(), inputs.env)
    }

    /// Without `--client-id`: in an entry for `auto` it names the client that people sign in with, which
    /// has no federated credential and is no managed identity. The environment names those.
    fn of_environment(inputs: &Inputs, method: &Method) -> Self {
        Self::of(method, inputs.given.without(&CLIENT_ID.decl), inputs.env)
    }

    /// With the client of the entry, where it names one: nobody can sign in with the application or
    /// managed identity that the environment names.
    fn of_entry(inputs: &Inputs, method: &Method) -> Self {
        let named = inputs.given.last(&CLIENT_ID.decl).is_some_and(|typed| !typed.text.is_empty());
        let variables: Vec<_> = CLIENT_ID.decl.vars.iter().filter(|_| named).map(|var| var.name).collect();
        Self::of(method, inputs.given.clone(), &inputs.env.without(&variables))
    }

    fn inputs<'a>(&'a self, inputs: &'a Inputs) -> Inputs<'a> {
        Inputs { given: &self.given, values: &self.values, ..*inputs }
    }

    fn parse(&self, inputs: &Inputs, method: &Method) -> Result<Login, Error> {
        (method.parse)(&self.inputs(inputs))
    }
}

fn application(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    let whole = MethodInputs::whole(inputs, method);
    let (reason, typed) = match spn::given_by(&whole.values) {
        None => return Ok(absent("no secret or certificate is given")),
        Some(source) => (format!("{source} is set"), matches!(source, ValueSource::Flag(_))),
    };
    let as_if = if typed { whole } else { MethodInputs::of_environment(inputs, method) };
    let variable = as_if.values.variable(&CLIENT_ID.decl);
    if let (None, Some(variable)) = (as_if.values.source(&CLIENT_ID), variable.filter(|_| !typed)) {
        return Err(Error::new(ErrorKind::OptionMissing, format!("{reason}, and not the application that it is of"))
            .remedy(format!("set {variable}; --client-id is the client that people sign in with")));
    }
    Ok(Availability::Available(as_if.parse(inputs, method)?, reason))
}

fn federation(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    let whole = MethodInputs::whole(inputs, method);
    let typed = |source: Option<&ValueSource>| matches!(source, Some(ValueSource::Flag(_)));
    let source = whole.values.source(&FEDERATED_TOKEN_SOURCE);
    let named = source.or_else(|| whole.values.source(&FEDERATED_TOKEN_FILE).filter(|file| typed(Some(file))));
    let named = named.map(ToString::to_string);
    let on_purpose = typed(source) || typed(whole.values.source(&FEDERATED_TOKEN_FILE));
    let as_if = if on_purpose { whole } else { MethodInputs::of_environment(inputs, method) };
    // Without these a token may be there for another purpose: GitHub's for signing az in, a pod's by default.
    let missing = [
        (as_if.values.source(&CLIENT_ID), as_if.values.variable(&CLIENT_ID.decl)),
        (as_if.values.source(&TENANT_ID), as_if.values.variable(&TENANT_ID.decl)),
    ];
    if let Some((_, variable)) = missing.into_iter().find(|(source, _)| source.is_none()) {
        let variable = variable.unwrap_or("its variable");
        if let Some(named) = named {
            let what = "a source of federated tokens is given, and not the application that they are for";
            return Err(Error::new(ErrorKind::OptionMissing, what)
                .from_source(named)
                .remedy(format!("set {variable}")));
        }
        return Ok(absent(format!("no application for a federated token ({variable} is not set)")));
    }
    let inputs = as_if.inputs(inputs);
    let wanted = source_request(&inputs)?;
    let Some(source) = federated::choose(&wanted)? else {
        return Ok(Availability::Unavailable { why: "no federated token".into(), hint: federated::hint(&wanted) });
    };
    let described = source.described();
    Ok(Availability::Available(as_if.parse(&inputs, method)?, format!("it comes from {described}")))
}

fn pipelines(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    let as_if = MethodInputs::of_environment(inputs, method);
    if !azurepipelines::is_there(&as_if.inputs(inputs)) {
        return Ok(absent("no service connection of an Azure Pipelines job"));
    }
    Ok(Availability::Available(as_if.parse(inputs, method)?, "the job names it".into()))
}

fn managed_identity(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    let as_if = MethodInputs::of_environment(inputs, method);
    let variable = as_if.values.variable(&CLIENT_ID.decl).unwrap_or("its variable");
    let (login, host) = (msi::login(&as_if.inputs(inputs), Some(variable))?, managed_identity::detect(inputs.env)?);
    let audience = as_if.inputs(inputs).audience()?;
    let wanted = IdentityRequest::new(&audience, msi::selector(&as_if.inputs(inputs))?.0);
    if host.is_certain() {
        return Ok(Availability::Available(login, format!("the environment is that of {}", host.host().name)));
    }
    Ok(Availability::NeedsProbe(login, ImdsProbe { host, wanted }))
}

fn az(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    program(inputs, method, "az", azurecli::if_signed_in)
}

fn azure_developer_cli(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    program(inputs, method, "azd", azd::if_signed_in)
}

fn program(inputs: &Inputs, method: &Method, name: &str, login: IfSignedIn) -> Result<Availability, Error> {
    let Some(path) = process::find(inputs.env, name) else { return Ok(absent(format!("{name} is not on PATH"))) };
    let Some(login) = login(&MethodInputs::whole(inputs, method).inputs(inputs))? else {
        return Ok(absent(format!("nobody is signed in to {name}")));
    };
    Ok(Availability::Available(login, format!("{} has somebody signed in", path.display())))
}

/// The login of a program, if somebody is signed in to it.
type IfSignedIn = fn(&Inputs) -> Result<Option<Login>, Error>;

/// A person is there even if nobody would see a prompt: who has signed in before stays signed in, and
/// the same place in the cache is theirs. Without a client to sign in with there is none, which is no
/// reason to pass over the machine's identity.
#[expect(clippy::unnecessary_wraps, reason = "the other ways have errors")]
fn person(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    Ok(match MethodInputs::of_entry(inputs, method).parse(inputs, method) {
        Ok(login) => Availability::Available(login, NOTHING_ELSE.into()),
        Err(error) => absent(format!("nobody can be asked ({})", error.what())),
    })
}

/// The browser asks for less than a code does, and more tenants allow it. Whether one can be opened is
/// looked up when somebody is asked: a token from the cache needs none.
fn person_with_browser(inputs: &Inputs, method: &Method) -> Result<Availability, Error> {
    Ok(match person(inputs, method)? {
        Availability::Available(login, _) => Availability::NeedsBrowser(login),
        other => other,
    })
}

fn absent(why: impl Into<String>) -> Availability {
    Availability::Unavailable { why: why.into(), hint: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Decl;

    /// What `auto` does not keep is lost when an entry is converted: secrets, which go to files, and what would
    /// make `auto` blind to the environment that it looks around in.
    #[test]
    fn an_entry_of_auto_keeps_what_its_methods_read() {
        let own = METHODS.iter().flat_map(|way| way.method.arguments).map(|argument| argument.decl);
        let kept = |decl: &&Decl| super::super::METHOD.arguments.iter().any(|argument| argument.decl == *decl);
        let lost: Vec<&str> = own.filter(|decl| !kept(decl) && decl.secret.is_none()).map(|decl| decl.name).collect();
        assert_eq!(lost, ["disable-environment-override"]);
    }
}
