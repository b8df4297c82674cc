//! Time: the clock, deadlines, and moments in writing.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Time, so that tests can let it pass.
pub trait Clock {
    /// Seconds since the Unix epoch.
    fn now(&self) -> u64;
    /// Nanoseconds since the Unix epoch, where the order of what happens within a second counts.
    fn nanoseconds(&self) -> u64 {
        self.now().saturating_mul(1_000_000_000)
    }
    /// Time since some fixed moment; never goes back.
    fn monotonic(&self) -> Duration;
    /// Waits, in code that is not asynchronous.
    fn pause(&self, time: Duration);
    /// Completes when `time` has passed.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>>;
}

/// Whether `then` was less than so many `seconds` before `now`. A moment that is still to come has not been: some
/// clock was wrong once, and must not count for years.
pub(crate) fn was_within(seconds: u64, then: u64, now: u64) -> bool {
    now.checked_sub(then).is_some_and(|ago| ago < seconds)
}

pub(crate) struct SystemClock(std::time::Instant);

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn now(&self) -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn nanoseconds(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    #[expect(clippy::disallowed_methods, reason = "the clock itself")]
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// `seconds` since the Unix epoch as RFC 3339 in UTC. A moment beyond the year 9999 is reported as
/// that year's end.
pub(crate) fn rfc3339(seconds: u64) -> String {
    const LAST: &str = "9999-12-31T23:59:59Z";
    let moment = i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| LAST.into())
}

/// A moment after which a piece of work is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    end: Duration,
    given: Duration,
}

impl Deadline {
    /// The moment that lies `time` from now.
    pub fn after(clock: &dyn Clock, time: Duration) -> Self {
        Self { end: clock.monotonic().saturating_add(time), given: time }
    }

    /// The time that is left; zero once it is over.
    pub fn left(&self, clock: &dyn Clock) -> Duration {
        self.end.saturating_sub(clock.monotonic())
    }

    /// The time that was given at the start, for messages.
    pub fn given(&self) -> Duration {
        self.given
    }

    /// The earlier of the two.
    #[must_use]
    pub fn or_earlier(self, other: Self) -> Self {
        if other.end < self.end { other } else { self }
    }
}

#[cfg(test)]
pub(crate) mod fake {
    //! A clock that passes at once, for tests of waiting.

    use std::cell::Cell;
    use std::rc::Rc;

    use super::{Clock, Duration, Future, Pin};

    /// Time that passes only by sleeping.
    #[derive(Default, Clone)]
    pub(crate) struct FakeClock(pub(crate) Rc<Cell<Duration>>);

    impl Clock for FakeClock {
        fn now(&self) -> u64 {
            1_800_000_000 + self.0.get().as_secs()
        }

        fn monotonic(&self) -> Duration {
            self.0.get()
        }

        fn pause(&self, time: Duration) {
            self.0.set(self.0.get() + time);
        }

        fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
            self.pause(time);
            Box::pin(std::future::ready(()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_still_to_come_has_not_been() {
        for (then, now, expected) in [(100, 100, true), (100, 129, true), (100, 130, false), (101, 100, false)] {
            assert_eq!(was_within(30, then, now), expected, "{then} {now}");
        }
        assert!(!was_within(30, u64::MAX, 100) && !was_within(30, 0, u64::MAX));
    }

    #[test]
    fn moments_beyond_the_calendar_are_bounded() {
        assert_eq!(rfc3339(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn a_deadline_ends() {
        let clock = fake::FakeClock::default();
        let deadline = Deadline::after(&clock, Duration::from_secs(5));
        drop(clock.sleep(Duration::from_secs(3)));
        assert_eq!(deadline.left(&clock), Duration::from_secs(2));
        drop(clock.sleep(Duration::from_secs(3)));
        assert_eq!(deadline.left(&clock), Duration::ZERO);
    }
}
