//! Work that takes its time, and how somebody who looks on knows that it goes on.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use crate::os::clock::{Clock, Deadline};

use super::Terminal;
use super::screen::Screen;

/// Work that is done before this has passed shows nothing: a line that flickers tells nobody anything.
const UNSEEN: Duration = Duration::from_millis(300);
/// From one picture to the next.
const FRAME: Duration = Duration::from_millis(125);

/// The pictures of the spinner, one column wide each.
const BRAILLE: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
const ASCII: [&str; 4] = ["|", "/", "-", "\\"];

/// At the end of the line there is room for the cursor and for the `^C` that a terminal shows: a line
/// that is broken in two can't be erased.
const SPARE: usize = 3;

/// What is waited for.
#[derive(Clone, Copy)]
pub struct Wait<'a> {
    /// In words, which begin with `waiting` or the like and hold nothing of a server's.
    pub text: &'a str,
    /// When it is given up, for a countdown.
    pub until: Option<Deadline>,
    /// Where nothing can be drawn, the text is noted once when this has passed; else not at all.
    pub noted_after: Option<Duration>,
}

impl<'a> Wait<'a> {
    /// Without an end in sight, and untold where nothing can be drawn.
    pub fn of(text: &'a str) -> Self {
        Self { text, until: None, noted_after: None }
    }

    /// With the time that is left until `end`.
    #[must_use]
    pub fn until(self, end: Deadline) -> Self {
        Self { until: Some(end), ..self }
    }

    /// With a note after `time` where nothing can be drawn.
    #[must_use]
    pub fn noted_after(self, time: Duration) -> Self {
        Self { noted_after: Some(time), ..self }
    }
}

impl Terminal {
    /// Does `work`, and shows on a terminal that it goes on. Nothing of that is left when the work has
    /// ended or is given up by dropping the future. A wait within a wait is shown in its place.
    pub async fn while_waiting<T>(&self, clock: &dyn Clock, wait: Wait<'_>, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let Some(screen) = &self.screen else {
            if let Some(time) = wait.noted_after {
                if let Some(outcome) = within(time, clock, work.as_mut()).await {
                    return outcome;
                }
                self.note(wait.text);
            }
            return work.await;
        };
        let mut spinner = Spinner::start(self, screen, wait);
        let mut pause = UNSEEN;
        loop {
            if let Some(outcome) = within(pause, clock, work.as_mut()).await {
                return outcome;
            }
            spinner.turn(clock);
            pause = FRAME;
        }
    }
}

/// What `work` brings, if it does within `time`. The clock is not asked before the work has to wait.
async fn within<T>(time: Duration, clock: &dyn Clock, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = async { clock.sleep(time).await } => None,
    }
}

/// The line of one wait; it goes when this is dropped.
struct Spinner<'a> {
    terminal: &'a Terminal,
    screen: &'a Screen,
    wait: Wait<'a>,
    /// How many waits are around this one, itself included.
    depth: usize,
    turns: usize,
}

impl<'a> Spinner<'a> {
    fn start(terminal: &'a Terminal, screen: &'a Screen, wait: Wait<'a>) -> Self {
        let depth = terminal.waits.get() + 1;
        terminal.waits.set(depth);
        Self { terminal, screen, wait, depth, turns: 0 }
    }

    /// Draws the next picture, unless a wait within this one is drawn or the line is the shell's.
    fn turn(&mut self, clock: &dyn Clock) {
        if self.terminal.waits.get() != self.depth || !(self.screen.foreground)() {
            return;
        }
        let pictures: &[&str] = if self.screen.unicode { &BRAILLE } else { &ASCII };
        let picture = pictures[self.turns % pictures.len()];
        self.turns += 1;
        let left = self.wait.until.map(|end| format!("{} left, ", countdown(end.left(clock)))).unwrap_or_default();
        // The time comes before the words: it is still read where they are cut off.
        let room = (self.screen.width)().saturating_sub(SPARE + 2);
        let line = format!("{left}{}", self.wait.text);
        let (text, columns) = cut(&line, room);
        self.terminal.draw(&format!("{picture} {text}"), columns + 2);
    }
}

impl Drop for Spinner<'_> {
    fn drop(&mut self) {
        self.terminal.waits.set(self.depth - 1);
        self.terminal.erase();
    }
}

