//! Form bodies, read as strictly as the standard allows.

use super::refusal::Refusal;

/// The parameters of a request, decoded, in the order sent.
pub(super) struct Form {
    pairs: Vec<(String, String)>,
}

impl Form {
    /// Decodes `application/x-www-form-urlencoded`: `+` is a space, `%XX` a byte, UTF-8 inside.
    ///
    /// Refuses (9002313) what a lenient decoder would guess at, and repeated parameters
    /// (RFC 6749 §3.2).
    pub(super) fn parse(body: &[u8]) -> Result<Self, Refusal> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in body.split(|byte| *byte == b'&') {
            let equals = pair.iter().position(|byte| *byte == b'=');
            let equals = equals.ok_or_else(|| Refusal::malformed("a parameter without `=`"))?;
            let (name, value) = (decode(&pair[..equals])?, decode(&pair[equals + 1..])?);
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(Refusal::malformed(&format!("`{name}` is there twice")));
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// A parameter; an empty one counts as absent (RFC 6749 §3.2).
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that has to be there (900144).
    pub(super) fn require(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::missing(name))
    }

    /// Refuses (9002313) everything that is not in `allowed`. Entra itself ignores what it does
    /// not know; here it is a typo or a leak.
    pub(super) fn only(&self, allowed: &[&str]) -> Result<(), Refusal> {
        let mut names = self.pairs.iter().map(|(name, _)| name.as_str());
        match names.find(|name| !allowed.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Refusal::malformed(&format!("unknown parameter `{name}`"))),
        }
    }
}

fn decode(text: &[u8]) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => escaped(rest.next(), rest.next())?,
            0x21..=0x7e => *byte,
            _ => return Err(Refusal::malformed("a byte that must be escaped is not")),
        });
    }
    String::from_utf8(bytes).map_err(|_| Refusal::malformed("a parameter is not UTF-8"))
}

fn escaped(high: Option<&u8>, low: Option<&u8>) -> Result<u8, Refusal> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => Ok((high * 16 + low) as u8),
        _ => Err(Refusal::malformed("a bad percent escape")),
    }
}
