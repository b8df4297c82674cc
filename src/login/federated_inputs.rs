//! What the options say of federated tokens.

use crate::error::Error;
use crate::federated::{NamedSource, SourceRequest};
use crate::options::{
    AZURE_PIPELINES_SERVICE_CONNECTION_ID, DISABLE_ENVIRONMENT_OVERRIDE, FEDERATED_AUDIENCE, FEDERATED_TOKEN_FILE,
    FEDERATED_TOKEN_SOURCE, Inputs, Opt, USE_AZURERM_ENV_VARS,
};

use super::token_request::authority;

/// Where `inputs` have federated tokens come from.
///
/// # Errors
/// A source or file that can't be understood.
pub(super) fn source_request<'a>(inputs: &'a Inputs) -> Result<SourceRequest<'a>, Error> {
    let named = given(inputs, &FEDERATED_TOKEN_SOURCE)?.map(|(named_by, source)| NamedSource {
        source,
        named_by,
        by_user: inputs.says_user(&FEDERATED_TOKEN_SOURCE),
    });
    Ok(SourceRequest {
        env: inputs.env,
        named,
        file: given(inputs, &FEDERATED_TOKEN_FILE)?.map(|(named_by, path)| (named_by, path.0)),
        service_connection: given(inputs, &AZURE_PIPELINES_SERVICE_CONNECTION_ID)?,
        audience: Box::new(|| audience(inputs)),
        azurerm: inputs.values.is_on(&USE_AZURERM_ENV_VARS) && !inputs.values.is_on(&DISABLE_ENVIRONMENT_OVERRIDE),
    })
}

/// The value of `option`, after the flag or variable that gave it.
///
/// # Errors
/// A text that does not parse.
pub(super) fn given<T>(inputs: &Inputs, option: &Opt<T>) -> Result<Option<(String, T)>, Error> {
    Ok(inputs.values.source(option).map(ToString::to_string).zip(inputs.values.get(option)?))
}

