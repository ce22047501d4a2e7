//! Streams: which entries each has, its state, and where in the log the entries lie.
//!
//! Invariant: the entries of a stream are the indices from its head up to, not including, its next one; each of them has
//! one place. Indices leave no gap unless the owner asks for one by a cut beyond the end. Not here: reading a place
//! (`log.rs`).

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::record::{Record, RecordKind, Records, StreamId, put_header};
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::header::u64_at;

/// Which entries a stream has. A stream whose next index is 0 never had one: it may begin anywhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) head: u64,
    pub(crate) next: u64,
}

impl Extent {
    /// Makes the change of a record, or says why it does not fit. Drops are for whoever has the streams.
    fn step(&mut self, kind: RecordKind, index: u64) -> Result<(), String> {
        let Self { head, next } = *self;
        match kind {
            RecordKind::Entry if next == 0 => *self = Self::empty_at(index).extended(),
            RecordKind::Entry if index == next => *self = self.extended(),
            RecordKind::Entry if index < next => {
                return Err(format!(
                    "entry {index} is not after the last one, {}; cut the tail first",
                    next - 1
                ));
            }
            RecordKind::Entry => {
                return Err(format!("entry {index} leaves a gap, {next} comes next"));
            }
            RecordKind::HeadCut if index > next => *self = Self::empty_at(index),
            RecordKind::HeadCut => self.head = head.max(index),
            RecordKind::TailCut if index < head => {
                return Err(format!(
                    "the tail cannot be cut at {index}, before the head {head}"
                ));
            }
            RecordKind::TailCut => self.next = next.min(index),
            RecordKind::State | RecordKind::Dropped | RecordKind::Checkpoint => {}
        }
        Ok(())
    }

    fn empty_at(index: u64) -> Self {
        Self {
            head: index,
            next: index,
        }
    }

    fn extended(self) -> Self {
        Self {
            head: self.head,
            next: self.next.saturating_add(1),
        }
    }

    fn is_empty(self) -> bool {
        self.head == self.next
    }
}

/// The extents that the streams will have when everything admitted is written.
#[derive(Debug, Default)]
pub(crate) struct Extents(BTreeMap<StreamId, Extent>);

impl Extents {
    /// Admits the records of a batch, all or none.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] names the stream and what does not fit.
    pub(crate) fn admit(&mut self, records: &[u8]) -> Result<()> {
        let mut before: Vec<(StreamId, Option<Extent>)> = Vec::new();
        for record in Records::new(records).map_while(Result::ok) {
            let stream = record.stream;
            if before.last().is_none_or(|(last, _)| *last != stream) {
                before.push((stream, self.0.get(&stream).copied()));
            }
            if record.kind == RecordKind::Dropped {
                self.0.remove(&stream);
                continue;
            }
            let refused = self.0.entry(stream).or_default().step(record.kind, record.index);
            if let Err(detail) = refused {
                for (stream, extent) in before.into_iter().rev() {
                    match extent {
                        Some(extent) => self.0.insert(stream, extent),
                        None => self.0.remove(&stream),
                    };
                }
                let detail = format!("stream {stream}: {detail}");
                return Err(Error::Invalid {
                    what: "log batch",
                    detail,
                });
            }
        }
        Ok(())
    }
}

/// A frame of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramePlace {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// Entries of a stream that lie in one frame: from `first` up to the next run.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    place: FramePlace,
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) extent: Extent,
    pub(crate) state: Bytes,
    runs: VecDeque<Run>,
}

impl Stream {
    /// The segment that holds the oldest entry.
    pub(crate) fn first_segment(&self) -> Option<u64> {
        self.runs.front().map(|run| run.place.segment)
    }

    fn apply(&mut self, record: Record<'_>, place: FramePlace) -> Result<(), String> {
        self.extent.step(record.kind, record.index)?;
        match record.kind {
            RecordKind::Entry => {
                if self.runs.back().is_none_or(|run| run.place != place) {
                    let first = record.index;
                    if self.runs.capacity() == 0 {
                        // A stream that rests has a single one, and there are thousands of those.
                        self.runs.reserve_exact(1);
                    }
                    self.runs.push_back(Run { first, place });
                }
            }
            RecordKind::State => self.state = Bytes::copy_from_slice(record.payload),
            RecordKind::HeadCut => {
                let head = self.extent.head;
                while self.runs.get(1).is_some_and(|second| second.first <= head) {
                    self.runs.pop_front();
                }
            }
            RecordKind::TailCut => {
                while self.runs.back().is_some_and(|run| run.first >= self.extent.next) {
                    self.runs.pop_back();
                }
            }
            RecordKind::Dropped | RecordKind::Checkpoint => {}
        }
        if self.extent.is_empty() {
            self.runs.clear();
        }
        Ok(())
    }

