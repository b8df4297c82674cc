//! What is said about each user.

use crate::error::listed;
use crate::kubeconfig::plan::{self, Line, Verdict};
use crate::kubeconfig::{self, Loaded};
use crate::login::{SECRETS, Ways};
use crate::options::{CLIENT_CERTIFICATE, Decl, POP_CLAIMS};
use crate::sys::Env;

use super::Conversion;

impl Conversion<'_> {
    /// One line a user, and what a person should know besides.
    pub(super) fn report(&self, files: &[Loaded], lines: &[Line]) {
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
    pub(super) fn warn_of_readers(&self, files: &[Loaded], lines: &[Line]) {
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

    /// Says what is no problem.
    pub(super) fn tell(&self, line: &str) {
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
