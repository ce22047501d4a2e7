//! The errors of the engine.
//!
//! Invariant: every message names what failed and says what to do next; a variant exists only where a caller acts
//! differently on it. Not here: the mapping of these errors to the API (that is the server's).

use std::io;
use std::path::{Path, PathBuf};

use crate::crypto::MasterKeyId;
use crate::entry::KeyspaceId;

/// The result of every fallible call of the engine.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes on disk do not say what they must say. The engine never guesses past them.
    #[error(
        "{} is corrupt at offset {offset}: {detail}; restore this directory from a backup or from a replica, \
         and check the disk it lies on",
        file.display()
    )]
    Corruption {
        /// The file that holds the bad bytes.
        file: PathBuf,
        /// Where in the file they begin, in bytes.
        offset: u64,
        /// What was expected there.
        detail: String,
    },

    /// The operating system refused an operation on a file.
    #[error("cannot {operation} {}: {source}; check the disk, its free space and the permissions", path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `sync`, `rename`.
        operation: &'static str,
        /// The file or directory it was attempted on.
        path: PathBuf,
        /// The answer of the operating system.
        source: io::Error,
    },

    /// A write or a sync failed earlier. What the disk holds is not known any more, so that nothing is read, written
    /// or acknowledged until the process has been started again and has recovered from the log.
    #[error("the engine stopped after a failure ({cause}); mend the cause and start the process again")]
    Poisoned {
        /// The message of the first failure.
        cause: String,
    },

    /// Another process (or another engine of this one) has the directory open.
    #[error("{} is in use by another process; stop that process or choose another data directory", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },

    /// A file was written in a format that this version does not read.
    #[error(
        "{} has format version {found}, this version of the engine reads version {supported}; \
         open the directory with the version that wrote it",
        file.display()
    )]
    UnsupportedFormat {
        /// The file in question.
        file: PathBuf,
        /// The version its header names.
        found: u32,
        /// The version this code reads.
        supported: u32,
    },

    /// The directory's data keys are wrapped by a master key that was not given.
    #[error(
        "{} is encrypted with the master key {wanted}, but given were {}; start with that key",
        file.display(),
        listed(given)
    )]
    WrongMasterKey {
        /// The key ring.
        file: PathBuf,
        /// The key it asks for.
        wanted: MasterKeyId,
        /// The keys that were given.
        given: Vec<MasterKeyId>,
    },

    /// The keyspace does not exist, or has been dropped.
    #[error("keyspace {id} does not exist or has been dropped; look it up again by its name")]
    NoSuchKeyspace {
        /// The identity that was asked for.
        id: KeyspaceId,
    },

    /// A keyspace with this name exists.
    #[error("keyspace {name:?} exists; drop it first or choose another name")]
    KeyspaceExists {
        /// The name in question.
        name: String,
    },

    /// An argument or a setting is out of its range.
    #[error("{what}: {detail}")]
    Invalid {
        /// The argument or setting.
        what: &'static str,
        /// The range it must lie in.
        detail: String,
    },

    /// The engine was closed.
    #[error("the engine is closed; open it again")]
    Closed,
}

fn listed(ids: &[MasterKeyId]) -> String {
    let ids: Vec<String> = ids.iter().map(MasterKeyId::to_string).collect();
    ids.join(", ")
}

impl Error {
    /// Wraps an error of the operating system with the operation and the path it belongs to.
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }

    /// A call that waits was made while the engine is at work, on which it would wait for ever.
    pub(crate) fn within_another_call() -> Self {
        Self::Invalid {
            what: "call of an engine without threads",
            detail:
                "waits for what another call is doing; make it outside of completions, and one call at a time"
                    .to_owned(),
        }
    }

    /// Bad bytes in `file` at `offset`.
    pub(crate) fn corruption(file: &Path, offset: u64, detail: impl Into<String>) -> Self {
        Self::Corruption {
            file: file.to_path_buf(),
            offset,
            detail: detail.into(),
        }
    }
}
