//! What is kept between runs: one sealed file and one lock per key.
//!
//! Tokens are found by a keyed hash over the whole request, so an answer for one identity is never
//! given to another. Refresh tokens are found by authority, client and account.
//! Whatever cannot be read is a miss; wherever nothing can be kept, work goes on without.

mod clear;
mod delete;
mod entry;
mod location;
mod prune;

use std::cell::Cell;

use crate::cache_key::CacheKey;
use crate::entra::Account;
use crate::entra::pop::PopKey;
use crate::error::io_words;
use crate::secret::Secret;
use crate::store::{self, EncryptedDir, StoreError, lock};
use crate::sys::Sys;

pub(crate) use crate::store::lock::LockGuard;
pub(crate) use clear::{ClearedCache, clear};
pub(crate) use delete::{DeleteFilter, Deleted};
use entry::PopKeyEntry;
pub(crate) use entry::{RefreshTokenEntry, RequestSummary, SignInFailure, TokenEntry};
use location::CachePlace;
pub(crate) use location::Location;

/// Extension of a token's file.
const TOKEN: &str = "token";
/// Extension of a refresh token's file.
const GRANT: &str = "grant";
/// Extension of a key that tokens are bound to.
const POP_KEY: &str = "popkey";
/// No entry comes near this many bytes.
const LIMIT: u64 = 256 * 1024;

/// The cache of this run.
pub struct Cache {
    state: CacheState,
    /// Whether it has been said that something could not be kept.
    told: Cell<bool>,
}

enum CacheState {
    /// Reachable, with its key.
    Open(Box<EncryptedDir>),
    /// Not there yet.
    Absent(CachePlace),
    /// Not to be used.
    Off(Unused),
}

/// Why there is no cache.
enum Unused {
    /// Nothing is to be kept, which is not worth a word.
    Unwanted,
    NoHome,
    Unfit(StoreError),
}

impl Unused {
    /// Why, if that is worth saying.
    fn told(&self) -> Option<String> {
        match self {
            Self::Unwanted => None,
            Self::NoHome => Some("there is no home directory".into()),
            Self::Unfit(error) => Some(error.to_string()),
        }
    }
}

/// What another key has opened: nothing opens it now, and if others could read that key, copies may be about.
fn give_up(store: &EncryptedDir) {
    for name in store.names_of(&[TOKEN, GRANT, POP_KEY]) {
        store.remove(&name);
    }
}

impl Cache {
    /// Opens what is there and creates nothing: the warm path's way in.
    pub fn open(location: &Location) -> Self {
        let state = match location.place() {
            _ if location.is_off() => CacheState::Off(Unused::Unwanted),
            None => CacheState::Off(Unused::NoHome),
            Some(place) => match EncryptedDir::open(&place.own, LIMIT, &*place.keys) {
                Ok(Some(store)) => CacheState::Open(Box::new(store)),
                Ok(None) => CacheState::Absent(place.clone()),
                Err(error) => CacheState::Off(Unused::Unfit(error)),
            },
        };
        Self { state, told: Cell::new(false) }
    }

    /// Creates directory and key where they are missing. Where that fails, work goes on without a
    /// cache and one line says so: a token is still printed. What nothing can use any more goes on the way.
    pub fn create(&mut self, sys: &Sys) {
        if let CacheState::Absent(place) = &self.state {
            self.state = match EncryptedDir::create(&place.own, LIMIT, &*place.keys, give_up) {
                Ok(store) => CacheState::Open(Box::new(store)),
                Err(error) => CacheState::Off(Unused::Unfit(error)),
            };
        }
        if let Some(why) = self.refused() {
            sys.terminal.note(format!("note: tokens are not kept between runs: {why}"));
        }
        self.prune(sys);
    }

