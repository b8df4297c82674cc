//! What changes in a kubeconfig, for people to read and for `patch` to apply.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

use crate::terminal::{Colour, OutputStyle};

use super::document::Document;
use super::replace::FileChange;

/// How many lines stand around a change.
const CONTEXT: usize = 3;

/// Masking copies of fewer characters than these would hide half of a diff.
const SHORTEST: usize = 4;

/// A text, and the bytes of it that are not to be seen, in any order.
pub(crate) struct Side<'a> {
    text: &'a str,
    secrets: Vec<Range<usize>>,
}

impl<'a> Side<'a> {
    /// `text` with these `secrets`.
    pub(crate) fn new(text: &'a str, secrets: Vec<Range<usize>>) -> Self {
        Self { text, secrets: joined(secrets) }
    }

    fn of(document: &'a Document) -> Self {
        Self::new(document.text(), document.secrets())
    }

    // `patch` knows no other end of a line than this one.
    fn lines(&self) -> Vec<&'a str> {
        self.text.split_inclusive('\n').collect()
    }

    /// The secrets line by line.
    fn texts(&self) -> impl Iterator<Item = &'a str> {
        let texts = self.secrets.iter().filter_map(|place| self.text.get(place.clone()));
        texts.flat_map(|text| text.split(['\r', '\n']))
    }

    /// The places of the secrets in a line that begins at `start`, without the blanks around each.
    fn places(&self, start: usize, line: &str) -> impl Iterator<Item = Range<usize>> {
        let end = start + line.len();
        let first = self.secrets.partition_point(|place| place.end <= start);
        self.secrets[first..].iter().take_while(move |place| place.start < end).filter_map(move |place| {
            let (from, to) = (place.start.max(start) - start, place.end.min(end) - start);
            let secret = line.get(from..to)?;
            let from = to - secret.trim_start().len();
            Some(from..from + secret.trim().len()).filter(|place| !place.is_empty())
        })
    }
}

/// A unified diff of the file and what becomes of it, which is called `name` there. Every secret is
/// masked where it stands in the old text and in the new one; copies of it elsewhere, and of those
/// that were `typed`, where they are not too short to be told from other text.
pub(crate) fn unified(change: &FileChange, name: &Path, typed: &[&str], look: OutputStyle) -> String {
    let titles = [change.file.path.display().to_string(), name.display().to_string()];
    let new = Document::parse(change.edited.text.clone());
    let new = new.as_ref().unwrap_or(&change.file.document);
    let sides = [Side::of(&change.file.document), Side::of(new)];
    shown(&sides, [&titles[0], &titles[1]], typed, look)
}

/// A unified diff of two texts under their `titles`, byte for byte but for the secrets.
pub(crate) fn between(old: Side, new: Side, titles: (&str, &str)) -> String {
    shown(&[old, new], [titles.0, titles.1], &[], OutputStyle::Exact)
}

fn shown(sides: &[Side; 2], titles: [&str; 2], typed: &[&str], look: OutputStyle) -> String {
    let [old, new] = sides.each_ref().map(Side::lines);
    let hunks = group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), CONTEXT);
    let secrets = Copies::of(sides.iter().flat_map(Side::texts).chain(typed.iter().copied()));
    let [old, new] = [Lines::of(&sides[0], old), Lines::of(&sides[1], new)];
    let mut diff = Shown { look, secrets, text: String::new() };
    if !hunks.is_empty() {
        diff.line(&format!("--- {}", titles[0]), Some(Colour::Bold));
        diff.line(&format!("+++ {}", titles[1]), Some(Colour::Bold));
    }
    for hunk in hunks {
        diff.hunk(&hunk, &old, &new);
    }
    diff.text
}

/// In order, and none that overlaps another.
fn joined(mut places: Vec<Range<usize>>) -> Vec<Range<usize>> {
    places.retain(|place| !place.is_empty());
    places.sort_unstable_by_key(|place| place.start);
    let mut joined: Vec<Range<usize>> = Vec::with_capacity(places.len());
    for place in places {
        match joined.last_mut().filter(|last| place.start < last.end) {
            Some(last) => last.end = last.end.max(place.end),
            None => joined.push(place),
        }
    }
    joined
}

/// The lines of a side, and where each begins.
struct Lines<'a> {
    side: &'a Side<'a>,
    lines: Vec<&'a str>,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(side: &'a Side<'a>, lines: Vec<&'a str>) -> Self {
        let starts = lines.iter().scan(0, |next, line| {
            let start = *next;
            *next += line.len();
            Some(start)
        });
        Self { side, starts: starts.collect(), lines }
    }

    fn places(&self, index: usize) -> impl Iterator<Item = Range<usize>> {
        self.side.places(self.starts[index], self.lines[index])
    }
}

