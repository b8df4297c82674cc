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

use std::cell::{Cell, OnceCell};
use std::time::Duration;

use crate::cache::{Cache, Held, Identity, Kept, Lock, SavedGrant, SignInFailure, Slot};
use crate::entra::token::{self, Failure};
use crate::entra::{Account, Grant, Person, Session, Token};
use crate::error::{Error, io_words};
use crate::login::{Login, Settled, Spec};
use crate::situation;
use crate::sys::{Deadline, Sys};
use crate::terminal::nobody_sees;

/// kubectl uses a token until its very last second, so one with less than this is not given out
/// of the cache.
const SPARE: u64 = 300;
/// A token with this much left still serves when it can't be renewed.
const LAST_RESORT: u64 = 60;
/// An early renewal may take this long, and no longer: the token in hand still works (D5).
const EARLY_RENEWAL: Duration = Duration::from_secs(3);
/// After a failed early renewal the next one waits this long, in seconds (D5).
const EARLY_RENEWAL_PAUSE: u64 = 60;
/// After a failed sign-in nobody is asked again for this long, in seconds: one `kubectl get` may
/// start a plugin seven times.
const SIGN_IN_PAUSE: u64 = 30;
/// What failed less than this ago, in seconds, may have failed for the same command: when the plugin
/// fails, kubectl starts it five times more.
const JUST_NOW: u64 = 60;
/// How often a waiting process looks whether the token is there.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// A wait beyond this is told.
const SILENT_WAIT: Duration = Duration::from_secs(1);

/// What a kept token is good for.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Fresh,
    /// Good, and it is time to renew it.
    Due,
    Stale,
}

fn state(kept: &Kept, now: u64) -> State {
    let Some(token) = &kept.token else { return State::Stale };
    let clock_was_set_back = kept.acquired_on > now.saturating_add(SPARE);
    if clock_was_set_back || token.left(now) <= SPARE {
        return State::Stale;
    }
    if token.refresh_on.is_some_and(|due| due <= now) { State::Due } else { State::Fresh }
}

/// The token that `spec` asks for.
///
/// # Errors
/// Whatever kept it from being had; the cache is whole in any case.
pub fn token(sys: &Sys, spec: &Spec) -> Result<Token, Error> {
    let mut cache = Cache::open(spec.storage, spec.cache_dir.clone());
    let identity = spec.identity();
    if let Some(token) = cache.slot(&identity).and_then(|slot| fresh(&slot, sys.clock.now())) {
        sys.terminal.detail(1, || "the token comes from the cache".into());
        return Ok(token);
    }
    // Before the cache's directory is made: a request that must not be sent leaves no trace.
    admit(&*spec.login)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
        Error::new(&situation::FILE, format!("the process could not be set up: {}", io_words(&error)))
            .remedy("try again")
    })?;
    let outcome = runtime.block_on(until_interrupted(async {
        cache.create(sys);
        let after = |time| Deadline::after(&*sys.clock, time);
        let machine = (!spec.login.may_need_person()).then(|| spec.login.patience());
        let overall = spec.timeout.as_ref().map(|(time, _)| *time).or(machine).map(after);
        let slot = cache.slot(&identity);
        Attempt { sys, spec, cache: &cache, slot, overall, settled: OnceCell::new() }.run().await
    }));
    // A name lookup may still hang in the resolver; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

/// Whether the login's proof may go where it is asked for.
fn admit(login: &dyn Login) -> Result<(), Error> {
    login.request().map_or(Ok(()), |request| request.authority.admit(login.brings_own_secret()))
}

fn fresh(slot: &Slot, now: u64) -> Option<Token> {
    let kept = slot.read();
    if state(&kept, now) == State::Fresh { kept.token } else { None }
}

/// Ctrl-C ends the work without a failed sign-in being remembered: the person may start over.
async fn until_interrupted<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        outcome = work => outcome,
        Ok(()) = tokio::signal::ctrl_c() => Err(Error::new(&situation::INTERRUPTED, "interrupted")),
        () = told_to_end() => Err(Error::new(&situation::INTERRUPTED, "told to end")),
    }
}

