//! How a token is had: from the cache, by waiting for whoever is fetching it, by renewing an
//! earlier sign-in, or by signing in.
//!
//! ```text
//! read without lock ── fresh? ─────────────────────────────────→ done
//!       │ not fresh
//! lock, read again ─── fresh now? ─────────────────────────────→ done
//!       ├─ a refresh token? → renew → write ───────────────────→ done
//!       ├─ needs a person and none can answer → error with the fix
//!       └─ sign in → write ────────────────────────────────────→ done
//! ```

#[cfg(test)]
mod key_store_tests;
mod lock_wait;
mod prompt;
mod refresh;
mod save;

use std::rc::Rc;
use std::time::Duration;

use crate::cache::{Cache, SignInFailure, Slot, TokenEntry, TryLock};
use crate::entra::pop::{PopKey, TokenBinding};
use crate::entra::{Account, Session, Token};
use crate::error::{Error, ErrorKind};
use crate::login::{Login, Resolved, Spec, TokenSource};
use crate::os::clock::{Deadline, was_within};
use crate::os::runtime;
use crate::sys::Sys;
use crate::terminal::SignedIn;

use lock_wait::LockOutcome;
use refresh::Renewal;
use save::is_nameless;

/// kubectl uses a token until its very last second, so one with less than this is not given out
/// of the cache.
const MIN_VALIDITY: u64 = 300;
/// A token with this much left still serves when it can't be renewed.
const LAST_RESORT_VALIDITY: u64 = 60;
/// An early renewal may take this long, and no longer: the token in hand still works (D5).
const EARLY_RENEWAL: Duration = Duration::from_secs(3);
/// After a failed early renewal the next one waits this long, in seconds (D5).
const EARLY_RENEWAL_PAUSE: u64 = 60;
/// What failed less than this ago, in seconds, may have failed for the same command: when the plugin
/// fails, kubectl starts it five times more.
const JUST_NOW: u64 = 60;

/// What a kept token is good for.
#[derive(Debug, PartialEq, Eq)]
enum Freshness {
    Fresh,
    /// Good, and it is time to renew it.
    Due,
    Stale,
}

fn freshness(entry: &TokenEntry, now: u64) -> Freshness {
    let Some(token) = &entry.token else { return Freshness::Stale };
    let clock_was_set_back = entry.acquired_on > now.saturating_add(MIN_VALIDITY);
    if clock_was_set_back || token.left(now) <= MIN_VALIDITY {
        return Freshness::Stale;
    }
    if token.refresh_on.is_some_and(|due| due <= now) { Freshness::Due } else { Freshness::Fresh }
}

/// The token that `spec` asks for, as kubectl shall send it.
///
/// # Errors
/// Whatever kept it from being had; the cache is whole in any case.
pub(crate) fn token(sys: &Sys, spec: &Spec) -> Result<Token, Error> {
    let mut cache = Cache::open(&spec.location);
    if let Some(usable) = cache.slot(&spec.login.key).and_then(|slot| fresh(&slot, spec, sys.clock.now())) {
        sys.terminal.detail(1, || "the token comes from the cache".into());
        return usable.for_kubectl(sys, spec);
    }
    obtain(sys, spec, &mut cache, Caller::Kubectl)?.for_kubectl(sys, spec)
}

/// Signs in for what `spec` asks, ahead of kubectl and as `who`, if somebody is named. A sign-in that
/// has failed lately is no reason to wait.
///
/// # Errors
/// As [`token()`].
pub(crate) fn sign_in(sys: &Sys, spec: &Spec, who: Option<&str>) -> Result<SignIn, Error> {
    let mut cache = Cache::open(&spec.location);
    let is_meant = |account: &Option<Account>| who.is_none_or(|who| account.as_ref().is_some_and(|a| a.has_name(who)));
    let before = cache.slot(&spec.login.key).and_then(|slot| fresh(&slot, spec, sys.clock.now()));
    if let Some(usable) = before.filter(|usable| is_meant(&usable.account)) {
        let expires_on = usable.token.expires_on;
        return Ok(SignIn { how: SignInOutcome::Before, account: usable.account, expires_on });
    }
    let usable = obtain(sys, spec, &mut cache, Caller::Login(who))?;
    let how = if usable.told { SignInOutcome::Told } else { SignInOutcome::Quietly };
    Ok(SignIn { how, account: usable.account, expires_on: usable.token.expires_on })
}