    /// The place of the token that `key` names, if there is a cache.
    pub fn slot(&self, key: &CacheKey) -> Option<Slot<'_>> {
        let CacheState::Open(store) = &self.state else { return None };
        Some(Slot { cache: self, store, name: store.name(key.written()) })
    }

    /// The refresh token that `key` names, if there is one.
    pub fn refresh_token(&self, key: &CacheKey) -> Option<RefreshTokenEntry> {
        let CacheState::Open(store) = &self.state else { return None };
        store.read(&grant_file(store, key))
    }

    /// Keeps a refresh token. One that another was exchanged for takes the place of that one only: who
    /// has signed in anew or out meanwhile knows better.
    pub fn save_refresh_token(&self, sys: &Sys, key: &CacheKey, entry: &RefreshTokenEntry, exchanged: Option<&Secret>) {
        let CacheState::Open(store) = &self.state else { return };
        let file = grant_file(store, key);
        store.alone(|| {
            let current = || store.read::<RefreshTokenEntry>(&file).map(|entry| entry.refresh_token);
            if exchanged.is_none_or(|exchanged| current().as_ref() == Some(exchanged)) {
                self.report(sys, store.write(&file, entry));
            }
        });
    }

    /// Every sign-in that can be read.
    pub fn refresh_tokens(&self) -> Vec<RefreshTokenEntry> {
        let CacheState::Open(store) = &self.state else { return Vec::new() };
        store.names(GRANT).iter().filter_map(|name| store.read(name)).collect()
    }

    /// Every place that holds something that can be read.
    pub fn slots(&self) -> Vec<Slot<'_>> {
        let CacheState::Open(store) = &self.state else { return Vec::new() };
        let stem = |file: &String| file.strip_suffix(&format!(".{TOKEN}")).map(String::from);
        let names = store.names(TOKEN);
        names.iter().filter_map(stem).map(|name| Slot { cache: self, store, name }).collect()
    }

    /// Everybody who is kept here, by sign-in or by token: each account once, in the order of the names.
    pub fn accounts(&self) -> Vec<Account> {
        let of_tokens = self.slots().into_iter().filter_map(|slot| slot.read().account);
        let mut all: Vec<Account> =
            self.refresh_tokens().into_iter().map(|entry| entry.account).chain(of_tokens).collect();
        all.sort_by(|one, other| (&one.username, &one.id).cmp(&(&other.username, &other.id)));
        all.dedup_by(|one, other| one.id == other.id);
        all
    }

    /// How many of the files here cannot be read: they are as good as not there, and are written anew.
    pub fn unreadable(&self) -> usize {
        match &self.state {
            CacheState::Open(store) => {
                let tokens = store.names(TOKEN).into_iter().filter(|name| store.read::<TokenEntry>(name).is_none());
                let grants =
                    store.names(GRANT).into_iter().filter(|name| store.read::<RefreshTokenEntry>(name).is_none());
                let keys = store.names(POP_KEY).into_iter().filter(|name| store.read::<PopKeyEntry>(name).is_none());
                // Another process may have removed one meanwhile.
                tokens.chain(grants).chain(keys).filter(|name| store.exists(name)).count()
            }
            // There are files, and no key that opens them.
            CacheState::Absent(place) => {
                [TOKEN, GRANT, POP_KEY].iter().map(|kind| store::names(&place.own, kind).len()).sum()
            }
            CacheState::Off(_) => 0,
        }
    }

    /// Whether there is a cache, and if not, why it must not be used, where that is worth saying.
    pub fn refused(&self) -> Option<String> {
        match &self.state {
            CacheState::Off(unused) => unused.told(),
            _ => None,
        }
    }

    /// Deletes the refresh token `dead`, unless another one has taken its place.
    pub fn delete_refresh_token(&self, key: &CacheKey, dead: &Secret) {
        let CacheState::Open(store) = &self.state else { return };
        let file = grant_file(store, key);
        store.alone(|| {
            if store.read::<RefreshTokenEntry>(&file).is_some_and(|entry| entry.refresh_token == *dead) {
                store.remove(&file);
            }
        });
    }

    /// A full disk or a read-only home costs the cache, not the token. It is said once.
    fn report(&self, sys: &Sys, written: std::io::Result<()>) {
        if let Err(error) = written
            && !self.told.replace(true)
        {
            sys.terminal.note(format!("note: the token is not kept between runs: {}", io_words(&error)));
        }
    }
}

fn grant_file(store: &EncryptedDir, key: &CacheKey) -> String {
    format!("{}.{}", store.name(key.written()), GRANT)
}

/// One place of the cache, with its lock.
pub struct Slot<'c> {
    cache: &'c Cache,
    store: &'c EncryptedDir,
    name: String,
}

