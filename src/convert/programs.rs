//! Whether kubectl will find and start what the entries run.

use std::collections::HashSet;

use crate::convert::plan::{ConvertRequest, UserPlan};
use crate::error::listed;
use crate::kubeconfig::KubeconfigFile;
use crate::kubeconfig::kuberc::{self, Policy, PolicyRefusal};
use crate::options::COMMAND;
use crate::os::env::Env;
use crate::sys::Sys;

use super::destination::Destination;
use super::report::{UserReport, UserResult};

/// What is to be known about the programs of the entries that are ours, a program each.
pub(super) fn notes(
    sys: &Sys,
    wish: &ConvertRequest,
    files: &[KubeconfigFile],
    lines: &[UserPlan],
    users: &[UserReport],
    destination: &Destination,
) -> Vec<String> {
    let typed = wish.typed_command();
    let mut known = HashSet::new();
    let ours = lines.iter().zip(users).filter_map(|(line, user)| {
        let command = user.command.as_deref().filter(|command| !command.is_empty() && user.ending.is_ours())?;
        known.insert((command, line.file, user.ending)).then_some((command, line.file, user.ending))
    });
    let (mut new, mut all): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for (command, file, ending) in ours {
        let configured = kuberc::configured(command, destination.path(&files[file]));
        // A path that the entry had all along may be another machine's.
        let is_new = !configured.contains(std::path::is_separator) || typed.as_ref() == Some(&configured);
        if ending == UserResult::Converted && is_new && !new.contains(&configured) {
            new.push(configured.clone());
        }
        if !all.contains(&configured) {
            all.push(configured);
        }
    }
    missing(&new, &sys.env).chain(refused(sys, &all)).collect()
}

/// Programs that are not there, and names that are not on `PATH`.
fn missing<'a>(commands: &'a [String], env: &'a Env) -> impl Iterator<Item = String> + 'a {
    let missing = commands.iter().filter(|command| kuberc::lookup(command, env).is_none());
    let flag = COMMAND.decl.flag();
    missing.map(move |command| {
        if command.contains(std::path::is_separator) {
            return format!("note: {command} is no program that can be started here, and kubectl will fail on it");
        }
        format!(
            "note: {command} is not on PATH here, where kubectl looks: link this program there, or give {flag} PATH"
        )
    })
}

/// What kubectl's policy forbids.
fn refused(sys: &Sys, commands: &[String]) -> Option<String> {
    let policy = if commands.is_empty() { None } else { Policy::load(sys) }?;
    let refused = commands.iter().filter_map(|command| Some((command, policy.refuses(command, &sys.env)?)));
    let refused: Vec<(&String, PolicyRefusal)> = refused.collect();
    let (_, reason) = refused.first()?;
    let names = listed(refused.iter().map(|(command, _)| (*command).clone()).collect());
    let warning = format!("warning: kubectl 1.35 and later will not start {names}: {}", policy.path.display());
    if *reason == PolicyRefusal::All {
        return Some(format!("{warning} says DenyAll; no plugin starts while it does, whatever an entry says"));
    }
    let additions = refused.iter().filter_map(|(_, refusal)| match refusal {
        PolicyRefusal::NotListed(line) => Some(format!("\n{line}")),
        PolicyRefusal::All => None,
    });
    let additions: String = additions.collect();
    Some(format!("{warning} lists other plugins only; add below credentialPluginAllowlist:{additions}"))
}