/// How a sign-in by hand ended well.
pub(crate) struct SignIn {
    /// What it took.
    pub how: SignInOutcome,
    /// The person, where it is one.
    pub account: Option<Account>,
    /// The end of the token, in seconds since the epoch.
    pub expires_on: u64,
}

/// What a sign-in by hand took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignInOutcome {
    /// Nothing: a fresh token was there.
    Before,
    /// A token was had without a person, and nothing was said.
    Quietly,
    /// Somebody has signed in, or was found to be signed in, and that was told.
    Told,
}

/// For what a token is had.
#[derive(Clone, Copy)]
enum Caller<'a> {
    /// kubectl waits for it.
    Kubectl,
    /// A person wants to be signed in, perhaps as this one.
    Login(Option<&'a str>),
}

/// A token with the key that it is bound to.
struct TokenWithKey {
    token: Token,
    key: Option<Rc<PopKey>>,
    /// Who has signed in for it, where that was a person.
    account: Option<Account>,
    /// Whether it was told who has signed in.
    told: bool,
}

impl TokenWithKey {
    /// The token as the API server wants it. One that is bound to a key is signed anew at every call: the
    /// server believes a signature for 15 minutes at most, so kubectl is told to come back before that.
    fn for_kubectl(self, sys: &Sys, spec: &Spec) -> Result<Token, Error> {
        let TokenBinding::Pop(host) = spec.login.binding() else { return Ok(self.token) };
        let gone = || Error::new(ErrorKind::Key, "the key of the token has just been removed by another process");
        let key = self.key.as_ref().ok_or_else(gone)?;
        let now = sys.clock.now();
        let end = now.saturating_add(spec.pop_lifetime.as_secs());
        let signed = key.sign(&self.token.access_token, host, now)?;
        Ok(Token { access_token: signed, expires_on: end.min(self.token.expires_on), refresh_on: None })
    }
}

fn obtain(sys: &Sys, spec: &Spec, cache: &mut Cache, caller: Caller<'_>) -> Result<TokenWithKey, Error> {
    // Before the cache's directory is made: a request that must not be sent leaves no trace.
    check_secret_allowed(&spec.login)?;
    runtime::block_on(async {
        cache.create(sys);
        let after = |time| Deadline::after(&*sys.clock, time);
        let machine = (!spec.login.may_prompt()).then(|| spec.login.default_timeout);
        let overall = spec.timeout.as_ref().map(|(time, _)| *time).or(machine).map(after);
        let slot = cache.slot(&spec.login.key);
        let mut attempt = Attempt {
            sys,
            spec,
            caller,
            cache,
            slot,
            overall,
            entry: TokenEntry::default(),
            key: None,
            resolved: None,
            told: false,
            choice_told: false,
        };
        let token = attempt.run().await?;
        Ok(TokenWithKey { token, key: attempt.key, account: attempt.entry.account, told: attempt.told })
    })
}

/// Whether the login's proof may go where it is asked for.
fn check_secret_allowed(login: &Login) -> Result<(), Error> {
    let request = login.request.as_ref();
    request.map_or(Ok(()), |request| request.authority.check_secret_allowed(login.secret_in_entry))
}

fn fresh(slot: &Slot, spec: &Spec, now: u64) -> Option<TokenWithKey> {
    let (entry, key) = read(slot, spec.login.binding());
    if freshness(&entry, now) != Freshness::Fresh {
        return None;
    }
    entry.token.map(|token| TokenWithKey { token, key, account: entry.account, told: false })
}