impl Slot<'_> {
    /// The keyed hash of the request.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What is kept here; nothing, where it cannot be read.
    pub fn read(&self) -> TokenEntry {
        self.store.read(&self.file()).unwrap_or_default()
    }

    /// Keeps `entry` here.
    pub fn write(&self, sys: &Sys, entry: &TokenEntry) {
        self.cache.report(sys, self.store.write(&self.file(), entry));
    }

    /// The key that the token here is bound to, if there is one that can be read.
    pub fn pop_key(&self) -> Option<PopKey> {
        let saved: PopKeyEntry = self.store.read(&self.file_of(POP_KEY))?;
        PopKey::load(&saved.key)
    }

    /// Keeps `key` here. To be called under the lock: two first calls must not make two keys.
    pub fn save_pop_key(&self, sys: &Sys, key: &PopKey) {
        let Some(key) = key.stored() else { return };
        self.cache.report(sys, self.store.write(&self.file_of(POP_KEY), &PopKeyEntry { key }));
    }

    /// Deletes what is kept here.
    pub fn delete(&self) {
        self.store.remove(&self.file());
        self.store.remove(&self.file_of(POP_KEY));
    }

    /// Takes the lock of this place, if nobody holds it.
    pub fn try_lock(&self) -> TryLock {
        match lock::try_hold(&self.store.directory().join(format!("{}.{}", self.name, store::LOCK))) {
            Ok(Some(held)) => TryLock::Held(held),
            Ok(None) => TryLock::Busy,
            // Without a lock the worst is a second sign-in; without a token nothing works.
            Err(_) => TryLock::Unavailable,
        }
    }

    fn file(&self) -> String {
        self.file_of(TOKEN)
    }

    fn file_of(&self, extension: &str) -> String {
        format!("{}.{extension}", self.name)
    }
}

/// The outcome of asking for a lock.
pub enum TryLock {
    /// It is ours until this is dropped.
    Held(LockGuard),
    /// Another process works on the same token.
    Busy,
    /// There can be no lock here (no write access, a file system without locks).
    Unavailable,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entra::Token;
    use crate::os::clock::fake::FakeClock;
    use crate::secret::Secret;
    use std::path::Path;

    fn sys() -> Sys {
        Sys::fake()
    }

    /// A world in which nothing but time passes.
    pub(crate) fn sys_with(clock: FakeClock) -> Sys {
        Sys { clock: std::rc::Rc::new(clock), ..Sys::fake() }
    }

    fn key(fields: &[(&str, &str)]) -> CacheKey {
        let mut key = CacheKey::new("token");
        for (name, text) in fields {
            key.field(name, text);
        }
        key
    }

    fn cache(directory: &Path) -> Cache {
        let mut cache = Cache::open(&Location::at_rest(Some(directory.to_owned())));
        cache.create(&sys());
        cache
    }

    fn entry(text: &str) -> TokenEntry {
        let token = Token { access_token: Secret::new(text), expires_on: u64::MAX, refresh_on: None };
        TokenEntry { token: Some(token), ..TokenEntry::default() }
    }

    fn read(cache: &Cache, fields: &[(&str, &str)]) -> Option<String> {
        Some(cache.slot(&key(fields))?.read().token?.access_token.expose().to_owned())
    }

    #[test]
    fn what_is_kept_is_found_by_the_same_identity_only() {
        let directory = tempfile::tempdir().unwrap();
        let one = [("secret", "a"), ("tenant", "b")];
        cache(directory.path()).slot(&key(&one)).unwrap().write(&sys(), &entry("at"));
        let again = cache(directory.path());
        assert_eq!(read(&again, &one).as_deref(), Some("at"));
        for other in
            [[("secret", "ab"), ("tenant", "")], [("secret", "x"), ("tenant", "b")], [("tenant", "b"), ("secret", "a")]]
        {
            assert_eq!(read(&again, &other), None);
        }
    }

