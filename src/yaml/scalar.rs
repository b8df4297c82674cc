//! Writes strings as YAML.

/// A string as one line of YAML: plain where every reader takes it for that
/// same string, else in double quotes as JSON writes it.
pub(super) fn scalar_text(text: &str, flow: bool, quoted: bool) -> String {
    if !quoted && is_plain(text, flow) { text.to_owned() } else { double_quoted(text) }
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => quoted.extend(format!("\\u{:04x}", u32::from(c)).chars()),
        }
    }
    quoted.push('"');
    quoted
}

/// What YAML 1.1 lets stand unescaped, without its line breaks and the BOM.
pub(super) fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

fn is_plain(text: &str, flow: bool) -> bool {
    let ascii = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let dash = text.starts_with("- ") || text.starts_with("---") || text == "-";
    let indicator = text
        .starts_with(['?', ':', ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '\'', '"', '%', '@', '`', ' ']);
    let ends = text.is_empty() || text.ends_with([' ', ':']);
    let inside = text.contains(": ") || text.contains(" #");
    // Old readers stop at `:` and `?` too in a flow collection.
    let flow = flow && text.contains([',', '[', ']', '{', '}', ':', '?']);
    ascii && !(dash || indicator || ends || inside || flow || is_typed(text))
}

/// Whether a YAML 1.1 reader takes the plain text for something other than a
/// string: <https://yaml.org/type/>, and what Go's `strconv` reads as a number.
pub(super) fn is_typed(text: &str) -> bool {
    const WORDS: [&str; 15] =
        ["~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "=", "<<", "inf", "infinity", "nan"];
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let unsigned = unsigned.strip_prefix('.').filter(|rest| rest.starts_with(char::is_alphabetic)).unwrap_or(unsigned);
    WORDS.iter().any(|word| unsigned.eq_ignore_ascii_case(word)) || is_number(unsigned) || is_date(text)
}

fn is_number(unsigned: &str) -> bool {
    let digits: String = unsigned.chars().filter(|&c| c != '_').collect::<String>().to_ascii_lowercase();
    let all = |text: &str, allowed: &str| text.chars().all(|c| allowed.contains(c));
    if let Some(rest) = digits.strip_prefix("0x") {
        return all(rest, "0123456789abcdef.p+-");
    }
    if let Some(rest) = digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0b")) {
        return all(rest, "01234567");
    }
    // `:` stands in numbers to the base 60, such as 12:30:45.
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    !mantissa.is_empty() && all(mantissa, "0123456789.:") && all(exponent, "0123456789")
}

/// Whether the text begins as a date does: four digits, one or two, and more.
fn is_date(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let mut digits = |lengths: &[usize]| {
        parts.next().is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(&[4]) && digits(&[1, 2]) && parts.next().is_some_and(|day| day.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::super::Tree;
    use super::super::tests::Random;
    use super::*;

    #[test]
    fn quotes_what_a_reader_would_change() {
        let typed = [
            "",
            "~",
            "null",
            "Null",
            "yes",
            "No",
            "ON",
            "off",
            "true",
            "FALSE",
            "y",
            "N",
            "0o17",
            "017",
            "0x1F",
            "0b11",
            "1_000",
            "1e3",
            "1E-3",
            "+1",
            "-1",
            ".5",
            "5.",
            "-.inf",
            ".NaN",
            ".Inf",
            "Infinity",
            "nan",
            "12:30:45",
            "1:2",
            "2024-01-01",
            "2024-1-1T10:00:00Z",
            "2024-01-01 10:00",
            "10.0.0.1",
            "=",
            "<<",
            " a",
            "a ",
            "a: b",
            "a #b",
            "a:",
            "-",
            "- a",
            "---",
            "...",
            "#a",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "'a",
            "\"a",
            "%a",
            "@a",
            "`a",
            "?a",
            ":a",
            ",a",
            "[a",
            "{a",
            "a\tb",
            "a\nb",
            "ü",
            "\u{1}",
            "0x1p-2",
        ];
        for text in typed {
            assert_eq!(scalar_text(text, false, false), double_quoted(text), "{text:?}");
        }
        let plain = [
            "--flag",
            "-f",
            "--flag=value",
            "https://a.example:443/x?y=z&w#f",
            "123e4567-e89b-12d3-a456-426614174000",
            "1e345678-1234-1234-1234-123456789012",
            "00000000-0000-0000-0000-000000000000",
            "12345678-1234-1234-1234-1234567890ab",
            "get-token",
            "a b",
            "a:b",
            "~/x",
            "C:\\kubelogin.exe",
            "it's",
            "a\"b",
            "v1.2.3",
            "/usr/bin/x",
            "client.authentication.k8s.io/v1beta1",
            ".hidden",
            "2024-x",
        ];
        for text in plain {
            assert_eq!(scalar_text(text, false, false), text);
        }
        assert_eq!(double_quoted("\u{85}\u{2028}\u{feff}\u{7f}😀é\\"), "\"\\u0085\\u2028\\ufeff\\u007f😀é\\\\\"");
    }

    #[test]
    fn any_string_reads_back() {
        let mut random = Random(1);
        for _ in 0..20_000 {
            let text = random.text();
            for file in [
                format!("a: {}\n", scalar_text(&text, false, false)),
                format!("[{{a: {}}}, x]", scalar_text(&text, true, false)),
                format!("- {}", scalar_text(&text, false, true)),
            ] {
                let tree = Tree::parse(file.clone()).unwrap();
                let found = (0..=file.len()).any(|node| !tree.is_null(node) && tree.scalar(node) == Some(&text));
                assert!(found, "{text:?} {file:?}");
            }
        }
    }
}
