//! The names of the files in an engine's directory.
//!
//! Invariant: a name and its number determine each other. Not here: what is in the files.

use std::path::{Path, PathBuf};

/// Held locked while an engine has the directory open.
pub(crate) const LOCK: &str = "LOCK";
/// Names the manifest in force.
pub(crate) const CURRENT: &str = "CURRENT";
/// Becomes `CURRENT` by a rename.
pub(crate) const CURRENT_TEMPORARY: &str = "CURRENT.tmp";
/// Becomes the next log segment by a rename.
pub(crate) const LOG_SPARE: &str = "log.spare";

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
        for other in ["CURRENT", "log.spare", "log-1.log", "sst-x.sst", "manifest-"] {
            assert_eq!(FileName::parse(other), None);
        }
    }
}