/// `m:ss`; the last second is 0:01.
fn countdown(left: Duration) -> String {
    let seconds = left.as_millis().div_ceil(1000);
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// As much of `text` as fits, and its columns. What is not ASCII may be two columns wide.
fn cut(text: &str, room: usize) -> (&str, usize) {
    let mut columns = 0;
    for (start, letter) in text.char_indices() {
        let width = if letter.is_ascii() { 1 } else { 2 };
        if columns + width > room {
            return (&text[..start], columns);
        }
        columns += width;
    }
    (text, columns)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::os::clock::fake::FakeClock;
    use crate::terminal::fake::Written;

    const ERASE: &str = "\r\u{1b}[K";

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    /// A clock that goes on when somebody sleeps, which lets others have their turn, for so many times.
    struct StepClock {
        time: FakeClock,
        steps: Cell<u32>,
    }

    impl StepClock {
        fn new() -> Self {
            Self { time: FakeClock::default(), steps: Cell::new(u32::MAX) }
        }

        async fn stopped(&self) {
            while self.steps.get() > 0 {
                tokio::task::yield_now().await;
            }
        }
    }

    impl Clock for StepClock {
        fn now(&self) -> u64 {
            self.time.now()
        }

        fn monotonic(&self) -> Duration {
            self.time.monotonic()
        }

        fn pause(&self, _: Duration) {}

        fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()>>> {
            let Some(left) = self.steps.get().checked_sub(1) else { return Box::pin(std::future::pending()) };
            self.steps.set(left);
            let clock = self.time.clone();
            Box::pin(async move {
                clock.sleep(time).await;
                tokio::task::yield_now().await;
            })
        }
    }

    /// Work that is done when the clock shows `milliseconds`; somebody else lets the time pass.
    async fn until(clock: &StepClock, milliseconds: u64) -> u64 {
        let end = Duration::from_millis(milliseconds);
        std::future::poll_fn(|context| {
            if clock.monotonic() >= end {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        milliseconds
    }

    /// What is written while `milliseconds` of work are waited for on `screen`.
    fn written(screen: Screen, milliseconds: u64, wait: impl FnOnce(&StepClock) -> Wait<'static>) -> String {
        let (terminal, written) = Terminal::on(screen);
        let clock = StepClock::new();
        let wait = wait(&clock);
        assert_eq!(run(terminal.while_waiting(&clock, wait, until(&clock, milliseconds))), milliseconds);
        written.take()
    }

    fn waiting(_: &StepClock) -> Wait<'static> {
        Wait::of("waiting")
    }

    #[test]
    fn work_of_300_ms_shows_nothing_and_takes_no_time_more() {
        assert_eq!(written(Screen::fake(), 300, waiting), "");
        let (terminal, written) = Terminal::on(Screen::fake());
        let clock = StepClock::new();
        assert_eq!(run(terminal.while_waiting(&clock, Wait::of("waiting"), async { 7 })), 7);
        assert_eq!((clock.monotonic(), written.take()), (Duration::ZERO, String::new()));
    }

    #[test]
    fn longer_work_shows_a_spinner_that_turns_and_goes() {
        assert_eq!(written(Screen::fake(), 500, waiting), format!("{ERASE}⠋ waiting{ERASE}⠙ waiting{ERASE}"));
        let ascii = Screen { unicode: false, ..Screen::fake() };
        assert_eq!(
            written(ascii, 800, waiting),
            ["", "| waiting", "/ waiting", "- waiting", "\\ waiting", ""].join(ERASE)
        );
    }

    #[test]
    fn the_time_that_is_left_counts_down() {
        let wait = |clock: &StepClock| Wait::of("waiting").until(Deadline::after(clock, Duration::from_secs(60)));
        assert_eq!(written(Screen::fake(), 301, wait), format!("{ERASE}⠋ 1:00 left, waiting{ERASE}"));
        for (milliseconds, shown) in
            [(900_000, "15:00"), (59_999, "1:00"), (59_000, "0:59"), (1, "0:01"), (0, "0:00"), (3_700_000, "61:40")]
        {
            assert_eq!(countdown(Duration::from_millis(milliseconds)), shown);
        }
    }

    #[test]
    fn a_line_is_never_broken() {
        let narrow = Screen { width: || 20, ..Screen::fake() };
        let long = |_: &StepClock| Wait::of("waiting for another process");
        assert_eq!(written(narrow, 301, long), format!("{ERASE}⠋ waiting for ano{ERASE}"));
        assert_eq!(cut("aéb", 2), ("a", 1));
        assert_eq!(cut("aéb", 3), ("aé", 3));
        assert_eq!(cut("", 0), ("", 0));
    }

    #[test]
    fn what_is_said_meanwhile_takes_the_place_of_the_spinner() {
        let (terminal, written) = Terminal::on(Screen::fake());
        let clock = StepClock::new();
        run(terminal.while_waiting(&clock, Wait::of("waiting"), async {
            until(&clock, 301).await;
            terminal.say("said");
            terminal.say("more");
            until(&clock, 500).await;
        }));
        assert_eq!(written.take(), format!("{ERASE}⠋ waiting{ERASE}said\nmore\n{ERASE}⠙ waiting{ERASE}"));
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing() {
        let (terminal, written) = Terminal::on(Screen::fake());
        let clock = StepClock { steps: Cell::new(3), ..StepClock::new() };
        run(async {
            tokio::select! {
                biased;
                () = terminal.while_waiting(&clock, Wait::of("waiting"), std::future::pending()) => {}
                () = clock.stopped() => {}
            }
        });
        assert_eq!(written.take(), format!("{ERASE}⠋ waiting{ERASE}⠙ waiting{ERASE}"));
    }

    #[test]
    fn in_the_background_nothing_is_drawn() {
        let background = Screen { foreground: || false, ..Screen::fake() };
        assert_eq!(written(background, 800, waiting), "");
    }

    #[test]
    fn a_wait_within_a_wait_is_shown_in_its_place() {
        let (terminal, written) = Terminal::on(Screen::fake());
        let clock = StepClock::new();
        run(terminal.while_waiting(&clock, Wait::of("outer"), async {
            until(&clock, 301).await;
            terminal.while_waiting(&clock, Wait::of("inner"), until(&clock, 800)).await;
            until(&clock, 1000).await;
        }));
        let drawn = ["", "⠋ outer", "⠋ inner", "", "⠙ outer", ""].join(ERASE);
        assert_eq!(written.take(), drawn);
    }

    #[test]
    fn plain_lines_note_a_long_wait_once_where_that_is_wanted() {
        let noted = Wait::of("waiting").noted_after(Duration::from_secs(1));
        for (wait, milliseconds, written) in
            [(Wait::of("waiting"), 0, ""), (noted, 0, ""), (noted, 1000, ""), (noted, 1001, "waiting\n")]
        {
            let out = Written::default();
            let terminal = Terminal::to(out.clone());
            let clock = StepClock::new();
            run(terminal.while_waiting(&clock, wait, async {
                until(&clock, milliseconds.min(1000)).await;
                if milliseconds > 1000 {
                    clock.sleep(Duration::from_millis(milliseconds - 1000)).await;
                }
            }));
            assert_eq!(out.take(), written);
        }
    }
}
