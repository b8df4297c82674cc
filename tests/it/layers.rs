//! The layers of `src/`: what each top-level module is, and that no code names a module above its own.
//! `layers/arrows.rs` reads the code.

mod arrows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrows::{Arrow, Code, Tests};

/// The modules from the bottom up, and what each is. Code names its own module and those of lines above
/// this one; modules of one line name each other only by `AMONG_EQUALS`.
const LAYERS: &[(&str, &str)] = &[
    ("secret", "values that are never shown, and wiped in the end"),
    ("jwt", "reads the claims of tokens; verifies nothing"),
    ("yaml", "reads YAML, and edits it where it stands"),
    ("shell", "quotes words for people who paste a command"),
    ("error", "what can go wrong, whose turn it is then, and what policy follows"),
    ("outcome", "what a command leaves behind: its output and its exit code"),
    ("os", "environment, clock, files, programs, browsers"),
    ("cache_key", "whom and what a token is for"),
    ("terminal", "what people see while they wait, and what they answer"),
    ("sys", "the world outside the process as one value, which fakes can be"),
    ("store", "private directories of encrypted files, and where their key lies"),
    ("net", "HTTP, TLS, proxies; knows nothing of whom it reaches"),
    ("azure", "the clouds: hosts, audiences, names of resources"),
    ("exec_credential", "what kubectl asks and is answered"),
    ("entra managed_identity federated", "the protocols that hand out tokens, on typed inputs"),
    ("options", "every option, and how its text becomes a value of the layers below"),
    ("cache", "what is kept between runs"),
    ("login", "the login methods, where options become typed inputs"),
    ("kubeconfig", "reads kubeconfigs and edits them"),
    ("obtain", "how a token is had: from the cache, by renewal, from a person"),
    ("undo", "the journal of edits, and the way back"),
    ("convert", "what a conversion plans, does and reports"),
    ("commands", "a file per command"),
    ("cli", "finds and starts the command"),
    ("world", "builds the real Sys"),
    ("main", "the program"),
];

/// Who may name whom within a line of `LAYERS`.
const AMONG_EQUALS: &[(&str, &str)] =
    &[("federated", "entra"), ("federated", "managed_identity"), ("managed_identity", "entra")];

/// These are told what to do in typed values, so that they serve any caller: never by an option or a login
/// method, not even in their tests.
const TYPED_INPUTS_ONLY: &[&str] = &["net", "entra", "managed_identity", "federated"];

/// The one file that names the crate `oauth2`, so that it can be replaced there.
const OAUTH2: &str = "src/entra/token.rs";

/// What is still wrong: files that begin like this name that module, and why. The list may only shrink.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/entra/browser/mod.rs", "oauth2", "makes the PKCE challenge and verifier itself"),
    ("src/entra/entra_error.rs", "oauth2", "a trait without methods, which the type of a refusal has to have"),
];

/// Files and directories of one module that still name each other in a circle: the module, and those in it.
/// The list may only shrink.
const CIRCLES: &[(&str, &str)] =
    &[("convert", "admin skip_reason"), ("convert", "programs report"), ("store", "key_store permissions store_error")];

#[test]
fn the_table_has_every_module() {
    let modules: BTreeSet<String> =
        code(Tests::LeftOut).modules.iter().filter_map(|module| module.first().cloned()).collect();
    let named: BTreeSet<String> = LAYERS.iter().flat_map(|(names, _)| names.split(' ')).map(String::from).collect();
    let missing: Vec<_> = modules.difference(&named).collect();
    let gone: Vec<_> = named.difference(&modules).collect();
    assert!(missing.is_empty(), "give each of these a line in LAYERS, tests/it/layers.rs: {missing:?}");
    assert!(gone.is_empty(), "src/ has none of these any more, delete them from LAYERS: {gone:?}");
}

