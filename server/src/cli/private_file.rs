//! Files with secrets: readable by their owner only.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file that only its owner can read, as a whole or not at all; durable on return.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("tmp");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
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