/// SIGTERM and SIGHUP come from editors, CI runners and time limits. They end the work like Ctrl-C, so
/// that no az is left behind.
#[cfg(unix)]
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match (signal(SignalKind::terminate()), signal(SignalKind::hangup())) {
        (Ok(mut terminate), Ok(mut hangup)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        },
        _ => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn told_to_end() {
    std::future::pending().await
}

struct Attempt<'a> {
    sys: &'a Sys,
    spec: &'a Spec,
    cache: &'a Cache,
    slot: Option<Slot<'a>>,
    /// What bounds everything that follows, together: an explicit `--timeout`, or a machine's own
    /// limit; a person's time begins when it is their turn (D3).
    overall: Option<Deadline>,
    /// What a login that leaves its way open has settled on.
    settled: OnceCell<Settled>,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Token, Error> {
        let kept = self.read();
        match (state(&kept, self.now()), kept.token) {
            (State::Fresh, Some(token)) => Ok(token),
            (State::Due, Some(token)) => Ok(self.renew_early(token).await),
            _ => self.renew_or_sign_in().await,
        }
    }

    /// Nobody waits for this: whoever finds the lock taken or the network slow uses what there is.
    async fn renew_early(&self, current: Token) -> Token {
        let Some(Lock::Held(_held)) = self.slot.as_ref().map(Slot::try_lock) else { return current };
        let kept = self.read();
        let failed_lately =
            kept.renewal_failed_on.is_some_and(|on| self.now() < on.saturating_add(EARLY_RENEWAL_PAUSE));
        if state(&kept, self.now()) != State::Due || failed_lately {
            return kept.token.unwrap_or(current);
        }
        let deadline = Deadline::after(&*self.sys.clock, EARLY_RENEWAL);
        let outcome = tokio::select! {
            outcome = self.renew(&kept, deadline) => outcome,
            () = self.sys.clock.sleep(EARLY_RENEWAL) => Renewal::Failed(Error::new(&situation::DEADLINE, "no answer in 3 s")),
        };
        match outcome {
            Renewal::Done(token) => token,
            Renewal::Failed(error) => self.note_early_failure(kept, &error, current),
            Renewal::NeedsSignIn(_) => {
                let why = Error::new(&situation::GRANT_ENDED, situation::GRANT_ENDED.meaning);
                self.note_early_failure(kept, &why, current)
            }
        }
    }

    fn note_early_failure(&self, kept: Kept, error: &Error, current: Token) -> Token {
        self.sys.terminal.detail(1, || format!("the token was not renewed early: {error}"));
        self.write(&Kept { renewal_failed_on: Some(self.now()), ..kept });
        current
    }

    async fn renew_or_sign_in(&self) -> Result<Token, Error> {
        match self.renew_or_sign_in_under_lock().await {
            Ok(token) => Ok(token),
            Err(error) => self.last_resort(error),
        }
    }

    async fn renew_or_sign_in_under_lock(&self) -> Result<Token, Error> {
        let before = self.read();
        let person_perhaps = self.spec.login.may_need_person();
        let patience = if person_perhaps { self.human_deadline() } else { self.machine_deadline() };
        let (_held, waited) = match self.wait_for_lock(&before, patience).await? {
            Turn::Ours { held, waited } => (held, waited),
            Turn::Served(token) => return Ok(token),
        };
        let kept = self.read();
        if let Some(failure) = failed_meanwhile(&before, &kept).filter(|_| waited && self.spec.login.person().is_none())
        {
            return Err(failed_for_another(failure));
        }
        if let Some(token) =
            self.settle(self.machine_deadline()).await.inspect_err(|error| self.note_sign_in_failure(error))?
        {
            return Ok(token);
        }
        if self.login().person().is_none() {
            return self.machine_signs_in().await;
        }
        match self.renew(&kept, self.machine_deadline()).await {
            Renewal::Done(token) => Ok(token),
            Renewal::Failed(error) => Err(error),
            Renewal::NeedsSignIn(claims) => self.person_signs_in(&kept, claims).await,
        }
    }

    /// The login, as far as it has settled on a way.
    fn login(&self) -> &dyn Login {
        self.settled.get().map_or(&*self.spec.login, |settled| &*settled.login)
    }

    /// Lets the login settle on a way, where it has left that open. Looking around may have brought
    /// the token already.
    async fn settle(&self, deadline: Deadline) -> Result<Option<Token>, Error> {
        if self.settled.get().is_some() {
            return Ok(None);
        }
        let session = self.session(deadline, None);
        let before = self.read().way;
        let settling = self.spec.login.settle(&session, self.cache, before.as_deref());
        let Some(mut settled) = settling.await? else { return Ok(None) };
        admit(&*settled.login)?;
        let grant = settled.grant.take();
        let _ = self.settled.set(settled);
        Ok(grant.map(|grant| {
            self.announce();
            self.keep(grant, None)
        }))
    }

    /// Says which way was settled on, when that one signs in and is another than before.
    fn announce(&self) {
        let Some(settled) = self.settled.get() else { return };
        if self.read().way.as_deref() != Some(settled.way) {
            self.sys.terminal.note(&settled.reason);
        }
    }

    async fn machine_signs_in(&self) -> Result<Token, Error> {
        let outcome = self.acquire(&self.session(self.machine_deadline(), None)).await;
        if let Err(error) = &outcome {
            self.note_sign_in_failure(error);
        }
        outcome
    }

    /// Whatever fails makes nothing worse: what is still valid is still given out, unless Entra
    /// itself has refused.
    fn last_resort(&self, error: Error) -> Result<Token, Error> {
        let kept = self.read();
        let usable = kept.token.filter(|token| token.left(self.now()) > LAST_RESORT && kept.acquired_on <= self.now());
        let Some(token) = usable.filter(|_| leaves_token_good(&error)) else { return Err(error) };
        self.sys.terminal.detail(1, || format!("the token could not be renewed, it is used to its end: {error}"));
        Ok(token)
    }

    /// Takes the lock, or the token that its holder has fetched meanwhile, however short it lives.
    async fn wait_for_lock(&self, before: &Kept, deadline: Deadline) -> Result<Turn, Error> {
        let Some(slot) = &self.slot else { return Ok(Turn::Ours { held: None, waited: false }) };
        let start = self.sys.clock.monotonic();
        let (mut waited, mut told) = (false, false);
        loop {
            let lock = slot.try_lock();
            if let Some(token) = self.served(slot, before, waited) {
                return Ok(Turn::Served(token));
            }
            match lock {
                Lock::Held(held) => return Ok(Turn::Ours { held: Some(held), waited }),
                Lock::Unavailable => return Ok(Turn::Ours { held: None, waited }),
                Lock::Busy if deadline.left(&*self.sys.clock).is_zero() => return Err(another_took_too_long(deadline)),
                Lock::Busy => waited = true,
            }
            if !told && self.sys.clock.monotonic().saturating_sub(start) > SILENT_WAIT {
                self.sys.terminal.note("waiting for another process that is signing in to the same cluster");
                told = true;
            }
            self.sys.clock.sleep(LOOK_AGAIN).await;
        }
    }

    fn served(&self, slot: &Slot, before: &Kept, waited: bool) -> Option<Token> {
        let kept = slot.read();
        let text = |kept: &Kept| kept.token.as_ref().map(|token| token.access_token.clone());
        let meanwhile = waited && text(&kept) != text(before);
        match state(&kept, self.now()) {
            State::Fresh => kept.token,
            _ if meanwhile => kept.token.filter(|token| token.left(self.now()) > 0),
            _ => None,
        }
    }

    /// Renews without a person: by refresh token, or by signing in again where that needs nobody.
    async fn renew(&self, kept: &Kept, deadline: Deadline) -> Renewal {
        match self.settle(deadline).await {
            Ok(None) => {}
            Ok(Some(token)) => return Renewal::Done(token),
            Err(error) => return Renewal::Failed(error),
        }
        let Some(person) = self.login().person() else {
            return match self.acquire(&self.session(deadline, None)).await {
                Ok(token) => Renewal::Done(token),
                Err(error) => Renewal::Failed(error),
            };
        };
        let Some(account) = &kept.account else { return Renewal::NeedsSignIn(None) };
        let identity = grant_identity(person, account);
        let Some(grant) = self.cache.grant(&identity) else { return Renewal::NeedsSignIn(None) };
        self.renew_by(&identity, &grant, person, deadline).await
    }

    async fn renew_by(
        &self,
        identity: &Identity,
        grant: &SavedGrant,
        person: Person<'_>,
        deadline: Deadline,
    ) -> Renewal {
        let session = self.session(deadline, None);
        let refusal = match token::refresh(&session, person, &grant.refresh_token).await {
            Ok(answer) => return Renewal::Done(self.keep(answer, Some(&grant.account))),
            Err(Failure::Unreachable(error)) => return Renewal::Failed(error),
            Err(Failure::Refused(refusal, ahead)) if !refusal.person_can_help() => {
                return Renewal::Failed(refusal.explain(ahead));
            }
            Err(Failure::Refused(refusal, _)) => refusal,
        };
        // Another process may have rotated the token meanwhile, from another cluster's slot.
        match self.cache.grant(identity) {
            Some(newer) if newer.refresh_token != grant.refresh_token => {
                match token::refresh(&session, person, &newer.refresh_token).await {
                    Ok(answer) => return Renewal::Done(self.keep(answer, Some(&newer.account))),
                    Err(Failure::Unreachable(error)) => return Renewal::Failed(error),
                    Err(Failure::Refused(refusal, _)) if refusal.grant_is_dead() => self.cache.forget_grant(identity),
                    Err(Failure::Refused(..)) => {}
                }
            }
            _ if refusal.grant_is_dead() => self.cache.forget_grant(identity),
            _ => {}
        }
        self.sys.terminal.detail(1, || format!("the earlier sign-in cannot be renewed: {refusal}"));
        Renewal::NeedsSignIn(refusal.claims.clone())
    }

    async fn person_signs_in(&self, kept: &Kept, claims: Option<String>) -> Result<Token, Error> {
        if let Some(why) = nobody_sees(&self.sys.env) {
            let looked = self.settled.get().map(|settled| settled.in_vain.nobody_sees(&why));
            return Err(looked.unwrap_or_else(|| nobody_there(&why, self.sys.called_as())));
        }
        let now = self.now();
        if let Some(failure) =
            kept.sign_in_failure.as_ref().filter(|failure| now < failure.on.saturating_add(SIGN_IN_PAUSE))
        {
            return Err(just_failed(failure, now));
        }
        let session = self.session(self.human_deadline(), claims);
        let outcome = self.acquire(&session).await;
        if let Some(error) = outcome.as_ref().err().filter(|_| session.prompted.get()) {
            self.note_sign_in_failure(error);
        }
        outcome
    }

    fn note_sign_in_failure(&self, error: &Error) {
        let failure = SignInFailure { on: self.now(), what: error.what().to_owned() };
        self.write(&Kept { sign_in_failure: Some(failure), ..self.read() });
    }

    async fn acquire(&self, session: &Session<'_>) -> Result<Token, Error> {
        self.announce();
        let grant = self.login().acquire(session).await?;
        if let Some(account) = &grant.account {
            self.sys.terminal.note(format!("signed in as {}", crate::error::one_line(&account.username)));
        }
        Ok(self.keep(grant, None))
    }

    fn session(&self, deadline: Deadline, claims: Option<String>) -> Session<'_> {
        let just_now = |failure: &SignInFailure| self.now() < failure.on.saturating_add(JUST_NOW);
        let failed_lately = self.read().sign_in_failure.filter(just_now).map(|failure| failure.what);
        let longer_by = self.spec.longer_by();
        Session { sys: self.sys, deadline, longer_by, claims, failed_lately, prompted: Cell::new(false) }
    }

    /// Keeps what was granted. The refresh token comes before the token, and the account that leads
    /// to it before both: a process that dies in between has lost at most the token. An answer that
    /// names no account belongs to `known`.
    fn keep(&self, grant: Grant, known: Option<&Account>) -> Token {
        let account = grant.account.or_else(|| known.cloned());
        let account = account.or_else(|| grant.refresh_token.as_ref().map(|_| self.nameless()));
        if let (Some(person), Some(account), Some(refresh_token)) =
            (self.login().person(), &account, grant.refresh_token)
        {
            let kept = self.read();
            if kept.account.as_ref() != Some(account) {
                self.write(&Kept { account: Some(account.clone()), token: None, ..kept });
            }
            let saved = SavedGrant { refresh_token, account: account.clone() };
            self.cache.save_grant(self.sys, &grant_identity(person, account), &saved);
        }
        self.write(&Kept {
            token: Some(grant.token.clone()),
            acquired_on: self.now(),
            account,
            renewal_failed_on: None,
            sign_in_failure: None,
            way: self.settled.get().map(|settled| settled.way.to_owned()),
            absent_on: None,
        });
        grant.token
    }

    /// Stands for an account that no answer names. It may be anybody, so its grant serves this very
    /// request and no other.
    fn nameless(&self) -> Account {
        let place = self.slot.as_ref().map(Slot::name).unwrap_or_default();
        Account { id: format!("unknown, of {place}"), username: "unknown".into() }
    }

    fn read(&self) -> Kept {
        self.slot.as_ref().map(Slot::read).unwrap_or_default()
    }

    fn write(&self, kept: &Kept) {
        if let Some(slot) = self.slot.as_ref().filter(|_| self.login().can_be_kept()) {
            slot.write(self.sys, kept);
        }
    }

    fn now(&self) -> u64 {
        self.sys.clock.now()
    }

    fn machine_deadline(&self) -> Deadline {
        self.overall.unwrap_or_else(|| Deadline::after(&*self.sys.clock, self.login().patience()))
    }

    fn human_deadline(&self) -> Deadline {
        self.overall.unwrap_or_else(|| Deadline::after(&*self.sys.clock, self.spec.login_timeout))
    }
}

