//! Writes lists and mappings in the style of the file.

use super::scalar::{is_printable, scalar_text};
use super::tree::Tree;
use super::{NewExec, Variable};

/// A member of `exec` to write.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Args(&'a [String]),
    Variables(&'a [Variable]),
    Text(&'static str, &'a str),
}

/// The members of `exec` as kubectl orders them.
const ORDER: [&str; 7] =
    ["apiVersion", "args", "command", "env", "installHint", "interactiveMode", "provideClusterInfo"];

impl Part<'_> {
    pub(super) fn key(self) -> &'static str {
        match self {
            Part::Args(_) => "args",
            Part::Variables(_) => "env",
            Part::Text(key, _) => key,
        }
    }

    /// The members that it may stand before, the best place first.
    pub(super) fn followers(self) -> &'static [&'static str] {
        let own = ORDER.iter().position(|&key| key == self.key());
        match self {
            Part::Variables(_) => &["installHint", "interactiveMode", "provideClusterInfo", "command"],
            _ => own.and_then(|own| ORDER.get(own + 1..)).unwrap_or_default(),
        }
    }

    /// Its lines in a block, that of its key first, its dashes indented by `dash`.
    pub(super) fn lines(self, dash: usize) -> Vec<String> {
        let key = self.key();
        let items = match self {
            Part::Args([]) => return vec![format!("{key}: []")],
            Part::Variables([]) => return vec![format!("{key}: null")],
            Part::Text(_, text) => return vec![format!("{key}: {}", scalar_text(text, false, false))],
            Part::Args(args) => args.iter().map(|arg| format!("- {}", scalar_text(arg, false, false))).collect(),
            Part::Variables(variables) => variable_lines(variables, false),
        };
        let items = items.into_iter().map(|line| format!("{:dash$}{line}", ""));
        std::iter::once(format!("{key}:")).chain(items).collect()
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
            ("args", inner.value(Part::Args(&new.args))),
            ("command", text(&new.command)),
            ("env", inner.value(Part::Variables(&new.env))),
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

    /// The value of a member; no variables are null, as in kubectl's files.
    pub(super) fn value(&self, part: Part) -> String {
        match part {
            Part::Text(_, text) => self.text(text),
            Part::Args(args) => self.list(&args.iter().map(|arg| self.text(arg)).collect::<Vec<_>>()),
            Part::Variables([]) => "null".to_owned(),
            Part::Variables(variables) => {
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

/// The lines of variables as items of a block list.
pub(super) fn variable_lines(variables: &[Variable], quoted: bool) -> Vec<String> {
    let text = |text: &String| scalar_text(text, false, quoted);
    let lines = |(name, value): &Variable| [format!("- name: {}", text(name)), format!("  value: {}", text(value))];
    variables.iter().flat_map(lines).collect()
}

/// The lines of an `exec` in a block.
pub(super) fn exec_lines(new: &NewExec, dash: usize) -> Vec<String> {
    let text = |key, text| Part::Text(key, text).lines(dash);
    let hint = literal_lines("installHint", &new.install_hint);
    [
        text("apiVersion", &new.api_version),
        Part::Args(&new.args).lines(dash),
        text("command", &new.command),
        Part::Variables(&new.env).lines(dash),
        hint.unwrap_or_else(|| text("installHint", &new.install_hint)),
        text("interactiveMode", &new.interactive_mode),
        vec!["provideClusterInfo: false".to_owned()],
    ]
    .concat()
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
    use super::super::support::{PROVIDER, Random, edited, new_exec};
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
                let edited = edited(text, &[(0, Edit::ProviderToExec(new.clone()))]);
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
            let edited = edited(&files[round % files.len()], &[(0, Edit::ProviderToExec(new))]);
            assert!(edited.is_ok(), "{edited:?}");
        }
    }
}
