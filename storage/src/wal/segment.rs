//! Writing the log: append, sync, change of segment.
//!
//! Invariant: a segment is complete and durable before the next one takes its first record. One writer at a time; the
//! commit path sees to that. After any error the log must not be used again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::crypto::KeyRing;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::files::{FileName, LOG_SPARE};
use crate::header::{FileKind, HEADER_BYTES};
use crate::vfs::{File, Vfs};

/// Buffers for groups of records are kept up to this size.
const GATHER_BYTES_KEPT: usize = 4 << 20;

/// A segment file that is open for writing.
#[derive(Debug)]
pub(crate) struct Segment {
    file: Arc<dyn File>,
    path: PathBuf,
    number: u64,
    /// Everything before this offset is on disk.
    durable: AtomicU64,
}

impl Segment {
    /// Creates segment `number`, from the spare file if there is one, else preallocated now.
    fn create(
        vfs: &dyn Vfs,
        keys: &KeyRing,
        directory: &Path,
        number: u64,
        first_sequence: SequenceNumber,
        segment_bytes: u64,
    ) -> Result<Arc<Self>> {
        let path = FileName::Log(number).in_directory(directory);
        let spare = directory.join(LOG_SPARE);
        let (header, _) = keys.new_file(FileKind::Log, number, first_sequence)?;
        let header = header.encode();
        let file = match vfs.open(&spare) {
            Ok(file) => {
                vfs.rename(&spare, &path).map_err(Error::io("rename", &spare))?;
                file
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let file = vfs.create(&path).map_err(Error::io("create", &path))?;
                file.preallocate(segment_bytes)
                    .map_err(Error::io("preallocate", &path))?;
                file
            }
            Err(error) => return Err(Error::io("open", &spare)(error)),
        };
        file.write_all_at(&header, 0).map_err(Error::io("write", &path))?;
        file.sync_data().map_err(Error::io("sync", &path))?;
        vfs.sync_dir(directory).map_err(Error::io("sync", directory))?;
        let durable = AtomicU64::new(HEADER_BYTES as u64);
        Ok(Arc::new(Self {
            file,
            path,
            number,
            durable,
        }))
    }

    /// Makes what was written before `offset` durable.
    pub(crate) fn sync_to(&self, offset: u64) -> Result<()> {
        if self.durable() >= offset {
            return Ok(());
        }
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        self.durable.fetch_max(offset, Ordering::AcqRel);
        Ok(())
    }

    /// Everything before this offset is on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }
}

/// Prepares the file that becomes the next segment, so that the change of segments does not wait for it. Called from
/// the background; the writer takes the file only under its final name, so the two never meet half-way.
pub(crate) fn prepare_spare(vfs: &dyn Vfs, directory: &Path, segment_bytes: u64) -> Result<()> {
    let spare = directory.join(LOG_SPARE);
    if vfs.open(&spare).is_ok() {
        return Ok(());
    }
    let temporary = directory.join(format!("{LOG_SPARE}.tmp"));
    match vfs.remove(&temporary) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let file = vfs.create(&temporary).map_err(Error::io("create", &temporary))?;
    file.preallocate(segment_bytes)
        .map_err(Error::io("preallocate", &temporary))?;
    vfs.rename(&temporary, &spare)
        .map_err(Error::io("rename", &temporary))
}

/// The end of the log, where records are appended.
#[derive(Debug)]
pub(crate) struct LogWriter {
    vfs: Arc<dyn Vfs>,
    keys: Arc<KeyRing>,
    directory: PathBuf,
    segment_bytes: u64,
    segment: Arc<Segment>,
    /// Where the next record goes.
    offset: u64,
    gather: Vec<u8>,
}

impl LogWriter {
    /// Begins segment `number`, whose first record will have `first_sequence`.
    pub(crate) fn create(
        vfs: Arc<dyn Vfs>,
        keys: Arc<KeyRing>,
        directory: &Path,
        segment_bytes: u64,
        number: u64,
        first_sequence: SequenceNumber,
    ) -> Result<Self> {
        let segment = Segment::create(&*vfs, &keys, directory, number, first_sequence, segment_bytes)?;
        let directory = directory.to_path_buf();
        let offset = HEADER_BYTES as u64;
        Ok(Self {
            vfs,
            keys,
            directory,
            segment_bytes,
            segment,
            offset,
            gather: Vec::new(),
        })
    }

    /// The number of the segment in use.
    pub(crate) fn segment_number(&self) -> u64 {
        self.segment.number
    }

    /// The segment in use and how far it is written: what a sync from another thread needs.
    pub(crate) fn position(&self) -> (Arc<Segment>, u64) {
        (Arc::clone(&self.segment), self.offset)
    }

    /// Everything in this segment before this offset is on disk.
    pub(crate) fn durable(&self) -> u64 {
        self.segment.durable()
    }

    /// Whether the segment has reached its size.
    pub(crate) fn is_full(&self) -> bool {
        self.offset >= self.segment_bytes
    }

    /// Whether it is time to prepare the next segment.
    pub(crate) fn is_half_full(&self) -> bool {
        self.offset >= self.segment_bytes / 2
    }

    /// Whether the segment has no record yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.offset == HEADER_BYTES as u64
    }

    /// Writes sealed records with one write. Not durable before [`LogWriter::sync`].
    pub(crate) fn append(&mut self, records: &[Bytes]) -> Result<()> {
        let bytes = if let [record] = records {
            &record[..]
        } else {
            self.gather.clear();
            for record in records {
                self.gather.extend_from_slice(record);
            }
            &self.gather
        };
        self.segment
            .file
            .write_all_at(bytes, self.offset)
            .map_err(Error::io("write", &self.segment.path))?;
        self.offset += bytes.len() as u64;
        if self.gather.capacity() > GATHER_BYTES_KEPT {
            self.gather = Vec::new();
        }
        Ok(())
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.segment.sync_to(self.offset)
    }

    /// Completes the segment and begins the next one, whose first record will have `first_sequence`.
    pub(crate) fn rotate(&mut self, first_sequence: SequenceNumber) -> Result<()> {
        self.sync()?;
        let segment = &self.segment;
        segment
            .file
            .truncate(self.offset)
            .map_err(Error::io("truncate", &segment.path))?;
        segment
            .file
            .sync_data()
            .map_err(Error::io("sync", &segment.path))?;
        let number = segment.number + 1;
        self.segment = Segment::create(
            &*self.vfs,
            &self.keys,
            &self.directory,
            number,
            first_sequence,
            self.segment_bytes,
        )?;
        self.offset = HEADER_BYTES as u64;
        Ok(())
    }
}