fn grant_identity(person: Person<'_>, account: &Account) -> Identity {
    let mut identity = Identity::new("grant");
    identity.field("environment", &person.request.authority.environment());
    identity.field("client", person.client.as_str());
    identity.field("account", &account.id);
    identity
}

/// The network's failures, a host or program that does not work, and nobody being there to ask say
/// nothing against the token in hand.
fn leaves_token_good(error: &Error) -> bool {
    let none_of_entras = [
        &situation::TLS,
        &situation::PROXY,
        &situation::CLOCK_SKEW,
        &situation::NO_IDENTITY_HOST,
        &situation::HOST_ANSWER,
        &situation::ASSERTION_SOURCE,
        &situation::TOOL,
        &situation::NOBODY_THERE,
        &situation::SIGN_IN_JUST_FAILED,
    ];
    let of_the_way = none_of_entras.into_iter().any(|situation| error.is(situation));
    of_the_way || matches!(error.situation().turn, situation::Turn::Network | situation::Turn::Time)
}

/// What has failed for another process since `before`: whoever waited for it does not repeat it,
/// whoever comes later tries anew.
fn failed_meanwhile<'k>(before: &Kept, now: &'k Kept) -> Option<&'k SignInFailure> {
    now.sign_in_failure.as_ref().filter(|failure| before.sign_in_failure.as_ref() != Some(failure))
}

