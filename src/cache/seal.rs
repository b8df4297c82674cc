//! Sealing: AES-256-GCM under a random 32-byte key, and where that key is kept.

use std::io;
use std::path::PathBuf;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use super::file::{FileCheck, read_private};

/// The bytes of a key.
pub(super) type KeyBytes = Zeroizing<[u8; 32]>;

/// Keeps the key: loads and stores, and decides nothing. The operating system's stores take their
/// place here.
pub(super) trait KeyStore {
    /// The key, or `None` where there is none that can be used.
    fn load(&self) -> Result<Option<KeyBytes>, FileCheck>;
    /// Stores `key` where there is none.
    fn store(&self, key: &KeyBytes) -> io::Result<()>;
    /// Gives up a key that can't be used.
    fn discard(&self) -> io::Result<()>;
}

/// A file of mode 0600 in the 0700 directory. It protects against other users and against backups
/// of single files, not against programs of the same user (see SECURITY.md).
pub(super) struct KeyFile(pub(super) PathBuf);

impl KeyStore for KeyFile {
    fn load(&self) -> Result<Option<KeyBytes>, FileCheck> {
        let bytes = Zeroizing::new(read_private(&self.0, 64)?);
        Ok(<[u8; 32]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new))
    }

    fn store(&self, key: &KeyBytes) -> io::Result<()> {
        crate::files::create(&self.0, &key[..])
    }

    fn discard(&self) -> io::Result<()> {
        std::fs::remove_file(&self.0)
    }
}

/// Fresh random bytes for a key.
pub(super) fn random_key() -> io::Result<KeyBytes> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut key[..]).map_err(|_| io::Error::other("no random bytes"))?;
    Ok(key)
}

/// Names and seals the files of one cache.
pub(super) struct Seal {
    naming: hmac::Key,
    sealing: LessSafeKey,
}

/// File format: this magic with the format's version, the nonce, the sealed content.
const MAGIC: &[u8; 8] = b"kubentr1";

impl Seal {
    /// Names and seals under keys derived from `key`.
    pub(super) fn new(key: &KeyBytes) -> Option<Self> {
        let root = hmac::Key::new(hmac::HMAC_SHA256, &key[..]);
        let naming = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, b"kubentra 1 names").as_ref());
        let sealing = UnboundKey::new(&AES_256_GCM, hmac::sign(&root, b"kubentra 1 content").as_ref()).ok()?;
        Some(Self { naming, sealing: LessSafeKey::new(sealing) })
    }

    /// The keyed hash of `identity`, in hexadecimal.
    pub(super) fn name(&self, identity: &[u8]) -> String {
        use std::fmt::Write;
        let hash = hmac::sign(&self.naming, identity);
        let mut name = String::with_capacity(64);
        for byte in hash.as_ref() {
            let _ = write!(name, "{byte:02x}");
        }
        name
    }

    /// `content` sealed for the file `name`: it opens under no other name.
    pub(super) fn seal(&self, name: &str, content: &[u8]) -> io::Result<Vec<u8>> {
        let failed = |_| io::Error::other("sealing failed");
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(failed)?;
        let mut sealed = content.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.sealing.seal_in_place_append_tag(unique, Aad::from(name.as_bytes()), &mut sealed).map_err(failed)?;
        Ok([MAGIC, &nonce[..], &sealed].concat())
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