    /// The runs that hold the entries from `from` up to `to`, each with its share of them.
    pub(crate) fn runs(&self, from: u64, to: u64) -> impl Iterator<Item = (FramePlace, u64, u64)> {
        let position = self.runs.partition_point(|run| run.first <= from);
        (position.saturating_sub(1)..self.runs.len())
            .map_while(move |at| {
                let run = self.runs.get(at)?;
                let end = self.runs.get(at + 1).map_or(self.extent.next, |run| run.first);
                Some((run.place, run.first.max(from), end.min(to)))
            })
            .take_while(|(_, first, end)| first < end)
    }
}

/// All streams of the owner, and how far the engine's own one is.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    /// Boxed, because a node of the tree has room for eleven, of which half is empty when they came in order.
    streams: BTreeMap<StreamId, Box<Stream>>,
    /// One more than the sequence number of the last batch that was logged.
    pub(crate) own_next: SequenceNumber,
}

impl Streams {
    /// No stream, and nothing logged before `own_next`.
    pub(crate) fn beginning_at(own_next: SequenceNumber) -> Self {
        Self {
            streams: BTreeMap::new(),
            own_next,
        }
    }

    pub(crate) fn get(&self, stream: StreamId) -> Option<&Stream> {
        self.streams.get(&stream).map(|stream| &**stream)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        self.streams.iter().map(|(id, stream)| (*id, &**stream))
    }

    pub(crate) fn extents(&self) -> Extents {
        Extents(self.iter().map(|(id, stream)| (id, stream.extent)).collect())
    }

    /// Makes the change of a record that lies in the frame at `place`; `true` if a stream needs fewer segments for it.
    ///
    /// # Errors
    ///
    /// What does not fit, if the record was not admitted.
    pub(crate) fn apply(&mut self, record: Record<'_>, place: FramePlace) -> Result<bool, String> {
        if record.kind == RecordKind::Dropped {
            let dropped = self.streams.remove(&record.stream);
            return Ok(dropped.is_some_and(|stream| stream.first_segment().is_some()));
        }
        let stream = self.streams.entry(record.stream).or_default();
        let before = stream.first_segment();
        stream.apply(record, place)?;
        Ok(before.is_some() && before != stream.first_segment())
    }

    /// The oldest segment that a stream has entries in, and the stream.
    pub(crate) fn oldest_segment(&self) -> Option<(u64, StreamId)> {
        self.iter()
            .filter_map(|(id, stream)| Some((stream.first_segment()?, id)))
            .min()
    }

    /// A stream of which some entries lie nowhere: the stream, and the entries.
    pub(crate) fn incomplete(&self) -> Option<(StreamId, u64, u64)> {
        self.iter().find_map(|(id, stream)| {
            let Extent { head, next } = stream.extent;
            let found = stream.runs.front().map_or(next, |run| run.first);
            (head < found).then_some((id, head, found))
        })
    }

    /// Appends the records with which a segment begins: all that is known about every stream except its entries, and
    /// `own_next` for the engine's own, of which only the writer knows how far it is.
    pub(crate) fn encode_checkpoint(&self, own_next: SequenceNumber, into: &mut Vec<u8>) {
        let own = Extent {
            head: 0,
            next: own_next,
        };
        put_checkpoint(into, StreamId::ENGINE, own, &[]);
        for (id, stream) in self.iter() {
            put_checkpoint(into, id, stream.extent, &stream.state);
        }
    }

