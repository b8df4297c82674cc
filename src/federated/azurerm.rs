//! The names of Terraform's azurerm provider, under `--use-azurerm-env-vars`: a token, a file, or a
//! build system to ask. (registry.terraform.io, azurerm provider, authenticating by OIDC)

use crate::options::{DISABLE_ENVIRONMENT_OVERRIDE, Inputs, USE_AZURERM_ENV_VARS};

use super::DetectedSource;
use super::azure_pipelines::AzurePipelines;
use super::file::File;
use super::github::GitHub;
use super::variable::Variable;

const TOKEN: &str = "ARM_OIDC_TOKEN";
pub(super) const FILE: &str = "ARM_OIDC_TOKEN_FILE_PATH";
const REQUEST_URL: &str = "ARM_OIDC_REQUEST_URL";
const REQUEST_TOKEN: &str = "ARM_OIDC_REQUEST_TOKEN";
/// With one of these the address is that of Azure Pipelines, else that of GitHub.
const CONNECTIONS: [&str; 2] = ["ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "ARM_OIDC_AZURE_SERVICE_CONNECTION_ID"];

/// Whether these names are looked at.
pub(super) fn counts(choices: &Inputs) -> bool {
    choices.values.is_on(&USE_AZURERM_ENV_VARS) && !choices.values.is_on(&DISABLE_ENVIRONMENT_OVERRIDE)
}

/// What the provider would use.
pub(super) fn found(choices: &Inputs) -> DetectedSource {
    let env = choices.env;
    if !counts(choices) {
        return Ok(None);
    }
    if let Some(token) = env.get(TOKEN) {
        return Ok(Some(Variable::source(TOKEN, token)));
    }
    if let Some(path) = env.get(FILE) {
        return Ok(Some(Box::new(File::new(path.into(), FILE))));
    }
    let Some((url, token)) = env.get(REQUEST_URL).zip(env.get(REQUEST_TOKEN)) else { return Ok(None) };
    match env.first(&CONNECTIONS) {
        Some(connection) => {
            Ok(Some(Box::new(AzurePipelines::new((REQUEST_URL, url), (REQUEST_TOKEN, Some(token)), connection)?)))
        }
        None => Ok(Some(Box::new(GitHub::new(REQUEST_URL, url, token, choices)?))),
    }
}
