//! What changes in a kubeconfig, for people to read and for `patch` to apply.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use similar::{Algorithm, DiffOp, DiffTag, capture_diff, group_diff_ops};

use crate::terminal::{Colour, Look};

use super::document::Touched;
use super::replace::Change;

/// How many lines stand around a change.
const CONTEXT: usize = 3;

/// A unified diff of the file and what becomes of it, which is called `name` there. Every secret is
/// masked: those of the old text, those of the new one, and `typed`, which may stand in the new text in
/// another spelling.
pub fn unified(change: &Change, name: &Path, typed: &[&str], look: Look) -> String {
    let (old, new) = (&change.file.document, &change.edited.document);
    let secrets = Secrets::of([old.secrets(), new.secrets(), typed.to_vec()].concat());
    let sides = Sides { old: Lines::of(old.text()), new: Lines::of(new.text()) };
    let mut shown = Shown { look, secrets, text: String::new() };
    for hunk in group_diff_ops(sides.compare(&change.edited.touched), CONTEXT) {
        if shown.text.is_empty() {
            shown.line(&format!("--- {}", change.file.path.display()), Some(Colour::Bold));
            shown.line(&format!("+++ {}", name.display()), Some(Colour::Bold));
        }
        shown.hunk(&hunk, &sides);
    }
    shown.text
}

/// The lines of a text, each with its end.
struct Lines<'a> {
    lines: Vec<&'a str>,
    /// Where each begins.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let starts = lines.iter().scan(0, |next, line| {
            let start = *next;
            *next += line.len();
            Some(start)
        });
        Self { starts: starts.collect(), lines }
    }

    /// The lines of `bytes`, and the one that goes on behind them.
    fn around(&self, bytes: &Range<usize>) -> Range<usize> {
        let line_of = |byte: usize| self.starts.partition_point(|start| *start <= byte);
        line_of(bytes.start).saturating_sub(1)..line_of(bytes.end)
    }
}

struct Sides<'a> {
    old: Lines<'a>,
    new: Lines<'a>,
}

impl Sides<'_> {
    /// What changes. Only the entries that were touched are compared: a file may have 100,000 lines.
    fn compare(&self, touched: &[Touched]) -> Vec<DiffOp> {
        let mut ops = Vec::new();
        let (mut old_index, mut new_index) = (0, 0);
        for (old, new) in self.regions(touched) {
            equal(&mut ops, old_index, new_index, old.start - old_index);
            (old_index, new_index) = (old.end, new.end);
            let (old_lines, new_lines) = (&self.old.lines[..], &self.new.lines[..]);
            for op in capture_diff(Algorithm::Myers, old_lines, old, new_lines, new) {
                match op {
                    DiffOp::Equal { old_index, new_index, len } => equal(&mut ops, old_index, new_index, len),
                    other => ops.push(other),
                }
            }
        }
        equal(&mut ops, old_index, new_index, self.old.lines.len() - old_index);
        ops
    }

    /// The lines of what was touched, before and after. Entries that share a line are one region.
    fn regions(&self, touched: &[Touched]) -> Vec<(Range<usize>, Range<usize>)> {
        let mut regions: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for touched in touched {
            let (old, new) = (self.old.around(&touched.old), self.new.around(&touched.new));
            match regions.last_mut() {
                Some(last) if old.start < last.0.end => (last.0.end, last.1.end) = (old.end, new.end),
                _ => regions.push((old, new)),
            }
        }
        regions
    }
}

/// Lines that stay; what stays on both sides of a border is one.
fn equal(ops: &mut Vec<DiffOp>, old_index: usize, new_index: usize, len: usize) {
    match ops.last_mut() {
        _ if len == 0 => {}
        Some(DiffOp::Equal { len: before, .. }) => *before += len,
        _ => ops.push(DiffOp::Equal { old_index, new_index, len }),
    }
}

/// The diff as it is printed.
struct Shown<'a> {
    look: Look,
    secrets: Secrets<'a>,
    text: String,
}

impl Shown<'_> {
    fn hunk(&mut self, ops: &[DiffOp], sides: &Sides) {
        let (Some(first), Some(last)) = (ops.first(), ops.last()) else { return };
        let old = place(&(first.old_range().start..last.old_range().end));
        let new = place(&(first.new_range().start..last.new_range().end));
        self.line(&format!("@@ -{old} +{new} @@"), Some(Colour::Cyan));
        for op in ops {
            if op.tag() == DiffTag::Equal {
                self.lines(' ', &sides.old.lines[op.old_range()], None);
                continue;
            }
            self.lines('-', &sides.old.lines[op.old_range()], Some(Colour::Red));
            self.lines('+', &sides.new.lines[op.new_range()], Some(Colour::Green));
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
    use super::super::Loaded;
    use super::super::document::{Change as ExecChange, Document, Edit};
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

    /// Converts every user to `args` and compares with what similar finds in the whole texts.
    fn diff(text: &str, args: &[&str]) -> String {
        let file = Loaded { path: "f".into(), document: Document::parse(text.into()).unwrap() };
        let args: Vec<String> = args.iter().map(ToString::to_string).collect();
        let change = ExecChange { args, ..ExecChange::default() };
        let users = 0..file.document.users().len();
        let edits: Vec<_> = users.map(|user| (user, Edit::Exec(change.clone()))).collect();
        let edited = file.document.edit(&edits).unwrap();
        let new = edited.document.text().to_owned();
        let found = unified(&Change { file: &file, edited }, Path::new("f"), &[], Look::Exact);
        let whole = similar::TextDiff::from_lines(text, &new).unified_diff().header("f", "f").to_string();
        assert_eq!(found, whole);
        found
    }

    #[test]
    fn only_what_was_touched_is_compared_and_nothing_is_missed() {
        let user = |name: &str| format!("- name: {name}\n  user:\n    exec:\n      args: [a]\n      command: c\n");
        let between = "# one\n# two\n# three\n# four\n# five\n# six\n# seven\n";
        for (gap, hunks) in [("", 1), ("# one\n", 1), (between, 3)] {
            let users = ["u", "v", "w"].map(user).join(gap);
            let text = format!("kind: Config\nusers:\n{users}contexts: []\n{between}");
            assert_eq!(diff(&text, &["b", "c"]).matches("\n@@ ").count(), hunks, "{gap}");
            assert_eq!(diff(text.trim_end(), &["b", "c"]).matches("\n@@ ").count(), hunks, "{gap}");
        }
        assert_eq!(diff(&format!("users:\n{}", user("u")), &["a"]), "", "nothing changes");
        let in_a_line =
            "users: [{name: u, user: {exec: {args: [a]}}}, {name: v, user: {exec: {args: [b]}}}]\nkind: x\n";
        assert_eq!(diff(in_a_line, &["c"]).matches("\n-").count(), 1);
    }

    #[test]
    fn a_file_without_a_last_newline() {
        let found = diff("users: [{name: u, user: {exec: {args: [a]}}}]", &["b"]);
        let side = |sign, arg| format!("{sign}users: [{{name: u, user: {{exec: {{args: [{arg}]}}}}}}]\n");
        let missing = "\\ No newline at end of file\n";
        assert_eq!(found, format!("--- f\n+++ f\n@@ -1 +1 @@\n{}{missing}{}{missing}", side('-', 'a'), side('+', 'b')));
    }

    #[test]
    fn places_as_diff_names_them() {
        assert_eq!([place(&(4..4)), place(&(4..5)), place(&(4..7))], ["4,0", "5", "5,3"]);
    }
}
