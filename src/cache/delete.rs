//! Forgetting a part of what is kept, while other processes go on working.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::os::clock::Deadline;
use crate::store::{KEY, LOCK};
use crate::sys::Sys;

use super::{Cache, CacheState, GRANT, LockGuard, POP_KEY, RefreshTokenEntry, Slot, TOKEN, TokenEntry, TryLock};

/// How long a process is waited for that is renewing a token. One that waits for a person takes longer,
/// and what it brings is a new sign-in.
const PATIENCE: Duration = Duration::from_secs(5);
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What was forgotten, and what was left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Tokens.
    pub tokens: usize,
    /// Sign-ins.
    pub grants: usize,
    /// Keys that tokens were bound to.
    pub keys: usize,
    /// Locks of processes that are still at work; what they bring is kept.
    pub held: usize,
}

/// What shall be forgotten.
pub struct DeleteFilter<'a> {
    /// Whether it is what is kept in a place.
    pub token: &'a dyn Fn(&Slot<'_>, &TokenEntry) -> bool,
    /// Whether it is a sign-in.
    pub grant: &'a dyn Fn(&RefreshTokenEntry) -> bool,
}

impl DeleteFilter<'_> {
    /// Whether a process that works on this place may bring back what shall go: it is one of those, or
    /// nothing is known of it yet.
    fn concerns(&self, slot: &Slot<'_>, kept: &TokenEntry) -> bool {
        (self.token)(slot, kept) || (kept.token.is_none() && kept.account.is_none())
    }
}

impl Cache {
    /// Forgets what is `doomed`, so that no process brings it back: whoever reads a sign-in holds the
    /// lock of its place before that, so once the sign-in has gone, those who hold one now are the last.
    pub fn forget(&self, sys: &Sys, doomed: &DeleteFilter<'_>) -> Deleted {
        let deadline = Deadline::after(&*sys.clock, PATIENCE);
        let mut gone = Gone::default();
        loop {
            self.forget_doomed_grants(doomed, &mut gone);
            let (locks, busy) = self.lock_all(doomed);
            let over = busy == 0 || deadline.left(&*sys.clock).is_zero();
            if over {
                self.forget_doomed_grants(doomed, &mut gone);
                self.forget_doomed_tokens(doomed, &mut gone);
            }
            drop(locks);
            if over {
                return gone.counted(busy);
            }
            sys.clock.pause(LOOK_AGAIN);
        }
    }

    /// Whether nothing is kept any more but the key and locks.
    pub fn is_bare(&self) -> bool {
        let CacheState::Open(vault) = &self.state else { return true };
        [TOKEN, GRANT, POP_KEY].iter().all(|kind| vault.names(kind).is_empty())
    }

    fn forget_doomed_grants(&self, doomed: &DeleteFilter<'_>, gone: &mut Gone) {
        let CacheState::Open(vault) = &self.state else { return };
        for name in vault.names(GRANT) {
            if vault.read(&name).is_some_and(|grant| (doomed.grant)(&grant)) {
                vault.remove(&name);
                gone.grants.insert(name);
            }
        }
    }

    fn forget_doomed_tokens(&self, doomed: &DeleteFilter<'_>, gone: &mut Gone) {
        for slot in self.slots() {
            let kept = slot.read();
            if !(doomed.token)(&slot, &kept) {
                continue;
            }
            gone.tokens += usize::from(kept.token.is_some());
            gone.keys += usize::from(slot.key().is_some());
            slot.forget();
        }
    }

    /// The locks of all places that matter, and how many of them others hold.
    fn lock_all(&self, doomed: &DeleteFilter<'_>) -> (Vec<LockGuard>, usize) {
        let CacheState::Open(vault) = &self.state else { return (Vec::new(), 0) };
        let stem = |file: &String| file.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        let names: BTreeSet<String> =
            [TOKEN, LOCK].iter().flat_map(|kind| vault.names(kind)).filter_map(|file| stem(&file)).collect();
        let slots = names.into_iter().filter(|name| name != KEY);
        let slots = slots.map(|name| Slot { cache: self, vault, name });
        let (mut locks, mut busy) = (Vec::new(), 0);
        for slot in slots.filter(|slot| doomed.concerns(slot, &slot.read())) {
            match slot.try_lock() {
                TryLock::Held(held) => locks.push(held),
                TryLock::Busy => busy += 1,
                TryLock::Unavailable => {}
            }
        }
        (locks, busy)
    }
}

