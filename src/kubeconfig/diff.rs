//! What changes in a kubeconfig, for people to read and for `patch` to apply.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices, group_diff_ops};

use crate::terminal::{Colour, Look};

use super::replace::Change;

/// How many lines stand around a change.
const CONTEXT: usize = 3;

/// A unified diff of the file and what becomes of it, which is called `name` there. Every secret is
/// masked: those of the old text, those of the new one, and `typed`, which may stand in the new text in
/// another spelling.
pub fn unified(change: &Change, name: &Path, typed: &[&str], look: Look) -> String {
    let (old, new) = (&change.file.document, &change.edited.document);
    let titles = [change.file.path.display().to_string(), name.display().to_string()];
    let secrets = [old.secrets(), new.secrets(), typed.to_vec()].concat();
    shown([old.text(), new.text()], [&titles[0], &titles[1]], secrets, look)
}

/// A unified diff of two texts under their `titles`, with all `secrets` masked, byte for byte.
pub fn between(old: &str, new: &str, titles: (&str, &str), secrets: &[&str]) -> String {
    shown([old, new], [titles.0, titles.1], secrets.to_vec(), Look::Exact)
}

fn shown(texts: [&str; 2], titles: [&str; 2], secrets: Vec<&str>, look: Look) -> String {
    // `patch` knows no other end of a line than this one.
    let [old, new] = texts.map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let hunks = group_diff_ops(capture_diff_slices(Algorithm::Myers, &old, &new), CONTEXT);
    let mut diff = Shown { look, secrets: Secrets::of(secrets), text: String::new() };
    if !hunks.is_empty() {
        diff.line(&format!("--- {}", titles[0]), Some(Colour::Bold));
        diff.line(&format!("+++ {}", titles[1]), Some(Colour::Bold));
    }
    for hunk in hunks {
        diff.hunk(&hunk, &old, &new);
    }
    diff.text
}

/// The diff as it is printed.
struct Shown<'a> {
    look: Look,
    secrets: Secrets<'a>,
    text: String,
}

impl Shown<'_> {
    fn hunk(&mut self, ops: &[DiffOp], old_lines: &[&str], new_lines: &[&str]) {
        let (Some(first), Some(last)) = (ops.first(), ops.last()) else { return };
        let old = place(&(first.old_range().start..last.old_range().end));
        let new = place(&(first.new_range().start..last.new_range().end));
        self.line(&format!("@@ -{old} +{new} @@"), Some(Colour::Cyan));
        for op in ops {
            if op.tag() == DiffTag::Equal {
                self.lines(' ', &old_lines[op.old_range()], None);
                continue;
            }
            self.lines('-', &old_lines[op.old_range()], Some(Colour::Red));
            self.lines('+', &new_lines[op.new_range()], Some(Colour::Green));
        }
    }

    fn lines(&mut self, sign: char, lines: &[&str], colour: Option<Colour>) {
        for line in lines {
            let (line, ends) = line.strip_suffix('\n').map_or((*line, false), |line| (line, true));
            // The end of a line of Windows steers nothing.
            let (line, end) = match line.strip_suffix('\r') {
                Some(line) if ends => (line, "\r"),
                _ => (line, ""),
            };
            let masked = self.secrets.mask(line);
            self.text.push_str(&self.look.show(&format!("{sign}{masked}"), colour));
            self.text.push_str(end);
            self.text.push_str(if ends { "\n" } else { "\n\\ No newline at end of file\n" });
        }
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

/// Texts that are not to be seen, by their first byte and then by the four that they begin with: there
/// may be thousands.
struct Secrets<'a> {
    short: Vec<&'a str>,
    by_beginning: HashMap<[u8; 4], Vec<&'a str>>,
}

impl<'a> Secrets<'a> {
    fn of(secrets: Vec<&'a str>) -> Self {
        let mut found = Self { short: Vec::new(), by_beginning: HashMap::new() };
        for secret in secrets {
            match secret.as_bytes().first_chunk() {
                Some(beginning) => found.by_beginning.entry(*beginning).or_default().push(secret),
                None => found.short.push(secret),
            }
        }
        for of_one in found.by_beginning.values_mut() {
            of_one.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then(one.cmp(other)));
            of_one.dedup();
        }
        found
    }

    /// `line` with `***` in the place of every secret; of two that overlap no end is left over.
    fn mask(&self, line: &str) -> String {
        let mut masked = String::with_capacity(line.len());
        let mut secret_until = 0;
        for (at, c) in line.char_indices() {
            if let Some(len) = self.longest(&line.as_bytes()[at..]) {
                if at >= secret_until {
                    masked.push_str("***");
                }
                secret_until = secret_until.max(at + len);
            }
            if at >= secret_until {
                masked.push(c);
            }
        }
        masked
    }

    /// The length of the longest secret that `rest` begins with.
    fn longest(&self, rest: &[u8]) -> Option<usize> {
        let begins = |secret: &&&str| rest.starts_with(secret.as_bytes());
        let long = rest.first_chunk().and_then(|beginning| self.by_beginning.get(beginning)?.iter().find(begins));
        let short = self.short.iter().filter(begins).map(|secret| secret.len()).max();
        long.map(|secret| secret.len()).or(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_within_another_leaves_no_trace() {
        let mask = |line: &str, secrets: &[&str]| Secrets::of(secrets.to_vec()).mask(line);
        assert_eq!(mask("a: canary-long b: canary", &["canary", "canary-long"]), "a: *** b: ***");
        assert_eq!(mask("x abcdefgh y", &["abcdef", "defgh"]), "x *** y", "they overlap");
        assert_eq!(mask("abcdabcd", &["abcd"]), "******");
        assert_eq!(mask("é: x1, ab", &["x1", "é", "ab"]), "***: ***, ***", "whoever types a short one has it masked");
        assert_eq!(mask("nothing", &[]), "nothing");
    }

    fn exact(old: &str, new: &str) -> String {
        between(old, new, ("old", "new"), &["canary"])
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
        let shown = shown(["a\r\n", "b\u{1b}\r\n"], ["o", "n"], vec![], Look::Plain);
        assert_eq!(shown, "--- o\n+++ n\n@@ -1 +1 @@\n-a\r\n+b\\u{1b}\r\n");
    }

    #[test]
    fn places_as_diff_names_them() {
        assert_eq!([place(&(4..4)), place(&(4..5)), place(&(4..7))], ["4,0", "5", "5,3"]);
    }
}
