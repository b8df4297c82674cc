//! Reads which module of `src/` names which other, by the words of the files alone: every path that
//! begins with `crate`, `super`, `self`, our own name or `oauth2`, in `use` lines and elsewhere. Comments and
//! strings do not count, and what is compiled for tests only where that is wanted.

use std::collections::BTreeSet;
use std::path::Path;

/// One path in one file.
pub struct Arrow {
    /// Below the crate, as a person finds it: `src/net/tls.rs`.
    pub file: String,
    pub line: usize,
    /// The module whose file it is.
    pub from: Vec<String>,
    /// What it names, from the crate's root; the last words may be a type or a function.
    pub to: Vec<String>,
}

pub struct Code {
    pub arrows: Vec<Arrow>,
    /// All modules that have a file of their own.
    pub modules: BTreeSet<Vec<String>>,
}

/// Whether what is compiled for tests only counts.
#[derive(Clone, Copy, PartialEq)]
pub enum Tests {
    Count,
    LeftOut,
}

/// Reads all files below `root/src`.
pub fn read(root: &Path, tests: Tests) -> Code {
    let mut files = Vec::new();
    list(&root.join("src"), &mut files);
    files.sort();
    let mut code = Code { arrows: Vec::new(), modules: BTreeSet::new() };
    let mut for_tests = Vec::new();
    for path in files {
        let file = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
        let module = module_of(&file);
        let text = std::fs::read_to_string(&path).unwrap();
        for_tests.extend(arrows(&file, &module, &text, tests, &mut code.arrows));
        code.modules.insert(module);
    }
    code.arrows.retain(|arrow| !for_tests.iter().any(|module| arrow.from.starts_with(module)));
    code
}

fn list(dir: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

/// `src/net/tls.rs` is net::tls, `src/net/mod.rs` is net, and `src/lib.rs` the root itself.
fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> =
        file.trim_start_matches("src/").trim_end_matches(".rs").split('/').map(String::from).collect();
    if module.last().unwrap() == "mod" || module == ["lib"] {
        module.pop();
    }
    module
}

/// Adds the arrows of one file, and returns the modules that it declares for tests only.
fn arrows(file: &str, module: &[String], text: &str, tests: Tests, found: &mut Vec<Arrow>) -> Vec<Vec<String>> {
    let words = words(text);
    let (words, for_tests) = if tests == Tests::Count { (words, Vec::new()) } else { without_tests(words) };
    let mut inline: Vec<(usize, &str)> = Vec::new();
    let mut depth = 0;
    let mut at = 0;
    while let Some((line, word)) = words.get(at) {
        match word.as_str() {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|(outer, _)| *outer == depth);
            }
            "mod" if is(&words, at + 2, "{") => inline.push((depth, &words[at + 1].1)),
            "crate" | "kubentra" | "super" | "self" | "oauth2"
                if is(&words, at + 1, "::") && (at == 0 || !is(&words, at - 1, "::")) =>
            {
                let here: Vec<String> =
                    module.iter().cloned().chain(inline.iter().map(|(_, name)| (*name).to_owned())).collect();
                let mut paths = Vec::new();
                at = tree(&words, at, &[], &mut paths);
                let from = module.to_vec();
                found.extend(paths.iter().map(|path| Arrow {
                    file: file.to_owned(),
                    line: *line,
                    from: from.clone(),
                    to: absolute(&here, path),
                }));
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    for_tests.into_iter().map(|name| module.iter().cloned().chain([name]).collect()).collect()
}

/// Reads a path, or a tree of them in braces, from `at` on; returns where it ends.
fn tree(words: &[(usize, String)], mut at: usize, before: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = before.to_vec();
    while let Some((_, word)) = words.get(at) {
        if word == "{" {
            at += 1;
            while !is(words, at, "}") {
                at = tree(words, at, &path, paths);
                while !is(words, at, ",") && !is(words, at, "}") {
                    at += 1; // `as another`
                }
                at += usize::from(is(words, at, ","));
            }
            return at + 1;
        }
        let itself = word == "self" && !path.is_empty(); // of `a::{self, b}`
        if !itself && word.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            path.push(word.clone());
        }
        at += 1;
        if !is(words, at, "::") {
            break;
        }
        at += 1;
    }
    paths.push(path);
    at
}

