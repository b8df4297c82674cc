//! Every shape of an entry, converted to every method, as a table: `tests/cases/convert/matrix.tsv`, made from the
//! flags in `matrix.flags` and the kubeconfig of the case `matrix-devicecode-plain`. `KUBENTRA_BLESS=1` writes it.
//!
//! A row holds what became of the entries (shapes) that it names, which became the same:
//!
//! | Result | Next column |
//! |---|---|
//! | `converted` | all arguments behind `get-token --login TARGET`, in their order, and before them the variables that were set |
//! | `already right` | the same; the entry keeps every byte |
//! | `refused` | why, as the user is told; nothing at all is written, and those that are not refused are asked for anew |
//! | `skipped` | why |
//!
//! The last column holds what the user is told about it: what is not taken over, and warnings. A row of `-` holds what
//! is told once.
//!
//! What no row can show is checked for each of them: outside of the arguments (and variables that were set) not a byte
//! is another; a list keeps its style, and a text that stays keeps its quotes; an `auth-provider` becomes the whole
//! entry that is ours; the program's exit code and its text say the same as its report; the same command again finds
//! all of it right and changes nothing; `undo` brings every byte back; at `-v 10` no output shows a secret. How it
//! looks as a whole is in the cases `matrix-*`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use serde_json::Value;

use super::reader::{Node, read};
use crate::cases::mask::mask;
use crate::cases::script::{Script, variable, words};
use crate::cases::stage::Stage;
use crate::env::Run;

/// A run is mostly work of the processor.
const THREADS: usize = 2;

const HEAD: &str = "# Made by tests/it/conversions/matrix.rs, which says what it holds; KUBENTRA_BLESS=1 rewrites it.\n\
                    target\tflags\tshapes\tresult\targuments or reason\tsaid\n";

/// A line of `matrix.flags`.
struct Question {
    target: String,
    name: String,
    /// As they are written there.
    flags: String,
    variables: Vec<(String, String)>,
    /// What was typed before, for all shapes.
    before: Option<Vec<String>>,
    args: Vec<String>,
    shapes: Vec<String>,
}

/// The last three columns.
type Outcome = [String; 3];

#[test]
fn the_matrix() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/convert");
    let questions = fs::read_to_string(directory.join("matrix.flags")).expect("the flags");
    let questions = Question::read_all(&questions);
    let waiting = Mutex::new(questions.iter().enumerate().collect::<Vec<_>>());
    let answers = Mutex::new(BTreeMap::new());
    let next = || waiting.lock().expect("nobody gave up").pop();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut world = World::new(&directory.join("matrix-devicecode-plain"));
                while let Some((number, question)) = next() {
                    let rows = world.answer(question);
                    answers.lock().expect("nobody gave up").insert(number, rows);
                }
            });
        }
    });
    let answers = answers.into_inner().expect("nobody gave up");
    assert_eq!(answers.len(), questions.len());
    let table: String = answers.into_values().collect();
    let (file, table) = (directory.join("matrix.tsv"), HEAD.to_owned() + &table);
    if std::env::var_os("KUBENTRA_BLESS").is_some() {
        return fs::write(&file, table).expect("the table can be written");
    }
    let expected = fs::read_to_string(&file).expect("the table");
    let difference = crate::cases::difference(&expected, &table);
    let changed: Vec<&str> = difference.lines().filter(|line| !line.starts_with(' ')).collect();
    assert!(changed.is_empty(), "{}", changed.join("\n"));
}

impl Question {
    /// All of them, in order.
    fn read_all(text: &str) -> Vec<Self> {
        let mut questions: Vec<Self> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut question = Self::read(line);
            if question.args.first().is_some_and(|word| word == "then") {
                question.args.remove(0);
                let (name, _) = question.name.rsplit_once('-').expect("a number");
                let first = questions.iter().find(|first| first.target == question.target && first.name == name);
                question.before = Some(first.expect("a first line of that name").args.clone());
            }
            questions.push(question);
        }
        questions
    }

    fn read(line: &str) -> Self {
        let columns: Vec<&str> = line.split('\t').collect();
        let [target, name, flags, shapes] = [0, 1, 2, 3].map(|column| *columns.get(column).unwrap_or(&""));
        let words = words(flags).expect("quotes are closed");
        let (variables, args) = words.into_iter().partition::<Vec<_>, _>(|word| word.starts_with("AZURE_"));
        Self {
            target: target.to_owned(),
            name: name.to_owned(),
            flags: flags.to_owned(),
            variables: variables.iter().map(|word| variable(word).expect("a variable")).collect(),
            before: None,
            args,
            shapes: shapes.split(' ').filter(|shape| !shape.is_empty()).map(String::from).collect(),
        }
    }
}

