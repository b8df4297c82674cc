//! Entries that nothing can use any more go on the way, when the cache is opened for writing. Every change of
//! az's accounts, of a certificate or of a kubeconfig names another entry, and nobody asks for the old one
//! again.
//!
//! The age of a file decides first, so that little is decrypted. What goes, goes under its lock: whoever
//! is about to write an entry holds that, and whoever waits for it takes no lock whose file is gone.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use crate::store::{EncryptedDir, KEY, LOCK};
use crate::sys::Sys;

use super::{Cache, CacheState, POP_KEY, Slot, TOKEN, TokenEntry, TryLock};

/// A token may have ended, and what failed or was not there may have been remembered, this long ago.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// So long it counts what `auto` has chosen, lest it be told anew after a weekend. What cannot be read may be
/// of another key, whose owner is expected to prune it before that.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
/// So many files are looked at in one run, however many there are; the next run begins elsewhere.
const AT_ONCE: usize = 64;

impl Cache {
    /// Deletes what is of no use any more, as far as it is come upon.
    pub(super) fn prune(&self, sys: &Sys) {
        let CacheState::Open(store) = &self.state else { return };
        let prune = Prune { cache: self, store, now: sys.clock.now(), accounts: OnceCell::new() };
        for slot in prune.some_slots(sys.clock.nanoseconds()) {
            if prune.is_over(&slot) {
                prune.delete(&slot);
            }
        }
    }
}

struct Prune<'c> {
    cache: &'c Cache,
    store: &'c EncryptedDir,
    now: u64,
    /// The accounts that have a refresh token; they are read when the first is asked for.
    accounts: OnceCell<BTreeSet<String>>,
}

