//! `convert-kubeconfig`: exec entries out of what AKS hands out.

use std::path::{Path, PathBuf};

use similar::TextDiff;

use crate::error::{Error, io_words, listed};
use crate::kubeconfig::document::{Document, Edit};
use crate::kubeconfig::lock::{self, FileLock};
use crate::kubeconfig::plan::{self, Line, Verdict, Wish};
use crate::kubeconfig::{self, Loaded};
use crate::login::{Method, SECRETS, Ways};
use crate::options::{CLIENT_CERTIFICATE, CONTEXT, DRY_RUN, Decl, Given, KUBECONFIG, POP_CLAIMS, Values};
use crate::secret::Secret;
use crate::situation;
use crate::sys::{Env, Sys};
use crate::terminal::stderr_is_terminal;

use super::Outcome;

/// Converts, or shows what it would do; says for each user what it did.
pub(super) fn run(sys: &Sys, given: &Given) -> Result<Outcome, Error> {
    let values = Values::resolve(given, &sys.env);
    let contexts: Vec<&str> = given.every(&CONTEXT.decl).collect();
    let wish = Wish {
        method: Method::find(&values)?,
        typed: given,
        contexts: &contexts,
        command: if sys.called_as() == "kubelogin" { "kubelogin" } else { "kubentra" },
    };
    crate::login::check(&Values::resolve(given, &Env::default()))?;
    let path = values.get(&KUBECONFIG)?.map(|path| path.0);
    let quiet = called_by_az(sys) && !stderr_is_terminal();
    let conversion = Conversion { sys, wish: &wish, dry_run: values.is_on(&DRY_RUN), quiet, values: &values };
    conversion.run(path.as_deref()).map(Outcome::from)
}

/// Whether this is the call that `az aks get-credentials` makes by itself.
fn called_by_az(sys: &Sys) -> bool {
    sys.args.iter().skip(1).eq(["convert-kubeconfig", "-l", "azurecli"])
}

struct Conversion<'a> {
    sys: &'a Sys,
    wish: &'a Wish<'a>,
    dry_run: bool,
    /// Whether only problems are printed (design, D9).
    quiet: bool,
    /// Knows the variables that count in this run; for advice.
    values: &'a Values,
}

/// Another program may write between our reading and our lock; then we plan anew.
const ATTEMPTS: u32 = 3;