fn absolute(here: &[String], path: &[String]) -> Vec<String> {
    let mut to = match path[0].as_str() {
        "crate" | "kubentra" | "oauth2" => Vec::new(),
        _ => here.to_vec(),
    };
    for word in path {
        match word.as_str() {
            "crate" | "kubentra" | "self" => {}
            "super" => drop(to.pop()),
            name => to.push(name.to_owned()),
        }
    }
    to
}

/// Leaves out every item with a `cfg` that asks for `test`; also returns the names of `mod name;` among
/// them, whose files are then for tests as well.
fn without_tests(words: Vec<(usize, String)>) -> (Vec<(usize, String)>, Vec<String>) {
    let (mut kept, mut modules) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < words.len() {
        if is(&words, at, "#") && is(&words, at + 1, "[") && is(&words, at + 2, "cfg") {
            let end = closing(&words, at + 1);
            let asks = (at..end).any(|at| is(&words, at, "test") && !is(&words, at - 2, "not"));
            if asks {
                at = item(&words, end, &mut modules);
                continue;
            }
        }
        kept.push(words[at].clone());
        at += 1;
    }
    (kept, modules)
}

/// The end of the item, field or statement that begins at `at`.
fn item(words: &[(usize, String)], mut at: usize, modules: &mut Vec<String>) -> usize {
    while is(words, at, "#") {
        at = closing(words, at + 1);
    }
    let kinds = ["mod", "fn", "impl", "struct", "enum", "trait", "type", "const", "static", "use", "unsafe", "async"];
    let start = if is(words, at, "pub") && is(words, at + 1, "(") { closing(words, at + 1) } else { at };
    let start = start + usize::from(is(words, start, "pub"));
    let is_item = kinds.iter().any(|kind| is(words, start, kind));
    if is(words, start, "mod") && is(words, start + 2, ";") {
        modules.push(words[start + 1].1.clone());
    }
    while let Some((_, word)) = words.get(at) {
        match word.as_str() {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "}" => return at,
            "{" => return closing(words, at),
            "(" | "[" => at = closing(words, at),
            _ => at += 1,
        }
    }
    at
}

