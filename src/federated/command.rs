//! A token that a program prints. A kubeconfig comes from others, so it alone makes nothing run: the
//! command must be typed by hand, stand in a variable, or be one that the user has allowed.

use std::path::{Path, PathBuf};

use crate::cache_key::CacheKey;
use crate::error::{Error, ErrorKind};
use crate::os::BoxFuture;
use crate::os::clock::Deadline;
use crate::os::env::Env;
use crate::os::process::{self, ProgramCall, ProgramOutput};
use crate::secret::Secret;
use crate::shell;
use crate::sys::Sys;

use super::{AssertionSource, FederatedTokenSource, NamedSource, excerpt, token_in};

/// The variable that allows commands of kubeconfigs: whole commands, separated by `;`.
pub(super) const TRUSTED_COMMANDS: &str = "KUBENTRA_TRUSTED_COMMANDS";

struct AssertionCommand {
    /// As it was given.
    text: String,
    words: Vec<String>,
}

/// The command `text` of these `words`, which `named` names, if it may be run.
///
/// # Errors
/// Only a kubeconfig names it; the error has the line that would allow it.
pub(super) fn allowed(
    text: &str,
    words: &[String],
    named: &NamedSource,
    env: &Env,
) -> Result<Box<dyn AssertionSource>, Error> {
    if named.by_user || is_listed(words, env) {
        return Ok(Box::new(AssertionCommand { text: text.to_owned(), words: words.to_vec() }));
    }
    let line = format!("{TRUSTED_COMMANDS}={}", shell::word(text));
    Err(Error::new(
        ErrorKind::AssertionSource,
        format!("the command `{text}` is not run: only the kubeconfig names it"),
    )
    .from_source(format!("{} in the exec entry", named.named_by))
    .remedy(format!("if you trust it, allow it with {line}")))
}

/// Commands are compared word by word, so it does not matter how many blanks lie between them. One in
/// JSON may hold a `;` itself and then stands alone.
fn is_listed(words: &[String], env: &Env) -> bool {
    let Some(list) = env.trusted(TRUSTED_COMMANDS) else { return false };
    let is_it = |text: &str| {
        let listed = FederatedTokenSource::parse(&format!("command:{}", text.trim()));
        matches!(listed, Ok(FederatedTokenSource::Command { words: listed, .. }) if listed == words)
    };
    list.split(';').any(is_it) || (list.trim_start().starts_with('[') && is_it(list))
}

impl AssertionCommand {
    fn call(&self, env: &Env) -> Result<ProgramCall, Error> {
        let (program, arguments) = self.words.split_first().ok_or_else(|| self.not_found(""))?;
        let program = find(env, program).ok_or_else(|| self.not_found(program))?;
        Ok(ProgramCall { program, arguments: arguments.to_vec(), variables: Vec::new() })
    }

    fn token(&self, ended: &ProgramOutput) -> Result<Secret, Error> {
        if ended.code != Some(0) {
            return Err(self.failed(ended));
        }
        token_in(ended.stdout.expose()).ok_or_else(|| {
            Error::new(ErrorKind::Tool, "the command for the federated token printed no JWT")
                .from_source(self.shown())
                .remedy("make it print the token alone, or JSON that holds it as `token`")
        })
    }

    fn failed(&self, ended: &ProgramOutput) -> Error {
        let how = ended.code.map_or_else(|| "was killed".to_owned(), |code| format!("ended with exit code {code}"));
        let last = ended.stderr.lines().map(excerpt).rfind(|line| !line.is_empty());
        let words = last.map(|line| format!(": {line}")).unwrap_or_default();
        Error::new(ErrorKind::Tool, format!("the command for the federated token {how}{words}"))
            .from_source(self.shown())
            .remedy("run it by hand to see what it needs")
    }

    /// Where the time was over, that says it all.
    fn not_run(&self, error: Error) -> Error {
        if error.kind() != ErrorKind::Tool {
            return error;
        }
        error.from_source(self.shown()).remedy("run it by hand to see what it needs")
    }

    fn not_found(&self, program: &str) -> Error {
        Error::new(ErrorKind::Tool, format!("the program {program} was not found on PATH"))
            .from_source(self.shown())
            .remedy("give the program's name, or its absolute path")
    }

    fn shown(&self) -> String {
        format!("command:{}", excerpt(&self.text))
    }
}

/// An absolute path as it is, a bare name on `PATH`; a relative path would be another program in every
/// directory.
fn find(env: &Env, program: &str) -> Option<PathBuf> {
    if Path::new(program).is_absolute() {
        return Some(program.into());
    }
    process::find(env, program).filter(|_| !program.contains(['/', '\\']))
}

impl AssertionSource for AssertionCommand {
    fn add_to_key(&self, key: &mut CacheKey) {
        key.field("token-command", &self.text);
        key.field("machine", &crate::managed_identity::machine().unwrap_or_default());
    }

