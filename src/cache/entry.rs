//! What the sealed files hold.

use serde::{Deserialize, Serialize};

use crate::entra::{Account, Token};
use crate::secret::Secret;

/// What is kept for one request. Every time is in seconds since the Unix epoch.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// The token, fresh or stale.
    pub token: Option<Token>,
    /// When it was acquired; a moment in the future means that the clock was set back.
    pub acquired_on: u64,
    /// Whose grant renews it.
    pub account: Option<Account>,
    /// When an early renewal last failed.
    pub renewal_failed_on: Option<u64>,
    /// The last sign-in, if it failed.
    pub sign_in_failure: Option<SignInFailure>,
    /// The way that `auto` took, so that only a change is told.
    pub way: Option<String>,
    /// When something was last looked for in vain.
    pub absent_on: Option<u64>,
}

/// A sign-in that failed or was dismissed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInFailure {
    /// When.
    pub on: u64,
    /// What was told.
    pub what: String,
}

/// A refresh token.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedGrant {
    /// The token.
    pub refresh_token: Secret,
    /// Whose it is.
    pub account: Account,
}
