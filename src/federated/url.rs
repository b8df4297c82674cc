//! A token from an address that somebody has named: a metadata service, a sidecar, a broker.

use ::url::Url;

use crate::cache_key::CacheKey;
use crate::net;
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::sys::http::{Request, TOKEN_GIVER};

use super::{AssertionSource, SOURCE_FLAG, refused, token_answered};

/// An address that answers a GET with a JWT, bare or in JSON.
pub(super) struct Address(pub(super) Url);

impl AssertionSource for Address {
    fn add_to_key(&self, key: &mut CacheKey) {
        key.field("token-url", self.0.as_str());
        key.field("machine", &crate::managed_identity::machine().unwrap_or_default());
    }

    fn fetch<'a>(&'a self, sys: &'a Sys, deadline: Deadline) -> BoxFuture<'a, Secret> {
        Box::pin(async move {
            let request = Request::get(self.0.clone(), &TOKEN_GIVER);
            let response = net::send(sys, &request, &net::TOKEN_ENDPOINT, deadline).await?;
            let who = net::host(&self.0);
            let token = match response.status {
                200 => token_answered(&who, &response),
                _ => Err(refused(&who, &response)),
            };
            token.map_err(|error| {
                error
                    .from_source(self.described())
                    .remedy(format!("correct {SOURCE_FLAG}; it is asked with a plain GET"))
            })
        })
    }

    /// Queries may hold keys.
    fn described(&self) -> String {
        let mut shown = self.0.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        format!("the address {shown}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, answer, chosen, token};

    #[test]
    fn a_plain_get() {
        let source = chosen("url:http://127.0.0.1:1/t?key=canary", []);
        let world = World::answering(vec![answer(200, &token("s", "x")), answer(404, "canary")]);
        assert_eq!(world.fetch(&*source), Ok(token("s", "x")));
        assert_eq!(world.requests(), ["Get http://127.0.0.1:1/t?key=canary"]);
        assert_eq!(
            world.fetch(&*source).unwrap_err(),
            "127.0.0.1:1 answered HTTP 404 (the address http://127.0.0.1:1/t); correct --federated-token-source; \
             it is asked with a plain GET"
        );
    }
}
