//! Where tokens are kept: what `--cache-storage` and `--cache-dir` come to, for every command.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::store::{KeyStore, Storage};

/// Our directory below the cache directory, which we share with kubelogin's files or kubectl's.
const OWN: &str = "kubentra";

/// Where tokens are kept, if they are.
#[derive(Clone)]
pub struct Location {
    /// Whether tokens are to be kept at all.
    wanted: bool,
    place: Option<CachePlace>,
}

/// A directory for entries, and what keeps their key.
#[derive(Clone)]
pub(super) struct CachePlace {
    pub(super) cache_dir: PathBuf,
    pub(super) own: PathBuf,
    pub(super) keys: Rc<dyn KeyStore>,
}

impl Location {
    /// For a request whose token is `cacheable`: below `cache_dir`, unless there is no home directory for it.
    pub fn resolve(storage: Storage, cacheable: bool, cache_dir: Option<PathBuf>) -> Self {
        let place = cache_dir.map(|cache_dir| {
            let own = cache_dir.join(OWN);
            CachePlace { keys: storage.key_store(&own), cache_dir, own }
        });
        Self { wanted: cacheable && storage.keeps(), place }
    }

    /// For whoever looks after what is there, whether or not more is to be kept.
    pub fn at_rest(cache_dir: Option<PathBuf>) -> Self {
        Self::resolve(Storage::File, true, cache_dir)
    }

    /// Below `cache_dir`, with another store of the key.
    #[cfg(test)]
    pub(crate) fn with_keys(cache_dir: &Path, keys: Rc<dyn KeyStore>) -> Self {
        let place = CachePlace { keys, cache_dir: cache_dir.to_owned(), own: cache_dir.join(OWN) };
        Self { wanted: true, place: Some(place) }
    }

    /// Whether nothing is to be kept.
    pub fn is_off(&self) -> bool {
        !self.wanted
    }

    /// Where the entries lie, or would; nothing without a home directory.
    pub fn directory(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| &*place.own)
    }

    pub(super) fn place(&self) -> Option<&CachePlace> {
        self.place.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{Cache, RefreshTokenEntry, RequestSummary, TokenEntry, clear};
    use crate::cache_key::CacheKey;
    use crate::entra::{Account, Token};
    use crate::os::clock::SystemClock;
    use crate::secret::Secret;
    use crate::store::{KeyError, MemoryKeyStore};
    use crate::sys::Sys;
    use crate::terminal::Terminal;

    /// Its time is that of the files.
    fn sys() -> Sys {
        Sys { clock: Rc::new(SystemClock::start()), ..Sys::fake() }
    }

    fn entry(text: &str) -> TokenEntry {
        let token = Token { access_token: Secret::new(text), expires_on: u64::MAX, refresh_on: None };
        TokenEntry { token: Some(token), ..TokenEntry::default() }
    }

    fn grant() -> RefreshTokenEntry {
        RefreshTokenEntry {
            refresh_token: Secret::new("rt"),
            account: Account { id: "a".into(), username: "a".into(), aliases: Vec::new() },
            environment: String::new(),
            shared: true,
            renewed_on: 0,
            about: RequestSummary::default(),
        }
    }

    /// The token and the refresh token in a cache that is opened anew.
    fn read(location: &Location) -> (Option<String>, Option<String>) {
        let cache = Cache::open(location);
        let token = cache.slot(&CacheKey::new("token")).and_then(|slot| slot.read().token);
        let grant = cache.refresh_token(&CacheKey::new("grant"));
        (token.map(|token| token.access_token.expose().into()), grant.map(|grant| grant.refresh_token.expose().into()))
    }

    fn written(location: &Location, text: &str) -> Cache {
        let mut cache = Cache::open(location);
        cache.create(&sys());
        cache.slot(&CacheKey::new("token")).unwrap().write(&sys(), &entry(text));
        cache.save_refresh_token(&sys(), &CacheKey::new("grant"), &grant(), None);
        cache
    }

    #[test]
    fn a_cache_works_on_any_store_of_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let keys = Rc::new(MemoryKeyStore::empty());
        let location = Location::with_keys(directory.path(), keys.clone());
        assert!(Cache::open(&location).slot(&CacheKey::new("token")).is_none() && !keys.has_key());
        written(&location, "at");
        let both = |text: &str| (Some(text.to_owned()), Some("rt".to_owned()));
        assert!(keys.has_key(), "a key that is absent is made");
        assert!(!location.directory().unwrap().join("key").exists());
        assert_eq!(read(&location), both("at"));
        // A second cache below the same directory, as one program in two versions may have it.
        let other = Location::with_keys(directory.path(), Rc::new(MemoryKeyStore::holding(7)));
        assert_eq!(read(&other), (None, None), "another key opens nothing");
        assert_eq!(Cache::open(&other).unreadable(), 2);
        assert_eq!(written(&other, "new").slots().len(), 2);
        assert_eq!((read(&other), read(&location)), (both("new"), both("at")), "and spoils nothing");
        let cleared = clear(&location).unwrap();
        assert_eq!((cleared.tokens, cleared.refresh_tokens, keys.has_key()), (2, 2, false));
        assert!(!directory.path().exists());
        assert_eq!(written(&location, "again").slots().len(), 1);
    }

    #[test]
    fn a_key_that_is_lost_costs_what_it_opened_and_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let keys = Rc::new(MemoryKeyStore::empty());
        let location = Location::with_keys(directory.path(), keys.clone());
        written(&location, "at");
        keys.delete().unwrap();
        assert_eq!(read(&location), (None, None));
        assert_eq!(Cache::open(&location).unreadable(), 2);
        written(&location, "new");
        assert_eq!(read(&location).0.as_deref(), Some("new"));
    }

    #[test]
    fn a_store_that_gives_no_key_turns_the_cache_off_in_one_line() {
        let why = || String::from("why");
        for (error, reason) in [
            (KeyError::Denied(why()), "memory: why"),
            (KeyError::Unavailable(why()), "memory: why"),
            (KeyError::Refused(why()), "why"),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let location = Location::with_keys(directory.path(), Rc::new(MemoryKeyStore::failing(error)));
            let (terminal, said) = Terminal::plain(false);
            let sys = Sys { terminal, ..Sys::fake() };
            let mut cache = Cache::open(&location);
            cache.create(&sys);
            assert!(cache.slot(&CacheKey::new("token")).is_none());
            assert_eq!(said.take(), format!("note: tokens are not kept between runs: {reason}\n"));
            assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn what_is_not_to_be_kept_is_told_from_what_cannot_be() {
        let directory = || Some(PathBuf::from("/nowhere"));
        let off = |storage, cacheable, directory| {
            let location = Location::resolve(storage, cacheable, directory);
            (location.is_off(), Cache::open(&location).refused())
        };
        assert_eq!(off(Storage::File, true, directory()), (false, None));
        assert_eq!(off(Storage::File, false, directory()), (true, None));
        assert_eq!(off(Storage::None, true, directory()), (true, None));
        assert_eq!(off(Storage::None, true, None), (true, None));
        assert_eq!(off(Storage::File, true, None), (false, Some("there is no home directory".into())));
        let none = Location::resolve(Storage::None, true, directory());
        assert_eq!(none.directory(), Some(Path::new("/nowhere/kubentra")));
    }
}
