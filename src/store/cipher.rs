//! Sealing: AES-256-GCM, and names and fingerprints that are keyed hashes, under keys derived from one.

use std::io;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::key_store::KeyBytes;

/// Names and seals the files of one directory.
pub(super) struct Cipher {
    naming: hmac::Key,
    sealing: LessSafeKey,
    root: hmac::Key,
}

/// By what a text is known again: its GMAC (NIST SP 800-38D), under a nonce of its own. Without the
/// instructions that some processors have for SHA-256, that takes ten times as long.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Fingerprint {
    nonce: [u8; NONCE_LEN],
    tag: [u8; TAG_LEN],
}

/// The length of a tag of AES-GCM.
const TAG_LEN: usize = 16;

fn fresh_nonce() -> io::Result<[u8; NONCE_LEN]> {
    let mut nonce = [0; NONCE_LEN];
    aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
    Ok(nonce)
}

fn failed(_: aws_lc_rs::error::Unspecified) -> io::Error {
    io::Error::other("sealing failed")
}

/// Two digits a byte.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// File format: this magic with the format's version, the nonce, the sealed content.
const MAGIC: &[u8; 8] = b"kubentr1";

impl Cipher {
    /// Names and seals under keys derived from `key`.
    pub(super) fn new(key: &KeyBytes) -> Option<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &key[..]);
        let naming = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"kubentra 1 names").as_ref());
        let sealing = UnboundKey::new(&AES_256_GCM, hmac::sign(&root, b"kubentra 1 content").as_ref()).ok()?;
        Some(Self { naming, sealing: LessSafeKey::new(sealing), root })
    }

    /// The keyed hash of `key`, which names an entry, in hexadecimal.
    pub(super) fn name(&self, key: &[u8]) -> String {
        hexadecimal(hmac::sign(&self.naming, key).as_ref())
    }

    /// `content` sealed for the file `name`: it opens under no other name.
    pub(super) fn seal(&self, name: &str, content: &[u8]) -> io::Result<Vec<u8>> {
        let nonce = fresh_nonce()?;
        let mut sealed = content.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.sealing.seal_in_place_append_tag(unique, Aad::from(name.as_bytes()), &mut sealed).map_err(failed)?;
        Ok([MAGIC, &nonce[..], &sealed].concat())
    }

    /// By what `content` is known again.
    pub(super) fn fingerprint(&self, content: &[u8]) -> io::Result<Fingerprint> {
        let nonce = fresh_nonce()?;
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .marking()
            .map_err(failed)?
            .seal_in_place_separate_tag(unique, Aad::from(content), &mut [])
            .map_err(failed)?;
        let tag = sealed.as_ref().try_into().map_err(io::Error::other)?;
        Ok(Fingerprint { nonce, tag })
    }

    /// Whether `content` is what `fingerprint` was taken of.
    pub(super) fn matches(&self, fingerprint: &Fingerprint, content: &[u8]) -> bool {
        let nonce = Nonce::assume_unique_for_key(fingerprint.nonce);
        let marking = self.marking();
        marking.is_ok_and(|key| key.open_in_place(nonce, Aad::from(content), &mut fingerprint.tag.clone()).is_ok())
    }

    /// The key of fingerprints, made when it is asked for: tokens have none.
    fn marking(&self) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM, hmac::sign(&self.root, b"kubentra 1 fingerprints").as_ref()).map(LessSafeKey::new)
    }

    /// The content of the file `name`, or `None` if it is not what `seal` wrote for that name.
    pub(super) fn open(&self, name: &str, file: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let rest = file.strip_prefix(MAGIC)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut content = Zeroizing::new(sealed.to_vec());
        let length = self.sealing.open_in_place(nonce, Aad::from(name.as_bytes()), &mut content).ok()?.len();
        content.truncate(length);
        Some(content)
    }
}
