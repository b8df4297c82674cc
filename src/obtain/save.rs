//! Keeping what was granted, and the key that tokens are bound to.

use std::rc::Rc;

use crate::cache::{RefreshTokenEntry, RequestSummary, Slot, TokenEntry};
use crate::entra::pop::{PopKey, TokenBinding};
use crate::entra::{Account, Token, TokenResponse};
use crate::error::Error;

use super::Attempt;

impl Attempt<'_> {
    /// Keeps what was granted, the refresh token before the entry: a process that dies in between has lost
    /// the token, and what only the entry leads to: the refresh token of somebody without a name. What renews `renewed` belongs to the same account, whatever the answer calls it: in
    /// another tenant, or on v1, a guest has another id.
    pub(super) fn save(&mut self, answer: TokenResponse, renewed: Option<&RefreshTokenEntry>) -> Token {
        let TokenResponse { token, refresh_token, account } = answer;
        let token = token.bounded(self.now());
        let account = renewed.map(|renewed| renewed.account.clone()).or(account);
        let account = account.or_else(|| refresh_token.as_ref().map(|_| self.nameless()));
        let login = self.login();
        if let (Some(user), Some(account), Some(refresh_token)) = (&login.user_client, &account, refresh_token) {
            let saved = RefreshTokenEntry {
                refresh_token,
                account: account.clone(),
                environment: user.request.authority.environment(),
                shared: user.shared && !is_nameless(account),
                renewed_on: self.now(),
                about: self.summary(),
            };
            let exchanged = renewed.map(|renewed| &renewed.refresh_token);
            self.cache.save_refresh_token(self.sys, &self.refresh_token_key(user, account), &saved, exchanged);
        }
        let entry = TokenEntry {
            token: Some(token.clone()),
            acquired_on: self.now(),
            account,
            renewal_failed_on: None,
            sign_in_failure: None,
            auto_method: self.resolved.as_ref().map(|resolved| resolved.method.to_owned()),
            imds_absent_at: None,
            key: self.key.as_ref().map(|key| key.kid().to_owned()),
            about: Some(self.summary()),
        };
        self.entry = entry;
        self.write();
        token
    }

    /// What was asked for, and how it was had.
    pub(super) fn summary(&self) -> RequestSummary {
        let summary = self.spec.summary();
        match &self.resolved {
            Some(resolved) => RequestSummary {
                method: resolved.method.into(),
                cloud: resolved.login.request.as_ref().map(|request| request.authority.environment()),
                ..summary
            },
            None => summary,
        }
    }

    /// Stands for an account that no answer names. It may be anybody, so its refresh token serves this very
    /// request and no other.
    fn nameless(&self) -> Account {
        let place = self.slot.as_ref().map(Slot::name).unwrap_or_default();
        Account { id: format!("{NAMELESS}{place}"), username: "unknown".into(), aliases: Vec::new() }
    }

    /// Makes the key that the next token shall be bound to, where this place has none. Under the lock, so that
    /// two first calls do not make two.
    pub(super) fn prepare_key(&mut self) -> Result<(), Error> {
        if *self.spec.login.binding() == TokenBinding::Bearer || self.key.is_some() {
            return Ok(());
        }
        let key = PopKey::generate()?;
        if let Some(slot) = self.slot.as_ref().filter(|_| self.login().cacheable) {
            slot.save_pop_key(self.sys, &key);
        }
        self.key = Some(Rc::new(key));
        Ok(())
    }
}

/// What the id of an account begins with that no answer names.
const NAMELESS: &str = "unknown, of ";

pub(super) fn is_nameless(account: &Account) -> bool {
    account.id.starts_with(NAMELESS)
}
