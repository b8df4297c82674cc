//! Whose turn it is: the lock of a place in the cache, and what its holder has fetched meanwhile.

use std::time::Duration;

use crate::cache::{Held, Identity, Kept, Lock, Slot};
use crate::entra::Token;
use crate::error::Error;
use crate::situation;
use crate::sys::Deadline;
use crate::terminal::Wait;

use super::{Attempt, Errand, State, read, state};

/// How often a waiting process looks whether the token is there.
const LOOK_AGAIN: Duration = Duration::from_millis(25);
/// A wait beyond this is told.
const SILENT_WAIT: Duration = Duration::from_secs(1);

pub(super) enum Turn {
    /// The work is ours, under a lock where there can be one, at once or after waiting.
    Ours { held: Option<Held>, waited: bool },
    /// Somebody else did it.
    Served(Token),
}

impl Attempt<'_> {
    /// Takes the lock, or the token that its holder has fetched meanwhile, however short it lives.
    pub(super) async fn wait_for_lock(&self, before: &Kept, deadline: Deadline) -> Result<Turn, Error> {
        let Some(slot) = &self.slot else { return Ok(Turn::Ours { held: None, waited: false }) };
        let text = "waiting for another process that is signing in to the same cluster";
        self.wait_for(slot, deadline, text, |waited| self.served(slot, before, waited)).await
    }

    /// One prompt at a time for all clusters that the same sign-in may open: whoever has thirty contexts
    /// wants one tab, not thirty. Whoever signs in by hand does not wait for a prompt that somebody has
    /// perhaps never seen.
    pub(super) async fn turn_to_ask(&self) -> Result<Turn, Error> {
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
}

fn another_took_too_long(deadline: Deadline) -> Error {
    let what = format!("another process has been signing in to the same cluster for {} s", deadline.given().as_secs());
    Error::new(&situation::DEADLINE, what).remedy("run the command again when that one has ended")
}