    #[test]
    fn files_are_sealed_private_and_named_by_nothing_that_can_be_guessed() {
        let directory = tempfile::tempdir().unwrap();
        cache(directory.path()).slot(&key(&[("secret", "canary")])).unwrap().write(&sys(), &entry("canary"));
        let own = directory.path().join("kubentra");
        for entry in std::fs::read_dir(&own).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"canary"), "{path:?}");
            #[cfg(unix)]
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777, 0o600);
        }
        let other = tempfile::tempdir().unwrap();
        cache(other.path()).slot(&key(&[("secret", "canary")])).unwrap().write(&sys(), &entry("canary"));
        let names = |path: &Path| {
            let mut names: Vec<_> =
                std::fs::read_dir(path.join("kubentra")).unwrap().map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_ne!(names(directory.path()), names(other.path()), "names depend on the key");
    }

    #[test]
    fn anything_unreadable_is_a_miss_and_heals() {
        let directory = tempfile::tempdir().unwrap();
        let fields = [("tenant", "t")];
        cache(directory.path()).slot(&key(&fields)).unwrap().write(&sys(), &entry("at"));
        let own = directory.path().join("kubentra");
        let file = std::fs::read_dir(&own)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .find(|path| path.extension().is_some_and(|extension| extension == "token"))
            .unwrap();
        let good = std::fs::read(&file).unwrap();
        let mut flipped = good.clone();
        *flipped.last_mut().unwrap() ^= 1;
        for bad in [&b""[..], &good[..good.len() / 2], &flipped, &vec![7; 100_000]] {
            let copy = tempfile::NamedTempFile::new().unwrap();
            crate::os::files::replace(copy.path(), bad).unwrap();
            std::fs::copy(copy.path(), &file).unwrap();
            let cache = cache(directory.path());
            assert_eq!(read(&cache, &fields), None);
            cache.slot(&key(&fields)).unwrap().write(&sys(), &entry("new"));
            assert_eq!(read(&cache, &fields).as_deref(), Some("new"));
        }
        crate::os::files::replace(&own.join("key"), b"short").unwrap();
        let healed = cache(directory.path());
        assert_eq!(read(&healed, &fields), None);
        healed.slot(&key(&fields)).unwrap().write(&sys(), &entry("newer"));
        assert_eq!(read(&cache(directory.path()), &fields).as_deref(), Some("newer"));
    }

    #[test]
    #[cfg(unix)]
    fn symlinks_and_loose_modes_are_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), directory.path().join("kubentra")).unwrap();
        let mut refused = Cache::open(&Location::at_rest(Some(directory.path().to_owned())));
        refused.create(&sys());
        assert!(refused.slot(&key(&[])).is_none());
        assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);

        let directory = tempfile::tempdir().unwrap();
        cache(directory.path()).slot(&key(&[])).unwrap().write(&sys(), &entry("at"));
        let file = directory.path().join("kubentra").join("key");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&cache(directory.path()), &[]), None, "a key that others could read is given up");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        let own = directory.path().join("kubentra");
        cache(directory.path()).slot(&key(&[])).unwrap().write(&sys(), &entry("at"));
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(read(&cache(directory.path()), &[]).as_deref(), Some("at"), "a loose directory is mended");
        assert_eq!(own.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    #[cfg(unix)]
    fn a_directory_of_another_user_is_refused() {
        if !rustix::process::geteuid().is_root() {
            return crate::skip::skip("only root can give a directory away");
        }
        let directory = tempfile::tempdir().unwrap();
        cache(directory.path()).slot(&key(&[])).unwrap().write(&sys(), &entry("at"));
        let own = directory.path().join("kubentra");
        for path in [own.clone(), own.join("key")] {
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            assert!(cache(directory.path()).slot(&key(&[])).is_none(), "{path:?}");
            std::os::unix::fs::chown(&path, Some(0), None).unwrap();
        }
        assert_eq!(read(&cache(directory.path()), &[]).as_deref(), Some("at"));
    }

    #[test]
    fn a_lock_excludes_and_ends_with_its_holder() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(directory.path());
        let slot = cache.slot(&key(&[])).unwrap();
        let held = slot.try_lock();
        assert!(matches!(held, TryLock::Held(_)));
        assert!(matches!(slot.try_lock(), TryLock::Busy));
        drop(held);
        assert!(matches!(slot.try_lock(), TryLock::Held(_)));
    }

    #[test]
    fn a_sign_in_is_replaced_and_removed_by_those_who_know_it() {
        let directory = tempfile::tempdir().unwrap();
        let cache = cache(directory.path());
        let key = key(&[("account", "a")]);
        let account = crate::entra::Account { id: "a".into(), username: "a".into(), aliases: Vec::new() };
        let grant = |text: &str| RefreshTokenEntry {
            refresh_token: Secret::new(text),
            account: account.clone(),
            environment: String::new(),
            shared: true,
            renewed_on: 0,
            about: RequestSummary::default(),
        };
        let save = |text, exchanged: Option<&str>| {
            cache.save_refresh_token(&sys(), &key, &grant(text), exchanged.map(Secret::new).as_ref());
            cache.refresh_token(&key).map(|grant| grant.refresh_token.expose().to_owned())
        };
        assert_eq!(save("1", None).as_deref(), Some("1"));
        assert_eq!(save("2", Some("1")).as_deref(), Some("2"), "rotated");
        assert_eq!(save("late", Some("1")).as_deref(), Some("2"), "a slow renewal does not undo a newer one");
        cache.delete_refresh_token(&key, &Secret::new("1"));
        assert_eq!(save("3", None).as_deref(), Some("3"), "signed in anew");
        cache.delete_refresh_token(&key, &Secret::new("3"));
        assert_eq!(save("back", Some("3")), None, "who has signed out stays so");
    }
}