enum Turn {
    /// The work is ours, under a lock where there can be one, at once or after waiting.
    Ours { held: Option<Held>, waited: bool },
    /// Somebody else did it.
    Served(Token),
}

enum Renewal {
    Done(Token),
    /// It could not be tried or was refused for a reason that no sign-in mends.
    Failed(Error),
    /// Only signing in helps, with these claims.
    NeedsSignIn(Option<String>),
}

fn another_took_too_long(deadline: Deadline) -> Error {
    let what = format!("another process has been signing in to the same cluster for {} s", deadline.given().as_secs());
    Error::new(&situation::DEADLINE, what).remedy("run the command again when that one has ended")
}

fn nobody_there(why: &str, program: &str) -> Error {
    Error::new(&situation::NOBODY_THERE, "signing in needs a person, and nobody would see the prompt")
        .from_source(why)
        .remedy(format!(
            "sign in without a person ({program} convert-kubeconfig -l spn), or run this once in a terminal"
        ))
}

fn failed_for_another(failure: &SignInFailure) -> Error {
    Error::new(
        &situation::SIGN_IN_JUST_FAILED,
        format!("the same sign-in has just failed in another process: {}", failure.what),
    )
    .remedy("run the command again to see the way out")
}

fn just_failed(failure: &SignInFailure, now: u64) -> Error {
    let ago = now.saturating_sub(failure.on);
    let what = format!("a sign-in failed {ago} s ago: {}", failure.what);
    let wait = SIGN_IN_PAUSE.saturating_sub(ago);
    Error::new(&situation::SIGN_IN_JUST_FAILED, what).remedy(format!("the next one is possible in {wait} s"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn kept(expires_on: u64, refresh_on: Option<u64>, acquired_on: u64) -> Kept {
        let token = Token { access_token: Secret::new("t"), expires_on, refresh_on };
        Kept { token: Some(token), acquired_on, ..Kept::default() }
    }

    #[test]
    fn what_a_kept_token_is_good_for() {
        let now = 10_000;
        assert_eq!(state(&Kept::default(), now), State::Stale);
        assert_eq!(state(&kept(now + 301, None, now), now), State::Fresh);
        assert_eq!(state(&kept(now + 300, None, now), now), State::Stale);
        assert_eq!(state(&kept(now + 3000, Some(now), now), now), State::Due);
        assert_eq!(state(&kept(now + 3000, Some(now + 1), now), now), State::Fresh);
        assert_eq!(state(&kept(now + 90_000, None, now + 80_000), now), State::Stale, "the clock was set back");
    }
}