    fn fetch<'a>(&'a self, sys: &'a Sys, deadline: Deadline) -> BoxFuture<'a, Secret> {
        Box::pin(async move {
            let call = self.call(&sys.env)?;
            sys.terminal.detail(5, || format!("running {}", call.program.display()));
            let ended = sys.programs.run(&call, deadline.left(&*sys.clock), &*sys.clock).await;
            self.token(&ended.map_err(|error| self.not_run(error))?)
        })
    }

    fn described(&self) -> String {
        format!("the command `{}`", excerpt(&self.text))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{World, choose, key_of, named, token, with_request};
    use super::*;

    fn command<const N: usize>(text: &str, env: [(&str, &str); N]) -> Result<Box<dyn AssertionSource>, String> {
        with_request(env, |request| request.named = named(text), choose).map(Option::unwrap)
    }

    /// The same where only the exec entry names it.
    fn of_entry<const N: usize>(text: &str, env: [(&str, &str); N]) -> Result<Box<dyn AssertionSource>, String> {
        let named = named(text).map(|named| NamedSource { by_user: false, ..named });
        with_request(env, |request| request.named = named, choose).map(Option::unwrap)
    }

    #[test]
    fn what_runs_and_what_it_prints() {
        let source = command("command:sh -c  x", []).unwrap();
        let world = World::running(vec![(Some(0), &format!("{}\n", token("s", "x")), "a warning")]);
        assert_eq!(world.fetch(&*source), Ok(token("s", "x")));
        assert_eq!(world.calls(), [r#"/bin/sh ["-c", "x"]"#]);
        let exact = command(r#"command:["/opt/my program", "a b"]"#, []).unwrap();
        let world = World::running(vec![(Some(0), &format!(r#"{{"token":"{}"}}"#, token("s", "x")), "")]);
        assert_eq!(world.fetch(&*exact), Ok(token("s", "x")));
        assert_eq!(world.calls(), [r#"/opt/my program ["a b"]"#]);
    }

    #[test]
    fn failures() {
        let error = |end: (Option<i32>, &str, &str)| {
            World::running(vec![end]).fetch(&*command("command:sh -c x", []).unwrap()).unwrap_err()
        };
        assert_eq!(
            error((Some(3), "canary", &format!("first\nno\tlogin for {}\n\n", token("s", "canary")))),
            "the command for the federated token ended with exit code 3: no login for <token> (command:sh -c x); \
             run it by hand to see what it needs"
        );
        assert!(error((None, "", "")).starts_with("the command for the federated token was killed (command:"));
        assert!(
            error((Some(0), "canary", ""))
                .starts_with("the command for the federated token printed no JWT (command:sh -c x);")
        );
        let missing = |program: &str| {
            let source = command(&format!("command:{program}"), []).unwrap();
            World::running(Vec::new()).fetch(&*source).unwrap_err()
        };
        assert_eq!(
            missing("no-such-program"),
            "the program no-such-program was not found on PATH (command:no-such-program); \
             give the program's name, or its absolute path"
        );
        assert!(missing("./sh").starts_with("the program ./sh was not found"));
        assert!(missing("../bin/sh").starts_with("the program ../bin/sh was not found"));
    }

    #[test]
    fn a_kubeconfig_alone_makes_nothing_run() {
        let text = "command:curl  https://evil.example";
        assert_eq!(
            of_entry(text, []).err().unwrap(),
            "the command `curl https://evil.example` is not run: only the kubeconfig names it \
             (--federated-token-source in the exec entry); if you trust it, allow it with \
             KUBENTRA_TRUSTED_COMMANDS='curl https://evil.example'"
        );
        assert!(command(text, []).is_ok());
        for list in ["curl https://evil.example", "a; curl   https://evil.example ;b"] {
            assert!(of_entry(text, [(TRUSTED_COMMANDS, list)]).is_ok(), "{list}");
        }
        for list in [
            "curl",
            "curl https://evil.example x",
            "curl;https://evil.example",
            "*",
            "command:curl https://evil.example",
        ] {
            assert!(of_entry(text, [(TRUSTED_COMMANDS, list)]).is_err(), "{list}");
        }
    }

    #[test]
    fn blanks_inside_of_arguments_count() {
        let listed = |text: &str, list: &str| of_entry(text, [(TRUSTED_COMMANDS, list)]).is_ok();
        assert!(listed(r#"command:["a b",  "c"]"#, r#"x; ["a b","c"]"#));
        assert!(!listed(r#"command:["a  b", "c"]"#, r#"["a b","c"]"#));
        assert!(listed(r#"command:["sh","-c","a;b"]"#, r#"["sh","-c","a;b"]"#));
        assert!(!listed("command:a;b", "a;b"));
    }

    #[test]
    fn looking_into_the_cache_runs_nothing() {
        let known = |text: &str| key_of(&*command(text, []).unwrap());
        assert!(known("command:a b") == known("command:a b") && known("command:a b") != known("command:a c"));
    }
}
