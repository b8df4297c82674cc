//! The names of Terraform's azurerm provider, under `--use-azurerm-env-vars`: a token, a file, or a
//! build system to ask. (registry.terraform.io, azurerm provider, authenticating by OIDC)

use super::azure_pipelines::AzurePipelines;
use super::file::File;
use super::github::GitHub;
use super::variable::Variable;
use super::{DetectedSource, SourceRequest};

const TOKEN: &str = "ARM_OIDC_TOKEN";
pub(super) const FILE: &str = "ARM_OIDC_TOKEN_FILE_PATH";
const REQUEST_URL: &str = "ARM_OIDC_REQUEST_URL";
const REQUEST_TOKEN: &str = "ARM_OIDC_REQUEST_TOKEN";
/// With one of these the address is that of Azure Pipelines, else that of GitHub.
const CONNECTIONS: [&str; 2] = ["ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID", "ARM_OIDC_AZURE_SERVICE_CONNECTION_ID"];

/// What the provider would use.
pub(super) fn found(request: &SourceRequest) -> DetectedSource {
    let env = request.env;
    if !request.azurerm {
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
        None => Ok(Some(Box::new(GitHub::new(REQUEST_URL, url, token, request)?))),
    }
}
