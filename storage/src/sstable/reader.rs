//! Reading an sstable: filter, index, block, key.
//!
//! Invariant: every byte that is used was authenticated for its place. The file is deleted when the last user of an
//! obsolete sstable lets go of it. Filter and index blocks stay in memory while there is room beside the block cache;
//! of an sstable that finds none they are read like data blocks.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::bloom::{self, Filter};
use super::codec::decode_block;
use super::footer::Footer;
use super::index::Index;
use super::properties::Properties;
use super::read_ahead::ReadAhead;
use super::{Handle, SstableMeta};
use crate::block::{BadBlock, Block, Target};
use crate::cache::{BlockCache, Cached, Caching};
use crate::crypto::{DataKeyId, FileCipher, KeyRing};
use crate::damage::Damage;
use crate::entry::EntryKind;
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::iter::Direction;
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

/// Filter and index blocks that stay in memory.
#[derive(Debug)]
struct Pinned {
    filter: Filter,
    index: Box<[Arc<Index>]>,
    bytes: u64,
}

/// An open sstable.
#[derive(Debug)]
pub(crate) struct Sstable {
    pub(crate) meta: SstableMeta,
    context: SstableContext,
    path: PathBuf,
    file: Arc<dyn File>,
    /// `None` of a file that cannot be read at all.
    cipher: Option<FileCipher>,
    top: Index,
    footer: Footer,
    pinned: Option<Pinned>,
    obsolete: AtomicBool,
    /// What is wrong with the file, if it is set aside.
    damage: OnceLock<Damage>,
    /// Whether it is known where what lies in the file. If not, every read gives the damage.
    is_readable: bool,
}

impl Sstable {
    /// Opens and checks the sstable that `meta` describes.
    pub(crate) fn open(context: &SstableContext, meta: &SstableMeta) -> Result<Arc<Self>> {
        let (mut sstable, tail) = Self::open_described(context, meta)?;
        sstable.pinned = sstable.pin(&tail)?;
        Ok(Arc::new(sstable))
    }

    /// Opens the sstable that `meta` describes. If bytes of it are not what was written, it is set aside.
    ///
    /// # Errors
    /// When the disk does not answer, the file or its key is missing, or it has another format.
    pub(crate) fn open_or_set_aside(context: &SstableContext, meta: &SstableMeta) -> Result<Arc<Self>> {
        let (mut sstable, tail) = match Self::open_described(context, meta) {
            Err(Error::Corruption { offset, detail, .. }) => {
                return Self::unreadable(context, meta, (offset, detail)).map(Arc::new);
            }
            opened => opened?,
        };
        match sstable.pin(&tail) {
            // Filter and index blocks that are good are read when they are needed.
            Err(error @ Error::Corruption { .. }) => sstable.note_damage(&error),
            pinned => sstable.pinned = pinned?,
        }
        Ok(Arc::new(sstable))
    }

    fn note_damage(&self, error: &Error) {
        if let Error::Corruption { offset, detail, .. } = error {
            tracing::error!(%error, "an sstable is damaged and set aside");
            self.set_aside(Damage::new(*offset, detail));
        }
    }

    /// An sstable of which nothing can be read, because what says where everything lies is damaged.
    fn unreadable(
        context: &SstableContext,
        meta: &SstableMeta,
        (offset, detail): (u64, String),
    ) -> Result<Self> {
        let (path, file, bytes) = open_to_read(context, meta.number)?;
        let mut cipher = None;
        if bytes >= HEADER_BYTES as u64
            && let Ok(header) = read_header(&*file, &path, meta.number)
        {
            // With a key that is missing nothing is damaged.
            cipher = Some(context.keys.cipher(&path, &header)?);
        }
        // One block that holds everything, and does not check.
        let nowhere = Handle { offset, length: 0 };
        let sstable = Self {
            meta: meta.clone(),
            context: context.clone(),
            file,
            cipher,
            top: Index::of_one(&meta.last_key, nowhere),
            footer: Footer {
                at: offset,
                filter: nowhere,
                index: nowhere,
                properties: nowhere,
            },
            pinned: None,
            obsolete: AtomicBool::new(false),
            damage: OnceLock::new(),
            is_readable: false,
            path,
        };
        sstable.note_damage(&Error::corruption(&sstable.path, offset, detail));
        Ok(sstable)
    }

    /// Opens a file and holds it against what `meta` says.
    fn open_described(context: &SstableContext, meta: &SstableMeta) -> Result<(Self, Tail)> {
        let (sstable, tail) = Self::open_unpinned(context, meta.number)?;
        let path = &sstable.path;
        if sstable.meta.bytes != meta.bytes {
            let detail = format!(
                "the file has {} bytes, the manifest says {}",
                sstable.meta.bytes, meta.bytes
            );
            return Err(Error::corruption(path, 0, detail));
        }
        if sstable.meta != *meta {
            return Err(Error::corruption(
                path,
                sstable.footer.properties.offset,
                "the properties are not those in the manifest",
            ));
        }
        Ok((sstable, tail))
    }

