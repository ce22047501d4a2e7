//! The end of the log, where frames are appended.
//!
//! Invariant: one frame, one write; a segment is complete and durable before the next one takes its first frame. One
//! writer at a time; the commit path sees to that. After any error the log must not be used again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::frame::{self, FRAME_HEADER_BYTES, Place};
use super::log::Log;
use super::record::{RecordKind, StreamId, put_header};
use super::segment::Segment;
use super::stream::{Extents, FramePlace};
use crate::entry::SequenceNumber;
use crate::error::Result;

/// The buffer for frames is kept up to this size.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// No stream has this number: that it is dropped says nothing, to earlier programs as well.
const NOBODYS: StreamId = StreamId(u64::MAX);

/// A segment is at least so many times as large as the checkpoint that it begins with.
const CHECKPOINTS_PER_SEGMENT: u64 = 8;

/// The one who writes the log.
#[derive(Debug)]
pub(crate) struct LogWriter {
    log: Arc<Log>,
    segment: Arc<Segment>,
    /// Where the frames behind the checkpoint begin.
    first_offset: u64,
    next_frame: u64,
    /// The last batch of the engine's own that was logged.
    own_last: SequenceNumber,
    extents: Extents,
    /// The frame that is being gathered.
    frame: Vec<u8>,
}

impl LogWriter {
    /// Begins segment `number` with the frame `next_frame`.
    pub(crate) fn create(log: Arc<Log>, number: u64, next_frame: u64) -> Result<Self> {
        let (extents, own_next) = log.with_streams(|streams| (streams.extents(), streams.own_next));
        let own_last = own_next.saturating_sub(1);
        let mut frame = Vec::new();
        let segment = begin_segment(&log, number, next_frame, own_last, &mut frame)?;
        let first_offset = segment.written();
        Ok(Self {
            log,
            segment,
            first_offset,
            next_frame: next_frame + 1,
            own_last,
            extents,
            frame,
        })
    }

    /// Whether the segment has reached its size.
    pub(crate) fn is_full(&self) -> bool {
        let size = self.log.context.segment_bytes;
        self.segment.written() >= size.max(CHECKPOINTS_PER_SEGMENT * self.first_offset)
    }

    /// Whether it is time to prepare the next segment.
    pub(crate) fn is_half_full(&self) -> bool {
        self.segment.written() >= self.log.context.segment_bytes / 2
    }

    /// Begins to gather a frame.
    pub(crate) fn begin(&mut self) {
        frame::begin(&mut self.frame);
    }

    /// Adds the records of a log batch to the frame.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if they do not fit the streams; then nothing was added.
    pub(crate) fn add_records(&mut self, records: &[u8]) -> Result<()> {
        self.extents.admit(records)?;
        self.frame.extend_from_slice(records);
        Ok(())
    }

    /// Adds a batch of the engine's own to the frame.
    pub(crate) fn add_own(&mut self, sequence: SequenceNumber, entries: &[u8]) {
        // A batch is smaller than BATCH_BYTES_MAX.
        let length = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        put_header(
            &mut self.frame,
            RecordKind::Entry,
            StreamId::ENGINE,
            sequence,
            length,
        );
        self.frame.extend_from_slice(entries);
        self.own_last = sequence;
    }

    /// Writes the frame with one write, and says where; `None` if nothing was added to it. Not durable before
    /// [`LogWriter::sync`].
    pub(crate) fn write(&mut self) -> Result<Option<FramePlace>> {
        if self.frame.len() == FRAME_HEADER_BYTES {
            return Ok(None);
        }
        let offset = self.segment.written();
        let place = Place {
            offset,
            number: self.next_frame,
            durable: self.segment.durable(),
        };
        self.append(place)?;
        let counters = &self.log.counters;
        counters.frames.fetch_add(1, Ordering::Relaxed);
        counters
            .frame_bytes
            .fetch_add(self.frame.len() as u64, Ordering::Relaxed);
        let place = FramePlace {
            segment: self.segment.number(),
            offset,
            length: self.frame.len(),
        };
        if self.frame.capacity() > BUFFER_BYTES_KEPT {
            self.frame = Vec::new();
        }
        Ok(Some(place))
    }

    /// Writes a frame that says no more than that all before it is durable, if that is so and no frame says it yet. From then
    /// on the last frame that matters is not taken for a torn end when its bytes change on the disk. Not durable itself: if
    /// it is lost, all is as before.
    pub(crate) fn seal(&mut self) -> Result<()> {
        if !self.segment.is_open_ended() {
            return Ok(());
        }
        self.begin();
        put_header(&mut self.frame, RecordKind::Dropped, NOBODYS, 0, 0);
        let durable = self.segment.durable();
        self.append(Place {
            offset: durable,
            number: self.next_frame,
            durable,
        })?;
        self.segment.note_sealed();
        Ok(())
    }

    /// Completes the frame and writes it.
    fn append(&mut self, place: Place) -> Result<()> {
        frame::seal(&mut self.frame, self.segment.cipher(), place);
        self.segment.append(&self.frame)?;
        self.next_frame += 1;
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&self) -> Result<()> {
        self.log.sync_segment(&self.segment)
    }

    /// Makes everything written durable and cuts off what is preallocated behind it. Nothing can be written after that.
    pub(crate) fn complete(&self) -> Result<()> {
        self.sync()?;
        self.segment.complete()
    }

    /// Completes the segment and begins the next one.
    pub(crate) fn rotate(&mut self) -> Result<()> {
        self.complete()?;
        let number = self.segment.number() + 1;
        self.segment = begin_segment(&self.log, number, self.next_frame, self.own_last, &mut self.frame)?;
        self.first_offset = self.segment.written();
        self.next_frame += 1;
        Ok(())
    }
}

/// Creates a segment that begins with a checkpoint, and puts it in use.
fn begin_segment(
    log: &Log,
    number: u64,
    first_frame: u64,
    own_last: SequenceNumber,
    buffer: &mut Vec<u8>,
) -> Result<Arc<Segment>> {
    frame::begin(buffer);
    log.with_streams(|streams| streams.encode_checkpoint(own_last + 1, buffer));
    let segment = Arc::new(Segment::create(&log.context, number, first_frame, buffer)?);
    log.begin_segment(Arc::clone(&segment), own_last);
    log.counters.frames.fetch_add(1, Ordering::Relaxed);
    log.counters
        .frame_bytes
        .fetch_add(buffer.len() as u64, Ordering::Relaxed);
    Ok(segment)
}
