//! What changes in a kubeconfig, for people to read.

use similar::TextDiff;

use super::replace::Change;

/// A unified diff with every secret masked: those of the old text, those of the new one, and `typed`,
/// which may stand in the new text in another spelling.
pub fn unified(change: &Change, typed: &[&str]) -> String {
    let (old, new) = (&change.file.document, &change.edited.document);
    let name = change.file.path.display().to_string();
    let diff = TextDiff::from_lines(old.text(), new.text()).unified_diff().header(&name, &name).to_string();
    let secrets = [old.secrets(), new.secrets(), typed.to_vec()].concat();
    mask(&diff, &secrets)
}

/// Longer secrets first: one may be a part of another.
fn mask(diff: &str, secrets: &[&str]) -> String {
    let mut longest_first = secrets.to_vec();
    longest_first.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    longest_first.iter().fold(diff.to_owned(), |diff, secret| diff.replace(*secret, "***"))
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn a_secret_within_another_leaves_no_trace() {
        assert_eq!(mask("a: canary-long b: canary", &["canary", "canary-long"]), "a: *** b: ***");
    }
}
