//! What is said about each user: lines on stderr, or with `-o json` one object on stdout, whose field names
//! stay:
//!
//! | Field | Holds |
//! |---|---|
//! | `method` | the login method that was asked for |
//! | `dryRun` | whether nothing was to be written |
//! | `output` | the file that the converted kubeconfig was written to (or would be), if it is another one; else `null` |
//! | `replaced` | whether that file was there already |
//! | `users[]` | every user that was looked at, in the order of the files |
//! | `users[].name` | the user's name |
//! | `users[].file` | the kubeconfig that defines it |
//! | `users[].contexts[]` | the contexts that lead to it |
//! | `users[].result` | `converted` (with `dryRun`: would be), `already right`, `skipped` or `impossible` |
//! | `users[].reason` | why it is `skipped` or `impossible`, else `null` |
//! | `users[].command` | the program that its exec entry runs afterwards, or `null` |
//! | `users[].leftOut[]` | flags of the old entry that the new one does not have |
//! | `users[].advice` | how the new login can be given what was left out, or `null` |
//! | `users[].warnings[]` | secrets that stand in the file, in words |
//! | `counts` | how many are `converted`, `alreadyRight`, `skipped` and `impossible` |
//! | `undo` | whether `undo` takes it back |
//! | `notes[]` | what else is to be known, in words; some have several lines |
//! | `diff[]` | with `dryRun` what would change: `file`, and `text` with every secret masked; else `null` |
//!
//! Where one user is `impossible` nothing is written: those that could be converted are `skipped` then.

use std::path::Path;

use serde::Serialize;

use crate::convert::plan::{self, Decision, UserPlan};
use crate::error::listed;
use crate::kubeconfig::document::{Auth, Document, RelativePath};
use crate::kubeconfig::replace::FileChange;
use crate::kubeconfig::{self, KubeconfigFile};
use crate::options::types::OutputFormat as Form;
use crate::options::{CLIENT_CERTIFICATE, Decl, LOGIN, POP_CLAIMS, TABLE};
use crate::os::env::Env;
use crate::os::{OWN_NAMES, own_name};
use crate::undo::journal::JournalResult;

use super::Conversion;
use super::destination::Destination;
use super::programs;

/// What is said about a conversion.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    method: &'static str,
    dry_run: bool,
    output: Option<String>,
    replaced: bool,
    users: Vec<UserReport>,
    counts: Counts,
    undo: bool,
    notes: Vec<String>,
    diff: Option<Vec<FileDiff>>,
}

/// What is said about a user.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserReport {
    name: String,
    file: String,
    contexts: Vec<String>,
    #[serde(rename = "result")]
    pub(super) ending: UserResult,
    reason: Option<String>,
    pub(super) command: Option<String>,
    left_out: Vec<String>,
    advice: Option<String>,
    warnings: Vec<String>,
}

/// How it ended for a user.
#[derive(Serialize, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum UserResult {
    #[serde(rename = "converted")]
    Converted,
    #[serde(rename = "already right")]
    AlreadyRight,
    #[serde(rename = "skipped")]
    Skipped,
    #[serde(rename = "impossible")]
    Impossible,
}

impl UserResult {
    /// Whether the entry is what was asked for.
    pub(super) fn is_ours(self) -> bool {
        matches!(self, Self::Converted | Self::AlreadyRight)
    }
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Counts {
    converted: usize,
    already_right: usize,
    skipped: usize,
    impossible: usize,
}

/// What would change in a file.
#[derive(Serialize)]
pub(super) struct FileDiff {
    pub(super) file: String,
    pub(super) text: String,
}

impl Conversion<'_> {
    /// What there is to say when everything is written, or would be.
    pub(super) fn report(
        &self,
        files: &[KubeconfigFile],
        lines: &[UserPlan],
        changes: &[FileChange],
        destination: &Destination,
    ) -> Report {
        let users = self.users(files, lines, false);
        let mut notes = self.notes_on_flags(files, &users);
        notes.extend(readers(files, lines, destination));
        notes.extend(self.moved_paths(files, changes, destination));
        if !self.quiet {
            notes.extend(programs::notes(self.sys, self.wish, files, lines, &users, destination));
        }
        let output = match destination {
            Destination::File { path, .. } => Some(path.display().to_string()),
            Destination::Original | Destination::Stdout => None,
        };
        let replaced = matches!(destination, Destination::File { exists: true, .. });
        Report { output, replaced, notes, ..self.bare(users) }
    }

    /// What there is to say where users can't be converted and nothing is written.
    pub(super) fn report_of_refusal(&self, files: &[KubeconfigFile], lines: &[UserPlan]) -> Report {
        self.bare(self.users(files, lines, true))
    }