    /// Opens sstable `number` by what it says about itself.
    pub(crate) fn open_file(context: &SstableContext, number: u64) -> Result<Self> {
        let (mut sstable, tail) = Self::open_unpinned(context, number)?;
        sstable.pinned = sstable.pin(&tail)?;
        Ok(sstable)
    }

    fn open_unpinned(context: &SstableContext, number: u64) -> Result<(Self, Tail)> {
        let (path, file, bytes) = open_to_read(context, number)?;
        if bytes < HEADER_BYTES as u64 {
            return Err(Error::corruption(&path, 0, "the file is cut"));
        }
        let header = read_header(&*file, &path, number)?;
        let cipher = context.keys.cipher(&path, &header)?;
        let footer = Footer::read(&*file, &path, bytes, number)?;
        let tail = Tail::read(&*file, &path, &footer)?;
        let read = |handle: Handle| {
            let stored = tail.block(&path, handle)?;
            decode_block(&path, &cipher, handle.offset, stored)
        };
        let top = Index::decode(&read(footer.index)?)
            .map_err(|_| Error::corruption(&path, footer.index.offset, "the index does not decode"))?;
        let properties = Properties::decode(&read(footer.properties)?).ok_or_else(|| {
            Error::corruption(&path, footer.properties.offset, "the properties do not decode")
        })?;
        let sstable = Self {
            meta: SstableMeta::new(number, bytes, &properties),
            context: context.clone(),
            path,
            file,
            cipher: Some(cipher),
            top,
            footer,
            pinned: None,
            obsolete: AtomicBool::new(false),
            damage: OnceLock::new(),
            is_readable: true,
        };
        Ok((sstable, tail))
    }

    /// Reads filter and index blocks to keep them, if there is room.
    fn pin(&self, tail: &Tail) -> Result<Option<Pinned>> {
        let on_disk = |handle: Handle| u64::from(handle.length);
        let index_handles = (0..self.top.len()).filter_map(|at| self.top.handle(at));
        let least = on_disk(self.footer.filter) + index_handles.clone().map(on_disk).sum::<u64>();
        let cache = &self.context.cache;
        if !cache.may_pin(least) {
            return Ok(None);
        }
        let filter = self.decode_filter(tail.block(&self.path, self.footer.filter)?)?;
        let mut ahead = ReadAhead::new(Direction::Forward, true);
        let index: Box<[_]> = index_handles
            .map(|handle| {
                let stored = self.read_ahead(handle, &mut ahead)?;
                self.decode_index(handle, stored).map(Arc::new)
            })
            .collect::<Result<_>>()?;
        let bytes = filter.bytes() + index.iter().map(|index| index.bytes()).sum::<usize>();
        let bytes = bytes as u64;
        Ok(cache.pin(bytes).then_some(Pinned { filter, index, bytes }))
    }

    /// The newest version of the target's key that is not newer than its sequence number. `key_hash` is
    /// [`super::key_hash`] of the key.
    pub(crate) fn get(&self, target: Target<'_>, key_hash: u64) -> Result<Lookup> {
        if !self.meta.covers(target.key) || !self.may_contain(key_hash)? {
            return Ok(Lookup::Absent);
        }
        let part_at = self.top.find(target);
        if part_at >= self.top.len() {
            return Ok(Lookup::Absent);
        }
        let found = match &self.pinned {
            Some(pinned) => find_handle(&pinned.index[part_at], target),
            None => find_handle(&*self.index_block(part_at)?, target),
        };
        let Some(handle) = found else {
            return Ok(Lookup::Absent);
        };
        let block = self.block(handle, Caching::Keep, None)?;
        let found = block
            .find(target, key_hash)
            .map_err(|BadBlock| self.bad_block(handle.offset))?;
        Ok(match found {
            Some((EntryKind::Put, value)) => Lookup::Value(value),
            Some((EntryKind::Delete, _)) => Lookup::Deleted,
            None => Lookup::Absent,
        })
    }

    pub(super) fn may_contain(&self, hash: u64) -> Result<bool> {
        let passes = self.ask_filter(hash)?;
        self.context.cache.count_filter(passes);
        Ok(passes)
    }

    fn ask_filter(&self, hash: u64) -> Result<bool> {
        if let Some(pinned) = &self.pinned {
            return Ok(pinned.filter.may_contain(hash));
        }
        let (cache, offset) = (&self.context.cache, self.footer.filter.offset);
        if let Some(Cached::Filter(filter)) = cache.get(self.meta.number, offset) {
            return Ok(filter.may_contain(hash));
        }
        let filter = self.read_filter()?;
        let may_contain = filter.may_contain(hash);
        cache.insert(self.meta.number, offset, Cached::Filter(filter));
        Ok(may_contain)
    }