impl<'c> Prune<'c> {
    /// The places of some of the files, from a point on that `seed` picks.
    fn some_slots(&self, seed: u64) -> impl Iterator<Item = Slot<'c>> {
        let files = self.store.names_of(&[TOKEN, POP_KEY, LOCK]);
        let start = seed.checked_rem(files.len() as u64).and_then(|start| usize::try_from(start).ok());
        let some = files.iter().cycle().skip(start.unwrap_or_default()).take(files.len().min(AT_ONCE));
        let names: BTreeSet<&str> = some.filter_map(|file| Some(file.rsplit_once('.')?.0)).collect();
        let names: Vec<String> = names.into_iter().filter(|name| *name != KEY).map(String::from).collect();
        let (cache, store) = (self.cache, self.store);
        names.into_iter().map(move |name| Slot { cache, store, name })
    }

    /// Whether nothing can use what is at this place.
    fn is_over(&self, slot: &Slot<'_>) -> bool {
        let Some(age) = self.age(slot).filter(|age| *age > DAY) else { return false };
        if !self.store.exists(&slot.file()) {
            return true;
        }
        let Some(entry) = self.store.read::<TokenEntry>(&slot.file()) else { return age > MONTH };
        let ended = |end: u64| self.now.saturating_sub(end) > DAY.as_secs();
        let is_of_use = entry.token.as_ref().is_some_and(|token| !ended(token.expires_on))
            || entry.account.as_ref().is_some_and(|account| self.has_refresh_token(&account.id))
            || (entry.auto_method.is_some() && age <= MONTH);
        !is_of_use
    }

    /// How long ago the entry was written; where there is none, since when it has a lock. Nothing, for one of
    /// the future.
    fn age(&self, slot: &Slot<'_>) -> Option<Duration> {
        let written = |kind: &str| self.store.modified(&slot.file_of(kind));
        let written = written(TOKEN).max(written(POP_KEY)).or_else(|| written(LOCK))?;
        Duration::from_secs(self.now).checked_sub(written.duration_since(UNIX_EPOCH).ok()?)
    }

    /// Whether a refresh token may renew what is the account's. Which one would is not asked: with one
    /// cluster's entry it may serve another one.
    fn has_refresh_token(&self, account: &str) -> bool {
        let ids = || self.cache.refresh_tokens().into_iter().map(|entry| entry.account.id).collect();
        self.accounts.get_or_init(ids).contains(account)
    }

    /// Deletes the place with its lock, unless somebody is at work there or has been meanwhile.
    fn delete(&self, slot: &Slot<'_>) {
        let TryLock::Held(_held) = slot.try_lock() else { return };
        if self.is_over(slot) {
            slot.delete();
            self.store.remove(&slot.file_of(LOCK));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::cache::{Location, RefreshTokenEntry, RequestSummary};
    use crate::cache_key::CacheKey;
    use crate::entra::{Account, Token};
    use crate::os::clock::{Clock, SystemClock};
    use crate::secret::Secret;

    const NOW: u64 = 1_800_000_000;
    const HOUR: u64 = 3600;

    struct World {
        directory: tempfile::TempDir,
        sys: Sys,
    }

    impl World {
        fn new() -> Self {
            Self { directory: tempfile::tempdir().unwrap(), sys: Sys::fake() }
        }

        fn open(&self) -> Cache {
            Cache::open(&Location::at_rest(Some(self.directory.path().to_owned())))
        }

        fn create(&self) -> Cache {
            let mut cache = self.open();
            cache.create(&self.sys);
            cache
        }

        /// Opens for writing, more than once: a program that another test starts holds for a moment what is open.
        fn prune(&self) {
            for _ in 0..3 {
                self.create();
                SystemClock::start().pause(Duration::from_millis(10));
            }
        }

        /// An entry with its lock, written and last locked so many hours ago.
        fn write(&self, name: &str, hours: u64, entry: &TokenEntry) {
            let cache = self.create();
            let slot = cache.slot(&CacheKey::new(name)).unwrap();
            slot.write(&self.sys, entry);
            drop(slot.try_lock());
            for kind in [TOKEN, LOCK] {
                self.age(&slot.file_of(kind), hours);
            }
        }

        fn own(&self) -> std::path::PathBuf {
            self.directory.path().join("kubentra")
        }

        fn age(&self, file: &str, hours: u64) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW - hours * HOUR);
            let file = std::fs::File::options().write(true).open(self.own().join(file)).unwrap();
            file.set_modified(time).unwrap();
        }

        /// The extensions of the files of this name that are there.
        fn files(&self, name: &str) -> String {
            let cache = self.open();
            let slot = cache.slot(&CacheKey::new(name)).unwrap();
            let kinds = [TOKEN, POP_KEY, LOCK].into_iter().filter(|kind| self.own().join(slot.file_of(kind)).exists());
            kinds.collect::<Vec<_>>().join(" ")
        }
    }

    /// An entry whose token ends so many hours ago.
    fn ended(hours: u64) -> TokenEntry {
        let token = Token { access_token: Secret::new("t"), expires_on: NOW - hours * HOUR, refresh_on: None };
        TokenEntry { token: Some(token), ..TokenEntry::default() }
    }

    fn of(name: &str, entry: TokenEntry) -> TokenEntry {
        let account = Account { id: name.into(), username: name.into(), aliases: Vec::new() };
        TokenEntry { account: Some(account), ..entry }
    }

    #[test]
    fn what_nothing_can_use_goes_and_the_rest_stays() {
        let world = World::new();
        let auto = |entry| TokenEntry { auto_method: Some("azurecli".into()), ..entry };
        let absent = || TokenEntry { imds_absent_at: Some(NOW), ..TokenEntry::default() };
        let entries: [(&str, u64, TokenEntry, bool); 11] = [
            ("a day over", 26, ended(25), false),
            ("just over", 26, ended(23), true),
            ("good", 26, TokenEntry { token: None, ..ended(0) }, false),
            ("written lately", 23, ended(1000), true),
            ("of the future", 0, ended(1000), true),
            ("of a person without a refresh token", 26, of("b", ended(25)), false),
            ("of a person with one", 9000, of("a", ended(9000)), true),
            ("of auto", 26, auto(ended(25)), true),
            ("of auto, long ago", 31 * 24, auto(ended(25)), false),
            ("a memory", 25, absent(), false),
            ("a young memory", 23, absent(), true),
        ];
        let refresh_token = RefreshTokenEntry {
            refresh_token: Secret::new("r"),
            account: of("a", ended(0)).account.unwrap(),
            environment: String::new(),
            shared: true,
            renewed_on: 0,
            about: RequestSummary::default(),
        };
        world.create().save_refresh_token(&world.sys, &CacheKey::new("a"), &refresh_token, None);
        for (name, hours, entry, _) in entries.iter().rev() {
            world.write(name, *hours, entry);
        }
        world.prune();
        for (name, _, _, stays) in &entries {
            assert_eq!(world.files(name), if *stays { "token lock" } else { "" }, "{name}");
        }
        assert_eq!(world.open().refresh_tokens().len(), 1);
    }

    #[test]
    fn a_lock_that_is_held_stays_with_its_entry() {
        let world = World::new();
        world.write("held", 50, &ended(49));
        let cache = world.open();
        let held = cache.slot(&CacheKey::new("held")).unwrap().try_lock();
        assert!(matches!(held, TryLock::Held(_)));
        world.create();
        assert_eq!(world.files("held"), "token lock");
        drop(held);
        world.prune();
        assert_eq!(world.files("held"), "");
    }

    #[test]
    fn what_is_left_of_an_entry_goes() {
        let world = World::new();
        let cache = world.create();
        let leave = |name: &str, kinds: &[(&str, u64)]| {
            let slot = cache.slot(&CacheKey::new(name)).unwrap();
            for (kind, hours) in kinds {
                crate::os::files::create(&world.own().join(slot.file_of(kind)), b"").unwrap();
                world.age(&slot.file_of(kind), *hours);
            }
        };
        leave("lock", &[(LOCK, 25)]);
        leave("young lock", &[(LOCK, 23)]);
        leave("key", &[(POP_KEY, 25)]);
        leave("key with a lock", &[(POP_KEY, 25), (LOCK, 1)]);
        leave("young key", &[(POP_KEY, 23), (LOCK, 25)]);
        leave("young key of an old entry", &[(TOKEN, 9000), (POP_KEY, 23)]);
        world.prune();
        for gone in ["lock", "key", "key with a lock"] {
            assert_eq!(world.files(gone), "", "{gone}");
        }
        let rest = ["young lock", "young key", "young key of an old entry"].map(|name| world.files(name));
        assert_eq!(rest, ["lock", "popkey lock", "token popkey"]);
        assert!(world.own().join("key.lock").exists());
    }

    #[test]
    fn what_another_key_has_encrypted_stays_for_a_month() {
        let world = World::new();
        for hours in [25, 29 * 24, 31 * 24] {
            world.write(&hours.to_string(), hours, &ended(0));
            let cache = world.open();
            let file = cache.slot(&CacheKey::new(&hours.to_string())).unwrap().file();
            std::fs::copy(world.own().join("key"), world.own().join(&file)).unwrap();
            world.age(&file, hours);
        }
        world.prune();
        assert_eq!(["25", "696", "744"].map(|name| world.files(name)), ["token lock", "token lock", ""]);
    }

    #[test]
    fn a_run_looks_at_some_files_and_many_runs_at_all() {
        let world = World::new();
        world.create();
        for number in 0..1000 {
            let file = world.own().join(format!("{number:04}.lock"));
            crate::os::files::open_lock_file(&file).unwrap();
            world.age(file.file_name().unwrap().to_str().unwrap(), 25);
        }
        let left = || crate::store::names(&world.own(), LOCK).len();
        let cache = world.open();
        let looked_at = |seed| {
            let CacheState::Open(store) = &cache.state else { panic!("no cache") };
            let prune = Prune { cache: &cache, store, now: NOW, accounts: OnceCell::new() };
            prune.some_slots(seed).count()
        };
        assert!([0, 500, u64::MAX].iter().all(|seed| (AT_ONCE - 1..=AT_ONCE).contains(&looked_at(*seed))));
        cache.prune(&world.sys);
        assert!((1001 - AT_ONCE..=1002 - AT_ONCE).contains(&left()), "{}", left());
        (0..20).for_each(|_| cache.prune(&world.sys));
        assert_eq!(left(), 1, "the key's");
    }
}
