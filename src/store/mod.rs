//! Directories of sealed files: what no other user shall read, and what nobody shall have changed.
//! The cache of tokens is one, with [its own rules](crate::cache) of what is kept.

mod cipher;
mod dir;
mod key_store;
pub(crate) mod lock;
pub(crate) mod permissions;
mod storage;
mod store_error;

pub(crate) use cipher::{Fingerprint, hexadecimal};
pub(crate) use dir::{EncryptedDir, KEY_LOCK, LOCK, names};
pub(crate) use key_store::{KEY, KeyStore};
#[cfg(test)]
pub(crate) use key_store::{KeyError, fake::MemoryKeyStore};
pub(crate) use storage::Storage;
pub(crate) use store_error::StoreError;
