//! `convert-kubeconfig`: exec entries out of what AKS hands out.

mod admin;
mod az;
mod destination;
pub(crate) mod plan;
mod programs;
mod report;
pub(crate) mod skip_reason;

use std::path::Path;

use crate::error::{Error, ErrorKind};
use crate::kubeconfig::edit::changed;
use crate::kubeconfig::replace::{FileChange, ReplaceHook, replace};
use crate::kubeconfig::{self, KubeconfigFile, diff, file_lock};
use crate::login::Method;
use crate::options::types::OutputFormat as Form;
use crate::options::{CONTEXT, DRY_RUN, KUBECONFIG, NO_UNDO, OUTPUT_FILE, ParsedArgs, REPORT, Values};
use crate::os::env::Env;
use crate::secret::Secret;
use crate::sys::Sys;
use crate::terminal::{OutputStyle, stderr_is_terminal};
use crate::undo::journal::{JournalResult, JournalWriter, Operation};
use crate::undo::public::PUBLIC;

use crate::outcome::{Outcome, json};
use destination::Destination;
use plan::{ConvertRequest, Decision, UserPlan};
use report::{FileDiff, Report};

/// Converts, or shows what it would do; says for each user what it did.
pub(crate) fn run(sys: &Sys, given: &ParsedArgs) -> Result<Outcome, Error> {
    let values = Values::resolve(given, &sys.env);
    let contexts: Vec<&str> = given.every(&CONTEXT.decl).collect();
    let wish = ConvertRequest {
        method: Method::find(&values)?,
        typed: given,
        contexts: &contexts,
        command: if sys.called_as() == "kubelogin" { "kubelogin" } else { "kubentra" },
    };
    crate::login::check(&Values::resolve(given, &Env::default()))?;
    let form = form(&values)?;
    destination::check(given, &values, form)?;
    let by_az = az::is_calling(sys);
    let written = || by_az.then(|| az::written_kubeconfig(&sys.env)).flatten();
    let path = values.get(&KUBECONFIG)?.map(|path| path.0).or_else(written);
    let quiet = by_az && (!stderr_is_terminal() || az::has_started(sys));
    let conversion = Conversion { sys, wish: &wish, dry_run: values.is_on(&DRY_RUN), form, quiet, values: &values };
    conversion.run(path.as_deref())
}

fn form(values: &Values) -> Result<Form, Error> {
    let form = values.require(&REPORT, "the form of the report cannot be empty");
    form.map_err(|error| error.also(&format!("a file is named with {}", OUTPUT_FILE.decl.flag())))
}

struct Conversion<'a> {
    sys: &'a Sys,
    wish: &'a ConvertRequest<'a>,
    dry_run: bool,
    form: Form,
    /// Whether only problems are printed (design, D9).
    quiet: bool,
    /// Knows the variables that count in this run; for advice.
    values: &'a Values,
}

/// Another program may write between our reading and our lock; then we plan anew.
const ATTEMPTS: u32 = 3;

impl Conversion<'_> {
    fn run(&self, given: Option<&Path>) -> Result<Outcome, Error> {
        for _ in 0..ATTEMPTS {
            let files = kubeconfig::load(self.sys, given)?;
            let destination = Destination::of(self.values, &files, &self.sys.env)?;
            let in_place = matches!(destination, Destination::Original) && !self.dry_run;
            for file in files.iter().filter(|_| in_place) {
                file_lock::clear_dead(&file.path);
            }
            let lines = plan::plan(&files, self.wish)?;
            if lines.iter().any(|line| matches!(line.decision, Decision::Impossible(_))) {
                return self.refuse(&files, lines);
            }
            let edits = lines.iter().filter_map(UserPlan::change);
            let changes = changed(&files, edits)?;
            let written =
                if self.dry_run { Some(JournalResult::Nothing) } else { self.write(&destination, &files, &changes)? };
            if let Some(kept) = written {
                let report = self.report(&files, &lines, &changes, &destination).with_kept(&kept);
                return self.tell_and_print(report, &destination, &files, &changes);
            }
        }
        Err(Error::new(ErrorKind::Kubeconfig, "the kubeconfig keeps changing while it is converted")
            .remedy("run the command again when nothing else writes it; nothing was changed"))
    }

    /// Whether `undo` takes it back; `None`, and nothing written, if a file is no longer what was read.
    fn write(
        &self,
        destination: &Destination,
        files: &[KubeconfigFile],
        changes: &[FileChange],
    ) -> Result<Option<JournalResult>, Error> {
        match destination {
            Destination::Original => {
                changes.iter().try_for_each(|change| refuse_pipe(&change.file.path))?;
                return self.replace(changes);
            }
            Destination::File { path, .. } => {
                let encoding = files.first().map(|file| file.encoding).unwrap_or_default();
                destination::write(self.sys, path, &encoding.encode(converted(files, changes)))?;
            }
            Destination::Stdout => {}
        }
        Ok(Some(JournalResult::Nothing))
    }

    fn replace(&self, changes: &[FileChange]) -> Result<Option<JournalResult>, Error> {
        let what = Operation { command: "convert-kubeconfig".into(), login: self.wish.method.name.into() };
        let mut keeping = JournalWriter::new(self.sys, &what, changes);
        let ahead: &mut dyn ReplaceHook = if self.values.is_on(&NO_UNDO) { &mut () } else { &mut keeping };
        let done = replace(self.sys, changes, "is converted", ahead)?;
        Ok(done.then(|| keeping.kept()))
    }

    fn tell_and_print(
        &self,
        report: Report,
        destination: &Destination,
        files: &[KubeconfigFile],
        changes: &[FileChange],
    ) -> Result<Outcome, Error> {
        self.tell_report(&report);
        let stdout = match (self.form, destination) {
            (Form::Json, _) => {
                let diffs = self.dry_run.then(|| diffs(destination, changes, OutputStyle::Exact));
                json(&report.with_diff(diffs))?
            }
            (Form::Text, Destination::Stdout) => converted(files, changes).to_owned(),
            (Form::Text, _) if self.dry_run => {
                let diffs = diffs(destination, changes, OutputStyle::of_stdout(&self.sys.env));
                diffs.into_iter().map(|diff| diff.text).collect()
            }
            (Form::Text, _) => String::new(),
        };
        Ok(Secret::new(stdout).into())
    }

    /// One of our entries can't be converted: nothing is written, and every reason is told (D7).
    fn refuse(&self, files: &[KubeconfigFile], lines: Vec<UserPlan>) -> Result<Outcome, Error> {
        let stdout = match self.form {
            Form::Json => json(&self.report_of_refusal(files, &lines))?,
            Form::Text => String::new(),
        };
        Ok(Outcome { stdout: Secret::new(stdout), problem: refusal(self.sys, files, lines) })
    }
}