    /// The streams as the checkpoint `contents` has them, without places; `Err` is the offset of what is not understood.
    pub(crate) fn decode_checkpoint(contents: &[u8]) -> Result<Self, usize> {
        let mut streams = Self::default();
        let mut last: Option<StreamId> = None;
        for record in Records::new(contents) {
            let record = record?;
            let head = u64_at(record.payload, 0).filter(|_| record.kind == RecordKind::Checkpoint);
            let extent = Extent {
                head: head.ok_or(record.at)?,
                next: record.index,
            };
            // The engine's own stream comes first, the others in ascending order.
            let in_order = match last {
                None => record.stream == StreamId::ENGINE,
                Some(last) => record.stream > last,
            };
            if extent.head > extent.next || !in_order {
                return Err(record.at);
            }
            last = Some(record.stream);
            if record.stream == StreamId::ENGINE {
                streams.own_next = record.index;
                continue;
            }
            let stream = Stream {
                extent,
                state: Bytes::copy_from_slice(&record.payload[8..]),
                runs: VecDeque::new(),
            };
            streams.streams.insert(record.stream, Box::new(stream));
        }
        Ok(streams)
    }

    /// The first stream that differs from `other` in its entries or its state.
    pub(crate) fn difference(&self, other: &Self) -> Option<StreamId> {
        if self.own_next != other.own_next {
            return Some(StreamId::ENGINE);
        }
        let same = |id: &StreamId| match (self.get(*id), other.get(*id)) {
            (Some(one), Some(other)) => one.extent == other.extent && one.state == other.state,
            _ => false,
        };
        let mut ids = self.streams.keys().chain(other.streams.keys());
        ids.find(|id| !same(id)).copied()
    }
}

