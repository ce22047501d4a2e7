//! The end of an sstable: where filter, index and properties lie.
//!
//! Invariant: a footer that was read checks and belongs to the file. It holds nothing of the owner's and is not
//! encrypted; the places it names are authenticated when they are read.

use std::path::Path;

use super::{HANDLE_BYTES, Handle};
use crate::error::{Error, Result};
use crate::header::{FileKind, HEADER_BYTES, u32_at, u64_at};
use crate::vfs::File;

pub(super) const FOOTER_BYTES: usize = 3 * HANDLE_BYTES + 20;
const MAGIC: &[u8; 4] = b"STSF";
const VERSION_AT: usize = 3 * HANDLE_BYTES;
const NUMBER_AT: usize = VERSION_AT + 4;
const CRC_AT: usize = NUMBER_AT + 8;
const MAGIC_AT: usize = CRC_AT + 4;

/// What lies where in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// Where the footer itself begins.
    pub(super) at: u64,
    pub(super) filter: Handle,
    pub(super) index: Handle,
    pub(super) properties: Handle,
}

impl Footer {
    pub(super) fn encode(&self, number: u64) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let handles = [self.filter, self.index, self.properties];
        for (place, handle) in bytes.chunks_mut(HANDLE_BYTES).zip(handles) {
            place.copy_from_slice(&handle.encode());
        }
        bytes[VERSION_AT..NUMBER_AT].copy_from_slice(&FileKind::Sstable.version().to_le_bytes());
        bytes[NUMBER_AT..CRC_AT].copy_from_slice(&number.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..MAGIC_AT].copy_from_slice(&crc.to_le_bytes());
        bytes[MAGIC_AT..].copy_from_slice(MAGIC);
        bytes
    }

    /// Reads the footer of a file of `size` bytes.
    pub(super) fn read(file: &dyn File, path: &Path, size: u64, number: u64) -> Result<Self> {
        let at = size
            .checked_sub(FOOTER_BYTES as u64)
            .filter(|at| *at > HEADER_BYTES as u64)
            .ok_or_else(|| Error::corruption(path, 0, "the file is cut"))?;
        let mut bytes = [0; FOOTER_BYTES];
        file.read_exact_at(&mut bytes, at)
            .map_err(Error::io("read", path))?;
        let bad = |detail: &str| Error::corruption(path, at, detail);
        if &bytes[MAGIC_AT..] != MAGIC || u32_at(&bytes, CRC_AT) != Some(crc32fast::hash(&bytes[..CRC_AT])) {
            return Err(bad("the checksum of the footer does not match"));
        }
        if u64_at(&bytes, NUMBER_AT) != Some(number) {
            return Err(bad("the file number in the footer is not that of the name"));
        }
        let handle = |from: usize| Handle::decode(&bytes[from..]).ok_or_else(|| bad("the footer is cut"));
        Ok(Self {
            at,
            filter: handle(0)?,
            index: handle(HANDLE_BYTES)?,
            properties: handle(2 * HANDLE_BYTES)?,
        })
    }
}
