//! Writing an sstable.
//!
//! Invariant: entries come in order; [`SstableWriter::finish`] returns only when the contents are durable (the name is
//! made durable by the caller, once for all files of a job).

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::bloom::FilterBuilder;
use super::codec::BlockEncoder;
use super::footer::{FOOTER_BYTES, Footer};
use super::index::{IndexBuilder, separator};
use super::properties::Properties;
use super::{Handle, SstableContext, SstableMeta, bloom};
use crate::block::{BlockBuilder, Key};
use crate::crypto::FileCipher;
use crate::entry::{EntryKind, SequenceNumber, compare_versions};
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::header::{FileKind, HEADER_BYTES};
use crate::key::complete_prefix_len;
use crate::settings::{Compression, Settings};
use crate::vfs::File;

/// Writes go to the file in pieces of about this size.
const WRITE_BYTES: usize = 1 << 20;

/// An index block ends at about this size.
const INDEX_BLOCK_BYTES: usize = 16 << 10;

/// Index blocks are written together, so that whoever opens the file has them with a few reads: all at the end of the
/// file, or so many at a time, lest a large file's take too much memory.
const INDEX_BLOCKS_MAX: usize = 256;

/// The partition of the last entry.
#[derive(Debug, Default)]
struct Partition {
    prefix_len: usize,
    /// Whether the prefix ends with a terminator; otherwise it is a whole key.
    complete: bool,
    entries: u64,
    bytes: u64,
}

/// An sstable that is being written.
#[derive(Debug)]
pub(crate) struct SstableWriter {
    file: Arc<dyn File>,
    path: PathBuf,
    number: u64,
    cipher: FileCipher,
    encoder: BlockEncoder,
    block_bytes: usize,
    data: BlockBuilder,
    /// A data block that waits for its bound, which the next entry gives.
    unbound: Option<Handle>,
    index: IndexBuilder,
    /// Index blocks that are complete, each with its bound.
    index_blocks: Vec<(Vec<u8>, Vec<u8>, SequenceNumber)>,
    index_top: IndexBuilder,
    filter: FilterBuilder,
    buffer: Vec<u8>,
    /// Where `buffer` goes.
    flushed: u64,
    last_key: Vec<u8>,
    last_sequence: SequenceNumber,
    partition: Partition,
    properties: Properties,
}

