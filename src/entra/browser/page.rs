//! The pages that the browser shows: no script, nothing from elsewhere, every text escaped.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, LOCATION};
use hyper::{Response, StatusCode};

use super::authorization_response::RejectedRequest;
use super::requester::Requester;
use crate::error::{Error, one_line};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");

/// An answer to a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    status: StatusCode,
    html: String,
    /// Where the browser goes instead of showing it.
    location: Option<String>,
}

impl Page {
    /// The token is there.
    pub(super) fn signed_in(account: Option<&str>, tenant: &str, asker: &Requester) -> Self {
        let known = [
            account.map(|account| fact("Account", &value(account))),
            Some(fact("Tenant", &value(tenant))),
            asker.command.as_deref().map(|command| fact("Command", &format!("<code>{}</code>", value(command)))),
            asker.cluster.as_deref().map(|cluster| fact("Cluster", &value(cluster))),
        ];
        let body = [
            format!("<dl>{}</dl>", known.into_iter().flatten().collect::<String>()),
            paragraph("", "You can close this tab and go back to where the command runs."),
            paragraph(
                "note",
                "Was this not you, or not your command? Then sign out everywhere on the security page of your account, \
                 and tell an administrator of the tenant.",
            ),
        ];
        Self::new(StatusCode::OK, "good", "You are signed in", &body)
    }

    /// There is no token, and this is why.
    pub(super) fn failed(error: &Error) -> Self {
        let next_step = error.next_step();
        let mut body = vec![paragraph("", &sentence(error.what()))];
        if !next_step.is_empty() {
            body.extend([heading("What to do"), paragraph("", &sentence(&next_step))]);
        }
        let details: String = error.details().iter().map(|line| paragraph("note", &capital(line))).collect();
        if !details.is_empty() {
            body.push(format!("<div class=\"details\">{details}</div>"));
        }
        body.push(paragraph("note", "You can close this tab."));
        Self::new(StatusCode::OK, "bad", "You are not signed in", &body)
    }

    /// The request was no answer to this sign-in.
    pub(super) fn ignored(ignored: RejectedRequest) -> Self {
        let body = [
            paragraph("", &sentence(&format!("this request was not used: {}", ignored.why))),
            paragraph(
                "",
                "Nothing has changed. If you are signing in, go on in the other tab, or start the command again.",
            ),
        ];
        Self::new(ignored.status, "ignored", "Nothing to see here", &body)
    }

    /// On to `address`.
    pub(super) fn redirect(address: &str) -> Self {
        Self { status: StatusCode::FOUND, html: String::new(), location: Some(address.to_owned()) }
    }

    fn new(status: StatusCode, mood: &str, title: &str, body: &[String]) -> Self {
        let html = TEMPLATE
            .replace("{{style}}", STYLE)
            .replace("{{mood}}", mood)
            .replace("{{title}}", &escaped(title))
            .replace("{{body}}", &body.join("\n"));
        Self { status, html, location: None }
    }

    /// The page for the wire. Nothing of it may be kept, framed, or tell the next site where it was.
    pub(super) fn response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.html)));
        *response.status_mut() = self.status;
        let policy = policy();
        let location = self.location.as_deref().map(|location| (LOCATION.as_str(), location));
        let fixed = [
            (CONTENT_TYPE.as_str(), "text/html; charset=utf-8"),
            ("content-security-policy", &policy),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("cross-origin-resource-policy", "same-origin"),
        ];
        for (name, value) in fixed.into_iter().chain(location) {
            let name = hyper::header::HeaderName::from_bytes(name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, hyper::header::HeaderValue::from_str(value)) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Our own style sheet, known by its hash, and the empty icon that keeps browsers from asking for one.
fn policy() -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, STYLE.as_bytes());
    format!(
        "default-src 'none'; style-src 'sha256-{}'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        BASE64_STANDARD.encode(hash)
    )
}

fn fact(name: &str, html: &str) -> String {
    format!("<dt>{name}</dt><dd>{html}</dd>")
}

/// A name, an address or a command. They are read from left to right: with the direction of its first
/// letters, `name@tenant` would end in the name.
fn value(text: &str) -> String {
    format!("<bdi dir=\"ltr\">{}</bdi>", html(text))
}

fn heading(text: &str) -> String {
    format!("<h2>{}</h2>", escaped(text))
}

fn paragraph(class: &str, text: &str) -> String {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    format!("<p{class}>{}</p>", html(text))
}

