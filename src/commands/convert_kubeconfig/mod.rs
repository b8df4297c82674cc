//! `convert-kubeconfig`: exec entries out of what AKS hands out.

mod report;

use std::path::Path;

use crate::error::Error;
use crate::kubeconfig::document::Edit;
use crate::kubeconfig::plan::{self, Line, Verdict, Wish};
use crate::kubeconfig::replace::{Change, replace};
use crate::kubeconfig::{self, Loaded, cannot_edit, diff, lock};
use crate::login::Method;
use crate::options::{CONTEXT, DRY_RUN, Given, KUBECONFIG, Values};
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
                return Ok(self.diff(&changes));
            }
            if replace(self.sys, &changes)? {
                self.report(&files, &lines);
                self.warn_of_readers(&files, &lines);
                return Ok(Secret::new(""));
            }
        }
        Err(Error::new(&situation::KUBECONFIG, "the kubeconfig keeps changing while it is converted")
            .remedy("run the command again when nothing else writes it; nothing was changed"))
    }

    /// One unified diff a file, with every secret masked.
    fn diff(&self, changes: &[Change]) -> Secret {
        let typed = self.wish.typed.flags().iter().filter(|typed| typed.decl.secret);
        let typed: Vec<_> = typed.map(|typed| typed.text.expose()).filter(|text| !text.is_empty()).collect();
        Secret::new(changes.iter().map(|change| diff::unified(change, &typed)).collect::<String>())
    }
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
            let edited = file.document.edit(&edits).map_err(|error| cannot_edit(&file.path, &error))?;
            changes.push(Change { file, edited });
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
