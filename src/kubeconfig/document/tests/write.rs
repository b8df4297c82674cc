use super::super::Exec;
use super::support::{PROVIDER, Random, edited, new_exec, to};

#[test]
fn hints_of_every_shape_read_back() {
    let hints = [
        "a\nb",
        "a\nb\n",
        "a\nb\n\n\n",
        "\na\n",
        "  a\nb\n",
        "a\n  b\n\n c",
        "\ta\n",
        "a\n \n",
        "a\n  ",
        "\n",
        "\n\n",
        "one",
        "",
        "a\r\nb",
        "# a\n# b\n",
        "---\n...\n",
        "a\u{85}b\n",
        "\n \na\n",
        "- a\n",
        "a: b\n",
        "x\n\n   \n\n",
    ];
    for hint in hints {
        let new = Exec { install_hint: Some(hint.to_owned()), ..new_exec() };
        for text in
            [PROVIDER, &PROVIDER.replace('\n', "\r\n"), "users: [{name: u, user: {auth-provider: {name: azure}}}]"]
        {
            let edited = edited(text, &[(0, to(new.clone()))]);
            assert!(edited.is_ok(), "{hint:?} {edited:?}");
        }
    }
}

#[test]
fn arbitrary_providers_convert() {
    let mut random = Random(3);
    let files = [
        PROVIDER.to_owned(),
        PROVIDER.replace('\n', "\r\n"),
        "users:\n  - user:\n      auth-provider: {name: azure}\n    name: u\n".to_owned(),
    ];
    for round in 0..2_000 {
        let new = Exec {
            args: random.args(),
            install_hint: Some(random.text() + &random.text()),
            command: random.text(),
            env: random.variables(),
            ..new_exec()
        };
        let edited = edited(&files[round % files.len()], &[(0, to(new))]);
        assert!(edited.is_ok(), "{edited:?}");
    }
}
