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

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::cache::{About, Cache, Held, Identity, Kept, Lock, SavedGrant, SignInFailure, Slot};
use crate::entra::error::Refusal;
use crate::entra::pop::{Binding, PopKey};
use crate::entra::token::{self, Failure};
use crate::entra::{Account, Grant, Person, Session, Token};
use crate::error::{Error, io_words, listed, one_line};
use crate::login::{Login, Settled, Spec};
use crate::situation;
use crate::sys::{Deadline, Sys};
use crate::terminal::{SignedIn, Wait, nobody_sees};

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

/// The token that `spec` asks for, as kubectl shall send it.
///
/// # Errors
/// Whatever kept it from being had; the cache is whole in any case.
pub fn token(sys: &Sys, spec: &Spec) -> Result<Token, Error> {
    let mut cache = Cache::open(spec.storage, spec.cache_dir.clone());
    let identity = spec.identity();
    if let Some(usable) = cache.slot(&identity).and_then(|slot| fresh(&slot, spec, sys.clock.now())) {
        sys.terminal.detail(1, || "the token comes from the cache".into());
        return usable.for_kubectl(sys, spec);
    }
    obtain(sys, spec, &mut cache, &identity, Errand::Token)?.for_kubectl(sys, spec)
}

/// Signs in for what `spec` asks, ahead of kubectl and as `who`, if somebody is named. A sign-in that
/// has failed lately is no reason to wait.
///
/// # Errors
/// As [`token()`].
pub fn sign_in(sys: &Sys, spec: &Spec, who: Option<&str>) -> Result<ByHand, Error> {
    let mut cache = Cache::open(spec.storage, spec.cache_dir.clone());
    let identity = spec.identity();
    if let Some(slot) = cache.slot(&identity)
        && let Some(usable) = fresh(&slot, spec, sys.clock.now())
    {
        let account = slot.read().account;
        let meant = who.is_none_or(|who| account.as_ref().is_some_and(|account| account.is_called(who)));
        if meant {
            return Ok(ByHand { how: How::Before, account, expires_on: usable.token.expires_on });
        }
    }
    let usable = obtain(sys, spec, &mut cache, &identity, Errand::SignIn(who))?;
    let how = if usable.told { How::Told } else { How::Quietly };
    let account = cache.slot(&identity).and_then(|slot| slot.read().account);
    Ok(ByHand { how, account, expires_on: usable.token.expires_on })
}

/// How a sign-in by hand ended well.
pub struct ByHand {
    /// What it took.
    pub how: How,
    /// The person, where it is one.
    pub account: Option<Account>,
    /// The end of the token, in seconds since the epoch.
    pub expires_on: u64,
}

/// What a sign-in by hand took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Nothing: a fresh token was there.
    Before,
    /// A token was had without a person, and nothing was said.
    Quietly,
    /// Somebody has signed in, or was found to be signed in, and that was told.
    Told,
}

/// For what a token is had.
#[derive(Clone, Copy)]
enum Errand<'a> {
    /// kubectl waits for it.
    Token,
    /// A person wants to be signed in, perhaps as this one.
    SignIn(Option<&'a str>),
}

/// A token with the key that it is bound to.
struct Usable {
    token: Token,
    key: Option<Rc<PopKey>>,
    /// Whether it was told who has signed in.
    told: bool,
}

impl Usable {
    /// The token as the API server wants it. One that is bound to a key is signed anew at every call: the
    /// server believes a signature for 15 minutes at most, so kubectl is told to come back before that.
    fn for_kubectl(self, sys: &Sys, spec: &Spec) -> Result<Token, Error> {
        let (Binding::Key(host), Some(key)) = (spec.login.binding(), &self.key) else { return Ok(self.token) };
        let now = sys.clock.now();
        let end = now.saturating_add(spec.pop_lifetime.as_secs());
        let signed = key.sign(&self.token.access_token, host, now)?;
        Ok(Token { access_token: signed, expires_on: end.min(self.token.expires_on), refresh_on: None })
    }
}

