//! What names a place in the cache: a canonical serialisation of everything that tells one request from another.

use zeroize::Zeroizing;

/// A canonical, versioned serialisation of everything that tells one request from another. Fields
/// are length-prefixed, so that no two requests write the same bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct CacheKey {
    text: Zeroizing<Vec<u8>>,
    /// Where that begins which a login method has added.
    own: usize,
}

impl CacheKey {
    /// A key of `kind`: "token" or "grant".
    pub fn new(kind: &str) -> Self {
        let mut key = Self { text: Zeroizing::new(Vec::with_capacity(512)), own: 0 };
        key.field("kubentra 1", kind);
        key
    }

    /// The key of a token that the login method `method` gets; what the method adds comes behind.
    pub(crate) fn of_token(method: &str) -> Self {
        let mut key = Self::new("token");
        key.field("method", method);
        key.own = key.text.len();
        key
    }

    /// Adds what another method has added to its key.
    pub(crate) fn append(&mut self, other: &Self) {
        self.text.extend_from_slice(&other.text[other.own..]);
    }

    /// Adds a field. The text may be secret: only a keyed hash of the whole leaves this value.
    pub fn field(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
    }

    /// Adds a field that is no text. It may be secret, too.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.text.extend_from_slice(part);
        }
    }

    /// The serialisation. It may hold secrets.
    pub(crate) fn written(&self) -> &[u8] {
        &self.text
    }
}
