//! Blocks on disk: compressed, then sealed, then summed (`docs/format/sstable.md`, "Block on disk").
//!
//! Invariant: nothing is handed on that the file's key did not authenticate for this very place. The sum over the
//! sealed bytes is not needed for that; it lets `verify` and `repair` tell good blocks from bad ones without keys.

use std::cell::RefCell;
use std::path::Path;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::crypto::{FileCipher, TAG_BYTES};
use crate::error::{Error, Result};
use crate::header::{u32_at, u64_at};
use crate::settings::Compression;

const SUM_BYTES: usize = 8;

const STORED_PLAIN: u8 = 0;
const STORED_LZ4: u8 = 1;
const STORED_ZSTD: u8 = 2;

/// The decompressed length in front of compressed contents.
const LENGTH_BYTES: usize = 4;

/// A block may grow to this when decompressed: room for the largest entry and then some.
const BLOCK_BYTES_MAX: u32 = 256 << 20;

const ZSTD_LEVEL: i32 = 3;

/// The sum over the sealed bytes of the block at `offset` of file number `file`: one that was read from the wrong place
/// does not match.
fn sum(sealed: &[u8], file: u64, offset: u64) -> u64 {
    xxh3_64_with_seed(sealed, file.rotate_left(32) ^ offset)
}

/// Makes blocks for one file, keeping what compression needs from block to block.
pub(super) struct BlockEncoder {
    compression: Compression,
    lz4: CompressTable,
    zstd: Option<zstd::bulk::Compressor<'static>>,
}

impl std::fmt::Debug for BlockEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlockEncoder")
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}

impl BlockEncoder {
    pub(super) fn new(compression: Compression) -> Self {
        let zstd = (compression == Compression::Zstd)
            .then(|| zstd::bulk::Compressor::new(ZSTD_LEVEL).ok())
            .flatten();
        Self {
            compression,
            lz4: CompressTable::default(),
            zstd,
        }
    }

    /// Appends `contents` to `into` as the block at `offset` of file number `file`; gives its length on disk.
    pub(super) fn encode(
        &mut self,
        into: &mut Vec<u8>,
        contents: &[u8],
        cipher: &FileCipher,
        file: u64,
        offset: u64,
    ) -> u32 {
        let start = into.len();
        if !self.compress(into, contents) {
            into.truncate(start);
            into.extend_from_slice(contents);
            into.push(STORED_PLAIN);
        }
        let tag = cipher.seal(offset, &mut into[start..]);
        into.extend_from_slice(&tag);
        let sum = sum(&into[start..], file, offset);
        into.extend_from_slice(&sum.to_le_bytes());
        u32::try_from(into.len() - start).unwrap_or(u32::MAX)
    }

    /// Appends `contents` compressed; `false` if that is not worth it.
    fn compress(&mut self, into: &mut Vec<u8>, contents: &[u8]) -> bool {
        let start = into.len();
        let length = u32::try_from(contents.len()).unwrap_or(u32::MAX);
        into.extend_from_slice(&length.to_le_bytes());
        let room = start + LENGTH_BYTES;
        let (written, stored) = match (self.compression, &mut self.zstd) {
            (Compression::Lz4, _) => {
                into.resize(room + get_maximum_output_size(contents.len()), 0);
                let written = compress_into_with_table(contents, &mut into[room..], &mut self.lz4).ok();
                (written, STORED_LZ4)
            }
            (Compression::Zstd, Some(zstd)) => {
                into.resize(room + contents.len(), 0);
                let written = zstd.compress_to_buffer(contents, &mut into[room..]).ok();
                (written, STORED_ZSTD)
            }
            (Compression::None | Compression::Zstd, _) => (None, STORED_PLAIN),
        };
        let Some(written) = written.filter(|written| LENGTH_BYTES + written < contents.len()) else {
            return false;
        };
        into.truncate(room + written);
        into.push(stored);
        true
    }
}

/// Opens and decompresses a block as it was read from `offset`.
pub(super) fn decode_block(
    file: &Path,
    cipher: &FileCipher,
    offset: u64,
    mut stored: Vec<u8>,
) -> Result<Vec<u8>> {
    let bad = |detail: &str| Error::corruption(file, offset, detail);
    let sealed_end = stored
        .len()
        .checked_sub(SUM_BYTES)
        .filter(|end| *end > TAG_BYTES)
        .ok_or_else(|| bad("the block is cut"))?;
    cipher
        .open(offset, &mut stored[..sealed_end])
        .map_err(|_| bad("the block is not what was written here: it does not authenticate"))?;
    let payload_end = sealed_end - TAG_BYTES - 1;
    match stored[payload_end] {
        STORED_PLAIN => {
            stored.truncate(payload_end);
            Ok(stored)
        }
        compression @ (STORED_LZ4 | STORED_ZSTD) => {
            let length = u32_at(&stored[..payload_end], 0)
                .filter(|length| *length <= BLOCK_BYTES_MAX)
                .ok_or_else(|| bad("the decompressed block would be too large"))?;
            let compressed = &stored[LENGTH_BYTES..payload_end];
            let mut contents = vec![0; length as usize];
            let written = if compression == STORED_LZ4 {
                decompress_into(compressed, &mut contents).ok()
            } else {
                decompress_zstd(compressed, &mut contents)
            };
            if written == Some(contents.len()) {
                Ok(contents)
            } else {
                Err(bad("the block does not decompress"))
            }
        }
        other => Err(bad(&format!("the block has the unknown compression {other}"))),
    }
}

fn decompress_zstd(compressed: &[u8], contents: &mut [u8]) -> Option<usize> {
    thread_local! {
        static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
    }
    DECOMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = zstd::bulk::Decompressor::new().ok();
        }
        kept.as_mut()?.decompress_to_buffer(compressed, contents).ok()
    })
}

/// Checks the sum of a block as it was read from `offset` of file number `number`, without any key.
pub(super) fn check_sum(file: &Path, number: u64, offset: u64, stored: &[u8]) -> Result<()> {
    let end = stored.len().saturating_sub(SUM_BYTES);
    if u64_at(stored, end) == Some(sum(&stored[..end], number, offset)) {
        Ok(())
    } else {
        Err(Error::corruption(
            file,
            offset,
            "the checksum of the block does not match",
        ))
    }
}