/// What is kept, and the key for it. A token that is bound to another key than the one that is there
/// is none: losing the key costs one request, not the sign-in.
fn read(slot: &Slot, binding: &TokenBinding) -> (TokenEntry, Option<Rc<PopKey>>) {
    let mut kept = slot.read();
    if *binding == TokenBinding::Bearer {
        return (kept, None);
    }
    let key = slot.pop_key().map(Rc::new);
    if key.as_ref().map(|key| key.kid()) != kept.key.as_deref() {
        kept.token = None;
    }
    (kept, key)
}

/// One token that is had, with all that is known on the way.
struct Attempt<'a> {
    sys: &'a Sys,
    spec: &'a Spec,
    caller: Caller<'a>,
    cache: &'a Cache,
    slot: Option<Slot<'a>>,
    /// What bounds everything that follows, together: an explicit `--timeout`, or a machine's own
    /// limit; a person's time begins when it is their turn (D3).
    overall: Option<Deadline>,
    /// What is kept for the request: as it was read before the lock, then once under it.
    entry: TokenEntry,
    /// The key that tokens are bound to, where they are and there is one.
    key: Option<Rc<PopKey>>,
    /// What `auto` has resolved to.
    resolved: Option<Resolved>,
    /// Whether it was told who has signed in.
    told: bool,
    /// Whether it was told that several people are signed in.
    choice_told: bool,
}

