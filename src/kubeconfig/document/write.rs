//! Writes lists and mappings in the style of the file.

use super::scalar::{is_printable, scalar_text};
use super::tree::Tree;
use super::{NewExec, Variable};

/// A member of `exec` that is a list.
#[derive(Clone, Copy)]
pub(super) enum List<'a> {
    Args(&'a [String]),
    Variables(&'a [Variable]),
}

impl List<'_> {
    pub(super) fn key(self) -> &'static str {
        match self {
            List::Args(_) => "args",
            List::Variables(_) => "env",
        }
    }

    /// The members that may follow it in kubectl's order, the best place first.
    pub(super) fn followers(self) -> &'static [&'static str] {
        match self {
            List::Args(_) => &["command"],
            List::Variables(_) => &["installHint", "interactiveMode", "provideClusterInfo", "command"],
        }
    }

    /// Its items as lines of a block.
    fn lines(self) -> Vec<String> {
        match self {
            List::Args(args) => args.iter().map(|arg| format!("- {}", scalar_text(arg, false, false))).collect(),
            List::Variables(variables) => variable_lines(variables, false),
        }
    }
}

/// How a list or mapping is laid out.
pub(super) struct Layout {
    flow: bool,
    eol: &'static str,
    /// All strings in double quotes, as JSON has them.
    pub(super) quoted: bool,
    /// No blanks after `:` and `,`.
    tight: bool,
    /// One item a line: the indentation of the items and of the closing bracket.
    pub(super) lines: Option<(String, String)>,
}

impl Layout {
    /// A block needs no more than how to write its scalars.
    pub(super) const fn block(quoted: bool) -> Layout {
        Layout { flow: false, eol: "", quoted, tight: false, lines: None }
    }

    /// The layout of a value on the line of its key, as found after that key.
    pub(super) fn line(tree: &Tree, key: usize) -> Layout {
        let quoted = tree.all_quoted(&[key]);
        let after = tree.after_colon(key).ok().and_then(|after| tree.text.get(after..));
        let blank = after.is_none_or(|rest| rest.starts_with([' ', '\t', '\r', '\n']));
        Layout { flow: true, eol: tree.eol, quoted, tight: quoted && !blank, lines: None }
    }

    /// The layout of a collection that is the value of `key` in `mapping`.
    pub(super) fn nested(tree: &Tree, mapping: usize, key: usize) -> Layout {
        let lines = tree.lines(mapping).filter(|_| tree.is_flow(mapping) && tree.indent_at(tree.start(key)).is_some());
        Layout { lines: lines.map(deeper), ..Layout::line(tree, key) }
    }

    pub(super) fn exec(&self, new: &NewExec) -> String {
        let inner = Layout { lines: self.lines.clone().map(deeper), ..*self };
        let text = |text: &str| self.text(text);
        let members = [
            ("apiVersion", text(&new.api_version)),
            ("args", inner.member(List::Args(&new.args))),
            ("command", text(&new.command)),
            ("env", inner.member(List::Variables(&new.env))),
            ("installHint", text(&new.install_hint)),
            ("interactiveMode", text(&new.interactive_mode)),
            ("provideClusterInfo", "false".to_owned()),
        ];
        let members: Vec<_> = members.iter().map(|(key, value)| self.key(key) + value).collect();
        self.bracket('{', &members, '}')
    }

    pub(super) fn text(&self, text: &str) -> String {
        scalar_text(text, self.flow, self.quoted)
    }

    /// A list as the value of its key; no variables are null, as in kubectl's files.
    pub(super) fn member(&self, list: List) -> String {
        match list {
            List::Args(args) => self.list(&args.iter().map(|arg| self.text(arg)).collect::<Vec<_>>()),
            List::Variables([]) => "null".to_owned(),
            List::Variables(variables) => {
                let item = Layout { lines: self.lines.clone().map(deeper), ..*self };
                self.list(&variables.iter().map(|variable| item.variable(variable)).collect::<Vec<_>>())
            }
        }
    }

    pub(super) fn variable(&self, (name, value): &Variable) -> String {
        let members = [("name", name), ("value", value)];
        self.bracket('{', &members.map(|(key, text)| self.key(key) + &self.text(text)), '}')
    }

    pub(super) fn list(&self, items: &[String]) -> String {
        self.bracket('[', items, ']')
    }

    fn bracket(&self, open: char, items: &[String], close: char) -> String {
        match &self.lines {
            Some((indent, outer)) if !items.is_empty() => {
                let eol = self.eol;
                let items = items.join(&format!(",{eol}{indent}"));
                format!("{open}{eol}{indent}{items}{eol}{outer}{close}")
            }
            _ => format!("{open}{}{close}", items.join(&format!(",{}", self.gap()))),
        }
    }

    pub(super) fn key(&self, name: &str) -> String {
        let quote = if self.quoted { "\"" } else { "" };
        format!("{quote}{name}{quote}:{}", self.gap())
    }

