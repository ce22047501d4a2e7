//! Reading the log back after a start.
//!
//! Invariant: every record handed on is valid and follows the one before; what was never synced is cut off the last
//! segment, and the cut is durable before a new segment begins. Not here: what the engine's own records do to the
//! memtable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use bytes::Bytes;

use super::frame::{End, FRAME_HEADER_BYTES, Frame, FrameReader, refuse_if_synced};
use super::log::Held;
use super::record::{Record, RecordKind, Records, StreamId};
use super::segment::{Segment, SegmentContext};
use super::stream::{FramePlace, Streams};
use crate::batch::{BatchEntries, BatchEntry};
use crate::drive::Drive;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::files::{FileName, read_open_file};
use crate::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::vfs::{File, Vfs};

/// What the log held.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: BTreeMap<u64, Held>,
    pub(crate) streams: Streams,
    /// The segment that comes next.
    pub(crate) next_segment: u64,
    /// The frame that comes next.
    pub(crate) next_frame: u64,
}

impl Recovered {
    /// Refuses a log that does not begin where it must.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`].
    pub(crate) fn require_beginning(&self, directory: &Path, log_start: u64) -> Result<()> {
        if self.segments.is_empty() && log_start > 1 {
            let start = FileName::Log(log_start).in_directory(directory);
            let detail = "the manifest says that the log begins here, but it does not";
            return Err(Error::corruption(&start, 0, detail));
        }
        Ok(())
    }

    /// Refuses a log that lacks entries which a stream has by what it says of itself.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`].
    pub(crate) fn require_streams(&self, directory: &Path, log_start: u64) -> Result<()> {
        let Some((stream, head, found)) = self.streams.incomplete() else {
            return Ok(());
        };
        let start = FileName::Log(log_start).in_directory(directory);
        let detail =
            format!("stream {stream} begins with entry {head}, but the log has it only from {found} on");
        Err(Error::corruption(&start, 0, detail))
    }
}

/// A batch of the engine's own, as it lies in the log.
#[derive(Debug)]
pub(crate) struct OwnBatch<'a> {
    pub(crate) path: &'a Path,
    pub(crate) segment: u64,
    /// Of its frame.
    pub(crate) offset: u64,
    pub(crate) sequence: SequenceNumber,
    pub(crate) entries: Bytes,
}

impl OwnBatch<'_> {
    /// Its entries, of whatever keyspace.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] for one that does not decode, or that names a keyspace from `next_keyspace` on, which was never
    /// created.
    pub(crate) fn decode(&self, next_keyspace: u32) -> Result<Vec<BatchEntry<'_>>> {
        let bad = |detail: String| Error::corruption(self.path, self.offset, detail);
        let entries = BatchEntries::new(&self.entries).map(|entry| {
            let entry = entry.map_err(|at| {
                bad(format!(
                    "an entry of batch {} does not decode at {at}",
                    self.sequence
                ))
            })?;
            if entry.keyspace.0 == 0 || entry.keyspace.0 >= next_keyspace {
                return Err(bad(format!("keyspace {} was never created", entry.keyspace)));
            }
            Ok(entry)
        });
        entries.collect()
    }
}

/// What the manifest says about the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected {
    /// The first segment that is needed.
    pub(crate) log_start: u64,
    /// The sstables hold every batch up to this one.
    pub(crate) last_sequence: SequenceNumber,
}