    /// Whether a key of this partition may be in the file.
    pub(crate) fn may_contain_partition(&self, prefix: &[u8]) -> Result<bool> {
        self.may_contain(bloom::prefix_hash(prefix))
    }

    fn read_filter(&self) -> Result<Filter> {
        self.decode_filter(self.read_stored(self.footer.filter)?)
    }

    fn decode_filter(&self, stored: Vec<u8>) -> Result<Filter> {
        let offset = self.footer.filter.offset;
        let contents = self.decode_block(offset, stored)?;
        Filter::open(Bytes::from(contents))
            .ok_or_else(|| Error::corruption(&self.path, offset, "the filter does not decode"))
    }

    pub(super) fn read_index(&self, handle: Handle) -> Result<Index> {
        self.decode_index(handle, self.read_stored(handle)?)
    }

    fn decode_index(&self, handle: Handle, stored: Vec<u8>) -> Result<Index> {
        let contents = self.decode_block(handle.offset, stored)?;
        Index::decode(&contents)
            .map_err(|_| Error::corruption(&self.path, handle.offset, "the index does not decode"))
    }

    /// The top of the index.
    pub(super) fn top(&self) -> &Index {
        &self.top
    }

    /// The index block that the top names at place `at`, which must be one.
    pub(super) fn index_block(&self, at: usize) -> Result<Arc<Index>> {
        if let Some(pinned) = &self.pinned {
            return Ok(Arc::clone(&pinned.index[at]));
        }
        let handle = self.top.handle(at).ok_or_else(|| self.bad_block(0))?;
        let cache = &self.context.cache;
        if let Some(Cached::Index(index)) = cache.get(self.meta.number, handle.offset) {
            return Ok(index);
        }
        let index = Arc::new(self.read_index(handle)?);
        cache.insert(self.meta.number, handle.offset, Cached::Index(Arc::clone(&index)));
        Ok(index)
    }

    /// A data block, from the cache or from the file.
    pub(super) fn block(
        &self,
        handle: Handle,
        caching: Caching,
        ahead: Option<&mut ReadAhead>,
    ) -> Result<Block> {
        if caching != Caching::Bypass
            && let Some(Cached::Data(block)) = self.context.cache.get(self.meta.number, handle.offset)
        {
            return Ok(block);
        }
        let stored = match ahead {
            Some(ahead) => self.read_ahead(handle, ahead)?,
            None => self.read_stored(handle)?,
        };
        let contents = self.decode_block(handle.offset, stored)?;
        let block = Block::open(Bytes::from(contents))
            .map_err(|BadBlock| Error::corruption(&self.path, handle.offset, "the block does not decode"))?;
        if caching == Caching::Keep {
            let cached = Cached::Data(block.clone());
            self.context.cache.insert(self.meta.number, handle.offset, cached);
        }
        Ok(block)
    }

    fn read(&self, handle: Handle) -> Result<Vec<u8>> {
        self.decode_block(handle.offset, self.read_stored(handle)?)
    }

    /// What a block holds.
    pub(super) fn decode_block(&self, offset: u64, stored: Vec<u8>) -> Result<Vec<u8>> {
        match &self.cipher {
            Some(cipher) => decode_block(&self.path, cipher, offset, stored),
            None => Err(self.bad_block(offset)),
        }
    }

    fn check_readable(&self) -> Result<()> {
        match self.damage() {
            Some(damage) if !self.is_readable => Err(damage.error(&self.path)),
            _ => Ok(()),
        }
    }

    /// A block as it lies in the file.
    pub(super) fn read_stored(&self, handle: Handle) -> Result<Vec<u8>> {
        self.check_readable()?;
        read_at(&*self.file, &self.path, handle, self.meta.bytes)
    }

