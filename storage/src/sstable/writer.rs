//! Writing an sstable.
//!
//! Invariant: entries come in order; [`SstableWriter::finish`] returns only when the contents are durable (the name is
//! made durable by the caller, once for all files of a job).

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::{FOOTER_BYTES, FOOTER_MAGIC, Handle, SstableContext, SstableMeta, bloom, encode_block};
use crate::block::BlockBuilder;
use crate::entry::{EntryKind, SequenceNumber, compare_versions};
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::header::{FileKind, HEADER_BYTES};
use crate::key;
use crate::settings::{Compression, Settings};
use crate::vfs::File;

const RESTART_INTERVAL: usize = 16;

/// Writes go to the file in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// An sstable that is being written.
#[derive(Debug)]
pub(crate) struct SstableWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    number: u64,
    block_bytes: usize,
    compression: Compression,
    bloom_bits_per_key: u32,
    data: BlockBuilder,
    index: BlockBuilder,
    hashes: Vec<u64>,
    last_prefix_hash: Option<u64>,
    buffer: Vec<u8>,
    /// Where `buffer` goes.
    flushed: u64,
    last_sequence: SequenceNumber,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    entries: u64,
    tombstones: u64,
    raw_bytes: u64,
    smallest_sequence: SequenceNumber,
    largest_sequence: SequenceNumber,
}

impl SstableWriter {
    /// Creates the file of sstable `number`.
    pub(crate) fn create(context: &SstableContext, number: u64, settings: &Settings) -> Result<Self> {
        let SstableContext {
            vfs, keys, directory, ..
        } = context;
        let path = FileName::Sstable(number).in_directory(directory);
        let file = vfs.create(&path).map_err(Error::io("create", &path))?;
        let (header, _) = keys.new_file(FileKind::Sstable, number, 0)?;
        Ok(Self {
            file,
            path,
            number,
            block_bytes: settings.block_bytes,
            compression: settings.compression,
            bloom_bits_per_key: settings.bloom_bits_per_key,
            data: BlockBuilder::new(RESTART_INTERVAL),
            index: BlockBuilder::new(1),
            hashes: Vec::new(),
            last_prefix_hash: None,
            buffer: header.encode().to_vec(),
            flushed: 0,
            last_sequence: 0,
            first_key: Vec::new(),
            last_key: Vec::new(),
            entries: 0,
            tombstones: 0,
            raw_bytes: 0,
            smallest_sequence: SequenceNumber::MAX,
            largest_sequence: 0,
        })
    }

    /// Appends an entry, which must follow the one before.
    pub(crate) fn push(
        &mut self,
        key: &[u8],
        sequence: SequenceNumber,
        kind: EntryKind,
        value: &[u8],
    ) -> Result<()> {
        let is_first = self.entries == 0;
        let new_key = is_first || self.last_key != key;
        assert!(
            is_first || compare_versions((&self.last_key, self.last_sequence), (key, sequence)).is_lt(),
            "entries of an sstable come in order"
        );
        if is_first {
            self.first_key.extend_from_slice(key);
        }
        if new_key {
            self.hashes.push(bloom::key_hash(key));
            let prefix = bloom::prefix_hash(key::partition_prefix(key));
            if self.last_prefix_hash.replace(prefix) != Some(prefix) {
                self.hashes.push(prefix);
            }
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
        self.data.push(key, sequence, kind, value);
        self.last_sequence = sequence;
        self.entries += 1;
        self.tombstones += u64::from(kind == EntryKind::Delete);
        self.raw_bytes += (key.len() + value.len()) as u64;
        self.smallest_sequence = self.smallest_sequence.min(sequence);
        self.largest_sequence = self.largest_sequence.max(sequence);
        if self.data.bytes() >= self.block_bytes {
            self.end_data_block()?;
        }
        Ok(())
    }

    /// The size of the file so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.flushed + self.buffer.len() as u64 + self.data.bytes() as u64
    }

    /// The key of the last entry.
    pub(crate) fn last_key(&self) -> &[u8] {
        &self.last_key
    }

    fn end_data_block(&mut self) -> Result<()> {
        let offset = self.flushed + self.buffer.len() as u64;
        let contents = self.data.finish();
        let length = encode_block(&mut self.buffer, contents, self.compression, self.number, offset);
        self.data.reset();
        let handle = Handle { offset, length }.encode();
        self.index
            .push(&self.last_key, self.last_sequence, EntryKind::Put, &handle);
        if self.buffer.len() >= WRITE_BYTES {
            self.write_buffer()
        } else {
            Ok(())
        }
    }

    fn write_buffer(&mut self) -> Result<()> {
        self.file
            .write_all_at(&self.buffer, self.flushed)
            .map_err(Error::io("write", &self.path))?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn append_block(&mut self, contents: &[u8], compression: Compression) -> Handle {
        let offset = self.flushed + self.buffer.len() as u64;
        let length = encode_block(&mut self.buffer, contents, compression, self.number, offset);
        Handle { offset, length }
    }

    /// Completes the file and makes its contents durable. There must be an entry.
    pub(crate) fn finish(mut self) -> Result<SstableMeta> {
        assert!(self.entries > 0, "an sstable has entries");
        if !self.data.is_empty() {
            self.end_data_block()?;
        }
        let filter = bloom::build(&self.hashes, self.bloom_bits_per_key);
        let filter = self.append_block(&filter, Compression::None);
        let index = self.index.finish().to_vec();
        let index = self.append_block(&index, self.compression);
        let properties = self.properties();
        let properties = self.append_block(&properties, Compression::None);
        let footer = encode_footer(filter, index, properties, self.number);
        self.buffer.extend_from_slice(&footer);
        self.write_buffer()?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        assert!(
            self.flushed > (HEADER_BYTES + FOOTER_BYTES) as u64,
            "an sstable has blocks"
        );
        Ok(SstableMeta {
            number: self.number,
            bytes: self.flushed,
            entries: self.entries,
            smallest_sequence: self.smallest_sequence,
            largest_sequence: self.largest_sequence,
            first_key: Bytes::from(self.first_key),
            last_key: Bytes::from(self.last_key),
        })
    }

    fn properties(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let numbers = [
            self.entries,
            self.tombstones,
            self.raw_bytes,
            self.smallest_sequence,
            self.largest_sequence,
        ];
        for number in numbers {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for key in [&self.first_key, &self.last_key] {
            bytes.extend_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(key);
        }
        bytes
    }
}

fn encode_footer(filter: Handle, index: Handle, properties: Handle, number: u64) -> [u8; FOOTER_BYTES] {
    let mut footer = [0; FOOTER_BYTES];
    footer[..12].copy_from_slice(&filter.encode());
    footer[12..24].copy_from_slice(&index.encode());
    footer[24..36].copy_from_slice(&properties.encode());
    footer[36..40].copy_from_slice(&FileKind::Sstable.version().to_le_bytes());
    footer[40..48].copy_from_slice(&number.to_le_bytes());
    let crc = crc32fast::hash(&footer[..48]);
    footer[48..52].copy_from_slice(&crc.to_le_bytes());
    footer[52..].copy_from_slice(FOOTER_MAGIC);
    footer
}