/// What has gone so far; a sign-in may have to go twice.
#[derive(Default)]
struct Gone {
    grants: BTreeSet<String>,
    tokens: usize,
    keys: usize,
}

impl Gone {
    fn counted(self, held: usize) -> Deleted {
        Deleted { tokens: self.tokens, grants: self.grants.len(), keys: self.keys, held }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::RequestSummary;
    use crate::cache_key::CacheKey;
    use crate::entra::{Account, Token};
    use crate::os::clock::fake::FakeClock;
    use crate::secret::Secret;

    fn sys() -> (Sys, FakeClock) {
        let clock = FakeClock::default();
        (crate::cache::tests::sys_with(clock.clone()), clock)
    }

    fn account(name: &str) -> Account {
        Account { id: format!("id-{name}"), username: name.into(), aliases: Vec::new() }
    }

    fn identity(name: &str) -> CacheKey {
        let mut identity = CacheKey::new("token");
        identity.field("name", name);
        identity
    }

    /// A cache in which these people have signed in, with a token each in the place of their name.
    fn signed_in(directory: &std::path::Path, people: &[&str]) -> Cache {
        let (sys, _) = sys();
        let mut cache = Cache::open(&crate::cache::Location::at_rest(Some(directory.to_owned())));
        cache.create(&sys);
        for name in people {
            sign_in(&cache, &sys, name);
        }
        cache
    }

    fn sign_in(cache: &Cache, sys: &Sys, name: &str) {
        let token = Token { access_token: Secret::new("t"), expires_on: 9, refresh_on: None };
        let kept = TokenEntry { token: Some(token), account: Some(account(name)), ..TokenEntry::default() };
        cache.slot(&identity(name)).unwrap().write(sys, &kept);
        let grant = RefreshTokenEntry {
            refresh_token: Secret::new("r"),
            account: account(name),
            environment: String::new(),
            shared: true,
            renewed_on: 0,
            about: RequestSummary::default(),
        };
        cache.save_grant(sys, &CacheKey::new(name), &grant, None);
    }

    fn forget(cache: &Cache, sys: &Sys, name: &str) -> Deleted {
        let token = |_: &Slot<'_>, kept: &TokenEntry| kept.account == Some(account(name));
        cache.forget(sys, &DeleteFilter { token: &token, grant: &|grant| grant.account == account(name) })
    }

    fn names(cache: &Cache) -> Vec<String> {
        cache.accounts().into_iter().map(|account| account.username).collect()
    }

    #[test]
    fn one_goes_and_the_other_stays() {
        let directory = tempfile::tempdir().unwrap();
        let cache = signed_in(directory.path(), &["a", "b"]);
        let gone = Deleted { tokens: 1, grants: 1, ..Deleted::default() };
        assert_eq!((forget(&cache, &sys().0, "a"), names(&cache)), (gone, vec!["b".into()]));
        assert_eq!(forget(&cache, &sys().0, "a"), Deleted::default());
        forget(&cache, &sys().0, "b");
        assert!(cache.is_bare());
    }

    #[test]
    fn whoever_is_at_work_is_waited_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let cache = signed_in(directory.path(), &["a", "b"]);
        let (sys, clock) = sys();
        // Somebody else's renewal is none of our business.
        let other = cache.slot(&identity("b")).unwrap().try_lock();
        assert_eq!(forget(&cache, &sys, "a").held, 0);
        assert_eq!(clock.0.get(), Duration::ZERO);
        drop(other);
        for place in ["b", "nobody's yet"] {
            sign_in(&cache, &sys, "b");
            let held = cache.slot(&identity(place)).unwrap().try_lock();
            let start = clock.0.get();
            let gone = Deleted { tokens: 1, grants: 1, held: 1, ..Deleted::default() };
            assert_eq!(forget(&cache, &sys, "b"), gone, "{place}");
            assert!(clock.0.get() >= start + PATIENCE, "{place}");
            drop(held);
        }
        assert!(cache.is_bare());
    }
}
