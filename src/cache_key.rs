//! What names a place in the cache: a canonical serialisation of everything that tells one request from another.

use zeroize::Zeroizing;

/// A canonical, versioned serialisation of everything that tells one request from another. Fields
/// are length-prefixed, so that no two requests write the same bytes.
#[derive(PartialEq, Eq)]
pub struct CacheKey(Zeroizing<Vec<u8>>);

impl CacheKey {
    /// A key of `kind`: "token" or "grant".
    pub fn new(kind: &str) -> Self {
        let mut key = Self(Zeroizing::new(Vec::with_capacity(512)));
        key.field("kubentra 1", kind);
        key
    }

    /// A part of a key, to be appended to one.
    pub fn part() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(512)))
    }

    /// Adds the fields of `part`.
    pub fn append(&mut self, part: &Self) {
        self.0.extend_from_slice(&part.0);
    }

    /// Adds a field. The text may be secret: only a keyed hash of the whole leaves this value.
    pub fn field(&mut self, name: &str, text: &str) {
        self.bytes(name, text.as_bytes());
    }

    /// Adds a field that is no text. It may be secret, too.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) {
        for part in [name.as_bytes(), bytes] {
            self.0.extend_from_slice(&(part.len() as u64).to_be_bytes());
            self.0.extend_from_slice(part);
        }
    }

    /// The serialisation. It may hold secrets.
    pub(crate) fn written(&self) -> &[u8] {
        &self.0
    }
}