    fn bare(&self, users: Vec<UserReport>) -> Report {
        let counts = Counts::of(&users);
        let (method, dry_run) = (self.wish.method.name, self.dry_run);
        Report {
            method,
            dry_run,
            output: None,
            replaced: false,
            users,
            counts,
            undo: false,
            notes: Vec::new(),
            diff: None,
        }
    }

    fn users(&self, files: &[KubeconfigFile], lines: &[UserPlan], refused: bool) -> Vec<UserReport> {
        lines.iter().map(|line| self.user(&files[line.file], line, refused)).collect()
    }

    fn user(&self, file: &KubeconfigFile, line: &UserPlan, refused: bool) -> UserReport {
        let user = &file.document.users()[line.user];
        let stands = match &user.auth {
            Auth::Exec(exec) => Some(exec.command.clone()),
            _ => None,
        };
        let (ending, reason, command) = match &line.decision {
            Decision::Convert(_) if refused => {
                (UserResult::Skipped, Some("nothing is written while another user cannot be converted".into()), stands)
            }
            Decision::Convert(new) => (UserResult::Converted, None, Some(new.command.clone())),
            Decision::AlreadyRight => (UserResult::AlreadyRight, None, stands),
            Decision::Skipped(why) => (UserResult::Skipped, Some(why.clone()), stands),
            Decision::Impossible(error) => (UserResult::Impossible, Some(error.to_string()), stands),
        };
        let converted = ending == UserResult::Converted;
        let left_out = if converted { plan::left_out(user, self.wish) } else { Vec::new() };
        UserReport {
            name: user.name.clone(),
            file: file.path.to_string_lossy().into_owned(),
            contexts: line.contexts.clone(),
            ending,
            reason,
            command,
            advice: self.advice(&left_out),
            left_out,
            warnings: if converted { self.warnings_of_secrets(&user.name) } else { Vec::new() },
        }
    }

    /// A line a user, their count, and what a person should know besides.
    pub(super) fn tell_report(&self, report: &Report) {
        report.users.iter().for_each(|user| self.tell_user(user));
        if let Some(counts) = report.counts.line(self.dry_run) {
            let undo =
                if report.undo { format!("; `{} undo` takes it back", self.sys.called_as()) } else { String::new() };
            self.tell(&format!("{counts}{undo}"));
        }
        let losses = Self::losses(&report.users);
        for line in losses.iter().chain(&report.notes).flat_map(|note| note.lines()) {
            self.tell(line);
        }
        if let Some(output) = &report.output {
            let done = match (self.dry_run, report.replaced) {
                (false, false) => "written to",
                (false, true) => "written over",
                (true, false) => "would be written to",
                (true, true) => "would be written over",
            };
            self.tell(&format!("{done} {output}"));
        }
    }

    fn tell_user(&self, user: &UserReport) {
        let UserReport { name, file, .. } = user;
        let reason = user.reason.as_deref().unwrap_or_default();
        // What may have stood nowhere else is a problem.
        let loses = loses_secret(user);
        match user.ending {
            UserResult::Converted => {
                let would = if self.dry_run { "would convert" } else { "converted" };
                let line = format!("{would} {name} to {} ({file})", self.wish.method.name);
                if loses && self.form == Form::Text { self.say(&line) } else { self.tell(&line) }
            }
            UserResult::AlreadyRight => self.tell(&format!("already right: {name} ({file})")),
            UserResult::Skipped => self.tell(&format!("skipped {name}: {reason} ({file})")),
            UserResult::Impossible => {}
        }
        user.warnings.iter().for_each(|warning| self.say(&format!("warning: {warning}")));
        if loses {
            self.say(&loss(name, user));
        }
    }

    /// What entries lose that is no secret, once for all users that lose the same.
    fn losses(users: &[UserReport]) -> Vec<String> {
        let mut alike: Vec<(&UserReport, usize)> = Vec::new();
        for user in users.iter().filter(|user| !user.left_out.is_empty() && !loses_secret(user)) {
            let same = |(other, _): &&mut (&UserReport, usize)| {
                (&other.left_out, &other.advice) == (&user.left_out, &user.advice)
            };
            match alike.iter_mut().find(same) {
                Some((_, count)) => *count += 1,
                None => alike.push((user, 1)),
            }
        }
        let of = |count, user: &UserReport| if count == 1 { user.name.clone() } else { format!("{count} users") };
        alike.iter().map(|(user, count)| loss(&of(*count, user), user)).collect()
    }

