//! The answer by hand, from a browser on another machine: its address bar holds it.

use super::authorization_response::{AuthorizationResponse, OAuthState, RejectedRequest};
use crate::secret::Secret;
use hyper::StatusCode;

pub(super) use terminal::Input;

/// No address with an answer is longer.
#[cfg(unix)]
const LONGEST: usize = 32 * 1024;
/// No code is shorter.
const SHORTEST_CODE: usize = 20;

/// The answer in a line that somebody has pasted: an address, its query, or the code alone. The code
/// alone has no state; the verifier still ties it to this sign-in.
///
/// # Errors
/// It is none.
pub(super) fn read(state: &OAuthState, line: &Secret) -> Result<AuthorizationResponse, RejectedRequest> {
    // What some terminals put around a paste (bracketed paste).
    let plain = Secret::new(line.expose().replace("\u{1b}[200~", "").replace("\u{1b}[201~", ""));
    let text = plain.expose().trim().trim_matches(['"', '\'', '<', '>']);
    if text.is_empty() {
        return Err(RejectedRequest::new(StatusCode::BAD_REQUEST, "nothing was pasted"));
    }
    let (before, fragment) = text.split_once('#').unwrap_or((text, ""));
    let query = before.split_once('?').map(|(_, query)| query);
    let is_code = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '*' | '!' | '$');
    match query {
        Some(query) => state.judge(query.as_bytes()),
        None if text.contains('=') => state.judge(if fragment.is_empty() { before } else { fragment }.as_bytes()),
        None if text.len() >= SHORTEST_CODE && text.chars().all(is_code) => {
            Ok(AuthorizationResponse::Code(Secret::new(text)))
        }
        None => {
            Err(RejectedRequest::new(StatusCode::BAD_REQUEST, "it is neither an address with an answer nor a code"))
        }
    }
}

#[cfg(unix)]
mod terminal {
    use std::fs::File;
    use std::io::{ErrorKind, IsTerminal, Read};
    use std::sync::Arc;

    use rustix::process::{Signal as Signals, getpgrp};
    use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetpgrp, tcsetattr};

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::LONGEST;
    use crate::secret::Secret;

    /// A key that does nothing (`_POSIX_VDISABLE`).
    const NO_KEY: u8 = if cfg!(any(target_os = "linux", target_os = "android")) { 0 } else { 0xff };

    /// The terminal that we run in, while it takes an address. Line by line it would take 4096 bytes
    /// (1024 on macOS) and lose the rest, so it is read byte by byte, and shows nothing: the address
    /// holds a code. It is as before once this is dropped.
    pub(in super::super) struct Input {
        terminal: Arc<File>,
        before: Termios,
        /// While it takes an address.
        modes: Termios,
        /// Whoever has stopped us, or the shell, has set its own modes.
        continued: Signal,
    }

    impl Input {
        /// The terminal, if there is one, if what we say is seen there, and if it listens to us rather
        /// than to a program in its foreground or to one that reads single keys, such as k9s.
        ///
        /// Ctrl-Z does nothing meanwhile: stopped, we could not give the terminal back as it was.
        pub(in super::super) fn open() -> Option<Self> {
            let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
            if !std::io::stderr().is_terminal() || !is_ours(&terminal) {
                return None;
            }
            let before = tcgetattr(&terminal).ok()?;
            if !before.local_modes.contains(LocalModes::ICANON) {
                return None;
            }
            let continued = signal(SignalKind::from_raw(Signals::CONT.as_raw())).ok()?;
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ECHONL;
            modes.special_codes[SpecialCodeIndex::VMIN] = 1;
            modes.special_codes[SpecialCodeIndex::VTIME] = 0;
            modes.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
            tcsetattr(&terminal, OptionalActions::Flush, &modes).ok()?;
            Some(Self { terminal: Arc::new(terminal), before, modes, continued })
        }

        /// The next line. A thread reads it, which nobody waits for in the end; without a terminal any
        /// more there is no next one.
        pub(in super::super) async fn line(&mut self) -> Secret {
            let terminal = self.terminal.clone();
            let mut line = tokio::task::spawn_blocking(move || read_line(&terminal));
            loop {
                tokio::select! {
                    line = &mut line => match line {
                        Ok(Some(line)) => return line,
                        _ => return std::future::pending().await,
                    },
                    Some(()) = self.continued.recv() => self.set(&self.modes),
                }
            }
        }

        /// From the background the system would stop us for it, and the shell has its own modes by then.
        fn set(&self, modes: &Termios) {
            if is_ours(&self.terminal) {
                let _ = tcsetattr(&*self.terminal, OptionalActions::Now, modes);
            }
        }
    }

    impl Drop for Input {
        fn drop(&mut self) {
            self.set(&self.before);
        }
    }

    fn is_ours(terminal: &File) -> bool {
        tcgetpgrp(terminal).is_ok_and(|foreground| foreground == getpgrp())
    }

    fn read_line(mut terminal: &File) -> Option<Secret> {
        let mut line = zeroize::Zeroizing::new(Vec::with_capacity(LONGEST));
        let mut bytes = zeroize::Zeroizing::new([0; 4096]);
        loop {
            let count = match terminal.read(&mut bytes[..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                read => read.ok().filter(|count| *count > 0)?,
            };
            for byte in &bytes[..count] {
                if edit(&mut line, *byte) {
                    return Some(Secret::new(String::from_utf8_lossy(&line)));
                }
            }
        }
    }

    /// What the terminal itself would do with a key: erase a byte, the line, or end it. Ctrl-Z and what is
    /// too much are dropped.
    pub(super) fn edit(line: &mut Vec<u8>, byte: u8) -> bool {
        const ERASE_LINE: u8 = 0x15;
        const SUSPEND: u8 = 0x1a;
        match byte {
            b'\n' | b'\r' => return true,
            0x08 | 0x7f => drop(line.pop()),
            ERASE_LINE => line.clear(),
            SUSPEND => {}
            byte if line.len() < LONGEST => line.push(byte),
            _ => {}
        }
        false
    }
}

