//! Whatever the store of the cache's key does, a token is had.

use std::rc::Rc;

use crate::cache::Location;
use crate::cache_key::CacheKey;
use crate::entra::{Session, Token, TokenResponse};
use crate::login::fake::with_inputs;
use crate::login::{Acquire, Login, Spec};
use crate::os::BoxFuture;
use crate::secret::Secret;
use crate::store::{KeyError, KeyStore, MemoryKeyStore};
use crate::sys::Sys;
use crate::terminal::Terminal;

/// A machine that gets another token each time.
struct Counting(std::cell::Cell<u32>);

impl Acquire for Counting {
    fn acquire<'a>(&'a self, _: &'a Session<'a>) -> BoxFuture<'a, TokenResponse> {
        self.0.set(self.0.get() + 1);
        let access_token = Secret::new(self.0.get().to_string());
        let token = Token { access_token, expires_on: u64::MAX, refresh_on: None };
        Box::pin(std::future::ready(Ok(TokenResponse { token, refresh_token: None, account: None })))
    }
}

/// The tokens of two calls, and what was said.
fn twice(keys: Rc<dyn KeyStore>) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let (terminal, said) = Terminal::plain(false);
    let sys = Sys { terminal, ..Sys::fake() };
    let tokens = with_inputs("-l azurecli --server-id SRV", [], |inputs| {
        let mut spec = Spec::parse(inputs).unwrap();
        spec.location = Location::with_keys(directory.path(), keys);
        spec.login = Rc::new(Login::new(CacheKey::of_token("counting"), Counting(0.into())));
        [(); 2].map(|()| super::token(&sys, &spec).unwrap().access_token.expose().to_owned()).join(" ")
    });
    (tokens, said.take())
}

#[test]
fn a_token_is_had_whatever_keeps_the_key() {
    assert_eq!(twice(Rc::new(MemoryKeyStore::empty())), ("1 1".into(), String::new()));
    assert_eq!(twice(Rc::new(MemoryKeyStore::holding(7))), ("1 1".into(), String::new()));
    for error in [KeyError::Denied("it is locked".into()), KeyError::Unavailable("it is locked".into())] {
        let line = "note: tokens are not kept between runs: memory: it is locked\n";
        // Each call says so; in a real process there is one.
        assert_eq!(twice(Rc::new(MemoryKeyStore::failing(error))), ("1 2".into(), line.repeat(2)));
    }
}