impl Attempt<'_> {
    async fn run(&mut self) -> Result<Token, Error> {
        self.load();
        let freshness = freshness(&self.entry, self.now());
        match (freshness, self.entry.token.clone()) {
            _ if self.wants_another() => self.renew_or_sign_in_under_lock().await,
            (Freshness::Fresh, Some(token)) => Ok(token),
            (Freshness::Due, Some(token)) => Ok(self.renew_early(token).await),
            _ => self.renew_or_sign_in().await,
        }
    }

    /// Reads what is kept, and the key for it.
    fn load(&mut self) {
        if let Some(slot) = &self.slot {
            (self.entry, self.key) = read(slot, self.spec.login.binding());
        }
    }

    /// Nobody waits for this: whoever finds the lock taken or the network slow uses what there is.
    async fn renew_early(&mut self, current: Token) -> Token {
        let Some(TryLock::Held(_held)) = self.slot.as_ref().map(Slot::try_lock) else { return current };
        self.load();
        let failed_lately =
            self.entry.renewal_failed_on.is_some_and(|on| was_within(EARLY_RENEWAL_PAUSE, on, self.now()));
        if freshness(&self.entry, self.now()) != Freshness::Due || failed_lately {
            return self.entry.token.clone().unwrap_or(current);
        }
        if self.prepare_key().is_err() {
            return current;
        }
        let (sys, clock) = (self.sys, &*self.sys.clock);
        let deadline = Deadline::after(clock, EARLY_RENEWAL);
        let outcome = tokio::select! {
            outcome = self.renew(deadline) => outcome,
            () = clock.sleep(EARLY_RENEWAL) => Renewal::Failed(Error::new(ErrorKind::Deadline, "no answer in 3 s")),
        };
        let error = match outcome {
            Renewal::Done(token) => return token,
            Renewal::Failed(error) => error,
            Renewal::NeedsSignIn(_) => Error::new(ErrorKind::GrantEnded, ErrorKind::GrantEnded.meaning()),
        };
        sys.terminal.detail(1, || format!("the token was not renewed early: {error}"));
        let renewal_failed_on = Some(self.now());
        self.note(|entry| entry.renewal_failed_on = renewal_failed_on);
        current
    }

    async fn renew_or_sign_in(&mut self) -> Result<Token, Error> {
        match self.renew_or_sign_in_under_lock().await {
            Ok(token) => Ok(token),
            Err(error) => self.last_resort(error),
        }
    }

    async fn renew_or_sign_in_under_lock(&mut self) -> Result<Token, Error> {
        let may_prompt = self.spec.login.may_prompt();
        let deadline = if may_prompt { self.human_deadline() } else { self.machine_deadline() };
        let before = self.entry.sign_in_failure.clone();
        let (_held, waited) = match self.wait_for_lock(deadline).await? {
            LockOutcome::Acquired { held, waited } => (held, waited),
            LockOutcome::Served(token) => return Ok(token),
        };
        if let Some(failure) = failed_meanwhile(before.as_ref(), &self.entry).filter(|_| waited && !may_prompt) {
            return Err(failed_for_another(failure));
        }
        self.prepare_key()?;
        let resolved = self.resolve(self.machine_deadline()).await;
        if let Some(token) = resolved.inspect_err(|error| self.note_sign_in_failure(error))? {
            return Ok(token);
        }
        let login = self.login();
        if login.user_client.is_none() {
            return self.machine_signs_in().await;
        }
        match self.renew(self.machine_deadline()).await {
            Renewal::Done(token) => Ok(token),
            Renewal::Failed(error) => Err(error),
            Renewal::NeedsSignIn(_) if login.prompt.is_none() => self.machine_signs_in().await,
            Renewal::NeedsSignIn(refusal) => self.person_signs_in(refusal).await,
        }
    }

    /// The login, as far as `auto` has resolved to one.
    fn login(&self) -> Rc<Login> {
        self.resolved.as_ref().map_or(&self.spec.login, |resolved| &resolved.login).clone()
    }

    /// Lets `auto` take a method. Looking around may have brought the token already.
    async fn resolve(&mut self, deadline: Deadline) -> Result<Option<Token>, Error> {
        let login = self.spec.login.clone();
        let TokenSource::Auto(auto) = &login.source else { return Ok(None) };
        if self.resolved.is_some() {
            return Ok(None);
        }
        let session = self.session(deadline, None);
        let mut resolved = auto.resolve(&session, self.cache, self.entry.auto_method.as_deref()).await?;
        check_secret_allowed(&resolved.login)?;
        let answer = resolved.grant.take();
        self.resolved = Some(resolved);
        Ok(answer.map(|answer| {
            self.announce();
            self.save(answer, None)
        }))
    }

    /// Says which method was taken, when that one signs in and is another than before.
    fn announce(&self) {
        let Some(resolved) = &self.resolved else { return };
        if self.entry.auto_method.as_deref() != Some(resolved.method) {
            self.sys.terminal.note(&resolved.reason);
        }
    }

    async fn machine_signs_in(&mut self) -> Result<Token, Error> {
        let session = self.session(self.machine_deadline(), None);
        let outcome = self.acquire(&session).await;
        // That nothing was tried is no new failure.
        if let Some(error) = outcome.as_ref().err().filter(|error| error.kind() != ErrorKind::SignInJustFailed) {
            self.note_sign_in_failure(error);
        }
        outcome
    }

    /// Whatever fails makes nothing worse: what is still valid is still given out, unless Entra
    /// itself has refused.
    fn last_resort(&self, error: Error) -> Result<Token, Error> {
        let now = self.now();
        let usable = |token: &&Token| token.left(now) > LAST_RESORT_VALIDITY && self.entry.acquired_on <= now;
        let token = self.entry.token.as_ref().filter(usable).filter(|_| error.token_serves());
        let Some(token) = token else { return Err(error) };
        self.sys.terminal.detail(1, || format!("the token could not be renewed, it is used to its end: {error}"));
        Ok(token.clone())
    }

    async fn acquire(&mut self, session: &Session<'_>) -> Result<Token, Error> {
        self.announce();
        let answer = self.login().acquire(session).await?;
        session.check_account(&answer)?;
        let (account, renews) = (answer.account.clone(), answer.refresh_token.is_some());
        let token = self.save(answer, None);
        if let Some(account) = account {
            self.tell_signed_in(&account, &token, renews);
        }
        Ok(token)
    }

    fn tell_signed_in(&mut self, account: &Account, token: &Token, renews: bool) {
        self.told = true;
        let login = self.login();
        let request = login.request.as_ref();
        let tenant = request.map(|request| request.authority.tenant_of(Some(account))).unwrap_or_default();
        let told = SignedIn { username: &account.username, tenant, expires_on: token.expires_on, renews };
        self.sys.terminal.note(told.line(self.now()));
    }

    /// Notes a failure in the entry as it is now: somebody may have signed out meanwhile, or in by hand, which
    /// does not wait for long.
    fn note(&mut self, change: impl FnOnce(&mut TokenEntry)) {
        if let Some(slot) = &self.slot {
            self.entry = slot.read();
        }
        change(&mut self.entry);
        self.write();
    }

    /// Keeps the entry.
    fn write(&self) {
        if let Some(slot) = self.slot.as_ref().filter(|_| self.login().cacheable) {
            slot.write(self.sys, &self.entry);
        }
    }

    fn now(&self) -> u64 {
        self.sys.clock.now()
    }

    fn machine_deadline(&self) -> Deadline {
        self.overall.unwrap_or_else(|| Deadline::after(&*self.sys.clock, self.login().default_timeout))
    }

    fn human_deadline(&self) -> Deadline {
        self.overall.unwrap_or_else(|| Deadline::after(&*self.sys.clock, self.spec.login_timeout))
    }
}

