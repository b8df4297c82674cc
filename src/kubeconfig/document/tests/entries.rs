//! Changes of whole entries, and of `current-context`.

use super::super::{Change, Document, EditedSpan, RecordedEdit, Section, UndoState};
use super::support::parse;
use crate::yaml::Value;

const TWO: &str = "\
apiVersion: v1
clusters: # of all teams
- cluster:
    server: https://a.example # here
  name: a
- cluster: {server: https://b.example}
  name: b # last
contexts:
- context:
    cluster: a
    user: u
  name: a
current-context: a
kind: Config
users: []
";

fn server(url: &str) -> Value {
    Value::map([("certificate-authority-data", Value::text("Q0E=")), ("server", Value::text(url))])
}

fn set(section: Section, name: &str, value: Value) -> Change {
    Change::Set(section, name.into(), value)
}

/// The text after `changes`; the old bytes in the place of the new ones, and what each edit has recorded, give the
/// old one again.
fn changed(text: &str, changes: &[Change]) -> String {
    let edited = parse(text).change(changes).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut back = edited.text.clone();
    for span in edited.touched.iter().rev() {
        back.replace_range(span.new.clone(), &text[span.old.clone()]);
    }
    assert_eq!(back, text);
    edited.text
}

/// What becomes of the text when its changes are taken back one by one.
fn reverted(text: &str, changes: &[Change]) -> (String, Vec<UndoState>) {
    let edited = parse(text).change(changes).unwrap();
    let kept = |span: &EditedSpan| (text[span.old.clone()].to_owned(), edited.text[span.new.clone()].to_owned());
    let kept: Vec<_> = edited.touched.iter().map(kept).collect();
    let past = edited.touched.iter().zip(&kept).map(|(span, (before, as_left))| RecordedEdit {
        section: span.section,
        name: &span.name,
        as_left,
        before,
        column: span.column,
    });
    let (reverted, standings) = parse(&edited.text).revert(&past.collect::<Vec<_>>());
    (reverted.unwrap_or(edited.text), standings)
}

#[test]
fn entries_come_where_kubectl_has_them() {
    let new = changed(TWO, &[set(Section::Clusters, "c", server("https://c.example"))]);
    let added = "- cluster:\n    certificate-authority-data: Q0E=\n    server: https://c.example\n  name: c\n";
    assert_eq!(new, TWO.replace("contexts:", &format!("{added}contexts:")));
    let user = Value::map([("token", Value::text("t"))]);
    let new = changed(TWO, &[set(Section::Users, "u", user.clone())]);
    assert_eq!(new, TWO.replace("users: []", "users:\n- name: u\n  user:\n    token: t"));
    let missing = TWO.replace("users: []\n", "");
    assert_eq!(changed(&missing, &[set(Section::Users, "u", user.clone())]), new);
    let json = "{\"clusters\":[{\"cluster\":{\"server\":\"x\"},\"name\":\"a\"}],\"users\":[]}";
    let new = changed(json, &[set(Section::Clusters, "c", server("y")), set(Section::Users, "u", user.clone())]);
    assert_eq!(
        new,
        "{\"clusters\":[{\"cluster\":{\"server\":\"x\"},\"name\":\"a\"},{\"cluster\":{\"certificate-authority-data\":\"Q0E=\",\"server\":\"y\"},\"name\":\"c\"}],\"users\":[{\"name\":\"u\",\"user\":{\"token\":\"t\"}}]}"
    );
    let three = [
        set(Section::Clusters, "a", server("https://a.example")),
        set(Section::Contexts, "a", Value::map([("cluster", Value::text("a")), ("user", Value::text("u"))])),
        set(Section::Users, "u", user),
        Change::UseContext("a".into()),
    ];
    for empty in ["", "# mine\n", "# mine", "---\n", "null\n"] {
        let new = changed(empty, &three);
        let head = empty.replace("null\n", "").replace("mine", "mine\n").replace("\n\n", "\n");
        let expected = "apiVersion: v1\nkind: Config\nclusters:\n- cluster:\n    certificate-authority-data: Q0E=\n    server: https://a.example\n  name: a\ncontexts:\n- context:\n    cluster: a\n    user: u\n  name: a\nusers:\n- name: u\n  user:\n    token: t\ncurrent-context: a\n";
        assert_eq!(new.trim_start_matches('\n'), head + expected, "{empty:?}");
    }
}

#[test]
fn entries_change_where_they_stand() {
    let new = changed(TWO, &[set(Section::Clusters, "b", server("https://n.example"))]);
    let body = "- cluster:\n    certificate-authority-data: Q0E=\n    server: https://n.example\n  name: b # last";
    assert_eq!(new, TWO.replace("- cluster: {server: https://b.example}\n  name: b # last", body));
    let renamed = changed(TWO, &[Change::Rename(Section::Clusters, "b".into(), "yes".into())]);
    assert_eq!(renamed, TWO.replace("name: b #", "name: \"yes\" #"));
    let without = changed(TWO, &[Change::Remove(Section::Clusters, "a".into())]);
    assert_eq!(
        without,
        TWO.replace("- cluster:\n    server: https://a.example # here\n  name: a\n- cluster: {", "- cluster: {")
    );
    let last = changed(TWO, &[Change::Remove(Section::Contexts, "a".into()), Change::UseContext(String::new())]);
    let old = "contexts:\n- context:\n    cluster: a\n    user: u\n  name: a\ncurrent-context: a";
    assert_eq!(last, TWO.replace(old, "contexts: []\ncurrent-context: \"\""));
}

#[test]
fn what_is_not_there_is_refused() {
    let refused = |change: Change| parse(TWO).change(&[change]).unwrap_err().to_string();
    let gone = "`users` has no entry named `u`";
    assert_eq!(refused(Change::Remove(Section::Users, "u".into())), gone);
    assert_eq!(refused(Change::Rename(Section::Users, "u".into(), "v".into())), gone);
    let taken = "`clusters` has an entry named `b` already";
    assert_eq!(refused(Change::Rename(Section::Clusters, "a".into(), "b".into())), taken);
}

#[test]
fn every_change_can_be_taken_back() {
    let changes = [
        set(Section::Clusters, "c", server("https://c.example")),
        set(Section::Clusters, "b", server("https://n.example")),
        set(Section::Users, "u", Value::map([("token", Value::text("t"))])),
        Change::Rename(Section::Contexts, "a".into(), "b".into()),
        Change::Remove(Section::Clusters, "a".into()),
        Change::UseContext("b".into()),
    ];
    let said = |text: &str| {
        let document = Document::parse(text.to_owned()).unwrap();
        let servers = |document: &Document| {
            let mut servers: Vec<_> = document.servers().map(|(name, url)| format!("{name} {url}")).collect();
            servers.sort();
            servers
        };
        (
            servers(&document),
            document.contexts().to_vec(),
            document.current_context().map(str::to_owned),
            document.users().len(),
        )
    };
    for change in changes {
        let (text, standings) = reverted(TWO, std::slice::from_ref(&change));
        assert!(standings[0] == UndoState::Possible, "{change:?} {standings:?}");
        assert_eq!(said(&text), said(TWO), "{change:?}\n{text}");
    }
}
