//! A segment: one file of the log.
//!
//! Invariant: a file gets its place in the log with a header and a checkpoint that are durable; what was written and what
//! was synced only grow. Not here: what is appended (`writer.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame;
use super::stream::FramePlace;
use crate::crypto::{DataKeyId, FileCipher, KeyRing};
use crate::error::{Error, Result};
use crate::files::{FileName, TEMPORARY_EXTENSION, log_spare, log_spares};
use crate::header::{FileKind, HEADER_BYTES};
use crate::vfs::{File, Vfs};

/// Where the segments lie and how they are made.
#[derive(Clone, Debug)]
pub(crate) struct SegmentContext {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) keys: Arc<KeyRing>,
    pub(crate) directory: PathBuf,
    pub(crate) segment_bytes: u64,
}

/// An open segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<dyn File>,
    path: PathBuf,
    number: u64,
    cipher: FileCipher,
    /// Everything before this offset is written.
    written: AtomicU64,
    /// Everything before this offset is on disk.
    durable: AtomicU64,
    /// Where the last frame ends that says no more than that those before it are on disk.
    sealed: AtomicU64,
    /// Whether a sync has failed. Held while one is under way: the system tells an error once, to whoever comes first, and the next
    /// sync would succeed without having written anything.
    has_failed: Mutex<bool>,
}

impl Segment {
    /// A segment that recovery has read: complete, and durable up to `end`.
    pub(super) fn recovered(
        file: Arc<dyn File>,
        path: PathBuf,
        number: u64,
        cipher: FileCipher,
        end: u64,
    ) -> Self {
        Self {
            file,
            path,
            number,
            cipher,
            written: AtomicU64::new(end),
            durable: AtomicU64::new(end),
            sealed: AtomicU64::new(0),
            has_failed: Mutex::new(false),
        }
    }

