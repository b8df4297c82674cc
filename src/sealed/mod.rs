//! Directories of sealed files: what no other user shall read, and what nobody shall have changed.
//! The cache of tokens is one, with [its own rules](crate::cache) of what is kept.

mod key;
pub(crate) mod lock;
pub(crate) mod private;
mod seal;
mod vault;

pub(crate) use seal::{Fingerprint, hexadecimal};
pub(crate) use vault::{EncryptedDir, KEY, LOCK, names};