    /// The blocks that belong to the whole file.
    pub(super) fn whole_blocks(&self) -> [Handle; 3] {
        [self.footer.filter, self.footer.index, self.footer.properties]
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    fn check_handle(&self, handle: Handle) -> Result<()> {
        check_handle(&self.path, handle, self.meta.bytes)
    }

    /// What the file says about itself.
    pub(crate) fn properties(&self) -> Result<Properties> {
        Properties::decode(&self.read(self.footer.properties)?)
            .ok_or_else(|| self.bad_block(self.footer.properties.offset))
    }

    pub(super) fn bad_block(&self, offset: u64) -> Error {
        Error::corruption(&self.path, offset, "an entry of the block does not decode")
    }

    /// The data key that the file's key was derived from; `None` if the file does not say so any more.
    pub(crate) fn data_key(&self) -> Option<DataKeyId> {
        self.cipher.as_ref().map(FileCipher::data_key)
    }

    /// Sets the file aside; `false` if it was before.
    pub(crate) fn set_aside(&self, damage: Damage) -> bool {
        self.damage.set(damage).is_ok()
    }

    /// Why the file is set aside.
    pub(crate) fn damage(&self) -> Option<&Damage> {
        self.damage.get()
    }

    /// Header and footer as they lie in the file now, checked; they must be those that it was opened with.
    pub(super) fn check_ends(&self) -> Result<()> {
        self.check_readable()?;
        read_header(&*self.file, &self.path, self.meta.number)?;
        let footer = Footer::read(&*self.file, &self.path, self.meta.bytes, self.meta.number)?;
        if footer == self.footer {
            Ok(())
        } else {
            let detail = "the footer is not the one that the file was opened with";
            Err(Error::corruption(&self.path, footer.at, detail))
        }
    }

    /// A block as it lies in the file, with others behind it.
    pub(super) fn read_ahead(&self, handle: Handle, ahead: &mut ReadAhead) -> Result<Vec<u8>> {
        self.check_readable()?;
        self.check_handle(handle)?;
        ahead.read(&*self.file, &self.path, handle, self.meta.bytes)
    }

    /// Lets the file be deleted when the last user is done with it. Only after a durable version edit that removes it.
    pub(crate) fn mark_obsolete(&self) {
        self.obsolete.store(true, Ordering::Release);
    }
}

/// Opens the file of an sstable; gives its path and its size in bytes, too.
fn open_to_read(context: &SstableContext, number: u64) -> Result<(PathBuf, Arc<dyn File>, u64)> {
    let path = FileName::Sstable(number).in_directory(&context.directory);
    let file = context.vfs.open(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Error::corruption(&path, 0, "the file is missing, although the manifest names it")
        }
        _ => Error::io("open", &path)(error),
    })?;
    let bytes = file.size().map_err(Error::io("measure", &path))?;
    Ok((path, file, bytes))
}

fn read_header(file: &dyn File, path: &Path, number: u64) -> Result<FileHeader> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0)
        .map_err(Error::io("read", path))?;
    FileHeader::decode(path, &header, FileKind::Sstable, number)
}

/// The end of a file as it is read when it is opened: all blocks that the footer names, in one read.
struct Tail {
    start: u64,
    bytes: Vec<u8>,
}

impl Tail {
    fn read(file: &dyn File, path: &Path, footer: &Footer) -> Result<Self> {
        let handles = [footer.index, footer.filter, footer.properties];
        for handle in handles {
            check_handle(path, handle, footer.at)?;
        }
        let start = handles.map(|handle| handle.offset).into_iter().min();
        let start = start.unwrap_or(footer.at);
        let length = usize::try_from(footer.at - start)
            .map_err(|_| Error::corruption(path, start, "the end of the file is too large"))?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, start)
            .map_err(Error::io("read", path))?;
        Ok(Self { start, bytes })
    }

    /// A block that the footer names, as it lies in the file.
    fn block(&self, path: &Path, handle: Handle) -> Result<Vec<u8>> {
        let from = handle.offset.checked_sub(self.start).map(usize::try_from);
        let block = from
            .and_then(std::result::Result::ok)
            .and_then(|from| self.bytes.get(from..from.checked_add(handle.length as usize)?));
        block
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::corruption(path, handle.offset, "a block handle points behind the blocks"))
    }
}

fn find_handle(index: &Index, target: Target<'_>) -> Option<Handle> {
    index.handle(index.find(target))
}

impl Drop for Sstable {
    fn drop(&mut self) {
        if let Some(pinned) = &self.pinned {
            self.context.cache.unpin(pinned.bytes);
        }
        if self.obsolete.load(Ordering::Acquire)
            && let Err(error) = self.context.vfs.remove(&self.path)
        {
            // No harm is done: the next start deletes what the manifest does not name.
            tracing::warn!(path = %self.path.display(), %error, "cannot delete an obsolete sstable");
        }
    }
}

fn check_handle(path: &Path, handle: Handle, end: u64) -> Result<()> {
    match handle.offset.checked_add(u64::from(handle.length)) {
        Some(block_end) if block_end <= end => Ok(()),
        _ => Err(Error::corruption(
            path,
            handle.offset,
            "a block handle points behind the blocks",
        )),
    }
}

fn read_at(file: &dyn File, path: &Path, handle: Handle, end: u64) -> Result<Vec<u8>> {
    check_handle(path, handle, end)?;
    let mut stored = vec![0; handle.length as usize];
    file.read_exact_at(&mut stored, handle.offset)
        .map_err(Error::io("read", path))?;
    Ok(stored)
}
