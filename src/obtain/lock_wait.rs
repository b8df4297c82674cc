//! Whose turn it is: the lock of a place in the cache, and what its holder has fetched meanwhile.

use std::time::Duration;

use crate::cache::{LockGuard, Slot, TokenEntry, TryLock};
use crate::cache_key::CacheKey;
use crate::entra::Token;
use crate::error::{Error, ErrorKind};
use crate::os::clock::Deadline;
use crate::terminal::Wait;

use super::{Attempt, Caller, Freshness, read, state};

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
    /// Takes the lock, or the token that its holder has fetched meanwhile, however short it lives. Whoever
    /// signs in by hand does not wait for a prompt that nobody has perhaps ever seen: the worst is a second
    /// sign-in.
    pub(super) async fn wait_for_lock(&self, before: &TokenEntry, deadline: Deadline) -> Result<LockOutcome, Error> {
        let Some(slot) = &self.slot else { return Ok(LockOutcome::Acquired { held: None, waited: false }) };
        let impatient = matches!(self.errand, Caller::Login(_)) && self.spec.login.may_prompt();
        let wait = LockWait {
            text: "waiting for another process that is signing in to the same cluster".into(),
            too_long: "another process has been signing in to the same cluster",
            deadline: if impatient { Deadline::after(&*self.sys.clock, BY_HAND) } else { deadline },
            impatient,
        };
        self.wait_for(slot, &wait, |waited| self.served(slot, before, waited)).await
    }

    /// One prompt at a time for all clusters that the same sign-in may open: whoever has thirty contexts
    /// wants one tab, not thirty.
    pub(super) async fn turn_to_ask(&self) -> Result<LockOutcome, Error> {
        let place = self.prompt_place().filter(|_| matches!(self.errand, Caller::Kubectl));
        let Some(place) = place else { return Ok(LockOutcome::Acquired { held: None, waited: false }) };
        let program = self.sys.called_as();
        let wait = LockWait {
            text: format!("waiting for another process that asks somebody to sign in ({program} login does not wait)"),
            too_long: "another process has been asking somebody to sign in",
            deadline: self.human_deadline(),
            impatient: false,
        };
        self.wait_for(&place, &wait, |_| None).await
    }

    /// Where it is known who asks, and that nobody wanted to be asked, for all clusters that the same
    /// sign-in may open.
    pub(super) fn prompt_place(&self) -> Option<Slot<'_>> {
        let person = self.login().user_client().filter(|_| self.login().prompts())?;
        let mut identity = CacheKey::new("prompt");
        identity.field("environment", &person.request.authority.environment());
        identity.field("client", person.client.as_str());
        identity.field("account", self.only().as_deref().unwrap_or_default());
        self.cache.slot(&identity)
    }

    /// Takes the lock of `place`, unless `served` finds what is wanted before.
    async fn wait_for(
        &self,
        place: &Slot<'_>,
        wait: &LockWait,
        served: impl Fn(bool) -> Option<Token>,
    ) -> Result<LockOutcome, Error> {
        let clock = &*self.sys.clock;
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
        self.sys.terminal.while_waiting(clock, Wait::of(&wait.text).noted_after(SILENT_WAIT), turn).await
    }

    fn served(&self, slot: &Slot, before: &TokenEntry, waited: bool) -> Option<Token> {
        let kept = read(slot, self.spec.login.binding()).0;
        if self.wants_another_than(&kept) {
            return None;
        }
        let text = |kept: &TokenEntry| kept.token.as_ref().map(|token| token.access_token.clone());
        let meanwhile = waited && text(&kept) != text(before);
        match state(&kept, self.now()) {
            Freshness::Fresh => kept.token,
            _ if meanwhile => kept.token.filter(|token| token.left(self.now()) > 0),
            _ => None,
        }
    }
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