/// Replays the segments from the log start on. `replay` gets the batches of the engine's own that no sstable has.
///
/// # Errors
///
/// [`Error::Corruption`] for a gap in the segments or in a stream, a bad frame before the end, or whatever `replay`
/// refuses.
pub(crate) fn recover(
    context: &SegmentContext,
    expected: Expected,
    drive: Drive,
    replay: &mut dyn FnMut(OwnBatch<'_>) -> Result<()>,
) -> Result<Recovered> {
    let recovered = read_back(context, expected, Purpose::Start(drive), replay)?;
    recovered.require_beginning(&context.directory, expected.log_start)?;
    recovered.require_streams(&context.directory, expected.log_start)?;
    Ok(recovered)
}

/// Reads what [`recover`] would read, and changes nothing. What the log lacks as a whole is left to be asked of what it gives.
///
/// # Errors
///
/// Where [`recover`] could not read on.
pub(crate) fn look(
    context: &SegmentContext,
    expected: Expected,
    replay: &mut dyn FnMut(OwnBatch<'_>) -> Result<()>,
) -> Result<Recovered> {
    read_back(context, expected, Purpose::Look, replay)
}

/// What the log is read back for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To go on behind it: what was never synced is cut off, and the rest is durable then.
    Start(Drive),
    /// To know what is in it.
    Look,
}

fn read_back(
    context: &SegmentContext,
    expected: Expected,
    purpose: Purpose,
    replay: &mut dyn FnMut(OwnBatch<'_>) -> Result<()>,
) -> Result<Recovered> {
    let (vfs, directory) = (&*context.vfs, &context.directory);
    let numbers = segments(vfs, directory, expected.log_start)?;
    let mut recovery = Recovery {
        context,
        expected,
        purpose,
        recovered: Recovered {
            segments: BTreeMap::new(),
            streams: Streams::beginning_at(expected.last_sequence + 1),
            next_segment: expected.log_start,
            next_frame: 1,
        },
    };
    let mut found = numbers.iter().map(|&number| {
        let is_last = Some(&number) == numbers.last();
        find(vfs, directory, number, is_last)
    });
    match purpose {
        Purpose::Start(Drive::Threads) => thread::scope(|scope| {
            // One segment is read while the one before is replayed.
            let (sender, segments) = sync_channel(0);
            // Until nobody wants them any more.
            scope.spawn(move || found.try_for_each(|found| sender.send(found)));
            segments
                .into_iter()
                .try_for_each(|found| recovery.read_segment(found?, replay))
        })?,
        Purpose::Start(Drive::Caller) | Purpose::Look => {
            found.try_for_each(|found| recovery.read_segment(found?, replay))?;
        }
    }
    Ok(recovery.recovered)
}

/// The numbers of the segments that count, ascending.
fn segments(vfs: &dyn Vfs, directory: &Path, log_start: u64) -> Result<Vec<u64>> {
    let names = vfs.list(directory).map_err(Error::io("list", directory))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| match FileName::parse(name) {
            Some(FileName::Log(number)) if number >= log_start => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of a segment, and all that is in it.
struct Found {
    number: u64,
    path: PathBuf,
    file: Arc<dyn File>,
    bytes: Bytes,
    is_last: bool,
}

/// Reads a segment whole.
fn find(vfs: &dyn Vfs, directory: &Path, number: u64, is_last: bool) -> Result<Found> {
    let path = FileName::Log(number).in_directory(directory);
    let file = vfs.open(&path).map_err(Error::io("open", &path))?;
    let bytes = read_open_file(&*file, &path)?;
    Ok(Found {
        number,
        path,
        file,
        bytes,
        is_last,
    })
}

/// A log that is read back.
struct Recovery<'a> {
    context: &'a SegmentContext,
    expected: Expected,
    purpose: Purpose,
    recovered: Recovered,
}

impl Recovery<'_> {
    fn read_segment(
        &mut self,
        found: Found,
        replay: &mut dyn FnMut(OwnBatch<'_>) -> Result<()>,
    ) -> Result<()> {
        let Found {
            number,
            path,
            file,
            bytes,
            is_last,
        } = found;
        if number != self.recovered.next_segment {
            let detail = format!(
                "the log continues here, but segment {} is missing",
                self.recovered.next_segment
            );
            return Err(Error::corruption(&path, 0, detail));
        }
        if is_last && bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
            return self.without_header(&path, &bytes, number);
        }
        let header = FileHeader::decode(&path, &bytes, FileKind::Log, number)?;
        let cipher = self.context.keys.cipher(&path, &header)?;
        let first_frame = header.first_sequence;
        if !self.recovered.segments.is_empty() && first_frame != self.recovered.next_frame {
            let next = self.recovered.next_frame;
            let detail = format!("the segment begins with frame {first_frame}, not {next}");
            return Err(Error::corruption(&path, FIRST_FRAME_OFFSET, detail));
        }
        let mut reader = FrameReader::new(&path, &bytes, &cipher, first_frame);
        let Some(checkpoint) = reader.next_frame()? else {
            reader.end()?;
            return self.without_checkpoint(&path, number, is_last);
        };
        self.read_checkpoint(&path, &checkpoint)?;
        while let Some(frame) = reader.next_frame()? {
            self.read_frame(&path, number, &frame, replay)?;
        }
        let next_frame = reader.expected();
        let end = match reader.end()? {
            End::Exact => bytes.len() as u64,
            End::Torn(offset) if is_last => offset,
            End::Torn(offset) => {
                let detail = "the frame does not check, but later segments follow";
                return Err(Error::corruption(&path, offset, detail));
            }
        };
        if is_last && self.purpose != Purpose::Look {
            complete(&*file, &path, &bytes, end, reader.synced())?;
        }
        let held = Held {
            segment: Arc::new(Segment::recovered(file, path, number, cipher, end)),
            own_last: self.recovered.streams.own_next.saturating_sub(1),
        };
        self.recovered.segments.insert(number, held);
        self.recovered.next_segment = number + 1;
        self.recovered.next_frame = next_frame;
        Ok(())
    }

    /// What the last segment is whose header is zeros: one that a crash interrupted in its making, unless frames in it show that it
    /// was used, or the manifest names it. Nothing of those is removed.
    fn without_header(&self, path: &Path, bytes: &[u8], number: u64) -> Result<()> {
        refuse_if_synced(path, bytes, number, HEADER_BYTES)?;
        if number == self.expected.log_start && number > 1 {
            return Err(Error::corruption(path, 0, "the header of the segment is zeros"));
        }
        self.remove_unused(path)
    }

    /// What a segment is whose checkpoint does not check, when nothing shows that it was ever synced: one that a crash
    /// interrupted in its making. Unless the manifest names it, or another one follows it.
    fn without_checkpoint(&self, path: &Path, number: u64, is_last: bool) -> Result<()> {
        if !is_last || (number == self.expected.log_start && number > 1) {
            let detail = "the checkpoint at the beginning of the segment does not check";
            return Err(Error::corruption(path, HEADER_BYTES as u64, detail));
        }
        self.remove_unused(path)
    }

    fn remove_unused(&self, path: &Path) -> Result<()> {
        if self.purpose == Purpose::Look {
            return Ok(());
        }
        let SegmentContext { vfs, directory, .. } = self.context;
        vfs.remove(path).map_err(Error::io("remove", path))?;
        vfs.sync_dir(directory).map_err(Error::io("sync", directory))
    }

    /// The first checkpoint says how the streams are, the others what is known already.
    fn read_checkpoint(&mut self, path: &Path, frame: &Frame) -> Result<()> {
        let bad = |detail: String| Error::corruption(path, frame.offset, detail);
        let streams = Streams::decode_checkpoint(&frame.contents).map_err(|at| {
            bad(format!(
                "the checkpoint does not decode {at} bytes into the frame"
            ))
        })?;
        if !self.recovered.segments.is_empty() {
            return match self.recovered.streams.difference(&streams) {
                Some(stream) => Err(bad(format!(
                    "the checkpoint has stream {stream} otherwise than the segments before it"
                ))),
                None => Ok(()),
            };
        }
        if streams.own_next > self.expected.last_sequence + 1 {
            return Err(bad(format!(
                "the log begins behind batch {}, but the sstables end with {}",
                streams.own_next - 1,
                self.expected.last_sequence
            )));
        }
        self.recovered.streams = streams;
        Ok(())
    }

    fn read_frame(
        &mut self,
        path: &Path,
        segment: u64,
        frame: &Frame,
        replay: &mut dyn FnMut(OwnBatch<'_>) -> Result<()>,
    ) -> Result<()> {
        let place = FramePlace {
            segment,
            offset: frame.offset,
            length: frame.length,
        };
        for record in Records::new(&frame.contents) {
            let bad = |at: usize, detail: &str| {
                let offset = frame.offset + (FRAME_HEADER_BYTES + at) as u64;
                Error::corruption(path, offset, detail)
            };
            let record = record.map_err(|at| bad(at, "the record does not decode"))?;
            let streams = &mut self.recovered.streams;
            if record.stream != StreamId::ENGINE && record.kind != RecordKind::Checkpoint {
                streams
                    .apply(record, place)
                    .map_err(|detail| bad(record.at, &format!("stream {}: {detail}", record.stream)))?;
                continue;
            }
            let Record { kind, index, .. } = record;
            if kind != RecordKind::Entry || index < streams.own_next {
                return Err(bad(
                    record.at,
                    "no such record of the engine's own can follow here",
                ));
            }
            streams.own_next = index + 1;
            if index > self.expected.last_sequence {
                replay(OwnBatch {
                    path,
                    segment,
                    offset: frame.offset,
                    sequence: index,
                    entries: frame.contents.slice_ref(record.payload),
                })?;
            }
        }
        Ok(())
    }
}

/// Where the header of a segment has the number of its first frame.
const FIRST_FRAME_OFFSET: u64 = 24;

/// Cuts off what was never synced, and makes the rest of the last segment durable: it may have been written by a process that
/// was killed before it synced it, or whose sync failed. The system then holds for written what the disk does not have, and a
/// sync alone would write nothing of it; so all behind what a frame knows to be synced is written once more.
fn complete(file: &dyn File, path: &Path, bytes: &[u8], end: u64, synced: u64) -> Result<()> {
    // With the checkpoint nothing says yet that the header is durable.
    let from = if synced > HEADER_BYTES as u64 { synced } else { 0 };
    let rest = usize::try_from(from)
        .ok()
        .zip(usize::try_from(end).ok())
        .and_then(|(from, end)| bytes.get(from..end))
        .unwrap_or_default();
    // Also when it has this size: that it is cut may be what has failed.
    file.truncate(end).map_err(Error::io("truncate", path))?;
    if !rest.is_empty() {
        file.write_all_at(rest, from).map_err(Error::io("write", path))?;
    }
    file.sync_data().map_err(Error::io("sync", path))
}
