//! Whole files, read with bounds and written atomically: a temporary file in the same directory
//! with the right mode from the start, fsync, rename. Nothing else in the program writes a file.

#[cfg(unix)]
mod pipe;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

/// Reads a text of at most `limit` bytes.
///
/// # Errors
/// The file system's, or `InvalidData` for a longer file and for text that is not UTF-8.
pub(crate) fn read_text(path: &Path, limit: u64) -> io::Result<String> {
    let bytes = read_bytes(path, limit)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// The bytes of the file, or of the pipe, at `path`.
///
/// # Errors
/// The file system's, `InvalidData` for a longer file, `TimedOut` for a pipe that somebody holds and
/// does not write to.
pub(crate) fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    #[cfg(unix)]
    if pipe::is_pipe(&file) {
        return bounded(pipe::read(&file, limit)?, limit);
    }
    read_bounded(file, limit)
}

/// Whether the file at `path` holds exactly `bytes`; read piece by piece.
///
/// # Errors
/// The file system's.
pub(crate) fn holds(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let (mut piece, mut rest) = (vec![0; 64 * 1024], bytes);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(rest.is_empty()),
            length => match piece.get(..length).and_then(|piece| rest.strip_prefix(piece)) {
                Some(behind) => rest = behind,
                None => return Ok(false),
            },
        }
    }
}

/// Whether `path` is a pipe, which can be read once.
pub(crate) fn is_pipe(path: &Path) -> bool {
    #[cfg(unix)]
    return path.metadata().is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_fifo(&found.file_type()));
    #[cfg(not(unix))]
    return path.metadata().is_ok_and(|found| !found.is_file());
}

#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    pipe::open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

fn bounded(bytes: Vec<u8>, limit: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads at most `limit` bytes of `file`.
///
/// # Errors
/// The file system's, or `InvalidData` for a longer file.
pub(crate) fn read_bounded(file: File, limit: u64) -> io::Result<Vec<u8>> {
    // The size is a hint that saves the warm path half a dozen reads; the bound is what counts.
    let expected = file.metadata().map_or(0, |found| found.len()).min(limit) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
    file.take(limit + 1).read_to_end(&mut bytes)?;
    bounded(bytes, limit)
}

/// Replaces `path` by a file of `bytes`: readers see the old or the new content, never a part.
///
/// An existing file keeps its mode and owner; a new one gets 0600. `path` must not be a symlink
/// (resolve it first): the link itself would be replaced.
///
/// # Errors
/// The file system's; the old file is then as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = temporary_beside(path)?;
    keep_mode_and_owner(path, file.as_file())?;
    put(file, path, bytes)
}

/// Like [`replace`], but the file is ours and 0600 afterwards, whatever stood there before.
///
/// # Errors
/// The file system's; the old file is then as it was.
pub(crate) fn replace_privately(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(temporary_beside(path)?, path, bytes)
}

fn put(mut file: tempfile::NamedTempFile, path: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    sync_directory(path);
    Ok(())
}

/// Creates `path` with `bytes` and mode 0600, unless it exists.
///
/// # Errors
/// `AlreadyExists`, or the file system's.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put_new(temporary_beside(path)?, path, bytes).map(drop)
}

/// Like `create`, for a file that shows by an advisory lock whether its creator lives: nobody sees the
/// file without that lock until the one returned is dropped or the process ends.
///
/// # Errors
/// `AlreadyExists`, or the file system's.
pub fn create_locked(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let file = temporary_beside(path)?;
    // Some file systems have no such locks; the file exists all the same.
    let _ = file.as_file().try_lock();
    put_new(file, path, bytes)
}

fn put_new(mut file: tempfile::NamedTempFile, path: &Path, bytes: &[u8]) -> io::Result<File> {
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    let file = file.persist_noclobber(path)?;
    sync_directory(path);
    Ok(file)
}

/// Creates a directory and its parents; those that are new get mode 0700.
///
/// # Errors
/// The file system's.
pub(crate) fn create_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// The permissions of the file at `path`, such as 0644, if others than its owner may read or write it.
#[cfg(unix)]
pub(crate) fn open_to_others(path: &Path) -> Option<u32> {
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).ok()?) & 0o777;
    (mode & 0o066 != 0).then_some(mode)
}

/// Elsewhere a file's mode says nothing of others.
#[cfg(not(unix))]
pub fn open_to_others(_: &Path) -> Option<u32> {
    None
}

/// Opens a lock file, creating it with mode 0600. Its content has no meaning.
///
/// # Errors
/// The file system's; a symlink is refused.
pub fn open_lock_file(path: &Path) -> io::Result<File> {
    lock_file_options().create(true).open(path)
}

/// Opens a lock file that exists.
///
/// # Errors
/// The file system's; a symlink is refused.
pub(crate) fn open_existing_lock_file(path: &Path) -> io::Result<File> {
    lock_file_options().open(path)
}

