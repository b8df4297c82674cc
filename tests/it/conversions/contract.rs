//! What Azure/kubelogin v0.2.19 writes for each method, flag by flag and in its order, as seen in
//! runs of it. The product's own tables have no part in this.

use super::rules;
use kubentra::internal::{Auth, Document};

use self::From::{Flag, Required, Source};

/// Where a value may come from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// The flag, else the source entry; without either nothing is written at all.
    Required,
    /// The flag, else the source entry.
    Source,
    /// The flag only.
    Flag,
}

/// After `get-token --login METHOD --server-id S [--cache-dir D]`.
const ROWS: [(&str, &[(&str, From)]); 9] = [
    ("devicecode", &[("client-id", Required), ("tenant-id", Required), ("environment", Source), ("legacy", Source)]),
    (
        "interactive",
        &[
            ("client-id", Required),
            ("tenant-id", Required),
            ("environment", Source),
            ("pop-enabled", Source),
            ("pop-claims", Source),
            ("redirect-url", Source),
            ("login-hint", Source),
        ],
    ),
    (
        "spn",
        &[
            ("client-id", Required),
            ("tenant-id", Required),
            ("environment", Source),
            ("client-secret", Flag),
            ("client-certificate", Flag),
            ("client-certificate-password", Flag),
            ("legacy", Source),
            ("pop-enabled", Source),
            ("pop-claims", Source),
            ("disable-environment-override", Flag),
        ],
    ),
    (
        "ropc",
        &[
            ("client-id", Required),
            ("tenant-id", Required),
            ("environment", Source),
            ("username", Flag),
            ("password", Flag),
            ("legacy", Source),
            ("pop-enabled", Source),
            ("pop-claims", Source),
        ],
    ),
    ("msi", &[("client-id", Flag), ("identity-resource-id", Flag)]),
    ("azurecli", &[("tenant-id", Flag), ("subscription", Flag)]),
    ("azd", &[("tenant-id", Flag)]),
    (
        "workloadidentity",
        &[("client-id", Flag), ("tenant-id", Flag), ("authority-host", Flag), ("federated-token-file", Flag)],
    ),
    ("azurepipelines", &[("tenant-id", Required), ("azure-pipelines-service-connection-id", Flag)]),
];

/// What we take over from the source entry although kubelogin forgets it (COMPATIBILITY.md).
const KEPT_BY_US: [(&str, &str); 2] = [("spn", "disable-environment-override"), ("workloadidentity", "authority-host")];

/// What we write from the source entry and kubelogin does not know of, as far as it excludes something.
const WRITTEN_BY_US: [(&str, &str); 1] = [("devicecode", "pop-enabled")];

/// Of these only the first is written; kubelogin does so for msi, az takes one of the two.
const FIRST_OF_TWO: [(&str, &str, &str); 1] = [("msi", "client-id", "identity-resource-id")];

/// These are refused together: no token can be both, and az takes one of the two.
const ONE_OF_TWO: [(&str, &str); 2] = [("legacy", "pop-enabled"), ("tenant-id", "subscription")];

/// Every flag of the table with what it says in the source entry and where it is typed; a switch has no value.
const VALUES: [(&str, &str, &str); 18] = [
    ("client-id", "11111111-1111-1111-1111-111111111111", "99999999-9999-9999-9999-999999999991"),
    ("tenant-id", "22222222-2222-2222-2222-222222222222", "99999999-9999-9999-9999-999999999992"),
    ("environment", "AzureUSGovernmentCloud", "AzureChinaCloud"),
    ("client-secret", "old-secret", "new secret"),
    ("client-certificate", "/old.pem", "/new.pem"),
    ("client-certificate-password", "old-password", "new-password"),
    ("username", "old@x", "new@x"),
    ("password", "old-password-2", "new-password-2"),
    ("legacy", "", ""),
    ("pop-enabled", "", ""),
    ("pop-claims", "u=/old", "u=/new"),
    ("redirect-url", "http://localhost:1", "http://localhost:2"),
    ("login-hint", "old-hint@x", "new-hint@x"),
    ("identity-resource-id", "/old/id", "/new/id"),
    ("subscription", "OLD", "NEW"),
    ("authority-host", "https://login.microsoftonline.com/", "https://login.microsoftonline.us/"),
    ("federated-token-file", "/old/token", "/new/token"),
    ("azure-pipelines-service-connection-id", "OLD-SC", "NEW-SC"),
];

