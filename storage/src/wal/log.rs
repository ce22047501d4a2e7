//! The log as all threads share it: its segments, its streams, and reading them back.
//!
//! Invariant: a place that is known here is written, and its segment is not freed as long as a live entry lies in it. The
//! lock is held shortly and never over I/O. Not here: the end of the log (`writer.rs`), when segments are freed
//! (`flush.rs`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use super::record::{RecordKind, Records, StreamId};
use super::segment::{Segment, SegmentContext};
use super::stream::{FramePlace, Stream, Streams};
use crate::crypto::DataKeyId;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};

/// So many frames are looked up at a time by a reader.
const RUNS_PER_LOOK: usize = 32;

/// An entry that takes less than this share of its frame is copied out of it, so that a reader who keeps the entry does
/// not keep the whole frame in memory.
const SHARE_KEPT: usize = 4;

/// What the log knows about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamInfo {
    /// The first entry that the stream has, if it is less than `next`.
    pub head: u64,
    /// The index that the next entry gets; 0 if the stream never had one.
    pub next: u64,
    /// What the owner last set as the stream's state; empty if it never did.
    pub state: Bytes,
}

impl StreamInfo {
    fn of(stream: &Stream) -> Self {
        Self {
            head: stream.extent.head,
            next: stream.extent.next,
            state: stream.state.clone(),
        }
    }
}

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index in the stream.
    pub index: u64,
    /// What was appended.
    pub payload: Bytes,
}

/// What the log holds and has done since the engine was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStatistics {
    /// Segments that are needed, the one in use among them.
    pub segments: u64,
    /// Their size on disk, without what is preallocated.
    pub bytes: u64,
    /// Frames written: one for each group of commits, and one at the beginning of each segment.
    pub frames: u64,
    /// Bytes written in them.
    pub frame_bytes: u64,
    /// Batches committed, of whatever kind.
    pub commits: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// The stream because of which the oldest segment is kept; `None` if only the segment in use is there.
    pub oldest_kept_for: Option<StreamId>,
}

impl LogStatistics {
    /// How many syncs a thousand commits took: the measure of group commit.
    pub fn syncs_per_1000_commits(&self) -> u64 {
        self.syncs * 1000 / self.commits.max(1)
    }
}

/// A place in the log between two frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    segment: u64,
    offset: u64,
}

/// A segment that is not free.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) segment: Arc<Segment>,
    /// No batch that was logged in it has a greater sequence number.
    pub(crate) own_last: SequenceNumber,
}

#[derive(Debug)]
struct Table {
    /// The last one is in use.
    segments: BTreeMap<u64, Held>,
    streams: Streams,
}

/// What was counted since the engine was opened.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) frames: AtomicU64,
    pub(super) frame_bytes: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// The segments and the streams of an open engine.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) context: SegmentContext,
    table: Mutex<Table>,
    pub(super) counters: Counters,
}

impl Log {
    pub(crate) fn new(context: SegmentContext, segments: BTreeMap<u64, Held>, streams: Streams) -> Self {
        Self {
            context,
            table: Mutex::new(Table { segments, streams }),
            counters: Counters::default(),
        }
    }

    /// Looks at the streams.
    pub(super) fn with_streams<R>(&self, look: impl FnOnce(&Streams) -> R) -> R {
        look(&self.table.lock().streams)
    }

    /// Puts a new segment in use. The one before is complete and holds batches up to `own_last`.
    pub(super) fn begin_segment(&self, segment: Arc<Segment>, own_last: SequenceNumber) {
        let mut table = self.table.lock();
        table.streams.own_next = own_last + 1;
        if let Some(mut before) = table.segments.last_entry() {
            before.get_mut().own_last = own_last;
        }
        let own_last = SequenceNumber::MAX;
        table
            .segments
            .insert(segment.number(), Held { segment, own_last });
    }

