//! What is said after a person has signed in.

use crate::error::one_line;
use crate::os::clock::rfc3339;

/// A sign-in that has just succeeded.
pub(crate) struct SignedIn<'a> {
    /// The name of the account.
    pub username: &'a str,
    /// The tenant that the token is for.
    pub tenant: &'a str,
    /// When the token ends, in seconds since the Unix epoch.
    pub expires_on: u64,
    /// Whether a refresh token came with it.
    pub renews: bool,
}

impl SignedIn<'_> {
    /// Who, where, how long, and what comes then; as it is at `now`.
    pub(crate) fn line(&self, now: u64) -> String {
        let (username, tenant) = (one_line(self.username), one_line(self.tenant));
        let then = if self.renews { "renews itself" } else { "then asks again" };
        format!("signed in as {username} (tenant {tenant}), valid until {}, {then}", time_text(self.expires_on, now))
    }
}

/// `14:32 UTC`, with its date where that is not the one of `now`.
pub(crate) fn time_text(seconds: u64, now: u64) -> String {
    let (text, now) = (rfc3339(seconds), rfc3339(now));
    let ((date, time), today) = (split(&text), split(&now).0);
    let minute = time.get(..5).unwrap_or(time);
    if date == today { format!("{minute} UTC") } else { format!("{date} {minute} UTC") }
}

/// Date and time of an RFC 3339 text.
fn split(text: &str) -> (&str, &str) {
    text.split_once('T').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15 08:00:00 UTC
    const NOW: u64 = 1_800_000_000;

    fn line(expires_on: u64, renews: bool) -> String {
        SignedIn { username: "alice@contoso.com", tenant: "contoso", expires_on, renews }.line(NOW)
    }

    #[test]
    fn who_where_how_long_and_what_then() {
        let who = "signed in as alice@contoso.com (tenant contoso), valid until";
        assert_eq!(line(NOW + 3899, true), format!("{who} 09:04 UTC, renews itself"));
        assert_eq!(line(NOW + 3900, false), format!("{who} 09:05 UTC, then asks again"));
    }

    #[test]
    fn the_date_is_told_where_it_is_not_today() {
        assert!(line(NOW + 16 * 3600 - 1, true).contains("valid until 23:59 UTC,"));
        assert!(line(NOW + 16 * 3600, true).contains("valid until 2027-01-16 00:00 UTC,"));
        assert!(line(u64::MAX, true).contains("valid until 9999-12-31 23:59 UTC,"));
    }

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let told =
            SignedIn { username: "a\u{1b}[2K\r\nb\u{202e}c\u{2066}", tenant: "t\u{7}", expires_on: NOW, renews: true };
        assert_eq!(told.line(NOW), "signed in as a [2K b c (tenant t), valid until 08:00 UTC, renews itself");
    }
}
