use super::super::Exec;
use super::support::{AKS, args, edited, exec_of, new_exec, set_env, to, variables};

/// A user whose entry ends with `env`.
fn block(env: &str) -> String {
    format!("users:\n- name: u\n  user:\n    exec:\n      command: c\n      {env}\n    # after\n    token: t\n")
}

#[test]
fn sets_variables_in_a_block() {
    let cases = [
        ("env: null # c", "env: # c\n      - name: X\n        value: /d"),
        ("env: # c", "env: # c\n      - name: X\n        value: /d"),
        ("env: []   # c", "env:   # c\n      - name: X\n        value: /d"),
        ("env: ~", "env:\n      - name: X\n        value: /d"),
        (
            "env: # a\n      # b\n      - name: A # c\n        value: b # d\n      # e",
            "env: # a\n      # b\n      - name: A # c\n        value: b # d\n      - name: X\n        value: /d\n      # e",
        ),
        (
            "env:\n        - value: b\n          name: A",
            "env:\n        - value: b\n          name: A\n        - name: X\n          value: /d",
        ),
        (
            "env:\n      - name: \"A\"\n        value: \"b\"",
            "env:\n      - name: \"A\"\n        value: \"b\"\n      - name: \"X\"\n        value: \"/d\"",
        ),
        (
            "env:\n      - {name: A, value: b} # c",
            "env:\n      - {name: A, value: b} # c\n      - name: X\n        value: /d",
        ),
        (
            "env:\n      - name: A\n        value: |\n          b\n\n          c\n\n      # d",
            "env:\n      - name: A\n        value: |\n          b\n\n          c\n      - name: X\n        value: /d\n\n      # d",
        ),
        (
            "env: # a\n      - value: x # b\n        extra: 1\n        name: X # c\n      - name: B\n        value: '1'",
            "env: # a\n      - value: /d # b\n        extra: 1\n        name: X # c\n      - name: B\n        value: '1'",
        ),
        ("env:\n      - name: 'X'\n        value: \"x\"", "env:\n      - name: 'X'\n        value: \"/d\""),
        ("env:\n      - \"name\": \"X\"\n        \"value\": x", "env:\n      - \"name\": \"X\"\n        \"value\": /d"),
        ("env:\n      - name: X\n        value: # c", "env:\n      - name: X\n        value: /d # c"),
        ("env:\n      - name: X\n        value: ~ # c", "env:\n      - name: X\n        value: /d # c"),
        ("env:\n      - name: X\n        value: one\n          two", "env:\n      - name: X\n        value: /d"),
        ("env:\n      - name: X\n        value: |\n          one", "env:\n      - name: X\n        value: /d"),
        (
            "env:\n      -   name: X # c\n          extra: 1",
            "env:\n      -   name: X # c\n          extra: 1\n          value: /d",
        ),
        ("env: [{name: X, value: x}] # c", "env: [{name: X, value: /d}] # c"),
        ("env: [{name: X}]", "env: [{name: X, value: /d}]"),
    ];
    for (old, new) in cases {
        assert_eq!(set_env(&block(old), "/d"), Ok(block(new)), "{old}");
        assert_eq!(set_env(&block(new), "/d"), Ok(block(new)), "{new}");
        let (old, new) = (block(old).replace('\n', "\r\n"), block(new).replace('\n', "\r\n"));
        assert_eq!(set_env(&old, "/d"), Ok(new), "{old}");
    }
}

#[test]
fn values_are_quoted_where_they_must_be() {
    let file = |value: &str| block(&format!("env:\n      - name: X\n        value: {value}"));
    assert_eq!(set_env(&file("x # c"), "C:\\a b # x").unwrap(), file("\"C:\\\\a b # x\" # c"));
    assert_eq!(set_env(&file("'x'"), "yes").unwrap(), file("\"yes\""));
    let flow = |value: &str| block(&format!("env: [{{name: X, value: {value}}}]"));
    assert_eq!(set_env(&flow("x"), "a, b").unwrap(), flow("\"a, b\""));
}