    /// Makes known what the frame at `place` holds for streams of the owner, in parts of its records; `true` if a stream
    /// needs fewer segments for it.
    pub(crate) fn apply<'a>(&self, parts: impl Iterator<Item = &'a [u8]>, place: FramePlace) -> bool {
        let mut table = self.table.lock();
        let mut fewer = false;
        for record in parts.flat_map(Records::new).map_while(Result::ok) {
            // Only what was admitted is written.
            fewer |= table.streams.apply(record, place).unwrap_or_default();
        }
        fewer
    }

    /// The data keys of the segments that are held.
    pub(crate) fn data_keys(&self) -> Vec<DataKeyId> {
        let table = self.table.lock();
        table
            .segments
            .values()
            .map(|held| held.segment.data_key())
            .collect()
    }

    /// Counts batches.
    pub(crate) fn count_commits(&self, commits: u64) {
        self.counters.commits.fetch_add(commits, Ordering::Relaxed);
    }

    fn current(&self) -> Option<Arc<Segment>> {
        let table = self.table.lock();
        let (_, held) = table.segments.last_key_value()?;
        Some(Arc::clone(&held.segment))
    }

    /// Makes everything that was written before the call durable.
    pub(crate) fn sync(&self) -> Result<()> {
        // Those before the current segment are complete.
        self.current()
            .map_or(Ok(()), |segment| self.sync_segment(&segment))
    }

    /// The place behind everything that was written before the call.
    pub(crate) fn end(&self) -> LogEnd {
        self.current().map_or(LogEnd::default(), |segment| LogEnd {
            segment: segment.number(),
            offset: segment.written(),
        })
    }

    /// Makes everything before `end` durable; no more than a look if it is.
    pub(crate) fn sync_up_to(&self, end: LogEnd) -> Result<()> {
        match self.current() {
            // Those before the current segment are complete.
            Some(segment) if segment.number() == end.segment && segment.durable() < end.offset => {
                self.sync_segment(&segment)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn sync_segment(&self, segment: &Segment) -> Result<()> {
        if segment.sync()? {
            self.counters.syncs.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where the log ends, if all of it is on disk and nothing in it says so of its last frame ([`LogWriter::seal`]).
    ///
    /// [`LogWriter::seal`]: super::writer::LogWriter::seal
    pub(crate) fn open_end(&self) -> Option<LogEnd> {
        let segment = self.current().filter(|segment| segment.is_open_ended())?;
        Some(LogEnd {
            segment: segment.number(),
            offset: segment.written(),
        })
    }

    /// The number of the segment in use.
    pub(crate) fn segment_number(&self) -> u64 {
        self.current().map_or(0, |segment| segment.number())
    }

    /// The segment that is the first to be needed when all batches up to `flushed` are in sstables, and the stream that
    /// needs it; `None` for the segment in use.
    pub(crate) fn first_needed(&self, flushed: SequenceNumber) -> (u64, Option<StreamId>) {
        let table = self.table.lock();
        let current = table.segments.last_key_value().map_or(0, |(number, _)| *number);
        let own = table
            .segments
            .range(..current)
            .find(|(_, held)| held.own_last > flushed);
        own.map(|(number, _)| (*number, StreamId::ENGINE))
            .into_iter()
            .chain(table.streams.oldest_segment())
            .filter(|(number, _)| *number < current)
            .min()
            .map_or((current, None), |(number, stream)| (number, Some(stream)))
    }

    /// How many segments have begun since the one with the oldest entry of a stream.
    pub(crate) fn segments_since(&self, stream: StreamId) -> u64 {
        let table = self.table.lock();
        let current = table.segments.last_key_value().map_or(0, |(number, _)| *number);
        let first = table.streams.get(stream).and_then(Stream::first_segment);
        first.map_or(0, |first| current.saturating_sub(first))
    }

    /// The data key of the segment with the oldest entry of a stream.
    pub(crate) fn first_data_key(&self, stream: StreamId) -> Option<DataKeyId> {
        let table = self.table.lock();
        let first = table.streams.get(stream).and_then(Stream::first_segment)?;
        Some(table.segments.get(&first)?.segment.data_key())
    }

    /// Takes out the segments before `first`, which nobody needs any more.
    pub(crate) fn take_before(&self, first: u64) -> Vec<Arc<Segment>> {
        let mut table = self.table.lock();
        let kept = table.segments.split_off(&first);
        let freed = std::mem::replace(&mut table.segments, kept);
        freed.into_values().map(|held| held.segment).collect()
    }

    pub(crate) fn stream(&self, stream: StreamId) -> Option<StreamInfo> {
        self.with_streams(|streams| streams.get(stream).map(StreamInfo::of))
    }

    pub(crate) fn streams(&self) -> Vec<(StreamId, StreamInfo)> {
        self.with_streams(|streams| {
            streams
                .iter()
                .map(|(id, stream)| (id, StreamInfo::of(stream)))
                .collect()
        })
    }

    pub(crate) fn frames(&self) -> u64 {
        self.counters.frames.load(Ordering::Relaxed)
    }

    pub(crate) fn statistics(&self, flushed: SequenceNumber) -> LogStatistics {
        let (_, oldest_kept_for) = self.first_needed(flushed);
        let table = self.table.lock();
        let counted = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStatistics {
            segments: table.segments.len() as u64,
            bytes: table.segments.values().map(|held| held.segment.written()).sum(),
            frames: counted(&self.counters.frames),
            frame_bytes: counted(&self.counters.frame_bytes),
            commits: counted(&self.counters.commits),
            syncs: counted(&self.counters.syncs),
            oldest_kept_for,
        }
    }

    /// The entries of `range` from its beginning on, as many as fit `bytes_max` and at least one, up to the end of the
    /// stream. They are entries of one moment: when the tail is cut meanwhile, reading ends there.
    pub(crate) fn read(
        &self,
        stream: StreamId,
        range: Range<u64>,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>> {
        let mut entries: Vec<LogEntry> = Vec::new();
        let mut bytes = 0;
        let mut last_read = None;
        loop {
            let looked = self.look_up(stream, range.clone(), last_read);
            // What was read is an answer, whatever has been cut since.
            let runs = if last_read.is_some() {
                looked.unwrap_or_default()
            } else {
                looked?
            };
            if runs.is_empty() {
                return Ok(entries);
            }
            for run in runs {
                for entry in run.read(stream)? {
                    bytes += entry.payload.len();
                    if bytes > bytes_max && !entries.is_empty() {
                        return Ok(entries);
                    }
                    entries.push(entry);
                }
                last_read = Some((run.entries.end - 1, run.place));
            }
        }
    }

    /// The first frames that hold entries of `range`, behind those that were read up to an entry in a frame; none if that
    /// entry is not there any more.
    fn look_up(
        &self,
        id: StreamId,
        mut range: Range<u64>,
        last_read: Option<(u64, FramePlace)>,
    ) -> Result<Vec<LocatedRun>> {
        let refused = |detail: String| Error::Invalid {
            what: "stream",
            detail,
        };
        let table = self.table.lock();
        let stream = table
            .streams
            .get(id)
            .ok_or_else(|| refused(format!("{id} does not exist; look at the streams there are")))?;
        if let Some((index, place)) = last_read {
            if stream
                .runs(index, index + 1)
                .next()
                .is_none_or(|run| run.0 != place)
            {
                return Ok(Vec::new());
            }
            range.start = index + 1;
        }
        let head = stream.extent.head;
        if range.start < head {
            let detail = format!(
                "{id} has no entry {} any more, its head was cut at {head}; read from there",
                range.start
            );
            return Err(refused(detail));
        }
        let runs = stream.runs(range.start, range.end).take(RUNS_PER_LOOK);
        Ok(runs
            .filter_map(|(place, first, end)| {
                let held = table.segments.get(&place.segment)?;
                Some(LocatedRun {
                    segment: Arc::clone(&held.segment),
                    place,
                    entries: first..end,
                })
            })
            .collect())
    }
}

/// Entries of a stream in one frame. Keeps the frame's segment from being written anew.
struct LocatedRun {
    segment: Arc<Segment>,
    place: FramePlace,
    entries: Range<u64>,
}

impl LocatedRun {
    fn read(&self, stream: StreamId) -> Result<Vec<LogEntry>> {
        let contents = self.segment.read_frame(self.place)?;
        entries_in(&contents, stream, self.entries.clone())
            .map_err(|detail| Error::corruption(self.segment.path(), self.place.offset, detail))
    }
}

/// The entries of `range` of a stream in a frame: what is left of them when the frame has been gone through.
fn entries_in(contents: &Bytes, stream: StreamId, range: Range<u64>) -> Result<Vec<LogEntry>, String> {
    let mut entries: Vec<LogEntry> = Vec::new();
    for record in Records::new(contents) {
        let record = record.map_err(|at| format!("no record begins {at} bytes into the frame"))?;
        if record.stream != stream {
            continue;
        }
        match record.kind {
            RecordKind::Entry if range.contains(&record.index) => entries.push(LogEntry {
                index: record.index,
                payload: contents.slice_ref(record.payload),
            }),
            RecordKind::TailCut => entries.retain(|entry| entry.index < record.index),
            RecordKind::Dropped => entries.clear(),
            _ => {}
        }
    }
    if !entries.iter().map(|entry| entry.index).eq(range.clone()) {
        return Err(format!(
            "entries {} to {} of stream {stream} are not there",
            range.start, range.end
        ));
    }
    let bytes: usize = entries.iter().map(|entry| entry.payload.len()).sum();
    if bytes * SHARE_KEPT < contents.len() {
        for entry in &mut entries {
            entry.payload = Bytes::copy_from_slice(&entry.payload);
        }
    }
    Ok(entries)
}
