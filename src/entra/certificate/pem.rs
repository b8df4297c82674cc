//! PEM files (RFC 7468): blocks in any order, with any text in between.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::Decode;
use zeroize::Zeroizing;

use super::{Contents, Key, damaged, file_error, not_opened};
use crate::error::Error;
use crate::secret::Secret;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Whether `bytes` hold a block; text before it and a byte order mark don't matter.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(BEGIN.len()).any(|window| window == BEGIN.as_bytes())
}

/// Reads every certificate and private key.
pub(super) fn read(bytes: &[u8], password: Option<&Secret>) -> Result<Contents, Error> {
    // The text between blocks, such as names of old Windows programs, may be in any encoding.
    let text = Zeroizing::new(String::from_utf8_lossy(bytes).into_owned());
    let mut contents = Contents::default();
    for block in text.split(BEGIN).skip(1).filter_map(Block::parse) {
        match block.label {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => {
                contents.certificates.push(block.der()?.to_vec());
            }
            label if label.ends_with("PRIVATE KEY") => contents.keys.extend(block.key(password)?),
            _ => {}
        }
    }
    Ok(contents)
}

struct Block<'a> {
    label: &'a str,
    body: &'a str,
}

impl<'a> Block<'a> {
    /// `text` follows the word BEGIN.
    fn parse(text: &'a str) -> Option<Self> {
        let (label, rest) = text.split_once("-----")?;
        let (body, _) = rest.split_once(END)?;
        Some(Self { label, body })
    }

    fn der(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let base64 = Zeroizing::new(self.body.split_whitespace().collect::<String>());
        STANDARD.decode(&*base64).map(Zeroizing::new).map_err(|_| damaged(&format!("the block {}", self.label)))
    }

    fn key(&self, password: Option<&Secret>) -> Result<Option<Key>, Error> {
        Ok(Some(match self.label {
            "RSA PRIVATE KEY" if self.body.contains("ENCRYPTED") => return Err(openssl_encryption()),
            "RSA PRIVATE KEY" => Key::Rsa(self.der()?),
            "PRIVATE KEY" => Key::from_pkcs8(&self.der()?).map_err(|_| damaged("the private key"))?,
            "ENCRYPTED PRIVATE KEY" => decrypt(&self.der()?, password)?,
            "EC PRIVATE KEY" => Key::Other("EC".into()),
            "DSA PRIVATE KEY" => Key::Other("DSA".into()),
            _ => return Ok(None),
        }))
    }
}

/// RFC 5958, 3. A wrong password shows in the padding, and where that fits by chance in a key
/// that makes no sense.
fn decrypt(der: &[u8], password: Option<&Secret>) -> Result<Key, Error> {
    let info = EncryptedPrivateKeyInfoRef::from_der(der).map_err(|why| unknown_encryption(&why))?;
    if info.encryption_algorithm.pbes2().is_none() {
        return Err(unknown_encryption(&info.encryption_algorithm.oid()));
    }
    let given = password.ok_or_else(|| not_opened(password))?;
    match info.decrypt(given.expose()) {
        Ok(key) => Key::from_pkcs8(key.as_bytes()).map_err(|_| not_opened(password)),
        Err(pkcs8::Error::EncryptedPrivateKey(why)) if why != pkcs8::pkcs5::Error::DecryptFailed => {
            Err(unknown_encryption(&why))
        }
        Err(_) => Err(not_opened(password)),
    }
}

/// The older encryption schemes, PBES1.
fn unknown_encryption(why: &dyn std::fmt::Display) -> Error {
    file_error(
        "the private key in the client certificate's file is encrypted in an old or unknown way",
        "encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in OLD.key -out NEW.key",
    )
    .detail(why.to_string())
}

/// The headers `Proc-Type: 4,ENCRYPTED` and `DEK-Info` of OpenSSL before 1.0: MD5, no iterations.
fn openssl_encryption() -> Error {
    file_error(
        "the private key in the client certificate's file is encrypted in OpenSSL's old PEM format",
        "convert it: openssl pkcs8 -topk8 -in OLD.key -out NEW.key",
    )
}
