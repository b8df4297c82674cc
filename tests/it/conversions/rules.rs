//! What holds of every text and every conversion of it. The fuzz targets check the same rules with
//! texts of their own (`fuzz/`), so nothing here knows the tests' world.

use std::path::PathBuf;

use kubentra::internal::{
    Auth, Change, Command, ConvertRequest, Decision, Document, EditedDocument, Env, Exec, KubeconfigFile, Method,
    Values, args, plan,
};

/// The text after `convert-kubeconfig FLAGS`, the same where nothing is to change; or why it is refused.
pub fn convert(text: &str, flags: &[&str]) -> Result<String, String> {
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let command = Command::find("convert-kubeconfig").ok_or("no such command")?;
    let typed = args::read(&flags, command.options).map_err(|error| error.to_string())?;
    let method = Method::find(&Values::resolve(&typed, &Env::default())).map_err(|error| error.to_string())?;
    let file = KubeconfigFile::new(PathBuf::from("config"), text.to_owned()).map_err(|error| error.to_string())?;
    let files = [file];
    let wish = ConvertRequest { method, typed: &typed, contexts: &[], command: "kubelogin" };
    let mut changes = Vec::new();
    for line in plan(&files, &wish).map_err(|error| error.to_string())? {
        match line.decision {
            Decision::Convert(exec) => changes.push(Change::User(line.user, exec)),
            Decision::Impossible(error) => return Err(error.to_string()),
            Decision::AlreadyRight | Decision::Skipped(_) => {}
        }
    }
    if changes.is_empty() {
        return Ok(text.to_owned());
    }
    let edited = files[0].document.change(&changes).map_err(|error| error.to_string())?;
    can_be_taken_back(text, &edited);
    Ok(edited.text)
}

/// A conversion is refused, or the same one again changes nothing.
pub fn converts_once(text: &str, flags: &[&str]) {
    let Ok(new) = convert(text, flags) else { return };
    assert_eq!(convert(&new, flags).as_deref(), Ok(new.as_str()), "twice is not once: {flags:?}");
    let (Ok(old), Ok(new)) = (Document::parse(text.to_owned()), Document::parse(new)) else { return };
    let names = |document: &Document| document.users().iter().map(|user| user.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&old), names(&new), "other users");
    assert!(old.contexts() == new.contexts() && old.current_context() == new.current_context(), "other contexts");
}

/// Every user of a text that is accepted can be edited, or is refused with the text as it was.
pub fn edits_only_what_is_meant(text: &str) {
    let Ok(document) = Document::parse(text.to_owned()) else { return };
    assert_eq!(document.text(), text);
    for index in 0..document.users().len().min(4) {
        for exec in entries(&document, index) {
            let Ok(new) = document.change(&[Change::User(index, exec.clone())]) else { continue };
            can_be_taken_back(text, &new);
            meant(&document, index, &exec, &new.text);
        }
    }
}

/// Entries for a user, with texts that are hard to write in YAML, and some out of the file itself.
fn entries(document: &Document, index: usize) -> Vec<Exec> {
    match &document.users()[index].auth {
        Auth::Exec(exec) => {
            let hard =
                ["get-token", "--x", "yes", "", "a: b", "- #", "\t\"\\", "\u{85}\u{2028}\u{feff}", "|\n  x\n", "'"];
            let hard: Vec<String> = hard.map(String::from).into();
            let reversed: Vec<String> = exec.args.iter().rev().cloned().collect();
            let mut env = exec.env.clone();
            let (name, value) = ("AZURE_CONFIG_DIR".to_owned(), "C:\\a dir # 1".to_owned());
            match env.iter_mut().find(|variable| variable.0 == name) {
                Some(variable) => variable.1 = value,
                None => env.push((name, value)),
            }
            let kept = Exec { args: reversed, env, ..exec.clone() };
            let all = Exec {
                args: hard,
                command: "C:\\a dir\\kubelogin.exe".to_owned(),
                api_version: Some("client.authentication.k8s.io/v1".to_owned()),
                interactive_mode: Some("Never".to_owned()),
                ..kept.clone()
            };
            let none = Exec { args: Vec::new(), ..exec.clone() };
            vec![none, kept, all]
        }
        Auth::Provider { config, .. } => vec![Exec {
            api_version: Some("client.authentication.k8s.io/v1beta1".into()),
            args: config.iter().flat_map(|(key, value)| [key.clone(), value.clone()]).collect(),
            command: "kubelogin".into(),
            env: vec![("A".into(), "b".into())],
            install_hint: Some("\nNot installed.\n\nSee there.\n".into()),
            interactive_mode: Some("IfAvailable".into()),
            provide_cluster_info: false,
        }],
        Auth::Both | Auth::Neither => Vec::new(),
    }
}

/// The old bytes of every entry that was touched, in the place of its new ones, give the old text.
fn can_be_taken_back(old: &str, edited: &EditedDocument) {
    let mut text = edited.text.clone();
    for touched in edited.touched.iter().rev() {
        text.replace_range(touched.new.clone(), &old[touched.old.clone()]);
    }
    assert_eq!(text, old, "an edit that cannot be taken back");
}

/// What was asked for is there, all else is as before, and asking again changes nothing.
fn meant(old: &Document, index: usize, wanted: &Exec, text: &str) {
    let new = Document::parse(text.to_owned()).expect("an edited text that can be read");
    let (old_users, new_users) = (old.users(), new.users());
    assert_eq!(old_users.len(), new_users.len(), "users came or went");
    for (at, (old, new)) in old_users.iter().zip(new_users).enumerate() {
        assert!(at == index || old.auth == new.auth, "another user than {index} has changed: {at}");
        let same = (&old.name, old.has_token, old.has_client_certificate);
        assert_eq!(same, (&new.name, new.has_token, new.has_client_certificate));
    }
    assert!(old.contexts() == new.contexts() && old.current_context() == new.current_context(), "other contexts");
    let Auth::Exec(exec) = &new_users[index].auth else { panic!("no exec") };
    assert!(exec == wanted, "another entry than was asked for");
    let again = new.change(&[Change::User(index, wanted.clone())]).map(|edited| edited.text);
    assert_eq!(again.as_deref(), Ok(text), "twice is not once");
    // A text that aliases share may stand anywhere.
    if !text.contains('*') {
        untouched(old, &new, index);
    }
}

/// The lines before the user and from the next one on are the same, byte for byte.
fn untouched(old: &Document, new: &Document, index: usize) {
    let lines = |document: &Document| -> Vec<String> {
        // A lone carriage return ends a line in YAML too.
        let text = document.text().replace("\r\n", "\n").replace('\r', "\n");
        text.split_inclusive('\n').map(String::from).collect()
    };
    let (old_lines, new_lines) = (lines(old), lines(new));
    let before = old.users()[index].line - 1;
    assert!(old_lines.iter().zip(&new_lines).take(before).all(|(old, new)| old == new), "lines before the user");
    // In flow style the next user may begin on a line of this one.
    let next = |document: &Document| document.users().get(index + 1).map(|user| user.line - 1);
    if let (Some(old), Some(new)) = (next(old).filter(|&line| line > before), next(new)) {
        assert!(old_lines[old + 1..] == new_lines[new + 1..], "lines after the user");
    }
}
