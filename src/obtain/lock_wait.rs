//! Whose turn it is: the lock of a place in the cache, and what its holder has fetched meanwhile.

use std::time::Duration;

use crate::cache::{LockGuard, Slot, TokenEntry, TryLock};
use crate::cache_key::CacheKey;
use crate::entra::Token;
use crate::error::{Error, ErrorKind};
use crate::os::clock::Deadline;
use crate::sys::Sys;
use crate::terminal::Wait;

use super::{Attempt, Caller, Freshness, freshness, read};

/// How often a waiting process looks whether the token is there.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// So long whoever signs in by hand waits for another process.
const BY_HAND: Duration = Duration::from_secs(2);
/// A wait beyond this is told.
const SILENT_WAIT: Duration = Duration::from_secs(1);

pub(super) enum LockOutcome {
    /// The work is ours, under a lock where there can be one, at once or after waiting.
    Acquired { held: Option<LockGuard>, waited: bool },
    /// Somebody else did it.
    Served(Token),
}

impl Attempt<'_> {
    /// Takes the lock, or the token that its holder has fetched meanwhile, however short it lives; what is kept
    /// is then known as it is. Whoever signs in by hand does not wait for a prompt that nobody has perhaps ever
    /// seen: the worst is a second sign-in.
    pub(super) async fn wait_for_lock(&mut self, deadline: Deadline) -> Result<LockOutcome, Error> {
        let Some(slot) = &self.slot else { return Ok(LockOutcome::Acquired { held: None, waited: false }) };
        let impatient = matches!(self.caller, Caller::Login(_)) && self.spec.login.may_prompt();
        let wait = LockWait {
            text: "waiting for another process that is signing in to the same cluster".into(),
            too_long: "another process has been signing in to the same cluster",
            deadline: if impatient { Deadline::after(&*self.sys.clock, BY_HAND) } else { deadline },
            impatient,
        };
        let mut known = None;
        let look = |waited| {
            let (entry, key) = read(slot, self.spec.login.binding());
            let served = self.served(&entry, waited);
            known = Some((entry, key));
            served
        };
        let outcome = wait_for(self.sys, slot, &wait, look).await?;
        if let Some(known) = known {
            (self.entry, self.key) = known;
        }
        Ok(outcome)
    }

    /// One prompt at a time for all clusters that the same sign-in may open: whoever has thirty contexts
    /// wants one tab, not thirty.
    pub(super) async fn turn_to_ask(&self) -> Result<LockOutcome, Error> {
        let place = self.prompt_place().filter(|_| matches!(self.caller, Caller::Kubectl));
        let Some(place) = place else { return Ok(LockOutcome::Acquired { held: None, waited: false }) };
        let program = self.sys.called_as();
        let wait = LockWait {
            text: format!("waiting for another process that asks somebody to sign in ({program} login does not wait)"),
            too_long: "another process has been asking somebody to sign in",
            deadline: self.human_deadline(),
            impatient: false,
        };
        wait_for(self.sys, &place, &wait, |_| None).await
    }

    /// Where it is known who asks, and that nobody wanted to be asked, for all clusters that the same
    /// sign-in may open.
    pub(super) fn prompt_place(&self) -> Option<Slot<'_>> {
        let login = self.login();
        let user = login.user_client.as_ref().filter(|_| login.prompt.is_some())?;
        let mut key = CacheKey::new("prompt");
        key.field("environment", &user.request.authority.environment());
        key.field("client", user.client.as_str());
        key.field("account", self.required_account().as_deref().unwrap_or_default());
        self.cache.slot(&key)
    }

    /// The token of `entry`, if it serves.
    fn served(&self, entry: &TokenEntry, waited: bool) -> Option<Token> {
        if self.wants_another_than(entry) {
            return None;
        }
        let text = |entry: &TokenEntry| entry.token.as_ref().map(|token| token.access_token.clone());
        let meanwhile = waited && text(entry) != text(&self.entry);
        match freshness(entry, self.now()) {
            Freshness::Fresh => entry.token.clone(),
            _ if meanwhile => entry.token.clone().filter(|token| token.left(self.now()) > 0),
            _ => None,
        }
    }
}

/// Takes the lock of `place`, unless `served` finds what is wanted; it looks once more when the lock is held.
async fn wait_for(
    sys: &Sys,
    place: &Slot<'_>,
    wait: &LockWait,
    mut served: impl FnMut(bool) -> Option<Token>,
) -> Result<LockOutcome, Error> {
    let clock = &*sys.clock;
    let turn = async {
        let mut waited = false;
        loop {
            let lock = place.try_lock();
            if let Some(token) = served(waited) {
                return Ok(LockOutcome::Served(token));
            }
            match lock {
                TryLock::Held(held) => return Ok(LockOutcome::Acquired { held: Some(held), waited }),
                TryLock::Unavailable => return Ok(LockOutcome::Acquired { held: None, waited }),
                TryLock::Busy if !wait.deadline.left(clock).is_zero() => waited = true,
                TryLock::Busy if wait.impatient => return Ok(LockOutcome::Acquired { held: None, waited }),
                TryLock::Busy => return Err(wait.too_long()),
            }
            clock.sleep(LOOK_AGAIN).await;
        }
    };
    sys.terminal.while_waiting(clock, Wait::of(&wait.text).noted_after(SILENT_WAIT), turn).await
}

/// What is waited for.
struct LockWait {
    text: String,
    /// What is told when it takes too long.
    too_long: &'static str,
    deadline: Deadline,
    /// Whether the work is then done without the lock.
    impatient: bool,
}

impl LockWait {
    fn too_long(&self) -> Error {
        let what = format!("{} for {} s", self.too_long, self.deadline.given().as_secs());
        Error::new(ErrorKind::Deadline, what).remedy("run the command again when that one has ended")
    }
}
