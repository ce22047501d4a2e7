//! What can be wrong with an archive.

use std::io;

/// Why something could not be written to an archive, or read from it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place does not do what it is asked.
    #[error("{name}: {source}")]
    Store {
        /// The object, by its name in the archive.
        name: String,
        /// What the place says.
        source: io::Error,
    },
    /// An object that a manifest or the archive itself needs is not there.
    #[error("{name} is missing from the archive")]
    Missing {
        /// Its name in the archive.
        name: String,
    },
    /// An object is not what was written under its name.
    #[error("{name} is damaged: {detail}")]
    Damaged {
        /// Its name in the archive.
        name: String,
        /// What is wrong with it.
        detail: String,
    },
    /// An object is of a later version than this program reads.
    #[error("{name} has format version {found}; this program reads up to {known}")]
    Version {
        /// Its name in the archive.
        name: String,
        /// The version it has.
        found: u8,
        /// The last one that is known.
        known: u8,
    },
    /// The archive was made under another master key.
    #[error("the archive is encrypted under the master keys {wanted}; this node has {given}")]
    OtherMasterKey {
        /// Names of those that would do.
        wanted: String,
        /// Names of those that are there.
        given: String,
    },
    /// An object would be longer than objects may be.
    #[error(
        "an object of {bytes} bytes cannot be sealed, they have at most {bytes_max}; back up fewer items at a time"
    )]
    TooLarge {
        /// What it has.
        bytes: usize,
        /// What it may have.
        bytes_max: usize,
    },
    /// Under the same name is another archive now.
    #[error("the archive at this place is another one than before; is its file system mounted?")]
    Replaced,
    /// Cells were given out of the order of their keys.
    #[error("cells of a backup have to come in the order of their keys")]
    Order,
    /// Chunks that nobody needs are being removed.
    #[error("chunks that no backup needs are being removed; begin the backup a little later")]
    Sweeping,
    /// A backup took so long without a sign of life that its chunks may be gone.
    #[error("the backup was given up by others meanwhile; begin it anew")]
    GivenUp,
}

impl Error {
    /// Whether something of the archive is gone or not what was written.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Damaged { .. })
    }

    pub(crate) fn damaged(name: &str, detail: impl Into<String>) -> Self {
        Self::Damaged {
            name: name.to_owned(),
            detail: detail.into(),
        }
    }
}
