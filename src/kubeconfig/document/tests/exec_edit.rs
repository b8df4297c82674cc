use super::support::{AKS, PROVIDER, args, convert};

#[test]
fn replaces_a_block_list() {
    let new = args(AKS, &["get-token", "--tenant", "yes", "x"]).unwrap();
    assert_eq!(
        new,
        AKS.replace(
            "      - get-token\n      - --login\n      - devicecode\n",
            "      - get-token\n      - --tenant\n      - \"yes\"\n      - x\n"
        )
    );
    let indented = AKS.replace("      - ", "        - ").replace("devicecode", "devicecode # x");
    let new = args(&indented, &["a"]).unwrap();
    assert_eq!(
        new,
        indented.replace("        - get-token\n        - --login\n        - devicecode # x\n", "        - a\n")
    );
    let crlf = AKS.replace('\n', "\r\n");
    assert_eq!(args(&crlf, &["a", "b"]).unwrap(), args(AKS, &["a", "b"]).unwrap().replace('\n', "\r\n"));
    assert_eq!(
        args(AKS, &[]).unwrap(),
        AKS.replace(
            "args: # old\n      # inside\n      - get-token\n      - --login\n      - devicecode\n",
            "args: []\n"
        )
    );
}

#[test]
fn replaces_lists_of_every_form() {
    let with = |args: &str| format!("users:\n- name: u\n  user:\n    exec:\n      {args}\n      command: c");
    let cases = [
        ("args: null # c", "args: # c\n      - a\n      - b"),
        ("args: # c", "args: # c\n      - a\n      - b"),
        ("args: ~", "args:\n      - a\n      - b"),
        ("args:", "args:\n      - a\n      - b"),
        ("args: &x", "args:\n      - a\n      - b"),
        ("args: []   # c", "args:   # c\n      - a\n      - b"),
        ("args: [x, y] # c", "args: [a, b] # c"),
        ("args: [\n        x\n      ]", "args: [a, b]"),
        ("args: [x,\n        y]", "args: [a, b]"),
        ("\"args\": [\"x\"]", "\"args\": [\"a\", \"b\"]"),
        ("\"args\":\n      - \"x\"", "\"args\":\n      - \"a\"\n      - \"b\""),
        ("args:\n      - 'a'\n      - \"b\" # c\n      - c", "args:\n      - 'a'\n      - \"b\""),
        ("args: &x # c\n      -\n        x", "args: &x # c\n      - a\n      - b"),
        ("args:\n      - |\n        x\n        # y\n\n      # z", "args:\n      - a\n      - b\n\n      # z"),
        ("env: null", "env: null\n      args:\n      - a\n      - b"),
    ];
    for (old, new) in cases {
        assert_eq!(args(&with(old), &["a", "b"]).unwrap(), with(new), "{old}");
    }
}

#[test]
fn follows_the_indentation_of_the_file() {
    let file = "users:\n    - user:\n          auth-provider: {}\n      name: u\n";
    let exec = "          exec:\n              apiVersion: client.authentication.k8s.io/v1beta1\n              args:\n                  - get-token\n                  - --server-id\n                  - SRV\n              command";
    let converted = convert(file).unwrap();
    assert!(converted.contains(exec), "{converted}");
    let missing = "users:\n    - user:\n        exec:\n          command: c\n";
    let added = "users:\n    - user:\n        exec:\n          args:\n              - a\n          command: c\n";
    assert_eq!(args(missing, &["a"]).unwrap(), added);
}

#[test]
fn edits_the_last_line_without_a_newline() {
    let file = |args: &str| format!("users:\n- name: u\n  user:\n    exec:\n      args:{args}");
    assert_eq!(args(&file(""), &["a"]).unwrap(), file("\n      - a"));
    assert_eq!(args(&file("\n      - x"), &["a"]).unwrap(), file("\n      - a"));
    assert_eq!(args(&file(" null"), &["a"]).unwrap(), file("\n      - a"));
}

#[test]
fn edits_flow_mappings() {
    let with = |exec: &str| format!("users:\n  - {{name: u, user: {{exec: {exec}}}}} # c\n");
    let cases = [
        ("{command: c}", "{args: [a, \"b,c\", \"x:y\"], command: c}"),
        ("{}", "{args: [a, \"b,c\", \"x:y\"]}"),
        ("{ args: [], command: c }", "{ args: [a, \"b,c\", \"x:y\"], command: c }"),
        ("{args: null, command: c}", "{args: [a, \"b,c\", \"x:y\"], command: c}"),
        ("{args: , command: c}", "{args: [a, \"b,c\", \"x:y\"] , command: c}"),
        ("{command: c, args: [\"x\", \"y\"]}", "{command: c, args: [\"a\", \"b,c\", \"x:y\"]}"),
    ];
    for (old, new) in cases {
        assert_eq!(args(&with(old), &["a", "b,c", "x:y"]).unwrap(), with(new), "{old}");
    }
}

