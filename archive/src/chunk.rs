//! Chunks: parts of a run, each an object named after its contents.
//!
//! Invariant: a chunk never changes, so that one that is there need not be written again. Not here: which of them are needed.

use prost::Message;

use crate::archive::Archive;
use crate::error::Error;
use crate::key::KEY_BYTES;
use crate::seal::{Kind, hex, open, seal};

/// The folder of all chunks.
pub(crate) const CHUNKS: &str = "chunks";

/// A chunk, as a manifest names it.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChunkRef {
    /// What it is named after.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) name: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) entries: u64,
    /// The last key in it.
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) last: Vec<u8>,
    /// Bytes of the object.
    #[prost(uint64, tag = "4")]
    pub(crate) bytes: u64,
}

impl ChunkRef {
    /// Its name in the archive.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a manifest names it by something that is no name.
    pub(crate) fn object(&self) -> Result<String, Error> {
        let name = <&[u8; KEY_BYTES]>::try_from(&self.name[..]);
        let name = name.map_err(|_| Error::damaged(CHUNKS, "a chunk has no name"))?;
        let name = hex(name);
        Ok(format!("{CHUNKS}/{}/{name}", &name[..2]))
    }

    /// Puts a chunk, unless it is there; gives the bytes that were written. `is_compared` says whether one that is there is read, and
    /// replaced if it is not what it should be.
    pub(crate) fn put(
        archive: &Archive,
        (kind, is_compared): (Kind, bool),
        contents: &[u8],
        (entries, last): (u64, Vec<u8>),
    ) -> Result<(Self, u64), Error> {
        let (name, sealed) = seal(archive.key(), kind, contents)?;
        let bytes = sealed.len() as u64;
        let chunk = Self {
            name: name.to_vec(),
            entries,
            last,
            bytes,
        };
        let object = chunk.object()?;
        let failed = |source| Error::Store {
            name: object.clone(),
            source,
        };
        let is_there = if is_compared {
            let there = archive.store().get(&object).map_err(failed)?;
            there.is_some_and(|there| there == sealed)
        } else {
            archive.store().contains(&object).map_err(failed)?
        };
        if !is_there {
            archive.store().put(&object, &sealed).map_err(failed)?;
        }
        Ok((chunk, if is_there { 0 } else { bytes }))
    }

    /// What is in it.
    pub(crate) fn get(&self, archive: &Archive, kind: Kind) -> Result<Vec<u8>, Error> {
        let object = self.object()?;
        let (name, contents) = open(archive.key(), kind, &object, archive.get(&object)?)?;
        if name[..] != self.name[..] {
            return Err(Error::damaged(&object, "it is another chunk"));
        }
        Ok(contents)
    }
}