#[cfg(not(unix))]
mod terminal {
    use crate::secret::Secret;

    /// On Windows there is always a browser.
    pub(in super::super) enum Input {}

    impl Input {
        pub(in super::super) fn open() -> Option<Self> {
            None
        }

        pub(in super::super) async fn line(&mut self) -> Secret {
            match *self {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(line: &str) -> Result<String, &'static str> {
        let state = OAuthState::of("right");
        match read(&state, &Secret::new(line)) {
            Ok(AuthorizationResponse::Code(code)) => Ok(code.expose().to_owned()),
            Ok(AuthorizationResponse::Refused(refusal)) => Ok(format!("refused: {}", refusal.error)),
            Err(ignored) => Err(ignored.why),
        }
    }

    #[test]
    fn whatever_the_address_bar_gives() {
        for line in [
            "http://localhost:1234/?code=c%2Fd&state=right&session_state=x",
            "  'http://localhost:1234?state=right&code=c/d#'  ",
            "localhost:1234/path?code=c/d&state=right",
            "\u{1b}[200~http://localhost:1234/?code=c/d&state=right\u{1b}[201~",
            "?code=c/d&state=right",
            "code=c%2Fd&state=right",
            "http://localhost:1234/#code=c%2Fd&state=right",
        ] {
            assert_eq!(taken(line).as_deref(), Ok("c/d"), "{line}");
        }
        assert_eq!(taken("1.AXYAq0-_code.of.some.length").as_deref(), Ok("1.AXYAq0-_code.of.some.length"));
        assert_eq!(taken("http://localhost/?error=access_denied&state=right").as_deref(), Ok("refused: access_denied"));
    }

    #[test]
    fn whatever_else_is_pasted() {
        for (line, why) in [
            ("", "nothing was pasted"),
            ("   ", "nothing was pasted"),
            ("yes", "it is neither an address with an answer nor a code"),
            ("kubectl get pods --all-namespaces", "it is neither an address with an answer nor a code"),
            ("http://localhost:1234/?code=c&state=wrong", "it belongs to another sign-in"),
            ("http://localhost:1234/?code=c", "it is no answer to a sign-in"),
            ("https://login.example/authorize?client_id=x&state=right", "it holds neither a code nor an error"),
        ] {
            assert_eq!(taken(line), Err(why), "{line}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn keys_edit_the_line() {
        let mut line = Vec::new();
        let ended: Vec<bool> = b"x\x15ab\x7f\x1ac\n".iter().map(|byte| terminal::edit(&mut line, *byte)).collect();
        assert_eq!((line.as_slice(), ended.last()), (&b"ac"[..], Some(&true)));
        let mut full = vec![b'a'; LONGEST];
        terminal::edit(&mut full, b'b');
        assert_eq!(full.len(), LONGEST);
    }
}