fn put_checkpoint(into: &mut Vec<u8>, stream: StreamId, extent: Extent, state: &[u8]) {
    let length = u32::try_from(8 + state.len()).unwrap_or(u32::MAX);
    put_header(into, RecordKind::Checkpoint, stream, extent.next, length);
    into.extend_from_slice(&extent.head.to_le_bytes());
    into.extend_from_slice(state);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::batch::LogBatch;

    const S: StreamId = StreamId(5);

    fn records(build: impl FnOnce(&mut LogBatch)) -> Vec<u8> {
        let mut batch = LogBatch::new();
        build(&mut batch);
        batch.into_records().unwrap()
    }

    fn place(segment: u64, offset: u64) -> FramePlace {
        FramePlace {
            segment,
            offset,
            length: 100,
        }
    }

    fn apply(streams: &mut Streams, place: FramePlace, build: impl FnOnce(&mut LogBatch)) -> bool {
        let records = records(build);
        let mut fewer = false;
        for record in Records::new(&records) {
            fewer |= streams.apply(record.unwrap(), place).unwrap();
        }
        fewer
    }

    fn runs(streams: &Streams, from: u64, to: u64) -> Vec<(u64, u64, u64)> {
        let stream = streams.get(S).unwrap();
        stream
            .runs(from, to)
            .map(|(place, first, end)| (place.offset, first, end))
            .collect()
    }

    #[test]
    fn a_batch_that_does_not_fit_changes_nothing() {
        let mut extents = Extents::default();
        extents
            .admit(&records(|batch| {
                batch.append(S, 10, b"");
                batch.append(S, 11, b"");
            }))
            .unwrap();
        let refused = [
            records(|batch| batch.append(S, 11, b"")),
            records(|batch| batch.append(S, 13, b"")),
            records(|batch| batch.cut_tail(S, 9)),
            records(|batch| {
                batch.append(S, 12, b"");
                batch.append(StreamId(6), 1, b"");
                batch.append(S, 12, b"");
            }),
            records(|batch| {
                batch.drop_stream(S);
                batch.append(S, 1, b"");
                batch.append(S, 1, b"");
            }),
        ];
        for batch in refused {
            let error = extents.admit(&batch).unwrap_err();
            assert!(matches!(error, Error::Invalid { .. }), "{error}");
        }
        assert_eq!(
            extents.0.into_iter().collect::<Vec<_>>(),
            [(S, Extent { head: 10, next: 12 })]
        );
    }

    #[test]
    fn cuts_move_the_ends_and_a_cut_beyond_the_end_leaves_a_gap() {
        let mut extents = Extents::default();
        let mut extent = |build: fn(&mut LogBatch)| {
            extents.admit(&records(build)).unwrap();
            let Extent { head, next } = extents.0[&S];
            (head, next)
        };
        assert_eq!(extent(|batch| batch.set_state(S, b"s")), (0, 0));
        assert_eq!(extent(|batch| batch.append(S, 7, b"")), (7, 8));
        assert_eq!(extent(|batch| batch.cut_head(S, 3)), (7, 8));
        assert_eq!(extent(|batch| batch.cut_tail(S, 9)), (7, 8));
        assert_eq!(extent(|batch| batch.cut_tail(S, 7)), (7, 7));
        assert_eq!(extent(|batch| batch.append(S, 7, b"")), (7, 8));
        assert_eq!(extent(|batch| batch.cut_head(S, 8)), (8, 8));
        assert_eq!(extent(|batch| batch.cut_head(S, 100)), (100, 100));
        assert_eq!(extent(|batch| batch.append(S, 100, b"")), (100, 101));
    }

    #[test]
    fn runs_follow_appends_and_cuts() {
        let mut streams = Streams::default();
        apply(&mut streams, place(1, 10), |batch| {
            batch.append(S, 1, b"");
            batch.append(S, 2, b"");
        });
        apply(&mut streams, place(1, 20), |batch| batch.append(S, 3, b""));
        apply(&mut streams, place(2, 30), |batch| batch.append(S, 4, b""));
        assert_eq!(runs(&streams, 1, 5), [(10, 1, 3), (20, 3, 4), (30, 4, 5)]);
        assert_eq!(runs(&streams, 2, 4), [(10, 2, 3), (20, 3, 4)]);
        assert_eq!(runs(&streams, 5, 5), []);
        // The same frame removes an entry and appends another one in its place.
        apply(&mut streams, place(2, 40), |batch| {
            batch.cut_tail(S, 3);
            batch.append(S, 3, b"");
        });
        assert_eq!(runs(&streams, 1, 9), [(10, 1, 3), (40, 3, 4)]);
        assert_eq!(streams.oldest_segment(), Some((1, S)));
        assert!(!apply(&mut streams, place(2, 50), |batch| batch.cut_head(S, 2)));
        assert!(apply(&mut streams, place(2, 60), |batch| batch.cut_head(S, 3)));
        assert_eq!(runs(&streams, 3, 4), [(40, 3, 4)]);
        assert!(apply(&mut streams, place(2, 70), |batch| batch.cut_head(S, 4)));
        assert_eq!(streams.oldest_segment(), None);
    }

    #[test]
    fn a_stream_that_rests_takes_little_room() {
        let bytes = size_of::<Stream>();
        assert!(
            bytes <= 80,
            "a stream takes {bytes} bytes, and a node has thousands of them that rest: docs/scaling.md, \"Idle ranges\""
        );
        let mut streams = Streams::default();
        apply(&mut streams, place(1, 10), |batch| batch.append(S, 1, b""));
        assert_eq!(streams.get(S).unwrap().runs.capacity(), 1);
    }

    #[test]
    fn a_checkpoint_has_everything_but_the_places() {
        let mut streams = Streams {
            own_next: 77,
            ..Streams::default()
        };
        apply(&mut streams, place(1, 10), |batch| {
            batch.set_state(S, b"state");
            batch.append(S, 4, b"x");
            batch.set_state(StreamId(9), b"");
        });
        let mut bytes = Vec::new();
        streams.encode_checkpoint(streams.own_next, &mut bytes);
        let mut decoded = Streams::decode_checkpoint(&bytes).unwrap();
        assert_eq!(streams.difference(&decoded), None);
        assert_eq!(decoded.incomplete(), Some((S, 4, 5)));
        assert_eq!(streams.incomplete(), None);
        decoded.own_next += 1;
        assert_eq!(streams.difference(&decoded), Some(StreamId::ENGINE));
        for end in 1..bytes.len() {
            // Cut between two records it is a smaller checkpoint.
            if let Ok(part) = Streams::decode_checkpoint(&bytes[..end]) {
                assert!(streams.difference(&part).is_some());
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_checkpoints_never_panic(bytes in proptest::collection::vec(0_u8..10, 0..120)) {
            if let Ok(streams) = Streams::decode_checkpoint(&bytes) {
                assert_eq!(streams.difference(&streams), None);
            }
        }
    }
}
