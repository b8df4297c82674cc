//! `undo` among other programs: kubectl that writes the file, a second `undo`, a state directory of
//! somebody else's. What a case directory can say stands in `tests/cases/undo/`.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use crate::env::{Run, TestEnv};
use crate::kubectl::{self, Kubectl, kubeconfig, with_every_kubectl};
use crate::parallel::Running;
use crate::support::skip::skip;

/// What kubectl reads out of the kubeconfig.
fn read_by(kubectl: &Kubectl, env: &TestEnv) -> serde_json::Value {
    let run = kubectl.run(env, &["config", "view", "--raw", "-o", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    serde_json::from_str(&run.stdout).expect("JSON")
}

fn text(env: &TestEnv) -> String {
    fs::read_to_string(kubeconfig(env)).expect("a kubeconfig")
}

fn run(env: &TestEnv, args: &[&str]) -> Run {
    let run = env.run(args);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run:#?}");
    run
}

fn state(env: &TestEnv) -> PathBuf {
    env.home().join(".local/state/kubentra")
}

fn records(env: &TestEnv) -> usize {
    fs::read_dir(state(env).join("edits")).expect("records").count()
}

/// kubectl writes the whole file anew, in its own style.
#[test]
fn what_kubectl_has_written_anew_is_taken_back_entry_by_entry() {
    with_every_kubectl(|kubectl| {
        for style in [to_flow, to_comments, str::to_owned] {
            let env = kubectl::signed_out();
            let config = style(&text(&env)).replace("current-context: name\n", "");
            env.write(".kube/config", &config);
            let before = read_by(kubectl, &env);
            for login in ["spn", "azurecli"] {
                run(&env, &["convert-kubeconfig", "--login", login]);
            }
            for change in [&["set-context", "new", "--user", "clusterUser_rg_name"][..], &["use-context", "new"]] {
                assert_eq!(kubectl.run(&env, &[&["config"], change].concat()).code, 0);
            }
            for login in ["azurecli", "spn"] {
                let undone = run(&env, &["undo"]);
                let closing = format!("took back \"convert-kubeconfig to {login}\" of ");
                assert!(undone.stderr.lines().last().is_some_and(|line| line.starts_with(&closing)), "{undone:#?}");
            }
            let mut after = read_by(kubectl, &env);
            assert_eq!(after["current-context"], "new");
            assert_eq!(after["contexts"].as_array().map(Vec::len), Some(2));
            let mut expected = before["users"].clone();
            for users in [&mut expected, &mut after["users"]] {
                written_by_kubectl(users);
            }
            assert_eq!(after["users"], expected, "{}", text(&env));
            assert_eq!(records(&env), 0);
        }
    });
}

/// kubectl writes out what it assumes for what is missing.
fn written_by_kubectl(users: &mut serde_json::Value) {
    let exec = users[0]["user"]["exec"].as_object_mut().expect("an exec entry");
    exec.retain(|_, value| !value.is_null());
    exec.entry("interactiveMode").or_insert_with(|| "IfAvailable".into());
    exec.entry("provideClusterInfo").or_insert_with(|| false.into());
}

fn to_flow(text: &str) -> String {
    let (start, _) = text.split_once("users:\n").expect("users");
    format!(
        "{start}users: [{{name: clusterUser_rg_name, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1beta1, \
         args: [get-token, --login, devicecode, --server-id, S, --client-id, C, --tenant-id, T], command: kubelogin}}}}}}]\n"
    )
}

fn to_comments(text: &str) -> String {
    text.replace("  user:\n", "  # a comment\n  user: # another\n")
        .replace("command: kubelogin\n", "command: kubelogin # c\n")
}

#[test]
fn what_is_too_old_goes_whenever_undo_looks() {
    let env = kubectl::signed_out();
    for args in [&["undo", "--list"][..], &["undo"]] {
        run(&env, &["convert-kubeconfig", "--login", if args.len() == 1 { "azd" } else { "spn" }]);
        for record in fs::read_dir(state(&env).join("edits")).expect("records").flatten() {
            let name = record.file_name().to_str().expect("a name").to_owned();
            // A moment of 2001.
            let old = record.path().with_file_name(name.replacen(&name[..20], "01000000000000000000", 1));
            fs::rename(record.path(), old).expect("it is ours");
        }
        assert_eq!(records(&env), 1);
        let looked = env.run(args);
        let told = format!("{}{}", looked.stdout, looked.stderr);
        assert_eq!((looked.code, told.as_str(), records(&env)), (0, "nothing to take back\n", 0));
    }
}

/// A pipe is nothing to wait for, nor is a device to be read to its end.
#[test]
fn what_is_no_file_any_more_is_not_read() {
    for device in [None, Some("/dev/zero"), Some("/dev/full")] {
        let env = kubectl::signed_out();
        let config = kubeconfig(&env);
        run(&env, &["convert-kubeconfig", "--login", "spn"]);
        fs::remove_file(&config).expect("a kubeconfig");
        match device {
            None => {
                let made = Run::of(&mut env.other(Path::new("/usr/bin/mkfifo"), &[config.to_str().expect("a path")]));
                assert_eq!(made.code, 0, "{made:#?}");
            }
            Some(device) => std::os::unix::fs::symlink(device, &config).expect("a link"),
        }
        // What waits for a pipe waits for ever.
        let bounded = |args: &[&str]| {
            let program = env.dir().join("bin/kubentra").display().to_string();
            Run::of(&mut env.other(Path::new("/usr/bin/timeout"), &[&["30", program.as_str()], args].concat()))
        };
        let listed = bounded(&["undo", "--list"]);
        assert!(listed.stdout.ends_with(": 1 user, cannot be read\n"), "{listed:#?}");
        let refused = bounded(&["undo"]);
        let error =
            format!("Error: {} is a pipe or a device now; put a file there; nothing was changed\n", config.display());
        assert_eq!(refused.failure(), error);
    }
}

/// The other file of the edit comes back at once, and this one when it is what the edit has left again.
#[test]
fn a_file_that_cannot_be_read_may_come_back_later() {
    let mut env = kubectl::signed_out();
    let other = env.write("other", &text(&env).replace("clusterUser", "otherUser"));
    env.set("KUBECONFIG", format!("{}:{}", kubeconfig(&env).display(), other.display()));
    let read = || [&kubeconfig(&env), &other].map(|path| fs::read_to_string(path).expect("a kubeconfig"));
    let before = read();
    run(&env, &["convert-kubeconfig", "--login", "spn"]);
    let [_, converted] = read();
    fs::write(&other, "users: [").expect("it is ours");
    let undone = env.run(&["undo"]);
    let why = format!("error loading config file \"{}\": unclosed bracket '[' at line 1, column 8", other.display());
    assert!(
        undone.stderr.contains(&why) && undone.stderr.contains("\nError: 1 of 2 users is not taken back: "),
        "{undone:#?}"
    );
    assert_eq!((undone.code, read()[0].as_str()), (1, before[0].as_str()));
    fs::write(&other, converted).expect("it is ours");
    run(&env, &["undo"]);
    assert_eq!((read(), records(&env)), (before, 0));
}

/// As `jq --tab` writes it; kubectl makes blocks of it, which tabs cannot indent.
#[test]
fn json_with_tabs_is_taken_back_after_kubectl_has_written_it() {
    with_every_kubectl(|kubectl| {
        let env = kubectl::signed_out();
        env.write(".kube/config", &text(&env).replace("current-context: name\n", ""));
        let json = serde_json::to_string_pretty(&read_by(kubectl, &env)).expect("JSON");
        let tabs = json.lines().map(|line| {
            let text = line.trim_start();
            format!("{}{text}\n", "\t".repeat((line.len() - text.len()) / 2))
        });
        env.write(".kube/config", &tabs.collect::<String>());
        let mut before = read_by(kubectl, &env);
        run(&env, &["convert-kubeconfig", "--login", "azurecli"]);
        assert_eq!(kubectl.run(&env, &["config", "set-context", "new"]).code, 0);
        run(&env, &["undo"]);
        let mut after = read_by(kubectl, &env);
        for users in [&mut before["users"], &mut after["users"]] {
            written_by_kubectl(users);
        }
        assert_eq!(after["users"], before["users"], "{}", text(&env));
    });
}

#[test]
fn two_at_once_take_two_edits_back() {
    let env = kubectl::signed_out();
    let original = text(&env);
    for login in ["spn", "azurecli"] {
        run(&env, &["convert-kubeconfig", "--login", login]);
    }
    let running = [(); 2].map(|()| Running::kubentra(&env, &["undo".to_owned()]));
    let runs = running.map(Running::finish);
    assert!(runs.iter().all(|run| run.code == 0 && run.stderr.contains("took back clusterUser_rg_name ")), "{runs:#?}");
    assert_eq!((text(&env), records(&env)), (original, 0));
}

#[test]
fn what_belongs_to_somebody_else_is_not_used() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can give a file away");
    }
    let env = kubectl::signed_out();
    let converted = |login: &str| run(&env, &["convert-kubeconfig", "--login", login]).stderr;
    assert!(!converted("spn").contains("note:"));
    for path in [state(&env), state(&env).join("key"), state(&env).join("edits")] {
        let why = format!("{} belongs to another user", path.display());
        chown(&path, Some(4242), None).expect("root may");
        let error = format!(
            "Error: what was kept for undo is not used: {why}; look at it; what was not taken back can be changed by hand\n"
        );
        assert_eq!(env.run(&["undo"]).failure(), error);
        let login = if text(&env).contains("azd") { "msi" } else { "azd" };
        let told = converted(login);
        if path.ends_with("key") {
            // A new key takes its place; what the other one has sealed is lost.
            assert!(!told.contains("note: this change"), "{told}");
        } else {
            assert!(told.contains(&format!("note: this change cannot be taken back by undo: {why}\n")), "{told}");
            chown(&path, Some(0), None).expect("root may");
        }
    }
}

