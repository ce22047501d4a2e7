//! Reading an sstable: filter, index, block, key.
//!
//! Invariant: every byte that is used was checked against a checksum bound to its place. The file is deleted when the
//! last user of an obsolete sstable lets go of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::bloom::{self, Filter};
use super::{FOOTER_BYTES, FOOTER_MAGIC, Handle, SstableMeta, decode_block, open_block};
use crate::block::Block;
use crate::cache::BlockCache;
use crate::crypto::KeyRing;
use crate::entry::{EntryKind, SequenceNumber};
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::header::{FileHeader, FileKind, HEADER_BYTES, u32_at, u64_at};
use crate::vfs::{File, Vfs};

/// What sstables of one engine share.
#[derive(Clone, Debug)]
pub(crate) struct SstableContext {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) directory: PathBuf,
    pub(crate) cache: Arc<BlockCache>,
}

/// What an sstable says about a key.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// It has this value.
    Value(Bytes),
    /// It was removed.
    Deleted,
    /// Nothing: older sstables must be asked.
    Absent,
}

/// An open sstable.
#[derive(Debug)]
pub(crate) struct Sstable {
    pub(crate) meta: SstableMeta,
    context: SstableContext,
    path: PathBuf,
    file: Arc<dyn File>,
    filter: Filter,
    index: Block,
    index_offset: u64,
    obsolete: AtomicBool,
}

impl Sstable {
    /// Opens and checks the sstable that `meta` describes.
    pub(crate) fn open(context: &SstableContext, meta: SstableMeta) -> Result<Arc<Self>> {
        let path = FileName::Sstable(meta.number).in_directory(&context.directory);
        let file = context.vfs.open(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::corruption(&path, 0, "the file is missing, although the manifest names it")
            }
            _ => Error::io("open", &path)(error),
        })?;
        let size = file.size().map_err(Error::io("measure", &path))?;
        if size != meta.bytes || size < (HEADER_BYTES + FOOTER_BYTES) as u64 {
            let detail = format!("the file has {size} bytes, the manifest says {}", meta.bytes);
            return Err(Error::corruption(&path, 0, detail));
        }
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0)
            .map_err(Error::io("read", &path))?;
        FileHeader::decode(&path, &header, FileKind::Sstable, meta.number)?;
        let mut footer = [0; FOOTER_BYTES];
        let footer_at = size - FOOTER_BYTES as u64;
        file.read_exact_at(&mut footer, footer_at)
            .map_err(Error::io("read", &path))?;
        let [filter, index, properties] = decode_footer(&path, footer_at, &footer, meta.number)?;
        let read = |handle: Handle| read_block(&*file, &path, meta.number, handle, footer_at);
        let filter_bytes = read(filter)?;
        let filter = Filter::open(filter_bytes)
            .ok_or_else(|| Error::corruption(&path, filter.offset, "the filter does not decode"))?;
        let index_block = open_block(&path, index.offset, read(index)?)?;
        check_properties(&path, properties.offset, &read(properties)?, &meta)?;
        Ok(Arc::new(Self {
            context: context.clone(),
            path,
            file,
            filter,
            index: index_block,
            index_offset: index.offset,
            obsolete: AtomicBool::new(false),
            meta,
        }))
    }

    /// The newest version of `key` that is not newer than `sequence`.
    pub(crate) fn get(&self, key: &[u8], sequence: SequenceNumber) -> Result<Lookup> {
        if !self.meta.covers(key) || !self.filter.may_contain(bloom::key_hash(key)) {
            return Ok(Lookup::Absent);
        }
        let target = (key, sequence);
        let mut buffer = Vec::with_capacity(key.len() + 64);
        let found = self
            .index
            .lower_bound(target, &mut buffer)
            .map_err(|_| self.bad_block(self.index_offset))?;
        let Some(found) = found else {
            return Ok(Lookup::Absent);
        };
        let handle = self.decode_handle(&self.index.value(&found))?;
        let block = self.block(handle, true)?;
        let found = block
            .lower_bound(target, &mut buffer)
            .map_err(|_| self.bad_block(handle.offset))?;
        match found {
            Some(found) if buffer == key => Ok(match found.kind {
                EntryKind::Put => Lookup::Value(block.value(&found)),
                EntryKind::Delete => Lookup::Deleted,
            }),
            _ => Ok(Lookup::Absent),
        }
    }

    /// Whether a key of this partition may be in the file.
    pub(crate) fn may_contain_partition(&self, prefix: &[u8]) -> bool {
        self.filter.may_contain(bloom::prefix_hash(prefix))
    }

    /// The index block.
    pub(super) fn index(&self) -> &Block {
        &self.index
    }

    pub(super) fn decode_handle(&self, bytes: &[u8]) -> Result<Handle> {
        Handle::decode(bytes).ok_or_else(|| self.bad_block(self.index_offset))
    }

    /// A data block, from the cache or from the file; `keep` puts it into the cache.
    pub(super) fn block(&self, handle: Handle, keep: bool) -> Result<Block> {
        if let Some(block) = self.context.cache.get(self.meta.number, handle.offset) {
            return Ok(block);
        }
        let contents = read_block(&*self.file, &self.path, self.meta.number, handle, self.meta.bytes)?;
        let block = open_block(&self.path, handle.offset, contents)?;
        if keep {
            self.context
                .cache
                .insert(self.meta.number, handle.offset, block.clone());
        }
        Ok(block)
    }

    pub(super) fn index_offset(&self) -> u64 {
        self.index_offset
    }

    pub(super) fn bad_block(&self, offset: u64) -> Error {
        Error::corruption(&self.path, offset, "an entry of the block does not decode")
    }

    /// Lets the file be deleted when the last user is done with it. Only after a durable version edit that removes it.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

