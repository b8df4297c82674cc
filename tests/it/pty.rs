//! A pseudo-terminal with the program in its foreground, and what is left on its screen.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{Termios, tcgetattr};

use crate::env::TestEnv;
use crate::kubectl::missing;
use crate::parallel::until;

/// The program on a terminal that is its stdin and stderr and controls it; stdout goes to a file, as
/// it goes to kubectl.
pub struct Pty {
    child: Child,
    terminal: File,
    /// Keeps the terminal alive after the program has ended.
    other_side: OwnedFd,
    before: Termios,
    shown: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
    stdout: PathBuf,
    columns: usize,
}

/// How a run on a terminal ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    /// Everything that was written to the terminal, or echoed by it.
    pub raw: String,
    /// What was left on it.
    pub screen: Screen,
}

impl Pty {
    /// `kubentra ARGS` on a terminal of so many columns, or nothing where setsid is missing.
    pub fn start(env: &TestEnv, args: &[String], columns: u16) -> Option<Self> {
        Self::start_program(env, &["kubentra"], args, columns)
    }

    /// The same for any program that is given `args` after its own.
    pub fn start_program(env: &TestEnv, program: &[&str], args: &[String], columns: u16) -> Option<Self> {
        let setsid = Path::new("/usr/bin/setsid");
        if !setsid.exists() {
            missing("setsid");
            return None;
        }
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).expect("a pseudo-terminal");
        let stdout = env.dir().join(format!("pty{}.out", std::os::fd::AsRawFd::as_raw_fd(&pty.master)));
        let own = program.iter().copied().chain(args.iter().map(String::as_str));
        let args: Vec<&str> = std::iter::once("-cw").chain(own).collect();
        let side = || Stdio::from(pty.slave.try_clone().expect("a terminal"));
        let before = tcgetattr(&pty.master).expect("the attributes of a terminal");
        let mut command = env.other(setsid, &args);
        command.stdin(side()).stderr(side()).stdout(File::create(&stdout).expect("a file"));
        let child = command.spawn().expect("the program starts");
        drop(command); // and with it two of our copies of the terminal
        let terminal = File::from(pty.master);
        let shown = Arc::default();
        let reading = read(terminal.try_clone().expect("a terminal"), Arc::clone(&shown));
        Some(Self { child, terminal, other_side: pty.slave, before, shown, reading, stdout, columns: columns.into() })
    }

    /// Everything that was written to the terminal so far.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("what is shown")).into_owned()
    }

    pub fn wait_until_it_shows(&self, text: &str) {
        until(text, || self.raw().contains(text));
    }

    /// The screen as it was when `text` had just been written.
    pub fn screen_after(&self, text: &str) -> Screen {
        let raw = self.raw();
        let end = raw.find(text).expect("it has been written") + text.len();
        Screen::showing(&raw[..end], self.columns)
    }

    /// Presses Ctrl-C: the terminal echoes it and sends SIGINT to its foreground.
    pub fn press_ctrl_c(&self) {
        (&self.terminal).write_all(&[3]).expect("a key");
    }

    /// Makes the window as wide as that.
    pub fn resize(&mut self, columns: u16) {
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&self.terminal, size).expect("another size");
    }

    /// Waits for the end of the program. The terminal has to be as it was before.
    pub fn finish(mut self) -> Ended {
        let status = self.child.wait().expect("it can be waited for");
        assert_eq!(tcgetattr(&self.terminal).expect("the attributes"), self.before);
        drop(self.other_side); // now reading comes to its end
        self.reading.join().expect("the reader");
        let raw = String::from_utf8(self.shown.lock().expect("what is shown").clone()).expect("UTF-8");
        let screen = Screen::showing(&raw, self.columns);
        let stdout = std::fs::read_to_string(&self.stdout).expect("UTF-8");
        Ended { code: status.code(), stdout, raw, screen }
    }
}

fn read(mut terminal: File, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut some = [0; 4096];
        // EIO, when nobody holds the other side any more.
        while let Ok(count @ 1..) = terminal.read(&mut some) {
            into.lock().expect("what is shown").extend_from_slice(&some[..count]);
        }
    })
}

/// The screen of a terminal that knows what we may use and nothing else.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Screen {
    rows: Vec<String>,
    row: usize,
    column: usize,
}

impl Screen {
    fn showing(raw: &str, columns: usize) -> Self {
        let mut screen = Self::default();
        let mut rest = raw.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.row += 1,
                '\u{1b}' => screen.obey(&mut rest),
                c => screen.put(c, columns),
            }
        }
        screen
    }

    /// Erasing to the end of the line, and colours. A cursor that is hidden would be found here.
    fn obey(&mut self, rest: &mut std::str::Chars<'_>) {
        assert_eq!(rest.next(), Some('['));
        let mut parameters = String::new();
        let command = loop {
            match rest.next().expect("the end of a sequence") {
                c if c.is_ascii_alphabetic() => break c,
                c => parameters.push(c),
            }
        };
        match (parameters.as_str(), command) {
            ("", 'K') => {
                let column = self.column;
                let row = self.line();
                *row = row.chars().take(column).collect();
            }
            ("1;7" | "1" | "31" | "32" | "36" | "0", 'm') => {}
            other => panic!("nobody knows {other:?}"),
        }
    }

    /// Beyond the last column it goes on in the next row.
    fn put(&mut self, c: char, columns: usize) {
        if self.column == columns {
            (self.row, self.column) = (self.row + 1, 0);
        }
        let column = self.column;
        let row = self.line();
        let mut letters: Vec<char> = row.chars().collect();
        letters.resize(letters.len().max(column + 1), ' ');
        letters[column] = c;
        *row = letters.into_iter().collect();
        self.column += 1;
    }

    fn line(&mut self) -> &mut String {
        self.rows.resize(self.rows.len().max(self.row + 1), String::new());
        &mut self.rows[self.row]
    }

    /// What can be read; the cursor has to stand at the start of the empty line below.
    pub fn text(&self) -> String {
        let below = self.rows.iter().skip(self.row);
        assert!(self.column == 0 && below.into_iter().all(String::is_empty), "{self:#?}");
        let row = |number| self.rows.get(number).map(String::as_str).unwrap_or_default();
        (0..self.row).map(|number| format!("{}\n", row(number))).collect()
    }
}

#[test]
fn a_screen_is_what_is_left() {
    let text = |raw: &str, columns| Screen::showing(raw, columns).text();
    assert_eq!(text("one\r\ntwo\rTW\r\n", 80), "one\nTWo\n");
    assert_eq!(text("\u{1b}[1;7mbold\u{1b}[0m\r\u{1b}[Kgone\r\n", 80), "gone\n");
    assert_eq!(text("abcdef\r\n", 3), "abc\ndef\n");
    assert_eq!(text("\r\n\r\nab\r\u{1b}[K\r\n", 80), "\n\n\n");
}