/// What kubelogin accepts and forgets, and what it does not know: behind everything that it writes.
const OF_OURS: [&str; 7] = [
    "--timeout=90s",
    "--login-timeout=2m0s",
    "--cache-storage=none",
    "--use-azurerm-env-vars",
    "--disable-instance-discovery",
    "--authority-host=https://login.microsoftonline.us/",
    "--disable-environment-override",
];

const SERVER: &str = "33333333-3333-3333-3333-333333333333";

/// A source entry: what it says, and how.
struct Entry {
    says: Vec<&'static str>,
    text: String,
}

/// Every flag of a method, typed or not, over every kind of source entry.
#[test]
fn the_arguments_and_their_order_are_those_of_kubelogin() {
    let mut conversions = 0;
    for (method, row) in ROWS {
        for entry in entries() {
            for typed in subsets(row) {
                // The flags of ours go behind every second choice, which is half of the time.
                let more = [&[][..], &OF_OURS][conversions % 2];
                check(method, row, &entry, &typed, more);
                conversions += 1;
            }
        }
    }
    assert!(conversions > 2000, "{conversions}");
}

#[test]
fn what_is_required_and_nowhere_is_named() {
    let bare = |args: &[&str]| exec_block(&[&["get-token"], args].concat());
    for (method, row) in ROWS {
        let server = ["--server-id", SERVER];
        let login = ["--login", method];
        assert_eq!(why(&bare(&[]), &login), "--server-id is required");
        for &(flag, from) in row {
            let others = row.iter().filter(|other| other.0 != flag && other.1 == Required);
            let others = others.flat_map(|other| [format!("--{}", other.0), value(other.0).1.to_owned()]);
            let others: Vec<String> = server.map(String::from).into_iter().chain(others).collect();
            let text = bare(&others.iter().map(String::as_str).collect::<Vec<_>>());
            if from == Required {
                assert_eq!(why(&text, &login), format!("--{flag} is required"), "{method}");
            } else if flag != "pop-claims" && flag != "pop-enabled" {
                assert!(rules::convert(&text, &login).is_ok(), "{method} without --{flag}");
            }
        }
    }
    let whole = ["--server-id", SERVER, "--client-id", "C", "--tenant-id", "T"];
    for one_of_two in ["--pop-enabled", "--pop-claims=u=/x"] {
        why(&bare(&[&whole[..], &[one_of_two]].concat()), &["-l", "spn"]);
    }
}

/// The first words of the refusal.
fn why(text: &str, flags: &[&str]) -> String {
    let error = rules::convert(text, flags).expect_err("a refusal");
    error.split("; ").next().unwrap_or_default().to_owned()
}