/// A home directory with the kubeconfig.
struct World {
    stage: Stage,
    /// What a question begins with.
    original: Text,
    /// What it was before that, if something was typed before.
    first: Option<Text>,
}

/// A kubeconfig, as text and as another reader of YAML sees it.
struct Text {
    text: String,
    root: Node,
}

impl Text {
    fn new(text: String) -> Self {
        let root = read(&text).unwrap_or_else(|why| panic!("{why}: {text}"));
        Self { text, root }
    }

    fn users(&self) -> impl Iterator<Item = (&str, &Node)> {
        let users = self.root.get("users").expect("users").items().iter();
        users.map(|user| (user.get("name").and_then(Node::text).expect("a name"), user.get("user").expect("a user")))
    }

    fn raw(&self, node: &Node) -> &str {
        &self.text[node.start..node.end]
    }

    /// The arguments of an entry.
    fn args<'t>(&'t self, user: &'t Node) -> Vec<&'t str> {
        let args = user.get("exec").and_then(|exec| exec.get("args")).expect("arguments").items();
        args.iter().map(|arg| arg.text().expect("a text")).collect()
    }
}

/// The variables of an entry.
fn variables(user: &Node) -> Vec<(&str, &str)> {
    let env = user.get("exec").and_then(|exec| exec.get("env")).map(Node::items).unwrap_or_default();
    env.iter()
        .map(|variable| {
            let member = |key| variable.get(key).and_then(Node::text).expect("a text");
            (member("name"), member("value"))
        })
        .collect()
}

impl World {
    fn new(case: &Path) -> Self {
        let mut stage = Stage::set(&Script { env: Vec::new(), lines: Vec::new() }, case).expect("a stage");
        stage.note_secrets("canary-typed canary-of-s canary-password canary-of-the-environment");
        let original = Text::new(fs::read_to_string(stage.env.home().join(".kube/config")).expect("the kubeconfig"));
        Self { stage, original, first: None }
    }

