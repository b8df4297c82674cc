//! A job of Azure Pipelines signs in by its service connection.

use crate::error::Error;
use crate::federated;
use crate::options::{
    AZURE_PIPELINES_SERVICE_CONNECTION_ID, CLIENT_ID, ENVIRONMENT, Inputs, POP_CLAIMS, POP_ENABLED, TENANT_ID,
};

use super::federated_inputs::given;
use super::token_request::token_request;
use super::{Login, Method, WriteRule, workloadidentity};

/// `--login azurepipelines`.
pub(super) static METHOD: Method = Method {
    name: "azurepipelines",
    about: "a job of Azure Pipelines signs in by its service connection",
    arguments: &[
        WriteRule::Required.of(&TENANT_ID),
        WriteRule::FlagOnly.of(&AZURE_PIPELINES_SERVICE_CONNECTION_ID),
        // That of the source entry is the client that people sign in with, and would win over the job's.
        WriteRule::FlagOnly.of(&CLIENT_ID),
        WriteRule::InheritedUnlessDefault.of(&ENVIRONMENT),
        WriteRule::Inherited.of(&POP_ENABLED),
        WriteRule::Inherited.of(&POP_CLAIMS),
    ],
    variables: &[],
    parse,
};

/// Whether this is a job with everything that it takes.
pub(super) fn is_there(inputs: &Inputs) -> bool {
    let values = inputs.values;
    let named =
        [values.source(&AZURE_PIPELINES_SERVICE_CONNECTION_ID), values.source(&CLIENT_ID), values.source(&TENANT_ID)];
    federated::is_pipelines_job(inputs.env) && named.iter().all(Option::is_some)
}

/// In the order of Azure/kubelogin's complaints. A login that lacks the job's token and nothing else
/// can still be served from the cache: a later step sees what an earlier one was given.
fn parse(inputs: &Inputs) -> Result<Login, Error> {
    complete(inputs).map_err(|error| federated::access_token(inputs.env).err().unwrap_or(error))
}

fn complete(inputs: &Inputs) -> Result<Login, Error> {
    let missing = "failed to create azure pipelines credential: no client ID specified";
    let client = inputs.values.require(&CLIENT_ID, missing).map_err(|error| {
        let flag = CLIENT_ID.decl.flag();
        error.remedy(format!("give {flag}; AzureCLI@2 and AzurePowerShell@5 set AZURESUBSCRIPTION_CLIENT_ID"))
    })?;
    let source =
        federated::azure_pipelines(inputs.env, given(inputs, &AZURE_PIPELINES_SERVICE_CONNECTION_ID)?.as_ref())?;
    Ok(workloadidentity::login(&METHOD, client, token_request(inputs)?, source, None))
}

#[cfg(test)]
mod tests {
    use super::super::Spec;
    use super::super::fake::with_inputs;

    fn name_of(spec: &Spec) -> crate::cache_key::CacheKey {
        spec.login.key.clone()
    }

    /// What `then` makes of what the line asks for.
    fn parsed<const N: usize, T>(line: &str, env: [(&str, &str); N], then: fn(&Spec) -> T) -> Result<T, String> {
        let line = format!("-l azurepipelines --server-id SRV {line}");
        with_inputs(&line, env, |inputs| Spec::parse(inputs).map(|spec| then(&spec)).map_err(|error| error.to_string()))
    }

    const JOB: [(&str, &str); 2] =
        [("SYSTEM_ACCESSTOKEN", "at"), ("SYSTEM_OIDCREQUESTURI", "https://ado.example/oidctoken")];
    const CONNECTION: &str = "--azure-pipelines-service-connection-id SC";

    #[test]
    fn what_is_missing_in_the_order_of_kubelogin() {
        let error = |line: &str, env: &[(&str, &str)]| {
            let set = |index: usize| env.get(index).copied().unwrap_or(("X", ""));
            parsed(line, [set(0), set(1)], |_| ()).err().unwrap()
        };
        let start = |line: &str, env: &[(&str, &str)]| error(line, env).split(';').next().unwrap().to_owned();
        assert_eq!(start("", &[]), "SYSTEM_ACCESSTOKEN environment variable not set");
        let prefix = "failed to create azure pipelines credential: ";
        assert_eq!(start("", &JOB), format!("{prefix}no client ID specified"));
        assert_eq!(start("--client-id CID", &JOB), format!("{prefix}no service connection ID specified"));
        assert!(start(&format!("--client-id CID {CONNECTION}"), &JOB[..1]).contains("SYSTEM_OIDCREQUESTURI"));
        assert_eq!(start(&format!("--client-id CID {CONNECTION}"), &JOB), "tenant ID cannot be empty");
        assert!(
            error("", &JOB)
                .ends_with("give --client-id; AzureCLI@2 and AzurePowerShell@5 set AZURESUBSCRIPTION_CLIENT_ID")
        );
    }

    #[test]
    fn a_task_with_a_service_connection_needs_no_flag() {
        let of_task = |connection| {
            let [token, uri] = JOB;
            let ids = [("AZURESUBSCRIPTION_CLIENT_ID", "CID"), ("AZURESUBSCRIPTION_TENANT_ID", "T")];
            let connection = ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", connection);
            parsed("", [token, uri, ids[0], ids[1], connection], name_of).unwrap()
        };
        assert!(of_task("A") == of_task("A") && of_task("A") != of_task("B"));
    }
}