fn check(method: &str, row: &[(&'static str, From)], entry: &Entry, typed: &[&str], more: &[&str]) {
    let mut flags = vec![format!("--login={method}")];
    flags.extend(typed.iter().map(|&flag| match value(flag).2 {
        "" => format!("--{flag}"),
        text => format!("--{flag}={text}"),
    }));
    flags.extend(more.iter().map(ToString::to_string));
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let types = |flag: &str| typed.contains(&flag) || more.iter().any(|more| more[2..].split('=').next() == Some(flag));
    let expected = expected(method, row, entry, types);
    let mut written: Vec<&str> = expected.iter().map(|(flag, _)| *flag).collect();
    written
        .extend(WRITTEN_BY_US.iter().filter(|(of, flag)| *of == method && entry.says.contains(flag)).map(|row| row.1));
    let both = ONE_OF_TWO.iter().any(|(one, other)| written.contains(one) && written.contains(other));
    let new = rules::convert(&entry.text, &flags);
    if both {
        assert!(new.is_err(), "{method} {flags:?}");
        return;
    }
    let new = new.unwrap_or_else(|why| panic!("{method} {flags:?}: {why}\n{}", entry.text));
    let args = args(&new);
    let head = ["get-token", "--login", method, "--server-id", SERVER, "--cache-dir", "/cache"].map(String::from);
    let head = &head[..if entry.says.contains(&"cache-dir") { 7 } else { 5 }];
    let own = expected.iter().flat_map(|(flag, text)| {
        [format!("--{flag}"), (*text).to_owned()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>()
    });
    let whole: Vec<String> = head.iter().cloned().chain(own).collect();
    assert_eq!(args[..whole.len().min(args.len())], whole, "{method} {flags:?} from\n{}", entry.text);
    for word in args[whole.len()..].iter().filter(|word| word.starts_with("--")) {
        assert!(!row.iter().any(|(flag, _)| word[2..] == **flag), "{method} {flags:?}: {word} again in {args:?}");
    }
}

/// The flags of the row that are written, and what they say.
fn expected(
    method: &str,
    row: &[(&'static str, From)],
    entry: &Entry,
    types: impl Fn(&str) -> bool,
) -> Vec<(&'static str, &'static str)> {
    let all = row.iter().filter_map(|&(flag, from)| {
        let (_, old, new) = value(flag);
        let carried = from != Flag || KEPT_BY_US.contains(&(method, flag));
        let outdone = FIRST_OF_TWO.iter().any(|(of, first, second)| *of == method && *second == flag && types(first));
        match (types(flag), carried && entry.says.contains(&flag)) {
            _ if outdone => None,
            (true, _) => Some((flag, new)),
            (false, true) => Some((flag, old)),
            (false, false) => None,
        }
    });
    all.collect()
}

fn value(flag: &str) -> (&'static str, &'static str, &'static str) {
    let other = ("disable-environment-override", "", "");
    VALUES.into_iter().find(|row| row.0 == flag).unwrap_or(other)
}

/// Every choice of flags to type; the two of proof-of-possession go together, rivals do not.
fn subsets(row: &[(&'static str, From)]) -> Vec<Vec<&'static str>> {
    let flags: Vec<&str> = row.iter().map(|(flag, _)| *flag).filter(|flag| *flag != "pop-claims").collect();
    let rivals = |all: &[&str]| all.contains(&"tenant-id") && all.contains(&"subscription");
    let choice = |bits: usize| -> Vec<&'static str> {
        let chosen = flags.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, flag)| *flag);
        chosen.flat_map(|flag| if flag == "pop-enabled" { vec![flag, "pop-claims"] } else { vec![flag] }).collect()
    };
    (0..1 << flags.len()).map(choice).filter(|all| !rivals(all)).collect()
}

/// What a source entry can be: exec with everything, in two spellings and two kinds of token; what AKS
/// hands out; and the retired provider.
fn entries() -> Vec<Entry> {
    let all = |without: &[&str]| -> Vec<&'static str> {
        let flags = VALUES.iter().map(|row| row.0).chain(["cache-dir", "disable-environment-override"]);
        flags.filter(|flag| !without.contains(flag)).collect()
    };
    let exec = |says: Vec<&'static str>, with: fn(&str, &str) -> Vec<String>| {
        let words = says.iter().flat_map(|&flag| match flag {
            "cache-dir" => with(flag, "/cache"),
            _ => with(flag, value(flag).1),
        });
        let server = with("server-id", SERVER).into_iter().chain(["--login=".to_owned()]);
        let words: Vec<String> = ["get-token".to_owned()].into_iter().chain(server).chain(words).collect();
        let text = exec_block(&words.iter().map(String::as_str).collect::<Vec<_>>());
        Entry { says, text }
    };
    let apart: fn(&str, &str) -> Vec<String> =
        |flag, text| [format!("--{flag}"), text.to_owned()].into_iter().filter(|word| !word.is_empty()).collect();
    let joined: fn(&str, &str) -> Vec<String> =
        |flag, text| vec![if text.is_empty() { format!("--{flag}=true") } else { format!("--{flag}={text}") }];
    let aks = vec!["environment", "client-id", "tenant-id"];
    let provider = |mode: &str, says: Vec<&'static str>| {
        let line = |key: &str, text: &str| format!("        {key}: \"{text}\"\n");
        let config: String = ["client-id", "tenant-id", "environment"].map(|key| line(key, value(key).1)).concat();
        let text = format!(
            "users:\n- name: u\n  user:\n    auth-provider:\n      name: azure\n      config:\n{}{mode}{config}",
            line("apiserver-id", SERVER)
        );
        Entry { says, text }
    };
    let modern = vec!["client-id", "tenant-id", "environment"];
    let legacy = [&modern[..], &["legacy"]].concat();
    vec![
        exec(all(&["pop-enabled", "pop-claims"]), apart),
        exec(all(&["legacy"]), joined),
        exec(aks, apart),
        provider("        config-mode: \"1\"\n", modern),
        provider("        config-mode: \"0\"\n", legacy.clone()),
        provider("", legacy),
    ]
}

fn exec_block(args: &[&str]) -> String {
    let lines: String = args.iter().map(|arg| format!("      - '{arg}'\n")).collect();
    format!(
        "users:\n- name: u\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1beta1\n      \
         args:\n{lines}      command: kubelogin\n"
    )
}

fn args(text: &str) -> Vec<String> {
    match &Document::parse(text.to_owned()).expect("a kubeconfig").users()[0].auth {
        Auth::Exec(exec) => exec.args.clone(),
        _ => panic!("no exec entry:\n{text}"),
    }
}
