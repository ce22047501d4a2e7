//! Manifests: what backups are made of.

use bytes::Bytes;
use prost::Message;

use crate::archive::Archive;
use crate::error::Error;
use crate::run::Run;
use crate::seal::{Kind, open, seal};

/// The folder of all manifests.
pub(crate) const BACKUPS: &str = "backups";

/// A backup that is complete.
#[derive(Clone, PartialEq, Message)]
struct Record {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(bytes = "bytes", tag = "2")]
    about: Bytes,
    #[prost(uint64, tag = "3")]
    cells: u64,
    #[prost(uint64, tag = "4")]
    cell_bytes: u64,
    #[prost(uint64, tag = "5")]
    copied: u64,
    /// The first is complete; each further one says what has changed since the one before.
    #[prost(message, repeated, tag = "6")]
    runs: Vec<Run>,
}

/// What a caller says of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its name: ASCII letters, digits and `-`.
    pub id: String,
    /// Whatever is needed to make a table of it again; the archive does not look at it.
    pub about: Bytes,
}

/// A backup that is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    record: Record,
}

/// What a check of a backup has looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Verified {
    /// Cells that can be restored.
    pub cells: u64,
    /// Objects that were read.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

pub(crate) fn object(id: &str) -> String {
    format!("{BACKUPS}/{id}")
}

impl Manifest {
    pub(crate) fn new(
        description: Description,
        (cells, cell_bytes, copied): (u64, u64, u64),
        runs: Vec<Run>,
    ) -> Self {
        Self {
            record: Record {
                id: description.id,
                about: description.about,
                cells,
                cell_bytes,
                copied,
                runs,
            },
        }
    }

    /// The name of the backup.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// What the caller has said of it.
    pub fn about(&self) -> &Bytes {
        &self.record.about
    }

    /// How many cells it has.
    pub fn cells(&self) -> u64 {
        self.record.cells
    }

    /// The bytes of the cells, with their keys.
    pub fn cell_bytes(&self) -> u64 {
        self.record.cell_bytes
    }

    /// How many bytes had to be written for it: less than it has when there was a backup to build on.
    pub fn copied(&self) -> u64 {
        self.record.copied
    }

    pub(crate) fn runs(&self) -> &[Run] {
        &self.record.runs
    }

    pub(crate) fn put(&self, archive: &Archive) -> Result<(), Error> {
        let (_, sealed) = seal(archive.key(), Kind::Manifest, &self.record.encode_to_vec())?;
        archive.put(&object(&self.record.id), &sealed)
    }

    pub(crate) fn get(archive: &Archive, id: &str) -> Result<Option<Self>, Error> {
        let object = object(id);
        let Some(sealed) = archive.find(&object)? else {
            return Ok(None);
        };
        let (_, contents) = open(archive.key(), Kind::Manifest, &object, sealed)?;
        let record = Record::decode(&contents[..]);
        let record = record.map_err(|error| Error::damaged(&object, error.to_string()))?;
        if record.id != id {
            return Err(Error::damaged(&object, "it is that of another backup"));
        }
        Ok(Some(Self { record }))
    }
}