#[test]
fn nothing_names_a_module_above() {
    let mut needed = BTreeSet::new();
    let mut wrong = BTreeSet::new();
    for tests in [Tests::LeftOut, Tests::Count] {
        for Arrow { file, line, from, to } in &code(tests).arrows {
            let (Some(from), Some(module)) = (from.first(), to.first()) else { continue };
            let Some(why) = objection(file, from, module, tests) else { continue };
            let known = EXCEPTIONS.iter().find(|(path, name, _)| file.starts_with(path) && module == name);
            match known {
                Some(known) => drop(needed.insert(known)),
                None => drop(wrong.insert(format!("{file}:{line}: names {}, but {why}", to.join("::")))),
            }
        }
    }
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(
        wrong.is_empty(),
        "\n{}\n\nLAYERS in tests/it/layers.rs has the order. Move what both need into a module below both, or let \
         the caller hand it in as a value or a trait.\n",
        wrong.join("\n")
    );
    let not_needed: Vec<_> = EXCEPTIONS.iter().filter(|known| !needed.contains(known)).collect();
    assert!(not_needed.is_empty(), "well done; delete these from EXCEPTIONS, tests/it/layers.rs: {not_needed:#?}");
}

#[test]
fn the_files_of_a_module_make_no_circle() {
    let Code { arrows, modules } = code(Tests::LeftOut);
    // Per directory: which of its children name which others, and where.
    let mut edges: BTreeMap<&[String], BTreeMap<(&str, &str), String>> = BTreeMap::new();
    for Arrow { file, line, from, to } in &arrows {
        let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if common > 0 && common < from.len() && common < to.len() && modules.contains(&to[..=common]) {
            let place = || format!("{file}:{line}: names {}", to.join("::"));
            edges.entry(&from[..common]).or_default().entry((&from[common], &to[common])).or_insert_with(place);
        }
    }
    let mut found = BTreeSet::new();
    let mut wrong = Vec::new();
    for (parent, edges) in &edges {
        let circular: Vec<_> = edges.iter().filter(|((from, to), _)| leads(edges, to, from)).collect();
        for ((from, to), place) in circular {
            let parent = parent.join("::");
            let known = |(module, files): &&(&str, &str)| {
                *module == parent && [from, to].into_iter().all(|name| files.split(' ').any(|file| file == *name))
            };
            match CIRCLES.iter().find(known) {
                Some(known) => drop(found.insert(*known)),
                None => wrong.push(place.clone()),
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "\n{}\n\nThese files name each other in a circle. Move what two of them need into a third, or into one of \
         the two.\n",
        wrong.join("\n")
    );
    let not_needed: Vec<_> = CIRCLES.iter().filter(|circle| !found.contains(*circle)).collect();
    assert!(not_needed.is_empty(), "well done; delete these from CIRCLES, tests/it/layers.rs: {not_needed:#?}");
}

/// Why code of the module `from`, in this file, must not name the module `to`.
fn objection(file: &str, from: &str, to: &str, tests: Tests) -> Option<String> {
    if to == "oauth2" && file != OAUTH2 {
        return Some(format!("only {OAUTH2} names oauth2; give others a type of our own"));
    }
    if TYPED_INPUTS_ONLY.contains(&from) && ["options", "login"].contains(&to) {
        return Some(format!("{from} takes typed values and knows no {to}, in tests as well"));
    }
    if tests == Tests::Count || to == "oauth2" {
        return None;
    }
    let from_layer = layer(from)?;
    let Some(to_layer) = layer(to) else {
        // What the root re-exports for others would be a way around the layers.
        return (from != "main").then(|| format!("{to} is no module of LAYERS; name a thing where it is declared"));
    };
    match to_layer.cmp(&from_layer) {
        std::cmp::Ordering::Greater => Some(format!("{to} is above {from}")),
        std::cmp::Ordering::Equal if from != to && !AMONG_EQUALS.contains(&(from, to)) => {
            Some(format!("{to} stands beside {from}, and AMONG_EQUALS does not have the two"))
        }
        _ => None,
    }
}

/// Where a module stands; nothing for what is no module (what `lib.rs` itself declares).
fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|(names, _)| names.split(' ').any(|name| name == module))
}

fn leads(edges: &BTreeMap<(&str, &str), String>, from: &str, to: &str) -> bool {
    let (mut ahead, mut passed) = (vec![from], BTreeSet::new());
    while let Some(here) = ahead.pop() {
        if here == to {
            return true;
        }
        if passed.insert(here) {
            ahead.extend(edges.keys().filter(|(from, _)| *from == here).map(|(_, to)| *to));
        }
    }
    false
}

fn code(tests: Tests) -> Code {
    arrows::read(Path::new(env!("CARGO_MANIFEST_DIR")), tests)
}
