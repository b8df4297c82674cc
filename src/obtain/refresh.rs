//! Renewing without a person: by the refresh token of this request, or of the one person it can mean.

use crate::azure::id::ClientId;
use crate::cache::{RefreshTokenEntry, RequestSummary, Slot};
use crate::cache_key::CacheKey;
use crate::entra::entra_error::EntraError;
use crate::entra::token::{self, TokenError};
use crate::entra::{Account, Session, Token, UserClient};
use crate::error::{Error, listed, one_line};
use crate::os::clock::Deadline;

use super::Attempt;

pub(super) enum Renewal {
    Done(Token),
    /// It could not be tried or was refused for a reason that no sign-in mends.
    Failed(Error),
    /// Only signing in helps; the refusal, where there was something to renew.
    NeedsSignIn(Option<Box<EntraError>>),
}

impl Attempt<'_> {
    /// Renews without a person: by refresh token, or by signing in again where that needs nobody.
    pub(super) async fn renew(&mut self, deadline: Deadline) -> Renewal {
        match self.resolve(deadline).await {
            Ok(None) => {}
            Ok(Some(token)) => return Renewal::Done(token),
            Err(error) => return Renewal::Failed(error),
        }
        let session = self.session(deadline, None);
        let Some(user) = self.login().user_client.clone() else {
            return match self.acquire(&session).await {
                Ok(token) => Renewal::Done(token),
                Err(error) => Renewal::Failed(error),
            };
        };
        let Some((key, grant)) = self.earlier_sign_in(&user) else { return Renewal::NeedsSignIn(None) };
        self.renew_by(&key, &grant, &user, &session).await
    }

    /// The sign-in that this very request was served by before. Where there was none, a sign-in to
    /// another tenant or resource will do, if there is exactly one person whom it can mean: refresh
    /// tokens belong to a person and a client, not to a tenant. Between two it is never guessed.
    fn earlier_sign_in(&mut self, user: &UserClient) -> Option<(CacheKey, RefreshTokenEntry)> {
        let account = match &self.entry.account {
            Some(account) if !self.wants_another() => account.clone(),
            _ => self.only_account(user)?,
        };
        let key = self.refresh_token_key(user, &account);
        let grant = self.cache.refresh_token(&key)?;
        Some((key, grant))
    }

    /// The one account that is signed in with the same client in the same cloud, and that may be meant.
    /// Accounts of the same name are one person's: v1 knows a guest by another id than v2.
    fn only_account(&mut self, user: &UserClient) -> Option<Account> {
        if !user.shared {
            return None;
        }
        let (environment, only) = (user.request.authority.environment(), self.required_account());
        let mut accounts: Vec<Account> = Vec::new();
        for grant in self.cache.refresh_tokens() {
            let same = grant.shared && grant.environment == environment && is_of(&grant.about, &user.client);
            let meant = || only.as_deref().is_none_or(|only| grant.account.has_name(only));
            let silently = || user.request.audience.is_of_clusters() || self.was_signed_in(&grant.account);
            if same && meant() && silently() && !accounts.iter().any(|known| known.has_name(&grant.account.username)) {
                accounts.push(grant.account);
            }
        }
        if accounts.len() > 1 {
            accounts.sort_by(|one, other| one.username.cmp(&other.username));
            let names = listed(accounts.iter().map(|account| one_line(&account.username)).collect());
            let program = self.sys.called_as();
            if !std::mem::replace(&mut self.choice_told, true) {
                self.sys.terminal.note(format!(
                    "note: {names} are signed in; `{program} login --account NAME` picks one for a cluster"
                ));
            }
            return None;
        }
        accounts.pop()
    }

    /// Whether `account` has signed in for the same server application before, in any tenant. For another
    /// one than those of clusters it is asked first: whoever writes a kubeconfig chooses both the server
    /// application and where kubectl sends the token, and a refresh token would serve Azure itself.
    fn was_signed_in(&self, account: &Account) -> bool {
        let server = self.spec.summary().server;
        let login = self.login();
        let client = login.user_client.as_ref().map(|user| &user.client);
        let same = |about: RequestSummary| {
            server.is_some() && about.server == server && client.is_some_and(|client| is_of(&about, client))
        };
        let mut kept = self.cache.slots().into_iter().map(|slot| slot.read());
        kept.any(|kept| kept.account.is_some_and(|known| known.id == account.id) && kept.about.is_some_and(same))
    }

    async fn renew_by(
        &mut self,
        key: &CacheKey,
        grant: &RefreshTokenEntry,
        user: &UserClient,
        session: &Session<'_>,
    ) -> Renewal {
        let first_use = self.entry.account.as_ref().is_none_or(|account| account.id != grant.account.id);
        let mut refusal = match token::refresh(session, user, &grant.refresh_token).await {
            Ok(answer) => {
                let token = self.save(answer, Some(grant));
                if first_use {
                    self.tell_signed_in(&grant.account, &token, true);
                }
                return Renewal::Done(token);
            }
            Err(TokenError::Unreachable(error)) => return Renewal::Failed(error),
            Err(TokenError::Refused(refusal, ahead)) if !refusal.person_can_help() && !first_use => {
                return Renewal::Failed(refusal.explain(ahead));
            }
            Err(TokenError::Refused(refusal, _)) => refusal,
        };
        // Another process may have rotated the token meanwhile, from another cluster's slot.
        match self.cache.refresh_token(key) {
            Some(newer) if newer.refresh_token != grant.refresh_token => {
                match token::refresh(session, user, &newer.refresh_token).await {
                    Ok(answer) => return Renewal::Done(self.save(answer, Some(&newer))),
                    Err(TokenError::Unreachable(error)) => return Renewal::Failed(error),
                    Err(TokenError::Refused(again, _)) => refusal = again,
                }
                if refusal.grant_is_dead() {
                    self.cache.delete_refresh_token(key, &newer.refresh_token);
                }
            }
            _ if refusal.grant_is_dead() => self.cache.delete_refresh_token(key, &grant.refresh_token),
            _ => {}
        }
        self.sys.terminal.detail(1, || format!("the earlier sign-in cannot be renewed: {refusal}"));
        // That a sign-in for another cluster does not serve here is no news, unless something is wanted.
        Renewal::NeedsSignIn(Some(refusal).filter(|refusal| !first_use || refusal.claims.is_some()))
    }

    /// What names the sign-in of `account` in the cache: the same for every tenant and resource, but for
    /// one that may serve this very request only.
    pub(super) fn refresh_token_key(&self, user: &UserClient, account: &Account) -> CacheKey {
        let mut key = CacheKey::new("grant");
        key.field("environment", &user.request.authority.environment());
        key.field("client", user.client.as_str());
        key.field("account", &account.id);
        if !user.shared {
            key.field("place", self.slot.as_ref().map(Slot::name).unwrap_or_default());
        }
        key
    }
}

/// Whether it was for `client`; ids are compared without regard to case, as Entra does.
fn is_of(about: &RequestSummary, client: &ClientId) -> bool {
    about.client.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(client.as_str()))
}
