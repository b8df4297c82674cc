//! Beside real kubectl: it takes what we write, and neither loses what the other has written.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::Value;

use kubentra::internal::{Change, KubeconfigFile, Section, Value as Yaml, edited};

use super::{rules, texts};
use crate::env::{Run, TestEnv};
use crate::kubectl::{Kubectl, kubeconfig, kubectls, signed_out};
use crate::network::strace;
use crate::parallel::{Running, until};

/// Kubeconfigs at random that kubectl is asked about; each costs two calls of it.
const TEXTS: usize = 32;

/// The versions of kubectl take turns, so that each reads some.
#[test]
fn kubectl_takes_what_is_written_and_sees_the_planned_changes_only() {
    if kubectls().is_empty() {
        return;
    }
    let env = TestEnv::new();
    let mut runner = TestRunner::deterministic();
    let mut next = || -> (String, String, Vec<&'static str>) {
        // What is refused or changes nothing is no work for kubectl.
        loop {
            let text = texts::kubeconfig().new_tree(&mut runner).expect("a text").current();
            let flags = texts::flags().new_tree(&mut runner).expect("flags").current();
            if let Ok(new) =
                rules::convert(&text, &flags).and_then(|new| if new == text { Err(text.clone()) } else { Ok(new) })
            {
                return (text, new, flags);
            }
        }
    };
    let tasks: Vec<_> = (0..TEXTS).map(|_| next()).collect();
    let accepted = AtomicUsize::new(0);
    let at = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((old, new, flags)) = tasks.get(at.fetch_add(1, Ordering::SeqCst)) {
                    let number = at.load(Ordering::SeqCst);
                    let kubectl = &kubectls()[number % kubectls().len()];
                    let name = format!("{:p}", old);
                    let Some(before) = view(kubectl, &env, &name, old) else { continue };
                    let after = view(kubectl, &env, &name, new);
                    let after = after.unwrap_or_else(|| panic!("{} refuses\n{new}", kubectl.path.display()));
                    only_users_differ(&before, &after, &format!("{flags:?}\n{old}\n{new}"));
                    accepted.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    let accepted = accepted.into_inner();
    assert!(accepted * 2 > TEXTS, "kubectl took {accepted} of {TEXTS}: the texts are no kubeconfigs");
}

/// What kubectl makes of a text; nothing if it refuses.
fn view(kubectl: &Kubectl, env: &TestEnv, name: &str, text: &str) -> Option<Value> {
    let file = env.write(name, text).display().to_string();
    let run = kubectl.run(env, &["config", "view", "--raw", "-o", "json", "--kubeconfig", &file]);
    (run.code == 0).then(|| serde_json::from_str(&run.stdout).expect("JSON"))
}

/// All is the same but for an `auth-provider` that is an `exec` now, and the arguments of an `exec`.
fn only_users_differ(old: &Value, new: &Value, about: &str) {
    let without_users = |view: &Value| {
        let mut view = view.clone();
        view["users"] = Value::Null;
        view
    };
    assert_eq!(without_users(old), without_users(new), "{about}");
    let users = |view: &Value| view["users"].as_array().expect("users").clone();
    assert_eq!(users(old).len(), users(new).len(), "{about}");
    for (mut old, mut new) in users(old).into_iter().zip(users(new)) {
        if old == new {
            continue;
        }
        let (before, after) = (old["user"].take(), new["user"].take());
        assert_eq!(old, new, "{about}");
        let without = |user: &Value, exec: bool| {
            let mut user = user.clone();
            let members = user.as_object_mut().expect("a user");
            members.remove("auth-provider");
            let entry = if exec { members.get_mut("exec") } else { None };
            match entry.and_then(Value::as_object_mut) {
                Some(entry) => {
                    entry.remove("args");
                    // Where v1 does not say it, kubectl refuses to run it, and it is written.
                    entry.entry("interactiveMode").or_insert("IfAvailable".into());
                }
                None => _ = members.remove("exec"),
            }
            user
        };
        let exec = before.get("exec").is_some();
        assert_eq!(without(&before, exec), without(&after, exec), "{about}");
        assert_eq!(after["exec"]["args"][0], "get-token", "{about}");
    }
}

/// Two threads change clusters and contexts by kubectl while the user is converted again and again.
#[test]
fn no_change_of_kubectl_is_lost_while_entries_are_converted() {
    const CHANGES: usize = 12;
    let Some(kubectl) = kubectls().last() else { return };
    let env = signed_out();
    // kubectl reads before it locks, so two of them lose each other's changes without our help.
    let one_kubectl = Mutex::new(());
    let change = |args: &[&str]| {
        // It gives up at once where somebody holds the lock, and then it has changed nothing.
        let args = [&["config"], args].concat();
        while kubectl.run(&env, &args).code != 0 {}
    };
    let work = |thread: usize| {
        for number in 0..CHANGES {
            let name = format!("n{thread}-{number}");
            let server = format!("--server=https://{name}.example");
            let guard = one_kubectl.lock().unwrap();
            change(&if thread == 0 {
                vec!["set-cluster", &name, &server]
            } else {
                vec!["set-context", &name, "--cluster=c"]
            });
            drop(guard);
        }
    };
    let (mut runs, mut converted) = (0, 0);
    thread::scope(|scope| {
        let work = &work;
        let threads = [0, 1].map(|thread| scope.spawn(move || work(thread)));
        for method in ["msi", "devicecode"].into_iter().cycle() {
            let run = convert(&env, method);
            runs += 1;
            // At worst kubectl has held the lock all the time.
            assert!(run.code == 0 || run.stderr.contains(".lock"), "{run:#?}");
            converted += usize::from(run.code == 0);
            if threads.iter().all(|thread| thread.is_finished()) {
                break;
            }
        }
    });
    let view = view_of_file(kubectl, &env);
    let names = |list: &str| -> BTreeSet<String> {
        view[list].as_array().expect("a list").iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    for number in 0..CHANGES {
        assert!(names("clusters").contains(&format!("n0-{number}")), "lost cluster {number}");
        assert!(names("contexts").contains(&format!("n1-{number}")), "lost context {number}");
    }
    assert!(converted > 5 && converted * 2 > runs, "{converted} of {runs}");
    for method in ["spn", "devicecode"] {
        assert_eq!(convert(&env, method).code, 0);
        let args = view_of_file(kubectl, &env)["users"][0]["user"]["exec"]["args"].clone();
        assert_eq!(args[2], method);
    }
    assert!(!kubeconfig(&env).with_extension("lock").exists());
}

fn convert(env: &TestEnv, method: &str) -> Run {
    // The client and the tenant are gone after msi.
    let person = ["--client-id=11111111-1111-1111-1111-111111111111", "--tenant-id=contoso.com"];
    env.run(&[&["convert-kubeconfig", "--login", method][..], if method == "msi" { &[] } else { &person }].concat())
}

fn view_of_file(kubectl: &Kubectl, env: &TestEnv) -> Value {
    let run = kubectl.run(env, &["config", "view", "--raw", "-o", "json"]);
    assert_eq!(run.code, 0, "{run:#?}");
    serde_json::from_str(&run.stdout).expect("JSON")
}

/// kubectl empties the file before it writes it anew; what is read meanwhile is no kubeconfig.
#[test]
fn a_file_that_kubectl_is_writing_is_waited_for() {
    let (Some(strace), Some(kubectl)) = (strace(), kubectls().last()) else { return };
    let env = signed_out();
    let file = kubeconfig(&env);
    let (path, program) = (file.display().to_string(), kubectl.path.display().to_string());
    let slow = ["-f", "-o", "/dev/null", "-P", &path, "-e", "trace=write", "-e", "inject=write:delay_enter=700000"];
    let change = [program.as_str(), "config", "set-cluster", "n", "--server=https://n.example"];
    let kubectl_writes = Running::start(&env, env.other(strace, &[&slow[..], &change].concat()));
    until("an empty file", || file.metadata().is_ok_and(|found| found.len() == 0));
    let run = convert(&env, "msi");
    assert!(run.code == 0 && run.stderr.starts_with("converted "), "{run:#?}");
    assert_eq!(kubectl_writes.finish().code, 0);
    let view = view_of_file(kubectl, &env);
    let cluster = view["clusters"].as_array().expect("clusters").iter().any(|cluster| cluster["name"] == "n");
    assert!(cluster && view["users"][0]["user"]["exec"]["args"][2] == "msi", "{view:#}");
}

/// The files, the arguments of `kubectl config` and the changes that mean the same: every one in the file in which
/// kubectl makes it, and what kubectl reads afterwards is the same.
#[test]
fn entries_change_in_the_file_in_which_kubectl_changes_them() {
    let Some(kubectl) = kubectls().last() else { return };
    let own = "apiVersion: v1\nkind: Config\nclusters:\n- {name: own, cluster: {server: https://own}}\n";
    let both = "clusters:\n- name: both # twice\n  cluster:\n    server: https://a\ncontexts:\n- name: c\n  context: {cluster: own}\nkind: Config\napiVersion: v1\n";
    let none = "kind: Config\napiVersion: v1\n";
    let current = "current-context: c\n";
    let with = |text: &str, more: &str| format!("{text}{more}");
    let server = |url: &str| Yaml::map([("server", Yaml::text(url))]);
    let cluster = |name: &str, url: &str| Change::Set(Section::Clusters, name.into(), server(url));
    let context = Yaml::map([("cluster", Yaml::text("own")), ("user", Yaml::text("me"))]);
    let token = Yaml::map([("token", Yaml::text("0x1f"))]);
    let cases: [(String, String, &[&str], Change); 9] = [
        (both.into(), own.into(), &["set-cluster", "new", "--server=https://n"], cluster("new", "https://n")),
        (none.into(), both.into(), &["set-cluster", "new", "--server=https://n"], cluster("new", "https://n")),
        (both.into(), own.into(), &["set-cluster", "own", "--server=https://n"], cluster("own", "https://n")),
        (both.into(), both.into(), &["set-cluster", "both", "--server=https://n"], cluster("both", "https://n")),
        (both.into(), both.into(), &["delete-cluster", "both"], Change::Remove(Section::Clusters, "both".into())),
        (
            own.into(),
            both.into(),
            &["set-context", "c", "--cluster=own", "--user=me"],
            Change::Set(Section::Contexts, "c".into(), context),
        ),
        (
            own.into(),
            both.into(),
            &["set-credentials", "u", "--token=0x1f"],
            Change::Set(Section::Users, "u".into(), token),
        ),
        (own.into(), with(both, current), &["use-context", "c"], Change::UseContext("c".into())),
        (
            with(both, current),
            with(own, current),
            &["rename-context", "c", "d"],
            Change::Rename(Section::Contexts, "c".into(), "d".into()),
        ),
    ];
    for (first, second, args, change) in cases {
        let mut env = TestEnv::new();
        let paths = [env.write("a", &first), env.write("b", &second)];
        let names = paths.each_ref().map(|path| path.display().to_string());
        let files = [&first, &second].map(|text| KubeconfigFile::new("".into(), text.clone()).expect("a kubeconfig"));
        let mut ours = [first, second];
        let mut changes = vec![change];
        if args[0] == "rename-context" {
            // kubectl takes the current context along.
            changes.push(Change::UseContext("d".into()));
        }
        for changed in edited(&files, changes).expect("an edit") {
            let index = usize::from(std::ptr::eq(changed.file, &raw const files[1]));
            ours[index] = changed.edited.text;
        }
        env.set("KUBECONFIG", names.join(":"));
        let run = kubectl.run(&env, &[&["config"], args].concat());
        assert_eq!(run.code, 0, "{run:#?}");
        for (path, ours) in paths.iter().zip(&ours) {
            let theirs = std::fs::read_to_string(path).expect("a kubeconfig");
            assert_eq!(view(kubectl, &env, "theirs", &theirs), view(kubectl, &env, "ours", ours), "{args:?}\n{ours}");
        }
    }
}

/// `>` of PowerShell 5 writes UTF-16, which kubectl reads.
#[test]
fn utf_16_stays_utf_16() {
    for big in [false, true] {
        let env = signed_out();
        let encode = |text: &str| -> Vec<u8> {
            let unit = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(unit).collect()
        };
        let file = kubeconfig(&env);
        let old = std::fs::read_to_string(&file).expect("a kubeconfig").replace('\n', "\r\n") + "# ü 😀\r\n";
        std::fs::write(&file, &old).expect("a kubeconfig");
        let in_utf_8 = env.run(&["convert-kubeconfig", "-l", "azurecli"]);
        let new = std::fs::read_to_string(&file).expect("a kubeconfig");
        assert!(in_utf_8.code == 0 && new != old, "{in_utf_8:#?}");
        std::fs::write(&file, encode(&old)).expect("a kubeconfig");
        let run = env.run(&["convert-kubeconfig", "-l", "azurecli", "--output", &format!("{}.other", file.display())]);
        assert_eq!(run.code, 0, "{run:#?}");
        assert_eq!(std::fs::read(format!("{}.other", file.display())).expect("a file"), encode(&new));
        let run = env.run(&["convert-kubeconfig", "-l", "azurecli"]);
        assert_eq!((run.code, std::fs::read(&file).expect("a kubeconfig")), (0, encode(&new)), "{run:#?}");
        for kubectl in kubectls() {
            let run = kubectl.run(&env, &["config", "view", "-o", "jsonpath={.users[0].user.exec.args[2]}"]);
            assert_eq!((run.code, run.stdout.as_str()), (0, "azurecli"), "{run:#?}");
        }
        let undo = env.run(&["undo"]);
        assert_eq!((undo.code, std::fs::read(&file).expect("a kubeconfig")), (0, encode(&old)), "{undo:#?}");
        std::fs::write(&file, [&encode(&old)[..], b"x"].concat()).expect("a kubeconfig");
        let odd = env.run(&["convert-kubeconfig", "-l", "azurecli"]);
        assert!(odd.code == 1 && odd.stderr.contains(": it is not valid UTF-16; correct the file"), "{odd:#?}");
    }
}
