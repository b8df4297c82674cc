//! What is said of where federated tokens come from.

use std::path::PathBuf;

use crate::error::Error;
use crate::os::env::Env;

use super::FederatedTokenSource;

/// What decides on the source of federated tokens. Whatever was given comes with the flag or variable
/// that gave it, for messages.
pub(crate) struct SourceRequest<'a> {
    /// Where build systems and clusters tell of their tokens.
    pub env: &'a Env,
    /// The source that somebody has named.
    pub named: Option<NamedSource>,
    /// The file with a token.
    pub file: Option<(String, PathBuf)>,
    /// The service connection of an Azure Pipelines job, by its ID.
    pub service_connection: Option<(String, String)>,
    /// For whom tokens are asked: looked up by sources that are asked for one and by no others.
    pub audience: Box<dyn Fn() -> Result<String, Error> + 'a>,
    /// Whether the variables of Terraform's azurerm provider count.
    pub azurerm: bool,
}

/// A source that somebody has named.
pub(crate) struct NamedSource {
    /// Which one.
    pub source: FederatedTokenSource,
    /// The flag or variable that names it.
    pub named_by: String,
    /// Whether the user names it, by hand or in the environment, and not the exec entry alone.
    pub by_user: bool,
}