/// One unified diff a file, in which all is masked that is not known to be public.
fn diffs(destination: &Destination, changes: &[FileChange], look: OutputStyle) -> Vec<FileDiff> {
    let diff = |change: &FileChange| FileDiff {
        file: change.file.path.display().to_string(),
        text: diff::unified(change, destination.path(change.file), &PUBLIC, look),
    };
    changes.iter().map(diff).collect()
}

/// The text of the one file.
fn converted<'a>(files: &'a [KubeconfigFile], changes: &'a [FileChange]) -> &'a str {
    let unchanged = files.first().map(|file| file.document.text());
    changes.first().map(|change| change.edited.text.as_str()).or(unchanged).unwrap_or_default()
}

/// What comes out of a pipe has no file that could be replaced.
fn refuse_pipe(path: &Path) -> Result<(), Error> {
    if !destination::is_no_file(path) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::File, "the kubeconfig is no file and cannot be edited")
        .from_source(path.display())
        .remedy(format!("print the converted one with {} -", OUTPUT_FILE.decl.flag())))
}

/// The problem that the command ends with; of several, each is told first.
fn refusal(sys: &Sys, files: &[KubeconfigFile], lines: Vec<UserPlan>) -> Option<Error> {
    let mut reasons = lines.into_iter().filter_map(|line| match line.decision {
        Decision::Impossible(error) => {
            let user = format!("user \"{}\" in {}", line.name, files[line.file].path.display());
            Some(error.from_source(user))
        }
        _ => None,
    });
    let first = reasons.next()?;
    let Some(second) = reasons.next() else { return Some(first.also("nothing was written")) };
    let all: Vec<_> = [first, second].into_iter().chain(reasons).collect();
    for reason in &all {
        sys.terminal.say(reason.to_string());
    }
    let what = format!("{} users cannot be converted", all.len());
    Some(Error::new(ErrorKind::Kubeconfig, what).remedy("mend what is told of each; nothing was written"))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::Pin;
    use std::rc::Rc;
    use std::time::Duration;

    use super::*;
    use crate::options::{OptionSet, args};
    use crate::os::clock::{Clock, SystemClock};

    const AKS: &str = "users:\n- name: u\n  user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: kubelogin, args: [get-token, --login, devicecode, --server-id, S]}}\n";

    /// The real time, with what is waited counted and not waited.
    struct Counting(SystemClock, Cell<u32>);

    impl Clock for Counting {
        fn now(&self) -> u64 {
            self.0.now()
        }

        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }

        fn pause(&self, _: Duration) {
            self.1.set(self.1.get() + 1);
        }

        fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
            self.0.sleep(time)
        }
    }

    /// What never took place, or was put back by hand, is let go of under the lock of its file. To read the file
    /// then must not wait for that very lock: 50 records took a minute, and kubectl was locked out.
    #[test]
    fn undo_does_not_wait_for_its_own_lock() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config");
        let clock = Rc::new(Counting(SystemClock::start(), Cell::new(0)));
        let env = [("HOME", home.path()), ("KUBECONFIG", &file)].map(|(name, path)| (name, path.to_str().unwrap()));
        let sys = Sys { env: Env::from(env), clock: clock.clone(), ..Sys::fake() };
        for method in ["azurecli", "msi", "spn"] {
            crate::os::files::replace(&file, AKS.as_bytes()).unwrap();
            let flags = ["-l", method, "--client-id", "a", "--tenant-id", "t"].map(String::from);
            run(&sys, &args::read(&flags, OptionSet::TOKEN).unwrap()).unwrap();
            assert_ne!(std::fs::read_to_string(&file).unwrap(), AKS, "{method}");
        }
        crate::os::files::replace(&file, AKS.as_bytes()).unwrap();
        let records = || std::fs::read_dir(home.path().join(".local/state/kubentra/edits")).unwrap().count();
        assert_eq!(records(), 3);
        crate::undo::run(&sys, &args::read(&[""; 0], OptionSet::COMMON).unwrap()).unwrap();
        assert_eq!(clock.1.get(), 0, "pauses");
        assert_eq!((records(), std::fs::read_to_string(&file).unwrap().as_str()), (0, AKS));
    }
}