/// For whom tokens are asked: as given, else what Entra expects in the cloud of the authority.
fn audience(inputs: &Inputs) -> Result<String, Error> {
    match inputs.values.get(&FEDERATED_AUDIENCE)? {
        Some(audience) => Ok(audience),
        None => Ok(authority(inputs)?.federated_audience().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{EXEC, with_inputs};
    use super::*;
    use crate::cache_key::CacheKey;
    use crate::federated::fake::key_of;
    use crate::federated::{AssertionSource, choose};

    const GITHUB: [(&str, &str); 2] =
        [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?x=1"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "rt")];
    const PIPELINES: [(&str, &str); 3] = [
        ("SYSTEM_OIDCREQUESTURI", "https://ado.example/o"),
        ("SYSTEM_ACCESSTOKEN", "at"),
        ("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "SC"),
    ];
    const TERRAFORM: (&str, &str) = ("TFC_WORKLOAD_IDENTITY_TOKEN", "t");
    const FILE: (&str, &str) = ("AZURE_FEDERATED_TOKEN_FILE", "/x");

    /// The source of a workload identity, or the error.
    fn source<const N: usize>(line: &str, env: [(&str, &str); N]) -> Result<Option<Box<dyn AssertionSource>>, String> {
        let chosen = |inputs: &Inputs| choose(&source_request(inputs)?);
        with_inputs(&format!("-l workloadidentity -t T {line}"), env, chosen).map_err(|error| error.to_string())
    }

    fn described<const N: usize>(line: &str, env: [(&str, &str); N]) -> String {
        source(line, env).unwrap().map(|source| source.described()).unwrap_or_default()
    }

    fn key<const N: usize>(line: &str, env: [(&str, &str); N]) -> CacheKey {
        key_of(&*source(line, env).unwrap().expect("a source"))
    }

    #[test]
    fn the_order_of_what_is_recognised() {
        let [url, token] = GITHUB;
        let [uri, access, connection] = PIPELINES;
        assert_eq!(
            described("", [FILE, url, token, uri, access, connection, TERRAFORM]),
            "the file /x (AZURE_FEDERATED_TOKEN_FILE)"
        );
        let typed = "--federated-token-file /y --disable-environment-override";
        assert_eq!(described(typed, [FILE, url, token]), "the file /y (--federated-token-file)");
        assert_eq!(
            described("", [url, token, uri, access, connection, TERRAFORM]),
            "GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)"
        );
        assert_eq!(
            described("", [url, uri, access, connection, TERRAFORM]),
            "the service connection SC of Azure Pipelines (AZURESUBSCRIPTION_SERVICE_CONNECTION_ID)"
        );
        assert_eq!(described("", [uri, access, TERRAFORM]), "the variable TFC_WORKLOAD_IDENTITY_TOKEN");
        let circle = [("CIRCLE_OIDC_TOKEN", "1"), ("CIRCLE_OIDC_TOKEN_V2", "2")];
        assert_eq!(described("", circle), "the variable CIRCLE_OIDC_TOKEN_V2");
        assert_eq!(
            described("", [("BITBUCKET_STEP_OIDC_TOKEN", "t"), circle[0]]),
            "the variable BITBUCKET_STEP_OIDC_TOKEN"
        );
        assert_eq!(described("", [token, uri, connection]), "");
    }

    #[test]
    fn a_named_source_comes_first() {
        let [url, token] = GITHUB;
        assert!(described("--federated-token-source github", [FILE, url, token]).starts_with("GitHub"));
        assert_eq!(described("--federated-token-source env:JWT", [FILE, ("JWT", "t")]), "the variable JWT");
        assert!(described("--federated-token-source file", [url, token, FILE]).starts_with("the file"));
        let by_variable = ("KUBENTRA_FEDERATED_TOKEN_SOURCE", "url:https://meta.example/t?key=canary");
        assert_eq!(described("", [url, token, by_variable]), "the address https://meta.example/t");
    }

    #[test]
    fn azurerm_names_count_where_they_are_asked_for() {
        let token = ("ARM_OIDC_TOKEN", "t");
        let file = ("ARM_OIDC_TOKEN_FILE_PATH", "/f");
        let (url, request) = (("ARM_OIDC_REQUEST_URL", "https://x.example/"), ("ARM_OIDC_REQUEST_TOKEN", "r"));
        let connection = ("ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "SC");
        assert_eq!(described("", [token, file]), "");
        let azurerm = |env: [(&str, &str); 5]| described("--use-azurerm-env-vars", env);
        let unset = ("X", "");
        assert_eq!(azurerm([token, file, url, request, connection]), "the variable ARM_OIDC_TOKEN");
        assert_eq!(azurerm([unset, file, url, request, connection]), "the file /f (ARM_OIDC_TOKEN_FILE_PATH)");
        assert_eq!(
            azurerm([unset, unset, url, request, connection]),
            "the service connection SC of Azure Pipelines (ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID)"
        );
        assert_eq!(azurerm([unset, unset, url, request, unset]), "GitHub Actions (ARM_OIDC_REQUEST_URL)");
        assert_eq!(azurerm([unset, unset, url, GITHUB[0], GITHUB[1]]), "GitHub Actions (ACTIONS_ID_TOKEN_REQUEST_URL)");
        let off = "--use-azurerm-env-vars --disable-environment-override";
        assert_eq!(described(off, [token]), "");
    }

    #[test]
    fn others_are_known_by_what_they_are_asked_with() {
        let known = |line: &str, url: &str, audience: &str| {
            let env = [("ACTIONS_ID_TOKEN_REQUEST_URL", url), GITHUB[1], ("KUBENTRA_FEDERATED_AUDIENCE", audience)];
            key(line, env)
        };
        let usual = || known("", "https://gh.example/1", "");
        assert!(
            usual() == known("--federated-token-source github", "https://gh.example/1", "api://AzureADTokenExchange")
        );
        assert!(usual() != known("", "https://gh.example/2", ""));
        assert!(usual() != known("", "https://gh.example/1", "other"));
        assert!(usual() != known("-e AzureChinaCloud", "https://gh.example/1", ""));
    }

    #[test]
    fn the_audience_is_the_given_one_or_that_of_the_cloud() {
        let audience = |line: &str| {
            with_inputs(&format!("-t T {line}"), [], |inputs| (source_request(inputs).unwrap().audience)().unwrap())
        };
        assert_eq!(audience(""), "api://AzureADTokenExchange");
        assert_eq!(audience("-e AzureUSGovernment"), "api://AzureADTokenExchangeUSGov");
        assert_eq!(audience("-e AzureUSGovernment --federated-audience https://a?b&c"), "https://a?b&c");
    }

    #[test]
    fn only_the_user_names_commands() {
        let by_variable = ("KUBENTRA_FEDERATED_TOKEN_SOURCE", "command:a");
        assert!(source("--federated-token-source command:a", []).is_ok());
        assert!(source("", [EXEC, by_variable]).is_ok());
        assert_eq!(
            source("--federated-token-source command:a", [EXEC]).err().unwrap(),
            "the command `a` is not run: only the kubeconfig names it (--federated-token-source in the exec entry); \
             if you trust it, allow it with KUBENTRA_TRUSTED_COMMANDS=a"
        );
    }
}