impl<'a> Attempt<'a> {
    fn session(&self, deadline: Deadline, claims: Option<String>) -> Session<'a> {
        let just_now = |failure: &&SignInFailure| was_within(JUST_NOW, failure.on, self.now());
        let failure = self.entry.sign_in_failure.as_ref().filter(just_now);
        let required = self.required_account();
        let before = self.entry.account.as_ref().filter(|account| !is_nameless(account) && !account.is_unnamed());
        Session {
            timeout_option: self.spec.timeout_option(),
            claims,
            recent_failure: failure.map(|failure| (failure.kind, failure.what.clone())),
            hint: required.clone().or(before.map(|account| account.username.clone())),
            required_account: required,
            login_command: self.spec.login_command(self.sys.called_as()),
            key: self.key.clone(),
            ..Session::new(self.sys, deadline)
        }
    }
}

/// What has failed for another process since `before`: whoever waited for it does not repeat it,
/// whoever comes later tries anew.
fn failed_meanwhile<'k>(before: Option<&SignInFailure>, now: &'k TokenEntry) -> Option<&'k SignInFailure> {
    now.sign_in_failure.as_ref().filter(|failure| before != Some(failure))
}

fn failed_for_another(failure: &SignInFailure) -> Error {
    let what = format!("the same sign-in has just failed in another process: {}", failure.what);
    Error::new(ErrorKind::SignInJustFailed, what).after(Some(failure.kind)).remedy(failure.remedy.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn kept(expires_on: u64, refresh_on: Option<u64>, acquired_on: u64) -> TokenEntry {
        let token = Token { access_token: Secret::new("t"), expires_on, refresh_on };
        TokenEntry { token: Some(token), acquired_on, ..TokenEntry::default() }
    }

    #[test]
    fn what_a_kept_token_is_good_for() {
        let now = 10_000;
        assert_eq!(freshness(&TokenEntry::default(), now), Freshness::Stale);
        assert_eq!(freshness(&kept(now + 301, None, now), now), Freshness::Fresh);
        assert_eq!(freshness(&kept(now + 300, None, now), now), Freshness::Stale);
        assert_eq!(freshness(&kept(now + 3000, Some(now), now), now), Freshness::Due);
        assert_eq!(freshness(&kept(now + 3000, Some(now + 1), now), now), Freshness::Fresh);
        assert_eq!(freshness(&kept(now + 90_000, None, now + 80_000), now), Freshness::Stale, "the clock was set back");
    }
}