impl Drop for Sstable {
    fn drop(&mut self) {
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = self.context.vfs.remove(&self.path)
        {
            // No harm is done: the next start deletes what the manifest does not name.
            tracing::warn!(path = %self.path.display(), %error, "cannot delete an obsolete sstable");
        }
    }
}

fn read_block(file: &dyn File, path: &Path, number: u64, handle: Handle, end: u64) -> Result<Bytes> {
    if handle
        .offset
        .checked_add(u64::from(handle.length))
        .is_none_or(|block_end| block_end > end)
    {
        return Err(Error::corruption(
            path,
            handle.offset,
            "a block handle points behind the blocks",
        ));
    }
    let mut stored = vec![0; handle.length as usize];
    file.read_exact_at(&mut stored, handle.offset)
        .map_err(Error::io("read", path))?;
    decode_block(path, number, handle.offset, stored)
}

fn decode_footer(path: &Path, at: u64, footer: &[u8; FOOTER_BYTES], number: u64) -> Result<[Handle; 3]> {
    let bad = |detail: &str| Error::corruption(path, at, detail);
    if &footer[52..] != FOOTER_MAGIC || u32_at(footer, 48) != Some(crc32fast::hash(&footer[..48])) {
        return Err(bad("the checksum of the footer does not match"));
    }
    let found = u32_at(footer, 36).unwrap_or_default();
    if found != FileKind::Sstable.version() {
        let supported = FileKind::Sstable.version();
        return Err(Error::UnsupportedFormat {
            file: path.to_path_buf(),
            found,
            supported,
        });
    }
    if u64_at(footer, 40) != Some(number) {
        return Err(bad("the file number in the footer is not that of the name"));
    }
    let handle = |from: usize| Handle::decode(&footer[from..]).ok_or_else(|| bad("the footer is cut"));
    Ok([handle(0)?, handle(12)?, handle(24)?])
}

/// The file must say about itself what the manifest says about it.
fn check_properties(path: &Path, at: u64, bytes: &[u8], meta: &SstableMeta) -> Result<()> {
    let key_at = |from: usize| {
        let length = u32_at(bytes, from)? as usize;
        bytes.get(from + 4..from + 4 + length)
    };
    let first_key = key_at(40);
    let last_key = first_key.and_then(|key| key_at(44 + key.len()));
    let same = u64_at(bytes, 0) == Some(meta.entries)
        && u64_at(bytes, 24) == Some(meta.smallest_sequence)
        && u64_at(bytes, 32) == Some(meta.largest_sequence)
        && first_key == Some(&meta.first_key[..])
        && last_key == Some(&meta.last_key[..]);
    if same {
        Ok(())
    } else {
        Err(Error::corruption(
            path,
            at,
            "the properties are not those in the manifest",
        ))
    }
}
