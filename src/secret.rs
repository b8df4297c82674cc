//! Text that must not be seen: passwords, client secrets, tokens, device codes.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// A secret text. It has no `Display`, its `Debug` hides it, and its memory is wiped on drop.
///
/// `expose` marks every place where it leaves: a request body, stdout, or a sealed file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for a request body, stdout or the sealed cache and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The text of another program or server, without what looks like a token in it: a JWT, whose header is
/// a JSON object and so begins with `eyJ`, or more characters in a row than a word or path has.
pub(crate) fn redact(text: &str) -> String {
    const LONGEST_WORD: usize = 200;
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=%".contains(c);
    let hide = |part: &str| {
        let word = part.trim_end_matches(|c| !is_of_token(c));
        let jwt = word.find("eyJ").filter(|at| *at <= LONGEST_WORD);
        let start = jwt.or((word.len() > LONGEST_WORD).then_some(0));
        start.map_or_else(|| part.into(), |at| format!("{}<token>{}", &word[..at], &part[word.len()..]))
    };
    text.split_inclusive(|c| !is_of_token(c)).map(hide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_token_is_hidden() {
        let long = "x".repeat(5000);
        for (text, shown) in [
            ("bad token=\"eyJh.eyJz.c2ln\", eyJh.eyJz.c2ln", "bad token=\"<token>\", <token>"),
            ("token=eyJh.eyJz.c2ln&x=1", "token=<token>&x=1"),
            ("got eyJh", "got <token>"),
            (&long, "<token>"),
            (&format!("a {long}eyJh b"), "a <token> b"),
            (&format!("code={}%2B", "ab%2F".repeat(60)), "<token>"),
            ("ä /opt/a-b_c.d~ 100%", "ä /opt/a-b_c.d~ 100%"),
            (&"ä".repeat(400), &"ä".repeat(400)),
        ] {
            assert_eq!(redact(text), shown, "{text}");
        }
    }

    #[test]
    fn debug_does_not_show_the_text() {
        assert_eq!(format!("{:?}", Secret::new("canary")), "<secret>");
    }
}
