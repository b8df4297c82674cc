//! Keeping what was granted, and the key that tokens are bound to.

use std::rc::Rc;

use crate::cache::{RefreshTokenEntry, RequestSummary, Slot, TokenEntry};
use crate::entra::pop::{PopKey, TokenBinding};
use crate::entra::{Account, Token, TokenResponse};
use crate::error::Error;

use super::{Attempt, read};

impl Attempt<'_> {
    /// Keeps what was granted. The refresh token comes before the token, and the account that leads
    /// to it before both: a process that dies in between has lost at most the token. What renews `renewed`
    /// belongs to the same account, whatever the answer calls it: in another tenant, or on v1, a guest
    /// has another id.
    pub(super) fn keep(&self, grant: TokenResponse, renewed: Option<&RefreshTokenEntry>) -> Token {
        let account = renewed.map(|renewed| renewed.account.clone()).or(grant.account);
        let account = account.or_else(|| grant.refresh_token.as_ref().map(|_| self.nameless()));
        if let (Some(person), Some(account), Some(refresh_token)) =
            (self.login().user_client(), &account, grant.refresh_token)
        {
            let kept = self.read();
            if kept.account.as_ref() != Some(account) {
                self.write(&TokenEntry { account: Some(account.clone()), token: None, ..kept });
            }
            let saved = RefreshTokenEntry {
                refresh_token,
                account: account.clone(),
                environment: person.request.authority.environment(),
                shared: person.shared && !is_nameless(account),
                renewed_on: self.now(),
                about: self.about(),
            };
            let exchanged = renewed.map(|renewed| &renewed.refresh_token);
            self.cache.save_refresh_token(self.sys, &self.grant_identity(person, account), &saved, exchanged);
        }
        self.write(&TokenEntry {
            token: Some(grant.token.clone()),
            acquired_on: self.now(),
            account,
            renewal_failed_on: None,
            sign_in_failure: None,
            auto_method: self.settled.get().map(|settled| settled.method.to_owned()),
            imds_absent_at: None,
            key: self.key.borrow().as_ref().map(|key| key.kid().to_owned()),
            about: Some(self.about()),
        });
        grant.token
    }

    /// What was asked for, and how it was had.
    pub(super) fn about(&self) -> RequestSummary {
        let about = self.spec.summary();
        match self.settled.get() {
            Some(settled) => RequestSummary {
                method: settled.method.into(),
                cloud: settled.login.request().map(|request| request.authority.environment()),
                ..about
            },
            None => about,
        }
    }

    /// Stands for an account that no answer names. It may be anybody, so its grant serves this very
    /// request and no other.
    fn nameless(&self) -> Account {
        let place = self.slot.as_ref().map(Slot::name).unwrap_or_default();
        Account { id: format!("{NAMELESS}{place}"), username: "unknown".into(), aliases: Vec::new() }
    }

    /// The key that the next token shall be bound to: the one of this place, else a new one. Made under
    /// the lock, so that two first calls do not make two.
    pub(super) fn prepare_key(&self) -> Result<(), Error> {
        if *self.spec.login.binding() == TokenBinding::Bearer || self.key.borrow().is_some() {
            return Ok(());
        }
        let known = self.slot.as_ref().and_then(Slot::pop_key);
        let key = if let Some(key) = known { key } else { self.new_key()? };
        self.key.replace(Some(Rc::new(key)));
        Ok(())
    }

    fn new_key(&self) -> Result<PopKey, Error> {
        let key = PopKey::generate()?;
        if let Some(slot) = self.slot.as_ref().filter(|_| self.login().cacheable()) {
            slot.save_pop_key(self.sys, &key);
        }
        Ok(key)
    }

    /// The key that the token in hand is bound to, be it ours or that of the process we waited for.
    pub(super) fn key_of_token(&self) -> Option<Rc<PopKey>> {
        let slot = self.slot.as_ref();
        self.key.borrow().clone().or_else(|| read(slot?, self.spec.login.binding()).1)
    }
}

/// What the id of an account begins with that no answer names.
const NAMELESS: &str = "unknown, of ";

pub(super) fn is_nameless(account: &Account) -> bool {
    account.id.starts_with(NAMELESS)
}
