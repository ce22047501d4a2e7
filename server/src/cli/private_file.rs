//! Files that a command makes; those with secrets are readable by their owner only.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Writes a file that only its owner can read, as a whole or not at all; durable on return.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, bytes, Readers::Owner)
}

/// Writes a file in the place of one that may be there, as a whole or not at all; durable on return.
pub(super) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(readers.mode())
        .open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    fs::OpenOptions::new()
        .read(true)
        .open(directory.unwrap_or(Path::new(".")))?
        .sync_all()
}

/// Who may read a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    /// Its owner.
    Owner,
    /// Everybody.
    All,
}

impl Readers {
    fn mode(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::All => 0o644,
        }
    }
}

/// Writes a file that is not there yet; durable on return, but for its name in the directory.
///
/// # Errors
/// When there is a file of this name, which stays as it is, or the disk fails.
pub(super) fn create(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(readers.mode())
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory that only its owner can enter, with those above it, unless it is there.
pub(super) fn create_directory(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the names of the files in a directory durable.
pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::OpenOptions::new().read(true).open(path)?.sync_all()
}
