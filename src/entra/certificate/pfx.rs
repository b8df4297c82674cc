//! PKCS#12 files (RFC 7292), which Windows calls PFX.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::Pkcs12Archive;
use p12_keystore::error::Error as Pkcs12Error;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Contents, Key, damaged, file_error, not_opened};
use crate::error::Error;
use crate::secret::Secret;

/// Reads every certificate and private key. A file without a password is one with an empty one.
pub(super) fn read(bytes: &[u8], password: Option<&Secret>) -> Result<Contents, Error> {
    if X509Certificate::from_der(bytes).is_ok() {
        // A certificate alone (.cer), so that the message can say what is missing.
        return Ok(Contents { certificates: vec![bytes.to_vec()], ..Contents::default() });
    }
    let archive = Pkcs12Archive::from_pkcs12(bytes, password.map_or("", Secret::expose))
        .map_err(|why| refused(&why, bytes, password))?;
    let keys = archive.keys.iter().map(|bag| Key::from_pkcs8(bag.key.as_der()));
    Ok(Contents {
        keys: keys.collect::<Result<_, _>>().map_err(|_| damaged("the private key"))?,
        certificates: archive.certs.iter().map(|bag| bag.cert.as_der().to_vec()).collect(),
    })
}

/// A wrong password shows in the MAC; in a file without one, in the padding or in a senseless key.
fn refused(why: &Pkcs12Error, bytes: &[u8], password: Option<&Secret>) -> Error {
    match why {
        Pkcs12Error::MacError(_) | Pkcs12Error::UnpadError | Pkcs12Error::InvalidPrivateKey => not_opened(password),
        Pkcs12Error::Pkcs5Error(words) if words.contains("decryption failed") => not_opened(password),
        _ if bytes.starts_with(&SEQUENCE) => file_error(
            "the client certificate's file is no PFX file, or one of an unusual kind",
            "if OpenSSL can read it, convert it to PEM: openssl pkcs12 -in OLD.pfx -out NEW.pem",
        ),
        _ if is_base64(bytes) => file_error(
            "the client certificate's file is base64 of a PFX file, which is how Key Vault hands it out",
            "decode it first: base64 -d OLD > NEW.pfx",
        ),
        _ => file_error("the client certificate's file is neither PEM nor PFX", super::BOTH),
    }
    .detail(why.to_string())
}

/// DER of a sequence with a length of two bytes, as any PFX file begins.
const SEQUENCE: [u8; 2] = [0x30, 0x82];

fn is_base64(bytes: &[u8]) -> bool {
    let text = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>();
    STANDARD.decode(text).is_ok_and(|der| der.starts_with(&SEQUENCE))
}
