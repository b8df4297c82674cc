//! How a command ends that could do its work.

use crate::error::Error;
use crate::secret::Secret;

/// How a command ended that could do its work.
#[derive(Debug)]
pub struct Outcome {
    /// What stdout shall say.
    pub stdout: Secret,
    /// What the work has found to be wrong: it is told, and the exit code says so.
    pub problem: Option<Error>,
}

impl Outcome {
    /// Nothing for stdout: what there was to say went to stderr.
    pub fn silent() -> Self {
        Secret::new("").into()
    }
}

impl From<Secret> for Outcome {
    fn from(stdout: Secret) -> Self {
        Self { stdout, problem: None }
    }
}
