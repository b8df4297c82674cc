//! The pages that the fake shows to people.

use super::super::http::Response;
use super::authorize::CHOICE;
use super::directory::User;
use super::refusal::Refusal;

/// The list of accounts. Each is a link `account-UPN`; `cancel` is one too.
pub(super) fn sign_in(users: &[User], ticket: &str, login_hint: Option<&str>) -> Response {
    let is_hinted = |user: &&User| login_hint.is_some_and(|hint| user.upn.eq_ignore_ascii_case(hint));
    let (hinted, others): (Vec<&User>, Vec<&User>) = users.iter().partition(is_hinted);
    let entry = |user: &&User, more: &str| {
        let account = escaped(&user.upn);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("ticket", ticket), ("account", &user.upn)])
            .finish();
        format!("<li><a id=\"account-{account}\" href=\"{CHOICE}?{}\"{more}>{account}</a></li>\n", escaped(&query))
    };
    let hinted = hinted.iter().map(|user| entry(user, " class=\"selected\" aria-current=\"true\" autofocus"));
    let list: String = hinted.chain(others.iter().map(|user| entry(user, ""))).collect();
    let cancel = format!("<p><a id=\"cancel\" href=\"{CHOICE}?ticket={ticket}\">Cancel</a></p>");
    let title = "Sign in to your account";
    Response::html(200, &page(title, &format!("<h1>Pick an account</h1>\n<ul>\n{list}</ul>\n{cancel}")))
}

/// `response_mode=form_post`: a form that submits itself, and a button for browsers without scripts.
pub(super) fn post(action: &str, fields: &[(&str, String)]) -> Response {
    let input = |(name, value): &(&str, String)| {
        format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escaped(name), escaped(value))
    };
    let inputs: String = fields.iter().map(input).collect();
    let button = "<button type=\"submit\" id=\"continue\">Continue</button>";
    let form =
        format!("<form method=\"POST\" name=\"hiddenform\" action=\"{}\">\n{inputs}{button}\n</form>", escaped(action));
    let script = "<script>document.forms[0].submit();</script>";
    Response::html(200, &page("Working...", &format!("{form}\n{script}")))
}

/// What cannot be sent back to a program is told to the person.
pub(super) fn refusal(refusal: &Refusal, correlation_id: &str, unix: i64) -> Response {
    let description = escaped(&refusal.description(correlation_id, unix));
    let body = format!("<h1>Sorry, but we're having trouble signing you in.</h1>\n<p id=\"error\">{description}</p>");
    Response::html(400, &page("Sign in to your account", &body))
}

/// The body of a redirect.
pub(super) fn moved() -> String {
    page("Object moved", "<h1>Object moved</h1>")
}

fn page(title: &str, body: &str) -> String {
    // The icon keeps browsers from asking for one.
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title>\
         <link rel=\"icon\" href=\"data:,\"></head>\n<body>\n{body}\n</body>\n</html>\n"
    )
}

/// Text as HTML, also within quotes.
fn escaped(text: &str) -> String {
    let mut html = String::new();
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(character),
        }
    }
    html
}
