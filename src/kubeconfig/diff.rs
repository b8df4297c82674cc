//! What changes in a kubeconfig, for people to read.

use similar::TextDiff;

use crate::error::Error;

use super::cannot_edit;
use super::document::Document;
use super::replace::Change;

/// A unified diff with every secret masked: those of the old text, those of the new one, and `typed`,
/// which may stand in the new text in another spelling.
///
/// # Errors
/// A new text that is no kubeconfig.
pub fn unified(change: &Change, typed: &[&str]) -> Result<String, Error> {
    let old = &change.file.document;
    let name = change.file.path.display().to_string();
    let diff = TextDiff::from_lines(old.text(), &change.text).unified_diff().header(&name, &name).to_string();
    let new = Document::parse(change.text.clone()).map_err(|error| cannot_edit(&change.file.path, &error))?;
    let secrets = [old.secrets(), new.secrets(), typed.to_vec()].concat();
    Ok(mask(&diff, &secrets))
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