impl Conversion<'_> {
    fn run(&self, given: Option<&Path>) -> Result<Secret, Error> {
        for _ in 0..ATTEMPTS {
            let files = kubeconfig::load(given, &self.sys.env)?;
            for file in files.iter().filter(|_| !self.dry_run) {
                lock::clear_dead(&file.path);
            }
            let lines = refuse_halves(self.sys, &files, plan::plan(&files, self.wish)?)?;
            let changes = changes(&files, &lines)?;
            if self.dry_run {
                self.report(&files, &lines);
                self.warn_of_readers(&files, &lines);
                return self.diff(&changes);
            }
            if self.write(&changes)? {
                self.report(&files, &lines);
                self.warn_of_readers(&files, &lines);
                return Ok(Secret::new(""));
            }
        }
        Err(Error::new(&situation::KUBECONFIG, "the kubeconfig keeps changing while it is converted")
            .remedy("run the command again when nothing else writes it; nothing was changed"))
    }

    /// Writes every change; `false` if a file is no longer what the plan was made for.
    fn write(&self, changes: &[Change]) -> Result<bool, Error> {
        let locks =
            changes.iter().map(|change| FileLock::hold(self.sys, &change.file.path)).collect::<Result<Vec<_>, _>>()?;
        for change in changes {
            let now = std::fs::read(&change.file.path).map_err(|error| cannot_write(&change.file.path, &error))?;
            if now != change.file.document.text().as_bytes() {
                return Ok(false);
            }
        }
        for (index, change) in changes.iter().enumerate() {
            let target = resolve(&change.file.path)?;
            crate::files::replace(&target, change.text.as_bytes()).map_err(|error| {
                let done = changes.iter().take(index).map(|done| done.file.path.display().to_string());
                let done = done.map(|path| format!("{path} is converted")).collect::<Vec<_>>().join(", ");
                let error = cannot_write(&target, &error);
                if done.is_empty() { error } else { error.also(&done) }
            })?;
        }
        drop(locks);
        Ok(true)
    }

    fn report(&self, files: &[Loaded], lines: &[Line]) {
        let would = if self.dry_run { "would convert" } else { "converted" };
        for line in lines {
            let name = &line.name;
            let file = files[line.file].path.display();
            match &line.verdict {
                Verdict::Convert(_) => {
                    let left_out = plan::left_out(&files[line.file].document.users()[line.user], self.wish);
                    // What may have stood nowhere else is a problem.
                    let loses = SECRETS.iter().any(|ways| left_out.contains(&ways.text.decl.flag()));
                    let tell = |line: &str| if loses { self.say(line) } else { self.tell(line) };
                    tell(&format!("{would} {name} to {} ({file})", self.wish.method.name));
                    self.warn_of_secrets(name);
                    if !left_out.is_empty() {
                        let advice = self.advice(&left_out);
                        tell(&format!("note: not taken over for {name}: {}{advice}", left_out.join(", ")));
                    }
                }
                Verdict::AlreadyRight => self.tell(&format!("already right: {name} ({file})")),
                Verdict::Skipped(why) => self.tell(&format!("skipped {name}: {why} ({file})")),
                Verdict::Impossible(_) => {}
            }
        }
        let ours = lines.iter().any(|line| matches!(line.verdict, Verdict::Convert(_) | Verdict::AlreadyRight));
        if !ours {
            return self.tell(&nothing_to_convert(files, &self.sys.env));
        }
        let passed_over = plan::passed_over(self.wish);
        if !passed_over.is_empty() {
            let (flags, method) = (passed_over.join(", "), self.wish.method.name);
            self.tell(&format!("note: typed, and not written for --login {method}: {flags}"));
        }
        let claims = self.values.get(&POP_CLAIMS).ok().flatten().filter(|_| self.writes(&POP_CLAIMS.decl));
        if let Some(claims) = claims.filter(|claims| !claims.ignored.is_empty()) {
            self.tell(&format!("note: no cluster reads these claims, they are not sent: {}", listed(claims.ignored)));
        }
    }

    /// A kubeconfig leads into clusters, and may hold keys beside what we convert.
    fn warn_of_readers(&self, files: &[Loaded], lines: &[Line]) {
        let used = |index: usize| lines.iter().any(|line| line.file == index);
        for (_, file) in files.iter().enumerate().filter(|(index, _)| used(*index)) {
            if let Some(mode) = crate::files::open_to_others(&file.path) {
                let path = file.path.display();
                self.tell(&format!("warning: others can read {path} (mode {mode:04o}); chmod 600 keeps it to you"));
            }
        }
    }

    /// Secrets that stand in the file now.
    fn warn_of_secrets(&self, name: &str) {
        let stands = if self.dry_run { "would stand in the kubeconfig" } else { "stands in the kubeconfig now" };
        for ways in SECRETS.iter().filter(|ways| self.writes(&ways.text.decl)) {
            let (secret, file) = (ways.name, ways.file.decl.flag());
            let others = self.values.variable(&ways.text.decl).map(|variable| format!("{file} or {variable} keep"));
            let others = others.unwrap_or_else(|| format!("{file} keeps"));
            self.say(&format!("warning: the {secret} of {name} {stands}; {others} it out"));
        }
    }

    /// Whether a typed value of `decl` is written.
    fn writes(&self, decl: &Decl) -> bool {
        self.wish.types(decl) && self.wish.method.written().any(|argument| std::ptr::eq(argument.decl, decl))
    }

    /// How the new login can be given the proof that its entry no longer says: a secret better by its
    /// file. Whoever has typed one has chosen.
    fn advice(&self, left_out: &[String]) -> String {
        let method = || self.wish.method.written().map(|argument| argument.decl);
        let proofs = || method().filter(|decl| ways(decl).is_some() || std::ptr::eq(*decl, &CLIENT_CERTIFICATE.decl));
        let chosen = |decl| self.wish.types(decl) || ways(decl).is_some_and(|ways| self.wish.types(&ways.file.decl));
        let missing: Vec<&Decl> = proofs().filter(|decl| left_out.contains(&decl.flag())).collect();
        if missing.is_empty() || proofs().any(chosen) {
            return String::new();
        }
        let flag = |decl: &&Decl| ways(decl).map_or(decl.flag(), |ways| ways.file.decl.flag());
        let flags = listed(missing.iter().map(flag).collect());
        let variables =
            listed(missing.iter().filter_map(|decl| self.values.variable(decl)).map(String::from).collect());
        let variables =
            if variables.is_empty() { variables } else { format!(", or set {variables} where kubectl runs") };
        format!("; give {flags}{variables}")
    }

    /// One unified diff a file, with every secret masked.
    fn diff(&self, changes: &[Change]) -> Result<Secret, Error> {
        let mut text = String::new();
        for change in changes {
            let old = change.file.document.text();
            let name = change.file.path.display().to_string();
            let diff = TextDiff::from_lines(old, &change.text).unified_diff().header(&name, &name).to_string();
            let after = Document::parse(change.text.clone())
                .map_err(|error| cannot_edit(&change.file.path, &error.to_string()))?;
            let mut secrets = self.secrets(change);
            secrets.extend(after.secrets());
            text.push_str(&mask(&diff, &secrets));
        }
        Ok(Secret::new(text))
    }

    /// What the old text holds and what was typed, which may stand in the new text in another spelling.
    fn secrets<'c>(&'c self, change: &'c Change) -> Vec<&'c str> {
        let typed = self.wish.typed.flags().iter().filter(|typed| typed.decl.secret);
        let mut secrets = change.file.document.secrets();
        secrets.extend(typed.map(|typed| typed.text.expose()).filter(|text| !text.is_empty()));
        secrets
    }

    /// Says what is no problem.
    fn tell(&self, line: &str) {
        if !self.quiet {
            self.say(line);
        }
    }

    fn say(&self, line: &str) {
        self.sys.terminal.say(crate::error::one_line(line));
    }
}