    /// What was typed without effect.
    fn notes_on_flags(&self, files: &[KubeconfigFile], users: &[UserReport]) -> Vec<String> {
        if !users.iter().any(|user| user.ending.is_ours()) {
            return vec![nothing_to_convert(files, &self.sys.env)];
        }
        let mut notes = Vec::new();
        notes.extend(self.outvoted_login());
        let passed_over = plan::passed_over(self.wish);
        if !passed_over.is_empty() {
            let (flags, method) = (passed_over.join(", "), self.wish.method.name);
            notes.push(format!("note: typed, and not written for --login {method}: {flags}"));
        }
        if let Some(command) = self.wish.typed_command().filter(|command| own_name(command).is_none()) {
            let names = listed(OWN_NAMES.map(String::from).into());
            notes.push(format!(
                "note: the next conversion will take entries that run {command} for another program's; ours run {names}"
            ));
        }
        let claims = self.values.get(&POP_CLAIMS).ok().flatten().filter(|_| self.writes(&POP_CLAIMS.decl));
        if let Some(claims) = claims.filter(|claims| !claims.ignored.is_empty()) {
            let ignored = listed(claims.ignored);
            notes.push(format!("note: no cluster reads these claims, they are not sent: {ignored}"));
        }
        notes
    }

    /// The variable that has chosen another method than the one that was typed.
    fn outvoted_login(&self) -> Option<String> {
        let (name, typed) =
            *self.values.overruled(self.wish.typed).iter().find(|(_, typed)| *typed.decl == LOGIN.decl)?;
        let (method, flag, typed) = (self.wish.method.name, &typed.flag, typed.text.expose());
        Some(format!("note: {name} says {method}, and wins over {flag} {typed}"))
    }

    /// Where the file lies elsewhere, its relative paths mean something else.
    fn moved_paths(
        &self,
        files: &[KubeconfigFile],
        changes: &[FileChange],
        destination: &Destination,
    ) -> Option<String> {
        let (Destination::File { path: to, .. }, [file]) = (destination, files) else { return None };
        let directory = |path: &Path| Some(std::path::absolute(path).ok()?.parent()?.to_owned());
        let real = |path: &Path| std::fs::canonicalize(directory(path)?).ok();
        if real(&file.path) == real(to) {
            return None;
        }
        let edited = changes.first().and_then(|change| Document::parse(change.edited.text.clone()).ok());
        let paths = edited.as_ref().unwrap_or(&file.document).relative_paths();
        let mut fields: Vec<&str> = Vec::new();
        for path in &paths {
            if !fields.contains(&path.field) {
                fields.push(path.field);
            }
        }
        let fields: Vec<String> = fields.into_iter().map(|field| places(field, &paths)).collect();
        (!fields.is_empty()).then(|| {
            let (to, directory) = (to.display(), directory(to).unwrap_or_default());
            let directory = directory.display();
            let start = if self.dry_run { "would start" } else { "now start" };
            format!("warning: relative paths in {to} {start} from {directory}: {}", fields.join(", "))
        })
    }

    /// Secrets that stand in the file now.
    fn warnings_of_secrets(&self, name: &str) -> Vec<String> {
        let stands = if self.dry_run { "would stand in the kubeconfig" } else { "stands in the kubeconfig now" };
        let warning = |decl: &&Decl| {
            let (secret, file) = (decl.words(), decl.secret.filter(|_| self.writes(decl))?.decl.flag());
            let others = self.values.variable(decl).map(|variable| format!("{file} or {variable} keep"));
            let others = others.unwrap_or_else(|| format!("{file} keeps"));
            Some(format!("the {secret} of {name} {stands}; {others} it out"))
        };
        TABLE.iter().filter_map(warning).collect()
    }

    /// Whether a typed value of `decl` is written.
    fn writes(&self, decl: &Decl) -> bool {
        self.wish.types(decl) && self.wish.method.written().any(|argument| argument.decl == decl)
    }

    /// How the new login can be given the proof that its entry no longer says: a secret better by its
    /// file. Whoever has typed one has chosen.
    fn advice(&self, left_out: &[String]) -> Option<String> {
        let method = || self.wish.method.written().map(|argument| argument.decl);
        let proofs = || method().filter(|decl| decl.secret.is_some() || **decl == CLIENT_CERTIFICATE.decl);
        let chosen = |decl: &Decl| self.wish.types(decl) || decl.secret.is_some_and(|file| self.wish.types(&file.decl));
        let missing: Vec<&Decl> = proofs().filter(|decl| left_out.contains(&decl.flag())).collect();
        if missing.is_empty() || proofs().any(chosen) {
            return None;
        }
        let flag = |decl: &&Decl| decl.secret.map_or(decl.flag(), |file| file.decl.flag());
        let flags = listed(missing.iter().map(flag).collect());
        let variables =
            listed(missing.iter().filter_map(|decl| self.values.variable(decl)).map(String::from).collect());
        let variables =
            if variables.is_empty() { variables } else { format!(", or set {variables} where kubectl runs") };
        Some(format!("give {flags}{variables}"))
    }

    /// Says what is no problem; a program reads it in the report.
    fn tell(&self, line: &str) {
        if !self.quiet && self.form == Form::Text {
            self.say(line);
        }
    }