#[test]
fn json_stays_json() {
    let pretty = "{\n\t\"users\": [\n\t\t{\n\t\t\t\"name\": \"u\",\n\t\t\t\"user\": {\n\t\t\t\t\"exec\": {\n\t\t\t\t\t\"command\": \"c\",\n\t\t\t\t\t\"args\": ARGS\n\t\t\t\t}\n\t\t\t}\n\t\t}\n\t]\n}\n";
    let new = "[\"a\", \"\\\"\"]";
    for old in ["[]", "null", "[\n\t\t\t\t\t\t\"x\"\n\t\t\t\t\t]"] {
        assert_eq!(args(&pretty.replace("ARGS", old), &["a", "\""]).unwrap(), pretty.replace("ARGS", new), "{old}");
    }
    let missing = pretty.replace(",\n\t\t\t\t\t\"args\": ARGS", "");
    let added = pretty
        .replace(",\n\t\t\t\t\t\"args\": ARGS", "")
        .replace("\"command\"", &format!("\"args\": {new},\n\t\t\t\t\t\"command\""));
    assert_eq!(args(&missing, &["a", "\""]).unwrap(), added);
    let tight = "{\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{\"args\":[],\"command\":\"c\"}}}]}";
    assert_eq!(args(tight, &["a", "b"]).unwrap(), tight.replace("[]", "[\"a\",\"b\"]"));
    assert_eq!(args(&tight.replace("\"args\":[],", ""), &["a", "b"]).unwrap(), tight.replace("[]", "[\"a\",\"b\"]"));
    let empty = "{\"users\":[{\"name\":\"u\",\"user\":{\"exec\":{}}}]}";
    assert_eq!(args(empty, &["a"]).unwrap(), empty.replace("{}", "{\"args\":[\"a\"]}"));
}

#[test]
fn turns_a_block_provider_into_exec() {
    let expected = "\
users:
- name: u
  user:
    exec: # legacy
      apiVersion: client.authentication.k8s.io/v1beta1
      args:
      - get-token
      - --server-id
      - SRV
      command: kubelogin
      env: null
      installHint: |2

        Not installed.
        See https://a.example
      interactiveMode: IfAvailable
      provideClusterInfo: false
    # after
    token: t # static
";
    assert_eq!(convert(PROVIDER).unwrap(), expected);
    assert_eq!(convert(&PROVIDER.replace('\n', "\r\n")).unwrap(), expected.replace('\n', "\r\n"));
    let flow = "users:\n- name: u\n  user:\n    auth-provider: {name: azure,\n      config: {a: b}} # legacy\n    # after\n    token: t # static\n";
    assert_eq!(convert(flow).unwrap(), expected);
    let last = "users:\n- name: u\n  user:\n    auth-provider:\n      name: azure\n      config:";
    let converted = convert(last).unwrap();
    assert!(converted.ends_with("      interactiveMode: IfAvailable\n      provideClusterInfo: false"), "{converted}");
}

#[test]
fn turns_a_flow_provider_into_exec() {
    let tight = "{\"users\":[{\"user\":{\"auth-provider\":{\"name\":\"azure\",\"config\":{}},\"token\":\"t\"},\"name\":\"u\"}]}";
    let exec = "{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"args\":[\"get-token\",\"--server-id\",\"SRV\"],\"command\":\"kubelogin\",\"env\":null,\"installHint\":\"\\nNot installed.\\nSee https://a.example\\n\",\"interactiveMode\":\"IfAvailable\",\"provideClusterInfo\":false}";
    assert_eq!(
        convert(tight).unwrap(),
        format!("{{\"users\":[{{\"user\":{{\"exec\":{exec},\"token\":\"t\"}},\"name\":\"u\"}}]}}")
    );
    let yaml = convert("users: [{name: u, user: {auth-provider: {name: azure}}}]").unwrap();
    assert!(yaml.starts_with("users: [{name: u, user: {exec: {apiVersion: client.authentication.k8s.io/v1beta1, args: [get-token, --server-id, SRV], command: kubelogin, env: null, installHint: \"\\n"), "{yaml}");
    let pretty = convert("{\"users\": [\n  {\"name\": \"u\", \"user\": {\n    \"auth-provider\": {\n      \"name\": \"azure\"\n    }\n  }}\n]}").unwrap();
    let line = "    \"exec\": {\"apiVersion\": \"client.authentication.k8s.io/v1beta1\", \"args\": [\"get-token\", ";
    assert!(pretty.contains(line) && pretty.ends_with(" \"provideClusterInfo\": false}\n  }}\n]}"), "{pretty}");
}
