//! The door through which tests break a node from inside: a disk that refuses, a wall clock that is wrong.
//!
//! Invariant: there is no door but in a build with the cargo feature `fault-injection`, which no default has (`cargo xtask
//! tidy` sees to it), and it stays shut unless the environment names a file. That file says in TOML what is broken, and is
//! read at every operation of the disk and every look at the clock, so that what it says holds from the next one on, and
//! through restarts, as a full disk does. A file that is not there breaks nothing. Not here: who writes it.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::Deserialize;
use stator_cluster::disk_fault::{Fault, FaultVfs, Operation, Refuse};
use stator_cluster::{Task, Vfs, Work, World};

/// Names the file.
const VARIABLE: &str = "STATOR_FAULTS";

/// Beside the file: made when the process begins to look at it, so that whoever breaks something knows that it will break.
const OPEN: &str = "open";

/// What a disk answers instead of doing what it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Eio,
    Enospc,
}

/// What is broken.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Broken {
    /// Whatever needs space that a file does not have yet.
    allocate: Option<Answer>,
    /// Every write.
    write: Option<Answer>,
    /// Every sync.
    sync: Option<Answer>,
    /// What the wall clock shows too much, in milliseconds.
    clock_offset_ms: i64,
}

/// Where the file is, if there is to be one.
fn file() -> Option<&'static Path> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os(VARIABLE).map(PathBuf::from);
    FILE.get_or_init(named).as_deref()
}

/// What a file says; one that cannot be understood ends the process, so that no test takes it for a healthy one.
fn read(file: &Path) -> Broken {
    let text = match std::fs::read_to_string(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Broken::default(),
        text => text.map_err(|error| error.to_string()),
    };
    let read = text.and_then(|text| toml::from_str(&text).map_err(|error| error.to_string()));
    read.unwrap_or_else(|error| {
        tracing::error!(file = %file.display(), %error, "what is to be broken cannot be understood");
        std::process::abort()
    })
}

/// What the wall clock shows too much, in milliseconds.
pub(crate) fn clock_offset_ms() -> i64 {
    file().map_or(0, |file| read(file).clock_offset_ms)
}

/// A disk that refuses what the file says.
pub(crate) fn disk(disk: Arc<dyn Vfs>) -> Arc<dyn Vfs> {
    let Some(file) = file() else { return disk };
    let opened = std::fs::write(file.with_extension(OPEN), std::process::id().to_string());
    if let Err(error) = opened {
        tracing::error!(file = %file.display(), %error, "the door for faults cannot be opened");
        std::process::abort();
    }
    Arc::new(FaultVfs::asking(disk, Arc::new(Asked(file.to_owned()))))
}

/// A world whose wall clock is wrong by what the file says.
pub(crate) fn world(world: Arc<dyn World>) -> Arc<dyn World> {
    if file().is_none() {
        return world;
    }
    Arc::new(Skewed(world))
}

#[derive(Debug)]
struct Asked(PathBuf);

impl Refuse for Asked {
    fn refuse(&self, operation: Operation) -> Option<Fault> {
        let answer = match operation {
            Operation::Allocate => read(&self.0).allocate,
            Operation::Write => read(&self.0).write,
            Operation::Sync => read(&self.0).sync,
            Operation::Read | Operation::Open | Operation::Name => None,
        };
        answer.map(|answer| match answer {
            Answer::Eio => Fault::Eio,
            Answer::Enospc => Fault::Enospc,
        })
    }
}

#[derive(Debug)]
struct Skewed(Arc<dyn World>);

impl World for Skewed {
    fn now(&self) -> Duration {
        self.0.now()
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms().saturating_add_signed(clock_offset_ms())
    }

    fn random_u64(&self) -> u64 {
        self.0.random_u64()
    }

    fn sleep(&self, duration: Duration) -> Task {
        self.0.sleep(duration)
    }

    fn spawn(&self, task: Task) {
        self.0.spawn(task);
    }

    fn aside(&self, work: Work) {
        self.0.aside(work);
    }
}

#[cfg(test)]
mod tests {
    use stator_cluster::PosixVfs;

    use super::*;

    #[test]
    fn what_the_file_says_holds_from_the_next_operation_on() {
        let directory = tempfile::tempdir().unwrap();
        let faults = directory.path().join("faults.toml");
        let disk = FaultVfs::asking(Arc::new(PosixVfs), Arc::new(Asked(faults.clone())));
        let file = disk.create(&directory.path().join("a")).unwrap();
        file.write_all_at(b"a", 0).unwrap();
        file.sync_data().unwrap();
        std::fs::write(&faults, "allocate = \"enospc\"\nsync = \"eio\"").unwrap();
        file.write_all_at(b"b", 0).unwrap();
        let full = file.write_all_at(b"c", 1).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(5));
        std::fs::remove_file(&faults).unwrap();
        file.write_all_at(b"c", 1).unwrap();
        file.sync_data().unwrap();
    }

    #[test]
    fn a_file_says_what_is_broken_and_nothing_else() {
        let broken: Broken = toml::from_str("clock_offset_ms = -60000\nwrite = \"enospc\"").unwrap();
        assert_eq!(
            (broken.clock_offset_ms, broken.write),
            (-60_000, Some(Answer::Enospc))
        );
        assert!(toml::from_str::<Broken>("wriet = \"enospc\"").is_err());
        assert_eq!(toml::from_str::<Broken>("").unwrap(), Broken::default());
    }
}
