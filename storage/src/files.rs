//! The files in an engine's directory: their names, and reading and replacing small ones as a whole.
//!
//! Invariant: a name and its number determine each other. Not here: what is in the files.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::vfs::{File, Vfs};

/// Held locked while an engine has the directory open.
pub(crate) const LOCK: &str = "LOCK";
/// Names the manifest in force.
pub(crate) const CURRENT: &str = "CURRENT";
/// What is being written beside the file that it will replace has this extension.
pub(crate) const TEMPORARY_EXTENSION: &str = "tmp";
/// Holds the wrapped data keys.
pub(crate) const KEYS: &str = "KEYS";
/// So many preallocated files are kept that become log segments by a rename: as many as a flush is likely to free
/// between two changes of segments, so that in the long run every segment is one that was there before.
const LOG_SPARES_MAX: usize = 4;

/// The name of a spare file of the log.
pub(crate) fn log_spare(directory: &Path, slot: usize) -> PathBuf {
    directory.join(format!("log.spare-{slot}"))
}

/// All names that the spare files of the log may have.
pub(crate) fn log_spares(directory: &Path) -> impl Iterator<Item = PathBuf> {
    (0..LOG_SPARES_MAX).map(|slot| log_spare(directory, slot))
}

/// What a file in the directory is, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileName {
    Log(u64),
    Sstable(u64),
    Manifest(u64),
}

impl FileName {
    pub(crate) fn in_directory(self, directory: &Path) -> PathBuf {
        directory.join(self.name())
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Log(number) => format!("log-{number:010}.log"),
            Self::Sstable(number) => format!("sst-{number:010}.sst"),
            Self::Manifest(number) => format!("manifest-{number:010}"),
        }
    }

    /// What `name` stands for, if it is the name of one of the engine's numbered files.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let number = |text: &str| text.parse::<u64>().ok();
        let parsed = if let Some(rest) = name.strip_prefix("log-") {
            Self::Log(number(rest.strip_suffix(".log")?)?)
        } else if let Some(rest) = name.strip_prefix("sst-") {
            Self::Sstable(number(rest.strip_suffix(".sst")?)?)
        } else {
            Self::Manifest(number(name.strip_prefix("manifest-")?)?)
        };
        (parsed.name() == name).then_some(parsed)
    }
}

/// Reads a file whole.
pub(crate) fn read_file(vfs: &dyn Vfs, path: &Path) -> Result<Bytes> {
    let file = vfs.open(path).map_err(Error::io("open", path))?;
    read_open_file(&*file, path)
}

/// Reads an open file whole.
pub(crate) fn read_open_file(file: &dyn File, path: &Path) -> Result<Bytes> {
    let size = file.size().map_err(Error::io("measure", path))?;
    let size = usize::try_from(size).map_err(|_| Error::corruption(path, 0, "the file is too large"))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)
        .map_err(Error::io("read", path))?;
    Ok(Bytes::from(bytes))
}

/// Gives `path` the contents `bytes` in one step: a crash leaves the old contents or the new ones. Durable on return.
pub(crate) fn replace_file(vfs: &dyn Vfs, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension(TEMPORARY_EXTENSION);
    match vfs.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let file = vfs.create(&temporary).map_err(Error::io("create", &temporary))?;
    file.write_all_at(bytes, 0)
        .map_err(Error::io("write", &temporary))?;
    file.sync_data().map_err(Error::io("sync", &temporary))?;
    vfs.rename(&temporary, path)
        .map_err(Error::io("rename", &temporary))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    vfs.sync_dir(directory).map_err(Error::io("sync", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back() {
        for name in [
            FileName::Log(1),
            FileName::Sstable(42),
            FileName::Manifest(u64::MAX),
        ] {
            assert_eq!(FileName::parse(&name.name()), Some(name));
        }
        for other in ["CURRENT", "log.spare-0", "log-1.log", "sst-x.sst", "manifest-"] {
            assert_eq!(FileName::parse(other), None);
        }
    }
}
