//! The door through which a node is broken from inside: the file that a `stator` with the feature `fault-injection` looks at
//! before it writes, syncs, or tells the time (`server/src/fault_injection.rs`).
//!
//! Invariant: what the file says is whole at every moment. It stays through restarts, as the state of a disk does.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

/// Names the file to the node.
const VARIABLE: &str = "STATOR_FAULTS";

/// What is broken in a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inside {
    /// There is no room on the disk: nothing gets space that it does not have.
    pub is_full: bool,
    /// The disk takes no writes at all for want of room, as disks do that copy on writing.
    pub takes_nothing: bool,
    /// Every sync fails.
    pub cannot_sync: bool,
    /// What the wall clock shows too much, in milliseconds.
    pub clock_offset_ms: i64,
}

/// See the head of the file.
#[derive(Debug, Clone)]
pub struct Door(PathBuf);

impl Door {
    /// The door of the node with this configuration.
    pub(crate) fn beside(config: &Path) -> Self {
        Self(config.with_file_name("faults.toml"))
    }

    pub(crate) fn name_to(&self, command: &mut Command) {
        command.env(VARIABLE, &self.0);
    }

    /// Holds that a process looks at it.
    pub(crate) fn is_open_to(&self, process: u32) -> Result<()> {
        let opened = fs::read_to_string(self.0.with_extension("open")).unwrap_or_default();
        if opened == process.to_string() {
            Ok(())
        } else {
            Err("this stator cannot be broken from inside: build it with `--features fault-injection`".into())
        }
    }

    /// Breaks this and nothing else; holds for the node's next operation.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&self, inside: Inside) -> Result<()> {
        let new = self.0.with_extension("new");
        fs::write(&new, inside.to_toml())?;
        Ok(fs::rename(new, &self.0)?)
    }
}

impl Inside {
    fn to_toml(self) -> String {
        let mut text = format!("clock_offset_ms = {}\n", self.clock_offset_ms);
        for (is_broken, line) in [
            (self.is_full, "allocate = \"enospc\"\n"),
            (self.takes_nothing, "write = \"enospc\"\n"),
            (self.cannot_sync, "sync = \"eio\"\n"),
        ] {
            if is_broken {
                text.push_str(line);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_is_said_and_nothing_else() {
        let inside = Inside {
            cannot_sync: true,
            clock_offset_ms: -5,
            ..Inside::default()
        };
        assert_eq!(inside.to_toml(), "clock_offset_ms = -5\nsync = \"eio\"\n");
        let directory = tempfile::tempdir().unwrap();
        let door = Door::beside(&directory.path().join("stator.toml"));
        door.set(inside).unwrap();
        assert!(door.0.exists() && door.is_open_to(1).is_err());
        fs::write(directory.path().join("faults.open"), "1").unwrap();
        door.is_open_to(1).unwrap();
    }
}