/// Messages begin in lower case and have no full stop.
fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{}{end}", capital(text))
}

/// With a capital, unless a name or an address is what it begins with.
fn capital(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    let mut letters = text.chars();
    match letters.next().filter(|_| first_word.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '\'' | ',')))
    {
        Some(first) => format!("{}{}", first.to_ascii_uppercase(), letters.as_str()),
        None => text.to_owned(),
    }
}

/// A word longer than this may be broken where its parts end: few windows are so narrow that another
/// word doesn't fit.
const LONG_WORD: usize = 20;

/// Text as one line of HTML that breaks where people would break it.
fn html(text: &str) -> String {
    one_line(text).split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn word(word: &str) -> String {
    if word.len() > LONG_WORD {
        return word.split_inclusive(['@', '.', ',', '/']).map(escaped).collect::<Vec<_>>().join("<wbr>");
    }
    // A flag, a date: browsers break at any hyphen.
    if word.contains('-') { format!("<span class=\"whole\">{}</span>", escaped(word)) } else { escaped(word) }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // A text cannot fill a place of the template.
            '{' => safe.push_str("&#123;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const HOSTILE: &str = "<script>alert('1')</script>\"&{{style}}";

    fn no_markup_of(page: &Page) {
        let html = page.html.replace("<wbr>", "");
        assert!(!html.contains("<script") && !html.contains("alert('1')"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;&#123;&#123;style}}"));
        assert_eq!(page.html.matches("<style>").count(), 1);
        assert_eq!(page.html.matches(STYLE).count(), 1);
    }

    #[test]
    fn every_text_is_escaped() {
        let asker = Requester { command: Some(HOSTILE.into()), cluster: Some(HOSTILE.into()) };
        no_markup_of(&Page::signed_in(Some(HOSTILE), HOSTILE, &asker));
        let error = Error::new(ErrorKind::Refused, HOSTILE).remedy(HOSTILE).detail(HOSTILE);
        no_markup_of(&Page::failed(&error));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let page = Page::signed_in(None, "T", &Requester::default());
        assert!(page.html.contains("<dl><dt>Tenant</dt><dd><bdi dir=\"ltr\">T</bdi></dd></dl>"), "{}", page.html);
    }

    #[test]
    fn a_failure_says_what_happened_and_what_to_do() {
        let error = Error::new(ErrorKind::ConsentMissing, "nobody has consented, AADSTS65001").detail("Entra says: x");
        let page = Page::failed(&error);
        for part in [
            "<h1>You are not signed in</h1>",
            "<p>Nobody has consented, AADSTS65001.</p>",
            "<p>Ask an administrator of the tenant to grant admin consent to the app.</p>",
            "<p class=\"note\">Entra says: x</p>",
        ] {
            assert!(page.html.contains(part), "{part} in {}", page.html);
        }
    }

    #[test]
    fn names_keep_their_letters() {
        assert_eq!(sentence("the code expired"), "The code expired.");
        assert_eq!(sentence("bob@contoso.com has signed in"), "bob@contoso.com has signed in.");
        assert_eq!(sentence("sign-in is over"), "Sign-in is over.");
        assert_eq!(sentence("AADSTS1 is new!"), "AADSTS1 is new!");
        assert_eq!(sentence(""), ".");
    }

    #[test]
    fn long_words_break_where_their_parts_end() {
        assert_eq!(html("bob@contoso.com <b>"), "bob@contoso.com &lt;b&gt;");
        assert_eq!(html("bobby-1@contoso.onmicrosoft.com."), "bobby-1@<wbr>contoso.<wbr>onmicrosoft.<wbr>com.");
        assert_eq!(html("k (--context x)"), "k <span class=\"whole\">(--context</span> x)");
    }

    #[test]
    fn the_policy_lets_only_our_own_style_in() {
        let response = Page::signed_in(None, "T", &Requester::default()).response();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let policy = header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        for part in ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert_eq!(
            [
                header("cache-control"),
                header("referrer-policy"),
                header("x-content-type-options"),
                header("x-frame-options")
            ],
            ["no-store", "no-referrer", "nosniff", "DENY"]
        );
        for outside in ["http:", "https:", "url(", "@import", "src=", "<script", " onload"] {
            let found = TEMPLATE.contains(outside) || STYLE.contains(outside);
            assert!(!found, "{outside}");
        }
    }
}
