//! Deleting a part of what is kept, while other processes go on working.

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

/// What was deleted, and what was left.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Tokens.
    pub tokens: usize,
    /// Sign-ins.
    pub refresh_tokens: usize,
    /// Keys that tokens were bound to.
    pub keys: usize,
    /// Locks of processes that are still at work; what they bring is kept.
    pub held: usize,
}

/// What shall be deleted.
pub struct DeleteFilter<'a> {
    /// Whether it is what is kept in a place.
    pub token: &'a dyn Fn(&Slot<'_>, &TokenEntry) -> bool,
    /// Whether it is a sign-in.
    pub refresh_token: &'a dyn Fn(&RefreshTokenEntry) -> bool,
}

impl DeleteFilter<'_> {
    /// Whether a process that works on this place may bring back what shall go: it is one of those, or
    /// nothing is known of it yet.
    fn concerns(&self, slot: &Slot<'_>, entry: &TokenEntry) -> bool {
        (self.token)(slot, entry) || (entry.token.is_none() && entry.account.is_none())
    }
}

impl Cache {
    /// Deletes what `filter` picks, so that no process brings it back: whoever reads a sign-in holds the
    /// lock of its place before that, so once the sign-in has gone, those who hold one now are the last.
    pub fn delete(&self, sys: &Sys, filter: &DeleteFilter<'_>) -> Deleted {
        let deadline = Deadline::after(&*sys.clock, PATIENCE);
        // A sign-in may have to go twice, and counts once.
        let mut gone = BTreeSet::new();
        loop {
            self.delete_refresh_tokens(filter, &mut gone);
            let (locks, busy) = self.lock_all(filter);
            if busy == 0 || deadline.left(&*sys.clock).is_zero() {
                self.delete_refresh_tokens(filter, &mut gone);
                return Deleted { refresh_tokens: gone.len(), held: busy, ..self.delete_tokens(filter) };
            }
            drop(locks);
            sys.clock.pause(LOOK_AGAIN);
        }
    }

    /// Whether nothing is kept any more but the key and locks.
    pub fn is_bare(&self) -> bool {
        let CacheState::Open(store) = &self.state else { return true };
        [TOKEN, GRANT, POP_KEY].iter().all(|kind| store.names(kind).is_empty())
    }

    fn delete_refresh_tokens(&self, filter: &DeleteFilter<'_>, gone: &mut BTreeSet<String>) {
        let CacheState::Open(store) = &self.state else { return };
        for name in store.names(GRANT) {
            if store.read(&name).is_some_and(|entry| (filter.refresh_token)(&entry)) {
                store.remove(&name);
                gone.insert(name);
            }
        }
    }

    fn delete_tokens(&self, filter: &DeleteFilter<'_>) -> Deleted {
        let mut gone = Deleted::default();
        for slot in self.slots() {
            let entry = slot.read();
            if !(filter.token)(&slot, &entry) {
                continue;
            }
            gone.tokens += usize::from(entry.token.is_some());
            gone.keys += usize::from(slot.pop_key().is_some());
            slot.delete();
        }
        gone
    }

    /// The locks of all places that matter, and how many of them others hold.
    fn lock_all(&self, filter: &DeleteFilter<'_>) -> (Vec<LockGuard>, usize) {
        let CacheState::Open(store) = &self.state else { return (Vec::new(), 0) };
        let stem = |file: &String| file.rsplit_once('.').map(|(stem, _)| stem.to_owned());
        let names: BTreeSet<String> =
            [TOKEN, LOCK].iter().flat_map(|kind| store.names(kind)).filter_map(|file| stem(&file)).collect();
        let slots = names.into_iter().filter(|name| name != KEY);
        let slots = slots.map(|name| Slot { cache: self, store, name });
        let (mut locks, mut busy) = (Vec::new(), 0);
        for slot in slots.filter(|slot| filter.concerns(slot, &slot.read())) {
            match slot.try_lock() {
                TryLock::Held(held) => locks.push(held),
                TryLock::Busy => busy += 1,
                TryLock::Unavailable => {}
            }
        }
        (locks, busy)
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

    fn key(name: &str) -> CacheKey {
        let mut key = CacheKey::new("token");
        key.field("name", name);
        key
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
        let token = Token { access_token: Secret::new("t"), expires_on: u64::MAX, refresh_on: None };
        let entry = TokenEntry { token: Some(token), account: Some(account(name)), ..TokenEntry::default() };
        cache.slot(&key(name)).unwrap().write(sys, &entry);
        let sign_in = RefreshTokenEntry {
            refresh_token: Secret::new("r"),
            account: account(name),
            environment: String::new(),
            shared: true,
            renewed_on: 0,
            about: RequestSummary::default(),
        };
        cache.save_refresh_token(sys, &CacheKey::new(name), &sign_in, None);
    }

    fn forget(cache: &Cache, sys: &Sys, name: &str) -> Deleted {
        let token = |_: &Slot<'_>, entry: &TokenEntry| entry.account == Some(account(name));
        cache.delete(sys, &DeleteFilter { token: &token, refresh_token: &|entry| entry.account == account(name) })
    }

    fn names(cache: &Cache) -> Vec<String> {
        cache.accounts().into_iter().map(|account| account.username).collect()
    }

    #[test]
    fn one_goes_and_the_other_stays() {
        let directory = tempfile::tempdir().unwrap();
        let cache = signed_in(directory.path(), &["a", "b"]);
        let gone = Deleted { tokens: 1, refresh_tokens: 1, ..Deleted::default() };
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
        let other = cache.slot(&key("b")).unwrap().try_lock();
        assert_eq!(forget(&cache, &sys, "a").held, 0);
        assert_eq!(clock.0.get(), Duration::ZERO);
        drop(other);
        for place in ["b", "nobody's yet"] {
            sign_in(&cache, &sys, "b");
            let held = cache.slot(&key(place)).unwrap().try_lock();
            let start = clock.0.get();
            let gone = Deleted { tokens: 1, refresh_tokens: 1, held: 1, ..Deleted::default() };
            assert_eq!(forget(&cache, &sys, "b"), gone, "{place}");
            assert!(clock.0.get() >= start + PATIENCE, "{place}");
            drop(held);
        }
        assert!(cache.is_bare());
    }
}