impl SstableWriter {
    /// Creates the file of sstable `number`, for the keyspace that the encoded version edit `keyspace` creates.
    pub(crate) fn create(
        context: &SstableContext,
        number: u64,
        settings: &Settings,
        compression: Compression,
        keyspace: Bytes,
    ) -> Result<Self> {
        let path = FileName::Sstable(number).in_directory(&context.directory);
        let file = context.vfs.create(&path).map_err(Error::io("create", &path))?;
        let (header, cipher) = context.keys.new_file(FileKind::Sstable, number, 0)?;
        Ok(Self {
            file,
            path,
            number,
            cipher,
            encoder: BlockEncoder::new(compression),
            block_bytes: settings.block_bytes,
            data: BlockBuilder::default(),
            unbound: None,
            index: IndexBuilder::default(),
            index_blocks: Vec::new(),
            index_top: IndexBuilder::default(),
            filter: FilterBuilder::new(settings.bloom_bits_per_key),
            buffer: header.encode().to_vec(),
            flushed: 0,
            last_key: Vec::new(),
            last_sequence: 0,
            partition: Partition::default(),
            properties: Properties {
                smallest_sequence: SequenceNumber::MAX,
                keyspace,
                ..Properties::default()
            },
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
        let is_first = self.properties.entries == 0;
        assert!(
            is_first || compare_versions((&self.last_key, self.last_sequence), (key, sequence)).is_lt(),
            "entries of an sstable come in order"
        );
        // A block keeps to its size, so that it fits a page, and the allocator's class for one, when it is read.
        if !self.data.is_empty() && self.data.bytes_with(key, value) > self.block_bytes {
            self.end_data_block()?;
        }
        let begins_partition = is_first || !self.is_in_partition(key);
        if begins_partition {
            self.end_partition();
            let complete = complete_prefix_len(key);
            self.partition.prefix_len = complete.unwrap_or(key.len());
            self.partition.complete = complete.is_some();
        }
        if let Some(handle) = self.unbound.take() {
            let bound = separator((&self.last_key, self.last_sequence), (key, sequence));
            self.index.push(handle, bound);
            if self.index.bytes() >= INDEX_BLOCK_BYTES {
                self.index_blocks
                    .push((self.index.finish(), bound.0.to_vec(), bound.1));
                if self.index_blocks.len() >= INDEX_BLOCKS_MAX {
                    self.append_index_blocks();
                }
            }
        }
        let hash = bloom::key_hash(key);
        if is_first || self.last_key != key {
            self.filter.add(hash);
        }
        if begins_partition {
            self.filter
                .add(bloom::prefix_hash(&key[..self.partition.prefix_len]));
        }
        let prefix_len = self.partition.prefix_len;
        let prepared = Key {
            bytes: key,
            prefix_len,
            begins_partition,
            hash,
        };
        self.data.push(prepared, sequence, kind, value);
        self.take_note(key, sequence, kind, value);
        Ok(())
    }

    fn is_in_partition(&self, key: &[u8]) -> bool {
        let prefix = &self.last_key[..self.partition.prefix_len];
        if self.partition.complete {
            key.starts_with(prefix)
        } else {
            key == prefix
        }
    }

    fn end_partition(&mut self) {
        let Partition { entries, bytes, .. } = std::mem::take(&mut self.partition);
        if entries > 0 {
            let prefix_len = complete_prefix_len(&self.last_key).unwrap_or(self.last_key.len());
            self.properties
                .add_partition(&self.last_key[..prefix_len], entries, bytes);
        }
    }

    fn take_note(&mut self, key: &[u8], sequence: SequenceNumber, kind: EntryKind, value: &[u8]) {
        let bytes = (key.len() + value.len()) as u64;
        let properties = &mut self.properties;
        if properties.entries == 0 {
            properties.first_key = Bytes::copy_from_slice(key);
        }
        properties.entries += 1;
        properties.tombstones += u64::from(kind == EntryKind::Delete);
        properties.raw_bytes += bytes;
        properties.smallest_sequence = properties.smallest_sequence.min(sequence);
        properties.largest_sequence = properties.largest_sequence.max(sequence);
        self.partition.entries += 1;
        self.partition.bytes += bytes;
        self.last_sequence = sequence;
        if self.last_key != key {
            self.last_key.clear();
            self.last_key.extend_from_slice(key);
        }
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
        let length = self
            .encoder
            .encode(&mut self.buffer, contents, &self.cipher, self.number, offset);
        self.data.reset();
        self.unbound = Some(Handle { offset, length });
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

    fn append_index_blocks(&mut self) {
        for (contents, key, sequence) in std::mem::take(&mut self.index_blocks) {
            let handle = self.append_block(&contents);
            self.index_top.push(handle, (&key, sequence));
        }
    }

    fn append_block(&mut self, contents: &[u8]) -> Handle {
        let offset = self.flushed + self.buffer.len() as u64;
        let length = self
            .encoder
            .encode(&mut self.buffer, contents, &self.cipher, self.number, offset);
        Handle { offset, length }
    }

    /// Completes the file and makes its contents durable. There must be an entry.
    pub(crate) fn finish(mut self) -> Result<SstableMeta> {
        assert!(self.properties.entries > 0, "an sstable has entries");
        if !self.data.is_empty() {
            self.end_data_block()?;
        }
        self.end_partition();
        self.properties.last_key = Bytes::copy_from_slice(&self.last_key);
        // Behind all versions of the last key.
        let last_key = std::mem::take(&mut self.last_key);
        if let Some(handle) = self.unbound.take() {
            self.index.push(handle, (&last_key, 0));
        }
        if !self.index.is_empty() {
            self.index_blocks.push((self.index.finish(), last_key.clone(), 0));
        }
        self.append_index_blocks();
        let contents = self.index_top.finish();
        let index = self.append_block(&contents);
        let contents = std::mem::take(&mut self.filter).finish();
        let filter = self.append_block(&contents);
        let contents = self.properties.encode();
        let properties = self.append_block(&contents);
        let footer = Footer {
            at: self.flushed + self.buffer.len() as u64,
            filter,
            index,
            properties,
        };
        self.buffer.extend_from_slice(&footer.encode(self.number));
        self.write_buffer()?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        assert!(
            self.flushed > (HEADER_BYTES + FOOTER_BYTES) as u64,
            "an sstable has blocks"
        );
        Ok(SstableMeta::new(self.number, self.flushed, &self.properties))
    }
}