#[test]
fn a_missing_env_comes_where_kubectl_has_it() {
    let file = |env: &str| AKS.replace("      env: null\n", env);
    let new = "      env:\n      - name: X\n        value: /d\n";
    assert_eq!(set_env(&file(""), "/d").unwrap(), file(new));
    assert_eq!(set_env(AKS, "/d").unwrap(), file(new));
    let short = "users:\n- name: u\n  user:\n    exec:\n      command: c\n";
    let both = short
        .replace("command: c", "args:\n      - a\n      command: c\n      env:\n      - name: X\n        value: /d");
    let new = Exec { args: vec!["a".to_owned()], env: variables(&[("X", "/d")]), ..exec_of(short) };
    assert_eq!(edited(short, &[(0, to(new))]).unwrap(), both);
    let last = "users:\n- name: u\n  user:\n    exec:\n      command: c\n      env:";
    assert_eq!(set_env(last, "/d").unwrap(), format!("{last}\n      - name: X\n        value: /d"));
}

#[test]
fn sets_variables_in_flow_mappings() {
    let with = |exec: &str| format!("users:\n  - {{name: u, user: {{exec: {exec}}}}} # c\n");
    let item = "{name: X, value: /d}";
    let cases = [
        ("{command: c}", format!("{{command: c, env: [{item}]}}")),
        ("{}", format!("{{env: [{item}]}}")),
        ("{command: c, env: [] , x: y}", format!("{{command: c, env: [{item}] , x: y}}")),
        ("{env: null, command: c}", format!("{{env: [{item}], command: c}}")),
        ("{env: , command: c}", format!("{{env: [{item}] , command: c}}")),
        ("{env: [{name: A, value: b} ], command: c}", format!("{{env: [{{name: A, value: b}}, {item} ], command: c}}")),
        ("{env: [{name: A},], command: c}", format!("{{env: [{{name: A}}, {item},], command: c}}")),
        ("{env: [{value: x, name: X}], command: c}", "{env: [{value: /d, name: X}], command: c}".to_owned()),
        ("{env: [{name: X, value: }]}", "{env: [{name: X, value: /d }]}".to_owned()),
        ("{env: [{\"name\": \"X\", \"value\": null}]}", "{env: [{\"name\": \"X\", \"value\": \"/d\"}]}".to_owned()),
    ];
    for (old, new) in cases {
        assert_eq!(set_env(&with(old), "/d"), Ok(with(&new)), "{old}");
    }
}

#[test]
fn json_stays_json() {
    let pretty = |env: &str| {
        format!(
            "{{\n\t\"users\": [\n\t\t{{\n\t\t\t\"name\": \"u\",\n\t\t\t\"user\": {{\n\t\t\t\t\"exec\": {{\n\t\t\t\t\t\"command\": \"c\",\n\t\t\t\t\t\"env\": {env}\n\t\t\t\t}}\n\t\t\t}}\n\t\t}}\n\t]\n}}\n"
        )
    };
    let item = |name: &str, value: &str| format!("{{\"name\": \"{name}\", \"value\": \"{value}\"}}");
    let list = |items: &[String]| format!("[{}]", items.join(", "));
    let alone = list(&[item("X", "/d")]);
    let cases = [
        ("null".to_owned(), alone.clone()),
        ("[]".to_owned(), alone.clone()),
        (list(&[item("X", "old")]), alone.clone()),
        (list(&[item("A", "b")]), list(&[item("A", "b"), item("X", "/d")])),
        (
            "[{\"name\":\"A\",\"value\":\"b\"}]".to_owned(),
            "[{\"name\":\"A\",\"value\":\"b\"},{\"name\":\"X\",\"value\":\"/d\"}]".to_owned(),
        ),
    ];
    for (old, new) in cases {
        assert_eq!(set_env(&pretty(&old), "/d"), Ok(pretty(&new)), "{old}");
    }
    let missing = "{\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{\"command\":\"c\"}}}]}";
    let added = missing.replace("\"c\"", "\"c\",\"env\":[{\"name\":\"X\",\"value\":\"C:\\\\d\"}]");
    assert_eq!(set_env(missing, "C:\\d").unwrap(), added);
    let missing = pretty("1").replace(",\n\t\t\t\t\t\"env\": 1", "");
    let added = missing.replace("\"c\"", &format!("\"c\",\n\t\t\t\t\t\"env\": {alone}"));
    assert_eq!(set_env(&missing, "/d").unwrap(), added);
}

