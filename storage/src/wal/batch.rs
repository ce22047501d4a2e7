//! Log batches: what an owner adds to its streams in one step, encoded once.
//!
//! Invariant: the bytes of a batch are the records in the very form in which they lie in a frame. Not here: whether they
//! fit the streams (`stream.rs`), which is known only when the batch's turn comes.

use super::record::{RECORD_HEADER_BYTES, RecordKind, StreamId, put_header};
use crate::batch::BATCH_BYTES_MAX;
use crate::error::{Error, Result};

/// Changes to any number of streams of the log, which become durable as a whole or not at all.
///
/// They are made in the order in which they were added, so that a batch may cut a stream's tail and append in its place.
#[derive(Clone, Debug, Default)]
pub struct LogBatch {
    records: Vec<u8>,
    /// The first argument that was out of range; reported by `append`.
    invalid: Option<Invalid>,
}

#[derive(Clone, Debug)]
struct Invalid {
    what: &'static str,
    detail: String,
}

impl LogBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty batch with room for `bytes`, so that filling it does not move them; a record takes
    /// [`LogBatch::RECORD_BYTES`] beside its payload.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            records: Vec::with_capacity(bytes),
            invalid: None,
        }
    }

    /// What a record takes beside its payload.
    pub const RECORD_BYTES: usize = RECORD_HEADER_BYTES;

    /// Appends entry `index`, which must be the stream's next one. A stream that has none yet begins with any index.
    pub fn append(&mut self, stream: StreamId, index: u64, payload: &[u8]) {
        self.append_parts(stream, index, &[payload]);
    }

    /// Appends entry `index` with a payload that lies in several pieces.
    pub fn append_parts(&mut self, stream: StreamId, index: u64, parts: &[&[u8]]) {
        if index == u64::MAX {
            return self.refuse("index of a log entry", format!("must be less than {index}"));
        }
        self.push(RecordKind::Entry, stream, index, parts);
    }

    /// Sets the stream's state: a few bytes of its owner, of which the last ones count. They are kept with the stream,
    /// whatever is cut.
    pub fn set_state(&mut self, stream: StreamId, state: &[u8]) {
        self.push(RecordKind::State, stream, 0, &[state]);
    }

    /// Removes the entries before `index`; the first one that is kept. Beyond the end it removes all, and the stream goes
    /// on with `index`. Entries that are gone already are no error.
    pub fn cut_head(&mut self, stream: StreamId, index: u64) {
        self.push(RecordKind::HeadCut, stream, index, &[]);
    }

    /// Removes the entries from `index` on; the stream goes on with `index`. Beyond the end it removes nothing. It must
    /// not be before the head.
    pub fn cut_tail(&mut self, stream: StreamId, index: u64) {
        self.push(RecordKind::TailCut, stream, index, &[]);
    }

    /// Removes a stream with its entries and its state. A stream that does not exist is no error.
    pub fn drop_stream(&mut self, stream: StreamId) {
        self.push(RecordKind::Dropped, stream, 0, &[]);
    }

    /// Adds all that is in another batch, behind what is in this one.
    pub fn extend(&mut self, mut other: Self) {
        self.records.append(&mut other.records);
        self.invalid = self.invalid.take().or(other.invalid);
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The size in bytes, as it goes to the log.
    pub fn encoded_bytes(&self) -> usize {
        self.records.len()
    }

    fn push(&mut self, kind: RecordKind, stream: StreamId, index: u64, parts: &[&[u8]]) {
        if stream == StreamId::ENGINE {
            return self.refuse(
                "stream",
                "0 is the engine's own, choose another number".to_owned(),
            );
        }
        let payload = parts.iter().map(|part| part.len()).sum::<usize>();
        let bytes = RECORD_HEADER_BYTES.saturating_add(payload);
        let length = match u32::try_from(payload) {
            Ok(length) if self.records.len().saturating_add(bytes) <= BATCH_BYTES_MAX => length,
            _ => {
                let detail = format!("would have more than {BATCH_BYTES_MAX} bytes");
                return self.refuse("log batch", detail);
            }
        };
        self.records.reserve(bytes);
        put_header(&mut self.records, kind, stream, index, length);
        for part in parts {
            self.records.extend_from_slice(part);
        }
    }

    fn refuse(&mut self, what: &'static str, detail: String) {
        if self.invalid.is_none() {
            self.invalid = Some(Invalid { what, detail });
        }
    }

    /// The encoded records.
    pub(crate) fn into_records(self) -> Result<Vec<u8>> {
        match self.invalid {
            Some(Invalid { what, detail }) => Err(Error::Invalid { what, detail }),
            None => Ok(self.records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::record::Records;

    #[test]
    fn a_payload_in_pieces_is_one_payload() {
        let mut batch = LogBatch::new();
        assert!(batch.is_empty());
        batch.append_parts(StreamId(1), 5, &[b"ab", b"", b"c"]);
        let mut whole = LogBatch::with_capacity(64);
        whole.append(StreamId(1), 5, b"abc");
        assert_eq!(batch.encoded_bytes(), LogBatch::RECORD_BYTES + 3);
        let records = batch.into_records().unwrap();
        assert_eq!(records, whole.into_records().unwrap());
        assert_eq!(Records::new(&records).count(), 1);
    }

    #[test]
    fn the_engines_own_stream_and_the_last_index_are_refused() {
        let mut batch = LogBatch::new();
        batch.set_state(StreamId::ENGINE, b"");
        batch.append(StreamId(1), u64::MAX, b"");
        let error = batch.into_records().unwrap_err();
        assert!(matches!(error, Error::Invalid { what: "stream", .. }));
        let mut batch = LogBatch::new();
        batch.append(StreamId(1), u64::MAX, b"");
        assert!(batch.into_records().is_err());
    }
}
