//! The managed identity of the machine, pod or app that this runs on.

use std::fmt::Display;
use std::time::Duration;

use crate::cache::Identity;
use crate::entra::{Grant, Session};
use crate::error::Error;
use crate::hosts::{self, By, Host, Selector, Wanted};
use crate::options::{CLIENT_ID, Choices, IDENTITY_OBJECT_ID, IDENTITY_RESOURCE_ID, Opt, SERVER_ID, Source, Values};
use crate::sys::Pending;

use super::{Login, Method, Rule, both_given};

/// `--login msi`.
pub(super) static METHOD: Method = Method {
    name: "msi",
    about: "the managed identity of this machine, pod or app",
    arguments: &[
        Rule::Typed.of(&CLIENT_ID),
        Rule::Typed.of(&IDENTITY_RESOURCE_ID).unless(&IDENTITY_OBJECT_ID).behind(&CLIENT_ID),
        Rule::Typed.of(&IDENTITY_OBJECT_ID).unless(&CLIENT_ID),
    ],
    variables: &[],
    parse,
};

struct ManagedIdentity {
    host: Box<dyn Host>,
    wanted: Wanted,
    /// What tells this machine from others with the same home directory, if that is known.
    machine: Option<String>,
    /// Where a resource id came from that a client id stands before.
    passed_over: Option<Source>,
}

fn parse(choices: &Choices) -> Result<Box<dyn Login>, Error> {
    let (wanted, passed_over) = wanted(choices.values)?;
    let host = hosts::detect(choices.env)?;
    hosts::admit(&*host, wanted.selector.as_ref())?;
    Ok(Box::new(ManagedIdentity { host, wanted, machine: hosts::machine(), passed_over }))
}

/// What a host would be asked, and where a resource id came from that a client id stands before.
pub(super) fn wanted(values: &Values) -> Result<(Wanted, Option<Source>), Error> {
    let server = values.require(&SERVER_ID, "server-id is required")?;
    let (selector, passed_over) = selector(values)?;
    Ok((Wanted::new(&server, selector), passed_over))
}

/// The one identity that is meant. As in Azure/kubelogin a client id stands before a resource id; an
/// object id is an option of our own and tolerates no other.
fn selector(values: &Values) -> Result<(Option<Selector>, Option<Source>), Error> {
    let client = given(values, &CLIENT_ID, By::ClientId)?;
    let resource = given(values, &IDENTITY_RESOURCE_ID, By::ResourceId)?;
    let object = given(values, &IDENTITY_OBJECT_ID, By::ObjectId)?;
    match (client, resource, object) {
        (Some(other), _, Some(object)) | (None, Some(other), Some(object)) => {
            Err(both_given(&other.source.to_string(), &object.source.to_string()))
        }
        (Some(client), resource, None) => Ok((Some(client), resource.map(|resource| resource.source))),
        (None, one, other) => Ok((one.or(other), None)),
    }
}

fn given<T: Display>(values: &Values, option: &Opt<T>, by: By) -> Result<Option<Selector>, Error> {
    let source = values.source(option).cloned().unwrap_or(Source::Default);
    Ok(values.get(option)?.map(|id| Selector { by, id: id.to_string(), source }))
}

impl Login for ManagedIdentity {
    fn identify(&self, identity: &mut Identity) {
        self.host.identify(&self.wanted, identity);
        identity.field("machine", self.machine.as_deref().unwrap_or_default());
    }

    fn acquire<'a>(&'a self, session: &'a Session<'a>) -> Pending<'a, Grant> {
        Box::pin(async {
            if let (Some(source), Some(selector)) = (&self.passed_over, &self.wanted.selector) {
                let note = || format!("{source} is passed over: {} stands before it", selector.source);
                session.sys.terminal.detail(1, note);
            }
            let token = self.host.token(session, &self.wanted).await?;
            Ok(Grant { token, refresh_token: None, account: None })
        })
    }

    fn patience(&self) -> Duration {
        self.host.patience()
    }

    fn can_be_kept(&self) -> bool {
        self.machine.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Commands, args};
    use crate::sys::Env;

    fn chosen<const N: usize>(line: &str, env: [(&str, &str); N]) -> Result<(Option<(By, String)>, bool), String> {
        let words: Vec<_> = line.split_whitespace().map(String::from).collect();
        let given = args::read(&words, Commands::GET_TOKEN).unwrap();
        let values = Values::resolve(&given, &Env::from(env));
        let (selector, passed_over) = selector(&values).map_err(|error| error.to_string())?;
        Ok((selector.map(|selector| (selector.by, selector.id)), passed_over.is_some()))
    }

    #[test]
    fn a_client_id_stands_before_a_resource_id() {
        assert_eq!(chosen("", []), Ok((None, false)));
        assert_eq!(chosen("--identity-resource-id R", []), Ok((Some((By::ResourceId, "R".into())), false)));
        assert_eq!(chosen("--identity-object-id O", []), Ok((Some((By::ObjectId, "O".into())), false)));
        let both = chosen("--identity-resource-id R --client-id C", []);
        assert_eq!(both, Ok((Some((By::ClientId, "C".into())), true)));
        let variable = chosen("--identity-resource-id R", [("AZURE_CLIENT_ID", "V")]);
        assert_eq!(variable, Ok((Some((By::ClientId, "V".into())), true)));
    }

    #[test]
    fn an_object_id_tolerates_no_other() {
        let error = chosen("--identity-object-id O", [("AZURE_CLIENT_ID", "V")]).unwrap_err();
        assert_eq!(error, "AZURE_CLIENT_ID and --identity-object-id are both given; give one of them");
        let error = chosen("--identity-resource-id R", [("KUBENTRA_IDENTITY_OBJECT_ID", "O")]).unwrap_err();
        assert_eq!(error, "--identity-resource-id and KUBENTRA_IDENTITY_OBJECT_ID are both given; give one of them");
    }
}
