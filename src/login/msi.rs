//! The managed identity of the machine, pod or app that this runs on.

use std::fmt::Display;

use crate::entra::{Session, TokenResponse};
use crate::error::{Error, ErrorKind};
use crate::managed_identity::{self, IdKind, IdentityRequest, ManagedIdentitySource, Selector};
use crate::options::{CLIENT_ID, IDENTITY_OBJECT_ID, IDENTITY_RESOURCE_ID, Inputs, LEGACY, Opt, ValueSource, Values};
use crate::os::BoxFuture;

use super::{Acquire, Login, Method, WriteRule, both_given};

/// `--login msi`.
pub(super) static METHOD: Method = Method {
    name: "msi",
    about: "the managed identity of this machine, pod or app",
    arguments: &[
        WriteRule::FlagOnly.of(&CLIENT_ID),
        WriteRule::FlagOnly.of(&IDENTITY_RESOURCE_ID).unless(&IDENTITY_OBJECT_ID).behind(&CLIENT_ID),
        WriteRule::FlagOnly.of(&IDENTITY_OBJECT_ID).unless(&CLIENT_ID),
    ],
    variables: &[],
    parse,
};

struct ManagedIdentity {
    host: Box<dyn ManagedIdentitySource>,
    wanted: IdentityRequest,
    /// What names an identity in this run, where none is named: another option than `--client-id` would do so
    /// beside `auto`.
    named_by: Option<&'static str>,
    /// What is given and has no effect, for `-v`.
    notes: Vec<String>,
}

fn parse(inputs: &Inputs) -> Result<Login, Error> {
    login(inputs, None)
}

/// The login; where no identity is named, an error about its name tells that the variable `named_by` would.
pub(super) fn login(inputs: &Inputs, named_by: Option<&'static str>) -> Result<Login, Error> {
    let audience = inputs.audience()?;
    let (selector, passed_over) = selector(inputs)?;
    let wanted = IdentityRequest::new(&audience, selector);
    let host = managed_identity::detect(inputs.env)?;
    managed_identity::admit(host.host(), wanted.selector.as_ref())?;
    let mut notes = Vec::new();
    if let (Some(source), Some(selector)) = (passed_over, &wanted.selector) {
        notes.push(format!("{source} is passed over: {} stands before it", selector.source));
    }
    if inputs.values.is_on(&LEGACY) {
        notes.push("--legacy has no effect with msi: the host decides on the kind of token".into());
    }
    let named_by = named_by.filter(|_| wanted.selector.is_none());
    // What tells this machine from others with the same home directory, if that is known.
    let machine = managed_identity::machine();
    let mut key = METHOD.key();
    host.add_to_key(&wanted, &mut key);
    key.field("machine", machine.as_deref().unwrap_or_default());
    let default_timeout = host.default_timeout();
    let identity = ManagedIdentity { host, wanted, named_by, notes };
    Ok(Login { cacheable: machine.is_some(), default_timeout, ..Login::new(key, identity) })
}

/// The one identity that is meant, and where another name came from that it stands before. As in
/// Azure/kubelogin a client id stands before a resource id. An object id is an option of our own: typed,
/// it stands before a client id that only a variable gives, as webhooks and platforms set one for
/// everybody; it tolerates no other.
pub(super) fn selector(inputs: &Inputs) -> Result<(Option<Selector>, Option<String>), Error> {
    let client = given(inputs.values, &CLIENT_ID, IdKind::Client)?;
    let resource = given(inputs.values, &IDENTITY_RESOURCE_ID, IdKind::Resource)?;
    let object = given(inputs.values, &IDENTITY_OBJECT_ID, IdKind::Object)?;
    let Some(object) = object else {
        return Ok(match (client, resource) {
            (Some(client), resource) => (Some(client), resource.map(|resource| resource.source)),
            (None, resource) => (resource, None),
        });
    };
    let typed = inputs.given.last(&CLIENT_ID.decl).filter(|typed| !typed.text.is_empty());
    let rival = typed.map(|typed| typed.flag.clone()).or_else(|| resource.map(|other| other.source));
    match rival.or_else(|| client.as_ref().filter(|_| object.from_env).map(|client| client.source.clone())) {
        Some(rival) => Err(both_given(&rival, &object.source)),
        None => Ok((Some(object), client.map(|client| client.source))),
    }
}

