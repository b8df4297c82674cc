//! What changes in a kubeconfig, for people to read and, where nothing in it is masked, for `patch` to apply.

use std::path::Path;

use similar::TextDiff;

use crate::terminal::{Colour, OutputStyle};
use crate::yaml::Tree;

use super::document::fragment;
use super::mask::{self, Public, Role};
use super::replace::FileChange;

/// A unified diff of the file and what becomes of it, which is called `name` there, masked.
pub(crate) fn unified(change: &FileChange, name: &Path, public: &Public, look: OutputStyle) -> String {
    let titles = [change.file.path.display().to_string(), name.display().to_string()];
    let old = change.file.document.tree();
    let new = Tree::parse(change.edited.text.clone());
    let sides = [old, new.as_ref().unwrap_or(old)].map(|tree| (tree, Role::File));
    shown(mask::both(sides, public), &titles, look)
}

/// A unified diff of two entries of a user, each the text and how many characters stand before it on its line;
/// `None` where one can't be read without the rest of its file.
pub(crate) fn of_entries(entries: [(&str, usize); 2], titles: &[String; 2], public: &Public) -> Option<String> {
    let [old, new] = entries.map(|(text, column)| fragment(text, column));
    let (old, new) = (old?, new?);
    let texts = mask::both([(&old, Role::User), (&new, Role::User)], public);
    Some(shown(texts.map(|text| format!("{}\n", text.trim())), titles, OutputStyle::Exact))
}

fn shown(texts: [String; 2], titles: &[String; 2], look: OutputStyle) -> String {
    // For the library a `\r` alone ends a line, too; `patch` knows no other end than the newline.
    let texts = texts.map(|text| if text.ends_with('\r') { text + "\n" } else { text });
    let [old, new] = texts.each_ref().map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let diff = TextDiff::configure().newline_terminated(true).diff_slices(&old, &new).unified_diff().to_string();
    if diff.is_empty() {
        return diff;
    }
    let titles = ["---", "+++"].iter().zip(titles).map(|(sign, title)| format!("{sign} {title}"));
    let titles = titles.map(|title| look.show(&title, Some(Colour::Bold)) + "\n");
    let diff = mask::numbered(&diff);
    let lines = diff.split_inclusive('\n').map(|whole| {
        // The end of a line of Windows steers nothing.
        let line = whole.strip_suffix("\r\n").or(whole.strip_suffix('\n')).unwrap_or(whole);
        let colour = match line.bytes().next() {
            Some(b'-') => Some(Colour::Red),
            Some(b'+') => Some(Colour::Green),
            Some(b'@') => Some(Colour::Cyan),
            _ => None,
        };
        look.show(line, colour) + &whole[line.len()..]
    });
    titles.chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(old: &str, new: &str) -> String {
        shown([old, new].map(String::from), &["old", "new"].map(String::from), OutputStyle::Exact)
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
        let near = exact(&text(""), &text("").replace('x', "X\nXX"));
        assert_eq!(near, "--- old\n+++ new\n@@ -2,6 +2,7 @@\n 2\n 3\n 4\n-x\n+X\n+XX\n y\n 5\n");
    }

    #[test]
    fn a_file_without_a_last_newline_and_lines_of_windows() {
        let missing = "\\ No newline at end of file\n";
        assert_eq!(exact("a", "b"), format!("--- old\n+++ new\n@@ -1 +1 @@\n-a\n{missing}+b\n{missing}"));
        assert_eq!(exact("", "b"), format!("--- old\n+++ new\n@@ -0,0 +1 @@\n+b\n{missing}"));
        let windows = "--- old\n+++ new\n@@ -1,2 +1,2 @@\n-a\r\n+b\r\n c\rd\r\n";
        assert_eq!(exact("a\r\nc\rd\r\n", "b\r\nc\rd\r\n"), windows, "only a newline ends a line");
        assert_eq!(exact("a\r", "b\rc\r"), "--- old\n+++ new\n@@ -1 +1 @@\n-a\r\n+b\rc\r\n");
        let looks = |look| shown(["a\r\n", "b\u{1b}\r\n"].map(String::from), &["o\n", "n"].map(String::from), look);
        assert_eq!(looks(OutputStyle::Plain), "--- o\\n\n+++ n\n@@ -1 +1 @@\n-a\r\n+b\\u{1b}\r\n");
        let red = "\u{1b}[1m--- o\\n\u{1b}[0m\n\u{1b}[1m+++ n\u{1b}[0m\n\u{1b}[36m@@ -1 +1 @@\u{1b}[0m\n\u{1b}[31m-a\u{1b}[0m\r\n";
        assert!(looks(OutputStyle::Coloured).starts_with(red));
    }

    #[test]
    fn entries_are_masked_by_themselves() {
        let public = &crate::undo::public::PUBLIC;
        let titles = ["o", "n"].map(String::from);
        let of = |old, new| of_entries([old, new], &titles, public);
        let shown = of(
            ("name: a\n    user:\n      token: canary # c", 4),
            ("{\"name\": \"a\", \"user\": {\"token\": \"new\"}}", 9),
        );
        let old = "-name: a\n-    user:\n-      token: ***1 # c\n";
        assert_eq!(
            shown.unwrap(),
            format!("--- o\n+++ n\n@@ -1,3 +1 @@\n{old}+{{\"name\": \"a\", \"user\": {{\"token\": \"***2\"}}}}\n")
        );
        assert_eq!(of(("name: a\n  user: *other", 2), ("name: a", 0)), None);
    }
}