#[test]
fn nothing_to_set_is_nothing_changed() {
    let tied = block("env: &e\n      - name: X\n        value: x\n      args: [a]\n      e: *e");
    assert_eq!(args(&tied, &["b"]).unwrap(), tied.replace("[a]", "[b]"));
    assert_eq!(set_env(&tied, "x").unwrap(), tied);
    let twice = block("env:\n      - {name: X, value: x}\n      - {name: X, value: x}");
    assert_eq!(set_env(&twice, "x").unwrap(), twice);
}

#[test]
fn refuses_what_it_cannot_set() {
    let cases = [
        (
            "env: &e\n      - name: X\n      e: *e",
            "the value at line 7 cannot be edited because the alias at line 8 refers to it",
        ),
        ("e: &e []\n      env: *e", "the alias at line 7 cannot be edited without what it refers to at line 6"),
        (
            "env: [&e {name: X}]\n      e: *e",
            "the value at line 6 cannot be edited because the alias at line 7 refers to it",
        ),
        (
            "e: &e {name: X}\n      env: [*e]",
            "the alias at line 7 cannot be edited without what it refers to at line 6",
        ),
        (
            "env: [{name: X, value: &e a}]\n      e: *e",
            "the value at line 6 cannot be edited because the alias at line 7 refers to it",
        ),
        (
            "env: [{name: X, value: a, value: b}]",
            "`value` cannot be edited because it is there twice, at lines 6 and 6",
        ),
        (
            "<<: {env: [{name: A, value: b}]}",
            "`env` cannot be edited because a merge key brings it to the mapping at line 5, column 7",
        ),
        ("env: [{name: X, value: !!str a}]", "`value` is written in a way that cannot be edited at line 6, column 36"),
        ("env:\n      - name: A\n      -", "line 7 is written in a way that cannot be edited"),
    ];
    for (env, error) in cases {
        let found = set_env(&block(env), "/d").unwrap_err();
        assert!(found.starts_with(error), "{env}: {found}");
    }
}

#[test]
fn a_variable_that_stands_twice_is_set_twice() {
    let file = block("env:\n      - name: X\n        value: a\n      - {name: X, value: b}");
    assert_eq!(set_env(&file, "/d").unwrap(), file.replace(": a", ": /d").replace(": b", ": /d"));
    // Only what differs is set.
    let file = file.replace(": b", ": /d");
    assert_eq!(set_env(&file, "/d").unwrap(), file.replace(": a", ": /d"));
}

#[test]
fn other_anchors_in_env_survive() {
    let file = block("env: [&a {name: A, value: &b b}, *a]\n      b: *b");
    let new = file.replace(", *a]", ", *a, {name: X, value: /d}]");
    assert_eq!(set_env(&file, "/d").unwrap(), new);
}

#[test]
fn a_provider_becomes_an_entry_with_variables() {
    let new = Exec { env: variables(&[("X", "/d"), ("Z", "a: b")]), ..new_exec() };
    let edits = [(0, to(new.clone()))];
    let block = "users:\n- name: u\n  user:\n    auth-provider:\n      name: azure\n";
    let block = edited(block, &edits).unwrap();
    let env = "      command: kubelogin\n      env:\n      - name: X\n        value: /d\n      - name: Z\n        value: \"a: b\"\n      installHint";
    assert!(block.contains(env), "{block}");
    let tight = "{\"users\":[{\"user\":{\"auth-provider\":{\"name\":\"azure\"}},\"name\":\"u\"}]}";
    let tight = edited(tight, &edits).unwrap();
    let env = "\"env\":[{\"name\":\"X\",\"value\":\"/d\"},{\"name\":\"Z\",\"value\":\"a: b\"}],";
    assert!(tight.contains(env), "{tight}");
    for text in [block, tight] {
        assert_eq!(exec_of(&text).env, new.env);
    }
}