/// The diff as it is printed.
struct Shown<'a> {
    look: OutputStyle,
    secrets: Copies<'a>,
    text: String,
}

impl Shown<'_> {
    fn hunk(&mut self, ops: &[DiffOp], old: &Lines, new: &Lines) {
        let (Some(first), Some(last)) = (ops.first(), ops.last()) else { return };
        let old_place = place(&(first.old_range().start..last.old_range().end));
        let new_place = place(&(first.new_range().start..last.new_range().end));
        self.line(&format!("@@ -{old_place} +{new_place} @@"), Some(Colour::Cyan));
        for op in ops {
            if op.tag() == DiffTag::Equal {
                // What is secret in one of them only is the same text in both.
                for (index, other) in op.old_range().zip(op.new_range()) {
                    let places = joined(old.places(index).chain(new.places(other)).collect());
                    self.printed(' ', old.lines[index], &places, None);
                }
                continue;
            }
            for (sign, lines, range, colour) in
                [('-', old, op.old_range(), Colour::Red), ('+', new, op.new_range(), Colour::Green)]
            {
                for index in range {
                    self.printed(sign, lines.lines[index], &lines.places(index).collect::<Vec<_>>(), Some(colour));
                }
            }
        }
    }

    fn printed(&mut self, sign: char, line: &str, secrets: &[Range<usize>], colour: Option<Colour>) {
        let (line, ends) = line.strip_suffix('\n').map_or((line, false), |line| (line, true));
        // The end of a line of Windows steers nothing.
        let (line, end) = match line.strip_suffix('\r') {
            Some(line) if ends => (line, "\r"),
            _ => (line, ""),
        };
        let masked = self.secrets.mask(line, secrets);
        self.text.push_str(&self.look.show(&format!("{sign}{masked}"), colour));
        self.text.push_str(end);
        self.text.push_str(if ends { "\n" } else { "\n\\ No newline at end of file\n" });
    }

    fn line(&mut self, line: &str, colour: Option<Colour>) {
        self.text.push_str(&self.look.show(line, colour));
        self.text.push('\n');
    }
}

/// How a hunk names lines: the first and, unless it is one, how many. Of none it names the line before.
fn place(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        count => format!("{},{count}", lines.start + 1),
    }
}

/// Texts that are not to be seen wherever they stand, by the four bytes that they begin with: there may
/// be thousands.
struct Copies<'a> {
    by_beginning: HashMap<[u8; 4], Vec<&'a str>>,
}

impl<'a> Copies<'a> {
    fn of(secrets: impl Iterator<Item = &'a str>) -> Self {
        let mut found = Self { by_beginning: HashMap::new() };
        for secret in secrets.map(str::trim).filter(|secret| secret.chars().count() >= SHORTEST) {
            if let Some(beginning) = secret.as_bytes().first_chunk() {
                found.by_beginning.entry(*beginning).or_default().push(secret);
            }
        }
        for of_one in found.by_beginning.values_mut() {
            of_one.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
            of_one.dedup();
        }
        found
    }

    /// `line` with `***` in these `places` and in those of all copies; of two that overlap no end is left
    /// over.
    fn mask(&self, line: &str, places: &[Range<usize>]) -> String {
        let mut masked = String::with_capacity(line.len());
        let mut places = places.iter().peekable();
        let mut secret_until = 0;
        for (at, c) in line.char_indices() {
            let place = places.next_if(|place| place.start <= at).map(|place| place.end);
            let copy = self.longest(&line.as_bytes()[at..]).map(|len| at + len);
            if let Some(end) = place.max(copy) {
                if at >= secret_until {
                    masked.push_str("***");
                }
                secret_until = secret_until.max(end);
            }
            if at >= secret_until {
                masked.push(c);
            }
        }
        masked
    }

