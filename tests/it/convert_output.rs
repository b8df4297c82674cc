//! What `convert-kubeconfig` prints where no case can look: on a terminal, into `patch`, out of a pipe, and
//! for thousands of users.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::env::{Run, TestEnv};
use crate::kubectl::missing;
use crate::parallel::best_of_three;
use crate::pty::{Ended, Pty};

const DRY_RUN: [&str; 4] = ["convert-kubeconfig", "--login", "azd", "--dry-run"];

/// A user named `name`; `more` are further lines of its entry.
fn user(name: &str, more: &str) -> String {
    format!(
        "- name: {name}\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      \
         args:\n      - get-token\n      - --server-id\n      - s\n{more}      command: kubelogin\n"
    )
}

fn env(users: &str) -> TestEnv {
    let mut env = TestEnv::new();
    env.set("TERM", "xterm");
    env.write(".kube/config", &format!("users:\n{users}"));
    env
}

/// The diff on a terminal, which stdout is then as well.
fn on_a_terminal(env: &TestEnv) -> Option<Ended> {
    let program = ["sh", "-c", "exec \"$@\" >&2", "sh", "kubentra"];
    let args = DRY_RUN.map(String::from);
    Pty::start_program(env, &program, &args, 80).map(Pty::finish)
}

/// The lines that the terminal was sent, from the diff's first one on.
fn diff_of(ended: &Ended) -> String {
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let raw = ended.raw.replace("\r\n", "\n");
    let start = raw.find("\u{1b}[1m---").or_else(|| raw.find("---")).expect("a diff");
    raw[start..].to_owned()
}

/// A comment that would show the rest of its line in another order.
const ODD: &str = "      # \u{202e}txet\u{202c}\tx\n";

#[test]
fn on_a_terminal_the_diff_is_coloured_and_the_file_does_not_steer_it() {
    let env = env(&user("u", ODD));
    let Some(ended) = on_a_terminal(&env) else { return };
    assert_eq!(diff_of(&ended), shown(&env, |colour, line| format!("\u{1b}[{colour}m{line}\u{1b}[0m")));
}

#[test]
fn without_colours_it_is_plain_and_safe() {
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let mut env = env(&user("u", ODD));
        env.set(name, value);
        let Some(ended) = on_a_terminal(&env) else { return };
        assert_eq!(diff_of(&ended), shown(&env, |_, line| line.to_owned()), "{name}={value}");
    }
}

/// The diff of `ODD`'s user, with lines in colours.
fn shown(env: &TestEnv, coloured: fn(u8, &str) -> String) -> String {
    let file = env.home().join(".kube/config").display().to_string();
    let lines = [
        coloured(1, &format!("--- {file}")),
        coloured(1, &format!("+++ {file}")),
        coloured(36, "@@ -5,6 +5,8 @@"),
        "       apiVersion: client.authentication.k8s.io/v1beta1".to_owned(),
        "       args:".to_owned(),
        "       - get-token".to_owned(),
    ];
    let changed = [coloured(32, "+      - --login"), coloured(32, "+      - azd")];
    let after = ["       - --server-id", "       - s", "       # \\u{202e}txet\\u{202c}\tx"].map(String::from);
    let hunk = lines.iter().chain(&changed).chain(&after);
    hunk.map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_is_piped_is_what_patch_takes() {
    let patch = Path::new("/usr/bin/patch");
    if !patch.exists() {
        return missing("patch");
    }
    let text = [user("u", ODD), user("v", ""), user("w", "")].concat();
    for text in [text.clone(), text.trim_end().to_owned(), text.replace('\n', "\r\n")] {
        let env = env(&text);
        let run = env.run(&DRY_RUN);
        assert_eq!(run.code, 0, "{run:#?}");
        env.write("diff", &run.stdout);
        let mut patching = env.other(patch, &["--binary", "-o", "patched", ".kube/config", "diff"]);
        assert_eq!(Run::of(&mut patching).code, 0, "{}", run.stdout);
        assert_eq!(env.run(&DRY_RUN[..3]).code, 0);
        let [patched, converted] =
            ["patched", ".kube/config"].map(|path| std::fs::read(env.home().join(path)).unwrap());
        assert_eq!(patched, converted, "{}", run.stdout);
    }
}

/// `kubentra ARGS` with `text` in the pipe that is its stdin.
fn fed(env: &TestEnv, args: &[&str], text: &str) -> Run {
    let mut command = env.command("kubentra", args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn a_pipe_is_converted_to_stdout_and_not_edited() {
    let env = TestEnv::new();
    let text = format!("users:\n{}", user("u", ""));
    let args = ["convert-kubeconfig", "--login", "azd", "--kubeconfig", "/dev/stdin"];
    let run = fed(&env, &[&args[..], &["--output", "-"]].concat(), &text);
    let converted = text.replace("- get-token\n", "- get-token\n      - --login\n      - azd\n");
    assert_eq!((run.code, run.stdout.as_str()), (0, converted.as_str()), "{run:#?}");
    assert_eq!(run.stderr, "converted u to azd (/dev/stdin)\n1 converted\n");
    let run = fed(&env, &[&args[..], &["--output", "out"]].concat(), &text);
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(std::fs::read_to_string(env.home().join("out")).unwrap(), converted);
    let run = fed(&env, &args, &text);
    let words =
        "Error: the kubeconfig is no file and cannot be edited (/dev/stdin); print the converted one with --output -\n";
    assert_eq!(run.failure(), words);
    assert!(!Path::new("/dev/stdin.lock").exists());
}

/// Azure's own clusters come to 5 KB each.
#[test]
fn thousands_of_users_take_no_time() {
    const USERS: usize = 2_000;
    best_of_three(Duration::from_secs(10), || {
        let data = "Q".repeat(4_500);
        let mut text = String::from("clusters:\n");
        for index in 0..USERS {
            text.push_str(&format!("- cluster:\n    certificate-authority-data: {data}\n  name: c{index}\n"));
        }
        text.push_str("users:\n");
        for index in 0..USERS {
            text.push_str(&user(&format!("u{index}"), ""));
            text.push_str(&format!("    token: canary-token-{index:04}-of-many\n"));
        }
        let env = TestEnv::new();
        env.write(".kube/config", &text);
        let start = Instant::now();
        let run = env.run(&DRY_RUN);
        let time = start.elapsed();
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stdout.matches("\n+      - azd\n").count(), USERS);
        assert!(!run.stdout.contains("canary"));
        time
    });
}