/// Behind the bracket that closes the one at `at`.
fn closing(words: &[(usize, String)], mut at: usize) -> usize {
    let mut depth = 0;
    while let Some((_, word)) = words.get(at) {
        at += 1;
        match word.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn is(words: &[(usize, String)], at: usize, word: &str) -> bool {
    words.get(at).is_some_and(|(_, other)| other == word)
}

/// The words and signs of a file with their lines, without comments, strings and characters.
fn words(text: &str) -> Vec<(usize, String)> {
    let chars: Vec<char> = text.chars().collect();
    let starts = |at: usize, what: &str| what.chars().enumerate().all(|(n, c)| chars.get(at + n) == Some(&c));
    let (mut words, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let start = at;
        if starts(at, "//") {
            at = until(&chars, at, |at| chars[at] == '\n');
        } else if starts(at, "/*") {
            let mut depth = 0;
            loop {
                if starts(at, "/*") {
                    (depth, at) = (depth + 1, at + 2);
                } else if starts(at, "*/") {
                    (depth, at) = (depth - 1, at + 2);
                } else {
                    at += 1;
                }
                if depth == 0 || at >= chars.len() {
                    break;
                }
            }
        } else if chars[at] == '"' {
            at = string(&chars, at);
        } else if starts(at, "'\\") {
            at = until(&chars, at + 3, |at| chars[at] == '\'') + 1;
        } else if chars[at] == '\'' {
            at += if chars.get(at + 2) == Some(&'\'') { 3 } else { 1 };
        } else if chars[at].is_alphanumeric() || chars[at] == '_' {
            at = until(&chars, at, |at| !chars[at].is_alphanumeric() && chars[at] != '_');
            let word: String = chars[start..at].iter().collect();
            let hashes = until(&chars, at, |at| chars[at] != '#') - at;
            if word.ends_with('r') && word.len() <= 2 && chars.get(at + hashes) == Some(&'"') {
                let end = format!("\"{}", "#".repeat(hashes));
                at = until(&chars, at + hashes + 1, |at| starts(at, &end)) + end.len();
            } else {
                words.push((line, word));
            }
        } else if starts(at, "::") {
            words.push((line, "::".to_owned()));
            at += 2;
        } else {
            if !chars[at].is_whitespace() {
                words.push((line, chars[at].to_string()));
            }
            at += 1;
        }
        at = at.min(chars.len());
        line += chars[start..at].iter().filter(|c| **c == '\n').count();
    }
    words
}

fn until(chars: &[char], from: usize, end: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|at| end(*at)).unwrap_or(chars.len())
}

/// Behind the string that opens at `at`.
fn string(chars: &[char], mut at: usize) -> usize {
    at += 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn seen(file: &str, text: &str, tests: Tests) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    arrows(file, &module_of(file), text, tests, &mut found);
    found.into_iter().map(|arrow| (arrow.line, arrow.to.join("::"))).collect()
}

#[test]
fn paths_are_read_in_every_form() {
    let text = "use crate::{error::{self, Error as E}, os::{clock::*, env}};\n\
                use super::other::Thing;\n\
                pub(crate) fn f() -> crate::jwt::Claims<'static> { super::super::shell::word(b'\\'', 'x') }\n\
                mod inner { use super::near; }\n\
                macro_rules! m { () => { $crate::secret::Secret } }";
    let paths: Vec<String> = seen("src/net/tls.rs", text, Tests::LeftOut).into_iter().map(|(_, path)| path).collect();
    assert_eq!(
        paths,
        [
            "error",
            "error::Error",
            "os::clock",
            "os::env",
            "net::other::Thing",
            "jwt::Claims",
            "shell::word",
            "net::tls::near",
            "secret::Secret"
        ]
    );
}

#[test]
fn comments_strings_and_tests_are_not_read() {
    let text = "//! [`crate::a`]\n\
                /* crate::b /* crate::c */ crate::d */\n\
                const A: &str = \"crate::e \\\" crate::f\"; const B: &str = r#\"\" crate::g\"#;\n\
                #[cfg(test)]\n\
                use crate::h::{i, j};\n\
                #[cfg(all(test, unix))]\n\
                #[allow(dead_code)]\n\
                pub(crate) mod tests { fn f<A, B>() { crate::k(); } }\n\
                struct S { #[cfg(test)] l: crate::l::L<[u8; 2]>, m: crate::m::M }\n\
                #[cfg(not(test))]\n\
                use crate::n;\n";
    assert_eq!(seen("src/a.rs", text, Tests::LeftOut), [(9, "m::M".to_owned()), (11, "n".to_owned())]);
}

#[test]
fn tests_are_read_where_that_is_wanted_and_oauth2_is_no_module_of_ours() {
    let text = "use oauth2::{Scope, http::Uri};\nconst PATH: &str = \"/oauth2::x\";\n\
                #[cfg(test)]\nmod tests { use crate::login::A; }\n";
    let of_product = [(1, "oauth2::Scope".to_owned()), (1, "oauth2::http::Uri".to_owned())];
    assert_eq!(seen("src/entra/a.rs", text, Tests::LeftOut), of_product);
    assert_eq!(seen("src/entra/a.rs", text, Tests::Count)[2..], [(4, "login::A".to_owned())]);
}