/// The ways to give the secret `decl`, if it is one.
fn ways(decl: &Decl) -> Option<&'static Ways> {
    SECRETS.iter().find(|ways| std::ptr::eq(&ways.text.decl, decl))
}

fn nothing_to_convert(files: &[Loaded], env: &Env) -> String {
    if !files.is_empty() {
        return "nothing to convert".into();
    }
    let places = kubeconfig::default_files(env);
    let places = places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
    let looked = if places.is_empty() { "there is no home directory".into() } else { format!("looked for {places}") };
    format!("nothing to convert: there is no kubeconfig ({looked})")
}

/// A file and its new text.
struct Change<'a> {
    file: &'a Loaded,
    text: String,
}

/// The new text of every file that changes.
fn changes<'a>(files: &'a [Loaded], lines: &[Line]) -> Result<Vec<Change<'a>>, Error> {
    let mut changes = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let edits: Vec<(usize, Edit)> = lines
            .iter()
            .filter(|line| line.file == index)
            .filter_map(|line| match &line.verdict {
                Verdict::Convert(edit) => Some((line.user, edit.clone())),
                _ => None,
            })
            .collect();
        if !edits.is_empty() {
            let text = file.document.edit(&edits).map_err(|error| cannot_edit(&file.path, &error.to_string()))?;
            changes.push(Change { file, text });
        }
    }
    Ok(changes)
}

/// One of our entries that can't be converted: nothing is written, and every reason is told (D7).
fn refuse_halves(sys: &Sys, files: &[Loaded], lines: Vec<Line>) -> Result<Vec<Line>, Error> {
    let (impossible, lines): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| matches!(line.verdict, Verdict::Impossible(_)));
    let mut reasons = impossible.into_iter().filter_map(|line| match line.verdict {
        Verdict::Impossible(error) => {
            let user = format!("user \"{}\" in {}", line.name, files[line.file].path.display());
            Some(error.from_source(user))
        }
        _ => None,
    });
    let Some(first) = reasons.next() else { return Ok(lines) };
    let Some(second) = reasons.next() else { return Err(first.also("nothing was written")) };
    let all: Vec<_> = [first, second].into_iter().chain(reasons).collect();
    for reason in &all {
        sys.terminal.say(reason.to_string());
    }
    Err(Error::new(&situation::KUBECONFIG, format!("{} users cannot be converted", all.len()))
        .remedy("give what is missing; nothing was written"))
}

fn cannot_edit(path: &Path, why: &str) -> Error {
    Error::new(&situation::KUBECONFIG, format!("the kubeconfig cannot be edited: {why}"))
        .from_source(path.display())
        .remedy("rewrite that part by hand; nothing was changed")
}

fn cannot_write(path: &Path, error: &std::io::Error) -> Error {
    let remedy = match error.kind() {
        std::io::ErrorKind::ResourceBusy | std::io::ErrorKind::CrossesDevices => {
            "the file is a mount point and cannot be replaced: mount its directory instead"
        }
        _ => "check the owner and mode of the file and its directory; the file is as it was",
    };
    Error::new(&situation::FILE, format!("the kubeconfig cannot be written: {}", io_words(error)))
        .from_source(path.display())
        .remedy(remedy)
}

/// The file behind a symlink: the link stays a link.
fn resolve(path: &Path) -> Result<PathBuf, Error> {
    std::fs::canonicalize(path).map_err(|error| cannot_write(path, &error))
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