    fn file(&self) -> PathBuf {
        self.stage.env.home().join(".kube/config")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).expect("the kubeconfig")
    }

    /// The rows for one line of flags.
    fn answer(&mut self, question: &Question) -> String {
        for (name, value) in &question.variables {
            self.stage.env.set(name, value);
        }
        if let Some(args) = &question.before {
            let run = self.run(question, args, &[], &[]);
            assert_eq!(run.code, 0, "{run:#?}");
            let begun = Text::new(self.text());
            self.first = Some(std::mem::replace(&mut self.original, begun));
        }
        let mut outcomes: Vec<(String, Outcome)> = Vec::new();
        match self.refusals(question, &mut outcomes) {
            None => self.conversions(question, &question.shapes, &mut outcomes),
            Some(rest) if rest.is_empty() => {}
            Some(rest) => self.conversions(question, &rest, &mut outcomes),
        }
        for (name, _) in &question.variables {
            self.stage.env.unset(name);
        }
        if let Some(first) = self.first.take() {
            self.undo_to(&first.text);
            self.original = first;
        }
        rows(question, outcomes)
    }

    /// Notes what is refused; gives the contexts of the others, which have to be asked for apart then.
    fn refusals(&self, question: &Question, outcomes: &mut Vec<(String, Outcome)>) -> Option<Vec<String>> {
        let run = self.run(question, &question.args, &question.shapes, &["-o", "json", "-v", "10", "--dry-run"]);
        let report = report(&run);
        let users = report["users"].as_array().expect("users");
        let name = |user: &Value| text(&user["name"]);
        if run.code == 0 {
            return None;
        }
        let (refused, others): (Vec<_>, Vec<_>) = users.iter().partition(|user| user["result"] == "impossible");
        assert!(run.code == 1 && !refused.is_empty() && report["undo"] == false, "{run:#?}");
        for user in refused {
            let told = format!("(user \"{}\" in {})", name(user), self.file().display());
            let reason = text(&user["reason"]);
            let (what, remedy) = reason.split_once("; ").unwrap_or((&reason, ""));
            let line = run.stderr.lines().find(|line| line.contains(&told)).unwrap_or_else(|| panic!("{run:#?}"));
            assert!(line.contains(what) && line.ends_with(remedy), "{line}: {reason}");
            outcomes.push((name(user), ["refused".into(), reason, String::new()]));
        }
        let written = self.run(question, &question.args, &question.shapes, &[]);
        assert_eq!((written.code, self.text()), (1, self.original.text.clone()), "{written:#?}");
        assert!(written.stderr.contains("nothing was written") || question.shapes.len() == 1, "{written:#?}");
        // A context that is named has to be one of ours; those that are not have their rows elsewhere.
        let waits =
            |user: &&Value| user["reason"].as_str().is_none_or(|why| why.starts_with("nothing is written while "));
        let others = others.into_iter().filter(waits);
        Some(others.map(name).collect())
    }

    /// Converts `shapes`, none of which is refused, and notes what came of it.
    fn conversions(&self, question: &Question, shapes: &[String], outcomes: &mut Vec<(String, Outcome)>) {
        let run = self.run(question, &question.args, shapes, &["-o", "json", "-v", "10"]);
        let report = report(&run);
        assert_eq!(run.code, 0, "{run:#?}");
        let new = Text::new(self.text());
        self.check_rest(&new, &report);
        for user in report["users"].as_array().expect("users") {
            let name = text(&user["name"]);
            let result = text(&user["result"]);
            let (_, entry) = new.users().find(|(known, _)| *known == name).expect("the user");
            let what = match result.as_str() {
                "converted" | "already right" => {
                    let args = new.args(entry);
                    assert_eq!(args[..3], ["get-token", "--login", &question.target], "{name}");
                    let (_, old) = self.original.users().find(|(known, _)| *known == name).expect("the user");
                    let known = variables(old);
                    let set = variables(entry).into_iter().filter(|variable| !known.contains(variable));
                    let set = set.map(|(name, value)| format!("{name}={value}"));
                    let args = args[3..].iter().map(|arg| quoted(arg));
                    set.chain(args).collect::<Vec<_>>().join(" ")
                }
                _ => text(&user["reason"]),
            };
            let said = said(user).join("; ").replace(&format!(" of {name} "), " of USER ");
            outcomes.push((name, [result, what, said].map(|text| mask(&text, &self.stage))));
        }
        for note in report["notes"].as_array().expect("notes") {
            let note = mask(text(note).trim_start_matches("note: "), &self.stage);
            outcomes.push(("-".into(), [String::from("note"), note, String::new()]));
        }
        self.check_again(question, shapes, &new.text);
    }

    /// Once more, and back; as text, which is what people read.
    fn check_again(&self, question: &Question, shapes: &[String], new: &str) {
        let again = self.run(question, &question.args, shapes, &[]);
        assert!(!again.stderr.contains("converted ") && self.text() == new, "{}: {again:#?}", question.flags);
        if new != self.original.text {
            self.undo();
            let run = self.run(question, &question.args, shapes, &["-v", "10"]);
            assert!(run.code == 0 && self.text() == new, "{}: {run:#?}", question.flags);
            let count = run.stderr.lines().filter(|line| line.starts_with("converted ")).count();
            let new = Text::new(new.to_owned());
            let changed = self.original.users().zip(new.users());
            assert_eq!(count, changed.filter(|(old, new)| old.1 != new.1).count(), "{run:#?}");
            self.undo();
        }
    }

    fn undo(&self) {
        self.undo_to(&self.original.text);
    }

    fn undo_to(&self, text: &str) {
        let run = self.checked(&mut self.stage.env.command("kubentra", &["undo"]));
        assert_eq!((run.code, self.text().as_str()), (0, text), "{run:#?}");
    }

    /// What is the same whatever the row says.
    fn check_rest(&self, new: &Text, report: &Value) {
        let old = &self.original;
        let converted = |name: &str| {
            let users = report["users"].as_array().expect("users");
            users.iter().any(|user| user["name"] == name && user["result"] == "converted")
        };
        let mut rest = [String::new(), String::new()];
        let mut from = [0, 0];
        for ((name, before), (same, after)) in old.users().zip(new.users()) {
            assert_eq!(name, same);
            let entry = after.get("exec");
            match before.get("exec") {
                _ if !converted(name) => assert_eq!(old.raw(before), new.raw(after), "{name}"),
                Some(exec) => {
                    let entry = entry.expect("an entry");
                    let changes_env = variables(before) != variables(after);
                    let cut: &[&str] = if changes_env { &["args", "env"] } else { &["args"] };
                    assert_eq!(exec.without(cut), entry.without(cut), "{name}");
                    style(old, new, exec.get("args").expect("arguments"), entry.get("args").expect("arguments"));
                    if changes_env {
                        skip(&mut rest, &mut from, [(old, before), (new, after)]);
                    } else {
                        let [before, after] = [exec, entry].map(|exec| exec.get("args").expect("arguments"));
                        skip(&mut rest, &mut from, [(old, before), (new, after)]);
                    }
                }
                None => {
                    assert_eq!(before.without(&["auth-provider"]), after.without(&["exec"]), "{name}");
                    ours(entry.expect("an entry"));
                    skip(&mut rest, &mut from, [(old, before), (new, after)]);
                }
            }
        }
        for (rest, (text, from)) in rest.iter_mut().zip([(&old.text, from[0]), (&new.text, from[1])]) {
            rest.push_str(&text[from..]);
        }
        assert_eq!(rest[0], rest[1], "outside of what is converted");
        let comments = |text: &str| text.matches(" #").count();
        assert_eq!(comments(&old.text), comments(&new.text), "{}", new.text);
    }

    fn run(&self, question: &Question, args: &[String], shapes: &[String], more: &[&str]) -> Run {
        let contexts = shapes.iter().flat_map(|shape| ["--context".to_owned(), shape.clone()]);
        let args = args.iter().map(|arg| self.stage.fill(arg));
        let login = ["convert-kubeconfig".to_owned(), "--login".to_owned(), question.target.clone()];
        let all: Vec<String> =
            login.into_iter().chain(args).chain(contexts).chain(more.iter().map(ToString::to_string)).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.checked(&mut self.stage.env.command("kubentra", &all))
    }

    /// Runs it; no output may show a secret.
    fn checked(&self, command: &mut std::process::Command) -> Run {
        let run = Run::of(command);
        for secret in &self.stage.secrets {
            assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{secret}: {run:#?}");
        }
        run
    }
}

