//! A file may be a pipe: `--client-certificate <(command)`. Whoever writes it may be slow, or may not
//! be there at all; nobody waits for that without end.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long the next bytes, or the first writer, may take to come.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// Opens `path`; a pipe that nobody has opened for writing does not hold us up.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Whether `file` is a pipe.
pub(super) fn is_pipe(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.file_type().is_fifo())
}

/// Reads a pipe to its end, but not much further than `limit`.
pub(super) fn read(mut pipe: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let mut part = zeroize::Zeroizing::new([0; 4096]);
    while bytes.len() as u64 <= limit {
        match pipe.read(&mut *part) {
            // Nothing at all means that nobody has opened it for writing yet.
            Ok(0) if bytes.is_empty() && wait(pipe)?.contains(PollFlags::IN) => {}
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if wait(pipe)?.is_empty() {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "it is a pipe, and nothing came for 5 s"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(std::mem::take(&mut *bytes))
}

/// What happens to `pipe` in a while: bytes come, or its writers go; nothing, if neither does.
fn wait(pipe: &File) -> io::Result<PollFlags> {
    let mut asked = [PollFd::new(pipe, PollFlags::IN)];
    poll(&mut asked, Some(&PATIENCE))?;
    Ok(asked[0].revents())
}

#[cfg(test)]
mod tests {
    use super::super::read_text;

    #[test]
    fn a_pipe_is_read_to_its_end_and_nobody_is_waited_for_forever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                use std::io::Write;
                let mut pipe = std::fs::File::options().write(true).open(path).unwrap();
                pipe.write_all(&vec![b'x'; 100_000]).unwrap();
            }
        });
        // The writer opens the pipe before or after us; both are fine.
        assert_eq!(read_text(&path, 200_000).unwrap().len(), 100_000);
        writer.join().unwrap();
        assert_eq!(read_text(&path, 200_000).unwrap(), "", "without a writer it is empty, after a while");
    }
}