    pub(super) fn gap(&self) -> &'static str {
        if self.tight { "" } else { " " }
    }
}

/// The lines of a collection one level further in.
fn deeper((indent, outer): (String, String)) -> (String, String) {
    let step = indent.strip_prefix(outer.as_str()).filter(|step| !step.is_empty()).unwrap_or("  ");
    (format!("{indent}{step}"), indent)
}

/// The lines of a list in a block, that of its key first.
pub(super) fn block_list(list: List, dash: usize) -> Vec<String> {
    let key = list.key();
    match list {
        List::Args([]) => vec![format!("{key}: []")],
        List::Variables([]) => vec![format!("{key}: null")],
        _ => {
            let items = list.lines().into_iter().map(|line| format!("{:dash$}{line}", ""));
            std::iter::once(format!("{key}:")).chain(items).collect()
        }
    }
}

/// The lines of variables as items of a block list.
pub(super) fn variable_lines(variables: &[Variable], quoted: bool) -> Vec<String> {
    let text = |text: &String| scalar_text(text, false, quoted);
    let lines = |(name, value): &Variable| [format!("- name: {}", text(name)), format!("  value: {}", text(value))];
    variables.iter().flat_map(lines).collect()
}

/// The lines of an `exec` in a block.
pub(super) fn exec_lines(new: &NewExec, dash: usize) -> Vec<String> {
    let text = |text: &str| scalar_text(text, false, false);
    let mut lines = vec![format!("apiVersion: {}", text(&new.api_version))];
    lines.extend(block_list(List::Args(&new.args), dash));
    lines.push(format!("command: {}", text(&new.command)));
    lines.extend(block_list(List::Variables(&new.env), dash));
    lines.extend(
        literal_lines("installHint", &new.install_hint)
            .unwrap_or_else(|| vec![format!("installHint: {}", text(&new.install_hint))]),
    );
    lines.push(format!("interactiveMode: {}", text(&new.interactive_mode)));
    lines.push("provideClusterInfo: false".to_owned());
    lines
}

/// A literal block scalar, for text of more than one line that can be one.
fn literal_lines(key: &str, text: &str) -> Option<Vec<String>> {
    let fits = |c: char| matches!(c, '\t' | '\n') || is_printable(c);
    if !text.contains('\n') || text.trim().is_empty() || !text.chars().all(fits) {
        return None;
    }
    // The parser guesses the indentation from the first line that has text,
    // and guesses wrong when blanks or empty lines come first.
    let indicator = if text.starts_with(['\n', ' ', '\t']) { "2" } else { "" };
    let (body, chomping) = match text.strip_suffix('\n') {
        None => (text, "-"),
        Some(body) if body.ends_with('\n') => (body, "+"),
        Some(body) => (body, ""),
    };
    let indented = |line: &str| {
        if line.is_empty() { String::new() } else { format!("  {line}") }
    };
    let header = format!("{key}: |{indicator}{chomping}");
    Some(std::iter::once(header).chain(body.split('\n').map(indented)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::Edit;
    use super::super::support::{PROVIDER, Random, new_exec, parse};
    use super::*;

    #[test]
    fn hints_of_every_shape_read_back() {
        let hints = [
            "a\nb",
            "a\nb\n",
            "a\nb\n\n\n",
            "\na\n",
            "  a\nb\n",
            "a\n  b\n\n c",
            "\ta\n",
            "a\n \n",
            "a\n  ",
            "\n",
            "\n\n",
            "one",
            "",
            "a\r\nb",
            "# a\n# b\n",
            "---\n...\n",
            "a\u{85}b\n",
            "\n \na\n",
            "- a\n",
            "a: b\n",
            "x\n\n   \n\n",
        ];
        for hint in hints {
            let new = NewExec { install_hint: hint.to_owned(), ..new_exec() };
            for text in
                [PROVIDER, &PROVIDER.replace('\n', "\r\n"), "users: [{name: u, user: {auth-provider: {name: azure}}}]"]
            {
                let edited = parse(text).edit(&[(0, Edit::ProviderToExec(new.clone()))]);
                assert!(edited.is_ok(), "{hint:?} {edited:?}");
            }
        }
    }

    #[test]
    fn arbitrary_providers_convert() {
        let mut random = Random(3);
        let files = [
            PROVIDER.to_owned(),
            PROVIDER.replace('\n', "\r\n"),
            "users:\n  - user:\n      auth-provider: {name: azure}\n    name: u\n".to_owned(),
        ];
        for round in 0..2_000 {
            let new = NewExec {
                args: random.args(),
                install_hint: random.text() + &random.text(),
                command: random.text(),
                env: random.variables(),
                ..new_exec()
            };
            let edited = parse(&files[round % files.len()]).edit(&[(0, Edit::ProviderToExec(new))]);
            assert!(edited.is_ok(), "{edited:?}");
        }
    }
}