    /// Creates segment `number`, from a spare file if there is one, else preallocated now. It begins with the frame
    /// `first_frame`, whose contents are `checkpoint`. Durable on return.
    pub(super) fn create(
        context: &SegmentContext,
        number: u64,
        first_frame: u64,
        checkpoint: &mut Vec<u8>,
    ) -> Result<Self> {
        let SegmentContext {
            vfs, keys, directory, ..
        } = context;
        let path = FileName::Log(number).in_directory(directory);
        let (header, cipher) = keys.new_file(FileKind::Log, number, first_frame)?;
        let start = HEADER_BYTES as u64;
        let place = frame::Place {
            offset: start,
            number: first_frame,
            durable: start,
        };
        frame::seal(checkpoint, &cipher, place);
        let file = if let Some((spare, file)) = open_spare(context)? {
            vfs.rename(&spare, &path).map_err(Error::io("rename", &spare))?;
            file
        } else {
            let file = vfs.create(&path).map_err(Error::io("create", &path))?;
            file.preallocate(context.segment_bytes)
                .map_err(Error::io("preallocate", &path))?;
            file
        };
        let bytes = [&header.encode()[..], checkpoint].concat();
        file.write_all_at(&bytes, 0).map_err(Error::io("write", &path))?;
        file.sync_data().map_err(Error::io("sync", &path))?;
        vfs.sync_dir(directory).map_err(Error::io("sync", directory))?;
        Ok(Self::recovered(file, path, number, cipher, bytes.len() as u64))
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn cipher(&self) -> &FileCipher {
        &self.cipher
    }

    /// The data key that the segment's key was derived from.
    pub(crate) fn data_key(&self) -> DataKeyId {
        self.cipher.data_key()
    }

    /// Everything before this offset is written.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Everything before this offset is on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Whether all of it is on disk and nothing in it says so of its last frame: bad bytes there would pass for an end that was
    /// never synced.
    pub(super) fn is_open_ended(&self) -> bool {
        let written = self.written();
        self.durable() == written && self.sealed.load(Ordering::Acquire) < written
    }

    /// The frame that was written last says that those before it are on disk.
    pub(super) fn note_sealed(&self) {
        self.sealed.store(self.written(), Ordering::Release);
    }

    /// Writes a frame behind what was written. For one writer at a time.
    pub(super) fn append(&self, frame: &[u8]) -> Result<()> {
        let offset = self.written();
        self.file
            .write_all_at(frame, offset)
            .map_err(Error::io("write", &self.path))?;
        self.written.store(offset + frame.len() as u64, Ordering::Release);
        Ok(())
    }

    /// Makes everything that was written before the call durable; `false` if it was already.
    pub(super) fn sync(&self) -> Result<bool> {
        if self.durable() >= self.written() {
            return Ok(false);
        }
        self.sync_once(|| {
            // Somebody else may have done it meanwhile.
            let written = self.written();
            if self.durable() >= written {
                return Ok(false);
            }
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
            self.durable.fetch_max(written, Ordering::AcqRel);
            Ok(true)
        })
    }

    /// Syncs, unless a sync has failed before.
    fn sync_once<T>(&self, sync: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut has_failed = self.has_failed.lock();
        if *has_failed {
            let failed = std::io::Error::other("an earlier sync of this file has failed");
            return Err(Error::io("sync", &self.path)(failed));
        }
        let synced = sync();
        *has_failed = synced.is_err();
        synced
    }

    /// Cuts off what is preallocated behind the last frame; durable on return.
    pub(super) fn complete(&self) -> Result<()> {
        self.file
            .truncate(self.written())
            .map_err(Error::io("truncate", &self.path))?;
        self.sync_once(|| self.file.sync_data().map_err(Error::io("sync", &self.path)))
    }

    /// The contents of a frame that was written.
    pub(crate) fn read_frame(&self, place: FramePlace) -> Result<Bytes> {
        let mut frame = vec![0; place.length];
        self.file
            .read_exact_at(&mut frame, place.offset)
            .map_err(Error::io("read", &self.path))?;
        frame::open(&self.path, &self.cipher, place.offset, frame)
    }

    /// Makes the file of a segment that nobody needs any more a spare file, if nobody reads it and there are not enough
    /// yet; otherwise removes it. What it held stays encrypted under a key that is gone with its header, and no frame of
    /// it passes for one of another segment.
    pub(crate) fn free(self: Arc<Self>, context: &SegmentContext) -> Result<()> {
        let vfs = &context.vfs;
        let is_whole = self.written() >= context.segment_bytes;
        match Arc::try_unwrap(self) {
            Ok(Self { file, path, .. }) => {
                let mut slots = log_spares(&context.directory).filter(|_| is_whole);
                let Some(spare) = slots.find(|slot| vfs.open(slot).is_err()) else {
                    return vfs.remove(&path).map_err(Error::io("remove", &path));
                };
                file.write_all_at(&[0; HEADER_BYTES], 0)
                    .map_err(Error::io("write", &path))?;
                file.sync_data().map_err(Error::io("sync", &path))?;
                vfs.rename(&path, &spare).map_err(Error::io("rename", &path))
            }
            Err(read) => vfs.remove(&read.path).map_err(Error::io("remove", &read.path)),
        }
    }
}

/// The first spare file there is.
fn open_spare(context: &SegmentContext) -> Result<Option<(PathBuf, Arc<dyn File>)>> {
    for spare in log_spares(&context.directory) {
        match context.vfs.open(&spare) {
            Ok(file) => return Ok(Some((spare, file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("open", &spare)(error)),
        }
    }
    Ok(None)
}

/// Prepares a file for the next segment if no spare one is there, so that the change of segments does not wait for it.
/// Called from the background; the writer takes the file only under its final name, so the two never meet half-way.
pub(crate) fn prepare_spare(context: &SegmentContext) -> Result<()> {
    let (vfs, directory) = (&context.vfs, &context.directory);
    if open_spare(context)?.is_some() {
        return Ok(());
    }
    let spare = log_spare(directory, 0);
    let temporary = spare.with_extension(TEMPORARY_EXTENSION);
    match vfs.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let file = vfs.create(&temporary).map_err(Error::io("create", &temporary))?;
    file.preallocate(context.segment_bytes)
        .map_err(Error::io("preallocate", &temporary))?;
    vfs.rename(&temporary, &spare)
        .map_err(Error::io("rename", &temporary))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::vfs::mem::MemVfs;

    #[test]
    fn no_sync_succeeds_after_one_that_has_failed() {
        let disk = MemVfs::new();
        let vfs: Arc<dyn Vfs> = Arc::new(disk.clone());
        let directory = Path::new("/d");
        let context = SegmentContext {
            keys: Arc::new(KeyRing::for_test(Arc::clone(&vfs), directory)),
            vfs,
            directory: directory.to_path_buf(),
            segment_bytes: 4096,
        };
        let mut checkpoint = Vec::new();
        frame::begin(&mut checkpoint);
        checkpoint.push(1);
        let segment = Segment::create(&context, 1, 1, &mut checkpoint).unwrap();
        let durable = segment.durable();
        segment.append(b"one").unwrap();
        disk.fail_sync_after(0);
        assert!(segment.sync().is_err());
        // The disk takes everything again, but of the first bytes it knows nothing.
        segment.append(b"two").unwrap();
        assert!(segment.sync().is_err());
        assert!(segment.complete().is_err());
        assert_eq!(segment.durable(), durable);
    }
}
