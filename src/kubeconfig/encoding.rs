//! In which encoding a kubeconfig is written.

use std::borrow::Cow;
use std::io;

/// The encoding of a file. PowerShell 5 writes UTF-16 with a byte-order mark for `>`, and kubectl reads it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Encoding {
    /// UTF-8, with or without a mark.
    #[default]
    Utf8,
    /// UTF-16 with a mark, the low byte first.
    Utf16Le,
    /// UTF-16 with a mark, the high byte first.
    Utf16Be,
}

impl Encoding {
    /// The text of `bytes`, which begins with its byte-order mark if there is one, and how it was encoded.
    ///
    /// # Errors
    /// `InvalidData` for bytes that are neither.
    pub(crate) fn decode(bytes: Vec<u8>) -> io::Result<(Self, String)> {
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what);
        let (encoding, unit): (_, fn([u8; 2]) -> u16) = match bytes.first_chunk() {
            Some([0xff, 0xfe]) => (Self::Utf16Le, u16::from_le_bytes),
            Some([0xfe, 0xff]) => (Self::Utf16Be, u16::from_be_bytes),
            _ => return Ok((Self::Utf8, String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?)),
        };
        let (pairs, rest) = bytes.as_chunks();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty());
        Ok((encoding, text.ok_or_else(|| wrong("it is not valid UTF-16"))?))
    }

    /// The bytes of `text`.
    pub(crate) fn encode(self, text: &str) -> Cow<'_, [u8]> {
        match self {
            Self::Utf8 => text.as_bytes().into(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        }
    }
}