/// For writing, because NFS makes of an exclusive lock one that asks for that.
fn lock_file_options() -> fs::OpenOptions {
    let mut options = itself();
    options.write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Opens the file at `path` itself for reading, wherever a link in its place would lead.
///
/// # Errors
/// The file system's, or `InvalidData` for a symbolic link.
pub(crate) fn open_itself(path: &Path) -> io::Result<File> {
    match itself().open(path) {
        Err(_) if path.is_symlink() => Err(io::Error::new(io::ErrorKind::InvalidData, "it is a symbolic link")),
        opened => opened,
    }
}

/// To open a file and no link to it; a pipe in its place does not hold us up.
fn itself() -> fs::OpenOptions {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, flags.bits().cast_signed());
    }
    options
}

/// Whether `path` still names the file that was opened.
#[cfg(unix)]
pub(crate) fn is_still(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(named), Ok(opened)) = (fs::symlink_metadata(path), file.metadata()) else { return false };
    (named.dev(), named.ino()) == (opened.dev(), opened.ino())
}

/// Elsewhere std does not tell one file from another.
#[cfg(not(unix))]
pub fn is_still(path: &Path, _: &File) -> bool {
    path.exists()
}

/// Whether a write failed for want of space.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// tempfile makes them 0600.
fn temporary_beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let directory = directory_of(path);
    let file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX).tempfile_in(directory)?;
    sweep(directory, file.as_file());
    Ok(file)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Removes what killed processes have left: temporary files that are much older than `fresh`.
fn sweep(directory: &Path, fresh: &File) {
    let (Ok(entries), Ok(now)) = (fs::read_dir(directory), fresh.metadata().and_then(|found| found.modified())) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let ours =
            is_temporary(&entry.file_name().to_string_lossy()) && entry.file_type().is_ok_and(|kind| kind.is_file());
        let age = || now.duration_since(entry.metadata().ok()?.modified().ok()?).ok();
        if ours && age().is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// No writing takes as long.
const ABANDONED: Duration = Duration::from_secs(600);

const TEMPORARY_PREFIX: &str = ".kubentra-";
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Whether a file of this name is a temporary one of ours: prefix, six random letters, suffix.
pub fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY_PREFIX).and_then(|rest| rest.strip_suffix(TEMPORARY_SUFFIX));
    random.is_some_and(|random| random.len() == 6 && random.chars().all(|c| c.is_ascii_alphanumeric()))
}

#[cfg(unix)]
fn keep_mode_and_owner(path: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Ok(old) = fs::metadata(path) else { return Ok(()) };
    let fresh = new.metadata()?;
    if (old.uid(), old.gid()) != (fresh.uid(), fresh.gid()) {
        // As root the file stays its owner's; without the right to give it away it becomes ours,
        // which is what any editor that renames does.
        let _ = std::os::unix::fs::fchown(new, Some(old.uid()), Some(old.gid()));
    }
    new.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn keep_mode_and_owner(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

/// Makes the rename itself durable. Some file systems do not allow it; the content is safe anyway.
#[cfg(unix)]
fn sync_directory(path: &Path) {
    let _ = File::open(directory_of(path)).and_then(|directory| directory.sync_all());
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_what_was_written_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let long = vec![b'x'; 200_000];
        create(&path, &long).unwrap();
        let longer = [&long[..], b"x"].concat();
        let other = [&long[..199_999], b"y"].concat();
        let found = [&long[..], &long[1..], &longer, &other, b""].map(|bytes| holds(&path, bytes).unwrap());
        assert_eq!(found, [true, false, false, false, false]);
    }

    #[test]
    #[cfg(unix)]
    fn replacing_keeps_the_mode_and_new_files_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        replace(&path, b"one").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!((mode(), fs::read(&path).unwrap().as_slice()), (0o640, &b"two"[..]));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_after_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let [old, young, notes] =
            [".kubentra-0ldOne.tmp", ".kubentra-y0ungO.tmp", ".kubentra-notes"].map(|name| directory.path().join(name));
        for path in [&old, &young, &notes] {
            create(path, b"secret").unwrap();
        }
        for path in [&old, &notes] {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(file.metadata().unwrap().modified().unwrap() - 2 * ABANDONED).unwrap();
        }
        replace(&directory.path().join("f"), b"one").unwrap();
        assert!(!old.exists() && young.exists() && notes.exists());
    }

    #[test]
    fn create_does_not_overwrite() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        create(&path, b"one").unwrap();
        assert_eq!(create(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
    }

    #[test]
    fn a_file_that_is_created_locked_is_so_until_its_creator_goes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        let created = create_locked(&path, b"one").unwrap();
        let other = open_existing_lock_file(&path).unwrap();
        assert!(matches!(other.try_lock(), Err(fs::TryLockError::WouldBlock)));
        assert_eq!(create_locked(&path, b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        drop(created);
        other.try_lock().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn reading_is_bounded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::copy("Cargo.toml", file.path()).unwrap();
        assert!(read_text(file.path(), 10).unwrap_err().to_string().contains("larger than 10 bytes"));
    }
}
