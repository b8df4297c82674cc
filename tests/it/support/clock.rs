//! The time, and the ways in which it is written.

use std::time::SystemTime;

/// Seconds since 1970 by the system's clock.
pub(super) fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since.expect("the clock is past 1970").as_secs();
    i64::try_from(seconds).expect("the clock is not absurd")
}

/// `Thu, 01 Jan 1970 00:00:00 GMT` (RFC 9110 §5.6.7).
pub(super) fn http_date(unix: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = civil_date(unix);
    let weekday = DAYS[unix.div_euclid(86_400).rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = time_of_day(unix);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// `1970-01-01 00:00:00Z`, as Entra writes times in its errors.
pub(super) fn entra_date(unix: i64) -> String {
    let (year, month, day) = civil_date(unix);
    let (hour, minute, second) = time_of_day(unix);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// `1970-01-01T00:00:00Z`
pub(super) fn rfc3339(unix: i64) -> String {
    entra_date(unix).replace(' ', "T")
}

/// `01/31/1970 00:00:00 +00:00`, or with `12` hours `1/31/1970 12:00:00 AM +00:00`: what .NET
/// makes of a time in America.
pub(super) fn american_date(unix: i64, twelve: bool) -> String {
    let (year, month, day) = civil_date(unix);
    let (hour, minute, second) = time_of_day(unix);
    if !twelve {
        return format!("{month:02}/{day:02}/{year} {hour:02}:{minute:02}:{second:02} +00:00");
    }
    let half = if hour < 12 { "AM" } else { "PM" };
    let hour = (hour + 11) % 12 + 1;
    format!("{month}/{day}/{year} {hour}:{minute:02}:{second:02} {half} +00:00")
}

fn time_of_day(unix: i64) -> (i64, i64, i64) {
    let second = unix.rem_euclid(86_400);
    (second / 3600, second / 60 % 60, second % 60)
}

/// Year, month and day in UTC, by walking through years and months.
fn civil_date(unix: i64) -> (i64, i64, i64) {
    let mut day = unix.div_euclid(86_400);
    let mut year = 1970;
    while day >= days_in_year(year) {
        day -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while day >= days_in_month(year, month) {
        day -= days_in_month(year, month);
        month += 1;
    }
    (year, month, day + 1)
}

fn days_in_year(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}
