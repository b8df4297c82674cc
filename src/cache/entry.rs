//! What the sealed files hold.

use serde::{Deserialize, Serialize};

use crate::entra::{Account, Token};
use crate::error::ErrorKind;
use crate::secret::Secret;

/// What is kept for one request. Every time is in seconds since the Unix epoch.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenEntry {
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
    #[serde(rename = "way")]
    pub auto_method: Option<String>,
    /// When something was last looked for in vain.
    #[serde(rename = "absent_on")]
    pub imds_absent_at: Option<u64>,
    /// The thumbprint of the key that the token is bound to, if it is.
    pub key: Option<String>,
    /// What was asked for, for the report of what is kept.
    pub about: Option<RequestSummary>,
}

/// What a token or a sign-in is for, in the words of the options.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestSummary {
    /// The login method; for `auto` the one that it took.
    pub method: String,
    /// The host of the authority, or of nobody.
    pub cloud: Option<String>,
    /// The tenant.
    pub tenant: Option<String>,
    /// The client application.
    pub client: Option<String>,
    /// The server application.
    pub server: Option<String>,
}

/// A sign-in that failed or was dismissed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignInFailure {
    /// When.
    pub on: u64,
    /// What kind of failure; [`ErrorKind::Other`] where an earlier version has written the entry.
    #[serde(default)]
    pub kind: ErrorKind,
    /// What was told.
    pub what: String,
    /// And what to do about it.
    #[serde(default)]
    pub remedy: String,
}

/// A refresh token.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefreshTokenEntry {
    /// The token.
    pub refresh_token: Secret,
    /// Whose it is.
    pub account: Account,
    /// The cloud whose it is, under one name for all its hosts.
    #[serde(default)]
    pub environment: String,
    /// Whether it may serve every tenant and resource, and not just the request it was made for.
    #[serde(default)]
    pub shared: bool,
    /// When it was last new, in seconds since the epoch.
    #[serde(default)]
    pub renewed_on: u64,
    /// How it came to be.
    #[serde(default)]
    pub about: RequestSummary,
}

/// A key that tokens are bound to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PopKeyEntry {
    pub(super) key: Secret,
}