    fn say(&self, line: &str) {
        self.sys.terminal.say(crate::error::one_line(line));
    }
}

impl Report {
    /// The same with why `undo` can't take it back, where that was wanted.
    pub(super) fn with_kept(mut self, kept: &JournalResult) -> Self {
        if let JournalResult::Failed(why) = kept {
            self.notes.push(format!("note: this change cannot be taken back by undo: {why}"));
        }
        self.undo = *kept == JournalResult::Edit;
        self
    }

    /// The same with what would change.
    pub(super) fn with_diff(self, diff: Option<Vec<FileDiff>>) -> Self {
        Self { diff, ..self }
    }
}

impl Counts {
    fn of(users: &[UserReport]) -> Self {
        let mut counts = Self::default();
        for user in users {
            match user.ending {
                UserResult::Converted => counts.converted += 1,
                UserResult::AlreadyRight => counts.already_right += 1,
                UserResult::Skipped => counts.skipped += 1,
                UserResult::Impossible => counts.impossible += 1,
            }
        }
        counts
    }

    /// `2 converted, 3 skipped`, where one is ours.
    fn line(&self, dry_run: bool) -> Option<String> {
        if self.converted + self.already_right == 0 {
            return None;
        }
        let converted = if dry_run { "would be converted" } else { "converted" };
        let kinds = [(self.converted, converted), (self.already_right, "already right"), (self.skipped, "skipped")];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}"));
        Some(kinds.collect::<Vec<_>>().join(", "))
    }
}

/// A kubeconfig leads into clusters, and may hold keys beside what we convert.
fn readers(files: &[KubeconfigFile], lines: &[UserPlan], destination: &Destination) -> Vec<String> {
    let used = files.iter().enumerate().filter(|(index, _)| lines.iter().any(|line| line.file == *index));
    let paths: Vec<&Path> = match destination {
        Destination::Original => used.map(|(_, file)| file.path.as_path()).collect(),
        Destination::File { path, .. } => vec![path],
        Destination::Stdout => Vec::new(),
    };
    let open = |path: &&Path| Some((path.display().to_string(), crate::os::files::open_to_others(path)?));
    let open = paths.iter().filter_map(open);
    open.map(|(path, mode)| format!("warning: others can read {path} (mode {mode:04o}); chmod 600 keeps it to you"))
        .collect()
}

/// Whether the entry loses what may have stood nowhere else.
fn loses_secret(user: &UserReport) -> bool {
    TABLE.iter().any(|decl| decl.secret.is_some() && user.left_out.contains(&decl.flag()))
}

fn loss(whose: &str, user: &UserReport) -> String {
    let advice = user.advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default();
    format!("note: not taken over for {whose}: {}{advice}", user.left_out.join(", "))
}

/// More lines than these are counted.
const SHOWN: usize = 5;

/// `certificate-authority (lines 4, 9 and 3 more)`
fn places(field: &str, paths: &[RelativePath]) -> String {
    let lines: Vec<usize> = paths.iter().filter(|path| path.field == field).map(|path| path.line).collect();
    let shown = lines.iter().take(SHOWN).map(ToString::to_string);
    let more = lines.len().checked_sub(SHOWN).filter(|more| *more > 0).map(|more| format!("{more} more"));
    let word = if lines.len() == 1 { "line" } else { "lines" };
    format!("{field} ({word} {})", listed(shown.chain(more).collect()))
}

fn nothing_to_convert(files: &[KubeconfigFile], env: &Env) -> String {
    if !files.is_empty() {
        return "nothing to convert".into();
    }
    format!("nothing to convert: there is no kubeconfig ({})", kubeconfig::looked_for(env))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_kinds_that_occur_are_counted() {
        let line = |converted, already_right, skipped, dry_run| {
            Counts { converted, already_right, skipped, impossible: 0 }.line(dry_run)
        };
        assert_eq!(line(2, 1, 3, false).as_deref(), Some("2 converted, 1 already right, 3 skipped"));
        assert_eq!(line(2, 0, 3, true).as_deref(), Some("2 would be converted, 3 skipped"));
        assert_eq!(line(0, 0, 3, false), None);
    }

    #[test]
    fn many_places_are_counted() {
        let paths =
            |count: usize| (1..=count).map(|line| RelativePath { field: "tokenFile", line }).collect::<Vec<_>>();
        assert_eq!(places("tokenFile", &paths(1)), "tokenFile (line 1)");
        assert_eq!(places("tokenFile", &paths(5)), "tokenFile (lines 1, 2, 3, 4 and 5)");
        assert_eq!(places("tokenFile", &paths(7)), "tokenFile (lines 1, 2, 3, 4, 5 and 2 more)");
    }
}