fn given<T: Display>(values: &Values, option: &Opt<T>, by: IdKind) -> Result<Option<Selector>, Error> {
    let Some((id, source)) = values.get(option)?.zip(values.source(option)) else { return Ok(None) };
    let from_env = matches!(source, ValueSource::Variable(_));
    Ok(Some(Selector { by, id: id.to_string(), source: source.to_string(), from_env }))
}

impl Acquire for ManagedIdentity {
    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        Box::pin(async {
            for note in &self.notes {
                session.sys.terminal.detail(1, || note.clone());
            }
            let token = self.host.token(session, &self.wanted).await.map_err(|error| self.name_variable(error))?;
            Ok(TokenResponse { token, refresh_token: None, account: None })
        })
    }
}

impl ManagedIdentity {
    fn name_variable(&self, error: Error) -> Error {
        let about_name = [ErrorKind::OptionMissing, ErrorKind::IdentityUnknown].contains(&error.kind());
        match self.named_by.filter(|_| about_name) {
            Some(variable) => error.remedy(format!("set {variable} to one, or name another method with --login")),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::with_inputs;
    use super::*;

    fn chosen<const N: usize>(line: &str, env: [(&str, &str); N]) -> Result<(Option<(IdKind, String)>, bool), String> {
        let (selector, passed_over) = with_inputs(line, env, selector).map_err(|error| error.to_string())?;
        Ok((selector.map(|selector| (selector.by, selector.id)), passed_over.is_some()))
    }

    #[test]
    fn a_client_id_stands_before_a_resource_id() {
        assert_eq!(chosen("", []), Ok((None, false)));
        assert_eq!(chosen("--identity-resource-id R", []), Ok((Some((IdKind::Resource, "R".into())), false)));
        assert_eq!(chosen("--identity-object-id O", []), Ok((Some((IdKind::Object, "O".into())), false)));
        let both = chosen("--identity-resource-id R --client-id C", []);
        assert_eq!(both, Ok((Some((IdKind::Client, "C".into())), true)));
        let variable = chosen("--identity-resource-id R", [("AZURE_CLIENT_ID", "V")]);
        assert_eq!(variable, Ok((Some((IdKind::Client, "V".into())), true)));
    }

    #[test]
    fn a_typed_object_id_stands_before_a_client_id_of_the_environment() {
        for variable in ["AZURE_CLIENT_ID", "AAD_SERVICE_PRINCIPAL_CLIENT_ID"] {
            let chosen = chosen("--identity-object-id O", [(variable, "V")]);
            assert_eq!(chosen, Ok((Some((IdKind::Object, "O".into())), true)), "{variable}");
        }
        let deaf = chosen("--identity-object-id O --disable-environment-override", [("AZURE_CLIENT_ID", "V")]);
        assert_eq!(deaf, Ok((Some((IdKind::Object, "O".into())), false)));
    }

    #[test]
    fn an_object_id_tolerates_no_other() {
        const VARIABLE: (&str, &str) = ("AZURE_CLIENT_ID", "V");
        const OBJECT: (&str, &str) = ("KUBENTRA_IDENTITY_OBJECT_ID", "O");
        let both = |one, other| format!("{one} and {other} are both given; give one of them");
        let flags = both("--client-id", "--identity-object-id");
        assert_eq!(chosen("--identity-object-id O --client-id C", []), Err(flags.clone()));
        assert_eq!(chosen("--identity-object-id O --client-id C", [VARIABLE]), Err(flags.clone()));
        let three = "--identity-object-id O --client-id C --identity-resource-id R";
        assert_eq!(chosen(three, []), Err(flags));
        let ids = both("--identity-resource-id", "--identity-object-id");
        assert_eq!(chosen("--identity-object-id O --identity-resource-id R", [VARIABLE]), Err(ids));
        let variables = both("AZURE_CLIENT_ID", "KUBENTRA_IDENTITY_OBJECT_ID");
        assert_eq!(chosen("", [VARIABLE, OBJECT]), Err(variables));
        let typed = both("--identity-resource-id", "KUBENTRA_IDENTITY_OBJECT_ID");
        assert_eq!(chosen("--identity-resource-id R", [OBJECT]), Err(typed));
    }
}
