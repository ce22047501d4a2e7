//! The files of the audit log: appending, syncing, replacing by size.
//!
//! Invariant: a line is in one file whole, or in none; what a crash has cut is closed by a newline and stays. Errors are told
//! once in the node's log, and again when they change or end; they never reach a request. Not here: queue and thread.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::AuditSettings;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    bytes_max: u64,
    kept: u32,
    /// `None` after a failure, until it can be opened again.
    open: Option<Open>,
    synced: bool,
    synced_ms: i64,
    /// The failure that was told last.
    told: String,
}

#[derive(Debug)]
struct Open {
    file: File,
    bytes: u64,
}

impl Writer {
    /// Opens the file, and makes it and its directory if they are not there.
    ///
    /// # Errors
    /// When that is refused.
    pub(super) fn open(settings: &AuditSettings) -> io::Result<Self> {
        Ok(Self {
            path: settings.file.clone(),
            bytes_max: settings.file_bytes_max,
            kept: settings.files_kept,
            open: Some(Open::new(&settings.file)?),
            synced: true,
            synced_ms: 0,
            told: String::new(),
        })
    }

    /// Whether everything that was written is synced, as far as it is to be.
    pub(super) fn is_synced(&self) -> bool {
        self.synced
    }

    /// Appends a line; `false` if it is lost.
    pub(super) fn write(&mut self, line: &[u8]) -> bool {
        let result = self.try_write(line);
        let is_written = result.is_ok();
        self.tell(result);
        is_written
    }

    fn try_write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if let Some(open) = &self.open
            && open.bytes > 0
            && open.bytes + length > self.bytes_max
        {
            self.replace()?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            none => none.insert(Open::new(&self.path)?),
        };
        if let Err(error) = open.file.write_all(line) {
            // Best effort: what cannot be cut off is closed by a newline when the file is opened again.
            drop(open.file.set_len(open.bytes));
            self.open = None;
            return Err(error);
        }
        open.bytes += length;
        self.synced = false;
        Ok(())
    }

    /// Moves all files one on, and the oldest away.
    fn replace(&mut self) -> io::Result<()> {
        if let Some(open) = self.open.take() {
            open.file.sync_data()?;
        }
        let numbered = |number: u32| match number {
            0 => self.path.clone(),
            number => {
                let mut name = self.path.clone().into_os_string();
                name.push(format!(".{number}"));
                PathBuf::from(name)
            }
        };
        if self.kept == 0 {
            fs::remove_file(&self.path)?;
        }
        for number in (0..self.kept).rev() {
            match fs::rename(numbered(number), numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// Syncs what was written.
    pub(super) fn sync(&mut self, now_ms: i64) {
        self.synced_ms = now_ms;
        if std::mem::replace(&mut self.synced, true) {
            return;
        }
        if let Some(open) = &self.open {
            let result = open.file.sync_data();
            self.tell(result);
        }
    }

    /// Syncs what was written if that was not done for so long, in milliseconds.
    pub(super) fn sync_after(&mut self, now_ms: i64, interval_ms: u64) {
        let passed = now_ms.saturating_sub(self.synced_ms);
        // A clock that was set back does not keep lines from being synced.
        if u64::try_from(passed).is_ok_and(|passed| passed < interval_ms) {
            return;
        }
        self.sync(now_ms);
    }

    /// Leaves syncing to the operating system.
    pub(super) fn forget_sync(&mut self) {
        self.synced = true;
    }

    fn tell(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) if self.told.is_empty() => {}
            Ok(()) => {
                tracing::info!(file = %self.path.display(), "the audit log is written again");
                self.told.clear();
            }
            Err(error) => {
                let text = error.to_string();
                if text != self.told {
                    tracing::error!(%error, file = %self.path.display(), "lines of the audit log are lost");
                    self.told = text;
                }
            }
        }
    }
}

impl Open {
    fn new(path: &Path) -> io::Result<Self> {
        if let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let mut bytes = file.metadata()?.len();
        if bytes > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                file.write_all(b"\n")?;
                bytes += 1;
            }
        }
        Ok(Self { file, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::AuditSync;

    #[test]
    fn a_line_that_was_cut_is_closed_before_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("audit.jsonl");
        fs::write(&file, "{\"cut").unwrap();
        let settings = AuditSettings {
            file: file.clone(),
            data_events: false,
            item_data: false,
            file_bytes_max: 4096,
            files_kept: 0,
            sync: AuditSync::Never,
            sync_interval_ms: 1,
            queue_bytes_max: 4096,
        };
        let mut writer = Writer::open(&settings).unwrap();
        assert!(writer.write(b"{}\n") && !writer.is_synced());
        writer.sync(0);
        assert!(writer.is_synced());
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"cut\n{}\n");
        // Nothing is kept of a file that is replaced.
        assert!(writer.write(&[b'x'; 4095]));
        assert_eq!(fs::read(&file).unwrap(), [b'x'; 4095]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