/// Only the journal is concerned: the program runs as nobody, who may write the kubeconfig's directory.
#[test]
fn a_state_directory_that_cannot_be_written_costs_one_line() {
    if !rustix::process::geteuid().is_root() {
        return skip("only root can run a program as somebody else");
    }
    let env = kubectl::signed_out();
    let original = text(&env);
    fs::create_dir_all(env.home().join(".local/state")).expect("a directory");
    for path in [env.home().join(".kube"), kubeconfig(&env)] {
        chown(&path, Some(65534), None).expect("root may");
    }
    open_the_way(env.dir());
    let program = env.dir().join("bin/kubentra").display().to_string();
    let as_nobody = |args: &[&str]| {
        let all = [&["--reuid=65534", "--clear-groups", program.as_str()], args].concat();
        Run::of(&mut env.other(Path::new("/usr/bin/setpriv"), &all))
    };
    let converted = as_nobody(&["convert-kubeconfig", "--login", "spn"]);
    let note = "note: this change cannot be taken back by undo: ";
    assert!(converted.code == 0 && converted.stderr.contains(note), "{converted:#?}");
    assert_ne!(text(&env), original);
    assert_eq!(as_nobody(&["undo"]).stderr, "nothing to take back\n");
}

/// Temporary directories are their owner's alone.
fn open_the_way(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
