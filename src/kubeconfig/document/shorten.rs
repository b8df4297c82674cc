//! Leaves out the most of long certificates and keys before the parser looks at a file.
//!
//! They are four fifths of a large kubeconfig and one letter after the other, which mean nothing to
//! YAML: as values in a text, in quotes or in a comment, they are the same to the parser when there
//! are fewer. Nothing is edited or written here; the places that the parser reports are told as
//! places of the whole text.

/// How many letters of a value are left, and how many it has at least.
const KEPT: usize = 32;
const LONG: usize = 128;

/// A text without the most of its long values.
pub(super) struct Shortened {
    pub(super) text: String,
    cuts: Vec<Cut>,
}

/// Where something was left out.
struct Cut {
    /// The place in the shortened text.
    at: usize,
    /// How many bytes were left out up to here.
    gone: usize,
}

/// A place in a shortened text on its way from the front to the back.
#[derive(Default)]
pub(super) struct Passed {
    cuts: usize,
}

impl Shortened {
    /// Shortens every value of letters that ends its line or stands in double quotes.
    pub(super) fn of(whole: &str) -> Shortened {
        let mut short = Shortened { text: String::new(), cuts: vec![] };
        let (mut copied, mut ahead) = (0, 0);
        while let Some(colon) = whole.get(ahead..).and_then(|rest| rest.find(':')) {
            ahead += colon + 1;
            let rest = whole.as_bytes().get(ahead..).unwrap_or_default();
            let value = rest.strip_prefix(b" ").unwrap_or(rest);
            let (value, ends): (_, &[u8]) = value.strip_prefix(b"\"").map_or((value, b"\r\n"), |inner| (inner, b"\""));
            let letters = letters(value);
            let after = value.get(letters).is_none_or(|byte| ends.contains(byte));
            let start = ahead + rest.len() - value.len();
            ahead = start + letters;
            if letters >= LONG && after {
                short.text.push_str(whole.get(copied..start + KEPT).unwrap_or_default());
                let gone = ahead - short.text.len();
                short.cuts.push(Cut { at: short.text.len(), gone });
                copied = ahead;
            }
        }
        short.text.push_str(whole.get(copied..).unwrap_or_default());
        short
    }

    /// The text as it is.
    pub(super) fn nothing(whole: &str) -> Shortened {
        Shortened { text: whole.to_owned(), cuts: vec![] }
    }

    /// The place in the whole text; what was left out stands before its place.
    pub(super) fn whole(&self, place: usize, passed: &mut Passed) -> usize {
        while self.cuts.get(passed.cuts).is_some_and(|cut| cut.at <= place) {
            passed.cuts += 1;
        }
        while passed.cuts.checked_sub(1).and_then(|last| self.cuts.get(last)).is_some_and(|cut| cut.at > place) {
            passed.cuts -= 1;
        }
        let last = passed.cuts.checked_sub(1).and_then(|last| self.cuts.get(last));
        place + last.map_or(0, |cut| cut.gone)
    }
}

/// How many letters of base64 the bytes begin with, counted by the dozen.
fn letters(bytes: &[u8]) -> usize {
    let (chunks, _) = bytes.as_chunks::<32>();
    let all = |chunk: &&[u8; 32]| chunk.iter().fold(true, |all, &byte| all & is_letter(byte));
    let many = chunks.iter().take_while(all).count() * 32;
    many + bytes.iter().skip(many).take_while(|&&byte| is_letter(byte)).count()
}

/// Simple enough for the compiler to compare many at once.
const fn is_letter(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let digit = byte.wrapping_sub(b'0') < 10;
    letter || digit || byte == b'+' || byte == b'/' || byte == b'='
}
