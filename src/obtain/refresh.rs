//! Renewing without a person: by the refresh token of this request, or of the one person it can mean.

use crate::azure::id::ClientId;
use crate::cache::{RefreshTokenEntry, RequestSummary, Slot, TokenEntry};
use crate::cache_key::CacheKey;
use crate::entra::entra_error::EntraError;
use crate::entra::token::{self, TokenError};
use crate::entra::{Account, Token, UserClient};
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
    pub(super) async fn renew(&self, kept: &TokenEntry, deadline: Deadline) -> Renewal {
        match self.settle(deadline).await {
            Ok(None) => {}
            Ok(Some(token)) => return Renewal::Done(token),
            Err(error) => return Renewal::Failed(error),
        }
        let Some(person) = self.login().user_client() else {
            return match self.acquire(&self.session(deadline, None)).await {
                Ok(token) => Renewal::Done(token),
                Err(error) => Renewal::Failed(error),
            };
        };
        let Some((identity, grant)) = self.earlier_sign_in(person, kept) else { return Renewal::NeedsSignIn(None) };
        self.renew_by(&identity, &grant, person, deadline).await
    }

    /// The sign-in that this very request was served by before. Where there was none, a sign-in to
    /// another tenant or resource will do, if there is exactly one person whom it can mean: refresh
    /// tokens belong to a person and a client, not to a tenant. Between two it is never guessed.
    fn earlier_sign_in(&self, person: UserClient<'_>, kept: &TokenEntry) -> Option<(CacheKey, RefreshTokenEntry)> {
        let account = match &kept.account {
            Some(account) if !self.wants_another_than(kept) => account.clone(),
            _ => self.only_account(person)?,
        };
        let identity = self.grant_identity(person, &account);
        let grant = self.cache.refresh_token(&identity)?;
        Some((identity, grant))
    }

    /// The one account that is signed in with the same client in the same cloud, and that may be meant.
    /// Accounts of the same name are one person's: v1 knows a guest by another id than v2.
    fn only_account(&self, person: UserClient<'_>) -> Option<Account> {
        if !person.shared {
            return None;
        }
        let (environment, only) = (person.request.authority.environment(), self.only());
        let mut accounts: Vec<Account> = Vec::new();
        for grant in self.cache.refresh_tokens() {
            let same = grant.shared && grant.environment == environment && is_of(&grant.about, person.client);
            let meant = || only.as_deref().is_none_or(|only| grant.account.has_name(only));
            let silently = || person.request.audience.is_of_clusters() || self.was_signed_in(&grant.account);
            if same && meant() && silently() && !accounts.iter().any(|known| known.has_name(&grant.account.username)) {
                accounts.push(grant.account);
            }
        }
        if accounts.len() > 1 {
            accounts.sort_by(|one, other| one.username.cmp(&other.username));
            let names = listed(accounts.iter().map(|account| one_line(&account.username)).collect());
            let program = self.sys.called_as();
            if !self.choice_told.replace(true) {
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
        let own = self.spec.summary();
        let client = self.login().user_client().map(|person| person.client);
        let same = |about: RequestSummary| {
            about.server.is_some() && about.server == own.server && client.is_some_and(|client| is_of(&about, client))
        };
        let mut kept = self.cache.slots().into_iter().map(|slot| slot.read());
        kept.any(|kept| kept.account.is_some_and(|known| known.id == account.id) && kept.about.is_some_and(same))
    }

    async fn renew_by(
        &self,
        identity: &CacheKey,
        grant: &RefreshTokenEntry,
        person: UserClient<'_>,
        deadline: Deadline,
    ) -> Renewal {
        let session = self.session(deadline, None);
        let first_use = self.read().account.is_none_or(|account| account.id != grant.account.id);
        let mut refusal = match token::refresh(&session, person, &grant.refresh_token).await {
            Ok(answer) => {
                let token = self.keep(answer, Some(grant));
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
        match self.cache.refresh_token(identity) {
            Some(newer) if newer.refresh_token != grant.refresh_token => {
                match token::refresh(&session, person, &newer.refresh_token).await {
                    Ok(answer) => return Renewal::Done(self.keep(answer, Some(&newer))),
                    Err(TokenError::Unreachable(error)) => return Renewal::Failed(error),
                    Err(TokenError::Refused(again, _)) => refusal = again,
                }
                if refusal.grant_is_dead() {
                    self.cache.delete_refresh_token(identity, &newer.refresh_token);
                }
            }
            _ if refusal.grant_is_dead() => self.cache.delete_refresh_token(identity, &grant.refresh_token),
            _ => {}
        }
        self.sys.terminal.detail(1, || format!("the earlier sign-in cannot be renewed: {refusal}"));
        // That a sign-in for another cluster does not serve here is no news, unless something is wanted.
        Renewal::NeedsSignIn(Some(refusal).filter(|refusal| !first_use || refusal.claims.is_some()))
    }

    /// What names the sign-in of `account` in the cache: the same for every tenant and resource, but for
    /// one that may serve this very request only.
    pub(super) fn grant_identity(&self, person: UserClient<'_>, account: &Account) -> CacheKey {
        let mut identity = CacheKey::new("grant");
        identity.field("environment", &person.request.authority.environment());
        identity.field("client", person.client.as_str());
        identity.field("account", &account.id);
        if !person.shared {
            identity.field("place", self.slot.as_ref().map(Slot::name).unwrap_or_default());
        }
        identity
    }
}

/// Whether it was for `client`; ids are compared without regard to case, as Entra does.
fn is_of(about: &RequestSummary, client: &ClientId) -> bool {
    about.client.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(client.as_str()))
}