    /// The length of the longest secret that `rest` begins with.
    fn longest(&self, rest: &[u8]) -> Option<usize> {
        let of_one = self.by_beginning.get(rest.first_chunk()?)?;
        of_one.iter().find(|secret| rest.starts_with(secret.as_bytes())).map(|secret| secret.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_within_another_leaves_no_trace() {
        let mask = |line: &str, secrets: &[&str]| Copies::of(secrets.iter().copied()).mask(line, &[]);
        assert_eq!(mask("a: canary-long b: canary", &["canary", "canary-long"]), "a: *** b: ***");
        assert_eq!(mask("x abcdefgh y", &["abcdef", "defgh"]), "x *** y", "they overlap");
        assert_eq!(mask("abcdabcd", &["abcd"]), "******");
        assert_eq!(mask("a: abc, éééé, ééé", &["abc", "éééé", "ééé", "a"]), "a: abc, ***, ééé", "too short");
        assert_eq!(mask("nothing", &[]), "nothing");
    }

    #[test]
    fn places_and_copies_leave_no_trace_of_each_other() {
        let mask = |line: &str, places: &[Range<usize>]| Copies::of(["canary"].into_iter()).mask(line, places);
        assert_eq!(mask("x xcanaryx x", &[2..4, 8..10]), "x *** x");
        assert_eq!(mask("x canary x z", &[4..10, 11..12]), "x *** ***");
        assert_eq!(mask("é: é", &[0..2, 4..6]), "***: ***");
    }

    #[test]
    fn short_secrets_are_masked_where_they_stand() {
        let side = |text| Side::new(text, vec![2..3, 2..2]);
        let diff = between(side("- n\nname: n\n"), side("- e\nname: n\n"), ("o", "n"));
        assert_eq!(diff, "--- o\n+++ n\n@@ -1,2 +1,2 @@\n-- ***\n+- ***\n name: n\n", "and show as changed");
    }

    #[test]
    fn what_is_secret_on_one_side_is_masked_in_lines_of_both() {
        let diff = between(Side::new("n\n", vec![]), Side::new("m\nn\n", vec![0..1, 2..3, 2..4]), ("o", "n"));
        assert_eq!(diff, "--- o\n+++ n\n@@ -1 +1,2 @@\n+***\n ***\n");
    }

    #[test]
    fn a_secret_of_several_lines_keeps_their_number_and_indentation() {
        let side = Side::new("a: |\r\n  x\r\n\r\n  y z\r\nb", vec![6..7, 6..18]);
        let diff = between(side, Side::new("", vec![]), ("o", "n"));
        let missing = "\\ No newline at end of file\n";
        assert_eq!(diff, format!("--- o\n+++ n\n@@ -1,5 +0,0 @@\n-a: |\r\n-  ***\r\n-\r\n-  ***\r\n-b\n{missing}"));
    }

    fn exact(old: &str, new: &str) -> String {
        let side = |text| Side::new(text, vec![]);
        shown(&[side(old), side(new)], ["old", "new"], &["canary"], OutputStyle::Exact)
    }

    #[test]
    fn what_is_alike_is_no_diff() {
        assert_eq!([exact("", ""), exact("a\n", "a\n")], ["", ""]);
    }

    #[test]
    fn changes_that_are_near_are_one_hunk() {
        let text = |gap: &str| format!("1\n2\n3\n4\nx\n{gap}y\n5\n");
        let hunks =
            |gap: &str| exact(&text(gap), &text(gap).replace('x', "X").replace('y', "Y")).matches("\n@@").count();
        assert_eq!((hunks("a\nb\nc\nd\ne\nf\n"), hunks("a\nb\nc\nd\ne\nf\ng\n")), (1, 2));
        let near = exact(&text("a canary\n"), &text("a canary\n").replace('x', "X\nXX"));
        assert_eq!(near, "--- old\n+++ new\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-x\n+X\n+XX\n a ***\n y\n 5\n");
    }

    #[test]
    fn a_file_without_a_last_newline_and_lines_of_windows() {
        let missing = "\\ No newline at end of file\n";
        assert_eq!(exact("a", "b"), format!("--- old\n+++ new\n@@ -1 +1 @@\n-a\n{missing}+b\n{missing}"));
        assert_eq!(exact("", "b"), format!("--- old\n+++ new\n@@ -0,0 +1 @@\n+b\n{missing}"));
        let windows = "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-a\r\n+b\r\n c\rd\r\n";
        assert_eq!(exact("a\r\nc\rd\r\n", "b\r\nc\rd\r\n"), windows, "only a newline ends a line");
        let shown =
            shown(&["a\r\n", "b\u{1b}\r\n"].map(|text| Side::new(text, vec![])), ["o", "n"], &[], OutputStyle::Plain);
        assert_eq!(shown, "--- o\n+++ n\n@@ -1 +1 @@\n-a\r\n+b\\u{1b}\r\n");
    }

    #[test]
    fn places_as_diff_names_them() {
        assert_eq!([place(&(4..4)), place(&(4..5)), place(&(4..7))], ["4,0", "5", "5,3"]);
    }
}
