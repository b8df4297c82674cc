//! What option texts mean once they are parsed.

use std::path::PathBuf;
use std::time::Duration;

use crate::exec_credential::VERSIONS;

/// A path; empty texts never get here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(pub PathBuf);

impl FilePath {
    /// Any text.
    ///
    /// # Errors
    /// A NUL, which no file system takes.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains('\0') { Err("a path holds no NUL".into()) } else { Ok(Self(text.into())) }
    }
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputFormat {
    /// Lines for people.
    Text,
    /// JSON for programs.
    Json,
}

impl OutputFormat {
    /// Reads a form.
    ///
    /// # Errors
    /// The forms that there are.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown form \"{other}\": it must be text or json")),
        }
    }
}

/// Reads a version of the exec protocol, with or without its group.
///
/// # Errors
/// The versions that kubectl accepts.
pub(crate) fn exec_api_version(text: &str) -> Result<&'static str, String> {
    let named = |version: &&str| *version == text || version.rsplit('/').next() == Some(text);
    let version = VERSIONS.into_iter().find(named);
    version.ok_or_else(|| format!("unknown version \"{text}\": kubectl accepts v1 and v1beta1"))
}

/// A duration in Go's notation: `90s`, `1m0s`, `1.5h`, `0`, `-1s`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct GoDuration {
    seconds: f64,
}

impl GoDuration {
    /// Reads Go's `time.ParseDuration` notation.
    ///
    /// # Errors
    /// Go's text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("time: invalid duration \"{text}\"");
        let (sign, mut rest) = match text.strip_prefix('-') {
            Some(rest) => (-1.0, rest),
            None => (1.0, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Ok(Self { seconds: 0.0 });
        }
        if rest.is_empty() {
            return Err(invalid());
        }
        let mut seconds = 0.0;
        while !rest.is_empty() {
            let (part, after) = duration_part(rest).ok_or_else(invalid)?;
            seconds += part;
            rest = after;
        }
        // Go counts nanoseconds in 64 bits: 292 years.
        if seconds > 9_223_372_036.0 {
            return Err(invalid());
        }
        Ok(Self { seconds: sign * seconds })
    }

    /// The duration, if it is longer than nothing.
    pub(crate) fn positive(self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds).ok().filter(|duration| !duration.is_zero())
    }
}

/// One number with its unit, in seconds, and what follows.
fn duration_part(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(end);
    let number = if number == "." { return None } else { number.parse::<f64>().ok()? };
    let units =
        [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("μs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let (unit, factor) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
    Some((number * factor, &rest[unit.len()..]))
}

/// Go's `strconv.ParseBool`.
///
/// # Errors
/// Go's text.
pub(crate) fn go_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing \"{text}\": invalid syntax")),
    }
}

/// A verbosity. Numbers beyond 10 are 10, negative ones 0.
///
/// # Errors
/// Go's text.
pub(crate) fn level(text: &str) -> Result<u8, String> {
    let number: i32 = text.parse().map_err(|_| format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))?;
    Ok(u8::try_from(number.clamp(0, 10)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_gos_notation() {
        let seconds = |text| GoDuration::parse(text).map(|d| d.seconds);
        assert_eq!(seconds("1m0s"), Ok(60.0));
        assert_eq!(seconds("1.5h"), Ok(5400.0));
        assert_eq!(seconds("300ms"), Ok(0.3));
        assert_eq!(seconds("-1s"), Ok(-1.0));
        assert_eq!(seconds("0"), Ok(0.0));
        for bad in ["", "5", "s", "1x", ".s", "1m 2s", "999999999999h", "-"] {
            assert_eq!(seconds(bad), Err(format!("time: invalid duration \"{bad}\"")), "{bad}");
        }
        assert_eq!(GoDuration::parse("-1s").unwrap().positive(), None);
        assert_eq!(GoDuration::parse("0").unwrap().positive(), None);
    }
}