fn obtain(sys: &Sys, spec: &Spec, cache: &mut Cache, identity: &Identity, errand: Errand<'_>) -> Result<Usable, Error> {
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
        let slot = cache.slot(identity);
        let attempt = Attempt {
            sys,
            spec,
            errand,
            cache,
            slot,
            overall,
            settled: OnceCell::new(),
            key: RefCell::default(),
            told: Cell::default(),
        };
        let token = attempt.run().await?;
        Ok(Usable { token, key: attempt.key_of_token(), told: attempt.told.get() })
    }));
    // A name lookup may still hang in the resolver; nobody waits for it.
    runtime.shutdown_background();
    outcome
}

/// Whether the login's proof may go where it is asked for.
fn admit(login: &dyn Login) -> Result<(), Error> {
    login.request().map_or(Ok(()), |request| request.authority.admit(login.brings_own_secret()))
}

fn fresh(slot: &Slot, spec: &Spec, now: u64) -> Option<Usable> {
    let (kept, key) = read(slot, spec.login.binding());
    if state(&kept, now) != State::Fresh {
        return None;
    }
    kept.token.map(|token| Usable { token, key, told: false })
}

/// What is kept, and the key for it. A token that is bound to another key than the one that is there
/// is none: losing the key costs one request, not the sign-in.
fn read(slot: &Slot, binding: &Binding) -> (Kept, Option<Rc<PopKey>>) {
    let mut kept = slot.read();
    if *binding == Binding::Bearer {
        return (kept, None);
    }
    let key = slot.key().map(Rc::new);
    if key.as_ref().map(|key| key.kid()) != kept.key.as_deref() {
        kept.token = None;
    }
    (kept, key)
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
    errand: Errand<'a>,
    cache: &'a Cache,
    slot: Option<Slot<'a>>,
    /// What bounds everything that follows, together: an explicit `--timeout`, or a machine's own
    /// limit; a person's time begins when it is their turn (D3).
    overall: Option<Deadline>,
    /// What a login that leaves its way open has settled on.
    settled: OnceCell<Settled>,
    /// The key that a new token is bound to.
    key: RefCell<Option<Rc<PopKey>>>,
    /// Whether it was told who has signed in.
    told: Cell<bool>,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<Token, Error> {
        let kept = self.read();
        let other_person = self.wants_another_than(&kept);
        match (state(&kept, self.now()), kept.token) {
            _ if other_person => self.renew_or_sign_in_under_lock().await,
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
        if self.prepare_key().is_err() {
            return current;
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
        if let Some(failure) = failed_meanwhile(&before, &kept).filter(|_| waited && !self.spec.login.may_need_person())
        {
            return Err(failed_for_another(failure));
        }
        self.prepare_key()?;
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
            Renewal::NeedsSignIn(_) if !self.login().asks() => self.machine_signs_in().await,
            Renewal::NeedsSignIn(refusal) => self.person_signs_in(&kept, refusal.as_deref()).await,
        }
    }

    /// The key that the next token shall be bound to: the one of this place, else a new one. Made under
    /// the lock, so that two first calls do not make two.
    fn prepare_key(&self) -> Result<(), Error> {
        if *self.spec.login.binding() == Binding::Bearer || self.key.borrow().is_some() {
            return Ok(());
        }
        let known = self.slot.as_ref().and_then(Slot::key);
        let key = if let Some(key) = known { key } else { self.new_key()? };
        self.key.replace(Some(Rc::new(key)));
        Ok(())
    }

    fn new_key(&self) -> Result<PopKey, Error> {
        let key = PopKey::generate()?;
        if let Some(slot) = self.slot.as_ref().filter(|_| self.login().can_be_kept()) {
            slot.keep_key(self.sys, &key);
        }
        Ok(key)
    }

    /// The key that the token in hand is bound to, be it ours or that of the process we waited for.
    fn key_of_token(&self) -> Option<Rc<PopKey>> {
        let slot = self.slot.as_ref();
        self.key.borrow().clone().or_else(|| read(slot?, self.spec.login.binding()).1)
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
        // That nothing was tried is no new failure.
        if let Some(error) = outcome.as_ref().err().filter(|error| !error.is(&situation::SIGN_IN_JUST_FAILED)) {
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
        let text = "waiting for another process that is signing in to the same cluster";
        self.wait_for(slot, deadline, text, |waited| self.served(slot, before, waited)).await
    }

    /// Takes the lock of `place`, unless `served` finds what is wanted before.
    async fn wait_for(
        &self,
        place: &Slot<'_>,
        deadline: Deadline,
        text: &str,
        served: impl Fn(bool) -> Option<Token>,
    ) -> Result<Turn, Error> {
        let clock = &*self.sys.clock;
        let turn = async {
            let mut waited = false;
            loop {
                let lock = place.try_lock();
                if let Some(token) = served(waited) {
                    return Ok(Turn::Served(token));
                }
                match lock {
                    Lock::Held(held) => return Ok(Turn::Ours { held: Some(held), waited }),
                    Lock::Unavailable => return Ok(Turn::Ours { held: None, waited }),
                    Lock::Busy if deadline.left(clock).is_zero() => return Err(another_took_too_long(deadline)),
                    Lock::Busy => waited = true,
                }
                clock.sleep(LOOK_AGAIN).await;
            }
        };
        self.sys.terminal.while_waiting(clock, Wait::of(text).noted_after(SILENT_WAIT), turn).await
    }

    fn served(&self, slot: &Slot, before: &Kept, waited: bool) -> Option<Token> {
        let kept = read(slot, self.spec.login.binding()).0;
        if self.wants_another_than(&kept) {
            return None;
        }
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
        let Some((identity, grant)) = self.earlier_sign_in(person, kept) else { return Renewal::NeedsSignIn(None) };
        self.renew_by(&identity, &grant, person, deadline).await
    }

    /// The sign-in that this very request was served by before. Where there was none, a sign-in to
    /// another tenant or resource will do, if there is exactly one person whom it can mean: refresh
    /// tokens belong to a person and a client, not to a tenant. Between two it is never guessed.
    fn earlier_sign_in(&self, person: Person<'_>, kept: &Kept) -> Option<(Identity, SavedGrant)> {
        let account = match &kept.account {
            Some(account) if !self.wants_another_than(kept) => account.clone(),
            _ => self.only_account(person)?,
        };
        let identity = self.grant_identity(person, &account);
        let grant = self.cache.grant(&identity)?;
        Some((identity, grant))
    }

    /// The one account that is signed in with the same client in the same cloud, and that may be meant.
    fn only_account(&self, person: Person<'_>) -> Option<Account> {
        if !person.shared {
            return None;
        }
        let environment = person.request.authority.environment();
        let mut accounts: Vec<Account> = Vec::new();
        for grant in self.cache.grants() {
            let same = grant.shared
                && grant.environment == environment
                && grant
                    .about
                    .client
                    .as_deref()
                    .is_some_and(|client| client.eq_ignore_ascii_case(person.client.as_str()));
            let meant = self.only().is_none_or(|only| grant.account.is_called(&only));
            let silently = person.request.audience.is_of_clusters() || self.was_signed_in(&grant.account);
            if same && meant && silently && !accounts.iter().any(|known| known.id == grant.account.id) {
                accounts.push(grant.account);
            }
        }
        if accounts.len() > 1 {
            let names = listed(accounts.iter().map(|account| one_line(&account.username)).collect());
            self.sys.terminal.note(format!("note: {names} are signed in; --account NAME picks one of them"));
            return None;
        }
        accounts.pop()
    }

    /// Whether `account` has signed in for the same server application before, in any tenant. For another
    /// one than those of clusters it is asked first: whoever writes a kubeconfig chooses both the server
    /// application and where kubectl sends the token, and a refresh token would serve Azure itself.
    fn was_signed_in(&self, account: &Account) -> bool {
        let same = |about: About| about.server.is_some() && about.server == self.spec.about.server;
        let mut kept = self.cache.slots().into_iter().map(|slot| slot.read());
        kept.any(|kept| kept.account.is_some_and(|known| known.id == account.id) && kept.about.is_some_and(same))
    }

    /// The only person who is meant, if somebody was named.
    fn only(&self) -> Option<String> {
        let named = self.login().person().and_then(|person| person.account).map(String::from);
        named.or_else(|| self.who().map(String::from))
    }

    /// Who wants to sign in by hand, if that was said.
    fn who(&self) -> Option<&str> {
        if let Errand::SignIn(who) = self.errand { who } else { None }
    }

    /// Whether somebody else than the person who was served here before wants to sign in.
    fn wants_another_than(&self, kept: &Kept) -> bool {
        let other = |who| !kept.account.as_ref().is_some_and(|account| account.is_called(who));
        self.who().is_some_and(other)
    }

    async fn renew_by(
        &self,
        identity: &Identity,
        grant: &SavedGrant,
        person: Person<'_>,
        deadline: Deadline,
    ) -> Renewal {
        let session = self.session(deadline, None);
        let first_use = self.read().account.is_none_or(|account| account.id != grant.account.id);
        let refusal = match token::refresh(&session, person, &grant.refresh_token).await {
            Ok(answer) => {
                let token = self.keep(answer, Some(&grant.account));
                if first_use {
                    self.tell_signed_in(&grant.account, &token, true);
                }
                return Renewal::Done(token);
            }
            Err(Failure::Unreachable(error)) => return Renewal::Failed(error),
            Err(Failure::Refused(refusal, ahead)) if !refusal.person_can_help() && !first_use => {
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
        // That a sign-in for another cluster does not serve here is no news, unless something is wanted.
        Renewal::NeedsSignIn(Some(refusal).filter(|refusal| !first_use || refusal.claims.is_some()))
    }

    /// Asks the person, with what the refusal of an earlier sign-in wants passed on.
    async fn person_signs_in(&self, kept: &Kept, refusal: Option<&Refusal>) -> Result<Token, Error> {
        let ended = refusal.map(|refusal| refusal.explain(None).what().to_owned());
        if let Some(why) = nobody_sees(&self.sys.env) {
            let looked = self.settled.get().map(|settled| settled.in_vain.nobody_sees(&why));
            return Err(looked.unwrap_or_else(|| self.nobody_there(&why, ended.as_deref())));
        }
        let now = self.now();
        let lately = kept.sign_in_failure.as_ref().filter(|failure| now < failure.on.saturating_add(SIGN_IN_PAUSE));
        if let (Some(failure), Errand::Token) = (lately, self.errand) {
            return Err(self.just_failed(failure, now));
        }
        let turn = self.turn_to_ask().await?;
        if matches!(turn, Turn::Ours { waited: true, .. })
            && let Some(token) = self.served_by_the_other(kept, now).await?
        {
            return Ok(token);
        }
        if let Some(ended) = ended {
            self.sys.terminal.note(format!("note: {ended}"));
        }
        let session = self.session(self.human_deadline(), refusal.and_then(|refusal| refusal.claims.clone()));
        let outcome = self.acquire(&session).await;
        if let Some(error) = outcome.as_ref().err().filter(|_| session.prompted.get()) {
            self.note_sign_in_failure(error);
        }
        outcome
    }

    /// One prompt at a time for all clusters that the same sign-in may open: whoever has thirty contexts
    /// wants one tab, not thirty. Whoever signs in by hand does not wait for a prompt that somebody has
    /// perhaps never seen.
    async fn turn_to_ask(&self) -> Result<Turn, Error> {
        let nobody = Turn::Ours { held: None, waited: false };
        let (Some(person), Errand::Token) = (self.login().person(), self.errand) else { return Ok(nobody) };
        let mut identity = Identity::new("prompt");
        identity.field("environment", &person.request.authority.environment());
        identity.field("client", person.client.as_str());
        identity.field("account", self.only().as_deref().unwrap_or_default());
        let Some(place) = self.cache.slot(&identity) else { return Ok(nobody) };
        let program = self.sys.called_as();
        let text = format!("waiting for another process that asks somebody to sign in ({program} login does not wait)");
        self.wait_for(&place, self.human_deadline(), &text, |_| None).await
    }

    /// What the sign-in for another cluster brings us, which we have waited for since `began`: its
    /// refresh token, or its failure, which nobody wants to see twice.
    async fn served_by_the_other(&self, kept: &Kept, began: u64) -> Result<Option<Token>, Error> {
        match self.renew(kept, self.machine_deadline()).await {
            Renewal::Done(token) => return Ok(Some(token)),
            Renewal::Failed(error) => return Err(error),
            Renewal::NeedsSignIn(_) => {}
        }
        let own = self.about();
        let same = |about: &About| about.client == own.client && about.cloud == own.cloud;
        let others = self.cache.slots().into_iter().map(|slot| slot.read());
        let mut failures =
            others.filter(|kept| kept.about.as_ref().is_some_and(same)).filter_map(|kept| kept.sign_in_failure);
        failures
            .find(|failure| failure.on >= began)
            .map_or(Ok(None), |failure| Err(self.just_failed(&failure, self.now())))
    }

    fn note_sign_in_failure(&self, error: &Error) {
        let (what, remedy) = (error.what().to_owned(), error.advice().to_owned());
        let failure = SignInFailure { on: self.now(), what, remedy };
        let kept = self.read();
        let about = kept.about.or_else(|| Some(self.about()));
        self.write(&Kept { sign_in_failure: Some(failure), about, ..kept });
    }

    async fn acquire(&self, session: &Session<'_>) -> Result<Token, Error> {
        self.announce();
        let grant = self.login().acquire(session).await?;
        session.admit(&grant)?;
        let (account, renews) = (grant.account.clone(), grant.refresh_token.is_some());
        let token = self.keep(grant, None);
        if let Some(account) = account {
            self.tell_signed_in(&account, &token, renews);
        }
        Ok(token)
    }

    fn tell_signed_in(&self, account: &Account, token: &Token, renews: bool) {
        self.told.set(true);
        let request = self.login().request();
        let tenant = request.map(|request| request.authority.tenant_of(Some(account))).unwrap_or_default();
        let told = SignedIn { username: &account.username, tenant, expires_on: token.expires_on, renews };
        self.sys.terminal.signed_in(&told, self.now());
    }

    fn session(&self, deadline: Deadline, claims: Option<String>) -> Session<'_> {
        let just_now = |failure: &SignInFailure| self.now() < failure.on.saturating_add(JUST_NOW);
        let failed_lately = self.read().sign_in_failure.filter(just_now).map(|failure| failure.what);
        let longer_by = self.spec.longer_by();
        let only = self.only();
        let before = self.read().account.filter(|account| !is_nameless(account)).map(|account| account.username);
        Session {
            longer_by,
            claims,
            failed_lately,
            hint: only.clone().or(before),
            only,
            by_hand: self.spec.by_hand(self.sys.called_as()),
            key: self.key.borrow().clone(),
            ..Session::new(self.sys, deadline)
        }
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
            let saved = SavedGrant {
                refresh_token,
                account: account.clone(),
                environment: person.request.authority.environment(),
                shared: person.shared && !is_nameless(account),
                renewed_on: self.now(),
                about: self.about(),
            };
            self.cache.save_grant(self.sys, &self.grant_identity(person, account), &saved);
        }
        self.write(&Kept {
            token: Some(grant.token.clone()),
            acquired_on: self.now(),
            account,
            renewal_failed_on: None,
            sign_in_failure: None,
            way: self.settled.get().map(|settled| settled.way.to_owned()),
            absent_on: None,
            key: self.key.borrow().as_ref().map(|key| key.kid().to_owned()),
            about: Some(self.about()),
        });
        grant.token
    }

    /// What was asked for, and how it was had.
    fn about(&self) -> About {
        let about = self.spec.about.clone();
        match self.settled.get() {
            Some(settled) => About {
                method: settled.way.into(),
                cloud: settled.login.request().map(|request| request.authority.environment()),
                ..about
            },
            None => about,
        }
    }

    /// What names the sign-in of `account` in the cache: the same for every tenant and resource, but for
    /// one that may serve this very request only.
    fn grant_identity(&self, person: Person<'_>, account: &Account) -> Identity {
        let mut identity = Identity::new("grant");
        identity.field("environment", &person.request.authority.environment());
        identity.field("client", person.client.as_str());
        identity.field("account", &account.id);
        if !person.shared {
            identity.field("place", self.slot.as_ref().map(Slot::name).unwrap_or_default());
        }
        identity
    }

    fn nobody_there(&self, why: &str, ended: Option<&str>) -> Error {
        let program = self.sys.called_as();
        let what = "signing in needs a person, and nobody would see the prompt";
        let what = ended.map_or_else(|| what.to_owned(), |ended| format!("{ended}; {what}"));
        Error::new(&situation::NOBODY_THERE, what).from_source(why).remedy(format!(
            "run `{}` in a terminal, or sign in without a person ({program} convert-kubeconfig -l spn)",
            self.spec.by_hand(program)
        ))
    }

    fn just_failed(&self, failure: &SignInFailure, now: u64) -> Error {
        let ago = now.saturating_sub(failure.on);
        let wait = SIGN_IN_PAUSE.saturating_sub(ago);
        let advice =
            Some(&failure.remedy).filter(|advice| !advice.is_empty() && !advice.starts_with("run the command again"));
        let advice = advice.map(|advice| format!("{advice}; ")).unwrap_or_default();
        let by_hand = self.spec.by_hand(self.sys.called_as());
        Error::new(&situation::SIGN_IN_JUST_FAILED, format!("a sign-in failed {ago} s ago: {}", failure.what))
            .remedy(format!("{advice}the next one is possible in {wait} s, or now with `{by_hand}`"))
    }

    /// Stands for an account that no answer names. It may be anybody, so its grant serves this very
    /// request and no other.
    fn nameless(&self) -> Account {
        let place = self.slot.as_ref().map(Slot::name).unwrap_or_default();
        Account { id: format!("{NAMELESS}{place}"), username: "unknown".into(), also: Vec::new() }
    }

    fn read(&self) -> Kept {
        self.slot.as_ref().map(|slot| read(slot, self.spec.login.binding()).0).unwrap_or_default()
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

/// What the id of an account begins with that no answer names.
const NAMELESS: &str = "unknown, of ";

fn is_nameless(account: &Account) -> bool {
    account.id.starts_with(NAMELESS)
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
    /// Only signing in helps; the refusal, where there was something to renew.
    NeedsSignIn(Option<Box<Refusal>>),
}

fn another_took_too_long(deadline: Deadline) -> Error {
    let what = format!("another process has been signing in to the same cluster for {} s", deadline.given().as_secs());
    Error::new(&situation::DEADLINE, what).remedy("run the command again when that one has ended")
}

fn failed_for_another(failure: &SignInFailure) -> Error {
    let what = format!("the same sign-in has just failed in another process: {}", failure.what);
    Error::new(&situation::SIGN_IN_JUST_FAILED, what).remedy(failure.remedy.clone())
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