/// Goes on in both texts behind two values, which may differ.
fn skip(rest: &mut [String; 2], from: &mut [usize; 2], values: [(&Text, &Node); 2]) {
    for ((rest, from), (text, node)) in rest.iter_mut().zip(from).zip(values) {
        rest.push_str(&text.text[*from..node.start]);
        // What stands behind the last item of a block (a comment) is its own.
        let line_end = text.text[node.end..].find('\n').map_or(text.text.len(), |at| node.end + at);
        *from = if text.raw(node).ends_with([']', '}']) { node.end } else { line_end };
    }
}

/// A list keeps its style, and every text that stays keeps its quotes.
fn style(old: &Text, new: &Text, before: &Node, after: &Node) {
    assert_eq!(old.raw(before).starts_with('['), new.raw(after).starts_with('['), "{}", new.raw(after));
    for arg in after.items() {
        let mut known = before.items().iter().filter(|known| known.text() == arg.text()).peekable();
        let same = known.peek().is_none() || known.any(|known| old.raw(known) == new.raw(arg));
        assert!(same, "{}: {}", old.raw(before), new.raw(arg));
    }
}

/// All of an entry that takes the place of an `auth-provider`, but for its arguments.
fn ours(entry: &Node) {
    let member = |key| entry.get(key).and_then(Node::text);
    assert_eq!(member("apiVersion"), Some("client.authentication.k8s.io/v1beta1"));
    assert_eq!(member("command"), Some("kubentra"));
    assert_eq!(
        member("installHint"),
        Some(
            "\nkubentra signs in to this cluster with Entra ID and was not found.\n\
             Install it and make sure that it is on PATH.\n"
        )
    );
    assert_eq!((member("interactiveMode"), member("provideClusterInfo")), (Some("IfAvailable"), Some("false")));
    let others = ["apiVersion", "args", "command", "env", "installHint", "interactiveMode", "provideClusterInfo"];
    assert_eq!(entry.without(&others), []);
}

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|why| panic!("{why}: {run:#?}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// What is told about a user.
fn said(user: &Value) -> Vec<String> {
    let texts = |key: &str| user[key].as_array().expect("a list").iter().map(text).collect::<Vec<_>>();
    let left_out = texts("leftOut");
    let left_out = (!left_out.is_empty()).then(|| format!("without {}", left_out.join(", ")));
    let advice = user["advice"].as_str().map(String::from);
    left_out.into_iter().chain(advice).chain(texts("warnings")).collect()
}

fn quoted(arg: &str) -> String {
    if arg.is_empty() || arg.contains(char::is_whitespace) { format!("'{arg}'") } else { arg.to_owned() }
}

/// One row for all shapes with the same outcome, in the order of the first of each.
fn rows(question: &Question, outcomes: Vec<(String, Outcome)>) -> String {
    let mut rows: Vec<(Outcome, Vec<String>)> = Vec::new();
    for (shape, outcome) in outcomes {
        match rows.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, shapes)) => shapes.push(shape),
            None => rows.push((outcome, vec![shape])),
        }
    }
    let line = |(outcome, shapes): (Outcome, Vec<String>)| {
        let [result, what, said] = outcome;
        let row = [question.target.clone(), question.name.clone(), shapes.join(" "), result, what, said].join("\t");
        row.trim_end().to_owned() + "\n"
    };
    let heading = format!("\n# {} {}: {}\n", question.target, question.name, question.flags);
    heading.replace(": \n", "\n") + &rows.into_iter().map(line).collect::<String>()
}
