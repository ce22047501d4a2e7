//! Bits of a node's files that change, as on a disk that rots.
//!
//! Invariant: one bit a place, of a byte that is there. Not here: what a node makes of it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::{Change, Cluster, Member, Random, Result};

/// Of a hundred places, so many lie in sstables, and so many in the commit log; the rest in any other file.
const IN_SSTABLES: u64 = 60;
const IN_LOGS: u64 = 20;

/// A bit that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The byte.
    pub offset: u64,
}

impl Place {
    /// The name of the file, by which a node speaks of it.
    pub fn name(&self) -> String {
        let name = self.file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Whether it is an sstable's.
    pub fn is_in_sstable(&self) -> bool {
        self.name().starts_with("sst-")
    }

    /// Whether the file is still there.
    pub fn is_there(&self) -> bool {
        self.file.exists()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "byte {} of {}", self.offset, self.name())
    }
}

impl Member {
    /// Changes a bit of one of the node's files, whether it runs or not; `None` if the file that was drawn has gone meanwhile.
    ///
    /// # Errors
    /// When there are no files, or one cannot be changed.
    pub fn rot(&self, random: &mut Random) -> Result<Option<Place>> {
        let mut files = Vec::new();
        add_files(&self.data_dir, &mut files)?;
        files.sort();
        let kind = match random.below(100) {
            drawn if drawn < IN_SSTABLES => "sst-",
            drawn if drawn < IN_SSTABLES + IN_LOGS => "log-",
            _ => "",
        };
        let is_kind = |file: &&PathBuf| {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if kind.is_empty() {
                !name.starts_with("sst-") && !name.starts_with("log-")
            } else {
                name.starts_with(kind)
            }
        };
        let of_kind: Vec<PathBuf> = files.iter().filter(is_kind).cloned().collect();
        let among = if of_kind.is_empty() { &files } else { &of_kind };
        let file = random.pick(among).ok_or("the node has no files")?.clone();
        let Ok(opened) = OpenOptions::new().read(true).write(true).open(&file) else {
            return Ok(None);
        };
        let offset = random.below(opened.metadata()?.len().max(1));
        let mut byte = [0];
        opened.read_exact_at(&mut byte, offset)?;
        let [byte] = byte;
        opened.write_all_at(&[byte ^ (1 << random.below(8))], offset)?;
        Ok(Some(Place { file, offset }))
    }
}

/// The files of a directory that have any bytes.
fn add_files(directory: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        // A file may go between two looks.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            add_files(&entry.path(), files)?;
        } else if metadata.len() > 0 {
            files.push(entry.path());
        }
    }
    Ok(())
}

impl Cluster {
    /// Has all replicas compared and all files checked, and waits until they are: `stator repair`.
    ///
    /// # Errors
    /// When no node runs, or the command cannot be started.
    pub fn repair(&self) -> Result<Change> {
        self.command("repair", &[])
    }
}
