use super::super::Exec;
use super::support::{AKS, edited, exec_of, to};

fn block(exec: &str) -> String {
    format!("users:\n- name: u\n  user:\n    exec:\n      {exec}\n    # after\n    token: t\n")
}

/// The text after all three members are set.
fn set(text: &str) -> Result<String, String> {
    let some = |text: &str| Some(text.to_owned());
    let new = Exec {
        command: "/opt/k".to_owned(),
        api_version: some("v1"),
        interactive_mode: some("Never"),
        ..exec_of(text)
    };
    edited(text, &[(0, to(new))]).map_err(|error| error.to_string())
}

#[test]
fn sets_members_in_a_block() {
    let cases = [
        (
            "apiVersion: v1beta1 # a\n      command: kubelogin # c\n      interactiveMode: Always # i",
            "apiVersion: v1 # a\n      command: /opt/k # c\n      interactiveMode: Never # i",
        ),
        (
            "\"apiVersion\": \"v1beta1\"\n      command: 'k'\n      interactiveMode: # i",
            "\"apiVersion\": \"v1\"\n      command: /opt/k\n      interactiveMode: Never # i",
        ),
        (
            "apiVersion: ~ # a\n      command: >-\n        k\n      interactiveMode: &i null",
            "apiVersion: v1 # a\n      command: /opt/k\n      interactiveMode: &i Never",
        ),
        ("command: k", "apiVersion: v1\n      command: /opt/k\n      interactiveMode: Never"),
        (
            "args: [a]\n      command: k # c\n      env:",
            "apiVersion: v1\n      args: [a]\n      command: /opt/k # c\n      env:\n      interactiveMode: Never",
        ),
        (
            "command: k\n      args:\n      - a # last",
            "command: /opt/k\n      apiVersion: v1\n      args:\n      - a # last\n      interactiveMode: Never",
        ),
        (
            "args:\n      - a\n      installHint: |\n        b\n\n        c",
            "apiVersion: v1\n      args:\n      - a\n      command: /opt/k\n      installHint: |\n        b\n\n        c\n      interactiveMode: Never",
        ),
    ];
    for (old, new) in cases {
        assert_eq!(set(&block(old)), Ok(block(new)), "{old}");
        assert_eq!(set(&block(new)), Ok(block(new)), "{new}");
        let (old, new) = (block(old).replace('\n', "\r\n"), block(new).replace('\n', "\r\n"));
        assert_eq!(set(&old), Ok(new), "{old}");
    }
    let expected = AKS
        .replace("apiVersion: client.authentication.k8s.io/v1beta1", "apiVersion: v1")
        .replace("command: kubelogin", "command: /opt/k")
        .replace("      provideC", "      interactiveMode: Never\n      provideC");
    assert_eq!(set(AKS).unwrap(), expected);
}

#[test]
fn sets_members_in_flow_mappings() {
    let with = |exec: &str| format!("users:\n  - {{name: u, user: {{exec: {exec}}}}} # c\n");
    let cases = [
        ("{command: k}", "{apiVersion: v1, command: /opt/k, interactiveMode: Never}"),
        ("{ apiVersion: , command: k, }", "{ apiVersion: v1 , command: /opt/k, interactiveMode: Never, }"),
        (
            "{\"command\":\"k\",\"provideClusterInfo\":false}",
            "{\"apiVersion\":\"v1\",\"command\":\"/opt/k\",\"interactiveMode\":\"Never\",\"provideClusterInfo\":false}",
        ),
    ];
    for (old, new) in cases {
        assert_eq!(set(&with(old)), Ok(with(new)), "{old}");
    }
}

#[test]
fn json_stays_json() {
    let pretty =
        |exec: &str| format!("{{\"users\": [{{\"name\": \"u\", \"user\": {{\n\t\"exec\": {{{exec}\n\t}}}}}}]}}\n");
    let old = "\n\t\t\"command\": \"k\"";
    let new = "\n\t\t\"apiVersion\": \"v1\",\n\t\t\"command\": \"/opt/k\",\n\t\t\"interactiveMode\": \"Never\"";
    assert_eq!(set(&pretty(old)), Ok(pretty(new)));
}

#[test]
fn refuses_what_it_cannot_set() {
    let cases = [
        (
            "command: &c k\n      env: [{name: A, value: *c}]",
            "the value at line 5 cannot be edited because the alias at line 6 refers to it",
        ),
        (
            "installHint: &c k\n      command: *c",
            "the alias at line 6 cannot be edited without what it refers to at line 5",
        ),
        ("command: k\n      command: l", "`command` cannot be edited because it is there twice, at lines 5 and 6"),
        ("command: !!str k", "`command` is written in a way that cannot be edited at line 5, column 22"),
    ];
    for (exec, error) in cases {
        assert_eq!(set(&block(exec)), Err(error.to_owned()), "{exec}");
    }
}
